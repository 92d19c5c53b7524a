//! What must not be possible, tried over the real APIs.

use crate::world::World;
use rand::rngs::StdRng;
use serde_json::json;
use tegata::demo::wallet::Wallet;
use tegata_consent::cbor;
use tegata_consent::entry::{Access, Body, Entry};
use tegata_consent::fetch::FetchRequest;
use tegata_consent::ids::{GrantId, Salt, SealKey};
use tegata_consent::scope::Scope;
use tegata_consent::state::{Outcome, Refusal};
use tegata_service::clock;
use tegata_service::keys::{OrganisationKeys, load_organisation_keys};
use tegata_service::ledger::LedgerError;
use tegata_service::signature::{Signer, send_signed};

/// An organisation that acts by itself, past its verifier.
pub(crate) struct Recipient<'a> {
    world: &'a World,
    keys: OrganisationKeys,
}

impl<'a> Recipient<'a> {
    pub(crate) fn new(world: &'a World, name: &str) -> Self {
        let keys = load_organisation_keys(world.dir().join(name).join("keys.json")).expect("keys");
        Self { world, keys }
    }

    /// An access with this organisation's own key; gives the entry and the outcome.
    pub(crate) async fn access(
        &self,
        grant: GrantId,
        scope: &Scope,
        salt: Salt,
    ) -> (Entry, Outcome) {
        let ledger = &self.world.running.ledger;
        let entry = self.entry(grant, scope, salt);
        let (_, receipt) = ledger
            .submit(&entry.to_bytes())
            .await
            .expect("a registered organisation's access is logged");
        (entry, receipt.leaf.outcome)
    }

    /// What the ledger says to an access, where it may say no.
    pub(crate) async fn try_access(
        &self,
        grant: GrantId,
        scope: &Scope,
        salt: Salt,
    ) -> Result<Outcome, LedgerError> {
        let ledger = &self.world.running.ledger;
        let entry = self.entry(grant, scope, salt);
        let (_, receipt) = ledger.submit(&entry.to_bytes()).await?;
        Ok(receipt.leaf.outcome)
    }

    fn entry(&self, grant: GrantId, scope: &Scope, salt: Salt) -> Entry {
        let body = Body::Access(Access {
            grant,
            recipient: self.keys.organisation_id(),
            commitment: scope.commitment(&salt),
            ephemeral: SealKey([9; 32]),
        });
        let chain = self.world.running.ledger.chain();
        Entry::sign(&self.keys.sign, &chain, clock::now_ms() + 60_000, body)
    }

    /// Status and code of a fetch.
    pub(crate) async fn fetch(&self, entry: &Entry, scope: &Scope, salt: Salt) -> (u16, String) {
        let ledger = &self.world.running.ledger;
        let request = FetchRequest {
            access: entry.id(&ledger.chain()),
            salt,
            scope: scope.clone(),
            after: None,
        };
        let signer = Signer::organisation(self.keys.organisation_id(), self.keys.sign.clone());
        let url = format!("{}/v1/fetch", self.world.running.demo.host);
        let http = ledger.http();
        let answer = send_signed(
            &http,
            &signer,
            reqwest::Method::POST,
            &url,
            "application/cbor",
            cbor::encode(&request),
        );
        let answer = answer.await.expect("the host answers");
        let status = answer.status().as_u16();
        let body: serde_json::Value =
            serde_json::from_slice(&answer.bytes().await.expect("a body")).unwrap_or_default();
        (status, body["code"].as_str().unwrap_or_default().to_owned())
    }
}

#[tokio::test]
async fn the_host_serves_only_what_the_ledger_allowed_to_whom_it_allowed_it() {
    let world = World::start().await;
    let dir = world.dir();
    let stage = world.stage(&dir);
    let mut wallet = Wallet::open(&world.running.demo.host, world.running.ledger.clone())
        .await
        .unwrap();
    wallet
        .open_drawers(&["infant_checkup", "vaccination"])
        .await
        .unwrap();
    let clinic_systems = stage.systems("clinic-verifier").unwrap();
    let ask = json!({ "categories": ["vaccination"], "purpose": "care", "legal_basis": "consent", "retention_days": 30,
        "until_ms": clock::now_ms() + 86_400_000, "reference": "R-1" });
    let answer = clinic_systems
        .post("/v1/requests", &ask)
        .await
        .unwrap()
        .success("request")
        .unwrap();
    let (grant, receipt) = wallet
        .grant(answer["link"].as_str().unwrap(), None)
        .await
        .unwrap();
    assert_eq!(receipt.leaf.outcome, Outcome::Applied);

    let (clinic, insurer) = (
        Recipient::new(&world, "clinic"),
        Recipient::new(&world, "insurer"),
    );
    let vaccinations = Scope::of_drawers(vec![wallet.drawer_id("vaccination").unwrap()]);
    let checkups = Scope::of_drawers(vec![wallet.drawer_id("infant_checkup").unwrap()]);
    let salt = Salt(rand::RngExt::random(&mut rand::make_rng::<StdRng>()));

    let (entry, outcome) = clinic.access(grant, &vaccinations, salt).await;
    assert_eq!(outcome, Outcome::Applied);
    assert_eq!(clinic.fetch(&entry, &vaccinations, salt).await.0, 200);
    assert_eq!(
        clinic.fetch(&entry, &checkups, salt).await,
        (403, "opening".into()),
        "another opening than committed"
    );
    assert_eq!(
        clinic.fetch(&entry, &vaccinations, Salt([1; 32])).await,
        (403, "opening".into()),
        "another salt"
    );
    let (status, code) = insurer.fetch(&entry, &vaccinations, salt).await;
    assert_eq!(
        (status, code.as_str()),
        (403, "not-recipient"),
        "somebody else's access"
    );

    let (beyond, outcome) = clinic.access(grant, &checkups, salt).await;
    assert_eq!(
        outcome,
        Outcome::Applied,
        "the ledger sees a commitment only"
    );
    assert_eq!(
        clinic.fetch(&beyond, &checkups, salt).await,
        (403, "beyond-order".into()),
        "a drawer that was not granted"
    );

    let (foreign, outcome) = insurer.access(grant, &vaccinations, salt).await;
    assert_eq!(outcome, Outcome::Refused(Refusal::NotRecipient));
    let (status, _) = insurer.fetch(&foreign, &vaccinations, salt).await;
    assert_eq!(status, 403);

    // the same entry again is no second access
    let again = world
        .running
        .ledger
        .submit(&entry.to_bytes())
        .await
        .unwrap();
    assert_eq!(
        again.1.leaf,
        world
            .running
            .ledger
            .receipt(&entry.id(&world.running.ledger.chain()))
            .await
            .unwrap()
            .unwrap()
            .1
            .leaf
    );

    wallet.revoke(&grant).await.unwrap();
    assert_eq!(
        clinic.fetch(&entry, &vaccinations, salt).await,
        (403, "grant-revoked".into()),
        "an access allowed before the revocation"
    );
    let (late, outcome) = clinic.access(grant, &vaccinations, Salt([2; 32])).await;
    assert_eq!(outcome, Outcome::Refused(Refusal::Revoked));
    assert_eq!(
        clinic.fetch(&late, &vaccinations, Salt([2; 32])).await.0,
        403
    );
    let again = wallet
        .revoke(&grant)
        .await
        .expect("a revocation whose answer was lost may be sent again");
    let (state, _) = wallet.history(&grant).await.unwrap();
    assert_eq!(
        state.revoked_ms,
        Some(again.leaf.time_ms),
        "a grant ends once"
    );

    let (_, history) = wallet.history_of(&grant, 4).await.unwrap();
    assert_eq!(
        history.len(),
        4,
        "every attempt is in the citizen's history, the insurer's too"
    );
    world.end().await;
}

#[tokio::test]
async fn nobody_writes_to_the_ledger_without_the_right_signatures() {
    let world = World::start().await;
    let ledger = &world.running.ledger;
    let clinic = load_organisation_keys(world.dir().join("clinic/keys.json")).unwrap();
    let organisations = world.running.demo.organisations(&world.dir()).unwrap();
    let mut rogue = organisations[2].clone();
    rogue.did = "did:web:rogue.example".into();
    let body = Body::OrganisationRegistered(rogue);
    let entry = Entry::sign(
        &clinic.sign,
        &ledger.chain(),
        clock::now_ms() + 60_000,
        body,
    );
    let refused = ledger.submit(&entry.to_bytes()).await;
    assert!(
        matches!(&refused, Err(LedgerError::Inadmissible { code, .. }) if code == "signer"),
        "{refused:?}"
    );
    for (bytes, what) in [
        (vec![0; 20_000], "over 16 KiB"),
        (entry.to_bytes()[..40].to_vec(), "cut off"),
        (
            {
                let mut bytes = entry.to_bytes();
                bytes.push(0);
                bytes
            },
            "trailing byte",
        ),
        (
            {
                let mut bytes = entry.to_bytes();
                let last = bytes.len() - 1;
                bytes[last] ^= 1;
                bytes
            },
            "altered signature",
        ),
    ] {
        let url = format!("{}/v1/entries", world.running.demo.ledger[0]);
        let answer = ledger
            .http()
            .post(url)
            .header("content-type", "application/cbor")
            .body(bytes)
            .send()
            .await
            .unwrap();
        assert!(
            answer.status().is_client_error(),
            "{what}: {}",
            answer.status()
        );
        assert!(
            answer.headers()["content-type"]
                .to_str()
                .unwrap()
                .starts_with("application/problem+json"),
            "{what}"
        );
    }
    world.end().await;
}
