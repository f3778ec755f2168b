//! Signing in elsewhere: a provider says who somebody is, and their account is theirs by that.

use gridbroker::config::Config;
use serde_json::json;

use crate::harness::{ADA, Broker, CLIENT_ID, Provider, Shown, Visitor};

const PASS: &str = "gridbroker-pass";
const SESSION: &str = "gridbroker-session";

/// A broker at which people sign in at these.
async fn broker(provider: &Provider, words: &[&str]) -> Broker {
    Broker::with(|config: &mut Config| provider.stand_in(config, words)).await
}

/// Registers as whoever is signed in.
async fn registers(visitor: &Visitor, name: &str) -> Shown {
    let token = visitor.looks("/register").await.token();
    let form = [("username", name), ("token", token.as_str())];
    visitor.sends("/register", &form, &[("sec-fetch-site", "same-origin")]).await
}

/// Whether a browser is signed in.
async fn is_signed_in(visitor: &Visitor) -> bool {
    visitor.looks("/register").await.page.contains("You are signed in")
}

/// Goes to the provider and is about to come back; where to.
async fn comes_back(visitor: &Visitor, word: &str) -> String {
    let sent = visitor.looks(&format!("/{word}/register")).await;
    assert_eq!(sent.status, 302, "{}", sent.page);
    let back = visitor.looks(sent.location().expect("it is sent on")).await;
    back.location().unwrap_or_else(|| panic!("the provider refuses: {}", back.status)).to_owned()
}

async fn accounts(broker: &Broker) -> usize {
    broker.json_without_key().get("/users").await.ok().as_array().expect("a list").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_in_gets_an_account_and_comes_back_for_another_key() {
    let provider = Provider::start().await;
    provider.knows(json!({"login": "ada", "id": 583231}));
    let broker = broker(&provider, &["github"]).await;
    let visitor = Visitor::of(broker.url());
    let page = visitor.looks("/register").await;
    assert!(
        page.page.contains("href=\"/github/register\"") && !page.page.contains("Google"),
        "{}",
        page.page
    );
    assert_eq!((page.token().as_str(), page.cookies().len()), ("", 0), "who only looks is not marked");
    let sent = visitor.looks("/github/register").await;
    assert_eq!((sent.status.as_u16(), &sent.headers["cache-control"]), (302, &"no-store".parse().unwrap()));
    let [pass] = sent.cookies()[..] else { panic!("{:?}", sent.cookies()) };
    assert!(pass.ends_with("; Path=/; Max-Age=600; HttpOnly; SameSite=Lax"), "{pass}");
    let place = sent.location().expect("it is sent on");
    assert!(place.starts_with(&provider.url("/authorize?")) && place.contains(CLIENT_ID), "{place}");
    assert!(!place.contains("secret") && !place.contains("verifier"), "{place}");
    let shown = visitor.opens("/github/register").await;
    assert!(shown.page.contains("GitHub knows you as <strong>583231</strong>"), "{}", shown.page);
    assert!(
        visitor.cookie(PASS).is_none() && visitor.cookie(SESSION).is_some(),
        "the pass has done its duty"
    );
    let made = registers(&visitor, "ada lovelace").await;
    let first = made.key().unwrap_or_else(|| panic!("{} {}", made.status, made.page)).to_owned();
    let account = broker.json(&first).get("/find_user").await.ok();
    assert_eq!((&account["username"], &account["pseudonymous"]), (&json!("ada lovelace#9"), &json!(false)));
    // From another browser, much later.
    let visitor = Visitor::of(broker.url());
    let shown = visitor.opens("/github/transfer").await;
    assert!(shown.page.contains("You are <strong>ada lovelace#9</strong>"), "{}", shown.page);
    let renamed = registers(&visitor, "ada").await;
    let second = renamed.key().expect("another key").to_owned();
    assert_eq!(broker.json(&first).get("/find_user").await.status, 404, "the key before stops");
    assert_eq!(broker.json(&second).get("/find_user").await.ok()["username"], "ada#9");
    let kept = registers(&visitor, "").await;
    let third = kept.key().expect("another key").to_owned();
    assert_eq!(broker.json(&third).get("/find_user").await.ok()["username"], "ada#9", "the name may stay");
    assert_eq!(registers(&visitor, "sh1t").await.key(), None);
    assert_eq!(broker.json(&third).get("/find_user").await.status, 200, "what is refused changes nothing");
    assert_eq!(accounts(&broker).await, 10, "it is one account");
    // Out again.
    let token = visitor.looks("/register").await.token();
    let out = visitor.sends("/sign-out", &[("token", &token)], &[]).await;
    assert_eq!((out.status.as_u16(), out.location()), (303, Some("/register")));
    assert!(visitor.cookie(SESSION).is_none() && !is_signed_in(&visitor).await);
    let other = visitor.sends("/register", &[("username", "nobody")], &[]).await;
    let other = broker.json(other.key().expect("a key")).get("/find_user").await.ok();
    assert_eq!((&other["username"], &other["pseudonymous"]), (&json!("nobody#10"), &json!(true)));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_account_needs_a_name_and_raids_keep_nobody_out_who_signs_in() {
    let provider = Provider::start().await;
    provider.knows(json!({"id": 7}));
    let broker = broker(&provider, &["github"]).await;
    broker.json(ADA).put("/status/modes", json!({"raid_mode": true})).await.ok();
    let visitor = Visitor::of(broker.url());
    visitor.opens("/github/register").await;
    for (name, status) in [("", 400), ("a#b", 400), ("sh1t", 200)] {
        let refused = registers(&visitor, name).await;
        assert_eq!((refused.status.as_u16(), refused.key()), (status, None), "{name:?}: {}", refused.page);
    }
    assert!(registers(&visitor, "ada").await.key().is_some());
    let stranger = Visitor::of(broker.url()).sends("/register", &[("username", "eve")], &[]).await;
    assert_eq!(stranger.status, 403, "others wait until it is over");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_otherwise_than_they_left_is_not_signed_in() {
    let provider = Provider::start().await;
    provider.knows(json!({"id": 7}));
    let broker = broker(&provider, &["github", "discord"]).await;
    let another = Visitor::of(broker.url());
    assert_eq!(another.looks("/github/register").await.status, 302);
    let pass_of_another = another.cookie(PASS).unwrap();
    let signed_in = Visitor::of(broker.url());
    signed_in.opens("/github/register").await;
    assert!(is_signed_in(&signed_in).await);
    let session = signed_in.cookie(SESSION).unwrap();
    let asked_before = provider.calls("/token");
    // What is done to the URL that the provider sends them to, and to the pass.
    let change = |rule: &str, back: String, visitor: &Visitor| -> String {
        let code = back.split_once("code=").unwrap().1.split('&').next().unwrap().to_owned();
        let state = back.split_once("state=").unwrap().1.to_owned();
        let pass = visitor.cookie(PASS).unwrap();
        match rule {
            "with another state" => back.replace(&state, "anotherstate0123456789"),
            "without a state" => back.replace(&format!("&state={state}"), ""),
            "with two states" => back.replace("?", "?state=x&"),
            "without a code" => back.replace(&format!("code={code}&"), ""),
            "having changed their mind" => back.replace(&format!("code={code}"), "error=access_denied"),
            "with another code" => back.replace(&code, "code-of-nobody"),
            "with a far too long code" => back.replace(&code, &"x".repeat(5000)),
            "to another provider's callback" => back.replace("/github/github/", "/discord/discord/"),
            "with another browser" => {
                visitor.forgets();
                back
            }
            "with a forged pass" => {
                // One more day.
                let (text, rest) = pass.split_once('.').unwrap();
                let (ends, signature) = rest.split_once('.').unwrap();
                let later = ends.parse::<i64>().unwrap() + 86_400_000;
                visitor.keeps(PASS, &format!("{text}.{later}.{signature}"));
                back
            }
            "with a pass of another go" => {
                visitor.keeps(PASS, &pass_of_another);
                back
            }
            "with a session for a pass" => {
                visitor.keeps(PASS, &session);
                back
            }
            other => panic!("{other}"),
        }
    };
    for (rule, status) in [
        ("with another state", 400),
        ("without a state", 400),
        ("with two states", 400),
        ("without a code", 403),
        ("having changed their mind", 403),
        ("with another code", 403),
        ("with a far too long code", 403),
        ("to another provider's callback", 400),
        ("with another browser", 400),
        ("with a forged pass", 400),
        ("with a pass of another go", 400),
        ("with a session for a pass", 400),
    ] {
        let visitor = Visitor::of(broker.url());
        let back = comes_back(&visitor, "github").await;
        let shown = visitor.looks(&change(rule, back, &visitor)).await;
        assert_eq!(shown.status.as_u16(), status, "{rule}: {}", shown.page);
        assert!(shown.page.contains("role=\"alert\""), "{rule}: {}", shown.page);
        assert!(visitor.cookie(SESSION).is_none() && !is_signed_in(&visitor).await, "{rule}");
        assert!(visitor.cookie(PASS).is_none(), "{rule}: one go is one go");
    }
    let asked = provider.calls("/token") - asked_before;
    assert_eq!(asked, 1, "the provider is asked about the one other code, and for nothing else");
    another.keeps(SESSION, &pass_of_another);
    assert!(!is_signed_in(&another).await, "a pass is no session");
    // Once is once.
    let visitor = Visitor::of(broker.url());
    let back = comes_back(&visitor, "github").await;
    let pass = visitor.cookie(PASS).unwrap();
    assert_eq!(visitor.looks(&back).await.location(), Some("/finish_dance"));
    assert!(is_signed_in(&visitor).await);
    let thief = Visitor::of(broker.url());
    assert_eq!(thief.looks(&back).await.status, 400, "without the pass");
    thief.keeps(PASS, &pass);
    assert_eq!(thief.looks(&back).await.status, 403, "the provider takes a code once");
    assert!(!is_signed_in(&thief).await);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_signed_in_by_a_provider_that_talks_rubbish_or_is_gone() {
    let mut provider = Provider::start().await;
    provider.knows(json!({"id": 7}));
    let broker = broker(&provider, &["github"]).await;
    let large = format!("{{\"id\": 7, \"bio\": \"{}\"}}", "x".repeat(70_000));
    let long_id = json!({"id": "7".repeat(41)}).to_string();
    let elsewhere = provider.url("/siteverify");
    for (token, person, status, rule) in [
        (Some((200, "<html>")), None, 502, "no JSON for a token"),
        (Some((200, "{}")), None, 502, "no token"),
        (Some((200, "")), None, 502, "nothing"),
        (Some((500, "{}")), None, 502, "an error of its own"),
        (Some((400, "{\"error\": \"invalid_grant\"}")), None, 403, "a no"),
        (Some((200, "{\"error\": \"bad_verification_code\"}")), None, 403, "a no that looks like a yes"),
        (Some((200, "{\"access_token\": \"a\\nb\", \"token_type\": \"bearer\"}")), None, 502, "no header"),
        (Some((302, elsewhere.as_str())), None, 502, "a way to somebody else"),
        (Some((200, large.as_str())), None, 502, "far too much"),
        (None, Some((200, "<html>")), 502, "no JSON for a person"),
        (None, Some((200, "{\"id\": \"<script>alert(1)</script>\"}")), 502, "markup for an ID"),
        (None, Some((200, "{\"id\": \"\"}")), 502, "an empty ID"),
        (None, Some((200, "{\"id\": {\"$gt\": 0}}")), 502, "no ID"),
        (None, Some((200, "{\"id\": 7.5}")), 502, "half an ID"),
        (None, Some((200, long_id.as_str())), 502, "too long an ID"),
        (None, Some((200, large.as_str())), 502, "a long story"),
        (None, Some((401, "{\"id\": 7}")), 502, "a person who is none"),
        (None, Some((302, elsewhere.as_str())), 502, "a way to somebody else for a person"),
    ] {
        provider.in_place_of_a_token(token);
        provider.in_place_of_a_person(person);
        let visitor = Visitor::of(broker.url());
        let shown = visitor.opens("/github/register").await;
        assert_eq!(shown.status.as_u16(), status, "{rule}: {}", shown.page);
        assert!(shown.page.contains("GitHub") && !shown.page.contains("<script"), "{rule}: {}", shown.page);
        assert!(!is_signed_in(&visitor).await, "{rule}");
    }
    assert_eq!(provider.calls("/siteverify"), 0, "no redirection is followed");
    provider.in_place_of_a_token(None);
    provider.in_place_of_a_person(None);
    let visitor = Visitor::of(broker.url());
    let back = comes_back(&visitor, "github").await;
    provider.falls().await;
    let shown = visitor.looks(&back).await;
    assert_eq!(shown.status, 502, "{}", shown.page);
    assert!(!is_signed_in(&visitor).await);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_of_others_change_nothing_of_who_is_signed_in() {
    let provider = Provider::start().await;
    provider.knows(json!({"id": 7}));
    let broker = broker(&provider, &["github"]).await;
    let visitor = Visitor::of(broker.url());
    visitor.opens("/github/register").await;
    let key = registers(&visitor, "ada").await.key().expect("a key").to_owned();
    let own = visitor.looks("/register").await.token();
    let stranger = Visitor::of(broker.url());
    provider.knows(json!({"id": 8}));
    let theirs = stranger.opens("/github/register").await.token();
    assert!(!own.is_empty() && !theirs.is_empty() && own != theirs);
    let here: &[(&'static str, &str)] = &[("sec-fetch-site", "same-origin")];
    for (token, headers, rule) in [
        (None, &[][..], "no token"),
        (None, here, "no token, and yet from here"),
        (Some(""), here, "an empty one"),
        (Some(theirs.as_str()), here, "somebody else's"),
        (Some(&own[..42]), here, "a part of it"),
        (Some(&own), &[("sec-fetch-site", "cross-site")], "another site"),
        (Some(&own), &[("origin", "https://evil.example")], "the same, told otherwise"),
    ] {
        for path in ["/register", "/sign-out"] {
            let mut form = vec![("username", "eve")];
            form.extend(token.map(|token| ("token", token)));
            let refused = visitor.sends(path, &form, headers).await;
            assert_eq!(
                (refused.status.as_u16(), refused.key()),
                (403, None),
                "{path}, {rule}: {}",
                refused.page
            );
        }
    }
    assert_eq!(broker.json(&key).get("/find_user").await.ok()["username"], "ada#9");
    // Who is no longer signed in does not become somebody else by sending the form that they have.
    let session = visitor.cookie(SESSION).unwrap();
    for (kept, rule) in [(None, "it is over"), (Some(format!("{session}A")), "it is forged")] {
        visitor.forgets();
        kept.iter().for_each(|kept| visitor.keeps(SESSION, kept));
        assert!(!is_signed_in(&visitor).await, "{rule}");
        let refused = visitor.sends("/register", &[("username", "ada"), ("token", &own)], here).await;
        assert_eq!((refused.status.as_u16(), refused.key()), (403, None), "{rule}: {}", refused.page);
    }
    assert_eq!(accounts(&broker).await, 10, "nobody was made");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_ends_the_sessions_that_were_copied_before() {
    let provider = Provider::start().await;
    provider.knows(json!({"id": 7}));
    let broker = broker(&provider, &["github"]).await;
    let here: &[(&'static str, &str)] = &[("sec-fetch-site", "same-origin")];
    let owner = Visitor::of(broker.url());
    let token = owner.opens("/github/register").await.token();
    let form = [("username", ""), ("token", token.as_str())];
    let holds = async |key: &str| broker.json(key).get("/find_user").await.status == 200;
    // Copied before there was an account.
    let early = owner.cookie(SESSION).unwrap();
    let first = registers(&owner, "ada").await.key().expect("a key").to_owned();
    let renewed = owner.cookie(SESSION).unwrap();
    assert!(renewed != early && is_signed_in(&owner).await, "who got the key stays signed in");
    assert_eq!(owner.looks("/register").await.token(), token, "and open forms stay good");
    let thief = Visitor::of(broker.url());
    thief.keeps(SESSION, &early);
    let refused = thief.sends("/register", &form, here).await;
    assert_eq!((refused.status.as_u16(), refused.key()), (403, None), "{}", refused.page);
    assert!(!is_signed_in(&thief).await && thief.cookie(SESSION).is_none(), "it is forgotten");
    // Copied after that, and used before the owner knows.
    thief.keeps(SESSION, &renewed);
    let stolen = thief.sends("/register", &form, here).await.key().expect("a key").to_owned();
    assert!(holds(&stolen).await && !holds(&first).await);
    let refused = owner.sends("/register", &form, here).await;
    assert_eq!((refused.status.as_u16(), refused.key()), (403, None), "{}", refused.page);
    // The owner signs in again and takes another key: that is the end of it.
    let token = owner.opens("/github/register").await.token();
    let again = [("username", ""), ("token", token.as_str())];
    let second = owner.sends("/register", &again, here).await.key().expect("a key").to_owned();
    assert!(holds(&second).await && !holds(&stolen).await);
    let latest = thief.cookie(SESSION).unwrap();
    for kept in [&early, &renewed, &latest] {
        thief.keeps(SESSION, kept);
        let refused = thief.sends("/register", &form, here).await;
        assert_eq!((refused.status.as_u16(), refused.key()), (403, None), "{}", refused.page);
        assert!(!is_signed_in(&thief).await);
    }
    assert!(holds(&second).await, "nothing of that changed the key");
    // A key for a key ends them as well.
    assert!(is_signed_in(&owner).await);
    let third = owner.sends("/register/key", &[("apikey", &second)], here).await;
    assert!(third.key().is_some() && !is_signed_in(&owner).await);
    assert_eq!(accounts(&broker).await, 10, "nobody else was made");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_sent_to_known_pages_of_this_server_alone() {
    let provider = Provider::start().await;
    let broker = broker(&provider, &["github"]).await;
    let visitor = Visitor::of(broker.url());
    for (path, status) in [
        ("/github/register", 302),
        ("/github/transfer", 302),
        ("/github/elsewhere", 404),
        ("/github/", 404),
        ("/github", 404),
        ("/github/..%2Fregister", 404),
        ("/github/%2F%2Fevil.example", 404),
        ("/github/https:%2F%2Fevil.example", 404),
        ("/github/register%00", 404),
        ("/github/register/..%2F..", 404),
        ("/github/github/register", 404),
        ("/google/register", 404),
        ("/google/google/authorized", 404),
        ("/gitlab/register", 404),
        ("/github/github/authorized", 400),
        ("/finish_dance", 302),
        ("/finish_dance?next=https://evil.example", 302),
    ] {
        let shown = visitor.looks(path).await;
        assert_eq!(shown.status.as_u16(), status, "{path}: {}", shown.page);
        let place = shown.location().unwrap_or("/register");
        let is_known = place == "/register" || place.starts_with(&provider.url("/authorize?"));
        assert!(is_known, "{path} leads to {place}");
    }
    broker.stop().await;
    let bare = Broker::start().await;
    let visitor = Visitor::of(bare.url());
    for path in [
        "/google/register",
        "/discord/register",
        "/github/register",
        "/github/github/authorized?code=x&state=y",
        "/finish_dance",
    ] {
        assert_eq!(visitor.looks(path).await.status, 404, "{path}");
    }
    assert_eq!(visitor.sends("/sign-out", &[], &[]).await.status, 404);
    assert!(!visitor.looks("/register").await.page.contains("Sign in"));
    bare.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_number_at_two_providers_is_two_people() {
    let provider = Provider::start().await;
    provider.knows(json!({"id": "117", "sub": "117"}));
    let broker = broker(&provider, &["google", "discord", "github"]).await;
    let mut names = Vec::new();
    for word in ["google", "discord", "github", "google"] {
        let visitor = Visitor::of(broker.url());
        let shown = visitor.opens(&format!("/{word}/register")).await;
        assert!(shown.page.contains("<strong>117</strong>"), "{word}: {}", shown.page);
        let key = registers(&visitor, word).await.key().expect("a key").to_owned();
        names.push(broker.json(&key).get("/find_user").await.ok()["username"].as_str().unwrap().to_owned());
    }
    assert_eq!(names, ["google#9", "discord#10", "github#11", "google#9"]);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_registers_in_many_windows_at_once_has_one_account() {
    let provider = Provider::start().await;
    provider.knows(json!({"id": 7}));
    let broker = broker(&provider, &["github"]).await;
    let mut windows = Vec::new();
    for _ in 0..6 {
        let visitor = Visitor::of(broker.url());
        let shown = visitor.opens("/github/register").await;
        assert!(shown.page.contains("A new account"));
        windows.push((visitor, shown.token()));
    }
    let sent = windows.iter().map(|(window, token)| async move {
        window.sends("/register", &[("username", "ada"), ("token", token)], &[]).await
    });
    let sent = futures_util::future::join_all(sent).await;
    for shown in &sent {
        // Who comes a moment after another one's key is told so.
        let is_late = shown.status == 403 && shown.page.contains("no longer signed in");
        let is_done = shown.page.contains("<strong>ada#9</strong>") && shown.key().is_some();
        assert!(is_done || is_late, "{}", shown.page);
    }
    assert_eq!(accounts(&broker).await, 10);
    let mut valid = 0;
    for key in sent.iter().filter_map(Shown::key) {
        valid += usize::from(broker.json(key).get("/find_user").await.status == 200);
    }
    assert_eq!(valid, 1, "the last key is the one that holds");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_https_cookies_belong_to_the_host_and_people_come_back_to_the_public_url() {
    let provider = Provider::start().await;
    provider.knows(json!({"id": 7}));
    let public = "https://grid.example.org";
    let broker = Broker::with(|config| {
        provider.stand_in(config, &["github"]);
        config.server.public_url = Some(format!("{public}/"));
    })
    .await;
    let visitor = Visitor::behind(broker.url(), public);
    let sent = visitor.looks("/github/register").await;
    let [pass] = sent.cookies()[..] else { panic!("{:?}", sent.cookies()) };
    assert!(pass.starts_with("__Host-gridbroker-pass=") && pass.ends_with("; Secure"), "{pass}");
    let back = comes_back(&visitor, "github").await;
    assert!(back.starts_with(&format!("{public}/github/github/authorized?code=")), "{back}");
    let shown = visitor.looks(&back).await;
    let session = shown.cookies().into_iter().find(|cookie| cookie.contains("session")).expect("a session");
    assert!(session.starts_with("__Host-gridbroker-session=") && session.ends_with("; Secure"), "{session}");
    // A cookie that a neighbour could have set counts for nothing.
    let (_, value) = session.split_once('=').unwrap();
    let neighbour = Visitor::of(broker.url());
    neighbour.keeps(SESSION, value.split(';').next().unwrap());
    assert!(is_signed_in(&visitor).await && !is_signed_in(&neighbour).await);
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_begins_ninety_times_a_minute() {
    let provider = Provider::start().await;
    let broker = Broker::with(|config| {
        provider.stand_in(config, &["github"]);
        config.limits.rate_limits = true;
    })
    .await;
    let visitor = Visitor::of(broker.url());
    for i in 0..90 {
        assert_eq!(visitor.looks("/github/register").await.status, 302, "{i}");
    }
    let refused = visitor.looks("/github/register").await;
    assert!(refused.status == 429 && refused.headers.contains_key("retry-after"), "{}", refused.page);
    assert_eq!(visitor.looks("/github/github/authorized?code=x&state=y").await.status, 429);
    assert!(visitor.sends("/register", &[("username", "eve")], &[]).await.key().is_some());
    broker.stop().await;
}
