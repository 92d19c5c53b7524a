//! Trust lists and key files, whatever they are made of.
#![no_main]
use libfuzzer_sys::fuzz_target;
use tegata_credential::key_file;
use tegata_credential::trust_list::TrustList;

fuzz_target!(|data: &[u8]| {
    let _ = TrustList::parse(data);
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = key_file::parse(text);
    }
});
