//! Accounts in an order.

use async_trait::async_trait;

use super::Failure;
use crate::domain::user::User;

/// What accounts are ordered by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ranking {
    /// Most kudos first; of those that have as many, the one that was made first.
    Kudos,
    /// The one that was made first, first.
    Age,
}

/// Accounts, looked through in an order.
#[async_trait]
pub trait RankedUsers {
    /// So many accounts at most, after so many others. Wiped ones are left out.
    async fn ranked_users(&self, by: Ranking, skip: u32, most: u32) -> Result<Vec<User>, Failure>;
}
