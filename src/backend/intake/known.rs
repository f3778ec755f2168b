//! What a store has already, as far as it could be in the way.

use std::collections::{HashMap, HashSet};

use super::Keeper;
use crate::{
    backend::{Failure, cells::unhex, copy::Cell},
    domain::{
        CollectionId, SharedKeyId, StyleId, TeamId, Timestamp, UserId, WorkerId, request::Kind, user::KeyHash,
    },
};

/// An account that there is.
#[derive(Clone, Debug)]
pub struct KnownUser {
    /// Hash of its key.
    pub key: KeyHash,
    /// Who it is, as it is stored.
    pub identity: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What there is.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Accounts. The anonymous one is not among them while it never had kudos.
    pub users: HashMap<UserId, KnownUser>,
    /// Hashes of keys of accounts.
    pub keys: HashSet<KeyHash>,
    /// Who accounts are.
    pub identities: HashSet<String>,
    /// Passkeys of services.
    pub passkeys: HashSet<String>,
    /// Keys that are lent.
    pub shared_keys: HashSet<SharedKeyId>,
    /// Teams.
    pub teams: HashSet<TeamId>,
    /// What their names are compared by.
    pub team_names: HashSet<String>,
    /// Workers.
    pub workers: HashSet<WorkerId>,
    /// Their names.
    pub worker_names: HashSet<String>,
    /// Styles, and what they are for.
    pub styles: HashMap<StyleId, Kind>,
    /// Their names, by their authors.
    pub style_names: HashMap<UserId, HashSet<String>>,
    /// Collections.
    pub collections: HashSet<CollectionId>,
    /// Their names, by their owners.
    pub collection_names: HashMap<UserId, HashSet<String>>,
}

impl Known {
    pub(super) async fn read(keeper: &mut dyn Keeper) -> Result<Self, Failure> {
        let mut known = Self::default();
        let moved = keeper.read("balances", &["account"]).await?;
        let is_used = moved.iter().any(|row| matches!(row.first(), Some(Cell::Number(0))));
        for row in
            keeper.read("users", &["id", "key_hash", "identity", "proxy_passkey", "created_at"]).await?
        {
            let [id, key, identity, passkey, created_at] = cells(row)?;
            let id = UserId(number(&id)?);
            if id == UserId::ANONYMOUS && !is_used {
                continue;
            }
            let key = KeyHash(unhex(&text(key)?)?);
            let identity = maybe(identity)?;
            known.keys.insert(key);
            known.identities.extend(identity.clone());
            known.passkeys.extend(maybe(passkey)?);
            let created_at = Timestamp(number(&created_at)?);
            known.users.insert(id, KnownUser { key, identity, created_at });
        }
        for row in keeper.read("shared_keys", &["id"]).await? {
            let [id] = cells(row)?;
            known.shared_keys.insert(SharedKeyId(uuid(&id)?));
        }
        for row in keeper.read("teams", &["id", "name_key"]).await? {
            let [id, name] = cells(row)?;
            known.teams.insert(TeamId(uuid(&id)?));
            known.team_names.insert(text(name)?);
        }
        for row in keeper.read("workers", &["id", "name"]).await? {
            let [id, name] = cells(row)?;
            known.workers.insert(WorkerId(uuid(&id)?));
            known.worker_names.insert(text(name)?);
        }
        for row in keeper.read("styles", &["id", "kind", "owner", "name"]).await? {
            let [id, kind, owner, name] = cells(row)?;
            let kind = if text(kind)? == Kind::Text.word() { Kind::Text } else { Kind::Image };
            known.styles.insert(StyleId(uuid(&id)?), kind);
            known.style_names.entry(UserId(number(&owner)?)).or_default().insert(text(name)?);
        }
        for row in keeper.read("style_collections", &["id", "owner", "name"]).await? {
            let [id, owner, name] = cells(row)?;
            known.collections.insert(CollectionId(uuid(&id)?));
            known.collection_names.entry(UserId(number(&owner)?)).or_default().insert(text(name)?);
        }
        Ok(known)
    }
}

fn cells<const N: usize>(row: Vec<Cell>) -> Result<[Cell; N], Failure> {
    row.try_into().map_err(|_| "a row has other columns than were asked for".into())
}

fn number(cell: &Cell) -> Result<i64, Failure> {
    match cell {
        Cell::Number(number) => Ok(*number),
        _ => Err("a number is missing".into()),
    }
}

fn uuid(cell: &Cell) -> Result<uuid::Uuid, Failure> {
    match cell {
        Cell::Id(id) => Ok(*id),
        _ => Err("an ID is missing".into()),
    }
}

fn maybe(cell: Cell) -> Result<Option<String>, Failure> {
    match cell {
        Cell::Text(text) => Ok(Some(text)),
        Cell::Null => Ok(None),
        _ => Err("a text is missing".into()),
    }
}

fn text(cell: Cell) -> Result<String, Failure> {
    maybe(cell)?.ok_or_else(|| "a text is missing".into())
}
