//! Whole lives over JSON: submit, held pop, result, status; each client and worker on a keep-alive
//! connection of its own. And single calls, for their CPU.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::Deserialize;
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    crew::{Crew, Cycle},
    http::Connection,
    process::Target,
    work,
};

#[derive(Deserialize)]
struct Accepted {
    id: String,
}

#[derive(Deserialize)]
struct Popped {
    id: Option<String>,
    payload: Payload,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Payload {
    prompt: Option<String>,
}

#[derive(Deserialize)]
struct Reward {
    #[expect(dead_code, reason = "it must be there, whatever it is")]
    reward: f64,
}

#[derive(Deserialize)]
struct Status {
    done: bool,
    generations: Vec<Generation>,
}

#[derive(Deserialize)]
struct Generation {
    text: String,
}

/// A client that submits, and asks for the status once its result is in. It hears of that from the
/// worker, in this process, so that a cycle is four calls: waiting is not what is measured.
pub struct Client {
    connection: Connection,
    body: String,
    done: mpsc::UnboundedReceiver<()>,
}

impl Cycle for Client {
    fn waits_for(&self) -> String {
        "a reply, or a worker's result".into()
    }

    async fn cycle(&mut self) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let accepted = self.connection.post("/api/v2/generate/text/async", &self.body).await?;
        let id = accepted.read::<Accepted>()?.id;
        self.done.recv().await.context("the workers are gone")?;
        let path = format!("/api/v2/generate/text/status/{id}");
        let status = self.connection.get(&path).await?.read::<Status>()?;
        ensure!(status.done, "a result that was acknowledged is in the status");
        ensure!(status.generations.first().is_some_and(|one| !one.text.is_empty()), "a status has its text");
        Ok(started.elapsed())
    }
}

/// Clients and workers, each on a connection of its own.
pub async fn crew(target: &Target, clients: usize, workers: usize) -> anyhow::Result<Crew<Client>> {
    let mut members = Vec::new();
    let mut bells = Vec::new();
    for number in 0..clients {
        let connection = Connection::open(&target.address, &target.key).await?;
        let (bell, done) = mpsc::unbounded_channel();
        bells.push(bell);
        members.push(Client { connection, body: work::text_request_body(number), done });
    }
    let mut running = JoinSet::new();
    for number in 0..workers {
        let connection = Connection::open(&target.address, &target.key).await?;
        running.spawn(serve(connection, format!("bench-json-{number}"), bells.clone()));
    }
    Ok(Crew::new(members, running))
}

async fn serve(
    mut connection: Connection,
    name: String,
    bells: Vec<mpsc::UnboundedSender<()>>,
) -> anyhow::Result<()> {
    let pop = work::text_pop_body(&name);
    loop {
        let popped: Popped = connection.post("/api/v2/generate/text/pop", &pop).await?.read()?;
        let Some(id) = popped.id else { continue };
        let client = popped.payload.prompt.as_deref().and_then(work::client_of);
        let result = work::text_result_body(&id);
        connection.post("/api/v2/generate/text/submit", &result).await?.read::<Reward>()?;
        let bell = client.and_then(|client| bells.get(client)).context("a job is a client's")?;
        bell.send(())?;
    }
}

/// One call, again and again.
pub struct Caller {
    connection: Connection,
    call: Call,
}

/// Which call.
#[derive(Clone)]
pub enum Call {
    /// Where a request stands.
    Check(String),
    /// What a full image request would cost: all of it is read and checked, nothing is stored.
    DryRun(String),
}

impl Cycle for Caller {
    fn waits_for(&self) -> String {
        "a reply".into()
    }

    async fn cycle(&mut self) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let reply = match &self.call {
            Call::Check(path) => self.connection.get(path).await?,
            Call::DryRun(body) => self.connection.post("/api/v2/generate/async", body).await?,
        };
        if reply.status != 200 {
            reply.read::<serde::de::IgnoredAny>()?;
        }
        Ok(started.elapsed())
    }
}

/// Callers that ask where a waiting image request stands.
pub async fn checkers(target: &Target, clients: usize) -> anyhow::Result<Crew<Caller>> {
    let mut connection = Connection::open(&target.address, &target.key).await?;
    let accepted = connection.post("/api/v2/generate/async", &work::image_request_body(false)).await?;
    let id = accepted.read::<Accepted>()?.id;
    callers(target, clients, Call::Check(format!("/api/v2/generate/check/{id}"))).await
}

/// Callers that ask for the price of a full image request.
pub async fn dry_runners(target: &Target, clients: usize) -> anyhow::Result<Crew<Caller>> {
    callers(target, clients, Call::DryRun(work::image_request_body(true))).await
}

async fn callers(target: &Target, clients: usize, call: Call) -> anyhow::Result<Crew<Caller>> {
    let mut members = Vec::new();
    for _ in 0..clients {
        let connection = Connection::open(&target.address, &target.key).await?;
        members.push(Caller { connection, call: call.clone() });
    }
    Ok(Crew::new(members, JoinSet::new()))
}
