//! What an operator keeps in files: read at the start, and again whenever they change.

use std::{
    marker::PhantomData,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::Host;
use crate::domain::{filters::Filters, models::ModelReference, monthly::Subscriptions};

/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Largest file that is read, in bytes.
const LARGEST: u64 = 64 << 20;

/// What tells that a file changed: when it was written last, and its size. `None`: it is not there.
type Stamp = Option<(SystemTime, u64)>;

/// Something that is read from files.
pub trait Filed: Sized + Send + Sync + 'static {
    /// What it is called in errors and in the log.
    const NAME: &'static str;

    /// What there is without files.
    fn built_in() -> Self;

    /// Reads one file.
    ///
    /// # Errors
    /// What it says cannot be understood; why.
    fn read(text: &str) -> Result<Self, String>;

    /// Adds what stands in a further file.
    fn merge(&mut self, other: Self);

    /// Hands it to the engine.
    fn learn(self: Arc<Self>, host: &Host) -> impl Future<Output = ()> + Send;
}

impl Filed for ModelReference {
    const NAME: &'static str = "model reference";

    fn built_in() -> Self {
        Self::built_in()
    }

    fn read(text: &str) -> Result<Self, String> {
        Self::read(text).map_err(|why| why.to_string())
    }

    fn merge(&mut self, other: Self) {
        self.merge(other);
    }

    async fn learn(self: Arc<Self>, host: &Host) {
        host.order(move |engine, _, _| engine.learn_models(self)).await;
    }
}

impl Filed for Filters {
    const NAME: &'static str = "prompt filters";

    fn built_in() -> Self {
        Self::default()
    }

    fn read(text: &str) -> Result<Self, String> {
        Self::read(text).map_err(|why| why.to_string())
    }

    fn merge(&mut self, other: Self) {
        // There is one file of them.
        *self = other;
    }

    async fn learn(self: Arc<Self>, host: &Host) {
        host.learn_filter_file(self).await;
    }
}

impl Filed for Subscriptions {
    const NAME: &'static str = "list of subscriptions";

    fn built_in() -> Self {
        Self::default()
    }

    fn read(text: &str) -> Result<Self, String> {
        Self::read(text)
    }

    fn merge(&mut self, other: Self) {
        // There is one file of them.
        *self = other;
    }

    async fn learn(self: Arc<Self>, host: &Host) {
        host.order(move |engine, _, _| engine.learn_subscriptions(self)).await;
    }
}

/// The files of something.
#[derive(Debug)]
pub struct Files<T> {
    paths: Vec<PathBuf>,
    stamps: Vec<Stamp>,
    kind: PhantomData<T>,
}

impl<T: Filed> Files<T> {
    /// Reads it: what is built in if there are no files, and else what stands in them. Of what stands in
    /// several of them the last one counts.
    ///
    /// # Errors
    /// A file cannot be read, or understood; which, and why.
    pub fn open(paths: &[PathBuf]) -> Result<(Self, T), String> {
        let stamps = paths.iter().map(|path| stamp(path)).collect();
        let files = Self { paths: paths.to_vec(), stamps, kind: PhantomData };
        let read = files.read()?;
        Ok((files, read))
    }

    /// It anew, if a file changed since it was read or tried last, or if `is_wanted` anyway.
    fn reread(&mut self, is_wanted: bool) -> Option<Result<T, String>> {
        let stamps: Vec<_> = self.paths.iter().map(|path| stamp(path)).collect();
        if stamps == self.stamps && !is_wanted {
            return None;
        }
        self.stamps = stamps;
        Some(self.read())
    }

    fn read(&self) -> Result<T, String> {
        let name = T::NAME;
        let mut all: Option<T> = None;
        for path in &self.paths {
            let shown = path.display();
            let text = read(path).map_err(|why| format!("the {name} {shown} cannot be read: {why}"))?;
            let read = T::read(&text)
                .map_err(|why| format!("the {name} {shown} is not of the expected shape: {why}"))?;
            match &mut all {
                Some(all) => all.merge(read),
                None => all = Some(read),
            }
        }
        Ok(all.unwrap_or_else(T::built_in))
    }
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > LARGEST {
        return Err(format!("it has {size} bytes, and {LARGEST} is the most"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

/// Hands the engine what stands in files anew each time they change, until the broker stops: within a
/// minute, or at once on SIGHUP. Files that are broken leave all as it is.
pub async fn follow<T: Filed>(host: Host, mut files: Files<T>) {
    if files.paths.is_empty() {
        return;
    }
    let stopping = host.stopping().clone();
    let mut hangup = Hangup::listen();
    loop {
        let is_wanted = tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => false,
            () = hangup.heard() => true,
        };
        let looked = tokio::task::spawn_blocking(move || {
            let reread = files.reread(is_wanted);
            (files, reread)
        });
        let Ok((back, reread)) = looked.await else { return };
        files = back;
        match reread {
            None => {}
            Some(Err(why)) => tracing::error!("{why}; what was known before still holds"),
            Some(Ok(read)) => {
                Arc::new(read).learn(&host).await;
                tracing::info!("the {} was read again", T::NAME);
            }
        }
    }
}

/// The signal that asks for files to be read again.
struct Hangup(#[cfg(unix)] Option<tokio::signal::unix::Signal>);

impl Hangup {
    #[cfg(unix)]
    fn listen() -> Self {
        let signal = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup());
        Self(signal.inspect_err(|error| tracing::warn!(%error, "SIGHUP cannot be heard")).ok())
    }

    #[cfg(not(unix))]
    fn listen() -> Self {
        Self()
    }

    async fn heard(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.0
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::price::ModelSizes;

    #[test]
    fn files_are_read_again_when_they_change_and_a_broken_one_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let [first, second] = ["a.json", "b.json"].map(|name| dir.path().join(name));
        let write = |path: &Path, text: &str| std::fs::write(path, text).unwrap();
        write(&first, r#"{"x": {"baseline": "flux_1"}, "y": {"baseline": "qwen_image"}}"#);
        assert!(
            Files::<ModelReference>::open(&[first.clone(), second.clone()]).unwrap_err().contains("b.json")
        );
        write(&second, r#"{"text": {"t": {"parameters": 3e9}}}"#);
        let (mut files, models) = Files::<ModelReference>::open(&[first.clone(), second.clone()]).unwrap();
        assert_eq!((models.baseline("x"), models.billions("t")), ("flux_1", Some(3.0)));
        assert!(files.reread(false).is_none(), "nothing changed");
        write(&second, r#"{"image": {"x": {"baseline": "stable_cascade"}}}"#);
        let models = files.reread(false).unwrap().unwrap();
        assert_eq!(models.baseline("x"), "stable_cascade", "of two files the last one counts");
        assert_eq!((models.baseline("y"), models.billions("t")), ("qwen_image", None));
        write(&second, r#"{"x": {}}"#);
        let why = files.reread(false).unwrap().unwrap_err();
        assert!(why.contains("b.json") && why.contains("\"x\""), "{why}");
        assert!(files.reread(false).is_none(), "told once");
        assert!(files.reread(true).unwrap().is_err(), "or when it is asked for");
        std::fs::remove_file(&second).unwrap();
        assert!(files.reread(false).unwrap().is_err());
    }

    #[test]
    fn without_files_what_is_built_in_holds() {
        let (_, models) = Files::<ModelReference>::open(&[]).unwrap();
        assert_eq!(models, ModelReference::built_in());
    }
    #[test]
    fn filters_are_read_again_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("filters.toml");
        let write = |pattern: &str| {
            std::fs::write(&path, format!("[[filters]]\nfilter_type = 20\nregex = '{pattern}'\n")).unwrap();
        };
        write("cubs?");
        let (mut files, filters) = Files::<Filters>::open(std::slice::from_ref(&path)).unwrap();
        assert_eq!((filters.suspicion("cub"), filters.suspicion("kitten")), (1, 0));
        write("kittens?");
        let filters = files.reread(false).unwrap().unwrap();
        assert_eq!((filters.suspicion("cub"), filters.suspicion("kitten")), (0, 1));
        write("(");
        let why = files.reread(false).unwrap().unwrap_err();
        assert!(
            why.contains("prompt filters") && why.contains("filters.toml") && why.contains("filter 1"),
            "{why}"
        );
    }
}
