//! What is asked of submits beyond single parameters: accounts, models, order.

use serde_json::{Value, json};
use tonic::Code;

use crate::harness::{
    ALICE, ANONYMOUS, BOB, DAVE, Row, SAM, Verb,
    Verdict::{self, Fields, Reason},
};

fn bad(rc: &'static str) -> Verdict {
    Reason(400, rc, Code::InvalidArgument)
}

fn image(change: Value) -> Value {
    with(json!({"prompt": "a cat"}), change)
}

fn text(change: Value) -> Value {
    with(json!({"prompt": "once"}), change)
}

fn with(mut message: Value, change: Value) -> Value {
    for (name, value) in change.as_object().expect("changes are an object") {
        message[name] = value.clone();
    }
    message
}

fn table(verb: Verb, rows: Vec<(&'static str, &'static str, Value, Verdict)>) -> Vec<Row> {
    let row = |(rule, key, message, verdict)| Row { rule, verb, key: Some(key), message, verdict };
    rows.into_iter().map(row).collect()
}

fn what_models_cannot_do_is_refused() -> Vec<Row> {
    let of = |models: Value, params: Value| image(json!({"models": models, "params": params}));
    let sourced = |models: Value, params: Value| with(of(models, params), json!({"source_image": "AAAA"}));
    let lora = json!({"name": "x"});
    let ti = json!({"name": "x"});
    let extra = |n: usize| json!(vec![json!({"image": "AAAA"}); n]);
    let remix = |models: Value, n: usize| {
        image(json!({"models": models, "source_processing": "remix", "extra_source_images": extra(n)}))
    };
    let qr = |models: Value, reference: &str| {
        of(models, json!({"workflow": "qr_code", "extra_texts": [{"text": "x", "reference": reference}]}))
    };
    let control = |kind: &str| json!({"control_type": kind});
    let clear = json!({"transparent": true});
    table(
        Verb::SubmitImage,
        vec![
            (
                "no second pass with flux",
                ALICE,
                of(json!(["x [Flux]"]), json!({"hires_fix": true})),
                bad("HiResMismatch"),
            ),
            ("five LoRAs", ALICE, image(json!({"params": {"loras": vec![lora; 6]}})), bad("TooManyLoras")),
            ("twenty inversions", ALICE, image(json!({"params": {"tis": vec![ti; 21]}})), bad("TooManyTIs")),
            (
                "transparency",
                ALICE,
                of(json!(["Stable Cascade 1.0"]), clear.clone()),
                bad("InvalidTransparencyModel"),
            ),
            (
                "transparency and images",
                ALICE,
                with(of(json!(["SDXL 1.0"]), clear), json!({"extra_source_images": extra(1)})),
                bad("InvalidTransparencyImg2Img"),
            ),
            (
                "transparency and control",
                ALICE,
                sourced(json!(["stable_diffusion"]), json!({"transparent": true, "control_type": "canny"})),
                bad("InvalidTransparencyCN"),
            ),
            ("the workflow's model", ALICE, qr(json!(["x [Flux]"]), "qr_code"), bad("ControlNetMismatch")),
            ("the workflow's text", ALICE, qr(json!(["SDXL 1.0"]), "other"), bad("MissingExtraTexts")),
            (
                "control of SDXL",
                ALICE,
                sourced(json!(["SDXL 1.0"]), control("canny")),
                bad("ControlNetMismatch"),
            ),
            (
                "control of SD 2",
                ALICE,
                sourced(json!(["stable_diffusion_2.1"]), control("hough")),
                bad("ControlNetUnsupported"),
            ),
            (
                "control of pix2pix",
                ALICE,
                sourced(json!(["pix2pix"]), control("canny")),
                bad("ControlNetUnsupported"),
            ),
            ("only cascade remixes", ALICE, remix(json!(["stable_diffusion"]), 1), bad("InvalidRemix")),
            (
                "models that need a source",
                ALICE,
                of(json!(["pix2pix"]), json!({})),
                bad("SourceImageRequiredForModel"),
            ),
            (
                "a post-processor is no model",
                ALICE,
                of(json!(["GFPGAN"]), json!({})),
                bad("UnexpectedModelName"),
            ),
            (
                "a control is none",
                ALICE,
                of(json!(["control_v11_canny"]), json!({})),
                bad("UnexpectedModelName"),
            ),
            (
                "five extra images",
                BOB,
                remix(json!(["Stable Cascade 1.0"]), 6),
                bad("TooManyExtraSourceImages"),
            ),
            (
                "one of those who are not trusted",
                ALICE,
                remix(json!(["Stable Cascade 1.0"]), 2),
                bad("MoreThanMinExtraSourceImage"),
            ),
            (
                "a missing one is named",
                ALICE,
                image(json!({"extra_source_images": [{}]})),
                Fields(&["extra_source_images.0.image"]),
            ),
        ],
    )
}

fn what_accounts_may_not_ask_for_is_refused() -> Vec<Row> {
    let special = |models: Value| image(json!({"models": models, "params": {"special": {"a": 1}}}));
    let forbidden = Reason(403, "Forbidden", Code::PermissionDenied);
    let upfront = Reason(403, "KudosUpfront", Code::PermissionDenied);
    let large = json!({"params": {"n": 20, "width": 2048, "height": 2048}});
    let mut rows = table(
        Verb::SubmitImage,
        vec![
            (
                "only services ask for others",
                ALICE,
                image(json!({"proxied_account": "x"})),
                bad("OnlyServiceAccountProxy"),
            ),
            (
                "special models are for special users",
                ALICE,
                special(json!(["horde_special::alice#1"])),
                forbidden,
            ),
            (
                "they say whose they are",
                SAM,
                special(json!(["horde_special"])),
                bad("SpecialMissingUsername"),
            ),
            ("and are nobody else's", SAM, special(json!(["horde_special::alice#1"])), forbidden),
            (
                "and read a payload",
                SAM,
                image(json!({"models": ["horde_special::sam#7"]})),
                bad("SpecialMissingPayload"),
            ),
            (
                "no NUL in a free-form name",
                SAM,
                image(json!({"params": {"special": {"a\0b": 1}}})),
                bad("NulByteInPayload"),
            ),
            ("kudos are needed up front", ALICE, image(large.clone()), upfront),
            ("also for a dry run", ALICE, with(image(large), json!({"dry_run": true})), upfront),
            (
                "fast workers cost",
                ANONYMOUS,
                image(json!({"slow_workers": false, "params": {"n": 20}})),
                upfront,
            ),
        ],
    );
    let long = json!({"params": {"n": 20, "max_length": 600}});
    rows.extend(table(
        Verb::SubmitText,
        vec![
            ("services", ALICE, text(json!({"proxied_account": "x"})), bad("OnlyServiceAccountProxy")),
            (
                "single jobs",
                ALICE,
                text(json!({"disable_batching": true, "params": {"n": 2}})),
                bad("RequiresTrust"),
            ),
            (
                "six images",
                BOB,
                text(json!({"extra_source_images": vec![json!({"image": "A"}); 6]})),
                bad("TooManyExtraSourceImages"),
            ),
            (
                "two images",
                ALICE,
                text(json!({"extra_source_images": vec![json!({"image": "A"}); 2]})),
                bad("MoreThanMinExtraSourceImage"),
            ),
            ("long texts", ANONYMOUS, text(long), upfront),
        ],
    ));
    rows
}

fn the_first_failure_of_the_contracts_order_is_told() -> Vec<Row> {
    let broken =
        json!({"models": ["Stable Cascade 1.0"], "source_mask": "AAAA", "params": {"cfg_scale": 1.001}});
    let more = |change: Value| with(image(broken.clone()), change);
    let nobody = "nobody-has-this-key";
    let worker = "00000000-0000-4000-8000-000000000000";
    let not_found = Reason(404, "WorkerNotFound", Code::NotFound);
    let own = [worker; 6];
    table(
        Verb::SubmitImage,
        vec![
            ("19 before 23", ALICE, more(json!({})), bad("BadCFGDecimals")),
            (
                "of 19, LoRAs before cfg_scale",
                ALICE,
                more(
                    json!({"params": {"n": 20, "cfg_scale": 1.001, "loras": [{"name": "v", "is_version": true}]}}),
                ),
                bad("BadLoraVersion"),
            ),
            (
                "13 before 14",
                ALICE,
                more(json!({"workers": own, "disable_batching": true, "params": {"n": 2}})),
                not_found,
            ),
            ("an ID that is none is nobody's", ALICE, more(json!({"workers": ["x"]})), not_found),
            (
                "11 before 13",
                ALICE,
                more(json!({"workers": ["x"], "extra_source_images": [{"image": "A"}, {"image": "B"}]})),
                bad("MoreThanMinExtraSourceImage"),
            ),
            (
                "10 before 11",
                DAVE,
                more(json!({"extra_source_images": [{"image": "A"}, {"image": "B"}]})),
                Reason(403, "DeletedUser", Code::PermissionDenied),
            ),
            (
                "10 before the medium, a rule of 19",
                DAVE,
                more(json!({"media_type": "video", "models": ["stable_diffusion"]})),
                Reason(403, "DeletedUser", Code::PermissionDenied),
            ),
            ("9 before 10", DAVE, more(json!({"proxied_account": "x"})), bad("OnlyServiceAccountProxy")),
            (
                "8 before 9",
                nobody,
                more(json!({"proxied_account": "x"})),
                Reason(401, "InvalidAPIKey", Code::Unauthenticated),
            ),
            ("6 before 8", nobody, more(json!({"webhook": "http://example.org"})), bad("BadRequest")),
            (
                "4 before 6",
                nobody,
                more(json!({"webhook": "http://example.org", "style": "any"})),
                Reason(404, "StyleNotFound", Code::NotFound),
            ),
            ("2 before 4", nobody, more(json!({"prompt": "", "style": "any"})), Fields(&["prompt"])),
        ],
    )
}

pub fn rows() -> Vec<Row> {
    [
        what_models_cannot_do_is_refused(),
        what_accounts_may_not_ask_for_is_refused(),
        the_first_failure_of_the_contracts_order_is_told(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
