//! A broker of one's own for each test, and people who talk to it: over JSON and over gRPC.

mod certificates;
mod cluster;
mod cutter;
mod faces;
mod grid;
mod node;
mod outsider;
mod people;
mod postgres;
mod provider;
mod raw;
mod reader;
mod redis;
mod s3;
pub mod schema;
mod staller;
mod visitor;
mod wire;

use std::time::Duration;

use gridbroker::{
    config::{Config, SecretUrl},
    domain::{Kudos, user::KeyHash, user::Role},
    engine::NewUser,
    rpc::admin::AddSharedKeyRequest,
    server::Server,
};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};

pub use certificates::Authority;
pub use cluster::{Cluster, Watched, tls_query};
pub use cutter::Cutter;
pub use faces::{Refusal, Row, Verb, Verdict};
pub use grid::{Grid, OPENING};
pub use node::{Node, drawn_port};
pub use outsider::{Outsider, Reply};
pub use people::{Requester, Worker, joined_tokens};
pub use postgres::{PostgresServer, postgres};
pub use provider::{A_PERSON, CLIENT_ID, Provider, SITE_KEY};
pub use raw::Raw;
pub use reader::{Reader, Told};
pub use redis::{Queue, Redis, by_url, free_port};
pub use s3::{names_in, s3, signer};
pub use staller::Staller;
pub use visitor::{Shown, Visitor};
pub use wire::{Answer, Json};

/// The key that everybody has.
pub const ANONYMOUS: &str = "0000000000";
/// Key of alice, who asks for things.
pub const ALICE: &str = "alice-has-this-key";
/// Key of bob, who owns workers and is trusted.
pub const BOB: &str = "bob-has-this-key-00";
/// Key of carol, who is nobody in particular.
pub const CAROL: &str = "carol-has-this-key";
/// Key of mona, a moderator.
pub const MONA: &str = "mona-has-this-key-0";
/// Key of dave, whose account is to be deleted.
pub const DAVE: &str = "dave-has-this-key-0";
/// Key of mallory, who is flagged.
pub const MALLORY: &str = "mallory-has-this-key";
/// Key of ada, who runs the service.
pub const ADA: &str = "ada-has-this-key-000";
/// Key of sam, who serves others and may use special models.
pub const SAM: &str = "sam-has-this-key-00";
/// A key to be lent by nobody yet, without bounds.
pub const OPEN_KEY: AddSharedKeyRequest = AddSharedKeyRequest {
    owner: 0,
    name: None,
    kudos: -1,
    expiry_days: -1,
    max_image_pixels: -1,
    max_image_steps: -1,
    max_text_tokens: -1,
};
/// Longest that anything in a test may take before it counts as stuck.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Names the back end that brokers of the harness run on: unset, the embedded one, or `distributed`.
const STORE: &str = "GRIDBROKER_TEST_STORE";

/// Whether brokers of the harness run on PostgreSQL and Redis.
pub fn is_distributed() -> bool {
    std::env::var_os(STORE).is_some_and(|store| store == "distributed")
}

/// What a broker keeps its store in.
pub struct Home {
    /// The data directory.
    pub dir: TempDir,
    /// A database and a Redis of its own, if it runs on those.
    servers: Option<(SecretUrl, Box<dyn Queue>)>,
}

impl Home {
    async fn fresh() -> Self {
        match is_distributed() {
            true => Self::over(postgres().url(&postgres().database().await), Redis::start()),
            false => Self::embedded(),
        }
    }

    /// An embedded store.
    pub fn embedded() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        Self { dir, servers: None }
    }

    /// A database and a Redis.
    pub fn over(database: SecretUrl, queue: impl Queue + 'static) -> Self {
        Self { servers: Some((database, Box::new(queue))), ..Self::embedded() }
    }

    /// Webhooks that are still to be called.
    pub async fn webhooks(&self) -> i64 {
        use sqlx::Connection;
        let count = "SELECT count(*) FROM webhooks";
        match &self.servers {
            Some((database, _)) => {
                let connection = sqlx::PgConnection::connect(database.expose()).await;
                let mut connection = connection.expect("the server is there");
                sqlx::query_scalar(count).fetch_one(&mut connection).await.expect("it can be counted")
            }
            None => {
                let url = format!("sqlite://{}?mode=ro", self.dir.path().join("gridbroker.sqlite").display());
                let connection = sqlx::SqliteConnection::connect(&url).await;
                let mut connection = connection.expect("the file is there");
                sqlx::query_scalar(count).fetch_one(&mut connection).await.expect("it can be counted")
            }
        }
    }

    fn configure(&self, config: &mut Config) {
        if let Some((database, queue)) = &self.servers {
            config.store = queue.settings();
            config.store.database_url = Some(database.clone());
        }
        config.store.data = self.dir.path().to_owned();
    }
}

/// A broker over a fresh store on a free port.
pub struct Broker {
    url: String,
    home: Option<Home>,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Broker {
    /// A broker with alice, bob, carol, mona, dave, mallory, sam and ada.
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// The same with other settings.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::over(Home::fresh().await, change).await
    }

    /// A broker over a store that may hold something already.
    pub async fn over(home: Home, change: impl FnOnce(&mut Config)) -> Self {
        // A provider that is installed already serves as well.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut config = Config::for_testing();
        home.configure(&mut config);
        change(&mut config);
        let server = Server::start(config).await.expect("the broker starts");
        assert!(server.is_ready(), "its servers are there");
        for (alias, key, roles) in [
            ("alice", ALICE, vec![]),
            ("bob", BOB, vec![Role::Trusted, Role::Customizer]),
            ("carol", CAROL, vec![]),
            ("mona", MONA, vec![Role::Moderator]),
            ("dave", DAVE, vec![Role::Deleted]),
            ("mallory", MALLORY, vec![Role::Flagged]),
            ("sam", SAM, vec![Role::Service, Role::Special]),
            ("ada", ADA, vec![Role::Admin]),
        ] {
            // After a restart they are there already.
            let _ = server.add_user(user(alias, key, roles)).await;
        }
        let url = server.url().to_owned();
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.wait(async {
            let _ = stopped.await;
        }));
        Self { url, home: Some(home), stop: Some(stop), running }
    }

    /// Its data directory.
    pub fn data(&self) -> &std::path::Path {
        self.home.as_ref().expect("a running broker has its store").dir.path()
    }

    /// Lends a key of an account, as its operator does; the key.
    pub async fn lends(&self, key: AddSharedKeyRequest) -> String {
        let operator = gridbroker::server::admin::connect(self.data()).await.expect("its socket is there");
        let lent = operator.expect("it runs").add_shared_key(key).await.expect("it may be lent");
        lent.into_inner().id
    }

    /// Stops it in an orderly way; what it stored stays.
    pub async fn stop(mut self) -> Home {
        drop(self.stop.take());
        let stopped = tokio::time::timeout(PATIENCE, &mut self.running).await;
        stopped.expect("it stops in time").expect("it does not panic").expect("it stops without an error");
        self.home.take().expect("a running broker has its store")
    }

    /// Stops it and starts another one over the same store.
    pub async fn restart(self) -> Self {
        let home = self.stop().await;
        Self::over(home, |_| {}).await
    }

    /// Webhooks that are still to be called.
    pub async fn webhooks(&self) -> i64 {
        self.home.as_ref().expect("a running broker has its store").webhooks().await
    }

    /// Checks that refused calls left nothing: no job, no offer, no worker, and nobody paid.
    pub async fn holds_nothing(&self) {
        let anyone = self.json_without_key();
        let figures = anyone.get("/status/performance").await.ok();
        for (name, figure) in figures.as_object().into_iter().flatten() {
            assert_eq!(figure.as_f64(), Some(0.0), "{name} in {figures}");
        }
        // A call that was cut off is taken back a moment later.
        eventually(async || anyone.get("/status/heartbeat").await.ok()["active_count"] == 0).await;
        for key in [ALICE, BOB, CAROL, MONA, DAVE, MALLORY] {
            let account = self.json(key).get("/find_user").await.ok();
            // What moderators get each month is paid a minute after the start.
            let monthly = account["kudos_details"]["recurring"].as_f64();
            let kudos = account["kudos"].as_f64().zip(monthly).map(|(kudos, monthly)| kudos - monthly);
            assert_eq!((kudos, &account["worker_count"]), (Some(1000.0), &0.into()), "{account}");
        }
    }

    /// The base of its URLs.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Speaks JSON, with this key.
    pub fn json(&self, key: &str) -> Json {
        Json::new(&self.url, Some(key))
    }

    /// Speaks JSON, without a key.
    pub fn json_without_key(&self) -> Json {
        Json::new(&self.url, None)
    }

    /// Speaks gRPC.
    pub async fn channel(&self) -> tonic::transport::Channel {
        let endpoint = tonic::transport::Endpoint::from_shared(self.url.clone()).expect("the URL is one");
        endpoint.connect().await.expect("the broker is there")
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

/// Waits until something holds, which it must within [`PATIENCE`].
pub async fn eventually(holds: impl AsyncFnMut() -> bool) {
    assert!(holds_within(PATIENCE, holds).await, "it does not hold in time");
}

/// Waits until something holds; false if it does not within so long.
pub async fn holds_within(limit: Duration, mut holds: impl AsyncFnMut() -> bool) -> bool {
    let patience = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(limit, patience).await.is_ok()
}

fn user(alias: &str, key: &str, roles: Vec<Role>) -> NewUser {
    NewUser {
        alias: alias.into(),
        key: KeyHash::of(key),
        kudos: Kudos::whole(1000),
        roles,
        concurrency: 100,
        worker_invites: 0,
    }
}
