//! Who begins to sign in at one node comes back to another.

use futures_util::future::join_all;
use serde_json::json;

use super::agree;
use crate::harness::{Grid, Provider, Shown, Visitor};

const PUBLIC: &str = "http://grid.example";
const SESSION: &str = "gridbroker-session";

async fn registers(visitor: &Visitor, name: &str) -> Shown {
    let token = visitor.looks("/register").await.token();
    visitor.sends("/register", &[("username", name), ("token", &token)], &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_goes_on_at_whichever_node_people_come_to() {
    let provider = Provider::start().await;
    provider.knows(json!({"id": 583231}));
    let mut flags = provider.flags();
    flags.extend(["--public-url".into(), PUBLIC.into()]);
    let grid = Grid::with_flags(&flags).await;
    let [a, b, c] = grid.nodes().map(|node| node.url());
    // There at A, back at B, and registered at C.
    let visitor = Visitor::behind(&a, PUBLIC);
    let sent = visitor.looks("/github/register").await;
    let back = visitor.looks(sent.location().expect("it is sent on")).await;
    let back = back.location().expect("the provider agrees").to_owned();
    let visitor = visitor.at(&b);
    assert_eq!(visitor.looks(&back).await.location(), Some("/finish_dance"));
    let visitor = visitor.at(&c);
    let shown = visitor.opens("/finish_dance").await;
    assert!(shown.page.contains("<strong>583231</strong>"), "{}", shown.page);
    let made = registers(&visitor, "ada").await;
    let first = made.key().unwrap_or_else(|| panic!("{}", made.page)).to_owned();
    let visitor = visitor.at(&a);
    assert!(
        visitor.looks("/register").await.page.contains("You are <strong>ada#4</strong>"),
        "A knows at once"
    );
    let copied = visitor.cookie(SESSION).expect("a session");
    let second = registers(&visitor, "grace").await.key().expect("another key").to_owned();
    // The session before that is over, at whichever node it is shown.
    for url in [&a, &b, &c] {
        let thief = Visitor::behind(url, PUBLIC);
        thief.keeps(SESSION, &copied);
        assert!(!thief.looks("/register").await.page.contains("You are signed in"), "{url}");
    }
    let name = async |node: &crate::harness::Json| node.get("/find_user").await.body["username"].clone();
    agree(&grid.json(&second), name, |name| *name == "grace#4").await;
    let status = async |node: &crate::harness::Json| json!(node.get("/find_user").await.status);
    agree(&grid.json(&first), status, |status| *status == 404).await;
    // Everywhere at once: one account.
    provider.knows(json!({"id": 7}));
    let mut windows = Vec::new();
    for url in [&a, &b, &c, &a, &b, &c] {
        let window = Visitor::behind(url, PUBLIC);
        let token = window.opens("/github/register").await.token();
        windows.push((window, token));
    }
    let sent = windows.iter().map(|(window, token)| async move {
        window.sends("/register", &[("username", "ann"), ("token", token)], &[]).await
    });
    let sent = join_all(sent).await;
    for shown in &sent {
        // Who comes a moment after another one's key is told so.
        let is_late = shown.status == 403 && shown.page.contains("no longer signed in");
        let is_done = shown.page.contains("<strong>ann#5</strong>") && shown.key().is_some();
        assert!(is_done || is_late, "{}", shown.page);
    }
    assert!(sent.iter().any(|shown| shown.key().is_some()));
    let everybody =
        async |node: &crate::harness::Json| json!(node.get("/users").await.body.as_array().map(Vec::len));
    agree(&grid.json(&second), everybody, |count| *count == 6).await;
    assert_eq!(grid.panics(), Vec::<String>::new());
    // Nothing of it is told on.
    let mut secrets = provider.secrets();
    let visitors = windows.iter().map(|(window, _)| window).chain([&visitor]);
    secrets.extend(visitors.flat_map(Visitor::secrets));
    for (begin, rule) in [
        ("the-secret-of-the-client", "the secret of the client"),
        ("token-", "tokens"),
        ("code-", "codes"),
        (first.as_str(), "keys"),
        (second.as_str(), "all of them"),
        (copied.as_str(), "sessions"),
    ] {
        assert!(secrets.iter().any(|secret| secret.starts_with(begin)), "{rule} are among them");
    }
    for node in grid.nodes() {
        let log = node.log();
        assert!(!log.is_empty(), "{} logs", node.name);
        for secret in &secrets {
            assert!(!log.contains(secret), "{}: {secret}", node.name);
        }
    }
}
