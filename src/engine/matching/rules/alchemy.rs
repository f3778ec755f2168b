//! Rules of forms of alchemy.

use super::{super::Wants, Rule};

/// Seconds for a form from which on a worker is slow.
const SLOW_FROM: f64 = 10.0;

pub static TILES: Rule = Rule {
    name: "tiles",
    key: None,
    reads_job: "size of the source image",
    reads_worker: "max_tiles",
    asks_each: None,
    forbids: |pair| match &pair.shape.wants {
        Wants::Alchemy { tiles } => pair.able.transmutes().is_some_and(|able| *tiles > able.max_tiles),
        _ => false,
    },
};

pub static SLOW: Rule = Rule {
    name: "slow workers",
    key: None,
    reads_job: "slow_workers",
    reads_worker: "seconds for a form",
    asks_each: None,
    forbids: |pair| !pair.shape.slow_workers && pair.able.worker.seconds_per_form() >= SLOW_FROM,
};
