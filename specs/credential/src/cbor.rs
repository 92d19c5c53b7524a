//! Strict CBOR (RFC 8949) for what others send: bounded depth, no map key twice, nothing behind it.
//!
//! Lengths are never believed: what an item says it holds is read piece by piece, so memory stays
//! in proportion to the input, which the callers bound.

use std::collections::BTreeSet;

use ciborium::Value;
use ciborium::de::Error;

use crate::json::MAX_DEPTH;

/// Why bytes are not the CBOR we accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CborFault {
    /// Not one well-formed item, or something behind it, or a map key that is no number or text.
    Malformed,
    /// A key occurs twice in one map.
    DuplicateKey,
    /// More than [`MAX_DEPTH`] containers and tags inside one another.
    TooDeep,
}

/// Reads one item.
pub(crate) fn parse(mut bytes: &[u8]) -> Result<Value, CborFault> {
    let read = ciborium::de::from_reader_with_recursion_limit(&mut bytes, MAX_DEPTH);
    let value: Value = read.map_err(|error| match error {
        Error::RecursionLimitExceeded => CborFault::TooDeep,
        _ => CborFault::Malformed,
    })?;
    if !bytes.is_empty() {
        return Err(CborFault::Malformed);
    }
    check_keys(&value)?;
    Ok(value)
}

/// Writes one item.
pub(crate) fn encode(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).expect("writing to a Vec cannot fail");
    out
}

/// The value at an integer key of a map.
pub(crate) fn get(map: &[(Value, Value)], key: i64) -> Option<&Value> {
    let key = Value::from(key);
    map.iter()
        .find(|(found, _)| *found == key)
        .map(|(_, value)| value)
}

fn check_keys(value: &Value) -> Result<(), CborFault> {
    match value {
        Value::Array(items) => items.iter().try_for_each(check_keys),
        Value::Tag(_, inner) => check_keys(inner),
        Value::Map(entries) => {
            let mut seen = BTreeSet::new();
            for (key, value) in entries {
                if !matches!(key, Value::Integer(_) | Value::Text(_)) {
                    return Err(CborFault::Malformed);
                }
                // However a key was written, it is written here in its shortest form.
                if !seen.insert(encode(key)) {
                    return Err(CborFault::DuplicateKey);
                }
                check_keys(value)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_could_mean_two_things() {
        assert!(parse(&[0xa2, 0x01, 0x02, 0x03, 0x04]).is_ok());
        // The same key, once in one byte and once in two.
        assert_eq!(
            parse(&[0xa2, 0x01, 0x02, 0x18, 0x01, 0x04]).unwrap_err(),
            CborFault::DuplicateKey
        );
        assert_eq!(
            parse(&[0x81, 0xa2, 0x61, b'a', 0x02, 0x61, b'a', 0x04]).unwrap_err(),
            CborFault::DuplicateKey
        );
        assert_eq!(parse(&[0x01, 0x01]).unwrap_err(), CborFault::Malformed);
        assert_eq!(
            parse(&[0xa1, 0xf6, 0x01]).unwrap_err(),
            CborFault::Malformed
        );
        assert_eq!(parse(&[]).unwrap_err(), CborFault::Malformed);
    }

    #[test]
    fn refuses_depth_and_lengths_that_lie() {
        assert_eq!(parse(&[0x81; 5000]).unwrap_err(), CborFault::TooDeep);
        assert_eq!(parse(&[0xc1; 5000]).unwrap_err(), CborFault::TooDeep);
        for head in [0x5b, 0x7b, 0x9b, 0xbb] {
            let mut bytes = vec![head];
            bytes.extend([0xff; 8]);
            assert_eq!(parse(&bytes).unwrap_err(), CborFault::Malformed, "{head:x}");
        }
    }
}
