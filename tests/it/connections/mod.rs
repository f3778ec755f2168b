//! Whole brokers over PostgreSQL and Redis as people run them: with TLS, as a cluster, watched over by
//! sentinels, late, and with objects in a bucket.

mod bucket;
mod late;
mod redis;
mod tls;

use gridbroker::rpc::pb::watch_response::Event;

use crate::harness::{ALICE, BOB, Broker, Home, Queue, joined_tokens, postgres};

/// A broker over a database of its own and this Redis.
async fn broker(queue: impl Queue + 'static) -> Broker {
    let database = postgres().url(&postgres().database().await);
    Broker::over(Home::over(database, queue), |_| {}).await
}

/// Takes a text request from its submission over tokens that are watched to its result.
async fn takes_a_text(broker: &Broker) {
    let mut alice = broker.requester(ALICE).await;
    let mut bob = broker.worker(BOB, "scribe").await;
    let id = alice.submits_text("a text", 1).await;
    let mut watch = alice.watches(&id, "").await;
    let mut stream = bob.opens_text_stream(1, &[]).await;
    let attempt = stream.job().await.ids[0].clone();
    bob.reports_text(&attempt, "once ").await;
    watch.until(|event| matches!(event, Event::Token(token) if token.text == "once ")).await;
    bob.reports_text(&attempt, "upon").await;
    bob.delivers_text(&attempt, "once upon a time").await.expect("it is accepted");
    let rest = watch.rest().await;
    assert_eq!(joined_tokens(&rest, 0), "upon a time");
    let status = alice.text_status(&id).await;
    assert_eq!(status.generations[0].text, "once upon a time");
}
