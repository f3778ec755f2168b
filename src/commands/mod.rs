//! The command line: one file per subcommand.

mod bench;
mod demo;
mod import;
mod ledger;
mod legacy;
mod operator;
mod serve;
mod settings;
mod sharedkey;
mod store;
mod submit;
mod user;
mod worker;

use std::io::{self, Write};

use anyhow::Context;
use clap::{Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

pub use settings::{BrokerArgs, SettingArgs, StoreArgs};

/// A gRPC job broker with HTTP/JSON transcoding for distributed AI generation.
#[derive(Parser)]
#[command(name = "gridbroker", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the broker.
    Serve(serve::ServeArgs),
    /// See everything at work: a broker, mock workers, a text and an image, in less than half a minute.
    Demo(demo::DemoArgs),
    /// Create accounts, and give them other keys and roles.
    User(user::UserArgs),
    /// Lend keys of accounts to others.
    #[command(name = "sharedkey")]
    SharedKey(sharedkey::SharedKeyArgs),
    /// Check that the books add up.
    Ledger(ledger::LedgerArgs),
    /// Say which paths the old server answers while this one takes its place.
    Legacy(legacy::LegacyArgs),
    /// Move what a broker keeps to another place.
    Store(store::StoreCommand),
    /// Take over what another server had.
    Import(import::ImportArgs),
    /// Ask for a text or an image, and wait for it.
    Submit(submit::SubmitArgs),
    /// Serve jobs of a broker.
    Worker(worker::WorkerArgs),
    /// Measure the broker beside bare equivalents, on this machine.
    Bench(bench::BenchArgs),
}

/// Runs a command to its end.
///
/// # Errors
/// The command's own.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Serve(args) => {
            let config = args.load()?;
            runtime(config.server.worker_threads)?.block_on(serve::run(config))
        }
        Command::Demo(args) => runtime(0)?.block_on(demo::run(args)),
        Command::User(args) => runtime(0)?.block_on(user::run(args)),
        Command::SharedKey(args) => runtime(0)?.block_on(sharedkey::run(args)),
        Command::Ledger(args) => runtime(0)?.block_on(ledger::run(args)),
        Command::Legacy(args) => runtime(0)?.block_on(legacy::run(args)),
        Command::Store(args) => runtime(0)?.block_on(store::run(args)),
        Command::Import(args) => runtime(0)?.block_on(import::run(args)),
        Command::Submit(args) => runtime(0)?.block_on(submit::run(args)),
        Command::Worker(args) => runtime(0)?.block_on(worker::run(args)),
        Command::Bench(args) => runtime(0)?.block_on(bench::run(args)),
    }
}

/// A runtime with so many threads; 0: as many as there are cores.
fn runtime(threads: usize) -> anyhow::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(threads);
    }
    builder.enable_all().build().context("threads cannot be started")
}

/// Prints a line to standard output. A reader that has gone is no error: it has seen enough.
fn say(line: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("standard output cannot be written")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_of_all_settings_are_sound_and_none_is_missing() {
        let command = <BrokerArgs as clap::Args>::augment_args(clap::Command::new("serve"));
        command.clone().debug_assert();
        for key in crate::config::KEYS {
            let flag = command.get_arguments().find(|arg| arg.get_long() == Some(key.flag()));
            let help = flag.expect(key.name).get_help().expect(key.name).to_string();
            assert!(
                help.contains(&key.variable()),
                "the help of --{} names its variable: {help}",
                key.flag()
            );
        }
    }

    #[test]
    fn usage_is_checked_before_anything_runs() {
        for (line, is_right) in [
            ("gridbroker user add alice", true),
            ("gridbroker user add alice --kudos 7 --role admin --role special --concurrency 2", true),
            (
                "gridbroker user add alice --data d --config c.toml --worker-invites 3 --api-key 12345678",
                true,
            ),
            ("gridbroker user add alice --kudos -1", false),
            ("gridbroker user add alice --kudos 1.5", false),
            ("gridbroker user add alice --role emperor", false),
            ("gridbroker user add alice --api-key short", false),
            ("gridbroker user add alice --listen 127.0.0.1:1", false),
            ("gridbroker sharedkey add alice#1", true),
            (
                "gridbroker sharedkey add 1 --kudos -1 --expiry-days 7 --name friends --max-text-tokens 80",
                true,
            ),
            ("gridbroker sharedkey add alice", false),
            ("gridbroker sharedkey add", false),
            ("gridbroker sharedkey list alice#1 --data d", true),
            ("gridbroker sharedkey list", false),
            ("gridbroker sharedkey drop 00000000-0000-0000-0000-000000000000", true),
            ("gridbroker sharedkey drop friends", false),
            ("gridbroker ledger verify", true),
            ("gridbroker ledger verify --data d", true),
            ("gridbroker ledger", false),
            ("gridbroker legacy list", true),
            ("gridbroker legacy move /api/v2/teams --data d", true),
            ("gridbroker legacy return /", true),
            ("gridbroker legacy return api/v2/teams", false),
            ("gridbroker legacy return /metrics", false),
            ("gridbroker legacy move", false),
            ("gridbroker store copy --from ./data --to postgres://host/grid", true),
            ("gridbroker store copy ./data postgres://host/grid", false),
            ("gridbroker store copy --to postgres://host/grid", false),
            ("gridbroker store", false),
            ("gridbroker import horde --from postgres://host/horde --salt s --salt t --dry-run", true),
            (
                "gridbroker import horde --from postgres://host/horde --check-key k --unverified --data d",
                true,
            ),
            ("gridbroker import horde", false),
            ("gridbroker import --from postgres://host/horde", false),
            ("gridbroker user add", false),
            ("gridbroker", false),
        ] {
            assert_eq!(Cli::try_parse_from(line.split(' ')).is_ok(), is_right, "{line}");
        }
    }
}
