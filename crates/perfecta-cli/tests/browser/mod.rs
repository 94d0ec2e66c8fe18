//! A headless Chromium, told what to do in its own protocol over two pipes: no driver program, no
//! port, and nothing to keep in step with its version.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "what is skipped is worth knowing")]

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A browser that says nothing for so long hangs.
const SILENCE_MAX: Duration = Duration::from_secs(120);

const FLAGS: [&str; 12] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--lang=en-GB",
    "--remote-debugging-pipe",
];

/// A browser with one page; it ends with the test, whatever comes.
pub(crate) struct Browser {
    child: Child,
    orders: ChildStdin,
    answers: Receiver<Value>,
    num_orders: u64,
    /// Of the page; none before there is one.
    session: Option<String>,
    complaints: Vec<String>,
    _profile: TempDir,
}

impl Browser {
    /// None, aloud, where there is no browser to be had.
    pub(crate) fn open() -> Option<Self> {
        let Some(program) = program() else {
            let is_required = env::var_os("PERFECTA_TOOLS").is_some_and(|word| word == "required");
            assert!(!is_required, "there is no chromium: apt-get install chromium");
            println!("skipped: there is no chromium to look at the dashboard with");
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        // Its protocol is spoken on descriptors 3 and 4, which a shell makes of the usual ones.
        let mut child = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#])
            .arg(program)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .env("HOME", profile.path())
            // What it leaves when it is killed goes with its profile.
            .env("TMPDIR", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = child.stdin.take().unwrap();
        let answers = listen(child.stdout.take().unwrap());
        let (num_orders, session, complaints) = (0, None, Vec::new());
        let mut browser =
            Self { child, orders, answers, num_orders, session, complaints, _profile: profile };
        browser.open_page();
        Some(browser)
    }

    fn open_page(&mut self) {
        let page = self.order("Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": page["targetId"], "flatten": true});
        let attached = self.order("Target.attachToTarget", &attach);
        self.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            self.order(domain, &json!({}));
        }
    }

    /// Goes to an address, and returns when it is there.
    pub(crate) fn visit(&mut self, address: &str) {
        let gone = self.order("Page.navigate", &json!({"url": address}));
        assert!(gone["errorText"].is_null(), "{address}: {gone}");
        self.until("document.readyState === 'complete'");
    }

    /// Looks again from the beginning, as a reader who reloads.
    pub(crate) fn reload(&mut self) {
        self.script("window.isOld = true");
        self.order("Page.reload", &json!({}));
        self.until("!window.isOld && document.readyState === 'complete'");
    }

    /// What an expression comes to on the page.
    pub(crate) fn script(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let answer = self.order("Runtime.evaluate", &asked);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Returns when an expression holds on the page, with what it comes to.
    pub(crate) fn until(&mut self, expression: &str) -> Value {
        // Asked for anew each time: a page that goes away would never answer.
        for _ in 0..6_000 {
            let later = format!(
                "new Promise((told) => setTimeout(() => told((() => {{ try {{ return {expression}; }} \
                 catch {{ return null; }} }})()), 20))"
            );
            let asked = json!({"expression": later, "awaitPromise": true, "returnByValue": true});
            let value = &self.order("Runtime.evaluate", &asked)["result"]["value"];
            if !matches!(value, Value::Null | Value::Bool(false)) {
                return value.clone();
            }
        }
        let text = self.script("document.body.innerText");
        panic!("never: {expression}\ncomplaints: {:?}\n{}", self.complaints, text);
    }

    /// Presses a key where the focus is.
    pub(crate) fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Enter" => (13, "\r"),
            "Tab" => (9, ""),
            "Escape" => (27, ""),
            _ => panic!("no key {key}"),
        };
        for r#type in ["keyDown", "keyUp"] {
            let pressed = json!({"type": r#type, "key": key, "code": key,
                "windowsVirtualKeyCode": code, "text": if r#type == "keyDown" { text } else { "" }});
            self.order("Input.dispatchKeyEvent", &pressed);
        }
    }

    /// Is so wide, and light or dark.
    pub(crate) fn look(&mut self, width: u32, scheme: &str) {
        let size =
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500});
        self.order("Emulation.setDeviceMetricsOverride", &size);
        let scheme = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.order("Emulation.setEmulatedMedia", &scheme);
    }

    /// A picture of the whole page below the tests' directory.
    pub(crate) fn picture(&mut self, name: &str) {
        let whole = json!({"format": "png", "captureBeyondViewport": true});
        let picture = self.order("Page.captureScreenshot", &whole);
        let bytes = BASE64_STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboard");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(format!("{name}.png")), bytes).unwrap();
    }

    /// Errors, warnings and violations that the browser told of since the last time.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        // What was told before this answer has arrived with it.
        self.script("0");
        std::mem::take(&mut self.complaints)
    }

    fn order(&mut self, method: &str, parameters: &Value) -> Value {
        self.num_orders += 1;
        let id = self.num_orders;
        let mut order = json!({"id": id, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            order["sessionId"] = session.as_str().into();
        }
        self.orders.write_all(format!("{order}\0").as_bytes()).unwrap();
        loop {
            let told = self.answers.recv_timeout(SILENCE_MAX);
            let mut told = told.unwrap_or_else(|error| panic!("{method}: {error}"));
            if told["id"] == id {
                // A page that is just going away comes to nothing.
                assert!(told["error"].is_null() || method == "Runtime.evaluate", "{told}");
                return told["result"].take();
            }
            self.complaints.extend(complaint(&told));
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the browser is, if there is one.
fn program() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .flat_map(|directory| names.map(|name| directory.join(name)))
        .find(|program| program.is_file())
}

/// Messages end with a zero each.
fn listen(pipe: ChildStdout) -> Receiver<Value> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for message in BufReader::new(pipe).split(0) {
            let Ok(message) = message else { break };
            if sender.send(serde_json::from_slice(&message).unwrap()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// What is wrong by an event, if it tells of something wrong.
fn complaint(event: &Value) -> Option<String> {
    let told = &event["params"];
    match event["method"].as_str()? {
        "Runtime.exceptionThrown" => Some(told["exceptionDetails"].to_string()),
        "Runtime.consoleAPICalled" => Some(told["args"].to_string()),
        "Log.entryAdded" => Some(format!("{} {}", told["entry"]["text"], told["entry"]["url"])),
        _ => None,
    }
}
