//! `gridbroker user`: accounts.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand, builder::PossibleValuesParser};
use rand::RngExt;
use serde::Serialize;
use uuid::Uuid;

use super::StoreArgs;
use crate::{
    backend::{Deed, Records, Verdict, distributed::open_postgres, embedded},
    config::SecretUrl,
    domain::{
        Clock,
        clock::SystemClock,
        models::ModelReference,
        user::{Role, User},
    },
    engine::{Dice, Effect, Engine, Rules, Step},
    rpc::admin::{AddUserRequest, AddUserResponse},
    server::{admin, store::PATIENCE},
};

/// How long a process that has the directory, but no socket yet, is waited for.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(200);

/// Accounts.
#[derive(Args)]
pub struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Subcommand)]
enum UserCommand {
    /// Create an account and print it as one line of JSON, with its API key.
    ///
    /// The key is not stored and is shown only this once. While a broker runs on the data directory,
    /// the account is made through it and can be used at once.
    Add(AddArgs),
}

#[derive(Args)]
struct AddArgs {
    /// Alias of the account; it is shown as ALIAS#ID.
    alias: String,
    /// Kudos to begin with, a whole number.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..=admin::MOST_KUDOS))]
    kudos: i64,
    /// What the account may do beyond the common; can be given several times.
    #[arg(long = "role", value_name = "ROLE", value_parser = PossibleValuesParser::new(Role::ALL.map(Role::word)))]
    roles: Vec<String>,
    /// Jobs of one kind that may wait at a time. [default: 30]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    concurrency: Option<i32>,
    /// Workers the account may have, if more than the common limit of 3 (trusted: 20).
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i32).range(0..))]
    worker_invites: i32,
    /// API key to set: 8 to 256 printable ASCII characters without spaces. Default: a new one is made.
    #[arg(long, value_name = "KEY", value_parser = key)]
    api_key: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
}

fn key(text: &str) -> Result<String, &'static str> {
    if admin::is_key(text) { Ok(text.to_owned()) } else { Err(admin::KEY_RULE) }
}

/// Runs the command.
///
/// # Errors
/// The store cannot be reached, or refuses the account.
pub async fn run(args: UserArgs) -> anyhow::Result<()> {
    let UserCommand::Add(add) = args.command;
    let config = add.store.load()?;
    let request = AddUserRequest {
        alias: add.alias,
        kudos: add.kudos,
        roles: add.roles,
        concurrency: add.concurrency,
        worker_invites: add.worker_invites,
        api_key: add.api_key,
    };
    let made = match &config.store.database_url {
        None => add_user(&config.store.data, request).await?,
        Some(database) => add_user_to_database(&config.store.data, database, request).await?,
    };
    super::say(&serde_json::to_string(&Printed::from(made))?)
}

/// An account as it is printed.
#[derive(Serialize)]
struct Printed {
    id: i64,
    username: String,
    api_key: String,
    kudos: i64,
    roles: Vec<String>,
}

impl From<AddUserResponse> for Printed {
    fn from(made: AddUserResponse) -> Self {
        let AddUserResponse { id, username, api_key, kudos, roles } = made;
        Self { id, username, api_key, kudos, roles }
    }
}

/// Makes an account through the broker that holds a data directory, or else in its store.
///
/// # Errors
/// The account is refused, or neither broker nor store can be reached.
pub async fn add_user(data: &Path, request: AddUserRequest) -> anyhow::Result<AddUserResponse> {
    let refused = |status: tonic::Status| anyhow!("{}", status.message());
    for attempt in 1.. {
        if let Some(mut broker) = admin::connect(data).await? {
            let made = broker.add_user(request.clone()).await;
            return made.map(tonic::Response::into_inner).map_err(refused);
        }
        match embedded::open(data).await {
            Ok(store) => return add_to(&*store.records, request).await,
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

/// The same over PostgreSQL: through the broker whose data directory is named, or else in its tables.
async fn add_user_to_database(
    data: &Path,
    database: &SecretUrl,
    request: AddUserRequest,
) -> anyhow::Result<AddUserResponse> {
    if let Some(mut broker) = admin::connect(data).await? {
        let made = broker.add_user(request).await.map_err(|status| anyhow!("{}", status.message()))?;
        return Ok(made.into_inner());
    }
    let postgres = open_postgres(database, PATIENCE)
        .await
        .map_err(anyhow::Error::from_boxed)
        .context("the store cannot be opened; name the --data of its broker if one runs")?;
    add_to(&*postgres.records, request).await
}

/// Makes an account in a store that no broker runs on, by the engine's own verb. Nothing else in
/// the store is touched: its requests are left to the next broker.
async fn add_to(records: &dyn Records, request: AddUserRequest) -> anyhow::Result<AddUserResponse> {
    let failed = |failure| anyhow::Error::from_boxed(failure).context("the account could not be stored");
    let refused = |status: tonic::Status| anyhow!("{}", status.message());
    let (new, key) = admin::new_user(request).map_err(refused)?;
    // Brokers that run may give the same ID away at the same moment.
    for _ in 0..MORE_IDS {
        let mut engine = Engine::new(Rules::default(), Arc::new(ModelReference::default()));
        let users = records.load().await.map_err(failed)?.users;
        engine.learn_people(SystemClock.now(), users, Vec::new());
        let mut effects = Vec::new();
        let mut step = Step { now: SystemClock.now(), dice: &mut SpareDice, effects: &mut effects };
        let user: User = engine.add_user(&mut step, new.clone())?;
        let record = |effect| match effect {
            Effect::Persist(record) => Some(record),
            _ => None,
        };
        let deed: Deed = effects.into_iter().filter_map(record).collect();
        if records.commit_each(&[deed]).await.map_err(failed)?.first() == Some(&Verdict::Kept) {
            return Ok(admin::answer(&user, key));
        }
    }
    Err(anyhow!("others make accounts all the time; try again"))
}

/// How often an account is given another ID.
const MORE_IDS: usize = 20;

/// Accounts are numbered, not drawn; but no dice are loaded.
struct SpareDice;

impl Dice for SpareDice {
    fn uuid(&mut self) -> Uuid {
        Uuid::new_v4()
    }

    fn below(&mut self, bound: u64) -> u64 {
        rand::rng().random_range(0..bound.max(1))
    }
}
