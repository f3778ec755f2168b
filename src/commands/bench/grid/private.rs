//! PostgreSQL and Redis servers of the bench's own, on free ports, in a directory that goes with them.

use std::{
    net::TcpListener,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use super::super::{
    proc,
    process::{Scratch, tail},
};
use crate::config::SecretUrl;

/// Runs both for as long as the bench holds the other end of its standard input: they end with it,
/// however it ends. PostgreSQL commits to disk as it does by default; Redis keeps nothing, as what it has
/// is built again from PostgreSQL. `$1`: directory, `$2`: PostgreSQL's programs, `$3` and `$4`: ports.
const KEEPER: &str = r#"
trap : INT TERM HUP
"$2/initdb" -D "$1/data" -U bench -A trust -E UTF8 --locale=C --no-sync || exit 1
"$2/postgres" -D "$1/data" -p "$3" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
    -c max_connections=200 &
postgres=$!
redis-server --bind 127.0.0.1 --port "$4" --dir "$1" --save "" --appendonly no --maxmemory-policy noeviction &
redis=$!
echo "started $postgres" >&3
read -r end
kill -INT "$postgres"
kill "$redis"
wait
cd / && rm -rf "$1"
"#;
/// How long `initdb` may take.
const START: Duration = Duration::from_secs(60);
/// How long the servers may take to end.
const END: Duration = Duration::from_secs(10);

/// Both servers; they end with this value.
pub struct PrivateServers {
    /// The database that every PostgreSQL server has.
    pub database_url: SecretUrl,
    /// Redis.
    pub redis_url: SecretUrl,
    keeper: Child,
    postgres: u32,
    // Goes last: the servers write down there.
    _scratch: Scratch,
}

impl PrivateServers {
    /// Starts them; it may take a moment until they answer.
    ///
    /// # Errors
    /// They are not installed, or do not start.
    pub async fn start(place: &Path) -> anyhow::Result<Self> {
        let programs = programs().context("PostgreSQL (initdb, postgres) is not installed")?;
        if !on_path().any(|place| place.join("redis-server").is_file()) {
            bail!("redis-server is not installed");
        }
        let scratch = Scratch::make(place)?;
        let log = scratch.0.join("log");
        let output = std::fs::File::create(&log)?;
        let (postgres_port, redis_port) = (free_port()?, free_port()?);
        let mut keeper = as_somebody(&scratch.0)
            .await?
            // What the script says is told apart from what the servers print.
            .args(["sh", "-c", &format!("exec 3>&1 >>\"$1/log\" 2>&1\n{KEEPER}"), "sh"])
            .args([&scratch.0, &programs])
            .args([postgres_port.to_string(), redis_port.to_string()])
            .current_dir(&scratch.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(output)
            .spawn()?;
        let mut says = BufReader::new(keeper.stdout.take().context("its output is piped")?).lines();
        let said = tokio::time::timeout(START, says.next_line()).await;
        let pid = said.ok().and_then(Result::ok).flatten();
        let pid = pid.and_then(|line| line.strip_prefix("started ")?.parse().ok());
        let Some(postgres) = pid else {
            bail!("PostgreSQL cannot be set up; its log ends in:\n{}", tail(&log));
        };
        Ok(Self {
            database_url: SecretUrl::new(format!("postgres://bench@127.0.0.1:{postgres_port}/postgres")),
            redis_url: SecretUrl::new(format!("redis://127.0.0.1:{redis_port}")),
            keeper,
            postgres,
            _scratch: scratch,
        })
    }

    /// CPU time that PostgreSQL has used so far.
    pub fn postgres_cpu(&self) -> anyhow::Result<Duration> {
        proc::family_cpu_time(self.postgres)
    }

    /// Ends them.
    pub async fn stop(mut self) {
        drop(self.keeper.stdin.take());
        // If it takes longer they end all the same.
        let _ = tokio::time::timeout(END, self.keeper.wait()).await;
    }
}

/// A port that was free a moment ago.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn on_path() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).collect::<Vec<_>>().into_iter()
}

/// Where `initdb` and `postgres` are: on the path, or where Debian puts them.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut debian: Vec<PathBuf> = versions.map(|entry| entry.path().join("bin")).collect();
    debian.sort();
    let has_both = |place: &PathBuf| ["initdb", "postgres"].iter().all(|name| place.join(name).is_file());
    on_path().chain(debian.into_iter().rev()).find(has_both)
}

/// Begins a command as a user that PostgreSQL accepts, who then owns the directory: it refuses root.
async fn as_somebody(dir: &Path) -> anyhow::Result<Command> {
    let number = async |flag: &str, user: &[&str]| {
        let output = Command::new("id").arg(flag).args(user).stderr(Stdio::null()).output().await.ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse::<u32>().ok()
    };
    if number("-u", &[]).await != Some(0) {
        return Ok(Command::new("env"));
    }
    for user in ["postgres", "nobody"] {
        let (Some(uid), Some(gid)) = (number("-u", &[user]).await, number("-g", &[user]).await) else {
            continue;
        };
        for path in [dir.to_owned(), dir.join("log")] {
            chown(path, Some(uid), Some(gid))?;
        }
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={uid}"), format!("--regid={gid}")]).arg("--clear-groups");
        return Ok(command);
    }
    bail!("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
}
