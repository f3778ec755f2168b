//! Keys that accounts lend: what may be asked for with one, who pays, and what is refused.

use gridbroker::{domain::Kudos, rpc::admin::AddSharedKeyRequest};
use serde_json::{Value, json};

use crate::harness::{ALICE, BOB, Broker, MONA, OPEN_KEY, eventually};

fn text(change: Value) -> Value {
    let mut message = json!({"prompt": "once", "models": ["any-model"]});
    for (name, value) in change.as_object().expect("changes are an object") {
        message[name] = value.clone();
    }
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_with_a_key_that_is_lent_is_its_owners_and_paid_by_both() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let lent = broker.lends(AddSharedKeyRequest { owner: 1, kudos: 12, ..OPEN_KEY }).await;
    let (friend, alice) = (broker.json(&lent), broker.json(ALICE));
    let id = friend.post("/generate/text/async", text(json!({}))).await.ok()["id"].clone();
    let account = alice.get("/find_user").await.ok();
    assert_eq!((&account["active_generations"]["text"], &account["kudos"]), (&json!([id]), &json!(999.0)));
    let offer = json!({"name": "writer", "models": ["any-model"]});
    let job = broker.json(BOB).post("/generate/text/pop", offer).await.ok()["id"].clone();
    let result = json!({"id": job, "generation": "x".repeat(320)});
    broker.json(BOB).post("/generate/text/submit", result).await.ok();
    let left = alice.get("/find_user").await.ok()["kudos"].as_f64().unwrap();
    assert!(left < 998.0, "the job costs, too: {left}");
    // Whatever the store says of it counts after a restart as well.
    let broker = broker.restart().await;
    let remaining = Kudos::from_f64(12.0 - (1000.0 - left));
    let dear = text(json!({"params": {"max_length": 512}}));
    let refused = broker.json(&lent).post("/generate/text/async", dear).await;
    assert_eq!(refused.verdict(), (403, "SharedKeyInsufficientKudos"), "{}", refused.body);
    let told = refused.body["message"].as_str().unwrap().to_owned();
    assert!(told.contains(&format!("{remaining} are left")), "{told}: of 12, {left} of 1000");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_key_may_ask_as_nobody_and_costs_its_owner_nothing() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let empty = broker.lends(AddSharedKeyRequest { owner: 1, kudos: 0, ..OPEN_KEY }).await;
    let asked = text(json!({"allow_downgrade": true}));
    broker.json(&empty).post("/generate/text/async", asked).await.ok();
    let account = broker.json(ALICE).get("/find_user").await.ok();
    assert_eq!((&account["kudos"], account.get("active_generations")), (&json!(1000.0), None));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_lent_looked_at_changed_and_taken_back() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let (alice, anyone) = (broker.json(ALICE), broker.json_without_key());
    // Without a body, as many clients ask.
    let lent = alice.send(alice.request(reqwest::Method::PUT, "/sharedkeys")).await.ok();
    let id = lent["id"].as_str().expect("it has an ID").to_owned();
    let defaults = json!({"id": id, "username": "alice#1", "name": "", "kudos": 5000, "utilized": 0,
        "max_image_pixels": -1, "max_image_steps": -1, "max_text_tokens": -1});
    assert_eq!(lent, defaults);
    assert_eq!(alice.get("/find_user").await.ok()["sharedkey_ids"], json!([id]));
    let path = format!("/sharedkeys/{id}");
    assert_eq!(anyone.get(&path).await.ok(), defaults, "whoever knows it sees it");
    assert_eq!(anyone.get(&path.to_uppercase().replace("SHAREDKEYS", "sharedkeys")).await.ok(), defaults);
    let broken = alice.send(alice.request(reqwest::Method::PUT, "/sharedkeys").body("{}")).await;
    assert_eq!(broken.status, 400, "a body is JSON: {}", broken.body);
    let change = json!({"kudos": 20, "expiry": 2, "name": "friends & co", "max_text_tokens": 80});
    let changed = alice.patch(&path, change).await.ok();
    let told = |name: &str| changed[name].clone();
    assert_eq!(
        (told("kudos"), told("name"), told("max_text_tokens"), told("max_image_steps")),
        (json!(20), json!("friends & co"), json!(80), json!(-1))
    );
    assert!(changed["expiry"].as_str().is_some_and(|end| end.ends_with("-0000")), "{changed}");
    let forever = alice.patch(&path, json!({"expiry": -1})).await.ok();
    assert!(forever.get("expiry").is_none() && forever["kudos"] == 20, "{forever}");
    // What was asked for with it is finished, and its owner pays.
    let friend = broker.json(&id);
    let request = friend.post("/generate/text/async", text(json!({}))).await.ok()["id"].clone();
    let spent = anyone.get(&path).await.ok();
    assert_eq!((&spent["kudos"], &spent["utilized"]), (&json!(19), &json!(1)), "the activation");
    let broker = broker.restart().await;
    let (alice, anyone) = (broker.json(ALICE), broker.json_without_key());
    assert_eq!(anyone.get(&path).await.ok(), spent, "it outlives the broker");
    let offer = json!({"name": "writer", "models": ["any-model"]});
    let job = broker.json(BOB).post("/generate/text/pop", offer).await.ok()["id"].clone();
    assert_eq!(broker.json(MONA).delete(&path).await.verdict(), (403, "Forbidden"));
    assert_eq!(alice.delete(&path).await.ok(), json!({"message": "OK"}));
    assert_eq!(anyone.get(&path).await.verdict(), (401, "InvalidAPIKey"));
    assert_eq!(alice.get("/find_user").await.ok()["sharedkey_ids"], json!([]));
    let refused = broker.json(&id).post("/generate/text/async", text(json!({}))).await;
    assert_eq!(refused.verdict(), (401, "InvalidAPIKey"), "{}", refused.body);
    let result = json!({"id": job, "generation": "x".repeat(320)});
    broker.json(BOB).post("/generate/text/submit", result).await.ok();
    let status = format!("/generate/text/status/{}", request.as_str().expect("it has an ID"));
    assert_eq!(anyone.get(&status).await.ok()["done"], true);
    // Over PostgreSQL what was read of an account a moment ago may lack what was on its way then.
    let pays = async || alice.get("/find_user").await.ok()["kudos"].as_f64().is_some_and(|left| left < 998.0);
    eventually(pays).await;
    let broker = broker.restart().await;
    assert_eq!(broker.json_without_key().get(&path).await.verdict(), (401, "InvalidAPIKey"));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_at_the_same_time_keep_what_they_may_cost_of_a_key() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let asked = |change: Value| text(json!({"params": {"max_length": 512}, "allow_downgrade": change}));
    let dry =
        json!({"prompt": "once", "models": ["any-model"], "params": {"max_length": 512}, "dry_run": true});
    let price = broker.json(ALICE).post("/generate/text/async", dry).await.ok()["kudos"].as_f64().unwrap();
    assert!(price > 4.0, "it has a price: {price}");
    let lent = AddSharedKeyRequest { owner: 1, kudos: (price * 1.8) as i64, ..OPEN_KEY };
    let lent = broker.lends(lent).await;
    let friend = broker.json(&lent);
    let submit = async |change: bool| friend.post("/generate/text/async", asked(change.into())).await;
    let first = submit(false).await.ok()["id"].as_str().unwrap().to_owned();
    let refused = submit(false).await;
    assert_eq!(refused.verdict(), (403, "SharedKeyInsufficientKudos"), "{}", refused.body);
    assert_eq!(submit(true).await.status, 202, "later and smaller it is taken");
    let broker = broker.restart().await;
    let friend = broker.json(&lent);
    let submit = async || friend.post("/generate/text/async", asked(false.into())).await;
    assert_eq!(submit().await.verdict(), (403, "SharedKeyInsufficientKudos"), "after a restart as well");
    friend.delete(&format!("/generate/text/status/{first}")).await.ok();
    let third = submit().await;
    assert_eq!(third.status, 202, "what was kept is free again: {}", third.body);
    broker.stop().await;
}
