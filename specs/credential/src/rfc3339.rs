//! Times in W3C documents: XML Schema `dateTimeStamp`, read as RFC 3339, in Unix seconds.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Unix seconds of a time with a zone; a fraction of a second is dropped.
#[must_use]
pub fn parse_time(text: &str) -> Option<i64> {
    if text.len() > 40 {
        return None;
    }
    OffsetDateTime::parse(text, &Rfc3339)
        .ok()
        .map(OffsetDateTime::unix_timestamp)
}

/// A time as `2026-01-31T12:00:00Z`; times outside the years 1 to 9999 come out as the nearest of those.
#[must_use]
pub fn write_time(at: i64) -> String {
    let at = at.clamp(-62_135_596_800, 253_402_300_799);
    let time =
        OffsetDateTime::from_unix_timestamp(at).expect("it is in the years that the type holds");
    time.format(&Rfc3339)
        .expect("RFC 3339 writes the years 0 to 9999")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        assert_eq!(parse_time("2025-10-09T08:53:20Z"), Some(1_760_000_000));
        assert_eq!(
            parse_time("2025-10-09T17:53:20.5+09:00"),
            Some(1_760_000_000)
        );
        assert_eq!(write_time(1_760_000_000), "2025-10-09T08:53:20Z");
        assert_eq!(parse_time(&write_time(i64::MAX)), Some(253_402_300_799));
        for wrong in [
            "",
            "2025-10-09",
            "2025-10-09T08:53:20",
            "2025-13-09T08:53:20Z",
            "1760000000",
        ] {
            assert_eq!(parse_time(wrong), None, "{wrong}");
        }
    }
}
