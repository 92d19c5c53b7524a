//! Presentations: what they answer, and the times of their signatures.

use super::*;

/// A verifier that names its request does not take what a holder never signed for it.
#[tokio::test]
async fn what_answers_no_request_does_not_hold_with_one() {
    let shared = begin();
    let holder = CredentialKey::from_bytes(Algorithm::EdDsa, &[34; 32]).unwrap();
    let valid = trust(&shared).with_status_list(&status_list(Status::Valid));
    let text = credential(&holder, "vaccination");
    holds(&look(text.as_bytes(), &valid).await, "A credential");
    for request in ["a.b.c", "junk"] {
        let asked = valid.clone().with_request(request);
        let finding = look(text.as_bytes(), &asked).await;
        assert_eq!(failed(&finding), ["request"], "it has no key binding");
        assert_eq!(code(&finding, "request"), Some("key_binding_missing"));
        let list = status_list(Status::Valid);
        let finding = look(list.as_bytes(), &asked).await;
        assert_eq!(unknown(&finding), ["request"], "a list answers no request");
    }
}

/// A holder's signature has its time, and a type has one content.
#[tokio::test]
async fn bindings_have_a_time_and_types_a_content() {
    let shared = begin();
    let holder = CredentialKey::from_bytes(Algorithm::EdDsa, &[34; 32]).unwrap();
    let valid = trust(&shared).with_status_list(&status_list(Status::Valid));
    let text = credential(&holder, "vaccination");
    let shown = |at: i64| {
        let binding = KeyBinding::new("https://verifier.example", "n", at);
        SdJwt::parse(&text)
            .unwrap()
            .present(&[], &binding, &holder)
            .unwrap()
    };
    holds(
        &look(shown(clock::now_s()).as_bytes(), &valid).await,
        "A presentation",
    );
    let finding = look(shown(0).as_bytes(), &valid).await;
    assert_eq!(
        code(&finding, "key binding"),
        Some("key_binding_too_old"),
        "before it was issued"
    );

    // However long ago it says it was issued.
    let vct = catalogue().by_id("vaccination").unwrap().vct();
    let claims = json!({ "date": "2025-04-01", "vaccine_code": "mr" });
    let least = Issuance {
        holder: Some(&holder.public_key()),
        ..Issuance::new("did:web:org22.example", vct, i64::MIN, &claims)
    };
    let least = issue(&least, &issuer_key(), &mut rand::rng()).unwrap();
    let binding = KeyBinding::new("https://verifier.example", "n", clock::now_s());
    let least = SdJwt::parse(&least)
        .unwrap()
        .present(&[], &binding, &holder)
        .unwrap();
    let finding = look(least.as_bytes(), &valid).await;
    assert_eq!(code(&finding, "key binding"), None, "{finding:?}");

    let issuance = Issuance {
        vct_integrity: Some("sha256-AAAA"),
        ..Issuance::new("did:web:org22.example", vct, clock::now_s(), &claims)
    };
    let text = issue(&issuance, &issuer_key(), &mut rand::rng()).unwrap();
    let finding = look(text.as_bytes(), &valid).await;
    assert_eq!(
        code(&finding, "schema"),
        Some("type-integrity"),
        "other contents"
    );
}

const VERIFIER: &str = "did:web:verifier.example";

fn verifier_key() -> CredentialKey {
    CredentialKey::from_bytes(Algorithm::EdDsa, &[38; 32]).unwrap()
}

/// A verifier's request for a vaccination, with a query for each of these claims.
fn request_for(claims: &[&str]) -> String {
    let vct = catalogue().by_id("vaccination").unwrap().vct();
    let queries = claims.iter().map(|claim| {
        json!({ "id": claim, "format": "dc+sd-jwt", "meta": { "vct_values": [vct] }, "claims": [{ "path": [claim] }] })
    });
    let payload = json!({
        "client_id": format!("decentralized_identifier:{VERIFIER}"), "aud": WALLET_AUDIENCE, "nonce": "n-1",
        "response_type": "vp_token", "response_mode": "direct_post", "response_uri": "https://verifier.example/answers",
        "iat": clock::now_s() - 5, "exp": clock::now_s() + 600,
        "dcql_query": { "credentials": queries.collect::<Vec<_>>() },
    });
    let method = format!("{VERIFIER}#{}", verifier_key().key_id());
    let payload = payload.as_object().unwrap();
    sign_request(payload, KeyName::DidUrl(&method), &verifier_key())
}

/// A presentation that answers a request of [`request_for`], with these claims beside the binding's own.
pub(super) fn answer(
    text: &str,
    holder: &CredentialKey,
    more: serde_json::Map<String, serde_json::Value>,
) -> String {
    let audience = format!("decentralized_identifier:{VERIFIER}");
    let binding = KeyBinding {
        extra: more,
        ..KeyBinding::new(&audience, "n-1", clock::now_s())
    };
    let credential = SdJwt::parse(text).unwrap();
    credential
        .present(&["vaccine_code".into()], &binding, holder)
        .unwrap()
}

/// Two queries may ask for one type: what answers either of them answers the request.
#[tokio::test]
async fn a_presentation_answers_one_of_several_queries() {
    let shared = begin();
    let holder = CredentialKey::from_bytes(Algorithm::EdDsa, &[34; 32]).unwrap();
    let verifier = TrustedKey::new(verifier_key().public_key(), Some(VERIFIER));
    let valid = trust(&shared)
        .with_keys([verifier])
        .with_status_list(&status_list(Status::Valid));
    let text = credential(&holder, "vaccination");
    let shown = answer(&text, &holder, Default::default());
    for claims in [
        &["vaccine_code"][..],
        &["lot_number", "vaccine_code"],
        &["vaccine_code", "lot_number"],
    ] {
        let asked = valid.clone().with_request(&request_for(claims));
        holds(&look(shown.as_bytes(), &asked).await, "A presentation");
    }
    let asked = valid.clone().with_request(&request_for(&["lot_number"]));
    let finding = look(shown.as_bytes(), &asked).await;
    assert_eq!(code(&finding, "request"), Some("dcql_claim_missing"));

    // A time with a fraction is a time: the request had been made by then.
    let (issued, binding) = shown.rsplit_once('~').unwrap();
    let claims = binding.split('.').nth(1).unwrap();
    let mut claims: serde_json::Value =
        serde_json::from_slice(&jws::decode(claims).unwrap()).unwrap();
    claims["iat"] = json!(claims["iat"].as_f64().unwrap() + 0.5);
    let header = json!({ "typ": "kb+jwt" });
    let object = |value: &serde_json::Value| value.as_object().unwrap().clone();
    let binding = jws::sign_with_header(object(&header), &object(&claims), &holder);
    let asked = valid.with_request(&request_for(&["vaccine_code"]));
    let finding = look(format!("{issued}~{binding}").as_bytes(), &asked).await;
    holds(&finding, "A presentation");
}
