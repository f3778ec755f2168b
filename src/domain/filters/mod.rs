//! What prompts may not ask for, as patterns that an operator keeps, and what becomes of a prompt that does.
//!
//! ```text
//!  positive part ──► plain ──┬─► patterns of both groups? ──► words replaced, if that may be, or refused
//!                            └─► a model for adults: words of youth? ──► adults in their place
//! ```
//!
//! Source: the filters of the v2 contract. Patterns are matched in time linear in the prompt.

mod plain;
mod reading;
mod youth;

use regex::{Regex, RegexSet};

pub use reading::Unreadable;

use plain::plain;

/// Longest positive part in which words are replaced, in characters.
pub const LONGEST_REPLACED: usize = 7000;
/// What parts what is wanted from what is not.
const PARTING: &str = "###";

/// An operator's patterns, ready to be matched.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    /// Patterns of type 10, each with what stands in its place.
    replaced: Vec<(Regex, String)>,
    /// Patterns of types 10 and 11; `None`: there are none.
    first: Option<RegexSet>,
    /// Patterns of type 20; `None`: there are none.
    second: Option<RegexSet>,
    /// Rows that were read, those of other types among them.
    rows: usize,
}

/// What is to be known of a request besides its prompt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Circumstances {
    /// It asks for a text: no pattern is looked for, and all of it is what is wanted.
    pub is_text: bool,
    /// Words may be replaced, rather than the prompt refused.
    pub may_replace: bool,
    /// It names a model that is made for adults.
    pub is_for_adults: bool,
    /// The models that it names draw anime, whose vocabulary counts figures: `1girl`.
    pub is_anime: bool,
    /// Its account is under restraint.
    pub is_flagged: bool,
}

/// What becomes of a prompt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ruling {
    /// It stays as it is.
    Clean,
    /// This is done in its place.
    Replaced(String),
    /// It is refused, and whoever asked is a suspect.
    Corrupt,
    /// It is refused: nothing of it is left.
    Empty,
    /// It is too long for words of it to be replaced.
    TooLong,
}

impl Filters {
    /// Patterns that were read, in all.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many groups of patterns a prompt matches, 0 to 2. Two of them block it.
    pub fn suspicion(&self, positive: &str) -> usize {
        let plain = plain(positive);
        let first = self.is_of_first(positive, &plain);
        let second = self.second.as_ref().is_some_and(|second| second.is_match(&plain));
        usize::from(first) + usize::from(second)
    }

    fn is_of_first(&self, positive: &str, plain: &str) -> bool {
        self.first.as_ref().is_some_and(|first| first.is_match(plain)) || self.shows_youth(positive)
    }

    /// Whether a picture of a child stands in it. That counts as a pattern of type 10 where there are any.
    fn shows_youth(&self, positive: &str) -> bool {
        !self.replaced.is_empty() && positive.contains(youth::PICTURES)
    }

    /// What becomes of a prompt.
    pub fn judge(&self, prompt: &str, circumstances: Circumstances) -> Ruling {
        let Circumstances { is_text, may_replace, is_for_adults, is_anime, is_flagged } = circumstances;
        let (positive, negative) = match prompt.split_once(PARTING) {
            Some((positive, negative)) if !is_text => (positive, Some(negative)),
            _ => (prompt, None),
        };
        let is_blocked = !is_text && self.rows > 0 && self.suspicion(positive) > 1;
        if is_blocked && !may_replace {
            return Ruling::Corrupt;
        }
        if is_blocked && positive.chars().count() > LONGEST_REPLACED {
            return Ruling::TooLong;
        }
        let mut text = String::new();
        if is_blocked {
            text = self.replace(&plain(positive));
            if text.is_empty() {
                return Ruling::Corrupt;
            }
        }
        let is_young = || {
            let plain = plain(positive);
            let is_known = self.replaced.iter().any(|(pattern, _)| pattern.is_match(&plain));
            is_known || self.shows_youth(positive) || youth::is_in(&plain, is_anime)
        };
        let is_grown_up = is_flagged || (is_for_adults && is_young());
        if is_grown_up {
            let before = if is_blocked { text } else { self.replace(&plain(positive)) };
            text = plain::collapse(&youth::grow_up(&before, is_anime));
            if text.is_empty() {
                return Ruling::Empty;
            }
        }
        if !is_blocked && !is_grown_up {
            return Ruling::Clean;
        }
        let unwanted = match (is_blocked, negative) {
            (true, Some(negative)) => format!("{}, {}", youth::UNWANTED, negative.trim_start()),
            (true, None) => youth::UNWANTED.to_owned(),
            (false, Some(negative)) => negative.to_owned(),
            (false, None) => return Ruling::Replaced(text),
        };
        Ruling::Replaced(format!("{text}{PARTING}{unwanted}"))
    }

    /// A plain text with what patterns of type 10 match replaced.
    fn replace(&self, plain: &str) -> String {
        let replaced = self.replaced.iter().fold(plain.to_owned(), |text, (pattern, replacement)| {
            pattern.replace_all(&text, regex::NoExpand(replacement)).into_owned()
        });
        plain::collapse(&replaced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters() -> Filters {
        Filters::read(
            r#"[{"regex": "\\bcub\\b", "filter_type": 10, "replacement": "bear"},
                {"regex": "\\bkitten\\b", "filter_type": 10},
                {"regex": "\\bden\\b", "filter_type": 11},
                {"regex": "\\bbites?\\b", "filter_type": 20},
                {"regex": "moon", "filter_type": 29}]"#,
        )
        .unwrap()
    }

    const REPLACES: Circumstances = Circumstances {
        is_text: false,
        may_replace: true,
        is_for_adults: false,
        is_anime: false,
        is_flagged: false,
    };

    #[test]
    fn each_group_counts_once_however_it_is_written() {
        for (prompt, suspicion, rule) in [
            ("a bear", 0, "nothing matches"),
            ("a cub", 1, "type 10"),
            ("a den", 1, "type 11 is of the same group"),
            ("a cub in its den", 1, "which counts once"),
            ("it bites", 1, "type 20"),
            ("the moon", 0, "other types are for others"),
            ("a cub bites", 2, "both groups"),
            ("A CÚB (bites:1.3)", 2, "case, accents and weights do not matter"),
            ("c u b_bites", 2, "nor do spaces between letters, and signs between words"),
            ("((cub:1.1), [bites]:0.5)", 2, "nor do weights within weights"),
            ("scrub bites", 1, "words are what the pattern says"),
            ("\u{1F9D2} bites", 2, "a picture of a child says as much as a word"),
            ("cub\u{200B}bites", 0, "what is not seen parts nothing"),
            ("c\u{200B}ub bites", 2, "in a word neither"),
        ] {
            assert_eq!(filters().suspicion(prompt), suspicion, "{rule}: {prompt}");
        }
    }

    #[test]
    fn a_blocked_prompt_is_refused_or_said_otherwise() {
        let unwanted = youth::UNWANTED;
        let refuses = Circumstances { may_replace: false, ..REPLACES };
        let text = Circumstances { is_text: true, ..refuses };
        let long = format!("a cub bites {}", "x".repeat(LONGEST_REPLACED));
        for (prompt, circumstances, ruling, rule) in [
            ("a cub", refuses, Ruling::Clean, "one group is not enough"),
            ("a cub bites", refuses, Ruling::Corrupt, "two are, and nothing may be replaced"),
            ("a cub bites", text, Ruling::Clean, "texts are not looked at"),
            ("bites###a cub", refuses, Ruling::Clean, "nor is what is not wanted"),
            (
                "A cub, bites###blurry",
                REPLACES,
                Ruling::Replaced(format!("A bear bites###{unwanted}, blurry")),
                "words are replaced, and more is not wanted",
            ),
            ("cub bites", REPLACES, Ruling::Replaced(format!("bear bites###{unwanted}")), "nothing else was"),
            (&long, REPLACES, Ruling::TooLong, "too long for that"),
            (&long, refuses, Ruling::Corrupt, "which does not matter if nothing may be replaced"),
        ] {
            assert_eq!(filters().judge(prompt, circumstances), ruling, "{rule}");
        }
        let all = Filters::read(
            r#"[{"regex": "cub bites", "filter_type": 10}, {"regex": "bites", "filter_type": 20}]"#,
        )
        .unwrap();
        assert_eq!(all.judge("cub bites", REPLACES), Ruling::Corrupt, "nothing is left");
        assert_eq!(Filters::default().judge("a cub bites", REPLACES), Ruling::Clean, "without patterns");
    }

    #[test]
    fn models_for_adults_draw_adults_and_who_is_flagged_asks_for_them_always() {
        let adults = Circumstances { is_for_adults: true, ..REPLACES };
        let anime = Circumstances { is_anime: true, ..adults };
        let flagged = Circumstances { is_flagged: true, ..REPLACES };
        let replaced = |text: &str| Ruling::Replaced(text.to_owned());
        for (prompt, circumstances, ruling, rule) in [
            ("a woman, smiling", adults, Ruling::Clean, "nothing of youth"),
            ("a girl", REPLACES, Ruling::Clean, "other models may draw it"),
            ("a girl, a boy###bad", adults, replaced("a adult woman a adult man###bad"), "grown up"),
            ("children, a kid", adults, replaced("adult a adult"), "by the built-in words"),
            ("a cub", adults, replaced("a bear"), "by patterns, too"),
            ("1girl, teen", adults, replaced("adult woman adult"), "figures counted"),
            ("1girl, teen", anime, replaced("1girl adult"), "which is how anime is asked for"),
            ("1girl, smiling", anime, Ruling::Clean, "and says nothing of youth there"),
            ("12 years old", adults, replaced("adult"), "by age"),
            ("a woman, smiling", flagged, replaced("a woman smiling"), "always, whatever it says"),
            ("kitten", flagged, Ruling::Empty, "nothing is left"),
            (
                "a boy### b",
                Circumstances { is_text: true, ..adults },
                replaced("a adult man b"),
                "texts, too",
            ),
        ] {
            assert_eq!(filters().judge(prompt, circumstances), ruling, "{rule}");
        }
        let Ruling::Replaced(both) = filters().judge("a girl cub bites", adults) else { panic!() };
        assert_eq!(both, format!("a adult woman bear bites###{}", youth::UNWANTED), "one upon the other");
    }
}
