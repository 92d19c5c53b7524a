//! The one place that uses `identity-kit`: disclosures and their digests (RFC 9901 §4.2, §7.1,
//! §7.2). Texts and JSON in, texts and JSON out; none of its types leaves this module.

use identity_kit::sd_jwt_vc as kit;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::error::Part;
use super::{IssueError, Path, PathStep, PresentError, SdJwtError};
use crate::jws;

/// A payload with digests in place, and its encoded disclosures.
pub(super) struct Concealed {
    pub(super) payload: Map<String, Value>,
    pub(super) disclosures: Vec<String>,
}

/// Puts the claims at `paths` behind digests, with `decoys` more in every list. Salts are 128 bits
/// each, derived from `seed`.
pub(super) fn conceal(
    claims: Map<String, Value>,
    paths: &[Path],
    decoys: usize,
    seed: zeroize::Zeroizing<[u8; 32]>,
) -> Result<Concealed, IssueError> {
    let mut count = 0u64;
    let mut builder = kit::SdJwtBuilder::new(claims).with_salt_generator(move || {
        // One secret seed per credential: the salts are independent to everybody without it.
        let hash = Sha256::new()
            .chain_update(*seed)
            .chain_update(count.to_be_bytes())
            .finalize();
        count += 1;
        jws::encode(&hash[..16])
    });
    builder = builder.with_decoys(decoys);
    for path in paths {
        builder = builder.conceal(to_kit(path));
    }
    match builder.encode() {
        Ok(encoded) => Ok(Concealed {
            payload: encoded.payload,
            disclosures: encoded
                .disclosures
                .iter()
                .map(|d| d.as_str().to_owned())
                .collect(),
        }),
        Err(kit::SdJwtError::NoSuchClaim(path)) => Err(IssueError::NoSuchClaim(from_kit(&path))),
        // Depth, reserved names and randomness are ruled out before the builder is called.
        Err(kit::SdJwtError::TooDeep { .. }) => Err(IssueError::TooDeep),
        Err(_) => Err(IssueError::NotAnObject),
    }
}

/// What is left when the disclosures are put in place of their digests.
pub(super) struct Processed {
    pub(super) payload: Map<String, Value>,
    /// The disclosed claims, at the places they were issued in.
    pub(super) disclosed: Vec<Path>,
}

/// Matches disclosures to digests (RFC 9901 §7.1, step 3). `text` has no key binding JWT.
pub(super) fn process(text: &str) -> Result<Processed, SdJwtError> {
    let processed = parse(text)?
        .process()
        .map_err(|error| explain(text, error))?;
    Ok(Processed {
        disclosed: processed.disclosed_paths().map(from_kit).collect(),
        payload: processed.payload,
    })
}

/// `text` with the disclosures at and beneath `paths` alone, and those they are nested in.
pub(super) fn select(text: &str, paths: &[Path]) -> Result<String, PresentError> {
    let paths: Vec<_> = paths.iter().map(to_kit).collect();
    match parse(text)?.disclose(&paths) {
        Ok(selected) => Ok(selected.to_string()),
        Err(kit::SdJwtError::NoSuchClaim(path)) => Err(PresentError::NoSuchClaim(from_kit(&path))),
        Err(error) => Err(explain(text, error).into()),
    }
}

fn parse(text: &str) -> Result<kit::SdJwt, SdJwtError> {
    kit::SdJwt::parse(text).map_err(|error| explain(text, error))
}

/// Our error for theirs, naming disclosures by index: their text holds a person's data.
fn explain(text: &str, error: kit::SdJwtError) -> SdJwtError {
    use kit::SdJwtError as E;
    let index = |encoded: &str| {
        text.split('~')
            .skip(1)
            .position(|part| part == encoded)
            .unwrap_or_default()
    };
    match error {
        E::InvalidDisclosure { disclosure, .. } => {
            SdJwtError::DisclosureMalformed(index(&disclosure))
        }
        E::DuplicateDisclosure(disclosure) => SdJwtError::DisclosureDuplicate(index(&disclosure)),
        E::UnusedDisclosure(disclosure) => SdJwtError::DisclosureUnreferenced(index(&disclosure)),
        E::WrongDisclosureKind { disclosure, .. } => {
            SdJwtError::DisclosureWrongKind(index(&disclosure))
        }
        E::UnsupportedHashAlgorithm(name) => SdJwtError::HashUnsupported(name),
        E::DuplicateDigest(digest) => SdJwtError::DigestDuplicate(digest),
        E::ReservedClaimName(name) => SdJwtError::NameReserved(name),
        E::DuplicateClaim { name, .. } => SdJwtError::ClaimDuplicate(name),
        E::TooDeep { .. } => SdJwtError::TooDeep,
        E::Payload { .. } => SdJwtError::PayloadMalformed,
        _ => SdJwtError::Malformed(Part::Issuer),
    }
}

fn to_kit(path: &Path) -> kit::ClaimPath {
    kit::ClaimPath::new(path.steps().iter().map(|step| match step {
        PathStep::Name(name) => kit::PathComponent::Key(name.clone()),
        PathStep::Index(index) => kit::PathComponent::Index(*index),
        PathStep::All => kit::PathComponent::All,
    }))
}

fn from_kit(path: &kit::ClaimPath) -> Path {
    Path::new(path.components().iter().map(|component| match component {
        kit::PathComponent::Key(name) => PathStep::Name(name.clone()),
        kit::PathComponent::Index(index) => PathStep::Index(*index),
        kit::PathComponent::All => PathStep::All,
    }))
}
