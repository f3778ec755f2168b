//! Broker, workers and clients as processes of their own.

use std::{
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use gridbroker::worker::mock;
use serde_json::Value;

use super::{command, gridbroker, text};

/// A process that ends with the test.
pub(super) struct Process {
    pub child: Child,
    out: BufReader<ChildStdout>,
}

impl Process {
    fn start(command: &mut Command) -> Self {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the program starts");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, out }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).expect("the program prints UTF-8");
        line
    }

    /// As an operator would stop it.
    fn terminate(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Grid {
    broker: Process,
    url: String,
    key: String,
    dir: tempfile::TempDir,
}

/// A broker on an embedded store in `./data`, and its URL.
pub(super) fn serve(dir: &Path, listen: &str) -> (Process, String) {
    let mut broker = Process::start(&mut command(dir, &["serve", "--listen", listen]));
    let line = broker.line();
    (broker, line.split_whitespace().next_back().expect("the first line ends in the URL").to_owned())
}

impl Grid {
    fn start() -> Self {
        Self::start_on("127.0.0.1:0")
    }

    fn start_on(listen: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (broker, url) = serve(dir.path(), listen);
        let made =
            gridbroker(dir.path(), &["user", "add", "alice", "--kudos", "1000", "--role", "customizer"]);
        let made: Value = serde_json::from_slice(&made.stdout).expect("an account");
        let key = made["api_key"].as_str().expect("a key").to_owned();
        Self { broker, url, key, dir }
    }

    fn worker(&self, flags: &[&str]) -> Process {
        let line = ["worker", "--mock", "--server", &self.url, "--api-key", &self.key];
        Process::start(&mut command(self.dir.path(), &[&line, flags].concat()))
    }

    fn submit(&self, flags: &[&str]) -> std::process::Output {
        let line = [&["submit"], flags, &["--server", &self.url, "--api-key", &self.key]].concat();
        gridbroker(self.dir.path(), &line)
    }

    fn file(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.dir.path().join(name)).expect(name)
    }
}

const PROMPT: &str = "a paper boat at sea";

#[test]
fn a_text_is_watched_from_the_queue_to_its_last_token() {
    let mut grid = Grid::start();
    let mut worker = grid.worker(&["--tokens-per-second", "200"]);
    let out = grid.submit(&["text", PROMPT, "--max-length", "40", "--watch"]);
    let (shown, said) = (text(&out.stdout), text(&out.stderr));
    assert!(out.status.success(), "{shown}\n{said}");
    assert_eq!(shown, mock::text(PROMPT, 40).concat() + "\n", "stdout is the text and nothing else");
    for expected in ["is accepted", "queued at position 1", "worker mock-text has it", "done: 1 text for"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert_eq!(worker.terminate(), Some(0), "the worker ends in peace");
    assert_eq!(grid.broker.terminate(), Some(0), "and so does the broker");
}

#[test]
fn a_broker_that_crashes_within_a_text_leaves_no_trace_in_it() {
    // Free a moment ago, and nobody else's until the broker has it.
    let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut grid = Grid::start_on(&listen);
    let _worker = grid.worker(&["--tokens-per-second", "20"]);
    let line = ["submit", "text", PROMPT, "--max-length", "40", "--watch", "--server", &grid.url];
    let mut reader = Process::start(&mut command(grid.dir.path(), &line));
    let mut shown = vec![0; 30];
    reader.out.read_exact(&mut shown).expect("tokens come before the text is done");
    grid.broker.child.kill().unwrap();
    grid.broker.child.wait().unwrap();
    (grid.broker, _) = serve(grid.dir.path(), &listen);
    reader.out.read_to_end(&mut shown).unwrap();
    assert!(reader.child.wait().unwrap().success());
    assert_eq!(text(&shown), mock::text(PROMPT, 40).concat() + "\n");
}

#[test]
fn images_are_fetched_into_files_with_their_places_in_the_request() {
    let grid = Grid::start();
    let _worker = grid.worker(&["--image-seconds", "0.2", "--slots", "2"]);
    let size = ["--width", "128", "--height", "64", "--seed", "7", "--steps", "10"];
    let line = [&["image", PROMPT, "--n", "2", "--output", "boat.webp"], &size[..]].concat();
    let out = grid.submit(&line);
    assert!(out.status.success(), "{}", text(&out.stderr));
    assert_eq!(text(&out.stdout), "boat.webp\nboat-2.webp\n");
    let (first, second) = (grid.file("boat.webp"), grid.file("boat-2.webp"));
    assert_eq!(first, mock::image(PROMPT, 7, 128, 64));
    assert_ne!(first, second, "each with a seed of its own");
}

#[test]
fn videos_are_fetched_into_files_as_the_mock_made_them() {
    let grid = Grid::start();
    let _worker = grid.worker(&["--image-seconds", "0.2", "--slots", "2"]);
    let size = ["--width", "128", "--height", "64", "--seed", "7", "--steps", "10"];
    let line = [&["video", PROMPT, "--n", "2", "--watch", "--output", "boat.png"], &size[..]].concat();
    let out = grid.submit(&line);
    let said = text(&out.stderr);
    assert!(out.status.success(), "{said}");
    assert_eq!(text(&out.stdout), "boat.png\nboat-2.png\n");
    for expected in ["worker mock-video has it, model ltx-video", "done: 2 videos for"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert_eq!(grid.file("boat.png"), mock::video(PROMPT, 7, 128, 64));
    assert_ne!(grid.file("boat.png"), grid.file("boat-2.png"), "each with a seed of its own");
}

#[test]
fn without_a_broker_people_are_told_what_to_do() {
    let out = gridbroker(Path::new("/"), &["submit", "text", "x", "--server", "http://127.0.0.1:1"]);
    assert_eq!(out.status.code(), Some(1));
    let said = text(&out.stderr);
    assert!(said.contains("http://127.0.0.1:1") && said.contains("gridbroker serve"), "{said}");
}

#[test]
fn a_key_that_nobody_has_is_refused_in_plain_words() {
    let grid = Grid::start();
    let line = ["submit", "text", "x", "--server", &grid.url, "--api-key", "nobodys-key"];
    let out = gridbroker(grid.dir.path(), &line);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("does not know this API key"), "{}", text(&out.stderr));
}
