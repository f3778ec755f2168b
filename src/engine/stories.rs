//! Short stories told to the engine: what one verb must leave behind for the next.

use std::time::Duration;

use super::{
    Effect, Push, Report, Rules,
    stage::{Stage, image_profile, image_spec, text_profile, text_spec},
};
use crate::domain::{
    Error, Kudos, RequestId,
    event::Event,
    record::{Record, Snapshot, StoredRequest},
    request::{Kind, Spec},
};

const HOLD: Duration = Duration::from_secs(30);

#[test]
fn a_pop_gets_one_batch_and_the_other_jobs_stay_where_they_are() {
    let mut stage = Stage::new();
    stage.pop("artist", image_profile(4), HOLD);
    stage.submit(image_spec(4));
    assert_eq!(stage.granted().len(), 1, "one job at a time is safe");
    assert_eq!(stage.engine.depth(Kind::Image), (3, 1));
    let opened = stage.records().filter(|record| matches!(record, Record::AttemptOpened { .. })).count();
    assert_eq!(opened, 1, "no attempt is opened that nobody can be sent");
}

#[test]
fn requests_of_an_account_that_has_nothing_yet_are_served_in_the_order_in_which_they_came() {
    let mut stage = Stage::new();
    for spec in [text_spec(1), image_spec(1)] {
        let name = format!("a new one with {}", spec.kind().word());
        stage.user = super::picks::add_user(&mut stage, 0, vec![]);
        let (first, second) = (stage.submit(spec.clone()), stage.submit(spec.clone()));
        let profile = if spec.kind() == Kind::Text { text_profile(1) } else { image_profile(1) };
        for request in [first, second] {
            stage.pop(&name, profile.clone(), HOLD);
            let granted = stage.grants().first().map(|(_, grant)| grant.request);
            assert_eq!(granted, Some(request), "{name}: its first charge lifts its balance to the floor");
        }
    }
}

#[test]
fn a_pop_whose_claim_is_out_ends_with_the_answer_to_it() {
    for is_lost in [false, true] {
        let mut stage = Stage::new();
        stage.holds_claims = true;
        let request = stage.submit(text_spec(1));
        let offer = stage.pop("writer", text_profile(1), Duration::ZERO);
        stage.wait(Duration::from_secs(1));
        if is_lost {
            stage.act(|engine, step| engine.cancel(step, request));
        }
        stage.answer(is_lost);
        let ends = |effect: &Effect| matches!(effect, Effect::Deliver { offer: to, push: Push::Empty { .. } } if *to == offer);
        assert_eq!(stage.log.iter().any(ends), is_lost, "empty only if the claim was lost");
        assert_eq!(stage.granted().len(), usize::from(!is_lost));
    }
}

#[test]
fn a_request_cancelled_while_its_last_claim_is_out_ends_when_that_is_lost() {
    let mut stage = Stage::new();
    stage.holds_claims = true;
    stage.stream("writer", text_profile(1), 1, &[]);
    let request = stage.submit(text_spec(1));
    stage.act(|engine, step| engine.cancel(step, request));
    assert!(!stage.events(request).iter().any(Event::is_last), "a worker may be about to have it");
    stage.answer(true);
    assert!(stage.events(request).last().is_some_and(Event::is_last));
}

#[test]
fn a_lost_claim_frees_all_the_room_it_took() {
    let mut stage = Stage::new();
    stage.holds_claims = true;
    let lost = stage.submit(text_spec(3));
    stage.stream("writer", text_profile(3), 3, &[]);
    for _ in 0..3 {
        stage.submit(text_spec(1));
    }
    stage.act(|engine, step| engine.cancel(step, lost));
    stage.answer(true);
    assert_eq!(stage.claims.len(), 3, "three other requests fit into the room of three jobs");
}

#[test]
fn an_attempt_that_is_presented_twice_takes_one_credit() {
    let mut stage = Stage::new();
    stage.stream("writer", text_profile(1), 1, &[]);
    stage.submit(text_spec(2));
    let held = stage.granted();
    let (owner, report) = (stage.user, Report::default());
    stage.act(|engine, step| engine.report(step, owner, held[0], report)).unwrap();
    stage.stream("writer", text_profile(1), 1, &[held[0], held[0]]);
    stage.deliver(held[0]).unwrap();
    assert_eq!(stage.granted().len(), 1, "its credit is back, so the next job comes");
}

#[test]
fn a_job_that_comes_back_after_its_requests_time_waits_again_or_ends_with_a_reason() {
    let mut stage = Stage::with(Rules { keep: Duration::from_secs(200), ..Rules::default() });
    stage.pop("writer", text_profile(1), HOLD);
    let request = stage.submit(text_spec(1));
    let held = stage.granted();
    let (owner, report) = (stage.user, Report::default());
    stage.wait(Duration::from_secs(140));
    stage.act(|engine, step| engine.report(step, owner, held[0], report)).unwrap();
    stage.wait(Duration::from_secs(400));
    let events = stage.events(request);
    assert!(events.iter().any(|event| matches!(event, Event::Faulted { .. })), "the reason: {events:?}");
    assert!(events.last().is_some_and(Event::is_last));
    assert_eq!(stage.engine.depth(Kind::Text), (0, 0));
}

#[test]
fn a_grace_of_nothing_does_not_make_the_clock_stand_still() {
    let rules = Rules { grace: Duration::ZERO, keep: Duration::from_secs(10), ..Rules::default() };
    let mut stage = Stage::with(rules);
    stage.pop("writer", text_profile(1), HOLD);
    stage.submit(text_spec(1));
    let held = stage.granted();
    stage.wait(Duration::from_secs(149));
    let (owner, report) = (stage.user, Report::default());
    stage.act(|engine, step| engine.report(step, owner, held[0], report)).unwrap();
    stage.wait(Duration::from_secs(5));
    stage.deliver(held[0]).unwrap();
}

/// What Records would hold of the requests of a stage, with nothing open.
fn stored(stage: &Stage, cancelled: bool) -> Snapshot {
    let accepted = stage.records().filter_map(|record| match record {
        Record::RequestAccepted { request, expires_at, .. } => Some((request.clone(), *expires_at)),
        _ => None,
    });
    let requests = accepted.map(|(request, expires_at)| StoredRequest {
        request,
        expires_at,
        cancelled,
        faulted: false,
        done: false,
        consumed: Default::default(),
        open: vec![],
        closed: vec![],
        outcomes: vec![],
    });
    let users = stage.engine.user(stage.user).cloned().into_iter().collect();
    Snapshot { users, requests: requests.collect(), ..Snapshot::default() }
}

#[test]
fn a_request_cancelled_while_claimed_ends_after_a_restart() {
    let mut stage = Stage::new();
    let request = stage.submit(text_spec(1));
    let snapshot = stored(&stage, true);
    let mut restarted = Stage::new();
    let now = restarted.now;
    restarted.engine.restore(now, snapshot);
    restarted.wait(Duration::from_secs(1));
    assert!(restarted.events(request).last().is_some_and(Event::is_last));
}

#[test]
fn a_request_does_not_end_because_the_broker_was_down() {
    let mut stage = Stage::new();
    let request = stage.submit(text_spec(1));
    let snapshot = stored(&stage, false);
    let mut restarted = Stage::new();
    restarted.now = restarted.now.plus(Duration::from_secs(3600));
    let now = restarted.now;
    restarted.engine.restore(now, snapshot);
    restarted.wait(Duration::from_secs(1));
    restarted.pop("writer", text_profile(1), HOLD);
    let held = restarted.granted();
    restarted.deliver(held[0]).unwrap();
    assert!(restarted.events(request).last().is_some_and(Event::is_last));
}

#[test]
fn a_request_that_is_shelved_leaves_no_timer_behind() {
    let mut stage = Stage::with(Rules { max_finished_requests: 2, ..Rules::default() });
    for _ in 0..20 {
        let request = stage.submit(text_spec(1));
        stage.act(|engine, step| engine.cancel(step, request));
    }
    assert_eq!(stage.engine.timers.len(), 2);
}

#[test]
fn a_charge_at_submission_is_in_the_figures_on_disk() {
    let mut stage = Stage::new();
    stage.submit(text_spec(1));
    let counted = stage.records().filter_map(|record| match record {
        Record::UserCounted { user, change } if *user == stage.user => Some(change.accumulated),
        _ => None,
    });
    assert_eq!(counted.sum::<Kudos>(), Kudos::whole(-1));
}

#[test]
fn a_stream_that_never_says_anything_is_sent_its_job_ever_more_rarely_and_others_are_not_kept_waiting() {
    let mut stage = Stage::new();
    stage.stream("mute", text_profile(1), 1, &[]);
    stage.submit(text_spec(1));
    stage.wait(Duration::from_secs(100));
    assert_eq!(stage.granted().len(), 3, "at once, 10 + 20 s later, and 10 + 40 s after that");
    stage.stream("alive", text_profile(1), 1, &[]);
    let held = stage.granted();
    assert_eq!(held.len(), 1, "the job went to the other stream at once");
    stage.deliver(held[0]).unwrap();
}

#[test]
fn a_worker_holds_a_hundred_pops_and_the_oldest_one_is_answered_for_the_next() {
    let mut stage = Stage::new();
    let first = stage.pop("forgetful", text_profile(1), HOLD);
    for _ in 0..120 {
        stage.pop("forgetful", text_profile(1), HOLD);
    }
    assert_eq!(stage.engine.open_offers(), 100);
    let ends = |effect: &Effect| matches!(effect, Effect::Deliver { offer, push: Push::Empty { .. } } if *offer == first);
    assert!(stage.log.iter().any(ends), "it is told that there is nothing");
}

#[test]
fn requests_in_memory_are_counted_in_bytes_whether_they_wait_or_are_done() {
    let rules = Rules { max_open_bytes: 5_000, max_finished_bytes: 5_000, ..Rules::default() };
    let mut stage = Stage::with(rules);
    let long = || Spec { prompt: "x".repeat(2_000), ..text_spec(1) };
    let first = stage.submit(long());
    let owner = stage.user;
    let id = RequestId(uuid::Uuid::from_u128(1 << 100));
    let more = stage.act(|engine, step| engine.submit(step, id, owner, long()));
    assert!(matches!(more, Err(Error::QueueFull { .. })), "two of them are too much: {more:?}");
    stage.act(|engine, step| engine.cancel(step, first));
    let second = stage.submit(long());
    stage.act(|engine, step| engine.cancel(step, second));
    let now = stage.now;
    assert!(stage.engine.view(first, now).is_none(), "the older one made room for the newer one");
    assert!(stage.engine.view(second, now).is_some());
    assert!(stage.log.iter().any(|effect| matches!(effect, Effect::Shelve(id) if *id == first)));
}

#[test]
fn a_job_for_listed_workers_has_a_flat_price_where_those_are_for_whom_they_serve() {
    for matched_targeting in [false, true] {
        let mut stage = Stage::with(Rules { matched_targeting, ..Rules::default() });
        stage.stream("writer", text_profile(1), 2, &[]);
        stage.pop("other", text_profile(1), Duration::ZERO);
        let id_of = |name: &str| stage.engine.worker_by_name(name).map(|worker| worker.id).unwrap();
        let (worker, other) = (id_of("writer"), id_of("other"));
        for (workers, worker_blacklist, is_targeted) in
            [(vec![worker], false, true), (vec![], false, false), (vec![other], true, false)]
        {
            stage.submit(Spec { workers, worker_blacklist, ..text_spec(1) });
            let attempt = stage.granted()[0];
            let reward = stage.deliver(attempt).unwrap();
            let is_flat = reward == Kudos(100_000);
            assert_eq!(is_flat, matched_targeting && is_targeted, "{reward}");
        }
    }
}
