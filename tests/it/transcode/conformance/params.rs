//! Rules of requests that no single field tells.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tonic::Code;

use crate::harness::{
    ALICE, BOB, Row, Verb,
    Verdict::{self, Reason},
};

fn bad(rc: &'static str) -> Verdict {
    Reason(400, rc, Code::InvalidArgument)
}

fn of(verb: Verb, key: &'static str, rows: Vec<(&'static str, Value, Verdict)>) -> Vec<Row> {
    let row = |(rule, message, verdict)| Row { rule, verb, key: Some(key), message, verdict };
    rows.into_iter().map(row).collect()
}

pub fn image(change: Value) -> Value {
    with(json!({"prompt": "a cat"}), change)
}

pub fn with(mut message: Value, change: Value) -> Value {
    for (name, value) in change.as_object().expect("changes are an object") {
        message[name] = value.clone();
    }
    message
}

/// A PNG, with or without an alpha channel.
pub fn png(has_alpha: bool) -> String {
    let image = match has_alpha {
        true => image::DynamicImage::new_rgba8(64, 64),
        false => image::DynamicImage::new_rgb8(64, 64),
    };
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).expect("it can be written");
    BASE64_STANDARD.encode(bytes.into_inner())
}

fn of_images() -> Vec<Row> {
    let control = |more: Value| image(json!({"params": with(json!({"control_type": "canny"}), more)}));
    of(
        Verb::SubmitImage,
        ALICE,
        vec![
            (
                "batching needs trust to be off",
                image(json!({"disable_batching": true, "params": {"n": 2}})),
                bad("RequiresTrust"),
            ),
            (
                "a version is a number",
                image(json!({"params": {"loras": [{"name": "v1", "is_version": true}]}})),
                bad("BadLoraVersion"),
            ),
            ("a prompt has 7500 words", json!({"prompt": "w ".repeat(7501)}), bad("InvalidPromptSize")),
            (
                "one upscaler",
                image(json!({"params": {"post_processing": ["NMKD_Siax", "4x_AnimeSharp"]}})),
                bad("TooManyUpscalers"),
            ),
            ("two decimals", image(json!({"params": {"cfg_scale": 7.125}})), bad("BadCFGDecimals")),
            ("a mask masks something", image(json!({"source_mask": "AAAA"})), bad("SourceMaskUnnecessary")),
            ("control needs a source", control(json!({})), bad("ControlNetSourceMissing")),
            (
                "control does not paint",
                with(control(json!({})), json!({"source_image": "AAAA", "source_processing": "inpainting"})),
                bad("ControlNetInpaintingMismatch"),
            ),
            (
                "a map in or a map out",
                image(json!({"params": {"image_is_control": true, "return_control_map": true}})),
                bad("ControlNetInvalidPayload"),
            ),
            (
                "extra images are for remix",
                image(json!({"extra_source_images": [{"image": "AAAA"}]})),
                bad("InvalidExtraSourceImages"),
            ),
            (
                "extra texts are for a workflow",
                image(json!({"params": {"extra_texts": [{"text": "x", "reference": "ref"}]}})),
                bad("InvalidExtraTexts"),
            ),
            (
                "a source is an image",
                image(json!({"source_image": "bm90IGFuIGltYWdl"})),
                bad("ImageValidationFailed"),
            ),
            ("in base64", image(json!({"source_image": "%%%"})), bad("ImageValidationFailed")),
            ("or at a URL", image(json!({"source_image": "http not at all"})), bad("ImageValidationFailed")),
            (
                "that is public",
                image(json!({"source_image": "http://127.0.0.1/a.png"})),
                bad("ImageValidationFailed"),
            ),
            (
                "inpainting needs a mask",
                image(json!({"source_image": png(false), "source_processing": "inpainting"})),
                bad("InpaintingMissingMask"),
            ),
            ("webhooks are https", image(json!({"webhook": "http://example.org/hook"})), bad("BadRequest")),
            ("and whole", image(json!({"webhook": "https://exa mple.org"})), bad("BadRequest")),
            ("and public", image(json!({"webhook": "https://127.1/hook"})), bad("BadRequest")),
            ("by any name", image(json!({"webhook": "https://localhost/hook"})), bad("BadRequest")),
            ("and hold no secrets", image(json!({"webhook": "https://a:b@example.org/"})), bad("BadRequest")),
            (
                "also in a dry run",
                image(json!({"webhook": "http://example.org/hook", "dry_run": true})),
                bad("BadRequest"),
            ),
            (
                "there are no styles",
                image(json!({"style": "any"})),
                Reason(404, "StyleNotFound", Code::NotFound),
            ),
            (
                "special is for special users",
                image(json!({"params": {"special": {"a": [1, {"b": null}]}}})),
                bad("BadRequest"),
            ),
            ("no NUL in a prompt", image(json!({"prompt": "a\0b"})), bad("NulByteInPayload")),
            ("nor in a model", image(json!({"models": ["a\0b"]})), bad("NulByteInPayload")),
            (
                "nor in a list of objects",
                image(json!({"params": {"loras": [{"name": "a\0b"}]}})),
                bad("NulByteInPayload"),
            ),
            (
                "a dry run is refused alike",
                image(json!({"dry_run": true, "params": {"cfg_scale": 7.125}})),
                bad("BadCFGDecimals"),
            ),
        ],
    )
}

fn of_texts() -> Vec<Row> {
    let text = |params: Value| json!({"prompt": "once", "params": params});
    let stops = |n: usize, length: usize| (0..n).map(|i| format!("{i:0length$}")).collect::<Vec<_>>();
    of(
        Verb::SubmitText,
        ALICE,
        vec![
            ("a prompt is not empty", json!({"prompt": ""}), bad("MissingPrompt")),
            (
                "the context holds the output",
                text(json!({"max_context_length": 80, "max_length": 81})),
                bad("TokenOverflow"),
            ),
            (
                "samplers are all named",
                text(json!({"sampler_order": [0, 1, 2, 3, 4, 5, 5]})),
                bad("MissingFullSamplerOrder"),
            ),
            ("128 stops", text(json!({"stop_sequence": stops(129, 4)})), bad("TooManyStopSequences")),
            (
                "of 2000 characters",
                text(json!({"stop_sequence": stops(2, 1001)})),
                bad("ExcessiveStopSequence"),
            ),
            (
                "texts read no images",
                json!({"prompt": "x", "extra_source_images": [{"image": "AAAA"}]}),
                bad("InvalidExtraSourceImages"),
            ),
            ("no NUL in a stop", text(json!({"stop_sequence": ["\0"]})), bad("NulByteInPayload")),
            ("webhooks are https", json!({"prompt": "x", "webhook": "http://a.b"}), bad("BadRequest")),
            ("of any length", json!({"prompt": "x", "webhook": ""}), bad("BadRequest")),
            (
                "up to a point",
                json!({"prompt": "x", "webhook": format!("https://example.org/{}", "a".repeat(9000))}),
                bad("BadRequest"),
            ),
            (
                "a style is not there",
                json!({"prompt": "x", "style": "any"}),
                Reason(404, "StyleNotFound", Code::NotFound),
            ),
        ],
    )
}

fn of_offers() -> Vec<Row> {
    let offer = |change: Value| with(json!({"name": "x", "models": ["stable_diffusion"]}), change);
    of(
        Verb::PopImage,
        BOB,
        vec![
            ("in a model", offer(json!({"models": ["a\0bc"]})), bad("NulByteInPayload")),
            ("in the bridge", offer(json!({"bridge_agent": "a\0b"})), bad("NulByteInPayload")),
            ("in the list of words", offer(json!({"blacklist": ["\0"]})), bad("NulByteInPayload")),
        ],
    )
}

pub fn rows() -> Vec<Row> {
    [of_images(), of_texts(), of_offers()].into_iter().flatten().collect()
}
