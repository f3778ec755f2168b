//! What is answered when a call is refused: which return codes an RPC may give, and their form.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::super::{Api, Method};

/// The refusals of an RPC as responses, by HTTP status.
pub fn responses(api: &Api, method: &Method, has_body: bool) -> Map<String, Value> {
    let mut by_status: BTreeMap<u64, Vec<&str>> = BTreeMap::from([(400, Vec::new())]);
    let codes = codes(api, method, has_body);
    for (_, rc, http) in api.reasons.iter().filter(|(_, rc, _)| codes.contains(rc.as_str())) {
        by_status.entry(*http).or_default().push(rc);
    }
    let mut responses = Map::new();
    for (http, codes) in by_status {
        let mut lines: Vec<String> = codes
            .iter()
            .map(|rc| format!("`{rc}`: {}", api.comments.get(*rc).map_or("", String::as_str)))
            .collect();
        let mut schema = json!({ "$ref": "#/components/schemas/Error" });
        if http == 400 {
            lines.insert(0, "Fields out of bounds, all of them; or what cannot be read at all.".to_owned());
            schema = json!({ "anyOf": [{ "$ref": "#/components/schemas/ValidationError" }, schema] });
        }
        let mut response = json!({
            "description": lines.join("\n\n"),
            "content": { "application/json": { "schema": schema } },
            "x-return-codes": codes,
        });
        if http == 429 {
            response["headers"] = limit_headers();
        } else if http == 503 {
            response["headers"] = json!({ "Retry-After": { "$ref": "#/components/headers/Retry-After" } });
        }
        responses.insert(http.to_string(), response);
    }
    let any = json!({
        "description": "Any other refusal.",
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
    });
    responses.insert("default".into(), any);
    responses
}

/// The return codes that an RPC may give: those that its comment names, by themselves or as another RPC's,
/// and those that follow from its rules.
fn codes<'a>(api: &'a Api, method: &'a Method, has_body: bool) -> BTreeSet<&'a str> {
    let mut codes = BTreeSet::from(["StoreUnavailable", "Draining"]);
    named(api, method, &mut BTreeSet::new(), &mut codes);
    if has_body {
        codes.extend(["PayloadTooLarge", "PayloadTooSlow", "NulByteInPayload"]);
    }
    if !is_exempt(method) {
        codes.insert("RateLimited");
    }
    codes.extend(match method.caller.as_str() {
        "Anyone" | "KeyOptional" => &[][..],
        "Key" | "ByField" => &["InvalidAPIKey"],
        "User" => &["InvalidAPIKey", "AnonForbidden"],
        "OwnerOrModerator" | "Moderator" => &["InvalidAPIKey", "NotModerator"],
        _ => &["InvalidAPIKey", "AnonForbidden", "Forbidden"],
    });
    codes
}

fn named<'a>(api: &'a Api, method: &'a Method, seen: &mut BTreeSet<&'a str>, codes: &mut BTreeSet<&'a str>) {
    if !seen.insert(&method.name) {
        return;
    }
    let comment = api.comments.get(&format!("{}.{}", method.service, method.name));
    let Some((_, said)) = comment.and_then(|comment| comment.split_once("Errors:")) else { return };
    for word in said.split(|c: char| !c.is_ascii_alphanumeric()) {
        if let Some((_, rc, _)) = api.reasons.iter().find(|(_, rc, _)| rc == word) {
            codes.insert(rc);
        }
        if let Some(other) = api.methods.iter().find(|other| other.name == word) {
            named(api, other, seen, codes);
        }
    }
    for kind in ["image", "text"] {
        if !said.contains(&format!("{kind} rules of `Reason`")) {
            continue;
        }
        let is_of_kind = |rc: &str| {
            api.comments.get(rc).is_some_and(|words| words.to_lowercase().starts_with(&format!("{kind}:")))
        };
        codes.extend(api.reasons.iter().map(|(_, rc, _)| rc.as_str()).filter(|rc| is_of_kind(rc)));
    }
}

/// Whether calls are never limited.
pub fn is_exempt(method: &Method) -> bool {
    method.limits.iter().any(|limit| limit == "exempt")
}

/// Schemas of what refusals look like.
pub fn schemas(api: &Api) -> Map<String, Value> {
    let codes: Map<String, Value> = api
        .reasons
        .iter()
        .map(|(_, rc, http)| (rc.clone(), json!({ "status": http, "description": api.comments.get(rc) })))
        .collect();
    let schemas = json!({
        "Error": {
            "type": "object",
            "description": "Why a call was refused.",
            "properties": {
                "message": { "type": "string", "description": "What is wrong and what to do, for people." },
                "rc": { "$ref": "#/components/schemas/ReturnCode" },
            },
            "required": ["message"],
        },
        "ReturnCode": {
            "type": "string",
            "description": "The stable code of a refusal, for programs. Absent where a limit is exceeded, and where the request cannot be read. There may be new ones.",
            "x-return-codes": codes,
        },
        "ValidationError": {
            "type": "object",
            "description": "Fields that are missing, of another type, or out of bounds.",
            "properties": {
                "message": { "type": "string", "description": "Says that the request is not valid." },
                "errors": {
                    "type": "object",
                    "description": "What is wrong with each field, by its path, such as params.loras.0.name.",
                    "additionalProperties": { "type": "string" },
                },
            },
            "required": ["message", "errors"],
        },
    });
    match schemas {
        Value::Object(schemas) => schemas,
        _ => Map::new(),
    }
}

/// What is told with every answer of a call that is limited.
pub fn limit_headers() -> Value {
    let names = ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After"];
    let headers = names
        .iter()
        .map(|name| ((*name).to_owned(), json!({ "$ref": format!("#/components/headers/{name}") })));
    Value::Object(headers.collect())
}

/// Their definitions.
pub fn headers() -> Value {
    let whole =
        |words: &str| json!({ "description": words, "schema": { "type": "integer", "format": "int64" } });
    json!({
        "X-RateLimit-Limit": whole("Calls that the limit which is nearest allows in its window."),
        "X-RateLimit-Remaining": whole("Calls that are left of it."),
        "X-RateLimit-Reset": whole("When its window ends, in seconds since 1970."),
        "Retry-After": whole("Seconds until then, or until it is worth to try again."),
    })
}
