//! Refusals that depend on what was before: foreign jobs, second results, full accounts and queues.

use std::time::Duration;

use serde_json::{Value, json};
use tonic::Code;

use crate::harness::{
    ALICE, BOB, Broker, CAROL, Refusal, Row, Verb,
    Verdict::{self, Reason},
};

async fn holds(
    broker: &Broker,
    rule: &'static str,
    verb: Verb,
    key: &'static str,
    message: Value,
    verdict: Verdict,
) {
    Row { rule, verb, key: Some(key), message, verdict }.holds(broker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_change_nothing_of_a_job() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let id = alice.post("/generate/text/async", json!({"prompt": "mine"})).await.ok()["id"].clone();
    let offer = json!({"name": "scribe", "models": ["any-model"]});
    let job = bob.post("/generate/text/pop", offer).await.ok()["id"].clone();
    let result = json!({"id": job, "generation": "x"});
    let fault = json!({"id": job, "generation": "", "state": "faulted"});
    for body in [&result, &fault] {
        let refused = broker.json(CAROL).post("/generate/text/submit", body.clone()).await;
        assert_eq!(refused.verdict(), (403, "WrongCredentials"), "{}", refused.body);
    }
    let check = alice.get(&format!("/generate/text/status/{}", id.as_str().unwrap())).await.ok();
    assert_eq!(
        (&check["processing"], &check["waiting"], &check["restarted"]),
        (&1.into(), &0.into(), &0.into())
    );
    bob.post("/generate/text/submit", result).await.ok();
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_after_its_fault_is_aborted_and_told_to_check_the_speed() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    alice.post("/generate/async", json!({"prompt": "x"})).await.ok();
    let offer = json!({"name": "painter", "models": ["stable_diffusion"], "bridge_agent": "AI Horde Worker reGen:13:x"});
    let job = bob.post("/generate/pop", offer).await.ok()["id"].clone();
    let fault = json!({"id": job, "generation": "", "seed": 0, "state": "faulted"});
    assert_eq!(bob.post("/generate/submit", fault.clone()).await.ok(), json!({"reward": 0.0}));
    let late = json!({"id": job, "generation": "R2", "seed": 1});
    let aborted = Reason(400, "AbortedGen", Code::Aborted);
    holds(&broker, "too late", Verb::SubmitImageResult, BOB, late.clone(), aborted).await;
    let told = bob.post("/generate/submit", late).await;
    assert!(
        told.body["message"].as_str().unwrap().contains("Please check your worker speed"),
        "{}",
        told.body
    );
    assert_eq!(bob.post("/generate/submit", fault).await.ok(), json!({"reward": 0.0}), "harmless");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_has_so_many_workers_and_no_more() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    for (key, most, verdict) in [
        (CAROL, 4, Reason(403, "TooManyWorkers", Code::PermissionDenied)),
        (BOB, 21, Reason(403, "TooManyWorkersTrusted", Code::PermissionDenied)),
    ] {
        let owner = broker.json(key);
        let offer = |i: usize| json!({"name": format!("{key} {i}"), "models": ["any-model"]});
        for i in 0..most {
            owner.post("/generate/text/pop", offer(i)).await.ok();
        }
        holds(&broker, "one more", Verb::PopText, key, offer(most), verdict).await;
        owner.post("/generate/text/pop", offer(0)).await.ok();
        assert_eq!(owner.get("/find_user").await.ok()["worker_count"], most);
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_has_so_many_jobs_waiting_and_is_told_when_to_come_back() {
    let broker = Broker::start().await;
    let alice = broker.json(ALICE);
    let twenty = json!({"prompt": "x", "params": {"n": 20}});
    for _ in 0..5 {
        alice.post("/generate/text/async", twenty.clone()).await.ok();
    }
    let one = json!({"prompt": "x"});
    let verdict = Reason(429, "TooManyPrompts", Code::ResourceExhausted);
    holds(&broker, "the hundred and first", Verb::SubmitText, ALICE, one.clone(), verdict).await;
    assert_eq!(alice.post("/generate/text/async", one.clone()).await.headers["retry-after"], "2");
    let refused =
        Verb::SubmitText.over_grpc(&broker, Some(ALICE), &one).await.expect_err("it is one too many");
    assert_eq!(Refusal::from(&refused).retry, Some(Duration::from_secs(2)));
    alice.post("/generate/async", one.clone()).await.ok();
    broker.json(CAROL).post("/generate/text/async", one).await.ok();
    let figures = alice.get("/status/performance").await.ok();
    assert_eq!((&figures["queued_text_requests"], &figures["queued_requests"]), (&101.into(), &1.into()));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_says_when_to_come_back_even_when_limiters_say_otherwise() {
    let broker = Broker::with(|config| {
        config.limits.max_waiting_jobs = 3;
        // A limiter's headers are on every answer; they must not hide the queue's.
        config.limits.rate_limits = true;
    })
    .await;
    broker.json(ALICE).post("/generate/text/async", json!({"prompt": "x", "params": {"n": 2}})).await.ok();
    let two = json!({"prompt": "x", "params": {"n": 2}});
    let kudos = broker.json(CAROL).get("/find_user").await.ok()["kudos"].clone();
    let full = broker.json(CAROL).post("/generate/text/async", two.clone()).await;
    assert_eq!(full.verdict(), (429, "QueueFull"), "{}", full.body);
    assert_eq!(full.headers["retry-after"], "60", "nobody works");
    let refused = Verb::SubmitText.over_grpc(&broker, Some(CAROL), &two).await.expect_err("it is full");
    let told = Refusal::from(&refused);
    assert_eq!((told.code, told.reason.as_str()), (Code::ResourceExhausted, "QueueFull"));
    assert_eq!(told.retry, Some(Duration::from_secs(60)));
    let image = broker.json(BOB).post("/generate/async", json!({"prompt": "x"})).await;
    assert_eq!(image.status, 202, "images have a queue of their own: {}", image.body);
    let figures = broker.json_without_key().get("/status/performance").await.ok();
    assert_eq!(figures["queued_text_requests"], 2, "nothing of what was refused waits");
    assert_eq!(broker.json(CAROL).get("/find_user").await.ok()["kudos"], kudos);
    broker.stop().await;
}
