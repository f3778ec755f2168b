//! What a request has to expect: its position, how long it waits, whether any worker could take it.
//!
//! Checks say what the v2 contract has: the position among all of a kind. Watchers are told what they wait
//! for: the jobs before theirs that the same workers could take, which in a long queue is projected from
//! some of it.
//!
//! Source: positions, waits and `is_possible` of the v2 contract.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    Engine,
    matching::{self, Able, Asked, Pair},
    offer::Budget,
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
    /// Workers that are looked at to find them.
    looks: usize,
    /// Requests before it; of more, these are drawn from all over.
    requests: usize,
}

impl Effort {
    /// Of who just asked: a submit costs as much into a long queue as into a short one.
    pub const LITTLE: Self = Self { workers: 8, looks: 256, requests: 32 };
    /// Of who watches.
    pub const MUCH: Self = Self { workers: 64, looks: 2_000, requests: 400 };
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
        let (able, scale) = self.able_for(effort, request, now);
        if able.is_empty() {
            return Some(Outlook { position, eta_seconds: seconds.round() as i64, eta_range: None });
        }
        let ahead = self.load_ahead(effort, request, position - 1, &able);
        let own = request.waiting() as f64;
        let (jobs, things) = (ahead.jobs + own, ahead.things + request.accepted.spec.things() * own);
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

    /// Workers online that could take a request, as many as are looked for, and how many times as many there
    /// are, judged by those that were looked at.
    fn able_for(&self, effort: Effort, request: &Request, now: Timestamp) -> (Vec<Able<'_>>, f64) {
        let (kind, models) = (request.kind(), &request.accepted.spec.models);
        let Some(shape) = self.queue.shape_in_lanes(request.id()) else { return (Vec::new(), 1.0) };
        let (asked, prompt) = (self.asked(request), &request.accepted.spec.prompt);
        let (mut able, mut seen, mut budget) = (Vec::new(), HashSet::new(), Budget::default());
        let mut is_all = true;
        for worker in self.fleet.serving(kind, models) {
            if able.len() == effort.workers || seen.len() == effort.looks {
                is_all = false;
                break;
            }
            // One that serves several of the models is one worker.
            if !seen.insert(worker.id) || !self.is_online(worker, now) {
                continue;
            }
            let Some(one) = self.able(worker.id, kind) else { continue };
            if !budget.may_look(prompt, &one) {
                is_all = false;
                break;
            }
            if matching::refusal(&Pair::new(shape, asked, &one)).is_none() {
                able.push(one);
            }
        }
        let serving = self.fleet.count_serving(kind, models);
        let scale = if is_all { 1.0 } else { serving as f64 / seen.len().max(1) as f64 };
        (able, scale.max(1.0))
    }

    /// What these workers could take of the requests before one.
    fn load_ahead(&self, effort: Effort, request: &Request, before: usize, able: &[Able<'_>]) -> Load {
        let looks = before.min(effort.requests);
        // Requests of one shape share it, and are alike to a worker unless a rule asks each of them.
        let own = self.queue.shape_in_lanes(request.id());
        let is_alike = !own.is_some_and(|own| able.iter().any(|able| matching::asks_each(own, able)));
        let (mut load, mut known, mut budget) = (Load::default(), HashMap::new(), Budget::default());
        for look in 0..looks {
            let Some(place) = self.queue.nth(request.kind(), look * before / looks) else { continue };
            let (Some(other), Some(shape)) =
                (self.requests.get(&place.request), self.queue.shape_in_lanes(place.request))
            else {
                continue;
            };
            let asked = self.asked(other);
            let mut ask = || {
                let prompt = &other.accepted.spec.prompt;
                let takes = |able: &Able<'_>| matching::refusal(&Pair::new(shape, asked, able)).is_none();
                // Past the budget it counts as before this one.
                able.iter().any(|able| !budget.may_look(prompt, able) || takes(able))
            };
            let is_taken = match is_alike {
                true => *known.entry((Arc::as_ptr(shape), other.accepted.owner)).or_insert_with(ask),
                false => ask(),
            };
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
        domain::{request::Spec, worker::Profile},
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
    fn workers_that_are_not_there_or_serve_two_of_the_models_are_not_counted_on() {
        let eta = |there: usize, gone: usize| {
            let mut stage = Stage::new();
            let user = stage.user;
            stage.engine.accounts.get_mut(user).unwrap().concurrency = usize::MAX / 2;
            let both = || Profile { models: vec!["model".into(), "another model".into()], ..text_profile(1) };
            for worker in 0..gone {
                stage.pop(&format!("gone {worker}"), both(), Duration::ZERO);
            }
            stage.wait(Duration::from_secs(400));
            for worker in 0..there {
                stage.pop(&format!("writer {worker}"), both(), Duration::ZERO);
            }
            let either = Spec { models: vec!["model".into(), "another model".into()], ..text_spec(100) };
            stage.submit(either);
            let last = stage.submit(text_spec(1));
            outlook(&stage, last).eta_seconds
        };
        assert_eq!(eta(4, 0), eta(4, 300), "those that are gone write nothing");
        let (few, many) = (eta(4, 0), eta(8, 0));
        assert!(few > many, "{few} s, {many} s");
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
