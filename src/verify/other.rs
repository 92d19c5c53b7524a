//! What is given in place of something to verify: said by its name, with what to do.

use super::recognise::JSON_MAX;
use serde_json::Value;
use tegata_credential::x509::Certificate;

/// What this is, where it is nothing that could hold or not.
pub(super) fn hint(bytes: &[u8]) -> String {
    let known = match std::str::from_utf8(bytes) {
        Ok(text) => of_text(text.trim()),
        Err(_) => of_bytes(bytes),
    };
    known.unwrap_or_else(|| {
        "this is none of: credential, presentation, request for a presentation, health certificate, health card, JWT, status list, receipt, state proof, header, \
         deposit receipts, sealed record, reading history, entry, deposit, invitation, order, ticket, consent request, export, genesis"
            .to_owned()
    })
}

/// Whether these are keys that nobody should have been given.
pub(super) fn is_secret(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    of_text(text.trim()).is_some_and(|hint| hint == SECRET)
}

const PICTURE: &str = "this is a picture, not what it shows: scan the QR code with a phone, and give its text (`tegata issue` prints it beside the picture)";
pub(super) const SECRET: &str = "this is a secret key: keep it to yourself. `tegata issue --key` and `tegata present --key` sign with it; there is nothing in it to verify";
const KEYS: &str = "these are keys, which nobody signed: name the file with --trust, and give as FILE what they signed";

fn of_text(text: &str) -> Option<String> {
    if text.contains("-----BEGIN CERTIFICATE-----") {
        return Some(certificate(Certificate::from_pem(text).ok().as_ref()));
    }
    if text.contains("PRIVATE KEY-----") {
        return Some(SECRET.to_owned());
    }
    if text.contains("-----BEGIN PUBLIC KEY-----") {
        return Some(KEYS.to_owned());
    }
    if text.starts_with('<') && text.contains("<svg") {
        return Some(PICTURE.to_owned());
    }
    if text.starts_with("age-encryption.org/v1") {
        return Some(age());
    }
    if text.matches('.').count() == 4 && !text.contains(char::is_whitespace) {
        return Some(
            "this is encrypted (JWE): only its receiver can read it. Give what it holds".to_owned(),
        );
    }
    if text.len() > JSON_MAX {
        return None;
    }
    of_json(&serde_json::from_str(text).ok()?)
}

fn of_json(value: &Value) -> Option<String> {
    let has = |name: &str| value.get(name).is_some();
    let words = if has("credential_es256") || has("d") && has("kty") {
        SECRET.to_owned()
    } else if has("keys") || has("kty") || has("verificationMethod") {
        KEYS.to_owned()
    } else if has("rids") {
        "this is a list of revoked health cards, which nobody signed: name it with --status, and give the card as FILE".to_owned()
    } else if let Some(kind) = value.get("resourceType").and_then(Value::as_str) {
        format!("this is a FHIR resource ({kind}), which nobody signed: `tegata issue` signs one")
    } else if has("credential_offer_uri") || has("credential_issuer") {
        "this is an offer or metadata of an issuer, which nobody signed: a wallet takes the credential".to_owned()
    } else {
        return None;
    };
    Some(words)
}

fn of_bytes(bytes: &[u8]) -> Option<String> {
    const PICTURES: [&[u8]; 4] = [b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"%PDF"];
    if PICTURES.iter().any(|magic| bytes.starts_with(magic)) {
        return Some(PICTURE.to_owned());
    }
    if bytes.starts_with(b"age-encryption.org/v1") {
        return Some(age());
    }
    if let Ok(found) = Certificate::from_der(bytes) {
        return Some(certificate(Some(&found)));
    }
    let mut decoder = minicbor::Decoder::new(bytes);
    let is_cbor = decoder.skip().is_ok() && decoder.position() == bytes.len();
    is_cbor.then(|| "this is CBOR, but no paper of ours in its one deterministic encoding: it is of another kind, or was altered".to_owned())
}

fn certificate(found: Option<&Certificate>) -> String {
    let of = found.map_or_else(String::new, |found| format!(" of {}", found.subject()));
    format!(
        "this is a certificate{of}: name the file with --trust, and give as FILE what its key signed"
    )
}

fn age() -> String {
    "this is a sealed file alone (age), which nobody signed: give the sealed record as the host has it, or what was in it".to_owned()
}
