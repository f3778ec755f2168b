//! Where a reader of events continues: by header, by query, or from the beginning.

use serde_json::json;

use crate::harness::{ALICE, BOB, Broker};

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_comes_back_with_its_first_query_is_not_set_back() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let accepted = alice.post("/generate/text/async", json!({"prompt": "x"})).await.ok();
    let id = accepted["id"].as_str().unwrap();
    let job = bob.post("/generate/text/pop", json!({"name": "scribe", "models": ["any-model"]})).await.ok();
    bob.post("/generate/text/submit", json!({"id": job["id"], "generation": "done"})).await.ok();
    let client = reqwest::Client::new();
    let cursors = async |query: &str, header: Option<&str>| {
        let mut request = client.get(format!("{}/api/v2/generate/{id}/stream{query}", broker.url()));
        if let Some(cursor) = header {
            request = request.header("last-event-id", cursor);
        }
        let body = request.send().await.expect("it answers").text().await.expect("it ends");
        let ids = body.lines().filter_map(|line| line.strip_prefix("id: "));
        ids.map(str::to_owned).collect::<Vec<_>>()
    };
    let all = cursors("", None).await;
    assert!(all.len() >= 4, "{all:?}");
    let (first, third) = (all[0].as_str(), all[2].as_str());
    assert_eq!(cursors(&format!("?after={first}"), None).await, all[1..]);
    assert_eq!(cursors("", Some(third)).await, all[3..]);
    assert_eq!(
        cursors(&format!("?after={first}"), Some(third)).await,
        all[3..],
        "as an EventSource reconnects"
    );
    assert_eq!(cursors(&format!("?after={first}"), Some("")).await, all[1..], "an empty header says nothing");
    assert_eq!(cursors("?after=", None).await, all);
    for (query, header) in [("?after=yesterday", None), ("", Some("1-x")), ("?after=0-0", Some("-"))] {
        let mut request = alice.request(reqwest::Method::GET, &format!("/generate/{id}/stream{query}"));
        if let Some(cursor) = header {
            request = request.header("last-event-id", cursor);
        }
        let refused = alice.send(request).await;
        assert_eq!(
            (refused.status, refused.paths()),
            (400, vec!["after"]),
            "{query} {header:?}: {}",
            refused.body
        );
    }
    broker.stop().await;
}
