//! The house's own rules (`specs/ARCHITECTURE.md`): the arrows between crates, what the pure crates must not link, and which
//! module alone may name a vendor's types.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every arrow there may be.
const ARROWS: &[(&str, &[&str])] = &[
    ("tegata-consent", &[]),
    ("tegata-credential", &[]),
    ("tegata-records", &[]),
    ("tegata-w3c", &["tegata-credential", "tegata-records"]),
    ("tegata-service", &["tegata-consent"]),
    ("tegata-ledger", &["tegata-consent", "tegata-service"]),
    ("tegata-vault", &["tegata-consent", "tegata-service"]),
    (
        "tegata-issuer",
        &[
            "tegata-consent",
            "tegata-credential",
            "tegata-records",
            "tegata-service",
            "tegata-w3c",
        ],
    ),
    (
        "tegata-verifier",
        &[
            "tegata-consent",
            "tegata-credential",
            "tegata-records",
            "tegata-service",
            "tegata-w3c",
        ],
    ),
    ("tegata-wasm", &["tegata-consent", "tegata-credential"]),
    ("tegata-wasm-bindgen", &[]),
];

/// What a pure crate must not link, however indirectly.
const IMPURE: &[&str] = &[
    "tokio",
    "axum",
    "rocksdb",
    "libp2p",
    "reqwest",
    "hyper",
    "async-std",
    "ureq",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn metadata() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    serde_json::from_slice(&output.stdout).expect("cargo writes JSON")
}

#[test]
fn there_is_no_arrow_but_those_of_the_house() {
    let allowed: BTreeMap<_, BTreeSet<_>> = ARROWS
        .iter()
        .map(|(from, to)| (*from, to.iter().copied().collect()))
        .collect();
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(
        packages.len() >= ARROWS.len(),
        "all crates are members of the workspace"
    );
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        if name == "tegata" || name.starts_with("tegata-bench") {
            continue; // the command and the benchmarks know everything
        }
        let arrows = allowed
            .get(name)
            .unwrap_or_else(|| panic!("{name} has no place in the house"));
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let to = dependency["name"].as_str().expect("a name");
            if to.starts_with("tegata") && dependency["kind"] != "dev" {
                assert!(arrows.contains(to), "{name} must not depend on {to}");
            }
        }
    }
}

#[test]
fn pure_crates_link_no_network_runtime_or_store() {
    for name in [
        "tegata-consent",
        "tegata-credential",
        "tegata-records",
        "tegata-w3c",
    ] {
        let output = Command::new(env!("CARGO"))
            .args([
                "tree",
                "-p",
                name,
                "-e",
                "normal",
                "--prefix",
                "none",
                "--format",
                "{lib}",
                "--offline",
            ])
            .current_dir(root())
            .output()
            .expect("cargo runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let linked: BTreeSet<_> = String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .collect();
        assert!(linked.len() > 5, "{name}: the tree is empty");
        for crate_name in IMPURE {
            assert!(!linked.contains(*crate_name), "{name} links {crate_name}");
        }
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// `word` stands in code, which tests are not, only below `allowed`.
fn only_in(crates: &[&str], word: &str, allowed: &[&str]) {
    let mut files = Vec::new();
    for name in crates {
        sources(&root().join(name).join("src"), &mut files);
    }
    for file in files {
        let relative = file
            .strip_prefix(root())
            .expect("below the root")
            .display()
            .to_string();
        let is_test = file.file_name().is_some_and(|name| name == "tests.rs");
        if is_test || allowed.iter().any(|place| relative.starts_with(place)) {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("a source file");
        let code = text
            .split("\n#[cfg(test)]")
            .next()
            .expect("what stands before the tests");
        for (number, line) in code.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            assert!(
                !code.contains(word),
                "{relative}:{}: {word} belongs into {allowed:?}",
                number + 1
            );
        }
    }
}

#[test]
fn vendors_types_stay_in_their_module() {
    let services = ["ledger", "vault", "issuer", "verifier", "service"];
    only_in(&services, "malachite", &["ledger/src/consensus"]);
    let stores = [
        "ledger/src/store",
        "vault/src/store",
        "issuer/src/store",
        "verifier/src/store",
    ];
    only_in(&services, "rocksdb::", &stores);
    only_in(
        &["specs/credential"],
        "identity_",
        &[
            "specs/credential/src/sd_jwt",
            "specs/credential/src/status_list",
        ],
    );
    only_in(&["specs/w3c"], "ssi_", &["specs/w3c/src/jsonld"]);
}

/// The state machine depends on no catalogue; its closed lists must be what the catalogue says.
#[test]
fn the_state_machines_lists_are_the_catalogues() {
    use tegata_consent::codes::{CATEGORIES, CLAIMS, LEGAL_BASES, PURPOSES, TYPES};
    use tegata_records::{Category, LegalBasis, Purpose, catalogue};
    let list = |codes: &[&'static str]| BTreeSet::from_iter(codes.iter().copied());
    let categories = Category::ALL.iter().map(|one| one.code());
    assert_eq!(list(CATEGORIES), categories.collect());
    let purposes = Purpose::ALL.iter().map(|one| one.code());
    assert_eq!(list(PURPOSES), purposes.collect());
    let bases = LegalBasis::ALL.iter().map(|one| one.code());
    assert_eq!(list(LEGAL_BASES), bases.collect());
    let types = catalogue().types().iter();
    let types: BTreeMap<_, _> = types
        .map(|one| (one.vct(), one.category().code()))
        .collect();
    assert_eq!(BTreeMap::from_iter(TYPES.iter().copied()), types);
    let mut claims = BTreeSet::new();
    for one in catalogue().types() {
        // Requests name a type by its id, which is in its name.
        assert_eq!(one.vct().split(':').nth(3), Some(one.id()));
        let metadata: serde_json::Value =
            serde_json::from_str(one.metadata_json()).expect("the metadata is JSON");
        let paths = metadata["claims"].as_array().expect("claims").clone();
        let steps = paths
            .into_iter()
            .flat_map(|claim| claim["path"].as_array().expect("a path").clone());
        claims.extend(steps.filter_map(|step| step.as_str().map(str::to_owned)));
    }
    assert_eq!(
        BTreeSet::from_iter(CLAIMS.iter().map(|name| (*name).to_owned())),
        claims
    );
}

#[test]
fn pure_crates_read_no_clock() {
    let pure = [
        "specs/consent",
        "specs/credential",
        "specs/records",
        "specs/w3c",
    ];
    for word in [
        "SystemTime::now",
        "Instant::now",
        "rand::rng()",
        "std::fs",
        "std::net",
        "std::env",
    ] {
        only_in(&pure, word, &[]);
    }
}

#[test]
fn every_dependency_states_its_reason() {
    let text = std::fs::read_to_string(root().join("Cargo.toml")).expect("the manifest");
    let section = text
        .split("[workspace.dependencies]")
        .nth(1)
        .expect("the section");
    let section = section.split("\n[").next().expect("its end");
    for line in section
        .lines()
        .filter(|line| line.contains('=') && !line.starts_with('#') && !line.contains("path = "))
    {
        assert!(line.contains(" # "), "no reason: {line}");
    }
}
