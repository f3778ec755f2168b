//! What is explained, against a plain reading: every pair by itself, through the whole table.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use proptest::prelude::*;

use super::{super::matching::PAUSED, *};
use crate::{
    domain::{
        RequestId, Timestamp, UserId, WorkerId,
        request::{Accepted, Spec},
        user::Role,
        worker::{Profile, Worker},
    },
    engine::{
        Engine, Rules as Settings,
        matching::{Able, Asked, Facts, Pair, Rules, refusal},
        picks::{add_request, add_user, profile, reference, spec},
        stage::{Stage, image_profile, image_spec, text_profile, text_spec},
    },
};

/// A worker, and what else is thought of it.
#[derive(Clone, Debug)]
struct Hand {
    profile: Profile,
    is_trusted: bool,
    is_paused: bool,
    in_maintenance: bool,
    is_gone: bool,
    speed: f64,
}

fn hand() -> impl Strategy<Value = Hand> {
    let seldom = || prop::bool::weighted(0.1);
    let speeds = prop::sample::select(vec![1.0, 5.0, 499_999.0, 500_000.0, 2e6]);
    (profile(), any::<bool>(), seldom(), seldom(), seldom(), speeds).prop_map(
        |(profile, is_trusted, is_paused, in_maintenance, is_gone, speed)| Hand {
            profile,
            is_trusted,
            is_paused,
            in_maintenance,
            is_gone,
            speed,
        },
    )
}

/// Engages workers, each of an owner of its own.
fn engage(stage: &mut Stage, hands: &[Hand]) -> Vec<WorkerId> {
    let asks = stage.user;
    let mut ids = Vec::new();
    for (number, hand) in hands.iter().enumerate() {
        stage.user = add_user(stage, 0, if hand.is_trusted { vec![Role::Trusted] } else { vec![] });
        let name = format!("worker {number}");
        stage.pop(&name, hand.profile.clone(), Duration::ZERO);
        let now = stage.now;
        let id = stage.engine.worker_by_name(&name).unwrap().id;
        let worker = stage.engine.fleet.get_mut(id).unwrap();
        worker.stats.speeds = vec![hand.speed];
        worker.standing.is_paused = hand.is_paused;
        worker.maintenance = hand.in_maintenance.then(|| "later".into());
        worker.seen_at = if hand.is_gone { Timestamp(now.0 - 301_000) } else { now };
        ids.push(id);
    }
    stage.user = asks;
    ids
}

/// Puts a request beside a worker: the rules that forbid it.
fn forbidden(engine: &Engine, request: &Accepted, worker: &Worker, forms: &[Arc<str>]) -> Vec<&'static Rule> {
    let kind = request.spec.kind();
    let facts = Facts::of(&worker.profile, kind, &*engine.models).unwrap();
    let owner = engine.user(worker.owner);
    let able = Able::new(worker, &facts, kind, owner, engine.rules.matched_targeting).unwrap();
    let mut shape = engine.queue.shape_of(&request.spec);
    if kind == Kind::Alchemy {
        shape = shape.with_forms(forms.to_vec());
    }
    let asked = Asked { request, requester: engine.user(request.owner) };
    let pair = Pair::new(&shape, asked, &able);
    let found: Vec<_> = Rules::of(kind).each().into_iter().filter(|rule| (rule.forbids)(&pair)).collect();
    assert_eq!(found.is_empty(), refusal(&pair).is_none());
    found
}

fn changed(request: &Accepted, eases: &[Ease]) -> Accepted {
    let mut changed = request.clone();
    let mut spec = Spec::clone(&changed.spec);
    eases.iter().for_each(|ease| ease.apply(&mut spec));
    changed.spec = Arc::new(spec);
    changed
}

/// Whether a changed request keeps the rules of parameters, or broke them before.
fn is_sound(engine: &Engine, request: &Accepted, eases: &[Ease]) -> bool {
    let user = engine.user(request.owner).unwrap();
    let keeps = |request: Accepted| {
        crate::engine::params::check(&Spec::clone(&request.spec).into(), user, &*engine.models, false).is_ok()
    };
    keeps(changed(request, eases)) || !keeps(request.clone())
}

/// Every change that any rule names for any worker.
fn universe(engine: &Engine, request: &Accepted, workers: &[&Worker]) -> BTreeSet<Ease> {
    let mut all = BTreeSet::new();
    for worker in workers {
        let kind = request.spec.kind();
        let facts = Facts::of(&worker.profile, kind, &*engine.models).unwrap();
        let able = Able::new(worker, &facts, kind, engine.user(worker.owner), false).unwrap();
        let shape = engine.queue.shape_of(&request.spec);
        let pair = Pair::new(&shape, Asked { request, requester: engine.user(request.owner) }, &able);
        let rules = Rules::of(kind).each().into_iter().filter(|rule| (rule.forbids)(&pair));
        all.extend(rules.filter_map(|rule| rule.eases).flat_map(|eases| eases(&pair)));
    }
    all
}

fn told(counts: &[Count]) -> Vec<(&'static str, usize, usize)> {
    counts.iter().map(|count| (count.rule.name, count.jobs, count.jobs_alone)).collect()
}

/// Counts of lists of rules, each with a weight.
fn plain_counts(kind: Kind, pairs: &[(Vec<&'static Rule>, usize)]) -> Vec<(&'static str, usize, usize)> {
    let mut counts = Vec::new();
    for rule in Rules::of(kind).each() {
        let has = |found: &Vec<&'static Rule>| found.iter().any(|one| std::ptr::eq(*one, rule));
        let all: usize = pairs.iter().filter(|(found, _)| has(found)).map(|(_, n)| n).sum();
        let alone: usize =
            pairs.iter().filter(|(found, _)| has(found) && found.len() == 1).map(|(_, n)| n).sum();
        if all > 0 {
            counts.push((rule.name, all, alone));
        }
    }
    counts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_request_is_explained_as_every_worker_by_itself_says(
        (asked, list) in spec(),
        hands in prop::collection::vec(hand(), 0..9),
        is_own in prop::bool::weighted(0.1),
        matched_targeting in prop::bool::weighted(0.2),
    ) {
        let settings = Settings { matched_targeting, ..Settings::default() };
        let mut stage = Stage::knowing(settings, Arc::new(reference()));
        let ids = engage(&mut stage, &hands);
        if let Some(first) = ids.first().filter(|_| is_own) {
            stage.user = stage.engine.worker(*first).unwrap().owner;
        }
        let named = |n: &u8| ids.get(usize::from(*n)).copied().unwrap_or(WorkerId(uuid::Uuid::from_u128(999)));
        let asked = Spec { workers: list.iter().map(named).collect(), ..asked };
        let id = add_request(&mut stage, asked);
        let (engine, now) = (&stage.engine, stage.now);
        let request = engine.requests[&id].accepted.clone();
        let kind = request.spec.kind();
        let live: Vec<&Worker> = engine
            .workers()
            .filter(|worker| worker.profile.for_kind(kind).is_some() && engine.is_online(worker, now))
            .filter(|worker| !worker.standing.is_paused || worker.owner == request.owner)
            .collect();
        let why = engine.explain(id, now).unwrap();
        prop_assert!(why.is_whole);
        prop_assert_eq!((why.workers, why.looked_at), (live.len(), live.len()));
        let pairs: Vec<_> =
            live.iter().map(|worker| (forbidden(engine, &request, worker, &[]), 1)).collect();
        let able = pairs.iter().filter(|(found, _)| found.is_empty()).count();
        prop_assert_eq!(why.able, able);
        prop_assert_eq!(told(&why.counts), plain_counts(kind, &pairs));
        prop_assert_eq!(why.position.map(|position| position.jobs), (able > 0).then_some(1));
        prop_assert_eq!(engine.view(id, now).unwrap().is_possible, able > 0);

        let takers = |eases: &[Ease]| {
            let changed = changed(&request, eases);
            live.iter().filter(|worker| forbidden(engine, &changed, worker, &[]).is_empty()).count()
        };
        let single = |ease: &Ease| match is_sound(engine, &request, std::slice::from_ref(ease)) {
            true => takers(std::slice::from_ref(ease)),
            false => 0,
        };
        for change in &why.changes {
            prop_assert_eq!(takers(&change.eases), change.workers, "{:?}", change);
            prop_assert!(change.workers > able && is_sound(engine, &request, &change.eases));
        }
        let all = universe(engine, &request, &live);
        let helpful: Vec<_> = all.iter().filter(|ease| single(ease) > able).collect();
        for ease in &helpful {
            // What helps is told, or something milder of its kind.
            let is_told = why.changes.iter().any(|change| match change.eases.as_slice() {
                [one] => one == *ease || (one.is_like(ease) && one.amount() >= ease.amount()),
                _ => false,
            });
            prop_assert!(is_told || why.changes.len() == 12, "{:?} of {:?}", ease, why.changes);
        }
        for change in &why.changes {
            match change.eases.as_slice() {
                [one] => {
                    let is_milder = |other: &&Ease| one.is_like(other) && other.amount() > one.amount();
                    let milder = all.iter().filter(is_milder).map(single).max();
                    prop_assert!(milder.is_none_or(|takers| takers < change.workers), "{:?}", change);
                }
                several => {
                    prop_assert!(able == 0 && helpful.is_empty(), "one change would do: {:?}", helpful);
                    for left_out in 0..several.len() {
                        let mut fewer = several.to_vec();
                        fewer.remove(left_out);
                        let is_enough = takers(&fewer) > 0 && is_sound(engine, &request, &fewer);
                        prop_assert!(!is_enough, "{:?} is enough of {:?}", &fewer, change);
                    }
                }
            }
        }
        if why.changes.is_empty() && able == 0 {
            for one in &all {
                for other in &all {
                    let both = [one.clone(), other.clone()];
                    prop_assert!(takers(&both) == 0 || !is_sound(engine, &request, &both), "{:?}", both);
                }
            }
        }
    }

    #[test]
    fn a_worker_is_explained_as_every_request_by_itself_says(
        requests in prop::collection::vec((spec(), 0usize..3, 1usize..4), 0..16),
        hand in hand(),
        prefers in prop::option::of(0usize..2),
        to_moderator in any::<bool>(),
        most_shapes in prop::sample::select(vec![0, 3, 1_000]),
    ) {
        let mut stage = Stage::knowing(Settings::default(), Arc::new(reference()));
        stage.engine.queue =
            crate::engine::queue::Queue::telling_apart(most_shapes, Arc::new(reference()));
        let users: Vec<UserId> = [10_000, 30].into_iter().map(|kudos| add_user(&mut stage, kudos, vec![])).collect();
        let priority = prefers.map(|at| users[at]).into_iter().collect();
        let hand = Hand { profile: Profile { priority_users: priority, ..hand.profile.clone() }, ..hand };
        let id = engage(&mut stage, std::slice::from_ref(&hand))[0];
        let owner = stage.engine.worker(id).unwrap().owner;
        let mut queued = Vec::new();
        for ((asked, list), user, jobs) in requests {
            stage.user = users.get(user).copied().unwrap_or(owner);
            let named = |n: &u8| if *n == 0 { id } else { WorkerId(uuid::Uuid::from_u128(999)) };
            let asked = Spec { workers: list.iter().map(named).collect(), jobs, ..asked };
            queued.push(add_request(&mut stage, asked));
        }
        let (engine, now) = (&stage.engine, stage.now);
        let mut worker = engine.worker(id).unwrap().clone();
        worker.standing.is_paused &= to_moderator;
        let why = engine.explain_worker(id, to_moderator, now).unwrap();
        let is_told = why.blocks.contains(&Block::Paused);
        prop_assert_eq!(is_told, hand.is_paused && to_moderator);
        prop_assert_eq!(why.blocks.iter().any(|block| matches!(block, Block::Offline(_))), hand.is_gone);
        prop_assert_eq!(why.kinds.len(), 1);
        let kind = why.kinds[0].kind;
        let waiting: Vec<&Accepted> = queued
            .iter()
            .map(|id| &engine.requests[id].accepted)
            .filter(|request| request.spec.kind() == kind)
            .collect();
        let of_kind = &why.kinds[0];
        prop_assert!(of_kind.is_whole);
        let jobs = |requests: &[&Accepted]| requests.iter().map(|request| request.spec.jobs).sum::<usize>();
        prop_assert_eq!((of_kind.requests, of_kind.jobs), (waiting.len(), jobs(&waiting)));
        let pairs: Vec<_> =
            waiting.iter().map(|one| (forbidden(engine, one, &worker, &[]), one.spec.jobs)).collect();
        prop_assert_eq!(told(&of_kind.counts), plain_counts(kind, &pairs));
        let by_request: Vec<_> = pairs.iter().map(|(found, _)| (found.clone(), 1)).collect();
        let requests: Vec<_> =
            of_kind.counts.iter().map(|c| (c.rule.name, c.requests, c.requests_alone)).collect();
        prop_assert_eq!(requests, plain_counts(kind, &by_request));
        prop_assert!(to_moderator || of_kind.counts.iter().all(|count| !std::ptr::eq(count.rule, &PAUSED)));
        let takes = |worker: &Worker| -> BTreeSet<RequestId> {
            let may = |one: &&&Accepted| forbidden(engine, one, worker, &[]).is_empty();
            waiting.iter().filter(may).map(|one| one.id).collect()
        };
        let sum = |ids: &BTreeSet<RequestId>| -> isize {
            ids.iter().map(|id| engine.requests[id].accepted.spec.jobs as isize).sum()
        };
        let before = takes(&worker);
        prop_assert_eq!(of_kind.able as isize, sum(&before));
        let gain = |lift: &Lift| {
            let mut changed = worker.clone();
            lift.apply(&mut changed, kind);
            let after = takes(&changed);
            (sum(&after) - sum(&before), after.difference(&before).count())
        };
        let gains: Vec<&Gain> = of_kind.models.iter().chain(&of_kind.lifts).collect();
        for told in &gains {
            prop_assert_eq!(gain(&told.lift), (told.jobs as isize, told.requests), "{:?}", told);
        }
        let facts = Facts::of(&worker.profile, kind, &*engine.models).unwrap();
        let able = Able::new(&worker, &facts, kind, engine.user(worker.owner), false).unwrap();
        let mut all = BTreeSet::new();
        for one in &waiting {
            let shape = engine.queue.shape_of(&one.spec);
            let pair = Pair::new(&shape, Asked { request: one, requester: engine.user(one.owner) }, &able);
            let rules = forbidden(engine, one, &worker, &[]);
            all.extend(rules.into_iter().filter_map(|rule| rule.lifts).flat_map(|lifts| lifts(&pair)));
        }
        for lift in all.iter().filter(|lift| gain(lift).0 > 0) {
            let is_it = |told: &&Gain| {
                told.lift == *lift || (told.lift.is_like(lift) && told.lift.amount() <= lift.amount())
            };
            prop_assert!(gains.iter().copied().any(|told| is_it(&told)), "{:?} of {:?}", lift, gains);
        }
        for told in &gains {
            let is_smaller = |other: &&Lift| other.is_like(&told.lift) && other.amount() < told.lift.amount();
            let smaller = all.iter().filter(is_smaller).map(|lift| gain(lift).0).max();
            prop_assert!(smaller.is_none_or(|jobs| jobs < told.jobs as isize), "{:?}", told);
        }
    }
}

/// A stage with a user who asks, and bob, whose workers wait.
fn stage() -> (Stage, UserId, UserId) {
    let mut stage = Stage::new();
    let bob = add_user(&mut stage, 0, vec![Role::Trusted]);
    let asks = stage.user;
    (stage, asks, bob)
}

#[test]
fn the_smallest_change_is_named_with_those_who_would_take_it_then() {
    let image = |change: fn(&mut Spec)| {
        let mut asked = image_spec(1);
        change(&mut asked);
        asked
    };
    let large = |spec: &mut Spec| {
        let mut params = crate::domain::request::tests::image();
        (params.width, params.height) = (1024, 1024);
        spec.params = crate::domain::request::Params::Image(Box::new(params));
    };
    let rows: [(&str, Spec, Vec<(Vec<Ease>, usize)>); 7] = [
        (
            "a model that two serve",
            image(|s| s.models = vec!["other".into()]),
            vec![(vec![Ease::AnyModel], 2), (vec![Ease::Model("model".into())], 2)],
        ),
        (
            "a size that one draws",
            image(large),
            vec![
                (vec![Ease::Size { width: 768, height: 768 }], 1),
                (vec![Ease::Size { width: 512, height: 512 }], 2),
            ],
        ),
        ("owners who need not be trusted", image(|s| s.trusted_workers = true), vec![]),
        ("slow ones", image(|s| s.slow_workers = false), vec![]),
        (
            "workers that are not listed",
            image(|s| s.workers = vec![WorkerId(uuid::Uuid::from_u128(9))]),
            vec![(vec![Ease::AnyWorker], 2)],
        ),
        (
            "two at a time",
            image(|s| {
                s.models = vec!["other".into()];
                s.workers = vec![WorkerId(uuid::Uuid::from_u128(9))];
            }),
            vec![
                (vec![Ease::AnyWorker, Ease::AnyModel], 2),
                (vec![Ease::AnyWorker, Ease::Model("model".into())], 2),
            ],
        ),
        ("nothing", image(|_| {}), vec![]),
    ];
    for (rule, asked, right) in rows {
        let (mut stage, asks, bob) = stage();
        stage.user = bob;
        for (name, side) in [("small", 512), ("middle", 768)] {
            let mut profile = image_profile(1);
            if let crate::domain::worker::Skills::Image(skills) = &mut profile.skills {
                skills.max_pixels = side * side;
            }
            stage.pop(name, profile, Duration::ZERO);
        }
        stage.user = asks;
        let id = add_request(&mut stage, asked);
        let why = stage.engine.explain(id, stage.now).unwrap();
        let found: Vec<_> = why.changes.iter().map(|one| (one.eases.clone(), one.workers)).collect();
        assert_eq!(found, right, "{rule}: {:?}", why.counts);
    }
}

#[test]
fn the_position_counts_jobs_that_the_same_workers_could_take() {
    let (mut stage, asks, bob) = stage();
    stage.user = bob;
    stage.pop("writer", text_profile(1), Duration::ZERO);
    stage.user = asks;
    let text = |jobs, model: &str| Spec { models: vec![model.into()], ..text_spec(jobs) };
    let ids: Vec<_> = [text(3, "model"), text(5, "another"), text(2, "model"), text(1, "model")]
        .into_iter()
        .map(|spec| {
            stage.now = stage.now.plus(Duration::from_secs(11));
            add_request(&mut stage, spec)
        })
        .collect();
    let position = |id| stage.engine.explain(id, stage.now).unwrap().position;
    let exactly = |jobs| Some(Position { jobs, is_exact: true });
    assert_eq!(position(ids[0]), exactly(1));
    assert_eq!(position(ids[1]), None, "nobody could take it");
    assert_eq!(position(ids[2]), exactly(4), "behind the three of the first");
    assert_eq!(position(ids[3]), exactly(6));
}

#[test]
fn what_does_not_wait_is_not_explained() {
    let (mut stage, asks, bob) = stage();
    let id = add_request(&mut stage, text_spec(1));
    assert!(stage.engine.explain(id, stage.now).is_some());
    stage.user = bob;
    stage.stream("writer", text_profile(1), 1, &[]);
    assert!(stage.engine.explain(id, stage.now).is_none(), "a worker has it");
    let writer = stage.engine.worker_by_name("writer").unwrap().id;
    let why = stage.engine.explain_worker(writer, false, stage.now).unwrap();
    assert_eq!(why.blocks, [Block::NoCredits, Block::NothingWaits]);
    stage.user = asks;
    assert!(stage.engine.explain(RequestId(uuid::Uuid::from_u128(77)), stage.now).is_none());
}

#[test]
fn forms_are_explained_one_by_one() {
    use crate::domain::{
        request::{AlchemyParams, Form, Params},
        worker::{AlchemySkills, Skills},
    };
    let (mut stage, asks, bob) = stage();
    stage.user = bob;
    let skills = Skills::Alchemy(AlchemySkills { max_tiles: 4 });
    let profile = Profile { models: vec!["caption".into()], skills, ..text_profile(1) };
    stage.pop("seer", profile, Duration::ZERO);
    stage.user = asks;
    let forms = |names: &[&str], tiles| {
        let forms: Vec<_> = names.iter().map(|n| Form { name: (*n).into(), payload: None }).collect();
        let models = forms.iter().map(|form| form.name.clone()).collect();
        let params = Params::Alchemy(Box::new(AlchemyParams { tiles, forms, source_url: None }));
        Spec { models, params, ..text_spec(names.len()) }
    };
    let ids = [
        add_request(&mut stage, forms(&["caption", "nsfw", "nsfw"], 4)),
        add_request(&mut stage, forms(&["nsfw"], 9)),
        add_request(&mut stage, forms(&["caption"], 9)),
    ];
    let seer = stage.engine.worker_by_name("seer").unwrap().id;
    let why = stage.engine.explain_worker(seer, false, stage.now).unwrap();
    let kind = &why.kinds[0];
    assert_eq!((kind.requests, kind.jobs, kind.able), (3, 5, 1));
    assert_eq!(told(&kind.counts), [("models", 3, 2), ("tiles", 2, 1)]);
    let gained = |gains: &[Gain]| -> Vec<_> {
        gains.iter().map(|gain| (gain.lift.clone(), gain.now, gain.jobs, gain.requests)).collect()
    };
    assert_eq!(gained(&kind.models), [(Lift::Model("nsfw".into()), None, 2, 1)]);
    assert_eq!(gained(&kind.lifts), [(Lift::MaxTiles(9), Some(4), 1, 1)]);
    let changes = |id| stage.engine.explain(id, stage.now).unwrap().changes;
    assert_eq!(changes(ids[0]), [], "the worker may have one of its forms");
    assert_eq!(changes(ids[1]), [], "another form is another request");
    assert_eq!(changes(ids[2]), [Change { eases: vec![Ease::Tiles(4)], workers: 1 }]);
}

#[test]
fn a_long_queue_and_a_large_fleet_are_looked_at_in_part_and_that_is_said() {
    let (mut stage, ..) = stage();
    for number in 0..2_010 {
        stage.pop(&format!("writer {number}"), text_profile(1), Duration::ZERO);
    }
    let id = add_request(&mut stage, Spec { models: vec!["another".into()], ..text_spec(1) });
    let why = stage.engine.explain(id, stage.now).unwrap();
    assert_eq!((why.workers, why.looked_at, why.is_whole), (2_010, 2_000, false));
    assert_eq!(told(&why.counts), [("models", 2_000, 2_000)]);
    for number in 0..2_010 {
        add_request(&mut stage, Spec { models: vec![format!("model {number}").into()], ..text_spec(1) });
    }
    let writer = stage.engine.worker_by_name("writer 0").unwrap().id;
    let kind = stage.engine.explain_worker(writer, false, stage.now).unwrap().kinds.remove(0);
    assert_eq!((kind.requests, kind.looked_at, kind.is_whole), (2_011, 2_000, false));
    assert_eq!(kind.models.len(), 10);
}
