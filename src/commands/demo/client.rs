//! A client of the JSON face, as an app would write one.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::time::sleep;

use super::sse::Parser;

/// How often something is asked for again: below the limits of calls.
const POLL: Duration = Duration::from_millis(150);

pub(super) struct Client {
    url: String,
    key: String,
    http: reqwest::Client,
}

/// One event of a request.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Event {
    pub kind: String,
    pub data: Value,
}

impl Event {
    pub fn text(&self, field: &str) -> String {
        self.data[field].as_str().unwrap_or_default().to_owned()
    }

    pub fn number(&self, field: &str) -> u64 {
        self.data[field].as_u64().unwrap_or_default()
    }
}

/// The events of one request.
pub(super) struct Events {
    response: Response,
    parser: Parser,
}

impl Events {
    /// The next event; `None` after `[DONE]`.
    pub async fn next(&mut self) -> anyhow::Result<Option<Event>> {
        loop {
            if let Some(frame) = self.parser.next() {
                if frame.data == "[DONE]" {
                    return Ok(None);
                }
                let data = serde_json::from_str(&frame.data).context("an event is no JSON")?;
                let event = Event { kind: frame.event, data };
                if event.kind == "error" {
                    bail!("the event stream broke: {}", event.text("message"));
                }
                return Ok(Some(event));
            }
            match self.response.chunk().await? {
                Some(chunk) => self.parser.push(&chunk),
                None => bail!("the event stream ended early"),
            }
        }
    }
}

impl Client {
    pub fn new(url: &str, key: &str) -> Self {
        Self { url: url.to_owned(), key: key.to_owned(), http: reqwest::Client::new() }
    }

    async fn get(&self, path: &str) -> anyhow::Result<Response> {
        let response = self.http.get(format!("{}{path}", self.url)).send().await?;
        expect(response, StatusCode::OK, path).await
    }

    /// Submits a request and returns its ID.
    pub async fn submit(&self, path: &str, body: &Value) -> anyhow::Result<String> {
        let call = self.http.post(format!("{}{path}", self.url)).header("apikey", &self.key).json(body);
        let answer: Value = expect(call.send().await?, StatusCode::ACCEPTED, path).await?.json().await?;
        answer["id"].as_str().map(str::to_owned).with_context(|| format!("{path} answered without an id"))
    }

    /// Follows a request.
    pub async fn watch(&self, id: &str) -> anyhow::Result<Events> {
        let response = self.get(&format!("/api/v2/generate/{id}/stream")).await?;
        Ok(Events { response, parser: Parser::default() })
    }

    /// Polls until the check of an image request says that it is done.
    pub async fn wait_until_done(&self, id: &str) -> anyhow::Result<()> {
        loop {
            let check: Value = self.get(&format!("/api/v2/generate/check/{id}")).await?.json().await?;
            if check["done"] == true {
                return Ok(());
            }
            sleep(POLL).await;
        }
    }

    /// The first image of a request.
    pub async fn image(&self, id: &str) -> anyhow::Result<Bytes> {
        let status: Value = self.get(&format!("/api/v2/generate/status/{id}")).await?.json().await?;
        let link = status["generations"][0]["img"].as_str().context("the status has no image")?;
        let response = self.http.get(link).send().await?;
        Ok(expect(response, StatusCode::OK, "the link of the image").await?.bytes().await?)
    }

    /// Polls until workers of these names are online.
    pub async fn wait_for_workers(&self, names: &[&str]) -> anyhow::Result<()> {
        loop {
            let online: Value = self.get("/api/v2/workers").await?.json().await?;
            let is_online =
                |name: &&str| online.as_array().is_some_and(|all| all.iter().any(|w| w["name"] == **name));
            if names.iter().all(is_online) {
                return Ok(());
            }
            sleep(POLL / 5).await;
        }
    }
}

async fn expect(response: Response, status: StatusCode, what: &str) -> anyhow::Result<Response> {
    if response.status() == status {
        return Ok(response);
    }
    let answered = response.status();
    let body: Value = response.json().await.unwrap_or_default();
    bail!("{what} answered {answered}: {}", body["message"].as_str().unwrap_or("no reason is given"));
}
