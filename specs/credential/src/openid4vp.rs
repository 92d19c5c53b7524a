//! OpenID4VP 1.0: signed request objects (§5, RFC 9101), client identifiers (§5.9), transaction data
//! (§8.4). What a verifier makes and a wallet checks, and the other way round.
//!
//! Page: `openid4vp.md`. A [`RequestObject`] has been read and nobody believes it; a
//! [`VerifiedRequest`] is signed by the key that its client identifier stands for. Whether that
//! client may ask for this is the registry's question.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::CLOCK_SKEW_S;
use crate::dcql::{DcqlError, DcqlQuery};
use crate::jwe::Encryption;
use crate::jws::{self, Jws, JwsFault};
use crate::keys::{Algorithm, PublicKey, SigningKey};
use crate::rfc3339::write_time;
use crate::x509::{Certificate, MAX_CHAIN, X509Error};

/// `typ` of a request object.
pub const REQUEST_TYP: &str = "oauth-authz-req+jwt";
/// Media type of a request object.
pub const REQUEST_MEDIA_TYPE: &str = "application/oauth-authz-req+jwt";
/// `aud` of a request object for a wallet whose metadata is not known (§5.8).
pub const WALLET_AUDIENCE: &str = "https://self-issued.me/v2";
/// The longest request object read, in bytes.
pub const MAX_REQUEST_BYTES: usize = 128 * 1024;
/// The most entries of `transaction_data`.
pub const MAX_TRANSACTION_DATA: usize = 16;
/// Type of our transaction data, and format of our `verifier_info`: [`Asked`].
pub const ASKED_TYPE: &str = "urn:tegata:presentation:1";
/// Claim of the key binding that carries the consent (`specs/consent/presentation.md`).
pub const CONSENT_CLAIM: &str = "tegata_consent";

const X509_HASH: &str = "x509_hash:";
const DID: &str = "decentralized_identifier:";

/// A verifier, by what proves who it is (§5.9.3). Other prefixes are not spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientId {
    /// `x509_hash:` and the base64url of SHA-256 of the certificate whose key signs.
    X509Hash(String),
    /// `decentralized_identifier:` and a DID, one of whose keys signs.
    Did(String),
}

impl ClientId {
    /// That of a certificate.
    #[must_use]
    pub fn of_certificate(certificate: &Certificate) -> Self {
        Self::X509Hash(jws::encode(&certificate.sha256()))
    }

    /// Reads one; `None` for other prefixes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(hash) = text.strip_prefix(X509_HASH) {
            let is_hash = jws::decode(hash).is_ok_and(|bytes| bytes.len() == 32);
            return is_hash.then(|| Self::X509Hash(hash.to_owned()));
        }
        let did = text.strip_prefix(DID)?;
        (did.starts_with("did:") && did.len() <= 2048).then(|| Self::Did(did.to_owned()))
    }
}

impl std::fmt::Display for ClientId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::X509Hash(hash) => write!(f, "{X509_HASH}{hash}"),
            Self::Did(did) => write!(f, "{DID}{did}"),
        }
    }
}

/// How a request names the key that signs it.
#[derive(Debug, Clone, Copy)]
pub enum KeyName<'a> {
    /// `x5c`: the certificate and those between it and its anchor, which is left out.
    Certificates(&'a [Certificate]),
    /// `kid`: a DID URL.
    DidUrl(&'a str),
}

/// Signs a request object.
#[must_use]
pub fn sign_request(payload: &Map<String, Value>, name: KeyName<'_>, key: &SigningKey) -> String {
    let mut header = Map::new();
    header.insert("typ".into(), REQUEST_TYP.into());
    match name {
        KeyName::Certificates(chain) => {
            let chain: Vec<_> = chain.iter().map(Certificate::to_base64).collect();
            header.insert("x5c".into(), chain.into())
        }
        KeyName::DidUrl(url) => header.insert("kid".into(), url.into()),
    };
    jws::sign_with_header(header, payload, key)
}

/// What a verifier of ours says in its request: who asks for what, why, and how long. It is the
/// transaction data that the holder signs, or, for wallets that do not know it, `verifier_info`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Chain id of the ledger whose registry has the organisation, hexadecimal.
    pub chain: String,
    /// The organisation, hexadecimal.
    pub organisation: String,
    /// Category codes, sorted.
    pub categories: Vec<String>,
    /// Purpose code.
    pub purpose: String,
    /// Legal basis code.
    pub legal_basis: String,
    /// How long copies are kept, in days.
    pub retention_days: u32,
    /// Until when the permission is asked for, in milliseconds since 1970.
    pub until_ms: u64,
}

impl Asked {
    /// As an entry of `transaction_data`, encoded.
    #[must_use]
    pub fn to_transaction_data(&self, credential_ids: &[&str]) -> String {
        let mut value = self.to_value();
        value["type"] = ASKED_TYPE.into();
        value["credential_ids"] = credential_ids.into();
        value["transaction_data_hashes_alg"] = json!(["sha-256"]);
        jws::encode(value.to_string().as_bytes())
    }

    /// As an entry of `verifier_info`.
    #[must_use]
    pub fn to_verifier_info(&self) -> Value {
        json!({ "format": ASKED_TYPE, "data": self.to_value() })
    }

    fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("a struct of texts and numbers is JSON")
    }
}

/// One entry of `transaction_data`.
#[derive(Debug, Clone, PartialEq)]
pub struct TransactionData {
    /// As it stands in the request: what is hashed.
    pub encoded: String,
    /// `type`.
    pub kind: String,
    /// The credentials of which one must carry it.
    pub credential_ids: Vec<String>,
    /// All of it.
    pub value: Value,
}

impl TransactionData {
    /// Reads one entry.
    ///
    /// # Errors
    /// [`RequestError::TransactionData`].
    pub fn parse(encoded: &str) -> Result<Self, RequestError> {
        let wrong = || RequestError::TransactionData;
        let bytes = jws::decode(encoded).map_err(|_| wrong())?;
        let value = crate::json::parse(&bytes).map_err(|_| wrong())?;
        let kind = value
            .get("type")
            .and_then(Value::as_str)
            .ok_or_else(wrong)?;
        let ids = value.get("credential_ids").and_then(Value::as_array);
        let ids: Option<Vec<_>> = ids
            .filter(|ids| !ids.is_empty())
            .ok_or_else(wrong)?
            .iter()
            .map(|id| id.as_str().map(str::to_owned))
            .collect();
        let credential_ids = ids.ok_or_else(wrong)?;
        if let Some(algorithms) = value.get("transaction_data_hashes_alg") {
            let known = algorithms
                .as_array()
                .is_some_and(|all| all.contains(&"sha-256".into()));
            if !known {
                return Err(wrong());
            }
        }
        Ok(Self {
            encoded: encoded.to_owned(),
            kind: kind.to_owned(),
            credential_ids,
            value,
        })
    }

    /// Its entry in `transaction_data_hashes`.
    #[must_use]
    pub fn hash(&self) -> String {
        jws::encode(&Sha256::digest(&self.encoded))
    }

    /// What it says, where it is ours.
    #[must_use]
    pub fn asked(&self) -> Option<Asked> {
        (self.kind == ASKED_TYPE)
            .then(|| serde_json::from_value(self.value.clone()).ok())
            .flatten()
    }
}

/// The claims of a key binding JWT beside `aud`, `nonce`, `iat` and `sd_hash`: hashes of the
/// transaction data that concerns this credential, and the consent.
#[must_use]
pub fn binding_claims(
    transaction_data: &[TransactionData],
    credential_id: &str,
    consent: Option<&[u8]>,
) -> Map<String, Value> {
    let mut claims = Map::new();
    let hashes = hashes_for(transaction_data, credential_id);
    if !hashes.is_empty() {
        claims.insert("transaction_data_hashes".into(), hashes.into());
        claims.insert("transaction_data_hashes_alg".into(), "sha-256".into());
    }
    if let Some(consent) = consent {
        claims.insert(CONSENT_CLAIM.into(), jws::encode(consent).into());
    }
    claims
}

/// Checks that a key binding's claims are over exactly the transaction data of its request.
///
/// # Errors
/// [`RequestError::TransactionDataHashes`].
pub fn check_transaction_data(
    claims: &Map<String, Value>,
    transaction_data: &[TransactionData],
    credential_id: &str,
) -> Result<(), RequestError> {
    let expected = hashes_for(transaction_data, credential_id);
    let found = match claims.get("transaction_data_hashes") {
        None => Vec::new(),
        Some(Value::Array(hashes)) => hashes.clone(),
        Some(_) => return Err(RequestError::TransactionDataHashes),
    };
    let algorithm = claims.get("transaction_data_hashes_alg");
    let known = algorithm.is_none_or(|name| name == "sha-256");
    let same = found.len() == expected.len()
        && found
            .iter()
            .zip(&expected)
            .all(|(a, b)| a.as_str() == Some(b));
    if same && known {
        Ok(())
    } else {
        Err(RequestError::TransactionDataHashes)
    }
}

fn hashes_for(transaction_data: &[TransactionData], credential_id: &str) -> Vec<String> {
    transaction_data
        .iter()
        .filter(|data| data.credential_ids.iter().any(|id| id == credential_id))
        .map(TransactionData::hash)
        .collect()
}

/// Why a request is not believed, or cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Longer than [`MAX_REQUEST_BYTES`].
    #[error("{0} bytes are too many")]
    TooLarge(usize),
    /// Not a signed JWT.
    #[error("request object: {0}")]
    Jws(#[from] JwsFault),
    /// Another `typ`.
    #[error("`typ` is {0:?}")]
    Typ(String),
    /// `client_id` is missing, or of a prefix that is not spoken here.
    #[error("client identifier {0:?} is not supported")]
    ClientIdUnsupported(String),
    /// The request object is another client's than the link says.
    #[error("the request object names another client than the link")]
    ClientIdMismatch,
    /// The certificate is not the one that the client identifier names.
    #[error("the certificate is not the one of the client identifier")]
    CertificateMismatch,
    /// A certificate that cannot be read or is not valid now.
    #[error("certificate: {0}")]
    Certificate(#[from] X509Error),
    /// Nobody knows the key.
    #[error("no such key of the client is known")]
    KeyUnknown,
    /// For other wallets.
    #[error("`aud` is not for this wallet")]
    Audience,
    /// Expired, or from the future.
    #[error("the request is not valid at {}", write_time(*.at))]
    Time {
        /// Unix seconds.
        at: i64,
    },
    /// Not the nonce that the wallet gave.
    #[error("`wallet_nonce` is not the wallet's")]
    WalletNonce,
    /// A member that is missing or wrong.
    #[error("`{0}` is missing or has the wrong form")]
    Member(&'static str),
    /// The response cannot be encrypted as asked.
    #[error("no key or algorithm to encrypt the response to is understood")]
    Encryption,
    /// The query.
    #[error("query: {0}")]
    Dcql(#[from] DcqlError),
    /// Transaction data that is malformed.
    #[error("transaction_data is malformed, or asks for another hash than sha-256")]
    TransactionData,
    /// A key binding over other transaction data.
    #[error("transaction_data_hashes are not those of the request")]
    TransactionDataHashes,
}

impl RequestError {
    /// The stable reason code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "request_too_large",
            Self::Jws(JwsFault::Signature | JwsFault::AlgMismatch) => "request_signature_invalid",
            Self::Jws(JwsFault::AlgNone) => "request_alg_none",
            Self::Jws(JwsFault::AlgUnsupported(_)) => "request_alg_unsupported",
            Self::Jws(JwsFault::Crit) => "request_crit_unsupported",
            Self::Jws(_) => "request_malformed",
            Self::Typ(_) => "request_typ_unexpected",
            Self::ClientIdUnsupported(_) => "client_id_unsupported",
            Self::ClientIdMismatch => "client_id_mismatch",
            Self::CertificateMismatch => "client_certificate_mismatch",
            Self::Certificate(error) => error.code(),
            Self::KeyUnknown => "client_key_unknown",
            Self::Audience => "request_audience_mismatch",
            Self::Time { .. } => "request_expired",
            Self::WalletNonce => "wallet_nonce_mismatch",
            Self::Member(_) => "request_member_invalid",
            Self::Encryption => "response_encryption_unsupported",
            Self::Dcql(error) => error.code(),
            Self::TransactionData => "transaction_data_invalid",
            Self::TransactionDataHashes => "transaction_data_mismatch",
        }
    }
}

/// How the response travels (§8.2, §8.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResponseMode {
    /// Plain, by HTTP POST.
    #[serde(rename = "direct_post")]
    DirectPost,
    /// Encrypted, by HTTP POST.
    #[serde(rename = "direct_post.jwt")]
    DirectPostJwt,
}

impl ResponseMode {
    /// The name in `response_mode`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DirectPost => "direct_post",
            Self::DirectPostJwt => "direct_post.jwt",
        }
    }
}

/// The key that the response is to be encrypted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseKey {
    /// P-256.
    pub key: PublicKey,
    /// Its `kid`.
    pub kid: Option<String>,
    /// The content encryption that verifier and we know.
    pub encryption: Encryption,
}

/// A request object that nobody has verified.
#[derive(Debug, Clone)]
pub struct RequestObject {
    text: String,
    jws: Jws,
    client_id: ClientId,
}

/// What the wallet knows before it reads the request object.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// `client_id` of the link.
    pub client_id: &'a str,
    /// What the wallet sent as `wallet_nonce`, where it fetched the request by POST.
    pub wallet_nonce: Option<&'a str>,
}

impl RequestObject {
    /// Reads a request object; the signature is not looked at.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn parse(text: &str) -> Result<Self, RequestError> {
        if text.len() > MAX_REQUEST_BYTES {
            return Err(RequestError::TooLarge(text.len()));
        }
        let jws = Jws::parse(text)?;
        if jws.typ.as_deref() != Some(REQUEST_TYP) {
            return Err(RequestError::Typ(jws.typ.unwrap_or_default()));
        }
        let client_id = jws.payload().get("client_id").and_then(Value::as_str);
        let client_id = client_id.unwrap_or_default();
        let short: String = client_id.chars().take(80).collect();
        Ok(Self {
            client_id: ClientId::parse(client_id)
                .ok_or(RequestError::ClientIdUnsupported(short))?,
            text: text.to_owned(),
            jws,
        })
    }

    /// Whose request it says it is.
    #[must_use]
    pub fn client_id(&self) -> &ClientId {
        &self.client_id
    }

    /// `kid`: for a DID, which of its keys is to verify the signature.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.jws.kid.as_deref()
    }

    /// `wallet_nonce`, unverified. Only the wallet that gave it can say whether it is its own.
    #[must_use]
    pub fn wallet_nonce(&self) -> Option<&str> {
        self.jws
            .payload()
            .get("wallet_nonce")
            .and_then(Value::as_str)
    }

    /// What the request says of its organisation, unverified: whom to look up in the registry.
    #[must_use]
    pub fn asked(&self) -> Option<Asked> {
        asked(self.jws.payload())
    }

    /// Verifies signature, client identifier, times and members at Unix second `at`. `resolve`
    /// gives the key that a DID URL stands for.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn verify(
        self,
        expected: &Expected<'_>,
        resolve: impl FnOnce(&str) -> Option<PublicKey>,
        at: i64,
    ) -> Result<VerifiedRequest, RequestError> {
        if self.client_id.to_string() != expected.client_id {
            return Err(RequestError::ClientIdMismatch);
        }
        let key = match &self.client_id {
            ClientId::X509Hash(_) => self.leaf(at)?.public_key()?,
            ClientId::Did(did) => {
                let url = self
                    .key_id()
                    .filter(|url| url.split_once('#').is_some_and(|(before, _)| before == did));
                let url = url.ok_or(RequestError::KeyUnknown)?;
                resolve(url).ok_or(RequestError::KeyUnknown)?
            }
        };
        self.jws.verify(&key)?;
        VerifiedRequest::read(self, key, expected.wallet_nonce, at)
    }

    fn leaf(&self, at: i64) -> Result<Certificate, RequestError> {
        let chain = self.jws.header().get("x5c").and_then(Value::as_array);
        let chain = chain.filter(|chain| !chain.is_empty() && chain.len() <= MAX_CHAIN);
        let leaf = chain.and_then(|chain| chain[0].as_str());
        let leaf = Certificate::from_base64(leaf.ok_or(RequestError::Member("x5c"))?)?;
        if ClientId::of_certificate(&leaf) != self.client_id {
            return Err(RequestError::CertificateMismatch);
        }
        leaf.check_valid_at(at)?;
        Ok(leaf)
    }
}

/// A request signed by its client.
#[derive(Debug, Clone)]
pub struct VerifiedRequest {
    text: String,
    client_id: ClientId,
    key: PublicKey,
    nonce: String,
    state: Option<String>,
    response_uri: String,
    response_mode: ResponseMode,
    response_key: Option<ResponseKey>,
    query: DcqlQuery,
    transaction_data: Vec<TransactionData>,
    asked: Option<Asked>,
}

impl VerifiedRequest {
    fn read(
        request: RequestObject,
        key: PublicKey,
        wallet_nonce: Option<&str>,
        at: i64,
    ) -> Result<Self, RequestError> {
        let RequestObject {
            text,
            jws,
            client_id,
        } = request;
        let payload = jws.payload();
        let member = |name: &'static str| {
            let text = payload.get(name).and_then(Value::as_str);
            text.filter(|text| !text.is_empty())
                .ok_or(RequestError::Member(name))
        };
        let for_us = match payload.get("aud") {
            Some(Value::Array(all)) => all.contains(&WALLET_AUDIENCE.into()),
            Some(one) => one == WALLET_AUDIENCE,
            None => false,
        };
        if !for_us {
            return Err(RequestError::Audience);
        }
        let second = |name| payload.get(name).and_then(Value::as_i64);
        if second("exp").is_some_and(|exp| exp <= at)
            || ["iat", "nbf"]
                .iter()
                .any(|name| second(name).is_some_and(|from| from > at.saturating_add(CLOCK_SKEW_S)))
        {
            return Err(RequestError::Time { at });
        }
        if payload.get("wallet_nonce").and_then(Value::as_str) != wallet_nonce {
            return Err(RequestError::WalletNonce);
        }
        if member("response_type")? != "vp_token" {
            return Err(RequestError::Member("response_type"));
        }
        let response_mode = match member("response_mode")? {
            "direct_post" => ResponseMode::DirectPost,
            "direct_post.jwt" => ResponseMode::DirectPostJwt,
            _ => return Err(RequestError::Member("response_mode")),
        };
        if payload.contains_key("redirect_uri") {
            return Err(RequestError::Member("redirect_uri"));
        }
        let response_key = match response_mode {
            ResponseMode::DirectPost => None,
            ResponseMode::DirectPostJwt => Some(response_key(payload)?),
        };
        let query = payload.get("dcql_query").cloned();
        let query = DcqlQuery::from_value(query.ok_or(RequestError::Member("dcql_query"))?)?;
        Ok(Self {
            nonce: member("nonce")?.to_owned(),
            state: payload
                .get("state")
                .map(|_| member("state").map(str::to_owned))
                .transpose()?,
            response_uri: member("response_uri")?.to_owned(),
            response_mode,
            response_key,
            transaction_data: transaction_data(payload, &query)?,
            asked: asked(payload),
            query,
            text,
            client_id,
            key,
        })
    }

    /// As it was received: what a one-time grant commits to.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
    /// Whose.
    #[must_use]
    pub fn client_id(&self) -> &ClientId {
        &self.client_id
    }
    /// The key that signed it.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }
    /// `nonce`: for the key binding.
    #[must_use]
    pub fn nonce(&self) -> &str {
        &self.nonce
    }
    /// `state`: for the response.
    #[must_use]
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }
    /// Where the response goes.
    #[must_use]
    pub fn response_uri(&self) -> &str {
        &self.response_uri
    }
    /// How the response travels.
    #[must_use]
    pub fn response_mode(&self) -> ResponseMode {
        self.response_mode
    }
    /// What the response is encrypted to.
    #[must_use]
    pub fn response_key(&self) -> Option<&ResponseKey> {
        self.response_key.as_ref()
    }
    /// What is asked for.
    #[must_use]
    pub fn query(&self) -> &DcqlQuery {
        &self.query
    }
    /// What the holder is to sign beside the credential. A wallet must not answer where it does not
    /// understand one of them.
    #[must_use]
    pub fn transaction_data(&self) -> &[TransactionData] {
        &self.transaction_data
    }
    /// Who asks, why and how long, where the request says it in our words.
    #[must_use]
    pub fn asked(&self) -> Option<&Asked> {
        self.asked.as_ref()
    }
}

fn transaction_data(
    payload: &Map<String, Value>,
    query: &DcqlQuery,
) -> Result<Vec<TransactionData>, RequestError> {
    let Some(value) = payload.get("transaction_data") else {
        return Ok(Vec::new());
    };
    let entries = value.as_array();
    let entries =
        entries.filter(|entries| !entries.is_empty() && entries.len() <= MAX_TRANSACTION_DATA);
    let entries = entries.ok_or(RequestError::TransactionData)?;
    let known = |id: &String| query.credentials().iter().any(|one| one.id() == id);
    let read = |entry: &Value| {
        let entry = entry.as_str().ok_or(RequestError::TransactionData)?;
        let data = TransactionData::parse(entry)?;
        if data.credential_ids.iter().all(known) {
            Ok(data)
        } else {
            Err(RequestError::TransactionData)
        }
    };
    entries.iter().map(read).collect()
}

fn asked(payload: &Map<String, Value>) -> Option<Asked> {
    let entries = payload.get("transaction_data").and_then(Value::as_array);
    let signed = entries.into_iter().flatten().find_map(|entry| {
        TransactionData::parse(entry.as_str()?)
            .ok()
            .and_then(|data| data.asked())
    });
    signed.or_else(|| {
        let infos = payload.get("verifier_info").and_then(Value::as_array)?;
        let ours = infos.iter().find(|info| info["format"] == ASKED_TYPE)?;
        serde_json::from_value(ours.get("data")?.clone()).ok()
    })
}

/// The first key of `client_metadata.jwks` that we can encrypt to (§8.3).
fn response_key(payload: &Map<String, Value>) -> Result<ResponseKey, RequestError> {
    let metadata = payload
        .get("client_metadata")
        .ok_or(RequestError::Encryption)?;
    let keys = metadata.pointer("/jwks/keys").and_then(Value::as_array);
    let usable = |jwk: &&Value| {
        jwk.get("use").is_none_or(|value| value == "enc")
            && jwk.get("alg").is_none_or(|value| value == "ECDH-ES")
    };
    let read = |jwk: &Value| {
        let mut plain = jwk.clone();
        plain.as_object_mut()?.remove("alg");
        let key = PublicKey::from_jwk(&plain).ok()?;
        let kid = jwk.get("kid").and_then(Value::as_str).map(str::to_owned);
        (key.algorithm() == Algorithm::Es256).then_some((key, kid))
    };
    let found = keys.and_then(|keys| keys.iter().filter(usable).take(16).find_map(read));
    let (key, kid) = found.ok_or(RequestError::Encryption)?;
    let encryption = match metadata.get("encrypted_response_enc_values_supported") {
        None => Encryption::A128Gcm,
        Some(Value::Array(names)) => names
            .iter()
            .find_map(|name| Encryption::from_name(name.as_str()?))
            .ok_or(RequestError::Encryption)?,
        Some(_) => return Err(RequestError::Encryption),
    };
    Ok(ResponseKey {
        key,
        kid,
        encryption,
    })
}
