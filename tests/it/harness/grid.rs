//! Several brokers over one PostgreSQL and one Redis, each in a process of its own.
//!
//! `GRIDBROKER_TEST_NODES=1` starts one where a test asks for several, and calls it by all their names:
//! what fails then too is no matter of several brokers.

use futures_util::future::join_all;
use gridbroker::{config::SecretUrl, domain::Kudos};
use sqlx::PgConnection;

use super::{ALICE, BOB, CAROL, Json, Node, PostgresServer, Redis, postgres};

/// What each account begins with: nobody runs out.
pub const OPENING: Kudos = Kudos::whole(10_000_000);
/// How many there are.
const NODES: usize = 3;

/// Whether one broker stands for all.
fn is_alone() -> bool {
    std::env::var_os("GRIDBROKER_TEST_NODES").is_some_and(|count| count == "1")
}

/// The brokers, and what they share. Everything ends with this value.
pub struct Grid {
    // Before the stores, so that nobody misses them.
    nodes: Vec<Node>,
    /// Its Redis.
    pub redis: Redis,
    /// A PostgreSQL of its own; `None`: a database of the server that tests share.
    own: Option<PostgresServer>,
    database: String,
}

impl Grid {
    /// Three brokers with alice, bob and carol, who never run out, over a PostgreSQL that nobody may hurt.
    pub async fn start() -> Self {
        Self::with(None, |node| node).await
    }

    /// The same over a PostgreSQL of their own.
    pub async fn with_own_postgres() -> Self {
        Self::with(Some(PostgresServer::start()), |node| node).await
    }

    /// The same as [`Grid::start`], but calls are limited as the contract says.
    pub async fn with_rate_limits() -> Self {
        Self::with(None, Node::with_rate_limits).await
    }

    /// The same as [`Grid::start`] with more settings.
    pub async fn with_flags(flags: &[String]) -> Self {
        Self::with(None, |node| node.with_flags(flags)).await
    }

    async fn with(own: Option<PostgresServer>, set: impl Fn(Node) -> Node) -> Self {
        // A provider that is installed already serves as well.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let server = own.as_ref().unwrap_or_else(|| postgres());
        let (database, redis) = (server.database().await, Redis::start());
        let redis_url = redis.settings().redis_url.expect("it has one");
        let database_url = server.url(&database);
        let flags = ["--database-url", database_url.expose(), "--redis-url", redis_url.expose()];
        let place = |name| set(Node::new(name, flags.map(str::to_owned).to_vec()));
        let count = if is_alone() { 1 } else { NODES };
        let nodes = ('A'..).take(count).map(place).collect();
        let mut grid = Self { nodes, redis, own, database };
        grid.nodes[0].starts().await;
        for (alias, key, roles) in
            [("alice", ALICE, vec![]), ("bob", BOB, vec!["trusted"]), ("carol", CAROL, vec![])]
        {
            grid.adds_user(alias, key, OPENING.floor(), 100_000, roles).await;
        }
        join_all(grid.nodes[1..].iter_mut().map(Node::starts)).await;
        grid
    }

    /// Creates an account through the first node.
    pub async fn adds_user(&self, alias: &str, key: &str, kudos: i64, concurrency: i32, roles: Vec<&str>) {
        self.nodes[0].adds_user(alias, key, kudos, concurrency, roles).await;
    }

    /// Three of its nodes.
    pub fn nodes(&self) -> [&Node; 3] {
        [0, 1, 2].map(|index| &self.nodes[index % self.nodes.len()])
    }

    /// All of them.
    pub fn all(&mut self) -> &mut [Node] {
        &mut self.nodes
    }

    /// One of them, to be hurt.
    pub fn node(&mut self, index: usize) -> &mut Node {
        let count = self.nodes.len();
        &mut self.nodes[index % count]
    }

    /// The bases of their URLs.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Node::url).collect()
    }

    /// A speaker of JSON for each node.
    pub fn json(&self, key: &str) -> [Json; 3] {
        self.nodes().map(|node| node.json(key))
    }

    /// The PostgreSQL server.
    pub fn postgres(&self) -> &PostgresServer {
        self.own.as_ref().unwrap_or_else(|| postgres())
    }

    /// A connection to the brokers' database, once the server answers.
    pub async fn books(&self) -> PgConnection {
        self.postgres().connection(&self.database).await
    }

    /// The URL of the brokers' database.
    pub fn database_url(&self) -> SecretUrl {
        self.postgres().url(&self.database)
    }

    /// The node that runs the upkeep; `None`: nobody does just now.
    pub async fn leader(&self) -> Option<usize> {
        let query = "SELECT epoch FROM leadership \
             WHERE expires_at > (extract(epoch FROM clock_timestamp()) * 1000)::BIGINT";
        let epoch: Option<i64> =
            sqlx::query_scalar(query).fetch_optional(&mut self.books().await).await.expect("there is a row");
        let said = format!("epoch={}", epoch?);
        let leads = |line: &str| line.contains("this broker runs the upkeep") && line.ends_with(&said);
        self.nodes.iter().position(|node| node.log().lines().any(leads))
    }

    /// Whatever any node said when it panicked.
    pub fn panics(&self) -> Vec<String> {
        let panicked = |line: &&str| line.contains("panicked");
        let of = |node: &Node| {
            node.log()
                .lines()
                .filter(panicked)
                .map(|line| format!("{}: {line}", node.name))
                .collect::<Vec<_>>()
        };
        self.nodes.iter().flat_map(of).collect()
    }

    /// The end of what each node logged.
    pub fn logs(&self) -> String {
        let of = |node: &Node| {
            let log = node.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(30)..].join("\n");
            format!("--- {} ---\n{last}\n", node.name)
        };
        self.nodes.iter().map(of).collect()
    }
}
