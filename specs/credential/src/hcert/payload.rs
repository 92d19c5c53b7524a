//! What a health certificate says: EU DCC schema 1.3.x (`ehn-dcc-development/ehn-dcc-schema`).
//!
//! Checked when issuing and when verifying: exactly one entry of one group, each required member
//! of its type, length and pattern. Value sets are not closed: the schema does not close them.

use serde_json::{Map, Value};

use crate::trust_list::Purpose;

/// Longest free text, in characters.
const MAX_TEXT: usize = 80;

/// What a certificate certifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `v`: a vaccination.
    Vaccination,
    /// `t`: a test.
    Test,
    /// `r`: a recovery.
    Recovery,
}

impl Kind {
    /// The group's name in the payload.
    #[must_use]
    pub fn group(self) -> &'static str {
        match self {
            Self::Vaccination => "v",
            Self::Test => "t",
            Self::Recovery => "r",
        }
    }

    /// What a key must be allowed to sign.
    #[must_use]
    pub fn purpose(self) -> Purpose {
        match self {
            Self::Vaccination => Purpose::Vaccination,
            Self::Test => Purpose::Test,
            Self::Recovery => Purpose::Recovery,
        }
    }
}

/// How a member is to look.
#[derive(Clone, Copy)]
enum Form {
    /// At most 80 characters.
    Text,
    /// A code of a value set.
    Code,
    /// Upper case letters, 1 to 10 of them.
    Country,
    /// `YYYY-MM-DD`, a time behind it allowed.
    Date,
    /// RFC 3339.
    Time,
    /// A whole number from 1 on.
    Positive,
}

const VACCINATION: [(&str, Form); 10] = [
    ("tg", Form::Code),
    ("vp", Form::Code),
    ("mp", Form::Code),
    ("ma", Form::Code),
    ("dn", Form::Positive),
    ("sd", Form::Positive),
    ("dt", Form::Date),
    ("co", Form::Country),
    ("is", Form::Text),
    ("ci", Form::Text),
];
const TEST: [(&str, Form); 7] = [
    ("tg", Form::Code),
    ("tt", Form::Code),
    ("sc", Form::Time),
    ("tr", Form::Code),
    ("co", Form::Country),
    ("is", Form::Text),
    ("ci", Form::Text),
];
const TEST_OPTIONAL: [(&str, Form); 3] =
    [("nm", Form::Text), ("ma", Form::Code), ("tc", Form::Text)];
const RECOVERY: [(&str, Form); 7] = [
    ("tg", Form::Code),
    ("fr", Form::Date),
    ("co", Form::Country),
    ("is", Form::Text),
    ("df", Form::Date),
    ("du", Form::Date),
    ("ci", Form::Text),
];

/// Checks a payload against the schema and says what it certifies.
///
/// # Errors
/// The name of the member that does not fit.
pub fn check_payload(payload: &Value) -> Result<Kind, &'static str> {
    let payload = payload.as_object().ok_or("payload")?;
    let version = payload.get("ver").and_then(Value::as_str).ok_or("ver")?;
    let parts: Vec<&str> = version.split('.').collect();
    let number = |part: &&str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
    if parts.len() != 3 || !parts.iter().all(number) || version.len() > 16 {
        return Err("ver");
    }
    check_name(payload.get("nam").and_then(Value::as_object).ok_or("nam")?)?;
    let born = payload.get("dob").and_then(Value::as_str).ok_or("dob")?;
    if !is_birth_date(born) {
        return Err("dob");
    }
    let mut groups = [Kind::Vaccination, Kind::Test, Kind::Recovery]
        .into_iter()
        .filter_map(|kind| Some((kind, payload.get(kind.group())?)));
    let (kind, entries) = groups.next().ok_or("v, t or r")?;
    if let Some((second, _)) = groups.next() {
        return Err(second.group());
    }
    let [entry] = entries.as_array().map_or(&[][..], Vec::as_slice) else {
        return Err(kind.group());
    };
    let entry = entry.as_object().ok_or(kind.group())?;
    match kind {
        Kind::Vaccination => check_members(entry, &VACCINATION, &[])?,
        Kind::Test => check_members(entry, &TEST, &TEST_OPTIONAL)?,
        Kind::Recovery => check_members(entry, &RECOVERY, &[])?,
    }
    Ok(kind)
}

fn check_name(name: &Map<String, Value>) -> Result<(), &'static str> {
    if !name.contains_key("fnt") && !name.contains_key("gnt") {
        return Err("nam");
    }
    for member in ["fn", "gn"] {
        if name.get(member).is_some_and(|text| !fits(text, Form::Text)) {
            return Err(member);
        }
    }
    for member in ["fnt", "gnt"] {
        let icao = |text: &str| {
            text.len() <= MAX_TEXT && text.bytes().all(|c| c == b'<' || c.is_ascii_uppercase())
        };
        if name
            .get(member)
            .is_some_and(|text| !text.as_str().is_some_and(icao))
        {
            return Err(member);
        }
    }
    Ok(())
}

fn check_members(
    entry: &Map<String, Value>,
    required: &[(&'static str, Form)],
    optional: &[(&'static str, Form)],
) -> Result<(), &'static str> {
    for (name, form) in required {
        if !entry.get(*name).is_some_and(|value| fits(value, *form)) {
            return Err(name);
        }
    }
    for (name, form) in optional {
        if !entry.get(*name).is_none_or(|value| fits(value, *form)) {
            return Err(name);
        }
    }
    Ok(())
}

fn fits(value: &Value, form: Form) -> bool {
    let text = value.as_str();
    match form {
        Form::Text | Form::Code => text.is_some_and(|text| text.chars().count() <= MAX_TEXT),
        Form::Country => text.is_some_and(|text| {
            (1..=10).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_uppercase())
        }),
        Form::Date => text.is_some_and(|text| match text.split_once('T') {
            Some((day, time)) => is_day(day) && !time.is_empty() && text.len() <= 40,
            None => is_day(text),
        }),
        Form::Time => text.is_some_and(is_time),
        Form::Positive => value.as_u64().is_some_and(|number| number >= 1),
    }
}

/// `YYYY-MM-DD`.
fn is_day(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 10
        && bytes.iter().enumerate().all(|(place, c)| match place {
            4 | 7 => *c == b'-',
            _ => c.is_ascii_digit(),
        })
        && (b"01"..=b"12").contains(&&[bytes[5], bytes[6]])
        && (b"01"..=b"31").contains(&&[bytes[8], bytes[9]])
}

/// RFC 3339 with its zone, as far as its form goes.
fn is_time(text: &str) -> bool {
    let Some((day, time)) = text.split_once('T') else {
        return false;
    };
    let zone = time.ends_with('Z') || time.get(8..).is_some_and(|rest| rest.contains(['+', '-']));
    is_day(day)
        && time.len() <= 30
        && zone
        && time.is_char_boundary(8)
        && is_clock(&time[..8.min(time.len())])
}

/// `HH:MM:SS`.
fn is_clock(text: &str) -> bool {
    text.len() == 8
        && text.bytes().enumerate().all(|(place, c)| match place {
            2 | 5 => c == b':',
            _ => c.is_ascii_digit(),
        })
}

/// A date between 1900 and 2099, as far as it is known: `YYYY`, `YYYY-MM`, `YYYY-MM-DD`, or empty.
/// A time behind it, which the first schema allowed, is taken.
fn is_birth_date(text: &str) -> bool {
    let day = text.split('T').next().unwrap_or_default();
    if text.is_empty() {
        return true;
    }
    let century = day.starts_with("19") || day.starts_with("20");
    let digits = |part: &str, len| part.len() == len && part.bytes().all(|c| c.is_ascii_digit());
    let mut parts = day.split('-');
    let year = parts.next().is_some_and(|year| digits(year, 4));
    century && year && text.len() <= 40 && day.len() <= 10 && parts.all(|part| digits(part, 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn vaccination() -> Value {
        json!({
            "ver": "1.3.0", "dob": "2024-10-12",
            "nam": { "fn": "Wakaba", "fnt": "WAKABA", "gn": "Hana", "gnt": "HANA" },
            "v": [{ "tg": "840539006", "vp": "1119349007", "mp": "EU/1/20/1528", "ma": "ORG-100030215",
                "dn": 2, "sd": 2, "dt": "2026-10-12", "co": "JP", "is": "Wakaba City", "ci": "URN:UVCI:01:JP:1" }],
        })
    }

    #[test]
    fn says_which_member_does_not_fit() {
        assert_eq!(check_payload(&vaccination()), Ok(Kind::Vaccination));
        for (name, form) in VACCINATION {
            let wrong = match form {
                Form::Text | Form::Code => json!("x".repeat(81)),
                Form::Country => json!("jp"),
                Form::Date => json!("2026-13-01"),
                Form::Time => json!("2026-10-12"),
                Form::Positive => json!(0),
            };
            for value in [wrong, Value::Null, json!([])] {
                let mut payload = vaccination();
                payload["v"][0][name] = value;
                assert_eq!(check_payload(&payload), Err(name));
            }
        }
        for (name, value) in [
            ("ver", json!("1.3")),
            ("nam", json!({ "fn": "x" })),
            ("dob", json!("1899")),
            ("v", json!([])),
            ("t", json!([{}])),
        ] {
            let mut payload = vaccination();
            payload[name] = value;
            assert_eq!(check_payload(&payload), Err(name));
        }
        let mut payload = vaccination();
        payload["nam"]["gnt"] = json!("Hana");
        assert_eq!(check_payload(&payload), Err("gnt"));
        let mut payload = vaccination();
        payload.as_object_mut().unwrap().remove("v");
        assert_eq!(check_payload(&payload), Err("v, t or r"));
    }

    #[test]
    fn dates_and_times() {
        for good in ["", "1979", "1979-04", "1979-04-14", "2021-04-14T00:00:00"] {
            assert!(is_birth_date(good), "{good}");
        }
        for bad in ["79", "1979-4", "1879-04-14", "1979-04-14-01", "x"] {
            assert!(!is_birth_date(bad), "{bad}");
        }
        for good in [
            "2021-08-20T10:03:12Z",
            "2021-08-20T12:03:12+02:00",
            "2021-08-20T12:03:12.5+02:00",
        ] {
            assert!(is_time(good), "{good}");
        }
        for bad in [
            "2021-08-20",
            "2021-08-20T10:03Z",
            "2021-08-20T10:03:12",
            "T",
            "2021-08-20Té00000000Z",
        ] {
            assert!(!is_time(bad), "{bad}");
        }
    }
}
