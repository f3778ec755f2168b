//! What a job's entry in its stream says: enough to order it and to match it, and no prompt.

use crate::domain::request::{Accepted, Kind, Origin, Params, Spec};

/// Longest description of what a job needs, in bytes. What is longer is read from Records.
const MAX_NEEDS: usize = 2048;

/// `priority − 50 × ⌊created_ms / 10 000⌋`: the larger is served first; then comes creation, then ID.
pub fn order(request: &Accepted) -> i64 {
    match request.spec.kind() {
        // These do not age.
        Kind::Alchemy => request.priority,
        Kind::Image | Kind::Text | Kind::Video => {
            request.priority - 50 * request.created_at.0.div_euclid(10_000)
        }
    }
}

/// The request's spec as JSON, with what matching does not need left out: prompt, webhook, names, seeds and
/// lists of which matching looks at nothing or at the length alone. Empty if that is too long still.
///
/// Words that a worker refuses can only be looked for in the prompt: whoever claims has read the request.
pub fn needs(spec: &Spec) -> String {
    // Of who asks, matching looks at nothing but whether the address is safe.
    let origin = Origin { unsafe_ip: spec.origin.unsafe_ip, ..Origin::default() };
    let mut needs = Spec { prompt: String::new(), webhook: None, origin, ..spec.clone() };
    match &mut needs.params {
        Params::Image(image) | Params::Video(image) => {
            image.loras.iter_mut().for_each(|lora| lora.name.clear());
            image.loras.iter_mut().for_each(|lora| lora.inject_trigger = None);
            image.tis.iter_mut().for_each(|inversion| inversion.name.clear());
            image.extra_texts.clear();
            image.special = None;
        }
        Params::Text(text) => {
            text.sampler_order.clear();
            text.stop_sequence.clear();
        }
        Params::Alchemy(alchemy) => {
            alchemy.forms.iter_mut().for_each(|form| form.payload = None);
            alchemy.source_url = None;
        }
    }
    // Plain data; a number that JSON cannot say (NaN) would only cost the description.
    serde_json::to_string(&needs).ok().filter(|text| text.len() <= MAX_NEEDS).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::request::{Lora, tests::image};

    fn spec() -> Spec {
        let lora = Lora {
            name: "a secret style".into(),
            model: 1.0,
            clip: 1.0,
            inject_trigger: Some("secret".into()),
            is_version: true,
        };
        Spec {
            prompt: "a secret cat".into(),
            jobs: 2,
            models: vec!["stable_diffusion".into()],
            nsfw: true,
            trusted_workers: false,
            slow_workers: true,
            validated_backends: false,
            workers: vec![],
            worker_blacklist: false,
            origin: Origin {
                client_agent: "secret:1:secret".into(),
                unsafe_ip: true,
                proxied_account: Some("secret".into()),
                wallet: Some("secret".into()),
                tags: vec!["secret".into()],
                ..Origin::default()
            },
            webhook: Some("https://secret.example/hook".into()),
            params: Params::Image(Box::new(crate::domain::request::ImageParams {
                loras: vec![lora],
                ..image()
            })),
        }
    }

    #[test]
    fn what_a_job_needs_says_nothing_that_only_its_worker_should_read() {
        let needs = needs(&spec());
        assert!(needs.len() <= MAX_NEEDS && !needs.contains("secret"), "{needs}");
        let read: Spec = serde_json::from_str(&needs).unwrap();
        assert!(read.nsfw && read.models == spec().models);
        let Params::Image(image) = read.params else { panic!("an image stays one") };
        assert!(image.loras[0].is_version, "matching asks for that");
    }

    #[test]
    fn a_description_that_is_too_long_is_left_out() {
        let long = Spec { models: vec!["m".repeat(3000).into()], ..spec() };
        assert_eq!(needs(&long), "");
    }
}
