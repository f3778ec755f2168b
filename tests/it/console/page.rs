//! A stage for stories of the console: the real program, a mock worker in a process of its own, a browser.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::{Child, Command};

use super::browser::Browser;
use crate::{
    commands::command,
    harness::{ALICE, BOB, Json, Node},
};

/// Tokens that the mock writes in a second: slow enough to look on.
const PACE: &str = "12";

/// What a story needs.
pub struct Stage {
    pub node: Node,
    pub browser: Browser,
    worker: Option<Child>,
}

impl Stage {
    /// A broker with alice and bob, bob's worker, and a browser that has nothing open.
    pub async fn set() -> Self {
        let mut node = Node::new('c', Vec::new());
        for (alias, key, roles) in [("alice", ALICE, &[][..]), ("bob", BOB, &["--role", "trusted"][..])] {
            let words = ["user", "add", alias, "--kudos", "1000", "--api-key", key];
            let made = node.operator(&[&words[..], roles].concat()).await;
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        }
        let (browser, ()) = tokio::join!(Browser::start(), node.starts());
        Self { node, browser, worker: None }
    }

    /// The same, with a worker.
    pub async fn with_worker() -> Self {
        let mut stage = Self::set().await;
        stage.hires();
        stage
    }

    /// Starts the worker.
    pub fn hires(&mut self) {
        let line =
            ["worker", "--mock", "--server", &self.node.url(), "--api-key", BOB, "--tokens-per-second", PACE];
        let mut command = Command::from(command(&self.node.data(), &line));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.worker = Some(command.kill_on_drop(true).spawn().expect("the program starts"));
    }

    /// Opens a place of the console.
    pub async fn opens(&self, place: &str) {
        self.browser.opens(&format!("{}/{place}", self.node.url())).await;
    }

    /// Speaks JSON as alice.
    pub fn json(&self) -> Json {
        self.node.json(ALICE)
    }

    /// Asks for a text in the playground, and returns the request's ID once tokens come.
    pub async fn asks_for_text(&self, prompt: &str, tokens: u32) -> String {
        let browser = &self.browser;
        self.opens("#playground").await;
        browser.types("#prompt", prompt).await;
        browser.types("#length", &tokens.to_string()).await;
        browser.clicks("#submit").await;
        browser.sees("#run-outcome .pill", "Running").await;
        browser.sees("#run-outcome .text", " ").await;
        let id = browser.reads("#run-link").await;
        assert!(browser.address().await.ends_with(&format!("#playground/text/{id}")));
        id
    }

    /// Text of a finished request, as the API has it.
    pub async fn text_of(&self, id: &str) -> String {
        let status = self.json().get(&format!("/generate/text/status/{id}")).await.ok();
        let text = status["generations"][0]["text"].as_str();
        text.unwrap_or_else(|| panic!("it is done: {status}")).to_owned()
    }

    /// Has the page write down each state of its text from now on.
    pub async fn takes_notes(&self) {
        let script = "
            window.notes = [];
            const note = () => {
                const text = document.querySelector('#run-outcome .text')?.textContent ?? '';
                if (text !== '' && text !== window.notes.at(-1)) window.notes.push(text);
            };
            note();
            new MutationObserver(note).observe(document.querySelector('#run-outcome'),
                { subtree: true, childList: true, characterData: true });";
        self.browser.runs(script).await;
    }

    /// What it wrote down.
    pub async fn notes(&self) -> Vec<String> {
        let notes = self.browser.runs("return window.notes").await;
        let notes = notes.as_array().expect("notes were taken").iter();
        notes.map(|note| note.as_str().expect("a text").to_owned()).collect()
    }

    /// Ends the story: nothing was refused by the policy, and no script failed.
    pub async fn ends(self) {
        let complaints = self.browser.complaints().await;
        assert!(complaints.is_empty(), "{complaints:?}");
        self.closes().await;
    }

    /// Ends a story in which connections were cut, which browsers complain of.
    pub async fn closes(mut self) {
        if let Some(mut worker) = self.worker.take() {
            // It would finish what it holds.
            worker.kill().await.expect("it can be killed");
        }
        self.browser.quits().await;
        assert!(self.node.ends().await.success());
    }
}

/// A number that a script returned.
pub fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}
