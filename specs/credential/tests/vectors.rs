//! The frozen vectors: `vectors/sd-jwt-vc.json` and `vectors/status-list.json`.
//!
//! The cases are made here, by an honest issuer and by a forger who holds the issuer's key; the
//! files freeze them. A case that changes, or a file that no longer says what the code does,
//! fails. `TEGATA_WRITE_VECTORS=1 cargo test -p tegata-credential --test vectors` writes new ones.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::{FixedBytes, disclosure, header, jws, key};
use serde_json::{Value, json};
use tegata_credential::keys::{Algorithm, PublicKey, SigningKey};
use tegata_credential::sd_jwt::*;
use tegata_credential::status_list as list;
use tegata_credential::x509;

const AT: i64 = 1_760_000_000;
const VCT: &str = "urn:tegata:record:vaccination:1";

fn issuer() -> SigningKey {
    key(Algorithm::EdDsa, 1)
}
fn holder() -> SigningKey {
    key(Algorithm::EdDsa, 2)
}

fn payload() -> Value {
    json!({
        "iss": "https://a.example", "iat": AT, "vct": VCT,
        "cnf": { "jwk": holder().public_key().to_jwk() },
    })
}

/// `payload` with these members set (or removed, when null), signed by the issuer, and with these
/// disclosures behind it.
fn forged(changes: &Value, disclosures: &[&str]) -> String {
    let mut payload = payload();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            payload.as_object_mut().unwrap().remove(name);
        } else {
            payload[name] = value.clone();
        }
    }
    with_disclosures(
        &jws(
            &header(&issuer()).to_string(),
            &payload.to_string(),
            &issuer(),
        ),
        disclosures,
    )
}

fn with_disclosures(jwt: &str, disclosures: &[&str]) -> String {
    let mut text = format!("{jwt}~");
    for disclosure in disclosures {
        text.push_str(disclosure);
        text.push('~');
    }
    text
}

fn with_header(changes: &[(&str, Value)]) -> String {
    let mut header = header(&issuer());
    for (name, value) in changes {
        header[*name] = value.clone();
    }
    with_disclosures(
        &jws(&header.to_string(), &payload().to_string(), &issuer()),
        &[],
    )
}

fn bound(
    header_changes: &[(&str, Value)],
    claim_changes: &[(&str, Value)],
    by: &SigningKey,
) -> String {
    let credential = forged(&json!({}), &[]);
    let mut header = json!({ "alg": by.algorithm().name(), "typ": "kb+jwt" });
    for (name, value) in header_changes {
        header[*name] = value.clone();
    }
    let mut claims = json!({
        "aud": "https://v.example", "nonce": "n-1", "iat": AT,
        "sd_hash": common::b64(<sha2::Sha256 as sha2::Digest>::digest(&credential)),
    });
    for (name, value) in claim_changes {
        claims[*name] = value.clone();
    }
    format!(
        "{credential}{}",
        jws(&header.to_string(), &claims.to_string(), by)
    )
}

struct Case {
    name: &'static str,
    text: String,
    key_binding: bool,
}

fn case(name: &'static str, text: String) -> Case {
    Case {
        name,
        text,
        key_binding: false,
    }
}
fn kb(name: &'static str, text: String) -> Case {
    Case {
        name,
        text,
        key_binding: true,
    }
}

/// A certificate of the issuer's key.
fn certificate() -> x509::Certificate {
    let subject = x509::Subject {
        common_name: "Sakura City",
        organisation: "Sakura City",
        country: "JP",
        dns_names: &[],
        uris: &["https://a.example"],
    };
    let authority_key = key(Algorithm::Es256, 9);
    let valid = AT - 1..=AT + 1;
    let authority =
        x509::issue_authority(&subject, &authority_key, valid.clone(), &mut FixedBytes(5)).unwrap();
    let public = issuer().public_key();
    let mut bytes = FixedBytes(7);
    x509::issue(
        &subject,
        &public,
        &authority,
        &authority_key,
        valid,
        &mut bytes,
    )
    .unwrap()
}

fn accepted() -> Vec<Case> {
    let claims = json!({
        "vaccine_code": "mr", "date": "2025-04-01",
        "place": { "name": "Sakura Clinic", "reference": "Location/1" },
        "protocols": [{ "dose_number": 1 }, { "dose_number": 2 }],
    });
    let paths: Vec<Path> = vec![
        "vaccine_code".into(),
        "place".into(),
        Path::new(["place", "name"]),
        Path::new([PathStep::from("protocols"), PathStep::All]),
    ];
    let holder_public = holder().public_key();
    let full = issue(
        &Issuance {
            vct_integrity: Some("sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
            expires_at: Some(AT + 86_400),
            id: Some("record-1"),
            disclosable: &paths,
            holder: Some(&holder_public),
            status: Some(StatusReference {
                uri: "https://a.example/status/1".into(),
                index: 9,
            }),
            ..Issuance::new("https://a.example", VCT, AT, &claims)
        },
        &issuer(),
        &mut FixedBytes(1),
    )
    .unwrap();
    let shown = SdJwt::parse(&full)
        .unwrap()
        .present(
            &[Path::new(["place", "name"])],
            &KeyBinding::new("https://v.example", "n-1", AT),
            &holder(),
        )
        .unwrap();
    let bare = SdJwt::parse(&full).unwrap().disclose(&[]).unwrap();
    let chain = [certificate()];
    let copies = [BatchCopy {
        holder: &holder_public,
        status: StatusReference {
            uri: "https://a.example/status/1".into(),
            index: 10,
        },
    }];
    let plain = Issuance {
        disclosable: &paths,
        certificates: &chain,
        decoys: 2,
        ..Issuance::new("https://a.example", VCT, AT, &claims)
    };
    let copy = issue_batch(&plain, &copies, &issuer(), &mut FixedBytes(3))
        .unwrap()
        .remove(0);
    let (element, element_digest) = disclosure(json!(["salt", 7]));
    vec![
        case("everything issued", full),
        case("nothing disclosed", bare),
        kb("one nested claim shown with key binding", shown),
        case("a copy of a batch, with certificate and decoys", copy),
        case("no disclosure at all", forged(&json!({}), &[])),
        case(
            "no iss, no iat",
            forged(&json!({ "iss": null, "iat": null }), &[]),
        ),
        case(
            "decoy digests",
            forged(&json!({ "_sd": ["decoy-1", "decoy-2"] }), &[]),
        ),
        case(
            "array element",
            forged(
                &json!({ "a": [{ "...": element_digest }, { "...": "decoy" }] }),
                &[&element],
            ),
        ),
        case(
            "issued by a clock 60 s ahead",
            forged(&json!({ "iat": AT + 60 }), &[]),
        ),
        case(
            "expires in the next second",
            forged(&json!({ "exp": AT + 1 }), &[]),
        ),
        kb(
            "key binding as old as allowed",
            bound(&[], &[("iat", json!(AT - 300))], &holder()),
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "one line per case")]
fn rejected() -> Vec<(Case, &'static str)> {
    let (a, a_digest) = disclosure(json!(["salt", "a", 1]));
    let (element, element_digest) = disclosure(json!(["salt", 1]));
    let (sd_named, sd_named_digest) = disclosure(json!(["salt", "_sd", []]));
    let (dots_named, dots_named_digest) = disclosure(json!(["salt", "...", 1]));
    let (exp_named, exp_named_digest) = disclosure(json!(["salt", "exp", AT - 1]));
    let (vct_named, vct_named_digest) = disclosure(json!(["salt", "vct", VCT]));
    let (four, four_digest) = disclosure(json!(["salt", "a", 1, 2]));
    let (number_salt, number_salt_digest) = disclosure(json!([1, "a", 1]));
    let (inner_sd, inner_sd_digest) = disclosure(json!(["salt", "o", { "_sd": [a_digest] }]));
    let (stray, stray_digest) = disclosure(json!(["salt", "o", { "...": "x", "more": 1 }]));
    let twice_named = common::b64(r#"["salt","a",{"b":1,"b":2}]"#);
    let deep = common::b64(format!(
        r#"["salt","a",{}{}]"#,
        "[".repeat(32),
        "]".repeat(32)
    ));
    let good = forged(&json!({}), &[]);
    let other_signature = {
        let other = jws(
            &header(&issuer()).to_string(),
            &payload().to_string(),
            &key(Algorithm::EdDsa, 9),
        );
        with_disclosures(&other, &[])
    };
    let es256 = with_disclosures(
        &jws(
            r#"{"alg":"ES256","typ":"dc+sd-jwt"}"#,
            &payload().to_string(),
            &key(Algorithm::Es256, 1),
        ),
        &[],
    );
    let unsigned = format!(
        "{}.{}.~",
        common::b64(r#"{"alg":"none","typ":"dc+sd-jwt"}"#),
        common::b64(payload().to_string())
    );
    let double_claim = {
        let text = payload().to_string().replacen('{', r#"{"vct":"urn:x","#, 1);
        with_disclosures(&jws(&header(&issuer()).to_string(), &text, &issuer()), &[])
    };
    let kb_of_other = {
        let own = bound(&[], &[], &holder());
        let jwt = own.rsplit('~').next().unwrap();
        format!("{}{jwt}", forged(&json!({ "more": 1 }), &[]))
    };
    let no_holder = {
        let own = bound(&[], &[], &holder());
        let jwt = own.rsplit('~').next().unwrap();
        format!("{}{jwt}", forged(&json!({ "cnf": null }), &[]))
    };
    let mut private = holder().public_key().to_jwk();
    private["d"] = json!(common::b64([2; 32]));
    vec![
        (case("empty", String::new()), "malformed"),
        (
            case("no tilde", good.trim_end_matches('~').into()),
            "malformed",
        ),
        (case("two parts", "e30.e30~".into()), "malformed"),
        (
            case(
                "payload not an object",
                with_disclosures(&jws(&header(&issuer()).to_string(), "[]", &issuer()), &[]),
            ),
            "malformed",
        ),
        (case("padding", good.replacen('.', "=.", 1)), "malformed"),
        (
            case("short signature", format!("{}~", &good[..good.len() - 10])),
            "malformed",
        ),
        (
            case("empty disclosure", format!("{good}~")),
            "disclosure_malformed",
        ),
        (
            case("disclosure not base64url", forged(&json!({}), &["a+b"])),
            "disclosure_malformed",
        ),
        (
            case(
                "disclosure not an array",
                forged(&json!({}), &[&common::b64("{}")]),
            ),
            "disclosure_malformed",
        ),
        (
            case(
                "disclosure of four",
                forged(&json!({ "_sd": [four_digest] }), &[&four]),
            ),
            "disclosure_malformed",
        ),
        (
            case(
                "salt not a string",
                forged(&json!({ "_sd": [number_salt_digest] }), &[&number_salt]),
            ),
            "disclosure_malformed",
        ),
        (case("alg none", unsigned), "alg_none"),
        (
            case(
                "alg NONE with a signature",
                with_header(&[("alg", json!("NONE"))]),
            ),
            "alg_none",
        ),
        (
            case("alg HS256", with_header(&[("alg", json!("HS256"))])),
            "alg_unsupported",
        ),
        (
            case("alg RS256", with_header(&[("alg", json!("RS256"))])),
            "alg_unsupported",
        ),
        (
            case("alg a number", with_header(&[("alg", json!(1))])),
            "alg_unsupported",
        ),
        (case("alg of another key type", es256), "alg_mismatch"),
        (
            case(
                "crit",
                with_header(&[("crit", json!(["b64"])), ("b64", json!(false))]),
            ),
            "crit_unsupported",
        ),
        (
            case("typ JWT", with_header(&[("typ", json!("JWT"))])),
            "typ_unexpected",
        ),
        (
            case(
                "typ of an old draft",
                with_header(&[("typ", json!("vc+sd-jwt"))]),
            ),
            "typ_unexpected",
        ),
        (
            case(
                "typ of a status list",
                with_header(&[("typ", json!("statuslist+jwt"))]),
            ),
            "typ_unexpected",
        ),
        (
            case("signed by another", other_signature),
            "signature_invalid",
        ),
        (
            case("claim twice in the payload", double_claim),
            "json_name_duplicate",
        ),
        (
            case(
                "claim twice in a disclosure",
                forged(&json!({ "_sd": ["x"] }), &[&twice_named]),
            ),
            "json_name_duplicate",
        ),
        (
            case(
                "nested too deep",
                forged(&json!({ "_sd": ["x"] }), &[&deep]),
            ),
            "too_deep",
        ),
        (
            case(
                "too many disclosures",
                forged(&json!({}), &vec![a.as_str(); MAX_DISCLOSURES + 1]),
            ),
            "disclosures_too_many",
        ),
        (
            case(
                "same disclosure twice",
                forged(&json!({ "_sd": [a_digest] }), &[&a, &a]),
            ),
            "disclosure_duplicate",
        ),
        (
            case("disclosure without digest", forged(&json!({}), &[&a])),
            "disclosure_unreferenced",
        ),
        (
            case(
                "digest twice in one place",
                forged(&json!({ "_sd": [a_digest, a_digest] }), &[&a]),
            ),
            "digest_duplicate",
        ),
        (
            case(
                "digest twice in two places",
                forged(
                    &json!({ "_sd": [a_digest, inner_sd_digest] }),
                    &[&a, &inner_sd],
                ),
            ),
            "digest_duplicate",
        ),
        (
            case(
                "decoy twice",
                forged(&json!({ "_sd": ["d"], "o": { "_sd": ["d"] } }), &[]),
            ),
            "digest_duplicate",
        ),
        (
            case(
                "element where a member is due",
                forged(&json!({ "_sd": [element_digest] }), &[&element]),
            ),
            "disclosure_wrong_kind",
        ),
        (
            case(
                "member where an element is due",
                forged(&json!({ "x": [{ "...": a_digest }] }), &[&a]),
            ),
            "disclosure_wrong_kind",
        ),
        (
            case(
                "disclosed and there",
                forged(&json!({ "_sd": [a_digest], "a": 2 }), &[&a]),
            ),
            "claim_duplicate",
        ),
        (
            case(
                "claim named _sd",
                forged(&json!({ "_sd": [sd_named_digest] }), &[&sd_named]),
            ),
            "claim_name_reserved",
        ),
        (
            case(
                "claim named ...",
                forged(&json!({ "_sd": [dots_named_digest] }), &[&dots_named]),
            ),
            "claim_name_reserved",
        ),
        (
            case(
                "placeholder with company",
                forged(&json!({ "_sd": [stray_digest] }), &[&stray]),
            ),
            "claim_name_reserved",
        ),
        (
            case(
                "placeholder with company in an array",
                forged(&json!({ "x": [{ "...": "d", "more": 1 }] }), &[]),
            ),
            "claim_name_reserved",
        ),
        (
            case(
                "placeholder outside an array",
                forged(&json!({ "x": { "...": "d" } }), &[]),
            ),
            "claim_name_reserved",
        ),
        (
            case(
                "_sd_alg below the top",
                forged(&json!({ "x": { "_sd_alg": "sha-256" } }), &[]),
            ),
            "claim_name_reserved",
        ),
        (
            case("_sd not an array", forged(&json!({ "_sd": "x" }), &[])),
            "payload_malformed",
        ),
        (
            case("_sd of numbers", forged(&json!({ "_sd": [1] }), &[])),
            "payload_malformed",
        ),
        (
            case("weak digest", forged(&json!({ "_sd_alg": "md5" }), &[])),
            "hash_unsupported",
        ),
        (
            case(
                "digest we do not use",
                forged(&json!({ "_sd_alg": "sha-512" }), &[]),
            ),
            "hash_unsupported",
        ),
        (
            case(
                "exp behind a digest",
                forged(&json!({ "_sd": [exp_named_digest] }), &[&exp_named]),
            ),
            "claim_not_disclosable",
        ),
        (
            case(
                "vct behind a digest",
                forged(
                    &json!({ "vct": null, "_sd": [vct_named_digest] }),
                    &[&vct_named],
                ),
            ),
            "claim_not_disclosable",
        ),
        (
            case("no vct", forged(&json!({ "vct": null }), &[])),
            "claim_invalid",
        ),
        (
            case("vct a number", forged(&json!({ "vct": 1 }), &[])),
            "claim_invalid",
        ),
        (
            case("iss a number", forged(&json!({ "iss": 1 }), &[])),
            "claim_invalid",
        ),
        (
            case("exp a string", forged(&json!({ "exp": "9999999999" }), &[])),
            "claim_invalid",
        ),
        (
            case("cnf a string", forged(&json!({ "cnf": "x" }), &[])),
            "claim_invalid",
        ),
        (
            case(
                "status without index",
                forged(&json!({ "status": { "status_list": { "uri": "u" } } }), &[]),
            ),
            "claim_invalid",
        ),
        (
            case(
                "status of another kind",
                forged(&json!({ "status": { "other": 1 } }), &[]),
            ),
            "status_unsupported",
        ),
        (
            case(
                "issued in the future",
                forged(&json!({ "iat": AT + 61 }), &[]),
            ),
            "issued_in_future",
        ),
        (
            case("not yet valid", forged(&json!({ "nbf": AT + 61 }), &[])),
            "not_yet_valid",
        ),
        (
            case("expires now", forged(&json!({ "exp": AT }), &[])),
            "expired",
        ),
        (
            case(
                "holder key private",
                forged(&json!({ "cnf": { "jwk": private } }), &[]),
            ),
            "holder_key_invalid",
        ),
        (
            case(
                "holder key unknown",
                forged(&json!({ "cnf": { "jwk": { "kty": "RSA" } } }), &[]),
            ),
            "holder_key_invalid",
        ),
        (kb("no key binding", good), "key_binding_missing"),
        (kb("no holder key", no_holder), "holder_key_missing"),
        (
            kb(
                "key binding malformed",
                format!("{}x.y", forged(&json!({}), &[])),
            ),
            "key_binding_malformed",
        ),
        (
            kb(
                "key binding without iat",
                bound(&[], &[("iat", Value::Null)], &holder()),
            ),
            "key_binding_malformed",
        ),
        (
            kb(
                "key binding alg none",
                bound(&[("alg", json!("none"))], &[], &holder()),
            ),
            "key_binding_alg_none",
        ),
        (
            kb(
                "key binding alg HS256",
                bound(&[("alg", json!("HS256"))], &[], &holder()),
            ),
            "key_binding_alg_unsupported",
        ),
        (
            kb(
                "key binding alg of another key type",
                bound(&[], &[], &key(Algorithm::Es256, 2)),
            ),
            "key_binding_alg_mismatch",
        ),
        (
            kb(
                "key binding crit",
                bound(&[("crit", json!([]))], &[], &holder()),
            ),
            "key_binding_crit_unsupported",
        ),
        (
            kb(
                "key binding typ",
                bound(&[("typ", json!("JWT"))], &[], &holder()),
            ),
            "key_binding_typ_unexpected",
        ),
        (
            kb(
                "key binding by another",
                bound(&[], &[], &key(Algorithm::EdDsa, 9)),
            ),
            "key_binding_signature_invalid",
        ),
        (
            kb("key binding by the issuer", bound(&[], &[], &issuer())),
            "key_binding_signature_invalid",
        ),
        (
            kb(
                "another audience",
                bound(&[], &[("aud", json!("https://w.example"))], &holder()),
            ),
            "key_binding_audience_mismatch",
        ),
        (
            kb(
                "a list of audiences",
                bound(&[], &[("aud", json!(["https://v.example"]))], &holder()),
            ),
            "key_binding_audience_mismatch",
        ),
        (
            kb(
                "another nonce",
                bound(&[], &[("nonce", json!("n-2"))], &holder()),
            ),
            "key_binding_nonce_mismatch",
        ),
        (
            kb(
                "another sd_hash",
                bound(&[], &[("sd_hash", json!("x"))], &holder()),
            ),
            "key_binding_sd_hash_mismatch",
        ),
        (
            kb("key binding moved to another credential", kb_of_other),
            "key_binding_sd_hash_mismatch",
        ),
        (
            kb(
                "key binding too old",
                bound(&[], &[("iat", json!(AT - 301))], &holder()),
            ),
            "key_binding_too_old",
        ),
        (
            kb(
                "key binding from the future",
                bound(&[], &[("iat", json!(AT + 61))], &holder()),
            ),
            "key_binding_in_future",
        ),
    ]
}

/// What a verifier that reads nothing but the vector does with it.
fn run(vector: &Value) -> Result<Value, String> {
    let key = PublicKey::from_jwk(&vector["issuer_jwk"]).unwrap();
    let at = vector["at"].as_i64().unwrap();
    let parsed = SdJwt::parse(vector["sd_jwt"].as_str().unwrap());
    let verified = match vector.get("key_binding") {
        None => parsed.and_then(|sd_jwt| sd_jwt.verify(&key, at)),
        Some(policy) => {
            let policy = KeyBindingPolicy {
                audience: policy["aud"].as_str().unwrap(),
                nonce: policy["nonce"].as_str().unwrap(),
                max_age_s: policy["max_age_s"].as_i64().unwrap(),
            };
            parsed
                .and_then(|sd_jwt| sd_jwt.verify_with_key_binding(&key, &policy, at))
                .map(VerifiedPresentation::into_credential)
        }
    };
    match verified {
        Ok(verified) => Ok(Value::Object(verified.payload().clone())),
        Err(error) => Err(error.code().to_owned()),
    }
}

fn vector(case: &Case) -> Value {
    let mut out = json!({
        "name": case.name, "issuer_jwk": issuer().public_key().to_jwk(), "at": AT,
        "sd_jwt": case.text,
    });
    if case.key_binding {
        out["key_binding"] =
            json!({ "aud": "https://v.example", "nonce": "n-1", "max_age_s": 300 });
    }
    out
}

fn frozen(file: &str, now: &Value) {
    let path = format!("{}/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("TEGATA_WRITE_VECTORS").is_some() {
        std::fs::write(&path, format!("{now:#}\n")).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let then: Value = serde_json::from_str(&text).unwrap();
    for half in ["accept", "reject"] {
        let (now, then) = (
            now[half].as_array().unwrap(),
            then[half].as_array().unwrap(),
        );
        for (now, then) in now.iter().zip(then) {
            assert_eq!(now, then, "{file}: {half}: {}", then["name"]);
        }
        assert_eq!(now.len(), then.len(), "{file}: {half}");
    }
}

#[test]
fn sd_jwt_vc() {
    let mut accept = Vec::new();
    for case in accepted() {
        let mut vector = vector(&case);
        vector["payload"] = run(&vector).unwrap_or_else(|code| panic!("{}: {code}", case.name));
        accept.push(vector);
    }
    let mut reject = Vec::new();
    for (case, code) in rejected() {
        let mut vector = vector(&case);
        assert_eq!(run(&vector).err().as_deref(), Some(code), "{}", case.name);
        vector["code"] = code.into();
        reject.push(vector);
    }
    frozen(
        "sd-jwt-vc.json",
        &json!({ "accept": accept, "reject": reject }),
    );
}

#[test]
fn size_is_checked_before_anything_else() {
    let error = SdJwt::parse(&"~".repeat(MAX_BYTES + 1)).unwrap_err();
    assert_eq!(error.code(), "too_large");
}

const URI: &str = "https://a.example/status/1";

fn status_token(header: &Value, changes: &Value) -> String {
    let mut payload = json!({
        "sub": URI, "iat": AT, "exp": AT + 3600, "ttl": 600,
        "status_list": { "bits": 1, "lst": "eNrbuRgAAhcBXQ" },
    });
    for (name, value) in changes.as_object().unwrap() {
        payload[name] = value.clone();
    }
    jws(&header.to_string(), &payload.to_string(), &issuer())
}

fn zlib(bytes: &[u8]) -> String {
    use std::io::Write as _;
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    common::b64(encoder.finish().unwrap())
}

fn run_status(vector: &Value) -> Result<Value, String> {
    let key = PublicKey::from_jwk(&vector["issuer_jwk"]).unwrap();
    let at = vector["at"].as_i64().unwrap();
    list::StatusListToken::parse(vector["token"].as_str().unwrap())
        .and_then(|token| token.verify(&key, vector["uri"].as_str().unwrap(), at))
        .and_then(|list| {
            let indexes = vector["indexes"].as_array().unwrap();
            indexes
                .iter()
                .map(|index| {
                    list.status_at(index.as_u64().unwrap())
                        .map(|s| s.value().into())
                })
                .collect::<Result<Vec<Value>, _>>()
        })
        .map(Value::from)
        .map_err(|error| error.code().to_owned())
}

#[test]
fn status_list() {
    let header = json!({ "alg": "EdDSA", "typ": "statuslist+jwt", "kid": "k" });
    let with = |changes: Value| status_token(&header, &changes);
    let head = |name: &str, value: Value| {
        let mut header = header.clone();
        header[name] = value;
        status_token(&header, &json!({}))
    };
    let vector = |name: &str, token: String, indexes: &[u64]| {
        json!({
            "name": name, "issuer_jwk": issuer().public_key().to_jwk(), "uri": URI, "at": AT,
            "token": token, "indexes": indexes,
        })
    };
    let lst = |bits: u64, lst: &str| with(json!({ "status_list": { "bits": bits, "lst": lst } }));
    let mut accept = vec![
        vector("one bit, as in the draft", with(json!({})), &[0, 1, 2, 3, 15]),
        vector("two bits, as in the draft", lst(2, "eNo76fITAAPfAgc"), &[0, 1, 2, 3, 11]),
        vector("eight bits", lst(8, &zlib(&[0, 1, 2, 200])), &[0, 1, 2, 3]),
        vector("largest list", lst(1, &zlib(&vec![0; list::MAX_LIST_BYTES])), &[16_777_215]),
        vector("no exp, no ttl", jws(&header.to_string(), &json!({ "sub": URI, "iat": AT, "status_list": { "bits": 1, "lst": "eNrbuRgAAhcBXQ" } }).to_string(), &issuer()), &[0]),
    ];
    for vector in &mut accept {
        vector["statuses"] =
            run_status(vector).unwrap_or_else(|c| panic!("{}: {c}", vector["name"]));
    }
    assert_eq!(accept[0]["statuses"], json!([1, 0, 0, 1, 1]));
    assert_eq!(accept[1]["statuses"], json!([1, 2, 0, 3, 3]));
    assert_eq!(accept[2]["statuses"], json!([0, 1, 2, 200]));

    let rejected = [
        (
            "index outside",
            with(json!({})),
            "status_index_out_of_range",
        ),
        (
            "alg none",
            head("alg", "none".into()),
            "status_list_alg_none",
        ),
        (
            "alg HS256",
            head("alg", "HS256".into()),
            "status_list_alg_unsupported",
        ),
        (
            "alg of another key type",
            head("alg", "ES256".into()),
            "status_list_alg_mismatch",
        ),
        (
            "crit",
            head("crit", json!(["x"])),
            "status_list_crit_unsupported",
        ),
        (
            "typ of a credential",
            head("typ", "dc+sd-jwt".into()),
            "status_list_typ_unexpected",
        ),
        (
            "signed by another",
            jws(&header.to_string(), "{}", &key(Algorithm::EdDsa, 9)),
            "status_list_signature_invalid",
        ),
        (
            "another list",
            with(json!({ "sub": "https://a.example/status/2" })),
            "status_list_uri_mismatch",
        ),
        (
            "no sub",
            with(json!({ "sub": 1 })),
            "status_list_claim_invalid",
        ),
        (
            "no iat",
            with(json!({ "iat": "x" })),
            "status_list_claim_invalid",
        ),
        (
            "ttl of nothing",
            with(json!({ "ttl": 0 })),
            "status_list_claim_invalid",
        ),
        (
            "no list",
            with(json!({ "status_list": 1 })),
            "status_list_claim_invalid",
        ),
        ("expired", with(json!({ "exp": AT })), "status_list_expired"),
        (
            "issued in the future",
            with(json!({ "iat": AT + 61 })),
            "status_list_issued_in_future",
        ),
        (
            "three bits",
            lst(3, "eNrbuRgAAhcBXQ"),
            "status_bits_invalid",
        ),
        (
            "256 bits",
            lst(256, "eNrbuRgAAhcBXQ"),
            "status_bits_invalid",
        ),
        (
            "padding",
            lst(1, "eNrbuRgAAhcBXQ=="),
            "status_list_compression_invalid",
        ),
        (
            "not zlib",
            lst(1, "AAAA"),
            "status_list_compression_invalid",
        ),
        (
            "cut off",
            lst(1, "eNrbuRg"),
            "status_list_compression_invalid",
        ),
        (
            "a bomb",
            lst(1, &zlib(&vec![0; 3 * 1024 * 1024])),
            "status_list_too_large",
        ),
        ("not a JWS", "x.y".into(), "status_list_malformed"),
    ];
    let mut reject = Vec::new();
    for (name, token, code) in rejected {
        let mut vector = vector(name, token, &[16]);
        assert_eq!(run_status(&vector).unwrap_err(), code, "{name}");
        vector["code"] = code.into();
        reject.push(vector);
    }
    frozen(
        "status-list.json",
        &json!({ "accept": accept, "reject": reject }),
    );
}

#[test]
fn examples_of_the_standards() {
    let text = include_str!("../vectors/standards.json");
    let standards: Value = serde_json::from_str(text).unwrap();
    let cases = standards["sd_jwt_vc"].as_array().unwrap();
    for case in cases {
        assert_eq!(run(case).as_ref(), Ok(&case["payload"]), "{}", case["name"]);
        let mut late = case.clone();
        late["at"] = json!(4_000_000_000i64);
        assert_eq!(run(&late).unwrap_err(), "expired", "{}", case["name"]);
        let mut other = case.clone();
        other["issuer_jwk"] = key(Algorithm::Es256, 1).public_key().to_jwk();
        assert_eq!(
            run(&other).unwrap_err(),
            "signature_invalid",
            "{}",
            case["name"]
        );
    }
}
