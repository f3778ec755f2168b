//! Proto ⇄ domain, a file per message family. Legacy meanings end here.

pub mod event;
pub mod grant;
pub mod image;
pub mod offer;
pub mod people;
pub mod result;
pub mod status;
pub mod text;
pub mod video;

use crate::domain::{Kudos, WorkerId};

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

/// The worker list of a request; only the first five count. Source: the v2 contract.
///
/// # Errors
/// The first text that is no worker's ID.
pub(crate) fn worker_list(texts: &[String]) -> Result<Vec<WorkerId>, crate::domain::Error> {
    let first = texts.iter().take(5);
    first
        .map(|text| {
            WorkerId::parse(text).ok_or_else(|| crate::domain::Error::WorkerNotFound(text.to_owned()))
        })
        .collect()
}
