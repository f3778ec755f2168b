//! Short stories of an engine that is not alone: what it hears, learns and takes over.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use uuid::Uuid;

use super::Adoption;
use crate::{
    domain::{
        AttemptId, Error, RequestId, Timestamp,
        event::Event,
        lease::{Attempt, Closed, Held},
        news::{Hold, News},
        record::{Record, StoredRequest},
        request::Kind,
    },
    engine::{
        Effect, Push, Submission,
        stage::{Stage, text_profile, text_spec},
    },
};

const HOLD: Duration = Duration::from_secs(30);

fn stage() -> Stage {
    let mut stage = Stage::new();
    stage.engine.share();
    stage
}

fn hold(request: RequestId, number: u32, broker: &str) -> Hold {
    let attempt = AttemptId(Uuid::from_u128(900 + u128::from(number)));
    Hold { request, job: 0, number, attempt, broker: broker.into(), is_stream: true, is_taken_from_us: true }
}

fn hear(stage: &mut Stage, news: News) {
    stage.act(|engine, step| engine.hear(step, &[news]));
}

/// What Records would say of a request of the stage that nobody has worked on.
fn stored(stage: &Stage, id: RequestId) -> StoredRequest {
    let accepted = stage.records().find_map(|record| match record {
        Record::RequestAccepted { request, expires_at, .. } if request.id == id => {
            Some((request.clone(), *expires_at))
        }
        _ => None,
    });
    let (request, expires_at) = accepted.unwrap();
    StoredRequest {
        request,
        expires_at,
        cancelled: false,
        faulted: false,
        done: false,
        consumed: Default::default(),
        open: vec![],
        closed: vec![],
        outcomes: vec![],
    }
}

fn learn(stage: &mut Stage, stored: StoredRequest, refused: &[AttemptId]) {
    let refused: BTreeSet<_> = refused.iter().copied().collect();
    stage.act(|engine, step| engine.learn(step, vec![stored], &refused));
}

/// The attempt of a hold as Records have it, of the stage's worker.
fn open(stage: &Stage, hold: &Hold) -> Attempt {
    Attempt {
        id: hold.attempt,
        job: hold.job,
        number: hold.number,
        worker: stage.engine.worker_by_name("writer").unwrap().id,
        model: "model".into(),
        seed: 0,
        held: Held::Stream,
        granted_at: stage.now,
        expires_at: stage.now.plus(Duration::from_secs(150)),
    }
}

fn outcomes(stage: &Stage) -> Vec<Arc<crate::domain::result::Outcome>> {
    let settled = stage.records().filter_map(|record| match record {
        Record::Settled { outcome, .. } => Some(outcome.clone()),
        _ => None,
    });
    settled.collect()
}

#[test]
fn a_job_that_another_broker_gave_away_is_not_offered_until_it_waits_again() {
    let mut stage = stage();
    let request = stage.submit(text_spec(1));
    hear(&mut stage, News::Held(hold(request, 1, "far")));
    stage.pop("writer", text_profile(1), HOLD);
    assert!(stage.granted().is_empty());
    let now = stage.now;
    assert_eq!(stage.engine.view(request, now).unwrap().processing, 1);
    hear(&mut stage, News::Waits { request, job: 0, number: 1 });
    assert!(stage.granted().is_empty(), "that is old news");
    hear(&mut stage, News::Waits { request, job: 0, number: 2 });
    let attempt = stage.grants().remove(0).1.attempts.remove(0);
    assert_eq!(attempt.number, 2);
}

#[test]
fn a_lease_that_another_broker_ended_frees_its_credit_and_writes_nothing() {
    for is_settled in [false, true] {
        let mut stage = stage();
        stage.stream("writer", text_profile(1), 1, &[]);
        let request = stage.submit(text_spec(1));
        let held = stage.granted()[0];
        let next = stage.submit(text_spec(1));
        let before = stage.records().count();
        match is_settled {
            true => hear(&mut stage, News::Over { request, job: 0 }),
            false => {
                let (attempt, is_fault) = (held, false);
                hear(&mut stage, News::Returned { request, job: 0, attempt, is_fault });
                hear(&mut stage, News::Waits { request, job: 0, number: 2 });
            }
        }
        let granted = stage.grants();
        let wanted = if is_settled { next } else { request };
        assert_eq!(granted[0].1.request, wanted, "its room is free again");
        let ended = stage
            .records()
            .skip(before)
            .any(|record| matches!(record, Record::AttemptClosed { attempt, .. } if *attempt == held));
        assert!(!ended, "whoever ended it has written that down");
    }
}

#[test]
fn a_job_whose_claim_was_lost_is_nobodys_until_records_explain_it() {
    let mut stage = stage();
    stage.holds_claims = true;
    let request = stage.submit(text_spec(1));
    stage.pop("writer", text_profile(1), Duration::from_secs(300));
    stage.answer(true);
    assert!(stage.claims.is_empty(), "it is not claimed again at once");
    stage.wait(Duration::from_secs(1));
    let asks = |effect: &Effect| matches!(effect, Effect::Reread(id) if *id == request);
    assert!(stage.log.iter().any(asks), "somebody should know");
    let told = stored(&stage, request);
    learn(&mut stage, told.clone(), &[]);
    assert!(stage.claims.is_empty(), "whoever has it may not have written it down yet");
    stage.wait(Duration::from_secs(6));
    learn(&mut stage, told, &[]);
    assert_eq!(stage.claims.len(), 1, "nobody has it");
}

#[test]
fn a_claim_that_was_lost_to_somebody_who_is_known_waits_for_no_explanation() {
    let mut stage = stage();
    stage.holds_claims = true;
    let request = stage.submit(text_spec(1));
    stage.pop("writer", text_profile(1), Duration::from_secs(300));
    hear(&mut stage, News::Held(hold(request, 1, "far")));
    stage.answer(true);
    stage.wait(Duration::from_secs(10));
    assert!(!stage.log.iter().any(|effect| matches!(effect, Effect::Reread(_))));
    assert_eq!(stage.engine.depth(Kind::Text).0, 0);
}

#[test]
fn a_result_that_records_refused_is_taken_back() {
    let mut stage = stage();
    stage.pop("writer", text_profile(1), HOLD);
    let request = stage.submit(text_spec(1));
    let held = stage.granted()[0];
    stage.deliver(held).unwrap();
    let now = stage.now;
    assert!(stage.engine.view(request, now).unwrap().done);
    // Another broker had ended its attempt before.
    let mut told = stored(&stage, request);
    told.closed.push((0, 1, held, Closed::Faulted));
    learn(&mut stage, told, &[held]);
    let view = stage.engine.view(request, now).unwrap();
    assert_eq!((view.done, view.waiting, view.finished, view.restarted), (false, 1, 0, 1));
    stage.pop("writer", text_profile(1), HOLD);
    assert_eq!(stage.granted().len(), 1, "it is worked on again");
}

#[test]
fn a_result_that_records_refused_though_its_attempt_is_open_leaves_it_open() {
    let mut stage = stage();
    stage.pop("writer", text_profile(1), HOLD);
    let request = stage.submit(text_spec(1));
    let grant = stage.grants().remove(0).1;
    let held = grant.attempts[0].id;
    stage.deliver(held).unwrap();
    let told = StoredRequest { open: grant.attempts, ..stored(&stage, request) };
    learn(&mut stage, told, &[held]);
    let now = stage.now;
    let view = stage.engine.view(request, now).unwrap();
    assert_eq!((view.done, view.finished, view.processing), (false, 0, 1));
}

#[test]
fn an_attempt_that_nobody_says_they_look_after_is_asked_for_and_offered_to_whoever_takes_over() {
    let mut stage = stage();
    stage.pop("writer", text_profile(1), HOLD);
    let request = stage.submit(text_spec(1));
    let grant = stage.grants().remove(0).1;
    let held = grant.attempts[0].id;
    stage.act(|engine, step| engine.undelivered(step, &[held]));
    let next = stage.granted();
    // Records refused that it ended, and so what began after it.
    let told = StoredRequest { open: grant.attempts, ..stored(&stage, request) };
    learn(&mut stage, told.clone(), &[[held].as_slice(), &next].concat());
    let asked = |stage: &Stage| {
        stage.log.iter().filter(|effect| matches!(effect, Effect::Reread(id) if *id == request)).count()
    };
    let unclaimed = |stage: &Stage| stage.engine.unclaimed(stage.now, Duration::from_secs(5), false);
    assert_eq!((asked(&stage), unclaimed(&stage)), (0, vec![]), "its broker may be about to say so");
    let mut times = Vec::new();
    for second in 1..=20 {
        stage.wait(Duration::from_secs(1));
        if asked(&stage) > times.len() {
            times.push(second);
            learn(&mut stage, told.clone(), &[]);
        }
    }
    assert_eq!(times, [2, 4, 8, 16], "less often the longer nobody can say");
    assert_eq!(unclaimed(&stage), [(request, held)]);
    // Somebody has ended it, and nothing was heard of that.
    let returned = StoredRequest { open: vec![], closed: vec![(0, 1, held, Closed::Returned)], ..told };
    learn(&mut stage, returned, &[]);
    assert_eq!(unclaimed(&stage), []);
    stage.pop("writer", text_profile(1), HOLD);
    assert_eq!(stage.granted().len(), 1, "it is worked on again");
}

#[test]
fn an_attempt_whose_claim_was_taken_back_is_closed_in_records_in_case_it_came_to_be_there() {
    let mut stage = stage();
    stage.pop("writer", text_profile(1), HOLD);
    let request = stage.submit(text_spec(1));
    let held = stage.granted()[0];
    hear(&mut stage, News::Waits { request, job: 0, number: 2 });
    let closed = |record: &Record| matches!(record, Record::AttemptClosed { attempt, how: Closed::Returned, .. } if *attempt == held);
    assert!(stage.records().any(closed));
    assert!(!stage.engine.is_open(held));
    stage.pop("writer", text_profile(1), HOLD);
    assert_eq!(stage.grants().remove(0).1.attempts[0].number, 2);
}

#[test]
fn whoever_tells_the_end_of_a_request_says_why_too_in_case_nobody_else_lived_to() {
    let mut far = stage();
    far.stream("writer", text_profile(1), 1, &[]);
    let request = far.submit(text_spec(1));
    let open = far.grants().remove(0).1.attempts;
    // The other broker failed it, and cancelled it, and died before it said so.
    let told = StoredRequest { open, faulted: true, cancelled: true, ..stored(&far, request) };
    let mut stage = stage();
    learn(&mut stage, told.clone(), &[]);
    let named: Vec<_> = told.open.iter().map(|attempt| attempt.id).collect();
    stage.act(|engine, step| engine.adopt(step, told, &named, &mut HashMap::new(), Adoption::Orphaned));
    stage.wait(Duration::from_secs(2));
    let events = stage.events(request);
    let end = &events[events.len().saturating_sub(3)..];
    assert!(matches!(end, [Event::Faulted { .. }, Event::Cancelled, Event::Done { .. }]), "{events:?}");
}

#[test]
fn a_fault_of_a_job_that_may_be_another_brokers_is_not_taken_for_no_news() {
    let mut stage = stage();
    let request = stage.submit(text_spec(1));
    let held = hold(request, 1, "far");
    hear(&mut stage, News::Held(held.clone()));
    hear(&mut stage, News::Returned { request, job: 0, attempt: held.attempt, is_fault: false });
    let owner = stage.user;
    let said = stage.act(|engine, step| engine.settle(step, owner, held.attempt, Submission::Faulted));
    assert!(matches!(said, Err(Error::AbortedGen(_))), "Records know whether it is open: {said:?}");
}

#[test]
fn each_job_that_a_stream_leaves_goes_back_in_a_deed_of_its_own() {
    let mut stage = stage();
    let offer = stage.stream("writer", text_profile(1), 3, &[]);
    stage.submit(text_spec(3));
    assert_eq!(stage.granted().len(), 3);
    stage.act(|engine, step| engine.close_stream(step, offer));
    let closed = |effect: &&Effect| matches!(effect, Effect::Persist(Record::AttemptClosed { .. }));
    let deeds = stage.log.split(|effect| matches!(effect, Effect::Cut));
    let ends: Vec<_> =
        deeds.map(|deed| deed.iter().filter(closed).count()).filter(|ends| *ends > 0).collect();
    assert_eq!(ends, [1, 1, 1], "another broker may have ended one of them");
}

#[test]
fn what_is_on_its_way_to_records_is_not_undone_by_what_they_said_before() {
    let mut stage = stage();
    stage.pop("writer", text_profile(1), HOLD);
    let request = stage.submit(text_spec(1));
    let untouched = stored(&stage, request);
    let grant = stage.grants().remove(0).1;
    let held = grant.attempts[0].id;
    learn(&mut stage, untouched.clone(), &[]);
    assert!(stage.engine.is_open(held), "its opening was on its way");
    stage.deliver(held).unwrap();
    let opened = StoredRequest { open: grant.attempts, ..untouched };
    learn(&mut stage, opened, &[]);
    let now = stage.now;
    assert!(stage.engine.view(request, now).unwrap().done, "its result was on its way");
}

#[test]
fn a_request_that_ended_elsewhere_ends_here_by_what_records_say() {
    let mut stage = stage();
    stage.pop("writer", text_profile(1), HOLD);
    let request = stage.submit(text_spec(2));
    let held = stage.granted()[0];
    stage.deliver(held).unwrap();
    assert!(!stage.events(request).iter().any(Event::is_last));
    hear(&mut stage, News::Over { request, job: 1 });
    assert!(stage.log.iter().any(|effect| matches!(effect, Effect::Reread(id) if *id == request)));
    let mut told = stored(&stage, request);
    let mine = outcomes(&stage).remove(0);
    let other =
        crate::domain::result::Outcome { attempt: AttemptId(Uuid::from_u128(77)), job: 1, ..(*mine).clone() };
    told.outcomes = vec![mine, Arc::new(other)];
    told.done = true;
    learn(&mut stage, told, &[]);
    let ends: Vec<_> = stage.events(request).into_iter().filter(Event::is_last).collect();
    assert!(matches!(ends[..], [Event::Done { finished: 2, .. }]), "{ends:?}");
}

#[test]
fn a_request_that_nobody_here_has_heard_of_is_taken_in_and_worked_on() {
    let mut far = stage();
    let request = far.submit(text_spec(1));
    let told = stored(&far, request);
    let mut near = stage();
    near.now = far.now;
    near.pop("writer", text_profile(1), HOLD);
    learn(&mut near, told, &[]);
    assert_eq!(near.grants()[0].1.request, request);
}

#[test]
fn an_attempt_is_taken_over_with_the_text_that_was_told_of_it() {
    let mut stage = stage();
    let request = stage.submit(text_spec(1));
    stage.pop("writer", text_profile(1), Duration::ZERO);
    stage.claims.clear();
    let mut told = stored(&stage, request);
    let mine = stage.granted()[0];
    // The same attempt as another broker gave it out.
    let hold = Hold { attempt: mine, ..hold(request, 1, "far") };
    hear(&mut stage, News::Held(hold.clone()));
    assert!(!stage.engine.is_at_home(mine));
    told.open = vec![open(&stage, &hold)];
    learn(&mut stage, told.clone(), &[]);
    let mut text = HashMap::from([(mine, "te".to_owned())]);
    stage.act(|engine, step| engine.adopt(step, told, &[mine], &mut text, Adoption::GoesOn));
    assert!(stage.engine.is_at_home(mine));
    let moved = |record: &Record| matches!(record, Record::LeaseMoved { attempt, .. } if *attempt == mine);
    assert!(stage.records().any(moved), "so that others hear who looks after it");
    stage.deliver(mine).unwrap();
    let events = stage.events(request);
    assert!(!events.iter().any(|event| matches!(event, Event::Reset { .. })), "{events:?}");
    let tokens = events.iter().filter_map(|event| match event {
        Event::Token { text, .. } => Some(text.as_str()),
        _ => None,
    });
    assert_eq!(tokens.collect::<String>(), "xt", "what was told before is in the log");
}

#[test]
fn what_a_dead_broker_pushed_goes_back_unless_its_worker_presents_it() {
    for is_presented in [false, true] {
        let mut stage = stage();
        let request = stage.submit(text_spec(1));
        let held = hold(request, 1, "far");
        hear(&mut stage, News::Held(held.clone()));
        let far: Arc<str> = "far".into();
        assert!(stage.engine.orphans(&[far]).is_empty(), "it lives");
        let orphans = stage.engine.orphans(&["near".into()]);
        assert_eq!(orphans, [(request, held.attempt)]);
        let other = text_spec(1);
        stage.pop("writer", text_profile(1), Duration::ZERO);
        let mut told = stored(&stage, request);
        told.open = vec![open(&stage, &held)];
        learn(&mut stage, told.clone(), &[]);
        let named = [held.attempt];
        let mut text = HashMap::new();
        stage.act(|engine, step| engine.adopt(step, told, &named, &mut text, Adoption::Orphaned));
        if is_presented {
            stage.stream("writer", text_profile(1), 1, &named);
        }
        stage.wait(Duration::from_secs(3));
        assert_eq!(stage.engine.is_open(held.attempt), is_presented);
        let back = |record: &Record| matches!(record, Record::AttemptClosed { attempt, how: Closed::Returned, .. } if *attempt == held.attempt);
        assert_eq!(stage.records().any(back), !is_presented, "without blame");
        drop(other);
    }
}

#[test]
fn a_stream_opened_elsewhere_ends_the_older_one_here() {
    let mut stage = stage();
    let older = stage.stream("writer", text_profile(1), 1, &[]);
    let worker = stage.engine.worker_by_name("writer").unwrap().id;
    let before = Timestamp(stage.now.0 - 1);
    let is_replaced = |stage: &Stage| {
        stage.log.iter().any(
            |effect| matches!(effect, Effect::Deliver { offer, push: Push::Replaced } if *offer == older),
        )
    };
    hear(&mut stage, News::StreamOpened(worker, before));
    assert!(!is_replaced(&stage), "that one was older");
    stage.wait(Duration::from_secs(1));
    let now = stage.now;
    hear(&mut stage, News::StreamOpened(worker, now));
    assert!(is_replaced(&stage));
    assert_eq!(stage.engine.open_offers(), 0);
}

#[test]
fn a_broker_that_does_not_lead_drops_no_request() {
    let mut stage = stage();
    let request = stage.submit(text_spec(1));
    stage.engine.lead(stage.now, false);
    stage.wait(Duration::from_secs(3600));
    assert!(stage.engine.knows(request));
    stage.engine.lead(stage.now, true);
    stage.wait(Duration::from_secs(60));
    assert!(!stage.engine.knows(request));
    let dropped =
        |record: &Record| matches!(record, Record::RequestDropped { request: id, .. } if *id == request);
    assert!(stage.records().any(dropped));
}

/// Workers write from everywhere at once for a while: each broker sees one of their calls each second, and
/// hears of the others each ten.
fn is_seen_everywhere(stage: &mut Stage, seconds: u64, leads: bool) {
    for second in 0..seconds {
        stage.wait(Duration::from_secs(1));
        let now = stage.now;
        stage.engine.lead(now, leads);
        stage.pop("writer", text_profile(1), Duration::ZERO);
        if second % 10 == 0 {
            let worker = stage.engine.worker_by_name("writer").unwrap().id;
            hear(stage, News::Seen(vec![(worker, now)]));
        }
    }
}

fn seconds_counted(stage: &Stage) -> i64 {
    let counted = stage.records().filter_map(|record| match record {
        Record::WorkerCounted { change, .. } => Some(change.uptime_seconds),
        _ => None,
    });
    counted.sum()
}

#[test]
fn time_online_is_counted_by_the_leader_alone_and_told_to_the_others_each_minute() {
    let (mut leader, mut other) = (stage(), stage());
    is_seen_everywhere(&mut leader, 300, true);
    is_seen_everywhere(&mut other, 300, false);
    assert!((240..=300).contains(&seconds_counted(&leader)), "{}", seconds_counted(&leader));
    assert_eq!(seconds_counted(&other), 0);
    let seen_at = other.engine.worker_by_name("writer").unwrap().seen_at;
    assert_eq!(seen_at, other.now, "it is online there all the same");
}

#[test]
fn a_new_leader_counts_from_then_on_and_one_that_stood_still_counts_no_more() {
    let mut stage = stage();
    is_seen_everywhere(&mut stage, 100, false);
    is_seen_everywhere(&mut stage, 100, true);
    let worker = stage.engine.worker_by_name("writer").unwrap().id;
    let counted = |stage: &Stage| stage.engine.worker(worker).unwrap().stats.uptime_seconds;
    assert!((99..=100).contains(&counted(&stage)), "{}", counted(&stage));
    let before = counted(&stage);
    // It does not know yet that another one leads by now.
    stage.now = stage.now.plus(Duration::from_secs(60));
    let now = stage.now;
    hear(&mut stage, News::Seen(vec![(worker, now)]));
    assert_eq!(counted(&stage), before);
    is_seen_everywhere(&mut stage, 10, true);
    assert_eq!(counted(&stage), before + 9, "it leads again from the first of ten seconds on");
}
