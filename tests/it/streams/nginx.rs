//! Behind nginx as it comes from Debian, with its own limits of patience: 60 s without a byte.

use std::{process::Stdio, time::Duration};

use gridbroker::rpc::pb::{self, generate_client::GenerateClient, work_request::Say, work_response::Tell};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;

use crate::harness::{ALICE, BOB, Broker, PATIENCE, Worker, eventually, free_port};

/// Longer than nginx bears silence.
const SILENCE: Duration = Duration::from_secs(66);
/// How often a worker on a two-way stream shows that it is there.
const SIGN_EVERY: Duration = Duration::from_secs(25);

/// nginx before a broker, on a port for HTTP/1.1 and one for HTTP/2. It ends with this value.
struct Nginx {
    _process: Child,
    _dir: TempDir,
    http: u16,
    grpc: u16,
}

impl Nginx {
    async fn before(url: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let (http, grpc, broker) = (free_port(), free_port(), url.trim_start_matches("http://"));
        // No limit is set here: what is not set is as nginx has it.
        let settings = format!(
            "daemon off; master_process off; pid nginx.pid; error_log stderr;
             events {{ worker_connections 256; }}
             http {{
                 access_log off;
                 client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
                 uwsgi_temp_path uwsgi; scgi_temp_path scgi;
                 server {{
                     listen 127.0.0.1:{http};
                     location / {{ proxy_pass http://{broker}; proxy_http_version 1.1; }}
                 }}
                 server {{
                     listen 127.0.0.1:{grpc} http2;
                     location / {{ grpc_pass grpc://{broker}; }}
                 }}
             }}"
        );
        let file = dir.path().join("nginx.conf");
        std::fs::write(&file, settings).expect("it can be written");
        // Debian's place for it is not on everybody's path.
        let there = std::path::Path::new("/usr/sbin/nginx");
        let mut command = Command::new(if there.exists() { there.as_os_str() } else { "nginx".as_ref() });
        command.arg("-p").arg(dir.path()).arg("-c").arg(&file).stderr(Stdio::null()).kill_on_drop(true);
        let process =
            command.spawn().expect("nginx is missing: the test command, bash .ci/test, installs it");
        let nginx = Self { _process: process, _dir: dir, http, grpc };
        let client = reqwest::Client::new();
        let health = format!("{}/health", nginx.http());
        eventually(async || client.get(&health).send().await.is_ok_and(|answer| answer.status() == 200))
            .await;
        nginx
    }

    fn http(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    fn grpc(&self) -> String {
        format!("http://127.0.0.1:{}", self.grpc)
    }
}

/// Reads a body to its end.
async fn reads(request: reqwest::RequestBuilder) -> String {
    request.send().await.expect("it answers").text().await.expect("nobody cuts it")
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_on_which_nothing_happens_outlive_the_patience_of_nginx() {
    let broker = Broker::start().await;
    let nginx = Nginx::before(broker.url()).await;
    let mut alice = broker.requester(ALICE).await;
    let id = alice.submits_text("wait", 1).await;
    let stream = format!("{}/api/v2/generate/{id}/stream", nginx.http());
    let client = reqwest::Client::new();
    let sse = tokio::spawn(reads(client.get(&stream)));
    let lines = tokio::spawn(reads(client.get(&stream).header("accept", "application/x-ndjson")));
    let watched = {
        let endpoint = tonic::transport::Endpoint::from_shared(nginx.grpc()).expect("a URL");
        let mut client = GenerateClient::new(endpoint.connect().await.expect("nginx listens"));
        let request = pb::WatchRequest { id: id.clone(), after: String::new() };
        let mut stream = client.watch(request).await.expect("it can be watched").into_inner();
        tokio::spawn(async move {
            let mut last = None;
            while let Some(told) = stream.message().await.expect("nobody cuts it") {
                last = told.event;
            }
            last
        })
    };
    // Of workers there are two who do not serve what is asked for, and hear of nothing.
    let mut popping = Worker::at(&nginx.grpc(), BOB, "popping").await;
    let mut offer = popping.text_offer();
    offer.models = vec!["something/else-7b".into()];
    let request = pb::PopStreamRequest { text: Some(offer.clone()), credits: Some(1), ..Default::default() };
    let mut pops = popping.opens(request).await;
    let mut working = Worker::at(&nginx.grpc(), BOB, "working").await;
    offer.name = Some("working".into());
    let (says, said) = mpsc::channel(8);
    let say = |what| pb::WorkRequest { say: Some(what) };
    let request = pb::PopStreamRequest { text: Some(offer), credits: Some(1), ..Default::default() };
    says.send(say(Say::Offer(request))).await.expect("it is listened to");
    let call = working.keyed(ReceiverStream::new(said));
    let mut work = working.client.work(call).await.expect("a stream opens").into_inner();
    let signs = {
        let says = says.clone();
        tokio::spawn(async move {
            while says.send(say(Say::Acknowledgement(pb::Acknowledgement { ids: Vec::new() }))).await.is_ok()
            {
                sleep(SIGN_EVERY).await;
            }
        })
    };
    let mut heard = 0;
    let silence = sleep(SILENCE);
    tokio::pin!(silence);
    loop {
        tokio::select! {
            () = &mut silence => break,
            told = work.message() => {
                let told = told.expect("nobody cuts it").expect("it has not ended");
                assert!(matches!(told.tell, Some(Tell::Push(_))), "{told:?}");
                heard += 1;
            }
        }
    }
    assert!(heard > 5, "the worker hears that the broker is there: {heard}");
    signs.abort();

    // After all that silence everything still comes through.
    let mut scribe = broker.worker(BOB, "scribe").await;
    let mut jobs = scribe.opens_text_stream(1, &[]).await;
    let job = jobs.job().await.ids[0].clone();
    scribe.delivers_text(&job, "worth the wait").await.expect("it is open");
    for (body, end) in [(sse, "data: [DONE]"), (lines, "\"event\":\"done\"")] {
        let body = timeout(PATIENCE, body).await.expect("it ends").expect("it does not panic");
        assert!(body.contains("worth the wait") && body.contains(end), "{body}");
    }
    let last = timeout(PATIENCE, watched).await.expect("it ends").expect("it does not panic");
    assert!(matches!(last, Some(pb::watch_response::Event::Done(_))), "{last:?}");
    let mut offer = popping.text_offer();
    offer.models = vec!["mock/echo-7b".into()];
    let message = pb::SubmitTextRequest {
        prompt: Some("for the patient".into()),
        models: vec!["something/else-7b".into()],
        ..Default::default()
    };
    alice.client.submit_text(alice.keyed(message)).await.expect("it is accepted");
    tokio::select! {
        job = pops.awaits_job() => assert_eq!(job.ids.len(), 1),
        told = work.message() => assert!(told.is_ok_and(|told| told.is_some())),
    }
    drop(says);
    broker.stop().await;
}
