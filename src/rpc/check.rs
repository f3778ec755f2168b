//! What fields may contain, checked once for all faces, every offence with its path.

use std::fmt::Write;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::json::Struct;

/// What a validation error says as a whole.
pub const VALIDATION_FAILED: &str = "Input payload validation failed";

/// A request message, or part of one.
pub trait Check {
    /// Notes every offence against the rules of the fields.
    fn check(&self, at: &mut FieldPath, violations: &mut Violations);
    /// Sets fields that are unset to their defaults.
    fn normalize(&mut self);
    /// Whether a NUL character stands in any of its texts: databases refuse it.
    fn has_nul(&self) -> bool;
}

/// Checks a message, notes what is wrong in the room given, and sets its defaults.
///
/// # Errors
/// INVALID_ARGUMENT with a field violation for each offending path.
pub fn checked<T: Check>(mut message: T, mut violations: Violations) -> Result<T, Status> {
    message.check(&mut FieldPath::default(), &mut violations);
    violations.into_result()?;
    message.normalize();
    Ok(message)
}

/// Whether a text holds a NUL character.
pub fn has_nul(text: &str) -> bool {
    text.as_bytes().contains(&0)
}

/// Where in a message a check is: dotted, with indexes.
#[derive(Default)]
pub struct FieldPath(Vec<Segment>);

enum Segment {
    Name(&'static str),
    Index(usize),
}

impl FieldPath {
    /// Goes into a field.
    pub fn within(&mut self, name: &'static str, check: impl FnOnce(&mut Self)) {
        self.0.push(Segment::Name(name));
        check(self);
        self.0.pop();
    }

    /// Goes into an item of a list.
    pub fn within_item(&mut self, name: &'static str, index: usize, check: impl FnOnce(&mut Self)) {
        self.within(name, |at| {
            at.0.push(Segment::Index(index));
            check(at);
            at.0.pop();
        });
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for segment in &self.0 {
            // A message that is a list has no name of its own within it.
            if matches!(segment, Segment::Name("")) {
                continue;
            }
            if !text.is_empty() {
                text.push('.');
            }
            let _ = match segment {
                Segment::Name(name) => write!(text, "{name}"),
                Segment::Index(index) => write!(text, "{index}"),
            };
        }
        text
    }
}

/// Room for offences in a JSON body, in bytes: more than any honest mistake fills.
const BODY_ROOM: usize = 64 * 1024;
/// Room for offences in gRPC's headers, in bytes. Common clients take 8 KiB of them, and base64 adds a third.
const HEADER_ROOM: usize = 5 * 1024;
/// What an offence takes up besides its path and text.
const OVERHEAD: usize = 16;
/// Longest text of one offence, in bytes.
const LONGEST_TEXT: usize = 400;

/// The offences found, one text for each path. When their room is used up, further ones are left out.
#[derive(Debug)]
pub struct Violations {
    found: Vec<(String, String)>,
    /// Bytes left.
    room: usize,
}

impl Default for Violations {
    fn default() -> Self {
        Self { found: Vec::new(), room: BODY_ROOM }
    }
}

impl Violations {
    /// None yet, and no more than fit into headers.
    pub fn for_headers() -> Self {
        Self { found: Vec::new(), room: HEADER_ROOM }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Whether there is no room for more: the search may end.
    pub fn is_full(&self) -> bool {
        self.room == 0
    }

    /// Notes an offence; the first one at a path stays.
    pub fn add(&mut self, path: String, text: impl Into<String>) {
        if self.is_full() || self.found.iter().any(|(known, _)| *known == path) {
            return;
        }
        let text = cut(text.into(), LONGEST_TEXT);
        match self.room.checked_sub(path.len() + text.len() + OVERHEAD) {
            Some(left) => {
                self.room = left;
                self.found.push((path, text));
            }
            None => self.room = 0,
        }
    }

    fn at(&mut self, at: &FieldPath, text: String) {
        self.add(at.text(), text);
    }

    /// A field that must be there.
    pub fn required(&mut self, at: &mut FieldPath, name: &'static str, is_set: bool) {
        if !is_set {
            at.within(name, |at| self.at(at, format!("'{name}' is a required property")));
        }
    }

    /// A list of limited length.
    pub fn items(&mut self, at: &mut FieldPath, name: &'static str, length: usize, most: usize) {
        if length > most {
            at.within(name, |at| self.at(at, format!("{length} items are more than the maximum of {most}")));
        }
    }

    /// A list of which no item stands twice.
    pub fn unique(&mut self, at: &mut FieldPath, name: &'static str, items: &[String]) {
        let mut seen = std::collections::HashSet::new();
        if items.iter().any(|item| !seen.insert(item)) {
            at.within(name, |at| self.at(at, "has non-unique elements".into()));
        }
    }

    /// A text of limited length, out of a closed set if one is given.
    pub fn text(
        &mut self,
        at: &FieldPath,
        value: &str,
        min_length: Option<u64>,
        max_length: Option<u64>,
        one_of: &[&str],
    ) {
        let length = || value.chars().count() as u64;
        if !one_of.is_empty() && !one_of.contains(&value) {
            self.at(at, format!("'{}' is not one of {}", excerpt(value), quoted(one_of)));
        } else if min_length.is_some_and(|least| length() < least) {
            self.at(at, format!("'{}' is too short", excerpt(value)));
        } else if max_length.is_some_and(|most| value.len() as u64 > most && length() > most) {
            self.at(at, format!("'{}' is too long", excerpt(value)));
        }
    }

    /// A number within bounds.
    pub fn number(
        &mut self,
        at: &FieldPath,
        value: f64,
        is_whole: bool,
        min: Option<f64>,
        max: Option<f64>,
        multiple_of: Option<u64>,
    ) {
        if !value.is_finite() {
            self.at(at, format!("{value} is not a number"));
        } else if let Some(min) = min.filter(|min| value < *min) {
            self.at(at, format!("{} is less than the minimum of {}", shown(value, is_whole), min));
        } else if let Some(max) = max.filter(|max| value > *max) {
            self.at(at, format!("{} is greater than the maximum of {}", shown(value, is_whole), max));
        } else if let Some(step) = multiple_of.filter(|step| value % *step as f64 != 0.0) {
            self.at(at, format!("{} is not a multiple of {step}", shown(value, is_whole)));
        }
    }

    /// A free-form object that every face can carry.
    pub fn object(&mut self, at: &FieldPath, value: &Struct) {
        if value.is_too_deep() {
            self.at(at, format!("is nested deeper than {} levels", Struct::MAX_DEPTH));
        }
    }

    /// An error with all of them, if there are any.
    ///
    /// # Errors
    /// INVALID_ARGUMENT with a field violation for each path.
    pub fn into_result(self) -> Result<(), Status> {
        if self.found.is_empty() {
            return Ok(());
        }
        let mut details = ErrorDetails::new();
        for (path, text) in self.found {
            details.add_bad_request_violation(path, text);
        }
        Err(Status::with_error_details(Code::InvalidArgument, VALIDATION_FAILED, details))
    }
}

/// A validation error with one offence.
pub fn violation(path: &str, text: impl Into<String>) -> Status {
    let mut violations = Violations::default();
    violations.add(path.to_owned(), text);
    violations.into_result().expect_err("there is one violation")
}

/// A text, or its beginning if it is longer than so many bytes.
pub fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
    }
    text
}

fn shown(value: f64, is_whole: bool) -> String {
    if is_whole { format!("{value:.0}") } else { format!("{value:?}") }
}

/// The beginning of a text: an error message must not be as long as what it complains of.
fn excerpt(value: &str) -> String {
    const MOST: usize = 60;
    match value.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

fn quoted(words: &[&str]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    format!("[{}]", words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_offences_take_bounded_room_and_the_first_are_told() {
        for (mut violations, room) in
            [(Violations::default(), BODY_ROOM), (Violations::for_headers(), HEADER_ROOM)]
        {
            for i in 0..100_000 {
                violations.add(format!("models.{i}"), "3 is not of type 'string'");
            }
            assert!(violations.is_full());
            let told: usize = violations.found.iter().map(|(path, text)| path.len() + text.len()).sum();
            assert!((room / 2..room).contains(&told), "{told} of {room}");
            assert_eq!(violations.found[0].0, "models.0");
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut("äöü".into(), 3), "ä…");
        assert_eq!(cut("äöü".into(), 6), "äöü");
    }
}
