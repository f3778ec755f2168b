//! How much of the queue one look at it may read request by request.

use crate::engine::matching::Able;

/// Requests that are looked at one by one.
const REQUESTS: usize = 1_000;
/// Letters that are compared: of prompts, with each word of a blacklist.
const LETTERS: usize = 16 << 20;

/// What is left of it. A worker that refuses words may be told that there is nothing for it although, far
/// behind a thousand prompts that it would not have, there is.
pub(in crate::engine) struct Budget {
    requests: usize,
    letters: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { requests: REQUESTS, letters: LETTERS }
    }
}

impl Budget {
    /// Whether one more request may be looked at; counts it.
    pub fn may_look(&mut self, prompt: &str, able: &Able<'_>) -> bool {
        if self.requests == 0 || self.letters == 0 {
            return false;
        }
        self.requests -= 1;
        self.letters = self.letters.saturating_sub(prompt.len() * (1 + able.said.blacklist.len()));
        true
    }
}
