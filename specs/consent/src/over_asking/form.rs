//! The one form of a request object that is evidence (`over-asking.md`, section 2).

use super::certificate::Certificate;
use super::fields::{Fields, LIST_MAX, decode, labels, list, random, text, words};
use super::{AskedFor, EvidenceError, KeyName};
use crate::codes::{CATEGORIES, CLAIMS, LEGAL_BASES, PURPOSES, category_of};
use crate::ids::{ChainId, OrganisationId};
use crate::json::Json;
use crate::organisation::KeyUse;
use crate::request::TIME_MAX_MS;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::slice::from_ref;

/// Longest certificate in bytes.
const CERTIFICATE_LIMIT: usize = 2048;
/// Type of the statement, in `transaction_data` or `verifier_info`.
const STATEMENT: &str = "urn:tegata:presentation:1";

pub(super) fn read_header(header: &Json) -> Result<(KeyUse, KeyName), EvidenceError> {
    let header = Fields::of(header, "header", &["typ", "alg"], &["kid", "x5c"])?;
    header.is("typ", "oauth-authz-req+jwt")?;
    let algorithm = header.text("alg")?;
    let name = match (header.get("kid"), header.get("x5c")) {
        (Some(url), None) => KeyName::Url(text(url, "kid")?.to_owned()),
        (None, Some(chain)) => {
            let [leaf] = list(chain, "x5c", 1)? else {
                return Err(EvidenceError::Member("x5c"));
            };
            let der = certificate(leaf)?;
            let read = Certificate::read(&der).ok_or(EvidenceError::Member("x5c"))?;
            KeyName::Certificate(Box::new(read), Sha256::digest(&der).into())
        }
        _ => return Err(EvidenceError::Member("kid")),
    };
    match algorithm {
        "EdDSA" => Ok((KeyUse::CredentialEdDsa, name)),
        "ES256" => Ok((KeyUse::CredentialEs256, name)),
        _ => Err(EvidenceError::Algorithm),
    }
}

fn certificate(value: &Json) -> Result<Vec<u8>, EvidenceError> {
    let bytes = STANDARD.decode(text(value, "x5c")?);
    bytes
        .ok()
        .filter(|bytes| bytes.len() <= CERTIFICATE_LIMIT)
        .ok_or(EvidenceError::Member("x5c"))
}

/// What counts of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Payload {
    pub(super) client_id: String,
    pub(super) client_name: String,
    pub(super) response_uri: String,
    pub(super) chain: ChainId,
    pub(super) organisation: OrganisationId,
    pub(super) asked_for: Vec<AskedFor>,
    pub(super) expires_ms: u64,
}

impl Payload {
    pub(super) fn read(payload: &Json) -> Result<Self, EvidenceError> {
        let required = [
            "response_type",
            "response_mode",
            "client_id",
            "aud",
            "nonce",
            "iat",
            "exp",
            "response_uri",
            "dcql_query",
            "client_metadata",
        ];
        let optional = ["state", "wallet_nonce", "transaction_data", "verifier_info"];
        let payload = Fields::of(payload, "payload", &required, &optional)?;
        payload.is("response_type", "vp_token")?;
        payload.one_of("response_mode", &["direct_post", "direct_post.jwt"])?;
        payload.is("aud", "https://self-issued.me/v2")?;
        for name in ["nonce", "state", "wallet_nonce"] {
            if let Some(value) = payload.get(name) {
                random(value, name)?;
            }
        }
        payload.number("iat")?;
        let expires_s = payload.number("exp")?;
        let types = query(payload.required("dcql_query")?)?;
        let client_name = client_metadata(payload.required("client_metadata")?)?;
        let client_id = payload.text("client_id")?.to_owned();
        let response_uri = payload.text("response_uri")?.to_owned();
        let statements = statements(&payload)?;
        let first = statements
            .first()
            .ok_or(EvidenceError::Member("transaction_data"))?;
        let (chain, organisation) = (first.chain, first.organisation);
        let same = |other: &Statement| other.chain == chain && other.organisation == organisation;
        if !statements.iter().all(same) {
            return Err(EvidenceError::Member("organisation"));
        }
        let ends = statements.iter().map(|statement| statement.until_ms);
        let expires_ms = ends.fold(expires_s.saturating_mul(1000), u64::min);
        if expires_ms > TIME_MAX_MS {
            return Err(EvidenceError::Member("exp"));
        }
        let mut asked_for: Vec<_> = statements.into_iter().map(|one| one.asked_for).collect();
        for asked in &mut asked_for {
            asked
                .categories
                .extend(types.iter().map(|one| (*one).to_owned()));
            asked.categories.sort_unstable();
            asked.categories.dedup();
        }
        asked_for.dedup();
        Ok(Self {
            client_id,
            client_name,
            response_uri,
            chain,
            organisation,
            asked_for,
            expires_ms,
        })
    }
}

/// The categories of the types that a query names.
fn query(value: &Json) -> Result<Vec<&'static str>, EvidenceError> {
    let query = Fields::of(value, "dcql_query", &["credentials"], &["credential_sets"])?;
    let mut categories = Vec::new();
    for one in query.list("credentials")? {
        let flags = ["multiple", "require_cryptographic_holder_binding"];
        let optional = [flags[0], flags[1], "claims", "claim_sets"];
        let one = Fields::of(one, "credentials", &["id", "format", "meta"], &optional)?;
        labels(from_ref(one.required("id")?), "id")?;
        one.is("format", "dc+sd-jwt")?;
        one.flags(&flags)?;
        let meta = Fields::of(one.required("meta")?, "meta", &["vct_values"], &[])?;
        for vct in meta.list("vct_values")? {
            let category = vct.text().and_then(category_of);
            categories.push(category.ok_or(EvidenceError::Member("vct_values"))?);
        }
        for claim in one.optional_list("claims")? {
            let claim = Fields::of(claim, "claims", &["path"], &["id"])?;
            labels(claim.get("id").map_or(&[], from_ref), "id")?;
            let step = |step: &Json| match step {
                Json::Text(name) => CLAIMS.contains(&name.as_str()),
                Json::Number(index) => *index < 1000,
                other => *other == Json::Null,
            };
            if !claim.list("path")?.iter().all(step) {
                return Err(EvidenceError::Member("path"));
            }
        }
        for ids in one.optional_list("claim_sets")? {
            labels(list(ids, "claim_sets", LIST_MAX)?, "claim_sets")?;
        }
    }
    for set in query.optional_list("credential_sets")? {
        let set = Fields::of(set, "credential_sets", &["options"], &["required"])?;
        set.flags(&["required"])?;
        for option in set.list("options")? {
            labels(list(option, "options", LIST_MAX)?, "options")?;
        }
    }
    Ok(categories)
}

/// Checks what the verifier says of itself, and gives its name.
fn client_metadata(value: &Json) -> Result<String, EvidenceError> {
    let encryptions = "encrypted_response_enc_values_supported";
    let required = ["client_name", "vp_formats_supported"];
    let metadata = Fields::of(value, "client_metadata", &required, &["jwks", encryptions])?;
    let formats = metadata.required("vp_formats_supported")?;
    let formats = Fields::of(formats, "vp_formats_supported", &["dc+sd-jwt"], &[])?;
    let algorithms = ["sd-jwt_alg_values", "kb-jwt_alg_values"];
    let format = formats.required("dc+sd-jwt")?;
    let format = Fields::of(format, "vp_formats_supported", &[], &algorithms)?;
    for name in algorithms {
        words(format.optional_list(name)?, name, &["ES256", "EdDSA"])?;
    }
    let values = metadata.optional_list(encryptions)?;
    words(values, encryptions, &["A128GCM", "A256GCM"])?;
    if let Some(keys) = metadata.get("jwks") {
        let keys = Fields::of(keys, "jwks", &["keys"], &[])?;
        for key in keys.list("keys")? {
            let required = ["kty", "crv", "x", "y"];
            let key = Fields::of(key, "keys", &required, &["use", "alg", "kid"])?;
            for (name, word) in [
                ("kty", "EC"),
                ("crv", "P-256"),
                ("use", "enc"),
                ("alg", "ECDH-ES"),
            ] {
                if key.get(name).is_some() {
                    key.is(name, word)?;
                }
            }
            for name in ["x", "y", "kid"] {
                if let Some(value) = key.get(name) {
                    random(value, name)?;
                }
            }
        }
    }
    Ok(metadata.text("client_name")?.to_owned())
}

struct Statement {
    chain: ChainId,
    organisation: OrganisationId,
    asked_for: AskedFor,
    until_ms: u64,
}

/// Who asks for what and why: one entry of `transaction_data` for each credential, or one of `verifier_info`.
fn statements(payload: &Fields<'_>) -> Result<Vec<Statement>, EvidenceError> {
    let members = [
        "chain",
        "organisation",
        "categories",
        "purpose",
        "legal_basis",
        "retention_days",
        "until_ms",
    ];
    let mut found = Vec::new();
    if payload.get("transaction_data").is_some() && payload.get("verifier_info").is_some() {
        return Err(EvidenceError::Member("verifier_info"));
    }
    for entry in payload.optional_list("transaction_data")? {
        let value = Json::parse(&decode(text(entry, "transaction_data")?)?)?;
        let more = ["type", "credential_ids", "transaction_data_hashes_alg"];
        let required = [&members[..], &more[..]].concat();
        let fields = Fields::of(&value, "transaction_data", &required, &[])?;
        fields.is("type", STATEMENT)?;
        labels(fields.list("credential_ids")?, "credential_ids")?;
        let hashes = "transaction_data_hashes_alg";
        words(fields.list(hashes)?, hashes, &["sha-256"])?;
        found.push(Statement::read(&fields)?);
    }
    for info in payload.optional_list("verifier_info")? {
        let info = Fields::of(info, "verifier_info", &["format", "data"], &[])?;
        info.is("format", STATEMENT)?;
        let fields = Fields::of(info.required("data")?, "verifier_info", &members, &[])?;
        found.push(Statement::read(&fields)?);
    }
    Ok(found)
}

impl Statement {
    fn read(fields: &Fields<'_>) -> Result<Self, EvidenceError> {
        let categories = fields.list("categories")?;
        words(categories, "categories", CATEGORIES)?;
        fields.one_of("purpose", PURPOSES)?;
        fields.one_of("legal_basis", LEGAL_BASES)?;
        let retention_days = fields.number("retention_days")?;
        let (chain, organisation) = (fields.text("chain")?, fields.text("organisation")?);
        Ok(Self {
            chain: chain.parse().map_err(|_| EvidenceError::Member("chain"))?,
            organisation: organisation
                .parse()
                .map_err(|_| EvidenceError::Member("organisation"))?,
            asked_for: AskedFor {
                categories: categories
                    .iter()
                    .filter_map(Json::text)
                    .map(str::to_owned)
                    .collect(),
                purpose: fields.text("purpose")?.to_owned(),
                legal_basis: fields.text("legal_basis")?.to_owned(),
                retention_days: u32::try_from(retention_days)
                    .map_err(|_| EvidenceError::Member("retention_days"))?,
            },
            until_ms: fields.number("until_ms")?,
        })
    }
}
