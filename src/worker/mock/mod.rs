//! A model that only pretends: texts woven from the prompt's words, landscapes painted from prompt
//! and seed, and videos in which the sun moves over them. What it makes is marked as mock, and can be computed again, so that a test can check it.

mod alchemy;
mod image;
mod text;
mod video;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use async_trait::async_trait;
use tokio::time::{MissedTickBehavior, interval};

pub use alchemy::{FORMS, transmute};
pub use image::image;
pub use text::{text, until_stop};
pub use video::video;

use super::{Form, FormTask, Image, ImageTask, Model, Offer, Progress, Skills, Text, TextTask, Video};

/// The text model that the mock serves unless told otherwise.
pub const TEXT_MODEL: &str = "mock/echo-7b";
/// The image model that the mock serves unless told otherwise.
pub const IMAGE_MODEL: &str = "stable_diffusion";
/// The video model that the mock serves unless told otherwise.
pub const VIDEO_MODEL: &str = "ltx-video";
/// The mock's own name among bridges.
const AGENT: &str = "gridbroker-mock:1:gridbroker";

/// How fast the mock pretends to be.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Pace {
    /// Tokens a second; 0: all at once.
    pub tokens_per_second: f64,
    /// Time that one image or video takes, all steps together.
    pub image: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { tokens_per_second: 50.0, image: Duration::from_secs(2) }
    }
}

impl Pace {
    /// No pretence: everything at once.
    pub const AT_ONCE: Self = Self { tokens_per_second: 0.0, image: Duration::ZERO };
}

/// The mock.
#[derive(Clone, Debug, Default)]
pub struct Mock {
    pace: Pace,
}

impl Mock {
    /// A mock of this pace.
    pub fn new(pace: Pace) -> Arc<Self> {
        Arc::new(Self { pace })
    }

    /// What it offers as a writer.
    pub fn text_offer(self: &Arc<Self>, name: &str, models: Vec<String>, slots: u32) -> Offer {
        let skills = Skills::Text { max_length: 1024, max_context_length: 8192 };
        Offer { name: name.into(), models, slots, skills, model: self.clone() }
    }

    /// What it offers as an alchemist.
    pub fn alchemy_offer(self: &Arc<Self>, name: &str, forms: Vec<String>, slots: u32) -> Offer {
        let skills = Skills::Alchemy { max_tiles: 255 };
        Offer { name: name.into(), models: forms, slots, skills, model: self.clone() }
    }

    /// What it offers as a maker of videos.
    pub fn video_offer(self: &Arc<Self>, name: &str, models: Vec<String>, slots: u32) -> Offer {
        let skills = Skills::Video { max_pixels: 1024 * 1024 };
        Offer { name: name.into(), models, slots, skills, model: self.clone() }
    }

    /// What it offers as a painter.
    pub fn image_offer(self: &Arc<Self>, name: &str, models: Vec<String>, slots: u32) -> Offer {
        let skills = Skills::Image { max_pixels: 1024 * 1024 };
        Offer { name: name.into(), models, slots, skills, model: self.clone() }
    }
}

/// Makes a file of a prompt, a seed, a width and a height.
type Painter = fn(&str, u64, u32, u32) -> Vec<u8>;

impl Mock {
    /// A picture or a video, and the seed that was used for it.
    async fn paint(
        &self,
        task: ImageTask,
        progress: Progress,
        painter: Painter,
    ) -> anyhow::Result<(Vec<u8>, i64)> {
        let payload = &task.payload;
        let prompt = payload.prompt.clone().unwrap_or_default();
        let seed = payload.seed.as_deref().and_then(|seed| seed.parse().ok()).unwrap_or(0u64);
        // Of videos each seed is told.
        let own = payload.seeds.get(task.index).and_then(|seed| u64::try_from(*seed).ok());
        let seed = own.unwrap_or(seed.wrapping_add(task.index as u64));
        let side = |pixels: i32| u32::try_from(pixels).ok().filter(|pixels| *pixels > 0).context("no size");
        let (width, height) = (side(payload.width)?, side(payload.height)?);
        let painted = tokio::task::spawn_blocking(move || painter(&prompt, seed, width, height));
        let steps = payload.ddim_steps.max(1);
        let mut pace = Ticks::new(f64::from(steps) / self.pace.image.as_secs_f64());
        for step in 1..=steps {
            pace.tick().await;
            progress.steps(step, steps);
        }
        Ok((painted.await?, i64::try_from(seed).unwrap_or(i64::MAX)))
    }
}

#[async_trait]
impl Model for Mock {
    fn bridge_agent(&self) -> &str {
        AGENT
    }

    async fn write(&self, task: TextTask, progress: Progress) -> anyhow::Result<Text> {
        let payload = &task.payload;
        let most = usize::try_from(payload.max_length).unwrap_or(0);
        let tokens = text(payload.prompt.as_deref().unwrap_or_default(), most);
        let tokens = until_stop(tokens, &payload.stop_sequence);
        let mut pace = Ticks::new(self.pace.tokens_per_second);
        for token in &tokens {
            pace.tick().await;
            progress.text(token);
        }
        Ok(Text { text: tokens.concat(), seed: 0 })
    }

    async fn draw(&self, task: ImageTask, progress: Progress) -> anyhow::Result<Image> {
        let (webp, seed) = self.paint(task, progress, image).await?;
        Ok(Image { webp, seed })
    }

    async fn film(&self, task: ImageTask, progress: Progress) -> anyhow::Result<Video> {
        let (file, seed) = self.paint(task, progress, video).await?;
        Ok(Video { file, seed })
    }

    async fn transmute(&self, task: FormTask) -> anyhow::Result<Form> {
        let made = tokio::task::spawn_blocking(move || transmute(&task.form, &task.source)).await??;
        Ok(Form { words: made.words, webp: made.webp })
    }
}

/// Ticks of so many a second.
struct Ticks(Option<tokio::time::Interval>);

impl Ticks {
    fn new(per_second: f64) -> Self {
        let ticks = (per_second.is_finite() && per_second > 0.0).then(|| {
            let mut ticks = interval(Duration::from_secs_f64(1.0 / per_second));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            ticks
        });
        Self(ticks)
    }

    async fn tick(&mut self) {
        match &mut self.0 {
            Some(ticks) => {
                ticks.tick().await;
            }
            // Others get their turn, and a stop is noticed.
            None => tokio::task::yield_now().await,
        }
    }
}
