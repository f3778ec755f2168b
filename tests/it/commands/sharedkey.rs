//! `gridbroker sharedkey`, with and without a broker on the data directory.

use gridbroker::domain::SharedKeyId;
use serde_json::{Value, json};

use super::{gridbroker, text};
use crate::harness::Broker;

#[test]
fn a_key_is_lent_in_a_store_and_its_bounds_are_said() {
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| gridbroker(dir.path(), args);
    assert!(run(&["user", "add", "alice"]).status.success());
    let out = run(&[
        "sharedkey",
        "add",
        "alice#1",
        "--kudos",
        "-1",
        "--name",
        "friends",
        "--max-text-tokens",
        "80",
    ]);
    let mut line: Value = serde_json::from_str(&text(&out.stdout)).expect("a line of JSON");
    let id = line["id"].as_str().and_then(SharedKeyId::parse).expect("an ID");
    assert_eq!(
        line,
        json!({"id": id, "username": "alice#1", "name": "friends", "kudos": -1, "expiry": null,
            "max_image_pixels": -1, "max_image_steps": -1, "max_text_tokens": 80})
    );
    let out = run(&["sharedkey", "list", "alice#1"]);
    let listed: Value = serde_json::from_str(&text(&out.stdout)).expect("a line of JSON");
    line["utilized"] = 0.into();
    assert_eq!(listed, line);
    for (args, told) in [
        (&["sharedkey", "list", "9"][..], "no user matches"),
        (&["sharedkey", "drop", "00000000-0000-0000-0000-000000000000"], "no shared key with this ID"),
        (&["sharedkey", "add", "9"], "no user matches"),
        (&["sharedkey", "add", "0"], "the anonymous account lends no keys"),
        (&["sharedkey", "add", "1", "--kudos", "-2"], "kudos must be -1"),
        (&["sharedkey", "add", "1", "--name", "ab"], "3 to 255"),
    ] {
        let out = run(args);
        assert!(!out.status.success() && text(&out.stdout).is_empty(), "{args:?}");
        assert!(text(&out.stderr).contains(told), "{args:?}: {}", text(&out.stderr));
    }
    let id = id.to_string();
    let dropped = text(&run(&["sharedkey", "drop", &id]).stdout);
    let dropped: Value = serde_json::from_str(&dropped).expect("a line of JSON");
    assert_eq!(dropped, json!({"id": id, "username": "alice#1"}));
    let out = run(&["sharedkey", "list", "1"]);
    assert!(out.status.success() && text(&out.stdout).is_empty(), "{}", text(&out.stdout));
    assert!(!run(&["sharedkey", "drop", &id]).status.success(), "it is gone already");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_broker_lends_the_key_lists_it_and_drops_it_and_knows_so_at_once() {
    let broker = Broker::start().await;
    let run = async |args: &[&str]| {
        let data = broker.data().to_owned();
        let args: Vec<_> = args.iter().chain(&["--data", "."]).map(|arg| (*arg).to_owned()).collect();
        let out = tokio::task::spawn_blocking(move || {
            let args: Vec<_> = args.iter().map(String::as_str).collect();
            gridbroker(&data, &args)
        });
        out.await.unwrap()
    };
    let out = run(&["sharedkey", "add", "1", "--expiry-days", "2"]).await;
    let line: Value = serde_json::from_str(&text(&out.stdout)).expect("a line of JSON");
    assert!(line["expiry"].as_str().is_some_and(|end| end.ends_with("-0000")), "{line}");
    assert_eq!(line["kudos"], 5000);
    let key = line["id"].as_str().unwrap();
    let answer = broker.json(key).post("/generate/text/async", json!({"prompt": "x"})).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let listed = text(&run(&["sharedkey", "list", "1"]).await.stdout);
    let listed: Value = serde_json::from_str(&listed).expect("a line of JSON");
    assert_eq!((&listed["id"], &listed["expiry"]), (&line["id"], &line["expiry"]));
    assert!(run(&["sharedkey", "drop", key]).await.status.success());
    let answer = broker.json(key).post("/generate/text/async", json!({"prompt": "x"})).await;
    assert_eq!(answer.status, 401, "{}", answer.body);
    assert!(text(&run(&["sharedkey", "list", "1"]).await.stdout).is_empty());
    broker.stop().await;
}
