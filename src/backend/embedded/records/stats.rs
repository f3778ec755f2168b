//! What was made, in SQLite.

use async_trait::async_trait;
use sqlx::Connection;

use super::SqliteRecords;
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
            ", sum(CASE WHEN start + seconds * 1000 > $1 THEN jobs ELSE 0 END) AS minute_jobs, \
             sum(CASE WHEN start + seconds * 1000 > $1 THEN things ELSE 0 END) AS minute_things, \
             sum(CASE WHEN start + seconds * 1000 > $2 THEN jobs ELSE 0 END) AS hour_jobs, \
             sum(CASE WHEN start + seconds * 1000 > $2 THEN things ELSE 0 END) AS hour_things, \
             sum(CASE WHEN start + seconds * 1000 > $3 THEN jobs ELSE 0 END) AS day_jobs, \
             sum(CASE WHEN start + seconds * 1000 > $3 THEN things ELSE 0 END) AS day_things, \
             sum(CASE WHEN start + seconds * 1000 > $4 THEN jobs ELSE 0 END) AS month_jobs, \
             sum(CASE WHEN start + seconds * 1000 > $4 THEN things ELSE 0 END) AS month_things, \
             sum(jobs) AS jobs, sum(things) AS things FROM stats ",
            $grouped
        )
    };
}
const TOTALS: &str = figures!("kind", "GROUP BY kind");
const MODELS: &str =
    figures!("kind, model", "WHERE kind = $5 GROUP BY kind, model ORDER BY sum(jobs) DESC, model LIMIT $6");
const FOLD: &str = "INSERT INTO stats (seconds, start, kind, model, shard, jobs, things) \
     SELECT $2, CASE $2 WHEN 0 THEN 0 ELSE start - start % ($2 * 1000) END AS begun, kind, model, 0, sum(jobs), \
         sum(things) FROM stats WHERE seconds = $1 AND start < $3 GROUP BY begun, kind, model \
     ON CONFLICT (seconds, start, kind, model, shard) DO UPDATE \
     SET jobs = jobs + excluded.jobs, things = things + excluded.things";
const FOLDED: &str = "DELETE FROM stats WHERE seconds = $1 AND start < $2";

pub(in crate::backend::embedded) const STATEMENTS: &[&str] = &[TOTALS, MODELS, FOLD, FOLDED];

#[async_trait]
impl StatRecords for SqliteRecords {
    async fn stats(&self, now: Timestamp) -> Result<Stats, Failure> {
        let [minute, hour, day, month] = stats::periods(now).map(|at| at.0);
        let asked = |statement| sqlx::query(statement).bind(minute).bind(hour).bind(day).bind(month);
        // As of one instant.
        let mut tx = self.readers.begin().await?;
        let totals = asked(TOTALS).fetch_all(&mut *tx).await?;
        let mut models = Vec::new();
        for kind in [Kind::Image, Kind::Text] {
            let query = asked(MODELS).bind(kind.word()).bind(i64::try_from(MOST_MODELS)?);
            models.extend(query.fetch_all(&mut *tx).await?);
        }
        tx.commit().await?;
        let totals = totals.iter().filter_map(|row| cells::periods(row).transpose());
        let models = models.iter().filter_map(|row| cells::model_periods(row).transpose());
        Ok(Stats { totals: totals.collect::<Result<_, _>>()?, models: models.collect::<Result<_, _>>()? })
    }

    async fn fold_stats(&self, now: Timestamp) -> Result<(), Failure> {
        let mut writer = self.writer.lock().await;
        let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
        for Fold { from, into, before } in stats::folds(now) {
            let query = sqlx::query(FOLD).bind(from).bind(into).bind(before.0);
            if query.execute(&mut *tx).await?.rows_affected() > 0 {
                sqlx::query(FOLDED).bind(from).bind(before.0).execute(&mut *tx).await?;
            }
        }
        tx.commit().await?;
        Ok(())
    }
}
