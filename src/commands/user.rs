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
    domain::{
        UserId,
        user::{KeyHash, Role},
    },
    engine::{Engine, Step},
    host::new_key,
    rpc::admin::{
        AddUserRequest, AddUserResponse, RotateKeyRequest, RotateKeyResponse, SetRoleRequest,
        SetRoleResponse, admin_client::AdminClient,
    },
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
    /// Give an account another API key and print it as one line of JSON. The old key stops at once.
    RotateKey(RotateArgs),
    /// Give an account a role, or take it, and print its roles as one line of JSON.
    SetRole(RoleArgs),
}

#[derive(Args)]
struct RotateArgs {
    /// The account: ALIAS#ID, or the ID alone.
    #[arg(value_parser = account)]
    account: i64,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Args)]
struct RoleArgs {
    /// The account: ALIAS#ID, or the ID alone.
    #[arg(value_parser = account)]
    account: i64,
    /// The role.
    #[arg(value_parser = PossibleValuesParser::new(Role::ALL.map(Role::word)))]
    role: String,
    /// Take the role instead of giving it.
    #[arg(long)]
    off: bool,
    #[command(flatten)]
    store: StoreArgs,
}

/// Reads the name of an account.
pub fn account(text: &str) -> Result<i64, String> {
    let id = UserId::parse(text).map(|id| id.0);
    id.ok_or_else(|| format!("{text:?} is no account; write it as ALIAS#ID, or as the ID alone"))
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
    match args.command {
        UserCommand::Add(add) => add_user(add).await,
        UserCommand::RotateKey(RotateArgs { account, store }) => {
            let made = operator::carry_out(&store.load()?, &RotateKeyRequest { id: account }).await?;
            let RotateKeyResponse { id, username, api_key } = made;
            super::say(&serde_json::to_string(&Rotated { id, username, api_key })?)
        }
        UserCommand::SetRole(RoleArgs { account, role, off, store }) => {
            let request = SetRoleRequest { id: account, role, has: !off };
            let SetRoleResponse { id, username, roles } =
                operator::carry_out(&store.load()?, &request).await?;
            super::say(&serde_json::to_string(&Roles { id, username, roles })?)
        }
    }
}

async fn add_user(add: AddArgs) -> anyhow::Result<()> {
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

/// An account with its new key, as it is printed.
#[derive(Serialize)]
struct Rotated {
    id: i64,
    username: String,
    api_key: String,
}

/// An account with its roles, as it is printed.
#[derive(Serialize)]
struct Roles {
    id: i64,
    username: String,
    roles: Vec<String>,
}

#[async_trait::async_trait]
impl Order for RotateKeyRequest {
    type Answer = RotateKeyResponse;

    async fn through(&self, broker: &mut AdminClient<Channel>) -> Result<RotateKeyResponse, Status> {
        broker.rotate_key(*self).await.map(tonic::Response::into_inner)
    }

    async fn alone(&self, records: &dyn Records) -> anyhow::Result<RotateKeyResponse> {
        let key = new_key();
        let (id, hash) = (UserId(self.id), KeyHash::of(&key));
        let user = operator::act(records, |engine, step| engine.rotate_key(step, id, hash)).await?;
        Ok(RotateKeyResponse { id: self.id, username: user.username(), api_key: key })
    }
}

#[async_trait::async_trait]
impl Order for SetRoleRequest {
    type Answer = SetRoleResponse;

    async fn through(&self, broker: &mut AdminClient<Channel>) -> Result<SetRoleResponse, Status> {
        broker.set_role(self.clone()).await.map(tonic::Response::into_inner)
    }

    async fn alone(&self, records: &dyn Records) -> anyhow::Result<SetRoleResponse> {
        let role = admin::named_role(&self.role).map_err(operator::refused)?;
        let (id, has) = (UserId(self.id), self.has);
        let set = |engine: &mut Engine, step: &mut Step<'_>| engine.set_roles(step, id, [(role, has)].into());
        Ok(admin::roles(&operator::act(records, set).await?))
    }
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
