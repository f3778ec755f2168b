//! gRPC status → HTTP status and body.
//!
//! By reason first (its HTTP status is an option in the protos), by gRPC code otherwise. The body is
//! `{message, rc}`, or `{errors, message}` for offending fields. What went wrong inside is not told.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::json_response;
use crate::rpc::{error::HTTP_STATUS, json, pb::Reason};

/// A body with nothing but a message.
pub fn message(status: StatusCode, text: &str) -> Response {
    json_response(status, json::to_vec(&json!({ "message": text })))
}

/// The HTTP form of an error.
pub fn respond(status: &Status) -> Response {
    let details = status.get_error_details();
    let (http, body) = form(status, &details);
    let mut response = json_response(http, json::to_vec(&body));
    let retry = details.retry_info().and_then(|info| info.retry_delay);
    if let Some(delay) = retry {
        let seconds = delay.as_millis().div_ceil(1000).max(1);
        if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
    }
    response
}

/// HTTP status and body of an error.
pub(super) fn form(status: &Status, details: &ErrorDetails) -> (StatusCode, serde_json::Value) {
    let text = status.message();
    let reason = details.error_info().and_then(|info| Reason::from_rc(&info.reason));
    if let Some(reason) = reason {
        let told = details.error_info().and_then(|info| info.metadata.get(HTTP_STATUS)?.parse().ok());
        let http =
            StatusCode::from_u16(told.unwrap_or(reason.http())).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return match reason {
            // Of a limiter, legacy clients get the limit in words and no code.
            Reason::RateLimited => (http, json!({ "message": text })),
            _ => (http, json!({ "message": text, "rc": reason.rc() })),
        };
    }
    if let Some(request) = details.bad_request() {
        let errors: serde_json::Map<_, _> = request
            .field_violations
            .iter()
            .map(|violation| (violation.field.clone(), violation.description.clone().into()))
            .collect();
        return (StatusCode::BAD_REQUEST, json!({ "errors": errors, "message": text }));
    }
    match http_of(status.code()) {
        StatusCode::INTERNAL_SERVER_ERROR => {
            (StatusCode::INTERNAL_SERVER_ERROR, json!({ "message": "Internal Server Error" }))
        }
        http => (http, json!({ "message": text })),
    }
}

/// The HTTP status of a gRPC code without a reason.
fn http_of(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::Aborted | Code::AlreadyExists => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        // nginx's number for a client that went away; it has no name in the registry.
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, time::Duration};

    use super::*;

    fn body(status: &Status) -> (u16, serde_json::Value) {
        let (http, body) = form(status, &status.get_error_details());
        (http.as_u16(), body)
    }

    #[test]
    fn a_reason_decides_status_and_code() {
        let details = ErrorDetails::with_error_info("InvalidAPIKey", "gridbroker", HashMap::new());
        let status = Status::with_error_details(Code::Unauthenticated, "no such key", details);
        assert_eq!(body(&status), (401, json!({ "message": "no such key", "rc": "InvalidAPIKey" })));
    }

    #[test]
    fn what_went_wrong_inside_is_not_told() {
        for code in [Code::Internal, Code::Unknown, Code::DataLoss] {
            let secret = Status::new(code, "SELECT * FROM users");
            assert_eq!(body(&secret), (500, json!({ "message": "Internal Server Error" })));
        }
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds() {
        let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(1200)));
        let status = Status::with_error_details(Code::Unavailable, "later", details);
        assert_eq!(respond(&status).headers()[header::RETRY_AFTER], "2");
    }
}
