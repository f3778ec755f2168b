//! Other brokers over the same records: what they have of the jobs that this engine knows.
//!
//! Every broker's engine knows all requests that are not over, and its own workers. A job that another
//! broker gave away is *away* here: neither to be offered nor forgotten. What is away is known by
//! hearsay ([`News`](crate::domain::news::News)), which may come late or twice; what is certain is in
//! Records, and is [learnt](Engine::learn) from there whenever hearsay does not suffice: a request that
//! nobody here has heard of, a deed that Records refused, a job whose holder is not known for too long.
//!
//! An attempt is looked after by one broker. Whoever has to do with one that is another's (its result
//! is handed in here, its worker presents it on a new stream, its broker is dead) [adopts](Engine::adopt)
//! it first. Two brokers may then end it at the same time: Records take the first.

mod adopt;
mod hear;
mod merge;
#[cfg(test)]
mod stories;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use super::{
    Claim, ClaimId, Effect, Engine, Step, Timer,
    request::{Away, Job, JobState, Request},
};
use crate::domain::{
    AttemptId, OfferId, RequestId, Timestamp,
    lease::{Attempt, Held},
    news::Hold,
    request::Kind,
};

pub use adopt::Adoption;

/// How long a hold that nobody explains is believed in.
const UNEXPLAINED: Duration = Duration::from_secs(5);
/// How long it holds that this broker leads, after it was told so.
const LEAD_HOLDS: Duration = Duration::from_secs(5);
/// When a request is read again because a hold on a job of it is not explained.
const EXPLAIN_WITHIN: Duration = Duration::from_secs(1);

/// What is known of other brokers.
pub(super) struct Peers {
    are_possible: bool,
    leads: bool,
    /// When it was last told whether it leads, and since when it does.
    led_at: Timestamp,
    leads_since: Timestamp,
    /// Jobs that are away.
    away: BTreeSet<(RequestId, usize)>,
    /// Of jobs with a claim out: who is said to hold them.
    rumours: HashMap<(RequestId, usize), Hold>,
    /// Requests that are to be read again, and when.
    rereads: HashMap<RequestId, Timestamp>,
}

impl Default for Peers {
    fn default() -> Self {
        Self {
            are_possible: false,
            leads: true,
            led_at: Timestamp::default(),
            leads_since: Timestamp::default(),
            away: BTreeSet::new(),
            rumours: HashMap::new(),
            rereads: HashMap::new(),
        }
    }
}

impl Peers {
    /// Whether there may be other brokers.
    pub fn are_possible(&self) -> bool {
        self.are_possible
    }

    /// Whether this broker runs the upkeep.
    pub fn leads(&self) -> bool {
        self.leads
    }

    /// Since when this broker counts how long workers are online; `None`: another one does. Over several
    /// brokers it is the leader, who hears of all workers: each that sees one would count the same time.
    pub fn counts_time_since(&self, now: Timestamp) -> Option<Timestamp> {
        match self.are_possible {
            false => Some(Timestamp::default()),
            // One that stood still for a while does not know what became of its lead.
            true => (self.leads && now.since(self.led_at) <= LEAD_HOLDS).then_some(self.leads_since),
        }
    }

    /// Forgets a request of so many jobs.
    pub fn forget(&mut self, id: RequestId, jobs: usize) {
        self.rereads.remove(&id);
        for job in 0..jobs {
            self.away.remove(&(id, job));
            self.rumours.remove(&(id, job));
        }
    }
}

/// What news leave to be done once all of them are known.
#[derive(Default)]
struct Aftermath {
    /// Offers that got room.
    freed: BTreeSet<OfferId>,
    /// Requests of which a job waits again.
    waiting: BTreeSet<RequestId>,
    /// Requests of which a job ended.
    ended: BTreeSet<RequestId>,
}

impl Engine {
    /// Allows for other brokers over the same records. Before anything is restored.
    pub fn share(&mut self) {
        self.peers.are_possible = true;
    }

    /// Whether this broker runs the upkeep. To be told again and again.
    pub fn lead(&mut self, now: Timestamp, leads: bool) {
        if leads && self.peers.counts_time_since(now).is_none() {
            self.peers.leads_since = now;
        }
        self.peers.leads = leads;
        self.peers.led_at = now;
    }

    /// Whether an attempt is looked after, or was ended, by this engine.
    pub fn is_at_home(&self, id: AttemptId) -> bool {
        let place = self.places.get(&id).and_then(|(request, job)| Some((self.requests.get(request)?, *job)));
        let is_decoy = self.decoys.knows(id);
        is_decoy
            || place.is_some_and(|(request, job)| match &request.jobs[job].state {
                JobState::Held(lease) => {
                    (lease.attempt.id == id && lease.borrowed_from.is_none())
                        || request.closed.contains_key(&id)
                }
                JobState::Done(outcome) => outcome.attempt == id || request.closed.contains_key(&id),
                _ => request.closed.contains_key(&id),
            })
    }

    /// Attempts on streams of brokers that are not among those that live, and their requests.
    pub fn orphans(&self, living: &[Arc<str>]) -> Vec<(RequestId, AttemptId)> {
        let is_orphan =
            |away: &Away| away.is_stream && !away.broker.is_empty() && !living.contains(&away.broker);
        self.away_that(is_orphan)
    }

    /// Attempts that no broker has said for so long that it looks after, and their requests: those on
    /// streams, or those of pops.
    pub fn unclaimed(&self, now: Timestamp, age: Duration, on_streams: bool) -> Vec<(RequestId, AttemptId)> {
        let is_unclaimed = |away: &Away| {
            away.broker.is_empty() && away.is_stream == on_streams && now.since(away.since) >= age
        };
        self.away_that(is_unclaimed)
    }

    fn away_that(&self, is_meant: impl Fn(&Away) -> bool) -> Vec<(RequestId, AttemptId)> {
        let meant = |(id, job): &(RequestId, usize)| match &self.requests.get(id)?.jobs[*job].state {
            JobState::Away(away) if is_meant(away) => Some((*id, away.attempt?)),
            _ => None,
        };
        self.peers.away.iter().filter_map(meant).collect()
    }

    /// Jobs of a kind that workers have from other brokers.
    pub(super) fn away_of(&self, kind: Kind) -> usize {
        self.peers.away.iter().filter(|(id, _)| self.kind_of_request(*id) == Some(kind)).count()
    }

    /// Requests with jobs that workers have from this broker or that are meant for them.
    pub fn requests_in_hand(&self) -> Vec<RequestId> {
        let in_hand = |request: &&Request| {
            let is_in_hand = |state: &JobState| matches!(state, JobState::Held(_) | JobState::Claimed(_));
            !request.done && request.jobs.iter().any(|job| is_in_hand(&job.state))
        };
        self.requests.values().filter(in_hand).map(Request::id).collect()
    }

    /// Requests that are not over, as far as this engine knows.
    pub fn open_requests(&self) -> Vec<RequestId> {
        self.requests.values().filter(|request| !request.done).map(Request::id).collect()
    }

    /// Takes a job out of the state it is in, and says which offer had a credit in use for it.
    pub(super) fn vacate(&mut self, id: RequestId, job: usize) -> Option<OfferId> {
        let request = self.requests.get_mut(&id)?;
        let state = std::mem::replace(&mut request.jobs[job].state, JobState::Dropped);
        match state {
            JobState::Waiting => {
                self.queue.change_jobs(request.place, &request.accepted, &[job], false);
                None
            }
            JobState::Held(lease) => {
                self.holds.remove(request.kind(), lease.attempt.worker, lease.attempt.id);
                lease.offer
            }
            JobState::Away(away) => {
                self.peers.away.remove(&(id, job));
                away.offer
            }
            JobState::Claimed(_) | JobState::Done(_) | JobState::Dropped | JobState::Gone(_) => None,
        }
    }

    /// Notes that a job is away.
    pub(super) fn put_away(&mut self, id: RequestId, job: usize, away: Away) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        request.jobs[job].attempts = request.jobs[job].attempts.max(away.number);
        if let Some(attempt) = away.attempt {
            self.places.insert(attempt, (id, job));
        }
        self.peers.away.insert((id, job));
        request.jobs[job].state = JobState::Away(Box::new(away));
    }

    /// A claim to a job was lost: to another broker, if there are any.
    pub(super) fn lose(&mut self, step: &mut Step<'_>, claim: ClaimId, id: RequestId, attempt: &Attempt) {
        let job = attempt.job;
        let Some(request) = self.requests.get(&id) else { return };
        let known = &request.jobs[job];
        if !matches!(known.state, JobState::Claimed(by) if by == claim) {
            return;
        }
        // One that waits at a later number by now has been returned since.
        if !self.peers.are_possible || request.is_over() || known.attempts > attempt.number {
            return self.requeue(id, job);
        }
        let away = match self.peers.rumours.remove(&(id, job)) {
            Some(hold) => Away::of(&hold, step.now),
            None => {
                let (number, broker) = (attempt.number, Arc::from(""));
                Away { attempt: None, number, broker, is_stream: false, since: step.now, offer: None }
            }
        };
        let is_explained = away.attempt.is_some();
        self.put_away(id, job, away);
        if !is_explained {
            self.reread_at(id, step.now.plus(EXPLAIN_WITHIN));
        }
    }

    /// Has a request read again then, if it is not to be read before.
    fn reread_at(&mut self, id: RequestId, at: Timestamp) {
        match self.peers.rereads.get(&id).copied() {
            Some(earlier) if earlier <= at => return,
            Some(later) => self.timers.remove(&(later, Timer::Reread(id))),
            None => false,
        };
        self.peers.rereads.insert(id, at);
        self.timers.insert((at, Timer::Reread(id)));
    }

    /// The time to read a request again has come.
    pub(super) fn reread_due(&mut self, step: &mut Step<'_>, id: RequestId) {
        self.peers.rereads.remove(&id);
        if self.unexplained_for(step.now, id).is_some() {
            step.effects.push(Effect::Reread(id));
        }
    }

    /// For how long somebody else's part in a request has not been known; `None`: nothing is unknown.
    fn unexplained_for(&self, now: Timestamp, id: RequestId) -> Option<Duration> {
        let request = self.requests.get(&id).filter(|request| !request.done)?;
        let is_open =
            |job: &Job| !matches!(job.state, JobState::Done(_) | JobState::Dropped | JobState::Gone(_));
        if !request.jobs.iter().any(is_open) {
            return Some(Duration::ZERO);
        }
        // Who looks after it is told a moment later. If not, it may have ended without news of it.
        let is_unknown = |away: &&Away| away.attempt.is_none() || away.broker.is_empty();
        request.away().filter(is_unknown).map(|away| now.since(away.since)).min()
    }

    /// Whether the jobs of a claim are still meant for it.
    pub(super) fn is_claimed(&self, claim: &Claim) -> bool {
        self.requests.get(&claim.request).is_some_and(|request| {
            claim.attempts.iter().all(
                |attempt| matches!(request.jobs[attempt.job].state, JobState::Claimed(by) if by == claim.id),
            )
        })
    }

    /// Makes the leases of a request that was read from Records those of other brokers.
    pub(super) fn give_away(&mut self, now: Timestamp, request: &mut Request) {
        request.is_ours = false;
        let id = request.id();
        for (job, known) in request.jobs.iter_mut().enumerate() {
            let JobState::Held(lease) = &known.state else { continue };
            self.places.insert(lease.attempt.id, (id, job));
            self.peers.away.insert((id, job));
            known.state = JobState::Away(Box::new(Away::recorded(&lease.attempt, now)));
        }
    }

    fn carry_on(&mut self, step: &mut Step<'_>, aftermath: Aftermath) {
        for id in aftermath.ended {
            step.cut();
            self.conclude(step, id);
        }
        for id in aftermath.waiting {
            step.cut();
            self.place_request(step, id);
        }
        for offer in aftermath.freed {
            step.cut();
            self.fill(step, offer);
        }
    }

    /// Gives room back to an offer.
    fn free(&mut self, offer: Option<OfferId>, aftermath: &mut Aftermath) {
        if let Some(offer) = offer {
            self.offers.take_room(offer, -1);
            aftermath.freed.insert(offer);
        }
    }
}

impl Away {
    /// What is said of a job.
    fn of(hold: &Hold, now: Timestamp) -> Self {
        Self {
            attempt: Some(hold.attempt),
            number: hold.number,
            broker: hold.broker.clone(),
            is_stream: hold.is_stream,
            since: now,
            offer: None,
        }
    }

    /// What Records say of a job; not who looks after it.
    fn recorded(attempt: &Attempt, now: Timestamp) -> Self {
        Self {
            attempt: Some(attempt.id),
            number: attempt.number,
            broker: Arc::from(""),
            is_stream: attempt.held == Held::Stream,
            since: now,
            offer: None,
        }
    }
}
