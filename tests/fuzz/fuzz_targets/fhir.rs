//! FHIR resources: mapped, or refused with an outcome.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = serde_json::from_slice(data) {
        let _ = tegata_records::fhir::from_fhir(&value);
    }
});
