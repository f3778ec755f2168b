//! Claims and leadership of a broker that is alone.

use async_trait::async_trait;

use crate::{
    backend::{ClaimAnswer, Claims, Failure, Leadership},
    domain::{
        RequestId,
        lease::Attempt,
        record::{Record, Snapshot},
        request::Kind,
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

    fn committed(&self, _: &[Record]) {}
}

/// Leadership without rivals.
pub struct LocalLeadership;

impl Leadership for LocalLeadership {
    fn is_leader(&self) -> bool {
        true
    }
}
