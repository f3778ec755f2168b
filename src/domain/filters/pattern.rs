//! One filter: what it says, whether it can be used, and why not.

use std::fmt;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::domain::UserId;

/// Longest pattern, in bytes.
pub const LONGEST_PATTERN: usize = 20_000;
/// Longest replacement, in bytes.
const LONGEST_REPLACEMENT: usize = 255;
/// Memory that one pattern may take, in bytes.
const PATTERN_SIZE: usize = 4 << 20;
/// What is quoted of a long pattern in an error, in characters.
const SHOWN: usize = 60;
/// What is quoted around a mistake in a pattern, in characters each way.
const AROUND: usize = 12;

/// Types that there are: 10 and 11 are the first group, 20 is the second, and the others are for others.
pub const TYPES: std::ops::RangeInclusive<i64> = 10..=29;

/// Why filters cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub(super) String);

/// What a filter says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pattern {
    /// A regular expression; case does not matter.
    pub regex: String,
    /// Its type, one of [`TYPES`].
    pub filter_type: i64,
    /// Type 10: what stands in the place of what it matches.
    pub replacement: String,
    /// What it is for; `None`: nobody said.
    pub description: Option<String>,
}

impl Pattern {
    /// The pattern, ready to be matched.
    ///
    /// # Errors
    /// What of it cannot be used, and where.
    pub fn compile(&self) -> Result<Regex, Unreadable> {
        self.check().map_err(Unreadable)
    }

    fn check(&self) -> Result<Regex, String> {
        if !TYPES.contains(&self.filter_type) {
            let (least, most) = (TYPES.start(), TYPES.end());
            return Err(format!("its filter_type {} is not from {least} to {most}", self.filter_type));
        }
        if self.regex.is_empty() || self.regex.len() > LONGEST_PATTERN {
            return Err(format!("its regex must have 1 to {LONGEST_PATTERN} bytes"));
        }
        if self.replacement.len() > LONGEST_REPLACEMENT {
            return Err(format!("its replacement must have at most {LONGEST_REPLACEMENT} bytes"));
        }
        let pattern = RegexBuilder::new(&self.regex).case_insensitive(true).size_limit(PATTERN_SIZE).build();
        let pattern = pattern.map_err(|error| match error {
            regex::Error::CompiledTooBig(most) => {
                format!("its regex takes more than {most} bytes of memory")
            }
            other => format!("its regex cannot be used: {}", explained(&self.regex, &other.to_string())),
        })?;
        // It would match everything, and block half the world.
        if pattern.is_match("") {
            return Err("its regex matches an empty text: see to it that something has to be there".into());
        }
        Ok(pattern)
    }

    /// The same complaint, with the filter that it is about.
    pub(super) fn blame(&self, number: usize, why: &Unreadable) -> Unreadable {
        let shown: String = self.regex.chars().take(SHOWN).collect();
        Unreadable(format!("filter {number} ({shown:?}): {why}"))
    }

    /// Bytes of its texts.
    pub fn size_bytes(&self) -> usize {
        self.regex.len() + self.replacement.len() + self.description.as_ref().map_or(0, String::len)
    }
}

/// What is wrong with a pattern, and where: as the library says it, without the whole of a long pattern.
fn explained(pattern: &str, complaint: &str) -> String {
    const INDENT: usize = 4;
    let what = complaint.rsplit("error: ").next().unwrap_or(complaint).trim();
    let is_mark = |line: &&str| line.contains('^') && line.chars().all(|c| c == ' ' || c == '^');
    let mark = complaint.lines().find(is_mark).and_then(|line| line.find('^'));
    match mark.and_then(|column| column.checked_sub(INDENT)) {
        // Of a pattern of several lines a column says little.
        Some(at) if !pattern.contains('\n') => {
            let near: String = pattern.chars().skip(at.saturating_sub(AROUND)).take(2 * AROUND).collect();
            format!("{what}, at character {} (near {near:?})", at + 1)
        }
        _ => what.to_owned(),
    }
}

/// Names a filter that moderators keep.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct FilterId(pub i64);

impl FilterId {
    /// Reads a decimal number; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| is_plain).map(Self)
    }
}

impl fmt::Display for FilterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A filter that moderators keep.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter {
    /// Its ID.
    pub id: FilterId,
    /// What it says.
    pub pattern: Pattern,
    /// Who edited it last.
    pub editor: UserId,
    /// Counts its edits; the first is 1.
    pub version: i64,
}

/// What becomes of a filter. Durable once it is in Records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FilterChange {
    /// It is there from now on. Refused if its ID is taken, or there is one with its regex and type.
    Added(Filter),
    /// It says this from now on. Refused unless its version comes next, or if another one has its regex and
    /// type.
    Edited(Filter),
    /// It goes. Refused if it is not there.
    Dropped(FilterId),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(regex: &str) -> String {
        let pattern = Pattern { regex: regex.into(), filter_type: 10, ..Pattern::default() };
        pattern.compile().err().map(|why| why.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_mistake_is_shown_where_it_is_however_long_the_pattern() {
        let long = format!("{}(?=b){}", "a".repeat(5000), "c".repeat(5000));
        for (regex, fragments) in [
            ("a(b", &["unclosed group", "at character 2", "\"a(b\""][..]),
            (r"[z-a]", &["at character 2"]),
            (r"(x)\1", &["backreferences", "at character 4"]),
            (&long, &["look-around", "at character 5001", "aaa(?=b)ccc"]),
            ("a\n(b", &["unclosed group"]),
        ] {
            let why = why(regex);
            assert!(why.len() < 300, "{why}");
            for fragment in fragments {
                assert!(why.contains(fragment), "{regex:.9}: {why}");
            }
        }
        assert_eq!(why("fine"), "");
    }

    #[test]
    fn ids_are_plain_decimal_numbers() {
        for (text, id) in [
            ("7", Some(7)),
            ("0", Some(0)),
            ("", None),
            ("-7", None),
            ("+7", None),
            ("7.0", None),
            ("seven", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(FilterId::parse(text), id.map(FilterId), "{text:?}");
        }
    }
}
