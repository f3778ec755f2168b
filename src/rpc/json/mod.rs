//! Our JSON dialect: numbers, free-form objects, what is printed when unset.
//!
//! Field names are the protos' own, 64-bit numbers are numbers, floats keep a fraction, an unset
//! optional field is `null` (or left out, where the message says so). Quirks of the legacy API that
//! this room reproduces; do not spread them: seeds of images are strings, seeds of texts numbers;
//! `skipped` and `payload` are there without a job; closed sets are strings.

mod decode;
mod lax;
mod object;
mod write;

pub use decode::{
    Bind, FieldShape, MessageShape, Shape, ShapeKind, bind, object, objects, present, present_object,
    present_whole, whole, wholes, without_type_errors,
};
pub use lax::{lax_text, lax_whole};
pub use object::Struct;
pub use write::{null_when_empty, to_vec};
