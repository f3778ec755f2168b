//! Records as rows: what a batch amounts to, table by table. The same for both keepers of Records.
//!
//! A row is a JSON array, so that a keeper hands a whole table's rows to one statement. Rows are made
//! before they are changed, and dropped last, so that a batch may hold a whole life. Changes of the
//! same thing are summed up before they are written; of things said, the last word counts.
//!
//! Deeds that are written together are on disk at one instant: what one of them makes room for,
//! another may take, before it or after it. Where their order matters all the same they cannot be
//! summed up, see [`Rows::of`].

mod accounts;
mod filters;
mod kudos;
mod lent;
mod limit;
mod people;
mod requests;
mod stats;
mod styles;
mod sums;
mod teams;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use self::accounts::user_row;
pub use self::{filters::FilterRows, limit::Limit, styles::StyleRows};
use self::{
    people::{ruling_row, user_count, word_row, worker_count, worker_row},
    requests::request_change,
    sums::Sums,
    teams::{team_change_row, team_count},
};
use super::{Deed, Failure};
use crate::domain::{AttemptId, Kudos, SharedKeyId, UserId, record::Record, request::Kind};

/// Rows to be written, by table and kind of change.
#[derive(Default)]
pub struct Rows {
    /// Accounts that are made: see `rows/accounts.rs`.
    pub users: Vec<Value>,
    /// `[id, alias, key_hash, identity, contact, admin_comment, public_workers, usage_multiplier,
    /// proxy_passkey, concurrency, worker_invites, roles given, roles taken, clears, active_at]`: what is null
    /// stays. Their accounts have rows among `user_counts`, too.
    pub amendments: Vec<Value>,
    /// `[id]`, of accounts that lend no key any more.
    pub lenders: Vec<Value>,
    /// `[id, requested jobs and things of each kind, fulfilled …, accumulated, granted, suspicion]`. An
    /// account with new workers or holds has a row here, too: who counts those is the only one to.
    pub user_counts: Vec<Value>,
    /// `[id, gifted, donated, received, recurring, awarded, styled, lifts]`
    pub kudos_counts: Vec<Value>,
    /// `[id, sender, receiver, shared_key, amount, at, cooled_at]`: refused if there is one the other way
    /// after `cooled_at`. Accounts of all four have rows among `user_counts`, too.
    pub transfers: Vec<Value>,
    /// `[id, amount]`, of lent keys that may be spent on more.
    pub key_fills: Vec<Value>,
    /// `[id, delta, at]`
    pub monthly_changes: Vec<Value>,
    /// `[id, before, at]`
    pub monthly_payments: Vec<Value>,
    /// `[id, name, owner, created_at, seen_at, profile, maintenance, kind, address, suspected_once]`, of new ones.
    pub workers: Vec<Value>,
    /// How many workers accounts with new ones may have once all is written.
    pub fleets: BTreeMap<UserId, Limit>,
    /// `[id, seen_at, profile, address]`
    pub words: Vec<Value>,
    /// `[id, has maintenance, maintenance, info, paused, name, has team, team, clears, suspected_once,
    /// suspected_again]`: what is null stays, but for maintenance and team, which say so before.
    pub rulings: Vec<Value>,
    /// `[id]`
    pub worker_drops: Vec<Value>,
    /// `[name, is_on]`
    pub modes: Vec<Value>,
    /// `[id, worker, author, message, origin, created_at, expires_at]`
    pub messages: Vec<Value>,
    /// `[id]`
    pub message_drops: Vec<Value>,
    /// `[network, expires_at]`
    pub timeouts: Vec<Value>,
    /// `[network]`
    pub timeout_drops: Vec<Value>,
    /// `[id, fulfilled, uncompleted, things, generated, uptime_seconds, speeds, uptime_kudos, unpaid_seconds]`
    pub worker_counts: Vec<Value>,
    /// `[id, number]`, of workers whose time online is paid for.
    pub uptime_rewards: Vec<Value>,
    /// `[id, key_hash, owner, name, budget, expires_at, max_image_pixels, max_image_steps, max_text_tokens,
    /// created_at]`
    pub shared_keys: Vec<Value>,
    /// `[id, name, has budget, budget, …]`, and so on with `expires_at` and the three bounds: what is null
    /// stays, but for those that say so before.
    pub key_changes: Vec<Value>,
    /// `[id]`
    pub key_drops: Vec<Value>,
    /// How many keys accounts with new ones may lend once all is written. They have rows among
    /// `user_counts`, too.
    pub key_limits: BTreeMap<UserId, i64>,
    /// `[id, amount]`
    pub key_uses: Vec<Value>,
    /// `[request, shared_key, amount]`: kudos of keys that are kept. Those who lend them have rows among
    /// `user_counts`, too.
    pub key_holds: Vec<Value>,
    /// `[request, amount]`: what is spent with a key for a request, and no longer kept.
    pub key_spendings: Vec<Value>,
    /// Of each key with new holds, what they are in all.
    pub reserved: BTreeMap<SharedKeyId, Kudos>,
    /// `[id, name, name_key, info, owner, created_at]`
    pub teams: Vec<Value>,
    /// `[id, name, name_key, info]`: what is null stays.
    pub team_changes: Vec<Value>,
    /// `[id]`
    pub team_drops: Vec<Value>,
    /// `[id, fulfilled, kudos, uptime_seconds]`
    pub team_counts: Vec<Value>,
    /// `[id, role]`, of accounts that get one.
    pub roles: Vec<Value>,
    /// `[id, owner, created_at, priority, spec, expires_at, jobs, kind]`
    pub requests: Vec<Value>,
    /// `[id, open, settled, expires_at, cancelled, faulted, consumed, opens]`: sums, the latest instant,
    /// flags. One that is dropped has a row here, too; one with attempts that open says so in `opens`.
    pub request_changes: Vec<Value>,
    /// What accounts with new requests may have waiting once all is written.
    pub limits: BTreeMap<(UserId, Kind), Limit>,
    /// `[request, owner, amount]`: kudos set aside. Their owners have rows among `user_counts`, too.
    pub holds: Vec<Value>,
    /// What the balances of accounts with new holds or transfers, less all that is set aside, may not fall below once
    /// all is written.
    pub floors: BTreeMap<UserId, Kudos>,
    /// `[id, request, job, number, worker, model, seed, held, granted_at, expires_at, state]`: one that
    /// also ends in the batch is made ended.
    pub attempts: Vec<Value>,
    /// `[id, expires_at]`
    pub leases: Vec<Value>,
    /// `[id, state]`, of attempts that were open before.
    pub endings: Vec<Value>,
    /// `[attempt, request, reward, outcome]`
    pub outcomes: Vec<Value>,
    /// `[key, debit, credit, amount, at]`
    pub postings: Vec<Value>,
    /// `[attempt, request, host, made_at]`
    pub webhooks: Vec<Value>,
    /// `[id, before]`
    pub drops: Vec<Value>,
    /// Of styles and collections.
    pub styles: StyleRows,
    /// Of filters.
    pub filters: FilterRows,
    /// `[start, kind, model, jobs, things]`, of what was made.
    pub counts: Vec<Value>,
}

/// Place of the state in a row of an attempt.
const STATE: usize = 10;

impl Rows {
    /// What deeds amount to. `None` if they cannot be summed up: an attempt ends twice, or a deed rests
    /// on what one before it has undone. Single deeds have no order, so for one it means the former.
    ///
    /// # Errors
    /// A value cannot be written as JSON.
    pub fn of(deeds: &[Deed]) -> Result<Option<Self>, Failure> {
        let (mut rows, mut sums) = (Self::default(), Sums::default());
        for (number, deed) in deeds.iter().enumerate() {
            for record in deed {
                if sums.is_undone(record, number) || !rows.add(record, number, &mut sums)? {
                    return Ok(None);
                }
            }
        }
        rows.limit(&sums);
        rows.count_kudos(&sums);
        rows.sum_up_board(&sums);
        rows.user_counts = sums.users.iter().map(|(id, stats)| user_count(*id, stats)).collect();
        rows.worker_counts = sums
            .workers
            .into_iter()
            .map(|(id, (change, speeds))| worker_count(id, &change, &speeds))
            .collect();
        rows.request_changes = sums.requests.iter().map(|(id, change)| request_change(*id, change)).collect();
        rows.words = sums.said.into_values().collect();
        rows.amendments = sums.amended.rows();
        rows.lenders = sums.amended.lenders();
        rows.rulings = sums.ruled.iter().map(|(id, ruling)| ruling_row(*id, ruling)).collect();
        rows.styles.sum_up(sums.styles);
        rows.key_changes =
            sums.key_changes.iter().map(|(id, change)| lent::change_row(*id, change)).collect();
        rows.key_spendings = sums.spent.iter().map(|(id, amount)| json!([id, amount])).collect();
        rows.team_changes =
            sums.team_changes.iter().map(|(id, change)| team_change_row(*id, change)).collect();
        rows.team_counts = sums.teams.iter().map(|(id, figures)| team_count(*id, figures)).collect();
        rows.key_uses = sums.keys.iter().map(|(id, amount)| json!([id, amount])).collect();
        rows.leases = sums.leases.iter().map(|(id, at)| json!([id, at])).collect();
        rows.counts = sums.counts.rows();
        rows.drops = sums.dropped.iter().map(|(id, (_, before))| json!([id, before])).collect();
        Ok(Some(rows))
    }

    fn limit(&mut self, sums: &Sums) {
        for (id, whose, jobs, most) in &sums.accepted {
            let own = match sums.requests.get(id) {
                Some(change) if change.cancelled || change.faulted => 0,
                Some(change) => jobs - change.open - change.settled,
                None => *jobs,
            };
            self.limits.entry(*whose).or_insert(Limit { most: *most, own: 0 }).add(*most, own);
        }
    }

    /// Adds a record; whether it could be.
    fn add(&mut self, record: &Record, deed: usize, sums: &mut Sums) -> Result<bool, Failure> {
        match record {
            Record::UserMade(user) => self.users.push(user_row(user)?),
            Record::UserCounted { user, change } => sums.users.entry(*user).or_default().add(change),
            Record::RoleGiven { user, role } => {
                // Rows of accounts are locked in one go.
                sums.users.entry(*user).or_default();
                self.roles.push(json!([user, role.word()]));
            }
            Record::UserAmended { user, amendment } => {
                // Whether another key may take the place of one is asked of what is there.
                if amendment.replaces.is_some() && sums.amended.changes_key(*user) {
                    return Ok(false);
                }
                sums.users.entry(*user).or_default();
                sums.amended.add(*user, amendment);
            }
            Record::SharedKeyMade { .. }
            | Record::SharedKeyChanged { .. }
            | Record::SharedKeyDropped { .. }
            | Record::KeyHeld { .. }
            | Record::SharedKeyFilled { .. }
            | Record::SharedKeyUsed { .. } => return Ok(self.add_shared_key(record, sums)),
            Record::TeamCounted { team, figures } => sums.teams.entry(*team).or_default().add(*figures),
            Record::Style(change) => {
                // Rows of accounts are locked in one go.
                if let Some(author) = change.thanked() {
                    sums.users.entry(author).or_default();
                }
                return self.styles.add(change, &mut sums.styles);
            }
            Record::UptimeRewarded { worker, number } => {
                // The second of two in a batch rests on the first.
                if !sums.rewarded.insert(*worker) {
                    return Ok(false);
                }
                sums.workers.entry(*worker).or_default();
                self.uptime_rewards.push(json!([worker, number]));
            }
            Record::WorkerMade { worker, limit, .. } => {
                // Alchemists do not count.
                if worker.profile.kind() != Kind::Alchemy {
                    // The one past the limit is let in.
                    let most = signed(*limit).saturating_add(1);
                    self.fleets.entry(worker.owner).or_insert(Limit { most, own: 0 }).add(most, 1);
                    sums.users.entry(worker.owner).or_default();
                }
                self.workers.push(worker_row(worker)?);
            }
            Record::WorkerSaid(worker) => {
                sums.said.insert(worker.id, word_row(worker)?);
            }
            Record::WorkerRuled { worker, ruling } => sums.ruled.entry(*worker).or_default().then(ruling),
            Record::WorkerDropped(worker) => self.worker_drops.push(json!([worker])),
            Record::BoardChanged(change) => self.add_to_board(change, sums),
            Record::FilterChanged(change) => return Ok(self.filters.add(change)),
            Record::JobCounted(counted) => sums.counts.add(counted),
            Record::WorkerCounted { worker, change } => sums.count(*worker, change),
            Record::RequestAccepted { request, expires_at, limit } => {
                let (kind, jobs) = (request.spec.kind(), signed(request.spec.jobs));
                sums.accepted.push((request.id, (request.owner, kind), jobs, signed(*limit)));
                self.requests.push(json!([
                    request.id,
                    request.owner,
                    request.created_at,
                    request.priority,
                    text(&request.spec)?,
                    expires_at,
                    jobs,
                    kind.word()
                ]));
            }
            Record::KudosHeld { request, owner, amount, floor } => {
                sums.users.entry(*owner).or_default();
                let highest = self.floors.entry(*owner).or_insert(*floor);
                *highest = (*highest).max(*floor);
                self.holds.push(json!([request, owner, amount]));
            }
            Record::RequestMoved { request, expires_at, cancelled, faulted, spent } => {
                let change = sums.requests.entry(*request).or_default();
                change.expires_at = change.expires_at.max(*expires_at);
                change.cancelled |= cancelled;
                change.faulted |= faulted;
                change.spent += *spent;
                if *cancelled || *faulted {
                    sums.over.entry(*request).or_insert(deed);
                }
            }
            Record::AttemptOpened { request, attempt } => {
                let change = sums.requests.entry(*request).or_default();
                change.open += 1;
                change.opens = true;
                sums.born.insert(attempt.id, self.attempts.len());
                self.attempts.push(json!([
                    attempt.id,
                    request,
                    attempt.job,
                    attempt.number,
                    attempt.worker,
                    attempt.model,
                    attempt.seed,
                    attempt.held,
                    attempt.granted_at,
                    attempt.expires_at,
                    "open"
                ]));
            }
            Record::LeaseMoved { attempt, expires_at } => {
                sums.leases.insert(*attempt, *expires_at);
            }
            Record::AttemptClosed { request, attempt, how } => {
                sums.requests.entry(*request).or_default().open -= 1;
                return Ok(self.end(*attempt, how.word(), sums));
            }
            Record::Settled { request, outcome } => {
                let change = sums.requests.entry(*request).or_default();
                change.open -= 1;
                change.settled += 1;
                self.outcomes.push(json!([outcome.attempt, request, outcome.reward, text(outcome)?]));
                return Ok(self.end(outcome.attempt, "settled", sums));
            }
            Record::WebhookDue(due) => {
                self.webhooks.push(json!([due.attempt, due.request, due.host, due.made_at]));
            }
            Record::Posted(_)
            | Record::KudosTransferred { .. }
            | Record::MonthlyChanged { .. }
            | Record::MonthlyPaid { .. } => return Ok(self.add_kudos(record, sums)),
            Record::RequestDropped { request, before } => {
                sums.requests.entry(*request).or_default();
                let (_, earliest) = sums.dropped.entry(*request).or_insert((deed, *before));
                *earliest = (*earliest).min(*before);
            }
        }
        Ok(true)
    }

    /// Ends an attempt, unless it has ended before.
    fn end(&mut self, attempt: AttemptId, word: &str, sums: &mut Sums) -> bool {
        if !sums.ended.insert(attempt) {
            return false;
        }
        match sums.born.get(&attempt) {
            Some(place) => self.attempts[*place][STATE] = word.into(),
            None => self.endings.push(json!([attempt, word])),
        }
        true
    }
}

/// A count as databases have them.
fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Any value as JSON text.
///
/// # Errors
/// It has no JSON form.
pub fn text<T: serde::Serialize + ?Sized>(value: &T) -> Result<String, Failure> {
    Ok(serde_json::to_string(value)?)
}
