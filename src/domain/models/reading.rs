//! References as files have them: ours, and those that the ecosystem publishes.
//!
//! Ours is one object with `image` and `text`. A public one is an object of models: those with
//! `parameters` write, those with a `baseline` alone draw. What else an entry says is not read.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{ImageModel, ModelReference, TextModel};

/// Longest name that is quoted in an error, in characters.
const SHOWN: usize = 80;

/// Why a reference cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

impl ModelReference {
    /// Reads a reference of either shape.
    ///
    /// # Errors
    /// It is not JSON, or an entry says too little, or something that it cannot; which, and what.
    pub fn read(text: &str) -> Result<Self, Unreadable> {
        let fail = |why: String| Err(Unreadable(why));
        let entries: Map<String, Value> = match serde_json::from_str(text) {
            Ok(Value::Object(entries)) => entries,
            Ok(_) => return fail("it is JSON, but no object: it needs the names of models as keys".into()),
            Err(error) => return fail(format!("it is no JSON: {error}")),
        };
        if entries.is_empty() {
            return fail("it has no models: leave it out, or put some in".into());
        }
        let mut reference = Self::default();
        if entries.keys().all(|key| matches!(key.as_str(), "image" | "text")) && !is_model(&entries) {
            for (kind, models) in entries {
                let Value::Object(models) = models else {
                    return fail(format!("\"{kind}\" is no object: it needs the names of models as keys"));
                };
                for (name, entry) in models {
                    match kind.as_str() {
                        "image" => drop(reference.image.insert(name.clone(), model(&name, entry)?)),
                        _ => drop(reference.text.insert(name.clone(), model(&name, entry)?)),
                    }
                }
            }
            reference.find_videos();
            return Ok(reference);
        }
        for (name, entry) in entries {
            if entry.get("parameters").is_some() {
                reference.text.insert(name.clone(), model::<TextModel>(&name, entry)?);
            } else if entry.get("baseline").is_some() {
                reference.image.insert(name.clone(), model::<ImageModel>(&name, entry)?);
            } else {
                return fail(format!(
                    "{} has neither \"baseline\" (a model that draws) nor \"parameters\" (one that writes); \
                     a file with both kinds is {{\"image\": {{…}}, \"text\": {{…}}}}",
                    quoted(&name)
                ));
            }
        }
        reference.find_videos();
        Ok(reference)
    }
}

/// Whether what could be `image` and `text` are in truth models of that name.
fn is_model(entries: &Map<String, Value>) -> bool {
    let says = |entry: &Value, key: &str| entry.get(key).is_some_and(|value| !value.is_object());
    entries.values().any(|entry| says(entry, "baseline") || says(entry, "parameters"))
}

fn model<T: DeserializeOwned + Sane>(name: &str, entry: Value) -> Result<T, Unreadable> {
    let read = T::deserialize(entry).map_err(|error| error.to_string());
    read.and_then(|model| model.check().map(|()| model))
        .map_err(|error| Unreadable(format!("{}: {error}", quoted(name))))
}

/// Whether figures make sense.
trait Sane {
    fn check(&self) -> Result<(), String>;
}

impl Sane for ImageModel {
    fn check(&self) -> Result<(), String> {
        let needs = &self.requirements;
        if self.baseline.is_empty() {
            return Err("its baseline is empty".into());
        }
        for (what, least, most) in [
            ("steps", needs.min_steps.map(f64::from), needs.max_steps.map(f64::from)),
            ("cfg_scale", needs.min_cfg_scale, needs.max_cfg_scale),
        ] {
            if let (Some(least), Some(most)) = (least, most)
                && least > most
            {
                return Err(format!("it requires {least} to {most} {what}: the least is more than the most"));
            }
        }
        if needs.max_steps == Some(0) {
            return Err("its max_steps are 0; it needs at least 1".into());
        }
        Ok(())
    }
}

impl Sane for TextModel {
    fn check(&self) -> Result<(), String> {
        let is_fit = self.parameters.is_finite() && self.parameters > 0.0;
        if is_fit { Ok(()) } else { Err(format!("{} parameters are not more than 0", self.parameters)) }
    }
}

fn quoted(name: &str) -> String {
    let shown: String = name.chars().take(SHOWN).collect();
    format!("model {shown:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::price::ModelSizes;

    #[test]
    fn both_shapes_are_read_and_told_apart() {
        let ours = r#"{"image": {"a": {"baseline": "flux_1", "inpainting": true}}, "text": {"b": {"parameters": 7e9}}}"#;
        let public_images = r#"{"a": {"name": "a", "baseline": "flux_1", "type": "ckpt", "inpainting": true,
            "nsfw": false, "description": "…", "requirements": {"min_steps": 4, "max_steps": 8, "samplers": ["k_euler"]},
            "config": {"files": [{"path": "x"}]}}}"#;
        let public_texts =
            r#"{"b": {"parameters": 7000000000, "baseline": "llama", "nsfw": true, "style": "chat"}}"#;
        let image_named_text = r#"{"text": {"baseline": "flux_1"}}"#;
        let both = ModelReference::read(ours).unwrap();
        assert_eq!((both.image.len(), both.text.len()), (1, 1));
        let images = ModelReference::read(public_images).unwrap();
        assert_eq!((images.baseline("a"), images.image["a"].inpainting), ("flux_1", true));
        assert_eq!(images.image["a"].requirements.max_steps, Some(8));
        let texts = ModelReference::read(public_texts).unwrap();
        assert_eq!((texts.billions("b"), texts.text["b"].nsfw), (Some(7.0), true), "sizes, not baselines");
        assert!(texts.image.is_empty());
        let odd = ModelReference::read(image_named_text).unwrap();
        assert_eq!(odd.baseline("text"), "flux_1", "a model may be called text");
    }

    #[test]
    fn what_cannot_be_read_says_which_model_and_why() {
        for (text, fragments) in [
            ("{", vec!["no JSON"]),
            ("[]", vec!["no object"]),
            ("{}", vec!["no models"]),
            (r#"{"image": []}"#, vec!["\"image\" is no object"]),
            (r#"{"a": {"nsfw": true}}"#, vec!["\"a\"", "neither", "baseline", "parameters"]),
            (r#"{"a": 3}"#, vec!["\"a\"", "neither"]),
            (r#"{"image": {"a": {}}}"#, vec!["\"a\"", "baseline"]),
            (r#"{"a": {"baseline": 1}}"#, vec!["\"a\"", "string"]),
            (r#"{"a": {"baseline": ""}}"#, vec!["\"a\"", "empty"]),
            (r#"{"a": {"parameters": 0}}"#, vec!["\"a\"", "not more than 0"]),
            (
                r#"{"a": {"baseline": "x", "requirements": {"min_steps": 9, "max_steps": 8}}}"#,
                vec!["9 to 8", "steps"],
            ),
            (
                r#"{"a": {"baseline": "x", "requirements": {"max_steps": 0}}}"#,
                vec!["max_steps", "at least 1"],
            ),
            (r#"{"a": {"baseline": "x", "requirements": {"max_steps": -1}}}"#, vec!["\"a\""]),
        ] {
            let error = ModelReference::read(text).expect_err(text).to_string();
            for fragment in fragments {
                assert!(error.contains(fragment), "{text}: {error}");
            }
        }
    }
}
