//! Records that hold nothing.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use crate::{
    backend::{
        Deed, Failure, FilterRecords, IdentityRecords, Ledger, RankedUsers, Ranking, Records, StatRecords,
        StyleRecords, Verdict, WebhookEnd,
    },
    domain::{
        AttemptId, RequestId, TeamId, Timestamp, UserId, WorkerId,
        filters::Filter,
        ledger::{Audit, Holdings},
        record::{PastAttempt, Snapshot, StoredRequest},
        stats::Stats,
        team::TeamFigures,
        transfer::Past,
        user::{KeyHash, User},
        webhook::Webhook,
        worker::Worker,
    },
};

/// Records that hold nothing and answer at once.
pub(super) struct Nothing;

impl StyleRecords for Nothing {}

#[async_trait]
impl Ledger for Nothing {
    async fn past(&self, _: Uuid, _: UserId, _: UserId) -> Result<Past, Failure> {
        Ok(Past::default())
    }

    async fn audit(&self) -> Result<Audit, Failure> {
        Ok(Audit::default())
    }

    async fn holdings(&self) -> Result<Holdings, Failure> {
        Ok(Holdings::default())
    }
}

#[async_trait]
impl RankedUsers for Nothing {
    async fn ranked_users(&self, _: Ranking, _: u32, _: u32) -> Result<Vec<User>, Failure> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl FilterRecords for Nothing {
    async fn filters(&self) -> Result<Vec<Filter>, Failure> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl IdentityRecords for Nothing {
    async fn user_of_identity(&self, _: &str) -> Result<Option<UserId>, Failure> {
        Ok(None)
    }
}

#[async_trait]
impl StatRecords for Nothing {
    async fn stats(&self, _: Timestamp) -> Result<Stats, Failure> {
        Ok(Stats::default())
    }

    async fn fold_stats(&self, _: Timestamp) -> Result<(), Failure> {
        Ok(())
    }
}

#[async_trait]
impl Records for Nothing {
    async fn load(&self) -> Result<Snapshot, Failure> {
        Ok(Snapshot::default())
    }

    async fn commit_each(&self, deeds: &[Deed]) -> Result<Vec<Verdict>, Failure> {
        Ok(vec![Verdict::Kept; deeds.len()])
    }

    async fn requests(&self, _: &[RequestId]) -> Result<Vec<StoredRequest>, Failure> {
        Ok(Vec::new())
    }

    async fn people(&self, _: &[UserId], _: &[WorkerId]) -> Result<(Vec<User>, Vec<Worker>), Failure> {
        Ok((Vec::new(), Vec::new()))
    }

    async fn team_figures(&self, _: Option<TeamId>) -> Result<Vec<(TeamId, TeamFigures)>, Failure> {
        Ok(Vec::new())
    }

    async fn worker_by_name(&self, _: &str) -> Result<Option<Worker>, Failure> {
        Ok(None)
    }

    async fn attempt(&self, _: AttemptId) -> Result<Option<PastAttempt>, Failure> {
        Ok(None)
    }

    async fn user_by_key(&self, _: KeyHash) -> Result<Option<User>, Failure> {
        Ok(None)
    }

    async fn sweep(&self, _: Timestamp) -> Result<Vec<(RequestId, Vec<AttemptId>)>, Failure> {
        Ok(Vec::new())
    }

    async fn take_webhooks(
        &self,
        _: Timestamp,
        _: Duration,
        _: usize,
        _: &[String],
    ) -> Result<Vec<Webhook>, Failure> {
        Ok(Vec::new())
    }

    async fn end_webhooks(&self, _: Timestamp, _: &[WebhookEnd]) -> Result<(), Failure> {
        Ok(())
    }

    async fn crop_webhooks(&self, _: usize) -> Result<u64, Failure> {
        Ok(0)
    }

    async fn secret(&self, proposal: [u8; 32]) -> Result<[u8; 32], Failure> {
        Ok(proposal)
    }

    async fn ping(&self) -> Result<(), Failure> {
        Ok(())
    }
}
