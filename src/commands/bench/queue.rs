//! `queue-length`: what a call costs the engine with many requests waiting, beside the same with few.
//!
//! The engine runs in this process, on one thread, without a store or a network: what is measured is
//! matching, counting and keeping the queue in order. Two engines take turns, so that both see the same
//! machine; each has the same workers and the same sorts of requests, over the same models. Whatever a call
//! changes is undone before the next one, outside of what is measured.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use uuid::Uuid;

use super::{
    report::{Budget, Row},
    stats,
};
use crate::{
    domain::{
        AttemptId, Kudos, RequestId, Timestamp, UserId,
        bridge::Bridge,
        models::ModelReference,
        request::{ImageParams, Params, Spec},
        result::{Delivery, Product, Verdict},
        user::KeyHash,
        worker::{ImageSkills, Profile, Skills},
    },
    engine::{Dice, Effect, Engine, NewUser, Push, Rules, Step, Submission},
};

const WORKLOAD: &str = "queue-length";

/// How large the two queues are, and what else there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuePlan {
    /// Requests in the long queue.
    pub many: usize,
    /// Requests in the short one.
    pub few: usize,
    /// Models.
    pub models: usize,
    /// Workers.
    pub workers: usize,
    /// Calls of each sort in a round.
    pub calls: usize,
    /// Rounds.
    pub rounds: usize,
}

/// Sides of the images that are asked for.
const SIDES: [u32; 3] = [512, 768, 1024];
/// Models that a worker serves.
const SERVED: usize = 5;

/// Chance that is the same in each run.
struct Fixed(u64);

impl Fixed {
    /// SplitMix64.
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Dice for Fixed {
    fn uuid(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.draw(), self.draw())
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound.max(1)
    }
}

/// An engine with a queue.
struct Bench {
    engine: Engine,
    dice: Fixed,
    now: Timestamp,
    asks: UserId,
    owns: UserId,
    models: Vec<Arc<str>>,
    asked: usize,
}

impl Bench {
    fn open(plan: &QueuePlan, waiting: usize) -> anyhow::Result<Self> {
        let rules = Rules { max_waiting_jobs: usize::MAX, max_open_bytes: usize::MAX, ..Rules::default() };
        let mut bench = Self {
            engine: Engine::new(rules, Arc::new(ModelReference::built_in())),
            dice: Fixed(7),
            now: Timestamp(1_800_000_000_000),
            asks: UserId::ANONYMOUS,
            owns: UserId::ANONYMOUS,
            models: (0..plan.models).map(|number| format!("model {number}").into()).collect(),
            asked: 0,
        };
        bench.asks = bench.add_user("asks")?;
        bench.owns = bench.add_user("owns")?;
        for worker in 0..plan.workers {
            bench.pop(worker, Suited::Yes)?;
        }
        for _ in 0..waiting {
            bench.submit()?;
        }
        Ok(bench)
    }

    fn act<T>(&mut self, verb: impl FnOnce(&mut Engine, &mut Step<'_>) -> T) -> (T, Vec<Effect>) {
        self.now = self.now.plus(Duration::from_millis(1));
        let mut effects = Vec::new();
        let mut step = Step { now: self.now, dice: &mut self.dice, effects: &mut effects };
        let answer = verb(&mut self.engine, &mut step);
        let claims: Vec<_> = effects
            .iter()
            .filter_map(|effect| if let Effect::Claim(claim) = effect { Some(claim.id) } else { None })
            .collect();
        for claim in claims {
            let mut step = Step { now: self.now, dice: &mut self.dice, effects: &mut effects };
            self.engine.claimed(&mut step, claim);
        }
        (answer, effects)
    }

    fn add_user(&mut self, alias: &str) -> anyhow::Result<UserId> {
        let new = NewUser {
            alias: alias.into(),
            key: KeyHash::of(alias),
            kudos: Kudos::whole(1_000_000),
            roles: Vec::new(),
            concurrency: 1 << 30,
            worker_invites: 1 << 30,
        };
        Ok(self.act(|engine, step| engine.add_user(step, new)).0?.id)
    }

    /// A request: each model in turn, with each sort in turn.
    fn submit(&mut self) -> anyhow::Result<RequestId> {
        let (id, spec) = (RequestId(self.dice.uuid()), self.spec());
        let asks = self.asks;
        self.act(|engine, step| engine.submit(step, id, asks, spec)).0.context("a submit")?;
        Ok(id)
    }

    fn spec(&mut self) -> Spec {
        let number = self.asked;
        self.asked += 1;
        let sort = number / self.models.len();
        let side = SIDES[sort % SIDES.len()];
        Spec {
            prompt: "a lighthouse in a storm, oil on canvas".into(),
            jobs: 1,
            models: vec![self.models[number % self.models.len()].clone()],
            nsfw: sort % 2 == 1,
            trusted_workers: false,
            slow_workers: true,
            validated_backends: false,
            workers: Vec::new(),
            worker_blacklist: false,
            origin: Default::default(),
            webhook: None,
            params: Params::Image(Box::new(image(side))),
        }
    }

    /// A pop that is answered at once: the job, if it got one.
    fn pop(&mut self, worker: usize, suited: Suited) -> anyhow::Result<Option<(RequestId, AttemptId)>> {
        let profile = self.profile(worker, suited);
        let (name, owner, until) = (format!("worker {worker}"), self.owns, self.now);
        let (held, effects) = self.act(|engine, step| engine.pop(step, owner, &name, profile, until));
        held.context("a pop")?;
        let job = effects.iter().find_map(|effect| match effect {
            Effect::Deliver { push: Push::Grant(grant), .. } => {
                Some((grant.request, grant.attempts.first()?.id))
            }
            _ => None,
        });
        Ok(job)
    }

    fn profile(&self, worker: usize, suited: Suited) -> Profile {
        let served = (0..SERVED).map(|i| self.models[(worker * 7 + i * 61) % self.models.len()].clone());
        let most = if suited == Suited::Yes { 1024 * 1024 } else { 64 * 64 };
        let skills = ImageSkills {
            max_pixels: most,
            img2img: true,
            painting: true,
            unsafe_ip: true,
            post_processing: true,
            controlnet: true,
            sdxl_controlnet: true,
            lora: true,
            limit_max_steps: false,
            require_upfront_kudos: false,
            extra_slow: false,
        };
        Profile {
            models: served.collect(),
            bridge: Bridge::parse("AI Horde Worker reGen:13:bench"),
            threads: 1,
            amount: 1,
            nsfw: true,
            blacklist: vec!["hated".into(), "loathed".into()],
            priority_users: Vec::new(),
            skills: Skills::Image(skills),
            extras: Default::default(),
        }
    }

    /// Microseconds of one call of each sort: a submit, a pop with a job, one without.
    fn round(&mut self, plan: &QueuePlan) -> anyhow::Result<[Vec<f64>; 3]> {
        let mut spans = [Vec::new(), Vec::new(), Vec::new()];
        for call in 0..plan.calls {
            let worker = call * 37 % plan.workers;
            let began = Instant::now();
            let id = self.submit()?;
            spans[0].push(micros(began));
            self.act(|engine, step| engine.cancel(step, id));
            // The next one is asked for in its place, or some models would never be.
            self.asked -= 1;

            let began = Instant::now();
            let job = self.pop(worker, Suited::Yes)?;
            spans[1].push(micros(began));
            let (_, attempt) = job.context("a pop got no job")?;
            let delivery = Delivery {
                product: Product::Image,
                seed: 1,
                verdict: Verdict::Ok,
                remarks: Vec::new(),
                extras: Default::default(),
            };
            let owns = self.owns;
            let delivered = Submission::Delivered(delivery);
            self.act(|engine, step| engine.settle(step, owns, attempt, delivered)).0.context("a result")?;
            self.submit()?;

            // What it says of itself now is taken over before it is measured what the next pop costs.
            anyhow::ensure!(self.pop(worker, Suited::No)?.is_none(), "a pop got a job that does not fit");
            let began = Instant::now();
            self.pop(worker, Suited::No)?;
            spans[2].push(micros(began));
            self.pop_back(worker)?;
        }
        Ok(spans)
    }

    /// A worker says again what it said at first, and hands back what it gets for it.
    fn pop_back(&mut self, worker: usize) -> anyhow::Result<()> {
        if let Some((_, attempt)) = self.pop(worker, Suited::Yes)? {
            self.act(|engine, step| engine.undelivered(step, &[attempt]));
        }
        Ok(())
    }
}

/// Whether a worker may have what waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Suited {
    Yes,
    No,
}

fn micros(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e6
}

fn image(side: u32) -> ImageParams {
    ImageParams {
        sampler: "k_euler_a".into(),
        cfg_scale: 7.5,
        steps: 30,
        width: side,
        height: side,
        seed: None,
        seed_variation: None,
        karras: true,
        tiling: false,
        hires_fix: false,
        transparent: false,
        denoising_strength: None,
        hires_fix_denoising_strength: None,
        facefixer_strength: None,
        clip_skip: None,
        post_processing: Vec::new(),
        control_type: None,
        image_is_control: false,
        return_control_map: false,
        loras: Vec::new(),
        tis: Vec::new(),
        extra_texts: Vec::new(),
        workflow: None,
        special: None,
        extra_slow_workers: false,
        censor: false,
        links: true,
        disable_batching: false,
        source_processing: "img2img".into(),
        has_source: false,
        has_mask: false,
        extra_sources: Vec::new(),
    }
}

/// Measures, off the runtime's threads.
///
/// # Errors
/// A call fails, or a pop is answered otherwise than it must be.
pub async fn measure(plan: QueuePlan) -> anyhow::Result<Vec<Row>> {
    tokio::task::spawn_blocking(move || measure_here(&plan)).await?
}

fn measure_here(plan: &QueuePlan) -> anyhow::Result<Vec<Row>> {
    let (mut long, mut short) = (Bench::open(plan, plan.many)?, Bench::open(plan, plan.few)?);
    let (mut of_long, mut of_short): ([Vec<f64>; 3], [Vec<f64>; 3]) = Default::default();
    for _ in 0..plan.rounds {
        for (bench, all) in [(&mut long, &mut of_long), (&mut short, &mut of_short)] {
            for (spans, all) in bench.round(plan)?.into_iter().zip(all) {
                all.push(stats::median(spans));
            }
        }
    }
    let beside = "short queue";
    let names = ["submit", "pop with a job", "pop without a job"];
    let rows = names.into_iter().zip(of_long.into_iter().zip(of_short));
    Ok(rows
        .map(|(name, (long, short))| {
            let row = Row::new(WORKLOAD, name, "µs", stats::median(long), stats::median(short));
            row.beside(beside).within(Budget::RatioAtMost(2.0))
        })
        .collect())
}

/// What a reader of the figures must know.
pub fn note(plan: &QueuePlan) -> String {
    format!(
        "queue-length: the engine alone, in this process; {} requests wait beside {}, over {} models and {} workers.",
        plan.many, plan.few, plan.models, plan.workers
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_queues_are_as_long_after_a_round_as_before() {
        let plan = QueuePlan { many: 60, few: 12, models: 6, workers: 5, calls: 7, rounds: 1 };
        let mut bench = Bench::open(&plan, plan.many).unwrap();
        let waiting = |bench: &Bench| bench.engine.depth(crate::domain::request::Kind::Image);
        assert_eq!(waiting(&bench), (60, 0));
        let spans = bench.round(&plan).unwrap();
        assert!(spans.iter().all(|spans| spans.len() == 7 && spans.iter().all(|span| *span > 0.0)));
        assert_eq!(waiting(&bench), (60, 0));
    }
}
