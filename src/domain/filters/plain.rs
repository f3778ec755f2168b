//! A prompt as it would be spoken: what dresses its words up is taken off.

use std::sync::LazyLock;

use regex::Regex;
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// Weights within weights that are unwrapped.
const DEPTH: usize = 8;
/// Single letters in a row that are a word.
const SPELT: usize = 3;

/// A weight around words: `(words:1.2)`.
static WEIGHT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"[(\[{]([^()\[\]{}:]*):\s*[0-9]*\.?[0-9]+\s*[)\]}]").expect("the pattern is sound")
});

/// Words with one space between them: weights unwrapped, accents folded, signs turned into spaces, and
/// letters that are spelt out joined. Case stays.
pub(super) fn plain(text: &str) -> String {
    let folded: String =
        text.nfkd().filter(|c| !is_combining_mark(*c) && !is_unseen(*c)).flat_map(letters).collect();
    let mut text = folded;
    for _ in 0..DEPTH {
        let unwrapped = WEIGHT.replace_all(&text, " $1 ");
        if unwrapped == text {
            break;
        }
        text = unwrapped.into_owned();
    }
    let text: String = text.chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
    let mut plain = String::with_capacity(text.len());
    let mut spelt: Vec<&str> = Vec::new();
    for word in text.split_whitespace() {
        let mut chars = word.chars();
        if chars.next().is_some_and(char::is_alphabetic) && chars.next().is_none() {
            spelt.push(word);
            continue;
        }
        put_spelt(&mut plain, &mut spelt);
        put(&mut plain, word);
    }
    put_spelt(&mut plain, &mut spelt);
    plain
}

/// One space between words, and none around them.
pub(super) fn collapse(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn put_spelt(plain: &mut String, spelt: &mut Vec<&str>) {
    match spelt.len() >= SPELT {
        true => put(plain, &spelt.concat()),
        false => spelt.iter().for_each(|letter| put(plain, letter)),
    }
    spelt.clear();
}

fn put(plain: &mut String, word: &str) {
    if !plain.is_empty() {
        plain.push(' ');
    }
    plain.push_str(word);
}

/// Whether nobody sees it: it parts words of patterns, and no word of a reader's.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// Letters with a stroke or a tail have no accent that could be taken off.
fn letters(c: char) -> impl Iterator<Item = char> {
    let ascii = match c {
        'ß' => "ss",
        'æ' => "ae",
        'Æ' => "AE",
        'œ' => "oe",
        'Œ' => "OE",
        'ø' => "o",
        'Ø' => "O",
        'đ' | 'ð' => "d",
        'Đ' | 'Ð' => "D",
        'ł' => "l",
        'Ł' => "L",
        'ı' => "i",
        'þ' => "th",
        'Þ' => "Th",
        _ => "",
    };
    let other = ascii.is_empty().then_some(c);
    ascii.chars().chain(other)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_dresses_words_up_is_taken_off() {
        for (sent, spoken) in [
            ("", ""),
            ("  a   cat ", "a cat"),
            ("a_cat, sitting!", "a cat sitting"),
            ("(a cat:1.2), [dog:.5]", "a cat dog"),
            ("((a:1.1) b:1.2)", "a b"),
            ("Ünïcödé ｆｕｌｌ Œuvre", "Unicode full OEuvre"),
            ("c a t", "cat"),
            ("a b", "a b"),
            ("a c.a.t 4 5 6", "acat 4 5 6"),
            ("ratio 16:9", "ratio 16 9"),
            ("日本 語", "日本 語"),
        ] {
            assert_eq!(plain(sent), spoken, "{sent:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_plain_is_words_with_one_space_between_them(sent in "\\PC{0,80}") {
            let plain = plain(&sent);
            prop_assert!(plain.chars().all(|c| c.is_alphanumeric() || c == ' '), "{}", plain);
            prop_assert_eq!(collapse(&plain), plain);
        }
    }
}
