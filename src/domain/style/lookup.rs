//! What a style or a collection is called by those who ask for it.
//!
//! ```text
//! name                     style::name            collection::name
//! alias#id::name           style::alias#id::name  collection::alias#id::name
//! alias#id::style::name    as names of styles are shown
//! ```

use crate::domain::UserId;

/// What is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sought {
    /// A style.
    Style,
    /// A collection.
    Collection,
}

/// A name, with what is said of whose it is and of what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lookup<'a> {
    /// `None`: a style, or else a collection.
    pub sought: Option<Sought>,
    /// `None`: anybody's.
    pub owner: Option<UserId>,
    /// The name alone.
    pub name: &'a str,
}

impl<'a> Lookup<'a> {
    /// Reads a name. Of an alias only the number behind its last `#` counts; one that no account can have
    /// is nobody's.
    pub fn parse(text: &'a str) -> Self {
        let mut found = Self { sought: None, owner: None, name: text };
        loop {
            if found.sought.is_none()
                && let Some((sought, rest)) = sought(found.name)
            {
                (found.sought, found.name) = (Some(sought), rest);
            } else if found.owner.is_none()
                && let Some((owner, rest)) = owner(found.name)
            {
                (found.owner, found.name) = (Some(owner), rest);
            } else {
                return found;
            }
        }
    }

    /// Whether a name is found by itself: none of it reads as an owner, or as what it is.
    pub fn is_plain(name: &str) -> bool {
        Lookup::parse(name).name == name
    }
}

fn sought(text: &str) -> Option<(Sought, &str)> {
    let style = text.strip_prefix("style::").map(|rest| (Sought::Style, rest));
    style.or_else(|| text.strip_prefix("collection::").map(|rest| (Sought::Collection, rest)))
}

fn owner(text: &str) -> Option<(UserId, &str)> {
    text.match_indices("::").find_map(|(at, _)| {
        let (_, digits) = text[..at].rsplit_once('#')?;
        let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| (UserId(digits.parse().unwrap_or(i64::MAX)), &text[at + 2..]))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_say_whose_and_what_is_meant() {
        use Sought::{Collection, Style};
        for (text, sought, owner, name) in [
            ("photo", None, None, "photo"),
            ("style::photo", Some(Style), None, "photo"),
            ("collection::photo", Some(Collection), None, "photo"),
            ("ann#7::photo", None, Some(7), "photo"),
            ("style::ann#7::photo", Some(Style), Some(7), "photo"),
            ("collection::ann#7::photo", Some(Collection), Some(7), "photo"),
            ("ann#7::style::photo", Some(Style), Some(7), "photo"),
            ("#7::photo", None, Some(7), "photo"),
            ("a#b::c#7::photo", None, Some(7), "photo"),
            ("ann#x::photo", None, None, "ann#x::photo"),
            ("ann::photo", None, None, "ann::photo"),
            ("ann#7:photo", None, None, "ann#7:photo"),
            ("ann#99999999999999999999::photo", None, Some(i64::MAX), "photo"),
            ("Style::photo", None, None, "Style::photo"),
            ("style::style::photo", Some(Style), None, "style::photo"),
            ("style::", Some(Style), None, ""),
            ("", None, None, ""),
        ] {
            let found = Lookup { sought, owner: owner.map(UserId), name };
            assert_eq!(Lookup::parse(text), found, "{text:?}");
            assert_eq!(Lookup::is_plain(text), sought.is_none() && owner.is_none(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_name_and_a_plain_one_survives_what_is_put_before_it(text in "[a-z:#0-9]{0,30}") {
            Lookup::parse(&text);
            if Lookup::is_plain(&text) {
                let whole = format!("x#5::style::{text}");
                let found = Lookup { sought: Some(Sought::Style), owner: Some(UserId(5)), name: &text };
                prop_assert_eq!(Lookup::parse(&whole), found);
            }
        }
    }
}
