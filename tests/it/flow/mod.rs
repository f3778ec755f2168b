//! Whole stories, black box.

mod alchemy;
mod cancel;
mod image;
mod lease;
mod restart;
mod text;
mod watch;
