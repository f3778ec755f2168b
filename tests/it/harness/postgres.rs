//! A PostgreSQL server of our own on a free port of this machine, and a database for each test.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, OnceLock},
    time::{Duration, Instant},
};

use gridbroker::config::SecretUrl;
use sqlx::{Connection, PgConnection};

use super::Authority;

/// Runs the server for as long as somebody holds the other end of its standard input: it ends with the
/// test process, however that ends. `$1`: directory, `$2`: the server's programs, `$3`: port, `$4`: more flags.
const KEEPER: &str = r#"
trap : INT TERM HUP
start() {
    "$2/postgres" -D "$1/data" -p "$3" -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
        -c max_connections=300 -c shared_buffers=64MB -c max_wal_size=256MB $4 >>"$1/log" 2>&1 &
    server=$!
}
"$2/initdb" -D "$1/data" -U gridbroker -A scram-sha-256 --pwfile="$1/password" -E UTF8 --locale=C >"$1/log" 2>&1 || {
    cat "$1/log" >&2
    exit 1
}
start "$@"
echo "started"
while read -r word; do
    case $word in
    crash) kill -QUIT "$server"; wait "$server"; start "$@"; echo "restarted" ;;
    restart) kill -INT "$server"; wait "$server"; start "$@"; echo "restarted" ;;
    stop) kill -QUIT "$server"; wait "$server"; echo "stopped" ;;
    start) start "$@"; echo "started" ;;
    esac
done
kill -INT "$server"
wait "$server"
cd / && rm -rf "$1"
"#;

const PASSWORD: &str = "a-test-password";

/// A running server. Stopped, and its files removed, when it is dropped or this process ends.
pub struct PostgresServer {
    keeper: Mutex<Child>,
    answers: Mutex<BufReader<std::process::ChildStdout>>,
    port: u16,
}

/// The server that tests share.
pub fn postgres() -> &'static PostgresServer {
    static SERVER: OnceLock<PostgresServer> = OnceLock::new();
    SERVER.get_or_init(PostgresServer::start)
}

impl PostgresServer {
    /// Starts one; it may take a moment until it answers.
    pub fn start() -> Self {
        Self::with(None)
    }

    /// Starts one that has a certificate for those who want to speak TLS.
    pub fn secured(authority: &Authority) -> Self {
        Self::with(Some(authority))
    }

    fn with(authority: Option<&Authority>) -> Self {
        let programs = programs();
        let dir = tempfile::Builder::new().prefix("gridbroker-pg-").tempdir().unwrap().keep();
        std::fs::write(dir.join("password"), PASSWORD).unwrap();
        let mut flags = String::new();
        if let Some(authority) = authority {
            let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
            std::fs::copy(authority.certificate(), &cert).unwrap();
            std::fs::copy(authority.key(), &key).unwrap();
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
            let (cert, key) = (cert.display(), key.display());
            flags = format!("-c ssl=on -c ssl_cert_file={cert} -c ssl_key_file={key}");
        }
        let mut command = as_somebody(&dir);
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let keeper = command
            .args(["sh", "-c", KEEPER, "sh"])
            .args([&dir, &programs])
            .arg(port.to_string())
            .arg(flags)
            .current_dir(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut keeper = keeper.expect("a shell can be started");
        let answers = Mutex::new(BufReader::new(keeper.stdout.take().unwrap()));
        let server = Self { keeper: Mutex::new(keeper), answers, port };
        assert_eq!(server.answer(), "started", "initdb failed; what it said stands above");
        server
    }

    fn answer(&self) -> String {
        let mut line = String::new();
        self.answers.lock().unwrap().read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn asks(&self, word: &str, answer: &str) {
        let line = format!("{word}\n");
        self.keeper.lock().unwrap().stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
        assert_eq!(self.answer(), answer);
    }

    /// Ends it as a power cut would, and starts it again.
    pub fn crash(&self) {
        self.asks("crash", "restarted");
    }

    /// Ends it as an operator in a hurry does, who breaks its connections off, and starts it again.
    pub fn restart(&self) {
        self.asks("restart", "restarted");
    }

    /// Ends it as a power cut would.
    pub fn stop(&self) {
        self.asks("stop", "stopped");
    }

    /// Starts it after [`PostgresServer::stop`]; it may take a moment until it answers.
    pub fn start_again(&self) {
        self.asks("start", "started");
    }

    /// Its port on the loopback interface.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of one of its databases.
    pub fn url(&self, database: &str) -> SecretUrl {
        self.url_by(self.port, database)
    }

    /// The same through another port.
    pub fn url_by(&self, port: u16, database: &str) -> SecretUrl {
        SecretUrl::new(format!("postgres://gridbroker:{PASSWORD}@127.0.0.1:{port}/{database}"))
    }

    /// Makes a database; returns its name.
    pub async fn database(&self) -> String {
        let name = format!("t{}", uuid::Uuid::new_v4().simple());
        let mut connection = self.connection("postgres").await;
        let statement = format!("CREATE DATABASE {name} TEMPLATE template0");
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
        name
    }

    /// A plain connection, once the server answers.
    pub async fn connection(&self, database: &str) -> PgConnection {
        let since = Instant::now();
        loop {
            match PgConnection::connect(self.url(database).expose()).await {
                Ok(connection) => return connection,
                Err(error) if since.elapsed() > super::PATIENCE => panic!("no server: {error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        let keeper = self.keeper.get_mut().unwrap();
        drop(keeper.stdin.take());
        let _ = keeper.wait();
    }
}

/// Where `initdb` and `postgres` are: on the path, or where Debian puts them.
fn programs() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut debian: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    debian.sort();
    places.extend(debian.into_iter().rev());
    let has_both = |place: &PathBuf| ["initdb", "postgres"].iter().all(|name| place.join(name).is_file());
    places.into_iter().find(has_both).expect("PostgreSQL is not installed: .ci/test installs it")
}

/// Begins a command as a user that PostgreSQL accepts, who then owns the directory: it refuses root.
fn as_somebody(dir: &Path) -> Command {
    let number = |flag: &str, user: &str| {
        let output = Command::new("id").args([flag, user]).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse::<u32>().ok()
    };
    let me = String::from_utf8(Command::new("id").arg("-u").output().unwrap().stdout).unwrap();
    if me.trim() != "0" {
        return Command::new("env");
    }
    let ids = |user: &str| Some((number("-u", user)?, number("-g", user)?));
    let (user, group) = ["postgres", "nobody"].into_iter().find_map(ids).expect("somebody who is not root");
    let files = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    for path in files.chain([dir.to_owned()]) {
        chown(path, Some(user), Some(group)).unwrap();
    }
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={user}"), format!("--regid={group}")]).arg("--clear-groups");
    command
}
