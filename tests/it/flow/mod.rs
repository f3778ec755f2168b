//! Whole stories, black box.

mod addresses;
mod alchemy;
mod cancel;
mod image;
mod lease;
mod legacy;
mod objects;
mod restart;
mod sources;
mod styles;
mod text;
mod upfront;
mod video;
mod watch;
mod webhooks;
