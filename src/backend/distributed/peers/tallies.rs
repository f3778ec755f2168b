//! Calls that brokers count together, told over Pub/Sub on a channel of their own: what is told there is
//! right only at once, so it waits behind no other news, and what gets lost is not told again.

use std::{sync::Arc, time::Duration};

use fred::interfaces::{EventInterface, PubsubInterface};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;

use super::Shared;
use crate::{
    backend::distributed::link::complain,
    domain::tally::{Tallies, Tally},
};

/// How often what has been counted is told.
const EVERY: Duration = Duration::from_millis(100);
/// Windows in one message.
const MOST: usize = 2000;
/// How long a subscription that failed is left alone.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Serialize, Deserialize)]
struct Message {
    broker: String,
    /// Window, calls, how long it lasts from now on, in ms.
    counted: Vec<(u64, u32, u32)>,
}

/// Tells what is counted here, until it is aborted.
pub(super) async fn publish(shared: Arc<Shared>, counter: Arc<dyn Tallies>) {
    let channel = shared.link.beside("tallies");
    loop {
        tokio::time::sleep(EVERY).await;
        let tallies = counter.take(MOST);
        if tallies.is_empty() {
            continue;
        }
        let left = |tally: &Tally| u32::try_from(tally.left.as_millis()).unwrap_or(u32::MAX);
        let counted = tallies.iter().map(|tally| (tally.window, tally.calls, left(tally))).collect();
        let message = Message { broker: shared.link.broker().to_owned(), counted };
        let text = serde_json::to_string(&message).expect("numbers and texts have a JSON form");
        let told: Result<(), _> = shared.link.logs().publish(channel.clone(), text).await;
        if let Err(error) = told {
            complain(&error, "could not tell other brokers how many calls came");
        }
    }
}

/// Hears what others count, until it is aborted.
pub(super) async fn listen(shared: Arc<Shared>, counter: Arc<dyn Tallies>) {
    let channel = shared.link.beside("tallies");
    let subscriber = shared.link.subscriber();
    let mut messages = subscriber.message_rx();
    while let Err(error) = subscriber.subscribe(channel.clone()).await {
        complain(&error, "cannot hear yet how many calls come to other brokers");
        tokio::time::sleep(PAUSE).await;
    }
    loop {
        match messages.recv().await {
            Ok(message) if *message.channel == *channel => {
                let text = message.value.as_string().unwrap_or_default();
                match serde_json::from_str::<Message>(&text) {
                    Ok(message) if message.broker == shared.link.broker() => {}
                    Ok(message) => counter.add(&read(&message.counted)),
                    Err(error) => {
                        tracing::warn!(%error, "another broker counts in a way that this one does not understand");
                    }
                }
            }
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

fn read(counted: &[(u64, u32, u32)]) -> Vec<Tally> {
    let tally = |(window, calls, left): (u64, u32, u32)| {
        let left = Duration::from_millis(left.into());
        Tally { window, calls, left }
    };
    counted.iter().copied().map(tally).collect()
}
