//! Refusals of streams.

use gridbroker::rpc::pb;
use tonic::{Code, Status};

use crate::harness::{ANONYMOUS, BOB, Broker, CAROL, MALLORY, Refusal};

fn verdict(status: &Status) -> (Code, String, Vec<String>) {
    let refusal = Refusal::from(status);
    (refusal.code, refusal.reason, refusal.paths)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_refused_as_a_pop_would_be() {
    let broker = Broker::start().await;
    let worker = broker.worker(BOB, "streamer").await;
    let (image, text) = (Some(worker.image_offer()), Some(worker.text_offer()));
    let open = pb::PopStreamRequest { text: text.clone(), ..Default::default() };
    let fields = |paths: &[&str]| {
        (Code::InvalidArgument, String::new(), paths.iter().map(|path| (*path).to_owned()).collect())
    };
    let reason = |code, reason: &str| (code, reason.to_owned(), Vec::<String>::new());
    let denied = Code::PermissionDenied;
    for (key, message, expected, rule) in [
        (BOB, pb::PopStreamRequest::default(), fields(&["image"]), "something is offered"),
        (
            BOB,
            pb::PopStreamRequest { image: image.clone(), ..open.clone() },
            fields(&["text"]),
            "and one thing",
        ),
        (
            BOB,
            pb::PopStreamRequest { credits: Some(0), ..open.clone() },
            fields(&["credits"]),
            "at least one credit",
        ),
        (
            BOB,
            pb::PopStreamRequest { credits: Some(1025), ..open.clone() },
            fields(&["credits"]),
            "and not too many",
        ),
        (
            BOB,
            pb::PopStreamRequest { held: vec![String::new(); 1025], ..open.clone() },
            fields(&["held"]),
            "nor jobs held",
        ),
        (
            BOB,
            pb::PopStreamRequest { text: Some(pb::PopTextRequest::default()), ..Default::default() },
            fields(&["text.name"]),
            "fields are told within the offer",
        ),
        (
            BOB,
            pb::PopStreamRequest {
                text: Some(pb::PopTextRequest { models: vec![], ..text.clone().unwrap() }),
                ..Default::default()
            },
            reason(Code::InvalidArgument, "BadRequest"),
            "a worker serves something",
        ),
        (
            ANONYMOUS,
            open.clone(),
            reason(denied, "AnonForbiddenWorker"),
            "nobody in particular has no worker",
        ),
        (MALLORY, open.clone(), reason(denied, "WorkerFlaggedMaintenance"), "nor a flagged account"),
        ("nobody-has-it", open.clone(), reason(Code::Unauthenticated, "InvalidAPIKey"), "nor nobody"),
    ] {
        let mut request = tonic::Request::new(message);
        request.metadata_mut().insert("apikey", key.parse().unwrap());
        let refused = worker.client.clone().pop_stream(request).await.expect_err(rule);
        assert_eq!(verdict(&refused), expected, "{rule}: {refused}");
    }
    let refused = worker.client.clone().pop_stream(open.clone()).await.expect_err("a key is needed");
    assert_eq!(verdict(&refused), fields(&["apikey"]));
    let refused = worker.client.clone().report(tokio_stream::iter(vec![])).await.expect_err("also to report");
    assert_eq!(verdict(&refused), fields(&["apikey"]));
    broker.holds_nothing().await;
    let mut owner = broker.worker(BOB, "streamer").await;
    let _stream = owner.opens_text_stream(1, &[]).await;
    let thief = broker.worker(CAROL, "streamer").await;
    let refused = thief.client.clone().pop_stream(thief.keyed(open)).await.expect_err("the name is bob's");
    assert_eq!(verdict(&refused), reason(denied, "WrongCredentials"));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_checked_one_by_one() {
    let broker = Broker::start().await;
    let mut worker = broker.worker(BOB, "reporter").await;
    let report = |id: &str| pb::ReportRequest { id: id.into(), ..Default::default() };
    let none = worker.reports(vec![]).await.expect("nothing to say is fine");
    assert_eq!((none.accepted, none.closed), (0, 0));
    let unknown = "77777777-7777-4777-8777-777777777777";
    let closed =
        worker.reports(vec![report(unknown), report(unknown)]).await.expect("closed ones are counted");
    assert_eq!((closed.accepted, closed.closed), (0, 2));
    let refused = worker.reports(vec![report("no-uuid")]).await.expect_err("it can be no job's");
    assert_eq!(verdict(&refused), (Code::NotFound, "InvalidJobID".into(), vec![]));
    let long = pb::ReportRequest { text: "x".repeat(65_537), current_step: Some(-1), ..report(unknown) };
    let refused = worker.reports(vec![long]).await.expect_err("it is too long");
    assert_eq!(verdict(&refused).2, ["current_step", "text"]);
    broker.holds_nothing().await;
    broker.stop().await;
}
