//! May an account ask for this, in which form, and for how many kudos up front? Looks, and changes nothing.
//!
//! The steps are numbered as in the contract's validation order; those before are the caller's: limits,
//! fields, style, the webhook's scheme, the key.

use super::{Engine, lending::Payer, params, submit::Asked};
use crate::domain::{
    Error, Kudos, Result, Timestamp, UserId,
    error::ParamRule,
    price,
    request::{Kind, Params, Spec},
    upfront::{self, Load, Need},
    user::{Role, User},
    warning::{Warning, warnings},
};

/// Most extra source images, and of those who are not trusted.
const EXTRA_IMAGES: (usize, usize) = (5, 1);

/// What an account may ask for.
#[derive(Clone, Debug, PartialEq)]
pub struct Vetted {
    /// On whose behalf.
    pub(super) payer: Payer,
    /// What was asked for, as it will be done.
    pub spec: Spec,
    /// Jobs of the kind that may wait in all, these included.
    pub limit: usize,
    /// What may not go as expected.
    pub warnings: Vec<Warning>,
}

impl Engine {
    /// What a request would cost in all, for a dry run.
    pub fn quote(&self, spec: &Spec) -> Kudos {
        price::estimate(spec, &*self.models)
    }

    /// Whether an account may ask for this: all checks but that of room in the queue.
    ///
    /// # Errors
    /// As [`Engine::vet`].
    pub fn may_submit(&self, owner: UserId, spec: &Spec, now: Timestamp) -> Result<()> {
        self.vet(owner, spec.clone().into(), now).map(drop)
    }

    /// Whether an account may ask for this, and what becomes of it.
    ///
    /// # Errors
    /// The first of the contract's order: SharedKeyEmpty, SharedKeyExpired, SharedKeyAssignedStyles, InvalidAPIKey, OnlyServiceAccountProxy, DeletedUser, extra source
    /// images, MissingPrompt, WorkerNotFound, RequiresTrust, TooManyPrompts, TimeoutIP, CorruptPrompt,
    /// VideoModeWithImageModel, rules of parameters, UntrustedUnsafeIP, NulByteInPayload,
    /// SharedKeyInsufficientKudos, KudosUpfront, and BadRequest for what a shared key is not for.
    pub fn vet(&self, owner: UserId, mut asked: Asked, now: Timestamp) -> Result<Vetted> {
        // 7
        let mut payer = self.payer(owner, &asked, now)?;
        // 8
        let user = self.accounts.get(payer.owner).ok_or(Error::InvalidApiKey)?;
        // 9
        if asked.spec.origin.proxied_account.is_some() && !user.is(Role::Service) {
            return Err(Error::params(
                ParamRule::OnlyServiceAccountProxy,
                "only accounts of services may send proxied_account: leave it out",
            ));
        }
        // 10
        if user.is(Role::Deleted) && asked.spec.kind() != Kind::Alchemy {
            return Err(Error::DeletedUser);
        }
        // 11
        count_extra_images(&asked, user)?;
        // 12
        if asked.spec.prompt.is_empty() && asked.spec.kind() != Kind::Alchemy {
            return Err(Error::MissingPrompt);
        }
        // 13
        self.find_workers(&asked)?;
        // 14
        if asked.spec.jobs > 1 && params::asks_for_single_jobs(&asked) && !user.is(Role::Trusted) {
            return Err(Error::params(
                ParamRule::RequiresTrust,
                "only trusted users may turn batching off for several jobs: ask for n = 1, or leave it on",
            ));
        }
        // 15
        let limit = self.find_room(user, &asked.spec)?;
        // 16
        if let Some(address) = asked.address {
            self.refuse_timed_out(address, now)?;
        }
        // 17
        self.filter(user, &mut asked)?;
        let is_suspect =
            !user.is(Role::Trusted) && asked.address.is_some_and(|address| self.is_unsafe(address, now));
        // 19 to 24; what is asked of a model of another medium is a rule of parameters, too.
        asked.misfit.clone().map_or(Ok(()), Err)?;
        params::check(&asked, user, &*self.models, is_suspect && self.modes().raid)?;
        // 25
        if asked.has_nul {
            return Err(Error::NulByte);
        }
        let must_shrink = asked.must_shrink;
        let (allow_downgrade, is_short) = (asked.allow_downgrade, asked.key_is_short);
        let mut spec = asked.spec;
        // Texts have no images in them that anybody could have hidden behind.
        spec.origin.unsafe_ip = is_suspect && spec.kind() != Kind::Text;
        if user.is(Role::Education) {
            protect(&mut spec);
        }
        self.cover(&mut payer, &mut spec, allow_downgrade, is_short)?;
        self.set_aside(user, &mut spec, allow_downgrade, must_shrink)?;
        self.check_bounds(&payer, &spec)?;
        spec.origin.shared_key = payer.key;
        // 18, of what will be done
        let warnings = warnings(&spec, &*self.models);
        Ok(Vetted { payer, spec, limit, warnings })
    }

    /// Every worker that is named must be there; those that make images better are not asked.
    fn find_workers(&self, asked: &Asked) -> Result<()> {
        for id in asked.workers.iter().chain(&asked.spec.workers) {
            let there = self.fleet.get(*id).filter(|worker| worker.profile.kind() != Kind::Alchemy);
            there.ok_or_else(|| Error::WorkerNotFound(id.to_string()))?;
        }
        match &asked.unknown_worker {
            Some(text) => Err(Error::WorkerNotFound(text.clone())),
            None => Ok(()),
        }
    }

    /// Whether there is room for its jobs among those that wait; how many may in all.
    fn find_room(&self, user: &User, spec: &Spec) -> Result<usize> {
        // Everybody shares the anonymous account: only those who want the same are in each other's way.
        let is_shared =
            user.id == UserId::ANONYMOUS && !spec.models.is_empty() && spec.kind() != Kind::Alchemy;
        let (own, limit) = self.load(user, spec.kind());
        let waiting = if is_shared { self.waiting_for_the_same(spec, limit) } else { own };
        if waiting + spec.jobs > limit {
            return Err(Error::TooManyPrompts { waiting, asked: spec.jobs, limit });
        }
        // Records count an account's jobs, not those of a model.
        Ok(if is_shared { usize::MAX } else { self.waiting_limit(user, spec.kind()) })
    }

    /// Anonymous jobs that wait for one of these models; not counted on once there are more than `most`.
    fn waiting_for_the_same(&self, spec: &Spec, most: usize) -> usize {
        let (kind, models) = (spec.kind(), &spec.models);
        // Those that name several of them are counted for each: never too few.
        let bound = self.queue.anonymous(kind, models);
        if models.len() == 1 || bound + spec.jobs <= most {
            return bound;
        }
        let mut waiting = 0;
        for place in self.queue.of_owner(kind, UserId::ANONYMOUS) {
            let Some(request) = self.requests.get(&place.request) else { continue };
            if request.accepted.spec.models.iter().any(|model| models.contains(model)) {
                waiting += request.waiting();
                if waiting > most {
                    break;
                }
            }
        }
        waiting
    }

    /// Sets kudos aside, or makes the request one that needs none.
    fn set_aside(
        &self,
        user: &User,
        spec: &mut Spec,
        allow_downgrade: bool,
        must_shrink: bool,
    ) -> Result<()> {
        spec.origin.upfront = Kudos::ZERO;
        let load = if upfront::depends_on_load(spec) { self.demand(spec.kind()) } else { Load::default() };
        let on_worker_list = self.rules.upfront_kudos_on_worker_list;
        let Some(need) = upfront::need(spec, &*self.models, load, on_worker_list) else { return Ok(()) };
        let (needed, may_shrink) = (upfront::amount(spec, &*self.models), need == Need::Size);
        let is_there = self.available(user) >= needed;
        if is_there && !(must_shrink && may_shrink) {
            spec.origin.upfront = needed;
            return Ok(());
        }
        if !(allow_downgrade && may_shrink) {
            return Err(Error::KudosUpfront { needed, may_shrink });
        }
        upfront::shrink(spec, &*self.models, self.demand(spec.kind()));
        Ok(())
    }

    /// What an account can give away or set aside: Records have the last word.
    pub(super) fn available(&self, user: &User) -> Kudos {
        user.balance - user.floor() - self.set_aside_of(user.id)
    }

    /// Kudos of an account that are set aside for its open requests. Where other brokers serve them, too,
    /// what is left of that is known to Records alone, which have the last word.
    fn set_aside_of(&self, owner: UserId) -> Kudos {
        if self.peers.are_possible() {
            return Kudos::ZERO;
        }
        let left = |request: &super::request::Request| {
            (request.accepted.spec.origin.upfront - request.consumed).max(Kudos::ZERO)
        };
        self.accounts.open(owner).filter_map(|id| self.requests.get(&id)).map(left).sum()
    }

    /// How busy the broker is with a kind.
    pub(super) fn demand(&self, kind: Kind) -> Load {
        let (threads, _) = self.fleet.capacity(kind);
        Load { threads, queued: self.queued_jobs(kind) as u64 }
    }
}

fn count_extra_images(asked: &Asked, user: &User) -> Result<()> {
    let of_image = asked.spec.params.image().map_or(0, |image| image.extra_sources.len());
    let count = asked.extra_images.max(of_image);
    let (most, without_trust) = EXTRA_IMAGES;
    if count > most {
        return Err(Error::params(
            ParamRule::TooManyExtraSourceImages,
            format!("{count} extra_source_images are more than {most}: leave some out"),
        ));
    }
    if count > without_trust && !user.is(Role::Trusted) {
        return Err(Error::params(
            ParamRule::MoreThanMinExtraSourceImage,
            "only trusted users may send more than one of extra_source_images: send one",
        ));
    }
    Ok(())
}

/// What schools ask for is harmless, censored, and goes to trusted workers.
fn protect(spec: &mut Spec) {
    spec.nsfw = false;
    spec.trusted_workers = true;
    if let Params::Image(image) | Params::Video(image) = &mut spec.params {
        image.censor = true;
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::{
        domain::{
            RequestId, WorkerId,
            models::ModelReference,
            record::Record,
            request::{ImageParams, tests::image},
            user::KeyHash,
        },
        engine::{
            NewUser, Rules, Submitted,
            stage::{Stage, image_profile, image_spec, text_spec},
        },
    };

    fn stage(rules: Rules, kudos: i64, roles: Vec<Role>) -> Stage {
        let mut stage = Stage::with(rules);
        stage.engine.learn_models(Arc::new(ModelReference::built_in()));
        let new = NewUser {
            alias: "eve".into(),
            key: KeyHash::of("eve"),
            kudos: Kudos::whole(kudos),
            roles,
            concurrency: 30,
            worker_invites: 0,
        };
        stage.user = stage.act(|engine, step| engine.add_user(step, new)).unwrap().id;
        stage
    }

    fn plain(roles: Vec<Role>) -> Stage {
        stage(Rules::default(), 1000, roles)
    }

    fn sized(side: u32) -> Spec {
        let params = ImageParams { width: side, height: side, ..image() };
        Spec { params: Params::Image(Box::new(params)), ..image_spec(1) }
    }

    fn submit(stage: &mut Stage, asked: impl Into<Asked>) -> Result<(Submitted, Spec)> {
        let (id, owner) = (RequestId(uuid::Uuid::new_v4()), stage.user);
        let asked = asked.into();
        let submitted = stage.act(|engine, step| engine.submit(step, id, owner, asked))?;
        let view = stage.engine.view(id, stage.now).unwrap();
        Ok((submitted, (*view.accepted.spec).clone()))
    }

    fn code(result: Result<Vetted>) -> String {
        match result {
            Ok(_) => String::new(),
            Err(Error::BadParams { rule, .. }) => format!("{rule:?}"),
            Err(other) => format!("{other:?}").split([' ', '(']).next().unwrap().to_owned(),
        }
    }

    #[test]
    fn what_an_account_may_ask_for_is_asked_in_the_contracts_order() {
        // Each change breaks a rule before those that are broken already.
        let mut asked = Asked::from(sized(2048));
        let user = |roles| plain(roles);
        let (common, deleted) = (user(vec![]), user(vec![Role::Deleted]));
        let poor = stage(Rules::default(), 0, vec![]);
        let of = |stage: &Stage, asked: &Asked| code(stage.engine.vet(stage.user, asked.clone(), stage.now));
        assert_eq!(of(&common, &asked), "");
        assert_eq!(of(&poor, &asked), "KudosUpfront");
        asked.has_nul = true;
        assert_eq!(of(&poor, &asked), "NulByte");
        if let Params::Image(image) = &mut asked.spec.params {
            image.cfg_scale = 1.001;
        }
        assert_eq!(of(&poor, &asked), "BadCfgDecimals");
        asked.spec.jobs = 31;
        assert_eq!(of(&poor, &asked), "TooManyPrompts");
        asked.single_jobs = true;
        assert_eq!(of(&poor, &asked), "RequiresTrust");
        asked.unknown_worker = Some("x".into());
        assert_eq!(of(&poor, &asked), "WorkerNotFound");
        asked.spec.prompt.clear();
        assert_eq!(of(&poor, &asked), "MissingPrompt");
        asked.extra_images = 2;
        assert_eq!(of(&poor, &asked), "MoreThanMinExtraSourceImage");
        asked.extra_images = 6;
        assert_eq!(of(&poor, &asked), "TooManyExtraSourceImages");
        assert_eq!(of(&deleted, &asked), "DeletedUser");
        asked.spec.origin.proxied_account = Some("x".into());
        assert_eq!(of(&deleted, &asked), "OnlyServiceAccountProxy");
        assert_eq!(code(common.engine.vet(UserId(99), asked, common.now)), "InvalidApiKey");
    }

    #[test]
    fn roles_open_what_others_may_not() {
        let batchless = Asked { single_jobs: true, ..text_spec(2).into() };
        let proxied = Asked::from({
            let mut spec = text_spec(1);
            spec.origin.proxied_account = Some("somebody".into());
            spec
        });
        let mut images = image_spec(1);
        if let Params::Image(image) = &mut images.params {
            image.source_processing = "remix".into();
            image.extra_sources = vec![1.0; 5];
        }
        images.models = vec!["Stable Cascade 1.0".into()];
        for (asked, role) in
            [(batchless, Role::Trusted), (proxied, Role::Service), (images.into(), Role::Trusted)]
        {
            let vet = |roles| {
                let stage = plain(roles);
                stage.engine.vet(stage.user, asked.clone(), stage.now)
            };
            assert!(vet(vec![]).is_err(), "{role:?}");
            assert!(vet(vec![role]).is_ok(), "{role:?}");
        }
    }

    #[test]
    fn schools_are_protected() {
        let stage = plain(vec![Role::Education]);
        let spec = Spec { nsfw: true, ..image_spec(1) };
        let spec = stage.engine.vet(stage.user, spec.into(), stage.now).unwrap().spec;
        assert!(!spec.nsfw && spec.trusted_workers && spec.params.image().unwrap().censor);
    }

    #[test]
    fn every_worker_that_is_named_must_be_there() {
        let mut stage = plain(vec![]);
        stage.pop("painter", image_profile(1), Duration::ZERO);
        let known = stage.engine.worker_by_name("painter").unwrap().id;
        let vet = |asked: Asked| stage.engine.vet(stage.user, asked, stage.now);
        assert!(vet(Asked { workers: vec![known; 9], ..image_spec(1).into() }).is_ok());
        let stranger = WorkerId(uuid::Uuid::from_u128(7));
        let sixth =
            Asked { workers: vec![known, known, known, known, known, stranger], ..image_spec(1).into() };
        assert!(matches!(vet(sixth), Err(Error::WorkerNotFound(_))), "also the sixth");
    }

    #[test]
    fn anonymous_jobs_are_counted_by_model() {
        let mut stage = plain(vec![]);
        stage.user = UserId::ANONYMOUS;
        let of = |models: &[&str], jobs| {
            let models = models.iter().map(|model| (*model).into()).collect();
            Spec { models, ..text_spec(jobs) }
        };
        for _ in 0..25 {
            stage.submit(of(&["a", "b"], 20));
        }
        let vet =
            |models: &[&str]| code(stage.engine.vet(UserId::ANONYMOUS, of(models, 1).into(), stage.now));
        for (models, refusal, rule) in [
            (&["a"] as &[&str], "TooManyPrompts", "500 wait for a"),
            (&["b"], "TooManyPrompts", "and for b"),
            (&["a", "c"], "TooManyPrompts", "which is one of those"),
            (&["c"], "", "but none for c"),
            (&[], "TooManyPrompts", "any model: all count"),
        ] {
            assert_eq!(vet(models), refusal, "{rule}");
        }
        stage.submit(of(&["c"], 480));
        let vet = |models: &[&str], jobs| {
            code(stage.engine.vet(UserId::ANONYMOUS, of(models, jobs).into(), stage.now))
        };
        assert_eq!(vet(&["c"], 20), "");
        assert_eq!(vet(&["c"], 21), "TooManyPrompts");
        let images = image_spec(500);
        assert_eq!(
            code(stage.engine.vet(UserId::ANONYMOUS, images.into(), stage.now)),
            "",
            "kinds are apart"
        );
    }

    #[test]
    fn a_request_that_names_two_full_models_is_counted_once() {
        let mut stage = plain(vec![]);
        stage.user = UserId::ANONYMOUS;
        let of = |jobs| Spec { models: vec!["a".into(), "b".into()], ..text_spec(jobs) };
        stage.submit(of(300));
        assert!(stage.engine.vet(UserId::ANONYMOUS, of(200).into(), stage.now).is_ok(), "300 wait, not 600");
        assert!(stage.engine.vet(UserId::ANONYMOUS, of(201).into(), stage.now).is_err());
    }

    #[test]
    fn kudos_are_set_aside_once_and_released_when_the_request_is_done() {
        let mut stage = stage(Rules::default(), 0, vec![]);
        let needed = stage.engine.quote(&sized(1088));
        let enough = needed.as_f64().ceil() as i64 + 25;
        let user = stage.user;
        stage.act(|engine, step| engine.top_up(step, user, Kudos::whole(enough)));
        let (first, spec) = submit(&mut stage, sized(1088)).unwrap();
        assert_eq!(spec.origin.upfront, needed);
        let is_noted = stage.records().any(|record| {
            matches!(record, Record::KudosHeld { request, owner, amount, floor }
                if (*request, *owner, *amount, *floor) == (first.id, user, needed, Kudos::whole(25)))
        });
        assert!(is_noted);
        let again = submit(&mut stage, sized(1088));
        assert!(matches!(again, Err(Error::KudosUpfront { may_shrink: true, .. })), "they are spoken for");
        assert!(submit(&mut stage, sized(512)).is_ok(), "small ones need none");
        stage.act(|engine, step| engine.cancel(step, first.id));
        stage.act(|engine, step| engine.top_up(step, user, Kudos::whole(enough)));
        assert!(submit(&mut stage, sized(1088)).is_ok(), "what was left is free again");
    }

    #[test]
    fn what_a_request_costs_is_taken_from_what_is_set_aside_for_it() {
        let mut stage = stage(Rules::default(), 0, vec![]);
        let (user, job) = (stage.user, stage.engine.quote(&sized(1088)));
        stage
            .act(|engine, step| engine.top_up(step, user, Kudos::whole(2 * job.as_f64().ceil() as i64 + 25)));
        let (first, _) = submit(&mut stage, sized(1088)).unwrap();
        let consumed = stage.engine.view(first.id, stage.now).unwrap().consumed;
        assert!(consumed > Kudos::ZERO, "the activation");
        // The activation was paid out of what was set aside, so the second one still fits.
        assert!(submit(&mut stage, sized(1088)).is_ok());
        assert!(submit(&mut stage, sized(1088)).is_err());
    }

    #[test]
    fn who_allows_it_gets_a_smaller_request() {
        let mut stage = stage(Rules::default(), 0, vec![]);
        let fast = Spec { slow_workers: false, ..sized(2048) };
        let refused = submit(&mut stage, fast.clone()).unwrap_err();
        let Error::KudosUpfront { needed, .. } = refused else { panic!("{refused}") };
        assert!(refused.to_string().contains(&needed.to_string()), "{refused}");
        let (_, spec) = submit(&mut stage, Asked { allow_downgrade: true, ..fast.clone().into() }).unwrap();
        let image = spec.params.image().unwrap();
        assert_eq!((image.width, image.height, spec.slow_workers), (1024, 1024, true));
        assert_eq!(spec.origin.upfront, Kudos::ZERO);
        let user = stage.user;
        stage.act(|engine, step| engine.top_up(step, user, Kudos::whole(1000)));
        let (_, spec) = submit(&mut stage, Asked { allow_downgrade: true, ..fast.clone().into() }).unwrap();
        assert_eq!(spec.params.image().unwrap().width, 2048, "who can pay gets it all");
        let again = Asked { allow_downgrade: true, must_shrink: true, ..fast.into() };
        let (_, spec) = submit(&mut stage, again).unwrap();
        assert!(spec.params.image().unwrap().width <= 1024, "unless Records refused it");
        assert_eq!(spec.origin.upfront, Kudos::ZERO);
    }

    #[test]
    fn a_worker_list_cannot_be_shrunk_away() {
        let rules = Rules { upfront_kudos_on_worker_list: true, ..Rules::default() };
        let mut stage = stage(rules, 0, vec![]);
        stage.pop("painter", image_profile(1), Duration::ZERO);
        let worker = stage.engine.worker_by_name("painter").unwrap().id;
        let listed = Spec { workers: vec![worker], ..image_spec(1) };
        let asked = Asked { allow_downgrade: true, ..listed.clone().into() };
        assert!(matches!(submit(&mut stage, asked), Err(Error::KudosUpfront { may_shrink: false, .. })));
        let user = stage.user;
        stage.act(|engine, step| engine.top_up(step, user, Kudos::whole(100)));
        assert!(submit(&mut stage, listed).unwrap().1.origin.upfront > Kudos::ZERO);
    }
}
