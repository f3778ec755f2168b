//! How many jobs come before a request's, of those that the same workers could take.

use std::{collections::HashMap, sync::Arc};

use super::Position;
use crate::engine::{
    Engine,
    matching::{self, Able, Pair},
    request::Request,
};

/// Requests before it that are looked at, and workers that each is held against. Beyond that the position is
/// told as the least that it can be.
const REQUESTS: usize = 10_000;
const WORKERS: usize = 50;
/// Pairs that are put through the table.
const LOOKS: usize = 20_000;

impl Engine {
    /// Which job a request's next one is, of those that these workers could take; `None`: there are none, or
    /// none of it stands in the queue.
    pub(super) fn position(&self, request: &Request, able: &[Able<'_>]) -> Option<Position> {
        self.queue.shape_in_lanes(request.id()).filter(|_| !able.is_empty())?;
        let (mut ahead, mut looks, mut known) = (0, LOOKS, HashMap::new());
        let mut is_exact = able.len() <= WORKERS;
        let able = &able[..able.len().min(WORKERS)];
        for (at, place) in self.queue.all(request.kind()).enumerate() {
            if place == request.place {
                break;
            }
            if at == REQUESTS || looks == 0 {
                is_exact = false;
                break;
            }
            let before = self.requests.get(&place.request);
            let (Some(before), Some(shape)) = (before, self.queue.shape_in_lanes(place.request)) else {
                continue;
            };
            let may =
                |able: &Able<'_>| matching::refusal(&Pair::new(shape, self.asked(before), able)).is_none();
            let mut ask = || {
                let taker = able.iter().position(may);
                looks = looks.saturating_sub(taker.map_or(able.len(), |at| at + 1));
                taker.is_some()
            };
            // Requests of one shape share it, and are alike unless a rule asks each, or whose they are.
            let is_alike = !able.iter().any(|able| matching::asks_each(shape, able));
            let is_taken = match is_alike {
                true => *known.entry((Arc::as_ptr(shape), before.accepted.owner)).or_insert_with(ask),
                false => ask(),
            };
            if is_taken {
                ahead += self.jobs_for(before, able);
            }
        }
        Some(Position { jobs: ahead + 1, is_exact })
    }

    /// Jobs of a request that workers could take which may take it: of alchemy those of their forms.
    fn jobs_for(&self, request: &Request, able: &[Able<'_>]) -> usize {
        let mut forms = self.queue.forms_of(request.id()).peekable();
        if forms.peek().is_none() {
            return request.waiting();
        }
        let serves = |form| able.iter().any(|able| able.facts.serves(form));
        forms.filter(|(form, _)| serves(form)).map(|(_, jobs)| jobs).sum()
    }
}
