//! Who people are, in PostgreSQL.

use async_trait::async_trait;

use super::{ANSWER, PgRecords, Session, Trouble, again};
use crate::{
    backend::{Failure, IdentityRecords},
    domain::UserId,
};

const USER_OF_IDENTITY: &str = "SELECT id FROM users WHERE identity = $1";

pub(in crate::backend::distributed) const STATEMENTS: &[&str] = &[USER_OF_IDENTITY];

impl PgRecords {
    async fn find_identity(&self, identity: &str) -> Result<Option<i64>, Trouble> {
        let mut session = Session::of(&self.pool).await?;
        let query = sqlx::query_scalar(USER_OF_IDENTITY).bind(identity);
        let found = query.fetch_optional(&mut *session).await?;
        session.release();
        Ok(found)
    }
}

#[async_trait]
impl IdentityRecords for PgRecords {
    async fn user_of_identity(&self, identity: &str) -> Result<Option<UserId>, Failure> {
        Ok(again(ANSWER, || self.find_identity(identity)).await?.map(UserId))
    }
}
