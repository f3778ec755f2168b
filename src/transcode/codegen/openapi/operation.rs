//! One way to reach an RPC over HTTP, as an operation of the document.

use serde_json::{Map, Value, json};

use super::{
    super::{Api, Binding, Field, Kind, Label, Method},
    errors,
    schema::{Schemas, describe},
};

/// The route whose body is no JSON. The server has it beside those of the protos.
pub const PREVIEW: &str = "/api/v2/generate/preview/{id}";

/// An operation.
pub fn of(api: &Api, schemas: &mut Schemas<'_>, method: &Method, binding: &Binding, index: usize) -> Value {
    let captured: Vec<&str> = captures(&binding.path).collect();
    let mut parameters = parameters(api, schemas, method, binding, &captured);
    if !method.is_server_stream {
        parameters.push(mask());
    }
    let mut operation = json!({
        "operationId": match index {
            0 => format!("{}_{}", method.service, method.name),
            _ => format!("{}_{}_{}", method.service, method.name, index + 1),
        },
        "tags": [method.service],
        "parameters": parameters,
        "responses": responses(api, schemas, method, binding),
        "security": security(&method.caller),
        "x-grpc": format!("/grid.v2.{}/{}", method.service, method.name),
        "x-caller": caller(method),
        "x-rate-limits": limits(method),
    });
    say(&mut operation, api.comments.get(&format!("{}.{}", method.service, method.name)));
    if binding.has_body {
        let schema = schemas.body(&method.input, &captured);
        let is_optional = api.messages.get(&method.input).is_none_or(|input| {
            !input.fields.iter().any(|field| field.rule.required && !captured.contains(&field.name.as_str()))
        });
        // An object must be sent even if nothing in it must.
        operation["requestBody"] = json!({
            "required": true,
            "description": if is_optional { "May be an empty object." } else { "A JSON object." },
            "content": { "application/json": { "schema": schema } },
        });
    }
    operation
}

/// Names in a path, in its order.
fn captures(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

fn parameters(
    api: &Api,
    schemas: &mut Schemas<'_>,
    method: &Method,
    binding: &Binding,
    captured: &[&str],
) -> Vec<Value> {
    let mut parameters = Vec::new();
    let Some(input) = api.messages.get(&method.input) else { return parameters };
    let mut add = |field: &Field, place: &str, name: &str, must: bool| {
        let (schema, required) = schemas.parameter(input, field);
        let mut parameter =
            json!({ "name": name, "in": place, "required": must || required, "schema": schema });
        if field.label == Label::Repeated && place == "query" {
            parameter["explode"] = Value::Bool(true);
        }
        describe(
            &mut parameter,
            api.comments.get(&format!("{}.{}", input.name, field.name)).map_or("", String::as_str),
        );
        parameters.push(parameter);
    };
    let named = |name: &str| input.fields.iter().find(|field| field.name == name);
    for name in captured {
        if let Some(field) = named(name) {
            add(field, "path", name, true);
        }
    }
    for field in &input.fields {
        let is_scalar = matches!(field.kind, Kind::Text | Kind::Bool | Kind::Int(_) | Kind::Float);
        let is_said = binding.has_body || captured.contains(&field.name.as_str());
        if is_scalar && !is_said && field.label != Label::Map {
            add(field, "query", &field.name, false);
        }
    }
    for (header, name) in &method.headers {
        if let Some(field) = named(name) {
            add(field, "header", header, false);
        }
    }
    parameters
}

fn mask() -> Value {
    json!({
        "name": "X-Fields",
        "in": "header",
        "required": false,
        "schema": { "type": "string", "format": "mask" },
        "description": "Which fields are answered, such as `id,worker{name}`; the others are left out.",
    })
}

fn responses(api: &Api, schemas: &mut Schemas<'_>, method: &Method, binding: &Binding) -> Value {
    let mut responses = errors::responses(api, method, binding.has_body);
    let mut done = match &method.events {
        None => {
            let schema = schemas.answer(&method.output, binding.response_body.as_deref());
            json!({ "description": "Done.", "content": { "application/json": { "schema": schema } } })
        }
        Some((cursor, _)) => {
            let line = schemas.lines(&method.output, cursor.is_some());
            json!({
                "description": "Events as they come: as server-sent events that end in `data: [DONE]`, or as lines of JSON by `Accept: application/x-ndjson`.",
                "content": {
                    "text/event-stream": { "schema": {
                        "type": "string",
                        "description": "`event:` is the event's name and `data:` its JSON, as in a line of NDJSON; `id:` is its cursor, if it has one.",
                    } },
                    "application/x-ndjson": { "schema": line },
                },
            })
        }
    };
    if !errors::is_exempt(method) {
        done["headers"] = errors::limit_headers();
    }
    let is_dry = |field: &Field| field.name == "dry_run";
    if method.success_status == 202
        && api.messages.get(&method.input).is_some_and(|input| input.fields.iter().any(is_dry))
    {
        let mut dry = done.clone();
        dry["description"] = "A dry run: what it would cost, and nothing else.".into();
        responses.insert("200".into(), dry);
        done["description"] = "Accepted.".into();
    }
    if method.events.as_ref().is_some_and(|(cursor, _)| cursor.is_some()) {
        responses.insert("204".into(), json!({ "description": "Nothing comes after this cursor." }));
    }
    responses.insert(method.success_status.to_string(), done);
    Value::Object(responses)
}

/// Puts what is said of an RPC where it belongs.
fn say(operation: &mut Value, comment: Option<&String>) {
    let comment = comment.map_or("", String::as_str);
    // The first sentence, or all of it.
    let end = comment.find(". ").into_iter().chain(comment.find(".\n")).min();
    let summary = end.map_or(comment, |end| &comment[..=end]);
    operation["summary"] = summary.trim_end_matches('.').into();
    describe(operation, comment);
}

fn security(caller: &str) -> Value {
    match caller {
        "Anyone" => json!([]),
        "KeyOptional" => json!([{}, { "ApiKey": [] }]),
        _ => json!([{ "ApiKey": [] }]),
    }
}

/// Who may call, in words.
fn caller(method: &Method) -> &'static str {
    match method.caller.as_str() {
        "Anyone" => "Anybody; no key is read.",
        "KeyOptional" => "Anybody; a key changes what is shown or allowed.",
        "Key" => "Whoever has a key; everybody's, 0000000000, will do.",
        "User" => "An account of one's own, not everybody's.",
        "Owner" => "The account whose it is.",
        "OwnerOrModerator" => "The account whose it is, or a moderator.",
        "Moderator" => "A moderator.",
        "Trusted" => "A trusted account.",
        "Customizer" => "A customizer, or a trusted account.",
        "Awarder" => "The account that awards kudos.",
        _ => "Whoever has a key; each field says what it takes to set it.",
    }
}

/// How often it may be called, in words.
fn limits(method: &Method) -> Vec<String> {
    let default = ["90/min:ip".to_owned()];
    let limits = if method.limits.is_empty() { &default[..] } else { &method.limits };
    let words = |limit: &String| {
        let (count, rest) = limit.split_once('/')?;
        let (unit, by) = rest.split_once(':')?;
        let unit = match unit {
            "s" => "second",
            "min" => "minute",
            _ => "hour",
        };
        let by = match by {
            "path" => "an address and path",
            "known" => "an address and path, in place of that where trusted accounts call from",
            "ip" => "an address",
            "key" => "a key",
            "anonymous" => "the key 0000000000",
            _ => "an address, together with its sisters",
        };
        Some(format!("{count} a {unit} for {by}"))
    };
    limits.iter().filter_map(words).collect()
}

/// The operation of [`PREVIEW`], which `google.api.http` cannot say.
pub fn preview(api: &Api) -> Value {
    let integer = json!({ "type": "integer", "format": "int32", "minimum": 0 });
    let mut operation = json!({
        "operationId": "Worker_ReportPreview",
        "tags": ["Worker"],
        "parameters": [
            { "name": "id", "in": "path", "required": true, "schema": { "type": "string" },
              "description": "The job's ID." },
            { "name": "X-Step", "in": "header", "required": false, "schema": integer,
              "description": "Steps done." },
        ],
        "requestBody": {
            "required": true,
            "description": "The bytes of the picture.",
            "content": { "application/octet-stream": { "schema": { "type": "string", "format": "binary" } } },
        },
        "security": security("Key"),
        "x-grpc": "/grid.v2.Worker/ReportPreview",
        "x-caller": "Whoever has the worker's key.",
        "x-rate-limits": [],
    });
    let method = api.methods.iter().find(|method| method.name == "ReportPreview");
    let mut responses = method.map(|method| errors::responses(api, method, true)).unwrap_or_default();
    let done: Map<String, Value> = Map::from_iter([("description".to_owned(), Value::from("Taken."))]);
    responses.insert("200".into(), Value::Object(done));
    operation["responses"] = Value::Object(responses);
    if let Some(method) = method {
        operation["x-rate-limits"] = json!(limits(method));
    }
    say(&mut operation, api.comments.get("Worker.ReportPreview"));
    operation
}
