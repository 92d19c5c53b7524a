//! W3C credentials and presentations by hand.

use serde_json::{Map, Value, json};
use tegata_credential::bitstring::{BitstringEntry, StatusPurpose};
use tegata_credential::data_integrity::{
    CREDENTIALS_V2, Cryptosuite, DataIntegrityError, EddsaJcs2022, ProofOptions, parse,
    sign_credential, sign_presentation,
};
use tegata_credential::did::{Did, DidMethod};
use tegata_credential::keys::{PublicKey, SigningKey};
use tegata_credential::sd_jwt::StatusReference;
use tegata_records::RecordType;
use tegata_w3c::record::{RecordError, RecordIssuance, credential};

/// Why nothing is signed, with the format's own reason code.
pub(crate) struct Refused(pub(crate) &'static str, pub(crate) String);

impl From<DataIntegrityError> for Refused {
    fn from(error: DataIntegrityError) -> Self {
        Self(error.code(), error.to_string())
    }
}

impl From<RecordError> for Refused {
    fn from(error: RecordError) -> Self {
        Self(error.code(), error.to_string())
    }
}

/// What a credential says besides the claims.
pub(crate) struct Said<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) holder: Option<&'a PublicKey>,
    pub(crate) status: Option<&'a StatusReference>,
    pub(crate) issued_at: i64,
    pub(crate) expires_at: Option<i64>,
}

/// The cryptosuite by its name.
pub(crate) fn suite(is_rdf: bool) -> &'static dyn Cryptosuite {
    if is_rdf {
        tegata_w3c::eddsa_rdfc_2022()
    } else {
        &EddsaJcs2022
    }
}

/// A record as a W3C credential. The issuer is a DID; the holder's is made of her key.
pub(crate) fn issue(
    record_type: &RecordType,
    claims: &Value,
    said: &Said<'_>,
    key: &SigningKey,
    suite: &dyn Cryptosuite,
) -> Result<String, Refused> {
    let holder = said.holder.map(Did::jwk);
    let status = said.status.map(|status| BitstringEntry {
        list: status.uri.clone(),
        index: status.index,
        purpose: StatusPurpose::Revocation,
    });
    let issuance = RecordIssuance {
        issuer: said.issuer,
        id: None,
        holder: holder.as_ref().map(Did::as_str),
        valid_from: said.issued_at,
        valid_until: said.expires_at,
        statuses: status.as_slice(),
    };
    let unsigned = credential(record_type, claims, &issuance)?;
    let method = method(said.issuer, key)?;
    let options = ProofOptions::new(&method, said.issued_at);
    let signed = sign_credential(unsigned, suite, tegata_w3c::contexts(), &options, key)?;
    Ok(Value::Object(signed).to_string())
}

/// A presentation of a credential, for one verifier (`domain`) and one request (`challenge`).
pub(crate) fn present(
    text: &[u8],
    domain: &str,
    challenge: &str,
    at: i64,
    key: &SigningKey,
) -> Result<String, Refused> {
    let credential = parse(text)?;
    let about = credential
        .get("credentialSubject")
        .and_then(|subject| subject["id"].as_str());
    let own = [Did::key(&key.public_key()), Did::jwk(&key.public_key())];
    let holder = own
        .iter()
        .find(|did| about == Some(did.as_str()))
        .unwrap_or(&own[0]);
    let is_rdf = credential
        .get("proof")
        .is_some_and(|proof| proof["cryptosuite"] == "eddsa-rdfc-2022");
    let document = json!({
        "@context": [CREDENTIALS_V2], "type": ["VerifiablePresentation"], "holder": holder.as_str(), "verifiableCredential": [credential],
    });
    let Value::Object(document) = document else {
        return Err(DataIntegrityError::Malformed.into());
    };
    let document: Map<String, Value> = document;
    let method = method(holder.as_str(), key)?;
    let options = ProofOptions {
        challenge: Some(challenge),
        domain: Some(domain),
        ..ProofOptions::new(&method, at)
    };
    let shown = sign_presentation(
        document,
        suite(is_rdf),
        tegata_w3c::contexts(),
        &options,
        key,
    )?;
    Ok(Value::Object(shown).to_string())
}

/// The DID URL of a key of a DID.
fn method(did: &str, key: &SigningKey) -> Result<String, Refused> {
    let did = Did::parse(did).map_err(DataIntegrityError::from)?;
    if did.method() == DidMethod::Web {
        return Ok(format!("{did}#{}", key.key_id()));
    }
    let document = did.own_document().map_err(DataIntegrityError::from)?;
    let own = document
        .methods()
        .iter()
        .find(|method| *method.key() == key.public_key());
    own.map(|method| method.id().to_owned()).ok_or_else(|| {
        Refused(
            "controller_mismatch",
            format!("the key is not that of {did}"),
        )
    })
}
