//! News for everybody, as an operator writes them down: JSON, or Markdown.
//!
//! ```text
//! # 2026-11-24 The title of a piece
//! Importance: Warning
//! Tags: workers, images
//! More: https://example.org/more
//!
//! The piece itself, in Markdown, until the next heading of this kind.
//! ```

use serde::Deserialize;

/// Pieces that are kept; older ones are left out.
pub const MAX_PIECES: usize = 100;

/// A piece of news. Whatever its writer left out is left out.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Piece {
    /// Day on which it was published, `YYYY-MM-DD`.
    pub date_published: Option<String>,
    /// The piece, in Markdown.
    pub newspiece: Option<String>,
    /// How much it matters.
    pub importance: Option<String>,
    /// What it is about.
    pub tags: Vec<String>,
    /// Its title.
    pub title: Option<String>,
    /// Where to read on.
    pub more_info_urls: Vec<String>,
}

/// Reads news, and puts the newest first.
///
/// # Errors
/// It looks like JSON and is not; where.
pub fn read(text: &str) -> Result<Vec<Piece>, serde_json::Error> {
    let mut pieces: Vec<Piece> = match text.trim_start().starts_with(['[', '{']) {
        true => serde_json::from_str(text)?,
        false => markdown(text),
    };
    // Of one day, in the order in which they were written.
    pieces.sort_by(|one, other| other.date_published.cmp(&one.date_published));
    pieces.truncate(MAX_PIECES);
    Ok(pieces)
}

fn markdown(text: &str) -> Vec<Piece> {
    let mut pieces: Vec<(Piece, Vec<&str>)> = Vec::new();
    let mut is_head = false;
    for line in text.lines() {
        if let Some((date, title)) = heading(line) {
            let title = (!title.is_empty()).then(|| title.to_owned());
            pieces.push((
                Piece { date_published: Some(date.to_owned()), title, ..Piece::default() },
                Vec::new(),
            ));
            is_head = true;
            continue;
        }
        // What stands before the first piece is for whoever reads the file.
        let Some((piece, body)) = pieces.last_mut() else { continue };
        is_head = is_head && attribute(piece, line);
        if !is_head {
            body.push(line);
        }
    }
    let finish = |(mut piece, body): (Piece, Vec<&str>)| {
        let body = body.join("\n").trim().to_owned();
        piece.newspiece = (!body.is_empty()).then_some(body);
        piece
    };
    pieces.into_iter().map(finish).collect()
}

/// `# 2026-11-24 Title`
fn heading(line: &str) -> Option<(&str, &str)> {
    let rest = line.strip_prefix('#')?.trim_start_matches('#').trim();
    let date = rest.get(..10)?;
    let is_date = date.char_indices().all(|(at, c)| match at {
        4 | 7 => c == '-',
        _ => c.is_ascii_digit(),
    });
    is_date.then(|| (date, rest[10..].trim()))
}

/// Takes a line below a heading; whether it is about the piece.
fn attribute(piece: &mut Piece, line: &str) -> bool {
    let Some((name, value)) = line.split_once(':') else { return false };
    let value = value.trim();
    match name.trim().to_ascii_lowercase().as_str() {
        "importance" => piece.importance = Some(value.to_owned()),
        "tags" => piece.tags.extend(value.split(',').map(|tag| tag.trim().to_owned())),
        "more" => piece.more_info_urls.push(value.to_owned()),
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_is_read_piece_by_piece_and_the_newest_comes_first() {
        let text = "Remarks for operators.\n\n# 2026-01-02 Older\nImportance: Info\nTags: a, b\n\
                    More: https://example.org/1\nMore: https://example.org/2\n\nThe *text*.\n\nTags: of the text\n\
                    ## 2026-11-24\nOnly text\n# No date\nstill the same";
        let pieces = read(text).unwrap();
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces[0].date_published.as_deref(), Some("2026-11-24"));
        assert_eq!(pieces[0].newspiece.as_deref(), Some("Only text\n# No date\nstill the same"));
        assert_eq!((&pieces[0].title, &pieces[0].importance, pieces[0].tags.len()), (&None, &None, 0));
        let older = Piece {
            date_published: Some("2026-01-02".into()),
            newspiece: Some("The *text*.\n\nTags: of the text".into()),
            importance: Some("Info".into()),
            tags: vec!["a".into(), "b".into()],
            title: Some("Older".into()),
            more_info_urls: vec!["https://example.org/1".into(), "https://example.org/2".into()],
        };
        assert_eq!(pieces[1], older);
    }

    #[test]
    fn json_is_read_with_whatever_is_left_out_and_bounded() {
        let pieces =
            read(r#"[{"newspiece": "undated"}, {"date_published": "2026-01-02", "later": 1}]"#).unwrap();
        assert_eq!(pieces[0].date_published.as_deref(), Some("2026-01-02"));
        assert_eq!(pieces[1].newspiece.as_deref(), Some("undated"));
        assert!(read("[{]").is_err());
        assert_eq!(read("").unwrap(), []);
        let many: Vec<_> = (0..200).map(|_| "{}").collect();
        assert_eq!(read(&format!("[{}]", many.join(","))).unwrap().len(), MAX_PIECES);
    }
}
