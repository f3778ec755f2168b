//! From a listener to a broker: opens the store, loads the lanes, and lets callers in.
//!
//! ```text
//!  distributed: listen ──► /livez 200, all else 503 ──► store opened ──► lanes loaded ──► ready
//!                                    └── away: again, in a moment ◄──┘
//!  embedded:    store opened ──► lanes loaded ──► listen ──► ready
//! ```
//!
//! With objects in an S3 store, which may be away as well, both begin as the distributed one.
//!
//! Servers that are away are waited for, however long it takes, and callers are told when to come back.
//! What is set up wrongly ends the start.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, http::Request, response::Response, routing::future::RouteFuture};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::{admin, health, legacy::Legacy, limits, stack, store};
use crate::{
    backend::Failure,
    config::Config,
    domain::{
        Kudos, UserId,
        clock::SystemClock,
        document::{Operator, Topic},
        earning::Promotion,
        filters::Filters,
        models::ModelReference,
        monthly::Subscriptions,
        words::WordList,
    },
    engine::{PeopleRules, Rules},
    host::{
        self, Bulletin, Documents, Host, Objects, Porter, Webhooks,
        files::{self, Files},
    },
    outside::{Guarded, checker::Checker},
    rpc::Api,
};

/// Waits between two attempts to open the store: the first, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(10)];

/// A broker with its store.
pub(super) struct Opened {
    /// The running engine.
    pub host: Host,
    /// Ends when the engine has stopped and all is stored.
    pub owner: JoinHandle<Result<(), Failure>>,
    /// Serves the operator's commands.
    pub admin: JoinHandle<()>,
    /// Calls webhooks; ends soon once the broker stops.
    pub webhooks: JoinHandle<()>,
}

/// Why a store is not open.
enum Setback {
    /// It may be in a moment.
    Passing(anyhow::Error),
    /// Somebody has to put something right.
    Lasting(anyhow::Error),
}

/// What it takes to open.
pub(super) struct Opening {
    pub config: Config,
    pub models: Arc<ModelReference>,
    /// Words that are not wanted in names.
    pub profanity: Arc<WordList>,
    /// What prompts may not ask for.
    pub filters: Arc<Filters>,
    /// What accounts get each month because somebody pays for it elsewhere.
    pub subscriptions: Arc<Subscriptions>,
    /// Where models, filters and subscriptions came from; taken by the broker that follows them.
    pub files: Mutex<Option<(Files<ModelReference>, Files<Filters>, Files<Subscriptions>)>>,
    /// Where it listens.
    pub address: SocketAddr,
    /// Fires when the broker is to stop.
    pub stopping: CancellationToken,
    pub is_ready: health::Readiness,
    /// Opens once all is there.
    pub door: Door,
}

impl Opening {
    /// Opens; `Ok(None)` if servers are away and it is worth to [`Opening::go_on`].
    ///
    /// # Errors
    /// Something is set up wrongly, or in use.
    pub async fn begin(&self) -> anyhow::Result<Option<Opened>> {
        match self.attempt().await {
            Ok(opened) => Ok(Some(opened)),
            Err(Setback::Passing(error)) => {
                tracing::error!("{error:#}; calls are answered with 503 until it can be");
                Ok(None)
            }
            Err(Setback::Lasting(error)) => Err(error),
        }
    }

    /// What the operator has to say to everybody.
    async fn documents(&self, public_url: &str) -> anyhow::Result<Documents> {
        let said = &self.config.documents;
        let operator = Operator {
            title: said.title.clone(),
            url: public_url.to_owned(),
            contact: said.contact_email.clone(),
        };
        let path = |topic| match topic {
            Topic::Terms => said.terms.clone(),
            Topic::Privacy => said.privacy.clone(),
            Topic::Sponsors => said.sponsors.clone(),
        };
        Documents::open(operator, path).await.map_err(anyhow::Error::msg)
    }

    /// Tries until it opens.
    ///
    /// # Errors
    /// As [`Opening::begin`].
    pub async fn go_on(self) -> anyhow::Result<Opened> {
        let [mut pause, longest] = PAUSES;
        loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
            match self.attempt().await {
                Ok(opened) => {
                    tracing::info!("the store is open; the broker is ready");
                    return Ok(opened);
                }
                Err(Setback::Passing(error)) => {
                    tracing::warn!("{error:#}; trying again in {:.1} s", pause.as_secs_f64());
                }
                Err(Setback::Lasting(error)) => return Err(error),
            }
        }
    }

    async fn attempt(&self) -> Result<Opened, Setback> {
        let (config, clock) = (&self.config, Arc::new(SystemClock));
        let outside = Guarded::new(&config.api).map_err(|error| Setback::Lasting(anyhow::anyhow!(error)))?;
        let backend = store::open(&config.store, &config.objects, clock.clone(), Duration::ZERO).await;
        let backend = backend
            .map_err(|failure| self.setback(store::may_open(&config.store, &failure), failure, "opened"))?;
        let rules = Rules {
            max_waiting_jobs: config.limits.max_waiting_jobs,
            max_finished_requests: config.limits.max_finished_requests,
            people: PeopleRules {
                profanity: self.profanity.clone(),
                unsafe_networks: config.people.unsafe_networks.clone(),
                image_models: config.people.image_models,
                judges: config.people.judge_workers,
            },
            filters: self.filters.clone(),
            subscriptions: self.subscriptions.clone(),
            upfront_kudos_on_worker_list: config.api.upfront_kudos_on_worker_list,
            matched_targeting: config.api.require_matched_targeting,
            promotion: Promotion {
                threshold: config.limits.kudos_trust_threshold.map(|kudos| Kudos::whole(kudos.into())),
                ..Promotion::default()
            },
            awarder: UserId(config.limits.kudos_awarder.into()),
            ..Rules::default()
        };
        let peers = backend.peers.clone();
        // What was begun ends with an attempt that fails.
        let stopping = self.stopping.child_token();
        let guard = stopping.clone().drop_guard();
        let running = host::start(backend, rules, self.models.clone(), clock.clone(), stopping.clone()).await;
        let running = running
            .map_err(|failure| self.setback(store::may_load(&config.store, &failure), failure, "read"))?;
        let host = running.host;
        let (public_url, max_bytes) = (config.public_url(self.address), config.limits.max_body_bytes);
        let checker = config.people.address_checker.as_deref();
        let checker = checker.map(|url| Checker::new(outside.clone(), url)).transpose();
        let checker =
            checker.map_err(|why| Setback::Lasting(anyhow::anyhow!("address_checker: the URL {why}")))?;
        let objects = Objects::open(host.clone(), &public_url, max_bytes, outside).await;
        let objects = objects.map_err(|error| Setback::Passing(error.into()))?;
        let webhooks = Webhooks::new(objects.clone(), config.api.webhook_secret.clone());
        let secret = objects.links().derive_secret("limits");
        let api = Api {
            host: host.clone(),
            objects,
            gate: limits::gate(config.limits.rate_limits, clock, secret, &*peers),
            long_poll: config.api.long_poll(),
            bulletin: Arc::new(Bulletin::of(config.people.news.clone())),
            documents: Arc::new(self.documents(&public_url).await.map_err(Setback::Lasting)?),
            porter: Porter::new(host.clone(), checker),
            filter_testers: config.people.filter_testers.clone().into(),
            server_threads: tokio::runtime::Handle::current().metrics().num_workers(),
        };
        let legacy = Legacy::new(config, host.clone());
        let legacy = legacy.map_err(|error| Setback::Lasting(anyhow::anyhow!(error)))?;
        let admin = admin::serve(host.clone(), legacy.clone(), &config.store.data, stopping).await;
        let admin = admin.map_err(Setback::Lasting)?;
        guard.disarm();
        let files = self.files.lock().take();
        if let Some((reference, filters, subscriptions)) = files {
            tokio::spawn(files::follow(host.clone(), reference));
            tokio::spawn(files::follow(host.clone(), filters));
            tokio::spawn(files::follow(host.clone(), subscriptions));
        }
        self.door.open(stack::assemble(config, api, self.is_ready.clone(), self.address, legacy));
        self.is_ready.set(health::State::Ready);
        let webhooks = tokio::spawn(webhooks.run());
        Ok(Opened { host, owner: running.task, admin, webhooks })
    }

    fn setback(&self, is_passing: bool, failure: Failure, what: &str) -> Setback {
        let error = anyhow::Error::from_boxed(failure).context(match &self.config.store.database_url {
            None => format!("the store in {} cannot be {what}", self.config.store.data.display()),
            Some(_) => format!("the store cannot be {what}"),
        });
        if is_passing { Setback::Passing(error) } else { Setback::Lasting(error) }
    }
}

/// What every call comes through: to the broker once it is there, and until then to whoever says so.
#[derive(Clone)]
pub(super) struct Door {
    waiting: Router,
    broker: Arc<OnceLock<Router>>,
    /// The broker's, once this clone (a connection has one) has seen that it is there.
    own: Option<Router>,
}

impl Door {
    /// A door that is closed: who comes is answered by this.
    pub fn closed(waiting: Router) -> Self {
        Self { waiting, broker: Arc::default(), own: None }
    }

    fn open(&self, broker: Router) {
        // It is opened once.
        let _ = self.broker.set(broker);
    }
}

impl<B> Service<Request<B>> for Door
where
    Router: Service<Request<B>, Response = Response, Error = Infallible, Future = RouteFuture<Infallible>>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = RouteFuture<Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Routers are always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if self.own.is_none() {
            self.own = self.broker.get().cloned();
        }
        self.own.as_mut().unwrap_or(&mut self.waiting).call(request)
    }
}
