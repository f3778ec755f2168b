//! Teams: who founds them, who is in them, and what counts for them.

use serde_json::{Value, json};

use crate::harness::{ALICE, BOB, Broker, CAROL, Json, MONA};

const PIXEL: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const AGENT: &str = "AI Horde Worker reGen:13.0.0:x";

/// Has a worker draw an image, and returns the worker's path.
async fn draws(alice: &Json, owner: &Json, name: &str) -> String {
    alice.post("/generate/async", json!({"prompt": "x", "params": {"steps": 1}})).await.ok();
    let offer = json!({"name": name, "models": ["stable_diffusion"], "bridge_agent": AGENT});
    let job = owner.post("/generate/pop", offer).await.ok()["id"].clone();
    assert!(job.is_string(), "{name} gets a job");
    let result = json!({"id": job, "generation": PIXEL, "seed": 1});
    owner.post("/generate/submit", result).await.ok();
    let shown = owner.get(&format!("/workers/name/{name}")).await;
    // Its owner's key is no moderator's, and shows as much as none.
    format!("/workers/{}", shown.ok()["id"].as_str().expect("it has an ID"))
}

fn figures(team: &Value) -> (Option<i64>, bool) {
    (team["requests_fulfilled"].as_i64(), team["kudos"].as_f64().is_some_and(|kudos| kudos > 0.0))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_has_what_its_workers_draw_while_they_are_in_it() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let (alice, bob, carol) = (broker.json(ALICE), broker.json(BOB), broker.json(CAROL));
    let anyone = broker.json_without_key();
    assert_eq!(anyone.get("/teams").await.ok(), json!([]));
    let sent = json!({"name": "  Brushes & co ", "info": "we draw"});
    let founded = bob.post("/teams", sent).await.ok();
    let id = founded["id"].as_str().expect("it has an ID").to_owned();
    assert_eq!(founded, json!({"id": id, "name": "Brushes &amp; co", "info": "we draw"}));
    let path = format!("/teams/{id}");
    let empty = json!({"id": id, "name": "Brushes &amp; co", "info": "we draw", "creator": "bob#2",
        "requests_fulfilled": 0, "kudos": 0.0, "uptime": 0, "worker_count": 0, "workers": [], "models": []});
    assert_eq!(anyone.get(&path).await.ok(), empty);
    assert_eq!(anyone.get("/teams").await.ok(), json!([empty]));
    let drawer = draws(&alice, &carol, "drawer").await;
    assert_eq!(figures(&anyone.get(&path).await.ok()), (Some(0), false), "it was not in it");
    let joined = carol.put(&drawer, json!({"team": id})).await.ok();
    assert_eq!(joined, json!({"team": "Brushes &amp; co"}));
    let worker = anyone.get(&drawer).await.ok();
    assert_eq!(worker["team"], json!({"name": "Brushes &amp; co", "id": id}));
    draws(&alice, &carol, "drawer").await;
    draws(&alice, &carol, "drawer").await;
    // Texts do not count.
    alice.post("/generate/text/async", json!({"prompt": "x"})).await.ok();
    let offer = json!({"name": "writer", "models": ["any-model"]});
    let pop = async || carol.post("/generate/text/pop", offer.clone()).await.ok()["id"].clone();
    let job = pop().await;
    let writer = anyone.get("/workers/name/writer").await.ok()["id"].as_str().unwrap().to_owned();
    carol.put(&format!("/workers/{writer}"), json!({"team": id.to_uppercase()})).await.ok();
    carol.post("/generate/text/submit", json!({"id": job, "generation": "once"})).await.ok();
    let team = anyone.get(&path).await.ok();
    assert_eq!(figures(&team), (Some(2), true), "{team}");
    assert_eq!(team["worker_count"], 2);
    let told: Vec<_> = team["workers"].as_array().unwrap().iter().map(|worker| &worker["name"]).collect();
    assert_eq!(told, ["drawer", "writer"]);
    assert_eq!(team["workers"][0]["type"], "image");
    assert_eq!(team["workers"][0]["online"], true);
    let models = json!([{"name": "any-model", "count": 1}, {"name": "stable_diffusion", "count": 1}]);
    assert_eq!(team["models"], models);
    // All of it outlives the broker.
    let broker = broker.restart().await;
    let (alice, carol, anyone) = (broker.json(ALICE), broker.json(CAROL), broker.json_without_key());
    let again = anyone.get(&path).await.ok();
    assert_eq!((figures(&again), &again["worker_count"]), (figures(&team), &json!(2)));
    carol.put(&drawer, json!({"team": ""})).await.ok();
    draws(&alice, &carol, "drawer").await;
    let left = anyone.get(&path).await.ok();
    assert_eq!((figures(&left).0, &left["worker_count"]), (Some(2), &json!(1)), "what it did stays");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_is_changed_and_dissolved_by_those_who_may() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let (bob, mona, carol) = (broker.json(BOB), broker.json(MONA), broker.json(CAROL));
    let anyone = broker.json_without_key();
    let id = bob.post("/teams", json!({"name": "Brushes"})).await.ok()["id"].as_str().unwrap().to_owned();
    let path = format!("/teams/{id}");
    assert!(anyone.get(&path).await.ok().get("info").is_none(), "what is not said is left out");
    let renamed = bob.patch(&path, json!({"name": "Pencils"})).await.ok();
    assert_eq!(renamed, json!({"id": id, "name": "Pencils"}), "with its ID, which typed clients read");
    let told = mona.patch(&path, json!({"info": "moderated"})).await.ok();
    assert_eq!(told, json!({"id": id, "name": "Pencils", "info": "moderated"}));
    bob.post("/teams", json!({"name": "brushes"})).await.ok();
    carol.post("/generate/text/pop", json!({"name": "writer", "models": ["any-model"]})).await.ok();
    let worker = anyone.get("/workers/name/writer").await.ok()["id"].as_str().unwrap().to_owned();
    let worker = format!("/workers/{worker}");
    carol.put(&worker, json!({"team": id})).await.ok();
    let gone = bob.delete(&path).await.ok();
    assert_eq!(gone, json!({"deleted_id": id, "deleted_name": "Pencils"}));
    let none = json!({"name": null, "id": null});
    assert_eq!(anyone.get(&worker).await.ok()["team"], none);
    let broker = broker.restart().await;
    let anyone = broker.json_without_key();
    assert_eq!(anyone.get(&worker).await.ok()["team"], none, "the worker is in none for good");
    assert_eq!(anyone.get(&path).await.verdict(), (404, "TeamNotFound"));
    let names: Vec<_> =
        anyone.get("/teams").await.ok().as_array().unwrap().iter().map(|t| t["name"].clone()).collect();
    assert_eq!(names, ["brushes"]);
    broker.stop().await;
}
