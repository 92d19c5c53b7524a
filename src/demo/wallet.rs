//! A wallet without a screen: does over the public APIs exactly what the browser's wallet does. The stories, the scenario
//! tests and the town of a thousand infants use it.

mod grants;
mod history;
mod present;

pub use grants::PreparedGrant;
pub use history::Read;
pub use present::{PreparedPresentation, PresentationRequest};

use super::patience::{Patience, Whole};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minicbor::bytes::ByteVec;
use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use tegata_consent::SUITE_X25519;
use tegata_consent::cbor;
use tegata_consent::cose::Signed;
use tegata_consent::deposit::{
    Deposit, DrawerList, EMPTY_HEAD, SealedRecord, verify_receipt_chain,
};
use tegata_consent::ids::{DrawerId, Hash, Nonce, OrganisationId, PublicKey, RecordId};
use tegata_consent::invitation::{Drawer, Invitation, invitation_digest, pairing_hash};
use tegata_consent::keys::{Secret, VaultSecret};
use tegata_consent::lock::{Lock, LockLabel};
use tegata_consent::organisation::{KeyUse, OrganisationState, Role};
use tegata_consent::sealing::{self, Manifest, Part};
use tegata_credential::keys::{Algorithm, PublicKey as CredentialKey};
use tegata_credential::sd_jwt::SdJwt;
use tegata_service::clock;
use tegata_service::keys::OrganisationKeys;
use tegata_service::ledger::Ledger;
use tegata_service::signature::{Signer, send_signed};

/// What went wrong, in words for the person at the terminal.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WalletError(pub String);

type Result<T> = std::result::Result<T, WalletError>;

fn wrong(what: &str) -> impl Fn(&dyn std::fmt::Display) -> WalletError + '_ {
    move |error| WalletError(format!("{what}: {error}"))
}

/// A grant that this wallet gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Given {
    /// From which its key derives.
    pub nonce: [u8; 16],
    /// To whom, hexadecimal.
    pub recipient: String,
}

/// What survives a restart. The browser keeps the same, sealed, at the host.
#[derive(Debug, Serialize, Deserialize)]
struct Index {
    secret: String,
    drawers: BTreeMap<String, String>,
    grants: Vec<Given>,
    seen: BTreeMap<String, (u64, String)>,
}

/// A record as a person sees it.
#[derive(Debug, Clone)]
pub struct OpenedRecord {
    /// Its id.
    pub record: RecordId,
    /// Its type in the catalogue.
    pub record_type: String,
    /// Who signed.
    pub issuer: OrganisationId,
    /// What it says.
    pub claims: Value,
    /// The record that it corrects.
    pub replaces: Option<RecordId>,
    /// The credential.
    pub sd_jwt: String,
}

/// A deposit that is ready to be sent.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Into which drawer.
    pub drawer: DrawerId,
    /// Which record.
    pub record: RecordId,
    /// The encoded sealed record.
    pub body: Vec<u8>,
}

/// One person's wallet.
pub struct Wallet {
    secret: VaultSecret,
    host_url: String,
    host: OrganisationId,
    ledger: Ledger,
    http: reqwest::Client,
    drawers: BTreeMap<String, DrawerId>,
    /// Grants given, oldest first.
    pub grants: Vec<Given>,
    seen: BTreeMap<DrawerId, (u64, Hash)>,
    rng: StdRng,
    patience: Patience,
}

impl Wallet {
    /// Makes a vault at a host.
    pub async fn open(host_url: &str, ledger: Ledger) -> Result<Self> {
        let mut rng: StdRng = rand::make_rng();
        let secret = VaultSecret::new(rng.random());
        Self::with_secret(secret, host_url, ledger, rng, Patience::default()).await
    }

    /// Opens a vault with its secret.
    async fn with_secret(
        secret: VaultSecret,
        host_url: &str,
        ledger: Ledger,
        rng: StdRng,
        patience: Patience,
    ) -> Result<Self> {
        let http = ledger.http();
        let about = format!("{host_url}/v1/host");
        let answer = patience.ask(|| http.get(&about).send()).await;
        let answer = answer.map_err(|e| wrong("host")(&e))?;
        let host: Value = serde_json::from_slice(&answer.bytes).map_err(|e| wrong("host")(&e))?;
        let host = host["organisation"]
            .as_str()
            .unwrap_or_default()
            .parse()
            .map_err(|e| wrong("host")(&e))?;
        let wallet = Self {
            secret,
            host_url: host_url.to_owned(),
            host,
            ledger,
            http,
            drawers: BTreeMap::new(),
            grants: Vec::new(),
            seen: BTreeMap::new(),
            rng,
            patience,
        };
        let url = format!("{host_url}/v1/vaults/{}", wallet.secret.vault_id());
        wallet
            .call(reqwest::Method::PUT, &url, None, Vec::new())
            .await?;
        Ok(wallet)
    }

    /// Opens a wallet that was saved, or a new one.
    pub async fn load_or_open(path: &Path, host_url: &str, ledger: Ledger) -> Result<Self> {
        Self::load_or_open_with(path, host_url, ledger, Patience::default()).await
    }

    /// The same, with patience for services that are away.
    pub async fn load_or_open_with(
        path: &Path,
        host_url: &str,
        ledger: Ledger,
        patience: Patience,
    ) -> Result<Self> {
        if !path.exists() {
            let mut rng: StdRng = rand::make_rng();
            let secret = VaultSecret::new(rng.random());
            let wallet = Self::with_secret(secret, host_url, ledger, rng, patience).await?;
            wallet.save(path)?;
            return Ok(wallet);
        }
        let text = std::fs::read_to_string(path).map_err(|e| wrong("wallet file")(&e))?;
        let index: Index = serde_json::from_str(&text).map_err(|e| wrong("wallet file")(&e))?;
        let secret: Hash = index.secret.parse().map_err(|e| wrong("wallet file")(&e))?;
        let rng: StdRng = rand::make_rng();
        let secret = VaultSecret::new(secret.0);
        let mut wallet = Self::with_secret(secret, host_url, ledger, rng, patience).await?;
        for (category, id) in index.drawers {
            wallet
                .drawers
                .insert(category, id.parse().map_err(|e| wrong("wallet file")(&e))?);
        }
        for (drawer, (count, head)) in index.seen {
            let drawer = drawer.parse().map_err(|e| wrong("wallet file")(&e))?;
            wallet.seen.insert(
                drawer,
                (count, head.parse().map_err(|e| wrong("wallet file")(&e))?),
            );
        }
        wallet.grants = index.grants;
        Ok(wallet)
    }

    /// Saves what must survive, readable by the owner alone.
    pub fn save(&self, path: &Path) -> Result<()> {
        let index = Index {
            secret: hex::encode(self.secret.secret().expose()),
            drawers: self
                .drawers
                .iter()
                .map(|(category, id)| (category.clone(), id.to_string()))
                .collect(),
            grants: self.grants.clone(),
            seen: self
                .seen
                .iter()
                .map(|(drawer, (count, head))| (drawer.to_string(), (*count, head.to_string())))
                .collect(),
        };
        let text = serde_json::to_string_pretty(&index).expect("an index is plain data");
        super::files::write_secret(path, text.as_bytes()).map_err(|e| wrong("wallet file")(&e))
    }

    /// Opens a drawer for each category that has none.
    pub async fn open_drawers(&mut self, categories: &[&str]) -> Result<()> {
        for category in categories {
            if self.drawers.contains_key(*category) {
                continue;
            }
            let id = DrawerId(self.rng.random());
            let drawer = self.drawer(category, id);
            let url = format!(
                "{}/v1/vaults/{}/drawers/{id}",
                self.host_url,
                self.secret.vault_id()
            );
            self.call(
                reqwest::Method::PUT,
                &url,
                Some("application/cbor"),
                cbor::encode(&drawer),
            )
            .await?;
            self.drawers.insert((*category).to_owned(), id);
        }
        Ok(())
    }

    /// The drawer of a category.
    #[must_use]
    pub fn drawer_id(&self, category: &str) -> Option<DrawerId> {
        self.drawers.get(category).copied()
    }

    fn drawer(&self, category: &str, id: DrawerId) -> Drawer {
        Drawer {
            id,
            category: category.to_owned(),
            epoch: 1,
            drawer_key: self.secret.drawer_secret(&id).seal_key(),
            reader_key: self.secret.reader_secret(&id).seal_key(),
        }
    }

    /// Answers a pairing link from a counter with a deposit invitation. Gives the issuer's answer.
    pub async fn pair(&mut self, link: &str, record_types: &[&str]) -> Result<Value> {
        let issuer: OrganisationId = parameter(link, "issuer")?
            .parse()
            .map_err(|e| wrong("pairing link")(&e))?;
        let code = parameter(link, "code")?;
        let invitation = self.invitation(&issuer, &code, record_types);
        let state = self.organisation(&issuer).await?;
        let url = state
            .organisation
            .url(Role::Issuer)
            .ok_or_else(|| WalletError("the issuer has no address".into()))?;
        let body = json!({ "code": code, "invitation": URL_SAFE_NO_PAD.encode(invitation) });
        let url = format!("{url}/v1/pairings/answers");
        let answer = self
            .patience
            .ask(|| self.http.post(&url).json(&body).send());
        let answer = checked(answer.await.map_err(|e| wrong("issuer")(&e))?, &url)?;
        serde_json::from_slice(&answer).map_err(|e| wrong("issuer")(&e))
    }

    /// A deposit into the first drawer, as an issuer would send it, under an invitation made for it.
    ///
    /// # Errors
    /// Where sealing fails.
    pub fn prepare_deposit(
        &mut self,
        issuer: &OrganisationKeys,
        content: &[u8],
        record_key: &Secret,
        rng: &mut StdRng,
    ) -> Result<Prepared> {
        let (category, drawer) = self
            .drawers
            .iter()
            .next()
            .ok_or_else(|| WalletError("no drawer".into()))?;
        let (drawer, public) = (*drawer, self.drawer(category, *drawer));
        let invitation = self.invitation(&issuer.organisation_id(), "benchmark", &["vaccination"]);
        let record = RecordId(rng.random());
        let date_ms = clock::now_ms();
        let manifest = Manifest {
            suite: SUITE_X25519,
            drawer,
            record,
            date_ms,
            depositor: issuer.organisation_id(),
            record_type: "vaccination".into(),
            parts: vec![Part {
                media_type: "application/dc+sd-jwt".into(),
                length: 0,
                name: None,
            }],
            replaces: None,
        };
        let plaintext = sealing::frame(manifest, &[content]).map_err(|e| wrong("record")(&e))?;
        let file = sealing::seal(&plaintext, &public.drawer_key, &record_key.seal_key())
            .map_err(|e| wrong("record")(&e))?;
        let chain = self.ledger.chain();
        let label = LockLabel::new(chain, drawer, record, date_ms);
        let lock = Lock::make(record_key, &public.reader_key, &label, rng)
            .map_err(|e| wrong("lock")(&e))?;
        let deposit = Deposit {
            depositor: issuer.organisation_id(),
            drawer,
            record,
            date_ms,
            file: sealing::file_digest(&file),
            length: file.len() as u64,
            lock: lock.digest(),
            invitation: invitation_digest(&invitation),
        };
        let sealed = SealedRecord {
            deposit: deposit.sign(&issuer.sign, &chain).to_bytes().into(),
            invitation: invitation.into(),
            lock: lock.to_bytes().into(),
            file: file.into(),
            receipt: None,
        };
        Ok(Prepared {
            drawer,
            record,
            body: cbor::encode(&sealed),
        })
    }

    /// A sealed record, unopened.
    ///
    /// # Errors
    /// Where the host does not give it.
    pub async fn fetch_raw(&self, drawer: &DrawerId, record: &RecordId) -> Result<Vec<u8>> {
        self.fetch_own(&format!("drawers/{drawer}/records/{record}"))
            .await
    }

    /// What the host answers the owner of the vault under a path below it, as it is.
    ///
    /// # Errors
    /// Where the host does not give it.
    pub async fn fetch_own(&self, path: &str) -> Result<Vec<u8>> {
        let url = format!(
            "{}/v1/vaults/{}/{path}",
            self.host_url,
            self.secret.vault_id()
        );
        self.call(reqwest::Method::GET, &url, None, Vec::new())
            .await
    }

    /// What the host answers the owner of the vault to CBOR that is posted to a path below it.
    async fn send_own(&self, path: &str, body: Vec<u8>) -> Result<Vec<u8>> {
        let url = format!(
            "{}/v1/vaults/{}/{path}",
            self.host_url,
            self.secret.vault_id()
        );
        self.call(reqwest::Method::POST, &url, Some("application/cbor"), body)
            .await
    }

    /// A signed deposit invitation for all drawers.
    pub fn invitation(
        &mut self,
        issuer: &OrganisationId,
        code: &str,
        record_types: &[&str],
    ) -> Vec<u8> {
        let invitation = Invitation {
            suite: SUITE_X25519,
            host: self.host,
            depositor: *issuer,
            pairing: pairing_hash(issuer, code),
            drawers: self
                .drawers
                .iter()
                .map(|(category, id)| self.drawer(category, *id))
                .collect(),
            holder: tegata_consent::cose::public_key(&self.secret.holder_key(issuer)),
            record_types: record_types.iter().map(|kind| (*kind).to_owned()).collect(),
            expires_ms: clock::now_ms() + 365 * 86_400_000,
            nonce: Nonce(self.rng.random()),
        };
        invitation
            .sign(&self.secret.vault_key(), &self.ledger.chain())
            .to_bytes()
    }

    /// All records, each drawer's receipt chain checked, opened and with the issuer's signature checked.
    pub async fn records(&mut self) -> Result<Vec<OpenedRecord>> {
        let mut opened = Vec::new();
        let host = self.organisation(&self.host).await?;
        let host_keys = sign_keys(&host);
        for drawer in self.drawers.values().copied().collect::<Vec<_>>() {
            let url = format!(
                "{}/v1/vaults/{}/drawers/{drawer}",
                self.host_url,
                self.secret.vault_id()
            );
            let bytes = self
                .call(reqwest::Method::GET, &url, None, Vec::new())
                .await?;
            let list: DrawerList =
                cbor::decode(&bytes, DrawerList::LIMIT).map_err(|e| wrong("drawer list")(&e))?;
            let seen = self.seen.get(&drawer).copied().unwrap_or((0, EMPTY_HEAD));
            let (receipts, head) = verify_receipt_chain(
                &self.ledger.chain(),
                &host_keys,
                &drawer,
                &list.receipts,
                seen,
            )
            .map_err(|e| wrong("receipt chain")(&e))?;
            for (bytes, receipt) in list.deposits.iter().zip(&receipts) {
                if tegata_consent::deposit::deposit_digest(bytes) != receipt.deposit {
                    return Err(WalletError(format!(
                        "receipt {} is for another deposit",
                        receipt.sequence
                    )));
                }
                let (deposit, _) =
                    Deposit::open(bytes, &self.ledger.chain()).map_err(|e| wrong("deposit")(&e))?;
                opened.push(self.open_record(&drawer, &deposit, bytes).await?);
            }
            self.seen.insert(drawer, (receipts.len() as u64, head));
        }
        Ok(opened)
    }

    async fn open_record(
        &self,
        drawer: &DrawerId,
        listed: &Deposit,
        listed_bytes: &ByteVec,
    ) -> Result<OpenedRecord> {
        let url = format!(
            "{}/v1/vaults/{}/drawers/{drawer}/records/{}",
            self.host_url,
            self.secret.vault_id(),
            listed.record
        );
        let bytes = self
            .call(reqwest::Method::GET, &url, None, Vec::new())
            .await?;
        let sealed: SealedRecord =
            cbor::decode(&bytes, SealedRecord::LIMIT).map_err(|e| wrong("record")(&e))?;
        if sealed.deposit != *listed_bytes {
            return Err(WalletError(
                "the host serves another deposit than it listed".into(),
            ));
        }
        let lock = Lock::parse(&sealed.lock).map_err(|e| wrong("lock")(&e))?;
        let verified = Deposit::verify(&sealed.deposit, &self.ledger.chain(), &sealed.file, &lock)
            .map_err(|e| wrong("deposit")(&e))?;
        let issuer = self.organisation(&verified.deposit.depositor).await?;
        if !sign_keys(&issuer).contains(&verified.signer) {
            return Err(WalletError(format!(
                "{} is not a key of the depositor",
                verified.signer
            )));
        }
        let plaintext = sealing::open(&sealed.file, &self.secret.drawer_secret(drawer))
            .map_err(|e| wrong("file")(&e))?;
        let (manifest, parts) = sealing::unframe(&plaintext).map_err(|e| wrong("file")(&e))?;
        if (manifest.record, manifest.drawer, manifest.depositor)
            != (listed.record, *drawer, listed.depositor)
        {
            return Err(WalletError(
                "the record names other ids than its deposit".into(),
            ));
        }
        let text = std::str::from_utf8(parts[0]).map_err(|e| wrong("credential")(&e))?;
        let credential = SdJwt::parse(text).map_err(|e| wrong("credential")(&e))?;
        let issued_ms = u64::try_from(credential.issued_at().unwrap_or(0)).unwrap_or(0) * 1000;
        let keys = credential_keys(&issuer, issued_ms);
        let key = keys
            .iter()
            .find(|key| credential.verify(key, clock::now_s()).is_ok());
        let key = key.ok_or_else(|| {
            WalletError("the credential is signed by no key of its issuer".into())
        })?;
        let verified = credential
            .verify(key, clock::now_s())
            .map_err(|e| wrong("credential")(&e))?;
        Ok(OpenedRecord {
            record: manifest.record,
            record_type: manifest.record_type.clone(),
            issuer: manifest.depositor,
            claims: verified.claims().clone(),
            replaces: manifest.replaces,
            sd_jwt: text.to_owned(),
        })
    }

    /// The whole vault in one file.
    pub async fn export(&self) -> Result<Vec<u8>> {
        self.fetch_own("export").await
    }

    async fn organisation(&self, id: &OrganisationId) -> Result<OrganisationState> {
        let proven = self
            .ledger
            .organisation(id)
            .await
            .map_err(|e| wrong("registry")(&e))?;
        proven
            .value
            .ok_or_else(|| WalletError(format!("organisation {id} is not registered")))
    }

    async fn call(
        &self,
        method: reqwest::Method,
        url: &str,
        content_type: Option<&str>,
        body: Vec<u8>,
    ) -> Result<Vec<u8>> {
        let signer = Signer::vault(self.secret.vault_key());
        let content_type = content_type.unwrap_or("application/octet-stream");
        let answer = self.patience.ask(|| {
            let (method, body) = (method.clone(), body.clone());
            send_signed(&self.http, &signer, method, url, content_type, body)
        });
        checked(answer.await.map_err(|e| wrong("host")(&e))?, url)
    }
}

/// The body of an answer of success.
fn checked(answer: Whole, url: &str) -> Result<Vec<u8>> {
    if answer.status.is_success() {
        return Ok(answer.bytes);
    }
    let text = String::from_utf8_lossy(&answer.bytes);
    Err(WalletError(format!(
        "{url} answered {}: {text}",
        answer.status
    )))
}

/// A parameter behind the `#` of a link.
fn parameter(link: &str, name: &str) -> Result<String> {
    let (_, query) = link
        .split_once('?')
        .ok_or_else(|| WalletError(format!("{link:?} is not a link of ours")))?;
    let value = query
        .split('&')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    value
        .map(str::to_owned)
        .ok_or_else(|| WalletError(format!("{link:?} lacks {name}")))
}

fn sign_keys(state: &OrganisationState) -> Vec<PublicKey> {
    let keys = state
        .organisation
        .keys
        .iter()
        .filter(|key| key.key_use == KeyUse::Sign);
    keys.filter_map(|key| PublicKey::try_from(key.public.as_slice()).ok())
        .collect()
}

fn credential_keys(state: &OrganisationState, at_ms: u64) -> Vec<CredentialKey> {
    let of = |key_use, algorithm| {
        state
            .keys_at(key_use, at_ms)
            .filter_map(move |key| CredentialKey::from_bytes(algorithm, &key.public).ok())
    };
    of(KeyUse::CredentialEdDsa, Algorithm::EdDsa)
        .chain(of(KeyUse::CredentialEs256, Algorithm::Es256))
        .collect()
}
