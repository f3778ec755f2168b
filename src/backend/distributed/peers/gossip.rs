//! What brokers tell each other over Pub/Sub: rows that changed in Records, workers that were seen, and
//! deliveries for the figures of models. What gets lost is made good by the next round or a look at Records.

use std::{collections::BTreeMap, collections::BTreeSet, sync::Arc, time::Duration};

use fred::interfaces::{EventInterface, PubsubInterface};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;

use super::Shared;
use crate::{
    backend::distributed::link::complain,
    domain::{
        Timestamp, UserId, WorkerId,
        news::{Delivered, News},
        request::Kind,
    },
};

/// How often what has gathered is told.
const EVERY: Duration = Duration::from_millis(100);
/// Things of one sort in one message.
const MOST: usize = 2000;

/// What is to be told.
#[derive(Default)]
pub(super) struct Gossip {
    pending: Mutex<Message>,
}

#[derive(Default, Serialize, Deserialize)]
struct Message {
    broker: String,
    #[serde(default)]
    users: BTreeSet<UserId>,
    #[serde(default)]
    workers: BTreeSet<WorkerId>,
    /// What holds for everybody changed.
    #[serde(default)]
    board: bool,
    /// Filters changed.
    #[serde(default)]
    filters: bool,
    /// Worker, and when it was seen.
    #[serde(default)]
    seen: BTreeMap<WorkerId, Timestamp>,
    /// Worker, and when it opened a stream.
    #[serde(default)]
    opened: BTreeMap<WorkerId, Timestamp>,
    /// Kind, model, things, things per second.
    #[serde(default)]
    delivered: Vec<(Kind, String, f64, f64)>,
}

impl Gossip {
    /// Adds what other brokers should hear.
    pub fn add(&self, news: News) {
        let mut pending = self.pending.lock();
        match news {
            News::People { users, workers } => {
                pending.users.extend(users);
                pending.workers.extend(workers);
            }
            News::Board => pending.board = true,
            News::Filters => pending.filters = true,
            News::Seen(seen) => pending.seen.extend(seen),
            News::StreamOpened(worker, at) => drop(pending.opened.insert(worker, at)),
            News::Delivered(made) if pending.delivered.len() < MOST => {
                pending.delivered.push((made.kind, made.model, made.things, made.speed));
            }
            _ => {}
        }
    }
}

impl Message {
    fn is_empty(&self) -> bool {
        let is_silent = self.seen.is_empty() && self.opened.is_empty() && self.delivered.is_empty();
        is_silent && !self.board && !self.filters && self.users.is_empty() && self.workers.is_empty()
    }

    fn into_news(self) -> Vec<News> {
        let mut news = Vec::new();
        if !self.users.is_empty() || !self.workers.is_empty() {
            let (users, workers) = (self.users.into_iter().collect(), self.workers.into_iter().collect());
            news.push(News::People { users, workers });
        }
        if self.board {
            news.push(News::Board);
        }
        if self.filters {
            news.push(News::Filters);
        }
        if !self.seen.is_empty() {
            news.push(News::Seen(self.seen.into_iter().collect()));
        }
        news.extend(self.opened.into_iter().map(|(worker, at)| News::StreamOpened(worker, at)));
        news.extend(
            self.delivered.into_iter().map(|(kind, model, things, speed)| {
                News::Delivered(Delivered { kind, model, things, speed })
            }),
        );
        news
    }
}

/// Tells what has gathered, until it is aborted.
pub(super) async fn publish(shared: Arc<Shared>) {
    let channel = shared.link.beside("news");
    loop {
        tokio::time::sleep(EVERY).await;
        let mut message = std::mem::take(&mut *shared.gossip.pending.lock());
        if message.is_empty() {
            continue;
        }
        message.broker = shared.link.broker().to_owned();
        let text = serde_json::to_string(&message).expect("numbers and texts have a JSON form");
        let told: Result<(), _> = shared.link.logs().publish(channel.clone(), text).await;
        if let Err(error) = told {
            complain(&error, "could not tell other brokers what changed; later again");
            let mut pending = shared.gossip.pending.lock();
            pending.users.append(&mut message.users);
            pending.workers.append(&mut message.workers);
            pending.board |= message.board;
            pending.filters |= message.filters;
        }
        // This broker reads rows again, too: what it knows of them may lack what others added.
        if message.board {
            shared.pass_on(vec![News::Board]).await;
        }
        if message.filters {
            shared.pass_on(vec![News::Filters]).await;
        }
        if !message.users.is_empty() || !message.workers.is_empty() {
            let (users, workers) =
                (message.users.into_iter().collect(), message.workers.into_iter().collect());
            shared.pass_on(vec![News::People { users, workers }]).await;
        }
    }
}

/// Hears what others tell, until it is aborted.
pub(super) async fn listen(shared: Arc<Shared>) {
    let channel = shared.link.beside("news");
    let subscriber = shared.link.subscriber();
    let mut messages = subscriber.message_rx();
    let mut reconnected = subscriber.reconnect_rx();
    let mut is_subscribed = false;
    loop {
        if !is_subscribed {
            match subscriber.subscribe(channel.clone()).await {
                Ok(()) => is_subscribed = true,
                Err(error) => {
                    complain(&error, "cannot hear other brokers yet");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    continue;
                }
            }
        }
        tokio::select! {
            message = messages.recv() => match message {
                Ok(message) if *message.channel == *channel => {
                    let text = message.value.as_string().unwrap_or_default();
                    match serde_json::from_str::<Message>(&text) {
                        Ok(message) if message.broker == shared.link.broker() => {}
                        Ok(message) => shared.pass_on(message.into_news()).await,
                        Err(error) => tracing::warn!(%error, "another broker says what this one does not understand"),
                    }
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => shared.miss(),
                Err(RecvError::Closed) => return,
            },
            // Nobody knows what was said meanwhile.
            server = reconnected.recv() => if server.is_ok() { shared.miss() },
        }
    }
}
