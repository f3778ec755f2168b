//! Keys that accounts lend: what may be asked for with one, who pays, and what is refused.

use gridbroker::{domain::Kudos, rpc::admin::AddSharedKeyRequest};
use serde_json::{Value, json};
use tonic::Code;

use crate::harness::{ALICE, BOB, Broker, OPEN_KEY, Row, Verb, Verdict::Reason};

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
async fn keys_that_are_lent_are_refused_by_their_bounds_and_nowhere_else_known() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let lends = async |key: AddSharedKeyRequest| -> &'static str {
        &*broker.lends(AddSharedKeyRequest { owner: 1, ..key }).await.leak()
    };
    let empty = lends(AddSharedKeyRequest { kudos: 0, ..OPEN_KEY }).await;
    let poor = lends(AddSharedKeyRequest { kudos: 1, ..OPEN_KEY }).await;
    let small = lends(AddSharedKeyRequest { max_image_pixels: 4096, ..OPEN_KEY }).await;
    let hasty = lends(AddSharedKeyRequest { max_image_steps: 5, ..OPEN_KEY }).await;
    let short = lends(AddSharedKeyRequest { max_text_tokens: 16, ..OPEN_KEY }).await;
    let open = lends(OPEN_KEY).await;
    let refused = |rc| Reason(403, rc, Code::PermissionDenied);
    let bad = Reason(400, "BadRequest", Code::InvalidArgument);
    let unknown = Reason(401, "InvalidAPIKey", Code::Unauthenticated);
    let image = json!({"prompt": "a cat"});
    for (rule, verb, key, message, verdict) in [
        ("an empty one", Verb::SubmitText, empty, text(json!({})), refused("SharedKeyEmpty")),
        (
            "before the account is looked at",
            Verb::SubmitText,
            empty,
            text(json!({"proxied_account": "x"})),
            refused("SharedKeyEmpty"),
        ),
        (
            "one with too little",
            Verb::SubmitImage,
            poor,
            image.clone(),
            refused("SharedKeyInsufficientKudos"),
        ),
        (
            "also for a dry run",
            Verb::SubmitImage,
            poor,
            json!({"prompt": "x", "dry_run": true}),
            refused("SharedKeyInsufficientKudos"),
        ),
        ("one for small images", Verb::SubmitImage, small, image.clone(), bad),
        ("one for few steps", Verb::SubmitImage, hasty, image.clone(), bad),
        ("one for short texts", Verb::SubmitText, short, text(json!({})), bad),
        ("no worker has one", Verb::PopText, open, json!({"name": "x", "models": ["any-model"]}), unknown),
        (
            "nor is it its owner's",
            Verb::FindUser,
            open,
            json!({}),
            Reason(404, "UserNotFound", Code::NotFound),
        ),
    ] {
        Row { rule, verb, key: Some(key), message, verdict }.holds(&broker).await;
    }
    let alchemy = json!({"source_image": "AAAA", "forms": [{"name": "caption"}]});
    assert_eq!(broker.json(open).post("/interrogate/async", alchemy).await.verdict(), (401, "InvalidAPIKey"));
    broker.holds_nothing().await;
    let as_nobody =
        broker.json(empty).post("/generate/text/async", text(json!({"allow_downgrade": true}))).await;
    assert_eq!(as_nobody.status, 202, "{}", as_nobody.body);
    let account = broker.json(ALICE).get("/find_user").await.ok();
    assert_eq!((&account["kudos"], account.get("active_generations")), (&json!(1000.0), Some(&json!({}))));
    let later =
        broker.json(poor).post("/generate/async", json!({"prompt": "x", "allow_downgrade": true})).await;
    assert_eq!(later.status, 202, "{}", later.body);
    broker.stop().await;
}
