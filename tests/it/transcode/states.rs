//! Refusals that depend on what was before: foreign jobs, second results, full accounts and queues.

use std::{collections::HashSet, time::Duration};

use gridbroker::rpc::pb::Reason as Known;
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
async fn jobs_and_names_of_others_are_out_of_reach() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let id = alice.post("/generate/text/async", json!({"prompt": "mine"})).await.ok()["id"].clone();
    let offer = json!({"name": "scribe", "models": ["any-model"]});
    let job = bob.post("/generate/text/pop", offer.clone()).await.ok()["id"].clone();
    let foreign = Reason(403, "WrongCredentials", Code::PermissionDenied);
    let result = json!({"id": job, "generation": "x"});
    holds(&broker, "a foreign job", Verb::SubmitTextResult, CAROL, result.clone(), foreign).await;
    let fault = json!({"id": job, "generation": "", "state": "faulted"});
    holds(&broker, "not even its fault", Verb::SubmitTextResult, CAROL, fault, foreign).await;
    let step = json!({"id": job, "current_step": 1, "total_steps": 2});
    holds(&broker, "a foreign report", Verb::ReportProgress, CAROL, step.clone(), foreign).await;
    holds(&broker, "a foreign name", Verb::PopText, CAROL, offer, foreign).await;
    let image = json!({"name": "scribe", "models": ["stable_diffusion"]});
    let conflict = Reason(400, "PolymorphicNameConflict", Code::AlreadyExists);
    holds(&broker, "a name of another kind", Verb::PopImage, BOB, image, conflict).await;
    let gap = json!({"id": job, "current_step": 1, "total_steps": 2, "text": "x", "offset": 5});
    holds(
        &broker,
        "text is missing",
        Verb::ReportProgress,
        BOB,
        gap,
        Reason(409, "TokenGap", Code::OutOfRange),
    )
    .await;
    let unknown = Reason(401, "InvalidAPIKey", Code::Unauthenticated);
    holds(
        &broker,
        "a known job, an unknown key",
        Verb::SubmitTextResult,
        "nobody-has-it",
        result.clone(),
        unknown,
    )
    .await;
    let remarks = vec![json!({"type": "information", "value": "see_ref"}); 51];
    let many = json!({"id": job, "generation": "x", "gen_metadata": remarks});
    holds(
        &broker,
        "51 remarks",
        Verb::SubmitTextResult,
        BOB,
        many,
        Reason(400, "BadRequest", Code::InvalidArgument),
    )
    .await;
    let nul = json!({"id": job, "generation": "a\0b"});
    holds(
        &broker,
        "NUL",
        Verb::SubmitTextResult,
        BOB,
        nul,
        Reason(400, "NulByteInPayload", Code::InvalidArgument),
    )
    .await;
    let elsewhere = Reason(404, "RequestNotFound", Code::NotFound);
    holds(&broker, "a text is no image", Verb::GetImage, ALICE, json!({"id": id}), elsewhere).await;
    holds(&broker, "nor can it be cancelled as one", Verb::CancelImage, ALICE, json!({"id": id}), elsewhere)
        .await;
    let check = alice.get(&format!("/generate/text/status/{}", id.as_str().unwrap())).await.ok();
    assert_eq!(
        (&check["processing"], &check["waiting"], &check["restarted"]),
        (&1.into(), &0.into(), &0.into())
    );
    bob.post("/generate/text/submit", result.clone()).await.ok();
    let twice = Reason(400, "DuplicateGen", Code::AlreadyExists);
    holds(&broker, "a second result", Verb::SubmitTextResult, BOB, result, twice).await;
    let late = Reason(400, "AbortedGen", Code::Aborted);
    holds(&broker, "a late report", Verb::ReportProgress, BOB, step, late).await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_after_its_fault_is_aborted_and_told_to_check_the_speed() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    alice.post("/generate/async", json!({"prompt": "x"})).await.ok();
    let offer = json!({"name": "painter", "models": ["stable_diffusion"], "bridge_agent": "AI Horde Worker reGen:13:x"});
    let job = bob.post("/generate/pop", offer).await.ok()["id"].clone();
    let none = json!({"id": job, "generation": "R2", "seed": 1});
    let missing = Reason(400, "BadRequest", Code::InvalidArgument);
    holds(&broker, "nothing was uploaded", Verb::SubmitImageResult, BOB, none, missing).await;
    let long = json!({"id": job, "generation": "?".repeat(70_000), "seed": 1});
    holds(&broker, "neither an image nor short", Verb::SubmitImageResult, BOB, long, missing).await;
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

/// Reasons that no row of this room shows, and where they are shown.
const ELSEWHERE: [(&str, &str); 16] = [
    ("SharedKeyExpired", "engine/lending.rs: a key lasts a day at least"),
    ("Overtaken", "several/: brokers at the same moment"),
    ("SourceImageResolutionExceeded", "flow/image.rs"),
    ("SourceImageSizeExceeded", "flow/sources.rs"),
    ("SourceImageUrlInvalid", "flow/sources.rs"),
    ("SourceImageUnreadable", "flow/sources.rs"),
    ("VideoModeWithImageModel", "flow/video.rs"),
    ("BadCFGNumber", "engine/params: no JSON number is none"),
    ("ProfaneBridgeAgent", "engine/peopled.rs"),
    ("TooLongWorkerName", "engine/peopled.rs"),
    ("TooManySameIPs", "engine/peopled.rs"),
    ("StoreUnavailable", "the store's own tests"),
    ("Draining", "rpc/health.rs, flow/watch.rs"),
    ("KeyExists", "commands/user.rs; the operator's service alone"),
    ("StreamReplaced", "flow/lease.rs; streams alone"),
    ("PayloadTooSlow", "the body's own tests"),
];

#[test]
fn every_reason_has_a_row_or_is_shown_elsewhere() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/transcode");
    let files =
        std::fs::read_dir(folder).expect("it is there").map(|file| file.expect("it is listed").path());
    let room: Vec<String> = files.map(|path| std::fs::read_to_string(path).expect("it is text")).collect();
    // Their numbers have gaps.
    let reasons: HashSet<&str> = (1..1000).filter_map(|n| Known::try_from(n).ok()).map(Known::rc).collect();
    assert!(reasons.len() > 40, "{reasons:?}");
    for rc in reasons {
        let quoted = format!("\"{rc}\"");
        let rows = room.iter().filter(|file| {
            // The list above is no row.
            file.split("const ELSEWHERE").next().is_some_and(|before| before.contains(&quoted))
        });
        let is_shown = rows.count() > 0;
        assert_ne!(
            is_shown,
            ELSEWHERE.iter().any(|(known, _)| *known == rc),
            "{rc}: a row, or a place above"
        );
    }
}
