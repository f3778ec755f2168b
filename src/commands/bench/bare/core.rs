//! What the bare servers remember: who waits for a job, which jobs wait, what became of each.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use serde_json::json;
use sqlx::SqliteConnection;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::writer::{self, Entry};

/// The bare server's state and its writer.
pub struct Core {
    /// A lock for a few lines; entries are sent to the writer under it, so that they keep their order.
    state: Mutex<State>,
    entries: mpsc::UnboundedSender<Entry>,
}

#[derive(Default)]
struct State {
    idle: VecDeque<Seat>,
    waiting: VecDeque<Job>,
    held: HashMap<Uuid, Held>,
    open: HashMap<Uuid, Progress>,
}

/// A place to push one job to.
pub enum Seat {
    /// One of a stream's credits.
    Stream(mpsc::UnboundedSender<Box<Handout>>),
    /// A held pop.
    Pop(oneshot::Sender<Handout>),
}

/// A job on its way to a worker.
pub struct Handout {
    /// Names the job from then on.
    pub attempt: Uuid,
    /// What was asked for.
    pub prompt: String,
}

struct Job {
    request: Uuid,
    prompt: String,
}

struct Held {
    request: Uuid,
    stream: Option<mpsc::UnboundedSender<Box<Handout>>>,
}

enum Progress {
    Open(Option<oneshot::Sender<Arc<str>>>),
    Done(Arc<str>),
}

impl Core {
    /// Starts the writer over an empty store.
    pub fn start(store: SqliteConnection) -> Arc<Self> {
        let (entries, inbox) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            if let Err(error) = writer::run(store, inbox).await {
                // Whoever waits for a commit waits in vain; the load generator gives up by itself.
                eprintln!("the store failed: {error}");
            }
        });
        Arc::new(Self { state: Mutex::default(), entries })
    }

    /// Accepts a request; returns its ID once it is on disk.
    pub async fn submit(&self, prompt: String, model: &str) -> Uuid {
        let id = Uuid::now_v7();
        let (reply, accepted) = oneshot::channel();
        let mut entry = Entry::default();
        entry.accepted.push(json!([id, json!({"prompt": prompt, "model": model}).to_string()]));
        entry.then.push(answer(reply, ()));
        let job = Job { request: id, prompt };
        {
            let mut state = self.state.lock();
            state.open.insert(id, Progress::Open(None));
            match state.idle.pop_front() {
                Some(seat) => state.grant(seat, job, &mut entry),
                None => state.waiting.push_back(job),
            }
            self.write(entry);
        }
        // An error means that the writer is gone.
        let _ = accepted.await;
        id
    }

    /// Offers a place for a job.
    pub fn offer(&self, seat: Seat) {
        let mut entry = Entry::default();
        let mut state = self.state.lock();
        match state.waiting.pop_front() {
            Some(job) => {
                state.grant(seat, job, &mut entry);
                self.write(entry);
            }
            None => state.idle.push_back(seat),
        }
    }

    /// Takes a result; returns once it is on disk. False: nobody holds such a job.
    pub async fn settle(&self, attempt: Uuid, text: String) -> bool {
        let (reply, settled) = oneshot::channel();
        let text: Arc<str> = text.into();
        {
            let mut state = self.state.lock();
            let Some(held) = state.held.remove(&attempt) else { return false };
            let mut entry = Entry::default();
            entry.results.push(json!([attempt, held.request, &*text]));
            entry.then.push(answer(reply, ()));
            if let Some(Progress::Open(Some(watcher))) =
                state.open.insert(held.request, Progress::Done(text.clone()))
            {
                entry.then.push(answer(watcher, text));
            }
            if let Some(stream) = held.stream {
                let seat = Seat::Stream(stream);
                match state.waiting.pop_front() {
                    Some(job) => state.grant(seat, job, &mut entry),
                    None => state.idle.push_back(seat),
                }
            }
            self.write(entry);
        }
        let _ = settled.await;
        true
    }

    /// The text of a request as soon as there is one. It is forgotten with that.
    pub async fn watch(&self, request: Uuid) -> Option<Arc<str>> {
        let inbox = {
            let mut state = self.state.lock();
            match state.open.get_mut(&request)? {
                Progress::Done(text) => {
                    let text = text.clone();
                    state.open.remove(&request);
                    return Some(text);
                }
                Progress::Open(watcher) => {
                    let (sender, inbox) = oneshot::channel();
                    *watcher = Some(sender);
                    inbox
                }
            }
        };
        let text = inbox.await.ok()?;
        self.state.lock().open.remove(&request);
        Some(text)
    }

    /// The text of a request if there is one. It is forgotten with that.
    pub fn status(&self, request: Uuid) -> Option<Arc<str>> {
        let mut state = self.state.lock();
        match state.open.get(&request)? {
            Progress::Open(_) => None,
            Progress::Done(_) => match state.open.remove(&request)? {
                Progress::Done(text) => Some(text),
                Progress::Open(_) => None,
            },
        }
    }

    fn write(&self, entry: Entry) {
        // An error means that the writer is gone; the load generator gives up by itself.
        let _ = self.entries.send(entry);
    }
}

impl State {
    fn grant(&mut self, seat: Seat, job: Job, entry: &mut Entry) {
        let attempt = Uuid::now_v7();
        let stream = match &seat {
            Seat::Stream(stream) => Some(stream.clone()),
            Seat::Pop(_) => None,
        };
        self.held.insert(attempt, Held { request: job.request, stream });
        entry.granted.push(json!([attempt, job.request]));
        let handout = Handout { attempt, prompt: job.prompt };
        // A worker that is gone is not replaced: workers stay as long as the load does.
        entry.then.push(match seat {
            Seat::Stream(stream) => Box::new(move || {
                let _ = stream.send(Box::new(handout));
            }),
            Seat::Pop(pop) => answer(pop, handout),
        });
    }
}

/// Answers whoever waits; who went away needs no answer.
fn answer<T: Send + 'static>(reply: oneshot::Sender<T>, value: T) -> Box<dyn FnOnce() + Send> {
    Box::new(move || {
        let _ = reply.send(value);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn core() -> Arc<Core> {
        Core::start(writer::open(":memory:".as_ref()).await.unwrap())
    }

    #[tokio::test]
    async fn waiting_worker_gets_the_job_and_the_watcher_its_text() {
        let core = core().await;
        let (sender, mut inbox) = mpsc::unbounded_channel();
        core.offer(Seat::Stream(sender));
        let request = core.submit("once".into(), "m").await;
        let handout = inbox.recv().await.unwrap();
        assert_eq!(handout.prompt, "once");
        assert!(core.status(request).is_none(), "not done yet");
        let (text, settled) =
            tokio::join!(core.watch(request), core.settle(handout.attempt, "upon a time".into()));
        assert_eq!(text.as_deref(), Some("upon a time"));
        assert!(settled);
        assert!(!core.settle(handout.attempt, "again".into()).await, "an attempt settles once");
    }

    #[tokio::test]
    async fn result_gives_the_stream_its_credit_back() {
        let core = core().await;
        let (sender, mut inbox) = mpsc::unbounded_channel();
        core.offer(Seat::Stream(sender));
        core.submit("first".into(), "m").await;
        core.submit("second".into(), "m").await;
        let first = inbox.recv().await.unwrap();
        assert!(inbox.try_recv().is_err(), "one credit, one job");
        core.settle(first.attempt, "text".into()).await;
        assert_eq!(inbox.recv().await.unwrap().prompt, "second");
    }

    #[tokio::test]
    async fn job_that_waits_goes_to_the_next_pop() {
        let core = core().await;
        let request = core.submit("early".into(), "m").await;
        let (sender, inbox) = oneshot::channel();
        core.offer(Seat::Pop(sender));
        let handout = inbox.await.unwrap();
        core.settle(handout.attempt, "text".into()).await;
        assert_eq!(core.status(request).as_deref(), Some("text"));
        assert!(core.status(request).is_none(), "read once, then forgotten");
    }
}
