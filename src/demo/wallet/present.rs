//! Presenting over OpenID4VP, as the browser's wallet does it: the verifier's signed request, checked against the registry; a
//! one-time grant; proofs for a verifier without network; the response.

use super::{Result, Wallet, WalletError, checked, credential_keys, wrong};
use crate::demo::wallet::{Given, OpenedRecord};
use rand::RngExt;
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};
use tegata_consent::cbor;
use tegata_consent::codes::category_of;
use tegata_consent::entry::{Body, Entry};
use tegata_consent::ids::{GrantId, OrganisationId, Salt};
use tegata_consent::order::GrantSubmission;
use tegata_consent::organisation::OrganisationState;
use tegata_consent::presentation::{PresentedConsent, Question, one_time_grant};
use tegata_consent::proof::StateProof;
use tegata_consent::status::status_list_id;
use tegata_credential::dcql::CredentialQuery;
use tegata_credential::did::Did;
use tegata_credential::jwe;
use tegata_credential::jws;
use tegata_credential::keys::{Algorithm, SigningKey};
use tegata_credential::openid4vp::{
    Asked, Expected, RequestObject, TransactionData, VerifiedRequest, binding_claims,
};
use tegata_credential::sd_jwt::{KeyBinding, SdJwt};
use tegata_records::catalogue;
use tegata_service::clock;

/// How long a wallet waits for an issuer's first status list.
const STATUS_LIST: Duration = Duration::from_secs(10);

/// A request that a registered organisation signed, and that it may make.
pub struct PresentationRequest {
    /// As its client signed it.
    pub request: VerifiedRequest,
    /// Who asks for what, why, how long.
    pub asked: Asked,
    /// Who asks.
    pub recipient: OrganisationId,
}

/// A response that is ready to be sent.
pub struct PreparedPresentation {
    /// The one-time grant.
    pub grant: GrantId,
    /// Height at which the wallet had it proven.
    pub height: u64,
    response_uri: String,
    form: Vec<(&'static str, String)>,
}

impl Wallet {
    /// Fetches a request by its link and checks who asks and whether they may.
    ///
    /// # Errors
    /// Naming what is wrong with it.
    pub async fn read_presentation(&self, link: &str) -> Result<PresentationRequest> {
        let (client_id, bytes) = self.request_object(link).await?;
        let text = String::from_utf8(bytes).map_err(|e| wrong("request")(&e))?;
        let parsed = RequestObject::parse(&text).map_err(|e| wrong("request")(&e))?;
        let asked = parsed
            .asked()
            .ok_or_else(|| WalletError("the request does not say who asks".into()))?;
        if asked.chain != self.ledger.chain().to_string() {
            return Err(WalletError("the request is for another ledger".into()));
        }
        let recipient: OrganisationId = asked
            .organisation
            .parse()
            .map_err(|e| wrong("request")(&e))?;
        let state = self.organisation(&recipient).await?;
        let own = credential_keys(&state, clock::now_ms());
        let resolve = |url: &str| {
            let did = Did::of_url(url).ok()?;
            if did.as_str() == state.organisation.did {
                return own.iter().find(|key| url.ends_with(&key.key_id())).copied();
            }
            did.own_document()
                .ok()?
                .methods()
                .first()
                .map(|method| *method.key())
        };
        let expected = Expected {
            client_id: &client_id,
            wallet_nonce: None,
        };
        let request = parsed
            .verify(&expected, resolve, clock::now_s())
            .map_err(|e| wrong("request")(&e))?;
        if !own.contains(request.key()) {
            return Err(WalletError("the request is signed by somebody else".into()));
        }
        may_ask(&state, &asked, &request)?;
        Ok(PresentationRequest {
            request,
            asked,
            recipient,
        })
    }

    /// Fetches a request by its link: the client identifier that the link names, and the signed request object.
    ///
    /// # Errors
    /// Where the link is incomplete, or the request is not to be had.
    pub async fn request_object(&self, link: &str) -> Result<(String, Vec<u8>)> {
        let link = link.replacen("#/present", "", 1);
        let link = reqwest::Url::parse(&link).map_err(|e| wrong("presentation link")(&e))?;
        let parameter = |name: &str| {
            let found = link.query_pairs().find(|(key, _)| key == name);
            found
                .map(|(_, value)| value.into_owned())
                .ok_or_else(|| WalletError(format!("the link lacks {name}")))
        };
        let (uri, client_id) = (parameter("request_uri")?, parameter("client_id")?);
        let answer = self.patience.ask(|| self.http.get(&uri).send());
        let bytes = checked(answer.await.map_err(|e| wrong("verifier")(&e))?, &uri)?;
        Ok((client_id, bytes))
    }

    /// Grants once what a request asks for, and makes the response: the first record that answers each query.
    ///
    /// # Errors
    /// Where no record answers, or host or ledger do not do their part.
    pub async fn prepare_presentation(
        &mut self,
        wanted: &PresentationRequest,
        records: &[OpenedRecord],
    ) -> Result<PreparedPresentation> {
        let shown = chosen(wanted, records)?;
        let mut around = Vec::new();
        for (_, record) in &shown {
            let issuer = format!("organisations/{}", record.issuer);
            around.push((
                self.state_proof(&issuer).await?,
                self.status_proof(record).await?,
            ));
        }
        // The consent proof comes last: its age is what the verifier bounds.
        let (grant, salt) = self.grant_once(wanted, &shown).await?;
        let (proof, proven) = self
            .ledger
            .grant(&grant)
            .await
            .map_err(|e| wrong("consent proof")(&e))?;
        let proof = StateProof::parse(&proof).map_err(|e| wrong("consent proof")(&e))?;
        let mut vp_token = Map::new();
        for ((query, record), (issuer, status)) in shown.into_iter().zip(around) {
            let consent = PresentedConsent {
                grant,
                salt,
                proof: proof.clone(),
                issuer: Some(issuer),
                status,
            };
            let text = self.show(wanted, query, record, &consent)?;
            vp_token.insert(query.to_owned(), json!([text]));
        }
        let state = wanted.request.state().unwrap_or_default();
        let form = match wanted.request.response_key() {
            None => vec![
                ("vp_token", Value::Object(vp_token).to_string()),
                ("state", state.to_owned()),
            ],
            Some(to) => {
                let inner = json!({ "vp_token": vp_token, "state": state }).to_string();
                let kid = to.kid.as_deref();
                let sealed =
                    jwe::encrypt(inner.as_bytes(), &to.key, kid, to.encryption, &mut self.rng);
                vec![("response", sealed.map_err(|e| wrong("response")(&e))?)]
            }
        };
        Ok(PreparedPresentation {
            grant,
            height: proven.header.header().height,
            response_uri: wanted.request.response_uri().to_owned(),
            form,
        })
    }

    /// Sends a response: HTTP status and what the verifier says.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn send_presentation(&self, prepared: &PreparedPresentation) -> Result<(u16, Value)> {
        let form: Vec<String> = prepared
            .form
            .iter()
            .map(|(name, value)| format!("{name}={}", percent(value)))
            .collect();
        let form = form.join("&");
        let send = || {
            self.http
                .post(&prepared.response_uri)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(form.clone())
                .send()
        };
        let answer = self.patience.ask(send).await;
        let answer = answer.map_err(|e| wrong("verifier")(&e))?;
        let body = serde_json::from_slice(&answer.bytes).unwrap_or(Value::Null);
        Ok((answer.status.as_u16(), body))
    }

    /// The key that a record's credential is bound to, with its private half, as a JWK: for wallets of others.
    #[must_use]
    pub fn holder_jwk(&self, issuer: &OrganisationId) -> Value {
        let key = self.secret.holder_key(issuer);
        let mut jwk = SigningKey::from_bytes(Algorithm::EdDsa, &key.to_bytes())
            .expect("any 32 bytes are an Ed25519 seed")
            .public_key()
            .to_jwk();
        jwk["d"] = jws::encode(&key.to_bytes()).into();
        jwk
    }

    async fn grant_once(
        &mut self,
        wanted: &PresentationRequest,
        shown: &[(&str, &OpenedRecord)],
    ) -> Result<(GrantId, Salt)> {
        let category = |(_, record): &(&str, &OpenedRecord)| {
            let known = catalogue().by_id(&record.record_type);
            known.map(|known| known.category().code().to_owned())
        };
        let categories: Vec<String> = shown.iter().filter_map(category).collect();
        let asked = &wanted.asked;
        let question = Question {
            request: wanted.request.text().as_bytes(),
            recipient: &wanted.recipient,
            categories: &categories,
            purpose: &asked.purpose,
            legal_basis: &asked.legal_basis,
            retention_days: asked.retention_days,
            until_ms: asked.until_ms,
        };
        let nonce: [u8; 16] = self.rng.random();
        let salt = Salt(self.rng.random());
        let (key, id) = (self.secret.grant_key(&nonce), self.secret.grant_id(&nonce));
        let (chain, now_ms) = (self.ledger.chain(), clock::now_ms());
        let grant = one_time_grant(&question, self.host, &salt, now_ms - 60_000);
        let entry = Entry::sign(&key, &chain, now_ms + 300_000, Body::Grant(grant));
        let submission = cbor::encode(&GrantSubmission::of_presentation(entry.to_bytes()));
        let answer = self.send_own("grants", submission).await?;
        self.own_receipt(&answer, &entry.id(&chain))?;
        self.grants.push(Given {
            nonce,
            recipient: wanted.recipient.to_string(),
        });
        Ok((id, salt))
    }

    fn show(
        &self,
        wanted: &PresentationRequest,
        query: &str,
        record: &OpenedRecord,
        consent: &PresentedConsent,
    ) -> Result<String> {
        let parsed = SdJwt::parse(&record.sd_jwt).map_err(|e| wrong("credential")(&e))?;
        let asked = wanted.request.query().credentials().iter();
        let asked = asked.clone().find(|one| one.id() == query);
        let paths = asked
            .and_then(|one| one.selection(&parsed).ok().flatten())
            .ok_or_else(|| WalletError("the record does not answer the request".into()))?;
        let holder = self.secret.holder_key(&record.issuer);
        let holder = SigningKey::from_bytes(Algorithm::EdDsa, &holder.to_bytes())
            .map_err(|e| wrong("holder key")(&e))?;
        let audience = wanted.request.client_id().to_string();
        let data = wanted.request.transaction_data();
        let binding = KeyBinding {
            extra: binding_claims(data, query, Some(&consent.to_bytes())),
            ..KeyBinding::new(&audience, wanted.request.nonce(), clock::now_s())
        };
        parsed
            .present(&paths, &binding, &holder)
            .map_err(|e| wrong("presentation")(&e))
    }

    /// Waits until the ledger says which status list of a record's issuer counts.
    ///
    /// # Errors
    /// Where it does not come to say so.
    pub async fn status_is_known(&self, record: &OpenedRecord) -> Result<()> {
        match self.status_proof(record).await? {
            Some(proof) if proof.value.is_none() => Err(WalletError(
                "the issuer's status list is not on the ledger".into(),
            )),
            _ => Ok(()),
        }
    }

    async fn status_proof(&self, record: &OpenedRecord) -> Result<Option<StateProof>> {
        let parsed = SdJwt::parse(&record.sd_jwt).map_err(|e| wrong("credential")(&e))?;
        let payload = parsed
            .unverified_payload()
            .map_err(|e| wrong("credential")(&e))?;
        let uri = payload
            .get("status")
            .and_then(|status| status["status_list"]["uri"].as_str());
        let Some(uri) = uri else { return Ok(None) };
        let path = format!("status-lists/{}/{}", record.issuer, status_list_id(uri));
        // The issuer may be about to put its first list on the ledger.
        let began = Instant::now();
        loop {
            let proof = self.state_proof(&path).await?;
            if proof.value.is_some() || began.elapsed() > STATUS_LIST {
                return Ok(Some(proof));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A proof of what the ledger has under a key of its state, from the first node.
    async fn state_proof(&self, path: &str) -> Result<StateProof> {
        let node = self
            .ledger
            .urls()
            .first()
            .ok_or_else(|| WalletError("no node".into()))?;
        let url = format!("{node}/v1/state/{path}");
        let answer = self.patience.ask(|| self.http.get(&url).send());
        let bytes = checked(answer.await.map_err(|e| wrong("ledger")(&e))?, &url)?;
        StateProof::parse(&bytes).map_err(|e| wrong("state proof")(&e))
    }
}

/// The first record that answers each query that one must answer.
fn chosen<'a>(
    wanted: &'a PresentationRequest,
    records: &'a [OpenedRecord],
) -> Result<Vec<(&'a str, &'a OpenedRecord)>> {
    let mut shown = Vec::new();
    for one in wanted.request.query().credentials() {
        let fits = |record: &&OpenedRecord| {
            SdJwt::parse(&record.sd_jwt)
                .ok()
                .and_then(|parsed| one.selection(&parsed).ok().flatten())
                .is_some()
        };
        shown.extend(records.iter().find(fits).map(|record| (one.id(), record)));
    }
    if shown.is_empty() {
        return Err(WalletError("no record answers the request".into()));
    }
    Ok(shown)
}

/// Whether the organisation may ask for this: for what it states, which is one thing, and for what its query names.
fn may_ask(state: &OrganisationState, asked: &Asked, request: &VerifiedRequest) -> Result<()> {
    let states = |data: &TransactionData| data.asked().as_ref() == Some(asked);
    if !request.transaction_data().iter().all(states) {
        return Err(WalletError("the request states two things".into()));
    }
    let mut categories = asked.categories.clone();
    let queries = request.query().credentials().iter();
    let types = queries.flat_map(CredentialQuery::vct_values);
    categories.extend(types.filter_map(|vct| category_of(vct).map(str::to_owned)));
    if state.suspended_at(clock::now_ms())
        || !state.may_ask(&asked.purpose, &categories, asked.retention_days)
    {
        return Err(WalletError("the organisation may not ask for this".into()));
    }
    if clock::now_ms() >= asked.until_ms {
        return Err(WalletError("the request has expired".into()));
    }
    Ok(())
}

/// Everything but unreserved characters is escaped (RFC 3986 §2.3).
fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
