//! NUL, which texts of PostgreSQL cannot hold.

/// JSON with U+FFFD for NUL, which texts of PostgreSQL cannot hold. JSON inside of a text, where the
/// escape is itself escaped, stays as it is.
pub(super) fn without_nul(json: String) -> String {
    const NUL: &str = "\\u0000";
    if !json.contains(NUL) {
        return json;
    }
    let mut clean = String::with_capacity(json.len());
    let mut rest = json.as_str();
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        clean.push_str(before);
        let is_nul = escape.starts_with(NUL);
        // The character after a backslash is an ASCII one.
        let length = if is_nul { NUL.len() } else { 2 };
        clean.push_str(if is_nul { "\\ufffd" } else { &escape[..length] });
        rest = &escape[length..];
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn nul_is_replaced_in_texts_and_kept_in_json_within_texts() {
        for (sent, stored) in [
            (json!(["a\0b"]), json!(["a\u{fffd}b"])),
            (json!(["\\u0000"]), json!(["\\u0000"])),
            (json!(["\\\0", "\0\0"]), json!(["\\\u{fffd}", "\u{fffd}\u{fffd}"])),
            (json!([json!({"prompt": "x\0\u{1}\"\\"}).to_string()]), Value::Null),
            (json!(["plain", 1]), Value::Null),
        ] {
            let clean: Value = serde_json::from_str(&without_nul(sent.to_string())).unwrap();
            assert_eq!(clean, if stored.is_null() { sent } else { stored });
        }
    }
}
