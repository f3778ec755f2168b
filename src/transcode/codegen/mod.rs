//! Options in the protos → Rust source. Runs inside `build.rs` only.
//!
//! Four things come out: serde attributes that make prost's structs speak the API's JSON dialect,
//! checks and bindings of request messages, the HTTP routes, and documents about the API. A mistake in
//! the protos ends the build with its place.

mod attributes;
mod checks;
mod comments;
mod openapi;
mod read;
mod routes;

use std::{collections::BTreeMap, error::Error};

/// What was read from the protos.
pub struct Api {
    /// Messages that JSON reaches, by name.
    pub messages: BTreeMap<String, Message>,
    /// RPCs of all services.
    pub methods: Vec<Method>,
    /// Values of the `Reason` enum: Rust name, return code, HTTP status.
    pub reasons: Vec<(String, String, u64)>,
    /// What the protos say of each: by name in the package, of reasons by return code.
    pub comments: BTreeMap<String, String>,
}

/// A message.
pub struct Message {
    /// Name in its package.
    pub name: String,
    /// Its fields; those of its oneof included.
    pub fields: Vec<Field>,
    /// Unset optional fields are left out.
    pub skip_none: bool,
    /// It is its only field.
    pub transparent: bool,
    /// A request reaches it: it is checked.
    pub is_input: bool,
    /// A body or an answer over HTTP reaches it: it has a JSON form.
    pub is_json: bool,
    /// Name of its oneof, if it is the message of an event stream.
    pub events: Option<String>,
}

/// A field.
pub struct Field {
    /// Name in the proto, which is its JSON name.
    pub name: String,
    /// A JSON name that is no identifier.
    pub renamed: Option<String>,
    /// Its type.
    pub kind: Kind,
    /// Of a map, the type of its values.
    pub map_of: Option<Kind>,
    /// How often it stands.
    pub label: Label,
    /// Its rules.
    pub rule: Rule,
    /// It is a case of the oneof.
    pub in_oneof: bool,
}

/// A field's type.
#[derive(Clone, PartialEq)]
pub enum Kind {
    /// Text.
    Text,
    /// Boolean.
    Bool,
    /// Whole number, by Rust type.
    Int(&'static str),
    /// `f64`.
    Float,
    /// Another message of the package.
    Message(String),
    /// A free-form object.
    Object,
    /// Anything without a JSON form here.
    Opaque,
}

/// How often a field stands.
#[derive(Clone, Copy, PartialEq)]
pub enum Label {
    /// Always; its zero value when unset.
    Plain,
    /// Set or unset.
    Optional,
    /// Any number of times.
    Repeated,
    /// A map.
    Map,
}

/// `grid.FieldRule`.
#[derive(Default)]
pub struct Rule {
    pub required: bool,
    pub default_json: Option<String>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub multiple_of: Option<u64>,
    pub min_length: Option<u64>,
    pub max_length: Option<u64>,
    pub one_of: Vec<String>,
    pub max_items: Option<u64>,
    pub unique_items: bool,
    pub omit_when_empty: bool,
    pub null_when_empty: bool,
    pub lax: bool,
}

/// An RPC.
pub struct Method {
    pub service: String,
    pub name: String,
    pub input: String,
    pub output: String,
    pub is_server_stream: bool,
    pub caller: String,
    pub late_key: bool,
    pub optional_body: bool,
    pub success_status: u64,
    pub limits: Vec<String>,
    pub headers: Vec<(String, String)>,
    /// Cursor field, if it has one, and oneof of an event stream.
    pub events: Option<(Option<String>, String)>,
    pub bindings: Vec<Binding>,
}

/// One way to reach an RPC over HTTP.
pub struct Binding {
    pub verb: String,
    pub path: String,
    pub has_body: bool,
    pub response_body: Option<String>,
}

type Fallible<T> = Result<T, Box<dyn Error>>;

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for (i, c) in name.char_indices() {
        if c.is_ascii_uppercase() && i > 0 {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

fn camel(name: &str) -> String {
    name.split('_')
        .map(|word| {
            let mut chars = word.chars();
            chars.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(chars).collect::<String>()
        })
        .collect()
}

/// A field's name as Rust writes it.
fn ident(name: &str) -> String {
    if matches!(name, "type" | "ref" | "match" | "move" | "use") {
        format!("r#{name}")
    } else {
        name.to_owned()
    }
}
