//! Wake-ups of readers: from this process, and over Pub/Sub from others.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use fred::interfaces::{EventInterface, PubsubInterface};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, broadcast::error::RecvError, watch},
    time::Instant,
};

use super::Shared;
use crate::{backend::distributed::link::complain, domain::RequestId};

/// How long a subscription is kept after the last reader went: most come back for the next events.
const LINGER: Duration = Duration::from_secs(10);
/// How often subscriptions without readers are looked for.
const TIDY_EVERY: Duration = Duration::from_secs(5);
/// How long a subscription that failed is left.
const RETRY_EVERY: Duration = Duration::from_secs(1);

struct Route {
    bell: watch::Sender<()>,
    is_subscribed: bool,
    /// When it was found without readers.
    idle_since: Option<Instant>,
}

/// Who waits for news of which request.
#[derive(Default)]
pub(super) struct News {
    routes: Mutex<HashMap<RequestId, Route>>,
    /// There are routes without a subscription.
    wanted: Notify,
}

impl News {
    /// Listens for news of a request. There may be none for what happened before the subscription stands.
    pub fn listen(&self, request: RequestId) -> watch::Receiver<()> {
        let mut routes = self.routes.lock();
        match routes.entry(request) {
            Entry::Occupied(route) => route.into_mut().bell.subscribe(),
            Entry::Vacant(slot) => {
                let route = Route { bell: watch::Sender::new(()), is_subscribed: false, idle_since: None };
                self.wanted.notify_one();
                slot.insert(route).bell.subscribe()
            }
        }
    }

    /// Wakes the readers of a request.
    pub fn ring(&self, request: RequestId) {
        let bell = self.routes.lock().get(&request).map(|route| route.bell.clone());
        if let Some(bell) = bell {
            bell.send_replace(());
        }
    }

    fn ring_all(&self) {
        let bells: Vec<_> = self.routes.lock().values().map(|route| route.bell.clone()).collect();
        for bell in bells {
            bell.send_replace(());
        }
    }

    /// Takes the requests that have no subscription yet.
    fn take_wanted(&self) -> Vec<RequestId> {
        let mut routes = self.routes.lock();
        let wanted = routes.iter_mut().filter(|(_, route)| !route.is_subscribed);
        wanted
            .map(|(request, route)| {
                route.is_subscribed = true;
                *request
            })
            .collect()
    }

    fn put_wanted(&self, requests: &[RequestId]) {
        let mut routes = self.routes.lock();
        for request in requests {
            if let Some(route) = routes.get_mut(request) {
                route.is_subscribed = false;
            }
        }
    }

    /// Takes the requests that nobody has listened for in a while.
    fn take_idle(&self) -> Vec<RequestId> {
        let mut routes = self.routes.lock();
        let now = Instant::now();
        let gone = routes.extract_if(|_, route| {
            if route.bell.receiver_count() > 0 {
                route.idle_since = None;
                return false;
            }
            *route.idle_since.get_or_insert(now) + LINGER < now
        });
        gone.map(|(request, _)| request).collect()
    }
}

/// Subscribes to what readers wait for, and passes wake-ups on, until it is aborted.
pub(super) async fn follow(shared: Arc<Shared>) {
    let subscriber = shared.link.subscriber();
    let mut messages = subscriber.message_rx();
    let mut tidy = tokio::time::interval(TIDY_EVERY);
    tidy.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut retry = tokio::time::interval(RETRY_EVERY);
    retry.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = messages.recv() => match message {
                Ok(message) => {
                    if let Some(request) = shared.link.request_of(&message.channel) {
                        shared.news.ring(request);
                    }
                }
                // Whose wake-ups were dropped, nobody knows.
                Err(RecvError::Lagged(_)) => shared.news.ring_all(),
                Err(RecvError::Closed) => return,
            },
            () = shared.news.wanted.notified() => subscribe(&shared).await,
            _ = retry.tick() => subscribe(&shared).await,
            _ = tidy.tick() => {
                let idle = names(&shared, &shared.news.take_idle());
                if !idle.is_empty() && let Err(error) = subscriber.unsubscribe(idle).await {
                    complain(&error, "could not unsubscribe; there will be wake-ups for nobody");
                }
            }
        }
    }
}

async fn subscribe(shared: &Shared) {
    let wanted = shared.news.take_wanted();
    if wanted.is_empty() {
        return;
    }
    if let Err(error) = shared.link.subscriber().subscribe(names(shared, &wanted)).await {
        complain(&error, "could not subscribe; readers look by themselves");
        shared.news.put_wanted(&wanted);
    }
}

fn names(shared: &Shared, requests: &[RequestId]) -> Vec<String> {
    requests.iter().map(|request| shared.link.log_name(*request)).collect()
}
