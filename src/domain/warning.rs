//! What an accepted request may do worse than its owner expects.

use super::{
    models::Requirements,
    price::ModelSizes,
    request::{ImageParams, Params, Spec},
};

/// A kind of warning; its code is stable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mismatch {
    /// The model requires another clip_skip.
    ClipSkip,
    /// Fewer steps than the model needs.
    StepsTooFew,
    /// More steps than do the model any good.
    StepsTooMany,
    /// The model requires another cfg_scale.
    CfgScale,
    /// Less than the model needs.
    CfgScaleTooSmall,
    /// More than the model bears.
    CfgScaleTooLarge,
    /// The model does not go with the sampler.
    Sampler,
    /// The model does not go with the noise schedule.
    Scheduler,
}

impl Mismatch {
    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::ClipSkip => "ClipSkipMismatch",
            Self::StepsTooFew => "StepsTooFew",
            Self::StepsTooMany => "StepsTooMany",
            Self::CfgScale => "CfgScaleMismatch",
            Self::CfgScaleTooSmall => "CfgScaleTooSmall",
            Self::CfgScaleTooLarge => "CfgScaleTooLarge",
            Self::Sampler => "SamplerMismatch",
            Self::Scheduler => "SchedulerMismatch",
        }
    }
}

/// A warning.
#[derive(Clone, PartialEq, Debug)]
pub struct Warning {
    /// What does not go together.
    pub mismatch: Mismatch,
    /// For people: which model, and what it would need.
    pub message: String,
}

/// Where a request does not fit what its models require: each kind once, of the first such model.
///
/// Source: the warnings of the v2 contract.
pub fn warnings(spec: &Spec, models: &dyn ModelSizes) -> Vec<Warning> {
    let (Params::Image(image) | Params::Video(image)) = &spec.params else { return Vec::new() };
    let mut found: Vec<Warning> = Vec::new();
    for name in &spec.models {
        let Some(known) = models.image(name) else { continue };
        for (mismatch, needed) in mismatches(image, &known.requirements) {
            if found.iter().all(|warning| warning.mismatch != mismatch) {
                found.push(Warning { mismatch, message: format!("{name} works best with {needed}") });
            }
        }
    }
    found
}

/// Where an image does not fit, and what would.
fn mismatches(image: &ImageParams, needs: &Requirements) -> Vec<(Mismatch, String)> {
    let (steps, cfg) = (image.steps, image.cfg_scale);
    let schedule = if image.karras { "karras" } else { "simple" };
    let differs = |list: &[String], word: &str| !list.is_empty() && list.iter().all(|known| known != word);
    let rows = [
        (
            Mismatch::ClipSkip,
            needs
                .clip_skip
                .filter(|skip| *skip != image.clip_skip.unwrap_or(1))
                .map(|n| format!("clip_skip {n}")),
        ),
        (
            Mismatch::StepsTooFew,
            needs.min_steps.filter(|least| steps < *least).map(|n| format!("at least {n} steps")),
        ),
        (
            Mismatch::StepsTooMany,
            needs.max_steps.filter(|most| steps > *most).map(|n| format!("at most {n} steps")),
        ),
        (Mismatch::CfgScale, needs.cfg_scale.filter(|exact| cfg != *exact).map(|n| format!("cfg_scale {n}"))),
        (
            Mismatch::CfgScaleTooSmall,
            needs.min_cfg_scale.filter(|least| cfg < *least).map(|n| format!("cfg_scale {n} or more")),
        ),
        (
            Mismatch::CfgScaleTooLarge,
            needs.max_cfg_scale.filter(|most| cfg > *most).map(|n| format!("cfg_scale {n} or less")),
        ),
        (
            Mismatch::Sampler,
            differs(&needs.samplers, &image.sampler)
                .then(|| format!("sampler_name {}", needs.samplers.join(" or "))),
        ),
        (
            Mismatch::Scheduler,
            differs(&needs.schedulers, schedule).then(|| match needs.schedulers.as_slice() {
                [only] if only == "simple" => "karras false".to_owned(),
                [only] if only == "karras" => "karras true".to_owned(),
                several => format!("the noise schedule {}", several.join(" or ")),
            }),
        ),
    ];
    rows.into_iter().filter_map(|(mismatch, needed)| Some((mismatch, needed?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::request::tests::image;

    #[test]
    fn each_requirement_that_is_not_met_has_its_warning() {
        use Mismatch::*;
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let plain = image();
        let none = Requirements::default();
        let rows: Vec<(ImageParams, Requirements, Option<Mismatch>)> = vec![
            (plain.clone(), none.clone(), None),
            (plain.clone(), Requirements { clip_skip: Some(1), ..none.clone() }, None),
            (plain.clone(), Requirements { clip_skip: Some(2), ..none.clone() }, Some(ClipSkip)),
            (
                ImageParams { clip_skip: Some(2), ..image() },
                Requirements { clip_skip: Some(2), ..none.clone() },
                None,
            ),
            (plain.clone(), Requirements { min_steps: Some(30), max_steps: Some(30), ..none.clone() }, None),
            (plain.clone(), Requirements { min_steps: Some(31), ..none.clone() }, Some(StepsTooFew)),
            (plain.clone(), Requirements { max_steps: Some(29), ..none.clone() }, Some(StepsTooMany)),
            (plain.clone(), Requirements { cfg_scale: Some(5.0), ..none.clone() }, None),
            (plain.clone(), Requirements { cfg_scale: Some(1.0), ..none.clone() }, Some(CfgScale)),
            (
                plain.clone(),
                Requirements { min_cfg_scale: Some(5.1), ..none.clone() },
                Some(CfgScaleTooSmall),
            ),
            (
                plain.clone(),
                Requirements { max_cfg_scale: Some(4.9), ..none.clone() },
                Some(CfgScaleTooLarge),
            ),
            (plain.clone(), Requirements { samplers: words(&["lcm", "k_euler_a"]), ..none.clone() }, None),
            (plain.clone(), Requirements { samplers: words(&["lcm"]), ..none.clone() }, Some(Sampler)),
            (plain.clone(), Requirements { schedulers: words(&["karras"]), ..none.clone() }, None),
            (plain, Requirements { schedulers: words(&["simple"]), ..none.clone() }, Some(Scheduler)),
            (
                ImageParams { karras: false, ..image() },
                Requirements { schedulers: words(&["simple"]), ..none },
                None,
            ),
        ];
        for (image, needs, warned) in rows {
            let found: Vec<_> =
                mismatches(&image, &needs).into_iter().map(|(mismatch, _)| mismatch).collect();
            assert_eq!(found, warned.into_iter().collect::<Vec<_>>(), "{needs:?}");
        }
    }
}
