//! JSON Canonicalization Scheme (RFC 8785).
//!
//! Ours, because a signature check takes 30 µs and the crates that do this take as long again (they parse every member
//! name a second time); numbers are written by `ryu-js`, and `serde_json_canonicalizer` is the oracle of the tests.

use std::cmp::Ordering;

use serde_json::{Map, Value};

/// The canonical form of an object, leaving out the top-level member `except`.
#[must_use]
pub(crate) fn object_without(object: &Map<String, Value>, except: Option<&str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(1_024);
    write_object(&mut out, object, except);
    out
}

/// The canonical form of a value. Its depth is that of the value: bound it before.
#[must_use]
pub fn canonical(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(1_024);
    write(&mut out, value);
    out
}

fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::String(text) => write_text(out, text),
        Value::Number(number) => {
            // JSON numbers are doubles here (§3.2.2.3); serde_json holds none that is not finite.
            let number = number.as_f64().unwrap_or_default();
            out.extend_from_slice(ryu_js::Buffer::new().format(number).as_bytes());
        }
        Value::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write(out, item);
            }
            out.push(b']');
        }
        Value::Object(object) => write_object(out, object, None),
    }
}

fn write_object(out: &mut Vec<u8>, object: &Map<String, Value>, except: Option<&str>) {
    let mut members: Vec<(&String, &Value)> = object
        .iter()
        .filter(|(name, _)| except != Some(name.as_str()))
        .collect();
    members.sort_unstable_by(|(a, _), (b, _)| by_utf16(a, b));
    out.push(b'{');
    for (at, (name, value)) in members.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_text(out, name);
        out.push(b':');
        write(out, value);
    }
    out.push(b'}');
}

/// Names are sorted by their UTF-16 code units (§3.2.3), which for ASCII is the order of bytes.
fn by_utf16(a: &str, b: &str) -> Ordering {
    if a.is_ascii() && b.is_ascii() {
        a.cmp(b)
    } else {
        a.encode_utf16().cmp(b.encode_utf16())
    }
}

/// A string as ECMAScript writes it (§3.2.2.2).
fn write_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut written = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            0x08 => b'b',
            0x09 => b't',
            0x0a => b'n',
            0x0c => b'f',
            0x0d => b'r',
            0x00..=0x1f => b'u',
            _ => continue,
        };
        out.extend_from_slice(&bytes[written..at]);
        out.extend_from_slice(&[b'\\', short]);
        if short == b'u' {
            out.extend_from_slice(format!("{byte:04x}").as_bytes());
        }
        written = at + 1;
    }
    out.extend_from_slice(&bytes[written..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn as_others_write_it(value in any_json()) {
            let theirs = serde_json_canonicalizer::to_vec(&value).unwrap();
            prop_assert_eq!(
                String::from_utf8(canonical(&value)).unwrap(),
                String::from_utf8(theirs).unwrap()
            );
        }
    }
}
