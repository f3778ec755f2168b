//! What the operator has to say: over the API, as pages, and for programs.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::harness::Broker;

const TERMS: &str = "\n# Rules of {{title}}\n\nAt {{url}}, by {{contact}}.\n\n<script>alert(1)</script>\n\n\
    [mine](javascript:alert%281%29)\n\n";

/// A broker with terms of its own, which leave when the directory does.
async fn broker() -> (Broker, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("terms.md");
    std::fs::write(&file, TERMS).unwrap();
    let broker = Broker::with(move |config| {
        config.documents.title = "Our <Grid>".into();
        config.documents.contact_email = Some("ops@example.org".into());
        config.documents.logo_url = Some("https://grid.example.org/logo.png".into());
        config.documents.terms = Some(file);
        config.server.public_url = Some("https://grid.example.org".into());
    })
    .await;
    (broker, dir)
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_come_in_one_of_two_forms() {
    let (broker, dir) = broker().await;
    let anyone = broker.json_without_key();
    let told = anyone.get("/documents/terms?format=markdown").await.ok();
    let markdown = "# Rules of Our <Grid>\n\nAt https://grid.example.org, by <ops@example.org>.\n\n\
        <script>alert(1)</script>\n\n[mine](javascript:alert%281%29)";
    assert_eq!(told, json!({"markdown": markdown}));
    let html = anyone.get("/documents/terms").await.ok();
    assert_eq!(html, anyone.get("/documents/terms?format=html").await.ok());
    assert_eq!(html.as_object().map(|document| document.len()), Some(1));
    let html = html["html"].as_str().expect("HTML");
    assert!(html.contains("<a href=\"mailto:ops@example.org\">ops@example.org</a>"), "{html}");
    assert!(!html.contains("<script") && !html.contains("javascript:") && !html.contains("<html"), "{html}");
    for (name, title) in [("privacy", "Privacy"), ("sponsors", "Sponsors")] {
        let built_in = anyone.get(&format!("/documents/{name}?format=markdown")).await.ok();
        let markdown = built_in["markdown"].as_str().expect("Markdown");
        assert!(
            markdown.starts_with(&format!("# {title}\n")) && markdown.contains("<ops@example.org>"),
            "{markdown}"
        );
    }
    std::fs::write(dir.path().join("terms.md"), "# New").unwrap();
    assert_eq!(anyone.get("/documents/terms").await.ok(), json!({"html": "<h1>New</h1>"}), "read again");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_have_nothing_that_acts_and_a_policy_that_lets_nothing_act() {
    let (broker, _dir) = broker().await;
    for name in ["terms", "privacy", "sponsors"] {
        let response = reqwest::get(format!("{}/{name}", broker.url())).await.expect("it answers");
        assert_eq!(response.status(), 200, "{name}");
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "text/html; charset=utf-8");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "no-referrer");
        let policy = header("content-security-policy");
        let page = response.text().await.expect("it is whole");
        let style =
            page.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).expect("a style");
        let digest = BASE64_STANDARD.encode(Sha256::digest(style));
        let expected = format!(
            "default-src 'none'; style-src 'sha256-{digest}'; img-src 'self' data:; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'"
        );
        assert_eq!(policy, expected, "{name}");
        assert!(page.starts_with("<!doctype html>") && page.contains("Our &lt;Grid&gt;</title>"), "{page}");
        for active in ["<script", "javascript:", "style=", "onclick"] {
            assert!(!page.contains(active), "{active} in {page}");
        }
    }
    let head =
        reqwest::Client::new().head(format!("{}/terms", broker.url())).send().await.expect("it answers");
    assert_eq!(head.status(), 200);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_are_told_what_this_is() {
    let (broker, _dir) = broker().await;
    let told = broker.json_without_key().get("//.well-known/serviceinfo").await;
    assert_eq!(told.headers["content-type"], "application/json; charset=utf-8");
    assert_eq!(told.headers["access-control-allow-origin"], "*");
    let expected = json!({
        "version": "0.2",
        "software": {"name": "gridbroker", "version": env!("CARGO_PKG_VERSION"), "repository": "",
            "homepage": "https://grid.example.org", "logo": "https://grid.example.org/logo.png"},
        "api": {"aihorde": {"name": "Our <Grid>", "version": "2.5", "base_url": "https://grid.example.org/api/v2",
            "rel_url": "/api/v2", "documentation": "https://grid.example.org/api"}}
    });
    assert_eq!(told.ok(), expected);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_cannot_be_read_ends_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = gridbroker::config::Config::for_testing();
    config.store.data = dir.path().join("data");
    config.documents.privacy = Some(dir.path().join("missing.md"));
    let why = gridbroker::server::Server::start(config).await.err().expect("it does not start").to_string();
    assert!(why.contains("privacy") && why.contains("missing.md"), "{why}");
}
