//! A client that is not ours: a Python program, with stubs that grpcio-tools makes from `proto/`,
//! holds pop streams as a worker, and watches its own requests over gRPC and SSE.
//!
//! Its modules are in `target/python`, where the test command installs what
//! `tests/python/requirements.txt` pins. `GRIDBROKER_TEST_PYTHON` names another interpreter that has them.

mod stock;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::process::Command;

use crate::harness::{ALICE, BOB, Broker};

/// Longest that the stubs, or all stories together, may take.
const LONGEST: Duration = Duration::from_secs(120);

/// The interpreter. Without one the test fails: a proof that is skipped proves nothing.
fn python() -> PathBuf {
    if let Some(named) = std::env::var_os("GRIDBROKER_TEST_PYTHON") {
        return named.into();
    }
    installed("python/bin/python")
}

/// What the test command installed into the target folder.
fn installed(path: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is a folder of the target's");
    let installed = target.join(path);
    assert!(
        installed.exists(),
        "{} is missing: the test command, bash .ci/test, installs it. \
         Or name a Python that has the modules of tests/python/requirements.txt in GRIDBROKER_TEST_PYTHON",
        installed.display()
    );
    installed
}

/// Runs a program to its end, and returns what it printed.
async fn run(command: &mut Command) -> String {
    let command = command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LONGEST, command.output()).await.expect("it ends in time");
    let output = output.expect("Python starts");
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success(),
        "{}\n{said}{complained}\n(modules missing or old? bash .ci/test installs them)",
        output.status
    );
    said.into_owned()
}

/// Stubs of every proto, into a folder.
async fn generates_stubs(python: &Path, folder: &Path) {
    let protos = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let mut command = Command::new(python);
    command.args(["-m", "grpc_tools.protoc", "-I"]).arg(&protos);
    for flag in ["--python_out", "--grpc_python_out"] {
        command.arg(format!("{flag}={}", folder.display()));
    }
    for folder in ["google/api", "grid", "grid/v2"] {
        for file in std::fs::read_dir(protos.join(folder)).expect(folder) {
            let path = file.expect("the folder can be read").path();
            if path.extension().is_some_and(|extension| extension == "proto") {
                command.arg(path);
            }
        }
    }
    run(&mut command).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_program_works_and_watches_with_generated_stubs() {
    let python = python();
    let stubs = tempfile::tempdir().expect("a temporary directory can be made");
    generates_stubs(&python, stubs.path()).await;
    let broker = Broker::start().await;
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/alien.py");
    let mut command = Command::new(&python);
    command.arg(program).args([broker.url(), ALICE, BOB]);
    command.env("PYTHONPATH", stubs.path()).env("PYTHONDONTWRITEBYTECODE", "1");
    // Python without assertions would pass whatever happens.
    command.env_remove("PYTHONOPTIMIZE");
    let said = run(&mut command).await;
    for story in ["a text across a cut and two transports", "an image by signed links", "refusals"] {
        assert!(said.contains(&format!("ok: {story}")), "{story}: {said}");
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_about_the_api_are_what_validators_of_others_expect() {
    let broker = Broker::start().await;
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/documents.py");
    let mut command = Command::new(python());
    command.arg(program).arg(broker.url()).env("PYTHONDONTWRITEBYTECODE", "1").env_remove("PYTHONOPTIMIZE");
    let said = run(&mut command).await;
    for document in ["openapi.json", "swagger.json"] {
        assert!(said.contains(&format!("ok: {document}")), "{document}: {said}");
    }
    broker.stop().await;
}
