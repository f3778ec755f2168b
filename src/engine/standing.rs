//! What becomes of a worker's standing: what its owner and moderators change, drops, and suspicion.

use super::{Engine, Push, Step};
use crate::domain::{
    Error, Result, UserId, WorkerId,
    record::Record,
    request::Kind,
    standing::{
        BELIEVABLE_PIXEL_STEPS, DROPS_TEXT, LONGEST_MAINTENANCE, MAINTENANCE_TEXT, MAX_SUSPICION, Ruling,
        Suspect, believable_tokens,
    },
    user::{Role, User},
    words::{self, LONGEST_NAME},
    worker::Worker,
};

/// Jobs that a worker may drop within an hour: commonly, in raid mode, and alchemists.
const MOST_DROPS: (i64, i64, i64) = (20, 10, 100);
/// How long drops are counted together, in seconds.
const DROP_SECONDS: i64 = 3600;

/// What is to change of a worker; `None`: it stays.
#[derive(Clone, Debug, Default)]
pub struct WorkerUpdate {
    /// In maintenance, or not.
    pub maintenance: Option<bool>,
    /// What it tells others in maintenance; empty or `None`: the common text.
    pub maintenance_text: Option<String>,
    /// What its owner says of it.
    pub info: Option<String>,
    /// Gets nothing to do.
    pub is_paused: Option<bool>,
    /// Its name, as it was sent.
    pub name: Option<String>,
    /// ID of its team; empty: none.
    pub team: Option<String>,
}

/// What has changed.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct WorkerUpdated {
    /// In maintenance, or not.
    pub maintenance: Option<bool>,
    /// What its owner says of it.
    pub info: Option<String>,
    /// Gets nothing to do.
    pub is_paused: Option<bool>,
    /// Its name, as it is kept.
    pub name: Option<String>,
    /// Name of its team; `Some(None)`: it has none now.
    pub team: Option<Option<String>>,
}

/// Who changes a worker.
struct Changer {
    owns: bool,
    moderates: bool,
    is_anonymous: bool,
}

impl Changer {
    fn of(user: &User, worker: &Worker) -> Self {
        Self {
            owns: worker.owner == user.id,
            moderates: user.keeps_order(),
            is_anonymous: user.id == UserId::ANONYMOUS,
        }
    }

    /// Owners and moderators; this is what others are told.
    fn demand(&self, refusal: Error) -> Result<()> {
        if self.owns || self.moderates { Ok(()) } else { Err(refusal) }
    }

    fn demand_name(&self) -> Result<()> {
        if self.is_anonymous { Err(Error::AnonForbiddenWorker) } else { Ok(()) }
    }
}

impl Engine {
    /// Changes a worker, field by field in the contract's order: what comes before a refusal stays changed.
    ///
    /// # Errors
    /// WorkerNotFound, InvalidAPIKey; NotOwner (maintenance, info), NotModerator (the others),
    /// AnonForbiddenWorker, ProfaneWorkerInfo, ProfaneWorkerName, TooLongWorkerName,
    /// WorkerNameAlreadyExists, TeamNotFound; NoWorkerModSelected if nothing is to change.
    pub fn update_worker(
        &mut self,
        step: &mut Step<'_>,
        caller: UserId,
        id: WorkerId,
        update: WorkerUpdate,
    ) -> Result<WorkerUpdated> {
        let worker = self.fleet.get(id).ok_or_else(|| Error::WorkerNotFound(id.to_string()))?;
        let user = self.accounts.get(caller).ok_or(Error::InvalidApiKey)?;
        let changer = Changer::of(user, worker);
        let mut done = WorkerUpdated::default();
        if let Some(on) = update.maintenance {
            changer.demand(Error::NotOwner)?;
            let text = on.then(|| maintenance_text(update.maintenance_text.as_deref()));
            self.rule(step, id, Ruling { maintenance: Some(text), ..Ruling::default() });
            done.maintenance = Some(on);
        }
        if let Some(info) = update.info {
            changer.demand(Error::NotOwner)?;
            changer.demand_name()?;
            if self.rules.people.profanity.is_in(&info) {
                return Err(Error::ProfaneWorkerInfo);
            }
            self.rule(step, id, Ruling { info: Some(info.clone()), ..Ruling::default() });
            done.info = Some(info);
        }
        if let Some(is_paused) = update.is_paused {
            if !changer.moderates {
                return Err(Error::NotModerator);
            }
            self.rule(step, id, Ruling { is_paused: Some(is_paused), ..Ruling::default() });
            done.is_paused = Some(is_paused);
        }
        if let Some(name) = update.name {
            changer.demand(Error::NotModerator)?;
            changer.demand_name()?;
            done.name = Some(self.rename(step, id, &name)?);
        }
        if let Some(team) = update.team {
            changer.demand(Error::NotModerator)?;
            changer.demand_name()?;
            done.team = Some(self.join_team(step, id, &team)?);
        }
        if done == WorkerUpdated::default() { Err(Error::NoWorkerModSelected) } else { Ok(done) }
    }

    fn rename(&mut self, step: &mut Step<'_>, id: WorkerId, sent: &str) -> Result<String> {
        let name = words::safe_name(sent);
        if self.rules.people.profanity.is_in(&name) {
            return Err(Error::ProfaneWorkerName);
        }
        if sent.trim().chars().count() > LONGEST_NAME {
            return Err(Error::TooLongWorkerName);
        }
        if name.is_empty() {
            return Err(Error::BadRequest("the worker's name is empty: give it one".into()));
        }
        match self.fleet.by_name(&name) {
            Some(other) if other.id != id => Err(Error::WorkerNameAlreadyExists(name)),
            Some(_) => Ok(name),
            None => {
                // A deed of its own: should another broker have given the name away, the others hold.
                step.cut();
                self.rule(step, id, Ruling { name: Some(name.clone()), ..Ruling::default() });
                Ok(name)
            }
        }
    }

    /// Deletes a worker, and returns what it was called.
    ///
    /// # Errors
    /// WorkerNotFound, InvalidAPIKey, AnonForbiddenWorker, NotModerator; Locked while it holds jobs.
    pub fn delete_worker(&mut self, step: &mut Step<'_>, caller: UserId, id: WorkerId) -> Result<String> {
        let worker = self.fleet.get(id).ok_or_else(|| Error::WorkerNotFound(id.to_string()))?;
        let user = self.accounts.get(caller).ok_or(Error::InvalidApiKey)?;
        let changer = Changer::of(user, worker);
        changer.demand_name()?;
        changer.demand(Error::NotModerator)?;
        let name = worker.name.clone();
        if self.is_at_work(id) {
            return Err(Error::WorkerLocked);
        }
        self.dismiss(step, id);
        step.persist(Record::WorkerDropped(id));
        Ok(name)
    }

    /// Whether a worker holds a job, or is about to.
    pub(super) fn is_at_work(&self, id: WorkerId) -> bool {
        let is_claimed =
            || self.claims.values().any(|claim| claim.attempts.iter().any(|attempt| attempt.worker == id));
        !self.open_attempts_of(id).is_empty() || is_claimed()
    }

    /// Forgets a worker that Records know no more. One that holds a job here stays until it pops again.
    pub fn forget_worker(&mut self, step: &mut Step<'_>, id: WorkerId) {
        if !self.is_at_work(id) {
            self.dismiss(step, id);
        }
    }

    pub(super) fn dismiss(&mut self, step: &mut Step<'_>, id: WorkerId) {
        self.decoys.forget_worker(id);
        self.end_offers(step, id);
        self.fleet.remove(id);
        self.count_capacity_soon(step.now);
    }

    /// Ends what a worker waits on.
    pub(super) fn end_offers(&mut self, step: &mut Step<'_>, id: WorkerId) {
        let offers: Vec<_> = self.offers.of_worker(id).into_iter().flatten().copied().collect();
        for offer in offers {
            if self.offers.get(offer).is_some_and(|offer| offer.is_stream) {
                step.deliver(offer, Push::Dismissed);
                self.close_stream(step, offer);
            } else {
                self.end_pop(step, offer);
            }
        }
    }

    /// Changes what is said of a worker, for good.
    pub(super) fn rule(&mut self, step: &mut Step<'_>, id: WorkerId, ruling: Ruling) {
        if ruling.maintenance.is_some() || ruling.is_paused.is_some() {
            self.accrue_waiting(step.now, id);
        }
        let Some(mut worker) = self.fleet.get(id).cloned() else { return };
        if let Some(maintenance) = &ruling.maintenance {
            worker.maintenance.clone_from(maintenance);
        }
        if let Some(name) = &ruling.name {
            worker.name.clone_from(name);
        }
        ruling.apply(&mut worker.standing);
        step.persist(Record::WorkerRuled { worker: id, ruling: Box::new(ruling) });
        self.fleet.insert(worker);
        self.refill(step, &[id]);
    }

    /// Gives workers what they may take now and might not before.
    pub fn refill(&mut self, step: &mut Step<'_>, workers: &[WorkerId]) {
        for worker in workers {
            let offers: Vec<_> = self.offers.of_worker(*worker).into_iter().flatten().copied().collect();
            for offer in offers {
                self.fill(step, offer);
            }
        }
    }

    /// All workers of an account are beyond suspicion: it is trusted from now on.
    pub fn clear_suspicion(&mut self, step: &mut Step<'_>, owner: UserId) {
        let crew: Vec<_> =
            self.fleet.crew(owner).map(|crew| crew.all.iter().copied().collect()).unwrap_or_default();
        for id in crew {
            let Some(worker) = self.fleet.get(id) else { continue };
            if worker.standing.is_paused || worker.standing.suspicion.points() > 0 {
                self.rule(step, id, Ruling { is_paused: Some(false), clears: true, ..Ruling::default() });
            }
        }
    }

    /// Notes a suspicion; enough of them pause a worker of an owner who is not trusted.
    pub(super) fn suspect_worker(&mut self, step: &mut Step<'_>, id: WorkerId, suspect: Suspect) {
        let Some(worker) = self.fleet.get(id) else { return };
        let Some(more) = worker.standing.suspicion.adding(suspect) else { return };
        let mut all = worker.standing.suspicion;
        all.add(more);
        let trusted = self.accounts.get(worker.owner).is_some_and(|owner| owner.is(Role::Trusted));
        let pauses = self.rules.people.judges && !trusted && all.points() >= MAX_SUSPICION;
        let is_paused = (pauses && !worker.standing.is_paused).then_some(true);
        self.rule(step, id, Ruling { suspicion: more, is_paused, ..Ruling::default() });
    }

    /// A worker has dropped a job. Too many within an hour put it into maintenance.
    ///
    /// They are read off its figures, which hold what other brokers count, too; that an hour is going on is
    /// known here alone.
    pub(super) fn count_drop(&mut self, step: &mut Step<'_>, id: WorkerId) {
        if !self.rules.people.judges {
            return;
        }
        let is_raided = self.modes().raid;
        let Some(worker) = self.fleet.get(id) else { return };
        let (kind, dropped) = (worker.profile.kind(), worker.stats.uncompleted);
        let (common, raided, alchemists) = MOST_DROPS;
        let most = match kind {
            Kind::Alchemy => alchemists,
            _ if is_raided => raided,
            _ => common,
        };
        let window = self.fleet.drops.entry(id).or_insert((step.now, dropped - 1));
        if step.now.seconds_since(window.0) > DROP_SECONDS {
            *window = (step.now, dropped - 1);
        }
        if dropped - window.1 <= most {
            return;
        }
        self.fleet.drops.remove(&id);
        if !is_raided {
            let maintenance = Some(Some(DROPS_TEXT.to_owned()));
            self.rule(step, id, Ruling { maintenance, ..Ruling::default() });
        }
        self.suspect_worker(step, id, Suspect::Drops);
    }

    /// A worker has delivered a job at this speed, in things per second. Some speeds are not believed.
    pub(super) fn judge_speed(&mut self, step: &mut Step<'_>, id: WorkerId, model: &str, speed: f64) {
        if !self.rules.people.judges {
            return;
        }
        let most = match self.fleet.get(id).map(|worker| worker.profile.kind()) {
            Some(Kind::Image | Kind::Video) => BELIEVABLE_PIXEL_STEPS,
            Some(Kind::Text) => believable_tokens(model, self.models.billions(model)),
            Some(Kind::Alchemy) | None => return,
        };
        if speed > most {
            self.suspect_worker(step, id, Suspect::Speed);
        }
    }
}

/// What a worker in maintenance tells others.
fn maintenance_text(sent: Option<&str>) -> String {
    match sent.filter(|text| !text.is_empty()) {
        Some(text) => text.chars().take(LONGEST_MAINTENANCE).collect(),
        None => MAINTENANCE_TEXT.to_owned(),
    }
}
