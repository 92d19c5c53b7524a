//! One of every kind of artefact that a demo makes, from its own services, files and commands.

use crate::generator::Form;
use crate::world::{World, within};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey as OperatorKey;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tegata::demo::setup::operator_key;
use tegata::demo::systems::Systems;
use tegata::demo::wallet::{OpenedRecord, PresentationRequest, Wallet};
use tegata::verify::Options;
use tegata_consent::cbor;
use tegata_consent::cose::Signed;
use tegata_consent::deposit::{DrawerList, SealedRecord};
use tegata_consent::entry::{Body, Entry, OrganisationChange, OrganisationSuspension};
use tegata_consent::ids::{GrantId, Nonce};
use tegata_consent::log::LogLeaf;
use tegata_consent::order::GrantSubmission;
use tegata_consent::over_asking::evidence_digest;
use tegata_consent::request::ConsentRequest;
use tegata_credential::jws::{encode, sign_with_header};
use tegata_credential::keys::{Algorithm, SigningKey};
use tegata_credential::sd_jwt::SdJwt;
use tegata_service::clock;
use tegata_service::keys::{OrganisationKeys, load_organisation_keys};

const SUBJECT: &str = "S-5";
const LONG: Duration = Duration::from_secs(30);

/// Something that was signed, with what one believes to verify it.
pub(crate) struct Artefact {
    /// The kind, as the expectations call it.
    pub(crate) kind: &'static str,
    pub(crate) form: Form,
    pub(crate) bytes: Vec<u8>,
    pub(crate) options: Options,
}

/// What the collection needs at every step.
pub(crate) struct Collector<'a> {
    pub(crate) world: &'a World,
    pub(crate) dir: PathBuf,
    pub(crate) folder: PathBuf,
    pub(crate) artefacts: Vec<Artefact>,
}

/// What a holder or recipient could sign or seal anew.
pub(crate) struct Secrets {
    /// Signs presentations of the credential.
    pub(crate) holder: SigningKey,
    /// A presentation with its consent.
    pub(crate) presentation: String,
    /// The inbox message with a ticket.
    pub(crate) ticket: Value,
    pub(crate) clinic: OrganisationKeys,
    pub(crate) options: Options,
    pub(crate) ticket_options: Options,
}

impl<'a> Collector<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        let dir = world.dir();
        let folder = dir.join("artefacts");
        std::fs::create_dir_all(&folder).unwrap();
        Self {
            world,
            dir,
            folder,
            artefacts: Vec::new(),
        }
    }

    pub(crate) fn systems(&self, name: &str) -> Systems<'a> {
        let world: &'a World = self.world;
        let service = &world.running.demo.services[name];
        Systems::new(
            self.world.running.ledger.http(),
            service,
            Default::default(),
        )
    }

    pub(crate) fn keys(&self, name: &str) -> OrganisationKeys {
        load_organisation_keys(self.dir.join(name).join("keys.json")).unwrap()
    }

    /// Believes the genesis, and asks the first node.
    pub(crate) fn options(&self) -> Options {
        Options {
            file: "-".into(),
            genesis: Some(self.world.running.demo.genesis.clone()),
            ledger: Some(self.world.running.demo.ledger[0].clone()),
            trust: Vec::new(),
            status: Vec::new(),
            request: None,
            keys: None,
            at: None,
            json: true,
        }
    }

    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn add(&mut self, kind: &'static str, form: Form, bytes: impl Into<Vec<u8>>) {
        let options = self.options();
        self.add_with(kind, form, bytes, options);
    }

    pub(crate) fn add_with(
        &mut self,
        kind: &'static str,
        form: Form,
        bytes: impl Into<Vec<u8>>,
        options: Options,
    ) {
        self.artefacts.push(Artefact {
            kind,
            form,
            bytes: bytes.into(),
            options,
        });
    }

    pub(crate) async fn get(&self, url: &str, accept: &str) -> Vec<u8> {
        let http = self.world.running.ledger.http();
        let answer = http.get(url).header("accept", accept).send().await.unwrap();
        assert!(answer.status().is_success(), "{url}: {}", answer.status());
        answer.bytes().await.unwrap().to_vec()
    }

    pub(crate) async fn node(&self, path: &str) -> Vec<u8> {
        let url = format!("{}{path}", self.world.running.demo.ledger[0]);
        self.get(&url, "application/cbor").await
    }

    /// Lives through all that a demo's people and organisations do, and keeps what they sign.
    pub(crate) async fn collect(&mut self) -> Secrets {
        let demo = self.world.running.demo.clone();
        let ledger = self.world.running.ledger.clone();
        let mut wallet = Wallet::open(&demo.host, ledger.clone()).await.unwrap();
        wallet
            .open_drawers(&["infant_checkup", "vaccination"])
            .await
            .unwrap();
        let ids = self.deposited(&mut wallet).await;
        let records = wallet.records().await.unwrap();
        wallet.status_is_known(&records[0]).await.unwrap();

        // A presentation under policy `ledger`, while the record is as it was issued.
        let (options, presentation) = self.presented(&mut wallet, &records[..1]).await;
        let ticket = self.granted(&mut wallet, &ids).await;
        self.host_papers(&wallet).await;
        self.issued_by_the_service(&records).await;
        self.issued_by_hand(&wallet, &records).await;
        self.copies().await;
        self.organisations_change().await;
        self.ledger_papers(&wallet).await;
        let genesis = std::fs::read(&demo.genesis).unwrap();
        self.add("genesis", Form::Json, genesis);

        let holder = wallet.holder_jwk(&records[0].issuer);
        let secret = URL_SAFE_NO_PAD
            .decode(holder["d"].as_str().unwrap())
            .unwrap();
        let clinic_file = self.dir.join("clinic/keys.json");
        let ticket_options = Options {
            keys: Some(clinic_file),
            ..self.options()
        };
        self.add_with(
            "ticket",
            Form::Json,
            ticket.to_string(),
            ticket_options.clone(),
        );
        Secrets {
            holder: SigningKey::from_bytes(Algorithm::EdDsa, &secret.try_into().unwrap()).unwrap(),
            presentation,
            ticket,
            clinic: self.keys("clinic"),
            options,
            ticket_options,
        }
    }

    /// Pairs with the clinic, which deposits two vaccinations; gives their ids.
    async fn deposited(&self, wallet: &mut Wallet) -> Vec<String> {
        let issuer = self.systems("clinic-issuer");
        let pairing = issuer
            .post("/v1/pairings", &json!({ "subject": SUBJECT }))
            .await;
        let pairing = pairing.unwrap().success("the pairing").unwrap();
        wallet
            .pair(pairing["link"].as_str().unwrap(), &["vaccination"])
            .await
            .unwrap();
        let mut ids = Vec::new();
        for number in 1..=2 {
            let taken = issuer
                .post("/fhir/Immunization", &immunization(SUBJECT, number))
                .await;
            let taken = taken.unwrap().success("the Immunization").unwrap();
            let path = format!("/v1/records/{}", taken["id"].as_str().unwrap());
            within(LONG, "the deposit", async || {
                issuer
                    .get(&path)
                    .await
                    .is_ok_and(|found| found.body["status"] == "deposited")
            })
            .await;
            ids.push(taken["id"].as_str().unwrap().to_owned());
        }
        ids
    }

    /// Requests of both kinds of client, and the presentation that answers one.
    async fn presented(
        &mut self,
        wallet: &mut Wallet,
        records: &[OpenedRecord],
    ) -> (Options, String) {
        let verifier = self.systems("clinic-verifier");
        let mut answered = None;
        for (kind, client_id) in [("request (did)", "did"), ("request (x509)", "x509_hash")] {
            let ask = json!({
                "dcql": { "credentials": [{ "id": "vaccination", "format": "dc+sd-jwt",
                    "meta": { "vct_values": ["urn:tegata:record:vaccination:1"] },
                    "claims": [{ "path": ["vaccine_code"] }, { "path": ["date"] }] }] },
                "purpose": "care", "legal_basis": "consent", "retention_days": 30, "policy": "ledger",
                "reference": "R-1", "client_id": client_id,
            });
            let asked = verifier.post("/v1/presentations", &ask).await.unwrap();
            let asked = asked.success("the request").unwrap();
            let request = wallet
                .read_presentation(asked["link"].as_str().unwrap())
                .await
                .unwrap();
            self.artefacts.push(Artefact {
                kind,
                form: Form::Jws,
                bytes: request.request.text().into(),
                options: self.options(),
            });
            answered = Some((asked, request));
        }
        let (asked, request): (Value, PresentationRequest) = answered.unwrap();
        let prepared = wallet
            .prepare_presentation(&request, records)
            .await
            .unwrap();
        let (status, answer) = wallet.send_presentation(&prepared).await.unwrap();
        assert_eq!(status, 200, "{answer}");
        let path = format!("/v1/presentations/{}", asked["id"].as_str().unwrap());
        let found = verifier
            .get(&path)
            .await
            .unwrap()
            .success("the result")
            .unwrap();
        let shown = found["result"]["credentials"][0]["presentation"].as_str();
        let shown = shown.unwrap().to_owned();
        // As the verifier checks it: the genesis, its own request, the list, and no network.
        let uri = status_uri(&shown);
        let list = self.get(&uri, "application/statuslist+jwt").await;
        let options = Options {
            ledger: None,
            status: vec![self.file("list-then.jwt", list)],
            request: Some(self.file("request.jwt", found["requests"][0].as_str().unwrap())),
            ..self.options()
        };
        self.add_with(
            "presentation (ledger)",
            Form::SdJwt,
            shown.clone(),
            options.clone(),
        );
        (options, shown)
    }

    /// A request and the grant that answers it, with its companions; readings; a recall; over-asking; the end of another
    /// grant. Gives the ticket as it comes to the inbox.
    async fn granted(&mut self, wallet: &mut Wallet, ids: &[String]) -> Value {
        let ledger = self.world.running.ledger.clone();
        let link = self.asked().await;
        let (_, request, _) = wallet.read_request(&link).await.unwrap();
        self.add("consent request", Form::Cbor, request);
        let prepared = wallet.prepare_grant(&link, None).await.unwrap();
        let submission: GrantSubmission =
            cbor::decode(prepared.submission(), GrantSubmission::LIMIT).unwrap();
        wallet.submit_grant(&prepared).await.unwrap();
        self.read(&prepared.id).await;
        self.add("order", Form::Cbor, submission.order.to_vec());
        let sealed = URL_SAFE_NO_PAD.encode(&*submission.ticket);
        let ticket =
            json!({ "kind": "ticket", "grant": prepared.id.to_string(), "ticket": sealed });

        let other = self.asked().await;
        let (ended, _) = wallet.grant(&other, None).await.unwrap();
        wallet.revoke(&ended).await.unwrap();

        let why = json!({ "reason": "it is another child's" });
        let path = format!("/v1/records/{}/recall", ids[1]);
        let recalled = self
            .systems("clinic-issuer")
            .post(&path, &why)
            .await
            .unwrap();
        recalled.success("the recall").unwrap();

        let insurer = self.keys("insurer");
        let greedy = ConsentRequest {
            recipient: insurer.organisation_id(),
            categories: vec!["vaccination".into()],
            purpose: "payout".into(),
            legal_basis: "consent".into(),
            retention_days: 30,
            until_ms: clock::now_ms() + 86_400_000,
            uses_max: None,
            reference: "00112233445566778899aabbccddeeff".into(),
            expires_ms: clock::now_ms() + 600_000,
            nonce: Nonce([3; 16]),
        };
        let greedy = greedy.sign(&insurer.sign, &ledger.chain()).to_bytes();
        wallet.report_over_asking(&greedy).await.unwrap();
        within(LONG, "the erasure is confirmed", async || {
            self.log()
                .await
                .iter()
                .any(|leaf| kind(leaf) == "entry (erasure confirmed)")
        })
        .await;
        let id = prepared.id;
        let history = wallet
            .fetch_own(&format!("grants/{id}?from=0"))
            .await
            .unwrap();
        self.add("reading history", Form::Cbor, history);
        let proof = self.node(&format!("/v1/state/grants/{id}")).await;
        self.add("consent proof", Form::Cbor, proof);
        ticket
    }

    /// The link of a new consent request of the clinic.
    async fn asked(&self) -> String {
        let ask = json!({ "categories": ["vaccination"], "purpose": "care", "legal_basis": "consent", "retention_days": 30,
            "until_ms": clock::now_ms() + 86_400_000, "uses_max": 5, "reference": "patient 5" });
        let made = self
            .systems("clinic-verifier")
            .post("/v1/requests", &ask)
            .await
            .unwrap();
        let made = made.success("the request").unwrap();
        made["link"].as_str().unwrap().to_owned()
    }

    async fn read(&self, grant: &GrantId) {
        let verifier = self.systems("clinic-verifier");
        let path = format!("/v1/grants/{grant}/readings");
        within(LONG, "a reading", async || {
            let answer = verifier.post(&path, &json!({})).await;
            answer.is_ok_and(|answer| answer.status == 200)
        })
        .await;
    }

    /// What the host keeps and gives out.
    async fn host_papers(&mut self, wallet: &Wallet) {
        let drawer = wallet.drawer_id("vaccination").unwrap();
        let bytes = wallet
            .fetch_own(&format!("drawers/{drawer}"))
            .await
            .unwrap();
        let list: DrawerList = cbor::decode(&bytes, DrawerList::LIMIT).unwrap();
        self.add("drawer list", Form::Cbor, bytes);
        let (deposit, _) = tegata_consent::deposit::Deposit::open(
            &list.deposits[0],
            &self.world.running.ledger.chain(),
        )
        .unwrap();
        let bytes = wallet.fetch_raw(&drawer, &deposit.record).await.unwrap();
        let record: SealedRecord = cbor::decode(&bytes, SealedRecord::LIMIT).unwrap();
        self.add("sealed record", Form::Cbor, bytes);
        self.add("deposit", Form::Cbor, record.deposit.to_vec());
        self.add(
            "deposit receipt",
            Form::Cbor,
            record.receipt.unwrap().to_vec(),
        );
        self.add("invitation", Form::Cbor, record.invitation.to_vec());
        let export = wallet.export().await.unwrap();
        self.add("export", Form::CborSequence, export);
    }

    /// A quorum of operators changes an organisation, and suspends one.
    async fn organisations_change(&self) {
        let ledger = &self.world.running.ledger;
        let id = self.keys("insurer").organisation_id();
        let state = ledger.organisation(&id).await.unwrap().value.unwrap();
        let mut organisation = state.organisation.clone();
        organisation.name.en = "Hidamari Insurance Mutual".into();
        for body in [
            Body::OrganisationChanged(OrganisationChange {
                id,
                sequence: state.sequence + 1,
                organisation,
            }),
            Body::OrganisationSuspended(OrganisationSuspension {
                id,
                sequence: state.sequence + 2,
                suspended: true,
            }),
        ] {
            let keys: Vec<OperatorKey> = (0..3).map(|number| operator(&self.dir, number)).collect();
            let (chain, not_after_ms) = (ledger.chain(), clock::now_ms() + 120_000);
            let mut entry = Entry::sign(&keys[0], &chain, not_after_ms, body);
            for key in &keys[1..] {
                entry = entry.countersign(key, &chain);
            }
            ledger.submit(&entry.to_bytes()).await.unwrap();
        }
    }

    async fn log(&self) -> Vec<LogLeaf> {
        let bytes = self.node("/v1/log?from=0&limit=500").await;
        minicbor::decode(&bytes).unwrap()
    }

    /// An entry of each kind, a receipt, headers, and proofs of the state.
    async fn ledger_papers(&mut self, wallet: &Wallet) {
        let chain = self.world.running.ledger.chain();
        // The node that is asked may be a block behind the one that took the last entry.
        let begun = std::time::Instant::now();
        let mut leaves = self.log().await;
        while leaves
            .iter()
            .all(|leaf| kind(leaf) != "entry (organisation suspended)")
        {
            assert!(
                begun.elapsed().as_secs() < 20,
                "the last entry is not there"
            );
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            leaves = self.log().await;
        }
        let mut seen = Vec::new();
        for leaf in leaves.iter().rev() {
            let kind = kind(leaf);
            if seen.contains(&kind) {
                continue;
            }
            seen.push(kind);
            self.add(kind, Form::Cbor, leaf.entry.to_vec());
            if [
                "entry (access)",
                "entry (organisation registered)",
                "entry (over-asking)",
            ]
            .contains(&kind)
            {
                let id = Entry::parse(&leaf.entry).unwrap().id(&chain);
                let receipt = self.node(&format!("/v1/entries/{id}")).await;
                let name = match kind {
                    "entry (access)" => "receipt (access)",
                    "entry (over-asking)" => "receipt (over-asking)",
                    _ => "receipt (organisation)",
                };
                self.add(name, Form::Cbor, receipt);
            }
        }
        assert_eq!(seen.len(), 9, "an entry of each kind: {seen:?}");
        let header = self.node("/v1/headers/newest?after=0&wait_ms=1000").await;
        self.add("header", Form::Cbor, header);
        let clinic = self.keys("clinic").organisation_id();
        let proof = self
            .node(&format!("/v1/state/organisations/{clinic}"))
            .await;
        self.add("state proof (organisation)", Form::Cbor, proof);
        let request =
            leaves
                .iter()
                .find_map(|leaf| match Entry::parse(&leaf.entry).unwrap().body() {
                    Body::OverAsking(report) => Some(evidence_digest(&report.request)),
                    _ => None,
                });
        let path = format!("/v1/state/over-askings/{}", request.unwrap());
        let proof = self.node(&path).await;
        self.add("state proof (over-asking)", Form::Cbor, proof);
        let grant = wallet.grant_ids()[1];
        let (_, history) = wallet.history(&grant).await.unwrap();
        let erasures = history.iter().flat_map(|read| &read.erasures);
        let confirmed =
            erasures.map(|commitment| format!("/v1/state/erasures/{clinic}/{commitment}"));
        let mut found = None;
        for path in confirmed.collect::<Vec<_>>() {
            let proof = self.node(&path).await;
            let proven = tegata_consent::proof::StateProof::parse(&proof).unwrap();
            found = proven.value.is_some().then_some(proof).or(found);
        }
        self.add("state proof (erasure)", Form::Cbor, found.unwrap());
    }
}

/// The kind of an entry, as the expectations call it.
fn kind(leaf: &LogLeaf) -> &'static str {
    match Entry::parse(&leaf.entry).unwrap().body() {
        Body::OrganisationRegistered(_) => "entry (organisation registered)",
        Body::OrganisationChanged(_) => "entry (organisation changed)",
        Body::OrganisationSuspended(_) => "entry (organisation suspended)",
        Body::Grant(_) => "entry (grant)",
        Body::Revocation(_) => "entry (revocation)",
        Body::Access(_) => "entry (access)",
        Body::StatusListPublished(_) => "entry (status list)",
        Body::OverAsking(_) => "entry (over-asking)",
        Body::ErasureConfirmed(_) => "entry (erasure confirmed)",
    }
}

pub(crate) fn immunization(subject: &str, number: u32) -> Value {
    json!({
        "resourceType": "Immunization",
        "identifier": [{ "system": "https://midori.example/immunization", "value": format!("{subject}-{number}") }],
        "status": "completed",
        "vaccineCode": { "coding": [{ "system": "http://hl7.org/fhir/sid/cvx", "code": "48" }], "text": "Hib" },
        "patient": { "identifier": { "value": subject } },
        "occurrenceDateTime": "2023-04-15",
        "lotNumber": format!("LOT{number}A"),
        "performer": [{ "actor": { "display": "みどり小児科クリニック" } }],
        "protocolApplied": [{ "doseNumberPositiveInt": number }],
    })
}

fn operator(dir: &Path, number: usize) -> OperatorKey {
    let text = std::fs::read_to_string(operator_key(dir, number)).unwrap();
    let mut seed = [0; 32];
    hex::decode_to_slice(text.trim(), &mut seed).unwrap();
    OperatorKey::from_bytes(&seed)
}

pub(crate) fn status_uri(credential: &str) -> String {
    let payload = SdJwt::parse(credential)
        .unwrap()
        .unverified_payload()
        .unwrap();
    payload["status"]["status_list"]["uri"]
        .as_str()
        .unwrap()
        .to_owned()
}

pub(crate) fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// A KB-JWT anew over the same presentation, with other claims.
pub(crate) fn bound_anew(
    presentation: &str,
    claims: &Map<String, Value>,
    holder: &SigningKey,
) -> String {
    let (shown, _) = presentation.rsplit_once('~').unwrap();
    let header = object(json!({ "typ": "kb+jwt" }));
    format!("{shown}~{}", sign_with_header(header, claims, holder))
}

/// The base64url of a claim's CBOR.
pub(crate) fn claim_text(bytes: &[u8]) -> Value {
    encode(bytes).into()
}
