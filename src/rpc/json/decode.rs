//! Reading: strict types, in one pass when all is well; when not, a second pass finds every offence.

use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};
use serde_json::Value;

use super::lax;
use crate::rpc::check::Violations;

/// A request message that path and query can fill.
pub trait Bind {
    /// Sets a field from text; unknown names are ignored.
    ///
    /// # Errors
    /// The text does not fit the field; what would.
    fn bind(&mut self, name: &str, text: &str) -> Result<(), String>;
}

/// Conversions of text in path and query.
pub mod bind {
    use std::str::FromStr;

    /// `true` or `false`.
    ///
    /// # Errors
    /// It is neither.
    pub fn boolean(text: &str) -> Result<bool, String> {
        match text {
            "true" | "True" | "1" => Ok(true),
            "false" | "False" | "0" => Ok(false),
            _ => Err(format!("'{text}' is not of type 'boolean'")),
        }
    }

    /// A whole number.
    ///
    /// # Errors
    /// It is none, or too large.
    pub fn whole<T: FromStr>(text: &str) -> Result<T, String> {
        text.parse().map_err(|_| format!("'{text}' is not of type 'integer'"))
    }

    /// A number.
    ///
    /// # Errors
    /// It is none.
    pub fn number(text: &str) -> Result<f64, String> {
        text.parse().map_err(|_| format!("'{text}' is not of type 'number'"))
    }
}

/// The types of a message's fields, for the pass that finds every offence.
pub trait Shape {
    /// The types.
    const SHAPE: &'static MessageShape;
}

/// A message's fields.
pub struct MessageShape {
    /// The message is the list that is its only field.
    pub is_transparent: bool,
    /// Its fields.
    pub fields: &'static [FieldShape],
}

/// A field's type.
pub struct FieldShape {
    /// Its JSON name.
    pub name: &'static str,
    /// Type of the field, or of its items.
    pub kind: ShapeKind,
    /// Whether it is a list.
    pub is_list: bool,
}

/// A type.
pub enum ShapeKind {
    /// A string.
    Text,
    /// A boolean.
    Bool,
    /// A whole number within bounds.
    Whole(i128, i128),
    /// A string, or a number in its place.
    LaxText,
    /// A whole number within bounds, or what can be read as one.
    LaxWhole(i128, i128),
    /// Any number.
    Number,
    /// An object of known fields.
    Message(&'static MessageShape),
    /// An object of any content.
    Object,
}

/// Notes every value of the wrong type, and takes it out, so that the rest can be checked further.
pub fn without_type_errors(
    shape: &'static MessageShape,
    mut value: Value,
    violations: &mut Violations,
) -> Value {
    walk_message(shape, &mut value, "", violations);
    value
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Whether the value may stay.
fn walk_message(
    shape: &'static MessageShape,
    value: &mut Value,
    path: &str,
    violations: &mut Violations,
) -> bool {
    if let (true, [field]) = (shape.is_transparent, shape.fields) {
        return walk_field(field, value, path, violations);
    }
    let Value::Object(map) = value else {
        violations.add(path.to_owned(), wrong_type(value, "object"));
        return false;
    };
    for field in shape.fields {
        if let Some(inner) = map.get_mut(field.name)
            && !walk_field(field, inner, &join(path, field.name), violations)
        {
            map.remove(field.name);
        }
    }
    true
}

fn walk_field(
    field: &'static FieldShape,
    value: &mut Value,
    path: &str,
    violations: &mut Violations,
) -> bool {
    if !field.is_list {
        return walk_value(&field.kind, value, path, violations);
    }
    let Value::Array(items) = value else {
        violations.add(path.to_owned(), wrong_type(value, "array"));
        return false;
    };
    let mut all_fit = true;
    for (i, item) in items.iter_mut().enumerate() {
        if violations.is_full() {
            return false;
        }
        all_fit &= walk_value(&field.kind, item, &join(path, &i.to_string()), violations);
    }
    // Without its wrong items the others would stand at other indexes.
    all_fit
}

fn walk_value(kind: &'static ShapeKind, value: &mut Value, path: &str, violations: &mut Violations) -> bool {
    let expected = match kind {
        ShapeKind::Message(shape) => return walk_message(shape, value, path, violations),
        ShapeKind::Text | ShapeKind::LaxText if value.is_string() => return true,
        ShapeKind::LaxText if value.is_number() => {
            *value = value.to_string().into();
            return true;
        }
        ShapeKind::LaxWhole(min, max) => {
            let shown = wrong_type(value, "integer");
            let is_right = lax::straighten_whole(value, *min..=*max);
            if !is_right {
                violations.add(path.to_owned(), shown);
            }
            return is_right;
        }
        ShapeKind::Bool if value.is_boolean() => return true,
        ShapeKind::Number if value.is_number() => return true,
        ShapeKind::Object if value.is_object() => return true,
        ShapeKind::Whole(min, max) => match whole_of(value) {
            Some(n) if (*min..=*max).contains(&n) => return true,
            Some(n) => {
                violations.add(path.to_owned(), format!("{n} is out of range"));
                return false;
            }
            None => "integer",
        },
        ShapeKind::Text | ShapeKind::LaxText => "string",
        ShapeKind::Bool => "boolean",
        ShapeKind::Number => "number",
        ShapeKind::Object => "object",
    };
    violations.add(path.to_owned(), wrong_type(value, expected));
    false
}

fn wrong_type(value: &Value, expected: &str) -> String {
    let mut shown = match value {
        Value::String(text) => format!("'{text}'"),
        Value::Null => "None".to_owned(),
        other => other.to_string(),
    };
    if let Some((end, _)) = shown.char_indices().nth(60) {
        shown.truncate(end);
        shown.push('…');
    }
    format!("{shown} is not of type '{expected}'")
}

fn whole_of(value: &Value) -> Option<i128> {
    let number = value.as_number()?;
    if let Some(n) = number.as_i64() {
        return Some(n.into());
    }
    if let Some(n) = number.as_u64() {
        return Some(n.into());
    }
    number.as_f64().filter(|n| n.fract() == 0.0 && n.abs() < 1e18).map(|n| n as i128)
}

/// A whole number; a zero fraction is allowed.
///
/// # Errors
/// It is no number, has a fraction, or does not fit.
pub fn whole<'de, T: TryFrom<i128>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Whole<T>(std::marker::PhantomData<T>);

    impl<T: TryFrom<i128>> Visitor<'_> for Whole<T> {
        type Value = T;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a whole number")
        }

        fn visit_i64<E: de::Error>(self, n: i64) -> Result<T, E> {
            T::try_from(n.into()).map_err(|_| E::custom("out of range"))
        }

        fn visit_u64<E: de::Error>(self, n: u64) -> Result<T, E> {
            T::try_from(n.into()).map_err(|_| E::custom("out of range"))
        }

        fn visit_f64<E: de::Error>(self, n: f64) -> Result<T, E> {
            if n.fract() != 0.0 || n.abs() >= 1e18 {
                return Err(E::custom("not a whole number"));
            }
            T::try_from(n as i128).map_err(|_| E::custom("out of range"))
        }
    }

    deserializer.deserialize_any(Whole(std::marker::PhantomData))
}

/// As [`whole`], for an optional field; `null` is refused.
///
/// # Errors
/// As [`whole`].
pub fn present_whole<'de, T: TryFrom<i128>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    whole(deserializer).map(Some)
}

/// A list of whole numbers.
///
/// # Errors
/// As [`whole`].
pub fn wholes<'de, T: TryFrom<i128>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct Item<T>(T);
    impl<'de, T: TryFrom<i128>> Deserialize<'de> for Item<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            whole(deserializer).map(Item)
        }
    }
    Ok(Vec::<Item<T>>::deserialize(deserializer)?.into_iter().map(|item| item.0).collect())
}

/// An optional field; `null` is refused.
///
/// # Errors
/// Those of the field's type.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Reads an object; serde's own structs would also take a list of their fields in order.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(de::value::MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(ObjectVisitor(std::marker::PhantomData))
    }
}

/// A message that must be an object.
///
/// # Errors
/// It is none, or those of its fields.
pub fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Object::deserialize(deserializer).map(|object| object.0)
}

/// As [`object`], for an optional field; `null` is refused.
///
/// # Errors
/// As [`object`].
pub fn present_object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    object(deserializer).map(Some)
}

/// A list of objects.
///
/// # Errors
/// As [`object`].
pub fn objects<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Vec::<Object<T>>::deserialize(deserializer)?.into_iter().map(|object| object.0).collect())
}
