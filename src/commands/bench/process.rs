//! The servers under load: child processes of this same program, each with a store of its own.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use super::{bare::Mouth, proc};

/// How long a server may take until it says where it listens.
const START: Duration = Duration::from_secs(30);
/// Lines of a failed server's log that are shown.
const LOG_LINES: usize = 20;

/// A setting as a variable of the environment, `GRIDBROKER_…`, and its value.
pub type Setting = (&'static str, String);

/// Arguments of every broker; the last takes the directory.
/// No worker is as fast as those that are simulated here: they are not judged.
const BROKER: [&str; 8] =
    ["serve", "--listen", "127.0.0.1:0", "--rate-limits", "off", "--judge-workers", "off", "--data"];

/// Where a load goes.
#[derive(Clone, Debug)]
pub struct Target {
    /// `ADDR` of `http://ADDR`.
    pub address: String,
    /// Key of an account that may do all that the workloads need; the bare servers ask for none.
    pub key: String,
}

/// A server in a child process; it is killed, and its store deleted, when this is dropped.
pub struct Server {
    /// Where it is.
    pub target: Target,
    child: Child,
    pid: u32,
    scratch: Scratch,
}

impl Server {
    /// Starts a broker over an empty embedded store.
    pub async fn broker(place: &Path) -> anyhow::Result<Self> {
        let scratch = Scratch::make(place)?;
        let key = add_account(&scratch.0, &[]).await.context("cannot make an account")?;
        Self::start(&BROKER, &[], key, scratch).await.context("cannot start the broker")
    }

    /// Starts a broker with settings, whose target has no key yet.
    pub async fn node(place: &Path, settings: &[Setting]) -> anyhow::Result<Self> {
        Self::start(&BROKER, settings, String::new(), Scratch::make(place)?).await
    }

    /// Makes an account through this broker, which has been started with these settings; returns its key.
    pub async fn account(&self, settings: &[Setting]) -> anyhow::Result<String> {
        add_account(&self.scratch.0, settings).await.context("cannot make an account")
    }

    /// Starts a bare equivalent over an empty store.
    pub async fn bare(mouth: Mouth, place: &Path) -> anyhow::Result<Self> {
        let scratch = Scratch::make(place)?;
        let args = ["bench", "--bare", mouth.word(), "--dir"];
        Self::start(&args, &[], "bare".into(), scratch).await.context("cannot start the bare server")
    }

    /// Starts this program with arguments of which the last one takes the directory.
    async fn start(
        args: &[&str],
        settings: &[Setting],
        key: String,
        scratch: Scratch,
    ) -> anyhow::Result<Self> {
        let log = scratch.0.join("log");
        let mut child = program(&scratch.0)?
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .args(args)
            .arg(&scratch.0)
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log)?)
            .spawn()?;
        let pid = child.id().context("the child process has just been started")?;
        let mut lines = BufReader::new(child.stdout.take().context("its output is piped")?).lines();
        let said = tokio::time::timeout(START, lines.next_line()).await;
        let Some(address) = said.ok().and_then(Result::ok).flatten().and_then(|line| address_in(&line))
        else {
            bail!("it did not say where it listens; its log ends in:\n{}", tail(&log));
        };
        // What else it prints is read and dropped, lest the pipe fill up.
        tokio::spawn(async move {
            let _ = tokio::io::copy(lines.get_mut(), &mut tokio::io::sink()).await;
        });
        Ok(Self { target: Target { address, key }, child, pid, scratch })
    }

    /// CPU time that it has used so far.
    pub fn cpu_time(&self) -> anyhow::Result<Duration> {
        proc::cpu_time(self.pid)
    }

    /// Its memory in RAM, in bytes.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        proc::resident_bytes(self.pid)
    }

    /// Ends it.
    pub async fn stop(mut self) {
        // On failure it is gone already.
        let _ = self.child.kill().await;
    }
}

/// This program, to be started with nothing of the caller's own settings.
fn program(data: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GRIDBROKER_") {
            command.env_remove(name);
        }
    }
    // Another directory, so that no `.env` of the caller is read.
    command.current_dir(data).stdin(Stdio::null()).kill_on_drop(true);
    Ok(command)
}

async fn add_account(data: &Path, settings: &[Setting]) -> anyhow::Result<String> {
    #[derive(serde::Deserialize)]
    struct Account {
        api_key: String,
    }
    const ROLES: [&str; 6] = ["--role", "trusted", "--role", "customizer", "--role", "special"];
    const LIMITS: [&str; 6] =
        ["--kudos", "1000000000", "--concurrency", "1000000", "--worker-invites", "1000000"];
    let output = program(data)?
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .args(["user", "add", "bench", "--data"])
        .arg(data)
        .args(ROLES)
        .args(LIMITS)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .await?;
    if !output.status.success() {
        bail!("`user add` says: {}", String::from_utf8_lossy(&output.stderr));
    }
    let account: Account = serde_json::from_slice(&output.stdout).context("`user add` prints JSON")?;
    Ok(account.api_key)
}

/// The address in what a server says first, `… listens on http://ADDR`.
fn address_in(line: &str) -> Option<String> {
    let address = line.split_ascii_whitespace().find_map(|word| word.strip_prefix("http://"))?;
    Some(address.trim_end_matches('/').to_owned())
}

/// The end of a log.
pub fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

/// A directory of our own; deleted when this is dropped.
pub struct Scratch(pub PathBuf);

impl Scratch {
    /// Makes an empty directory below another one.
    pub fn make(place: &Path) -> anyhow::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = place.join(format!("gridbroker-bench-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A leftover in the temporary directory hurts nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Raises this process's limit of open files as far as it may go, which children inherit, and
/// returns what is in force then.
pub async fn raise_open_files_limit() -> u64 {
    let Some((soft, hard)) = proc::open_files_limit() else { return 1024 };
    if soft < hard && hard != u64::MAX {
        // Without the tool the limit stays, and fewer streams are opened.
        let _ = Command::new("prlimit")
            .args(["--pid", &std::process::id().to_string(), &format!("--nofile={hard}:{hard}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .await;
    }
    proc::open_files_limit().map_or(soft, |(soft, _)| soft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_found_in_what_a_server_says() {
        let address = Some("127.0.0.1:7001".to_owned());
        assert_eq!(address_in("gridbroker listens on http://127.0.0.1:7001"), address);
        assert_eq!(address_in("listening on http://127.0.0.1:7001/ now"), address);
        assert_eq!(address_in("no address here"), None);
    }

    #[test]
    fn scratch_directory_is_gone_with_its_owner() {
        let scratch = Scratch::make(&std::env::temp_dir()).unwrap();
        let path = scratch.0.clone();
        std::fs::write(path.join("file"), "x").unwrap();
        drop(scratch);
        assert!(!path.exists());
    }
}
