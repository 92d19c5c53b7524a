//! What the wallet checks for itself, from the genesis on.

use crate::json::{self, id, thrown};
use serde_json::json;
use tegata_consent::cbor;
use tegata_consent::cose::Signed;
use tegata_consent::entry::Body;
use tegata_consent::fetch::GrantHistory;
use tegata_consent::genesis::Genesis;
use tegata_consent::header::{CertifiedHeader, ValidatorSet};
use tegata_consent::history::{Reading, verify_history};
use tegata_consent::ids::{ChainId, GrantId, OrganisationId};
use tegata_consent::proof::{Receipt, StateProof};
use tegata_consent::request::ConsentRequest;
use tegata_consent::ticket::request_digest;
use wasm_bindgen::prelude::*;

/// A ledger that the wallet trusts, by its genesis.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Ledger {
    chain: ChainId,
    validators: ValidatorSet,
}

#[wasm_bindgen]
impl Ledger {
    /// Reads an encoded genesis.
    ///
    /// # Errors
    /// Where it is not one.
    #[wasm_bindgen(constructor)]
    pub fn new(genesis: &[u8]) -> Result<Self, JsError> {
        let genesis: Genesis = cbor::decode(genesis, Genesis::LIMIT).map_err(thrown)?;
        genesis.check().map_err(thrown)?;
        Ok(Self {
            chain: genesis.chain_id(),
            validators: genesis.validator_set(),
        })
    }

    /// The chain id, in hexadecimal.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn chain(&self) -> String {
        self.chain.to_string()
    }

    /// Checks a certified header: `{height, timeMs}`.
    ///
    /// # Errors
    /// Where it is not final on this ledger.
    pub fn header(&self, certified: &[u8]) -> Result<String, JsError> {
        let certified: CertifiedHeader =
            cbor::decode(certified, CertifiedHeader::LIMIT).map_err(thrown)?;
        let header = certified
            .verify(&self.chain, &self.validators)
            .map_err(thrown)?;
        let header = header.header();
        Ok(json!({ "height": header.height, "timeMs": header.time_ms }).to_string())
    }

    /// Checks a state proof about an organisation: `{height, timeMs, organisation}`, the last `null` where there is none.
    ///
    /// # Errors
    /// Where the proof does not hold.
    pub fn organisation(&self, proof: &[u8], organisation: &str) -> Result<String, JsError> {
        let organisation: OrganisationId = id(organisation)?;
        let proof = StateProof::parse(proof).map_err(thrown)?;
        let proven = proof
            .verify_organisation(&self.chain, &self.validators, &organisation)
            .map_err(thrown)?;
        Ok(json::organisation(&proven))
    }

    /// Checks a consent proof: `{height, timeMs, grant}`, the last `null` where there is none.
    ///
    /// # Errors
    /// Where the proof does not hold.
    pub fn grant(&self, proof: &[u8], grant: &str) -> Result<String, JsError> {
        let grant: GrantId = id(grant)?;
        let proof = StateProof::parse(proof).map_err(thrown)?;
        let proven = proof
            .verify_grant(&self.chain, &self.validators, &grant)
            .map_err(thrown)?;
        Ok(json::grant(&proven).to_string())
    }

    /// Checks a receipt: `{entry, height, timeMs, refused, revokes}`; `revokes` is the grant that the entry ends, or null.
    ///
    /// # Errors
    /// Where the receipt does not hold.
    pub fn receipt(&self, receipt: &[u8]) -> Result<String, JsError> {
        let receipt = Receipt::parse(receipt).map_err(thrown)?;
        let verified = receipt
            .verify(&self.chain, &self.validators)
            .map_err(thrown)?;
        Ok(json!({
            "entry": verified.entry.id().to_string(),
            "height": verified.leaf.height,
            "timeMs": verified.leaf.time_ms,
            "refused": json::outcome(verified.leaf.outcome),
            "revokes": match verified.entry.entry().body() {
                Body::Revocation(revocation) => Some(revocation.grant.to_string()),
                _ => None,
            },
        })
        .to_string())
    }

    /// Checks a host's history of a grant: the consent proof, that the accesses are all there are, and that openings open
    /// their commitments: `{height, timeMs, grant, readings}`.
    ///
    /// # Errors
    /// Where the proof does not hold, or anything is missing, added or swapped.
    pub fn history(&self, history: &[u8], grant: &str) -> Result<String, JsError> {
        let grant: GrantId = id(grant)?;
        let history: GrantHistory = cbor::decode(history, GrantHistory::LIMIT).map_err(thrown)?;
        let proof = StateProof::parse(&history.proof).map_err(thrown)?;
        let proven = proof
            .verify_grant(&self.chain, &self.validators, &grant)
            .map_err(thrown)?;
        let state = proven
            .value
            .as_ref()
            .ok_or_else(|| JsError::new("the ledger has no such grant"))?;
        let readings =
            verify_history(&self.chain, &grant, state, &history.accesses).map_err(thrown)?;
        let readings: Vec<_> = readings
            .iter()
            .map(|reading| reading_json(reading, &history))
            .collect();
        Ok(json!({ "state": json::grant(&proven), "readings": readings }).to_string())
    }

    /// Checks the signature of a consent request: `{signer, digest, recipient, categories, …}`. Whether the signer's key is
    /// the recipient's is asked of the registry.
    ///
    /// # Errors
    /// Where it is altered or malformed.
    pub fn request(&self, request: &[u8]) -> Result<String, JsError> {
        let (asked, signer) = ConsentRequest::open(request, &self.chain).map_err(thrown)?;
        Ok(json!({
            "signer": signer.to_string(),
            "digest": request_digest(request).to_string(),
            "recipient": asked.recipient.to_string(),
            "categories": asked.categories,
            "purpose": asked.purpose,
            "legalBasis": asked.legal_basis,
            "retentionDays": asked.retention_days,
            "untilMs": asked.until_ms,
            "usesMax": asked.uses_max,
            "reference": asked.reference,
            "expiresMs": asked.expires_ms,
        })
        .to_string())
    }
}

/// A reading; what the host says of its opening counts only where it opens the commitment on the ledger.
fn reading_json(reading: &Reading, history: &GrantHistory) -> serde_json::Value {
    let opening = history.openings.iter().find(|opening| {
        opening.access == reading.id
            && opening.scope.commitment(&opening.salt) == reading.access.commitment
    });
    let records = opening.map(|opening| {
        let handed = opening.records.iter();
        handed
            .map(|record| json!({ "drawer": record.drawer.to_string(), "record": record.record.to_string(), "timeMs": record.time_ms }))
            .collect::<Vec<_>>()
    });
    json!({
        "entry": reading.id.to_string(),
        "timeMs": reading.time_ms,
        "height": reading.height,
        "recipient": reading.access.recipient.to_string(),
        "refused": json::outcome(reading.outcome),
        "records": records,
    })
}
