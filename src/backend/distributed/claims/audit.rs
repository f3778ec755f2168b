//! Compares the live queue with Records, for what a crash left unsaid: jobs that were accepted and never
//! announced, claims that were never written down, and entries of jobs that are over. The leader's,
//! once it has become one or a broker is gone, and now and then.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use fred::interfaces::HashesInterface;
use tokio::time::Instant;

use super::{
    Shared, job_name,
    ledger::{Due, Ledger},
    parse_job_name,
};
use crate::{
    backend::Failure,
    domain::{AttemptId, RequestId, Timestamp, request::Kind},
};

/// How often a leader compares.
const EVERY: Duration = Duration::from_secs(60);
/// How long after something happened a leader compares: what is on its way has come by then.
const SOON: Duration = Duration::from_secs(2);
/// How long a broker that lives has to write down what it claimed: longer than Records are away for a moment.
const GIVEN_UP: Duration = Duration::from_secs(10);
/// Younger requests are about to be announced by those who accepted them.
const YOUNG: Duration = Duration::from_secs(3);

/// When to compare, and what was out of place the last time.
#[derive(Default)]
pub(super) struct Audit {
    due: Option<Instant>,
    /// Entries of jobs that Records do not have as open.
    strays: HashSet<String>,
    /// Brokers that lived the last time.
    brokers: HashSet<Arc<str>>,
}

impl Audit {
    /// Compares before long.
    pub fn soon(&mut self) {
        self.due = Some(Instant::now() + SOON);
    }

    /// Another broker leads.
    pub fn stop(&mut self) {
        self.due = None;
        self.strays.clear();
    }

    /// Compares if it is time to, and makes due what Redis has to be told.
    pub async fn run(&mut self, shared: &Shared, ledger: &mut Ledger) -> Result<(), Failure> {
        let brokers: HashSet<_> = shared.link.brokers().into_iter().collect();
        // By their names: one that is gone may have been followed by another at once.
        let is_one_gone = !self.brokers.is_subset(&brokers);
        self.brokers = brokers;
        if is_one_gone || self.due.is_none() {
            self.soon();
        }
        if self.due.is_some_and(|due| due > Instant::now()) {
            return Ok(());
        }
        // If it fails, it is tried again before long.
        self.soon();
        let mut is_all_told = true;
        let mut present: HashMap<String, (Kind, String)> = HashMap::new();
        for kind in Kind::ALL {
            let open: HashMap<String, String> =
                shared.link.commands().hgetall(shared.link.lane_keys(kind)[1].clone()).await?;
            present.extend(open.into_iter().map(|(job, stand)| (job, (kind, stand))));
        }
        let living = shared.link.living();
        let snapshot = shared.records.load().await?;
        let now = shared.clock.now();
        let old = now.0 - i64::try_from(YOUNG.as_millis()).unwrap_or(0);
        let (mut unsaid, mut unwritten) = (0, 0);
        for stored in &snapshot.requests {
            let (id, kind) = (stored.request.id, stored.request.spec.kind());
            let is_over = stored.cancelled || stored.faulted;
            for job in 0..stored.request.spec.jobs {
                let is_open = stored.open.iter().any(|attempt| attempt.job == job);
                let is_done = stored.outcomes.iter().any(|outcome| outcome.job == job);
                let said = present.remove(&job_name(id, job));
                if is_open || is_done || is_over {
                    continue;
                }
                let standing = said.map_or(Standing::Unsaid, |(_, stand)| Standing::of(&stand, &living, now));
                let is_young = stored.request.created_at.0 >= old;
                match standing {
                    Standing::Fine => {}
                    Standing::Underway => is_all_told = false,
                    Standing::Unsaid | Standing::Unwritten(_) if is_young => is_all_told = false,
                    Standing::Unsaid => {
                        unsaid += 1;
                        ledger.correct(stored);
                        ledger.put_due((id, job), kind, Due::Stand);
                    }
                    Standing::Unwritten(attempt) => {
                        unwritten += 1;
                        ledger.correct(stored);
                        ledger.take_from((id, job), kind, attempt);
                    }
                }
            }
        }
        let open: HashSet<RequestId> = snapshot.requests.iter().map(|stored| stored.request.id).collect();
        let mut strays = HashSet::new();
        for (name, (kind, _)) in present {
            let Some(job) = parse_job_name(&name).filter(|(request, _)| !open.contains(request)) else {
                continue;
            };
            // It may have been accepted since the entries were read, or be over since: not if it is here twice.
            if self.strays.contains(&name) {
                ledger.put_due(job, kind, Due::Stand);
            }
            strays.insert(name);
        }
        if is_all_told && strays.is_empty() {
            self.due = Some(Instant::now() + EVERY);
        }
        if unsaid + unwritten > 0 || !strays.is_empty() {
            tracing::info!(
                unsaid,
                unwritten,
                strays = strays.len(),
                "the live queue differed from the records"
            );
        }
        self.strays = strays;
        shared.wake.notify_one();
        Ok(())
    }
}

/// What the live queue says of a job that waits as Records have it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    /// Nothing.
    Unsaid,
    /// That it waits, or was claimed just now.
    Fine,
    /// That it was claimed a while ago: it is about to be written down, or never will be.
    Underway,
    /// That it was claimed by this attempt, which nobody will write down any more: its broker is gone, or
    /// gave the claim up.
    Unwritten(AttemptId),
}

impl Standing {
    /// By a value of `open`. Should the attempt be written down after all, Records take one of two.
    fn of(stand: &str, living: &str, now: Timestamp) -> Self {
        let mut words = stand.split(' ').skip(2);
        let (attempt, broker) = (words.next().and_then(AttemptId::parse), words.nth(1));
        let (Some(attempt), Some(broker)) = (attempt, broker) else { return Self::Fine };
        let is_dead = !living.split(' ').any(|name| name == broker);
        let claimed_at = attempt.0.get_timestamp().map(|at| {
            let (seconds, nanos) = at.to_unix();
            Timestamp(i64::try_from(seconds).unwrap_or(0) * 1000 + i64::from(nanos / 1_000_000))
        });
        match claimed_at.map(|at| now.since(at)) {
            _ if is_dead => Self::Unwritten(attempt),
            Some(age) if age >= GIVEN_UP => Self::Unwritten(attempt),
            Some(age) if age >= SOON => Self::Underway,
            _ => Self::Fine,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::{NoContext, Timestamp as Instant, Uuid};

    use super::*;

    #[test]
    fn a_claim_that_nobody_writes_down_is_known_by_its_broker_or_its_age() {
        let claimed = Uuid::new_v7(Instant::from_unix(NoContext, 1_000, 0));
        let claim = |broker: &str| format!("1-0 1 {claimed} stream {broker} scribe");
        let stand = |stand: &str, second: i64| Standing::of(stand, "a b", Timestamp(second * 1000));
        let given_up = Standing::Unwritten(AttemptId(claimed));
        for (told, second, standing) in [
            ("1-0 1 - - - ", 9_999, Standing::Fine),
            (claim("a").as_str(), 1_000, Standing::Fine),
            (claim("b").as_str(), 1_003, Standing::Underway),
            (claim("b").as_str(), 1_010, given_up),
            (claim("c").as_str(), 1_000, given_up),
            (claim("b").as_str(), 900, Standing::Fine),
            ("nonsense", 9_999, Standing::Fine),
        ] {
            assert_eq!(stand(told, second), standing, "{told} at {second}");
        }
    }
}
