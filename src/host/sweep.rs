//! Clearing what is over: requests whose time has passed, and objects that belong to nothing.
//!
//! Objects go with their request. One is left behind when the broker dies between storing it and
//! accepting its request, or between dropping a request and deleting its objects; and when something is
//! handed in through a link that outlives its request. IDs begin with the time, and objects are named
//! after them, so a name tells its age; Records tell whether anybody still knows the ID.

use std::time::Duration;

use uuid::Uuid;

use super::{Host, objects, owner};
use crate::{
    backend::Failure,
    domain::{AttemptId, RequestId, Timestamp},
};

/// How often objects that belong to nothing are looked for.
pub(super) const OBJECTS_EVERY: Duration = Duration::from_secs(10 * 60);
/// Younger objects may be on their way to a request that is not accepted yet, and links to them may
/// still hold. Source: the v2 contract.
const YOUNG: Duration = Duration::from_secs(2 * 60 * 60);
/// Names that are looked at in one go.
const CHUNK: usize = 500;
/// Goes of one sweep; the next one goes on from there.
const MOST_CHUNKS: usize = 20;
/// Letters of a UUID's text that hold its time.
const TIME_LETTERS: usize = 13;
/// Letters of a UUID's text.
const ID_LETTERS: usize = 36;

impl Host {
    /// Deletes requests whose time is over and, if so wished, objects that belong to nothing; folds figures.
    pub(super) async fn sweep(&self, now: Timestamp, with_objects: bool) -> Result<(), Failure> {
        self.tell_holdings(now).await?;
        let backend = &self.shared.backend;
        for (request, attempts) in backend.records.sweep(now).await? {
            backend.signals.forget(request);
            owner::delete(self, objects::names(&*backend.blobs, request, &attempts));
        }
        backend.records.fold_stats(now).await?;
        if with_objects { self.sweep_objects(now).await } else { Ok(()) }
    }

    async fn sweep_objects(&self, now: Timestamp) -> Result<(), Failure> {
        let blobs = &self.shared.backend.blobs;
        let limit = u64::try_from(now.0).unwrap_or(0).saturating_sub(YOUNG.as_millis() as u64);
        let limit = uuid::Builder::from_unix_timestamp_millis(limit, &[0; 10]).into_uuid().to_string();
        for _ in 0..MOST_CHUNKS {
            let after = self.shared.objects_swept_to.lock().clone();
            let names = blobs.names(&after, &limit[..TIME_LETTERS], CHUNK).await?;
            for name in &names {
                if !self.is_known(name).await? {
                    blobs.delete(name).await?;
                }
            }
            let is_over = names.len() < CHUNK;
            *self.shared.objects_swept_to.lock() = names.into_iter().next_back().unwrap_or_default();
            if is_over {
                self.shared.objects_swept_to.lock().clear();
                break;
            }
        }
        Ok(())
    }

    /// Whether Records know the request or the attempt that an object is named after. What is named
    /// otherwise is not ours to judge.
    async fn is_known(&self, name: &str) -> Result<bool, Failure> {
        let Some(id) = name.get(..ID_LETTERS).and_then(|text| Uuid::try_parse(text).ok()) else {
            return Ok(true);
        };
        // Others name theirs otherwise, perhaps in the same bucket.
        if id.get_version_num() != 7 {
            return Ok(true);
        }
        let records = &self.shared.backend.records;
        Ok(records.attempt(AttemptId(id)).await?.is_some() || records.request(RequestId(id)).await?.is_some())
    }
}
