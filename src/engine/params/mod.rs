//! Rules of parameters that no single field can tell. The lists are the order in which they are asked;
//! order and codes: the v2 contract, whose steps the comments number.

mod alchemy;
mod image;
mod models;
mod special;
mod text;

use std::sync::Arc;

use super::submit::Asked;
use crate::domain::{
    Error, Result,
    error::ParamRule,
    price::ModelSizes,
    request::{ImageParams, Params},
    user::User,
};

/// What a rule looks at.
struct Look<'a> {
    prompt: &'a str,
    image: &'a ImageParams,
    /// Models that it names.
    names: &'a [Arc<str>],
    models: &'a dyn ModelSizes,
    user: &'a User,
    /// In raid mode it comes from where only trusted users are heard.
    is_raid: bool,
}

/// A rule of images.
type ImageRule = fn(&Look<'_>) -> Result<()>;

/// Rules of images, in their order: those that hold for styles as well.
const STYLE_RULES: &[ImageRule] = &[
    // 19
    models::hires_fix,
    image::loras,
    image::lora_versions,
    image::inversions,
    models::transparent,
    models::qr_code,
    image::prompt_size,
    models::names,
    image::upscalers,
    image::cfg_scale,
    // 20
    special::models,
    // 21
    raid,
    // 22
    special::payload,
];

/// And those that come after them, which look at more than styles say.
const REQUEST_RULES: &[ImageRule] = &[
    // 23
    image::mask,
    models::control_of_sd2,
    models::control_of_pix2pix,
    image::control_source,
    image::control_and_painting,
    models::control,
    image::transparent_sources,
    image::transparent_control,
    models::remix,
    image::extra_sources,
    image::extra_texts,
    image::missing_texts,
    image::control_map,
    models::needs_source,
    models::control_alone,
];

/// Whether each job is to go to a worker by itself, by the requester's wish.
pub(super) fn asks_for_single_jobs(asked: &Asked) -> bool {
    asked.single_jobs || asked.spec.params.image().is_some_and(|image| image.disable_batching)
}

/// Checks what is asked for: steps 19 to 24 of images, and those of texts in their place.
///
/// # Errors
/// The first rule that is broken.
pub(super) fn check(asked: &Asked, user: &User, models: &dyn ModelSizes, is_raid: bool) -> Result<()> {
    let spec = &asked.spec;
    match &spec.params {
        Params::Image(image) | Params::Video(image) => {
            let look = Look { prompt: &spec.prompt, image, names: &spec.models, models, user, is_raid };
            STYLE_RULES.iter().chain(REQUEST_RULES).try_for_each(|rule| rule(&look))
        }
        Params::Text(text) => text::rules(text, asked.extra_images),
        Params::Alchemy(_) if is_raid => Err(Error::UntrustedUnsafeIp),
        Params::Alchemy(forms) => alchemy::check(forms),
    }
}

/// Checks what a style says, as far as it says it: steps 19 to 22 of images, and the rules of texts.
///
/// # Errors
/// The first rule that is broken.
pub(super) fn check_style(asked: &Asked, author: &User, models: &dyn ModelSizes) -> Result<()> {
    let spec = &asked.spec;
    match &spec.params {
        Params::Image(image) | Params::Video(image) => {
            let look = Look {
                prompt: &spec.prompt,
                image,
                names: &spec.models,
                models,
                user: author,
                is_raid: false,
            };
            STYLE_RULES.iter().try_for_each(|rule| rule(&look))
        }
        Params::Text(text) => text::rules(text, 0),
        Params::Alchemy(_) => Ok(()),
    }
}

fn raid(look: &Look<'_>) -> Result<()> {
    if look.is_raid { Err(Error::UntrustedUnsafeIp) } else { Ok(()) }
}

/// A refusal, if something is so.
fn refuse_if(is_so: bool, rule: ParamRule, message: &str) -> Result<()> {
    if is_so { Err(Error::params(rule, message)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::{
        domain::{
            models::ModelReference,
            request::{ExtraText, Lora, Spec, TextualInversion, tests::image},
            user::Role,
        },
        engine::stage::image_spec,
    };

    fn lora(name: &str, is_version: bool) -> Lora {
        Lora { name: name.into(), model: 1.0, clip: 1.0, inject_trigger: None, is_version }
    }

    fn text(reference: &str) -> ExtraText {
        ExtraText { text: "x".into(), reference: reference.into() }
    }

    fn outcome(models: &[&str], prompt: &str, params: ImageParams, user: &User) -> Result<()> {
        let models = models.iter().map(|model| (*model).into()).collect();
        let spec =
            Spec { models, prompt: prompt.into(), params: Params::Image(Box::new(params)), ..image_spec(1) };
        check(&spec.into(), user, &ModelReference::built_in(), false)
    }

    fn broken(models: &[&str], params: ImageParams) -> Option<ParamRule> {
        match outcome(models, "a cat", params, &User::anonymous()) {
            Ok(()) => None,
            Err(Error::BadParams { rule, .. }) => Some(rule),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn each_rule_of_images_has_its_code() {
        use ParamRule::*;
        const SD: &[&str] = &["stable_diffusion"];
        const SD2: &[&str] = &["stable_diffusion_2.1"];
        const XL: &[&str] = &["SDXL 1.0"];
        const CASCADE: &[&str] = &["Stable Cascade 1.0"];
        let plain = image();
        let sourced = ImageParams { has_source: true, ..image() };
        let control =
            |kind: &str| ImageParams { control_type: Some(kind.into()), has_source: true, ..image() };
        let hires = ImageParams { hires_fix: true, ..image() };
        let clear = ImageParams { transparent: true, ..image() };
        let remix = ImageParams { source_processing: "remix".into(), has_source: true, ..image() };
        let qr = |texts: Vec<ExtraText>| ImageParams {
            workflow: Some("qr_code".into()),
            extra_texts: texts,
            ..image()
        };
        let ti = TextualInversion { name: "x".into(), inject: None, strength: 1.0 };
        let processors = |names: &[&str]| ImageParams {
            post_processing: names.iter().map(|name| (*name).into()).collect(),
            ..image()
        };
        let rows: Vec<(&[&str], ImageParams, Option<ParamRule>)> = vec![
            (SD, plain.clone(), None),
            (&[], plain.clone(), None),
            (&["Flux.1-Schnell fp8 (Compact)"], hires.clone(), Some(HiResMismatch)),
            (&["Qwen-Image_fp8"], hires.clone(), Some(HiResMismatch)),
            (&["stable_diffusion", "x [ZImage]"], hires.clone(), Some(HiResMismatch)),
            (CASCADE, hires, None),
            (SD, ImageParams { loras: vec![lora("x", false); 6], ..image() }, Some(TooManyLoras)),
            (SD, ImageParams { loras: vec![lora("x", false); 5], ..image() }, None),
            (SD, ImageParams { loras: vec![lora("v1", true)], ..image() }, Some(BadLoraVersion)),
            (SD, ImageParams { loras: vec![lora("12", true)], ..image() }, None),
            (SD, ImageParams { tis: vec![ti.clone(); 21], ..image() }, Some(TooManyTis)),
            (SD, ImageParams { tis: vec![ti; 20], ..image() }, None),
            (SD2, clear.clone(), Some(InvalidTransparencyModel)),
            (&["SDXL 1.0", "Stable Cascade 1.0"], clear.clone(), Some(InvalidTransparencyModel)),
            (XL, clear.clone(), None),
            (CASCADE, qr(vec![text("qr_code")]), Some(ControlNetMismatch)),
            (XL, qr(vec![text("qr_code")]), None),
            (&["CodeFormers"], plain.clone(), Some(UnexpectedModelName)),
            (SD, processors(&["NMKD_Siax", "4x_AnimeSharp"]), Some(TooManyUpscalers)),
            (SD, processors(&["NMKD_Siax", "GFPGAN", "RestoreFormer"]), None),
            (SD, ImageParams { cfg_scale: f64::NAN, ..image() }, Some(BadCfgNumber)),
            (SD, ImageParams { cfg_scale: f64::INFINITY, ..image() }, Some(BadCfgNumber)),
            (SD, ImageParams { cfg_scale: 7.123, ..image() }, Some(BadCfgDecimals)),
            (SD, ImageParams { cfg_scale: 7.15, ..image() }, None),
            (SD, ImageParams { has_mask: true, ..image() }, Some(SourceMaskUnnecessary)),
            (SD, ImageParams { has_mask: true, ..sourced.clone() }, None),
            (SD2, control("normal"), Some(ControlNetUnsupported)),
            (&["stable_diffusion_2_512"], control("hough"), Some(ControlNetUnsupported)),
            (SD2, control("canny"), None),
            (&["pix2pix"], control("canny"), Some(ControlNetUnsupported)),
            (SD, ImageParams { has_source: false, ..control("canny") }, Some(ControlNetSourceMissing)),
            (
                SD,
                ImageParams { source_processing: "outpainting".into(), ..control("canny") },
                Some(ControlNetInpaintingMismatch),
            ),
            (XL, control("canny"), Some(ControlNetMismatch)),
            (CASCADE, control("canny"), Some(ControlNetMismatch)),
            (&["x [Flux]"], control("canny"), Some(ControlNetMismatch)),
            (&["x [Qwen]"], control("canny"), Some(ControlNetMismatch)),
            (&["x [ZModel]"], control("canny"), Some(ControlNetMismatch)),
            (SD, control("canny"), None),
            (SD, ImageParams { extra_sources: vec![1.0], ..clear }, Some(InvalidTransparencyImg2Img)),
            (SD, ImageParams { transparent: true, ..control("canny") }, Some(InvalidTransparencyCn)),
            (SD, remix.clone(), Some(InvalidRemix)),
            (CASCADE, ImageParams { extra_sources: vec![1.0], ..remix }, None),
            (SD, ImageParams { extra_sources: vec![1.0], ..sourced.clone() }, Some(InvalidExtraSourceImages)),
            (SD, ImageParams { extra_texts: vec![text("ref")], ..image() }, Some(InvalidExtraTexts)),
            (SD, qr(vec![]), Some(MissingExtraTexts)),
            (SD, qr(vec![text("other")]), Some(MissingExtraTexts)),
            (SD, qr(vec![text("other"), text("qr_code")]), None),
            (
                SD,
                ImageParams { image_is_control: true, return_control_map: true, ..image() },
                Some(ControlNetInvalidPayload),
            ),
            (&["pix2pix"], plain.clone(), Some(SourceImageRequiredForModel)),
            (&["Stable Diffusion 2 Depth"], plain.clone(), Some(SourceImageRequiredForModel)),
            (&["pix2pix"], sourced.clone(), None),
            (&["control_v11_canny"], plain, Some(UnexpectedModelName)),
            (&["control_v11_canny"], sourced, None),
        ];
        for (models, params, rule) in rows {
            assert_eq!(broken(models, params.clone()), rule, "{models:?} {params:?}");
        }
    }

    #[test]
    fn a_prompt_has_7500_words() {
        let of = |words: usize| outcome(&["x"], &"w ".repeat(words), image(), &User::anonymous());
        assert!(matches!(of(7501), Err(Error::BadParams { rule: ParamRule::InvalidPromptSize, .. })));
        assert!(of(7500).is_ok());
    }

    #[test]
    fn special_models_are_for_their_users_and_read_a_payload() {
        let payload: Option<Map<_, _>> = json!({"a": 1}).as_object().cloned();
        let with = |special: &Option<Map<_, _>>| ImageParams { special: special.clone(), ..image() };
        let special = User { alias: "eve".into(), roles: vec![Role::Special], ..User::anonymous() };
        let nobody = User { roles: vec![], ..special.clone() };
        let own = &["horde_special::eve#0"];
        let code = |models: &[&str], special: &Option<Map<_, _>>, user: &User| match outcome(
            models,
            "x",
            with(special),
            user,
        ) {
            Ok(()) => "",
            Err(Error::Forbidden(_)) => "Forbidden",
            Err(Error::BadRequest(_)) => "BadRequest",
            Err(Error::BadParams { rule: ParamRule::SpecialMissingUsername, .. }) => "username",
            Err(Error::BadParams { rule: ParamRule::SpecialMissingPayload, .. }) => "payload",
            Err(other) => panic!("{other}"),
        };
        assert_eq!(code(own, &payload, &special), "");
        assert_eq!(code(own, &payload, &nobody), "Forbidden", "the role comes first");
        assert_eq!(code(&["horde_special"], &payload, &special), "username");
        assert_eq!(code(&["horde_special::bob#1"], &payload, &special), "Forbidden");
        assert_eq!(code(own, &None, &special), "payload");
        assert_eq!(code(&["x"], &payload, &nobody), "BadRequest", "a payload needs the role, too");
        assert_eq!(code(&["x"], &payload, &special), "");
    }

    #[test]
    fn the_first_broken_rule_counts() {
        use ParamRule::*;
        // Each change breaks a rule before those that are broken already.
        let mut params = image();
        let models = ["pix2pix", "Stable Cascade 1.0", "x [Flux]"];
        let mut check = |change: fn(&mut ImageParams), rule: ParamRule| {
            change(&mut params);
            assert_eq!(broken(&models, params.clone()), Some(rule));
        };
        check(|_| {}, SourceImageRequiredForModel);
        check(
            |image| {
                image.image_is_control = true;
                image.return_control_map = true;
            },
            ControlNetInvalidPayload,
        );
        check(|image| image.extra_texts = vec![text("ref")], InvalidExtraTexts);
        check(|image| image.extra_sources = vec![1.0], InvalidExtraSourceImages);
        check(|image| image.source_processing = "remix".into(), InvalidRemix);
        check(|image| image.control_type = Some("canny".into()), ControlNetUnsupported);
        check(|image| image.has_mask = true, SourceMaskUnnecessary);
        check(|image| image.cfg_scale = 1.001, BadCfgDecimals);
        check(
            |image| image.post_processing = vec!["NMKD_Siax".into(), "4x_AnimeSharp".into()],
            TooManyUpscalers,
        );
        check(|image| image.workflow = Some("qr_code".into()), ControlNetMismatch);
        check(|image| image.transparent = true, InvalidTransparencyModel);
        check(|image| image.loras = vec![lora("x", true)], BadLoraVersion);
        check(|image| image.loras = vec![lora("x", true); 6], TooManyLoras);
        check(|image| image.hires_fix = true, HiResMismatch);
    }
}
