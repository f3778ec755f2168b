//! Styles: what models, prompts and parameters are kept under a name, for everybody to ask for; and
//! collections, of which a request gets one style by chance.

mod lookup;
mod template;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{CollectionId, ExampleId, Kudos, SharedKeyId, StyleId, Timestamp, UserId, request::Kind};

pub use lookup::{Lookup, Sought};
pub use template::{LONGEST_REPEATED, check as check_template, fill};

/// Styles or collections of a page of a list.
pub const PAGE: u32 = 25;
/// Pages after the last one that is looked up.
pub const LAST_PAGE: u32 = 10_000;
/// What the author of a style gets each time that somebody else asks for it, and they pay.
pub const THANKS: Kudos = Kudos::whole(2);
/// Most models of a style.
pub const MAX_MODELS: usize = 5;
/// Most tags of a style.
pub const MAX_TAGS: usize = 10;
/// Most examples of a style.
pub const MAX_EXAMPLES: usize = 4;
/// Most styles of a collection.
pub const MAX_MEMBERS: usize = 100;
/// Most styles that an account may have, and most collections.
pub const MAX_OWNED: usize = 1000;

/// A style.
///
/// Source: the styles of the v2 contract.
#[derive(Clone, PartialEq, Debug)]
pub struct Style {
    /// Its ID.
    pub id: StyleId,
    /// What it is for: images (and with them videos), or texts.
    pub kind: Kind,
    /// Its author.
    pub owner: UserId,
    /// Its name; an author has one style of a name.
    pub name: String,
    /// What its author says of it.
    pub info: Option<String>,
    /// What becomes of prompts: `{p}` and `{np}` stand for what is asked for.
    pub prompt: String,
    /// Parameters, as they were sent; those that nobody knows among them.
    pub params: Map<String, Value>,
    /// Whether lists show it. By ID and name everybody finds it.
    pub is_public: bool,
    /// Its author says that it is not for everybody's eyes.
    pub nsfw: bool,
    /// Words that it is found by.
    pub tags: Vec<String>,
    /// Models that may be used.
    pub models: Vec<String>,
    /// Pictures that show what it looks like; one of them is the primary one.
    pub examples: Vec<Example>,
    /// The key that pays for what is asked for with it, as long as it may.
    pub shared_key: Option<SharedKeyId>,
    /// How often it was asked for.
    pub use_count: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts its changes: one that rests on another revision does not hold.
    pub revision: i64,
}

/// A picture that shows what a style looks like.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Example {
    /// Its ID.
    pub id: ExampleId,
    /// Where it is; nobody fetches it here.
    pub url: String,
    /// It is shown first.
    pub is_primary: bool,
}

/// A collection of styles.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Collection {
    /// Its ID.
    pub id: CollectionId,
    /// The kind of all its styles.
    pub kind: Kind,
    /// Who made it.
    pub owner: UserId,
    /// Its name; an account has one collection of a name.
    pub name: String,
    /// What its owner says of it.
    pub info: Option<String>,
    /// Whether lists show it.
    pub is_public: bool,
    /// Its styles; those that were deleted since are passed over.
    pub members: Vec<StyleId>,
    /// How often it was asked for.
    pub use_count: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts its changes, as those of a style.
    pub revision: i64,
}

/// A style in brief.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StyleName {
    /// Its ID.
    pub id: StyleId,
    /// What it is for.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

/// What comes first in a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sort {
    /// What is asked for most.
    #[default]
    Popular,
    /// What was made first.
    Age,
}

/// Which public styles or collections are asked for: a page of them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Query {
    /// Of this kind only.
    pub kind: Option<Kind>,
    /// In this order.
    pub sort: Sort,
    /// Counted from 0.
    pub page: u32,
    /// With this tag only.
    pub tag: Option<String>,
    /// With this model only.
    pub model: Option<String>,
}

/// A durable change of styles or collections.
#[derive(Clone, PartialEq, Debug)]
pub enum StyleChange {
    /// A style was made. Refused if its author has one of the name.
    Made(Style),
    /// A style was changed, and has this revision now. Refused if it had not the one before, or if its
    /// author has another one of the name. How often it was asked for is not in it.
    Changed(Style),
    /// A style goes. Refused if there is none.
    Dropped(StyleId),
    /// As `Made`.
    CollectionMade(Collection),
    /// As `Changed`.
    CollectionChanged(Collection),
    /// As `Dropped`.
    CollectionDropped(CollectionId),
    /// A request was accepted that asks for a style.
    Used(Use),
}

/// A use of a style.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Use {
    /// The style.
    pub style: StyleId,
    /// What it is for.
    pub kind: Kind,
    /// The collection that it was picked from.
    pub collection: Option<CollectionId>,
    /// Its author, if the use counts for them.
    pub thanked: Option<UserId>,
}

impl StyleChange {
    /// The author for whom it counts, if it is a use that does.
    pub fn thanked(&self) -> Option<UserId> {
        match self {
            Self::Used(used) => used.thanked,
            _ => None,
        }
    }
}

impl Style {
    /// Adds an example; the first one is the primary one, and a new primary one takes the place of the old.
    pub fn add_example(&mut self, example: Example) {
        let is_primary = example.is_primary || self.examples.is_empty();
        if is_primary {
            self.examples.iter_mut().for_each(|other| other.is_primary = false);
        }
        self.examples.push(Example { is_primary, ..example });
    }

    /// Makes an example the primary one.
    pub fn show_first(&mut self, id: ExampleId) {
        self.examples.iter_mut().for_each(|example| example.is_primary = example.id == id);
    }

    /// Takes an example away; was it the primary one, the oldest that is left takes its place.
    pub fn drop_example(&mut self, id: ExampleId) {
        self.examples.retain(|example| example.id != id);
        if self.examples.iter().all(|example| !example.is_primary)
            && let Some(first) = self.examples.first_mut()
        {
            first.is_primary = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn example(n: u128, is_primary: bool) -> Example {
        Example { id: ExampleId(Uuid::from_u128(n)), url: format!("https://x/{n}"), is_primary }
    }

    fn style() -> Style {
        Style {
            id: StyleId(Uuid::from_u128(1)),
            kind: Kind::Image,
            owner: UserId(1),
            name: "a".into(),
            info: None,
            prompt: "{p}{np}".into(),
            params: Map::new(),
            is_public: true,
            nsfw: false,
            tags: vec![],
            models: vec![],
            examples: vec![],
            shared_key: None,
            use_count: 0,
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
            revision: 1,
        }
    }

    #[test]
    fn one_example_is_the_primary_one_whatever_comes_and_goes() {
        let mut style = style();
        let primary = |style: &Style| -> Vec<u128> {
            style.examples.iter().filter(|one| one.is_primary).map(|one| one.id.0.as_u128()).collect()
        };
        style.add_example(example(1, false));
        assert_eq!(primary(&style), [1], "the first one is");
        style.add_example(example(2, false));
        assert_eq!(primary(&style), [1]);
        style.add_example(example(3, true));
        assert_eq!(primary(&style), [3], "a new one demotes the old one");
        style.show_first(example(2, true).id);
        assert_eq!(primary(&style), [2]);
        style.drop_example(example(2, true).id);
        assert_eq!(primary(&style), [1], "one of the others, not all");
        style.drop_example(example(3, true).id);
        assert_eq!(primary(&style), [1]);
        style.drop_example(example(1, true).id);
        assert!(style.examples.is_empty());
        style.add_example(example(4, true));
        assert_eq!(primary(&style), [4], "a first one that says so");
    }
}
