//! The nouns: plain data and pure rules. Uses nothing above.

pub mod account;
pub mod board;
pub mod bridge;
pub mod bulletin;
pub mod clock;
pub mod document;
pub mod earning;
pub mod error;
pub mod event;
pub mod filters;
pub mod id;
pub mod key_salt;
pub mod kudos;
pub mod lease;
pub mod ledger;
pub mod markup;
pub mod media;
pub mod models;
pub mod monthly;
pub mod news;
pub mod price;
pub mod record;
pub mod request;
pub mod result;
pub mod route;
pub mod shared_key;
pub mod sign_in;
pub mod source;
pub mod standing;
pub mod stats;
pub mod style;
pub mod tally;
pub mod team;
pub mod transfer;
pub mod upfront;
pub mod user;
pub mod videos;
pub mod warning;
pub mod webhook;
pub mod words;
pub mod worker;

pub use clock::{Clock, Timestamp};
pub use error::{Error, Result};
pub use id::{
    AttemptId, CollectionId, ExampleId, MessageId, OfferId, RequestId, SharedKeyId, StyleId, TeamId, UserId,
    WorkerId,
};
pub use kudos::Kudos;
