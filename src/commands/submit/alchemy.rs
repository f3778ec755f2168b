//! `gridbroker submit alchemy`: forms done with an image.

use std::path::PathBuf;

use anyhow::{Context, bail};
use base64::{Engine, prelude::BASE64_STANDARD};
use clap::Args;
use tonic::Status;

use super::{
    ask::{Kind, cancel},
    fetch, numbered,
    show::{Show, print},
    story::Story,
    watch,
};
use crate::{
    rpc::pb,
    worker::{Connection, explain},
};

/// Flags of `gridbroker submit alchemy`.
#[derive(Args, Clone, Debug)]
pub struct AlchemyArgs {
    /// File of the image.
    pub image: PathBuf,
    /// What to do with it, several times for several forms: caption, interrogation, nsfw, vectorize, palette,
    /// describe, aesthetic, or a post-processor such as RealESRGAN_x4plus.
    #[arg(long = "form", value_name = "FORM", required = true)]
    pub forms: Vec<String>,
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
    /// Show how it goes: who does what.
    #[arg(long)]
    pub watch: bool,
    /// File to write images to that are made; those of further forms get -2, -3 … before the extension.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Submits, waits, and prints what came of each form: a line of JSON, or where its image is.
///
/// # Errors
/// In words for people: who does not answer, what was refused, why the request failed.
pub async fn run(args: &AlchemyArgs) -> anyhow::Result<()> {
    let unreadable = || format!("{} cannot be read", args.image.display());
    let image = tokio::fs::read(&args.image).await.with_context(unreadable)?;
    let connection = Connection::new(&args.server, &args.api_key)?;
    let refused = |status: Status| anyhow::anyhow!(explain(connection.server(), &status));
    let form = |name: &String| pb::AlchemyForm { name: Some(name.clone()), payload: None };
    let request = pb::SubmitAlchemyRequest {
        source_image: Some(BASE64_STANDARD.encode(image)),
        forms: args.forms.iter().map(form).collect(),
        ..Default::default()
    };
    let id = connection.generate().submit_alchemy(request).await.map_err(refused)?.into_inner().id;
    let jobs = i32::try_from(args.forms.len()).unwrap_or(i32::MAX);
    let mut show = Show::new(args.watch, Kind::Alchemy, jobs, args.output.is_some());
    show.accepted(&id);

    let mut story = Story::default();
    let watched = tokio::select! {
        watched = watch(&connection, &id, &mut story, &mut show) => watched,
        _ = tokio::signal::ctrl_c() => {
            show.close();
            cancel(&connection, &id, Kind::Alchemy).await.map_err(refused)?;
            bail!("cancelled the request");
        }
    };
    show.close();
    watched?;
    for result in story.results.values() {
        let words = result.result.clone().unwrap_or_default().0;
        let form = result.form.clone().unwrap_or_default();
        let link = words.get(&form).and_then(|value| value.as_str()).filter(|text| text.starts_with("http"));
        match (link, args.output.as_deref()) {
            (Some(link), Some(output)) => {
                let path = numbered(output, result.job);
                fetch(link, &path).await?;
                print(&format!("{}\n", path.display()));
            }
            (Some(link), None) => print(&format!("{link}\n")),
            (None, _) => print(&format!("{}\n", serde_json::Value::Object(words))),
        }
    }
    match story.failure {
        Some(failure) => bail!(failure),
        None => Ok(()),
    }
}
