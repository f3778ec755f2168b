//! Why a request waits.

use std::sync::Arc;

use super::{
    Explanation,
    counts::{Counts, Verdict},
    looks::Looks,
};
use crate::{
    domain::{
        RequestId, Timestamp,
        request::{Accepted, Kind},
    },
    engine::{
        Engine,
        matching::{self, Able, Asked, Ease, Pair, Shape},
        params,
        request::Request,
    },
};

/// Workers that are looked at for one request. More of them are counted, no more.
const WORKERS: usize = 2_000;

/// A worker beside a request.
pub(super) struct Candidate<'a> {
    /// The worker.
    pub able: Able<'a>,
    /// Which rules forbid it the request.
    pub verdict: Verdict,
}

/// A request as it is, or as it could be.
pub(super) struct Variant {
    accepted: Accepted,
    shape: Shape,
}

impl Engine {
    /// Why a request waits; `None`: nothing of it does, or it is not in memory.
    pub fn explain(&self, id: RequestId, now: Timestamp) -> Option<Explanation> {
        let request = self.requests.get(&id).filter(|request| !request.is_over())?;
        if request.waiting() == 0 {
            return None;
        }
        let mut looks = Looks::default();
        let (workers, able) = self.onlookers(request, now);
        let as_it_is = self.variant(request, &[]);
        let mut counts = Counts::new(request.kind());
        let candidates: Vec<_> = able
            .into_iter()
            .map(|able| {
                let verdict = counts.judge(&self.beside(request, &as_it_is, &able));
                counts.add_worker(verdict);
                Candidate { able, verdict }
            })
            .collect();
        if candidates.len() < workers {
            looks.cut();
        }
        let able: Vec<_> =
            candidates.iter().filter(|one| one.verdict.is_free()).map(|one| one.able).collect();
        let position = self.position(request, &able);
        let changes = self.changes(request, &counts, &candidates, &mut looks);
        Some(Explanation {
            workers,
            looked_at: candidates.len(),
            able: able.len(),
            position,
            counts: counts.into_counts(),
            changes,
            is_whole: looks.is_whole(),
        })
    }

    /// Workers online that run a request's kind: how many, and the first of them by their IDs.
    fn onlookers(&self, request: &Request, now: Timestamp) -> (usize, Vec<Able<'_>>) {
        let (kind, asks) = (request.kind(), request.accepted.owner);
        let (mut count, mut first) = (0, Vec::new());
        for worker in self.fleet.serving(kind, &[]) {
            // Nobody is told that one is paused: it is as if it were not there.
            let is_hidden = worker.standing.is_paused && worker.owner != asks;
            if is_hidden || !self.is_online(worker, now) {
                continue;
            }
            count += 1;
            if first.len() < WORKERS {
                first.extend(self.able(worker.id, kind));
            }
        }
        (count, first)
    }

    /// A request, changed.
    pub(super) fn variant(&self, request: &Request, eases: &[Ease]) -> Variant {
        let mut accepted = request.accepted.clone();
        if !eases.is_empty() {
            let spec = Arc::make_mut(&mut accepted.spec);
            eases.iter().for_each(|ease| ease.apply(spec));
        }
        let mut shape = self.queue.shape_of(&accepted.spec);
        let forms: Vec<_> = self.queue.forms_of(request.id()).map(|(form, _)| form.clone()).collect();
        if request.kind() == Kind::Alchemy && !forms.is_empty() {
            shape = shape.with_forms(forms);
        }
        Variant { accepted, shape }
    }

    /// Whether a changed request would be accepted, as far as its parameters go.
    pub(super) fn is_sound(&self, variant: &Variant) -> bool {
        let Some(user) = self.accounts.get(variant.accepted.owner) else { return false };
        params::check(&(*variant.accepted.spec).clone().into(), user, &*self.models, false).is_ok()
    }

    /// Puts a request, changed or not, beside a worker.
    pub(super) fn beside<'a>(
        &'a self,
        request: &Request,
        variant: &'a Variant,
        able: &'a Able<'a>,
    ) -> Pair<'a> {
        let requester = self.accounts.get(request.accepted.owner);
        Pair::new(&variant.shape, Asked { request: &variant.accepted, requester }, able)
    }

    /// Whether a worker could take a request, changed or not.
    pub(super) fn takes(&self, request: &Request, variant: &Variant, able: &Able<'_>) -> bool {
        let requester = self.accounts.get(request.accepted.owner);
        let asked = Asked { request: &variant.accepted, requester };
        matching::refusal(&Pair::new(&variant.shape, asked, able)).is_none()
    }
}
