//! What a worker hands back.

use serde::{Deserialize, Serialize};

use super::{AttemptId, Kudos, Timestamp, WorkerId};

/// How a delivered job went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As asked.
    Ok,
    /// Withheld by the worker.
    Censored,
    /// Withheld, and of the worst kind.
    Csam,
}

impl Verdict {
    /// The word of the legacy JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Censored => "censored",
            Self::Csam => "csam",
        }
    }
}

/// A remark of the worker about its result.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Remark {
    /// What it is about: one of the contract's closed set.
    pub about: String,
    /// What happened: one of the contract's closed set.
    pub value: String,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What a worker says of a file besides: for whoever is told of it, without meaning here.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Extras {
    /// Labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Where it can be downloaded as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download_url: Option<String>,
    /// Its size, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_size: Option<i64>,
}

impl Extras {
    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What was made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Product {
    /// A text.
    Text(String),
    /// An image, stored as the object named after its attempt.
    Image,
    /// What came of a form of alchemy. A value that is the text `R2` stands for the image that is stored as
    /// the object named after the attempt.
    Form(serde_json::Map<String, serde_json::Value>),
    /// Nothing that anybody is shown: its request was cancelled while a worker had it, who was paid.
    Void,
}

impl Product {
    /// Whether there is nothing to show.
    pub fn is_void(&self) -> bool {
        matches!(self, Self::Void)
    }
}

/// A worker's result for one attempt, as it comes in.
#[derive(Clone, PartialEq, Debug)]
pub struct Delivery {
    /// What was made.
    pub product: Product,
    /// Seed the worker used.
    pub seed: i64,
    /// How it went.
    pub verdict: Verdict,
    /// Remarks.
    pub remarks: Vec<Remark>,
    /// What else the worker says.
    pub extras: Extras,
}

/// A settled result, as it is stored and shown.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// The attempt that delivered it.
    pub attempt: AttemptId,
    /// Index of the job in its request.
    pub job: usize,
    /// Number of the attempt at this job.
    pub number: u32,
    /// What was made.
    pub product: Product,
    /// Seed the worker used.
    pub seed: i64,
    /// How it went.
    pub verdict: Verdict,
    /// Remarks.
    pub remarks: Vec<Remark>,
    /// What else the worker says.
    #[serde(default, skip_serializing_if = "Extras::is_empty")]
    pub extras: Extras,
    /// Who made it.
    pub worker: WorkerId,
    /// The worker's name at that time.
    pub worker_name: String,
    /// The model that made it.
    pub model: String,
    /// What the worker was paid, before factors of its bridge.
    pub reward: Kudos,
    /// When it was settled.
    pub settled_at: Timestamp,
}

impl Outcome {
    /// Bytes it takes in memory, roughly.
    pub fn size_bytes(&self) -> usize {
        let product = match &self.product {
            Product::Text(text) => text.len(),
            Product::Image | Product::Void => 0,
            Product::Form(result) => super::request::object_bytes(result),
        };
        let url = self.extras.download_url.as_ref().map_or(0, String::len);
        let extras = url + self.extras.tags.iter().map(|tag| tag.len() + 24).sum::<usize>();
        200 + extras + product + self.worker_name.len() + self.model.len() + self.remarks.len() * 64
    }
}
