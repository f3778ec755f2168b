//! What prompts may not ask for, as patterns that an operator keeps, and what becomes of a prompt that does.
//!
//! ```text
//!  positive part ──► plain ──┬─► patterns of both groups? ──► words replaced, if that may be, or refused
//!                            └─► a model for adults: words of youth? ──► adults in their place
//! ```
//!
//! Source: the filters of the v2 contract. Patterns are matched in time linear in the prompt.

pub mod kept;
mod pattern;
mod plain;
mod reading;
mod youth;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use regex::{Regex, RegexSet, RegexSetBuilder};

pub use pattern::{Filter, FilterChange, FilterId, Pattern, TYPES, Unreadable};

use plain::plain;

/// Longest positive part in which words are replaced, in characters.
pub const LONGEST_REPLACED: usize = 7000;
/// What parts what is wanted from what is not.
const PARTING: &str = "###";
/// Types whose matches are replaced where that may be.
const REPLACED: i64 = 10;
/// Types of the two groups.
const GROUPS: [&[i64]; 2] = [&[REPLACED, 11], &[20]];
/// Memory that all patterns of a group may take together, in bytes.
const GROUP_SIZE: usize = 64 << 20;
/// Matches that are told of a prompt that is tested.
const MOST_MATCHES: usize = 100;

/// Patterns, ready to be matched.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    /// Patterns of types that prompts are judged by, in their order.
    patterns: Vec<Ready>,
    /// All patterns of a group at once, in the same order; `None`: there are none.
    groups: [Option<RegexSet>; 2],
    /// Patterns that were read, those of other types among them.
    rows: usize,
}

#[derive(Clone, Debug)]
struct Ready {
    pattern: Arc<Pattern>,
    regex: Regex,
}

/// What a prompt matches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tested {
    /// Groups, 0 to 2. Two of them block it.
    pub suspicion: usize,
    /// What of it matches, as it is looked at.
    pub matches: Vec<String>,
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
    /// Makes patterns ready.
    ///
    /// # Errors
    /// One cannot be used, or all of them take too much memory; which, and why.
    pub fn of(patterns: Vec<Pattern>) -> Result<Self, Unreadable> {
        let rows = patterns.len();
        let mut ready = Vec::new();
        for (place, pattern) in patterns.into_iter().enumerate() {
            let regex = pattern.compile().map_err(|why| pattern.blame(place + 1, &why))?;
            ready.push(Ready { pattern: Arc::new(pattern), regex });
        }
        Self::grouped(ready, rows)
    }

    /// These, and others beside them. Those that cannot be used are left out and told: they were written
    /// for another library. What `known` has ready is not made ready again.
    ///
    /// # Errors
    /// All of them together take too much memory.
    pub fn beside<'p>(
        &self,
        others: impl IntoIterator<Item = &'p Pattern>,
        known: &Self,
    ) -> Result<(Self, Vec<Unreadable>), Unreadable> {
        let known: HashMap<&str, &Ready> =
            known.patterns.iter().map(|ready| (ready.pattern.regex.as_str(), ready)).collect();
        let (mut all, mut rows, mut unusable) = (self.patterns.clone(), self.rows, Vec::new());
        for (place, pattern) in others.into_iter().enumerate() {
            let regex = match known.get(pattern.regex.as_str()) {
                Some(ready) => Ok(ready.regex.clone()),
                None => pattern.compile(),
            };
            match regex {
                Ok(regex) => {
                    all.push(Ready { pattern: Arc::new(pattern.clone()), regex });
                    rows += 1;
                }
                Err(why) => unusable.push(pattern.blame(place + 1, &why)),
            }
        }
        Ok((Self::grouped(all, rows)?, unusable))
    }

    fn grouped(mut patterns: Vec<Ready>, rows: usize) -> Result<Self, Unreadable> {
        // Kept for those who ask for them; no prompt is judged by them.
        patterns.retain(|ready| GROUPS.iter().any(|types| types.contains(&ready.pattern.filter_type)));
        let mut filters = Self { patterns, groups: [None, None], rows };
        for (group, types) in GROUPS.into_iter().enumerate() {
            let patterns: Vec<_> = filters.of_types(types).map(|ready| &ready.pattern.regex).collect();
            if !patterns.is_empty() {
                let set =
                    RegexSetBuilder::new(patterns).case_insensitive(true).size_limit(GROUP_SIZE).build();
                let set = set.map_err(|error| {
                    Unreadable(format!("filters of the types {types:?} take too much together: {error}"))
                })?;
                filters.groups[group] = Some(set);
            }
        }
        Ok(filters)
    }

    /// Patterns of types, in their order.
    fn of_types(&self, types: &[i64]) -> impl Iterator<Item = &Ready> {
        self.patterns.iter().filter(|ready| types.contains(&ready.pattern.filter_type))
    }

    /// Patterns that were read, in all.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// All regexes of each type that prompts are judged by, as alternatives; empty where there are none.
    pub fn joined(&self) -> BTreeMap<i64, String> {
        let joined = |filter_type: &i64| {
            let regexes: Vec<_> =
                self.of_types(&[*filter_type]).map(|ready| ready.pattern.regex.as_str()).collect();
            (*filter_type, regexes.join("|"))
        };
        GROUPS.concat().iter().map(joined).collect()
    }

    /// How many groups of patterns a prompt matches, 0 to 2. Two of them block it.
    pub fn suspicion(&self, positive: &str) -> usize {
        let plain = plain(positive);
        let [first, second] =
            [0, 1].map(|group: usize| self.groups[group].as_ref().is_some_and(|set| set.is_match(&plain)));
        usize::from(first || self.shows_youth(positive)) + usize::from(second)
    }

    /// What a prompt of an image matches, by patterns of one type, or of all that it is judged by.
    pub fn test(&self, prompt: &str, filter_type: Option<i64>) -> Tested {
        let (positive, _) = parts(prompt);
        let plain = plain(positive);
        let (mut matches, mut groups) = (Vec::new(), 0);
        for (set, types) in self.groups.iter().zip(GROUPS) {
            let before = matches.len();
            let is_asked = |asked: &i64| filter_type.is_none_or(|only| only == *asked);
            let ready: Vec<_> = self.of_types(types).collect();
            for place in set.iter().flat_map(|set| set.matches(&plain)) {
                let Ready { pattern, regex } = ready[place];
                if is_asked(&pattern.filter_type) {
                    matches.extend(regex.find(&plain).map(|found| found.as_str().to_owned()));
                }
            }
            if types.contains(&REPLACED) && is_asked(&REPLACED) && self.shows_youth(positive) {
                matches.extend(positive.chars().find(|c| youth::PICTURES.contains(c)).map(String::from));
            }
            groups += usize::from(matches.len() > before);
        }
        let mut seen = std::collections::HashSet::new();
        matches.retain(|found| seen.insert(found.clone()));
        matches.truncate(MOST_MATCHES);
        // Whatever is told of it, it is judged as any other.
        let suspicion = if filter_type.is_none() { self.suspicion(positive) } else { groups };
        Tested { suspicion, matches }
    }

    /// Patterns whose matches are replaced where that may be.
    fn replaced(&self) -> impl Iterator<Item = &Ready> {
        self.of_types(&[REPLACED])
    }

    /// Whether a picture of a child stands in it. That counts as a pattern of type 10 where there are any.
    fn shows_youth(&self, positive: &str) -> bool {
        positive.contains(youth::PICTURES) && self.replaced().next().is_some()
    }

    /// What becomes of a prompt.
    pub fn judge(&self, prompt: &str, circumstances: Circumstances) -> Ruling {
        let Circumstances { is_text, may_replace, is_for_adults, is_anime, is_flagged } = circumstances;
        let (positive, negative) = if is_text { (prompt, None) } else { parts(prompt) };
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
            let is_known = self.replaced().any(|ready| ready.regex.is_match(&plain));
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
        let replaced = self.replaced().fold(plain.to_owned(), |text, Ready { pattern, regex }| {
            regex.replace_all(&text, regex::NoExpand(&pattern.replacement)).into_owned()
        });
        plain::collapse(&replaced)
    }
}

/// What a prompt wants, and what it does not.
fn parts(prompt: &str) -> (&str, Option<&str>) {
    match prompt.split_once(PARTING) {
        Some((wanted, unwanted)) => (wanted, Some(unwanted)),
        None => (prompt, None),
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

    #[test]
    fn a_prompt_that_is_tested_is_told_what_it_matches() {
        for (prompt, filter_type, suspicion, matches, rule) in [
            ("a bear", None, "0", &[][..], "nothing"),
            ("my C.U.B (bites:1.2)", None, "2", &["CUB", "bites"], "as it is looked at"),
            ("a cub and a Cub", None, "1", &["cub"], "the first match of each pattern"),
            ("a den, a cub", None, "1", &["cub", "den"], "two patterns of a group"),
            ("a cub in its den bites", Some(11), "1", &["den"], "of one type alone"),
            ("a cub bites", Some(20), "1", &["bites"], "of the other group"),
            ("the moon", Some(29), "0", &[], "no prompt is judged by other types"),
            ("a cub bites", Some(7), "0", &[], "nor by what is no type"),
            ("a bear###a cub bites", None, "0", &[], "what is not wanted is not looked at"),
            ("\u{1F9D2} bites", None, "2", &["\u{1F9D2}", "bites"], "a picture of a child"),
            ("\u{1F9D2} bites", Some(11), "0", &[], "which is of type 10"),
        ] {
            let tested = filters().test(prompt, filter_type);
            assert_eq!(
                (tested.suspicion.to_string().as_str(), tested.matches.as_slice()),
                (suspicion, &matches.iter().map(ToString::to_string).collect::<Vec<_>>()[..]),
                "{rule}"
            );
        }
    }

    #[test]
    fn what_is_tested_is_suspected_as_what_is_judged() {
        let refuses = Circumstances { may_replace: false, ..REPLACES };
        for prompt in ["a cub", "c u b_bites", "den### bites", "\u{1F476}, bites", "A CÚB (bites:1.3)", ""] {
            let is_blocked = filters().judge(prompt, refuses) == Ruling::Corrupt;
            assert_eq!(filters().test(prompt, None).suspicion > 1, is_blocked, "{prompt}");
        }
    }

    #[test]
    fn filters_stand_beside_each_other_and_what_cannot_be_used_is_told() {
        let pattern =
            |regex: &str, filter_type| Pattern { regex: regex.into(), filter_type, ..Pattern::default() };
        let others = [pattern("wolf", 20), pattern("a(?=b)", 10), pattern("pup", 10), pattern("sun", 15)];
        let (both, unusable) = filters().beside(&others, &Filters::default()).unwrap();
        assert_eq!(both.rows(), 8);
        assert_eq!((both.suspicion("a cub, a wolf"), both.suspicion("pup bites")), (2, 2));
        assert_eq!(unusable.len(), 1);
        let why = unusable[0].to_string();
        assert!(why.contains("filter 2") && why.contains("look-around"), "{why}");
        let (again, _) = filters().beside(&others[..1], &both).unwrap();
        assert_eq!(
            (again.suspicion("pup bites"), again.suspicion("a cub, a wolf")),
            (1, 2),
            "others are gone"
        );
        let joined: Vec<_> = both.joined().into_iter().collect();
        assert_eq!(joined[0], (10, r"\bcub\b|\bkitten\b|pup".into()));
        assert_eq!(joined[2], (20, r"\bbites?\b|wolf".into()));
        assert_eq!(Filters::default().joined()[&11], "");
    }
}
