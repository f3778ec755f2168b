//! gridbroker: a gRPC job broker with HTTP/JSON transcoding for distributed AI generation.

pub mod backend;
pub mod commands;
pub mod config;
pub mod domain;
pub mod engine;
pub mod host;
pub mod rpc;
pub mod server;
pub mod telemetry;
pub mod transcode;
pub mod worker;
