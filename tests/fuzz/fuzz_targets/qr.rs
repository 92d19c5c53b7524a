//! Health certificates (HCERT) and SMART Health Cards as QR texts: bounded however they are compressed.
#![no_main]
use libfuzzer_sys::fuzz_target;
use tegata_credential::hcert::Hcert;
use tegata_credential::smart_health_card::{SmartHealthCard, from_qr};
use tegata_credential::trust_list::TrustList;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let trusted = TrustList::default();
    if let Ok(certificate) = Hcert::parse(text) {
        let _ = certificate.verify(&trusted, 1_760_000_000);
    }
    let card = from_qr(text).unwrap_or_else(|_| text.to_owned());
    if let Ok(card) = SmartHealthCard::parse(&card) {
        let _ = card.verify(&trusted, 1_760_000_000);
    }
});
