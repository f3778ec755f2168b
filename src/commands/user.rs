//! `gridbroker user`: accounts.

use clap::{Args, Subcommand, builder::PossibleValuesParser};
use serde::Serialize;
use tonic::{Status, transport::Channel};

use super::{
    StoreArgs,
    operator::{self, Order},
};
use crate::{
    backend::Records,
    domain::user::Role,
    rpc::admin::{AddUserRequest, AddUserResponse, admin_client::AdminClient},
    server::admin,
};

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
    let made = operator::carry_out(&config, &request).await?;
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

#[async_trait::async_trait]
impl Order for AddUserRequest {
    type Answer = AddUserResponse;

    async fn through(&self, broker: &mut AdminClient<Channel>) -> Result<AddUserResponse, Status> {
        broker.add_user(self.clone()).await.map(tonic::Response::into_inner)
    }

    async fn alone(&self, records: &dyn Records) -> anyhow::Result<AddUserResponse> {
        let (new, key) = admin::new_user(self.clone()).map_err(operator::refused)?;
        let user = operator::act(records, |engine, step| engine.add_user(step, new.clone())).await?;
        Ok(admin::answer(&user, key))
    }
}
