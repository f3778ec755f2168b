//! The picture of the whole broker, as it changes.

use std::time::Duration;

use gridbroker::rpc::pb::{
    self, status_client::StatusClient, watch_status_response::Event, worker_client::WorkerClient,
};
use serde_json::json;
use tokio::time::{Instant, timeout};
use tonic::{Code, Status, Streaming};

use crate::harness::{ALICE, BOB, Broker, PATIENCE, Refusal};

struct Watcher(Streaming<pb::WatchStatusResponse>);

impl Watcher {
    async fn of(broker: &Broker) -> Self {
        let mut client = StatusClient::new(broker.channel().await);
        Self(client.watch_status(pb::WatchStatusRequest {}).await.expect("anybody may").into_inner())
    }

    async fn next(&mut self) -> Result<Event, Status> {
        let next = timeout(PATIENCE, self.0.message()).await.expect("something comes");
        Ok(next?.expect("it does not end by itself").event.expect("it says what it is"))
    }

    /// The first picture of which something holds.
    async fn until(&mut self, holds: impl Fn(&pb::BrokerStatus) -> bool) -> pb::BrokerStatus {
        loop {
            match self.next().await.expect("the stream is whole") {
                Event::Status(status) if holds(&status) => return status,
                _ => {}
            }
        }
    }
}

fn of_kind<'a>(status: &'a pb::BrokerStatus, kind: &str) -> &'a pb::KindStatus {
    status.kinds.iter().find(|figures| figures.r#type == kind).expect("every kind has figures")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_picture_comes_at_once_and_again_when_something_changed() {
    let broker = Broker::start().await;
    let mut watcher = Watcher::of(&broker).await;
    let Event::Status(first) = watcher.next().await.unwrap() else { panic!("a picture comes first") };
    let kinds: Vec<_> = first.kinds.iter().map(|figures| figures.r#type.as_str()).collect();
    assert_eq!(kinds, ["image", "text", "video", "alchemy"]);
    assert!(first.kinds.iter().all(|kind| (kind.queued_jobs, kind.workers) == (0, 0)), "{first:?}");
    assert!((first.model_count, first.worker_count) == (0, 0) && first.models.is_empty());
    assert!(first.heartbeat.is_some_and(|beat| beat.message == "OK" && beat.db_connection));

    broker.requester(ALICE).await.submits_text("for anybody", 3).await;
    let queued = watcher.until(|status| of_kind(status, "text").queued_jobs == 3).await;
    assert!(of_kind(&queued, "text").queued_work > 0.0);

    let mut worker = broker.worker(BOB, "writer").await;
    let _stream = worker.opens_text_stream(1, &[]).await;
    let working = watcher.until(|status| status.worker_count == 1).await;
    let [brief] = &working.workers[..] else { panic!("{working:?}") };
    assert_eq!((brief.name.as_str(), brief.r#type.as_str(), brief.threads), ("writer", "text", 1));
    assert_eq!((brief.models.as_slice(), brief.model_count), (&["mock/echo-7b".to_owned()][..], 1));
    assert!(brief.trusted && !brief.maintenance_mode);
    assert_eq!((working.models[0].name.as_str(), working.models[0].count), ("mock/echo-7b", 1));
    assert_eq!((of_kind(&working, "text").workers, of_kind(&working, "image").workers), (1, 0));
    // Who comes later gets the same.
    let late = Watcher::of(&broker).await.until(|status| status.worker_count == 1).await;
    assert_eq!(late.workers, working.workers);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_told_once_a_second_at_most_and_quiet_is_told_too() {
    let broker = Broker::start().await;
    let mut watcher = Watcher::of(&broker).await;
    watcher.next().await.expect("the first picture");
    let (mut requester, began_at) = (broker.requester(ALICE).await, Instant::now());
    let submitting = tokio::spawn(async move {
        for _ in 0..25 {
            requester.submits_text("again", 1).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let mut pictures = 0;
    loop {
        if let Event::Status(status) = watcher.next().await.expect("the stream is whole") {
            pictures += 1;
            if of_kind(&status, "text").queued_jobs == 25 {
                break;
            }
        }
    }
    assert!(pictures <= began_at.elapsed().as_secs() + 1, "{pictures} in {:?}", began_at.elapsed());
    submitting.await.expect("all are submitted");
    let quiet = watcher.next().await.expect("the stream is whole");
    assert!(matches!(quiet, Event::KeepAlive(_)), "{quiet:?}");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_told_by_name_and_all_are_counted() {
    let broker = Broker::start().await;
    let (channel, operator) = (broker.channel().await, broker.json_without_key());
    for i in 0..205 {
        // An account owns twenty at most.
        let owner = operator.post("//api/v2/dev/test-user", json!({"oauth_id": format!("owner-{}", i / 20)}));
        let owner = owner.await.ok()["api_key"].as_str().expect("it has a key").to_owned();
        let models = (0..25).map(|n| format!("model-{n}-of-{i}")).collect();
        let pop = pb::PopTextRequest { name: Some(format!("worker-{i:03}")), models, ..Default::default() };
        let mut request = tonic::Request::new(pop);
        for (name, value) in [("apikey", owner.as_str()), ("prefer", "wait=0")] {
            request.metadata_mut().insert(name, value.parse().expect("it fits into a header"));
        }
        WorkerClient::new(channel.clone()).pop_text(request).await.expect("there is nothing to do");
    }
    let status = Watcher::of(&broker).await.until(|status| status.worker_count == 205).await;
    assert_eq!((status.workers.len(), status.workers[0].name.as_str()), (200, "worker-000"));
    assert_eq!((status.workers[0].models.len(), status.workers[0].model_count), (20, 25));
    assert_eq!((status.models.len(), status.model_count), (300, 205 * 25));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_stops_ends_it_in_an_error() {
    let broker = Broker::start().await;
    let mut watcher = Watcher::of(&broker).await;
    watcher.next().await.expect("the first picture");
    let stopping = tokio::spawn(broker.stop());
    let ended = loop {
        match watcher.next().await {
            Ok(_) => {}
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), Code::Unavailable, "{ended}");
    assert!(Refusal::from(&ended).retry.is_some(), "it says when to come back");
    stopping.await.expect("it stops");
}
