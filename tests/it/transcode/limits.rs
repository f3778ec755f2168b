//! Rate limits: words, headers, and the same refusal over gRPC.

use serde_json::json;
use tonic::Code;

use crate::harness::{ALICE, ANONYMOUS, Broker, Json, Refusal, Verb};

async fn limited() -> Broker {
    Broker::with(|config| {
        config.limits.rate_limits = true;
        config.api.long_poll_timeout = 0;
    })
    .await
}

/// Calls until it is refused; how many calls passed. Windows turn while we call: a few more may pass.
async fn passes(json: &Json, path: &str) -> (usize, crate::harness::Answer) {
    for n in 0..200 {
        let answer = json.get(path).await;
        if answer.status == 429 {
            return (n, answer);
        }
    }
    panic!("{path} is not limited");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_is_told_in_words_and_in_headers() {
    let broker = limited().await;
    let alice = broker.json(ALICE);
    let (n, refused) = passes(&alice, "/generate/status/no-such-request").await;
    assert_eq!(n, 10, "ten a minute");
    assert_eq!(refused.body, json!({"message": "10 per 1 minute"}), "and no code");
    let number = |name: &str| refused.headers[name].to_str().unwrap().parse::<i64>().unwrap();
    assert_eq!((number("x-ratelimit-limit"), number("x-ratelimit-remaining")), (10, 0));
    assert!((1..=60).contains(&number("retry-after")) && number("x-ratelimit-reset") > 1_700_000_000);
    assert!(refused.headers.contains_key("access-control-allow-origin"));
    let other = alice.get("/generate/status/another-request").await;
    assert_eq!(
        (other.status, other.headers["x-ratelimit-remaining"].to_str().unwrap()),
        (404, "9"),
        "each ID by itself"
    );
    assert_eq!(alice.delete("/generate/status/no-such-request").await.status, 404, "and each verb");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn success_has_the_headers_too_and_the_heartbeat_has_none() {
    let broker = limited().await;
    let alice = broker.json(ALICE);
    let listed = alice.get("/workers").await;
    assert_eq!(listed.headers["x-ratelimit-limit"], "90");
    assert_eq!(listed.headers["x-ratelimit-remaining"], "89");
    assert!(listed.headers.contains_key("retry-after") && listed.headers.contains_key("x-ratelimit-reset"));
    for _ in 0..100 {
        let beat = alice.get("/status/heartbeat").await;
        assert!(beat.status == 200 && !beat.headers.contains_key("x-ratelimit-limit"));
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_counted_before_they_are_read_and_refused_calls_leave_nothing() {
    let broker = limited().await;
    let alice = broker.json(ALICE);
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(alice.post_text("/generate/text/async", "{").await.status);
    }
    assert_eq!(statuses[..2], [400, 400]);
    assert!(statuses[2..].contains(&429), "two a second: {statuses:?}");
    broker.holds_nothing().await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_is_limited_over_both_faces_and_the_anonymous_one_less() {
    let broker = limited().await;
    let message = json!({"prompt": "x"});
    let mut refusals = Vec::new();
    for _ in 0..6 {
        if let Err(status) = Verb::SubmitText.over_grpc(&broker, Some(ALICE), &message).await {
            refusals.push(Refusal::from(&status));
        }
    }
    let refused = refusals.first().expect("two a second");
    assert_eq!((refused.code, refused.reason.as_str()), (Code::ResourceExhausted, "RateLimited"));
    assert!(refused.retry.is_some_and(|wait| wait.as_millis() <= 1000), "{refused:?}");
    let mut anonymous = Vec::new();
    for i in 0..4 {
        // From four addresses, so that only the key is counted.
        let anyone = broker.json(ANONYMOUS);
        let request = anyone.request(reqwest::Method::POST, "/generate/text/async").json(&message);
        anonymous.push(anyone.send(request.header("x-forwarded-for", format!("9.9.9.{i}"))).await.status);
    }
    assert_eq!(anonymous, [202; 4]);
    broker.stop().await;
}
