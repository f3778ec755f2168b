//! CORS, and the header of the key.

use reqwest::{Client, Method};
use serde_json::json;

use crate::harness::{ALICE, Broker};

#[tokio::test(flavor = "multi_thread")]
async fn every_page_may_call_by_default_and_read_errors_too() {
    let broker = Broker::start().await;
    let client = Client::new();
    for (verb, path, status) in [
        (Method::GET, "/api/v2/status/heartbeat", 200),
        (Method::GET, "/api/v2/workers/x", 404),
        (Method::GET, "/api/v2/nothing", 404),
        (Method::PUT, "/api/v2/generate/async", 405),
        (Method::POST, "/api/v2/generate/async", 400),
        (Method::GET, "/objects/x.webp", 403),
        (Method::GET, "/health", 200),
        (Method::OPTIONS, "/api/v2/generate/async", 200),
        (Method::OPTIONS, "/grid.v2.Generate/SubmitText", 200),
    ] {
        let url = format!("{}{path}", broker.url());
        let answer =
            client.request(verb.clone(), url).header("origin", "https://a.example").send().await.unwrap();
        let headers = answer.headers();
        assert_eq!(answer.status(), status, "{verb} {path}");
        assert_eq!(headers["access-control-allow-origin"], "*", "{verb} {path}");
        assert_eq!(headers["access-control-allow-methods"], "POST, GET, OPTIONS, PUT, DELETE, PATCH");
        let allowed = headers["access-control-allow-headers"].to_str().unwrap();
        for header in
            ["apikey", "Client-Agent", "X-Fields", "Content-Type", "X-Grpc-Web", "Last-Event-ID", "Prefer"]
        {
            assert!(allowed.split(", ").any(|name| name == header), "{header} in {allowed}");
        }
        let exposed = headers["access-control-expose-headers"].to_str().unwrap();
        assert!(exposed.contains("Grpc-Status") && exposed.contains("Retry-After"), "{exposed}");
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_listed_pages_may_call_when_they_are_listed() {
    let listed = ["https://a.example", "http://localhost:3000"];
    let broker = Broker::with(|config| config.api.cors_origins = listed.map(String::from).to_vec()).await;
    let client = Client::new();
    for (origin, allowed) in [
        (Some("https://a.example"), true),
        (Some("http://localhost:3000"), true),
        (Some("https://a.example:8443"), false),
        (Some("http://a.example"), false),
        (Some("https://b.example"), false),
        (Some("null"), false),
        (None, false),
    ] {
        for (verb, path) in
            [(Method::GET, "status/heartbeat"), (Method::OPTIONS, "generate/async"), (Method::GET, "nothing")]
        {
            let mut request = client.request(verb, format!("{}/api/v2/{path}", broker.url()));
            if let Some(origin) = origin {
                request = request.header("origin", origin);
            }
            let answer = request.send().await.unwrap();
            let told =
                answer.headers().get("access-control-allow-origin").map(|value| value.to_str().unwrap());
            assert_eq!(told, origin.filter(|_| allowed), "{origin:?} {path}");
            assert_eq!(answer.headers()["vary"], "Origin", "caches must not mix them");
        }
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_comes_in_the_header_that_is_set() {
    let broker = Broker::with(|config| config.api.api_key_header = "x-api-key".into()).await;
    let anyone = broker.json_without_key();
    let body = json!({"prompt": "x"});
    let send = async |header: &'static str| {
        let request = anyone.request(Method::POST, "/generate/text/async").header(header, ALICE).json(&body);
        anyone.send(request).await
    };
    assert_eq!(send("x-api-key").await.status, 202);
    assert_eq!(send("apikey").await.status, 400, "the other one is not looked at");
    let options = anyone.send(anyone.request(Method::OPTIONS, "/generate/async")).await;
    let allowed = options.headers["access-control-allow-headers"].to_str().unwrap();
    assert!(allowed.split(", ").any(|name| name == "x-api-key"), "browsers may send it: {allowed}");
    let mut client = broker.requester(ALICE).await.client;
    let message = gridbroker::rpc::pb::SubmitTextRequest { prompt: Some("x".into()), ..Default::default() };
    let mut request = tonic::Request::new(message.clone());
    request.metadata_mut().insert("x-api-key", ALICE.parse().unwrap());
    assert!(client.submit_text(request).await.is_ok(), "over gRPC as well");
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("apikey", ALICE.parse().unwrap());
    assert_eq!(
        client.submit_text(request).await.expect_err("it is refused").code(),
        tonic::Code::InvalidArgument
    );
    broker.stop().await;
}
