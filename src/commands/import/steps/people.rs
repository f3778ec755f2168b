//! Accounts, and the keys that they lend.

use anyhow::bail;
use futures_util::TryStreamExt;

use super::{CHUNK, Import, failed};
use crate::{
    backend::{
        distributed::{Ask, Read},
        intake::Known,
    },
    commands::import::{
        accounts::{self, is_same, nobodys_key, was_wiped},
        cells::{Cells, Notes},
        loans,
        tally::Line,
    },
    domain::{UserId, account::Identity, user::User},
};

/// What all accounts may have together, in millionths: sums of sums are far from where numbers end.
const MOST_IN_ALL: i128 = i64::MAX as i128 / 4;

/// What the old server has not added to its figures yet; of newer servers.
static EVENTS: Ask = Ask {
    table: "kudos_stat_events",
    columns: &[("applied", Read::Plain, true)],
    filter: "WHERE NOT applied",
    order: &[],
};

impl Import<'_> {
    /// Accounts, and the keys that they lend.
    ///
    /// # Errors
    /// They cannot be read or written; then none of them came over.
    pub async fn accounts(&mut self) -> anyhow::Result<()> {
        let mut extras = accounts::Extras::default();
        self.gather(&accounts::ROLES, |row| extras.role(row)).await?;
        self.gather(&accounts::STATS, |row| extras.stat(row)).await?;
        self.gather(&accounts::RECORDS, |row| extras.record(row)).await?;
        self.gather(&accounts::SUSPICIONS, |row| extras.suspicion(row)).await?;
        self.gather(&accounts::LEDGER, |row| extras.movement(row)).await?;
        self.look_for_events().await?;
        let mut lent = self.shared_keys(&mut extras).await?;
        let mut line = self.announce(&accounts::USERS).await?;
        self.intake.begin().await.map_err(failed)?;
        let mut chunk = Vec::new();
        let mut rows = self.horde.rows(&accounts::USERS);
        while let Some(values) = rows.try_next().await.map_err(failed)? {
            line.read += 1;
            self.show.at(line.read);
            let row = Cells::of(&accounts::USERS, &values);
            let mut notes = Notes::default();
            let mut user = match accounts::user(&row, &extras, self.now, &mut notes) {
                Ok(user) => user,
                Err(reason) => {
                    line.skip(reason, row.text("id").unwrap_or_default());
                    continue;
                }
            };
            let keys = extras.keys.remove(&user.id.0).unwrap_or_default();
            let is_left = !user.is_wiped() && user.id != UserId::ANONYMOUS;
            if let Some(there) = self.known.users.get(&user.id) {
                let is_same = is_same(&user, there);
                // Who asked to be forgotten is not named, and gets nothing back.
                let is_gone = is_left && was_wiped(there);
                match (is_same, is_gone) {
                    (true, true) => line.skip("it was wiped here, and stays so", user.id),
                    (true, false) => line.already_there += 1,
                    (false, _) => line.skip("another account has its ID here", user.username()),
                }
                for key in keys {
                    match self.known.shared_keys.contains(&key.id) {
                        true => lent.already_there += 1,
                        false => lent.skip("its account was here before", key.owner),
                    }
                }
                if is_same && is_left && !is_gone {
                    self.owners.insert(user.id);
                }
                continue;
            }
            make_unique(&mut user, &mut self.known, &mut notes);
            for key in keys {
                match (is_left, self.known.shared_keys.insert(key.id)) {
                    (true, true) => {
                        lent.copy(&[], key.owner);
                        user.shared_keys.push(key);
                    }
                    (true, false) => lent.skip("another key has its ID here", key.owner),
                    (false, _) => lent.skip("nobody lends it", key.owner),
                }
            }
            if is_left {
                self.owners.insert(user.id);
            }
            self.kudos[0] += i128::from(user.balance.0);
            self.kudos[1] += i128::from(user.escrow.0);
            line.copy(&notes.0, user.username());
            chunk.push(user);
            if chunk.len() >= CHUNK {
                self.intake.users(&std::mem::take(&mut chunk), self.now).await.map_err(failed)?;
            }
        }
        drop(rows);
        if self.kudos.iter().any(|sum| *sum > MOST_IN_ALL) {
            bail!(
                "all accounts together have more kudos than can be counted: look for wrong ones in users.kudos"
            );
        }
        self.intake.users(&chunk, self.now).await.map_err(failed)?;
        for key in extras.keys.into_values().flatten() {
            lent.skip("nobody lends it", key.owner);
        }
        self.roles = extras.roles;
        self.intake.end().await.map_err(failed)?;
        self.lines.extend([line, lent]);
        Ok(())
    }

    /// Warns of what stays behind that the old server could still add to its figures.
    async fn look_for_events(&mut self) -> anyhow::Result<()> {
        let is_there = self.horde.missing(&EVENTS).is_empty();
        let events = if is_there { self.horde.count(&EVENTS).await.map_err(failed)? } else { 0 };
        if events > 0 {
            self.warnings.push(format!(
                "{events} rows of kudos_stat_events are not in the old server's figures yet, and stay behind: start \
                 its projector until none are left, and import into a store without accounts then"
            ));
        }
        Ok(())
    }

    async fn shared_keys(&mut self, extras: &mut accounts::Extras) -> anyhow::Result<Line> {
        let mut line = self.announce(&loans::KEYS).await?;
        let mut rows = self.horde.rows(&loans::KEYS);
        while let Some(values) = rows.try_next().await.map_err(failed)? {
            line.read += 1;
            let row = Cells::of(&loans::KEYS, &values);
            let mut notes = Notes::default();
            // Whose it is, and not the key itself, is told.
            let which = row.text("user_id").unwrap_or_default();
            let key = loans::key(&row, self.now, &mut notes).and_then(|key| extras.key(key));
            match key {
                Ok(()) => notes.0.iter().for_each(|note| line.change(note, which)),
                Err(reason) => line.skip(reason, which),
            }
        }
        Ok(line)
    }
}

/// Takes from an account what another one has already that no two may have.
fn make_unique(user: &mut User, known: &mut Known, notes: &mut Notes) {
    if user.id != UserId::ANONYMOUS && !known.keys.insert(user.key) {
        notes.add(
            "another account has its key, and it has none now: give it one with `gridbroker user rotate-key`",
        );
        user.key = nobodys_key();
        known.keys.insert(user.key);
    }
    let identity = user.about.identity.text(user.id);
    if identity.is_some_and(|text| !known.identities.insert(text)) {
        notes.add("another account is said to be the same person's");
        user.about.identity = Identity::Known;
    }
    if user.about.proxy_passkey.as_ref().is_some_and(|passkey| !known.passkeys.insert(passkey.clone())) {
        notes.add("another account has its passkey, and it has none now");
        user.about.proxy_passkey = None;
    }
}
