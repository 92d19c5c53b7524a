//! SD-JWT VC beside raw Ed25519, and beside npm.

use crate::peer::Peer;
use crate::table::{Goal, Table};
use ed25519_dalek::{Signer, SigningKey};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::json;
use std::hint::black_box;
use std::process::Command;
use tegata_consent::cose::{public_key, verify_strict};
use tegata_credential::keys::{Algorithm, SigningKey as CredentialKey};
use tegata_credential::sd_jwt::{Issuance, KeyBinding, KeyBindingPolicy, Path, SdJwt, issue};
use tegata_records::catalogue;

const AT_S: i64 = 1_800_000_000;

pub(crate) fn run(table: &mut Table) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let raw = SigningKey::from_bytes(&[1; 32]);
    let raw_public = public_key(&raw);
    let message = [7_u8; 512];
    let signature = raw.sign(&message).to_bytes();

    let claims = json!({ "vaccine_code": "hib", "date": "2026-04-10", "dose_number": 1,
        "place": { "name": "みどり小児科クリニック" }, "lot_number": "LOT1A" });
    let record_type = catalogue()
        .by_id("vaccination")
        .ok_or("the catalogue has vaccinations")?;
    let paths: Vec<Path> = record_type
        .disclosable(&claims)
        .into_iter()
        .map(Path::new)
        .collect();
    let issuer = CredentialKey::from_bytes(Algorithm::EdDsa, &[2; 32]).map_err(|e| text(&e))?;
    let holder = CredentialKey::from_bytes(Algorithm::EdDsa, &[3; 32]).map_err(|e| text(&e))?;
    let holder_public = holder.public_key();
    let mut issuance = Issuance::new("did:web:clinic.example", record_type.vct(), AT_S, &claims);
    issuance.disclosable = &paths;
    issuance.holder = Some(&holder_public);
    let mut rng = StdRng::seed_from_u64(1);
    let credential = issue(&issuance, &issuer, &mut rng).map_err(|e| text(&e))?;

    let (ours, limit) = table.pair(
        || {
            black_box(issue(&issuance, &issuer, &mut rng).is_ok());
        },
        || {
            black_box(raw.sign(&message));
        },
    );
    table.row(
        "SD-JWT VC issue",
        ours,
        "per second and core",
        "raw Ed25519 sign",
        Some(limit),
        Goal::RatioLeast(0.5),
    );

    let key = issuer.public_key();
    let presentation = SdJwt::parse(&credential)
        .map_err(|e| text(&e))?
        .present(
            &paths,
            &KeyBinding::new("https://verifier.example", "n-1", AT_S),
            &holder,
        )
        .map_err(|e| text(&e))?;
    let policy = KeyBindingPolicy {
        audience: "https://verifier.example",
        nonce: "n-1",
        max_age_s: 600,
    };
    let check = || {
        SdJwt::parse(&presentation)
            .map_err(|e| text(&e))?
            .verify_with_key_binding(&key, &policy, AT_S)
            .map_err(|e| text(&e))
    };
    check()?;
    let (ours, limit) = table.pair(
        || {
            black_box(check().is_ok());
        },
        || {
            black_box(verify_strict(&raw_public, &message, &signature).is_ok());
        },
    );
    table.row(
        "SD-JWT VC verify with key binding",
        ours,
        "per second and core",
        "raw Ed25519 verify ÷ 2",
        Some(limit / 2.0),
        Goal::RatioLeast(0.8),
    );

    let mut npm = npm(&claims)?;
    let (ours, limit) = table.beside(
        || {
            black_box(issue(&issuance, &issuer, &mut rng).is_ok());
        },
        |slice| npm.rate("issue", slice),
    )?;
    table.row(
        "SD-JWT VC issue, beside npm",
        ours,
        "per second and core",
        "npm @sd-jwt/sd-jwt-vc",
        Some(limit),
        Goal::RatioLeast(13.0),
    );
    let (ours, limit) = table.beside(
        || {
            black_box(check().is_ok());
        },
        |slice| npm.rate("verify", slice),
    )?;
    table.row(
        "SD-JWT VC verify with key binding, beside npm",
        ours,
        "per second and core",
        "npm @sd-jwt/sd-jwt-vc",
        Some(limit),
        Goal::RatioLeast(6.0),
    );
    Ok(())
}

/// `@sd-jwt/sd-jwt-vc` alone, with the same claims, all of them disclosable and shown.
fn npm(claims: &serde_json::Value) -> Result<Peer, String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../interop");
    if !folder.join("node_modules/@sd-jwt/sd-jwt-vc").is_dir() {
        return Err("npm's @sd-jwt is not installed: make setup".into());
    }
    let mut with_issuer = claims.clone();
    with_issuer["iss"] = "https://clinic.example".into();
    with_issuer["iat"] = AT_S.into();
    with_issuer["vct"] = "urn:tegata:record:vaccination:1".into();
    let names: Vec<&String> = claims
        .as_object()
        .into_iter()
        .flat_map(|all| all.keys())
        .collect();
    let first = json!({ "claims": with_issuer, "disclosable": names, "shown": names,
        "audience": "https://verifier.example", "nonce": "n-1", "at": AT_S });
    Peer::start(
        Command::new("node")
            .arg("bench-sd-jwt.mjs")
            .current_dir(folder),
        &first,
    )
}
