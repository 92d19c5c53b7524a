//! What lies on disk until it expires.

use crate::store::{Kind, Slot};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use tegata_consent::ids::{Hash, RecordId, hash};

/// A credential offer.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub(super) struct Offer {
    /// The organisation's own number for the person.
    #[n(1)]
    pub(super) subject: String,
    /// Which records.
    #[n(2)]
    pub(super) records: Vec<RecordId>,
    /// Record types of these records.
    #[n(3)]
    pub(super) record_types: Vec<String>,
    /// Whether it has a pre-authorised code; else it begins at the page.
    #[n(4)]
    pub(super) pre_authorized: bool,
    /// Hash of offer code and transaction code, where there is one.
    #[n(5)]
    pub(super) tx_code: Option<Hash>,
    /// Wrong transaction codes so far.
    #[n(6)]
    pub(super) wrong: u32,
    /// Whether the code was redeemed, or wrong codes used it up.
    #[n(7)]
    pub(super) used: bool,
    /// The access token that it became.
    #[n(8)]
    pub(super) token: Option<Hash>,
    /// In milliseconds since 1970.
    #[n(9)]
    pub(super) expires_ms: u64,
}

/// What a wallet asked for in a pushed request.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub(super) struct Pushed {
    /// `client_id`.
    #[n(1)]
    pub(super) client: String,
    /// Where the person is sent back to.
    #[n(2)]
    pub(super) redirect_uri: String,
    /// `code_challenge`, S256.
    #[n(3)]
    pub(super) challenge: String,
    /// `state`.
    #[n(4)]
    pub(super) state: Option<String>,
    /// Record types that are asked for.
    #[n(5)]
    pub(super) record_types: Vec<String>,
    /// Whether they were asked for by `authorization_details`.
    #[n(6)]
    pub(super) detailed: bool,
    /// The offer that it comes from (`issuer_state`).
    #[n(7)]
    pub(super) offer: Option<Hash>,
    /// `dpop_jkt`, or the thumbprint of the proof that came with it.
    #[n(8)]
    pub(super) jkt: Option<String>,
    /// Wrong pairing codes so far.
    #[n(9)]
    pub(super) wrong: u32,
    /// Whether it was answered.
    #[n(10)]
    pub(super) used: bool,
    /// In milliseconds since 1970.
    #[n(11)]
    pub(super) expires_ms: u64,
}

/// An authorisation code.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub(super) struct Code {
    /// The request that was answered with it.
    #[n(1)]
    pub(super) request: Pushed,
    /// Whom the pairing code was given to.
    #[n(2)]
    pub(super) subject: String,
    /// Records that may be had.
    #[n(3)]
    pub(super) records: Vec<RecordId>,
    /// Whether it was presented.
    #[n(4)]
    pub(super) used: bool,
    /// The access token that it became.
    #[n(5)]
    pub(super) token: Option<Hash>,
    /// In milliseconds since 1970.
    #[n(6)]
    pub(super) expires_ms: u64,
}

/// A record that an access token opens.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub(super) struct Opened {
    /// Which.
    #[n(1)]
    pub(super) record: RecordId,
    /// Its record type: the credential configuration.
    #[n(2)]
    pub(super) record_type: String,
    /// Copies that were handed over.
    #[n(3)]
    pub(super) copies: u32,
}

/// An access token.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub(super) struct Token {
    /// `client_id`, where the wallet gave one.
    #[n(1)]
    pub(super) client: Option<String>,
    /// The organisation's own number for the person.
    #[n(2)]
    pub(super) subject: String,
    /// What it opens.
    #[n(3)]
    pub(super) records: Vec<Opened>,
    /// Thumbprint of the key whose DPoP proofs must come with it.
    #[n(4)]
    pub(super) jkt: Option<String>,
    /// In milliseconds since 1970.
    #[n(5)]
    pub(super) expires_ms: u64,
}

/// Content of a deposited record, kept for an offer.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub(super) struct Content {
    /// Claims as JSON.
    #[n(1)]
    pub(super) claims: ByteVec,
    /// In milliseconds since 1970.
    #[n(2)]
    pub(super) expires_ms: u64,
}

/// That something was used.
#[derive(Encode, Decode, Debug, Clone, Copy, PartialEq, Eq)]
#[cbor(map)]
pub(super) struct Used {
    /// In milliseconds since 1970.
    #[n(1)]
    pub(super) at_ms: u64,
}

/// The code of an offer: whoever has the issuer's secret derives it from the offer's id, so that the store holds none.
pub(super) fn offer_code(secret: &[u8; 32], id: &[u8; 16]) -> String {
    tegata_credential::jws::encode(&hash("tegata/v1/issuer/offer-code", &[secret, id]))
}

/// Where an offer lies, by its code.
pub(super) fn offer_slot(code: &str) -> Slot {
    Slot::new(Kind::Offer, code)
}

/// What is kept of a transaction code. Without the offer's code, which is not kept, nobody can try out all of them.
pub(super) fn tx_code_hash(code: &str, tx_code: &str) -> Hash {
    let length = (code.len() as u64).to_be_bytes();
    let joined = [&length, code.as_bytes(), tx_code.as_bytes()].concat();
    Hash(hash("tegata/v1/issuer/tx-code", &[&joined]))
}
