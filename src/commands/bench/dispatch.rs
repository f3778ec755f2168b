//! Dispatch: how long after a submit began does a waiting worker have the job? One job at a time,
//! so what is measured is the path and its one commit, not a queue.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::{sync::mpsc, task::JoinSet};
use tonic::{Streaming, transport::Channel};

use super::{
    crew::{Crew, Cycle},
    grpc::Caller,
    load_grpc::{open_stream, settle},
    process::Target,
    streams, work,
};
use crate::rpc::pb::{PopStreamResponse, generate_client::GenerateClient, pop_stream_response::Push};

/// A client that submits one request, and hears from the worker that got it.
pub struct Client {
    caller: Caller,
    generate: GenerateClient<Channel>,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
}

/// A job that reached a worker.
struct Arrival {
    at: Instant,
    ids: Vec<String>,
}

impl Cycle for Client {
    fn waits_for(&self) -> String {
        "the reply to SubmitText, its arrival at a worker, or the reply to its result".into()
    }

    async fn cycle(&mut self) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let request = self.caller.call(work::text_request(0));
        let (accepted, arrival) = tokio::join!(self.generate.submit_text(request), self.arrivals.recv());
        accepted.context("SubmitText")?;
        let arrival = arrival.context("the workers are gone")?;
        // Settled before the next one, so that each submit finds every worker idle.
        settle(&self.caller, arrival.ids).await?;
        Ok(arrival.at.duration_since(started))
    }
}

/// Connections that workers share, however few they are.
const CONNECTIONS: usize = 4;

/// One client of a broker, and idle workers that share a few connections to some brokers.
pub async fn crew(target: &Target, of_workers: &[&Target], workers: usize) -> anyhow::Result<Crew<Client>> {
    let mut callers = Vec::new();
    for number in 0..CONNECTIONS {
        callers.push(Caller::connect(of_workers[number % of_workers.len()]).await?);
    }
    let mut streams = Vec::new();
    for number in 0..workers {
        let name = format!("bench-idle-{number}");
        streams.push(open_stream(&callers[number % CONNECTIONS], name, 1).await?.0);
    }
    serve(target, streams).await
}

/// The same of many workers, so many on a connection.
pub async fn crowd(target: &Target, workers: usize, per_connection: usize) -> anyhow::Result<Crew<Client>> {
    let per_connection = per_connection.min(workers.div_ceil(CONNECTIONS));
    serve(target, streams::open(target, "idle", workers, per_connection).await?).await
}

async fn serve(target: &Target, streams: Vec<Streaming<PopStreamResponse>>) -> anyhow::Result<Crew<Client>> {
    let (sender, arrivals) = mpsc::unbounded_channel();
    let mut running = JoinSet::new();
    for mut stream in streams {
        let sender = sender.clone();
        running.spawn(async move {
            loop {
                match stream.message().await.context("PopStream")?.context("PopStream ended")?.push {
                    Some(Push::Assignment(job)) => {
                        sender.send(Arrival { at: Instant::now(), ids: job.ids })?;
                    }
                    Some(Push::Drain(_)) => bail!("the broker goes down"),
                    _ => {}
                }
            }
        });
    }
    let caller = Caller::connect(target).await?;
    Ok(Crew::new(vec![Client { generate: caller.generate(), caller, arrivals }], running))
}
