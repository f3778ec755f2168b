use std::time::Duration;

use super::{super::Report, MOST_OUT};
use crate::{
    domain::{
        AttemptId, Error, Kudos, RequestId, UserId,
        record::Record,
        result::{Delivery, Product, Verdict},
        user::KeyHash,
        worker::Profile,
    },
    engine::{
        NewUser, Submission,
        stage::{Stage, image_profile, image_spec, text_profile, text_spec},
    },
};

/// A stage, and an account whose worker is paused.
fn paused(profile: Profile) -> (Stage, UserId) {
    let mut stage = Stage::new();
    let new = NewUser {
        alias: "suspect".into(),
        key: KeyHash::of("suspect"),
        kudos: Kudos::ZERO,
        roles: vec![],
        concurrency: 100,
        worker_invites: 0,
    };
    let owner = stage.act(|engine, step| engine.add_user(step, new)).unwrap().id;
    pops(&mut stage, owner, profile);
    let id = stage.engine.worker_by_name("paused").unwrap().id;
    stage.engine.fleet.get_mut(id).unwrap().standing.is_paused = true;
    (stage, owner)
}

fn pops(stage: &mut Stage, owner: UserId, profile: Profile) -> Vec<(RequestId, AttemptId)> {
    let asks = std::mem::replace(&mut stage.user, owner);
    stage.pop("paused", profile, Duration::ZERO);
    stage.user = asks;
    shown(stage)
}

fn shown(stage: &mut Stage) -> Vec<(RequestId, AttemptId)> {
    stage.grants().iter().map(|(_, grant)| (grant.request, grant.attempts[0].id)).collect()
}

fn text(text: &str) -> Submission {
    let product = Product::Text(text.into());
    Submission::Delivered(Delivery {
        product,
        seed: 1,
        verdict: Verdict::Ok,
        remarks: vec![],
        extras: Default::default(),
    })
}

#[test]
fn a_decoy_looks_like_a_job_and_nothing_comes_of_it() {
    let (mut stage, owner) = paused(text_profile(1));
    let id = stage.submit(text_spec(1));
    let (before, balance) = (stage.records().count(), stage.engine.user(owner).unwrap().balance);
    let decoys = pops(&mut stage, owner, text_profile(1));
    let [(request, decoy)] = decoys[..] else { panic!("it is shown one: {decoys:?}") };
    assert_eq!(request, id);
    let view = stage.engine.view(id, stage.now).unwrap();
    assert_eq!((view.waiting, view.processing, view.position), (1, 0, 1), "the request waits on");
    assert!(!view.is_possible, "nobody could have it");
    assert!(
        stage.engine.is_open(decoy) && stage.engine.is_at_home(decoy),
        "what is uploaded for it is taken"
    );
    assert_eq!(stage.engine.model_of(decoy).as_deref(), Some("model"));
    assert_eq!(pops(&mut stage, owner, text_profile(1)), [], "no request is shown twice");

    let somebody = stage.user;
    let settles = |stage: &mut Stage, caller, submission| {
        stage.act(|engine, step| engine.settle(step, caller, decoy, submission))
    };
    assert!(matches!(settles(&mut stage, somebody, text("mine")), Err(Error::WrongCredentials)));
    let report = Report { text: "half".into(), ..Report::default() };
    assert!(stage.act(|engine, step| engine.report(step, owner, decoy, report.clone())).unwrap());
    let reward = settles(&mut stage, owner, text("some text")).unwrap();
    let again = settles(&mut stage, owner, text("some text"));
    assert!(matches!(again, Err(Error::DuplicateGen { reward: told, .. }) if told == reward));
    let late = stage.act(|engine, step| engine.report(step, owner, decoy, report));
    assert!(matches!(late, Err(Error::AbortedGen(_))));
    assert_eq!(stage.engine.user(owner).unwrap().balance, balance, "nobody is paid");
    let written: Vec<_> = stage.records().skip(before).collect();
    assert!(
        written.iter().all(|record| matches!(record, Record::WorkerSaid(_) | Record::WorkerCounted { .. })),
        "{written:?}"
    );
    assert_eq!(stage.events(id).len(), 1, "who asks hears of nothing");

    stage.pop("honest", text_profile(1), Duration::ZERO);
    let real = stage.granted();
    assert_eq!(real.len(), 1, "it is for somebody else");
    let delivery = text("some text");
    let paid = stage.act(|engine, step| engine.settle(step, somebody, real[0], delivery)).unwrap();
    assert_eq!(reward, paid, "as much is told as would be paid");
}

#[test]
fn only_what_it_could_have_is_shown_and_its_owners_jobs_are_real() {
    let (mut stage, owner) = paused(image_profile(1));
    stage.submit(crate::domain::request::Spec { models: vec!["another".into()], ..image_spec(1) });
    assert_eq!(pops(&mut stage, owner, image_profile(1)), []);
    let theirs = stage.submit(image_spec(1));
    let asks = std::mem::replace(&mut stage.user, owner);
    let own = stage.submit(image_spec(1));
    stage.user = asks;
    let [(first, real)] = pops(&mut stage, owner, image_profile(1))[..] else { panic!("one") };
    let [(second, decoy)] = pops(&mut stage, owner, image_profile(1))[..] else { panic!("one") };
    assert_eq!((first, second), (own, theirs), "own ones first");
    let opened =
        |id| stage.records().any(|r| matches!(r, Record::AttemptOpened { attempt, .. } if attempt.id == id));
    assert!(opened(real) && !opened(decoy));
}

#[test]
fn a_worker_has_so_many_decoys_at_a_time_and_they_are_forgotten_with_their_lease() {
    let (mut stage, owner) = paused(text_profile(1));
    for _ in 0..MOST_OUT + 5 {
        stage.submit(text_spec(1));
    }
    let mut all = Vec::new();
    for _ in 0..MOST_OUT + 5 {
        all.extend(pops(&mut stage, owner, text_profile(1)));
    }
    assert_eq!(all.len(), MOST_OUT);
    let fails = |engine: &mut super::Engine, step: &mut super::Step<'_>| {
        engine.settle(step, owner, all[0].1, Submission::Faulted)
    };
    assert_eq!(stage.act(fails).unwrap(), Kudos::ZERO);
    assert!(pops(&mut stage, owner, text_profile(1)).is_empty(), "however fast it fails, no more are shown");
    stage.wait(Duration::from_secs(200));
    assert!(stage.engine.decoys.known.is_empty());
    let late = stage.act(|engine, step| engine.settle(step, owner, all[1].1, text("late")));
    assert!(matches!(late, Err(Error::InvalidJobId(_))));
    assert_eq!(pops(&mut stage, owner, text_profile(1)).len(), 1);
    stage
        .engine
        .fleet
        .get_mut(stage.engine.worker_by_name("paused").unwrap().id)
        .unwrap()
        .standing
        .is_paused = false;
    stage.wait(Duration::from_secs(200));
    assert!(stage.engine.decoys.workers.is_empty(), "nothing is remembered of who is paused no more");
}

#[test]
fn a_stream_gets_a_credit_back_for_each_decoy() {
    let (mut stage, owner) = paused(text_profile(1));
    for _ in 0..4 {
        stage.submit(text_spec(1));
    }
    let asks = std::mem::replace(&mut stage.user, owner);
    let offer = stage.stream("paused", text_profile(1), 2, &[]);
    stage.user = asks;
    let first = shown(&mut stage);
    assert_eq!((first.len(), stage.engine.offers.room(offer)), (2, 0));
    stage.act(|engine, step| engine.settle(step, owner, first[0].1, text("one"))).unwrap();
    assert_eq!(
        (shown(&mut stage).len(), stage.engine.offers.room(offer)),
        (1, 0),
        "the next one comes at once"
    );
    stage.act(|engine, step| engine.undelivered(step, &[first[1].1]));
    assert_eq!((shown(&mut stage).len(), stage.engine.offers.room(offer)), (1, 0));
    stage.act(|engine, step| engine.close_stream(step, offer));
    stage.wait(Duration::from_secs(200));
    assert!(stage.engine.decoys.known.is_empty());
}

#[test]
fn a_stream_that_comes_back_keeps_its_decoys() {
    let (mut stage, owner) = paused(text_profile(1));
    for _ in 0..3 {
        stage.submit(text_spec(1));
    }
    let asks = std::mem::replace(&mut stage.user, owner);
    let cut = stage.stream("paused", text_profile(1), 2, &[]);
    let [(_, done), (_, held)] = shown(&mut stage)[..] else { panic!("it is shown two") };
    stage.act(|engine, step| engine.close_stream(step, cut));
    stage.act(|engine, step| engine.settle(step, owner, done, text("one"))).unwrap();
    let stream = stage.act(|engine, step| {
        engine.open_stream(step, owner, "paused", text_profile(1), 2, &[held, done, held])
    });
    let stream = stream.unwrap();
    assert_eq!(stream.kept, [held], "as a job that is its own, and once; what it handed in is over");
    stage.act(|engine, step| engine.start_stream(step, stream.offer));
    assert_eq!(
        (shown(&mut stage).len(), stage.engine.offers.room(stream.offer)),
        (1, 0),
        "one more has room"
    );
    stage.act(|engine, step| engine.settle(step, owner, held, text("two"))).unwrap();
    assert_eq!(stage.engine.offers.room(stream.offer), 1, "its credit comes back to the new stream");
    // Another worker's it is not.
    stage.user = asks;
    let other =
        stage.act(|engine, step| engine.open_stream(step, asks, "other", text_profile(1), 1, &[held]));
    assert_eq!(other.unwrap().kept, []);
}
