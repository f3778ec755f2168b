//! Claims whose time is over by far: Records say what becomes of them.

use std::{collections::BTreeSet, time::Duration};

use fred::types::Value;

use super::Keeper;
use crate::{
    backend::{
        Failure,
        distributed::{
            claims::{
                ledger::{Due, JobId},
                parse_job_name,
            },
            scripts,
        },
    },
    domain::{AttemptId, news::News, record::StoredRequest, request::Kind},
};

/// How long past its end a claim is left alone: who holds it ends it in Records first.
const OVERDUE_FOR: Duration = Duration::from_secs(10);
/// How much longer a claim that Records still hold counts from when it was found overdue.
const HELD_ON: Duration = Duration::from_secs(30);
/// Claims found overdue in one go.
const SWEEP_MOST: i64 = 256;

impl Keeper {
    pub(super) async fn sweep_overdue(&mut self, generation: &str) -> Result<(), Failure> {
        for kind in Kind::ALL {
            let link = &self.shared.link;
            let over = i64::try_from(OVERDUE_FOR.as_millis()).unwrap_or(i64::MAX);
            let arguments = vec![Value::from(generation), over.into(), SWEEP_MOST.into()];
            let found = link.run(&scripts::OVERDUE, link.lane_keys(kind), arguments).await?;
            let found: Vec<String> = found.convert().unwrap_or_default();
            let pairs: Vec<_> = found
                .chunks_exact(2)
                .filter_map(|pair| Some((parse_job_name(&pair[0])?, AttemptId::parse(&pair[1]))))
                .collect();
            if pairs.is_empty() {
                continue;
            }
            let ids: BTreeSet<_> = pairs.iter().map(|((request, _), _)| *request).collect();
            let ids: Vec<_> = ids.into_iter().collect();
            let stored = self.shared.records.requests(&ids).await?;
            for (job, attempt) in pairs {
                let stored = stored.iter().find(|stored| stored.request.id == job.0);
                self.take_back(kind, job, attempt, stored);
            }
        }
        Ok(())
    }

    /// Takes back claims whose attempts Records refused, once nobody has the job by another one.
    pub(super) async fn take_back_refused(&mut self) -> Result<(), Failure> {
        let refused = self.ledger.refused();
        if refused.is_empty() {
            return Ok(());
        }
        let ids: BTreeSet<_> = refused.iter().map(|((request, _), _)| *request).collect();
        let ids: Vec<_> = ids.into_iter().collect();
        let stored = self.shared.records.requests(&ids).await?;
        for (job, attempt) in refused {
            let stored = stored.iter().find(|stored| stored.request.id == job.0);
            match stored.and_then(|stored| stored.open.iter().find(|open| open.job == job.1)) {
                // Whoever has it comes first.
                Some(open) if open.id != attempt => continue,
                open => {
                    self.ledger.forget_refused(job);
                    if open.is_some() {
                        continue;
                    }
                }
            }
            let known = stored.map(|stored| &stored.request).or(self.ledger.request(job.0));
            if let Some(kind) = known.map(|request| request.spec.kind()) {
                self.take_back(kind, job, Some(attempt), stored);
            }
        }
        Ok(())
    }

    fn take_back(
        &mut self,
        kind: Kind,
        job: JobId,
        attempt: Option<AttemptId>,
        stored: Option<&StoredRequest>,
    ) {
        let now = self.shared.clock.now();
        let open = attempt.and_then(|id| stored?.open.iter().find(|open| open.id == id));
        match (open, attempt) {
            // Records have it open: its lease is longer than Redis was told, or nobody has ended it.
            (Some(open), Some(attempt)) => match open.expires_at.plus(OVERDUE_FOR) < now {
                true => self.shared.hear(News::Overdue { request: job.0, attempt }),
                false if self.ledger.is_own(attempt) => {
                    self.ledger.hold_on(job, kind, now.plus(HELD_ON));
                }
                false => {}
            },
            (_, Some(attempt)) => {
                tracing::info!("took a claim back that the records do not know");
                if let Some(stored) = stored {
                    self.ledger.correct(stored);
                }
                self.ledger.take_from(job, kind, attempt);
            }
            (_, None) => self.ledger.put_due(job, kind, Due::Stand),
        }
    }
}
