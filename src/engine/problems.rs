//! Results of the worst kind, counted by who asked for them. For people to look into; decides nothing.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use super::Engine;
use crate::domain::{AttemptId, Timestamp, UserId};

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// More than so many in an hour, or in a day, call for somebody.
const MANY: (usize, usize) = (50, 200);
/// Accounts that are counted at most; past it, those whose last one is a day old are forgotten, and then
/// no more are counted.
const ACCOUNTS: usize = 10_000;

/// What is known of an account once one more was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Who asked for it.
    pub owner: UserId,
    /// How many in the last hour, this one included.
    pub in_hour: usize,
    /// And in the last day; counted up to a little more than is too many.
    pub in_day: usize,
}

impl Problem {
    /// Whether somebody should look into it.
    ///
    /// Source: the problem jobs of the v2 contract.
    pub fn is_alarming(&self) -> bool {
        self.in_hour > MANY.0 || self.in_day > MANY.1
    }
}

/// When each account's were found, oldest first.
#[derive(Default)]
pub(super) struct Problems(HashMap<UserId, VecDeque<Timestamp>>);

impl Problems {
    fn add(&mut self, now: Timestamp, owner: UserId) -> Problem {
        if self.0.len() >= ACCOUNTS && !self.0.contains_key(&owner) {
            self.0.retain(|_, found| found.back().is_some_and(|last| now.since(*last) < DAY));
            if self.0.len() >= ACCOUNTS {
                return Problem { owner, in_hour: 1, in_day: 1 };
            }
        }
        let found = self.0.entry(owner).or_default();
        found.push_back(now);
        while found.len() > MANY.1 + 1 || found.front().is_some_and(|at| now.since(*at) >= DAY) {
            found.pop_front();
        }
        let in_hour = found.iter().filter(|at| now.since(**at) < HOUR).count();
        Problem { owner, in_hour, in_day: found.len() }
    }
}

impl Engine {
    /// Notes that a result was of the worst kind; `None`: its request is not known any more.
    pub fn note_problem(&mut self, now: Timestamp, attempt: AttemptId) -> Option<Problem> {
        let (request, _) = self.places.get(&attempt)?;
        let owner = self.requests.get(request)?.accepted.owner;
        Some(self.problems.add(now, owner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_fifty_an_hour_or_two_hundred_a_day_are_alarming() {
        for (every, count, right, rule) in [
            (60, 50, false, "fifty within an hour"),
            (60, 51, true, "one more"),
            (400, 200, false, "two hundred within a day"),
            (400, 201, true, "one more"),
            (500, 300, false, "never as many at a time"),
        ] {
            let mut problems = Problems::default();
            let mut last = None;
            for i in 0..count {
                last = Some(problems.add(Timestamp(i * every * 1000), UserId(7)));
            }
            assert_eq!(last.unwrap().is_alarming(), right, "{rule}: {last:?}");
        }
    }

    #[test]
    fn accounts_are_counted_apart() {
        let mut problems = Problems::default();
        for id in 0..300 {
            assert_eq!(problems.add(Timestamp(0), UserId(id)).in_day, 1);
        }
    }
}
