//! The scripts that run inside Redis. Each file says what it takes and returns.

use std::sync::LazyLock;

use fred::{clients::Client, error::Error, types::Value};

/// A script, loaded into a server when that does not know it.
pub struct Script(fred::types::scripts::Script);

impl Script {
    fn new(source: &'static str) -> Self {
        Self(fred::types::scripts::Script::from_lua(source))
    }

    /// Runs it. What a time-out or a broken connection leaves undone or done twice is for the script to bear.
    pub async fn run(
        &self,
        client: &Client,
        keys: Vec<String>,
        arguments: Vec<Value>,
    ) -> Result<Value, Error> {
        self.0.evalsha_with_reload(client, keys, arguments).await
    }
}

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)*) => {
        $($(#[$doc])*
        pub static $name: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!($file)));)*
    };
}

scripts! {
    /// Begins a generation of a live queue.
    BEGIN = "scripts/begin.lua";
    /// Looks whether a live queue is the one it was.
    LOOK = "scripts/look.lua";
    /// Jobs wait from now on.
    ANNOUNCE = "scripts/announce.lua";
    /// Jobs are held from now on.
    CLAIM = "scripts/claim.lua";
    /// Leases moved.
    RENEW = "scripts/renew.lua";
    /// Jobs are over.
    SETTLE = "scripts/settle.lua";
    /// Claims whose time is over.
    OVERDUE = "scripts/overdue.lua";
    /// Forgets workers that hold nothing.
    IDLE = "scripts/idle.lua";
    /// A broker lives.
    BEAT = "scripts/beat.lua";
    /// Appends to an event log.
    APPEND = "scripts/append.lua";
    /// Tells of an attempt in the place of another broker.
    TAKE = "scripts/take.lua";
    /// Reads an event log.
    READ = "scripts/read.lua";
    /// Drops an event log.
    FORGET = "scripts/forget.lua";
}
