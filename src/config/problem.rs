//! What is wrong with a configuration, all of it at once.

use std::fmt;

/// One thing to put right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Where the value comes from: a flag, a variable, a key of a file.
    pub place: String,
    /// What is wrong and what to write instead. Holds no secrets.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// All that is wrong with a configuration; at least one thing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => write!(f, "{one}"),
            many => {
                write!(f, "{} settings need attention:", many.len())?;
                many.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for Problems {}

/// Gathers what is wrong with the values of keys.
#[derive(Default)]
pub(super) struct Complaints(pub Vec<(&'static str, String)>);

impl Complaints {
    pub fn about(&mut self, key: &'static str, message: impl Into<String>) {
        self.0.push((key, message.into()));
    }
}
