//! Credentials and their status, checked with the issuer's keys from the registry.

use crate::json::thrown;
use serde_json::{Value, json};
use tegata_credential::keys::{Algorithm, PublicKey};
use tegata_credential::sd_jwt::SdJwt;
use tegata_credential::status_list::{StatusListToken, VerifiedStatusList};
use wasm_bindgen::prelude::*;

/// Verifies an SD-JWT VC with whichever of `keys` it names. `keys` are `EdDSA:<hexadecimal>` or `ES256:<hexadecimal>`, joined
/// by commas; `at_s` is the time of the check in seconds since 1970. Answers `{issuer, vct, claims, issuedAtS, expiresAtS, holder, key,
/// status}`, the holder's key in hexadecimal.
///
/// # Errors
/// With the stable code of the reason.
#[wasm_bindgen(js_name = verifyCredential)]
pub fn verify_credential(credential: &str, keys: &str, at_s: f64) -> Result<String, JsError> {
    let keys = read_keys(keys)?;
    let parsed = SdJwt::parse(credential).map_err(thrown)?;
    let find = |_: Option<&str>, id: Option<&str>| named(&keys, id);
    let verified = parsed.verify_with(find, seconds(at_s)).map_err(thrown)?;
    let status = verified
        .status()
        .map(|status| json!({ "uri": status.uri, "index": status.index }));
    Ok(json!({
        "issuer": verified.issuer(),
        "vct": verified.vct(),
        "claims": verified.claims(),
        "issuedAtS": verified.issued_at(),
        "expiresAtS": verified.expires_at(),
        "holder": verified.holder().map(|key| hex::encode(key.to_bytes())),
        "status": status,
    })
    .to_string())
}

/// Verifies a status list for `uri` with whichever of `keys` it names.
pub(crate) fn status_list(
    token: &str,
    keys: &str,
    uri: &str,
    at_s: f64,
) -> Result<VerifiedStatusList, JsError> {
    let keys = read_keys(keys)?;
    let token = StatusListToken::parse(token).map_err(thrown)?;
    let key = named(&keys, token.key_id())
        .ok_or_else(|| JsError::new("the status list is signed by an unknown key"))?;
    token.verify(&key, uri, seconds(at_s)).map_err(thrown)
}

/// Reads claims without believing them: `{issuer, vct, keyId, issuedAtS}`. Says whom to ask for keys.
///
/// # Errors
/// Where it is malformed.
#[wasm_bindgen(js_name = readCredential)]
pub fn read_credential(credential: &str) -> Result<String, JsError> {
    let parsed = SdJwt::parse(credential).map_err(thrown)?;
    let says: Value = json!({
        "issuer": parsed.issuer(), "vct": parsed.vct(), "keyId": parsed.key_id(), "issuedAtS": parsed.issued_at(),
    });
    Ok(says.to_string())
}

fn read_keys(text: &str) -> Result<Vec<PublicKey>, JsError> {
    text.split(',')
        .map(|key| {
            let (name, bytes) = key
                .split_once(':')
                .ok_or_else(|| JsError::new("a key is ALG:HEX"))?;
            let algorithm = Algorithm::from_name(name)
                .ok_or_else(|| JsError::new("the algorithm is EdDSA or ES256"))?;
            let bytes = hex::decode(bytes).map_err(thrown)?;
            PublicKey::from_bytes(algorithm, &bytes).map_err(thrown)
        })
        .collect()
}

/// The key with that id; without an id, the only key there is.
fn named(keys: &[PublicKey], id: Option<&str>) -> Option<PublicKey> {
    match (id, keys) {
        (Some(id), _) => keys
            .iter()
            .find(|key| key.key_id() == id || id.ends_with(&format!("#{}", key.key_id())))
            .copied(),
        (None, [only]) => Some(*only),
        (None, _) => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "seconds since 1970")]
fn seconds(at_s: f64) -> i64 {
    at_s as i64
}
