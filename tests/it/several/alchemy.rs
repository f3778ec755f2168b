//! Forms over several nodes: each is one worker's, and what fails or is cancelled anywhere is so everywhere.

use serde_json::{Value, json};

use super::agree;
use crate::harness::{ALICE, BOB, Grid, Json};

const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

async fn submits(alice: &Json, forms: &[&str]) -> String {
    let forms: Vec<_> = forms.iter().map(|name| json!({"name": name})).collect();
    let body = json!({"source_image": PNG, "forms": forms});
    let answer = alice.post("/interrogate/async", body).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    answer.body["id"].as_str().expect("it has an ID").to_owned()
}

/// Asks until there is a form, for a while.
async fn gets_a_form(bob: &Json, name: &str, form: &str) -> String {
    let pop = bob.request(reqwest::Method::POST, "/interrogate/pop").header("prefer", "wait=10");
    let popped = bob.send(pop.json(&json!({"name": name, "forms": [form]}))).await.ok();
    popped["forms"][0]["id"].as_str().unwrap_or_else(|| panic!("{name} gets no {form}: {popped}")).to_owned()
}

async fn hands_in(bob: &Json, id: &str, state: &str) -> crate::harness::Answer {
    bob.post("/interrogate/submit", json!({"id": id, "result": {"caption": "a cat"}, "state": state})).await
}

fn states(status: &Value) -> Vec<&str> {
    let forms = status["forms"].as_array().into_iter().flatten();
    std::iter::once(status).chain(forms).filter_map(|one| one["state"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_fails_at_several_nodes_is_given_up_at_all() {
    let grid = Grid::start().await;
    let (alice, bob) = (grid.json(ALICE), grid.json(BOB));
    let id = submits(&alice[0], &["caption", "nsfw"]).await;
    let path = format!("/interrogate/status/{id}");
    let shows = async |json: &Json| json.get(&path).await.ok();
    for failed in 1..=4 {
        let node = &bob[failed % 3];
        let form = gets_a_form(node, &format!("captioner-{failed}"), "caption").await;
        hands_in(&bob[(failed + 1) % 3], &form, "faulted").await.ok();
        let first = if failed < 4 { "waiting" } else { "faulted" };
        agree(&alice, shows, |status| states(status) == ["waiting", first, "waiting"]).await;
    }
    let form = gets_a_form(&bob[2], "reader", "nsfw").await;
    hands_in(&bob[0], &form, "ok").await.ok();
    agree(&alice, shows, |status| states(status) == ["partial", "faulted", "done"]).await;
    let events = grid.nodes()[1].requester(ALICE).await.watches(&id, "").await.rest().await;
    let last = events.last().expect("there are events");
    assert!(
        matches!(last, gridbroker::rpc::pb::watch_response::Event::Done(done) if done.finished == 1),
        "{events:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_at_one_node_is_settled_at_the_one_whose_worker_has_it() {
    let grid = Grid::start().await;
    let (alice, bob) = (grid.json(ALICE), grid.json(BOB));
    let id = submits(&alice[0], &["caption", "nsfw"]).await;
    let form = gets_a_form(&bob[1], "captioner", "caption").await;
    let path = format!("/interrogate/status/{id}");
    let is_right = |status: &Value| states(status) == ["partial", "cancelled", "cancelled"];
    let told = alice[2].delete(&path).await.ok();
    assert!(is_right(&told), "{told}");
    let kudos = async |json: &Json| json.get("/find_user").await.ok()["kudos"].clone();
    let paid = crate::harness::OPENING.as_f64() - 3.0;
    agree(&alice, kudos, |shown| shown.as_f64() == Some(paid)).await;
    agree(&alice, async |json: &Json| json.get(&path).await.ok(), is_right).await;
    for node in &bob {
        assert_eq!(hands_in(node, &form, "ok").await.verdict(), (400, "DuplicateGen"));
    }
}
