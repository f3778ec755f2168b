//! Why a worker has nothing to do.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    Block, KindExplanation, WorkerExplanation,
    counts::{Counts, Verdict},
    looks::Looks,
};
use crate::{
    domain::{RequestId, Timestamp, WorkerId, request::Kind, user::Role, worker::Worker},
    engine::{
        Engine,
        matching::{self, Able, Asked, Facts, Pair, Shape},
        offer::Budget,
    },
};

/// Requests that are looked at for one worker, the first of the queue; and sorts of them.
const REQUESTS: usize = 10_000;
const SORTS: usize = 2_000;

/// Requests, or a part of one, that are alike to a worker.
pub(super) struct Sort<'a> {
    shape: Arc<Shape>,
    is_own: bool,
    is_preferred: bool,
    /// The request, where it is but one.
    asked: Option<Asked<'a>>,
    /// Jobs of them that wait.
    pub jobs: usize,
    /// How many there are.
    pub requests: usize,
    /// Of alchemy: the request that this is a form of; its forms come one after the other.
    pub part_of: Option<RequestId>,
    /// Which rules forbid it.
    pub verdict: Verdict,
}

impl<'a> Sort<'a> {
    /// Puts it beside a worker.
    pub fn beside<'b>(&'b self, able: &'b Able<'b>) -> Pair<'b>
    where
        'a: 'b,
    {
        let Self { shape, is_own, is_preferred, asked, .. } = self;
        Pair { shape, able, is_own: *is_own, is_preferred: *is_preferred, asked: *asked }
    }
}

impl Engine {
    /// Why a worker has nothing to do; `None`: there is no such worker. That it is paused is told to
    /// moderators alone; to others it is as if it were not.
    pub fn explain_worker(
        &self,
        id: WorkerId,
        to_moderator: bool,
        now: Timestamp,
    ) -> Option<WorkerExplanation> {
        let mut worker = self.fleet.get(id)?.clone();
        worker.standing.is_paused &= to_moderator;
        let kinds: Vec<_> = worker.profile.kinds().collect();
        let blocks = self.blocks(&worker, &kinds, now);
        let kinds = kinds.into_iter().filter_map(|kind| self.explain_kind(&worker, kind)).collect();
        Some(WorkerExplanation { blocks, kinds })
    }

    /// What keeps a worker from any work at all.
    fn blocks(&self, worker: &Worker, kinds: &[Kind], now: Timestamp) -> Vec<Block> {
        let owner_is = |role| self.accounts.get(worker.owner).is_some_and(|owner| owner.is(role));
        let offers = self.offers.of_worker(worker.id);
        let waits_elsewhere = offers.is_none();
        let has_room = offers.into_iter().flatten().any(|offer| self.offers.room(*offer) > 0);
        let is_online = self.is_online(worker, now);
        let nothing_waits = kinds.iter().all(|kind| self.queue.waiting(*kind) == 0);
        [
            owner_is(Role::Deleted).then_some(Block::OwnerDeleted),
            owner_is(Role::Flagged).then_some(Block::OwnerFlagged),
            (!is_online).then(|| Block::Offline(now.since(worker.seen_at).as_secs())),
            (is_online && waits_elsewhere).then_some(Block::NotWaiting),
            (!waits_elsewhere && !has_room).then_some(Block::NoCredits),
            worker.maintenance.clone().map(Block::Maintenance),
            worker.standing.is_paused.then_some(Block::Paused),
            nothing_waits.then_some(Block::NothingWaits),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn explain_kind(&self, worker: &Worker, kind: Kind) -> Option<KindExplanation> {
        let facts = self.fleet.facts(worker.id, kind)?;
        let able = self.able_as(worker, facts, kind)?;
        let (mut counts, mut looks) = (Counts::new(kind), Looks::default());
        let (sorts, looked_at) = self.sorts(kind, &able, &counts, &mut looks);
        for alike in sorts.chunk_by(|one, other| one.part_of.is_some() && one.part_of == other.part_of) {
            let parts: Vec<_> = alike.iter().map(|sort| (sort.verdict, sort.jobs)).collect();
            counts.add(&parts, alike[0].requests);
        }
        let now = sorts.iter().filter(|sort| sort.verdict.is_free()).map(|sort| sort.jobs).sum();
        let gains = self.gains(worker, &able, &counts, &sorts, &mut looks);
        let (models, lifts) =
            gains.into_iter().partition(|gain| matches!(gain.lift, matching::Lift::Model(_)));
        Some(KindExplanation {
            kind,
            requests: self.queue.len(kind),
            jobs: self.queue.waiting(kind),
            looked_at,
            able: now,
            counts: counts.into_counts(),
            models,
            lifts,
            is_whole: looks.is_whole(),
        })
    }

    /// A worker that may be another than the one that is known under its ID.
    pub(super) fn able_as<'a>(&self, worker: &'a Worker, facts: &'a Facts, kind: Kind) -> Option<Able<'a>> {
        Able::new(worker, facts, kind, self.accounts.get(worker.owner), self.rules.matched_targeting)
    }

    /// What waits, in sorts that are alike to a worker, and how many requests were looked at.
    fn sorts<'a>(
        &'a self,
        kind: Kind,
        able: &Able<'_>,
        counts: &Counts,
        looks: &mut Looks,
    ) -> (Vec<Sort<'a>>, usize) {
        let preferred: BTreeSet<_> = able.preferred().collect();
        let (mut sorts, mut known): (Vec<Sort<'a>>, _) = (Vec::new(), HashMap::new());
        let (mut budget, mut looked_at) = (Budget::default(), 0);
        for place in self.queue.all(kind) {
            let of = self.requests.get(&place.request);
            let (Some(request), Some(shape)) = (of, self.queue.shape_in_lanes(place.request)) else {
                continue;
            };
            let owner = request.accepted.owner;
            let (is_own, is_preferred) = (owner == able.worker.owner, preferred.contains(&owner));
            let key = (Arc::as_ptr(shape), is_own, is_preferred);
            let asks_each = matching::asks_each(shape, able);
            if let Some(at) = known.get(&key).filter(|_| !asks_each && kind != Kind::Alchemy)
                && looked_at < REQUESTS
            {
                let sort: &mut Sort<'_> = &mut sorts[*at];
                sort.requests += 1;
                sort.jobs += request.waiting();
                looked_at += 1;
                continue;
            }
            let may_read = !asks_each || budget.may_look(&request.accepted.spec.prompt, able);
            if looked_at == REQUESTS || sorts.len() >= SORTS || !may_read {
                looks.cut();
                break;
            }
            looked_at += 1;
            known.insert(key, sorts.len());
            let asked = asks_each.then(|| self.asked(request));
            let sort = |shape, jobs, part_of| {
                let verdict = Verdict::default();
                let mut sort =
                    Sort { shape, is_own, is_preferred, asked, jobs, requests: 1, part_of, verdict };
                sort.verdict = counts.judge(&sort.beside(able));
                sort
            };
            if kind == Kind::Alchemy {
                // Forms are not alike: each is a job by itself.
                let mut forms: Vec<_> = self.queue.forms_of(place.request).collect();
                forms.sort_unstable();
                sorts.extend(forms.into_iter().map(|(form, jobs)| {
                    let shape = Shape::clone(shape).with_forms(vec![form.clone()]);
                    sort(Arc::new(shape), jobs, Some(place.request))
                }));
            } else {
                sorts.push(sort(shape.clone(), request.waiting(), None));
            }
        }
        (sorts, looked_at)
    }
}
