//! Whoever registers has to show that they are a person, if the operator wants it.

use serde_json::json;

use crate::harness::{A_PERSON, Broker, CAROL, Provider, SITE_KEY, Visitor};

const FIELD: &str = "g-recaptcha-response";

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_show_that_they_are_a_person_gets_no_account() {
    let provider = Provider::start().await;
    let broker = Broker::with(|config| provider.asks(config)).await;
    let visitor = Visitor::of(broker.url());
    let page = visitor.looks("/register").await;
    assert!(page.page.contains(&format!("data-sitekey=\"{SITE_KEY}\"")), "{}", page.page);
    let policy = |headers: &reqwest::header::HeaderMap| {
        headers["content-security-policy"].to_str().unwrap().to_owned()
    };
    let opened = policy(&page.headers);
    assert!(opened.contains("script-src https://www.google.com/recaptcha/ "), "{opened}");
    assert!(
        opened.starts_with("default-src 'none'; ") && opened.contains("frame-ancestors 'none'"),
        "{opened}"
    );
    let long = "x".repeat(9_000);
    for (answer, rule) in [
        (None, "no answer"),
        (Some(""), "an empty one"),
        (Some("a-program"), "a wrong one"),
        (Some(long.as_str()), "far too long"),
    ] {
        let mut form = vec![("username", "eve")];
        form.extend(answer.map(|answer| (FIELD, answer)));
        let refused = visitor.sends("/register", &form, &[]).await;
        assert_eq!((refused.status.as_u16(), refused.key()), (403, None), "{rule}: {}", refused.page);
        assert!(!policy(&refused.headers).contains("script-src"), "{rule}: no other page lets scripts in");
    }
    assert_eq!(provider.calls("/siteverify"), 1, "what cannot be right is not asked about");
    let form = [("username", "eve"), (FIELD, A_PERSON)];
    for (answer, rule) in [
        (Some((500, "{}")), "an error of its own"),
        (Some((200, "<html>")), "rubbish"),
        (Some((200, "{\"success\": \"true\"}")), "nearly a yes"),
        (Some((302, "/elsewhere")), "a redirection"),
    ] {
        provider.in_place_of_a_verdict(answer);
        let refused = visitor.sends("/register", &form, &[]).await;
        assert_eq!((refused.status.as_u16(), refused.key()), (503, None), "{rule}: {}", refused.page);
    }
    provider.in_place_of_a_verdict(None);
    let api = broker.json_without_key().post("/register", json!({"username": "eve"})).await;
    assert_eq!(api.verdict(), (403, "RegistrationClosed"), "there is no way round it: {}", api.body);
    let accounts = async || broker.json_without_key().get("/users").await.ok().as_array().unwrap().len();
    assert_eq!(accounts().await, 9, "nobody was made");
    let made = visitor.sends("/register", &form, &[]).await;
    assert!(made.key().is_some(), "{}", made.page);
    assert_eq!(accounts().await, 10);
    let rotated = visitor.sends("/register/key", &[("apikey", CAROL)], &[]).await;
    assert!(rotated.key().is_some(), "who has a key is not asked: {}", rotated.page);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_in_is_asked_as_well() {
    let mut provider = Provider::start().await;
    provider.knows(json!({"id": 7}));
    let broker = Broker::with(|config| {
        provider.asks(config);
        provider.stand_in(config, &["github"]);
    })
    .await;
    let visitor = Visitor::of(broker.url());
    let token = visitor.opens("/github/register").await.token();
    let form = [("username", "ada"), ("token", token.as_str())];
    let refused = visitor.sends("/register", &form, &[]).await;
    assert_eq!((refused.status.as_u16(), refused.key()), (403, None), "{}", refused.page);
    let passed = [("username", "ada"), ("token", token.as_str()), (FIELD, A_PERSON)];
    assert!(visitor.sends("/register", &passed, &[]).await.key().is_some());
    provider.falls().await;
    let refused = visitor.sends("/register", &passed, &[]).await;
    assert_eq!((refused.status.as_u16(), refused.key()), (503, None), "{}", refused.page);
    broker.stop().await;
}
