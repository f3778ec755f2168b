//! Rules of images that ask what models can do.

use super::{Look, image::QR_CODE, refuse_if};
use crate::domain::{Error, Result, error::ParamRule};

/// Control types that SD 2 does not have.
const NOT_OF_SD2: [&str; 3] = ["normal", "hough", "mlsd"];
/// What is done to an image and is no model.
const POST_PROCESSORS: [&str; 16] = [
    "GFPGAN",
    "RealESRGAN_x4plus",
    "RealESRGAN_x2plus",
    "RealESRGAN_x4plus_anime_6B",
    "NMKD_Siax",
    "4x_AnimeSharp",
    "CodeFormers",
    "strip_background",
    "4xNomos8kSC",
    "4xLSDIRplus",
    "4xNomosWebPhoto_RealPLKSR",
    "4xNomos2_realplksr_dysample",
    "4xNomos2_hq_dat2",
    "2xModernSpanimationV1",
    "GFPGANv1.3",
    "RestoreFormer",
];

impl Look<'_> {
    /// The first model whose baseline is such.
    fn based(&self, is_such: fn(&str) -> bool) -> Option<&str> {
        self.names.iter().map(|name| &**name).find(|name| is_such(self.models.baseline(name)))
    }

    fn has_control(&self) -> bool {
        self.image.control_type.is_some()
    }
}

fn is_flux(baseline: &str) -> bool {
    baseline.starts_with("flux")
}

fn is_sd2(baseline: &str) -> bool {
    baseline.starts_with("stable diffusion 2")
}

fn is_neither_sd1_nor_xl(baseline: &str) -> bool {
    !matches!(baseline, "stable diffusion 1" | "stable_diffusion_xl")
}

/// A refusal that names the model.
fn refuse(model: Option<&str>, rule: ParamRule, message: &str) -> Result<()> {
    match model {
        None => Ok(()),
        Some(name) => Err(Error::params(rule, format!("{name}: {message}"))),
    }
}

pub(super) fn hires_fix(look: &Look<'_>) -> Result<()> {
    if !look.image.hires_fix {
        return Ok(());
    }
    let message = "this model cannot be used with hires_fix: turn it off";
    for is_such in
        [is_flux, |b: &str| b == "qwen_image", |b: &str| b == "z_image_turbo"] as [fn(&str) -> bool; 3]
    {
        refuse(look.based(is_such), ParamRule::HiResMismatch, message)?;
    }
    Ok(())
}

pub(super) fn transparent(look: &Look<'_>) -> Result<()> {
    let model = look.based(is_neither_sd1_nor_xl).filter(|_| look.image.transparent);
    let message = "only models of Stable Diffusion 1 and XL draw transparent images";
    refuse(model, ParamRule::InvalidTransparencyModel, message)
}

pub(super) fn qr_code(look: &Look<'_>) -> Result<()> {
    let is_asked_for = look.image.workflow.as_deref() == Some(QR_CODE);
    let model = look.based(is_neither_sd1_nor_xl).filter(|_| is_asked_for);
    let message = "only models of Stable Diffusion 1 and XL can be used with the workflow qr_code";
    refuse(model, ParamRule::ControlNetMismatch, message)
}

pub(super) fn names(look: &Look<'_>) -> Result<()> {
    let model = look.names.iter().map(|name| &**name).find(|name| POST_PROCESSORS.contains(name));
    let message = "this is a post-processor and no model: name it in params.post_processing";
    refuse(model, ParamRule::UnexpectedModelName, message)
}

pub(super) fn control_of_sd2(look: &Look<'_>) -> Result<()> {
    let is_missing = look.image.control_type.as_deref().is_some_and(|kind| NOT_OF_SD2.contains(&kind));
    let message = "Stable Diffusion 2 has no such control_type: choose another one";
    refuse(look.based(is_sd2).filter(|_| is_missing), ParamRule::ControlNetUnsupported, message)
}

pub(super) fn control_of_pix2pix(look: &Look<'_>) -> Result<()> {
    let is_named = look.names.iter().any(|name| &**name == "pix2pix");
    let message = "pix2pix has no control_type: leave it out";
    refuse_if(is_named && look.has_control(), ParamRule::ControlNetUnsupported, message)
}

pub(super) fn control(look: &Look<'_>) -> Result<()> {
    let has_none = |baseline: &str| {
        matches!(baseline, "stable_diffusion_xl" | "stable_cascade" | "qwen_image" | "z_image_turbo")
            || is_flux(baseline)
    };
    let model = look.based(has_none).filter(|_| look.has_control());
    refuse(model, ParamRule::ControlNetMismatch, "this model cannot be used with control_type")
}

pub(super) fn remix(look: &Look<'_>) -> Result<()> {
    let model = look.based(|b| b != "stable_cascade").filter(|_| look.image.source_processing == "remix");
    refuse(model, ParamRule::InvalidRemix, "only models of Stable Cascade remix")
}

pub(super) fn needs_source(look: &Look<'_>) -> Result<()> {
    let needs_it = |name: &&str| {
        matches!(*name, "pix2pix" | "Stable Diffusion 2 Depth")
            || look.models.image(name).is_some_and(|known| known.needs_source())
    };
    let model = look.names.iter().map(|name| &**name).find(needs_it).filter(|_| !look.image.has_source);
    refuse(model, ParamRule::SourceImageRequiredForModel, "this model needs a source_image")
}

pub(super) fn control_alone(look: &Look<'_>) -> Result<()> {
    let is_control = |name: &&str| look.models.image(name).is_some_and(|known| known.is_control());
    let model = look.names.iter().map(|name| &**name).find(is_control).filter(|_| !look.image.has_source);
    let message = "this model only controls others, by a source_image: send one";
    refuse(model, ParamRule::UnexpectedModelName, message)
}
