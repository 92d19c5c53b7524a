//! Secret keys from files, as others' tools write them: PKCS#8 in PEM (RFC 5958, RFC 7468) as
//! `openssl genpkey` writes it, SEC1 in PEM (RFC 5915) as `openssl ecparam -genkey` does, or a private JWK (RFC 7517).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::pkcs8::DecodePrivateKey as _;
use serde_json::Value;
use zeroize::{Zeroize as _, Zeroizing};

use crate::json;
use crate::jws;
use crate::keys::{Algorithm, KeyError, SigningKey};

/// The longest file read, in bytes.
pub const MAX_BYTES: usize = 16 * 1024;
/// What stands before the 32 octets of an Ed25519 key in PKCS#8 (RFC 8410 §7).
const ED25519_HEAD: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

const TOO_LONG: KeyError = KeyError::File("longer than 16 KiB: this is no key");
const NOT_PEM: KeyError = KeyError::File(
    "this is no secret key: it should be PEM (`openssl genpkey -algorithm ed25519`) or a private JWK",
);
const NOT_KEY: KeyError = KeyError::File(
    "this PEM holds no Ed25519 or P-256 secret key: make one with `openssl genpkey -algorithm ed25519`",
);
const PUBLIC: KeyError =
    KeyError::File("this is a public key or certificate: signing needs the secret key");
const ENCRYPTED: KeyError = KeyError::File(
    "this key is encrypted: decrypt it with `openssl pkey -in FILE -out NEW`, and keep that file to yourself",
);
const RSA: KeyError = KeyError::File("this is an RSA key: we sign with Ed25519 or P-256");

/// Reads a P-256 or Ed25519 key. No error repeats any of the text: it is secret.
///
/// # Errors
/// [`KeyError::Jwk`] naming the member at fault, [`KeyError::File`], [`KeyError::InvalidSecret`].
pub fn parse(text: &str) -> Result<SigningKey, KeyError> {
    if text.len() > MAX_BYTES {
        return Err(TOO_LONG);
    }
    match text.trim() {
        text if text.starts_with('{') => from_jwk(text),
        text => from_pem(text),
    }
}

fn from_jwk(text: &str) -> Result<SigningKey, KeyError> {
    let mut jwk = json::parse_object(text.as_bytes()).map_err(|_| KeyError::Jwk("kty"))?;
    let member = |name| jwk.get(name).and_then(Value::as_str);
    let algorithm = match (member("kty"), member("crv")) {
        (Some("OKP"), Some("Ed25519")) => Algorithm::EdDsa,
        (Some("EC"), Some("P-256")) => Algorithm::Es256,
        (Some("RSA"), _) => return Err(RSA),
        (Some("OKP" | "EC"), _) => return Err(KeyError::Jwk("crv")),
        _ => return Err(KeyError::Jwk("kty")),
    };
    let secret = member("d").ok_or(PUBLIC)?;
    let secret = jws::decode(secret).map_err(|_| KeyError::Jwk("d"))?;
    let secret = Zeroizing::new(secret);
    let secret: &[u8; 32] = secret
        .as_slice()
        .try_into()
        .map_err(|_| KeyError::Jwk("d"))?;
    let key = SigningKey::from_bytes(algorithm, secret)?;
    if let Some(Value::String(text)) = jwk.get_mut("d") {
        text.zeroize();
    }
    let public = key.public_key().to_jwk();
    match ["x", "y"]
        .into_iter()
        .find(|name| jwk.get(*name) != public.get(*name))
    {
        Some(name) => Err(KeyError::Jwk(name)), // the public half is another key's
        None => Ok(key),
    }
}

fn from_pem(text: &str) -> Result<SigningKey, KeyError> {
    let p256 = |key: p256::SecretKey| {
        let secret = Zeroizing::new(<[u8; 32]>::from(key.to_bytes()));
        SigningKey::from_bytes(Algorithm::Es256, &secret)
    };
    let is = |label: &str| text.contains(&format!("-----BEGIN {label}-----"));
    if let Some(at) = text.find("-----BEGIN EC PRIVATE KEY-----") {
        // `openssl ecparam` writes the curve's name before it.
        return p256(p256::SecretKey::from_sec1_pem(&text[at..]).map_err(|_| NOT_KEY)?);
    }
    let Some(body) = text
        .strip_prefix("-----BEGIN PRIVATE KEY-----")
        .and_then(|rest| rest.strip_suffix("-----END PRIVATE KEY-----"))
    else {
        return Err(match () {
            () if is("PUBLIC KEY") || is("CERTIFICATE") => PUBLIC,
            () if is("ENCRYPTED PRIVATE KEY") => ENCRYPTED,
            () if is("RSA PRIVATE KEY") => RSA,
            () => NOT_PEM,
        });
    };
    if let Ok(key) = p256::SecretKey::from_pkcs8_pem(text) {
        return p256(key);
    }
    let body: Zeroizing<String> = Zeroizing::new(body.split_whitespace().collect());
    let der = Zeroizing::new(STANDARD.decode(body.as_str()).map_err(|_| NOT_KEY)?);
    let secret = der.strip_prefix(&ED25519_HEAD).ok_or(NOT_KEY)?;
    let secret: &[u8; 32] = secret.try_into().map_err(|_| NOT_KEY)?;
    SigningKey::from_bytes(Algorithm::EdDsa, secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8410 §10.3 and RFC 8037 appendix A.1.
    #[test]
    fn keys_of_the_standards() {
        let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
        let key = parse(pem).unwrap();
        assert_eq!(
            key.public_key().to_jwk()["x"],
            "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE"
        );
        let jwk = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        assert_eq!(
            parse(jwk).unwrap().key_id(),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }

    /// PEM's lines of 64 characters.
    fn lines(der: &[u8]) -> String {
        let body = STANDARD.encode(der);
        let starts = (0..body.len()).step_by(64);
        let lines: Vec<&str> = starts
            .map(|at| &body[at..body.len().min(at + 64)])
            .collect();
        lines.join("\n")
    }

    /// RFC 7515 appendix A.3's key, as a JWK and as `openssl pkcs8 -topk8 -nocrypt` writes it.
    #[test]
    fn a_p256_key_both_ways() {
        let jwk = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;
        let key = parse(jwk).unwrap();
        assert_eq!(key.algorithm(), Algorithm::Es256);
        let head = "308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420";
        let jwk = key.public_key().to_jwk();
        let part = |name: &str| jws::decode(jwk[name].as_str().unwrap()).unwrap();
        let der = [
            hex::decode(head).unwrap(),
            key.to_bytes().to_vec(),
            hex::decode("a14403420004").unwrap(),
            part("x"),
            part("y"),
        ]
        .concat();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            lines(&der)
        );
        assert_eq!(parse(&pem).unwrap().key_id(), key.key_id());
        // RFC 5915, with the curve's name before it as `openssl ecparam -name prime256v1 -genkey` writes it.
        let der = [
            hex::decode("30770201010420").unwrap(),
            key.to_bytes().to_vec(),
            hex::decode("a00a06082a8648ce3d030107a14403420004").unwrap(),
            part("x"),
            part("y"),
        ]
        .concat();
        let pem = format!(
            "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n-----BEGIN EC PRIVATE KEY-----\n{}\n-----END EC PRIVATE KEY-----\n",
            lines(&der)
        );
        assert_eq!(parse(&pem).unwrap().key_id(), key.key_id());
    }

    #[test]
    fn says_what_it_is_instead() {
        for (text, words) in [
            (
                "-----BEGIN PUBLIC KEY-----\nAA\n-----END PUBLIC KEY-----",
                "public key",
            ),
            (
                "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----",
                "certificate",
            ),
            (
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA\n-----END ENCRYPTED PRIVATE KEY-----",
                "encrypted",
            ),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nAA\n-----END RSA PRIVATE KEY-----",
                "RSA",
            ),
            (r#"{"kty":"RSA","n":"AA","e":"AQAB"}"#, "RSA"),
            (
                r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
                "public key",
            ),
            ("hello", "no secret key"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.code(), "key_file_invalid", "{text}");
            assert!(error.to_string().contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn refuses_what_is_no_key_without_repeating_it() {
        for text in [
            "",
            "secret",
            "{}",
            r#"{"kty":"EC","crv":"P-256","d":"AA"}"#,
            "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----",
            r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE"}"#,
        ] {
            let error = parse(text).unwrap_err();
            assert!(
                matches!(error, KeyError::Jwk(_) | KeyError::File(_)),
                "{text}"
            );
            assert!(!error.to_string().contains("nWGxne"));
        }
    }
}
