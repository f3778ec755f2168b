//! The front door: one listener, one tower stack, a graceful stop.
//!
//! The only room that names a concrete back end.

pub mod admin;
mod front;
mod health;
mod limits;
mod listen;
mod plain;
mod stack;
pub mod store;

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    backend::Failure,
    config::Config,
    domain::{clock::SystemClock, models::ModelReference, user::User},
    engine::{NewUser, Rules},
    host::{self, Host, Objects},
    rpc::Api,
    telemetry,
};

/// How long an operator's command has to end once the broker stops.
const ADMIN_GRACE: Duration = Duration::from_secs(1);

/// A running broker.
pub struct Server {
    address: SocketAddr,
    url: String,
    host: Host,
    /// Fires when the broker is to stop.
    stopping: CancellationToken,
    is_ready: health::Readiness,
    owner: JoinHandle<Result<(), Failure>>,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
    admin: JoinHandle<()>,
    drain: Duration,
}

impl Server {
    /// Opens the store, loads the lanes, and serves.
    ///
    /// # Errors
    /// The settings, the store, the certificate or the address cannot be used; which and why.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        config.validate()?;
        telemetry::install_metrics();
        let models = Arc::new(models(&config)?);
        let listener = listen::bind(&config).await?;
        let address = listener.local_addr()?;
        let stopping = CancellationToken::new();
        let clock = Arc::new(SystemClock);
        let backend = store::open(&config.store, clock.clone())
            .await
            .map_err(anyhow::Error::from_boxed)
            .with_context(|| match &config.store.database_url {
                None => format!("the store in {} cannot be opened", config.store.data.display()),
                Some(_) => "the store cannot be opened".to_owned(),
            })?;
        let rules = Rules {
            max_waiting_jobs: config.limits.max_waiting_jobs,
            max_finished_requests: config.limits.max_finished_requests,
            ..Rules::default()
        };
        let running = host::start(backend, rules, models, clock.clone(), stopping.clone())
            .await
            .map_err(|error| anyhow::anyhow!(error))
            .context("the store cannot be read")?;
        let host = running.host;
        let objects = Objects::open(host.clone(), &config.public_url(address)).await?;
        let api = Api {
            host: host.clone(),
            objects: objects.clone(),
            gate: limits::gate(config.limits.rate_limits, clock),
            long_poll: config.api.long_poll(),
            server_threads: tokio::runtime::Handle::current().metrics().num_workers(),
        };
        let is_ready = health::Readiness::default();
        let router = stack::assemble(&config, api, is_ready.clone(), address);
        let incoming = listen::accept(listener, &config)?;
        let serving = tokio::spawn(listen::serve(router, incoming, &config, stopping.clone()));
        let admin = admin::serve(host.clone(), &config.store.data, stopping.clone()).await?;
        is_ready.set(health::State::Ready);
        Ok(Self {
            address,
            url: config.local_url(address),
            host,
            stopping,
            is_ready,
            owner: running.task,
            serving,
            admin,
            drain: config.server.drain(),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base of its URLs, as seen from this machine.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The running engine.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Makes an account.
    ///
    /// # Errors
    /// As [`crate::engine::Engine::add_user`].
    pub async fn add_user(&self, new: NewUser) -> crate::domain::Result<User> {
        self.host.add_user(new).await
    }

    /// Serves until the future resolves (or the store fails for good); then stops: tells streams,
    /// answers held pops, lets running calls end, writes what is left.
    ///
    /// # Errors
    /// What was accepted could not be written, or the listener failed.
    pub async fn wait(mut self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let early = tokio::select! {
            () = shutdown => None,
            ended = &mut self.owner => Some(ended),
            ended = &mut self.serving => {
                self.stopping.cancel();
                ended?.context("the listener failed")?;
                None
            }
        };
        self.is_ready.set(health::State::Stopping);
        self.stopping.cancel();
        let stored = match early {
            Some(ended) => ended,
            None => self.owner.await,
        };
        if tokio::time::timeout(self.drain, &mut self.serving).await.is_err() {
            tracing::warn!("some connections were still busy after {} s and were cut", self.drain.as_secs());
            self.serving.abort();
        }
        // A command on the socket may end what it began.
        if tokio::time::timeout(ADMIN_GRACE, &mut self.admin).await.is_err() {
            self.admin.abort();
        }
        stored?.map_err(|error| anyhow::anyhow!(error)).context("the store could not be written")
    }
}

fn models(config: &Config) -> anyhow::Result<ModelReference> {
    if config.api.model_reference.is_empty() {
        return Ok(ModelReference::built_in());
    }
    let mut models = ModelReference::default();
    for path in &config.api.model_reference {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("the model reference {shown} cannot be read"))?;
        let read = ModelReference::read(&text)
            .with_context(|| format!("the model reference {shown} is not of the expected shape"))?;
        models.merge(read);
    }
    Ok(models)
}
