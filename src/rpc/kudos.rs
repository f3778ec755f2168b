//! The Kudos service: transfers, awards, and the books.

use tonic::{Request, Response, Status};

use super::{
    Api,
    check::Check,
    gate::enter,
    pb::{self, kudos_server::Kudos},
    refuse,
};
use crate::domain::{
    Error, Result,
    ledger::{Audit, Finding},
    transfer::KudosRule,
};

/// The Kudos service.
pub struct KudosService(pub Api);

#[tonic::async_trait]
impl Kudos for KudosService {
    async fn transfer_kudos(
        &self,
        request: Request<pb::TransferKudosRequest>,
    ) -> Result<Response<pb::TransferKudosResponse>, Status> {
        let call = enter(&*self.0.gate, request)?;
        let sender = self.0.authorize::<pb::TransferKudosRequest>(call.key, None).await;
        let sender = sender.map_err(|error| match error {
            Error::AnonForbidden => refuse(KudosRule::FromAnonymous.into()),
            other => refuse(other),
        })?;
        let asked = call.message;
        if asked.has_nul() {
            return Err(refuse(Error::NulByte));
        }
        let name = asked.idempotency_key.as_deref().filter(|name| !name.is_empty());
        let transferred = self.0.host.transfer(sender, asked.username(), asked.amount(), name).await;
        Ok(Response::new(pb::TransferKudosResponse { transferred: transferred.map_err(refuse)?.as_f64() }))
    }

    async fn award_kudos(
        &self,
        request: Request<pb::AwardKudosRequest>,
    ) -> Result<Response<pb::AwardKudosResponse>, Status> {
        let call = enter(&*self.0.gate, request)?;
        // The rule of the RPC is the verb's, which says first whether the caller is to be deleted.
        let caller = self.0.caller(call.key).await.map_err(refuse)?;
        let asked = call.message;
        let awarded = self.0.host.award(caller, asked.username(), asked.amount()).await.map_err(refuse)?;
        Ok(Response::new(pb::AwardKudosResponse { awarded: awarded.as_f64() }))
    }

    async fn verify_ledger(
        &self,
        request: Request<pb::VerifyLedgerRequest>,
    ) -> Result<Response<pb::VerifyLedgerResponse>, Status> {
        let call = enter(&*self.0.gate, request)?;
        self.0.authorize::<pb::VerifyLedgerRequest>(call.key, None).await.map_err(refuse)?;
        Ok(Response::new(audit(self.0.host.audit().await.map_err(refuse)?)))
    }
}

/// What was found in the books.
fn audit(audit: Audit) -> pb::VerifyLedgerResponse {
    let finding = |finding: Finding| pb::LedgerFinding {
        rule: finding.rule.to_owned(),
        count: finding.count,
        example: finding.example,
    };
    pb::VerifyLedgerResponse {
        good: audit.is_good(),
        users: audit.users,
        postings: audit.postings,
        settlements: audit.settlements,
        holds: audit.holds,
        sum: audit.sum.as_f64(),
        findings: audit.findings.into_iter().map(finding).collect(),
    }
}
