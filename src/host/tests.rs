//! What the owner task must do however busy it is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;

use super::*;
use crate::{
    backend::{ClaimAnswer, Claims, embedded},
    domain::{
        Kudos, UserId,
        clock::SystemClock,
        event::{Event, Outlook},
        lease::Attempt,
        record::{Record, Snapshot, StoredRequest},
        request::Kind,
        result::{Delivery, Product, Verdict},
        user::KeyHash,
    },
    engine::{NewUser, Push, Submission, stage},
};

async fn host(claims: Option<Arc<dyn Claims>>) -> (Host, UserId, tempfile::TempDir) {
    let (running, user, directory) = running(claims).await;
    (running.host, user, directory)
}

async fn running(claims: Option<Arc<dyn Claims>>) -> (Running, UserId, tempfile::TempDir) {
    struct NoSizes;
    impl ModelSizes for NoSizes {
        fn baseline(&self, _: &str) -> &str {
            "stable diffusion 1"
        }
        fn billions(&self, _: &str) -> Option<f64> {
            None
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let backend = embedded::open(directory.path()).await.unwrap();
    let claims = claims.unwrap_or(backend.claims.clone());
    let stopping = CancellationToken::new();
    let backend = Backend { claims, ..backend };
    let running =
        start(backend, Rules::default(), Arc::new(NoSizes), Arc::new(SystemClock), stopping).await.unwrap();
    let new = NewUser {
        alias: "someone".into(),
        key: KeyHash::of("someone"),
        kudos: Kudos::ZERO,
        roles: vec![],
        concurrency: 100,
        worker_invites: 0,
    };
    let user = running.host.act(move |engine, step, _| engine.add_user(step, new)).await.unwrap();
    (running, user.id, directory)
}

async fn pop(host: &Host, user: UserId, hold: Duration) -> Push {
    let desks = host.clone();
    let ticket = host
        .act(move |engine, step, desk| {
            let until = step.now.plus(hold);
            let pop = engine.pop(step, user, "writer", stage::text_profile(1), until)?;
            Ok(desk.hold_pop(&desks, pop.offer))
        })
        .await;
    let mut ticket = ticket.unwrap();
    (&mut ticket.inbox).await.unwrap().open()
}

#[tokio::test]
async fn a_mailbox_that_is_never_empty_does_not_stop_the_clock() {
    let (host, user, _directory) = host(None).await;
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let host = host.clone();
        crowd.spawn(async move {
            loop {
                host.act(|_, _, _| Ok(())).await.unwrap();
            }
        });
    }
    let popped = tokio::time::timeout(Duration::from_secs(20), pop(&host, user, Duration::from_millis(50)));
    assert!(matches!(popped.await, Ok(Push::Empty { .. })), "the pop's time is over");
}

#[tokio::test]
async fn a_reader_that_is_too_slow_loses_its_offer_with_its_place() {
    let (host, user, _directory) = host(None).await;
    let desks = host.clone();
    let ticket = host
        .act(move |engine, step, desk| {
            let stream = engine.open_stream(step, user, "writer", stage::text_profile(1), 1, &[])?;
            Ok((desk.hold_stream(&desks, stream.offer, 1), stream.offer))
        })
        .await;
    let (_unread, offer) = ticket.unwrap();
    for _ in 0..100 {
        let desks = host.clone();
        let push = Push::Cancel { attempts: vec![], reason: String::new() };
        host.act(move |_, _, desk| {
            desk.deliver(&desks, offer, push);
            Ok(())
        })
        .await
        .unwrap();
    }
    assert_eq!(host.read(|engine, _| engine.open_offers()).await.unwrap(), 0, "nothing more is sent its way");
}

/// Says "unknown" twice, then yes.
#[derive(Default)]
struct Hesitant(AtomicU32);

#[async_trait]
impl Claims for Hesitant {
    async fn restore(&self, _: &Snapshot) -> Result<(), Failure> {
        Ok(())
    }

    fn learned(&self, _: &[StoredRequest]) {}

    async fn adopt(&self, _: &[StoredRequest], _: &[AttemptId], _: bool) {}

    fn committed(&self, _: &mut (dyn Iterator<Item = &Record> + Send)) {}

    async fn claim(&self, _: RequestId, _: Kind, _: &[Attempt]) -> ClaimAnswer {
        match self.0.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => ClaimAnswer::Unknown,
            _ => ClaimAnswer::Claimed,
        }
    }
}

#[tokio::test]
async fn an_unknown_answer_to_a_claim_is_asked_again_and_is_not_a_yes() {
    let claims = Arc::new(Hesitant::default());
    let (host, user, _directory) = host(Some(claims.clone())).await;
    let id = RequestId(uuid::Uuid::from_u128(1));
    host.act(move |engine, step, _| engine.submit(step, id, user, stage::text_spec(1))).await.unwrap();
    let Push::Grant(grant) = pop(&host, user, Duration::from_secs(20)).await else { panic!("no grant") };
    assert_eq!(claims.0.load(Ordering::Relaxed), 3);
    let attempt = grant.attempts[0].id;
    host.act(move |engine, step, _| engine.settle(step, user, attempt, Submission::Faulted)).await.unwrap();
}

#[tokio::test]
async fn old_objects_that_nobody_knows_are_swept_and_others_are_not() {
    let (host, user, _directory) = host(None).await;
    let id = |age: Duration, random: u8| {
        let millis = host.now().0 as u64 - age.as_millis() as u64;
        uuid::Builder::from_unix_timestamp_millis(millis, &[random; 10]).into_uuid()
    };
    let days = |days: u64| Duration::from_secs(days * 24 * 60 * 60);
    let known = RequestId(id(days(3), 1));
    host.act(move |engine, step, _| engine.submit(step, known, user, stage::text_spec(1))).await.unwrap();
    let kept = [
        format!("{known}_src.webp"),
        format!("{}_src.webp", id(Duration::from_secs(60), 2)),
        "0000-by-hand.webp".into(),
    ];
    let swept = [
        format!("{}_src.webp", id(Duration::from_secs(3 * 60 * 60), 3)),
        format!("{}_put.webp", id(days(2), 5)),
        format!("{}.webp", id(days(400), 4)),
    ];
    let blobs = host.shared.backend.blobs.clone();
    for name in kept.iter().chain(&swept) {
        blobs.put(name, bytes::Bytes::from_static(b"x")).await.unwrap();
    }
    host.sweep(host.now(), true).await.unwrap();
    for (names, is_there) in [(&kept[..], true), (&swept[..], false)] {
        for name in names {
            assert_eq!(blobs.exists(name).await.unwrap(), is_there, "{name}");
        }
    }
}

#[tokio::test]
async fn objects_go_with_their_request() {
    let (host, user, _directory) = host(None).await;
    let id = RequestId(uuid::Uuid::now_v7());
    host.act(move |engine, step, _| engine.submit(step, id, user, stage::text_spec(1))).await.unwrap();
    let Push::Grant(grant) = pop(&host, user, Duration::from_secs(20)).await else { panic!("no grant") };
    let attempt = grant.attempts[0].id;
    let blobs = host.shared.backend.blobs.clone();
    let names = [format!("{id}_src.webp"), format!("{id}_msk.webp"), format!("{attempt}.webp")];
    for name in names.iter().chain([&"unrelated.webp".to_owned()]) {
        blobs.put(name, bytes::Bytes::from_static(b"x")).await.unwrap();
    }
    let delivery = Delivery {
        product: Product::Text("once".into()),
        seed: 0,
        verdict: Verdict::Ok,
        remarks: Vec::new(),
        extras: Default::default(),
    };
    let result = Submission::Delivered(delivery);
    host.act(move |engine, step, _| engine.settle(step, user, attempt, result)).await.unwrap();
    host.sweep(host.now(), false).await.unwrap();
    assert!(blobs.exists(&names[0]).await.unwrap(), "it can still be read");
    host.sweep(host.now().plus(Duration::from_secs(60 * 60)), false).await.unwrap();
    let gone = async {
        for name in &names {
            while blobs.exists(name).await.unwrap() {
                tokio::task::yield_now().await;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("they are deleted");
    assert!(blobs.exists("unrelated.webp").await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_waits_for_what_it_rests_on_and_a_glance_does_not() {
    use sqlx::Connection;
    let (host, user, directory) = host(None).await;
    let file = directory.path().join("gridbroker.sqlite");
    let mut other = sqlx::SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    // As long as somebody else writes, nothing of ours gets to disk.
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let id = RequestId(uuid::Uuid::from_u128(1));
    let asks = host.clone();
    let submit = tokio::spawn(async move {
        asks.act(move |engine, step, _| engine.submit(step, id, user, stage::text_spec(1))).await
    });
    let is_known = move |engine: &Engine, now| engine.view(id, now).is_some();
    while !host.glance(is_known) {
        tokio::task::yield_now().await;
    }
    let looks = host.clone();
    let look = tokio::spawn(async move { looks.read(is_known).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!submit.is_finished(), "it is not accepted before it is on disk");
    assert!(!look.is_finished(), "nor told of");
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    submit.await.unwrap().unwrap();
    assert!(look.await.unwrap().unwrap());
    assert!(host.read(is_known).await.unwrap(), "once all is on disk it is answered at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_though_letters_keep_coming() {
    let (running, _, _directory) = running(None).await;
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let host = running.host.clone();
        crowd.spawn(async move { while host.act(|_, _, _| Ok(())).await.is_ok() {} });
    }
    running.host.stopping().cancel();
    let ended = tokio::time::timeout(Duration::from_secs(20), running.task).await;
    ended.expect("it ends in time").unwrap().unwrap();
    // Each of them is told: none waits for ever.
    tokio::time::timeout(Duration::from_secs(5), crowd.join_all()).await.expect("all are answered");
}

#[tokio::test]
async fn a_reader_who_was_told_that_a_log_was_begun_again_is_told_so_of_the_next_one_too() {
    let (host, user, _directory) = host(None).await;
    let request = RequestId(uuid::Uuid::from_u128(1));
    host.act(move |engine, step, _| engine.submit(step, request, user, stage::text_spec(1))).await.unwrap();
    let signals = host.shared.backend.signals.clone();
    let begin_again = |at: i64| {
        let signals = signals.clone();
        async move {
            signals.forget(request);
            let told = Event::Queued(Outlook { position: 1, eta_seconds: 1, eta_range: None });
            signals.begin(request, Timestamp(at), vec![told]).await.unwrap();
        }
    };
    begin_again(7).await;
    let mut fresh = host.watch(request, None).await.unwrap().unwrap();
    let before = Cursor { epoch: 3, seq: 5 };
    let mut back = host.watch(request, Some(before)).await.unwrap().unwrap();
    let (cursor, reset) = back.next().await.unwrap().unwrap();
    assert_eq!((cursor, &*reset), (Cursor { epoch: 7, seq: 0 }, &Event::Reset { job: None }));
    begin_again(9).await;
    let (cursor, reset) = back.next().await.unwrap().unwrap();
    assert_eq!((cursor, &*reset), (Cursor { epoch: 9, seq: 0 }, &Event::Reset { job: None }));
    for reader in [&mut back, &mut fresh] {
        let (cursor, queued) = reader.next().await.unwrap().unwrap();
        assert_eq!(cursor, Cursor { epoch: 9, seq: 1 });
        assert!(matches!(&*queued, Event::Queued(_)), "who was told nothing needs no reset");
    }
}

#[tokio::test]
async fn a_file_of_filters_leaves_those_of_moderators_and_an_empty_one_changes_nothing() {
    use crate::domain::filters::{Filters, Pattern, kept::Wish};
    let (host, user, _directory) = host(None).await;
    let pattern = Pattern { regex: "bites".into(), filter_type: 20, ..Pattern::default() };
    let kept = host.change_filters(user, Wish::Add(pattern)).await.unwrap();
    let row = |regex: &str| format!("[[filters]]\nfilter_type = 10\nregex = '{regex}'\n");
    for (file, prompt, suspicion, rule) in [
        (row("cub"), "a cub bites", 2, "they hold beside each other"),
        (row("pup"), "a pup bites", 2, "also when the file changes"),
        (row("pup"), "a cub bites", 1, "whose old rows are gone"),
        (String::new(), "a pup bites", 2, "an empty file is a slip"),
    ] {
        host.learn_filter_file(Arc::new(Filters::read(&file).unwrap())).await;
        // Behind what was ordered before.
        let filters = host.act(|engine, _, _| Ok(engine.filters())).await.unwrap();
        assert_eq!(filters.suspicion(prompt), suspicion, "{rule}");
    }
    host.change_filters(user, Wish::Drop(kept.id)).await.unwrap();
    assert_eq!(host.glance(|engine, _| engine.filters()).suspicion("a pup bites"), 1);
}

/// Changes rows as another broker would, of which no news has come.
async fn elsewhere(directory: &tempfile::TempDir, sql: &'static str) {
    use sqlx::Connection;
    let path = directory.path().join("gridbroker.sqlite");
    let mut other = sqlx::SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    assert_eq!(sqlx::query(sql).execute(&mut other).await.unwrap().rows_affected(), 1);
}

#[tokio::test]
async fn who_asks_for_several_things_is_told_of_the_first_that_records_refuse_though_the_last_holds() {
    use crate::engine::WorkerUpdate;
    let (host, user, directory) = host(None).await;
    pop(&host, user, Duration::ZERO).await;
    elsewhere(
        &directory,
        "INSERT INTO workers (id, name, owner, created_at, seen_at, profile_json) \
         SELECT '00000000-0000-0000-0000-000000000007', 'taken', owner, 1, 1, profile_json FROM workers",
    )
    .await;
    let id = host.glance(|engine, _| engine.worker_by_name("writer").unwrap().id);
    let update = WorkerUpdate {
        info: Some("mine".into()),
        name: Some("taken".into()),
        team: Some(String::new()),
        ..WorkerUpdate::default()
    };
    let told = host.act(move |engine, step, _| engine.update_worker(step, user, id, update)).await;
    assert!(matches!(&told, Err(Error::WorkerNameAlreadyExists(name)) if name == "taken"), "{told:?}");
    let (name, info) = host.glance(|engine, _| {
        let worker = engine.worker(id).unwrap();
        (worker.name.clone(), worker.standing.info.clone())
    });
    assert_eq!((name.as_str(), info.as_deref()), ("writer", Some("mine")), "what came before it holds");
}

#[tokio::test]
async fn what_was_asked_for_is_done_and_told_though_records_refuse_what_follows_from_it() {
    use crate::domain::{
        request::{AlchemyParams, Form, Params, Spec},
        worker::{AlchemySkills, Profile, Skills},
    };
    let (host, user, directory) = host(None).await;
    let id = RequestId(uuid::Uuid::from_u128(1));
    let forms = vec![Form { name: Arc::from("caption"), payload: None }];
    let params = Params::Alchemy(Box::new(AlchemyParams { forms, tiles: 2, source_url: None }));
    let spec = Spec { params, models: vec![Arc::from("caption")], ..stage::text_spec(1) };
    host.act(move |engine, step, _| engine.submit(step, id, user, spec)).await.unwrap();
    let desks = host.clone();
    let ticket = host.act(move |engine, step, desk| {
        let skills = Skills::Alchemy(AlchemySkills { max_tiles: 80 });
        let profile = Profile { models: vec![Arc::from("caption")], skills, ..stage::image_profile(1) };
        let pop = engine.pop(step, user, "alchemist", profile, step.now.plus(Duration::from_secs(20)))?;
        Ok(desk.hold_pop(&desks, pop.offer))
    });
    let mut ticket = ticket.await.unwrap();
    let Push::Grant(_) = (&mut ticket.inbox).await.unwrap().open() else { panic!("there is a form") };
    elsewhere(&directory, "UPDATE attempts SET state = 'faulted' WHERE state = 'open'").await;
    let cancelled = host.act(move |engine, step, _| Ok(engine.cancel(step, id))).await;
    assert!(
        matches!(cancelled, Ok(true)),
        "the form that was ended elsewhere is no part of it: {cancelled:?}"
    );
    let mut watching = host.watch(id, None).await.unwrap().unwrap();
    let told = async {
        while let Some((_, event)) = watching.next().await.unwrap() {
            if matches!(&*event, Event::Cancelled) {
                return true;
            }
        }
        false
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), told).await.unwrap(), "its watchers know");
}
