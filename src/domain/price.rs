//! What jobs cost and earn. Source: the kudos prices of the v2 contract (its fallback formula for images).

use super::{
    Kudos,
    bridge::Bridge,
    models::ImageModel,
    request::{ImageParams, Kind, Params, Spec, TextParams},
    worker::{Profile, Skills},
};

/// What the model references say about models, as far as prices and leases need it.
pub trait ModelSizes: Send + Sync {
    /// Baseline of an image model; unknown names are `stable diffusion 1`.
    fn baseline(&self, model: &str) -> &str;
    /// Parameters of a text model, in billions; `None`: unknown.
    fn billions(&self, model: &str) -> Option<f64>;
    /// Whether a reference lists a model.
    fn knows(&self, kind: Kind, model: &str) -> bool {
        let _ = (kind, model);
        false
    }
    /// What else is known of an image model; `None`: nothing.
    fn image(&self, _model: &str) -> Option<&ImageModel> {
        None
    }
    /// Whether a model is made for such content.
    fn is_nsfw(&self, _model: &str) -> bool {
        false
    }
    /// Whether a model makes videos, in whatever case its name is written.
    fn is_video(&self, _model: &str) -> bool {
        false
    }
    /// Whether a model is known to make images.
    fn is_still(&self, _model: &str) -> bool {
        false
    }
}

/// What a job is worth that is for listed workers alone, where such jobs are for those that serve who asks.
pub const TARGETED: Kudos = Kudos(100_000);

/// What one image job is worth, before the factor of the model that draws it.
pub fn image_job(image: &ImageParams) -> Kudos {
    let area = |pixels: f64| (pixels - 4096.0).max(0.0).powf(1.75);
    let size = area(image.pixels() as f64) / area(1_048_576.0);
    let steps = f64::from(image.accurate_steps());
    let cents = |kudos: f64| (kudos * 100.0).round() / 100.0;
    let mut kudos = cents(0.1232 * steps + size * 0.1232 * steps * 8.75);
    for _ in &image.post_processing {
        kudos = cents(1.2 * kudos);
    }
    if image.control_type.is_some() && !image.return_control_map {
        kudos = cents(3.0 * kudos);
    }
    kudos += 3.0 * image.loras.len() as f64;
    if !image.tis.is_empty() {
        kudos += 1.0;
    }
    Kudos::from_f64(kudos)
}

/// Factor of the model that draws.
pub fn image_factor(image: &ImageParams, baseline: &str) -> f64 {
    match baseline {
        "stable_diffusion_xl" if image.workflow.as_deref() == Some("qr_code") => 4.0,
        "stable_diffusion_xl" => 2.0,
        "stable_cascade" if image.hires_fix => 7.0,
        "stable_cascade" => 4.0,
        "z_image_turbo" => 8.0,
        "qwen_image" => 12.0,
        flux if flux.starts_with("flux") => 8.0,
        _ => 1.0,
    }
}

/// What a requester pays for an image job that is worth `job`.
pub fn image_charge(spec: &Spec, image: &ImageParams, job: Kudos) -> Kudos {
    const LIGHT: [&str; 5] = ["GFPGAN", "CodeFormers", "strip_background", "GFPGANv1.3", "RestoreFormer"];
    let mut kudos = job.as_f64();
    if image.has_source {
        kudos *= 1.3;
    }
    for processor in &image.post_processing {
        kudos *= if LIGHT.contains(&processor.as_str()) { 1.0 } else { 1.05 };
    }
    kudos += 1.0;
    if !spec.slow_workers {
        kudos *= 1.2;
    }
    if spec.worker_blacklist {
        kudos *= 1.1;
    }
    Kudos::from_f64(kudos)
}

/// Tokens that a text counts as: a quarter of its characters, at least 20, at most `max_length`.
pub fn tokens(text: &str, max_length: u32) -> f64 {
    let counted = text.chars().count().div_ceil(4).max(20);
    counted.min(max_length as usize) as f64
}

/// Factor of a context of so many tokens.
fn context_factor(tokens: f64) -> f64 {
    (1.2 + 2.2_f64.powf((tokens / 1024.0).log2())).clamp(0.1, 30.0)
}

/// What a text job is worth.
pub fn text_job(
    text: &TextParams,
    prompt: &str,
    result: &str,
    billions: Option<f64>,
    bridge: &Bridge,
    owner_is_trusted: bool,
) -> Kudos {
    // The context is what the worker reads: the prompt, as far as it fits.
    let context = context_factor(tokens(prompt, text.max_context_length));
    let made = tokens(result, text.max_length);
    let kudos = match billions {
        Some(size) => {
            let validated = if bridge.is_validated() { 1.0 } else { 0.3 };
            made * (size.max(13.0) / 13.0).powf(0.2) * size / 125.0 * validated * context
        }
        None if owner_is_trusted => made * context * 0.027,
        None => context,
    };
    Kudos::from_f64((kudos * 100.0).round() / 100.0)
}

/// Forms that read an image rather than make another one.
const READING: [&str; 7] =
    ["caption", "interrogation", "nsfw", "vectorize", "palette", "describe", "aesthetic"];

/// Whether a form makes an image.
pub fn form_makes_image(form: &str) -> bool {
    !READING.contains(&form)
}

/// What a form of alchemy is worth, on an image of so many tiles.
pub fn form_job(form: &str, tiles: u32) -> Kudos {
    match form {
        "interrogation" => Kudos::whole(3),
        _ if form_makes_image(form) => Kudos::whole(3 * i64::from(tiles.max(1))),
        _ => Kudos::whole(1),
    }
}

/// What a requester pays for a form that is worth `job`.
pub fn form_charge(spec: &Spec, job: Kudos) -> Kudos {
    job + Kudos::whole(if spec.slow_workers { 2 } else { 1 })
}

/// What a worker's owner gets for each ten minutes of its time online.
pub fn uptime(profile: &Profile, models: &dyn ModelSizes) -> Kudos {
    match &profile.skills {
        Skills::Image(skills) | Skills::Video(skills) => {
            Kudos::whole(50 + 2 * profile.models.len() as i64 + if skills.lora { 30 } else { 0 })
        }
        Skills::Alchemy(_) => Kudos::whole(40),
        Skills::Text(skills) => {
            let base = 25.0 + 15.0 * skills.max_context_length.clamp(0, 262_144) as f64 / 1024.0;
            let size = profile.models.first().and_then(|model| models.billions(model));
            let validated = if profile.bridge.is_validated() { 1.0 } else { 0.3 };
            let kudos = size.map_or(base / 2.0, |size| base * validated * (size / 7.0).max(0.25));
            Kudos::from_f64((kudos * 100.0).round() / 100.0)
        }
    }
}

/// What a whole request would cost, as a dry run says.
pub fn estimate(spec: &Spec, models: &dyn ModelSizes) -> Kudos {
    let jobs = spec.jobs as f64;
    match &spec.params {
        Params::Image(image) | Params::Video(image) => {
            let factor = spec.models.first().map_or(1.0, |model| image_factor(image, models.baseline(model)));
            Kudos::from_f64(image_charge(spec, image, image_job(image)).as_f64() * jobs * factor + 1.0)
        }
        Params::Text(text) => {
            let context = context_factor(f64::from(text.max_context_length));
            let length = f64::from(text.max_length);
            let job = match spec.models.first().map(|model| models.billions(model)) {
                None => length * 13.0 * context / 100.0,
                Some(Some(size)) => length * (size.max(13.0) / 13.0).powf(0.2) * size * context / 100.0,
                Some(None) => length * 0.027 * context,
            };
            Kudos::from_f64(((job * 100.0).round() / 100.0 + 1.0) * jobs + 1.0)
        }
        Params::Alchemy(alchemy) => {
            let forms = alchemy.forms.iter();
            forms.map(|form| form_charge(spec, form_job(&form.name, alchemy.tiles))).sum()
        }
    }
}

/// What a request costs at once, when it is accepted.
pub fn activation(spec: &Spec) -> Kudos {
    match &spec.params {
        Params::Image(image) | Params::Video(image) => Kudos::whole(1 + 5 * image.extra_sources.len() as i64),
        Params::Text(_) => Kudos::whole(1),
        Params::Alchemy(_) => Kudos::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::request::tests::image;

    proptest! {
        #[test]
        fn more_of_an_image_never_costs_less(
            width in 1u32..=48, height in 1u32..=48, steps in 1u32..=500, loras in 0usize..3,
        ) {
            let lora = |i: usize| crate::domain::request::Lora {
                name: i.to_string(), model: 1.0, clip: 1.0, inject_trigger: None, is_version: false,
            };
            let small = ImageParams {
                width: width * 64, height: height * 64, steps, loras: (0..loras).map(lora).collect(), ..image()
            };
            let price = image_job(&small);
            prop_assert!(price >= Kudos::ZERO);
            let processors = vec!["NMKD_Siax".to_owned()];
            for larger in [
                ImageParams { steps: steps + 1, ..small.clone() },
                ImageParams { width: small.width + 64, ..small.clone() },
                ImageParams { post_processing: processors, ..small.clone() },
                ImageParams { sampler: "k_heun".into(), ..small.clone() },
            ] {
                prop_assert!(image_job(&larger) >= price);
            }
        }

        #[test]
        fn a_longer_text_never_earns_less(
            length in 16u32..=512, made in 0usize..4000, more in 0usize..400, billions in prop::option::of(0.5f64..200.0),
        ) {
            let params = TextParams { max_length: length, ..TextParams::default() };
            let bridge = Bridge::parse("KoboldCppEmbedWorker:2:x");
            let of = |size: usize| text_job(&params, "a prompt", &"x".repeat(size), billions, &bridge, true);
            prop_assert!(of(made) > Kudos::ZERO);
            prop_assert!(of(made + more) >= of(made));
        }
    }

    #[test]
    fn image_prices_follow_the_fallback_formula() {
        let reference = ImageParams { steps: 50, ..image() };
        assert_eq!(image_job(&reference), Kudos::from_f64(10.83), "0.1232·50·(1 + a·8.75) at 512²");
        let full = ImageParams { width: 1024, height: 1024, steps: 50, ..image() };
        assert_eq!(image_job(&full), Kudos::from_f64(60.06), "a = 1 at 1024²");
        let upscaled = ImageParams { post_processing: vec!["NMKD_Siax".into()], ..full.clone() };
        assert_eq!(image_job(&upscaled), Kudos::from_f64(72.07), "a post-processor is a fifth more");
    }

    fn spec_of(change: impl FnOnce(&mut Spec)) -> Spec {
        let mut spec = crate::domain::request::tests::spec(image());
        change(&mut spec);
        spec
    }

    /// What burning ten kudos costs.
    fn burnt(spec: &Spec) -> f64 {
        image_charge(spec, spec.params.image().unwrap(), Kudos::whole(10)).as_f64()
    }

    #[test]
    fn additions_to_an_image_have_their_prices() {
        let base = image_job(&image()).as_f64();
        let lora = || crate::domain::request::Lora {
            name: "a".into(),
            model: 1.0,
            clip: 1.0,
            inject_trigger: None,
            is_version: false,
        };
        let ti = crate::domain::request::TextualInversion { name: "a".into(), inject: None, strength: 1.0 };
        let control = Some("canny".to_owned());
        let cents = |kudos: f64| (kudos * 100.0).round() / 100.0;
        for (params, right, rule) in [
            (ImageParams { loras: vec![lora(), lora()], ..image() }, base + 6.0, "3 for each LoRA"),
            (ImageParams { tis: vec![ti.clone(), ti], ..image() }, base + 1.0, "1 for any inversions"),
            (ImageParams { control_type: control.clone(), ..image() }, cents(3.0 * base), "control: thrice"),
            (
                ImageParams { control_type: control, return_control_map: true, ..image() },
                base,
                "the map alone costs nothing more",
            ),
        ] {
            assert_eq!(image_job(&params), Kudos::from_f64(right), "{rule}");
        }
    }

    #[test]
    fn factors_are_those_of_the_model_that_draws() {
        let qr_code = ImageParams { workflow: Some("qr_code".into()), ..image() };
        let hires = ImageParams { hires_fix: true, ..image() };
        for (image, baseline, factor) in [
            (image(), "stable diffusion 1", 1.0),
            (image(), "stable diffusion 2", 1.0),
            (image(), "stable_diffusion_xl", 2.0),
            (qr_code, "stable_diffusion_xl", 4.0),
            (image(), "stable_cascade", 4.0),
            (hires, "stable_cascade", 7.0),
            (image(), "flux_1", 8.0),
            (image(), "z_image_turbo", 8.0),
            (image(), "qwen_image", 12.0),
        ] {
            assert_eq!(image_factor(&image, baseline), factor, "{baseline}");
        }
    }

    #[test]
    fn requesters_pay_on_top_in_the_order_of_the_contract() {
        fn with(change: impl FnOnce(&mut ImageParams)) -> impl FnOnce(&mut Spec) {
            |spec| match &mut spec.params {
                Params::Image(image) => change(image),
                _ => unreachable!("it is an image"),
            }
        }
        let all = spec_of(|spec| {
            with(|image| {
                image.has_source = true;
                image.post_processing = vec!["NMKD_Siax".into()];
            })(spec);
            (spec.slow_workers, spec.worker_blacklist) = (false, true);
        });
        for (spec, right, rule) in [
            (spec_of(|_| {}), 11.0, "1 for each job"),
            (spec_of(with(|image| image.has_source = true)), 14.0, "3 tenths for a source image"),
            (
                spec_of(with(|image| image.post_processing = vec!["GFPGAN".into()])),
                11.0,
                "light ones are free",
            ),
            (
                spec_of(with(|image| image.post_processing = vec!["NMKD_Siax".into()])),
                11.5,
                "others a twentieth",
            ),
            (spec_of(|spec| spec.slow_workers = false), 13.2, "a fifth for speed"),
            (
                spec_of(|spec| spec.worker_blacklist = true),
                12.1,
                "a tenth for a deny list, even an empty one",
            ),
            (all, (10.0 * 1.3 * 1.05 + 1.0) * 1.2 * 1.1, "all of it, in this order"),
        ] {
            assert!((burnt(&spec) - right).abs() < 1e-6, "{rule}: {}", burnt(&spec));
        }
        assert_eq!(activation(&spec_of(|_| {})), Kudos::whole(1), "no surcharge without a style");
        let extra = spec_of(with(|image| image.extra_sources = vec![1.0, 1.0]));
        assert_eq!(activation(&extra), Kudos::whole(11), "5 for each extra image");
    }

    #[test]
    fn texts_are_priced_by_model_length_and_context() {
        let text = TextParams { max_length: 80, max_context_length: 2048, ..TextParams::default() };
        let (known, other) = (Bridge::parse("KoboldCppEmbedWorker:2:x"), Bridge::parse("other:1:x"));
        let cents = |kudos: f64| Kudos::from_f64((kudos * 100.0).round() / 100.0);
        let result = "x".repeat(320);
        let context = |tokens: f64| 1.2 + 2.2_f64.powf((tokens / 1024.0).log2());
        let short = context(20.0);
        for (prompt, billions, bridge, trusted, right, rule) in [
            ("p".to_owned(), Some(13.0), &known, false, 80.0 * 13.0 / 125.0 * short, "13 billions"),
            ("p".to_owned(), Some(7.0), &known, false, 80.0 * 7.0 / 125.0 * short, "small ones by size"),
            (
                "p".to_owned(),
                Some(26.0),
                &known,
                false,
                80.0 * 2f64.powf(0.2) * 26.0 / 125.0 * short,
                "large",
            ),
            ("p".to_owned(), Some(13.0), &other, false, 80.0 * 13.0 / 125.0 * 0.3 * short, "not validated"),
            ("p".to_owned(), None, &known, true, 80.0 * 0.027 * short, "unknown, of who is trusted"),
            ("p".to_owned(), None, &known, false, short, "unknown, of who is not"),
            ("p".repeat(4096), None, &known, false, context(1024.0), "a prompt counts beyond max_length"),
            ("p".repeat(40_960), None, &known, false, context(2048.0), "as far as the context goes"),
        ] {
            assert_eq!(text_job(&text, &prompt, &result, billions, bridge, trusted), cents(right), "{rule}");
        }
    }

    #[test]
    fn short_texts_count_twenty_tokens_and_long_ones_the_limit() {
        assert_eq!(tokens("", 80), 20.0);
        assert_eq!(tokens(&"x".repeat(200), 80), 50.0);
        assert_eq!(tokens(&"x".repeat(4000), 80), 80.0);
        assert_eq!(tokens("", 16), 16.0);
    }
}
