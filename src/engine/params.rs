//! Rules of parameters that no single field can tell. Order and codes: the v2 contract.

use std::collections::HashSet;

use crate::domain::{
    Error, Result,
    error::ParamRule,
    request::{AlchemyParams, ImageParams, Params, Spec, TextParams},
};

/// Most words of a prompt.
const MAX_WORDS: usize = 7500;
/// Most distinct stop sequences, and characters of all of them.
const MAX_STOPS: (usize, usize) = (128, 2000);
/// Most tiles of 512 × 512 pixels that forms are done with. Source: the v2 contract.
const MAX_TILES: u32 = 255;
/// Distinct entries that a sampler order needs.
const SAMPLERS: usize = 7;
/// Post-processors that leave the size as it is.
const NO_UPSCALERS: [&str; 5] = ["GFPGAN", "CodeFormers", "strip_background", "RestoreFormer", "GFPGANv1.3"];

/// Whether each job is to go to a worker by itself, by the requester's wish.
pub(super) fn asks_for_single_jobs(spec: &Spec) -> bool {
    spec.params.image().is_some_and(|image| image.disable_batching)
}

/// Checks what is asked for.
///
/// # Errors
/// The first rule that is broken.
pub(super) fn check(spec: &Spec) -> Result<()> {
    match &spec.params {
        Params::Image(image) | Params::Video(image) => image_rules(&spec.prompt, image),
        Params::Text(text) => text_rules(text),
        Params::Alchemy(alchemy) => alchemy_rules(alchemy),
    }
}

fn alchemy_rules(alchemy: &AlchemyParams) -> Result<()> {
    if alchemy.tiles > MAX_TILES {
        return Err(Error::params(
            ParamRule::SourceImageResolutionExceeded,
            format!(
                "the source image has {} tiles of 512×512 pixels; {MAX_TILES} are allowed: make it smaller",
                alchemy.tiles
            ),
        ));
    }
    Ok(())
}

fn image_rules(prompt: &str, image: &ImageParams) -> Result<()> {
    let refuse = |rule, message: &str| Err(Error::params(rule, message));
    let has_control = image.control_type.is_some();
    if image.loras.iter().any(|l| l.is_version && !l.name.bytes().all(|b| b.is_ascii_digit())) {
        return refuse(ParamRule::BadLoraVersion, "the name of a LoRA version is its number, in digits");
    }
    if prompt.split_whitespace().nth(MAX_WORDS).is_some() {
        return refuse(ParamRule::InvalidPromptSize, "the prompt has more than 7500 words: shorten it");
    }
    let is_upscaler = |name: &&String| !NO_UPSCALERS.contains(&name.as_str());
    if image.post_processing.iter().filter(is_upscaler).count() > 1 {
        return refuse(ParamRule::TooManyUpscalers, "only one upscaler can be used in a request");
    }
    let cents = image.cfg_scale * 100.0;
    if (cents - cents.round()).abs() > 1e-6 {
        return refuse(ParamRule::BadCfgDecimals, "cfg_scale may have two decimals at most");
    }
    if image.has_mask && !image.has_source {
        return refuse(ParamRule::SourceMaskUnnecessary, "a source_mask needs a source_image");
    }
    if has_control && !image.has_source {
        return refuse(ParamRule::ControlNetSourceMissing, "control_type needs a source_image");
    }
    if has_control && image.is_painting() {
        return refuse(
            ParamRule::ControlNetInpaintingMismatch,
            "control_type cannot be used with inpainting or outpainting",
        );
    }
    if !image.extra_sources.is_empty() && image.source_processing != "remix" {
        return refuse(
            ParamRule::InvalidExtraSourceImages,
            "extra_source_images need source_processing remix",
        );
    }
    if !image.extra_texts.is_empty() && image.workflow.is_none() {
        return refuse(ParamRule::InvalidExtraTexts, "extra_texts need a workflow that reads them");
    }
    if image.image_is_control && image.return_control_map {
        return refuse(
            ParamRule::ControlNetInvalidPayload,
            "image_is_control and return_control_map exclude each other",
        );
    }
    Ok(())
}

fn text_rules(text: &TextParams) -> Result<()> {
    if text.max_context_length < text.max_length {
        return Err(Error::params(
            ParamRule::TokenOverflow,
            format!(
                "max_context_length ({}) is smaller than max_length ({})",
                text.max_context_length, text.max_length
            ),
        ));
    }
    let samplers: HashSet<_> = text.sampler_order.iter().collect();
    if !samplers.is_empty() && samplers.len() < SAMPLERS {
        return Err(Error::params(
            ParamRule::MissingFullSamplerOrder,
            "sampler_order must name all seven samplers, or be left out",
        ));
    }
    let stops: HashSet<_> = text.stop_sequence.iter().collect();
    if stops.len() > MAX_STOPS.0 {
        return Err(Error::params(
            ParamRule::TooManyStopSequences,
            format!("{} stop sequences are more than {}", stops.len(), MAX_STOPS.0),
        ));
    }
    let characters: usize = stops.iter().map(|stop| stop.chars().count()).sum();
    if characters > MAX_STOPS.1 {
        return Err(Error::params(
            ParamRule::ExcessiveStopSequence,
            format!("the stop sequences have {characters} characters; {} are allowed", MAX_STOPS.1),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::request::{ExtraText, Lora, tests::image};

    fn broken(result: Result<()>) -> Option<ParamRule> {
        match result {
            Err(Error::BadParams { rule, .. }) => Some(rule),
            _ => None,
        }
    }

    #[test]
    fn each_rule_of_image_parameters_has_its_code() {
        use ParamRule::*;
        let lora = Lora { name: "abc".into(), model: 1.0, clip: 1.0, inject_trigger: None, is_version: true };
        let extra = ExtraText { text: "x".into(), reference: "ref".into() };
        let control = Some("canny".to_owned());
        let cases = [
            (ImageParams { loras: vec![lora], ..image() }, Some(BadLoraVersion)),
            (
                ImageParams { post_processing: vec!["NMKD_Siax".into(), "4x_AnimeSharp".into()], ..image() },
                Some(TooManyUpscalers),
            ),
            (ImageParams { post_processing: vec!["NMKD_Siax".into(), "GFPGAN".into()], ..image() }, None),
            (ImageParams { cfg_scale: 7.123, ..image() }, Some(BadCfgDecimals)),
            (ImageParams { cfg_scale: 7.15, ..image() }, None),
            (ImageParams { has_mask: true, ..image() }, Some(SourceMaskUnnecessary)),
            (ImageParams { control_type: control.clone(), ..image() }, Some(ControlNetSourceMissing)),
            (
                ImageParams {
                    control_type: control,
                    has_source: true,
                    source_processing: "inpainting".into(),
                    ..image()
                },
                Some(ControlNetInpaintingMismatch),
            ),
            (ImageParams { extra_sources: vec![1.0], ..image() }, Some(InvalidExtraSourceImages)),
            (ImageParams { extra_texts: vec![extra], ..image() }, Some(InvalidExtraTexts)),
            (
                ImageParams { image_is_control: true, return_control_map: true, ..image() },
                Some(ControlNetInvalidPayload),
            ),
        ];
        for (params, rule) in cases {
            assert_eq!(broken(image_rules("a cat", &params)), rule, "{params:?}");
        }
        assert_eq!(broken(image_rules(&"w ".repeat(7501), &image())), Some(InvalidPromptSize));
        assert_eq!(broken(image_rules(&"w ".repeat(7500), &image())), None);
    }

    #[test]
    fn each_rule_of_text_parameters_has_its_code() {
        use ParamRule::*;
        let plain = TextParams { max_length: 80, max_context_length: 2048, ..Default::default() };
        let stops = |n: usize, length: usize| (0..n).map(|i| format!("{i:0length$}")).collect::<Vec<_>>();
        let cases = [
            (TextParams { max_context_length: 79, ..plain.clone() }, Some(TokenOverflow)),
            (
                TextParams { sampler_order: vec![0, 1, 2, 3, 4, 5, 5], ..plain.clone() },
                Some(MissingFullSamplerOrder),
            ),
            (TextParams { sampler_order: vec![6, 0, 1, 2, 3, 4, 5], ..plain.clone() }, None),
            (TextParams { stop_sequence: stops(129, 4), ..plain.clone() }, Some(TooManyStopSequences)),
            (TextParams { stop_sequence: stops(128, 4), ..plain.clone() }, None),
            (TextParams { stop_sequence: stops(2, 1001), ..plain.clone() }, Some(ExcessiveStopSequence)),
            (plain, None),
        ];
        for (params, rule) in cases {
            assert_eq!(broken(text_rules(&params)), rule);
        }
    }
}
