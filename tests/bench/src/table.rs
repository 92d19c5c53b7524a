//! Rows, what each is to reach, and how long a case is run for.

use crate::bounds::bound_of;
use crate::processes::own_cpu_s;
use serde::Serialize;
use std::time::{Duration, Instant};

/// What a row is to reach (`README.md` beside this crate).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// Nothing: the row informs.
    None,
    /// Ours divided by what stands beside it, at least.
    RatioLeast(f64),
    /// Ours divided by what stands beside it, at most.
    RatioMost(f64),
    /// Ours, at least.
    Least(f64),
    /// Ours, at most.
    Most(f64),
}

impl Goal {
    /// Absent where there is nothing to reach.
    fn met(self, ours: f64, ratio: Option<f64>) -> Option<bool> {
        let ratio = ratio.unwrap_or(f64::NAN);
        match self {
            Self::None => None,
            Self::RatioLeast(least) => Some(ratio >= least),
            Self::RatioMost(most) => Some(ratio <= most),
            Self::Least(least) => Some(ours >= least),
            Self::Most(most) => Some(ours <= most),
        }
    }

    fn text(self, unit: &str) -> String {
        let unit = unit.split([',', ';']).next().unwrap_or_default();
        match self {
            Self::None => "—".to_owned(),
            Self::RatioLeast(least) => format!("≥ {least} ×"),
            Self::RatioMost(most) => format!("≤ {most} ×"),
            Self::Least(least) => format!("≥ {least} {unit}"),
            Self::Most(most) => format!("≤ {most} {unit}"),
        }
    }
}

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
    /// Absent where there is no goal.
    met: Option<bool>,
    /// What bounds a row that misses its goal, by its profile (`PROFILES.md`).
    bound: Option<&'static str>,
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
                "{:<56} {:>12} {:>12} {:>7}  {:<22} {:<6}  unit; beside",
                "case", "ours", "beside", "ratio", "goal", ""
            );
        }
        Self {
            json,
            slice: Duration::from_secs_f64(seconds),
            rows: Vec::new(),
            load_before,
        }
    }

    /// Runs two cases in turn, several rounds, and gives the median rate of each per second of processor time.
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
        goal: Goal,
    ) {
        let ratio = limit.map(|limit| ours / limit);
        let met = goal.met(ours, ratio);
        let row = Row {
            name: name.into(),
            ours,
            unit,
            beside: beside.into(),
            limit,
            ratio,
            goal: goal.text(unit),
            met,
            bound: bound_of(name).filter(|_| met == Some(false)),
        };
        if !self.json {
            let number = |number: Option<f64>| number.map_or_else(|| "—".to_owned(), digits);
            let met = match met {
                None => "",
                Some(true) => "met",
                Some(false) => "MISSED",
            };
            println!(
                "{name:<56} {:>12} {:>12} {:>7}  {:<22} {met:<6}  [{unit}; beside: {beside}]",
                digits(ours),
                number(limit),
                ratio.map_or_else(|| "—".to_owned(), |ratio| format!("{ratio:.2}")),
                row.goal,
            );
            if let Some(bound) = row.bound {
                println!("    bound: {bound}");
            }
        }
        self.rows.push(row);
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

/// Four significant digits, or all before the point.
fn digits(number: f64) -> String {
    match number.abs() {
        size if size >= 1000.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.3}"),
    }
}

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// Runs in a second of this thread's processor time: what others do meanwhile does not count.
fn rate(slice: Duration, case: &mut impl FnMut()) -> f64 {
    let (started, before_s) = (Instant::now(), own_cpu_s());
    let mut runs = 0_u32;
    while started.elapsed() < slice {
        case();
        runs += 1;
    }
    let took_s = own_cpu_s()
        .zip(before_s)
        .map(|(after_s, before_s)| after_s - before_s);
    f64::from(runs) / took_s.unwrap_or_else(|| started.elapsed().as_secs_f64())
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
