//! A made-up town: every infant gets a vault over the real APIs, and one CSV file with twenty records each goes in.

use crate::people::systems;
use crate::processes::memory_mib;
use crate::table::{Goal, Table};
use futures::stream::{StreamExt, TryStreamExt};
use serde_json::json;
use std::fmt::Write;
use std::time::{Duration, Instant};
use tegata::demo::Running;
use tegata::demo::wallet::Wallet;

const RECORD_TYPES: &[&str] = &[
    "dental_checkup_2_years",
    "hip_dislocation_screening",
    "infant_checkup_18_months",
    "infant_checkup_3_4_months",
    "infant_checkup_3_years",
    "infant_checkup_9_10_months",
    "vaccination",
];
/// Vaccine and doses: fourteen vaccinations.
const VACCINES: &[(&str, u32)] = &[
    ("ロタウイルス", 2),
    ("B型肝炎", 3),
    ("小児用肺炎球菌", 4),
    ("5種混合", 4),
    ("BCG", 1),
];

pub(crate) async fn run(
    table: &mut Table,
    running: &Running,
    infants: usize,
) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let issuer = systems(running, "municipality-issuer");
    let started = Instant::now();
    open_vaults(running, infants).await?;
    let opened = infants as f64 / started.elapsed().as_secs_f64();
    table.row(
        "town: vaults opened and paired",
        opened,
        "per second",
        "—",
        None,
        Goal::None,
    );

    let csv = csv(infants);
    let records = csv.lines().count() - 1;
    let started = Instant::now();
    let answer = issuer
        .post_as("/v1/imports?file=town.csv", "text/csv", csv.into_bytes())
        .await
        .map_err(|e| text(&e))?;
    let id = answer.success("the import").map_err(|e| text(&e))?["id"]
        .as_str()
        .ok_or("no import id")?
        .to_owned();
    let within = Duration::from_secs(900);
    let result = issuer
        .until(&format!("/v1/imports/{id}"), within, |answer| {
            let state = answer.body["state"].as_str().unwrap_or_default();
            (state == "done" || state == "refused").then(|| answer.body.clone())
        })
        .await
        .map_err(|e| text(&e))?;
    if result["accepted"].as_u64() != u64::try_from(records).ok() {
        return Err(format!("{records} rows went in: {result}"));
    }
    let accepted = records as f64 / started.elapsed().as_secs_f64();
    let all = u64::try_from(records).map_err(|e| text(&e))?;
    issuer
        .until("/v1/records?status=deposited&limit=1", within, |answer| {
            (answer.body["counts"]["deposited"].as_u64() >= Some(all)).then_some(())
        })
        .await
        .map_err(|e| text(&e))?;
    let deposited = records as f64 / started.elapsed().as_secs_f64();
    table.row(
        "town: CSV rows checked and stored",
        accepted,
        "rows/s",
        "—",
        None,
        Goal::None,
    );
    table.row(
        &format!("town: {records} records signed, sealed, deposited"),
        deposited,
        "records/s",
        "—",
        None,
        Goal::None,
    );
    for name in ["municipality-issuer", "host", "node0"] {
        let pid = running.cluster.pid(name).map_err(|e| text(&e))?;
        let peak = memory_mib(pid, "VmHWM")?;
        table.row(
            &format!("town: peak memory of {name}"),
            peak,
            "MiB",
            "—",
            None,
            Goal::None,
        );
    }
    Ok(())
}

/// Opens a vault for each infant and pairs it with the municipality.
pub(crate) async fn open_vaults(running: &Running, infants: usize) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let issuer = systems(running, "municipality-issuer");
    let open = |number| {
        let issuer = &issuer;
        async move {
            let mut wallet = Wallet::open(&running.demo.host, running.ledger.clone())
                .await
                .map_err(|e| text(&e))?;
            wallet
                .open_drawers(&["infant_checkup", "vaccination"])
                .await
                .map_err(|e| text(&e))?;
            let pairing = issuer
                .post("/v1/pairings", &json!({ "subject": subject(number) }))
                .await
                .map_err(|e| text(&e))?;
            let link = pairing.body["link"].as_str().ok_or("no pairing link")?;
            let paired = wallet.pair(link, RECORD_TYPES).await;
            paired.map(drop).map_err(|e| text(&e))
        }
    };
    futures::stream::iter(0..infants)
        .map(open)
        .buffer_unordered(16)
        .try_collect::<()>()
        .await
}

pub(crate) fn subject(number: usize) -> String {
    format!("{:010}", 4_000_000_000_u64 + number as u64)
}

fn csv(infants: usize) -> String {
    let mut csv = "宛名番号,健診種別,実施日,場所,身長(cm),体重(g),胸囲(cm),頭囲(cm),カウプ指数,歯の数,むし歯の数,尿蛋白,尿糖,尿潜血,尿白血球,ワクチン,回数\r\n".to_owned();
    for number in 0..infants {
        let id = subject(number);
        let (day, weight) = (1 + number % 28, 6000 + number % 900);
        let place = "わかば市保健センター";
        for row in [
            format!("股関節脱臼,R5.4.{day},{place},,,,,,,,,,,,,"),
            format!("3~4か月児健診,R5.5.{day},{place},62.1,{weight},41.2,41.0,16.6,,,,,,,,"),
            format!("9~10か月児健診,R5.11.{day},{place},71.5,8700,44.9,45.1,17.0,,,,,,,,"),
            format!("1歳6か月児健診,R6.7.{day},{place},80.4,10500,47.0,47.2,16.2,12,0,,,,,,"),
            format!("2歳児歯科健診,R7.1.{day},{place},86.0,11900,,,16.1,16,0,,,,,,"),
            format!("3歳児健診,R8.2.{day},{place},94.2,14000,,,15.8,,1,-,-,-,-,,"),
        ] {
            let _ = write!(csv, "{id},{row}\r\n");
        }
        for (vaccine, doses) in VACCINES {
            for dose in 1..=*doses {
                let _ = write!(
                    csv,
                    "{id},予防接種,R5.{}.{day},{place},,,,,,,,,,,,{vaccine},{dose}\r\n",
                    2 + dose * 2
                );
            }
        }
    }
    csv
}
