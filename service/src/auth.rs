//! Bearer tokens of an organisation's own systems (RFC 6750). The configuration holds SHA-256 digests, not tokens.

use crate::problem::Problem;
use axum::http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// Which systems may call: their name, and SHA-256 of their token in hexadecimal.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
pub struct BearerTokens(Vec<(String, [u8; 32])>);

/// A digest in the configuration that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the token of {0:?} is not a SHA-256 digest in hexadecimal (`printf %s TOKEN | sha256sum`)"
)]
pub struct NotADigest(pub String);

impl TryFrom<BTreeMap<String, String>> for BearerTokens {
    type Error = NotADigest;
    fn try_from(tokens: BTreeMap<String, String>) -> Result<Self, NotADigest> {
        let read = |(name, digest): (String, String)| {
            let mut bytes = [0; 32];
            match hex::decode_to_slice(&digest, &mut bytes) {
                Ok(()) => Ok((name, bytes)),
                Err(_) => Err(NotADigest(name)),
            }
        };
        tokens
            .into_iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// The digest of a token, as it stands in the configuration.
#[must_use]
pub fn token_digest(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

impl BearerTokens {
    /// The name of the system whose token the request carries. Takes the same time whichever token it is, and none.
    ///
    /// # Errors
    /// A 401 [`Problem`], the same for a missing and for a wrong token.
    pub fn check(&self, headers: &HeaderMap) -> Result<&str, Problem> {
        let token = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer") && token.len() <= 1024)
            .map_or("", |(_, token)| token.trim());
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let mut found = u32::MAX;
        for (index, (_, known)) in (0u32..).zip(&self.0) {
            let same: Choice = known.as_slice().ct_eq(digest.as_slice());
            found.conditional_assign(&index, same);
        }
        match self.0.get(usize::try_from(found).unwrap_or(usize::MAX)) {
            Some((name, _)) if !token.is_empty() => Ok(name),
            _ => Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "A bearer token of a known system is needed",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(value: &str) -> HeaderMap {
        [(header::AUTHORIZATION, value.parse().unwrap())]
            .into_iter()
            .collect()
    }

    #[test]
    fn only_known_tokens_pass() {
        let tokens: BearerTokens = toml::from_str(&format!(
            "emr = \"{}\"\nempty = \"{}\"\nlab = \"{}\"",
            token_digest("secret-1"),
            token_digest(""),
            token_digest("secret-2")
        ))
        .unwrap();
        assert_eq!(tokens.check(&request("Bearer secret-1")).unwrap(), "emr");
        assert_eq!(tokens.check(&request("bearer secret-2")).unwrap(), "lab");
        for wrong in [
            "Bearer secret-3",
            "Bearer ",
            "Bearer",
            "Basic secret-1",
            "secret-1",
        ] {
            assert_eq!(
                tokens.check(&request(wrong)).unwrap_err().status(),
                StatusCode::UNAUTHORIZED,
                "{wrong}"
            );
        }
        assert!(tokens.check(&HeaderMap::new()).is_err());
        assert!(BearerTokens::default().check(&request("Bearer x")).is_err());
        assert!(toml::from_str::<BearerTokens>("emr = \"secret-1\"").is_err());
    }
}
