//! A worker against a broker that does as the test says.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_STANDARD};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::{
    Image, ImageTask, Model, Offer, Progress, Text, TextTask, WorkerOptions,
    mock::{self, Mock, Pace},
    run,
    testing::{Broker, Said},
};
use crate::rpc::pb::{self, pop_stream_response::Push};

const PROMPT: &str = "a lighthouse";

/// Never done.
struct Endless;

#[async_trait]
impl Model for Endless {
    fn bridge_agent(&self) -> &str {
        "endless:1:test"
    }

    async fn write(&self, _: TextTask, _: Progress) -> anyhow::Result<Text> {
        std::future::pending().await
    }

    async fn draw(&self, _: ImageTask, _: Progress) -> anyhow::Result<Image> {
        std::future::pending().await
    }
}

struct Worker {
    stop: CancellationToken,
    ended: JoinHandle<anyhow::Result<()>>,
}

impl Worker {
    fn start(broker: &Broker, offer: Offer) -> Self {
        let stop = CancellationToken::new();
        let options = WorkerOptions::new(format!("http://{}", broker.address), "key", vec![offer]);
        Self { ended: tokio::spawn(run(options, stop.clone())), stop }
    }

    async fn ends(self) -> anyhow::Result<()> {
        tokio::time::timeout(Duration::from_secs(20), self.ended).await.expect("in time").unwrap()
    }
}

fn writer(slots: u32) -> Offer {
    Mock::new(Pace::AT_ONCE).text_offer("w", vec!["m".into()], slots)
}

fn painter() -> Offer {
    Mock::new(Pace::AT_ONCE).image_offer("w", vec!["m".into()], 2)
}

fn endless() -> Offer {
    Offer { model: Arc::new(Endless), ..writer(1) }
}

fn refusal(code: Code, reason: &str) -> Status {
    Status::with_error_details(code, "no", ErrorDetails::with_error_info(reason, "grid", HashMap::new()))
}

#[tokio::test]
async fn a_text_job_is_accepted_told_token_by_token_and_handed_in() {
    let mut broker = Broker::start().await;
    let worker = Worker::start(&broker, writer(3));
    let (request, stream) = broker.accepts_stream().await;
    assert_eq!((request.credits, request.text.unwrap().threads), (Some(3), Some(3)));
    let stream = stream.opened(&[]);
    stream.assign_text("a", PROMPT);
    let (mut reports, mut result) = (Vec::new(), None);
    while result.is_none() {
        match broker.hears().await {
            Said::Reports(report) => reports.push(report),
            Said::Writes(text) => result = Some(text),
            other => panic!("{other:?}"),
        }
    }
    let (result, text) = (result.unwrap(), mock::text(PROMPT, 24).concat());
    assert_eq!((result.id.as_deref(), result.generation.as_deref()), (Some("a"), Some(text.as_str())));
    // The result may overtake the last reports, never the first.
    if let Some(first) = reports.first() {
        assert_eq!(*first, pb::ReportRequest { id: "a".into(), ..Default::default() });
    }
    let told: String = reports.iter().map(|report| report.text.as_str()).collect();
    assert!(text.starts_with(&told), "{told}");
    worker.stop.cancel();
    worker.ends().await.unwrap();
}

#[tokio::test]
async fn images_without_a_link_come_along_and_name_their_place_in_the_batch() {
    let mut broker = Broker::start().await;
    let _worker = Worker::start(&broker, painter());
    let stream = broker.accepts_stream().await.1.opened(&[]);
    stream.assign_images(&["a", "b"], PROMPT);
    for _ in 0..2 {
        let result = broker.receives_image().await;
        let index = u64::from(result.id.as_deref() == Some("b"));
        let webp = BASE64_STANDARD.decode(result.generation.unwrap()).unwrap();
        assert_eq!(webp, mock::image(PROMPT, 40 + index, 64, 64));
        assert_eq!(result.seed, Some(40 + index as i64));
        assert_eq!(result.gen_metadata[0].r#ref, Some(index.to_string()));
    }
}

#[tokio::test]
async fn a_form_is_done_with_the_image_that_its_link_leads_to() {
    let mut broker = Broker::start().await;
    let _worker =
        Worker::start(&broker, Mock::new(Pace::AT_ONCE).alchemy_offer("w", vec!["caption".into()], 2));
    let (opening, stream) = broker.accepts_stream().await;
    assert_eq!(opening.alchemy.unwrap().forms, ["caption"]);
    let stream = stream.opened(&[]);
    let webp = mock::image(PROMPT, 1, 64, 64);
    let link = serves_once(webp.clone()).await;
    let form = |id: &str, source_image: &str| pb::PoppedForm {
        id: id.into(),
        form: "caption".into(),
        source_image: source_image.into(),
        ..Default::default()
    };
    stream.assign_forms(vec![form("a", &link)]);
    let done = broker.receives_form().await;
    assert_eq!(done.result.unwrap().0, mock::transmute("caption", &webp).unwrap().words);
    // Nobody answers there any more.
    stream.assign_forms(vec![form("b", &link)]);
    let failed = broker.receives_form().await;
    assert_eq!((failed.id.as_deref(), failed.state.as_deref()), (Some("b"), Some("faulted")));
}

/// A link to some content, for one call.
async fn serves_once(content: Vec<u8>) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", content.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&content).await.unwrap();
    });
    format!("http://{address}/image")
}

#[tokio::test]
async fn a_cut_stream_is_opened_again_with_what_is_held() {
    let mut broker = Broker::start().await;
    let _worker = Worker::start(&broker, endless());
    let stream = broker.accepts_stream().await.1.opened(&[]);
    stream.assign_text("a", PROMPT);
    assert!(matches!(broker.hears().await, Said::Reports(report) if report.id == "a"));
    drop(stream);
    let (request, stream) = broker.accepts_stream().await;
    assert_eq!(request.held, ["a"]);
    // The broker gave it to somebody else meanwhile.
    let _stream = stream.opened(&[]);
    assert_eq!(broker.receives_text().await.state.as_deref(), Some("faulted"));
}

#[tokio::test]
async fn a_cancelled_job_is_stopped_and_given_back() {
    let mut broker = Broker::start().await;
    let _worker = Worker::start(&broker, endless());
    let stream = broker.accepts_stream().await.1.opened(&[]);
    stream.assign_text("a", PROMPT);
    stream.push(Push::Cancel(pb::Cancel { ids: vec!["a".into()], reason: "test".into() }));
    let result = broker.receives_text().await;
    assert_eq!((result.id.as_deref(), result.state.as_deref()), (Some("a"), Some("faulted")));
}

#[tokio::test]
async fn a_result_is_handed_in_until_the_broker_has_it() {
    for last in ["DuplicateGen", "AbortedGen"] {
        let mut broker = Broker::start().await;
        let worker = Worker::start(&broker, writer(1));
        let stream = broker.accepts_stream().await.1.opened(&[]);
        broker.refuses([Status::unavailable("later"), refusal(Code::FailedPrecondition, last)]);
        stream.assign_text("a", PROMPT);
        let first = broker.receives_text().await;
        assert_eq!(broker.receives_text().await, first, "the same again");
        worker.stop.cancel();
        worker.ends().await.unwrap();
        assert!(broker.said_nothing_more(), "{last} ends it");
    }
}

#[tokio::test]
async fn a_worker_that_is_told_to_stop_finishes_what_it_holds_and_takes_no_more() {
    let mut broker = Broker::start().await;
    let pace = Pace { tokens_per_second: 40.0, ..Pace::AT_ONCE };
    let worker = Worker::start(&broker, Mock::new(pace).text_offer("w", vec!["m".into()], 2));
    let stream = broker.accepts_stream().await.1.opened(&[]);
    stream.assign_text("a", PROMPT);
    assert!(matches!(broker.hears().await, Said::Reports(report) if report.id == "a"));
    worker.stop.cancel();
    stream.assign_text("b", PROMPT);
    assert_eq!(broker.receives_text().await.id.as_deref(), Some("a"));
    worker.ends().await.unwrap();
    assert!(broker.said_nothing_more());
}

#[tokio::test]
async fn a_worker_with_a_wrong_key_says_so_and_ends() {
    let broker = Broker::start().await;
    broker.refuses([refusal(Code::Unauthenticated, "InvalidAPIKey")]);
    let error = Worker::start(&broker, writer(1)).ends().await.unwrap_err();
    assert!(error.to_string().contains("does not know this API key"), "{error}");
}

#[tokio::test]
async fn a_broker_that_goes_down_is_waited_for() {
    let mut broker = Broker::start().await;
    broker.refuses([refusal(Code::Unavailable, "Draining")]);
    let _worker = Worker::start(&broker, writer(1));
    broker.accepts_stream().await;
    broker.accepts_stream().await;
}

#[tokio::test]
async fn two_workers_of_one_name_do_not_throw_each_other_out_for_ever() {
    let mut broker = Broker::start().await;
    let worker = Worker::start(&broker, writer(1));
    let stream = broker.accepts_stream().await.1.opened(&[]);
    stream.breaks(refusal(Code::Aborted, "StreamReplaced"));
    let error = worker.ends().await.unwrap_err();
    assert!(error.to_string().contains("another --name"), "{error}");
}

#[tokio::test]
async fn after_a_broken_report_stream_the_whole_text_is_told_again() {
    let mut broker = Broker::start().await;
    let pace = Pace { tokens_per_second: 20.0, ..Pace::AT_ONCE };
    let _worker = Worker::start(&broker, Mock::new(pace).text_offer("w", vec!["m".into()], 1));
    let stream = broker.accepts_stream().await.1.opened(&[]);
    broker.breaks_reports_after(3);
    stream.assign_text("a", PROMPT);
    let (mut firsts, mut told) = (0, String::new());
    loop {
        match broker.hears().await {
            Said::Reports(report) if report.text.is_empty() => firsts += 1,
            Said::Reports(report) => {
                told.truncate(report.offset.unwrap() as usize);
                told.push_str(&report.text);
            }
            Said::Writes(result) => {
                assert_eq!(firsts, 2, "accepted is said on each of the two streams");
                assert!(result.generation.unwrap().starts_with(&told), "{told}");
                assert!(told.len() > 50, "the second stream went on: {told}");
                return;
            }
            other => panic!("{other:?}"),
        }
    }
}
