//! What the operator has to say to everybody: texts that are built in, or files, read again when they change.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use parking_lot::Mutex;

use crate::domain::document::{Operator, Topic, html};

/// Largest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// A document in its two forms.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Document {
    /// As Markdown, with its blanks filled.
    pub markdown: String,
    /// As HTML, without a page around it.
    pub html: String,
}

/// The documents.
#[derive(Debug)]
pub struct Documents {
    operator: Operator,
    /// By topic.
    readings: [Reading; 3],
}

#[derive(Debug)]
struct Reading {
    topic: Topic,
    /// `None`: the text that is built in.
    path: Option<PathBuf>,
    /// When the file was changed last, how large it was, and what it said. Guarded for the few lines that it
    /// takes to look at it.
    last: Mutex<(Stamp, Arc<Document>)>,
}

/// What tells that a file changed. `None`: it is not there.
type Stamp = Option<(SystemTime, u64)>;

impl Documents {
    /// Reads them; those without a file are built in.
    ///
    /// # Errors
    /// A file cannot be read; which, and why.
    pub async fn open(operator: Operator, path: impl Fn(Topic) -> Option<PathBuf>) -> Result<Self, String> {
        let mut readings = Vec::new();
        for topic in Topic::ALL {
            let path = path(topic);
            let (stamp, text) = match &path {
                None => (None, built_in(topic).to_owned()),
                Some(path) => {
                    let shown = path.display();
                    let read = read(path).await;
                    let text =
                        read.map_err(|why| format!("{} {shown} cannot be read: {why}", topic.word()))?;
                    (stamp(path).await, text)
                }
            };
            let last = Mutex::new((stamp, made(&operator, &text)));
            readings.push(Reading { topic, path, last });
        }
        let readings = readings.try_into().expect("there is one of each topic");
        Ok(Self { operator, readings })
    }

    /// What the service is called, where it is, and whom to write to.
    pub fn operator(&self) -> &Operator {
        &self.operator
    }

    /// A document. What cannot be read again is said in the log, and what was there before stays.
    pub async fn get(&self, topic: Topic) -> Arc<Document> {
        let reading = self.readings.iter().find(|reading| reading.topic == topic);
        let reading = reading.expect("there is one of each topic");
        let Some(path) = &reading.path else { return reading.last.lock().1.clone() };
        let now = stamp(path).await;
        {
            let last = reading.last.lock();
            if last.0 == now {
                return last.1.clone();
            }
        }
        let text = read(path).await;
        let mut last = reading.last.lock();
        last.0 = now;
        match text {
            Ok(text) => last.1 = made(&self.operator, &text),
            Err(why) => {
                tracing::error!("{} {} cannot be read again: {why}", topic.word(), path.display());
            }
        }
        last.1.clone()
    }
}

fn built_in(topic: Topic) -> &'static str {
    match topic {
        Topic::Terms => include_str!("documents/terms.md"),
        Topic::Privacy => include_str!("documents/privacy.md"),
        Topic::Sponsors => include_str!("documents/sponsors.md"),
    }
}

fn made(operator: &Operator, text: &str) -> Arc<Document> {
    let markdown = operator.fill(text);
    let html = html(&markdown);
    Arc::new(Document { markdown, html })
}

async fn stamp(path: &Path) -> Stamp {
    let metadata = tokio::fs::metadata(path).await.ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

async fn read(path: &Path) -> Result<String, String> {
    let size = tokio::fs::metadata(path).await.map_err(|error| error.to_string())?.len();
    if size > MAX_BYTES {
        return Err(format!("it has {size} bytes, and {MAX_BYTES} is the most"));
    }
    tokio::fs::read_to_string(path).await.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator() -> Operator {
        Operator { title: "Our Grid".into(), url: "https://grid.example.org".into(), contact: None }
    }

    #[tokio::test]
    async fn what_is_built_in_leaves_no_blank() {
        let documents = Documents::open(operator(), |_| None).await.unwrap();
        for topic in Topic::ALL {
            let Document { markdown, html } = &*documents.get(topic).await;
            assert!(markdown.starts_with(&format!("# {}", topic.title())), "{markdown}");
            assert!(html.starts_with(&format!("<h1>{}</h1>", topic.title())), "{html}");
            assert!(!markdown.contains("{{") && markdown.contains("Our Grid"), "{markdown}");
        }
    }

    #[tokio::test]
    async fn a_file_is_read_again_when_it_changes_and_stays_when_it_cannot_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("terms.md");
        let of_terms = |topic| (topic == Topic::Terms).then(|| path.clone());
        let why = Documents::open(operator(), of_terms).await.unwrap_err();
        assert!(why.contains("terms.md"), "{why}");
        std::fs::write(&path, "# Ours at {{url}}").unwrap();
        let documents = Documents::open(operator(), of_terms).await.unwrap();
        assert_eq!(documents.get(Topic::Terms).await.html, "<h1>Ours at https://grid.example.org</h1>");
        std::fs::write(&path, "# Others, later").unwrap();
        assert_eq!(documents.get(Topic::Terms).await.markdown, "# Others, later");
        for broken in ["x".repeat(1 + MAX_BYTES as usize).into_bytes(), vec![0xff, 0xfe]] {
            std::fs::write(&path, broken).unwrap();
            assert_eq!(documents.get(Topic::Terms).await.markdown, "# Others, later");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(documents.get(Topic::Terms).await.markdown, "# Others, later");
        assert!(documents.get(Topic::Privacy).await.markdown.starts_with("# Privacy"));
    }
}
