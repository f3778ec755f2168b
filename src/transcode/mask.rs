//! `X-Fields`: the fields of an answer that a client wants.
//!
//! ```text
//! mask  = "{" list "}" | list
//! list  = item *( "," item )
//! item  = "*" | name [ "{" list "}" ]
//! ```
//!
//! Source: the field mask of the v2 contract. Unknown names select nothing.

use axum::http::HeaderValue;
use serde::Serialize;
use serde_json::Value;

/// Deepest nesting of a mask.
const MAX_DEPTH: usize = 16;

/// What a client wants of an answer.
#[derive(Debug, PartialEq, Default)]
pub(super) struct Mask {
    all: bool,
    fields: Vec<(String, Option<Mask>)>,
}

/// Reads the header. Do so before the call is carried out: a refusal must leave nothing behind.
///
/// # Errors
/// The mask is malformed; how.
pub(super) fn read(header: &HeaderValue) -> Result<Mask, String> {
    let text = header.to_str().map_err(|_| "X-Fields is not ASCII".to_owned())?;
    parse(text).map_err(|offence| format!("X-Fields is malformed: {offence}"))
}

impl Mask {
    /// Cuts an answer, or each item of a list, down to what is wanted.
    pub(super) fn apply<T: Serialize>(&self, answer: &T) -> Value {
        let value = serde_json::to_value(answer).expect("the API's messages have string keys");
        cut(value, self)
    }
}

fn cut(value: Value, mask: &Mask) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(|item| cut(item, mask)).collect()),
        Value::Object(map) => Value::Object(
            map.into_iter()
                .filter_map(|(name, inner)| match mask.fields.iter().find(|(field, _)| *field == name) {
                    Some((_, Some(deeper))) => Some((name, cut(inner, deeper))),
                    Some((_, None)) => Some((name, inner)),
                    None => mask.all.then_some((name, inner)),
                })
                .collect(),
        ),
        other => other,
    }
}

fn parse(text: &str) -> Result<Mask, String> {
    let text = text.trim();
    let mut rest = text;
    let braced = text.starts_with('{');
    if braced {
        rest = &rest[1..];
    }
    let mask = list(&mut rest, 0)?;
    if braced {
        rest = rest.strip_prefix('}').ok_or("a bracket is not closed")?;
    }
    if rest.trim().is_empty() { Ok(mask) } else { Err(format!("{rest:?} is left over")) }
}

fn list(rest: &mut &str, depth: usize) -> Result<Mask, String> {
    if depth > MAX_DEPTH {
        return Err(format!("it is nested deeper than {MAX_DEPTH}"));
    }
    let mut mask = Mask::default();
    loop {
        *rest = rest.trim_start();
        let end = rest.find([',', '{', '}']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let name = name.trim();
        *rest = after;
        match name {
            "" => return Err("a name is missing".into()),
            "*" => mask.all = true,
            _ => {
                let mut deeper = None;
                if let Some(inner) = rest.strip_prefix('{') {
                    *rest = inner;
                    deeper = Some(list(rest, depth + 1)?);
                    *rest = rest.strip_prefix('}').ok_or("a bracket is not closed")?.trim_start();
                }
                mask.fields.push((name.to_owned(), deeper));
            }
        }
        match rest.strip_prefix(',') {
            Some(after) => *rest = after,
            None => return Ok(mask),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn masks_select_by_name_and_depth() {
        let answer = json!({"a": 1, "b": {"c": 2, "d": 3}, "e": [{"f": 4, "g": 5}]});
        for (mask, expected) in [
            ("a", json!({"a": 1})),
            ("{a,b{c}}", json!({"a": 1, "b": {"c": 2}})),
            ("*", answer.clone()),
            ("*, b{d}", json!({"a": 1, "b": {"d": 3}, "e": [{"f": 4, "g": 5}]})),
            ("e{g}", json!({"e": [{"g": 5}]})),
            ("nothing", json!({})),
        ] {
            let header = HeaderValue::from_static(mask);
            assert_eq!(read(&header).unwrap().apply(&answer), expected, "{mask}");
        }
        let items = read(&HeaderValue::from_static("f")).unwrap();
        assert_eq!(items.apply(&json!([{"f": 1, "g": 2}])), json!([{"f": 1}]), "on each item of a list");
    }

    #[test]
    fn malformed_masks_are_refused() {
        for mask in ["", "{a", "a}", "a{b", "a,,b", "a{}", "{}", "a b}c"] {
            assert!(parse(mask).is_err(), "{mask:?}");
        }
        assert!(parse(&"a{".repeat(100)).is_err(), "deep nesting is refused");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_fail_otherwise(text in "[a-c{},* ]{0,40}") {
            let _ = parse(&text);
        }
    }
}
