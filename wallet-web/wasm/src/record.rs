//! Sealed records and a host's receipts for them. The age file itself is opened by npm `age-encryption`.

use crate::json::{id, thrown};
use serde_json::{Value, json};
use tegata_consent::cbor;
use tegata_consent::cose::Signed;
use tegata_consent::deposit::{
    Deposit, DrawerList, SealedRecord, deposit_digest, verify_receipt_chain,
};
use tegata_consent::ids::{ChainId, DrawerId, Hash, OrganisationId, PublicKey, RecordId};
use tegata_consent::invitation::Invitation;
use tegata_consent::lock::Lock;
use tegata_consent::sealing::{Manifest, unframe};
use wasm_bindgen::prelude::*;

/// A sealed record whose papers agree with each other.
#[wasm_bindgen]
#[derive(Debug)]
pub struct SealedPapers {
    says: Value,
    file: Vec<u8>,
}

#[wasm_bindgen]
impl SealedPapers {
    /// `{depositor, signer, drawer, record, dateMs, digest, holder, vault}`: what deposit and invitation say.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn says(&self) -> String {
        self.says.to_string()
    }

    /// The age file.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn file(&self) -> Vec<u8> {
        self.file.clone()
    }
}

/// Checks the papers of a sealed record: the depositor's signature over file and lock, the vault's signature on the
/// invitation that the deposit names, and that the deposit keeps to it. Whether the signer's key is the depositor's is
/// asked of the registry.
///
/// # Errors
/// Naming the paper that does not hold.
#[wasm_bindgen(js_name = sealedPapers)]
pub fn sealed_papers(chain: &str, sealed: &[u8]) -> Result<SealedPapers, JsError> {
    let chain: ChainId = id(chain)?;
    let sealed: SealedRecord = cbor::decode(sealed, SealedRecord::LIMIT).map_err(thrown)?;
    let lock = Lock::parse(&sealed.lock).map_err(thrown)?;
    let verified = Deposit::verify(&sealed.deposit, &chain, &sealed.file, &lock).map_err(thrown)?;
    let deposit = &verified.deposit;
    let invited =
        Invitation::verify(&sealed.invitation, &chain, &deposit.depositor).map_err(thrown)?;
    if deposit.invitation != invited.digest {
        return Err(JsError::new(
            "the deposit names another invitation than the one beside it",
        ));
    }
    if !invited
        .invitation
        .drawers
        .iter()
        .any(|drawer| drawer.id == deposit.drawer)
    {
        return Err(JsError::new(
            "the deposit's drawer is not in its invitation",
        ));
    }
    let says = json!({
        "depositor": deposit.depositor.to_string(),
        "signer": verified.signer.to_string(),
        "drawer": deposit.drawer.to_string(),
        "record": deposit.record.to_string(),
        "dateMs": deposit.date_ms,
        "digest": verified.digest.to_string(),
        "vault": invited.vault.to_string(),
        "holder": invited.invitation.holder.to_string(),
        "recordTypes": invited.invitation.record_types,
    });
    Ok(SealedPapers {
        says,
        file: sealed.file.to_vec(),
    })
}

/// An opened record: what the manifest says, and the parts.
#[wasm_bindgen]
#[derive(Debug)]
pub struct OpenedRecord {
    manifest: Manifest,
    parts: Vec<Vec<u8>>,
}

#[wasm_bindgen]
impl OpenedRecord {
    /// `{drawer, record, dateMs, depositor, recordType, parts, replaces}`.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn manifest(&self) -> String {
        let parts: Vec<_> = self
            .manifest
            .parts
            .iter()
            .map(|part| json!({ "mediaType": part.media_type, "length": part.length, "name": part.name }))
            .collect();
        json!({
            "drawer": self.manifest.drawer.to_string(),
            "record": self.manifest.record.to_string(),
            "dateMs": self.manifest.date_ms,
            "depositor": self.manifest.depositor.to_string(),
            "recordType": self.manifest.record_type,
            "parts": parts,
            "replaces": self.manifest.replaces.map(|record| record.to_string()),
        })
        .to_string()
    }

    /// The content of one part; nothing where there is no such part.
    #[must_use]
    pub fn part(&self, index: usize) -> Option<Vec<u8>> {
        self.parts.get(index).cloned()
    }
}

/// Reads an opened record and checks that its manifest says what the deposit says.
///
/// # Errors
/// Naming what is malformed, or differs.
#[wasm_bindgen(js_name = openFramed)]
pub fn open_framed(
    plaintext: &[u8],
    drawer: &str,
    record: &str,
    depositor: &str,
    date_ms: f64,
) -> Result<OpenedRecord, JsError> {
    let (manifest, parts) = unframe(plaintext).map_err(thrown)?;
    let differs = |part: &str| {
        JsError::new(&format!(
            "the manifest's {part} is another than the deposit's"
        ))
    };
    if manifest.drawer != id::<DrawerId>(drawer)? {
        return Err(differs("drawer"));
    }
    if manifest.record != id::<RecordId>(record)? {
        return Err(differs("record"));
    }
    if manifest.depositor != id::<OrganisationId>(depositor)? {
        return Err(differs("depositor"));
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "dates in milliseconds lie far below 2^53"
    )]
    if manifest.date_ms as f64 != date_ms {
        return Err(differs("date"));
    }
    let parts = parts.into_iter().map(<[u8]>::to_vec).collect();
    Ok(OpenedRecord { manifest, parts })
}

/// Checks a drawer's list: the host's chain of receipts, that it continues what was seen before, and that the deposits are
/// those of the receipts. `host_keys` are hexadecimal, joined by commas. Answers `{count, head, deposits}` with record,
/// depositor, signer, date and digest of each.
///
/// # Errors
/// Where anything was dropped, swapped or altered.
#[wasm_bindgen(js_name = drawerReceipts)]
pub fn drawer_receipts(
    chain: &str,
    host_keys: &str,
    drawer: &str,
    list: &[u8],
    seen_count: u32,
    seen_head: &str,
) -> Result<String, JsError> {
    let chain: ChainId = id(chain)?;
    let drawer: DrawerId = id(drawer)?;
    let keys = host_keys
        .split(',')
        .map(id::<PublicKey>)
        .collect::<Result<Vec<_>, _>>()?;
    let list: DrawerList = cbor::decode(list, DrawerList::LIMIT).map_err(thrown)?;
    if list.drawer != drawer || list.deposits.len() != list.receipts.len() {
        return Err(JsError::new(
            "the list is of another drawer, or lacks a deposit or receipt",
        ));
    }
    let seen = (u64::from(seen_count), id::<Hash>(seen_head)?);
    let (receipts, head) =
        verify_receipt_chain(&chain, &keys, &drawer, &list.receipts, seen).map_err(thrown)?;
    let mut deposits = Vec::with_capacity(receipts.len());
    for (receipt, bytes) in receipts.iter().zip(&list.deposits) {
        let digest = deposit_digest(bytes);
        if receipt.deposit != digest {
            return Err(JsError::new(&format!(
                "receipt {} is for another deposit",
                receipt.sequence
            )));
        }
        let (deposit, signer) = Deposit::open(bytes, &chain).map_err(thrown)?;
        if deposit.drawer != drawer {
            return Err(JsError::new(&format!(
                "deposit {} is of another drawer",
                receipt.sequence
            )));
        }
        deposits.push(json!({
            "record": deposit.record.to_string(),
            "depositor": deposit.depositor.to_string(),
            "signer": signer.to_string(),
            "dateMs": deposit.date_ms,
            "receivedMs": receipt.received_ms,
            "length": deposit.length,
            "digest": digest.to_string(),
        }));
    }
    Ok(
        json!({ "count": receipts.len(), "head": head.to_string(), "deposits": deposits })
            .to_string(),
    )
}
