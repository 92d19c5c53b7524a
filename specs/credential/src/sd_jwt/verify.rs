//! Reading and verifying.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::error::Part;
use super::kit::{self, Processed};
use super::{
    FORMAT_NAMES, KEY_BINDING_TYP, MAX_BYTES, MAX_DEPTH, MAX_DISCLOSURES, NEVER_DISCLOSABLE, Path,
    REGISTERED_CLAIMS, SdJwtError, StatusReference, TYP,
};
use crate::CLOCK_SKEW_S;
use crate::json::{self, JsonFault};
use crate::jws::{self, Jws};
use crate::keys::PublicKey;
use crate::x509::{Certificate, MAX_CHAIN, X509Error};

/// A credential or presentation that nobody has verified. Its accessors say what it *claims*.
#[derive(Debug, Clone)]
pub struct SdJwt {
    /// Everything but the key binding JWT, ending in `~`.
    presented: String,
    issuer_jwt: Jws,
    key_binding: Option<Jws>,
}

/// What a key binding must prove (RFC 9901 §7.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyBindingPolicy<'a> {
    /// `aud`: the verifier.
    pub audience: &'a str,
    /// `nonce`: the request.
    pub nonce: &'a str,
    /// How old the key binding may be, in seconds.
    pub max_age_s: i64,
}

impl SdJwt {
    /// Reads the compact serialisation: size, number of disclosures, depth, JSON, `alg`, `typ`,
    /// `crit`. Signatures, digests and times are not looked at.
    ///
    /// # Errors
    /// [`SdJwtError`]; `too_large` and `disclosures_too_many` come before anything is parsed.
    pub fn parse(text: &str) -> Result<Self, SdJwtError> {
        if text.len() > MAX_BYTES {
            return Err(SdJwtError::TooLarge(text.len()));
        }
        let tildes = text.bytes().filter(|byte| *byte == b'~').count();
        if tildes > MAX_DISCLOSURES + 1 {
            return Err(SdJwtError::TooManyDisclosures(tildes - 1));
        }
        let malformed = SdJwtError::Malformed(Part::Issuer);
        let (presented, key_binding) = match text.rfind('~') {
            Some(last) => text.split_at(last + 1),
            None => return Err(malformed),
        };
        let (issuer_jwt, disclosures) = presented.split_once('~').ok_or(malformed)?;
        let issuer_jwt = parse_jws(Part::Issuer, issuer_jwt, TYP)?;
        for (index, disclosure) in disclosures.split_terminator('~').enumerate() {
            check_disclosure(index, disclosure)?;
        }
        let key_binding = match key_binding {
            "" => None,
            text => Some(parse_jws(Part::KeyBinding, text, KEY_BINDING_TYP)?),
        };
        Ok(Self {
            presented: presented.to_owned(),
            issuer_jwt,
            key_binding,
        })
    }

    /// `iss`, unverified: who to ask for a key.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.text("iss")
    }

    /// `vct`, unverified.
    #[must_use]
    pub fn vct(&self) -> Option<&str> {
        self.text("vct")
    }

    /// `jti`, unverified.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.text("jti")
    }

    /// `kid` of the issuer-signed JWT, unverified.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.issuer_jwt.kid.as_deref()
    }

    /// `x5c` of the issuer-signed JWT, leaf first, unverified; empty where there is none. Which of
    /// them are trusted, [`verify_chain`](crate::x509::verify_chain) says.
    ///
    /// # Errors
    /// [`X509Error`] for an `x5c` that is not an array of certificates in base64.
    pub fn certificates(&self) -> Result<Vec<Certificate>, X509Error> {
        let Some(chain) = self.issuer_jwt.header().get("x5c") else {
            return Ok(Vec::new());
        };
        let malformed = || X509Error::Malformed("x5c is not an array of texts".into());
        let chain = chain.as_array().ok_or_else(malformed)?;
        if chain.len() > MAX_CHAIN {
            return Err(X509Error::TooLarge);
        }
        let certificate = |text: &Value| {
            let text = text.as_str().ok_or_else(malformed)?;
            Certificate::from_base64(text)
        };
        chain.iter().map(certificate).collect()
    }

    /// `iat`, Unix seconds, unverified.
    #[must_use]
    pub fn issued_at(&self) -> Option<i64> {
        numeric_date(&self.issuer_jwt.payload, "iat").ok().flatten()
    }

    /// Whether a key binding JWT is there (whatever it is worth).
    #[must_use]
    pub fn has_key_binding(&self) -> bool {
        self.key_binding.is_some()
    }

    /// The claims of the key binding JWT, unverified.
    #[must_use]
    pub fn unverified_key_binding(&self) -> Option<&Map<String, Value>> {
        self.key_binding.as_ref().map(|jwt| &jwt.payload)
    }

    /// The paths of the disclosures that are there, in the coordinates of the issued credential;
    /// unverified. What a wallet can offer to show.
    ///
    /// # Errors
    /// [`SdJwtError`] when digests and disclosures do not fit.
    pub fn disclosures(&self) -> Result<Vec<Path>, SdJwtError> {
        Ok(kit::process(&self.presented)?.disclosed)
    }

    /// The payload with the disclosures that are there put in their places, unverified. What a
    /// wallet looks through for what it can show.
    ///
    /// # Errors
    /// [`SdJwtError`] when digests and disclosures do not fit.
    pub fn unverified_payload(&self) -> Result<Map<String, Value>, SdJwtError> {
        Ok(kit::process(&self.presented)?.payload)
    }

    /// Verifies with the issuer's `key`, at Unix second `at`: signature, digests, form of the
    /// registered claims, `iat` and `nbf` (up to [`CLOCK_SKEW_S`] ahead), `exp`. A key binding is
    /// neither needed nor looked at.
    ///
    /// # Errors
    /// [`SdJwtError`].
    pub fn verify(&self, key: &PublicKey, at: i64) -> Result<VerifiedSdJwt, SdJwtError> {
        self.issuer_jwt
            .verify(key)
            .map_err(|f| SdJwtError::from_jws(Part::Issuer, f))?;
        check_hash(&self.issuer_jwt.payload)?;
        let processed = process(&self.presented)?;
        let verified = VerifiedSdJwt::new(self, processed, *key)?;
        check_times(&verified, at)?;
        Ok(verified)
    }

    /// As [`SdJwt::verify`], with the key that `lookup` finds for `(iss, kid)`.
    ///
    /// # Errors
    /// [`SdJwtError::IssuerKeyUnknown`] when it finds none.
    pub fn verify_with(
        &self,
        lookup: impl FnOnce(Option<&str>, Option<&str>) -> Option<PublicKey>,
        at: i64,
    ) -> Result<VerifiedSdJwt, SdJwtError> {
        match lookup(self.issuer(), self.key_id()) {
            Some(key) => self.verify(&key, at),
            None => Err(SdJwtError::IssuerKeyUnknown {
                issuer: self.issuer().map(str::to_owned),
                key_id: self.key_id().map(str::to_owned),
            }),
        }
    }

    /// As [`SdJwt::verify`], and that the holder of `cnf.jwk` made this presentation for
    /// `policy`'s audience and nonce, over these disclosures, not longer ago than allowed.
    ///
    /// # Errors
    /// [`SdJwtError`].
    pub fn verify_with_key_binding(
        &self,
        key: &PublicKey,
        policy: &KeyBindingPolicy<'_>,
        at: i64,
    ) -> Result<VerifiedPresentation, SdJwtError> {
        let credential = self.verify(key, at)?;
        let holder = credential.holder.ok_or(SdJwtError::HolderKeyMissing)?;
        let jwt = self
            .key_binding
            .as_ref()
            .ok_or(SdJwtError::KeyBindingMissing)?;
        jwt.verify(&holder)
            .map_err(|f| SdJwtError::from_jws(Part::KeyBinding, f))?;

        let text = |name| jwt.payload.get(name).and_then(Value::as_str);
        if text("aud") != Some(policy.audience) {
            return Err(SdJwtError::AudienceMismatch);
        }
        if text("nonce") != Some(policy.nonce) {
            return Err(SdJwtError::NonceMismatch);
        }
        if text("sd_hash") != Some(sd_hash(&self.presented).as_str()) {
            return Err(SdJwtError::SdHashMismatch);
        }
        let iat = match numeric_date(&jwt.payload, "iat") {
            Ok(Some(iat)) => iat,
            _ => return Err(SdJwtError::Malformed(Part::KeyBinding)),
        };
        if iat > at.saturating_add(CLOCK_SKEW_S) {
            return Err(SdJwtError::KeyBindingInFuture { iat, at });
        }
        if iat < at.saturating_sub(policy.max_age_s) {
            let max_age_s = policy.max_age_s;
            return Err(SdJwtError::KeyBindingTooOld { iat, at, max_age_s });
        }
        Ok(VerifiedPresentation {
            credential,
            key_binding: jwt.payload.clone(),
            issued_at: iat,
        })
    }

    pub(super) fn presented(&self) -> &str {
        &self.presented
    }

    pub(super) fn cnf_key(&self) -> Result<Option<PublicKey>, SdJwtError> {
        holder_key(&self.issuer_jwt.payload)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.issuer_jwt.payload.get(name).and_then(Value::as_str)
    }
}

/// A credential whose issuer signature, digests and times hold.
#[derive(Debug, Clone)]
pub struct VerifiedSdJwt {
    payload: Map<String, Value>,
    claims: Value,
    disclosed: Vec<Path>,
    vct: String,
    issued_at: Option<i64>,
    not_before: Option<i64>,
    expires_at: Option<i64>,
    holder: Option<PublicKey>,
    status: Option<StatusReference>,
    issuer_key: PublicKey,
}

impl VerifiedSdJwt {
    /// The claims about the subject: a JSON object, without
    /// [`REGISTERED_CLAIMS`](super::REGISTERED_CLAIMS). What the record type's schema is for.
    #[must_use]
    pub fn claims(&self) -> &Value {
        &self.claims
    }

    /// The whole processed payload.
    #[must_use]
    pub fn payload(&self) -> &Map<String, Value> {
        &self.payload
    }

    /// The paths of what came from disclosures.
    #[must_use]
    pub fn disclosed(&self) -> &[Path] {
        &self.disclosed
    }

    /// `iss`.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.payload.get("iss").and_then(Value::as_str)
    }

    /// `vct`: the record type.
    #[must_use]
    pub fn vct(&self) -> &str {
        &self.vct
    }

    /// `vct#integrity`.
    #[must_use]
    pub fn vct_integrity(&self) -> Option<&str> {
        self.payload.get("vct#integrity").and_then(Value::as_str)
    }

    /// `jti`.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.payload.get("jti").and_then(Value::as_str)
    }

    /// `iat`, Unix seconds.
    #[must_use]
    pub fn issued_at(&self) -> Option<i64> {
        self.issued_at
    }

    /// `nbf`, Unix seconds.
    #[must_use]
    pub fn not_before(&self) -> Option<i64> {
        self.not_before
    }

    /// `exp`, Unix seconds.
    #[must_use]
    pub fn expires_at(&self) -> Option<i64> {
        self.expires_at
    }

    /// `cnf.jwk`: the key the credential is bound to.
    #[must_use]
    pub fn holder(&self) -> Option<&PublicKey> {
        self.holder.as_ref()
    }

    /// Where the credential's status is; `None` if the issuer keeps none.
    #[must_use]
    pub fn status(&self) -> Option<&StatusReference> {
        self.status.as_ref()
    }

    /// The key that verified it.
    #[must_use]
    pub fn issuer_key(&self) -> &PublicKey {
        &self.issuer_key
    }

    fn new(sd_jwt: &SdJwt, processed: Processed, key: PublicKey) -> Result<Self, SdJwtError> {
        let Processed { payload, disclosed } = processed;
        for name in ["iss", "jti", "sub", "vct#integrity"] {
            if payload.get(name).is_some_and(|value| !value.is_string()) {
                return Err(SdJwtError::Claim(name));
            }
        }
        let vct = payload
            .get("vct")
            .and_then(Value::as_str)
            .ok_or(SdJwtError::Claim("vct"))?;
        let vct = vct.to_owned();
        let claims = payload
            .iter()
            .filter(|(name, _)| !REGISTERED_CLAIMS.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        Ok(Self {
            claims: Value::Object(claims),
            disclosed,
            vct,
            issued_at: numeric_date(&payload, "iat")?,
            not_before: numeric_date(&payload, "nbf")?,
            expires_at: numeric_date(&payload, "exp")?,
            holder: sd_jwt.cnf_key()?,
            status: status_reference(&payload)?,
            issuer_key: key,
            payload,
        })
    }
}

/// A presentation made by the credential's holder for the one who verified it.
#[derive(Debug, Clone)]
pub struct VerifiedPresentation {
    credential: VerifiedSdJwt,
    key_binding: Map<String, Value>,
    issued_at: i64,
}

impl VerifiedPresentation {
    /// The credential, with what the holder chose to show.
    #[must_use]
    pub fn credential(&self) -> &VerifiedSdJwt {
        &self.credential
    }

    /// All claims of the key binding JWT, such as `transaction_data_hashes`.
    #[must_use]
    pub fn key_binding_claims(&self) -> &Map<String, Value> {
        &self.key_binding
    }

    /// When the holder made it, Unix seconds.
    #[must_use]
    pub fn presented_at(&self) -> i64 {
        self.issued_at
    }

    /// Gives up the key binding.
    #[must_use]
    pub fn into_credential(self) -> VerifiedSdJwt {
        self.credential
    }
}

/// `sd_hash` (RFC 9901 §4.3.1) of what is presented.
pub(super) fn sd_hash(presented: &str) -> String {
    jws::encode(&Sha256::digest(presented))
}

/// The first member name in `value`, at any depth, that is one of `names`.
pub(super) fn find_name<'a>(value: &Value, names: &[&'a str]) -> Option<&'a str> {
    match value {
        Value::Object(map) => map.iter().find_map(|(name, value)| {
            let found = names.iter().find(|reserved| *reserved == name).copied();
            found.or_else(|| find_name(value, names))
        }),
        Value::Array(items) => items.iter().find_map(|value| find_name(value, names)),
        _ => None,
    }
}

fn parse_jws(part: Part, token: &str, typ: &str) -> Result<Jws, SdJwtError> {
    let jws = Jws::parse(token).map_err(|fault| SdJwtError::from_jws(part, fault))?;
    if jws.typ.as_deref() != Some(typ) {
        return Err(SdJwtError::Typ { part, typ: jws.typ });
    }
    Ok(jws)
}

fn check_disclosure(index: usize, disclosure: &str) -> Result<(), SdJwtError> {
    let malformed = SdJwtError::DisclosureMalformed(index);
    let Ok(bytes) = jws::decode(disclosure) else {
        return Err(malformed);
    };
    match json::parse(&bytes) {
        Ok(Value::Array(_)) => Ok(()),
        Err(JsonFault::TooDeep) => Err(SdJwtError::TooDeep),
        Err(JsonFault::DuplicateName(name)) => Err(SdJwtError::DuplicateName(name)),
        Ok(_) | Err(JsonFault::Malformed) => Err(malformed),
    }
}

/// SHA-256 is the default and the only digest taken: `sd_hash` and disclosures have one rule.
fn check_hash(payload: &Map<String, Value>) -> Result<(), SdJwtError> {
    match payload.get("_sd_alg").map(Value::as_str) {
        None | Some(Some("sha-256")) => Ok(()),
        Some(Some(name)) => Err(SdJwtError::HashUnsupported(name.to_owned())),
        Some(None) => Err(SdJwtError::PayloadMalformed),
    }
}

fn process(presented: &str) -> Result<Processed, SdJwtError> {
    let processed = kit::process(presented)?;
    for path in &processed.disclosed {
        if let Some(name) = path.head().filter(|name| NEVER_DISCLOSABLE.contains(name)) {
            return Err(SdJwtError::ClaimNotDisclosable(name.to_owned()));
        }
    }
    let payload = Value::Object(processed.payload);
    if json::is_deeper_than(&payload, MAX_DEPTH) {
        return Err(SdJwtError::TooDeep);
    }
    // A placeholder with company, or a digest list where none can be, is nobody's claim.
    if let Some(name) = find_name(&payload, &FORMAT_NAMES) {
        return Err(SdJwtError::NameReserved(name.to_owned()));
    }
    let Value::Object(payload) = payload else {
        return Err(SdJwtError::PayloadMalformed);
    };
    Ok(Processed {
        payload,
        disclosed: processed.disclosed,
    })
}

fn check_times(verified: &VerifiedSdJwt, at: i64) -> Result<(), SdJwtError> {
    let latest = at.saturating_add(CLOCK_SKEW_S);
    match (verified.issued_at, verified.not_before, verified.expires_at) {
        (Some(iat), _, _) if iat > latest => Err(SdJwtError::IssuedInFuture { iat, at }),
        (_, Some(nbf), _) if nbf > latest => Err(SdJwtError::NotYetValid { nbf, at }),
        (_, _, Some(exp)) if exp <= at => Err(SdJwtError::Expired { exp, at }),
        _ => Ok(()),
    }
}

fn numeric_date(map: &Map<String, Value>, name: &'static str) -> Result<Option<i64>, SdJwtError> {
    jws::numeric_date(map, name).map_err(SdJwtError::Claim)
}

fn holder_key(payload: &Map<String, Value>) -> Result<Option<PublicKey>, SdJwtError> {
    match payload.get("cnf") {
        None => Ok(None),
        Some(Value::Object(cnf)) => cnf
            .get("jwk")
            .map(|jwk| PublicKey::from_jwk(jwk).map_err(SdJwtError::HolderKey))
            .transpose(),
        Some(_) => Err(SdJwtError::Claim("cnf")),
    }
}

fn status_reference(payload: &Map<String, Value>) -> Result<Option<StatusReference>, SdJwtError> {
    let Some(status) = payload.get("status") else {
        return Ok(None);
    };
    let list = status
        .get("status_list")
        .ok_or(SdJwtError::StatusUnsupported)?;
    let uri = list.get("uri").and_then(Value::as_str);
    let index = list.get("idx").and_then(Value::as_u64);
    match (uri, index) {
        (Some(uri), Some(index)) => Ok(Some(StatusReference {
            uri: uri.to_owned(),
            index,
        })),
        _ => Err(SdJwtError::Claim("status")),
    }
}
