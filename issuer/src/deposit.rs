//! One deposit at a host: sending it, and believing the answer only when its signature and its place in the chain hold.

use crate::issuer::Issuer;
use crate::model::{KnownReceipt, Record, Sealing};
use crate::store::{Change, StoreError};
use bytes::Bytes;
use futures::StreamExt;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use tegata_consent::cose::Signed;
use tegata_consent::deposit::{DepositReceipt, receipt_head};
use tegata_consent::organisation::Role;
use tegata_service::clock::now_ms;

/// Longest answer that is read, in bytes.
const ANSWER_MAX: usize = 16 * 1024;
/// How often "there is no such drawer" is taken for "not yet".
const MISSING_DRAWER_ATTEMPTS: u32 = 12;

/// What came of sending a deposit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// The host took it; its receipt's signature holds.
    Taken {
        bytes: Vec<u8>,
        receipt: DepositReceipt,
    },
    /// The host will not take it, whenever it is sent.
    Refused(String),
    /// Not now. `host_down`: nothing else will get through to this host either.
    Later { reason: String, host_down: bool },
}

impl Answer {
    fn later(reason: &str, host_down: bool) -> Self {
        Self::Later {
            reason: reason.to_owned(),
            host_down,
        }
    }
}

/// Sends a sealed record to its host.
pub(crate) async fn send(
    issuer: &Issuer,
    record: &Record,
    sealing: &Sealing,
    sealed: Bytes,
) -> Answer {
    let host = match issuer.registry.organisation(&sealing.host).await {
        Ok(Some(host)) => host,
        Ok(None) => return Answer::Refused("host-unknown".to_owned()),
        Err(error) => {
            tracing::debug!(%error, "the registry does not say where the host is");
            return Answer::later("ledger", true);
        }
    };
    if host.suspended_at(now_ms()) {
        return Answer::later("host-suspended", true);
    }
    let Some(url) = host.organisation.url(Role::Host) else {
        return Answer::later("host-without-url", true);
    };
    let url = format!("{url}/v1/drawers/{}/records", sealing.drawer);
    let request = issuer
        .http
        .post(url)
        .header(CONTENT_TYPE, "application/cbor")
        .body(sealed);
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) => {
            // The error names the URL, and with it the drawer; only its kind is told.
            let kind = if error.is_timeout() {
                "host-timeout"
            } else {
                "host-unreachable"
            };
            return Answer::later(kind, true);
        }
    };
    let status = response.status();
    let mut body = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) if body.len() + piece.len() <= ANSWER_MAX => body.extend_from_slice(&piece),
            Ok(_) => return Answer::later("host-answer-too-long", false),
            Err(_) => return Answer::later("host-answer-broke-off", true),
        }
    }
    if status == StatusCode::CREATED || status == StatusCode::OK {
        return match check_receipt(issuer, &host, sealing, &body) {
            Ok(receipt) => Answer::Taken {
                bytes: body,
                receipt,
            },
            Err(reason) => {
                metrics::counter!("tegata_issuer_bad_receipts_total").increment(1);
                tracing::warn!(host = %sealing.host, reason, "a host's receipt does not hold");
                Answer::later(reason, false)
            }
        };
    }
    let reason = reason(status, &body);
    // Whether we are suspended is known better by the ledger than by this answer; signing asks it again.
    let about_us = status == StatusCode::FORBIDDEN && reason.starts_with("host-403-depositor");
    let passes = status.is_server_error() || about_us || [408, 425, 429].contains(&status.as_u16());
    if passes {
        Answer::Later {
            reason,
            host_down: status.is_server_error() || status.as_u16() == 429,
        }
    } else if status == StatusCode::NOT_FOUND && record.attempts < MISSING_DRAWER_ATTEMPTS {
        Answer::Later {
            reason,
            host_down: false,
        }
    } else {
        Answer::Refused(reason)
    }
}

/// Checks that a receipt is the host's, for this deposit. Its place in the chain is asked in [`check_chain`].
fn check_receipt(
    issuer: &Issuer,
    host: &tegata_consent::organisation::OrganisationState,
    sealing: &Sealing,
    bytes: &[u8],
) -> Result<DepositReceipt, &'static str> {
    let (receipt, signer) =
        DepositReceipt::open(bytes, &issuer.chain).map_err(|_| "receipt-signature")?;
    if !host.signs_with(&signer, now_ms()) {
        return Err("receipt-signer");
    }
    if receipt.host != sealing.host
        || receipt.drawer != sealing.drawer
        || receipt.deposit != sealing.deposit
    {
        return Err("receipt-of-another-deposit");
    }
    Ok(receipt)
}

/// Checks a receipt against all that are known of its drawer, and remembers it.
pub(crate) fn check_chain(
    change: &mut Change<'_>,
    receipt: &DepositReceipt,
    bytes: &[u8],
) -> Result<bool, StoreError> {
    let head = receipt_head(bytes);
    let (drawer, sequence) = (&receipt.drawer, receipt.sequence);
    let Some(before) = sequence.checked_sub(1) else {
        return Ok(false);
    };
    let same = change
        .known_receipt(drawer, sequence)?
        .is_none_or(|known| known.head == head);
    let follows = match change.known_receipt(drawer, before)? {
        Some(known) => known.head == receipt.previous,
        None => before > 0 || receipt.previous == tegata_consent::deposit::EMPTY_HEAD,
    };
    let led = match sequence.checked_add(1) {
        Some(after) => change
            .known_receipt(drawer, after)?
            .is_none_or(|known| known.previous == head),
        None => false,
    };
    let holds = same && follows && led;
    if holds {
        change.put_known_receipt(
            drawer,
            sequence,
            &KnownReceipt {
                previous: receipt.previous,
                head,
            },
        );
    }
    Ok(holds)
}

/// The stable code of a host's problem, or its status.
fn reason(status: StatusCode, body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Problem {
        code: String,
    }
    let problem: Option<Problem> = serde_json::from_slice(body).ok();
    let plain = |code: &str| {
        code.len() <= 64
            && code
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
    };
    match problem {
        Some(problem) if plain(&problem.code) => {
            format!("host-{}-{}", status.as_u16(), problem.code)
        }
        _ => format!("host-{}", status.as_u16()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use tegata_consent::deposit::EMPTY_HEAD;
    use tegata_consent::ids::{ChainId, DrawerId, Hash, OrganisationId};

    #[test]
    fn receipts_may_come_in_any_order_but_never_contradict() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let key = ed25519_dalek::SigningKey::from_bytes(&[5; 32]);
        let receipt = |sequence, previous, deposit| {
            let receipt = DepositReceipt {
                host: OrganisationId([1; 32]),
                drawer: DrawerId([2; 16]),
                sequence,
                previous,
                deposit: Hash([deposit; 32]),
                received_ms: 1,
            };
            let bytes = receipt.sign(&key, &ChainId([0; 32])).to_bytes();
            let head = receipt_head(&bytes);
            (receipt, bytes, head)
        };
        let first = receipt(1, EMPTY_HEAD, 1);
        let second = receipt(2, first.2, 2);
        let third = receipt(3, second.2, 3);
        let check = |receipt: &(DepositReceipt, Vec<u8>, Hash)| {
            let mut change = store.change();
            let holds = check_chain(&mut change, &receipt.0, &receipt.1).unwrap();
            change.commit().unwrap();
            holds
        };
        assert!(!check(&receipt(0, EMPTY_HEAD, 1)), "counts from 1");
        assert!(
            !check(&receipt(1, Hash([9; 32]), 1)),
            "the first follows on nothing"
        );
        assert!(check(&third));
        assert!(check(&first));
        assert!(
            !check(&receipt(2, Hash([9; 32]), 2)),
            "does not follow on the first"
        );
        assert!(
            !check(&receipt(2, first.2, 9)),
            "the third names another second"
        );
        assert!(check(&second));
        assert!(check(&second), "again");
        assert!(!check(&receipt(3, second.2, 9)), "another third");
        assert!(check(&receipt(7, Hash([8; 32]), 9)), "others deposit, too");
    }

    #[test]
    fn reasons_are_short_words() {
        let reason = |body: &str| reason(StatusCode::CONFLICT, body.as_bytes());
        assert_eq!(
            reason(r#"{"code":"record-taken","detail":"x"}"#),
            "host-409-record-taken"
        );
        assert_eq!(reason(r#"{"code":"Sakura <b>"}"#), "host-409");
        assert_eq!(reason("oops"), "host-409");
    }
}
