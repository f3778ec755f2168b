//! Messages as JSON Schemas.
//!
//! A message is described as it is sent: in a request what may be left out, its defaults and its bounds;
//! in an answer what is always there and what may be null. One that goes both ways has a schema for each.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::super::{Api, Field, Kind, Label, Message};

/// Which way a message goes.
#[derive(Clone, Copy, PartialEq)]
pub enum Way {
    /// From the caller.
    In,
    /// To the caller.
    Out,
}

/// The schemas that were asked for so far.
pub struct Schemas<'a> {
    api: &'a Api,
    /// Messages that callers are sent.
    sent: BTreeSet<String>,
    made: BTreeMap<String, Value>,
}

impl<'a> Schemas<'a> {
    /// None yet.
    pub fn new(api: &'a Api) -> Self {
        let mut sent = BTreeSet::new();
        for method in api.methods.iter().filter(|method| !method.bindings.is_empty()) {
            gather(api, &method.output, &mut sent);
        }
        Self { api, sent, made: BTreeMap::new() }
    }

    /// All schemas, by name.
    pub fn finish(self) -> BTreeMap<String, Value> {
        self.made
    }

    /// A reference to the schema of a message without some of its fields, which are said elsewhere.
    pub fn body(&mut self, message: &str, without: &[&str]) -> Value {
        self.make(message, Way::In, without)
    }

    /// What an answer holds: the whole message, or one of its fields.
    pub fn answer(&mut self, message: &str, field: Option<&str>) -> Value {
        let api = self.api;
        let found = api.messages.get(message);
        let named = |name: &str| found.and_then(|found| found.fields.iter().find(|field| field.name == name));
        match (found, field.and_then(named)) {
            (Some(message), Some(field)) => self.property(message, field, Way::Out).0,
            _ => self.make(message, Way::Out, &[]),
        }
    }

    /// A line of an event stream as NDJSON: one schema for each event.
    pub fn lines(&mut self, message: &str, has_cursor: bool) -> Value {
        let api = self.api;
        let fields = api.messages.get(message).into_iter().flat_map(|message| &message.fields);
        let mut lines = Vec::new();
        for field in fields.filter(|field| field.in_oneof) {
            let data = self.one(field, Way::Out);
            let mut properties = json!({ "event": { "const": field.name }, "data": data });
            if has_cursor {
                properties["id"] = json!({ "type": "string", "description": "Cursor: give it back to continue after this event." });
            }
            lines.push(json!({
                "type": "object",
                "title": field.name,
                "description": self.words(&format!("{message}.{}", field.name)),
                "properties": properties,
                "required": if has_cursor { json!(["id", "event", "data"]) } else { json!(["event", "data"]) },
            }));
        }
        lines.push(json!({
            "type": "object",
            "title": "error",
            "description": "The stream broke; the HTTP status is out by then.",
            "properties": { "event": { "const": "error" }, "data": { "$ref": "#/components/schemas/Error" } },
            "required": ["event", "data"],
        }));
        let name = format!("{message}Line");
        self.made.insert(name.clone(), json!({ "oneOf": lines }));
        reference(&name)
    }

    /// The schema of a request's field that stands in a path, a query or a header, and whether it must.
    pub fn parameter(&mut self, message: &Message, field: &Field) -> (Value, bool) {
        self.property(message, field, Way::In)
    }

    fn words(&self, name: &str) -> &'a str {
        self.api.comments.get(name).map_or("", String::as_str)
    }

    fn make(&mut self, message: &str, way: Way, without: &[&str]) -> Value {
        let name = match way {
            Way::In if self.sent.contains(message) => format!("{message}Input"),
            _ => message.to_owned(),
        };
        let api = self.api;
        if let (Some(found), false) = (api.messages.get(message), self.made.contains_key(&name)) {
            // A message that holds itself finds its name taken.
            self.made.insert(name.clone(), Value::Null);
            let (mut properties, mut required) = (Map::new(), Vec::new());
            for field in found.fields.iter().filter(|field| !without.contains(&field.name.as_str())) {
                let (mut schema, must) = self.property(found, field, way);
                describe(&mut schema, self.words(&format!("{message}.{}", field.name)));
                let name = field.renamed.as_ref().unwrap_or(&field.name);
                if must {
                    required.push(name.clone());
                }
                properties.insert(name.clone(), schema);
            }
            let mut schema = json!({ "type": "object", "properties": properties });
            if !required.is_empty() {
                schema["required"] = json!(required);
            }
            describe(&mut schema, self.words(message));
            self.made.insert(name.clone(), schema);
        }
        reference(&name)
    }

    /// A field's schema, and whether it is always there.
    fn property(&mut self, message: &Message, field: &Field, way: Way) -> (Value, bool) {
        let rule = &field.rule;
        let mut schema = self.one(field, way);
        match field.label {
            Label::Repeated => {
                schema = json!({ "type": "array", "items": schema });
                if way == Way::In {
                    set(&mut schema, "maxItems", rule.max_items.map(Value::from));
                    set(&mut schema, "uniqueItems", rule.unique_items.then_some(Value::Bool(true)));
                }
            }
            Label::Map => schema = json!({ "type": "object", "additionalProperties": schema }),
            Label::Plain | Label::Optional => {}
        }
        if way == Way::In {
            let default = rule.default_json.as_deref().and_then(|text| serde_json::from_str(text).ok());
            set(&mut schema, "default", default);
            return (schema, rule.required);
        }
        let (is_left_out, is_null) = match field.label {
            Label::Optional => {
                let is_left_out = message.skip_none || rule.omit_when_empty;
                (is_left_out, !is_left_out)
            }
            Label::Repeated => (rule.omit_when_empty, rule.null_when_empty),
            Label::Plain | Label::Map => (false, false),
        };
        if is_null {
            schema = nullable(schema);
        }
        (schema, !is_left_out)
    }

    /// The schema of one value of a field.
    fn one(&mut self, field: &Field, way: Way) -> Value {
        let rule = &field.rule;
        let mut schema = match field.map_of.as_ref().unwrap_or(&field.kind) {
            Kind::Text => json!({ "type": "string" }),
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::Int("i32") => json!({ "type": "integer", "format": "int32" }),
            Kind::Int(unsigned) if unsigned.starts_with('u') => {
                json!({ "type": "integer", "format": "int64", "minimum": 0 })
            }
            Kind::Int(_) => json!({ "type": "integer", "format": "int64" }),
            Kind::Float => json!({ "type": "number", "format": "double" }),
            Kind::Object => json!({ "type": "object", "additionalProperties": true }),
            Kind::Message(inner) => return self.message(inner, way),
            Kind::Opaque => json!({}),
        };
        set(&mut schema, "enum", (!rule.one_of.is_empty()).then(|| json!(rule.one_of)));
        if way == Way::In {
            set(&mut schema, "minimum", rule.min.map(|bound| number(bound, &field.kind)));
            set(&mut schema, "maximum", rule.max.map(|bound| number(bound, &field.kind)));
            set(&mut schema, "multipleOf", rule.multiple_of.map(Value::from));
            set(&mut schema, "minLength", rule.min_length.map(Value::from));
            set(&mut schema, "maxLength", rule.max_length.map(Value::from));
        }
        schema
    }

    fn message(&mut self, name: &str, way: Way) -> Value {
        let api = self.api;
        match api.messages.get(name) {
            // It is its only field on the wire.
            Some(message) if message.transparent => match message.fields.first() {
                Some(field) => self.property(message, field, way).0,
                None => json!({}),
            },
            Some(_) => self.make(name, way, &[]),
            None => json!({}),
        }
    }
}

/// A message and all that it holds.
fn gather(api: &Api, message: &str, found: &mut BTreeSet<String>) {
    let Some(known) = api.messages.get(message).filter(|_| found.insert(message.to_owned())) else { return };
    for field in &known.fields {
        if let Kind::Message(inner) = field.map_of.as_ref().unwrap_or(&field.kind) {
            gather(api, inner, found);
        }
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn nullable(mut schema: Value) -> Value {
    match schema.get("type").cloned() {
        // An enumeration that does not name null would not let it pass.
        Some(kind) if schema.get("enum").is_none() => {
            schema["type"] = json!([kind, "null"]);
            schema
        }
        _ => json!({ "anyOf": [schema, { "type": "null" }] }),
    }
}

fn set(schema: &mut Value, name: &str, value: Option<Value>) {
    if let Some(value) = value {
        schema[name] = value;
    }
}

/// Adds what is said of a value, unless that is nothing.
pub fn describe(schema: &mut Value, words: &str) {
    if !words.is_empty() {
        schema["description"] = words.into();
    }
}

/// A bound as JSON: whole where whole numbers are bounded.
fn number(bound: f64, kind: &Kind) -> Value {
    match kind {
        Kind::Int(_) => Value::from(bound as i64),
        _ => Value::from(bound),
    }
}
