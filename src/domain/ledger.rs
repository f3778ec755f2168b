//! What whoever checks the books finds.

use super::Kudos;

/// What was looked at, and what of it does not add up.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Audit {
    /// Accounts of users.
    pub users: i64,
    /// Postings.
    pub postings: i64,
    /// Results that were settled.
    pub settlements: i64,
    /// Requests for which kudos are set aside.
    pub holds: i64,
    /// What all accounts hold together; zero.
    pub sum: Kudos,
    /// What does not add up; nothing, if all is well.
    pub findings: Vec<Finding>,
}

/// A rule that the books break.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The rule.
    pub rule: &'static str,
    /// How often it is broken.
    pub count: i64,
    /// One of the places.
    pub example: String,
}

impl Audit {
    /// Notes it if all accounts together hold something.
    pub fn judge_sum(&mut self) {
        if self.sum != Kudos::ZERO {
            let example = format!("all accounts together hold {} kudos", self.sum);
            self.findings.push(Finding { rule: "all accounts together hold nothing", count: 1, example });
        }
    }

    /// Whether all adds up.
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }
}

/// What accounts hold, as far as it is known without reading the whole ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Holdings {
    /// Balances of users.
    pub balances: Kudos,
    /// What is put aside until they are trusted.
    pub escrows: Kudos,
    /// What is set aside for their requests.
    pub held: Kudos,
}
