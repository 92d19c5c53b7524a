//! Rows, and how long a case is run for.

use serde::Serialize;
use std::time::{Duration, Instant};

/// One measured thing.
#[derive(Serialize)]
struct Row {
    name: String,
    ours: f64,
    unit: &'static str,
    beside: String,
    limit: Option<f64>,
    ratio: Option<f64>,
    goal: String,
}

/// The rows so far.
pub(crate) struct Table {
    json: bool,
    slice: Duration,
    rows: Vec<Row>,
    load_before: String,
}

impl Table {
    pub(crate) fn new(json: bool, seconds: f64) -> Self {
        let load_before = load();
        if !json {
            println!("load before: {load_before}");
            println!(
                "{:<44} {:>12} {:>12} {:>7}  goal",
                "case", "ours", "beside", "ratio"
            );
        }
        Self {
            json,
            slice: Duration::from_secs_f64(seconds),
            rows: Vec::new(),
            load_before,
        }
    }

    /// Runs two cases in turn, several rounds, and gives the median rate of each per second.
    pub(crate) fn pair(&self, mut ours: impl FnMut(), mut limit: impl FnMut()) -> (f64, f64) {
        const ROUNDS: u32 = 5;
        let mut rates = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            rates.0.push(rate(self.slice / ROUNDS, &mut ours));
            rates.1.push(rate(self.slice / ROUNDS, &mut limit));
        }
        (median(&mut rates.0), median(&mut rates.1))
    }

    /// As [`Table::pair`], with a peer that measures itself for as long as it is told.
    pub(crate) fn beside(
        &self,
        mut ours: impl FnMut(),
        mut peer: impl FnMut(Duration) -> Result<f64, String>,
    ) -> Result<(f64, f64), String> {
        const ROUNDS: u32 = 5;
        let mut rates = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            rates.0.push(rate(self.slice / ROUNDS, &mut ours));
            rates.1.push(peer(self.slice / ROUNDS)?);
        }
        Ok((median(&mut rates.0), median(&mut rates.1)))
    }

    pub(crate) fn row(
        &mut self,
        name: &str,
        ours: f64,
        unit: &'static str,
        beside: &str,
        limit: Option<f64>,
        goal: &str,
    ) {
        let ratio = limit.map(|limit| ours / limit);
        if !self.json {
            let beside_text = limit.map_or_else(|| "—".to_owned(), |limit| format!("{limit:.1}"));
            let ratio_text = ratio.map_or_else(|| "—".to_owned(), |ratio| format!("{ratio:.2}"));
            println!(
                "{name:<44} {ours:>12.1} {beside_text:>12} {ratio_text:>7}  {goal}   [{unit}; beside: {beside}]"
            );
        }
        self.rows.push(Row {
            name: name.into(),
            ours,
            unit,
            beside: beside.into(),
            limit,
            ratio,
            goal: goal.into(),
        });
    }

    pub(crate) fn end(self) {
        if self.json {
            let all = serde_json::json!({ "load_before": self.load_before, "load_after": load(), "rows": self.rows });
            println!("{all:#}");
        } else {
            println!("load after: {}", load());
        }
    }
}

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn rate(slice: Duration, case: &mut impl FnMut()) -> f64 {
    let started = Instant::now();
    let mut runs = 0_u32;
    while started.elapsed() < slice {
        case();
        runs += 1;
    }
    f64::from(runs) / started.elapsed().as_secs_f64()
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    percentile(values, 0.5)
}

/// The value below which this part lies; 0 for none.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss
)]
pub(crate) fn percentile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = ((values.len().saturating_sub(1)) as f64 * part).round() as usize;
    values.get(index).copied().unwrap_or(0.0)
}
