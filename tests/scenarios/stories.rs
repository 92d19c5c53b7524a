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
fn an_unknown_story_is_an_error_that_names_those_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let (kept, text) = demo(folder.path(), 1, &["--story", "nonsense"]);
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
