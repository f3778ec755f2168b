//! Requests to a store of objects, and what it answers.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use reqwest::{Client, Response, Url, redirect::Policy};
use tokio::time::Instant;

use super::{Tries, Trouble, trouble};
use crate::backend::Failure;

/// Longest that a connection takes.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest silence while something is under way.
const SILENCE: Duration = Duration::from_secs(10);
/// Longest that one try takes: some 2 MB a second.
const TRY: Duration = Duration::from_secs(30);
/// How long something is tried again that fails in passing.
const AGAIN: Duration = Duration::from_secs(10);
/// Waits between two tries: the first, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(2)];
/// As much of a refusal is read.
const REFUSAL: usize = 4096;

/// Sends requests.
pub(super) struct Exchange {
    client: Client,
}

impl Exchange {
    /// Over connections that are kept for the next one.
    pub fn new() -> Result<Self, Failure> {
        let client = Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .timeout(TRY)
            .pool_idle_timeout(Duration::from_secs(20))
            // A link is signed for one place.
            .redirect(Policy::none())
            .build()?;
        Ok(Self { client })
    }

    /// Sends a request, signed anew for each try, until there is an answer that does not merely say that
    /// the store is overworked. Doing it twice does no harm.
    pub async fn send(
        &self,
        method: Method,
        sign: impl Fn() -> Url,
        headers: &HeaderMap,
        content: Option<Bytes>,
        tries: Tries,
    ) -> Result<Answer, Trouble> {
        let deadline = Instant::now() + AGAIN;
        let [mut pause, longest] = PAUSES;
        loop {
            let request = self.client.request(method.clone(), sign()).headers(headers.clone());
            let request = match content.clone() {
                Some(content) => request.body(content),
                None => request,
            };
            let trouble = match request.send().await {
                Ok(answer) => match Answer(answer).or_away().await {
                    Ok(answer) => return Ok(answer),
                    Err(trouble) => trouble,
                },
                Err(error) => unanswered(&error),
            };
            if tries == Tries::One || !trouble.is_passing() || Instant::now() + pause >= deadline {
                return Err(trouble);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }
}

/// Without its URL, which is a key for a minute.
fn unanswered(error: &reqwest::Error) -> Trouble {
    let mut words = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(rustls::Error::InvalidCertificate(why)) = error.downcast_ref() {
            return Trouble::Odd(format!("its certificate is not accepted: {why}"));
        }
        words = vec![error.to_string()];
        cause = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    if words.is_empty() || error.is_timeout() {
        words = vec![if error.is_timeout() { "it took too long" } else { "the exchange broke off" }.into()];
    }
    Trouble::Away(words.concat())
}

/// An answer, of which the body is not read yet.
pub(super) struct Answer(Response);

impl Answer {
    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// One of its headers, if it is plain text.
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        self.0.headers().get(name)?.to_str().ok()
    }

    async fn or_away(self) -> Result<Self, Trouble> {
        let status = self.status();
        let may_pass = status.is_server_error()
            || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        if may_pass { Err(self.refusal().await) } else { Ok(self) }
    }

    async fn refusal(mut self) -> Trouble {
        let body = self.first(REFUSAL).await.unwrap_or_default();
        Trouble::of(self.status(), &body)
    }

    /// The answer, if its status is among these.
    pub async fn expect(self, fit: &[StatusCode]) -> Result<Self, Trouble> {
        if fit.contains(&self.status()) { Ok(self) } else { Err(self.refusal().await) }
    }

    /// The same; `None` if there is no such object. That the bucket is gone is something else.
    pub async fn unless_missing(self, fit: &[StatusCode]) -> Result<Option<Self>, Trouble> {
        if self.status() != StatusCode::NOT_FOUND {
            return self.expect(fit).await.map(Some);
        }
        match self.refusal().await {
            Trouble::Refused { code, .. } if code != "NoSuchBucket" => Ok(None),
            trouble => Err(trouble),
        }
    }

    /// The whole body, which must not be larger than this.
    pub async fn body(&mut self, most: usize) -> Result<Bytes, Trouble> {
        let body = self.first(most.saturating_add(1)).await?;
        match body.len() > most {
            true => Err(Trouble::Odd(format!("an object of more than {most} bytes is too large"))),
            false => Ok(body),
        }
    }

    /// The first bytes of the body.
    pub async fn first(&mut self, most: usize) -> Result<Bytes, Trouble> {
        let mut body = BytesMut::new();
        while body.len() < most
            && let Some(piece) = self.0.chunk().await.map_err(|error| unanswered(&error))?
        {
            body.extend_from_slice(&piece);
        }
        body.truncate(most);
        Ok(body.freeze())
    }

    /// Fails if the body tells of an error, whatever the status.
    pub async fn is_no_error(&mut self) -> Result<(), Trouble> {
        let body = self.first(REFUSAL).await?;
        match trouble::code(&String::from_utf8_lossy(&body)) {
            Some(_) => Err(Trouble::of(StatusCode::INTERNAL_SERVER_ERROR, &body)),
            None => Ok(()),
        }
    }
}
