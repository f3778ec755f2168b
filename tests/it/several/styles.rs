//! Styles through several nodes.

use serde_json::json;

use crate::harness::{ALICE, BOB, Grid};

#[tokio::test(flavor = "multi_thread")]
async fn a_style_made_on_one_node_is_applied_on_another_at_once() {
    let grid = Grid::start().await;
    let key = "stella-has-this-key";
    grid.adds_user("stella", key, 100, 10, vec!["customizer"]).await;
    let [a, b, c] = grid.nodes();
    let style = json!({"name": "tale", "models": ["any-model"], "prompt": "Once, {p}", "params": {"temperature": 0.5}});
    let made = a.json(key).post("/styles/text", style).await.ok();
    let accepted =
        b.json(ALICE).post("/generate/text/async", json!({"prompt": "a cat", "style": "tale"})).await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    let job = super::pops(&c.json(BOB), "writer", 10).await;
    assert_eq!(job["payload"]["prompt"], "Once, a cat", "{job}");
    assert_eq!(job["payload"]["temperature"], 0.5);
    let path = format!("/styles/text/{}", made["id"].as_str().unwrap());
    for node in [a, b, c] {
        assert_eq!(node.json_without_key().get(&path).await.ok()["use_count"], 1);
    }
    // Its author, who is known to each node by now, has been thanked.
    let thanked = async |node: &crate::harness::Json| node.get("/find_user").await.ok()["kudos"].clone();
    super::agree(&grid.json(key), thanked, |kudos| *kudos == 102.0).await;
    // Changes hold at once, too, and of two at the same moment none is lost.
    let (first, second) = (a.json(key), b.json(key));
    let changes = tokio::join!(
        first.patch(&path, json!({"info": "from the first node"})),
        second.patch(&path, json!({"prompt": "Twice, {p}"})),
    );
    assert_eq!((changes.0.status, changes.1.status), (200, 200), "{changes:?}");
    let shown = c.json_without_key().get(&path).await.ok();
    assert_eq!((&shown["info"], &shown["prompt"]), (&json!("from the first node"), &json!("Twice, {p}")));
    assert_eq!(grid.panics(), Vec::<String>::new());
}
