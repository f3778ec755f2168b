//! Rules of forms of alchemy.

use super::{
    super::{Ease, Lift, Pair, Wants},
    Rule,
};

/// Seconds for a form from which on a worker is slow.
const SLOW_FROM: f64 = 10.0;

fn larger(pair: &Pair<'_>) -> Vec<Lift> {
    match pair.shape.wants {
        Wants::Alchemy { tiles } => vec![Lift::MaxTiles(tiles)],
        _ => Vec::new(),
    }
}

pub static TILES: Rule = Rule {
    name: "tiles",
    why: "the source image is larger than the worker takes",
    key: None,
    reads_job: "size of the source image",
    reads_worker: "max_tiles",
    asks_each: None,
    forbids: |pair| match &pair.shape.wants {
        Wants::Alchemy { tiles } => pair.able.transmutes().is_some_and(|able| *tiles > able.max_tiles),
        _ => false,
    },
    eases: Some(Ease::fewer_tiles),
    lifts: Some(larger),
};

pub static SLOW: Rule = Rule {
    name: "slow workers",
    why: "the worker is slow, and the request wants none of those",
    key: None,
    reads_job: "slow_workers",
    reads_worker: "seconds for a form",
    asks_each: None,
    forbids: |pair| !pair.shape.slow_workers && pair.able.worker.seconds_per_form() >= SLOW_FROM,
    eases: Some(|_| vec![Ease::SlowWorkers]),
    lifts: None,
};
