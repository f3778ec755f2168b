//! Claims and leadership of a broker that is alone.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    backend::{ClaimAnswer, Claims, Failure, Leadership, Peers},
    domain::{
        AttemptId, RequestId,
        lease::Attempt,
        news::News,
        record::{Record, Snapshot, StoredRequest},
        request::Kind,
        tally::Tallies,
    },
};

/// Claims without rivals: the engine's own word is enough.
pub struct LocalClaims;

#[async_trait]
impl Claims for LocalClaims {
    async fn claim(&self, _: RequestId, _: Kind, _: &[Attempt]) -> ClaimAnswer {
        ClaimAnswer::Claimed
    }

    async fn restore(&self, _: &Snapshot) -> Result<(), Failure> {
        Ok(())
    }

    fn learned(&self, _: &[StoredRequest]) {}

    async fn adopt(&self, _: &[StoredRequest], _: &[AttemptId], _: bool) {}

    fn committed(&self, _: &mut (dyn Iterator<Item = &Record> + Send)) {}
}

/// A broker that is alone.
pub struct NoPeers;

#[async_trait]
impl Peers for NoPeers {
    fn are_possible(&self) -> bool {
        false
    }

    async fn begin(&self) -> Result<(), Failure> {
        Ok(())
    }

    async fn hear(&self) -> Vec<News> {
        std::future::pending().await
    }

    fn living(&self) -> Option<Vec<Arc<str>>> {
        None
    }

    fn tell(&self, _: News) {}

    fn count_together(&self, _: Arc<dyn Tallies>) {}
}

/// Leadership without rivals.
pub struct LocalLeadership;

impl Leadership for LocalLeadership {
    fn is_leader(&self) -> bool {
        true
    }
}
