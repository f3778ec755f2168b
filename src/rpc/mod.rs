//! gRPC services: proto to domain and back; no decisions.

pub mod check;
pub mod json;
pub mod rules;

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
