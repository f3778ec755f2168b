//! The program in a process of its own, over a store that outlives it.

use std::{path::Path, process::Stdio, time::Duration};

use gridbroker::domain::Kudos;
use rand::{RngExt, rngs::StdRng};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::{
    commands::command,
    harness::{PATIENCE, drawn_port},
};

/// Where a broker lives: its store, its port, what it logged.
pub struct Home {
    dir: TempDir,
    port: u16,
}

/// A running broker. Dropped, it is killed.
pub struct Broker {
    process: Child,
    says: Lines<BufReader<ChildStdout>>,
}

impl Home {
    /// An empty one, on a port that is free now and stays the same.
    pub fn new(chance: &mut StdRng) -> Self {
        let port = drawn_port(|| chance.random_range(20_000..32_000));
        Self { dir: tempfile::tempdir().expect("a temporary directory can be made"), port }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn store(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    /// Creates an account. While a broker runs, it goes through that.
    pub async fn adds_user(&self, alias: &str, key: &str, kudos: Kudos) {
        let kudos = kudos.floor().to_string();
        let line = ["user", "add", alias, "--api-key", key, "--kudos", &kudos, "--concurrency", "100000"];
        // Of who is trusted nothing is put aside: what was earned is all in the balance.
        let line = [&line[..], &["--role", "trusted"]].concat();
        let made = Command::from(command(self.dir.path(), &line)).output().await.expect("the program starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    fn spawns(&self) -> Broker {
        let listen = format!("127.0.0.1:{}", self.port);
        let log = std::fs::File::options().create(true).append(true).open(self.log_file());
        let mut command = Command::from(command(
            self.dir.path(),
            &["serve", "--listen", &listen, "--rate-limits", "off", "--judge-workers", "off"],
        ));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log.expect("the log can be written"));
        let mut process = command.kill_on_drop(true).spawn().expect("the program starts");
        let says = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        Broker { process, says }
    }

    /// Starts a broker, and waits until it serves.
    pub async fn starts(&self) -> Broker {
        let mut broker = self.spawns();
        let first = timeout(PATIENCE * 3, broker.says.next_line()).await.expect("it starts in time");
        let first = first.expect("it prints UTF-8");
        assert!(first.is_some_and(|line| line.contains(&self.url())), "it does not serve: {}", self.log());
        broker
    }

    /// Starts a broker, and kills it before it is done with that.
    pub async fn starts_and_falls_within(&self, wait: Duration) {
        let broker = self.spawns();
        tokio::time::sleep(wait).await;
        broker.falls().await;
    }

    fn log_file(&self) -> std::path::PathBuf {
        self.dir.path().join("log")
    }

    /// What all brokers here logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Copies the store of a dead broker.
    pub fn copies_store(&self) -> TempDir {
        let copy = tempfile::tempdir().expect("a temporary directory can be made");
        copies(&self.store(), copy.path());
        copy
    }

    /// Puts an older copy in the place of the store.
    pub fn replaces_store(&self, copy: &TempDir) {
        std::fs::remove_dir_all(self.store()).expect("the store is there");
        copies(copy.path(), &self.store());
    }
}

impl Broker {
    /// SIGKILL: nothing is flushed, nothing is said.
    pub async fn falls(mut self) {
        self.process.kill().await.expect("it runs until it is killed");
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }
}

fn copies(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder can be made");
    for entry in std::fs::read_dir(from).expect("a folder can be read") {
        let entry = entry.expect("a folder can be read");
        let (kind, to) = (entry.file_type().expect("it has a type"), to.join(entry.file_name()));
        if kind.is_dir() {
            copies(&entry.path(), &to);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), to).expect("a file can be copied");
        }
    }
}
