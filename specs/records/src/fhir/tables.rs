//! Which FHIR element is which claim.

/// What an element holds, and so how it is read and written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// `string`, `code`, `uri`, `markdown`.
    Text,
    /// `boolean`.
    Bool,
    /// `integer`, `positiveInt`.
    Int,
    /// `decimal`.
    Decimal,
    /// `date`, `dateTime`, `instant`: kept as written.
    Time,
    /// A `BackboneElement` or a data type: an object of its own.
    Group(&'static Table),
    /// `Annotation`, whose author is text or a reference.
    Annotation,
    /// Not carried and not refused: it says nothing about the person's health.
    Dropped,
    /// Not carried, and it could matter: refused.
    Refused(&'static str),
}

/// One element.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    /// Its FHIR name.
    pub(super) element: &'static str,
    /// The claim, or a working name that the caller of the engine replaces.
    pub(super) claim: &'static str,
    pub(super) kind: Kind,
    /// Whether it repeats.
    pub(super) is_list: bool,
}

/// The elements of one object.
pub(super) type Table = [Field];

const fn one(element: &'static str, claim: &'static str, kind: Kind) -> Field {
    Field {
        element,
        claim,
        kind,
        is_list: false,
    }
}
const fn many(element: &'static str, claim: &'static str, kind: Kind) -> Field {
    Field {
        element,
        claim,
        kind,
        is_list: true,
    }
}
const fn dropped(element: &'static str) -> Field {
    one(element, "", Kind::Dropped)
}
const fn refused(element: &'static str, why: &'static str) -> Field {
    one(element, "", Kind::Refused(why))
}

use Kind::{Annotation, Bool, Decimal, Group, Int, Text, Time};

const CONCEPT: Kind = Group(&[many("coding", "codings", CODING), one("text", "text", Text)]);
const CODING: Kind = Group(&[
    one("system", "system", Text),
    one("version", "version", Text),
    one("code", "code", Text),
    one("display", "display", Text),
    dropped("userSelected"),
]);
const PARTY: Kind = Group(&[
    one("display", "name", Text),
    one("reference", "reference", Text),
    // Lifted to `identifier_system` and `identifier_value` by the engine.
    one(
        "identifier",
        "identifier",
        Group(&[
            one("system", "system", Text),
            one("value", "value", Text),
            dropped("use"),
            dropped("type"),
            dropped("period"),
            dropped("assigner"),
        ]),
    ),
    dropped("type"),
]);
const QUANTITY: Kind = Group(&[
    one("value", "value", Decimal),
    one("comparator", "comparator", Text),
    one("unit", "unit", Text),
    one("system", "system", Text),
    one("code", "code", Text),
]);

const NOT_A_VALUE: &str = "this kind of value is not carried";
const PROTOCOL: Kind = Group(&[
    one("series", "series", Text),
    one("authority", "authority", PARTY),
    many("targetDisease", "target_diseases", CONCEPT),
    one("doseNumberPositiveInt", "dose_number", Int),
    one("doseNumberString", "dose_text", Text),
    one("seriesDosesPositiveInt", "series_doses", Int),
    one("seriesDosesString", "series_doses_text", Text),
]);

/// `Immunization`, except status, vaccineCode, patient, identifier and occurrence[x].
pub(super) const IMMUNIZATION: &Table = &[
    many("protocolApplied", "protocols", PROTOCOL),
    one("location", "place", PARTY),
    many(
        "performer",
        "performers",
        Group(&[
            one("function", "function", CONCEPT),
            one("actor", "actor", PARTY),
        ]),
    ),
    one("manufacturer", "manufacturer", PARTY),
    one("lotNumber", "lot_number", Text),
    one("expirationDate", "expiration_date", Time),
    one("site", "site", CONCEPT),
    one("route", "route", CONCEPT),
    one("doseQuantity", "dose_quantity", QUANTITY),
    one("recorded", "recorded_at", Time),
    one("primarySource", "primary_source", Bool),
    one("reportOrigin", "report_origin", CONCEPT),
    many("reasonCode", "reasons", CONCEPT),
    one("isSubpotent", "subpotent", Bool),
    many("subpotentReason", "subpotent_reasons", CONCEPT),
    many(
        "education",
        "education",
        Group(&[
            one("documentType", "document_type", Text),
            one("reference", "reference", Text),
            one("publicationDate", "publication_date", Time),
            one("presentationDate", "presentation_date", Time),
        ]),
    ),
    many("programEligibility", "program_eligibility", CONCEPT),
    one("fundingSource", "funding_source", CONCEPT),
    many(
        "reaction",
        "reactions",
        Group(&[
            one("date", "date", Time),
            one("detail", "detail", PARTY),
            one("reported", "reported", Bool),
        ]),
    ),
    many("note", "notes", Annotation),
    dropped("identifier"),
    dropped("patient"),
    dropped("status"),
    dropped("statusReason"),
    dropped("vaccineCode"),
    dropped("occurrenceDateTime"),
    dropped("encounter"),
    dropped("reasonReference"),
    refused(
        "occurrenceString",
        "not a date: give occurrenceDateTime as precisely as it is known",
    ),
];

/// A `CodeableConcept`, for elements that the callers of the engine treat themselves.
pub(super) const CONCEPT_TABLE: &Table =
    &[many("coding", "codings", CODING), one("text", "text", Text)];

macro_rules! value_fields {
    ($($more:expr),* $(,)?) => {
        &[
            // Lifted to `test_name` and `test_codings`.
            one("code", "test", CONCEPT),
            one("valueQuantity", "value_quantity", QUANTITY),
            one("valueCodeableConcept", "value_concept", CONCEPT),
            one("valueString", "value_text", Text),
            one("valueBoolean", "value_boolean", Bool),
            one("valueInteger", "value_integer", Int),
            refused("valueRange", NOT_A_VALUE),
            refused("valueRatio", NOT_A_VALUE),
            refused("valueSampledData", NOT_A_VALUE),
            refused("valueTime", NOT_A_VALUE),
            refused("valueDateTime", NOT_A_VALUE),
            refused("valuePeriod", NOT_A_VALUE),
            one("dataAbsentReason", "absent_reason", CONCEPT),
            many("interpretation", "interpretations", CONCEPT),
            many("referenceRange", "reference_ranges", Group(&[
                one("low", "low", QUANTITY),
                one("high", "high", QUANTITY),
                one("type", "type", CONCEPT),
                many("appliesTo", "applies_to", CONCEPT),
                one("age", "age", Group(&[one("low", "low", QUANTITY), one("high", "high", QUANTITY)])),
                one("text", "text", Text),
            ])),
            $($more),*
        ]
    };
}

/// `Observation.component`.
const COMPONENT: &Table = value_fields!();

/// `Observation`, except status, category, subject, identifier and effective[x].
pub(super) const OBSERVATION: &Table = value_fields!(
    many("component", "components", Group(COMPONENT)),
    one("issued", "issued_at", Time),
    one("specimen", "specimen", PARTY),
    one("bodySite", "body_site", CONCEPT),
    one("method", "method", CONCEPT),
    one("device", "device", PARTY),
    many("performer", "performers", PARTY),
    many("note", "notes", Annotation),
    dropped("identifier"),
    dropped("status"),
    dropped("category"),
    dropped("subject"),
    dropped("effectiveDateTime"),
    dropped("effectiveInstant"),
    dropped("effectivePeriod"),
    refused(
        "effectiveTiming",
        "give effectiveDateTime or effectivePeriod"
    ),
    refused(
        "hasMember",
        "a panel holds no result of its own: send its members"
    ),
    refused("focus", "only results about the patient"),
    dropped("derivedFrom"),
    dropped("basedOn"),
    dropped("partOf"),
    dropped("encounter"),
);
