//! Filters in PostgreSQL.

use async_trait::async_trait;

use super::{ANSWER, PgRecords, Session, Trouble, again};
use crate::{
    backend::{Failure, FilterRecords, cells},
    domain::filters::Filter,
};

const FILTERS: &str = "SELECT * FROM filters ORDER BY id";

pub(in crate::backend::distributed) const STATEMENTS: &[&str] = &[FILTERS];

impl PgRecords {
    async fn read_filters(&self) -> Result<Vec<Filter>, Trouble> {
        let mut session = Session::of(&self.pool).await?;
        let rows = sqlx::query(FILTERS).fetch_all(&mut *session).await?;
        session.release();
        Ok(rows.iter().map(cells::filter).collect::<Result<_, _>>()?)
    }
}

#[async_trait]
impl FilterRecords for PgRecords {
    async fn filters(&self) -> Result<Vec<Filter>, Failure> {
        Ok(again(ANSWER, || self.read_filters()).await?)
    }
}
