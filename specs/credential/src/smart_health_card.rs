//! SMART Health Cards: a signed FHIR bundle small enough for a QR code that is checked offline.
//!
//! SMART Health Cards Framework 1.4: a compact JWS, ES256, its payload minified JSON in raw
//! deflate (`zip: DEF`), `kid` the key's RFC 7638 thumbprint; as a QR code in digits behind
//! `shc:/`. The page is `smart-health-card.md`. [`SmartHealthCard`] is unverified; whoever holds a
//! [`VerifiedShc`], verified it against a list of keys he believes.

mod bundle;
mod error;
mod qr;

pub use bundle::{BundleError, bundle};
pub use error::{ShcError, ShcIssueError};
pub use qr::{PREFIX, from_qr, to_qr};

use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde_json::{Map, Value, json};
use std::io::Write as _;

use crate::keys::{Algorithm, SigningKey};
use crate::trust_list::{TrustList, TrustedKey};
use crate::verification_key::{SignatureAlgorithm, VerifyFault};
use crate::{CLOCK_SKEW_S, inflate, json as strict, jws};

/// The longest card read or issued, in bytes of its JWS.
pub const MAX_BYTES: usize = 256 * 1024;
/// What the payload may expand to, in bytes.
pub const MAX_EXPANDED_BYTES: usize = 1024 * 1024;
/// The longest JWS that one QR code holds (version 40, level L: 7,089 digits, and the prefix).
pub const MAX_QR_BYTES: usize = 3_500;

/// Type of every card.
pub const TYPE_HEALTH_CARD: &str = "https://smarthealth.cards#health-card";
/// Type of a card with vaccinations.
pub const TYPE_IMMUNIZATION: &str = "https://smarthealth.cards#immunization";
/// Type of a card with laboratory results.
pub const TYPE_LABORATORY: &str = "https://smarthealth.cards#laboratory";
/// Type of a card about COVID-19.
pub const TYPE_COVID_19: &str = "https://smarthealth.cards#covid19";

/// What a card is to say.
#[derive(Debug, Clone, Copy)]
pub struct ShcIssuance<'a> {
    /// `iss`: an `https` URL without a slash at its end, below which `/.well-known/jwks.json` lies.
    pub issuer: &'a str,
    /// `nbf`: the time of issue, Unix seconds.
    pub issued_at: i64,
    /// `exp`, Unix seconds.
    pub expires_at: Option<i64>,
    /// Types besides [`TYPE_HEALTH_CARD`].
    pub types: &'a [&'a str],
    /// `rid`: by which the issuer may revoke it; at most 24 characters of base64url's alphabet.
    pub revocation_id: Option<&'a str>,
    /// The bundle, as [`bundle`] makes it.
    pub bundle: &'a Value,
}

/// Signs a card: a compact JWS.
///
/// # Errors
/// [`ShcIssueError`].
pub fn issue(issuance: &ShcIssuance<'_>, key: &SigningKey) -> Result<String, ShcIssueError> {
    if key.algorithm() != Algorithm::Es256 {
        return Err(ShcIssueError::Algorithm);
    }
    if !is_issuer(issuance.issuer) {
        return Err(ShcIssueError::Issuer);
    }
    if issuance
        .revocation_id
        .is_some_and(|id| !is_revocation_id(id))
    {
        return Err(ShcIssueError::RevocationId);
    }
    check_bundle(issuance.bundle).map_err(ShcIssueError::Bundle)?;
    let mut types = vec![TYPE_HEALTH_CARD];
    types.extend(
        issuance
            .types
            .iter()
            .filter(|name| **name != TYPE_HEALTH_CARD),
    );
    let mut claims = json!({
        "iss": issuance.issuer,
        "nbf": issuance.issued_at,
        "vc": {
            "type": types,
            "credentialSubject": { "fhirVersion": "4.0.1", "fhirBundle": issuance.bundle },
        },
    });
    if let Some(exp) = issuance.expires_at {
        if exp <= issuance.issued_at {
            let nbf = issuance.issued_at;
            return Err(ShcIssueError::ExpiryBeforeIssue { exp, nbf });
        }
        claims["exp"] = exp.into();
    }
    if let Some(id) = issuance.revocation_id {
        claims["vc"]["rid"] = id.into();
    }
    let header = json!({ "zip": "DEF", "alg": "ES256", "kid": key.key_id() });
    let payload = deflate(claims.to_string().as_bytes());
    let mut card = format!(
        "{}.{}",
        jws::encode(header.to_string().as_bytes()),
        jws::encode(&payload)
    );
    let signature = jws::encode(&key.sign(card.as_bytes()));
    card.push('.');
    card.push_str(&signature);
    if card.len() > MAX_BYTES {
        return Err(ShcIssueError::TooLarge(card.len()));
    }
    Ok(card)
}

/// A card that nobody has verified.
#[derive(Debug, Clone)]
pub struct SmartHealthCard {
    signing_input: String,
    signature: Vec<u8>,
    key_id: String,
    claims: Map<String, Value>,
}

impl SmartHealthCard {
    /// Reads a compact JWS. The text of a QR code goes through [`from_qr`] first.
    ///
    /// # Errors
    /// [`ShcError`]; bounds come before anything is decoded.
    pub fn parse(card: &str) -> Result<Self, ShcError> {
        if card.len() > MAX_BYTES {
            return Err(ShcError::TooLarge);
        }
        let (signing_input, signature) = card.rsplit_once('.').ok_or(ShcError::Malformed)?;
        let (header, payload) = signing_input.split_once('.').ok_or(ShcError::Malformed)?;
        let header = strict::parse_object(&decode(header)?)?;
        let text = |name| header.get(name).and_then(Value::as_str);
        match text("alg") {
            Some("ES256") => {}
            Some(none) if none.eq_ignore_ascii_case("none") => return Err(ShcError::AlgNone),
            other => {
                return Err(ShcError::AlgUnsupported(
                    other.unwrap_or_default().to_owned(),
                ));
            }
        }
        if header.contains_key("crit") {
            return Err(ShcError::Crit);
        }
        if text("zip") != Some("DEF") {
            return Err(ShcError::Zip);
        }
        let key_id = text("kid").ok_or(ShcError::KeyIdMissing)?.to_owned();
        let payload = inflate::raw(&decode(payload)?, MAX_EXPANDED_BYTES)?;
        let claims = strict::parse_object(&payload)?;
        Ok(Self {
            signature: decode(signature)?,
            signing_input: signing_input.to_owned(),
            key_id,
            claims,
        })
    }

    /// `kid`, unverified.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// `iss`, unverified.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }

    /// `nbf`, unverified, rounded down to a second.
    #[must_use]
    pub fn issued_at(&self) -> Option<i64> {
        self.seconds("nbf").ok().flatten()
    }

    /// Verifies, at Unix second `at`, with the keys of `trusted`.
    ///
    /// The key is the one whose thumbprint the card names, and no other; where the list says for
    /// which issuers a key signs, the card's must be one of them.
    ///
    /// # Errors
    /// [`ShcError`].
    pub fn verify<'t>(&self, trusted: &'t TrustList, at: i64) -> Result<VerifiedShc<'t>, ShcError> {
        let key = self.signer(trusted)?;
        let issuer = self.issuer().filter(|issuer| is_issuer(issuer));
        let issuer = issuer.ok_or(ShcError::Claim("iss"))?;
        if !key.signs_for(issuer) {
            return Err(ShcError::Issuer(issuer.to_owned()));
        }
        let issued_at = self.seconds("nbf")?.ok_or(ShcError::Claim("nbf"))?;
        if issued_at > at.saturating_add(CLOCK_SKEW_S) {
            return Err(ShcError::NotYetValid { nbf: issued_at, at });
        }
        let expires_at = self.seconds("exp")?;
        if let Some(exp) = expires_at.filter(|exp| *exp <= at) {
            return Err(ShcError::Expired { exp, at });
        }
        key.check_time(issued_at, at).map_err(ShcError::KeyTime)?;
        let vc = self.claims.get("vc").ok_or(ShcError::Claim("vc"))?;
        let types = vc
            .get("type")
            .and_then(Value::as_array)
            .ok_or(ShcError::Claim("type"))?;
        let types: Vec<String> = types
            .iter()
            .map(|name| {
                name.as_str()
                    .map(str::to_owned)
                    .ok_or(ShcError::Claim("type"))
            })
            .collect::<Result<_, _>>()?;
        if !types.iter().any(|name| name == TYPE_HEALTH_CARD) {
            return Err(ShcError::Claim("type"));
        }
        let revocation_id = match vc.get("rid") {
            None => None,
            Some(Value::String(id)) if is_revocation_id(id) => Some(id.clone()),
            Some(_) => return Err(ShcError::Claim("rid")),
        };
        let subject = vc.get("credentialSubject");
        let subject = subject.ok_or(ShcError::Claim("credentialSubject"))?;
        if subject.get("fhirVersion").and_then(Value::as_str).is_none() {
            return Err(ShcError::Claim("fhirVersion"));
        }
        let bundle = subject
            .get("fhirBundle")
            .ok_or(ShcError::Claim("fhirBundle"))?;
        check_bundle(bundle).map_err(ShcError::Bundle)?;
        Ok(VerifiedShc {
            key,
            issuer: issuer.to_owned(),
            issued_at,
            expires_at,
            types,
            revocation_id,
            bundle: bundle.clone(),
        })
    }

    fn signer<'t>(&self, trusted: &'t TrustList) -> Result<&'t TrustedKey, ShcError> {
        let signature = self.signature.as_slice();
        let mut refused = None;
        for key in trusted.by_id(self.key_id.as_bytes()) {
            // A list may call a key by any id; a card calls it by its thumbprint alone.
            if key
                .key()
                .own()
                .is_some_and(|key| key.key_id() != self.key_id)
            {
                continue;
            }
            match key.key().verify(
                SignatureAlgorithm::Es256,
                self.signing_input.as_bytes(),
                signature,
            ) {
                Ok(()) => return Ok(key),
                Err(VerifyFault::Algorithm) => refused = refused.or(Some(ShcError::AlgMismatch)),
                Err(VerifyFault::Signature) => refused = Some(ShcError::Signature),
            }
        }
        Err(refused.unwrap_or_else(|| ShcError::KeyUnknown(self.key_id.clone())))
    }

    /// A claim of seconds since 1970, which may have a fraction (RFC 7519 §2).
    fn seconds(&self, name: &'static str) -> Result<Option<i64>, ShcError> {
        const FURTHEST: f64 = 253_402_300_800.0; // the year 10000
        match self.claims.get(name) {
            None => Ok(None),
            Some(value) => match (value.as_i64(), value.as_f64()) {
                (Some(at), _) => Ok(Some(at)),
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "rounded down, and in range"
                )]
                (None, Some(at)) if (0.0..FURTHEST).contains(&at) => Ok(Some(at as i64)),
                _ => Err(ShcError::Claim(name)),
            },
        }
    }
}

/// A card whose signature, times and form hold.
#[derive(Debug, Clone)]
pub struct VerifiedShc<'t> {
    key: &'t TrustedKey,
    issuer: String,
    issued_at: i64,
    expires_at: Option<i64>,
    types: Vec<String>,
    revocation_id: Option<String>,
    bundle: Value,
}

impl<'t> VerifiedShc<'t> {
    /// The key that signed it.
    #[must_use]
    pub fn key(&self) -> &'t TrustedKey {
        self.key
    }

    /// `iss`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// `nbf`, Unix seconds.
    #[must_use]
    pub fn issued_at(&self) -> i64 {
        self.issued_at
    }

    /// `exp`, Unix seconds.
    #[must_use]
    pub fn expires_at(&self) -> Option<i64> {
        self.expires_at
    }

    /// All types.
    #[must_use]
    pub fn types(&self) -> &[String] {
        &self.types
    }

    /// `rid`: by which the issuer's revocation list names it.
    #[must_use]
    pub fn revocation_id(&self) -> Option<&str> {
        self.revocation_id.as_deref()
    }

    /// The FHIR bundle.
    #[must_use]
    pub fn bundle(&self) -> &Value {
        &self.bundle
    }
}

/// Which member of a bundle does not fit: a `collection` of entries, each with a resource.
fn check_bundle(bundle: &Value) -> Result<(), &'static str> {
    if bundle["resourceType"] != "Bundle" {
        return Err("resourceType");
    }
    if bundle["type"] != "collection" {
        return Err("type");
    }
    let entries = bundle["entry"]
        .as_array()
        .filter(|entries| !entries.is_empty());
    for entry in entries.ok_or("entry")? {
        if entry["fullUrl"].as_str().is_none() {
            return Err("fullUrl");
        }
        if entry["resource"]["resourceType"].as_str().is_none() {
            return Err("resource");
        }
    }
    Ok(())
}

fn is_issuer(text: &str) -> bool {
    text.len() > "https://".len() && text.starts_with("https://") && !text.ends_with('/')
}

fn is_revocation_id(text: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
    (1..=24).contains(&text.len()) && text.bytes().all(allowed)
}

fn decode(text: &str) -> Result<Vec<u8>, ShcError> {
    jws::decode(text).map_err(|_| ShcError::Malformed)
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .expect("writing to a Vec cannot fail")
}
