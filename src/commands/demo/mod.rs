//! `gridbroker demo`: the broker's main job from end to end, in one command.
//!
//! A broker on a free port with a temporary store, mock workers that hold gRPC streams as any worker
//! would, and a client that knows nothing but the JSON face: two requests, tokens as they come, a
//! progress bar, an image on disk, and a table of what happened.

mod client;
mod sse;
mod stage;
mod table;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::{client::Client, stage::Stage, table::Table};
use super::worker::interrupted;
use crate::{
    config::Config,
    domain::{
        Kudos,
        user::{KeyHash, Role},
    },
    engine::NewUser,
    server::Server,
    worker::{
        self, WorkerOptions,
        mock::{self, Mock, Pace},
    },
};

/// Flags of `gridbroker demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Stay up afterwards, and say how to try it by hand.
    #[arg(long)]
    pub keep: bool,
}

/// Where the image goes.
const FILE: &str = "gridbroker-demo.webp";
/// Longest time that the demo may take, `--keep` aside.
const LIMIT: Duration = Duration::from_secs(28);
const TEXT_PROMPT: &str = "Tell me about a lighthouse keeper, a stubborn storm and a paper boat.";
const TEXT_TOKENS: i32 = 60;
const IMAGE_PROMPT: &str = "rolling hills under a low sun";
const IMAGE_STEPS: i32 = 30;
const WORKERS: [&str; 2] = ["mock-text", "mock-image"];

/// Runs the demo.
///
/// # Errors
/// Whatever keeps it from coming to its end; nothing is left behind but the image.
pub async fn run(args: DemoArgs) -> anyhow::Result<()> {
    let mut table = Table::default();
    let directory = Temporary::new()?;
    let house = House::open(directory.path(), &mut table).await?;
    let shown = tokio::select! {
        shown = tokio::time::timeout(LIMIT, show(&house, &mut table)) => {
            shown.unwrap_or_else(|_| bail!("the demo did not come to its end within {} s", LIMIT.as_secs()))
        }
        () = interrupted() => bail!("interrupted"),
    };
    if shown.is_ok() && args.keep {
        super::say(&format!("\n{}", table.to_string().trim_end()))?;
        house.advertise()?;
        interrupted().await;
        eprintln!("stopping");
        return house.close().await;
    }
    let began_at = Instant::now();
    let closed = house.close().await;
    drop(directory);
    shown?;
    closed?;
    table.add("stopped", "workers and broker drained, temporary store removed", began_at.elapsed());
    super::say(&format!("\n{}", table.to_string().trim_end()))?;
    Ok(())
}

async fn show(house: &House, table: &mut Table) -> anyhow::Result<()> {
    let client = Client::new(house.server.url(), &house.key);
    let began_at = Instant::now();
    client.wait_for_workers(&WORKERS).await?;
    table.add("workers", "mock-text and mock-image (mock) hold gRPC pop streams", began_at.elapsed());
    let mut stage = Stage::default();
    text(&client, &mut stage, table).await?;
    image(&client, &mut stage, table).await
}

async fn text(client: &Client, stage: &mut Stage, table: &mut Table) -> anyhow::Result<()> {
    stage.title(&format!("Text (mock): {TEXT_PROMPT}"))?;
    let began_at = Instant::now();
    let id = client
        .submit(
            "/api/v2/generate/text/async",
            &json!({
                "prompt": TEXT_PROMPT,
                "params": { "max_length": TEXT_TOKENS },
                "models": [mock::TEXT_MODEL],
            }),
        )
        .await?;
    table.add("text accepted", "POST /api/v2/generate/text/async answered 202", began_at.elapsed());
    let (mut worker, mut first, mut tokens) = (String::new(), None, 0);
    let mut events = client.watch(&id).await?;
    while let Some(event) = events.next().await? {
        match event.kind.as_str() {
            "assigned" => worker = event.text("worker_name"),
            "token" => {
                first.get_or_insert_with(|| began_at.elapsed());
                tokens += 1;
                stage.token(&event.text("text"));
            }
            "faulted" => bail!("the text request failed: {}", event.text("message")),
            _ => {}
        }
    }
    stage.end()?;
    let whole = began_at.elapsed();
    let first = first.context("the text request came to its end without a token")?;
    table.add("first token", format!("from {worker}, over SSE"), first);
    table.add("text done", format!("{tokens} token events, then [DONE]"), whole);
    Ok(())
}

async fn image(client: &Client, stage: &mut Stage, table: &mut Table) -> anyhow::Result<()> {
    stage.title(&format!("Image (mock): {IMAGE_PROMPT}"))?;
    let began_at = Instant::now();
    let id = client
        .submit(
            "/api/v2/generate/async",
            &json!({
                "prompt": IMAGE_PROMPT,
                "params": { "width": 512, "height": 512, "steps": IMAGE_STEPS },
                "models": [mock::IMAGE_MODEL],
            }),
        )
        .await?;
    table.add("image accepted", "POST /api/v2/generate/async answered 202", began_at.elapsed());
    let mut worker = String::new();
    let mut events = client.watch(&id).await?;
    while let Some(event) = events.next().await? {
        match event.kind.as_str() {
            "assigned" => worker = event.text("worker_name"),
            "progress" => stage.progress(event.number("current_step"), event.number("total_steps"))?,
            "faulted" => bail!("the image request failed: {}", event.text("message")),
            _ => {}
        }
    }
    stage.end()?;
    client.wait_until_done(&id).await?;
    table.add("image done", format!("{IMAGE_STEPS} steps by {worker}; check says done"), began_at.elapsed());
    let began_at = Instant::now();
    let webp = client.image(&id).await?;
    let path = Path::new(FILE);
    tokio::fs::write(path, &webp).await.with_context(|| {
        format!("{FILE} cannot be written here; change to a directory that you may write to")
    })?;
    super::say(&format!("wrote {FILE}"))?;
    table.add("image saved", format!("{FILE}, WebP, {} KiB (mock)", webp.len() / 1024), began_at.elapsed());
    Ok(())
}

/// The broker and its workers.
struct House {
    server: Server,
    key: String,
    stop_workers: CancellationToken,
    workers: JoinHandle<anyhow::Result<()>>,
}

impl House {
    async fn open(directory: &Path, table: &mut Table) -> anyhow::Result<Self> {
        let began_at = Instant::now();
        let mut config = Config::default();
        config.server.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        config.store.data = directory.to_owned();
        let server = Server::start(config).await?;
        let url = server.url().to_owned();
        super::say(&format!("gridbroker demo: broker at {url}, workers are mocks"))?;
        table.add("broker", format!("{url}, temporary embedded store"), began_at.elapsed());

        let began_at = Instant::now();
        let key = Uuid::new_v4().simple().to_string();
        let new = NewUser {
            alias: "demo".into(),
            key: KeyHash::of(&key),
            kudos: Kudos::whole(1000),
            roles: vec![Role::Trusted, Role::Customizer],
            concurrency: 30,
            worker_invites: 0,
        };
        let user = server.add_user(new).await?;
        table.add("account", format!("{}#{}, 1000 kudos", user.alias, user.id.0), began_at.elapsed());

        let mock = Mock::new(Pace::default());
        let offers = vec![
            mock.text_offer(WORKERS[0], vec![mock::TEXT_MODEL.into()], 1),
            mock.image_offer(WORKERS[1], vec![mock::IMAGE_MODEL.into()], 1),
        ];
        let stop_workers = CancellationToken::new();
        let options = WorkerOptions::new(&url, &key, offers);
        let workers = tokio::spawn(worker::run(options, stop_workers.clone()));
        Ok(Self { server, key, stop_workers, workers })
    }

    /// Says how to go on by hand.
    fn advertise(&self) -> anyhow::Result<()> {
        let (url, key) = (self.server.url(), &self.key);
        super::say(&format!(
            r#"
The broker stays up at {url} with its mock workers; Ctrl-C stops it.
Open {url}/ in a browser for the console (its key field takes {key}), or try:

  curl -s {url}/api/v2/generate/text/async -H 'apikey: {key}' -H 'content-type: application/json' \
       -d '{{"prompt": "A paper boat at sea", "models": ["{text}"]}}'
  curl -N {url}/api/v2/generate/ID/stream          # the id of the answer; tokens as they come
  curl -s {url}/api/v2/generate/text/status/ID

  gridbroker submit text 'A paper boat at sea' --server {url} --watch
  gridbroker submit image 'A castle' --server {url} --watch --output castle.webp"#,
            text = mock::TEXT_MODEL,
        ))
    }

    async fn close(self) -> anyhow::Result<()> {
        self.stop_workers.cancel();
        let worked = self.workers.await;
        self.server.wait(std::future::ready(())).await?;
        worked?
    }
}

/// A directory that goes with this.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("gridbroker-demo-{}", Uuid::new_v4().simple()));
        std::fs::create_dir(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("note: {} is left behind: {error}", self.0.display());
        }
    }
}
