//! Free-form objects: JSON as it came on one face, `google.protobuf.Struct` on the other.

use prost::{
    DecodeError, Message,
    bytes::{Buf, BufMut},
    encoding::{DecodeContext, WireType},
};
use prost_types::{ListValue, Struct as ProtoStruct, Value as ProtoValue, value::Kind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

/// An object of any content. JSON clients get whole numbers back whole; gRPC has only doubles.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Struct(pub Map<String, Value>);

impl Struct {
    /// Deepest nesting that requests may have. A level takes up to three of the hundred that
    /// decoders of protobuf allow, and stores read JSON no deeper than 128.
    pub const MAX_DEPTH: usize = 16;

    /// Whether it is nested deeper than [`Self::MAX_DEPTH`].
    pub fn is_too_deep(&self) -> bool {
        self.0.values().any(|value| is_deeper(value, Self::MAX_DEPTH - 1))
    }

    /// Whether a NUL character stands in any of its texts or names.
    pub fn has_nul(&self) -> bool {
        self.0.iter().any(|(name, value)| name.contains('\0') || value_has_nul(value))
    }

    fn to_proto(&self) -> ProtoStruct {
        ProtoStruct { fields: self.0.iter().map(|(k, v)| (k.clone(), to_proto(v))).collect() }
    }

    fn from_proto(proto: ProtoStruct) -> Self {
        Self(proto.fields.into_iter().map(|(k, v)| (k, from_proto(v))).collect())
    }
}

/// Whether lists and objects are nested in a value more than so many times.
fn is_deeper(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels == 0 || items.iter().any(|item| is_deeper(item, levels - 1)),
        Value::Object(map) => levels == 0 || map.values().any(|item| is_deeper(item, levels - 1)),
        _ => false,
    }
}

fn value_has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(value_has_nul),
        Value::Object(map) => map.iter().any(|(name, value)| name.contains('\0') || value_has_nul(value)),
        _ => false,
    }
}

fn to_proto(value: &Value) -> ProtoValue {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(b) => Kind::BoolValue(*b),
        Value::Number(n) => Kind::NumberValue(n.as_f64().unwrap_or(0.0)),
        Value::String(s) => Kind::StringValue(s.clone()),
        Value::Array(items) => Kind::ListValue(ListValue { values: items.iter().map(to_proto).collect() }),
        Value::Object(map) => Kind::StructValue(ProtoStruct {
            fields: map.iter().map(|(k, v)| (k.clone(), to_proto(v))).collect(),
        }),
    };
    ProtoValue { kind: Some(kind) }
}

fn from_proto(value: ProtoValue) -> Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(b)) => Value::Bool(b),
        Some(Kind::NumberValue(n)) if n.fract() == 0.0 && n.abs() < 9e15 => Value::Number((n as i64).into()),
        Some(Kind::NumberValue(n)) => Number::from_f64(n).map_or(Value::Null, Value::Number),
        Some(Kind::StringValue(s)) => Value::String(s),
        Some(Kind::ListValue(list)) => Value::Array(list.values.into_iter().map(from_proto).collect()),
        Some(Kind::StructValue(inner)) => Value::Object(Struct::from_proto(inner).0),
    }
}

impl Message for Struct {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        self.to_proto().encode_raw(buf);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        let mut proto = ProtoStruct::default();
        proto.merge_field(tag, wire_type, buf, ctx)?;
        self.0.append(&mut Self::from_proto(proto).0);
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        self.to_proto().encoded_len()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::pb;

    #[test]
    fn objects_survive_the_wire() {
        let map = serde_json::from_str(r#"{"a": 1, "b": [true, null, {"c": "x"}], "d": 1.5}"#).unwrap();
        let object = Struct(map);
        assert_eq!(Struct::decode(object.encode_to_vec().as_slice()).unwrap(), object);
    }

    #[test]
    fn the_deepest_object_allowed_fits_into_a_workers_message_and_a_deeper_one_is_known() {
        let nested = |levels: usize| {
            let text = (1..levels).fold("{}".to_owned(), |inner, _| format!("{{\"a\":{inner}}}"));
            Struct(serde_json::from_str(&text).unwrap())
        };
        let deepest = nested(Struct::MAX_DEPTH);
        assert!(!deepest.is_too_deep() && nested(Struct::MAX_DEPTH + 1).is_too_deep());
        let payload = pb::ImagePayload { special: Some(deepest), ..Default::default() };
        let image = pb::PopImageResponse { payload: Some(payload), ..Default::default() };
        let assignment = pb::Assignment { image: Some(image), ..Default::default() };
        let push = pb::pop_stream_response::Push::Assignment(assignment);
        let message = pb::PopStreamResponse { push: Some(push) };
        assert_eq!(pb::PopStreamResponse::decode(message.encode_to_vec().as_slice()).unwrap(), message);
    }
}
