//! Rows of filters.

use super::{Cells, number, text};
use crate::{
    backend::Failure,
    domain::{
        UserId,
        filters::{Filter, FilterId, Pattern},
    },
};

/// A row of `filters`.
///
/// # Errors
/// It holds what no filter can be.
pub fn filter(row: &impl Cells) -> Result<Filter, Failure> {
    Ok(Filter {
        id: FilterId(number(row, "id")?),
        pattern: Pattern {
            regex: text(row, "regex")?.to_owned(),
            filter_type: number(row, "filter_type")?,
            replacement: text(row, "replacement")?.to_owned(),
            description: row.text("description")?.map(str::to_owned),
        },
        editor: UserId(number(row, "editor")?),
        version: number(row, "version")?,
    })
}
