//! The `tegata` command at its edges: inputs without end, folders that are not there, links that lead elsewhere.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test"
)]

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tegata_ledger::store::Store;

fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tegata"))
}

/// Runs a command, which must end by itself within 20 s; gives exit code and everything printed.
fn run(command: &mut Command) -> (Option<i32>, String) {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
            panic!("{command:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    (status.code(), text)
}

#[test]
fn verify_reads_nothing_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let made = Command::new("mkfifo").arg(at("pipe")).status().unwrap();
    assert!(made.success());
    let long = std::fs::File::create(at("long")).unwrap();
    long.set_len((256 << 20) + 1).unwrap();
    for (path, words) in [
        (at("pipe"), "it is a pipe or a device"),
        (PathBuf::from("/dev/zero"), "it is a pipe or a device"),
        (folder.path().to_owned(), "it is a folder"),
        (
            at("long"),
            "it is longer than 256 MiB, the most that is read",
        ),
        (at("missing"), "No such file"),
    ] {
        let (code, text) = run(binary().arg("verify").arg(&path));
        assert_eq!(code, Some(2), "{path:?}: {text}");
        assert!(text.contains(words), "{path:?}: {text}");
        let (code, text) = run(binary()
            .args(["verify", "-", "--trust"])
            .arg(&path)
            .stdin(Stdio::null()));
        assert_eq!(code, Some(2), "--trust {path:?}: {text}");
    }
}

#[test]
fn a_genesis_file_is_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    for path in [folder.path(), Path::new("/dev/zero"), &pipe] {
        let (code, text) = run(binary()
            .args(["audit", "--ledger", "http://127.0.0.1:1", "--genesis"])
            .arg(path));
        assert_eq!(code, Some(2), "{path:?}: {text}");
        assert!(text.contains("it is not a file"), "{path:?}: {text}");
    }
}

#[test]
fn verify_stops_reading_a_standard_input_without_end() {
    let mut child = binary()
        .args(["verify", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let piece = vec![b'x'; 1 << 20];
    let written = (0..2_000).take_while(|_| input.write_all(&piece).is_ok());
    let written = written.count();
    let mut text = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(2), "{text}");
    assert!(text.contains("longer than 256 MiB"), "{text}");
    assert!((256..300).contains(&written), "{written} MiB were read");
}

#[test]
fn fsck_says_what_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = run(binary().arg("fsck").arg(folder.path().join("none")));
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("none: No such file or directory"), "{text}");
    let (code, text) = run(binary().arg("fsck").arg(folder.path()));
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("no node.toml, vault.toml"), "{text}");
    let (code, text) = run(binary().args(["fsck", "--json"]).arg(folder.path()));
    assert_eq!(code, Some(2), "{text}");
    let said: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(
        said["error"].as_str().unwrap().contains("no node.toml"),
        "{said}"
    );
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let (code, text) = run(binary().arg("fsck").arg(&file));
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("Not a directory"), "{text}");
}

/// What lies in a folder, names of files too, does not write the verdict on it.
#[test]
fn fsck_and_services_quote_what_they_read() {
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("x\u{1b}[8m\u{200b}");
    std::fs::create_dir(&below).unwrap();
    let forged = "home = \n✓ all sound\u{1b}[8m";
    std::fs::write(below.join("node.toml"), forged).unwrap();
    let service = |name: &str| {
        let mut command = binary();
        command
            .args([name, "--config"])
            .arg(below.join("node.toml"));
        run(&mut command)
    };
    for (code, text) in [
        run(binary().arg("fsck").arg(folder.path())),
        run(binary().arg("fsck").arg(folder.path().join("\u{1b}[8m"))),
        service("node"),
        service("vault"),
    ] {
        assert_ne!(code, Some(0), "{text}");
        assert!(
            !text.contains(['\u{1b}', '\u{200b}']),
            "obeyed by a terminal: {text:?}"
        );
        assert!(!text.lines().any(|line| line.starts_with('✓')), "{text:?}");
    }
}

/// A node's folder as `tegata demo` makes it, without running it.
fn node(folder: &Path) -> Store {
    use tegata_consent::cose::public_key;
    use tegata_consent::genesis::Genesis;
    use tegata_consent::header::Validator;
    use tegata_consent::ids::Nonce;
    use tegata_consent::state::Parameters;
    let key = public_key(&ed25519_dalek::SigningKey::from_bytes(&[1; 32]));
    let genesis = Genesis {
        name: "test".into(),
        time_ms: 1_800_000_000_000,
        nonce: Nonce([1; 16]),
        validators: vec![Validator { key, power: 1 }],
        operators: vec![key],
        parameters: Parameters {
            sponsor_entries_per_hour: 50,
        },
    };
    tegata_service::genesis::save(folder.join("genesis.json"), &genesis).unwrap();
    let config = "home = \".\"\ngenesis = \"genesis.json\"\nconsensus_key = \"c\"\nnetwork_key = \"n\"\n\
        consensus_listen = \"127.0.0.1:1\"\nmempool_listen = \"127.0.0.1:2\"\npeers = []\n\
        [http]\nlisten = \"127.0.0.1:3\"\npublic_url = \"http://127.0.0.1:3\"\n";
    std::fs::write(folder.join("node.toml"), config).unwrap();
    Store::open(&folder.join("store"), &genesis).unwrap()
}

#[test]
fn fsck_of_a_store_in_use_says_to_stop_the_service() {
    let folder = tempfile::tempdir().unwrap();
    let in_use = node(folder.path());
    let (code, text) = run(binary().arg("fsck").arg(folder.path()));
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("stop the service first"), "{text}");
    let (code, text) = run(binary().args(["fsck", "--json"]).arg(folder.path()));
    assert_eq!(code, Some(2), "{text}");
    let found: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(found[0]["checked"], false, "{found}");
    assert!(found[0]["sound"].is_null(), "{found}");
    drop(in_use);
    let (code, text) = run(binary().arg("fsck").arg(folder.path()));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("0 blocks, 0 entries"), "{text}");
}

#[test]
fn fsck_of_a_lost_store_says_so_and_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    drop(node(folder.path()));
    std::fs::remove_dir_all(folder.path().join("store")).unwrap();
    let before = std::fs::read_dir(folder.path()).unwrap().count();
    let (code, text) = run(binary().arg("fsck").arg(folder.path()));
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("store: it is lost, or the node never ran"),
        "{text}"
    );
    let after = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(before, after, "fsck made something");
    let empty = tempfile::tempdir().unwrap();
    let vault = tegata_vault::fsck(empty.path(), |_| ()).unwrap_err();
    let issuer = tegata_issuer::fsck(empty.path(), |_| ()).unwrap_err();
    for error in [vault.to_string(), issuer.to_string()] {
        assert!(error.contains("there is no store in"), "{error}");
    }
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn the_wallets_server_follows_no_link_out_of_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().join("dist");
    std::fs::create_dir_all(files.join("assets")).unwrap();
    for (name, text) in [
        ("dist/index.html", "the wallet"),
        ("dist/assets/app.js", "its code"),
        ("config.json", "{}"),
        ("secret", "a secret"),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let link = |to: PathBuf, name: &str| std::os::unix::fs::symlink(to, files.join(name)).unwrap();
    link(files.join("assets/app.js"), "same.js");
    link(folder.path().join("secret"), "leak");
    link(folder.path().to_owned(), "up");
    link(folder.path().join("secret"), "assets/app.js.br");
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut server = binary()
        .args([
            "wallet",
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--files",
        ])
        .arg(&files)
        .arg("--config")
        .arg(folder.path().join("config.json"))
        .spawn()
        .unwrap();
    let get = async |path: &str, encoding: &str| {
        let request = reqwest::Client::new().get(format!("http://127.0.0.1:{port}{path}"));
        let answer = request.header("accept-encoding", encoding).send().await?;
        Ok::<_, reqwest::Error>((answer.status().as_u16(), answer.text().await?))
    };
    let began = Instant::now();
    while get("/readyz", "identity").await.is_err() {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "it does not start"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut found = Vec::new();
    for (path, encoding) in [
        ("/", "identity"),
        ("/same.js", "identity"),
        ("/leak", "identity"),
        ("/%6ceak", "identity"),
        ("/up/secret", "identity"),
        ("/up/dist/index.html", "identity"),
        ("/assets/app.js", "br"),
        ("/assets/../../secret", "identity"),
        ("/%2e%2e/secret", "identity"),
    ] {
        found.push((path, get(path, encoding).await.unwrap()));
    }
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(found[0].1, (200, "the wallet".to_owned()));
    assert_eq!(found[1].1, (200, "its code".to_owned()), "a link within");
    for (path, (status, text)) in &found[2..] {
        if path.starts_with("/up/dist") {
            assert_eq!(
                (*status, text.as_str()),
                (200, "the wallet"),
                "it leads back in"
            );
            continue;
        }
        assert_eq!(*status, 404, "{path}");
        assert!(!text.contains("secret"), "{path}: {text}");
    }
}

#[test]
fn a_demo_without_its_wallet_says_what_to_build() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = run(binary()
        .args(["demo", "--exit", "--wallet"])
        .arg(folder.path().join("dist"))
        .arg("--dir")
        .arg(folder.path().join("demo")));
    assert_ne!(code, Some(0));
    assert!(text.contains("make wallet"), "{text}");
}

#[test]
fn an_import_that_cannot_begin_says_why_in_words_or_in_json() {
    let folder = tempfile::tempdir().unwrap();
    let [file, token] = ["rows.csv", "token"].map(|name| folder.path().join(name));
    std::fs::write(&file, "").unwrap();
    std::fs::write(&token, "secret").unwrap();
    let import = |token: &Path, more: &[&str]| {
        let mut command = binary();
        command.args(["issuer", "import"]).arg(&file);
        command.args(["--issuer", "http://127.0.0.1:1", "--token-file"]);
        let output = command.arg(token).args(more).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(output.status.code(), Some(2));
        (text(&output.stdout), text(&output.stderr))
    };
    let missing = folder.path().join("missing");
    for (token, code) in [
        (&missing, "file-unreadable"),
        (&token, "issuer-unreachable"),
    ] {
        let (told, errors) = import(token, &["--json"]);
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(
            (told["error"]["code"].as_str(), errors.as_str()),
            (Some(code), "")
        );
        assert!(told["error"]["detail"].is_string());
        let (told, errors) = import(token, &[]);
        assert_eq!(told, "");
        assert!(
            errors.contains("tegata: ") && !errors.contains("secret"),
            "{errors}"
        );
    }
}
