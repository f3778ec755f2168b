//! Black-box tests; the `mod` list is the contents page.

mod commands;
mod flow;
mod harness;
mod bench;
mod commands;
mod protocol;
mod simulation;
