//! What a request has to expect: its position, how long it waits, whether any worker could take it.
//!
//! Checks say what the v2 contract has: the position among all of a kind. Watchers are told what they wait
//! for: the jobs before theirs that the same workers could take, which in a long queue is projected from
//! some of it.
//!
//! Source: positions, waits and `is_possible` of the v2 contract.

use std::{collections::HashMap, sync::Arc};

use super::{
    Engine,
    matching::{self, Able, Asked, Pair},
    queue,
    request::{Lease, Request},
};
use crate::domain::{
    RequestId, Timestamp,
    event::Outlook,
    request::{Accepted, Kind},
};

/// How much is looked at for an outlook.
#[derive(Clone, Copy)]
pub(super) struct Effort {
    /// Workers that could take a request.
    workers: usize,
    /// Requests before it; of more, these are drawn from all over.
    requests: usize,
}

impl Effort {
    /// Of who just asked: a submit costs as much into a long queue as into a short one.
    pub const LITTLE: Self = Self { workers: 8, requests: 32 };
    /// Of who watches.
    pub const MUCH: Self = Self { workers: 64, requests: 400 };
}

/// What comes before a request and itself, of what the same workers could take.
#[derive(Default)]
struct Load {
    jobs: f64,
    things: f64,
}

/// How far from the speed of one worker another one may be, if there is only one to go by.
const SPREAD: f64 = 1.25;

impl Engine {
    /// Position among all of the kind (1 is next) and seconds until all jobs up to and including this request are done.
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

    /// What a request that waits has to expect; `None`: none of it waits.
    pub fn outlook(&self, id: RequestId, now: Timestamp) -> Option<Outlook> {
        self.outlook_with(Effort::MUCH, self.requests.get(&id)?, now)
    }

    pub(super) fn outlook_with(&self, effort: Effort, request: &Request, now: Timestamp) -> Option<Outlook> {
        let (position, seconds) = self.estimate(request)?;
        let able = self.able_for(effort, request, now);
        if able.is_empty() {
            return Some(Outlook { position, eta_seconds: seconds.round() as i64, eta_range: None });
        }
        let ahead = self.load_ahead(effort, request, position - 1, &able);
        let own = request.waiting() as f64;
        let (jobs, things) = (ahead.jobs + own, ahead.things + request.accepted.spec.things() * own);
        // What was looked at of the workers stands for all that serve its models.
        let serving = self.fleet.count_serving(request.kind(), &request.accepted.spec.models);
        let scale = if able.len() < effort.workers { 1.0 } else { serving as f64 / able.len() as f64 };
        let threads = able.iter().map(|able| f64::from(able.said.threads.max(1))).sum::<f64>() * scale;
        let mut speeds: Vec<f64> = able.iter().map(|able| able.worker.speed().max(0.001)).collect();
        speeds.sort_unstable_by(f64::total_cmp);
        let mean = speeds.iter().sum::<f64>() / speeds.len() as f64;
        let quarter = speeds.len() / 4;
        let (slow, fast) = (speeds[quarter], speeds[speeds.len() - 1 - quarter]);
        let at = |speed: f64| (things / (speed * threads.min(jobs))).round() as i64;
        Some(Outlook {
            position: ahead.jobs.round() as usize + 1,
            eta_seconds: at(mean),
            eta_range: Some((at(fast.max(mean * SPREAD)), at(slow.min(mean / SPREAD)))),
        })
    }

    /// Workers online that could take a request, as many as are looked for.
    fn able_for(&self, effort: Effort, request: &Request, now: Timestamp) -> Vec<Able<'_>> {
        let (kind, models) = (request.kind(), &request.accepted.spec.models);
        let Some(shape) = self.queue.shape_in_lanes(request.id()) else { return Vec::new() };
        let asked = self.asked(request);
        // Among many that cannot, those that can are not looked for to the end.
        let serving = self.fleet.serving(kind, models).take(effort.workers * 8);
        serving
            .filter(|worker| self.is_online(worker, now))
            .filter_map(|worker| self.able(worker.id, kind))
            .filter(|able| matching::refusal(&Pair::new(shape, asked, able)).is_none())
            .take(effort.workers)
            .collect()
    }

    /// What these workers could take of the requests before one.
    fn load_ahead(&self, effort: Effort, request: &Request, before: usize, able: &[Able<'_>]) -> Load {
        let looks = before.min(effort.requests);
        let (mut load, mut known) = (Load::default(), HashMap::new());
        for look in 0..looks {
            let Some(place) = self.queue.nth(request.kind(), look * before / looks) else { continue };
            let (Some(other), Some(shape)) =
                (self.requests.get(&place.request), self.queue.shape_in_lanes(place.request))
            else {
                continue;
            };
            // Requests of one shape share it, and are alike to a worker unless a rule asks each of them.
            let key = (Arc::as_ptr(shape), other.accepted.owner);
            let asked = self.asked(other);
            let is_taken = *known.entry(key).or_insert_with(|| {
                able.iter().any(|able| matching::refusal(&Pair::new(shape, asked, able)).is_none())
            });
            if is_taken {
                let waiting = other.waiting() as f64;
                load.jobs += waiting;
                load.things += waiting * other.accepted.spec.things();
            }
        }
        let scale = if looks == 0 { 1.0 } else { before as f64 / looks as f64 };
        Load { jobs: load.jobs * scale, things: load.things * scale }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        domain::request::Spec,
        engine::stage::{Stage, text_profile, text_spec},
    };

    /// A stage whose account may have anything waiting, with workers that serve `model` and wait for nothing.
    fn stage(workers: usize) -> Stage {
        let mut stage = Stage::new();
        let user = stage.user;
        stage.engine.accounts.get_mut(user).unwrap().concurrency = usize::MAX / 2;
        for worker in 0..workers {
            stage.pop(&format!("writer {worker}"), text_profile(1), Duration::ZERO);
        }
        stage
    }

    fn of_other_models(jobs: usize) -> Spec {
        Spec { models: vec!["another model".into()], ..text_spec(jobs) }
    }

    fn outlook(stage: &Stage, id: RequestId) -> Outlook {
        stage.engine.outlook(id, stage.now).expect("it waits")
    }

    #[test]
    fn a_place_is_among_the_jobs_that_the_same_workers_could_take() {
        let mut stage = stage(1);
        stage.submit(of_other_models(5));
        stage.submit(text_spec(3));
        stage.submit(of_other_models(1));
        let last = stage.submit(text_spec(2));
        let seen = outlook(&stage, last);
        assert_eq!(seen.position, 4, "behind three jobs, not behind three requests");
        let (low, high) = seen.eta_range.expect("a worker is there");
        assert!(low < seen.eta_seconds && seen.eta_seconds < high, "{seen:?}");
        let unserved = stage.submit(of_other_models(1));
        let seen = outlook(&stage, unserved);
        assert_eq!(
            (seen.position, seen.eta_range),
            (5, None),
            "nobody serves it: the place among all requests"
        );
    }

    #[test]
    fn more_workers_are_done_sooner() {
        let eta = |workers| {
            let mut stage = stage(workers);
            stage.submit(text_spec(20));
            let last = stage.submit(text_spec(1));
            outlook(&stage, last).eta_seconds
        };
        let (one, four, many) = (eta(1), eta(4), eta(400));
        assert!(one > 3 * four && four > 3 * many, "{one} s, {four} s, {many} s");
    }

    #[test]
    fn a_place_in_a_long_queue_is_projected() {
        let mut stage = stage(2);
        for _ in 0..1500 {
            stage.submit(of_other_models(1));
            stage.submit(text_spec(1));
        }
        let last = stage.submit(text_spec(1));
        let seen = outlook(&stage, last).position;
        assert!((1350..=1650).contains(&seen), "1501 is near enough to {seen}");
        let request = &stage.engine.requests[&last];
        let glanced = stage.engine.outlook_with(Effort::LITTLE, request, stage.now).unwrap().position;
        assert!((900..=2100).contains(&glanced), "so is {glanced}, at a glance");
    }
}
