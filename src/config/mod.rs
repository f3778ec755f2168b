//! Settings: a struct per concern, their keys, and where they are read from.
//!
//! A key is a line of a TOML file, a variable and a flag at once; [`KEYS`] is the one list of them,
//! `default.toml` says what is to be known of each, and the fields' docs are the reference.
//! Fields carry the names of their keys.

mod api;
mod documents;
mod keys;
mod limits;
mod load;
mod logs;
mod network;
mod objects;
mod people;
mod problem;
mod server;
mod sign_in;
mod store;
#[cfg(test)]
mod tests;
mod value;

use std::net::{Ipv4Addr, SocketAddr};

pub use api::Api;
pub use documents::Documents;
pub use keys::{DEFAULT_TOML, KEYS, Key};
pub use limits::Limits;
pub use load::{Loaded, Sources};
pub use logs::Logs;
pub use network::Network;
pub use objects::{Bucket, Objects};
pub use people::{ADDRESS_PLACE, ImageModels, People};
pub use problem::{Problem, Problems};
pub use server::Server;
pub use sign_in::{Registered, SignIn};
pub use store::Store;
pub use value::{LogFormat, Secret, SecretUrl};

use problem::Complaints;

/// Longest span that a setting may have: a day.
const LONGEST_SECONDS: u64 = 24 * 60 * 60;

/// All settings of a broker.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Config {
    /// Where it listens and how it is reached.
    pub server: Server,
    /// Where it keeps what it must not lose.
    pub store: Store,
    /// Where it keeps images, if not there.
    pub objects: Objects,
    /// How the API meets its callers.
    pub api: Api,
    /// Who may work here, and what everybody is told.
    pub people: People,
    /// Where people sign in, and whether they are asked if they are people.
    pub sign_in: SignIn,
    /// What it is called, and what its operator has to say.
    pub documents: Documents,
    /// What bounds memory and work.
    pub limits: Limits,
    /// What is logged, and how.
    pub logs: Logs,
}

impl Config {
    /// Settings for a test: a free port, no rate limits, and accounts for tests.
    /// The caller sets `store.data` to a fresh directory.
    pub fn for_testing() -> Self {
        let mut config = Self::default();
        config.server.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        config.limits.rate_limits = false;
        config.api.test_users = true;
        // Workers of tests are done at once, and drop what they like.
        config.people.judge_workers = false;
        config
    }

    /// Base of every signed link, without a slash at the end: the setting, or else the scheme and
    /// the address that the listener was bound to.
    pub fn public_url(&self, bound: SocketAddr) -> String {
        match &self.server.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => self.local_url(bound),
        }
    }

    /// The scheme and the address that the listener was bound to.
    pub fn local_url(&self, bound: SocketAddr) -> String {
        let scheme = if self.server.has_tls() { "https" } else { "http" };
        format!("{scheme}://{bound}")
    }

    /// Checks the settings as a whole.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn validate(&self) -> Result<(), Problems> {
        let complaints = self.complaints();
        if complaints.is_empty() {
            return Ok(());
        }
        let problem = |(key, message): (&str, String)| Problem { place: key.to_owned(), message };
        Err(Problems(complaints.into_iter().map(problem).collect()))
    }

    fn complaints(&self) -> Vec<(&'static str, String)> {
        let mut complaints = Complaints::default();
        self.server.check(&mut complaints);
        self.store.check(&mut complaints);
        self.objects.check(&mut complaints);
        self.api.check(&mut complaints);
        self.people.check(&mut complaints);
        self.sign_in.check(&mut complaints);
        self.sign_in.check_place(&self.server, &mut complaints);
        self.documents.check(&mut complaints);
        self.limits.check(&mut complaints);
        self.logs.check(&mut complaints);
        complaints.0
    }
}
