//! `gridbroker sharedkey`: keys that accounts lend to others.

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Serialize;
use tonic::{Status, transport::Channel};

use super::{
    StoreArgs,
    operator::{self, Order},
    user::account,
};
use crate::{
    backend::Records,
    domain::{Error, SharedKeyId, UserId, user::KeyHash},
    engine::{Engine, Step},
    rpc::admin::{
        AddSharedKeyRequest, AddSharedKeyResponse, DropSharedKeyRequest, DropSharedKeyResponse,
        ListSharedKeysRequest, ListSharedKeysResponse, SharedKey, admin_client::AdminClient,
    },
    server::admin,
};

/// Keys that accounts lend to others.
#[derive(Args)]
pub struct SharedKeyArgs {
    #[command(subcommand)]
    command: SharedKeyCommand,
}

#[derive(Subcommand)]
enum SharedKeyCommand {
    /// Lend a key of an account and print it as one line of JSON.
    ///
    /// Whoever has it asks for images, videos and texts on the account's behalf, until its kudos are spent
    /// or its time is over. The ID is the key. Bounds of -1 do not hold.
    Add(AddArgs),
    /// Print the keys that an account lends, oldest first, each as one line of JSON.
    List(ListArgs),
    /// Lend a key no more.
    ///
    /// What was asked for with it goes on, and its owner pays.
    Drop(DropArgs),
}

#[derive(Args)]
struct ListArgs {
    /// The account that lends them: ALIAS#ID, or the ID alone.
    #[arg(value_parser = account)]
    owner: i64,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Args)]
struct DropArgs {
    /// The key, which is its ID.
    #[arg(value_parser = key)]
    id: String,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Args)]
struct AddArgs {
    /// The account that lends it: ALIAS#ID, or the ID alone.
    #[arg(value_parser = account)]
    owner: i64,
    /// What it is called: 3 to 255 characters.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Whole kudos that may be spent with it.
    #[arg(long, value_name = "N", default_value_t = 5000, allow_negative_numbers = true)]
    kudos: i64,
    /// Days until it ends.
    #[arg(long, value_name = "N", default_value_t = -1, allow_negative_numbers = true)]
    expiry_days: i64,
    /// Largest image, in pixels.
    #[arg(long, value_name = "N", default_value_t = -1, allow_negative_numbers = true)]
    max_image_pixels: i64,
    /// Most steps of an image.
    #[arg(long, value_name = "N", default_value_t = -1, allow_negative_numbers = true)]
    max_image_steps: i64,
    /// Longest text, in tokens.
    #[arg(long, value_name = "N", default_value_t = -1, allow_negative_numbers = true)]
    max_text_tokens: i64,
    #[command(flatten)]
    store: StoreArgs,
}

fn key(text: &str) -> Result<String, String> {
    let id = SharedKeyId::parse(text).map(|id| id.to_string());
    id.ok_or_else(|| format!("{text:?} is no shared key; it is a UUID"))
}

/// Runs the command.
///
/// # Errors
/// The store cannot be reached, or refuses what is asked for.
pub async fn run(args: SharedKeyArgs) -> anyhow::Result<()> {
    match args.command {
        SharedKeyCommand::Add(add) => lend(add).await,
        SharedKeyCommand::List(ListArgs { owner, store }) => {
            let listed = operator::carry_out(&store.load()?, &ListSharedKeysRequest { owner }).await?;
            for key in listed.keys {
                super::say(&serde_json::to_string(&Listed::from(key))?)?;
            }
            Ok(())
        }
        SharedKeyCommand::Drop(DropArgs { id, store }) => {
            let dropped = operator::carry_out(&store.load()?, &DropSharedKeyRequest { id }).await?;
            let DropSharedKeyResponse { id, username } = dropped;
            super::say(&serde_json::to_string(&Dropped { id, username })?)
        }
    }
}

async fn lend(add: AddArgs) -> anyhow::Result<()> {
    let config = add.store.load()?;
    let request = AddSharedKeyRequest {
        owner: add.owner,
        name: add.name,
        kudos: add.kudos,
        expiry_days: add.expiry_days,
        max_image_pixels: add.max_image_pixels,
        max_image_steps: add.max_image_steps,
        max_text_tokens: add.max_text_tokens,
    };
    let made = operator::carry_out(&config, &request).await?;
    super::say(&serde_json::to_string(&Printed::from(made))?)
}

#[async_trait::async_trait]
impl Order for AddSharedKeyRequest {
    type Answer = AddSharedKeyResponse;

    async fn through(&self, broker: &mut AdminClient<Channel>) -> Result<AddSharedKeyResponse, Status> {
        broker.add_shared_key(self.clone()).await.map(tonic::Response::into_inner)
    }

    async fn alone(&self, records: &dyn Records) -> anyhow::Result<AddSharedKeyResponse> {
        let new = admin::new_shared_key(self.clone());
        let key = operator::act(records, |engine, step| {
            let key = engine.lend(step, new.clone())?;
            let username = engine.user(key.owner).map(|user| user.username()).unwrap_or_default();
            Ok(admin::shared_key(&key, username))
        });
        key.await
    }
}

#[async_trait::async_trait]
impl Order for ListSharedKeysRequest {
    type Answer = ListSharedKeysResponse;

    async fn through(&self, broker: &mut AdminClient<Channel>) -> Result<ListSharedKeysResponse, Status> {
        broker.list_shared_keys(*self).await.map(tonic::Response::into_inner)
    }

    async fn alone(&self, records: &dyn Records) -> anyhow::Result<ListSharedKeysResponse> {
        let id = UserId(self.owner);
        let (users, _) = records.people(&[id], &[]).await.map_err(anyhow::Error::from_boxed)?;
        Ok(admin::shared_keys(users.first().ok_or(Error::UserNotFound)?))
    }
}

#[async_trait::async_trait]
impl Order for DropSharedKeyRequest {
    type Answer = DropSharedKeyResponse;

    fn must_be_heard(&self) -> bool {
        true
    }

    async fn through(&self, broker: &mut AdminClient<Channel>) -> Result<DropSharedKeyResponse, Status> {
        broker.drop_shared_key(self.clone()).await.map(tonic::Response::into_inner)
    }

    async fn alone(&self, records: &dyn Records) -> anyhow::Result<DropSharedKeyResponse> {
        let hash = KeyHash::of(&self.id);
        let owner = records.user_by_key(hash).await.map_err(anyhow::Error::from_boxed)?;
        let owner = owner.filter(|owner| owner.key != hash).context(admin::NO_SUCH_KEY)?;
        let (id, username) = (owner.id, owner.username());
        let drop = |engine: &mut Engine, step: &mut Step<'_>| {
            let key = engine.lender(&hash).filter(|(owner, _)| *owner == id);
            let (_, key) = key.ok_or(Error::Overtaken)?;
            engine.drop_shared_key(step, id, key)
        };
        operator::act(records, drop).await?;
        Ok(DropSharedKeyResponse { id: self.id.clone(), username })
    }
}

/// A key that is listed, as it is printed.
#[derive(Serialize)]
struct Listed {
    id: String,
    username: String,
    name: Option<String>,
    kudos: i64,
    utilized: i64,
    expiry: Option<String>,
    max_image_pixels: i64,
    max_image_steps: i64,
    max_text_tokens: i64,
}

impl From<SharedKey> for Listed {
    fn from(key: SharedKey) -> Self {
        let SharedKey {
            id,
            username,
            name,
            kudos,
            utilized,
            expiry,
            max_image_pixels,
            max_image_steps,
            max_text_tokens,
        } = key;
        Self {
            id,
            username,
            name,
            kudos,
            utilized,
            expiry,
            max_image_pixels,
            max_image_steps,
            max_text_tokens,
        }
    }
}

/// A key that was dropped, as it is printed.
#[derive(Serialize)]
struct Dropped {
    id: String,
    username: String,
}

/// A key as it is printed: its members are those of the API.
#[derive(Serialize)]
struct Printed {
    id: String,
    username: String,
    name: Option<String>,
    kudos: i64,
    expiry: Option<String>,
    max_image_pixels: i64,
    max_image_steps: i64,
    max_text_tokens: i64,
}

impl From<AddSharedKeyResponse> for Printed {
    fn from(made: AddSharedKeyResponse) -> Self {
        let AddSharedKeyResponse {
            id,
            username,
            name,
            kudos,
            expiry,
            max_image_pixels,
            max_image_steps,
            max_text_tokens,
        } = made;
        Self { id, username, name, kudos, expiry, max_image_pixels, max_image_steps, max_text_tokens }
    }
}
