//! Workers that are let in, changed and deleted.

use serde_json::{Value, json};

use crate::harness::{ALICE, ANONYMOUS, Answer, BOB, Broker, CAROL, Json, MONA};

async fn broker() -> Broker {
    Broker::with(|config| config.api.long_poll_timeout = 0).await
}

async fn pops(json: &Json, offer: Value) -> Answer {
    json.post("/generate/text/pop", offer).await
}

/// A writer of this name, and the path to it.
async fn writer(json: &Json, name: &str) -> String {
    pops(json, json!({"name": name, "models": ["any-model"]})).await.ok();
    let shown = json.get(&format!("/workers/name/{name}")).await.ok();
    format!("/workers/{}", shown["id"].as_str().expect("it has an ID"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_changed_by_those_who_may_and_they_hear_what_changed() {
    let broker = broker().await;
    let (bob, mona) = (broker.json(BOB), broker.json(MONA));
    let anyone = broker.json_without_key();
    let path = &writer(&bob, "writer").await;
    let on = json!({"maintenance": true});
    assert_eq!(anyone.put(path, on.clone()).await.paths(), ["apikey"]);
    let bad = json!({"name": "four", "info": "x".repeat(1001), "team": "x".repeat(37), "paused": 1});
    let refused = bob.put(path, bad).await;
    assert_eq!(refused.status, 400, "{}", refused.body);
    assert!(refused.body.get("rc").is_none(), "{}", refused.body);
    for (json, body, reply) in [
        (&bob, on.clone(), on.clone()),
        (&bob, json!({"info": "my own"}), json!({"info": "my own"})),
        (&mona, json!({"paused": true, "maintenance": false}), json!({"maintenance": false, "paused": true})),
        (&bob, json!({"team": ""}), json!({"team": "None"})),
        (&bob, json!({"name": "scribe & co"}), json!({"name": "scribe &amp; co"})),
    ] {
        assert_eq!(json.put(path, body).await.ok(), reply);
    }
    let shown = mona.get("/workers/name/scribe%20%26amp%3B%20co").await.ok();
    for (key, value) in [
        ("info", json!("my own")),
        ("paused", json!(true)),
        ("maintenance_mode", json!(false)),
        ("suspicious", json!(0)),
        ("ipaddr", json!("127.0.0.1")),
        ("owner", json!("bob#2")),
    ] {
        assert_eq!(shown[key], value, "{key} of {shown}");
    }
    let public = anyone.get(path).await.ok();
    for key in ["paused", "suspicious", "ipaddr", "owner", "messages", "contact"] {
        assert!(public.get(key).is_none(), "{key} of {public}");
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_is_told_in_the_owners_words_and_outlives_the_broker() {
    let broker = broker().await;
    let bob = broker.json(BOB);
    let path = writer(&bob, "writer").await;
    let offer = json!({"name": "writer", "models": ["any-model"]});
    for (text, told) in [(None, "maintenance mode"), (Some("gone fishing"), "gone fishing")] {
        bob.put(&path, json!({"maintenance": true, "maintenance_msg": text.unwrap_or("")})).await.ok();
        let refused = pops(&bob, offer.clone()).await;
        assert_eq!(refused.verdict(), (403, "WorkerMaintenance"), "{}", refused.body);
        let message = refused.body["message"].as_str().unwrap().to_lowercase();
        assert!(message.contains(told) && message.contains("maintenance mode"), "{message}");
    }
    bob.put(&path, json!({"info": "still here"})).await.ok();
    let broker = Broker::over(broker.stop().await, |config| config.api.long_poll_timeout = 0).await;
    let bob = broker.json(BOB);
    let shown = bob.get(&path).await.ok();
    assert_eq!((&shown["maintenance_mode"], &shown["info"]), (&json!(true), &json!("still here")));
    assert_eq!(pops(&bob, offer.clone()).await.verdict(), (403, "WorkerMaintenance"));
    bob.put(&path, json!({"maintenance": false})).await.ok();
    pops(&bob, offer).await.ok();
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_deleted_once_it_holds_no_job() {
    let broker = broker().await;
    let (bob, alice) = (broker.json(BOB), broker.json(ALICE));
    let path = writer(&bob, "writer").await;
    alice.post("/generate/text/async", json!({"prompt": "x"})).await.ok();
    let job = pops(&bob, json!({"name": "writer", "models": ["any-model"]})).await.ok()["id"].clone();
    assert!(job.is_string());
    for (json, verdict) in [
        (&broker.json_without_key(), (401, "InvalidAPIKey")),
        (&broker.json(ANONYMOUS), (403, "AnonForbiddenWorker")),
        (&alice, (403, "NotModerator")),
        (&bob, (423, "Locked")),
        (&broker.json(MONA), (423, "Locked")),
    ] {
        let answer = json.delete(&path).await;
        assert_eq!(answer.verdict(), verdict, "{}", answer.body);
    }
    bob.post("/generate/text/submit", json!({"id": job, "generation": "once", "seed": 1})).await.ok();
    let id = path.strip_prefix("/workers/").unwrap();
    assert_eq!(bob.delete(&path).await.ok(), json!({"deleted_id": id, "deleted_name": "writer"}));
    assert_eq!(bob.delete(&path).await.verdict(), (404, "WorkerNotFound"));
    assert_eq!(bob.get(&path).await.verdict(), (404, "WorkerNotFound"));
    let again = writer(&broker.json(CAROL), "writer").await;
    assert_ne!(again, path, "its name is free");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_workers_stream_ends_and_says_why() {
    let broker = Broker::start().await;
    let mut worker = broker.worker(BOB, "streamer").await;
    let mut stream = worker.opens_text_stream(1, &[]).await;
    broker.json(BOB).delete(&format!("/workers/{}", stream.opened.worker_id)).await.ok();
    let end = stream.next().await.expect_err("it ends");
    assert_eq!(end.code(), tonic::Code::NotFound, "{end}");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_let_in_by_their_names_addresses_and_models() {
    let broker = Broker::with(|config| {
        config.api.long_poll_timeout = 0;
        config.people.unsafe_networks = vec!["198.51.100.0/24".parse().unwrap()];
        config.people.image_models = gridbroker::config::ImageModels::Known;
    })
    .await;
    let (bob, carol) = (broker.json(BOB), broker.json(CAROL));
    let from = async |json: &Json, path: &str, address: &str, name: &str, models: Value| {
        let request = json.request(reqwest::Method::POST, path).header("x-forwarded-for", address);
        json.send(request.json(&json!({"name": name, "models": models}))).await
    };
    let (text, image, here) = ("/generate/text/pop", "/generate/pop", "192.0.2.1");
    for (json, path, address, name, models, verdict) in [
        (&carol, text, "198.51.100.9", "hidden", json!(["m"]), (400, "")),
        (&carol, text, "198.51.100.9", "hidden", json!(["model"]), (403, "UnsafeIP")),
        (&bob, text, "198.51.100.9", "beyond doubt", json!(["model"]), (200, "")),
        (&carol, text, here, "s.h.i.t", json!(["model"]), (200, "")),
        (&carol, text, here, "shitty", json!(["model"]), (400, "ProfaneWorkerName")),
        (&carol, text, here, "Google 1", json!(["model"]), (400, "BadRequest")),
        (&carol, text, here, "own", json!(["model::carol#3"]), (200, "")),
        (&carol, text, here, "others", json!(["model::bob#2"]), (400, "BadRequest")),
        (&carol, image, here, "artist", json!(["home-made"]), (400, "BadRequest")),
        (&carol, image, here, "artist", json!(["home-made", "stable_diffusion"]), (200, "")),
        (&bob, image, here, "customizer", json!(["home-made"]), (200, "")),
    ] {
        let answer = from(json, path, address, name, models).await;
        let rc = answer.body["rc"].as_str().unwrap_or_default();
        assert_eq!((answer.status, rc), verdict, "{name}: {}", answer.body);
    }
    let artist = carol.get("/workers/name/artist").await.ok();
    assert_eq!(artist["models"], json!(["stable_diffusion"]), "what is not known is left out");
    let refused = from(&carol, image, here, "artist", json!(["home-made"])).await;
    let message = refused.body["message"].as_str().unwrap().to_lowercase();
    assert!(message.contains("we cannot accept workers serving"), "{message}");
    let shown = broker.json(MONA).get("/workers/name/artist").await.ok();
    assert_eq!(shown["ipaddr"], here);
    let seen = from(&carol, text, here, "<b>bold</b> & <i>brave", json!(["model"])).await;
    assert_eq!(seen.status, 200, "{}", seen.body);
    let named = carol.get("/workers/name/%3Cb%3Ebold%3C%2Fb%3E%20%26amp%3B%20%26lt%3Bi%26gt%3Bbrave").await;
    assert_eq!(named.ok()["type"], "text");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_drops_too_much_is_put_into_maintenance() {
    let broker = Broker::with(|config| {
        config.api.long_poll_timeout = 0;
        config.people.judge_workers = true;
    })
    .await;
    let (bob, alice) = (broker.json(BOB), broker.json(ALICE));
    let offer = json!({"name": "dropper", "models": ["any-model"]});
    for dropped in 0..=20 {
        alice.post("/generate/text/async", json!({"prompt": "x"})).await.ok();
        let job = pops(&bob, offer.clone()).await.ok()["id"].clone();
        let failed = json!({"id": job, "generation": "", "state": "faulted", "seed": 1});
        assert_eq!(bob.post("/generate/text/submit", failed).await.status, 200, "{dropped}");
    }
    let refused = pops(&bob, offer).await;
    assert_eq!(refused.verdict(), (403, "WorkerMaintenance"), "{}", refused.body);
    assert!(refused.body["message"].as_str().unwrap().contains("dropped too many jobs"), "{}", refused.body);
    let shown = broker.json(MONA).get("/workers/name/dropper").await.ok();
    assert_eq!((&shown["suspicious"], &shown["uncompleted_jobs"]), (&json!(1), &json!(21)));
    broker.stop().await;
}
