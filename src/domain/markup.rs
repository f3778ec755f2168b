//! Markup in what strangers say of styles: a few tags stay, everything else is turned into text.
//!
//! What stays is what pages may show as it is: tags that are closed in the order in which they were
//! opened, with attributes that say something to people, and links that lead to pages or mailboxes.
//!
//! Source: the sanitising of the v2 contract.

/// Tags that may stay, and their attributes.
const TAGS: [(&str, &[&str]); 12] = [
    ("a", &["href", "title"]),
    ("abbr", &["title"]),
    ("acronym", &["title"]),
    ("b", &[]),
    ("blockquote", &[]),
    ("code", &[]),
    ("em", &[]),
    ("i", &[]),
    ("li", &[]),
    ("ol", &[]),
    ("strong", &[]),
    ("ul", &[]),
];
/// How links may begin.
const SCHEMES: [&str; 3] = ["http://", "https://", "mailto:"];
/// Longest name of a character: of `&CounterClockwiseContourIntegral;` and the like.
const LONGEST_CHARACTER: usize = 32;

/// A tag that may stay if it is closed, or closes what is open.
struct Tag<'a> {
    name: &'static str,
    is_closing: bool,
    attributes: Vec<(&'static str, &'a str)>,
    begin: usize,
    end: usize,
}

/// A text without markup but for what may stay, trimmed. What it made once it leaves as it is.
pub fn sanitise(text: &str) -> String {
    let tags = kept(text);
    let (mut safe, mut at) = (String::with_capacity(text.len()), 0);
    for tag in &tags {
        escape(&text[at..tag.begin], &mut safe);
        safe.push_str(if tag.is_closing { "</" } else { "<" });
        safe.push_str(tag.name);
        for (name, value) in &tag.attributes {
            safe.push(' ');
            safe.push_str(name);
            safe.push_str("=\"");
            escape(&value.replace('"', "&quot;"), &mut safe);
            safe.push('"');
        }
        safe.push('>');
        at = tag.end;
    }
    escape(&text[at..], &mut safe);
    safe.trim().to_owned()
}

/// Tags that stay, in their order.
fn kept(text: &str) -> Vec<Tag<'_>> {
    let (mut found, mut open): (Vec<(Tag<'_>, bool)>, Vec<usize>) = (Vec::new(), Vec::new());
    let mut from = 0;
    while let Some(begin) = text[from..].find('<').map(|at| from + at) {
        let Some(tag) = tag(text, begin) else {
            from = begin + 1;
            continue;
        };
        from = tag.end;
        if !tag.is_closing {
            open.push(found.len());
            found.push((tag, false));
        } else if let Some(place) = open.iter().rposition(|at| found[*at].0.name == tag.name) {
            // What was opened within and not closed is text.
            found[open[place]].1 = true;
            open.truncate(place);
            found.push((tag, true));
        }
    }
    found.into_iter().filter(|(_, stays)| *stays).map(|(tag, _)| tag).collect()
}

/// The tag that begins there, if it is one that may stay.
fn tag(text: &str, begin: usize) -> Option<Tag<'_>> {
    let inside = &text[begin + 1..];
    let (is_closing, inside) = match inside.strip_prefix('/') {
        Some(rest) => (true, rest),
        None => (false, inside),
    };
    let length = inside.find(|c: char| !c.is_ascii_alphanumeric())?;
    let (name, allowed) = *TAGS.iter().find(|(name, _)| inside[..length].eq_ignore_ascii_case(name))?;
    let (mut rest, mut attributes) = (&inside[length..], Vec::new());
    loop {
        let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r']);
        if let Some(after) = trimmed.strip_prefix('>') {
            let end = text.len() - after.len();
            return Some(Tag { name, is_closing, attributes, begin, end });
        }
        // An attribute stands apart from what is before it.
        if is_closing || trimmed.len() == rest.len() {
            return None;
        }
        let (word, value) = trimmed.split_once('=')?;
        let attribute = *allowed.iter().find(|known| word.eq_ignore_ascii_case(known))?;
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (value, after) = value[1..].split_once(quote)?;
        let leads_astray = attribute == "href" && !leads_on(value);
        if value.contains(['<', '>'])
            || leads_astray
            || attributes.iter().any(|(known, _)| *known == attribute)
        {
            return None;
        }
        attributes.push((attribute, value));
        rest = after;
    }
}

/// Whether a link leads where links may, written without any disguise.
fn leads_on(link: &str) -> bool {
    let begins =
        |scheme: &&str| link.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    SCHEMES.iter().any(begins) && !link.contains(|c: char| c.is_control())
}

/// Turns markup into text; names of characters stay.
fn escape(text: &str, out: &mut String) {
    for (at, c) in text.char_indices() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' if !names_a_character(&text[at + 1..]) => out.push_str("&amp;"),
            other => out.push(other),
        }
    }
}

/// Whether what follows a `&` makes it the name of a character.
fn names_a_character(rest: &str) -> bool {
    let Some(end) = rest.bytes().take(LONGEST_CHARACTER).position(|b| b == b';') else { return false };
    let name = &rest[..end];
    match name.strip_prefix('#') {
        None => {
            name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.bytes().all(|b| b.is_ascii_alphanumeric())
        }
        Some(number) => match number.strip_prefix(['x', 'X']) {
            Some(hex) => !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit()),
            None => !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_few_tags_stay_and_everything_else_is_text() {
        for (sent, kept) in [
            ("  plain \n", "plain"),
            ("a & b &amp; c &#38; d &#x26; &nope", "a &amp; b &amp; c &#38; d &#x26; &amp;nope"),
            ("1 < 2 > 0", "1 &lt; 2 &gt; 0"),
            ("<b>bold</b> <STRONG>x</STRONG>", "<b>bold</b> <strong>x</strong>"),
            ("<script>x</script>", "&lt;script&gt;x&lt;/script&gt;"),
            ("<b onclick='x'>y</b>", "&lt;b onclick='x'&gt;y&lt;/b&gt;"),
            (
                "<a href='https://x/?a&b' title=\"t\">y</a>",
                "<a href=\"https://x/?a&amp;b\" title=\"t\">y</a>",
            ),
            ("<a href=\"javascript:x\">y</a>", "&lt;a href=\"javascript:x\"&gt;y&lt;/a&gt;"),
            ("<a href=\"java&#115;cript:x\">y</a>", "&lt;a href=\"java&#115;cript:x\"&gt;y&lt;/a&gt;"),
            ("<a href=https://x>y</a>", "&lt;a href=https://x&gt;y&lt;/a&gt;"),
            ("<abbr title='\"><i>'>x</abbr>", "&lt;abbr title='\"&gt;&lt;i&gt;'&gt;x&lt;/abbr&gt;"),
            ("<b>open", "&lt;b&gt;open"),
            ("shut</b>", "shut&lt;/b&gt;"),
            ("<b><i>x</b></i>", "<b>&lt;i&gt;x</b>&lt;/i&gt;"),
            ("<b/>", "&lt;b/&gt;"),
            ("<!-- x --><", "&lt;!-- x --&gt;&lt;"),
            ("<ul><li>ä</li></ul>", "<ul><li>ä</li></ul>"),
        ] {
            assert_eq!(sanitise(sent), kept, "{sent:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_made_safe_stays_so(sent in "[<>/abi &;#x1\"'= ä:]{0,60}") {
            let once = sanitise(&sent);
            prop_assert_eq!(&sanitise(&once), &once);
            prop_assert_eq!(once.matches('<').count(), once.matches('>').count());
        }

        #[test]
        fn no_tag_survives_that_is_not_listed(tag in "[a-z]{1,10}", rest in "[ =\"'a-z:/]{0,20}") {
            let safe = sanitise(&format!("<{tag}{rest}>x</{tag}>"));
            let is_listed = TAGS.iter().any(|(name, _)| safe.starts_with(&format!("<{name}")));
            prop_assert!(is_listed || !safe.contains('<'), "{}", safe);
            prop_assert!(!safe.contains("javascript:") || !safe.contains("<a"), "{}", safe);
        }
    }
}
