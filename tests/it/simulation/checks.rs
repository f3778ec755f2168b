//! What the engine counts, counted again; and the books at the end.

use std::collections::HashMap;

use gridbroker::{
    domain::{Error, Kudos, RequestId, UserId, lease::Closed, request::Kind},
    engine::View,
};

use super::world::World;

/// Requests of which something is to come yet, as the engine shows them. One that failed counts as done,
/// and a worker may hold a job of it all the same.
fn views(world: &mut World) -> Vec<View> {
    let now = world.clock();
    let engine = &world.engine;
    let view = |id: &RequestId| engine.view(*id, now).filter(|view| !view.done || view.processing > 0);
    let views: Vec<_> = world.open.iter().filter_map(view).collect();
    world.open = views.iter().map(|view| view.accepted.id).collect();
    views
}

/// Whether anything is still to be done.
pub fn is_busy(world: &mut World) -> bool {
    !world.is_settled() || !world.claims_out.is_empty() || !views(world).is_empty()
}

/// Requests that nothing stands in the way of, if able workers come.
pub fn note_what_must_be_done(world: &mut World) {
    let soon = world.clock().plus(std::time::Duration::from_secs(60));
    let open =
        world.model.requests.values().filter(|stored| !stored.done && !stored.cancelled && !stored.faulted);
    let open = open.filter(|stored| stored.expires_at > soon);
    let able = open.filter(|s| s.request.spec.workers.is_empty() && s.request.spec.slow_workers);
    world.must_be_done = able.map(|stored| stored.request.id).collect();
}

/// Counts of jobs, places in the queue, and balances.
pub fn recount(world: &mut World) {
    let views = views(world);
    let mut claimed: HashMap<RequestId, usize> = HashMap::new();
    for claim in world.claims_out.values() {
        *claimed.entry(claim.request).or_default() += claim.attempts.len();
    }
    let waits = |view: &View| view.waiting - claimed.get(&view.accepted.id).copied().unwrap_or(0);
    for kind in super::things::KINDS {
        let of_kind = || views.iter().filter(|view| view.accepted.spec.kind() == kind);
        let counted = (of_kind().map(waits).sum(), of_kind().map(|view| view.processing).sum());
        let said = world.engine.depth(kind);
        world
            .history
            .demand(said == counted, || format!("{kind:?}: depth is {counted:?}, the engine says {said:?}"));
        let mut queue: Vec<_> = of_kind().filter(|view| waits(view) > 0).collect();
        queue.sort_by_key(|view| {
            let request = &view.accepted;
            (50 * request.created_at.0.div_euclid(10_000) - request.priority, request.created_at, request.id)
        });
        for (i, view) in queue.iter().enumerate() {
            let (right, said) = (i + 1, view.position);
            world.history.demand(said == right, || format!("{} is at {right}, not {said}", view.accepted.id));
        }
        for client in 0..world.clients.len() {
            let owner = world.clients[client].user;
            let right: usize = of_kind().filter(|view| view.accepted.owner == owner).map(waits).sum();
            let said = waiting_of(world, owner, kind);
            world
                .history
                .demand(said == right, || format!("{right} jobs of {owner} wait, the engine says {said}"));
        }
    }
    if world.is_settled() {
        compare_balances(world);
        let open: usize = world.model.requests.values().map(|stored| stored.open.len()).sum();
        let held: usize = Kind::ALL.iter().map(|kind| world.engine.depth(*kind).1).sum();
        world
            .history
            .demand(open == held, || format!("{open} attempts are open on disk, {held} in the engine"));
    }
}

/// What the limit of concurrency counts, read from its refusal.
fn waiting_of(world: &mut World, owner: UserId, kind: Kind) -> usize {
    let mut spec = super::things::spec(&mut world.chance.clone(), &[]);
    let mut chance = world.chance.clone();
    while spec.kind() != kind || spec.jobs == 1 {
        spec = super::things::spec(&mut chance, &[]);
    }
    spec.workers.clear();
    // Of the anonymous account, too, all are counted then.
    spec.models.clear();
    spec.jobs = 1_000_000;
    let now = world.clock();
    match world.engine.may_submit(owner, &spec, now) {
        Err(Error::TooManyPrompts { waiting, .. }) => waiting,
        other => {
            world.history.complain(format!("a million jobs were not refused: {other:?}"));
            0
        }
    }
}

fn compare_balances(world: &mut World) {
    let users: Vec<_> = world.model.users.keys().copied().collect();
    for id in users {
        let (stored, balance) = (world.model.balance(id), world.engine.user(id).map(|user| user.balance));
        world.history.demand(balance == Some(stored), || {
            format!("the balance of {id} is {stored} by its postings, the engine says {balance:?}")
        });
        let stored = world.model.users.get(&id).map(|user| user.escrow);
        let put_aside = world.engine.user(id).map(|user| user.escrow);
        world.history.demand(stored == put_aside, || {
            format!("{stored:?} were put aside for {id} by postings, the engine says {put_aside:?}")
        });
        let stored = world.model.users.get(&id).map(|user| user.stats);
        let counted = world.engine.user(id).map(|user| user.stats);
        world
            .history
            .demand(stored == counted, || format!("{id} has {stored:?} on disk, {counted:?} in memory"));
    }
    let total: Kudos = world.model.users.values().map(|user| user.balance + user.escrow).sum();
    let said = world.engine.total_balance();
    world.history.demand(said == total, || format!("balances sum to {total}, the engine says {said}"));
}

/// The books at the end of a run, when nothing is under way.
pub fn audit(world: &mut World) {
    recount(world);
    let max_faults = world.plan.rules.max_faults;
    for id in world.history.acknowledged.clone() {
        let Some(stored) = world.model.request(id).cloned() else {
            world.history.complain(format!("request {id} was acknowledged and is lost"));
            continue;
        };
        let (finished, jobs) = (stored.outcomes.len(), stored.request.spec.jobs);
        world.history.demand(stored.done, || format!("request {id} never came to an end"));
        let has_reason = finished == jobs || stored.cancelled || stored.faulted;
        world
            .history
            .demand(has_reason, || format!("request {id} ended with {finished} of {jobs} and no reason"));
        let faults = stored.closed.iter().filter(|(_, _, _, how)| *how == Closed::Faulted).count();
        if world.must_be_done.contains(&id) && !stored.cancelled && faults < max_faults {
            world.history.demand(finished == jobs, || {
                format!("request {id} got {finished} of {jobs} though able workers were idle")
            });
        }
        if !world.plan.is_rough {
            let closed = &stored.closed;
            world.history.demand(closed.is_empty(), || format!("without any fault, {id} had {closed:?}"));
        }
    }
    for (attempt, reward) in world.history.rewarded.clone() {
        let stored = world.model.outcomes.get(&attempt).map(|outcome| outcome.reward);
        world.history.demand(stored == Some(reward), || {
            format!("attempt {attempt} was acknowledged with {reward}, on disk it has {stored:?}")
        });
    }
}
