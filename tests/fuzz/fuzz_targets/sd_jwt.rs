//! SD-JWT VC, with and without key binding.
#![no_main]
use libfuzzer_sys::fuzz_target;
use tegata_credential::keys::{Algorithm, SigningKey};
use tegata_credential::sd_jwt::{KeyBindingPolicy, SdJwt};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(credential) = SdJwt::parse(text) else {
        return;
    };
    let key = SigningKey::from_bytes(Algorithm::EdDsa, &[7; 32]).expect("any seed");
    let policy = KeyBindingPolicy {
        audience: "https://v.example",
        nonce: "n",
        max_age_s: 300,
    };
    let _ = credential.verify(&key.public_key(), 1_760_000_000);
    let _ = credential.verify_with_key_binding(&key.public_key(), &policy, 1_760_000_000);
});
