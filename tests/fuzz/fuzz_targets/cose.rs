//! CBOR that others sign: the content of a health certificate, a status list as CWT.
#![no_main]
use libfuzzer_sys::fuzz_target;
use tegata_credential::keys::{Algorithm, SigningKey};
use tegata_credential::status_list::StatusListCwt;

fuzz_target!(|data: &[u8]| {
    let key = SigningKey::from_bytes(Algorithm::EdDsa, &[7; 32]).expect("any seed");
    if let Ok(token) = StatusListCwt::parse(data) {
        let _ = token.verify(&key.public_key(), "https://a.example/1", 1_760_000_000);
    }
});
