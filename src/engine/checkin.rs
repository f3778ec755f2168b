//! Who may work here: the order in which a pop's worker is looked up, judged, and made.
//!
//! ```text
//!  account ──► name, kind ──► address ──┬─► new: words, invitation, how many ──┬─► models ──► in
//!                                       └─► known: whose? ─────────────────────┘
//! ```
//!
//! Source: the workers of the v2 contract. What a pop says of its worker holds from that pop on.

use std::{net::IpAddr, sync::Arc};

use super::{Engine, Step};
use crate::{
    config::{ImageModels, Network},
    domain::{
        Error, Result, UserId, WorkerId,
        record::Record,
        request::Kind,
        standing::{Standing, Suspect, Suspicion},
        user::{Role, User},
        words::WordList,
        worker::{Profile, Skills, Worker, WorkerChange, WorkerStats},
    },
};

/// How often the time a worker was last seen is written, at most, in seconds.
const SEEN_SECONDS: u64 = 60;
/// Words that no worker's name has in it: machines that their hosts do not want used so.
const FORBIDDEN_NAMES: [&str; 3] = ["colab", "tpu", "google"];
/// Names longer than this are suspect, and those longer than the other one twice, in characters.
const LONG_NAMES: (usize, usize) = (100, 200);
/// Images larger than this nobody makes, in pixels.
const HUGE_PIXELS: i64 = 3072 * 3072;

/// Who may work here, as far as an operator can say.
#[derive(Clone, Debug, Default)]
pub struct PeopleRules {
    /// Words that are not wanted in names.
    pub profanity: Arc<WordList>,
    /// Networks that hide who is behind them.
    pub unsafe_networks: Vec<Network>,
    /// Which models image workers may serve.
    pub image_models: ImageModels,
    /// Workers that drop many jobs go into maintenance, and suspects of untrusted owners are paused.
    pub judges: bool,
}

/// A worker that pops.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Its name, made safe to show.
    pub name: &'a str,
    /// How long its name was, in characters.
    pub name_length: usize,
    /// Where it comes from.
    pub address: Option<IpAddr>,
}

impl<'a> From<&'a str> for Arrival<'a> {
    fn from(name: &'a str) -> Self {
        Self { name, name_length: name.chars().count(), address: None }
    }
}

impl<'a> From<&'a String> for Arrival<'a> {
    fn from(name: &'a String) -> Self {
        Self::from(name.as_str())
    }
}

impl Arrival<'_> {
    pub(super) fn unknown(&self) -> Error {
        Error::WorkerNotFound(self.name.to_owned())
    }
}

impl Engine {
    /// Finds or makes the worker that pops, and takes over what it says of itself.
    ///
    /// # Errors
    /// Those of the contract's resolution order: InvalidAPIKey, DeletedUser, WorkerFlagged,
    /// AnonForbiddenWorker, PolymorphicNameConflict, TimeoutIP, UnsafeIP, TooManyNewIPs; for a new worker
    /// ProfaneWorkerName, ProfaneBridgeAgent, WorkerInviteOnly, TooManyWorkers, TooManySameIPs; for one that
    /// is known WrongCredentials; and [`Error::BadRequest`] when no model is left that may be served.
    pub(super) fn check_in(
        &mut self,
        step: &mut Step<'_>,
        caller: UserId,
        arrival: &Arrival<'_>,
        profile: &mut Profile,
    ) -> Result<WorkerId> {
        let user = self.accounts.get(caller).ok_or(Error::InvalidApiKey)?;
        if user.is(Role::Deleted) {
            return Err(Error::DeletedUser);
        }
        if user.is(Role::Flagged) {
            return Err(Error::WorkerFlagged);
        }
        if user.id == UserId::ANONYMOUS {
            return Err(Error::AnonForbiddenWorker);
        }
        let known = self.fleet.by_name(arrival.name);
        if known.is_some_and(|known| known.profile.listed_as() != profile.listed_as()) {
            return Err(Error::PolymorphicNameConflict(arrival.name.to_owned()));
        }
        let is_from_unsafe = self.judge_address(user, arrival.address, step.now)?;
        match known {
            None => self.may_register(user, arrival, profile)?,
            Some(known) if known.owner != caller => return Err(Error::WrongCredentials),
            Some(_) => {}
        }
        profile.models = self.servable(user, profile)?;
        let Profile { models, extras, .. } = &mut *profile;
        extras.video_models.retain(|model| models.contains(model));
        let (limit, trusted) = (user.worker_limit(), user.is(Role::Trusted));
        let suspects = suspects(arrival, profile, trusted, is_from_unsafe);
        let id = match known.map(|known| known.id) {
            Some(id) => {
                self.refresh(step, id, profile.clone(), arrival.address);
                for suspect in suspects {
                    self.suspect_worker(step, id, suspect);
                }
                id
            }
            None => {
                let mut suspicion = Suspicion::default();
                suspects.iter().filter_map(|suspect| Suspicion::default().adding(*suspect)).for_each(
                    |more| {
                        suspicion.add(more);
                    },
                );
                let worker = Worker {
                    id: WorkerId(step.dice.uuid()),
                    name: arrival.name.to_owned(),
                    owner: caller,
                    created_at: step.now,
                    seen_at: step.now,
                    profile: profile.clone(),
                    maintenance: None,
                    stats: WorkerStats::default(),
                    standing: Standing { address: arrival.address, suspicion, ..Standing::default() },
                };
                let id = worker.id;
                step.persist(Record::WorkerMade { worker: Arc::new(worker.clone()), limit, trusted });
                self.fleet.begin(worker, step.now);
                self.count_capacity_soon(step.now);
                id
            }
        };
        self.note_active(step, caller);
        Ok(id)
    }

    /// What a worker that is known says of itself holds from now on; that it was seen is written once in a
    /// while.
    fn refresh(&mut self, step: &mut Step<'_>, id: WorkerId, profile: Profile, address: Option<IpAddr>) {
        let Some(worker) = self.fleet.get(id) else { return };
        let was_online = worker.is_online(step.now);
        let profile = profile.following(&worker.profile, worker.seen_at, step.now);
        let address = address.or(worker.standing.address);
        let changed = worker.profile != profile || worker.standing.address != address;
        self.accrue(step.now, id);
        if changed && let Some(worker) = self.fleet.get(id) {
            let standing = Standing { address, ..worker.standing.clone() };
            self.fleet.insert(Worker { profile, standing, ..worker.clone() });
        }
        if changed || self.fleet.written_at(id).is_none_or(|at| step.now.since(at).as_secs() >= SEEN_SECONDS)
        {
            self.store_worker(step, id);
        }
        if changed || !was_online {
            self.count_capacity_soon(step.now);
        }
    }

    /// Writes down what is known of a worker: when it was seen, what it says of itself, its time online.
    fn store_worker(&mut self, step: &mut Step<'_>, id: WorkerId) {
        let Some(worker) = self.fleet.get(id).cloned() else { return };
        step.persist(Record::WorkerSaid(worker.into()));
        let change = self.fleet.take_written(id, step.now);
        if change != WorkerChange::default() {
            step.persist(Record::WorkerCounted { worker: id, change });
            self.count_time(step, id, change.uptime_seconds);
        }
    }

    /// Whether an account may have another worker.
    fn may_register(&self, user: &User, arrival: &Arrival<'_>, profile: &Profile) -> Result<()> {
        let profanity = &self.rules.people.profanity;
        if profanity.is_in(arrival.name) {
            return Err(Error::ProfaneWorkerName);
        }
        if profanity.is_in(&profile.bridge.agent) {
            return Err(Error::ProfaneBridgeAgent);
        }
        let lower = arrival.name.to_lowercase();
        if let Some(word) = FORBIDDEN_NAMES.into_iter().find(|word| lower.contains(word)) {
            return Err(Error::BadRequest(format!(
                "a worker's name may not contain {word:?}: please do not run workers on such machines"
            )));
        }
        let crew = self.fleet.crew(user.id);
        let count = crew.map_or(0, |crew| crew.counted);
        if self.modes().invite_only && count >= user.worker_invites {
            return Err(Error::WorkerInviteOnly { count, invited: user.worker_invites });
        }
        let (limit, trusted) = (user.worker_limit(), user.is(Role::Trusted));
        if count > limit {
            return Err(Error::TooManyWorkers { count, limit, trusted });
        }
        // The same numbers hold for workers behind one address, alchemists among them.
        if let (Some(crew), Some(address)) = (crew.filter(|crew| crew.all.len() > limit), arrival.address) {
            let workers = crew.all.iter().filter_map(|id| self.fleet.get(*id));
            let count = workers.filter(|worker| worker.standing.address == Some(address)).count();
            if count > limit {
                return Err(Error::TooManySameIps { count, limit });
            }
        }
        Ok(())
    }

    /// What of a worker's models it may serve.
    ///
    /// A name with a suffix, `model::alias#1`, is an account's own: only its owner's workers serve it, and
    /// images only if the account is special.
    fn servable(&self, user: &User, profile: &Profile) -> Result<Vec<Arc<str>>> {
        let kind = profile.kind();
        let draws = matches!(kind, Kind::Image | Kind::Video);
        let takes_any =
            !draws || self.rules.people.image_models == ImageModels::Any || user.is(Role::Customizer);
        let mut models = Vec::with_capacity(profile.models.len());
        for model in &profile.models {
            match model.split_once("::") {
                _ if kind == Kind::Alchemy => models.push(model.clone()),
                Some((_, whose)) if whose != user.username() || draws && !user.is(Role::Special) => {
                    return Err(Error::BadRequest(format!(
                        "the model {model:?} is {whose}'s own, and this account may not serve it: take it out"
                    )));
                }
                None if !takes_any && !self.models.knows(kind, model) => {}
                _ => models.push(model.clone()),
            }
        }
        if models.is_empty() {
            return Err(Error::BadRequest(match profile.models.is_empty() {
                true => "unfortunately we cannot accept workers serving no model; name at least one".into(),
                false => {
                    "unfortunately we cannot accept workers serving models that are not in the reference \
                          of this server"
                        .into()
                }
            }));
        }
        Ok(models)
    }
}

/// What a worker is suspected for when it comes in.
fn suspects(arrival: &Arrival<'_>, profile: &Profile, trusted: bool, is_from_unsafe: bool) -> Vec<Suspect> {
    let claims_much = match &profile.skills {
        Skills::Image(skills) | Skills::Video(skills) => skills.max_pixels > HUGE_PIXELS,
        Skills::Text(_) | Skills::Alchemy(_) => false,
    };
    [
        (arrival.name_length > LONG_NAMES.0, Suspect::LongName),
        (arrival.name_length > LONG_NAMES.1, Suspect::VeryLongName),
        (claims_much && !trusted, Suspect::HugeImages),
        (is_from_unsafe, Suspect::UnsafeAddress),
    ]
    .into_iter()
    .filter_map(|(applies, suspect)| applies.then_some(suspect))
    .collect()
}
