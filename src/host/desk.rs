//! Who waits for what: the ends of held pops and streams.

use std::collections::HashMap;

use tokio::sync::{mpsc, oneshot};

use super::{Host, Letter};
use crate::{
    domain::{AttemptId, OfferId},
    engine::Push,
};

/// Pushes beyond a stream's credits that may wait to be read: cancels and notices.
const NOTICES: usize = 32;

/// What a stream is sent.
pub type StreamPush = Box<Parcel>;

/// The open pops and streams, by offer.
#[derive(Default)]
pub struct Desk {
    waiting: HashMap<OfferId, Waiting>,
}

enum Waiting {
    Pop(oneshot::Sender<Parcel>),
    Stream(mpsc::Sender<StreamPush>),
}

/// Something on its way to a worker. If it is dropped before it is opened, the jobs in it go back.
pub struct Parcel {
    push: Option<Push>,
    host: Host,
}

impl Parcel {
    /// What it holds, left where it is.
    pub fn peek(&self) -> &Push {
        self.push.as_ref().unwrap_or(&Push::Replaced)
    }

    /// Takes out what it holds. From then on the worker has it.
    pub fn open(mut self) -> Push {
        self.push.take().unwrap_or(Push::Replaced)
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        if let Some(Push::Grant(grant)) = self.push.take() {
            let attempts: Vec<AttemptId> = grant.attempts.iter().map(|attempt| attempt.id).collect();
            self.host.post(Letter::Undelivered(attempts));
        }
    }
}

/// What a handler waits on; if it goes away, so does the offer.
pub struct Ticket<T> {
    /// What comes.
    pub inbox: T,
    offer: OfferId,
    is_stream: bool,
    host: Host,
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        self.host.post(match self.is_stream {
            true => Letter::StreamClosed(self.offer),
            false => Letter::Withdraw(self.offer),
        });
    }
}

impl Desk {
    /// Registers a held pop.
    pub fn hold_pop(&mut self, host: &Host, offer: OfferId) -> Ticket<oneshot::Receiver<Parcel>> {
        let (sender, inbox) = oneshot::channel();
        self.waiting.insert(offer, Waiting::Pop(sender));
        Ticket { inbox, offer, is_stream: false, host: host.clone() }
    }

    /// Registers a stream with so many credits.
    pub fn hold_stream(
        &mut self,
        host: &Host,
        offer: OfferId,
        credits: usize,
    ) -> Ticket<mpsc::Receiver<StreamPush>> {
        let (sender, inbox) = mpsc::channel(credits + NOTICES);
        self.waiting.insert(offer, Waiting::Stream(sender));
        Ticket { inbox, offer, is_stream: true, host: host.clone() }
    }

    /// Sends something to a waiting worker. A reader that is gone, or too slow to be told, loses its
    /// place: what it was sent goes back.
    pub(super) fn deliver(&mut self, host: &Host, offer: OfferId, push: Push) {
        let is_last = matches!(push, Push::Replaced | Push::Dismissed);
        let parcel = Parcel { push: Some(push), host: host.clone() };
        match self.waiting.get(&offer) {
            Some(Waiting::Stream(sender)) => {
                let sent = sender.try_send(Box::new(parcel));
                if sent.is_err() {
                    // Before the parcel goes back, or its jobs would be sent here again.
                    host.post(Letter::StreamClosed(offer));
                }
                if sent.is_err() || is_last {
                    self.waiting.remove(&offer);
                }
            }
            Some(Waiting::Pop(_)) => {
                if let Some(Waiting::Pop(sender)) = self.waiting.remove(&offer) {
                    // On failure the parcel is dropped here, and goes back.
                    let _ = sender.send(parcel);
                }
            }
            None => drop(parcel),
        }
    }

    /// What a pop was about to be sent is not to be had: it ends with nothing.
    pub(super) fn fail_pop(&mut self, offer: OfferId) {
        if let Some(Waiting::Pop(_)) = self.waiting.get(&offer) {
            self.waiting.remove(&offer);
        }
    }

    /// Forgets a pop or stream.
    pub(super) fn close(&mut self, offer: OfferId) {
        self.waiting.remove(&offer);
    }

    /// Ends all that wait: the broker goes down.
    pub(super) fn close_all(&mut self) {
        self.waiting.clear();
    }
}
