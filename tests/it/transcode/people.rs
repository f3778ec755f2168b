//! Accounts: find_user, and those made for tests.

use serde_json::json;

use crate::harness::{ALICE, ANONYMOUS, Broker, MONA};

#[tokio::test(flavor = "multi_thread")]
async fn an_account_sees_itself_with_every_key() {
    let broker = Broker::start().await;
    let alice = broker.json(ALICE);
    let id = alice.post("/generate/text/async", json!({"prompt": "x", "params": {"n": 2}})).await.ok()["id"]
        .clone();
    let account = alice.get("/find_user").await.ok();
    let expected = json!({"username": "alice#1", "id": 1, "kudos": 999.0,
        "kudos_details": account["kudos_details"], "usage": {"megapixelsteps": null, "requests": null},
        "contributions": {"megapixelsteps": null, "fulfillments": null}, "records": {
            "usage": {"megapixelsteps": 0.0, "tokens": 0}, "contribution": {"megapixelsteps": 0.0, "tokens": 0},
            "fulfillment": {"image": 0, "text": 0, "interrogation": 0},
            "request": {"image": 0, "text": 0, "interrogation": 0}, "style": {"image": 0, "text": 0, "interrogation": 0}},
        "concurrency": 100, "worker_invited": 0, "moderator": false, "trusted": false, "flagged": false,
        "pseudonymous": false, "service": false, "deleted": false, "education": false, "customizer": false,
        "worker_count": 0, "account_age": account["account_age"], "styles": [], "worker_ids": [], "sharedkey_ids": [],
        "vpn": false, "special": false, "active_generations": {"text": [id]}});
    assert_eq!(account.to_string(), expected.to_string(), "as text, since 0 and 0.0 differ");
    assert!(account["account_age"].is_i64());
    let details = account["kudos_details"].as_object().unwrap();
    assert!(details.values().all(serde_json::Value::is_f64), "{details:?}");
    let anonymous = broker.json(ANONYMOUS).get("/find_user").await.ok();
    assert_eq!((&anonymous["username"], &anonymous["id"]), (&json!("Anonymous#0"), &json!(0)));
    assert_eq!(broker.json(MONA).get("/find_user").await.ok()["moderator"], true);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_for_tests_is_made_once_and_then_refreshed() {
    let broker = Broker::start().await;
    let anyone = broker.json_without_key();
    let made =
        anyone.post("/dev/test-user", json!({"oauth_id": "ci", "kudos": 50, "moderator": false})).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let key = made.body["api_key"].as_str().unwrap().to_owned();
    assert_eq!(key.len(), 22);
    let expected = json!({"api_key": key, "user_id": made.body["user_id"], "username": "test_user",
        "alias": made.body["alias"], "kudos": 50.0, "trusted": true, "moderator": false, "created": true});
    assert_eq!(made.body, expected);
    assert!(made.body["user_id"].is_string());
    broker.json(&key).post("/generate/text/async", json!({"prompt": "x"})).await.ok();
    let again = anyone.post("/dev/test-user", json!({"oauth_id": "ci", "kudos": 50})).await;
    assert_eq!(
        (again.status, &again.body["api_key"], &again.body["created"]),
        (200, &json!(key), &json!(false))
    );
    assert_eq!(again.body["kudos"], 50.0, "topped up");
    let request = anyone.request(reqwest::Method::POST, "/dev/test-user");
    let other = anyone.send(request).await;
    assert_eq!((other.status, &other.body["moderator"]), (201, &json!(true)), "everything has a default");
    assert_ne!(other.body["api_key"], json!(key));
    for body in [
        "[]",
        "{",
        "{\"kudos\": -1}",
        "{\"kudos\": \"1\"}",
        "{\"username\": 7}",
        "{\"moderator\": 1}",
        "[\"x\"]",
    ] {
        let refused = anyone.post_text("/dev/test-user", body).await;
        assert_eq!((refused.status, refused.rc()), (400, ""), "{body}: {}", refused.body);
    }
    let large = anyone.post("/dev/test-user", json!({"username": "x".repeat(20_000)})).await;
    assert_eq!(large.verdict(), (413, "PayloadTooLarge"));
    broker.stop().await;
    let off = Broker::with(|config| config.api.test_users = false).await;
    assert_eq!(off.json_without_key().post("/dev/test-user", json!({})).await.status, 404);
    off.stop().await;
}
