//! What bounds the rows that miss their goals. Each was read off a profile (`PROFILES.md`).

/// By the beginning of a row's name.
const BOUNDS: &[(&str, &str)] = &[(
    "consent proof check, 10 validators",
    "seven strict Ed25519 checks, nothing else; dalek's AVX-512 backend would take two thirds of the time",
)];

/// What bounds a row.
pub(crate) fn bound_of(row: &str) -> Option<&'static str> {
    let found = BOUNDS.iter().find(|(name, _)| row.starts_with(name));
    found.map(|(_, bound)| *bound)
}
