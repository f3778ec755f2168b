//! `gridbroker legacy`: which paths the old server answers while this one takes its place.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tonic::{Status, transport::Channel};

use super::{
    StoreArgs,
    operator::{self, Order},
};
use crate::{
    backend::Records,
    config::Config,
    domain::route,
    rpc::admin::{
        ListRoutesRequest, ListRoutesResponse, Route, SwitchRouteRequest, admin_client::AdminClient,
    },
    server::admin,
};

/// Which paths the old server (legacy_upstream) answers.
#[derive(Args)]
pub struct LegacyArgs {
    #[command(subcommand)]
    command: LegacyCommand,
}

#[derive(Subcommand)]
enum LegacyCommand {
    /// Print the paths that were switched, and how many calls were passed on, as one line of JSON.
    List(ListArgs),
    /// Have this server answer a path and all below it from now on; what it does not know is still passed on.
    Move(PathArgs),
    /// Have the old server answer a path and all below it again.
    Return(PathArgs),
}

#[derive(Args)]
struct ListArgs {
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Args)]
struct PathArgs {
    /// The path, such as /api/v2/teams. Of several that a call lies below, the longest counts.
    #[arg(value_parser = path)]
    path: String,
    #[command(flatten)]
    store: StoreArgs,
}

fn path(text: &str) -> Result<String, &'static str> {
    route::check(text).map(|()| text.to_owned())
}

/// Runs the command.
///
/// # Errors
/// The store cannot be reached, or refuses the path.
pub async fn run(args: LegacyArgs) -> anyhow::Result<()> {
    match args.command {
        LegacyCommand::List(list) => {
            let config = list.store.load()?;
            let listed = operator::carry_out(&config, &Listing { config: &config }).await?;
            super::say(&shown(&listed).to_string())
        }
        LegacyCommand::Move(to) => switch(to, false).await,
        LegacyCommand::Return(to) => switch(to, true).await,
    }
}

async fn switch(to: PathArgs, returned: bool) -> anyhow::Result<()> {
    let config = to.store.load()?;
    let has_others = config.store.database_url.is_some();
    // Brokers that run would not hear of what is written beside them.
    if has_others && admin::connect(&config.store.data).await?.is_none() {
        anyhow::bail!(
            "no broker runs over {}: name the --data of one of those that run, or list the path in legacy_paths",
            config.store.data.display()
        );
    }
    let request = SwitchRouteRequest { path: to.path, returned };
    operator::carry_out(&config, &request).await?;
    super::say(&json!({ "path": request.path, "answered_by": server(returned) }).to_string())
}

fn server(returned: bool) -> &'static str {
    if returned { "legacy" } else { "gridbroker" }
}

#[async_trait::async_trait]
impl Order for SwitchRouteRequest {
    type Answer = ();

    async fn through(&self, broker: &mut AdminClient<Channel>) -> Result<(), Status> {
        broker.switch_route(self.clone()).await.map(|_| ())
    }

    async fn alone(&self, records: &dyn Records) -> anyhow::Result<()> {
        let board = records.board().await.map_err(anyhow::Error::from_boxed)?;
        operator::act(records, |engine, step| {
            engine.learn_board(step, board.clone());
            engine.switch_route(step, &self.path, self.returned)
        })
        .await
    }
}

/// What there is to be listed.
struct Listing<'a> {
    config: &'a Config,
}

#[async_trait::async_trait]
impl Order for Listing<'_> {
    type Answer = ListRoutesResponse;

    async fn through(&self, broker: &mut AdminClient<Channel>) -> Result<ListRoutesResponse, Status> {
        broker.list_routes(ListRoutesRequest {}).await.map(tonic::Response::into_inner)
    }

    async fn alone(&self, records: &dyn Records) -> anyhow::Result<ListRoutesResponse> {
        let board = records.board().await.map_err(anyhow::Error::from_boxed)?;
        Ok(admin::routes(
            self.config.api.legacy_upstream.clone(),
            &self.config.api.legacy_paths,
            &board.routes,
            None,
        ))
    }
}

fn shown(listed: &ListRoutesResponse) -> Value {
    let route = |route: &Route| json!({ "path": route.path, "answered_by": server(route.returned), "calls": route.calls, "failures": route.failures });
    json!({
        "legacy_upstream": listed.upstream,
        "routes": listed.routes.iter().map(route).collect::<Vec<_>>(),
        "unknown_here": { "calls": listed.unknown_calls, "failures": listed.unknown_failures },
    })
}
