//! OpenID4VP: request objects, what they say of consent, queries.
#![no_main]
use libfuzzer_sys::fuzz_target;
use tegata_consent::over_asking;
use tegata_consent::presentation::PresentedConsent;
use tegata_credential::dcql::DcqlQuery;
use tegata_credential::openid4vp::{Expected, RequestObject, TransactionData};

fuzz_target!(|data: &[u8]| {
    let _ = PresentedConsent::parse(data);
    let _ = over_asking::RequestObject::parse(data);
    if let Ok(query) = DcqlQuery::parse(data) {
        let _ = query.answered(&serde_json::json!({"a": ["b"]}));
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = TransactionData::parse(text);
        if let Ok(request) = RequestObject::parse(text) {
            let client_id = request.client_id().to_string();
            let expected = Expected {
                client_id: &client_id,
                wallet_nonce: None,
            };
            let _ = request.verify(&expected, |_| None, 1_760_000_000);
        }
    }
});
