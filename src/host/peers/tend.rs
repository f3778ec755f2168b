//! What a broker sees to each second, for others and in the place of a dead one.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior};

use super::Host;
use crate::{
    backend::Failure,
    domain::{Timestamp, WorkerId, news::News},
    engine::Adoption,
};

/// How often it looks around.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often all brokers are told of a worker that is there.
const SEEN_EVERY: Duration = Duration::from_secs(10);

/// How long nobody may have said that it looks after an attempt before the leader does.
const UNCLAIMED: Duration = Duration::from_secs(5);

/// Tells other brokers who is here, and sees to what a dead one left, until the broker stops.
pub(in crate::host) async fn tend(host: Host) {
    let stopping = host.stopping().clone();
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told: BTreeMap<WorkerId, Instant> = BTreeMap::new();
    let mut since = Timestamp::default();
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            _ = look.tick() => {}
        }
        let leads = host.shared.backend.leadership.is_leader();
        host.instruct(move |engine, step| engine.lead(step.now, leads)).await;
        let now = Instant::now();
        told.retain(|_, at| now.duration_since(*at) < SEEN_EVERY);
        let seen = host.glance(|engine, now| engine.seen_since(since, now));
        since = host.now();
        let news: Vec<_> = seen.into_iter().filter(|(worker, _)| !told.contains_key(worker)).collect();
        if !news.is_empty() {
            told.extend(news.iter().map(|(worker, _)| (*worker, now)));
            host.shared.backend.peers.tell(News::Seen(news));
        }
        if let Err(error) = take_over(&host, leads).await {
            tracing::warn!(%error, "jobs that nobody looks after could not be taken over yet");
        }
    }
}

/// Takes over what a dead broker left, if this one leads, and what nobody has said that it looks after.
async fn take_over(host: &Host, leads: bool) -> Result<(), Failure> {
    // Of brokers that live, each says within moments what it looks after; the leader is given a start.
    let age = if leads { UNCLAIMED } else { UNCLAIMED * 2 };
    let (orphans, streams, pops) = host.glance(|engine, now| {
        let living = host.shared.backend.peers.living().filter(|_| leads);
        let orphans = living.map(|living| engine.orphans(&living)).unwrap_or_default();
        (orphans, engine.unclaimed(now, age, true), engine.unclaimed(now, age, false))
    });
    if !orphans.is_empty() {
        tracing::warn!(jobs = orphans.len(), "a broker is gone; jobs of its workers go back");
    }
    if streams.len() + pops.len() > 0 {
        tracing::warn!(jobs = streams.len() + pops.len(), "takes over jobs that no broker looks after");
    }
    // A worker at a stream presents what it goes on with; one that popped keeps its lease.
    for (found, why) in [([orphans, streams].concat(), Adoption::Orphaned), (pops, Adoption::Overdue)] {
        let (requests, attempts): (BTreeSet<_>, Vec<_>) = found.into_iter().unzip();
        if !attempts.is_empty() {
            let requests: Vec<_> = requests.into_iter().collect();
            let stored = host.reread(&requests, &BTreeSet::new()).await?;
            host.adopt(stored, &attempts, why).await?;
        }
    }
    Ok(())
}
