//! Signed requests: what is taken, and everything that is not.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, Request};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tegata_consent::cose::public_key;
use tegata_consent::ids::{Nonce, OrganisationId, VaultId};
use tegata_service::clock;
use tegata_service::config::HttpConfig;
use tegata_service::signature::{
    KeyId, SignatureError, SignedRequest, Signer, Verifier, send_signed, sign,
};

const URL: &str = "https://host.example:8443";
const NOW_S: i64 = 1_800_000_000;

fn key() -> SigningKey {
    SigningKey::from_bytes(&[5; 32])
}

fn parts(method: &Method, path: &str, headers: &[(HeaderName, HeaderValue)]) -> Parts {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .body(())
        .unwrap();
    request.headers_mut().extend(headers.iter().cloned());
    request.into_parts().0
}

fn signed(body: &[u8], nonce: u8) -> Vec<(HeaderName, HeaderValue)> {
    sign(
        &Signer::vault(key()),
        &Method::POST,
        &format!("{URL}/v1/fetch?after=7"),
        body,
        NOW_S,
        Nonce([nonce; 16]),
    )
}

/// Alters the text of one header.
fn altered(
    headers: &[(HeaderName, HeaderValue)],
    name: &str,
    from: &str,
    to: &str,
) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = headers.to_vec();
    let value = &mut headers
        .iter_mut()
        .find(|(header, _)| header == name)
        .unwrap()
        .1;
    let text = value.to_str().unwrap().replacen(from, to, 1);
    assert_ne!(text, value.to_str().unwrap());
    *value = text.try_into().unwrap();
    headers
}

fn check(
    verifier: &Verifier,
    headers: &[(HeaderName, HeaderValue)],
    body: &[u8],
) -> Result<KeyId, SignatureError> {
    verifier.verify_at(
        &parts(&Method::POST, "/v1/fetch?after=7", headers),
        body,
        NOW_S,
    )
}

#[test]
fn both_kinds_of_signers_are_recognised() {
    let verifier = Verifier::started_at(URL, 0);
    assert_eq!(
        check(&verifier, &signed(b"body", 1), b"body"),
        Ok(KeyId::Vault(VaultId(public_key(&key()).0)))
    );
    let organisation = OrganisationId([3; 32]);
    let signer = Signer::organisation(organisation, key());
    let headers = sign(
        &signer,
        &Method::GET,
        &format!("{URL}/v1/host"),
        b"",
        NOW_S,
        Nonce([2; 16]),
    );
    let found = verifier.verify_at(&parts(&Method::GET, "/v1/host", &headers), b"", NOW_S);
    assert_eq!(
        found,
        Ok(KeyId::Organisation(organisation, public_key(&key())))
    );
}

/// The signature base written out by hand, as RFC 9421 section 2.5 says.
#[test]
fn the_signature_covers_the_base_written_by_hand() {
    let keyid = format!("vault:{}", public_key(&key()));
    let digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(b"body")));
    let params = format!(
        "(\"@method\" \"@target-uri\" \"content-digest\");created=1800000000;nonce=\"AQEBAQEBAQEBAQEBAQEBAQ\";keyid=\"{keyid}\";alg=\"ed25519\";tag=\"tegata\""
    );
    let base = format!(
        "\"@method\": POST\n\"@target-uri\": https://host.example:8443/v1/fetch?after=7\n\"content-digest\": {digest}\n\"@signature-params\": {params}"
    );
    let signature = format!(
        "sig=:{}:",
        STANDARD.encode(key().sign(base.as_bytes()).to_bytes())
    );
    let mut made = signed(b"body", 1);
    made.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()));
    let values: Vec<_> = made
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    let input = format!("sig={params}");
    assert_eq!(
        values,
        [
            ("content-digest", digest.as_str()),
            ("signature", signature.as_str()),
            ("signature-input", input.as_str())
        ]
    );
}

#[test]
fn anything_altered_is_refused() {
    let verifier = Verifier::started_at(URL, 0);
    let good = signed(b"body", 1);
    for (method, path, expected) in [
        (Method::PUT, "/v1/fetch?after=7", SignatureError::Signature),
        (Method::POST, "/v1/fetch?after=8", SignatureError::Signature),
        (Method::POST, "/v1/fetch", SignatureError::Signature),
        (Method::POST, "/v1/Fetch?after=7", SignatureError::Signature),
    ] {
        assert_eq!(
            verifier.verify_at(&parts(&method, path, &good), b"body", NOW_S),
            Err(expected)
        );
    }
    assert_eq!(
        check(&verifier, &good, b"bodY"),
        Err(SignatureError::Digest)
    );
    assert_eq!(check(&verifier, &good, b""), Err(SignatureError::Digest));
    let elsewhere = Verifier::started_at("https://other.example", 0);
    assert_eq!(
        check(&elsewhere, &good, b"body"),
        Err(SignatureError::Signature)
    );
    let other_nonce = altered(&good, "signature-input", "AQEB", "BQEB");
    assert_eq!(
        check(&verifier, &other_nonce, b"body"),
        Err(SignatureError::Signature)
    );
    let later = altered(
        &good,
        "signature-input",
        "created=1800000000",
        "created=1800000001",
    );
    assert_eq!(
        check(&verifier, &later, b"body"),
        Err(SignatureError::Signature)
    );
    let stranger = altered(&good, "signature-input", "vault:", "vault:00");
    assert_eq!(
        check(&verifier, &stranger, b"body"),
        Err(SignatureError::KeyId)
    );
    assert_eq!(
        check(&verifier, &good, b"body").map(|_| ()),
        Ok(()),
        "and nothing above used up the nonce"
    );
}

#[test]
fn another_profile_is_refused() {
    let verifier = Verifier::started_at(URL, 0);
    let good = signed(b"body", 1);
    let input = |from, to| {
        check(
            &verifier,
            &altered(&good, "signature-input", from, to),
            b"body",
        )
    };
    assert_eq!(
        input("tag=\"tegata\"", "tag=\"other\""),
        Err(SignatureError::Tag("other".into()))
    );
    assert_eq!(
        input(";tag=\"tegata\"", ""),
        Err(SignatureError::Tag("none".into()))
    );
    assert_eq!(
        input("ed25519", "hmac-sha256"),
        Err(SignatureError::Algorithm("hmac-sha256".into()))
    );
    assert_eq!(
        input("sig=", "sig1="),
        Err(SignatureError::Header("Signature-Input"))
    );
    assert_eq!(
        input(" \"content-digest\"", ""),
        Err(SignatureError::DigestMissing)
    );
    assert_eq!(
        input("AQEBAQEBAQEBAQEBAQEBAQ", "AQEB"),
        Err(SignatureError::Nonce)
    );
    assert_eq!(input("vault:", "person:"), Err(SignatureError::KeyId));
    let upper = public_key(&key()).to_string();
    assert_eq!(
        input(&upper.clone(), &upper.to_uppercase()),
        Err(SignatureError::KeyId)
    );
    let twice = [good.clone(), good[..1].to_vec()].concat();
    let mut request = Request::builder()
        .method("POST")
        .uri("/v1/fetch?after=7")
        .body(())
        .unwrap();
    for (name, value) in &twice {
        request.headers_mut().append(name, value.clone());
    }
    let found = verifier.verify_at(&request.into_parts().0, b"body", NOW_S);
    assert_eq!(found, Err(SignatureError::Header("Signature-Input")));
    for missing in ["signature", "signature-input"] {
        let rest: Vec<_> = good
            .iter()
            .filter(|(name, _)| name != missing)
            .cloned()
            .collect();
        assert!(matches!(
            check(&verifier, &rest, b"body"),
            Err(SignatureError::Header(_))
        ));
    }
    let no_digest: Vec<_> = good
        .iter()
        .filter(|(name, _)| name != "content-digest")
        .cloned()
        .collect();
    assert_eq!(
        check(&verifier, &no_digest, b"body"),
        Err(SignatureError::Digest)
    );
}

#[test]
fn time_and_nonce_bound_each_request_to_once() {
    let verifier = Verifier::started_at(URL, 0);
    let at = |headers: &[_], now_s| {
        verifier.verify_at(
            &parts(&Method::POST, "/v1/fetch?after=7", headers),
            b"body",
            now_s,
        )
    };
    for now_s in [NOW_S + 61, NOW_S - 61, 0, i64::MAX] {
        assert!(
            matches!(
                at(&signed(b"body", 1), now_s),
                Err(SignatureError::Created { .. })
            ),
            "{now_s}"
        );
    }
    assert!(at(&signed(b"body", 1), NOW_S - 60).is_ok());
    for now_s in [NOW_S - 60, NOW_S, NOW_S + 60] {
        assert_eq!(
            at(&signed(b"body", 1), now_s),
            Err(SignatureError::Replayed),
            "{now_s}"
        );
    }
    assert!(at(&signed(b"body", 2), NOW_S + 60).is_ok());
    let restarted = Verifier::started_at(URL, NOW_S + 1);
    assert!(
        matches!(
            check(&restarted, &signed(b"body", 1), b"body"),
            Err(SignatureError::Created { .. })
        ),
        "served before a restart"
    );
}

/// Anybody can make keys: what strangers sign is checked and not remembered, so it takes up nobody's room; what a known
/// signer sent is taken once, and organisations have room of their own.
#[test]
fn only_known_signers_take_up_room() {
    let verifier = Verifier::started_at(URL, 0);
    let headers = signed(b"body", 1);
    let request = parts(&Method::POST, "/v1/fetch?after=7", &headers);
    let now_s = clock::now_s();
    let fresh = |signer: &Signer, nonce| {
        let target = format!("{URL}/v1/fetch?after=7");
        let headers = sign(
            signer,
            &Method::POST,
            &target,
            b"body",
            now_s,
            Nonce([nonce; 16]),
        );
        parts(&Method::POST, "/v1/fetch?after=7", &headers)
    };
    assert!(
        matches!(
            verifier.check(&request, b"body"),
            Err(SignatureError::Created { .. })
        ),
        "the test's fixed time is long over"
    );
    let (vault, id) = (Signer::vault(key()), OrganisationId([3; 32]));
    let request = fresh(&vault, 1);
    let (once, twice) = (
        verifier.check(&request, b"body").unwrap(),
        verifier.check(&request, b"body").unwrap(),
    );
    assert_eq!(once, twice, "checking remembers nothing");
    assert_eq!(verifier.remember(&once), Ok(once.key()));
    assert_eq!(verifier.remember(&twice), Err(SignatureError::Replayed));
    assert_eq!(
        verifier.check(&request, b"body"),
        Err(SignatureError::Replayed)
    );
    let organisation = Signer::organisation(id, key());
    assert!(verifier.verify(&fresh(&organisation, 1), b"body").is_ok());
}

#[tokio::test]
async fn over_the_wire_also_under_a_nested_path() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = listener.local_addr().unwrap();
    let public_url = format!("http://{listen}");
    let verifier = Arc::new(Verifier::started_at(&public_url, clock::now_s() - 1));
    let inner = axum::Router::new().route(
        "/echo",
        axum::routing::post(|request: SignedRequest<16>| async move {
            request.once().unwrap();
            format!("{} {}", request.vault().unwrap(), request.body.len())
        }),
    );
    let router = axum::Router::new().nest("/v1", inner).with_state(verifier);
    let config = HttpConfig::plain(listen, public_url.clone());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(async move {
        tegata_service::http::serve_on(listener, router, &config, async { drop(stopped.await) })
            .await
    });
    let (client, signer) = (reqwest::Client::new(), Signer::vault(key()));
    let target = format!("{public_url}/v1/echo?x=%20a b");
    let send = |body: &'static [u8]| {
        send_signed(
            &client,
            &signer,
            Method::POST,
            &target,
            "text/plain",
            body.to_vec(),
        )
    };
    let reply = send(b"hello").await.unwrap();
    assert_eq!(reply.status(), 200);
    assert_eq!(
        reply.text().await.unwrap(),
        format!("{} 5", public_key(&key()))
    );
    assert_eq!(send(b"longer than sixteen").await.unwrap().status(), 413);
    for encoding in ["identity", "gzip"] {
        let unsigned = client
            .post(format!("{public_url}/v1/echo"))
            .header("content-encoding", encoding)
            .body("longer than sixteen")
            .send()
            .await
            .unwrap();
        assert_eq!(unsigned.status(), 401, "{encoding}");
        let problem: serde_json::Value = unsigned.json().await.unwrap();
        assert_eq!(problem["code"], "signature-malformed");
    }
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
}
