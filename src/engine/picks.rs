//! What a worker is given and told, against a plain reading of the rules.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;

use super::{
    Effect, NewUser, Push,
    stage::{Stage, image_profile, image_spec, text_profile, text_spec},
};
use crate::domain::{
    Kudos, RequestId, UserId,
    request::{ImageParams, Kind, Params, Spec, TextParams},
    user::{KeyHash, Role},
    worker::{ImageSkills, Profile, Skills, TextSkills},
};

const MODELS: [&str; 3] = ["a", "b", "c"];

fn models(least: usize) -> impl Strategy<Value = Vec<Arc<str>>> {
    prop::sample::subsequence(MODELS.to_vec(), least..=3)
        .prop_map(|models| models.into_iter().map(Arc::from).collect())
}

fn spec() -> impl Strategy<Value = Spec> {
    let flags =
        (any::<bool>(), prop::bool::weighted(0.2), any::<bool>(), any::<bool>(), prop::bool::weighted(0.2));
    (any::<bool>(), models(0), flags, 1u32..5, prop::bool::weighted(0.2)).prop_map(
        |(
            is_image,
            models,
            (nsfw, trusted_workers, slow_workers, extra_slow, validated),
            size,
            skips_clip,
        )| {
            let mut spec = if is_image { image_spec(1) } else { text_spec(1) };
            match &mut spec.params {
                Params::Image(image) | Params::Video(image) => {
                    (image.width, image.extra_slow_workers) = (size * 256, extra_slow);
                    if skips_clip {
                        image.clip_skip = Some(2);
                    }
                }
                Params::Text(text) => text.max_length = size * 100,
                Params::Alchemy(_) => unreachable!("none is made here"),
            }
            Spec { models, nsfw, trusted_workers, slow_workers, validated_backends: validated, ..spec }
        },
    )
}

fn profile() -> impl Strategy<Value = Profile> {
    let flags = (any::<bool>(), prop::bool::weighted(0.2), any::<bool>());
    (any::<bool>(), models(1), flags, 1i64..5).prop_map(|(is_image, models, (nsfw, slow, known), size)| {
        let profile = if is_image { image_profile(1) } else { text_profile(1) };
        let skills = match profile.skills {
            Skills::Image(skills) => {
                Skills::Image(ImageSkills { max_pixels: size * 256 * 512, extra_slow: slow, ..skills })
            }
            Skills::Text(skills) => Skills::Text(TextSkills { max_length: size * 100, ..skills }),
            other => other,
        };
        let bridge = if known { profile.bridge } else { crate::domain::bridge::Bridge::parse("home made") };
        Profile { models, nsfw, skills, bridge, ..profile }
    })
}

/// Keys under which a request is passed over by a new worker, in the order of the contract.
fn reasons(spec: &Spec, profile: &Profile, owner_is_trusted: bool) -> Vec<&'static str> {
    let is_known = profile.bridge.name != "unknown";
    let mut reasons = Vec::new();
    let mut rule = |forbids: bool, key| {
        if forbids {
            reasons.push(key);
        }
    };
    let is_served = spec.models.is_empty() || spec.models.iter().any(|model| profile.models.contains(model));
    rule(!is_served, "models");
    rule(spec.nsfw && !profile.nsfw, "nsfw");
    rule(spec.trusted_workers && !owner_is_trusted, "untrusted");
    match (&spec.params, &profile.skills) {
        (Params::Image(image), Skills::Image(skills)) => {
            rule(i64::from(image.width * image.height) > skills.max_pixels, "max_pixels");
            let ImageParams { extra_slow_workers, clip_skip, .. } = **image;
            // Links, Karras and the sampler: an unknown bridge lacks "r2".
            rule(!is_known || (clip_skip.is_some() && !profile.bridge.can("clip_skip")), "bridge_version");
            rule(skills.extra_slow && !extra_slow_workers, "performance");
        }
        (Params::Text(text), Skills::Text(skills)) => {
            // A worker that has delivered nothing counts as one token a second.
            rule(!spec.slow_workers, "performance");
            let TextParams { max_length, .. } = **text;
            rule(i64::from(max_length) > skills.max_length, "max_length");
            rule(spec.validated_backends && !is_known, "bridge_version");
        }
        _ => unreachable!("one kind at a time"),
    }
    reasons
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_worker_gets_the_first_request_it_may_take_or_is_told_why_not(
        requests in prop::collection::vec((spec(), 0usize..3, 0u64..30), 0..25),
        profile in profile(),
        is_trusted in any::<bool>(),
        prefers in prop::option::of(0usize..3),
    ) {
        let mut stage = Stage::new();
        // All can pay up front.
        let users: Vec<UserId> = [10_000, 10_400, 10_100]
            .into_iter()
            .map(|kudos| add_user(&mut stage, kudos, vec![]))
            .collect();
        let owner = add_user(&mut stage, 0, if is_trusted { vec![Role::Trusted] } else { vec![] });
        let profile = Profile { priority_users: prefers.map(|i| users[i]).into_iter().collect(), ..profile };
        let mut queue: Vec<(i64, i64, RequestId, UserId, Spec)> = Vec::new();
        for (spec, user, seconds) in requests {
            stage.now = stage.now.plus(std::time::Duration::from_secs(seconds));
            stage.user = users[user];
            let priority = stage.engine.user(stage.user).map_or(0, |user| user.balance.floor());
            let now = stage.now.0;
            let id = stage.submit(spec.clone());
            queue.push((50 * (now / 10_000) - priority, now, id, stage.user, spec));
        }
        queue.retain(|(_, _, _, _, spec)| spec.kind() == profile.kind());
        queue.sort_by_key(|(late, now, id, _, _)| (*late, *now, *id));
        let may = |spec: &Spec| reasons(spec, &profile, is_trusted).is_empty();
        let preferred = |user: &UserId| profile.priority_users.contains(user);
        let first = queue.iter().find(|(_, _, _, user, spec)| preferred(user) && may(spec));
        let right = first.or_else(|| queue.iter().find(|(_, _, _, _, spec)| may(spec))).map(|entry| entry.2);

        stage.user = owner;
        stage.pop("worker", profile.clone(), std::time::Duration::ZERO);
        prop_assert_eq!(stage.grants().first().map(|(_, grant)| grant.request), right);
        if right.is_none() {
            let told = stage.log.iter().find_map(|effect| match effect {
                Effect::Deliver { push: Push::Empty { skipped }, .. } => Some(skipped.clone()),
                _ => None,
            });
            let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
            for (_, _, _, _, spec) in &queue {
                let all = reasons(spec, &profile, is_trusted);
                let shown = if profile.kind() == Kind::Text { 1 } else { all.len() };
                all.iter().take(shown).for_each(|key| *counts.entry(key).or_default() += 1);
            }
            let told: BTreeMap<_, _> = told.unwrap_or_default().into_iter().filter(|(_, n)| *n > 0).collect();
            prop_assert_eq!(told, counts);
        }
    }
}

fn add_user(stage: &mut Stage, kudos: i64, roles: Vec<Role>) -> UserId {
    let number = stage.log.len();
    let new = NewUser {
        alias: format!("user {number}"),
        key: KeyHash::of(&number.to_string()),
        kudos: Kudos::whole(kudos),
        roles,
        concurrency: 1_000,
        worker_invites: 0,
    };
    stage.act(|engine, step| engine.add_user(step, new)).unwrap().id
}
