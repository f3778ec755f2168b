//! What needs kudos up front, how many, and what a request becomes that does without.
//!
//! Source: up-front kudos and downgrade of the v2 contract.

use super::{
    Kudos,
    price::{self, ModelSizes},
    request::{ImageParams, Lora, Params, Spec, TextParams},
};

/// Sides of an image that is never too large, and of one that always is when there is more.
const SIDES: (i64, i64) = (576, 1024);
/// Tokens that are never too many, and of which more always are.
const TOKENS: (i64, i64) = (256, 512);
/// Most steps with a control, with an LCM, and of a model that says nothing.
const CONTROL_STEPS: u32 = 20;
const LCM_STEPS: u32 = 10;
const STEPS: u32 = 40;
/// To how many steps a request is lowered whose models say nothing.
const LOWERED_STEPS: u32 = 30;
/// Sides are multiples of this; below the second one they are not scaled down.
const GRID: u32 = 64;
const SMALLEST: u32 = 512;
/// LoRAs that make a model an LCM: by the ID of their version, and by their own.
const LCM_VERSIONS: [&str; 7] = ["246747", "247778", "268475", "243643", "225222", "219782", "363353"];
const LCM_LORAS: [&str; 3] = ["195519", "216190", "324115"];

/// How busy the broker is with a kind of jobs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Load {
    /// Threads of workers online.
    pub threads: u64,
    /// Jobs waiting or held, of requests of which some wait.
    pub queued: u64,
}

/// Why kudos are needed up front.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// A smaller request needs none.
    Size,
    /// The operator wants it of requests that name workers.
    WorkerList,
}

/// Whether the load decides about a request, or whatever it is the answer is the same.
pub fn depends_on_load(spec: &Spec) -> bool {
    match &spec.params {
        Params::Image(image) | Params::Video(image) => {
            let pixels = image.pixels();
            pixels > SIDES.0 * SIDES.0 && pixels <= SIDES.1 * SIDES.1
        }
        Params::Text(text) => i64::from(text.max_length) > TOKENS.0 && i64::from(text.max_length) <= TOKENS.1,
        Params::Alchemy(_) => false,
    }
}

/// Why a request needs kudos up front; `None`: it does not.
pub fn need(spec: &Spec, models: &dyn ModelSizes, load: Load, on_worker_list: bool) -> Option<Need> {
    if on_worker_list && !spec.workers.is_empty() && !matches!(spec.params, Params::Alchemy(_)) {
        return Some(Need::WorkerList);
    }
    let is_large = match &spec.params {
        Params::Image(image) | Params::Video(image) => {
            let (side, steps) = (longest_side(spec, models, load), image.accurate_steps());
            !spec.slow_workers
                || is_lcm(image) && steps > LCM_STEPS
                || spec.models.iter().any(|model| most_steps(model, models).unwrap_or(STEPS) < steps)
                || image.pixels() > side * side
                || image.control_type.is_some() && steps > CONTROL_STEPS
        }
        Params::Text(text) => !spec.slow_workers || i64::from(text.max_length) > most_tokens(load),
        Params::Alchemy(_) => false,
    };
    is_large.then_some(Need::Size)
}

/// Kudos that are set aside for a request that needs some.
pub fn amount(spec: &Spec, models: &dyn ModelSizes) -> Kudos {
    match &spec.params {
        Params::Text(text) => text_amount(spec, text, models),
        Params::Image(_) | Params::Video(_) | Params::Alchemy(_) => price::estimate(spec, models),
    }
}

fn text_amount(spec: &Spec, text: &TextParams, models: &dyn ModelSizes) -> Kudos {
    let size = spec.models.iter().map(|model| models.billions(model).unwrap_or(1.0)).reduce(f64::max);
    let job = match size {
        None => 20.0,
        Some(size) => (f64::from(text.max_length) * size / 21.0 * 100.0).round() / 100.0,
    };
    Kudos::from_f64(job * spec.jobs as f64)
}

/// Makes a request one that needs no kudos up front for its size.
pub fn shrink(spec: &mut Spec, models: &dyn ModelSizes, load: Load) {
    let side = longest_side(spec, models, load);
    spec.slow_workers = true;
    match &mut spec.params {
        Params::Image(image) | Params::Video(image) => {
            (image.width, image.height) = fitted(image.width, image.height, side);
            // Those that say nothing of their steps take what is common.
            let said = spec.models.iter().map(|model| most_steps(model, models));
            let limit = match (image.control_type.is_some(), is_lcm(image)) {
                (_, true) => Some(LCM_STEPS),
                (true, false) => Some(CONTROL_STEPS),
                (false, false) => None,
            };
            let common = limit.unwrap_or(LOWERED_STEPS);
            let fewest = said.map(|steps| steps.unwrap_or(common)).min().unwrap_or(common);
            let most = limit.map_or(fewest, |limit| limit.min(fewest));
            if image.accurate_steps() > most {
                image.lower_steps(most);
            }
        }
        Params::Text(text) => {
            let most = u32::try_from(most_tokens(load)).unwrap_or(u32::MAX);
            text.max_length = text.max_length.min(most);
        }
        Params::Alchemy(_) => {}
    }
}

/// Sides whose area is no more than a square's, in about the same proportion, on the grid. None is
/// made smaller than 512 pixels.
fn fitted(width: u32, height: u32, side: i64) -> (u32, u32) {
    let most = side * side;
    let area = i64::from(width) * i64::from(height);
    if area <= most {
        return (width, height);
    }
    let factor = (most as f64 / area as f64).sqrt();
    let on_grid = |pixels: f64| (pixels / f64::from(GRID)) as u32 * GRID;
    let (w, h) = (on_grid(f64::from(width) * factor), on_grid(f64::from(height) * factor));
    let beside = |short: u32, long: u32| on_grid(most as f64 / f64::from(short)).min(long);
    let (least_w, least_h) = (width.min(SMALLEST), height.min(SMALLEST));
    match (w < least_w, h < least_h) {
        (true, _) => (least_w, beside(least_w, height)),
        (_, true) => (beside(least_h, width), least_h),
        (false, false) => (w, h),
    }
}

/// Side of the largest square that needs no kudos up front.
fn longest_side(spec: &Spec, models: &dyn ModelSizes, load: Load) -> i64 {
    let least = spec.models.iter().map(|model| match models.baseline(model) {
        "stable_diffusion_xl" | "stable_cascade" => 1024,
        flux if flux.starts_with("flux") => 1024,
        sd2 if sd2.starts_with("stable diffusion 2") => 768,
        _ => SIDES.0,
    });
    let least = least.max().unwrap_or(SIDES.0);
    (1024 + 10 * signed(load.threads) - shortage(load)).max(least).min(SIDES.1)
}

/// Tokens that need no kudos up front.
fn most_tokens(load: Load) -> i64 {
    (512 + 5 * signed(load.threads) - shortage(load)).clamp(TOKENS.0, TOKENS.1)
}

/// Nine tenths of what is queued.
fn shortage(load: Load) -> i64 {
    (0.9 * load.queued as f64).round_ties_even() as i64
}

fn signed(n: u64) -> i64 {
    // So many threads are no threads: it only must not overflow.
    i64::try_from(n).unwrap_or(i64::MAX).min(1 << 40)
}

fn most_steps(model: &str, models: &dyn ModelSizes) -> Option<u32> {
    models.image(model).and_then(|known| known.requirements.max_steps)
}

fn is_lcm(image: &ImageParams) -> bool {
    let is_known = |lora: &Lora| match lora.is_version {
        true => LCM_VERSIONS.contains(&lora.name.as_str()),
        false => LCM_LORAS.contains(&lora.name.as_str()),
    };
    image.sampler == "lcm" || image.loras.iter().any(is_known)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{models::ModelReference, request::tests::image};

    fn asked(models: &[&str], jobs: usize, params: Params) -> Spec {
        Spec {
            prompt: "a cat".into(),
            jobs,
            models: models.iter().map(|model| (*model).into()).collect(),
            nsfw: false,
            trusted_workers: false,
            slow_workers: true,
            validated_backends: false,
            workers: vec![],
            worker_blacklist: false,
            origin: Default::default(),
            webhook: None,
            params,
        }
    }

    fn drawn(models: &[&str], params: ImageParams) -> Spec {
        asked(models, 1, Params::Image(Box::new(params)))
    }

    fn written(models: &[&str], max_length: u32, jobs: usize) -> Spec {
        let params = TextParams { max_length, max_context_length: 4096, ..TextParams::default() };
        asked(models, jobs, Params::Text(Box::new(params)))
    }

    fn load(threads: u64, queued: u64) -> Load {
        Load { threads, queued }
    }

    #[test]
    fn large_images_need_kudos_up_front() {
        let models = ModelReference::built_in();
        let sized = |width, height| ImageParams { width, height, ..image() };
        let lora = |name: &str, is_version| Lora {
            name: name.into(),
            model: 1.0,
            clip: 1.0,
            inject_trigger: None,
            is_version,
        };
        let with_lora =
            |name, is_version| ImageParams { loras: vec![lora(name, is_version)], steps: 11, ..image() };
        let control = |steps| ImageParams { control_type: Some("canny".into()), steps, ..image() };
        let idle = load(0, 0);
        for (spec, load, is_needed, rule) in [
            (drawn(&["x"], image()), idle, false, "a common image needs none"),
            (Spec { slow_workers: false, ..drawn(&["x"], image()) }, idle, true, "fast workers do"),
            (drawn(&["x"], sized(1024, 1024)), idle, false, "1024² is the most"),
            (drawn(&["x"], sized(1088, 1024)), load(1000, 0), true, "however many threads there are"),
            (drawn(&["x"], sized(1024, 1024)), load(0, 1), true, "each job queued takes 0.9 of the side"),
            (drawn(&["x"], sized(1024, 1024)), load(1, 11), false, "and each thread gives 10"),
            (drawn(&["x"], sized(576, 576)), load(0, 100_000), false, "576² is never too much"),
            (drawn(&["x"], sized(640, 576)), load(0, 100_000), true, "but more may be"),
            (drawn(&["stable_diffusion_2.1"], sized(768, 768)), load(0, 100_000), false, "768² for SD 2"),
            (drawn(&["stable_diffusion_2.1"], sized(832, 768)), load(0, 100_000), true, "and no more"),
            (drawn(&["SDXL 1.0"], sized(1024, 1024)), load(0, 100_000), false, "1024² for SDXL"),
            (drawn(&["x", "SDXL 1.0"], sized(1024, 1024)), load(0, 100_000), false, "also if it may be one"),
            (drawn(&["Stable Cascade 1.0"], sized(1024, 1024)), load(0, 100_000), false, "and for cascade"),
            (drawn(&["x [Flux]"], sized(1024, 1024)), load(0, 100_000), false, "and for flux"),
            (drawn(&["x"], ImageParams { steps: 40, ..image() }), idle, false, "40 steps"),
            (drawn(&["x"], ImageParams { steps: 41, ..image() }), idle, true, "are the most"),
            (
                drawn(&["x"], ImageParams { steps: 21, sampler: "k_heun".into(), ..image() }),
                idle,
                true,
                "and count",
            ),
            (
                drawn(&["Z-Image-Turbo"], ImageParams { steps: 12, ..image() }),
                idle,
                false,
                "or as the model says",
            ),
            (
                drawn(&["Z-Image-Turbo"], ImageParams { steps: 13, ..image() }),
                idle,
                true,
                "which may be less",
            ),
            (
                drawn(&["x"], ImageParams { steps: 10, sampler: "lcm".into(), ..image() }),
                idle,
                false,
                "LCM: 10",
            ),
            (
                drawn(&["x"], ImageParams { steps: 11, sampler: "lcm".into(), ..image() }),
                idle,
                true,
                "at most",
            ),
            (drawn(&["x"], with_lora("246747", true)), idle, true, "also by the version of a LoRA"),
            (drawn(&["x"], with_lora("246747", false)), idle, false, "which is no LoRA"),
            (drawn(&["x"], with_lora("195519", false)), idle, true, "or by the LoRA itself"),
            (drawn(&["x"], with_lora("195519", true)), idle, false, "which is no version"),
            (drawn(&["x"], control(20)), idle, false, "control: 20"),
            (drawn(&["x"], control(21)), idle, true, "at most"),
        ] {
            assert_eq!(need(&spec, &models, load, false), is_needed.then_some(Need::Size), "{rule}");
        }
    }

    #[test]
    fn long_texts_need_kudos_up_front() {
        let models = ModelReference::built_in();
        for (spec, load, is_needed, rule) in [
            (written(&[], 512, 1), load(0, 0), false, "512 tokens are the most"),
            (written(&[], 513, 1), load(1000, 0), true, "however many threads there are"),
            (written(&[], 512, 1), load(0, 1), true, "each job queued takes 0.9"),
            (written(&[], 512, 1), load(1, 6), false, "and each thread gives 5"),
            (written(&[], 256, 1), load(0, 100_000), false, "256 are never too many"),
            (written(&[], 257, 1), load(0, 100_000), true, "but more may be"),
            (Spec { slow_workers: false, ..written(&[], 16, 1) }, load(0, 0), true, "fast workers need them"),
        ] {
            assert_eq!(need(&spec, &models, load, false), is_needed.then_some(Need::Size), "{rule}");
        }
    }

    #[test]
    fn a_worker_list_needs_kudos_up_front_where_the_operator_says_so() {
        let models = ModelReference::built_in();
        let worker = crate::domain::WorkerId(uuid::Uuid::from_u128(1));
        let listed = Spec { workers: vec![worker], ..drawn(&["x"], image()) };
        assert_eq!(need(&listed, &models, Load::default(), false), None);
        assert_eq!(need(&listed, &models, Load::default(), true), Some(Need::WorkerList));
        assert_eq!(need(&drawn(&["x"], image()), &models, Load::default(), true), None);
    }

    #[test]
    fn amounts_follow_the_contract() {
        let models = ModelReference::built_in();
        for (spec, kudos, rule) in [
            (written(&[], 600, 3), 60.0, "no model: 20 a job"),
            (written(&["unknown"], 630, 2), 60.0, "630 × 1 / 21, twice"),
            (written(&["unknown", "mock/echo-7b"], 600, 1), 200.0, "600 × 7 / 21: the largest counts"),
            (written(&["koboldcpp/llama-2-13b"], 1000, 2), 1238.1, "rounded before it is multiplied"),
        ] {
            assert_eq!(amount(&spec, &models), Kudos::from_f64(kudos), "{rule}");
        }
        let image = drawn(&["SDXL 1.0"], image());
        assert_eq!(amount(&image, &models), price::estimate(&image, &models), "images: the estimate");
    }

    #[test]
    fn shrinking_follows_the_contract() {
        let models = ModelReference::built_in();
        let sized = |width, height| ImageParams { width, height, ..image() };
        let busy = load(0, 100_000);
        for (spec, load, result, rule) in [
            (drawn(&["x"], sized(2048, 2048)), load(0, 0), (1024, 1024, 30), "to the limit"),
            (drawn(&["x"], sized(2048, 1024)), load(0, 0), (1408, 704, 30), "in proportion, on the grid"),
            (drawn(&["x"], sized(1024, 1024)), busy, (576, 576, 30), "which may be low"),
            (drawn(&["x"], sized(512, 512)), busy, (512, 512, 30), "small ones stay"),
            (drawn(&["x"], sized(1536, 512)), busy, (640, 512, 30), "512 stay 512"),
            (drawn(&["x"], sized(3072, 128)), busy, (2560, 128, 30), "and less stays as it is"),
            (drawn(&["x"], ImageParams { steps: 100, ..image() }), busy, (512, 512, 30), "30 steps"),
            (
                drawn(&["x"], ImageParams { steps: 20, ..image() }),
                busy,
                (512, 512, 20),
                "or what was asked for",
            ),
            (
                drawn(
                    &["Z-Image-Turbo", "Flux.1-Schnell fp8 (Compact)"],
                    ImageParams { steps: 50, ..image() },
                ),
                busy,
                (512, 512, 8),
                "the smallest of the models",
            ),
            (
                drawn(&["x"], ImageParams { steps: 40, control_type: Some("canny".into()), ..image() }),
                busy,
                (512, 512, 20),
                "20 with a control",
            ),
            (
                drawn(&["x"], ImageParams { steps: 40, sampler: "lcm".into(), ..image() }),
                busy,
                (512, 512, 10),
                "10",
            ),
            (
                drawn(&["x"], ImageParams { steps: 40, sampler: "k_heun".into(), ..image() }),
                busy,
                (512, 512, 15),
                "two",
            ),
        ] {
            let mut small = Spec { slow_workers: false, ..spec };
            shrink(&mut small, &models, load);
            let image = small.params.image().unwrap();
            assert_eq!((image.width, image.height, image.steps), result, "{rule}");
            assert!(small.slow_workers, "{rule}");
        }
        let mut text = Spec { slow_workers: false, ..written(&[], 4096, 1) };
        shrink(&mut text, &models, busy);
        assert!(matches!(&text.params, Params::Text(text) if text.max_length == 256) && text.slow_workers);
    }

    proptest! {
        #[test]
        fn what_was_shrunk_needs_no_kudos_and_is_no_larger(
            width in 1u32..=48, height in 1u32..=48, steps in 1u32..=500, threads in 0u64..200, queued in 0u64..5000,
            sampler in prop::sample::select(vec!["k_euler", "k_heun", "k_dpm_adaptive", "lcm"]), has_control in any::<bool>(),
            names in prop::sample::subsequence(vec!["x", "SDXL 1.0", "stable_diffusion_2.1", "Z-Image-Turbo"], 1..=2),
            tokens in 16u32..=4096,
        ) {
            let models = ModelReference::built_in();
            let params = ImageParams {
                width: width * 64, height: height * 64, steps, sampler: sampler.into(),
                control_type: has_control.then(|| "canny".into()), ..image()
            };
            let before = Spec { slow_workers: false, ..drawn(&names, params) };
            let mut after = before.clone();
            shrink(&mut after, &models, load(threads, queued));
            prop_assert_eq!(need(&after, &models, load(threads, queued), false), None);
            let (old, new) = (before.params.image().unwrap(), after.params.image().unwrap());
            prop_assert!(new.width <= old.width && new.height <= old.height && new.steps <= old.steps);
            prop_assert!(new.width % 64 == 0 && new.height % 64 == 0 && new.steps > 0 && new.width > 0);
            let mut text = written(&[], tokens, 1);
            shrink(&mut text, &models, load(threads, queued));
            prop_assert_eq!(need(&text, &models, load(threads, queued), false), None);
        }

        #[test]
        fn the_load_matters_only_where_it_is_said_to(
            width in 1u32..=48, height in 1u32..=48, tokens in 16u32..=4096,
            threads in 0u64..200, queued in 0u64..5000,
        ) {
            let models = ModelReference::built_in();
            let image = drawn(&["x"], ImageParams { width: width * 64, height: height * 64, ..image() });
            for spec in [image, written(&[], tokens, 1)] {
                let at = |load: Load| need(&spec, &models, load, false);
                if !depends_on_load(&spec) {
                    prop_assert_eq!(at(load(threads, queued)), at(Load::default()));
                }
            }
        }
    }
}
