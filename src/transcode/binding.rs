//! Path, query, headers and body → request message; every offending path is reported.
//!
//! Query first, then headers, then path: the later one wins. Headers go before the query because an
//! `EventSource` comes back with the query of its first call and the cursor of its last event. A body
//! is the whole message but for the path, as `body: "*"` has it; its query says nothing.

use axum::{
    body::Body,
    http::{StatusCode, header, request::Parts},
    response::Response,
};
use serde::de::DeserializeOwned;

use super::{Door, Target, body, error, message};
use crate::rpc::{
    check::{Check, FieldPath, Violations, violation},
    json::{self, Bind, Shape},
};

/// Most pairs in a query.
const MAX_QUERY_PAIRS: usize = 128;

/// A request message that HTTP can carry.
pub trait Input: Default + DeserializeOwned + Bind + Shape + Check + Send {}

impl<T: Default + DeserializeOwned + Bind + Shape + Check + Send> Input for T {}

/// Reads a request message.
pub(super) async fn read<T: Input>(
    door: &Door,
    target: Target,
    parts: &Parts,
    body: Body,
    captures: &[(String, String)],
) -> Result<T, Response> {
    let mut input = match target.binding.has_body {
        true => {
            let is_optional = target.rule.optional_body;
            if !is_optional {
                require_json(parts)?;
            }
            let body = body::collect(body, door.max_body_bytes).await?;
            if is_optional && body.is_empty() {
                T::default()
            } else {
                // Asked before a body is read that must be there, and after one that may be missing.
                require_json(parts)?;
                decode(&body)?
            }
        }
        false => T::default(),
    };
    if let (Some(query), false) = (parts.uri.query(), target.binding.has_body) {
        for (name, text) in form_urlencoded::parse(query.as_bytes()).take(MAX_QUERY_PAIRS) {
            bind(&mut input, &name, &text)?;
        }
    }
    for (header, field) in target.rule.headers {
        let text = parts.headers.get(*header).and_then(|value| value.to_str().ok());
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            bind(&mut input, field, text)?;
        }
    }
    for (name, text) in captures {
        bind(&mut input, name, text)?;
    }
    Ok(input)
}

fn bind<T: Input>(input: &mut T, name: &str, text: &str) -> Result<(), Response> {
    input.bind(name, text).map_err(|offence| error::respond(&violation(name, offence)))
}

fn require_json(parts: &Parts) -> Result<(), Response> {
    let content_type =
        parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") || essence.to_ascii_lowercase().ends_with("+json") {
        return Ok(());
    }
    Err(message(
        StatusCode::BAD_REQUEST,
        "send the body as JSON, with the header Content-Type: application/json",
    ))
}

/// Reads a body: at once when its types are right; when not, a second pass names all that is wrong.
pub(super) fn decode<T: Input>(body: &[u8]) -> Result<T, Response> {
    if body::has_too_many_parts(body) {
        return Err(message(StatusCode::BAD_REQUEST, "the body has too many values"));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let first = match json::object::<T, _>(&mut reader).and_then(|input| reader.end().map(|()| input)) {
        Ok(input) => return Ok(input),
        Err(error) => error,
    };
    let malformed = |error: &serde_json::Error| {
        message(
            StatusCode::BAD_REQUEST,
            &format!("the body is not the JSON object that is expected: {error}"),
        )
    };
    let value: serde_json::Value = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
    if !value.is_object() {
        return Err(message(StatusCode::BAD_REQUEST, "the body is JSON, but not an object"));
    }
    let mut violations = Violations::default();
    let cleaned = json::without_type_errors(T::SHAPE, value, &mut violations);
    // Also where two keys are alike: of them the last one counts, as in the object just read.
    let input: T = serde_json::from_value(cleaned).map_err(|_| malformed(&first))?;
    if violations.is_empty() {
        return Ok(input);
    }
    input.check(&mut FieldPath::default(), &mut violations);
    match violations.into_result() {
        Err(status) => Err(error::respond(&status)),
        Ok(()) => Ok(input),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::rpc::pb::SubmitImageRequest;

    async fn refusal(body: &str) -> serde_json::Value {
        let response = decode::<SubmitImageRequest>(body.as_bytes()).expect_err("it is refused");
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&body).unwrap()
    }

    fn read(body: &str) -> SubmitImageRequest {
        decode(body.as_bytes()).expect("it is read")
    }

    #[test]
    fn what_the_contract_allows_is_read() {
        let cases: [(&str, fn(&SubmitImageRequest) -> bool, &str); 5] = [
            (r#"{"prompt": "x", "later": [1]}"#, |r| r.prompt() == "x", "unknown keys are ignored"),
            (
                r#"{"params": {"steps": 7.0}}"#,
                |r| r.params.as_ref().unwrap().steps() == 7,
                "a zero fraction is fine",
            ),
            (r#"{"prompt": "a", "prompt": "b"}"#, |r| r.prompt() == "b", "of two keys alike the last counts"),
            (
                r#"{"models": []}"#,
                |r| r.models.as_ref().is_some_and(|m| m.names.is_empty()),
                "an empty list is set",
            ),
            (
                r#"{"params": {"special": {"n": 3}}}"#,
                |r| r.params.as_ref().unwrap().special.is_some(),
                "free form",
            ),
        ];
        for (body, holds, rule) in cases {
            assert!(holds(&read(body)), "{rule}");
        }
    }

    #[tokio::test]
    async fn every_offending_path_is_named() {
        let body = r#"{"params": {"width": 513, "steps": "30", "karras": 1, "loras": [{"name": 5}]},
                       "models": ["a", 3], "nsfw": null, "extra_source_images": [["x"]]}"#;
        let refusal = refusal(body).await;
        assert_eq!(refusal["message"], "Input payload validation failed");
        let errors = refusal["errors"].as_object().unwrap();
        for (path, text) in [
            ("prompt", "'prompt' is a required property"),
            ("params.width", "513 is not a multiple of 64"),
            ("params.steps", "'30' is not of type 'integer'"),
            ("params.karras", "1 is not of type 'boolean'"),
            ("params.loras.0.name", "5 is not of type 'string'"),
            ("models.1", "3 is not of type 'string'"),
            ("nsfw", "None is not of type 'boolean'"),
            ("extra_source_images.0", "[\"x\"] is not of type 'object'"),
        ] {
            assert_eq!(errors[path], text, "{path}");
        }
        assert_eq!(errors.len(), 8);
    }

    #[tokio::test]
    async fn what_is_no_json_object_is_refused_without_a_code() {
        for body in ["", "{", "[]", "3", "{\"prompt\": \"\u{1}\"}"] {
            let refusal = refusal(body).await;
            assert!(refusal["message"].is_string() && refusal.get("rc").is_none(), "{body:?}: {refusal}");
        }
    }
}
