//! What bounds memory and work.

use super::Complaints;

/// Bounds of calls, messages, queues and connections.
#[derive(Clone, PartialEq, Debug)]
pub struct Limits {
    /// Whether calls are limited per address, path and key.
    pub rate_limits: bool,
    /// Largest body of an HTTP call, in bytes.
    pub max_body_bytes: usize,
    /// Largest gRPC message, in bytes.
    pub max_message_bytes: usize,
    /// Jobs that may wait in all; past it submits are refused.
    pub max_waiting_jobs: usize,
    /// Requests that are done and kept in memory; older ones are read from the store.
    pub max_finished_requests: usize,
    /// Connections that may be open at a time.
    pub max_connections: usize,
    /// Calls and streams that may be open on one connection at a time.
    pub max_streams_per_connection: u32,
    /// An account for which more kudos than this were put aside is trusted by itself; unset: nobody is.
    pub kudos_trust_threshold: Option<u32>,
    /// ID of the account that awards kudos.
    pub kudos_awarder: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rate_limits: true,
            max_body_bytes: 32 << 20,
            max_message_bytes: 32 << 20,
            max_waiting_jobs: 200_000,
            max_finished_requests: 20_000,
            max_connections: 20_000,
            max_streams_per_connection: 1000,
            kudos_trust_threshold: None,
            kudos_awarder: 1,
        }
    }
}

impl Limits {
    pub(super) fn check(&self, complaints: &mut Complaints) {
        let sizes = [("max_body_bytes", self.max_body_bytes), ("max_message_bytes", self.max_message_bytes)];
        for (key, bytes) in sizes {
            // No keeper of objects takes more.
            if !(1024..=64 << 20).contains(&bytes) {
                complaints.about(key, "must be from 1024 (1 KiB) to 67108864 (64 MiB) bytes");
            }
        }
        let counts = [
            ("max_waiting_jobs", self.max_waiting_jobs),
            ("max_connections", self.max_connections),
            ("max_streams_per_connection", self.max_streams_per_connection as usize),
        ];
        for (key, count) in counts {
            if count == 0 {
                complaints.about(key, "is 0, which would refuse everything; give at least 1");
            }
        }
    }
}
