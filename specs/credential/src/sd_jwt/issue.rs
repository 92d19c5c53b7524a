//! Issuing.

use rand_core::CryptoRng;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::{
    FORMAT_NAMES, IssueError, MAX_BYTES, MAX_DISCLOSURES, MAX_ISSUED_DEPTH, Path,
    REGISTERED_CLAIMS, StatusReference, TYP, kit,
};
use crate::keys::{PublicKey, SigningKey};
use crate::x509::Certificate;
use crate::{json as strict, jws};

/// What a credential is to say. Start from [`Issuance::new`] and set the rest by name.
#[derive(Debug, Clone)]
pub struct Issuance<'a> {
    /// `iss`: the issuer, as the registry names it.
    pub issuer: &'a str,
    /// `vct`: the record type.
    pub vct: &'a str,
    /// `vct#integrity`: the hash of the record type's metadata (`sha256-…`, W3C SRI).
    pub vct_integrity: Option<&'a str>,
    /// `iat`, Unix seconds.
    pub issued_at: i64,
    /// `exp`, Unix seconds.
    pub expires_at: Option<i64>,
    /// `jti`: an id for this credential.
    pub id: Option<&'a str>,
    /// The claims about the subject: a JSON object without
    /// [`REGISTERED_CLAIMS`](super::REGISTERED_CLAIMS).
    pub claims: &'a Value,
    /// The claims that the holder may leave out. Each path must select something. Nested members
    /// and elements are fine, also inside something that is itself disclosable.
    pub disclosable: &'a [Path],
    /// `cnf.jwk`: the holder's key, without which the credential cannot be presented with key
    /// binding.
    pub holder: Option<&'a PublicKey>,
    /// `status.status_list`: where revocation will be seen.
    pub status: Option<StatusReference>,
    /// The `x5c` header: the signing key's certificate chain, leaf first, without the anchor
    /// (HAIP 1.0 §6.1). Empty: no `x5c`.
    pub certificates: &'a [Certificate],
    /// How many digests of nothing are added to every list of digests in which there is one of
    /// something (RFC 9901 §4.2.5), so that a list's length says less.
    pub decoys: usize,
}

impl<'a> Issuance<'a> {
    /// A credential with nothing optional in it and nothing disclosable.
    #[must_use]
    pub fn new(issuer: &'a str, vct: &'a str, issued_at: i64, claims: &'a Value) -> Self {
        Self {
            issuer,
            vct,
            vct_integrity: None,
            issued_at,
            expires_at: None,
            id: None,
            claims,
            disclosable: &[],
            holder: None,
            status: None,
            certificates: &[],
            decoys: 0,
        }
    }
}

/// Signs a credential: `<JWT>~<disclosure>~…~`, header `alg`, `typ: dc+sd-jwt`, `kid` (the
/// signing key's [`key_id`](SigningKey::key_id)), and `x5c` where there are certificates.
///
/// 32 bytes are drawn from `rng`; the 128-bit salts of the disclosures derive from them. The same
/// bytes give the same credential.
///
/// # Errors
/// [`IssueError`].
pub fn issue(
    issuance: &Issuance<'_>,
    key: &SigningKey,
    rng: &mut impl CryptoRng,
) -> Result<String, IssueError> {
    let claims = issuance.claims.as_object().ok_or(IssueError::NotAnObject)?;
    if issuance.decoys > MAX_DISCLOSURES {
        return Err(IssueError::TooManyDisclosures(issuance.decoys));
    }
    let header = header(issuance.certificates, key)?;
    check_claims(claims, issuance.claims)?;
    let payload = registered(issuance)?
        .into_iter()
        .chain(claims.clone())
        .collect();

    let mut seed = Zeroizing::new([0u8; 32]);
    rng.fill_bytes(&mut *seed);
    let concealed = kit::conceal(payload, issuance.disclosable, issuance.decoys, seed)?;
    if concealed.disclosures.len() > MAX_DISCLOSURES {
        return Err(IssueError::TooManyDisclosures(concealed.disclosures.len()));
    }

    let mut credential = jws::sign_with_header(header, &concealed.payload, key);
    credential.push('~');
    for disclosure in &concealed.disclosures {
        credential.push_str(disclosure);
        credential.push('~');
    }
    if credential.len() > MAX_BYTES {
        return Err(IssueError::TooLarge(credential.len()));
    }
    Ok(credential)
}

fn header(
    certificates: &[Certificate],
    key: &SigningKey,
) -> Result<Map<String, Value>, IssueError> {
    let mut header = Map::new();
    header.insert("alg".into(), key.algorithm().name().into());
    header.insert("typ".into(), TYP.into());
    header.insert("kid".into(), key.key_id().into());
    if let Some(leaf) = certificates.first() {
        if leaf.public_key().ok() != Some(key.public_key()) {
            return Err(IssueError::CertificateKey);
        }
        let chain: Vec<String> = certificates.iter().map(Certificate::to_base64).collect();
        header.insert("x5c".into(), chain.into());
    }
    Ok(header)
}

fn check_claims(claims: &Map<String, Value>, value: &Value) -> Result<(), IssueError> {
    if strict::is_deeper_than(value, MAX_ISSUED_DEPTH) {
        return Err(IssueError::TooDeep);
    }
    if let Some(name) = claims
        .keys()
        .find(|name| REGISTERED_CLAIMS.contains(&name.as_str()))
    {
        return Err(IssueError::ReservedClaim(name.clone()));
    }
    match super::verify::find_name(value, &FORMAT_NAMES) {
        Some(name) => Err(IssueError::ReservedClaim(name.to_owned())),
        None => Ok(()),
    }
}

fn registered(issuance: &Issuance<'_>) -> Result<Map<String, Value>, IssueError> {
    for path in issuance.disclosable {
        // Registered claims are not in `claims`, so only a path could reach them.
        if let Some(name) = path.head().filter(|name| REGISTERED_CLAIMS.contains(name)) {
            return Err(IssueError::ReservedClaim(name.to_owned()));
        }
    }
    let mut out = Map::new();
    out.insert("iss".into(), issuance.issuer.into());
    out.insert("iat".into(), issuance.issued_at.into());
    if let Some(exp) = issuance.expires_at {
        if exp <= issuance.issued_at {
            return Err(IssueError::ExpiryBeforeIssue {
                exp,
                iat: issuance.issued_at,
            });
        }
        out.insert("exp".into(), exp.into());
    }
    if let Some(id) = issuance.id {
        out.insert("jti".into(), id.into());
    }
    out.insert("vct".into(), issuance.vct.into());
    if let Some(integrity) = issuance.vct_integrity {
        out.insert("vct#integrity".into(), integrity.into());
    }
    if let Some(holder) = issuance.holder {
        out.insert("cnf".into(), json!({ "jwk": holder.to_jwk() }));
    }
    if let Some(status) = &issuance.status {
        out.insert(
            "status".into(),
            json!({ "status_list": { "idx": status.index, "uri": status.uri } }),
        );
    }
    Ok(out)
}
