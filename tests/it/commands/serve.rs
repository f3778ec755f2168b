//! `gridbroker serve`, as scripts and init systems see it.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio},
};

use super::{command, gridbroker, text};

/// A broker in a process of its own; it ends with the test.
struct Served {
    process: Child,
    says: Lines<BufReader<ChildStdout>>,
    logs: Lines<BufReader<ChildStderr>>,
    address: String,
}

impl Served {
    fn start(dir: &Path, args: &[&str]) -> Self {
        let mut program = command(dir, &[&["serve", "--listen", "127.0.0.1:0"], args].concat());
        let mut process = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut says = BufReader::new(process.stdout.take().unwrap()).lines();
        let logs = BufReader::new(process.stderr.take().unwrap()).lines();
        let first = says.next().expect("a first line").unwrap();
        let url = first.strip_prefix("gridbroker listens on ").unwrap_or_else(|| panic!("{first}"));
        let address = url.strip_prefix("http://").unwrap_or_else(|| panic!("{url}")).to_owned();
        Self { process, says, logs, address }
    }

    fn signal(&self, name: &str) {
        let kill = Command::new("kill").args([name, &self.process.id().to_string()]).status().unwrap();
        assert!(kill.success());
    }

    fn logs_until(&mut self, words: &str) {
        let mut seen = Vec::new();
        for line in self.logs.by_ref().map(Result::unwrap) {
            if line.contains(words) {
                return;
            }
            seen.push(line);
        }
        panic!("{words:?} was not logged: {seen:#?}");
    }

    fn exit(mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn it_prints_its_urls_takes_accounts_and_ends_with_0_on_sigterm_and_sigint() {
    let dir = tempfile::tempdir().unwrap();
    for (signal, id) in [("-TERM", "\"id\":1"), ("-INT", "\"id\":2")] {
        let mut served = Served::start(dir.path(), &["--public-url", "https://grid.example.org/"]);
        let rest: Vec<_> = served.says.by_ref().take(6).map(Result::unwrap).collect();
        let json = format!("http://{}/api/v2", served.address);
        let console = format!("console http://{}/", served.address);
        assert!(rest.iter().all(|line| line.starts_with("  ")), "{rest:?}");
        assert!(rest.iter().any(|line| line.ends_with(&json)), "{rest:?}");
        assert!(rest.iter().any(|line| line.ends_with(&console)), "{rest:?}");
        assert!(rest.iter().any(|line| line.ends_with("https://grid.example.org")), "{rest:?}");
        let made = gridbroker(dir.path(), &["user", "add", "alice"]);
        assert!(text(&made.stdout).contains(id), "{}", text(&made.stderr));
        served.signal(signal);
        assert_eq!(served.exit().code(), Some(0), "after {signal}");
        assert!(!dir.path().join("data/admin.sock").exists());
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path(), &["--drain-seconds", "3600"]);
    let mut call = TcpStream::connect(&served.address).unwrap();
    // A call that is not finished: its body never comes whole. The answer to "continue" says that it runs.
    let head = "POST /api/v2/generate/async HTTP/1.1\r\nhost: x\r\napikey: 0000000000\r\n\
                content-type: application/json\r\ncontent-length: 100\r\nexpect: 100-continue\r\n\r\n";
    call.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    BufReader::new(call.try_clone().unwrap()).read_line(&mut answer).unwrap();
    assert!(answer.contains("100 Continue"), "{answer}");
    served.signal("-TERM");
    served.logs_until("stopping");
    served.signal("-TERM");
    assert_eq!(served.exit().code(), Some(1));
}

#[test]
fn a_second_broker_on_the_data_directory_is_refused_and_told_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path(), &[]);
    let second = gridbroker(dir.path(), &["serve", "--listen", "127.0.0.1:0"]);
    let said = text(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    let wanted = format!("is in use by another gridbroker process (pid {})", served.process.id());
    assert!(said.contains(&wanted), "{said}");
    assert_eq!(text(&second.stdout), "", "it never said that it listens");
}

#[test]
fn a_killed_broker_leaves_a_directory_that_the_next_one_takes() {
    let dir = tempfile::tempdir().unwrap();
    let killed = Served::start(dir.path(), &[]);
    killed.signal("-KILL");
    assert_eq!(killed.exit().code(), None);
    let alone = gridbroker(dir.path(), &["user", "add", "alice"]);
    assert!(alone.status.success(), "{}", text(&alone.stderr));
    let next = Served::start(dir.path(), &[]);
    let through = gridbroker(dir.path(), &["user", "add", "bob"]);
    assert!(text(&through.stdout).contains("\"bob#2\""), "{}", text(&through.stderr));
    next.signal("-TERM");
    assert_eq!(next.exit().code(), Some(0));
}

#[test]
fn its_logs_hold_no_keys_and_nothing_of_what_people_ask_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path(), &["--rate-limits", "off", "--log", "gridbroker=trace,info"]);
    let call = |path: &str, key: &str, body: &str| {
        let mut stream = TcpStream::connect(&served.address).unwrap();
        let length = body.len();
        let request = format!(
            "POST /api/v2{path} HTTP/1.1\r\nhost: x\r\napikey: {key}\r\ncontent-type: application/json\r\n\
             connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        std::io::read_to_string(stream).unwrap()
    };
    let accepted = call("/generate/text/async", "0000000000", r#"{"prompt": "a-secret-prompt"}"#);
    assert!(accepted.starts_with("HTTP/1.1 202"), "{accepted}");
    let refused = call("/generate/text/async", "a-secret-key", r#"{"prompt": "a-secret-prompt"}"#);
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    let malformed = call("/generate/text/async", "a-secret-key", r#"{"prompt": "a-secret-prompt"#);
    assert!(malformed.starts_with("HTTP/1.1 400"), "{malformed}");
    let unknown =
        call("/generate/text/submit", "a-secret-key", r#"{"id": "x", "generation": "a-secret-text"}"#);
    assert!(unknown.starts_with("HTTP/1.1 404"), "{unknown}");
    served.signal("-TERM");
    let logged: Vec<_> = served.logs.by_ref().map(Result::unwrap).collect();
    assert!(!logged.is_empty(), "something is logged");
    for line in logged {
        assert!(!line.contains("a-secret") && !line.contains("0000000000"), "{line}");
    }
    assert!(served.exit().success());
}
