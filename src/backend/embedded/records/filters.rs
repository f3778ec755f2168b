//! Filters in SQLite.

use async_trait::async_trait;

use super::SqliteRecords;
use crate::{
    backend::{Failure, FilterRecords, cells},
    domain::filters::Filter,
};

const FILTERS: &str = "SELECT * FROM filters ORDER BY id";

pub(in crate::backend::embedded) const STATEMENTS: &[&str] = &[FILTERS];

#[async_trait]
impl FilterRecords for SqliteRecords {
    async fn filters(&self) -> Result<Vec<Filter>, Failure> {
        sqlx::query(FILTERS).fetch_all(&self.readers).await?.iter().map(cells::filter).collect()
    }
}
