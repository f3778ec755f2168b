//! What fields may contain, checked once for all faces, every offence with its path.

use std::fmt::Write;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

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

/// Checks a message and sets its defaults.
///
/// # Errors
/// INVALID_ARGUMENT with a field violation for each offending path.
pub fn checked<T: Check>(mut message: T) -> Result<T, Status> {
    let mut violations = Violations::default();
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

/// The offences found, one text for each path.
#[derive(Default, Debug)]
pub struct Violations(Vec<(String, String)>);

impl Violations {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes an offence; the first one at a path stays.
    pub fn add(&mut self, path: String, text: impl Into<String>) {
        if !self.0.iter().any(|(known, _)| *known == path) {
            self.0.push((path, text.into()));
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

    /// An error with all of them, if there are any.
    ///
    /// # Errors
    /// INVALID_ARGUMENT with a field violation for each path.
    pub fn into_result(self) -> Result<(), Status> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut details = ErrorDetails::new();
        for (path, text) in self.0 {
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
