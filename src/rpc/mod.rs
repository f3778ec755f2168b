//! gRPC services: proto to domain and back; no decisions.
//!
//! A service is one file, a verb a call: `enter` counts, checks and reads the key; `convert` turns the
//! message into domain values; the host runs the engine's verb; `convert` turns the answer back;
//! `error` turns a refusal into a status. JSON reaches the same services, through `transcode`.

mod caller;
pub mod check;
pub mod codec;
mod collections;
mod convert;
mod documents;
pub mod error;
mod filters;
pub mod gate;
mod generate;
pub mod json;
mod kudos;
mod operations;
pub mod retell;
pub mod rules;
mod shared_keys;
mod stats;
mod status;
mod styles;
mod teams;
mod users;
mod worker;

use std::{sync::Arc, time::Duration};

use tonic::Status;

use crate::{
    domain::Error,
    host::{Bulletin, Documents, Host, Objects, Porter},
};

pub use collections::CollectionsService;
pub use convert::dates::rfc822;
pub use documents::DocumentsService;
pub use filters::FiltersService;
pub use generate::GenerateService;
pub use kudos::KudosService;
pub use operations::OperationsService;
pub use shared_keys::SharedKeysService;
pub use stats::StatsService;
pub use status::StatusService;
pub use styles::StylesService;
pub use teams::TeamsService;
pub use users::UsersService;
pub use worker::WorkerService;

/// What all services share.
#[derive(Clone)]
pub struct Api {
    /// Runs the engine.
    pub host: Host,
    /// Images.
    pub objects: Objects,
    /// Counts calls.
    pub gate: Arc<dyn gate::Gate>,
    /// How long a pop is held open at most.
    pub long_poll: Duration,
    /// Threads that serve.
    pub server_threads: usize,
    /// The operator's news.
    pub bulletin: Arc<Bulletin>,
    /// What the operator has to say to everybody.
    pub documents: Arc<Documents>,
    /// Lets workers come up to the door.
    pub porter: Porter,
    /// Who may test prompts against filters besides moderators, as `alias#id`.
    pub filter_testers: Arc<[String]>,
}

/// A refusal as a status.
fn refuse(error: Error) -> Status {
    error::status(&error)
}

/// The API as generated from `proto/grid/v2`.
#[allow(missing_docs, clippy::all, rustdoc::all)]
pub mod pb {
    tonic::include_proto!("grid.v2");
}

/// The operator's service, as generated from `proto/grid/admin/v1`.
#[allow(missing_docs, clippy::all, rustdoc::all)]
pub mod admin {
    tonic::include_proto!("grid.admin.v1");
}

/// The compiled protos, for reflection.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
