//! W3C credentials beside raw Ed25519 and beside `ssi` alone; a status list of a million.

use crate::peer::Peer;
use crate::table::{Goal, Table};
use ed25519_dalek::{Signer, SigningKey};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;
use tegata_consent::cose::{public_key, verify_strict};
use tegata_credential::bitstring::{
    Bitstring, BitstringIssuance, StatusPurpose, VerifiedBitstring, list_credential,
};
use tegata_credential::data_integrity::{
    Cryptosuite, EddsaJcs2022, ProofOptions, Verifier, sign_credential,
};
use tegata_credential::did::Did;
use tegata_credential::keys::{Algorithm, SigningKey as CredentialKey};
use tegata_records::catalogue;
use tegata_w3c::record::{self, RecordIssuance};

const AT_S: i64 = 1_800_000_000;
const ENTRIES: u64 = 1_000_000;

pub(crate) fn run(table: &mut Table) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let raw = SigningKey::from_bytes(&[1; 32]);
    let (raw_public, message) = (public_key(&raw), [7_u8; 64]);
    let signature = raw.sign(&message).to_bytes();

    let key = CredentialKey::from_bytes(Algorithm::EdDsa, &[2; 32]).map_err(|e| text(&e))?;
    let did = Did::key(&key.public_key());
    let document = Arc::new(did.own_document().map_err(|e| text(&e))?);
    let method = document.methods()[0].id().to_owned();
    let options = ProofOptions::new(&method, AT_S);
    let claims = json!({ "vaccine_code": "hib", "date": "2026-04-10", "dose_number": 1,
        "place": { "name": "みどり小児科クリニック" }, "lot_number": "LOT1A" });
    let record_type = catalogue()
        .by_id("vaccination")
        .ok_or("the catalogue has vaccinations")?;
    let issuance = RecordIssuance {
        issuer: did.as_str(),
        id: Some("urn:uuid:3f0a4a52-0c49-4a2f-9a3c-3e1c8a4a8f01"),
        holder: Some("did:example:holder"),
        valid_from: AT_S,
        valid_until: None,
        statuses: &[],
    };
    let unsigned = record::credential(record_type, &claims, &issuance).map_err(|e| text(&e))?;
    let contexts = tegata_w3c::contexts();
    let sign = |suite: &dyn Cryptosuite| {
        sign_credential(unsigned.clone(), suite, contexts, &options, &key)
    };
    let resolve = |_: &Did| Ok(Arc::clone(&document));
    let suites = tegata_w3c::suites();
    let verifier = Verifier {
        suites: &suites,
        contexts,
        resolve: &resolve,
        at: AT_S,
    };
    let written = |suite: &dyn Cryptosuite| -> Result<Vec<u8>, String> {
        let signed = sign(suite).map_err(|e| text(&e))?;
        let bytes = serde_json::to_vec(&signed).map_err(|e| text(&e))?;
        verifier.credential(&bytes).map_err(|e| text(&e))?;
        Ok(bytes)
    };

    let (ours, limit) = table.pair(
        || {
            black_box(sign(&EddsaJcs2022).is_ok());
        },
        || {
            black_box(raw.sign(&message));
        },
    );
    table.row(
        "eddsa-jcs-2022 issue",
        ours,
        "per second and core",
        "raw Ed25519 sign",
        Some(limit),
        Goal::None,
    );
    let jcs = written(&EddsaJcs2022)?;
    let (ours, limit) = table.pair(
        || {
            black_box(verifier.credential(&jcs).is_ok());
        },
        || {
            black_box(verify_strict(&raw_public, &message, &signature).is_ok());
        },
    );
    table.row(
        "eddsa-jcs-2022 verify",
        ours,
        "per second and core",
        "raw Ed25519 verify",
        Some(limit),
        Goal::RatioLeast(0.7),
    );

    let rdfc_suite = tegata_w3c::eddsa_rdfc_2022();
    let rdfc = written(rdfc_suite)?;
    let mut peer = ssi(&unsigned.clone().into())?;
    let (ours, limit) = table.beside(
        || {
            black_box(sign(rdfc_suite).is_ok());
        },
        |slice| peer.rate("issue", slice),
    )?;
    table.row(
        "eddsa-rdfc-2022 issue",
        ours,
        "per second and core",
        "ssi alone",
        Some(limit),
        Goal::RatioLeast(1.0),
    );
    let (ours, limit) = table.beside(
        || {
            black_box(verifier.credential(&rdfc).is_ok());
        },
        |slice| peer.rate("verify", slice),
    )?;
    table.row(
        "eddsa-rdfc-2022 verify",
        ours,
        "per second and core",
        "ssi alone",
        Some(limit),
        Goal::RatioLeast(1.0),
    );
    drop(peer);

    // One in a hundred, at places without a pattern that would compress.
    let mut rng = StdRng::seed_from_u64(1);
    let set = (0..ENTRIES).filter(|_| rng.random_ratio(1, 100));
    let bits = Bitstring::from_indexes(ENTRIES, set).map_err(|e| text(&e))?;
    let issuance = BitstringIssuance {
        uri: "https://clinic.example/status/1",
        issuer: did.as_str(),
        purpose: StatusPurpose::Revocation,
        valid_from: AT_S,
        valid_until: None,
    };
    let publish = || {
        let list = list_credential(&bits, &issuance);
        let signed = sign_credential(list, &EddsaJcs2022, contexts, &options, &key);
        signed.map(|signed| serde_json::to_vec(&signed).unwrap_or_default())
    };
    let list = publish().map_err(|e| text(&e))?;
    table.row(
        "Bitstring Status List, a million entries: size",
        list.len() as f64,
        "bytes",
        "the bits",
        Some(ENTRIES as f64 / 8.0),
        Goal::None,
    );
    let check = || {
        let verified = verifier.credential(&list).map_err(|e| text(&e))?;
        VerifiedBitstring::new(&verified).map_err(|e| text(&e))
    };
    check()?;
    let (published, checked) = table.pair(
        || {
            black_box(publish().is_ok());
        },
        || {
            black_box(check().is_ok());
        },
    );
    table.row(
        "Bitstring Status List, a million entries: publish",
        published,
        "per second and core",
        "",
        None,
        Goal::None,
    );
    table.row(
        "Bitstring Status List, a million entries: check",
        checked,
        "per second and core",
        "",
        None,
        Goal::None,
    );
    Ok(())
}

/// `ssi` alone.
fn ssi(credential: &Value) -> Result<Peer, String> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/peer-ssi/Cargo.toml");
    let contexts: serde_json::Map<String, Value> = tegata_w3c::contexts()
        .documents()
        .map(|(url, text)| (url.to_owned(), text.into()))
        .collect();
    Peer::start(
        Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())).args([
            "run",
            "-q",
            "--locked",
            "--profile",
            "peer",
            "--manifest-path",
            manifest,
        ]),
        &json!({ "credential": credential, "contexts": contexts }),
    )
}
