//! What is known of a request from its events.

use std::collections::BTreeMap;

use crate::rpc::pb::{JobResult, WatchResponse, watch_response::Event};

/// What is known of a request.
#[derive(Default)]
pub(super) struct Story {
    /// Where to go on after a cut.
    pub cursor: String,
    /// Results by job.
    pub results: BTreeMap<i32, JobResult>,
    /// Text told so far, by job.
    pub told: BTreeMap<i32, String>,
    /// Share done of each job under way, from 0 to 1.
    pub shares: BTreeMap<i32, f64>,
    /// Why there is less than was asked for.
    pub failure: Option<String>,
    /// Nothing more will come.
    pub is_over: bool,
}

impl Story {
    /// Takes the next event.
    pub fn take(&mut self, message: WatchResponse) {
        self.cursor = message.cursor;
        match message.event {
            Some(Event::Progress(progress)) => {
                let share = f64::from(progress.current_step) / f64::from(progress.total_steps.max(1));
                self.shares.insert(progress.job, share);
            }
            Some(Event::Token(token)) => self.told.entry(token.job).or_default().push_str(&token.text),
            Some(Event::Result(result)) => {
                self.shares.insert(result.job, 1.0);
                self.results.insert(result.job, result);
            }
            Some(Event::Reset(reset)) => match reset.job {
                Some(job) => {
                    self.told.remove(&job);
                    self.shares.remove(&job);
                    self.results.remove(&job);
                }
                None => *self = Self { cursor: std::mem::take(&mut self.cursor), ..Self::default() },
            },
            Some(Event::Faulted(faulted)) => {
                self.failure = Some(format!("the request failed: {}", faulted.message));
            }
            Some(Event::Cancelled(_)) => self.failure = Some("the request was cancelled".into()),
            Some(Event::Done(_)) => self.is_over = true,
            Some(Event::Queued(_) | Event::Assigned(_) | Event::Preview(_) | Event::KeepAlive(_)) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::pb::{Progress, Reset, Token};

    fn told(story: &mut Story, cursor: &str, event: Event) {
        story.take(WatchResponse { cursor: cursor.into(), event: Some(event) });
    }

    #[test]
    fn a_job_that_starts_over_forgets_its_own_and_a_new_log_forgets_all() {
        let mut story = Story::default();
        for job in [0, 1] {
            told(&mut story, "1-1", Event::Token(Token { job, text: "a".into(), ..Default::default() }));
            told(&mut story, "1-2", Event::Token(Token { job, text: "b".into(), ..Default::default() }));
            let half = Progress { job, current_step: 1, total_steps: 2, ..Default::default() };
            told(&mut story, "1-3", Event::Progress(half));
        }
        told(&mut story, "1-4", Event::Reset(Reset { job: Some(0) }));
        assert_eq!(story.told, BTreeMap::from([(1, "ab".to_owned())]));
        assert_eq!(story.shares, BTreeMap::from([(1, 0.5)]));
        told(&mut story, "2-0", Event::Reset(Reset { job: None }));
        assert!(story.told.is_empty() && story.shares.is_empty());
        assert_eq!(story.cursor, "2-0", "but not where it is");
    }
}
