use crate::genesis::GenesisFileError;

/// Why the ledger gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// No newest header under 15 s old: nothing can be said about what stands now.
    #[error("the newest certified header is {age_ms} ms old")]
    Stale {
        /// How old, at least, in milliseconds; since genesis where no header is known yet.
        age_ms: u64,
    },
    /// No node answered.
    #[error("no ledger node answers: {detail}")]
    Unreachable {
        /// What the last one did.
        detail: String,
    },
    /// The entry may not be written now.
    #[error("the ledger does not admit the entry: {code}: {detail}")]
    Inadmissible {
        /// A stable word (`tegata_consent::state::Inadmissible::code`).
        code: String,
        /// For people.
        detail: String,
    },
    /// The entry is no entry.
    #[error("the entry is malformed: {detail}")]
    Malformed {
        /// What is wrong.
        detail: String,
    },
    /// Submitted, but not final in time. It may still become final: send the same bytes again.
    #[error("the entry did not become final in time")]
    NotFinal,
    /// What the nodes answered does not prove what it should.
    #[error("{part}: {detail}")]
    Proof {
        /// Which part of the answer.
        part: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// The configuration names no usable node.
    #[error("ledger.urls: {0}")]
    Config(String),
    /// The genesis file.
    #[error(transparent)]
    Genesis(#[from] GenesisFileError),
}

impl LedgerError {
    pub(super) fn proof(part: &'static str, detail: &dyn std::fmt::Display) -> Self {
        Self::Proof {
            part,
            detail: detail.to_string(),
        }
    }
}
