//! Submits: fields, warnings, and the price of a dry run.

use serde_json::{Value, json};

use crate::harness::{ALICE, Broker, CAROL};

fn with(mut message: Value, change: Value) -> Value {
    for (name, value) in change.as_object().expect("changes are an object") {
        message[name] = value.clone();
    }
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_as_the_contract_has_them() {
    let broker = Broker::start().await;
    let carol = broker.json(CAROL);
    for (body, paths) in [
        (json!({}), vec!["prompt"]),
        (json!({"prompt": ""}), vec!["prompt"]),
        (json!({"prompt": "x", "models": null}), vec!["models"]),
        (json!({"prompt": "x", "params": null}), vec!["params"]),
        (json!({"prompt": "x", "nsfw": 1}), vec!["nsfw"]),
        (json!({"prompt": "x", "style": "ab"}), vec!["style"]),
        (json!({"prompt": "x", "style": "s".repeat(2049)}), vec!["style"]),
        (json!({"prompt": "x", "webhook": "https://"}), vec!["webhook"]),
        (json!({"prompt": "x", "source_processing": "paint"}), vec!["source_processing"]),
        (json!({"prompt": "x", "params": {"seed": 5}}), vec!["params.seed"]),
        (json!({"prompt": "x", "params": {"steps": 7.5}}), vec!["params.steps"]),
        (json!({"prompt": "x", "params": {"steps": 501, "n": 21}}), vec!["params.n", "params.steps"]),
        (
            json!({"prompt": "x", "params": {"width": 3136, "height": 65}}),
            vec!["params.height", "params.width"],
        ),
        (
            json!({"prompt": "x", "params": {"post_processing": ["GFPGAN", "GFPGAN"]}}),
            vec!["params.post_processing"],
        ),
        (
            json!({"prompt": "x", "params": {"extra_texts": [{"text": "", "reference": "ab"}]}}),
            vec!["params.extra_texts.0.reference", "params.extra_texts.0.text"],
        ),
        (
            json!({"prompt": "x", "params": {"loras": [{"name": "x", "model": 5.1}]}}),
            vec!["params.loras.0.model"],
        ),
    ] {
        let answer = carol.post("/generate/async", body.clone()).await;
        assert_eq!((answer.status, answer.paths()), (400, paths), "{body}: {}", answer.body);
        assert!(answer.body.get("rc").is_none(), "{body}");
    }
    for body in [
        json!({"prompt": "x", "source_processing": "txt2img"}),
        json!({"prompt": "x", "params": {"steps": 7.0, "seed": "", "control_type": "canny"}, "source_image": "", "dry_run": false}),
    ] {
        let answer = carol.post("/generate/async", body.clone()).await;
        let fits = answer.status == 202 || answer.rc() == "ControlNetSourceMissing";
        assert!(fits, "{body}: {}", answer.body);
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_models_require_is_warned_of() {
    let broker = Broker::start().await;
    let alice = broker.json(ALICE);
    let codes = |body: &Value| {
        let warnings = body["warnings"].as_array().into_iter().flatten();
        let mut codes: Vec<_> = warnings
            .map(|warning| {
                assert!(warning["message"].as_str().is_some_and(|text| !text.is_empty()));
                warning["code"].as_str().expect("a code").to_owned()
            })
            .collect();
        codes.sort();
        codes
    };
    let flux = json!({"prompt": "x", "models": ["Flux.1-Schnell fp8 (Compact)"],
                      "params": {"sampler_name": "k_dpm_2", "steps": 2}});
    let warned = alice.post("/generate/async", flux).await.ok();
    assert_eq!(
        codes(&warned),
        ["CfgScaleMismatch", "NoAvailableWorker", "SamplerMismatch", "SchedulerMismatch"]
    );
    assert!(warned["message"].is_string());
    let plain = alice.post("/generate/async", json!({"prompt": "x"})).await.ok();
    assert_eq!(codes(&plain), ["NoAvailableWorker"]);
    let text = alice.post("/generate/text/async", json!({"prompt": "x"})).await.ok();
    assert_eq!((codes(&text), &text["kudos"]), (vec!["NoAvailableWorker".to_owned()], &json!(0.0)));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_is_priced_for_those_who_have_a_key_and_leaves_nothing() {
    let broker = Broker::start().await;
    let alice = broker.json(ALICE);
    let price = async |path: &str, body: Value| {
        let answer = alice.post(path, with(body, json!({"dry_run": true}))).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.body.as_object().map(|body| body.len()), Some(1), "{}", answer.body);
        answer.body["kudos"].as_f64().expect("a price")
    };
    // 512², 30 steps: 6.5 for the job, 1 for its burn, 1 for the activation.
    let image = |params: Value, models: Value| json!({"prompt": "x", "params": params, "models": models});
    assert_eq!(price("/generate/async", image(json!({}), json!(["x"]))).await, 9.0, "6.5 + 1, + 1");
    assert_eq!(
        price("/generate/async", image(json!({"n": 4}), json!(["x"]))).await,
        31.0,
        "(6.5 + 1) × 4 + 1"
    );
    assert_eq!(price("/generate/async", image(json!({}), json!(["SDXL 1.0"]))).await, 16.0, "twice for SDXL");
    // c' of 2048 tokens: 1.2 + 2.2.
    let text = |models: Value| json!({"prompt": "x", "models": models});
    assert_eq!(price("/generate/text/async", text(json!([]))).await, 37.0, "80 × 13 × 3.4 / 100 + 1 + 1");
    assert_eq!(price("/generate/text/async", text(json!(["mock/echo-7b"]))).await, 21.0, "7 in place of 13");
    assert_eq!(price("/generate/text/async", text(json!(["unknown"]))).await, 9.0, "80 × 0.027 × 3.4 + 2");
    let nobody = broker.json("nobody-has-this-key");
    let unknown = nobody.post("/generate/async", json!({"prompt": "x", "dry_run": true})).await;
    assert_eq!(unknown.verdict(), (401, "InvalidAPIKey"));
    broker.holds_nothing().await;
    broker.stop().await;
}
