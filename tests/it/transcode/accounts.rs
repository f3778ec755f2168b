//! Accounts: what is seen of them by whom, what changes, and how they come and go.

use gridbroker::{
    domain::user::KeyHash,
    rpc::pb::{self, users_client::UsersClient},
};
use serde_json::{Value, json};

use crate::harness::{ADA, ALICE, ANONYMOUS, BOB, Broker, CAROL, DAVE, MALLORY, MONA, OPEN_KEY, SAM};

const TO_ITSELF: [&str; 4] = ["worker_ids", "sharedkey_ids", "vpn", "special"];
const TO_MODERATORS: [&str; 3] = ["evaluating_kudos", "monthly_kudos", "suspicious"];

fn has(account: &Value, name: &str) -> bool {
    account.get(name).is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_viewer_sees_what_is_meant_for_them() {
    let broker = Broker::start().await;
    let mona = broker.json(MONA);
    mona.put("/users/1", json!({"admin_comment": "looked into"})).await.ok();
    broker.json(ALICE).put("/users/1", json!({"contact": "alice@here"})).await.ok();
    let nobody = broker.json_without_key();
    for (viewer, itself, moderator) in [
        (&nobody, false, false),
        (&broker.json(BOB), false, false),
        (&broker.json(ALICE), true, false),
        (&mona, true, true),
    ] {
        for path in ["/users/1", "/users/alice%231"] {
            let account = viewer.get(path).await.ok();
            assert_eq!((&account["username"], &account["id"]), (&json!("alice#1"), &json!(1)));
            assert_eq!(account["usage"], json!({"megapixelsteps": null, "requests": null}));
            assert_eq!(account["contributions"], json!({"megapixelsteps": null, "fulfillments": null}));
            assert_eq!((&account["styles"], &account["pseudonymous"]), (&json!([]), &json!(false)));
            assert!(TO_ITSELF.iter().all(|name| has(&account, name) == itself), "{account}");
            assert!(TO_MODERATORS.iter().all(|name| has(&account, name) == moderator), "{account}");
            assert_eq!((has(&account, "contact"), has(&account, "admin_comment")), (itself, moderator));
            assert!(!has(&account, "proxy_passkey") && !has(&account, "active_generations"), "{account}");
        }
    }
    let all = broker.json(MONA).get("/users/1").await.ok();
    assert_eq!(
        (&all["contact"], &all["admin_comment"], &all["evaluating_kudos"], &all["suspicious"]),
        (&json!("alice@here"), &json!("looked into"), &json!(0.0), &json!(0))
    );
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_has_all_members_in_a_stable_order_and_pages() {
    let broker = Broker::start().await;
    let nobody = broker.json_without_key();
    broker.json(ADA).put("/users/3", json!({"kudos": 5})).await.ok();
    broker.json(ADA).put("/users/2", json!({"kudos": -5})).await.ok();
    let ids = |list: &Value| -> Vec<i64> {
        list.as_array().unwrap().iter().map(|user| user["id"].as_i64().unwrap()).collect()
    };
    let first = nobody.get("/users").await.ok();
    assert_eq!(ids(&first), [3, 1, 4, 5, 6, 7, 8, 2, 0]);
    for name in
        ["contact", "vpn", "worker_ids", "sharedkey_ids", "admin_comment", "proxy_passkey", "suspicious"]
    {
        assert_eq!(first[0].get(name), Some(&Value::Null), "{name}");
    }
    assert_eq!((&first[0]["monthly_kudos"], &first[0]["active_generations"]), (&json!({}), &json!({})));
    assert_eq!(first[8]["worker_ids"], json!([]), "whose workers are public");
    for query in ["sort=beauty", "page=0", "page=-7", "page=1&sort=kudos"] {
        assert_eq!(ids(&nobody.get(&format!("/users?{query}")).await.ok()), ids(&first), "{query}");
    }
    assert_eq!(ids(&nobody.get("/users?sort=age").await.ok()), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    for query in ["page=2", "page=10000", "page=10001", "page=9223372036854775807"] {
        assert_eq!(nobody.get(&format!("/users?{query}")).await.ok(), json!([]), "{query}");
    }
    assert_eq!(nobody.get("/users?page=one").await.paths(), ["page"]);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_lent_finds_its_owner_as_everybody_sees_them() {
    let broker = Broker::start().await;
    for (name, suffix) in [(None, " (Shared Key)"), (Some("for friends"), " (Shared Key: for friends)")] {
        let key = broker.lends(gridbroker::rpc::admin::AddSharedKeyRequest {
            owner: 1,
            name: name.map(str::to_owned),
            ..OPEN_KEY
        });
        let key = key.await;
        let account = broker.json(&key).get("/find_user").await.ok();
        assert_eq!(account["username"], format!("alice#1{suffix}"));
        assert!(!has(&account, "vpn") && !has(&account, "sharedkey_ids"), "{account}");
        let own = broker.json(ALICE).get("/find_user").await.ok();
        assert!(own["sharedkey_ids"].as_array().unwrap().contains(&json!(key)), "{own}");
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_is_answered_and_holds_at_once() {
    let broker = Broker::start().await;
    let (ada, mona, alice) = (broker.json(ADA), broker.json(MONA), broker.json(ALICE));
    let done =
        ada.put("/users/1", json!({"kudos": 10.9, "usage_multiplier": 2, "moderator": true})).await.ok();
    assert_eq!(done, json!({"new_kudos": 1010.0, "usage_multiplier": 2.0, "moderator": true}));
    let account = ada.get("/users/1").await.ok();
    assert_eq!((&account["moderator"], &account["trusted"]), (&json!(true), &json!(true)));
    assert_eq!((&account["kudos"], &account["kudos_details"]["admin"]), (&json!(1010.0), &json!(1010.0)));
    ada.put("/users/1", json!({"moderator": false, "trusted": false})).await.ok();
    let done = mona.put("/users/1", json!({"education": true, "concurrency": 1, "unknown": 7})).await.ok();
    assert_eq!(done, json!({"concurrency": 1, "education": true}));
    let done = mona.put("/users/1", json!({"education": false, "worker_invited": 4})).await.ok();
    assert_eq!(done, json!({"education": false, "worker_invited": 4}));
    // It may have one job waiting.
    alice.post("/generate/text/async", json!({"prompt": "x"})).await.ok();
    let refused = alice.post("/generate/text/async", json!({"prompt": "x"})).await;
    assert_eq!(refused.verdict(), (429, "TooManyPrompts"));
    let done = alice.put("/users/1", json!({"username": " Al & Ice ", "contact": "<i>me</i>"})).await.ok();
    assert_eq!(done, json!({"username": "Al &amp; Ice", "contact": "<i>me</i>"}));
    assert_eq!(alice.get("/find_user").await.ok()["username"], "Al &amp; Ice#1");
    let done = mona.put("/users/0", json!({"trusted": true, "special": true})).await.ok();
    assert_eq!(done, json!({"trusted": false, "special": false}), "everybody has no role");
    mona.put("/users/2", json!({"flagged": true})).await.ok();
    let refused =
        broker.json(BOB).post("/generate/text/pop", json!({"name": "x", "models": ["any-model"]})).await;
    assert_eq!(refused.verdict(), (403, "WorkerFlaggedMaintenance"));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_used_is_counted_by_the_multiplier() {
    let broker = Broker::start().await;
    broker.json(ADA).put("/users/1", json!({"usage_multiplier": 0.5})).await.ok();
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    alice.post("/generate/text/async", json!({"prompt": "x", "params": {"max_length": 80}})).await.ok();
    let job = bob
        .post("/generate/text/pop", json!({"name": "writer", "models": ["any-model"], "max_length": 512}))
        .await
        .ok();
    bob.post("/generate/text/submit", json!({"id": job["id"], "generation": "x"})).await.ok();
    let tokens = async |path: &str| broker.json_without_key().get(path).await.ok()["records"].clone();
    let used = tokens("/users/1").await["usage"]["tokens"].as_i64().unwrap();
    let made = tokens("/users/2").await["contribution"]["tokens"].as_i64().unwrap();
    assert!(used > 0 && made == 2 * used, "{used} of {made}");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_show_whose_they_are_if_their_owner_wants() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let (bob, nobody) = (broker.json(BOB), broker.json_without_key());
    bob.post("/generate/text/pop", json!({"name": "writer", "models": ["any-model"]})).await.ok();
    bob.put("/users/2", json!({"contact": "bob@here"})).await.ok();
    let worker = async |json: &crate::harness::Json| json.get("/workers/name/writer").await.ok();
    assert!(worker(&nobody).await.get("owner").is_none_or(Value::is_null));
    assert!(nobody.get("/users/2").await.ok().get("worker_ids").is_none());
    assert_eq!(
        bob.put("/users/2", json!({"public_workers": true})).await.ok(),
        json!({"public_workers": true})
    );
    let shown = worker(&nobody).await;
    assert_eq!(shown["owner"], "bob#2");
    assert!(shown.get("contact").is_none_or(Value::is_null), "that is for moderators: {shown}");
    assert_eq!(worker(&broker.json(MONA)).await["contact"], "bob@here");
    assert_eq!(nobody.get("/users/2").await.ok()["worker_ids"], json!([shown["id"]]));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_registers_has_an_account_and_may_change_its_key() {
    let broker = Broker::start().await;
    let nobody = broker.json_without_key();
    let made = nobody.post("/register", json!({"username": "eve"})).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let key = made.body["api_key"].as_str().unwrap().to_owned();
    assert_eq!((key.len(), &made.body["username"]), (22, &json!("eve#9")));
    let eve = broker.json(&key);
    let account = eve.get("/find_user").await.ok();
    assert_eq!(
        (&account["pseudonymous"], &account["concurrency"], &account["kudos"]),
        (&json!(true), &json!(30), &json!(0.0))
    );
    eve.post("/generate/text/async", json!({"prompt": "x"})).await.ok();
    let rotated = eve.post("/rotate_key", json!({})).await.ok();
    let new = rotated["api_key"].as_str().unwrap().to_owned();
    assert_ne!(new, key);
    assert_eq!(
        eve.post("/generate/text/async", json!({"prompt": "x"})).await.verdict(),
        (401, "InvalidAPIKey")
    );
    assert_eq!(eve.get("/find_user").await.verdict(), (404, "UserNotFound"));
    assert_eq!(broker.json(&new).get("/find_user").await.ok()["id"], 9);
    // Over a restart, too.
    let broker = broker.restart().await;
    assert_eq!(broker.json(&key).get("/find_user").await.status, 404);
    assert_eq!(broker.json(&new).get("/find_user").await.ok()["id"], 9);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_marked_and_may_come_back() {
    let broker = Broker::start().await;
    let alice = broker.json(ALICE);
    let path = "/users/1";
    assert_eq!(alice.delete(path).await.ok(), json!({"message": "OK"}));
    assert_eq!(alice.get("/find_user").await.ok()["deleted"], true);
    let submit = json!({"prompt": "x"});
    assert_eq!(alice.post("/generate/text/async", submit.clone()).await.verdict(), (403, "DeletedUser"));
    assert_eq!(alice.delete(path).await.verdict(), (403, "CannotWipeActiveUser"));
    let listed = broker.json_without_key().get("/users").await.ok();
    assert!(listed.as_array().unwrap().iter().any(|user| user["id"] == 1), "it is still listed");
    assert_eq!(alice.put(path, json!({"undelete": true})).await.ok(), json!({"undeleted": true}));
    alice.post("/generate/text/async", submit).await.ok();
    assert_eq!(
        broker.json(DAVE).put("/users/5", json!({"undelete": true})).await.ok(),
        json!({"undeleted": true})
    );
    assert_eq!(broker.json(CAROL).delete(path).await.verdict(), (403, "NotUserOrMod"));
    broker.stop().await;
}

/// An address that the broker takes nothing from, as a page or a client would be told.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_calls_for_others_by_its_passkey_alone() {
    let broker = Broker::with(|config| config.limits.rate_limits = true).await;
    let sam = broker.json(SAM);
    let passkey =
        sam.put("/users/7", json!({"generate_proxy_passkey": true})).await.ok()["proxy_passkey"].clone();
    let passkey = passkey.as_str().expect("a passkey").to_owned();
    assert_eq!(passkey.len(), 22);
    let nobody = broker.json_without_key();
    // Ten accounts an hour may be made from an address: whose is it?
    let left = async |passkey: Option<&str>, client: &str| {
        let request = nobody.request(reqwest::Method::POST, "/register").json(&json!({"username": "x"}));
        let request = request.header("proxied-for", client);
        let request = match passkey {
            Some(passkey) => request.header("proxy-authorization", passkey),
            None => request,
        };
        let answer = request.send().await.expect("the broker answers");
        answer.headers()["x-ratelimit-remaining"].to_str().unwrap().parse::<u32>().unwrap()
    };
    assert_eq!(left(Some(&passkey), "9.9.9.9").await, 9);
    assert_eq!(left(Some(&passkey), "9.9.9.9").await, 8);
    assert_eq!(left(Some(&passkey), "8.8.8.8").await, 9, "another client");
    assert_eq!(left(Some(&passkey[1..]), "7.7.7.7").await, 9, "not quite: the address is the service's own");
    assert_eq!(left(None, "7.7.7.7").await, 8, "as is everybody else's here");
    broker.json(MONA).put("/users/7", json!({"flagged": true})).await.ok();
    assert_eq!(left(Some(&passkey), "9.9.9.9").await, 7, "whoever is flagged speaks for nobody");
    let shown = broker.json(MONA).get("/users/7").await.ok();
    assert_eq!(shown["proxy_passkey"], json!(passkey));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_is_said_over_grpc() {
    let broker = Broker::start().await;
    let mut client = UsersClient::new(broker.channel().await);
    let keyed = |key: &'static str, message| {
        let mut request = tonic::Request::new(message);
        request.metadata_mut().insert("apikey", key.parse().unwrap());
        request
    };
    let update = pb::UpdateUserRequest {
        id: "6".into(),
        flagged: Some(false),
        admin_comment: Some("let off".into()),
        ..Default::default()
    };
    let done = client.update_user(keyed(MONA, update)).await.unwrap().into_inner();
    assert_eq!((done.flagged, done.admin_comment.as_deref(), done.vpn), (Some(false), Some("let off"), None));
    let listed =
        client.list_users(pb::ListUsersRequest { page: None, sort: Some("age".into()) }).await.unwrap();
    assert_eq!(listed.into_inner().users.len(), 9);
    let mut request = tonic::Request::new(pb::GetUserRequest { id: "mallory#6".into() });
    request.metadata_mut().insert("apikey", MALLORY.parse().unwrap());
    let account = client.get_user(request).await.unwrap().into_inner();
    assert_eq!((account.flagged, account.admin_comment, account.vpn), (false, None, Some(false)));
    let registered = client.register(pb::RegisterRequest { username: Some("x".into()) }).await.unwrap();
    let key = registered.into_inner().api_key;
    assert_ne!(KeyHash::of(&key), KeyHash::of(ANONYMOUS));
    broker.stop().await;
}
