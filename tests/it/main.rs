//! Black-box tests; the `mod` list is the contents page.

mod commands;
mod protocol;
