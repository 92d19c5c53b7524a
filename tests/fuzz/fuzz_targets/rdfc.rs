//! Canonical RDF: whatever the blank nodes are called, the same text comes out, after bounded work; and JSON-LD that leads to it.
//!
//! With named graphs only the work is bounded: RDFC-1.0 hashes a related node by position and predicate, not by the rest of
//! its quad, so that it does not always tell nodes apart that stand in two graphs (`eddsa-rdfc-2022.md`).
#![no_main]
use libfuzzer_sys::fuzz_target;
use tegata_credential::data_integrity::parse;
use tegata_w3c::eddsa_rdfc_2022;
use tegata_w3c::rdfc::{Quad, STEPS_MAX, Term, canonical_nquads};

fuzz_target!(|data: &[u8]| {
    if let Ok(document) = parse(data) {
        let _ = eddsa_rdfc_2022().canonical(document);
        return;
    }
    let has_graphs = data.len() % 4 == 1;
    let quads = |name: &dyn Fn(u8) -> u32| -> Vec<Quad> {
        let term = |byte: u8| match byte {
            0..192 => Term::Blank(name(byte)),
            _ => Term::Text(format!("<urn:x:{byte}>")),
        };
        data.as_chunks::<4>()
            .0
            .iter()
            .map(|&[subject, predicate, object, graph]| Quad {
                subject: term(subject),
                predicate: format!("<urn:p:{}>", predicate % 4),
                object: term(object),
                graph: (has_graphs && graph > 64).then(|| term(graph)),
            })
            .collect()
    };
    let ours = canonical_nquads(&quads(&|byte| u32::from(byte)), STEPS_MAX);
    let mut renamed = quads(&|byte| u32::from(byte ^ 0x5a) + 1000);
    renamed.reverse();
    // How much work a graph is may depend on the names; what comes out may not.
    let theirs = canonical_nquads(&renamed, STEPS_MAX);
    if let (false, Ok(ours), Ok(theirs)) = (has_graphs, ours, theirs) {
        assert_eq!(ours, theirs);
    }
});
