//! A real browser with the built wallet in it, for the story `present`. The guardian's hands and eyes are
//! `tests/browser/present.mjs`, which shares them with the browser tests: it reads what she does as JSON, line by line, and
//! answers once she sees that it is done.

use super::steps::Broken;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Until a step must be done, the browser's start included.
const STEP: Duration = Duration::from_secs(120);
/// Until the browser must have ended after its last step.
const END: Duration = Duration::from_secs(10);

/// A browser with a fresh profile. It ends with the pipe to it, so it does not outlive the demo.
pub(super) struct Browser {
    child: Child,
    input: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Browser {
    /// Starts one, which keeps its pictures in a folder. `watch`: on the screen, for people to follow.
    pub(super) fn start(pictures: &Path, watch: bool) -> Result<Self, Broken> {
        let broken = |error: std::io::Error| Broken(format!("node: {error}"));
        let mut child = Command::new("node")
            .arg("present.mjs")
            .args(watch.then_some("--watch"))
            .current_dir(sources("tests/browser"))
            .env("CHROMIUM", chromium())
            .env("TEGATA_SHOTS", pictures)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(broken)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Broken("node: no pipe".into()));
        };
        Ok(Self {
            child,
            input,
            answers: BufReader::new(output).lines(),
        })
    }

    /// Does a step, with what it needs; gives what the guardian's eyes make of it.
    pub(super) async fn does(&mut self, step: &str, mut what: Value) -> Result<Value, Broken> {
        what["step"] = json!(step);
        let answer = tokio::time::timeout(STEP, self.ask(what)).await;
        let answer = answer.map_err(|_| Broken(format!("the browser is stuck at {step:?}")))?;
        let answer = answer.map_err(|error| Broken(format!("the browser at {step:?}: {error}")))?;
        match answer["error"].as_str() {
            None => Ok(answer),
            Some(error) => Err(Broken(format!("the browser at {step:?}: {error}"))),
        }
    }

    async fn ask(&mut self, what: Value) -> std::io::Result<Value> {
        let line = format!("{what}\n");
        self.input.write_all(line.as_bytes()).await?;
        let answer = self.answers.next_line().await?;
        let answer = answer.ok_or_else(|| std::io::Error::other("it ended"))?;
        Ok(serde_json::from_str(&answer)?)
    }

    /// Ends it, whatever it does.
    pub(super) async fn end(mut self) {
        drop(self.input);
        if tokio::time::timeout(END, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

/// The wallet of these sources, where it is built.
pub(super) fn built_wallet() -> Option<PathBuf> {
    let folder = sources("wallet-web/dist");
    folder.join("index.html").is_file().then_some(folder)
}

/// What the story needs and is not here, in words. `watch`: a screen as well.
pub(super) fn missing(wallet: Option<&Path>, watch: bool) -> Vec<String> {
    let mut missing = Vec::new();
    let node = std::process::Command::new("node")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !node.is_ok_and(|status| status.success()) {
        missing.push("Node.js (`node`)".to_owned());
    }
    let chromium = PathBuf::from(chromium());
    if !chromium.is_file() {
        missing.push(format!("Chromium (no {})", chromium.display()));
    }
    let screen = ["DISPLAY", "WAYLAND_DISPLAY"].map(std::env::var_os);
    if watch && screen.iter().all(Option::is_none) {
        missing.push("a screen to --watch (DISPLAY is not set)".to_owned());
    }
    for package in [
        "tests/browser/node_modules/playwright-core",
        "tests/interop/node_modules/@openid4vc/openid4vp",
    ] {
        let folder = sources(package);
        if !folder.is_dir() {
            missing.push(format!("npm packages (no {})", folder.display()));
        }
    }
    if !wallet.is_some_and(|files| files.join("index.html").is_file()) {
        let files = wallet.map_or_else(|| sources("wallet-web/dist"), Path::to_path_buf);
        missing.push(format!("the built wallet (none in {})", files.display()));
    }
    missing
}

/// A folder of the sources that this command was built from.
pub(super) fn sources(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}

fn chromium() -> OsString {
    std::env::var_os("CHROMIUM").unwrap_or_else(|| "/usr/bin/chromium".into())
}
