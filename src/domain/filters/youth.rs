//! Words and pictures of the young, built in: models that are made for adults draw nobody else.

use std::sync::LazyLock;

use regex::Regex;

/// Pictures of children, babies, nursing and families.
pub(super) const PICTURES: &[char] = &[
    '\u{1F476}',
    '\u{1F9D2}',
    '\u{1F466}',
    '\u{1F467}',
    '\u{1F46A}',
    '\u{1F6BC}',
    '\u{1F37C}',
    '\u{1F931}',
    '\u{1F47C}',
    '\u{1F6B8}',
];

/// What is not wanted in what is drawn from a prompt whose words were replaced.
pub(super) const UNWANTED: &str =
    "child, infant, toddler, baby, teenager, underage, adolescent, childlike body, young face";

/// Words and ages.
const YOUNG: &str = r"child(?:ren)?|childlike|kids?|kiddo|toddlers?|infants?|newborns?|baby|babies|minors?|teens?|teenagers?|teenaged?|pre ?teens?|tweens?|under ?aged?|juveniles?|adolescents?|youths?|youngsters?|school ?child(?:ren)?|kindergartene?rs?|pubescent|prepubescent|(?:[0-9]|1[0-7]) ?(?:years? ?old|y ?o)";
/// Words for those that become women.
const GIRLS: &str = r"(?:(?:school|little|young|teen(?:age)?) ?)?girls?|girly|lolis?|lolitas?|daughters?";
/// Words for those that become men.
const BOYS: &str = r"(?:(?:school|little|young|teen(?:age)?) ?)?boys?|boyish|shotas?";
/// Figures, as vocabularies of anime count them.
const COUNTED_GIRLS: &str = r"[0-9]\+?girls?";
const COUNTED_BOYS: &str = r"[0-9]\+?boys?";

struct Words {
    young: Regex,
    girls: Regex,
    boys: Regex,
    counted_girls: Regex,
    counted_boys: Regex,
}

static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let words = |list: &str| Regex::new(&format!(r"(?i)\b(?:{list})\b")).expect("the list is sound");
    Words {
        young: words(YOUNG),
        girls: words(GIRLS),
        boys: words(BOYS),
        counted_girls: words(COUNTED_GIRLS),
        counted_boys: words(COUNTED_BOYS),
    }
});

/// Whether a plain text speaks of the young. In anime, figures that are counted are of any age.
pub(super) fn is_in(plain: &str, is_anime: bool) -> bool {
    let Words { young, girls, boys, counted_girls, counted_boys } = &*WORDS;
    let is_counted = !is_anime && (counted_girls.is_match(plain) || counted_boys.is_match(plain));
    is_counted || young.is_match(plain) || girls.is_match(plain) || boys.is_match(plain)
}

/// A plain text with adults in the place of the young.
pub(super) fn grow_up(plain: &str, is_anime: bool) -> String {
    let Words { young, girls, boys, counted_girls, counted_boys } = &*WORDS;
    let mut rules = vec![(girls, "adult woman"), (boys, "adult man"), (young, "adult")];
    if !is_anime {
        rules.splice(0..0, [(counted_girls, "adult woman"), (counted_boys, "adult man")]);
    }
    rules
        .into_iter()
        .fold(plain.to_owned(), |text, (words, adults)| words.replace_all(&text, adults).into_owned())
}
