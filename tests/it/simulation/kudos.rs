//! Clients give each other kudos, are awarded some, and get more or less each month.

use gridbroker::{
    domain::{
        Error, Kudos, UserId,
        transfer::{KudosRule, Past, Transfer},
    },
    engine::{NewTransfer, Receiver},
};

use super::world::World;

/// One client gives another kudos, under a name that it may have used before. As the host has it, who gives
/// waits until what was given before is on disk.
pub fn give(world: &mut World, i: usize) {
    if world.giving == Some(world.life) {
        return;
    }
    let sender = world.clients[i].user;
    let receiver = world.chance.pick(&world.clients).map_or(sender, |client| client.user);
    let amount = [1, 5, 40, 2_000][world.chance.between(0, 3) as usize];
    let name = world.chance.between(0, 30).to_string();
    let id = Transfer::id_of(sender, &name);
    let past = Past {
        earlier: world.model.transfers.get(&id).cloned(),
        returned_at: world.model.last_transfer(receiver, sender),
    };
    let receiver = Some(Receiver { user: receiver, shared_key: None });
    let new = NewTransfer { id, sender, receiver, amount, past };
    world.giving = Some(world.life);
    let life = world.life;
    let _ = world.act(
        |engine, step, _| engine.transfer(step, new),
        move |world, answer| {
            if world.giving == Some(life) {
                world.giving = None;
            }
            let stored = world.model.transfers.get(&id).map(|transfer| transfer.amount);
            match answer {
                Ok(given) => world.history.demand(stored == Some(given), || {
                    format!("transfer {id} of {given} was acknowledged, on disk is {stored:?}")
                }),
                Err(Error::Kudos(
                    KudosRule::FromAnonymous
                    | KudosRule::ToAnonymous
                    | KudosRule::ToSelf
                    | KudosRule::TooFast
                    | KudosRule::Conflict
                    | KudosRule::NotEnough { .. },
                )) => {}
                Err(error) => world.history.complain(format!("a transfer was refused: {error}")),
            }
        },
    );
}

/// The first account ever made gives and takes.
pub fn award(world: &mut World, i: usize) {
    let receiver = world.clients[i].user;
    let amount = world.chance.between(-60, 60);
    let _ = world.act(
        |engine, step, _| engine.award(step, UserId::AWARDER, Some(receiver), amount),
        move |world, answer| match answer {
            Ok(awarded) => {
                world.history.demand(awarded == Kudos::whole(amount), || format!("{awarded} for {amount}"));
            }
            Err(Error::Kudos(KudosRule::AwardToAnonymous)) => {}
            Err(error) => world.history.complain(format!("an award was refused: {error}")),
        },
    );
}

/// An administrator says what an account gets each month.
pub fn change_monthly(world: &mut World, i: usize) {
    let (user, delta) = (world.clients[i].user, world.chance.between(-60, 60));
    let _ = world.act(
        |engine, step, _| engine.change_monthly(step, user, delta),
        |world, answer| {
            if let Err(error) = answer {
                world.history.complain(format!("a monthly change was refused: {error}"));
            }
        },
    );
}
