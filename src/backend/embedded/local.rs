//! Claims and leadership of a broker that is alone.

use async_trait::async_trait;

use crate::{
    backend::{ClaimAnswer, Claims, Leadership},
    domain::{RequestId, lease::Attempt},
};

/// Claims without rivals: the engine's own word is enough.
pub struct LocalClaims;

#[async_trait]
impl Claims for LocalClaims {
    async fn claim(&self, _request: RequestId, _attempts: &[Attempt]) -> ClaimAnswer {
        ClaimAnswer::Claimed
    }
}

/// Leadership without rivals.
pub struct LocalLeadership;

impl Leadership for LocalLeadership {
    fn is_leader(&self) -> bool {
        true
    }
}
