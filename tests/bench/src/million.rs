//! A million records from one CSV file: does the rate hold, and does the issuer's memory stay flat?
//!
//! Runs only when asked for (`--only million`): it takes a quarter of an hour and some gigabytes of disk.

use crate::people::systems;
use crate::processes::memory_mib;
use crate::table::{Goal, Table};
use crate::town::{open_vaults, subject};
use std::fmt::Write;
use std::time::{Duration, Instant};
use tegata::demo::Running;

/// Records of one person: a host opens ten thousand vaults in an hour, so a million records need many each.
const RECORDS_EACH: usize = 200;
/// Between two looks at how far it is.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Without any progress for so long it has failed.
const STUCK: Duration = Duration::from_secs(120);
const PROCESSES: [&str; 3] = ["municipality-issuer", "host", "node0"];

/// What one look saw: after so many seconds so many records were deposited, and the processes held so many MiB.
struct Look {
    at_s: f64,
    deposited: f64,
    memory_mib: [f64; 3],
}

pub(crate) async fn run(
    table: &mut Table,
    running: &Running,
    records: usize,
) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let people = records.div_ceil(RECORDS_EACH);
    let records = people * RECORDS_EACH;
    let issuer = systems(running, PROCESSES[0]);
    open_vaults(running, people).await?;

    let csv = csv(people);
    let megabytes = csv.len() as f64 / 1e6;
    let began = Instant::now();
    let answer = issuer
        .post_as("/v1/imports?file=million.csv", "text/csv", csv.into_bytes())
        .await;
    let import = answer
        .and_then(|answer| answer.success("the import"))
        .map_err(|e| text(&e))?;
    let import = format!("/v1/imports/{}", import["id"].as_str().ok_or("no import")?);
    let mut pids = Vec::new();
    for name in PROCESSES {
        pids.push(running.cluster.pid(name).map_err(|e| text(&e))?);
    }
    let mut looks: Vec<Look> = Vec::new();
    let (mut moved, mut read_s) = (Instant::now(), None);
    loop {
        let counts = issuer.get("/v1/records?status=deposited&limit=1").await;
        let counts = counts.map_err(|e| text(&e))?;
        let deposited = counts.body["counts"]["deposited"].as_f64().unwrap_or(0.0);
        if read_s.is_none() {
            let answer = issuer.get(&import).await.map_err(|e| text(&e))?;
            match answer.body["state"].as_str() {
                Some("done") if answer.body["accepted"] == records => {
                    read_s = Some(began.elapsed().as_secs_f64());
                }
                Some("done" | "refused") => {
                    let (accepted, first) = (&answer.body["accepted"], &answer.body["failures"][0]);
                    return Err(format!("of {records} rows {accepted} went in: {first}"));
                }
                _ => {}
            }
        }
        let mut memory = [0.0; 3];
        for (memory, pid) in memory.iter_mut().zip(&pids) {
            *memory = memory_mib(*pid, "VmRSS")?;
        }
        if looks.last().is_none_or(|last| deposited > last.deposited) {
            moved = Instant::now();
        }
        looks.push(Look {
            at_s: began.elapsed().as_secs_f64(),
            deposited,
            memory_mib: memory,
        });
        let [held, ..] = memory;
        eprintln!("{deposited} of {records} records are deposited; the issuer holds {held:.0} MiB");
        if deposited >= records as f64 {
            break;
        }
        if moved.elapsed() > STUCK {
            return Err(format!(
                "{deposited} of {records} records, and no more come"
            ));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    rows(table, records, megabytes, read_s, &looks);
    for (name, pid) in PROCESSES.iter().zip(pids) {
        table.row(
            &format!("million: peak memory of {name}"),
            memory_mib(pid, "VmHWM")?,
            "MiB",
            "—",
            None,
            Goal::None,
        );
    }
    Ok(())
}

fn rows(table: &mut Table, records: usize, megabytes: f64, read_s: Option<f64>, looks: &[Look]) {
    let Some(last) = looks.last() else { return };
    let rate = |from: &Look, to: &Look| (to.deposited - from.deposited) / (to.at_s - from.at_s);
    let middle = looks.partition_point(|look| look.deposited < records as f64 / 2.0);
    let (first, second) = looks.split_at(middle.min(looks.len() - 1));
    table.row(
        &format!("million: {records} records from one CSV"),
        records as f64 / last.at_s,
        "records/s, signed, sealed, deposited",
        "—",
        None,
        Goal::None,
    );
    if let Some(read_s) = read_s {
        let beside = format!("a file of {megabytes:.0} MB");
        let read = records as f64 / read_s;
        table.row(
            "million: CSV rows checked and stored",
            read,
            "rows/s",
            &beside,
            None,
            Goal::None,
        );
    }
    if let (Some(start), Some(half)) = (first.first(), second.first()) {
        table.row(
            "million: rate of the second half",
            rate(half, last),
            "records/s",
            "the first half",
            Some(rate(start, half)),
            Goal::RatioLeast(0.9),
        );
    }
    for (place, name) in PROCESSES.iter().enumerate() {
        let most = |looks: &[Look]| {
            let memory = looks.iter().map(|look| look.memory_mib[place]);
            memory.fold(0.0, f64::max)
        };
        table.row(
            &format!("million: memory of {name}, second half"),
            most(second),
            "MiB at most",
            "the first half",
            Some(most(first)),
            // the host's grows until RocksDB's first buffer is full; the issuer's is what the row is about
            if place == 0 {
                Goal::RatioMost(1.1)
            } else {
                Goal::None
            },
        );
    }
}

fn csv(people: usize) -> String {
    let mut csv = "宛名番号,健診種別,管理番号,実施日,場所,ワクチン,回数\r\n".to_owned();
    // Day by day, as a city hall writes them: one after the other they are different people's.
    for number in 0..RECORDS_EACH {
        let (year, month, day) = (2 + number / 28 % 6, 1 + number % 12, 1 + number % 28);
        let dose = 1 + number % 4;
        for id in (0..people).map(subject) {
            let _ = write!(
                csv,
                "{id},予防接種,{id}-{number},R{year}.{month}.{day},わかば市保健センター,5種混合,{dose}\r\n"
            );
        }
    }
    csv
}
