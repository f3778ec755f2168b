//! Styles and collections: found in Records, picked for requests, changed by their authors.

use std::collections::HashMap;

use super::Host;
use crate::{
    domain::{
        CollectionId, Error, Result, SharedKeyId, StyleId, UserId,
        request::Kind,
        shared_key::SharedKey,
        style::{Collection, Lookup, MAX_OWNED, Query, Sought, Style, StyleChange, StyleName},
        user::KeyHash,
        warning::Warning,
    },
    engine::{self, Asked},
};

/// How often a change is begun anew when somebody else changed the same meanwhile.
const TRIES: usize = 20;

/// A style that was found for a request.
#[derive(Clone, Debug)]
pub struct Picked {
    /// The style.
    pub style: Style,
    /// The collection that it was picked from.
    pub collection: Option<CollectionId>,
    /// Who lends the key that pays for it, and the key, if it has one that may pay now.
    pub lender: Option<(UserId, SharedKeyId)>,
}

impl Host {
    /// Finds the style that a request asks for by ID or name, or one of the collection, by chance.
    ///
    /// # Errors
    /// [`Error::StyleNotFound`]; [`Error::BadRequest`] for one of another kind; [`Error::StoreUnavailable`].
    pub async fn pick_style(&self, text: &str, kind: Kind) -> Result<Picked> {
        let unknown = || Error::StyleNotFound(text.to_owned());
        let (style, collection) = match self.find_style(text, Some(kind)).await? {
            Some(style) => (style, None),
            None => {
                let collection = self.find_collection(text, Some(kind)).await?.ok_or_else(unknown)?;
                demand(collection.kind, kind)?;
                let mut members = self.members(&collection.members).await?;
                let count = members.len() as u64;
                let place = self.act(move |_, step, _| Ok(step.dice.below(count))).await?;
                let place = usize::try_from(place).unwrap_or(0);
                if place >= members.len() {
                    return Err(unknown());
                }
                (members.swap_remove(place), Some(collection.id))
            }
        };
        demand(style.kind, kind)?;
        // Their author is paid.
        self.bring_user(style.owner).await?;
        let lender = match style.shared_key {
            Some(key) => self.paying_key(key).await?.ok(),
            None => None,
        };
        Ok(Picked { style, collection, lender })
    }

    /// Who lends a key, if it may pay now; or why it may not.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn paying_key(&self, key: SharedKeyId) -> Result<Result<(UserId, SharedKeyId)>> {
        let found = self.payer_of_key(KeyHash::of(&key.to_string())).await?;
        let Some((owner, Some(key))) = found else {
            return Ok(Err(Error::BadRequest("there is no shared key with this ID".into())));
        };
        Ok(self.glance(|engine, now| engine.paying_key(owner, key, now)).map(|()| (owner, key)))
    }

    /// Whether a key that is lent pays for styles.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn is_for_styles(&self, key: SharedKeyId) -> Result<bool> {
        self.stored(self.shared.backend.records.is_for_styles(key).await)
    }

    /// A style by its ID.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn style(&self, id: StyleId) -> Result<Option<Style>> {
        Ok(self.stored(self.shared.backend.records.styles(&[id]).await)?.pop())
    }

    /// A style by its ID or name; of those of a name, one of the kind comes first.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn find_style(&self, text: &str, kind: Option<Kind>) -> Result<Option<Style>> {
        if let Some(id) = StyleId::parse(text)
            && let Some(style) = self.style(id).await?
        {
            return Ok(Some(style));
        }
        self.style_named(text, kind).await
    }

    /// A style by its name.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn style_named(&self, text: &str, kind: Option<Kind>) -> Result<Option<Style>> {
        let Lookup { sought, owner, name } = Lookup::parse(text);
        if sought == Some(Sought::Collection) {
            return Ok(None);
        }
        // Names are kept as they are shown.
        let name = crate::domain::markup::sanitise(name);
        self.stored(self.shared.backend.records.style_named(&name, owner, kind).await)
    }

    /// A collection by its ID or name.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn find_collection(&self, text: &str, kind: Option<Kind>) -> Result<Option<Collection>> {
        if let Some(id) = CollectionId::parse(text)
            && let Some(collection) = self.collection(id).await?
        {
            return Ok(Some(collection));
        }
        self.collection_named(text, kind).await
    }

    /// A collection by its name.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn collection_named(&self, text: &str, kind: Option<Kind>) -> Result<Option<Collection>> {
        let Lookup { sought, owner, name } = Lookup::parse(text);
        if sought == Some(Sought::Style) {
            return Ok(None);
        }
        let name = crate::domain::markup::sanitise(name);
        self.stored(self.shared.backend.records.collection_named(&name, owner, kind).await)
    }

    /// A collection by its ID.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn collection(&self, id: CollectionId) -> Result<Option<Collection>> {
        self.stored(self.shared.backend.records.collection(id).await)
    }

    /// Styles by their IDs, in this order, without those that are gone.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn members(&self, ids: &[StyleId]) -> Result<Vec<Style>> {
        let styles = self.stored(self.shared.backend.records.styles(ids).await)?;
        let mut found: HashMap<StyleId, Style> = styles.into_iter().map(|style| (style.id, style)).collect();
        Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
    }

    /// A page of the public styles.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn list_styles(&self, query: &Query) -> Result<Vec<Style>> {
        self.stored(self.shared.backend.records.list_styles(query).await)
    }

    /// A page of the public collections.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn list_collections(&self, query: &Query) -> Result<Vec<Collection>> {
        self.stored(self.shared.backend.records.list_collections(query).await)
    }

    /// The styles of an account, oldest first: all, or those that lists show.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn styles_of(&self, user: UserId, only_public: bool) -> Result<Vec<StyleName>> {
        self.stored(self.shared.backend.records.styles_of(user, !only_public).await)
    }

    /// What accounts are called, and the keys that pay for styles, as far as they are there.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn authors(&self, styles: &[Style]) -> Result<Authors> {
        let mut authors = Authors::default();
        for style in styles {
            self.bring_user(style.owner).await?;
            if let Some(key) = style.shared_key
                && let Some((lender, Some(key))) = self.payer_of_key(KeyHash::of(&key.to_string())).await?
            {
                let lent = self.glance(|engine, _| {
                    let user = engine.user(lender)?;
                    Some((user.username(), user.shared_key(key)?.clone()))
                });
                authors.keys.extend(lent.map(|lent| (key, lent)));
            }
            let name = self.glance(|engine, _| engine.user(style.owner).map(|user| user.username()));
            authors.names.insert(style.owner, name.unwrap_or_else(|| format!("#{}", style.owner)));
        }
        Ok(authors)
    }

    /// Makes a style.
    ///
    /// # Errors
    /// [`Error::NameTaken`]; [`Error::BadRequest`] if its author has too many; as
    /// [`Engine::make_style`](crate::engine::Engine::make_style).
    pub async fn make_style(&self, style: Style, asked: Asked) -> Result<(StyleId, Vec<Warning>)> {
        let (owned, _) = self.stored(self.shared.backend.records.styles_owned(style.owner).await)?;
        demand_room(owned, "styles")?;
        // Before what comes later in the contract's order; two at the same moment are told apart by Records.
        let named = self.shared.backend.records.style_named(&style.name, Some(style.owner), None).await;
        if self.stored(named)?.is_some() {
            return Err(Error::NameTaken("style", style.name));
        }
        self.act(move |engine, step, _| engine.make_style(step, style, &asked)).await
    }

    /// Changes a style: reads it, has it changed, and begins anew if somebody else was faster. What it asks
    /// for is judged if the change says what that is.
    ///
    /// # Errors
    /// [`Error::StyleNotFound`]; those of the change; as
    /// [`Engine::change_style`](crate::engine::Engine::change_style).
    pub async fn change_style(
        &self,
        id: StyleId,
        change: impl Fn(Style) -> Result<(Style, Option<Asked>)> + Send + Sync,
    ) -> Result<Vec<Warning>> {
        for _ in 0..TRIES {
            let style = self.style(id).await?.ok_or_else(|| Error::StyleNotFound(id.to_string()))?;
            let (style, asked) = change(style)?;
            match self.act(move |engine, step, _| engine.change_style(step, style, asked.as_ref())).await {
                Err(Error::Overtaken) => {}
                outcome => return outcome,
            }
        }
        Err(Error::Overtaken)
    }

    /// Deletes a style; collections have it no more.
    ///
    /// # Errors
    /// [`Error::StyleNotFound`].
    pub async fn drop_style(&self, id: StyleId) -> Result<()> {
        let dropped = self.write_style(StyleChange::Dropped(id)).await;
        dropped.map_err(|error| gone(error, Error::StyleNotFound(id.to_string())))
    }

    /// Makes a collection.
    ///
    /// # Errors
    /// [`Error::NameTaken`]; [`Error::BadRequest`] if its owner has too many.
    pub async fn make_collection(&self, mut collection: Collection) -> Result<CollectionId> {
        let (_, owned) = self.stored(self.shared.backend.records.styles_owned(collection.owner).await)?;
        demand_room(owned, "collections")?;
        let made = self.act(move |_, step, _| {
            collection.id = CollectionId(step.dice.uuid());
            (collection.created_at, collection.updated_at, collection.revision) = (step.now, step.now, 1);
            let id = collection.id;
            engine::keep_style(step, StyleChange::CollectionMade(collection));
            Ok(id)
        });
        made.await
    }

    /// Changes a collection, as [`Host::change_style`].
    ///
    /// # Errors
    /// [`Error::CollectionNotFound`], those of the change, [`Error::NameTaken`].
    pub async fn change_collection(
        &self,
        id: CollectionId,
        change: impl Fn(Collection) -> Result<Collection> + Send + Sync,
    ) -> Result<()> {
        for _ in 0..TRIES {
            let collection = self.collection(id).await?;
            let mut collection =
                change(collection.ok_or_else(|| Error::CollectionNotFound(id.to_string()))?)?;
            let changed = self.act(move |_, step, _| {
                (collection.updated_at, collection.revision) = (step.now, collection.revision + 1);
                engine::keep_style(step, StyleChange::CollectionChanged(collection));
                Ok(())
            });
            match changed.await {
                Err(Error::Overtaken) => {}
                outcome => return outcome,
            }
        }
        Err(Error::Overtaken)
    }

    /// Deletes a collection.
    ///
    /// # Errors
    /// [`Error::CollectionNotFound`].
    pub async fn drop_collection(&self, id: CollectionId) -> Result<()> {
        let dropped = self.write_style(StyleChange::CollectionDropped(id)).await;
        dropped.map_err(|error| gone(error, Error::CollectionNotFound(id.to_string())))
    }

    async fn write_style(&self, change: StyleChange) -> Result<()> {
        self.act(move |_, step, _| {
            engine::keep_style(step, change);
            Ok(())
        })
        .await
    }
}

/// What is told of those who made styles and of the keys that pay for them.
#[derive(Clone, Debug, Default)]
pub struct Authors {
    /// What accounts are called.
    pub names: HashMap<UserId, String>,
    /// Keys, with what those who lend them are called.
    pub keys: HashMap<SharedKeyId, (String, SharedKey)>,
}

fn demand(found: Kind, wanted: Kind) -> Result<()> {
    match found == wanted {
        true => Ok(()),
        false => Err(Error::BadRequest(format!(
            "this style is for {}s, and {} is asked for: take another style",
            found.word(),
            if wanted == Kind::Text { "a text" } else { "an image" }
        ))),
    }
}

fn demand_room(owned: usize, what: &str) -> Result<()> {
    match owned < MAX_OWNED {
        true => Ok(()),
        false => Err(Error::BadRequest(format!("you have {owned} {what} already: delete some first"))),
    }
}

/// What is dropped while it is not there was dropped by somebody else.
fn gone(error: Error, unknown: Error) -> Error {
    if matches!(error, Error::Overtaken) { unknown } else { error }
}
