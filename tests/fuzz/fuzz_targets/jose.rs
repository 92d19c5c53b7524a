//! Compact JWS and JWE.
#![no_main]
use libfuzzer_sys::fuzz_target;
use tegata_credential::jwe::Jwe;
use tegata_credential::jws::Jws;
use tegata_credential::keys::{Algorithm, SigningKey};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let key = SigningKey::from_bytes(Algorithm::Es256, &[7; 32]).expect("a valid scalar");
    if let Ok(jws) = Jws::parse(text) {
        let _ = jws.verify(&key.public_key());
    }
    if let Ok(jwe) = Jwe::parse(text) {
        let _ = jwe.decrypt(&key, "k");
    }
});
