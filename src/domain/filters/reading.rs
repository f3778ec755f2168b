//! Filters as a file has them: rows, in TOML or in the JSON that the API gives.
//!
//! ```text
//! [[filters]]
//! filter_type = 10
//! regex = '\bcubs?\b'
//! replacement = "bear"
//! description = "animals that are too young"
//! ```

use serde::Deserialize;

use super::{Filters, Pattern, Unreadable};

/// Rows that there may be.
const MOST_ROWS: usize = 10_000;

#[derive(Deserialize)]
struct Row {
    regex: String,
    filter_type: i64,
    #[serde(default)]
    replacement: Option<String>,
    #[serde(default)]
    description: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rows {
    #[serde(default)]
    filters: Vec<Row>,
}

impl Filters {
    /// Reads rows and makes their patterns ready.
    ///
    /// # Errors
    /// It is neither a JSON array nor TOML with `[[filters]]`, or a row says what it cannot; which, and why.
    pub fn read(text: &str) -> Result<Self, Unreadable> {
        let rows: Vec<Row> = match is_json(text) {
            true => serde_json::from_str(text)
                .map_err(|error| Unreadable(format!("it is no JSON array of filters: {error}")))?,
            false => {
                toml::from_str::<Rows>(text)
                    .map_err(|error| Unreadable(format!("it is no TOML with [[filters]]: {error}")))?
                    .filters
            }
        };
        if rows.len() > MOST_ROWS {
            return Err(Unreadable(format!("it has {} filters, and {MOST_ROWS} is the most", rows.len())));
        }
        let pattern = |row: Row| Pattern {
            regex: row.regex,
            filter_type: row.filter_type,
            replacement: row.replacement.unwrap_or_default(),
            description: row.description,
        };
        Self::of(rows.into_iter().map(pattern).collect())
    }
}

/// Whether it begins as an array of objects, and not as a table of TOML.
fn is_json(text: &str) -> bool {
    match text.trim_start().strip_prefix('[') {
        Some(rest) => rest.trim_start().starts_with(['{', ']']),
        None => text.trim_start().starts_with('{'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let toml = "# for us\n[[filters]]\nfilter_type = 10\nregex = '\\bcub\\b'\nreplacement = \"bear\"\n\
                    description = \"x\"\n\n[[filters]]\nfilter_type = 20\nregex = 'bites'\n";
        let json = r#"[{"id": "1", "filter_type": 10, "regex": "\\bcub\\b", "replacement": "bear",
            "description": null, "user": "mod#1"}, {"filter_type": 20, "regex": "bites"}]"#;
        for text in [toml, json] {
            let filters = Filters::read(text).unwrap();
            assert_eq!((filters.rows(), filters.suspicion("a CUB bites")), (2, 2), "{text}");
            assert_eq!(filters.replace("a cub"), "a bear");
        }
        for empty in ["", "[]", "# nothing yet"] {
            assert_eq!(Filters::read(empty).unwrap().rows(), 0, "{empty:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_which_filter_and_why() {
        let row = |regex: &str, filter_type: i64| {
            serde_json::json!([{"regex": "fine", "filter_type": 10}, {"regex": regex, "filter_type": filter_type}])
                .to_string()
        };
        for (text, fragments) in [
            (row("(", 10), &["filter 2", "\"(\"", "cannot be used"][..]),
            (row("(?=x)x", 10), &["filter 2", "look-around"]),
            (row(r"(x)\1", 20), &["filter 2", "backreferences"]),
            (row("(?:x{1000}){1000}", 20), &["filter 2", "bytes of memory"]),
            (row("x*", 10), &["filter 2", "empty text"]),
            (row("", 10), &["filter 2", "1 to 20000"]),
            (row(&"x".repeat(20_001), 10), &["filter 2", "1 to 20000"]),
            (row("x", 9), &["filter 2", "from 10 to 29"]),
            (row("x", 30), &["filter 2", "from 10 to 29"]),
            (r#"[{"filter_type": 10}]"#.into(), &["JSON", "regex"]),
            ("[[filter]]\nregex = 'x'\nfilter_type = 10".into(), &["TOML", "filter"]),
            ("[[filters]]\nregex = 'x'".into(), &["TOML", "filter_type"]),
            (
                format!("[{}]", vec![r#"{"regex":"x","filter_type":29}"#; 10_001].join(",")),
                &["10001", "10000"],
            ),
        ] {
            let why = Filters::read(&text).unwrap_err().to_string();
            for fragment in fragments {
                assert!(why.contains(fragment), "{why}: {fragment}");
            }
        }
    }
}
