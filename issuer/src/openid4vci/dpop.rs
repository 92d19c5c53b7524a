//! DPoP (RFC 9449): a token that only the key that it was given to can use. Optional for the wallet. No I/O.

use crate::store::{Kind, Slot};
use axum::http::HeaderMap;
use sha2::{Digest, Sha256};
use tegata_credential::CLOCK_SKEW_S;
use tegata_credential::jws::{Jws, JwsFault, encode};
use tegata_credential::keys::{KeyError, PublicKey};

const TYP: &str = "dpop+jwt";
const MAX_BYTES: usize = 8 << 10;
/// How old a proof may be, in seconds.
const AGE_MAX_S: i64 = 60;

/// The request that a proof came with.
pub(super) struct Request<'a> {
    /// Its URL without query, as the metadata names it.
    pub(super) url: &'a str,
    /// The access token that came along.
    pub(super) token: Option<&'a str>,
    /// Unix seconds.
    pub(super) now_s: i64,
}

/// A proof that holds; that it was not used before is another question.
#[derive(Debug)]
pub(super) struct DpopProof {
    /// RFC 7638 thumbprint of the key.
    pub(super) jkt: String,
    /// Where its use is remembered.
    pub(super) slot: Slot,
    /// Until when, in milliseconds since 1970.
    pub(super) expires_ms: u64,
}

/// Why a proof is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DpopError {
    #[error("there is not exactly one DPoP header of usual size")]
    Header,
    #[error("the DPoP proof: {0}")]
    Jws(#[from] JwsFault),
    #[error("typ is not dpop+jwt")]
    Typ,
    #[error("jwk: {0}")]
    Key(#[from] KeyError),
    #[error("the DPoP proof has no {0}, or another")]
    Claim(&'static str),
    #[error("the DPoP proof was used before")]
    Replayed,
}

impl DpopError {
    /// The standard's code.
    pub(super) const fn code(&self) -> &'static str {
        "invalid_dpop_proof"
    }
}

/// Checks the proof in a request's headers; absent where there is none. All our endpoints with DPoP are `POST`.
pub(super) fn check(
    headers: &HeaderMap,
    request: &Request<'_>,
) -> Result<Option<DpopProof>, DpopError> {
    let mut found = headers.get_all("dpop").iter();
    let Some(proof) = found.next() else {
        return Ok(None);
    };
    let proof = proof.to_str().map_err(|_| DpopError::Header)?;
    if found.next().is_some() || proof.len() > MAX_BYTES {
        return Err(DpopError::Header);
    }
    let jws = Jws::parse(proof)?;
    if jws.header().get("typ").and_then(|typ| typ.as_str()) != Some(TYP) {
        return Err(DpopError::Typ);
    }
    let jwk = jws.header().get("jwk").ok_or(DpopError::Claim("jwk"))?;
    let key = PublicKey::from_jwk(jwk)?;
    jws.verify(&key)?;
    let text = |name: &str| jws.payload().get(name).and_then(|value| value.as_str());
    if text("htm") != Some("POST") {
        return Err(DpopError::Claim("htm"));
    }
    if text("htu").and_then(|htu| htu.split(['?', '#']).next()) != Some(request.url) {
        return Err(DpopError::Claim("htu"));
    }
    let iat = jws.payload().get("iat").and_then(|iat| iat.as_i64());
    let fresh = request.now_s - AGE_MAX_S..=request.now_s + CLOCK_SKEW_S;
    if !iat.is_some_and(|iat| fresh.contains(&iat)) {
        return Err(DpopError::Claim("iat"));
    }
    let hash = request.token.map(|token| encode(&Sha256::digest(token)));
    if hash.is_some() && text("ath") != hash.as_deref() {
        return Err(DpopError::Claim("ath"));
    }
    let jti = text("jti").ok_or(DpopError::Claim("jti"))?;
    let jkt = key.key_id();
    let expires_s = request.now_s + AGE_MAX_S + 2 * CLOCK_SKEW_S;
    Ok(Some(DpopProof {
        slot: Slot::new(Kind::Proof, &format!("{jkt} {jti}")),
        expires_ms: u64::try_from(expires_s).unwrap_or(0) * 1000,
        jkt,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use tegata_credential::jws::sign_with_header;
    use tegata_credential::keys::{Algorithm, SigningKey};

    const NOW_S: i64 = 1_760_000_000;
    const URL: &str = "https://issuer.example/openid4vci/token";

    #[test]
    fn every_part_of_a_proof_is_checked() {
        let key = SigningKey::from_bytes(Algorithm::Es256, &[3; 32]).unwrap();
        let claims = json!({
            "htm": "POST", "htu": format!("{URL}?x=1"), "iat": NOW_S, "jti": "j",
            "ath": encode(&Sha256::digest("secret")),
        });
        let header = json!({ "typ": TYP, "jwk": key.public_key().to_jwk() });
        let result = |header: &Value, claims: &Value| {
            let [header, claims] = [header, claims].map(|value| value.as_object().unwrap().clone());
            let proof = sign_with_header(header, &claims, &key);
            let headers = [("dpop".parse().unwrap(), proof.parse().unwrap())];
            let request = Request {
                url: URL,
                token: Some("secret"),
                now_s: NOW_S,
            };
            check(&headers.into_iter().collect(), &request)
        };
        let good = result(&header, &claims).unwrap().unwrap();
        assert_eq!(good.jkt, key.key_id());
        for (name, value) in [
            ("htm", json!("GET")),
            ("htu", json!("https://issuer.example/openid4vci/credential")),
            ("iat", json!(NOW_S - 61)),
            ("iat", json!(NOW_S + 61)),
            ("ath", json!("x")),
            ("jti", json!(7)),
        ] {
            let mut changed = claims.clone();
            changed[name] = value;
            assert_eq!(
                result(&header, &changed).unwrap_err(),
                DpopError::Claim(name)
            );
        }
        let mut other = header.clone();
        other["typ"] = "jwt".into();
        assert_eq!(result(&other, &claims).unwrap_err(), DpopError::Typ);
        let mut private = header;
        private["jwk"]["d"] = "AA".into();
        let error = result(&private, &claims).unwrap_err();
        assert_eq!(
            (error.code(), error),
            ("invalid_dpop_proof", DpopError::Key(KeyError::PrivateJwk))
        );
        let nothing = Request {
            url: URL,
            token: None,
            now_s: NOW_S,
        };
        assert!(check(&HeaderMap::new(), &nothing).unwrap().is_none());
    }
}
