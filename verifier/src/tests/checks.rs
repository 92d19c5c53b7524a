//! Each check, with a record in which exactly that check fails.

use super::world::{Ask, CHECKUPS, Granted, Recipe, VACCINATIONS, World};
use crate::verify::{CheckName, Context, Fault, Judged, VerifiedRecord, examine, superseded};
use serde_json::json;
use tegata_consent::cbor;
use tegata_consent::deposit::SealedRecord;
use tegata_consent::ids::{DrawerId, Hash, OrganisationId, RecordId, Salt};
use tegata_consent::lock::{Lock, LockLabel};
use tegata_consent::organisation::{KeyUse, OrganisationState};
use tegata_consent::proof::{Proven, VerifiedReceipt};
use tegata_consent::scope::Scope;
use tegata_consent::sealing::{file_digest, seal};
use tegata_consent::state::GrantState;
use tegata_credential::keys::{Algorithm, SigningKey};
use tegata_credential::status_list::Status;
use tegata_service::clock;

/// Everything that a reading knows, for a test to alter.
struct Scene {
    world: World,
    granted: Granted,
    scope: Scope,
    salt: Salt,
    access: VerifiedReceipt,
    consent: Proven<GrantState>,
    host: Option<OrganisationState>,
    depositor: Option<OrganisationState>,
    us: OrganisationId,
    list: Result<Vec<(u64, Status)>, Fault>,
}

async fn scene() -> Scene {
    scene_of(Ask::default(), |_| {}).await
}

/// A reading whose access asks for less than the grant.
async fn scene_of(ask: Ask<'_>, narrow: impl Fn(&mut Scope)) -> Scene {
    let world = World::new("http://127.0.0.1:1", "http://127.0.0.1:2").await;
    let granted = world.grant(&ask);
    let mut scope = granted.ticket.scope.clone();
    narrow(&mut scope);
    let salt = Salt([8; 32]);
    let access = world.access(&granted, &scope, &salt).await;
    let consent = world.consent(&granted).await;
    let host = Some(world.registered(&world.host).await);
    let depositor = Some(world.registered(&world.issuer).await);
    let us = world.us.organisation_id();
    Scene {
        world,
        granted,
        scope,
        salt,
        access,
        consent,
        host,
        depositor,
        us,
        list: Ok(Vec::new()),
    }
}

impl Scene {
    fn judge(&self, sealed: &SealedRecord) -> Judged {
        let context = Context {
            chain: &self.world.ledger.chain(),
            us: &self.us,
            grant: &self.granted.id,
            ticket: &self.granted.ticket,
            scope: &self.scope,
            salt: &self.salt,
            access: &self.access,
            consent: &self.consent,
            host: self.host.as_ref(),
            now_ms: clock::now_ms(),
        };
        let examined = examine(sealed, self.depositor.as_ref(), &context);
        let list = self
            .list
            .clone()
            .map(|entries| self.world.status_list(&entries));
        let list = examined
            .status()
            .map(|_| list.as_ref().map_err(Clone::clone));
        examined.conclude(list)
    }

    fn verified(&self, recipe: &Recipe) -> VerifiedRecord {
        match self.judge(&self.world.make(recipe)) {
            Judged::Verified(record) => *record,
            Judged::Refused(refused) => panic!("{:#?}", refused.checks),
        }
    }

    /// The record is refused, because of this check alone, for this reason.
    #[track_caller]
    fn fails(&self, sealed: &SealedRecord, check: CheckName, reason: &str) {
        let Judged::Refused(refused) = self.judge(sealed) else {
            panic!("{reason}: it was verified")
        };
        let wrong: Vec<_> = refused
            .checks
            .iter()
            .filter(|check| !check.holds && check.not_reached.is_none())
            .collect();
        assert_eq!(
            wrong.iter().map(|check| check.check).collect::<Vec<_>>(),
            [check],
            "{reason}: {:#?}",
            refused.checks
        );
        assert!(
            wrong[0].reason.contains(reason),
            "{} instead of {reason}",
            wrong[0].reason
        );
        assert_eq!(refused.checks.len(), CheckName::ALL.len());
    }

    #[track_caller]
    fn altered(&self, check: CheckName, reason: &str, alter: impl FnOnce(&mut Recipe)) {
        let mut recipe = self.world.recipe(VACCINATIONS);
        alter(&mut recipe);
        self.fails(&self.world.make(&recipe), check, reason);
    }
}

#[tokio::test]
async fn a_right_record_is_verified_with_every_check() {
    let scene = scene().await;
    let record = scene.verified(&scene.world.recipe(VACCINATIONS));
    assert_eq!(record.claims()["vaccine_code"], "mr");
    assert_eq!(
        record
            .checks()
            .iter()
            .map(|check| check.check)
            .collect::<Vec<_>>(),
        CheckName::ALL
    );
    assert!(
        record
            .checks()
            .iter()
            .all(|check| check.holds && !check.reason.is_empty())
    );
    let mut es256 = scene.world.recipe(VACCINATIONS);
    es256.credential_key = SigningKey::from_bytes(
        Algorithm::Es256,
        scene.world.issuer.credential_es256.expose(),
    )
    .unwrap();
    scene.verified(&es256);
}

#[tokio::test]
async fn consent_proof() {
    let check = CheckName::ConsentProof;
    let mut scene = scene().await;
    let sealed = scene.world.make(&scene.world.recipe(VACCINATIONS));
    let right = scene.salt;
    scene.salt = Salt([9; 32]);
    scene.fails(&sealed, check, "does not open the access's commitment");
    scene.salt = right;
    scene.us = OrganisationId([1; 32]);
    scene.fails(&sealed, check, "the grant is for organisation");
    scene.us = scene.world.us.organisation_id();
    let before = scene.consent.clone();
    let other = scene.world.grant(&Ask::default());
    scene.consent = scene.world.consent(&other).await;
    scene.fails(&sealed, check, "the grant's commitment");
    // A proof from before the access.
    scene.consent = before.clone();
    let late = scene
        .world
        .access(&scene.granted, &scene.scope, &scene.salt)
        .await;
    let early = std::mem::replace(&mut scene.access, late);
    scene.fails(&sealed, check, "the proof is of height");
    scene.access = early;
    scene.world.revoke(&scene.granted);
    scene.consent = scene.world.consent(&scene.granted).await;
    scene.fails(&sealed, check, "the grant was revoked");
    // An access that the ledger refused, beside an older proof.
    scene.access = scene
        .world
        .access(&scene.granted, &scene.scope, &scene.salt)
        .await;
    scene.consent = before;
    scene.fails(&sealed, check, "the access was refused");
}

#[tokio::test]
async fn receipt() {
    let check = CheckName::Receipt;
    let mut scene = scene().await;
    scene.altered(check, "did not sign for the host", |recipe| {
        recipe.host_key = recipe.deposit_key.clone()
    });
    scene.altered(check, "another deposit", |recipe| {
        recipe.receipt_deposit = Some(Hash([1; 32]))
    });
    scene.altered(check, "is a receipt of host", |recipe| {
        recipe.receipt.host = OrganisationId([1; 32])
    });
    scene.altered(check, "in the future", |recipe| {
        recipe.receipt.received_ms = clock::now_ms() + 600_000
    });
    let mut sealed = scene.world.make(&scene.world.recipe(VACCINATIONS));
    let other = scene.world.make(&scene.world.recipe(VACCINATIONS));
    let own = std::mem::replace(&mut sealed.receipt, other.receipt);
    scene.fails(&sealed, check, "another deposit");
    sealed.receipt = None;
    scene.fails(&sealed, check, "no receipt");
    sealed.receipt = own.map(|bytes| flip_last(&bytes));
    scene.fails(&sealed, check, "does not hold");
    scene.host = None;
    scene.fails(
        &scene.world.make(&scene.world.recipe(VACCINATIONS)),
        check,
        "not in the registry",
    );
}

#[tokio::test]
async fn deposit_signature() {
    let check = CheckName::DepositSignature;
    let mut scene = scene().await;
    scene.altered(check, "did not sign for clinic", |recipe| {
        recipe.deposit_key = recipe.host_key.clone()
    });
    let recipe = scene.world.recipe(VACCINATIONS);
    let right = scene.world.make(&recipe);
    let mut sealed = right.clone();
    sealed.deposit = flip_last(&sealed.deposit);
    scene.fails(&sealed, check, "does not hold");
    // The same content sealed again to the same keys, and the same key locked again: they open, but nobody signed them.
    let chain = scene.world.ledger.chain();
    let label = LockLabel::new(
        chain,
        recipe.deposit.drawer,
        recipe.deposit.record,
        recipe.deposit.date_ms,
    );
    let reader = scene.world.person.reader_secret(&VACCINATIONS);
    let record_key = Lock::parse(&right.lock)
        .unwrap()
        .open(&reader, &label)
        .unwrap();
    let plaintext = tegata_consent::sealing::open(&right.file, &record_key).unwrap();
    let mut sealed = right.clone();
    sealed.file = seal(
        &plaintext,
        &recipe.drawer.drawer_key,
        &record_key.seal_key(),
    )
    .unwrap()
    .into();
    assert_ne!(file_digest(&sealed.file), file_digest(&right.file));
    scene.fails(&sealed, check, "the sealed file");
    let mut sealed = right.clone();
    sealed.lock = Lock::make(
        &record_key,
        &reader.seal_key(),
        &label,
        &mut crate::random::rng(),
    )
    .unwrap()
    .to_bytes()
    .into();
    scene.fails(&sealed, check, "the lock");
    // A key that did not count any more when the deposit came in.
    let depositor = scene.depositor.as_mut().unwrap();
    for key in depositor
        .organisation
        .keys
        .iter_mut()
        .filter(|key| key.key_use == KeyUse::Sign)
    {
        key.until_ms = Some(clock::now_ms() - 60_000);
    }
    scene.fails(&right, check, "did not sign for clinic");
}

#[tokio::test]
async fn an_unknown_depositor_is_neither_signer_nor_issuer() {
    let mut scene = scene().await;
    let sealed = scene.world.make(&scene.world.recipe(VACCINATIONS));
    scene.depositor = None;
    let Judged::Refused(refused) = scene.judge(&sealed) else {
        panic!("verified")
    };
    let wrong = refused
        .checks
        .iter()
        .filter(|check| !check.holds && check.not_reached.is_none());
    assert_eq!(
        wrong.map(|check| check.check).collect::<Vec<_>>(),
        [CheckName::DepositSignature, CheckName::IssuerSignature]
    );
}

#[tokio::test]
async fn invitation() {
    let check = CheckName::Invitation;
    let scene = scene().await;
    scene.altered(check, "the ticket is of vault", |recipe| {
        recipe.vault_key = recipe.host_key.clone()
    });
    scene.altered(check, "other record types", |recipe| {
        recipe.invitation.record_types = vec!["hip_dislocation_screening".into()]
    });
    scene.altered(check, "it expired", |recipe| {
        recipe.invitation.expires_ms = recipe.receipt.received_ms
    });
    scene.altered(check, "names another invitation", |recipe| {
        recipe.deposit_invitation = Some(Hash([1; 32]))
    });
    scene.altered(check, "does not invite into drawer", |recipe| {
        recipe.invitation.drawers[0].id = CHECKUPS
    });
    let other = scene.world.host.organisation_id();
    let mut recipe = scene.world.recipe(VACCINATIONS);
    recipe.invitation.depositor = other;
    // The holder key is read from the invitation, so that check is not reached; nothing else fails.
    scene.fails(&scene.world.make(&recipe), check, "for depositor");
}

#[tokio::test]
async fn scope() {
    let check = CheckName::Scope;
    let narrowed = scene_of(Ask::default(), |scope| {
        scope.records = Some(vec![RecordId([1; 16])])
    })
    .await;
    narrowed.fails(
        &narrowed.world.make(&narrowed.world.recipe(VACCINATIONS)),
        check,
        "the access does not cover",
    );
    let dated = scene_of(Ask::default(), |scope| {
        scope.from_ms = Some(1_700_000_000_001)
    })
    .await;
    dated.fails(
        &dated.world.make(&dated.world.recipe(VACCINATIONS)),
        check,
        "the access does not cover",
    );
    let mut scene = scene().await;
    // A checkup in a drawer of vaccinations.
    let mut recipe = scene.world.recipe(CHECKUPS);
    let vaccinations = scene.world.recipe(VACCINATIONS);
    (recipe.drawer, recipe.reader_key) = (vaccinations.drawer.clone(), vaccinations.reader_key);
    (recipe.manifest.drawer, recipe.deposit.drawer) = (VACCINATIONS, VACCINATIONS);
    recipe.invitation.drawers = vec![vaccinations.drawer.clone()];
    scene.fails(
        &scene.world.make(&recipe),
        check,
        "does not belong into a drawer",
    );
    // A drawer of a category that the grant does not name.
    let sealed = scene.world.make(&vaccinations);
    scene.consent.value.as_mut().unwrap().grant.categories = vec!["infant_checkup".into()];
    scene.fails(&sealed, check, "does not name category");
    // A drawer that the ticket does not open: lock and all that follows are not reached.
    let scene = scene_of(Ask::default(), |_| {}).await;
    scene.fails(
        &scene.world.make(&scene.world.recipe(CHECKUPS)),
        check,
        "does not open drawer",
    );
}

#[tokio::test]
async fn lock() {
    let check = CheckName::Lock;
    let scene = scene().await;
    scene.altered(check, "does not open", |recipe| {
        recipe.reader_key = recipe.drawer.drawer_key
    });
    scene.altered(check, "does not open", |recipe| {
        recipe.label_alter = |label| label.date_ms += 1
    });
    scene.altered(check, "does not open", |recipe| {
        recipe.label_alter = |label| label.record = RecordId([1; 16])
    });
    scene.altered(check, "does not open", |recipe| {
        recipe.label_alter = |label| label.drawer = DrawerId([9; 16])
    });
}

#[tokio::test]
async fn file() {
    scene().await.altered(CheckName::File, "age", |recipe| {
        recipe.file_key = Some(recipe.drawer.reader_key)
    });
}

#[tokio::test]
async fn manifest() {
    let check = CheckName::Manifest;
    let scene = scene().await;
    scene.altered(check, "drawer is another", |recipe| {
        recipe.manifest.drawer = CHECKUPS
    });
    scene.altered(check, "record id is another", |recipe| {
        recipe.manifest.record = RecordId([1; 16])
    });
    scene.altered(check, "date is another", |recipe| {
        recipe.manifest.date_ms += 1
    });
    scene.altered(check, "depositor is another", |recipe| {
        recipe.manifest.depositor = OrganisationId([1; 32])
    });
    scene.altered(check, "the first part is not", |recipe| {
        recipe.manifest.parts[0].media_type = "text/plain".into()
    });
    scene.altered(check, "replaces itself", |recipe| {
        recipe.manifest.replaces = Some(recipe.manifest.record)
    });
}

#[tokio::test]
async fn issuer_signature() {
    let check = CheckName::IssuerSignature;
    let mut scene = scene().await;
    let stranger = SigningKey::generate(Algorithm::EdDsa, &mut crate::random::rng());
    scene.altered(check, "had no credential key", |recipe| {
        recipe.credential_key = stranger
    });
    scene.altered(check, "issuer is not", |recipe| {
        recipe.did = "did:web:other.example".into()
    });
    scene.altered(check, "expired", |recipe| {
        recipe.expires_s = Some(clock::now_s() - 1)
    });
    scene.altered(check, "issued at", |recipe| {
        recipe.issued_s = clock::now_s() + 3600
    });
    scene.altered(check, "signature", |recipe| {
        recipe.credential_alter = |text| {
            // Another payload under the same signature.
            let parts: Vec<_> = text.splitn(3, '.').collect();
            let payload =
                base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, parts[1])
                    .unwrap();
            let payload = String::from_utf8(payload)
                .unwrap()
                .replace("\"dose_number\":1", "\"dose_number\":2");
            let payload =
                base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, payload);
            assert_ne!(payload, parts[1]);
            format!("{}.{payload}.{}", parts[0], parts[2])
        }
    });
    let sealed = scene.world.make(&scene.world.recipe(VACCINATIONS));
    for key in &mut scene.depositor.as_mut().unwrap().organisation.keys {
        if key.key_use == KeyUse::CredentialEdDsa {
            key.from_ms = clock::now_ms();
        }
    }
    scene.fails(&sealed, check, "had no credential key");
}

#[tokio::test]
async fn issuer_accredited() {
    let check = CheckName::IssuerAccredited;
    let mut scene = scene().await;
    let sealed = scene.world.make(&scene.world.recipe(VACCINATIONS));
    let right = scene.depositor.clone();
    let issues = |scene: &mut Scene, until_ms| {
        scene.depositor.clone_from(&right);
        scene.depositor.as_mut().unwrap().organisation.issues[0].until_ms = Some(until_ms);
    };
    issues(&mut scene, clock::now_ms() - 60_000);
    scene.fails(&sealed, check, "was not accredited");
    // What was signed while the accreditation stood stays good.
    issues(&mut scene, clock::now_ms());
    assert!(matches!(scene.judge(&sealed), Judged::Verified(_)));
    scene.depositor.clone_from(&right);
    scene
        .depositor
        .as_mut()
        .unwrap()
        .organisation
        .issues
        .remove(0);
    scene.fails(&sealed, check, "was not accredited");
    // Suspended before the deposit: the time in the credential is the issuer's own word and does not help.
    scene.depositor.clone_from(&right);
    let suspension = tegata_consent::organisation::Suspension {
        from_ms: clock::now_ms() - 7000,
        until_ms: None,
    };
    scene
        .depositor
        .as_mut()
        .unwrap()
        .suspensions
        .push(suspension);
    scene.fails(&sealed, check, "was suspended when it deposited");
}

#[tokio::test]
async fn not_revoked() {
    let check = CheckName::NotRevoked;
    let mut scene = scene().await;
    let sealed = scene.world.make(&scene.world.recipe(VACCINATIONS));
    for (status, reason) in [
        (Status::Invalid, "revoked it"),
        (Status::Suspended, "suspended it"),
        (Status::Other(3), "recalled"),
    ] {
        scene.list = Ok(vec![(5, status)]);
        scene.fails(&sealed, check, reason);
    }
    scene.list = Ok(vec![(4, Status::Invalid), (6, Status::Invalid)]);
    assert!(matches!(scene.judge(&sealed), Judged::Verified(_)));
    scene.list = Err(Fault::Unavailable("nobody answers".into()));
    scene.fails(&sealed, check, "nobody answers");
    let Judged::Refused(refused) = scene.judge(&sealed) else {
        panic!("verified")
    };
    assert!(refused.may_hold_later);
    scene.list = Ok(Vec::new());
    scene.altered(check, "names no status list", |recipe| recipe.status = None);
    scene.altered(check, "outside", |recipe| {
        recipe.status.as_mut().unwrap().index = 5000
    });
    scene.altered(check, "another than the credential's", |recipe| {
        recipe.status.as_mut().unwrap().uri += "0"
    });
}

#[tokio::test]
async fn holder_key() {
    let check = CheckName::HolderKey;
    let scene = scene().await;
    let other = SigningKey::generate(Algorithm::EdDsa, &mut crate::random::rng()).public_key();
    scene.altered(check, "another key", |recipe| recipe.holder = Some(other));
    scene.altered(check, "no key", |recipe| recipe.holder = None);
}

#[tokio::test]
async fn schema() {
    let check = CheckName::Schema;
    let scene = scene().await;
    scene.altered(check, "/", |recipe| {
        recipe.claims["name"] = json!("somebody")
    });
    scene.altered(check, "/dose_number", |recipe| {
        recipe.claims["dose_number"] = json!("one")
    });
    // Another type inside than outside.
    let mut scene = scene;
    let issues = &mut scene.depositor.as_mut().unwrap().organisation.issues;
    issues[0].record_type = "hip_dislocation_screening".into();
    scene.altered(check, "the manifest says", |recipe| {
        recipe.vct = "urn:tegata:record:hip_dislocation_screening:1".into();
        recipe.claims = json!({ "date": "2026-03-02" });
    });
}

#[tokio::test]
async fn altered_bytes_never_pass() {
    let scene = scene().await;
    let right = scene.world.make(&scene.world.recipe(VACCINATIONS));
    let parts: [fn(&mut SealedRecord) -> &mut minicbor::bytes::ByteVec; 5] = [
        |sealed| &mut sealed.deposit,
        |sealed| &mut sealed.invitation,
        |sealed| &mut sealed.lock,
        |sealed| &mut sealed.file,
        |sealed| sealed.receipt.as_mut().unwrap(),
    ];
    for part in parts {
        let length = part(&mut right.clone()).len();
        for at in [0, length / 3, length / 2, length - 1] {
            let mut sealed = right.clone();
            let mut bytes = part(&mut sealed).to_vec();
            bytes[at] ^= 0x10;
            *part(&mut sealed) = bytes.into();
            assert!(
                matches!(scene.judge(&sealed), Judged::Refused(_)),
                "byte {at} of {length}"
            );
        }
        let mut sealed = right.clone();
        let mut bytes = part(&mut sealed).to_vec();
        bytes.pop();
        *part(&mut sealed) = bytes.into();
        assert!(
            matches!(scene.judge(&sealed), Judged::Refused(_)),
            "cut off"
        );
    }
    assert!(matches!(scene.judge(&right), Judged::Verified(_)));
    assert!(cbor::decode::<SealedRecord>(&cbor::encode(&right), SealedRecord::LIMIT).is_ok());
}

#[tokio::test]
async fn only_the_same_issuer_corrects() {
    let scene = scene().await;
    let older = scene.world.recipe(VACCINATIONS);
    let mut newer = scene.world.recipe(VACCINATIONS);
    newer.manifest.replaces = Some(older.manifest.record);
    let records = [scene.verified(&older), scene.verified(&newer)];
    assert_eq!(
        superseded(&records),
        [(older.manifest.record, newer.manifest.record)]
    );
    let mut other = scene.world.recipe(VACCINATIONS);
    other.manifest.replaces = Some(RecordId([1; 16]));
    assert_eq!(
        superseded(&[scene.verified(&older), scene.verified(&other)]),
        []
    );
}

fn flip_last(bytes: &[u8]) -> minicbor::bytes::ByteVec {
    let mut bytes = bytes.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    bytes.into()
}
