//! What is logged, and how.

use tracing_subscriber::EnvFilter;

use super::{Complaints, LogFormat};

/// Log lines.
#[derive(Clone, PartialEq, Debug)]
pub struct Logs {
    /// What is logged, as a filter of `tracing`.
    pub log: String,
    /// Form of a line.
    pub log_format: LogFormat,
}

impl Default for Logs {
    fn default() -> Self {
        Self { log: "info".into(), log_format: LogFormat::Text }
    }
}

impl Logs {
    pub(super) fn check(&self, complaints: &mut Complaints) {
        if let Err(error) = EnvFilter::builder().parse(&self.log) {
            complaints
                .about("log", format!("{error}; write a level, such as \"info,gridbroker::host=debug\""));
        }
    }
}
