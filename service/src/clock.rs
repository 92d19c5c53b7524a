//! The wall clock, read in one place. Pure crates take the time as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970. A clock set before 1970 reads as 0.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the edge")]
pub fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Seconds since 1970, as signed requests and JWTs count them.
#[must_use]
pub fn now_s() -> i64 {
    i64::try_from(now_ms() / 1000).unwrap_or(i64::MAX)
}
