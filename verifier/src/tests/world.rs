//! A small world for tests: a ledger with real entries and certificates, an issuer, a host, a person with a vault, and us;
//! records made with the real crates, of which a test alters one thing.

use super::fake::{Chain, Node, SharedChain, key};
use ed25519_dalek::SigningKey as SignKey;
use serde_json::{Value, json};
use tegata_consent::SUITE_X25519;
use tegata_consent::cose::Signed;
use tegata_consent::deposit::{
    Deposit, DepositReceipt, EMPTY_HEAD, SealedRecord, deposit_digest, receipt_head,
};
use tegata_consent::entry::{
    Access, Body, Entry, Grant, OrganisationSuspension, Revocation, StatusListPublished,
    VerifiedEntry,
};
use tegata_consent::ids::{
    DrawerId, GrantId, Hash, Nonce, OrganisationId, RecordId, Salt, SealKey,
};
use tegata_consent::invitation::{Drawer, Invitation, invitation_digest};
use tegata_consent::keys::{Secret, VaultSecret};
use tegata_consent::lock::{Lock, LockLabel};
use tegata_consent::organisation::{
    Asks, Issues, Name, Organisation, OrganisationState, Role, Service,
};
use tegata_consent::proof::{Proven, VerifiedReceipt};
use tegata_consent::request::{ConsentRequest, request_commitment};
use tegata_consent::scope::Scope;
use tegata_consent::sealing::{Manifest, Part, file_digest, frame, seal};
use tegata_consent::state::GrantState;
use tegata_consent::status::{status_list_id, token_digest};
use tegata_consent::ticket::{Ticket, TicketDrawer, request_digest};
use tegata_credential::keys::{Algorithm, PublicKey, SigningKey};
use tegata_credential::sd_jwt::{Issuance, MEDIA_TYPE, StatusReference, issue};
use tegata_credential::status_list::{
    Status, StatusList, StatusListIssuance, StatusListToken, VerifiedStatusList, sign,
};
use tegata_records::catalogue;
use tegata_service::clock;
use tegata_service::keys::OrganisationKeys;
use tegata_service::ledger::Ledger;

/// Drawer of vaccinations.
pub(crate) const VACCINATIONS: DrawerId = DrawerId([1; 16]);
/// Drawer of infant checkups.
pub(crate) const CHECKUPS: DrawerId = DrawerId([2; 16]);

pub(crate) struct World {
    pub(crate) chain: SharedChain,
    pub(crate) ledger: Ledger,
    pub(crate) node: Node,
    pub(crate) issuer: OrganisationKeys,
    pub(crate) host: OrganisationKeys,
    pub(crate) us: OrganisationKeys,
    pub(crate) person: VaultSecret,
    /// Where host and issuer are registered: `{base}/host`, `{base}/issuer`.
    pub(crate) base: String,
}

pub(crate) fn organisation_keys() -> OrganisationKeys {
    OrganisationKeys::generate(&mut crate::random::rng())
}

fn organisation(keys: &OrganisationKeys, name: &str, role: Role, url: String) -> Organisation {
    Organisation {
        name: Name {
            ja: name.into(),
            en: name.into(),
        },
        roles: vec![role],
        services: vec![Service { role, url }],
        did: format!("did:web:{name}.example"),
        keys: keys.public_keys(0),
        issues: Vec::new(),
        asks: Vec::new(),
    }
}

impl World {
    pub(crate) async fn new(base: &str, our_url: &str) -> Self {
        Self::with(base, our_url, organisation_keys()).await
    }

    /// A world in which we have these keys.
    pub(crate) async fn with(base: &str, our_url: &str, us: OrganisationKeys) -> Self {
        let chain = Chain::new();
        let node = Node::start(&chain).await;
        let genesis = chain.lock().unwrap().genesis.clone();
        let ledger = Ledger::start_with(vec![node.url.clone()], genesis).unwrap();
        let world = Self {
            chain,
            ledger,
            node,
            issuer: organisation_keys(),
            host: organisation_keys(),
            us,
            person: VaultSecret::new([7; 32]),
            base: base.to_owned(),
        };
        let mut issuer = organisation(
            &world.issuer,
            "clinic",
            Role::Issuer,
            format!("{base}/issuer"),
        );
        issuer.issues = ["vaccination", "hip_dislocation_screening"]
            .map(|record_type| Issues {
                record_type: record_type.into(),
                from_ms: 0,
                until_ms: None,
            })
            .into();
        let host = organisation(&world.host, "host", Role::Host, format!("{base}/host"));
        let mut us = organisation(&world.us, "us", Role::Verifier, our_url.to_owned());
        us.asks = [("care", "vaccination"), ("payout", "vaccination")]
            .map(|(purpose, category)| Asks {
                purpose: purpose.into(),
                categories: vec![category.into()],
                retention_max_days: 365,
            })
            .into();
        for organisation in [issuer, host, us] {
            world.register(organisation);
        }
        world.settle().await;
        world
    }

    pub(crate) fn register(&self, organisation: Organisation) {
        self.operators(Body::OrganisationRegistered(organisation));
    }

    fn operators(&self, body: Body) {
        let mut chain = self.chain.lock().unwrap();
        let entry = Entry::sign(&key(9), &chain.id, chain.soon(), body);
        let entry = chain.verified(entry);
        chain.block(&[entry]).unwrap();
    }

    pub(crate) fn suspend(&self, id: OrganisationId) {
        self.operators(Body::OrganisationSuspended(OrganisationSuspension {
            id,
            sequence: 1,
            suspended: true,
        }));
    }

    /// Lifts the suspension of [`Self::suspend`].
    pub(crate) fn lift(&self, id: OrganisationId) {
        self.operators(Body::OrganisationSuspended(OrganisationSuspension {
            id,
            sequence: 2,
            suspended: false,
        }));
    }

    /// Waits until the follower knows the newest header.
    pub(crate) async fn settle(&self) {
        let height = self.chain.lock().unwrap().headers.len() as u64;
        let there = |header: &Option<tegata_consent::header::FinalHeader>| {
            header
                .as_ref()
                .is_some_and(|header| header.header().height >= height)
        };
        self.ledger.watch().wait_for(there).await.unwrap();
    }

    /// A heartbeat, so that the newest header is of now.
    pub(crate) fn beat(&self) {
        self.chain.lock().unwrap().block(&[]).unwrap();
    }

    pub(crate) async fn registered(&self, keys: &OrganisationKeys) -> OrganisationState {
        let proven = self.ledger.organisation(&keys.organisation_id()).await;
        proven.unwrap().value.unwrap()
    }

    pub(crate) fn drawer(&self, id: DrawerId) -> Drawer {
        let category = if id == CHECKUPS {
            "infant_checkup"
        } else {
            "vaccination"
        };
        Drawer {
            id,
            category: category.into(),
            epoch: 1,
            drawer_key: self.person.drawer_secret(&id).seal_key(),
            reader_key: self.person.reader_secret(&id).seal_key(),
        }
    }

    /// A grant on the ledger, with its ticket.
    pub(crate) fn grant(&self, ask: &Ask<'_>) -> Granted {
        let nonce = rand::random();
        let (grant_key, id) = (self.person.grant_key(&nonce), self.person.grant_id(&nonce));
        let drawer = self.drawer(ask.drawer);
        let scope = Scope::of_drawers(vec![drawer.id]);
        let (salt, request_salt) = (Salt(rand::random()), Salt(rand::random()));
        let grant = Grant {
            recipient: ask.recipient.unwrap_or(self.us.organisation_id()),
            sponsor: self.host.organisation_id(),
            categories: vec![drawer.category.clone()],
            purpose: ask.purpose.into(),
            legal_basis: "consent".into(),
            retention_days: ask.retention_days,
            from_ms: 0,
            until_ms: clock::now_ms() + 86_400_000,
            uses_max: ask.uses_max,
            commitment: scope.commitment(&salt),
            request: ask
                .answers
                .map(|request| request_commitment(&request_salt, request)),
        };
        let mut chain = self.chain.lock().unwrap();
        let entry = Entry::sign(&grant_key, &chain.id, chain.soon(), Body::Grant(grant));
        let entry = entry.countersign(&self.host.sign, &chain.id);
        let entry = chain.verified(entry);
        chain.block(&[entry]).unwrap();
        let ticket = Ticket {
            grant: id,
            host: self.host.organisation_id(),
            vault: ask.vault.unwrap_or(self.person.vault_id()),
            drawers: vec![TicketDrawer::new(
                drawer.id,
                drawer.category,
                &self.person.reader_secret(&drawer.id),
            )],
            salt,
            scope,
            reference: ask
                .answers
                .and_then(|request| ConsentRequest::open(request, &chain.id).ok())
                .map_or(ask.reference.into(), |(request, _)| request.reference),
            request_salt: ask.answers.map(|_| request_salt),
            request: ask.answers.map(request_digest),
        };
        Granted {
            id,
            key: grant_key,
            ticket,
        }
    }

    /// A revocation that nobody has submitted yet.
    pub(crate) fn revocation(&self, granted: &Granted) -> VerifiedEntry {
        let chain = self.chain.lock().unwrap();
        let revocation = Revocation {
            grant: granted.id,
            sponsor: self.host.organisation_id(),
        };
        let body = Body::Revocation(revocation);
        let entry = Entry::sign(&granted.key, &chain.id, chain.soon(), body);
        chain.verified(entry.countersign(&self.host.sign, &chain.id))
    }

    pub(crate) fn revoke(&self, granted: &Granted) {
        let entry = self.revocation(granted);
        self.chain.lock().unwrap().block(&[entry]).unwrap();
    }

    /// The sealed ticket, as a host carries it.
    pub(crate) fn sealed(&self, granted: &Granted) -> Vec<u8> {
        let us = self.us.organisation_id();
        let to = self.us.seal.seal_key();
        let chain = self.ledger.chain();
        granted
            .ticket
            .seal_to(&granted.key, &us, &to, &chain, &mut crate::random::rng())
            .unwrap()
    }

    /// An access by us, as the ledger judged it.
    pub(crate) async fn access(
        &self,
        granted: &Granted,
        scope: &Scope,
        salt: &Salt,
    ) -> VerifiedReceipt {
        let access = Access {
            grant: granted.id,
            recipient: self.us.organisation_id(),
            commitment: scope.commitment(salt),
            ephemeral: SealKey([3; 32]),
        };
        let soon = clock::now_ms() + 60_000;
        let entry = Entry::sign(
            &self.us.sign,
            &self.ledger.chain(),
            soon,
            Body::Access(access),
        );
        self.ledger.submit(&entry.to_bytes()).await.unwrap().1
    }

    pub(crate) async fn consent(&self, granted: &Granted) -> Proven<GrantState> {
        self.ledger.grant(&granted.id).await.unwrap().1
    }

    pub(crate) fn credential_key(&self) -> SigningKey {
        SigningKey::from_bytes(Algorithm::EdDsa, self.issuer.credential_eddsa.expose()).unwrap()
    }

    pub(crate) fn status_uri(&self) -> String {
        format!("{}/issuer/v1/status-lists/1", self.base)
    }

    /// Puts the digest of a list on the ledger, as the issuer does before it serves it.
    pub(crate) fn publish(&self, token: &str, issued_s: i64) {
        let body = Body::StatusListPublished(StatusListPublished {
            issuer: self.issuer.organisation_id(),
            list: status_list_id(&self.status_uri()),
            token: token_digest(token.as_bytes()),
            issued_ms: u64::try_from(issued_s).unwrap() * 1000,
            recalled: 0,
        });
        let mut chain = self.chain.lock().unwrap();
        let entry = Entry::sign(&self.issuer.sign, &chain.id, chain.soon(), body);
        let entry = chain.verified(entry);
        chain.block(&[entry]).unwrap();
    }

    /// A signed status list with these statuses.
    pub(crate) fn status_token(
        &self,
        entries: &[(u64, Status)],
        ttl_s: u64,
        key: &SigningKey,
    ) -> String {
        self.status_token_at(entries, ttl_s, key, clock::now_s())
    }

    pub(crate) fn status_token_at(
        &self,
        entries: &[(u64, Status)],
        ttl_s: u64,
        key: &SigningKey,
        issued_at: i64,
    ) -> String {
        let list = StatusList::from_entries(2, 1024, entries.iter().copied()).unwrap();
        let issuance = StatusListIssuance {
            uri: &self.status_uri(),
            issuer: None,
            issued_at,
            expires_at: None,
            ttl_s: Some(ttl_s),
        };
        sign(&list, &issuance, key)
    }

    pub(crate) fn status_list(&self, entries: &[(u64, Status)]) -> VerifiedStatusList {
        let text = self.status_token(entries, 60, &self.credential_key());
        let token = StatusListToken::parse(&text).unwrap();
        token
            .verify(
                &self.credential_key().public_key(),
                &self.status_uri(),
                clock::now_s(),
            )
            .unwrap()
    }

    /// How to make a record that is right in every way.
    pub(crate) fn recipe(&self, drawer: DrawerId) -> Recipe {
        let (record_type, claims) = if drawer == CHECKUPS {
            (
                "hip_dislocation_screening",
                json!({ "date": "2026-03-02", "place": "Wakaba Health Centre" }),
            )
        } else {
            (
                "vaccination",
                json!({ "vaccine_code": "mr", "date": "2025-04-01", "dose_number": 1 }),
            )
        };
        let drawer = self.drawer(drawer);
        let record = RecordId(rand::random());
        let reader_key = drawer.reader_key;
        Recipe {
            claims,
            vct: catalogue().by_id(record_type).unwrap().vct().to_owned(),
            did: "did:web:clinic.example".into(),
            credential_key: self.credential_key(),
            credential_alter: |text| text,
            holder: Some(
                PublicKey::from_bytes(
                    Algorithm::EdDsa,
                    &self
                        .person
                        .holder_key(&self.issuer.organisation_id())
                        .verifying_key()
                        .to_bytes(),
                )
                .unwrap(),
            ),
            issued_s: clock::now_s() - 10,
            expires_s: None,
            status: Some(StatusReference {
                uri: self.status_uri(),
                index: 5,
            }),
            manifest: Manifest {
                suite: SUITE_X25519,
                drawer: drawer.id,
                record,
                date_ms: 1_700_000_000_000,
                depositor: self.issuer.organisation_id(),
                record_type: record_type.into(),
                parts: vec![Part {
                    media_type: MEDIA_TYPE.into(),
                    length: 0,
                    name: None,
                }],
                replaces: None,
            },
            file_key: None,
            reader_key,
            label_alter: |_| {},
            deposit: Deposit {
                depositor: self.issuer.organisation_id(),
                drawer: drawer.id,
                record,
                date_ms: 1_700_000_000_000,
                file: Hash([0; 32]),
                length: 0,
                lock: Hash([0; 32]),
                invitation: Hash([0; 32]),
            },
            deposit_invitation: None,
            deposit_key: self.issuer.sign.clone(),
            vault_key: self.person.vault_key(),
            invitation: Invitation {
                suite: SUITE_X25519,
                host: self.host.organisation_id(),
                depositor: self.issuer.organisation_id(),
                pairing: Hash([4; 32]),
                drawers: vec![drawer.clone()],
                holder: tegata_consent::cose::public_key(
                    &self.person.holder_key(&self.issuer.organisation_id()),
                ),
                record_types: vec!["vaccination".into(), "hip_dislocation_screening".into()],
                expires_ms: clock::now_ms() + 86_400_000,
                nonce: Nonce([5; 16]),
            },
            drawer,
            host_key: self.host.sign.clone(),
            receipt: DepositReceipt {
                host: self.host.organisation_id(),
                drawer: DrawerId([0; 16]),
                sequence: 1,
                previous: EMPTY_HEAD,
                deposit: Hash([0; 32]),
                received_ms: clock::now_ms() - 5000,
            },
            receipt_deposit: None,
        }
    }

    /// Makes the record.
    pub(crate) fn make(&self, recipe: &Recipe) -> SealedRecord {
        let mut rng = crate::random::rng();
        let chain = self.ledger.chain();
        let issuance = Issuance {
            holder: recipe.holder.as_ref(),
            status: recipe.status.clone(),
            expires_at: recipe.expires_s,
            ..Issuance::new(&recipe.did, &recipe.vct, recipe.issued_s, &recipe.claims)
        };
        let credential =
            (recipe.credential_alter)(issue(&issuance, &recipe.credential_key, &mut rng).unwrap());
        let plaintext = frame(recipe.manifest.clone(), &[credential.as_bytes()]).unwrap();
        let record_key = Secret::new(rand::random());
        let file_key = recipe.file_key.unwrap_or(record_key.seal_key());
        let file = seal(&plaintext, &recipe.drawer.drawer_key, &file_key).unwrap();
        let mut label = LockLabel::new(
            chain,
            recipe.deposit.drawer,
            recipe.deposit.record,
            recipe.deposit.date_ms,
        );
        (recipe.label_alter)(&mut label);
        let lock = Lock::make(&record_key, &recipe.reader_key, &label, &mut rng).unwrap();
        let invitation = recipe.invitation.sign(&recipe.vault_key, &chain).to_bytes();
        let deposit = Deposit {
            file: file_digest(&file),
            length: file.len() as u64,
            lock: lock.digest(),
            invitation: recipe
                .deposit_invitation
                .unwrap_or(invitation_digest(&invitation)),
            ..recipe.deposit.clone()
        };
        let deposit = deposit.sign(&recipe.deposit_key, &chain).to_bytes();
        let receipt = DepositReceipt {
            drawer: recipe.deposit.drawer,
            deposit: recipe.receipt_deposit.unwrap_or(deposit_digest(&deposit)),
            ..recipe.receipt.clone()
        };
        SealedRecord {
            deposit: deposit.into(),
            invitation: invitation.into(),
            lock: lock.to_bytes().into(),
            file: file.into(),
            receipt: Some(receipt.sign(&recipe.host_key, &chain).to_bytes().into()),
        }
    }

    /// Makes records one after the other, each receipt following on the one before.
    pub(crate) fn make_chain(&self, recipes: &mut [Recipe]) -> Vec<SealedRecord> {
        let mut head = EMPTY_HEAD;
        let mut made = Vec::new();
        for (recipe, sequence) in recipes.iter_mut().zip(1..) {
            (recipe.receipt.sequence, recipe.receipt.previous) = (sequence, head);
            let record = self.make(recipe);
            head = receipt_head(record.receipt.as_ref().unwrap());
            made.push(record);
        }
        made
    }
}

/// What a grant is to be.
pub(crate) struct Ask<'a> {
    pub(crate) drawer: DrawerId,
    pub(crate) purpose: &'a str,
    pub(crate) reference: &'a str,
    pub(crate) retention_days: u32,
    pub(crate) uses_max: Option<u32>,
    pub(crate) answers: Option<&'a [u8]>,
    pub(crate) recipient: Option<OrganisationId>,
    pub(crate) vault: Option<tegata_consent::ids::VaultId>,
}

impl Default for Ask<'_> {
    fn default() -> Self {
        Self {
            drawer: VACCINATIONS,
            purpose: "care",
            reference: "P-1",
            retention_days: 30,
            uses_max: None,
            answers: None,
            recipient: None,
            vault: None,
        }
    }
}

pub(crate) struct Granted {
    pub(crate) id: GrantId,
    pub(crate) key: SignKey,
    pub(crate) ticket: Ticket,
}

/// How to make a record. A test alters one thing.
pub(crate) struct Recipe {
    pub(crate) claims: Value,
    pub(crate) vct: String,
    pub(crate) did: String,
    pub(crate) credential_key: SigningKey,
    pub(crate) credential_alter: fn(String) -> String,
    pub(crate) holder: Option<PublicKey>,
    pub(crate) issued_s: i64,
    pub(crate) expires_s: Option<i64>,
    pub(crate) status: Option<StatusReference>,
    pub(crate) manifest: Manifest,
    /// To whom the file is sealed beside the drawer key; absent: the record key in the lock.
    pub(crate) file_key: Option<SealKey>,
    pub(crate) reader_key: SealKey,
    pub(crate) label_alter: fn(&mut LockLabel),
    pub(crate) deposit: Deposit,
    pub(crate) deposit_invitation: Option<Hash>,
    pub(crate) deposit_key: SignKey,
    pub(crate) vault_key: SignKey,
    pub(crate) invitation: Invitation,
    pub(crate) drawer: Drawer,
    pub(crate) host_key: SignKey,
    pub(crate) receipt: DepositReceipt,
    pub(crate) receipt_deposit: Option<Hash>,
}
