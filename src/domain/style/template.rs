//! Prompts of styles: what is asked for takes the place of `{p}` and `{np}`.
//!
//! A prompt for images is split at its first `###`, into what is wanted and what is not. `{p}` stands for
//! the first, `{np}` for the second; a style without a `###` of its own gets one before the second. A
//! prompt for a text is wanted as a whole. All other braces are what they are.

use std::borrow::Cow;

use crate::domain::{Error, Result, request::Kind};

/// What parts what is wanted from what is not.
const PARTS: &str = "###";
const WANTED: &str = "{p}";
const UNWANTED: &str = "{np}";
/// Longest prompt that a style makes by saying what was asked for more than once, in bytes.
pub const LONGEST_REPEATED: usize = 1 << 20;

/// Whether a style's prompt can be filled.
///
/// # Errors
/// [`Error::BadRequest`]: it leaves out what is asked for.
pub fn check(kind: Kind, template: &str) -> Result<()> {
    let places: &[&str] = if kind == Kind::Text { &[WANTED] } else { &[WANTED, UNWANTED] };
    match places.iter().find(|place| !template.contains(**place)) {
        Some(place) => Err(Error::BadRequest(format!(
            "the prompt of this style lacks {place}, which stands for what is asked for: put it in"
        ))),
        None => Ok(()),
    }
}

/// The prompt that a style makes of another one.
///
/// # Errors
/// [`Error::BadRequest`]: it would say a long one over and over.
pub fn fill(kind: Kind, template: &str, prompt: &str) -> Result<String> {
    let (wanted, unwanted) = match prompt.split_once(PARTS) {
        Some((wanted, unwanted)) if kind != Kind::Text => (wanted, unwanted),
        _ => (prompt, ""),
    };
    let unwanted = match unwanted.is_empty() || template.contains(PARTS) {
        true => Cow::Borrowed(unwanted),
        false => Cow::Owned(format!("{PARTS}{unwanted}")),
    };
    let once = template.len() + wanted.len() + unwanted.len();
    let size = template.len()
        + template.matches(WANTED).count().saturating_mul(wanted.len())
        + template.matches(UNWANTED).count().saturating_mul(unwanted.len());
    if size > once.max(LONGEST_REPEATED) {
        return Err(Error::BadRequest(format!(
            "this style says the prompt more than once, and makes {size} bytes of it where {LONGEST_REPEATED} \
             are allowed: shorten the prompt"
        )));
    }
    let mut filled = String::with_capacity(size);
    let mut rest = template;
    // What was put in is not looked through again.
    while let Some(at) = rest.find('{') {
        let (before, brace) = rest.split_at(at);
        filled.push_str(before);
        let (put, length) = match () {
            () if brace.starts_with(WANTED) => (wanted, WANTED.len()),
            () if brace.starts_with(UNWANTED) => (&*unwanted, UNWANTED.len()),
            () => ("{", 1),
        };
        filled.push_str(put);
        rest = &brace[length..];
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_part_of_a_prompt_takes_its_place() {
        use Kind::{Image, Text};
        for (kind, template, prompt, filled, rule) in [
            (Image, "{p}{np}", "a cat", "a cat", "nothing unwanted, no mark"),
            (Image, "{p}{np}", "a cat###dogs", "a cat###dogs", "a mark of the style's is put in"),
            (Image, "{p}, oil{np}", "cat###dogs", "cat, oil###dogs", "before what is unwanted"),
            (Image, "{p}, oil###blur, {np}", "cat###dogs", "cat, oil###blur, dogs", "unless it has one"),
            (Image, "{p}, oil###blur{np}", "cat", "cat, oil###blur", "nothing is put in"),
            (Image, "{p}{np}", "a###b###c", "a###b###c", "the first mark parts"),
            (Image, "{p}{np}", "###b", "###b", "nothing wanted"),
            (Image, "{p}{np}", "a###", "a", "nothing after the mark"),
            (Image, "{p} {p}{np}", "a", "a a", "twice"),
            (Image, "{p}{np}", "{np}###{p}", "{np}###{p}", "what was put in is left alone"),
            (Image, "{a} {{p}} } { {p:1} {np}", "x", "{a} {x} } { {p:1} ", "other braces are literal"),
            (Image, "{{{p}}{np", "x", "{{x}{np", "also where they do not match"),
            (Text, "Say: {p}", "a###b", "Say: a###b", "texts are wanted as a whole"),
            (Text, "Say: {p}{np}.", "a", "Say: a.", "and nothing is unwanted"),
            (Text, "{é}{p}", "ü", "{é}ü", "of any letters"),
        ] {
            assert_eq!(fill(kind, template, prompt).unwrap(), filled, "{rule}: {template:?}");
        }
    }

    #[test]
    fn a_prompt_is_not_made_long_by_saying_it_over_and_over() {
        let (long, many) = ("x".repeat(LONGEST_REPEATED), "{p}".repeat(1000));
        assert!(fill(Kind::Text, "{p}", &long).is_ok(), "long as it was sent");
        assert!(fill(Kind::Text, "{p}{p}", &long).is_err());
        assert!(fill(Kind::Text, &many, "short").is_ok());
        assert!(fill(Kind::Image, &many, &format!("{}###y", &long[..2000])).is_err());
    }

    #[test]
    fn a_style_says_where_what_is_asked_for_goes() {
        for (kind, template, is_fit) in [
            (Kind::Image, "{p}{np}", true),
            (Kind::Image, "{p} ###", false),
            (Kind::Image, "{np}", false),
            (Kind::Text, "{p}", true),
            (Kind::Text, "{np}", false),
        ] {
            assert_eq!(check(kind, template).is_ok(), is_fit, "{template:?}");
        }
    }

    proptest! {
        #[test]
        fn any_style_takes_any_prompt(template in "[{}np#x:é]{0,40}", prompt in "[{}np#xé]{0,40}") {
            for kind in [Kind::Image, Kind::Text] {
                let filled = fill(kind, &template, &prompt).unwrap();
                if !template.contains("{p}") && !template.contains("{np}") {
                    prop_assert_eq!(&filled, &template, "without places it stays as it is");
                }
            }
        }
    }
}
