//! The demo as people start it.

use crate::world::{World, binary, port, turn};
use std::process::Command;
use tegata::demo::setup::Demo;

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
        "present kept its promises",
        "ms]",
    ] {
        assert!(first.contains(words), "{words} is missing in:\n{first}");
    }
    let pictures = std::fs::read_dir(folder.path().join("screenshots")).unwrap();
    let pictures: Vec<_> = pictures
        .flat_map(|story| std::fs::read_dir(story.unwrap().path()).unwrap())
        .map(|picture| picture.unwrap().file_name().into_string().unwrap())
        .collect();
    for picture in ["2-asked-390.png", "3-shown-390.png"] {
        assert!(pictures.iter().any(|name| name == picture), "{pictures:?}");
    }
    let (kept, other) = demo(folder.path(), port + 1, &[]);
    assert!(!kept, "{other}");
    let words = format!("has the ports from {port} on, chosen at its first start");
    assert!(other.contains(&words), "{other}");
    // as a demo leaves it that is killed while the ledger is stopped
    for node in 0..4 {
        std::fs::write(folder.path().join(format!("hold/node{node}")), "").unwrap();
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
fn a_browser_that_is_not_there_is_named_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(binary())
        .args(["demo", "--exit", "--story", "present", "--dir"])
        .arg(folder.path())
        .args(["--watch", "--wallet", "/nowhere/dist"])
        .env("CHROMIUM", "/nowhere/chromium")
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for words in [
        "Chromium (no /nowhere/chromium)",
        "a screen to --watch",
        "the built wallet (none in /nowhere/dist)",
        "`make setup` installs",
    ] {
        assert!(text.contains(words), "{words} is missing in: {text}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_wallet_has_an_address_only_where_one_is_served() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let (port, mut rng) = (port(), rand::make_rng::<rand::rngs::StdRng>());
    for served in [false, true, false] {
        Demo::load_or_create(folder.path(), Some(port), served, &mut rng).unwrap();
        let written = std::fs::read(folder.path().join("demo.json")).unwrap();
        let written: Demo = serde_json::from_slice(&written).unwrap();
        assert_eq!(written.wallet.is_some(), served);
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
