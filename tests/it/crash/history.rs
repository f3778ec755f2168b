//! What clients and workers were told, and nothing else.

use std::collections::{BTreeMap, HashMap, HashSet};

use gridbroker::domain::Kudos;

/// Complaints that are kept.
const ENOUGH: usize = 20;

/// A submitted request. Its prompt is unique, and names it before the broker does.
pub struct Asked {
    pub jobs: usize,
    /// Its ID, once the broker said that it is accepted. `None`: the call was cut, so it may exist.
    pub id: Option<String>,
    /// Somebody meant to cancel it, so it may end with fewer results.
    pub is_cancelled: bool,
}

/// How the prompts of requests begin that no worker can do.
pub const DOOMED: &str = "doomed";

/// A result whose worker was told what it earns, at once or when it asked again.
pub struct Acknowledged {
    pub prompt: String,
    pub text: String,
    pub owner: &'static str,
    pub reward: Kudos,
}

/// What came back for a result.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Rewarded(Kudos),
    Duplicate(Kudos),
    Aborted,
    /// The connection broke: how.
    Cut(String),
    /// Anything else, which is a complaint.
    Other(String),
}

/// The witness of a run.
#[derive(Default)]
pub struct History {
    pub asked: BTreeMap<String, Asked>,
    /// IDs of accepted requests, and their prompts.
    ids: HashMap<String, String>,
    /// The same IDs in the order of acceptance, to pick from.
    pub accepted_in_order: Vec<String>,
    accepted_jobs: usize,
    /// Jobs of cancelled and of doomed requests.
    written_off: usize,
    pub acknowledged: HashMap<String, Acknowledged>,
    /// Order of acknowledgement, to pick from.
    pub in_order: Vec<String>,
    /// Attempts that workers were given, with their prompts.
    pub granted: HashMap<String, String>,
    pub aborted: HashSet<String>,
    /// Results that were sent and not answered yet.
    unanswered: HashSet<String>,
    /// Calls and streams that broke.
    pub cuts: usize,
    /// Calls that broke when they were made again at once, elsewhere.
    pub cuts_after_retry: usize,
    /// What became of some of those, both times.
    pub failed_twice: Vec<String>,
    pub complaints: Vec<String>,
}

impl History {
    pub fn complain(&mut self, complaint: String) {
        if self.complaints.len() < ENOUGH {
            self.complaints.push(complaint);
        }
    }

    pub fn asks(&mut self, prompt: &str, jobs: usize) {
        self.asked.insert(prompt.to_owned(), Asked { jobs, id: None, is_cancelled: false });
    }

    pub fn accepted(&mut self, prompt: &str, id: String) {
        if self.ids.insert(id.clone(), prompt.to_owned()).is_some() {
            self.complain(format!("two requests have the ID {id}"));
        }
        self.accepted_in_order.push(id.clone());
        let asked = self.asked.get_mut(prompt).expect("what is accepted was asked for");
        asked.id = Some(id);
        self.accepted_jobs += asked.jobs;
        if prompt.starts_with(DOOMED) {
            self.written_off += asked.jobs;
        }
    }

    /// Somebody is about to cancel a request.
    pub fn cancels(&mut self, id: &str) {
        let asked = self.ids.get(id).and_then(|prompt| self.asked.get_mut(prompt));
        let asked = asked.expect("what is cancelled was accepted");
        if !asked.is_cancelled {
            asked.is_cancelled = true;
            self.written_off += asked.jobs;
        }
    }

    /// Jobs that were accepted and are not acknowledged, roughly.
    pub fn backlog(&self) -> usize {
        self.accepted_jobs.saturating_sub(self.acknowledged.len() + self.written_off)
    }

    /// A call of somebody broke; `before` is how it broke the last time, if this was a second try.
    pub fn is_cut(&mut self, who: &str, before: &mut Option<String>, why: String) {
        self.cuts += 1;
        if let Some(before) = before.replace(why.clone()) {
            self.cuts_after_retry += 1;
            if self.failed_twice.len() < ENOUGH {
                self.failed_twice.push(format!("{who}: {before}; then {why}"));
            }
        }
    }

    /// Requests that were accepted.
    pub fn accepted_requests(&self) -> usize {
        self.ids.len()
    }

    pub fn is_granted(&mut self, attempt: &str, prompt: &str) {
        if let Some(before) = self.granted.insert(attempt.to_owned(), prompt.to_owned()) {
            self.complain(format!("attempt {attempt} was handed out twice, of {before:?} and of {prompt:?}"));
        }
    }

    /// A result is sent, for the first time or again.
    pub fn sends(&mut self, attempt: &str) {
        if !self.acknowledged.contains_key(attempt) {
            self.unanswered.insert(attempt.to_owned());
        }
    }

    pub fn unanswered(&self) -> usize {
        self.unanswered.len()
    }

    /// What came back when a worker said that it cannot do a job. Returns how that broke; `None`: it was
    /// answered.
    pub fn faulted(&mut self, attempt: &str, answer: Answer) -> Option<String> {
        match answer {
            Answer::Cut(why) => return Some(why),
            Answer::Rewarded(Kudos::ZERO) => {}
            other => self.complain(format!("fault of {attempt}: {other:?}")),
        }
        self.unanswered.remove(attempt);
        None
    }

    /// What came back for the result of an attempt; `was_cut`: an earlier call for it broke.
    /// Returns how it broke; `None`: it was an answer.
    pub fn answered(
        &mut self,
        (attempt, prompt, text): (&str, &str, &str),
        owner: &'static str,
        was_cut: bool,
        answer: Answer,
    ) -> Option<String> {
        let known = self.acknowledged.get(attempt).map(|known| known.reward);
        let reward = match (&answer, known) {
            (Answer::Cut(why), _) => return Some(why.clone()),
            (Answer::Rewarded(reward), None) => Some(*reward),
            // The call that settled it was cut: this is how the worker hears of its reward.
            (Answer::Duplicate(reward), None) if was_cut => Some(*reward),
            (Answer::Duplicate(reward), Some(known)) if *reward == known => None,
            (Answer::Aborted, None) => {
                self.aborted.insert(attempt.to_owned());
                None
            }
            (answer, known) => {
                self.complain(format!("result of {attempt}: {answer:?}, with {known:?} acknowledged before"));
                None
            }
        };
        self.unanswered.remove(attempt);
        if let Some(reward) = reward {
            let (prompt, text) = (prompt.to_owned(), text.to_owned());
            self.acknowledged.insert(attempt.to_owned(), Acknowledged { prompt, text, owner, reward });
            self.in_order.push(attempt.to_owned());
        }
        None
    }
}
