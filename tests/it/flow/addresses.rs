//! Addresses of workers that a service is asked about.

use serde_json::json;

use crate::harness::{BOB, Broker, CAROL, Json, MONA, Outsider, Reply};

/// Says how likely each address hides somebody, as such services do.
async fn service() -> Outsider {
    Outsider::plain(|called| match called.line.as_str() {
        "GET /check?ip=192.0.2.1" => Reply::Content(b"0.2".to_vec()),
        "GET /check?ip=192.0.2.2" => Reply::Content(b"0.99\n".to_vec()),
        "GET /check?ip=192.0.2.3" => Reply::Status(429),
        "GET /check?ip=192.0.2.4" => Reply::Content(b"-3".to_vec()),
        "GET /check?ip=192.0.2.5" => Reply::Content(vec![b'0'; 1000]),
        _ => Reply::Status(404),
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_let_in_by_what_a_service_says_of_their_address() {
    let service = service().await;
    let url = service.url("/check?ip={ipaddr}");
    let broker = Broker::with(move |config| {
        config.api.long_poll_timeout = 0;
        config.api.fetch_allow = vec!["127.0.0.1".parse().unwrap()];
        config.people.address_checker = Some(url);
        config.people.unsafe_networks = vec!["198.51.100.0/24".parse().unwrap()];
    })
    .await;
    let (bob, carol) = (broker.json(BOB), broker.json(CAROL));
    let from = async |json: &Json, address: &str, name: &str| {
        let request = json.request(reqwest::Method::POST, "/generate/text/pop");
        let request = request.header("x-forwarded-for", address);
        let answer = json.send(request.json(&json!({"name": name, "models": ["model"]}))).await;
        (answer.status, answer.rc().to_owned())
    };
    for (json, address, name, status, rc) in [
        (&carol, "192.0.2.1", "open", 200, ""),
        (&carol, "192.0.2.2", "hidden", 403, "UnsafeIP"),
        (&carol, "192.0.2.3", "throttled", 403, "TooManyNewIPs"),
        (&carol, "192.0.2.4", "an error", 403, "TooManyNewIPs"),
        (&carol, "192.0.2.5", "too much said", 403, "TooManyNewIPs"),
        (&carol, "198.51.100.9", "listed", 403, "UnsafeIP"),
        (&bob, "192.0.2.2", "beyond doubt", 200, ""),
        (&carol, "192.0.2.1", "open", 200, ""),
        (&carol, "192.0.2.2", "hidden", 403, "UnsafeIP"),
        (&carol, "192.0.2.3", "throttled", 403, "TooManyNewIPs"),
    ] {
        assert_eq!(from(json, address, name).await, (status, rc.to_owned()), "{name} at {address}");
    }
    assert_eq!(service.calls().len(), 5, "each is asked about once, and those beyond doubt are not");
    broker.json(MONA).put("/status/modes", json!({"raid_mode": true})).await.ok();
    let in_a_raid = from(&carol, "192.0.2.2", "hidden").await;
    assert_eq!(in_a_raid, (200, String::new()), "who attacks is not told what gives him away");
    broker.stop().await;
}
