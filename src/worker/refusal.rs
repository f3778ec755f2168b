//! What a refused call means for the caller: try again, or not.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::rpc::pb::Reason;

/// The stable reason of a refusal, if it carries one.
pub fn reason(status: &Status) -> Option<Reason> {
    status.get_details_error_info().and_then(|info| Reason::from_rc(&info.reason))
}

/// How long the broker asks to wait.
pub fn asked_wait(status: &Status) -> Option<Duration> {
    status.get_details_retry_info().and_then(|info| info.retry_delay)
}

/// Whether the same call may fare better later.
pub fn may_pass(status: &Status) -> bool {
    // Coming back would throw the other one out, which comes back in turn.
    if reason(status) == Some(Reason::StreamReplaced) {
        return false;
    }
    match status.code() {
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => false,
    }
}

/// A refusal in words for people, with what to do about it.
pub fn explain(server: &str, status: &Status) -> String {
    match (reason(status), status.code()) {
        (Some(Reason::InvalidApiKey), _) => {
            format!("{server} does not know this API key; `gridbroker user add` makes one")
        }
        (Some(Reason::AnonForbiddenWorker), _) => {
            "workers need an account: pass --api-key with a key that `gridbroker user add` printed".into()
        }
        (Some(Reason::StreamReplaced), _) => {
            "another worker has come under the same name; give one of them another --name".into()
        }
        (Some(_), _) => status.message().to_owned(),
        (None, Code::Unavailable) => {
            format!(
                "no gridbroker answers at {server}; start one with `gridbroker serve`, or pass --server URL"
            )
        }
        (None, _) => match status.get_details_bad_request() {
            Some(bad) if !bad.field_violations.is_empty() => {
                let fields = bad.field_violations.iter();
                fields.map(|v| format!("{}: {}", v.field, v.description)).collect::<Vec<_>>().join("; ")
            }
            _ if status.message().is_empty() => format!("{server} refused the call ({:?})", status.code()),
            _ => format!("{server} refused the call: {}", status.message()),
        },
    }
}
