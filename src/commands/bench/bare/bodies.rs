//! The JSON bodies of the bare server: plain serde structs with the keys of the v2 API.

#![expect(dead_code, reason = "fields are read from JSON for what that costs, and then not needed")]

use serde::{Deserialize, Serialize};

/// Body of POST /generate/async.
#[derive(Deserialize)]
pub struct ImageRequest {
    pub prompt: String,
    #[serde(default)]
    pub params: ImageParams,
    #[serde(default)]
    pub nsfw: Option<bool>,
    #[serde(default)]
    pub censor_nsfw: Option<bool>,
    #[serde(default)]
    pub trusted_workers: bool,
    #[serde(default)]
    pub slow_workers: Option<bool>,
    #[serde(default)]
    pub workers: Vec<String>,
    #[serde(default)]
    pub models: Option<Vec<String>>,
    #[serde(default)]
    pub source_image: Option<String>,
    #[serde(default)]
    pub source_processing: Option<String>,
    #[serde(default)]
    pub r2: Option<bool>,
    #[serde(default)]
    pub shared: bool,
    #[serde(default)]
    pub replacement_filter: Option<bool>,
    #[serde(default)]
    pub dry_run: bool,
}

/// `params` of an image request.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct ImageParams {
    pub sampler_name: Option<String>,
    pub cfg_scale: Option<f64>,
    pub steps: Option<i32>,
    pub width: Option<i32>,
    pub height: Option<i32>,
    pub n: Option<i32>,
    pub seed: Option<String>,
    pub karras: Option<bool>,
    pub tiling: bool,
    pub hires_fix: bool,
    pub transparent: bool,
    pub denoising_strength: Option<f64>,
    pub facefixer_strength: Option<f64>,
    pub clip_skip: Option<i32>,
    pub post_processing: Vec<String>,
    pub control_type: Option<String>,
    pub image_is_control: bool,
    pub return_control_map: bool,
    pub loras: Vec<Lora>,
    pub tis: Vec<Inversion>,
}

#[derive(Deserialize)]
pub struct Lora {
    pub name: String,
    #[serde(default)]
    pub model: Option<f64>,
    #[serde(default)]
    pub clip: Option<f64>,
    #[serde(default)]
    pub inject_trigger: Option<String>,
    #[serde(default)]
    pub is_version: bool,
}

#[derive(Deserialize)]
pub struct Inversion {
    pub name: String,
    #[serde(default)]
    pub inject_ti: Option<String>,
    #[serde(default)]
    pub strength: Option<f64>,
}

/// Body of POST /generate/text/async.
#[derive(Deserialize)]
pub struct TextRequest {
    pub prompt: String,
    #[serde(default)]
    pub params: TextParams,
    #[serde(default)]
    pub models: Vec<String>,
    #[serde(default)]
    pub trusted_workers: bool,
    #[serde(default)]
    pub slow_workers: Option<bool>,
}

/// `params` of a text request.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct TextParams {
    pub n: Option<i32>,
    pub max_length: Option<i32>,
    pub max_context_length: Option<i32>,
    pub temperature: Option<f64>,
    pub top_k: Option<i32>,
    pub top_p: Option<f64>,
    pub rep_pen: Option<f64>,
    pub rep_pen_range: Option<i32>,
    pub stop_sequence: Vec<String>,
}

/// Body of POST /generate/text/pop.
#[derive(Deserialize)]
pub struct TextPop {
    pub name: String,
    #[serde(default)]
    pub models: Vec<String>,
    #[serde(default)]
    pub bridge_agent: Option<String>,
    #[serde(default)]
    pub max_length: Option<i32>,
    #[serde(default)]
    pub max_context_length: Option<i32>,
    #[serde(default)]
    pub threads: Option<i32>,
}

/// Body of POST /generate/text/submit.
#[derive(Deserialize)]
pub struct TextResult {
    pub id: String,
    pub generation: String,
    #[serde(default)]
    pub seed: i64,
    #[serde(default)]
    pub state: Option<String>,
}

/// An accepted request, or a price.
#[derive(Serialize)]
pub struct Accepted {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub kudos: f64,
}

/// A job.
#[derive(Serialize)]
pub struct Popped {
    pub payload: Payload,
    pub id: String,
    pub ids: [String; 1],
    pub messages: [u8; 0],
    pub ttl: i32,
    pub extra_source_images: Option<u8>,
    pub skipped: Skipped,
    pub softprompt: Option<String>,
    pub model: &'static str,
}

/// What to write.
#[derive(Serialize)]
pub struct Payload {
    pub prompt: String,
    pub n: i32,
    pub max_length: i32,
    pub max_context_length: i32,
    pub temperature: f64,
    pub min_p: f64,
    pub smoothing_factor: f64,
    pub dynatemp_range: f64,
    pub dynatemp_exponent: f64,
}

/// Reasons; there are none.
#[derive(Serialize)]
pub struct Skipped {}

/// The reward.
#[derive(Serialize)]
pub struct Reward {
    pub reward: f64,
}

/// Where a request stands.
#[derive(Serialize)]
pub struct Check {
    pub finished: i32,
    pub processing: i32,
    pub restarted: i32,
    pub waiting: i32,
    pub done: bool,
    pub faulted: bool,
    pub wait_time: i32,
    pub queue_position: i32,
    pub kudos: f64,
    pub is_possible: bool,
}

/// Where a text request stands, with its texts.
#[derive(Serialize)]
pub struct TextStatus<'a> {
    pub generations: Vec<Generation<'a>>,
    #[serde(flatten)]
    pub check: Check,
}

/// A text.
#[derive(Serialize)]
pub struct Generation<'a> {
    pub text: &'a str,
    pub seed: i64,
    pub gen_metadata: [u8; 0],
    pub worker_id: &'static str,
    pub worker_name: &'static str,
    pub model: &'static str,
    pub state: &'static str,
}
