//! Promises of Records about styles and collections.

use gridbroker::{
    backend::{
        Refusal::{Overtaken, Taken},
        Verdict::{Kept, Refused},
    },
    domain::{
        CollectionId, ExampleId, SharedKeyId, StyleId, Timestamp, UserId,
        record::Record,
        request::Kind,
        style::{Collection, Example, Query, Sort, Style, StyleChange, StyleName, Use},
    },
};
use serde_json::json;
use uuid::Uuid;

use super::{making, store::Store};

fn style(owner: i64, name: &str, created_at: i64) -> Style {
    let params = json!({"steps": 20, "later": {"a": ["ü\"'", 1.5, null]}});
    Style {
        id: StyleId(Uuid::new_v4()),
        kind: Kind::Image,
        owner: UserId(owner),
        name: name.into(),
        info: Some("all of \"it\"\nin two lines".into()),
        prompt: "{p}, oil ###{np}".into(),
        params: params.as_object().unwrap().clone(),
        is_public: true,
        nsfw: true,
        tags: vec!["a".into(), "b&c".into()],
        models: vec!["SDXL 1.0".into()],
        examples: vec![Example {
            id: ExampleId(Uuid::new_v4()),
            url: "https://example.org/1".into(),
            is_primary: true,
        }],
        shared_key: Some(SharedKeyId(Uuid::new_v4())),
        use_count: 0,
        created_at: Timestamp(created_at),
        updated_at: Timestamp(created_at),
        revision: 1,
    }
}

fn collection(owner: i64, name: &str, members: &[&Style]) -> Collection {
    Collection {
        id: CollectionId(Uuid::new_v4()),
        kind: Kind::Image,
        owner: UserId(owner),
        name: name.into(),
        info: None,
        is_public: true,
        members: members.iter().map(|style| style.id).collect(),
        use_count: 0,
        created_at: Timestamp(1),
        updated_at: Timestamp(1),
        revision: 1,
    }
}

fn record(change: StyleChange) -> Record {
    Record::Style(Box::new(change))
}

fn made(style: &Style) -> Record {
    record(StyleChange::Made(style.clone()))
}

fn used(style: &Style, collection: Option<CollectionId>, thanked: Option<i64>) -> Record {
    let thanked = thanked.map(UserId);
    record(StyleChange::Used(Use { style: style.id, kind: style.kind, collection, thanked }))
}

async fn read(store: &Store, style: &Style) -> Option<Style> {
    store.records.styles(&[style.id]).await.unwrap().pop()
}

pub async fn a_style_comes_back_as_it_was_and_is_found_by_its_names(store: Store) {
    let (first, text) = (style(1, "oil", 2), Style { kind: Kind::Text, ..style(2, "oil", 1) });
    let bare = Style { info: None, shared_key: None, is_public: false, ..style(1, "bare", 3) };
    store.records.commit(&[made(&first), made(&text), made(&bare)]).await.unwrap();
    for style in [&first, &text, &bare] {
        assert_eq!(read(&store, style).await.as_ref(), Some(style));
    }
    assert_eq!(store.records.styles(&[first.id, text.id, StyleId(Uuid::nil())]).await.unwrap().len(), 2);
    let named = async |name: &str, owner: Option<i64>, kind| {
        let found = store.records.style_named(name, owner.map(UserId), kind).await.unwrap();
        found.map(|style| style.id)
    };
    assert_eq!(named("oil", None, None).await, Some(text.id), "the oldest");
    assert_eq!(named("oil", None, Some(Kind::Image)).await, Some(first.id), "one of the kind comes first");
    assert_eq!(named("bare", None, Some(Kind::Text)).await, Some(bare.id), "or else one of another");
    assert_eq!(named("oil", Some(1), None).await, Some(first.id), "an account's");
    assert_eq!(named("oil", Some(3), None).await, None);
    assert_eq!(named("Oil", None, None).await, None, "names are what they are");
    let brief = |style: &Style| StyleName { id: style.id, kind: style.kind, name: style.name.clone() };
    let of = async |with_private| store.records.styles_of(UserId(1), with_private).await.unwrap();
    assert_eq!(of(false).await, [brief(&first)]);
    assert_eq!(of(true).await, [brief(&first), brief(&bare)]);
    assert!(store.records.is_for_styles(first.shared_key.unwrap()).await.unwrap());
    assert!(!store.records.is_for_styles(SharedKeyId(Uuid::new_v4())).await.unwrap());
    assert_eq!(store.records.styles_owned(UserId(1)).await.unwrap(), (2, 0));
}

pub async fn an_author_has_one_style_of_a_name(store: Store) {
    let (first, second) = (style(1, "oil", 1), style(1, "oil", 2));
    let other = style(2, "oil", 3);
    let deeds = [vec![made(&first)], vec![made(&second)], vec![made(&other)]];
    let verdicts = store.records.commit_each(&deeds).await.unwrap();
    assert_eq!(verdicts, [Kept, Refused(Taken), Kept], "another author may have it, too");
    let water = style(1, "water", 4);
    let renamed = Style { name: "oil".into(), revision: 2, ..water.clone() };
    let verdicts = store
        .records
        .commit_each(&[vec![made(&water)], vec![record(StyleChange::Changed(renamed.clone()))]])
        .await
        .unwrap();
    assert_eq!(verdicts, [Kept, Refused(Taken)]);
    // What one deed makes room for another one may take.
    let deeds = [vec![record(StyleChange::Dropped(first.id))], vec![record(StyleChange::Changed(renamed))]];
    assert_eq!(store.records.commit_each(&deeds).await.unwrap(), [Kept, Kept]);
}

pub async fn a_change_rests_on_the_revision_before(store: Store) {
    let first = style(1, "oil", 1);
    store.records.commit(&[made(&first), used(&first, None, None)]).await.unwrap();
    let changed = |info: &str, revision| {
        let style = Style { info: Some(info.into()), revision, use_count: 99, ..first.clone() };
        vec![record(StyleChange::Changed(style))]
    };
    let deeds = [changed("a", 2), changed("b", 2), changed("c", 3)];
    let verdicts = store.records.commit_each(&deeds).await.unwrap();
    assert_eq!(verdicts, [Kept, Refused(Overtaken), Kept], "the second one did not see the first");
    let now = read(&store, &first).await.unwrap();
    assert_eq!((now.info.as_deref(), now.revision), (Some("c"), 3));
    assert_eq!(now.use_count, 1, "uses are counted, not said");
    let dropped = || vec![record(StyleChange::Dropped(first.id))];
    let verdicts = store.records.commit_each(&[dropped(), dropped(), changed("d", 4)]).await.unwrap();
    assert_eq!(verdicts, [Kept, Refused(Overtaken), Refused(Overtaken)], "it is gone once");
    assert_eq!(read(&store, &first).await, None);
}

pub async fn lists_have_pages_in_order_of_the_public_ones(store: Store) {
    let mut styles: Vec<_> = (0..30).map(|n| style(1, &format!("s{n:02}"), n)).collect();
    for (n, style) in styles.iter_mut().enumerate() {
        style.tags = vec![if n % 2 == 0 { "even" } else { "o\"dd" }.into()];
        style.models = vec![format!("m{n}"), "all".into()];
    }
    styles.push(Style { is_public: false, ..style(1, "private", 0) });
    styles.push(Style { kind: Kind::Text, ..style(1, "text", 0) });
    let mut batch: Vec<_> = styles.iter().map(made).collect();
    batch.extend([used(&styles[7], None, None), used(&styles[3], None, None), used(&styles[7], None, None)]);
    store.records.commit(&batch).await.unwrap();
    let list = async |query: Query| -> Vec<String> {
        let found = store.records.list_styles(&Query { kind: Some(Kind::Image), ..query }).await.unwrap();
        found.into_iter().map(|style| style.name).collect()
    };
    let old = list(Query { sort: Sort::Age, ..Query::default() }).await;
    assert_eq!(old, (0..25).map(|n| format!("s{n:02}")).collect::<Vec<_>>(), "25, the oldest first");
    let next = list(Query { sort: Sort::Age, page: 1, ..Query::default() }).await;
    assert_eq!(next, ["s25", "s26", "s27", "s28", "s29"], "a page begins where the last one ends");
    assert!(list(Query { page: 2, ..Query::default() }).await.is_empty());
    let popular = list(Query::default()).await;
    assert_eq!(&popular[..4], ["s07", "s03", "s00", "s01"], "what is asked for most, then the oldest");
    let odd = Query { tag: Some("o\"dd".into()), ..Query::default() };
    assert_eq!(list(odd.clone()).await.len(), 15);
    assert_eq!(list(Query { model: Some("m3".into()), ..odd.clone() }).await, ["s03"]);
    assert!(list(Query { model: Some("m2".into()), ..odd }).await.is_empty());
    assert!(list(Query { tag: Some("eve".into()), ..Query::default() }).await.is_empty(), "tags are whole");
}

pub async fn uses_are_counted_with_the_request_and_thank_the_author(store: Store) {
    let (image, text) = (style(2, "oil", 1), Style { kind: Kind::Text, ..style(2, "tale", 2) });
    let both = collection(1, "both", &[&image]);
    let batch = [making::user(1), making::user(2), made(&image), made(&text)];
    store.records.commit(&batch).await.unwrap();
    store.records.commit(&[record(StyleChange::CollectionMade(both.clone()))]).await.unwrap();
    let deeds = [
        vec![used(&image, Some(both.id), Some(2))],
        vec![used(&image, None, None), used(&text, None, Some(2))],
        vec![used(&image, None, Some(2))],
        // One that was deleted meanwhile is nobody's loss.
        vec![used(&style(9, "gone", 1), Some(CollectionId(Uuid::new_v4())), None)],
    ];
    assert_eq!(store.records.commit_each(&deeds).await.unwrap(), [Kept; 4]);
    assert_eq!(read(&store, &image).await.unwrap().use_count, 3);
    assert_eq!(store.records.collection(both.id).await.unwrap().unwrap().use_count, 1);
    let author = store.records.people(&[UserId(2)], &[]).await.unwrap().0.remove(0);
    assert_eq!(author.stats.style_uses, [2, 1], "those that count, by kind");
    // What is refused is not used.
    let request = making::request(1);
    let deeds = [vec![used(&image, None, Some(2)), making::accepted_within(&request, 0)]];
    assert!(matches!(store.records.commit_each(&deeds).await.unwrap()[..], [Refused(_)]));
    assert_eq!(read(&store, &image).await.unwrap().use_count, 3);
    let loaded = store.records.load().await.unwrap().users;
    assert!(loaded.contains(&author), "read at the start, they are the same");
}

pub async fn collections_are_kept_as_styles_are(store: Store) {
    let styles = [style(1, "a", 1), style(1, "b", 2)];
    let first = collection(1, "mine", &[&styles[1], &styles[0]]);
    let text = Collection { kind: Kind::Text, created_at: Timestamp(0), ..collection(2, "mine", &[]) };
    let hidden = Collection { is_public: false, info: Some("x".into()), ..collection(1, "hidden", &[]) };
    let make = |made: &Collection| record(StyleChange::CollectionMade(made.clone()));
    let deeds = [&first, &text, &hidden].map(|made| vec![make(made)]);
    assert_eq!(store.records.commit_each(&deeds).await.unwrap(), [Kept; 3]);
    for made in [&first, &text, &hidden] {
        assert_eq!(store.records.collection(made.id).await.unwrap().as_ref(), Some(made));
    }
    let named = async |owner: Option<i64>, kind| {
        let found = store.records.collection_named("mine", owner.map(UserId), kind).await.unwrap();
        found.map(|found| found.id)
    };
    assert_eq!(named(None, None).await, Some(text.id));
    assert_eq!(named(None, Some(Kind::Image)).await, Some(first.id));
    assert_eq!(named(Some(1), None).await, Some(first.id));
    let twin = collection(1, "mine", &[]);
    assert_eq!(store.records.commit_each(&[vec![make(&twin)]]).await.unwrap(), [Refused(Taken)]);
    let list = async |kind, sort| -> Vec<CollectionId> {
        let found = store.records.list_collections(&Query { kind, sort, ..Query::default() }).await.unwrap();
        found.into_iter().map(|found| found.id).collect()
    };
    store.records.commit(&[used(&styles[0], Some(first.id), None)]).await.unwrap();
    assert_eq!(list(None, Sort::Popular).await, [first.id, text.id]);
    assert_eq!(list(None, Sort::Age).await, [text.id, first.id]);
    assert_eq!(list(Some(Kind::Text), Sort::Popular).await, [text.id]);
    let change = |revision| {
        let changed = Collection { name: "ours".into(), members: vec![], revision, ..first.clone() };
        vec![record(StyleChange::CollectionChanged(changed))]
    };
    let dropped = || vec![record(StyleChange::CollectionDropped(first.id))];
    let deeds = [change(2), change(2), dropped(), dropped()];
    let verdicts = store.records.commit_each(&deeds).await.unwrap();
    assert_eq!(verdicts, [Kept, Refused(Overtaken), Kept, Refused(Overtaken)]);
    assert_eq!(store.records.styles_owned(UserId(1)).await.unwrap(), (0, 1));
}
