//! Rows of kudos: postings, what moved them, transfers, and monthly payments.

use serde_json::{Value, json};

use super::{Rows, Sums};
use crate::domain::{
    UserId,
    kudos::Posting,
    record::Record,
    source::Moved,
    transfer::{COOL_DOWN, Transfer},
};

impl Rows {
    /// Adds a record about kudos; whether it could be.
    pub(super) fn add_kudos(&mut self, record: &Record, sums: &mut Sums) -> bool {
        match record {
            // A key counts once within a batch, too.
            Record::Posted(posting) if sums.posted.insert(posting.key.clone()) => {
                self.postings.push(posting_row(posting));
            }
            Record::KudosTransferred { transfer, floor } => {
                // Rows of accounts are locked in one go.
                sums.users.entry(transfer.sender).or_default();
                sums.users.entry(transfer.receiver).or_default();
                let highest = self.floors.entry(transfer.sender).or_insert(*floor);
                *highest = (*highest).max(*floor);
                self.transfers.push(transfer_row(transfer));
            }
            Record::MonthlyChanged { user, delta, at } => {
                // It never falls below zero, so that of two the order counts.
                if !sums.monthly.insert(*user) {
                    return false;
                }
                sums.users.entry(*user).or_default();
                self.monthly_changes.push(json!([user, delta, at]));
            }
            Record::MonthlyPaid { user, before, at } => {
                if !sums.monthly.insert(*user) {
                    return false;
                }
                sums.users.entry(*user).or_default();
                self.monthly_payments.push(json!([user, before, at]));
            }
            _ => {}
        }
        true
    }

    /// What moved kudos, of accounts for which that changed.
    pub(super) fn count_kudos(&mut self, sums: &Sums) {
        let moved = sums.users.iter().filter(|(_, stats)| stats.moved != Moved::default());
        self.kudos_counts = moved.map(|(id, stats)| kudos_count(*id, &stats.moved)).collect();
    }
}

fn posting_row(posting: &Posting) -> Value {
    json!([posting.key, posting.from, posting.to, posting.amount, posting.at])
}

fn transfer_row(transfer: &Transfer) -> Value {
    let Transfer { id, sender, receiver, shared_key, amount, at } = transfer;
    let cooled_at = at.0.saturating_sub(i64::try_from(COOL_DOWN.as_millis()).unwrap_or(i64::MAX));
    json!([id, sender, receiver, shared_key, amount, at, cooled_at])
}

fn kudos_count(id: UserId, moved: &Moved) -> Value {
    let Moved { gifted, donated, received, recurring, awarded, styled, lifts } = moved;
    json!([id, gifted, donated, received, recurring, awarded, styled, lifts])
}
