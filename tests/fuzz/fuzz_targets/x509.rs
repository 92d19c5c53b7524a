//! Certificates and chains.
#![no_main]
use libfuzzer_sys::fuzz_target;
use tegata_credential::x509::{Certificate, verify_chain};

fuzz_target!(|data: &[u8]| {
    if let Ok(certificate) = Certificate::from_der(data) {
        let _ = (certificate.public_key(), certificate.subject(), certificate.dns_names());
        let chain = [certificate.clone(), certificate];
        let _ = verify_chain(&chain, &chain[1..], 1_760_000_000);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Certificate::all_from_pem(text);
        let _ = Certificate::from_base64(text);
    }
});
