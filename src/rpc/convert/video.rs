//! Messages of videos are those of images; and what the medium of a request is wished to be.

use std::sync::Arc;

use crate::{
    domain::request::{Kind, Origin},
    engine::{Grant, Wish},
    rpc::pb,
};

/// The model of image requests that name none.
const USUAL_MODEL: &str = "stable_diffusion";

/// Makes a message from the fields of the same names of another one, and what is said of the rest.
macro_rules! of_same_names {
    ($from:ident => pb::$to:ident { $($field:ident),* $(,)? } $($rest:tt)*) => {
        pb::$to { $($field: $from.$field,)* $($rest)* }
    };
}

/// A video request as the image request that it would be.
pub fn submit(m: pb::SubmitVideoRequest) -> pb::SubmitImageRequest {
    of_same_names!(m => pb::SubmitImageRequest {
        prompt, params, nsfw, censor_nsfw, trusted_workers, validated_backends, slow_workers,
        extra_slow_workers, workers, worker_blacklist, models, source_image, source_processing, source_mask,
        extra_source_images, r2, shared, replacement_filter, dry_run, proxied_account, disable_batching,
        allow_downgrade, webhook, style, wallet_id, tags, client_agent,
    } media_type: Some(Kind::Video.word().into()),)
}

/// A pop of videos as the pop of images that it would be.
pub fn pop(m: pb::PopVideoRequest) -> pb::PopImageRequest {
    of_same_names!(m => pb::PopImageRequest {
        name, models, bridge_agent, max_pixels, nsfw, blacklist, threads, amount, require_upfront_kudos,
        priority_usernames, allow_img2img, allow_painting, allow_unsafe_ipaddr, allow_post_processing,
        allow_controlnet, allow_sdxl_controlnet, allow_lora, limit_max_steps, extra_slow_worker,
        wallet_address,
    })
}

/// A video as handed in, as the image that it would be.
pub fn result(m: pb::SubmitVideoResultRequest) -> pb::SubmitImageResultRequest {
    of_same_names!(m => pb::SubmitImageResultRequest {
        id, generation, seed, state, censored, gen_metadata, tags, r2_download_url, file_size,
    })
}

/// What a request says of its medium.
pub fn wish(message: &pb::SubmitImageRequest) -> Wish {
    let media = match message.media_type.as_deref() {
        Some("video") => Some(Kind::Video),
        Some(_) => Some(Kind::Image),
        None => None,
    };
    Wish { media, is_video_mode: matches!(message.source_processing(), "txt2video" | "img2video") }
}

/// The models of a request. One that names none means the usual one, or any if it is for a video.
pub fn models(message: &mut pb::SubmitImageRequest) -> Vec<Arc<str>> {
    match message.models.take() {
        Some(models) => models.names.into_iter().map(Into::into).collect(),
        None if wish(message).is_for_video() => Vec::new(),
        None => vec![USUAL_MODEL.into()],
    }
}

/// What a request says of who asks.
pub fn origin(message: &mut pb::SubmitImageRequest) -> Origin {
    let tags = std::mem::take(&mut message.tags);
    let (agent, account) = (message.client_agent.take(), message.proxied_account.take());
    Origin { tags, ..super::origin(agent, account, message.wallet_id.take()) }
}

/// The seed of each job of a batch, as a worker counts them up.
pub fn seeds(grant: &Grant) -> Vec<i64> {
    let seed = |(i, attempt): (usize, &crate::domain::lease::Attempt)| i64::from(attempt.seed) + i as i64;
    grant.attempts.iter().enumerate().map(seed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_names_no_model_means_the_usual_one_or_any_for_a_video() {
        for (media_type, processing, named, models) in [
            (None, None, None, &["stable_diffusion"][..]),
            (Some("image"), None, None, &["stable_diffusion"]),
            (Some("video"), None, None, &[]),
            (None, Some("txt2video"), None, &[]),
            (Some("video"), None, Some("a"), &["a"]),
            (None, None, Some("a"), &["a"]),
        ] {
            let mut message = pb::SubmitImageRequest {
                media_type: media_type.map(Into::into),
                source_processing: processing.map(Into::into),
                models: named.map(|name| pb::ModelList { names: vec![name.into()] }),
                ..Default::default()
            };
            let found = super::models(&mut message);
            assert_eq!(found.iter().map(|model| &**model).collect::<Vec<_>>(), models, "{message:?}");
        }
    }

    #[test]
    fn a_video_request_loses_nothing_on_its_way() {
        let sent = pb::SubmitVideoRequest {
            prompt: Some("a wave".into()),
            tags: vec!["sea".into()],
            wallet_id: Some("0x1".into()),
            r2: Some(false),
            ..Default::default()
        };
        let mut message = submit(sent);
        assert_eq!(wish(&message), Wish::VIDEO);
        assert_eq!((message.prompt(), message.r2()), ("a wave", false));
        let origin = origin(&mut message);
        assert_eq!(
            (origin.wallet.as_deref(), origin.tags.as_slice()),
            (Some("0x1"), &["sea".to_owned()][..])
        );
    }
}
