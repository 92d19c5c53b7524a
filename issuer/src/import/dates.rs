//! Dates as city halls write them, in the Japanese and the Western calendar.
//!
//! | written | read |
//! |---|---|
//! | `2023-04-01`, `2023/4/1`, `2023.4.1`, `2023年4月1日`, `20230401` | 2023-04-01 |
//! | `令和5年4月1日`, `令和５年４月１日`, `令5.4.1`, `R5.4.1`, `R05/04/01`, `r5-4-1`, `㋿5年4月1日`, `R050401` | 2023-04-01 |
//! | `5050401` (era number 1 to 5, then two digits each) | 2023-04-01 |
//! | `令和元年5月1日`, `R元.5.1` | 2019-05-01 |
//!
//! A day outside its era (平成31年5月1日, 令和元年4月30日) is refused: one of the two is a mistake, and nobody here can know which.

use super::text::plain;
use time::{Date, Month};

/// Why a text is not a date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DateError {
    /// None of the forms above.
    #[error("not a date")]
    Form,
    /// A form of a date, but no such day.
    #[error("no such day")]
    NoSuchDay,
    /// The era had not begun, or was over.
    #[error("the day is not in the era {0}")]
    OutsideEra(&'static str),
    /// Before 1868, or after 9999.
    #[error("the year is out of range")]
    Year,
}

struct Era {
    name: &'static str,
    marks: [&'static str; 4],
    /// First day.
    from: (i32, u8, u8),
    /// Last day.
    until: (i32, u8, u8),
}

const ERAS: [Era; 5] = [
    Era {
        name: "明治",
        marks: ["明治", "明", "㍾", "m"],
        from: (1868, 1, 25),
        until: (1912, 7, 29),
    },
    Era {
        name: "大正",
        marks: ["大正", "大", "㍽", "t"],
        from: (1912, 7, 30),
        until: (1926, 12, 24),
    },
    Era {
        name: "昭和",
        marks: ["昭和", "昭", "㍼", "s"],
        from: (1926, 12, 25),
        until: (1989, 1, 7),
    },
    Era {
        name: "平成",
        marks: ["平成", "平", "㍻", "h"],
        from: (1989, 1, 8),
        until: (2019, 4, 30),
    },
    Era {
        name: "令和",
        marks: ["令和", "令", "㋿", "r"],
        from: (2019, 5, 1),
        until: (9999, 12, 31),
    },
];

/// Reads a date in one of the forms that stand at the top of this module.
///
/// # Errors
/// [`DateError`].
pub fn parse(text: &str) -> Result<Date, DateError> {
    if text.len() > 64 {
        return Err(DateError::Form);
    }
    let text = plain(text);
    for era in &ERAS {
        if let Some(rest) = era.marks.iter().find_map(|mark| text.strip_prefix(mark)) {
            let (year, month, day) = parts(rest, 2)?;
            return in_era(era, year, month, day);
        }
    }
    if text.len() == 7 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let era = text[..1]
            .parse::<usize>()
            .ok()
            .and_then(|number| ERAS.get(number.checked_sub(1)?));
        let (year, month, day) = parts(&text[1..], 2)?;
        return in_era(era.ok_or(DateError::Form)?, year, month, day);
    }
    let (year, month, day) = parts(&text, 4)?;
    if !(1868..=9999).contains(&year) {
        return Err(DateError::Year);
    }
    date(year, month, day)
}

/// ISO 8601, as claims have it.
#[must_use]
pub fn iso(date: Date) -> String {
    format!(
        "{:04}-{:02}-{:02}",
        date.year(),
        u8::from(date.month()),
        date.day()
    )
}

/// Midnight UTC of a day, in milliseconds since 1970; days before 1970 count as its first.
#[must_use]
pub fn date_ms(date: Date) -> u64 {
    let seconds = date.midnight().assume_utc().unix_timestamp();
    u64::try_from(seconds).unwrap_or(0) * 1000
}

/// The day (UTC) of a time in milliseconds since 1970, as [`iso`] gives it.
pub(crate) fn day_of(at_ms: u64) -> String {
    let seconds = i64::try_from(at_ms / 1000).unwrap_or(i64::MAX);
    let at = time::OffsetDateTime::from_unix_timestamp(seconds);
    iso(at.map_or(Date::MAX, time::OffsetDateTime::date))
}

fn in_era(era: &Era, year: i32, month: u8, day: u8) -> Result<Date, DateError> {
    if year == 0 {
        return Err(DateError::NoSuchDay);
    }
    let found = date(era.from.0 + year - 1, month, day)?;
    let written = (found.year(), month, day);
    if written < era.from || written > era.until {
        return Err(DateError::OutsideEra(era.name));
    }
    Ok(found)
}

/// Year, month and day, separated, or as `year_digits` + 2 + 2 digits.
fn parts(text: &str, year_digits: usize) -> Result<(i32, u8, u8), DateError> {
    let number = |text: &str| -> Result<u16, DateError> {
        if text.is_empty() || text.len() > 4 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(DateError::Form);
        }
        text.parse().map_err(|_| DateError::Form)
    };
    let small = |text: &str| -> Result<u8, DateError> {
        if text.len() > 2 {
            return Err(DateError::Form);
        }
        number(text).and_then(|number| u8::try_from(number).map_err(|_| DateError::Form))
    };
    if text.len() == year_digits + 4 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let (year, rest) = text.split_at(year_digits);
        return Ok((number(year)?.into(), small(&rest[..2])?, small(&rest[2..])?));
    }
    let separated: Vec<&str> = match text.split_once('年') {
        Some((year, rest)) => {
            let (month, day) = rest.split_once('月').ok_or(DateError::Form)?;
            vec![year, month, day.strip_suffix('日').ok_or(DateError::Form)?]
        }
        None => {
            let separator = ['/', '-', '.']
                .into_iter()
                .find(|separator| text.contains(*separator));
            text.split(separator.ok_or(DateError::Form)?).collect()
        }
    };
    let [year, month, day] = separated.as_slice() else {
        return Err(DateError::Form);
    };
    let year = match (*year, year_digits) {
        ("元", 2) => 1,
        (year, 2) if year.len() <= 2 => number(year)?,
        (year, 4) if year.len() == 4 => number(year)?,
        _ => return Err(DateError::Form),
    };
    Ok((year.into(), small(month)?, small(day)?))
}

fn date(year: i32, month: u8, day: u8) -> Result<Date, DateError> {
    let month = Month::try_from(month).map_err(|_| DateError::NoSuchDay)?;
    Date::from_calendar_date(year, month, day).map_err(|_| DateError::NoSuchDay)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_in_every_form() {
        for (written, day) in [
            ("2023-04-01", "2023-04-01"),
            ("2023/4/1", "2023-04-01"),
            ("２０２３／０４／０１", "2023-04-01"),
            ("2023.4.1", "2023-04-01"),
            ("2023年4月1日", "2023-04-01"),
            ("２０２３年４月１日", "2023-04-01"),
            ("20230401", "2023-04-01"),
            ("R5.4.1", "2023-04-01"),
            ("r05/04/01", "2023-04-01"),
            ("Ｒ５．４．１", "2023-04-01"),
            ("R050401", "2023-04-01"),
            ("5050401", "2023-04-01"),
            ("令和5年4月1日", "2023-04-01"),
            ("令和５年４月１日", "2023-04-01"),
            (" 令和 5年 4月 1日 ", "2023-04-01"),
            ("令5-4-1", "2023-04-01"),
            ("㋿5年4月1日", "2023-04-01"),
            ("令和元年5月1日", "2019-05-01"),
            ("R元.5.1", "2019-05-01"),
            ("R1.5.1", "2019-05-01"),
            ("平成31年4月30日", "2019-04-30"),
            ("H1.1.8", "1989-01-08"),
            ("S64.1.7", "1989-01-07"),
            ("昭和元年12月25日", "1926-12-25"),
            ("T15.12.24", "1926-12-24"),
            ("大正元年7月30日", "1912-07-30"),
            ("M45.7.29", "1912-07-29"),
            ("明治1年1月25日", "1868-01-25"),
            ("R6.2.29", "2024-02-29"),
        ] {
            assert_eq!(parse(written).map(iso), Ok(day.to_owned()), "{written}");
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for (written, error) in [
            ("", DateError::Form),
            ("昨日", DateError::Form),
            ("令和5年4月", DateError::Form),
            ("R5.4", DateError::Form),
            ("R5.4.1.2", DateError::Form),
            ("R5.4/1", DateError::Form),
            ("4/1/2023", DateError::Form),
            ("23/4/1", DateError::Form),
            ("R123.4.1", DateError::Form),
            ("R5.4.001", DateError::Form),
            ("6050401", DateError::Form),
            ("0050401", DateError::Form),
            ("2023-04-01T10:00:00", DateError::Form),
            ("R5.-4.1", DateError::Form),
            ("2023-02-29", DateError::NoSuchDay),
            ("R5.2.29", DateError::NoSuchDay),
            ("R5.13.1", DateError::NoSuchDay),
            ("R5.4.0", DateError::NoSuchDay),
            ("R0.4.1", DateError::NoSuchDay),
            ("平成31年5月1日", DateError::OutsideEra("平成")),
            ("令和元年4月30日", DateError::OutsideEra("令和")),
            ("S64.1.8", DateError::OutsideEra("昭和")),
            ("H1.1.7", DateError::OutsideEra("平成")),
            ("T1.7.29", DateError::OutsideEra("大正")),
            ("1867-12-31", DateError::Year),
            ("00000401", DateError::Year),
        ] {
            assert_eq!(parse(written), Err(error), "{written}");
        }
        assert_eq!(parse(&"令".repeat(1_000_000)), Err(DateError::Form));
    }

    #[test]
    fn days_become_milliseconds() {
        assert_eq!(date_ms(parse("2023-04-01").unwrap()), 1_680_307_200_000);
        assert_eq!(date_ms(parse("1950-01-01").unwrap()), 0);
    }
}
