//! How many pairs each rule forbids, and how many it alone.

use super::Table;
use crate::{
    domain::request::Kind,
    engine::matching::{Pair, Rule, Rules},
};

/// How often a rule forbids. Of a request's workers the jobs are workers.
#[derive(Clone, Copy)]
pub struct Count {
    /// The rule.
    pub rule: &'static Rule,
    /// Jobs, or workers, that it forbids.
    pub jobs: usize,
    /// Those that it alone forbids.
    pub jobs_alone: usize,
    /// Requests of those jobs.
    pub requests: usize,
    /// Requests of those that it alone forbids.
    pub requests_alone: usize,
}

impl std::fmt::Debug for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rule, jobs, jobs_alone, requests, requests_alone } = self;
        write!(f, "{}: {jobs} ({jobs_alone} alone) of {requests} ({requests_alone})", rule.name)
    }
}

/// Which rules of a table forbid a pair: a bit each, in its order.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Verdict(pub u64);

impl Verdict {
    /// Whether none does.
    pub fn is_free(self) -> bool {
        self.0 == 0
    }

    /// Whether one of those forbids.
    pub fn has_any_of(self, rules: Self) -> bool {
        self.0 & rules.0 != 0
    }

    /// How many do.
    pub fn rules(self) -> u32 {
        self.0.count_ones()
    }

    fn has(self, rule: usize) -> bool {
        self.0 & (1 << rule) != 0
    }

    fn is_alone(self, rule: usize) -> bool {
        self.0 == 1 << rule
    }
}

/// The counts of all rules of a kind.
pub struct Counts {
    /// The kind.
    pub kind: Kind,
    /// The rules.
    pub table: Table,
    counts: Vec<Count>,
}

impl Counts {
    /// Nothing was counted yet.
    pub fn new(kind: Kind) -> Self {
        let table = Rules::of(kind).each();
        let zero =
            |rule: &&'static Rule| Count { rule, jobs: 0, jobs_alone: 0, requests: 0, requests_alone: 0 };
        Self { kind, counts: table.iter().map(zero).collect(), table }
    }

    /// Puts a pair through the table.
    pub fn judge(&self, pair: &Pair<'_>) -> Verdict {
        let forbids = |(at, rule): (usize, &&'static Rule)| u64::from((rule.forbids)(pair)) << at;
        Verdict(self.table.iter().enumerate().map(forbids).fold(0, |all, one| all | one))
    }

    /// Those rules of a verdict that forbid.
    pub fn of(&self, verdict: Verdict) -> impl Iterator<Item = &'static Rule> {
        self.table.iter().enumerate().filter(move |(at, _)| verdict.has(*at)).map(|(_, rule)| *rule)
    }

    /// Rules that are such.
    pub fn such(&self, is_such: impl Fn(&Rule) -> bool) -> Verdict {
        let bits = self.table.iter().enumerate().map(|(at, rule)| u64::from(is_such(rule)) << at);
        Verdict(bits.fold(0, |all, one| all | one))
    }

    /// Counts a worker.
    pub fn add_worker(&mut self, verdict: Verdict) {
        self.add(&[(verdict, 1)], 1);
    }

    /// Counts requests that are alike: their verdicts, each with the jobs that it is of.
    pub fn add(&mut self, parts: &[(Verdict, usize)], requests: usize) {
        for (at, count) in self.counts.iter_mut().enumerate() {
            let jobs = |is_such: &dyn Fn(Verdict) -> bool| -> usize {
                parts.iter().filter(|(verdict, _)| is_such(*verdict)).map(|(_, jobs)| jobs).sum()
            };
            let (all, alone) = (jobs(&|verdict| verdict.has(at)), jobs(&|verdict| verdict.is_alone(at)));
            count.jobs += all;
            count.jobs_alone += alone;
            count.requests += if all > 0 { requests } else { 0 };
            count.requests_alone += if alone > 0 { requests } else { 0 };
        }
    }

    /// Those that are not zero.
    pub fn into_counts(self) -> Vec<Count> {
        self.counts.into_iter().filter(|count| count.jobs > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_bit_and_says_why() {
        for kind in Kind::ALL {
            let counts = Counts::new(kind);
            assert!(counts.table.len() <= 64, "{kind:?} has {} rules", counts.table.len());
            for rule in &counts.table {
                assert!(rule.why.len() > 20 && !rule.why.ends_with('.'), "{}: {}", rule.name, rule.why);
            }
        }
    }

    #[test]
    fn a_request_counts_once_however_many_of_its_jobs_are_forbidden() {
        let mut counts = Counts::new(Kind::Alchemy);
        let bit = |at: usize| 1 << at;
        let parts = [(Verdict(bit(0)), 2), (Verdict(bit(0) | bit(1)), 3), (Verdict(0), 5)];
        counts.add(&parts, 4);
        let told = counts.into_counts();
        let told: Vec<_> =
            told.iter().map(|c| (c.jobs, c.jobs_alone, c.requests, c.requests_alone)).collect();
        assert_eq!(told, [(5, 2, 4, 4), (3, 0, 4, 0)]);
    }
}
