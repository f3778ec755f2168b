//! A grid under load, and the reckoning at the end.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, future::join_all, stream};
use rand::RngExt;
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep};

use super::{
    books,
    watchers::{self, Seen},
};
use crate::{
    crash::{
        audit::{Findings, Shown, audit},
        line::{Line, worth},
        people::Crowd,
    },
    harness::{ALICE, BOB, CAROL, Grid, Node, OPENING, PATIENCE, Reader},
};

/// How long the people may need for what is left. Jobs that went down with a node come back within 10 s,
/// those of lost pops are found after 12 s.
const DRAIN: Duration = Duration::from_secs(60);
/// Between two requests of a client. Six of them keep two cores busy, but not for ever behind.
const PACE: Duration = Duration::from_millis(150);
/// Settled results that are handed in again at the end.
const AGAIN: usize = 300;

/// One scene at a time: each keeps two cores busy, and says within how many seconds work goes on.
static STAGE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Three nodes over stores of their own, and people who ask, work, watch and cancel.
pub struct Scene {
    pub grid: Grid,
    pub crowd: Arc<Crowd>,
    seen: Seen,
    // Last, so that the next scene begins when all of this has ended.
    _stage: tokio::sync::MutexGuard<'static, ()>,
}

/// What can be said once all is over.
pub struct Verdict {
    /// All that is wrong; nothing, if every promise was kept.
    pub wrong: Vec<String>,
    /// What went on, for whoever reads along.
    pub summary: String,
    /// What the nodes logged until all was done.
    pub logs: String,
}

impl Scene {
    /// Starts the nodes, and waits until work gets done.
    pub async fn opens(seed: u64) -> Self {
        let stage = STAGE.lock().await;
        let grid = Grid::with_own_postgres().await;
        let urls = grid.nodes().map(Node::url);
        let crowd = Crowd::gathers(&urls, seed, PACE);
        let seen = watchers::gather(&crowd, &urls);
        crowd.employs(finds_lost_pops(crowd.clone(), grid.database_url().expose().to_owned()));
        let scene = Self { grid, crowd, seen, _stage: stage };
        assert!(scene.goes_on_within(PATIENCE).await, "no work gets done: {}", scene.trouble());
        scene
    }

    /// Whether jobs that are granted from now on get done, some by each kind of worker, within so long.
    pub async fn goes_on_within(&self, limit: Duration) -> bool {
        let before: std::collections::HashSet<String> =
            self.crowd.history.lock().granted.keys().cloned().collect();
        crate::harness::holds_within(limit, async || {
            let history = self.crowd.history.lock();
            [BOB, CAROL].into_iter().all(|owner| {
                let fresh = history.in_order.iter().rev().take_while(|attempt| !before.contains(*attempt));
                fresh.filter(|attempt| history.acknowledged[*attempt].owner == owner).count() >= 5
            })
        })
        .await
    }

    /// What there is to be said when something goes wrong.
    pub fn trouble(&self) -> String {
        format!("{:#?}\n{}", self.crowd.history.lock().complaints, self.grid.logs())
    }

    /// Lets the people finish, starts all nodes anew, and compares what they show with what was told.
    pub async fn closes(mut self) -> Verdict {
        self.crowd.enough.cancel();
        self.drains().await;
        let logs = self.grid.logs();
        self.crowd.parts().await;
        for node in self.grid.all() {
            node.falls().await;
        }
        join_all(self.grid.all().iter_mut().map(Node::starts)).await;
        let findings = self.findings().await;
        self.insists().await;
        let mut wrong = books::audit(&mut self.grid.books().await).await;
        let history = self.crowd.history.lock();
        wrong.extend(audit(&history, &findings, ALICE));
        let seen = self.seen.lock();
        wrong.extend(seen.iter().filter_map(|(id, reader)| believes(id, reader, &findings)));
        let summary = format!(
            "{} requests accepted, {} results acknowledged, {} attempts aborted, {} watched to the end, {} calls \
             and streams cut, {} of them twice in a row",
            history.accepted_requests(),
            history.acknowledged.len(),
            history.aborted.len(),
            seen.len(),
            history.cuts,
            history.cuts_after_retry
        );
        if seen.is_empty() || history.acknowledged.len() < 100 {
            wrong.push(format!("too little was done to show anything: {summary}"));
        }
        Verdict { wrong, summary, logs }
    }

    /// Waits until no request is open, nothing is in hand, and everything is answered.
    async fn drains(&self) {
        let deadline = Instant::now() + DRAIN;
        let mut connection = self.grid.books().await;
        loop {
            let open = books::open_requests(&mut connection).await.expect("requests can be counted");
            let (in_hand, unanswered) = (self.crowd.in_hand(), self.crowd.history.lock().unanswered());
            if open == 0 && in_hand == 0 && unanswered == 0 {
                return;
            }
            if Instant::now() > deadline {
                let attempts = books::open_attempts(&mut connection).await.expect("attempts can be read");
                let left =
                    self.left(&books::not_done(&mut connection).await.expect("they can be read")).await;
                let mut history = self.crowd.history.lock();
                let known = attempts.iter().map(|attempt| {
                    let id = attempt.split(' ').next().unwrap_or_default();
                    (attempt, history.granted.get(id), history.aborted.contains(id))
                });
                let known: Vec<_> = known.collect();
                let words = format!(
                    "not drained: {open} open, {in_hand} in hand, {unanswered} unanswered; open attempts, who was \
                     granted them, and whether they were told to be over: {known:?}\n{left}"
                );
                return history.complain(words);
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// What nodes and the live queue say of requests that should be done by now.
    async fn left(&self, ids: &[String]) -> String {
        let (json, urls) = (reqwest::Client::new(), self.grid.nodes().map(Node::url));
        let redis = &self.grid.redis;
        let mut words = format!("brokers: {}\n", redis.says(&["KEYS", "*broker*"]));
        for id in ids.iter().take(3) {
            for url in &urls {
                let status = get(&json, url, &format!("/generate/text/status/{id}"), ALICE).await;
                let why = get(&json, url, &format!("/generate/{id}/explain"), ALICE).await;
                words += &format!("{id} at {url}: {status} {why}\n");
            }
            for job in 0..3 {
                let stand = redis.says(&["HGET", "{jobs:text}:open", &format!("{id}:{job}")]);
                words += &format!("job {job} in the live queue: {stand}\n");
            }
        }
        words
    }

    /// What the nodes show of everything that was accepted, and of the accounts; each node of a part.
    async fn findings(&self) -> Findings {
        let (json, urls) = (reqwest::Client::new(), self.grid.nodes().map(Node::url));
        let ids = self.crowd.history.lock().accepted_in_order.clone();
        let shown = stream::iter(ids.into_iter().enumerate()).map(async |(i, id)| {
            let status = get(&json, &urls[i % 3], &format!("/generate/text/status/{id}"), ALICE).await;
            let generations = status["generations"].as_array()?;
            let text = |generation: &Value| generation["text"].as_str().unwrap_or_default().to_owned();
            let texts = generations.iter().map(text).collect();
            Some((id, Shown { done: status["done"] == true, faulted: status["faulted"] == true, texts }))
        });
        let requests: HashMap<_, _> =
            shown.buffer_unordered(8).filter_map(std::future::ready).collect().await;
        let mut gained = BTreeMap::new();
        for (i, key) in [ALICE, BOB, CAROL].into_iter().enumerate() {
            let account = get(&json, &urls[i], "/find_user", key).await;
            let id = account["id"].as_i64().expect("an account has an ID");
            let for_time = books::paid_for_time(&mut self.grid.books().await, id).await;
            gained.insert(key, worth(&account) - OPENING - for_time);
        }
        let granted = self.crowd.history.lock().granted.keys().cloned().collect();
        let expired = books::expired(&mut self.grid.books().await, &granted).await;
        Findings { requests, gained, panics: self.grid.panics(), expired }
    }

    /// Hands in again some of what was settled: each must be known, with its reward.
    async fn insists(&self) {
        let settled: Vec<_> = {
            let history = self.crowd.history.lock();
            let all = history.acknowledged.iter();
            all.take(AGAIN).map(|(attempt, result)| (attempt.clone(), result.owner)).collect()
        };
        let urls = self.grid.nodes().map(Node::url);
        let (bob, carol) = (Line::grpc(&urls, BOB), Line::json(&urls, CAROL));
        let again =
            stream::iter(settled.iter().enumerate()).for_each_concurrent(8, async |(i, (attempt, owner))| {
                let line = if *owner == BOB { bob.with(i) } else { carol.with(i) };
                self.crowd.insists_on(&line, owner, attempt).await;
            });
        again.await;
    }
}

async fn get(json: &reqwest::Client, url: &str, path: &str, key: &str) -> Value {
    let response = json.get(format!("{url}/api/v2{path}")).header("apikey", key).send().await;
    let body = response.expect("the broker answers").bytes().await.expect("the answer is whole");
    serde_json::from_slice(&body).expect("it answers JSON")
}

/// What a watcher has that is not what the nodes show.
fn believes(id: &str, reader: &Reader, findings: &Findings) -> Option<String> {
    let shown = findings.requests.get(id)?;
    let mut told: Vec<&String> = reader.results.values().collect();
    let mut texts: Vec<&String> = shown.texts.iter().collect();
    told.sort_unstable();
    texts.sort_unstable();
    if told != texts {
        return Some(format!("a watcher of {id} was told {told:?}, its status shows {texts:?}"));
    }
    if reader.faulted.is_some() != shown.faulted {
        let word = if shown.faulted { "failed" } else { "did not fail" };
        return Some(format!("request {id} {word}, a watcher was told otherwise: {reader:?}"));
    }
    None
}

/// Works on what was granted to workers who never heard of it. Its lease would last two and a half
/// minutes: this does in seconds what those workers would do if they had kept a list.
async fn finds_lost_pops(crowd: Arc<Crowd>, database: String) {
    let (line, mut chance) = (crowd.json(CAROL), crowd.chance("finder"));
    loop {
        tokio::select! {
            () = sleep(Duration::from_secs(2)) => {}
            () = crowd.closing.cancelled() => return,
        }
        let old = async {
            let mut connection = PgConnection::connect(&database).await?;
            books::old_pops(&mut connection).await
        };
        for (attempt, prompt) in old.await.unwrap_or_default() {
            let is_lost = !crowd.history.lock().granted.contains_key(&attempt);
            if is_lost {
                crowd.history.lock().is_granted(&attempt, &prompt);
                let line = line.with(chance.random_range(0..3));
                crowd.works_at(&attempt, &prompt, &line, CAROL, &mut chance).await;
            }
        }
    }
}
