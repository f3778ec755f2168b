//! Kudos that accounts give each other, awards, and the books.

use uuid::Uuid;

use super::Host;
use crate::{
    backend::Failure,
    domain::{
        Error, Kudos, Result, SharedKeyId, Timestamp, UserId,
        ledger::Audit,
        transfer::{KudosRule, Past, Transfer},
        user::KeyHash,
    },
    engine::{NewTransfer, Receiver},
};

/// How often a transfer is tried again that another broker was faster than.
const MORE_TRIES: usize = 5;
/// How often it is told what accounts hold.
const HOLDINGS_EVERY: std::time::Duration = std::time::Duration::from_secs(10 * 60);

/// Turns of accounts: of two transfers of one account the second begins when the first is on disk.
pub(super) struct Turns([tokio::sync::Mutex<()>; 64]);

impl Default for Turns {
    fn default() -> Self {
        Self(std::array::from_fn(|_| tokio::sync::Mutex::default()))
    }
}

/// What is left of two turns until they end.
struct Turn<'a> {
    _first: tokio::sync::MutexGuard<'a, ()>,
    _second: Option<tokio::sync::MutexGuard<'a, ()>>,
}

impl Turns {
    /// Waits for the turns of two accounts, always in the same order, so that nobody waits in a circle.
    async fn take(&self, one: UserId, other: UserId) -> Turn<'_> {
        let place = |id: UserId| usize::try_from(id.0.rem_euclid(self.0.len() as i64)).unwrap_or(0);
        let (first, second) = (place(one).min(place(other)), place(one).max(place(other)));
        Turn {
            _first: self.0[first].lock().await,
            _second: if second == first { None } else { Some(self.0[second].lock().await) },
        }
    }
}

impl Host {
    /// Gives kudos of one account to whom a text names: an account, or a lent key. A transfer that its
    /// sender gives a name is done once.
    ///
    /// # Errors
    /// As [`Engine::transfer`](crate::engine::Engine::transfer); [`Error::Overtaken`] while others change
    /// the same all the time.
    pub async fn transfer(
        &self,
        sender: UserId,
        target: &str,
        amount: i64,
        name: Option<&str>,
    ) -> Result<Kudos> {
        let receiver = self.receiver(target).await?;
        let id = name.map_or_else(Uuid::new_v4, |name| Transfer::id_of(sender, name));
        let _turn = self.shared.turns.take(sender, receiver.map_or(sender, |receiver| receiver.user)).await;
        let (mut tries, mut is_read_again) = (0, false);
        loop {
            let past = match receiver {
                None => Past::default(),
                Some(Receiver { user, .. }) => {
                    self.stored(self.shared.backend.records.past(id, sender, user).await)?
                }
            };
            let new = NewTransfer { id, sender, receiver, amount, past };
            match self.act(move |engine, step, _| engine.transfer(step, new)).await {
                // What another broker did is read with the next try.
                Err(Error::Overtaken) if tries < MORE_TRIES => tries += 1,
                // What is missing may have been given by this very transfer: by another broker, or by a call
                // whose caller went away.
                Err(Error::Kudos(KudosRule::NotEnough { .. } | KudosRule::SetAside))
                    if name.is_some() && !std::mem::replace(&mut is_read_again, true) => {}
                outcome => return outcome,
            }
        }
    }

    /// Awards kudos to the account that a text names.
    ///
    /// # Errors
    /// As [`Engine::award`](crate::engine::Engine::award).
    pub async fn award(&self, caller: UserId, target: &str, amount: i64) -> Result<Kudos> {
        let receiver = match UserId::parse(target) {
            Some(id) if self.knows_user(id).await? => Some(id),
            _ => None,
        };
        self.act(move |engine, step, _| engine.award(step, caller, receiver, amount)).await
    }

    /// Whom a text names: a lent key by its ID, or an account.
    async fn receiver(&self, target: &str) -> Result<Option<Receiver>> {
        if let Some(key) = SharedKeyId::parse(target) {
            let lender = self.payer_of_key(KeyHash::of(&key.to_string())).await?;
            let lender = lender.filter(|(_, lent)| *lent == Some(key));
            return Ok(lender.map(|(user, shared_key)| Receiver { user, shared_key }));
        }
        Ok(match UserId::parse(target) {
            Some(user) if self.knows_user(user).await? => Some(Receiver { user, shared_key: None }),
            _ => None,
        })
    }

    /// Whether there is an account; one that was made elsewhere a moment ago is learnt.
    async fn knows_user(&self, id: UserId) -> Result<bool> {
        let is_known = || self.glance(|engine, _| engine.user(id).is_some());
        if self.is_shared() && !is_known() {
            self.stored(self.reread_user(id).await)?;
        }
        Ok(is_known())
    }

    /// Checks the books; one at a time.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn audit(&self) -> Result<Audit> {
        let _turn = self.shared.auditing.lock().await;
        let audit = self.stored(self.shared.backend.records.audit().await)?;
        let findings: i64 = audit.findings.iter().map(|finding| finding.count).sum();
        metrics::gauge!("gridbroker_ledger_findings").set(findings as f64);
        for finding in &audit.findings {
            let (rule, count, example) = (finding.rule, finding.count, &finding.example);
            tracing::error!(count, "the books break a rule ({rule}): {example}");
        }
        Ok(audit)
    }

    /// Tells what accounts hold, once in a while.
    pub(super) async fn tell_holdings(&self, now: Timestamp) -> Result<(), Failure> {
        {
            let mut told_at = self.shared.holdings_told_at.lock();
            if told_at.is_some_and(|at| now.since(at) < HOLDINGS_EVERY) {
                return Ok(());
            }
            *told_at = Some(now);
        }
        let holdings = self.shared.backend.records.holdings().await?;
        metrics::gauge!("gridbroker_kudos_balances").set(holdings.balances.as_f64());
        metrics::gauge!("gridbroker_kudos_put_aside").set(holdings.escrows.as_f64());
        metrics::gauge!("gridbroker_kudos_held").set(holdings.held.as_f64());
        Ok(())
    }
}
