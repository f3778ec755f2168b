//! gridbroker: a gRPC job broker with HTTP/JSON transcoding for distributed AI generation.

pub mod rpc;
