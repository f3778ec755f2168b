//! Kudos that accounts give each other, awards, floors, and the check of the books.

use gridbroker::rpc::{
    admin::{AddSharedKeyRequest, AddUserRequest},
    pb::{TransferKudosRequest, kudos_client::KudosClient},
};
use serde_json::{Value, json};
use tonic::Request;

use crate::harness::{ALICE, ANONYMOUS, Answer, BOB, Broker, CAROL, Json, MONA, OPEN_KEY};

async fn account(json: &Json) -> Value {
    json.get("/find_user").await.ok()
}

async fn gives(from: &Json, body: Value) -> Answer {
    from.post("/kudos/transfer", body).await
}

/// Gives under a name.
async fn gives_once(from: &Json, name: &str, body: Value) -> Answer {
    let request = from.request(reqwest::Method::POST, "/kudos/transfer");
    from.send(request.header("Idempotency-Key", name).json(&body)).await
}

/// An account that begins with nothing; speaks JSON with its key.
async fn newcomer(broker: &Broker, roles: &[&str]) -> Json {
    let operator = gridbroker::server::admin::connect(broker.data()).await.expect("its socket is there");
    let roles = roles.iter().map(|role| (*role).to_owned()).collect();
    let new = AddUserRequest { alias: "newcomer".into(), roles, ..Default::default() };
    let made = operator.expect("it runs").add_user(new).await.expect("it is made").into_inner();
    broker.json(&made.api_key)
}

#[tokio::test(flavor = "multi_thread")]
async fn kudos_go_from_one_account_to_another_and_are_shown_with_both() {
    let broker = Broker::start().await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    for (body, given, rule) in [
        (json!({"username": "bob#2", "amount": 40}), 40.0, "by name and ID"),
        (json!({"username": "whoever#2"}), 100.0, "by the ID alone; a hundred if nothing is said"),
        (json!({"username": 2, "amount": 7.9}), 7.0, "an ID may be a number, and fractions are cut off"),
        (json!({"username": "2", "amount": "3"}), 3.0, "an amount may be a text"),
    ] {
        assert_eq!(gives(&alice, body).await.ok(), json!({"transferred": given}), "{rule}");
    }
    let (sent, got) = (account(&alice).await, account(&bob).await);
    assert_eq!((&sent["kudos"], &got["kudos"]), (&json!(850.0), &json!(1150.0)));
    assert_eq!(sent["kudos_details"]["gifted"], -150.0);
    assert_eq!(got["kudos_details"]["received"], 150.0);
    for (body, field) in [
        (json!({"amount": 5}), "username"),
        (json!({"username": "bob#2", "amount": "many"}), "amount"),
        (json!({"username": "bob#2", "amount": "7.5"}), "amount"),
        (json!({"username": ["bob#2"]}), "username"),
    ] {
        let refused = gives(&alice, body.clone()).await;
        assert_eq!((refused.status, refused.paths()), (400, vec![field]), "{body}: {}", refused.body);
    }
    let dear = gives(&alice, json!({"username": "bob#2", "amount": 826})).await;
    assert_eq!(dear.verdict(), (400, "KudosTransferNotEnough"), "25 must stay: {}", dear.body);
    assert!(dear.body["message"].as_str().unwrap().contains("825 can be sent"), "{}", dear.body);
    gives(&alice, json!({"username": "bob#2", "amount": 825})).await.ok();
    assert_eq!(account(&alice).await["kudos"], 25.0);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_with_a_name_is_done_once_whatever_face_and_whenever_it_is_asked_for() {
    let broker = Broker::start().await;
    let body = json!({"username": "bob#2", "amount": 10});
    for _ in 0..3 {
        let told = gives_once(&broker.json(ALICE), "rent", body.clone()).await.ok();
        assert_eq!(told, json!({"transferred": 10.0}));
    }
    // Several at the same moment, too.
    let alice = broker.json(ALICE);
    let many = (0..8).map(|_| gives_once(&alice, "at once", body.clone()));
    for told in futures_util::future::join_all(many).await {
        assert_eq!(told.ok(), json!({"transferred": 10.0}));
    }
    let broker = broker.restart().await;
    let alice = broker.json(ALICE);
    assert_eq!(gives_once(&alice, "rent", body.clone()).await.ok(), json!({"transferred": 10.0}));
    for other in [json!({"username": "bob#2", "amount": 11}), json!({"username": "carol#3", "amount": 10})] {
        let refused = gives_once(&alice, "rent", other).await;
        assert_eq!(refused.verdict(), (400, "IdempotencyKeyConflict"), "{}", refused.body);
    }
    let message = TransferKudosRequest {
        username: Some("bob#2".into()),
        amount: Some(10),
        idempotency_key: Some("rent".into()),
    };
    let mut request = Request::new(message);
    request.metadata_mut().insert("apikey", ALICE.parse().unwrap());
    let told = KudosClient::new(broker.channel().await).transfer_kudos(request).await.expect("it is done");
    assert_eq!(told.into_inner().transferred, 10.0);
    gives_once(&broker.json(CAROL), "rent", body.clone()).await.ok();
    assert_eq!(account(&alice).await["kudos"], 980.0, "once each");
    assert_eq!(account(&broker.json(BOB)).await["kudos"], 1030.0, "of carol, who has names of her own");
    let back = gives(&broker.json(BOB), json!({"username": "alice#1", "amount": 1})).await;
    assert_eq!(back.verdict(), (400, "TooFastKudosTransfers"), "a restart does not cool it down");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kudos_for_a_lent_key_go_to_its_owner_and_may_be_spent_with_it() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let lends = async |kudos| broker.lends(AddSharedKeyRequest { owner: 1, kudos, ..OPEN_KEY }).await;
    let (bounded, open) = (lends(1).await, lends(-1).await);
    let dear = json!({"prompt": "x", "models": ["any-model"], "params": {"max_length": 512}});
    let asks = async || broker.json(&bounded).post("/generate/text/async", dear.clone()).await;
    assert_eq!(asks().await.rc(), "SharedKeyInsufficientKudos");
    let bob = broker.json(BOB);
    for (key, amount) in [(&bounded, 200), (&open, 50)] {
        gives(&bob, json!({"username": key, "amount": amount})).await.ok();
    }
    let owner = account(&broker.json(ALICE)).await;
    assert_eq!((&owner["kudos"], &owner["kudos_details"]["received"]), (&json!(1250.0), &json!(250.0)));
    assert_eq!(asks().await.status, 202, "it covers that now");
    let own = gives(&broker.json(ALICE), json!({"username": bounded, "amount": 5})).await;
    assert_eq!(own.verdict(), (400, "KudosTransferToSelf"));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_account_awards_and_the_first_movement_lifts_to_the_floor() {
    let broker = Broker::start().await;
    let (alice, new) = (broker.json(ALICE), newcomer(&broker, &[]).await);
    assert_eq!(account(&new).await["kudos"], 0.0);
    let awards = async |amount| {
        alice.post("/kudos/award", json!({"username": "newcomer#9", "amount": amount})).await.ok()
    };
    for (amount, balance, awarded, rule) in [
        (10, 25.0, 10.0, "the first movement lifts to the floor"),
        (100, 125.0, 110.0, "after that there is no need"),
        (-40, 85.0, 70.0, "what is less than nothing is taken"),
        (-500, 25.0, -430.0, "and what is not there is forgiven"),
    ] {
        assert_eq!(awards(amount).await, json!({"awarded": f64::from(amount)}), "{rule}");
        let account = account(&new).await;
        assert_eq!(
            (&account["kudos"], &account["kudos_details"]["awarded"]),
            (&json!(balance), &json!(awarded)),
            "{rule}"
        );
    }
    let books = broker.json(MONA).get("/kudos/ledger").await.ok();
    assert_eq!(
        (&books["good"], &books["sum"], &books["findings"]),
        (&json!(true), &json!(0.0), &json!([])),
        "{books}"
    );
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_account_cannot_pay_it_is_forgiven_and_its_requests_cost_it_all_the_same() {
    let broker = Broker::start().await;
    let new = newcomer(&broker, &[]).await;
    new.post("/generate/text/async", json!({"prompt": "x", "models": ["any-model"]})).await.ok();
    let poor = account(&new).await;
    assert_eq!((&poor["kudos"], &poor["kudos_details"]["accumulated"]), (&json!(25.0), &json!(-1.0)));
    let nobody = broker.json(ANONYMOUS);
    for _ in 0..52 {
        nobody.post("/generate/text/async", json!({"prompt": "x", "models": ["any-model"]})).await.ok();
    }
    let all = account(&nobody).await;
    assert_eq!((&all["kudos"], &all["kudos_details"]["accumulated"]), (&json!(-50.0), &json!(-52.0)));
    let books = broker.json(MONA).get("/kudos/ledger").await.ok();
    assert_eq!(books["good"], true, "{books}");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gifts_to_schools_are_donations_and_another_account_may_award() {
    let broker = Broker::with(|config| config.limits.kudos_awarder = 3).await;
    newcomer(&broker, &["education"]).await;
    let alice = broker.json(ALICE);
    gives(&alice, json!({"username": "9", "amount": 30})).await.ok();
    let details = account(&alice).await["kudos_details"].clone();
    assert_eq!((&details["donated"], &details["gifted"]), (&json!(-30.0), &json!(0.0)));
    let award = json!({"username": "2", "amount": 5});
    assert_eq!(alice.post("/kudos/award", award.clone()).await.verdict(), (403, "NotAllowedAwards"));
    broker.json(CAROL).post("/kudos/award", award).await.ok();
    broker.stop().await;
}
