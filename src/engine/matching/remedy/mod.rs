//! What mends a pair that a rule forbids: what who asks could ask instead, and what the worker could offer
//! besides.
//!
//! Each rule names its own remedies, from the values that it compares. None is taken at its word: who looks
//! for remedies puts the changed request, or the changed worker, through the whole table again.

mod ease;
mod lift;

pub use ease::{Ease, Eases};
pub use lift::{Lift, Lifts};
