//! Filters as a file has them: rows, in TOML or in the JSON that the API gives.
//!
//! ```text
//! [[filters]]
//! filter_type = 10
//! regex = '\bcubs?\b'
//! replacement = "bear"
//! description = "animals that are too young"
//! ```

use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use serde::Deserialize;

use super::Filters;

/// Rows that there may be.
const MOST_ROWS: usize = 10_000;
/// Longest pattern, in bytes.
const LONGEST_PATTERN: usize = 20_000;
/// Longest replacement, in bytes.
const LONGEST_REPLACEMENT: usize = 255;
/// Memory that one pattern may take, and all of a group together, in bytes.
const PATTERN_SIZE: usize = 4 << 20;
const GROUP_SIZE: usize = 64 << 20;
/// Longest pattern that is quoted in an error, in characters.
const SHOWN: usize = 60;

/// Types that there are: 10 and 11 are the first group, 20 is the second, and the others are for others.
const TYPES: std::ops::RangeInclusive<i64> = 10..=29;

/// Why filters cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

#[derive(Deserialize)]
struct Row {
    regex: String,
    filter_type: i64,
    #[serde(default)]
    replacement: Option<String>,
    /// For whoever reads the file.
    #[serde(default)]
    #[expect(dead_code, reason = "it is checked to be a text, and read by people")]
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
        let mut filters = Self { rows: rows.len(), ..Self::default() };
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for (at, row) in rows.into_iter().enumerate() {
            let pattern = check(&row).map_err(|why| about(at, &row, &why))?;
            match row.filter_type {
                10 => {
                    filters.replaced.push((pattern, row.replacement.unwrap_or_default()));
                    first.push(row.regex);
                }
                11 => first.push(row.regex),
                20 => second.push(row.regex),
                // Kept for those who ask for them; no prompt is judged by them.
                _ => {}
            }
        }
        filters.first = group(&first, "10 and 11")?;
        filters.second = group(&second, "20")?;
        Ok(filters)
    }
}

/// Whether it begins as an array of objects, and not as a table of TOML.
fn is_json(text: &str) -> bool {
    match text.trim_start().strip_prefix('[') {
        Some(rest) => rest.trim_start().starts_with(['{', ']']),
        None => text.trim_start().starts_with('{'),
    }
}

fn check(row: &Row) -> Result<Regex, String> {
    if !TYPES.contains(&row.filter_type) {
        return Err(format!(
            "its filter_type {} is not from {} to {}",
            row.filter_type,
            TYPES.start(),
            TYPES.end()
        ));
    }
    if row.regex.is_empty() || row.regex.len() > LONGEST_PATTERN {
        return Err(format!("its regex must have 1 to {LONGEST_PATTERN} bytes"));
    }
    if row.replacement.as_ref().is_some_and(|replacement| replacement.len() > LONGEST_REPLACEMENT) {
        return Err(format!("its replacement must have at most {LONGEST_REPLACEMENT} bytes"));
    }
    let pattern = RegexBuilder::new(&row.regex).case_insensitive(true).size_limit(PATTERN_SIZE).build();
    let pattern = pattern.map_err(|error| match error {
        regex::Error::CompiledTooBig(most) => format!("its regex takes more than {most} bytes of memory"),
        other => format!("its regex cannot be used (look-around and back-references cannot): {other}"),
    })?;
    // It would match everything, and block half the world.
    if pattern.is_match("") {
        return Err("its regex matches an empty text: see to it that something has to be there".into());
    }
    Ok(pattern)
}

fn about(at: usize, row: &Row, why: &str) -> Unreadable {
    let shown: String = row.regex.chars().take(SHOWN).collect();
    Unreadable(format!("filter {} ({shown:?}): {why}", at + 1))
}

fn group(patterns: &[String], types: &str) -> Result<Option<RegexSet>, Unreadable> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let set = RegexSetBuilder::new(patterns).case_insensitive(true).size_limit(GROUP_SIZE).build();
    set.map(Some).map_err(|error| Unreadable(format!("filters of type {types} together: {error}")))
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
            (row(r"(x)\1", 20), &["filter 2", "back-references"]),
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
