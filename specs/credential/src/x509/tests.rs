use super::*;
use crate::keys::SigningKey;

const DAY_S: i64 = 86_400;
const AT: i64 = 1_760_000_000;

fn subject<'a>(common_name: &'a str, dns_names: &'a [&'a str]) -> Subject<'a> {
    Subject {
        common_name,
        organisation: "Sakura City, East + West",
        country: "JP",
        dns_names,
        uris: &["https://sakura.example"],
    }
}

struct World {
    authority: Certificate,
    authority_key: SigningKey,
    leaf: Certificate,
    leaf_key: SigningKey,
}

fn world(algorithm: Algorithm) -> World {
    let mut rng = rand::rng();
    let authority_key = SigningKey::generate(Algorithm::Es256, &mut rng);
    let leaf_key = SigningKey::generate(algorithm, &mut rng);
    let valid = AT - DAY_S..=AT + 365 * DAY_S;
    let authority = issue_authority(
        &subject("Authority", &[]),
        &authority_key,
        valid.clone(),
        &mut rng,
    )
    .unwrap();
    let leaf = issue(
        &subject("さくら診療所", &["sakura.example"]),
        &leaf_key.public_key(),
        &authority,
        &authority_key,
        valid,
        &mut rng,
    )
    .unwrap();
    World {
        authority,
        authority_key,
        leaf,
        leaf_key,
    }
}

#[test]
fn a_chain_holds_up_to_its_anchor() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let w = world(algorithm);
        let leaf = Certificate::from_pem(&w.leaf.to_pem()).unwrap();
        assert_eq!(leaf, Certificate::from_base64(&w.leaf.to_base64()).unwrap());
        assert_eq!(leaf.public_key().unwrap(), w.leaf_key.public_key());
        assert_eq!(leaf.dns_names(), ["sakura.example"]);
        assert_eq!(leaf.uris(), ["https://sakura.example"]);
        let chain = [leaf];
        verify_chain(&chain, std::slice::from_ref(&w.authority), AT).unwrap();
        verify_chain(&chain, &chain, AT).unwrap();
    }
}

#[test]
fn a_chain_that_does_not_hold_is_named() {
    let w = world(Algorithm::Es256);
    let other = world(Algorithm::Es256);
    let chain = std::slice::from_ref(&w.leaf);
    let anchors = std::slice::from_ref(&w.authority);
    let code = |chain: &[Certificate], anchors: &[Certificate], at| {
        verify_chain(chain, anchors, at).unwrap_err().code()
    };
    assert_eq!(code(&[], anchors, AT), "x509_chain_empty");
    assert_eq!(code(chain, &[], AT), "x509_untrusted");
    let others = std::slice::from_ref(&other.authority);
    assert_eq!(code(chain, others, AT), "x509_untrusted");
    assert_eq!(
        code(chain, anchors, AT - 2 * DAY_S),
        "x509_outside_validity"
    );
    assert_eq!(
        code(chain, anchors, AT + 366 * DAY_S),
        "x509_outside_validity"
    );
    // An authority's certificate signs certificates, not credentials.
    assert_eq!(code(anchors, anchors, AT), "x509_key_usage");
    // A leaf signs no certificates.
    let mut rng = rand::rng();
    let valid = AT - DAY_S..=AT + DAY_S;
    let forged_key = SigningKey::generate(Algorithm::Es256, &mut rng);
    let forged = issue(
        &subject("Forged", &[]),
        &forged_key.public_key(),
        &w.leaf,
        &w.leaf_key,
        valid,
        &mut rng,
    )
    .unwrap();
    assert_eq!(
        code(&[forged, w.leaf.clone()], anchors, AT),
        "x509_untrusted"
    );
    // One altered byte of the signed part.
    let mut der = w.leaf.der().to_vec();
    let place = der.windows(6).position(|w| w == b"sakura").unwrap();
    der[place] = b'S';
    let altered = Certificate::from_der(&der).unwrap();
    assert_eq!(code(&[altered], anchors, AT), "x509_untrusted");
    let wrong_key = issue(
        &subject("x", &[]),
        &forged_key.public_key(),
        &w.authority,
        &forged_key,
        AT..=AT,
        &mut rng,
    );
    assert_eq!(wrong_key.unwrap_err().code(), "x509_authority_key");
    assert_ne!(w.authority_key.key_id(), w.leaf_key.key_id());
}

/// Whoever is trusted to sign is not trusted to say who others are.
#[test]
fn only_an_authority_anchors() {
    let w = world(Algorithm::Es256);
    let mut rng = rand::rng();
    let forged = issue(
        &subject("Forged", &[]),
        &SigningKey::generate(Algorithm::Es256, &mut rng).public_key(),
        &w.leaf,
        &w.leaf_key,
        AT - DAY_S..=AT + DAY_S,
        &mut rng,
    )
    .unwrap();
    let error = verify_chain(&[forged], std::slice::from_ref(&w.leaf), AT).unwrap_err();
    assert_eq!(error.code(), "x509_untrusted");
}

/// Made with OpenSSL: a root, a leaf, and between them an authority whose key signs certificates, or lists of revoked ones only.
#[test]
fn who_stands_between_signs_certificates() {
    const ROOT: &str = "MIIBeDCCAR6gAwIBAgIUFzUJefA8azXiKk0ns6Xce91ZoUQwCgYIKoZIzj0EAwIwGTEXMBUGA1UEAwwOQSBtYWRlLXVwIHJvb3QwIBcNMjYxMTIwMTgxMTU1WhgPMjEyNjEwMjcxODExNTVaMBkxFzAVBgNVBAMMDkEgbWFkZS11cCByb290MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEUrAgomdCxVigMDUsjJry6xdntPOhdtyPhL9mwwJZeUyjnqQYoNyRW5y2VsOGH2G2RWZGAg6fkqD6dVZ46lgrI6NCMEAwDwYDVR0TAQH/BAUwAwEB/zAOBgNVHQ8BAf8EBAMCAQYwHQYDVR0OBBYEFDs5ZPaid2zkvWEioEypVGbwEIc4MAoGCCqGSM49BAMCA0gAMEUCIQCe1Q4blJbqJVECcnkvYUvzAeMH4uDtkw0CNNr9LYAJlQIgbGHOq22/jMIgj3x4VshmOznmkgIzNKuyJO+n62KEsnU=";
    const CERTIFIES: &str = "MIIBkjCCATmgAwIBAgIBAjAKBggqhkjOPQQDAjAZMRcwFQYDVQQDDA5BIG1hZGUtdXAgcm9vdDAgFw0yNjExMjAxODExNTVaGA8yMTI2MTAyNzE4MTE1NVowJjEkMCIGA1UEAwwbQSBtYWRlLXVwIGF1dGhvcml0eSBiZXR3ZWVuMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEcf9TyvSCnFU7cAaKO78PRt+lS7posa3KRIYYn0tLDXFvnRGCAZOmXMivA5tp8tJSL/lmANSSBTngABz6VYGmgaNjMGEwDwYDVR0TAQH/BAUwAwEB/zAOBgNVHQ8BAf8EBAMCAgQwHQYDVR0OBBYEFFMEB8VRQOyKgMMg8XzPXm4xr/cLMB8GA1UdIwQYMBaAFDs5ZPaid2zkvWEioEypVGbwEIc4MAoGCCqGSM49BAMCA0cAMEQCIG+kNc8QIbsRTjJIGXYSW02933YEAtLEh+HtwYqrw2E2AiAJqvUJHMJ6+XI6wBu4rGxYqGYlmJqbzCYAjvtt8o/Kfw==";
    const LISTS: &str = "MIIBlDCCATmgAwIBAgIBAjAKBggqhkjOPQQDAjAZMRcwFQYDVQQDDA5BIG1hZGUtdXAgcm9vdDAgFw0yNjExMjAxODExNTVaGA8yMTI2MTAyNzE4MTE1NVowJjEkMCIGA1UEAwwbQSBtYWRlLXVwIGF1dGhvcml0eSBiZXR3ZWVuMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEcf9TyvSCnFU7cAaKO78PRt+lS7posa3KRIYYn0tLDXFvnRGCAZOmXMivA5tp8tJSL/lmANSSBTngABz6VYGmgaNjMGEwDwYDVR0TAQH/BAUwAwEB/zAOBgNVHQ8BAf8EBAMCAQIwHQYDVR0OBBYEFFMEB8VRQOyKgMMg8XzPXm4xr/cLMB8GA1UdIwQYMBaAFDs5ZPaid2zkvWEioEypVGbwEIc4MAoGCCqGSM49BAMCA0kAMEYCIQCYNfbbtZWjTG2sdyDX5gmp0h2lNc+cA/vuvGD9BHB7AAIhAPUAbbW7Gzsv1CUP5a2IlYrPwC3UBDtulOPw6sYn5O1X";
    const LEAF: &str = "MIIBgzCCASqgAwIBAgIBAzAKBggqhkjOPQQDAjAmMSQwIgYDVQQDDBtBIG1hZGUtdXAgYXV0aG9yaXR5IGJldHdlZW4wIBcNMjYxMTIwMTgxMTU1WhgPMjEyNjEwMjcxODExNTVaMBsxGTAXBgNVBAMMEEEgbWFkZS11cCBjbGluaWMwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASlmmnNbe0EfVff2MLT1af3EkhMHg8mURDWcT410tv86KimW85zUl9DXEqAOwg32n4jwcxVNaZbG8PqQC7nNTI2o1IwUDAOBgNVHQ8BAf8EBAMCB4AwHQYDVR0OBBYEFELX4p1TMQxkDaqDIHo/Uu/fyViMMB8GA1UdIwQYMBaAFFMEB8VRQOyKgMMg8XzPXm4xr/cLMAoGCCqGSM49BAMCA0cAMEQCIGpAdUAbHy5YoYboF0r1XI8LSGt3PyDhi4MmrFXDKZzQAiAkEcCJ7tTFDTmf0XvCn8BTwsGwzQKJJe+evbisWlV1Gg==";
    let [root, certifies, lists, leaf] =
        [ROOT, CERTIFIES, LISTS, LEAF].map(|text| Certificate::from_base64(text).unwrap());
    let at = leaf.not_before() + DAY_S;
    verify_chain(&[leaf.clone(), certifies], std::slice::from_ref(&root), at).unwrap();
    let error = verify_chain(&[leaf, lists], &[root], at).unwrap_err();
    assert_eq!(error.code(), "x509_untrusted");
}

#[test]
fn a_certificate_names_its_uri_and_its_host() {
    let leaf = world(Algorithm::Es256).leaf;
    let mut rng = rand::rng();
    let key = SigningKey::generate(Algorithm::Es256, &mut rng);
    let host = issue_authority(
        &Subject {
            uris: &[],
            ..subject("Host", &["sakura.example"])
        },
        &key,
        AT..=AT,
        &mut rng,
    )
    .unwrap();
    assert!(leaf.names("https://sakura.example"));
    for named in [
        "https://sakura.example",
        "https://Sakura.example:8443/shc",
        "https://sakura.example/a:b@c",
    ] {
        assert!(host.names(named), "{named}");
    }
    for other in [
        "https://sakura.example:x@evil.example/",
        "https://sakura.example@evil.example",
        "https://evil.example/sakura.example",
        "https://sakura.example.evil.example",
        "http://sakura.example",
        "https://",
        "did:web:sakura.example",
    ] {
        assert!(!host.names(other), "{other}");
    }
}

#[test]
fn an_anchor_that_is_over_anchors_nothing() {
    let mut rng = rand::rng();
    let key = SigningKey::generate(Algorithm::Es256, &mut rng);
    let short = AT - 2 * DAY_S..=AT - DAY_S;
    let authority = issue_authority(&subject("Old", &[]), &key, short, &mut rng).unwrap();
    let long = AT - 2 * DAY_S..=AT + DAY_S;
    let leaf = issue(
        &subject("Leaf", &[]),
        &SigningKey::generate(Algorithm::Es256, &mut rng).public_key(),
        &authority,
        &key,
        long,
        &mut rng,
    )
    .unwrap();
    let error = verify_chain(&[leaf], &[authority], AT).unwrap_err();
    assert_eq!(error.code(), "x509_untrusted");
}

#[test]
fn bad_input_is_an_error() {
    for bytes in [&b""[..], b"\x30", &[0x30; 100], &[0xff; 20_000]] {
        assert!(Certificate::from_der(bytes).is_err());
    }
    assert!(Certificate::from_base64("!").is_err());
    assert!(Certificate::all_from_pem("-----BEGIN CERTIFICATE-----\nAA").is_err());
    assert!(
        Certificate::all_from_pem("nothing here")
            .unwrap()
            .is_empty()
    );
}
