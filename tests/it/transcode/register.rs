//! The page at which people register: it works without a script, and says what is wrong.

use serde_json::json;

use crate::harness::{ADA, ALICE, ANONYMOUS, Broker, CAROL, Provider, Visitor};

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_gets_an_account_and_its_key_once() {
    let broker = Broker::start().await;
    let visitor = Visitor::of(broker.url());
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
    let visitor = Visitor::of(broker.url());
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
    let large = visitor.posts("/register").header("content-type", kind).body(body);
    assert_eq!(visitor.shown(large).await.status, 413);
    let json = visitor.posts("/register").body("{}");
    assert_eq!(visitor.shown(json).await.status, 415);
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
    let visitor = Visitor::of(broker.url());
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

#[tokio::test(flavor = "multi_thread")]
async fn an_address_looks_ninety_times_a_minute_at_who_is_signed_in() {
    let provider = Provider::start().await;
    provider.knows(json!({"id": 7}));
    let broker = Broker::with(|config| {
        provider.stand_in(config, &["github"]);
        config.limits.rate_limits = true;
    })
    .await;
    let visitor = Visitor::of(broker.url());
    // There, back, and a first look.
    let shown = visitor.opens("/github/register").await;
    assert!(shown.page.contains("You are signed in"), "{}", shown.page);
    for i in 3..90 {
        assert_eq!(visitor.looks("/register").await.status, 200, "{i}");
    }
    let refused = visitor.looks("/register").await;
    assert!(refused.status == 429 && refused.headers.contains_key("retry-after"), "{}", refused.page);
    assert!(!refused.page.contains("You are signed in"), "{}", refused.page);
    let stranger = Visitor::of(broker.url());
    for i in 0..100 {
        assert_eq!(stranger.looks("/register").await.status, 200, "{i}: nothing is read for who is not");
    }
    broker.stop().await;
}
