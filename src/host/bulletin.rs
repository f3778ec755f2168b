//! The operator's news: a file, read again when it has changed.

use std::{path::PathBuf, sync::Arc, time::SystemTime};

use parking_lot::Mutex;
use tokio::io::AsyncReadExt;

use crate::domain::bulletin::{Piece, read};

/// Largest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// The news.
#[derive(Debug, Default)]
pub struct Bulletin {
    /// `None`: there are none.
    path: Option<PathBuf>,
    /// Guards what was read last, for the few lines that it takes to look at it.
    last: Mutex<Reading>,
}

#[derive(Debug, Default)]
struct Reading {
    /// When the file was last changed, and how large it was; `None`: it was not there.
    of: Option<(SystemTime, u64)>,
    pieces: Arc<[Piece]>,
}

impl Bulletin {
    /// News from a file, which may come later.
    pub fn of(path: Option<PathBuf>) -> Self {
        Self { path, last: Mutex::default() }
    }

    /// The news, the newest first. What cannot be read is said in the log, and what was there before stays.
    pub async fn pieces(&self) -> Arc<[Piece]> {
        let Some(path) = &self.path else { return Arc::default() };
        let of =
            tokio::fs::metadata(path).await.ok().and_then(|meta| Some((meta.modified().ok()?, meta.len())));
        {
            let last = self.last.lock();
            if last.of == of {
                return last.pieces.clone();
            }
        }
        let pieces = match self.read(path).await {
            Ok(pieces) => Some(pieces),
            Err(error) => {
                tracing::error!(%error, file = %path.display(), "the news cannot be read");
                None
            }
        };
        let mut last = self.last.lock();
        last.of = of;
        if let Some(pieces) = pieces {
            last.pieces = pieces.into();
        }
        last.pieces.clone()
    }

    async fn read(&self, path: &PathBuf) -> Result<Vec<Piece>, std::io::Error> {
        let mut text = String::new();
        tokio::fs::File::open(path).await?.take(MAX_BYTES + 1).read_to_string(&mut text).await?;
        if text.len() as u64 > MAX_BYTES {
            return Err(std::io::Error::other(format!("it has more than {MAX_BYTES} bytes")));
        }
        read(&text).map_err(std::io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn news_are_read_again_once_they_change_and_stay_when_they_make_no_sense() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("news.json");
        let bulletin = Bulletin::of(Some(path.clone()));
        assert!(bulletin.pieces().await.is_empty(), "the file is not there yet");
        for (text, count, rule) in [
            ("[{}]", 1, "it is there"),
            ("[{}, {}]", 2, "it has changed"),
            ("[{}, {}, {", 2, "it makes no sense"),
            ("[{}, {}, {} ]", 3, "it makes sense again"),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(bulletin.pieces().await.len(), count, "{rule}");
        }
        std::fs::write(&path, " ".repeat(1 + MAX_BYTES as usize)).unwrap();
        assert_eq!(bulletin.pieces().await.len(), 3, "it is too large");
    }
}
