//! `gridbroker store`: what a broker keeps, taken elsewhere.

use std::{
    fmt,
    io::IsTerminal,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::bail;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::Mutex;

use crate::{
    backend::copy::{self, OBJECTS, Progress, Report, Step},
    config::{Problem, Problems, SecretUrl},
};

/// How often a long table is told of where there is no terminal.
const EVERY: Duration = Duration::from_secs(5);

/// What a broker keeps.
#[derive(Args)]
pub struct StoreCommand {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Copy an embedded store to an empty PostgreSQL database, while no broker runs on either.
    ///
    /// Accounts, keys, kudos, workers, requests and their results, images and the secret of signed links
    /// come along. Everything is read back and compared before it counts; a copy that fails leaves the
    /// database empty and can be started again. The embedded store is only read.
    Copy(CopyArgs),
}

#[derive(Args)]
struct CopyArgs {
    /// Data directory of the embedded store; no broker may run on it.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Empty PostgreSQL database to copy to, postgres://user:password@host:5432/database.
    #[arg(long, value_name = "URL", env = "GRIDBROKER_DATABASE_URL", hide_env_values = true)]
    to: String,
}

/// Runs the command.
///
/// # Errors
/// The store cannot be read, the database cannot be written or is not empty, or the copy is not equal.
pub async fn run(command: StoreCommand) -> anyhow::Result<()> {
    let Verb::Copy(CopyArgs { from, to }) = command.command;
    // Not read by clap, whose errors would quote the password.
    if !["postgres://", "postgresql://"].iter().any(|scheme| to.starts_with(scheme)) {
        let message = "must begin with postgres://, as in postgres://user:password@host:5432/database".into();
        return Err(Problems(vec![Problem { place: "--to".into(), message }]).into());
    }
    let begun = Instant::now();
    let show = Show::new();
    let copied = copy::copy(&from, &SecretUrl::new(to), &|progress| show.progress(progress)).await;
    show.close();
    let report = copied.map_err(anyhow::Error::from_boxed)?;
    super::say(&Table(&report).to_string())?;
    if let Some(wrong) = &report.books {
        bail!("the books do not balance, so nothing was left in the database: {wrong}");
    }
    if !report.is_good() {
        bail!("the copy differs from the store, so nothing was left in the database");
    }
    super::say(&format!(
        "copied to {} in {:.1} s\n\
         next: gridbroker serve --database-url … --redis-url …; {} is as it was, and must not be served any more",
        report.place,
        begun.elapsed().as_secs_f64(),
        from.display()
    ))
}

/// What a person sees while it goes on, on stderr: a bar, or plain lines where there is no terminal.
struct Show {
    bar: Option<ProgressBar>,
    /// When something was said last.
    said_at: Mutex<Instant>,
}

impl Show {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{msg:32} {bar:30} {human_pos} of {human_len}");
            let bar = ProgressBar::new(0);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { bar, said_at: Mutex::new(Instant::now()) }
    }

    fn progress(&self, at: Progress) {
        let what = match (at.step, at.table) {
            (Step::Copying, OBJECTS) => "copying objects".to_owned(),
            (Step::Copying, table) => format!("copying {table}"),
            (Step::Checking, table) => format!("checking {table}"),
        };
        match &self.bar {
            Some(bar) => {
                bar.set_length(at.total);
                bar.set_position(at.done);
                bar.set_message(what);
            }
            None if at.done == 0 => eprintln!("{what}: {}", at.total),
            None => {
                let mut said_at = self.said_at.lock();
                if at.done < at.total && said_at.elapsed() > EVERY {
                    *said_at = Instant::now();
                    eprintln!("{what}: {} of {}", at.done, at.total);
                }
            }
        }
    }

    fn close(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A report as a table.
struct Table<'r>(&'r Report);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:16}  {:>10}  {:12}  equal", "table", "rows", "checksum")?;
        for line in &self.0.lines {
            let (here, there) = (line.here, line.there);
            write!(f, "{:16}  {:>10}  {:12}  ", line.table, here.rows(), here.short())?;
            match here == there {
                true => writeln!(f, "yes")?,
                false => writeln!(f, "no: {} rows, {} there", there.rows(), there.short())?,
            }
        }
        let (objects, bytes) = self.0.objects;
        writeln!(f, "objects: {objects} ({bytes} bytes), in chunks")?;
        write!(f, "texts with NUL, which became U+FFFD: {}", self.0.texts_with_nul)?;
        if self.0.books.is_none() {
            write!(f, "\nkudos: every balance is the sum of its postings, and all accounts add up to 0")?;
        }
        Ok(())
    }
}
