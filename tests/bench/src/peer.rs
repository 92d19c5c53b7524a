//! A peer in a process of its own, that measures itself for as long as it is told.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// Reads one line of JSON, then lines `WHAT SECONDS`, and answers each with a rate per second of processor time.
pub(crate) struct Peer {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Peer {
    pub(crate) fn start(command: &mut Command, first: &serde_json::Value) -> Result<Self, String> {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{program}: {error}"))?;
        let stdin = child.stdin.take().ok_or("its input")?;
        let stdout = BufReader::new(child.stdout.take().ok_or("its output")?);
        let mut peer = Self {
            child,
            stdin,
            stdout,
        };
        peer.say(&first.to_string())?;
        Ok(peer)
    }

    pub(crate) fn rate(&mut self, what: &str, slice: Duration) -> Result<f64, String> {
        self.say(&format!("{what} {}", slice.as_secs_f64()))?;
        let mut line = String::new();
        self.stdout
            .read_line(&mut line)
            .map_err(|error| format!("the peer: {error}"))?;
        line.trim()
            .parse()
            .map_err(|_| format!("the peer says {line:?}"))
    }

    fn say(&mut self, line: &str) -> Result<(), String> {
        writeln!(self.stdin, "{line}").map_err(|error| format!("the peer: {error}"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
