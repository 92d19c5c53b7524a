//! What bounds the rows that miss their goals. Each was read off a profile (`PROFILES.md`).

/// By the beginning of a row's name.
const BOUNDS: &[(&str, &str)] = &[
    (
        "SD-JWT VC issue, beside npm",
        "the signature: ed25519-dalek's raw rate is what allows no more; aws-lc-rs signs twice as fast, but not in the browser",
    ),
    (
        "SD-JWT VC verify with key binding",
        "two strict Ed25519 checks are three quarters; the rest reads JSON strictly and hashes disclosures",
    ),
    (
        "consent proof check",
        "the strict Ed25519 checks, nothing else; without AVX-512 they take half as long again",
    ),
    (
        "OpenID4VP response",
        "a presentation lies sealed to the operator's key: it is opened twice and sealed twice, each as long as a signature check; and the result is written, synced",
    ),
    (
        "ledger, grants",
        "each of four processes checks two signatures for every grant: curve arithmetic is the largest part of its processor time",
    ),
    (
        "finality",
        "the same processors: with four nodes and their client on two cores, a vote waits its turn",
    ),
    (
        "vault deposit of 512 KiB",
        "one synced write of the file, as the plain server's; then reading it strictly and hashing it",
    ),
    (
        "vault fetch",
        "the owner's signed request and three hops to threads that may block; for 512 KiB also a copy into the answer",
    ),
];

/// What bounds a row.
pub(crate) fn bound_of(row: &str) -> Option<&'static str> {
    let found = BOUNDS.iter().find(|(name, _)| row.starts_with(name));
    found.map(|(_, bound)| *bound)
}
