//! What is known of models: the baseline of those that draw, the size of those that write.
//!
//! A small reference is compiled in (`models.json`), so that prices and batches make sense from the
//! first start; an operator replaces it by files of the same shape.

use std::collections::HashMap;

use serde::Deserialize;

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
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct ImageModel {
    /// What it was made from.
    pub baseline: String,
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
}

impl ModelReference {
    /// The reference that is compiled in.
    pub fn built_in() -> Self {
        serde_json::from_str(include_str!("models.json")).expect("models.json has the shape of a reference")
    }

    /// Reads a reference.
    ///
    /// # Errors
    /// It is not JSON of this shape; where.
    pub fn read(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Adds another reference; of models that both know its word counts.
    pub fn merge(&mut self, other: Self) {
        self.image.extend(other.image);
        self.text.extend(other.text);
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

    fn knows(&self, kind: Kind, model: &str) -> bool {
        match kind {
            Kind::Image | Kind::Video => self.image.contains_key(model),
            Kind::Text => self.text.contains_key(model.split("::").next().unwrap_or(model)),
            Kind::Alchemy => false,
        }
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
