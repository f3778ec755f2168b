//! What a person sees while it goes on, on stderr: a bar, or plain lines where there is no terminal.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// Rows between two looks at the bar.
const EVERY: u64 = 256;

/// A bar, or lines.
pub struct Show(Option<ProgressBar>);

impl Show {
    /// A bar if somebody looks.
    pub fn new() -> Self {
        Self(std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{msg:32} {bar:30} {human_pos} of {human_len}");
            let bar = ProgressBar::new(0);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        }))
    }

    /// A table is begun.
    pub fn begin(&self, table: &str, rows: u64) {
        match &self.0 {
            Some(bar) => {
                bar.set_length(rows);
                bar.set_position(0);
                bar.set_message(format!("reading {table}"));
            }
            None => eprintln!("reading {table}: {rows}"),
        }
    }

    /// So many rows of it are done.
    pub fn at(&self, rows: u64) {
        if let Some(bar) = self.0.as_ref().filter(|_| rows.is_multiple_of(EVERY)) {
            bar.set_position(rows);
        }
    }

    /// It is over.
    pub fn close(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
