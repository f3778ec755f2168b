//! What a webhook is told, and how it knows that we told it.

use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;

use crate::domain::{
    RequestId,
    request::{Params, Spec},
    result::{Outcome, Product, Remark, Verdict},
};

/// What stands in a form's result for the image that was uploaded.
const UPLOADED: &str = "R2";

/// The header with the signature.
pub const SIGNATURE_HEADER: &str = "x-gridbroker-signature";

/// Signs a body: `t=<Unix seconds>,v1=<HMAC-SHA256 of "<t>.<body>" as lower-case hexadecimal digits>`.
pub fn signature(secret: &str, at_seconds: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("{at_seconds}.").as_bytes());
    mac.update(body);
    let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={at_seconds},v1={digits}")
}

/// The JSON of one delivered job, a shape for each kind. `img` is what the kind shows of an object: a link,
/// or its content; kinds without objects have none.
///
/// # Errors
/// Never, with what is in Records: all of it has a JSON form.
///
/// Source: the webhook section of the v2 contract.
pub fn payload(
    request: RequestId,
    spec: &Spec,
    outcome: &Outcome,
    img: Option<String>,
) -> serde_json::Result<Vec<u8>> {
    let told = Told {
        worker_id: outcome.worker.to_string(),
        worker_name: &outcome.worker_name,
        id: outcome.attempt.to_string(),
        request: request.to_string(),
        kudos: outcome.reward.as_f64(),
    };
    let gen_metadata = outcome.remarks.iter().map(Metadata::of).collect();
    match &spec.params {
        Params::Image(_) | Params::Video(_) => serde_json::to_vec(&Image {
            img: img.unwrap_or_default(),
            seed: outcome.seed,
            model: &outcome.model,
            censored: outcome.verdict != Verdict::Ok,
            gen_metadata,
            tags: &outcome.extras.tags,
            r2_download_url: outcome.extras.download_url.as_deref(),
            file_size: outcome.extras.file_size,
            told,
        }),
        Params::Text(_) => serde_json::to_vec(&Text {
            text: match &outcome.product {
                Product::Text(text) => text,
                Product::Image | Product::Form(_) | Product::Void => "",
            },
            seed: outcome.seed,
            model: &outcome.model,
            state: outcome.verdict.word(),
            gen_metadata,
            told,
        }),
        Params::Alchemy(_) => {
            let mut result = match &outcome.product {
                Product::Form(result) => result.clone(),
                Product::Text(_) | Product::Image | Product::Void => serde_json::Map::new(),
            };
            for value in result.values_mut().filter(|value| *value == UPLOADED) {
                *value = img.clone().into();
            }
            serde_json::to_vec(&Form { form: &outcome.model, state: "done", result, told })
        }
    }
}

/// What every kind is told.
#[derive(Serialize)]
struct Told<'a> {
    worker_id: String,
    worker_name: &'a str,
    /// The attempt: what was told twice is told apart by it.
    id: String,
    request: String,
    kudos: f64,
}

#[derive(Serialize)]
struct Image<'a> {
    img: String,
    seed: i64,
    model: &'a str,
    censored: bool,
    gen_metadata: Vec<Metadata<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tags: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    r2_download_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_size: Option<i64>,
    #[serde(flatten)]
    told: Told<'a>,
}

#[derive(Serialize)]
struct Text<'a> {
    text: &'a str,
    seed: i64,
    model: &'a str,
    state: &'static str,
    gen_metadata: Vec<Metadata<'a>>,
    #[serde(flatten)]
    told: Told<'a>,
}

#[derive(Serialize)]
struct Form<'a> {
    form: &'a str,
    state: &'static str,
    result: serde_json::Map<String, serde_json::Value>,
    #[serde(flatten)]
    told: Told<'a>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    #[serde(rename = "type")]
    about: &'a str,
    value: &'a str,
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

impl<'a> Metadata<'a> {
    fn of(remark: &'a Remark) -> Self {
        Self { about: &remark.about, value: &remark.value, detail: remark.detail.as_deref() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        AttemptId, Kudos, Timestamp, WorkerId,
        request::{TextParams, tests::image},
        result::Extras,
    };

    fn told(params: Params, product: Product, verdict: Verdict, img: Option<&str>) -> Value {
        told_with(params, product, verdict, img, Extras::default())
    }

    fn told_with(
        params: Params,
        product: Product,
        verdict: Verdict,
        img: Option<&str>,
        extras: Extras,
    ) -> Value {
        let spec = Spec {
            prompt: "secret".into(),
            jobs: 1,
            models: vec![],
            nsfw: false,
            trusted_workers: false,
            slow_workers: true,
            validated_backends: false,
            workers: vec![],
            worker_blacklist: false,
            origin: Default::default(),
            webhook: Some("https://example.org/secret".into()),
            params,
        };
        let outcome = Outcome {
            attempt: AttemptId(Uuid::from_u128(1)),
            job: 0,
            number: 1,
            product,
            seed: 7,
            verdict,
            remarks: vec![Remark { about: "lora".into(), value: "download_failed".into(), detail: None }],
            extras,
            worker: WorkerId(Uuid::from_u128(2)),
            worker_name: "a worker".into(),
            model: "a model".into(),
            reward: Kudos::whole(12),
            settled_at: Timestamp(0),
        };
        let body = payload(RequestId(Uuid::from_u128(3)), &spec, &outcome, img.map(str::to_owned));
        let body = String::from_utf8(body.unwrap()).unwrap();
        assert!(!body.contains("secret") && body.contains("12.0"), "{body}");
        serde_json::from_str(&body).unwrap()
    }

    #[test]
    fn each_kind_is_told_the_keys_of_the_contract() {
        let metadata = json!([{"type": "lora", "value": "download_failed"}]);
        let (id, worker, request) =
            (Uuid::from_u128(1).to_string(), Uuid::from_u128(2).to_string(), Uuid::from_u128(3).to_string());
        let image = Params::Image(Box::new(image()));
        assert_eq!(
            told(image, Product::Image, Verdict::Censored, Some("https://grid/1.webp")),
            json!({"img": "https://grid/1.webp", "seed": 7, "worker_id": worker, "worker_name": "a worker",
                "model": "a model", "id": id, "censored": true, "gen_metadata": metadata, "request": request,
                "kudos": 12.0})
        );
        let extras = Extras {
            tags: vec!["a".into()],
            download_url: Some("https://store/1.mp4".into()),
            file_size: Some(1234),
        };
        let video = Params::Video(Box::new(self::image()));
        assert_eq!(
            told_with(video, Product::Image, Verdict::Ok, Some("https://grid/1.webp"), extras),
            json!({"img": "https://grid/1.webp", "seed": 7, "worker_id": worker, "worker_name": "a worker",
                "model": "a model", "id": id, "censored": false, "gen_metadata": metadata, "request": request,
                "kudos": 12.0, "tags": ["a"], "r2_download_url": "https://store/1.mp4", "file_size": 1234}),
            "what its worker said of the file"
        );
        let text = Params::Text(Box::<TextParams>::default());
        assert_eq!(
            told(text, Product::Text("once".into()), Verdict::Ok, None),
            json!({"text": "once", "seed": 7, "worker_id": worker, "worker_name": "a worker",
                "model": "a model", "id": id, "state": "ok", "gen_metadata": metadata, "request": request,
                "kudos": 12.0})
        );
    }

    #[test]
    fn a_signature_is_that_of_the_time_and_the_body() {
        // As `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac 'a secret of sixteen'` has it.
        let signed = signature("a secret of sixteen", 1_700_000_000, br#"{"a":1}"#);
        assert_eq!(
            signed,
            "t=1700000000,v1=fbd8ce753f0c0643c2d4fef4959c30b175367059e6f5453bddeb7b24a3d1ae24"
        );
    }
}
