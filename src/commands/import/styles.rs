//! Styles and collections of an AI Horde server as those of this one.
//!
//! Source: the source database of the v2 contract.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use serde_json::{Map, Value};

use super::cells::{Cells, Notes};
use crate::{
    backend::distributed::{
        Ask,
        Read::{Instant, Plain, Text},
    },
    commands::operator::SpareDice,
    domain::{
        CollectionId, ExampleId, SharedKeyId, StyleId, Timestamp, UserId,
        models::ModelReference,
        request::Kind,
        style::{Collection, Example, MAX_EXAMPLES, MAX_MEMBERS, MAX_MODELS, MAX_TAGS, Style},
        user::{Role, User},
    },
    engine::{self, Engine, Rules, Step},
    rpc,
};

const LONGEST_NAME: usize = 100;
const LONGEST_INFO: usize = 1000;
const LONGEST_PROMPT: usize = 65_536;
const LONGEST_PARAMS: usize = 64 << 10;
const LONGEST_MODEL: usize = 255;
const LONGEST_TAG: usize = 25;
const LONGEST_URL: usize = 2000;

/// Styles.
pub static STYLES: Ask = Ask {
    table: "styles",
    columns: &[
        ("id", Plain, true),
        ("style_type", Text(30), true),
        ("user_id", Plain, true),
        ("name", Text(LONGEST_NAME), true),
        ("prompt", Text(LONGEST_PROMPT), true),
        ("params", Text(LONGEST_PARAMS), true),
        ("info", Text(LONGEST_INFO), false),
        ("public", Plain, false),
        ("nsfw", Plain, false),
        ("use_count", Plain, false),
        ("created", Instant, false),
        ("updated", Instant, false),
        ("sharedkey_id", Plain, false),
    ],
    filter: "",
    order: &["created", "id"],
};
/// Their models.
pub static MODELS: Ask = Ask {
    table: "style_models",
    columns: &[("style_id", Plain, true), ("model", Text(LONGEST_MODEL), true)],
    filter: "",
    order: &["id"],
};
/// Their tags.
pub static TAGS: Ask = Ask {
    table: "style_tags",
    columns: &[("style_id", Plain, true), ("tag", Text(LONGEST_MODEL), true)],
    filter: "",
    order: &["id"],
};
/// Their examples.
pub static EXAMPLES: Ask = Ask {
    table: "style_examples",
    columns: &[
        ("id", Plain, true),
        ("style_id", Plain, true),
        ("url", Text(LONGEST_URL), true),
        ("primary", Plain, false),
    ],
    filter: "",
    order: &["id"],
};
/// Collections.
pub static COLLECTIONS: Ask = Ask {
    table: "style_collections",
    columns: &[
        ("id", Plain, true),
        ("style_type", Text(30), true),
        ("user_id", Plain, true),
        ("name", Text(LONGEST_NAME), true),
        ("info", Text(LONGEST_INFO), false),
        ("public", Plain, false),
        ("use_count", Plain, false),
        ("created", Instant, false),
        ("updated", Instant, false),
    ],
    filter: "",
    order: &["created", "id"],
};
/// Which styles collections have.
pub static MEMBERS: Ask = Ask {
    table: "style_collection_mapping",
    columns: &[("style_id", Plain, true), ("collection_id", Plain, true)],
    filter: "",
    order: &["collection_id", "style_id"],
};

/// What other tables say of styles.
#[derive(Default)]
pub struct Extras {
    models: HashMap<StyleId, Vec<String>>,
    tags: HashMap<StyleId, Vec<String>>,
    examples: HashMap<StyleId, Vec<Example>>,
    members: HashMap<CollectionId, Vec<StyleId>>,
}

impl Extras {
    /// Takes a row of one of the tables.
    pub fn take(&mut self, row: &Cells<'_>, table: &str) {
        let Some(style) = row.id("style_id").map(StyleId) else { return };
        match table {
            "style_models" => push(self.models.entry(style).or_default(), row.text("model"), MAX_MODELS),
            "style_tags" => push(self.tags.entry(style).or_default(), row.text("tag"), MAX_TAGS),
            "style_examples" => {
                let Some((id, url)) = row.id("id").zip(row.text("url")) else { return };
                let examples = self.examples.entry(style).or_default();
                // One more shows that there were more.
                if examples.len() <= MAX_EXAMPLES {
                    let is_primary = row.flag("primary");
                    examples.push(Example { id: ExampleId(id), url: url.to_owned(), is_primary });
                }
            }
            "style_collection_mapping" => {
                let Some(collection) = row.id("collection_id") else { return };
                let members = self.members.entry(CollectionId(collection)).or_default();
                if members.len() <= MAX_MEMBERS {
                    members.push(style);
                }
            }
            _ => {}
        }
    }
}

/// One more than may be shows that there were more.
fn push(list: &mut Vec<String>, text: Option<&str>, most: usize) {
    if let Some(text) = text.filter(|_| list.len() <= most) {
        list.push(text.to_owned());
    }
}

fn kind(row: &Cells<'_>) -> Result<Kind, &'static str> {
    match row.text("style_type") {
        Some("image") => Ok(Kind::Image),
        Some("text") => Ok(Kind::Text),
        _ => Err("it is of no kind that is known here"),
    }
}

fn owner(row: &Cells<'_>) -> Result<UserId, &'static str> {
    let owner = row.whole("user_id").map(UserId).filter(|id| *id != UserId::ANONYMOUS);
    owner.ok_or("nobody made it")
}

fn name(row: &Cells<'_>) -> Result<String, &'static str> {
    let name = row.text("name").unwrap_or_default();
    match () {
        () if name.chars().count() > LONGEST_NAME => Err("its name is longer than 100 characters"),
        () if name.contains(char::is_control) => Err("its name has control characters in it"),
        () => Ok(name.to_owned()),
    }
}

/// A style, with whatever key it names.
///
/// # Errors
/// Why it does not come over.
pub fn style(
    row: &Cells<'_>,
    extras: &Extras,
    now: Timestamp,
    notes: &mut Notes,
) -> Result<Style, &'static str> {
    let id = StyleId(row.id("id").ok_or("its ID is none that a style can have")?);
    let kind = kind(row)?;
    let owner = owner(row)?;
    let prompt = row.text("prompt").unwrap_or_default();
    if prompt.chars().count() > LONGEST_PROMPT || prompt.contains('\0') {
        return Err("its prompt is too long, or has NUL in it");
    }
    let params = serde_json::from_str(row.text("params").unwrap_or("{}"));
    let params: Map<String, Value> = params.map_err(|_| "its parameters cannot be read, or are too long")?;
    let created_at = row.at("created", now).unwrap_or(now);
    let mut style = Style {
        id,
        kind,
        owner,
        name: name(row)?,
        info: notes.said(row.text("info"), LONGEST_INFO, false),
        prompt: prompt.to_owned(),
        params,
        is_public: row.flag("public"),
        nsfw: row.flag("nsfw"),
        tags: listed(extras.tags.get(&id), MAX_TAGS, LONGEST_TAG, notes),
        models: listed(extras.models.get(&id), MAX_MODELS, LONGEST_MODEL, notes),
        examples: Vec::new(),
        shared_key: row.id("sharedkey_id").map(SharedKeyId),
        use_count: notes.count(row.whole("use_count")),
        created_at,
        updated_at: row.at("updated", now).unwrap_or(created_at),
        revision: 1,
    };
    for example in extras.examples.get(&id).into_iter().flatten() {
        let is_fit =
            example.url.chars().count() <= LONGEST_URL && rpc::example_link(example.url.clone()).is_ok();
        let is_new = style.examples.iter().all(|other| other.url != example.url && other.id != example.id);
        if is_fit && is_new && style.examples.len() < MAX_EXAMPLES {
            style.add_example(example.clone());
        } else {
            notes.add("examples that are no links, or too many, were left out");
        }
    }
    Ok(style)
}

fn listed(texts: Option<&Vec<String>>, most: usize, longest: usize, notes: &mut Notes) -> Vec<String> {
    let mut listed: Vec<String> = Vec::new();
    for text in texts.into_iter().flatten() {
        let is_fit = (1..=longest).contains(&text.chars().count()) && !text.contains(char::is_control);
        if !is_fit || listed.len() >= most {
            notes.add("tags or models that are too long, or too many, were left out");
        } else if !listed.contains(text) {
            listed.push(text.clone());
        }
    }
    listed
}

/// A collection of styles that are there.
///
/// # Errors
/// Why it does not come over.
pub fn collection(
    row: &Cells<'_>,
    extras: &Extras,
    there: &HashMap<StyleId, Kind>,
    now: Timestamp,
    notes: &mut Notes,
) -> Result<Collection, &'static str> {
    let id = CollectionId(row.id("id").ok_or("its ID is none that a collection can have")?);
    let kind = kind(row)?;
    let owner = owner(row)?;
    let all = extras.members.get(&id).map(Vec::as_slice).unwrap_or_default();
    let members: Vec<StyleId> =
        all.iter().filter(|style| there.get(style) == Some(&kind)).take(MAX_MEMBERS).copied().collect();
    if members.len() < all.len() {
        notes.add("styles that did not come over, are of another kind or too many were left out of it");
    }
    engine::count_members(members.len()).map_err(|_| "none of its styles is here")?;
    let created_at = row.at("created", now).unwrap_or(now);
    Ok(Collection {
        id,
        kind,
        owner,
        name: name(row)?,
        info: notes.said(row.text("info"), LONGEST_INFO, false),
        is_public: row.flag("public"),
        members,
        use_count: notes.count(row.whole("use_count")),
        created_at,
        updated_at: row.at("updated", now).unwrap_or(created_at),
        revision: 1,
    })
}

/// Judges styles and collections as if they were made anew over the API, but for words that are not wanted:
/// which are is for the operator to say.
pub struct Judge {
    engine: Engine,
    now: Timestamp,
}

impl Judge {
    /// Judges as of an instant.
    pub fn new(now: Timestamp) -> Self {
        Self { engine: Engine::new(Rules::default(), Arc::new(ModelReference::default())), now }
    }

    /// Makes a style fit to be shown, and says whether it may be as it is.
    ///
    /// # Errors
    /// What the API would say.
    pub fn style(&mut self, style: &mut Style, roles: Option<&BTreeSet<Role>>) -> crate::domain::Result<()> {
        let roles = roles.into_iter().flatten().copied().collect();
        let author = User { id: style.owner, roles, ..User::anonymous() };
        self.engine.learn_people(self.now, vec![author], Vec::new());
        engine::count_style(style.models.len(), style.tags.len())?;
        self.engine.clean_style(style)?;
        let asked = rpc::style_asks(style)?;
        let mut effects = Vec::new();
        let mut step = Step { now: self.now, dice: &mut SpareDice, effects: &mut effects };
        self.engine.make_style(&mut step, style.clone(), &asked).map(drop)
    }

    /// Makes a collection fit to be shown, and says whether it may be as it is.
    ///
    /// # Errors
    /// What the API would say.
    pub fn collection(&self, collection: &mut Collection) -> crate::domain::Result<()> {
        self.engine.clean_collection(collection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);
    const ID: &str = "dddddddd-0000-4000-8000-000000000001";

    fn values(ask: &Ask, cells: &[(&str, &str)]) -> Vec<Option<String>> {
        for (name, _) in cells {
            assert!(ask.columns.iter().any(|(column, ..)| column == name), "{name}");
        }
        let cell = |name: &str| cells.iter().rev().find(|(column, _)| *column == name);
        ask.columns.iter().map(|(name, ..)| cell(name).map(|(_, value)| (*value).to_owned())).collect()
    }

    /// Whether a style comes over, and what changes; with a model.
    fn read(cells: &[(&str, &str)]) -> (Result<Style, String>, usize) {
        let whole = [
            ("id", ID),
            ("style_type", "image"),
            ("user_id", "7"),
            ("name", "oil"),
            ("prompt", "{p}{np}"),
            ("params", "{}"),
            ("public", "true"),
        ];
        let mut extras = Extras::default();
        let model = values(&MODELS, &[("style_id", ID), ("model", "stable_diffusion")]);
        extras.take(&Cells::of(&MODELS, &model), MODELS.table);
        let values = values(&STYLES, &[&whole[..], cells].concat());
        let mut notes = Notes::default();
        let read = style(&Cells::of(&STYLES, &values), &extras, NOW, &mut notes).map_err(str::to_owned);
        let judged = read.and_then(|mut style| {
            let judged = Judge::new(NOW).style(&mut style, None);
            judged.map(|()| style).map_err(|error| error.to_string())
        });
        (judged, notes.0.len())
    }

    #[test]
    fn styles_are_what_the_api_takes() {
        let (long, prompt) = ("n".repeat(101), format!("{{p}}{{np}}{}", "x".repeat(LONGEST_PROMPT)));
        let huge = format!("{{\"steps\": 20, \"odd\": \"{}\"}}", "x".repeat(LONGEST_PARAMS));
        for (cells, is_taken, rule) in [
            (&[][..], true, "a plain one"),
            (&[("params", r#"{"steps": 22, "mystery": [1]}"#)], true, "what nobody knows stays"),
            (&[("style_type", "text"), ("prompt", "say {p}")], true, "of texts"),
            (&[("style_type", "text"), ("prompt", "say")], false, "which says where the prompt goes"),
            (&[("style_type", "music")], false, "of a kind that is known"),
            (&[("prompt", "{p}")], false, "both places"),
            (&[("prompt", "{p}{np}\u{0}")], false, "NUL"),
            (&[("prompt", &prompt)], false, "at length"),
            (&[("params", r#"{"steps": -4}"#)], false, "out of bounds"),
            (&[("params", r#"{"steps": "many"}"#)], false, "no number"),
            (&[("params", "[1]")], false, "no object"),
            (&[("params", "{")], false, "no JSON"),
            (&[("params", &huge)], false, "too large"),
            (&[("name", "")], false, "no name"),
            (&[("name", &long)], false, "a long name"),
            (&[("name", "a#1::style::b")], false, "somebody else's name"),
            (&[("name", "a\u{7}b")], false, "an odd name"),
            (&[("user_id", "0")], false, "everybody's"),
            (&[("id", "7")], false, "no ID"),
        ] {
            let (style, _) = read(cells);
            assert_eq!(style.is_ok(), is_taken, "{rule}: {style:?}");
        }
        let (style, changes) = read(&[("use_count", "-4"), ("info", "a <script>"), ("created", "5")]);
        let style = style.unwrap();
        assert_eq!((style.use_count, style.info.as_deref(), changes), (0, Some("a &lt;script&gt;"), 2));
        assert_eq!((style.created_at, style.revision), (Timestamp(5), 1));
    }

    #[test]
    fn lists_of_styles_are_cut_and_examples_are_links() {
        let mut extras = Extras::default();
        let mut take = |ask: &'static Ask, cells: &[(&str, &str)]| {
            let values = values(ask, &[&[("style_id", ID)], cells].concat());
            extras.take(&Cells::of(ask, &values), ask.table);
        };
        for n in 0..20 {
            take(&MODELS, &[("model", &format!("model {n}"))]);
            take(&TAGS, &[("tag", &format!("tag {n}"))]);
        }
        for (n, url) in ["https://x/1", "https://x/1", "javascript:x", "https://x/2"].iter().enumerate() {
            let id = format!("eeeeeeee-0000-4000-8000-00000000000{n}");
            take(&EXAMPLES, &[("id", &id), ("url", url), ("primary", "true")]);
        }
        let whole = [
            ("id", ID),
            ("style_type", "image"),
            ("user_id", "7"),
            ("name", "oil"),
            ("prompt", "{p}{np}"),
            ("params", "{}"),
        ];
        let values = values(&STYLES, &whole);
        let mut notes = Notes::default();
        let style = style(&Cells::of(&STYLES, &values), &extras, NOW, &mut notes).unwrap();
        assert_eq!((style.models.len(), style.tags.len(), notes.0.len()), (MAX_MODELS, MAX_TAGS, 2));
        let examples: Vec<_> = style.examples.iter().map(|one| (one.url.as_str(), one.is_primary)).collect();
        assert_eq!(examples, [("https://x/1", false), ("https://x/2", true)], "one is the primary one");
    }

    #[test]
    fn collections_have_styles_of_their_kind_that_are_there() {
        let id = "ffffffff-0000-4000-8000-000000000001";
        let style = |n: u8| format!("dddddddd-0000-4000-8000-0000000000{n:02}");
        let mut extras = Extras::default();
        for n in 1..=3 {
            let cells = [("style_id", &*style(n)), ("collection_id", id)];
            extras.take(&Cells::of(&MEMBERS, &values(&MEMBERS, &cells)), MEMBERS.table);
        }
        let there = |styles: &[(u8, Kind)]| -> HashMap<StyleId, Kind> {
            styles.iter().map(|(n, kind)| (StyleId::parse(&style(*n)).unwrap(), *kind)).collect()
        };
        let values =
            values(&COLLECTIONS, &[("id", id), ("style_type", "image"), ("user_id", "7"), ("name", "all")]);
        let row = Cells::of(&COLLECTIONS, &values);
        for (styles, members, rule) in [
            (&[(1, Kind::Image), (2, Kind::Image), (3, Kind::Image)][..], Some(3), "all of them"),
            (&[(1, Kind::Image), (2, Kind::Text)], Some(1), "those of its kind"),
            (&[(2, Kind::Text)], None, "none of its kind"),
            (&[], None, "none at all"),
        ] {
            let mut notes = Notes::default();
            let found = collection(&row, &extras, &there(styles), NOW, &mut notes);
            assert_eq!(found.ok().map(|found| found.members.len()), members, "{rule}");
            assert_eq!(notes.0.is_empty(), members == Some(3), "{rule}");
        }
    }
}
