//! A line to the broker that breaks with it, over gRPC or JSON, and what is said over it.

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
    /// The connection broke.
    Cut,
    /// Anything else, which is a complaint.
    Other(String),
}

/// A line with a key.
#[derive(Clone)]
pub enum Line {
    Grpc { channel: Channel, key: &'static str },
    Json { client: reqwest::Client, url: String, key: &'static str },
}

impl Line {
    /// Over gRPC. It connects by itself, and again after a cut.
    pub fn grpc(url: &str, key: &'static str) -> Self {
        let endpoint = Endpoint::from_shared(url.to_owned()).expect("the URL is one").timeout(PATIENCE);
        Self::Grpc { channel: endpoint.connect_lazy(), key }
    }

    /// Over JSON.
    pub fn json(url: &str, key: &'static str) -> Self {
        let client = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client can be made");
        Self::Json { client, url: format!("{url}/api/v2"), key }
    }

    /// Asks for texts.
    pub async fn asks(&self, prompt: &str, jobs: usize) -> Acceptance {
        match self {
            Self::Grpc { channel, key } => {
                let params = pb::TextParams { n: Some(jobs as i32), ..Default::default() };
                let prompt = Some(prompt.to_owned());
                let message = pb::SubmitTextRequest { prompt, params: Some(params), ..Default::default() };
                match GenerateClient::new(channel.clone()).submit_text(keyed(key, message)).await {
                    Ok(said) => Acceptance::Accepted(said.into_inner().id.unwrap_or_default()),
                    Err(status) if is_cut(&status) => Acceptance::Cut,
                    Err(status) => Acceptance::Other(status.to_string()),
                }
            }
            Self::Json { .. } => {
                let body = json!({"prompt": prompt, "params": {"n": jobs}});
                match self.posts("/generate/text/async", &body).await {
                    None => Acceptance::Cut,
                    Some((202, said)) => Acceptance::Accepted(said["id"].as_str().unwrap_or("").to_owned()),
                    Some(other) => Acceptance::Other(format!("{other:?}")),
                }
            }
        }
    }

    /// Hands in a text.
    pub async fn hands_in(&self, attempt: &str, text: &str) -> Answer {
        match self {
            Self::Grpc { channel, key } => {
                let (id, generation) = (Some(attempt.to_owned()), Some(text.to_owned()));
                let message = pb::SubmitTextResultRequest { id, generation, ..Default::default() };
                match WorkerClient::new(channel.clone()).submit_text_result(keyed(key, message)).await {
                    Ok(said) => Answer::Rewarded(Kudos::from_f64(said.into_inner().reward)),
                    Err(status) => refusal(&status),
                }
            }
            Self::Json { .. } => {
                let body = json!({"id": attempt, "generation": text});
                let Some((status, said)) = self.posts("/generate/text/submit", &body).await else {
                    return Answer::Cut;
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

    /// Says how a job goes. Whether it was heard shows in nothing that must hold.
    pub async fn reports(&self, attempt: &str, text: &str) {
        match self {
            Self::Grpc { channel, key } => {
                let report = |text: &str| pb::ReportRequest {
                    id: attempt.into(),
                    text: text.into(),
                    ..Default::default()
                };
                let reports = tokio_stream::iter([report(""), report(text)]);
                let _ = WorkerClient::new(channel.clone()).report(keyed(key, reports)).await;
            }
            Self::Json { .. } => {
                let body = json!({"id": attempt, "current_step": 1, "total_steps": 2, "text": text});
                let _ = self.posts("/generate/progress", &body).await;
            }
        }
    }

    /// Asks for jobs over JSON; `None`: the connection broke.
    pub async fn pops(&self, name: &str, amount: usize) -> Option<(u16, Value)> {
        let body = json!({"name": name, "models": ["mock/echo-7b"], "amount": amount, "threads": amount});
        self.posts("/generate/text/pop", &body).await
    }

    /// Opens a pop stream.
    pub async fn opens(
        &self,
        message: pb::PopStreamRequest,
    ) -> Result<tonic::Streaming<pb::PopStreamResponse>, Status> {
        let Self::Grpc { channel, key } = self else { panic!("streams are gRPC's") };
        let opened = WorkerClient::new(channel.clone()).pop_stream(keyed(key, message)).await?;
        Ok(opened.into_inner())
    }

    /// POST; `None`: no whole answer came.
    async fn posts(&self, path: &str, body: &Value) -> Option<(u16, Value)> {
        let Self::Json { client, url, key } = self else { panic!("POST is JSON's") };
        let request = client.post(format!("{url}{path}")).header("apikey", *key).header("prefer", "wait=1");
        let response = request.json(body).send().await.ok()?;
        let status = response.status().as_u16();
        let body = response.bytes().await.ok()?;
        Some((status, serde_json::from_slice(&body).unwrap_or_default()))
    }
}

/// A JSON number of kudos.
pub fn kudos(value: &Value) -> Kudos {
    Kudos::from_f64(value.as_f64().unwrap_or(f64::NAN))
}

fn keyed<T>(key: &'static str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("apikey", key.parse().expect("keys of tests fit into a header"));
    request
}

/// Whether nobody answered: the broker's own refusals carry a reason.
pub fn is_cut(status: &Status) -> bool {
    let is_broken =
        matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled);
    is_broken && status.get_details_error_info().is_none()
}

fn refusal(status: &Status) -> Answer {
    if is_cut(status) {
        return Answer::Cut;
    }
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
