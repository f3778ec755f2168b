//! Brokers that share a database: child processes of this same program.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use futures_util::future::try_join_all;

use super::{
    super::{
        http::Connection,
        process::{Server, Target},
    },
    servers::{Database, RowCounts, Servers},
};

/// How long a broker may take until it is ready.
const READY: Duration = Duration::from_secs(30);

/// Some brokers over one database.
pub struct Grid {
    /// The brokers.
    pub nodes: Vec<Server>,
    /// What they share.
    pub database: Database,
    /// What PostgreSQL had counted once they were there.
    at_first: RowCounts,
}

impl Grid {
    /// Starts so many.
    ///
    /// # Errors
    /// The database cannot be made, or a broker does not start.
    pub async fn start(servers: &Servers, count: usize, place: &Path) -> anyhow::Result<Self> {
        let database = servers.make().await?;
        let prefix = database.prefix();
        let name = |what: &str| format!("{prefix}{what}");
        // In the environment, which nobody else can read, rather than on the command line.
        let settings = [
            ("GRIDBROKER_DATABASE_URL", database.url().expose().to_owned()),
            ("GRIDBROKER_REDIS_URL", servers.redis_url.expose().to_owned()),
            ("GRIDBROKER_JOB_STREAM_IMAGE", name("jobs:image")),
            ("GRIDBROKER_JOB_STREAM_TEXT", name("jobs:text")),
            ("GRIDBROKER_JOB_STREAM_VIDEO", name("jobs:video")),
            ("GRIDBROKER_JOB_STREAM_ALCHEMY", name("jobs:alchemy")),
            ("GRIDBROKER_STREAM_PREFIX", name("stream:")),
            // Four brokers at a time must fit into a server's default of 100.
            ("GRIDBROKER_DATABASE_CONNECTIONS", "20".to_owned()),
        ];
        let started = async {
            let mut nodes = try_join_all((0..count).map(|_| Server::node(place, &settings))).await?;
            try_join_all(nodes.iter().map(|node| ready(&node.target))).await?;
            let key = nodes[0].account(&settings).await?;
            nodes.iter_mut().for_each(|node| node.target.key.clone_from(&key));
            anyhow::Ok((nodes, servers.rows_of(&database).await?))
        };
        match started.await {
            Ok((nodes, at_first)) => Ok(Self { nodes, database, at_first }),
            Err(error) => {
                // What went wrong first is what is told.
                let _ = servers.remove(database).await;
                Err(error.context("cannot start the brokers"))
            }
        }
    }

    /// Where its brokers are.
    pub fn targets(&self) -> Vec<&Target> {
        self.nodes.iter().map(|node| &node.target).collect()
    }

    /// Ends the brokers, and removes all that was theirs. Returns what PostgreSQL has counted of them.
    pub async fn end(self, servers: &Servers) -> anyhow::Result<RowCounts> {
        for node in self.nodes {
            node.stop().await;
        }
        servers.is_left(&self.database).await?;
        let (first, last) = (self.at_first, servers.rows_of(&self.database).await?);
        servers.remove(self.database).await?;
        Ok(RowCounts {
            commits: last.commits - first.commits,
            inserted: last.inserted - first.inserted,
            updated: last.updated - first.updated,
            deleted: last.deleted - first.deleted,
        })
    }
}

/// Waits until a broker has its store.
async fn ready(target: &Target) -> anyhow::Result<()> {
    let since = Instant::now();
    loop {
        let mut connection = Connection::open(&target.address, &target.key).await?;
        let status = connection.get("/readyz").await.context("it does not answer")?.status;
        if status == 200 {
            return Ok(());
        }
        if since.elapsed() > READY {
            bail!("it does not become ready (status {status})");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
