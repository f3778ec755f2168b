//! The broker's Redis work alone: its own keeper of claims, with nothing behind it that takes time. In the
//! place of PostgreSQL stands a stand-in that has nothing to tell, so a job here is accepted, claimed,
//! opened and settled by word of mouth; what Redis is told of it is what a broker tells.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use async_trait::async_trait;
use fred::{clients::Client, interfaces::HashesInterface};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{
    super::{
        crew::{Crew, Cycle},
        stats::Tally,
        work,
    },
    servers::Servers,
    sides::Load,
};
use crate::{
    backend::{
        ClaimAnswer, Claims, Deed, Failure, FilterRecords, Leadership, Ledger, RankedUsers, Ranking, Records,
        StatRecords, StyleRecords, Verdict, WebhookEnd,
        distributed::{Link, RedisClaims},
    },
    config::Store,
    domain::{
        AttemptId, Clock, Kudos, RequestId, TeamId, Timestamp, UserId, WorkerId,
        bridge::Bridge,
        clock::SystemClock,
        filters::Filter,
        lease::{Attempt, Held},
        ledger::{Audit, Holdings},
        record::{PastAttempt, Record, Snapshot, StoredRequest},
        request::{Accepted, Kind, Params, Spec, TextParams},
        result::{Outcome, Product, Verdict as Judgement},
        stats::Stats,
        team::TeamFigures,
        transfer::Past,
        user::{KeyHash, User},
        webhook::Webhook,
        worker::{Profile, Skills, TextSkills, Worker},
    },
};

/// Jobs of each member that wait: one is accepted for each that is claimed, so that most have been
/// announced by the time they are claimed.
const WAITING: usize = 8;
/// A lease, longer than any run.
const LEASE: Duration = Duration::from_secs(3600);
/// How long Redis may take to be told the rest.
const PATIENCE: Duration = Duration::from_secs(20);

/// Jobs that go through a keeper of claims.
pub struct ClaimsAlone {
    crew: Crew<Member>,
    redis: Client,
    open: String,
    waiting: usize,
}

impl ClaimsAlone {
    /// Begins an empty live queue, whose names begin with a word.
    ///
    /// # Errors
    /// Redis refuses it.
    pub async fn start(
        servers: &Servers,
        prefix: &str,
        members: usize,
        workers: usize,
    ) -> anyhow::Result<Self> {
        let name = |what: &str| format!("{prefix}{what}");
        let settings = Store {
            redis_url: Some(servers.redis_url.clone()),
            job_stream_image: name("jobs:image"),
            job_stream_text: name("jobs:text"),
            job_stream_video: name("jobs:video"),
            job_stream_alchemy: name("jobs:alchemy"),
            stream_prefix: name("stream:"),
            ..Store::default()
        };
        let link = Link::open(&settings).await.map_err(anyhow::Error::from_boxed)?;
        let leads = Arc::new(Leads(AtomicBool::new(true)));
        let claims = RedisClaims::new(link, Arc::new(Nothing), leads.clone(), Arc::new(SystemClock));
        let workers: Vec<_> = (0..workers).map(worker).collect();
        let ids: Vec<_> = workers.iter().map(|worker| worker.id).collect();
        let begun = claims.restore(&Snapshot { workers, ..Snapshot::default() }).await;
        begun.map_err(anyhow::Error::from_boxed).context("the live queue cannot be begun")?;
        // The upkeep compares the queue with the records, which would find nothing of it there.
        leads.0.store(false, Ordering::Relaxed);
        let (claims, spec) = (Arc::new(claims), Arc::new(spec()));
        let member = |number: usize| Member {
            claims: claims.clone(),
            spec: spec.clone(),
            worker: ids[number % ids.len()],
            waiting: VecDeque::new(),
        };
        Ok(Self {
            crew: Crew::new((0..members).map(member).collect(), JoinSet::new()),
            redis: servers.redis.clone(),
            open: format!("{{{}}}:open", settings.job_stream_text),
            waiting: members * WAITING,
        })
    }
}

#[async_trait]
impl Load for ClaimsAlone {
    async fn run(&mut self, span: Duration) -> anyhow::Result<Tally> {
        let tally = self.crew.run(span).await?;
        // What was settled is told behind the members' backs: it belongs to the time it takes.
        let since = Instant::now();
        loop {
            let open: usize = self.redis.hlen(self.open.as_str()).await?;
            if open == self.waiting {
                return Ok(tally);
            }
            if since.elapsed() > PATIENCE {
                bail!("{open} jobs are open in Redis, and {} wait", self.waiting);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Accepts a job, and takes another through to its end.
struct Member {
    claims: Arc<RedisClaims>,
    spec: Arc<Spec>,
    worker: WorkerId,
    waiting: VecDeque<Accepted>,
}

impl Member {
    fn accept(&mut self, now: Timestamp) {
        let request = Accepted {
            id: RequestId(Uuid::now_v7()),
            owner: UserId(1),
            created_at: now,
            priority: 0,
            spec: self.spec.clone(),
        };
        let record = Record::RequestAccepted {
            request: request.clone(),
            expires_at: now.plus(LEASE),
            limit: usize::MAX,
        };
        self.claims.committed(&mut [record].iter());
        self.waiting.push_back(request);
    }
}

impl Cycle for Member {
    async fn cycle(&mut self) -> anyhow::Result<Duration> {
        let (started, now) = (Instant::now(), SystemClock.now());
        while self.waiting.len() <= WAITING {
            self.accept(now);
        }
        let request = self.waiting.pop_front().context("jobs were accepted just now")?.id;
        let attempt = Attempt {
            id: AttemptId(Uuid::new_v4()),
            job: 0,
            number: 1,
            worker: self.worker,
            model: work::MODEL.into(),
            seed: 7,
            held: Held::Stream,
            granted_at: now,
            expires_at: now.plus(LEASE),
        };
        match self.claims.claim(request, Kind::Text, std::slice::from_ref(&attempt)).await {
            ClaimAnswer::Claimed => {}
            other => bail!("a claim that nobody competes for was answered {other:?}"),
        }
        let outcome = Arc::new(outcome(&attempt, now));
        let records = [Record::AttemptOpened { request, attempt }, Record::Settled { request, outcome }];
        self.claims.committed(&mut records.iter());
        Ok(started.elapsed())
    }

    fn waits_for(&self) -> String {
        "the answer to a claim".into()
    }
}

/// The job that all are: that of the other workloads.
fn spec() -> Spec {
    let request = work::text_request(0);
    let params = request.params.unwrap_or_default();
    let tokens =
        |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok()).unwrap_or_default();
    Spec {
        prompt: request.prompt.unwrap_or_default(),
        jobs: 1,
        models: vec![work::MODEL.into()],
        nsfw: false,
        trusted_workers: false,
        slow_workers: true,
        validated_backends: false,
        workers: Vec::new(),
        worker_blacklist: false,
        origin: Default::default(),
        webhook: None,
        params: Params::Text(Box::new(TextParams {
            max_length: tokens(params.max_length),
            max_context_length: tokens(params.max_context_length),
            temperature: Some(0.8),
            ..TextParams::default()
        })),
    }
}

/// What a job's entry in a stream says, for entries that are added without a broker.
pub fn entry() -> Vec<(&'static str, String)> {
    // Plain data without anything that JSON cannot say.
    let needs = serde_json::to_string(&Spec { prompt: String::new(), ..spec() }).unwrap_or_default();
    let created = SystemClock.now().0;
    vec![
        ("job", format!("{}:0", Uuid::now_v7())),
        ("number", "1".into()),
        ("order", (-50 * created.div_euclid(10_000)).to_string()),
        ("created", created.to_string()),
        ("owner", "1".into()),
        ("needs", needs),
        ("broker", Uuid::new_v4().simple().to_string()),
    ]
}

fn worker(number: usize) -> Worker {
    let now = SystemClock.now();
    Worker {
        id: WorkerId(Uuid::new_v4()),
        name: format!("bench-{number}"),
        owner: UserId(1),
        created_at: now,
        seen_at: now,
        profile: Profile {
            models: vec![work::MODEL.into()],
            bridge: Bridge::parse(work::AGENT),
            threads: 1,
            amount: 1,
            nsfw: false,
            blacklist: Vec::new(),
            priority_users: Vec::new(),
            skills: Skills::Text(TextSkills {
                max_length: 80,
                max_context_length: 2048,
                softprompts: vec![],
            }),
            extras: Default::default(),
        },
        maintenance: None,
        standing: Default::default(),
        stats: Default::default(),
    }
}

fn outcome(attempt: &Attempt, now: Timestamp) -> Outcome {
    Outcome {
        attempt: attempt.id,
        job: attempt.job,
        number: attempt.number,
        product: Product::Text(work::text()),
        seed: 7,
        verdict: Judgement::Ok,
        remarks: Vec::new(),
        extras: Default::default(),
        worker: attempt.worker,
        worker_name: String::new(),
        model: attempt.model.clone(),
        reward: Kudos::ZERO,
        settled_at: now,
    }
}

/// Builds the live queue, and has done with it.
struct Leads(AtomicBool);

impl Leadership for Leads {
    fn is_leader(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Records that hold nothing and answer at once.
struct Nothing;

impl StyleRecords for Nothing {}

#[async_trait]
impl Ledger for Nothing {
    async fn past(&self, _: Uuid, _: UserId, _: UserId) -> Result<Past, Failure> {
        Ok(Past::default())
    }

    async fn audit(&self) -> Result<Audit, Failure> {
        Ok(Audit::default())
    }

    async fn holdings(&self) -> Result<Holdings, Failure> {
        Ok(Holdings::default())
    }
}

#[async_trait]
impl RankedUsers for Nothing {
    async fn ranked_users(&self, _: Ranking, _: u32, _: u32) -> Result<Vec<User>, Failure> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl FilterRecords for Nothing {
    async fn filters(&self) -> Result<Vec<Filter>, Failure> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl StatRecords for Nothing {
    async fn stats(&self, _: Timestamp) -> Result<Stats, Failure> {
        Ok(Stats::default())
    }

    async fn fold_stats(&self, _: Timestamp) -> Result<(), Failure> {
        Ok(())
    }
}

#[async_trait]
impl Records for Nothing {
    async fn load(&self) -> Result<Snapshot, Failure> {
        Ok(Snapshot::default())
    }

    async fn commit_each(&self, deeds: &[Deed]) -> Result<Vec<Verdict>, Failure> {
        Ok(vec![Verdict::Kept; deeds.len()])
    }

    async fn requests(&self, _: &[RequestId]) -> Result<Vec<StoredRequest>, Failure> {
        Ok(Vec::new())
    }

    async fn people(&self, _: &[UserId], _: &[WorkerId]) -> Result<(Vec<User>, Vec<Worker>), Failure> {
        Ok((Vec::new(), Vec::new()))
    }

    async fn team_figures(&self, _: Option<TeamId>) -> Result<Vec<(TeamId, TeamFigures)>, Failure> {
        Ok(Vec::new())
    }

    async fn worker_by_name(&self, _: &str) -> Result<Option<Worker>, Failure> {
        Ok(None)
    }

    async fn attempt(&self, _: AttemptId) -> Result<Option<PastAttempt>, Failure> {
        Ok(None)
    }

    async fn user_by_key(&self, _: KeyHash) -> Result<Option<User>, Failure> {
        Ok(None)
    }

    async fn sweep(&self, _: Timestamp) -> Result<Vec<(RequestId, Vec<AttemptId>)>, Failure> {
        Ok(Vec::new())
    }

    async fn take_webhooks(
        &self,
        _: Timestamp,
        _: Duration,
        _: usize,
        _: &[String],
    ) -> Result<Vec<Webhook>, Failure> {
        Ok(Vec::new())
    }

    async fn end_webhooks(&self, _: Timestamp, _: &[WebhookEnd]) -> Result<(), Failure> {
        Ok(())
    }

    async fn crop_webhooks(&self, _: usize) -> Result<u64, Failure> {
        Ok(0)
    }

    async fn secret(&self, proposal: [u8; 32]) -> Result<[u8; 32], Failure> {
        Ok(proposal)
    }

    async fn ping(&self) -> Result<(), Failure> {
        Ok(())
    }
}
