//! SD-JWT VC: a signed record whose claims its holder can show one by one.
//!
//! RFC 9901 (SD-JWT, SD-JWT+KB) in the compact serialisation, and draft-ietf-oauth-sd-jwt-vc with
//! `typ: dc+sd-jwt`. The page is `sd-jwt-vc.md`. Digests are SHA-256 only. Building, matching and
//! selecting disclosures is done by `identity-kit`, in the private module `kit` and nowhere else;
//! bounds, strict JSON, signatures, times and key binding are done here.
//!
//! [`SdJwt`] is unverified: it answers what the credential *says*. [`VerifiedSdJwt`] and
//! [`VerifiedPresentation`] have private constructors: whoever holds one, verified it.

mod batch;
mod error;
mod issue;
mod kit;
mod path;
mod present;
mod verify;

pub use batch::{BatchCopy, ISSUED_TO_THE_S, issue_batch};
pub use error::{IssueError, Part, PresentError, SdJwtError};
pub use issue::{Issuance, issue};
pub use path::{Path, PathStep};
pub use present::KeyBinding;
pub use verify::{KeyBindingPolicy, SdJwt, VerifiedPresentation, VerifiedSdJwt};

/// The longest credential or presentation read or issued, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;
/// The most disclosures in one credential.
pub const MAX_DISCLOSURES: usize = 1024;
/// The deepest nesting of containers read, in every part and after processing.
pub const MAX_DEPTH: usize = crate::json::MAX_DEPTH;
/// The deepest nesting of containers issued; less than [`MAX_DEPTH`], because disclosures and
/// placeholders add containers of their own.
pub const MAX_ISSUED_DEPTH: usize = 16;
/// `typ` of the issuer-signed JWT.
pub const TYP: &str = "dc+sd-jwt";
/// `typ` of the key binding JWT.
pub const KEY_BINDING_TYP: &str = "kb+jwt";
/// The media type of a credential.
pub const MEDIA_TYPE: &str = "application/dc+sd-jwt";

/// Claims with a meaning of their own: set through [`Issuance`], read through accessors, never
/// among the claims about the subject.
pub const REGISTERED_CLAIMS: [&str; 11] = [
    "iss",
    "iat",
    "nbf",
    "exp",
    "sub",
    "jti",
    "vct",
    "vct#integrity",
    "aka_vcts",
    "cnf",
    "status",
];

/// Claims that may never be behind a digest (SD-JWT VC, "Registered JWT Claims").
const NEVER_DISCLOSABLE: [&str; 8] = [
    "iss",
    "nbf",
    "exp",
    "cnf",
    "vct",
    "vct#integrity",
    "aka_vcts",
    "status",
];

/// Names that the format keeps for itself.
const FORMAT_NAMES: [&str; 3] = ["_sd", "_sd_alg", "..."];

/// Where a credential's status is published: `status.status_list` (Token Status List §6.2).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StatusReference {
    /// The URI of the status list token.
    pub uri: String,
    /// The credential's index in it.
    #[serde(rename = "idx")]
    pub index: u64,
}
