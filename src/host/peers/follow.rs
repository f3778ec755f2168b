//! Following what other brokers do.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::MissedTickBehavior;

use super::{Host, PAUSE};
use crate::{
    backend::Failure,
    domain::{AttemptId, RequestId, UserId, WorkerId, news::News},
    engine::Adoption,
};

/// Rows of accounts and workers are read again this long after they changed, all in one go.
const PEOPLE_EVERY: Duration = Duration::from_millis(250);
/// Of accounts and workers that change here all the time, each so many rounds the row counts. What is
/// on its way then is missing until the next such round.
const BUSY_ROUNDS: u32 = 4;

/// Follows what other brokers do, until the broker stops.
pub(in crate::host) async fn follow(host: Host) {
    let stopping = host.stopping().clone();
    let mut people: (BTreeSet<UserId>, BTreeSet<WorkerId>) = Default::default();
    let mut rounds = 0u32;
    let mut round = tokio::time::interval(PEOPLE_EVERY);
    round.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let peers = host.shared.backend.peers.clone();
    loop {
        let news = tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            _ = round.tick() => {
                rounds += 1;
                let (users, workers) = std::mem::take(&mut people);
                let (users, workers): (Vec<_>, Vec<_>) = (users.into_iter().collect(), workers.into_iter().collect());
                match host.read_people(users.clone(), workers.clone(), rounds.is_multiple_of(BUSY_ROUNDS)).await {
                    Ok((users, workers)) => {
                        people.0.extend(users);
                        people.1.extend(workers);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "accounts and workers could not be read again yet");
                        people.0.extend(users);
                        people.1.extend(workers);
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                continue;
            }
            news = peers.hear() => news,
        };
        for piece in &news {
            if let News::People { users, workers } = piece {
                people.0.extend(users);
                people.1.extend(workers);
            }
        }
        while let Err(error) = take(&host, &news).await {
            tracing::warn!(%error, "news of other brokers could not be taken in yet");
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }
}

/// Takes news in: reads what must be read for them, and lets the engine hear them.
async fn take(host: &Host, news: &[News]) -> Result<(), Failure> {
    if news.contains(&News::Missed) {
        host.reread_all().await?;
    }
    let mut overdue: BTreeMap<RequestId, Vec<AttemptId>> = BTreeMap::new();
    let wanted: BTreeSet<_> = host.glance(|engine, _| {
        let unknown = |id: &RequestId| (!engine.knows(*id)).then_some(*id);
        let known = |id: &RequestId| engine.knows(*id).then_some(*id);
        let wanted = news.iter().filter_map(|piece| match piece {
            News::Waits { request, .. } => unknown(request),
            News::Held(hold) => unknown(&hold.request),
            News::Ended(request) => known(request),
            _ => None,
        });
        wanted.collect()
    });
    if news.contains(&News::Board) {
        host.reread_board().await?;
    }
    if news.contains(&News::Filters) {
        host.reread_filters();
    }
    for piece in news {
        if let News::Overdue { request, attempt } = piece {
            overdue.entry(*request).or_default().push(*attempt);
        }
    }
    if !wanted.is_empty() {
        let wanted: Vec<_> = wanted.into_iter().collect();
        host.reread_known(&wanted).await?;
    }
    let heard = news.to_vec();
    host.instruct(move |engine, step| engine.hear(step, &heard)).await;
    if !overdue.is_empty() {
        let requests: Vec<_> = overdue.keys().copied().collect();
        let stored = host.reread(&requests, &BTreeSet::new()).await?;
        let named: Vec<_> = overdue.into_values().flatten().collect();
        host.adopt(stored, &named, Adoption::Overdue).await?;
    }
    Ok(())
}

impl Host {
    /// As [`Host::reread`], for requests that news are about: one that is not there is over and swept.
    async fn reread_known(&self, ids: &[RequestId]) -> Result<(), Failure> {
        let stored = self.read_requests(ids).await?;
        self.instruct(move |engine, step| engine.learn(step, stored, &BTreeSet::new())).await;
        Ok(())
    }
}
