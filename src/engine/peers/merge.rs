//! What Records say of a request, beside what is known of it here.
//!
//! Records are right about what is written down. What this broker decided and has not written yet
//! (it is on its way) is kept, unless Records have refused it.

use std::collections::{BTreeSet, HashMap};

use super::{Aftermath, Away, EXPLAIN_WITHIN, UNEXPLAINED};
use crate::{
    domain::{
        AttemptId, RequestId, Timestamp,
        event::Event,
        lease::{Attempt, Closed},
        news::Hold,
        record::StoredRequest,
        user::User,
        worker::Worker,
    },
    engine::{
        Effect, Engine, Step,
        request::{Job, JobState, Request},
        restore,
    },
};

/// What becomes of a job.
enum Turn {
    /// It stays as it is here.
    Stay,
    /// It waits, or will never have a worker if its request is over.
    Idle,
    /// It stands as Records say, with its holder at another broker.
    Away(Away),
    /// It has this result.
    Done(std::sync::Arc<crate::domain::result::Outcome>),
}

/// What was read of a request, and what may not be believed of it here.
struct Reading<'a> {
    read: &'a Request,
    /// Attempts whose beginning or end Records refused.
    refused: &'a BTreeSet<AttemptId>,
    /// Who is said to hold jobs with a claim out.
    rumours: &'a HashMap<(RequestId, usize), Hold>,
    now: Timestamp,
}

impl Reading<'_> {
    /// An attempt that is looked after elsewhere; by whom, if that was heard.
    fn away(&self, job: usize, attempt: &Attempt) -> Away {
        let rumour = self.rumours.get(&(self.read.id(), job)).filter(|hold| hold.attempt == attempt.id);
        rumour.map_or_else(|| Away::recorded(attempt, self.now), |hold| Away::of(hold, self.now))
    }

    /// Whether what was heard at an instant may be ahead of Records.
    fn is_fresh(&self, since: Timestamp) -> bool {
        self.now.since(since) < UNEXPLAINED
    }

    fn turn(&self, job: usize, known: &Job, closed_here: impl Fn(&AttemptId) -> bool) -> Turn {
        let is_refused = |id: &AttemptId| self.refused.contains(id);
        match (&self.read.jobs[job].state, &known.state) {
            (JobState::Done(outcome), _) => Turn::Done(outcome.clone()),
            (JobState::Held(read), JobState::Held(lease)) if read.attempt.id == lease.attempt.id => {
                Turn::Stay
            }
            (JobState::Held(read), JobState::Away(away)) if away.attempt == Some(read.attempt.id) => {
                Turn::Stay
            }
            // Its result, or its end, is on the way to Records.
            (JobState::Held(read), JobState::Done(outcome))
                if outcome.attempt == read.attempt.id && !is_refused(&outcome.attempt) =>
            {
                Turn::Stay
            }
            // Records may have been read before it ended; not if that is long ago.
            (JobState::Held(_), JobState::Gone(since)) if self.is_fresh(*since) => Turn::Stay,
            (JobState::Held(read), _) if closed_here(&read.attempt.id) && !is_refused(&read.attempt.id) => {
                Turn::Stay
            }
            (JobState::Held(read), _) => Turn::Away(self.away(job, &read.attempt)),
            // It is on its way to Records.
            (_, JobState::Held(lease)) => {
                let id = lease.attempt.id;
                match self.read.closed.contains_key(&id) || is_refused(&id) {
                    true => Turn::Idle,
                    false => Turn::Stay,
                }
            }
            (_, JobState::Away(away)) => {
                let has_ended = away.attempt.is_some_and(|id| self.read.closed.contains_key(&id));
                match !has_ended && self.is_fresh(away.since) && away.number > self.read.jobs[job].attempts {
                    true => Turn::Stay,
                    false => Turn::Idle,
                }
            }
            (_, JobState::Claimed(_)) => Turn::Stay,
            (_, JobState::Gone(since)) if !self.read.is_over() && self.is_fresh(*since) => Turn::Stay,
            (_, JobState::Waiting | JobState::Done(_) | JobState::Dropped | JobState::Gone(_)) => Turn::Idle,
        }
    }
}

impl Engine {
    /// Takes over what Records say of requests. `refused` are attempts whose beginning or end they
    /// refused to write down.
    pub fn learn(&mut self, step: &mut Step<'_>, stored: Vec<StoredRequest>, refused: &BTreeSet<AttemptId>) {
        let mut aftermath = Aftermath::default();
        for stored in stored {
            let id = stored.request.id;
            let is_done = stored.done;
            let read = restore::rebuild(stored);
            match self.requests.contains_key(&id) {
                true => self.merge(step, read, refused, &mut aftermath),
                false if is_done => {}
                false => {
                    self.take_in(step.now, read);
                    aftermath.waiting.insert(id);
                }
            }
        }
        self.carry_on(step, aftermath);
    }

    /// Forgets a request that Records know no more.
    pub fn unlearn(&mut self, step: &mut Step<'_>, id: RequestId) {
        let Some(request) = self.requests.get(&id) else { return };
        let (jobs, owner, done) = (request.jobs.len(), request.accepted.owner, request.done);
        let size = request.accepted.spec.size_bytes();
        let mut aftermath = Aftermath::default();
        for job in 0..jobs {
            let offer = self.vacate(id, job);
            self.free(offer, &mut aftermath);
        }
        self.accounts.active(owner, id, false);
        match done {
            true => self.finished.retain(|finished| *finished != id),
            false => self.open_bytes = self.open_bytes.saturating_sub(size),
        }
        self.evict(id);
        step.effects.push(Effect::Shelve(id));
        self.carry_on(step, aftermath);
    }

    /// Takes over accounts and workers as Records have them.
    pub fn learn_people(&mut self, now: Timestamp, users: Vec<User>, workers: Vec<Worker>) {
        for user in users {
            self.accounts.insert(user);
        }
        let has_news = !workers.is_empty();
        for worker in workers {
            if self.fleet.get(worker.id).is_some_and(|known| known.earns_uptime() != worker.earns_uptime()) {
                self.accrue_waiting(now, worker.id);
            }
            self.fleet.learn(worker);
        }
        if has_news {
            self.count_capacity_soon(now);
        }
    }

    /// A request that is new here.
    fn take_in(&mut self, now: Timestamp, mut read: Request) {
        self.give_away(now, &mut read);
        self.admit(read, now);
    }

    fn merge(
        &mut self,
        step: &mut Step<'_>,
        read: Request,
        refused: &BTreeSet<AttemptId>,
        aftermath: &mut Aftermath,
    ) {
        let id = read.id();
        let reading = Reading { read: &read, refused, rumours: &self.peers.rumours, now: step.now };
        let Some(request) = self.requests.get(&id) else { return };
        let closed_here = |attempt: &AttemptId| request.closed.contains_key(attempt);
        let turns: Vec<_> = request
            .jobs
            .iter()
            .enumerate()
            .map(|(job, known)| reading.turn(job, known, closed_here))
            .collect();
        let was_over = request.is_over();
        let is_ours = request.is_ours;
        let (is_cancelled, is_faulted) =
            (read.cancelled && !request.cancelled, read.faulted && !request.faulted);
        if request.done && !read.done && !refused.is_empty() {
            self.revive(id);
        }
        if let Some(request) = self.requests.get_mut(&id) {
            request.closed.retain(|attempt, _| !refused.contains(attempt));
            request.closed.extend(read.closed.iter().map(|(attempt, how)| (*attempt, *how)));
            request.faults = request.closed.values().filter(|how| **how == Closed::Faulted).count();
            request.expires_at = request.expires_at.max(read.expires_at);
            request.consumed = read.consumed.max(request.consumed);
            let is_certain = refused.is_empty();
            request.cancelled = read.cancelled || (is_certain && request.cancelled);
            request.faulted = read.faulted || (is_certain && request.faulted);
            for (known, read) in request.jobs.iter_mut().zip(&read.jobs) {
                known.attempts = known.attempts.max(read.attempts);
                known.failed.retain(|attempt| !refused.contains(attempt));
                known.failed.extend(&read.failed);
            }
        }
        // Whoever ended it says so, too; it is told once, and before the end.
        if is_ours && is_faulted {
            let faults = self.requests.get(&id).map_or(0, |request| request.faults);
            let message = self.why_it_failed(faults);
            step.tell(id, Event::Faulted { message });
        }
        if is_ours && is_cancelled {
            step.tell(id, Event::Cancelled);
        }
        for attempt in read.closed.keys() {
            self.places.entry(*attempt).or_insert((id, 0));
        }
        for (job, turn) in turns.into_iter().enumerate() {
            self.take_turn(id, job, turn, aftermath);
        }
        let Some(request) = self.requests.get(&id) else { return };
        if request.is_over() && !was_over {
            self.drop_waiting(id);
            self.cancel_away(step, id);
            self.cancel_held(step, id);
        }
        let Some(request) = self.requests.get(&id) else { return };
        let later = request.expires_at;
        if !request.done && read.done {
            self.finish(step, id, &read, aftermath);
        }
        if let Some(age) = self.unexplained_for(step.now, id) {
            // Less often the longer nobody can say.
            self.reread_at(id, step.now.plus(age.max(EXPLAIN_WITHIN * 2)));
        }
        self.set_alarm(id, later);
        aftermath.waiting.insert(id);
        aftermath.ended.insert(id);
    }

    fn take_turn(&mut self, id: RequestId, job: usize, turn: Turn, aftermath: &mut Aftermath) {
        match turn {
            Turn::Stay => {}
            Turn::Idle => {
                let offer = self.vacate(id, job);
                self.free(offer, aftermath);
                self.requeue(id, job);
            }
            Turn::Away(away) => {
                let offer = self.vacate(id, job);
                self.free(offer, aftermath);
                self.put_away(id, job, away);
            }
            Turn::Done(outcome) => {
                let offer = self.vacate(id, job);
                self.free(offer, aftermath);
                self.places.insert(outcome.attempt, (id, job));
                if let Some(request) = self.requests.get_mut(&id) {
                    request.jobs[job].state = JobState::Done(outcome);
                }
            }
        }
    }

    /// Ends a request that Records have as done.
    fn finish(&mut self, step: &mut Step<'_>, id: RequestId, read: &Request, aftermath: &mut Aftermath) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        request.consumed = read.consumed;
        let is_open = |(job, known): (usize, &Job)| {
            (!matches!(known.state, JobState::Done(_) | JobState::Dropped)).then_some(job)
        };
        let open: Vec<_> = request.jobs.iter().enumerate().filter_map(is_open).collect();
        for job in open {
            // What is still under way here comes to nothing.
            let offer = self.vacate(id, job);
            self.free(offer, aftermath);
        }
        self.conclude(step, id);
    }

    /// Takes back that a request is done: Records refused what ended it.
    fn revive(&mut self, id: RequestId) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        request.done = false;
        self.finished_bytes = self.finished_bytes.saturating_sub(request.size_bytes());
        self.open_bytes += request.accepted.spec.size_bytes();
        self.accounts.active(request.accepted.owner, id, true);
        self.finished.retain(|finished| *finished != id);
    }
}
