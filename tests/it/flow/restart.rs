//! What survives a restart: everything that was answered.

use gridbroker::rpc::pb::watch_response::Event;
use serde_json::json;

use crate::harness::{ALICE, BOB, Broker, is_distributed, joined_tokens};

#[tokio::test(flavor = "multi_thread")]
async fn requests_leases_results_and_accounts_are_as_they_were() {
    let broker = Broker::start().await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let submit = async |prompt: &str| {
        let body = json!({"prompt": prompt});
        alice.post("/generate/text/async", body).await.ok()["id"].as_str().unwrap().to_owned()
    };
    let offer = json!({"name": "scribe", "models": ["any-model"]});
    let done = submit("done").await;
    let job = bob.post("/generate/text/pop", offer.clone()).await.ok();
    bob.post("/generate/text/submit", json!({"id": job["id"], "generation": "finished"})).await.ok();
    let held = submit("held").await;
    let lease = bob.post("/generate/text/pop", offer.clone()).await.ok();
    assert_eq!(lease["payload"]["prompt"], "held");
    let waiting = submit("waiting").await;
    let before = alice.get("/find_user").await.ok()["kudos"].clone();

    let broker = broker.restart().await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let status = async |id: &str| alice.get(&format!("/generate/text/status/{id}")).await.ok();
    assert_eq!(status(&done).await["generations"][0]["text"], "finished");
    assert_eq!(status(&held).await["processing"], 1);
    assert_eq!(status(&waiting).await["waiting"], 1);
    assert_eq!(alice.get("/find_user").await.ok()["kudos"], before);
    let late = json!({"id": lease["id"], "generation": "survived"});
    bob.post("/generate/text/submit", late).await.ok();
    assert_eq!(status(&held).await["generations"][0]["text"], "survived");
    let next = bob.post("/generate/text/pop", offer).await.ok();
    assert_eq!(next["payload"]["prompt"], "waiting");
    let again = bob.post("/generate/text/submit", json!({"id": job["id"], "generation": "finished"})).await;
    assert_eq!(again.verdict(), (400, "DuplicateGen"), "the past is known too");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_a_log_goes_on_or_is_begun_again_and_tells_everything() {
    let broker = Broker::start().await;
    let mut worker = broker.worker(BOB, "scribe").await;
    let mut stream = worker.opens_text_stream(1, &[]).await;
    let mut alice = broker.requester(ALICE).await;
    let id = alice.submits_text("tell", 2).await;
    let job = stream.job().await.ids[0].clone();
    worker.delivers_text(&job, "first").await.expect("it is open");
    let mut watch = alice.watches(&id, "").await;
    watch.until(|event| matches!(event, Event::Result(_))).await;
    let cursor = watch.last.clone();
    let open = stream.job().await.ids[0].clone();
    worker.reports_text(&open, "lost on the way").await;

    let broker = broker.restart().await;
    let mut alice = broker.requester(ALICE).await;
    let mut worker = broker.worker(BOB, "scribe").await;
    let stream = worker.opens_text_stream(1, std::slice::from_ref(&open)).await;
    assert_eq!(stream.opened.kept, std::slice::from_ref(&open), "it held the job all the time");
    let mut watch = alice.watches(&id, &cursor).await;
    if is_distributed() {
        // The log is in Redis, and goes on: of the job that its worker kept, all is said again.
        worker.delivers_text(&open, "second").await.expect("it is open");
        let tail = watch.rest().await;
        let again = |event: &Event| matches!(event, Event::Reset(reset) if reset.job == Some(1));
        assert!(tail.iter().any(again), "{tail:?}");
        assert!(tail.iter().all(|event| !matches!(event, Event::Reset(reset) if reset.job.is_none())));
        let events = alice.watches(&id, "").await.rest().await;
        let texts = (joined_tokens(&events, 0), joined_tokens(&events, 1));
        assert_eq!(texts, ("first".into(), "second".into()));
        broker.stop().await;
        return;
    }
    let first = watch.next().await.expect("the stream is whole");
    assert!(matches!(first, Some(Event::Reset(reset)) if reset.job.is_none()), "an older cursor starts over");
    worker.delivers_text(&open, "second").await.expect("it is open");
    let mut events = vec![Event::Reset(Default::default())];
    events.extend(watch.rest().await);
    assert_eq!((joined_tokens(&events, 0).as_str(), joined_tokens(&events, 1).as_str()), ("first", "second"));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failed_request_still_gets_is_told_before_its_end_after_a_restart() {
    let broker = Broker::start().await;
    let mut alice = broker.requester(ALICE).await;
    let id = alice.submits_text("half", 2).await;
    let offer = json!({"name": "holder", "models": ["any-model"]});
    let held = broker.json(BOB).post("/generate/text/pop", offer).await.ok();
    for name in ["first", "second", "third"] {
        let mut worker = broker.worker(BOB, name).await;
        let mut stream = worker.opens_text_stream(1, &[]).await;
        let job = stream.job().await.ids[0].clone();
        worker.faults_text(&job).await.expect("it is open");
    }
    let status = alice.text_status(&id).await;
    assert_eq!((status.faulted, status.done, status.processing), (true, true, 1));

    let broker = broker.restart().await;
    let mut alice = broker.requester(ALICE).await;
    let mut watch = alice.watches(&id, "").await;
    watch.until(|event| matches!(event, Event::Faulted(_))).await;
    let late = json!({"id": held["id"], "generation": "whole"});
    broker.json(BOB).post("/generate/text/submit", late).await.ok();
    let tail = watch.rest().await;
    assert!(matches!(tail.last(), Some(Event::Done(done)) if done.finished == 1), "{tail:?}");
    assert!(tail.iter().any(|event| matches!(event, Event::Result(_))), "{tail:?}");
    broker.stop().await;
}
