//! `gridbroker legacy`, with and without a broker on the data directory.

use serde_json::{Value, json};

use super::{gridbroker, text};
use crate::harness::Broker;

#[test]
fn paths_are_switched_in_a_store_and_listed() {
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| gridbroker(dir.path(), args);
    let list = || {
        let out = run(&["legacy", "list"]);
        assert!(out.status.success(), "{}", text(&out.stderr));
        serde_json::from_str::<Value>(&text(&out.stdout)).expect("a line of JSON")
    };
    let none = json!({"calls": 0, "failures": 0});
    assert_eq!(list(), json!({"legacy_upstream": null, "routes": [], "unknown_here": none}));
    let out = run(&["legacy", "return", "/api/v2/teams"]);
    let line: Value = serde_json::from_str(&text(&out.stdout)).expect("a line of JSON");
    assert_eq!(line, json!({"path": "/api/v2/teams", "answered_by": "legacy"}));
    assert!(run(&["legacy", "move", "/api/v2/teams/7"]).status.success());
    let route = |path: &str, by: &str| json!({"path": path, "answered_by": by, "calls": 0, "failures": 0});
    assert_eq!(
        list()["routes"],
        json!([route("/api/v2/teams", "legacy"), route("/api/v2/teams/7", "gridbroker")])
    );
    let out = run(&["legacy", "return", "/metrics"]);
    assert!(!out.status.success() && text(&out.stderr).contains("only this server answers that"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_broker_is_switched_at_once() {
    let broker = Broker::with(|config| {
        config.api.legacy_upstream = Some("http://127.0.0.1:9".into());
        config.api.legacy_paths = vec!["/api/v2/teams".into()];
    })
    .await;
    let data = broker.data().to_owned();
    let run = async |args: &'static [&'static str]| {
        let data = data.clone();
        tokio::task::spawn_blocking(move || gridbroker(&data, args)).await.unwrap()
    };
    let anyone = broker.json_without_key();
    assert_eq!(anyone.get("/status/heartbeat").await.status, 200);
    assert!(run(&["legacy", "return", "/api/v2/status", "--data", "."]).await.status.success());
    assert_eq!(anyone.get("/status/heartbeat").await.status, 502);
    let out = run(&["legacy", "list", "--data", "."]).await;
    let line: Value = serde_json::from_str(&text(&out.stdout)).expect("a line of JSON");
    let expected = json!({"legacy_upstream": "http://127.0.0.1:9", "unknown_here": {"calls": 0, "failures": 0}, "routes": [
        {"path": "/api/v2/status", "answered_by": "legacy", "calls": 1, "failures": 1},
        {"path": "/api/v2/teams", "answered_by": "legacy", "calls": 0, "failures": 0},
    ]});
    assert_eq!(line, expected);
    broker.stop().await;
}
