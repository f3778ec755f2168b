//! Golden bodies of the contract: every key, its form, and nothing else.

use serde_json::{Value, json};

use crate::harness::{ALICE, BOB, Broker};

/// Puts a constant in the place of what differs from run to run, after a look at its form.
fn settle(body: &mut Value) {
    match body {
        Value::Object(map) => {
            for (name, value) in map {
                match (name.as_str(), &value) {
                    ("id" | "worker_id", Value::String(text)) => {
                        assert!(uuid::Uuid::parse_str(text).is_ok(), "{name}: {text}");
                        *value = json!("<uuid>");
                    }
                    ("ids", Value::Array(ids)) => *value = json!(vec!["<uuid>"; ids.len()]),
                    ("img" | "source_image" | "r2_upload", Value::String(text)) => {
                        assert!(
                            text.starts_with("http://127.0.0.1:") && text.contains(".webp?expires="),
                            "{text}"
                        );
                        *value = json!("<link>");
                    }
                    ("r2_uploads", Value::Array(links)) => *value = json!(vec!["<link>"; links.len()]),
                    ("message", Value::String(_)) => *value = json!("<text>"),
                    ("kudos_rewards" | "generated" | "reward", Value::Number(number)) => {
                        assert!(number.is_f64() && number.as_f64() > Some(0.0), "{name}: {number}");
                        *value = json!(1.5);
                    }
                    _ => settle(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(settle),
        _ => {}
    }
}

fn golden(mut body: Value, expected: Value) {
    settle(&mut body);
    // As text: `1` and `1.0` differ.
    assert_eq!(body.to_string(), expected.to_string(), "\n{body:#}\n{expected:#}");
}

fn id(body: &Value) -> String {
    body["id"].as_str().expect("it has an ID").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_from_submit_to_status() {
    let broker = Broker::start().await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let dry = alice.post("/generate/async", json!({"prompt": "x", "dry_run": true})).await;
    assert_eq!((dry.status, dry.body["kudos"].is_f64()), (200, true));
    assert_eq!(dry.body.as_object().unwrap().len(), 1, "a price and nothing else: {}", dry.body);
    let body = json!({"prompt": "a cat###dog", "nsfw": false, "params": {"n": 2, "steps": 20, "sampler_name": "k_euler",
        "cfg_scale": 7, "height": 768, "width": 512, "seed": "1234", "post_processing": ["GFPGAN"],
        "loras": [{"name": "246747", "is_version": true}], "tis": [{"name": "7808", "inject_ti": "prompt"}]}});
    let accepted = alice.post("/generate/async", body.clone()).await;
    assert_eq!(accepted.status, 202);
    let (request, kudos) = (id(&accepted.body), accepted.body["kudos"].clone());
    assert!(kudos.is_f64() && kudos.as_f64() > Some(0.0));
    golden(
        accepted.body,
        json!({"id": "<uuid>", "kudos": kudos, "message": "<text>",
        "warnings": [{"code": "NoAvailableWorker", "message": "<text>"}]}),
    );
    let check = alice.get(&format!("/generate/check/{request}")).await.ok();
    assert!(check["wait_time"].is_i64());
    golden(
        check.clone(),
        json!({"finished": 0, "processing": 0,
        "restarted": 0, "waiting": 2, "done": false, "faulted": false, "wait_time": check["wait_time"], "queue_position": 1,
        "kudos": 1.0, "is_possible": false}),
    );
    let offer = json!({"name": "dreamer", "models": ["stable_diffusion"], "amount": 2, "allow_lora": true,
        "max_pixels": 4_194_304, "bridge_agent": "AI Horde Worker reGen:13.0.0:x"});
    let pop = bob.post("/generate/pop", offer).await.ok();
    golden(
        pop.clone(),
        json!({"payload": {"prompt": "a cat###dog", "seed": "1234", "ddim_steps": 20, "n_iter": 2,
        "use_nsfw_censor": true, "sampler_name": "k_euler", "cfg_scale": 7.0, "height": 768, "width": 512,
        "karras": true, "tiling": false, "hires_fix": false, "transparent": false, "image_is_control": false,
        "return_control_map": false, "post_processing": ["GFPGAN"],
        "loras": [{"name": "246747", "model": 1.0, "clip": 1.0, "is_version": true}],
        "tis": [{"name": "7808", "inject_ti": "prompt", "strength": 1.0}]},
        "id": "<uuid>", "ids": ["<uuid>", "<uuid>"], "messages": [], "ttl": pop["ttl"], "skipped": {},
        "model": "stable_diffusion", "source_image": null, "source_processing": "img2img", "source_mask": null,
        "extra_source_images": null, "r2_upload": "<link>", "r2_uploads": ["<link>", "<link>"]}),
    );
    assert!(pop["ttl"].as_i64() >= Some(150), "{}", pop["ttl"]);
    let remarks = json!([{"type": "batch_index", "value": "see_ref", "ref": "1"}, {"type": "censorship", "value": "nsfw"}]);
    for job in pop["ids"].as_array().unwrap() {
        let png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
        let result = json!({"id": job, "generation": png, "seed": 1234, "gen_metadata": remarks});
        golden(bob.post("/generate/submit", result).await.ok(), json!({"reward": 1.5}));
    }
    let status = alice.get(&format!("/generate/status/{request}")).await.ok();
    let generation = json!({"img": "<link>", "seed": "1234", "id": "<uuid>", "censored": true, "gen_metadata": remarks,
        "worker_id": "<uuid>", "worker_name": "dreamer", "model": "stable_diffusion", "state": "ok"});
    golden(
        status.clone(),
        json!({"generations": [generation, generation], "shared": false, "finished": 2,
        "processing": 0, "restarted": 0, "waiting": 0, "done": true, "faulted": false, "wait_time": 0,
        "queue_position": 0, "kudos": status["kudos"], "is_possible": true}),
    );
    assert!(status["kudos"].is_f64());
    let again = alice.post("/generate/async", body).await.ok();
    golden(again, json!({"id": "<uuid>", "kudos": kudos}));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_from_submit_to_status() {
    let broker = Broker::start().await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let dry = alice.post("/generate/text/async", json!({"prompt": "x", "dry_run": true})).await;
    assert_eq!((dry.status, dry.body["kudos"].is_f64()), (200, true), "{}", dry.body);
    let body = json!({"prompt": "once", "params": {"max_length": 80, "max_context_length": 1024, "temperature": 1,
        "stop_sequence": ["x"]}});
    let accepted = alice.post("/generate/text/async", body.clone()).await.ok();
    let request = id(&accepted);
    golden(
        accepted,
        json!({"id": "<uuid>", "kudos": 0.0, "message": "<text>",
        "warnings": [{"code": "NoAvailableWorker", "message": "<text>"}]}),
    );
    let pop = bob.post("/generate/text/pop", json!({"name": "scribe", "models": ["mock"]})).await.ok();
    golden(
        pop.clone(),
        json!({"payload": {"prompt": "once", "n": 1, "max_length": 80, "max_context_length": 1024,
        "temperature": 1.0, "min_p": 0.0, "smoothing_factor": 0.0, "dynatemp_range": 0.0, "dynatemp_exponent": 1.0,
        "stop_sequence": ["x"]}, "id": "<uuid>", "ids": ["<uuid>"], "messages": [], "ttl": 150,
        "extra_source_images": null, "skipped": {}, "softprompt": null, "model": "mock"}),
    );
    let result = json!({"id": pop["id"], "generation": " hello"});
    golden(bob.post("/generate/text/submit", result).await.ok(), json!({"reward": 1.5}));
    let status = alice.get(&format!("/generate/text/status/{request}")).await.ok();
    golden(
        status.clone(),
        json!({"generations": [{"text": " hello", "seed": 0, "gen_metadata": [], "worker_id": "<uuid>",
        "worker_name": "scribe", "model": "mock", "state": "ok"}], "finished": 1, "processing": 0, "restarted": 0,
        "waiting": 0, "done": true, "faulted": false, "wait_time": 0, "queue_position": 0, "kudos": status["kudos"],
        "is_possible": true}),
    );
    assert!(status["kudos"].is_f64());
    golden(alice.post("/generate/text/async", body).await.ok(), json!({"id": "<uuid>", "kudos": 0.0}));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_two_keys() {
    let broker = Broker::start().await;
    let alice = broker.json(ALICE);
    golden(alice.get("/workers/x").await.body, json!({"message": "<text>", "rc": "WorkerNotFound"}));
    let wrong =
        alice.post("/generate/async", json!({"prompt": "x", "params": {"width": 513, "n": 99}})).await.body;
    assert_eq!(
        wrong,
        json!({"errors": {"params.width": "513 is not a multiple of 64",
        "params.n": "99 is greater than the maximum of 20"}, "message": "Input payload validation failed"})
    );
    broker.stop().await;
}
