//! Fields that take what other servers of this API take where they check no schema: numbers as texts,
//! texts as numbers, and numbers without what stands behind their point.

use serde::{
    Deserializer,
    de::{self, Visitor},
};
use serde_json::Value;

/// What a text or a number is as a whole number: cut towards zero.
fn whole_of_text(text: &str) -> Option<i64> {
    text.trim().parse().ok()
}

fn whole_of_number(number: f64) -> Option<i64> {
    let whole = number.trunc();
    (whole.abs() < 9e18).then_some(whole as i64)
}

/// A whole number: cut towards zero, also out of a text; `null` is refused.
///
/// # Errors
/// It is none, or too large.
pub fn lax_whole<'de, T: TryFrom<i64>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    struct Lax<T>(std::marker::PhantomData<T>);

    fn fit<T: TryFrom<i64>, E: de::Error>(whole: Option<i64>) -> Result<T, E> {
        let whole = whole.ok_or_else(|| E::custom("not a whole number"))?;
        T::try_from(whole).map_err(|_| E::custom("out of range"))
    }

    impl<T: TryFrom<i64>> Visitor<'_> for Lax<T> {
        type Value = T;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a whole number")
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
            fit(Some(number))
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
            fit(i64::try_from(number).ok())
        }

        fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
            fit(whole_of_number(number))
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            fit(whole_of_text(text))
        }
    }

    deserializer.deserialize_any(Lax(std::marker::PhantomData)).map(Some)
}

/// A text, or a number as it is written; `null` is refused.
///
/// # Errors
/// It is neither.
pub fn lax_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    struct Lax;

    impl Visitor<'_> for Lax {
        type Value = String;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a text")
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<String, E> {
            Ok(number.to_string())
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<String, E> {
            Ok(number.to_string())
        }

        fn visit_f64<E: de::Error>(self, number: f64) -> Result<String, E> {
            Ok(number.to_string())
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }
    }

    deserializer.deserialize_any(Lax).map(Some)
}

/// Writes a value as its field has it; whether it could be.
pub(super) fn straighten_whole(value: &mut Value, bounds: std::ops::RangeInclusive<i128>) -> bool {
    let whole = match value {
        Value::Number(number) => number.as_i64().or_else(|| whole_of_number(number.as_f64()?)),
        Value::String(text) => whole_of_text(text),
        _ => None,
    };
    let whole = whole.filter(|whole| bounds.contains(&i128::from(*whole)));
    *value = whole.map_or(Value::Null, Value::from);
    whole.is_some()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Fields {
        #[serde(deserialize_with = "lax_whole")]
        amount: Option<i64>,
        #[serde(deserialize_with = "lax_text")]
        name: Option<String>,
    }

    #[test]
    fn numbers_are_cut_and_texts_are_read() {
        for (sent, amount) in [
            (json!(5), Some(5)),
            (json!(5.9), Some(5)),
            (json!(-5.9), Some(-5)),
            (json!("5"), Some(5)),
            (json!(" -5 "), Some(-5)),
            (json!("5.9"), None),
            (json!("many"), None),
            (json!(1e300), None),
            (json!(u64::MAX), None),
            (json!(true), None),
            (json!([5]), None),
            (json!(null), None),
        ] {
            let read = serde_json::from_value::<Fields>(json!({ "amount": sent }));
            assert_eq!(read.ok().and_then(|fields| fields.amount), amount, "{sent}");
            let mut straight = sent.clone();
            let range = i128::from(i64::MIN)..=i128::from(i64::MAX);
            assert_eq!(straighten_whole(&mut straight, range), amount.is_some(), "{sent}");
            assert_eq!(straight.as_i64(), amount, "{sent}");
        }
        assert!(!straighten_whole(&mut json!(300), 0..=255));
    }

    #[test]
    fn a_number_may_stand_for_a_text() {
        for (sent, name) in [(json!("x#1"), Some("x#1")), (json!(12), Some("12")), (json!({}), None)] {
            let read = serde_json::from_value::<Fields>(json!({ "name": sent }));
            assert_eq!(read.ok().and_then(|fields| fields.name).as_deref(), name, "{sent}");
        }
    }
}
