//! What a person sees while a request goes on.

use std::{
    io::{IsTerminal, Write},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{ask::Kind, story::Story};
use crate::rpc::pb::{JobResult, WatchResponse, watch_response::Event};

/// Shows events on stderr, and tokens of a single text on stdout.
pub(super) struct Show {
    is_watched: bool,
    kind: Kind,
    jobs: i32,
    /// A text is printed token by token.
    streams: bool,
    /// What was printed of it.
    printed: String,
    /// Nothing but whole lines is on stdout.
    at_line_start: bool,
    /// Notes and tokens meet on one screen.
    is_terminal: bool,
    /// `None`: no terminal, so plain lines.
    bar: Option<ProgressBar>,
    /// Share of the images that was last said, in tenths.
    tenths: i32,
}

impl Show {
    pub fn new(is_watched: bool, kind: Kind, jobs: i32, has_output: bool) -> Self {
        let is_terminal = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        let bar = (is_watched && is_terminal).then(|| {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        let streams = is_watched && kind == Kind::Text && jobs == 1 && (is_terminal || !has_output);
        Self {
            is_watched,
            kind,
            jobs,
            streams,
            printed: String::new(),
            at_line_start: true,
            is_terminal,
            bar,
            tenths: 0,
        }
    }

    /// Something worth knowing that stops nothing.
    pub fn remark(&mut self, remark: &str) {
        self.make_room();
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("note: {remark}")),
            None => eprintln!("note: {remark}"),
        }
    }

    /// The broker has it.
    pub fn accepted(&mut self, id: &str) {
        self.say(&format!("request {id} is accepted"));
    }

    fn say(&mut self, line: &str) {
        if !self.is_watched {
            return;
        }
        self.make_room();
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// A piped text is not broken by what is said beside it.
    fn make_room(&mut self) {
        if self.is_terminal {
            self.end_line();
        }
    }

    fn end_line(&mut self) {
        if !std::mem::replace(&mut self.at_line_start, true) {
            print("\n");
        }
    }

    /// Shows an event, before the story takes it.
    pub fn event(&mut self, message: &WatchResponse, story: &Story) {
        match &message.event {
            Some(Event::Queued(queued)) => {
                let place = format!("queued at position {}", queued.position);
                let line = match (queued.eta_seconds, queued.eta_low_seconds, queued.eta_high_seconds) {
                    (0, ..) => place,
                    (eta, Some(low), Some(high)) if low < high => {
                        format!("{place}, about {eta} s to go ({low} to {high})")
                    }
                    (eta, ..) => format!("{place}, about {eta} s to go"),
                };
                match &self.bar {
                    Some(bar) => bar.set_message(line),
                    None => self.say(&line),
                }
            }
            Some(Event::Assigned(assigned)) => {
                let which = self.which(assigned.job);
                let line = format!("{which}worker {} has it, model {}", assigned.worker_name, assigned.model);
                self.say(&line);
                self.begin_work();
            }
            Some(Event::Progress(progress)) if self.kind != Kind::Text => {
                let now = f64::from(progress.current_step) / f64::from(progress.total_steps.max(1));
                self.progress(progress.job, now, story);
            }
            Some(Event::Token(token)) if self.streams => {
                let told = story.told.get(&token.job).map_or("", String::as_str);
                self.stream(&format!("{told}{}", token.text));
            }
            Some(Event::Result(result)) if self.kind != Kind::Text => self.progress(result.job, 1.0, story),
            Some(Event::Reset(_)) => self.tenths = 0,
            Some(Event::Done(done)) => {
                let what = self.kind.called(done.finished);
                self.say(&format!("done: {} {what} for {} kudos", done.finished, done.kudos));
            }
            Some(
                Event::Progress(_)
                | Event::Preview(_)
                | Event::KeepAlive(_)
                | Event::Token(_)
                | Event::Result(_)
                | Event::Faulted(_)
                | Event::Cancelled(_),
            )
            | None => {}
        }
    }

    /// Prints what is new of a text. One that was told again is not printed again, unless it differs.
    fn stream(&mut self, told: &str) {
        if self.printed.starts_with(told) {
            return;
        }
        if !told.starts_with(&self.printed) {
            self.end_line();
            self.say("starting over");
            self.printed.clear();
        }
        let new = &told[self.printed.len()..];
        print(new);
        self.at_line_start = new.ends_with('\n');
        self.printed.push_str(new);
    }

    /// Which of several.
    fn which(&self, job: i32) -> String {
        if self.jobs == 1 { String::new() } else { format!("{} of {}: ", job + 1, self.jobs) }
    }

    fn begin_work(&mut self) {
        if self.streams {
            // Tokens take the place of the spinner.
            if let Some(bar) = self.bar.take() {
                bar.finish_and_clear();
            }
        } else if let Some(bar) = &self.bar
            && self.kind != Kind::Text
            && bar.length().is_none()
        {
            let style = ProgressStyle::with_template("{bar:40} {percent:>3} %  {elapsed}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_length(1000);
        }
    }

    fn progress(&mut self, job: i32, share: f64, story: &Story) {
        let others: f64 = story.shares.iter().filter(|(other, _)| **other != job).map(|(_, s)| s).sum();
        let all = (others + share) / f64::from(self.jobs);
        match &self.bar {
            Some(bar) => bar.set_position((all * 1000.0) as u64),
            None => {
                let tenths = (all * 10.0) as i32;
                if tenths > self.tenths {
                    self.tenths = tenths;
                    self.say(&format!("{} %", tenths * 10));
                }
            }
        }
    }

    /// Puts everything that moves away.
    pub fn close(&mut self) {
        self.end_line();
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// Prints texts that were not shown token by token.
    pub fn texts(&self, texts: &[&JobResult]) {
        for text in texts {
            if !self.streams {
                if self.jobs > 1 {
                    let by = &text.worker_name;
                    print(&format!("--- {} of {}, by {by} ---\n", text.job + 1, self.jobs));
                }
                print(&format!("{}\n", text.text.as_deref().unwrap_or_default()));
            }
        }
    }
}

/// Writes to stdout at once. A reader that has gone is no error: it has seen enough.
pub(super) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
