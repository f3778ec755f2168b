//! What the broker itself calls: source images and webhooks, at addresses that strangers chose, and a checker of
//! addresses.
//!
//! ```text
//!  URL ──Target──► name ──resolve──► every address vetted ──► one connection, no redirect, a deadline
//!         │ scheme, credentials,           │ private, local, metadata …
//!         ▼ literal addresses              ▼
//!      refused                          refused: nobody is called
//! ```
//!
//! All of that goes through the one [`Guarded`] client. What it may reach besides the public Internet is
//! the operator's word alone (`fetch_allow`). The old server, which the operator names, is called as it is
//! named, by a client of its own ([`upstream`]).

mod address;
pub mod checker;
mod client;
mod target;
pub mod upstream;
pub mod webhook;

pub use client::{Guarded, Trouble};
pub use target::{Schemes, Target};
