//! A stage for tests of verbs: an engine, a clock that stands still, and all effects in one list.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use super::{Claim, ClaimId, Dice, Effect, Engine, Grant, NewUser, Push, Rules, Step, Submission};
use crate::domain::{
    AttemptId, Kudos, OfferId, RequestId, Result, Timestamp, UserId,
    bridge::Bridge,
    event::Event,
    price::ModelSizes,
    record::Record,
    request::{Kind, Params, Spec, TextParams, tests::image},
    result::{Delivery, Product, Verdict},
    user::KeyHash,
    worker::{ImageSkills, Profile, Skills, TextSkills},
};

struct NoSizes;

impl ModelSizes for NoSizes {
    fn baseline(&self, _: &str) -> &str {
        "stable diffusion 1"
    }

    fn billions(&self, _: &str) -> Option<f64> {
        None
    }

    fn is_video(&self, model: &str) -> bool {
        model.to_lowercase().starts_with("video")
    }

    fn is_still(&self, model: &str) -> bool {
        model.starts_with("still")
    }
}

/// Dice that count.
#[derive(Default)]
pub struct Counter(u128);

impl Dice for Counter {
    fn uuid(&mut self) -> Uuid {
        self.0 += 1;
        Uuid::from_u128(self.0)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 += 1;
        self.0 as u64 % bound
    }
}

pub struct Stage {
    pub engine: Engine,
    pub now: Timestamp,
    dice: Counter,
    /// All effects but claims, in order.
    pub log: Vec<Effect>,
    /// Claims wait for an answer instead of being granted at once.
    pub holds_claims: bool,
    pub claims: Vec<Claim>,
    /// The account that asks and owns the workers.
    pub user: UserId,
}

impl Stage {
    pub fn new() -> Self {
        Self::with(Rules::default())
    }

    pub fn with(rules: Rules) -> Self {
        Self::knowing(rules, Arc::new(NoSizes))
    }

    pub fn knowing(rules: Rules, models: Arc<dyn ModelSizes>) -> Self {
        let mut stage = Self {
            engine: Engine::new(rules, models),
            now: Timestamp(1_000_000_000),
            dice: Counter::default(),
            log: Vec::new(),
            holds_claims: false,
            claims: Vec::new(),
            user: UserId::ANONYMOUS,
        };
        let new = NewUser {
            alias: "someone".into(),
            key: KeyHash::of("someone"),
            kudos: Kudos::whole(10_000),
            roles: vec![],
            concurrency: 1_000_000,
            worker_invites: 1_000_000,
        };
        stage.user = stage.act(|engine, step| engine.add_user(step, new)).unwrap().id;
        stage
    }

    /// Runs a verb and what follows from it.
    pub fn act<T>(&mut self, verb: impl FnOnce(&mut Engine, &mut Step<'_>) -> T) -> T {
        let mut effects = Vec::new();
        let mut step = Step { now: self.now, dice: &mut self.dice, effects: &mut effects };
        let answer = verb(&mut self.engine, &mut step);
        while !effects.is_empty() {
            for effect in std::mem::take(&mut effects) {
                match effect {
                    Effect::Claim(claim) if self.holds_claims => self.claims.push(claim),
                    Effect::Claim(claim) => {
                        let mut step = Step { now: self.now, dice: &mut self.dice, effects: &mut effects };
                        self.engine.claimed(&mut step, claim.id);
                    }
                    other => self.log.push(other),
                }
            }
        }
        answer
    }

    /// Answers the oldest claim that waits.
    pub fn answer(&mut self, is_lost: bool) {
        let ClaimId(id) = self.claims.remove(0).id;
        self.act(|engine, step| match is_lost {
            true => engine.lost(step, ClaimId(id)),
            false => engine.claimed(step, ClaimId(id)),
        });
    }

    /// Time passes.
    pub fn wait(&mut self, span: Duration) {
        let end = self.now.plus(span);
        while let Some(due) = self.engine.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.act(|engine, step| engine.tick(step));
        }
        self.now = end;
    }

    pub fn submit(&mut self, spec: Spec) -> RequestId {
        let id = RequestId(self.dice.uuid());
        let owner = self.user;
        self.act(|engine, step| engine.submit(step, id, owner, spec)).unwrap();
        id
    }

    pub fn pop(&mut self, name: &str, profile: Profile, hold: Duration) -> OfferId {
        let (owner, until) = (self.user, self.now.plus(hold));
        self.act(|engine, step| engine.pop(step, owner, name, profile, until)).unwrap().offer
    }

    pub fn stream(&mut self, name: &str, profile: Profile, credits: usize, held: &[AttemptId]) -> OfferId {
        let owner = self.user;
        let stream =
            self.act(|engine, step| engine.open_stream(step, owner, name, profile, credits, held)).unwrap();
        self.act(|engine, step| engine.start_stream(step, stream.offer));
        stream.offer
    }

    pub fn deliver(&mut self, attempt: AttemptId) -> Result<Kudos> {
        let (owner, kind) = (self.user, self.engine.kind_of(attempt));
        let is_image = matches!(kind, Some(Kind::Image | Kind::Video));
        let product = if is_image { Product::Image } else { Product::Text("text".into()) };
        let delivery =
            Delivery { product, seed: 1, verdict: Verdict::Ok, remarks: vec![], extras: Default::default() };
        self.act(|engine, step| engine.settle(step, owner, attempt, Submission::Delivered(delivery)))
    }

    /// Grants that were sent and not taken yet, with the offers they went to.
    pub fn grants(&mut self) -> Vec<(OfferId, Grant)> {
        let mut grants = Vec::new();
        self.log.retain(|effect| match effect {
            Effect::Deliver { offer, push: Push::Grant(grant) } => {
                grants.push((*offer, grant.clone()));
                false
            }
            _ => true,
        });
        grants
    }

    /// IDs of the attempts in those grants.
    pub fn granted(&mut self) -> Vec<AttemptId> {
        self.grants().iter().flat_map(|(_, grant)| grant.attempts.iter().map(|attempt| attempt.id)).collect()
    }

    pub fn events(&self, id: RequestId) -> Vec<Event> {
        let events = self.log.iter().filter_map(|effect| match effect {
            Effect::Tell { request, event } | Effect::Murmur { request, event } if *request == id => {
                Some(event)
            }
            _ => None,
        });
        events.cloned().collect()
    }

    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.log.iter().filter_map(|effect| match effect {
            Effect::Persist(record) => Some(record),
            _ => None,
        })
    }
}

pub fn text_spec(jobs: usize) -> Spec {
    Spec {
        prompt: "a lighthouse".into(),
        jobs,
        models: vec!["model".into()],
        nsfw: false,
        trusted_workers: false,
        slow_workers: true,
        validated_backends: false,
        workers: vec![],
        worker_blacklist: false,
        origin: Default::default(),
        webhook: None,
        params: Params::Text(Box::new(TextParams {
            max_length: 80,
            max_context_length: 1024,
            ..Default::default()
        })),
    }
}

pub fn image_spec(jobs: usize) -> Spec {
    Spec { params: Params::Image(Box::new(image())), ..text_spec(jobs) }
}

pub fn text_profile(amount: u32) -> Profile {
    Profile {
        models: vec!["model".into()],
        bridge: Bridge::parse("KoboldCppEmbedWorker:2:x"),
        threads: 1,
        amount,
        nsfw: true,
        blacklist: vec![],
        priority_users: vec![],
        skills: Skills::Text(TextSkills { max_length: 512, max_context_length: 8192, softprompts: vec![] }),
        extras: Default::default(),
    }
}

pub fn image_profile(amount: u32) -> Profile {
    let skills = ImageSkills {
        // Of 512², one job at a time is safe.
        max_pixels: 512 * 512,
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
    let bridge = Bridge::parse("AI Horde Worker reGen:13.0.0:x");
    Profile { bridge, skills: Skills::Image(skills), ..text_profile(amount) }
}
