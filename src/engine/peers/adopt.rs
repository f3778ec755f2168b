//! Looking after an attempt that was another broker's.

use std::{collections::HashMap, sync::Arc, time::Duration};

use crate::{
    domain::{
        AttemptId, RequestId,
        event::Event,
        lease::Held,
        record::{Record, StoredRequest},
        result::{Outcome, Product},
    },
    engine::{
        Engine, Step, Timer,
        request::{Away, JobState, Lease},
        restore,
    },
};

/// How long a worker whose broker died has to present its jobs at another one, once that is known.
const PRESENT_WITHIN: Duration = Duration::from_secs(1);

/// How long a result may take that is about to be handed in; afterwards its broker looks after it again.
const HAND_IN_WITHIN: Duration = Duration::from_secs(20);

/// Why an attempt is adopted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Adoption {
    /// Its result is about to be handed in.
    HandIn,
    /// Its worker goes on with it here: it reports on it, or presents it on a stream.
    GoesOn,
    /// The broker that pushed it is dead.
    Orphaned,
    /// Its lease is over, and nobody has ended it.
    Overdue,
}

impl Engine {
    /// Looks after attempts of a request that other brokers gave out, as Records have them. `told` has the
    /// text that was told of each so far. The request was [learnt](Engine::learn) before, from the same
    /// reading.
    pub fn adopt(
        &mut self,
        step: &mut Step<'_>,
        stored: StoredRequest,
        named: &[AttemptId],
        told: &mut HashMap<AttemptId, String>,
        why: Adoption,
    ) {
        let id = stored.request.id;
        let mut read = restore::rebuild(stored);
        for job in 0..read.jobs.len() {
            let state = std::mem::replace(&mut read.jobs[job].state, JobState::Dropped);
            let JobState::Held(lease) = state else { continue };
            let is_borrowed =
                |state: &JobState| matches!(state, JobState::Held(held) if held.borrowed_from.is_some());
            let known = self.requests.get(&id).and_then(|request| request.jobs.get(job));
            if why != Adoption::HandIn && known.is_some_and(|known| is_borrowed(&known.state)) {
                self.give_back(step, id, job);
            }
            let Some(request) = self.requests.get(&id) else { return };
            let Some(JobState::Away(away)) = request.jobs.get(job).map(|known| &known.state) else {
                continue;
            };
            let attempt = lease.attempt.id;
            // One that is not open in Records, or another's since, is not to be had.
            if named.contains(&attempt) && away.attempt.is_none_or(|known| known == attempt) {
                step.cut();
                self.adopt_lease(step, id, job, *lease, told.remove(&attempt), why);
            }
        }
    }

    /// Gives an attempt back to the broker that looks after it.
    pub(in crate::engine) fn give_back(&mut self, step: &mut Step<'_>, id: RequestId, job: usize) {
        let Some(request) = self.requests.get(&id) else { return };
        let JobState::Held(lease) = &request.jobs[job].state else { return };
        let mut away = Away::recorded(&lease.attempt, step.now);
        if let Some((broker, is_stream)) = lease.borrowed_from.clone() {
            (away.broker, away.is_stream) = (broker, is_stream);
        }
        away.offer = self.vacate(id, job);
        self.put_away(id, job, away);
    }

    fn adopt_lease(
        &mut self,
        step: &mut Step<'_>,
        id: RequestId,
        job: usize,
        mut lease: Lease,
        told: Option<String>,
        why: Adoption,
    ) {
        let Some(request) = self.requests.get(&id) else { return };
        let (kind, cancelled) = (request.kind(), request.cancelled);
        if !request.is_ours {
            // The broker that should have told its log of these may be no more; what was told is not
            // told twice.
            for outcome in request.delivered() {
                tell_again(step, id, outcome);
            }
        }
        let home = match &request.jobs[job].state {
            JobState::Away(away) => (away.broker.clone(), away.is_stream),
            _ => (Arc::from(""), lease.is_stream()),
        };
        lease.offer = self.vacate(id, job);
        lease.cancelled = cancelled && lease.attempt.held == Held::Stream;
        match why {
            Adoption::Orphaned => lease.deadline = Some(step.now.plus(PRESENT_WITHIN)),
            Adoption::GoesOn => {
                // Tells the other brokers, too, who looks after it now.
                let expires_at = lease.attempt.expires_at.max(step.now.plus(lease.ttl / 2));
                lease.attempt.expires_at = expires_at;
                lease.stored_expiry = expires_at;
                step.persist(Record::LeaseMoved { attempt: lease.attempt.id, expires_at });
            }
            Adoption::HandIn => {
                lease.borrowed_from = Some(home);
                lease.deadline = Some(step.now.plus(HAND_IN_WITHIN));
            }
            Adoption::Overdue => {}
        }
        match told {
            Some(told) => {
                lease.told_bytes = told.len();
                lease.reported = told;
            }
            // What its worker said of it nobody knows: it says so again.
            None => step.tell(id, Event::Reset { job: Some(job) }),
        }
        let attempt = lease.attempt.id;
        self.timers.insert((lease.due(), Timer::Lease(attempt)));
        self.holds.add(kind, lease.attempt.worker, attempt);
        self.places.insert(attempt, (id, job));
        if let Some(request) = self.requests.get_mut(&id) {
            request.is_ours = true;
            request.jobs[job].state = JobState::Held(Box::new(lease));
        }
    }
}

/// Tells a result that is in Records.
fn tell_again(step: &mut Step<'_>, id: RequestId, outcome: &Arc<Outcome>) {
    let (job, attempt) = (outcome.job, outcome.number);
    step.tell(id, Event::Reset { job: Some(job) });
    if let Product::Text(text) = &outcome.product
        && !text.is_empty()
    {
        step.tell(id, Event::Token { job, attempt, text: text.clone() });
    }
    step.tell(id, Event::Result { job, attempt, outcome: outcome.clone() });
}
