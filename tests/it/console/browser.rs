//! A browser: headless Chromium, driven over WebDriver (<https://www.w3.org/TR/webdriver2/>) by Debian's
//! chromedriver.
//!
//! The test command installs both. Of the crates that speak the protocol one brings a licence that we do
//! not take, one changes how JSON maps are ordered in every test, and one is larger than all else here;
//! what these tests need of it is a dozen calls.

use std::{path::Path, process::Stdio, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::harness::{PATIENCE, eventually};

/// Longest that the browser may take to start, or to answer a command.
const LONGEST: Duration = Duration::from_secs(60);
/// The key under which an element's ID stands in an answer; fixed by the protocol.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A size that the page is looked at in, in pixels.
#[derive(Clone, Copy)]
pub struct Screen {
    pub width: u32,
    pub height: u32,
    pub is_phone: bool,
}

/// A usual window.
pub const DESKTOP: Screen = Screen { width: 1280, height: 900, is_phone: false };

/// A running browser with one page. It ends with this value.
pub struct Browser {
    client: Client,
    session: String,
    driver: Child,
    /// What the browser writes, thrown away with it.
    _profile: TempDir,
}

impl Browser {
    /// Starts a browser.
    pub async fn start() -> Self {
        let profile = tempfile::tempdir().expect("a temporary directory can be made");
        let mut command = Command::new("chromedriver");
        command.args(["--port=0", "--log-level=SEVERE"]).env("HOME", profile.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        // What it starts belongs to its group, and ends with it.
        command.process_group(0).kill_on_drop(true);
        let mut driver =
            command.spawn().expect("chromedriver is missing: the test command, bash .ci/test, installs it");
        let mut says = BufReader::new(driver.stdout.take().expect("it is piped")).lines();
        let port = timeout(LONGEST, async {
            loop {
                let line = says.next_line().await.expect("it prints UTF-8").expect("chromedriver starts");
                if let Some((_, rest)) = line.split_once("started successfully on port ") {
                    return rest.trim_end_matches('.').to_owned();
                }
            }
        });
        let port = port.await.expect("chromedriver says where it listens");
        // It writes on; a full pipe would stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = says.next_line().await {} });
        let client = Client::builder().timeout(LONGEST).build().expect("a client can be made");
        let arguments = [
            "--headless=new".to_owned(),
            // Containers run it as root, and have a small /dev/shm.
            "--no-sandbox".into(),
            "--disable-dev-shm-usage".into(),
            "--disable-gpu".into(),
            "--force-color-profile=srgb".into(),
            "--hide-scrollbars".into(),
            format!("--user-data-dir={}", profile.path().join("profile").display()),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let base = format!("http://127.0.0.1:{port}");
        let made = ask(&client, Method::POST, &format!("{base}/session"), Some(wanted)).await;
        let session = made["sessionId"].as_str().expect("a session has an ID");
        let session = format!("{base}/session/{session}");
        let browser = Self { client, session, driver, _profile: profile };
        browser.fits(DESKTOP).await;
        browser
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        ask(&self.client, Method::POST, &format!("{}/{path}", self.session), Some(body)).await
    }

    async fn get(&self, path: &str) -> Value {
        ask(&self.client, Method::GET, &format!("{}/{path}", self.session), None).await
    }

    async fn commands(&self, name: &str, parameters: Value) -> Value {
        self.post("goog/cdp/execute", json!({"cmd": name, "params": parameters})).await
    }

    /// Takes a size.
    pub async fn fits(&self, screen: Screen) {
        let Screen { width, height, is_phone } = screen;
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone});
        self.commands("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// Says what its owner likes: light or dark, and to see nothing move.
    pub async fn likes(&self, scheme: &str) {
        let features = json!([
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]);
        self.commands("Emulation.setEmulatedMedia", json!({"features": features})).await;
    }

    /// Goes to an address.
    pub async fn opens(&self, url: &str) {
        self.post("url", json!({"url": url})).await;
    }

    /// Loads the page again.
    pub async fn reloads(&self) {
        self.post("refresh", json!({})).await;
    }

    /// Where it is.
    pub async fn address(&self) -> String {
        self.get("url").await.as_str().expect("an address is text").to_owned()
    }

    async fn element(&self, css: &str) -> String {
        let found = self.post("element", json!({"using": "css selector", "value": css})).await;
        found[ELEMENT].as_str().unwrap_or_else(|| panic!("there is no {css}")).to_owned()
    }

    /// Clicks on what can be seen there.
    pub async fn clicks(&self, css: &str) {
        let element = self.element(css).await;
        self.post(&format!("element/{element}/click"), json!({})).await;
    }

    /// Types into a field in place of what stands there.
    pub async fn types(&self, css: &str, text: &str) {
        let element = self.element(css).await;
        self.post(&format!("element/{element}/clear"), json!({})).await;
        self.post(&format!("element/{element}/value"), json!({"text": text})).await;
    }

    /// Presses keys, whatever has the focus; special ones as the protocol's table has them.
    pub async fn presses(&self, keys: &str) {
        let strokes: Vec<_> = keys
            .chars()
            .flat_map(|key| {
                [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})]
            })
            .collect();
        self.post("actions", json!({"actions": [{"type": "key", "id": "keys", "actions": strokes}]})).await;
    }

    /// The text that can be seen there; empty if it is hidden.
    pub async fn reads(&self, css: &str) -> String {
        let element = self.element(css).await;
        self.get(&format!("element/{element}/text")).await.as_str().expect("a text").to_owned()
    }

    /// Runs a script, the body of a function, and returns what that returns.
    pub async fn runs(&self, script: &str) -> Value {
        self.post("execute/sync", json!({"script": script, "args": []})).await
    }

    /// Has every page from now on write down, in `window.asked`, what it sends to a method over gRPC-Web.
    pub async fn overhears(&self, method: &str) {
        let script = format!(
            "window.asked = [];
             const ask = window.fetch;
             window.fetch = (to, how) => {{
                 if (String(to).endsWith('/{method}')) {{
                     window.asked.push(String.fromCharCode(...new Uint8Array(how.body)));
                 }}
                 return ask(to, how);
             }};"
        );
        self.commands("Page.addScriptToEvaluateOnNewDocument", json!({"source": script})).await;
    }

    /// Waits until something stands in what can be seen there.
    pub async fn sees(&self, css: &str, text: &str) {
        eventually(async || self.reads(css).await.contains(text)).await;
    }

    /// What the browser complained of since it was last asked: errors of scripts and of the policy.
    pub async fn complaints(&self) -> Vec<String> {
        let entries = self.post("se/log", json!({"type": "browser"})).await;
        let entries = entries.as_array().expect("a list").iter().filter(|entry| entry["level"] == "SEVERE");
        entries.map(|entry| entry["message"].as_str().expect("a text").to_owned()).collect()
    }

    /// Keeps what it sees, all of the page, in `target/screenshots`.
    pub async fn keeps(&self, name: &str) {
        let whole = self.commands("Page.captureScreenshot", json!({"captureBeyondViewport": true})).await;
        let picture = BASE64_STANDARD.decode(whole["data"].as_str().expect("a picture")).expect("base64");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is a folder of the target's");
        let folder = target.join("screenshots");
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        std::fs::write(folder.join(format!("{name}.png")), picture).expect("it can be written");
    }

    /// Ends it in an orderly way.
    pub async fn quits(self) {
        ask(&self.client, Method::DELETE, &self.session, None).await;
    }
}

impl Drop for Browser {
    /// A story that fails ends its browser, too: chromedriver alone would leave it running.
    fn drop(&mut self) {
        if let Some(group) = self.driver.id() {
            let _ = std::process::Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).status();
        }
    }
}

/// One command; its value.
async fn ask(client: &Client, method: Method, url: &str, body: Option<Value>) -> Value {
    let mut request = client.request(method, url);
    if let Some(body) = &body {
        request = request.json(body);
    }
    let answer = timeout(PATIENCE + LONGEST, request.send()).await.expect("it answers in time");
    let answer = answer.expect("chromedriver answers");
    let is_done = answer.status().is_success();
    let mut told: Value = answer.json().await.expect("chromedriver speaks JSON");
    let value = told["value"].take();
    assert!(is_done, "{url} {body:?}: {} {}", value["error"], value["message"]);
    value
}
