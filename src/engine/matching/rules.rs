//! The table of eligibility, in the order in which the legacy API reports reasons.
//!
//! Source: the matching sections of the v2 contract, both stages as one list.

use super::Pair;
use crate::domain::{bridge::Bridge, price, request::Kind, user::Role};

/// One rule of eligibility.
pub struct Rule {
    /// Its name, for people.
    pub name: &'static str,
    /// Its key in `skipped`; `None`: legacy workers are not told.
    pub key: Option<&'static str>,
    /// What it reads of the job.
    pub reads_job: &'static str,
    /// What it reads of the worker.
    pub reads_worker: &'static str,
    /// Whether it forbids the pair.
    pub forbids: fn(&Pair<'_>) -> bool,
}

/// A job of another kind; never reached through the lanes.
pub(super) static KIND: Rule = Rule {
    name: "kind",
    key: None,
    reads_job: "kind",
    reads_worker: "kind",
    forbids: |pair| pair.worker.profile.for_kind(pair.spec.kind()).is_none(),
};

/// Pixel-steps per second below which an image worker is slow.
const SLOW_IMAGE: f64 = 500_000.0;
/// Seconds for a form from which on an alchemist is slow.
const SLOW_FORM: f64 = 10.0;
/// Tokens per second below which a text worker is slow.
const SLOW_TEXT: f64 = 5.0;

fn lacks(pair: &Pair<'_>, capability: &str) -> bool {
    !pair.worker.profile.bridge.can(capability)
}

fn bridge<'a>(pair: &'a Pair<'_>) -> &'a Bridge {
    &pair.worker.profile.bridge
}

/// All rules.
pub static RULES: &[Rule] = &[
    Rule {
        name: "maintenance",
        key: None,
        reads_job: "owner",
        reads_worker: "maintenance",
        forbids: |pair| pair.worker.maintenance.is_some() && !pair.is_own,
    },
    Rule {
        name: "paused",
        key: None,
        reads_job: "nothing",
        reads_worker: "paused",
        forbids: |pair| pair.worker.standing.is_paused,
    },
    Rule {
        name: "models",
        key: Some("models"),
        reads_job: "models",
        reads_worker: "models",
        forbids: |pair| {
            !pair.spec.models.is_empty() && {
                let served = pair.worker.profile.models_for(pair.spec.kind());
                !pair.spec.models.iter().any(|model| served.contains(model))
            }
        },
    },
    Rule {
        name: "nsfw",
        key: Some("nsfw"),
        reads_job: "nsfw",
        reads_worker: "nsfw",
        forbids: |pair| pair.spec.nsfw && !pair.worker.profile.nsfw,
    },
    Rule {
        name: "trusted",
        key: Some("untrusted"),
        reads_job: "trusted_workers",
        reads_worker: "owner's trust",
        forbids: |pair| pair.spec.trusted_workers && !pair.owner_is_trusted,
    },
    Rule {
        name: "blacklist",
        key: Some("blacklist"),
        reads_job: "prompt",
        reads_worker: "blacklist",
        forbids: |pair| {
            let words = &pair.worker.profile.blacklist;
            !words.is_empty() && {
                let prompt = pair.spec.prompt.to_lowercase();
                words.iter().any(|word| prompt.contains(word))
            }
        },
    },
    Rule {
        name: "worker list",
        key: Some("worker_id"),
        reads_job: "workers, worker_blacklist",
        reads_worker: "id",
        forbids: |pair| {
            !pair.spec.workers.is_empty()
                && pair.spec.workers.contains(&pair.worker.id) == pair.spec.worker_blacklist
        },
    },
    Rule {
        name: "max_pixels",
        key: Some("max_pixels"),
        reads_job: "width, height",
        reads_worker: "max_pixels",
        forbids: |pair| pair.image().is_some_and(|(job, able)| job.pixels() > able.max_pixels),
    },
    Rule {
        name: "source images",
        key: Some("img2img"),
        reads_job: "source_image",
        reads_worker: "allow_img2img",
        forbids: |pair| pair.image().is_some_and(|(job, able)| job.has_source && !able.img2img),
    },
    Rule {
        name: "painting",
        key: Some("painting"),
        reads_job: "source_processing",
        reads_worker: "allow_painting",
        forbids: |pair| pair.image().is_some_and(|(job, able)| job.is_painting() && !able.painting),
    },
    Rule {
        name: "post-processing",
        key: Some("post-processing"),
        reads_job: "post_processing",
        reads_worker: "allow_post_processing",
        forbids: |pair| {
            pair.image().is_some_and(|(job, able)| !job.post_processing.is_empty() && !able.post_processing)
        },
    },
    Rule {
        name: "LoRAs",
        key: Some("lora"),
        reads_job: "loras",
        reads_worker: "allow_lora",
        forbids: |pair| pair.image().is_some_and(|(job, able)| !job.loras.is_empty() && !able.lora),
    },
    Rule {
        name: "ControlNet",
        key: Some("controlnet"),
        reads_job: "control_type, workflow",
        reads_worker: "allow_controlnet",
        forbids: |pair| {
            pair.image().is_some_and(|(job, able)| {
                (job.control_type.is_some() && !able.controlnet) || (job.transparent && !able.sdxl_controlnet)
            })
        },
    },
    Rule {
        name: "bridge",
        key: Some("bridge_version"),
        reads_job: "what its parameters need",
        reads_worker: "bridge_agent",
        forbids: |pair| {
            pair.image().is_some_and(|(job, _)| {
                let version_lora = job.loras.iter().any(|lora| lora.is_version);
                let needs = [
                    (job.links, "r2"),
                    (job.has_source, "img2img"),
                    (job.is_painting(), "inpainting"),
                    (!job.extra_sources.is_empty(), "extra_source_images"),
                    (!job.loras.is_empty(), "lora"),
                    (version_lora, "lora_versions"),
                    (!job.tis.is_empty(), "textual_inversion"),
                    (job.control_type.is_some(), "controlnet"),
                    (job.image_is_control, "image_is_control"),
                    (job.return_control_map, "return_control_map"),
                    (job.tiling, "tiling"),
                    (job.hires_fix, "hires_fix"),
                    (job.transparent, "layer_diffuse"),
                    (job.clip_skip.is_some_and(|skip| skip > 1), "clip_skip"),
                    (job.workflow.is_some(), "qr_code"),
                    (!job.post_processing.is_empty(), "post-processing"),
                ];
                needs.iter().any(|(needed, capability)| *needed && lacks(pair, capability))
                    || job.post_processing.iter().any(|processor| lacks(pair, processor))
                    || !bridge(pair).samples(&job.sampler, job.karras)
            })
        },
    },
    Rule {
        name: "slow workers",
        key: Some("performance"),
        reads_job: "slow_workers, extra_slow_workers",
        reads_worker: "speed, extra_slow_worker",
        forbids: |pair| {
            let limit = match pair.spec.kind() {
                Kind::Image | Kind::Video => SLOW_IMAGE,
                Kind::Text => SLOW_TEXT,
                // Judged by seconds, below.
                Kind::Alchemy => 0.0,
            };
            let slow = !pair.spec.slow_workers && pair.worker.speed() < limit;
            slow || pair.image().is_some_and(|(job, able)| able.extra_slow && !job.extra_slow_workers)
        },
    },
    Rule {
        name: "slow alchemists",
        key: Some("performance"),
        reads_job: "slow_workers",
        reads_worker: "seconds for a form",
        forbids: |pair| {
            let is_slow = || pair.worker.seconds_per_form() >= SLOW_FORM;
            pair.alchemy().is_some() && !pair.spec.slow_workers && is_slow()
        },
    },
    Rule {
        name: "tiles",
        key: None,
        reads_job: "size of the source image",
        reads_worker: "max_tiles",
        forbids: |pair| pair.alchemy().is_some_and(|(job, able)| job.tiles > able.max_tiles),
    },
    Rule {
        name: "unvetted address",
        key: Some("untrusted"),
        reads_job: "requester's address and trust",
        reads_worker: "owner's trust",
        forbids: |pair| pair.alchemy().is_some() && pair.spec.origin.unsafe_ip && !pair.owner_is_trusted,
    },
    Rule {
        name: "upfront kudos",
        key: Some("kudos"),
        reads_job: "requester's balance",
        reads_worker: "require_upfront_kudos",
        forbids: |pair| {
            pair.image().is_some_and(|(job, able)| {
                able.require_upfront_kudos
                    && pair.requester.is_none_or(|user| {
                        !user.is(Role::Trusted)
                            && !pair.worker.profile.priority_users.contains(&user.id)
                            && user.balance - user.floor() < price::image_job(job)
                    })
            })
        },
    },
    Rule {
        name: "context length",
        key: Some("max_context_length"),
        reads_job: "max_context_length",
        reads_worker: "max_context_length",
        forbids: |pair| {
            pair.text().is_some_and(|(job, able)| i64::from(job.max_context_length) > able.max_context_length)
        },
    },
    Rule {
        name: "length",
        key: Some("max_length"),
        reads_job: "max_length",
        reads_worker: "max_length",
        forbids: |pair| pair.text().is_some_and(|(job, able)| i64::from(job.max_length) > able.max_length),
    },
    Rule {
        name: "validated back end",
        key: Some("bridge_version"),
        reads_job: "validated_backends",
        reads_worker: "bridge_agent",
        forbids: |pair| pair.text().is_some() && pair.spec.validated_backends && !bridge(pair).is_validated(),
    },
];
