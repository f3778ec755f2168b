//! Keys that accounts lend: what may be asked for with one, who pays, and what is refused.

use gridbroker::{domain::Kudos, rpc::admin::AddSharedKeyRequest};
use serde_json::{Value, json};

use crate::harness::{ALICE, BOB, Broker, OPEN_KEY};

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
