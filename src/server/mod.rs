//! Front door.

pub mod admin;
