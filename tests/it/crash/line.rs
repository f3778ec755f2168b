//! A line to the broker that breaks with it, over gRPC or JSON, and what is said over it.
//!
//! A line may lead to several brokers. It is with one of them until a call breaks, or until that one says
//! that it, or its store, is going down; the next call goes to the next.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use gridbroker::{
    domain::Kudos,
    rpc::pb::{self, generate_client::GenerateClient, worker_client::WorkerClient},
};
use serde_json::{Value, json};
use tonic::{
    Code, Request, Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt;

use super::history::Answer;
use crate::harness::PATIENCE;

/// What came back for a request.
pub enum Acceptance {
    /// Accepted, with this ID.
    Accepted(String),
    /// The connection broke: how.
    Cut(String),
    /// Anything else, which is a complaint.
    Other(String),
}

/// Of several brokers one may stand still: how long it has for an answer, and how often it is tried.
const LIVELY: Duration = Duration::from_secs(8);
const TRIED: Duration = Duration::from_secs(2);

/// A line with a key.
#[derive(Clone)]
pub struct Line {
    pub key: &'static str,
    way: Way,
    /// With whom it is; shared by its clones.
    at: Arc<AtomicUsize>,
}

#[derive(Clone)]
enum Way {
    Grpc(Arc<[Channel]>),
    Json { client: reqwest::Client, urls: Arc<[String]> },
}

impl Line {
    /// Over gRPC. It connects by itself, and again after a cut.
    pub fn grpc(urls: &[String], key: &'static str) -> Self {
        let channel = |url: &String| {
            let endpoint = Endpoint::from_shared(url.clone()).expect("the URL is one");
            if urls.len() == 1 {
                return endpoint.timeout(PATIENCE).connect_lazy();
            }
            let endpoint = endpoint.timeout(LIVELY).connect_timeout(TRIED).http2_keep_alive_interval(TRIED);
            endpoint.keep_alive_timeout(TRIED).keep_alive_while_idle(true).connect_lazy()
        };
        Self { key, way: Way::Grpc(urls.iter().map(channel).collect()), at: Arc::default() }
    }

    /// Over JSON.
    pub fn json(urls: &[String], key: &'static str) -> Self {
        let patience = if urls.len() == 1 { PATIENCE } else { LIVELY };
        let client = reqwest::Client::builder().timeout(patience).build().expect("a client can be made");
        let urls = urls.iter().map(|url| format!("{url}/api/v2")).collect();
        Self { key, way: Way::Json { client, urls }, at: Arc::default() }
    }

    /// Brokers that it leads to.
    pub fn ends(&self) -> usize {
        match &self.way {
            Way::Grpc(channels) => channels.len(),
            Way::Json { urls, .. } => urls.len(),
        }
    }

    /// A line of its own, with one of the brokers.
    pub fn with(&self, end: usize) -> Self {
        Self { at: Arc::new(AtomicUsize::new(end % self.ends())), ..self.clone() }
    }

    fn at(&self) -> usize {
        self.at.load(Ordering::Relaxed)
    }

    /// Goes on to the next broker, unless another call over this line has just done so.
    fn moves_on(&self, from: usize) {
        let next = (from + 1) % self.ends();
        let _ = self.at.compare_exchange(from, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Whether a refusal means that another broker may do it, and moves on then.
    fn is_cut(&self, from: usize, status: &Status) -> bool {
        let is_cut = is_cut(status) || (self.ends() > 1 && is_away(reason(status).as_deref()));
        if is_cut {
            self.moves_on(from);
        }
        is_cut
    }

    fn channel(&self, at: usize) -> Channel {
        let Way::Grpc(channels) = &self.way else { panic!("it speaks JSON") };
        channels[at].clone()
    }

    /// Asks for texts.
    pub async fn asks(&self, prompt: &str, jobs: usize) -> Acceptance {
        let at = self.at();
        match &self.way {
            Way::Grpc(_) => {
                let params = pb::TextParams { n: Some(jobs as i32), ..Default::default() };
                let prompt = Some(prompt.to_owned());
                let message = pb::SubmitTextRequest { prompt, params: Some(params), ..Default::default() };
                match GenerateClient::new(self.channel(at)).submit_text(keyed(self.key, message)).await {
                    Ok(said) => Acceptance::Accepted(said.into_inner().id.unwrap_or_default()),
                    Err(status) if self.is_cut(at, &status) => Acceptance::Cut(of(at, &status)),
                    Err(status) => Acceptance::Other(status.to_string()),
                }
            }
            Way::Json { .. } => {
                let body = json!({"prompt": prompt, "params": {"n": jobs}});
                match self.posts(at, "/generate/text/async", &body).await {
                    Err(why) => Acceptance::Cut(why),
                    Ok((202, said)) => Acceptance::Accepted(said["id"].as_str().unwrap_or("").to_owned()),
                    Ok(other) => Acceptance::Other(format!("{other:?}")),
                }
            }
        }
    }

    /// Cancels a request. Whether it came in time shows in nothing that must hold.
    pub async fn cancels(&self, id: &str) {
        let at = self.at();
        match &self.way {
            Way::Grpc(_) => {
                let message = pb::CancelTextRequest { id: id.into() };
                let told = GenerateClient::new(self.channel(at)).cancel_text(keyed(self.key, message)).await;
                told.err().map(|status| self.is_cut(at, &status));
            }
            Way::Json { client, urls } => {
                let url = format!("{}/generate/text/status/{id}", urls[at]);
                if client.delete(url).send().await.is_err() {
                    self.moves_on(at);
                }
            }
        }
    }

    /// Watches a request over gRPC.
    pub async fn watches(
        &self,
        id: &str,
        after: &str,
    ) -> Result<tonic::Streaming<pb::WatchResponse>, Status> {
        let at = self.at();
        let message = pb::WatchRequest { id: id.into(), after: after.into() };
        let opened = GenerateClient::new(self.channel(at)).watch(keyed(self.key, message)).await;
        Ok(opened.inspect_err(|_| self.moves_on(at))?.into_inner())
    }

    /// Hands in a text.
    pub async fn hands_in(&self, attempt: &str, text: &str) -> Answer {
        self.settles(attempt, text, "ok").await
    }

    /// Says that a job failed.
    pub async fn faults(&self, attempt: &str) -> Answer {
        self.settles(attempt, "", "faulted").await
    }

    async fn settles(&self, attempt: &str, text: &str, state: &str) -> Answer {
        let at = self.at();
        match &self.way {
            Way::Grpc(_) => {
                let (id, generation) = (Some(attempt.to_owned()), Some(text.to_owned()));
                let state = Some(state.to_owned());
                let message = pb::SubmitTextResultRequest { id, generation, state, ..Default::default() };
                match WorkerClient::new(self.channel(at)).submit_text_result(keyed(self.key, message)).await {
                    Ok(said) => Answer::Rewarded(Kudos::from_f64(said.into_inner().reward)),
                    Err(status) if self.is_cut(at, &status) => Answer::Cut(of(at, &status)),
                    Err(status) => refusal(&status),
                }
            }
            Way::Json { .. } => {
                let body = json!({"id": attempt, "generation": text, "state": state});
                let (status, said) = match self.posts(at, "/generate/text/submit", &body).await {
                    Ok(answer) => answer,
                    Err(why) => return Answer::Cut(why),
                };
                match (status, said["rc"].as_str()) {
                    (200, _) => Answer::Rewarded(kudos(&said["reward"])),
                    (400, Some("DuplicateGen")) => duplicate(said["message"].as_str().unwrap_or_default()),
                    (400, Some("AbortedGen")) => Answer::Aborted,
                    _ => Answer::Other(format!("{status} {said}")),
                }
            }
        }
    }

    /// Says how a job goes, from an offset on. Whether it was heard shows in nothing that must hold.
    pub async fn reports(&self, attempt: &str, offset: usize, text: &str) {
        let at = self.at();
        match &self.way {
            Way::Grpc(_) => {
                let report = |offset: usize, text: &str| pb::ReportRequest {
                    id: attempt.into(),
                    text: text.into(),
                    offset: Some(offset as u64),
                    ..Default::default()
                };
                let reports = tokio_stream::iter([report(offset, ""), report(offset, text)]);
                let told = WorkerClient::new(self.channel(at)).report(keyed(self.key, reports)).await;
                told.err().map(|status| self.is_cut(at, &status));
            }
            Way::Json { .. } => {
                let body = json!({"id": attempt, "current_step": 1, "total_steps": 2, "text": text,
                    "offset": offset});
                let _ = self.posts(at, "/generate/progress", &body).await;
            }
        }
    }

    /// Asks for jobs over JSON.
    ///
    /// # Errors
    /// The connection broke: how.
    pub async fn pops(&self, name: &str, amount: usize) -> Result<(u16, Value), String> {
        let body = json!({"name": name, "models": ["mock/echo-7b"], "amount": amount, "threads": amount});
        self.posts(self.at(), "/generate/text/pop", &body).await
    }

    /// Opens a pop stream.
    pub async fn opens(
        &self,
        message: pb::PopStreamRequest,
    ) -> Result<tonic::Streaming<pb::PopStreamResponse>, Status> {
        let at = self.at();
        let opened = WorkerClient::new(self.channel(at)).pop_stream(keyed(self.key, message)).await;
        Ok(opened.inspect_err(|_| self.moves_on(at))?.into_inner())
    }

    /// The stream that was opened has ended: the next one is opened elsewhere.
    pub fn was_left(&self) {
        self.moves_on(self.at());
    }

    /// POST. Says why no whole answer came, or none of this broker.
    async fn posts(&self, at: usize, path: &str, body: &Value) -> Result<(u16, Value), String> {
        let Way::Json { client, urls } = &self.way else { panic!("POST is JSON's") };
        let url = format!("{}{path}", urls[at]);
        let request = client.post(url).header("apikey", self.key).header("prefer", "wait=1");
        let answer = async {
            let response = request.json(body).send().await?;
            let (status, body) = (response.status().as_u16(), response.bytes().await?);
            Ok((status, serde_json::from_slice::<Value>(&body).unwrap_or_default()))
        };
        let answer = match answer.await {
            Ok((_, said)) if self.ends() > 1 && is_away(said["rc"].as_str()) => Err(of(at, &said)),
            answer => answer.map_err(|error: reqwest::Error| of(at, &error)),
        };
        if answer.is_err() {
            self.moves_on(at);
        }
        answer
    }
}

/// What one of the brokers said, or what became of the connection with it, and when.
pub fn of(at: usize, what: &impl std::fmt::Debug) -> String {
    format!("{} at {}: {what:?}", ['A', 'B', 'C'][at % 3], minute())
}

/// The minute of the hour, to be found in logs again.
pub fn minute() -> String {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let (seconds, millis) = (now.as_secs() % 3600, now.subsec_millis());
    format!("{:02}:{:02}.{millis:03}", seconds / 60, seconds % 60)
}

/// A JSON number of kudos.
pub fn kudos(value: &Value) -> Kudos {
    Kudos::from_f64(value.as_f64().unwrap_or(f64::NAN))
}

/// What an account has, together with what is put aside for it.
pub fn worth(account: &Value) -> Kudos {
    let aside = account.get("evaluating_kudos").filter(|aside| !aside.is_null());
    kudos(&account["kudos"]) + aside.map(kudos).unwrap_or_default()
}

fn keyed<T>(key: &'static str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("apikey", key.parse().expect("keys of tests fit into a header"));
    request
}

/// Whether nobody answered: the broker's own refusals carry a reason.
pub fn is_cut(status: &Status) -> bool {
    let is_broken = matches!(
        status.code(),
        Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled | Code::DeadlineExceeded
    );
    is_broken && reason(status).is_none()
}

/// Whether a reason says that the broker, or its store, is going down or away: another may know better.
pub fn is_away(reason: Option<&str>) -> bool {
    matches!(reason, Some("StoreUnavailable" | "Draining"))
}

/// The reason of a refusal.
pub fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

fn refusal(status: &Status) -> Answer {
    let Some(info) = status.get_details_error_info() else { return Answer::Other(status.to_string()) };
    match info.reason.as_str() {
        "DuplicateGen" => match info.metadata.get("reward").and_then(|reward| reward.parse().ok()) {
            Some(reward) => Answer::Duplicate(Kudos::from_f64(reward)),
            None => Answer::Other(format!("a duplicate without its reward: {status}")),
        },
        "AbortedGen" => Answer::Aborted,
        _ => Answer::Other(status.to_string()),
    }
}

/// Over JSON the stored reward is said in words.
fn duplicate(message: &str) -> Answer {
    let reward = message.split_once("rewarded with ").and_then(|(_, rest)| rest.split_once(' '));
    match reward.and_then(|(reward, _)| reward.parse().ok()) {
        Some(reward) => Answer::Duplicate(Kudos::from_f64(reward)),
        None => Answer::Other(format!("a duplicate without its reward: {message}")),
    }
}
