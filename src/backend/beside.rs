//! Promises of Records beside those of jobs: filters of prompts, and figures of what was made.

use async_trait::async_trait;

use super::Failure;
use crate::domain::{Timestamp, filters::Filter, stats::Stats};

/// Filters that moderators keep.
#[async_trait]
pub trait FilterRecords {
    /// All of them, by ID.
    async fn filters(&self) -> Result<Vec<Filter>, Failure>;
}

/// What was made.
#[async_trait]
pub trait StatRecords {
    /// What was made until now.
    async fn stats(&self, now: Timestamp) -> Result<Stats, Failure>;
    /// Folds what is old enough into longer spans. What is told stays the same.
    async fn fold_stats(&self, now: Timestamp) -> Result<(), Failure>;
}
