//! The steps of an import, one group of tables after the other, each in one transaction.

mod crew;
mod people;
mod style;

use std::collections::{BTreeSet, HashMap, HashSet};

use anyhow::bail;
use futures_util::TryStreamExt;

use super::{
    accounts::{self, key_hash},
    cells::Cells,
    crews, loans,
    show::Show,
    styles,
    tally::Line,
};
use crate::{
    backend::{
        Failure,
        distributed::{Ask, Horde, Read},
        intake::{Intake, Known},
    },
    domain::{
        Kudos, Timestamp, UserId,
        user::{KeyHash, Role, User},
    },
};

/// Rows that are written at once.
const CHUNK: usize = 500;

/// What a database must have to be that of such a server, and what must be whole in what else it has.
pub static NEEDED: &[&Ask] = &[&accounts::USERS, &crews::WORKERS];

/// What other tables, if there are any, must have.
static OPTIONAL: &[&Ask] = &[
    &accounts::ROLES,
    &accounts::STATS,
    &accounts::RECORDS,
    &accounts::SUSPICIONS,
    &accounts::LEDGER,
    &loans::KEYS,
    &crews::TEAMS,
    &crews::MODELS,
    &crews::BLACKLISTS,
    &crews::SOFTPROMPTS,
    &crews::FORMS,
    &crews::STATS,
    &crews::SPEEDS,
    &crews::SUSPICIONS,
    &styles::STYLES,
    &styles::MODELS,
    &styles::TAGS,
    &styles::EXAMPLES,
    &styles::COLLECTIONS,
    &styles::MEMBERS,
];

static KEYS: Ask = Ask {
    table: "users",
    columns: &[("id", Read::Plain, true), ("api_key", Read::Text(100), true)],
    filter: "",
    order: &[],
};

/// The hash of the anonymous account's key as it is written, and those of some hashes that accounts have.
///
/// # Errors
/// They cannot be read.
pub async fn keys(
    horde: &mut Horde,
    sought: &[KeyHash],
) -> anyhow::Result<(Option<String>, HashSet<KeyHash>)> {
    let (mut anonymous, mut there) = (None, HashSet::new());
    let mut rows = horde.rows(&KEYS);
    while let Some(values) = rows.try_next().await.map_err(anyhow::Error::from_boxed)? {
        let row = Cells::of(&KEYS, &values);
        if row.whole("id") == Some(UserId::ANONYMOUS.0) {
            anonymous = row.text("api_key").map(str::to_owned);
        }
        if let Some(hash) = row.text("api_key").and_then(key_hash).filter(|hash| sought.contains(hash)) {
            there.insert(hash);
        }
    }
    Ok((anonymous, there))
}

/// An import that goes on.
pub struct Import<'a> {
    horde: Horde,
    intake: Intake,
    known: Known,
    now: Timestamp,
    show: &'a Show,
    /// Accounts here that are the ones that the old server knows by their IDs, and that may have something.
    owners: HashSet<UserId>,
    roles: HashMap<i64, BTreeSet<Role>>,
    kudos: [i128; 2],
    /// How each table came over.
    pub lines: Vec<Line>,
    /// What people should know besides.
    pub warnings: Vec<String>,
}

fn failed(failure: Failure) -> anyhow::Error {
    anyhow::Error::from_boxed(failure)
}

/// Whether it is seen beforehand that a table has what is asked for.
fn is_seen(ask: &Ask) -> bool {
    NEEDED.iter().chain(OPTIONAL).any(|seen| seen.table == ask.table)
}

impl<'a> Import<'a> {
    /// Begins: reads what is there already.
    ///
    /// # Errors
    /// It cannot be read; a table there lacks what its rows mean nothing without.
    pub async fn begin(
        horde: Horde,
        mut intake: Intake,
        now: Timestamp,
        show: &'a Show,
    ) -> anyhow::Result<Self> {
        // Before anything is written.
        let there = OPTIONAL.iter().filter(|ask| horde.has(ask.table));
        let missing: Vec<String> = there.flat_map(|ask| horde.missing(ask)).collect();
        if !missing.is_empty() {
            bail!("the old server's database has no {}", missing.join(", "));
        }
        let mut known = intake.known().await.map_err(failed)?;
        // Nobody else has the key that everybody has.
        known.keys.insert(User::anonymous().key);
        let (owners, roles) = (HashSet::new(), HashMap::new());
        let (lines, warnings) = (Vec::new(), Vec::new());
        Ok(Self { horde, intake, known, now, show, owners, roles, kudos: [0; 2], lines, warnings })
    }

    /// What accounts that came over have together, and what is put aside for them.
    pub fn kudos(&self) -> (Kudos, Kudos) {
        let [balances, put_aside] = self.kudos.map(|sum| Kudos(i64::try_from(sum).unwrap_or(i64::MAX)));
        (balances, put_aside)
    }

    /// Reads a table that says more of what another one has.
    async fn gather(&mut self, ask: &'static Ask, mut take: impl FnMut(&Cells<'_>)) -> anyhow::Result<()> {
        debug_assert!(is_seen(ask), "{}", ask.table);
        let mut rows = self.horde.rows(ask);
        while let Some(values) = rows.try_next().await.map_err(failed)? {
            take(&Cells::of(ask, &values));
        }
        Ok(())
    }

    async fn announce(&mut self, ask: &'static Ask) -> anyhow::Result<Line> {
        debug_assert!(is_seen(ask), "{}", ask.table);
        let rows = self.horde.count(ask).await.map_err(failed)?;
        self.show.begin(ask.table, rows);
        Ok(Line::of(ask.table))
    }
}
