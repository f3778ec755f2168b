//! Why requests wait and workers have nothing to do, over JSON and over gRPC.

use gridbroker::rpc::pb;
use serde_json::{Value, json};

use crate::harness::{ALICE, BOB, Broker, CAROL, Json, MONA};

const REGEN: &str = "AI Horde Worker reGen:13:x";

async fn asks(json: &Json, path: &str, body: Value) -> String {
    let accepted = json.post(path, body).await.ok();
    accepted["id"].as_str().expect("it has an ID").to_owned()
}

/// Pops without waiting; the worker is known from then on.
async fn comes(json: &Json, path: &str, body: Value) -> Value {
    let pop = json.request(reqwest::Method::POST, path).header("prefer", "wait=0").json(&body);
    json.send(pop).await.ok()
}

async fn worker_id(json: &Json, name: &str) -> String {
    let shown = json.get(&format!("/workers/name/{name}")).await.ok();
    shown["id"].as_str().expect("it has an ID").to_owned()
}

fn painter(name: &str, side: u32) -> Value {
    json!({"name": name, "models": ["stable_diffusion"], "bridge_agent": REGEN, "max_pixels": side * side})
}

/// Changes a body as RFC 7396 says.
fn merge(body: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else { return *body = patch.clone() };
    if !body.is_object() {
        *body = json!({});
    }
    for (name, change) in patch {
        match change {
            Value::Null => drop(body.as_object_mut().expect("it is one").remove(name)),
            change => merge(&mut body[name.as_str()], change),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_nobody_takes_says_why_and_its_patch_makes_it_one_that_is_taken() {
    let broker = Broker::start().await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let body = json!({"prompt": "a lighthouse", "models": ["stable_diffusion"], "slow_workers": false,
        "params": {"width": 1024, "height": 1024, "tiling": true}});
    let id = asks(&alice, "/generate/async", body.clone()).await;
    let path = format!("/generate/{id}/explain");
    let alone = alice.get(&path).await.ok();
    assert_eq!(
        (&alone["state"], &alone["workers"]["online"], &alone["rules"], &alone["changes"]),
        (&json!("waiting"), &json!(0), &json!([]), &json!([])),
        "{alone}"
    );
    assert!(alone["message"].as_str().is_some_and(|text| text.contains("online")), "{alone}");
    assert!(alone.get("queue_position").is_none(), "{alone}");
    for (name, side) in [("small", 512), ("middle", 768)] {
        comes(&bob, "/generate/pop", painter(name, side)).await;
    }
    let told = broker.json_without_key().get(&path).await.ok();
    assert_eq!(told["workers"], json!({"online": 2, "able": 0, "considered": 2, "is_partial": false}));
    let rule = json!({"name": "max_pixels", "key": "max_pixels",
        "message": "the image is larger than the worker draws", "workers": 2, "workers_only": 2});
    assert_eq!(told["rules"], json!([rule]));
    assert_eq!(
        told["changes"],
        json!([
            {"message": "ask for at most 768×768 (589,824 pixels) instead of 1024×1024",
             "patch": {"params": {"width": 768, "height": 768}}, "workers": 1},
            {"message": "ask for at most 512×512 (262,144 pixels) instead of 1024×1024",
             "patch": {"params": {"width": 512, "height": 512}}, "workers": 2},
        ])
    );
    let message = told["message"].as_str().expect("a sentence");
    assert!(message.contains("none of the 2 workers") && message.contains("768×768"), "{message}");
    let mut milder = body;
    merge(&mut milder, &told["changes"][0]["patch"]);
    asks(&alice, "/generate/async", milder).await;
    assert!(comes(&bob, "/generate/pop", painter("middle", 768)).await["id"].is_string());
    alice.delete(&format!("/generate/status/{id}")).await.ok();
    let over = alice.get(&path).await.ok();
    assert_eq!(over["state"], "cancelled", "{over}");
    assert!(over.get("workers").is_none(), "{over}");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_is_explained_and_grpc_says_the_same() {
    let broker = Broker::start().await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    const PNG: &str =
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    comes(&bob, "/generate/text/pop", json!({"name": "writer", "models": ["small"], "max_length": 64})).await;
    comes(&bob, "/interrogate/pop", json!({"name": "seer", "forms": ["caption"]})).await;
    comes(
        &bob,
        "/generate/video/pop",
        json!({"name": "filmer", "models": ["Wan 2.2"], "bridge_agent": REGEN, "nsfw": false}),
    )
    .await;
    let text = json!({"prompt": "x", "models": ["large"], "params": {"max_length": 100}});
    let forms = json!({"source_image": PNG, "forms": [{"name": "nsfw"}]});
    let video = json!({"prompt": "x", "models": ["Wan 2.2"], "nsfw": true});
    for (path, body, kind, rules, change) in [
        (
            "/generate/text/async",
            text,
            "text",
            vec!["length", "models"],
            json!({"message": "allow any model, and ask for at most 64 tokens instead of 100",
                "patch": {"models": [], "params": {"max_length": 64}}, "workers": 1}),
        ),
        ("/interrogate/async", forms, "interrogation", vec!["models"], Value::Null),
        (
            "/generate/video/async",
            video,
            "video",
            vec!["nsfw"],
            json!({"message": "say that it is not nsfw (nsfw: false)", "patch": {"nsfw": false}, "workers": 1}),
        ),
    ] {
        let id = asks(&alice, path, body).await;
        let told = alice.get(&format!("/generate/{id}/explain")).await.ok();
        assert_eq!((&told["type"], &told["workers"]["online"]), (&json!(kind), &json!(1)), "{told}");
        let names: Vec<_> = told["rules"].as_array().expect("a list").iter().map(|r| &r["name"]).collect();
        assert_eq!(names, rules, "{told}");
        assert_eq!(told["changes"].get(0).unwrap_or(&Value::Null), &change, "{told}");
        let mut client = broker.requester(ALICE).await;
        let same = client.client.explain(pb::ExplainRequest { id }).await.expect("it is there").into_inner();
        let workers = same.workers.expect("it waits");
        assert_eq!((workers.online, workers.able, same.r#type.as_str()), (1, 0, kind));
        let names: Vec<_> = same.rules.iter().map(|rule| rule.name.as_str()).collect();
        assert_eq!(names, rules);
        let patch = same.changes.first().and_then(|change| change.patch.clone());
        assert_eq!(patch.map(|patch| Value::Object(patch.0)), change.get("patch").cloned());
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_behind_others_is_told_how_many_and_who_is_served_that_workers_have_it() {
    let broker = Broker::start().await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let offer = json!({"name": "writer", "models": ["small"]});
    comes(&bob, "/generate/text/pop", offer.clone()).await;
    let text = |model: &str| json!({"prompt": "x", "models": [model], "params": {"n": 2}});
    let first = asks(&alice, "/generate/text/async", text("small")).await;
    asks(&alice, "/generate/text/async", text("another")).await;
    let id = asks(&alice, "/generate/text/async", text("small")).await;
    let path = format!("/generate/{id}/explain");
    let told = alice.get(&path).await.ok();
    assert_eq!((&told["queue_position"], &told["workers"]["able"]), (&json!(3), &json!(1)), "{told}");
    assert!(told["message"].as_str().is_some_and(|text| text.contains("2 jobs")), "{told}");
    assert_eq!((&told["waiting"], &told["processing"], &told["finished"]), (&json!(2), &json!(0), &json!(0)));
    for _ in 0..2 {
        assert!(comes(&bob, "/generate/text/pop", offer.clone()).await["id"].is_string());
    }
    let served = alice.get(&format!("/generate/{first}/explain")).await.ok();
    assert_eq!((&served["state"], &served["processing"]), (&json!("processing"), &json!(2)), "{served}");
    assert_eq!(alice.get(&path).await.ok()["queue_position"], 1);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_told_what_it_would_get_and_only_moderators_that_it_is_paused() {
    let broker = Broker::start().await;
    let (alice, bob, mona) = (broker.json(ALICE), broker.json(BOB), broker.json(MONA));
    comes(&bob, "/generate/pop", painter("painter", 512)).await;
    let worker = worker_id(&bob, "painter").await;
    let image = |changes: Value| {
        let mut body = json!({"prompt": "x", "models": ["stable_diffusion"]});
        merge(&mut body, &changes);
        body
    };
    for body in [
        image(json!({"models": ["Deliberate"], "params": {"n": 3}})),
        image(json!({"models": ["Deliberate"], "params": {"width": 1024, "height": 1024}})),
        image(json!({"params": {"width": 1024, "height": 1024}})),
        image(json!({"params": {"width": 640, "height": 640}})),
    ] {
        asks(&alice, "/generate/async", body).await;
    }
    let path = format!("/workers/{worker}/explain");
    let told = bob.get(&path).await.ok();
    assert_eq!((&told["name"], &told["online"]), (&json!("painter"), &json!(true)), "{told}");
    assert_eq!(told["blocks"][0]["code"], "not_waiting", "{told}");
    let kind = &told["kinds"][0];
    assert_eq!((&kind["type"], &kind["jobs"], &kind["able_jobs"]), (&json!("image"), &json!(6), &json!(0)));
    let rules: Vec<_> = kind["rules"].as_array().expect("a list").iter().collect();
    let figures = |rule: &Value| (rule["name"].clone(), rule["jobs"].clone(), rule["jobs_only"].clone());
    assert_eq!(
        rules.iter().map(|rule| figures(rule)).collect::<Vec<_>>(),
        [(json!("max_pixels"), json!(3), json!(2)), (json!("models"), json!(4), json!(3))]
    );
    assert_eq!(
        kind["models"],
        json!([{"message": "serve the model Deliberate", "offer": {"models": ["Deliberate"]}, "jobs": 3, "requests": 1}])
    );
    let size = |side: i64, jobs| {
        let words = if side == 640 { "409,600" } else { "1,048,576" };
        json!({"message": format!("raise max_pixels to {words}"), "offer": {"max_pixels": side * side},
               "current": 512 * 512, "jobs": jobs, "requests": jobs})
    };
    assert_eq!(kind["offers"], json!([size(1024, 2), size(640, 1)]));

    bob.put(&format!("/workers/{worker}"), json!({"maintenance": true})).await.ok();
    mona.put(&format!("/workers/{worker}"), json!({"paused": true})).await.ok();
    let codes = |told: &Value| -> Vec<String> {
        let blocks = told["blocks"].as_array().expect("a list").iter();
        blocks.map(|block| block["code"].as_str().expect("a code").to_owned()).collect()
    };
    let (to_owner, to_moderator) = (bob.get(&path).await.ok(), mona.get(&path).await.ok());
    assert_eq!(codes(&to_owner), ["not_waiting", "maintenance"], "{to_owner}");
    assert_eq!(codes(&to_moderator), ["not_waiting", "maintenance", "paused"], "{to_moderator}");
    assert!(!to_owner.to_string().contains("paused"), "{to_owner}");
    assert!(to_moderator["kinds"][0]["rules"].to_string().contains("\"paused\""), "{to_moderator}");
    assert_eq!(broker.json(CAROL).get(&path).await.verdict(), (403, "NotModerator"));

    let mut client = broker.worker(BOB, "painter").await;
    let call = client.keyed(pb::ExplainWorkerRequest { id: worker });
    let same = client.client.explain_worker(call).await.expect("it is bob's").into_inner();
    let codes: Vec<_> = same.blocks.iter().map(|block| block.code.as_str()).collect();
    assert_eq!(codes, ["not_waiting", "maintenance"]);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn explanations_are_asked_for_five_times_a_second_at_most() {
    let broker = Broker::with(|config| config.limits.rate_limits = true).await;
    let alice = broker.json(ALICE);
    let id = asks(&alice, "/generate/async", json!({"prompt": "x"})).await;
    let path = format!("/generate/{id}/explain");
    let told = futures_util::future::join_all((0..40).map(|_| alice.get(&path))).await;
    let refused = told.iter().filter(|answer| answer.status == 429).count();
    assert!((1..=35).contains(&refused), "{refused} of 40 at once");
    broker.stop().await;
}
