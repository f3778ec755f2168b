//! Workers: how they come, wait, break off and come back. What they do with jobs is in `jobs.rs`.

use gridbroker::{
    domain::{AttemptId, OfferId, UserId, WorkerId, request::Kind, user::Role, worker::Profile},
    engine::{Grant, Push},
};

use super::{
    clients,
    jobs::{self, Work},
    things,
    world::{Happening, Seat, World},
};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Pops that are held for so long, in ms.
    Pop(i64),
    Stream,
}

/// A connection on which the worker waits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Session {
    pub life: u64,
    pub offer: OfferId,
    pub is_stream: bool,
}

pub struct Worker {
    pub name: String,
    pub owner: UserId,
    pub profile: Profile,
    style: Style,
    /// Once the broker knows it.
    pub id: Option<WorkerId>,
    pub session: Option<Session>,
    /// A connection that broke without the broker's noticing.
    broken: Option<Session>,
    pub jobs: Vec<Work>,
    /// Attempts that it is done with, one way or another.
    pub past: Vec<AttemptId>,
    away_until: i64,
    /// Does all that it is given, at once.
    pub is_able: bool,
}

pub fn populate(world: &mut World) {
    let owners = [clients::add_user(world, 0, vec![]), clients::add_user(world, 100, vec![Role::Trusted])];
    for i in 0..world.plan.workers {
        let kind = Kind::ALL[i % 2];
        let style = match world.chance.between(0, 3) {
            0 => Style::Pop(0),
            1 => Style::Pop(world.chance.between(500, 30_000)),
            _ => Style::Stream,
        };
        let profile = things::profile(&mut world.chance, kind, false);
        let owner = owners[world.chance.between(0, 1) as usize];
        add(world, Worker { style, ..worker(format!("worker {i}"), owner, profile) });
    }
}

/// Able workers come, and the others do their work.
pub fn help(world: &mut World) {
    let owner = clients::add_user(world, 0, vec![Role::Trusted]);
    for kind in things::KINDS {
        for style in [Style::Stream, Style::Pop(5_000)] {
            let profile = things::profile(&mut world.chance, kind, true);
            let name = format!("helper {kind:?} {}", style == Style::Stream);
            add(world, Worker { style, is_able: true, ..worker(name, owner, profile) });
        }
    }
}

fn worker(name: String, owner: UserId, profile: Profile) -> Worker {
    Worker {
        name,
        owner,
        profile,
        style: Style::Stream,
        id: None,
        session: None,
        broken: None,
        jobs: Vec::new(),
        past: Vec::new(),
        away_until: 0,
        is_able: false,
    }
}

fn add(world: &mut World, worker: Worker) {
    let is_able = worker.is_able || !world.plan.is_rough;
    world.workers.push(Worker { is_able, ..worker });
    world.later(0, Happening::Worker(world.workers.len() - 1));
}

pub fn turn(world: &mut World, i: usize) {
    let delay = world.chance.between(20, 1_500);
    world.later(delay, Happening::Worker(i));
    let is_rough = world.plan.is_rough && !world.is_draining;
    let worker = &mut world.workers[i];
    if world.now < worker.away_until {
        return;
    }
    // A restart of the broker breaks connections.
    worker.session = worker.session.filter(|session| session.life == world.life);
    if is_rough && world.chance.percent(3) {
        return vanish(world, i);
    }
    if is_rough && world.chance.percent(2) {
        world.workers[i].profile = things::profile(&mut world.chance, world.workers[i].profile.kind(), false);
    }
    let worker = &world.workers[i];
    match (worker.session, worker.style) {
        (None, Style::Stream) => open_stream(world, i),
        (None, Style::Pop(hold)) if worker.jobs.len() < worker.profile.threads as usize => {
            pop(world, i, hold)
        }
        _ => {}
    }
    jobs::turn(world, i);
}

/// Breaks off; the broker notices at once, or late.
fn vanish(world: &mut World, i: usize) {
    let is_silent = world.chance.percent(50);
    let notice = if is_silent { world.chance.between(1_000, 14_000) } else { world.chance.between(0, 30) };
    let away = if world.chance.percent(50) { 10_000 } else { 60_000 };
    world.workers[i].away_until = world.now + world.chance.between(100, away);
    if let Some(session) = world.workers[i].session.take() {
        world.history.note(|| format!("worker {i} vanishes, silent: {is_silent}"));
        world.later(notice, Happening::Closed(session.life, session.offer));
        world.workers[i].broken = is_silent.then_some(session);
    }
    if world.chance.percent(30) {
        // It crashed: it knows of no job any more.
        let forgotten: Vec<_> = world.workers[i].jobs.drain(..).map(|job| job.attempt).collect();
        world.workers[i].past.extend(forgotten);
    }
}

fn pop(world: &mut World, i: usize, hold: i64) {
    let (owner, name, profile) = introduce(&world.workers[i]);
    let until = world.clock().plus(std::time::Duration::from_millis(hold as u64));
    let called = name.clone();
    let decided = world.act(
        move |engine, step, desk| {
            let pop = engine.pop(step, owner, &called, profile, until);
            if let Ok(pop) = &pop {
                desk.insert(pop.offer, Seat { worker: i, offer: pop.offer, is_stream: false });
            }
            pop
        },
        |_, _| {},
    );
    let life = world.life;
    world.workers[i].session = match decided {
        Ok(pop) => Some(Session { life, offer: pop.offer, is_stream: false }),
        Err(error) => {
            world.history.complain(format!("{name} could not pop: {error}"));
            None
        }
    };
    world.workers[i].id = world.engine.worker_by_name(&name).map(|worker| worker.id);
}

fn open_stream(world: &mut World, i: usize) {
    let (owner, name, profile) = introduce(&world.workers[i]);
    let mut held: Vec<_> = world.workers[i].jobs.iter().map(|job| job.attempt).collect();
    if world.plan.is_rough {
        // Stale, repeated, and forgotten ones too.
        held.extend(world.workers[i].past.last().copied());
        held.extend(held.first().copied().filter(|_| world.chance.percent(30)));
        if world.chance.percent(10) {
            held.pop();
        }
    }
    if let Some(id) = world.engine.worker_by_name(&name).map(|worker| worker.id)
        && world.desk.values().any(|seat| seat.worker == i && seat.is_stream)
    {
        // The new stream takes the old one's place.
        world.history.cut(id);
    }
    let credits = world.chance.between(1, 4) as usize;
    let (life, called) = (world.life, name.clone());
    let decided = world.act(
        move |engine, step, desk| {
            let stream = engine.open_stream(step, owner, &called, profile, credits, &held);
            if let Ok(stream) = &stream {
                desk.insert(stream.offer, Seat { worker: i, offer: stream.offer, is_stream: true });
            }
            stream
        },
        move |world, stream| {
            let Ok(stream) = stream else { return };
            let session = Session { life, offer: stream.offer, is_stream: true };
            if world.life != life || world.workers[i].session != Some(session) {
                return;
            }
            let (kept, dropped): (Vec<_>, Vec<_>) = world.workers[i]
                .jobs
                .drain(..)
                .partition(|job| stream.kept.contains(&job.attempt) || job.came_on(session));
            world.workers[i].past.extend(dropped.into_iter().map(|job| job.attempt));
            world.workers[i].jobs = kept;
            world.step(|engine, step| engine.start_stream(step, stream.offer));
        },
    );
    match decided {
        Ok(stream) => {
            let session = Session { life, offer: stream.offer, is_stream: true };
            let worker = &mut world.workers[i];
            (worker.id, worker.session) = (Some(stream.worker), Some(session));
            for id in stream.kept {
                world.history.kept(id);
                world.workers[i]
                    .jobs
                    .iter_mut()
                    .filter(|job| job.attempt == id)
                    .for_each(|job| job.on = Some(session));
            }
        }
        Err(error) => world.history.complain(format!("{name} could not open a stream: {error}")),
    }
}

fn introduce(worker: &Worker) -> (UserId, String, Profile) {
    (worker.owner, worker.name.clone(), worker.profile.clone())
}

/// The broker sends something to whoever waits on an offer.
pub fn deliver(world: &mut World, offer: OfferId, push: Push) {
    let Some(seat) = world.desk.get(&offer).copied() else { return give_back(world, &push) };
    if !seat.is_stream || matches!(push, Push::Replaced | Push::Dismissed) {
        world.desk.remove(&offer);
    }
    if let Push::Grant(grant) = &push {
        let is_stored = grant.attempts.iter().all(|attempt| world.model.knows(attempt.id));
        world
            .history
            .demand(is_stored, || format!("a grant left before it was on disk: {:?}", grant.attempts));
    }
    let delay =
        if world.chance.percent(5) { world.chance.between(0, 3_000) } else { world.chance.between(0, 40) };
    world.later(delay, Happening::Arrival(world.life, seat, push));
}

fn give_back(world: &mut World, push: &Push) {
    if let Push::Grant(grant) = push {
        let attempts = grant.attempts.iter().map(|attempt| attempt.id).collect();
        world.later(0, Happening::Undelivered(world.life, attempts));
    }
}

/// Something that was sent arrives, or finds nobody.
pub fn arrival(world: &mut World, life: u64, seat: Seat, push: Push) {
    let session = Session { life, offer: seat.offer, is_stream: seat.is_stream };
    let worker = &mut world.workers[seat.worker];
    if worker.session != Some(session) {
        // Into a broken connection that nobody has noticed yet, it is lost without a trace.
        if worker.broken != Some(session) && life == world.life {
            give_back(world, &push);
        }
        return;
    }
    if !seat.is_stream || matches!(push, Push::Replaced) {
        worker.session = None;
    }
    match push {
        Push::Grant(grant) => receive(world, seat.worker, session, grant),
        Push::Cancel { attempts, .. } => {
            let obeys = world.chance.percent(70);
            let worker = &mut world.workers[seat.worker];
            if obeys {
                worker.jobs.retain(|job| !attempts.contains(&job.attempt));
                worker.past.extend(attempts);
            }
        }
        Push::Empty { .. } | Push::Replaced | Push::Dismissed | Push::Note(_) => {}
    }
}

fn receive(world: &mut World, i: usize, session: Session, grant: Grant) {
    for attempt in grant.attempts {
        let job = Work::new(&mut world.chance, attempt.id, &grant.spec, session);
        world.history.note(|| format!("worker {i} receives {}", attempt.id));
        world.workers[i].jobs.push(job);
    }
}
