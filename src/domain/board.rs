//! What holds for everybody: the modes of the whole broker, messages to workers, addresses in timeout,
//! paths that another server answers, teams.

use std::sync::Arc;

use super::{
    MessageId, TeamId, Timestamp, UserId, WorkerId,
    route::Routes,
    team::{Team, TeamChange},
};

/// A switch of the whole broker.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Mode {
    /// No requests are accepted; what waits is cancelled.
    Maintenance,
    /// New workers are let in by invitation only.
    InviteOnly,
    /// Somebody attacks: strangers get less benefit of the doubt.
    Raid,
}

impl Mode {
    /// All modes.
    pub const ALL: [Self; 3] = [Self::Maintenance, Self::InviteOnly, Self::Raid];

    /// The word used in Records.
    pub fn word(self) -> &'static str {
        match self {
            Self::Maintenance => "maintenance",
            Self::InviteOnly => "invite_only",
            Self::Raid => "raid",
        }
    }

    /// Reads [`Mode::word`].
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.word() == word)
    }
}

/// Which modes are on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Modes {
    /// See [`Mode::Maintenance`].
    pub maintenance: bool,
    /// See [`Mode::InviteOnly`].
    pub invite_only: bool,
    /// See [`Mode::Raid`].
    pub raid: bool,
}

impl Modes {
    /// Whether a mode is on.
    pub fn is_on(&self, mode: Mode) -> bool {
        match mode {
            Mode::Maintenance => self.maintenance,
            Mode::InviteOnly => self.invite_only,
            Mode::Raid => self.raid,
        }
    }

    /// Switches a mode.
    pub fn set(&mut self, mode: Mode, on: bool) {
        match mode {
            Mode::Maintenance => self.maintenance = on,
            Mode::InviteOnly => self.invite_only = on,
            Mode::Raid => self.raid = on,
        }
    }
}

/// A note to a worker, or to all of them.
#[derive(Clone, PartialEq, Debug)]
pub struct WorkerMessage {
    /// Its ID; workers show each once.
    pub id: MessageId,
    /// For whom; `None`: for all.
    pub worker: Option<WorkerId>,
    /// Who wrote it.
    pub author: UserId,
    /// The note.
    pub message: String,
    /// What workers are told of who wrote it.
    pub origin: String,
    /// When it was written.
    pub created_at: Timestamp,
    /// Until when it is sent.
    pub expires_at: Timestamp,
}

impl WorkerMessage {
    /// Whether it is being sent.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.expires_at > now
    }

    /// Whether a worker is sent it now.
    pub fn is_for(&self, worker: WorkerId, now: Timestamp) -> bool {
        self.is_active(now) && self.worker.is_none_or(|only| only == worker)
    }
}

/// All of it, as Records have it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Board {
    /// Which modes are on.
    pub modes: Modes,
    /// Messages, oldest first.
    pub messages: Vec<Arc<WorkerMessage>>,
    /// Networks, in CIDR notation, and until when nothing is taken from them.
    pub timeouts: Vec<(String, Timestamp)>,
    /// Paths that were switched between this server and the old one.
    pub routes: Routes,
    /// Teams that workers may join, oldest first.
    pub teams: Vec<Arc<Team>>,
}

/// A durable change of it.
#[derive(Clone, PartialEq, Debug)]
pub enum BoardChange {
    /// A mode is on from now on, or off.
    Mode(Mode, bool),
    /// A message was written.
    Message(Arc<WorkerMessage>),
    /// A message is withdrawn.
    NoMessage(MessageId),
    /// Nothing is taken from a network until then; `None`: again from now on.
    Timeout(String, Option<Timestamp>),
    /// A path, and all below it, is answered by the old server from now on, or by this one.
    Route(String, bool),
    /// A team was founded. Refused if another one has the name.
    TeamMade(Arc<Team>),
    /// Something else is said of a team. Refused if another one has the name that it should get, or if there
    /// is no such team.
    TeamChanged(TeamId, TeamChange),
    /// A team is dissolved, and its workers have none. Refused if there is none.
    TeamGone(TeamId),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_has_a_word_that_reads_back_and_a_switch_of_its_own() {
        for mode in Mode::ALL {
            assert_eq!(Mode::from_word(mode.word()), Some(mode));
            let mut modes = Modes::default();
            modes.set(mode, true);
            let on: Vec<_> = Mode::ALL.into_iter().filter(|mode| modes.is_on(*mode)).collect();
            assert_eq!(on, [mode]);
        }
        assert_eq!(Mode::from_word("party"), None);
    }
}
