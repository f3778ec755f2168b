//! What the service is called, and what its operator has to say to everybody.

use std::path::PathBuf;

use super::Complaints;

/// Longest title, in characters.
const LONGEST_TITLE: usize = 100;

/// Names, links and documents.
#[derive(Clone, PartialEq, Debug)]
pub struct Documents {
    /// What the service is called.
    pub title: String,
    /// E-mail address of its operator.
    pub contact_email: Option<String>,
    /// Where the sources of the software are.
    pub repository_url: Option<String>,
    /// Where its logo is.
    pub logo_url: Option<String>,
    /// File with the terms of service, Markdown; `None`: the built-in text, as for those that follow.
    pub terms: Option<PathBuf>,
    /// File with the notes on privacy.
    pub privacy: Option<PathBuf>,
    /// File with the sponsors.
    pub sponsors: Option<PathBuf>,
}

impl Default for Documents {
    fn default() -> Self {
        Self {
            title: "gridbroker".into(),
            contact_email: None,
            repository_url: None,
            logo_url: None,
            terms: None,
            privacy: None,
            sponsors: None,
        }
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
        let is_address = |address: &String| {
            let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>' | '(' | ')' | ',' | '"');
            address.chars().all(is_plain)
                && address.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'))
        };
        if self.contact_email.as_ref().is_some_and(|address| !is_address(address)) {
            complaints.about("contact_email", "is no e-mail address; write it as somebody@example.org");
        }
        for (key, url) in [("repository_url", &self.repository_url), ("logo_url", &self.logo_url)] {
            let is_url = |url: &String| {
                let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
                rest.is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_graphic()))
            };
            if url.as_ref().is_some_and(|url| !is_url(url)) {
                complaints.about(key, "is no URL; write it as https://example.org/…");
            }
        }
    }
}
