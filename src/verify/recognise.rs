//! What something is. Formats are told apart by their strict decoders; each is tried, and one fits.

use super::finding::{Coded, Finding};
use super::trust::Trust;
use super::{companions, credential, export, ledger, offline, openid4vp, status, vault, w3c};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tegata_consent::cbor;
use tegata_consent::cose::{CoseError, Sign1, Signed};
use tegata_consent::deposit::{Deposit, DepositReceipt, DrawerList, SealedRecord};
use tegata_consent::entry::ENTRY_TYPE;
use tegata_consent::fetch::GrantHistory;
use tegata_consent::header::CertifiedHeader;
use tegata_consent::invitation::Invitation;
use tegata_consent::order::Order;
use tegata_consent::proof::{Receipt, StateProof};
use tegata_consent::request::ConsentRequest;
use tegata_credential::openid4vp::REQUEST_TYP;
use tegata_credential::{cose, hcert, smart_health_card, status_list};

/// Longest text that is taken for encoded bytes, in bytes.
const ENCODED_MAX: usize = 64 << 20;
/// Longest JSON and JWT that is read, in bytes: values take many times the room of their text. Status lists are longer, and
/// have their own limit.
pub(super) const JSON_MAX: usize = 1 << 20;

/// Recognises and examines; absent where it is nothing we know.
pub async fn recognise(bytes: &[u8], trust: &Trust) -> Option<Finding> {
    let trust = &trust.for_one();
    let mut finding = examine(bytes, trust).await?;
    for note in &trust.notes {
        finding.fact("note", note);
    }
    // Who names a request asks whether this answers it.
    if trust.request.is_some()
        && finding.holds()
        && !finding.checks.iter().any(|check| check.name == "request")
    {
        let words = "whether it answers --request is only checked of an SD-JWT VC's presentation";
        finding.unknown("request", words);
    }
    Some(finding)
}

async fn examine(bytes: &[u8], trust: &Trust) -> Option<Finding> {
    if let Some(text) = std::str::from_utf8(bytes)
        .ok()
        .map(str::trim)
        .filter(|text| !text.is_empty())
    {
        if let Some(finding) = recognise_text(text, trust).await {
            return Some(finding);
        }
        if let Some(decoded) = decode_text(text) {
            return recognise_bytes(&decoded, trust).await;
        }
    }
    recognise_bytes(bytes, trust).await
}

async fn recognise_text(text: &str, trust: &Trust) -> Option<Finding> {
    if text.starts_with(hcert::PREFIX) {
        return Some(offline::hcert(text, trust));
    }
    if text.starts_with(smart_health_card::PREFIX) {
        return Some(offline::card(text, trust));
    }
    if text.starts_with('{') {
        if text.len() > JSON_MAX {
            return None;
        }
        if let Some(finding) = ledger::genesis(text, trust) {
            return Some(finding);
        }
        if w3c::is_one(text) {
            return Some(w3c::examine(text, trust).await);
        }
        let document = tegata_credential::json::parse(text.as_bytes()).ok()?;
        if let Some(finding) = companions::ticket(&document, trust).await {
            return Some(finding);
        }
        return offline::cards(&document, trust);
    }
    let header = jwt_header(text)?;
    if header["typ"] != "statuslist+jwt" && text.len() > JSON_MAX {
        let mut finding = Finding::new("A signed text (JWT or card)");
        finding.fail("form", Coded("too_large", "it is longer than 1 MiB".into()));
        return Some(finding);
    }
    if header["zip"] == "DEF" {
        return Some(offline::card(text, trust));
    }
    match header["typ"].as_str().unwrap_or_default() {
        "statuslist+jwt" => Some(status::of_jwt(text, trust).await),
        REQUEST_TYP => Some(openid4vp::request(text, trust)),
        "dc+sd-jwt" | "vc+sd-jwt" => Some(credential::sd_jwt(text, trust).await),
        _ if text.contains('~') => Some(credential::sd_jwt(text, trust).await),
        kind if header["alg"].is_string() => Some(credential::jwt(text, kind, trust)),
        _ => None,
    }
}

/// The header of a compact JWS.
fn jwt_header(text: &str) -> Option<serde_json::Value> {
    let (head, _) = text.split_once('.')?;
    let head = URL_SAFE_NO_PAD
        .decode(head.get(..head.len().min(16_384))?)
        .ok()?;
    let head: serde_json::Value = serde_json::from_slice(&head).ok()?;
    head.is_object().then_some(head)
}

fn decode_text(text: &str) -> Option<Vec<u8>> {
    if text.len() > ENCODED_MAX {
        return None;
    }
    let text: String = text.split_whitespace().collect();
    hex::decode(&text)
        .ok()
        .or_else(|| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok())
}

async fn recognise_bytes(bytes: &[u8], trust: &Trust) -> Option<Finding> {
    if bytes.len() <= status_list::MAX_TOKEN_BYTES
        && cose::Sign1::parse(bytes)
            .is_ok_and(|token| token.typ() == Some(status_list::CWT_MEDIA_TYPE))
    {
        return Some(status::of_cwt(bytes, trust).await);
    }
    if let Some(kind) = signed_type(bytes) {
        let kind = match kind {
            Ok(kind) => kind,
            Err(error) => {
                let mut finding = Finding::new("A signed envelope");
                finding.fail("form", error);
                return Some(finding);
            }
        };
        return Some(match kind.as_str() {
            ENTRY_TYPE => ledger::entry(bytes, trust).await,
            Deposit::TYPE => vault::deposit(bytes, trust),
            DepositReceipt::TYPE => vault::deposit_receipt(bytes, trust),
            Invitation::TYPE => companions::invitation(bytes, trust),
            Order::TYPE => companions::order(bytes, trust).await,
            ConsentRequest::TYPE => companions::request(bytes, trust),
            _ => {
                let mut finding = Finding::new("A signed envelope of an unknown type");
                finding.fact("type", &kind);
                finding.check(
                    "type",
                    Err::<&str, _>(format!(
                        "{kind:?} is none of the types that this version knows"
                    )),
                );
                finding
            }
        });
    }
    if let Ok(receipt) = Receipt::parse(bytes) {
        return Some(ledger::receipt(receipt, trust));
    }
    if let Ok(proof) = StateProof::parse(bytes) {
        return Some(ledger::state_proof(proof, trust));
    }
    if let Ok(header) = cbor::decode::<CertifiedHeader>(bytes, CertifiedHeader::LIMIT) {
        return Some(ledger::header(header, trust));
    }
    if let Ok(list) = cbor::decode::<DrawerList>(bytes, DrawerList::LIMIT) {
        return Some(vault::drawer_list(&list, trust));
    }
    if let Ok(record) = cbor::decode::<SealedRecord>(bytes, SealedRecord::LIMIT) {
        return Some(vault::sealed_record(&record, trust));
    }
    if let Ok(history) = cbor::decode::<GrantHistory>(bytes, GrantHistory::LIMIT) {
        return Some(ledger::history(&history, trust));
    }
    export::export(bytes, trust)
}

/// The `typ` of a COSE_Sign1, or why it is not one as we sign them; absent where it is none at all.
fn signed_type(bytes: &[u8]) -> Option<Result<String, CoseError>> {
    const NONE: &str = "";
    /// How tag 18 begins.
    const SIGN1: u8 = 0xd2;
    match Sign1::parse(bytes, 64 * 1024, NONE) {
        Err(CoseError::Type { found, .. }) => Some(Ok(found)),
        Err(error) if bytes.first() == Some(&SIGN1) => Some(Err(error)),
        _ => None,
    }
}
