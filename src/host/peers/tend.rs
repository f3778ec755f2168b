//! What a broker sees to each second, for others and in the place of a dead one.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior};

use super::Host;
use crate::{
    domain::{Timestamp, WorkerId, news::News},
    engine::Adoption,
};

/// How often it looks around.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often all brokers are told of a worker that is there.
const SEEN_EVERY: Duration = Duration::from_secs(10);

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
        host.instruct(move |engine, _| engine.lead(leads)).await;
        let now = Instant::now();
        told.retain(|_, at| now.duration_since(*at) < SEEN_EVERY);
        let seen = host.glance(|engine, now| engine.seen_since(since, now));
        since = host.now();
        let news: Vec<_> = seen.into_iter().filter(|(worker, _)| !told.contains_key(worker)).collect();
        if !news.is_empty() {
            told.extend(news.iter().map(|(worker, _)| (*worker, now)));
            host.shared.backend.peers.tell(News::Seen(news));
        }
        if leads && let Some(living) = host.shared.backend.peers.living() {
            let orphans = host.glance(|engine, now| engine.orphans(now, &living));
            if !orphans.is_empty() {
                tracing::warn!(jobs = orphans.len(), "a broker is gone; jobs of its workers go back");
                let (requests, attempts): (BTreeSet<_>, Vec<_>) = orphans.into_iter().unzip();
                let requests: Vec<_> = requests.into_iter().collect();
                let outcome = match host.reread(&requests, &BTreeSet::new()).await {
                    Ok(stored) => host.adopt(stored, &attempts, Adoption::Orphaned).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = outcome {
                    tracing::warn!(%error, "jobs of a dead broker could not be taken over yet");
                }
            }
        }
    }
}
