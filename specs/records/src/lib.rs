//! The catalogue: type metadata, JSON Schema and FHIR mapping of each record type
