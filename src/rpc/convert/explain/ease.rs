//! What who asks could change: in words, and as a patch of the JSON that was sent.

use serde_json::{Map, Value, json};

use crate::{
    domain::request::{Params, Spec},
    engine::matching::Ease,
    rpc::json::Struct,
};

/// Behind "if you", and by itself.
pub(super) fn words(ease: &Ease, spec: &Spec) -> String {
    let image = spec.params.image();
    let text = match &spec.params {
        Params::Text(text) => Some(text),
        _ => None,
    };
    match ease {
        Ease::SlowWorkers => "allow slow workers".into(),
        Ease::ExtraSlowWorkers => "allow extra-slow workers".into(),
        Ease::UntrustedWorkers => "allow workers whose owners are not trusted".into(),
        Ease::AnyBackEnd => "allow any back end".into(),
        Ease::AnyWorker => "drop the list of workers".into(),
        Ease::AnyModel => "allow any model".into(),
        Ease::Model(model) => format!("use the model {model}"),
        Ease::Size { width, height } => {
            let (before, pixels) =
                (image.map_or((0, 0), |image| (image.width, image.height)), width * height);
            format!(
                "ask for at most {width}×{height} ({} pixels) instead of {}×{}",
                grouped(pixels.into()),
                before.0,
                before.1
            )
        }
        Ease::Steps(steps) => {
            format!("ask for at most {steps} steps instead of {}", image.map_or(0, |image| image.steps))
        }
        Ease::Sampler { name, karras } => {
            format!("use the sampler {name} {} karras", if *karras { "with" } else { "without" })
        }
        Ease::PostProcessing(kept) if kept.is_empty() => "leave out post-processing".into(),
        Ease::PostProcessing(kept) => format!("ask for no other post-processing than {}", kept.join(", ")),
        Ease::NoHiresFix => "turn off hires_fix".into(),
        Ease::NoTiling => "turn off tiling".into(),
        Ease::NoClipSkip => "leave out clip_skip".into(),
        Ease::NoLoraVersions => "leave out LoRAs that are named by their version".into(),
        Ease::NoLoras => "leave out LoRAs".into(),
        Ease::NoInversions => "leave out textual inversions".into(),
        Ease::NoImageAsControl => "turn off image_is_control".into(),
        Ease::NoControlMap => "turn off return_control_map".into(),
        Ease::NoControl => "leave out control_type".into(),
        Ease::NoWorkflow => "leave out the workflow".into(),
        Ease::NoTransparency => "turn off transparent".into(),
        Ease::NoExtraSources => "leave out extra_source_images".into(),
        Ease::NoPainting => "ask for img2img instead of in- or outpainting".into(),
        Ease::NoSource => "leave out the source image".into(),
        Ease::NoLinks => "take results as base64 (r2: false)".into(),
        Ease::NotNsfw => "say that it is not nsfw (nsfw: false)".into(),
        Ease::Length(most) => format!(
            "ask for at most {} tokens instead of {}",
            grouped((*most).into()),
            grouped(text.map_or(0, |text| text.max_length.into()))
        ),
        Ease::ContextLength(most) => format!(
            "ask for at most {} tokens of context instead of {}",
            grouped((*most).into()),
            grouped(text.map_or(0, |text| text.max_context_length.into()))
        ),
        Ease::NoSoftprompt => "leave out the soft prompt".into(),
        Ease::Tiles(most) => {
            format!("send a source image of at most {most} tiles of 512×512 pixels")
        }
    }
}

/// Several changes as one merge patch.
pub(super) fn patch(eases: &[Ease], spec: &Spec) -> Struct {
    let mut patch = Map::new();
    for ease in eases {
        if let Value::Object(one) = patch_of(ease, spec) {
            merge(&mut patch, one);
        }
    }
    Struct(patch)
}

fn patch_of(ease: &Ease, spec: &Spec) -> Value {
    let image = spec.params.image();
    let control = || json!({"control_type": null, "image_is_control": null, "return_control_map": null});
    match ease {
        Ease::SlowWorkers => json!({"slow_workers": true}),
        Ease::ExtraSlowWorkers => json!({"extra_slow_workers": true}),
        Ease::UntrustedWorkers => json!({"trusted_workers": false}),
        Ease::AnyBackEnd => json!({"validated_backends": false}),
        Ease::AnyWorker => json!({"workers": null, "worker_blacklist": null}),
        Ease::AnyModel => json!({"models": []}),
        Ease::Model(model) => json!({"models": [model]}),
        Ease::Size { width, height } => json!({"params": {"width": width, "height": height}}),
        Ease::Steps(steps) => json!({"params": {"steps": steps}}),
        Ease::Sampler { name, karras } => json!({"params": {"sampler_name": name, "karras": karras}}),
        Ease::PostProcessing(kept) => json!({"params": {"post_processing": kept}}),
        Ease::NoHiresFix => json!({"params": {"hires_fix": false}}),
        Ease::NoTiling => json!({"params": {"tiling": false}}),
        Ease::NoClipSkip => json!({"params": {"clip_skip": null}}),
        Ease::NoLoraVersions => {
            let kept = image.into_iter().flat_map(|image| &image.loras).filter(|lora| !lora.is_version);
            let kept: Vec<_> = kept
                .map(|lora| {
                    let mut kept = json!({"name": lora.name, "model": lora.model, "clip": lora.clip});
                    if let Some(trigger) = &lora.inject_trigger {
                        kept["inject_trigger"] = trigger.as_str().into();
                    }
                    kept
                })
                .collect();
            json!({"params": {"loras": kept}})
        }
        Ease::NoLoras => json!({"params": {"loras": null}}),
        Ease::NoInversions => json!({"params": {"tis": null}}),
        Ease::NoImageAsControl => json!({"params": {"image_is_control": false}}),
        Ease::NoControlMap => json!({"params": {"return_control_map": false}}),
        Ease::NoControl => json!({"params": control()}),
        Ease::NoWorkflow => json!({"params": {"workflow": null, "extra_texts": null}}),
        Ease::NoTransparency => json!({"params": {"transparent": false}}),
        Ease::NoExtraSources => json!({"extra_source_images": null}),
        Ease::NoPainting => json!({"source_processing": "img2img", "source_mask": null}),
        Ease::NoSource => {
            let mut patch = json!({"source_image": null, "source_mask": null, "source_processing": null,
                "extra_source_images": null});
            if image.is_some_and(|image| image.control_type.is_some()) {
                patch["params"] = control();
            }
            patch
        }
        Ease::NoLinks => json!({"r2": false}),
        Ease::NotNsfw => json!({"nsfw": false}),
        Ease::Length(most) => json!({"params": {"max_length": most}}),
        Ease::ContextLength(most) => match &spec.params {
            // What is written is part of the context.
            Params::Text(text) if text.max_length > *most => {
                json!({"params": {"max_context_length": most, "max_length": most}})
            }
            _ => json!({"params": {"max_context_length": most}}),
        },
        Ease::NoSoftprompt => json!({"softprompt": null}),
        // The image decides.
        Ease::Tiles(_) => json!({}),
    }
}

fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (name, value) in from {
        match (into.get_mut(&name), value) {
            (Some(Value::Object(known)), Value::Object(more)) => merge(known, more),
            (_, value) => {
                into.insert(name, value);
            }
        }
    }
}

/// 1,048,576
pub(super) fn grouped(n: i64) -> String {
    let digits = n.to_string();
    let mut told = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) && !told.ends_with('-') {
            told.push(',');
        }
        told.push(digit);
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::request::tests::image, engine::stage::image_spec};

    #[test]
    fn changes_of_the_same_parameters_are_one_patch() {
        let spec = image_spec(1);
        let eases = [Ease::SlowWorkers, Ease::Size { width: 64, height: 128 }, Ease::NoTiling];
        let Struct(made) = patch(&eases, &spec);
        let right = json!({"slow_workers": true, "params": {"width": 64, "height": 128, "tiling": false}});
        assert_eq!(Value::Object(made), right);
        let words: Vec<_> = eases.iter().map(|ease| words(ease, &spec)).collect();
        assert_eq!(words[1], "ask for at most 64×128 (8,192 pixels) instead of 512×512");
    }

    #[test]
    fn without_its_source_an_image_has_no_control_either() {
        let mut params = image();
        (params.has_source, params.control_type) = (true, Some("canny".into()));
        let spec = Spec { params: Params::Image(Box::new(params)), ..image_spec(1) };
        let Struct(made) = patch(&[Ease::NoSource], &spec);
        assert_eq!((&made["source_image"], &made["params"]["control_type"]), (&Value::Null, &Value::Null));
        assert_eq!(patch(&[Ease::NoSource], &image_spec(1)).0.get("params"), None);
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (n, told) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_048_576, "1,048,576"), (-100, "-100")]
        {
            assert_eq!(grouped(n), told);
        }
    }
}
