//! A running demo for one scenario.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tegata::demo::patience::Patience;
use tegata::demo::stories::Stage;
use tegata::demo::{Running, STORY_PATIENCE};
use tegata_service::clock;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The `tegata` command that this build made.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_tegata"))
}

/// A demo in a directory of its own.
pub(crate) struct World {
    pub(crate) running: Running,
    folder: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// Waits for this scenario's turn.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first of a row of free ports, below those that clients are given.
pub(crate) fn port() -> u16 {
    let free = |port: &u16| {
        (*port..port + 24).all(|port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok())
    };
    let start = u16::try_from(std::process::id() % 400).expect("below 400");
    (0..400)
        .map(|step| 12_000 + (start + step) % 400 * 40)
        .find(free)
        .expect("24 free ports in a row")
}

impl World {
    #[expect(
        clippy::await_holding_lock,
        reason = "each test has a runtime of its own; the lock is its turn"
    )]
    pub(crate) async fn start() -> Self {
        let turn = turn();
        let folder = tempfile::tempdir().expect("a temporary directory");
        let running = Running::start(binary(), folder.path(), Some(port()), None)
            .await
            .expect("the demo comes up");
        Self {
            running,
            folder,
            _turn: turn,
        }
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.folder
            .path()
            .canonicalize()
            .expect("the directory is there")
    }

    pub(crate) fn stage<'a>(&'a self, dir: &'a Path) -> Stage<'a> {
        Stage {
            demo: &self.running.demo,
            dir,
            ledger: self.running.ledger.clone(),
            run: clock::now_ms(),
            patience: Patience::new(STORY_PATIENCE),
            watch: false,
            after_step: None,
        }
    }

    /// Tells a story; its broken promise fails the test.
    pub(crate) async fn story(&self, name: &str) {
        let dir = self.dir();
        if let Err(broken) = self.stage(&dir).tell(name).await {
            panic!("{name}: {broken}");
        }
    }

    /// Takes processes away: killed with SIGKILL, and kept away.
    pub(crate) fn take_away(&self, names: &[&str]) {
        for name in names {
            self.running.cluster.hold(name).expect("a hold file");
            let _ = self.running.cluster.kill(name); // it may have ended by itself
        }
    }

    /// Gives processes back.
    pub(crate) fn give_back(&self, names: &[&str]) {
        for name in names {
            self.running.cluster.release(name).expect("a hold file");
        }
    }

    pub(crate) async fn end(self) {
        self.running.cluster.stop().await;
    }
}

/// Asks again until `holds`, at most for `within`; gives how long it took.
pub(crate) async fn within<F: AsyncFnMut() -> bool>(
    within: Duration,
    what: &str,
    mut holds: F,
) -> Duration {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < within, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    started.elapsed()
}
