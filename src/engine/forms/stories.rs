//! Stories of forms: what of one request goes to whom, and how it ends.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::{
    domain::{
        AttemptId, Error, RequestId, Timestamp,
        news::{Hold, News},
        record::{Record, Snapshot, StoredRequest},
        request::{Accepted, AlchemyParams, Form},
        user::{KeyHash, Role},
        worker::{AlchemySkills, Profile, Skills},
    },
    engine::{
        Effect, NewUser, Rules, Submission,
        queue::{Place, Queue, Walk},
        stage::{Stage, image_profile, text_spec},
    },
};

const HOLD: Duration = Duration::from_secs(30);

fn spec(forms: &[&str]) -> Spec {
    let one = |name: &&str| Form { name: Arc::from(*name), payload: None };
    let mut models: Vec<Arc<str>> = forms.iter().map(|name| Arc::from(*name)).collect();
    models.sort();
    models.dedup();
    let alchemy = AlchemyParams { forms: forms.iter().map(one).collect(), tiles: 2, source_url: None };
    Spec { models, jobs: forms.len(), params: Params::Alchemy(Box::new(alchemy)), ..text_spec(1) }
}

fn profile(forms: &[&str], amount: u32) -> Profile {
    let models = forms.iter().map(|name| Arc::from(*name)).collect();
    let skills = Skills::Alchemy(AlchemySkills { max_tiles: 80 });
    Profile { models, skills, amount, ..image_profile(1) }
}

impl Stage {
    /// Attempts that were sent, with their forms.
    fn forms(&mut self) -> Vec<(AttemptId, String)> {
        let attempts = self.grants().into_iter().flat_map(|(_, grant)| grant.attempts);
        attempts.map(|attempt| (attempt.id, attempt.model)).collect()
    }

    fn names(&mut self) -> Vec<String> {
        self.forms().into_iter().map(|(_, form)| form).collect()
    }

    fn hands_in(&mut self, attempt: AttemptId) -> crate::domain::Result<Kudos> {
        let owner = self.user;
        let result = json!({"caption": "a cat"}).as_object().cloned().unwrap_or_default();
        let (product, remarks) = (Product::Form(result), vec![]);
        let delivery =
            Delivery { product, seed: 0, verdict: Verdict::Ok, remarks, extras: Default::default() };
        self.act(|engine, step| engine.settle(step, owner, attempt, Submission::Delivered(delivery)))
    }

    fn faults(&mut self, attempt: AttemptId) {
        let owner = self.user;
        self.act(|engine, step| engine.settle(step, owner, attempt, Submission::Faulted)).unwrap();
    }

    fn faults_or_is_told(&mut self, attempt: AttemptId) {
        let owner = self.user;
        let told = self.act(|engine, step| engine.settle(step, owner, attempt, Submission::Faulted));
        assert!(matches!(told, Ok(Kudos::ZERO) | Err(Error::DuplicateGen { .. })), "{told:?}");
    }

    fn standings(&self, id: RequestId) -> Vec<Standing> {
        self.engine.view(id, self.now).unwrap().standings
    }

    /// How often a pop was told that this was all.
    fn ends(&self, of: OfferId) -> usize {
        let is_end = |effect: &&Effect| matches!(effect, Effect::Deliver { offer, push: Push::Empty { .. } } if *offer == of);
        self.log.iter().filter(is_end).count()
    }

    fn balance(&self) -> Kudos {
        let user = self.engine.user(self.user).unwrap();
        // Half of what it earns is put aside for it.
        user.balance + user.escrow
    }
}

#[test]
fn a_request_whose_caption_is_taken_does_not_keep_others_from_workers_that_only_caption() {
    let mut stage = Stage::new();
    stage.submit(spec(&["caption", "nsfw"]));
    stage.submit(spec(&["caption"]));
    for (forms, expected, rule) in [
        (&["caption"][..], &["caption"][..], "the first request's"),
        (&["caption"], &["caption"], "the second's: of the first none waits"),
        (&["caption"], &[], "none is left"),
        (&["caption", "nsfw"], &["nsfw"], "only what waits"),
    ] {
        stage.pop("alchemist", profile(forms, 1), Duration::ZERO);
        assert_eq!(stage.names(), expected, "{rule}");
    }
    assert_eq!(stage.engine.depth(Kind::Alchemy), (0, 3));
}

#[test]
fn a_pop_gets_forms_of_several_requests_and_no_more_than_it_wants() {
    let mut stage = Stage::new();
    for forms in [&["caption", "GFPGAN"][..], &["nsfw"], &["caption", "caption"]] {
        stage.submit(spec(forms));
    }
    let offer = stage.pop("alchemist", profile(&["caption", "nsfw"], 3), HOLD);
    assert_eq!(stage.names(), ["caption", "nsfw", "caption"], "in the order of the queue");
    assert_eq!(stage.ends(offer), 1, "then it is told that this is all");
    assert_eq!(stage.engine.open_offers(), 0);
    assert_eq!(stage.engine.depth(Kind::Alchemy), (2, 3));
}

#[test]
fn a_pop_whose_claims_are_lost_in_part_ends_with_the_rest() {
    for lost in [[true, false], [false, true], [true, true]] {
        let mut stage = Stage::new();
        stage.holds_claims = true;
        let first = stage.submit(spec(&["caption"]));
        let second = stage.submit(spec(&["caption"]));
        let offer = stage.pop("alchemist", profile(&["caption"], 2), Duration::ZERO);
        assert_eq!(stage.claims.len(), 2, "both are asked for at once");
        for (request, is_lost) in [first, second].into_iter().zip(lost) {
            assert_eq!(stage.ends(offer), 0);
            if is_lost {
                stage.act(|engine, step| engine.cancel(step, request));
            }
            stage.answer(is_lost);
        }
        assert_eq!(stage.names().len(), lost.iter().filter(|lost| !**lost).count());
        assert_eq!(stage.ends(offer), 1, "{lost:?}");
    }
}

#[test]
fn a_form_that_failed_four_times_is_given_up_and_the_others_go_on() {
    let mut stage = Stage::new();
    let request = stage.submit(spec(&["caption", "nsfw"]));
    stage.pop("reader", profile(&["nsfw"], 1), HOLD);
    let (other, _) = stage.forms()[0];
    for failed in 1..=4 {
        stage.pop("captioner", profile(&["caption"], 1), Duration::ZERO);
        let (attempt, _) = stage.forms()[0];
        stage.faults(attempt);
        let expected = if failed < 4 { Standing::Waiting } else { Standing::Faulted };
        assert_eq!(stage.standings(request), [expected, Standing::Processing], "after {failed}");
    }
    stage.pop("captioner", profile(&["caption"], 1), Duration::ZERO);
    assert_eq!(stage.names(), [""; 0], "nobody gets it again");
    assert!(!stage.events(request).iter().any(Event::is_last), "one form is still under way");
    stage.hands_in(other).unwrap();
    assert_eq!(stage.standings(request), [Standing::Faulted, Standing::Done]);
    let events = stage.events(request);
    assert!(events.iter().any(|event| matches!(event, Event::Faulted { .. })));
    assert!(matches!(events.last(), Some(Event::Done { finished: 1, .. })), "{events:?}");
    let is_ended = |record: &Record| matches!(record, Record::RequestMoved { faulted: true, .. });
    assert!(stage.records().any(is_ended), "Records know that nothing more comes");
}

#[test]
fn a_form_that_was_given_up_stays_so_after_a_restart() {
    let mut stage = Stage::new();
    let request = stage.submit(spec(&["caption", "nsfw"]));
    let mut closed = Vec::new();
    for number in 1..=4 {
        stage.pop("captioner", profile(&["caption"], 1), Duration::ZERO);
        let (attempt, _) = stage.forms()[0];
        stage.faults(attempt);
        closed.push((0, number, attempt, crate::domain::lease::Closed::Faulted));
    }
    let accepted = stage.records().find_map(|record| match record {
        Record::RequestAccepted { request, expires_at, .. } => Some((request.clone(), *expires_at)),
        _ => None,
    });
    let (accepted, expires_at) = accepted.unwrap();
    let stored = StoredRequest {
        request: accepted,
        expires_at,
        cancelled: false,
        faulted: false,
        done: false,
        consumed: Kudos::ZERO,
        open: vec![],
        closed,
        outcomes: vec![],
    };
    let users = stage.engine.user(stage.user).cloned().into_iter().collect();
    let mut restarted = Stage::new();
    let now = restarted.now;
    restarted.engine.restore(now, Snapshot { users, requests: vec![stored], ..Snapshot::default() });
    restarted.wait(Duration::from_secs(1));
    assert_eq!(restarted.standings(request), [Standing::Faulted, Standing::Waiting]);
    restarted.pop("alchemist", profile(&["caption", "nsfw"], 5), Duration::ZERO);
    let forms = restarted.forms();
    assert_eq!(forms.len(), 1, "the other form alone");
    restarted.hands_in(forms[0].0).unwrap();
    assert!(restarted.events(request).last().is_some_and(Event::is_last));
}

#[test]
fn cancelling_pays_for_what_is_under_way_and_tells_late_results_so() {
    let mut stage = Stage::new();
    let webhook = Some("https://example.org/hook".into());
    let request = stage.submit(Spec { webhook, ..spec(&["caption", "nsfw", "palette"]) });
    stage.pop("alchemist", profile(&["caption", "nsfw"], 2), HOLD);
    let forms = stage.forms();
    stage.hands_in(forms[0].0).unwrap();
    let before = stage.balance();
    stage.act(|engine, step| engine.cancel(step, request));
    assert_eq!(stage.standings(request), [Standing::Done, Standing::Cancelled, Standing::Cancelled]);
    // The stage's account asks and works: it pays 1 + 2, and is paid 1.
    assert_eq!(before - stage.balance(), Kudos::whole(2));
    let late = stage.hands_in(forms[1].0);
    assert!(matches!(late, Err(Error::DuplicateGen { reward, .. }) if reward == Kudos::whole(1)), "{late:?}");
    let events = stage.events(request);
    let results = events.iter().filter(|event| matches!(event, Event::Result { .. })).count();
    assert_eq!(results, 1, "what was cancelled has none");
    let due = stage.records().filter(|record| matches!(record, Record::WebhookDue(_))).count();
    assert_eq!(due, 1, "nor is a webhook told of it");
    assert!(matches!(events.last(), Some(Event::Done { finished: 1, .. })), "{events:?}");
    assert_eq!(stage.engine.view(request, stage.now).unwrap().outcomes.len(), 1);
}

#[test]
fn a_worker_on_a_stream_is_told_to_stop_and_gets_the_next_form() {
    let mut stage = Stage::new();
    stage.stream("alchemist", profile(&["caption"], 1), 1, &[]);
    let request = stage.submit(spec(&["caption"]));
    let held = stage.forms();
    stage.submit(spec(&["caption"]));
    assert_eq!(stage.forms(), [], "its one credit is in use");
    stage.act(|engine, step| engine.cancel(step, request));
    let is_told = |effect: &Effect| match effect {
        Effect::Deliver { push: Push::Cancel { attempts, .. }, .. } => attempts == &[held[0].0],
        _ => false,
    };
    assert!(stage.log.iter().any(is_told));
    assert_eq!(stage.names(), ["caption"]);
}

#[test]
fn a_request_without_forms_has_failed_at_once() {
    let mut stage = Stage::new();
    let request = stage.submit(spec(&[]));
    let view = stage.engine.view(request, stage.now).unwrap();
    assert!(view.done && view.faulted && view.standings.is_empty());
    assert!(stage.events(request).last().is_some_and(Event::is_last));
    assert_eq!(stage.engine.depth(Kind::Alchemy), (0, 0));
}

#[test]
fn forms_that_workers_have_count_against_the_limit() {
    let mut stage = Stage::new();
    let new = NewUser {
        alias: "frugal".into(),
        key: KeyHash::of("frugal"),
        kudos: Kudos::whole(100),
        roles: vec![Role::Deleted],
        concurrency: 1,
        worker_invites: 0,
    };
    let worker = stage.user;
    stage.user = stage.act(|engine, step| engine.add_user(step, new)).unwrap().id;
    let owner = stage.user;
    stage.submit(spec(&["caption"; 6]));
    stage.user = worker;
    stage.pop("alchemist", profile(&["caption"], 4), HOLD);
    assert_eq!(stage.engine.depth(Kind::Alchemy), (2, 4));
    let may = |stage: &Stage, forms| stage.engine.may_submit(owner, &spec(&vec!["nsfw"; forms]), stage.now);
    assert!(may(&stage, 4).is_ok(), "ten for each job of another kind, deleted accounts included");
    assert!(matches!(may(&stage, 5), Err(Error::TooManyPrompts { waiting: 6, asked: 5, limit: 10 })));
    let held = stage.forms();
    stage.hands_in(held[0].0).unwrap();
    assert!(may(&stage, 5).is_ok(), "what is done counts no more");
}

#[test]
fn who_is_richer_comes_first_however_long_others_wait() {
    let mut stage = Stage::new();
    let poor = NewUser {
        alias: "poor".into(),
        key: KeyHash::of("poor"),
        kudos: Kudos::whole(11),
        roles: vec![],
        concurrency: 30,
        worker_invites: 0,
    };
    let rich = stage.user;
    stage.user = stage.act(|engine, step| engine.add_user(step, poor)).unwrap().id;
    stage.submit(spec(&["nsfw"]));
    stage.wait(Duration::from_secs(1000));
    stage.user = rich;
    let second = stage.submit(spec(&["caption"]));
    let worker = NewUser {
        alias: "worker".into(),
        key: KeyHash::of("worker"),
        kudos: Kudos::ZERO,
        roles: vec![],
        concurrency: 30,
        worker_invites: 0,
    };
    stage.user = stage.act(|engine, step| engine.add_user(step, worker)).unwrap().id;
    stage.pop("alchemist", profile(&["caption", "nsfw"], 1), Duration::ZERO);
    assert_eq!(stage.grants()[0].1.request, second);
}

#[test]
fn slow_alchemists_and_small_ones_are_passed_over_where_it_is_asked_for() {
    let mut stage = Stage::new();
    stage.submit(spec(&["caption"]));
    stage.pop("slow", profile(&["caption"], 1), Duration::ZERO);
    let (attempt, _) = stage.forms()[0];
    stage.wait(Duration::from_secs(12));
    stage.hands_in(attempt).unwrap();
    let slow = stage.engine.worker_by_name("slow").unwrap();
    assert!((slow.seconds_per_form() - 12.0).abs() < 0.01);
    stage.submit(Spec { slow_workers: false, ..spec(&["caption"]) });
    stage.pop("slow", profile(&["caption"], 1), Duration::ZERO);
    assert_eq!(stage.names(), [""; 0], "ten seconds for a form are slow");
    let small =
        Profile { skills: Skills::Alchemy(AlchemySkills { max_tiles: 1 }), ..profile(&["caption"], 1) };
    stage.pop("small", small, Duration::ZERO);
    assert_eq!(stage.names(), [""; 0], "two tiles are more than one");
    stage.pop("able", profile(&["caption"], 1), Duration::ZERO);
    assert_eq!(stage.names(), ["caption"]);
}

#[test]
fn an_alchemist_is_told_only_of_what_it_could_do() {
    let mut stage = Stage::new();
    stage.submit(Spec { trusted_workers: true, ..spec(&["caption", "nsfw"]) });
    stage.submit(Spec { trusted_workers: true, ..spec(&["nsfw"]) });
    let small =
        Profile { skills: Skills::Alchemy(AlchemySkills { max_tiles: 1 }), ..profile(&["caption"], 1) };
    for (profile, expected, rule) in [
        (
            profile(&["caption"], 1),
            BTreeMap::from([("untrusted", 1)]),
            "another form is none of its business",
        ),
        (profile(&["caption", "nsfw"], 1), BTreeMap::from([("untrusted", 3)]), "each form once"),
        (small, BTreeMap::new(), "nor is a larger image"),
        (profile(&["palette"], 1), BTreeMap::new(), "nothing at all"),
    ] {
        let offer = stage.pop("alchemist", profile, Duration::ZERO);
        let told = stage.log.iter().rev().find_map(|effect| match effect {
            Effect::Deliver { offer: to, push: Push::Empty { skipped } } if *to == offer => Some(skipped),
            _ => None,
        });
        assert_eq!(told, Some(&expected), "{rule}");
    }
}

#[test]
fn a_form_has_three_minutes_and_its_request_twenty_from_when_it_was_last_touched() {
    let mut stage = Stage::with(Rules::default());
    let request = stage.submit(spec(&["caption"]));
    stage.wait(Duration::from_secs(19 * 60));
    stage.pop("alchemist", profile(&["caption"], 1), Duration::ZERO);
    stage.forms();
    stage.wait(Duration::from_secs(179));
    assert_eq!(stage.standings(request), [Standing::Processing]);
    stage.wait(Duration::from_secs(2));
    assert_eq!(stage.standings(request), [Standing::Waiting], "the lease is over");
    stage.wait(Duration::from_secs(16 * 60));
    assert_eq!(stage.standings(request), [Standing::Waiting], "the pop gave it twenty more minutes");
    stage.wait(Duration::from_secs(2 * 60));
    assert!(stage.engine.view(request, stage.now).is_none());
}

/// What another broker tells of an attempt at the first form.
fn fails_elsewhere(stage: &mut Stage, request: RequestId, number: u32, waits_first: bool) {
    let attempt = AttemptId(Uuid::from_u128(900 + u128::from(number)));
    let held = Hold {
        request,
        job: 0,
        number,
        attempt,
        broker: "other".into(),
        is_stream: false,
        is_taken_from_us: false,
    };
    let returned = News::Returned { request, job: 0, attempt, is_fault: true };
    let waits = News::Waits { request, job: 0, number: number + 1 };
    let news = match waits_first {
        true => [News::Held(held), waits, returned],
        false => [News::Held(held), returned, waits],
    };
    stage.act(|engine, step| engine.hear(step, &news));
}

#[test]
fn a_form_that_failed_at_other_brokers_is_given_up_here_in_whatever_order_that_is_heard() {
    for waits_first in [false, true] {
        let mut stage = Stage::new();
        stage.engine.share();
        let request = stage.submit(spec(&["caption", "nsfw"]));
        for number in 1..=3 {
            fails_elsewhere(&mut stage, request, number, waits_first);
        }
        assert_eq!(stage.standings(request), [Standing::Waiting; 2]);
        fails_elsewhere(&mut stage, request, 4, waits_first);
        assert_eq!(stage.standings(request), [Standing::Faulted, Standing::Waiting]);
        stage.pop("alchemist", profile(&["caption", "nsfw"], 5), Duration::ZERO);
        assert_eq!(stage.names(), ["nsfw"], "{waits_first}");
        assert_eq!(stage.engine.depth(Kind::Alchemy), (0, 1));
    }
}

/// Something that happens to forms.
#[derive(Clone, Debug)]
enum Act {
    Asks(Vec<&'static str>),
    Pops(Vec<&'static str>, u32),
    Delivers(usize),
    Fails(usize),
    Cancels(usize),
    Waits(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let served = prop::sample::subsequence(vec!["caption", "nsfw", "palette"], 1..=3);
    prop_oneof![
        2 => asked().prop_map(Act::Asks),
        4 => (served, 1u32..5).prop_map(|(forms, amount)| Act::Pops(forms, amount)),
        2 => any::<usize>().prop_map(Act::Delivers),
        4 => any::<usize>().prop_map(Act::Fails),
        1 => any::<usize>().prop_map(Act::Cancels),
        1 => (1u64..100).prop_map(Act::Waits),
    ]
}

fn asked() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(prop::sample::select(vec!["caption", "nsfw", "palette"]), 1..5)
}

proptest! {
    #[test]
    fn a_request_stands_in_the_lanes_of_forms_that_wait_and_in_no_others(
        requests in prop::collection::vec((asked(), -50i64..50, any::<u8>()), 1..20),
        served in prop::sample::subsequence(vec!["caption", "nsfw", "palette", "GFPGAN"], 0..=4),
    ) {
        let mut queue = Queue::default();
        let served: Vec<Arc<str>> = served.into_iter().map(Arc::from).collect();
        let mut right = Vec::new();
        for (number, (forms, priority, taken)) in requests.iter().enumerate() {
            let request = Accepted {
                id: RequestId(Uuid::from_u128(number as u128)),
                owner: UserId(1),
                created_at: Timestamp(number as i64 * 60_000),
                priority: *priority,
                spec: Arc::new(spec(forms)),
            };
            let place = Place::of(&request);
            queue.change_jobs(place, &request, &(0..forms.len()).collect::<Vec<_>>(), true);
            let (gone, left): (Vec<_>, Vec<_>) = (0..forms.len()).partition(|job| taken & (1 << job) != 0);
            for job in gone {
                queue.change_jobs(place, &request, &[job], false);
            }
            if left.iter().any(|job| served.iter().any(|form| **form == *forms[*job])) {
                right.push((-priority, number, place));
            }
        }
        right.sort_unstable();
        let right: Vec<_> = right.into_iter().map(|(_, _, place)| place).collect();
        let lanes = queue.lanes_for(Kind::Alchemy, &served).collect();
        prop_assert_eq!(Walk::over(lanes).places().collect::<Vec<_>>(), right);
    }

    #[test]
    fn whatever_happens_no_form_is_lost_or_had_twice_and_kudos_are_what_forms_cost(
        acts in prop::collection::vec(act(), 1..60),
    ) {
        let mut stage = Stage::with(Rules { keep: Duration::from_secs(1_000_000), ..Rules::default() });
        let (mut requests, mut held): (Vec<RequestId>, Vec<AttemptId>) = (Vec::new(), Vec::new());
        let opening = stage.balance();
        let (mut paid, mut attempts) = (0, BTreeMap::new());
        for act in acts {
            let pick = |n: usize, of: usize| (of > 0).then(|| n % of);
            match act {
                Act::Asks(forms) => requests.push(stage.submit(spec(&forms))),
                Act::Pops(forms, amount) => {
                    stage.pop("alchemist", profile(&forms, amount), Duration::ZERO);
                    let grants = stage.grants();
                    let sent: Vec<_> = grants
                        .iter()
                        .flat_map(|(_, grant)| grant.attempts.iter().map(|attempt| (grant.request, attempt.clone())))
                        .collect();
                    prop_assert!(sent.len() <= amount as usize);
                    for (request, attempt) in sent {
                        prop_assert!(forms.contains(&attempt.model.as_str()), "it does no {}", attempt.model);
                        let number = attempts.entry((request, attempt.job)).or_insert(0u32);
                        *number += 1;
                        prop_assert_eq!(attempt.number, *number, "one attempt after the other");
                        held.push(attempt.id);
                    }
                }
                Act::Delivers(n) => {
                    if let Some(n) = pick(n, held.len()) {
                        let id = held.swap_remove(n);
                        paid += i64::from(stage.hands_in(id).is_ok());
                    }
                }
                Act::Fails(n) => {
                    if let Some(n) = pick(n, held.len()) {
                        let id = held.swap_remove(n);
                        stage.faults_or_is_told(id);
                    }
                }
                Act::Cancels(n) => {
                    if let Some(n) = pick(n, requests.len()) {
                        let (_, before) = stage.engine.depth(Kind::Alchemy);
                        stage.act(|engine, step| engine.cancel(step, requests[n]));
                        let (_, after) = stage.engine.depth(Kind::Alchemy);
                        paid += i64::try_from(before - after).unwrap();
                    }
                }
                Act::Waits(seconds) => stage.wait(Duration::from_secs(seconds)),
            }
            let (mut waiting, mut processing) = (0, 0);
            for request in &requests {
                let view = stage.engine.view(*request, stage.now).unwrap();
                let count = |one: Standing| view.standings.iter().filter(|other| **other == one).count();
                waiting += count(Standing::Waiting);
                processing += count(Standing::Processing);
                let is_open = count(Standing::Waiting) + count(Standing::Processing) > 0;
                prop_assert_eq!(view.done, !is_open, "{:?}", view.standings);
                prop_assert_eq!(view.finished, count(Standing::Done));
            }
            prop_assert_eq!(stage.engine.depth(Kind::Alchemy), (waiting, processing));
            // Who asks works, too: of each form the two that are paid on top are gone.
            prop_assert_eq!(opening - stage.balance(), Kudos::whole(2 * paid));
        }
    }
}
