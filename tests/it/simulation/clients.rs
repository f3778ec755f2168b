//! Clients: they submit, look, cancel, and sometimes never get the answer.

use gridbroker::{
    domain::{Error, Kudos, RequestId, UserId, user::KeyHash, user::Role},
    engine::{self, NewUser},
};

use super::{
    things,
    world::{Happening, World},
};

pub struct Client {
    pub user: UserId,
    /// Requests that it knows of.
    known: Vec<RequestId>,
}

/// Makes an account.
pub fn add_user(world: &mut World, kudos: i64, roles: Vec<Role>) -> UserId {
    let number = world.events;
    world.events += 1;
    let new = NewUser {
        alias: format!("user {number}"),
        key: KeyHash::of(&number.to_string()),
        kudos: Kudos::whole(kudos),
        roles,
        concurrency: 25,
        worker_invites: 50,
    };
    let made = world.act(|engine, step, _| engine.add_user(step, new), |_, _| {});
    made.expect("aliases and keys are good").id
}

pub fn populate(world: &mut World) {
    world.clients.push(Client { user: UserId::ANONYMOUS, known: Vec::new() });
    for _ in 1..world.plan.clients {
        let kudos = [0, 20, 40, 5_000][world.chance.between(0, 3) as usize];
        let roles = if world.chance.percent(20) { vec![Role::Moderator] } else { Vec::new() };
        let user = add_user(world, kudos, roles);
        world.clients.push(Client { user, known: Vec::new() });
    }
    for i in 0..world.clients.len() {
        world.later(0, Happening::Client(i));
    }
}

pub fn turn(world: &mut World, i: usize) {
    let choice = world.chance.between(0, 99);
    let known = world.chance.pick(&world.clients[i].known).copied();
    match (choice, known) {
        (0..=39, _) if !world.is_draining => submit(world, i),
        (47..=52, _) => super::kudos::give(world, i),
        (53, _) => super::kudos::award(world, i),
        (54, _) => super::kudos::change_monthly(world, i),
        (40..=46, Some(id)) if world.plan.is_rough && !world.is_draining => cancel(world, id),
        (_, Some(id)) => look(world, i, id),
        _ => {}
    }
    let pace = if world.is_draining { 20_000 } else { 2_000 };
    let delay = world.chance.between(pace / 40, pace);
    world.later(delay, Happening::Client(i));
}

fn submit(world: &mut World, i: usize) {
    let workers: Vec<_> = world
        .engine
        .workers()
        .map(|worker| worker.id)
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    let spec = things::spec(&mut world.chance, &workers);
    let (id, owner) = (RequestId(world.chance.id()), world.clients[i].user);
    let is_lost = world.plan.is_rough && world.chance.percent(5);
    let decided = world.act(
        |engine, step, _| engine.submit(step, id, owner, spec),
        move |world, answer| match answer {
            Ok(_) if is_lost => {}
            Ok(_) => {
                world.clients[i].known.push(id);
                world.history.acknowledged.insert(id);
                let is_stored = world.model.request(id).is_some();
                world
                    .history
                    .demand(is_stored, || format!("request {id} was acknowledged but is not on disk"));
            }
            // A worker that popped for the first time is forgotten by a crash before its commit.
            Err(
                Error::TooManyPrompts { .. }
                | Error::KudosUpfront { .. }
                | Error::QueueFull { .. }
                | Error::WorkerNotFound(_),
            ) => {}
            Err(error) => world.history.complain(format!("a good request was refused: {error}")),
        },
    );
    if decided.is_ok() {
        world.submitted.push(id);
        world.open.push(id);
    }
}

fn cancel(world: &mut World, id: RequestId) {
    world.history.note(|| format!("cancel {id}"));
    world.history.cancelled(id);
    world.act(|engine, step, _| engine.cancel(step, id), |_, _| {});
}

fn look(world: &mut World, i: usize, id: RequestId) {
    let asked = world.events;
    world.act(
        |engine, step, _| engine.view(id, step.now),
        move |world, view| {
            let stored = || world.model.requests.get(&id).cloned().map(engine::stored_view);
            match view.or_else(stored) {
                Some(view) => world.history.viewed(asked, &view),
                None => {
                    world.clients[i].known.retain(|known| *known != id);
                    let was_dropped = world.model.dropped.contains_key(&id);
                    world
                        .history
                        .demand(was_dropped, || format!("request {id} was acknowledged and is lost"));
                }
            }
        },
    );
}
