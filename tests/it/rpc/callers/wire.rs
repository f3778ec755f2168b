//! A call of any RPC, with a message written as JSON: over gRPC by the descriptors, and over HTTP by a
//! binding.

use std::time::Duration;

use gridbroker::rpc::{DESCRIPTOR_SET, rules::Binding};
use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value as Field,
};
use serde_json::Value;
use tonic::{Request, Status, client::Grpc, transport::Channel};

use crate::harness::{Broker, Raw, Refusal};

/// Refusals with 403 that are about what is asked for, not about who asks.
const STATES: [&str; 1] = ["CannotWipeActiveUser"];

/// Refusals with 400 that are about who asks.
const BARRED: [&str; 2] = ["KudosTransferFromAnon", "SourceAccountFlagged"];

/// What became of a call: a caller who is let in may still be refused for what is asked.
pub struct Verdict {
    pub is_let_in: bool,
    /// What was said.
    pub words: String,
}

/// Calls over one connection.
pub struct Pool {
    channel: Channel,
    descriptors: DescriptorPool,
}

impl Pool {
    pub fn new(channel: Channel) -> Self {
        let descriptors = DescriptorPool::decode(DESCRIPTOR_SET).expect("the build writes descriptors");
        Self { channel, descriptors }
    }

    /// Sends one message, whatever kind of RPC it is, and waits for the first that comes back.
    pub async fn call(&self, path: &'static str, key: Option<&str>, message: &Value) -> Verdict {
        let (service, rpc) = path.trim_start_matches('/').split_once('/').expect("a path has two parts");
        let service = self.descriptors.get_service_by_name(service).expect(path);
        let rpc = service.methods().find(|method| method.name() == rpc).expect(path);
        let bytes: bytes::Bytes = dynamic(&rpc.input(), message).encode_to_vec().into();
        let mut request = Request::new(tokio_stream::once(bytes));
        if let Some(key) = key {
            request.metadata_mut().insert("apikey", key.parse().expect("keys of tests fit into a header"));
        }
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.expect("the broker is there");
        let called = async {
            let answer = grpc.streaming(request, path.parse().expect("it is a path"), Raw).await?;
            answer.into_inner().message().await
        };
        // A stream on which nothing happens was opened.
        match tokio::time::timeout(Duration::from_secs(5), called).await {
            Ok(Err(status)) => judged(&status),
            Ok(Ok(_)) | Err(_) => Verdict { is_let_in: true, words: "OK".into() },
        }
    }
}

fn judged(status: &Status) -> Verdict {
    let refusal = Refusal::from(status);
    let is_key = refusal.paths == ["apikey"];
    let is_code = matches!(status.code(), tonic::Code::Unauthenticated | tonic::Code::PermissionDenied);
    let is_unknown = refusal.reason == "UserNotFound" && status.message().contains("key");
    Verdict {
        is_let_in: !(is_key || is_code || is_unknown),
        words: format!("{refusal:?} {}", status.message()),
    }
}

/// The same over HTTP: what stands in the path is taken from the message, the rest is body or query.
pub async fn over_json(broker: &Broker, binding: &Binding, key: Option<&str>, message: &Value) -> Verdict {
    let mut path = binding.path.to_owned();
    let mut query = form_urlencoded::Serializer::new(String::new());
    let mut body = serde_json::Map::new();
    for (name, value) in message.as_object().into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let capture = format!("{{{name}}}");
        if path.contains(&capture) {
            let encoded = percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC);
            path = path.replace(&capture, &encoded.to_string());
        } else if binding.has_body {
            body.insert(name.clone(), value.clone());
        } else {
            query.append_pair(name, &text);
        }
    }
    assert!(!path.contains('{'), "the message names all of {path}");
    let json = key.map_or_else(|| broker.json_without_key(), |key| broker.json(key));
    let verb = binding.verb.parse().expect("it is a verb");
    let request = match binding.has_body {
        true => json.request(verb, &format!("/{path}")).json(&body),
        false => json.request(verb, &format!("/{path}?{}", query.finish())),
    };
    let answer = request.send().await.expect("the broker answers");
    let status = answer.status().as_u16();
    if status < 400 {
        // It may be a stream without an end.
        return Verdict { is_let_in: true, words: status.to_string() };
    }
    let body: Value = answer.json().await.expect("a refusal is JSON");
    let is_key = body["errors"].as_object().is_some_and(|errors| errors.keys().eq(["apikey"]));
    let is_unknown =
        body["rc"] == "UserNotFound" && body["message"].as_str().is_some_and(|text| text.contains("key"));
    let is_state = STATES.iter().any(|rc| body["rc"] == *rc);
    let is_barred = BARRED.iter().any(|rc| body["rc"] == *rc);
    let is_let_in = is_state || !(matches!(status, 401 | 403) || is_key || is_unknown || is_barred);
    Verdict { is_let_in, words: format!("{status} {body}") }
}

/// A message of JSON, as far as tests need it.
fn dynamic(descriptor: &MessageDescriptor, value: &Value) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for (name, value) in value.as_object().into_iter().flatten() {
        let field = descriptor.get_field_by_name(name);
        let field = field.unwrap_or_else(|| panic!("{} has no {name}", descriptor.name()));
        let value = match value {
            Value::Array(items) if field.is_list() => {
                Field::List(items.iter().map(|item| one(&field, item)).collect())
            }
            value => one(&field, value),
        };
        message.set_field(&field, value);
    }
    message
}

#[allow(clippy::cast_possible_truncation, reason = "numbers of tests are small")]
fn one(field: &FieldDescriptor, value: &Value) -> Field {
    let whole = || value.as_i64().unwrap_or_else(|| panic!("{}: {value} is no integer", field.name()));
    match field.kind() {
        Kind::String => {
            Field::String(value.as_str().unwrap_or_else(|| panic!("{}: {value}", field.name())).to_owned())
        }
        Kind::Bytes => {
            Field::Bytes(value.as_str().expect("bytes are written as text").as_bytes().to_vec().into())
        }
        Kind::Bool => Field::Bool(value.as_bool().expect("a boolean")),
        Kind::Int32 => Field::I32(whole() as i32),
        Kind::Int64 => Field::I64(whole()),
        Kind::Uint32 => Field::U32(whole() as u32),
        Kind::Uint64 => Field::U64(whole().unsigned_abs()),
        Kind::Double => Field::F64(value.as_f64().expect("a number")),
        // A free-form object is left empty, a list with presence is its only field.
        Kind::Message(inner) if inner.full_name() == "google.protobuf.Struct" => {
            Field::Message(DynamicMessage::new(inner))
        }
        Kind::Message(inner) if value.is_array() => {
            let only = inner.fields().next().expect("it has its list");
            Field::Message(dynamic(&inner, &serde_json::json!({ only.name(): value })))
        }
        Kind::Message(inner) => Field::Message(dynamic(&inner, value)),
        other => panic!("{}: {other:?} is not needed yet", field.name()),
    }
}
