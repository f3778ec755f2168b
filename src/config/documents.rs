//! What the service is called, and what its operator has to say to everybody.

use super::Complaints;

/// Longest title, in characters.
const LONGEST_TITLE: usize = 100;

/// Names, links and documents.
#[derive(Clone, PartialEq, Debug)]
pub struct Documents {
    /// What the service is called.
    pub title: String,
}

impl Default for Documents {
    fn default() -> Self {
        Self { title: "gridbroker".into() }
    }
}

impl Documents {
    pub(super) fn check(&self, complaints: &mut Complaints) {
        let is_title = |title: &str| {
            !title.trim().is_empty()
                && title.chars().count() <= LONGEST_TITLE
                && !title.chars().any(char::is_control)
        };
        if !is_title(&self.title) {
            complaints.about("title", format!("must be a line of 1 to {LONGEST_TITLE} characters"));
        }
    }
}
