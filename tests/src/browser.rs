//! Chromium without a screen, in a network namespace that leads nowhere: what a page shows, says on its console and asks for.
//!
//! Spoken to by the DevTools protocol over a pipe (`--remote-debugging-pipe`: JSON, each message ended by a zero byte).

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::lab::netns::Netns;

/// Beyond it, the browser counts as hanging.
const LIMIT: Duration = Duration::from_secs(60);

/// A browser with one tab.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    last: u64,
    tab: Option<String>,
    events: Vec<Value>,
    _profile: TempDir,
    _nowhere: Netns,
}

/// How a reader sees it.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// CSS pixels.
    pub width: u32,
    /// CSS pixels.
    pub height: u32,
    /// A touch screen that tells its own width.
    pub phone: bool,
    /// Asks for dark pages.
    pub dark: bool,
}

impl Browser {
    /// Starts it.
    pub fn start() -> Result<Self> {
        let nowhere = Netns::new("browser")?;
        let profile = tempfile::tempdir()?;
        let mut command: Command = nowhere.command("sh");
        command.args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null", "chromium"]);
        command.args([
            "--headless",
            "--remote-debugging-pipe",
            // It refuses to run as root with one. What it shows is our own, and there is no network.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--hide-scrollbars",
        ]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        let log = std::fs::File::create(profile.path().join("stderr"))?;
        let mut child = command
            .env("HOME", profile.path())
            .env("DBUS_SESSION_BUS_ADDRESS", "disabled:")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .context("setpriv: cannot be started; apt-get install util-linux")?;
        let to = child.stdin.take().context("no pipe")?;
        let out = child.stdout.take().context("no pipe")?;
        let (sender, from) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(out).split(0).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else {
                    break;
                };
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let mut browser = Self {
            child,
            to,
            from,
            last: 0,
            tab: None,
            events: Vec::new(),
            _profile: profile,
            _nowhere: nowhere,
        };
        browser.open_tab()?;
        Ok(browser)
    }

    fn open_tab(&mut self) -> Result<()> {
        let target = self.ask("Target.createTarget", &json!({ "url": "about:blank" }))?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = self.ask("Target.attachToTarget", &attach)?;
        self.tab = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Network", "Log", "Runtime"] {
            self.ask(&format!("{domain}.enable"), &json!({}))?;
        }
        Ok(())
    }

    /// Calls a method of the protocol.
    pub fn ask(&mut self, method: &str, params: &Value) -> Result<Value> {
        self.last += 1;
        let mut request = json!({ "id": self.last, "method": method, "params": params });
        if let Some(tab) = &self.tab {
            request["sessionId"] = json!(tab);
        }
        let mut bytes = serde_json::to_vec(&request)?;
        bytes.push(0);
        self.to.write_all(&bytes).with_context(|| self.gone(method))?;
        loop {
            let message = self.from.recv_timeout(LIMIT).with_context(|| self.gone(method))?;
            if message["id"] != json!(self.last) {
                self.events.push(message);
                continue;
            }
            if !message["error"].is_null() {
                bail!("chromium: {method}: {}", message["error"]);
            }
            return Ok(message["result"].clone());
        }
    }

    fn gone(&self, method: &str) -> String {
        let said = std::fs::read_to_string(self._profile.path().join("stderr")).unwrap_or_default();
        format!("chromium gave no answer to {method}; apt-get install chromium. It said: {said}")
    }

    /// Loads the file, as `screen` shows it. What was noticed of the page before is forgotten.
    pub fn show(&mut self, file: &Path, screen: Screen) -> Result<()> {
        let metrics =
            json!({ "width": screen.width, "height": screen.height, "deviceScaleFactor": 1, "mobile": screen.phone });
        self.ask("Emulation.setDeviceMetricsOverride", &metrics)?;
        let scheme = if screen.dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.ask("Emulation.setEmulatedMedia", &media)?;
        self.events.clear();
        let url = format!("file://{}", file.display());
        let answer = self.ask("Page.navigate", &json!({ "url": url }))?;
        if !answer["errorText"].is_null() {
            bail!("{url}: {}", answer["errorText"]);
        }
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self
                .from
                .recv_timeout(LIMIT)
                .with_context(|| self.gone("Page.navigate"))?;
            self.events.push(event);
        }
        // What the page starts by itself once it is there.
        self.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")?;
        Ok(())
    }

    /// An expression's value in the page.
    pub fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.ask("Runtime.evaluate", &params)?;
        if !answer["exceptionDetails"].is_null() {
            bail!("{expression}: {}", answer["exceptionDetails"]);
        }
        Ok(answer["result"]["value"].clone())
    }

    /// What the page asked for beside itself: addresses of all kinds but `data:`.
    pub fn requests(&self) -> Vec<String> {
        let sent = self
            .events
            .iter()
            .filter(|event| event["method"] == "Network.requestWillBeSent");
        sent.filter(|event| event["params"]["type"] != "Document")
            .filter_map(|event| event["params"]["request"]["url"].as_str())
            .filter(|url| !url.starts_with("data:"))
            .map(str::to_owned)
            .collect()
    }

    /// What was said on the console: by the browser of the page, and by the page.
    pub fn complaints(&self) -> Vec<String> {
        let kinds = ["Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"];
        let said = |event: &&Value| kinds.iter().any(|kind| event["method"] == *kind);
        self.events
            .iter()
            .filter(said)
            .map(|event| event["params"].to_string())
            .collect()
    }

    /// The whole page as PNG.
    pub fn picture(&mut self) -> Result<Vec<u8>> {
        let answer = self.ask(
            "Page.captureScreenshot",
            &json!({ "captureBeyondViewport": true, "format": "png" }),
        )?;
        decoded(&answer)
    }

    /// As it would be printed on A4: a PDF.
    pub fn print(&mut self) -> Result<Vec<u8>> {
        let paper = json!({ "paperWidth": 8.27, "paperHeight": 11.69, "preferCSSPageSize": true });
        let answer = self.ask("Page.printToPDF", &paper)?;
        decoded(&answer)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its own processes end with it.
        let _ = self.ask("Browser.close", &json!({}));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn decoded(answer: &Value) -> Result<Vec<u8>> {
    let data = answer["data"].as_str().context("no data")?;
    Ok(BASE64.decode(data)?)
}
