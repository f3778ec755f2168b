//! What a request has to expect, told as it changes.

use gridbroker::rpc::pb::watch_response::Event;

use crate::harness::{ALICE, BOB, Broker};

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_is_told_their_place_as_those_before_them_are_done() {
    let broker = Broker::start().await;
    let mut alice = broker.requester(ALICE).await;
    let mut ids = Vec::new();
    for prompt in ["first", "second", "third"] {
        ids.push(alice.submits_text(prompt, 1).await);
    }
    let mut watch = alice.watches(&ids[2], "").await;
    let queued = watch.next_outlook().await;
    let cursor = watch.last.clone();
    assert_eq!((queued.position, queued.eta_high_seconds), (3, None), "nobody is there to do it");

    let mut worker = broker.worker(BOB, "scribe").await;
    let mut stream = worker.opens_text_stream(1, &[]).await;
    let mut jobs = vec![stream.job().await.ids[0].clone()];
    worker.reports_text(&jobs[0], "one").await;
    let queued = watch.next_outlook().await;
    assert_eq!(queued.position, 2, "the first is being done");
    let (low, high) = (queued.eta_low_seconds.expect("a worker is there"), queued.eta_high_seconds);
    assert!(low <= queued.eta_seconds && high.is_some_and(|high| high >= queued.eta_seconds), "{queued:?}");
    assert_eq!(watch.last, cursor, "it is told under the cursor of what came before");

    worker.delivers_text(&jobs[0], "one").await.expect("it is open");
    jobs.push(stream.job().await.ids[0].clone());
    worker.reports_text(&jobs[1], "two").await;
    assert_eq!(watch.next_outlook().await.position, 1);
    assert_eq!(watch.last, cursor);

    worker.delivers_text(&jobs[1], "two").await.expect("it is open");
    jobs.push(stream.job().await.ids[0].clone());
    worker.delivers_text(&jobs[2], "three").await.expect("it is open");
    let rest = watch.rest().await;
    assert!(matches!(rest[0], Event::Assigned(_)), "what the log has goes on without a gap: {rest:?}");
    let again = alice.watches(&ids[2], &cursor).await.rest().await;
    assert_eq!(again, rest, "and what was told in passing is no part of it");
    broker.stop().await;
}
