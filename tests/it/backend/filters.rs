//! Promises of Records about the filters that moderators keep.

use gridbroker::{
    backend::{
        Refusal::{Overtaken, Taken},
        Verdict::{Kept, Refused},
    },
    domain::{
        UserId,
        filters::{Filter, FilterChange, FilterId, Pattern},
        record::Record,
    },
};

use super::store::Store;

fn filter(id: i64, regex: &str, filter_type: i64) -> Filter {
    let pattern = Pattern {
        regex: regex.into(),
        filter_type,
        replacement: "a \"bear\"".into(),
        description: (id % 2 == 0).then(|| "for <everybody>".into()),
    };
    Filter { id: FilterId(id), pattern, editor: UserId(7), version: 1 }
}

fn added(filter: &Filter) -> Record {
    Record::FilterChanged(FilterChange::Added(filter.clone()))
}

fn edited(filter: &Filter) -> Record {
    Record::FilterChanged(FilterChange::Edited(filter.clone()))
}

fn dropped(id: i64) -> Record {
    Record::FilterChanged(FilterChange::Dropped(FilterId(id)))
}

/// The same one edit later.
fn later(filter: &Filter, regex: &str) -> Filter {
    let pattern = Pattern { regex: regex.into(), description: Some("else".into()), ..filter.pattern.clone() };
    Filter { pattern, editor: UserId(8), version: filter.version + 1, ..filter.clone() }
}

pub async fn filters_come_back_as_they_were_written(store: Store) {
    assert_eq!(store.records.filters().await.unwrap(), []);
    // Longer than what an index of PostgreSQL holds.
    let long: String = (0..20_000).map(|n| char::from(b'a' + (n * 7 % 26) as u8)).collect();
    let all = [filter(1, r"\bcubs?\b", 10), filter(2, "'; DROP TABLE filters; --", 29), filter(3, &long, 20)];
    store.records.commit(&[added(&all[2]), added(&all[0]), added(&all[1])]).await.unwrap();
    assert_eq!(store.records.filters().await.unwrap(), all, "by ID");
    let edit = Filter { editor: UserId(8), ..later(&all[1], "é\u{1F43B}") };
    store.records.commit(&[edited(&edit)]).await.unwrap();
    assert_eq!(store.records.filters().await.unwrap(), [all[0].clone(), edit, all[2].clone()]);
}

pub async fn a_filter_is_changed_by_whoever_saw_it_last(store: Store) {
    let first = filter(1, "cub", 10);
    store.records.commit(&[added(&first)]).await.unwrap();
    let (mine, yours) = (later(&first, "cubs"), later(&first, "pups"));
    let together = [vec![edited(&mine)], vec![edited(&yours)]];
    assert_eq!(store.records.commit_each(&together).await.unwrap(), [Kept, Refused(Overtaken)]);
    assert_eq!(store.records.commit_each(&together[1..]).await.unwrap(), [Refused(Overtaken)], "nor later");
    assert_eq!(store.records.filters().await.unwrap(), std::slice::from_ref(&mine));
    let next = later(&mine, "pups");
    assert_eq!(store.records.commit_each(&[vec![edited(&next)]]).await.unwrap(), [Kept]);
    let nobody = later(&filter(9, "x", 10), "y");
    assert_eq!(store.records.commit_each(&[vec![edited(&nobody)]]).await.unwrap(), [Refused(Overtaken)]);
}

pub async fn no_two_filters_are_alike(store: Store) {
    let [cub, den] = [filter(1, "cub", 10), filter(2, "den", 10)];
    store.records.commit(&[added(&cub), added(&den)]).await.unwrap();
    for (record, verdict, rule) in [
        (added(&filter(3, "cub", 10)), Refused(Taken), "the same regex and type"),
        (added(&filter(1, "else", 10)), Refused(Taken), "the same ID"),
        (edited(&later(&den, "cub")), Refused(Taken), "nor can one become so"),
        (added(&filter(3, "cub", 11)), Kept, "another type"),
        (added(&filter(4, "Cub", 10)), Kept, "another regex"),
    ] {
        assert_eq!(store.records.commit_each(&[vec![record]]).await.unwrap(), [verdict], "{rule}");
    }
    // What one makes room for, another may take.
    let deeds = [vec![dropped(1)], vec![edited(&later(&den, "cub"))], vec![added(&filter(5, "den", 10))]];
    assert_eq!(store.records.commit_each(&deeds).await.unwrap(), [Kept; 3]);
}

pub async fn a_filter_goes_once(store: Store) {
    let first = filter(1, "cub", 10);
    store.records.commit(&[added(&first)]).await.unwrap();
    let deeds = [vec![dropped(1)], vec![dropped(1)], vec![dropped(2)]];
    assert_eq!(
        store.records.commit_each(&deeds).await.unwrap(),
        [Kept, Refused(Overtaken), Refused(Overtaken)]
    );
    assert_eq!(store.records.filters().await.unwrap(), []);
}
