//! `gridbroker sharedkey`: keys that accounts lend to others.

use clap::{Args, Subcommand};
use serde::Serialize;
use tonic::{Status, transport::Channel};

use super::{
    StoreArgs,
    operator::{self, Order},
};
use crate::{
    backend::Records,
    rpc::admin::{AddSharedKeyRequest, AddSharedKeyResponse, admin_client::AdminClient},
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
}

#[derive(Args)]
struct AddArgs {
    /// The account that lends it: ALIAS#ID, or the ID alone.
    #[arg(value_parser = owner)]
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

fn owner(text: &str) -> Result<i64, String> {
    let id = text.rsplit('#').next().unwrap_or(text);
    id.parse().map_err(|_| format!("{text:?} is no account; write it as ALIAS#ID, or as the ID alone"))
}

/// Runs the command.
///
/// # Errors
/// The store cannot be reached, or refuses the key.
pub async fn run(args: SharedKeyArgs) -> anyhow::Result<()> {
    let SharedKeyCommand::Add(add) = args.command;
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
