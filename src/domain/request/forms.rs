//! Forms of alchemy: what is to be done with an image.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What is to be done with an image. Job `i` of the request is form `i`; `Spec::models` are the names.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct AlchemyParams {
    /// The forms, in the order of the jobs.
    pub forms: Vec<Form>,
    /// The image's size in tiles of 512 × 512 pixels.
    pub tiles: u32,
    /// Where the image is; `None`: it is stored as `<request>_src`.
    #[serde(default)]
    pub source_url: Option<String>,
}

/// One form.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Form {
    /// What is asked for: one of the contract's closed set.
    pub name: Arc<str>,
    /// Free-form, for the worker.
    pub payload: Option<serde_json::Map<String, serde_json::Value>>,
}

impl AlchemyParams {
    /// Tiles that an image of this size takes. Source: the v2 contract.
    pub fn tiles_of(width: u32, height: u32) -> u32 {
        width.div_ceil(512).max(1).saturating_mul(height.div_ceil(512).max(1))
    }

    /// Bytes that it takes in memory, roughly.
    pub(super) fn size_bytes(&self) -> usize {
        let payload = |form: &Form| form.payload.as_ref().map_or(0, object_bytes);
        let forms: usize = self.forms.iter().map(|form| 256 + payload(form)).sum();
        forms + self.source_url.as_ref().map_or(0, String::len)
    }
}

/// Bytes that an object takes in memory, roughly.
pub fn object_bytes(object: &serde_json::Map<String, serde_json::Value>) -> usize {
    object.iter().map(|(name, value)| name.len() + 48 + value_bytes(value)).sum()
}

fn value_bytes(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 16,
        Value::String(text) => text.len() + 24,
        Value::Array(items) => 24 + items.iter().map(value_bytes).sum::<usize>(),
        Value::Object(object) => object_bytes(object),
    }
}
