//! OpenID4VP against a running verifier, by a wallet made of the pure crates: what is accepted, and each reason for which
//! something is not.

use super::desk::{Answer, Desk};
use super::fake::Manner;
use super::world::organisation_keys;
use ed25519_dalek::SigningKey as GrantKey;
use serde_json::{Map, Value, json};
use tegata_consent::entry::{Body, Entry, Grant, Revocation};
use tegata_consent::ids::{GrantId, OrganisationId, Salt};
use tegata_consent::presentation::{PresentedConsent, Question, one_time_grant};
use tegata_consent::proof::StateProof;
use tegata_consent::state::StateKey;
use tegata_consent::status::status_list_id;
use tegata_credential::jwe;
use tegata_credential::jws;
use tegata_credential::keys::{Algorithm, PublicKey, SigningKey};
use tegata_credential::openid4vp::{Expected, RequestObject, VerifiedRequest, binding_claims};
use tegata_credential::sd_jwt::{Issuance, KeyBinding, Path, SdJwt, StatusReference, issue};
use tegata_credential::status_list::{RECALLED, Status};
use tegata_records::catalogue;
use tegata_service::clock;

/// A wallet with one vaccination.
struct Wallet {
    holder: SigningKey,
    credential: String,
}

/// How to make a credential. A test alters one thing.
struct Recipe {
    iss: String,
    record_type: &'static str,
    claims: Value,
    key: SigningKey,
    issued_s: i64,
    expires_s: Option<i64>,
    status: Option<StatusReference>,
    is_bound: bool,
    /// Of the type's metadata; absent: the right one.
    integrity: Option<&'static str>,
}

fn recipe(desk: &Desk) -> Recipe {
    Recipe {
        iss: "did:web:clinic.example".into(),
        record_type: "vaccination",
        claims: json!({ "vaccine_code": "mr", "date": "2025-04-01", "dose_number": 1, "lot_number": "AB-12" }),
        key: desk.world.credential_key(),
        issued_s: clock::now_s() - 10,
        expires_s: None,
        status: Some(StatusReference {
            uri: desk.world.status_uri(),
            index: 5,
        }),
        is_bound: true,
        integrity: None,
    }
}

impl Wallet {
    fn new(desk: &Desk) -> Self {
        Self::with(recipe(desk))
    }

    fn with(recipe: Recipe) -> Self {
        let mut rng = crate::random::rng();
        let holder = SigningKey::generate(Algorithm::EdDsa, &mut rng);
        let public = holder.public_key();
        let record_type = catalogue().by_id(recipe.record_type).unwrap();
        let disclosable: Vec<Path> = record_type
            .disclosable(&recipe.claims)
            .into_iter()
            .map(Path::new)
            .collect();
        let issuance = Issuance {
            disclosable: &disclosable,
            holder: recipe.is_bound.then_some(&public),
            status: recipe.status,
            expires_at: recipe.expires_s,
            vct_integrity: recipe.integrity.or(Some(record_type.integrity())),
            ..Issuance::new(
                &recipe.iss,
                record_type.vct(),
                recipe.issued_s,
                &recipe.claims,
            )
        };
        Self {
            credential: issue(&issuance, &recipe.key, &mut rng).unwrap(),
            holder,
        }
    }
}

/// What the desk asks for, in a test that alters nothing.
fn asking(policy: &str) -> Value {
    json!({
        "dcql": { "credentials": [{
            "id": "v", "format": "dc+sd-jwt", "meta": { "vct_values": ["urn:tegata:record:vaccination:1"] },
            "claims": [{ "path": ["vaccine_code"] }, { "path": ["date"] }],
        }] },
        "purpose": "care", "legal_basis": "consent", "retention_days": 30, "policy": policy,
        "reference": "P-1", "response_mode": "direct_post",
    })
}

/// A request as a wallet sees it.
struct Asked {
    id: String,
    request: VerifiedRequest,
}

async fn ask(desk: &Desk, body: &Value) -> Asked {
    let made = desk.post("/v1/presentations", body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let id = made.body["id"].as_str().unwrap().to_owned();
    let text = fetch(desk, made.body["request_uri"].as_str().unwrap()).await;
    Asked {
        request: verified(desk, &text, made.body["client_id"].as_str().unwrap(), None),
        id,
    }
}

async fn fetch(desk: &Desk, uri: &str) -> String {
    let answer = desk.client.get(uri).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    assert_eq!(
        answer.headers()["content-type"],
        "application/oauth-authz-req+jwt"
    );
    answer.text().await.unwrap()
}

fn verified(desk: &Desk, text: &str, client_id: &str, nonce: Option<&str>) -> VerifiedRequest {
    let expected = Expected {
        client_id,
        wallet_nonce: nonce,
    };
    let own = SigningKey::from_bytes(Algorithm::Es256, desk.world.us.credential_es256.expose())
        .unwrap()
        .public_key();
    let resolve = |url: &str| url.ends_with(&own.key_id()).then_some(own).or(did_jwk(url));
    RequestObject::parse(text)
        .unwrap()
        .verify(&expected, resolve, clock::now_s())
        .unwrap()
}

fn did_jwk(url: &str) -> Option<PublicKey> {
    let did = tegata_credential::did::Did::of_url(url).ok()?;
    Some(*did.own_document().ok()?.methods()[0].key())
}

/// How to answer. A test alters one thing.
struct Answering {
    audience: String,
    nonce: String,
    state: Option<String>,
    paths: Vec<Path>,
    issued_s: i64,
    claims: Map<String, Value>,
    presentation_alter: fn(String) -> String,
    vp_token: fn(&str) -> Value,
}

impl Answering {
    fn of(request: &VerifiedRequest, consent: Option<&PresentedConsent>) -> Self {
        let consent = consent.map(PresentedConsent::to_bytes);
        Self {
            audience: request.client_id().to_string(),
            nonce: request.nonce().to_owned(),
            state: request.state().map(str::to_owned),
            paths: vec!["vaccine_code".into(), "date".into()],
            issued_s: clock::now_s(),
            claims: binding_claims(request.transaction_data(), "v", consent.as_deref()),
            presentation_alter: |text| text,
            vp_token: |text| json!({ "v": [text] }),
        }
    }

    fn form(&self, wallet: &Wallet) -> Vec<(String, String)> {
        let binding = KeyBinding {
            extra: self.claims.clone(),
            ..KeyBinding::new(&self.audience, &self.nonce, self.issued_s)
        };
        let parsed = SdJwt::parse(&wallet.credential).unwrap();
        let shown = parsed
            .present(&self.paths, &binding, &wallet.holder)
            .unwrap();
        let shown = (self.presentation_alter)(shown);
        let mut form = vec![("vp_token".to_owned(), (self.vp_token)(&shown).to_string())];
        form.extend(self.state.clone().map(|state| ("state".to_owned(), state)));
        form
    }
}

async fn post(desk: &Desk, uri: &str, form: &[(String, String)]) -> Answer {
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    let answer = desk
        .client
        .post(uri)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body)
        .send()
        .await
        .unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    Answer {
        status,
        body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
    }
}

impl Asked {
    async fn respond(&self, desk: &Desk, form: &[(String, String)]) -> Answer {
        post(desk, self.request.response_uri(), form).await
    }

    async fn result(&self, desk: &Desk) -> Value {
        let answer = desk.get(&format!("/v1/presentations/{}", self.id)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }
}

/// How a person consents. A test alters one thing.
struct Consenting {
    request: String,
    salt: Salt,
    grant: Grant,
    key: GrantKey,
}

fn consenting(desk: &Desk, request: &VerifiedRequest) -> Consenting {
    let asked = request.asked().unwrap();
    let recipient: OrganisationId = asked.organisation.parse().unwrap();
    let salt = Salt(rand::random());
    let question = Question {
        request: request.text().as_bytes(),
        recipient: &recipient,
        categories: &asked.categories,
        purpose: &asked.purpose,
        legal_basis: &asked.legal_basis,
        retention_days: asked.retention_days,
        until_ms: asked.until_ms,
    };
    Consenting {
        grant: one_time_grant(&question, desk.world.host.organisation_id(), &salt, 0),
        request: request.text().to_owned(),
        salt,
        key: GrantKey::from_bytes(&rand::random()),
    }
}

impl Consenting {
    fn id(&self) -> GrantId {
        GrantId(self.key.verifying_key().to_bytes())
    }

    /// Puts the grant on the ledger.
    fn give(&self, desk: &Desk) {
        let mut chain = desk.world.chain.lock().unwrap();
        let entry = Entry::sign(
            &self.key,
            &chain.id,
            chain.soon(),
            Body::Grant(self.grant.clone()),
        );
        let entry = chain.verified(entry.countersign(&desk.world.host.sign, &chain.id));
        chain.block(&[entry]).unwrap();
    }

    fn revoke(&self, desk: &Desk) {
        let mut chain = desk.world.chain.lock().unwrap();
        let body = Body::Revocation(Revocation {
            grant: self.id(),
            sponsor: desk.world.host.organisation_id(),
        });
        let entry = Entry::sign(&self.key, &chain.id, chain.soon(), body);
        let entry = chain.verified(entry.countersign(&desk.world.host.sign, &chain.id));
        chain.block(&[entry]).unwrap();
    }

    /// Everything that a verifier without network needs.
    fn proven(&self, desk: &Desk) -> PresentedConsent {
        let issuer = desk.world.issuer.organisation_id();
        let status = StateKey::status_list(&issuer, &status_list_id(&desk.world.status_uri()));
        PresentedConsent {
            grant: self.id(),
            salt: self.salt,
            proof: proof(desk, &StateKey::grant(&self.id())),
            issuer: Some(proof(desk, &StateKey::organisation(&issuer))),
            status: Some(proof(desk, &status)),
        }
    }
}

fn proof(desk: &Desk, key: &StateKey) -> StateProof {
    let chain = desk.world.chain.lock().unwrap();
    chain.state_proof(chain.headers.len() as u64, key)
}

/// Asks, consents, and gives what the wallet then has.
async fn agreed(desk: &Desk) -> (Asked, PresentedConsent) {
    let asked = ask(desk, &asking("ledger")).await;
    let consenting = consenting(desk, &asked.request);
    consenting.give(desk);
    let consent = consenting.proven(desk);
    (asked, consent)
}

fn failing(result: &Value) -> Vec<(String, String)> {
    let checks = result["result"]["credentials"][0]["checks"]
        .as_array()
        .unwrap();
    let failing = checks
        .iter()
        .filter(|check| check["holds"] == false && check["code"] != "not-reached");
    failing
        .map(|check| {
            let text = |name: &str| check[name].as_str().unwrap().to_owned();
            (text("check"), text("code"))
        })
        .collect()
}

#[tokio::test]
async fn a_presentation_with_consent_is_accepted_once_and_survives_a_restart() {
    let mut desk = Desk::start().await;
    let wallet = Wallet::new(&desk);
    let (asked, consent) = agreed(&desk).await;
    let form = Answering::of(&asked.request, Some(&consent)).form(&wallet);
    // The request is on disk: a restart between question and answer changes nothing.
    desk.kill().await;
    desk.start_again().await;
    let answer = asked.respond(&desk, &form).await;
    assert_eq!((answer.status, &answer.body), (200, &json!({})));
    let result = asked.result(&desk).await;
    assert_eq!(result["status"], "answered");
    assert_eq!(result["result"]["ledger_proof"], true);
    assert_eq!(result["requests"], json!([asked.request.text()]));
    let one = &result["result"]["credentials"][0];
    assert_eq!(one["verified"], true);
    assert_eq!(
        one["claims"],
        json!({ "vaccine_code": "mr", "date": "2025-04-01" })
    );
    assert_eq!(one["grant"], consent.grant.to_string());
    assert_eq!(one["checks"].as_array().unwrap().len(), 8);
    // Once.
    let again = asked.respond(&desk, &form).await;
    assert_eq!(again.code(), (400, "request-answered"));
    desk.kill().await;
    desk.start_again().await;
    let again = asked.respond(&desk, &form).await;
    assert_eq!(again.code(), (400, "request-answered"));
    assert_eq!(asked.result(&desk).await["result"], result["result"]);
    let gone = desk
        .client
        .get(format!(
            "{}/v1/presentations/{}/request",
            desk.url, asked.id
        ))
        .send()
        .await
        .unwrap();
    assert_eq!(gone.status().as_u16(), 410);
    desk.kill().await;
    assert!(crate::fsck(&desk.config, |_| {}).unwrap().is_sound());
}

#[tokio::test]
async fn consent_is_checked_while_the_ledger_is_stopped() {
    let desk = Desk::start().await;
    let wallet = Wallet::new(&desk);
    let (asked, consent) = agreed(&desk).await;
    let form = Answering::of(&asked.request, Some(&consent)).form(&wallet);
    desk.world.node.behave(Manner::Broken);
    let answer = asked.respond(&desk, &form).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let result = asked.result(&desk).await;
    let checks = result["result"]["credentials"][0]["checks"].to_string();
    assert!(checks.contains("as the presentation proves"), "{checks}");
    // Without what the wallet proves, nobody is believed.
    desk.world.node.behave(Manner::Honest);
    let (asked, mut consent) = agreed(&desk).await;
    consent.issuer = None;
    let form = Answering::of(&asked.request, Some(&consent)).form(&wallet);
    desk.world.node.behave(Manner::Broken);
    let answer = asked.respond(&desk, &form).await;
    assert_eq!(
        answer.code(),
        (400, "issuer-unavailable"),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn a_standard_wallet_answers_without_ledger_and_is_marked() {
    let desk = Desk::start().await;
    let wallet = Wallet::new(&desk);
    for body in [asking("standard"), {
        let mut body = asking("standard");
        body["transaction_data"] = true.into();
        body
    }] {
        let asked = ask(&desk, &body).await;
        let form = Answering::of(&asked.request, None).form(&wallet);
        let answer = asked.respond(&desk, &form).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let result = asked.result(&desk).await;
        assert_eq!(result["status"], "answered");
        assert_eq!(result["result"]["ledger_proof"], false);
        assert_eq!(
            result["result"]["credentials"][0]["checks"]
                .as_array()
                .unwrap()
                .len(),
            7
        );
    }
}

#[tokio::test]
async fn encrypted_responses_and_every_client_identifier() {
    let desk = Desk::start().await;
    let wallet = Wallet::new(&desk);
    for client_id in ["x509_hash", "did", "did:jwk"] {
        let mut body = asking("standard");
        body.as_object_mut().unwrap().remove("response_mode");
        body["client_id"] = client_id.into();
        let asked = ask(&desk, &body).await;
        let form = Answering::of(&asked.request, None).form(&wallet);
        let plain = asked.respond(&desk, &form).await;
        assert_eq!(plain.code(), (400, "response-mode"));
        let token: Value = serde_json::from_str(&form[0].1).unwrap();
        let inside = json!({ "vp_token": token, "state": form[1].1 }).to_string();
        let to = asked.request.response_key().unwrap();
        let encrypt = |key: &PublicKey, kid: Option<&str>| {
            let mut rng = crate::random::rng();
            let sealed = jwe::encrypt(inside.as_bytes(), key, kid, to.encryption, &mut rng);
            vec![("response".to_owned(), sealed.unwrap())]
        };
        let other = SigningKey::generate(Algorithm::Es256, &mut crate::random::rng()).public_key();
        let wrong = asked.respond(&desk, &encrypt(&other, None)).await;
        assert_eq!(wrong.code(), (400, "jwe_decryption_failed"));
        let wrong = asked.respond(&desk, &encrypt(&to.key, Some("other"))).await;
        assert_eq!(wrong.code(), (400, "jwe_key_unknown"));
        let wrong = [("response".to_owned(), "x.y.z".to_owned())];
        assert_eq!(
            asked.respond(&desk, &wrong).await.code(),
            (400, "jwe_malformed")
        );
        let answer = asked
            .respond(&desk, &encrypt(&to.key, to.kid.as_deref()))
            .await;
        assert_eq!(answer.status, 200, "{client_id}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_wallets_own_nonce_is_in_the_request_that_it_posts_for() {
    let desk = Desk::start().await;
    let wallet = Wallet::new(&desk);
    let made = desk.post("/v1/presentations", &asking("ledger")).await.body;
    let text = |name: &str| made[name].as_str().unwrap();
    let form = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    let unsupported = json!({ "client_id_prefixes_supported": ["redirect_uri"] }).to_string();
    for (wrong, code) in [
        (form(&[("wallet_nonce", "")]), "wallet-nonce"),
        (form(&[("wallet_nonce", &"x".repeat(513))]), "wallet-nonce"),
        (form(&[("wallet_metadata", "[]")]), "wallet-metadata"),
        (
            form(&[("wallet_metadata", &unsupported)]),
            "wallet-unsupported",
        ),
    ] {
        let answer = post(&desk, text("request_uri"), &wrong).await;
        assert_eq!(answer.code(), (400, code));
    }
    let twice = form(&[("wallet_nonce", "w-1"), ("wallet_nonce", "w-2")]);
    let answer = post(&desk, text("request_uri"), &twice).await;
    assert_eq!(answer.code(), (400, "request-malformed"));
    let mine = form(&[("wallet_nonce", "w-1"), ("wallet_metadata", "{}")]);
    let object = post(&desk, text("request_uri"), &mine).await.body;
    let request = verified(
        &desk,
        object.as_str().unwrap(),
        text("client_id"),
        Some("w-1"),
    );
    // The consent commits to the request with the wallet's nonce.
    let consenting = consenting(&desk, &request);
    consenting.give(&desk);
    let asked = Asked {
        id: text("id").to_owned(),
        request,
    };
    let consent = consenting.proven(&desk);
    let form = Answering::of(&asked.request, Some(&consent)).form(&wallet);
    for number in 2..5 {
        let another = [("wallet_nonce".to_owned(), format!("w-{number}"))];
        let answer = post(&desk, text("request_uri"), &another).await;
        assert_eq!(answer.status, 200);
    }
    let answer = asked.respond(&desk, &form).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let evidence = &asked.result(&desk).await["requests"];
    assert_eq!(
        *evidence,
        json!([asked.request.text()]),
        "the one that was agreed to"
    );
    let late = [("wallet_nonce".to_owned(), "w-9".to_owned())];
    let answer = post(&desk, text("request_uri"), &late).await;
    assert_eq!(answer.code(), (410, "request-answered"));
}

type Alter = fn(&mut Answering);

const RESPONSES: &[(&str, Alter, &str)] = &[
    (
        "another nonce",
        |a| a.nonce = "n".into(),
        "key_binding_nonce_mismatch",
    ),
    (
        "another audience",
        |a| a.audience = "x509_hash:AAAA".into(),
        "key_binding_audience_mismatch",
    ),
    ("no state", |a| a.state = None, "state-mismatch"),
    (
        "another state",
        |a| a.state = Some("s".into()),
        "state-mismatch",
    ),
    (
        "a disclosure is left out after signing",
        |a| {
            a.presentation_alter = |text| {
                let mut parts: Vec<&str> = text.split('~').collect();
                parts.remove(1);
                parts.join("~")
            };
        },
        "key_binding_sd_hash_mismatch",
    ),
    (
        "no key binding",
        |a| {
            a.presentation_alter = |text| {
                let end = text.rfind('~').unwrap();
                text[..=end].to_owned()
            };
        },
        "key_binding_missing",
    ),
    (
        "an old key binding",
        |a| a.issued_s -= 301,
        "key_binding_too_old",
    ),
    (
        "a key binding of tomorrow",
        |a| a.issued_s += 86_400,
        "key_binding_in_future",
    ),
    (
        "an altered issuer signature",
        |a| {
            a.presentation_alter = |text| {
                let (jwt, rest) = text.split_once('~').unwrap();
                let (signed, signature) = jwt.rsplit_once('.').unwrap();
                let first = if signature.starts_with('A') { "B" } else { "A" };
                format!("{signed}.{first}{}~{rest}", &signature[1..])
            };
        },
        "signature_invalid",
    ),
    (
        "more than was asked for",
        |a| a.paths.push("lot_number".into()),
        "dcql_claim_not_asked",
    ),
    (
        "less than was asked for",
        |a| a.paths.truncate(1),
        "dcql_claim_missing",
    ),
    (
        "other transaction data",
        |a| {
            a.claims
                .insert("transaction_data_hashes".into(), json!(["AA"]));
        },
        "transaction_data_mismatch",
    ),
    (
        "no transaction data",
        |a| {
            a.claims.remove("transaction_data_hashes");
        },
        "transaction_data_mismatch",
    ),
    (
        "no consent",
        |a| {
            a.claims.remove("tegata_consent");
        },
        "consent-missing",
    ),
    (
        "a consent that is none",
        |a| {
            a.claims.insert("tegata_consent".into(), "AAAA".into());
        },
        "consent-encoding",
    ),
    (
        "a consent that is not text",
        |a| {
            a.claims.insert("tegata_consent".into(), 7.into());
        },
        "consent-encoding",
    ),
    (
        "an id that was not asked for",
        |a| a.vp_token = |text| json!({ "w": [text] }),
        "vp_token_id_unknown",
    ),
    (
        "a text instead of an array",
        |a| a.vp_token = |text| json!({ "v": text }),
        "vp_token_malformed",
    ),
    (
        "no credential",
        |a| a.vp_token = |_| json!({}),
        "vp_token_missing",
    ),
    (
        "two credentials",
        |a| a.vp_token = |text| json!({ "v": [text, text] }),
        "vp_token_too_many",
    ),
    (
        "a bare presentation",
        |a| a.vp_token = |text| text.into(),
        "vp_token_malformed",
    ),
    (
        "no SD-JWT",
        |a| a.presentation_alter = |_| "x".into(),
        "malformed",
    ),
];

#[tokio::test]
async fn each_altered_response_is_refused_for_its_reason() {
    let desk = Desk::start().await;
    let wallet = Wallet::new(&desk);
    let (asked, consent) = agreed(&desk).await;
    for (name, alter, code) in RESPONSES {
        let mut answering = Answering::of(&asked.request, Some(&consent));
        alter(&mut answering);
        let answer = asked.respond(&desk, &answering.form(&wallet)).await;
        assert_eq!(answer.code(), (400, *code), "{name}: {}", answer.body);
        assert_eq!(answer.body["error"], "invalid_request", "{name}");
        let result = asked.result(&desk).await;
        assert_ne!(result["status"], "answered", "{name}");
        assert!(
            !result.to_string().contains("2025-04-01"),
            "{name}: no claims of what is refused"
        );
    }
    // None of them used the request up.
    let form = Answering::of(&asked.request, Some(&consent)).form(&wallet);
    assert_eq!(asked.respond(&desk, &form).await.status, 200);
}

/// Puts another header, and another payload, into a key binding.
fn rebound(text: &str, header: &str, payload: Option<&str>) -> String {
    let (shown, binding) = text.split_at(text.rfind('~').unwrap() + 1);
    let parts: Vec<&str> = binding.split('.').collect();
    let payload = payload.map_or(parts[1].to_owned(), |new| jws::encode(new.as_bytes()));
    let header = jws::encode(header.as_bytes());
    format!("{shown}{header}.{payload}.{}", parts[2])
}

const GOOD_HEADER: &str = r#"{"alg":"EdDSA","typ":"kb+jwt"}"#;

type AlterText = fn(String) -> String;

const BINDINGS: &[(AlterText, &str)] = &[
    (
        |text| rebound(&text, r#"{"alg":"EdDSA","typ":"JWT"}"#, None),
        "key_binding_typ_unexpected",
    ),
    (
        |text| rebound(&text, r#"{"alg":"none","typ":"kb+jwt"}"#, None),
        "key_binding_alg_none",
    ),
    (
        |text| rebound(&text, r#"{"alg":"HS256","typ":"kb+jwt"}"#, None),
        "key_binding_alg_unsupported",
    ),
    (
        |text| {
            let header = r#"{"alg":"EdDSA","typ":"kb+jwt","crit":["x"],"x":1}"#;
            rebound(&text, header, None)
        },
        "key_binding_crit_unsupported",
    ),
    (|text| text + "x.y", "key_binding_malformed"),
    (
        |text| rebound(&text, GOOD_HEADER, Some(r#"{"nonce":"a","nonce":"b"}"#)),
        "json_name_duplicate",
    ),
    (
        |text| {
            let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(100), "]".repeat(100));
            rebound(&text, GOOD_HEADER, Some(&deep))
        },
        "too_deep",
    ),
    (
        |text| rebound(&text, GOOD_HEADER, Some(r#"{"nonce":"a"}"#)),
        "key_binding_signature_invalid",
    ),
];

#[tokio::test]
async fn a_broken_key_binding_is_refused_for_its_own_reason() {
    let desk = Desk::start().await;
    let wallet = Wallet::new(&desk);
    let (asked, consent) = agreed(&desk).await;
    for (alter, code) in BINDINGS {
        let mut answering = Answering::of(&asked.request, Some(&consent));
        answering.presentation_alter = *alter;
        let answer = asked.respond(&desk, &answering.form(&wallet)).await;
        assert_eq!(answer.code(), (400, *code), "{}", answer.body);
        let said = answer.body["error_description"].as_str().unwrap();
        assert!(said.starts_with("v: HolderKey does not hold"), "{said}");
        let result = asked.result(&desk).await;
        assert_eq!(result["result"]["code"], *code);
        assert_eq!(
            failing(&result),
            [("holder-key".to_owned(), (*code).to_owned())]
        );
    }
}

#[tokio::test]
async fn a_credential_of_the_registry_says_when_it_was_signed() {
    let desk = Desk::start().await;
    let mut wallet = Wallet::new(&desk);
    let (jwt, disclosures) = wallet.credential.split_once('~').unwrap();
    let mut parts = jwt.split('.').map(|part| jws::decode(part).unwrap());
    let header = parts.next().unwrap();
    let mut payload: Value = serde_json::from_slice(&parts.next().unwrap()).unwrap();
    payload.as_object_mut().unwrap().remove("iat").unwrap();
    let payload = jws::encode(payload.to_string().as_bytes());
    let signed = format!("{}.{payload}", jws::encode(&header));
    let signature = desk.world.credential_key().sign(signed.as_bytes());
    wallet.credential = format!("{signed}.{}~{disclosures}", jws::encode(&signature));
    for policy in ["standard", "ledger"] {
        let asked = ask(&desk, &asking(policy)).await;
        let form = Answering::of(&asked.request, None).form(&wallet);
        let answer = asked.respond(&desk, &form).await;
        assert_eq!(answer.code(), (400, "issued-at-missing"), "{policy}");
    }
}

#[tokio::test]
async fn the_same_credential_counts_once() {
    let desk = Desk::start().await;
    let wallet = Wallet::new(&desk);
    let mut asking = asking("standard");
    asking["dcql"]["credentials"][0]["multiple"] = true.into();
    let asked = ask(&desk, &asking).await;
    let shown = |count: usize| {
        let answering = Answering::of(&asked.request, None);
        // Each with a key binding of its own.
        let texts = (0..count).map(|_| {
            let form = answering.form(&wallet);
            let token: Value = serde_json::from_str(&form[0].1).unwrap();
            token["v"][0].clone()
        });
        let token = json!({ "v": texts.collect::<Vec<_>>() });
        let mut form = answering.form(&wallet);
        form[0].1 = token.to_string();
        form
    };
    let twice = asked.respond(&desk, &shown(2)).await;
    assert_eq!(twice.code(), (400, "credential-twice"), "{}", twice.body);
    assert_eq!(asked.respond(&desk, &shown(1)).await.status, 200);
}

#[tokio::test]
async fn presentations_have_one_address_and_forms_one_media_type() {
    let desk = Desk::start().await;
    let wallet = Wallet::new(&desk);
    let asked = ask(&desk, &asking("standard")).await;
    let capitals = asked.id.to_uppercase();
    let path = format!("/v1/presentations/{capitals}");
    assert_eq!(desk.get(&path).await.status, 404, "{capitals}");
    let form = Answering::of(&asked.request, None).form(&wallet);
    let answer = post(&desk, &format!("{}{path}/response", desk.url), &form).await;
    assert_eq!(answer.code(), (404, "request-unknown"));
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(&form)
        .finish();
    let request = desk.client.post(asked.request.response_uri()).body(body);
    let request = request.header("content-type", "Application/X-WWW-Form-Urlencoded");
    assert_eq!(request.send().await.unwrap().status().as_u16(), 200);
}

type AlterConsent = fn(&mut Consenting, &Desk);

const CONSENTS: &[(&str, AlterConsent, &str)] = &[
    (
        "another salt",
        |c, _| c.salt = Salt([1; 32]),
        "request-mismatch",
    ),
    (
        "another request",
        |c, _| {
            c.request.push('x');
            let asked = c.request.clone();
            c.grant.commitment =
                tegata_consent::presentation::presentation_commitment(&c.salt, asked.as_bytes());
        },
        "request-mismatch",
    ),
    (
        "another purpose",
        |c, _| c.grant.purpose = "payout".into(),
        "purpose-mismatch",
    ),
    (
        "another legal basis",
        |c, _| c.grant.legal_basis = "contract".into(),
        "legal-basis-mismatch",
    ),
    (
        "longer retention",
        |c, _| c.grant.retention_days = 31,
        "beyond-request",
    ),
    (
        "a later end",
        |c, _| c.grant.until_ms += 1,
        "beyond-request",
    ),
    (
        "no limit of uses",
        |c, _| c.grant.uses_max = None,
        "not-one-time",
    ),
    (
        "it has not started",
        |c, _| c.grant.from_ms = clock::now_ms() + 60_000,
        "not-started",
    ),
];

#[tokio::test]
async fn each_altered_consent_is_refused_for_its_reason() {
    let desk = Desk::start().await;
    let wallet = Wallet::new(&desk);
    let asked = ask(&desk, &asking("ledger")).await;
    let refused = async |consent: &PresentedConsent| {
        let form = Answering::of(&asked.request, Some(consent)).form(&wallet);
        let answer = asked.respond(&desk, &form).await;
        let failing = failing(&asked.result(&desk).await);
        assert_eq!(failing.len(), 1, "{failing:?}");
        assert_eq!(failing[0].0, "consent-proof");
        assert_eq!(answer.code(), (400, failing[0].1.as_str()));
        failing[0].1.clone()
    };
    for (name, alter, code) in CONSENTS {
        let mut consenting = consenting(&desk, &asked.request);
        alter(&mut consenting, &desk);
        consenting.give(&desk);
        assert_eq!(refused(&consenting.proven(&desk)).await, *code, "{name}");
    }
    // Never given; revoked; of a height before it was given; for somebody else.
    let never = consenting(&desk, &asked.request);
    assert_eq!(refused(&never.proven(&desk)).await, "no-such-grant");
    let revoked = consenting(&desk, &asked.request);
    revoked.give(&desk);
    let before = revoked.proven(&desk);
    revoked.revoke(&desk);
    assert_eq!(refused(&revoked.proven(&desk)).await, "revoked");
    let mut mixed = before.clone();
    mixed.grant = GrantId([9; 32]);
    assert_eq!(refused(&mixed).await, "proof-state");
    let mut altered = before.clone();
    altered.proof.certified.header.time_ms += 1;
    assert_eq!(refused(&altered).await, "proof-header");
    // A consent under another request of ours fits only that one.
    let other = ask(&desk, &asking("ledger")).await;
    let consenting = consenting(&desk, &other.request);
    consenting.give(&desk);
    let foreign = consenting.proven(&desk);
    assert_eq!(refused(&foreign).await, "request-mismatch");
}

#[tokio::test]
async fn an_old_proof_is_refused() {
    let mut desk = Desk::start().await;
    desk.config.presentations.consent_age_max_s = 0;
    desk.kill().await;
    desk.start_again().await;
    let wallet = Wallet::new(&desk);
    let (asked, consent) = agreed(&desk).await;
    desk.until("the next moment", async |_| {
        (clock::now_ms() > consent.proof.certified.header.time_ms).then_some(())
    })
    .await;
    let form = Answering::of(&asked.request, Some(&consent)).form(&wallet);
    let answer = asked.respond(&desk, &form).await;
    assert_eq!(answer.code(), (400, "proof-too-old"));
}

#[tokio::test]
async fn a_response_to_another_request_is_refused() {
    let desk = Desk::start().await;
    let wallet = Wallet::new(&desk);
    let (one, one_consent) = agreed(&desk).await;
    let (two, two_consent) = agreed(&desk).await;
    let form = Answering::of(&one.request, Some(&one_consent)).form(&wallet);
    assert_eq!(
        two.respond(&desk, &form).await.code(),
        (400, "state-mismatch")
    );
    let mut answering = Answering::of(&one.request, Some(&one_consent));
    answering.state = two.request.state().map(str::to_owned);
    let answer = two.respond(&desk, &answering.form(&wallet)).await;
    assert_eq!(answer.code(), (400, "key_binding_nonce_mismatch"));
    // Everything of the second request but the consent.
    let form = Answering::of(&two.request, Some(&one_consent)).form(&wallet);
    assert_eq!(
        two.respond(&desk, &form).await.code(),
        (400, "request-mismatch")
    );
    let form = Answering::of(&two.request, Some(&two_consent)).form(&wallet);
    assert_eq!(two.respond(&desk, &form).await.status, 200);
}

#[tokio::test]
async fn what_somebody_else_signed_in_our_name_is_no_request_of_ours() {
    let desk = Desk::start().await;
    let wallet = Wallet::new(&desk);
    let asked = ask(&desk, &asking("ledger")).await;
    // A thief signs a request with our client identifier, and a wallet that does not look commits to that.
    let thief = SigningKey::generate(Algorithm::Es256, &mut crate::random::rng());
    let (head, _) = asked.request.text().rsplit_once('.').unwrap();
    let signature = tegata_credential::jws::encode(&thief.sign(head.as_bytes()));
    let forged = format!("{head}.{signature}");
    let client_id = asked.request.client_id().to_string();
    let refused = RequestObject::parse(&forged).unwrap().verify(
        &Expected {
            client_id: &client_id,
            wallet_nonce: None,
        },
        |_| None,
        clock::now_s(),
    );
    assert_eq!(refused.unwrap_err().code(), "request_signature_invalid");
    let mut consenting = consenting(&desk, &asked.request);
    consenting.grant.commitment =
        tegata_consent::presentation::presentation_commitment(&consenting.salt, forged.as_bytes());
    consenting.give(&desk);
    let consent = consenting.proven(&desk);
    let form = Answering::of(&asked.request, Some(&consent)).form(&wallet);
    assert_eq!(
        asked.respond(&desk, &form).await.code(),
        (400, "request-mismatch")
    );
}

#[tokio::test]
async fn each_credential_that_does_not_hold_is_refused_for_its_reason() {
    let desk = Desk::start().await;
    let stranger = organisation_keys();
    type AlterRecipe<'a> = Box<dyn Fn(&mut Recipe) + 'a>;
    let wrong: Vec<(&str, AlterRecipe<'_>, &str)> = vec![
        (
            "an unknown issuer",
            Box::new(|r| r.iss = "did:web:nobody.example".into()),
            "issuer-unknown",
        ),
        (
            "a stranger's key",
            Box::new(|r| {
                r.key =
                    SigningKey::from_bytes(Algorithm::EdDsa, stranger.credential_eddsa.expose())
                        .unwrap();
            }),
            "issuer_key_unknown",
        ),
        (
            "a type that the issuer is not accredited for",
            Box::new(|r| {
                r.record_type = "infant_checkup_18_months";
                r.claims = json!({ "date": "2025-04-01" });
            }),
            "issuer-not-accredited",
        ),
        (
            "no status list",
            Box::new(|r| r.status = None),
            "status-missing",
        ),
        (
            "revoked",
            Box::new(|r| r.status.as_mut().unwrap().index = 6),
            "revoked",
        ),
        (
            "suspended",
            Box::new(|r| r.status.as_mut().unwrap().index = 7),
            "suspended",
        ),
        (
            "recalled",
            Box::new(|r| r.status.as_mut().unwrap().index = 8),
            "recalled",
        ),
        (
            "a status list of somebody else",
            Box::new(|r| r.status.as_mut().unwrap().uri = "http://127.0.0.1:9/list".into()),
            "status-invalid",
        ),
        (
            "expired",
            Box::new(|r| r.expires_s = Some(clock::now_s() - 1)),
            "expired",
        ),
        (
            "issued tomorrow",
            Box::new(|r| r.issued_s += 86_400),
            "issued_in_future",
        ),
        (
            "another version of the type",
            Box::new(|r| {
                r.integrity = catalogue()
                    .by_id("laboratory_result")
                    .map(|t| t.integrity())
            }),
            "type-integrity",
        ),
        (
            "a claim that the schema does not allow",
            Box::new(|r| r.claims["vaccine_code"] = "magic".into()),
            "schema",
        ),
    ];
    desk.statuses(&[(6, Status::Invalid), (7, Status::Suspended), (8, RECALLED)]);
    for (name, alter, code) in wrong {
        let asked = ask(&desk, &asking("standard")).await;
        let mut recipe = recipe(&desk);
        alter(&mut recipe);
        let wallet = Wallet::with(recipe);
        let mut answering = Answering::of(&asked.request, None);
        answering.paths.retain(|path| {
            SdJwt::parse(&wallet.credential)
                .unwrap()
                .disclosures()
                .unwrap()
                .contains(path)
        });
        let answer = asked.respond(&desk, &answering.form(&wallet)).await;
        assert_eq!(answer.status, 400, "{name}: {}", answer.body);
        let failing = failing(&asked.result(&desk).await);
        assert!(
            failing.iter().any(|(_, found)| found == code),
            "{name}: {failing:?}"
        );
        assert_eq!(answer.body["code"], failing[0].1.as_str(), "{name}");
    }
    // A suspended issuer.
    let wallet = Wallet::new(&desk);
    desk.world.suspend(desk.world.issuer.organisation_id());
    desk.world.settle().await;
    let asked = ask(&desk, &asking("standard")).await;
    // Shows too much, so that no attempt before that is accepted.
    let mut answering = Answering::of(&asked.request, None);
    answering.paths.push("lot_number".into());
    let form = answering.form(&wallet);
    desk.until("the suspension is known", async |desk| {
        let answer = asked.respond(desk, &form).await;
        (answer.code() == (400, "issuer-suspended")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_request_asks_only_what_the_organisation_is_accredited_for() {
    let desk = Desk::start().await;
    type AlterBody = fn(&mut Value);
    let wrong: &[(&str, AlterBody, (u16, &str))] = &[
        (
            "no purpose of the catalogue",
            |b| b["purpose"] = "x".into(),
            (422, "invalid"),
        ),
        (
            "another purpose",
            |b| b["purpose"] = "research".into(),
            (403, "not-accredited"),
        ),
        (
            "no legal basis of the catalogue",
            |b| b["legal_basis"] = "yamada-hanako-1990-02-01".into(),
            (422, "invalid"),
        ),
        (
            "no reference",
            |b| b["reference"] = " ".into(),
            (422, "invalid"),
        ),
        (
            "too long",
            |b| b["retention_days"] = 366.into(),
            (403, "not-accredited"),
        ),
        (
            "another category's type",
            |b| {
                b["dcql"]["credentials"][0]["meta"]["vct_values"] =
                    json!(["urn:tegata:record:laboratory_result:1"]);
                b["dcql"]["credentials"][0]["claims"] = json!([{ "path": ["date"] }]);
            },
            (403, "not-accredited"),
        ),
        (
            "another category",
            |b| {
                b.as_object_mut().unwrap().remove("dcql");
                b["categories"] = json!(["laboratory"]);
            },
            (403, "not-accredited"),
        ),
        (
            "no category",
            |b| {
                b.as_object_mut().unwrap().remove("dcql");
                b["categories"] = json!([]);
            },
            (422, "invalid"),
        ),
        (
            "both",
            |b| b["categories"] = json!(["vaccination"]),
            (422, "invalid"),
        ),
        (
            "an unknown type",
            |b| b["dcql"]["credentials"][0]["meta"]["vct_values"] = json!(["urn:x"]),
            (422, "type-unknown"),
        ),
        (
            "an unknown claim",
            |b| b["dcql"]["credentials"][0]["claims"] = json!([{ "path": ["shoe_size"] }]),
            (422, "claim-unknown"),
        ),
        (
            "another format",
            |b| {
                b["dcql"]["credentials"][0]["format"] = "mso_mdoc".into();
                b["dcql"]["credentials"][0]["meta"] = json!({ "doctype_value": "x" });
            },
            (422, "dcql_unsupported"),
        ),
        (
            "without the holder",
            |b| b["dcql"]["credentials"][0]["require_cryptographic_holder_binding"] = false.into(),
            (422, "dcql_unsupported"),
        ),
        ("no query", |b| b["dcql"] = json!({}), (422, "dcql_invalid")),
        (
            "a redirect that is none",
            |b| b["redirect_uri"] = "javascript:x".into(),
            (422, "invalid"),
        ),
        (
            "an unknown member",
            |b| b["x"] = 1.into(),
            (400, "malformed"),
        ),
    ];
    for (name, alter, expected) in wrong {
        let mut body = asking("ledger");
        alter(&mut body);
        let answer = desk.post("/v1/presentations", &body).await;
        assert_eq!(answer.code(), *expected, "{name}: {}", answer.body);
    }
    let mut body = asking("ledger");
    body.as_object_mut().unwrap().remove("dcql");
    body["categories"] = json!(["vaccination"]);
    let asked = ask(&desk, &body).await;
    let paths: Vec<_> = asked.request.query().credentials()[0]
        .paths()
        .map(ToString::to_string)
        .collect();
    assert_eq!(paths, ["vaccine_code", "date"]);
    let stranger = desk
        .client
        .post(format!("{}/v1/presentations", desk.url))
        .json(&asking("ledger"))
        .send()
        .await
        .unwrap();
    assert_eq!(stranger.status().as_u16(), 401);
}

#[tokio::test]
async fn on_the_same_device_only_the_browser_that_answered_gets_the_result() {
    let desk = Desk::start().await;
    let wallet = Wallet::new(&desk);
    let mut body = asking("standard");
    body["redirect_uri"] = "http://portal.example/done".into();
    let asked = ask(&desk, &body).await;
    let form = Answering::of(&asked.request, None).form(&wallet);
    let answer = asked.respond(&desk, &form).await;
    let uri = answer.body["redirect_uri"].as_str().unwrap();
    let code = uri
        .strip_prefix("http://portal.example/done#response_code=")
        .unwrap();
    let without = asked.result(&desk).await;
    assert_eq!(
        (&without["status"], &without["result"]),
        (&json!("answered"), &Value::Null)
    );
    assert_eq!(without["needs_response_code"], true);
    let path = format!("/v1/presentations/{}?response_code=", asked.id);
    // Altered on the way, or of another presentation.
    let other = ask(&desk, &body).await;
    let other = other
        .respond(&desk, &Answering::of(&other.request, None).form(&wallet))
        .await;
    let foreign = other.body["redirect_uri"]
        .as_str()
        .unwrap()
        .rsplit('=')
        .next()
        .unwrap()
        .to_owned();
    for wrong in ["", "x", &foreign, &code[1..]] {
        let answer = desk.get(&format!("{path}{wrong}")).await;
        assert_eq!(answer.code(), (403, "response-code"), "{wrong}");
    }
    let with = desk.get(&format!("{path}{code}")).await;
    assert_eq!(with.body["result"]["credentials"][0]["verified"], true);
}

#[tokio::test]
async fn time_ends_requests_and_sizes_end_bodies() {
    let mut desk = Desk::start().await;
    let wallet = Wallet::new(&desk);
    let asked = ask(&desk, &asking("standard")).await;
    let form = Answering::of(&asked.request, None).form(&wallet);
    let uri = asked.request.response_uri().to_owned();
    let large = vec![("vp_token".to_owned(), "x".repeat(5 << 20))];
    assert_eq!(post(&desk, &uri, &large).await.code(), (413, "too-large"));
    let twice = [form.clone(), form.clone()].concat();
    assert_eq!(
        post(&desk, &uri, &twice).await.code(),
        (400, "response-malformed")
    );
    assert_eq!(
        post(&desk, &uri, &form[1..]).await.code(),
        (400, "response-malformed")
    );
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep = vec![("vp_token".to_owned(), deep), form[1].clone()];
    assert_eq!(
        post(&desk, &uri, &deep).await.code(),
        (400, "vp_token_malformed")
    );
    let doubled = form[0].1.replacen('{', r#"{"v":["x"],"#, 1);
    let doubled = vec![("vp_token".to_owned(), doubled), form[1].clone()];
    assert_eq!(
        post(&desk, &uri, &doubled).await.code(),
        (400, "vp_token_malformed")
    );
    let json = desk
        .client
        .post(&uri)
        .json(&json!({}))
        .send()
        .await
        .unwrap();
    assert_eq!(json.status().as_u16(), 415);
    let unknown = format!("{}/v1/presentations/{}/response", desk.url, "0".repeat(32));
    assert_eq!(
        post(&desk, &unknown, &form).await.code(),
        (404, "request-unknown")
    );
    let unknown = format!("{}/v1/presentations/x/response", desk.url);
    assert_eq!(
        post(&desk, &unknown, &form).await.code(),
        (404, "request-unknown")
    );

    desk.config.presentations.request_ttl_s = 1;
    desk.kill().await;
    desk.start_again().await;
    let asked = ask(&desk, &asking("standard")).await;
    let form = Answering::of(&asked.request, None).form(&wallet);
    desk.until("the request is over", async |desk| {
        (asked.result(desk).await["status"] == "expired").then_some(())
    })
    .await;
    assert_eq!(
        asked.respond(&desk, &form).await.code(),
        (400, "request-expired")
    );
    let gone = desk
        .client
        .get(format!(
            "{}/v1/presentations/{}/request",
            desk.url, asked.id
        ))
        .send()
        .await
        .unwrap();
    assert_eq!(gone.status().as_u16(), 410);
}

#[tokio::test]
async fn a_person_may_say_no() {
    let desk = Desk::start().await;
    let mut body = asking("standard");
    body.as_object_mut().unwrap().remove("response_mode");
    let asked = ask(&desk, &body).await;
    let state = asked.request.state().unwrap().to_owned();
    let no = |state: &str| {
        vec![
            ("error".to_owned(), "access_denied".to_owned()),
            ("state".to_owned(), state.to_owned()),
        ]
    };
    assert_eq!(
        asked.respond(&desk, &no("x")).await.code(),
        (400, "state-mismatch")
    );
    assert_eq!(asked.respond(&desk, &no(&state)).await.status, 200);
    let result = asked.result(&desk).await;
    assert_eq!(
        (&result["status"], &result["result"]["code"]),
        (&json!("declined"), &json!("access_denied"))
    );
    assert_eq!(
        asked.respond(&desk, &no(&state)).await.code(),
        (400, "request-answered")
    );
}

#[tokio::test]
async fn issuers_outside_of_the_registry_only_where_configured() {
    let mut desk = Desk::start().await;
    let mut rng = crate::random::rng();
    let authority_key = SigningKey::generate(Algorithm::Es256, &mut rng);
    let issuer_key = SigningKey::generate(Algorithm::Es256, &mut rng);
    let subject = tegata_credential::x509::Subject {
        common_name: "Elsewhere",
        organisation: "Elsewhere",
        country: "FR",
        dns_names: &[],
        uris: &["https://elsewhere.example"],
    };
    let now_s = clock::now_s();
    let valid_s = now_s - 60..=now_s + 3600;
    let authority = tegata_credential::x509::issue_authority(
        &subject,
        &authority_key,
        valid_s.clone(),
        &mut rng,
    )
    .unwrap();
    let leaf = tegata_credential::x509::issue(
        &subject,
        &issuer_key.public_key(),
        &authority,
        &authority_key,
        valid_s,
        &mut rng,
    )
    .unwrap();
    let credential = |iss: &str, holder: &SigningKey| {
        let public = holder.public_key();
        let vaccination = catalogue().by_id("vaccination").unwrap();
        let claims = json!({ "vaccine_code": "mr", "date": "2025-04-01", "dose_number": 1 });
        let paths = ["vaccine_code".into(), "date".into()];
        let issuance = Issuance {
            disclosable: &paths,
            holder: Some(&public),
            certificates: std::slice::from_ref(&leaf),
            ..Issuance::new(iss, vaccination.vct(), now_s - 5, &claims)
        };
        issue(&issuance, &issuer_key, &mut crate::random::rng()).unwrap()
    };
    let holder = SigningKey::generate(Algorithm::Es256, &mut rng);
    let wallet = |iss: &str| Wallet {
        credential: credential(iss, &holder),
        holder: holder.clone(),
    };
    let known = wallet("https://elsewhere.example");
    let asked = ask(&desk, &asking("standard")).await;
    let form = Answering::of(&asked.request, None).form(&known);
    assert_eq!(
        asked.respond(&desk, &form).await.code(),
        (400, "issuer-unknown")
    );
    let path = desk.config.data.join("anchors.pem");
    std::fs::write(&path, authority.to_pem()).unwrap();
    desk.config.presentations.anchors = Some(path);
    desk.kill().await;
    desk.start_again().await;
    let answer = asked.respond(&desk, &form).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    // The certificate is for another name; and policy `ledger` takes nobody from outside.
    let asked = ask(&desk, &asking("standard")).await;
    let form = Answering::of(&asked.request, None).form(&wallet("https://other.example"));
    assert_eq!(
        asked.respond(&desk, &form).await.code(),
        (400, "issuer-certificate-name")
    );
    let (asked, consent) = agreed(&desk).await;
    let form = Answering::of(&asked.request, Some(&consent)).form(&known);
    assert_eq!(
        asked.respond(&desk, &form).await.code(),
        (400, "issuer-unknown")
    );
}

#[tokio::test]
async fn an_issuer_goes_by_its_url_as_well() {
    let desk = Desk::start().await;
    let mut recipe = recipe(&desk);
    recipe.iss = format!("{}/issuer", desk.world.base);
    let wallet = Wallet::with(recipe);
    let asked = ask(&desk, &asking("standard")).await;
    let form = Answering::of(&asked.request, None).form(&wallet);
    let answer = asked.respond(&desk, &form).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let row = &asked.result(&desk).await["result"]["credentials"][0]["issuer"];
    assert_eq!(row["id"], desk.world.issuer.organisation_id().to_string());
}

/// npm @openid4vc/openid4vp, dcql, @sd-jwt/sd-jwt-vc and jose as wallet, in `tests/interop`.
struct Npm {
    child: tokio::process::Child,
    stdin: tokio::process::ChildStdin,
    stdout: tokio::io::Lines<tokio::io::BufReader<tokio::process::ChildStdout>>,
}

impl Npm {
    fn start() -> Self {
        use std::process::Stdio;
        use tokio::io::AsyncBufReadExt;
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/interop");
        let mut child = tokio::process::Command::new("node")
            .arg("openid4vp.mjs")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node is there");
        let stdin = child.stdin.take().unwrap();
        let stdout = tokio::io::BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            child,
            stdin,
            stdout,
        }
    }

    async fn ask(&mut self, request: &Value) -> Value {
        use tokio::io::AsyncWriteExt;
        let line = format!("{request}\n");
        self.stdin.write_all(line.as_bytes()).await.unwrap();
        let line = self.stdout.next_line().await.unwrap();
        serde_json::from_str(&line.expect("the script answers: npm ci in tests/interop")).unwrap()
    }
}

#[tokio::test]
async fn the_wallets_of_others_answer_our_requests() {
    let desk = Desk::start().await;
    let mut npm = Npm::start();
    let own = SigningKey::from_bytes(Algorithm::Es256, desk.world.us.credential_es256.expose())
        .unwrap()
        .public_key();
    let did_url = format!("did:web:us.example#{}", own.key_id());
    for holder in [Algorithm::EdDsa, Algorithm::Es256] {
        let mut wallet = Wallet::new(&desk);
        if holder == Algorithm::Es256 {
            let holder = SigningKey::generate(holder, &mut crate::random::rng());
            let recipe = recipe(&desk);
            let record_type = catalogue().by_id(recipe.record_type).unwrap();
            let public = holder.public_key();
            let paths: Vec<Path> = record_type
                .disclosable(&recipe.claims)
                .into_iter()
                .map(Path::new)
                .collect();
            let key = SigningKey::from_bytes(
                Algorithm::Es256,
                desk.world.issuer.credential_es256.expose(),
            )
            .unwrap();
            let issuance = Issuance {
                disclosable: &paths,
                holder: Some(&public),
                status: recipe.status,
                ..Issuance::new(
                    &recipe.iss,
                    record_type.vct(),
                    recipe.issued_s,
                    &recipe.claims,
                )
            };
            let credential = issue(&issuance, &key, &mut crate::random::rng()).unwrap();
            wallet = Wallet { holder, credential };
        }
        let mut jwk = wallet.holder.public_key().to_jwk();
        jwk["d"] = tegata_credential::jws::encode(&*wallet.holder.to_bytes()).into();
        let flows = [
            ("direct_post", false, "x509_hash", "x509_hash", None, false),
            (
                "direct_post.jwt",
                false,
                "x509_hash",
                "x509_hash",
                Some("A128GCM"),
                false,
            ),
            (
                "direct_post.jwt",
                true,
                "x509_hash",
                "x509_hash",
                Some("A256GCM"),
                false,
            ),
            (
                "direct_post",
                true,
                "did",
                "decentralized_identifier",
                None,
                true,
            ),
            (
                "direct_post.jwt",
                true,
                "did:jwk",
                "decentralized_identifier",
                Some("A128GCM"),
                true,
            ),
        ];
        for (mode, is_post, client_id, prefix, enc, signed) in flows {
            let mut body = asking("standard");
            body["response_mode"] = mode.into();
            body["post"] = is_post.into();
            body["client_id"] = client_id.into();
            body["transaction_data"] = signed.into();
            let made = desk.post("/v1/presentations", &body).await;
            assert_eq!(made.status, 201, "{}", made.body);
            let mut request = json!({
                "uri": made.body["uri"], "credentials": [wallet.credential], "holder": jwk,
                "dids": { &did_url: own.to_jwk() }, "walletNonce": is_post.then_some("wallet-nonce-1"), "enc": enc,
            });
            request["wrongNonce"] = "another".into();
            let refused = npm.ask(&request).await;
            assert_eq!(
                (&refused["status"], &refused["body"]["code"]),
                (&json!(400), &json!("key_binding_nonce_mismatch")),
                "{refused}"
            );
            request["wrongNonce"] = Value::Null;
            let answer = npm.ask(&request).await;
            assert_eq!(answer["status"], 200, "{mode} {client_id}: {answer}");
            assert_eq!(
                (&answer["prefix"], &answer["version"]),
                (&json!(prefix), &json!(100)),
                "the library takes it for OpenID4VP 1.0"
            );
            assert_eq!(answer["encrypted"], mode == "direct_post.jwt");
            assert_eq!(answer["clientName"], "us");
            if is_post {
                assert_eq!(answer["walletNonce"], "wallet-nonce-1");
            }
            if signed {
                assert_eq!(
                    answer["transactionData"],
                    json!(["urn:tegata:presentation:1"])
                );
            } else {
                assert_eq!(answer["verifierInfo"][0]["purpose"], "care");
            }
            let path = format!("/v1/presentations/{}", made.body["id"].as_str().unwrap());
            let result = desk.get(&path).await.body;
            let one = &result["result"]["credentials"][0];
            assert_eq!(
                one["claims"],
                json!({ "vaccine_code": "mr", "date": "2025-04-01" })
            );
            assert_eq!(result["result"]["ledger_proof"], false);
            // A request that was answered is gone.
            let again = npm.ask(&request).await;
            assert!(again["error"].is_string(), "answered: {again}");
        }
    }
    drop(npm.stdin);
    npm.child.wait().await.unwrap();
}
