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
}

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
    /// The connection broke.
    Cut,
    /// Anything else, which is a complaint.
    Other(String),
}

/// The witness of a run.
#[derive(Default)]
pub struct History {
    pub asked: BTreeMap<String, Asked>,
    ids: HashSet<String>,
    accepted_jobs: usize,
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
    pub complaints: Vec<String>,
}

impl History {
    pub fn complain(&mut self, complaint: String) {
        if self.complaints.len() < ENOUGH {
            self.complaints.push(complaint);
        }
    }

    pub fn asks(&mut self, prompt: &str, jobs: usize) {
        self.asked.insert(prompt.to_owned(), Asked { jobs, id: None });
    }

    pub fn accepted(&mut self, prompt: &str, id: String) {
        if !self.ids.insert(id.clone()) {
            self.complain(format!("two requests have the ID {id}"));
        }
        let asked = self.asked.get_mut(prompt).expect("what is accepted was asked for");
        asked.id = Some(id);
        self.accepted_jobs += asked.jobs;
    }

    /// Jobs that were accepted and are not acknowledged.
    pub fn backlog(&self) -> usize {
        self.accepted_jobs.saturating_sub(self.acknowledged.len())
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

    /// What came back for the result of an attempt; `was_cut`: an earlier call for it broke.
    /// Returns whether it was an answer.
    pub fn answered(
        &mut self,
        (attempt, prompt, text): (&str, &str, &str),
        owner: &'static str,
        was_cut: bool,
        answer: Answer,
    ) -> bool {
        let known = self.acknowledged.get(attempt).map(|known| known.reward);
        let reward = match (&answer, known) {
            (Answer::Cut, _) => {
                self.cuts += 1;
                return false;
            }
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
        true
    }
}
