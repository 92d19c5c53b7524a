//! What works.

use super::*;
use crate::tests::world::TYPES;
use tegata_credential::jwe::{self, Encryption, Jwe};
use tegata_credential::sd_jwt::ISSUED_TO_THE_S;
use tegata_credential::status_list::Status;
use tegata_credential::x509::verify_chain;
use tegata_records::{Lang, catalogue};

#[tokio::test]
async fn a_batch_by_pre_authorised_code_is_revoked_with_its_record() {
    let mut world = world(config()).await;
    let authority = certify(&mut world, "https://issuer.example");
    let issuer = world.start().await;
    let wallet = Wallet { issuer: &issuer };
    let record = wallet.vaccination("0012", "imm-1").await;
    let made = wallet
        .offer(json!({ "subject": "0012", "by": "value" }))
        .await;
    assert!(made["qr_svg"].as_str().unwrap().contains("<svg"));
    let tx_code = made["tx_code"].as_str().unwrap();
    assert!(tx_code.len() == 6 && tx_code.bytes().all(|digit| digit.is_ascii_digit()));
    assert!(!made["link"].as_str().unwrap().contains(tx_code));
    let offer = wallet.opened(&made).await;
    assert_eq!(offer["credential_issuer"], issuer.url);
    assert_eq!(
        offer["credential_configuration_ids"],
        json!(["vaccination"])
    );
    assert_eq!(offer["grants"][PRE_AUTHORIZED]["tx_code"]["length"], 6);
    let (status, token) = wallet.redeem(&pre_authorized_code(&offer), tx_code).await;
    assert_eq!((status, &token["token_type"]), (200, &json!("Bearer")));
    assert!(
        token.get("authorization_details").is_none(),
        "there is but one record"
    );

    let holders = keys(3);
    let (status, body) = wallet.copies(&token, &holders).await;
    assert_eq!(status, 200, "{body}");
    let copies = credentials(&body);
    let mut places = Vec::new();
    let vaccination = catalogue().by_id("vaccination").unwrap();
    for (copy, holder) in copies.iter().zip(&holders) {
        let verified = verified(&world, copy, &holder.public_key());
        assert_eq!(verified.issuer(), Some(issuer.url.as_str()));
        assert_eq!(verified.vct(), vaccination.vct());
        assert_eq!(verified.vct_integrity(), Some(vaccination.integrity()));
        assert_eq!(verified.claims()["lot_number"], "LOT-1");
        vaccination.validate(verified.claims()).unwrap();
        assert_eq!(verified.issued_at().unwrap() % ISSUED_TO_THE_S, 0);
        assert_eq!(verified.expires_at().unwrap() % ISSUED_TO_THE_S, 0);
        assert_eq!(verified.id(), None);
        let chain = SdJwt::parse(copy).unwrap().certificates().unwrap();
        let leaf = verify_chain(&chain, std::slice::from_ref(&authority), now_s()).unwrap();
        assert_eq!(leaf.public_key().unwrap(), signing_key(&world).public_key());
        let place = verified.status().unwrap();
        places.push(json!({ "uri": place.uri, "idx": place.index }));
    }
    assert_eq!(copies.len(), 3);
    unlinkable(&world, &copies, "LOT-1");
    for place in &places {
        assert!(!issuer.is_revoked(&world, place).await);
    }
    // More of the same, under the same token.
    let more = wallet.copies(&token, &keys(5)).await;
    assert_eq!(more.0, 200, "{}", more.1);
    // Taken back, all of its copies are.
    let revocation = format!("/v1/records/{record}/revocation");
    let (status, _) = issuer
        .post(&revocation, &json!({ "reason": "wrong lot" }))
        .await;
    assert_eq!(status, 200);
    for place in &places {
        assert!(issuer.is_revoked(&world, place).await);
    }
    let denied = wallet.copies(&token, &keys(1)).await;
    assert_eq!(error_of(denied), refused(400, "credential_request_denied"));
    issuer.stop().await;
    let report = crate::fsck(&world.folder.path().join("data"), |_| {}).unwrap();
    assert!(report.is_sound(), "{:?}", report.faults);
}

/// Where there are only copies of a record these are suspended; and so is what reaches the vault afterwards.
#[tokio::test]
async fn a_record_that_was_suspended_as_a_copy_is_suspended_in_the_vault() {
    let world = world(config()).await;
    let issuer = world.start().await;
    let wallet = Wallet { issuer: &issuer };
    let id = wallet.vaccination("0012", "imm-1").await;
    let token = wallet.token_for("0012").await;
    let holders = keys(1);
    let (status, body) = wallet.copies(&token, &holders).await;
    assert_eq!(status, 200, "{body}");
    let copy = verified(&world, &credentials(&body)[0], &holders[0].public_key());
    let copy = copy.status().unwrap();
    let copy = json!({ "uri": copy.uri, "idx": copy.index });
    let suspension = format!("/v1/records/{id}/suspension");
    let why = json!({ "reason": "under review" });
    assert_eq!(issuer.post(&suspension, &why).await.0, 200);
    let vault = crate::tests::world::Wallet::new();
    issuer.pair(&world, &vault, "0012").await;
    let deposited = issuer.wait_status(&id, "deposited").await;
    let places = [&copy, &deposited["status_list"]];
    for place in places {
        assert_eq!(issuer.status(&world, place).await, Status::Suspended);
    }
    let lift = issuer.http.delete(format!("{}{suspension}", issuer.url));
    let lift = lift.bearer_auth(crate::tests::world::TOKEN).send().await;
    assert_eq!(lift.unwrap().status(), 200);
    for place in places {
        assert_eq!(issuer.status(&world, place).await, Status::Valid);
    }
    assert_eq!(issuer.post(&suspension, &why).await.0, 200);
    issuer.stop().await;
    let report = crate::fsck(&world.folder.path().join("data"), |_| {}).unwrap();
    assert!(report.is_sound(), "{:?}", report.faults);
}

/// No two copies have anything in common but issuer, type, day and what the record says.
fn unlinkable(world: &World, copies: &[String], lot: &str) {
    let texts = |copy: &String| -> Vec<String> {
        let mut texts = Vec::new();
        let mut walk = vec![];
        let parts: Vec<&str> = copy.trim_end_matches('~').split('~').collect();
        let jwt: Vec<&str> = parts[0].split('.').collect();
        texts.push(jwt[2].to_owned());
        for part in jwt[..2].iter().chain(&parts[1..]) {
            let bytes = tegata_credential::jws::decode(part).unwrap();
            walk.push(serde_json::from_slice::<Value>(&bytes).unwrap());
        }
        while let Some(value) = walk.pop() {
            match value {
                Value::Array(items) => walk.extend(items),
                Value::Object(members) => walk.extend(members.into_iter().map(|(_, value)| value)),
                other => texts.push(
                    other
                        .as_str()
                        .map_or_else(|| other.to_string(), str::to_owned),
                ),
            }
        }
        texts
    };
    let key = signing_key(world);
    let first = SdJwt::parse(&copies[0]).unwrap();
    let chain = first.certificates().unwrap();
    let whole = first.verify(&key.public_key(), now_s()).unwrap();
    let status = whole.status().unwrap().uri.clone();
    // What all copies of this type and day have, the names of claims, and what the record says.
    let mut shared = vec![key.key_id(), chain[0].to_base64(), status];
    for name in ["iss", "iat", "exp", "vct", "vct#integrity"] {
        let value = &whole.payload()[name];
        shared.push(
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned),
        );
    }
    let fixed = ["ES256", "dc+sd-jwt", "sha-256", "EC", "P-256"].map(str::to_owned);
    shared.extend(fixed);
    let names = catalogue().by_id("vaccination").unwrap().claim_names();
    shared.extend(names.map(str::to_owned));
    let mut claims = vec![whole.claims()];
    while let Some(claim) = claims.pop() {
        match claim {
            Value::Array(items) => claims.extend(items),
            Value::Object(members) => claims.extend(members.values()),
            other => shared.push(
                other
                    .as_str()
                    .map_or_else(|| other.to_string(), str::to_owned),
            ),
        }
    }
    assert!(shared.iter().any(|text| text == lot));
    for (index, copy) in copies.iter().enumerate() {
        for text in texts(copy).iter().filter(|text| !shared.contains(text)) {
            let in_another = copies[..index]
                .iter()
                .any(|other| texts(other).contains(text));
            assert!(!in_another, "{text} is in two copies");
        }
    }
}

#[tokio::test]
async fn two_records_of_a_type_are_told_apart() {
    let world = world(config()).await;
    let issuer = world.start().await;
    let wallet = Wallet { issuer: &issuer };
    let first = wallet.vaccination("0012", "imm-1").await;
    let second = wallet.vaccination("0012", "imm-2").await;
    wallet.vaccination("0099", "imm-3").await;
    let token = wallet.token_for("0012").await;
    let detail = &token["authorization_details"][0];
    assert_eq!(detail["credential_configuration_id"], "vaccination");
    // Oldest first; of two that were accepted in the same millisecond the identifier decides.
    let mut named: Vec<String> = detail["credential_identifiers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_str().unwrap().to_owned())
        .collect();
    named.sort_unstable();
    let mut both = [first.clone(), second.clone()];
    both.sort_unstable();
    assert_eq!(named, both);
    let ambiguous = wallet.copies(&token, &keys(1)).await;
    assert_eq!(
        error_of(ambiguous),
        refused(400, "invalid_credential_request")
    );
    for id in [&first, &second] {
        let key = keys(1).remove(0);
        let proof = wallet.proof(&key, &wallet.nonce().await);
        let body = json!({ "credential_identifier": id, "proofs": { "jwt": [proof] } });
        let (status, body) = wallet.ask(&token, &body).await;
        assert_eq!(status, 200, "{body}");
        verified(&world, &credentials(&body)[0], &key.public_key());
    }
    // One of them alone.
    let made = wallet
        .offer(json!({ "subject": "0012", "records": [second] }))
        .await;
    let code = pre_authorized_code(&wallet.opened(&made).await);
    let (_, token) = wallet
        .redeem(&code, made["tx_code"].as_str().unwrap())
        .await;
    assert_eq!(wallet.copies(&token, &keys(1)).await.0, 200);
    issuer.stop().await;
}

#[tokio::test]
async fn of_a_deposited_record_there_is_a_copy_where_its_source_is_sent_once_more() {
    use crate::tests::world::{Wallet as Vault, immunization};
    let world = world(config()).await;
    let issuer = world.start().await;
    let wallet = Wallet { issuer: &issuer };
    issuer.pair(&world, &Vault::new(), "0012").await;
    let record = wallet.vaccination("0012", "imm-1").await;
    issuer.wait_status(&record, "deposited").await;
    let refusal = async |wanted: Value| {
        let (status, problem) = issuer.post("/v1/credential-offers", &wanted).await;
        (
            status,
            problem["code"].as_str().unwrap_or_default().to_owned(),
        )
    };
    assert_eq!(
        refusal(json!({ "subject": "0012" })).await,
        (422, "nothing-to-offer".into())
    );
    let source = immunization("0012", "imm-1", "LOT-1");
    for (subject, resource) in [
        ("0012", immunization("0012", "imm-1", "LOT-2")),
        ("0012", immunization("0012", "imm-9", "LOT-1")),
        ("0012", immunization("0013", "imm-1", "LOT-1")),
        ("0013", source.clone()),
        ("0012", json!({ "resourceType": "Patient" })),
    ] {
        let wanted = json!({ "subject": subject, "resources": [resource] });
        assert_eq!(
            refusal(wanted).await,
            (422, "resource".into()),
            "{resource}"
        );
    }
    let made = wallet
        .offer(json!({ "subject": "0012", "resources": [source], "by": "value" }))
        .await;
    let code = pre_authorized_code(&wallet.opened(&made).await);
    let (_, token) = wallet
        .redeem(&code, made["tx_code"].as_str().unwrap())
        .await;
    let holders = keys(1);
    let (status, body) = wallet.copies(&token, &holders).await;
    assert_eq!(status, 200, "{body}");
    let copy = verified(&world, &credentials(&body)[0], &holders[0].public_key());
    assert_eq!(copy.claims()["lot_number"], "LOT-1");
    let place = copy.status().unwrap();
    let place = json!({ "uri": place.uri, "idx": place.index });
    assert!(!issuer.is_revoked(&world, &place).await);
    let revocation = format!("/v1/records/{record}/revocation");
    assert_eq!(
        issuer.post(&revocation, &json!({ "reason": "x" })).await.0,
        200
    );
    assert!(issuer.is_revoked(&world, &place).await);
    let denied = wallet.copies(&token, &keys(1)).await;
    assert_eq!(error_of(denied), refused(400, "credential_request_denied"));
    issuer.stop().await;
}

#[tokio::test]
async fn request_and_answer_are_encrypted() {
    let world = world(config()).await;
    let issuer = world.start().await;
    let wallet = Wallet { issuer: &issuer };
    wallet.vaccination("0012", "imm-1").await;
    let token = wallet.token_for("0012").await;
    let metadata = issuer.get("/.well-known/openid-credential-issuer").await;
    let mut to = metadata["credential_request_encryption"]["jwks"]["keys"][0].clone();
    let kid = to["kid"].as_str().unwrap().to_owned();
    assert_eq!(to["alg"], "ECDH-ES");
    to.as_object_mut().unwrap().remove("alg");
    let to = PublicKey::from_jwk(&to).unwrap();
    let own = keys(1).remove(0);
    for encryption in [Encryption::A128Gcm, Encryption::A256Gcm] {
        let holder = keys(1).remove(0);
        let proof = wallet.proof(&holder, &wallet.nonce().await);
        let mut jwk = own.public_key().to_jwk();
        jwk["alg"] = "ECDH-ES".into();
        jwk["kid"] = "mine".into();
        let body = json!({
            "credential_configuration_id": "vaccination", "proofs": { "jwt": [proof] },
            "credential_response_encryption": { "jwk": jwk, "enc": encryption.name() },
        });
        let body = body.to_string();
        let sealed =
            jwe::encrypt(body.as_bytes(), &to, Some(&kid), encryption, &mut rng()).unwrap();
        let response = wallet
            .request("/openid4vci/credential")
            .bearer_auth(token["access_token"].as_str().unwrap())
            .header("content-type", "application/jwt")
            .body(sealed)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/jwt");
        let answer = Jwe::parse(&response.text().await.unwrap()).unwrap();
        assert_eq!(
            (answer.encryption(), answer.key_id()),
            (encryption, Some("mine"))
        );
        let opened = answer.decrypt(&own, "mine").unwrap();
        let body: Value = serde_json::from_slice(&opened).unwrap();
        verified(&world, &credentials(&body)[0], &holder.public_key());
    }
    issuer.stop().await;
}

#[tokio::test]
async fn what_was_given_out_is_good_after_a_restart_and_what_was_used_is_not() {
    let world = world(config()).await;
    let issuer = world.start().await;
    let wallet = Wallet { issuer: &issuer };
    wallet.vaccination("0012", "imm-1").await;
    let token = wallet.token_for("0012").await;
    let open = wallet
        .offer(json!({ "subject": "0012", "by": "value" }))
        .await;
    let code = pre_authorized_code(&wallet.opened(&open).await);
    let tx_code = open["tx_code"].as_str().unwrap().to_owned();
    let wrong = if tx_code == "000000" {
        "000001"
    } else {
        "000000"
    };
    for _ in 0..4 {
        let answer = wallet.redeem(&code, wrong).await;
        assert_eq!(error_of(answer), refused(400, "invalid_grant"));
    }
    let used = wallet.nonce().await;
    let unused = wallet.nonce().await;
    let body = |wallet: &Wallet<'_>, nonce: &str| {
        let proof = wallet.proof(&keys(1)[0], nonce);
        json!({ "credential_configuration_id": "vaccination", "proofs": { "jwt": [proof] } })
    };
    assert_eq!(wallet.ask(&token, &body(&wallet, &used)).await.0, 200);
    issuer.stop().await;

    let issuer = world.start().await;
    let wallet = Wallet { issuer: &issuer };
    let replayed = wallet.ask(&token, &body(&wallet, &used)).await;
    assert_eq!(error_of(replayed), refused(400, "invalid_nonce"));
    assert_eq!(wallet.ask(&token, &body(&wallet, &unused)).await.0, 200);
    // The fifth wrong transaction code was the last.
    let fifth = wallet.redeem(&code, wrong).await;
    assert_eq!(error_of(fifth), refused(400, "invalid_grant"));
    let over = wallet.redeem(&code, &tx_code).await;
    assert_eq!(error_of(over), refused(400, "invalid_grant"));
    issuer.stop().await;
}

#[tokio::test]
async fn metadata_says_what_there_is_in_both_languages() {
    let world = world(config()).await;
    let issuer = world.start().await;
    let metadata = issuer.get("/.well-known/openid-credential-issuer").await;
    assert_eq!(metadata["credential_issuer"], issuer.url);
    assert_eq!(metadata["batch_credential_issuance"]["batch_size"], 5);
    assert_eq!(
        metadata["display"],
        json!([
            { "name": "桜市", "locale": "ja" }, { "name": "Sakura City", "locale": "en" }
        ])
    );
    let configurations = metadata["credential_configurations_supported"]
        .as_object()
        .unwrap();
    assert_eq!(configurations.len(), TYPES.len());
    let vaccination = &configurations["vaccination"];
    assert_eq!(vaccination["format"], "dc+sd-jwt");
    assert_eq!(vaccination["vct"], "urn:tegata:record:vaccination:1");
    assert_eq!(
        vaccination["credential_signing_alg_values_supported"],
        json!(["ES256"])
    );
    let metadata = &vaccination["credential_metadata"];
    assert_eq!(
        metadata["display"],
        json!([
            { "name": "予防接種", "locale": "ja" }, { "name": "Vaccination", "locale": "en" }
        ])
    );
    let label = |lang| {
        catalogue()
            .by_id("vaccination")
            .unwrap()
            .claim_label(&["lot_number"], lang)
    };
    let lot = json!({
        "path": ["lot_number"], "mandatory": false,
        "display": [
            { "name": label(Lang::Ja).unwrap(), "locale": "ja" },
            { "name": label(Lang::En).unwrap(), "locale": "en" },
        ],
    });
    assert!(
        metadata["claims"].as_array().unwrap().contains(&lot),
        "{metadata}"
    );

    let server = issuer.get("/.well-known/oauth-authorization-server").await;
    assert_eq!(server["issuer"], issuer.url);
    assert_eq!(server["require_pushed_authorization_requests"], true);
    assert_eq!(server["code_challenge_methods_supported"], json!(["S256"]));

    let found = issuer.get("/.well-known/jwt-vc-issuer").await;
    assert_eq!(found["issuer"], issuer.url);
    let keys = found["jwks"]["keys"].as_array().unwrap();
    let key = signing_key(&world);
    assert!(
        keys.iter()
            .any(|jwk| jwk["kid"] == key.key_id() && jwk["x"] == key.public_key().to_jwk()["x"])
    );
    assert!(keys.iter().all(|jwk| jwk.get("d").is_none()));

    let vct = vaccination["vct"].as_str().unwrap();
    for (id, document) in [
        (
            vct.to_owned(),
            catalogue().by_vct(vct).unwrap().metadata_json(),
        ),
        (
            format!("{vct}:schema"),
            catalogue().by_vct(vct).unwrap().schema_json(),
        ),
    ] {
        let url = format!("{}/.well-known/vct/{id}", issuer.url);
        assert_eq!(
            reqwest::get(url).await.unwrap().text().await.unwrap(),
            document
        );
    }
    for path in [
        "/.well-known/vct/urn:x",
        "/openid4vci/offers/00",
        "/openid4vci/offers/00000000000000000000000000000000",
    ] {
        let status = reqwest::get(format!("{}{path}", issuer.url))
            .await
            .unwrap()
            .status();
        assert_eq!(status, 404, "{path}");
    }
    // What is not known of the ledger is not told as if it were.
    world.registry.set_stale(true);
    for path in ["openid-credential-issuer", "jwt-vc-issuer"] {
        let url = format!("{}/.well-known/{path}", issuer.url);
        assert_eq!(reqwest::get(url).await.unwrap().status(), 503);
    }
    issuer.stop().await;
}

#[tokio::test]
async fn where_it_is_not_configured_there_is_none() {
    let world = World::new().await;
    let issuer = world.start().await;
    for path in ["openid-credential-issuer", "oauth-authorization-server"] {
        let url = format!("{}/.well-known/{path}", issuer.url);
        assert_eq!(reqwest::get(url).await.unwrap().status(), 404);
    }
    assert_eq!(
        issuer
            .post("/v1/credential-offers", &json!({ "subject": "1" }))
            .await
            .0,
        404
    );
    assert_eq!(
        issuer.get("/.well-known/jwt-vc-issuer").await["issuer"],
        issuer.url
    );
    issuer.stop().await;
}
