//! Who holds which job.

use std::{sync::Arc, time::Duration};

use gridbroker::{
    backend::{
        ClaimAnswer::{self, Claimed, Lost, Unknown},
        Claims, Records,
        distributed::{Link, RedisClaims},
        embedded::{LocalClaims, LocalLeadership, SqliteRecords},
    },
    config::{SecretUrl, Store},
    domain::{
        clock::SystemClock,
        lease::Attempt,
        record::Record,
        request::{Accepted, Kind},
    },
};
use proptest::test_runner::{Config, TestRunner};
use tempfile::TempDir;

use super::jobs::*;
use crate::{
    harness::{PATIENCE, Redis, eventually},
    simulation::{dice::Chance, things},
};

const STREAM: &str = "jobs:text";
const OPEN: &str = "{jobs:text}:open";

/// Records, and a keeper of claims that hears of what is committed to them.
struct Keeper {
    records: Arc<SqliteRecords>,
    claims: Arc<dyn Claims>,
    _directory: TempDir,
}

fn claims_over(link: Arc<Link>, records: Arc<SqliteRecords>) -> RedisClaims {
    RedisClaims::new(link, records, Arc::new(LocalLeadership), Arc::new(SystemClock))
}

impl Keeper {
    async fn with(claims: impl FnOnce(Arc<SqliteRecords>) -> Arc<dyn Claims>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let records = SqliteRecords::open(&directory.path().join("records.sqlite")).await.unwrap();
        let records = Arc::new(records);
        let claims = claims(records.clone());
        claims.restore(&records.load().await.unwrap()).await.unwrap();
        Self { records, claims, _directory: directory }
    }

    async fn embedded() -> Self {
        Self::with(|_| Arc::new(LocalClaims)).await
    }

    async fn redis(redis: &Redis) -> Self {
        let link = Link::open(&redis.settings()).await.unwrap();
        Self::with(|records| Arc::new(claims_over(link, records))).await
    }

    async fn commit(&self, batch: &[Record]) {
        self.records.commit(batch).await.unwrap();
        self.claims.committed(&mut batch.iter());
    }

    async fn claim(&self, request: &Accepted, attempts: &[&Attempt]) -> ClaimAnswer {
        let attempts: Vec<_> = attempts.iter().map(|attempt| (*attempt).clone()).collect();
        self.claims.claim(request.id, request.spec.kind(), &attempts).await
    }

    /// Asks again for as long as nobody knows, as the host does.
    async fn insist(&self, request: &Accepted, attempts: &[&Attempt]) -> ClaimAnswer {
        let mut answer = Unknown;
        eventually(async || {
            answer = self.claim(request, attempts).await;
            answer != Unknown
        })
        .await;
        answer
    }
}

fn name(request: &Accepted, job: usize) -> String {
    format!("{}:{job}", request.id)
}

/// What `open` says of a job, without its entry and broker.
fn open(redis: &Redis, request: &Accepted, job: usize) -> Option<(u32, String, String)> {
    let line = redis.says(&["HGET", OPEN, &name(request, job)]);
    let mut words = line.splitn(6, ' ').skip(1);
    let number = words.next()?.parse().unwrap();
    let attempt = words.next()?.to_owned();
    Some((number, attempt, words.nth(2).unwrap_or_default().to_owned()))
}

fn is_waiting(redis: &Redis, request: &Accepted, job: usize, number: u32) -> bool {
    open(redis, request, job).is_some_and(|(at, attempt, _)| at == number && attempt == "-")
}

fn is_held(redis: &Redis, request: &Accepted, attempt: &Attempt) -> bool {
    open(redis, request, attempt.job).is_some_and(|(_, holder, _)| holder == attempt.id.to_string())
}

/// Names of workers that hold something, with how many.
fn pending(redis: &Redis) -> String {
    let summary = redis.says(&["XPENDING", STREAM, "workers"]);
    summary.lines().skip(3).collect::<Vec<_>>().join(" ")
}

/// That nothing is left of any job.
async fn is_empty(redis: &Redis) {
    eventually(async || {
        redis.says(&["XLEN", STREAM]) == "0"
            && redis.says(&["HLEN", OPEN]) == "0"
            && redis.says(&["ZCARD", "{jobs:text}:expiry"]) == "0"
            && pending(redis).is_empty()
    })
    .await;
}

/// The life of two jobs, as every keeper must bear with it.
async fn the_same_claim_gets_the_same_answer_whatever_comes_between(keeper: &Keeper) {
    let request = request(1, 2);
    let (first, second) = (attempt(0, 1, "ann"), attempt(1, 1, "ann"));
    keeper.commit(&[said("ann"), accepted(&request)]).await;
    assert_eq!(keeper.claim(&request, &[&first, &second]).await, Claimed);
    assert_eq!(keeper.claim(&request, &[&first, &second]).await, Claimed, "asked again");
    keeper.commit(&[opened(&request, &first), opened(&request, &second)]).await;
    assert_eq!(keeper.claim(&request, &[&first]).await, Claimed, "asked again in part");
    keeper.commit(&[settled(&request, &second), closed(&request, &first)]).await;
    let again = attempt(0, 2, "bea");
    assert_eq!(keeper.claim(&request, &[&again]).await, Claimed, "what was given back can be had");
    assert_eq!(keeper.claim(&request, &[&again]).await, Claimed);
    keeper.commit(&[opened(&request, &again), settled(&request, &again)]).await;
}

#[tokio::test]
async fn embedded_the_same_claim_gets_the_same_answer() {
    the_same_claim_gets_the_same_answer_whatever_comes_between(&Keeper::embedded().await).await;
}

#[tokio::test]
async fn redis_the_same_claim_gets_the_same_answer_and_nothing_is_left() {
    let redis = Redis::start();
    let keeper = Keeper::redis(&redis).await;
    the_same_claim_gets_the_same_answer_whatever_comes_between(&keeper).await;
    is_empty(&redis).await;
}

/// A request of a kind for two jobs.
fn request_of(kind: Kind, number: u128) -> Accepted {
    use gridbroker::domain::request::{Params, Spec};

    let chance = &mut Chance::new(7);
    let accepted = request(number, 2);
    let params = match kind {
        Kind::Image => Params::Image(Box::new(things::image(chance))),
        Kind::Text => return accepted,
        Kind::Video => Params::Video(Box::new(things::image(chance))),
        Kind::Alchemy => Params::Alchemy(Box::new(things::alchemy(2))),
    };
    Accepted { spec: Arc::new(Spec { params, ..(*accepted.spec).clone() }), ..accepted }
}

async fn jobs_of_a_kind_are_held_by_one_attempt_alone(keeper: &Keeper, kind: Kind, is_shared: bool) {
    let request = request_of(kind, 1 + kind.index() as u128);
    keeper.commit(&[said("ann"), accepted(&request)]).await;
    let (first, other) = (attempt(0, 1, "ann"), attempt(0, 1, "bea"));
    assert_eq!(keeper.insist(&request, &[&first]).await, Claimed, "{kind:?}");
    if is_shared {
        assert_eq!(keeper.insist(&request, &[&other]).await, Lost, "{kind:?}");
    }
    assert_eq!(keeper.insist(&request, &[&first]).await, Claimed, "{kind:?}");
    keeper.commit(&[opened(&request, &first), settled(&request, &first)]).await;
    keeper.commit(&[cancelled(&request)]).await;
}

#[tokio::test]
async fn embedded_jobs_of_each_kind_are_held_by_one_attempt_alone() {
    for kind in Kind::ALL {
        jobs_of_a_kind_are_held_by_one_attempt_alone(&Keeper::embedded().await, kind, false).await;
    }
}

#[tokio::test]
async fn redis_jobs_of_each_kind_have_a_stream_of_their_own_and_nothing_is_left() {
    let redis = Redis::start();
    for kind in Kind::ALL {
        let keeper = Keeper::redis(&redis).await;
        let stream = format!("jobs:{}", kind.word());
        jobs_of_a_kind_are_held_by_one_attempt_alone(&keeper, kind, true).await;
        assert_eq!(redis.says(&["TYPE", &stream]), "stream", "{stream}");
        eventually(async || {
            redis.says(&["XLEN", &stream]) == "0"
                && redis.says(&["HLEN", &format!("{{{stream}}}:open")]) == "0"
        })
        .await;
    }
}

#[tokio::test]
async fn a_server_that_may_drop_keys_is_refused() {
    let redis = Redis::with_policy("allkeys-lru");
    let error = Link::open(&redis.settings()).await.err().expect("it is refused").to_string();
    assert!(error.contains("maxmemory-policy") && error.contains("noeviction"), "{error}");
}

#[tokio::test]
async fn a_server_that_cannot_be_used_is_an_error_at_once() {
    let redis = Redis::start();
    let plain = redis.settings().redis_url.unwrap().expose().to_owned();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for url in [
        plain.replace("redis://", "redis://somebody:a-secret@"),
        plain.replace("redis://", "rediss://somebody:a-secret@"),
        plain.replace("redis://", "redis-cluster://somebody:a-secret@"),
        format!("redis://somebody:a-secret@{nobody}"),
        format!("redis://somebody:a-secret@{}", silent.local_addr().unwrap()),
    ] {
        let settings = Store { redis_url: Some(SecretUrl::new(&url)), ..Store::default() };
        let opened = tokio::time::timeout(Duration::from_secs(8), Link::open(&settings)).await;
        let error = opened.expect("it does not wait for ever").err();
        let error = error.unwrap_or_else(|| panic!("{url} can be used")).to_string();
        assert!(!error.contains("a-secret"), "{error}");
    }
}

#[tokio::test]
async fn an_announced_job_shows_what_matching_needs_and_no_prompt() {
    let redis = Redis::start();
    let keeper = Keeper::redis(&redis).await;
    let request = request(1, 2);
    keeper.commit(&[accepted(&request)]).await;
    eventually(async || redis.says(&["XLEN", STREAM]) == "2").await;
    let entries = redis.says(&["XRANGE", STREAM, "-", "+"]);
    assert!(entries.contains(&name(&request, 0)) && entries.contains(&name(&request, 1)));
    assert!(entries.contains("koboldcpp/a") && entries.contains("max_length"), "{entries}");
    assert!(!entries.contains("nobody else may read"), "{entries}");
    assert!(is_waiting(&redis, &request, 0, 1));
}

#[tokio::test]
async fn people_see_who_holds_what() {
    let redis = Redis::start();
    let keeper = Keeper::redis(&redis).await;
    let request = request(1, 3);
    let (first, second, third) =
        (attempt(0, 1, "ann's GPU"), attempt(1, 1, "ann's GPU"), attempt(2, 1, "bea"));
    // Of bea nobody has heard when it claims: its name is put right with its attempt.
    keeper.commit(&[said("ann's GPU")]).await;
    assert_eq!(keeper.claim(&request, &[&first, &second]).await, Claimed);
    assert_eq!(keeper.claim(&request, &[&third]).await, Claimed);
    let opened: Vec<_> = [&first, &second, &third].map(|attempt| opened(&request, attempt)).into();
    keeper.commit(&[vec![said("bea"), accepted(&request)], opened].concat()).await;
    eventually(async || pending(&redis) == "ann's GPU 2 bea 1").await;
    let consumers = redis.says(&["XINFO", "CONSUMERS", STREAM, "workers"]);
    assert!(consumers.contains("ann's GPU"), "{consumers}");
    assert_eq!(open(&redis, &request, 2), Some((1, third.id.to_string(), "bea".into())));
    keeper.commit(&[closed(&request, &third)]).await;
    eventually(async || pending(&redis) == "ann's GPU 2").await;
}

#[tokio::test]
async fn a_job_is_held_by_one_attempt_alone() {
    let redis = Redis::start();
    let here = Keeper::redis(&redis).await;
    let request = request(1, 2);
    here.commit(&[said("ann"), accepted(&request)]).await;
    eventually(async || is_waiting(&redis, &request, 1, 1)).await;
    let mine = attempt(0, 1, "ann");
    assert_eq!(here.claim(&request, &[&mine]).await, Claimed);
    let other = attempt(0, 1, "bea");
    assert_eq!(here.claim(&request, &[&other]).await, Lost, "another attempt of the same number");
    // Another broker, over the same queue.
    let generation = redis.says(&["GET", "{jobs:text}:generation"]);
    let ask = |number: u32, jobs: &[usize]| {
        let mut words = vec!["all".to_owned()];
        for job in jobs {
            let id = uuid::Uuid::new_v4().to_string();
            words.extend([
                name(&request, *job),
                number.to_string(),
                id,
                "zoe".into(),
                "60000".into(),
                "pop".into(),
            ]);
        }
        let keys = ["jobs:text", OPEN, "{jobs:text}:expiry", "{jobs:text}:log", "{jobs:text}:generation"];
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/backend/distributed/scripts/claim.lua");
        let head =
            ["--eval", script].into_iter().chain(keys).chain([",", &generation, "workers", "zoes-broker"]);
        redis.says(&head.chain(words.iter().map(String::as_str)).collect::<Vec<_>>())
    };
    assert_eq!(ask(7, &[0]), "0", "a later number is no reason, of another broker");
    assert_eq!(ask(1, &[1, 0]), "0", "all or none");
    assert!(is_waiting(&redis, &request, 1, 1), "and nothing of it was taken");
    assert_eq!(ask(1, &[1]), "1");
    assert_eq!(here.claim(&request, &[&attempt(1, 2, "ann")]).await, Lost);
}

#[tokio::test]
async fn a_broker_takes_over_from_its_own_earlier_attempt() {
    let redis = Redis::start();
    let keeper = Keeper::redis(&redis).await;
    let request = request(1, 1);
    let (first, second) = (attempt(0, 1, "ann"), attempt(0, 2, "bea"));
    keeper.commit(&[said("ann"), said("bea"), accepted(&request)]).await;
    assert_eq!(keeper.claim(&request, &[&first]).await, Claimed);
    keeper.commit(&[opened(&request, &first)]).await;
    // The engine hands it on before the end of the first attempt is committed.
    assert_eq!(keeper.claim(&request, &[&second]).await, Claimed);
    assert_eq!(keeper.claim(&request, &[&first]).await, Lost, "there is no way back");
    keeper.commit(&[closed(&request, &first), opened(&request, &second)]).await;
    let later = super::jobs::request(2, 1);
    keeper.commit(&[accepted(&later)]).await;
    eventually(async || is_waiting(&redis, &later, 0, 1)).await;
    assert!(is_held(&redis, &request, &second), "the late return of the first takes nothing away");
    assert_eq!(pending(&redis), "bea 1");
    keeper.commit(&[settled(&request, &second), cancelled(&later)]).await;
    is_empty(&redis).await;
}

#[tokio::test]
async fn a_cancelled_request_leaves_only_what_is_held() {
    let redis = Redis::start();
    let keeper = Keeper::redis(&redis).await;
    let request = request(1, 3);
    let held = attempt(1, 1, "ann");
    keeper.commit(&[said("ann"), accepted(&request)]).await;
    assert_eq!(keeper.claim(&request, &[&held]).await, Claimed);
    keeper.commit(&[opened(&request, &held)]).await;
    keeper.commit(&[cancelled(&request)]).await;
    eventually(async || redis.says(&["XLEN", STREAM]) == "1").await;
    assert!(is_held(&redis, &request, &held));
    keeper.commit(&[closed(&request, &held)]).await;
    is_empty(&redis).await;
}

#[tokio::test]
async fn what_another_broker_gave_out_just_before_a_cancellation_stays_held() {
    let redis = Redis::start();
    let keeper = Keeper::redis(&redis).await;
    let (request, settled_at_once) = (request(1, 2), super::jobs::request(2, 1));
    keeper.commit(&[said("ann"), accepted(&request), accepted(&settled_at_once)]).await;
    let mine = attempt(1, 1, "ann");
    assert_eq!(keeper.claim(&request, &[&mine]).await, Claimed, "and let go, as it is cancelled meanwhile");
    eventually(async || is_waiting(&redis, &settled_at_once, 0, 1)).await;
    let far = attempt(0, 1, "zoe");
    for (request, attempt) in [(&request, &far), (&settled_at_once, &far)] {
        let stand = redis.says(&["HGET", OPEN, &name(request, 0)]);
        let entry = stand.split(' ').next().unwrap_or_default();
        let held = format!("{entry} 1 {} stream far zoe", attempt.id);
        redis.says(&["HSET", OPEN, &name(request, 0), &held]);
    }
    // The news of it were not heard here yet.
    keeper.commit(&[cancelled(&request)]).await;
    eventually(async || open(&redis, &request, 1).is_none()).await;
    assert!(is_held(&redis, &request, &far));
    let ours = attempt(0, 1, "ann");
    keeper.commit(&[opened(&settled_at_once, &ours), settled(&settled_at_once, &ours)]).await;
    eventually(async || open(&redis, &settled_at_once, 0).is_none()).await;
}

#[tokio::test]
async fn a_lease_that_moves_expires_later() {
    let redis = Redis::start();
    let keeper = Keeper::redis(&redis).await;
    let request = request(1, 1);
    let held = attempt(0, 1, "ann");
    keeper.commit(&[said("ann"), accepted(&request)]).await;
    assert_eq!(keeper.claim(&request, &[&held]).await, Claimed);
    keeper.commit(&[opened(&request, &held)]).await;
    let expiry = || redis.says(&["ZSCORE", "{jobs:text}:expiry", &name(&request, 0)]).parse::<f64>().unwrap();
    let before = expiry();
    let expires_at = held.expires_at.plus(Duration::from_secs(600));
    keeper.commit(&[Record::LeaseMoved { attempt: held.id, expires_at }]).await;
    eventually(async || expiry() > before + 590_000.0).await;
}

#[tokio::test]
async fn a_claim_that_records_never_heard_of_is_taken_back_when_its_time_is_over() {
    let redis = Redis::start();
    let keeper = Keeper::redis(&redis).await;
    let (kept, gone) = (request(1, 1), request(2, 1));
    keeper.commit(&[accepted(&kept)]).await;
    let long_ago = |attempt: Attempt| Attempt { expires_at: attempt.granted_at, ..attempt };
    let (first, second) = (long_ago(attempt(0, 1, "ann")), long_ago(attempt(0, 1, "ann")));
    assert_eq!(keeper.claim(&kept, &[&first]).await, Claimed);
    assert_eq!(keeper.claim(&gone, &[&second]).await, Claimed);
    // By the clock of Redis; not to wait for it.
    for request in [&kept, &gone] {
        redis.says(&["ZADD", "{jobs:text}:expiry", "1", &name(request, 0)]);
    }
    eventually(async || is_waiting(&redis, &kept, 0, 2)).await;
    eventually(async || open(&redis, &gone, 0).is_none()).await;
}

/// Jobs in every state: waiting, held, and held by an attempt that followed another.
async fn in_the_middle(keeper: &Keeper) -> (Accepted, Attempt, Attempt) {
    let request = request(1, 4);
    keeper.commit(&[said("ann"), said("bea"), accepted(&request)]).await;
    let (first, second) = (attempt(0, 1, "ann"), attempt(1, 1, "bea"));
    let (third, over) = (attempt(1, 2, "ann"), attempt(2, 1, "bea"));
    for attempt in [&first, &second, &over] {
        assert_eq!(keeper.claim(&request, &[attempt]).await, Claimed);
        keeper.commit(&[opened(&request, attempt)]).await;
    }
    keeper.commit(&[closed(&request, &second), settled(&request, &over)]).await;
    assert_eq!(keeper.claim(&request, &[&third]).await, Claimed);
    keeper.commit(&[opened(&request, &third)]).await;
    (request, first, third)
}

async fn is_as_it_was(redis: &Redis, request: &Accepted, first: &Attempt, third: &Attempt) {
    eventually(async || {
        redis.says(&["XLEN", STREAM]) == "3"
            && is_held(redis, request, first)
            && is_held(redis, request, third)
            && is_waiting(redis, request, 3, 1)
            && pending(redis) == "ann 2"
    })
    .await;
}

#[tokio::test]
async fn a_flushed_queue_is_there_again_within_five_seconds() {
    let redis = Redis::start();
    let keeper = Keeper::redis(&redis).await;
    let (request, first, third) = in_the_middle(&keeper).await;
    redis.flush();
    let since = std::time::Instant::now();
    is_as_it_was(&redis, &request, &first, &third).await;
    assert_eq!(keeper.insist(&request, &[&attempt(3, 1, "ann")]).await, Claimed);
    assert!(since.elapsed() < Duration::from_secs(5), "it took {:?}", since.elapsed());
}

#[tokio::test]
async fn a_claim_on_a_flushed_queue_has_no_answer_until_the_queue_is_whole() {
    let redis = Redis::start();
    let keeper = Keeper::redis(&redis).await;
    let (request, first, third) = in_the_middle(&keeper).await;
    redis.flush();
    let next = attempt(3, 1, "bea");
    let answer = keeper.claim(&request, &[&next]).await;
    assert_eq!(answer, Unknown, "nobody can say");
    assert_eq!(keeper.insist(&request, &[&next]).await, Claimed);
    assert!(
        is_held(&redis, &request, &first) && is_held(&redis, &request, &third),
        "none before all are there"
    );
}

#[tokio::test]
async fn a_server_that_dies_and_comes_back_empty_loses_nothing() {
    let mut redis = Redis::start();
    let keeper = Keeper::redis(&redis).await;
    let (request, first, third) = in_the_middle(&keeper).await;
    redis.kill();
    let next = attempt(3, 1, "ann");
    let asked = std::time::Instant::now();
    eventually(async || keeper.claim(&request, &[&next]).await == Unknown).await;
    assert!(asked.elapsed() < Duration::from_secs(3));
    // What is committed meanwhile is told later.
    let later = super::jobs::request(2, 1);
    keeper.commit(&[accepted(&later), settled(&request, &first)]).await;
    redis.start_again();
    let since = std::time::Instant::now();
    assert_eq!(keeper.insist(&request, &[&next]).await, Claimed);
    assert!(since.elapsed() < Duration::from_secs(5), "it took {:?}", since.elapsed());
    eventually(async || is_held(&redis, &request, &third) && is_waiting(&redis, &later, 0, 1)).await;
    assert_eq!(open(&redis, &request, 0), None, "it was settled");
}

#[tokio::test]
async fn a_server_that_stands_still_makes_claims_unknown_and_not_wrong() {
    let redis = Redis::start();
    let keeper = Keeper::redis(&redis).await;
    let request = request(1, 2);
    keeper.commit(&[said("ann"), said("bea"), accepted(&request)]).await;
    eventually(async || is_waiting(&redis, &request, 1, 1)).await;
    redis.pause();
    let (first, second) = (attempt(0, 1, "ann"), attempt(1, 1, "bea"));
    assert_eq!(keeper.claim(&request, &[&first]).await, Unknown);
    assert_eq!(keeper.claim(&request, &[&second]).await, Unknown);
    redis.resume();
    // It may have been carried out after all: the same attempts are told so, others are refused.
    assert_eq!(keeper.insist(&request, &[&first]).await, Claimed);
    assert_eq!(keeper.insist(&request, &[&second]).await, Claimed);
    assert_eq!(keeper.insist(&request, &[&attempt(0, 1, "cleo")]).await, Lost);
    assert!(is_held(&redis, &request, &first) && is_held(&redis, &request, &second));
    assert_eq!(redis.says(&["XLEN", STREAM]), "2", "nothing is there twice");
}

#[tokio::test]
async fn a_new_start_joins_the_queue_and_takes_back_what_a_dead_broker_never_wrote_down() {
    let redis = Redis::start();
    let keeper = Keeper::redis(&redis).await;
    let (request, first, third) = in_the_middle(&keeper).await;
    // Claimed, and never written down.
    assert_eq!(keeper.claim(&request, &[&attempt(3, 1, "bea")]).await, Claimed);
    let Keeper { records, claims, _directory } = keeper;
    drop(claims);
    let link = Link::open(&redis.settings()).await.unwrap();
    let claims = claims_over(link, records.clone());
    claims.restore(&records.load().await.unwrap()).await.unwrap();
    eventually(async || is_waiting(&redis, &request, 3, 2)).await;
    assert!(is_held(&redis, &request, &first) && is_held(&redis, &request, &third));
    let keeper = Keeper { records, claims: Arc::new(claims), _directory };
    assert_eq!(keeper.claim(&request, &[&attempt(3, 2, "ann")]).await, Claimed);
}

#[tokio::test]
async fn a_stream_that_somebody_deleted_is_built_again() {
    let redis = Redis::start();
    let keeper = Keeper::redis(&redis).await;
    let (request, first, third) = in_the_middle(&keeper).await;
    redis.says(&["DEL", STREAM]);
    assert_eq!(keeper.claim(&request, &[&attempt(3, 1, "bea")]).await, Unknown);
    is_as_it_was(&redis, &request, &first, &third).await;
}

#[tokio::test]
async fn workers_without_jobs_are_forgotten_by_a_script_that_spares_the_others() {
    let redis = Redis::start();
    let keeper = Keeper::redis(&redis).await;
    let (request, ..) = in_the_middle(&keeper).await;
    drop(request);
    let generation = redis.says(&["GET", "{jobs:text}:generation"]);
    eventually(async || pending(&redis) == "ann 2").await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/backend/distributed/scripts/idle.lua");
    let forget = |idle_ms: &str| {
        let keys = ["jobs:text", OPEN, "{jobs:text}:expiry", "{jobs:text}:log", "{jobs:text}:generation"];
        let head = ["--eval", script].into_iter().chain(keys).chain([",", &generation, "workers", idle_ms]);
        redis.says(&head.collect::<Vec<_>>())
    };
    assert_eq!(forget("3600000"), "0", "bea was there within the hour");
    assert_eq!(forget("0"), "1", "bea holds nothing, ann does");
    assert_eq!(pending(&redis), "ann 2");
}

/// Random lives of a few jobs, with a flush or a pause of the server here and there.
#[test]
fn whatever_happens_redis_ends_up_with_what_records_hold() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Config { cases: 6, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let steps = proptest::collection::vec((0u8..12, 0usize..6), 20..60);
    runner
        .run(&steps, |steps| {
            runtime.block_on(a_random_life(&steps));
            Ok(())
        })
        .unwrap();
}

async fn a_random_life(steps: &[(u8, usize)]) {
    #[derive(Clone)]
    enum Stand {
        Waiting(u32),
        Held(Attempt),
        Over,
    }
    let redis = Redis::start();
    let keeper = Keeper::redis(&redis).await;
    let requests: Vec<_> = (1..=3).map(|number| request(number, 2)).collect();
    let records: Vec<_> = requests.iter().map(accepted).chain([said("ann"), said("bea")]).collect();
    keeper.commit(&records).await;
    let mut stands = vec![Stand::Waiting(1); 6];
    for (what, which) in steps {
        let (request, job) = (&requests[which / 2], which % 2);
        let stand = &mut stands[*which];
        match (what, stand.clone()) {
            (0..=5, Stand::Waiting(number)) => {
                let attempt = attempt(job, number, ["ann", "bea"][which % 2]);
                assert_eq!(keeper.insist(request, &[&attempt]).await, Claimed);
                keeper.commit(&[opened(request, &attempt)]).await;
                *stand = Stand::Held(attempt);
            }
            (0..=3, Stand::Held(attempt)) => {
                keeper.commit(&[closed(request, &attempt)]).await;
                *stand = Stand::Waiting(attempt.number + 1);
            }
            (4..=5, Stand::Held(attempt)) => {
                keeper.commit(&[settled(request, &attempt)]).await;
                *stand = Stand::Over;
            }
            (6..=8, Stand::Held(attempt)) => {
                assert_eq!(keeper.insist(request, &[&attempt]).await, Claimed);
            }
            (9, _) => redis.flush(),
            _ => {}
        }
    }
    let is_right = || {
        stands.iter().enumerate().all(|(which, stand)| {
            let (request, job) = (&requests[which / 2], which % 2);
            match stand {
                Stand::Waiting(number) => is_waiting(&redis, request, job, *number),
                Stand::Held(attempt) => is_held(&redis, request, attempt),
                Stand::Over => open(&redis, request, job).is_none(),
            }
        })
    };
    let right = tokio::time::timeout(PATIENCE, async {
        while !is_right() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    right.await.expect("Redis has what Records hold");
}
