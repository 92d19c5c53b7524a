//! Requests for presentations as evidence of over-asking (`over-asking.md`), through the whole state machine, and their vectors.
//!
//! `TEGATA_WRITE_VECTORS=1 cargo test -p tegata-consent --test over_asking` writes the file anew.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "in a test a panic is the report"
)]

mod world;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::Signer;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tegata_consent::cose::public_key;
use tegata_consent::entry::{Body, Entry, OverAsking, VerifiedEntry};
use tegata_consent::ids::{OrganisationId, hash};
use tegata_consent::organisation::{KeyUse, Organisation, OrganisationKey, Role};
use tegata_consent::over_asking::{REQUEST_OBJECT_LIMIT, evidence_digest};
use tegata_consent::state::{Inadmissible, Outcome, StateKey};
use tegata_consent::status::OverAskingState;
use world::{START_MS, World, id, key, organisation};

/// Of the asker's keys, made with OpenSSL.
const CERTIFICATE_ES256: &str = "MIIBJzCBzqADAgECAgFNMAoGCCqGSM49BAMCMB4xHDAaBgNVBAMME0EgbWFkZS11cCBhdXRob3JpdHkwHhcNMjYwMTAxMDAwMDAwWhcNMzYwMTAxMDAwMDAwWjAdMQ4wDAYDVQQDDAVhc2tlcjELMAkGA1UEBhMCSlAwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQa9kbUch7TeH55IIdKiX9ohwocQpqeS8ieTIGgK0yBdwQFtlVbzoU8Rmpp9vRyBisM6vyDtR1C9w8lSHUdIpOTMAoGCCqGSM49BAMCA0gAMEUCIQD94BraiB6tnK15dTgFV9vGMPFkyHnGXZ3WgcnkpumBtQIgf9pQDFYdO/GsgJ1XdjGlvLWqi6lIPWOc8i0Y/Qy3Pxg=";
const CERTIFICATE_EDDSA: &str = "MIH4MIGfoAMCAQICAU0wCgYIKoZIzj0EAwIwHjEcMBoGA1UEAwwTQSBtYWRlLXVwIGF1dGhvcml0eTAeFw0yNjAxMDEwMDAwMDBaFw0zNjAxMDEwMDAwMDBaMB0xDjAMBgNVBAMMBWFza2VyMQswCQYDVQQGEwJKUDAqMAUGAytlcAMhAM92Vu3FGG1aQaWe+ymv9Lg8NwCgzxL6CNE9OJSWUh08MAoGCCqGSM49BAMCA0gAMEUCIQDvKW1YCzVM8jI5rWlsjuJDkn6HqdyCweytMnHyTI6iEAIgPWbFlk8mvNYLYDdwwoF7yeLiFxozxaElAoilZIibiKk=";

/// What stands in a certificate of the asker's ES256 key.
struct Parts {
    serial: Vec<u8>,
    issuer: Vec<(u8, &'static str)>,
    subject: Vec<(u8, &'static str)>,
    /// Those of `subjectAltName`, by tag.
    names: Vec<(u8, &'static str)>,
    more: Vec<Vec<u8>>,
    signature: Vec<u8>,
}

/// The asker's: a DID with a port, and a name longer than RFC 5280 lets a common name be.
const DID: &str = "did:web:id.asker.example%3A8443";
const NAME_JA: &str = "架空の会社、とても長い名前の、ほんとうは無い会社、たのまれもしないのに保険金の支払いのためと言って予防接種の記録まで見たがる会社、本社は無い";

const COUNTRY: u8 = 6;
const ORGANISATION: u8 = 10;
const COMMON_NAME: u8 = 3;
const DNS: u8 = 0x82;
const URI: u8 = 0x86;

/// As authorities make it for an organisation.
fn parts() -> Parts {
    Parts {
        serial: vec![77],
        issuer: vec![(COUNTRY, "JP"), (ORGANISATION, "A made-up authority")],
        subject: vec![
            (COUNTRY, "JP"),
            (ORGANISATION, NAME_JA),
            (COMMON_NAME, "asker.example"),
        ],
        names: vec![
            (DNS, "asker.example"),
            (URI, "https://asker.example/Verifier"),
        ],
        more: vec![
            extension(14, &der(4, &[&[7; 20]])),
            extension(15, &der(3, &[&[7, 0x80]])),
            extension(19, &der(0x30, &[])),
            extension(35, &der(0x30, &[&der(0x80, &[&[9; 20]])])),
        ],
        signature: der(0x30, &[&der(2, &[&[1; 32]]), &der(2, &[&[2; 32]])]),
    }
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let length = match value.len() {
        length @ 0..0x80 => vec![length as u8],
        length @ 0x80..0x100 => vec![0x81, length as u8],
        length => vec![0x82, (length >> 8) as u8, length as u8],
    };
    [vec![tag], length, value].concat()
}

fn extension(kind: u8, value: &[u8]) -> Vec<u8> {
    let id = der(6, &[&[0x55, 0x1d, kind]]);
    der(0x30, &[&id, &der(4, &[value])])
}

fn certificate(parts: &Parts) -> String {
    let list = |tag, parts: &[Vec<u8>]| {
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        der(tag, &parts)
    };
    let name = |texts: &[(u8, &str)]| {
        let one = |(kind, text): &(u8, &str)| {
            let id = der(6, &[&[0x55, 4, *kind]]);
            der(0x31, &[&der(0x30, &[&id, &der(0x0c, &[text.as_bytes()])])])
        };
        list(0x30, &texts.iter().map(one).collect::<Vec<_>>())
    };
    let names: Vec<_> = parts
        .names
        .iter()
        .map(|(tag, text)| der(*tag, &[text.as_bytes()]))
        .collect();
    let extensions = match (&names[..], &parts.more[..]) {
        ([], []) => Vec::new(),
        (names, more) => [&[extension(17, &list(0x30, names))], more].concat(),
    };
    let algorithm = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02".as_slice();
    let time = der(0x17, &[b"260101000000Z"]);
    let key = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
    let point = es256("asker-es256").verifying_key().to_sec1_point(false);
    let body = der(
        0x30,
        &[
            &der(0xa0, &[&[2, 1, 2]]),
            &der(2, &[&parts.serial]),
            algorithm,
            &name(&parts.issuer),
            &der(0x30, &[&time, &time]),
            &name(&parts.subject),
            &[key.as_slice(), point.as_bytes()].concat(),
            &der(0xa3, &[&list(0x30, &extensions)]),
        ],
    );
    let whole = der(
        0x30,
        &[&body, algorithm, &der(3, &[&[0], &parts.signature])],
    );
    STANDARD.encode(whole)
}

fn es256(name: &str) -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&hash("test", &[name.as_bytes()])).unwrap()
}

/// May ask for laboratory results for payouts. It has a key of each kind, one that has ended, and a DID.
fn asker() -> Organisation {
    let mut asker = organisation(
        "asker",
        &[Role::Verifier],
        &[],
        &[("payout", &["laboratory"])],
    );
    asker.did = DID.into();
    asker.name.ja = NAME_JA.into();
    let point = |name| {
        let key = es256(name).verifying_key().to_sec1_point(true);
        key.as_bytes().to_vec()
    };
    let eddsa = public_key(&key("asker-eddsa")).0.to_vec();
    for (key_use, public, until_ms) in [
        (KeyUse::CredentialEs256, point("asker-old"), Some(START_MS)),
        (KeyUse::CredentialEs256, point("asker-es256"), None),
        (KeyUse::CredentialEdDsa, eddsa, None),
    ] {
        asker.keys.push(OrganisationKey {
            key_use,
            public,
            from_ms: 0,
            until_ms,
        });
    }
    asker
}

fn world() -> World {
    let mut world = World::new();
    let entry = world.registry(&Body::OrganisationRegistered(asker()), 3);
    world.apply(&entry).unwrap();
    world
}

/// A request object before it is signed.
struct Draft {
    header: Value,
    payload: Value,
    /// The entry of `transaction_data`.
    statement: Value,
    /// The statement stands in `verifier_info`.
    standard: bool,
    signer: &'static str,
    /// What becomes of the JWS in the end.
    end: fn(String) -> String,
}

fn thumbprint(jwk: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(jwk))
}

fn jwk_es256(name: &str) -> String {
    let point = es256(name).verifying_key().to_sec1_point(false);
    let part = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point.as_bytes()[range]);
    let (x, y) = (part(1..33), part(33..65));
    format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)
}

fn jwk_eddsa(name: &str) -> String {
    let x = URL_SAFE_NO_PAD.encode(public_key(&key(name)).0);
    format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)
}

/// In one order of members, whichever features of serde_json the build has.
fn written(value: &Value) -> String {
    let mut value = value.clone();
    value.sort_all_objects();
    value.to_string()
}

impl Draft {
    /// As a verifier of this project makes it: vaccinations for payouts, which the asker may not ask for.
    fn new(world: &World) -> Self {
        let did = DID;
        let random = |byte: u8| URL_SAFE_NO_PAD.encode([byte; 32]);
        let exp_s = world.now_ms / 1000 + 600;
        let algorithms = json!(["ES256", "EdDSA"]);
        Self {
            header: json!({
                "typ": "oauth-authz-req+jwt", "alg": "ES256",
                "kid": format!("{did}#{}", thumbprint(&jwk_es256("asker-es256"))),
            }),
            payload: json!({
                "response_type": "vp_token",
                "response_mode": "direct_post.jwt",
                "client_id": format!("decentralized_identifier:{did}"),
                "aud": "https://self-issued.me/v2",
                "nonce": random(1),
                "state": random(2),
                "iat": world.now_ms / 1000,
                "exp": exp_s,
                "response_uri": "https://asker.example/Verifier/v1/presentations/00112233445566778899aabbccddeeff/response",
                "dcql_query": {
                    "credentials": [{
                        "id": "vaccination", "format": "dc+sd-jwt",
                        "meta": { "vct_values": ["urn:tegata:record:vaccination:1"] },
                        "claims": [{ "path": ["date"] }, { "path": ["vaccine_codings", null, "code"] }],
                    }],
                    "credential_sets": [{ "options": [["vaccination"]] }],
                },
                "client_metadata": {
                    "client_name": "asker",
                    "vp_formats_supported": { "dc+sd-jwt": {
                        "sd-jwt_alg_values": algorithms, "kb-jwt_alg_values": algorithms,
                    } },
                    "jwks": { "keys": [{
                        "kty": "EC", "crv": "P-256", "x": random(3), "y": random(4),
                        "use": "enc", "alg": "ECDH-ES", "kid": random(5),
                    }] },
                    "encrypted_response_enc_values_supported": ["A128GCM", "A256GCM"],
                },
            }),
            statement: json!({
                "type": "urn:tegata:presentation:1",
                "credential_ids": ["vaccination"],
                "transaction_data_hashes_alg": ["sha-256"],
                "chain": world.chain.to_string(),
                "organisation": id("asker").to_string(),
                "categories": ["vaccination"],
                "purpose": "payout",
                "legal_basis": "consent",
                "retention_days": 30,
                "until_ms": exp_s * 1000,
            }),
            standard: false,
            signer: "asker-es256",
            end: |jws| jws,
        }
    }

    /// What it may ask for.
    fn fair(mut self) -> Self {
        self.statement["categories"] = json!(["laboratory"]);
        let vct = json!(["urn:tegata:record:laboratory_result:1"]);
        self.payload["dcql_query"]["credentials"][0]["meta"]["vct_values"] = vct;
        self
    }

    /// Named by a certificate.
    fn certified(mut self, certificate: &str) -> Self {
        self.certify(certificate);
        self
    }

    fn certify(&mut self, certificate: &str) {
        let hash = Sha256::digest(STANDARD.decode(certificate).unwrap());
        self.payload["client_id"] = format!("x509_hash:{}", URL_SAFE_NO_PAD.encode(hash)).into();
        self.header.as_object_mut().unwrap().remove("kid");
        self.header["x5c"] = json!([certificate]);
    }

    /// Named by a certificate that differs from what authorities make for an organisation.
    fn certify_as(&mut self, change: fn(&mut Parts)) {
        let mut parts = parts();
        change(&mut parts);
        self.certify(&certificate(&parts));
    }

    /// Named by a DID that is its key.
    fn self_named(mut self, jwk: &str) -> Self {
        let did = format!("did:jwk:{}", URL_SAFE_NO_PAD.encode(jwk));
        self.payload["client_id"] = format!("decentralized_identifier:{did}").into();
        self.header["kid"] = format!("{did}#0").into();
        self
    }

    fn signed_with_eddsa(mut self) -> Self {
        self.header["alg"] = "EdDSA".into();
        self.signer = "asker-eddsa";
        self
    }

    fn sign(mut self) -> String {
        if self.standard {
            let mut data = self.statement.clone();
            for name in ["type", "credential_ids", "transaction_data_hashes_alg"] {
                data.as_object_mut().unwrap().remove(name);
            }
            self.payload["verifier_info"] =
                json!([{ "format": "urn:tegata:presentation:1", "data": data }]);
        } else {
            let statement = URL_SAFE_NO_PAD.encode(written(&self.statement));
            match &mut self.payload["transaction_data"] {
                Value::Array(all) => all.insert(0, statement.into()),
                none => *none = json!([statement]),
            }
        }
        let (header, payload) = (written(&self.header), written(&self.payload));
        self.sign_texts(&header, &payload)
    }

    fn sign_texts(&self, header: &str, payload: &str) -> String {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let signed = format!("{}.{}", encode(header), encode(payload));
        let signature = if self.header["alg"] == "EdDSA" {
            key(self.signer).sign(signed.as_bytes()).to_bytes().to_vec()
        } else {
            let signature: p256::ecdsa::Signature = es256(self.signer).sign(signed.as_bytes());
            signature.to_bytes().to_vec()
        };
        (self.end)(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

fn report(world: &World, request: &str, recipient: OrganisationId) -> VerifiedEntry {
    let body = Body::OverAsking(OverAsking {
        recipient,
        sponsor: id("host"),
        request: request.as_bytes().to_vec().into(),
    });
    Entry::sign(&key("reporter"), &world.chain, world.now_ms + 60_000, body)
        .countersign(&key("host"), &world.chain)
        .verify(&world.chain)
        .unwrap()
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Vector {
    name: String,
    /// The request object, as it is signed.
    request: String,
    /// How the ledger names it.
    digest: String,
    /// Absent: it is evidence. Otherwise the reason's code.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    refused: Option<String>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Vectors {
    page: String,
    chain: String,
    /// Time of the block, in milliseconds since 1970.
    time_ms: u64,
    /// The organisation's state on the ledger, as CBOR in hexadecimal.
    organisation: String,
    vectors: Vec<Vector>,
}

type Change = fn(&mut Draft);

/// Evidence, each with what makes it so.
fn evidence(world: &World) -> Vec<(&'static str, Draft)> {
    let draft = || Draft::new(world);
    let changed = |draft: Draft, change: Change| {
        let mut draft = draft;
        change(&mut draft);
        draft
    };
    vec![
        ("a category, under the registered DID, ES256", draft()),
        ("the same, EdDSA", {
            let kid = format!("{DID}#{}", thumbprint(&jwk_eddsa("asker-eddsa")));
            let mut draft = draft().signed_with_eddsa();
            draft.header["kid"] = kid.into();
            draft
        }),
        (
            "under a did:jwk, ES256",
            draft().self_named(&jwk_es256("asker-es256")),
        ),
        (
            "under a did:jwk, EdDSA",
            draft()
                .self_named(&jwk_eddsa("asker-eddsa"))
                .signed_with_eddsa(),
        ),
        (
            "under a certificate, ES256",
            draft().certified(CERTIFICATE_ES256),
        ),
        (
            "under a certificate, EdDSA",
            draft().certified(CERTIFICATE_EDDSA).signed_with_eddsa(),
        ),
        (
            "under a certificate with addresses",
            changed(draft(), |d| d.certify_as(|_| ())),
        ),
        (
            "under a certificate by an authority on P-384 with SHA-256",
            changed(draft(), |d| {
                d.certify_as(|parts| {
                    let (r, s) = (der(2, &[&[0], &[0x81; 48]]), der(2, &[&[0x71; 48]]));
                    parts.signature = der(0x30, &[&r, &s]);
                });
            }),
        ),
        (
            "under a certificate for the host of the DID, which has a port",
            changed(draft(), |d| {
                d.certify_as(|parts| parts.names[0].1 = "id.asker.example");
            }),
        ),
        (
            "under a certificate by an authority with two letters",
            changed(draft(), |d| {
                d.certify_as(|parts| parts.issuer[1].1 = "UN");
            }),
        ),
        (
            "under a certificate for signatures and certificates",
            changed(draft(), |d| {
                d.certify_as(|parts| parts.more[1] = extension(15, &der(3, &[&[2, 0x84]])));
            }),
        ),
        (
            "the ledger in capitals",
            changed(draft(), |d| {
                let chain = d.statement["chain"].as_str().unwrap().to_uppercase();
                d.statement["chain"] = chain.into();
            }),
        ),
        (
            "names of parts in the query",
            changed(draft(), |d| {
                let query = &mut d.payload["dcql_query"]["credentials"][0];
                query["id"] = "q12".into();
                query["claims"][0]["id"] = "date".into();
                query["claims"][1]["id"] = "b".into();
                query["claim_sets"] = json!([["date", "b"]]);
                d.payload["dcql_query"]["credential_sets"][0]["options"] = json!([["q12"]]);
                d.statement["credential_ids"] = json!(["q12"]);
            }),
        ),
        (
            "for wallets of others, in verifier_info",
            changed(draft(), |d| d.standard = true),
        ),
        (
            "fetched by POST",
            changed(draft(), |d| {
                d.payload["wallet_nonce"] = "00112233445566778899aabbccddeeff".into();
            }),
        ),
        (
            "another purpose",
            changed(draft().fair(), |d| d.statement["purpose"] = "care".into()),
        ),
        (
            "a day longer",
            changed(draft().fair(), |d| {
                d.statement["retention_days"] = 31.into()
            }),
        ),
        (
            "a query beyond the statement",
            changed(draft(), |d| {
                d.statement["categories"] = json!(["laboratory"])
            }),
        ),
        (
            "a statement beyond the query",
            changed(draft().fair(), |d| {
                d.statement["categories"] = json!(["laboratory", "vaccination"]);
            }),
        ),
        (
            "the second of two statements",
            changed(draft().fair(), |d| {
                let mut second = d.statement.clone();
                second["retention_days"] = 3650.into();
                let second = URL_SAFE_NO_PAD.encode(written(&second));
                d.payload["transaction_data"] = json!([second]);
            }),
        ),
    ]
}

/// No evidence, each for one reason.
fn rejects() -> Vec<(&'static str, &'static str, Change)> {
    vec![
        ("what it may ask for", "not-over-asking", |d| {
            d.statement["categories"] = json!(["laboratory"]);
            let vct = json!(["urn:tegata:record:laboratory_result:1"]);
            d.payload["dcql_query"]["credentials"][0]["meta"]["vct_values"] = vct;
        }),
        ("expired", "evidence-expired", |d| {
            d.payload["exp"] = (START_MS / 1000 - 1).into();
        }),
        ("an end that is over", "evidence-expired", |d| {
            d.statement["until_ms"] = (START_MS - 1).into();
        }),
        ("an end at the block's time", "evidence-expired", |d| {
            d.statement["until_ms"] = (world().now_ms + 1000).into();
        }),
        ("an end after the year 9999", "evidence-member", |d| {
            d.payload["exp"] = 253_402_300_800_u64.into();
            d.statement["until_ms"] = 253_402_300_800_000_u64.into();
        }),
        (
            "for our wallets and for those of others",
            "evidence-member",
            |d| {
                let mut data = d.statement.clone();
                for name in ["type", "credential_ids", "transaction_data_hashes_alg"] {
                    data.as_object_mut().unwrap().remove(name);
                }
                d.payload["verifier_info"] =
                    json!([{ "format": "urn:tegata:presentation:1", "data": data }]);
            },
        ),
        (
            "no algorithm, and named twice: the member comes first",
            "evidence-member",
            |d| {
                d.header["alg"] = "none".into();
                d.header["x5c"] = json!([CERTIFICATE_ES256]);
            },
        ),
        (
            "a number for a client, and a statement that is none: the member comes first",
            "evidence-member",
            |d| {
                d.payload["client_id"] = 1.into();
                d.payload["transaction_data"] = json!(["!"]);
            },
        ),
        ("more than fits into an entry", "evidence-too-long", |d| {
            let entry = URL_SAFE_NO_PAD.encode(written(&d.statement));
            let count = REQUEST_OBJECT_LIMIT / entry.len();
            d.payload["transaction_data"] = vec![entry; count].into();
        }),
        ("without signature", "evidence-encoding", |d| {
            d.end = |jws| jws.rsplit_once('.').unwrap().0.to_owned();
        }),
        ("a signature cut short", "evidence-encoding", |d| {
            d.end = |jws| jws[..jws.len() - 4].to_owned();
        }),
        ("with padding", "evidence-encoding", |d| {
            d.end = |jws| jws + "==";
        }),
        ("four parts", "evidence-encoding", |d| {
            d.end = |jws| jws + ".e30"
        }),
        ("no algorithm", "evidence-algorithm", |d| {
            d.header["alg"] = "none".into();
        }),
        ("another algorithm", "evidence-algorithm", |d| {
            d.header["alg"] = "HS256".into();
        }),
        ("another type", "evidence-member", |d| {
            d.header["typ"] = "JWT".into();
        }),
        (
            "a member of the header that is not known",
            "evidence-member",
            |d| {
                d.header["crit"] = json!(["b64"]);
            },
        ),
        ("named twice", "evidence-member", |d| {
            d.header["x5c"] = json!([CERTIFICATE_ES256]);
        }),
        ("not named", "evidence-member", |d| {
            d.header.as_object_mut().unwrap().remove("kid");
        }),
        ("a certificate of 3 KiB", "evidence-member", |d| {
            d.certify_as(|parts| parts.names = vec![parts.names[0]; 200]);
        }),
        ("two certificates", "evidence-member", |d| {
            d.certify(CERTIFICATE_ES256);
            d.header["x5c"] = vec![CERTIFICATE_ES256; 2].into();
        }),
        (
            "no certificate, only the key's bytes in it",
            "evidence-member",
            |d| {
                let der = STANDARD.decode(CERTIFICATE_ES256).unwrap();
                let text = ["山田花子 1990-02-01 ".as_bytes(), &der].concat();
                d.certify(&STANDARD.encode(text));
            },
        ),
        ("a certificate and more", "evidence-member", |d| {
            let der = STANDARD.decode(CERTIFICATE_ES256).unwrap();
            let text = [&der, "山田花子".as_bytes()].concat();
            d.certify(&STANDARD.encode(text));
        }),
        ("a certificate for a person", "evidence-member", |d| {
            d.certify_as(|parts| parts.subject[2].1 = "Hanako Yamada");
        }),
        (
            "a certificate for a person's address",
            "evidence-member",
            |d| {
                d.certify_as(|parts| parts.names[0].1 = "hanako.example");
            },
        ),
        ("a certificate for another page", "evidence-member", |d| {
            d.certify_as(|parts| parts.names[1].1 = "https://asker.example/hanako");
        }),
        (
            "a certificate with an e-mail address",
            "evidence-member",
            |d| {
                d.certify_as(|parts| parts.names.push((0x81, "info@asker.example")));
            },
        ),
        ("a certificate with a surname", "evidence-member", |d| {
            d.certify_as(|parts| parts.subject.push((4, "asker")));
        }),
        (
            "a certificate with two common names",
            "evidence-member",
            |d| {
                d.certify_as(|parts| {
                    parts.issuer = vec![(COMMON_NAME, "Hanako"), (COMMON_NAME, "Yamada")]
                });
            },
        ),
        (
            "a certificate by an e-mail address",
            "evidence-member",
            |d| {
                d.certify_as(|parts| parts.issuer[1].1 = "info@authority.example");
            },
        ),
        ("a certificate by a long name", "evidence-member", |d| {
            d.certify_as(|parts| {
                parts.issuer[1].1 =
                    "Hanako Yamada, born on the first of February 1990, is ill with it";
            });
        }),
        (
            "a certificate with another extension",
            "evidence-member",
            |d| {
                d.certify_as(|parts| parts.more.push(extension(32, b"Hanako Yamada")));
            },
        ),
        (
            "a certificate with an extension twice",
            "evidence-member",
            |d| {
                d.certify_as(|parts| parts.more.push(parts.more[0].clone()));
            },
        ),
        ("a certificate by nobody's name", "evidence-member", |d| {
            d.certify_as(|parts| parts.issuer[1].1 = "");
        }),
        (
            "a certificate for the port of the DID",
            "evidence-member",
            |d| {
                d.certify_as(|parts| parts.names[0].1 = "id.asker.example%3A8443");
            },
        ),
        ("a certificate with number zero", "evidence-member", |d| {
            d.certify_as(|parts| parts.serial = vec![0]);
        }),
        (
            "a certificate with a negative number",
            "evidence-member",
            |d| {
                d.certify_as(|parts| parts.serial = vec![0x80]);
            },
        ),
        (
            "a certificate with a number of 21 bytes",
            "evidence-member",
            |d| {
                d.certify_as(|parts| parts.serial = vec![1; 21]);
            },
        ),
        (
            "a certificate with a number not in its shortest form",
            "evidence-member",
            |d| {
                d.certify_as(|parts| parts.serial = vec![0, 77]);
            },
        ),
        ("a certificate without number", "evidence-member", |d| {
            d.certify_as(|parts| parts.serial = Vec::new());
        }),
        ("a certificate for no names", "evidence-member", |d| {
            d.certify_as(|parts| parts.names = Vec::new());
        }),
        (
            "a certificate with an empty list of extensions",
            "evidence-member",
            |d| {
                d.certify_as(|parts| {
                    parts.names = Vec::new();
                    parts.more = Vec::new();
                });
            },
        ),
        ("a certificate for no usage", "evidence-member", |d| {
            d.certify_as(|parts| parts.more[1] = extension(15, &der(3, &[&[0]])));
        }),
        ("a certificate for a tenth usage", "evidence-member", |d| {
            d.certify_as(|parts| parts.more[1] = extension(15, &der(3, &[&[6, 0x80, 0x40]])));
        }),
        (
            "a certificate with bits after its last usage",
            "evidence-member",
            |d| {
                d.certify_as(|parts| parts.more[1] = extension(15, &der(3, &[&[6, 0x80]])));
            },
        ),
        (
            "a certificate whose signature has an empty number",
            "evidence-member",
            |d| {
                d.certify_as(|parts| {
                    parts.signature = der(0x30, &[&der(2, &[]), &der(2, &[&[2; 32]])]);
                });
            },
        ),
        (
            "a certificate whose signature has a negative number",
            "evidence-member",
            |d| {
                d.certify_as(|parts| {
                    parts.signature = der(0x30, &[&der(2, &[&[0x81; 32]]), &der(2, &[&[2; 32]])]);
                });
            },
        ),
        (
            "a certificate whose signature is a text",
            "evidence-member",
            |d| {
                d.certify_as(|parts| parts.signature = "山田花子".into());
            },
        ),
        ("no certificates", "evidence-member", |d| {
            d.header.as_object_mut().unwrap().remove("kid");
            d.header["x5c"] = json!([]);
        }),
        ("a member that is not known", "evidence-member", |d| {
            d.payload["patient"] = "Sakura".into();
        }),
        ("without end", "evidence-member", |d| {
            d.payload.as_object_mut().unwrap().remove("exp");
        }),
        ("a state that is no random number", "evidence-member", |d| {
            d.payload["state"] = "patient 42".into();
        }),
        ("a nonce that is no random number", "evidence-member", |d| {
            d.payload["nonce"] = "c2FrdXJhLXlhbWFkYQ".into();
        }),
        (
            "a wallet nonce that is no random number",
            "evidence-member",
            |d| {
                d.payload["wallet_nonce"] = "Sakura Yamada".into();
            },
        ),
        (
            "a type that is not in the catalogue",
            "evidence-member",
            |d| {
                let vct = json!(["urn:tegata:record:sakura:1"]);
                d.payload["dcql_query"]["credentials"][0]["meta"]["vct_values"] = vct;
            },
        ),
        ("another format", "evidence-member", |d| {
            d.payload["dcql_query"]["credentials"][0]["format"] = "mso_mdoc".into();
        }),
        ("a claim with values", "evidence-member", |d| {
            let claims = &mut d.payload["dcql_query"]["credentials"][0]["claims"];
            claims[0]["values"] = json!(["Sakura"]);
        }),
        (
            "a claim that is not in the catalogue",
            "evidence-member",
            |d| {
                let claims = &mut d.payload["dcql_query"]["credentials"][0]["claims"];
                claims[0]["path"] = json!(["sakura_yamada"]);
            },
        ),
        ("a part of the query with a name", "evidence-member", |d| {
            d.payload["dcql_query"]["credentials"][0]["id"] = "sakura".into();
        }),
        (
            "a part of a statement with a name",
            "evidence-member",
            |d| {
                d.statement["credential_ids"] = json!(["sakura"]);
            },
        ),
        ("a set of credentials with a name", "evidence-member", |d| {
            d.payload["dcql_query"]["credential_sets"][0]["options"] = json!([["sakura"]]);
        }),
        ("a claim with a name", "evidence-member", |d| {
            d.payload["dcql_query"]["credentials"][0]["claims"][0]["id"] = "sakura".into();
        }),
        ("a set of claims with a name", "evidence-member", |d| {
            d.payload["dcql_query"]["credentials"][0]["claim_sets"] = json!([["sakura"]]);
        }),
        ("the name of somebody else", "evidence-member", |d| {
            d.payload["client_metadata"]["client_name"] = "Sakura".into();
        }),
        ("a logo", "evidence-member", |d| {
            d.payload["client_metadata"]["logo_uri"] = "https://asker.example/sakura.png".into();
        }),
        ("a key with a name", "evidence-member", |d| {
            d.payload["client_metadata"]["jwks"]["keys"][0]["kid"] = "Sakura".into();
        }),
        ("an answer that goes elsewhere", "evidence-member", |d| {
            d.payload["response_uri"] = "https://elsewhere.example/response".into();
        }),
        (
            "an answer that goes to a neighbour",
            "evidence-member",
            |d| {
                d.payload["response_uri"] = "https://asker.example/Verifier-elsewhere/v1/presentations/00112233445566778899aabbccddeeff/response".into();
            },
        ),
        ("an answer with a query", "evidence-member", |d| {
            d.payload["response_uri"] = "https://asker.example/Verifier/v1/presentations/00112233445566778899aabbccddeeff/response?patient=42".into();
        }),
        ("an answer to another path", "evidence-member", |d| {
            d.payload["response_uri"] = "https://asker.example/Verifier/v1/presentations/sakura-yamada-has-measles-2026-02/response".into();
        }),
        ("a statement of another type", "evidence-member", |d| {
            d.statement["type"] = "urn:example:payment".into();
        }),
        ("a statement with a text", "evidence-member", |d| {
            d.statement["reason"] = "Sakura is ill".into();
        }),
        (
            "a category that is not of the list",
            "evidence-member",
            |d| {
                d.statement["categories"] = json!(["sakura-yamada-2023-04-01"]);
            },
        ),
        (
            "a purpose that is not of the list",
            "evidence-member",
            |d| {
                d.statement["purpose"] = "sakura-yamada-2023-04-01".into();
            },
        ),
        (
            "a legal basis that is not of the list",
            "evidence-member",
            |d| {
                d.statement["legal_basis"] = "sakura-yamada-2023-04-01".into();
            },
        ),
        ("statements of two organisations", "evidence-member", |d| {
            let mut second = d.statement.clone();
            second["organisation"] = id("clinic").to_string().into();
            d.payload["transaction_data"] = json!([URL_SAFE_NO_PAD.encode(written(&second))]);
        }),
        ("for another ledger", "evidence-chain", |d| {
            d.statement["chain"] = "00".repeat(32).into();
        }),
        ("in another's name", "evidence-organisation", |d| {
            d.statement["organisation"] = id("clinic").to_string().into();
        }),
        ("a key that has ended", "evidence-key", |d| {
            let kid = thumbprint(&jwk_es256("asker-old"));
            d.header["kid"] = format!("{DID}#{kid}").into();
            d.signer = "asker-old";
        }),
        ("a key of nobody", "evidence-key", |d| {
            let jwk = jwk_es256("stranger");
            let did = format!("did:jwk:{}", URL_SAFE_NO_PAD.encode(jwk));
            d.payload["client_id"] = format!("decentralized_identifier:{did}").into();
            d.header["kid"] = format!("{did}#0").into();
            d.signer = "stranger";
        }),
        ("the key under another's DID", "evidence-key", |d| {
            let kid = thumbprint(&jwk_es256("asker-es256"));
            d.payload["client_id"] = "decentralized_identifier:did:web:sakura.example".into();
            d.header["kid"] = format!("did:web:sakura.example#{kid}").into();
        }),
        (
            "a certificate that the client identifier does not name",
            "evidence-key",
            |d| {
                d.header.as_object_mut().unwrap().remove("kid");
                d.header["x5c"] = json!([CERTIFICATE_ES256]);
                d.payload["client_id"] = format!("x509_hash:{}", "A".repeat(43)).into();
            },
        ),
        ("a certificate for another key", "evidence-key", |d| {
            let hash = Sha256::digest(STANDARD.decode(CERTIFICATE_EDDSA).unwrap());
            let hash = URL_SAFE_NO_PAD.encode(hash);
            d.header.as_object_mut().unwrap().remove("kid");
            d.header["x5c"] = json!([CERTIFICATE_EDDSA]);
            d.payload["client_id"] = format!("x509_hash:{hash}").into();
        }),
        ("signed by somebody else", "evidence-signature", |d| {
            d.signer = "stranger";
        }),
        ("an altered signature", "evidence-signature", |d| {
            d.end = |jws| {
                let (signed, signature) = jws.rsplit_once('.').unwrap();
                let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
                signature[40] ^= 1;
                format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
            };
        }),
    ]
}

/// Texts that no JSON library of ours writes.
fn malformed(draft: &Draft) -> Vec<(&'static str, String)> {
    let (header, payload) = (written(&draft.header), written(&draft.payload));
    let with = |payload: &str| draft.sign_texts(&header, payload);
    vec![
        ("whitespace", with(&payload.replacen(':', ": ", 1))),
        (
            "a member twice",
            with(&payload.replacen('{', r#"{"aud":"https://self-issued.me/v2","#, 1)),
        ),
        (
            "an escape",
            with(&payload.replacen("vp_token", "vp\\u005ftoken", 1)),
        ),
        (
            "a number with a fraction",
            with(&payload.replacen(r#""exp":"#, r#""exp":0."#, 1)),
        ),
        (
            "too deep",
            with(&format!("{}1{}", "[".repeat(2000), "]".repeat(2000))),
        ),
        (
            "a header with a member twice",
            draft.sign_texts(&header.replacen('{', r#"{"alg":"ES256","#, 1), &payload),
        ),
        (
            "a header of two objects",
            draft.sign_texts(&(header.clone() + "{}"), &payload),
        ),
    ]
}

/// The reason's code, by the state machine.
fn judge(request: &str) -> Result<Outcome, Inadmissible> {
    let mut world = world();
    let entry = report(&world, request, id("asker"));
    let outcome = world.apply(&entry)?;
    let key = StateKey::over_asking(&evidence_digest(request.as_bytes()));
    let state: OverAskingState = world.read(&key).unwrap();
    assert_eq!(
        (state.recipient, state.reported_ms),
        (id("asker"), world.now_ms)
    );
    Ok(outcome)
}

#[test]
fn vectors() {
    let world = world();
    let vector = |name: &str, request: String, refused: Option<&str>| Vector {
        name: name.into(),
        digest: evidence_digest(request.as_bytes()).to_string(),
        request,
        refused: refused.map(str::to_owned),
    };
    let mut vectors: Vec<_> = evidence(&world)
        .into_iter()
        .map(|(name, draft)| vector(name, draft.sign(), None))
        .collect();
    for (name, code, change) in rejects() {
        let mut draft = Draft::new(&world);
        change(&mut draft);
        vectors.push(vector(name, draft.sign(), Some(code)));
    }
    let whitespace = Draft::new(&world)
        .sign_texts("{ }", "{}")
        .replacen(".e30", ".e3", 1);
    let name =
        "a header that is no JSON and a payload that is no base64url: the encoding comes first";
    vectors.push(vector(name, whitespace, Some("evidence-encoding")));
    for (name, request) in malformed(&Draft::new(&world)) {
        vectors.push(vector(name, request, Some("evidence-json")));
    }
    let made = Vectors {
        page: "over-asking.md".into(),
        chain: world.chain.to_string(),
        time_ms: world.now_ms + 1000,
        organisation: hex::encode(&world.state[&StateKey::organisation(&id("asker"))]),
        vectors,
    };
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/over-asking.json");
    if std::env::var_os("TEGATA_WRITE_VECTORS").is_some() {
        std::fs::write(path, serde_json::to_string_pretty(&made).unwrap() + "\n").unwrap();
    }
    let text = std::fs::read_to_string(path).expect("the vectors are in the repository");
    let stored: Vectors = serde_json::from_str(&text).unwrap();
    assert_eq!(stored, made, "an encoding has changed");
    for vector in &stored.vectors {
        let judged = judge(&vector.request).map_err(|reason| reason.code());
        let expected = vector.refused.as_deref().map_or(Ok(Outcome::Applied), Err);
        assert_eq!(judged, expected, "{}", vector.name);
    }
}

#[test]
fn a_request_is_reported_once_whoever_wrote_its_signature_how() {
    let mut world = world();
    let request = Draft::new(&world).sign();
    let entry = report(&world, &request, id("asker"));
    assert_eq!(world.apply(&entry), Ok(Outcome::Applied));
    // ES256 has two signatures for each: s and the order less s.
    let (signed, signature) = request.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let signature = p256::ecdsa::Signature::from_slice(&signature).unwrap();
    let (r, s) = signature.split_scalars();
    let other = p256::ecdsa::Signature::from_scalars(r.to_bytes(), (-*s).to_bytes()).unwrap();
    let other = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(other.to_bytes()));
    assert_ne!(other, request);
    judge(&other).unwrap();
    let again = report(&world, &other, id("asker"));
    assert_eq!(
        world.apply(&again).map_err(|reason| reason.code()),
        Err("over-asking-known")
    );
}

#[test]
fn a_report_names_the_one_who_asks_and_is_carried_by_another() {
    let mut world = world();
    let request = Draft::new(&world).sign();
    for (recipient, code) in [
        ("clinic", "evidence-organisation"),
        ("stranger", "no-such-organisation"),
        ("host", "sponsor-is-recipient"),
    ] {
        let entry = report(&world, &request, id(recipient));
        assert_eq!(
            world.apply(&entry).map_err(|reason| reason.code()),
            Err(code)
        );
    }
    let body = report(&world, &request, id("asker")).entry().body().clone();
    let alone = Entry::sign(&key("reporter"), &world.chain, world.now_ms + 60_000, body);
    let alone = alone.verify(&world.chain).unwrap();
    assert_eq!(
        world.apply(&alone),
        Err(Inadmissible::NotCountersigned(id("host")))
    );
}

#[test]
fn the_longest_request_fits_into_an_entry() {
    let world = world();
    let request = "e".repeat(REQUEST_OBJECT_LIMIT);
    let entry = report(&world, &request, id("asker"));
    Entry::parse(entry.bytes()).unwrap();
}
