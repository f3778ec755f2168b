//! OpenAPI 3.1 → Swagger 2.0, for tools that know no more than that.
//!
//! What the older form cannot say is left out (which of several schemas holds) or said as an extension
//! (`x-nullable`).

use serde_json::{Map, Value, json};

/// What all paths begin with, in the older form.
const BASE: &str = "/api";

/// The Swagger 2.0 form of a document.
pub fn convert(document: &Value) -> Value {
    let mut paths = Map::new();
    for (path, operations) in members(&document["paths"]) {
        let operations: Map<String, Value> =
            members(operations).map(|(verb, found)| (verb.clone(), operation(document, found))).collect();
        paths.insert(path.strip_prefix(BASE).unwrap_or(path).to_owned(), Value::Object(operations));
    }
    let schemas = members(&document["components"]["schemas"]);
    let mut info = document["info"].clone();
    info["license"] = json!({ "name": info["license"]["name"] });
    let mut key = document["components"]["securitySchemes"]["ApiKey"].clone();
    key["type"] = "apiKey".into();
    json!({
        "swagger": "2.0",
        "info": info,
        "basePath": BASE,
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "tags": document["tags"],
        "paths": paths,
        "definitions": schemas.map(|(name, found)| (name.clone(), schema(found))).collect::<Map<_, _>>(),
        "securityDefinitions": { "ApiKey": key },
    })
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn operation(document: &Value, found: &Value) -> Value {
    let mut operation = Map::new();
    for (name, value) in members(found) {
        match name.as_str() {
            "parameters" | "requestBody" | "responses" => {}
            _ => drop(operation.insert(name.clone(), value.clone())),
        }
    }
    let mut parameters: Vec<Value> =
        found["parameters"].as_array().into_iter().flatten().map(parameter).collect();
    if let Some((kind, content)) = members(&found["requestBody"]["content"]).next() {
        let is_json = kind == "application/json";
        if !is_json {
            operation.insert("consumes".into(), json!([kind]));
        }
        parameters.push(json!({
            "name": "payload",
            "in": "body",
            "required": true,
            "schema": if is_json { schema(&content["schema"]) } else { json!({ "type": "string", "format": "binary" }) },
        }));
    }
    operation.insert("parameters".into(), parameters.into());
    let mut produces: Vec<&String> = Vec::new();
    let mut responses = Map::new();
    for (status, response) in members(&found["responses"]) {
        let mut converted = json!({ "description": response["description"] });
        for (kind, content) in members(&response["content"]) {
            if !produces.contains(&kind) {
                produces.push(kind);
            }
            // Of several forms the first; a stream is text.
            if converted.get("schema").is_none() {
                let is_stream = response["content"].get("text/event-stream").is_some();
                converted["schema"] =
                    if is_stream { json!({ "type": "string" }) } else { schema(&content["schema"]) };
            }
        }
        let headers: Map<String, Value> = members(&response["headers"])
            .map(|(name, found)| (name.clone(), header(document, found)))
            .collect();
        if !headers.is_empty() {
            converted["headers"] = Value::Object(headers);
        }
        if let Some(codes) = response.get("x-return-codes") {
            converted["x-return-codes"] = codes.clone();
        }
        responses.insert(status.clone(), converted);
    }
    if produces.len() > 1 {
        operation.insert("produces".into(), json!(produces));
    }
    operation.insert("responses".into(), Value::Object(responses));
    Value::Object(operation)
}

/// A parameter's schema stands in the parameter itself.
fn parameter(found: &Value) -> Value {
    let mut parameter = Map::new();
    for (name, value) in members(found) {
        match name.as_str() {
            "schema" => {
                parameter.extend(members(&schema(value)).map(|(name, value)| (name.clone(), value.clone())))
            }
            "explode" => drop(parameter.insert("collectionFormat".into(), "multi".into())),
            _ => drop(parameter.insert(name.clone(), value.clone())),
        }
    }
    Value::Object(parameter)
}

fn header(document: &Value, found: &Value) -> Value {
    let name = found["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()).unwrap_or_default();
    let known = &document["components"]["headers"][name];
    let mut header = schema(&known["schema"]);
    header["description"] = known["description"].clone();
    header
}

fn schema(found: &Value) -> Value {
    let mut converted = Map::new();
    for (name, value) in members(found) {
        match name.as_str() {
            // Nothing may stand beside a reference.
            "$ref" => {
                let name =
                    value.as_str().and_then(|reference| reference.rsplit('/').next()).unwrap_or_default();
                let reference = json!({ "$ref": format!("#/definitions/{name}") });
                if members(found).count() == 1 {
                    return reference;
                }
                converted.insert("allOf".into(), json!([reference]));
            }
            "type" if value.is_array() => {
                let kind = value.as_array().into_iter().flatten().find(|kind| *kind != "null");
                converted.insert("type".into(), kind.cloned().unwrap_or(Value::Null));
                converted.insert("x-nullable".into(), true.into());
            }
            "anyOf" => {
                let others: Vec<&Value> =
                    value.as_array().into_iter().flatten().filter(|one| one["type"] != "null").collect();
                if let [one] = others[..] {
                    converted.insert("allOf".into(), json!([schema(one)]));
                    converted.insert("x-nullable".into(), true.into());
                }
            }
            "oneOf" => {}
            "const" => drop(converted.insert("enum".into(), json!([value]))),
            "properties" => {
                let properties: Map<String, Value> =
                    members(value).map(|(name, found)| (name.clone(), schema(found))).collect();
                converted.insert(name.clone(), Value::Object(properties));
            }
            "items" => drop(converted.insert(name.clone(), schema(value))),
            "additionalProperties" if value.is_object() => {
                converted.insert(name.clone(), schema(value));
            }
            _ => drop(converted.insert(name.clone(), value.clone())),
        }
    }
    Value::Object(converted)
}
