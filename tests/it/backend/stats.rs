//! Promises of Records about figures of what was made.

use std::{sync::Arc, time::Duration};

use gridbroker::domain::{
    Timestamp,
    record::Record,
    request::Kind,
    stats::{Counted, MOST_MODELS, Made, Periods},
};

use super::{making::NOW, store::Store};

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

fn ago(age: i64) -> Timestamp {
    Timestamp(NOW.0 - age)
}

fn counted(kind: Kind, model: &str, things: i64, at: Timestamp) -> Record {
    Record::JobCounted(Counted { kind, model: model.into(), things, at })
}

fn made(jobs: i64, things: i64) -> Made {
    Made { jobs, things }
}

/// Jobs of each period.
fn jobs(periods: Periods) -> [i64; 5] {
    [periods.minute, periods.hour, periods.day, periods.month, periods.total].map(|made| made.jobs)
}

pub async fn what_is_counted_adds_up_over_batches_and_brokers(store: Store) {
    let empty = store.records.stats(NOW).await.unwrap();
    assert!(empty.totals.is_empty() && empty.models.is_empty());
    let image = |model: &str| counted(Kind::Image, model, 100, NOW);
    let text = counted(Kind::Text, "it's \"one\"", 80, NOW);
    store.records.commit(&[image("a"), image("b"), image("a"), text.clone()]).await.unwrap();
    let records = store.records.clone();
    let batches = (0..8).map(|_| {
        let (records, deed) = (records.clone(), vec![image("a"), text.clone()]);
        async move { records.commit(&deed).await.unwrap() }
    });
    futures_util::future::join_all(batches).await;
    store
        .records
        .commit(&[counted(Kind::Video, "a", 7, NOW), counted(Kind::Alchemy, "caption", 1, NOW)])
        .await
        .unwrap();
    let stats = store.records.stats(NOW).await.unwrap();
    let all = |made| Periods { minute: made, hour: made, day: made, month: made, total: made };
    assert_eq!(stats.total(Kind::Image), all(made(11, 1100)));
    assert_eq!(stats.total(Kind::Text), all(made(9, 720)));
    assert_eq!((stats.total(Kind::Video), stats.total(Kind::Alchemy)), (all(made(1, 7)), all(made(1, 1))));
    let images: Vec<_> = stats.of(Kind::Image).collect();
    assert_eq!(images, [("a", &all(made(10, 1000))), ("b", &all(made(1, 100)))], "those with most first");
    let texts: Vec<_> = stats.of(Kind::Text).collect();
    assert_eq!(texts, [("it's \"one\"", &all(made(9, 720)))]);
}

pub async fn periods_slide(store: Store) {
    for (age, expected, rule) in [
        (0, [1, 1, 1, 1, 1], "now"),
        (50 * SECOND, [1, 1, 1, 1, 1], "within the minute"),
        (75 * SECOND, [0, 1, 1, 1, 1], "before it"),
        (59 * MINUTE, [0, 1, 1, 1, 1], "within the hour"),
        (62 * MINUTE, [0, 0, 1, 1, 1], "before it"),
        (23 * HOUR, [0, 0, 1, 1, 1], "within the day"),
        (26 * HOUR, [0, 0, 0, 1, 1], "before it"),
        (29 * DAY, [0, 0, 0, 1, 1], "within the month"),
        (32 * DAY, [0, 0, 0, 0, 1], "before it"),
        (900 * DAY, [0, 0, 0, 0, 1], "long ago"),
    ] {
        let model = format!("made {age} ms ago");
        store.records.commit(&[counted(Kind::Image, &model, 1, ago(age))]).await.unwrap();
        for is_folded in [false, true] {
            if is_folded {
                store.records.fold_stats(NOW).await.unwrap();
            }
            let stats = store.records.stats(NOW).await.unwrap();
            let (_, periods) = stats.of(Kind::Image).find(|(name, _)| *name == model).expect(rule);
            assert_eq!(jobs(*periods), expected, "{rule}, folded: {is_folded}");
        }
    }
}

pub async fn what_is_folded_is_told_as_before(store: Store) {
    // A job every 7 minutes for three days, and one a day for two months.
    let often = (0..3 * DAY / (7 * MINUTE)).map(|n| n * 7 * MINUTE);
    let ages: Vec<_> = often.chain((0..60).map(|n| n * DAY)).collect();
    let deed: Vec<_> = ages.iter().map(|age| counted(Kind::Text, "a", 3, ago(*age))).collect();
    store.records.commit(&deed).await.unwrap();
    let rows = async || store.table("stats", &["seconds", "jobs", "things"]).await;
    let (before, rows_before) = (store.records.stats(NOW).await.unwrap(), rows().await.len());
    store.records.fold_stats(NOW).await.unwrap();
    let after = store.records.stats(NOW).await.unwrap();
    // Where a period begins, longer spans reach further back.
    for (before, after) in jobs(before.total(Kind::Text)).into_iter().zip(jobs(after.total(Kind::Text))) {
        assert!((before..=before + 12).contains(&after), "{before} became {after}");
    }
    assert_eq!(after.total(Kind::Text).total, made(ages.len() as i64, 3 * ages.len() as i64));
    let left = rows().await.len();
    assert!(left * 4 < rows_before, "{rows_before} rows became {left}");
    store.records.fold_stats(NOW).await.unwrap();
    assert_eq!(store.records.stats(NOW).await.unwrap(), after, "once more changes nothing");
    let later = NOW.plus(Duration::from_secs(100 * 86_400));
    for _ in 0..2 {
        store.records.fold_stats(later).await.unwrap();
        let stats = store.records.stats(later).await.unwrap();
        assert_eq!(jobs(stats.total(Kind::Text)), [0, 0, 0, 0, ages.len() as i64]);
    }
    assert_eq!(rows().await.len(), 1, "all of it is one row");
}

pub async fn counting_and_folding_at_the_same_time_lose_nothing(store: Store) {
    let records = Arc::clone(&store.records);
    let counts = (0..40).map(|n| {
        let records = records.clone();
        async move {
            // Late ones, of spans that are being folded.
            records.commit(&[counted(Kind::Image, "a", 5, ago(n % 4 * HOUR))]).await.unwrap();
        }
    });
    let folds = (0..10).map(|_| {
        let records = records.clone();
        async move { records.fold_stats(NOW).await.unwrap() }
    });
    tokio::join!(futures_util::future::join_all(counts), futures_util::future::join_all(folds));
    let total = store.records.stats(NOW).await.unwrap().total(Kind::Image).total;
    assert_eq!(total, made(40, 200));
}

pub async fn of_many_models_those_with_most_jobs_are_told(store: Store) {
    let many = (0..MOST_MODELS + 3).map(|n| counted(Kind::Text, &format!("model {n}"), 1, NOW));
    let deed: Vec<_> = many.chain([counted(Kind::Text, "a favourite", 1, NOW)]).collect();
    store.records.commit(&deed).await.unwrap();
    store.records.commit(&[counted(Kind::Text, "a favourite", 1, NOW)]).await.unwrap();
    let stats = store.records.stats(NOW).await.unwrap();
    assert_eq!(stats.of(Kind::Text).count(), MOST_MODELS);
    assert_eq!(stats.of(Kind::Text).next().map(|(model, _)| model), Some("a favourite"));
    assert_eq!(stats.total(Kind::Text).total.jobs, MOST_MODELS as i64 + 5, "all count");
}
