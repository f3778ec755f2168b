//! Documents for everybody, in Markdown with blanks: who runs the service, where it is, whom to write to.

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, html::push_html};

/// Which document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Topic {
    /// Terms of service.
    Terms,
    /// What is kept of those who use it.
    Privacy,
    /// Who pays for it.
    Sponsors,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Terms, Self::Privacy, Self::Sponsors];

    /// Its name in paths and settings.
    pub fn word(self) -> &'static str {
        match self {
            Self::Terms => "terms",
            Self::Privacy => "privacy",
            Self::Sponsors => "sponsors",
        }
    }

    /// Its title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Terms => "Terms of service",
            Self::Privacy => "Privacy",
            Self::Sponsors => "Sponsors",
        }
    }
}

/// What fills the blanks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operator {
    /// `{{title}}`: what the service is called.
    pub title: String,
    /// `{{url}}`: where it is.
    pub url: String,
    /// `{{contact}}`: an e-mail address; `None`: nobody said.
    pub contact: Option<String>,
}

impl Operator {
    /// Markdown with its blanks filled, without newlines around it.
    pub fn fill(&self, markdown: &str) -> String {
        let contact =
            self.contact.as_ref().map_or("its operator".to_owned(), |address| format!("<{address}>"));
        let filled = markdown.replace("{{title}}", &self.title).replace("{{url}}", &self.url);
        filled.replace("{{contact}}", &contact).trim_matches(['\n', '\r']).to_owned()
    }
}

/// Markdown as HTML. HTML within it is shown as it is written, and links lead to pages and mailboxes alone: what
/// is made of it may be put into any page.
pub fn html(markdown: &str) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let events = Parser::new_ext(markdown, options).map(|event| match event {
        Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            Event::Start(Tag::Link { link_type, dest_url: safe(dest_url, false), title, id })
        }
        Event::Start(Tag::Image { link_type, dest_url, title, id }) => {
            Event::Start(Tag::Image { link_type, dest_url: safe(dest_url, true), title, id })
        }
        other => other,
    });
    let mut html = String::new();
    push_html(&mut html, events);
    html.trim_end().to_owned()
}

/// A link, or none if it leads elsewhere than to a page, a mailbox or, for an image, to the image itself.
fn safe(url: CowStr<'_>, is_image: bool) -> CowStr<'_> {
    let scheme = url.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    let is_safe = match scheme.as_deref() {
        None => true,
        Some("http" | "https") => true,
        Some("mailto") => !is_image,
        Some("data") => is_image,
        // A colon behind a slash is part of a path.
        Some(other) => other.contains(['/', '?', '#']),
    };
    if is_safe { url } else { "".into() }
}

/// A text as it stands in HTML.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_are_filled() {
        let operator = Operator {
            title: "Our Grid".into(),
            url: "https://grid.example.org".into(),
            contact: Some("ops@example.org".into()),
        };
        let text = "\n# {{title}}\n\nAt {{url}}; write to {{contact}}. {{other}}\n\n";
        let filled = operator.fill(text);
        assert_eq!(
            filled,
            "# Our Grid\n\nAt https://grid.example.org; write to <ops@example.org>. {{other}}"
        );
        assert!(html(&filled).contains("<a href=\"mailto:ops@example.org\">ops@example.org</a>"));
        let nobody = Operator { contact: None, ..operator };
        assert!(nobody.fill(text).contains("write to its operator."));
    }

    #[test]
    fn nothing_that_acts_comes_out_of_markdown() {
        for (markdown, expected) in [
            ("# A *title*", "<h1>A <em>title</em></h1>"),
            ("a <b>b</b>", "<p>a &lt;b&gt;b&lt;/b&gt;</p>"),
            ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
            ("[x](https://a.example/y)", "<p><a href=\"https://a.example/y\">x</a></p>"),
            ("[x](/terms)", "<p><a href=\"/terms\">x</a></p>"),
            ("[x](/a:b)", "<p><a href=\"/a:b\">x</a></p>"),
            ("[x](JavaScript:alert%281%29)", "<p><a href=\"\">x</a></p>"),
            ("[x](data:text/html,y)", "<p><a href=\"\">x</a></p>"),
            (
                "![x](data:image/png;base64,AA==)",
                "<p><img src=\"data:image/png;base64,AA==\" alt=\"x\" /></p>",
            ),
            ("![x](vbscript:y)", "<p><img src=\"\" alt=\"x\" /></p>"),
        ] {
            assert_eq!(html(markdown), expected, "{markdown}");
        }
        assert_eq!(escape("<\"a\" & b>"), "&lt;&quot;a&quot; &amp; b&gt;");
    }
}
