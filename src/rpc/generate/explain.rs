//! Why a request waits.

use super::{GenerateService, request_id};
use crate::{
    domain::Result,
    rpc::{convert::explain, pb},
};

impl GenerateService {
    pub(super) async fn why(&self, id: &str) -> Result<pb::ExplainResponse> {
        let (view, why) = self.0.host.explain(request_id(id)?).await?;
        Ok(explain::request(&view, why.as_ref()))
    }
}
