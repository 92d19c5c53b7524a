//! Keys of a person's vault and everything that they sign.

use crate::http;
use crate::json::{base64url, bytes32, from_base64url, id, thrown};
use ed25519_dalek::SigningKey;
use getrandom::SysRng;
use rand_core::{Rng, UnwrapErr};
use serde::Deserialize;
use serde_json::json;
use tegata_consent::SUITE_X25519;
use tegata_consent::cbor;
use tegata_consent::cose::{Signed, public_key};
use tegata_consent::entry::{Body, Entry, Grant, Revocation};
use tegata_consent::ids::{ChainId, DrawerId, Nonce, OrganisationId, Salt, SealKey};
use tegata_consent::invitation::{Drawer, Invitation, pairing_hash};
use tegata_consent::keys::VaultSecret;
use tegata_consent::order::{GrantSubmission, Order};
use tegata_consent::request::request_commitment;
use tegata_consent::scope::Scope;
use tegata_consent::ticket::{Ticket, TicketDrawer, request_digest};
use wasm_bindgen::prelude::*;

/// A person's vault, by its secret. `free()` wipes it.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Vault {
    secret: VaultSecret,
}

/// A drawer of a vault, as the wallet's index keeps it.
#[derive(Deserialize)]
struct DrawerNote {
    id: String,
    category: String,
    epoch: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InvitationInput {
    chain: String,
    host: String,
    depositor: String,
    pairing_code: String,
    drawers: Vec<DrawerNote>,
    record_types: Vec<String>,
    expires_ms: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GrantInput {
    chain: String,
    /// 16 bytes in hexadecimal, from the wallet's index: the grant's key derives from it.
    nonce: String,
    host: String,
    recipient: String,
    /// The recipient's key for tickets, in hexadecimal.
    recipient_seal_key: String,
    purpose: String,
    legal_basis: String,
    retention_days: u32,
    from_ms: u64,
    until_ms: u64,
    uses_max: Option<u32>,
    not_after_ms: u64,
    drawers: Vec<DrawerNote>,
    reference: String,
    /// The encoded consent request in base64url, where the grant answers one.
    request: Option<String>,
}

/// A new grant: the entry for the ledger and its two private companions, as the host takes them.
#[wasm_bindgen]
#[derive(Debug)]
pub struct GrantPapers {
    id: String,
    entry_id: String,
    submission: Vec<u8>,
}

#[wasm_bindgen]
impl GrantPapers {
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

    /// The encoded submission for the host.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn submission(&self) -> Vec<u8> {
        self.submission.clone()
    }
}

#[wasm_bindgen]
impl Vault {
    /// Takes 32 secret bytes; the caller wipes its own copy.
    ///
    /// # Errors
    /// Where there are not 32.
    #[wasm_bindgen(constructor)]
    pub fn new(secret: &[u8]) -> Result<Self, JsError> {
        Ok(Self {
            secret: VaultSecret::new(bytes32(secret, "a vault secret")?),
        })
    }

    /// The vault's id, in hexadecimal.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn id(&self) -> String {
        self.secret.vault_id().to_string()
    }

    /// Key under which the wallet seals its index.
    #[wasm_bindgen(js_name = indexSecret)]
    #[must_use]
    pub fn index_secret(&self) -> Vec<u8> {
        self.secret.index_secret().expose().to_vec()
    }

    /// Private half of a drawer key, for opening records; the caller wipes it.
    ///
    /// # Errors
    /// Where the id is not one.
    #[wasm_bindgen(js_name = drawerSecret)]
    pub fn drawer_secret(&self, drawer: &str) -> Result<Vec<u8>, JsError> {
        Ok(self.secret.drawer_secret(&id(drawer)?).expose().to_vec())
    }

    /// The key to which an issuer binds credentials, in hexadecimal.
    ///
    /// # Errors
    /// Where the id is not one.
    #[wasm_bindgen(js_name = holderKey)]
    pub fn holder_key(&self, issuer: &str) -> Result<String, JsError> {
        Ok(public_key(&self.secret.holder_key(&id(issuer)?)).to_string())
    }

    /// The id of the grant made with a nonce, in hexadecimal.
    ///
    /// # Errors
    /// Where the nonce is not 16 bytes in hexadecimal.
    #[wasm_bindgen(js_name = grantId)]
    pub fn grant_id(&self, nonce: &str) -> Result<String, JsError> {
        Ok(self.secret.grant_id(&id::<Nonce>(nonce)?.0).to_string())
    }

    /// Public halves of a drawer, encoded for the host.
    ///
    /// # Errors
    /// Where the id is not one.
    pub fn drawer(&self, drawer: &str, category: &str, epoch: u32) -> Result<Vec<u8>, JsError> {
        Ok(cbor::encode(&self.public_drawer(&DrawerNote {
            id: drawer.into(),
            category: category.into(),
            epoch,
        })?))
    }

    /// Signs a request to the host: `{input, signature}` for the headers `Signature-Input` and, in base64url, `Signature`.
    /// `digest` is the value of `Content-Digest`, where there is a body.
    #[wasm_bindgen(js_name = signRequest)]
    #[must_use]
    pub fn sign_request(
        &self,
        method: &str,
        target: &str,
        digest: Option<String>,
        created_s: f64,
        nonce: &str,
    ) -> String {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "seconds since 1970"
        )]
        let signed = http::sign(
            &self.secret.vault_key(),
            method,
            target,
            digest.as_deref(),
            created_s as u64,
            nonce,
        );
        json!({ "input": signed.input, "signature": base64url(&signed.signature) }).to_string()
    }

    /// A signed deposit invitation. `input` is JSON.
    ///
    /// # Errors
    /// Naming the member that is wrong.
    pub fn invitation(&self, input: &str) -> Result<Vec<u8>, JsError> {
        let input: InvitationInput = serde_json::from_str(input).map_err(thrown)?;
        let depositor: OrganisationId = id(&input.depositor)?;
        let mut nonce = Nonce([0; 16]);
        rng().fill_bytes(&mut nonce.0);
        let invitation = Invitation {
            suite: SUITE_X25519,
            host: id(&input.host)?,
            depositor,
            pairing: pairing_hash(&depositor, &input.pairing_code),
            drawers: input
                .drawers
                .iter()
                .map(|note| self.public_drawer(note))
                .collect::<Result<_, _>>()?,
            holder: public_key(&self.secret.holder_key(&depositor)),
            record_types: input.record_types,
            expires_ms: input.expires_ms,
            nonce,
        };
        Ok(invitation
            .sign(&self.secret.vault_key(), &id::<ChainId>(&input.chain)?)
            .to_bytes())
    }

    /// A new grant with its companions. `input` is JSON; its `drawers` are what it opens, now and later.
    ///
    /// # Errors
    /// Naming the member that is wrong.
    pub fn grant(&self, input: &str) -> Result<GrantPapers, JsError> {
        let input: GrantInput = serde_json::from_str(input).map_err(thrown)?;
        let chain: ChainId = id(&input.chain)?;
        let host: OrganisationId = id(&input.host)?;
        let recipient: OrganisationId = id(&input.recipient)?;
        let key = self.secret.grant_key(&id::<Nonce>(&input.nonce)?.0);
        let grant = self.secret.grant_id(&id::<Nonce>(&input.nonce)?.0);
        let request = input
            .request
            .as_deref()
            .map(|text| from_base64url(text, "the request"))
            .transpose()?;

        let mut drawers = Vec::with_capacity(input.drawers.len());
        for note in &input.drawers {
            let drawer: DrawerId = id(&note.id)?;
            drawers.push(TicketDrawer::new(
                drawer,
                note.category.clone(),
                &self.secret.reader_secret(&drawer),
            ));
        }
        drawers.sort_by_key(|drawer| drawer.id);
        let scope = Scope::of_drawers(drawers.iter().map(|drawer| drawer.id).collect());
        scope.check().map_err(thrown)?;
        let mut categories: Vec<_> = drawers
            .iter()
            .map(|drawer| drawer.category.clone())
            .collect();
        categories.sort_unstable();
        categories.dedup();
        let (salt, request_salt) = (fresh_salt(), fresh_salt());

        let entry = Grant {
            recipient,
            sponsor: host,
            categories,
            purpose: input.purpose,
            legal_basis: input.legal_basis,
            retention_days: input.retention_days,
            from_ms: input.from_ms,
            until_ms: input.until_ms,
            uses_max: input.uses_max,
            commitment: scope.commitment(&salt),
            request: request
                .as_deref()
                .map(|bytes| request_commitment(&request_salt, bytes)),
        };
        let entry = Entry::sign(&key, &chain, input.not_after_ms, Body::Grant(entry));
        let order = Order {
            grant,
            host,
            salt,
            scope: scope.clone(),
        }
        .sign(&key, &chain)
        .to_bytes();
        let ticket = Ticket {
            grant,
            host,
            vault: self.secret.vault_id(),
            drawers,
            salt,
            scope,
            reference: input.reference,
            request_salt: request.is_some().then_some(request_salt),
            request: request.as_deref().map(request_digest),
        };
        let to: SealKey = id(&input.recipient_seal_key)?;
        let ticket = ticket
            .seal_to(&key, &recipient, &to, &chain, &mut rng())
            .map_err(thrown)?;
        let entry_id = entry.id(&chain).to_string();
        let submission = GrantSubmission {
            entry: entry.to_bytes().into(),
            order: order.into(),
            ticket: ticket.into(),
        };
        Ok(GrantPapers {
            id: grant.to_string(),
            entry_id,
            submission: cbor::encode(&submission),
        })
    }

    /// The end of a grant: `{entryId, entry}`, the entry in base64url, not yet countersigned by the host.
    ///
    /// # Errors
    /// Where an id is not one.
    pub fn revocation(
        &self,
        chain: &str,
        nonce: &str,
        host: &str,
        not_after_ms: f64,
    ) -> Result<String, JsError> {
        let chain: ChainId = id(chain)?;
        let nonce: Nonce = id(nonce)?;
        let body = Revocation {
            grant: self.secret.grant_id(&nonce.0),
            sponsor: id(host)?,
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a time in milliseconds since 1970"
        )]
        let not_after_ms = not_after_ms as u64;
        let entry = Entry::sign(
            &self.secret.grant_key(&nonce.0),
            &chain,
            not_after_ms,
            Body::Revocation(body),
        );
        Ok(json!({ "entryId": entry.id(&chain).to_string(), "entry": base64url(&entry.to_bytes()) }).to_string())
    }
}

impl Vault {
    pub(crate) const fn secret(&self) -> &VaultSecret {
        &self.secret
    }

    fn public_drawer(&self, note: &DrawerNote) -> Result<Drawer, JsError> {
        let drawer: DrawerId = id(&note.id)?;
        Ok(Drawer {
            id: drawer,
            category: note.category.clone(),
            epoch: note.epoch,
            drawer_key: self.secret.drawer_secret(&drawer).seal_key(),
            reader_key: self.secret.reader_secret(&drawer).seal_key(),
        })
    }
}

pub(crate) fn fresh_salt() -> Salt {
    let mut salt = Salt([0; 32]);
    rng().fill_bytes(&mut salt.0);
    salt
}

/// A key that is used once.
pub(crate) fn fresh_key() -> SigningKey {
    let mut seed = zeroize::Zeroizing::new([0; 32]);
    rng().fill_bytes(seed.as_mut_slice());
    SigningKey::from_bytes(&seed)
}

/// The browser's randomness. It does not fail in a browser; where it does, nothing safe can be done but to stop.
pub(crate) fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}
