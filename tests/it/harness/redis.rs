//! A Redis server of one's own: private, on a free port, empty, and easily hurt.

use std::{
    io::{BufRead, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use gridbroker::config::{SecretUrl, Store};

/// A server that ends with this value, and with this process, however that ends.
pub struct Redis {
    port: u16,
    policy: &'static str,
    running: Option<Running>,
    directory: tempfile::TempDir,
}

struct Running {
    /// A shell that ends the server once nobody holds its standard input any more.
    keeper: Child,
    server: String,
}

impl Redis {
    /// An empty server.
    pub fn start() -> Self {
        Self::with_policy("noeviction")
    }

    /// An empty server with another `maxmemory-policy`.
    pub fn with_policy(policy: &'static str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        // Between the look for a free port and its use somebody else may take it.
        for _ in 0..5 {
            let free = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
            let port = free.local_addr().expect("it has an address").port();
            drop(free);
            if let Some(running) = Running::start(port, policy, directory.path()) {
                return Self { port, policy, running: Some(running), directory };
            }
        }
        panic!("redis-server does not start");
    }

    /// Settings of a broker that uses it.
    pub fn settings(&self) -> Store {
        let url = SecretUrl::new(format!("redis://127.0.0.1:{}", self.port));
        Store { redis_url: Some(url), ..Store::default() }
    }

    /// Runs a command in `redis-cli` and returns what it prints.
    pub fn says(&self, command: &[&str]) -> String {
        let port = self.port.to_string();
        let output = Command::new("redis-cli").args(["-p", &port]).args(command).output();
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
            self.running = Running::start(self.port, self.policy, self.directory.path());
        }
    }

    fn signal(&self, signal: &str) {
        let running = self.running.as_ref().expect("it runs");
        let sent = Command::new("kill").args([signal, &running.server]).status().expect("there is a kill");
        assert!(sent.success());
    }
}

impl Running {
    fn start(port: u16, policy: &str, directory: &std::path::Path) -> Option<Self> {
        const KEEP: &str = "command -v redis-server >/dev/null || { echo missing; exit; }
            redis-server \"$@\" >/dev/null 2>&1 & server=$!
            trap 'kill -9 $server 2>/dev/null' EXIT
            echo $server
            cat >/dev/null";
        let port_text = port.to_string();
        let mut keeper = Command::new("sh")
            .args(["-c", KEEP, "redis", "--port", &port_text, "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "no", "--maxmemory-policy", policy, "--dir"])
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
