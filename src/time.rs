//! Times: as people write and read them, and as formats have them.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A time as people write it: RFC 3339, a date (its beginning in UTC), or milliseconds since 1970.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse_time(text: &str) -> Result<u64, String> {
    if let Ok(number) = text.parse() {
        // Whoever writes seconds would otherwise be told that nothing is valid yet.
        return match number {
            ..100_000_000_000 => Err(format!(
                "{number} milliseconds are {}; times are written as 2026-12-01T09:30:00+09:00 (RFC 3339), or in milliseconds, not seconds",
                moment(number)
            )),
            _ => Ok(number),
        };
    }
    let is_date = text.len() == 10 && !text.contains('T');
    let whole = match is_date {
        true => format!("{text}T00:00:00Z"),
        false => text.to_owned(),
    };
    let time = OffsetDateTime::parse(&whole, &Rfc3339).map_err(|error| {
        format!("write 2026-12-01, 2026-12-01T09:30:00+09:00 (RFC 3339), or milliseconds since 1970: {error}")
    })?;
    u64::try_from(time.unix_timestamp_nanos() / 1_000_000).map_err(|_| "before 1970".to_owned())
}

pub(crate) fn milliseconds(seconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or(0).saturating_mul(1000)
}

pub(crate) fn seconds(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds / 1000).unwrap_or(i64::MAX)
}

/// Milliseconds since 1970 as people read them.
pub(crate) fn moment(ms: u64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
    time.ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{ms} ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_both_ways() {
        assert_eq!(parse_time("1760000000000"), Ok(1_760_000_000_000));
        assert_eq!(parse_time("2025-10-09T08:53:20Z"), Ok(1_760_000_000_000));
        assert_eq!(
            parse_time("2025-10-09T17:53:20+09:00"),
            Ok(1_760_000_000_000)
        );
        assert_eq!(parse_time("2025-10-09"), parse_time("2025-10-09T00:00:00Z"));
        for wrong in ["yesterday", "2025-13-09", "1760000000", "2025-10-09T08"] {
            let message = parse_time(wrong).unwrap_err();
            assert!(message.contains("T09:30:00+09:00"), "{wrong}: {message}");
        }
        assert_eq!(moment(1_760_000_000_000), "2025-10-09T08:53:20Z");
    }
}
