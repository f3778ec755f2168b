//! What holds for everybody: modes, messages to workers, addresses that nothing is taken from.
//!
//! One broker changes it, and all know it a moment later: it is read again from Records as a whole.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::{Engine, Push, Step, Timer, teams::Teams};
use crate::{
    config::Network,
    domain::{
        Error, Kudos, MessageId, RequestId, Result, Timestamp, UserId, WorkerId,
        board::{Board, BoardChange, Mode, Modes, WorkerMessage},
        event::Event,
        record::Record,
        request::Kind,
        route::Routes,
        user::Role,
    },
};

/// How long other brokers have to learn of maintenance before what waits is cancelled: to them it looks
/// like a cancellation otherwise, and they would tell workers to stop.
const HALT_AFTER: Duration = Duration::from_secs(1);
/// Messages that there may be at a time: each pop looks through them.
const MAX_MESSAGES: usize = 1000;
/// Networks that may be in timeout at a time: each pop looks through them.
const MAX_TIMEOUTS: usize = 10_000;
/// Longest message, in characters.
const LONGEST_MESSAGE: usize = 10_240;
/// Longest name of who wrote it, in characters.
const LONGEST_ORIGIN: usize = 255;

/// What holds for everybody, in memory.
#[derive(Default)]
pub(super) struct Noticeboard {
    modes: Modes,
    messages: Vec<Arc<WorkerMessage>>,
    timeouts: Vec<(Network, Timestamp)>,
    pub(super) teams: Teams,
    pub(super) routes: Routes,
}

impl Noticeboard {
    /// Takes it over as Records have it.
    pub fn restore(&mut self, board: Board) {
        // What is no network was not written by a broker.
        let timeout = |(network, until): (String, Timestamp)| Some((network.parse().ok()?, until));
        self.teams.restore(board.teams);
        self.modes = board.modes;
        self.messages = board.messages;
        self.routes = board.routes;
        self.timeouts = board.timeouts.into_iter().filter_map(timeout).collect();
    }
}

/// Modes that are to change; `None`: it stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ModesUpdate {
    /// See [`Mode::Maintenance`].
    pub maintenance: Option<bool>,
    /// See [`Mode::InviteOnly`].
    pub invite_only: Option<bool>,
    /// See [`Mode::Raid`].
    pub raid: Option<bool>,
}

/// A message that is to be sent.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// For whom; `None`: for all.
    pub worker: Option<WorkerId>,
    /// Who writes it.
    pub author: UserId,
    /// What workers are told of who wrote it.
    pub origin: String,
    /// The note.
    pub message: String,
    /// How long it is sent.
    pub lasts: Duration,
}

impl Engine {
    /// Which modes are on.
    pub fn modes(&self) -> Modes {
        self.board.modes
    }

    /// Refuses new requests while the broker is in maintenance.
    ///
    /// # Errors
    /// [`Error::MaintenanceMode`].
    pub fn refuse_in_maintenance(&self) -> Result<()> {
        if self.board.modes.maintenance { Err(Error::MaintenanceMode) } else { Ok(()) }
    }

    /// Whether an account keeps order here.
    ///
    /// # Errors
    /// InvalidAPIKey, NotModerator.
    pub fn demand_moderator(&self, caller: UserId) -> Result<()> {
        let user = self.accounts.get(caller).ok_or(Error::InvalidApiKey)?;
        let keeps_order = user.keeps_order();
        if keeps_order { Ok(()) } else { Err(Error::NotModerator) }
    }

    /// Switches modes, in the contract's order: what comes before a refusal stays switched. Returns what
    /// was asked for.
    ///
    /// # Errors
    /// InvalidAPIKey; NotAdmin (maintenance), NotModerator (the others); NoHordeModSelected if nothing is
    /// to change.
    pub fn update_modes(
        &mut self,
        step: &mut Step<'_>,
        caller: UserId,
        update: ModesUpdate,
    ) -> Result<ModesUpdate> {
        let is_admin = self.accounts.get(caller).ok_or(Error::InvalidApiKey)?.is(Role::Admin);
        if let Some(on) = update.maintenance {
            if !is_admin {
                return Err(Error::NotAdmin);
            }
            self.switch(step, Mode::Maintenance, on);
        }
        for (mode, wanted) in [(Mode::InviteOnly, update.invite_only), (Mode::Raid, update.raid)] {
            if let Some(on) = wanted {
                self.demand_moderator(caller)?;
                self.switch(step, mode, on);
            }
        }
        if update == ModesUpdate::default() { Err(Error::NoHordeModSelected) } else { Ok(update) }
    }

    fn switch(&mut self, step: &mut Step<'_>, mode: Mode, on: bool) {
        let was_on = self.board.modes.is_on(mode);
        self.board.modes.set(mode, on);
        step.persist(Record::BoardChanged(BoardChange::Mode(mode, on)));
        if mode == Mode::Maintenance && on && !was_on {
            self.maintenance_begins(step);
        }
    }

    fn maintenance_begins(&mut self, step: &mut Step<'_>) {
        match self.peers.are_possible() {
            true => drop(self.timers.insert((step.now.plus(HALT_AFTER), Timer::Halt))),
            false => self.halt(step),
        }
    }

    /// Cancels what waits, images and texts; jobs that workers hold are finished as usual.
    pub(super) fn halt(&mut self, step: &mut Step<'_>) {
        if !self.board.modes.maintenance {
            return;
        }
        let is_meant = |request: &super::request::Request| {
            !request.done && !request.cancelled && request.kind() != Kind::Alchemy && request.waiting() > 0
        };
        let mut waiting: Vec<RequestId> =
            self.requests.values().filter(|request| is_meant(request)).map(|request| request.id()).collect();
        waiting.sort_unstable();
        for id in waiting {
            let Some(request) = self.requests.get_mut(&id) else { continue };
            request.cancelled = true;
            // Another broker may have ended it meanwhile; maintenance begins all the same.
            step.part();
            step.persist(request.moved(Kudos::ZERO));
            step.tell(id, Event::Cancelled);
            self.drop_waiting(id);
            self.conclude(step, id);
        }
    }

    /// Takes over what holds for everybody, as Records have it.
    pub fn learn_board(&mut self, step: &mut Step<'_>, board: Board) {
        let was_in_maintenance = self.board.modes.maintenance;
        let known: Vec<_> = self.board.messages.iter().map(|message| message.id).collect();
        let shut_out = std::mem::take(&mut self.board.timeouts);
        self.board.restore(board);
        self.forgive(shut_out, step.now);
        if self.board.modes.maintenance && !was_in_maintenance {
            self.maintenance_begins(step);
        }
        let new = self.board.messages.iter().filter(|message| !known.contains(&message.id));
        for message in new.cloned().collect::<Vec<_>>() {
            self.show(step, &message);
        }
    }

    /// Sends a message to a worker, or to all.
    ///
    /// # Errors
    /// [`Error::WorkerNotFound`]; [`Error::BadRequest`] for one that is empty or too long, or if there are
    /// too many.
    pub fn post_message(&mut self, step: &mut Step<'_>, new: NewMessage) -> Result<Arc<WorkerMessage>> {
        let NewMessage { worker, author, origin, message, lasts } = new;
        if let Some(id) = worker {
            self.fleet.get(id).ok_or_else(|| Error::WorkerNotFound(id.to_string()))?;
        }
        if message.is_empty() || message.chars().count() > LONGEST_MESSAGE {
            return Err(Error::BadRequest(format!("a message has 1 to {LONGEST_MESSAGE} characters")));
        }
        if origin.chars().count() > LONGEST_ORIGIN {
            return Err(Error::BadRequest(format!("an origin has at most {LONGEST_ORIGIN} characters")));
        }
        if self.board.messages.len() >= MAX_MESSAGES {
            return Err(Error::BadRequest(format!(
                "there are {MAX_MESSAGES} messages already: withdraw some first"
            )));
        }
        let message = Arc::new(WorkerMessage {
            id: MessageId(step.dice.uuid()),
            worker,
            author,
            message,
            origin,
            created_at: step.now,
            expires_at: step.now.plus(lasts),
        });
        step.persist(Record::BoardChanged(BoardChange::Message(message.clone())));
        self.board.messages.push(message.clone());
        self.show(step, &message);
        Ok(message)
    }

    /// Withdraws a message; whether there was one.
    pub fn withdraw_message(&mut self, step: &mut Step<'_>, id: MessageId) -> bool {
        let before = self.board.messages.len();
        self.board.messages.retain(|message| message.id != id);
        if self.board.messages.len() == before {
            return false;
        }
        step.persist(Record::BoardChanged(BoardChange::NoMessage(id)));
        true
    }

    /// All messages, oldest first, those whose time is over among them.
    pub fn messages(&self) -> impl Iterator<Item = &Arc<WorkerMessage>> {
        self.board.messages.iter()
    }

    /// Messages for a worker, oldest first. Alchemists get none.
    pub fn messages_for(&self, id: WorkerId, now: Timestamp) -> Vec<Arc<WorkerMessage>> {
        if self.fleet.get(id).is_none_or(|worker| worker.profile.kind() == Kind::Alchemy) {
            return Vec::new();
        }
        self.board.messages.iter().filter(|message| message.is_for(id, now)).cloned().collect()
    }

    /// Sends a new message down the streams of those it is for; pops have it with their answer.
    fn show(&self, step: &mut Step<'_>, message: &Arc<WorkerMessage>) {
        let is_told = |worker: &WorkerId| {
            self.fleet.get(*worker).is_some_and(|worker| worker.profile.kind() != Kind::Alchemy)
        };
        let mut streams: Vec<_> = self
            .offers
            .streams()
            .filter(|(_, worker)| is_told(worker) && message.is_for(*worker, step.now))
            .map(|(offer, _)| offer)
            .collect();
        streams.sort_unstable();
        for offer in streams {
            step.deliver(offer, Push::Note(message.clone()));
        }
    }

    /// Takes nothing from a network until then; `None`: again from now on.
    ///
    /// # Errors
    /// [`Error::BadRequest`] if there are too many.
    pub fn time_out(
        &mut self,
        step: &mut Step<'_>,
        network: Network,
        until: Option<Timestamp>,
    ) -> Result<()> {
        let timeouts = &mut self.board.timeouts;
        let is_known = timeouts.iter().any(|(known, _)| *known == network);
        if until.is_some() && !is_known && timeouts.len() >= MAX_TIMEOUTS {
            return Err(Error::BadRequest(format!(
                "there are {MAX_TIMEOUTS} timeouts already: end some first"
            )));
        }
        timeouts.retain(|(known, _)| *known != network);
        timeouts.extend(until.map(|until| (network, until)));
        step.persist(Record::BoardChanged(BoardChange::Timeout(network.to_string(), until)));
        Ok(())
    }

    /// Networks that nothing is taken from, and until when.
    pub fn timeouts(&self) -> impl Iterator<Item = (Network, Timestamp)> {
        self.board.timeouts.iter().copied()
    }

    /// Refuses what comes from an address in timeout.
    ///
    /// # Errors
    /// [`Error::TimeoutIp`].
    pub fn refuse_timed_out(&self, address: IpAddr, now: Timestamp) -> Result<()> {
        let until = |(network, until): &(Network, Timestamp)| {
            (*until > now && network.contains(address)).then_some(*until)
        };
        match self.board.timeouts.iter().filter_map(until).max() {
            Some(until) => Err(Error::TimeoutIp { retry_after: until.since(now) }),
            None => Ok(()),
        }
    }

    /// Whether it may be looked how far a request is: from an address in timeout, clients must say which
    /// they are.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub fn may_check(&self, address: Option<IpAddr>, has_agent: bool, now: Timestamp) -> Result<()> {
        match address.map(|address| self.refuse_timed_out(address, now)) {
            Some(Err(timeout)) if !has_agent => Err(Error::Forbidden(format!(
                "{timeout}; clients that say which they are (Client-Agent) may look"
            ))),
            _ => Ok(()),
        }
    }

    /// Takes down what is over: the broker that runs the upkeep does.
    pub(super) fn clear_board(&mut self, step: &mut Step<'_>) {
        if !self.peers.leads() {
            return;
        }
        let now = step.now;
        let old = self.board.messages.iter().filter(|message| message.expires_at <= now);
        for id in old.map(|message| message.id).collect::<Vec<_>>() {
            step.cut();
            self.withdraw_message(step, id);
        }
        let old = self.board.timeouts.iter().filter(|(_, until)| *until <= now);
        for network in old.map(|(network, _)| *network).collect::<Vec<_>>() {
            step.cut();
            // To end one is never refused.
            let _ = self.time_out(step, network, None);
        }
    }
}
