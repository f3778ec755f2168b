//! How many jobs come before a request's, of those that the same workers could take.

use std::{collections::HashMap, sync::Arc};

use super::Position;
use crate::engine::{
    Engine,
    matching::{self, Able, Pair},
    offer::Budget,
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
        let (mut ahead, mut known, mut budget) = (0, HashMap::new(), Budget::of(LOOKS));
        let mut is_exact = able.len() <= WORKERS;
        let able = &able[..able.len().min(WORKERS)];
        // Requests of one shape share it, and are alike unless a rule asks each, or whose they are.
        let own = self.queue.shape_in_lanes(request.id())?;
        let is_alike = !able.iter().any(|able| matching::asks_each(own, able));
        for (at, place) in self.queue.all(request.kind()).enumerate() {
            if place == request.place {
                break;
            }
            if at == REQUESTS {
                is_exact = false;
                break;
            }
            let before = self.requests.get(&place.request);
            let (Some(before), Some(shape)) = (before, self.queue.shape_in_lanes(place.request)) else {
                continue;
            };
            let mut is_read = true;
            let mut ask = || {
                able.iter().any(|able| {
                    is_read &= budget.may_look(&before.accepted.spec.prompt, able);
                    let pair = Pair::new(shape, self.asked(before), able);
                    is_read && matching::refusal(&pair).is_none()
                })
            };
            let is_taken = match is_alike {
                true => *known.entry((Arc::as_ptr(shape), before.accepted.owner)).or_insert_with(ask),
                false => ask(),
            };
            if !is_read {
                is_exact = false;
                break;
            }
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
