//! How the jobs of one worker go, said to the broker over one report stream.
//!
//! The board holds all that is to be said of each job that is held, and how far it was said. So a
//! slow connection never slows a model (what piles up goes out as one longer report), and after a cut
//! everything is said again from the beginning: the broker knows repeated text by its offset.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{backoff::Backoff, connection::KeyedChannel, refusal};
use crate::rpc::pb::{ReportRequest, worker_client::WorkerClient};

/// Longest text of one report, in bytes; the broker takes four times as much.
const MAX_TEXT_BYTES: usize = 16 << 10;
/// Reports under way: more only adds to what is said twice after a cut.
const UNDER_WAY: usize = 16;
/// A stream is ended when no job has been held for so long.
const IDLE: Duration = Duration::from_secs(1);
/// A stream that held for so long was a good one.
const GOOD: Duration = Duration::from_secs(5);

/// The reports of one worker. Clones are the same board.
#[derive(Clone, Default)]
pub(super) struct Reports {
    board: Arc<Mutex<Board>>,
    news: Arc<Notify>,
}

#[derive(Default)]
struct Board {
    live: HashMap<Arc<str>, Live>,
    /// Jobs of which something is unsaid, each once, longest waiting first.
    unsaid: VecDeque<Arc<str>>,
}

#[derive(Default)]
struct Live {
    is_listed: bool,
    accepted_said: bool,
    text: String,
    text_said: usize,
    steps: Option<(i32, i32)>,
    steps_said: bool,
}

impl Live {
    fn has_news(&self) -> bool {
        !self.accepted_said || self.text_said < self.text.len() || (self.steps.is_some() && !self.steps_said)
    }

    /// The next report on it; nothing but the ID says that it is accepted.
    fn next(&mut self, id: &str) -> ReportRequest {
        let mut report = ReportRequest { id: id.to_owned(), ..Default::default() };
        if std::mem::replace(&mut self.accepted_said, true) {
            let end = self.text.floor_char_boundary(self.text_said + MAX_TEXT_BYTES);
            report.text = self.text[self.text_said..end].to_owned();
            report.offset = (!report.text.is_empty()).then_some(self.text_said as u64);
            self.text_said = end;
            if let Some((done, total)) = self.steps.filter(|_| !self.steps_said) {
                (report.current_step, report.total_steps) = (Some(done), Some(total));
                self.steps_said = true;
            }
        }
        report
    }
}

impl Board {
    fn change(&mut self, job: &str, change: impl FnOnce(&mut Live)) {
        let Some((id, live)) = self.live.get_key_value(job).map(|(id, _)| id.clone()).and_then(|id| {
            let live = self.live.get_mut(&id)?;
            Some((id, live))
        }) else {
            return;
        };
        change(live);
        if live.has_news() && !std::mem::replace(&mut live.is_listed, true) {
            self.unsaid.push_back(id);
        }
    }

    fn next(&mut self) -> Option<ReportRequest> {
        loop {
            let id = self.unsaid.pop_front()?;
            let Some(live) = self.live.get_mut(&id) else { continue };
            let report = live.next(&id);
            live.is_listed = live.has_news();
            if live.is_listed {
                self.unsaid.push_back(id);
            }
            return Some(report);
        }
    }

    fn say_again(&mut self) {
        let jobs: Vec<_> = self.live.keys().cloned().collect();
        for job in jobs {
            self.change(&job, |live| {
                (live.accepted_said, live.text_said, live.steps_said) = (false, 0, false);
            });
        }
    }
}

impl Reports {
    /// A job is held from here on, which is said at once.
    pub fn begin(&self, job: &Arc<str>) {
        self.board.lock().live.entry(job.clone()).or_default();
        self.change(job, |_| {});
    }

    /// More text of a job.
    pub fn text(&self, job: &str, more: &str) {
        self.change(job, |live| live.text.push_str(more));
    }

    /// Steps done of a job.
    pub fn steps(&self, job: &str, done: i32, total: i32) {
        self.change(job, |live| (live.steps, live.steps_said) = (Some((done, total)), false));
    }

    /// A job is held no more; what is unsaid of it stays so, as the result says it all.
    pub fn end(&self, job: &str) {
        self.board.lock().live.remove(job);
    }

    fn change(&self, job: &str, change: impl FnOnce(&mut Live)) {
        self.board.lock().change(job, change);
        self.news.notify_one();
    }

    fn has_news(&self) -> bool {
        !self.board.lock().unsaid.is_empty()
    }

    async fn wait_for_news(&self) {
        while !self.has_news() {
            self.news.notified().await;
        }
    }

    /// Says what there is to say, for as long as it is polled. One task at a time.
    pub async fn send(&self, mut client: WorkerClient<KeyedChannel>) -> Infallible {
        let mut backoff = Backoff::default();
        loop {
            self.wait_for_news().await;
            let (reports, under_way) = mpsc::channel(UNDER_WAY);
            let opened_at = Instant::now();
            let mut call = pin!(client.report(ReceiverStream::new(under_way)));
            let ended = tokio::select! {
                ended = &mut call => ended.and(Err(Status::unavailable("the broker ended it"))),
                () = self.forward(reports) => call.await,
            };
            let Err(status) = ended else { continue };
            tracing::debug!(code = ?status.code(), "the report stream broke: {}", status.message());
            if opened_at.elapsed() >= GOOD {
                backoff.reset();
            }
            tokio::time::sleep(backoff.wait(refusal::asked_wait(&status))).await;
            self.board.lock().say_again();
        }
    }

    /// Puts reports on their way until no job has been held for a while: an idle stream would only
    /// hold up a broker that goes down.
    async fn forward(&self, reports: mpsc::Sender<ReportRequest>) {
        loop {
            if timeout(IDLE, self.wait_for_news()).await.is_err() {
                if self.board.lock().live.is_empty() {
                    return;
                }
                continue;
            }
            // The call has let go of its end: its own answer says why.
            let Ok(permit) = reports.reserve().await else { return std::future::pending().await };
            if let Some(report) = self.board.lock().next() {
                permit.send(report);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(reports: &Reports) -> Vec<ReportRequest> {
        std::iter::from_fn(|| reports.board.lock().next()).collect()
    }

    #[test]
    fn a_job_is_accepted_first_and_its_text_keeps_its_offsets() {
        let (reports, job) = (Reports::default(), Arc::from("a"));
        reports.begin(&job);
        reports.text("a", "one ");
        reports.text("a", "two ");
        let first = said(&reports);
        assert_eq!(first[0], ReportRequest { id: "a".into(), ..Default::default() });
        assert_eq!((first[1].text.as_str(), first[1].offset), ("one two ", Some(0)));
        reports.text("a", "three");
        let second = said(&reports);
        assert_eq!((second[0].text.as_str(), second[0].offset, second.len()), ("three", Some(8), 1));
    }

    #[test]
    fn after_a_cut_everything_is_said_again_but_not_of_jobs_that_ended() {
        let reports = Reports::default();
        for job in ["a", "b"] {
            reports.begin(&Arc::from(job));
            reports.text(job, "text");
            reports.steps(job, 3, 30);
        }
        said(&reports);
        reports.end("b");
        reports.board.lock().say_again();
        let again = said(&reports);
        assert_eq!(again.len(), 2, "accepted, then all there is: {again:?}");
        assert_eq!((again[1].text.as_str(), again[1].offset), ("text", Some(0)));
        assert_eq!((again[1].current_step, again[1].total_steps), (Some(3), Some(30)));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let (reports, text) = (Reports::default(), "€".repeat(MAX_TEXT_BYTES));
        reports.begin(&Arc::from("a"));
        reports.text("a", &text);
        let parts = said(&reports);
        assert!(parts.iter().all(|part| part.text.len() <= MAX_TEXT_BYTES));
        assert_eq!(parts.iter().map(|part| part.text.as_str()).collect::<String>(), text);
    }

    #[test]
    fn steps_that_were_not_said_in_time_are_passed_over() {
        let reports = Reports::default();
        reports.begin(&Arc::from("a"));
        said(&reports);
        (1..=5).for_each(|step| reports.steps("a", step, 5));
        assert_eq!(said(&reports).iter().map(|r| r.current_step).collect::<Vec<_>>(), [Some(5)]);
    }
}
