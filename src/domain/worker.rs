//! Workers: machines that run jobs, and what they say they can do.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Kudos, Timestamp, UserId, WorkerId, bridge::Bridge, request::Kind, standing::Standing, videos::Extras,
};

/// What a worker says of itself at each pop.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Profile {
    /// Models it serves.
    pub models: Vec<Arc<str>>,
    /// Its software.
    pub bridge: Bridge,
    /// Jobs it runs at a time.
    pub threads: u32,
    /// Jobs of one request that it takes in one pop.
    pub amount: u32,
    /// Takes nsfw jobs.
    pub nsfw: bool,
    /// Words that it refuses in prompts, in lower case.
    pub blacklist: Vec<String>,
    /// Accounts that it serves first, its owner aside.
    pub priority_users: Vec<UserId>,
    /// What depends on the kind.
    pub skills: Skills,
    /// What few say.
    #[serde(default)]
    pub extras: Extras,
}

/// What a worker can do, by kind.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Skills {
    /// Draws.
    Image(ImageSkills),
    /// Writes.
    Text(TextSkills),
    /// Draws what moves.
    Video(ImageSkills),
    /// Does forms of alchemy; the profile's models are their names.
    Alchemy(AlchemySkills),
}

impl Skills {
    /// What a worker can draw, still or moving.
    pub fn image(&self) -> Option<&ImageSkills> {
        match self {
            Self::Image(skills) | Self::Video(skills) => Some(skills),
            Self::Text(_) | Self::Alchemy(_) => None,
        }
    }
}

/// Which images a worker does forms of alchemy with.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct AlchemySkills {
    /// Largest image, in tiles of 512 × 512 pixels.
    pub max_tiles: u32,
}

/// What a worker can draw.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ImageSkills {
    /// Largest image, in pixels.
    pub max_pixels: i64,
    /// Takes source images.
    pub img2img: bool,
    /// Takes in- and outpainting.
    pub painting: bool,
    /// Takes source images from unvetted addresses.
    pub unsafe_ip: bool,
    /// Takes post-processing.
    pub post_processing: bool,
    /// Takes ControlNet.
    pub controlnet: bool,
    /// Takes ControlNet on SDXL.
    pub sdxl_controlnet: bool,
    /// Takes LoRAs.
    pub lora: bool,
    /// Refuses more steps than its models need.
    pub limit_max_steps: bool,
    /// Only requests whose owner can pay.
    pub require_upfront_kudos: bool,
    /// Is extra slow.
    pub extra_slow: bool,
}

/// What a worker can write.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TextSkills {
    /// Tokens it generates at most.
    pub max_length: i64,
    /// Tokens of context it takes at most.
    pub max_context_length: i64,
    /// Soft prompts it has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub softprompts: Vec<String>,
}

impl Profile {
    /// The kind of jobs it runs; one that draws may run videos besides: see [`Profile::kinds`].
    pub fn kind(&self) -> Kind {
        match self.skills {
            Skills::Image(_) => Kind::Image,
            Skills::Text(_) => Kind::Text,
            Skills::Video(_) => Kind::Video,
            Skills::Alchemy(_) => Kind::Alchemy,
        }
    }
}

/// What a worker did.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct WorkerStats {
    /// Jobs delivered.
    pub fulfilled: i64,
    /// Jobs not delivered.
    pub uncompleted: i64,
    /// Pixel-steps or tokens delivered.
    pub things: f64,
    /// Kudos for jobs.
    pub generated: Kudos,
    /// Seconds online.
    pub uptime_seconds: i64,
    /// Kudos for time online.
    #[serde(default)]
    pub uptime_kudos: Kudos,
    /// How often time online was paid for.
    #[serde(default)]
    pub uptime_rewards: i64,
    /// Seconds online that were not paid for yet.
    #[serde(default)]
    pub unpaid_seconds: i64,
    /// Things per second of the newest deliveries, newest last; at most [`WorkerStats::SAMPLES`].
    pub speeds: Vec<f64>,
}

/// What is added to a worker's figures.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct WorkerChange {
    /// Jobs delivered.
    pub fulfilled: i64,
    /// Jobs not delivered.
    pub uncompleted: i64,
    /// Pixel-steps or tokens delivered.
    pub things: f64,
    /// Kudos for jobs.
    pub generated: Kudos,
    /// Seconds online.
    pub uptime_seconds: i64,
    /// Kudos for time online.
    pub uptime_kudos: Kudos,
    /// Seconds online that are not paid for yet; negative once they are.
    pub unpaid_seconds: i64,
    /// Speed of one delivery, in things per second.
    pub speed: Option<f64>,
}

impl WorkerStats {
    /// Deliveries that the speed is averaged over.
    pub const SAMPLES: usize = 20;

    /// Adds a change.
    pub fn add(&mut self, change: &WorkerChange) {
        self.fulfilled += change.fulfilled;
        self.uncompleted += change.uncompleted;
        self.things += change.things;
        self.generated += change.generated;
        self.uptime_seconds += change.uptime_seconds;
        self.uptime_kudos += change.uptime_kudos;
        self.unpaid_seconds += change.unpaid_seconds;
        if let Some(speed) = change.speed {
            if self.speeds.len() == Self::SAMPLES {
                self.speeds.remove(0);
            }
            self.speeds.push(speed);
        }
    }

    /// Mean seconds for each thing; `None` before the first delivery.
    pub fn seconds_per_thing(&self) -> Option<f64> {
        let sum: f64 = self.speeds.iter().map(|speed| 1.0 / speed.max(f64::MIN_POSITIVE)).sum();
        (!self.speeds.is_empty()).then(|| sum / self.speeds.len() as f64)
    }

    /// Mean speed in things per second; `None` before the first delivery.
    pub fn speed(&self) -> Option<f64> {
        let sum: f64 = self.speeds.iter().sum();
        (!self.speeds.is_empty()).then(|| sum / self.speeds.len() as f64)
    }
}

/// A worker.
#[derive(Clone, PartialEq, Debug)]
pub struct Worker {
    /// Its ID.
    pub id: WorkerId,
    /// Its name, unique over all workers.
    pub name: String,
    /// Whose it is.
    pub owner: UserId,
    /// When it first popped.
    pub created_at: Timestamp,
    /// When it last popped, reported or submitted.
    pub seen_at: Timestamp,
    /// What it says of itself.
    pub profile: Profile,
    /// Takes only its owner's jobs, and tells others this.
    pub maintenance: Option<String>,
    /// What it did.
    pub stats: WorkerStats,
    /// What is thought of it.
    pub standing: Standing,
}

impl Worker {
    /// A worker is online this long after it was last heard of, in seconds.
    pub const ONLINE_SECONDS: u64 = 300;

    /// Whether it was heard of lately.
    pub fn is_online(&self, now: Timestamp) -> bool {
        now.since(self.seen_at).as_secs() <= Self::ONLINE_SECONDS
    }

    /// Seconds that it takes for a form of alchemy, or the baseline of one.
    pub fn seconds_per_form(&self) -> f64 {
        self.stats.seconds_per_thing().unwrap_or(1.0)
    }

    /// Whether its time online counts: it takes everybody's jobs.
    pub fn earns_uptime(&self) -> bool {
        self.maintenance.is_none() && !self.standing.is_paused
    }

    /// Its speed in things per second, or the baseline for its kind.
    pub fn speed(&self) -> f64 {
        self.stats.speed().unwrap_or(match self.profile.kind() {
            Kind::Image | Kind::Video => 1_000_000.0,
            Kind::Text | Kind::Alchemy => 1.0,
        })
    }
}
