//! Who people are, in SQLite.

use async_trait::async_trait;

use super::SqliteRecords;
use crate::{
    backend::{Failure, IdentityRecords},
    domain::UserId,
};

const USER_OF_IDENTITY: &str = "SELECT id FROM users WHERE identity = $1";

pub(in crate::backend::embedded) const STATEMENTS: &[&str] = &[USER_OF_IDENTITY];

#[async_trait]
impl IdentityRecords for SqliteRecords {
    async fn user_of_identity(&self, identity: &str) -> Result<Option<UserId>, Failure> {
        let query = sqlx::query_scalar(USER_OF_IDENTITY).bind(identity);
        Ok(query.fetch_optional(&self.readers).await?.map(UserId))
    }
}
