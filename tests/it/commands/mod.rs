//! The program, run as people run it.

mod demo;
mod grid;
mod import;
mod ledger;
mod legacy;
mod serve;
mod sharedkey;
mod store;
mod user;

use std::{
    path::Path,
    process::{Command, Output},
};

/// Runs the program in a directory, with no settings but those given.
fn gridbroker(dir: &Path, args: &[&str]) -> Output {
    command(dir, args).output().expect("the program starts")
}

/// The program, to be run in a directory, with no settings but those given.
pub fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gridbroker"));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("GRIDBROKER_")) {
            command.env_remove(name);
        }
    }
    command.current_dir(dir).args(args);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the program prints UTF-8")
}

#[test]
fn the_version_is_the_packages() {
    let dir = tempfile::tempdir().unwrap();
    let out = gridbroker(dir.path(), &["--version"]);
    assert_eq!(text(&out.stdout), format!("gridbroker {}\n", env!("CARGO_PKG_VERSION")));
    assert!(out.status.success());
}

#[test]
fn wrong_usage_and_wrong_settings_exit_with_2() {
    let dir = tempfile::tempdir().unwrap();
    let usage = gridbroker(dir.path(), &["user", "add", "alice", "--role", "emperor"]);
    assert_eq!(usage.status.code(), Some(2));
    let said = text(&usage.stderr);
    assert!(said.contains("moderator") && said.contains("education"), "the roles are listed: {said}");

    std::fs::write(dir.path().join(".env"), "GRIDBROKER_LISTEN=here\n").unwrap();
    let settings = gridbroker(dir.path(), &["user", "add", "alice", "--redis-url", "redis://cache"]);
    assert_eq!(settings.status.code(), Some(2));
    let said = text(&settings.stderr);
    assert!(said.contains("GRIDBROKER_LISTEN in .env") && said.contains("--redis-url"), "{said}");
    assert!(!dir.path().join("data").exists(), "nothing was made");
}
