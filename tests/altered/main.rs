//! Every kind of artefact that a demo makes holds under `tegata verify`, and with any one place of it altered it is refused,
//! with the reason that belongs to that place.
//!
//! `expected` says per kind and part which verdicts there may be; what nobody signs is named there too, with why.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test"
)]

mod artefacts;
mod expected;
mod generator;
mod issued;
#[allow(dead_code, reason = "shared with the scenarios, which use all of it")]
#[path = "../scenarios/world.rs"]
mod world;

use artefacts::{Artefact, Collector, Secrets, bound_anew, claim_text};
use expected::Expected;
use generator::{Altered, How, alterations, of_cbor, read, write};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::process::{Command, Stdio};
use std::time::Instant;
use tegata::verify::{Finding, Options, Trust, recognise};
use tegata_consent::cbor;
use tegata_consent::ids::GrantId;
use tegata_consent::lock::{Sealed, open, seal};
use tegata_consent::organisation::{KeyUse, organisation_id};
use world::{World, binary};

/// What verify says in one line: the checks that do not hold, each with its code, and `?` where it could not be made.
fn verdict(finding: Option<&Finding>) -> String {
    let Some(finding) = finding else {
        return "not recognised".to_owned();
    };
    if finding.holds() {
        return "holds".to_owned();
    }
    let checks = finding
        .checks
        .iter()
        .filter(|check| check.holds != Some(true));
    let mut said: Vec<String> = checks
        .map(|check| match (check.holds, check.code) {
            (None, _) => format!("{} ?", check.name),
            (_, None) => check.name.to_owned(),
            (_, Some(code)) => format!("{} {code}", check.name),
        })
        .collect();
    said.dedup();
    said.join(", ")
}

/// Verdicts that were not expected, with how often and a place.
#[derive(Default)]
struct Surprises(BTreeMap<(String, String, How, String), (usize, String)>);

impl Surprises {
    fn note(&mut self, expected: &mut Expected, kind: &str, altered: &Altered, verdict: String) {
        if expected.is_one(kind, &altered.place, altered.how, &verdict) {
            return;
        }
        let part = expected::part(&altered.place);
        let found = self
            .0
            .entry((kind.to_owned(), part, altered.how, verdict))
            .or_default();
        found.0 += 1;
        found.1.clone_from(&altered.place);
    }
}

/// Reads what is believed once for each set of options.
#[derive(Default)]
struct Believed(HashMap<String, Trust>);

impl Believed {
    async fn of(&mut self, options: &Options) -> &Trust {
        let key = format!("{options:?}");
        if !self.0.contains_key(&key) {
            let trust = Trust::load(options)
                .await
                .unwrap_or_else(|error| panic!("{error}"));
            self.0.insert(key.clone(), trust);
        }
        &self.0[&key]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_altered_is_refused_with_its_reason() {
    let world = World::start().await;
    let mut collector = Collector::new(&world);
    let secrets = collector.collect().await;
    let artefacts = std::mem::take(&mut collector.artefacts);
    let (mut believed, mut expected, mut surprises) = (
        Believed::default(),
        Expected::default(),
        Surprises::default(),
    );
    let mut spoilt: Vec<String> = Vec::new();
    let mut by_hand: Vec<(&Artefact, Vec<u8>, String)> = Vec::new();
    for artefact in &artefacts {
        let began = Instant::now();
        let trust = believed.of(&artefact.options).await;
        let finding = recognise(&artefact.bytes, trust).await;
        // Whose key made it, nobody says.
        let best = match artefact.kind {
            "key proof" => "holder ?",
            _ => "holds",
        };
        if verdict(finding.as_ref()) != best {
            spoilt.push(format!("{}: {finding:#?}", artefact.kind));
            continue;
        }
        let all = alterations(artefact.form, &artefact.bytes);
        let count = all.len();
        let mut refused = None;
        for altered in all {
            let found = recognise(&altered.bytes, trust).await;
            let said = verdict(found.as_ref());
            surprises.note(&mut expected, artefact.kind, &altered, said.clone());
            if found.is_some_and(|found| !found.holds()) {
                refused = Some((artefact, altered.bytes, said));
            }
        }
        by_hand.extend(refused);
        println!(
            "{:<36} {count:>5} alterations  {:>6} ms",
            artefact.kind,
            began.elapsed().as_millis()
        );
    }
    assert!(
        spoilt.is_empty(),
        "these should hold:\n{}",
        spoilt.join("\n")
    );
    read_by_another(&artefacts, &secrets.options);
    signed_anew(&secrets, &mut believed, &mut expected, &mut surprises).await;
    sealed_anew(&secrets, &mut believed, &mut expected, &mut surprises).await;
    let lines: Vec<String> = surprises
        .0
        .iter()
        .map(|((kind, part, how, verdict), (count, place))| {
            format!("{kind} | {part} | {how:?} | {verdict} | {count} times, as at {place}")
        })
        .collect();
    let unseen = expected.unseen();
    assert!(
        lines.is_empty() && unseen.is_empty(),
        "not expected:\n{}\nexpected, but never seen:\n{}",
        lines.join("\n"),
        unseen.join("\n")
    );
    assert_eq!(by_hand.len(), artefacts.len(), "one of each kind");
    std::thread::scope(|scope| {
        for half in by_hand.chunks(by_hand.len().div_ceil(2)) {
            scope.spawn(move || {
                for (artefact, bytes, verdict) in half {
                    by_command(artefact.kind, &artefact.options, bytes, verdict);
                }
            });
        }
    });
    world.end().await;
}

/// The second implementation, written from the pages alone, says the same of what the ledger proves: each holds, and no copy
/// with one bit altered.
fn read_by_another(artefacts: &[Artefact], options: &Options) {
    let kinds = BTreeMap::from([
        ("receipt (access)", "receipt"),
        ("receipt (over-asking)", "receipt"),
        ("receipt (organisation)", "receipt"),
        ("header", "header"),
        ("consent proof", "presence"),
        ("state proof (organisation)", "presence"),
        ("state proof (over-asking)", "presence"),
        ("state proof (status list)", "presence"),
        ("state proof (erasure)", "presence"),
        ("reading history", "history"),
        ("presentation (ledger)", "presentation"),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let mut python = Command::new(std::env::var("TEGATA_PYTHON").unwrap_or_else(|_| {
        let home = std::env::var("HOME").unwrap_or_default();
        format!("{home}/.cache/tegata/venv/bin/python")
    }));
    python
        .arg("consent.py")
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop"))
        .args(["--age", "900000", "--genesis"])
        .arg(options.genesis.as_ref().unwrap())
        .arg("--request")
        .arg(options.request.as_ref().unwrap())
        .arg("--status")
        .arg(&options.status[0]);
    let mut wanted = BTreeMap::<&str, usize>::new();
    for artefact in artefacts {
        if let Some(kind) = kinds.get(artefact.kind) {
            let file = folder.path().join(artefact.kind.replace(' ', "-"));
            std::fs::write(&file, &artefact.bytes).unwrap();
            python.arg(file);
            *wanted.entry(*kind).or_default() += 1;
        }
    }
    let output = python.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let summary: BTreeMap<String, Value> = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("no summary ({error}); run `make setup`: {errors}"));
    assert_eq!(wanted.values().sum::<usize>(), kinds.len());
    assert_eq!(summary.len(), wanted.len(), "{summary:?}");
    for (kind, count) in wanted {
        let said = &summary[kind];
        assert_eq!(said["wrong"], json!([]), "{kind}");
        assert_eq!(said["accepted"], count, "{kind}");
        assert!(said["rejected"].as_u64() > Some(100), "{kind}: {said}");
    }
    assert!(output.status.success(), "{errors}");
}

/// A holder may sign whatever she likes: a consent that was altered does not become one by her signature.
async fn signed_anew(
    secrets: &Secrets,
    believed: &mut Believed,
    expected: &mut Expected,
    surprises: &mut Surprises,
) {
    let trust = believed.of(&secrets.options).await;
    let binding = tegata_credential::sd_jwt::SdJwt::parse(&secrets.presentation).unwrap();
    let claims = binding.unverified_key_binding().unwrap().clone();
    let anew = |claims| bound_anew(&secrets.presentation, &claims, &secrets.holder).into_bytes();
    assert_eq!(
        verdict(recognise(&anew(claims.clone()), trust).await.as_ref()),
        "holds"
    );
    let consent = claims["tegata_consent"].as_str().unwrap();
    let consent = tegata_credential::jws::decode(consent).unwrap();
    let mut all = Vec::new();
    for (place, how, value) in of_cbor(&read(&consent).unwrap()) {
        let mut claims = claims.clone();
        claims.insert("tegata_consent".into(), claim_text(&write(&value)));
        all.push(Altered {
            place: format!("consent/{place}"),
            how,
            bytes: anew(claims),
        });
    }
    for (place, how, value) in generator::of_json(&Value::Object(claims.clone())) {
        if !place.starts_with("tegata_consent") || how == How::Removed {
            let claims = value.as_object().unwrap().clone();
            all.push(Altered {
                place: format!("claims/{place}"),
                how,
                bytes: anew(claims),
            });
        }
    }
    for altered in all {
        let found = recognise(&altered.bytes, trust).await;
        surprises.note(
            expected,
            "presentation, signed anew",
            &altered,
            verdict(found.as_ref()),
        );
    }
}

/// Anybody can seal something to a recipient: a ticket counts by the signature inside.
async fn sealed_anew(
    secrets: &Secrets,
    believed: &mut Believed,
    expected: &mut Expected,
    surprises: &mut Surprises,
) {
    let trust = believed.of(&secrets.ticket_options).await;
    let grant: GrantId = secrets.ticket["grant"].as_str().unwrap().parse().unwrap();
    let bytes = tegata_credential::jws::decode(secrets.ticket["ticket"].as_str().unwrap()).unwrap();
    let sealed: Sealed = cbor::decode(&bytes, 1 << 16).unwrap();
    let clinic = &secrets.clinic;
    let public = clinic.public_keys(0);
    let own = |key_use| public.iter().find(|key| key.key_use == key_use).unwrap();
    let id = organisation_id(&own(KeyUse::Sign).public.as_slice().try_into().unwrap());
    let chain = tegata_service::genesis::load(secrets.options.genesis.as_ref().unwrap())
        .unwrap()
        .chain_id();
    let context = [chain.0, grant.0, id.0].concat();
    let inner = open(&sealed, &clinic.seal, "tegata/v1/ticket", &context).unwrap();
    let anew = |inner: &[u8]| {
        let sealed = seal(
            &clinic.seal.seal_key(),
            "tegata/v1/ticket",
            &context,
            inner,
            &mut rand::rng(),
        );
        let text = tegata_credential::jws::encode(&cbor::encode(&sealed.unwrap()));
        let mut message = secrets.ticket.clone();
        message["ticket"] = json!(text);
        message.to_string().into_bytes()
    };
    assert_eq!(
        verdict(recognise(&anew(&inner), trust).await.as_ref()),
        "holds"
    );
    for (place, how, value) in of_cbor(&read(&inner).unwrap()) {
        let altered = Altered {
            place,
            how,
            bytes: anew(&write(&value)),
        };
        let found = recognise(&altered.bytes, trust).await;
        surprises.note(
            expected,
            "ticket, sealed anew",
            &altered,
            verdict(found.as_ref()),
        );
    }
}

/// The command says the same: exit code 1, and which check does not hold.
fn by_command(kind: &str, options: &Options, altered: &[u8], verdict: &str) {
    let mut command = Command::new(binary());
    command.args(["verify", "-", "--json"]);
    for (name, path) in [
        ("--genesis", &options.genesis),
        ("--request", &options.request),
        ("--keys", &options.keys),
    ] {
        if let Some(path) = path {
            command.arg(name).arg(path);
        }
    }
    for path in &options.trust {
        command.arg("--trust").arg(path);
    }
    for path in &options.status {
        command.arg("--status").arg(path);
    }
    if let Some(url) = &options.ledger {
        command.args(["--ledger", url]);
    }
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), altered).unwrap();
    let output = child.wait_with_output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), &said["holds"]),
        (Some(1), &json!(false)),
        "{kind}: {said:#}"
    );
    let mut failing = said["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["holds"] != true);
    let first = failing.next().unwrap();
    assert!(
        verdict.starts_with(first["check"].as_str().unwrap()),
        "{kind}: {verdict}: {said:#}"
    );
    let code = first["code"].as_str().unwrap_or_default();
    assert!(verdict.contains(code), "{kind}: {verdict}: {said:#}");
}
