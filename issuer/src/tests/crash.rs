//! The process ends at once, by abort, after each step. After the next start nothing acknowledged is missing, and nothing is
//! there twice.

use super::world::*;
use crate::deposit::send;
use crate::fhir;
use crate::import::run::{NewImport, begin, work};
use crate::issuer::{Issuer, random_id};
use crate::worker::{seal, settle};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use tegata_consent::organisation::OrganisationState;
use tegata_service::clock::now_ms;

const FOLDER: &str = "TEGATA_TEST_CRASH_FOLDER";
const STEP: &str = "TEGATA_TEST_CRASH_STEP";

/// Runs [`child`] in a process of its own, which aborts after `step`.
fn crash(world: &World, step: &str) {
    let states: Vec<OrganisationState> = world.registry.all();
    std::fs::write(
        world.folder.path().join("registry.cbor"),
        tegata_consent::cbor::encode(&states),
    )
    .unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "tests::crash::child", "--nocapture"])
        .env(FOLDER, world.folder.path())
        .env(STEP, step)
        .status()
        .unwrap();
    assert!(!status.success(), "the child ended in peace");
    let reached = std::fs::read_to_string(world.folder.path().join("reached")).unwrap();
    assert_eq!(reached, step, "the child ended before its step");
}

#[tokio::test]
#[ignore = "not a test: the process that the tests of this module start, and that aborts"]
async fn child() {
    let (Ok(folder), Ok(step)) = (std::env::var(FOLDER), std::env::var(STEP)) else {
        return;
    };
    let folder = Path::new(&folder);
    let registry = FixedRegistry::default();
    let states: Vec<OrganisationState> =
        minicbor::decode(&std::fs::read(folder.join("registry.cbor")).unwrap()).unwrap();
    states.into_iter().for_each(|state| registry.put(state));
    let config = config(folder, "127.0.0.1:1".parse().unwrap());
    let issuer = Issuer::open(config, Arc::new(registry)).unwrap();
    let reached = |name: &str| {
        if name == step {
            std::fs::write(folder.join("reached"), name).unwrap();
            std::process::abort();
        }
    };
    if step == "imported" {
        let new = NewImport {
            id: random_id(),
            name: "予防接種.csv".into(),
            kind: None,
            dry_run: false,
            watched: false,
            path: folder.join("town.csv"),
            bytes_total: 1,
        };
        let import = begin(&issuer, new).unwrap();
        work(&issuer, import, None, &|| {
            reached("imported");
            false
        })
        .unwrap();
    }
    let resource = immunization("0012", "imm-1", "A").to_string();
    let (record, _) = fhir::post(&issuer, resource.as_bytes(), "Immunization", "emr")
        .await
        .unwrap();
    reached("accepted");
    let own = issuer.own().await.unwrap();
    let sealed = seal(&issuer, vec![record], own).await.unwrap().remove(0);
    reached("sealed");
    let bytes = issuer.store.sealed(&sealed.id).unwrap().unwrap();
    let sealing = sealed.sealing.clone().unwrap();
    let answer = send(&issuer, &sealed, &sealing, bytes.into()).await;
    reached("sent");
    settle(&issuer, vec![(sealed.id, sealing.host, answer)], now_ms()).unwrap();
    reached("settled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_every_step_the_record_is_there_once() {
    for (step, sent) in [("accepted", 1), ("sealed", 1), ("sent", 2), ("settled", 1)] {
        let world = World::new().await;
        let wallet = Wallet::new();
        let issuer = world.start().await;
        issuer.pair(&world, &wallet, "0012").await;
        issuer.stop().await;
        crash(&world, step);
        let kept = world.host.drawer(&wallet.drawer("vaccination"));
        assert_eq!(
            kept.len(),
            usize::from(["sent", "settled"].contains(&step)),
            "{step}"
        );

        let issuer = world.start().await;
        let (status, taken) = issuer
            .post("/fhir/Immunization", &immunization("0012", "imm-1", "A"))
            .await;
        assert_eq!(status, 200, "{step}: it was acknowledged, so it is here");
        issuer
            .wait_status(taken["id"].as_str().unwrap(), "deposited")
            .await;
        let sealed = world.host.drawer(&wallet.drawer("vaccination"));
        assert_eq!(sealed.len(), 1, "{step}");
        assert!(kept.is_empty() || kept == sealed, "{step}: the same bytes");
        assert_eq!(world.host.state.lock().unwrap().requests, sent, "{step}");
        verify(&world, &wallet, &wallet.open(&sealed[0]).1, "vaccination");
        issuer.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_goes_on_where_it_stopped() {
    let world = World::new().await;
    let mut file = String::from("宛名番号,予防接種名,接種日\n");
    for number in 0..1200 {
        let day = if number % 100 == 99 {
            "R5.2.30"
        } else {
            "R5.4.1"
        };
        file.push_str(&format!("{number},BCG,{day}\n"));
    }
    std::fs::write(world.folder.path().join("town.csv"), file).unwrap();
    crash(&world, "imported");
    let issuer = world.start().await;
    let waiting = issuer
        .wait("/v1/records?status=waiting&limit=1", |page| {
            page["counts"]["waiting"] == 1188
        })
        .await;
    assert_eq!(waiting["records"].as_array().unwrap().len(), 1);
    let path = std::fs::read_dir(world.folder.path().join("data/imports"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let id = path
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .split('.')
        .next()
        .unwrap()
        .to_owned();
    let import = issuer
        .wait(&format!("/v1/imports/{id}"), |import| {
            import["state"] == "done"
        })
        .await;
    let numbers = ["rows", "accepted", "same", "failed"].map(|name| import[name].as_u64().unwrap());
    assert_eq!(numbers, [1200, 1188, 0, 12], "no row twice, none left out");
    let failed = std::fs::read_to_string(path).unwrap();
    assert_eq!(failed.lines().count(), 13);
    assert!(
        failed
            .lines()
            .nth(1)
            .unwrap()
            .starts_with("101,接種日,存在しない日付です,99,BCG"),
        "{failed}"
    );
    issuer.stop().await;
}
