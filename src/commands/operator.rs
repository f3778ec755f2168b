//! What an operator's commands have in common: done by the broker that holds a data directory, or else by
//! the engine's own verb over its records.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, anyhow};
use rand::RngExt;
use tonic::{Status, transport::Channel};
use uuid::Uuid;

use crate::{
    backend::{Deed, Records, Verdict, distributed::open_records, embedded},
    config::{Config, SecretUrl},
    domain::{self, Clock, clock::SystemClock, models::ModelReference},
    engine::{Dice, Effect, Engine, Rules, Step},
    rpc::admin::admin_client::AdminClient,
    server::{admin, store::PATIENCE},
};

/// How long a process that has the directory, but no socket yet, is waited for.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(200);
/// How often a verb is tried again that others over the same records were faster than.
const MORE_TRIES: usize = 20;

/// What an operator asks for.
#[async_trait::async_trait]
pub trait Order: Sync {
    /// The answer.
    type Answer: Send;

    /// Has a broker do it.
    async fn through(&self, broker: &mut AdminClient<Channel>) -> Result<Self::Answer, Status>;

    /// Whether brokers that run must hear of it at once. What is written beside them they do not hear of.
    fn must_be_heard(&self) -> bool {
        false
    }

    /// Does it over the records of a store that no broker of this machine has.
    async fn alone(&self, records: &dyn Records) -> anyhow::Result<Self::Answer>;
}

/// Carries out an order in the store that is configured.
///
/// # Errors
/// It is refused, or neither broker nor store can be reached.
pub async fn carry_out<O: Order>(config: &Config, order: &O) -> anyhow::Result<O::Answer> {
    match &config.store.database_url {
        None => embedded(&config.store.data, order).await,
        Some(database) => over_database(&config.store.data, database, order).await,
    }
}

async fn embedded<O: Order>(data: &Path, order: &O) -> anyhow::Result<O::Answer> {
    for attempt in 1.. {
        if let Some(mut broker) = admin::connect(data).await? {
            return order.through(&mut broker).await.map_err(refused);
        }
        match embedded::open(data).await {
            Ok(store) => return order.alone(&*store.records).await,
            // A broker that is about to listen, or a command like this one.
            Err(failure) if failure.is::<embedded::InUse>() && attempt < TRIES => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(failure) => {
                let problem = format!("the store in {} cannot be opened", data.display());
                return Err(anyhow::Error::from_boxed(failure)).context(problem);
            }
        }
    }
    unreachable!("the last attempt returns")
}

/// Over PostgreSQL: through the broker whose data directory is named, or else in its tables.
async fn over_database<O: Order>(data: &Path, database: &SecretUrl, order: &O) -> anyhow::Result<O::Answer> {
    if let Some(mut broker) = admin::connect(data).await? {
        return order.through(&mut broker).await.map_err(refused);
    }
    anyhow::ensure!(
        !order.must_be_heard(),
        "no broker runs over {}: name the --data of one of those that run, or start one there, as brokers do not \
         hear of what is written beside them",
        data.display()
    );
    let records = open_records(database, PATIENCE)
        .await
        .map_err(anyhow::Error::from_boxed)
        .context("the store cannot be opened; name the --data of its broker if one runs")?;
    order.alone(&*records).await
}

/// A refusal in its own words.
pub fn refused(status: Status) -> anyhow::Error {
    anyhow!("{}", status.message())
}

/// Runs a verb of the engine over the accounts of a store, and stores what it says. Nothing else in the
/// store is touched: its requests are left to the next broker.
///
/// # Errors
/// The verb's own; the store cannot be read or written.
pub async fn act<T>(
    records: &dyn Records,
    verb: impl Fn(&mut Engine, &mut Step<'_>) -> domain::Result<T>,
) -> anyhow::Result<T> {
    let failed = |failure| anyhow::Error::from_boxed(failure).context("it could not be stored");
    // Brokers that run may do the same at the same moment.
    for _ in 0..MORE_TRIES {
        let mut engine = Engine::new(Rules::default(), Arc::new(ModelReference::default()));
        let users = records.load().await.map_err(failed)?.users;
        engine.learn_people(SystemClock.now(), users, Vec::new());
        let mut effects = Vec::new();
        let mut step = Step { now: SystemClock.now(), dice: &mut SpareDice, effects: &mut effects };
        let answer = verb(&mut engine, &mut step)?;
        let record = |effect| match effect {
            Effect::Persist(record) => Some(record),
            _ => None,
        };
        let deed: Deed = effects.into_iter().filter_map(record).collect();
        if records.commit_each(&[deed]).await.map_err(failed)?.first() == Some(&Verdict::Kept) {
            return Ok(answer);
        }
    }
    Err(anyhow!("others change accounts all the time; try again"))
}

/// Chance, for who needs it once.
pub struct SpareDice;

impl Dice for SpareDice {
    fn uuid(&mut self) -> Uuid {
        Uuid::new_v4()
    }

    fn below(&mut self, bound: u64) -> u64 {
        rand::rng().random_range(0..bound.max(1))
    }
}
