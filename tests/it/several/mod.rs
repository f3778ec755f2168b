//! Several brokers over one PostgreSQL and one Redis: any node serves anything.
//!
//! The brokers are real processes of the built program, called A, B and C; so are the stores. First come
//! stories in which all is well and every step goes through another node, then what happens when nodes
//! and stores fall, then all of it at random ([`chaos`]).

mod accounts;
mod agreement;
mod alchemy;
mod chaos;
mod cuts;
mod explain;
mod falls;
mod groups;
mod kudos;
mod legacy;
mod moderation;
mod objects;
mod people;
mod rolling;
mod sign_in;
mod stores;
mod styles;
mod users;
mod videos;
mod watching;
mod webhooks;
mod working;

use std::time::Duration;

use serde_json::{Value, json};
use tonic_types::StatusExt;

use crate::harness::{Json, holds_within};

/// What one node learns all know within a second. The rest is for a machine that is busy with other tests.
const A_MOMENT: Duration = Duration::from_secs(3);

/// Why a call was refused.
fn reason(status: &tonic::Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

/// Submits a text request, and returns its ID.
async fn submits(alice: &Json, body: Value) -> String {
    let answer = alice.post("/generate/text/async", body).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    answer.body["id"].as_str().expect("it has an ID").to_owned()
}

/// Asks for a text job, for as many seconds.
async fn pops(worker: &Json, name: &str, seconds: u64) -> Value {
    let offer = json!({"name": name, "models": ["any-model"]});
    let request = worker.request(reqwest::Method::POST, "/generate/text/pop");
    worker.send(request.header("prefer", format!("wait={seconds}")).json(&offer)).await.ok()
}

/// Asks until there is a job, for a while.
async fn gets_a_job(worker: &Json, name: &str) -> String {
    let job = pops(worker, name, 10).await;
    job["id"].as_str().unwrap_or_else(|| panic!("{name} gets no job: {job}")).to_owned()
}

/// Hands in a text; returns status and body.
async fn hands_in(worker: &Json, job: &str, text: &str) -> crate::harness::Answer {
    worker.post("/generate/text/submit", json!({"id": job, "generation": text})).await
}

/// Waits until all nodes show the same, and it is right. `ask` asks one of them.
async fn agree(
    nodes: &[Json],
    ask: impl AsyncFn(&Json) -> Value,
    is_right: impl Fn(&Value) -> bool,
) -> Value {
    let mut shown = Vec::new();
    let all_alike = async || {
        shown.clear();
        for node in nodes {
            shown.push(ask(node).await);
        }
        shown.iter().all(|value| *value == shown[0]) && is_right(&shown[0])
    };
    assert!(
        holds_within(A_MOMENT, all_alike).await,
        "the nodes do not agree, or on what is wrong: {shown:#?}"
    );
    shown.swap_remove(0)
}
