//! Five hundred readers who do not read.

use std::time::Duration;

use futures_util::StreamExt;
use gridbroker::rpc::pb::{self, generate_client::GenerateClient, watch_response::Event};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tonic::{Streaming, transport::Endpoint};

use crate::harness::{ALICE, BOB, Node, PATIENCE, Requester, Worker, joined_tokens};

/// Readers over gRPC, and over SSE.
const OF_GRPC: usize = 400;
const OF_SSE: usize = 100;
/// Calls on one connection. Who reads nothing keeps the others on it waiting, too: that is HTTP/2.
const ON_ONE: usize = 79;
/// Readers who read in the end, each on a connection of their own.
const LATE: usize = 5;
/// Jobs, reports on each, and bytes of a report: 960 kB in all.
const JOBS: usize = 8;
const REPORTS: usize = 15;
const BYTES: usize = 8_000;
/// What a reader takes in without being asked, in bytes: of a socket, and of a call.
const SMALL: u32 = 4096;
const WINDOW: u32 = 65_535;
/// What all of them together may cost the broker. If what is told were kept for each, it were 480 MB.
const MOST_KIB: u64 = 100 << 10;

/// Memory of the broker's process, in KiB.
fn resident_kib(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it says so");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Watches over gRPC, and reads nothing yet. The first ones have a connection of their own.
async fn over_grpc(url: &str, id: &str) -> Vec<Streaming<pb::WatchResponse>> {
    let mut streams = Vec::new();
    while streams.len() < OF_GRPC {
        let endpoint = Endpoint::from_shared(url.to_owned()).expect("a URL");
        let endpoint = endpoint.initial_stream_window_size(WINDOW);
        let channel = endpoint.connect().await.expect("it listens");
        for _ in 0..if streams.len() < LATE { 1 } else { ON_ONE } {
            let request = pb::WatchRequest { id: id.into(), after: String::new() };
            let stream = GenerateClient::new(channel.clone()).watch(request).await;
            streams.push(stream.expect("it can be watched").into_inner());
        }
    }
    streams
}

/// Watches over SSE, and reads nothing yet.
async fn over_sse(url: &str, id: &str) -> Vec<TcpStream> {
    let address = url.trim_start_matches("http://").parse().expect("an address");
    let mut streams = Vec::new();
    for _ in 0..OF_SSE {
        let socket = TcpSocket::new_v4().expect("a socket can be made");
        socket.set_recv_buffer_size(SMALL).expect("it may be small");
        let mut stream = socket.connect(address).await.expect("it listens");
        let head =
            format!("GET /api/v2/generate/{id}/stream HTTP/1.1\r\nhost: broker\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("it takes the call");
        streams.push(stream);
    }
    streams
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_who_do_not_read_cost_little_and_keep_no_worker_waiting() {
    let mut node = Node::new('A', Vec::new());
    node.starts().await;
    for (alias, key) in [("alice", ALICE), ("bob", BOB)] {
        node.adds_user(alias, key, 10_000, 100, vec!["trusted"]).await;
    }
    let mut alice = Requester::at(&node.url(), ALICE).await;
    let mut worker = Worker::at(&node.url(), BOB, "teller").await;
    let mut pushes = worker.opens_text_stream(JOBS as i32, &[]).await;
    let message = pb::SubmitTextRequest {
        prompt: Some("tell".into()),
        params: Some(pb::TextParams { n: Some(JOBS as i32), max_length: Some(512), ..Default::default() }),
        ..Default::default()
    };
    let accepted = alice.client.submit_text(alice.keyed(message)).await.expect("it is accepted");
    let id = accepted.into_inner().id.expect("an accepted request has an ID");
    let mut jobs = Vec::new();
    while jobs.len() < JOBS {
        jobs.extend(pushes.job().await.ids);
    }
    // It begins with all of them, or they would go back before everybody watches.
    let begun = jobs.iter().map(|id| pb::ReportRequest { id: id.clone(), ..Default::default() }).collect();
    assert_eq!(worker.reports(begun).await.expect("no report is an error").closed, 0);
    let (mut of_grpc, mut of_sse) = (over_grpc(&node.url(), &id).await, over_sse(&node.url(), &id).await);
    let before = resident_kib(&node);

    let part = |job: usize, i: usize| format!("{:0>BYTES$}", job * REPORTS + i);
    let mut reports = Vec::new();
    for (job, id) in jobs.iter().enumerate() {
        reports.extend((0..REPORTS).map(|i| pb::ReportRequest {
            id: id.clone(),
            text: part(job, i),
            ..Default::default()
        }));
    }
    let reported = worker.reports(reports).await.expect("no report is an error");
    let all = (JOBS * REPORTS) as i64;
    assert_eq!((reported.accepted, reported.closed), (all, 0), "the worker is heard all the same");
    let mut quick = alice.watches(&id, "").await;
    let mut heard = 0;
    while heard < JOBS * REPORTS * BYTES {
        match quick.next().await.expect("the stream is whole").expect("it has not ended") {
            Event::Token(token) => heard += token.text.len(),
            _ => {}
        }
    }
    let grown = resident_kib(&node).saturating_sub(before);
    println!("{} readers who do not read: {grown} KiB", OF_GRPC + OF_SSE);
    assert!(grown < MOST_KIB, "500 readers who do not read cost {grown} KiB");

    // Once they read they have missed nothing. A few show it for all.
    let mut texts = Vec::new();
    for (job, id) in jobs.iter().enumerate() {
        texts.push((0..REPORTS).map(|i| part(job, i)).collect::<String>());
        worker.delivers_text(id, &texts[job]).await.expect("it is open");
    }
    for stream in &mut of_grpc[..LATE] {
        let mut events = Vec::new();
        while let Some(told) = timeout(PATIENCE, stream.next()).await.expect("it goes on") {
            events.extend(told.expect("the stream is whole").event);
        }
        // Which of the jobs is which is the broker's to say.
        let mut told: Vec<_> = (0..JOBS as i32).map(|job| joined_tokens(&events, job)).collect();
        told.sort_unstable();
        assert!(told == texts, "a slow reader over gRPC missed something");
        assert!(matches!(events.last(), Some(Event::Done(_))));
    }
    for stream in &mut of_sse[..LATE] {
        let mut body = Vec::new();
        let read = timeout(PATIENCE + Duration::from_secs(20), stream.read_to_end(&mut body)).await;
        read.expect("it goes on").expect("it ends well");
        let body = String::from_utf8_lossy(&body);
        let parts = (0..JOBS).flat_map(|job| (0..REPORTS).map(move |i| part(job, i)));
        let told = parts.filter(|part| body.contains(part)).count();
        assert!(
            told == JOBS * REPORTS && body.contains("[DONE]"),
            "a slow reader of SSE got {told} parts of {all}"
        );
    }
    node.ends().await;
}
