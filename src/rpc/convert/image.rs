//! Image requests → [`Spec`].

use super::{first_workers, unsigned, video, worker_list};
use crate::{
    domain::request::{ExtraText, ImageParams, Lora, Params, Spec, TextualInversion},
    engine::Asked,
    rpc::{check::Check, pb},
};

/// The source images of a request, still as they were sent.
#[derive(Default)]
pub struct Sources {
    /// The image to start from.
    pub source: Option<String>,
    /// Its mask.
    pub mask: Option<String>,
    /// Further images.
    pub extra: Vec<String>,
}

impl Sources {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.source.is_none() && self.mask.is_none() && self.extra.is_empty()
    }
}

/// What a checked request asks for, and its source images apart.
pub fn asked(mut message: pb::SubmitImageRequest) -> (Asked, Sources) {
    let (workers, unknown_worker) = worker_list(&message.workers);
    let (has_nul, allow_downgrade) = (message.has_nul(), message.allow_downgrade);
    let replacement_filter = message.replacement_filter.unwrap_or(true);
    let models = video::models(&mut message);
    let origin = video::origin(&mut message);
    let processing = message.source_processing.unwrap_or_default();
    let params = message.params.unwrap_or_default();
    let is_nsfw = message.nsfw.unwrap_or(true);
    // That is how some clients say that there is no source.
    let has_none = matches!(processing.as_str(), "txt2img" | "txt2video");
    let source = message.source_image.filter(|image| !image.is_empty() && !has_none);
    let mask = message.source_mask.filter(|mask| !mask.is_empty());
    let (extra, extra_sources) = message
        .extra_source_images
        .into_iter()
        .map(|extra| (extra.image.unwrap_or_default(), extra.strength.unwrap_or(1.0)))
        .unzip();
    let has_control = params.control_type.is_some();
    let steps = match (params.steps.map(unsigned), has_control) {
        (Some(steps), true) => steps.min(40),
        (None, true) => 20,
        (steps, false) => steps.unwrap_or(30),
    };
    let jobs = unsigned(params.n()) as usize;
    let image = ImageParams {
        sampler: params.sampler_name().to_owned(),
        cfg_scale: params.cfg_scale(),
        steps,
        width: unsigned(params.width()),
        height: unsigned(params.height()),
        seed: params.seed.as_deref().and_then(seed),
        seed_variation: params.seed_variation.map(unsigned),
        karras: params.karras(),
        tiling: params.tiling,
        hires_fix: params.hires_fix,
        transparent: params.transparent,
        denoising_strength: params.denoising_strength,
        hires_fix_denoising_strength: params.hires_fix_denoising_strength,
        facefixer_strength: params.facefixer_strength,
        clip_skip: params.clip_skip.map(unsigned),
        post_processing: params.post_processing,
        control_type: params.control_type,
        image_is_control: params.image_is_control,
        return_control_map: params.return_control_map,
        loras: params.loras.into_iter().map(lora).collect(),
        tis: params.tis.into_iter().map(inversion).collect(),
        extra_texts: params.extra_texts.into_iter().map(extra_text).collect(),
        disable_batching: message.disable_batching,
        workflow: params.workflow,
        special: params.special.map(|special| special.0),
        extra_slow_workers: message.extra_slow_workers,
        censor: !is_nsfw && message.censor_nsfw.unwrap_or(true),
        links: message.r2.unwrap_or(true),
        // Remix is a wish of its own, which not every model can fulfil; the others say what to do with a source.
        source_processing: match source.is_some() || processing == "remix" {
            true => processing,
            false => "img2img".into(),
        },
        has_source: source.is_some(),
        has_mask: mask.is_some(),
        extra_sources,
    };
    let spec = Spec {
        prompt: message.prompt.unwrap_or_default(),
        jobs,
        models,
        nsfw: is_nsfw,
        trusted_workers: message.trusted_workers,
        slow_workers: message.slow_workers.unwrap_or(true),
        validated_backends: message.validated_backends,
        workers: first_workers(&workers),
        worker_blacklist: message.worker_blacklist,
        webhook: message.webhook,
        origin,
        params: Params::Image(Box::new(image)),
    };
    let asked =
        Asked { allow_downgrade, workers, unknown_worker, replacement_filter, has_nul, ..spec.into() };
    (asked, Sources { source, mask, extra })
}

/// The number that a seed's text stands for: its digits, or else its bytes as a little-endian number;
/// then shifted right by 32 bits until it fits. Empty: none.
///
/// Source: the seed rule of the v2 contract.
pub fn seed(text: &str) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    // The last shift leaves the most significant words: which ones, is a question of how many there are.
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(top_word(&big_endian_words(text)));
    }
    let bytes = text.as_bytes();
    let words: Vec<u32> = bytes
        .chunks(4)
        .rev()
        .map(|chunk| chunk.iter().rev().fold(0, |word, byte| (word << 8) | u32::from(*byte)))
        .collect();
    Some(top_word(&words))
}

/// What shifting by whole words leaves: the first word that is not zero, most significant first.
fn top_word(words: &[u32]) -> u32 {
    words.iter().copied().find(|word| *word != 0).unwrap_or(0)
}

/// A decimal number as words, most significant first.
fn big_endian_words(digits: &str) -> Vec<u32> {
    let mut words: Vec<u32> = vec![0];
    // The schema bounds no seed; past so many digits the rest cannot change what anybody relies on.
    for digit in digits.bytes().take(400) {
        let mut carry = u64::from(digit - b'0');
        for word in words.iter_mut().rev() {
            let value = u64::from(*word) * 10 + carry;
            *word = value as u32;
            carry = value >> 32;
        }
        if carry > 0 {
            words.insert(0, carry as u32);
        }
    }
    words
}

fn lora(lora: pb::Lora) -> Lora {
    Lora {
        model: lora.model(),
        clip: lora.clip(),
        name: lora.name.unwrap_or_default(),
        inject_trigger: lora.inject_trigger,
        is_version: lora.is_version,
    }
}

fn inversion(inversion: pb::TextualInversion) -> TextualInversion {
    TextualInversion {
        strength: inversion.strength(),
        name: inversion.name.unwrap_or_default(),
        inject: inversion.inject_ti,
    }
}

fn extra_text(extra: pb::ExtraText) -> ExtraText {
    ExtraText { text: extra.text.unwrap_or_default(), reference: extra.reference.unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_become_numbers_as_the_contract_says() {
        for (text, number, rule) in [
            ("", None, "an empty seed is none"),
            ("1234", Some(1234), "digits are that number"),
            ("4294967295", Some(u32::MAX), "the largest that fits"),
            ("4294967296", Some(1), "2^32 shifted by 32 bits"),
            ("36893488147419103232", Some(2), "2^65 shifted twice"),
            ("0", Some(0), "zero is a seed"),
            ("a", Some(97), "text is its bytes"),
            ("abcd", Some(0x6463_6261), "the first byte is the lowest"),
            ("abcde", Some(0x65), "and what is above 32 bits is what stays"),
            ("-1", Some(0x312d), "a sign is text"),
        ] {
            assert_eq!(seed(text), number, "{rule}");
        }
    }

    #[test]
    fn what_a_submit_says_of_itself_is_kept_apart_from_what_it_asks_for() {
        let ids: Vec<String> = (1..=7).map(|n| uuid::Uuid::from_u128(n).to_string()).collect();
        let message = pb::SubmitImageRequest {
            prompt: Some("a\0b".into()),
            workers: [&ids[..3], &["nobody".to_owned()], &ids[3..]].concat(),
            client_agent: Some("x".repeat(5000)),
            proxied_account: Some("somebody".into()),
            allow_downgrade: true,
            source_processing: Some("remix".into()),
            ..Default::default()
        };
        let (asked, sources) = super::asked(message);
        assert!(asked.has_nul && asked.allow_downgrade && sources.is_empty());
        assert_eq!((asked.workers.len(), asked.spec.workers.len()), (7, 5), "all are looked up, five count");
        assert_eq!(asked.unknown_worker.as_deref(), Some("nobody"));
        let origin = &asked.spec.origin;
        assert_eq!((origin.client_agent.len(), origin.proxied_account.as_deref()), (1000, Some("somebody")));
        let processing = |word: &str, source: Option<&str>| {
            let (asked, _) = super::asked(pb::SubmitImageRequest {
                source_processing: Some(word.into()),
                source_image: source.map(str::to_owned),
                ..Default::default()
            });
            asked.spec.params.image().expect("an image").source_processing.clone()
        };
        assert_eq!(processing("remix", None), "remix", "a wish of its own");
        assert_eq!(processing("inpainting", None), "img2img", "there is nothing to paint in");
        assert_eq!(processing("inpainting", Some("AAAA")), "inpainting");
        assert_eq!(processing("txt2img", Some("AAAA")), "img2img", "no source");
    }

    #[test]
    fn control_types_cap_and_lower_the_steps() {
        let steps = |steps: Option<i32>, control: bool| {
            let params = pb::ImageParams {
                steps,
                control_type: control.then(|| "canny".to_owned()),
                ..Default::default()
            };
            let message = pb::SubmitImageRequest { params: Some(params), ..Default::default() };
            let (asked, _) = super::asked(message);
            asked.spec.params.image().expect("an image request is an image spec").steps
        };
        assert_eq!(
            [steps(None, false), steps(None, true), steps(Some(50), true), steps(Some(50), false)],
            [30, 20, 40, 50]
        );
    }
}
