//! Nonces (OpenID4VCI 1.0 §7). A nonce carries its expiry and a tag by which the issuer knows it again, so that whoever
//! asks for many fills no disk; only the used ones are kept, until they expire.

use crate::http::Shared;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use subtle::ConstantTimeEq;
use tegata_consent::ids::hash;
use tegata_credential::jws::{decode, encode};
use tegata_service::clock::now_ms;

const RANDOM_BYTES: usize = 16;
const EXPIRY_BYTES: usize = 8;
const TAG_BYTES: usize = 16;

/// Gives out a nonce for proofs of possession.
#[utoipa::path(post, path = "/openid4vci/nonce", responses((status = 200, description = "`{\"c_nonce\"}`")))]
pub(crate) async fn fresh(State(issuer): Shared) -> Response {
    let openid4vci = issuer.openid4vci();
    let expires_ms = now_ms() + openid4vci.config.nonce_ttl_s * 1000;
    let nonce = make(&openid4vci.secret, expires_ms, rand::random());
    let headers = [(header::CACHE_CONTROL, "no-store")];
    (headers, axum::Json(json!({ "c_nonce": nonce }))).into_response()
}

/// A nonce that is good until `expires_ms`.
pub(super) fn make(secret: &[u8; 32], expires_ms: u64, random: [u8; RANDOM_BYTES]) -> String {
    let expiry = expires_ms.to_be_bytes();
    let tag = tag(secret, &random, &expiry);
    encode(&[random.as_slice(), &expiry, &tag].concat())
}

/// When a nonce of ours expires, in milliseconds since 1970; absent for one that is not ours, or has expired.
pub(super) fn check(secret: &[u8; 32], nonce: &str, now_ms: u64) -> Option<u64> {
    if nonce.len() > 2 * (RANDOM_BYTES + EXPIRY_BYTES + TAG_BYTES) {
        return None;
    }
    let bytes = decode(nonce).ok()?;
    let (random, rest) = bytes.split_first_chunk::<RANDOM_BYTES>()?;
    let (expiry, found) = rest.split_first_chunk::<EXPIRY_BYTES>()?;
    let is_ours: bool = tag(secret, random, expiry).as_slice().ct_eq(found).into();
    let expires_ms = u64::from_be_bytes(*expiry);
    (is_ours && now_ms < expires_ms).then_some(expires_ms)
}

/// All parts have a fixed length, and the secret comes first: nobody without it extends or makes one.
fn tag(
    secret: &[u8; 32],
    random: &[u8; RANDOM_BYTES],
    expiry: &[u8; EXPIRY_BYTES],
) -> [u8; TAG_BYTES] {
    let whole = hash("tegata/v1/issuer/c-nonce", &[secret, random, expiry]);
    *whole.first_chunk().expect("a hash is longer than a tag")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ours_and_only_until_they_expire() {
        let secret = [7; 32];
        let nonce = make(&secret, 1_000, [1; 16]);
        assert_eq!(check(&secret, &nonce, 999), Some(1_000));
        assert_eq!(check(&secret, &nonce, 1_000), None);
        assert_eq!(check(&[8; 32], &nonce, 999), None);
        assert_ne!(nonce, make(&secret, 1_000, [2; 16]));
        let bytes = decode(&nonce).unwrap();
        for index in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[index] ^= 1;
            assert_eq!(check(&secret, &encode(&altered), 0), None, "byte {index}");
        }
        for wrong in ["", "AA", "!", &"A".repeat(1_000), &format!("{nonce}AAAA")] {
            assert_eq!(check(&secret, wrong, 0), None);
        }
    }
}
