//! A broker in a process of its own, to be hurt in every way that a process can be.

use std::{
    collections::BTreeSet,
    net::TcpListener,
    path::PathBuf,
    process::{ExitStatus, Stdio},
};

use gridbroker::{rpc::admin::AddUserRequest, server::admin};
use parking_lot::Mutex;
use rand::RngExt;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use super::{Json, PATIENCE, Requester, Worker};
use crate::commands::command;

/// A broker's place: its directory, its port, its settings. Whatever runs there ends with this value.
pub struct Node {
    /// What the tests call it.
    pub name: char,
    dir: TempDir,
    port: u16,
    flags: Vec<String>,
    has_rate_limits: bool,
    running: Option<Running>,
}

struct Running {
    process: Child,
    says: Lines<BufReader<ChildStdout>>,
}

/// A port that is free now, and stays so but for the one who asked.
///
/// It lies below the ports that the system gives to clients: else a client that calls a dead broker may
/// get the broker's own port, and be connected with itself. None is drawn twice: nothing may listen there yet.
pub fn drawn_port(mut draw: impl FnMut() -> u16) -> u16 {
    static DRAWN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok() && DRAWN.lock().insert(*port);
    (0..1000).map(|_| draw()).find(free).expect("there is a free port")
}

impl Node {
    /// A place with these settings, at which nothing runs yet.
    pub fn new(name: char, flags: Vec<String>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let port = drawn_port(|| rand::rng().random_range(20_000..32_000));
        Self { name, dir, port, flags, has_rate_limits: false, running: None }
    }

    /// The same, but calls are limited as the contract says.
    pub fn with_rate_limits(mut self) -> Self {
        self.has_rate_limits = true;
        self
    }

    /// The same with more settings.
    pub fn with_flags(mut self, flags: &[String]) -> Self {
        self.flags.extend_from_slice(flags);
        self
    }

    /// Starts a broker; whether it serves is for [`Node::serves`] to say.
    pub fn begins(&mut self) {
        assert!(self.running.is_none(), "{} runs already", self.name);
        let listen = format!("127.0.0.1:{}", self.port);
        let rate_limits = if self.has_rate_limits { "on" } else { "off" };
        let mut line =
            vec!["serve", "--listen", &listen, "--rate-limits", rate_limits, "--judge-workers", "off"];
        line.extend(self.flags.iter().map(String::as_str));
        let log = std::fs::File::options().create(true).append(true).open(self.log_file());
        let mut command = Command::from(command(self.dir.path(), &line));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log.expect("the log can be written"));
        let mut process = command.kill_on_drop(true).spawn().expect("the program starts");
        let says = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        self.running = Some(Running { process, says });
    }

    /// Waits until the broker that was started serves.
    pub async fn serves(&mut self) {
        let (url, name) = (self.url(), self.name);
        let running = self.running.as_mut().expect("it was started");
        let first = timeout(PATIENCE * 2, running.says.next_line()).await;
        let first = first.unwrap_or_else(|_| panic!("{name} does not start: {}", self.log()));
        let is_there = first.expect("it prints UTF-8").is_some_and(|line| line.contains(&url));
        assert!(is_there, "{name} does not serve: {}", self.log());
    }

    /// Starts a broker, and waits until it serves.
    pub async fn starts(&mut self) {
        self.begins();
        self.serves().await;
    }

    /// SIGKILL: nothing is flushed, nothing is said.
    pub async fn falls(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.process.kill().await.expect("it can be killed");
        }
    }

    /// SIGTERM: it drains and ends.
    pub async fn ends(&mut self) -> ExitStatus {
        self.signal("-TERM");
        let mut running = self.running.take().expect("it runs");
        let ended = timeout(PATIENCE, running.process.wait()).await;
        ended.unwrap_or_else(|_| panic!("{} does not end: {}", self.name, self.log())).expect("it ends")
    }

    /// SIGSTOP: it stands still, its connections stay.
    pub fn pauses(&self) {
        self.signal("-STOP");
    }

    /// SIGCONT: it goes on as if no time had passed.
    pub fn resumes(&self) {
        self.signal("-CONT");
    }

    /// Creates an account, as the operator does.
    pub async fn adds_user(&self, alias: &str, key: &str, kudos: i64, concurrency: i32, roles: Vec<&str>) {
        let request = AddUserRequest {
            alias: alias.into(),
            kudos,
            roles: roles.into_iter().map(str::to_owned).collect(),
            concurrency: Some(concurrency),
            api_key: Some(key.into()),
            ..Default::default()
        };
        let operator = admin::connect(&self.data()).await.expect("the socket can be opened");
        operator.expect("the node runs").add_user(request).await.expect("the account is made");
    }

    /// The process that runs.
    pub fn pid(&self) -> u32 {
        let process = &self.running.as_ref().expect("it runs").process;
        process.id().expect("nobody has waited for it")
    }

    fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        let sent = std::process::Command::new("kill").args([signal, &pid]).status();
        assert!(sent.expect("there is a kill").success(), "{} cannot be sent {signal}", self.name);
    }

    /// Whether a broker runs here, paused or not.
    pub fn is_alive(&mut self) -> bool {
        self.running.as_mut().is_some_and(|running| matches!(running.process.try_wait(), Ok(None)))
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// What all brokers here logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The base of its URLs; the same after each start.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A link of another node, as this one has it.
    pub fn link(&self, link: &str) -> String {
        let path = link.splitn(4, '/').nth(3).expect("a link has a path");
        format!("{}/{path}", self.url())
    }

    /// Runs `gridbroker` as an operator of this node does.
    pub async fn operator(&self, words: &[&str]) -> std::process::Output {
        let line: Vec<&str> = words.iter().copied().chain(self.flags.iter().map(String::as_str)).collect();
        Command::from(command(self.dir.path(), &line)).output().await.expect("the program starts")
    }

    /// Speaks JSON, with this key.
    pub fn json(&self, key: &str) -> Json {
        Json::new(&self.url(), Some(key))
    }

    /// Speaks JSON, without a key.
    pub fn json_without_key(&self) -> Json {
        Json::new(&self.url(), None)
    }

    /// Speaks gRPC.
    pub async fn channel(&self) -> tonic::transport::Channel {
        let endpoint = tonic::transport::Endpoint::from_shared(self.url()).expect("the URL is one");
        endpoint.connect().await.unwrap_or_else(|error| panic!("{} is not there: {error}", self.name))
    }

    /// Somebody who asks for things over gRPC.
    pub async fn requester(&self, key: &'static str) -> Requester {
        Requester::new(self.channel().await, key)
    }

    /// Somebody who works over gRPC.
    pub async fn worker(&self, key: &'static str, name: &str) -> Worker {
        Worker::new(self.channel().await, key, name)
    }
}

impl Drop for Node {
    /// Keeps the log in the folder that `GRIDBROKER_TEST_LOGS` names, if it names one.
    fn drop(&mut self) {
        if let Some(folder) = std::env::var_os("GRIDBROKER_TEST_LOGS") {
            let name = format!("{}-{}.log", self.port, self.name);
            let _ = std::fs::copy(self.log_file(), PathBuf::from(folder).join(name));
        }
    }
}
