//! What the wallet checks for itself, from the genesis on.

use crate::credential::status_list;
use crate::json::{self, id, thrown};
use crate::vault::fresh_key;
use serde_json::json;
use tegata_consent::cbor;
use tegata_consent::cose::Signed;
use tegata_consent::entry::{Body, Entry, OverAsking};
use tegata_consent::fetch::GrantHistory;
use tegata_consent::genesis::Genesis;
use tegata_consent::header::{CertifiedHeader, ValidatorSet};
use tegata_consent::history::{HistoryReader, Reading};
use tegata_consent::ids::{ChainId, GrantId, Hash, OrganisationId};
use tegata_consent::over_asking::{RequestObject, is_request_object};
use tegata_consent::proof::{Receipt, StateProof};
use tegata_consent::request::ConsentRequest;
use tegata_consent::status::{check_status_list, erasure_commitment, status_list_id};
use tegata_consent::ticket::request_digest;
use wasm_bindgen::prelude::*;

/// A ledger that the wallet trusts, by its genesis.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Ledger {
    pub(crate) chain: ChainId,
    pub(crate) validators: ValidatorSet,
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

    /// Begins to read a grant's history, of whatever length, page by page.
    ///
    /// # Errors
    /// Where `grant` is no id.
    pub fn history(&self, grant: &str) -> Result<History, JsError> {
        let grant: GrantId = id(grant)?;
        Ok(History {
            grant,
            chain: self.chain,
            validators: self.validators.clone(),
            reader: HistoryReader::new(self.chain, grant),
        })
    }

    /// A report that an organisation asked for more than it is accredited for: an entry for the host `sponsor` to carry, signed
    /// by a key that is used for nothing else. `request` is a consent request, or a request object of OpenID4VP.
    ///
    /// # Errors
    /// Where the request is altered or malformed.
    #[wasm_bindgen(js_name = overAsking)]
    pub fn over_asking(
        &self,
        request: &[u8],
        sponsor: &str,
        not_after_ms: f64,
    ) -> Result<Vec<u8>, JsError> {
        let recipient = if is_request_object(request) {
            RequestObject::parse(request)
                .map_err(thrown)?
                .organisation()
        } else {
            let opened = ConsentRequest::open(request, &self.chain);
            opened.map_err(thrown)?.0.recipient
        };
        let body = Body::OverAsking(OverAsking {
            recipient,
            sponsor: id(sponsor)?,
            request: request.to_vec().into(),
        });
        let entry = Entry::sign(&fresh_key(), &self.chain, not_after_ms as u64, body);
        Ok(entry.to_bytes())
    }

    /// Checks a state proof about a reported request: `{height, timeMs, reportedMs}`, the last `null` where nobody reported it.
    ///
    /// # Errors
    /// Where the proof does not hold.
    #[wasm_bindgen(js_name = overAskingProof)]
    pub fn over_asking_proof(&self, proof: &[u8], digest: &str) -> Result<String, JsError> {
        let digest: Hash = id(digest)?;
        let proof = StateProof::parse(proof).map_err(thrown)?;
        let proven = proof
            .verify_over_asking(&self.chain, &self.validators, &digest)
            .map_err(thrown)?;
        let header = proven.header.header();
        let reported_ms = proven.value.map(|state| state.reported_ms);
        Ok(
            json!({ "height": header.height, "timeMs": header.time_ms, "reportedMs": reported_ms })
                .to_string(),
        )
    }

    /// Looks a credential up in a status list, which must be its issuer's (one of `keys`, see `verifyCredential`) and the newest
    /// that the issuer put on the ledger under `uri`, as `proof` shows: `{height, timeMs, status}`. Status 0 is valid, 1 revoked,
    /// 2 suspended, 3 recalled.
    ///
    /// # Errors
    /// Where proof or list do not hold. Where the list is not the newest, the message begins with the reason code.
    #[wasm_bindgen(js_name = credentialStatus)]
    #[expect(
        clippy::too_many_arguments,
        reason = "JavaScript has no structs to pass"
    )]
    pub fn credential_status(
        &self,
        proof: &[u8],
        issuer: &str,
        keys: &str,
        token: &str,
        uri: &str,
        index: f64,
        at_s: f64,
    ) -> Result<String, JsError> {
        let issuer: OrganisationId = id(issuer)?;
        let proof = StateProof::parse(proof).map_err(thrown)?;
        let proven = proof
            .verify_status_list(&self.chain, &self.validators, &issuer, &status_list_id(uri))
            .map_err(thrown)?;
        let list = status_list(token, keys, uri, at_s)?;
        let issued_ms = u64::try_from(list.issued_at())
            .unwrap_or(0)
            .saturating_mul(1000);
        check_status_list(proven.value.as_ref(), token.as_bytes(), issued_ms)
            .map_err(|refused| JsError::new(&format!("{}: {refused}", refused.code())))?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an index below 2^24"
        )]
        let status = list.status_at(index as u64).map_err(thrown)?.value();
        let header = proven.header.header();
        Ok(
            json!({ "height": header.height, "timeMs": header.time_ms, "status": status })
                .to_string(),
        )
    }

    /// Checks a state proof about a recipient's confirmation that it dropped a record that was handed out under an access:
    /// `{height, timeMs, confirmedMs}`, the last `null` where it has not confirmed.
    ///
    /// # Errors
    /// Where the proof does not hold.
    pub fn erasure(
        &self,
        proof: &[u8],
        recipient: &str,
        commitment: &str,
    ) -> Result<String, JsError> {
        let (recipient, commitment): (OrganisationId, Hash) = (id(recipient)?, id(commitment)?);
        let proof = StateProof::parse(proof).map_err(thrown)?;
        let proven = proof
            .verify_erasure(&self.chain, &self.validators, &recipient, &commitment)
            .map_err(thrown)?;
        let header = proven.header.header();
        let confirmed_ms = proven.value.map(|state| state.confirmed_ms);
        Ok(json!({ "height": header.height, "timeMs": header.time_ms, "confirmedMs": confirmed_ms }).to_string())
    }

    /// Checks the signature of a consent request: `{signer, digest, recipient, categories, …}`. Whether the signer's key is
    /// the recipient's is asked of the registry.
    ///
    /// # Errors
    /// Where it is altered or malformed.
    pub fn request(&self, request: &[u8]) -> Result<String, JsError> {
        let (asked, signer) = ConsentRequest::open(request, &self.chain).map_err(thrown)?;
        asked.check().map_err(thrown)?;
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

/// A history that is being read, oldest first.
#[wasm_bindgen]
#[derive(Debug)]
pub struct History {
    grant: GrantId,
    chain: ChainId,
    validators: ValidatorSet,
    reader: HistoryReader,
}

#[wasm_bindgen]
impl History {
    /// How many accesses were read: where the next page begins.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn count(&self) -> f64 {
        self.reader.count() as f64
    }

    /// Checks the next page: the consent proof, that it goes on where the one before ended, that the accesses are those of
    /// the ledger, and that openings open their commitments: `{state, readings, complete}`. Complete means that everything
    /// that the proof counts was read.
    ///
    /// # Errors
    /// Where the proof does not hold, or anything is missing, added or swapped.
    pub fn page(&mut self, history: &[u8]) -> Result<String, JsError> {
        let history: GrantHistory = cbor::decode(history, GrantHistory::LIMIT).map_err(thrown)?;
        let proof = StateProof::parse(&history.proof).map_err(thrown)?;
        let proven = proof
            .verify_grant(&self.chain, &self.validators, &self.grant)
            .map_err(thrown)?;
        let state = proven
            .value
            .as_ref()
            .ok_or_else(|| JsError::new("the ledger has no such grant"))?;
        let readings = self
            .reader
            .page(state, history.first.unwrap_or(0), &history.accesses)
            .map_err(thrown)?;
        let readings: Vec<_> = readings
            .iter()
            .map(|reading| reading_json(reading, &history))
            .collect();
        let complete = self.reader.finish(state).is_ok();
        Ok(
            json!({ "state": json::grant(&proven), "readings": readings, "complete": complete })
                .to_string(),
        )
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
            .map(|record| json!({
                "drawer": record.drawer.to_string(), "record": record.record.to_string(), "timeMs": record.time_ms,
                "erasure": erasure_commitment(&opening.salt, &reading.id, &record.record).to_string(),
            }))
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

/// How the ledger names an issuer's list under a URI, hexadecimal.
#[wasm_bindgen(js_name = statusListId)]
#[must_use]
pub fn status_list_name(uri: &str) -> String {
    status_list_id(uri).to_string()
}
