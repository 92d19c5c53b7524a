//! The closed lists of codes (`state.md`, section 4). What is said about a person's grant, or about a request for one, is said
//! in these words and numbers alone, so nobody can write about a person onto the ledger.
//!
//! They are a copy of the catalogue's, since the state machine depends on no catalogue: which words validators take must not
//! change with a label. A test holds the two together.

/// What a person consents to.
pub const CATEGORIES: &[&str] = &[
    "imaging",
    "infant_checkup",
    "laboratory",
    "medication",
    "school_health",
    "vaccination",
];

/// Why somebody asks.
pub const PURPOSES: &[&str] = &[
    "care",
    "emergency",
    "payout",
    "public_health",
    "research",
    "school",
    "statistics",
    "transfer",
    "venue",
];

/// On what legal ground.
pub const LEGAL_BASES: &[&str] = &[
    "consent",
    "contract",
    "explicit_consent",
    "legal_obligation",
    "legitimate_interest",
    "official_authority",
    "public_interest",
    "vital_interest",
];

/// Record types and what category each is of: what a query for them asks for.
pub const TYPES: &[(&str, &str)] = &[
    (
        "urn:tegata:record:dental_checkup_2_years:1",
        "infant_checkup",
    ),
    (
        "urn:tegata:record:hip_dislocation_screening:1",
        "infant_checkup",
    ),
    (
        "urn:tegata:record:infant_checkup_18_months:1",
        "infant_checkup",
    ),
    (
        "urn:tegata:record:infant_checkup_3_4_months:1",
        "infant_checkup",
    ),
    (
        "urn:tegata:record:infant_checkup_3_years:1",
        "infant_checkup",
    ),
    (
        "urn:tegata:record:infant_checkup_9_10_months:1",
        "infant_checkup",
    ),
    ("urn:tegata:record:laboratory_result:1", "laboratory"),
    ("urn:tegata:record:vaccination:1", "vaccination"),
];

/// Every name in a path to a claim of these types.
pub const CLAIMS: &[&str] = &[
    "absent_reason",
    "actor",
    "age",
    "applies_to",
    "author",
    "authority",
    "body_site",
    "chest_circumference_cm",
    "code",
    "codings",
    "comparator",
    "components",
    "date",
    "decayed_teeth_count",
    "detail",
    "device",
    "display",
    "document_type",
    "dose_number",
    "dose_quantity",
    "dose_text",
    "education",
    "effective_at",
    "effective_end",
    "expiration_date",
    "function",
    "funding_source",
    "further_protocols",
    "head_circumference_cm",
    "height_cm",
    "high",
    "identifier_system",
    "identifier_value",
    "interpretations",
    "issued_at",
    "kaup_index",
    "lot_number",
    "low",
    "manufacturer",
    "method",
    "name",
    "notes",
    "occurred_at",
    "performers",
    "place",
    "presentation_date",
    "primary_source",
    "program_eligibility",
    "publication_date",
    "reactions",
    "reasons",
    "recorded_at",
    "reference",
    "reference_ranges",
    "report_origin",
    "reported",
    "result",
    "result_status",
    "route",
    "series",
    "series_doses",
    "series_doses_text",
    "site",
    "specimen",
    "subpotent",
    "subpotent_reasons",
    "system",
    "target_diseases",
    "teeth_count",
    "test_codings",
    "test_name",
    "text",
    "time",
    "type",
    "unit",
    "urine_glucose",
    "urine_leucocytes",
    "urine_occult_blood",
    "urine_protein",
    "vaccine_code",
    "vaccine_codings",
    "vaccine_name",
    "value",
    "value_boolean",
    "value_concept",
    "value_integer",
    "value_quantity",
    "value_text",
    "version",
    "weight_g",
];

/// Which code of a grant or a request is not what it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// No category, one twice, out of order, or one that is not of [`CATEGORIES`].
    #[error("the categories are not at least one of the list, sorted, each once")]
    Categories,
    /// Not of [`PURPOSES`].
    #[error("the purpose is not of the list")]
    Purpose,
    /// Not of [`LEGAL_BASES`].
    #[error("the legal basis is not of the list")]
    LegalBasis,
}

impl CodeError {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Categories => "categories",
            Self::Purpose => "purpose",
            Self::LegalBasis => "legal-basis",
        }
    }
}

/// Checks that categories, purpose and legal basis are of the lists; the categories at least one, sorted, each once.
///
/// # Errors
/// [`CodeError`].
pub fn check(categories: &[String], purpose: &str, legal_basis: &str) -> Result<(), CodeError> {
    if categories.is_empty()
        || !categories.is_sorted_by(|a, b| a < b)
        || !categories.iter().all(|code| is_category(code))
    {
        return Err(CodeError::Categories);
    }
    if !is_purpose(purpose) {
        return Err(CodeError::Purpose);
    }
    if !is_legal_basis(legal_basis) {
        return Err(CodeError::LegalBasis);
    }
    Ok(())
}

/// Whether a code is of [`CATEGORIES`].
#[must_use]
pub fn is_category(code: &str) -> bool {
    CATEGORIES.contains(&code)
}

/// Whether a code is of [`PURPOSES`].
#[must_use]
pub fn is_purpose(code: &str) -> bool {
    PURPOSES.contains(&code)
}

/// Whether a code is of [`LEGAL_BASES`].
#[must_use]
pub fn is_legal_basis(code: &str) -> bool {
    LEGAL_BASES.contains(&code)
}

/// The category of a type; `None` where the type is not in [`TYPES`].
#[must_use]
pub fn category_of(vct: &str) -> Option<&'static str> {
    let found = TYPES.iter().find(|(known, _)| *known == vct);
    found.map(|(_, category)| *category)
}

/// Whether a text names a part of a query: a type by its id, a claim, or a letter with at most two digits.
pub(crate) fn is_label(text: &str) -> bool {
    let is_type = |(vct, _): &(&str, &str)| vct.split(':').nth(3) == Some(text);
    let short = |text: &[u8]| match text {
        [letter, digits @ ..] => {
            letter.is_ascii_lowercase()
                && digits.len() <= 2
                && digits.iter().all(u8::is_ascii_digit)
        }
        [] => false,
    };
    short(text.as_bytes()) || CLAIMS.contains(&text) || TYPES.iter().any(is_type)
}
