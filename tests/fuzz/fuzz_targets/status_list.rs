//! Token Status List: bounded however it is compressed.
#![no_main]
use libfuzzer_sys::fuzz_target;
use tegata_credential::keys::{Algorithm, SigningKey};
use tegata_credential::status_list::StatusListToken;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let key = SigningKey::from_bytes(Algorithm::EdDsa, &[7; 32]).expect("any seed");
    if let Ok(token) = StatusListToken::parse(text) {
        let _ = token.verify(&key.public_key(), "https://a.example/1", 1_760_000_000);
    }
});
