//! Presentations over OpenID4VP: a verifier's signed request, checked; the one-time grant that answers it; the response.

use crate::json::{from_base64url, id, thrown};
use crate::ledger::Ledger;
use crate::vault::{Vault, fresh_salt, rng};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tegata_consent::cbor;
use tegata_consent::codes::category_of;
use tegata_consent::entry::{Body, Entry};
use tegata_consent::header::ValidatorSet;
use tegata_consent::ids::{ChainId, Hash, Nonce, OrganisationId, Salt};
use tegata_consent::order::GrantSubmission;
use tegata_consent::organisation::{KeyUse, OrganisationState};
use tegata_consent::over_asking as evidence;
use tegata_consent::presentation::{PresentedConsent, Question, one_time_grant};
use tegata_consent::proof::StateProof;
use tegata_credential::did::Did;
use tegata_credential::jwe;
use tegata_credential::keys::{Algorithm, PublicKey, SigningKey};
use tegata_credential::openid4vp::{
    ASKED_TYPE, Asked, Expected, RequestObject, TransactionData, VerifiedRequest, binding_claims,
};
use tegata_credential::sd_jwt::{KeyBinding, SdJwt};
use wasm_bindgen::prelude::*;

/// A request that a registered organisation signed, and what it asks for.
#[wasm_bindgen]
#[derive(Debug)]
pub struct PresentationRequest {
    request: VerifiedRequest,
    asked: Asked,
    chain: ChainId,
    recipient: OrganisationId,
    /// Under which it can be reported; `None` where it is no evidence.
    evidence: Option<Hash>,
}

/// What a request object says of its organisation, unverified: `{chain, organisation}`. Says whom to ask the registry for.
///
/// # Errors
/// Where it is malformed, or does not say who asks.
#[wasm_bindgen(js_name = presentationAsker)]
pub fn presentation_asker(request: &str) -> Result<String, JsError> {
    let parsed = RequestObject::parse(request).map_err(thrown)?;
    let asked = parsed
        .asked()
        .ok_or_else(|| JsError::new("the request does not say who asks"))?;
    Ok(json!({ "chain": asked.chain, "organisation": asked.organisation }).to_string())
}

#[wasm_bindgen]
impl Ledger {
    /// Checks a presentation's request: that the organisation which `proof` proves signed it, for the client that the link
    /// names, with the wallet's own nonce where it fetched it by POST.
    ///
    /// # Errors
    /// Naming what does not hold.
    #[wasm_bindgen(js_name = presentationRequest)]
    pub fn presentation_request(
        &self,
        proof: &[u8],
        request: &str,
        client_id: &str,
        wallet_nonce: Option<String>,
        at_ms: f64,
    ) -> Result<PresentationRequest, JsError> {
        let expected = Expected {
            client_id,
            wallet_nonce: wallet_nonce.as_deref(),
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a time in milliseconds since 1970"
        )]
        let at_ms = at_ms as u64;
        verify(
            &self.chain,
            &self.validators,
            proof,
            request,
            &expected,
            at_ms,
        )
    }
}

/// Checks a request: that the organisation which `proof` proves signed it with a credential key of its own that counts now, for
/// the client that the link names, with the wallet's nonce.
fn verify(
    chain: &ChainId,
    validators: &ValidatorSet,
    proof: &[u8],
    request: &str,
    expected: &Expected<'_>,
    at_ms: u64,
) -> Result<PresentationRequest, JsError> {
    let parsed = RequestObject::parse(request).map_err(thrown)?;
    let asked = parsed
        .asked()
        .ok_or_else(|| JsError::new("the request does not say who asks"))?;
    if asked.chain != chain.to_string() {
        return Err(JsError::new("the request is for another ledger"));
    }
    let recipient: OrganisationId = id(&asked.organisation)?;
    let proof = StateProof::parse(proof).map_err(thrown)?;
    let proven = proof
        .verify_organisation(chain, validators, &recipient)
        .map_err(thrown)?;
    let organisation = proven
        .value
        .ok_or_else(|| JsError::new("the organisation is not in the registry"))?;
    let own = credential_keys(&organisation, at_ms);
    let resolve = |url: &str| {
        let did = Did::of_url(url).ok()?;
        if did.as_str() == organisation.organisation.did {
            return own.iter().find(|key| url.ends_with(&key.key_id())).copied();
        }
        // A DID that carries its key: whether that is the organisation's is asked below.
        let document = did.own_document().ok()?;
        document.methods().first().map(|method| *method.key())
    };
    let at_s = i64::try_from(at_ms / 1000).unwrap_or(i64::MAX);
    let request = parsed.verify(expected, resolve, at_s).map_err(thrown)?;
    if !own.contains(request.key()) {
        return Err(JsError::new(
            "the request is signed by another than the one who asks",
        ));
    }
    if let Some(strange) = request
        .transaction_data()
        .iter()
        .find(|data| data.kind != ASKED_TYPE)
    {
        let kind: String = strange.kind.chars().take(80).collect();
        return Err(JsError::new(&format!(
            "transaction data of type {kind} is not understood"
        )));
    }
    let asked = request.asked().cloned().unwrap_or(asked);
    let states = |data: &TransactionData| data.asked().as_ref() == Some(&asked);
    if !request.transaction_data().iter().all(states) {
        return Err(JsError::new("the request states two things"));
    }
    let evidence = evidence::RequestObject::parse(request.text().as_bytes())
        .and_then(|object| object.check(chain, &organisation, at_ms));
    Ok(PresentationRequest {
        evidence: evidence
            .is_ok()
            .then(|| evidence::evidence_digest(request.text().as_bytes())),
        asked,
        request,
        chain: *chain,
        recipient,
    })
}

fn credential_keys(organisation: &OrganisationState, at_ms: u64) -> Vec<PublicKey> {
    let of = |key_use, algorithm| {
        organisation
            .keys_at(key_use, at_ms)
            .filter_map(move |key| PublicKey::from_bytes(algorithm, &key.public).ok())
    };
    of(KeyUse::CredentialEdDsa, Algorithm::EdDsa)
        .chain(of(KeyUse::CredentialEs256, Algorithm::Es256))
        .collect()
}

#[wasm_bindgen]
impl PresentationRequest {
    /// `{organisation, categories, purpose, legalBasis, retentionDays, untilMs, needsConsent, queries, sets, responseUri,
    /// evidence}`; `categories` are those stated and those of the types that the query names; a query is
    /// `{id, vctValues, multiple}`, `sets` the credential sets of which one option each must be shown, or null where all
    /// queries must be answered; `evidence` the digest under which the request can be reported, or null where it cannot.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn says(&self) -> String {
        let asked = &self.asked;
        let query = self.request.query();
        let mut categories = asked.categories.clone();
        let types = query.credentials().iter().flat_map(|one| one.vct_values());
        categories.extend(types.filter_map(|vct| category_of(vct).map(str::to_owned)));
        categories.sort_unstable();
        categories.dedup();
        let queries: Vec<_> = query
            .credentials()
            .iter()
            .map(|one| {
                json!({ "id": one.id(), "vctValues": one.vct_values(), "multiple": one.is_multiple() })
            })
            .collect();
        json!({
            "organisation": self.recipient.to_string(),
            "categories": categories,
            "purpose": asked.purpose,
            "legalBasis": asked.legal_basis,
            "retentionDays": asked.retention_days,
            "untilMs": asked.until_ms,
            "needsConsent": !self.request.transaction_data().is_empty(),
            "queries": queries,
            "sets": query.has_sets().then(|| query.required_sets()),
            "responseUri": self.request.response_uri(),
            "evidence": self.evidence.map(|digest| digest.to_string()),
        })
        .to_string()
    }

    /// The request as it was signed: what a report embeds.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.request.text().as_bytes().to_vec()
    }

    /// What of a credential would be shown for a query: JSON array of top-level claim names, or null where the credential does
    /// not answer it.
    ///
    /// # Errors
    /// Where the credential does not hold together.
    pub fn shows(&self, query: &str, credential: &str) -> Result<String, JsError> {
        let parsed = SdJwt::parse(credential).map_err(thrown)?;
        let one = self
            .request
            .query()
            .credentials()
            .iter()
            .find(|one| one.id() == query);
        let selected = match one {
            Some(one) => one.selection(&parsed).map_err(thrown)?,
            None => None,
        };
        let names = selected.map(|paths| {
            let mut names: Vec<_> = paths
                .iter()
                .filter_map(|path| path.head())
                .map(str::to_owned)
                .collect();
            names.dedup();
            names
        });
        Ok(json!(names).to_string())
    }

    /// The form in which a person says no: what is posted to the response's address.
    #[must_use]
    pub fn denial(&self) -> String {
        let mut form = vec![("error", "access_denied")];
        form.extend(self.request.state().map(|state| ("state", state)));
        encoded(&form)
    }
}

/// The one-time grant of a presentation, as the host takes it.
#[wasm_bindgen]
#[derive(Debug)]
pub struct PresentationPapers {
    id: String,
    entry_id: String,
    salt: String,
    submission: Vec<u8>,
}

#[wasm_bindgen]
impl PresentationPapers {
    /// The grant's id, in hexadecimal.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn id(&self) -> String {
        self.id.clone()
    }
    /// The entry's id, in hexadecimal.
    #[wasm_bindgen(getter, js_name = entryId)]
    #[must_use]
    pub fn entry_id(&self) -> String {
        self.entry_id.clone()
    }
    /// What opens its commitment to the request, in hexadecimal.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn salt(&self) -> String {
        self.salt.clone()
    }
    /// The encoded submission for the host.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn submission(&self) -> Vec<u8> {
        self.submission.clone()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OneTimeInput {
    /// 16 bytes in hexadecimal, from the wallet's index: the grant's key derives from it.
    nonce: String,
    host: String,
    categories: Vec<String>,
    from_ms: u64,
    not_after_ms: u64,
}

/// One credential that is shown.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Shown {
    query: String,
    credential: String,
    /// Organisation that it is from: its holder key derives from that.
    issuer: String,
    /// State proofs in base64url, where there is a consent.
    issuer_proof: Option<String>,
    status_proof: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Consent {
    grant: String,
    salt: String,
    /// The consent proof in base64url.
    proof: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ResponseInput {
    shown: Vec<Shown>,
    consent: Option<Consent>,
    at_ms: u64,
}

#[wasm_bindgen]
impl Vault {
    /// The one-time grant that answers a request. `input` is JSON.
    ///
    /// # Errors
    /// Naming the member that is wrong.
    #[wasm_bindgen(js_name = oneTimeGrant)]
    pub fn one_time_grant(
        &self,
        request: &PresentationRequest,
        input: &str,
    ) -> Result<PresentationPapers, JsError> {
        let input: OneTimeInput = serde_json::from_str(input).map_err(thrown)?;
        let nonce: Nonce = id(&input.nonce)?;
        let key = self.secret().grant_key(&nonce.0);
        let salt = fresh_salt();
        let asked = &request.asked;
        let question = Question {
            request: request.request.text().as_bytes(),
            recipient: &request.recipient,
            categories: &input.categories,
            purpose: &asked.purpose,
            legal_basis: &asked.legal_basis,
            retention_days: asked.retention_days,
            until_ms: asked.until_ms,
        };
        let grant = one_time_grant(&question, id(&input.host)?, &salt, input.from_ms);
        let entry = Entry::sign(&key, &request.chain, input.not_after_ms, Body::Grant(grant));
        let entry_id = entry.id(&request.chain).to_string();
        let submission = GrantSubmission::of_presentation(entry.to_bytes());
        Ok(PresentationPapers {
            id: self.secret().grant_id(&nonce.0).to_string(),
            entry_id,
            salt: salt.to_string(),
            submission: cbor::encode(&submission),
        })
    }

    /// The form that answers a request: what is posted to the response's address. `input` is JSON.
    ///
    /// # Errors
    /// Naming what is wrong.
    pub fn present(&self, request: &PresentationRequest, input: &str) -> Result<String, JsError> {
        let input: ResponseInput = serde_json::from_str(input).map_err(thrown)?;
        let mut vp_token = Map::new();
        for shown in &input.shown {
            let text = self.show(request, shown, input.consent.as_ref(), input.at_ms)?;
            match vp_token.get_mut(&shown.query) {
                Some(Value::Array(all)) => all.push(text.into()),
                _ => drop(vp_token.insert(shown.query.clone(), json!([text]))),
            }
        }
        let state = request.request.state();
        let Some(to) = request.request.response_key() else {
            let token = Value::Object(vp_token).to_string();
            let mut form = vec![("vp_token", token.as_str())];
            form.extend(state.map(|state| ("state", state)));
            return Ok(encoded(&form));
        };
        let mut inner = json!({ "vp_token": vp_token });
        if let Some(state) = state {
            inner["state"] = state.into();
        }
        let kid = to.kid.as_deref();
        let sealed = jwe::encrypt(
            inner.to_string().as_bytes(),
            &to.key,
            kid,
            to.encryption,
            &mut rng(),
        )
        .map_err(thrown)?;
        Ok(encoded(&[("response", &sealed)]))
    }
}

impl Vault {
    fn show(
        &self,
        request: &PresentationRequest,
        shown: &Shown,
        consent: Option<&Consent>,
        at_ms: u64,
    ) -> Result<String, JsError> {
        let verified = &request.request;
        let query = verified
            .query()
            .credentials()
            .iter()
            .find(|one| one.id() == shown.query);
        let query = query.ok_or_else(|| JsError::new("the request has no such query"))?;
        let parsed = SdJwt::parse(&shown.credential).map_err(thrown)?;
        let paths = query
            .selection(&parsed)
            .map_err(thrown)?
            .ok_or_else(|| JsError::new("the credential does not answer the request"))?;
        let proof = |text: &Option<String>| -> Result<Option<StateProof>, JsError> {
            let Some(text) = text else { return Ok(None) };
            let bytes = from_base64url(text, "a proof")?;
            Ok(Some(StateProof::parse(&bytes).map_err(thrown)?))
        };
        let consent = match consent {
            None => None,
            Some(consent) => Some(
                PresentedConsent {
                    grant: id(&consent.grant)?,
                    salt: id::<Salt>(&consent.salt)?,
                    proof: StateProof::parse(&from_base64url(&consent.proof, "the consent proof")?)
                        .map_err(thrown)?,
                    issuer: proof(&shown.issuer_proof)?,
                    status: proof(&shown.status_proof)?,
                }
                .to_bytes(),
            ),
        };
        let issuer: OrganisationId = id(&shown.issuer)?;
        let holder = self.secret().holder_key(&issuer);
        let holder =
            SigningKey::from_bytes(Algorithm::EdDsa, &holder.to_bytes()).map_err(thrown)?;
        let audience = verified.client_id().to_string();
        let binding = KeyBinding {
            extra: binding_claims(
                verified.transaction_data(),
                &shown.query,
                consent.as_deref(),
            ),
            ..KeyBinding::new(
                &audience,
                verified.nonce(),
                i64::try_from(at_ms / 1000).unwrap_or(i64::MAX),
            )
        };
        parsed.present(&paths, &binding, &holder).map_err(thrown)
    }
}

/// `application/x-www-form-urlencoded`: everything but unreserved characters is escaped.
fn encoded(form: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, value) in form {
        if !out.is_empty() {
            out.push('&');
        }
        out.push_str(name);
        out.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                out.push(char::from(byte));
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    out
}
