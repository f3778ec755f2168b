//! What does the work of a worker: the joint where a bridge to a real back end goes in.

use std::sync::Arc;

use async_trait::async_trait;

use crate::rpc::pb::{ImagePayload, TextPayload};

use super::reports::Reports;

/// Makes texts, images, videos, or several of these. Dropping its future stops the work.
#[async_trait]
pub trait Model: Send + Sync {
    /// Its software, as `name:version:url`; decides what the broker thinks it is able to do.
    fn bridge_agent(&self) -> &str;

    /// Continues a text; each part is reported as it is there.
    ///
    /// # Errors
    /// Whatever makes the job fail; it goes to another worker then.
    async fn write(&self, task: TextTask, progress: Progress) -> anyhow::Result<Text>;

    /// Does a form of alchemy with an image.
    ///
    /// # Errors
    /// As [`Model::write`]; whoever does none need not say so.
    async fn transmute(&self, task: FormTask) -> anyhow::Result<Form> {
        anyhow::bail!("{} does no alchemy", task.form)
    }

    /// Draws an image; each step is reported as it is done.
    ///
    /// # Errors
    /// As [`Model::write`].
    async fn draw(&self, task: ImageTask, progress: Progress) -> anyhow::Result<Image>;

    /// Makes a video; each step is reported as it is done.
    ///
    /// # Errors
    /// As [`Model::write`]; whoever makes none need not say so.
    async fn film(&self, task: ImageTask, progress: Progress) -> anyhow::Result<Video> {
        let _ = progress;
        anyhow::bail!("{} makes no videos", task.model)
    }
}

/// A text to write.
#[derive(Clone, PartialEq, Debug)]
pub struct TextTask {
    /// Which of the worker's models to use.
    pub model: String,
    /// What to write.
    pub payload: TextPayload,
    /// Place in its batch, from 0.
    pub index: usize,
}

/// A text, and what made it.
#[derive(Clone, PartialEq, Debug)]
pub struct Text {
    /// The parts reported, joined.
    pub text: String,
    /// Seed used; 0: none.
    pub seed: i64,
}

/// An image to draw, or a video to make.
#[derive(Clone, PartialEq, Debug)]
pub struct ImageTask {
    /// Which of the worker's models to use.
    pub model: String,
    /// What to draw.
    pub payload: ImagePayload,
    /// Place in its batch, from 0; those of a batch differ by their seed.
    pub index: usize,
}

/// An image, and what made it.
#[derive(Clone, PartialEq, Debug)]
pub struct Image {
    /// WebP.
    pub webp: Vec<u8>,
    /// Seed used.
    pub seed: i64,
}

/// A video, and what made it.
#[derive(Clone, PartialEq, Debug)]
pub struct Video {
    /// MP4, WebM or AVI, or an animated WebP, PNG or GIF.
    pub file: Vec<u8>,
    /// Seed used.
    pub seed: i64,
}

/// A form of alchemy to do.
#[derive(Clone, PartialEq, Debug)]
pub struct FormTask {
    /// The form.
    pub form: String,
    /// As it was asked for.
    pub payload: serde_json::Map<String, serde_json::Value>,
    /// The image, in whatever format it is.
    pub source: bytes::Bytes,
}

/// What came of a form.
#[derive(Clone, PartialEq, Debug)]
pub struct Form {
    /// What is said of the image, by the name of the form.
    pub words: serde_json::Map<String, serde_json::Value>,
    /// The image that was made, as WebP.
    pub webp: Option<Vec<u8>>,
}

/// Where a model says how one job goes.
#[derive(Clone)]
pub struct Progress {
    pub(super) reports: Reports,
    pub(super) job: Arc<str>,
}

impl Progress {
    /// More of the text.
    pub fn text(&self, more: &str) {
        self.reports.text(&self.job, more);
    }

    /// Steps done, of so many.
    pub fn steps(&self, done: i32, total: i32) {
        self.reports.steps(&self.job, done, total);
    }
}
