//! Timeouts of networks: what moderators see of them, and what becomes of who is there.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{ALICE, Answer, BOB, Broker, Json, MONA};

/// Asks for a text from an address.
async fn asks_from(json: &Json, address: &str) -> Answer {
    let request = json.request(Method::POST, "/generate/text/async").header("x-forwarded-for", address);
    json.send(request.json(&json!({"prompt": "x"}))).await
}

/// Asks for a job from an address.
async fn pops_from(json: &Json, address: &str) -> Answer {
    let request = json.request(Method::POST, "/generate/text/pop").header("x-forwarded-for", address);
    json.send(request.json(&json!({"name": "writer", "models": ["other"]}))).await
}

/// What is listed, with seconds as whether they are within a minute of what is expected.
fn shown(list: &Value, seconds: i64) -> Vec<(String, bool)> {
    let entry = |entry: &Value| {
        let left = entry["seconds"].as_i64().expect("a number");
        (entry["ipaddr"].as_str().expect("a text").to_owned(), (seconds - 60..=seconds).contains(&left))
    };
    list.as_array().expect("a bare list").iter().map(entry).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_from_a_network_until_its_timeout_ends() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let (mona, alice, bob) = (broker.json(MONA), broker.json(ALICE), broker.json(BOB));
    let path = "/operations/ipaddr";
    let done = json!({"message": "OK"});
    assert_eq!(mona.get(path).await.ok(), json!([]));
    for (ipaddr, hours) in
        [("198.51.100.0/24", 1), ("198.51.100.7", 2), ("2001:db8::/48", 3), ("198.51.100.0/24", 5)]
    {
        assert_eq!(mona.post(path, json!({"ipaddr": ipaddr, "hours": hours})).await.ok(), done);
    }
    let listed = mona.get(path).await.ok();
    assert_eq!(
        shown(&listed, 5 * 3600),
        [("198.51.100.0/24".into(), true), ("2001:db8::/48".into(), false)],
        "networks alone, and the last word counts: {listed}"
    );
    let of = async |address: &str| {
        let list = mona.get(&format!("{path}/{address}")).await.ok();
        shown(&list, 2 * 3600).into_iter().map(|(ipaddr, _)| ipaddr).collect::<Vec<_>>()
    };
    assert_eq!(of("198.51.100.7").await, ["198.51.100.0/24", "198.51.100.7"]);
    assert_eq!(of("2001:db8::1").await, ["2001:db8::/48"]);
    assert_eq!(of("192.0.2.1").await, [] as [&str; 0]);
    for (address, is_taken) in
        [("198.51.100.7", false), ("198.51.100.8", false), ("2001:db8::9", false), ("192.0.2.1", true)]
    {
        let (asked, popped) = (asks_from(&alice, address).await, pops_from(&bob, address).await);
        match is_taken {
            true => assert_eq!((asked.status, popped.status), (202, 200), "{address}"),
            false => {
                assert_eq!(asked.verdict(), (403, "TimeoutIP"), "{address}: {}", asked.body);
                assert_eq!(popped.verdict(), (403, "TimeoutIP"), "{address}: {}", popped.body);
            }
        }
    }
    // It holds after a restart, too.
    let broker = broker.restart().await;
    let (mona, alice) = (broker.json(MONA), broker.json(ALICE));
    let ends = async |ipaddr: &str| {
        let request = mona.request(Method::DELETE, path).json(&json!({"ipaddr": ipaddr}));
        mona.send(request).await.ok()
    };
    assert_eq!(ends("198.51.100.0/24").await, done);
    assert_eq!(asks_from(&alice, "198.51.100.8").await.status, 202);
    let still = asks_from(&alice, "198.51.100.7").await;
    assert_eq!(still.verdict(), (403, "TimeoutIP"), "its own goes on: {}", still.body);
    assert_eq!(ends("198.51.100.7").await, done);
    assert_eq!(ends("198.51.100.7").await, done, "one that is none is none afterwards");
    assert_eq!(asks_from(&alice, "198.51.100.7").await.status, 202);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_worker_the_place_is_blocked_that_it_last_popped_from() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let (mona, alice, bob) = (broker.json(MONA), broker.json(ALICE), broker.json(BOB));
    pops_from(&bob, "2001:db8:1:2::77").await.ok();
    let id = bob.get("/workers/name/writer").await.ok()["id"].as_str().unwrap().to_owned();
    let path = format!("/operations/block_worker_ipaddr/{id}");
    assert_eq!(mona.put(&path, json!({"days": 2})).await.ok(), json!({"message": "OK"}));
    let listed = mona.get("/operations/ipaddr").await.ok();
    assert_eq!(shown(&listed, 2 * 86_400), [("2001:db8:1:2::/64".into(), true)], "{listed}");
    assert_eq!(
        pops_from(&bob, "2001:db8:1:2::78").await.verdict(),
        (403, "TimeoutIP"),
        "the same subscriber"
    );
    assert_eq!(asks_from(&alice, "2001:db8:1:3::77").await.status, 202, "another one");
    assert_eq!(mona.delete(&path).await.ok(), json!({"message": "OK"}));
    assert_eq!(pops_from(&bob, "2001:db8:1:2::77").await.status, 200);
    assert_eq!(mona.get("/operations/ipaddr").await.ok(), json!([]));
    broker.stop().await;
}
