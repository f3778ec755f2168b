//! What is known of models: the baseline of those that draw, the size of those that write.
//!
//! A small reference is compiled in (`models.json`), so that prices and batches make sense from the
//! first start; an operator replaces it by files of the same shape.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use super::price::ModelSizes;

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

/// How baselines of models begin that make videos.
const VIDEO_BASELINES: [&str; 5] = ["wan", "ltx", "hunyuan_video", "cogvideo", "mochi"];

/// A model that draws.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct ImageModel {
    /// What it was made from.
    pub baseline: String,
    /// `video`: what it draws moves. So does what models of certain baselines draw; other words say
    /// nothing.
    #[serde(default, rename = "type")]
    pub kind: String,
}

impl ImageModel {
    /// Whether what it draws moves.
    pub fn is_video(&self) -> bool {
        self.kind == "video" || VIDEO_BASELINES.iter().any(|baseline| self.baseline.starts_with(baseline))
    }
}

/// A model that writes.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct TextModel {
    /// Its parameters, in ones.
    pub parameters: f64,
}

/// What is known of models, by name.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelReference {
    /// Models that draw.
    pub image: HashMap<String, ImageModel>,
    /// Models that write.
    pub text: HashMap<String, TextModel>,
    /// Names of models that make videos, in lower case; follows from `image`.
    #[serde(skip)]
    videos: HashSet<String>,
}

impl ModelReference {
    /// The reference that is compiled in.
    pub fn built_in() -> Self {
        Self::read(include_str!("models.json")).expect("models.json has the shape of a reference")
    }

    /// Reads a reference.
    ///
    /// # Errors
    /// It is not JSON of this shape; where.
    pub fn read(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).map(Self::with_videos)
    }

    /// Adds another reference; of models that both know its word counts.
    pub fn merge(&mut self, other: Self) {
        self.image.extend(other.image);
        self.text.extend(other.text);
        *self = std::mem::take(self).with_videos();
    }

    fn with_videos(mut self) -> Self {
        let videos = self.image.iter().filter(|(_, model)| model.is_video());
        self.videos = videos.map(|(name, _)| name.to_lowercase()).collect();
        self
    }
}

impl ModelSizes for ModelReference {
    fn baseline(&self, model: &str) -> &str {
        match self.image.get(model) {
            Some(known) => &known.baseline,
            None => {
                MARKS.iter().find(|(mark, _)| model.contains(mark)).map_or(COMMON, |(_, baseline)| baseline)
            }
        }
    }

    fn billions(&self, model: &str) -> Option<f64> {
        let bare = model.split("::").next().unwrap_or(model);
        self.text.get(bare).map(|known| known.parameters / 1e9)
    }

    fn is_video(&self, model: &str) -> bool {
        match model.chars().any(char::is_uppercase) {
            true => self.videos.contains(&model.to_lowercase()),
            false => self.videos.contains(model),
        }
    }

    fn is_still(&self, model: &str) -> bool {
        let is_marked = || MARKS.iter().any(|(mark, _)| model.contains(mark));
        !self.is_video(model) && (self.image.contains_key(model) || is_marked())
    }
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
    }

    #[test]
    fn models_make_videos_by_their_type_or_their_baseline_and_in_any_case() {
        let mut models = ModelReference::built_in();
        let more = r#"{"image": {
            "Paints": {"baseline": "stable diffusion 1", "type": "checkpoints"},
            "Moves": {"baseline": "own", "type": "video"},
            "ltx-video-2b": {"baseline": "ltx_video"}
        }}"#;
        models.merge(ModelReference::read(more).unwrap());
        for (name, is_video, is_still) in [
            ("wan2.2-t2v-5b", true, false),
            ("WAN2.2-T2V-5B", true, false),
            ("Moves", true, false),
            ("moves", true, false),
            ("ltx-video-2b", true, false),
            ("Paints", false, true),
            ("paints", false, false),
            ("something [SDXL]", false, true),
            ("something", false, false),
        ] {
            assert_eq!((models.is_video(name), models.is_still(name)), (is_video, is_still), "{name}");
        }
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
    }
}
