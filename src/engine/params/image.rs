//! Rules of images that ask for no model.

use super::{Look, refuse_if};
use crate::domain::{Result, error::ParamRule};

/// Most words of a prompt.
const MAX_WORDS: usize = 7500;
/// Most LoRAs, and textual inversions.
const MAX_LORAS: usize = 5;
const MAX_TIS: usize = 20;
/// Post-processors that leave the size as it is.
const NO_UPSCALERS: [&str; 5] = ["GFPGAN", "CodeFormers", "strip_background", "RestoreFormer", "GFPGANv1.3"];
/// The workflow that reads texts, and what it calls the one that it needs.
pub(super) const QR_CODE: &str = "qr_code";

pub(super) fn loras(look: &Look<'_>) -> Result<()> {
    let is_broken = look.image.loras.len() > MAX_LORAS;
    refuse_if(
        is_broken,
        ParamRule::TooManyLoras,
        "more than 5 LoRAs cannot be used in a request: leave some out",
    )
}

pub(super) fn lora_versions(look: &Look<'_>) -> Result<()> {
    let is_number = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
    let is_broken = look.image.loras.iter().any(|lora| lora.is_version && !is_number(&lora.name));
    refuse_if(is_broken, ParamRule::BadLoraVersion, "the name of a LoRA version is its number, in digits")
}

pub(super) fn inversions(look: &Look<'_>) -> Result<()> {
    let is_broken = look.image.tis.len() > MAX_TIS;
    let message = "more than 20 textual inversions cannot be used in a request: leave some out";
    refuse_if(is_broken, ParamRule::TooManyTis, message)
}

pub(super) fn prompt_size(look: &Look<'_>) -> Result<()> {
    let is_broken = look.prompt.split_whitespace().nth(MAX_WORDS).is_some();
    let message = "the prompt has more than 7500 words: shorten it";
    refuse_if(is_broken, ParamRule::InvalidPromptSize, message)
}

pub(super) fn upscalers(look: &Look<'_>) -> Result<()> {
    let is_upscaler = |name: &&String| !NO_UPSCALERS.contains(&name.as_str());
    let is_broken = look.image.post_processing.iter().filter(is_upscaler).count() > 1;
    refuse_if(is_broken, ParamRule::TooManyUpscalers, "only one upscaler can be used in a request")
}

pub(super) fn cfg_scale(look: &Look<'_>) -> Result<()> {
    let cents = look.image.cfg_scale * 100.0;
    refuse_if(!cents.is_finite(), ParamRule::BadCfgNumber, "cfg_scale must be a number")?;
    let is_broken = (cents - cents.round()).abs() > 1e-6;
    refuse_if(is_broken, ParamRule::BadCfgDecimals, "cfg_scale may have two decimals at most")
}

pub(super) fn mask(look: &Look<'_>) -> Result<()> {
    let is_broken = look.image.has_mask && !look.image.has_source;
    refuse_if(is_broken, ParamRule::SourceMaskUnnecessary, "a source_mask needs a source_image")
}

pub(super) fn control_source(look: &Look<'_>) -> Result<()> {
    let is_broken = look.image.control_type.is_some() && !look.image.has_source;
    refuse_if(is_broken, ParamRule::ControlNetSourceMissing, "control_type needs a source_image")
}

pub(super) fn control_and_painting(look: &Look<'_>) -> Result<()> {
    let is_broken = look.image.control_type.is_some() && look.image.is_painting();
    let message = "control_type cannot be used with inpainting or outpainting";
    refuse_if(is_broken, ParamRule::ControlNetInpaintingMismatch, message)
}

pub(super) fn transparent_sources(look: &Look<'_>) -> Result<()> {
    let is_broken = look.image.transparent && !look.image.extra_sources.is_empty();
    let message = "transparent cannot be used with extra_source_images";
    refuse_if(is_broken, ParamRule::InvalidTransparencyImg2Img, message)
}

pub(super) fn transparent_control(look: &Look<'_>) -> Result<()> {
    let is_broken = look.image.transparent && look.image.control_type.is_some();
    let message = "transparent cannot be used with control_type";
    refuse_if(is_broken, ParamRule::InvalidTransparencyCn, message)
}

pub(super) fn extra_sources(look: &Look<'_>) -> Result<()> {
    let is_broken = !look.image.extra_sources.is_empty() && look.image.source_processing != "remix";
    let message = "extra_source_images need source_processing remix";
    refuse_if(is_broken, ParamRule::InvalidExtraSourceImages, message)
}

pub(super) fn extra_texts(look: &Look<'_>) -> Result<()> {
    let is_broken = !look.image.extra_texts.is_empty() && look.image.workflow.as_deref() != Some(QR_CODE);
    let message = "extra_texts need a workflow that reads them: qr_code";
    refuse_if(is_broken, ParamRule::InvalidExtraTexts, message)
}

pub(super) fn missing_texts(look: &Look<'_>) -> Result<()> {
    let is_there = look.image.extra_texts.iter().any(|extra| extra.reference == QR_CODE);
    let is_broken = look.image.workflow.as_deref() == Some(QR_CODE) && !is_there;
    let message = "the workflow qr_code needs an entry of extra_texts whose reference is \"qr_code\"";
    refuse_if(is_broken, ParamRule::MissingExtraTexts, message)
}

pub(super) fn control_map(look: &Look<'_>) -> Result<()> {
    let is_broken = look.image.image_is_control && look.image.return_control_map;
    let message = "image_is_control and return_control_map exclude each other";
    refuse_if(is_broken, ParamRule::ControlNetInvalidPayload, message)
}
