//! Rows of what was made.

use super::{Cells, number, text};
use crate::{
    backend::Failure,
    domain::{
        request::Kind,
        stats::{Made, Periods},
    },
};

/// A row of figures with its kind; `None` for a kind that only newer brokers know.
///
/// # Errors
/// It is no such row.
pub fn periods(row: &impl Cells) -> Result<Option<(Kind, Periods)>, Failure> {
    let word = text(row, "kind")?;
    let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.word() == word) else { return Ok(None) };
    let made = |jobs: &str, things: &str| {
        Ok::<_, Failure>(Made { jobs: number(row, jobs)?, things: number(row, things)? })
    };
    let periods = Periods {
        minute: made("minute_jobs", "minute_things")?,
        hour: made("hour_jobs", "hour_things")?,
        day: made("day_jobs", "day_things")?,
        month: made("month_jobs", "month_things")?,
        total: made("jobs", "things")?,
    };
    Ok(Some((kind, periods)))
}

/// A row of figures with its kind and model.
///
/// # Errors
/// As [`periods`].
pub fn model_periods(row: &impl Cells) -> Result<Option<(Kind, String, Periods)>, Failure> {
    let Some((kind, periods)) = periods(row)? else { return Ok(None) };
    Ok(Some((kind, text(row, "model")?.to_owned(), periods)))
}
