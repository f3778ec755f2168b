//! Redis as a cluster, and watched over by a sentinel.

use std::{sync::Arc, time::Duration};

use gridbroker::{
    backend::{
        Cursor, Signals,
        distributed::{Link, RedisSignals, is_passing},
    },
    config::Store,
    domain::{RequestId, Timestamp, clock::SystemClock, event::Event},
};
use parking_lot::Mutex;
use serde_json::json;

use super::{broker, takes_a_text};
use crate::harness::{ALICE, BOB, Cluster, Json, Queue, Redis, Watched, by_url, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_goes_its_way_over_a_cluster_and_leaves_nothing_in_the_queue() {
    let cluster = Cluster::start();
    let ports: Vec<_> = cluster.nodes.iter().map(Redis::port).collect();
    let first = cluster.nodes[0].says(&["CLUSTER", "KEYSLOT", "jobs:text"]);
    assert_ne!(first, cluster.nodes[0].says(&["CLUSTER", "KEYSLOT", "jobs:image"]), "on different nodes");
    let broker = broker(cluster).await;
    for _ in 0..3 {
        takes_a_text(&broker).await;
    }
    let length = |key: &str| {
        let port = ports[0].to_string();
        let args = ["-c", "-p", &port, "XLEN", key];
        let out = std::process::Command::new("redis-cli").args(args).output().unwrap();
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    };
    eventually(async || length("jobs:text") == "0").await;
    assert_eq!(length("jobs:image"), "0");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_which_one_node_may_drop_keys_is_refused() {
    let cluster = Cluster::start();
    let odd = &cluster.nodes[2];
    assert_eq!(odd.says(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]), "OK");
    let error = Link::open(&cluster.settings()).await.err().expect("it is refused");
    let said = error.to_string();
    assert!(said.contains("volatile-lru") && said.contains(&format!(":{}", odd.port())), "{said}");
    assert!(!is_passing(&error), "it has to be put right");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_and_a_single_server_are_not_taken_for_each_other() {
    let (cluster, single) = (Cluster::start(), Redis::start());
    for (url, words) in [
        (format!("redis://127.0.0.1:{}", cluster.nodes[0].port()), "redis-cluster://"),
        (format!("redis-cluster://127.0.0.1:{}", single.port()), "cluster support disabled"),
        (format!("redis-sentinel://127.0.0.1:{}?sentinelServiceName=grid", single.port()), ""),
    ] {
        let error = Link::open(&by_url(url)).await.err().expect(words);
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_goes_on_after_a_fail_over_by_a_sentinel() {
    let watched = Watched::start();
    let before = watched.primary();
    let shared = Arc::new(Mutex::new(watched));
    let broker = broker(Shared(shared.clone())).await;
    takes_a_text(&broker).await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let waiting = alice.post("/generate/text/async", json!({"prompt": "second"})).await.ok();
    assert!(waiting["id"].is_string());
    shared.lock().servers[0].kill();
    let meanwhile = alice.post("/generate/text/async", json!({"prompt": "third"})).await.ok();
    assert!(meanwhile["id"].is_string(), "what the records take is accepted");
    eventually(async || shared.lock().primary() != before).await;
    assert_eq!(writes(&bob, 2).await, ["second", "third"]);
    takes_a_text(&broker).await;
    broker.stop().await;
}

/// Pops texts and hands them in, so many; returns their prompts.
async fn writes(worker: &Json, count: usize) -> Vec<String> {
    let mut prompts = Vec::new();
    while prompts.len() < count {
        let offer = json!({"name": "scribe", "models": ["any"]});
        let job = worker.post("/generate/text/pop", offer).await.ok();
        if job["id"].is_string() {
            prompts.push(job["payload"]["prompt"].as_str().unwrap().to_owned());
            let result = json!({"id": job["id"], "generation": "done"});
            worker.post("/generate/text/submit", result).await.ok();
        }
    }
    prompts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_a_cluster_that_comes_back_empty_costs_no_job() {
    let cluster = Cluster::start();
    let slot: usize = cluster.nodes[0].says(&["CLUSTER", "KEYSLOT", "jobs:text"]).parse().unwrap();
    let keeper = slot * cluster.nodes.len() / 16_384;
    let shared = Arc::new(Mutex::new(cluster));
    let broker = broker(Shared(shared.clone())).await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let submits =
        async |prompt: &str| alice.post("/generate/text/async", json!({"prompt": prompt})).await.ok();
    submits("first").await;
    shared.lock().nodes[keeper].kill();
    submits("second").await;
    shared.lock().nodes[keeper].start_again();
    assert_eq!(writes(&bob, 2).await, ["first", "second"]);
    takes_a_text(&broker).await;
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_at_other_brokers_are_woken_through_a_cluster() {
    let cluster = Cluster::start();
    let link = async || Link::open(&cluster.settings()).await.unwrap();
    let (here, there) = (link().await, link().await);
    let clock = Arc::new(SystemClock);
    let (writer, reader) = (RedisSignals::new(here, clock.clone()), RedisSignals::new(there, clock));
    // On different nodes, whoever publishes.
    for i in 0..3 {
        let id = RequestId(uuid::Uuid::from_u128(i));
        let word = || Event::Token { job: 0, attempt: 1, text: "word".into() };
        writer.begin(id, Timestamp(5), vec![word()]).await.unwrap();
        let mut cursor = writer.extent(id).await.unwrap().expect("it was begun");
        let since = std::time::Instant::now();
        for _ in 0..10 {
            let (next, ()) = tokio::join!(reader.after(id, cursor, 1), async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                writer.append(id, Timestamp(6), word());
            });
            let (next, _) = next.unwrap().remove(0);
            assert_eq!(next, Cursor { seq: cursor.seq + 1, ..cursor });
            cursor = next;
        }
        // A reader that nobody wakes looks once a second.
        assert!(since.elapsed() < Duration::from_secs(5), "it took {:?}", since.elapsed());
    }
}

/// Servers that the test goes on to hurt.
struct Shared<T>(Arc<Mutex<T>>);

impl<T: Queue> Queue for Shared<T> {
    fn settings(&self) -> Store {
        self.0.lock().settings()
    }
}
