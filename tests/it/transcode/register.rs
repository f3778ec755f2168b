//! The page at which people register: it works without a script, and says what is wrong.

use reqwest::{Client, StatusCode, header};
use serde_json::json;

use crate::harness::{ADA, ALICE, ANONYMOUS, Broker, CAROL};

/// A browser without scripts.
struct Visitor {
    client: Client,
    url: String,
}

/// What it is shown.
struct Shown {
    status: StatusCode,
    headers: header::HeaderMap,
    page: String,
}

impl Shown {
    /// What stands in the element that programs look for.
    fn key(&self) -> Option<&str> {
        let (_, rest) = self.page.split_once("<code class=\"ah-api-key\">")?;
        Some(rest.split_once("</code>")?.0)
    }
}

impl Visitor {
    fn of(broker: &Broker) -> Self {
        Self { client: Client::new(), url: broker.url().to_owned() }
    }

    async fn opens(&self, path: &str) -> Shown {
        shown(self.client.get(format!("{}{path}", self.url))).await
    }

    async fn sends(&self, path: &str, fields: &[(&str, &str)], headers: &[(&'static str, &str)]) -> Shown {
        let mut form = form_urlencoded::Serializer::new(String::new());
        for (name, value) in fields {
            form.append_pair(name, value);
        }
        let mut request = self.client.post(format!("{}{path}", self.url));
        request = request.header("content-type", "application/x-www-form-urlencoded").body(form.finish());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        shown(request).await
    }
}

async fn shown(request: reqwest::RequestBuilder) -> Shown {
    let answer = request.send().await.expect("the broker answers");
    let (status, headers) = (answer.status(), answer.headers().clone());
    Shown { status, headers, page: answer.text().await.expect("a page is text") }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_gets_an_account_and_its_key_once() {
    let broker = Broker::start().await;
    let visitor = Visitor::of(&broker);
    let page = visitor.opens("/register").await;
    assert_eq!(page.status, 200);
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'self'; form-action 'self'"), "{policy}");
    assert!(
        !page.page.contains("<script") && page.page.contains("<label for=\"username\">"),
        "{}",
        page.page
    );
    let style = visitor.opens("/pages/style.css").await;
    assert_eq!(
        (style.status.as_u16(), &style.headers["content-type"]),
        (200, &"text/css; charset=utf-8".parse().unwrap())
    );
    let made =
        visitor.sends("/register", &[("username", " E<v>e ")], &[("sec-fetch-site", "same-origin")]).await;
    assert_eq!(made.status, 200, "{}", made.page);
    assert_eq!(made.headers["cache-control"], "no-store");
    let key = made.key().expect("a key").to_owned();
    assert!(!made.page.contains("<v>"), "names are no markup: {}", made.page);
    let account = broker.json(&key).get("/find_user").await.ok();
    assert_eq!((&account["username"], &account["pseudonymous"]), (&json!("E&lt;v&gt;e#9"), &json!(true)));
    let rotated = visitor.sends("/register/key", &[("apikey", &key)], &[]).await;
    let new = rotated.key().expect("another key").to_owned();
    assert_eq!(broker.json(&key).get("/find_user").await.status, 404);
    assert_eq!(broker.json(&new).get("/find_user").await.ok()["id"], 9);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_said_on_the_page() {
    let broker = Broker::start().await;
    let visitor = Visitor::of(&broker);
    let long = "x".repeat(300);
    for (path, fields, headers, status, rule) in [
        ("/register", &[("username", "sh1t")][..], &[][..], 200, "a name that nobody wants"),
        ("/register", &[("username", "  ")], &[], 400, "no name"),
        ("/register", &[], &[], 400, "no field"),
        ("/register", &[("username", long.as_str())], &[], 400, "far too long"),
        ("/register", &[("username", "a#b")], &[], 400, "with a hash"),
        ("/register", &[("username", "a\0b")], &[], 400, "with NUL"),
        ("/register", &[("username", "eve")], &[("sec-fetch-site", "cross-site")], 403, "from another page"),
        (
            "/register",
            &[("username", "eve")],
            &[("origin", "https://evil.example")],
            403,
            "the same, told otherwise",
        ),
        ("/register/key", &[("apikey", "nobody-has-this")], &[], 401, "nobody's key"),
        ("/register/key", &[("apikey", ANONYMOUS)], &[], 403, "everybody's"),
    ] {
        let page = visitor.sends(path, fields, headers).await;
        assert_eq!(page.status.as_u16(), status, "{rule}: {}", page.page);
        assert!(page.page.contains("role=\"alert\"") && page.key().is_none(), "{rule}: {}", page.page);
    }
    let body = "x=".to_owned() + &"y".repeat(20_000);
    let kind = "application/x-www-form-urlencoded";
    let large =
        visitor.client.post(format!("{}/register", visitor.url)).header("content-type", kind).body(body);
    assert_eq!(shown(large).await.status, 413);
    let json = visitor.client.post(format!("{}/register", visitor.url)).body("{}");
    assert_eq!(shown(json).await.status, 415);
    // While many attack.
    broker.json(ADA).put("/status/modes", json!({"raid_mode": true})).await.ok();
    let refused = visitor.sends("/register", &[("username", "late")], &[]).await;
    assert_eq!((refused.status.as_u16(), refused.key()), (403, None));
    let rotated = visitor.sends("/register/key", &[("apikey", CAROL)], &[]).await;
    assert!(rotated.key().is_some(), "who has an account may change its key");
    assert_eq!(broker.json(ALICE).get("/find_user").await.status, 200);
    let accounts = broker.json_without_key().get("/users").await.ok();
    assert_eq!(accounts.as_array().unwrap().len(), 9, "nobody was made");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_makes_ten_accounts_an_hour() {
    let broker = Broker::with(|config| config.limits.rate_limits = true).await;
    let visitor = Visitor::of(&broker);
    for i in 0..10 {
        let made = visitor.sends("/register", &[("username", &format!("visitor {i}"))], &[]).await;
        assert!(made.key().is_some(), "{}", made.page);
    }
    let refused = visitor.sends("/register", &[("username", "late")], &[]).await;
    assert_eq!((refused.status.as_u16(), refused.key()), (429, None));
    assert!(refused.headers.contains_key("retry-after"));
    let api = broker.json_without_key().post("/register", json!({"username": "late"})).await;
    assert_eq!(api.status, 429, "by whichever way: {}", api.body);
    broker.stop().await;
}
