//! The files of the console, as they are served.

use reqwest::{Client, Method, Response};

use crate::harness::Broker;

const FILES: [(&str, &str); 3] = [
    ("/", "text/html; charset=utf-8"),
    ("/console/app.js", "text/javascript; charset=utf-8"),
    ("/console/app.css", "text/css; charset=utf-8"),
];

async fn get(broker: &Broker, path: &str, tag: Option<&str>) -> Response {
    let mut request = Client::new().get(format!("{}{path}", broker.url()));
    if let Some(tag) = tag {
        request = request.header("if-none-match", tag);
    }
    request.send().await.expect("it answers")
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).unwrap_or_else(|| panic!("{name} is missing")).to_str().expect("it is text")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_come_with_a_strict_policy() {
    let broker = Broker::start().await;
    for (path, kind) in FILES {
        let response = get(&broker, path, None).await;
        assert_eq!((response.status().as_u16(), header(&response, "content-type")), (200, kind), "{path}");
        let policy = header(&response, "content-security-policy");
        let expected = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob: {}; \
             connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            broker.url()
        );
        assert_eq!(policy, expected, "{path}");
        assert_eq!(header(&response, "x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header(&response, "referrer-policy"), "no-referrer", "{path}");
        let body = response.text().await.expect("it is UTF-8");
        assert!(body.len() > 1000, "{path}");
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_loads_nothing_from_elsewhere_and_has_nothing_inline() {
    let broker = Broker::start().await;
    let page = get(&broker, "/", None).await.text().await.expect("it is UTF-8");
    for attribute in ["src=\"", "href=\""] {
        for link in page.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap_or_default()) {
            let is_own =
                link.starts_with("/console/") || link.starts_with('#') || link.starts_with("data:image/");
            assert!(is_own, "{link}");
        }
    }
    for inline in ["<style", "style=", "onclick", "onload", "<script>"] {
        assert!(!page.contains(inline), "{inline}");
    }
    let style = get(&broker, "/console/app.css", None).await.text().await.expect("it is UTF-8");
    assert!(!style.contains("@import") && !style.contains("url("));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_browser_has_is_not_sent_again() {
    let broker = Broker::start().await;
    let mut tags = Vec::new();
    for (path, _) in FILES {
        let first = get(&broker, path, None).await;
        let tag = header(&first, "etag").to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}: it is a strong one");
        assert_eq!(header(&first, "cache-control"), "no-cache", "{path}");
        let again = get(&broker, path, Some(&tag)).await;
        assert_eq!((again.status().as_u16(), header(&again, "etag")), (304, tag.as_str()), "{path}");
        assert!(again.headers().contains_key("content-security-policy"), "{path}");
        assert!(again.bytes().await.expect("it ends").is_empty(), "{path}");
        let older = get(&broker, path, Some("\"0123\"")).await;
        assert_eq!(older.status(), 200, "{path}");
        tags.push(tag);
    }
    tags.dedup();
    assert_eq!(tags.len(), FILES.len(), "each file has its own");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_looked_at_and_nothing_else() {
    let broker = Broker::start().await;
    let client = Client::new();
    for (path, kind) in FILES {
        let url = format!("{}{path}", broker.url());
        let head = client.head(&url).send().await.expect("it answers");
        assert_eq!((head.status().as_u16(), header(&head, "content-type")), (200, kind), "{path}");
        for verb in [Method::POST, Method::PUT, Method::DELETE] {
            let refused = client.request(verb.clone(), &url).send().await.expect("it answers");
            assert_eq!(refused.status(), 405, "{verb} {path}");
        }
    }
    for path in ["/console", "/console/", "/console/app.ts", "/console/../Cargo.toml", "/index.html"] {
        assert_eq!(get(&broker, path, None).await.status(), 404, "{path}");
    }
    broker.stop().await;
}
