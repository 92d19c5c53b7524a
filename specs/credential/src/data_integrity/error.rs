//! Why a document with a Data Integrity proof is refused.

use crate::did::DidError;
use crate::json::JsonFault;
use crate::rfc3339::write_time;

/// Why a credential or presentation is not signed or not believed. Paths are JSON Pointers (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DataIntegrityError {
    /// Larger than we read, in bytes or in values.
    #[error("larger than {0}")]
    TooLarge(&'static str),
    /// Not a JSON object.
    #[error("not a JSON object")]
    Malformed,
    /// A member name occurs twice in one object.
    #[error("the member `{0}` is there twice")]
    NameDuplicate(String),
    /// Nested too deep.
    #[error("nested too deep")]
    TooDeep,
    /// A number that a JSON reader may round (RFC 7493 §2.2), so that its signature says less than it shows.
    #[error("{0}: the number is not exact in every JSON reader")]
    Number(String),
    /// `@context` is not a list of URLs that begins with the one of the data model.
    #[error(
        "{0}: the first context must be https://www.w3.org/ns/credentials/v2, and all must be URLs"
    )]
    ContextForm(String),
    /// A context that is not in the binary. Nothing is fetched.
    #[error("the context {0:?} is not known")]
    ContextUnknown(String),
    /// `@context` where none may stand.
    #[error("{0}: a context of its own is not accepted here")]
    ContextNested(String),
    /// A member that no context defines: no reader could say what it means.
    #[error("{0}: the term is not defined by the contexts")]
    TermUndefined(String),
    /// A type that no context defines.
    #[error("{0}: the type is not defined by the contexts")]
    TypeUndefined(String),
    /// A value that JSON-LD would drop without a word: null, an empty list, a list in a list, an empty type.
    #[error("{0}: the value says nothing in JSON-LD")]
    ValueEmpty(String),
    /// An identifier that is not an absolute IRI.
    #[error("{0}: not an absolute IRI")]
    IriNotAbsolute(String),
    /// `type` does not say what it must.
    #[error("type does not contain {0}")]
    Type(&'static str),
    /// A member of the data model that is missing or of the wrong form.
    #[error("`{0}` is missing or wrong")]
    Member(&'static str),
    /// No proof.
    #[error("there is no proof")]
    ProofMissing,
    /// More than one proof.
    #[error("there is more than one proof, and proof sets are not read")]
    ProofSet,
    /// A proof that builds upon another.
    #[error("the proof names a previous proof, and proof chains are not read")]
    ProofChain,
    /// A member of the proof that is missing or of the wrong form.
    #[error("the proof's `{0}` is missing or wrong")]
    ProofMember(&'static str),
    /// A member that a proof does not have.
    #[error("a proof has no member `{0}`")]
    ProofMemberUnknown(String),
    /// A cryptosuite that was not asked for.
    #[error("the cryptosuite {0:?} is not accepted here")]
    Cryptosuite(String),
    /// A key of another kind than the cryptosuite's.
    #[error("the key is not of the kind that {0} signs with")]
    KeyKind(&'static str),
    /// A proof for another purpose.
    #[error("the proof is for {found:?}, not for {wanted}")]
    ProofPurpose {
        /// `proofPurpose`.
        found: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// The proof was made under other contexts than the document names.
    #[error("the proof's @context is not the document's")]
    ProofContext,
    /// Made in the future.
    #[error("the proof was created at {}, after {}", write_time(*.created), write_time(*.at))]
    ProofInFuture {
        /// Unix seconds.
        created: i64,
        /// Unix seconds.
        at: i64,
    },
    /// The proof has ended.
    #[error("the proof expired at {}; it is {}", write_time(*.expires), write_time(*.at))]
    ProofExpired {
        /// Unix seconds.
        expires: i64,
        /// Unix seconds.
        at: i64,
    },
    /// Not signed by whom it names.
    #[error("{found} signed, not {wanted}")]
    Controller {
        /// Whose key it was.
        found: String,
        /// Issuer or holder.
        wanted: String,
    },
    /// The key cannot be had, or did not count.
    #[error(transparent)]
    Did(#[from] DidError),
    /// The signature does not fit.
    #[error("the signature does not verify")]
    Signature,
    /// Not yet valid.
    #[error("valid from {}; it is {}", write_time(*.from), write_time(*.at))]
    NotYetValid {
        /// `validFrom`, Unix seconds.
        from: i64,
        /// Unix seconds.
        at: i64,
    },
    /// No longer valid.
    #[error("valid until {}; it is {}", write_time(*.until), write_time(*.at))]
    Expired {
        /// `validUntil`, Unix seconds.
        until: i64,
        /// Unix seconds.
        at: i64,
    },
    /// An answer to another request.
    #[error("the challenge is not the one that was asked with")]
    Challenge,
    /// An answer for somebody else.
    #[error("the domain is not ours")]
    Domain,
    /// A credential in a presentation is about somebody else than the holder.
    #[error("credential {0} is not about the holder")]
    HolderNotSubject(usize),
    /// A credential in a presentation does not hold.
    #[error("credential {index}: {error}")]
    Credential {
        /// Which, from 0.
        index: usize,
        /// Why.
        error: Box<DataIntegrityError>,
    },
    /// The graph would take too much work to canonicalise.
    #[error("the graph is too complex to canonicalise: more than {0}")]
    GraphTooComplex(&'static str),
    /// JSON-LD refuses the document.
    #[error("JSON-LD: {0}")]
    JsonLd(String),
}

impl DataIntegrityError {
    /// The stable reason code. For a credential in a presentation, that of its own error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "too_large",
            Self::Malformed => "malformed",
            Self::NameDuplicate(_) => "json_name_duplicate",
            Self::TooDeep => "too_deep",
            Self::Number(_) => "number_not_exact",
            Self::ContextForm(_) => "context_malformed",
            Self::ContextUnknown(_) => "context_unknown",
            Self::ContextNested(_) => "context_nested",
            Self::TermUndefined(_) => "term_undefined",
            Self::TypeUndefined(_) => "type_undefined",
            Self::ValueEmpty(_) => "value_empty",
            Self::IriNotAbsolute(_) => "iri_not_absolute",
            Self::Type(_) => "type_unexpected",
            Self::Member(_) => "member_invalid",
            Self::ProofMissing => "proof_missing",
            Self::ProofSet => "proof_set_unsupported",
            Self::ProofChain => "proof_chain_unsupported",
            Self::ProofMember(_) => "proof_member_invalid",
            Self::ProofMemberUnknown(_) => "proof_member_unknown",
            Self::Cryptosuite(_) => "cryptosuite_unsupported",
            Self::KeyKind(_) => "key_kind_unexpected",
            Self::ProofPurpose { .. } => "proof_purpose_unexpected",
            Self::ProofContext => "proof_context_mismatch",
            Self::ProofInFuture { .. } => "proof_in_future",
            Self::ProofExpired { .. } => "proof_expired",
            Self::Controller { .. } => "controller_mismatch",
            Self::Did(error) => error.code(),
            Self::Signature => "signature_invalid",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::Expired { .. } => "expired",
            Self::Challenge => "challenge_mismatch",
            Self::Domain => "domain_mismatch",
            Self::HolderNotSubject(_) => "holder_not_subject",
            Self::Credential { error, .. } => error.code(),
            Self::GraphTooComplex(_) => "graph_too_complex",
            Self::JsonLd(_) => "json_ld_invalid",
        }
    }
}

impl From<JsonFault> for DataIntegrityError {
    fn from(fault: JsonFault) -> Self {
        match fault {
            JsonFault::Malformed => Self::Malformed,
            JsonFault::DuplicateName(name) => Self::NameDuplicate(name),
            JsonFault::TooDeep => Self::TooDeep,
        }
    }
}
