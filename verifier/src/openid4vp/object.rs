//! The signed request object (OpenID4VP 1.0 §5), as a wallet fetches it from `request_uri`.

use super::rows::PresentationRow;
use super::{PresentationId, Presentations};
use serde_json::{Map, Value, json};
use tegata_credential::keys::{Algorithm, SigningKey};
use tegata_credential::openid4vp::{KeyName, WALLET_AUDIENCE, sign_request};

/// Signs the request object of a presentation. `wallet_nonce` is what the wallet sent, where it came by POST.
pub(super) fn request_object(
    setup: &Presentations,
    id: &PresentationId,
    row: &PresentationRow,
    wallet_nonce: Option<&str>,
    now_s: i64,
) -> String {
    let mut payload = Map::new();
    let mut put = |name: &str, value: Value| payload.insert(name.to_owned(), value);
    put("response_type", "vp_token".into());
    put("response_mode", row.response_mode.name().into());
    put("client_id", row.client_id.as_str().into());
    put("aud", WALLET_AUDIENCE.into());
    put("nonce", row.nonce.as_str().into());
    put("state", row.state.expose().into());
    put("iat", now_s.into());
    put("exp", (row.expires_ms / 1000).into());
    let response_uri = format!(
        "{}/v1/presentations/{}/response",
        setup.public_url,
        hex::encode(id)
    );
    put("response_uri", response_uri.into());
    put("dcql_query", row.query.clone());
    put("client_metadata", client_metadata(row));
    if row.transaction_data.is_empty() {
        put("verifier_info", json!([row.asked.to_verifier_info()]));
    } else {
        put("transaction_data", row.transaction_data.clone().into());
    }
    if let Some(nonce) = wallet_nonce {
        put("wallet_nonce", nonce.into());
    }
    let name = match &row.key_url {
        Some(url) => KeyName::DidUrl(url),
        None => KeyName::Certificates(&setup.certificates),
    };
    sign_request(&payload, name, &setup.key)
}

fn client_metadata(row: &PresentationRow) -> Value {
    let algorithms = ["ES256", "EdDSA"];
    let mut metadata = json!({
        "client_name": row.client_name,
        "vp_formats_supported": { "dc+sd-jwt": {
            "sd-jwt_alg_values": algorithms, "kb-jwt_alg_values": algorithms,
        } },
    });
    if let Some(key) = response_key(row) {
        let mut jwk = key.public_key().to_jwk();
        jwk["use"] = "enc".into();
        jwk["alg"] = "ECDH-ES".into();
        jwk["kid"] = key.key_id().into();
        metadata["jwks"] = json!({ "keys": [jwk] });
        metadata["encrypted_response_enc_values_supported"] = json!(["A128GCM", "A256GCM"]);
    }
    metadata
}

/// The key that the response is encrypted to, where it is.
pub(super) fn response_key(row: &PresentationRow) -> Option<SigningKey> {
    let mut bytes = zeroize::Zeroizing::new([0; 32]);
    hex::decode_to_slice(row.response_secret.as_ref()?.expose(), bytes.as_mut_slice()).ok()?;
    SigningKey::from_bytes(Algorithm::Es256, &bytes).ok()
}
