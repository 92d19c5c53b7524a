//! Key proofs of type `jwt` (OpenID4VCI 1.0 appendix F.1): that a wallet holds the key that a copy is bound to. No I/O.

use tegata_credential::CLOCK_SKEW_S;
use tegata_credential::jws::{Jws, JwsFault};
use tegata_credential::keys::{KeyError, PublicKey};

/// `typ` of a key proof.
const TYP: &str = "openid4vci-proof+jwt";
/// Longest proof in bytes.
const MAX_BYTES: usize = 8 << 10;
/// How old a proof may be, in seconds.
const AGE_MAX_S: i64 = 300;

/// What a proof must be for.
pub(super) struct Expected<'a> {
    /// The credential issuer identifier.
    pub(super) audience: &'a str,
    /// The wallet, where it is known.
    pub(super) client: Option<&'a str>,
    /// Unix seconds.
    pub(super) now_s: i64,
}

/// A proof that holds; whether its nonce does is another question.
#[derive(Debug)]
pub(super) struct Proof {
    pub(super) holder: PublicKey,
    pub(super) nonce: String,
}

/// Why a proof is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProofError {
    #[error("the proof is too large")]
    TooLarge,
    #[error("the proof: {0}")]
    Jws(#[from] JwsFault),
    #[error("typ is not openid4vci-proof+jwt")]
    Typ,
    #[error("the proof names its key by other means than jwk")]
    OtherKey,
    #[error("jwk is missing")]
    NoKey,
    #[error("jwk: {0}")]
    Key(#[from] KeyError),
    #[error("aud is not this credential issuer")]
    Audience,
    #[error("iss is not the client")]
    Client,
    #[error("nonce is missing")]
    NoNonce,
    #[error("iat is missing, too old, or in the future")]
    Time,
}

impl ProofError {
    /// The standard's code.
    pub(super) const fn code(&self) -> &'static str {
        "invalid_proof"
    }
}

/// Checks a proof.
pub(super) fn check(proof: &str, expected: &Expected<'_>) -> Result<Proof, ProofError> {
    if proof.len() > MAX_BYTES {
        return Err(ProofError::TooLarge);
    }
    let jws = Jws::parse(proof)?;
    let header = jws.header();
    if header.get("typ").and_then(|typ| typ.as_str()) != Some(TYP) {
        return Err(ProofError::Typ);
    }
    // A verifier of two keys could take either: one only, and in the proof itself.
    if ["kid", "x5c", "trust_chain"]
        .iter()
        .any(|name| header.contains_key(*name))
    {
        return Err(ProofError::OtherKey);
    }
    let holder = PublicKey::from_jwk(header.get("jwk").ok_or(ProofError::NoKey)?)?;
    jws.verify(&holder)?;
    let text = |name: &str| jws.payload().get(name).and_then(|value| value.as_str());
    if text("aud") != Some(expected.audience) {
        return Err(ProofError::Audience);
    }
    if jws.payload().contains_key("iss")
        && (text("iss").is_none() || text("iss") != expected.client)
    {
        return Err(ProofError::Client);
    }
    let iat = jws.payload().get("iat").and_then(|iat| iat.as_i64());
    let fresh = expected.now_s - AGE_MAX_S..=expected.now_s + CLOCK_SKEW_S;
    if !iat.is_some_and(|iat| fresh.contains(&iat)) {
        return Err(ProofError::Time);
    }
    let nonce = text("nonce").ok_or(ProofError::NoNonce)?.to_owned();
    Ok(Proof { holder, nonce })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, Value, json};
    use tegata_credential::jws::{encode, sign_with_header};
    use tegata_credential::keys::{Algorithm, SigningKey};

    const NOW_S: i64 = 1_760_000_000;
    const ISSUER: &str = "https://issuer.example";

    fn key(fill: u8) -> SigningKey {
        SigningKey::from_bytes(Algorithm::Es256, &[fill; 32]).unwrap()
    }

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn claims() -> Value {
        json!({ "aud": ISSUER, "iat": NOW_S, "nonce": "n" })
    }

    fn with(base: &Value, name: &str, value: Value) -> Value {
        let mut changed = base.clone();
        if value.is_null() {
            changed.as_object_mut().unwrap().remove(name);
        } else {
            changed[name] = value;
        }
        changed
    }

    fn refusal(proof: &str, client: Option<&str>) -> ProofError {
        let expected = Expected {
            audience: ISSUER,
            client,
            now_s: NOW_S,
        };
        let error = check(proof, &expected).unwrap_err();
        assert_eq!(error.code(), "invalid_proof");
        error
    }

    #[test]
    fn a_proof_of_either_kind_of_key_holds() {
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
            let key = SigningKey::from_bytes(algorithm, &[3; 32]).unwrap();
            let header = json!({ "typ": TYP, "jwk": key.public_key().to_jwk() });
            let claims = with(&claims(), "iss", "wallet".into());
            let proof = sign_with_header(object(header), &object(claims), &key);
            let expected = Expected {
                audience: ISSUER,
                client: Some("wallet"),
                now_s: NOW_S,
            };
            let checked = check(&proof, &expected).unwrap();
            assert_eq!(
                (checked.holder, checked.nonce.as_str()),
                (key.public_key(), "n")
            );
        }
    }

    #[test]
    fn every_part_of_a_proof_is_checked() {
        let key = key(3);
        let header = json!({ "typ": TYP, "jwk": key.public_key().to_jwk() });
        let signed = |header: &Value, claims: &Value| {
            sign_with_header(object(header.clone()), &object(claims.clone()), &key)
        };
        let good = claims();
        for (name, value, error) in [
            ("aud", json!("https://other.example"), ProofError::Audience),
            ("aud", Value::Null, ProofError::Audience),
            ("aud", json!([ISSUER]), ProofError::Audience),
            ("iat", json!(NOW_S - 301), ProofError::Time),
            ("iat", json!(NOW_S + 61), ProofError::Time),
            ("iat", json!("1760000000"), ProofError::Time),
            ("iat", Value::Null, ProofError::Time),
            ("nonce", Value::Null, ProofError::NoNonce),
            ("nonce", json!(7), ProofError::NoNonce),
            ("iss", json!("stranger"), ProofError::Client),
            ("iss", json!(7), ProofError::Client),
        ] {
            let proof = signed(&header, &with(&good, name, value));
            assert_eq!(refusal(&proof, Some("wallet")), error, "{name}");
        }
        let anonymous = signed(&header, &with(&good, "iss", "wallet".into()));
        assert_eq!(refusal(&anonymous, None), ProofError::Client);
        let other = self::key(4).public_key().to_jwk();
        let mut private = key.public_key().to_jwk();
        private["d"] = encode(&*key.to_bytes()).into();
        let symmetric = json!({ "kty": "oct", "k": "AAAA" });
        for (name, value, error) in [
            ("typ", json!("jwt"), ProofError::Typ),
            ("typ", Value::Null, ProofError::Typ),
            ("jwk", Value::Null, ProofError::NoKey),
            ("jwk", other, ProofError::Jws(JwsFault::Signature)),
            ("jwk", private, ProofError::Key(KeyError::PrivateJwk)),
            ("jwk", symmetric, ProofError::Key(KeyError::Jwk("crv"))),
            ("kid", json!("k"), ProofError::OtherKey),
            ("x5c", json!([]), ProofError::OtherKey),
            ("crit", json!(["x"]), ProofError::Jws(JwsFault::Crit)),
        ] {
            let proof = signed(&with(&header, name, value), &good);
            assert_eq!(refusal(&proof, None), error, "{name}");
        }
        assert_eq!(refusal(&"A".repeat(9_000), None), ProofError::TooLarge);
    }

    #[test]
    fn unsigned_and_symmetric_algorithms_are_refused() {
        let key = key(3);
        for (alg, fault) in [
            ("none", JwsFault::AlgNone),
            ("None", JwsFault::AlgNone),
            ("HS256", JwsFault::AlgUnsupported("HS256".into())),
            ("ES384", JwsFault::AlgUnsupported("ES384".into())),
            ("EdDSA", JwsFault::AlgMismatch),
        ] {
            let header = json!({ "typ": TYP, "alg": alg, "jwk": key.public_key().to_jwk() });
            let input = format!(
                "{}.{}",
                encode(header.to_string().as_bytes()),
                encode(claims().to_string().as_bytes())
            );
            let proof = format!("{input}.{}", encode(&key.sign(input.as_bytes())));
            assert_eq!(refusal(&proof, None), ProofError::Jws(fault), "{alg}");
        }
        let twice = format!(r#"{{"typ":"{TYP}","alg":"ES256","alg":"ES256"}}"#);
        let proof = format!("{}.e30.AA", encode(twice.as_bytes()));
        let error = refusal(&proof, None);
        assert!(
            matches!(error, ProofError::Jws(JwsFault::Json(_))),
            "{error}"
        );
    }
}
