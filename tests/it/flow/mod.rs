//! Whole stories, black box.

mod cancel;
mod image;
mod lease;
mod restart;
mod text;
mod upfront;
mod watch;
