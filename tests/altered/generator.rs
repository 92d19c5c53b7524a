//! Every change of one place in an artefact: a number one more or less, one character of a text, one bit of bytes, an element
//! or member left out, twice or too many. What is encoded within another format is changed within.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ciborium::Value as Cbor;
use serde_json::Value as Json;
use std::io::{Read, Write};

/// What was done to a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum How {
    Changed,
    Removed,
    Doubled,
    Added,
}

/// An artefact with one change.
pub(crate) struct Altered {
    /// Where, from the outside in.
    pub(crate) place: String,
    pub(crate) how: How,
    pub(crate) bytes: Vec<u8>,
}

/// How an artefact is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One CBOR item.
    Cbor,
    /// Items one after the other (RFC 8742).
    CborSequence,
    Json,
    Jws,
    SdJwt,
    /// Base45 of zlib of COSE, after `HC1:`.
    Hcert,
    /// A JWS whose payload is compressed.
    Shc,
}

/// All changes, and what stays the same when nothing is changed: the artefact itself.
pub(crate) fn alterations(form: Form, artefact: &[u8]) -> Vec<Altered> {
    let text = || std::str::from_utf8(artefact).unwrap().trim();
    let (whole, changes): (Vec<u8>, Changes<Vec<u8>>) = match form {
        Form::Cbor => {
            let value = read(artefact).expect("one CBOR item");
            (
                write(&value),
                mapped(of_cbor(&value), |value| write(&value)),
            )
        }
        Form::CborSequence => {
            let items = sequence(artefact);
            let joined = |items: Vec<Cbor>| items.iter().flat_map(write).collect();
            let changes = of_items(&items).into_iter();
            let changes =
                changes.map(|(place, how, items)| (of_export(&place, artefact), how, items));
            (joined(items.clone()), mapped(changes.collect(), joined))
        }
        Form::Json => {
            let value: Json = serde_json::from_slice(artefact).unwrap();
            let bytes = |value: Json| value.to_string().into_bytes();
            // People's files have white space; what they say is what counts.
            let _ = bytes(value.clone());
            (artefact.to_vec(), mapped(of_json(&value), bytes))
        }
        Form::Jws => (
            text().into(),
            mapped(of_jws(text(), &Plain), String::into_bytes),
        ),
        Form::Shc => (
            text().into(),
            mapped(of_jws(text(), &Deflated), String::into_bytes),
        ),
        Form::SdJwt => (text().into(), mapped(of_sd_jwt(text()), String::into_bytes)),
        Form::Hcert => {
            let cose = inflated(&base45::decode(&text()[4..]).unwrap());
            let bytes = |value: Cbor| {
                let text = format!("HC1:{}", base45::encode(deflated(&write(&value))));
                text.into_bytes()
            };
            let value = read(&cose).unwrap();
            assert_eq!(write(&value), cose, "the walk itself changes nothing");
            (artefact.to_vec(), mapped(of_cbor(&value), bytes))
        }
    };
    assert_eq!(whole, artefact, "the walk itself changes nothing");
    let altered = |(place, how, bytes)| Altered { place, how, bytes };
    changes.into_iter().map(altered).collect()
}

/// A place in an export with its item called by its kind instead of its number.
fn of_export(place: &str, artefact: &[u8]) -> String {
    const KINDS: [&str; 7] = ["head", "index", "drawer", "list", "record", "order", "end"];
    let (number, rest) = match place.split_once('/') {
        Some((number, rest)) => (number, format!("/{rest}")),
        None => (place, String::new()),
    };
    let item = &sequence(artefact)[number.parse::<usize>().unwrap()];
    let kind = item.as_array().unwrap()[0].as_integer().unwrap();
    format!(
        "{}{rest}",
        KINDS[usize::try_from(i128::from(kind)).unwrap()]
    )
}

/// Place, what was done, and the whole with that change.
type Changes<T> = Vec<(String, How, T)>;

fn mapped<T, U>(changes: Changes<T>, to: impl Fn(T) -> U) -> Changes<U> {
    let changes = changes.into_iter();
    changes
        .map(|(place, how, whole)| (place, how, to(whole)))
        .collect()
}

/// The changes of a part, each put into its whole.
fn within<T, U>(part: &str, changes: Changes<T>, put: impl Fn(T) -> U) -> Changes<U> {
    let changes = changes.into_iter();
    let named = |place: String| match place.is_empty() {
        true => part.to_owned(),
        false => format!("{part}/{place}"),
    };
    changes
        .map(|(place, how, value)| (named(place), how, put(value)))
        .collect()
}

pub(crate) fn of_cbor(value: &Cbor) -> Changes<Cbor> {
    let changed = |value: Cbor| (String::new(), How::Changed, value);
    match value {
        Cbor::Integer(number) => {
            let number = i128::from(*number);
            let near = [number - 1, number + 1].into_iter();
            let near = near.filter_map(|near| ciborium::value::Integer::try_from(near).ok());
            // A key of the map around it may have the sign of its numbers; one below zero is another kind in CBOR.
            near.map(|near| changed(Cbor::Integer(near))).collect()
        }
        Cbor::Bytes(bytes) => match read(bytes).filter(is_nested) {
            Some(inner) => mapped(of_cbor(&inner), |inner| Cbor::Bytes(write(&inner))),
            None => flipped(bytes)
                .into_iter()
                .map(|bytes| changed(Cbor::Bytes(bytes)))
                .collect(),
        },
        Cbor::Text(text) => vec![changed(Cbor::Text(other_text(text)))],
        Cbor::Bool(flag) => vec![changed(Cbor::Bool(!flag))],
        Cbor::Null => vec![changed(Cbor::from(0))],
        Cbor::Tag(18, inner) => {
            let parts = inner.as_array().expect("a COSE_Sign1 is an array");
            let tagged = |parts| Cbor::Tag(18, Box::new(Cbor::Array(parts)));
            mapped(
                named_elements(parts, &["protected", "unprotected", "payload", "signature"]),
                tagged,
            )
        }
        Cbor::Tag(tag, inner) => mapped(of_cbor(inner), |inner| Cbor::Tag(*tag, Box::new(inner))),
        Cbor::Array(items) => mapped(of_items(items), Cbor::Array),
        Cbor::Map(members) => {
            let mut all = Vec::new();
            for (index, (key, value)) in members.iter().enumerate() {
                let put = |value| {
                    let mut members = members.clone();
                    members[index].1 = value;
                    Cbor::Map(members)
                };
                let name = match key {
                    Cbor::Integer(number) => i128::from(*number).to_string(),
                    Cbor::Text(text) => text.clone(),
                    other => format!("{other:?}"),
                };
                all.extend(within(&name, of_cbor(value), put));
                let mut fewer = members.clone();
                fewer.remove(index);
                all.push((name, How::Removed, Cbor::Map(fewer)));
            }
            let mut more = members.clone();
            more.push((Cbor::from(99), Cbor::from(0)));
            all.push((String::new(), How::Added, Cbor::Map(more)));
            all
        }
        other => panic!("no artefact has {other:?}"),
    }
}

fn of_items(items: &[Cbor]) -> Changes<Vec<Cbor>> {
    let mut all = named_elements(items, &[]);
    for index in 0..items.len() {
        let mut fewer = items.to_vec();
        fewer.remove(index);
        all.push((index.to_string(), How::Removed, fewer));
        let mut more = items.to_vec();
        more.insert(index, items[index].clone());
        all.push((index.to_string(), How::Doubled, more));
    }
    all
}

fn named_elements(items: &[Cbor], names: &[&str]) -> Changes<Vec<Cbor>> {
    let mut all = Vec::new();
    for (index, value) in items.iter().enumerate() {
        let put = |value| {
            let mut items = items.to_vec();
            items[index] = value;
            items
        };
        let name = names
            .get(index)
            .map_or_else(|| index.to_string(), |name| (*name).to_owned());
        all.extend(within(&name, of_cbor(value), put));
    }
    all
}

pub(crate) fn of_json(value: &Json) -> Changes<Json> {
    let changed = |value: Json| (String::new(), How::Changed, value);
    match value {
        Json::Null => vec![changed(Json::Bool(true))],
        Json::Bool(flag) => vec![changed(Json::Bool(!flag))],
        Json::Number(number) => match (number.as_u64(), number.as_f64()) {
            (Some(number), _) => {
                let near = [number.checked_sub(1), number.checked_add(1)];
                near.into_iter()
                    .flatten()
                    .map(|near| changed(near.into()))
                    .collect()
            }
            (None, Some(number)) => vec![changed((number + 0.5).into()), changed((-number).into())],
            _ => panic!("no artefact has {number}"),
        },
        Json::String(text) => vec![changed(Json::String(other_text(text)))],
        Json::Array(items) => {
            let mut all = Vec::new();
            for (index, item) in items.iter().enumerate() {
                let put = |item| {
                    let mut items = items.clone();
                    items[index] = item;
                    Json::Array(items)
                };
                let name = index.to_string();
                all.extend(within(&name, of_json(item), put));
                let mut fewer = items.clone();
                fewer.remove(index);
                all.push((name.clone(), How::Removed, Json::Array(fewer)));
                let mut more = items.clone();
                more.insert(index, item.clone());
                all.push((name, How::Doubled, Json::Array(more)));
            }
            all
        }
        Json::Object(members) => {
            let mut all = Vec::new();
            for (name, value) in members {
                let put = |value| {
                    let mut members = members.clone();
                    members.insert(name.clone(), value);
                    Json::Object(members)
                };
                all.extend(within(name, of_json(value), put));
                let mut fewer = members.clone();
                fewer.remove(name);
                all.push((name.clone(), How::Removed, Json::Object(fewer)));
            }
            let mut more = members.clone();
            more.insert("altered".to_owned(), Json::Bool(true));
            all.push((String::new(), How::Added, Json::Object(more)));
            all
        }
    }
}

/// How the payload of a JWS is packed.
trait Packing {
    fn pack(&self, bytes: &[u8]) -> Vec<u8>;
    fn unpack(&self, bytes: &[u8]) -> Vec<u8>;
}

struct Plain;
struct Deflated;

impl Packing for Plain {
    fn pack(&self, bytes: &[u8]) -> Vec<u8> {
        bytes.to_vec()
    }
    fn unpack(&self, bytes: &[u8]) -> Vec<u8> {
        bytes.to_vec()
    }
}

impl Packing for Deflated {
    fn pack(&self, bytes: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }
    fn unpack(&self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        flate2::read::DeflateDecoder::new(bytes)
            .read_to_end(&mut out)
            .unwrap();
        out
    }
}

fn of_jws(token: &str, packing: &dyn Packing) -> Changes<String> {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        panic!("not a JWS: {token}");
    };
    let mut all = Vec::new();
    let in_header = |text: String| format!("{text}.{payload}.{signature}");
    all.extend(within("header", of_part(header, &Plain), in_header));
    let in_payload = |text: String| format!("{header}.{text}.{signature}");
    all.extend(within("payload", of_part(payload, packing), in_payload));
    for bytes in flipped(&decoded(signature)) {
        let text = format!("{header}.{payload}.{}", encoded(&bytes));
        all.push(("signature".to_owned(), How::Changed, text));
    }
    all
}

/// The changes of JSON in base64url.
fn of_part(part: &str, packing: &dyn Packing) -> Changes<String> {
    let value: Json = serde_json::from_slice(&packing.unpack(&decoded(part))).unwrap();
    let text = |value: Json| encoded(&packing.pack(value.to_string().as_bytes()));
    assert_eq!(text(value.clone()), part, "the walk itself changes nothing");
    mapped(of_json(&value), text)
}

fn of_sd_jwt(text: &str) -> Changes<String> {
    let parts: Vec<&str> = text.split('~').collect();
    let last = parts.len() - 1;
    let mut all = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let joined = |changed: &[&str]| {
            [&parts[..index], changed, &parts[index + 1..]]
                .concat()
                .join("~")
        };
        let put = |part: String| joined(&[part.as_str()]);
        if index == 0 {
            all.extend(within("issuer", of_jws(part, &Plain), put));
        } else if index < last {
            all.extend(within("disclosure", of_part(part, &Plain), put));
            all.push(("disclosure".to_owned(), How::Removed, joined(&[])));
            all.push(("disclosure".to_owned(), How::Doubled, joined(&[part, part])));
        } else if !part.is_empty() {
            all.extend(within("binding", of_jws(part, &Plain), put));
        }
    }
    all
}

/// One bit less or more: in the first byte, in the middle, in the last; and the last byte left out.
fn flipped(bytes: &[u8]) -> Vec<Vec<u8>> {
    let Some(last) = bytes.len().checked_sub(1) else {
        return vec![vec![0]];
    };
    let mut all: Vec<Vec<u8>> = vec![bytes[..last].to_vec()];
    for place in [0, last / 2, last] {
        let mut changed = bytes.to_vec();
        changed[place] ^= 1;
        if !all.contains(&changed) {
            all.push(changed);
        }
    }
    all
}

/// Another character of the same kind in the middle.
fn other_text(text: &str) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    let Some(character) = characters.len().checked_sub(1).map(|last| last / 2) else {
        return "a".to_owned();
    };
    let character = &mut characters[character];
    *character = match *character {
        '1' => '2',
        '0'..='9' => '1', // base58 has no 0
        'a' => 'b',
        'A' => 'B',
        'A'..='Z' => 'A',
        _ => 'a',
    };
    characters.into_iter().collect()
}

/// One CBOR item, written as it would be again.
pub(crate) fn read(bytes: &[u8]) -> Option<Cbor> {
    let value: Cbor = ciborium::from_reader(bytes).ok()?;
    (write(&value) == bytes).then_some(value)
}

pub(crate) fn write(value: &Cbor) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

/// Bytes that happen to be a small item are bytes.
fn is_nested(value: &Cbor) -> bool {
    matches!(value, Cbor::Array(_) | Cbor::Map(_) | Cbor::Tag(..))
}

fn sequence(bytes: &[u8]) -> Vec<Cbor> {
    let mut rest = bytes;
    let mut items = Vec::new();
    while !rest.is_empty() {
        items.push(ciborium::from_reader(&mut rest).unwrap());
    }
    items
}

fn decoded(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn inflated(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::ZlibDecoder::new(bytes)
        .read_to_end(&mut out)
        .unwrap();
    out
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}
