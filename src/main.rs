//! The `gridbroker` program: flags, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use gridbroker::{commands, config::Problems};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The exit code of wrong flags and settings, as of clap.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    // Fails only if a provider is installed already, which serves as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match commands::run(commands::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut causes = error.chain();
            causes.next().into_iter().for_each(|what| eprintln!("gridbroker: {what}"));
            causes.for_each(|cause| eprintln!("  because: {cause}"));
            if error.is::<Problems>() { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
        }
    }
}
