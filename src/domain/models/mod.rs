//! What is known of models: the baseline of those that draw, the size of those that write.
//!
//! A small reference is compiled in (`built_in.json`), so that prices and batches make sense from the
//! first start; an operator replaces it by files, see `reading.rs`.

mod reading;

use std::collections::HashMap;

use serde::Deserialize;

pub use reading::Unreadable;

use super::{price::ModelSizes, request::Kind};

/// Baseline of models that nothing is known of.
const COMMON: &str = "stable diffusion 1";
/// What in an unknown name gives its baseline away. Source: the model references of the v2 contract.
const MARKS: [(&str, &str); 5] = [
    ("[SDXL]", "stable_diffusion_xl"),
    ("[Flux]", "flux_1"),
    ("[Qwen]", "qwen_image"),
    ("[ZModel]", "z_image_turbo"),
    ("[ZImage]", "z_image_turbo"),
];

/// A model that draws.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
pub struct ImageModel {
    /// What it was made from.
    pub baseline: String,
    /// `ckpt`, or another word for one that does not draw from a prompt alone: `controlnet`,
    /// `pix2pix`, `depth`. Empty: as `ckpt`.
    #[serde(default, rename = "type")]
    pub category: String,
    /// Paints into images.
    #[serde(default)]
    pub inpainting: bool,
    /// Made for such content.
    #[serde(default)]
    pub nsfw: bool,
    /// What it draws best: `anime`, `realistic` and the like. Empty: it is not said.
    #[serde(default)]
    pub style: String,
    /// Parameters that it works well with.
    #[serde(default)]
    pub requirements: Requirements,
}

impl ImageModel {
    /// Whether it starts from a source image, and cannot do without.
    pub fn needs_source(&self) -> bool {
        matches!(self.category.as_str(), "pix2pix" | "depth")
    }

    /// Whether what it draws moves: its `type` is `video`, or its baseline is one of videos.
    pub fn is_video(&self) -> bool {
        self.category == "video" || VIDEO_BASELINES.iter().any(|baseline| self.baseline.starts_with(baseline))
    }

    /// Whether it does not draw, but controls one that does.
    pub fn is_control(&self) -> bool {
        self.category == "controlnet"
    }
}

/// How many steps are too many for workers that want no more than their models need: more than half way
/// from the fewest to the most that a model requires, 20 and 40 where it says nothing.
///
/// Source: `limit_max_steps` of the v2 contract.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StepLimit {
    /// Twice as many, so that it is a whole number.
    twice: u32,
}

impl StepLimit {
    /// The limit of a model; `None`: nothing is known of it.
    pub fn of(model: Option<&ImageModel>) -> Self {
        let needs = model.map(|model| &model.requirements);
        let fewest = needs.and_then(|needs| needs.min_steps).unwrap_or(20);
        let most = needs.and_then(|needs| needs.max_steps).unwrap_or(40);
        Self { twice: fewest.saturating_add(most) }
    }

    /// Whether so many steps are too many.
    pub fn is_passed_by(self, steps: u32) -> bool {
        steps.saturating_mul(2) > self.twice
    }
}

/// Parameters that a model works well with; what is unset does not matter to it.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Requirements {
    /// CLIP layers to skip.
    pub clip_skip: Option<u32>,
    /// Fewest steps.
    pub min_steps: Option<u32>,
    /// Most steps; for more, kudos are needed up front.
    pub max_steps: Option<u32>,
    /// How closely to follow the prompt, exactly.
    pub cfg_scale: Option<f64>,
    /// The same, at least.
    pub min_cfg_scale: Option<f64>,
    /// The same, at most.
    pub max_cfg_scale: Option<f64>,
    /// Samplers; none: any.
    pub samplers: Vec<String>,
    /// Noise schedules, `karras` and `simple`; none: any.
    pub schedulers: Vec<String>,
}

/// A model that writes.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct TextModel {
    /// Its parameters, in ones.
    pub parameters: f64,
    /// Made for such content.
    #[serde(default)]
    pub nsfw: bool,
}

/// What is known of models, by name.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ModelReference {
    /// Models that draw.
    pub image: HashMap<String, ImageModel>,
    /// Models that write.
    pub text: HashMap<String, TextModel>,
    /// Names of models that make videos by what they are in lower case; follows from `image`.
    videos: HashMap<String, String>,
}

/// How baselines of models begin that make videos.
const VIDEO_BASELINES: [&str; 5] = ["wan", "ltx", "hunyuan_video", "cogvideo", "mochi"];

impl ModelReference {
    /// The reference that is compiled in.
    pub fn built_in() -> Self {
        Self::read(include_str!("built_in.json")).expect("built_in.json has the shape of a reference")
    }

    /// Adds another reference; of models that both know its word counts.
    pub fn merge(&mut self, other: Self) {
        self.image.extend(other.image);
        self.text.extend(other.text);
        self.find_videos();
    }

    fn find_videos(&mut self) {
        let videos = self.image.iter().filter(|(_, model)| model.is_video());
        self.videos = videos.map(|(name, _)| (name.to_lowercase(), name.clone())).collect();
    }

    /// A model that draws. Models that make videos are known in lower case, too: workers call them so.
    fn drawing(&self, name: &str) -> Option<&ImageModel> {
        let known = self.image.get(name);
        known.or_else(|| self.videos.get(name).and_then(|written| self.image.get(written)))
    }
}

impl ModelSizes for ModelReference {
    fn baseline(&self, model: &str) -> &str {
        match self.drawing(model) {
            Some(known) => &known.baseline,
            None => {
                MARKS.iter().find(|(mark, _)| model.contains(mark)).map_or(COMMON, |(_, baseline)| baseline)
            }
        }
    }

    fn billions(&self, model: &str) -> Option<f64> {
        self.text_model(model).map(|known| known.parameters / 1e9)
    }

    fn image(&self, model: &str) -> Option<&ImageModel> {
        self.drawing(model)
    }

    fn is_nsfw(&self, model: &str) -> bool {
        self.drawing(model).is_some_and(|known| known.nsfw)
            || self.text_model(model).is_some_and(|known| known.nsfw)
    }

    fn is_video(&self, model: &str) -> bool {
        match model.chars().any(char::is_uppercase) {
            true => self.videos.contains_key(&model.to_lowercase()),
            false => self.videos.contains_key(model),
        }
    }

    fn knows(&self, kind: Kind, model: &str) -> bool {
        match kind {
            Kind::Image | Kind::Video => self.image.contains_key(model) || self.is_video(model),
            Kind::Text => self.text_model(model).is_some(),
            Kind::Alchemy => false,
        }
    }

    fn is_still(&self, model: &str) -> bool {
        let is_marked = || MARKS.iter().any(|(mark, _)| model.contains(mark));
        !self.is_video(model) && (self.image.contains_key(model) || is_marked())
    }
}

impl ModelReference {
    /// A text model by the name that a worker gives it: with its user and its quantisation behind it.
    fn text_model(&self, name: &str) -> Option<&TextModel> {
        let mut bare = name.split("::").next().unwrap_or(name);
        loop {
            match (self.text.get(bare), without_quantisation(bare)) {
                (Some(known), _) => return Some(known),
                (None, Some(shorter)) => bare = shorter,
                (None, None) => return None,
            }
        }
    }
}

/// A name without the word for how its numbers are stored, if it ends in one: `-Q4_K_M`, `.fp16`, `-GPTQ`.
fn without_quantisation(name: &str) -> Option<&str> {
    const WORDS: [&str; 10] = ["gguf", "ggml", "gptq", "awq", "exl2", "f16", "fp16", "bf16", "fp8", "int8"];
    let (rest, last) = name.rsplit_once(['-', '.'])?;
    let last = last.to_ascii_lowercase();
    let bits = last.strip_prefix("iq").or_else(|| last.strip_prefix('q'));
    let is_bits = bits.is_some_and(|bits| {
        bits.starts_with(|c: char| c.is_ascii_digit())
            && bits.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    });
    (is_bits || WORDS.contains(&last.as_str())).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_reference_has_a_model_for_every_baseline_that_prices_know() {
        let models = ModelReference::built_in();
        for baseline in [
            "stable diffusion 1",
            "stable diffusion 2",
            "stable diffusion 2 512",
            "stable_diffusion_xl",
            "stable_cascade",
            "flux_1",
            "qwen_image",
            "z_image_turbo",
        ] {
            assert!(models.image.values().any(|model| model.baseline == baseline), "{baseline}");
        }
        let some = |holds: fn(&ImageModel) -> bool| models.image.values().any(holds);
        assert!(some(|model| model.inpainting) && some(|model| model.nsfw));
        assert!(some(ImageModel::needs_source) && some(ImageModel::is_control));
        assert!(models.is_nsfw("Deliberate") && models.is_nsfw("koboldcpp/llama-2-13b-erebus-Q5_K_M"));
        assert!(!models.is_nsfw("stable_diffusion") && !models.is_nsfw("something"));
    }

    #[test]
    fn unknown_models_are_common_unless_their_name_says_otherwise() {
        let models = ModelReference::built_in();
        assert_eq!(models.baseline("something"), COMMON);
        assert_eq!(models.baseline("something [Flux]"), "flux_1");
        assert_eq!(models.billions("something"), None);
        assert_eq!(
            models.billions("mock/echo-7b::alice#1"),
            Some(7.0),
            "a user's suffix is no part of a name"
        );
        for name in [
            "mock/echo-7b-Q4_K_M",
            "mock/echo-7b.iq3_xs::bob#2",
            "mock/echo-7b-GPTQ",
            "mock/echo-7b.Q8_0.gguf",
        ] {
            assert_eq!(models.billions(name), Some(7.0), "nor is how its numbers are stored: {name}");
        }
        assert_eq!(models.billions("mock/echo-quick"), None);
    }

    #[test]
    fn what_is_known_of_a_video_model_is_known_in_lower_case_too() {
        let text =
            r#"{"Wan2.2-T2V": {"baseline": "wan", "type": "video", "requirements": {"max_steps": 20}}}"#;
        let models = ModelReference::read(text).unwrap();
        for name in ["Wan2.2-T2V", "wan2.2-t2v"] {
            assert_eq!(models.baseline(name), "wan", "{name}");
            assert_eq!(models.image(name).and_then(|known| known.requirements.max_steps), Some(20), "{name}");
            assert!(models.is_video(name) && !models.is_still(name), "{name}");
        }
        assert_eq!(models.baseline("WAN2.2-t2v"), COMMON, "no other spelling is its own");
    }
}
