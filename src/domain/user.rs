//! Accounts.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    Kudos, SharedKeyId, Timestamp, UserId,
    account::{About, Identity},
    monthly::Monthly,
    request::Kind,
    shared_key::SharedKey,
    source::Moved,
};

/// What an account may do beyond the common.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs the service.
    Admin,
    /// Keeps order.
    Moderator,
    /// Is believed.
    Trusted,
    /// Is under restraint.
    Flagged,
    /// May serve models that no reference lists.
    Customizer,
    /// May run workers behind a VPN.
    Vpn,
    /// May use special models.
    Special,
    /// Asks on behalf of others.
    Service,
    /// Is a school.
    Education,
    /// Is scheduled for deletion.
    Deleted,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 10] = [
        Self::Admin,
        Self::Moderator,
        Self::Trusted,
        Self::Flagged,
        Self::Customizer,
        Self::Vpn,
        Self::Special,
        Self::Service,
        Self::Education,
        Self::Deleted,
    ];

    /// The word used on the command line and in Records.
    pub fn word(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Moderator => "moderator",
            Self::Trusted => "trusted",
            Self::Flagged => "flagged",
            Self::Customizer => "customizer",
            Self::Vpn => "vpn",
            Self::Special => "special",
            Self::Service => "service",
            Self::Education => "education",
            Self::Deleted => "deleted",
        }
    }

    /// Reads [`Role::word`].
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }
}

/// SHA-256 of an API key: all that is ever stored of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// Hashes a key.
    pub fn of(key: &str) -> Self {
        Self::of_bytes(key.as_bytes())
    }

    /// Hashes a key as it came over the wire.
    pub fn of_bytes(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }
}

impl std::fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Key of the anonymous account.
pub const ANONYMOUS_KEY: &str = "0000000000";

/// Work of one kind, asked for or delivered.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Work {
    /// Jobs.
    pub jobs: i64,
    /// Pixel-steps, tokens, or forms.
    pub things: f64,
}

/// What an account asked for and its workers delivered, by the index of the kind.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct UserStats {
    /// Jobs delivered to the account.
    pub requested: [Work; Kind::COUNT],
    /// Jobs that its workers delivered.
    pub fulfilled: [Work; Kind::COUNT],
    /// Kudos earned less kudos spent.
    pub accumulated: Kudos,
    /// Kudos granted by operators.
    pub granted: Kudos,
    /// Reasons for suspicion; taken back by negative changes.
    #[serde(default)]
    pub suspicion: i64,
    /// How often others asked for its styles, of images and of texts: counted by
    /// [`StyleChange::Used`](super::style::StyleChange), not by changes of figures.
    #[serde(default)]
    pub style_uses: [i64; 2],
    /// Kudos by what moved them, beside those above.
    #[serde(default)]
    pub moved: Moved,
}

impl UserStats {
    /// Adds a change.
    pub fn add(&mut self, change: &Self) {
        let pairs = [(&mut self.requested, &change.requested), (&mut self.fulfilled, &change.fulfilled)];
        for (figures, changes) in pairs {
            for (figure, change) in figures.iter_mut().zip(changes) {
                figure.jobs += change.jobs;
                figure.things += change.things;
            }
        }
        self.accumulated += change.accumulated;
        self.granted += change.granted;
        self.suspicion += change.suspicion;
        self.moved.add(&change.moved);
    }
}

/// How much is known of who an account is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It is everybody's.
    Anonymous,
    /// Somebody's who did not sign in.
    Pseudonymous,
    /// Somebody's who did.
    Registered,
}

impl Standing {
    /// Below this no balance falls.
    ///
    /// Source: the account floors of the v2 contract.
    pub fn floor(self) -> Kudos {
        Kudos::whole(match self {
            Self::Anonymous => -50,
            Self::Pseudonymous => 14,
            Self::Registered => 25,
        })
    }
}

/// An account.
#[derive(Clone, PartialEq, Debug)]
pub struct User {
    /// Its ID.
    pub id: UserId,
    /// Its alias, without the ID.
    pub alias: String,
    /// Hash of its key.
    pub key: KeyHash,
    /// Its roles.
    pub roles: Vec<Role>,
    /// Jobs of one kind that may wait at a time.
    pub concurrency: usize,
    /// Workers allowed beyond the common limit.
    pub worker_invites: usize,
    /// When it was made.
    pub created_at: Timestamp,
    /// Balance: the sum of its postings.
    pub balance: Kudos,
    /// What its workers earned and it gets once it is trusted: the sum of the postings of its escrow.
    pub escrow: Kudos,
    /// What it asked for and delivered.
    pub stats: UserStats,
    /// Keys that it lends, oldest first.
    pub shared_keys: Vec<SharedKey>,
    /// What it gets each month.
    pub monthly: Monthly,
    /// What is known and said of it.
    pub about: About,
}

impl User {
    /// Default of `concurrency`.
    pub const CONCURRENCY: usize = 30;
    /// So many reasons for suspicion make an account suspicious.
    pub const SUSPICIOUS: i64 = 5;

    /// The account of the key `0000000000`.
    pub fn anonymous() -> Self {
        Self {
            id: UserId::ANONYMOUS,
            alias: "Anonymous".into(),
            key: KeyHash::of(ANONYMOUS_KEY),
            roles: Vec::new(),
            concurrency: 500,
            worker_invites: 0,
            created_at: Timestamp::default(),
            balance: Kudos::ZERO,
            escrow: Kudos::ZERO,
            stats: UserStats::default(),
            shared_keys: Vec::new(),
            monthly: Monthly::default(),
            about: About { public_workers: true, ..About::default() },
        }
    }

    /// `alias#id`.
    pub fn username(&self) -> String {
        format!("{}#{}", self.alias, self.id)
    }

    /// A key that it lends.
    pub fn shared_key(&self, id: SharedKeyId) -> Option<&SharedKey> {
        self.shared_keys.iter().find(|key| key.id == id)
    }

    /// Whether it has a role. Moderators are trusted.
    pub fn is(&self, role: Role) -> bool {
        self.roles.contains(&role) || (role == Role::Trusted && self.roles.contains(&Role::Moderator))
    }

    /// How much is known of who it is.
    pub fn standing(&self) -> Standing {
        match self.about.identity {
            _ if self.id == UserId::ANONYMOUS => Standing::Anonymous,
            Identity::Pseudonym(_) => Standing::Pseudonymous,
            Identity::Known | Identity::External(_) | Identity::Wiped => Standing::Registered,
        }
    }

    /// Whether it keeps order: moderators, and who runs the service.
    pub fn keeps_order(&self) -> bool {
        self.is(Role::Moderator) || self.is(Role::Admin)
    }

    /// Whether nothing is left of it but its number.
    pub fn is_wiped(&self) -> bool {
        self.about.identity == Identity::Wiped
    }

    /// Below this its balance does not fall; what would is forgiven.
    pub fn floor(&self) -> Kudos {
        self.standing().floor()
    }

    /// Whether there are too many reasons for suspicion. Who is trusted is above it.
    ///
    /// Source: the suspicion rule of the v2 contract.
    pub fn is_suspicious(&self) -> bool {
        self.stats.suspicion >= Self::SUSPICIOUS && !self.is(Role::Trusted)
    }

    /// What its balance lacks to its floor.
    pub fn shortfall(&self) -> Kudos {
        (self.floor() - self.balance).max(Kudos::ZERO)
    }

    /// Where its requests begin in the queue, before ageing. What it lacks to its floor counts as there: the
    /// charge for its first request lifts it, and those that come next would pass it.
    pub fn priority(&self) -> i64 {
        let kudos = self.balance.floor();
        match (self.is(Role::Flagged), kudos > 10) {
            (false, _) => kudos.max(self.floor().floor()),
            (true, true) => kudos / 1000,
            (true, false) => -100,
        }
    }

    /// Workers it may have: untrusted 3, trusted 20, or as many as it is invited to. One more passes,
    /// as the legacy check tests for "already more than".
    pub fn worker_limit(&self) -> usize {
        let common = if self.is(Role::Trusted) { 20 } else { 3 };
        common.max(self.worker_invites)
    }

    /// Keys that it may lend at a time.
    ///
    /// Source: the shared keys of the v2 contract.
    pub fn shared_key_limit(&self) -> usize {
        match (self.is(Role::Trusted), self.is(Role::Education)) {
            (true, _) => 10,
            (false, true) => 1000,
            (false, false) => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_balance_lacks_to_its_floor_is_its_shortfall() {
        let user = |balance| User { id: UserId(7), balance: Kudos::whole(balance), ..User::anonymous() };
        for (balance, short, rule) in
            [(30, 0, "above the floor"), (25, 0, "at it"), (3, 22, "below"), (-4, 29, "in debt")]
        {
            assert_eq!(user(balance).shortfall(), Kudos::whole(short), "{rule}");
        }
        assert_eq!(User::anonymous().shortfall(), Kudos::ZERO, "anonymous may owe 50");
    }

    #[test]
    fn floors_are_those_of_the_contract() {
        for (standing, floor) in
            [(Standing::Anonymous, -50), (Standing::Pseudonymous, 14), (Standing::Registered, 25)]
        {
            assert_eq!(standing.floor(), Kudos::whole(floor), "{standing:?}");
        }
        assert_eq!(User::anonymous().floor(), Kudos::whole(-50));
        let mut user = User { id: UserId(7), ..User::anonymous() };
        for (identity, floor) in [
            (Identity::Known, 25),
            (Identity::External("gh_9".into()), 25),
            (Identity::Pseudonym(uuid::Uuid::from_u128(9)), 14),
        ] {
            user.about.identity = identity;
            assert_eq!(user.floor(), Kudos::whole(floor), "{:?}", user.about.identity);
        }
    }

    #[test]
    fn priority_is_the_balance_and_little_of_it_for_who_is_flagged() {
        for (kudos, flagged, priority, rule) in [
            (5_000, false, 5_000, "the balance"),
            (25, false, 25, "down to the floor"),
            (0, false, 25, "to which it is lifted"),
            (-50, false, 25, "from wherever it is"),
            (5_000, true, 5, "a thousandth"),
            (11, true, 0, "of more than ten"),
            (10, true, -100, "or behind all"),
        ] {
            let roles = if flagged { vec![Role::Flagged] } else { vec![] };
            let user = User { id: UserId(7), balance: Kudos::whole(kudos), roles, ..User::anonymous() };
            assert_eq!(user.priority(), priority, "{rule}");
        }
    }

    #[test]
    fn whoever_is_trusted_lends_more_keys_and_schools_many() {
        for (roles, most) in [
            (vec![], 3),
            (vec![Role::Trusted], 10),
            (vec![Role::Education], 1000),
            (vec![Role::Education, Role::Trusted], 10),
            (vec![Role::Moderator], 10),
        ] {
            let user = User { roles, ..User::anonymous() };
            assert_eq!(user.shared_key_limit(), most, "{:?}", user.roles);
        }
    }

    #[test]
    fn five_reasons_make_suspicious_who_is_not_trusted() {
        let of = |suspicion, roles| User {
            roles,
            stats: UserStats { suspicion, ..UserStats::default() },
            ..User::anonymous()
        };
        assert!(!of(4, vec![]).is_suspicious());
        assert!(of(5, vec![]).is_suspicious());
        assert!(!of(9, vec![Role::Trusted]).is_suspicious());
    }

    #[test]
    fn every_role_has_a_word_that_reads_back() {
        for role in Role::ALL {
            assert_eq!(Role::from_word(role.word()), Some(role));
        }
        assert_eq!(Role::from_word("emperor"), None);
    }
}
