//! Kudos that move otherwise than by jobs: those that accounts give each other, awards, and what they get
//! each month.

mod months;
mod transfers;

pub(super) use months::Months;
pub use transfers::{NewTransfer, Receiver};
