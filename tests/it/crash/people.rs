//! Clients who ask and workers who work on, whatever becomes of the broker.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use gridbroker::rpc::pb::{self, pop_stream_response::Push};
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::{sleep, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    history::{Answer, History},
    line::{Acceptance, Line, is_cut},
};
use crate::harness::{ALICE, BOB, CAROL, PATIENCE};

/// Jobs that may wait before clients hold back: enough that workers never idle.
const ENOUGH_WAITING: usize = 120;
/// Jobs that one worker holds at a time.
const SLOTS: usize = 4;
/// A broker says something every 10 s.
const SILENCE: Duration = Duration::from_secs(30);

/// What all people share.
pub struct Crowd {
    url: String,
    seed: u64,
    pub history: Mutex<History>,
    /// Fires when no more is asked for.
    pub enough: CancellationToken,
    /// Fires when workers go home.
    pub closing: CancellationToken,
    people: TaskTracker,
    /// Attempts that workers have in hand.
    in_hand: AtomicUsize,
}

impl Crowd {
    /// Two clients and two workers over each of gRPC and JSON, at once at work.
    pub fn gathers(url: &str, seed: u64) -> Arc<Self> {
        let crowd = Arc::new(Self {
            url: url.to_owned(),
            seed,
            history: Mutex::default(),
            enough: CancellationToken::new(),
            closing: CancellationToken::new(),
            people: TaskTracker::new(),
            in_hand: AtomicUsize::new(0),
        });
        for i in 0..2 {
            let (grpc, json) = (Line::grpc(url, ALICE), Line::json(url, ALICE));
            crowd.people.spawn(crowd.clone().asks(format!("grpc-{i}"), grpc));
            crowd.people.spawn(crowd.clone().asks(format!("json-{i}"), json));
            crowd.people.spawn(crowd.clone().works_on_a_stream(format!("stream-{i}")));
            crowd.people.spawn(crowd.clone().works_by_pops(format!("popper-{i}")));
        }
        for line in [Line::grpc(url, BOB), Line::json(url, CAROL)] {
            crowd.people.spawn(crowd.clone().insists(line));
        }
        crowd
    }

    fn chance(&self, who: &str) -> StdRng {
        let name = who.bytes().fold(self.seed, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        StdRng::seed_from_u64(name)
    }

    /// Attempts that workers have in hand.
    pub fn in_hand(&self) -> usize {
        self.in_hand.load(Ordering::Relaxed)
    }

    /// Sends everybody home, and waits until all have gone.
    pub async fn parts(&self) {
        self.enough.cancel();
        self.closing.cancel();
        self.people.close();
        timeout(PATIENCE * 2, self.people.wait()).await.expect("everybody goes home");
    }

    async fn asks(self: Arc<Self>, name: String, line: Line) {
        let mut chance = self.chance(&name);
        for number in 0.. {
            while self.history.lock().backlog() > ENOUGH_WAITING && !self.enough.is_cancelled() {
                sleep(Duration::from_millis(5)).await;
            }
            if self.enough.is_cancelled() {
                return;
            }
            let (prompt, jobs) = (format!("{name}-{number}"), chance.random_range(1..=3));
            self.history.lock().asks(&prompt, jobs);
            match line.asks(&prompt, jobs).await {
                Acceptance::Accepted(id) => self.history.lock().accepted(&prompt, id),
                Acceptance::Cut => {
                    self.history.lock().cuts += 1;
                    sleep(Duration::from_millis(chance.random_range(5..50))).await;
                }
                Acceptance::Other(answer) => {
                    self.history.lock().complain(format!("{prompt} was refused: {answer}"));
                }
            }
        }
    }

    async fn works_on_a_stream(self: Arc<Self>, name: String) {
        let mut chance = self.chance(&name);
        let line = Line::grpc(&self.url, BOB);
        let held = Arc::new(Mutex::new(HashSet::new()));
        while !self.closing.is_cancelled() {
            let offer = pb::PopTextRequest {
                name: Some(name.clone()),
                models: vec!["mock/echo-7b".into()],
                amount: Some(SLOTS as i32),
                ..Default::default()
            };
            let message = pb::PopStreamRequest {
                text: Some(offer),
                credits: Some(SLOTS as i32),
                held: held.lock().iter().cloned().collect(),
                ..Default::default()
            };
            match line.opens(message).await {
                Ok(mut stream) => loop {
                    let next = tokio::select! {
                        next = timeout(SILENCE, stream.message()) => next,
                        () = self.closing.cancelled() => return,
                    };
                    match next {
                        Ok(Ok(Some(pb::PopStreamResponse { push: Some(Push::Assignment(given)) }))) => {
                            let prompt = given.text.and_then(|text| text.payload?.prompt).unwrap_or_default();
                            for id in given.ids {
                                self.starts(id, prompt.clone(), line.clone(), BOB, &mut chance, &held);
                            }
                        }
                        Ok(Ok(Some(_))) => {}
                        Ok(Ok(None) | Err(_)) => {
                            self.history.lock().cuts += 1;
                            break;
                        }
                        Err(_) => {
                            self.history.lock().complain(format!("the stream of {name} has gone quiet"));
                            break;
                        }
                    }
                },
                Err(status) if is_cut(&status) => self.history.lock().cuts += 1,
                Err(status) => self.history.lock().complain(format!("{name} is refused: {status}")),
            }
            sleep(Duration::from_millis(chance.random_range(5..50))).await;
        }
    }

    async fn works_by_pops(self: Arc<Self>, name: String) {
        let mut chance = self.chance(&name);
        let line = Line::json(&self.url, CAROL);
        let held = Arc::new(Mutex::new(HashSet::new()));
        while !self.closing.is_cancelled() {
            let room = SLOTS.saturating_sub(held.lock().len());
            if room == 0 {
                sleep(Duration::from_millis(2)).await;
                continue;
            }
            match line.pops(&name, room).await {
                Some((200, job)) => {
                    let prompt = job["payload"]["prompt"].as_str().unwrap_or_default();
                    for id in job["ids"].as_array().into_iter().flatten().filter_map(|id| id.as_str()) {
                        self.starts(id.into(), prompt.into(), line.clone(), CAROL, &mut chance, &held);
                    }
                }
                Some(other) => self.history.lock().complain(format!("{name} is refused: {other:?}")),
                None => {
                    self.history.lock().cuts += 1;
                    sleep(Duration::from_millis(chance.random_range(5..50))).await;
                }
            }
        }
    }

    fn starts(
        self: &Arc<Self>,
        attempt: String,
        prompt: String,
        line: Line,
        owner: &'static str,
        chance: &mut StdRng,
        held: &Arc<Mutex<HashSet<String>>>,
    ) {
        self.history.lock().is_granted(&attempt, &prompt);
        held.lock().insert(attempt.clone());
        self.in_hand.fetch_add(1, Ordering::Relaxed);
        let (crowd, held, mut chance) = (self.clone(), held.clone(), StdRng::seed_from_u64(chance.random()));
        self.people.spawn(async move {
            crowd.works_at(&attempt, &prompt, &line, owner, &mut chance).await;
            held.lock().remove(&attempt);
            crowd.in_hand.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Reports, takes its time, and hands in until there is an answer; now and then once more.
    async fn works_at(
        &self,
        attempt: &str,
        prompt: &str,
        line: &Line,
        owner: &'static str,
        chance: &mut StdRng,
    ) {
        let words = "and so on ".repeat(chance.random_range(0..30));
        let text = format!("{prompt} by {attempt} {words}");
        if chance.random_bool(0.5) {
            line.reports(attempt, &text[..prompt.len()]).await;
        }
        // Some take so long that the broker is likely to be another one when they are done.
        let millis = if chance.random_bool(0.1) { 500..1500 } else { 0..60 };
        sleep(Duration::from_millis(chance.random_range(millis))).await;
        let mut was_cut = false;
        loop {
            self.history.lock().sends(attempt);
            let answer = line.hands_in(attempt, &text).await;
            if self.history.lock().answered((attempt, prompt, &text), owner, was_cut, answer) {
                return;
            }
            if self.closing.is_cancelled() {
                return;
            }
            was_cut = true;
            sleep(Duration::from_millis(chance.random_range(5..50))).await;
        }
    }

    /// Hands in again, with other words, what was settled long ago. It may change nothing.
    async fn insists(self: Arc<Self>, line: Line) {
        let (Line::Grpc { key, .. } | Line::Json { key, .. }) = &line;
        let (mut chance, key) = (self.chance(key), *key);
        while !self.closing.is_cancelled() {
            sleep(Duration::from_millis(chance.random_range(1..30))).await;
            let again = {
                let history = self.history.lock();
                let pick = history.in_order.get(chance.random_range(0..history.in_order.len().max(1)));
                pick.filter(|attempt| history.acknowledged[*attempt].owner == key).cloned()
            };
            if let Some(attempt) = again {
                self.insists_on(&line, key, &attempt).await;
            }
        }
    }

    /// Hands in one settled result again.
    pub async fn insists_on(&self, line: &Line, owner: &'static str, attempt: &str) {
        let answer = line.hands_in(attempt, "I know better now").await;
        // Aborted or anything else would be noted as a complaint.
        if answer != Answer::Cut {
            self.history.lock().answered((attempt, "", ""), owner, false, answer);
        }
    }
}
