//! Proto ⇄ domain, a file per message family. Legacy meanings end here.

pub mod accounts;
pub mod alchemy;
pub mod dates;
pub mod event;
pub mod explain;
pub mod grant;
pub mod image;
pub mod lent;
pub mod offer;
pub mod people;
pub mod result;
pub mod status;
pub mod styles;
pub mod teams;
pub mod text;
pub mod video;

use crate::{
    domain::{Kudos, WorkerId, request::Origin, warning::Warning},
    engine::Submitted,
    rpc::pb,
};

/// Kudos as counters of requests show them: whole.
pub(crate) fn whole(kudos: Kudos) -> f64 {
    kudos.as_f64().round()
}

/// A count as the protos have it; what does not fit is cut.
pub(crate) fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// Seconds as the protos have them; what does not fit is cut.
pub(crate) fn seconds(n: i64) -> i32 {
    i32::try_from(n.max(0)).unwrap_or(i32::MAX)
}

/// A number that was checked to be in range and not negative.
pub(crate) fn unsigned(n: i32) -> u32 {
    u32::try_from(n).unwrap_or(0)
}

/// Longest `Client-Agent` that is kept, in characters.
const LONGEST_AGENT: usize = 1000;

/// The worker list of a request: every ID, and the first entry that is none.
pub(crate) fn worker_list(texts: &[String]) -> (Vec<WorkerId>, Option<String>) {
    let unknown = texts.iter().find(|text| WorkerId::parse(text).is_none()).cloned();
    (texts.iter().filter_map(|text| WorkerId::parse(text)).collect(), unknown)
}

/// Of the workers that are named, those that count: the first five. Source: the v2 contract.
pub(crate) fn first_workers(workers: &[WorkerId]) -> Vec<WorkerId> {
    workers.iter().take(5).copied().collect()
}

/// Where a request comes from.
pub(crate) fn origin(
    client_agent: Option<String>,
    proxied_account: Option<String>,
    wallet: Option<String>,
) -> Origin {
    let wallet = wallet.filter(|wallet| !wallet.is_empty());
    let client_agent = client_agent.unwrap_or_default().chars().take(LONGEST_AGENT).collect();
    Origin { client_agent, proxied_account, wallet, ..Origin::default() }
}

/// Warnings, and the message that stands for the first of them: that nobody can do it now.
pub(crate) fn warned(submitted: &Submitted) -> (Option<String>, Vec<pb::RequestWarning>) {
    const NO_WORKER: &str =
        "no worker online can do this at the moment; the request waits until one comes, or until it expires";
    let message = (!submitted.is_possible).then(|| NO_WORKER.to_owned());
    let nobody = message
        .iter()
        .map(|text| pb::RequestWarning { code: "NoAvailableWorker".into(), message: text.clone() });
    let warnings = nobody.chain(submitted.warnings.iter().map(warning)).collect();
    (message, warnings)
}

/// What may not go as expected.
pub(crate) fn warning(warning: &Warning) -> pb::RequestWarning {
    pb::RequestWarning { code: warning.mismatch.code().into(), message: warning.message.clone() }
}
