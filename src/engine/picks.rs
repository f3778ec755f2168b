//! What a worker is given and told, against a plain reading of the contract's sections on matching.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;

use super::{
    Effect, NewUser, Push, Rules, queue, restore,
    stage::{Stage, image_profile, image_spec, text_profile, text_spec},
};
use crate::domain::{
    Kudos, RequestId, UserId, WorkerId,
    bridge::Bridge,
    models::ModelReference,
    price,
    record::StoredRequest,
    request::{Accepted, ImageParams, Kind, Lora, Params, Spec, TextParams, TextualInversion},
    user::{KeyHash, Role},
    worker::{ImageSkills, Profile, Skills, TextSkills},
};

/// The models: what they are made from, whether they paint into images, and how many steps are too many.
const MODELS: [(&str, &str, bool, f64); 5] = [
    ("still", "stable diffusion 1", false, 30.0),
    ("painter", "stable diffusion 1", true, 30.0),
    ("large", "stable_diffusion_xl", false, 15.0),
    ("cascade", "stable_cascade", false, 30.0),
    ("flux", "flux_1", false, 30.0),
];
/// One that is for a special account.
const SPECIAL: &str = "horde_special";

pub(super) fn reference() -> ModelReference {
    let entries = MODELS.iter().map(|(name, baseline, paints, steps)| {
        let most = 2.0 * steps - 20.0;
        format!(
            r#""{name}": {{"baseline": "{baseline}", "inpainting": {paints}, "requirements": {{"max_steps": {most}}}}}"#
        )
    });
    let entries: Vec<_> = entries.collect();
    ModelReference::read(&format!(r#"{{"image": {{{}}}}}"#, entries.join(", "))).unwrap()
}

fn known(model: &str) -> (&'static str, bool, f64) {
    MODELS
        .iter()
        .find(|one| one.0 == model)
        .map_or(("stable diffusion 1", false, 30.0), |one| (one.1, one.2, one.3))
}

fn names() -> Vec<&'static str> {
    MODELS.iter().map(|model| model.0).chain([SPECIAL]).collect()
}

fn models(least: usize, most: usize) -> impl Strategy<Value = Vec<Arc<str>>> {
    prop::sample::subsequence(names(), least..=most)
        .prop_map(|models| models.into_iter().map(Arc::from).collect())
}

/// True once in a while.
fn seldom() -> impl Strategy<Value = bool> + Clone {
    prop::bool::weighted(0.12)
}

fn draws() -> impl Strategy<Value = ImageParams> {
    let lora =
        |is_version| Lora { name: "1".into(), model: 1.0, clip: 1.0, inject_trigger: None, is_version };
    let inversion = || TextualInversion { name: "1".into(), inject: None, strength: 1.0 };
    let flags = prop::array::uniform12(seldom());
    let sampler =
        prop::sample::select(vec!["k_euler_a", "k_euler_a", "k_heun", "DDIM", "lcm", "k_dpmpp_sde"]);
    (flags, prop::array::uniform3(any::<bool>()), 1u32..4, sampler, 5u32..40).prop_map(
        move |(f, [karras, extra_slow_workers, links], size, sampler, steps)| ImageParams {
            sampler: sampler.into(),
            steps,
            width: size * 256,
            karras,
            extra_slow_workers,
            links,
            tiling: f[0],
            hires_fix: f[1],
            transparent: f[2],
            clip_skip: f[3].then_some(2),
            post_processing: if f[4] { vec!["GFPGAN".into(), "RestoreFormer".into()] } else { vec![] },
            control_type: f[5].then(|| "canny".into()),
            image_is_control: f[5] && f[6],
            return_control_map: f[5] && f[7],
            loras: if f[8] { vec![lora(f[7])] } else { vec![] },
            tis: if f[9] { vec![inversion()] } else { vec![] },
            workflow: (f[10] && f[6] != f[7]).then(|| "qr_code".into()),
            has_source: f[5] || f[10] || f[11],
            source_processing: if f[11] { "inpainting".into() } else { "img2img".into() },
            extra_sources: if f[10] && f[11] { vec![1.0] } else { vec![] },
            ..crate::domain::request::tests::image()
        },
    )
}

/// What is asked for; workers are numbers, of which 0 is the one that pops.
pub(super) fn spec() -> impl Strategy<Value = (Spec, Vec<u8>)> {
    let flags = (seldom(), seldom(), any::<bool>(), seldom(), seldom(), seldom(), seldom());
    let lists = (prop::bool::weighted(0.2), prop::collection::vec(0u8..2, 1..3));
    let text = (1u32..4, prop::option::weighted(0.2, Just("kind".to_owned())));
    (any::<bool>(), models(0, 3), flags, lists, draws(), text).prop_map(
        |(
            is_image,
            models,
            (nsfw, trusted_workers, slow_workers, validated, deny, bad, unsafe_ip),
            lists,
            image,
            text,
        )| {
            let params = match is_image {
                true => Params::Image(Box::new(image)),
                false => Params::Text(Box::new(TextParams {
                    max_length: text.0 * 100,
                    max_context_length: 1024,
                    softprompt: text.1,
                    ..TextParams::default()
                })),
            };
            let mut spec = Spec { params, ..if is_image { image_spec(1) } else { text_spec(1) } };
            if bad {
                spec.prompt = "a BAD lighthouse".into();
            }
            spec.origin.unsafe_ip = unsafe_ip && is_image;
            let spec = Spec {
                models,
                nsfw,
                trusted_workers,
                slow_workers,
                validated_backends: validated,
                worker_blacklist: deny,
                ..spec
            };
            (spec, if lists.0 { lists.1 } else { vec![] })
        },
    )
}

pub(super) fn profile() -> impl Strategy<Value = Profile> {
    let agents = prop::sample::select(vec![
        "AI Horde Worker reGen:13:x",
        "AI Horde Worker reGen:13:x",
        "AI Horde Worker reGen:5:x",
        "AI Horde Worker:24:x",
        "SD-WebUI Stable Horde Worker Bridge:4:x",
        "TabbyAPI:1:x",
        "home made",
    ]);
    let often = || prop::bool::weighted(0.75);
    let skills = (prop::array::uniform7(often()), prop::array::uniform3(seldom()));
    (any::<bool>(), models(1, 6), (often(), seldom(), any::<bool>()), 1i64..4, skills, agents).prop_map(
        |(is_image, models, (nsfw, refuses, has_softprompt), size, (can, is), agent)| {
            let profile = if is_image { image_profile(1) } else { text_profile(1) };
            let skills = match profile.skills {
                Skills::Image(_) => Skills::Image(ImageSkills {
                    max_pixels: size * 256 * 512,
                    img2img: can[0],
                    painting: can[1],
                    unsafe_ip: can[2],
                    post_processing: can[3],
                    controlnet: can[4],
                    sdxl_controlnet: can[5],
                    lora: can[6],
                    limit_max_steps: is[0],
                    require_upfront_kudos: is[1],
                    extra_slow: is[2],
                }),
                Skills::Text(_) => Skills::Text(TextSkills {
                    max_length: size * 100,
                    max_context_length: 1024,
                    softprompts: if has_softprompt { vec!["kind".into()] } else { vec![] },
                }),
                other => other,
            };
            let blacklist = if refuses && is_image { vec!["bad".into()] } else { vec![] };
            Profile { models, nsfw, skills, blacklist, bridge: Bridge::parse(agent), ..profile }
        },
    )
}

/// One request beside the worker that pops, read plainly.
struct Reading<'a> {
    spec: &'a Spec,
    profile: &'a Profile,
    /// The worker is on the request's list; `None`: it has none.
    is_listed: Option<bool>,
    is_preferred: bool,
    owner_is_trusted: bool,
    /// The requester is trusted, or can pay for a job.
    pays: bool,
    speed: f64,
    matched_targeting: bool,
}

impl Reading<'_> {
    fn image(&self) -> Option<(&ImageParams, &ImageSkills)> {
        Some((self.spec.params.image()?, self.profile.skills.image()?))
    }

    fn can(&self, capability: &str) -> bool {
        self.profile.bridge.can(capability)
    }

    fn is_excluded(&self) -> bool {
        self.is_listed.is_some_and(|is_listed| is_listed == self.spec.worker_blacklist)
    }

    /// A2 to A17, or stage A of texts.
    fn is_candidate(&self) -> bool {
        let (spec, profile) = (self.spec, self.profile);
        let common = spec.models.iter().any(|model| profile.models.contains(model));
        let is_targeted = self.is_listed.is_some() && !spec.worker_blacklist;
        if self.is_excluded() || (self.matched_targeting && is_targeted && !self.is_preferred) {
            return false;
        }
        let Some((job, able)) = self.image() else {
            let (Params::Text(job), Skills::Text(able)) = (&spec.params, &profile.skills) else {
                unreachable!("one kind at a time")
            };
            // The models of these workers are of no known size.
            return (common || spec.models.is_empty())
                && i64::from(job.max_length) <= able.max_length
                && (spec.slow_workers || self.speed >= 5.0)
                && (!spec.validated_backends
                    || profile.bridge.name == "TabbyAPI"
                    || profile.bridge.name == "AI Horde Worker");
        };
        let any =
            spec.models.is_empty() && !profile.models.iter().any(|model| model.contains("horde_special"));
        job.pixels() <= able.max_pixels
            && (common || any)
            && (!job.has_source || able.img2img)
            && (!job.is_painting() || able.painting)
            && (job.extra_sources.is_empty() || self.can("extra_source_images"))
            && (!spec.origin.unsafe_ip || able.unsafe_ip)
            && (!spec.nsfw || profile.nsfw)
            && (!job.links || self.can("r2"))
            && (job.loras.is_empty() || (able.lora && self.can("lora")))
            && (job.tis.is_empty() || self.can("textual_inversion"))
            && (job.control_type.is_none() || (able.controlnet && self.can("controlnet")))
            && (spec.slow_workers || self.speed >= 500_000.0)
            && (!able.extra_slow || job.extra_slow_workers)
            && (!job.transparent || (self.can("layer_diffuse") && able.sdxl_controlnet))
    }

    /// What stage B says: `None`, nothing against it.
    fn reason(&self) -> Option<&'static str> {
        let (spec, profile) = (self.spec, self.profile);
        let is_bad = |word: &String| spec.prompt.to_lowercase().contains(word);
        let checks = [
            (spec.nsfw && !profile.nsfw, "nsfw"),
            (spec.trusted_workers && !self.owner_is_trusted, "untrusted"),
            (profile.blacklist.iter().any(is_bad), "blacklist"),
        ];
        let first = checks.iter().find(|(fails, _)| *fails).map(|(_, key)| *key);
        let Some((job, able)) = self.image() else {
            let (Params::Text(job), Skills::Text(able)) = (&spec.params, &profile.skills) else {
                unreachable!("one kind at a time")
            };
            let is_missing = job.softprompt.as_ref().is_some_and(|name| !able.softprompts.contains(name));
            return first.or(is_missing.then_some("matching_softprompt"));
        };
        let paints = job.is_painting();
        let painters = profile.models.iter().filter(|model| known(model).1).count();
        let (has_xl, has_cascade) = (
            profile.models.iter().any(|model| known(model).0 == "stable_diffusion_xl"),
            profile.models.iter().any(|model| known(model).0 == "stable_cascade"),
        );
        let usable =
            profile.models.iter().filter(|model| spec.models.is_empty() || spec.models.contains(model));
        let only_flux = usable.clone().count() > 0 && usable.clone().all(|model| known(model).0 == "flux_1");
        let limits = if spec.models.len() >= 2 { &spec.models } else { &profile.models };
        let steps = f64::from(job.accurate_steps());
        let processes = !job.post_processing.is_empty();
        let checks = [
            (job.has_source && !self.can("img2img"), "img2img"),
            (paints && !self.can("inpainting"), "painting"),
            (paints && painters == 0, "models"),
            (paints && !able.painting, "painting"),
            (!paints && painters == profile.models.len(), "models"),
            (!profile.bridge.samples(&job.sampler, job.karras), "bridge_version"),
            (processes && !self.can("post-processing"), "bridge_version"),
            (job.post_processing.iter().any(|one| !self.can(one)), "bridge_version"),
            (job.has_source && !able.img2img, "img2img"),
            (job.tiling && !self.can("tiling"), "bridge_version"),
            (job.return_control_map && !self.can("return_control_map"), "bridge_version"),
            (job.control_type.is_some() && !self.can("controlnet"), "bridge_version"),
            (job.image_is_control && !self.can("image_is_control"), "bridge_version"),
            (job.control_type.is_some() && !able.controlnet, "controlnet"),
            (job.workflow.is_some() && !(self.can("controlnet") && self.can("qr_code")), "bridge_version"),
            (job.workflow.is_some() && has_xl && !able.sdxl_controlnet, "controlnet"),
            (job.hires_fix && !self.can("hires_fix"), "bridge_version"),
            (job.hires_fix && has_cascade && !self.can("stable_cascade_2pass"), "bridge_version"),
            (only_flux && !self.can("flux"), "bridge_version"),
            (job.clip_skip.is_some() && !self.can("clip_skip"), "bridge_version"),
            (job.loras.iter().any(|lora| lora.is_version) && !self.can("lora_versions"), "bridge_version"),
            (spec.origin.unsafe_ip && !able.unsafe_ip, "unsafe_ip"),
            (able.limit_max_steps && limits.iter().any(|model| steps > known(model).2), "step_count"),
            (spec.origin.unsafe_ip && !self.owner_is_trusted, "untrusted"),
            (processes && !able.post_processing, "post-processing"),
            (able.require_upfront_kudos && !self.is_preferred && !self.pays, "kudos"),
        ];
        first.or(checks.iter().find(|(fails, _)| *fails).map(|(_, key)| *key))
    }

    fn may(&self) -> bool {
        self.is_candidate() && self.reason().is_none()
    }

    /// Adds what `skipped` counts of it.
    fn count(&self, counts: &mut BTreeMap<&'static str, usize>) {
        let mut add = |applies: bool, key| *counts.entry(key).or_default() += usize::from(applies);
        let (spec, profile) = (self.spec, self.profile);
        let tallied = self.reason().filter(|_| self.is_candidate());
        let Some((job, able)) = self.image() else {
            if let Some(key) = tallied {
                add(true, key);
            }
            return;
        };
        add(spec.models.iter().any(|model| !profile.models.contains(model)), "models");
        add(self.is_excluded(), "worker_id");
        if job.pixels() >= able.max_pixels {
            add(true, "max_pixels");
        }
        for (is_so, allowed, capability, key) in [
            (job.has_source, able.img2img, "img2img", "img2img"),
            (job.is_painting(), able.painting, "inpainting", "painting"),
            (!job.loras.is_empty(), able.lora, "lora", "lora"),
            (job.control_type.is_some(), able.controlnet, "controlnet", "controlnet"),
        ] {
            add(is_so && !allowed, key);
            add(is_so && allowed && !self.can(capability), "bridge_version");
        }
        add(!job.post_processing.is_empty() && !able.post_processing, "post-processing");
        add(spec.origin.unsafe_ip && !able.unsafe_ip, "unsafe_ip");
        add(spec.nsfw && !profile.nsfw, "nsfw");
        add(!spec.slow_workers && self.speed <= 500_000.0, "performance");
        add(!job.extra_slow_workers && able.extra_slow, "performance");
        add(spec.trusted_workers && !self.owner_is_trusted, "untrusted");
        add(!profile.bridge.samples(&job.sampler, job.karras), "bridge_version");
        add(job.hires_fix && !self.can("hires_fix"), "bridge_version");
        add(job.return_control_map && !self.can("return_control_map"), "bridge_version");
        add(job.tiling && !self.can("tiling"), "bridge_version");
        add(job.transparent && !(self.can("layer_diffuse") && able.sdxl_controlnet), "bridge_version");
        add(!job.tis.is_empty() && !self.can("textual_inversion"), "bridge_version");
        if let Some(key @ ("bridge_version" | "kudos" | "blacklist" | "step_count")) = tallied {
            add(true, key);
        }
    }
}

/// The worker that pops.
struct Pops<'a> {
    profile: &'a Profile,
    is_trusted: bool,
    speed: f64,
    matched_targeting: bool,
}

impl Pops<'_> {
    fn reading<'a>(&'a self, queued: &'a Queued, balance: Kudos) -> Reading<'a> {
        let price = queued.spec.params.image().map_or(Kudos::ZERO, price::image_job);
        Reading {
            spec: &queued.spec,
            profile: self.profile,
            is_listed: (!queued.workers.is_empty()).then(|| queued.workers.contains(&0)),
            is_preferred: self.profile.priority_users.contains(&queued.user),
            owner_is_trusted: self.is_trusted,
            // Below 25 the balance of an account does not fall.
            pays: balance - Kudos::whole(25) >= price,
            speed: self.speed,
            matched_targeting: self.matched_targeting,
        }
    }
}

/// A request in the queue.
struct Queued {
    late: i64,
    at: i64,
    id: RequestId,
    user: UserId,
    spec: Spec,
    workers: Vec<u8>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_worker_gets_the_first_request_it_may_take_or_is_told_why_not(
        requests in prop::collection::vec((spec(), 0usize..4, 0u64..30), 0..25),
        profile in profile(),
        is_trusted in any::<bool>(),
        prefers in prop::option::of(0usize..3),
        speed in prop::sample::select(vec![1.0, 5.0, 499_999.0, 500_000.0, 2e6]),
        matched_targeting in prop::bool::weighted(0.2),
        most_shapes in prop::sample::select(vec![0, 2, 5, 1_000]),
    ) {
        let rules = Rules { matched_targeting, ..Rules::default() };
        let mut stage = Stage::knowing(rules, Arc::new(reference()));
        stage.engine.queue = queue::Queue::telling_apart(most_shapes, Arc::new(reference()));
        let users: Vec<UserId> = [10_000, 10_400, 10_100, 30]
            .into_iter()
            .map(|kudos| add_user(&mut stage, kudos, vec![]))
            .collect();
        let owner = add_user(&mut stage, 0, if is_trusted { vec![Role::Trusted] } else { vec![] });
        let profile = Profile { priority_users: prefers.map(|i| users[i]).into_iter().collect(), ..profile };
        // It comes once before anything waits, and once it is somebody.
        stage.user = owner;
        stage.pop("worker", profile.clone(), std::time::Duration::ZERO);
        let worker = stage.engine.worker_by_name("worker").unwrap().id;
        stage.engine.fleet.get_mut(worker).unwrap().stats.speeds = vec![speed];
        stage.log.clear();
        let mut queue: Vec<Queued> = Vec::new();
        for ((spec, workers), user, seconds) in requests {
            stage.now = stage.now.plus(std::time::Duration::from_secs(seconds));
            stage.user = users[user];
            let priority = stage.engine.user(stage.user).map_or(0, |user| user.balance.floor());
            let at = stage.now.0;
            let list = workers.iter().map(|n| if *n == 0 { worker } else { WorkerId(uuid::Uuid::from_u128(999)) });
            let id = add_request(&mut stage, Spec { workers: list.collect(), ..spec.clone() });
            queue.push(Queued { late: 50 * (at / 10_000) - priority, at, id, user: stage.user, spec, workers });
        }
        queue.retain(|queued| queued.spec.kind() == profile.kind());
        queue.sort_by_key(|queued| (queued.late, queued.at, queued.id));
        let balances: BTreeMap<UserId, Kudos> =
            users.iter().map(|user| (*user, stage.engine.user(*user).unwrap().balance)).collect();
        let pops = Pops { profile: &profile, is_trusted, speed, matched_targeting };
        let read = |queued| reads(&pops, &balances, queued);
        let first = queue.iter().find(|queued| read(queued).is_preferred && read(queued).may());
        let right = first.or_else(|| queue.iter().find(|queued| read(queued).may())).map(|queued| queued.id);

        stage.user = owner;
        stage.pop("worker", profile.clone(), std::time::Duration::ZERO);
        prop_assert_eq!(stage.grants().first().map(|(_, grant)| grant.request), right);
        if right.is_none() {
            let told = stage.log.iter().find_map(|effect| match effect {
                Effect::Deliver { push: Push::Empty { skipped }, .. } => Some(skipped.clone()),
                _ => None,
            });
            let told = told.unwrap();
            let mut counts = BTreeMap::new();
            queue.iter().for_each(|queued| read(queued).count(&mut counts));
            if profile.kind() == Kind::Image {
                for key in [
                    "models", "worker_id", "img2img", "painting", "lora", "controlnet", "post-processing",
                    "unsafe_ip", "nsfw", "performance", "untrusted", "bridge_version",
                ] {
                    counts.entry(key).or_default();
                }
            }
            prop_assert_eq!(told, counts);
        }
    }

    #[test]
    fn a_request_that_comes_goes_to_a_worker_that_waits_if_it_may_have_it(
        (spec, workers) in spec(),
        profile in profile(),
        is_trusted in any::<bool>(),
    ) {
        let mut stage = Stage::knowing(Rules::default(), Arc::new(reference()));
        let asks = stage.user;
        let owner = add_user(&mut stage, 0, if is_trusted { vec![Role::Trusted] } else { vec![] });
        stage.user = owner;
        stage.pop("worker", profile.clone(), std::time::Duration::from_secs(30));
        let worker = stage.engine.worker_by_name("worker").unwrap().id;
        let list = workers.iter().map(|n| if *n == 0 { worker } else { WorkerId(uuid::Uuid::from_u128(999)) });
        stage.user = asks;
        let reading = Reading {
            spec: &spec,
            profile: &profile,
            is_listed: (!workers.is_empty()).then(|| workers.contains(&0)),
            is_preferred: false,
            owner_is_trusted: is_trusted,
            pays: true,
            speed: if profile.kind() == Kind::Image { 1e6 } else { 1.0 },
            matched_targeting: false,
        };
        let right = spec.kind() == profile.kind() && reading.may();
        let id = add_request(&mut stage, Spec { workers: list.collect(), ..spec.clone() });
        prop_assert_eq!(stage.grants().first().map(|(_, grant)| grant.request), right.then_some(id));
        let now = stage.now;
        prop_assert_eq!(stage.engine.view(id, now).map(|view| view.is_possible), Some(right));
    }
}

#[test]
fn what_is_learnt_of_models_counts_for_what_waits_and_for_who_has_come() {
    let mut stage = Stage::knowing(Rules::default(), Arc::new(reference()));
    let image = |changes: &dyn Fn(&mut ImageParams)| {
        let mut image = crate::domain::request::tests::image();
        changes(&mut image);
        let models = vec!["still".into(), "cascade".into()];
        Spec { models, params: Params::Image(Box::new(image)), ..image_spec(1) }
    };
    let paints = image(&|image| (image.has_source, image.source_processing) = (true, "inpainting".into()));
    let takes_long = image(&|image| image.steps = 40);
    let [first, second] = [paints, takes_long].map(|spec| add_request(&mut stage, spec));
    let mut profile = Profile { models: vec!["still".into()], ..image_profile(1) };
    if let Skills::Image(skills) = &mut profile.skills {
        skills.limit_max_steps = true;
    }
    let pops = |stage: &mut Stage| -> Vec<RequestId> {
        stage.pop("worker", profile.clone(), std::time::Duration::ZERO);
        stage.grants().iter().map(|(_, grant)| grant.request).collect()
    };
    assert_eq!(pops(&mut stage), []);
    let learns = |stage: &mut Stage, text: &str| {
        let models = Arc::new(ModelReference::read(text).unwrap());
        stage.act(|engine, _| engine.learn_models(models));
    };
    learns(&mut stage, r#"{"still": {"baseline": "stable diffusion 1", "inpainting": true}}"#);
    assert_eq!(pops(&mut stage), [first], "it paints now");
    assert_eq!(pops(&mut stage), [], "and does nothing else; nor so many steps");
    let long = r#""baseline": "stable diffusion 1", "requirements": {"max_steps": 60}"#;
    learns(&mut stage, &format!(r#"{{"still": {{{long}}}}}"#));
    assert_eq!(pops(&mut stage), [], "the other model that is named says nothing of more");
    learns(&mut stage, &format!(r#"{{"still": {{{long}}}, "cascade": {{{long}}}}}"#));
    assert_eq!(pops(&mut stage), [second]);
}

/// Puts a request into the queue that would not pass the check of its parameters.
pub(super) fn add_request(stage: &mut Stage, spec: Spec) -> RequestId {
    let (owner, now) = (stage.user, stage.now);
    let id = stage.act(|_, step| RequestId(step.dice.uuid()));
    let priority = stage.engine.user(owner).map_or(0, |user| user.priority());
    let request = Accepted { id, owner, created_at: now, priority, spec: Arc::new(spec) };
    let stored = StoredRequest {
        request,
        expires_at: now.plus(std::time::Duration::from_secs(1_200)),
        cancelled: false,
        faulted: false,
        done: false,
        consumed: Kudos::ZERO,
        open: vec![],
        closed: vec![],
        outcomes: vec![],
    };
    stage.act(|engine, step| {
        engine.admit(restore::rebuild(stored), step.now);
        engine.place_request(step, id);
    });
    id
}

fn reads<'a>(pops: &'a Pops<'_>, balances: &BTreeMap<UserId, Kudos>, queued: &'a Queued) -> Reading<'a> {
    pops.reading(queued, balances[&queued.user])
}

pub(super) fn add_user(stage: &mut Stage, kudos: i64, roles: Vec<Role>) -> UserId {
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
