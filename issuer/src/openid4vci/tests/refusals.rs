//! What the token and credential endpoints refuse, with the exact code.

use super::*;
use tegata_credential::jwe::{self, Encryption};

#[tokio::test]
async fn an_offer_is_redeemed_once_with_its_transaction_code() {
    let world = world(config()).await;
    let issuer = world.start().await;
    let wallet = Wallet { issuer: &issuer };
    wallet.vaccination("0012", "imm-1").await;
    let made = wallet.offer(json!({ "subject": "0012" })).await;
    let code = pre_authorized_code(&wallet.opened(&made).await);
    let tx_code = made["tx_code"].as_str().unwrap();
    let pre_authorized = |rest: &[(&'static str, &str)]| {
        let mut form = vec![("grant_type".to_owned(), PRE_AUTHORIZED.to_owned())];
        form.push(("pre-authorized_code".to_owned(), code.clone()));
        form.extend(
            rest.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        form
    };
    for (rest, error) in [
        (vec![], refused(400, "invalid_request")),
        (vec![("tx_code", "")], refused(400, "invalid_request")),
        (
            vec![("tx_code", tx_code), ("client_id", "stranger")],
            refused(401, "invalid_client"),
        ),
        (
            vec![("tx_code", tx_code), ("tx_code", tx_code)],
            refused(400, "invalid_request"),
        ),
        (
            vec![("tx_code", tx_code), ("authorization_details", "[]")],
            refused(400, "invalid_authorization_details"),
        ),
        (vec![("tx_code", "abcdef")], refused(400, "invalid_grant")),
    ] {
        let form = pre_authorized(&rest);
        let form: Vec<(&str, &str)> = form.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let answer = wallet.form("/openid4vci/token", &form).await;
        assert_eq!(error_of(answer), error, "{rest:?}");
    }
    let unknown = wallet.redeem("stranger", tx_code).await;
    assert_eq!(error_of(unknown), refused(400, "invalid_grant"));
    let json = wallet
        .request("/openid4vci/token")
        .json(&json!({ "grant_type": PRE_AUTHORIZED }));
    assert_eq!(
        error_of(answer(json).await),
        refused(415, "invalid_request")
    );
    let (status, token) = wallet.redeem(&code, tx_code).await;
    assert_eq!(status, 200, "{token}");
    assert_eq!(wallet.copies(&token, &keys(1)).await.0, 200);
    // Once more: somebody else has the code too, and nobody knows who came first.
    let replayed = wallet.redeem(&code, tx_code).await;
    assert_eq!(error_of(replayed), refused(400, "invalid_grant"));
    let stale = wallet.copies(&token, &keys(1)).await;
    assert_eq!(error_of(stale), refused(401, "invalid_token"));
    issuer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_once_one_wins() {
    let world = world(config()).await;
    let issuer = world.start().await;
    let wallet = Wallet { issuer: &issuer };
    wallet.vaccination("0012", "imm-1").await;
    let made = wallet.offer(json!({ "subject": "0012" })).await;
    let code = pre_authorized_code(&wallet.opened(&made).await);
    let tx_code = made["tx_code"].as_str().unwrap();
    let answers = futures::future::join_all((0..8).map(|_| wallet.redeem(&code, tx_code))).await;
    let won = answers.into_iter().filter(|(status, _)| *status == 200);
    assert_eq!(won.count(), 1);
    let token = wallet.token_for("0012").await;
    let nonce = wallet.nonce().await;
    let bodies: Vec<Value> = keys(8)
        .iter()
        .map(|key| {
            let proof = wallet.proof(key, &nonce);
            json!({ "credential_configuration_id": "vaccination", "proofs": { "jwt": [proof] } })
        })
        .collect();
    let answers =
        futures::future::join_all(bodies.iter().map(|body| wallet.ask(&token, body))).await;
    let won = answers.into_iter().filter(|(status, _)| *status == 200);
    assert_eq!(won.count(), 1, "a nonce counts once");
    issuer.stop().await;
}

#[tokio::test]
async fn nothing_without_a_token_that_is_good() {
    let short = OpenId4VciConfig {
        token_ttl_s: 0,
        ..config()
    };
    let world = world(short).await;
    let issuer = world.start().await;
    let wallet = Wallet { issuer: &issuer };
    wallet.vaccination("0012", "imm-1").await;
    let expired = wallet.token_for("0012").await;
    let answer = wallet.copies(&expired, &keys(1)).await;
    assert_eq!(error_of(answer), refused(401, "invalid_token"));
    let stranger = json!({ "access_token": "stranger" });
    let answer = wallet.copies(&stranger, &keys(1)).await;
    assert_eq!(error_of(answer), refused(401, "invalid_token"));
    let response = wallet
        .request("/openid4vci/credential")
        .json(&json!({}))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(
        response.headers()["www-authenticate"],
        "Bearer error=\"invalid_token\""
    );
    issuer.stop().await;
}

#[tokio::test]
async fn nonces_are_good_once_for_a_while_and_here() {
    let world = world(config()).await;
    let issuer = world.start().await;
    let wallet = Wallet { issuer: &issuer };
    wallet.vaccination("0012", "imm-1").await;
    let token = wallet.token_for("0012").await;
    let ask = async |nonces: &[&str]| {
        let proofs: Vec<String> = nonces
            .iter()
            .map(|nonce| wallet.proof(&keys(1)[0], nonce))
            .collect();
        let body =
            json!({ "credential_configuration_id": "vaccination", "proofs": { "jwt": proofs } });
        wallet.ask(&token, &body).await
    };
    let (used, fresh) = (wallet.nonce().await, wallet.nonce().await);
    assert_eq!(ask(&[&used, &used]).await.0, 200);
    assert_eq!(error_of(ask(&[&used]).await), refused(400, "invalid_nonce"));
    assert_eq!(
        error_of(ask(&[&fresh, &used]).await),
        refused(400, "invalid_nonce")
    );
    assert_eq!(
        error_of(ask(&["made-up"]).await),
        refused(400, "invalid_nonce")
    );
    assert_eq!(
        ask(&[&fresh]).await.0,
        200,
        "a refused request uses nothing up"
    );
    issuer.stop().await;

    let other = self::world(config()).await;
    let other_issuer = other.start().await;
    let foreign = Wallet {
        issuer: &other_issuer,
    }
    .nonce()
    .await;
    other_issuer.stop().await;
    let short = OpenId4VciConfig {
        nonce_ttl_s: 0,
        ..config()
    };
    let world = World {
        openid4vci: Some(short),
        ..world
    };
    let issuer = world.start().await;
    let wallet = Wallet { issuer: &issuer };
    for nonce in [foreign, wallet.nonce().await] {
        let proof = wallet.proof(&keys(1)[0], &nonce);
        let body =
            json!({ "credential_configuration_id": "vaccination", "proofs": { "jwt": [proof] } });
        assert_eq!(
            error_of(wallet.ask(&token, &body).await),
            refused(400, "invalid_nonce")
        );
    }
    issuer.stop().await;
}

#[tokio::test]
async fn a_request_for_copies_must_be_right_in_every_part() {
    let world = world(config()).await;
    let issuer = world.start().await;
    let wallet = Wallet { issuer: &issuer };
    wallet.vaccination("0012", "imm-1").await;
    wallet.vaccination("0013", "imm-2").await;
    let others = wallet.vaccination("0013", "imm-3").await;
    let token = wallet.token_for("0012").await;
    let key = keys(1).remove(0);
    let nonce = wallet.nonce().await;
    let good = wallet.proof(&key, &nonce);
    let claims = |audience: &str| json!({ "aud": audience, "iat": now_s(), "nonce": nonce });
    let elsewhere = proof_of(&key, &claims("https://other.example"));
    let anonymous = {
        let mut claims = claims(&issuer.url);
        claims["iss"] = CLIENT.into();
        proof_of(&key, &claims)
    };
    let no_nonce = proof_of(&key, &json!({ "aud": issuer.url, "iat": now_s() }));
    let of = |header: Value| {
        let input = format!(
            "{}.{}",
            encode(header.to_string().as_bytes()),
            encode(claims(&issuer.url).to_string().as_bytes())
        );
        format!("{input}.{}", encode(&key.sign(input.as_bytes())))
    };
    let typ = "openid4vci-proof+jwt";
    let mut private = key.public_key().to_jwk();
    private["d"] = encode(&*key.to_bytes()).into();
    let many: Vec<String> = keys(6)
        .iter()
        .map(|key| wallet.proof(key, &nonce))
        .collect();
    let vaccination =
        |proofs: Value| json!({ "credential_configuration_id": "vaccination", "proofs": proofs });
    let jwt = |proof: &str| vaccination(json!({ "jwt": [proof] }));
    let invalid = || refused(400, "invalid_credential_request");
    let bad_proof = || refused(400, "invalid_proof");
    let mut encryption_key = key.public_key().to_jwk();
    encryption_key["alg"] = json!("ECDH-ES");
    for (what, body, error) in [
        ("nothing", json!({}), invalid()),
        (
            "both ids",
            json!({ "credential_configuration_id": "vaccination", "credential_identifier": others }),
            invalid(),
        ),
        (
            "an id that is no text",
            json!({ "credential_identifier": 7 }),
            invalid(),
        ),
        (
            "somebody else's record",
            json!({ "credential_identifier": others, "proofs": { "jwt": [good] } }),
            refused(400, "unknown_credential_identifier"),
        ),
        (
            "a type that is not issued",
            json!({ "credential_configuration_id": "diploma" }),
            refused(400, "unknown_credential_configuration"),
        ),
        (
            "a type of which there is none",
            json!({ "credential_configuration_id": "laboratory_result" }),
            refused(400, "unknown_credential_configuration"),
        ),
        (
            "no proofs",
            json!({ "credential_configuration_id": "vaccination" }),
            bad_proof(),
        ),
        (
            "the proof of older drafts",
            json!({ "credential_configuration_id": "vaccination", "proof": { "proof_type": "jwt", "jwt": good } }),
            bad_proof(),
        ),
        (
            "another type of proof",
            vaccination(json!({ "di_vp": [{}] })),
            bad_proof(),
        ),
        (
            "two types of proof",
            vaccination(json!({ "jwt": [good], "di_vp": [{}] })),
            invalid(),
        ),
        (
            "an empty list",
            vaccination(json!({ "jwt": [] })),
            invalid(),
        ),
        (
            "a proof that is no text",
            vaccination(json!({ "jwt": [7] })),
            invalid(),
        ),
        (
            "too many proofs",
            vaccination(json!({ "jwt": many })),
            invalid(),
        ),
        (
            "one key twice",
            vaccination(json!({ "jwt": [good, good] })),
            bad_proof(),
        ),
        ("a proof for another issuer", jwt(&elsewhere), bad_proof()),
        (
            "a proof of a client that is none",
            jwt(&anonymous),
            bad_proof(),
        ),
        ("no nonce", jwt(&no_nonce), bad_proof()),
        (
            "no algorithm",
            jwt(&of(
                json!({ "typ": typ, "alg": "none", "jwk": key.public_key().to_jwk() }),
            )),
            bad_proof(),
        ),
        (
            "a symmetric algorithm",
            jwt(&of(
                json!({ "typ": typ, "alg": "HS256", "jwk": { "kty": "oct", "k": "AAAA" } }),
            )),
            bad_proof(),
        ),
        (
            "a private key",
            jwt(&of(json!({ "typ": typ, "alg": "ES256", "jwk": private }))),
            bad_proof(),
        ),
        (
            "another typ",
            jwt(&of(
                json!({ "typ": "JWT", "alg": "ES256", "jwk": key.public_key().to_jwk() }),
            )),
            bad_proof(),
        ),
        (
            "somebody else's key",
            jwt(&of(
                json!({ "typ": typ, "alg": "ES256", "jwk": keys(1)[0].public_key().to_jwk() }),
            )),
            bad_proof(),
        ),
        (
            "an altered proof",
            jwt(&good.replace('.', ".A")),
            bad_proof(),
        ),
        (
            "an encrypted answer to a request that is not",
            json!({
                "credential_configuration_id": "vaccination", "proofs": { "jwt": [good] },
                "credential_response_encryption": { "jwk": encryption_key, "enc": "A128GCM" },
            }),
            refused(400, "invalid_encryption_parameters"),
        ),
    ] {
        assert_eq!(error_of(wallet.ask(&token, &body).await), error, "{what}");
    }
    let send = async |media_type: &str, body: String| {
        let request = wallet.request("/openid4vci/credential");
        let request = request.bearer_auth(token["access_token"].as_str().unwrap());
        error_of(answer(request.header("content-type", media_type).body(body)).await)
    };
    let twice = format!(
        r#"{{"credential_configuration_id":"vaccination","proofs":{{"jwt":["{good}"]}},"credential_configuration_id":"vaccination"}}"#
    );
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100), "]".repeat(100));
    for (media_type, body, error) in [
        ("application/json", twice, invalid()),
        ("application/json", deep, invalid()),
        ("application/json", "[]".to_owned(), invalid()),
        ("application/json", "{".to_owned(), invalid()),
        (
            "text/plain",
            "{}".to_owned(),
            refused(415, "invalid_credential_request"),
        ),
        (
            "application/json",
            " ".repeat(300 << 10),
            refused(413, "invalid_credential_request"),
        ),
        (
            "application/jwt",
            "e30.AA.AA.AA.AA".to_owned(),
            refused(400, "invalid_encryption_parameters"),
        ),
        (
            "application/jwt",
            "{}".to_owned(),
            refused(400, "invalid_encryption_parameters"),
        ),
    ] {
        assert_eq!(send(media_type, body).await, error, "{media_type}");
    }
    // Encrypted, but wrong inside.
    let metadata = issuer.get("/.well-known/openid-credential-issuer").await;
    let mut to = metadata["credential_request_encryption"]["jwks"]["keys"][0].clone();
    let kid = to["kid"].as_str().unwrap().to_owned();
    to.as_object_mut().unwrap().remove("alg");
    let to = PublicKey::from_jwk(&to).unwrap();
    let seal = |to: &PublicKey, kid: &str, body: &Value| {
        let bytes = body.to_string();
        jwe::encrypt(
            bytes.as_bytes(),
            to,
            Some(kid),
            Encryption::A128Gcm,
            &mut rng(),
        )
        .unwrap()
    };
    let mut jwk = key.public_key().to_jwk();
    jwk["alg"] = "ECDH-ES".into();
    let okp = {
        let mut okp = SigningKey::generate(Algorithm::EdDsa, &mut rng())
            .public_key()
            .to_jwk();
        okp["alg"] = "ECDH-ES".into();
        okp
    };
    private["alg"] = "ECDH-ES".into();
    for parameters in [
        json!({ "jwk": jwk }),
        json!({ "enc": "A128GCM" }),
        json!({ "jwk": jwk, "enc": "A128CBC-HS256" }),
        json!({ "jwk": jwk, "enc": "A128GCM", "zip": "DEF" }),
        json!({ "jwk": key.public_key().to_jwk(), "enc": "A128GCM" }),
        json!({ "jwk": okp, "enc": "A128GCM" }),
        json!({ "jwk": private, "enc": "A128GCM" }),
        json!(7),
    ] {
        let body = json!({
            "credential_configuration_id": "vaccination", "proofs": { "jwt": [good] },
            "credential_response_encryption": parameters,
        });
        let error = send("application/jwt", seal(&to, &kid, &body)).await;
        assert_eq!(
            error,
            refused(400, "invalid_encryption_parameters"),
            "{parameters}"
        );
    }
    let stranger = keys(1).remove(0).public_key();
    for sealed in [
        seal(&stranger, &kid, &jwt(&good)),
        seal(&to, "other", &jwt(&good)),
    ] {
        let error = send("application/jwt", sealed).await;
        assert_eq!(error, refused(400, "invalid_encryption_parameters"));
    }
    // After all that, the same nonce and key still serve: nothing was handed over.
    assert_eq!(wallet.ask(&token, &jwt(&good)).await.0, 200);
    issuer.stop().await;
}

#[tokio::test]
async fn no_more_copies_than_configured_and_none_that_the_issuer_may_not_issue() {
    let few = OpenId4VciConfig {
        copies_max: 3,
        ..config()
    };
    let world = world(few).await;
    let issuer = world.start().await;
    let wallet = Wallet { issuer: &issuer };
    wallet.vaccination("0012", "imm-1").await;
    let token = wallet.token_for("0012").await;
    assert_eq!(wallet.copies(&token, &keys(2)).await.0, 200);
    let more = wallet.copies(&token, &keys(2)).await;
    assert_eq!(error_of(more), refused(400, "credential_request_denied"));
    assert_eq!(wallet.copies(&token, &keys(1)).await.0, 200);
    let token = wallet.token_for("0012").await;
    world
        .registry
        .change(&world.id(), |own| own.organisation.issues.clear());
    let denied = wallet.copies(&token, &keys(1)).await;
    assert_eq!(error_of(denied), refused(400, "credential_request_denied"));
    world
        .registry
        .change(&world.id(), |own| own.organisation.keys.clear());
    let waits = wallet.copies(&token, &keys(1)).await;
    assert_eq!(error_of(waits), refused(503, "temporarily_unavailable"));
    world.registry.set_stale(true);
    let waits = wallet.copies(&token, &keys(1)).await;
    assert_eq!(error_of(waits), refused(503, "temporarily_unavailable"));
    issuer.stop().await;
}

/// A list is closed when half of its places are taken. Whoever could use them up would have the next person's copies stand in
/// a list nearly alone.
#[tokio::test]
async fn a_refused_request_takes_no_places_in_a_status_list() {
    use crate::store::{STATUS_LIST_SIZE, Store};
    use tegata_consent::ids::RecordId;

    let few = OpenId4VciConfig {
        copies_max: 4,
        ..config()
    };
    let world = world(few).await;
    let path = world.folder.path().join("data/store");
    std::fs::create_dir_all(&path).unwrap();
    let store = Store::open(&path).unwrap();
    let mut change = store.change();
    for index in 0..STATUS_LIST_SIZE / 2 - 4 {
        let place = crate::model::StatusPlace { list: 1, index };
        change.put_place(place, &RecordId([7; 16]));
    }
    change.commit().unwrap();
    drop(store);
    let issuer = world.start().await;
    let wallet = Wallet { issuer: &issuer };
    wallet.vaccination("0012", "imm-1").await;
    let token = wallet.token_for("0012").await;
    let list_of = |body: &Value, key: &SigningKey| {
        let copy = verified(&world, &credentials(body)[0], &key.public_key());
        copy.status().unwrap().uri.clone()
    };
    let first = keys(1).remove(0);
    let (nonce, list) = (
        wallet.nonce().await,
        format!("{}/v1/status-lists/1", issuer.url),
    );
    let proofs = [&first, &first, &first].map(|_| wallet.proof(&keys(1)[0], &nonce));
    let body = |proofs: &[String]| json!({ "credential_configuration_id": "vaccination", "proofs": { "jwt": proofs } });
    let (status, answer) = wallet
        .ask(&token, &body(&[wallet.proof(&first, &nonce)]))
        .await;
    assert_eq!((status, list_of(&answer, &first)), (200, list.clone()));
    for _ in 0..3 {
        let again = wallet.ask(&token, &body(&proofs)).await;
        assert_eq!(error_of(again), refused(400, "invalid_nonce"));
        let many = wallet.copies(&token, &keys(4)).await;
        assert_eq!(error_of(many), refused(400, "credential_request_denied"));
    }
    let last = keys(1);
    let (_, answer) = wallet.copies(&token, &last).await;
    assert_eq!(list_of(&answer, &last[0]), list);
    issuer.stop().await;
}

#[tokio::test]
async fn a_token_that_is_bound_to_a_key_comes_with_its_proof() {
    let world = world(config()).await;
    let issuer = world.start().await;
    let wallet = Wallet { issuer: &issuer };
    wallet.vaccination("0012", "imm-1").await;
    let key = keys(1).remove(0);
    let dpop = |key: &SigningKey, path: &str, token: Option<&str>| {
        let header = json!({ "typ": "dpop+jwt", "jwk": key.public_key().to_jwk() });
        let mut claims = json!({
            "htm": "POST", "htu": format!("{}{path}", issuer.url), "iat": now_s(),
            "jti": encode(&rand::random::<[u8; 16]>()),
        });
        if let Some(token) = token {
            claims["ath"] = encode(&Sha256::digest(token)).into();
        }
        sign_with_header(object(&header), &object(&claims), key)
    };
    let made = wallet
        .offer(json!({ "subject": "0012", "by": "value" }))
        .await;
    let code = pre_authorized_code(&wallet.opened(&made).await);
    let form = [
        ("grant_type", PRE_AUTHORIZED),
        ("pre-authorized_code", code.as_str()),
        ("tx_code", made["tx_code"].as_str().unwrap()),
    ];
    let redeem =
        |proof: String| posted(wallet.request("/openid4vci/token"), &form).header("dpop", proof);
    let wrong = answer(redeem(dpop(&key, "/openid4vci/credential", None))).await;
    assert_eq!(error_of(wrong), refused(400, "invalid_dpop_proof"));
    let (status, token) = answer(redeem(dpop(&key, "/openid4vci/token", None))).await;
    assert_eq!((status, &token["token_type"]), (200, &json!("DPoP")));
    let secret = token["access_token"].as_str().unwrap();
    let ask = async |scheme: &str, proof: Option<String>| {
        let nonce = wallet.nonce().await;
        let proofs = [wallet.proof(&keys(1)[0], &nonce)];
        let body =
            json!({ "credential_configuration_id": "vaccination", "proofs": { "jwt": proofs } });
        let request = wallet.request("/openid4vci/credential").json(&body);
        let request = request.header("authorization", format!("{scheme} {secret}"));
        answer(match proof {
            Some(proof) => request.header("dpop", proof),
            None => request,
        })
        .await
    };
    let path = "/openid4vci/credential";
    assert_eq!(
        error_of(ask("Bearer", None).await),
        refused(401, "invalid_token")
    );
    assert_eq!(
        error_of(ask("DPoP", None).await),
        refused(401, "invalid_token")
    );
    let stolen = dpop(&keys(1)[0], path, Some(secret));
    assert_eq!(
        error_of(ask("DPoP", Some(stolen)).await),
        refused(401, "invalid_token")
    );
    let other = dpop(&key, path, Some("other"));
    assert_eq!(
        error_of(ask("DPoP", Some(other)).await),
        refused(401, "invalid_dpop_proof")
    );
    let good = dpop(&key, path, Some(secret));
    assert_eq!(ask("DPoP", Some(good.clone())).await.0, 200);
    assert_eq!(
        error_of(ask("DPoP", Some(good)).await),
        refused(401, "invalid_dpop_proof")
    );
    issuer.stop().await;
}
