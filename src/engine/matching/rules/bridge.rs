//! Rules of images and videos: what a worker's software can do.

use super::{
    super::{Ease, Lift, Pair},
    Rule,
};

/// Whether a job needs something that the software lacks.
fn lacks(pair: &Pair<'_>, needs: fn(&super::super::ImageWants) -> bool, capability: &str) -> bool {
    pair.draws(|job, _| needs(job) && pair.able.lacks(capability))
}

macro_rules! needs {
    (
        $(#[$doc:meta])* $rule:ident, $name:literal, $key:expr, $reads:literal, $field:ident, $capability:literal,
        $lacks:literal, $($ease:ident),+
    ) => {
        $(#[$doc])*
        pub static $rule: Rule = Rule {
            name: $name,
            why: concat!("the worker's software ", $lacks),
            key: $key,
            reads_job: $reads,
            reads_worker: "bridge_agent",
            asks_each: None,
            forbids: |pair| lacks(pair, |job| job.$field, $capability),
            eases: Some(|_| vec![$(Ease::$ease),+]),
            lifts: None,
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
    "extra_source_images",
    "takes no further source images",
    NoExtraSources,
    NoSource
);
needs!(LINKS, "results as links", None, "r2", links, "r2", "hands in no results by links", NoLinks);
needs!(LORAS, "LoRAs by the software", VERSION, "loras", has_loras, "lora", "has no LoRAs", NoLoras);
needs!(
    LORA_VERSIONS,
    "versions of LoRAs",
    VERSION,
    "loras",
    has_lora_versions,
    "lora_versions",
    "knows no LoRAs by their versions",
    NoLoraVersions,
    NoLoras
);
needs!(
    TEXTUAL_INVERSIONS,
    "textual inversions",
    VERSION,
    "tis",
    has_tis,
    "textual_inversion",
    "has no textual inversions",
    NoInversions
);
needs!(
    CONTROL,
    "control by the software",
    VERSION,
    "control_type",
    has_control,
    "controlnet",
    "has no ControlNet",
    NoControl,
    NoSource
);
needs!(TILING, "tiling", VERSION, "tiling", tiling, "tiling", "has no tiling", NoTiling);
needs!(
    CONTROL_MAP,
    "control map",
    VERSION,
    "return_control_map",
    return_control_map,
    "return_control_map",
    "returns no control maps",
    NoControlMap,
    NoControl,
    NoSource
);
needs!(HIRES_FIX, "hires_fix", VERSION, "hires_fix", hires_fix, "hires_fix", "has no hires_fix", NoHiresFix);
needs!(CLIP_SKIP, "clip_skip", VERSION, "clip_skip", skips_clip, "clip_skip", "has no clip_skip", NoClipSkip);
needs!(
    /// As the contract has it, this is told as if the worker did not allow it.
    SOURCE, "source image by the software", Some("img2img"), "source_image", has_source, "img2img",
    "takes no source images", NoSource);
needs!(
    /// As the contract has it, this is told as if the worker did not allow it.
    PAINTING, "painting by the software", Some("painting"), "source_processing", is_painting, "inpainting",
    "does no in- or outpainting", NoPainting, NoSource);

pub static IMAGE_IS_CONTROL: Rule = Rule {
    name: "image as control",
    why: "the worker's software cannot take the source image as the control itself",
    key: VERSION,
    reads_job: "control_type, image_is_control",
    reads_worker: "bridge_agent",
    asks_each: None,
    forbids: |pair| lacks(pair, |job| job.has_control && job.image_is_control, "image_is_control"),
    eases: Some(|_| vec![Ease::NoImageAsControl, Ease::NoControl, Ease::NoSource]),
    lifts: None,
};

pub static SAMPLER: Rule = Rule {
    name: "sampler",
    why: "the worker's software does not have the sampler",
    key: VERSION,
    reads_job: "sampler_name, karras",
    reads_worker: "bridge_agent",
    asks_each: None,
    forbids: |pair| pair.draws(|job, _| !pair.able.said.bridge.samples(&job.sampler.0, job.sampler.1)),
    eases: Some(Ease::other_samplers),
    lifts: None,
};

pub static POST_PROCESSING: Rule = Rule {
    name: "post-processors",
    why: "the worker's software does not have all the post-processors",
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
    eases: Some(Ease::fewer_processors),
    lifts: None,
};

pub static QR_CODE: Rule = Rule {
    name: "qr_code",
    why: "the worker's software does not have the workflow qr_code",
    key: VERSION,
    reads_job: "workflow",
    reads_worker: "bridge_agent",
    asks_each: None,
    forbids: |pair| {
        let lacks = |capability: &str| pair.able.lacks(capability);
        pair.draws(|job, _| job.is_qr_code && (lacks("controlnet") || lacks("qr_code")))
    },
    eases: Some(|_| vec![Ease::NoWorkflow]),
    lifts: None,
};

pub static CASCADE_IN_TWO_PASSES: Rule = Rule {
    name: "Stable Cascade in two passes",
    why: "the worker serves Stable Cascade, and its software cannot draw it in two passes",
    key: VERSION,
    reads_job: "hires_fix",
    reads_worker: "models, bridge_agent",
    asks_each: None,
    forbids: |pair| pair.able.facts.has_cascade && lacks(pair, |job| job.hires_fix, "stable_cascade_2pass"),
    eases: Some(|_| vec![Ease::NoHiresFix]),
    lifts: None,
};

/// Of the models that would do, the software must be able to run one.
pub static FLUX: Rule = Rule {
    name: "Flux",
    why: "of the models asked for the worker has those of Flux alone, which its software cannot run",
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
    eases: Some(Ease::other_models),
    lifts: Some(Lift::models),
};
