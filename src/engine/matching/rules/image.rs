//! Rules of images and videos: what a worker allows, and what its models are for.

use super::{
    super::{Ease, Lift},
    Rule,
};

/// Pixel-steps per second below which a worker is slow.
pub const SLOW_BELOW: f64 = 500_000.0;

pub static MAX_PIXELS: Rule = Rule {
    name: "max_pixels",
    why: "the image is larger than the worker draws",
    key: Some("max_pixels"),
    reads_job: "width, height",
    reads_worker: "max_pixels",
    asks_each: None,
    forbids: |pair| pair.draws(|job, able| job.pixels > able.max_pixels),
    eases: Some(Ease::smaller),
    lifts: Some(|pair| pair.shape.image().map(|job| Lift::MaxPixels(job.pixels)).into_iter().collect()),
};

pub static SOURCE_ALLOWED: Rule = Rule {
    name: "source image",
    why: "the worker takes no source images",
    key: Some("img2img"),
    reads_job: "source_image",
    reads_worker: "allow_img2img",
    asks_each: None,
    forbids: |pair| pair.draws(|job, able| job.has_source && !able.img2img),
    eases: Some(|_| vec![Ease::NoSource]),
    lifts: Some(|_| vec![Lift::Img2img]),
};

pub static PAINTING_ALLOWED: Rule = Rule {
    name: "painting",
    why: "the worker takes no in- or outpainting",
    key: Some("painting"),
    reads_job: "source_processing",
    reads_worker: "allow_painting",
    asks_each: None,
    forbids: |pair| pair.draws(|job, able| job.is_painting && !able.painting),
    eases: Some(|_| vec![Ease::NoPainting, Ease::NoSource]),
    lifts: Some(|_| vec![Lift::Painting]),
};

pub static PAINTERS: Rule = Rule {
    name: "models that paint",
    why: "none of the worker's models paints into images",
    key: Some("models"),
    reads_job: "source_processing",
    reads_worker: "models",
    asks_each: None,
    forbids: |pair| pair.draws(|job, _| job.is_painting && !pair.able.facts.has_inpainting),
    eases: Some(|_| vec![Ease::NoPainting, Ease::NoSource]),
    lifts: Some(|_| Vec::new()),
};

pub static DRAWERS: Rule = Rule {
    name: "models that draw",
    why: "all of the worker's models do nothing but paint into images",
    key: Some("models"),
    reads_job: "source_processing",
    reads_worker: "models",
    asks_each: None,
    forbids: |pair| {
        let facts = pair.able.facts;
        pair.draws(|job, _| !job.is_painting && facts.has_inpainting && !facts.has_drawing)
    },
    eases: Some(|_| Vec::new()),
    lifts: Some(|_| Vec::new()),
};

pub static LORAS_ALLOWED: Rule = Rule {
    name: "LoRAs",
    why: "the worker takes no LoRAs",
    key: Some("lora"),
    reads_job: "loras",
    reads_worker: "allow_lora",
    asks_each: None,
    forbids: |pair| pair.draws(|job, able| job.has_loras && !able.lora),
    eases: Some(|_| vec![Ease::NoLoras]),
    lifts: Some(|_| vec![Lift::Lora]),
};

pub static CONTROL_ALLOWED: Rule = Rule {
    name: "control",
    why: "the worker takes no ControlNet",
    key: Some("controlnet"),
    reads_job: "control_type",
    reads_worker: "allow_controlnet",
    asks_each: None,
    forbids: |pair| pair.draws(|job, able| job.has_control && !able.controlnet),
    eases: Some(|_| vec![Ease::NoControl, Ease::NoSource]),
    lifts: Some(|_| vec![Lift::Controlnet]),
};

pub static QR_CODE_ON_SDXL: Rule = Rule {
    name: "qr_code on SDXL",
    why: "the worker serves SDXL and takes no ControlNet on it, which the workflow qr_code needs",
    key: Some("controlnet"),
    reads_job: "workflow",
    reads_worker: "models, allow_sdxl_controlnet",
    asks_each: None,
    forbids: |pair| {
        let is_careful = pair.able.facts.has_sdxl;
        pair.draws(|job, able| job.is_qr_code && is_careful && !able.sdxl_controlnet)
    },
    eases: Some(|_| vec![Ease::NoWorkflow]),
    lifts: Some(|_| vec![Lift::SdxlControlnet]),
};

/// A worker that may not control SDXL counts as one whose software cannot draw it.
pub static TRANSPARENT: Rule = Rule {
    name: "transparent",
    why: "the worker, or its software, draws no transparent images",
    key: Some("bridge_version"),
    reads_job: "transparent",
    reads_worker: "bridge_agent, allow_sdxl_controlnet",
    asks_each: None,
    forbids: |pair| {
        pair.draws(|job, able| job.transparent && (!able.sdxl_controlnet || pair.able.lacks("layer_diffuse")))
    },
    eases: Some(|_| vec![Ease::NoTransparency]),
    lifts: Some(|_| vec![Lift::SdxlControlnet]),
};

pub static POST_PROCESSING_ALLOWED: Rule = Rule {
    name: "post-processing",
    why: "the worker does no post-processing",
    key: Some("post-processing"),
    reads_job: "post_processing",
    reads_worker: "allow_post_processing",
    asks_each: None,
    forbids: |pair| pair.draws(|job, able| !job.post_processing.is_empty() && !able.post_processing),
    eases: Some(|_| vec![Ease::PostProcessing(Vec::new())]),
    lifts: Some(|_| vec![Lift::PostProcessing]),
};

pub static SLOW: Rule = Rule {
    name: "slow workers",
    why: "the worker is slow, and the request wants none of those",
    key: Some("performance"),
    reads_job: "slow_workers",
    reads_worker: "speed",
    asks_each: None,
    forbids: |pair| !pair.shape.slow_workers && pair.able.worker.speed() < SLOW_BELOW,
    eases: Some(|_| vec![Ease::SlowWorkers]),
    lifts: None,
};

pub static EXTRA_SLOW: Rule = Rule {
    name: "extra-slow workers",
    why: "the worker is extra slow, and the request allows none of those",
    key: Some("performance"),
    reads_job: "extra_slow_workers",
    reads_worker: "extra_slow_worker",
    asks_each: None,
    forbids: |pair| pair.draws(|job, able| able.extra_slow && !job.extra_slow_workers),
    eases: Some(|_| vec![Ease::ExtraSlowWorkers]),
    lifts: None,
};

pub static STEPS: Rule = Rule {
    name: "steps",
    why: "more steps than the worker takes, which wants no more than its models need",
    key: Some("step_count"),
    reads_job: "steps, sampler_name, models",
    reads_worker: "limit_max_steps, models",
    asks_each: None,
    forbids: |pair| {
        pair.draws(|job, able| {
            able.limit_max_steps && pair.step_limit().is_some_and(|limit| limit.is_passed_by(job.steps))
        })
    },
    eases: Some(Ease::fewer_steps),
    lifts: Some(|_| vec![Lift::AnySteps]),
};
