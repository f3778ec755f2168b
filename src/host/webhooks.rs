//! Calls webhooks that are due.
//!
//! ```text
//!  settled ─► [due] ──take──► held by one broker ──2xx──► gone
//!               ▲                │        │
//!               └─ later, again ─┘        └─ failed for the last time, or private ─► gone, counted
//! ```
//!
//! A webhook is a row that was written with the result. Any broker over the records takes what is due: to
//! take is to move the row's time past the end of the call, so one broker at a time has it, and one that
//! dies loses nothing. A leader alone would have to hear of every result, and would send all of them;
//! like this the broker that settled a job mostly sends, at once. What was sent just before a crash is
//! sent again: a receiver knows it by its `id`.

use std::{collections::HashMap, time::Duration};

use tokio::{
    task::{Id, JoinSet},
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{Host, ObjectKey, Objects};
use crate::{
    backend::{WebhookAgain, WebhookEnd},
    config::Secret,
    domain::{
        Timestamp,
        request::{Params, Spec},
        result::{Outcome, Product},
        webhook::Webhook,
    },
    outside::{
        Schemes, Trouble,
        webhook::{SIGNATURE_HEADER, payload, signature},
    },
};

/// Calls that are out at a time, and how many of them to one host.
const CALLS: usize = 32;
const CALLS_PER_HOST: usize = 4;
/// Webhooks that are taken in one go.
const HANDFUL: usize = 16;
/// How long a call may take. Source: the v2 contract.
const DEADLINE: Duration = Duration::from_secs(3);
/// The same with all that has to be read for it; and how long a webhook is this broker's.
const WHOLE: Duration = Duration::from_secs(10);
const HOLD: Duration = Duration::from_secs(15);
/// Pauses after failed calls; past the last one it is given up: six calls over some eight minutes.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(25),
    Duration::from_secs(120),
    Duration::from_secs(300),
];
/// A pause that is not the receiver's fault: its host has its calls, or the store failed.
const BREATH: Duration = Duration::from_secs(1);
/// A webhook is given up if for so long what it tells could not be read.
const PATIENCE: Duration = Duration::from_secs(60 * 60);
/// How often others' webhooks, and those to be tried again, are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Webhooks that may wait in all; past it the oldest are dropped. How often they are counted.
const MAX_WAITING: usize = 100_000;
const CROP_EVERY: Duration = Duration::from_secs(60);

/// How a call went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Call {
    /// It was taken.
    Delivered,
    /// It was not.
    Failed(Trouble),
    /// There is nothing to tell any more.
    Void,
    /// Nobody was called: the store failed.
    NotMade,
}

/// Calls webhooks.
#[derive(Clone)]
pub struct Webhooks {
    objects: Objects,
    secret: Option<Secret>,
}

impl Webhooks {
    /// Webhooks of a host, signed with a secret if there is one.
    pub fn new(objects: Objects, secret: Option<Secret>) -> Self {
        Self { objects, secret }
    }

    /// Calls what is due, until the broker stops; then lets the calls that are out end.
    pub async fn run(self) {
        let shared = self.objects.host.shared.clone();
        let mut calls = Calls { caller: self, out: JoinSet::new(), taken: HashMap::new(), ends: Vec::new() };
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut cropped_at = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = shared.stopping.cancelled() => break,
                ended = calls.ended(), if !calls.out.is_empty() => calls.note(ended),
                () = shared.webhooks.notified() => {}
                _ = looks.tick() => {}
            }
            // However busy it is.
            if cropped_at.elapsed() >= CROP_EVERY {
                cropped_at = Instant::now();
                calls.crop().await;
            }
            while let Some(ended) = calls.out.try_join_next_with_id() {
                calls.note(ended);
            }
            calls.write().await;
            calls.take().await;
        }
        while !calls.out.is_empty() {
            let ended = calls.ended().await;
            calls.note(ended);
        }
        calls.write().await;
    }

    /// Calls a webhook.
    async fn call(self, due: Webhook) -> Call {
        let called = timeout(WHOLE, self.tell(&due)).await;
        // The receiver has less time than that: what took so long was ours.
        called.unwrap_or(Call::NotMade)
    }

    async fn tell(&self, due: &Webhook) -> Call {
        let host = &self.objects.host;
        let Ok(stored) = host.stored(host.shared.backend.records.request(due.request).await) else {
            return Call::NotMade;
        };
        let Some(stored) = stored else { return Call::Void };
        let spec = &stored.request.spec;
        let outcome = stored.outcomes.iter().find(|outcome| outcome.attempt == due.attempt);
        let (Some(url), Some(outcome)) = (&spec.webhook, outcome) else { return Call::Void };
        // The settings may have changed since it was accepted.
        let Ok(target) = self.objects.outside.target(url, Schemes::Https) else {
            return Call::Failed(Trouble::NotPublic);
        };
        let Ok(img) = self.shown(spec, outcome).await else { return Call::NotMade };
        let Ok(body) = payload(due.request, spec, outcome, img) else { return Call::Void };
        let signed = self.secret.as_ref().map(|secret| {
            let at_seconds = host.now().seconds_since(Timestamp(0));
            (SIGNATURE_HEADER, signature(secret.expose(), at_seconds, &body))
        });
        let headers: Vec<_> = signed.into_iter().collect();
        match self.objects.outside.post(&target, &headers, body.into(), DEADLINE).await {
            Ok(()) => Call::Delivered,
            Err(trouble) => Call::Failed(trouble),
        }
    }

    /// What a status would show in place of the object.
    async fn shown(&self, spec: &Spec, outcome: &Outcome) -> crate::domain::Result<Option<String>> {
        let as_links = spec.params.image().is_none_or(|image| image.links);
        let key = ObjectKey::Result(outcome.attempt);
        Ok(match &outcome.product {
            Product::Text(raw) if spec.params.image().is_some() => Some(raw.clone()),
            Product::Text(_) | Product::Void => None,
            Product::Image | Product::Form(_) if as_links => Some(self.objects.get_link(key)),
            Product::Image if matches!(spec.params, Params::Video(_)) => {
                Some(self.objects.raw_base64(key).await?.unwrap_or_else(|| "N/A".into()))
            }
            Product::Image | Product::Form(_) => {
                Some(self.objects.as_base64(key).await?.unwrap_or_else(|| "N/A".into()))
            }
        })
    }
}

type Ended = Result<(Id, Call), tokio::task::JoinError>;

/// Calls that are out, and what became of others.
struct Calls {
    caller: Webhooks,
    out: JoinSet<Call>,
    /// What is out, by its task.
    taken: HashMap<Id, Webhook>,
    /// What has still to be written.
    ends: Vec<WebhookEnd>,
}

impl Calls {
    fn host(&self) -> &Host {
        &self.caller.objects.host
    }

    async fn ended(&mut self) -> Ended {
        match self.out.join_next_with_id().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }

    /// How many calls to a host are out.
    fn out_to(&self, host: &str) -> usize {
        self.taken.values().filter(|due| due.host == host).count()
    }

    /// Takes what is due, as long as there is room for it.
    async fn take(&mut self) {
        // What is not written yet would be taken again.
        while self.ends.is_empty() {
            let most = HANDFUL.min(CALLS - self.out.len());
            let mut busy: Vec<_> = self.taken.values().map(|due| due.host.clone()).collect();
            busy.sort_unstable();
            busy.dedup();
            busy.retain(|host| self.out_to(host) >= CALLS_PER_HOST);
            if most == 0 {
                return;
            }
            let records = self.host().shared.backend.records.clone();
            let taken = records.take_webhooks(self.host().now(), HOLD, most, &busy).await;
            let Ok(taken) = self.host().stored(taken) else { return };
            let is_all = taken.len() < most;
            for due in taken {
                if self.out_to(&due.host) >= CALLS_PER_HOST {
                    self.ends.push(put_back(&due));
                } else {
                    let task = self.out.spawn(self.caller.clone().call(due.clone()));
                    self.taken.insert(task.id(), due);
                }
            }
            self.write().await;
            if is_all {
                return;
            }
        }
    }

    /// Notes how a call went.
    fn note(&mut self, ended: Ended) {
        let (id, call) = match ended {
            Ok((id, call)) => (id, call),
            // It panicked, which is logged where it happens.
            Err(error) => (error.id(), Call::NotMade),
        };
        let Some(due) = self.taken.remove(&id) else { return };
        let outcome = match call {
            Call::Delivered => "delivered",
            Call::Failed(trouble) => trouble.word(),
            Call::Void => "void",
            Call::NotMade => "not_made",
        };
        metrics::counter!("gridbroker_webhook_calls_total", "outcome" => outcome).increment(1);
        let end = end(&due, call, self.host().now());
        if let (Call::NotMade, None) = (call, end.again) {
            metrics::counter!("gridbroker_webhooks_dropped_total").increment(1);
            let request = due.request;
            tracing::error!(request.id = %request, "gave up a webhook of request {request}: what it tells cannot be read");
        }
        if let (Call::Failed(trouble), None) = (call, end.again) {
            metrics::counter!("gridbroker_webhooks_dropped_total").increment(1);
            let (request, tries) = (due.request, due.tries);
            tracing::info!(request.id = %request, tries, "gave up a webhook of request {request}: it {trouble}");
        }
        self.ends.push(end);
    }

    async fn write(&mut self) {
        if self.ends.is_empty() {
            return;
        }
        let records = &self.host().shared.backend.records;
        let written = records.end_webhooks(self.host().now(), &self.ends).await;
        if self.host().stored(written).is_ok() {
            self.ends.clear();
        }
    }

    async fn crop(&self) {
        if !self.host().shared.backend.leadership.is_leader() {
            return;
        }
        let cropped = self.host().shared.backend.records.crop_webhooks(MAX_WAITING).await;
        if let Ok(count @ 1..) = self.host().stored(cropped) {
            metrics::counter!("gridbroker_webhooks_dropped_total").increment(count);
            tracing::warn!(count, "dropped {count} webhooks: more than {MAX_WAITING} wait");
        }
    }
}

/// What becomes of a webhook after a call.
fn end(due: &Webhook, call: Call, now: Timestamp) -> WebhookEnd {
    let pause = match call {
        Call::Delivered | Call::Void | Call::Failed(Trouble::NotPublic) => None,
        Call::Failed(_) => PAUSES.get(due.tries.saturating_sub(1) as usize).copied(),
        Call::NotMade if now.since(due.made_at) < PATIENCE => return put_back(due),
        Call::NotMade => None,
    };
    let again = pause.map(|pause| WebhookAgain {
        // Those that failed together should not come together again.
        wait: pause.mul_f64(rand::random_range(0.8..1.2)),
        tries: due.tries,
    });
    WebhookEnd { attempt: due.attempt, tries: due.tries, again }
}

/// As if it had not been taken, after a moment.
fn put_back(due: &Webhook) -> WebhookEnd {
    let again = WebhookAgain { wait: BREATH, tries: due.tries.saturating_sub(1) };
    WebhookEnd { attempt: due.attempt, tries: due.tries, again: Some(again) }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{AttemptId, RequestId};

    #[test]
    fn a_webhook_is_called_six_times_with_growing_pauses_unless_it_is_private() {
        let due = |tries| Webhook {
            attempt: AttemptId(Uuid::from_u128(1)),
            request: RequestId(Uuid::from_u128(2)),
            host: "example.org".into(),
            tries,
            made_at: Timestamp(0),
        };
        let failed = Call::Failed(Trouble::Status(500));
        for (tries, call, tries_then, seconds) in [
            (1, Call::Delivered, None, 0.0),
            (1, Call::Void, None, 0.0),
            (1, failed, Some(1), 1.0),
            (1, Call::Failed(Trouble::TooSlow), Some(1), 1.0),
            (1, Call::Failed(Trouble::Redirected), Some(1), 1.0),
            (2, failed, Some(2), 5.0),
            (3, failed, Some(3), 25.0),
            (4, failed, Some(4), 120.0),
            (5, failed, Some(5), 300.0),
            (6, failed, None, 0.0),
            (7, failed, None, 0.0),
            (1, Call::Failed(Trouble::NotPublic), None, 0.0),
            (3, Call::NotMade, Some(2), 1.0),
            (6, Call::NotMade, Some(5), 1.0),
        ] {
            let end = end(&due(tries), call, Timestamp(0).plus(PATIENCE / 2));
            assert_eq!(
                (end.tries, end.again.map(|again| again.tries)),
                (tries, tries_then),
                "{tries} {call:?}"
            );
            let wait = end.again.map_or(0.0, |again| again.wait.as_secs_f64());
            assert!((wait - seconds).abs() <= 0.21 * seconds, "{tries} {call:?}: {wait}");
        }
        let late = end(&due(1), Call::NotMade, Timestamp(0).plus(PATIENCE));
        assert!(late.again.is_none(), "what cannot be read for long is given up");
    }
}
