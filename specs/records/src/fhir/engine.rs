//! Reads the tables in both directions.

use serde_json::{Map, Value};

use super::outcome::Issue;
use super::tables::{Field, Kind, Table};
use crate::text::is_lines;

/// Elements that any object may have and that are not carried.
const DROPPED_EVERYWHERE: [&str; 6] = [
    "resourceType",
    "id",
    "meta",
    "text",
    "language",
    "extension",
];

/// The claims of `object`, an element at FHIRPath `at`; what is wrong goes to `issues`.
pub(super) fn read(
    object: &Map<String, Value>,
    table: &Table,
    at: &str,
    issues: &mut Vec<Issue>,
) -> Map<String, Value> {
    let mut claims = Map::new();
    for (element, value) in object {
        let path = format!("{at}.{element}");
        let Some(field) = table.iter().find(|field| field.element == element) else {
            check_unknown(element, table, &path, issues);
            continue;
        };
        if let Some(claim) = read_field(field, value, &path, issues) {
            claims.insert(field.claim.to_owned(), claim);
        }
    }
    if let Some(Value::Object(identifier)) = claims.remove("identifier") {
        for (name, value) in identifier {
            claims.insert(format!("identifier_{name}"), value);
        }
    }
    claims
}

fn check_unknown(element: &str, table: &Table, path: &str, issues: &mut Vec<Issue>) {
    let is_known = |name: &str| table.iter().any(|field| field.element == name);
    // `_x` extends the primitive element `x`; extensions are not carried.
    if DROPPED_EVERYWHERE.contains(&element)
        || element == "contained"
        || element.strip_prefix('_').is_some_and(is_known)
    {
        return;
    }
    let issue = match element {
        "modifierExtension" | "implicitRules" => Issue::new(
            "not-supported",
            "it could change the meaning and is not understood",
            path,
        ),
        _ => Issue::new("structure", "no such element here in FHIR R4", path),
    };
    issues.push(issue);
}

fn read_field(field: &Field, value: &Value, path: &str, issues: &mut Vec<Issue>) -> Option<Value> {
    match field.kind {
        Kind::Dropped => return None,
        Kind::Refused(why) => {
            issues.push(Issue::new("not-supported", why, path));
            return None;
        }
        _ => {}
    }
    if !field.is_list {
        return read_value(field.kind, value, path, issues);
    }
    let items = match value {
        Value::Array(items) if !items.is_empty() => items,
        _ => {
            issues.push(Issue::new(
                "structure",
                "a list that is not empty is due",
                path,
            ));
            return None;
        }
    };
    let items: Vec<Value> = items
        .iter()
        .enumerate()
        .filter_map(|(i, item)| read_value(field.kind, item, &format!("{path}[{i}]"), issues))
        .collect();
    (!items.is_empty()).then_some(Value::Array(items))
}

fn read_value(kind: Kind, value: &Value, path: &str, issues: &mut Vec<Issue>) -> Option<Value> {
    if let (Kind::Text, Some(text)) = (kind, value.as_str())
        && !is_lines(text)
    {
        let why = "control characters and marks of writing direction are not taken in texts";
        issues.push(Issue::new("value", why, path));
        return None;
    }
    let is_right = match kind {
        Kind::Text => value.as_str().is_some_and(|text| !text.trim().is_empty()),
        Kind::Time => value.as_str().is_some_and(is_time),
        Kind::Bool => value.is_boolean(),
        Kind::Int => value.is_i64(),
        Kind::Decimal => value.is_number(),
        Kind::Group(_) | Kind::Annotation => value.is_object(),
        Kind::Dropped | Kind::Refused(_) => return None,
    };
    let (Kind::Group(_) | Kind::Annotation, Value::Object(object)) = (kind, value) else {
        if is_right {
            return Some(value.clone());
        }
        let text = match kind {
            Kind::Text => "a text that is not empty is due",
            Kind::Time => "a date or time as in FHIR R4 is due",
            Kind::Bool => "true or false is due",
            Kind::Int => "an integer is due",
            Kind::Decimal => "a number is due",
            _ => "an object is due",
        };
        issues.push(Issue::new("structure", text, path));
        return None;
    };
    let claims = match kind {
        Kind::Group(table) => read(object, table, path, issues),
        _ => read_annotation(object, path, issues),
    };
    // An object of dropped elements alone says nothing.
    (!claims.is_empty()).then_some(Value::Object(claims))
}

fn read_annotation(
    object: &Map<String, Value>,
    path: &str,
    issues: &mut Vec<Issue>,
) -> Map<String, Value> {
    let mut claims = Map::new();
    for (element, value) in object {
        let at = format!("{path}.{element}");
        let (claim, kind, value) = match element.as_str() {
            "text" => ("text", Kind::Text, value),
            "time" => ("time", Kind::Time, value),
            "authorString" => ("author", Kind::Text, value),
            "authorReference" => {
                let named = value.get("display").or_else(|| value.get("reference"));
                ("author", Kind::Text, named.unwrap_or(&Value::Null))
            }
            _ => {
                check_unknown(element, &[], &at, issues);
                continue;
            }
        };
        if let Some(value) = read_value(kind, value, &at, issues) {
            claims.insert(claim.to_owned(), value);
        }
    }
    claims
}

/// The elements for `claims`; claims that the table does not name are the caller's.
pub(super) fn write(claims: &Map<String, Value>, table: &Table) -> Map<String, Value> {
    let mut claims = claims.clone();
    let mut identifier = Map::new();
    for name in ["system", "value"] {
        if let Some(value) = claims.remove(&format!("identifier_{name}")) {
            identifier.insert(name.to_owned(), value);
        }
    }
    if !identifier.is_empty() {
        claims.insert("identifier".to_owned(), identifier.into());
    }
    let mut out = Map::new();
    for field in table {
        if matches!(field.kind, Kind::Dropped | Kind::Refused(_)) {
            continue;
        }
        let written = match (claims.get(field.claim), field.is_list) {
            (None, _) => continue,
            (Some(Value::Array(items)), true) => items
                .iter()
                .map(|item| write_value(field.kind, item))
                .collect(),
            (Some(value), _) => write_value(field.kind, value),
        };
        out.insert(field.element.to_owned(), written);
    }
    out
}

fn write_value(kind: Kind, value: &Value) -> Value {
    match (kind, value) {
        (Kind::Group(table), Value::Object(claims)) => write(claims, table).into(),
        (Kind::Annotation, Value::Object(claims)) => claims
            .iter()
            .map(|(name, value)| {
                let element = if name == "author" {
                    "authorString"
                } else {
                    name
                };
                (element.to_owned(), value.clone())
            })
            .collect(),
        _ => value.clone(),
    }
}

/// Whether `text` is a FHIR R4 `date`, `dateTime` or `instant` that exists.
pub(super) fn is_time(text: &str) -> bool {
    let Some((date, time)) = text.split_once('T') else {
        return super::is_date(text);
    };
    let clock_end = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = time.split_at(clock_end);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    date.len() == 10
        && super::is_date(date)
        && is_clock(clock, 3)
        && (1..=9).contains(&fraction.len())
        && fraction.bytes().all(|b| b.is_ascii_digit())
        && (zone == "Z" || zone.get(1..).is_some_and(|zone| is_clock(zone, 2)))
}

/// `HH:MM` or `HH:MM:SS`; a leap second is fine.
fn is_clock(text: &str, parts: usize) -> bool {
    let limits = [23, 59, 60];
    let found: Vec<&str> = text.split(':').collect();
    found.len() == parts
        && found.iter().zip(limits).all(|(part, limit)| {
            part.len() == 2
                && part.bytes().all(|b| b.is_ascii_digit())
                && part.parse::<u32>().is_ok_and(|n| n <= limit)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for good in [
            "2024",
            "2024-02-29",
            "2024-02-29T23:59:60Z",
            "2024-02-29T00:00:00.123+09:00",
        ] {
            assert!(is_time(good), "{good}");
        }
        for bad in [
            "2024-02T10:00:00Z",
            "2024-02-29T10:00Z",
            "2024-02-29T24:00:00Z",
            "2024-02-29T10:00:00",
            "2024-02-29T10:00:00.Z",
            "2024-02-30T10:00:00Z",
            "2024-02-29T10:00:00+9",
        ] {
            assert!(!is_time(bad), "{bad}");
        }
    }
}
