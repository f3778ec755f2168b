//! Accounts of an AI Horde server, and the keys that they lend, as accounts of this one.
//!
//! Source: the source database of the v2 contract.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::cells::{Cells, MOST, MOST_KUDOS, Notes};
use crate::{
    backend::{
        distributed::{
            Ask,
            Read::{Instant, Plain, Text},
        },
        intake::KnownUser,
    },
    domain::{
        Kudos, Timestamp, UserId,
        account::{About, Identity, WIPED},
        key_salt::KeySalt,
        monthly::Monthly,
        request::Kind,
        shared_key::SharedKey,
        source::Moved,
        user::{KeyHash, Role, User, UserStats},
    },
};

/// Most keys that an account lends: as many as a school may.
const MOST_KEYS: usize = 1000;
/// Longest name, in characters. It is that of the old server's column: characters of markup are several there, and a
/// cut between them would be seen.
const LONGEST_NAME: usize = 50;
/// Longest contact and comment, in characters.
const LONGEST_NOTE: usize = 500;

/// Accounts.
pub static USERS: Ask = Ask {
    table: "users",
    columns: &[
        ("id", Plain, true),
        ("username", Text(200), true),
        ("oauth_id", Text(100), true),
        ("api_key", Text(100), true),
        ("kudos", Plain, true),
        ("created", Instant, false),
        ("last_active", Instant, false),
        ("contact", Text(LONGEST_NOTE), false),
        ("admin_comment", Text(LONGEST_NOTE), false),
        ("proxy_passkey", Text(100), false),
        ("monthly_kudos", Plain, false),
        ("monthly_kudos_last_received", Instant, false),
        ("evaluating_kudos", Plain, false),
        ("usage_multiplier", Plain, false),
        ("worker_invited", Plain, false),
        ("public_workers", Plain, false),
        ("concurrency", Plain, false),
    ],
    filter: "",
    order: &["id"],
};
/// Their roles.
pub static ROLES: Ask = Ask {
    table: "user_roles",
    columns: &[("user_id", Plain, true), ("user_role", Plain, true), ("value", Plain, true)],
    filter: "WHERE value",
    order: &[],
};
/// Their kudos by what moved them.
pub static STATS: Ask = Ask {
    table: "user_stats",
    columns: &[("user_id", Plain, true), ("action", Text(20), true), ("value", Plain, true)],
    filter: "",
    order: &[],
};
/// What they used and contributed.
pub static RECORDS: Ask = Ask {
    table: "user_records",
    columns: &[
        ("user_id", Plain, true),
        ("record_type", Plain, true),
        ("record", Text(30), true),
        ("value", Plain, true),
    ],
    filter: "",
    order: &[],
};
/// What they are suspected of.
pub static SUSPICIONS: Ask =
    Ask { table: "user_suspicions", columns: &[("user_id", Plain, true)], filter: "", order: &[] };
/// Movements of kudos that are not in their balances yet; of newer servers.
pub static LEDGER: Ask = Ask {
    table: "kudos_ledger",
    columns: &[
        ("user_id", Plain, true),
        ("escrow", Plain, true),
        ("amount", Plain, true),
        ("applied", Plain, true),
    ],
    filter: "WHERE NOT applied",
    order: &[],
};
/// What other tables say of accounts.
#[derive(Default)]
pub struct Extras {
    /// Their roles.
    pub roles: HashMap<i64, BTreeSet<Role>>,
    /// Their figures, but for what is granted.
    pub stats: HashMap<i64, UserStats>,
    /// What is not in balances and escrows yet.
    pub pending: HashMap<i64, [Kudos; 2]>,
    /// Keys that they lend.
    pub keys: HashMap<i64, Vec<SharedKey>>,
}

impl Extras {
    /// Takes a row of [`ROLES`].
    pub fn role(&mut self, row: &Cells<'_>) {
        let role = row.text("user_role").map(str::to_ascii_lowercase);
        // The server has no administrators: its operator names them elsewhere.
        let role = role.and_then(|role| Role::from_word(&role)).filter(|role| *role != Role::Admin);
        if let (Some(id), Some(role), true) = (row.whole("user_id"), role, row.flag("value")) {
            self.roles.entry(id).or_default().insert(role);
        }
    }

    /// Takes a row of [`STATS`].
    pub fn stat(&mut self, row: &Cells<'_>) {
        let (Some(id), Some(amount)) = (row.whole("user_id"), row.kudos("value")) else { return };
        let stats = self.stats.entry(id).or_default();
        let figure = match row.text("action") {
            Some("accumulated") => &mut stats.accumulated,
            Some("gifted") => &mut stats.moved.gifted,
            Some("donated") => &mut stats.moved.donated,
            Some("received") => &mut stats.moved.received,
            Some("recurring") => &mut stats.moved.recurring,
            Some("awarded") => &mut stats.moved.awarded,
            Some("styled") => &mut stats.moved.styled,
            // What else there is counts as granted.
            _ => return,
        };
        *figure = sum(*figure, amount);
    }

    /// Takes a row of [`RECORDS`].
    pub fn record(&mut self, row: &Cells<'_>) {
        let (Some(id), Some(value)) = (row.whole("user_id"), row.decimal("value")) else { return };
        let value = value.clamp(0.0, MOST as f64);
        let kind = match row.text("record") {
            Some("image") => Kind::Image,
            Some("text") => Kind::Text,
            Some("interrogation") => Kind::Alchemy,
            _ => return,
        };
        // Megapixel-steps there, pixel-steps here.
        let things = if kind == Kind::Image { value * 1e6 } else { value };
        let stats = self.stats.entry(id).or_default();
        match row.text("record_type") {
            Some("USAGE") => stats.requested[kind.index()].things = things,
            Some("CONTRIBUTION") => stats.fulfilled[kind.index()].things = things,
            Some("REQUEST") => stats.requested[kind.index()].jobs = value as i64,
            Some("FULFILLMENT") => stats.fulfilled[kind.index()].jobs = value as i64,
            Some("STYLE") if kind != Kind::Alchemy => {
                stats.style_uses[usize::from(kind == Kind::Text)] = value as i64;
            }
            _ => {}
        }
    }

    /// Takes a row of [`SUSPICIONS`].
    pub fn suspicion(&mut self, row: &Cells<'_>) {
        if let Some(id) = row.whole("user_id") {
            let stats = self.stats.entry(id).or_default();
            stats.suspicion = (stats.suspicion + 1).min(1000);
        }
    }

    /// Takes a row of [`LEDGER`].
    pub fn movement(&mut self, row: &Cells<'_>) {
        if let (Some(id), Some(amount), false) =
            (row.whole("user_id"), row.kudos("amount"), row.flag("applied"))
        {
            let pending = &mut self.pending.entry(id).or_default()[usize::from(row.flag("escrow"))];
            *pending = sum(*pending, amount);
        }
    }

    /// Takes a key, unless its account lends too many.
    pub fn key(&mut self, key: SharedKey) -> Result<(), &'static str> {
        let keys = self.keys.entry(key.owner.0).or_default();
        if keys.len() >= MOST_KEYS {
            return Err("its account lends more keys than any may");
        }
        keys.push(key);
        Ok(())
    }
}

/// The sum of two figures, within what figures may say.
fn sum(one: Kudos, other: Kudos) -> Kudos {
    let most = Kudos::whole(MOST_KUDOS);
    (one + other).clamp(-most, most)
}

/// An account, without the keys that it lends.
///
/// # Errors
/// Why it does not come over.
pub fn user(
    row: &Cells<'_>,
    extras: &Extras,
    now: Timestamp,
    notes: &mut Notes,
) -> Result<User, &'static str> {
    let id = row.whole("id").filter(|id| (0..=i64::from(i32::MAX)).contains(id));
    let id = UserId(id.ok_or("its ID is none that an account can have")?);
    let is_anonymous = id == UserId::ANONYMOUS;
    let identity = identity(row, notes);
    let is_wiped = identity == Identity::Wiped && !is_anonymous;
    let key = match row.text("api_key").and_then(key_hash) {
        _ if is_anonymous => User::anonymous().key,
        Some(key) if !is_wiped => key,
        _ => {
            if !is_wiped {
                notes.add("its key cannot be read, and it has none now: give it one with `gridbroker user rotate-key`");
            }
            nobodys_key()
        }
    };
    let created_at = row.at("created", now).unwrap_or_else(|| {
        notes.add("it is not said when it was made");
        now
    });
    let mut user = User { id, key, created_at, ..User::anonymous() };
    user.alias = match () {
        () if is_anonymous => user.alias,
        () if is_wiped => WIPED.to_owned(),
        () => alias(row, notes),
    };
    if !is_anonymous {
        user.roles = extras.roles.get(&id.0).into_iter().flatten().copied().collect();
    }
    let setting = |name: &str, default: i64| row.whole(name).unwrap_or(default);
    let concurrency = if is_anonymous { 500 } else { 30 };
    user.concurrency = notes.within(setting("concurrency", concurrency), 0, 500).unsigned_abs() as usize;
    user.worker_invites = notes.within(setting("worker_invited", 0), 0, 10_000).unsigned_abs() as usize;
    user.monthly = Monthly {
        amount: notes.gain(row.kudos("monthly_kudos")),
        paid_at: row.at("monthly_kudos_last_received", now),
    };
    user.about = About {
        identity: if is_anonymous { Identity::Known } else { identity },
        public_workers: is_anonymous || row.flag("public_workers"),
        active_at: row.at("last_active", now).unwrap_or(created_at),
        ..About::default()
    };
    if !is_wiped && !is_anonymous {
        let about = &mut user.about;
        about.contact = notes.said(row.text("contact"), LONGEST_NOTE, false);
        about.admin_comment = notes.said(row.text("admin_comment"), LONGEST_NOTE, false);
        let is_passkey =
            |key: &&str| (8..=100).contains(&key.len()) && key.chars().all(|c| c.is_ascii_graphic());
        about.proxy_passkey = row.text("proxy_passkey").filter(is_passkey).map(str::to_owned);
    }
    let multiplier = row.decimal("usage_multiplier").unwrap_or(1.0);
    user.about.usage_multiplier = multiplier.clamp(0.1, 10.0);
    fill_purse(&mut user, row, extras, notes);
    Ok(user)
}

/// What an account has, and how it came to it: all figures together are its balance.
fn fill_purse(user: &mut User, row: &Cells<'_>, extras: &Extras, notes: &mut Notes) {
    let [pending, put_aside] = extras.pending.get(&user.id.0).copied().unwrap_or_default();
    if row.kudos("kudos").is_none() {
        notes.add("its kudos cannot be read");
    }
    user.balance = sum(row.kudos("kudos").unwrap_or_default(), pending);
    if user.balance < user.floor() {
        notes.add("its kudos were below the floor, and are lifted to it");
        user.balance = user.floor();
    }
    user.escrow = notes.gain(Some(sum(row.kudos("evaluating_kudos").unwrap_or_default(), put_aside)));
    user.stats = extras.stats.get(&user.id.0).copied().unwrap_or_default();
    let Moved { gifted, donated, received, recurring, awarded, styled, .. } = &mut user.stats.moved;
    // What is given away counts as less than nothing.
    for figure in [&mut *gifted, &mut *donated] {
        *figure = (*figure).min(Kudos::ZERO);
    }
    let others = *gifted + *donated + *received + *recurring + *awarded + *styled;
    user.stats.granted = user.balance - user.stats.accumulated - others;
}

fn alias(row: &Cells<'_>, notes: &mut Notes) -> String {
    let alias = row.text("username").unwrap_or_default();
    if alias.contains('#') {
        notes.add("its name had a # in it, which is _ now");
    }
    notes.said(Some(&alias.replace('#', "_")), LONGEST_NAME, true).unwrap_or_else(|| {
        notes.add("it has no name");
        "User".to_owned()
    })
}

fn identity(row: &Cells<'_>, notes: &mut Notes) -> Identity {
    let text = row.text("oauth_id").unwrap_or_default();
    if text.starts_with(WIPED) || row.text("username") == Some(WIPED) {
        return Identity::Wiped;
    }
    if text == "anon" {
        return Identity::Known;
    }
    if let Ok(pseudonym) = Uuid::try_parse(text) {
        return Identity::Pseudonym(pseudonym);
    }
    let is_plain = text.len() <= 50 && text.chars().all(|c| c.is_ascii_graphic());
    match ["g_", "d_", "gh_", "p_"].iter().any(|place| text.starts_with(place)) && is_plain {
        true => Identity::External(text.to_owned()),
        false => {
            notes.add("it is not said who it is");
            Identity::Known
        }
    }
}

/// Reads 64 hexadecimal digits.
pub fn key_hash(text: &str) -> Option<KeyHash> {
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().as_chunks::<2>().0) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(KeyHash(bytes))
}

/// The hash of what nobody knows.
pub fn nobodys_key() -> KeyHash {
    KeySalt::new(Uuid::new_v4().to_string()).hash(Uuid::new_v4().as_bytes())
}

/// Whether an account that is there is the one that would come over: its key, its owner or the moment of its
/// making is the same.
pub fn is_same(user: &User, there: &KnownUser) -> bool {
    let identity = user.about.identity.text(user.id);
    user.id == UserId::ANONYMOUS
        || user.key == there.key
        || (identity.is_some() && identity == there.identity)
        || user.created_at == there.created_at
}

/// Whether an account that is there was wiped there.
pub fn was_wiped(there: &KnownUser) -> bool {
    there.identity.as_deref().is_some_and(|identity| identity.starts_with(WIPED))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    /// A row of a table with these cells; the others are empty.
    fn values(ask: &Ask, cells: &[(&str, &str)]) -> Vec<Option<String>> {
        for (name, _) in cells {
            assert!(ask.columns.iter().any(|(column, ..)| column == name), "{name}");
        }
        let cell = |name: &str| cells.iter().rev().find(|(column, _)| *column == name);
        ask.columns.iter().map(|(name, ..)| cell(name).map(|(_, value)| (*value).to_owned())).collect()
    }

    fn read(cells: &[(&str, &str)], extras: &Extras) -> (Result<User, &'static str>, Notes) {
        let hash = "ab".repeat(32);
        let whole = [
            ("id", "7"),
            ("username", "ada"),
            ("oauth_id", "g_7"),
            ("api_key", &*hash),
            ("kudos", "100"),
            ("created", "1600000000000"),
        ];
        let values = values(&USERS, &[&whole[..], cells].concat());
        let mut notes = Notes::default();
        let read = user(&Cells::of(&USERS, &values), extras, NOW, &mut notes);
        (read, notes)
    }

    #[test]
    fn what_rows_of_accounts_say_is_bounded() {
        let (plain, notes) = read(&[], &Extras::default());
        let plain = plain.unwrap();
        assert_eq!((plain.username().as_str(), notes.0.len()), ("ada#7", 0), "{notes:?}");
        assert_eq!((plain.key, plain.balance), (KeyHash([0xab; 32]), Kudos::whole(100)));
        assert_eq!((plain.concurrency, plain.created_at), (30, Timestamp(1_600_000_000_000)));
        type Look = fn(&User) -> bool;
        let cases: &[(&[(&str, &str)], usize, Look, &str)] = &[
            (&[("username", "a\u{0}\u{7}b")], 1, |user| user.alias == "ab", "control characters go"),
            (&[("username", &"n".repeat(51))], 1, |user| user.alias.len() == 50, "names are cut"),
            (
                &[("username", "Tom &amp; Jerry &amp; the dog &amp; the duck &lt;3")],
                0,
                |user| user.alias == "Tom &amp; Jerry &amp; the dog &amp; the duck &lt;3",
                "but not within what stands for one character",
            ),
            (
                &[("username", "<img src=x>")],
                1,
                |user| user.alias == "&lt;img src=x&gt;",
                "no name is markup",
            ),
            (
                &[("contact", "<script>x"), ("admin_comment", "a & b")],
                1,
                |user| {
                    user.about.contact.as_deref() == Some("&lt;script&gt;x")
                        && user.about.admin_comment.as_deref() == Some("a &amp; b")
                },
                "nor is what is said of somebody",
            ),
            (&[("username", "a#b")], 1, |user| user.alias == "a_b", "what ends a name is none of it"),
            (
                &[("username", "&#60;b")],
                2,
                |user| user.alias == "&amp;_60;b",
                "nor of what stands for a character in it",
            ),
            (&[("username", "&lt;b&gt;")], 0, |user| user.alias == "&lt;b&gt;", "text stays as it is"),
            (&[("username", " ")], 1, |user| user.alias == "User", "everybody has a name"),
            (
                &[("api_key", "short")],
                1,
                |user| user.key != KeyHash([0xab; 32]),
                "an unreadable key is nobody's",
            ),
            (
                &[("api_key", &"AB".repeat(32))],
                0,
                |user| user.key == KeyHash([0xab; 32]),
                "in any case of letters",
            ),
            (&[("kudos", "-5")], 1, |user| user.balance == Kudos::whole(25), "debts are forgiven"),
            (
                &[("kudos", "3"), ("oauth_id", "5f2b6f7e-9c1b-4f3e-8d0a-3f9d5c2b1a08")],
                1,
                |user| user.balance == Kudos::whole(14),
                "down to the floor of who did not sign in",
            ),
            (&[("kudos", "1e40")], 0, |user| user.balance == Kudos::whole(MOST_KUDOS), "there is a most"),
            (&[("kudos", "NaN")], 2, |user| user.balance == Kudos::whole(25), "what is no number is nothing"),
            (&[("concurrency", "-1")], 1, |user| user.concurrency == 0, "counts are not negative"),
            (&[("concurrency", "501")], 1, |user| user.concurrency == 500, "and bounded"),
            (&[("usage_multiplier", "-1e300")], 0, |user| user.about.usage_multiplier == 0.1, "so is this"),
            (
                &[("monthly_kudos", "-1")],
                1,
                |user| user.monthly.amount == Kudos::ZERO,
                "nothing is taken monthly",
            ),
            (&[("evaluating_kudos", "-1")], 1, |user| user.escrow == Kudos::ZERO, "nor put aside"),
            (
                &[("created", "1800000000000")],
                1,
                |user| user.created_at == NOW,
                "nobody comes from the future",
            ),
            (
                &[("oauth_id", "root")],
                1,
                |user| user.about.identity == Identity::Known,
                "who it is must be said",
            ),
            (
                &[("proxy_passkey", "two words")],
                0,
                |user| user.about.proxy_passkey.is_none(),
                "headers hold no spaces",
            ),
            (
                &[("contact", "a\nb")],
                0,
                |user| user.about.contact.as_deref() == Some("a\nb"),
                "lines are lines",
            ),
            (
                &[("oauth_id", "<wiped>"), ("contact", "x"), ("username", "y")],
                0,
                |user| user.is_wiped() && user.about.contact.is_none() && user.alias == WIPED,
                "who is gone is gone",
            ),
            (
                &[("id", "0"), ("oauth_id", "anon"), ("kudos", "-20")],
                0,
                |user| {
                    user.key == User::anonymous().key
                        && user.alias == "Anonymous"
                        && user.balance == Kudos::whole(-20)
                },
                "everybody's account is everybody's, whatever its row says",
            ),
        ];
        for (cells, changes, look, rule) in cases {
            let (user, notes) = read(cells, &Extras::default());
            let user = user.expect(rule);
            assert!(look(&user), "{rule}: {user:?}");
            assert_eq!(notes.0.len(), *changes, "{rule}: {notes:?}");
        }
        for id in ["-1", "2147483648", "", "x", "NaN"] {
            assert!(read(&[("id", id)], &Extras::default()).0.is_err(), "{id:?} is no ID");
        }
    }

    #[test]
    fn all_figures_of_an_account_are_its_balance() {
        let mut extras = Extras::default();
        for (action, value) in [
            ("accumulated", "900"),
            ("gifted", "-100"),
            ("donated", "30"),
            ("received", "300"),
            ("received", "34"),
            ("awarded", "9e99"),
            ("koboldai", "5"),
        ] {
            let row = values(&STATS, &[("user_id", "7"), ("action", action), ("value", value)]);
            extras.stat(&Cells::of(&STATS, &row));
        }
        for (escrow, amount, applied) in [("f", "10.25", "f"), ("t", "5", "f"), ("f", "1000", "t")] {
            let cells = [("user_id", "7"), ("escrow", escrow), ("amount", amount), ("applied", applied)];
            extras.movement(&Cells::of(&LEDGER, &values(&LEDGER, &cells)));
        }
        let user = read(&[("evaluating_kudos", "60")], &extras).0.unwrap();
        assert_eq!((user.balance, user.escrow), (Kudos(110_250_000), Kudos::whole(65)));
        let UserStats { accumulated, granted, moved, .. } = user.stats;
        assert_eq!(
            (accumulated, moved.gifted, moved.received),
            (Kudos::whole(900), Kudos::whole(-100), Kudos::whole(334))
        );
        assert_eq!(moved.donated, Kudos::ZERO, "who gives has less");
        assert_eq!(moved.awarded, Kudos::whole(MOST_KUDOS));
        assert_eq!(accumulated + granted + moved.gifted + moved.received + moved.awarded, user.balance);
    }

    #[test]
    fn roles_and_records_are_those_that_are_known() {
        let mut extras = Extras::default();
        for (role, value) in
            [("TRUSTED", "true"), ("FLAGGED", "false"), ("EMPEROR", "true"), ("ADMIN", "true")]
        {
            let row = values(&ROLES, &[("user_id", "7"), ("user_role", role), ("value", value)]);
            extras.role(&Cells::of(&ROLES, &row));
        }
        for (kind, record, value) in [
            ("USAGE", "image", "1.5"),
            ("CONTRIBUTION", "text", "80"),
            ("REQUEST", "interrogation", "4"),
            ("FULFILLMENT", "image", "-4"),
            ("STYLE", "text", "2"),
            ("STYLE", "interrogation", "2"),
            ("USAGE", "music", "2"),
        ] {
            let cells = [("user_id", "7"), ("record_type", kind), ("record", record), ("value", value)];
            extras.record(&Cells::of(&RECORDS, &values(&RECORDS, &cells)));
        }
        let user = read(&[], &extras).0.unwrap();
        assert_eq!(user.roles, [Role::Trusted]);
        assert_eq!(user.stats.requested[Kind::Image.index()].things, 1.5e6);
        assert_eq!(user.stats.fulfilled[Kind::Text.index()].things, 80.0);
        assert_eq!(user.stats.requested[Kind::Alchemy.index()].jobs, 4);
        assert_eq!(user.stats.fulfilled[Kind::Image.index()].jobs, 0);
        assert_eq!(user.stats.style_uses, [0, 2]);
    }

    #[test]
    fn an_account_is_the_same_by_its_key_its_owner_or_its_moment() {
        let user = read(&[], &Extras::default()).0.unwrap();
        let there =
            KnownUser { key: KeyHash([1; 32]), identity: Some("g_9".into()), created_at: Timestamp(5) };
        for (there, is_it, rule) in [
            (there.clone(), false, "nothing is the same"),
            (KnownUser { key: user.key, ..there.clone() }, true, "its key is"),
            (KnownUser { identity: Some("g_7".into()), ..there.clone() }, true, "who it is is"),
            (KnownUser { created_at: user.created_at, ..there.clone() }, true, "when it was made is"),
        ] {
            assert_eq!(is_same(&user, &there), is_it, "{rule}");
        }
        let wiped = Identity::Wiped.text(user.id);
        assert!(was_wiped(&KnownUser { identity: wiped, ..there.clone() }));
        assert!(!was_wiped(&there) && !was_wiped(&KnownUser { identity: None, ..there }));
    }
}
