//! The model reference as files: read at the start, and again whenever they change.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::Host;
use crate::domain::models::ModelReference;

/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Largest file that is read, in bytes.
const LARGEST: u64 = 64 << 20;

/// What tells that a file changed: when it was written last, and its size. `None`: it is not there.
type Stamp = Option<(SystemTime, u64)>;

/// The files of a model reference.
#[derive(Debug)]
pub struct ReferenceFiles {
    paths: Vec<PathBuf>,
    stamps: Vec<Stamp>,
}

impl ReferenceFiles {
    /// Reads the reference: what is built in if there are no files, and else what stands in them. Of a
    /// model in several of them the last one counts.
    ///
    /// # Errors
    /// A file cannot be read, or understood; which, and why.
    pub fn open(paths: &[PathBuf]) -> Result<(Self, ModelReference), String> {
        let files = Self { paths: paths.to_vec(), stamps: paths.iter().map(|path| stamp(path)).collect() };
        let models = files.read()?;
        Ok((files, models))
    }

    /// The reference anew, if a file changed since it was read or tried last, or if `is_wanted` anyway.
    fn reread(&mut self, is_wanted: bool) -> Option<Result<ModelReference, String>> {
        let stamps: Vec<_> = self.paths.iter().map(|path| stamp(path)).collect();
        if stamps == self.stamps && !is_wanted {
            return None;
        }
        self.stamps = stamps;
        Some(self.read())
    }

    fn read(&self) -> Result<ModelReference, String> {
        if self.paths.is_empty() {
            return Ok(ModelReference::built_in());
        }
        let mut models = ModelReference::default();
        for path in &self.paths {
            let shown = path.display();
            let text =
                read(path).map_err(|why| format!("the model reference {shown} cannot be read: {why}"))?;
            let read = ModelReference::read(&text)
                .map_err(|why| format!("the model reference {shown} is not of the expected shape: {why}"))?;
            models.merge(read);
        }
        Ok(models)
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

/// Hands the engine the reference anew each time its files change, until the broker stops: within a
/// minute, or at once on SIGHUP. Files that are broken leave the reference as it is.
pub async fn follow(host: Host, mut files: ReferenceFiles) {
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
            Some(Err(why)) => tracing::error!("{why}; what was known of models before still holds"),
            Some(Ok(models)) => {
                let (drawing, writing) = (models.image.len(), models.text.len());
                let models = Arc::new(models);
                host.order(move |engine, _, _| engine.learn_models(models)).await;
                tracing::info!(drawing, writing, "the model reference was read again");
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
        assert!(ReferenceFiles::open(&[first.clone(), second.clone()]).unwrap_err().contains("b.json"));
        write(&second, r#"{"text": {"t": {"parameters": 3e9}}}"#);
        let (mut files, models) = ReferenceFiles::open(&[first.clone(), second.clone()]).unwrap();
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
        let (_, models) = ReferenceFiles::open(&[]).unwrap();
        assert_eq!(models, ModelReference::built_in());
    }
}
