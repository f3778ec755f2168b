//! gRPC-Web over HTTP/1.1, as a browser sends it: frames in bodies, errors in headers or trailers.

use base64::{Engine, prelude::BASE64_STANDARD};
use gridbroker::rpc::pb;
use prost::Message;
use reqwest::{Client, Response};

use crate::harness::{ALICE, BOB, Broker};

const BINARY: &str = "application/grpc-web+proto";
const TEXT: &str = "application/grpc-web-text+proto";

fn frame(message: &impl Message) -> Vec<u8> {
    let body = message.encode_to_vec();
    let length = u32::try_from(body.len()).expect("it is short");
    [&[0][..], &length.to_be_bytes(), &body].concat()
}

async fn post(
    broker: &Broker,
    method: &str,
    key: Option<&str>,
    form: &str,
    message: &impl Message,
) -> Response {
    let body =
        if form == TEXT { BASE64_STANDARD.encode(frame(message)).into_bytes() } else { frame(message) };
    let mut request = Client::new().post(format!("{}/grid.v2.{method}", broker.url())).body(body);
    if let Some(key) = key {
        request = request.header("apikey", key);
    }
    let request =
        request.header("content-type", form).header("accept", form).header("origin", "https://a.example");
    request.header("x-grpc-web", "1").send().await.expect("it answers")
}

/// Messages and trailers in a body.
fn frames(mut body: &[u8]) -> (Vec<&[u8]>, String) {
    let (mut messages, mut trailers) = (Vec::new(), String::new());
    while let [flag, a, b, c, d, rest @ ..] = body {
        let (content, after) = rest.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        match flag {
            0 => messages.push(content),
            0x80 => trailers.push_str(std::str::from_utf8(content).expect("trailers are text")),
            other => panic!("a frame of kind {other}"),
        }
        body = after;
    }
    assert!(body.is_empty(), "frames are whole");
    (messages, trailers)
}

/// Base64 in pieces, each padded by itself.
fn unpack(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in
        text.split_inclusive(|byte| *byte == b'=').collect::<Vec<_>>().chunk_by(|_, next| next.len() == 1)
    {
        bytes.extend(BASE64_STANDARD.decode(piece.concat()).expect("base64"));
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_answered_in_frames_and_pages_may_read_it() {
    let broker = Broker::start().await;
    let message = pb::SubmitTextRequest { prompt: Some("from a page".into()), ..Default::default() };
    for form in [BINARY, TEXT, "application/grpc-web"] {
        let answer = post(&broker, "Generate/SubmitText", Some(ALICE), form, &message).await;
        assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_11));
        assert!(
            answer.headers()["content-type"].to_str().unwrap().starts_with(form),
            "{:?}",
            answer.headers()
        );
        assert_eq!(answer.headers()["access-control-allow-origin"], "*");
        let body = answer.bytes().await.expect("it is whole").to_vec();
        let body = if form == TEXT { unpack(&body) } else { body };
        let (messages, trailers) = frames(&body);
        let submitted = pb::SubmitTextResponse::decode(messages[0]).expect("a response");
        assert!(submitted.id.is_some() && messages.len() == 1);
        assert!(trailers.contains("grpc-status:0"), "{trailers}");
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_told_with_their_details() {
    let broker = Broker::start().await;
    let empty = pb::SubmitTextRequest { prompt: Some(String::new()), ..Default::default() };
    let unknown = pb::CheckImageRequest { id: "x".into() };
    let told = |answer: &Response| {
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        (header("grpc-status"), header("grpc-status-details-bin").is_some())
    };
    let answer = post(&broker, "Generate/SubmitText", Some(ALICE), BINARY, &empty).await;
    assert_eq!(
        (answer.status().as_u16(), told(&answer)),
        (200, (Some("3".into()), true)),
        "{:?}",
        answer.headers()
    );
    assert!(
        answer.headers()["access-control-expose-headers"]
            .to_str()
            .unwrap()
            .contains("Grpc-Status-Details-Bin")
    );
    assert!(answer.headers().contains_key("access-control-allow-origin"));
    let answer = post(&broker, "Generate/CheckImage", None, BINARY, &unknown).await;
    assert_eq!(told(&answer), (Some("5".into()), true));
    let answer = post(
        &broker,
        "Generate/SubmitText",
        Some("nobody-has-it"),
        TEXT,
        &pb::SubmitTextRequest { prompt: Some("x".into()), ..Default::default() },
    )
    .await;
    assert_eq!(told(&answer), (Some("16".into()), true));
    broker.holds_nothing().await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_streams_arrive_frame_by_frame() {
    let broker = Broker::start().await;
    let worker = broker.worker(BOB, "page").await;
    let open = pb::PopStreamRequest { text: Some(worker.text_offer()), ..Default::default() };
    let mut jobs = post(&broker, "Worker/PopStream", Some(BOB), BINARY, &open).await;
    let mut seen = Vec::new();
    let next = async |jobs: &mut Response, seen: &mut Vec<u8>| loop {
        if let [0, a, b, c, d, rest @ ..] = seen.as_slice() {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            if rest.len() >= length {
                let push = pb::PopStreamResponse::decode(&rest[..length]).expect("a message").push;
                seen.drain(..5 + length);
                return push.expect("it says what it is");
            }
        }
        seen.extend(jobs.chunk().await.expect("the stream is whole").expect("more comes"));
    };
    use pb::pop_stream_response::Push;
    assert!(matches!(next(&mut jobs, &mut seen).await, Push::Opened(_)));
    let id = broker.requester(ALICE).await.submits_text("to a page", 1).await;
    let Push::Assignment(job) = next(&mut jobs, &mut seen).await else { panic!("a job was expected") };
    worker.clone().delivers_text(&job.ids[0], "done").await.expect("it is open");

    let watch = pb::WatchRequest { id, after: String::new() };
    let answer = post(&broker, "Generate/Watch", None, BINARY, &watch).await;
    let body = answer.bytes().await.expect("it ends");
    let (messages, trailers) = frames(&body);
    let last = pb::WatchResponse::decode(*messages.last().expect("events")).expect("an event");
    assert!(matches!(last.event, Some(pb::watch_response::Event::Done(_))), "{last:?}");
    assert!(trailers.contains("grpc-status:0"), "{trailers}");
    let stopping = tokio::spawn(broker.stop());
    while let Some(bytes) = jobs.chunk().await.expect("the stream is whole") {
        seen.extend(bytes);
    }
    stopping.await.expect("it stops");
    let at = seen.windows(12).position(|window| window == b"grpc-status:").expect("trailers in the body");
    assert!(seen[at..].starts_with(b"grpc-status:14"), "a break is told as one");
}
