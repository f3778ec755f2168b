//! A Redis server of one's own: private, on a free port, empty, and easily hurt.

use std::{
    io::{BufRead, BufReader},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use gridbroker::config::{SecretUrl, Store};

use super::Authority;

/// A server that ends with this value, and with this process, however that ends.
pub struct Redis {
    port: u16,
    /// What it is told at its start, but for its port.
    flags: Vec<String>,
    /// Flags of `redis-cli` besides the port.
    cli: Vec<String>,
    running: Option<Running>,
    directory: tempfile::TempDir,
}

struct Running {
    /// A shell that ends the server once nobody holds its standard input any more.
    keeper: Child,
    server: String,
}

/// What carries the live queue of a broker.
pub trait Queue: Send {
    /// Settings of a broker that uses it.
    fn settings(&self) -> Store;
}

impl Redis {
    /// An empty server.
    pub fn start() -> Self {
        Self::with_flags(&[])
    }

    /// An empty server with another `maxmemory-policy`.
    pub fn with_policy(policy: &'static str) -> Self {
        Self::with_flags(&["--maxmemory-policy", policy])
    }

    /// An empty server that is started with these flags, too.
    pub fn with_flags(flags: &[&str]) -> Self {
        Self::launch(Vec::new(), flags.iter().map(|flag| (*flag).to_owned()).collect())
    }

    /// An empty server that speaks TLS alone, and to those that have a certificate alone.
    pub fn secured(authority: &Authority, flags: &[&str]) -> Self {
        let path = |path: std::path::PathBuf| path.to_str().expect("it is UTF-8").to_owned();
        let (ca, cert, key) =
            (path(authority.authority()), path(authority.certificate()), path(authority.key()));
        let tls = ["--tls-ca-cert-file", &ca, "--tls-cert-file", &cert, "--tls-key-file", &key];
        let cli = ["--tls", "--cacert", &ca, "--cert", &cert, "--key", &key];
        let own = |flags: &[&str]| flags.iter().map(|flag| (*flag).to_owned()).collect::<Vec<_>>();
        Self::launch(own(&cli), [own(&tls), own(flags)].concat())
    }

    /// A sentinel that watches over nobody yet.
    pub fn sentinel() -> Self {
        // It writes down there what it learns.
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let notes = directory.path().join("sentinel.conf");
        std::fs::write(&notes, "").expect("it can be written");
        let port = free_port();
        let flags = [notes.to_str().expect("it is UTF-8"), "--sentinel", "--bind", "127.0.0.1", "--port"];
        let flags: Vec<_> = flags.into_iter().map(str::to_owned).chain([port.to_string()]).collect();
        let running = Running::start(port, flags.clone(), directory.path());
        let running = running.expect("redis-server starts as a sentinel");
        Self { port, flags, cli: Vec::new(), running: Some(running), directory }
    }

    fn launch(cli: Vec<String>, flags: Vec<String>) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let mut redis = Self { port: 0, flags, cli, running: None, directory };
        // Between the look for a free port and its use somebody else may take it.
        for _ in 0..5 {
            redis.port = free_port();
            redis.running = redis.run();
            if redis.running.is_some() {
                return redis;
            }
        }
        panic!("redis-server does not start");
    }

    fn run(&self) -> Option<Running> {
        let port = self.port.to_string();
        let ports: &[&str] = match self.cli.is_empty() {
            true => &["--port", &port],
            false => &["--port", "0", "--tls-port", &port],
        };
        let flags = [
            &["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"],
            ports,
        ];
        let flags = flags.concat().into_iter().map(str::to_owned).chain(self.flags.iter().cloned());
        Running::start(self.port, flags.collect(), self.directory.path())
    }

    /// Its port on the loopback interface.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs a command in `redis-cli` and returns what it prints.
    pub fn says(&self, command: &[&str]) -> String {
        let port = self.port.to_string();
        let output = Command::new("redis-cli").args(["-p", &port]).args(&self.cli).args(command).output();
        let output = output.expect("redis-cli is there; `bash .ci/test` installs it");
        String::from_utf8(output.stdout).expect("it prints text").trim_end().to_owned()
    }

    /// Forgets everything.
    pub fn flush(&self) {
        assert_eq!(self.says(&["FLUSHALL"]), "OK");
    }

    /// Stands still: connections stay, nobody answers.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Goes on.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    /// Dies on the spot.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Writes what it holds to its disk: what it has if it is started again [as it was](Self::start_as_saved).
    pub fn save(&self) {
        assert_eq!(self.says(&["SAVE"]), "OK");
    }

    /// Ends in an orderly way, with all that it holds on its disk.
    pub fn end_saving(&mut self) {
        self.says(&["SHUTDOWN", "SAVE"]);
        self.kill();
    }

    /// Starts again on the same port, empty.
    pub fn start_again(&mut self) {
        let _ = std::fs::remove_file(self.directory.path().join("dump.rdb"));
        self.start_as_saved();
    }

    /// Starts again on the same port, with what was last saved.
    pub fn start_as_saved(&mut self) {
        self.kill();
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.running.is_none() {
            assert!(Instant::now() < deadline, "redis-server does not start again");
            self.running = self.run();
        }
    }

    fn signal(&self, signal: &str) {
        let running = self.running.as_ref().expect("it runs");
        let sent = Command::new("kill").args([signal, &running.server]).status().expect("there is a kill");
        assert!(sent.success());
    }
}

impl Queue for Redis {
    fn settings(&self) -> Store {
        Self::settings(self)
    }
}

impl Redis {
    /// Settings of a broker that uses it.
    pub fn settings(&self) -> Store {
        by_url(format!("redis://127.0.0.1:{}", self.port))
    }
}

/// Settings of a broker that finds its Redis by this URL.
pub fn by_url(url: String) -> Store {
    Store { redis_url: Some(SecretUrl::new(url)), ..Store::default() }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    free.local_addr().expect("it has an address").port()
}

/// Waits until something holds of servers that say nothing by themselves.
pub(super) fn wait_until(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + super::PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "it does not hold in time");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Running {
    fn start(port: u16, flags: Vec<String>, directory: &Path) -> Option<Self> {
        const KEEP: &str = "command -v redis-server >/dev/null || { echo missing; exit; }
            redis-server \"$@\" >/dev/null 2>&1 & server=$!
            trap 'kill -9 $server 2>/dev/null' EXIT
            echo $server
            cat >/dev/null";
        let mut keeper = Command::new("sh")
            .args(["-c", KEEP, "redis"])
            .args(flags)
            .arg("--dir")
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let mut server = String::new();
        let output = keeper.stdout.take().expect("it was asked for");
        BufReader::new(output).read_line(&mut server).expect("the shell says who the server is");
        assert_ne!(
            server.trim(),
            "missing",
            "redis-server is missing; `bash .ci/test` installs it and runs all tests"
        );
        let running = Self { keeper, server: server.trim().to_owned() };
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            // A server that found its port taken is gone by now.
            let status = std::fs::read_to_string(format!("/proc/{}/stat", running.server));
            if status.is_ok_and(|status| status.contains(") Z ")) {
                return None;
            }
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(running);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}
