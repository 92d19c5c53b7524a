//! Requests for consent, grants and their end.

use super::{Given, Result, Wallet, WalletError, checked, parameter, wrong};
use ed25519_dalek::SigningKey;
use rand::RngExt;
use rand::rngs::StdRng;
use tegata_consent::cbor;
use tegata_consent::cose::Signed;
use tegata_consent::entry::{Body, Entry, Grant, OverAsking, Revocation};
use tegata_consent::ids::{DrawerId, EntryId, GrantId, OrganisationId, Salt, SealKey};
use tegata_consent::order::{GrantSubmission, Order};
use tegata_consent::organisation::{KeyUse, OrganisationState, Role};
use tegata_consent::over_asking::{RequestObject, is_request_object};
use tegata_consent::proof::Receipt;
use tegata_consent::request::{ConsentRequest, request_commitment};
use tegata_consent::scope::Scope;
use tegata_consent::ticket::{Ticket, TicketDrawer, request_digest};
use tegata_service::clock;

/// A grant that is ready to be sent.
#[derive(Debug, Clone)]
pub struct PreparedGrant {
    /// Its id.
    pub id: GrantId,
    entry: EntryId,
    given: Given,
    body: Vec<u8>,
}

impl PreparedGrant {
    /// The encoded [`GrantSubmission`]: entry, order and sealed ticket.
    #[must_use]
    pub fn submission(&self) -> &[u8] {
        &self.body
    }
}

impl Wallet {
    /// Fetches a consent request by its link and checks who asks and whether they may.
    pub async fn read_request(
        &self,
        link: &str,
    ) -> Result<(ConsentRequest, Vec<u8>, OrganisationState)> {
        let from: OrganisationId = parameter(link, "from")?
            .parse()
            .map_err(|e| wrong("request link")(&e))?;
        let state = self.organisation(&from).await?;
        let url = state
            .organisation
            .url(Role::Verifier)
            .ok_or_else(|| WalletError("the verifier has no address".into()))?;
        let url = format!("{url}/v1/requests/{}", parameter(link, "id")?);
        let answer = self.patience.ask(|| self.http.get(&url).send());
        let bytes = checked(answer.await.map_err(|e| wrong("verifier")(&e))?, &url)?;
        let (request, signer) =
            ConsentRequest::open(&bytes, &self.ledger.chain()).map_err(|e| wrong("request")(&e))?;
        request.check().map_err(|e| wrong("request")(&e))?;
        let now_ms = clock::now_ms();
        if request.recipient != from || !state.signs_with(&signer, now_ms) {
            return Err(WalletError("the request is signed by somebody else".into()));
        }
        if state.suspended_at(now_ms)
            || !state.may_ask(
                &request.purpose,
                &request.categories,
                request.retention_days,
            )
        {
            return Err(WalletError("the organisation may not ask for this".into()));
        }
        if now_ms >= request.expires_ms {
            return Err(WalletError("the request has expired".into()));
        }
        Ok((request, bytes, state))
    }

    /// Puts a signed request that asks for more than its organisation may on the ledger, through the host: a consent request,
    /// or a request object of OpenID4VP.
    pub async fn report_over_asking(&self, request: &[u8]) -> Result<Receipt> {
        let chain = self.ledger.chain();
        let recipient = if is_request_object(request) {
            let object = RequestObject::parse(request).map_err(|e| wrong("request")(&e))?;
            object.organisation()
        } else {
            let opened = ConsentRequest::open(request, &chain);
            opened.map_err(|e| wrong("request")(&e))?.0.recipient
        };
        let body = Body::OverAsking(OverAsking {
            recipient,
            sponsor: self.host,
            request: request.to_vec().into(),
        });
        // A key of its own: nothing says whose wallet it was.
        let key = SigningKey::from_bytes(&rand::make_rng::<StdRng>().random());
        let entry = Entry::sign(&key, &chain, clock::now_ms() + 300_000, body);
        let answer = self.send_own("over-askings", entry.to_bytes()).await?;
        Receipt::parse(&answer).map_err(|e| wrong("receipt")(&e))
    }

    /// Grants what a request asks for, or less: only `categories` where given. Gives the grant's id and the receipt.
    pub async fn grant(
        &mut self,
        link: &str,
        categories: Option<&[&str]>,
    ) -> Result<(GrantId, Receipt)> {
        let prepared = self.prepare_grant(link, categories).await?;
        let receipt = self.submit_grant(&prepared).await?;
        Ok((prepared.id, receipt))
    }

    /// A grant of what a request asks for, ready to be sent.
    pub async fn prepare_grant(
        &mut self,
        link: &str,
        categories: Option<&[&str]>,
    ) -> Result<PreparedGrant> {
        let (request, request_bytes, recipient) = self.read_request(link).await?;
        let mut wanted: Vec<String> = request.categories.clone();
        if let Some(only) = categories {
            wanted.retain(|category| only.contains(&category.as_str()));
        }
        let wanted_refs: Vec<&str> = wanted.iter().map(String::as_str).collect();
        self.open_drawers(&wanted_refs).await?;
        let drawers: Vec<(String, DrawerId)> = wanted
            .iter()
            .filter_map(|category| Some((category.clone(), *self.drawers.get(category)?)))
            .collect();
        let (salt, request_salt) = (Salt(self.rng.random()), Salt(self.rng.random()));
        let scope = Scope::of_drawers(drawers.iter().map(|(_, id)| *id).collect());
        let nonce: [u8; 16] = self.rng.random();
        let (key, id) = (self.secret.grant_key(&nonce), self.secret.grant_id(&nonce));
        let chain = self.ledger.chain();
        let now_ms = clock::now_ms();
        let grant = Grant {
            recipient: request.recipient,
            sponsor: self.host,
            categories: wanted,
            purpose: request.purpose.clone(),
            legal_basis: request.legal_basis.clone(),
            retention_days: request.retention_days,
            from_ms: now_ms,
            until_ms: request.until_ms,
            uses_max: request.uses_max,
            commitment: scope.commitment(&salt),
            request: Some(request_commitment(&request_salt, &request_bytes)),
        };
        let entry = Entry::sign(&key, &chain, now_ms + 300_000, Body::Grant(grant));
        let order = Order {
            grant: id,
            host: self.host,
            salt,
            scope: scope.clone(),
        };
        let ticket = Ticket {
            grant: id,
            host: self.host,
            vault: self.secret.vault_id(),
            drawers: drawers
                .iter()
                .map(|(category, drawer)| {
                    TicketDrawer::new(
                        *drawer,
                        category.clone(),
                        &self.secret.reader_secret(drawer),
                    )
                })
                .collect(),
            salt,
            scope,
            reference: request.reference.clone(),
            request_salt: Some(request_salt),
            request: Some(request_digest(&request_bytes)),
        };
        let mut ticket = ticket;
        ticket.drawers.sort_by_key(|drawer| drawer.id);
        let to = seal_key(&recipient)?;
        let sealed = ticket
            .seal_to(&key, &request.recipient, &to, &chain, &mut self.rng)
            .map_err(|e| wrong("ticket")(&e))?;
        let submission = GrantSubmission {
            entry: entry.to_bytes().into(),
            order: order.sign(&key, &chain).to_bytes().into(),
            ticket: sealed.into(),
        };
        Ok(PreparedGrant {
            id,
            entry: entry.id(&chain),
            given: Given {
                nonce,
                recipient: request.recipient.to_string(),
            },
            body: cbor::encode(&submission),
        })
    }

    /// Sends a grant; the same again is the same grant.
    pub async fn submit_grant(&mut self, prepared: &PreparedGrant) -> Result<Receipt> {
        let answer = self.send_own("grants", prepared.body.clone()).await?;
        let receipt = self.own_receipt(&answer, &prepared.entry)?;
        if !self.grant_ids().contains(&prepared.id) {
            self.grants.push(prepared.given.clone());
        }
        Ok(receipt)
    }

    /// Ends a grant.
    pub async fn revoke(&mut self, grant: &GrantId) -> Result<Receipt> {
        let given = self
            .grants
            .iter()
            .find(|given| self.secret.grant_id(&given.nonce) == *grant);
        let given =
            given.ok_or_else(|| WalletError("this wallet did not give that grant".into()))?;
        let key = self.secret.grant_key(&given.nonce);
        let chain = self.ledger.chain();
        let body = Body::Revocation(Revocation {
            grant: *grant,
            sponsor: self.host,
        });
        let entry = Entry::sign(&key, &chain, clock::now_ms() + 300_000, body);
        let answer = self.send_own("revocations", entry.to_bytes()).await?;
        let receipt = Receipt::parse(&answer).map_err(|e| wrong("receipt")(&e))?;
        let verified = receipt
            .clone()
            .verify(&chain, &self.ledger.validators())
            .map_err(|e| wrong("receipt")(&e))?;
        // an earlier revocation whose answer was lost ends the grant as well
        match verified.entry.entry().body() {
            Body::Revocation(revocation) if revocation.grant == *grant => Ok(receipt),
            _ => Err(WalletError("the receipt is for another entry".into())),
        }
    }

    pub(super) fn own_receipt(&self, bytes: &[u8], entry: &EntryId) -> Result<Receipt> {
        let checked = self.ledger.check_receipt(bytes.to_vec(), entry);
        checked.map_err(|e| wrong("receipt")(&e))?;
        Receipt::parse(bytes).map_err(|e| wrong("receipt")(&e))
    }

    /// The ids of all grants given, oldest first.
    #[must_use]
    pub fn grant_ids(&self) -> Vec<GrantId> {
        self.grants
            .iter()
            .map(|given| self.secret.grant_id(&given.nonce))
            .collect()
    }
}

fn seal_key(state: &OrganisationState) -> Result<SealKey> {
    let key = state.keys_at(KeyUse::Seal, clock::now_ms()).last();
    let key = key.and_then(|key| SealKey::try_from(key.public.as_slice()).ok());
    key.ok_or_else(|| WalletError("the recipient has no key to seal to".into()))
}
