//! An S3 store of our own on free ports of this machine, and a bucket for each test: SeaweedFS, which
//! checks signatures as strictly as the large ones.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use gridbroker::config::{Objects, Secret};
use rusty_s3::{Credentials, S3Action, UrlStyle};

use super::free_port;

/// Runs the server for as long as somebody holds the other end of its standard input. `$1`: directory,
/// `$2`: program, `$3`: files that it leaves behind; the rest: flags.
const KEEPER: &str = r#"
directory=$1 program=$2 sockets=$3
shift 3
"$program" server "$@" >"$directory/log" 2>&1 &
server=$!
trap 'kill -9 $server 2>/dev/null; cd /; rm -rf "$directory"; rm -f $sockets' EXIT
trap : INT TERM HUP
echo $server
cat >/dev/null
"#;

/// ID of the key that may do everything.
pub const S3_KEY_ID: &str = "gridbroker-test";
/// Its secret.
pub const S3_SECRET: &str = "an-s3-secret-of-a-test";
/// Longest that the server takes to start, with everything else that starts at the same time.
const START: Duration = Duration::from_secs(60);

/// A running server.
pub struct S3Server {
    _keeper: Child,
    port: u16,
}

/// The server that tests share.
pub fn s3() -> &'static S3Server {
    static SERVER: OnceLock<S3Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        // Between the look for a free port and its use somebody else may take it.
        let server = (0..5).find_map(|_| S3Server::start());
        server.expect("weed starts")
    })
}

/// Without the program tests fail: a proof that is skipped proves nothing.
fn program() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is a folder of the target's");
    let installed = target.join("python/bin/weed");
    assert!(
        installed.exists(),
        "{} is missing: the test command, bash .ci/test, installs it",
        installed.display()
    );
    installed
}

impl S3Server {
    fn start() -> Option<Self> {
        let dir = tempfile::Builder::new().prefix("gridbroker-s3-").tempdir().expect("it can be made").keep();
        let identity = serde_json::json!({"identities": [{
            "name": "test",
            "credentials": [{"accessKey": S3_KEY_ID, "secretKey": S3_SECRET}],
            "actions": ["Admin", "Read", "Write", "List"]
        }, {
            "name": "reader",
            "credentials": [{"accessKey": "gridbroker-reader", "secretKey": S3_SECRET}],
            "actions": ["Read", "List"]
        }]});
        let config = dir.join("keys.json");
        std::fs::write(&config, identity.to_string()).expect("it can be written");
        let [master, volume, filer, port] = std::array::from_fn(|_| free_port());
        let mut flags = vec![
            format!("-dir={}", dir.display()),
            format!("-s3.config={}", config.display()),
            "-ip=127.0.0.1".into(),
            "-ip.bind=127.0.0.1".into(),
            "-filer".into(),
            "-s3".into(),
            "-master.telemetry=false".into(),
            "-master.volumeSizeLimitMB=64".into(),
            "-volume.max=2000".into(),
            "-s3.port.iceberg=0".into(),
            "-s3.port.lance=0".into(),
        ];
        let mut sockets = Vec::new();
        for (name, number) in [("master", master), ("volume", volume), ("filer", filer), ("s3", port)] {
            let grpc = free_port();
            flags.push(format!("-{name}.port={number}"));
            flags.push(format!("-{name}.port.grpc={grpc}"));
            sockets
                .push(format!("/tmp/seaweedfs-{name}-grpc-{grpc}.sock /tmp/seaweedfs-{name}-{number}.sock"));
        }
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .args([&dir, &program()])
            .arg(sockets.join(" "))
            .args(flags)
            .current_dir(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let mut server = String::new();
        let output = keeper.stdout.take().expect("it was asked for");
        BufReader::new(output).read_line(&mut server).expect("the shell says who the server is");
        let since = Instant::now();
        while since.elapsed() < START {
            let status = std::fs::read_to_string(format!("/proc/{}/stat", server.trim()));
            if status.is_ok_and(|status| status.contains(") Z ")) {
                break;
            }
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(Self { _keeper: keeper, port });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(keeper.stdin.take());
        let _ = keeper.wait();
        None
    }

    /// Its port on the loopback interface.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Settings of a broker that keeps its objects in a fresh bucket.
    pub async fn bucket(&self) -> Objects {
        let objects = Objects {
            s3_endpoint: Some(format!("http://127.0.0.1:{}", self.port)),
            s3_bucket: Some(format!("t{}", uuid::Uuid::new_v4().simple())),
            s3_access_key_id: Some(S3_KEY_ID.into()),
            s3_secret_access_key: Some(Secret::new(S3_SECRET)),
            ..Objects::default()
        };
        let (bucket, credentials) = signer(&objects);
        let since = Instant::now();
        loop {
            let made = reqwest::Client::new()
                .put(bucket.create_bucket(&credentials).sign(Duration::from_secs(60)))
                .header("content-length", 0)
                .send()
                .await;
            match made {
                Ok(answer) if answer.status() == 200 => return objects,
                other if since.elapsed() > START => panic!("no bucket: {other:?}"),
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

/// Signs for a bucket, past the broker.
pub fn signer(objects: &Objects) -> (rusty_s3::Bucket, Credentials) {
    let bucket = objects.bucket().expect("it is set up");
    let credentials = Credentials::new(bucket.key_id.clone(), bucket.secret.expose());
    let signer = rusty_s3::Bucket::new(bucket.endpoint, UrlStyle::Path, bucket.name, bucket.region);
    (signer.expect("it has a URL"), credentials)
}

/// Names of all that is in a bucket.
pub async fn names_in(objects: &Objects) -> Vec<String> {
    let (bucket, credentials) = signer(objects);
    let list = bucket.list_objects_v2(Some(&credentials)).sign(Duration::from_secs(60));
    let text = reqwest::get(list).await.expect("it answers").text().await.expect("it is whole");
    let list = rusty_s3::actions::ListObjectsV2::parse_response(&text).expect("it is a list");
    list.contents.into_iter().map(|object| object.key).collect()
}
