//! Requests: what a user submits, and what of it decides who may take it.

mod forms;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Kudos, RequestId, SharedKeyId, Timestamp, UserId, WorkerId};

pub use forms::{AlchemyParams, Form, object_bytes};

/// What is asked for. Workers serve one kind.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Images.
    Image,
    /// Texts.
    Text,
    /// Videos.
    Video,
    /// What is in an image, or an image made better: one form a job.
    Alchemy,
}

impl Kind {
    /// How many there are.
    pub const COUNT: usize = 4;
    /// All kinds.
    pub const ALL: [Self; Self::COUNT] = [Self::Image, Self::Text, Self::Video, Self::Alchemy];

    /// Its name, as Records and metrics have it. Workers of alchemy are called otherwise on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Text => "text",
            Self::Video => "video",
            Self::Alchemy => "alchemy",
        }
    }

    /// Place in arrays by kind.
    pub fn index(self) -> usize {
        self as usize
    }
}

/// A request as accepted: everything that pricing, matching and the worker need.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Spec {
    /// What to generate.
    pub prompt: String,
    /// Jobs asked for.
    pub jobs: usize,
    /// Models that may run it; empty: any.
    pub models: Vec<Arc<str>>,
    /// Only workers that allow such content.
    pub nsfw: bool,
    /// Only workers of trusted owners.
    pub trusted_workers: bool,
    /// Slow workers may take it.
    pub slow_workers: bool,
    /// Text: only known back ends.
    pub validated_backends: bool,
    /// Only these workers, or none of these; at most five.
    pub workers: Vec<WorkerId>,
    /// `workers` is a deny list.
    pub worker_blacklist: bool,
    /// Who asks, and from where, as far as anybody but the account needs it.
    #[serde(default)]
    pub origin: Origin,
    /// https URL that is told of each result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// What depends on the kind.
    pub params: Params,
}

/// Who asks, and from where.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// The client's software, `name:version:contact`.
    pub client_agent: String,
    /// The address is not known to be safe, and its user not trusted: only workers that allow it.
    pub unsafe_ip: bool,
    /// Account of a service that this was asked for on behalf of; a label.
    pub proxied_account: Option<String>,
    /// Kudos that were set aside for it when it was accepted: what it costs is taken from them, and what
    /// is left is free again once it is done.
    pub upfront: Kudos,
    /// The key that was lent to who asks; what it costs is spent with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared_key: Option<SharedKeyId>,
    /// Kudos of that key that were kept for it when it was accepted, if the key has a budget.
    #[serde(skip_serializing_if = "Kudos::is_zero")]
    pub lent: Kudos,
    /// Wallet of who asks; a label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wallet: Option<String>,
    /// Labels of who asks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// Parameters, by kind.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Params {
    /// An image.
    Image(Box<ImageParams>),
    /// A text.
    Text(Box<TextParams>),
    /// A video: what an image should look like, moving.
    Video(Box<ImageParams>),
    /// Forms of alchemy.
    Alchemy(Box<AlchemyParams>),
}

impl Params {
    /// How an image or a video should look.
    pub fn image(&self) -> Option<&ImageParams> {
        match self {
            Self::Image(image) | Self::Video(image) => Some(image),
            Self::Text(_) | Self::Alchemy(_) => None,
        }
    }
}

/// What an image should look like. Units and defaults: `grid.v2.ImageParams`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ImageParams {
    pub sampler: String,
    pub cfg_scale: f64,
    pub steps: u32,
    pub width: u32,
    pub height: u32,
    /// `None`: random for each batch.
    pub seed: Option<u32>,
    pub seed_variation: Option<u32>,
    pub karras: bool,
    pub tiling: bool,
    pub hires_fix: bool,
    pub transparent: bool,
    pub denoising_strength: Option<f64>,
    pub hires_fix_denoising_strength: Option<f64>,
    pub facefixer_strength: Option<f64>,
    pub clip_skip: Option<u32>,
    pub post_processing: Vec<String>,
    pub control_type: Option<String>,
    pub image_is_control: bool,
    pub return_control_map: bool,
    pub loras: Vec<Lora>,
    pub tis: Vec<TextualInversion>,
    pub extra_texts: Vec<ExtraText>,
    pub workflow: Option<String>,
    pub special: Option<serde_json::Map<String, serde_json::Value>>,
    /// Extra-slow workers may take it.
    pub extra_slow_workers: bool,
    /// Workers must censor.
    pub censor: bool,
    /// Results as links rather than base64.
    pub links: bool,
    /// One job per pop.
    pub disable_batching: bool,
    /// What to do with the source image; meaningless without one.
    pub source_processing: String,
    /// A source image is stored as `<request>_src`.
    pub has_source: bool,
    /// A mask is stored as `<request>_msk`.
    pub has_mask: bool,
    /// Weights of the extra source images, stored as `<request>_exra_src_<i>`.
    pub extra_sources: Vec<f64>,
}

/// A LoRA to apply.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Lora {
    pub name: String,
    pub model: f64,
    pub clip: f64,
    pub inject_trigger: Option<String>,
    pub is_version: bool,
}

/// A textual inversion to apply.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TextualInversion {
    pub name: String,
    pub inject: Option<String>,
    pub strength: f64,
}

/// A text that a workflow reads.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ExtraText {
    pub text: String,
    pub reference: String,
}

/// How a text should be generated. Units and defaults: `grid.v2.TextParams`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct TextParams {
    pub max_length: u32,
    pub max_context_length: u32,
    pub frmtadsnsp: Option<bool>,
    pub frmtrmblln: Option<bool>,
    pub frmtrmspch: Option<bool>,
    pub frmttriminc: Option<bool>,
    pub singleline: Option<bool>,
    pub use_default_badwordsids: Option<bool>,
    pub rep_pen: Option<f64>,
    pub rep_pen_range: Option<u32>,
    pub rep_pen_slope: Option<f64>,
    pub temperature: Option<f64>,
    pub tfs: Option<f64>,
    pub top_a: Option<f64>,
    pub top_k: Option<u32>,
    pub top_p: Option<f64>,
    pub typical: Option<f64>,
    pub min_p: f64,
    pub smoothing_factor: f64,
    pub dynatemp_range: f64,
    pub dynatemp_exponent: f64,
    pub sampler_order: Vec<i32>,
    pub stop_sequence: Vec<String>,
    /// Only workers that have this soft prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub softprompt: Option<String>,
}

impl Spec {
    /// The kind of its jobs.
    pub fn kind(&self) -> Kind {
        match self.params {
            Params::Image(_) => Kind::Image,
            Params::Text(_) => Kind::Text,
            Params::Video(_) => Kind::Video,
            Params::Alchemy(_) => Kind::Alchemy,
        }
    }

    /// Bytes it takes in memory, roughly; what budgets of memory count.
    pub fn size_bytes(&self) -> usize {
        let texts: usize = match &self.params {
            Params::Image(image) | Params::Video(image) => {
                let texts = image.extra_texts.iter().map(|extra| extra.text.len() + extra.reference.len());
                texts.sum::<usize>() + image.special.as_ref().map_or(0, object_bytes)
            }
            Params::Text(text) => {
                let texts = text.stop_sequence.iter().chain(&text.softprompt).map(String::len);
                texts.sum()
            }
            Params::Alchemy(alchemy) => alchemy.size_bytes(),
        };
        let labels =
            [self.webhook.as_ref(), self.origin.proxied_account.as_ref(), self.origin.wallet.as_ref()];
        let labels: usize = labels.into_iter().flatten().map(String::len).sum();
        let texts = texts + labels + self.origin.client_agent.len();
        let tags: usize = self.origin.tags.iter().map(|tag| tag.len() + 24).sum();
        1024 + self.prompt.len()
            + texts
            + tags
            + self.models.iter().map(|model| model.len() + 64).sum::<usize>()
    }

    /// Whether its source needs an alpha channel: it says what to paint over, and no mask does.
    pub fn needs_alpha(&self) -> bool {
        let Some(image) = self.params.image() else { return false };
        image.has_source && !image.has_mask && image.source_processing == "inpainting"
    }

    /// Work of one job: pixel-steps, tokens, or forms.
    pub fn things(&self) -> f64 {
        match &self.params {
            Params::Image(image) | Params::Video(image) => {
                image.pixels() as f64 * f64::from(image.accurate_steps())
            }
            Params::Text(text) => f64::from(text.max_length),
            Params::Alchemy(_) => 1.0,
        }
    }

    /// How long a worker has for one job, in seconds, before progress is counted in.
    ///
    /// Source: the TTL rules of the v2 contract.
    pub fn ttl_seconds(&self, large_model: bool, extra_slow_worker: bool) -> u64 {
        let image = match &self.params {
            Params::Image(image) => image,
            Params::Text(_) => return 150,
            Params::Video(_) => return 7200,
            Params::Alchemy(_) => return 180,
        };
        let mut ttl =
            30.0 + f64::from(image.accurate_steps()) * 2.0 * (image.pixels() as f64 / (512.0 * 512.0));
        if image.control_type.is_some() {
            ttl *= 2.0;
        }
        if large_model {
            ttl *= 3.0;
        }
        let ttl = ttl.max(150.0) * if extra_slow_worker { 3.0 } else { 1.0 };
        ttl as u64
    }
}

impl ImageParams {
    /// Width times height.
    pub fn pixels(&self) -> i64 {
        i64::from(self.width) * i64::from(self.height)
    }

    /// Steps as they cost: samplers of second order take two.
    pub fn accurate_steps(&self) -> u32 {
        match self.sampler.as_str() {
            "k_dpm_adaptive" => 40,
            "k_heun" | "k_dpm_2" | "k_dpm_2_a" | "k_dpmpp_2s_a" | "k_dpmpp_sde" => self.steps * 2,
            _ => self.steps,
        }
    }

    /// Takes so many accurate steps at most, with another sampler if this one always takes more.
    pub fn lower_steps(&mut self, most: u32) {
        if self.sampler == "k_dpm_adaptive" {
            self.sampler = "k_euler_a".into();
        }
        let cost = Self { steps: 1, ..self.clone() }.accurate_steps();
        self.steps = self.steps.min((most / cost).max(1));
    }

    /// Whether it is in- or outpainting.
    pub fn is_painting(&self) -> bool {
        self.has_source && matches!(self.source_processing.as_str(), "inpainting" | "outpainting")
    }

    /// Jobs of this shape that a worker takes safely at once, of `amount` that it offers.
    ///
    /// Source: the batching rule of the v2 contract.
    pub fn safe_amount(&self, max_pixels: i64, amount: u32, multiplier: f64) -> usize {
        const HEAVY: [&str; 9] = [
            "RealESRGAN_x4plus",
            "RealESRGAN_x4plus_anime_6B",
            "NMKD_Siax",
            "4x_AnimeSharp",
            "CodeFormers",
            "4xNomos8kSC",
            "4xLSDIRplus",
            "4xNomos2_hq_dat2",
            "RestoreFormer",
        ];
        // A workflow is one picture a pop, asked for or not.
        if self.disable_batching || self.workflow.is_some() {
            return 1;
        }
        let heavy = self.transparent || self.post_processing.iter().any(|p| HEAVY.contains(&p.as_str()));
        let capacity = max_pixels as f64 / 3.5 * f64::from(amount);
        let load = self.pixels() as f64
            * (1.0 + 0.4 * self.post_processing.len() as f64)
            * if heavy { 1.8 } else { 1.0 }
            * multiplier;
        ((capacity / load).round_ties_even() as usize).clamp(1, amount.max(1) as usize)
    }
}

/// What is known of an accepted request besides its spec.
#[derive(Clone, PartialEq, Debug)]
pub struct Accepted {
    /// Its ID.
    pub id: RequestId,
    /// Whose it is.
    pub owner: UserId,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Priority before ageing, in whole kudos.
    pub priority: i64,
    /// What was asked for.
    pub spec: Arc<Spec>,
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_safe_batch_is_never_empty_nor_more_than_offered(
            pixels in 0i64..=4096 * 4096, amount in 0u32..=20, side in 0u32..=48,
            heavy in any::<bool>(), multiplier in 1.0f64..10.0,
        ) {
            let processors = if heavy { vec!["NMKD_Siax".to_owned()] } else { vec![] };
            let job = ImageParams { width: side * 64, height: 512, post_processing: processors, ..image() };
            let safe = job.safe_amount(pixels, amount, multiplier);
            prop_assert!((1..=amount.max(1) as usize).contains(&safe));
            prop_assert!(job.safe_amount(pixels * 2, amount, multiplier) >= safe, "a larger worker takes more");
            prop_assert!(job.safe_amount(pixels, amount, multiplier * 2.0) <= safe, "a heavier model less");
            let single = ImageParams { disable_batching: true, ..job };
            prop_assert_eq!(single.safe_amount(pixels, amount, 1.0), 1);
        }
    }

    pub(crate) fn image() -> ImageParams {
        ImageParams {
            sampler: "k_euler_a".into(),
            cfg_scale: 5.0,
            steps: 30,
            width: 512,
            height: 512,
            seed: None,
            seed_variation: None,
            karras: true,
            tiling: false,
            hires_fix: false,
            transparent: false,
            denoising_strength: None,
            hires_fix_denoising_strength: None,
            facefixer_strength: None,
            clip_skip: None,
            post_processing: vec![],
            control_type: None,
            image_is_control: false,
            return_control_map: false,
            loras: vec![],
            tis: vec![],
            extra_texts: vec![],
            workflow: None,
            special: None,
            extra_slow_workers: false,
            censor: false,
            links: true,
            disable_batching: false,
            source_processing: "img2img".into(),
            has_source: false,
            has_mask: false,
            extra_sources: vec![],
        }
    }

    pub(crate) fn spec(params: ImageParams) -> Spec {
        Spec {
            prompt: "a cat".into(),
            jobs: 1,
            models: vec!["stable_diffusion".into()],
            nsfw: false,
            trusted_workers: false,
            slow_workers: true,
            validated_backends: false,
            workers: vec![],
            worker_blacklist: false,
            origin: Default::default(),
            webhook: None,
            params: Params::Image(Box::new(params)),
        }
    }

    #[test]
    fn ttl_follows_the_contract() {
        assert_eq!(spec(image()).ttl_seconds(false, false), 150, "small jobs get the floor");
        let large = ImageParams { width: 1024, height: 1024, steps: 50, ..image() };
        assert_eq!(spec(large.clone()).ttl_seconds(false, false), 430, "30 + 50 × 2 × 4");
        assert_eq!(
            spec(large.clone()).ttl_seconds(true, false),
            1290,
            "large models take three times as long"
        );
        assert_eq!(spec(large).ttl_seconds(false, true), 1290, "extra-slow workers get three times as long");
    }

    #[test]
    fn batches_are_as_large_as_is_safe() {
        assert_eq!(image().safe_amount(512 * 512, 4, 1.0), 1, "4 of 3.5 parts");
        assert_eq!(image().safe_amount(1024 * 1024, 4, 1.0), 4, "never more than offered");
        assert_eq!(image().safe_amount(1024 * 1024, 2, 2.0), 1, "heavy models count more");
        let single = ImageParams { disable_batching: true, ..image() };
        assert_eq!(single.safe_amount(4096 * 4096, 20, 1.0), 1);
    }
}
