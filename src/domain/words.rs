//! Texts of strangers: words that are not wanted in them, and markup that is made harmless.

use std::collections::HashSet;

/// Words that are not wanted in what everybody is shown.
///
/// A word is a run of letters and digits; digits and signs that stand for letters count as those. So
/// `Scunthorpe` is fine, and `sh1t_happens` is not.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct WordList {
    words: HashSet<String>,
    /// Beginnings of words.
    beginnings: Vec<String>,
}

/// Words that are looked for unless an operator has a list of their own.
const BUILT_IN: &str = "
    arsehole asshole* bastard* bitch bitches cunt* dickhead* fag fags faggot* fuck* kike kikes motherfuck* nazi
    nazis nigga* nigger* pedo pedos pedophil* paedophil* rape* rapist* retard* shit* slut* spic spics tranny
    wank* whore*
";

impl WordList {
    /// The list that is compiled in.
    pub fn built_in() -> Self {
        Self::read(BUILT_IN)
    }

    /// Reads words between spaces and ends of lines; one with `*` at its end stands for all that begin so,
    /// and what follows a `#` is a remark.
    pub fn read(text: &str) -> Self {
        let mut list = Self::default();
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
        for word in lines.flat_map(str::split_whitespace) {
            match word.strip_suffix('*') {
                Some(beginning) => list.beginnings.push(plain(beginning)),
                None => drop(list.words.insert(plain(word))),
            }
        }
        // An empty beginning would forbid everything.
        list.beginnings.retain(|beginning| !beginning.is_empty());
        list
    }

    /// Whether one of the words is in a text.
    pub fn is_in(&self, text: &str) -> bool {
        let text = plain(text);
        text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).any(|word| {
            self.words.contains(word)
                || self.beginnings.iter().any(|beginning| word.starts_with(beginning.as_str()))
        })
    }
}

/// In lower case, with letters in the place of what is written for them.
fn plain(text: &str) -> String {
    let letter = |c: char| match c {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        other => other,
    };
    text.to_lowercase().chars().map(letter).collect()
}

/// Longest name of a worker, in characters.
pub const LONGEST_NAME: usize = 100;

/// Tags that a name may be dressed with.
const INLINE: [&str; 6] = ["b", "i", "u", "em", "strong", "code"];

/// A name as it is kept and shown: without NUL, cut, trimmed, and with markup turned into text.
///
/// A few inline tags survive if they are in pairs and say nothing else: `<b>fast</b>`.
///
/// Source: the resolution of workers in the v2 contract.
pub fn safe_name(sent: &str) -> String {
    safe_text(sent, LONGEST_NAME)
}

/// The same for any text, of which so many characters are kept.
pub fn safe_text(sent: &str, longest: usize) -> String {
    let clean: String = sent.trim().chars().filter(|c| *c != '\0').take(longest).collect();
    let clean = clean.trim();
    let kept = kept_tags(clean);
    let mut safe = String::with_capacity(clean.len());
    let mut skip_to = 0;
    for (at, c) in clean.char_indices() {
        if at < skip_to {
            continue;
        }
        match c {
            '<' => match kept.iter().find(|(begin, _)| *begin == at) {
                Some((begin, end)) => {
                    safe.push_str(&clean[*begin..*end]);
                    skip_to = *end;
                }
                None => safe.push_str("&lt;"),
            },
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            other => safe.push(other),
        }
    }
    safe
}

/// Where tags are that may stay, beginning and end: those that are closed in the order in which they
/// were opened.
fn kept_tags(text: &str) -> Vec<(usize, usize)> {
    let mut kept = Vec::new();
    let mut open: Vec<(&str, usize, usize)> = Vec::new();
    for (begin, _) in text.match_indices('<') {
        let Some(end) = text[begin..].find('>').map(|length| begin + length + 1) else { continue };
        let inside = &text[begin + 1..end - 1];
        let (is_closing, name) = match inside.strip_prefix('/') {
            Some(name) => (true, name),
            None => (false, inside),
        };
        if !INLINE.contains(&name) {
            continue;
        }
        if !is_closing {
            open.push((name, begin, end));
        } else if let Some(place) = open.iter().rposition(|(known, ..)| *known == name) {
            // What was opened within and not closed stays text.
            let (_, from, to) = open[place];
            open.truncate(place);
            kept.push((from, to));
            kept.push((begin, end));
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_found_whole_or_by_their_beginning_and_not_within_others() {
        let list = WordList::read("bad worse* # remark\n 3vil");
        for (text, is_found) in [
            ("a bad name", true),
            ("BAD", true),
            ("b@d_name", true),
            ("baden", false),
            ("worsening", true),
            ("unworse", false),
            ("evil", true),
            ("remark", false),
            ("", false),
        ] {
            assert_eq!(list.is_in(text), is_found, "{text:?}");
        }
        assert!(!WordList::read("* #").is_in("anything"));
        let built_in = WordList::built_in();
        assert!(built_in.is_in("sh1t_happens") && !built_in.is_in("Scunthorpe grapes, assistants"));
    }

    #[test]
    fn names_are_made_safe_to_show() {
        for (sent, kept) in [
            ("  a\0b ", "ab"),
            ("a & b", "a &amp; b"),
            ("1 < 2 > 0", "1 &lt; 2 &gt; 0"),
            ("<b>fast</b>", "<b>fast</b>"),
            ("<b><i>fast</i></b> & good", "<b><i>fast</i></b> &amp; good"),
            ("<b>&", "&lt;b&gt;&amp;"),
            ("<b>never <i>closed</b>", "<b>never &lt;i&gt;closed</b>"),
            ("</b>", "&lt;/b&gt;"),
            ("<b onclick=x>y</b>", "&lt;b onclick=x&gt;y&lt;/b&gt;"),
            ("<script>x</script>", "&lt;script&gt;x&lt;/script&gt;"),
            ("\"quotes\" 'stay'", "\"quotes\" 'stay'"),
            (" \0 ", ""),
        ] {
            assert_eq!(safe_name(sent), kept, "{sent:?}");
        }
        assert_eq!(safe_name(&"x".repeat(200)).len(), LONGEST_NAME);
    }

    proptest! {
        #[test]
        fn no_markup_survives_but_pairs_of_inline_tags(sent in "[<>/bi &a-c\"=]{0,60}") {
            let mut bare = safe_name(&sent);
            for tag in INLINE {
                prop_assert_eq!(
                    bare.matches(&format!("<{tag}>")).count(),
                    bare.matches(&format!("</{tag}>")).count()
                );
                bare = bare.replace(&format!("<{tag}>"), "").replace(&format!("</{tag}>"), "");
            }
            prop_assert!(!bare.contains(['<', '>']), "{}", bare);
        }
    }
}
