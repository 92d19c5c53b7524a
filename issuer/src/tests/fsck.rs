//! What `fsck` finds.

use super::world::*;
use crate::fsck;
use crate::model::{Record, Status};
use crate::store::{Store, StoreError};
use tegata_consent::ids::ChainId;

fn alter(store: &Store, record: &Record, change: impl FnOnce(&mut Record)) {
    let mut altered = record.clone();
    change(&mut altered);
    let mut write = store.change();
    write.put_record(&altered).unwrap();
    write.commit().unwrap();
}

#[tokio::test]
async fn everything_altered_is_found() {
    let world = World::new().await;
    let issuer = world.start().await;
    let wallet = Wallet::new();
    issuer.pair(&world, &wallet, "0012").await;
    let (_, taken) = issuer
        .post("/fhir/Immunization", &immunization("0012", "imm-1", "A"))
        .await;
    let deposited = record_id(&taken);
    issuer
        .wait_status(&deposited.to_string(), "deposited")
        .await;
    world.host.set_mood(Mood::Down);
    let (_, taken) = issuer
        .post("/fhir/Immunization", &immunization("0012", "imm-2", "A"))
        .await;
    let sealed = record_id(&taken);
    issuer
        .wait(&format!("/v1/records/{sealed}"), |record| {
            record["attempts"].as_u64() > Some(0)
        })
        .await;
    issuer
        .post("/fhir/Immunization", &immunization("0013", "imm-3", "A"))
        .await;
    let data = world.folder.path().join("data");
    let mut heard = 0;
    let report = fsck(&data, |records| heard = records).unwrap();
    assert_eq!(heard, 3, "whoever waits hears how far it is");
    assert!(report.is_sound(), "beside a running issuer: {report:?}");
    assert_eq!((report.records, report.sealed, report.deposited), (3, 1, 1));
    issuer.stop().await;

    let path = data.join("store");
    let faults = |fault: &str| {
        let report = fsck(&data, |_| ()).unwrap();
        assert!(
            report.faults.iter().any(|found| found.contains(fault)),
            "{fault}: {report:?}"
        );
        assert_eq!(report.faults.len(), 1, "{fault}: {report:?}");
    };
    let store = Store::open(&path).unwrap();
    let [deposited, sealed] = [deposited, sealed].map(|id| store.record(&id).unwrap().unwrap());
    assert_eq!(sealed.status, Status::Sealed);
    type Alteration = fn(&mut Record);
    let alterations: [(&Record, Alteration, &str); 6] = [
        (
            &deposited,
            |record| *record.receipt.as_mut().unwrap().last_mut().unwrap() ^= 1,
            "receipt: ",
        ),
        (
            &deposited,
            |record| record.receipt = None,
            "without a receipt",
        ),
        (
            &deposited,
            |record| record.sealing.as_mut().unwrap().deposit.0[0] ^= 1,
            "another deposit's",
        ),
        (
            &deposited,
            |record| record.place.as_mut().unwrap().index ^= 1,
            "another record's",
        ),
        (
            &deposited,
            |record| record.claims = Some(vec![].into()),
            "keeps its content",
        ),
        (
            &sealed,
            |record| record.sealing.as_mut().unwrap().deposit.0[0] ^= 1,
            "sealed bytes are another record's",
        ),
    ];
    for (record, change, fault) in alterations {
        alter(&store, record, change);
        faults(fault);
        alter(&store, record, |_| {});
    }
    let mut write = store.change();
    let bytes = store.sealed(&sealed.id).unwrap().unwrap();
    let mut broken = bytes.clone();
    *broken.last_mut().unwrap() ^= 1;
    write.put_sealed(&sealed.id, broken);
    write.commit().unwrap();
    faults("sealed bytes: ");
    let mut write = store.change();
    write.put_sealed(&sealed.id, bytes);
    write.set_place(
        deposited.place.unwrap(),
        tegata_credential::status_list::Status::Invalid,
    );
    write.commit().unwrap();
    faults("its bit in the status list is wrong");
    assert!(matches!(
        store.claim(&world.id(), &ChainId([0; 32])),
        Err(StoreError::Identity { .. })
    ));
}
