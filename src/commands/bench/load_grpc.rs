//! Whole lives over gRPC: submit, push, result, notice.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Streaming, transport::Channel};

use super::{
    crew::{Crew, Cycle},
    grpc::Caller,
    process::Target,
    work,
};
use crate::rpc::pb::{
    Opened, PopStreamRequest, PopStreamResponse, ResultOutcome, SubmitTextResultRequest, WatchRequest,
    WorkRequest, WorkResponse, generate_client::GenerateClient, pop_stream_response::Push,
    watch_response::Event, work_request::Say, work_response::Tell,
};

/// HTTP/2 connections that the clients share, and as many that the workers share: so many, and more if
/// each broker is to have as many.
const CONNECTIONS: usize = 4;
/// Jobs that a worker's stream may have outstanding.
const CREDITS: u32 = 8;

/// A client that submits, and watches until it is told `done`.
pub struct Client {
    number: usize,
    caller: Caller,
    generate: GenerateClient<Channel>,
    /// The request of this cycle, once it is accepted, and the last event of it.
    progress: (Option<String>, Option<Event>),
}

impl Cycle for Client {
    fn waits_for(&self) -> String {
        match &self.progress {
            (None, _) => "the reply to SubmitText".into(),
            (Some(id), None) => format!("the first event of request {id}"),
            (Some(id), Some(event)) => format!("what follows {event:?} of request {id}"),
        }
    }

    async fn cycle(&mut self) -> anyhow::Result<Duration> {
        let started = Instant::now();
        self.progress = (None, None);
        let request = self.caller.call(work::text_request(self.number));
        let accepted = self.generate.submit_text(request).await.context("SubmitText")?.into_inner();
        let id = accepted.id.context("an accepted request has an ID")?;
        self.progress.0 = Some(id.clone());
        let watch = self.caller.call(WatchRequest { id, after: String::new() });
        let mut events = self.generate.watch(watch).await.context("Watch")?.into_inner();
        let mut is_delivered = false;
        while let Some(event) = events.message().await.context("Watch")? {
            match &event.event {
                Some(Event::Result(result)) => is_delivered = !result.text().is_empty(),
                Some(Event::Done(_)) if is_delivered => return Ok(started.elapsed()),
                Some(Event::Done(_) | Event::Faulted(_) | Event::Cancelled(_)) => break,
                _ => {}
            }
            self.progress.1 = event.event;
        }
        bail!("a request ended without its text")
    }
}

/// How workers take jobs and hand in results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A PopStream, and a call for each result.
    Calls,
    /// One Work stream.
    Twin,
}

/// Clients and workers on connections of their own, spread over the targets.
pub async fn crew(
    targets: &[&Target],
    clients: usize,
    workers: usize,
    way: Way,
) -> anyhow::Result<Crew<Client>> {
    let connections = CONNECTIONS.next_multiple_of(targets.len());
    let mut callers = Vec::new();
    for number in 0..2 * connections {
        callers.push(Caller::connect(targets[number % targets.len()]).await?);
    }
    let mut running = JoinSet::new();
    for number in 0..workers {
        let caller = callers[connections + number % connections].clone();
        let name = format!("bench-{number}");
        match way {
            Way::Calls => {
                let (stream, _) = open_stream(&caller, name, CREDITS).await?;
                running.spawn(works_by_calls(caller, stream));
            }
            Way::Twin => {
                let (says, hears) = open_twin(&caller, name).await?;
                running.spawn(works_by_twin(says, hears));
            }
        }
    }
    let clients = (0..clients).map(|number| {
        let caller = callers[number % connections].clone();
        Client { number, generate: caller.generate(), caller, progress: (None, None) }
    });
    Ok(Crew::new(clients.collect(), running))
}

async fn works_by_calls(caller: Caller, mut stream: Streaming<PopStreamResponse>) -> anyhow::Result<()> {
    let mut results = FuturesUnordered::new();
    loop {
        tokio::select! {
            push = stream.message() => match push.context("PopStream")?.context("PopStream ended")?.push {
                Some(Push::Assignment(job)) => results.push(settle(&caller, job.ids)),
                Some(Push::Drain(_)) => bail!("the broker goes down"),
                _ => {}
            },
            Some(result) = results.next() => result?,
        }
    }
}

type Says = mpsc::UnboundedSender<WorkRequest>;

async fn open_twin(caller: &Caller, name: String) -> anyhow::Result<(Says, Streaming<WorkResponse>)> {
    let (says, said) = mpsc::unbounded_channel();
    let text = Some(work::text_offer(name, CREDITS));
    let offer = PopStreamRequest { text, credits: i32::try_from(CREDITS).ok(), ..Default::default() };
    says.send(WorkRequest { say: Some(Say::Offer(offer)) })?;
    let call = caller.call(UnboundedReceiverStream::new(said));
    let mut hears = caller.worker().work(call).await.context("Work")?.into_inner();
    match hears.message().await.context("Work")?.and_then(|first| first.tell) {
        Some(Tell::Push(PopStreamResponse { push: Some(Push::Opened(_)) })) => Ok((says, hears)),
        other => Err(anyhow!("a stream's first message is `opened`, not {other:?}")),
    }
}

async fn works_by_twin(says: Says, mut hears: Streaming<WorkResponse>) -> anyhow::Result<()> {
    loop {
        match hears.message().await.context("Work")?.context("Work ended")?.tell {
            Some(Tell::Push(PopStreamResponse { push: Some(Push::Assignment(job)) })) => {
                for id in job.ids {
                    says.send(WorkRequest { say: Some(Say::TextResult(result(id))) })?;
                }
            }
            Some(Tell::Push(PopStreamResponse { push: Some(Push::Drain(_)) })) => {
                bail!("the broker goes down")
            }
            Some(Tell::Outcome(ResultOutcome { refusal: Some(refusal), .. })) => {
                bail!("a result was refused: {refusal:?}")
            }
            _ => {}
        }
    }
}

/// Opens a worker's stream, and reads that it is open.
pub async fn open_stream(
    caller: &Caller,
    name: String,
    credits: u32,
) -> anyhow::Result<(Streaming<PopStreamResponse>, Opened)> {
    let offer = work::text_offer(name, credits);
    let credits = i32::try_from(credits).ok();
    let request = PopStreamRequest { text: Some(offer), credits, ..Default::default() };
    let stream = caller.worker().pop_stream(caller.call(request)).await.context("PopStream")?;
    let mut stream = stream.into_inner();
    match stream.message().await.context("PopStream")?.and_then(|first| first.push) {
        Some(Push::Opened(opened)) => Ok((stream, opened)),
        other => Err(anyhow!("a stream's first message is `opened`, not {other:?}")),
    }
}

/// Hands in the texts of a batch of jobs.
pub async fn settle(caller: &Caller, ids: Vec<String>) -> anyhow::Result<()> {
    let mut worker = caller.worker();
    for id in ids {
        worker.submit_text_result(caller.call(result(id))).await.context("SubmitTextResult")?;
    }
    Ok(())
}

fn result(id: String) -> SubmitTextResultRequest {
    SubmitTextResultRequest {
        id: Some(id),
        generation: Some(work::text()),
        seed: 7,
        state: Some("ok".into()),
        gen_metadata: Vec::new(),
    }
}
