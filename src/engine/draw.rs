//! What an attempt is drawn with: its model, its seed, and how heavy that is.

use std::sync::Arc;

use super::Dice;
use crate::domain::request::Params;

/// The model a job is run with: one that both name, or one that the worker names.
pub fn choose_model<'a>(
    dice: &mut dyn Dice,
    asked: &[Arc<str>],
    served: impl IntoIterator<Item = &'a Arc<str>>,
) -> String {
    let served = served.into_iter();
    let common: Vec<_> = served.filter(|model| asked.is_empty() || asked.contains(model)).collect();
    match common.len() {
        0 => String::new(),
        n => common[dice.below(n as u64) as usize].to_string(),
    }
}

/// How much more a model of this baseline weighs in a batch.
pub fn batch_multiplier(baseline: &str) -> f64 {
    match baseline {
        "z_image_turbo" => 8.0,
        "qwen_image" => 10.0,
        flux if flux.starts_with("flux") => 5.0,
        _ => 1.0,
    }
}

/// Whether a baseline is slow enough to have longer leases.
pub fn is_large(baseline: &str) -> bool {
    baseline.starts_with("flux") || matches!(baseline, "qwen_image" | "z_image_turbo")
}

/// The seed of a batch: as asked, or spread from it by the batch's place, or random.
pub fn seed(dice: &mut dyn Dice, params: &Params, waiting_before: usize) -> u32 {
    let Some(image) = params.image() else { return 0 };
    let base = image.seed.unwrap_or_else(|| dice.below(u64::from(u32::MAX)) as u32);
    match image.seed_variation {
        Some(variation) => base.wrapping_add(variation.wrapping_mul(waiting_before as u32)),
        None => base,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        domain::request::{ImageParams, tests::image},
        engine::stage::Counter,
    };

    proptest! {
        #[test]
        fn seeds_are_as_asked_and_differ_by_the_variation_from_batch_to_batch(
            asked in any::<Option<u32>>(),
            variation in prop::option::of(1u32..=1000),
            waiting in 1usize..=20,
        ) {
            let params = ImageParams { seed: asked, seed_variation: variation, ..image() };
            let params = Params::Image(Box::new(params));
            let drawn = |waiting| seed(&mut Counter::default(), &params, waiting);
            match (asked, variation) {
                (Some(asked), None) => prop_assert_eq!(drawn(waiting), asked),
                (_, Some(variation)) => {
                    prop_assert_eq!(drawn(waiting + 1).wrapping_sub(drawn(waiting)), variation);
                }
                (None, None) => {}
            }
        }

        #[test]
        fn the_model_is_one_that_both_name(
            asked in prop::sample::subsequence(vec!["a", "b", "c"], 0..=3),
            served in prop::sample::subsequence(vec!["b", "c", "d"], 0..=3),
        ) {
            let list = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect::<Vec<Arc<str>>>();
            let model = choose_model(&mut Counter::default(), &list(&asked), &list(&served));
            let is_common = |name: &str| asked.is_empty() || asked.contains(&name);
            match served.iter().any(|name| is_common(name)) {
                true => prop_assert!(served.iter().any(|name| is_common(name) && *name == model)),
                false => prop_assert_eq!(model, ""),
            }
        }
    }
}
