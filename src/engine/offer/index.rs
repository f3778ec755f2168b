//! The offers, and which of them have room, by model and by turn.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::MAX_POPS;
use crate::{
    domain::{OfferId, Timestamp, WorkerId, request::Kind, worker::Profile},
    engine::queue,
};

/// The offers, and which of them have room.
#[derive(Default)]
pub(in crate::engine) struct Offers {
    offers: HashMap<OfferId, Offer>,
    by_worker: HashMap<WorkerId, BTreeSet<OfferId>>,
    idle: HashMap<(Kind, Arc<str>), BTreeSet<(u64, OfferId)>>,
    idle_all: [BTreeSet<(u64, OfferId)>; Kind::COUNT],
    next_id: u64,
    next_turn: u64,
}

/// A kind of jobs, and the models that may run them.
pub(in crate::engine) type Lane = (Kind, Vec<Arc<str>>);

#[derive(Debug)]
pub(in crate::engine) struct Offer {
    pub worker: WorkerId,
    pub is_stream: bool,
    /// A pop that gathers jobs of several requests: those of all claims that are made at one time.
    pub gathers: bool,
    /// Claims that are not answered yet.
    claims: usize,
    /// It got jobs.
    has_jobs: bool,
    /// Kinds of jobs that it waits for, each with the models that may run them.
    lanes: Vec<Lane>,
    /// Jobs that may be outstanding.
    credits: usize,
    /// Jobs that are, claims included. A pop that is claimed for has no room left: its answer is one batch.
    outstanding: usize,
    /// Jobs in a row that it was sent and said nothing about. Each keeps a credit of it for a while,
    /// which counts as outstanding.
    silences: u32,
    /// When a pop ends without a job.
    until: Timestamp,
    /// When it was made.
    pub made_at: Timestamp,
    /// When it last got room; `None`: it has none.
    turn: Option<u64>,
}

impl Offer {
    /// Kinds of jobs that it waits for, each with the models that may run them.
    pub fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    /// Models that may run a job of a kind.
    pub fn models(&self, kind: Kind) -> &[Arc<str>] {
        self.lanes.iter().find(|lane| lane.0 == kind).map_or(&[], |lane| &lane.1)
    }
}

impl Offers {
    /// A stream's offer has no end: `until` is for pops.
    pub fn add(
        &mut self,
        worker: WorkerId,
        profile: &Profile,
        credits: usize,
        until: Option<Timestamp>,
        made_at: Timestamp,
    ) -> OfferId {
        let id = OfferId(self.next_id);
        self.next_id += 1;
        let offer = Offer {
            worker,
            is_stream: until.is_none(),
            gathers: until.is_some() && profile.kind() == Kind::Alchemy,
            claims: 0,
            has_jobs: false,
            lanes: profile.kinds().map(|kind| (kind, profile.models_for(kind).into_owned())).collect(),
            credits,
            outstanding: 0,
            silences: 0,
            until: until.unwrap_or_default(),
            made_at,
            turn: None,
        };
        self.offers.insert(id, offer);
        self.by_worker.entry(worker).or_default().insert(id);
        id
    }

    pub fn get(&self, id: OfferId) -> Option<&Offer> {
        self.offers.get(&id)
    }

    pub fn of_worker(&self, worker: WorkerId) -> Option<&BTreeSet<OfferId>> {
        self.by_worker.get(&worker)
    }

    /// Workers with an open pop or stream.
    pub fn workers(&self) -> impl Iterator<Item = WorkerId> {
        self.by_worker.keys().copied()
    }

    /// Streams that are open, with their workers.
    pub fn streams(&self) -> impl Iterator<Item = (OfferId, WorkerId)> {
        let streams = self.offers.iter().filter(|(_, offer)| offer.is_stream);
        streams.map(|(id, offer)| (*id, offer.worker))
    }

    pub fn len(&self) -> usize {
        self.offers.len()
    }

    pub fn remove(&mut self, id: OfferId) -> Option<Offer> {
        self.unlist(id);
        let offer = self.offers.remove(&id)?;
        if let Some(set) = self.by_worker.get_mut(&offer.worker) {
            set.remove(&id);
            if set.is_empty() {
                self.by_worker.remove(&offer.worker);
            }
        }
        Some(offer)
    }

    /// The oldest pop of a worker that holds as many as it may, unless all are about to get jobs.
    pub fn oldest_pop_of_many(&self, worker: WorkerId) -> Option<OfferId> {
        let held = self.by_worker.get(&worker).filter(|held| held.len() >= MAX_POPS)?;
        held.iter()
            .copied()
            .find(|id| self.offers.get(id).is_some_and(|offer| !offer.is_stream && offer.outstanding == 0))
    }

    /// Takes one credit away, and says how often in a row that happened.
    pub fn withhold(&mut self, id: OfferId) -> u32 {
        self.take_room(id, 1);
        let Some(offer) = self.offers.get_mut(&id) else { return 0 };
        offer.silences += 1;
        offer.silences
    }

    /// Notes that somebody is there.
    pub fn heard(&mut self, id: OfferId) {
        if let Some(offer) = self.offers.get_mut(&id) {
            offer.silences = 0;
        }
    }

    /// Jobs that an offer has room for.
    pub fn room(&self, id: OfferId) -> usize {
        self.offers.get(&id).map_or(0, |offer| offer.credits.saturating_sub(offer.outstanding))
    }

    /// Takes room for a claim: a stream's for so many jobs, all that a pop has unless it gathers.
    pub fn take_claim(&mut self, id: OfferId, jobs: usize) {
        let room = self.room(id);
        let Some(offer) = self.offers.get_mut(&id) else { return };
        offer.claims += 1;
        let room = if offer.is_stream || offer.gathers { jobs } else { room };
        self.take_room(id, room as isize);
    }

    /// Notes that a claim was granted.
    pub fn granted(&mut self, id: OfferId) {
        if let Some(offer) = self.offers.get_mut(&id) {
            offer.claims = offer.claims.saturating_sub(1);
            offer.has_jobs = true;
        }
    }

    /// Whether a pop has jobs, and is about to get no more.
    pub fn is_complete(&self, id: OfferId) -> bool {
        self.offers.get(&id).is_some_and(|offer| !offer.is_stream && offer.has_jobs && offer.claims == 0)
    }

    /// Gives back what a claim for so many jobs took.
    pub fn drop_claim(&mut self, id: OfferId, jobs: usize) {
        let Some(offer) = self.offers.get_mut(&id) else { return };
        offer.claims = offer.claims.saturating_sub(1);
        let room = if offer.is_stream || offer.gathers { jobs } else { offer.outstanding };
        self.take_room(id, -(room as isize));
    }

    /// Whether a pop whose time is over waits for nothing but its end.
    pub fn is_over(&self, id: OfferId, now: Timestamp) -> bool {
        self.offers.get(&id).is_some_and(|o| !o.is_stream && o.outstanding == 0 && o.until <= now)
    }

    /// Sets how many jobs may be outstanding at an offer.
    pub fn set_credits(&mut self, id: OfferId, credits: usize) {
        if let Some(offer) = self.offers.get_mut(&id) {
            offer.credits = credits;
            self.list(id);
        }
    }

    /// Takes (or with a negative number gives back) room, and keeps the index right.
    pub fn take_room(&mut self, id: OfferId, jobs: isize) {
        let Some(offer) = self.offers.get_mut(&id) else { return };
        offer.outstanding = offer.outstanding.saturating_add_signed(jobs);
        self.list(id);
    }

    /// Puts an offer into the index if it has room, takes it out if not.
    pub fn list(&mut self, id: OfferId) {
        if self.room(id) == 0 {
            self.unlist(id);
            return;
        }
        let Some(offer) = self.offers.get_mut(&id) else { return };
        if offer.turn.is_none() {
            let key = (self.next_turn, id);
            self.next_turn += 1;
            offer.turn = Some(key.0);
            for (kind, models) in &offer.lanes {
                for model in models {
                    self.idle.entry((*kind, model.clone())).or_default().insert(key);
                }
                self.idle_all[kind.index()].insert(key);
            }
        }
    }

    fn unlist(&mut self, id: OfferId) {
        let Some(offer) = self.offers.get_mut(&id) else { return };
        let Some(turn) = offer.turn.take() else { return };
        for (kind, models) in &offer.lanes {
            for model in models {
                let lane = (*kind, model.clone());
                if let Some(set) = self.idle.get_mut(&lane) {
                    set.remove(&(turn, id));
                    if set.is_empty() {
                        self.idle.remove(&lane);
                    }
                }
            }
            self.idle_all[kind.index()].remove(&(turn, id));
        }
    }

    /// Offers with room that serve one of these models (none named: any), longest waiting first.
    pub fn with_room<'a>(&'a self, kind: Kind, models: &'a [Arc<str>]) -> impl Iterator<Item = OfferId> + 'a {
        let everyone = models.is_empty().then(|| &self.idle_all[kind.index()]);
        let named = models.iter().filter_map(move |model| self.idle.get(&(kind, model.clone())));
        queue::merge(everyone.into_iter().chain(named)).map(|(_, id)| id)
    }
}
