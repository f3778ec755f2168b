//! Documents about the API: what they say is what the protos say, and every route is in both.

use std::collections::BTreeSet;

use gridbroker::{
    rpc::{
        pb::Reason,
        rules::{Caller, METHODS},
    },
    transcode::{OPENAPI, SWAGGER},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{ALICE, BOB, Broker, schema};

fn openapi() -> Value {
    serde_json::from_str(OPENAPI).expect("it is JSON")
}

fn swagger() -> Value {
    serde_json::from_str(SWAGGER).expect("it is JSON")
}

/// Verb and path of all operations of a document, with what stands before its paths.
fn routes(document: &Value) -> BTreeSet<String> {
    let base = document["basePath"].as_str().unwrap_or_default();
    let paths = document["paths"].as_object().expect("there are paths");
    let of = |(path, operations): (&String, &Value)| {
        let verbs = operations.as_object().expect("a path has operations").keys();
        verbs.map(|verb| format!("{} {base}{path}", verb.to_uppercase())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}

#[test]
fn every_route_of_the_protos_is_in_both_documents_and_nothing_else() {
    let bindings = METHODS.iter().flat_map(|method| method.bindings);
    let mut bound: BTreeSet<String> =
        bindings.map(|binding| format!("{} {}", binding.verb, binding.path)).collect();
    bound.insert("POST /api/v2/generate/preview/{id}".into());
    assert!(bound.len() > 30);
    assert_eq!(routes(&openapi()), bound);
    assert_eq!(routes(&swagger()), bound);
}

#[test]
fn operations_say_who_may_call_how_often_and_what_is_answered() {
    let document = openapi();
    let mut ids = BTreeSet::new();
    for method in METHODS {
        for binding in method.bindings {
            let operation = &document["paths"][binding.path][binding.verb.to_lowercase()];
            let at = format!("{} {}", binding.verb, binding.path);
            assert!(ids.insert(operation["operationId"].as_str().expect(&at)), "{at}: its ID is its own");
            assert_eq!(operation["x-grpc"], method.path, "{at}");
            let words = operation["summary"].as_str().expect(&at);
            assert!(!words.is_empty() && !operation["description"].as_str().expect(&at).is_empty(), "{at}");
            let needs_key = !matches!(method.caller, Caller::Anyone | Caller::KeyOptional);
            let security = match method.caller {
                Caller::Anyone => json!([]),
                Caller::KeyOptional => json!([{}, {"ApiKey": []}]),
                _ => json!([{"ApiKey": []}]),
            };
            assert_eq!(operation["security"], security, "{at}");
            let responses = operation["responses"].as_object().expect(&at);
            assert_eq!(responses.contains_key("401"), needs_key || says(operation, "InvalidAPIKey"), "{at}");
            assert_eq!(
                responses.contains_key("429"),
                !method.limits.is_empty() || says(operation, "TooManyPrompts"),
                "{at}"
            );
            let done = &responses[&method.success_status.to_string()];
            assert!(done["content"].as_object().is_some_and(|content| !content.is_empty()), "{at}");
            assert_eq!(done["headers"].get("X-RateLimit-Limit").is_some(), !method.limits.is_empty(), "{at}");
            assert_eq!(operation.get("requestBody").is_some(), binding.has_body, "{at}");
            let named: BTreeSet<&str> = operation["parameters"]
                .as_array()
                .expect(&at)
                .iter()
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| parameter["name"].as_str().expect(&at))
                .collect();
            let captured: BTreeSet<&str> = binding
                .path
                .split('/')
                .filter_map(|part| part.strip_prefix('{').and_then(|part| part.strip_suffix('}')))
                .collect();
            assert_eq!(named, captured, "{at}: what stands in the path is a parameter");
        }
    }
}

fn says(operation: &Value, rc: &str) -> bool {
    operation["description"].as_str().is_some_and(|words| words.contains(rc))
        || operation["x-caller"].is_null()
        || operation["responses"].as_object().is_some_and(|responses| {
            responses.values().any(|response| {
                response["x-return-codes"].as_array().is_some_and(|codes| codes.iter().any(|code| code == rc))
            })
        })
}

#[test]
fn every_return_code_is_told_with_its_status_and_when_it_comes() {
    let document = openapi();
    let told = document["components"]["schemas"]["ReturnCode"]["x-return-codes"].as_object().expect("codes");
    let reasons: Vec<Reason> = (1..1000).filter_map(|number| Reason::try_from(number).ok()).collect();
    assert_eq!(told.len(), reasons.len());
    for reason in reasons {
        let said = &told[reason.rc()];
        assert_eq!(said["status"], reason.http(), "{}", reason.rc());
        assert!(said["description"].as_str().is_some_and(|words| !words.is_empty()), "{}", reason.rc());
    }
}

#[test]
fn bounds_defaults_and_choices_are_those_of_the_fields() {
    let document = openapi();
    let schemas = &document["components"]["schemas"];
    let submit = &schemas["SubmitImageRequest"];
    assert!(submit["required"].as_array().is_some_and(|names| names.contains(&json!("prompt"))), "{submit}");
    let pop = &schemas["PopImageRequest"]["properties"];
    for (name, rules) in [
        ("max_pixels", json!({"default": 262_144, "minimum": 0, "type": "integer", "format": "int64"})),
        ("threads", json!({"default": 1, "minimum": 1, "maximum": 50, "type": "integer", "format": "int32"})),
        ("nsfw", json!({"default": true, "type": "boolean"})),
        (
            "models",
            json!({"type": "array", "maxItems": 10_000, "items": {"type": "string", "minLength": 3, "maxLength": 255}}),
        ),
    ] {
        let mut found = pop[name].clone();
        let words = found.as_object_mut().and_then(|schema| schema.remove("description"));
        assert!(words.is_some_and(|words| words.as_str() != Some("")), "{name} is described");
        assert_eq!(found, rules, "{name}");
    }
    let user = &schemas["UserDetails"];
    let is_always_there =
        |name: &str| user["required"].as_array().is_some_and(|names| names.contains(&json!(name)));
    assert!(is_always_there("username") && !is_always_there("evaluating_kudos"));
    assert_eq!(schemas["PopImageResponse"]["properties"]["id"]["type"], json!(["string", "null"]));
    let older = &swagger()["definitions"]["PopImageResponse"]["properties"]["id"];
    assert_eq!((&older["type"], &older["x-nullable"]), (&json!("string"), &json!(true)));
}

#[test]
fn a_body_that_is_not_what_the_document_says_is_found_out() {
    let sound = json!({"finished": 0, "processing": 0, "restarted": 0, "waiting": 2, "done": false, "faulted": false,
        "wait_time": 3, "queue_position": 1, "kudos": 1.0, "is_possible": false});
    let told = |change: &dyn Fn(&mut Value)| {
        let mut body = sound.clone();
        change(&mut body);
        schema::offence("GET", "/api/v2/generate/check/x", 200, &body)
    };
    assert_eq!(told(&|_| {}), None);
    for (name, value, rule) in [
        ("done", None, "missing"),
        ("more", Some(json!(1)), "not declared"),
        ("kudos", Some(json!(1)), "a number has a fraction"),
        ("waiting", Some(json!(1.5)), "an integer has none"),
        ("done", Some(Value::Null), "not nullable"),
        ("done", Some(json!("yes")), "another type"),
    ] {
        let offence = told(&|body| {
            let body = body.as_object_mut().expect("an object");
            match &value {
                Some(value) => drop(body.insert(name.to_owned(), value.clone())),
                None => drop(body.remove(name)),
            }
        });
        assert!(offence.is_some(), "{rule}");
    }
    let refusal = schema::offence("GET", "/api/v2/generate/check/x", 404, &json!({"rc": "RequestNotFound"}));
    assert!(refusal.is_some(), "a refusal has a message");
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_served_with_the_title_that_is_set() {
    let broker = Broker::with(|config| config.documents.title = "Our grid".into()).await;
    let anyone = broker.json_without_key();
    for (name, version) in [("openapi.json", json!("3.1.0")), ("swagger.json", Value::Null)] {
        let answer = anyone.get(&format!("//api/{name}")).await;
        assert_eq!(answer.status, 200, "{name}");
        let info = &answer.body["info"];
        assert_eq!((&info["title"], &info["version"]), (&json!("Our grid"), &json!("2.5")), "{name}");
        assert_eq!(answer.body["openapi"], version, "{name}");
        assert_eq!(
            answer.headers["access-control-allow-origin"], "*",
            "{name}: tools of other origins read it"
        );
        let known = anyone
            .request(Method::GET, &format!("//api/{name}"))
            .header("if-none-match", &answer.headers["etag"]);
        assert_eq!(anyone.send(known).await.status, 304, "{name}");
        let options = anyone.send(anyone.request(Method::OPTIONS, &format!("//api/{name}"))).await;
        assert_eq!(options.status, 200, "{name}");
    }
    let swagger = anyone.get("//api/swagger.json").await.body;
    assert_eq!((&swagger["swagger"], &swagger["basePath"]), (&json!("2.0"), &json!("/api")));
    assert!(
        swagger["paths"].as_object().is_some_and(|paths| paths.keys().all(|path| path.starts_with("/v2/")))
    );
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_html_alone_and_can_be_searched() {
    let broker = Broker::start().await;
    let client =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    let get =
        async |path: &str| client.get(format!("{}{path}", broker.url())).send().await.expect("it answers");
    let moved = get("/api").await;
    assert_eq!(
        (moved.status().as_u16(), &moved.headers()["location"]),
        (308, &"/api/".parse().expect("a header"))
    );
    let page = get("/api/").await;
    assert_eq!(page.status(), 200);
    let policy = page.headers()["content-security-policy"].to_str().expect("text").to_owned();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("script"),
        "{policy}"
    );
    let html = page.text().await.expect("it is whole");
    assert!(
        !html.contains("<script") && !html.contains("src=") && !html.contains(" style="),
        "no script, nothing from elsewhere"
    );
    for method in METHODS {
        for binding in method.bindings {
            assert!(html.contains(&format!("<code>{}</code>", binding.path)), "{}", binding.path);
        }
    }
    let links = html.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next());
    for link in links {
        assert!(html.contains(&format!("id=\"{link}\"")), "#{link} leads nowhere");
    }
    let found = get("/api/?q=find_user").await.text().await.expect("it is whole");
    assert!(found.contains("id=\"Users_FindUser\"") && !found.contains("id=\"Generate_SubmitImage\""));
    let nothing = get("/api/?q=%3Cscript%3E").await.text().await.expect("it is whole");
    assert!(nothing.contains("&lt;script&gt;") && !nothing.contains("<script"), "a search is no markup");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_lines_as_the_document_says() {
    let broker = Broker::with(|config| config.api.long_poll_timeout = 0).await;
    let (alice, bob) = (broker.json(ALICE), broker.json(BOB));
    let id = alice.post("/generate/text/async", json!({"prompt": "x"})).await.ok()["id"]
        .as_str()
        .expect("an ID")
        .to_owned();
    let job =
        bob.post("/generate/text/pop", json!({"name": "scribe", "models": ["mock/echo-7b"]})).await.ok();
    bob.post("/generate/text/submit", json!({"id": job["id"], "generation": "y"})).await.ok();
    let watch = alice
        .request(Method::GET, &format!("/generate/{id}/stream"))
        .header("accept", "application/x-ndjson");
    let lines = watch.send().await.expect("it answers").text().await.expect("it ends");
    let document = openapi();
    let schema = &document["paths"]["/api/v2/generate/{id}/stream"]["get"]["responses"]["200"]["content"]["application/x-ndjson"]
        ["schema"];
    let mut count = 0;
    for line in lines.lines().filter(|line| !line.is_empty()) {
        let event: Value = serde_json::from_str(line).expect("a line is JSON");
        assert_eq!(schema::fits(schema, &event, true), Ok(()), "{line}");
        count += 1;
    }
    assert!(count >= 4, "{lines}");
    broker.stop().await;
}
