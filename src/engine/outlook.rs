//! What a request has to expect: its position, how long it waits, whether any worker could take it.
//!
//! Source: positions, waits and `is_possible` of the v2 contract.

use super::{
    Engine,
    matching::{self, Asked, Pair},
    queue,
    request::{Lease, Request},
};
use crate::domain::{
    Timestamp,
    request::{Accepted, Kind},
};

impl Engine {
    /// Position (1 is next) and seconds until all jobs up to and including this request are done.
    pub(super) fn estimate(&self, request: &Request) -> Option<(usize, f64)> {
        let rank = self.queue.rank(request.kind(), request.place)?;
        let (threads, speed) = self.fleet.capacity(request.kind());
        let unit = queue::things_per_unit(request.kind());
        let work = rank.work as f64 * unit;
        let rate = speed * threads.min(rank.jobs as u64) as f64;
        // Nobody is there to tell how fast it goes: a million pixel-steps a second, or one token.
        let unknown = match request.kind() {
            Kind::Image | Kind::Video => 1_000_000.0,
            Kind::Text | Kind::Alchemy => 1.0,
        };
        Some((rank.position, work / if rate > 0.0 { rate } else { unknown }))
    }

    /// Seconds that a worker still needs for a job, at the speed it had lately.
    pub(super) fn seconds_left(&self, lease: &Lease, request: &Request, now: Timestamp) -> f64 {
        let speed = self.fleet.get(lease.attempt.worker).map_or(1.0, |worker| worker.speed());
        let elapsed = now.since(lease.attempt.granted_at).as_secs_f64();
        (request.accepted.spec.things() / speed.max(0.001) - elapsed).max(0.0)
    }

    /// Whether some worker online could take a job of this request.
    pub(super) fn is_possible(&self, request: &Accepted, now: Timestamp) -> bool {
        let asked = Asked { request, requester: self.accounts.get(request.owner) };
        let kind = request.spec.kind();
        let shape = self.queue.shape_of(&request.spec);
        self.fleet.serving(kind, &request.spec.models).any(|worker| {
            let able = || self.able(worker.id, kind);
            self.is_online(worker, now)
                && able().is_some_and(|able| matching::refusal(&Pair::new(&shape, asked, &able)).is_none())
        })
    }
}
