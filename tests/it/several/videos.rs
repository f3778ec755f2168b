//! Videos through several nodes: one queue of their own, beside that of images.

use base64::{Engine, prelude::BASE64_STANDARD};
use gridbroker::rpc::pb::watch_response::Event;
use serde_json::json;

use crate::harness::{ALICE, BOB, Grid, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_video_asked_for_on_one_node_is_made_through_the_others() {
    let grid = Grid::start().await;
    let [a, b, c] = grid.nodes();
    let (alice, bob) = (a.json(ALICE), b.json(BOB));
    let offer = json!({"name": "both", "models": ["stable_diffusion", "wan2.2-t2v-5b"],
                       "bridge_agent": "AI Horde Worker reGen:13:x"});
    let pop = tokio::spawn(async move {
        let request = bob.request(reqwest::Method::POST, "/generate/pop").header("prefer", "wait=15");
        bob.send(request.json(&offer)).await.ok()
    });
    // What one node learns of workers and their models all know, a moment later.
    for node in [a, c] {
        let anyone = node.json_without_key();
        eventually(async || anyone.get("/status/models?type=video").await.ok()[0]["count"] == 1).await;
    }
    let body = json!({"prompt": "a wave", "models": ["wan2.2-t2v-5b"]});
    let accepted = alice.post("/generate/async", body).await.ok();
    assert!(accepted.get("message").is_none(), "a worker elsewhere can do it: {accepted}");
    let id = accepted["id"].as_str().expect("it has an ID").to_owned();
    let job = pop.await.expect("the pop ends");
    assert_eq!(job["media_type"], "video", "{job}");
    let film = [&b"\0\0\0\x20ftypisom"[..], &[7; 99]].concat();
    // Handed in at a third node, which serves the link too.
    let link = job["r2_upload"].as_str().expect("there is a link").replace(&b.url(), &c.url());
    let put = reqwest::Client::new().put(link).body(film.clone()).send().await.expect("it answers");
    assert_eq!(put.status(), 200);
    let result = json!({"id": job["id"], "generation": "R2", "seed": 1});
    c.json(BOB).post("/generate/video/submit", result).await.ok();
    let events = a.requester(ALICE).await.watches(&id, "").await.rest().await;
    assert!(matches!(events.last(), Some(Event::Done(done)) if done.finished == 1), "{events:?}");
    let inline = json!({"prompt": "x", "models": ["wan2.2-t2v-5b"], "r2": false});
    let id =
        b.json(ALICE).post("/generate/video/async", inline).await.ok()["id"].as_str().unwrap().to_owned();
    let films =
        json!({"name": "both", "models": ["wan2.2-t2v-5b"], "bridge_agent": "AI Horde Worker reGen:13:x"});
    let job = a.json(BOB).post("/generate/video/pop", films).await.ok();
    let film = BASE64_STANDARD.encode(film);
    let result = json!({"id": job["id"], "generation": film, "seed": 1});
    b.json(BOB).post("/generate/submit", result).await.ok();
    eventually(async || {
        let status = c.json(ALICE).get(&format!("/generate/status/{id}")).await.ok();
        status["generations"][0]["img"] == json!(film)
    })
    .await;
}
