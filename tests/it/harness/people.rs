//! Requesters and workers over gRPC, a verb each.

use gridbroker::rpc::pb::{
    self, generate_client::GenerateClient, pop_stream_response::Push, watch_response::Event,
    worker_client::WorkerClient,
};
use tokio::time::timeout;
use tonic::{Request, Status, Streaming, transport::Channel};

use super::PATIENCE;

/// A bridge that is believed to be able to do everything.
pub const ABLE_BRIDGE: &str = "AI Horde Worker reGen:13:https://example.org";

fn keyed<T>(key: &'static str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("apikey", key.parse().expect("keys of tests fit into a header"));
    request
}

/// Somebody who asks for things.
#[derive(Clone)]
pub struct Requester {
    pub client: GenerateClient<Channel>,
    key: &'static str,
}

impl Requester {
    pub(super) fn new(channel: Channel, key: &'static str) -> Self {
        Self { client: GenerateClient::new(channel), key }
    }

    /// A requester who comes in by a door of their own.
    pub async fn at(url: &str, key: &'static str) -> Self {
        let endpoint = tonic::transport::Endpoint::from_shared(url.to_owned()).expect("a URL");
        Self::new(endpoint.connect().await.expect("somebody listens"), key)
    }

    /// A message with the requester's key.
    pub fn keyed<T>(&self, message: T) -> Request<T> {
        keyed(self.key, message)
    }

    /// Submits a text request, and returns its ID.
    pub async fn submits_text(&mut self, prompt: &str, n: i32) -> String {
        let message = pb::SubmitTextRequest {
            prompt: Some(prompt.into()),
            params: Some(pb::TextParams { n: Some(n), ..Default::default() }),
            ..Default::default()
        };
        let submitted = self.client.submit_text(keyed(self.key, message)).await.expect("it is accepted");
        submitted.into_inner().id.expect("an accepted request has an ID")
    }

    /// Where a text request stands.
    pub async fn text_status(&mut self, id: &str) -> pb::TextStatus {
        let message = pb::GetTextRequest { id: id.into() };
        self.client.get_text(keyed(self.key, message)).await.expect("it is there").into_inner()
    }

    /// Watches a request.
    pub async fn watches(&mut self, id: &str, after: &str) -> Watch {
        let message = pb::WatchRequest { id: id.into(), after: after.into() };
        let stream = self.client.watch(keyed(self.key, message)).await.expect("it can be watched");
        Watch { stream: stream.into_inner(), last: String::new() }
    }
}

/// A stream of events.
pub struct Watch {
    stream: Streaming<pb::WatchResponse>,
    /// Cursor of the last event.
    pub last: String,
}

impl Watch {
    /// The next event of the log; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Event>, Status> {
        loop {
            match self.hears().await? {
                Some((Event::KeepAlive(_), _) | (Event::Queued(_), false)) => {}
                told => return Ok(told.map(|(event, _)| event)),
            }
        }
    }

    /// What the request has to expect now, after it has to expect something else than before.
    pub async fn next_outlook(&mut self) -> pb::Queued {
        loop {
            match self.hears().await.expect("the stream is whole").expect("it has not ended") {
                (Event::Queued(outlook), _) => return outlook,
                (Event::KeepAlive(_), _) => {}
                (event, _) => panic!("nothing happened to it, and yet {event:?} came"),
            }
        }
    }

    /// The next event, and whether it is one of the log.
    async fn hears(&mut self) -> Result<Option<(Event, bool)>, Status> {
        let next = timeout(PATIENCE, self.stream.message()).await.expect("something happens");
        Ok(next?.map(|told| {
            let is_new = told.cursor != self.last;
            self.last = told.cursor;
            (told.event.expect("an event says what it is"), is_new)
        }))
    }

    /// All events to the end.
    pub async fn rest(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await.expect("the stream ends well") {
            events.push(event);
        }
        events
    }

    /// Text of one job up to now, as a reader of tokens would have it, until an event matches.
    pub async fn until(&mut self, matches: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.next().await.expect("the stream is whole").expect("it has not ended");
            if matches(&event) {
                return event;
            }
        }
    }
}

/// What a job's tokens amount to, resets counted in.
pub fn joined_tokens(events: &[Event], job: i32) -> String {
    let mut text = String::new();
    for event in events {
        match event {
            Event::Token(token) if token.job == job => text.push_str(&token.text),
            Event::Reset(reset) if reset.job.is_none_or(|other| other == job) => text.clear(),
            _ => {}
        }
    }
    text
}

/// Somebody who works.
#[derive(Clone)]
pub struct Worker {
    pub client: WorkerClient<Channel>,
    key: &'static str,
    name: String,
}

impl Worker {
    pub(super) fn new(channel: Channel, key: &'static str, name: &str) -> Self {
        Self { client: WorkerClient::new(channel), key, name: name.into() }
    }

    /// A worker that comes in by a door of its own.
    pub async fn at(url: &str, key: &'static str, name: &str) -> Self {
        let endpoint = tonic::transport::Endpoint::from_shared(url.to_owned()).expect("a URL");
        Self::new(endpoint.connect().await.expect("somebody listens"), key, name)
    }

    /// A message with the worker's key.
    pub fn keyed<T>(&self, message: T) -> Request<T> {
        keyed(self.key, message)
    }

    /// An offer to write.
    pub fn text_offer(&self) -> pb::PopTextRequest {
        pb::PopTextRequest {
            name: Some(self.name.clone()),
            models: vec!["mock/echo-7b".into()],
            ..Default::default()
        }
    }

    /// An offer to draw.
    pub fn image_offer(&self) -> pb::PopImageRequest {
        pb::PopImageRequest {
            name: Some(self.name.clone()),
            models: vec!["stable_diffusion".into()],
            bridge_agent: Some(ABLE_BRIDGE.into()),
            max_pixels: Some(1024 * 1024),
            ..Default::default()
        }
    }

    /// Opens a stream for texts.
    pub async fn opens_text_stream(&mut self, credits: i32, held: &[String]) -> PopStream {
        let message = pb::PopStreamRequest {
            text: Some(self.text_offer()),
            credits: Some(credits),
            held: held.to_vec(),
            ..Default::default()
        };
        self.opens(message).await
    }

    /// Opens a stream.
    pub async fn opens(&mut self, message: pb::PopStreamRequest) -> PopStream {
        let stream = self.client.pop_stream(keyed(self.key, message)).await.expect("a stream opens");
        let mut stream = PopStream { stream: stream.into_inner(), opened: pb::Opened::default() };
        match stream.next().await.expect("the stream is whole") {
            Push::Opened(opened) => stream.opened = opened,
            other => panic!("the first message is {other:?}"),
        }
        stream
    }

    /// Hands in a text.
    pub async fn delivers_text(&mut self, id: &str, text: &str) -> Result<f64, Status> {
        let message = pb::SubmitTextResultRequest {
            id: Some(id.into()),
            generation: Some(text.into()),
            ..Default::default()
        };
        let reward = self.client.submit_text_result(keyed(self.key, message)).await?;
        Ok(reward.into_inner().reward)
    }

    /// Says that a text failed.
    pub async fn faults_text(&mut self, id: &str) -> Result<f64, Status> {
        let message = pb::SubmitTextResultRequest {
            id: Some(id.into()),
            generation: Some(String::new()),
            state: Some("faulted".into()),
            ..Default::default()
        };
        let reward = self.client.submit_text_result(keyed(self.key, message)).await?;
        Ok(reward.into_inner().reward)
    }

    /// Reports on jobs, all in one call.
    pub async fn reports(&mut self, reports: Vec<pb::ReportRequest>) -> Result<pb::ReportResponse, Status> {
        let reported = self.client.report(keyed(self.key, tokio_stream::iter(reports))).await?;
        Ok(reported.into_inner())
    }

    /// Reports text of a job.
    pub async fn reports_text(&mut self, id: &str, text: &str) {
        let report = pb::ReportRequest { id: id.into(), text: text.into(), ..Default::default() };
        let reported = self.reports(vec![report]).await.expect("the report is taken");
        assert_eq!((reported.accepted, reported.closed), (1, 0));
    }
}

/// An open stream of jobs.
pub struct PopStream {
    stream: Streaming<pb::PopStreamResponse>,
    /// Its first message.
    pub opened: pb::Opened,
}

impl PopStream {
    /// The next message that is no keep-alive.
    pub async fn next(&mut self) -> Result<Push, Status> {
        loop {
            let next = timeout(PATIENCE, self.stream.message()).await.expect("something comes");
            match next?.expect("a stream ends with a status").push.expect("a push says what it is") {
                Push::KeepAlive(_) => {}
                push => return Ok(push),
            }
        }
    }

    /// The next jobs, however long it takes.
    pub async fn awaits_job(&mut self) -> pb::Assignment {
        loop {
            let message = self.stream.message().await.expect("the stream is whole");
            if let Some(Push::Assignment(job)) = message.expect("it has not ended").push {
                return job;
            }
        }
    }

    /// The next message, which must be jobs.
    pub async fn job(&mut self) -> pb::Assignment {
        match self.next().await.expect("the stream is whole") {
            Push::Assignment(assignment) => assignment,
            other => panic!("a job was expected, {other:?} came"),
        }
    }
}
