//! The front door: one listener, one tower stack, a graceful stop.
//!
//! The only room that names a concrete back end.

pub mod admin;
mod front;
mod health;
mod legacy;
mod limits;
mod listen;
mod opening;
mod plain;
mod stack;
pub mod store;

use std::{future::Future, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use anyhow::Context;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::opening::{Door, Opened, Opening};
use crate::{
    config::Config,
    domain::{Error, user::User, words::WordList},
    engine::NewUser,
    host::{RETRY_AFTER, files::Files},
    telemetry,
};

/// How long calls of webhooks have to end once the broker stops.
const WEBHOOK_GRACE: Duration = Duration::from_secs(5);
/// How long an operator's command has to end once the broker stops.
const ADMIN_GRACE: Duration = Duration::from_secs(1);

/// A running broker.
pub struct Server {
    address: SocketAddr,
    url: String,
    broker: Broker,
    /// Fires when the broker is to stop.
    stopping: CancellationToken,
    is_ready: health::Readiness,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
    drain: Duration,
}

/// What is behind the listener.
enum Broker {
    /// A broker.
    Open(Opened),
    /// A task that waits for servers to be there.
    Opening(JoinHandle<anyhow::Result<Opened>>),
}

impl Server {
    /// Opens the store, loads the lanes, and serves. If PostgreSQL, Redis or an S3 store cannot be reached, it goes on
    /// trying while it answers that it is not ready.
    ///
    /// # Errors
    /// The settings, the store, the certificate or the address cannot be used; which and why.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        config.validate()?;
        telemetry::install_metrics();
        let profanity = Arc::new(profanity(&config)?);
        let (reference, models) = Files::open(&config.api.model_reference).map_err(anyhow::Error::msg)?;
        let (filter_files, filters) =
            Files::open(config.people.filters.as_slice()).map_err(anyhow::Error::msg)?;
        let (subscription_files, subscriptions) =
            Files::open(config.people.subscriptions.as_slice()).map_err(anyhow::Error::msg)?;
        let listener = listen::bind(&config).await?;
        let address = listener.local_addr()?;
        let stopping = CancellationToken::new();
        let is_ready = health::Readiness::default();
        let door = Door::closed(stack::waiting(&config, is_ready.clone(), address));
        let incoming = listen::accept(listener, &config)?;
        let serving = listen::serve(door.clone(), incoming, &config, stopping.clone());
        let (url, drain) = (config.local_url(address), config.server.drain());
        let is_embedded = config.store.database_url.is_none() && config.objects.bucket().is_none();
        let opening = Opening {
            config,
            models: Arc::new(models),
            profanity,
            filters: Arc::new(filters),
            subscriptions: Arc::new(subscriptions),
            files: Mutex::new(Some((reference, filter_files, subscription_files))),
            address,
            stopping: stopping.clone(),
            is_ready: is_ready.clone(),
            door,
        };
        // A store of our own is there at once, or never; servers of others may be late.
        let (opened, serving) = match is_embedded {
            true => (opening.begin().await, tokio::spawn(serving)),
            false => {
                let serving = tokio::spawn(serving);
                (opening.begin().await, serving)
            }
        };
        let broker = match opened {
            Ok(Some(opened)) => Broker::Open(opened),
            Ok(None) => Broker::Opening(tokio::spawn(opening.go_on())),
            Err(error) => {
                stopping.cancel();
                return Err(error);
            }
        };
        Ok(Self { address, url, broker, stopping, is_ready, serving, drain })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base of its URLs, as seen from this machine.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether it has its store and takes calls.
    pub fn is_ready(&self) -> bool {
        self.is_ready.is_ready()
    }

    /// Makes an account.
    ///
    /// # Errors
    /// As [`crate::engine::Engine::add_user`]; [`Error::StoreUnavailable`] while the store is not open.
    pub async fn add_user(&self, new: NewUser) -> crate::domain::Result<User> {
        let Broker::Open(Opened { host, .. }) = &self.broker else {
            return Err(Error::StoreUnavailable { retry_after: RETRY_AFTER });
        };
        host.add_user(new).await
    }

    /// Serves until the future resolves (or the store fails for good); then stops: tells streams,
    /// answers held pops, lets running calls end, writes what is left.
    ///
    /// # Errors
    /// The store cannot be opened, what was accepted could not be written, or the listener failed.
    pub async fn wait(mut self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let mut shutdown = pin!(shutdown);
        let mut opened = match self.broker {
            Broker::Open(opened) => opened,
            Broker::Opening(mut task) => {
                let opened = tokio::select! {
                    () = &mut shutdown => None,
                    opened = &mut task => Some(opened?),
                    ended = &mut self.serving => {
                        ended?.context("the listener failed")?;
                        None
                    }
                };
                match opened {
                    Some(Ok(opened)) => opened,
                    never => {
                        task.abort();
                        self.is_ready.set(health::State::Stopping);
                        self.stopping.cancel();
                        close(&mut self.serving, self.drain).await;
                        return never.map_or(Ok(()), |failed| failed.map(|_| ()));
                    }
                }
            }
        };
        let early = tokio::select! {
            () = shutdown => None,
            ended = &mut opened.owner => Some(ended),
            ended = &mut self.serving => {
                self.stopping.cancel();
                ended?.context("the listener failed")?;
                None
            }
        };
        self.is_ready.set(health::State::Stopping);
        self.stopping.cancel();
        opened.host.step_down();
        let stored = match early {
            Some(ended) => ended,
            None => opened.owner.await,
        };
        close(&mut self.serving, self.drain).await;
        // What this broker has to tell others would go with it.
        opened.host.flush().await;
        // A webhook that is being called is noted as such, or else would be called again.
        if tokio::time::timeout(WEBHOOK_GRACE, &mut opened.webhooks).await.is_err() {
            opened.webhooks.abort();
        }
        // A command on the socket may end what it began.
        if tokio::time::timeout(ADMIN_GRACE, &mut opened.admin).await.is_err() {
            opened.admin.abort();
        }
        stored?.map_err(|error| anyhow::anyhow!(error)).context("the store could not be written")
    }
}

/// Lets open calls end, as long as they may.
async fn close(serving: &mut JoinHandle<Result<(), tonic::transport::Error>>, drain: Duration) {
    if !serving.is_finished() && tokio::time::timeout(drain, &mut *serving).await.is_err() {
        tracing::warn!("some connections were still busy after {} s and were cut", drain.as_secs());
        serving.abort();
    }
}

fn profanity(config: &Config) -> anyhow::Result<WordList> {
    let Some(path) = &config.people.profanity else { return Ok(WordList::built_in()) };
    let text = std::fs::read_to_string(path);
    let text = text.with_context(|| format!("the list of words {} cannot be read", path.display()))?;
    Ok(WordList::read(&text))
}
