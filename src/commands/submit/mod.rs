//! `gridbroker submit`: asks for a text, an image, a video or alchemy and waits for it.
//!
//! What was asked for goes to stdout, everything else to stderr, so that the output can be piped. A
//! connection that is lost is taken up again at the last event that arrived.

mod alchemy;
mod ask;
mod show;
mod story;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use tokio::time::{Instant, sleep};
use tonic::Status;

pub use self::{
    alchemy::AlchemyArgs,
    ask::{DrawingArgs, TextArgs},
};
use self::{
    ask::cancel,
    show::{Show, print},
    story::Story,
};
use crate::{
    rpc::pb,
    worker::{Backoff, Connection, asked_wait, explain, may_pass},
};

/// How long a lost connection is tried again.
const LOST_FOR: Duration = Duration::from_secs(60);
/// A connection that held for so long was a good one.
const GOOD: Duration = Duration::from_secs(5);

/// Flags of `gridbroker submit`.
#[derive(Args, Clone, Debug)]
pub struct SubmitArgs {
    /// What to ask for.
    #[command(subcommand)]
    pub what: What,
}

/// What to ask for.
#[derive(Subcommand, Clone, Debug)]
pub enum What {
    /// A text that continues a prompt.
    Text(TextArgs),
    /// An image of a prompt.
    Image(DrawingArgs),
    /// A video of a prompt.
    Video(DrawingArgs),
    /// What is in an image, or an image made better.
    Alchemy(AlchemyArgs),
}

/// What all kinds take but alchemy.
#[derive(Args, Clone, Debug)]
pub struct CommonArgs {
    /// The prompt.
    pub prompt: String,
    /// URL of the broker.
    #[arg(long, value_name = "URL", env = "GRIDBROKER_SERVER", default_value = "http://127.0.0.1:7001")]
    pub server: String,
    /// Key of the account that asks. Default: the anonymous account's.
    #[arg(
        long,
        value_name = "KEY",
        env = "GRIDBROKER_API_KEY",
        hide_env_values = true,
        default_value = "0000000000"
    )]
    pub api_key: String,
    /// Model that is to do it. Default: any for texts and videos, stable_diffusion for images.
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// How many to make.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=20))]
    pub n: i32,
    /// Show how it goes: place in the queue, tokens as they come, progress.
    #[arg(long)]
    pub watch: bool,
    /// File to write the result to; further ones get -2, -3 … before the extension.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Submits, waits, and prints the result.
///
/// # Errors
/// In words for people: who does not answer, what was refused, why the request failed.
pub async fn run(args: SubmitArgs) -> anyhow::Result<()> {
    let (common, wish) = match &args.what {
        What::Text(text) => (&text.common, text.wish()),
        What::Image(image) => (&image.common, image.image()),
        What::Video(video) => (&video.common, video.video()),
        What::Alchemy(forms) => return alchemy::run(forms).await,
    };
    let connection = Connection::new(&common.server, &common.api_key)?;
    let refused = |status: Status| anyhow::anyhow!(explain(connection.server(), &status));
    let kind = wish.kind();
    let (id, remarks) = wish.submit(&connection).await.map_err(refused)?;
    let mut show = Show::new(common.watch, kind, common.n, common.output.is_some());
    show.accepted(&id);
    remarks.iter().for_each(|remark| show.remark(remark));
    if common.watch
        && let Some(why) = why_nobody(&connection, &id).await
    {
        show.remark(&why);
    }

    let mut story = Story::default();
    let watched = tokio::select! {
        watched = watch(&connection, &id, &mut story, &mut show) => watched,
        _ = tokio::signal::ctrl_c() => {
            show.close();
            cancel(&connection, &id, kind).await.map_err(refused)?;
            bail!("cancelled the request");
        }
    };
    show.close();
    watched?;
    let mut texts = Vec::new();
    for result in story.results.values() {
        match (&result.img, common.output.as_deref()) {
            (None, Some(output)) => {
                let path = numbered(output, result.job);
                tokio::fs::write(&path, result.text.as_deref().unwrap_or_default())
                    .await
                    .with_context(|| format!("the text cannot be written to {}", path.display()))?;
                print(&format!("{}\n", path.display()));
            }
            (None, None) => texts.push(result),
            (Some(link), Some(output)) => {
                let path = numbered(output, result.job);
                fetch(link, &path).await?;
                print(&format!("{}\n", path.display()));
            }
            (Some(link), None) => print(&format!("{link}\n")),
        }
    }
    show.texts(&texts);
    match story.failure {
        Some(failure) => bail!(failure),
        None => Ok(()),
    }
}

/// Why no worker online may take a request; `None`: some may, or nobody can say.
async fn why_nobody(connection: &Connection, id: &str) -> Option<String> {
    let told =
        connection.generate().explain(pb::ExplainRequest { id: id.to_owned() }).await.ok()?.into_inner();
    told.workers.filter(|workers| workers.online > 0 && workers.able == 0).map(|_| told.message)
}

/// Follows the request to its end, over as many connections as it takes.
async fn watch(connection: &Connection, id: &str, story: &mut Story, show: &mut Show) -> anyhow::Result<()> {
    let mut backoff = Backoff::default();
    let mut lost_at = None;
    loop {
        let (began_at, before) = (Instant::now(), story.cursor.clone());
        let ended = follow(connection, id, story, show).await;
        if story.is_over {
            return Ok(());
        }
        let status = ended.err().unwrap_or_else(|| Status::unavailable("the broker closed the stream"));
        if story.cursor != before || began_at.elapsed() > GOOD {
            (backoff, lost_at) = (Backoff::default(), None);
        }
        if lost_at.get_or_insert_with(Instant::now).elapsed() > LOST_FOR || !may_pass(&status) {
            bail!(explain(connection.server(), &status));
        }
        let wait = backoff.wait(asked_wait(&status));
        show.remark(&format!("the connection is lost; trying again in {:.1} s", wait.as_secs_f64()));
        sleep(wait).await;
    }
}

/// Follows the request over one connection.
async fn follow(connection: &Connection, id: &str, story: &mut Story, show: &mut Show) -> Result<(), Status> {
    let request = pb::WatchRequest { id: id.to_owned(), after: story.cursor.clone() };
    let mut events = connection.generate().watch(request).await?.into_inner();
    while let Some(message) = events.message().await? {
        show.event(&message, story);
        story.take(message);
    }
    Ok(())
}

async fn fetch(link: &str, path: &Path) -> anyhow::Result<()> {
    let fetched = async { reqwest::get(link).await?.error_for_status()?.bytes().await };
    let content =
        fetched.await.map_err(|error| error.without_url()).context("the result cannot be fetched")?;
    let written = tokio::fs::write(path, content).await;
    written.with_context(|| format!("the result cannot be written to {}", path.display()))
}

/// The file of a job: the first is named as asked, the others with a number.
fn numbered(path: &Path, job: i32) -> PathBuf {
    if job == 0 {
        return path.to_owned();
    }
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{}", job + 1));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_results_get_a_number_before_the_extension() {
        assert_eq!(numbered(Path::new("a/b.webp"), 0), Path::new("a/b.webp"));
        assert_eq!(numbered(Path::new("a/b.webp"), 1), Path::new("a/b-2.webp"));
        assert_eq!(numbered(Path::new("b"), 2), Path::new("b-3"));
    }
}
