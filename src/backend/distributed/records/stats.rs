//! What was made, in PostgreSQL.

use async_trait::async_trait;
use sqlx::Connection;

use super::{ANSWER, BEGIN, PgRecords, Session, Trouble, again};
use crate::{
    backend::{Failure, StatRecords, cells},
    domain::{
        Timestamp,
        request::Kind,
        stats::{self, Fold, MOST_MODELS, Stats},
    },
};

/// Figures of the periods that began at $1 to $4; what follows SELECT and the spans may be narrowed down.
macro_rules! figures {
    ($what:literal, $grouped:literal) => {
        concat!(
            "SELECT ",
            $what,
            ", (coalesce(sum(jobs) FILTER (WHERE start + seconds * 1000 > $1), 0))::BIGINT AS minute_jobs, \
             (coalesce(sum(things) FILTER (WHERE start + seconds * 1000 > $1), 0))::BIGINT AS minute_things, \
             (coalesce(sum(jobs) FILTER (WHERE start + seconds * 1000 > $2), 0))::BIGINT AS hour_jobs, \
             (coalesce(sum(things) FILTER (WHERE start + seconds * 1000 > $2), 0))::BIGINT AS hour_things, \
             (coalesce(sum(jobs) FILTER (WHERE start + seconds * 1000 > $3), 0))::BIGINT AS day_jobs, \
             (coalesce(sum(things) FILTER (WHERE start + seconds * 1000 > $3), 0))::BIGINT AS day_things, \
             (coalesce(sum(jobs) FILTER (WHERE start + seconds * 1000 > $4), 0))::BIGINT AS month_jobs, \
             (coalesce(sum(things) FILTER (WHERE start + seconds * 1000 > $4), 0))::BIGINT AS month_things, \
             sum(jobs)::BIGINT AS jobs, sum(things)::BIGINT AS things FROM stats ",
            $grouped
        )
    };
}
const TOTALS: &str = figures!("kind", "GROUP BY kind");
const MODELS: &str =
    figures!("kind, model", "WHERE kind = $5 GROUP BY kind, model ORDER BY sum(jobs) DESC, model LIMIT $6");
/// One statement: whoever counts in a span that is being folded waits, and counts in a new row.
const FOLD: &str = "WITH gone AS (DELETE FROM stats WHERE seconds = $1 AND start < $3 \
         RETURNING start, kind, model, jobs, things) \
     INSERT INTO stats (seconds, start, kind, model, shard, jobs, things) \
     SELECT $2::BIGINT, CASE $2::BIGINT WHEN 0 THEN 0 ELSE start - start % ($2::BIGINT * 1000) END AS begun, kind, model, 0, \
         sum(jobs)::BIGINT, sum(things)::BIGINT FROM gone GROUP BY begun, kind, model ORDER BY begun, kind, model \
     ON CONFLICT (seconds, start, kind, model, shard) DO UPDATE \
     SET jobs = stats.jobs + excluded.jobs, things = stats.things + excluded.things";

pub(in crate::backend::distributed) const STATEMENTS: &[&str] = &[TOTALS, MODELS, FOLD];

impl PgRecords {
    async fn read_stats(&self, now: Timestamp) -> Result<Stats, Trouble> {
        let [minute, hour, day, month] = stats::periods(now).map(|at| at.0);
        let asked = |statement| sqlx::query(statement).bind(minute).bind(hour).bind(day).bind(month);
        let most = i64::try_from(MOST_MODELS).unwrap_or(i64::MAX);
        let mut session = Session::of(&self.pool).await?;
        let mut tx = session.begin_with(BEGIN).await?;
        let totals = asked(TOTALS).fetch_all(&mut *tx).await?;
        let mut models = Vec::new();
        for kind in [Kind::Image, Kind::Text] {
            models.extend(asked(MODELS).bind(kind.word()).bind(most).fetch_all(&mut *tx).await?);
        }
        tx.commit().await?;
        session.release();
        let totals = totals.iter().filter_map(|row| cells::periods(row).transpose());
        let models = models.iter().filter_map(|row| cells::model_periods(row).transpose());
        Ok(Stats {
            totals: totals.collect::<Result<_, Failure>>()?,
            models: models.collect::<Result<_, Failure>>()?,
        })
    }

    async fn fold(&self, now: Timestamp) -> Result<(), Trouble> {
        let mut session = Session::of(&self.pool).await?;
        for Fold { from, into, before } in stats::folds(now) {
            sqlx::query(FOLD).bind(from).bind(into).bind(before.0).execute(&mut *session).await?;
        }
        session.release();
        Ok(())
    }
}

#[async_trait]
impl StatRecords for PgRecords {
    async fn stats(&self, now: Timestamp) -> Result<Stats, Failure> {
        Ok(again(ANSWER, || self.read_stats(now)).await?)
    }

    async fn fold_stats(&self, now: Timestamp) -> Result<(), Failure> {
        Ok(again(ANSWER, || self.fold(now)).await?)
    }
}
