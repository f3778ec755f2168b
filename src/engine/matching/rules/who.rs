//! Rules of all kinds: who asks, whom, and for what at all.

use super::{
    super::{Ease, Lift},
    Rule,
};
use crate::domain::{price, user::Role};

pub static MODELS: Rule = Rule {
    name: "models",
    why: "the worker serves none of the models (or does none of the forms) that are asked for",
    key: Some("models"),
    reads_job: "models",
    reads_worker: "models",
    asks_each: None,
    forbids: |pair| {
        let named = &pair.shape.models;
        !named.is_empty() && !named.iter().any(|model| pair.able.facts.serves(model))
    },
    eases: Some(Ease::other_models),
    lifts: Some(Lift::models),
};

/// Who serves a model for special accounts does nothing else.
pub static NO_MODELS: Rule = Rule {
    name: "no models",
    why: "the worker serves a model for special accounts, and takes only what names its models",
    key: None,
    reads_job: "models",
    reads_worker: "models",
    asks_each: None,
    forbids: |pair| pair.shape.models.is_empty() && pair.able.facts.has_special,
    eases: Some(Ease::other_models),
    lifts: Some(|_| Vec::new()),
};

pub static MAINTENANCE: Rule = Rule {
    name: "maintenance",
    why: "the worker is in maintenance and takes its owner's requests alone",
    key: None,
    reads_job: "owner",
    reads_worker: "maintenance, owner",
    asks_each: None,
    forbids: |pair| pair.able.worker.maintenance.is_some() && !pair.is_own,
    eases: None,
    lifts: Some(|_| vec![Lift::NoMaintenance]),
};

/// The last of all rules: a request that it alone forbids may be shown to the worker, not given.
pub static PAUSED: Rule = Rule {
    name: "paused",
    why: "the worker is paused by a moderator and takes its owner's requests alone",
    key: None,
    reads_job: "owner",
    reads_worker: "paused, owner",
    asks_each: None,
    forbids: |pair| pair.able.worker.standing.is_paused && !pair.is_own,
    eases: None,
    lifts: None,
};

pub static NSFW: Rule = Rule {
    name: "nsfw",
    why: "the worker takes nothing that may be nsfw",
    key: Some("nsfw"),
    reads_job: "nsfw",
    reads_worker: "nsfw",
    asks_each: None,
    forbids: |pair| pair.shape.nsfw && !pair.able.said.nsfw,
    eases: Some(|_| vec![Ease::NotNsfw]),
    lifts: Some(|_| vec![Lift::Nsfw]),
};

pub static TRUSTED: Rule = Rule {
    name: "trusted workers",
    why: "the request is for workers of trusted owners, and the worker's owner is not trusted",
    key: Some("untrusted"),
    reads_job: "trusted_workers",
    reads_worker: "owner's trust",
    asks_each: None,
    forbids: |pair| pair.shape.trusted_workers && !pair.able.owner_is_trusted,
    eases: Some(|_| vec![Ease::UntrustedWorkers]),
    lifts: None,
};

/// Texts are not searched: what their workers would not have is not asked of them.
pub static BLACKLIST: Rule = Rule {
    name: "blacklist",
    why: "the prompt has a word that the worker refuses",
    key: Some("blacklist"),
    reads_job: "prompt",
    reads_worker: "blacklist",
    asks_each: Some(|able| able.draws().is_some() && !able.said.blacklist.is_empty()),
    forbids: |pair| {
        let words = &pair.able.said.blacklist;
        pair.able.draws().is_some()
            && !words.is_empty()
            && pair.asked.is_some_and(|asked| {
                let prompt = asked.request.spec.prompt.to_lowercase();
                words.iter().any(|word| prompt.contains(word))
            })
    },
    eases: None,
    lifts: Some(|_| vec![Lift::NoBlacklist]),
};

pub static WORKER_LIST: Rule = Rule {
    name: "worker list",
    why: "the request's list of workers leaves the worker out",
    key: Some("worker_id"),
    reads_job: "workers, worker_blacklist",
    reads_worker: "id",
    asks_each: None,
    forbids: |pair| pair.shape.excludes(pair.able.worker.id),
    eases: Some(|_| vec![Ease::AnyWorker]),
    lifts: None,
};

pub static MATCHED_TARGETING: Rule = Rule {
    name: "matched targeting",
    why: "the request is for listed workers, and the worker does not serve its owner first",
    key: None,
    reads_job: "workers, worker_blacklist, owner",
    reads_worker: "owner, priority_usernames",
    asks_each: None,
    forbids: |pair| pair.able.matched_targeting && pair.shape.is_for_some() && !pair.is_preferred,
    eases: Some(|_| vec![Ease::AnyWorker]),
    lifts: None,
};

pub static UNSAFE_IP: Rule = Rule {
    name: "unsafe address",
    why: "the request comes from an unsafe address, and the worker takes none from there",
    key: Some("unsafe_ip"),
    reads_job: "requester's address",
    reads_worker: "allow_unsafe_ipaddr",
    asks_each: None,
    forbids: |pair| pair.shape.unsafe_ip && pair.able.is_drawing(|able| !able.unsafe_ip),
    eases: None,
    lifts: Some(|_| vec![Lift::UnsafeIp]),
};

/// What untrusted people ask for from unsafe addresses goes to workers of trusted ones.
pub static UNVETTED: Rule = Rule {
    name: "unvetted requester",
    why: "the request comes from an unsafe address, and the worker's owner is not trusted with those",
    key: Some("untrusted"),
    reads_job: "requester's address and trust",
    reads_worker: "owner's trust",
    asks_each: None,
    forbids: |pair| pair.shape.unsafe_ip && !pair.able.owner_is_trusted,
    eases: None,
    lifts: None,
};

pub static UPFRONT_KUDOS: Rule = Rule {
    name: "upfront kudos",
    why: "the worker wants kudos up front, and the requester has not enough for a job",
    key: Some("kudos"),
    reads_job: "requester's balance and trust, price of a job",
    reads_worker: "require_upfront_kudos, priority_usernames",
    asks_each: Some(|able| able.is_drawing(|able| able.require_upfront_kudos)),
    forbids: |pair| {
        let is_asked = pair.able.is_drawing(|able| able.require_upfront_kudos) && !pair.is_preferred;
        is_asked
            && pair.asked.is_some_and(|asked| {
                let price = asked.request.spec.params.image().map(price::image_job);
                let pays = |user: &crate::domain::user::User| {
                    user.is(Role::Trusted) || price.is_none_or(|price| user.balance - user.floor() >= price)
                };
                !asked.requester.is_some_and(pays)
            })
    },
    eases: Some(|_| Vec::new()),
    lifts: Some(|_| vec![Lift::NoUpfrontKudos]),
};
