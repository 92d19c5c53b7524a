//! Status lists: whose they are, and which of several counts.

use super::*;

/// Where a credential names no issuer, whoever signed it signs its list.
#[tokio::test]
async fn a_list_is_by_whoever_signed_the_credential() {
    let own = CredentialKey::from_bytes(Algorithm::EdDsa, &[37; 32]).unwrap();
    let vct = catalogue().by_id("vaccination").unwrap().vct();
    let payload = json!({ "vct": vct, "iat": clock::now_s(), "date": "2025-04-01", "vaccine_code": "mr",
        "status": { "status_list": { "uri": STATUS, "idx": 7 } } });
    let object = |value: &serde_json::Value| value.as_object().unwrap().clone();
    let header = json!({ "typ": "dc+sd-jwt", "kid": own.key_id() });
    let text = format!(
        "{}~",
        jws::sign_with_header(object(&header), &object(&payload), &own)
    );
    let keys = [own.public_key(), issuer_key().public_key()].map(|key| TrustedKey::new(key, None));
    let known = Trust::at(clock::now_ms()).with_keys(keys);
    let others = known.with_status_list(&status_list(Status::Valid));
    let finding = look(text.as_bytes(), &others).await;
    let found = code(&finding, "not revoked");
    assert_eq!(
        found,
        Some("status_list_key_unknown"),
        "the list is another's"
    );
}

/// Of several lists and of several proofs the newest counts, in whatever order they are named.
#[tokio::test]
async fn the_newest_of_several_papers_counts() {
    let shared = begin();
    let holder = CredentialKey::from_bytes(Algorithm::EdDsa, &[34; 32]).unwrap();
    let text = credential(&holder, "vaccination");
    let old = status_list_at(Status::Valid, clock::now_s() - 500, None);
    let new = status_list_at(Status::Invalid, clock::now_s(), None);
    for lists in [[&old, &new], [&new, &old]] {
        let lists = lists
            .into_iter()
            .fold(trust(&shared), |trust, list| trust.with_status_list(list));
        let finding = look(text.as_bytes(), &lists).await;
        assert_eq!(
            code(&finding, "not revoked"),
            Some("revoked"),
            "the newer list revokes it"
        );
    }
    // What only its ttl bounds says nothing when that is over.
    let stale = trust(&shared).with_status_list(&status_list_at(
        Status::Valid,
        clock::now_s() - 500,
        Some(60),
    ));
    assert_eq!(
        unknown(&look(text.as_bytes(), &stale).await),
        ["not revoked"]
    );

    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: Vec<u8>| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let proof = |chain: &Chain| {
        let id = StateKey::organisation(&chain.organisation(CLINIC));
        cbor::encode(&chain.state_proof(chain.headers.len() as u64, &id))
    };
    let (genesis, before, after) = {
        let mut chain = shared.lock().unwrap();
        let genesis = folder.path().join("g.json");
        tegata_service::genesis::save(&genesis, &chain.genesis).unwrap();
        let before = file("before", proof(&chain));
        let mut suspended = organisation(&chain, CLINIC);
        suspended.suspensions.push(Suspension {
            from_ms: 0,
            until_ms: None,
        });
        let id = StateKey::organisation(&chain.organisation(CLINIC));
        chain.tamper(id, cbor::encode(&suspended));
        chain.block(&[]).unwrap();
        (genesis, before, file("after", proof(&chain)))
    };
    let request = request_of(shared.lock().unwrap().organisation(CLINIC));
    let chain = shared.lock().unwrap().id;
    let request = request.sign(&key(CLINIC), &chain).to_bytes();
    for proofs in [[&before, &after], [&after, &before]] {
        let options = Options {
            file: "-".into(),
            genesis: Some(genesis.clone()),
            ledger: None,
            trust: proofs.into_iter().cloned().collect(),
            status: vec![],
            request: None,
            keys: None,
            at: None,
            json: true,
        };
        let both = Trust::load(&options).await.unwrap();
        let finding = look(&request, &both).await;
        assert_eq!(
            failed(&finding),
            ["not suspended"],
            "the newer proof suspends it"
        );
    }
}
