//! Bodies that are no JSON, of the wrong types, too large or too deep: refused without a code, or with every path.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{ALICE, Broker, Verb};

const POSTS: [Verb; 7] = [
    Verb::SubmitImage,
    Verb::SubmitText,
    Verb::PopImage,
    Verb::PopText,
    Verb::SubmitImageResult,
    Verb::SubmitTextResult,
    Verb::ReportProgress,
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_json_object_is_refused_without_a_code() {
    let broker = Broker::start().await;
    let alice = broker.json(ALICE);
    let bodies: Vec<Vec<u8>> = [
        "",
        "{",
        "}",
        "{\"prompt\": \"x\"",
        "{\"prompt\": \"x\"} {}",
        "{'prompt': 'x'}",
        "{\"prompt\": x}",
        "{\"prompt\": \"x\",}",
        "[]",
        "[\"x\"]",
        "null",
        "true",
        "7",
        "\"prompt\"",
        "prompt=x",
        "NaN",
        "{\"prompt\": \"\u{1}\"}",
        "\u{feff}{\"prompt\": \"x\"}",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .chain([b"\xff{}".to_vec(), b"\0\0".to_vec()])
    .collect();
    for verb in POSTS {
        for body in &bodies {
            let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
            let refused = alice.post_text(verb.path(), body.clone()).await;
            assert_eq!(refused.status, 400, "{verb:?} {shown:?}: {}", refused.body);
            let names: Vec<_> = refused.body.as_object().expect("an object").keys().collect();
            assert_eq!(names, ["message"], "{verb:?} {shown:?}: {}", refused.body);
        }
    }
    let values = [
        &b"{\"prompt\": \"\\ud800\"}"[..],
        b"{\"prompt\": \"\xff\"}",
        b"{\"prompt\": \"x\", \"params\": {\"n\": 1e999}}",
    ];
    for body in values {
        for verb in [Verb::SubmitImage, Verb::SubmitText] {
            let refused = alice.post_text(verb.path(), body).await;
            assert_eq!(
                (refused.status, refused.rc(), refused.paths().len()),
                (400, "", 0),
                "{body:?}: {}",
                refused.body
            );
        }
    }
    broker.holds_nothing().await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_declared_as_json() {
    let broker = Broker::start().await;
    let alice = broker.json(ALICE);
    for (content_type, status) in [
        (None, 400),
        (Some("text/plain"), 400),
        (Some("application/x-www-form-urlencoded"), 400),
        (Some("application/jsonp"), 400),
        (Some("application/json"), 202),
        (Some("Application/JSON; charset=utf-8"), 202),
    ] {
        let mut request = alice.request(Method::POST, "/generate/text/async").body("{\"prompt\": \"x\"}");
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let answer = alice.send(request).await;
        assert_eq!(answer.status, status, "{content_type:?}: {}", answer.body);
        assert_eq!(answer.headers["content-type"], "application/json; charset=utf-8");
        if status == 400 {
            assert!(answer.body["message"].is_string() && answer.body.get("rc").is_none(), "{}", answer.body);
        }
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_types_are_told_by_path_and_all_at_once() {
    let broker = Broker::start().await;
    let alice = broker.json(ALICE);
    let rows: [(Verb, Value, &[&str]); 12] = [
        (
            Verb::SubmitImage,
            json!({"prompt": 7, "nsfw": "true", "r2": 1, "models": "x", "workers": [1], "params": []}),
            &["models", "nsfw", "params", "prompt", "r2", "workers.0"],
        ),
        (
            Verb::SubmitImage,
            json!({"prompt": "x", "params": {"steps": "30", "n": 1.5, "seed": 7, "karras": 0, "cfg_scale": "7",
            "width": 1e12, "special": [], "loras": {}, "tis": [7], "post_processing": [[]]}}),
            &[
                "params.cfg_scale",
                "params.karras",
                "params.loras",
                "params.n",
                "params.post_processing.0",
                "params.seed",
                "params.special",
                "params.steps",
                "params.tis.0",
                "params.width",
            ],
        ),
        (
            Verb::SubmitImage,
            json!({"prompt": null, "params": null, "nsfw": null, "trusted_workers": null, "models": null,
            "workers": null, "source_image": null, "extra_source_images": null}),
            &[
                "extra_source_images",
                "models",
                "nsfw",
                "params",
                "prompt",
                "source_image",
                "trusted_workers",
                "workers",
            ],
        ),
        (
            Verb::SubmitImage,
            json!({"prompt": "x", "params": {"n": null, "seed": null, "loras": [null, {"name": null}]}}),
            &["params.loras.0", "params.loras.1.name", "params.n", "params.seed"],
        ),
        (
            Verb::SubmitImage,
            json!({"params": {"width": 513, "steps": true}}),
            &["params.steps", "params.width", "prompt"],
        ),
        (
            Verb::SubmitText,
            json!({"prompt": ["x"], "params": {"n": "1", "sampler_order": ["0", 1.5], "stop_sequence": "x"}}),
            &[
                "params.n",
                "params.sampler_order.0",
                "params.sampler_order.1",
                "params.stop_sequence",
                "prompt",
            ],
        ),
        (
            Verb::SubmitText,
            json!({"prompt": "x", "params": {"n": 99_999_999_999_999_999_999.0}}),
            &["params.n"],
        ),
        (
            Verb::PopImage,
            json!({"name": 1, "models": [1], "threads": "1", "nsfw": "no", "max_pixels": 1.5}),
            &["max_pixels", "models.0", "name", "nsfw", "threads"],
        ),
        (Verb::PopText, json!({"name": "x", "max_length": 2_147_483_648_i64}), &["max_length"]),
        (
            Verb::SubmitImageResult,
            json!({"id": 1, "generation": null, "seed": "7", "gen_metadata": {}}),
            &["gen_metadata", "generation", "id", "seed"],
        ),
        (
            Verb::SubmitTextResult,
            json!({"id": "x", "generation": "x", "seed": 9_223_372_036_854_775_808_u64,
            "gen_metadata": [{"type": "censorship", "value": "csam", "ref": null}]}),
            &["gen_metadata.0.ref", "seed"],
        ),
        (
            Verb::ReportProgress,
            json!({"id": "x", "current_step": "1", "total_steps": -2_147_483_649_i64}),
            &["current_step", "total_steps"],
        ),
    ];
    for (verb, body, paths) in rows {
        let refused = alice.post(verb.path(), body.clone()).await;
        assert_eq!(
            (refused.status, refused.paths().as_slice()),
            (400, paths),
            "{verb:?} {body}: {}",
            refused.body
        );
        assert_eq!(refused.body["message"], "Input payload validation failed");
        assert!(refused.body.get("rc").is_none());
    }
    for (path, paths) in [
        ("/status/models?min_count=many&max_count=1.5", &["min_count"][..]),
        ("/status/models?max_count=99999999999", &["max_count"]),
    ] {
        let refused = alice.get(path).await;
        assert_eq!((refused.status, refused.paths().as_slice()), (400, paths), "{path}: {}", refused.body);
    }
    broker.holds_nothing().await;
    broker.stop().await;
}

fn nested(levels: usize) -> String {
    "{\"a\":[".repeat(levels) + &"]}".repeat(levels)
}

#[tokio::test(flavor = "multi_thread")]
async fn free_form_objects_are_refused_beyond_a_depth_however_deep_they_are() {
    let broker = Broker::start().await;
    let alice = broker.json(ALICE);
    for (levels, paths) in
        [(9, &["params.special"][..]), (62, &["params.special"]), (63, &[]), (1_000_000, &[])]
    {
        let special = nested(levels);
        let refused = alice.post_text(
            "/generate/async",
            format!("{{\"prompt\": \"x\", \"params\": {{\"special\": {special}}}}}"),
        );
        let refused = refused.await;
        assert_eq!((refused.status, refused.paths().as_slice()), (400, paths), "{levels}: {}", refused.body);
    }
    broker.holds_nothing().await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_keys_and_queries_change_nothing() {
    let broker = Broker::start().await;
    let alice = broker.json(ALICE);
    let body = json!({"prompt": "x", "later": {"prompt": 7}, "media_type": "image", "params": {"n": 2.0, "width": 512.0,
        "batch_size": "2", "loras": [{"name": "a", "later": []}]}, "extra_source_images": []});
    let accepted = alice.post("/generate/async?prompt=&dry_run=true&params=7", body).await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    let deep = alice
        .post_text("/generate/text/async", format!("{{\"prompt\": \"x\", \"later\": {}}}", nested(10_000)));
    let deep = deep.await;
    assert_eq!(deep.status, 202, "however deep: {}", deep.body);
    assert_eq!(alice.get("/status/performance?later=1").await.ok()["queued_requests"], 2);
    assert_eq!(alice.get("/status/models?later=1&type=text").await.ok(), json!([]));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_over_the_limit_are_413_and_those_at_the_limit_are_read() {
    let most = 4096;
    let broker = Broker::with(|config| config.limits.max_body_bytes = most).await;
    let alice = broker.json(ALICE);
    let sized = |bytes: usize| {
        let frame = "{\"prompt\": \"\"}".len();
        format!("{{\"prompt\": \"{}\"}}", "x".repeat(bytes - frame))
    };
    for verb in POSTS {
        let refused = alice.post_text(verb.path(), sized(most + 1)).await;
        assert_eq!(refused.verdict(), (413, "PayloadTooLarge"), "{verb:?}: {}", refused.body);
    }
    broker.holds_nothing().await;
    let pieces = sized(most + 1)
        .into_bytes()
        .chunks(1000)
        .map(|part| Ok::<_, std::io::Error>(part.to_vec()))
        .collect::<Vec<_>>();
    let chunked = reqwest::Body::wrap_stream(tokio_stream::iter(pieces));
    assert_eq!(alice.post_text("/generate/text/async", chunked).await.status, 413, "also without a length");
    assert_eq!(alice.post_text("/generate/text/async", sized(most)).await.status, 202);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_cost_far_more_than_they_are_long_are_refused_at_once() {
    let broker = Broker::start().await;
    let alice = broker.json(ALICE);
    for item in ["{}", "1", "\"\"", "[]"] {
        let loras = vec![item; 2_000_000].join(",");
        let body = format!("{{\"prompt\": \"x\", \"params\": {{\"loras\": [{loras}]}}}}");
        let refused = alice.post_text("/generate/async", body).await;
        assert_eq!((refused.status, refused.rc()), (400, ""), "{item}: {}", refused.body);
    }
    let wrong = vec!["1"; 90_000].join(",");
    let refused =
        alice.post_text("/generate/async", format!("{{\"prompt\": \"x\", \"models\": [{wrong}]}}")).await;
    let paths = refused.paths().len();
    assert!(refused.status == 400 && (1000..2000).contains(&paths), "{} {paths}", refused.status);
    let id = "x".repeat(1 << 20);
    let refused = alice.post("/generate/text/submit", json!({"id": id, "generation": ""})).await;
    assert_eq!(refused.verdict(), (404, "InvalidJobID"));
    let message = refused.body["message"].as_str().expect("a message");
    assert!(
        message.starts_with("Processing Job with ID xxx") && message.len() < 2048,
        "not as long as the ID"
    );
    broker.holds_nothing().await;
    broker.stop().await;
}
