//! JSON over HTTP, as any legacy client speaks it.

use reqwest::{Method, RequestBuilder, header::HeaderMap};
use serde_json::Value;

use super::{PATIENCE, schema};

/// A client with a key.
#[derive(Clone)]
pub struct Json {
    client: reqwest::Client,
    base: String,
    key: Option<String>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body; null if it is no JSON.
    pub body: Value,
}

impl Answer {
    /// The `rc` of an error; empty if there is none.
    pub fn rc(&self) -> &str {
        self.body["rc"].as_str().unwrap_or_default()
    }

    /// The paths of a validation error, sorted.
    pub fn paths(&self) -> Vec<&str> {
        self.body["errors"].as_object().into_iter().flatten().map(|(path, _)| path.as_str()).collect()
    }

    /// The body of a call that must have succeeded.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.body);
        self.body
    }

    /// Status and `rc`, for comparing.
    pub fn verdict(&self) -> (u16, &str) {
        (self.status, self.rc())
    }
}

impl Json {
    pub(super) fn new(base: &str, key: Option<&str>) -> Self {
        let client = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client can be made");
        Self { client, base: base.to_owned(), key: key.map(str::to_owned) }
    }

    /// A request to a path under `/api/v2`, or to any path that begins with `//`.
    pub fn request(&self, verb: Method, path: &str) -> RequestBuilder {
        let url = match path.strip_prefix("//") {
            Some(plain) => format!("{}/{plain}", self.base),
            None => format!("{}/api/v2{path}", self.base),
        };
        let request = self.client.request(verb, url);
        match &self.key {
            Some(key) => request.header("apikey", key),
            None => request,
        }
    }

    /// Sends a request. An answer in JSON must be what the OpenAPI document says of it.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let (client, request) = request.build_split();
        let request = request.expect("it can be sent");
        let (verb, path) = (request.method().to_string(), request.url().path().to_owned());
        let is_masked = request.headers().contains_key("x-fields");
        let response = client.execute(request).await.expect("the broker answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.expect("the answer is whole");
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        // What was passed on is somebody else's word.
        let is_ours = !headers.contains_key("via");
        let is_json =
            headers.get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        if is_ours && is_json && !is_masked && verb != "HEAD" {
            assert_eq!(schema::offence(&verb, &path, status, &body), None);
        }
        Answer { status, headers, body }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// PUT.
    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(&body)).await
    }

    /// PATCH.
    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::PATCH, path).json(&body)).await
    }

    /// POST.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(Method::POST, path).json(&body)).await
    }

    /// POST of any text as JSON.
    pub async fn post_text(&self, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.request(Method::POST, path).header("content-type", "application/json");
        self.send(request.body(body)).await
    }
}
