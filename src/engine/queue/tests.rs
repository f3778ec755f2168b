use proptest::prelude::*;
use uuid::Uuid;

use super::{place::tests::place, *};
use crate::{
    domain::Timestamp,
    engine::stage::{image_spec, text_spec},
};

#[test]
fn merged_sets_come_in_order_and_each_item_once() {
    let sets = [BTreeSet::from([1, 4, 9]), BTreeSet::from([2, 4]), BTreeSet::new()];
    assert_eq!(merge(sets.iter()).collect::<Vec<_>>(), [1, 2, 4, 9]);
}

#[test]
fn work_of_images_is_rounded_request_by_request_to_hundredths_of_a_million_pixel_steps() {
    let image = |width, height, steps| {
        let mut spec = image_spec(1);
        let Params::Image(params) = &mut spec.params else { unreachable!("it is one of images") };
        (params.width, params.height, params.steps) = (width, height, steps);
        spec
    };
    for (spec, jobs, hundredths) in [
        (image(512, 512, 30), 1, 786),
        (image(512, 512, 30), 3, 2359),
        (image(64, 64, 1), 1, 0),
        (image(100, 50, 1), 1, 0),
        (image(300, 50, 1), 1, 2),
        (image(64, 64, 1), 0, 0),
    ] {
        assert_eq!(work(&spec, jobs), hundredths, "{} × {jobs}", spec.things());
    }
    assert_eq!(work(&text_spec(1), 2), 160, "of texts tokens are counted");
}

#[test]
fn whoever_walks_sees_of_each_run_the_first_and_of_those_passed_the_next() {
    let mut shapes = Shapes::new(2);
    let shape = |model: &str| {
        let spec = Spec { models: vec![model.into()], ..image_spec(1) };
        Arc::new(Shape::of(&spec, &ModelReference::default()))
    };
    let [a, b, other] = ["a", "b", "c"].map(|model| shapes.take(&shape(model)));
    assert_eq!(other, ShapeId::MIXED);
    let (mut one, mut two) = (Lane::default(), Lane::default());
    for (late, id) in [(1, a), (2, b), (3, a), (4, other), (6, other)] {
        one.insert(place(late, 0, late), id);
    }
    for (late, id) in [(0, other), (3, a), (1, a), (4, other), (5, other)] {
        two.insert(place(late, 0, late), id);
    }
    let walk = |passes: fn(ShapeId) -> bool| {
        let mut walk = Walk::over(vec![&one, &two]);
        let mut seen = Vec::new();
        while let Some(head) = walk.step() {
            seen.push(head.place);
            if passes(head.shape) {
                walk.pass(head);
            }
        }
        seen
    };
    let places = |late: &[i64]| late.iter().map(|late| place(*late, 0, *late)).collect::<Vec<_>>();
    assert_eq!(walk(|_| true), places(&[0, 1, 2, 3, 4, 5, 6]), "all, each once");
    assert_eq!(walk(|id| id == ShapeId::MIXED), places(&[0, 1, 2, 4, 5, 6]), "of the others the first");
    two.remove(place(1, 0, 1), a);
    assert_eq!(two.run(a).map(BTreeSet::len), Some(1), "the next one is the first of its run now");
    assert_eq!(two.heads_in_order(), places(&[0, 3]));
}

fn accepted() -> impl Strategy<Value = Accepted> {
    let models = prop::sample::subsequence(vec!["a", "b", "c"], 0..=3);
    let sort = (any::<bool>(), any::<bool>());
    (0u128..40, 0i64..4, 0i64..100_000, -200i64..200, models, sort).prop_map(
        |(id, owner, created, priority, models, (is_image, nsfw))| {
            let spec = if is_image { image_spec(1) } else { text_spec(1) };
            let models = models.into_iter().map(Arc::from).collect();
            Accepted {
                id: RequestId(Uuid::from_u128(id)),
                owner: UserId(owner),
                created_at: Timestamp(created),
                priority,
                spec: Arc::new(Spec { models, nsfw, ..spec }),
            }
        },
    )
}

proptest! {
    #[test]
    fn order_is_total_and_ages_by_fifty_each_ten_seconds(a in accepted(), b in accepted()) {
        let (first, second) = (Place::of(&a), Place::of(&b));
        let key = |r: &Accepted| (50 * (r.created_at.0 / 10_000) - r.priority, r.created_at, r.id);
        prop_assert_eq!(first.cmp(&second), key(&a).cmp(&key(&b)));
        prop_assert_eq!(first == second, key(&a) == key(&b));
        // However long both wait, who is ahead stays ahead: ageing is alike for all.
        let aged = |r: &Accepted, now: i64| r.priority + 50 * (now / 10_000 - r.created_at.0 / 10_000);
        for now in [100_000, 1_000_000] {
            if aged(&a, now) > aged(&b, now) {
                prop_assert!(first < second);
            }
        }
    }

    #[test]
    fn lanes_give_what_a_plain_search_gives(
        changes in prop::collection::vec((accepted(), 0isize..4), 0..60),
        models in prop::sample::subsequence(vec!["a", "b", "c", "d"], 0..=4),
        owners in prop::sample::subsequence(vec![0i64, 1, 2, 3, 4], 0..=5),
        // The fewer are told apart, the more are of various shapes.
        most_shapes in 0usize..20,
    ) {
        let mut queue = Queue { shapes: Shapes::new(most_shapes), ..Queue::default() };
        let mut plain: HashMap<RequestId, (Accepted, isize)> = HashMap::new();
        for (request, jobs) in changes {
            let (known, waiting) = plain.entry(request.id).or_insert((request, 0));
            queue.change(Place::of(known), known, jobs - *waiting);
            *waiting = jobs;
        }
        plain.retain(|_, (_, waiting)| *waiting > 0);
        let models: Vec<Arc<str>> = models.into_iter().map(Arc::from).collect();
        let right = |fits: &dyn Fn(&Accepted) -> bool| -> Vec<Place> {
            let fitting = plain.values().filter(|(request, _)| fits(request));
            fitting.map(|(request, _)| Place::of(request)).collect::<BTreeSet<_>>().into_iter().collect()
        };
        for kind in Kind::ALL {
            let of_kind = |r: &Accepted| r.spec.kind() == kind;
            let is_served = |r: &Accepted| {
                of_kind(r)
                    && (r.spec.models.is_empty() || r.spec.models.iter().any(|m| models.contains(m)))
            };
            let found: Vec<_> = Walk::over(queue.lanes_for(kind, &models).collect()).places().collect();
            prop_assert_eq!(found, right(&is_served));
            for owner in owners.iter().copied().map(UserId) {
                let is_theirs = |r: &Accepted| of_kind(r) && owner == r.owner;
                prop_assert_eq!(queue.of_owner(kind, owner).collect::<Vec<_>>(), right(&is_theirs));
            }
            let all = right(&of_kind);
            prop_assert_eq!(queue.all(kind).collect::<Vec<_>>(), all.clone());
            let (mut jobs, mut works) = (0, 0);
            for (i, place) in all.iter().enumerate() {
                let (request, waiting) = &plain[&place.request];
                jobs += *waiting as usize;
                works += work(&request.spec, *waiting as usize);
                let rank = Rank { position: i + 1, jobs, work: works };
                prop_assert_eq!(queue.rank(kind, *place), Some(rank));
            }
            let mut tally = Tally::default();
            plain.values().filter(|(r, _)| of_kind(r)).for_each(|(r, _)| {
                tally.change(&queue.shape_of(&r.spec), 1);
            });
            prop_assert_eq!(queue.tally(kind), &tally, "nothing is left of those that are gone");
            for owner in (0..4).map(UserId) {
                let own = plain.values().filter(|(r, _)| of_kind(r) && r.owner == owner);
                let waiting: isize = own.map(|(_, waiting)| waiting).sum();
                prop_assert_eq!(queue.waiting_of(kind, owner) as isize, waiting);
            }
            for model in ["a", "b", "c", "d"].map(Arc::from) {
                let named = plain.values().filter(|(r, _)| {
                    of_kind(r) && r.owner == UserId::ANONYMOUS && r.spec.models.contains(&model)
                });
                let waiting: isize = named.map(|(_, waiting)| waiting).sum();
                prop_assert_eq!(queue.anonymous(kind, &[model]) as isize, waiting);
            }
        }
    }
}
