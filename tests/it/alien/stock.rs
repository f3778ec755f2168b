//! Stock software of the ecosystem, unchanged, against the program: the Python SDK `horde_sdk` and the
//! npm package `@zeldafan0225/ai_horde`, each as requester and as worker. They differ from any client
//! of ours in one thing: the URL.
//!
//! They are in `target/stock`, where the test command installs what `tests/stock` pins.

use std::path::Path;

use tokio::process::Command;

use super::{installed, run};
use crate::harness::Node;

/// The SDK takes no keys of another length.
const KEYS: [(&str, &str, &[&str]); 3] = [
    ("alice", "alice-has-a-key-of--22", &[]),
    ("bob", "bob-has-a-key-of----22", &["--role", "trusted"]),
    ("mona", "mona-has-a-key-of---22", &["--role", "moderator"]),
];

/// Runs a program of `tests/stock` against a broker, and returns what it printed.
async fn drives(command: &mut Command, program: &str) -> String {
    let mut node = Node::new('s', Vec::new());
    // Workers of the SDK cannot say how long they wait for a job; they look at what came in between.
    let settings = node.data().parent().expect("it has a place").join(".env");
    std::fs::write(settings, "GRIDBROKER_LONG_POLL_TIMEOUT=1\n").expect("it can be written");
    for (alias, key, roles) in KEYS {
        let words = ["user", "add", alias, "--kudos", "1000", "--api-key", key];
        let made = node.operator(&[&words[..], roles].concat()).await;
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    node.starts().await;
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stock").join(program));
    command.arg(node.url()).args(KEYS.map(|(_, key, _)| key));
    let said = run(command).await;
    assert!(node.ends().await.success());
    said
}

fn told(said: &str) {
    for story in ["images", "texts", "alchemy", "people", "refusals"] {
        assert!(said.contains(&format!("ok: {story}")), "{story}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_sdk_requests_and_works_when_its_url_is_changed() {
    let mut python = Command::new(installed("stock/bin/python"));
    // Python without assertions would pass whatever happens.
    python.env("PYTHONDONTWRITEBYTECODE", "1").env_remove("PYTHONOPTIMIZE");
    told(&drives(&mut python, "sdk_client.py").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_typescript_client_requests_and_works_when_its_url_is_changed() {
    let mut node = Command::new("node");
    node.env("NODE_PATH", installed("stock/node_modules"));
    told(&drives(&mut node, "npm_client.cjs").await);
}
