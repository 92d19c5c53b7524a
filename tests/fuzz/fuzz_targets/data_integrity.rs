//! W3C credentials and presentations, Bitstring Status Lists, DIDs and their documents.
#![no_main]
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use tegata_credential::bitstring::Bitstring;
use tegata_credential::data_integrity::{
    Contexts, EddsaJcs2022, HolderRule, PresentationPolicy, Verifier, parse,
};
use tegata_credential::did::{Did, DidDocument, resolve};

fuzz_target!(|data: &[u8]| {
    let contexts = Contexts::default();
    let answer = |did: &Did| {
        resolve(did, |did| Ok(DidDocument::for_organisation(did, &[]))).map(Arc::new)
    };
    let verifier = Verifier {
        suites: &[&EddsaJcs2022],
        contexts: &contexts,
        resolve: &answer,
        at: 1_760_000_000,
    };
    let policy = PresentationPolicy {
        challenge: None,
        domain: None,
        holder: HolderRule::Anybody,
    };
    if parse(data).is_ok() {
        let _ = verifier.credential(data);
        let _ = verifier.presentation(data, &policy);
    }
    let _ = DidDocument::parse(data);
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Bitstring::decode(text);
        if let Ok(did) = Did::parse(text) {
            let _ = (did.own_document(), did.web_url());
        }
    }
});
