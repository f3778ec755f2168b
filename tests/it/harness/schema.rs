//! Answers held against the OpenAPI document: every JSON answer that a test gets must be what it says.

use std::sync::LazyLock;

use gridbroker::transcode::OPENAPI;
use serde_json::Value;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(OPENAPI).expect("it is JSON"));

/// What is wrong with an answer, if anything. Paths that the document does not have are passed over.
pub fn offence(verb: &str, path: &str, status: u16, body: &Value) -> Option<String> {
    let operation = operation(verb, path)?;
    let responses = &operation["responses"];
    let response = responses.get(status.to_string()).or(responses.get("default"))?;
    let schema = response["content"]["application/json"].get("schema")?;
    let is_refusal = status >= 400;
    fits(schema, body, !is_refusal).err().map(|why| format!("{verb} {path}: {status}: {why} in {body}"))
}

/// The operation of a call; of several paths that fit, the one with the fewest names in it.
fn operation(verb: &str, path: &str) -> Option<&'static Value> {
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let template: Vec<&str> = template.split('/').collect();
        let fit = |(one, part): (&&str, &&str)| one == part || one.starts_with('{') && !part.is_empty();
        template.len() == parts.len() && template.iter().zip(&parts).all(fit)
    };
    let paths = DOCUMENT["paths"].as_object()?.iter().filter(|(template, _)| fits(template));
    let (_, operations) = paths.min_by_key(|(template, _)| template.matches('{').count())?;
    operations.get(verb.to_lowercase())
}

/// Whether a value is what a schema says; `is_whole`: it has nothing that the schema does not name.
pub fn fits(schema: &Value, value: &Value, is_whole: bool) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        let known = DOCUMENT["components"]["schemas"].get(name).ok_or(format!("there is no {reference}"))?;
        return fits(known, value, is_whole);
    }
    for words in ["anyOf", "oneOf"] {
        if let Some(choices) = schema[words].as_array() {
            let refused: Vec<String> =
                choices.iter().filter_map(|one| fits(one, value, is_whole).err()).collect();
            if refused.len() == choices.len() {
                return Err(refused.join("; "));
            }
        }
    }
    if let Some(only) = schema.get("const")
        && only != value
    {
        return Err(format!("{value} is not {only}"));
    }
    if let Some(choices) = schema["enum"].as_array()
        && !choices.contains(value)
    {
        return Err(format!("{value} is none of {choices:?}"));
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return Ok(()),
    };
    let is = |kind: &&str| match *kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        // Legacy clients tell them apart by the fraction.
        "number" => value.is_f64(),
        _ => value.is_null(),
    };
    if !kinds.iter().any(is) {
        return Err(format!("{value} is no {}", kinds.join(" or ")));
    }
    match value {
        Value::Object(members) => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            for name in required {
                members.get(name).ok_or(format!("{name} is missing"))?;
            }
            for (name, member) in members {
                match (schema["properties"].get(name), schema.get("additionalProperties")) {
                    (Some(property), _) => {
                        fits(property, member, is_whole).map_err(|why| format!("{name}: {why}"))?;
                    }
                    (None, Some(others)) if others.is_object() => fits(others, member, is_whole)?,
                    (None, Some(_)) => {}
                    (None, None) if is_whole => return Err(format!("{name} is not declared")),
                    (None, None) => {}
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                fits(&schema["items"], item, is_whole)?;
            }
        }
        _ => {}
    }
    Ok(())
}
