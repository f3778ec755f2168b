//! Event logs.

use std::{sync::Arc, time::Duration};

use gridbroker::{
    backend::{
        Cursor, Signals,
        distributed::{Link, RedisSignals},
        embedded::LocalSignals,
    },
    domain::{RequestId, Timestamp, clock::SystemClock, event::Event},
};
use proptest::test_runner::{Config, TestRunner};

use super::jobs::*;
use crate::harness::{PATIENCE, Redis, eventually};

/// When logs are begun in these tests.
const AT: Timestamp = Timestamp(5);
const BEGIN: Cursor = Cursor { epoch: 5, seq: 0 };

type Logs = Arc<dyn Signals>;

async fn logs_in(redis: &Redis) -> Logs {
    Arc::new(RedisSignals::new(Link::open(&redis.settings()).await.unwrap(), Arc::new(SystemClock)))
}

/// Logs of a broker that has told that it lives, and has heard of those before it.
async fn logs_of_one_that_lives(redis: &Redis) -> Logs {
    let link = Link::open(&redis.settings()).await.unwrap();
    link.beat().await.unwrap();
    Arc::new(RedisSignals::new(link, Arc::new(SystemClock)))
}

fn say(logs: &Logs, request: RequestId, words: &str) {
    for word in words.split(' ') {
        logs.append(request, AT, token(0, 1, word));
    }
}

fn word(event: &Event) -> &str {
    match event {
        Event::Token { text, .. } => text,
        Event::Reset { .. } => "(reset)",
        Event::Done { .. } => "(done)",
        _ => "(other)",
    }
}

/// Reads up to `most` events at a time until there are `count`, and checks their cursors.
async fn read(logs: &Logs, request: RequestId, from: Cursor, most: usize, count: usize) -> Vec<String> {
    let mut cursor = from;
    let mut words = Vec::new();
    while words.len() < count {
        let more = tokio::time::timeout(PATIENCE, logs.after(request, cursor, most));
        let more = more.await.expect("there is more").unwrap();
        assert!(!more.is_empty() && more.len() <= most, "{} after {words:?}", more.len());
        for (next, event) in more {
            assert_eq!(next, Cursor { seq: cursor.seq + 1, ..cursor }, "no gap, no repeat");
            cursor = next;
            words.push(word(&event).to_owned());
        }
    }
    words
}

async fn begins_under(logs: &Logs, request: RequestId, events: Vec<Event>) -> Cursor {
    logs.begin(request, AT, events).await.unwrap();
    logs.extent(request).await.unwrap().expect("it was begun")
}

async fn a_reader_gets_exactly_what_follows_its_cursor(logs: Logs) {
    let id = request_id(1);
    say(&logs, id, "a b c");
    assert_eq!(read(&logs, id, Cursor { seq: 1, ..BEGIN }, 10, 2).await, ["b", "c"]);
    assert_eq!(read(&logs, id, BEGIN, 2, 3).await, ["a", "b", "c"]);
    let elsewhere = logs.after(id, Cursor { epoch: 4, seq: 0 }, 10).await.unwrap();
    assert!(elsewhere.is_empty(), "of an epoch that is over nothing follows");
}

async fn a_reader_at_the_end_is_woken_and_the_epoch_stays(logs: Logs) {
    let id = request_id(2);
    say(&logs, id, "a");
    assert_eq!(read(&logs, id, BEGIN, 10, 1).await, ["a"]);
    let reader = tokio::spawn({
        let logs = logs.clone();
        async move { logs.after(id, Cursor { seq: 1, ..BEGIN }, 10).await.unwrap() }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!reader.is_finished(), "nothing follows yet");
    logs.append(id, Timestamp(9), token(0, 1, "b"));
    let read = tokio::time::timeout(Duration::from_millis(900), reader).await;
    assert_eq!(read.expect("at once, not at its next look").unwrap()[0].0, Cursor { seq: 2, ..BEGIN });
}

async fn a_log_is_begun_once_and_appended_to_after_that(logs: Logs) {
    let id = request_id(3);
    assert_eq!(logs.extent(id).await.unwrap(), None);
    assert_eq!(
        begins_under(&logs, id, vec![token(0, 1, "a"), token(0, 1, "b")]).await,
        Cursor { seq: 2, ..BEGIN }
    );
    assert_eq!(begins_under(&logs, id, vec![token(0, 1, "x")]).await.seq, 2, "there is one");
    say(&logs, id, "c");
    assert_eq!(read(&logs, id, BEGIN, 10, 3).await, ["a", "b", "c"]);
    // One without anything to tell so far.
    let silent = request_id(4);
    assert_eq!(begins_under(&logs, silent, vec![]).await, BEGIN);
    say(&logs, silent, "z");
    assert_eq!(read(&logs, silent, BEGIN, 10, 1).await, ["z"]);
}

async fn a_finished_or_forgotten_log_reads_empty(logs: Logs) {
    let id = request_id(5);
    say(&logs, id, "a");
    logs.append(id, AT, done());
    assert_eq!(read(&logs, id, BEGIN, 10, 2).await, ["a", "(done)"]);
    assert!(logs.after(id, Cursor { seq: 2, ..BEGIN }, 10).await.unwrap().is_empty());
    let forgotten = request_id(6);
    say(&logs, forgotten, "a");
    assert_eq!(read(&logs, forgotten, BEGIN, 10, 1).await, ["a"]);
    let reader = tokio::spawn({
        let logs = logs.clone();
        async move { logs.after(forgotten, Cursor { seq: 1, ..BEGIN }, 10).await.unwrap() }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    logs.forget(forgotten);
    let read_empty = tokio::time::timeout(Duration::from_millis(900), reader).await;
    assert!(read_empty.expect("it is told at once").unwrap().is_empty());
    assert_eq!(logs.extent(forgotten).await.unwrap(), None);
    // And begun again it is a new one.
    logs.begin(forgotten, Timestamp(7), vec![token(0, 1, "z")]).await.unwrap();
    assert_eq!(logs.extent(forgotten).await.unwrap(), Some(Cursor { epoch: 7, seq: 1 }));
    logs.forget(forgotten);
    logs.begin(forgotten, Timestamp(8), vec![token(0, 1, "y")]).await.unwrap();
    assert_eq!(
        read(&logs, forgotten, Cursor { epoch: 8, seq: 0 }, 9, 1).await,
        ["y"],
        "in the order of the calls"
    );
}

async fn many_readers_get_the_same(logs: Logs) {
    let id = request_id(7);
    logs.begin(id, AT, vec![]).await.unwrap();
    let mut readers = tokio::task::JoinSet::new();
    for number in 0..200 {
        let logs = logs.clone();
        readers.spawn(async move { read(&logs, id, BEGIN, 1 + number % 7, 301).await });
    }
    let words: Vec<_> = (0..300).map(|number| number.to_string()).collect();
    for chunk in words.chunks(20) {
        say(&logs, id, &chunk.join(" "));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    logs.append(id, AT, done());
    while let Some(read) = readers.join_next().await {
        let read = read.unwrap();
        assert_eq!(read[..300], words[..]);
        assert_eq!(read[300], "(done)");
    }
}

/// Appends to a few logs, readers with cursors of their own, in any order.
async fn random_calls(logs: Logs, calls: &[(u8, u128, usize)]) {
    let mut model = vec![Vec::<String>::new(); 3];
    for (number, (what, log, many)) in calls.iter().enumerate() {
        let (id, written) = (request_id(100 + log), &mut model[*log as usize]);
        match what {
            0..=5 => {
                for i in 0..*many {
                    let text = format!("{number}.{i}");
                    logs.append(id, AT, token(0, 1, &text));
                    written.push(text);
                }
            }
            6 => logs.begin(id, AT, vec![]).await.unwrap(),
            _ if written.is_empty() => {}
            _ => {
                let from = (number * 7) % written.len();
                let cursor = Cursor { seq: from as u64, ..BEGIN };
                assert_eq!(read(&logs, id, cursor, *many, written.len() - from).await, written[from..]);
            }
        }
    }
    for (log, written) in model.iter().enumerate() {
        let id = request_id(100 + log as u128);
        assert_eq!(read(&logs, id, BEGIN, 1000, written.len()).await, *written);
        logs.forget(id);
    }
}

fn in_any_order(start: impl AsyncFn() -> Logs) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let logs = runtime.block_on(start());
    let config = Config { cases: 20, failure_persistence: None, ..Config::default() };
    let calls = proptest::collection::vec((0u8..9, 0u128..3, 1usize..40), 1..40);
    let outcome = TestRunner::new(config).run(&calls, |calls| {
        runtime.block_on(random_calls(logs.clone(), &calls));
        Ok(())
    });
    outcome.unwrap();
}

macro_rules! for_both {
    ($($promise:ident),* $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                super::$promise(super::Arc::new(super::LocalSignals::default())).await;
            })*
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let redis = super::Redis::start();
                super::$promise(super::logs_in(&redis).await).await;
            })*
        }
    };
}

for_both!(
    a_reader_gets_exactly_what_follows_its_cursor,
    a_reader_at_the_end_is_woken_and_the_epoch_stays,
    a_log_is_begun_once_and_appended_to_after_that,
    a_finished_or_forgotten_log_reads_empty,
    many_readers_get_the_same,
);

#[test]
fn embedded_calls_in_any_order_keep_every_log_whole() {
    in_any_order(async || Arc::new(LocalSignals::default()) as Logs);
}

#[test]
fn redis_calls_in_any_order_keep_every_log_whole() {
    let redis = Redis::start();
    in_any_order(async || logs_in(&redis).await);
}

fn log_key(id: RequestId) -> String {
    format!("stream:{id}")
}

#[tokio::test]
async fn a_log_has_its_cursors_as_ids_and_expires_after_any_request() {
    let redis = Redis::start();
    let link = Link::open(&redis.settings()).await.unwrap();
    let broker = link.broker().to_owned();
    let logs: Logs = Arc::new(RedisSignals::new(link, Arc::new(SystemClock)));
    let id = request_id(1);
    say(&logs, id, "a b");
    assert_eq!(read(&logs, id, BEGIN, 10, 2).await, ["a", "b"]);
    let entries = redis.says(&["XRANGE", &log_key(id), "-", "+"]);
    let ids: Vec<_> = entries.lines().filter(|line| line.starts_with("5-")).collect();
    assert_eq!(ids, ["5-1", "5-2"]);
    for key in [log_key(id), format!("{{{}}}:at", log_key(id))] {
        let kept: i64 = redis.says(&["TTL", &key]).parse().unwrap();
        assert!((7190..=7200).contains(&kept), "{key} is kept for {kept} s");
    }
    assert_eq!(
        redis.says(&["HGET", &format!("{{{}}}:at", log_key(id)), "job:0"]),
        format!("1 2 {broker}"),
        "attempt, bytes told, and by whom"
    );
}

#[tokio::test]
async fn tokens_that_come_fast_go_in_few_calls() {
    let redis = Redis::start();
    let logs = logs_in(&redis).await;
    let id = request_id(1);
    for number in 0..1000 {
        logs.append(id, AT, token(0, 1, &number.to_string()));
    }
    read(&logs, id, BEGIN, 100, 1000).await;
    let calls = redis.says(&["INFO", "commandstats"]);
    let calls = calls.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")).unwrap();
    let calls: u32 = calls.split(',').next().unwrap().parse().unwrap();
    assert!(calls <= 12, "{calls} calls");
}

#[tokio::test]
async fn other_brokers_read_and_are_woken_and_add_their_share() {
    let redis = Redis::start();
    let far = logs_of_one_that_lives(&redis).await;
    let near = logs_of_one_that_lives(&redis).await;
    let id = request_id(1);
    say(&far, id, "a b");
    read(&far, id, BEGIN, 10, 2).await;
    assert_eq!(read(&near, id, BEGIN, 10, 2).await, ["a", "b"]);
    let reader = tokio::spawn({
        let near = near.clone();
        async move {
            let began = std::time::Instant::now();
            (near.after(id, Cursor { seq: 2, ..BEGIN }, 10).await.unwrap().len(), began.elapsed())
        }
    });
    // Not before somebody is subscribed; a look a second would do, but late.
    eventually(async || redis.says(&["PUBSUB", "NUMSUB", &log_key(id)]).ends_with('2')).await;
    say(&far, id, "c");
    let (count, took) = reader.await.unwrap();
    assert!(count == 1 && took < Duration::from_millis(900), "{count} after {took:?}");
    near.append(id, AT, token(1, 1, "d"));
    assert_eq!(read(&far, id, BEGIN, 10, 4).await, ["a", "b", "c", "d"]);
    say(&far, id, "e");
    assert_eq!(read(&far, id, BEGIN, 10, 5).await, ["a", "b", "c", "d", "e"]);
    assert_eq!(read(&near, id, BEGIN, 2, 5).await, ["a", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn what_an_earlier_attempt_still_says_is_not_told() {
    let redis = Redis::start();
    let logs = logs_in(&redis).await;
    let id = request_id(1);
    logs.append(id, AT, token(0, 1, "old"));
    logs.append(id, AT, token(0, 2, "new"));
    logs.append(id, AT, token(0, 1, "late"));
    logs.append(id, AT, token(0, 2, "er"));
    assert_eq!(read(&logs, id, BEGIN, 10, 4).await, ["old", "(reset)", "new", "er"]);
}

/// Reads a log that was begun again, as a watcher does: by a new extent.
async fn read_again(logs: &Logs, request: RequestId, count: usize) -> (i64, Vec<String>) {
    let extent = logs.extent(request).await.unwrap().expect("there is a log");
    let words = read(logs, request, Cursor { seq: 0, ..extent }, 100, count).await;
    (extent.epoch, words)
}

#[tokio::test]
async fn a_flushed_log_is_begun_again_whole_under_a_higher_epoch() {
    let redis = Redis::start();
    let logs = logs_in(&redis).await;
    let (appended, watched) = (request_id(1), request_id(2));
    for id in [appended, watched] {
        say(&logs, id, "a b");
        read(&logs, id, BEGIN, 10, 2).await;
    }
    let reader = tokio::spawn({
        let logs = logs.clone();
        async move { logs.after(appended, Cursor { seq: 2, ..BEGIN }, 10).await.unwrap() }
    });
    redis.flush();
    say(&logs, appended, "c");
    assert!(reader.await.unwrap().is_empty(), "the reader's log is no more");
    let (epoch, words) = read_again(&logs, appended, 3).await;
    assert_eq!(words, ["a", "b", "c"]);
    assert!(epoch > BEGIN.epoch);
    let (epoch, words) = read_again(&logs, watched, 2).await;
    assert_eq!(words, ["a", "b"]);
    assert!(epoch > BEGIN.epoch);
}

#[tokio::test]
async fn a_server_that_dies_and_comes_back_empty_costs_no_event() {
    let mut redis = Redis::start();
    let logs = logs_in(&redis).await;
    let id = request_id(1);
    say(&logs, id, "a b");
    read(&logs, id, BEGIN, 10, 2).await;
    redis.kill();
    say(&logs, id, "c d");
    tokio::time::sleep(Duration::from_millis(300)).await;
    redis.start_again();
    let since = std::time::Instant::now();
    let mut told = Vec::new();
    eventually(async || match logs.extent(id).await {
        Ok(Some(extent)) if extent.epoch > BEGIN.epoch => {
            told = read(&logs, id, Cursor { seq: 0, ..extent }, 10, 4).await;
            true
        }
        _ => false,
    })
    .await;
    assert_eq!(told, ["a", "b", "c", "d"]);
    assert!(since.elapsed() < Duration::from_secs(5), "it took {:?}", since.elapsed());
}

#[tokio::test]
async fn a_server_that_stands_still_makes_events_late_and_not_double() {
    let redis = Redis::start();
    let logs = logs_in(&redis).await;
    let id = request_id(1);
    say(&logs, id, "a");
    read(&logs, id, BEGIN, 10, 1).await;
    redis.pause();
    say(&logs, id, "b");
    // Longer than a command may take: it is given again, and Redis carries both out.
    tokio::time::sleep(Duration::from_millis(1800)).await;
    say(&logs, id, "c");
    redis.resume();
    assert_eq!(read(&logs, id, BEGIN, 10, 3).await, ["a", "b", "c"]);
    say(&logs, id, "d");
    assert_eq!(read(&logs, id, BEGIN, 10, 4).await, ["a", "b", "c", "d"]);
    assert_eq!(redis.says(&["XLEN", &log_key(id)]), "4");
}

#[tokio::test]
async fn a_log_outlives_the_broker_that_began_it_and_what_is_told_again_is_not_said_twice() {
    let redis = Redis::start();
    let before = logs_in(&redis).await;
    let (ended, cut) = (request_id(1), request_id(2));
    say(&before, ended, "a b");
    before.append(ended, AT, done());
    let result =
        |job, text| Event::Result { job, attempt: 1, outcome: outcome(&attempt(job, 1, "ann"), text) };
    say(&before, cut, "a b");
    before.append(cut, AT, result(0, "ab"));
    before.append(cut, AT, token(1, 1, "half"));
    read(&before, ended, BEGIN, 10, 3).await;
    read(&before, cut, BEGIN, 10, 4).await;
    drop(before);
    let after = logs_in(&redis).await;
    assert_eq!(read_again(&after, ended, 3).await, (5, vec!["a".into(), "b".into(), "(done)".into()]));
    // As whoever takes over from Records: of one job the result was told, of another nobody knows.
    for (job, text) in [(0, "ab"), (1, "whole"), (2, "whole")] {
        after.append(cut, AT, Event::Reset { job: Some(job) });
        after.append(cut, AT, token(job, 1, text));
        after.append(cut, AT, result(job, text));
    }
    after.append(cut, AT, Event::Done { finished: 3, kudos: Default::default() });
    let words = ["a", "b", "(other)", "half", "(reset)", "whole", "(other)", "whole", "(other)", "(done)"];
    assert_eq!(read_again(&after, cut, 10).await, (5, words.map(String::from).to_vec()));
    // One that is there is not begun again.
    after.begin(ended, AT, vec![token(0, 1, "x"), done()]).await.unwrap();
    assert_eq!(read_again(&after, ended, 3).await.1, ["a", "b", "(done)"]);
}

#[tokio::test]
async fn a_result_brings_its_text_along_if_others_told_something_else_of_it() {
    let redis = Redis::start();
    let (far, near) = (logs_in(&redis).await, logs_in(&redis).await);
    let id = request_id(1);
    far.append(id, AT, token(0, 1, "once upon "));
    read(&far, id, BEGIN, 10, 1).await;
    // It does not know what was told through the other one.
    near.append(id, AT, token(0, 1, "a time"));
    let outcome = outcome(&attempt(0, 1, "ann"), "once upon a time");
    near.append(id, AT, Event::Result { job: 0, attempt: 1, outcome });
    let told = ["once upon ", "(reset)", "once upon a time", "(other)"];
    assert_eq!(read(&near, id, BEGIN, 10, 4).await, told);
    assert_eq!(read(&far, id, BEGIN, 10, 4).await, told);
}

#[tokio::test]
async fn a_later_attempt_starts_the_text_over_even_if_its_broker_is_faster_than_the_one_before() {
    let redis = Redis::start();
    let (far, near) = (logs_in(&redis).await, logs_in(&redis).await);
    let id = request_id(1);
    far.append(id, AT, token(0, 1, "old "));
    read(&far, id, BEGIN, 10, 1).await;
    near.append(id, AT, token(0, 2, "new "));
    read(&near, id, BEGIN, 10, 3).await;
    far.append(id, AT, Event::Reset { job: Some(0) });
    far.append(id, AT, token(1, 1, "other"));
    read(&far, id, BEGIN, 10, 4).await;
    near.append(id, AT, token(0, 2, "text"));
    assert_eq!(read(&near, id, BEGIN, 10, 5).await, ["old ", "(reset)", "new ", "other", "text"]);
}

#[tokio::test]
async fn the_text_of_an_attempt_goes_along_when_another_broker_takes_over_telling_of_it() {
    let redis = Redis::start();
    let (far, near) = (logs_in(&redis).await, logs_in(&redis).await);
    let id = request_id(1);
    say(&far, id, "once upon");
    read(&far, id, BEGIN, 10, 2).await;
    assert_eq!(near.take_over(id, AT, 0, 1).await.unwrap().as_deref(), Some("onceupon"));
    far.append(id, AT, token(0, 1, "late"));
    near.append(id, AT, token(0, 1, "a"));
    assert_eq!(read(&near, id, BEGIN, 10, 3).await, ["once", "upon", "a"]);
    // Of the log that is begun again the text is told by who tells of the attempt now.
    redis.flush();
    eventually(async || near.extent(id).await.unwrap().is_some_and(|extent| extent.epoch > AT.0)).await;
    let (_, words) = read_again(&near, id, 2).await;
    assert_eq!(words, ["onceupon", "a"]);
}

#[tokio::test]
async fn the_end_of_a_log_waits_for_a_result_that_another_broker_has_to_tell() {
    let redis = Redis::start();
    let (far, near) = (logs_in(&redis).await, logs_in(&redis).await);
    let id = request_id(1);
    let result = |job| Event::Result { job, attempt: 1, outcome: outcome(&attempt(job, 1, "ann"), "text") };
    let end = || Event::Done { finished: 2, kudos: Default::default() };
    near.append(id, AT, result(0));
    near.append(id, AT, end());
    read(&near, id, BEGIN, 10, 1).await;
    far.append(id, AT, result(1));
    far.append(id, AT, end());
    assert_eq!(read(&far, id, BEGIN, 10, 3).await, ["(other)", "(other)", "(done)"]);
}

#[tokio::test]
async fn a_log_whose_last_result_nobody_tells_is_dropped_so_that_it_can_be_begun_again() {
    let redis = Redis::start();
    let logs = logs_in(&redis).await;
    let id = request_id(1);
    logs.append(id, AT, Event::Done { finished: 1, kudos: Default::default() });
    eventually(async || redis.says(&["EXISTS", &format!("{{{}}}:at", log_key(id))]) == "1").await;
    eventually(async || logs.extent(id).await.unwrap().is_none()).await;
}

#[tokio::test]
async fn a_long_silence_of_redis_is_an_error_and_not_the_end_of_a_log() {
    let mut redis = Redis::start();
    let logs = logs_in(&redis).await;
    let id = request_id(1);
    say(&logs, id, "a");
    read(&logs, id, BEGIN, 10, 1).await;
    redis.kill();
    eventually(async || logs.extent(id).await.is_err()).await;
    let reading =
        tokio::time::timeout(Duration::from_secs(2), logs.after(id, Cursor { seq: 1, ..BEGIN }, 10));
    assert!(reading.await.is_err(), "it waits");
}
