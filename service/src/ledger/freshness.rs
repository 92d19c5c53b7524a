//! How old a header is, by a clock that may be wrong.

use std::time::{Duration, Instant};

/// From this age on, in milliseconds, a header says nothing about now. An idle ledger makes a block every 5 s.
pub const STALE_MS: u64 = 15_000;

/// The least that the time can be: the validators said a time, and since then this much has passed by the monotonic clock.
///
/// A header's age is counted from the later of this and the wall clock. So a header grows stale 15 s after it arrived
/// whatever the wall clock says, and neither a wall clock that is stepped back nor a node that hands out old headers one
/// by one makes anything fresh again.
#[derive(Debug, Clone, Copy, Default)]
pub struct Freshness(Option<(u64, Instant)>);

impl Freshness {
    /// A certified header of `time_ms` arrived.
    pub fn arrived(&mut self, time_ms: u64, now: Instant) {
        if time_ms >= self.least_now_ms(now) {
            self.0 = Some((time_ms, now));
        }
    }

    /// The age in milliseconds of a header of `time_ms`, at least.
    #[must_use]
    pub fn age_ms(&self, time_ms: u64, wall_ms: u64, now: Instant) -> u64 {
        wall_ms.max(self.least_now_ms(now)).saturating_sub(time_ms)
    }

    fn least_now_ms(&self, now: Instant) -> u64 {
        let passed = |since: Duration| u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.0.map_or(0, |(time_ms, at)| {
            time_ms.saturating_add(passed(now.saturating_duration_since(at)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: u64 = 1_700_000_000_000;

    #[test]
    fn a_header_ages_by_the_wall_clock() {
        let (mut freshness, start) = (Freshness::default(), Instant::now());
        freshness.arrived(T, start);
        assert_eq!(freshness.age_ms(T, T + 14_999, start), 14_999);
        assert_eq!(freshness.age_ms(T, T + STALE_MS, start), STALE_MS);
        assert_eq!(
            freshness.age_ms(T, T - 5, start),
            0,
            "validators' clocks may be a little ahead"
        );
    }

    #[test]
    fn a_clock_stepped_back_makes_nothing_fresh() {
        let (mut freshness, start) = (Freshness::default(), Instant::now());
        freshness.arrived(T, start);
        let later = start + Duration::from_millis(STALE_MS);
        assert_eq!(freshness.age_ms(T, T - 3_600_000, later), STALE_MS);
    }

    #[test]
    fn old_headers_one_by_one_do_not_hold_time_up() {
        let (mut freshness, start) = (Freshness::default(), Instant::now());
        freshness.arrived(T, start);
        for step in 1..=20_u64 {
            let now = start + Duration::from_secs(step);
            freshness.arrived(T + step, now); // newer by a millisecond each second
            let age_ms = freshness.age_ms(T + step, T, now);
            assert_eq!(age_ms >= STALE_MS, step >= 16, "step {step}: {age_ms} ms");
        }
    }

    #[test]
    fn before_the_first_header_the_wall_clock_counts() {
        assert_eq!(Freshness::default().age_ms(T, T + 99, Instant::now()), 99);
    }
}
