//! Rules of images and videos: what a worker's software can do.

use super::{super::Pair, Rule};

/// Whether a job needs something that the software lacks.
fn lacks(pair: &Pair<'_>, needs: fn(&super::super::ImageWants) -> bool, capability: &str) -> bool {
    pair.draws(|job, _| needs(job) && pair.able.lacks(capability))
}

macro_rules! needs {
    ($(#[$doc:meta])* $rule:ident, $name:literal, $key:expr, $reads:literal, $field:ident, $capability:literal) => {
        $(#[$doc])*
        pub static $rule: Rule = Rule {
            name: $name,
            key: $key,
            reads_job: $reads,
            reads_worker: "bridge_agent",
            asks_each: None,
            forbids: |pair| lacks(pair, |job| job.$field, $capability),
        };
    };
}

const VERSION: Option<&str> = Some("bridge_version");

needs!(
    EXTRA_SOURCES,
    "extra source images by the software",
    None,
    "extra_source_images",
    has_extra_sources,
    "extra_source_images"
);
needs!(LINKS, "results as links", None, "r2", links, "r2");
needs!(LORAS, "LoRAs by the software", VERSION, "loras", has_loras, "lora");
needs!(LORA_VERSIONS, "versions of LoRAs", VERSION, "loras", has_lora_versions, "lora_versions");
needs!(TEXTUAL_INVERSIONS, "textual inversions", VERSION, "tis", has_tis, "textual_inversion");
needs!(CONTROL, "control by the software", VERSION, "control_type", has_control, "controlnet");
needs!(TILING, "tiling", VERSION, "tiling", tiling, "tiling");
needs!(CONTROL_MAP, "control map", VERSION, "return_control_map", return_control_map, "return_control_map");
needs!(HIRES_FIX, "hires_fix", VERSION, "hires_fix", hires_fix, "hires_fix");
needs!(CLIP_SKIP, "clip_skip", VERSION, "clip_skip", skips_clip, "clip_skip");
needs!(
    /// As the contract has it, this is told as if the worker did not allow it.
    SOURCE, "source image by the software", Some("img2img"), "source_image", has_source, "img2img");
needs!(
    /// As the contract has it, this is told as if the worker did not allow it.
    PAINTING, "painting by the software", Some("painting"), "source_processing", is_painting, "inpainting");

pub static IMAGE_IS_CONTROL: Rule = Rule {
    name: "image as control",
    key: VERSION,
    reads_job: "control_type, image_is_control",
    reads_worker: "bridge_agent",
    asks_each: None,
    forbids: |pair| lacks(pair, |job| job.has_control && job.image_is_control, "image_is_control"),
};

pub static SAMPLER: Rule = Rule {
    name: "sampler",
    key: VERSION,
    reads_job: "sampler_name, karras",
    reads_worker: "bridge_agent",
    asks_each: None,
    forbids: |pair| pair.draws(|job, _| !pair.able.said.bridge.samples(&job.sampler.0, job.sampler.1)),
};

pub static POST_PROCESSING: Rule = Rule {
    name: "post-processors",
    key: VERSION,
    reads_job: "post_processing",
    reads_worker: "bridge_agent",
    asks_each: None,
    forbids: |pair| {
        pair.draws(|job, _| {
            let lacks = |capability: &str| pair.able.lacks(capability);
            !job.post_processing.is_empty()
                && (lacks("post-processing") || job.post_processing.iter().any(|one| lacks(one)))
        })
    },
};

pub static QR_CODE: Rule = Rule {
    name: "qr_code",
    key: VERSION,
    reads_job: "workflow",
    reads_worker: "bridge_agent",
    asks_each: None,
    forbids: |pair| {
        let lacks = |capability: &str| pair.able.lacks(capability);
        pair.draws(|job, _| job.is_qr_code && (lacks("controlnet") || lacks("qr_code")))
    },
};

pub static CASCADE_IN_TWO_PASSES: Rule = Rule {
    name: "Stable Cascade in two passes",
    key: VERSION,
    reads_job: "hires_fix",
    reads_worker: "models, bridge_agent",
    asks_each: None,
    forbids: |pair| pair.able.facts.has_cascade && lacks(pair, |job| job.hires_fix, "stable_cascade_2pass"),
};

/// Of the models that would do, the software must be able to run one.
pub static FLUX: Rule = Rule {
    name: "Flux",
    key: VERSION,
    reads_job: "models",
    reads_worker: "models, bridge_agent",
    asks_each: None,
    forbids: |pair| {
        let (facts, bridge) = (pair.able.facts, &pair.able.said.bridge);
        let runs = |model: &std::sync::Arc<str>| facts.runs(model, bridge);
        !facts.flux.is_empty()
            && match pair.shape.models.as_slice() {
                [] => !facts.models.iter().any(runs),
                named => {
                    let mut common = named.iter().filter(|model| facts.serves(model)).peekable();
                    common.peek().is_some() && !common.any(runs)
                }
            }
    },
};
