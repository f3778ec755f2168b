//! Clients who ask and workers who work on, whatever becomes of the broker, or of one of several.

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
    history::{Answer, DOOMED, History},
    line::{Acceptance, Line, is_away, is_cut, reason},
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
    urls: Vec<String>,
    seed: u64,
    /// How long clients wait between two requests.
    pace: Duration,
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
    /// Two clients and two workers over each of gRPC and JSON for one broker, one of each for each of
    /// several, at once at work.
    ///
    /// With several, some of what is asked for is [`DOOMED`], and workers tell one broker of what they
    /// got from another.
    pub fn gathers(urls: &[String], seed: u64, pace: Duration) -> Arc<Self> {
        let crowd = Arc::new(Self {
            urls: urls.to_vec(),
            seed,
            pace,
            history: Mutex::default(),
            enough: CancellationToken::new(),
            closing: CancellationToken::new(),
            people: TaskTracker::new(),
            in_hand: AtomicUsize::new(0),
        });
        for i in 0..urls.len().max(2) {
            let lines = [crowd.grpc(ALICE).with(i), crowd.json(ALICE).with(i + 1)];
            let [grpc, json] = lines;
            crowd.employs(crowd.clone().asks(format!("grpc-{i}"), grpc));
            crowd.employs(crowd.clone().asks(format!("json-{i}"), json));
            crowd.employs(crowd.clone().works_on_a_stream(format!("stream-{i}"), i));
            crowd.employs(crowd.clone().works_by_pops(format!("popper-{i}"), i));
        }
        for line in [crowd.grpc(BOB), crowd.json(CAROL)] {
            crowd.employs(crowd.clone().insists(line));
        }
        crowd
    }

    /// A line over gRPC to all brokers.
    pub fn grpc(&self, key: &'static str) -> Line {
        Line::grpc(&self.urls, key)
    }

    /// A line over JSON to all brokers.
    pub fn json(&self, key: &'static str) -> Line {
        Line::json(&self.urls, key)
    }

    /// Somebody more to wait for at the end.
    pub fn employs(&self, person: impl Future<Output = ()> + Send + 'static) {
        self.people.spawn(person);
    }

    /// Somebody's own chance.
    pub fn chance(&self, who: &str) -> StdRng {
        let name = who.bytes().fold(self.seed, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        StdRng::seed_from_u64(name)
    }

    fn is_with_several(&self) -> bool {
        self.urls.len() > 1
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
        let mut before = None;
        for number in 0.. {
            while self.history.lock().backlog() > ENOUGH_WAITING && !self.enough.is_cancelled() {
                sleep(Duration::from_millis(5)).await;
            }
            if self.enough.is_cancelled() {
                return;
            }
            let is_doomed = self.is_with_several() && chance.random_bool(0.02);
            let prompt = format!("{}{name}-{number}", if is_doomed { DOOMED } else { "" });
            let jobs = chance.random_range(1..=3);
            self.history.lock().asks(&prompt, jobs);
            match line.asks(&prompt, jobs).await {
                Acceptance::Accepted(id) => {
                    self.history.lock().accepted(&prompt, id);
                    before = None;
                    sleep(self.pace).await;
                }
                Acceptance::Cut(why) => {
                    self.history.lock().is_cut(&name, &mut before, why);
                    sleep(Duration::from_millis(chance.random_range(5..50))).await;
                }
                Acceptance::Other(answer) => {
                    self.history.lock().complain(format!("{prompt} was refused: {answer}"));
                }
            }
        }
    }

    async fn works_on_a_stream(self: Arc<Self>, name: String, end: usize) {
        let mut chance = self.chance(&name);
        let line = self.grpc(BOB).with(end);
        let held = Arc::new(Mutex::new(HashSet::new()));
        let mut before = None;
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
                    before = None;
                    let next = tokio::select! {
                        next = timeout(SILENCE, stream.message()) => next,
                        () = self.closing.cancelled() => return,
                    };
                    match next {
                        Ok(Ok(Some(pb::PopStreamResponse { push: Some(Push::Assignment(given)) }))) => {
                            let prompt = given.text.and_then(|text| text.payload?.prompt).unwrap_or_default();
                            for id in given.ids {
                                self.starts(id, prompt.clone(), &line, BOB, &mut chance, &held);
                            }
                        }
                        Ok(Ok(Some(_))) => {}
                        Ok(Ok(None) | Err(_)) => {
                            line.was_left();
                            self.history.lock().is_cut(&name, &mut before, format!("{next:?}"));
                            break;
                        }
                        Err(_) => {
                            self.history.lock().complain(format!("the stream of {name} has gone quiet"));
                            break;
                        }
                    }
                },
                Err(status) if self.may_be(&status) => {
                    self.history.lock().is_cut(&name, &mut before, format!("{status:?}"));
                }
                Err(status) => self.history.lock().complain(format!("{name} is refused: {status}")),
            }
            sleep(Duration::from_millis(chance.random_range(5..50))).await;
        }
    }

    /// Whether a refusal is what a broker that falls may cause, or one of several that goes.
    fn may_be(&self, status: &tonic::Status) -> bool {
        is_cut(status) || (self.is_with_several() && is_away(reason(status).as_deref()))
    }

    async fn works_by_pops(self: Arc<Self>, name: String, end: usize) {
        let mut chance = self.chance(&name);
        let line = self.json(CAROL).with(end);
        let held = Arc::new(Mutex::new(HashSet::new()));
        let mut before = None;
        while !self.closing.is_cancelled() {
            let room = SLOTS.saturating_sub(held.lock().len());
            if room == 0 {
                sleep(Duration::from_millis(2)).await;
                continue;
            }
            match line.pops(&name, room).await {
                Ok((200, job)) => {
                    before = None;
                    let prompt = job["payload"]["prompt"].as_str().unwrap_or_default();
                    for id in job["ids"].as_array().into_iter().flatten().filter_map(|id| id.as_str()) {
                        self.starts(id.into(), prompt.into(), &line, CAROL, &mut chance, &held);
                    }
                    if self.is_with_several() && chance.random_bool(0.2) {
                        line.was_left();
                    }
                }
                Ok(other) => self.history.lock().complain(format!("{name} is refused: {other:?}")),
                Err(why) => {
                    self.history.lock().is_cut(&name, &mut before, why);
                    sleep(Duration::from_millis(chance.random_range(5..50))).await;
                }
            }
        }
    }

    fn starts(
        self: &Arc<Self>,
        attempt: String,
        prompt: String,
        line: &Line,
        owner: &'static str,
        chance: &mut StdRng,
        held: &Arc<Mutex<HashSet<String>>>,
    ) {
        self.history.lock().is_granted(&attempt, &prompt);
        held.lock().insert(attempt.clone());
        self.in_hand.fetch_add(1, Ordering::Relaxed);
        let (crowd, held, mut chance) = (self.clone(), held.clone(), StdRng::seed_from_u64(chance.random()));
        let elsewhere = self.is_with_several() && chance.random_bool(0.5);
        let line = if elsewhere { line.with(chance.random_range(0..line.ends())) } else { line.clone() };
        self.people.spawn(async move {
            crowd.works_at(&attempt, &prompt, &line, owner, &mut chance).await;
            held.lock().remove(&attempt);
            crowd.in_hand.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Reports, takes its time, and hands in until there is an answer.
    pub async fn works_at(
        &self,
        attempt: &str,
        prompt: &str,
        line: &Line,
        owner: &'static str,
        chance: &mut StdRng,
    ) {
        let words = "and so on ".repeat(chance.random_range(0..30));
        let text = format!("{prompt} by {attempt} {words}");
        // Some take so long that the broker is likely to be another one when they are done.
        let millis = if chance.random_bool(0.1) { 500..1500 } else { 0..60 };
        let time = Duration::from_millis(chance.random_range(millis));
        let pieces = match self.is_with_several() {
            true => chance.random_range(0..=3),
            false => u32::from(chance.random_bool(0.5)),
        };
        let mut told = 0;
        for _ in 0..pieces {
            let length = chance.random_range(0..=prompt.len());
            line.reports(attempt, told, &text[told..told + length]).await;
            told += length;
            sleep(time / 4).await;
        }
        sleep(time).await;
        let mut before = None;
        loop {
            self.history.lock().sends(attempt);
            let cut = if prompt.starts_with(DOOMED) {
                let answer = line.faults(attempt).await;
                self.history.lock().faulted(attempt, answer)
            } else {
                let answer = line.hands_in(attempt, &text).await;
                self.history.lock().answered((attempt, prompt, &text), owner, before.is_some(), answer)
            };
            let Some(why) = cut else { return };
            self.history.lock().is_cut(&format!("result of {attempt}"), &mut before, why);
            if self.closing.is_cancelled() {
                return;
            }
            sleep(Duration::from_millis(chance.random_range(5..50))).await;
        }
    }

    /// Hands in again, with other words, what was settled long ago. It may change nothing.
    async fn insists(self: Arc<Self>, line: Line) {
        let (key, most) = (line.key, if self.is_with_several() { 100 } else { 30 });
        let mut chance = self.chance(key);
        while !self.closing.is_cancelled() {
            sleep(Duration::from_millis(chance.random_range(1..most))).await;
            let again = {
                let history = self.history.lock();
                let pick = history.in_order.get(chance.random_range(0..history.in_order.len().max(1)));
                pick.filter(|attempt| history.acknowledged[*attempt].owner == key).cloned()
            };
            if let Some(attempt) = again {
                let line = line.with(chance.random_range(0..line.ends()));
                self.insists_on(&line, key, &attempt).await;
            }
        }
    }

    /// Hands in one settled result again.
    pub async fn insists_on(&self, line: &Line, owner: &'static str, attempt: &str) {
        let answer = line.hands_in(attempt, "I know better now").await;
        // Aborted or anything else would be noted as a complaint.
        if !matches!(answer, Answer::Cut(_)) {
            self.history.lock().answered((attempt, "", ""), owner, false, answer);
        }
    }
}
