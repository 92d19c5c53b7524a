//! Deterministic CBOR (RFC 8949 section 4.2.1), strict when reading (`encoding.md`, section 1).
//!
//! A value is read, written again and compared: whatever is not the one deterministic encoding of what was understood is
//! refused. That covers indefinite lengths, long integers, unsorted, duplicate and unknown keys, and trailing bytes.

use minicbor::{Decode, Encode};

/// Why bytes are not the deterministic encoding of the expected shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    /// Longer than the format allows.
    #[error("{length} bytes, at most {limit} are allowed")]
    TooLong {
        /// Length in bytes.
        length: usize,
        /// Limit in bytes.
        limit: usize,
    },
    /// Not the expected shape.
    #[error("malformed CBOR: {0}")]
    Malformed(String),
    /// The right shape, written in another way than the deterministic one.
    #[error(
        "not the deterministic encoding (RFC 8949 section 4.2.1), or a key that this version does not know"
    )]
    NotCanonical,
}

/// The deterministic encoding of a value.
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    minicbor::encode(value, &mut bytes).expect("writing CBOR to memory cannot fail");
    bytes
}

/// Reads a value of at most `limit` bytes.
///
/// # Errors
/// [`CborError`] where the bytes are too long, malformed, or not deterministic.
pub fn decode<'b, T: Decode<'b, ()> + Encode<()>>(
    bytes: &'b [u8],
    limit: usize,
) -> Result<T, CborError> {
    if bytes.len() > limit {
        return Err(CborError::TooLong {
            length: bytes.len(),
            limit,
        });
    }
    let value: T =
        minicbor::decode(bytes).map_err(|error| CborError::Malformed(error.to_string()))?;
    let mut rest = Rest(bytes);
    match minicbor::encode(&value, &mut rest) {
        Ok(()) if rest.0.is_empty() => Ok(value),
        _ => Err(CborError::NotCanonical),
    }
}

/// What is left of the bytes that were read, while the value is written again over them: nothing is copied.
struct Rest<'b>(&'b [u8]);

/// Something else was written than was read.
#[derive(Debug)]
struct Differs;

impl minicbor::encode::Write for Rest<'_> {
    type Error = Differs;
    fn write_all(&mut self, written: &[u8]) -> Result<(), Differs> {
        self.0 = self.0.strip_prefix(written).ok_or(Differs)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Hash;

    #[derive(Encode, Decode, Debug, PartialEq)]
    #[cbor(map)]
    struct Sample {
        #[n(1)]
        number: u64,
        #[n(2)]
        text: Option<String>,
        #[n(3)]
        list: Vec<Hash>,
    }

    #[test]
    fn what_is_written_is_read() {
        let sample = Sample {
            number: 7,
            text: Some("手形".into()),
            list: vec![Hash([1; 32])],
        };
        assert_eq!(decode::<Sample>(&encode(&sample), 1000).unwrap(), sample);
    }

    #[test]
    fn other_encodings_are_refused() {
        for (name, hexadecimal) in [
            ("long integer", "a201180703 80".replace(' ', "")),
            ("indefinite map", "bf01070380ff".into()),
            ("indefinite list", "a20107039fff".into()),
            ("unsorted keys", "a203800107".into()),
            ("duplicate key", "a3010701070380".into()),
            ("unknown key", "a3010703800900".into()),
            ("null for absent", "a3010702f60380".into()),
            ("trailing byte", "a20107038000".into()),
        ] {
            let bytes = hex::decode(&hexadecimal).unwrap();
            assert!(decode::<Sample>(&bytes, 1000).is_err(), "{name}");
        }
        assert!(decode::<Sample>(&hex::decode("a201070380").unwrap(), 1000).is_ok());
    }

    #[test]
    fn a_long_list_announced_in_few_bytes_costs_nothing() {
        let bytes = hex::decode("a2010703 9bffffffffffffff00".replace(' ', "")).unwrap();
        assert!(decode::<Sample>(&bytes, 1000).is_err());
    }
}
