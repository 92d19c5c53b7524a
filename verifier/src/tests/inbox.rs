//! Consent requests and the inbox.

use super::desk::{Desk, TOKEN};
use super::world::{Ask, organisation_keys};
use serde_json::{Value, json};
use tegata_consent::cose::Signed;
use tegata_consent::ids::{GrantId, VaultId};
use tegata_consent::organisation::{Name, Organisation, Role, Service};
use tegata_consent::request::ConsentRequest;
use tegata_service::clock;

#[tokio::test]
async fn only_what_the_registry_allows_is_asked() {
    let desk = Desk::start().await;
    let ask = |change: fn(&mut Value)| {
        let mut body = json!({ "categories": ["vaccination"], "purpose": "care", "legal_basis": "consent", "retention_days": 30,
                               "until_ms": clock::now_ms() + 86_400_000, "reference": "P-1" });
        change(&mut body);
        body
    };
    type Alteration = (fn(&mut Value), u16, &'static str);
    let alterations: [Alteration; 13] = [
        (
            |body| body["categories"] = json!(["laboratory"]),
            403,
            "not-accredited",
        ),
        (
            |body| body["categories"] = json!(["vaccination", "imaging"]),
            403,
            "not-accredited",
        ),
        (
            |body| body["purpose"] = json!("research"),
            403,
            "not-accredited",
        ),
        (
            |body| body["retention_days"] = json!(366),
            403,
            "not-accredited",
        ),
        (|body| body["categories"] = json!([]), 422, "invalid"),
        (
            |body| body["legal_basis"] = json!("yamada-hanako-1990-02-01"),
            422,
            "invalid",
        ),
        (
            |body| body["categories"] = json!(["secrets"]),
            422,
            "invalid",
        ),
        (
            |body| body["categories"] = json!(["vaccination", "vaccination"]),
            422,
            "invalid",
        ),
        (|body| body["until_ms"] = json!(1), 422, "invalid"),
        (|body| body["until_ms"] = json!(u64::MAX), 422, "invalid"),
        (
            // in microseconds
            |body| body["until_ms"] = json!(body["until_ms"].as_u64().unwrap() * 1000),
            422,
            "invalid",
        ),
        (|body| body["reference"] = json!(" "), 422, "invalid"),
        (|body| body["more"] = json!(1), 400, "malformed"),
    ];
    for (alter, status, code) in alterations {
        let body = ask(alter);
        assert_eq!(
            desk.post("/v1/requests", &body).await.code(),
            (status, code),
            "{body}"
        );
    }
    // a stranger hears nothing but that, whatever the body is
    for body in [ask(|_| {}), json!("nonsense")] {
        let url = format!("{}/v1/requests", desk.url);
        let unknown = desk.client.post(url).json(&body).send().await.unwrap();
        assert_eq!(unknown.status(), 401);
    }
    desk.world.suspend(desk.world.us.organisation_id());
    // Registrations are remembered for up to five seconds.
    desk.until("the suspension counts", async |desk| {
        let answer = desk.post("/v1/requests", &ask(|_| {})).await;
        (answer.code() == (403, "not-accredited")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_request_is_signed_and_for_holders_of_its_id() {
    let desk = Desk::start().await;
    let (id, signed) = desk.request("care", "P-1").await;
    let (request, signer) = ConsentRequest::open(&signed, &desk.world.ledger.chain()).unwrap();
    assert_eq!(signer, desk.world.us.sign_public());
    assert_eq!(request.recipient, desk.world.us.organisation_id());
    // Nothing of the person is in it: it may become evidence on the ledger.
    request.check().unwrap();
    assert!(!String::from_utf8_lossy(&signed).contains("P-1"));
    assert_ne!(
        hex::encode(request.nonce.0),
        id,
        "whoever sees the nonce cannot ask for the request"
    );
    let missing = desk
        .client
        .get(format!("{}/v1/requests/{}", desk.url, "00".repeat(16)))
        .send()
        .await
        .unwrap();
    assert_eq!(missing.status(), 404);
    let short = json!({ "categories": ["vaccination"], "purpose": "care", "legal_basis": "consent", "retention_days": 30,
                        "until_ms": clock::now_ms() + 1500, "reference": "P-1" });
    let made = desk.post("/v1/requests", &short).await;
    assert!(made.body["qr_svg"].as_str().unwrap().contains("<svg"));
    let path = format!(
        "{}/v1/requests/{}",
        desk.url,
        made.body["id"].as_str().unwrap()
    );
    let link = made.body["link"].as_str().unwrap();
    assert_eq!(
        link,
        format!(
            "http://wallet.example/#/request?from={}&id={}",
            request.recipient,
            made.body["id"].as_str().unwrap()
        )
    );
    desk.until("it expires", async |desk| {
        (desk.client.get(&path).send().await.unwrap().status() == 410).then_some(())
    })
    .await;
}

#[tokio::test]
async fn tickets_are_filed_under_their_reference_once() {
    let desk = Desk::start().await;
    let (id, signed) = desk.request("care", "patient 7").await;
    let granted = desk.world.grant(&Ask {
        reference: "patient 7",
        answers: Some(&signed),
        ..Ask::default()
    });
    desk.deliver(&granted).await;
    desk.deliver(&granted).await;
    let unasked = desk.world.grant(&Ask {
        reference: "patient 8",
        ..Ask::default()
    });
    desk.deliver(&unasked).await;
    let found = desk.get("/v1/grants?reference=patient%207").await.body;
    assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
    assert_eq!(
        (&found[0]["grant"], &found[0]["request"]),
        (&json!(granted.id.to_string()), &json!(id))
    );
    assert_eq!(found[0]["unsolicited"], false);
    assert_eq!(
        desk.get("/v1/grants?reference=patient%208").await.body[0]["unsolicited"],
        true
    );
    assert_eq!(
        desk.get("/v1/grants").await.body.as_array().unwrap().len(),
        2
    );
    // The sealed ticket, and with it every reader key, is nowhere in clear on disk, nor is the reference.
    let reader = desk.world.person.reader_secret(&super::world::VACCINATIONS);
    for file in files(&desk.config.data) {
        let bytes = std::fs::read(&file).unwrap();
        let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        assert!(
            !holds(reader.expose()) && !holds(b"patient 7"),
            "{}",
            file.display()
        );
    }
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path))
        } else {
            found.push(path)
        }
    }
    found
}

#[tokio::test]
async fn what_the_inbox_refuses() {
    let desk = Desk::start().await;
    let other_host = organisation_keys();
    desk.world.register(Organisation {
        name: Name {
            ja: "b".into(),
            en: "b".into(),
        },
        roles: vec![Role::Host],
        services: vec![Service {
            role: Role::Host,
            url: "http://127.0.0.1:1".into(),
        }],
        did: "did:web:b.example".into(),
        keys: other_host.public_keys(0),
        issues: vec![],
        asks: vec![],
    });
    let (_, signed) = desk.request("care", "P-1").await;
    let granted = desk.world.grant(&Ask::default());
    let ticket = desk.ticket(&granted);

    let plain = desk
        .client
        .post(format!("{}/v1/inbox", desk.url))
        .bearer_auth(TOKEN)
        .json(&ticket)
        .send()
        .await
        .unwrap();
    assert_eq!(plain.status(), 401, "not signed");
    assert_eq!(
        desk.inbox_by(&desk.world.issuer, &ticket).await.code(),
        (403, "not-a-host")
    );
    assert_eq!(
        desk.inbox_by(&organisation_keys(), &ticket).await.code(),
        (401, "not-registered")
    );
    assert_eq!(
        desk.inbox_by(&other_host, &ticket).await.code(),
        (403, "other-host")
    );
    assert_eq!(desk.ping(&granted.id).await.code(), (404, "no-ticket"));
    assert_eq!(
        desk.inbox(&json!({ "kind": "ticket", "grant": "00", "ticket": "" }))
            .await
            .code(),
        (400, "malformed")
    );
    assert_eq!(
        desk.inbox(&json!({ "kind": "order", "grant": granted.id.to_string() }))
            .await
            .code(),
        (400, "malformed")
    );

    let altered = |change: &dyn Fn(&mut Vec<u8>)| {
        use base64::Engine;
        let mut bytes = desk.world.sealed(&granted);
        change(&mut bytes);
        let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        json!({ "kind": "ticket", "grant": granted.id.to_string(), "ticket": text })
    };
    assert_eq!(
        desk.inbox(&altered(&|bytes| *bytes.last_mut().unwrap() ^= 1))
            .await
            .code(),
        (422, "ticket")
    );
    assert_eq!(
        desk.inbox(&altered(&|bytes| bytes.truncate(40)))
            .await
            .code(),
        (422, "ticket")
    );
    // Another grant's ticket: its key has not signed it.
    let second = desk.world.grant(&Ask::default());
    let mut foreign = ticket.clone();
    foreign["grant"] = json!(second.id.to_string());
    assert_eq!(desk.inbox(&foreign).await.code(), (422, "ticket"));
    // A scope that the grant does not commit to.
    let mut wider = desk.world.grant(&Ask::default());
    wider.ticket.scope.drawers.push(super::world::CHECKUPS);
    assert_eq!(
        desk.inbox(&desk.ticket(&wider)).await.code(),
        (422, "ticket")
    );

    let mut nowhere = desk.ticket(&granted);
    nowhere["grant"] = json!(GrantId([9; 32]).to_string());
    assert_eq!(desk.inbox(&nowhere).await.code(), (404, "no-such-grant"));
    let others = organisation_keys();
    desk.world.register(Organisation {
        name: Name {
            ja: "c".into(),
            en: "c".into(),
        },
        roles: vec![Role::Verifier],
        services: vec![Service {
            role: Role::Verifier,
            url: "http://127.0.0.1:1".into(),
        }],
        did: "did:web:c.example".into(),
        keys: others.public_keys(0),
        issues: vec![],
        asks: vec![tegata_consent::organisation::Asks {
            purpose: "care".into(),
            categories: vec!["vaccination".into()],
            retention_max_days: 365,
        }],
    });
    let theirs = desk.world.grant(&Ask {
        recipient: Some(others.organisation_id()),
        ..Ask::default()
    });
    assert_eq!(
        desk.inbox(&desk.ticket(&theirs)).await.code(),
        (403, "not-recipient")
    );

    let unknown = desk.world.grant(&Ask {
        answers: Some(b"a request that we never made"),
        ..Ask::default()
    });
    assert_eq!(
        desk.inbox(&desk.ticket(&unknown)).await.code(),
        (422, "unknown-request")
    );
    let mut renamed = desk.world.grant(&Ask {
        answers: Some(&signed),
        ..Ask::default()
    });
    renamed.ticket.reference = "P-2".into();
    assert_eq!(
        desk.inbox(&desk.ticket(&renamed)).await.code(),
        (422, "request-mismatch")
    );
    let repurposed = desk.world.grant(&Ask {
        answers: Some(&signed),
        purpose: "payout",
        ..Ask::default()
    });
    assert_eq!(
        desk.inbox(&desk.ticket(&repurposed)).await.code(),
        (422, "request-mismatch")
    );
    let mut silent = desk.world.grant(&Ask {
        answers: Some(&signed),
        ..Ask::default()
    });
    silent.ticket.request = None;
    assert_eq!(
        desk.inbox(&desk.ticket(&silent)).await.code(),
        (422, "request-mismatch")
    );
    let mut unsalted = desk.world.grant(&Ask {
        answers: Some(&signed),
        ..Ask::default()
    });
    unsalted.ticket.request_salt = Some(tegata_consent::ids::Salt([0; 32]));
    assert_eq!(
        desk.inbox(&desk.ticket(&unsalted)).await.code(),
        (422, "request-mismatch")
    );

    assert_eq!(
        desk.get("/v1/grants").await.body,
        json!([]),
        "nothing of it was kept"
    );
    // A request is answered for one person: her again, and nobody else.
    let first = desk.world.grant(&Ask {
        answers: Some(&signed),
        ..Ask::default()
    });
    desk.deliver(&first).await;
    let again = desk.world.grant(&Ask {
        answers: Some(&signed),
        ..Ask::default()
    });
    desk.deliver(&again).await;
    let stranger = desk.world.grant(&Ask {
        answers: Some(&signed),
        vault: Some(VaultId([8; 32])),
        ..Ask::default()
    });
    assert_eq!(
        desk.inbox(&desk.ticket(&stranger)).await.code(),
        (409, "request-answered")
    );
    assert_eq!(
        desk.inbox_by(
            &other_host,
            &json!({ "kind": "ping", "grant": first.id.to_string() })
        )
        .await
        .code(),
        (403, "other-host")
    );
}

#[tokio::test]
async fn a_signed_message_is_taken_once() {
    let desk = Desk::start().await;
    let granted = desk.world.grant(&Ask::default());
    let signer = tegata_service::signature::Signer::organisation(
        desk.world.host.organisation_id(),
        desk.world.host.sign.clone(),
    );
    let (url, body) = (
        format!("{}/v1/inbox", desk.url),
        desk.ticket(&granted).to_string().into_bytes(),
    );
    let nonce = tegata_consent::ids::Nonce([1; 16]);
    let headers = tegata_service::signature::sign(
        &signer,
        &reqwest::Method::POST,
        &url,
        &body,
        clock::now_s(),
        nonce,
    );
    let send = || {
        let request = desk
            .client
            .post(&url)
            .header("content-type", "application/json")
            .body(body.clone());
        headers
            .iter()
            .fold(request, |request, (name, value)| {
                request.header(name, value)
            })
            .send()
    };
    assert_eq!(send().await.unwrap().status(), 204);
    let again = send().await.unwrap();
    assert_eq!(again.status(), 401);
    assert!(again.text().await.unwrap().contains("signature-replayed"));
}
