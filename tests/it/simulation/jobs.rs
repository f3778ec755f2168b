//! What workers do with the jobs they hold: report, hand in, fail, repeat themselves.

use gridbroker::{
    domain::{
        AttemptId, Error, Kudos, Result, UserId,
        request::{Kind, Spec},
        result::{Delivery, Product, Verdict},
    },
    engine::{Report, Submission},
};

use super::{dice::Chance, workers::Session, world::World};

const WORDS: [&str; 6] = ["light", " house", " über", " sea", " – ", "fog"];

/// A job in a worker's hands.
pub struct Work {
    pub attempt: AttemptId,
    kind: Kind,
    /// What it will have made; empty for images.
    text: String,
    /// Bytes of it that were reported.
    sent: usize,
    has_reported: bool,
    /// The connection it came on, or was taken up on.
    pub on: Option<Session>,
}

impl Work {
    pub fn new(chance: &mut Chance, attempt: AttemptId, spec: &Spec, session: Session) -> Self {
        let kind = spec.kind();
        let words = if kind == Kind::Text { chance.between(0, 12) } else { 0 };
        let text = (0..words).map(|_| WORDS[chance.between(0, 5) as usize]).collect();
        let on = session.is_stream.then_some(session);
        Self { attempt, kind, text, sent: 0, has_reported: false, on }
    }

    pub fn came_on(&self, session: Session) -> bool {
        self.on == Some(session)
    }
}

pub fn turn(world: &mut World, i: usize) {
    let attempts: Vec<_> = world.workers[i].jobs.iter().map(|job| job.attempt).collect();
    let is_rough = world.plan.is_rough && !world.is_draining;
    for attempt in attempts {
        let choice = world.chance.between(0, 99);
        let has_reported = world.workers[i].jobs.iter().any(|job| job.attempt == attempt && job.has_reported);
        match choice {
            _ if !is_rough && !has_reported => report(world, i, attempt),
            _ if !is_rough => hand_in(world, i, attempt),
            0..=34 => report(world, i, attempt),
            35..=54 => hand_in(world, i, attempt),
            55..=57 => fail(world, i, attempt),
            58..=60 => drop_job(world, i, attempt),
            _ => {}
        }
    }
    if is_rough && world.chance.percent(4) && !world.workers[i].past.is_empty() {
        let past = world.chance.pick(&world.workers[i].past).copied();
        let owner = if world.chance.percent(20) { UserId::ANONYMOUS } else { world.workers[i].owner };
        if let Some(attempt) = past {
            submit(world, i, owner, attempt, Product::Image);
        }
    }
}

fn drop_job(world: &mut World, i: usize, attempt: AttemptId) {
    let worker = &mut world.workers[i];
    worker.jobs.retain(|job| job.attempt != attempt);
    worker.past.push(attempt);
    if worker.past.len() > 30 {
        worker.past.remove(0);
    }
}

fn find(world: &mut World, i: usize, attempt: AttemptId) -> Option<&mut Work> {
    world.workers[i].jobs.iter_mut().find(|job| job.attempt == attempt)
}

fn report(world: &mut World, i: usize, attempt: AttemptId) {
    let (skip, mode, is_lost) =
        (world.chance.between(1, 12) as usize, world.chance.between(0, 9), lost(world));
    let session = world.workers[i].session;
    let Some(job) = find(world, i, attempt) else { return };
    let is_connected = job.on.is_some() && job.on == session;
    let end = (job.sent + skip..=job.text.len())
        .find(|end| job.text.is_char_boundary(*end))
        .unwrap_or(job.text.len());
    let (begin, offset) = match mode {
        0 => (job.sent, None),
        1 => (0, Some(0)),
        2 => (job.sent, Some(job.sent as u64 + 5)),
        _ => (job.sent, Some(job.sent as u64)),
    };
    let text = if mode == 3 { String::new() } else { job.text[begin..end].to_owned() };
    let told = begin + text.len();
    let report = Report { text, offset, progress: (mode == 4).then_some((1, 2)), preview: None };
    let owner = world.workers[i].owner;
    let decided = world.act(
        |engine, step, _| engine.report(step, owner, attempt, report),
        move |world, answer| {
            if is_lost {
                return;
            }
            match answer {
                Ok(_) => {
                    if let Some(job) = find(world, i, attempt) {
                        job.sent = job.sent.max(told);
                        job.has_reported = true;
                    }
                }
                Err(Error::TokenGap { known, .. }) => {
                    if let Some(job) = find(world, i, attempt) {
                        let known = known as usize;
                        let is_boundary = known <= job.text.len() && job.text.is_char_boundary(known);
                        job.sent = if is_boundary { known } else { 0 };
                    }
                }
                Err(Error::BadRequest(_)) => {}
                Err(error) => stop(world, i, attempt, &error),
            }
        },
    );
    if decided.is_ok() {
        let now = world.clock();
        world.history.reported(attempt, now, is_connected);
    }
}

fn lost(world: &mut World) -> bool {
    world.plan.is_rough && !world.is_draining && world.chance.percent(5)
}

fn hand_in(world: &mut World, i: usize, attempt: AttemptId) {
    let other = world.plan.is_rough && world.chance.percent(10);
    let Some(job) = find(world, i, attempt) else { return };
    let product = match job.kind {
        Kind::Image | Kind::Video | Kind::Alchemy => Product::Image,
        Kind::Text if other => Product::Text("something else".into()),
        Kind::Text => Product::Text(job.text.clone()),
    };
    let owner = world.workers[i].owner;
    submit(world, i, owner, attempt, product);
}

fn submit(world: &mut World, i: usize, caller: UserId, attempt: AttemptId, product: Product) {
    let is_lost = lost(world);
    let verdict = if world.chance.percent(10) { Verdict::Censored } else { Verdict::Ok };
    // What a broker does before it settles: a result must be of the job's kind.
    let is_text = matches!(product, Product::Text(_));
    if world.engine.kind_of(attempt).is_some_and(|kind| (kind == Kind::Text) != is_text) {
        return;
    }
    let delivery = Delivery { product, seed: 1, verdict, remarks: vec![], extras: Default::default() };
    let is_foreign = caller != world.workers[i].owner;
    let _ = world.act(
        |engine, step, _| engine.settle(step, caller, attempt, Submission::Delivered(delivery)),
        move |world, answer| {
            if is_lost {
                return;
            }
            world
                .history
                .demand(!is_foreign || answer.is_err(), || format!("{attempt} was settled by a stranger"));
            judge(world, attempt, &answer);
            if !is_foreign {
                drop_job(world, i, attempt);
            }
        },
    );
}

/// Checks the answer to a result against what is on disk by then.
fn judge(world: &mut World, attempt: AttemptId, answer: &Result<Kudos>) {
    let stored = world.model.outcomes.get(&attempt).map(|outcome| outcome.reward);
    let is_open = world.model.is_open(attempt);
    let history = &mut world.history;
    match answer {
        Ok(reward) => {
            history.demand(stored == Some(*reward), || {
                format!("attempt {attempt} was acknowledged with {reward}, on disk it has {stored:?}")
            });
            let is_new = history.rewarded.insert(attempt, *reward).is_none();
            history.demand(is_new, || format!("attempt {attempt} was rewarded twice"));
        }
        Err(Error::DuplicateGen { reward, .. }) => history.demand(stored == Some(*reward), || {
            format!("attempt {attempt} is called a duplicate with {reward}, on disk it has {stored:?}")
        }),
        Err(Error::AbortedGen(_) | Error::InvalidJobId(_)) => {
            history.demand(!is_open, || {
                format!("a result of {attempt} was refused ({answer:?}), but it is open")
            });
        }
        Err(Error::WrongCredentials) => {}
        Err(error) => history.complain(format!("a result of {attempt} was refused: {error}")),
    }
}

fn fail(world: &mut World, i: usize, attempt: AttemptId) {
    let owner = world.workers[i].owner;
    world.history.given_up(attempt);
    let _ = world.act(|engine, step, _| engine.settle(step, owner, attempt, Submission::Faulted), |_, _| {});
    drop_job(world, i, attempt);
}

fn stop(world: &mut World, i: usize, attempt: AttemptId, error: &Error) {
    let is_open = world.model.is_open(attempt);
    world.history.demand(!is_open, || format!("a report on {attempt} was refused ({error}), but it is open"));
    drop_job(world, i, attempt);
}
