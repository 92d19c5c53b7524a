//! The record types, from the documents in `types/`.

use std::sync::LazyLock;

use base64::Engine as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{Category, Lang};

/// The most faults reported for one document.
const MAX_ERRORS: usize = 64;

/// The documents of each record type: id, metadata, schema, JSON-LD context.
const DOCUMENTS: [(&str, &str, &str, &str); 8] = {
    macro_rules! documents {
        ($($id:literal),* $(,)?) => {
            [$((
                $id,
                include_str!(concat!("../types/", $id, ".metadata.json")),
                include_str!(concat!("../types/", $id, ".schema.json")),
                include_str!(concat!("../types/", $id, ".context.json")),
            )),*]
        };
    }
    documents!(
        "vaccination",
        "hip_dislocation_screening",
        "infant_checkup_3_4_months",
        "infant_checkup_9_10_months",
        "infant_checkup_18_months",
        "dental_checkup_2_years",
        "infant_checkup_3_years",
        "laboratory_result",
    )
};

/// One thing wrong with claims. Neither member repeats a claim's value, so both may be logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", if .path.is_empty() { "/" } else { .path })]
pub struct SchemaError {
    /// Where: a JSON Pointer (RFC 6901), empty for the whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

/// All record types.
#[derive(Debug)]
pub struct Catalogue {
    types: Vec<RecordType>,
}

/// The catalogue.
#[must_use]
pub fn catalogue() -> &'static Catalogue {
    static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue {
        types: DOCUMENTS
            .iter()
            .map(|documents| RecordType::new(*documents))
            .collect(),
    });
    &CATALOGUE
}

impl Catalogue {
    /// All record types, in the order in which screens list them.
    #[must_use]
    pub fn types(&self) -> &[RecordType] {
        &self.types
    }

    /// The record type with that id, such as `vaccination`.
    #[must_use]
    pub fn by_id(&self, id: &str) -> Option<&RecordType> {
        self.types.iter().find(|t| t.id == id)
    }

    /// The record type with that `vct`, such as `urn:tegata:record:vaccination:1`.
    #[must_use]
    pub fn by_vct(&self, vct: &str) -> Option<&RecordType> {
        self.types.iter().find(|t| t.vct == vct)
    }

    /// The record types of a category.
    pub fn in_category(&self, category: Category) -> impl Iterator<Item = &RecordType> {
        self.types.iter().filter(move |t| t.category == category)
    }
}

/// A kind of record.
#[derive(Debug)]
pub struct RecordType {
    id: &'static str,
    vct: String,
    category: Category,
    metadata_json: &'static str,
    schema_json: &'static str,
    context_json: &'static str,
    integrity: String,
    names: [String; 2],
    claims: Vec<Claim>,
    whole: jsonschema::Validator,
    partial: jsonschema::Validator,
}

#[derive(Debug)]
struct Claim {
    /// `None` stands for every element of an array.
    path: Vec<Option<String>>,
    labels: [String; 2],
    values: Vec<(String, [String; 2])>,
    is_disclosable: bool,
}

impl RecordType {
    /// The id: short, in file names, configuration and CSV profiles.
    #[must_use]
    pub fn id(&self) -> &str {
        self.id
    }

    /// `vct` of its credentials.
    #[must_use]
    pub fn vct(&self) -> &str {
        &self.vct
    }

    /// The category a person consents to.
    #[must_use]
    pub fn category(&self) -> Category {
        self.category
    }

    /// The SD-JWT VC Type Metadata document.
    #[must_use]
    pub fn metadata_json(&self) -> &'static str {
        self.metadata_json
    }

    /// The JSON Schema (2020-12) of the claims. Metadata names its hash, so
    /// [`RecordType::integrity`] covers it.
    #[must_use]
    pub fn schema_json(&self) -> &'static str {
        self.schema_json
    }

    /// The JSON-LD context of the claims, for W3C credentials: each claim is a term of its own, elements of arrays keep
    /// their order.
    #[must_use]
    pub fn context_json(&self) -> &'static str {
        self.context_json
    }

    /// The URL under which W3C credentials name [`RecordType::context_json`]: `vct` and `:context`.
    #[must_use]
    pub fn context_url(&self) -> String {
        format!("{}:context", self.vct)
    }

    /// The type of its W3C credentials, beside `VerifiableCredential`: the id in capitals, such as `VaccinationRecord` or
    /// `InfantCheckup3To4MonthsRecord`.
    #[must_use]
    pub fn credential_type(&self) -> String {
        let (mut out, mut after_number) = (String::new(), false);
        for word in self.id.split('_') {
            let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
            if is_number && after_number {
                out.push_str("To");
            }
            let (first, rest) = word.split_at(1.min(word.len()));
            out.push_str(&first.to_ascii_uppercase());
            out.push_str(rest);
            after_number = is_number;
        }
        out + "Record"
    }

    /// `vct#integrity`: `sha256-` and the base64 of the hash of [`RecordType::metadata_json`].
    #[must_use]
    pub fn integrity(&self) -> &str {
        &self.integrity
    }

    /// What people call it.
    #[must_use]
    pub fn name(&self, lang: Lang) -> &str {
        &self.names[lang as usize]
    }

    /// What people call the claim at `path`; an array index, whatever it is, is written `*`:
    /// `["performers", "*", "actor"]`.
    #[must_use]
    pub fn claim_label(&self, path: &[&str], lang: Lang) -> Option<&str> {
        self.claim(path)
            .map(|claim| claim.labels[lang as usize].as_str())
    }

    /// What people call one of the values of a coded claim.
    #[must_use]
    pub fn value_label(&self, path: &[&str], value: &str, lang: Lang) -> Option<&str> {
        let values = &self.claim(path)?.values;
        let (_, labels) = values.iter().find(|(code, _)| code == value)?;
        Some(&labels[lang as usize])
    }

    /// The names of the top-level claims, in the order in which screens show them.
    pub fn claim_names(&self) -> impl Iterator<Item = &str> {
        self.claims
            .iter()
            .filter(|c| c.path.len() == 1)
            .filter_map(|c| c.path[0].as_deref())
    }

    /// The paths of those claims, present in `claims`, that the holder may leave out when she
    /// shows the record: what the issuer makes selectively disclosable.
    #[must_use]
    pub fn disclosable(&self, claims: &Value) -> Vec<Vec<String>> {
        self.claims
            .iter()
            .filter(|claim| claim.is_disclosable)
            .filter_map(|claim| claim.path.iter().cloned().collect::<Option<Vec<String>>>())
            .filter(|path| {
                path.iter()
                    .try_fold(claims, |at, name| at.get(name))
                    .is_some()
            })
            .collect()
    }

    /// Checks a whole record's claims. Closed: an unknown claim is an error.
    ///
    /// # Errors
    /// What is wrong, at most 64 of it.
    pub fn validate(&self, claims: &Value) -> Result<(), Vec<SchemaError>> {
        check(&self.whole, claims)
    }

    /// Checks the claims of a presentation, in which some may be left out.
    ///
    /// # Errors
    /// As [`RecordType::validate`], without what is missing.
    pub fn validate_disclosed(&self, claims: &Value) -> Result<(), Vec<SchemaError>> {
        check(&self.partial, claims)
    }

    fn claim(&self, path: &[&str]) -> Option<&Claim> {
        self.claims.iter().find(|claim| {
            claim.path.len() == path.len()
                && claim.path.iter().zip(path).all(|(own, asked)| match own {
                    Some(name) => name == asked,
                    None => *asked == "*",
                })
        })
    }

    /// Builds a type from documents that are part of this crate; the test of this module shows
    /// that none of the expectations fails.
    fn new(
        (id, metadata_json, schema_json, context_json): (
            &'static str,
            &'static str,
            &'static str,
            &'static str,
        ),
    ) -> Self {
        let metadata: Value = serde_json::from_str(metadata_json).expect("a document of ours");
        let schema: Value = serde_json::from_str(schema_json).expect("a document of ours");
        let mut partial = schema.clone();
        let root = partial
            .as_object_mut()
            .expect("a schema of ours is an object");
        for what_must_be_there in ["required", "anyOf", "dependentSchemas"] {
            root.remove(what_must_be_there);
        }
        let build = |schema: &Value| {
            jsonschema::options()
                .should_validate_formats(true)
                .build(schema)
                .expect("a schema of ours")
        };
        let code = metadata["category"]
            .as_str()
            .expect("metadata of ours has a category");
        Self {
            id,
            vct: metadata["vct"]
                .as_str()
                .expect("metadata of ours has a vct")
                .to_owned(),
            category: Category::from_code(code).expect("metadata of ours has a known category"),
            integrity: integrity(metadata_json),
            names: localised(&metadata["display"], "name"),
            claims: elements(&metadata["claims"]).map(Claim::new).collect(),
            whole: build(&schema),
            partial: build(&partial),
            metadata_json,
            schema_json,
            context_json,
        }
    }
}

impl Claim {
    fn new(metadata: &Value) -> Self {
        Self {
            path: elements(&metadata["path"])
                .map(|p| p.as_str().map(str::to_owned))
                .collect(),
            labels: localised(&metadata["display"], "label"),
            values: elements(&metadata["values"])
                .filter_map(|v| {
                    Some((
                        v["value"].as_str()?.to_owned(),
                        localised(&v["display"], "label"),
                    ))
                })
                .collect(),
            is_disclosable: metadata["sd"] == "always",
        }
    }
}

/// Integrity metadata as in W3C Subresource Integrity, SHA-256.
fn integrity(document: &str) -> String {
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(document));
    format!("sha256-{hash}")
}

fn elements(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The texts named `member` in Japanese and English, in the order of [`Lang`].
fn localised(display: &Value, member: &str) -> [String; 2] {
    [Lang::Ja, Lang::En].map(|lang| {
        elements(display)
            .find(|entry| entry["locale"] == lang.tag())
            .and_then(|entry| entry[member].as_str())
            .unwrap_or_default()
            .to_owned()
    })
}

fn check(validator: &jsonschema::Validator, claims: &Value) -> Result<(), Vec<SchemaError>> {
    let errors: Vec<SchemaError> = validator
        .iter_errors(claims)
        .take(MAX_ERRORS)
        .map(|error| SchemaError {
            path: error.instance_path().to_string(),
            // Masked: the message names the rule, never the value.
            message: error.masked().to_string(),
        })
        .collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    /// Every property of `schema`, as claim paths with `*` for elements.
    fn properties(
        schema: &Value,
        root: &Value,
        prefix: &[String],
        out: &mut BTreeSet<Vec<String>>,
    ) {
        let schema = match schema["$ref"].as_str() {
            Some(name) => &root["$defs"][name.trim_start_matches("#/$defs/")],
            None => schema,
        };
        if schema["type"] == "object" {
            assert_eq!(schema["additionalProperties"], false, "{prefix:?} is open");
            for (name, inner) in schema["properties"].as_object().unwrap() {
                let path = [prefix, std::slice::from_ref(name)].concat();
                out.insert(path.clone());
                properties(inner, root, &path, out);
            }
        }
        if schema["type"] == "array" {
            properties(
                &schema["items"],
                root,
                &[prefix, &["*".to_owned()]].concat(),
                out,
            );
        }
    }

    fn enumerations<'a>(schema: &'a Value, out: &mut Vec<&'a Value>) {
        match schema {
            Value::Object(map) => {
                out.extend(map.get("enum"));
                map.values().for_each(|inner| enumerations(inner, out));
            }
            Value::Array(items) => items.iter().for_each(|inner| enumerations(inner, out)),
            _ => {}
        }
    }

    #[test]
    fn metadata_and_schema_agree_and_everything_is_labelled() {
        for record_type in catalogue().types() {
            let id = record_type.id();
            let metadata: Value = serde_json::from_str(record_type.metadata_json()).unwrap();
            let schema: Value = serde_json::from_str(record_type.schema_json()).unwrap();
            assert_eq!(record_type.vct(), format!("urn:tegata:record:{id}:1"));
            assert_eq!(metadata["schema_uri"], schema["$id"]);
            assert_eq!(
                metadata["schema_uri#integrity"],
                integrity(record_type.schema_json()),
                "{id}: the schema changed; its hash in the metadata must follow"
            );
            let mut in_schema = BTreeSet::new();
            properties(&schema, &schema, &[], &mut in_schema);
            let in_metadata: BTreeSet<Vec<String>> = record_type
                .claims
                .iter()
                .map(|c| {
                    c.path
                        .iter()
                        .map(|p| p.clone().unwrap_or("*".into()))
                        .collect()
                })
                .collect();
            assert_eq!(in_schema, in_metadata, "{id}");
            for lang in [Lang::Ja, Lang::En] {
                assert!(!record_type.name(lang).is_empty());
                for claim in &record_type.claims {
                    assert!(
                        !claim.labels[lang as usize].is_empty(),
                        "{id} {:?}",
                        claim.path
                    );
                    for (value, labels) in &claim.values {
                        assert!(!labels[lang as usize].is_empty(), "{id} {value}");
                    }
                }
            }
            // Every coded claim at the top level has a label for every code.
            for (name, property) in schema["properties"].as_object().unwrap() {
                for code in elements(&property["enum"]) {
                    let code = code.as_str().unwrap();
                    assert!(
                        record_type.value_label(&[name], code, Lang::Ja).is_some(),
                        "{name} {code}"
                    );
                }
            }
            let mandatory: BTreeSet<&str> = elements(&metadata["claims"])
                .filter(|c| c["mandatory"] == true)
                .map(|c| c["path"][0].as_str().unwrap())
                .collect();
            let required: BTreeSet<&str> = elements(&schema["required"])
                .map(|r| r.as_str().unwrap())
                .collect();
            assert_eq!(mandatory, required, "{id}");
        }
    }

    #[test]
    fn ids_and_types_are_distinct() {
        let all = catalogue().types();
        assert_eq!(
            all.iter()
                .map(RecordType::id)
                .collect::<BTreeSet<_>>()
                .len(),
            all.len()
        );
        for record_type in all {
            assert_eq!(
                catalogue().by_vct(record_type.vct()).unwrap().id(),
                record_type.id()
            );
        }
        assert_eq!(catalogue().in_category(Category::InfantCheckup).count(), 6);
        assert!(
            catalogue()
                .by_vct("urn:tegata:record:vaccination:2")
                .is_none()
        );
    }

    #[test]
    fn faults_are_named_and_values_are_not() {
        let checkup = catalogue().by_id("infant_checkup_3_years").unwrap();
        let good = json!({
            "date": "2025-02-28", "place": "保健センター", "height_cm": 95.5, "weight_g": 14200,
            "kaup_index": 15.6, "urine_protein": "negative", "decayed_teeth_count": 0,
        });
        checkup.validate(&good).unwrap();
        let fault = |name: &str, value: Value| {
            let mut claims = good.clone();
            claims[name] = value;
            let errors = checkup.validate(&claims).unwrap_err();
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert!(!errors[0].to_string().contains("secret"), "{errors:?}");
            errors[0].path.clone()
        };
        assert_eq!(fault("date", json!("2025-02-30")), "/date");
        assert_eq!(fault("date", json!("令和7年 secret")), "/date");
        assert_eq!(fault("height_cm", json!("secret")), "/height_cm");
        assert_eq!(fault("height_cm", json!(9550)), "/height_cm");
        assert_eq!(fault("urine_protein", json!("secret")), "/urine_protein");
        assert_eq!(fault("head_circumference_cm", json!(50)), "");
        assert_eq!(
            fault("decayed_teeth_count", json!(1.5)),
            "/decayed_teeth_count"
        );
        let mut without = good;
        without.as_object_mut().unwrap().remove("place");
        assert!(checkup.validate(&without).is_err());
        checkup.validate_disclosed(&without).unwrap();
        checkup.validate_disclosed(&json!({})).unwrap();
        assert!(
            checkup
                .validate_disclosed(&json!({ "nickname": 1 }))
                .is_err()
        );
        assert!(checkup.validate(&json!([])).is_err());
    }

    #[test]
    fn disclosable_is_what_is_there() {
        let vaccination = catalogue().by_id("vaccination").unwrap();
        let claims =
            json!({ "date": "2025-04-01", "vaccine_code": "mr", "place": { "name": "x" } });
        let mut paths = vaccination.disclosable(&claims);
        paths.sort();
        assert_eq!(paths, [["date"], ["place"], ["vaccine_code"]]);
        assert_eq!(
            vaccination.claim_label(&["performers", "*", "actor"], Lang::Ja),
            Some("実施者")
        );
        assert!(
            vaccination.claim_names().eq(vaccination
                .claims
                .iter()
                .filter(|c| c.path.len() == 1)
                .map(|c| c.path[0].as_deref().unwrap()))
        );
    }

    fn texts<'a>(schema: &'a Value, out: &mut Vec<&'a Value>) {
        match schema {
            Value::Object(map) => {
                if map.contains_key("maxLength") {
                    out.push(schema);
                }
                map.values().for_each(|inner| texts(inner, out));
            }
            Value::Array(items) => items.iter().for_each(|inner| texts(inner, out)),
            _ => {}
        }
    }

    #[test]
    fn every_string_of_a_schema_is_a_code_a_date_or_a_text_without_hidden_characters() {
        use crate::text::{LINE, LINES};
        for record_type in catalogue().types() {
            let schema: Value = serde_json::from_str(record_type.schema_json()).unwrap();
            let mut all = Vec::new();
            texts(&schema, &mut all);
            assert!(!all.is_empty());
            for text in all {
                let pattern = text["pattern"].as_str().unwrap();
                assert!([LINE, LINES].contains(&pattern), "{text}");
                assert_eq!(pattern == LINES, text["maxLength"] == 5000, "{text}");
            }
            fn strings(schema: &Value) {
                if schema["type"] == "string" {
                    let bound = ["enum", "pattern", "format"];
                    assert!(
                        bound.iter().any(|name| schema.get(name).is_some()),
                        "{schema}"
                    );
                }
                match schema {
                    Value::Object(map) => map.values().for_each(strings),
                    Value::Array(items) => items.iter().for_each(strings),
                    _ => {}
                }
            }
            strings(&schema);
        }
    }

    #[test]
    fn every_code_of_a_schema_is_labelled_somewhere() {
        for record_type in catalogue().types() {
            let schema: Value = serde_json::from_str(record_type.schema_json()).unwrap();
            let mut all = Vec::new();
            enumerations(&schema, &mut all);
            let labelled: BTreeSet<&str> = record_type
                .claims
                .iter()
                .flat_map(|c| c.values.iter().map(|v| v.0.as_str()))
                .collect();
            for code in all.into_iter().flat_map(elements).filter_map(Value::as_str) {
                // Comparators read the same in every language.
                assert!(
                    labelled.contains(code) || ["<", "<=", ">=", ">"].contains(&code),
                    "{code}"
                );
            }
        }
    }
}
