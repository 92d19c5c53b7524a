//! The authorisation code flow, step by step, and what each step refuses.

use super::*;
use reqwest::redirect::Policy;
use std::collections::HashMap;
use tegata_service::clock::now_ms;

/// A pushed request with everything in it.
fn good(challenge: &str) -> Vec<(&str, &str)> {
    vec![
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", BACK),
        ("code_challenge", challenge),
        ("code_challenge_method", "S256"),
        ("scope", "vaccination"),
        ("state", "s-1"),
    ]
}

fn with<'a>(
    parameters: &[(&'a str, &'a str)],
    name: &'a str,
    value: &'a str,
) -> Vec<(&'a str, &'a str)> {
    let mut changed: Vec<_> = parameters
        .iter()
        .copied()
        .filter(|(known, _)| *known != name)
        .collect();
    if !value.is_empty() {
        changed.push((name, value));
    }
    changed
}

/// A browser that does not follow redirects.
fn browser() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(Policy::none())
        .build()
        .unwrap()
}

impl Wallet<'_> {
    async fn push(&self, parameters: &[(&str, &str)]) -> String {
        let (status, pushed) = self.form("/openid4vci/par", parameters).await;
        assert_eq!(status, 201, "{pushed}");
        pushed["request_uri"].as_str().unwrap().to_owned()
    }

    async fn pairing_code(&self, subject: &str) -> String {
        let (status, begun) = self
            .issuer
            .post("/v1/pairings", &json!({ "subject": subject }))
            .await;
        assert_eq!(status, 201);
        begun["code"].as_str().unwrap().to_owned()
    }

    /// Opens the page; gives status and text.
    async fn page(&self, parameters: &[(&str, &str)]) -> (u16, String) {
        let url = format!("{}/openid4vci/authorize", self.issuer.url);
        let url = reqwest::Url::parse_with_params(&url, parameters).unwrap();
        let response = browser().get(url).send().await.unwrap();
        let policy = response.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Sends the page's form; gives status, and where it leads to or what it says.
    async fn decide(&self, request_uri: &str, code: &str, action: &str) -> (u16, String) {
        let form = [
            ("client_id", CLIENT),
            ("request_uri", request_uri),
            ("code", code),
            ("action", action),
        ];
        let url = format!("{}/openid4vci/authorize", self.issuer.url);
        let request = browser().post(url).header("x-forwarded-for", "192.0.2.1");
        let response = posted(request, &form).send().await.unwrap();
        let status = response.status().as_u16();
        match response.headers().get("location") {
            Some(location) => (status, location.to_str().unwrap().to_owned()),
            None => (status, response.text().await.unwrap()),
        }
    }

    /// An authorisation code and its `code_verifier`.
    async fn authorised(&self, subject: &str) -> (String, String) {
        let (verifier, challenge) = pkce();
        let request_uri = self.push(&good(&challenge)).await;
        let pairing = self.pairing_code(subject).await;
        let (status, location) = self.decide(&request_uri, &pairing, "allow").await;
        assert_eq!(status, 303, "{location}");
        (parameters(&location)["code"].clone(), verifier)
    }

    async fn exchange(&self, code: &str, verifier: &str) -> (u16, Value) {
        self.form("/openid4vci/token", &exchange(code, verifier))
            .await
    }
}

fn exchange<'a>(code: &'a str, verifier: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("client_id", CLIENT),
        ("redirect_uri", BACK),
        ("code_verifier", verifier),
    ]
}

fn parameters(location: &str) -> HashMap<String, String> {
    let url = reqwest::Url::parse(location).unwrap();
    url.query_pairs()
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

#[tokio::test]
async fn the_code_of_the_counter_opens_the_persons_records_once() {
    let world = world(config()).await;
    let issuer = world.start().await;
    let wallet = Wallet { issuer: &issuer };
    wallet.vaccination("0012", "imm-1").await;
    let (verifier, challenge) = pkce();
    let request_uri = wallet.push(&good(&challenge)).await;
    let query = [("client_id", CLIENT), ("request_uri", request_uri.as_str())];
    let (status, page) = wallet.page(&query).await;
    assert_eq!(status, 200);
    for words in [
        "lang=\"ja\"",
        "桜市",
        "おためしウォレット",
        "予防接種",
        "<label for=\"code\">",
    ] {
        assert!(page.contains(words), "{words} is not on the page");
    }
    let pairing = wallet.pairing_code("0012").await;
    let (status, page) = wallet
        .decide(&request_uri, "0000-0000-0000-0000", "allow")
        .await;
    assert_eq!(status, 422);
    assert!(
        page.contains("role=\"alert\"") && page.contains("aria-invalid"),
        "{page}"
    );
    // As people type.
    let typed = pairing.replace('-', " ").to_lowercase();
    let (status, location) = wallet.decide(&request_uri, &typed, "allow").await;
    assert_eq!(status, 303, "{location}");
    assert!(
        location.starts_with("https://wallet.example/back?from=issuer&code="),
        "{location}"
    );
    let answer = parameters(&location);
    assert_eq!(
        (answer["state"].as_str(), &answer["iss"]),
        ("s-1", &issuer.url)
    );
    // Request and pairing code are used up.
    assert_eq!(wallet.decide(&request_uri, &pairing, "allow").await.0, 400);
    let second = wallet.push(&good(&challenge)).await;
    let (status, page) = wallet.decide(&second, &pairing, "allow").await;
    assert_eq!(status, 422);
    assert!(page.contains("すでに使われています"), "{page}");

    let (status, token) = wallet.exchange(&answer["code"], &verifier).await;
    assert_eq!(status, 200, "{token}");
    let holders = keys(2);
    let (status, body) = wallet.copies(&token, &holders).await;
    assert_eq!(status, 200, "{body}");
    for (copy, holder) in credentials(&body).iter().zip(&holders) {
        verified(&world, copy, &holder.public_key());
    }
    // A code that comes again takes its token with it.
    let again = wallet.exchange(&answer["code"], &verifier).await;
    assert_eq!(error_of(again), refused(400, "invalid_grant"));
    let stale = wallet.copies(&token, &keys(1)).await;
    assert_eq!(error_of(stale), refused(401, "invalid_token"));
    issuer.stop().await;
}

#[tokio::test]
async fn a_code_needs_its_verifier_its_client_and_its_redirect_uri() {
    let world = world(config()).await;
    let issuer = world.start().await;
    let wallet = Wallet { issuer: &issuer };
    wallet.vaccination("0012", "imm-1").await;
    let (other_verifier, _) = pkce();
    for (name, value, error) in [
        (
            "code_verifier",
            other_verifier.as_str(),
            refused(400, "invalid_grant"),
        ),
        ("code_verifier", "short", refused(400, "invalid_grant")),
        ("client_id", OTHER_CLIENT, refused(400, "invalid_grant")),
        ("client_id", "stranger", refused(401, "invalid_client")),
        (
            "redirect_uri",
            "other.wallet:/back",
            refused(400, "invalid_grant"),
        ),
        (
            "redirect_uri",
            "https://wallet.example/back",
            refused(400, "invalid_grant"),
        ),
        ("code", "stranger", refused(400, "invalid_grant")),
        ("code", "", refused(400, "invalid_request")),
        ("client_id", "", refused(400, "invalid_request")),
        ("redirect_uri", "", refused(400, "invalid_request")),
        ("code_verifier", "", refused(400, "invalid_request")),
        ("grant_type", "", refused(400, "invalid_request")),
        (
            "grant_type",
            "password",
            refused(400, "unsupported_grant_type"),
        ),
        (
            "resource",
            "https://other.example",
            refused(400, "invalid_target"),
        ),
        (
            "authorization_details",
            "{",
            refused(400, "invalid_authorization_details"),
        ),
    ] {
        let (code, verifier) = wallet.authorised("0012").await;
        let wrong = with(&exchange(&code, &verifier), name, value);
        let answer = wallet.form("/openid4vci/token", &wrong).await;
        assert_eq!(error_of(answer), error, "{name}={value}");
        // Who has the code without the rest stole it: it is over. A malformed request tried nothing.
        let tried = error == refused(400, "invalid_grant") && name != "code";
        let then = wallet.exchange(&code, &verifier).await.0;
        assert_eq!(then, if tried { 400 } else { 200 }, "{name}={value}");
    }
    let (code, verifier) = wallet.authorised("0012").await;
    let mut twice = exchange(&code, &verifier);
    twice.push(("code", "another"));
    let answer = wallet.form("/openid4vci/token", &twice).await;
    assert_eq!(error_of(answer), refused(400, "invalid_request"));
    issuer.stop().await;
}

#[tokio::test]
async fn codes_and_requests_expire() {
    let expired = OpenId4VciConfig {
        code_ttl_s: 0,
        ..config()
    };
    let world = world(expired).await;
    let issuer = world.start().await;
    let wallet = Wallet { issuer: &issuer };
    wallet.vaccination("0012", "imm-1").await;
    let (code, verifier) = wallet.authorised("0012").await;
    let answer = wallet.exchange(&code, &verifier).await;
    assert_eq!(error_of(answer), refused(400, "invalid_grant"));
    issuer.stop().await;

    let expired = OpenId4VciConfig {
        request_ttl_s: 0,
        offer_ttl_s: 0,
        ..config()
    };
    let world = World {
        openid4vci: Some(expired),
        ..world
    };
    let issuer = world.start().await;
    let wallet = Wallet { issuer: &issuer };
    let request_uri = wallet.push(&good(&pkce().1)).await;
    let query = [("client_id", CLIENT), ("request_uri", request_uri.as_str())];
    assert_eq!(wallet.page(&query).await.0, 400);
    assert_eq!(wallet.decide(&request_uri, "x", "allow").await.0, 400);
    let made = wallet
        .offer(json!({ "subject": "0012", "by": "value" }))
        .await;
    assert!(made["expires_ms"].as_u64().unwrap() <= now_ms());
    let code = pre_authorized_code(&wallet.opened(&made).await);
    let answer = wallet
        .redeem(&code, made["tx_code"].as_str().unwrap())
        .await;
    assert_eq!(error_of(answer), refused(400, "invalid_grant"));
    issuer.stop().await;
}

#[tokio::test]
async fn a_request_must_be_complete_and_of_a_known_wallet() {
    let world = world(config()).await;
    let issuer = world.start().await;
    let wallet = Wallet { issuer: &issuer };
    let (_, challenge) = pkce();
    let details = |inner: &str| format!("[{{\"type\":\"openid_credential\",{inner}}}]");
    let unknown = details("\"credential_configuration_id\":\"diploma\"");
    let twice = details("\"credential_configuration_id\":\"vaccination\",\"type\":\"x\"");
    let long = "s".repeat(1025);
    for (name, value, error) in [
        ("client_id", "", refused(400, "invalid_request")),
        ("client_id", "stranger", refused(401, "invalid_client")),
        ("redirect_uri", "", refused(400, "invalid_request")),
        (
            "redirect_uri",
            "https://wallet.example/back",
            refused(400, "invalid_request"),
        ),
        (
            "redirect_uri",
            "https://wallet.example/back?from=issuer#x",
            refused(400, "invalid_request"),
        ),
        (
            "redirect_uri",
            "https://evil.example/",
            refused(400, "invalid_request"),
        ),
        (
            "redirect_uri",
            "other.wallet:/back",
            refused(400, "invalid_request"),
        ),
        (
            "response_type",
            "token",
            refused(400, "unsupported_response_type"),
        ),
        ("code_challenge", "", refused(400, "invalid_request")),
        ("code_challenge", "short", refused(400, "invalid_request")),
        ("code_challenge_method", "", refused(400, "invalid_request")),
        (
            "code_challenge_method",
            "plain",
            refused(400, "invalid_request"),
        ),
        ("scope", "", refused(400, "invalid_scope")),
        (
            "scope",
            "vaccination diploma",
            refused(400, "invalid_scope"),
        ),
        (
            "authorization_details",
            unknown.as_str(),
            refused(400, "invalid_authorization_details"),
        ),
        (
            "authorization_details",
            twice.as_str(),
            refused(400, "invalid_authorization_details"),
        ),
        (
            "authorization_details",
            "[]",
            refused(400, "invalid_authorization_details"),
        ),
        (
            "authorization_details",
            "[{\"type\":\"x\"}]",
            refused(400, "invalid_authorization_details"),
        ),
        ("issuer_state", "stranger", refused(400, "invalid_request")),
        (
            "resource",
            "https://other.example",
            refused(400, "invalid_target"),
        ),
        ("request", "e30.e30.", refused(400, "invalid_request")),
        (
            "request_uri",
            "https://evil.example",
            refused(400, "invalid_request"),
        ),
        ("state", long.as_str(), refused(400, "invalid_request")),
    ] {
        let wrong = with(&good(&challenge), name, value);
        let answer = wallet.form("/openid4vci/par", &wrong).await;
        assert_eq!(error_of(answer), error, "{name}={value}");
    }
    let mut twice = good(&challenge);
    twice.push(("redirect_uri", "https://evil.example/"));
    let answer = wallet.form("/openid4vci/par", &twice).await;
    assert_eq!(error_of(answer), refused(400, "invalid_request"));
    let huge = "s".repeat(40_000);
    let answer = wallet
        .form("/openid4vci/par", &with(&good(&challenge), "state", &huge))
        .await;
    assert_eq!(error_of(answer), refused(413, "invalid_request"));
    // What is missing on the page leads nowhere: not to a wallet that a link names.
    let request_uri = wallet.push(&good(&challenge)).await;
    for query in [
        vec![("client_id", CLIENT)],
        vec![("request_uri", request_uri.as_str())],
        vec![
            ("client_id", OTHER_CLIENT),
            ("request_uri", request_uri.as_str()),
        ],
        vec![
            ("client_id", CLIENT),
            ("request_uri", "urn:ietf:params:oauth:request_uri:x"),
        ],
        vec![
            ("client_id", CLIENT),
            ("request_uri", "https://evil.example"),
        ],
        vec![
            ("client_id", CLIENT),
            ("request_uri", request_uri.as_str()),
            ("redirect_uri", "https://evil.example/"),
        ],
        vec![
            ("client_id", CLIENT),
            ("client_id", CLIENT),
            ("request_uri", request_uri.as_str()),
        ],
        vec![
            ("response_type", "code"),
            ("client_id", CLIENT),
            ("redirect_uri", BACK),
        ],
    ] {
        let (status, page) = wallet.page(&query).await;
        assert_eq!(status, 400, "{query:?}");
        assert!(!page.contains("evil"));
    }
    issuer.stop().await;
}

#[tokio::test]
async fn sixty_requests_a_minute_from_one_address() {
    use super::super::form::Posted;
    use crate::issuer::Issuer;
    use axum::extract::{Form, State};
    use axum::http::{HeaderMap, StatusCode};
    use axum::response::IntoResponse;
    use tegata_service::http::Address;
    let world = world(config()).await;
    let registry = std::sync::Arc::clone(&world.registry) as _;
    let issuer = Issuer::open(world.config("127.0.0.1:1".parse().unwrap()), registry).unwrap();
    let push = async |address: Option<&str>| {
        let address = Address(address.map(|address| address.parse().unwrap()));
        let answer = super::super::requests::push(
            State(std::sync::Arc::clone(&issuer)),
            address,
            HeaderMap::new(),
            Posted(Ok(Form(Vec::new()))),
        );
        answer.await.into_response().status()
    };
    for _ in 0..60 {
        assert_eq!(push(Some("192.0.2.1")).await, StatusCode::BAD_REQUEST);
    }
    assert_eq!(push(Some("192.0.2.1")).await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(push(Some("192.0.2.2")).await, StatusCode::BAD_REQUEST);
    assert_eq!(
        push(None).await,
        StatusCode::BAD_REQUEST,
        "a proxy on this machine"
    );
}

#[tokio::test]
async fn a_full_house_has_room_again_as_soon_as_requests_expire() {
    use super::super::requests::{WAITING_MAX, store};
    use super::super::rows::{Pushed, Used};
    use crate::issuer::Issuer;
    use crate::store::{Kind, SWEEP_MAX, Slot};
    let world = world(config()).await;
    let registry = std::sync::Arc::clone(&world.registry) as _;
    let issuer = Issuer::open(world.config("127.0.0.1:1".parse().unwrap()), registry).unwrap();
    let pushed = |expires_ms| Pushed {
        client: CLIENT.to_owned(),
        redirect_uri: BACK.to_owned(),
        challenge: String::new(),
        state: None,
        record_types: vec!["vaccination".to_owned()],
        detailed: false,
        offer: None,
        jkt: None,
        wrong: 0,
        used: false,
        expires_ms,
    };
    let push = |name: &str, now_ms| {
        let slot = Slot::new(Kind::Pushed, name);
        let stored = store(&issuer, pushed(now_ms + 600_000), &slot, None, None, now_ms);
        stored.map_err(|error| format!("{error:?}"))
    };
    let mut change = issuer.store.change();
    for number in 0..SWEEP_MAX + 10 {
        let slot = Slot::new(Kind::Proof, &number.to_string());
        change.put_openid4vci(&slot, &Used { at_ms: 1 }, 1_000);
    }
    for number in 1..WAITING_MAX {
        let slot = Slot::new(Kind::Pushed, &number.to_string());
        change.put_openid4vci(&slot, &pushed(2_000), 2_000);
    }
    change.commit().unwrap();
    push("last", 500).unwrap();
    let full = push("more", 500).unwrap_err();
    assert!(full.contains("too many requests wait"), "{full}");
    assert!(push("more", 1_500).is_err(), "nothing that waited expired");
    push("more", 2_001).unwrap();
    push("still more", 2_001).unwrap();
}

#[tokio::test]
async fn a_person_can_say_no_and_wrong_codes_say_it_too() {
    let world = world(config()).await;
    let issuer = world.start().await;
    let wallet = Wallet { issuer: &issuer };
    wallet.vaccination("0012", "imm-1").await;
    let (_, challenge) = pkce();
    let request_uri = wallet.push(&good(&challenge)).await;
    let (status, location) = wallet.decide(&request_uri, "", "cancel").await;
    let answer = parameters(&location);
    assert_eq!(
        (status, answer["error"].as_str(), answer["state"].as_str()),
        (303, "access_denied", "s-1")
    );
    assert_eq!(wallet.decide(&request_uri, "", "cancel").await.0, 400);

    let request_uri = wallet.push(&good(&challenge)).await;
    for _ in 0..4 {
        assert_eq!(
            wallet
                .decide(&request_uri, "0000-0000-0000-0000", "allow")
                .await
                .0,
            422
        );
    }
    let (status, location) = wallet.decide(&request_uri, "nonsense", "allow").await;
    assert_eq!(
        (status, parameters(&location)["error"].as_str()),
        (303, "access_denied")
    );
    // Further wrong codes from this address are not even looked at.
    let mut last = 0;
    for _ in 0..3 {
        let request_uri = wallet.push(&good(&challenge)).await;
        for _ in 0..4 {
            last = wallet
                .decide(&request_uri, "0000-0000-0000-0000", "allow")
                .await
                .0;
        }
    }
    assert_eq!(last, 429);
    issuer.stop().await;
}

#[tokio::test]
async fn an_offer_is_for_one_person_and_for_what_it_offers() {
    let world = world(config()).await;
    let issuer = world.start().await;
    let wallet = Wallet { issuer: &issuer };
    wallet.vaccination("0012", "imm-1").await;
    wallet.vaccination("0013", "imm-2").await;
    let made = wallet
        .offer(json!({ "subject": "0012", "grant": "authorization_code" }))
        .await;
    assert_eq!(made["tx_code"], Value::Null);
    let pairing = made["code"].as_str().unwrap();
    let offer = wallet.opened(&made).await;
    let state = offer["grants"]["authorization_code"]["issuer_state"]
        .as_str()
        .unwrap();
    // An issuer state is no pre-authorised code.
    let answer = wallet.redeem(state, "123456").await;
    assert_eq!(error_of(answer), refused(400, "invalid_grant"));
    let (verifier, challenge) = pkce();
    let request = with(&good(&challenge), "issuer_state", state);
    let more = with(&request, "scope", "vaccination laboratory_result");
    let answer = wallet.form("/openid4vci/par", &more).await;
    assert_eq!(error_of(answer), refused(400, "invalid_scope"));
    let request_uri = wallet.push(&with(&request, "scope", "")).await;
    // Somebody else's pairing code is a wrong one.
    let other = wallet.pairing_code("0013").await;
    let (status, page) = wallet.decide(&request_uri, &other, "allow").await;
    assert_eq!(status, 422);
    assert!(
        page.contains("番号が正しくありません"),
        "another's number: {page}"
    );
    let (status, location) = wallet.decide(&request_uri, pairing, "allow").await;
    assert_eq!(status, 303, "{location}");
    let (status, token) = wallet
        .exchange(&parameters(&location)["code"], &verifier)
        .await;
    assert_eq!(status, 200, "{token}");
    assert_eq!(wallet.copies(&token, &keys(1)).await.0, 200);
    // The offer is used up.
    let answer = wallet.form("/openid4vci/par", &request).await;
    assert_eq!(error_of(answer), refused(400, "invalid_request"));

    for (wanted, status, code) in [
        (json!({ "subject": "" }), 422, "subject"),
        (json!({ "subject": "0099" }), 422, "nothing-to-offer"),
        (
            json!({ "subject": "0012", "record_types": ["laboratory_result"] }),
            422,
            "nothing-to-offer",
        ),
        (
            json!({ "subject": "0012", "records": ["00000000000000000000000000000000"] }),
            404,
            "not-found",
        ),
        (
            json!({ "subject": "0012", "grant": "password" }),
            400,
            "malformed",
        ),
        (
            json!({ "subject": "0012", "tx_code": false }),
            400,
            "malformed",
        ),
    ] {
        let (found, problem) = issuer.post("/v1/credential-offers", &wanted).await;
        assert_eq!(
            (found, problem["code"].as_str()),
            (status, Some(code)),
            "{wanted}"
        );
    }
    let strangers = issuer
        .http
        .post(format!("{}/v1/credential-offers", issuer.url));
    assert_eq!(
        strangers
            .json(&json!({ "subject": "0012" }))
            .send()
            .await
            .unwrap()
            .status(),
        401
    );
    // Who has nothing here keeps the pairing code.
    let empty = wallet.pairing_code("0099").await;
    let request_uri = wallet.push(&good(&challenge)).await;
    let (status, page) = wallet.decide(&request_uri, &empty, "allow").await;
    assert_eq!(status, 422);
    assert!(page.contains("入れられる記録がありません"), "{page}");
    wallet.vaccination("0099", "imm-3").await;
    assert_eq!(wallet.decide(&request_uri, &empty, "allow").await.0, 303);
    issuer.stop().await;
}

#[test]
fn authorization_details_say_what_the_standards_know_and_no_more() {
    use super::super::requests::detailed_types;
    use axum::response::IntoResponse;
    let detail = |members: &str| {
        let known = r#""type":"openid_credential","credential_configuration_id":"vaccination""#;
        format!("[{{{known}{members}}}]")
    };
    let here = r#","locations":["https://issuer.example/"]"#;
    for members in ["", here, r#","claims":[{"path":["date"]}]"#] {
        let found = detailed_types(&detail(members), "https://issuer.example");
        assert_eq!(found.unwrap(), ["vaccination"], "{members}");
    }
    let other = r#"[{"type":"payment_initiation","credential_configuration_id":"vaccination"}]"#;
    let refused = [
        other.to_owned(),
        r#"[{"type":"openid_credential"}]"#.to_owned(),
        r#"{"type":"openid_credential","credential_configuration_id":"vaccination"}"#.to_owned(),
        r#"["openid_credential"]"#.to_owned(),
        detail(r#","format":"dc+sd-jwt""#),
        detail(r#","credential_identifiers":["1"]"#),
        detail(r#","locations":["https://other.example"]"#),
        detail(r#","locations":["https://issuer.example","https://other.example"]"#),
        detail(r#","locations":[]"#),
        detail(r#","locations":"https://issuer.example""#),
        detail(r#","claims":[]"#),
        detail(r#","claims":[["date"]]"#),
    ];
    for details in refused {
        let error = detailed_types(&details, "https://issuer.example").unwrap_err();
        let told = format!("{error:?}");
        assert!(
            told.contains("\"invalid_authorization_details\""),
            "{details}: {told}"
        );
        assert_eq!(error.into_response().status(), 400);
    }
}

#[tokio::test]
async fn a_proof_that_came_with_a_pushed_request_counts_once() {
    let world = world(config()).await;
    let issuer = world.start().await;
    let wallet = Wallet { issuer: &issuer };
    let key = keys(1).remove(0);
    let proof = |path: &str| {
        let header = json!({ "typ": "dpop+jwt", "jwk": key.public_key().to_jwk() });
        let claims = json!({
            "htm": "POST", "htu": format!("{}{path}", issuer.url), "iat": now_s(), "jti": "the same",
        });
        sign_with_header(object(&header), &object(&claims), &key)
    };
    let (_, challenge) = pkce();
    let push = async |proof: &str| {
        let request = wallet.request("/openid4vci/par").header("dpop", proof);
        answer(posted(request, &good(&challenge))).await
    };
    let here = proof("/openid4vci/par");
    assert_eq!(push(&here).await.0, 201);
    let again = refused(400, "invalid_dpop_proof");
    assert_eq!(error_of(push(&here).await), again, "sent again");
    // Elsewhere it is no proof, and neither is another with its `jti`.
    let redeem = async |proof: &str| {
        let form = exchange("stranger", &challenge);
        let request = wallet.request("/openid4vci/token").header("dpop", proof);
        error_of(answer(posted(request, &form)).await)
    };
    assert_eq!(redeem(&here).await, again);
    assert_eq!(
        redeem(&proof("/openid4vci/token")).await,
        refused(400, "invalid_grant"),
        "what was not checked before the code is no use of the proof"
    );
    issuer.stop().await;
}

#[tokio::test]
async fn authorization_details_bring_identifiers() {
    let world = world(config()).await;
    let issuer = world.start().await;
    let wallet = Wallet { issuer: &issuer };
    let record = wallet.vaccination("0012", "imm-1").await;
    let (verifier, challenge) = pkce();
    let details = r#"[{"type":"openid_credential","credential_configuration_id":"vaccination"}]"#;
    let request = with(&good(&challenge), "scope", "");
    let request_uri = wallet
        .push(&with(&request, "authorization_details", details))
        .await;
    let pairing = wallet.pairing_code("0012").await;
    let (_, location) = wallet.decide(&request_uri, &pairing, "allow").await;
    let (_, token) = wallet
        .exchange(&parameters(&location)["code"], &verifier)
        .await;
    let ids = &token["authorization_details"][0]["credential_identifiers"];
    assert_eq!(ids, &json!([record]));
    issuer.stop().await;
}
