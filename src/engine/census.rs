//! The counts and rates that Status reports.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use super::Engine;
use crate::{
    config::ImageModels,
    domain::{Timestamp, price::ModelSizes, request::Kind},
};

/// How long deliveries count towards a model's speed, in seconds.
const HOUR: u64 = 3600;
/// Deliveries of one model that are remembered at most.
const SAMPLES: usize = 200;
/// Requests that figures are read from; those of a longer queue are projected from its first ones.
const SURVEY: usize = 5_000;
/// Requests of which it is counted what workers hold, when somebody asks for something.
const FIRST: usize = 200;
/// So many workers are counted without a second thought.
const SMALL_FLEET: usize = 200;
/// How often threads and speeds of workers online are counted, in seconds.
const CAPACITY_SECONDS: u64 = 5;

/// What was delivered lately.
#[derive(Default)]
pub(super) struct Census {
    /// Things delivered, by kind and second.
    minute: [VecDeque<(Timestamp, f64)>; Kind::COUNT],
    /// Speeds in things per second, by model.
    speeds: HashMap<(Kind, String), VecDeque<(Timestamp, f64)>>,
    counted_at: Timestamp,
}

impl Census {
    pub fn delivered(&mut self, now: Timestamp, kind: Kind, model: &str, things: f64, speed: f64) {
        let minute = &mut self.minute[kind.index()];
        match minute.back_mut() {
            Some((at, sum)) if at.0 / 1000 == now.0 / 1000 => *sum += things,
            _ => minute.push_back((now, things)),
        }
        while minute.front().is_some_and(|(at, _)| now.since(*at).as_secs() >= 60) {
            minute.pop_front();
        }
        let speeds = self.speeds.entry((kind, model.to_owned())).or_default();
        speeds.push_back((now, speed));
        if speeds.len() > SAMPLES {
            speeds.pop_front();
        }
    }

    fn past_minute(&self, kind: Kind, now: Timestamp) -> f64 {
        self.minute[kind.index()]
            .iter()
            .filter(|(at, _)| now.since(*at).as_secs() < 60)
            .map(|(_, things)| things)
            // An empty sum of floats is -0.0, which clients would be shown.
            .fold(0.0, |sum, things| sum + things)
    }

    fn speed(&self, kind: Kind, model: &str, now: Timestamp) -> f64 {
        let samples = self.speeds.get(&(kind, model.to_owned())).into_iter().flatten();
        let fresh: Vec<_> =
            samples.filter(|(at, _)| now.since(*at).as_secs() < HOUR).map(|(_, speed)| *speed).collect();
        if fresh.is_empty() { 0.0 } else { fresh.iter().sum::<f64>() / fresh.len() as f64 }
    }
}

/// Figures of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Performance {
    /// Jobs waiting or held, of requests of which some wait.
    pub queued_jobs: usize,
    /// Work of those requests, one job each: pixel-steps, or tokens.
    pub queued_things: f64,
    /// Workers online.
    pub workers: usize,
    /// Their threads.
    pub threads: u64,
    /// Work delivered in the last 60 s.
    pub past_minute_things: f64,
}

/// Figures of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelLine {
    /// Its name.
    pub name: String,
    /// Threads of workers online that serve it.
    pub threads: u64,
    /// Mean speed of the last hour, in things per second; 0: none.
    pub speed: f64,
    /// Work that waits for it.
    pub queued_things: f64,
    /// The same, of all jobs of those requests rather than of one each.
    pub queued_things_of_all: f64,
    /// Jobs waiting or held.
    pub jobs: usize,
    /// It is in the model reference.
    pub is_known: bool,
}

impl ModelLine {
    /// Whether it is for special accounts: such models are shown to who knows their names.
    pub fn is_special(&self) -> bool {
        self.name.contains("horde_special")
    }

    /// Seconds until its queue is worked off; 10,000 if nobody works on it.
    pub fn eta_seconds(&self) -> i64 {
        let rate = self.threads as f64 * self.speed;
        match (self.queued_things > 0.0, rate > 0.0) {
            (false, _) => 0,
            (true, false) => 10_000,
            (true, true) => (self.queued_things / rate) as i64,
        }
    }
}

impl Engine {
    /// Jobs of a kind in the queue: those that wait, and those of their requests that workers hold, as far
    /// as these are among the first. A long queue is not walked to its end for it: what is held of the rest
    /// is little beside what waits.
    pub(super) fn queued_jobs(&self, kind: Kind) -> usize {
        let first = self.queue.all(kind).take(FIRST).filter_map(|place| self.requests.get(&place.request));
        self.queue.waiting(kind)
            + first.map(|request| request.held().count() + request.away().count()).sum::<usize>()
    }

    /// Figures of one kind.
    pub fn performance(&self, kind: Kind, now: Timestamp) -> Performance {
        let mut figures =
            Performance { past_minute_things: self.census.past_minute(kind, now), ..Default::default() };
        for request in self.survey(kind) {
            figures.queued_jobs += request.waiting() + request.held().count() + request.away().count();
            figures.queued_things += request.accepted.spec.things();
        }
        let scale = self.scale(kind);
        figures.queued_jobs = (figures.queued_jobs as f64 * scale).round() as usize;
        figures.queued_things *= scale;
        for worker in self.fleet.serving(kind, &[]).filter(|worker| self.is_online(worker, now)) {
            figures.workers += 1;
            figures.threads += u64::from(worker.profile.threads);
        }
        figures
    }

    /// Figures of images and videos together. A worker that makes both is one worker.
    pub fn drawing_performance(&self, now: Timestamp) -> Performance {
        let (images, videos) = (self.performance(Kind::Image, now), self.performance(Kind::Video, now));
        let video_workers = self.fleet.serving(Kind::Video, &[]);
        let others = video_workers
            .filter(|worker| worker.profile.for_kind(Kind::Image).is_none() && self.is_online(worker, now));
        let (workers, threads) = others
            .fold((images.workers, images.threads), |(workers, threads), worker| {
                (workers + 1, threads + u64::from(worker.profile.threads))
            });
        Performance {
            queued_jobs: images.queued_jobs + videos.queued_jobs,
            queued_things: images.queued_things + videos.queued_things,
            workers,
            threads,
            past_minute_things: images.past_minute_things + videos.past_minute_things,
        }
    }

    /// Which of two sets of figures has more jobs for each thread that may run them.
    pub fn scarcer(images: &Performance, texts: &Performance) -> Kind {
        // One more on each side: an empty queue still prefers the kind that fewer serve.
        let load = |own: &Performance, other: &Performance| {
            (own.queued_jobs as u64 + 1) as f64 * (other.threads + 1) as f64
        };
        if load(texts, images) > load(images, texts) { Kind::Text } else { Kind::Image }
    }

    /// Figures of the models that workers online serve or waiting requests name, by name.
    pub fn model_lines(&self, kind: Kind, now: Timestamp) -> Vec<ModelLine> {
        let mut lines: BTreeMap<String, ModelLine> = BTreeMap::new();
        let fresh = |name: &str| ModelLine {
            name: name.to_owned(),
            threads: 0,
            speed: self.census.speed(kind, name, now),
            queued_things: 0.0,
            queued_things_of_all: 0.0,
            jobs: 0,
            is_known: self.models.knows(kind, name),
        };
        for worker in self.fleet.serving(kind, &[]) {
            if worker.maintenance.is_none() && self.is_online(worker, now) {
                let threads = worker.profile.for_kind(kind).map_or(0, |said| said.threads);
                for model in &*worker.profile.models_for(kind) {
                    lines.entry(model.to_string()).or_insert_with(|| fresh(model)).threads +=
                        u64::from(threads);
                }
            }
        }
        for request in self.survey(kind) {
            for model in &request.accepted.spec.models {
                let jobs = request.waiting() + request.held().count() + request.away().count();
                let line = lines.entry(model.to_string()).or_insert_with(|| fresh(model));
                line.queued_things += request.accepted.spec.things();
                line.queued_things_of_all += request.accepted.spec.things() * jobs as f64;
                line.jobs += jobs;
            }
        }
        let scale = self.scale(kind);
        let projected = |line: ModelLine| ModelLine {
            queued_things: line.queued_things * scale,
            queued_things_of_all: line.queued_things_of_all * scale,
            jobs: (line.jobs as f64 * scale).round() as usize,
            ..line
        };
        lines.into_values().map(projected).filter(|line| self.shows(kind, line)).collect()
    }

    /// The model reference.
    pub fn models(&self) -> Arc<dyn ModelSizes> {
        self.models.clone()
    }

    /// Whether a model is shown. Where image workers serve what the reference lists, names that requests
    /// make up are not; others may stand for a model that the small built-in reference lacks.
    fn shows(&self, kind: Kind, line: &ModelLine) -> bool {
        let is_any = self.rules.people.image_models == ImageModels::Any;
        let draws = matches!(kind, Kind::Image | Kind::Video);
        !draws || is_any || line.is_known || line.threads > 0 || line.is_special()
    }

    /// The first requests of the queue.
    fn survey(&self, kind: Kind) -> impl Iterator<Item = &super::request::Request> {
        self.queue.all(kind).take(SURVEY).map(|place| &self.requests[&place.request])
    }

    /// How many times as many there are.
    fn scale(&self, kind: Kind) -> f64 {
        (self.queue.len(kind) as f64 / SURVEY as f64).max(1.0)
    }

    /// Jobs of a kind that wait, and that workers hold.
    pub fn depth(&self, kind: Kind) -> (usize, usize) {
        (self.queue.waiting(kind), self.holds.count(kind))
    }

    pub(super) fn count_capacity_if_stale(&mut self, now: Timestamp) {
        if now.since(self.census.counted_at).as_secs() >= CAPACITY_SECONDS {
            self.count_capacity(now);
        }
    }

    /// Counts again because workers came. When thousands come at once, once a second is enough.
    pub(super) fn count_capacity_soon(&mut self, now: Timestamp) {
        let is_small = self.fleet.all().nth(SMALL_FLEET).is_none();
        if is_small || now.since(self.census.counted_at).as_secs() >= 1 {
            self.count_capacity(now);
        }
    }

    /// Counts threads of workers online, and the mean of what all workers delivered last.
    pub(super) fn count_capacity(&mut self, now: Timestamp) {
        self.census.counted_at = now;
        for kind in Kind::ALL {
            let (mut threads, mut speeds, mut samples) = (0, 0.0, 0);
            for worker in self.fleet.serving(kind, &[]) {
                if self.is_online(worker, now) {
                    threads += u64::from(worker.profile.threads);
                }
                speeds += worker.stats.speeds.iter().sum::<f64>();
                samples += worker.stats.speeds.len();
            }
            let speed = if samples > 0 { speeds / samples as f64 } else { 0.0 };
            self.fleet.set_capacity(kind, threads, speed);
        }
    }
}
