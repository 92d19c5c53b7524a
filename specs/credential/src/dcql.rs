//! DCQL: which credentials and claims a verifier asks for (OpenID4VP 1.0 §6), and whether what was
//! shown answers that (§6.4, §7, §8.1).
//!
//! Page: `openid4vp.md`. SD-JWT VC is the only format that matches anything here; queries for other
//! formats are read, and nothing of ours answers them. Work is bounded: at most [`MAX_CREDENTIALS`]
//! queries with [`MAX_CLAIMS`] claims each, and selection visits each element once.

use serde_json::{Map, Value};

use crate::json;
use crate::sd_jwt::{Path, PathStep, SdJwt, SdJwtError};

/// The longest query read, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;
/// The most credential queries.
pub const MAX_CREDENTIALS: usize = 32;
/// The most claims of one credential query, and the most claim sets.
pub const MAX_CLAIMS: usize = 128;
/// The most credential sets, and the most options of one.
pub const MAX_SETS: usize = 32;
/// The most presentations of one credential query.
pub const MAX_PRESENTATIONS: usize = 64;
/// The format that we issue and verify.
pub const FORMAT: &str = "dc+sd-jwt";

/// Why a query is not usable, or a response does not answer it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DcqlError {
    /// Not a query; names the member.
    #[error("`{0}` is missing or has the wrong form")]
    Query(&'static str),
    /// Something that a query may say and that is not done here.
    #[error("`{0}` is not supported")]
    Unsupported(&'static str),
    /// `vp_token` is no object of non-empty arrays of strings.
    #[error("vp_token is no object of non-empty arrays of presentations")]
    VpToken,
    /// `vp_token` has an id that the query has not.
    #[error("vp_token has `{0}`, which was not asked for")]
    IdUnknown(String),
    /// Several presentations where one was asked for, or too many.
    #[error("vp_token has several presentations for `{0}`")]
    TooMany(String),
    /// A credential that is required is not there.
    #[error("vp_token lacks `{0}`")]
    Missing(String),
    /// None of the options of a required credential set is there.
    #[error("vp_token satisfies no option of a required credential set")]
    SetUnsatisfied,
    /// Another type than asked for.
    #[error("`{id}` is of another type than asked for")]
    Type {
        /// The credential query.
        id: String,
    },
    /// A claim that was asked for is not shown.
    #[error("`{id}` does not show {path}")]
    ClaimMissing {
        /// The credential query.
        id: String,
        /// The claim.
        path: String,
    },
    /// A claim has none of the values asked for.
    #[error("{path} of `{id}` has none of the values asked for")]
    ClaimValue {
        /// The credential query.
        id: String,
        /// The claim.
        path: String,
    },
    /// A claim is shown that was not asked for.
    #[error("`{id}` shows {path}, which was not asked for")]
    ClaimNotAsked {
        /// The credential query.
        id: String,
        /// The claim.
        path: String,
    },
}

impl DcqlError {
    /// The stable reason code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Query(_) => "dcql_invalid",
            Self::Unsupported(_) => "dcql_unsupported",
            Self::VpToken => "vp_token_malformed",
            Self::IdUnknown(_) => "vp_token_id_unknown",
            Self::TooMany(_) => "vp_token_too_many",
            Self::Missing(_) => "vp_token_missing",
            Self::SetUnsatisfied => "vp_token_set_unsatisfied",
            Self::Type { .. } => "dcql_type_mismatch",
            Self::ClaimMissing { .. } => "dcql_claim_missing",
            Self::ClaimValue { .. } => "dcql_claim_value",
            Self::ClaimNotAsked { .. } => "dcql_claim_not_asked",
        }
    }
}

/// A query.
#[derive(Debug, Clone, PartialEq)]
pub struct DcqlQuery {
    credentials: Vec<CredentialQuery>,
    sets: Vec<CredentialSet>,
    json: Value,
}

/// A query for one credential.
#[derive(Debug, Clone, PartialEq)]
pub struct CredentialQuery {
    id: String,
    format: String,
    is_multiple: bool,
    needs_holder: bool,
    vct_values: Vec<String>,
    claims: Vec<ClaimQuery>,
    /// Indexes into `claims`; empty where the query has no claim sets.
    claim_sets: Vec<Vec<usize>>,
}

#[derive(Debug, Clone, PartialEq)]
struct ClaimQuery {
    path: Path,
    values: Option<Vec<Value>>,
}

/// Credential queries any option of which will do.
#[derive(Debug, Clone, PartialEq)]
struct CredentialSet {
    options: Vec<Vec<String>>,
    is_required: bool,
}

/// What `vp_token` holds for one credential query: one presentation, or several where the query
/// allows that.
pub type Answered<'a> = (&'a CredentialQuery, Vec<&'a str>);

impl DcqlQuery {
    /// Reads a query from JSON text.
    ///
    /// # Errors
    /// [`DcqlError::Query`], [`DcqlError::Unsupported`].
    pub fn parse(text: &[u8]) -> Result<Self, DcqlError> {
        if text.len() > MAX_BYTES {
            return Err(DcqlError::Query("dcql_query"));
        }
        let value = json::parse(text).map_err(|_| DcqlError::Query("dcql_query"))?;
        Self::from_value(value)
    }

    /// Reads a query.
    ///
    /// # Errors
    /// [`DcqlError::Query`], [`DcqlError::Unsupported`].
    pub fn from_value(json: Value) -> Result<Self, DcqlError> {
        let credentials = list(&json, "credentials", MAX_CREDENTIALS)?
            .ok_or(DcqlError::Query("credentials"))?
            .iter()
            .map(CredentialQuery::from_value)
            .collect::<Result<Vec<_>, _>>()?;
        for (index, query) in credentials.iter().enumerate() {
            if credentials[..index]
                .iter()
                .any(|other| other.id == query.id)
            {
                return Err(DcqlError::Query("credentials.id"));
            }
        }
        let known = |id: &String| credentials.iter().any(|query| query.id == *id);
        let sets = list(&json, "credential_sets", MAX_SETS)?
            .unwrap_or_default()
            .iter()
            .map(|set| CredentialSet::from_value(set, known))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            credentials,
            sets,
            json,
        })
    }

    /// As it stands in the request.
    #[must_use]
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// The credential queries.
    #[must_use]
    pub fn credentials(&self) -> &[CredentialQuery] {
        &self.credentials
    }

    /// The sets of ids that answer the query, smallest effort first: every required credential
    /// set's options, or all credentials where there are no sets. For a wallet that looks for what
    /// it can show.
    #[must_use]
    pub fn required_sets(&self) -> Vec<Vec<&[String]>> {
        self.sets
            .iter()
            .filter(|set| set.is_required)
            .map(|set| set.options.iter().map(Vec::as_slice).collect())
            .collect()
    }

    /// Whether the query has credential sets; without, all credentials are required.
    #[must_use]
    pub fn has_sets(&self) -> bool {
        !self.sets.is_empty()
    }

    /// Checks the shape of a `vp_token` and that all that is required is there; the presentations
    /// themselves are unread.
    ///
    /// # Errors
    /// [`DcqlError`].
    pub fn answered<'a>(&'a self, vp_token: &'a Value) -> Result<Vec<Answered<'a>>, DcqlError> {
        let token = vp_token.as_object().ok_or(DcqlError::VpToken)?;
        let mut answered = Vec::new();
        for (id, presentations) in token {
            let query = self
                .credentials
                .iter()
                .find(|query| query.id == *id)
                .ok_or_else(|| DcqlError::IdUnknown(id.chars().take(80).collect()))?;
            let presentations = presentations
                .as_array()
                .filter(|list| !list.is_empty())
                .and_then(|list| list.iter().map(Value::as_str).collect::<Option<Vec<_>>>())
                .ok_or(DcqlError::VpToken)?;
            let most = if query.is_multiple {
                MAX_PRESENTATIONS
            } else {
                1
            };
            if presentations.len() > most {
                return Err(DcqlError::TooMany(id.clone()));
            }
            answered.push((query, presentations));
        }
        let there = |id: &String| token.contains_key(id);
        if self.sets.is_empty() {
            if let Some(missing) = self.credentials.iter().find(|query| !there(&query.id)) {
                return Err(DcqlError::Missing(missing.id.clone()));
            }
        } else {
            let satisfied =
                |set: &CredentialSet| set.options.iter().any(|option| option.iter().all(there));
            if self
                .sets
                .iter()
                .any(|set| set.is_required && !satisfied(set))
                || answered.is_empty()
            {
                return Err(DcqlError::SetUnsatisfied);
            }
        }
        Ok(answered)
    }
}

impl CredentialQuery {
    fn from_value(value: &Value) -> Result<Self, DcqlError> {
        let id = identifier(value.get("id")).ok_or(DcqlError::Query("credentials.id"))?;
        let format = value.get("format").and_then(Value::as_str);
        let format = format.ok_or(DcqlError::Query("credentials.format"))?;
        let meta = value.get("meta").and_then(Value::as_object);
        let meta = meta.ok_or(DcqlError::Query("credentials.meta"))?;
        if value.get("trusted_authorities").is_some() {
            return Err(DcqlError::Unsupported("trusted_authorities"));
        }
        let vct_values = match meta.get("vct_values") {
            Some(Value::Array(values)) if !values.is_empty() && values.len() <= MAX_CLAIMS => {
                values
                    .iter()
                    .map(|value| value.as_str().map(str::to_owned))
                    .collect::<Option<Vec<_>>>()
                    .ok_or(DcqlError::Query("credentials.meta.vct_values"))?
            }
            None if format != FORMAT => Vec::new(),
            _ => return Err(DcqlError::Query("credentials.meta.vct_values")),
        };
        let mut ids = Vec::new();
        let mut claims = Vec::new();
        for claim in list(value, "claims", MAX_CLAIMS)?.unwrap_or_default() {
            let id = claim.get("id").map(|id| identifier(Some(id)));
            let id = match id {
                Some(None) => return Err(DcqlError::Query("claims.id")),
                Some(Some(id)) if ids.contains(&Some(id.clone())) => {
                    return Err(DcqlError::Query("claims.id"));
                }
                other => other.flatten(),
            };
            ids.push(id);
            claims.push(ClaimQuery::from_value(claim)?);
        }
        let sets = list(value, "claim_sets", MAX_CLAIMS)?.unwrap_or_default();
        let mut claim_sets = Vec::new();
        for set in sets {
            let set = set.as_array().filter(|set| !set.is_empty());
            let set = set.ok_or(DcqlError::Query("claim_sets"))?;
            let index = |id: &Value| {
                let id = id.as_str()?;
                ids.iter().position(|known| known.as_deref() == Some(id))
            };
            let set: Option<Vec<_>> = set.iter().take(MAX_CLAIMS).map(index).collect();
            claim_sets.push(set.ok_or(DcqlError::Query("claim_sets"))?);
        }
        Ok(Self {
            id,
            format: format.to_owned(),
            is_multiple: flag(value, "multiple", false)?,
            needs_holder: flag(value, "require_cryptographic_holder_binding", true)?,
            vct_values,
            claims,
            claim_sets,
        })
    }

    /// Its id, the member name in `vp_token`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its format, such as [`FORMAT`].
    #[must_use]
    pub fn format(&self) -> &str {
        &self.format
    }

    /// Whether several credentials may answer it.
    #[must_use]
    pub fn is_multiple(&self) -> bool {
        self.is_multiple
    }

    /// Whether the holder must sign.
    #[must_use]
    pub fn needs_holder(&self) -> bool {
        self.needs_holder
    }

    /// The types of which one will do.
    #[must_use]
    pub fn vct_values(&self) -> &[String] {
        &self.vct_values
    }

    /// The claims asked for, in order.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.claims.iter().map(|claim| &claim.path)
    }

    /// Whether a presented credential answers this query: its type, every claim of the query (or of
    /// one claim set) with one of its values, and nothing that could have been left out and was not
    /// asked for. `payload` is the processed payload, `disclosed` what came from disclosures.
    ///
    /// # Errors
    /// [`DcqlError`]; with claim sets, the reason for the first one.
    pub fn matches(
        &self,
        vct: &str,
        payload: &Map<String, Value>,
        disclosed: &[Path],
    ) -> Result<(), DcqlError> {
        self.satisfied(vct, payload)?;
        match disclosed.iter().find(|shown| !self.asks_for(shown)) {
            None => Ok(()),
            Some(shown) => Err(DcqlError::ClaimNotAsked {
                id: self.id.clone(),
                path: shown.to_string(),
            }),
        }
    }

    /// For a wallet: which disclosures of a credential to show, where the whole of it answers this
    /// query; `None` where it does not.
    ///
    /// # Errors
    /// [`SdJwtError`] where the credential does not hold together.
    pub fn selection(&self, credential: &SdJwt) -> Result<Option<Vec<Path>>, SdJwtError> {
        let payload = credential.unverified_payload()?;
        let vct = payload.get("vct").and_then(Value::as_str);
        if self.format != FORMAT || self.satisfied(vct.unwrap_or_default(), &payload).is_err() {
            return Ok(None);
        }
        let all = credential.disclosures()?;
        let mut chosen: Vec<Path> = all
            .iter()
            .filter(|path| self.is_within(path))
            .cloned()
            .collect();
        for claim in &self.claims {
            if chosen.iter().any(|path| begins(&claim.path, path)) {
                continue; // whatever it is nested in comes with it
            }
            // A claim that is plain inside something that is not: the innermost of that.
            let around = all.iter().filter(|path| begins(path, &claim.path));
            if let Some(innermost) = around.max_by_key(|path| path.steps().len())
                && !chosen.contains(innermost)
            {
                chosen.push(innermost.clone());
            }
        }
        Ok(Some(chosen))
    }

    fn satisfied(&self, vct: &str, payload: &Map<String, Value>) -> Result<(), DcqlError> {
        if !self.vct_values.iter().any(|value| value == vct) {
            return Err(DcqlError::Type {
                id: self.id.clone(),
            });
        }
        let payload = Value::Object(payload.clone());
        let all = |claims: &mut dyn Iterator<Item = &ClaimQuery>| -> Result<(), DcqlError> {
            for claim in claims {
                claim.check(&self.id, &payload)?;
            }
            Ok(())
        };
        if self.claim_sets.is_empty() {
            return all(&mut self.claims.iter());
        }
        let mut first = None;
        for set in &self.claim_sets {
            match all(&mut set.iter().map(|index| &self.claims[*index])) {
                Ok(()) => return Ok(()),
                Err(error) => first = first.or(Some(error)),
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// Whether a disclosure at `shown` serves a claim of the query: it is the claim, lies within
    /// it, or the claim lies within it.
    fn asks_for(&self, shown: &Path) -> bool {
        self.claims
            .iter()
            .any(|claim| begins(&claim.path, shown) || begins(shown, &claim.path))
    }

    /// Whether `shown` is a claim of the query, or lies within one.
    fn is_within(&self, shown: &Path) -> bool {
        self.claims.iter().any(|claim| begins(&claim.path, shown))
    }
}

impl ClaimQuery {
    fn from_value(value: &Value) -> Result<Self, DcqlError> {
        let path = value.get("path").cloned().unwrap_or_default();
        let path: Path =
            serde_json::from_value(path).map_err(|_| DcqlError::Query("claims.path"))?;
        if path.steps().is_empty() || path.steps().len() > json::MAX_DEPTH {
            return Err(DcqlError::Query("claims.path"));
        }
        let values = list(value, "values", MAX_CLAIMS)?.map(<[Value]>::to_vec);
        let scalar = |value: &Value| value.is_string() || value.is_number() || value.is_boolean();
        if values.iter().flatten().any(|value| !scalar(value)) {
            return Err(DcqlError::Query("claims.values"));
        }
        Ok(Self { path, values })
    }

    fn check(&self, id: &str, payload: &Value) -> Result<(), DcqlError> {
        let (id, path) = (id.to_owned(), self.path.to_string());
        let found = select(payload, &self.path);
        if found.is_empty() {
            return Err(DcqlError::ClaimMissing { id, path });
        }
        match &self.values {
            Some(values) if !found.iter().any(|value| values.contains(value)) => {
                Err(DcqlError::ClaimValue { id, path })
            }
            _ => Ok(()),
        }
    }
}

impl CredentialSet {
    fn from_value(value: &Value, known: impl Fn(&String) -> bool) -> Result<Self, DcqlError> {
        let wrong = || DcqlError::Query("credential_sets");
        let options = list(value, "options", MAX_SETS)?.ok_or_else(wrong)?;
        let option = |option: &Value| -> Option<Vec<String>> {
            let ids = option.as_array().filter(|ids| !ids.is_empty())?;
            ids.iter()
                .take(MAX_CREDENTIALS + 1)
                .map(|id| id.as_str().map(str::to_owned).filter(|id| known(id)))
                .collect()
        };
        Ok(Self {
            options: options
                .iter()
                .map(option)
                .collect::<Option<_>>()
                .ok_or_else(wrong)?,
            is_required: flag(value, "required", true)?,
        })
    }
}

/// The elements that a claims path pointer selects (OpenID4VP 1.0 §7.1); none where the path does
/// not fit.
#[must_use]
pub fn select<'a>(root: &'a Value, path: &Path) -> Vec<&'a Value> {
    let mut selected = vec![root];
    for step in path.steps() {
        let mut next = Vec::new();
        for value in selected {
            match (step, value) {
                (PathStep::Name(name), Value::Object(map)) => next.extend(map.get(name)),
                (PathStep::All, Value::Array(items)) => next.extend(items),
                (PathStep::Index(index), Value::Array(items)) => next.extend(items.get(*index)),
                // A path that does not fit the data selects nothing at all.
                _ => return Vec::new(),
            }
        }
        selected = next;
    }
    selected
}

/// Whether `path` begins with `start`; "every element" is as good as any index, both ways.
fn begins(start: &Path, path: &Path) -> bool {
    let (start, path) = (start.steps(), path.steps());
    start.len() <= path.len()
        && start.iter().zip(path).all(|steps| {
            matches!(
                steps,
                (PathStep::All, PathStep::Index(_)) | (PathStep::Index(_), PathStep::All)
            ) || steps.0 == steps.1
        })
}

/// A list member: absent, or not empty and no longer than `most`.
fn list<'a>(
    value: &'a Value,
    name: &'static str,
    most: usize,
) -> Result<Option<&'a [Value]>, DcqlError> {
    match value.get(name) {
        None => Ok(None),
        Some(Value::Array(items)) if !items.is_empty() && items.len() <= most => Ok(Some(items)),
        Some(_) => Err(DcqlError::Query(name)),
    }
}

fn flag(value: &Value, name: &'static str, default: bool) -> Result<bool, DcqlError> {
    match value.get(name) {
        None => Ok(default),
        Some(value) => value.as_bool().ok_or(DcqlError::Query(name)),
    }
}

/// Alphanumeric characters, underscore and hyphen (§6.1, §6.3).
fn identifier(value: Option<&Value>) -> Option<String> {
    let text = value?.as_str()?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    ((1..=64).contains(&text.len()) && text.bytes().all(fits)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn query(value: Value) -> DcqlQuery {
        DcqlQuery::from_value(value).unwrap()
    }

    fn payload() -> Value {
        json!({
            "vct": "urn:v", "date": "2025-04-01", "place": { "name": "Sakura" },
            "doses": [{ "number": 1 }, { "number": 2 }], "mixed": [{ "a": 1 }, 2],
        })
    }

    fn one(claims: Value) -> Value {
        json!({ "credentials": [{ "id": "v", "format": FORMAT, "meta": { "vct_values": ["urn:v"] }, "claims": claims }] })
    }

    fn verdict(claims: Value, disclosed: &[Path]) -> Result<(), &'static str> {
        let query = query(one(claims));
        let Value::Object(payload) = payload() else {
            unreachable!()
        };
        query.credentials()[0]
            .matches("urn:v", &payload, disclosed)
            .map_err(|error| error.code())
    }

    #[test]
    fn paths_select_as_in_section_7() {
        let payload = payload();
        let found = |path: Value| select(&payload, &serde_json::from_value(path).unwrap()).len();
        assert_eq!(found(json!(["date"])), 1);
        assert_eq!(found(json!(["place", "name"])), 1);
        assert_eq!(found(json!(["doses", null, "number"])), 2);
        assert_eq!(found(json!(["doses", 1, "number"])), 1);
        assert_eq!(found(json!(["doses", 2, "number"])), 0);
        assert_eq!(found(json!(["date", "x"])), 0);
        assert_eq!(found(json!(["mixed", null, "a"])), 0);
        assert_eq!(found(json!(["absent"])), 0);
    }

    #[test]
    fn claims_must_be_there_with_their_values_and_nothing_else() {
        let date = || Path::from("date");
        assert_eq!(verdict(json!([{ "path": ["date"] }]), &[date()]), Ok(()));
        assert_eq!(
            verdict(json!([{ "path": ["lot"] }]), &[]),
            Err("dcql_claim_missing")
        );
        let values = json!([{ "path": ["doses", null, "number"], "values": [2, 3] }]);
        assert_eq!(verdict(values, &[]), Ok(()));
        let values = json!([{ "path": ["date"], "values": ["2025-04-02"] }]);
        assert_eq!(verdict(values, &[]), Err("dcql_claim_value"));
        assert_eq!(
            verdict(json!([{ "path": ["place", "name"] }]), &[date()]),
            Err("dcql_claim_not_asked")
        );
        // The parent that a claim needs, and the children of a claim, are asked for with it.
        let place = Path::from("place");
        assert_eq!(
            verdict(json!([{ "path": ["place", "name"] }]), &[place]),
            Ok(())
        );
        let dose = Path::new([PathStep::from("doses"), PathStep::Index(0)]);
        assert_eq!(
            verdict(json!([{ "path": ["doses", null] }]), &[dose]),
            Ok(())
        );
    }

    #[test]
    fn a_query_without_claims_asks_for_none() {
        let mut value = one(json!([{ "path": ["date"] }]));
        value["credentials"][0]
            .as_object_mut()
            .unwrap()
            .remove("claims");
        let query = query(value);
        let Value::Object(payload) = payload() else {
            unreachable!()
        };
        let matches = |disclosed: &[Path]| {
            query.credentials()[0]
                .matches("urn:v", &payload, disclosed)
                .map_err(|error| error.code())
        };
        assert_eq!(matches(&[]), Ok(()));
        assert_eq!(matches(&["date".into()]), Err("dcql_claim_not_asked"));
        assert_eq!(
            query.credentials()[0]
                .matches("urn:w", &payload, &[])
                .unwrap_err()
                .code(),
            "dcql_type_mismatch"
        );
    }

    #[test]
    fn any_claim_set_will_do() {
        let mut value = one(json!([
            { "id": "a", "path": ["lot"] }, { "id": "b", "path": ["date"] }, { "id": "c", "path": ["place", "name"] },
        ]));
        value["credentials"][0]["claim_sets"] = json!([["a", "b"], ["b", "c"]]);
        let with = query(value.clone());
        let Value::Object(payload) = payload() else {
            unreachable!()
        };
        assert!(
            with.credentials()[0]
                .matches("urn:v", &payload, &[])
                .is_ok()
        );
        value["credentials"][0]["claim_sets"] = json!([["a", "b"]]);
        let without = query(value.clone());
        assert_eq!(
            without.credentials()[0]
                .matches("urn:v", &payload, &[])
                .unwrap_err()
                .code(),
            "dcql_claim_missing"
        );
        value["credentials"][0]["claim_sets"] = json!([["z"]]);
        assert!(DcqlQuery::from_value(value).is_err());
    }

    #[test]
    fn vp_token_has_what_is_required() {
        let credential =
            |id: &str| json!({ "id": id, "format": FORMAT, "meta": { "vct_values": ["urn:v"] } });
        let mut value =
            json!({ "credentials": [credential("a"), credential("b"), credential("c")] });
        value["credentials"][2]["multiple"] = true.into();
        let all = query(value.clone());
        let code = |query: &DcqlQuery, token: Value| {
            query
                .answered(&token)
                .map(|answered| answered.len())
                .map_err(|error| error.code())
        };
        assert_eq!(
            code(&all, json!({ "a": ["x"], "b": ["x"], "c": ["x", "y"] })),
            Ok(3)
        );
        assert_eq!(
            code(&all, json!({ "a": ["x"], "b": ["x"] })),
            Err("vp_token_missing")
        );
        assert_eq!(
            code(&all, json!({ "a": ["x", "y"], "b": ["x"], "c": ["x"] })),
            Err("vp_token_too_many")
        );
        assert_eq!(
            code(&all, json!({ "d": ["x"] })),
            Err("vp_token_id_unknown")
        );
        for token in [
            json!("x"),
            json!({ "a": "x" }),
            json!({ "a": [] }),
            json!({ "a": [1] }),
            json!([]),
        ] {
            assert_eq!(code(&all, token), Err("vp_token_malformed"));
        }
        value["credential_sets"] = json!([
            { "options": [["a"], ["b", "c"]] }, { "options": [["c"]], "required": false },
        ]);
        let sets = query(value);
        assert_eq!(code(&sets, json!({ "a": ["x"] })), Ok(1));
        assert_eq!(code(&sets, json!({ "b": ["x"], "c": ["x"] })), Ok(2));
        assert_eq!(
            code(&sets, json!({ "b": ["x"] })),
            Err("vp_token_set_unsatisfied")
        );
        assert_eq!(code(&sets, json!({})), Err("vp_token_set_unsatisfied"));
    }

    #[test]
    fn malformed_queries_are_refused() {
        let good = one(json!([{ "path": ["date"] }]));
        let with = |change: &dyn Fn(&mut Value)| {
            let mut value = good.clone();
            change(&mut value);
            DcqlQuery::from_value(value).map_err(|error| error.code())
        };
        assert!(with(&|_| {}).is_ok());
        let wrong: [&dyn Fn(&mut Value); 14] = [
            &|v| v["credentials"] = json!([]),
            &|v| v["credentials"] = json!({}),
            &|v| v["credentials"][0]["id"] = "a b".into(),
            &|v| v["credentials"][0]["id"] = "".into(),
            &|v| v["credentials"][0]["format"] = Value::Null,
            &|v| v["credentials"][0]["meta"] = json!({}),
            &|v| v["credentials"][0]["meta"]["vct_values"] = json!([1]),
            &|v| v["credentials"][0]["claims"] = json!([]),
            &|v| v["credentials"][0]["claims"][0]["path"] = json!([]),
            &|v| v["credentials"][0]["claims"][0]["path"] = json!([-1]),
            &|v| v["credentials"][0]["claims"][0]["values"] = json!([{}]),
            &|v| v["credentials"][0]["multiple"] = "yes".into(),
            &|v| v["credential_sets"] = json!([{ "options": [["w"]] }]),
            &|v| v["credentials"] = json!([v["credentials"][0], v["credentials"][0]]),
        ];
        for (index, change) in wrong.iter().enumerate() {
            assert_eq!(with(change).err(), Some("dcql_invalid"), "{index}");
        }
        assert_eq!(
            with(&|v| v["credentials"][0]["trusted_authorities"] = json!([])).err(),
            Some("dcql_unsupported")
        );
        assert_eq!(
            DcqlQuery::parse(&vec![b' '; MAX_BYTES + 1])
                .unwrap_err()
                .code(),
            "dcql_invalid"
        );
        assert_eq!(
            DcqlQuery::parse(br#"{"credentials":[],"credentials":[]}"#)
                .unwrap_err()
                .code(),
            "dcql_invalid"
        );
    }
}
