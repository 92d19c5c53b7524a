//! What a response over OpenID4VP costs the verifier, in processor time, beside a bare axum server that does the same two
//! signature checks. The response is a plain `direct_post` under policy `standard`: under `ledger` more is checked.

use crate::people::{systems, vaccinated};
use crate::processes::cpu_s;
use crate::table::{Goal, Table};
use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::{Value, json};
use std::io::BufRead;
use std::process::{Child, Command, Stdio};
use tegata::demo::Running;
use tegata::demo::wallet::{OpenedRecord, Wallet};
use tegata_consent::cose::verify_strict;
use tegata_consent::ids::PublicKey;
use tegata_credential::jws;
use tegata_credential::keys::{Algorithm, SigningKey};
use tegata_credential::openid4vp::binding_claims;
use tegata_credential::sd_jwt::{KeyBinding, SdJwt};
use tegata_service::clock;

const RESPONSES: usize = 400;

pub(crate) async fn run(table: &mut Table, running: &Running) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let (wallet, record) = vaccinated(running, "P-1").await?;
    let clinic = systems(running, "clinic-verifier");
    let ask = json!({
        "dcql": { "credentials": [{
            "id": "vaccination", "format": "dc+sd-jwt",
            "meta": { "vct_values": ["urn:tegata:record:vaccination:1"] },
            "claims": [{ "path": ["vaccine_code"] }, { "path": ["date"] }],
        }] },
        "purpose": "care", "legal_basis": "consent", "retention_days": 30,
        "policy": "standard", "response_mode": "direct_post", "transaction_data": true, "reference": "P-1",
    });
    let mut responses = Vec::with_capacity(RESPONSES);
    for _ in 0..RESPONSES {
        let asked = clinic.post("/v1/presentations", &ask).await;
        let asked = asked
            .and_then(|answer| answer.success("the request"))
            .map_err(|e| text(&e))?;
        let link = asked["link"].as_str().ok_or("no link")?;
        responses.push(response(&wallet, &record, link).await?);
    }
    let http = running.ledger.http();
    let verifier = running
        .cluster
        .pid("clinic-verifier")
        .map_err(|e| text(&e))?;
    let (issuer, holder) = keys(running, &wallet, &record).await?;
    let peer = Peer::start(&issuer, &holder)?;
    let warm = RESPONSES / 4;
    let (mut ours, mut beside) = (0.0, 0.0);
    for (number, (url, form)) in responses.into_iter().enumerate() {
        if number == warm {
            (ours, beside) = (cpu_s(verifier)?, cpu_s(peer.child.id())?);
        }
        for url in [&url, &peer.url] {
            let answer = http
                .post(url)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(form.clone())
                .send()
                .await
                .map_err(|e| text(&e))?;
            let status = answer.status();
            let said = answer.text().await.map_err(|e| text(&e))?;
            if !status.is_success() {
                return Err(format!("{url} answered {status}: {said}"));
            }
        }
    }
    let measured = (RESPONSES - warm) as f64;
    ours = (cpu_s(verifier)? - ours) / measured;
    beside = (cpu_s(peer.child.id())? - beside) / measured;
    table.row(
        "OpenID4VP response, server CPU",
        ours * 1e3,
        "ms",
        "axum and the same two signature checks",
        Some(beside * 1e3),
        Goal::RatioMost(1.3),
    );
    Ok(())
}

/// Where a response goes, and its form.
async fn response(
    wallet: &Wallet,
    record: &OpenedRecord,
    link: &str,
) -> Result<(String, String), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let wanted = wallet.read_presentation(link).await;
    let request = wanted.map_err(|e| text(&e))?.request;
    let query = request.query().credentials().first().ok_or("no query")?;
    let credential = SdJwt::parse(&record.sd_jwt).map_err(|e| text(&e))?;
    let paths = query
        .selection(&credential)
        .map_err(|e| text(&e))?
        .ok_or("the record does not answer")?;
    let audience = request.client_id().to_string();
    let binding = KeyBinding {
        extra: binding_claims(request.transaction_data(), query.id(), None),
        ..KeyBinding::new(&audience, request.nonce(), clock::now_s())
    };
    let seed = seed(&wallet.holder_jwk(&record.issuer))?;
    let holder = SigningKey::from_bytes(Algorithm::EdDsa, &seed).map_err(|e| text(&e))?;
    let shown = credential
        .present(&paths, &binding, &holder)
        .map_err(|e| text(&e))?;
    let vp_token = json!({ query.id(): [shown] }).to_string();
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("vp_token", &vp_token)
        .append_pair("state", request.state().unwrap_or_default())
        .finish();
    Ok((request.response_uri().to_owned(), form))
}

fn seed(jwk: &Value) -> Result<[u8; 32], String> {
    let seed = jws::decode(jwk["d"].as_str().unwrap_or_default());
    let seed = seed.map_err(|fault| fault.to_string())?;
    seed.try_into()
        .map_err(|_| "a seed has 32 bytes".to_owned())
}

/// With which the credential and its key binding are signed, in hexadecimal.
async fn keys(
    running: &Running,
    wallet: &Wallet,
    record: &OpenedRecord,
) -> Result<(String, String), String> {
    let issuer = running.ledger.organisation(&record.issuer).await;
    let issuer = issuer.map_err(|error| error.to_string())?.value;
    let issuer = issuer.ok_or("the clinic is not registered")?;
    let key = issuer
        .keys_at(
            tegata_consent::organisation::KeyUse::CredentialEdDsa,
            clock::now_ms(),
        )
        .next()
        .ok_or("the clinic has no key for credentials")?;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let holder = wallet.holder_jwk(&record.issuer);
    let holder = jws::decode(holder["x"].as_str().unwrap_or_default());
    Ok((
        hex(&key.public),
        hex(&holder.map_err(|fault| fault.to_string())?),
    ))
}

/// The bare server, in a process of its own.
struct Peer {
    child: Child,
    url: String,
}

impl Peer {
    fn start(issuer: &str, holder: &str) -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        let mut child = Command::new(std::env::current_exe().map_err(text)?)
            .args(["--peer-of-responses", &format!("{issuer}{holder}")])
            .stdout(Stdio::piped())
            .spawn()
            .map_err(text)?;
        let mut url = String::new();
        let stdout = child.stdout.take().ok_or("its output")?;
        std::io::BufReader::new(stdout)
            .read_line(&mut url)
            .map_err(text)?;
        let url = url.trim().to_owned();
        Ok(Self { child, url })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Serves until it is killed: takes a response's form apart as far as its two signatures, and checks them.
pub(crate) async fn serve_peer(keys: &str) -> Result<(), String> {
    let key = |part: Option<&str>| -> Result<PublicKey, String> {
        part.and_then(|part| part.parse().ok())
            .ok_or_else(|| "two keys in hexadecimal".to_owned())
    };
    let keys = [key(keys.get(..64))?, key(keys.get(64..))?];
    let check = move |body: Bytes| async move {
        match signatures_hold(&body, &keys) {
            Some(()) => StatusCode::OK,
            None => StatusCode::BAD_REQUEST,
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    println!("http://{address}/");
    axum::serve(listener, Router::new().route("/", post(check)))
        .await
        .map_err(|error| error.to_string())
}

fn signatures_hold(body: &[u8], [issuer, holder]: &[PublicKey; 2]) -> Option<()> {
    let (_, token) = form_urlencoded::parse(body).find(|(name, _)| name == "vp_token")?;
    let token: Value = serde_json::from_str(&token).ok()?;
    let shown = token["vaccination"][0].as_str()?;
    let (first, _) = shown.split_once('~')?;
    let (_, last) = shown.rsplit_once('~')?;
    for (jwt, key) in [(first, issuer), (last, holder)] {
        let (signed, signature) = jwt.rsplit_once('.')?;
        let signature = jws::decode(signature).ok()?;
        verify_strict(key, signed.as_bytes(), &signature).ok()?;
    }
    Some(())
}
