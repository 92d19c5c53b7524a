//! Lists of keys that a verifier believes, from files: certificates (PEM, DER), JWK Sets, DID
//! documents, lists of certificates as health authorities pass them on.
//!
//! A list says of each key by which ids it is asked for, whose it is, when it counts and for what.
//! Reading one believes nothing: whoever names the file, believes it. Page: `trust-list.md`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::ExtendedKeyUsage;
use x509_cert::spki::ObjectIdentifier;

use crate::did::from_multikey;
use crate::json::{self, JsonFault};
use crate::jws;
use crate::keys::{KeyError, PublicKey};
use crate::rfc3339::parse_time;
use crate::verification_key::VerificationKey;
use crate::x509::{Certificate, X509Error, is_named};

/// The longest list read, in bytes.
pub const MAX_LIST_BYTES: usize = 16 << 20;
/// The most keys in one list.
pub const MAX_KEYS: usize = 20_000;

/// Extended key usages of the EU's certificate signers, as the specification has them and as the
/// first certificates had them.
const PURPOSES: [(ObjectIdentifier, Purpose); 6] = [
    (
        ObjectIdentifier::new_unwrap("1.3.6.1.4.1.1847.2021.1.1"),
        Purpose::Test,
    ),
    (
        ObjectIdentifier::new_unwrap("1.3.6.1.4.1.1847.2021.1.2"),
        Purpose::Vaccination,
    ),
    (
        ObjectIdentifier::new_unwrap("1.3.6.1.4.1.1847.2021.1.3"),
        Purpose::Recovery,
    ),
    (
        ObjectIdentifier::new_unwrap("1.3.6.1.4.1.0.1847.2021.1.1"),
        Purpose::Test,
    ),
    (
        ObjectIdentifier::new_unwrap("1.3.6.1.4.1.0.1847.2021.1.2"),
        Purpose::Vaccination,
    ),
    (
        ObjectIdentifier::new_unwrap("1.3.6.1.4.1.0.1847.2021.1.3"),
        Purpose::Recovery,
    ),
];

/// What a key may sign, where its certificate restricts that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Certificates of vaccination.
    Vaccination,
    /// Certificates of a test.
    Test,
    /// Certificates of recovery.
    Recovery,
}

impl Purpose {
    /// `vaccination`, `test` or `recovery`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Vaccination => "vaccination",
            Self::Test => "test",
            Self::Recovery => "recovery",
        }
    }
}

/// Why a list is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustListError {
    /// More than [`MAX_LIST_BYTES`] or [`MAX_KEYS`].
    #[error("the list is too long")]
    TooLarge,
    /// None of the forms.
    #[error(
        "neither certificates (PEM, DER), nor a JWK Set, a DID document or a list of certificates"
    )]
    Malformed,
    /// Not JSON as we accept it.
    #[error("the JSON: {0}")]
    Json(JsonFault),
    /// A certificate.
    #[error("certificate {place}: {error}")]
    Certificate {
        /// Which, from 0.
        place: usize,
        /// What is wrong with it.
        error: X509Error,
    },
    /// A key.
    #[error("key {place}: {error}")]
    Key {
        /// Which, from 0.
        place: usize,
        /// What is wrong with it.
        error: KeyError,
    },
    /// No key in it that we could verify with.
    #[error("there is no key in it that could be used")]
    Empty,
}

impl TrustListError {
    /// The stable reason code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "trust_list_too_large",
            Self::Malformed | Self::Json(JsonFault::Malformed) => "trust_list_malformed",
            Self::Json(JsonFault::DuplicateName(_)) => "trust_list_name_duplicate",
            Self::Json(JsonFault::TooDeep) => "trust_list_too_deep",
            Self::Certificate { .. } => "trust_list_certificate_invalid",
            Self::Key { .. } => "trust_list_key_invalid",
            Self::Empty => "trust_list_empty",
        }
    }
}

/// Why a key that is known did not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFault {
    /// It was used before its time.
    NotYetValid {
        /// From when it counts, Unix seconds.
        from: i64,
    },
    /// Its time was over.
    Expired {
        /// Until when it counted, this second included, Unix seconds.
        until: i64,
    },
}

/// A key with what its list says of it.
#[derive(Debug, Clone)]
pub struct TrustedKey {
    key: VerificationKey,
    ids: Vec<Vec<u8>>,
    name: String,
    issuers: Vec<String>,
    hosts: Vec<String>,
    from: Option<i64>,
    until: Option<i64>,
    revoked: Option<i64>,
    certificate: Option<Certificate>,
    purposes: Vec<Purpose>,
}

impl TrustedKey {
    /// A key on its own, known by its RFC 7638 thumbprint; of `issuer`, if that is known.
    #[must_use]
    pub fn new(key: PublicKey, issuer: Option<&str>) -> Self {
        Self {
            ids: vec![key.key_id().into_bytes()],
            name: issuer.map_or_else(|| key.key_id(), str::to_owned),
            key: key.into(),
            issuers: issuer.map(str::to_owned).into_iter().collect(),
            hosts: Vec::new(),
            from: None,
            until: None,
            revoked: None,
            certificate: None,
            purposes: Vec::new(),
        }
    }

    /// The key of a certificate: known by the first 8 bytes of the certificate's SHA-256, and by
    /// the key's thumbprint; of the URIs and hosts in its subject alternative name.
    ///
    /// # Errors
    /// [`X509Error::KeyUnsupported`].
    pub fn from_certificate(certificate: Certificate) -> Result<Self, X509Error> {
        let key = key_of(&certificate)?;
        let mut ids = vec![certificate_key_id(&certificate).to_vec()];
        ids.extend(key.own().map(|key| key.key_id().into_bytes()));
        Ok(Self {
            ids,
            key,
            name: certificate.subject(),
            issuers: certificate.uris(),
            hosts: certificate.dns_names(),
            from: Some(certificate.not_before()),
            until: Some(certificate.not_after()),
            revoked: None,
            purposes: purposes_of(&certificate),
            certificate: Some(certificate),
        })
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &VerificationKey {
        &self.key
    }

    /// Whose it is, for people: the certificate's subject, the issuer, or the key's id.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is said for which issuers it signs.
    #[must_use]
    pub fn names_issuers(&self) -> bool {
        !self.issuers.is_empty() || !self.hosts.is_empty()
    }

    /// Whether it signs for an issuer: any, where it is not said for which.
    #[must_use]
    pub fn signs_for(&self, issuer: &str) -> bool {
        !self.names_issuers() || is_named(issuer, &self.issuers, &self.hosts)
    }

    /// Whether it counts in some times only: then what it signed must say when.
    #[must_use]
    pub fn has_times(&self) -> bool {
        self.from.is_some() || self.until.is_some()
    }

    /// Whether it signs anything but certificates: an authority's does not.
    #[must_use]
    pub fn may_sign(&self) -> bool {
        self.certificate.as_ref().is_none_or(Certificate::may_sign)
    }

    /// Its certificate.
    #[must_use]
    pub fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    /// What it may sign; none: anything.
    #[must_use]
    pub fn purposes(&self) -> &[Purpose] {
        &self.purposes
    }

    /// Whether it may sign that.
    #[must_use]
    pub fn signs(&self, purpose: Purpose) -> bool {
        self.purposes.is_empty() || self.purposes.contains(&purpose)
    }

    /// Checks that it counted when something was signed, at `issued_at`, that it is not revoked at
    /// `at`, and, where it comes with a certificate, that this still holds at `at`. Unix seconds.
    ///
    /// # Errors
    /// [`KeyFault`].
    pub fn check_time(&self, issued_at: i64, at: i64) -> Result<(), KeyFault> {
        // Who holds a stolen key can write any time of signing: a revocation counts by now.
        if let Some(revoked) = self.revoked.filter(|revoked| *revoked <= at) {
            return Err(KeyFault::Expired { until: revoked - 1 });
        }
        let moments = match self.certificate {
            Some(_) => [issued_at, at],
            None => [issued_at, issued_at],
        };
        if let Some(from) = self.from.filter(|from| moments.iter().any(|at| at < from)) {
            return Err(KeyFault::NotYetValid { from });
        }
        if let Some(until) = self
            .until
            .filter(|until| moments.iter().any(|at| at > until))
        {
            return Err(KeyFault::Expired { until });
        }
        Ok(())
    }
}

/// The key id that EU trust lists give a certificate: the first 8 bytes of its SHA-256.
#[must_use]
pub fn certificate_key_id(certificate: &Certificate) -> [u8; 8] {
    let hash = certificate.sha256();
    hash[..8].try_into().expect("8 of 32 bytes")
}

/// Keys that are believed.
#[derive(Debug, Clone, Default)]
pub struct TrustList {
    keys: Vec<TrustedKey>,
}

impl FromIterator<TrustedKey> for TrustList {
    fn from_iter<I: IntoIterator<Item = TrustedKey>>(keys: I) -> Self {
        Self {
            keys: keys.into_iter().collect(),
        }
    }
}

impl Extend<TrustedKey> for TrustList {
    fn extend<I: IntoIterator<Item = TrustedKey>>(&mut self, keys: I) {
        self.keys.extend(keys);
    }
}

impl IntoIterator for TrustList {
    type Item = TrustedKey;
    type IntoIter = std::vec::IntoIter<TrustedKey>;
    fn into_iter(self) -> Self::IntoIter {
        self.keys.into_iter()
    }
}

impl TrustList {
    /// Reads a list; what form it has, it says itself.
    ///
    /// # Errors
    /// [`TrustListError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustListError> {
        if bytes.len() > MAX_LIST_BYTES {
            return Err(TrustListError::TooLarge);
        }
        let text = std::str::from_utf8(bytes).map(str::trim_start);
        let keys = match text {
            Ok(text) if text.starts_with('{') => from_json(text.as_bytes())?,
            Ok(text) if text.contains("-----BEGIN CERTIFICATE-----") => {
                let all = Certificate::all_from_pem(text);
                certificates(all.map_err(|error| TrustListError::Certificate { place: 0, error })?)
            }
            Ok(text) if text.contains("-----BEGIN PUBLIC KEY-----") => {
                vec![TrustedKey::new(public_key_pem(text)?, None)]
            }
            _ if bytes.first() == Some(&0x30) => {
                let certificate = Certificate::from_der(bytes)
                    .map_err(|error| TrustListError::Certificate { place: 0, error })?;
                certificates(vec![certificate])
            }
            _ => return Err(TrustListError::Malformed),
        };
        match keys.len() {
            0 => Err(TrustListError::Empty),
            count if count > MAX_KEYS => Err(TrustListError::TooLarge),
            _ => Ok(Self { keys }),
        }
    }

    /// All keys.
    #[must_use]
    pub fn keys(&self) -> &[TrustedKey] {
        &self.keys
    }

    /// The keys known by an id that may sign.
    pub fn by_id<'t, 'i>(
        &'t self,
        id: &'i [u8],
    ) -> impl Iterator<Item = &'t TrustedKey> + use<'t, 'i> {
        self.keys
            .iter()
            .filter(move |key| key.may_sign() && key.ids.iter().any(|known| known == id))
    }
}

/// Certificates with keys we cannot verify with (authorities on other curves) are passed over.
fn certificates(all: Vec<Certificate>) -> Vec<TrustedKey> {
    all.into_iter()
        .filter_map(|certificate| TrustedKey::from_certificate(certificate).ok())
        .collect()
}

fn from_json(bytes: &[u8]) -> Result<Vec<TrustedKey>, TrustListError> {
    let document = json::parse_object(bytes).map_err(TrustListError::Json)?;
    if document.contains_key("verificationMethod") {
        return did_document(&document);
    }
    if let Some(Value::Array(all)) = document.get("certificates") {
        return certificate_list(all);
    }
    if document.contains_key("kty") {
        let key = Value::Object(document);
        return Ok(jwk(&key, None, 0)?.into_iter().collect());
    }
    if let Some(Value::Array(keys)) = document.get("keys") {
        let issuer = document.get("issuer").or(document.get("iss"));
        return jwk_set(keys, issuer.and_then(Value::as_str));
    }
    // {"issuer": [JWK, …]} or {"issuer": {"keys": [JWK, …]}}
    let mut all = Vec::new();
    for (issuer, keys) in &document {
        let keys = keys
            .as_array()
            .or(keys.get("keys").and_then(Value::as_array));
        all.extend(jwk_set(
            keys.ok_or(TrustListError::Malformed)?,
            Some(issuer),
        )?);
    }
    Ok(all)
}

fn jwk_set(keys: &[Value], issuer: Option<&str>) -> Result<Vec<TrustedKey>, TrustListError> {
    if keys.len() > MAX_KEYS {
        return Err(TrustListError::TooLarge);
    }
    let mut all = Vec::new();
    for (place, key) in keys.iter().enumerate() {
        all.extend(jwk(key, issuer, place)?);
    }
    Ok(all)
}

/// A JWK; absent where it is of a kind we cannot verify with, as RFC 7517 §5 asks.
fn jwk(
    value: &Value,
    issuer: Option<&str>,
    place: usize,
) -> Result<Option<TrustedKey>, TrustListError> {
    let wrong = |error| TrustListError::Key { place, error };
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let known = matches!(
        (text("kty"), text("crv")),
        (Some("OKP"), Some("Ed25519")) | (Some("EC"), Some("P-256")) | (Some("RSA"), _)
    );
    if text("use").is_some_and(|used| used != "sig") || !known {
        return Ok(None);
    }
    let Some(key) = verification_jwk(value).map_err(wrong)? else {
        return Ok(None);
    };
    let mut ids: Vec<Vec<u8>> = Vec::new();
    ids.extend(key.own().map(|key| key.key_id().into_bytes()));
    if let Some(kid) = text("kid") {
        ids.push(kid.as_bytes().to_vec());
        // An 8-byte id of a certificate, as it is written in JSON.
        let decoded = STANDARD.decode(kid).ok().or_else(|| jws::decode(kid).ok());
        ids.extend(decoded.filter(|id| id.len() == 8));
    }
    let mut certificate = None;
    if let Some(first) = value.get("x5c").and_then(|chain| chain.get(0)) {
        let read = Certificate::from_base64(first.as_str().unwrap_or_default())
            .map_err(|error| TrustListError::Certificate { place, error })?;
        if key_of(&read).ok().as_ref() != Some(&key) {
            return Err(wrong(KeyError::Jwk("x5c")));
        }
        ids.push(certificate_key_id(&read).to_vec());
        certificate = Some(read);
    }
    let time = |name| match value.get(name) {
        None => Ok(None),
        Some(at) => at.as_i64().map(Some).ok_or(wrong(KeyError::Jwk(name))),
    };
    let name = issuer.or(text("kid")).map_or_else(
        || String::from_utf8_lossy(ids.first().map_or(b"", Vec::as_slice)).into_owned(),
        str::to_owned,
    );
    let certified = |pick: fn(&Certificate) -> i64| certificate.as_ref().map(pick);
    let (issuers, hosts) = match (issuer, &certificate) {
        (None, Some(certificate)) => (certificate.uris(), certificate.dns_names()),
        _ => (issuer.map(str::to_owned).into_iter().collect(), Vec::new()),
    };
    Ok(Some(TrustedKey {
        from: time("nbf")?.or(certified(Certificate::not_before)),
        until: time("exp")?.or(certified(Certificate::not_after)),
        revoked: None,
        purposes: certificate.as_ref().map(purposes_of).unwrap_or_default(),
        key,
        ids,
        name,
        issuers,
        hosts,
        certificate,
    }))
}

fn verification_jwk(value: &Value) -> Result<Option<VerificationKey>, KeyError> {
    if value["kty"] != "RSA" {
        return PublicKey::from_jwk(value).map(|key| Some(key.into()));
    }
    #[cfg(feature = "ps256")]
    {
        if value.get("d").is_some() {
            return Err(KeyError::PrivateJwk);
        }
        let part = |name| {
            let text = value.get(name).and_then(Value::as_str);
            jws::decode(text.unwrap_or_default()).map_err(|_| KeyError::Jwk(name))
        };
        let key = crate::verification_key::Ps256Key::from_parts(&part("n")?, &part("e")?)?;
        Ok(Some(VerificationKey::Ps256(Box::new(key))))
    }
    #[cfg(not(feature = "ps256"))]
    Ok(None)
}

/// `{"certificates": [{"rawData": base64 of DER, "kid"?}, …]}`: a list of document signers as the
/// EU's gateway and the national backends pass it on. The key id is computed, not believed.
fn certificate_list(all: &[Value]) -> Result<Vec<TrustedKey>, TrustListError> {
    if all.len() > MAX_KEYS {
        return Err(TrustListError::TooLarge);
    }
    let read = all.iter().enumerate().map(|(place, entry)| {
        let text = entry.get("rawData").and_then(Value::as_str);
        Certificate::from_base64(text.unwrap_or_default())
            .map_err(|error| TrustListError::Certificate { place, error })
    });
    Ok(certificates(read.collect::<Result<_, _>>()?))
}

/// A DID document (W3C DID Core §5): the methods that may assert, or all where none is named.
fn did_document(document: &Map<String, Value>) -> Result<Vec<TrustedKey>, TrustListError> {
    let did = document.get("id").and_then(Value::as_str);
    let did = did.ok_or(TrustListError::Malformed)?;
    let methods = document.get("verificationMethod").and_then(Value::as_array);
    let asserting = document.get("assertionMethod").and_then(Value::as_array);
    let full = |id: &str| match id.strip_prefix('#') {
        Some(fragment) => format!("{did}#{fragment}"),
        None => id.to_owned(),
    };
    let asserts = |id: &str| {
        asserting.is_none_or(|list| {
            list.iter()
                .filter_map(Value::as_str)
                .any(|named| full(named) == id)
        })
    };
    // Methods may also stand in the list of those that assert.
    let embedded = asserting
        .into_iter()
        .flatten()
        .filter(|method| method.is_object());
    let mut all = Vec::new();
    for (place, method) in methods.ok_or(TrustListError::Malformed)?.iter().enumerate() {
        let id = method.get("id").and_then(Value::as_str).unwrap_or_default();
        if asserts(&full(id)) {
            all.extend(method_key(method, &full(id), did, place)?);
        }
    }
    for (place, method) in embedded.enumerate() {
        let id = method.get("id").and_then(Value::as_str).unwrap_or_default();
        all.extend(method_key(method, &full(id), did, place)?);
    }
    Ok(all)
}

fn method_key(
    method: &Value,
    id: &str,
    did: &str,
    place: usize,
) -> Result<Option<TrustedKey>, TrustListError> {
    let wrong = |member| TrustListError::Key {
        place,
        error: KeyError::Jwk(member),
    };
    let multibase = method.get("publicKeyMultibase").and_then(Value::as_str);
    let found = match (method.get("publicKeyJwk"), multibase) {
        (Some(key), _) => jwk(key, Some(did), place)?,
        // Ed25519 and P-256; keys of other kinds are passed over.
        (None, Some(text)) if text.starts_with("z6Mk") || text.starts_with("zDn") => {
            let key = from_multikey(text).map_err(|_| wrong("publicKeyMultibase"))?;
            Some(TrustedKey::new(key, Some(did)))
        }
        _ => None,
    };
    let Some(mut found) = found else {
        return Ok(None);
    };
    found.ids.push(id.as_bytes().to_vec());
    let time = |name: &'static str| match method.get(name) {
        None => Ok(None),
        Some(time) => {
            let time = time.as_str().and_then(parse_time);
            time.map(Some).ok_or(wrong(name))
        }
    };
    if let Some(expires) = time("expires")? {
        found.until = Some(expires - 1);
    }
    found.revoked = time("revoked")?;
    Ok(Some(found))
}

fn key_of(certificate: &Certificate) -> Result<VerificationKey, X509Error> {
    match certificate.public_key() {
        Ok(key) => Ok(key.into()),
        #[cfg(feature = "ps256")]
        Err(X509Error::KeyUnsupported) => {
            let info = certificate.public_key_info_der();
            crate::verification_key::Ps256Key::from_public_key_info(&info)
                .map(|key| VerificationKey::Ps256(Box::new(key)))
                .map_err(|_| X509Error::KeyUnsupported)
        }
        Err(error) => Err(error),
    }
}

fn purposes_of(certificate: &Certificate) -> Vec<Purpose> {
    let Ok(read) = x509_cert::Certificate::from_der(certificate.der()) else {
        return Vec::new();
    };
    let usage = read.tbs_certificate().get_extension::<ExtendedKeyUsage>();
    let Ok(Some((_, usage))) = usage else {
        return Vec::new();
    };
    let named = |oid: &ObjectIdentifier| PURPOSES.iter().find(|(known, _)| known == oid);
    usage
        .0
        .iter()
        .filter_map(named)
        .map(|(_, purpose)| *purpose)
        .collect()
}

fn public_key_pem(text: &str) -> Result<PublicKey, TrustListError> {
    use p256::pkcs8::DecodePublicKey as _;
    let wrong = |error| TrustListError::Key { place: 0, error };
    let pem = text.trim();
    if let Ok(key) = p256::ecdsa::VerifyingKey::from_public_key_pem(pem) {
        let point = key.to_sec1_point(true);
        return PublicKey::from_bytes(crate::keys::Algorithm::Es256, point.as_bytes())
            .map_err(wrong);
    }
    // RFC 8410 §4: a fixed head, then the 32 octets.
    const ED25519: [u8; 12] = [
        0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0,
    ];
    let body: String = pem
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let der = STANDARD
        .decode(body.trim())
        .map_err(|_| TrustListError::Malformed)?;
    let raw = der
        .strip_prefix(&ED25519)
        .ok_or(TrustListError::Malformed)?;
    PublicKey::from_bytes(crate::keys::Algorithm::EdDsa, raw).map_err(wrong)
}
