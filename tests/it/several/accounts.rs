//! Accounts, keys, names and limits: what one node decides holds on all.

use std::time::Duration;

use gridbroker::rpc::pb::{self, generate_client::GenerateClient};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic::Request;

use super::{A_MOMENT, agree, gets_a_job, hands_in, submits};
use crate::harness::{ALICE, Answer, BOB, CAROL, Grid, Json, holds_within};

async fn account(node: &Json) -> Value {
    let mut account = node.get("/find_user").await.ok();
    account.as_object_mut().expect("an account").remove("account_age");
    account
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_made_on_one_node_works_on_the_others_at_once() {
    let grid = Grid::start().await;
    let [a, b, c] = grid.nodes();
    let key = "erins-own-key-000";
    for node in [b, c] {
        let unknown = node.json(key).post("/generate/text/async", json!({"prompt": "x"})).await;
        assert_eq!(unknown.verdict(), (401, "InvalidAPIKey"), "nobody has it yet");
    }
    let made = a.operator(&["user", "add", "erin", "--api-key", key, "--kudos", "500"]).await;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    submits(&b.json(key), json!({"prompt": "x"})).await;
    let mut other = Request::new(pb::SubmitTextRequest { prompt: Some("y".into()), ..Default::default() });
    other.metadata_mut().insert("apikey", key.parse().unwrap());
    GenerateClient::new(c.channel().await).submit_text(other).await.expect("C knows the key");
    let erin = grid.json(key);
    let spent = agree(&erin, async |node| account(node).await, |account| account["kudos"] == 498.0).await;
    assert_eq!(spent["username"], "erin#4");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_lent_on_one_node_works_on_the_others_and_is_spent_on_all() {
    let grid = Grid::start().await;
    let [a, b, c] = grid.nodes();
    let lent = a.operator(&["sharedkey", "add", "1", "--kudos", "8"]).await;
    assert!(lent.status.success(), "{}", String::from_utf8_lossy(&lent.stderr));
    let lent: Value = serde_json::from_slice(&lent.stdout).expect("a line of JSON");
    let key = lent["id"].as_str().expect("an ID");
    // Each costs a kudos at once; what is kept for it besides is free again once it is cancelled.
    for (node, other) in [(b, c), (c, a), (b, a), (c, b)] {
        let asked = json!({"prompt": "x", "models": ["unknown"], "params": {"max_length": 16}});
        let id = submits(&node.json(key), asked).await;
        other.json(key).delete(&format!("/generate/text/status/{id}")).await.ok();
    }
    let dear = json!({"prompt": "x", "models": ["unknown"], "params": {"max_length": 80}});
    let is_told = async || {
        for node in [a, b, c] {
            let refused = node.json(key).post("/generate/text/async", dear.clone()).await;
            if refused.rc() != "SharedKeyInsufficientKudos"
                || !refused.body["message"].to_string().contains(" 4 are left")
            {
                return false;
            }
        }
        true
    };
    assert!(holds_within(A_MOMENT, is_told).await, "all know what is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_made_on_all_nodes_at_once_have_numbers_of_their_own() {
    let grid = Grid::start().await;
    let nodes = grid.nodes();
    let lines: Vec<[String; 3]> =
        (0..6).map(|i| [format!("user-{i}"), "--api-key".into(), format!("the-key-of-user-{i}")]).collect();
    let adds = lines.iter().enumerate().map(async |(i, line)| {
        let words: Vec<&str> = ["user", "add"].into_iter().chain(line.iter().map(String::as_str)).collect();
        nodes[i % 3].operator(&words).await
    });
    let mut ids = std::collections::BTreeSet::new();
    for made in futures_util::future::join_all(adds).await {
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let made: Value = serde_json::from_slice(&made.stdout).expect("an account");
        ids.insert(made["id"].as_i64().expect("it has an ID"));
    }
    assert_eq!(ids.len(), 6, "each has its own: {ids:?}");
    for (i, [_, _, key]) in lines.iter().enumerate() {
        let shown = agree(&grid.json(key), async |node| account(node).await, |_| true).await;
        assert!(
            shown["username"].as_str().is_some_and(|name| name.starts_with(&format!("user-{i}#"))),
            "{shown}"
        );
    }
    let taken = nodes[1].operator(&["user", "add", "thief", "--api-key", "the-key-of-user-0"]).await;
    assert!(!taken.status.success(), "a key is one account's");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_settlement_on_one_node_moved_is_seen_on_the_others_within_a_second() {
    let grid = Grid::start().await;
    let [a, b, c] = grid.nodes();
    let (alice, bob) = (grid.json(ALICE), grid.json(BOB));
    let before = [account(&alice[0]).await, account(&bob[0]).await];
    let (mut fees, mut rewards) = (0.0, 0.0);
    for node in [a, b, c] {
        submits(&node.json(ALICE), json!({"prompt": "pay"})).await;
        let job = gets_a_job(&b.json(BOB), "scribe").await;
        let reward = hands_in(&c.json(BOB), &job, &"word ".repeat(50)).await.ok()["reward"].as_f64().unwrap();
        fees += 2.0 + reward;
        rewards += reward;
    }
    let has = |account: &Value, wanted: f64| (account["kudos"].as_f64().unwrap() - wanted).abs() < 1e-6;
    let (owed, owned) =
        (before[0]["kudos"].as_f64().unwrap() - fees, before[1]["kudos"].as_f64().unwrap() + rewards);
    let shown = agree(&alice, async |node| account(node).await, |account| has(account, owed)).await;
    assert_eq!(shown["records"]["request"]["text"], 3);
    let shown = agree(&bob, async |node| account(node).await, |account| has(account, owned)).await;
    assert_eq!((&shown["records"]["fulfillment"]["text"], &shown["worker_count"]), (&json!(3), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_may_wait_are_counted_over_all_nodes() {
    let grid = Grid::start().await;
    let key = "frank-has-this-key";
    grid.adds_user("frank", key, 1000, 10, vec![]).await;
    let frank = grid.json(key);
    let mut asking = JoinSet::new();
    for i in 0..36 {
        let node = frank[i % 3].clone();
        let body = json!({"prompt": format!("number {i}")});
        asking.spawn(async move { node.post("/generate/text/async", body).await });
    }
    let mut accepted = 0;
    for answer in asking.join_all().await {
        match answer.status {
            202 => accepted += 1,
            _ => assert_eq!(answer.verdict(), (429, "TooManyPrompts"), "{}", answer.body),
        }
    }
    assert!(accepted <= 10, "{accepted} wait, 10 may");
    // What was refused in the throng may have been refused for its sake. Then there is room.
    for i in 0..(10 - accepted) {
        submits(&frank[i % 3], json!({"prompt": "the rest"})).await;
    }
    let check = async |node: &Json| {
        node.post("/generate/text/async", json!({"prompt": "one more"})).await.verdict()
            == (429, "TooManyPrompts")
    };
    for node in &frank {
        assert!(check(node).await, "every node knows that ten wait");
    }
    let job = gets_a_job(&grid.json(BOB)[1], "scribe").await;
    hands_in(&grid.json(BOB)[2], &job, "done").await.ok();
    let room = async || frank[0].post("/generate/text/async", json!({"prompt": "again"})).await.status == 202;
    assert!(holds_within(A_MOMENT, room).await, "one went, one may come");
    assert!(check(&frank[1]).await, "and no more");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_an_account_are_counted_over_all_nodes() {
    let grid = Grid::start().await;
    let carol = grid.json(CAROL);
    let mut coming = JoinSet::new();
    for i in 0..12 {
        let node = carol[i % 3].clone();
        let offer = json!({"name": format!("worker-{i}"), "models": ["any-model"]});
        let request = node.request(reqwest::Method::POST, "/generate/text/pop").header("prefer", "wait=0");
        coming.spawn(async move { node.send(request.json(&offer)).await });
    }
    let mut made = 0;
    for answer in coming.join_all().await {
        match answer.status {
            200 => made += 1,
            _ => assert_eq!(answer.verdict(), (403, "TooManyWorkers"), "{}", answer.body),
        }
    }
    // The contract's rule refuses an account that has more than three.
    assert!(made <= 4, "{made} were made, 4 may be");
    agree(&carol, async |node| account(node).await, |account| account["worker_count"] == made).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_workers_that_take_a_name_at_once_one_has_it_and_the_other_is_told() {
    let grid = Grid::start().await;
    let (bob, carol) = (grid.json(BOB), grid.json(CAROL));
    for (round, (one, two)) in [(0, 1), (1, 2), (2, 0)].into_iter().enumerate() {
        let name = format!("contested-{round}");
        let mut coming = JoinSet::new();
        for node in [&bob[one], &carol[two]] {
            let offer = json!({"name": name, "models": ["any-model"]});
            let request =
                node.request(reqwest::Method::POST, "/generate/text/pop").header("prefer", "wait=0");
            let node = node.clone();
            coming.spawn(async move { node.send(request.json(&offer)).await });
        }
        let mut verdicts: Vec<_> = coming
            .join_all()
            .await
            .into_iter()
            .map(|answer| (answer.status, answer.rc().to_owned()))
            .collect();
        verdicts.sort();
        assert_eq!(verdicts, [(200, String::new()), (403, "WrongCredentials".into())]);
        let ask = async |node: &Json| {
            let worker = node.get(&format!("/workers/name/{name}")).await;
            json!([worker.status, worker.body["id"]])
        };
        let worker = agree(&bob, ask, |worker| worker[0] == 200).await;
        let counts = [account(&bob[0]).await, account(&carol[0]).await];
        let owns = |account: &Value| account["worker_ids"].as_array().unwrap().contains(&worker[1]);
        assert_ne!(owns(&counts[0]), owns(&counts[1]), "it is one account's");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_known_to_one_node_is_refused_a_second_kind_by_another() {
    let grid = Grid::start().await;
    let [a, b, c] = grid.nodes();
    super::pops(&a.json(BOB), "scribe", 0).await;
    let painter = json!({"name": "scribe", "models": ["stable_diffusion"], "max_pixels": 262144});
    for node in [b, c] {
        let refused = async || {
            let answer = node.json(BOB).post("/generate/pop", painter.clone()).await;
            answer.verdict() == (400, "PolymorphicNameConflict")
        };
        assert!(holds_within(A_MOMENT, refused).await, "{} does not know it", node.name);
        let foreign =
            node.json(CAROL).post("/generate/text/pop", json!({"name": "scribe", "models": ["m-1"]})).await;
        assert_eq!(foreign.verdict(), (403, "WrongCredentials"), "{}", node.name);
    }
    let id = a.json(BOB).get("/workers/name/scribe").await.ok()["id"].clone();
    submits(&c.json(ALICE), json!({"prompt": "for that one alone", "workers": [id]})).await;
}

/// How much of a limit is left.
fn left(answer: &Answer) -> usize {
    answer.headers["x-ratelimit-remaining"].to_str().unwrap().parse().expect("a number")
}

async fn comes_from(address: &str, node: &Json, path: &str) -> Answer {
    node.send(node.request(reqwest::Method::GET, path).header("x-forwarded-for", address)).await
}

/// Waits until a node has heard what another one counted so far: it knows of a call that nobody else made.
async fn hears(node: &Json, other: &Json, address: &str) {
    comes_from(address, other, "/workers").await;
    for asked in 1..60 {
        if left(&comes_from(address, node, "/workers").await) + asked < 90 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("what one node counts is not heard on another");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_limited_over_all_nodes_together() {
    let grid = Grid::with_rate_limits().await;
    let nodes = grid.json(ALICE);
    let path = "/generate/status/no-such-request";
    for made in 0..10 {
        let node = &nodes[made % 3];
        let answer = node.get(path).await;
        assert_eq!((answer.status, left(&answer)), (404, 9 - made), "ten a minute; {made} were made before");
        for other in 1..3 {
            hears(&nodes[(made + other) % 3], node, &format!("9.9.{made}.{other}")).await;
        }
    }
    for node in &nodes {
        let refused = node.get(path).await;
        assert_eq!((refused.status, refused.body), (429, json!({"message": "10 per 1 minute"})));
        let other = comes_from("8.8.8.8", node, "/generate/status/another-request").await;
        assert_eq!(other.status, 404, "another caller is not affected");
    }
    let other = comes_from("8.8.8.8", &nodes[0], path).await;
    assert_eq!((other.status, left(&other)), (404, 9), "nor on this path");
}
