//! `gridbroker worker`: serves jobs of a broker.

use std::time::Duration;

use anyhow::bail;
use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Logs,
    telemetry,
    worker::{
        self, Offer, WorkerOptions,
        mock::{self, Mock, Pace},
    },
};

/// Flags of `gridbroker worker`.
#[derive(Args, Clone, Debug)]
pub struct WorkerArgs {
    /// URL of the broker.
    #[arg(long, value_name = "URL", env = "GRIDBROKER_SERVER", default_value = "http://127.0.0.1:7001")]
    pub server: String,
    /// Key of the account that owns the worker; `gridbroker user add` prints one.
    #[arg(long, value_name = "KEY", env = "GRIDBROKER_API_KEY", hide_env_values = true)]
    pub api_key: String,
    /// Name of the worker. When it serves several kinds, -text, -image, -video and -alchemy are put
    /// after it. Default: mock-text, mock-image, mock-video and mock-alchemy.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Models to serve, separated by commas. Names with a slash are text models, those of forms (such as
    /// caption) forms of alchemy, those with `video` and those that begin with `wan` video models, others image
    /// models. Default: mock/echo-7b, stable_diffusion, ltx-video and all forms.
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub models: Vec<String>,
    /// Serve only this kind; all of `--models` are of it then.
    #[arg(long, value_name = "KIND")]
    pub kind: Option<Kind>,
    /// Jobs to run at a time, for each kind.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub slots: u32,
    /// Pretend: texts, images and videos are made from the prompt, without a model.
    #[arg(long)]
    pub mock: bool,
    /// How fast the mock writes; 0: at once.
    #[arg(long, value_name = "N", default_value_t = 50.0)]
    pub tokens_per_second: f64,
    /// How long the mock draws at one image or video; 0: no time at all.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    pub image_seconds: f64,
}

/// A kind of jobs.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Texts.
    Text,
    /// Images.
    Image,
    /// Videos.
    Video,
    /// Forms of alchemy.
    Alchemy,
}

/// Serves until interrupted, then finishes the jobs it holds.
///
/// # Errors
/// Flags that say nothing it could do; a broker that refuses the worker for good.
pub async fn run(args: WorkerArgs) -> anyhow::Result<()> {
    let offers = args.offers()?;
    telemetry::start(&Logs::default());
    let names: Vec<_> = offers.iter().map(|offer| offer.name.as_str()).collect();
    eprintln!("mock worker {} for {}; Ctrl-C stops it", names.join(" and "), args.server);
    let stop = CancellationToken::new();
    let working = worker::run(WorkerOptions::new(&args.server, &args.api_key, offers), stop.clone());
    let mut working = std::pin::pin!(working);
    tokio::select! {
        ended = &mut working => return ended,
        () = interrupted() => {}
    }
    eprintln!("finishing the jobs that are held; Ctrl-C again stops at once");
    stop.cancel();
    tokio::select! {
        ended = working => ended,
        () = interrupted() => Ok(()),
    }
}

impl WorkerArgs {
    fn offers(&self) -> anyhow::Result<Vec<Offer>> {
        if !self.mock {
            bail!("no back end is chosen; --mock is the only one so far");
        }
        let guess = |model: &str| match model.contains('/') {
            true => Kind::Text,
            false if mock::FORMS.contains(&model) => Kind::Alchemy,
            false if is_video(&model.to_lowercase()) => Kind::Video,
            false => Kind::Image,
        };
        let all = [mock::TEXT_MODEL, mock::IMAGE_MODEL, mock::VIDEO_MODEL]
            .into_iter()
            .chain(mock::FORMS)
            .map(str::to_owned);
        let models: Vec<_> = match self.models.is_empty() {
            true => all.filter(|model| self.kind.is_none_or(|kind| kind == guess(model))).collect(),
            false => self.models.clone(),
        };
        let of = |kind: Kind| -> Vec<String> {
            models.iter().filter(|model| self.kind.unwrap_or(guess(model)) == kind).cloned().collect()
        };
        let (texts, images) = (of(Kind::Text), of(Kind::Image));
        let (videos, forms) = (of(Kind::Video), of(Kind::Alchemy));
        let kinds = [&texts, &images, &videos, &forms].iter().filter(|models| !models.is_empty()).count();
        let name = |kind: &str| match &self.name {
            Some(name) if kinds > 1 => format!("{name}-{kind}"),
            Some(name) => name.clone(),
            None => format!("mock-{kind}"),
        };
        let image = match Duration::try_from_secs_f64(self.image_seconds) {
            Ok(image) => image,
            Err(_) => bail!("--image-seconds takes a number of seconds, such as 2 or 0.5"),
        };
        let mock = Mock::new(Pace { tokens_per_second: self.tokens_per_second, image });
        let mut offers = Vec::new();
        if !texts.is_empty() {
            offers.push(mock.text_offer(&name("text"), texts, self.slots));
        }
        if !images.is_empty() {
            offers.push(mock.image_offer(&name("image"), images, self.slots));
        }
        if !videos.is_empty() {
            offers.push(mock.video_offer(&name("video"), videos, self.slots));
        }
        if !forms.is_empty() {
            offers.push(mock.alchemy_offer(&name("alchemy"), forms, self.slots));
        }
        Ok(offers)
    }
}

/// Whether a name, in lower case, looks like that of a video model.
fn is_video(name: &str) -> bool {
    name.contains("video") || name.starts_with("wan")
}

/// Waits for Ctrl-C or SIGTERM.
pub(super) async fn interrupted() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated => {}
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: WorkerArgs,
    }

    fn offers(flags: &[&str]) -> Vec<(String, Vec<String>)> {
        let line = ["worker", "--mock", "--api-key", "key"].iter().chain(flags);
        let offers = Line::try_parse_from(line).unwrap_or_else(|e| panic!("{e}")).args.offers().unwrap();
        offers.into_iter().map(|offer| (offer.name, offer.models)).collect()
    }

    fn offer(name: &str, models: &[&str]) -> (String, Vec<String>) {
        (name.into(), models.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn flags_say_which_workers_there_are() {
        let (text, image) =
            (offer("mock-text", &["mock/echo-7b"]), offer("mock-image", &["stable_diffusion"]));
        let (video, alchemy) = (offer("mock-video", &["ltx-video"]), offer("mock-alchemy", &mock::FORMS));
        assert_eq!(
            offers(&[]),
            [text.clone(), image.clone(), video.clone(), alchemy.clone()],
            "all without further flags"
        );
        assert_eq!(offers(&["--kind", "video"]), [video]);
        assert_eq!(offers(&["--kind", "text"]), [text], "one of them");
        assert_eq!(offers(&["--kind", "alchemy"]), [alchemy]);
        assert_eq!(
            offers(&["--name", "w", "--models", "caption,c"]),
            [offer("w-image", &["c"]), offer("w-alchemy", &["caption"])],
            "and so do those of forms"
        );
        assert_eq!(
            offers(&["--name", "w", "--models", "a/b,c,d,Wan2.2-T2V"]),
            [offer("w-text", &["a/b"]), offer("w-image", &["c", "d"]), offer("w-video", &["Wan2.2-T2V"])],
            "the names of models say their kind"
        );
        assert_eq!(
            offers(&["--name", "w", "--models", "c"]),
            [offer("w", &["c"])],
            "one kind, the plain name"
        );
        assert_eq!(offers(&["--models", "c", "--kind", "text"]), [offer("mock-text", &["c"])]);
    }

    #[test]
    fn without_a_back_end_nothing_is_served() {
        let line = Line::try_parse_from(["worker", "--api-key", "key"]).unwrap_or_else(|e| panic!("{e}"));
        assert!(line.args.offers().is_err());
    }
}
