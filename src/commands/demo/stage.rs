//! What a person sees while the demo runs: tokens, and a bar.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};

use crate::commands::say;

/// The part of the screen that moves. Without a terminal there are plain lines.
#[derive(Default)]
pub(super) struct Stage {
    bar: Option<ProgressBar>,
    quarters: u64,
    has_open_line: bool,
}

impl Stage {
    /// What comes now.
    pub fn title(&mut self, title: &str) -> anyhow::Result<()> {
        self.quarters = 0;
        say(&format!("\n{title}"))
    }

    /// One more token.
    pub fn token(&mut self, text: &str) {
        let mut out = io::stdout().lock();
        // A reader that has gone has seen enough.
        let _ = write!(out, "{text}").and_then(|()| out.flush());
        self.has_open_line = true;
    }

    /// Steps done.
    pub fn progress(&mut self, done: u64, total: u64) -> anyhow::Result<()> {
        let total = total.max(1);
        if io::stdout().is_terminal() && io::stderr().is_terminal() {
            let bar = self.bar.get_or_insert_with(|| {
                let style = ProgressStyle::with_template("{bar:40} step {pos}/{len}  {elapsed}");
                ProgressBar::new(total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            });
            bar.set_position(done);
        } else if done * 4 / total > self.quarters {
            self.quarters = done * 4 / total;
            say(&format!("step {done} of {total}"))?;
        }
        Ok(())
    }

    /// What came is complete.
    pub fn end(&mut self) -> anyhow::Result<()> {
        if std::mem::take(&mut self.has_open_line) {
            say("")?;
        }
        if let Some(bar) = self.bar.take() {
            bar.finish();
        }
        Ok(())
    }
}
