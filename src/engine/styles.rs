//! Styles: who may make and change them, and what becomes of a request that asks for one.
//!
//! They lie in Records alone, which know whether a name is taken and whether somebody else changed one
//! meanwhile. The engine judges them, and pays their authors.

use super::{Asked, Engine, Step, params};
use crate::domain::{
    CollectionId, Error, Kudos, RequestId, Result, SharedKeyId, StyleId, UserId,
    kudos::Posting,
    markup::sanitise,
    record::Record,
    request::Kind,
    source::Source,
    style::{
        Collection, Lookup, MAX_MEMBERS, MAX_MODELS, MAX_TAGS, Style, StyleChange, THANKS, Use,
        check_template,
    },
    user::{Role, User},
    warning::{Warning, warnings},
};

/// The style that a request asks for.
#[derive(Clone, PartialEq, Debug)]
pub struct Styled {
    /// Which.
    pub style: StyleId,
    /// What it is for.
    pub kind: Kind,
    /// The collection that it was picked from.
    pub collection: Option<CollectionId>,
    /// Its author.
    pub author: UserId,
    /// Who asks, whoever pays.
    pub asker: UserId,
    /// The key that pays is the style's: its bounds are for those alone who ask with it themselves.
    pub lends: bool,
}

impl Styled {
    /// The author, if the use counts for them: not if they ask or pay for it themselves.
    fn thanked(&self, payer: UserId) -> Option<UserId> {
        (self.author != payer && self.author != self.asker).then_some(self.author)
    }
}

/// What an account says of a style or a collection of its own.
enum Owned<'a> {
    Style(&'a Style),
    Collection(&'a Collection),
}

impl Engine {
    /// What a request costs at once because of its style: what its author gets.
    pub(super) fn style_fee(styled: Option<&Styled>, payer: UserId) -> Kudos {
        styled.and_then(|styled| styled.thanked(payer)).map_or(Kudos::ZERO, |_| THANKS)
    }

    /// Counts the use of a style, and pays its author.
    pub(super) fn use_style(
        &mut self,
        step: &mut Step<'_>,
        request: RequestId,
        styled: Option<&Styled>,
        payer: UserId,
    ) {
        let Some(styled) = styled else { return };
        let thanked = styled.thanked(payer).filter(|author| self.accounts.get(*author).is_some());
        let Styled { style, kind, collection, .. } = *styled;
        keep_style(step, StyleChange::Used(Use { style, kind, collection, thanked }));
        let Some(author) = thanked else { return };
        if let Some(user) = self.accounts.get_mut(author) {
            user.stats.style_uses[usize::from(kind == Kind::Text)] += 1;
        }
        let posting = Posting::style(request, author, THANKS, step.now);
        self.accounts.post(step, author, THANKS, Source::Styled, posting);
    }

    /// Makes a style: the last of the contract's checks, which come after those of who asks.
    ///
    /// # Errors
    /// Rules of parameters as for requests; [`Error::BadRequest`].
    pub fn make_style(
        &self,
        step: &mut Step<'_>,
        mut style: Style,
        asked: &Asked,
    ) -> Result<(StyleId, Vec<Warning>)> {
        let warnings = self.vet_style(&style, asked)?;
        style.id = StyleId(step.dice.uuid());
        (style.created_at, style.updated_at, style.revision) = (step.now, step.now, 1);
        let id = style.id;
        keep_style(step, StyleChange::Made(style));
        Ok((id, warnings))
    }

    /// Changes a style, which was read at its revision; `asked`: what it asks for, if that changed.
    ///
    /// # Errors
    /// As [`Engine::make_style`].
    pub fn change_style(
        &self,
        step: &mut Step<'_>,
        mut style: Style,
        asked: Option<&Asked>,
    ) -> Result<Vec<Warning>> {
        let warnings = asked.map_or(Ok(Vec::new()), |asked| self.vet_style(&style, asked))?;
        (style.updated_at, style.revision) = (step.now, style.revision + 1);
        keep_style(step, StyleChange::Changed(style));
        Ok(warnings)
    }

    /// Whether a style may be as it is: parameters, models and prompt.
    fn vet_style(&self, style: &Style, asked: &Asked) -> Result<Vec<Warning>> {
        let author = self.accounts.get(style.owner).ok_or(Error::InvalidApiKey)?;
        params::check_style(asked, author, &*self.models)?;
        check_template(style.kind, &style.prompt)?;
        Ok(warnings(&asked.spec, &*self.models))
    }

    /// Makes what an account says of a style fit to be shown: names, tags and the rest of it.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for words that are not wanted, and names that read as something else.
    pub fn clean_style(&self, style: &mut Style) -> Result<()> {
        self.clean(&Owned::Style(style))?;
        style.name = sanitise(&style.name);
        style.info = style.info.as_deref().map(sanitise).filter(|info| !info.is_empty());
        let tags = style.tags.iter().map(|tag| sanitise(tag)).filter(|tag| !tag.is_empty());
        style.tags = unique(tags);
        style.models = unique(style.models.drain(..));
        named(&style.name)
    }

    /// The same, of a collection.
    ///
    /// # Errors
    /// As [`Engine::clean_style`].
    pub fn clean_collection(&self, collection: &mut Collection) -> Result<()> {
        self.clean(&Owned::Collection(collection))?;
        collection.name = sanitise(&collection.name);
        collection.info = collection.info.as_deref().map(sanitise).filter(|info| !info.is_empty());
        named(&collection.name)
    }

    fn clean(&self, owned: &Owned<'_>) -> Result<()> {
        let texts: Vec<(&str, &str)> = match owned {
            Owned::Style(style) => {
                let words = [("name", Some(&style.name)), ("info", style.info.as_ref())];
                let words = words.into_iter().filter_map(|(what, text)| Some((what, text?.as_str())));
                let tags = style.tags.iter().map(|tag| ("tag", tag.as_str()));
                words.chain(tags).chain(style.models.iter().map(|model| ("model", model.as_str()))).collect()
            }
            Owned::Collection(collection) => {
                let words = [("name", Some(&collection.name)), ("info", collection.info.as_ref())];
                words.into_iter().filter_map(|(what, text)| Some((what, text?.as_str()))).collect()
            }
        };
        let words = &self.rules.people.profanity;
        match texts.into_iter().find(|(_, text)| words.is_in(text)) {
            Some((what, _)) => Err(Error::BadRequest(format!(
                "the {what} contains a word that is not wanted here: say it in other words"
            ))),
            None => Ok(()),
        }
    }

    /// Whether an account may make styles and collections of its own at all.
    ///
    /// # Errors
    /// [`Error::DeletedUser`].
    pub fn may_author(&self, author: UserId) -> Result<()> {
        let is_leaving = self.accounts.get(author).is_some_and(|user: &User| user.is(Role::Deleted));
        if is_leaving { Err(Error::DeletedUser) } else { Ok(()) }
    }

    /// Whether an account keeps order here.
    pub fn keeps_order(&self, caller: UserId) -> bool {
        self.accounts.get(caller).is_some_and(User::keeps_order)
    }

    /// A key that is lent, if it may pay now.
    ///
    /// # Errors
    /// [`Error::BadRequest`]: there is none, it is empty, or its time is over.
    pub fn paying_key(&self, owner: UserId, key: SharedKeyId, now: crate::domain::Timestamp) -> Result<()> {
        let key = self.accounts.get(owner).and_then(|user| user.shared_key(key));
        let key = key.ok_or_else(|| Error::BadRequest("there is no shared key with this ID".into()))?;
        if key.is_empty() {
            return Err(Error::BadRequest(
                "this shared key has no kudos left: give it some, or take another".into(),
            ));
        }
        if key.is_expired(now) {
            return Err(Error::BadRequest("the time of this shared key is over: take another one".into()));
        }
        Ok(())
    }
}

/// Writes a change down that needs no judgement.
pub fn keep_style(step: &mut Step<'_>, change: StyleChange) {
    step.persist(Record::Style(Box::new(change)));
}

/// Whether there are as many models and tags as there may be.
///
/// # Errors
/// [`Error::BadRequest`].
pub fn count_style(models: usize, tags: usize) -> Result<()> {
    if !(1..=MAX_MODELS).contains(&models) {
        return Err(Error::BadRequest(format!(
            "a style has 1 to {MAX_MODELS} models, and these are {models}"
        )));
    }
    if tags > MAX_TAGS {
        return Err(Error::BadRequest(format!("a style has at most {MAX_TAGS} tags, and these are {tags}")));
    }
    Ok(())
}

/// Whether there are as many styles in a collection as there may be.
///
/// # Errors
/// [`Error::BadRequest`].
pub fn count_members(members: usize) -> Result<()> {
    match (1..=MAX_MEMBERS).contains(&members) {
        true => Ok(()),
        false => Err(Error::BadRequest(format!(
            "a collection has 1 to {MAX_MEMBERS} styles, and these are {members}"
        ))),
    }
}

/// A name that is left of what was sent, and by which it is found.
fn named(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::BadRequest("the name is empty: give one".into()));
    }
    if !Lookup::is_plain(name) {
        return Err(Error::BadRequest(format!(
            "{name:?} reads as the name of somebody's style or collection: choose one without 'style::', \
             'collection::' or 'alias#id::'"
        )));
    }
    Ok(())
}

fn unique(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = Vec::new();
    for text in texts {
        if !seen.contains(&text) {
            seen.push(text);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{Timestamp, request::Spec, shared_key::SharedKey, user::KeyHash, words::WordList},
        engine::{
            Effect, NewSharedKey, NewUser, PeopleRules, Rules,
            stage::{Stage, image_spec, text_spec},
        },
    };

    fn account(stage: &mut Stage, alias: &str) -> UserId {
        let new = NewUser {
            alias: alias.into(),
            key: KeyHash::of(alias),
            kudos: Kudos::whole(1000),
            roles: vec![],
            concurrency: 100,
            worker_invites: 0,
        };
        stage.act(|engine, step| engine.add_user(step, new)).unwrap().id
    }

    fn styled(author: UserId, asker: UserId) -> Styled {
        Styled {
            style: StyleId(uuid::Uuid::from_u128(7)),
            kind: Kind::Image,
            collection: None,
            author,
            asker,
            lends: false,
        }
    }

    fn submit(stage: &mut Stage, owner: UserId, asked: Asked) -> Result<()> {
        let id = RequestId(uuid::Uuid::new_v4());
        stage.act(|engine, step| engine.submit(step, id, owner, asked)).map(drop)
    }

    fn balance(stage: &Stage, user: UserId) -> Kudos {
        stage.engine.user(user).unwrap().balance
    }

    #[test]
    fn authors_are_thanked_by_others_and_never_by_themselves() {
        let mut stage = Stage::new();
        let [author, other, third] = ["author", "other", "third"].map(|alias| account(&mut stage, alias));
        for (payer, asker, cost, thanks, rule) in [
            (other, other, 3, 2, "somebody else asks"),
            (author, author, 1, 0, "the author asks"),
            (other, author, 1, 0, "the author asks, and another one's key pays"),
            (author, other, 1, 0, "another one asks, and the author's key pays"),
            (third, other, 3, 2, "another one asks, and a third one's key pays"),
        ] {
            let before = [payer, author].map(|user| balance(&stage, user));
            let total = stage.engine.total_balance();
            stage.log.clear();
            let asked = Asked { styled: Some(styled(author, asker)), ..image_spec(1).into() };
            submit(&mut stage, payer, asked).unwrap();
            let gained = balance(&stage, author) - before[1];
            if payer != author {
                assert_eq!(before[0] - balance(&stage, payer), Kudos::whole(cost), "{rule}");
                assert_eq!(gained, Kudos::whole(thanks), "{rule}");
            } else {
                assert_eq!(gained, Kudos::whole(-cost), "{rule}");
            }
            let used = stage.log.iter().filter_map(|effect| match effect {
                Effect::Persist(Record::Style(change)) => Some((**change).clone()),
                _ => None,
            });
            let used: Vec<_> = used.collect();
            let [StyleChange::Used(used)] = &used[..] else { panic!("{rule}: {used:?}") };
            assert_eq!(used.thanked, (thanks > 0).then_some(author), "{rule}");
            assert_eq!(stage.engine.total_balance() - total, Kudos::whole(thanks - cost), "{rule}");
        }
        assert_eq!(stage.engine.user(author).unwrap().stats.style_uses, [2, 0]);
    }

    #[test]
    fn nothing_is_paid_for_what_is_refused() {
        let mut stage = Stage::new();
        let [author, other] = ["author", "other"].map(|alias| account(&mut stage, alias));
        let styled = Some(styled(author, other));
        let asked = Asked { styled, unknown_worker: Some("x".into()), ..image_spec(1).into() };
        stage.log.clear();
        assert!(submit(&mut stage, other, asked).is_err());
        assert!(stage.log.is_empty(), "{:?}", stage.log);
        assert_eq!([author, other].map(|user| balance(&stage, user)), [Kudos::whole(1000); 2]);
    }

    fn lend(stage: &mut Stage, owner: UserId) -> SharedKey {
        let new = NewSharedKey {
            owner,
            name: None,
            kudos: 100,
            days: -1,
            max_image_pixels: 64,
            max_image_steps: -1,
            max_text_tokens: -1,
            is_counted: false,
        };
        stage.act(|engine, step| engine.lend(step, new)).unwrap()
    }

    #[test]
    fn a_key_of_styles_pays_for_them_alone_and_its_sizes_are_for_others() {
        let mut stage = Stage::new();
        let [author, lender, other] = ["author", "lender", "other"].map(|alias| account(&mut stage, alias));
        let key = lend(&mut stage, lender);
        let told = |outcome: Result<()>| match outcome {
            Ok(()) => "in",
            Err(Error::SharedKeyAssignedStyles) => "SharedKeyAssignedStyles",
            Err(Error::BadRequest(_)) => "BadRequest",
            Err(other) => panic!("{other}"),
        };
        let with = |spec: Spec| Asked { shared_key: Some(key.id), ..spec.into() };
        let lent = Some(Styled { lends: true, ..styled(author, other) });
        for (asked, verdict, rule) in [
            (with(text_spec(1)), "in", "a key like others"),
            (with(image_spec(1)), "BadRequest", "with its bounds"),
            (
                Asked { key_is_for_styles: true, ..with(text_spec(1)) },
                "SharedKeyAssignedStyles",
                "for styles",
            ),
            (Asked { styled: lent, ..with(image_spec(1)) }, "in", "a style's, without its bounds"),
            (Asked { styled: Some(styled(author, other)), ..with(image_spec(1)) }, "BadRequest", "its own"),
        ] {
            assert_eq!(told(submit(&mut stage, lender, asked)), verdict, "{rule}");
        }
        let left = stage.engine.user(lender).unwrap().shared_key(key.id).unwrap().clone();
        assert_eq!(left.utilized, Kudos::whole(1 + 3), "what the style costs more is the key's, too");
        assert!(stage.engine.paying_key(lender, key.id, Timestamp(0)).is_ok());
        assert!(stage.engine.paying_key(other, key.id, Timestamp(0)).is_err(), "it is not theirs");
    }

    #[test]
    fn names_are_made_safe_and_lists_have_nothing_twice() {
        let people = PeopleRules { profanity: WordList::built_in().into(), ..PeopleRules::default() };
        let stage = Stage::with(Rules { people, ..Rules::default() });
        let style = |name: &str, tags: &[&str]| Style {
            id: StyleId(uuid::Uuid::nil()),
            kind: Kind::Image,
            owner: UserId(1),
            name: name.into(),
            info: Some(" <i>x</i> ".into()),
            prompt: String::new(),
            params: Default::default(),
            is_public: true,
            nsfw: false,
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            models: vec!["a".into(), "b".into(), "a".into()],
            examples: vec![],
            shared_key: None,
            use_count: 0,
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
            revision: 0,
        };
        let mut clean = style(" a & b ", &["x", " x ", "<y>", " "]);
        stage.engine.clean_style(&mut clean).unwrap();
        assert_eq!((clean.name.as_str(), clean.info.as_deref()), ("a &amp; b", Some("<i>x</i>")));
        assert_eq!(
            (clean.tags, clean.models),
            (vec!["x".to_owned(), "&lt;y&gt;".into()], vec!["a".into(), "b".into()])
        );
        for name in ["  ", "style::x", "me#1::x", "collection::x", "sh1t happens"] {
            assert!(stage.engine.clean_style(&mut style(name, &[])).is_err(), "{name:?}");
        }
        assert!(stage.engine.clean_style(&mut style("x", &["wanker"])).is_err());
        for (models, tags, is_fit) in
            [(0, 0, false), (1, 0, true), (5, 10, true), (6, 0, false), (1, 11, false)]
        {
            assert_eq!(count_style(models, tags).is_ok(), is_fit, "{models} models, {tags} tags");
        }
        for (members, is_fit) in [(0, false), (1, true), (100, true), (101, false)] {
            assert_eq!(count_members(members).is_ok(), is_fit, "{members} members");
        }
    }
}
