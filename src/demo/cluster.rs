//! Real processes on loopback: starts them, restarts what dies, and stops them all.
//!
//! A file `DIR/hold/NAME` keeps process NAME from being started again while the demo runs, so that outside tools (and the
//! scenario tests) can take processes away for a while. Process ids are in `DIR/run/NAME.pid`. A child ends when the pipe to
//! its standard input closes, so none outlives the demo, even one ended by `kill -9`.

use std::collections::BTreeMap;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What `kill -9` sends.
const SIGKILL: i32 = 9;

/// One process: its name and the arguments of `tegata`.
#[derive(Debug, Clone)]
pub struct Process {
    /// Name, also of its log and pid file.
    pub name: String,
    /// Arguments of the `tegata` command.
    pub arguments: Vec<String>,
    /// Where its readiness is asked: `GET {url}/readyz`.
    pub url: String,
}

/// Running processes.
pub struct Cluster {
    dir: PathBuf,
    processes: Vec<Process>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    restarts: Arc<Mutex<BTreeMap<String, u32>>>,
}

/// Why processes did not come up.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A file could not be written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A process did not become ready.
    #[error(
        "{name} is not ready after {waited_s} s. Its log ends with:\n{log}\n(whole log: {path})"
    )]
    NotReady {
        /// Which.
        name: String,
        /// How long it was waited for.
        waited_s: u64,
        /// End of its log.
        log: String,
        /// Its log file.
        path: PathBuf,
    },
}

impl Cluster {
    /// Starts all processes with the given `tegata` binary.
    ///
    /// # Errors
    /// [`ClusterError::File`] where the directory is not writable.
    pub fn start(binary: &Path, dir: &Path, processes: Vec<Process>) -> Result<Self, ClusterError> {
        // of a demo that was killed while it kept processes away
        let _ = std::fs::remove_dir_all(dir.join("hold"));
        for folder in ["logs", "run", "hold"] {
            let path = dir.join(folder);
            let mut builder = std::fs::DirBuilder::new();
            let made = builder.recursive(true).mode(0o700).create(&path);
            made.map_err(|error| ClusterError::File { path, error })?;
        }
        let (stop, stopping) = watch::channel(false);
        let restarts = Arc::new(Mutex::new(BTreeMap::new()));
        let keep = |process: &Process| {
            let (binary, dir, process) = (binary.to_owned(), dir.to_owned(), process.clone());
            tokio::spawn(keep_running(
                binary,
                dir,
                process,
                stopping.clone(),
                Arc::clone(&restarts),
            ))
        };
        let tasks = processes.iter().map(keep).collect();
        Ok(Self {
            dir: dir.to_owned(),
            processes,
            stop,
            tasks,
            restarts,
        })
    }

    /// Waits until every process that is not held says that it is ready.
    ///
    /// # Errors
    /// [`ClusterError::NotReady`], with the end of its log.
    pub async fn ready(&self, within: Duration) -> Result<(), ClusterError> {
        self.ready_some(&self.processes, within).await
    }

    /// As [`Self::ready`], for some of the processes.
    ///
    /// # Errors
    /// [`ClusterError::NotReady`], with the end of its log.
    pub async fn ready_some(&self, some: &[Process], within: Duration) -> Result<(), ClusterError> {
        let started = Instant::now();
        for process in some {
            if self.held(&process.name) {
                continue;
            }
            while !answers(&process.url).await {
                if started.elapsed() > within {
                    let path = log_path(&self.dir, &process.name);
                    let log = std::fs::read_to_string(&path).unwrap_or_default();
                    let tail: Vec<_> = log.lines().rev().take(8).collect();
                    let log = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
                    return Err(ClusterError::NotReady {
                        name: process.name.clone(),
                        waited_s: within.as_secs(),
                        log,
                        path,
                    });
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    /// Sends SIGKILL to a process. It is started again unless held.
    pub fn kill(&self, name: &str) -> std::io::Result<()> {
        let pid = self.pid(name)?.to_string();
        let status = std::process::Command::new("kill")
            .args(["-9", &pid])
            .stderr(Stdio::null())
            .status()?;
        if status.success() {
            Ok(())
        } else {
            Err(std::io::Error::other(format!("kill -9 of {name} failed")))
        }
    }

    /// The names of all processes.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let names = self.processes.iter().map(|process| process.name.clone());
        names.collect()
    }

    /// The process id of a process as it was last started.
    pub fn pid(&self, name: &str) -> std::io::Result<u32> {
        let path = self.dir.join("run").join(format!("{name}.pid"));
        let text = std::fs::read_to_string(path)?;
        text.trim().parse().map_err(std::io::Error::other)
    }

    /// Keeps a process from being started again once it ends.
    pub fn hold(&self, name: &str) -> std::io::Result<()> {
        std::fs::write(self.dir.join("hold").join(name), "")
    }

    /// Lets a held process start again.
    pub fn release(&self, name: &str) -> std::io::Result<()> {
        std::fs::remove_file(self.dir.join("hold").join(name))
    }

    /// How often each process was started again.
    #[must_use]
    pub fn restarts(&self) -> BTreeMap<String, u32> {
        self.restarts
            .lock()
            .map(|restarts| restarts.clone())
            .unwrap_or_default()
    }

    /// Stops all processes and waits for their end.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            let _ = task.await;
        }
    }

    fn held(&self, name: &str) -> bool {
        self.dir.join("hold").join(name).exists()
    }
}

/// Starts a process again and again until told to stop; with growing pauses when it ends at once by itself.
async fn keep_running(
    binary: PathBuf,
    dir: PathBuf,
    process: Process,
    mut stopping: watch::Receiver<bool>,
    restarts: Arc<Mutex<BTreeMap<String, u32>>>,
) {
    let mut pause = Duration::from_millis(200);
    let hold = dir.join("hold").join(&process.name);
    loop {
        while hold.exists() && !*stopping.borrow() {
            let _ = tokio::time::timeout(Duration::from_millis(200), stopping.changed()).await;
        }
        if *stopping.borrow() {
            return;
        }
        let started = Instant::now();
        let mut killed = false;
        match spawn(&binary, &dir, &process) {
            Ok(mut child) => {
                let input = child.stdin.take();
                tokio::select! {
                    ended = child.wait() => {
                        // somebody took it away; that says nothing about whether it can run
                        killed = ended.is_ok_and(|status| status.signal() == Some(SIGKILL));
                    }
                    _ = stopping.changed() => {
                        drop(input);
                        if tokio::time::timeout(Duration::from_secs(10), child.wait()).await.is_err() {
                            let _ = child.kill().await;
                        }
                        return;
                    }
                }
            }
            Err(error) => tracing::error!(name = process.name, %error, "cannot start"),
        }
        pause = if killed || started.elapsed() > Duration::from_secs(5) {
            Duration::from_millis(200)
        } else {
            (pause * 2).min(Duration::from_secs(5))
        };
        if let Ok(mut restarts) = restarts.lock() {
            *restarts.entry(process.name.clone()).or_default() += 1;
        }
        let _ = tokio::time::timeout(pause, stopping.changed()).await;
    }
}

fn spawn(binary: &Path, dir: &Path, process: &Process) -> std::io::Result<tokio::process::Child> {
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(log_path(dir, &process.name))?;
    let child = Command::new(binary)
        .args(&process.arguments)
        .arg("--exit-with-input")
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()?;
    if let Some(pid) = child.id() {
        std::fs::write(
            dir.join("run").join(format!("{}.pid", process.name)),
            pid.to_string(),
        )?;
    }
    Ok(child)
}

fn log_path(dir: &Path, name: &str) -> PathBuf {
    dir.join("logs").join(format!("{name}.log"))
}

async fn answers(url: &str) -> bool {
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(2))
        .build();
    let Ok(client) = client else { return false };
    client
        .get(format!("{url}/readyz"))
        .send()
        .await
        .is_ok_and(|answer| answer.status().is_success())
}
