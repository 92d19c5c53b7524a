//! The demo as people start it.

use crate::world::{World, binary, port, turn};
use std::process::Command;

fn demo(dir: &std::path::Path, port: u16, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(binary())
        .args(["demo", "--exit", "--port", &port.to_string(), "--dir"])
        .arg(dir)
        .args(arguments)
        .output()
        .expect("the command runs");
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    (output.status.success(), text)
}

/// Stores, logs, keys and reports: nothing for other users of the machine.
fn others_can_read_nothing(folder: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let about = std::fs::symlink_metadata(&path).unwrap();
        let mode = about.permissions().mode() & 0o777;
        let most = if about.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode & !most, 0, "{} has mode {mode:o}", path.display());
        if about.is_dir() {
            others_can_read_nothing(&path);
        }
    }
}

#[test]
fn all_stories_are_told_and_a_second_start_shows_the_same() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let port = port();
    let (kept, first) = demo(folder.path(), port, &["--story", "all"]);
    assert!(kept, "{first}");
    for words in [
        "vaccination kept its promises",
        "payout kept its promises",
        "ms]",
    ] {
        assert!(first.contains(words), "{words} is missing in:\n{first}");
    }
    let (kept, again) = demo(folder.path(), port, &[]);
    assert!(kept, "{again}");
    assert!(
        again.contains("8 records, 1 grants, 3 readings"),
        "the vaccination wallet is not as it was:\n{again}"
    );
    assert!(
        again.contains("2 records, 1 grants, "),
        "the payout wallet is not as it was:\n{again}"
    );
    others_can_read_nothing(folder.path());
    let report = Command::new(binary())
        .arg("fsck")
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(
        report.status.success(),
        "{}",
        String::from_utf8_lossy(&report.stdout)
    );
}

#[test]
fn a_second_demo_on_one_directory_says_what_to_do() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let first = Command::new(binary())
        .args(["demo", "--port", &port().to_string(), "--dir"])
        .arg(folder.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let first = Ended(first);
    let began = std::time::Instant::now();
    while !folder.path().join("run").exists() {
        assert!(
            began.elapsed().as_secs() < 30,
            "the first demo does not start"
        );
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let second = Command::new(binary())
        .args(["demo", "--exit", "--dir"])
        .arg(folder.path())
        .output()
        .unwrap();
    drop(first);
    let text = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{text}");
    assert!(
        text.contains(
            "another demo runs on this directory: end it first, or choose another with --dir"
        ),
        "{text}"
    );
}

/// A demo that ends with the test; its processes end with it.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_unknown_story_is_an_error_that_names_those_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let (kept, text) = demo(folder.path(), port(), &["--story", "nonsense"]);
    assert!(!kept);
    assert!(text.contains("vaccination, payout"), "{text}");
}

#[tokio::test]
async fn a_story_is_told_with_one_validator_gone() {
    let world = World::start().await;
    world.take_away(&["node2"]);
    world.story("vaccination").await;
    world.give_back(&["node2"]);
    world.end().await;
}
