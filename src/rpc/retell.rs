//! Refusals that the gRPC library makes itself, before a service sees the call: of messages that
//! cannot be decoded, or are too large. They get a code and a reason as all of ours have.

use std::collections::HashMap;

use http::HeaderMap;
use tonic::{Code, Status};

use super::{error::with_reason, pb::Reason};

/// How the library's words begin when a message is not what its method takes, or is none at all.
const DECODING: [&str; 5] = [
    "failed to decode Protobuf message",
    "protocol error: received message with",
    "Error decompressing",
    "Missing request message",
    "Unexpected EOF decoding stream",
];

/// Retells the refusal in a response's headers, if it is one of those.
pub fn headers(headers: &mut HeaderMap) {
    if headers.get("grpc-status").is_none_or(|code| code == "0") {
        return;
    }
    if let Some(retold) = Status::from_header_map(headers).as_ref().and_then(retold) {
        // Fails only for characters that headers cannot have; then the library's words stay.
        let _ = retold.add_header(headers);
    }
}

/// The refusal in our words, if it is one of those.
pub fn status(status: Status) -> Status {
    retold(&status).unwrap_or(status)
}

fn retold(status: &Status) -> Option<Status> {
    if !status.details().is_empty() {
        return None;
    }
    let text = status.message();
    let (code, reason) = match status.code() {
        Code::OutOfRange if text.contains("message length too large") => {
            (Code::OutOfRange, Reason::PayloadTooLarge)
        }
        Code::ResourceExhausted if text.contains("size limit") => (Code::OutOfRange, Reason::PayloadTooLarge),
        Code::Internal if DECODING.iter().any(|begin| text.starts_with(begin)) => {
            (Code::InvalidArgument, Reason::BadRequest)
        }
        _ => return None,
    };
    Some(with_reason(code, reason, text, HashMap::new(), None))
}
