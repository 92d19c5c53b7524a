//! The COSE working group's examples.

use crate::common;
use serde_json::Value;
use tegata_credential::cose::Sign1;
use tegata_credential::keys::{Algorithm, PublicKey};
use tegata_credential::verification_key::VerificationKey;

/// ES256 and EdDSA COSE_Sign1 of `cose-wg/Examples`, through our reader.
#[test]
fn examples_of_the_cose_working_group() {
    let folder =
        std::env::var("TEGATA_VECTORS").unwrap_or_else(|_| "../../../shared/vectors".into());
    let folder = std::path::Path::new(&folder).join("cose");
    if !folder.is_dir() {
        println!(
            "SKIPPED: no folder {}; set TEGATA_VECTORS",
            folder.display()
        );
        return;
    }
    let cases = [
        ("sign1-tests/sign-pass-02.json", Ok(())),
        ("sign1-tests/sign-pass-03.json", Ok(())),
        ("ecdsa-examples/ecdsa-sig-01.json", Ok(())),
        ("eddsa-examples/eddsa-sig-01.json", Ok(())),
        ("CWT/A_3.json", Ok(())),
        ("sign1-tests/sign-pass-01.json", Ok(())),
        ("sign1-tests/sign-fail-01.json", Err("cose_malformed")),
        (
            "sign1-tests/sign-fail-02.json",
            Err("cose_signature_invalid"),
        ),
        ("sign1-tests/sign-fail-03.json", Err("cose_malformed")),
        ("sign1-tests/sign-fail-04.json", Err("cose_alg_unsupported")),
        (
            "sign1-tests/sign-fail-06.json",
            Err("cose_signature_invalid"),
        ),
        (
            "sign1-tests/sign-fail-07.json",
            Err("cose_signature_invalid"),
        ),
        (
            "ecdsa-examples/ecdsa-sig-02.json",
            Err("cose_alg_unsupported"),
        ),
    ];
    for (file, expected) in cases {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let example: Value = serde_json::from_str(&text).unwrap();
        let sign0 = &example["input"]["sign0"];
        let cose = hex::decode(example["output"]["cbor"].as_str().unwrap()).unwrap();
        let aad = hex::decode(sign0["external"].as_str().unwrap_or_default()).unwrap();
        let result = Sign1::parse(&cose).and_then(|sign1| {
            let key = example_key(&sign0["key"]).unwrap();
            sign1.verify(&key, &aad)?;
            let said = &example["input"]["plaintext"];
            if let Some(said) = said.as_str() {
                assert_eq!(sign1.payload(), said.as_bytes(), "{file}");
            }
            Ok(())
        });
        assert_eq!(result.map_err(|fault| fault.code()), expected, "{file}");
    }
}

/// The key of an example: coordinates in base64url or in hexadecimal.
fn example_key(key: &Value) -> Option<VerificationKey> {
    let part = |name: &str| {
        let plain = key[name].as_str().map(common::unb64);
        plain.or_else(|| hex::decode(key[format!("{name}_hex")].as_str()?).ok())
    };
    let public = match key["crv"].as_str()? {
        "P-256" => {
            let sec1 = [vec![4], part("x")?, part("y")?].concat();
            PublicKey::from_bytes(Algorithm::Es256, &sec1)
        }
        "Ed25519" => PublicKey::from_bytes(Algorithm::EdDsa, &part("x")?),
        _ => return None,
    };
    Some(public.ok()?.into())
}
