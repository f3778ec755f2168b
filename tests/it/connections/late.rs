//! The program, while PostgreSQL or Redis cannot be reached, or is set up wrongly.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
};

use gridbroker::{
    config::SecretUrl,
    rpc::pb::{SubmitTextRequest, generate_client::GenerateClient},
};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::StatusExt;

use crate::{
    commands::command,
    harness::{Queue, Redis, Watched, eventually, free_port, postgres},
};

/// A broker in a process of its own; it ends with the test.
pub(super) struct Served {
    process: Child,
    out: BufReader<ChildStdout>,
    logs: Option<BufReader<ChildStderr>>,
    pub(super) url: String,
    _dir: tempfile::TempDir,
}

impl Served {
    fn start(database: &str, redis: &str) -> Self {
        Self::with(database, redis, &[])
    }

    fn with(database: &str, redis: &str, more: &[&str]) -> Self {
        Self::by(&[&["--database-url", database, "--redis-url", redis], more].concat())
    }

    /// With these flags alone.
    pub(super) fn by(flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut program = command(dir.path(), &[&["serve", "--listen", "127.0.0.1:0"], flags].concat());
        let mut process = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(process.stdout.take().unwrap());
        let logs = process.stderr.take().map(BufReader::new);
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("gridbroker listens on ").unwrap_or_default().to_owned();
        Self { process, out, logs, url, _dir: dir }
    }

    pub(super) async fn get(&self, path: &str) -> (u16, Value) {
        let answer = reqwest::get(format!("{}{path}", self.url)).await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
    }

    pub(super) async fn submits(&self) -> reqwest::Response {
        let call = reqwest::Client::new().post(format!("{}/api/v2/generate/text/async", self.url));
        call.header("apikey", "0000000000").json(&json!({"prompt": "once"})).send().await.unwrap()
    }

    pub(super) fn terminate(&mut self) -> Option<i32> {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.process.wait().unwrap().code()
    }

    /// Its exit code and all that it logged, once it has ended by itself.
    pub(super) fn end(mut self) -> (Option<i32>, String) {
        let mut logged = String::new();
        self.logs.take().unwrap().read_to_string(&mut logged).unwrap();
        (self.process.wait().unwrap().code(), logged)
    }

    /// Reads its log in the background, so that it is never in its way.
    pub(super) fn listen(&mut self) -> std::sync::mpsc::Receiver<String> {
        let (sender, lines) = std::sync::mpsc::channel();
        let logs = self.logs.take().unwrap();
        std::thread::spawn(move || logs.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        lines
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The database's server through another port, from now on.
async fn forward(port: u16) {
    forward_to(postgres().port(), port).await;
}

/// A server through another port, from now on.
pub(super) async fn forward_to(server: u16, port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut far = TcpStream::connect(("127.0.0.1", server)).await?;
                tokio::io::copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn until_both_servers_are_there_callers_are_told_to_wait() {
    let mut redis = Redis::start();
    redis.kill();
    let port = free_port();
    let database = postgres().url_by(port, &postgres().database().await);
    let mut served = Served::start(database.expose(), redis.settings().redis_url.unwrap().expose());
    assert!(!served.url.is_empty(), "it listens");
    let logs = served.listen();
    let first = logs.iter().find(|line| line.contains("ERROR")).expect("it says what is wrong");
    for words in
        [format!("127.0.0.1:{port}/"), format!("127.0.0.1:{}", redis.port()), "onnection refused".into()]
    {
        assert!(first.contains(&words), "{words}: {first}");
    }
    assert!(!first.contains("a-test-password"), "{first}");

    for (path, status) in [("/livez", 200), ("/health", 200), ("/metrics", 200), ("/readyz", 503)] {
        assert_eq!(served.get(path).await.0, status, "{path}");
    }
    let refused = served.submits().await;
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    assert_eq!(refused.headers()["access-control-allow-origin"], "*", "pages may read it");
    assert_eq!(refused.json::<Value>().await.unwrap()["rc"], "StoreUnavailable");
    let channel =
        tonic::transport::Endpoint::from_shared(served.url.clone()).unwrap().connect().await.unwrap();
    let status =
        GenerateClient::new(channel.clone()).submit_text(SubmitTextRequest::default()).await.unwrap_err();
    let details = status.get_error_details();
    assert_eq!(
        (status.code(), &*details.error_info().unwrap().reason),
        (Code::Unavailable, "StoreUnavailable")
    );
    assert!(details.retry_info().unwrap().retry_delay.is_some());
    let mut health = HealthClient::new(channel.clone());
    let serving = health.check(HealthCheckRequest::default()).await.unwrap().into_inner().status;
    assert_eq!(serving, tonic_health::ServingStatus::NotServing as i32);

    // One of them is not enough.
    forward(port).await;
    logs.iter()
        .find(|line| line.contains("WARN") && !line.contains("database"))
        .expect("the other is missing");
    assert_eq!(served.get("/readyz").await.0, 503);
    redis.start_again();
    eventually(async || served.get("/readyz").await.0 == 200).await;
    assert_eq!(served.submits().await.status(), 202);
    let serving = health.check(HealthCheckRequest::default()).await.unwrap().into_inner().status;
    assert_eq!(serving, tonic_health::ServingStatus::Serving as i32, "over the connection from before");
    assert_eq!(served.terminate(), Some(0));
    let mut rest = String::new();
    served.out.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("answered with 503 until"), "{rest}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_waits_stops_when_it_is_told_to() {
    let nowhere = [free_port(), free_port()];
    let database = postgres().url_by(nowhere[0], "grid");
    let mut served = Served::start(database.expose(), &format!("redis://127.0.0.1:{}", nowhere[1]));
    assert_eq!(served.get("/livez").await.0, 200);
    assert_eq!(served.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_set_up_wrongly_ends_the_start() {
    let (redis, evicting) = (Redis::start(), Redis::with_policy("allkeys-lru"));
    let locked = Redis::with_flags(&["--requirepass", "an0ther-word"]);
    let database = postgres().url(&postgres().database().await);
    let wrong = database.expose().replace("a-test-password", "wr0ng-word");
    let missing = postgres().url("not_there");
    let nowhere = format!("redis://127.0.0.1:{}", free_port());
    let url = |redis: &Redis| format!("redis://:wr0ng-word@127.0.0.1:{}", redis.port());
    let plain = |redis: &Redis| format!("redis://127.0.0.1:{}", redis.port());
    for (database, redis, words) in [
        (&SecretUrl::new(wrong), plain(&redis), &["28P01"][..]),
        (&missing, plain(&redis), &["no such database"]),
        // What is merely away is told as well, and does not hide what is wrong.
        (&missing, nowhere, &["no such database", "redis://127.0.0.1:"]),
        (&database, plain(&evicting), &["maxmemory-policy", "noeviction"]),
        (&database, url(&locked), &["WRONGPASS", "redis://:***@127.0.0.1:"]),
        (&database, plain(&locked), &["NOAUTH"]),
        (&database, "redis://:wr0ng-word@127.0.0.1:port".to_owned(), &["redis_url cannot be read"]),
    ] {
        let served = Served::start(database.expose(), &redis);
        assert_eq!(served.url, "", "it never said that it listens");
        let (code, logged) = served.end();
        assert_eq!(code, Some(1), "{words:?}: {logged}");
        words.iter().for_each(|word| assert!(logged.contains(word), "{word}: {logged}"));
        assert!(!logged.contains("-word@") && !logged.contains("a-test-password"), "{logged}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_took_over_and_may_drop_keys_is_told_of() {
    let mut watched = Watched::start();
    assert_eq!(watched.servers[1].says(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]), "OK");
    let database = postgres().url(&postgres().database().await);
    let mut served = Served::start(database.expose(), watched.settings().redis_url.unwrap().expose());
    assert_eq!(served.get("/readyz").await.0, 200);
    let logs = served.listen();
    watched.servers[0].kill();
    let told = |line: &String| line.contains("ERROR") && line.contains("maxmemory-policy");
    tokio::task::block_in_place(|| logs.iter().find(told)).expect("it tells the operator");
    assert_eq!(served.get("/livez").await.0, 200, "and goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_keeps_to_its_number_of_connections() {
    let database = postgres().url(&postgres().database().await);
    let redis = Redis::start();
    let url = redis.settings().redis_url.unwrap();
    let served = Served::with(database.expose(), url.expose(), &["--database-connections", "8"]);
    let client = reqwest::Client::new();
    let looks = (0..200).map(|i| {
        let unknown = uuid::Uuid::from_u128(i);
        client.get(format!("{}/api/v2/generate/text/status/{unknown}", served.url)).send()
    });
    let answers = futures_util::future::join_all(looks).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|answer| answer.status() == 404)));
    let name = database.expose().rsplit('/').next().unwrap();
    let mut connection = postgres().connection("postgres").await;
    let count = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1";
    let count: i64 = sqlx::query_scalar(count).bind(name).fetch_one(&mut connection).await.unwrap();
    assert!((4..=8).contains(&count), "{count} connections");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_turns_out_to_be_wrong_later_ends_it_too() {
    let mut evicting = Redis::with_policy("allkeys-lru");
    evicting.kill();
    let database = postgres().url(&postgres().database().await);
    let served = Served::start(database.expose(), &format!("redis://127.0.0.1:{}", evicting.port()));
    assert_eq!(served.get("/readyz").await.0, 503);
    evicting.start_again();
    let (code, logged) = tokio::task::spawn_blocking(|| served.end()).await.unwrap();
    assert_eq!(code, Some(1));
    assert!(logged.contains("allkeys-lru") && logged.contains("noeviction"), "{logged}");
}
