//! Signed requests of a vault's owner (RFC 9421; `specs/API.md`, "Signed requests").

use ed25519_dalek::Signer;
use ed25519_dalek::SigningKey;
use tegata_consent::cose::public_key;

/// The two headers of a signed request.
pub(crate) struct Signature {
    /// `Signature-Input`.
    pub(crate) input: String,
    /// The raw signature, for `Signature`.
    pub(crate) signature: [u8; 64],
}

/// Signs method, target and, where there is a body, its digest (the value of `Content-Digest`).
pub(crate) fn sign(
    key: &SigningKey,
    method: &str,
    target: &str,
    digest: Option<&str>,
    created_s: u64,
    nonce: &str,
) -> Signature {
    let components = if digest.is_some() {
        r#"("@method" "@target-uri" "content-digest")"#
    } else {
        r#"("@method" "@target-uri")"#
    };
    let vault = public_key(key);
    let parameters = format!(
        r#"{components};created={created_s};nonce="{nonce}";keyid="vault:{vault}";alg="ed25519";tag="tegata""#
    );
    let mut base = format!("\"@method\": {method}\n\"@target-uri\": {target}\n");
    if let Some(digest) = digest {
        base.push_str(&format!("\"content-digest\": {digest}\n"));
    }
    base.push_str(&format!("\"@signature-params\": {parameters}"));
    Signature {
        input: format!("sig={parameters}"),
        signature: key.sign(base.as_bytes()).to_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signature as Ed25519, Verifier};

    #[test]
    fn the_signature_covers_exactly_the_base_of_rfc_9421() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let signed = sign(
            &key,
            "PUT",
            "http://host.localhost/v1/vaults/ab",
            Some("sha-256=:AA==:"),
            1_760_000_000,
            "bm9uY2U",
        );
        let parameters = signed.input.strip_prefix("sig=").expect("the label is sig");
        let base = format!(
            "\"@method\": PUT\n\"@target-uri\": http://host.localhost/v1/vaults/ab\n\"content-digest\": sha-256=:AA==:\n\"@signature-params\": {parameters}"
        );
        key.verifying_key()
            .verify(base.as_bytes(), &Ed25519::from_bytes(&signed.signature))
            .unwrap();
        let other = base.replace("PUT", "GET");
        assert!(
            key.verifying_key()
                .verify(other.as_bytes(), &Ed25519::from_bytes(&signed.signature))
                .is_err()
        );
        assert!(parameters.starts_with(r#"("@method" "@target-uri" "content-digest");created=1760000000;nonce="bm9uY2U";keyid="vault:"#));
    }
}
