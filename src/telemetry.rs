//! Log set-up.

use tracing_subscriber::{EnvFilter, fmt, prelude::*, registry};

use crate::config::{LogFormat, Logs};

/// Begins to log to standard error. A second call changes nothing.
pub fn start(logs: &Logs) {
    let filter = EnvFilter::new(&logs.log);
    let lines = fmt::layer().with_writer(std::io::stderr);
    let begun = match logs.log_format {
        LogFormat::Text => registry().with(filter).with(lines.with_target(false)).try_init(),
        LogFormat::Json => registry().with(filter).with(lines.json()).try_init(),
    };
    // Whoever embeds the broker may have set up logging before us; theirs stays.
    let _ = begun;
}
