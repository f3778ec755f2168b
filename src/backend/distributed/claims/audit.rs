//! Compares the live queue with Records, for what a crash left unsaid: jobs that were accepted and never
//! announced, claims that were never written down, and entries of jobs that are over. The leader's,
//! once it has become one or a broker is gone, and now and then.

use std::{
    collections::{HashMap, HashSet},
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
    domain::{AttemptId, RequestId, request::Kind},
};

/// How often a leader compares.
const EVERY: Duration = Duration::from_secs(60);
/// How long after something happened a leader compares: what is on its way has come by then.
const SOON: Duration = Duration::from_secs(2);
/// Younger requests are about to be announced by those who accepted them.
const YOUNG: Duration = Duration::from_secs(3);

/// When to compare, and what was out of place the last time.
#[derive(Default)]
pub(super) struct Audit {
    due: Option<Instant>,
    /// Entries of jobs that Records do not have as open.
    strays: HashSet<String>,
    /// How many brokers lived the last time.
    brokers: usize,
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
        let brokers = shared.link.brokers().len();
        if brokers < std::mem::replace(&mut self.brokers, brokers) || self.due.is_none() {
            self.soon();
        }
        if self.due.is_some_and(|due| due > Instant::now()) {
            return Ok(());
        }
        self.due = Some(Instant::now() + EVERY);
        let mut present: HashMap<String, (Kind, String)> = HashMap::new();
        for kind in Kind::ALL {
            let open: HashMap<String, String> =
                shared.link.commands().hgetall(shared.link.lane_keys(kind)[1].clone()).await?;
            present.extend(open.into_iter().map(|(job, stand)| (job, (kind, stand))));
        }
        let living = shared.link.living();
        let snapshot = shared.records.load().await?;
        let old = shared.clock.now().0 - i64::try_from(YOUNG.as_millis()).unwrap_or(0);
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
                let dead = said.as_ref().map(|(_, stand)| claimed_by_the_dead(stand, &living));
                if dead == Some(None) {
                    continue;
                }
                if stored.request.created_at.0 >= old {
                    self.soon();
                    continue;
                }
                match dead {
                    Some(_) => unwritten += 1,
                    None => unsaid += 1,
                }
                ledger.correct(stored);
                match dead.flatten() {
                    None => ledger.put_due((id, job), kind, Due::Stand),
                    Some(attempt) => ledger.take_from((id, job), kind, attempt),
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
        if !strays.is_empty() {
            self.soon();
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

/// The attempt by which a broker that is no more has claimed a job, if one has.
fn claimed_by_the_dead(stand: &str, living: &str) -> Option<AttemptId> {
    let mut words = stand.split(' ').skip(2);
    let (attempt, _, broker) = (words.next()?, words.next()?, words.next()?);
    let is_dead = !living.split(' ').any(|name| name == broker);
    AttemptId::parse(attempt).filter(|_| is_dead)
}
