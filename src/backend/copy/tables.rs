//! What a copy takes along: the tables and columns of `migrations/`, in the one list that reading,
//! writing and comparing go by. `tests/it/backend/copy.rs` compares it with both schemas.
//!
//! A migration that adds a column adds it here, in any place of its table's row.

use Kind::{Decimal, Flag, Id, Number, Text};

/// What a column holds. Any of it may be NULL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// TEXT in both.
    Text,
    /// INTEGER in SQLite, BIGINT in PostgreSQL.
    Number,
    /// REAL in SQLite, DOUBLE PRECISION in PostgreSQL; the same 64 bits.
    Decimal,
    /// 0 or 1 in SQLite, BOOLEAN in PostgreSQL.
    Flag,
    /// The text of a UUID in SQLite, UUID in PostgreSQL.
    Id,
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name, in both.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// The databases compute it: it is compared, and not written.
    pub is_computed: bool,
}

/// A table.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its name in PostgreSQL.
    pub name: &'static str,
    /// Its rows in SQLite, as what follows FROM.
    pub origin: &'static str,
    /// Its columns.
    pub columns: &'static [Column],
    /// A view of PostgreSQL: it is compared, and not written.
    pub is_view: bool,
}

/// Every table that is taken along, and what is compared besides.
pub const TABLES: &[Table] = &[
    table("settings", &[column("name", Text), column("value", Text)]),
    table(
        "users",
        &[
            column("id", Number),
            column("alias", Text),
            column("key_hash", Text),
            column("roles_json", Text),
            column("concurrency", Number),
            column("worker_invites", Number),
            column("created_at", Number),
            column("requested_image_jobs", Number),
            column("requested_image_things", Decimal),
            column("requested_text_jobs", Number),
            column("requested_text_things", Decimal),
            column("fulfilled_image_jobs", Number),
            column("fulfilled_image_things", Decimal),
            column("fulfilled_text_jobs", Number),
            column("fulfilled_text_things", Decimal),
            column("accumulated", Number),
            column("granted", Number),
            column("suspicion", Number),
            column("gifted", Number),
            column("donated", Number),
            column("received", Number),
            column("recurring", Number),
            column("awarded", Number),
            column("styled", Number),
            column("lifts", Number),
            column("monthly", Number),
            column("monthly_at", Number),
            column("requested_video_jobs", Number),
            column("requested_video_things", Decimal),
            column("requested_alchemy_jobs", Number),
            column("requested_alchemy_things", Decimal),
            column("fulfilled_video_jobs", Number),
            column("fulfilled_video_things", Decimal),
            column("fulfilled_alchemy_jobs", Number),
            column("fulfilled_alchemy_things", Decimal),
            column("identity", Text),
            column("contact", Text),
            column("admin_comment", Text),
            column("public_workers", Flag),
            column("usage_multiplier", Decimal),
            column("proxy_passkey", Text),
            column("active_at", Number),
            column("image_style_uses", Number),
            column("text_style_uses", Number),
        ],
    ),
    table(
        "shared_keys",
        &[
            column("id", Id),
            column("key_hash", Text),
            column("owner", Number),
            column("name", Text),
            column("budget", Number),
            column("utilized", Number),
            column("expires_at", Number),
            column("max_image_pixels", Number),
            column("max_image_steps", Number),
            column("max_text_tokens", Number),
            column("created_at", Number),
        ],
    ),
    table(
        "workers",
        &[
            column("id", Id),
            column("name", Text),
            column("owner", Number),
            column("created_at", Number),
            column("seen_at", Number),
            column("profile_json", Text),
            column("maintenance", Text),
            column("fulfilled", Number),
            column("uncompleted", Number),
            column("things", Decimal),
            column("generated", Number),
            column("uptime_seconds", Number),
            column("speeds_json", Text),
            column("kind", Text),
            column("address", Text),
            column("info", Text),
            column("paused", Flag),
            column("team", Text),
            column("suspected_once", Number),
            column("suspected_again", Number),
            column("uptime_kudos", Number),
            column("uptime_rewards", Number),
            column("unpaid_seconds", Number),
        ],
    ),
    table(
        "worker_messages",
        &[
            column("id", Id),
            column("worker", Text),
            column("author", Number),
            column("message", Text),
            column("origin", Text),
            column("created_at", Number),
            column("expires_at", Number),
        ],
    ),
    table(
        "styles",
        &[
            column("id", Id),
            column("kind", Text),
            column("owner", Number),
            column("name", Text),
            column("info", Text),
            column("prompt", Text),
            column("params_json", Text),
            column("public", Flag),
            column("nsfw", Flag),
            column("tags_json", Text),
            column("models_json", Text),
            column("examples_json", Text),
            column("shared_key", Text),
            column("use_count", Number),
            column("created_at", Number),
            column("updated_at", Number),
            column("revision", Number),
        ],
    ),
    table(
        "style_collections",
        &[
            column("id", Id),
            column("kind", Text),
            column("owner", Number),
            column("name", Text),
            column("info", Text),
            column("public", Flag),
            column("members_json", Text),
            column("use_count", Number),
            column("created_at", Number),
            column("updated_at", Number),
            column("revision", Number),
        ],
    ),
    table("timeouts", &[column("network", Text), column("expires_at", Number)]),
    table(
        "teams",
        &[
            column("id", Id),
            column("name", Text),
            column("name_key", Text),
            column("info", Text),
            column("owner", Number),
            column("created_at", Number),
            column("fulfilled", Number),
            column("kudos", Number),
            column("uptime_seconds", Number),
        ],
    ),
    table(
        "filters",
        &[
            column("id", Number),
            column("regex", Text),
            column("filter_type", Number),
            column("replacement", Text),
            column("description", Text),
            column("editor", Number),
            column("version", Number),
            column("digest", Text),
        ],
    ),
    table(
        "stats",
        &[
            column("seconds", Number),
            column("start", Number),
            column("kind", Text),
            column("model", Text),
            column("shard", Number),
            column("jobs", Number),
            column("things", Number),
        ],
    ),
    table("modes", &[column("name", Text), column("is_on", Flag)]),
    table(
        "requests",
        &[
            column("id", Id),
            column("owner", Number),
            column("created_at", Number),
            column("priority", Number),
            column("spec_json", Text),
            column("expires_at", Number),
            column("jobs", Number),
            column("open", Number),
            column("settled", Number),
            column("cancelled", Flag),
            column("faulted", Flag),
            column("consumed", Number),
            computed("done", Flag),
            column("kind", Text),
            computed("waiting", Number),
        ],
    ),
    table("holds", &[column("request", Id), column("owner", Number), column("amount", Number)]),
    table("key_holds", &[column("request", Id), column("shared_key", Id), column("amount", Number)]),
    table("waiting", &[column("owner", Number), column("kind", Text), column("jobs", Number)]),
    table(
        "attempts",
        &[
            column("id", Id),
            column("request", Id),
            column("job", Number),
            column("number", Number),
            column("worker", Id),
            column("model", Text),
            column("seed", Number),
            column("held", Text),
            column("granted_at", Number),
            column("expires_at", Number),
            column("state", Text),
        ],
    ),
    table(
        "outcomes",
        &[
            column("attempt", Id),
            column("request", Id),
            column("reward", Number),
            column("outcome_json", Text),
        ],
    ),
    table(
        "webhooks",
        &[
            column("attempt", Id),
            column("request", Id),
            column("host", Text),
            column("tries", Number),
            column("made_at", Number),
            column("due_at", Number),
        ],
    ),
    table(
        "transfers",
        &[
            column("id", Id),
            column("sender", Number),
            column("receiver", Number),
            column("shared_key", Text),
            column("amount", Number),
            column("at", Number),
        ],
    ),
    table(
        "postings",
        &[
            column("key", Text),
            column("debit", Number),
            column("credit", Number),
            column("amount", Number),
            column("at", Number),
        ],
    ),
    // PostgreSQL keeps no row for the system's accounts: a view adds up what was posted to them.
    Table { origin: "balances WHERE account >= 0", ..table("balances", BALANCE) },
    Table { origin: "balances WHERE account < 0", is_view: true, ..table("system_balances", BALANCE) },
];

const BALANCE: &[Column] = &[column("account", Number), column("amount", Number)];

/// Tables of either schema that are not taken along, and why.
pub const LEFT_OUT: &[(&str, &str)] = &[
    ("_sqlx_migrations", "each schema has its own"),
    ("impossible", "never has a row"),
    ("batches", "tells brokers over PostgreSQL what they committed within the last hour"),
    ("leadership", "says which of the brokers over PostgreSQL runs the upkeep"),
    ("blobs", "objects, which are files in an embedded store and are taken along as such"),
];

const fn table(name: &'static str, columns: &'static [Column]) -> Table {
    Table { name, origin: name, columns, is_view: false }
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, is_computed: false }
}

const fn computed(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, is_computed: true }
}

impl Table {
    /// The columns that are written.
    pub(in crate::backend) fn written(&self) -> impl Iterator<Item = &'static Column> {
        self.columns.iter().filter(|column| !column.is_computed)
    }

    /// Selects all columns, in their order, from these rows.
    pub(in crate::backend) fn select(&self, from: &str) -> String {
        format!("SELECT {} FROM {from}", quoted(self.columns.iter()))
    }
}

/// Names for a statement; some are words of SQL.
pub(in crate::backend) fn quoted(columns: impl Iterator<Item = &'static Column>) -> String {
    columns.map(|column| format!("\"{}\"", column.name)).collect::<Vec<_>>().join(", ")
}

/// The same of names alone.
pub(in crate::backend) fn quoted_names(names: &[&str]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}
