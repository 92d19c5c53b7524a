//! A town of infants, each with twenty records, in one file.

use super::world::*;
use crate::import::client::{ImportFile, import_file};
use std::fmt::Write;
use std::time::Instant;

const RECORDS_EACH: usize = 20;

fn file(infants: usize) -> String {
    let vaccines = [
        "ヒブ",
        "小児用肺炎球菌",
        "B型肝炎",
        "ロタ",
        "5種混合",
        "BCG",
        "MR",
        "水痘",
        "日本脳炎",
        "おたふくかぜ",
    ];
    let mut text = String::from("宛名番号,予防接種名,接種回数,接種日,接種場所,ロット番号\n");
    for infant in 0..infants {
        for record in 0..RECORDS_EACH {
            let vaccine = vaccines[record % vaccines.len()];
            let (dose, month, day) = (
                record / vaccines.len() + 1,
                record % 12 + 1,
                infant % 28 + 1,
            );
            writeln!(
                text,
                "{infant},{vaccine},{dose}回目,令和5年{month}月{day}日,さくら医院,L{infant:04}"
            )
            .unwrap();
        }
    }
    text
}

async fn run(infants: usize) {
    let world = World::new().await;
    let issuer = world.start().await;
    let wallets: Vec<Wallet> = (0..infants).map(|_| Wallet::new()).collect();
    for (number, wallet) in wallets.iter().enumerate() {
        issuer.pair(&world, wallet, &number.to_string()).await;
    }
    let path = world.folder.path().join("予防接種.csv");
    std::fs::write(&path, file(infants)).unwrap();
    let total = infants * RECORDS_EACH;
    let started = Instant::now();
    let wanted = ImportFile {
        url: &issuer.url,
        token: TOKEN,
        path: &path,
        kind: None,
        dry_run: false,
        progress: true,
    };
    let answer = import_file(&wanted).await.unwrap();
    let imported = started.elapsed();
    assert_eq!(
        (answer.accepted, answer.failed),
        (total as u64, 0),
        "{:?}",
        answer.failures
    );
    while world.host.count() < total {
        assert!(
            started.elapsed().as_secs() < 600,
            "{} of {total}",
            world.host.count()
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{total} records of {infants} infants: taken in after {:.1} s, deposited after {seconds:.1} s ({:.0} a second)",
        imported.as_secs_f64(),
        total as f64 / seconds
    );
    issuer
        .wait("/v1/records?limit=1", |page| {
            page["counts"]["deposited"] == total
        })
        .await;
    for wallet in wallets.iter().step_by(10) {
        let sealed = world.host.drawer(&wallet.drawer("vaccination"));
        assert_eq!(sealed.len(), RECORDS_EACH);
        verify(&world, wallet, &wallet.open(&sealed[0]).1, "vaccination");
    }
    issuer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_infants() {
    run(50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute; prints the rate"]
async fn a_thousand_infants() {
    run(1000).await;
}
