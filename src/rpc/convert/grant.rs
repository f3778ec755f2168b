//! What a worker is given: jobs, or why there is none.

use std::{collections::BTreeMap, time::Duration};

use super::{count, text, video};
use crate::{
    domain::{
        Result,
        lease::Attempt,
        request::{ImageParams, Kind, Params, Spec},
    },
    engine::Grant,
    host::{ObjectKey, Objects},
    rpc::{json::Struct, pb},
};

/// A lease may grow to so many times its length.
const LONGEST_LEASE: u64 = crate::engine::MAX_EXTENSIONS as u64;

/// Why requests were passed over, as the protos have it.
pub(super) fn skipped(counts: BTreeMap<&'static str, usize>) -> BTreeMap<String, i32> {
    counts.into_iter().map(|(key, n)| (key.to_owned(), count(n))).collect()
}

/// The answer to an image pop without a job: the schema's defaults.
pub fn no_image(counts: BTreeMap<&'static str, usize>) -> pb::PopImageResponse {
    pb::PopImageResponse {
        payload: Some(pb::ImagePayload {
            ddim_steps: 30,
            n_iter: 1,
            sampler_name: "k_euler_a".into(),
            cfg_scale: 7.5,
            height: 512,
            width: 512,
            ..Default::default()
        }),
        source_processing: "img2img".into(),
        skipped: skipped(counts),
        ..Default::default()
    }
}

/// The answer to a text pop without a job.
pub fn no_text(counts: BTreeMap<&'static str, usize>) -> pb::PopTextResponse {
    pb::PopTextResponse {
        payload: Some(text::empty_payload()),
        skipped: skipped(counts),
        ..Default::default()
    }
}

/// A text job, or a batch of them.
pub fn text(grant: &Grant) -> pb::PopTextResponse {
    let Params::Text(params) = &grant.spec.params else { return no_text(BTreeMap::new()) };
    let ids: Vec<_> = grant.attempts.iter().map(|attempt| attempt.id.to_string()).collect();
    pb::PopTextResponse {
        payload: Some(text::payload(&grant.spec.prompt, params)),
        id: ids.first().cloned(),
        ids,
        ttl: i32::try_from(grant.ttl_seconds).ok(),
        softprompt: params.softprompt.clone(),
        model: grant.attempts.first().map(|attempt| attempt.model.clone()),
        ..Default::default()
    }
}

/// An image job, or a batch of them, with links to hand the images in. Bridges that cannot fetch get
/// the source images as base64.
///
/// # Errors
/// StoreUnavailable, when a source image must be read and cannot be.
pub async fn image(grant: &Grant, objects: &Objects, fetches: bool) -> Result<pb::PopImageResponse> {
    let Some(params) = grant.spec.params.image() else { return Ok(no_image(BTreeMap::new())) };
    let is_video = grant.spec.kind() == Kind::Video;
    // A job that may take hours is handed in hours later, and its lease grows with its reports.
    let valid = Duration::from_secs(grant.ttl_seconds * if is_video { LONGEST_LEASE } else { 1 });
    let upload = |attempt: &Attempt| objects.put_link_for(ObjectKey::Result(attempt.id), valid);
    let uploads: Vec<_> = grant.attempts.iter().map(upload).collect();
    let ids: Vec<_> = grant.attempts.iter().map(|attempt| attempt.id.to_string()).collect();
    let source = async |key, is_there: bool| match (is_there, fetches) {
        (false, _) => Ok(None),
        (true, true) => Ok(Some(objects.get_link(key))),
        (true, false) => objects.as_base64(key).await,
    };
    let request = grant.request;
    let mut extra_source_images = Vec::new();
    for (i, strength) in params.extra_sources.iter().enumerate() {
        let image = source(ObjectKey::Extra(request, i), true).await?;
        extra_source_images.push(pb::ExtraSourceImage { image, strength: Some(*strength) });
    }
    Ok(pb::PopImageResponse {
        payload: Some(payload(&grant.spec, params, grant)),
        id: ids.first().cloned(),
        ids,
        ttl: i32::try_from(grant.ttl_seconds).ok(),
        model: grant.attempts.first().map(|attempt| attempt.model.clone()),
        source_image: source(ObjectKey::Source(request), params.has_source).await?,
        source_processing: params.source_processing.clone(),
        source_mask: source(ObjectKey::Mask(request), params.has_mask).await?,
        extra_source_images,
        r2_upload: uploads.first().cloned(),
        r2_uploads: uploads,
        media_type: is_video.then(|| Kind::Video.word().to_owned()),
        ..Default::default()
    })
}

fn payload(spec: &Spec, params: &ImageParams, grant: &Grant) -> pb::ImagePayload {
    let is_video = spec.kind() == Kind::Video;
    let signed = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    pb::ImagePayload {
        prompt: Some(spec.prompt.clone()),
        seed: grant.attempts.first().map(|attempt| attempt.seed.to_string()),
        ddim_steps: signed(params.steps),
        n_iter: count(grant.attempts.len()),
        use_nsfw_censor: params.censor.then_some(true),
        sampler_name: params.sampler.clone(),
        cfg_scale: params.cfg_scale,
        height: signed(params.height),
        width: signed(params.width),
        karras: params.karras,
        tiling: params.tiling,
        hires_fix: params.hires_fix,
        transparent: params.transparent,
        image_is_control: params.image_is_control,
        return_control_map: params.return_control_map,
        denoising_strength: params.denoising_strength,
        hires_fix_denoising_strength: params.hires_fix_denoising_strength,
        post_processing: params.post_processing.clone(),
        clip_skip: params.clip_skip.map(signed),
        facefixer_strength: params.facefixer_strength,
        loras: params
            .loras
            .iter()
            .map(|lora| pb::Lora {
                name: Some(lora.name.clone()),
                model: Some(lora.model),
                clip: Some(lora.clip),
                inject_trigger: lora.inject_trigger.clone(),
                is_version: lora.is_version,
            })
            .collect(),
        tis: params
            .tis
            .iter()
            .map(|inversion| pb::TextualInversion {
                name: Some(inversion.name.clone()),
                inject_ti: inversion.inject.clone(),
                strength: Some(inversion.strength),
            })
            .collect(),
        control_type: params.control_type.clone(),
        extra_texts: params
            .extra_texts
            .iter()
            .map(|extra| pb::ExtraText {
                text: Some(extra.text.clone()),
                reference: Some(extra.reference.clone()),
            })
            .collect(),
        workflow: params.workflow.clone(),
        special: params.special.clone().map(Struct),
        batch_size: is_video.then(|| count(grant.attempts.len())),
        seeds: if is_video { video::seeds(grant) } else { Vec::new() },
    }
}
