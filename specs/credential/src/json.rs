//! Strict JSON for what others send: bounded depth, no member name twice.
//!
//! RFC 8259 leaves the meaning of a repeated name open and parsers differ, so a signed document
//! with one could mean two things to two readers. It means nothing here.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The deepest nesting of arrays and objects accepted anywhere in a credential.
pub const MAX_DEPTH: usize = 32;

/// Why a text is not the JSON object we accept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    /// Not JSON, or not of the wanted type.
    #[error("not the JSON that is wanted")]
    Malformed,
    /// A member name occurs twice in one object.
    #[error("the member `{0}` is there twice")]
    DuplicateName(String),
    /// More than 32 containers inside one another.
    #[error("more than {MAX_DEPTH} containers inside one another")]
    TooDeep,
}

/// Parses any JSON value.
///
/// # Errors
/// [`JsonFault`].
pub fn parse(bytes: &[u8]) -> Result<Value, JsonFault> {
    let mut fault = None;
    let mut de = serde_json::Deserializer::from_slice(bytes);
    let seed = Strict {
        depth: 0,
        fault: &mut fault,
    };
    match seed
        .deserialize(&mut de)
        .and_then(|value| de.end().map(|()| value))
    {
        Ok(value) => Ok(value),
        Err(_) => Err(fault.unwrap_or(JsonFault::Malformed)),
    }
}

/// Parses a JSON object.
///
/// # Errors
/// [`JsonFault`].
pub fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, JsonFault> {
    match parse(bytes)? {
        Value::Object(map) => Ok(map),
        _ => Err(JsonFault::Malformed),
    }
}

/// Whether `value` nests more than `limit` containers; never descends further than that.
pub(crate) fn is_deeper_than(value: &Value, limit: usize) -> bool {
    match value {
        Value::Array(items) => limit == 0 || items.iter().any(|v| is_deeper_than(v, limit - 1)),
        Value::Object(map) => limit == 0 || map.values().any(|v| is_deeper_than(v, limit - 1)),
        _ => false,
    }
}

struct Strict<'a> {
    depth: usize,
    fault: &'a mut Option<JsonFault>,
}

impl Strict<'_> {
    fn inner<E: Error>(&mut self) -> Result<usize, E> {
        if self.depth == MAX_DEPTH {
            *self.fault = Some(JsonFault::TooDeep);
            return Err(E::custom("too deep"));
        }
        Ok(self.depth + 1)
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E: Error>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }
    fn visit_i64<E: Error>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_u64<E: Error>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_f64<E: Error>(self, v: f64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_str<E: Error>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_string<E: Error>(self, v: String) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Value, A::Error> {
        let depth = self.inner()?;
        let mut out = Vec::new();
        while let Some(v) = seq.next_element_seed(Strict {
            depth,
            fault: &mut *self.fault,
        })? {
            out.push(v);
        }
        Ok(Value::Array(out))
    }
    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value, A::Error> {
        let depth = self.inner()?;
        let mut out = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if out.contains_key(&name) {
                *self.fault = Some(JsonFault::DuplicateName(name));
                return Err(A::Error::custom("duplicate name"));
            }
            let value = map.next_value_seed(Strict {
                depth,
                fault: &mut *self.fault,
            })?;
            out.insert(name, value);
        }
        Ok(Value::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_serde_json_accepts() {
        let text = r#"{"a":[1,-2,1.5,null,true,"é"],"b":{"c":{}}}"#;
        assert_eq!(
            parse(text.as_bytes()).unwrap(),
            serde_json::from_str::<Value>(text).unwrap()
        );
    }

    #[test]
    fn refuses_duplicate_names_at_any_level() {
        let fault = parse(br#"{"a":[{"b":1,"b":2}]}"#).unwrap_err();
        assert_eq!(fault, JsonFault::DuplicateName("b".into()));
        // The same name written with an escape is the same name.
        assert_eq!(
            parse(br#"{"a":1,"\u0061":2}"#).unwrap_err(),
            JsonFault::DuplicateName("a".into())
        );
    }

    #[test]
    fn refuses_depth_and_rubbish() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert_eq!(
            parse(nested(MAX_DEPTH + 1).as_bytes()).unwrap_err(),
            JsonFault::TooDeep
        );
        assert_eq!(
            parse(nested(100_000).as_bytes()).unwrap_err(),
            JsonFault::TooDeep
        );
        assert_eq!(parse(b"{} x").unwrap_err(), JsonFault::Malformed);
        assert_eq!(parse_object(b"[]").unwrap_err(), JsonFault::Malformed);
        assert!(!is_deeper_than(&parse(b"[[1]]").unwrap(), 2));
        assert!(is_deeper_than(&parse(b"[[1]]").unwrap(), 1));
    }
}
