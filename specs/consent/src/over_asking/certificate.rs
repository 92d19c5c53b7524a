//! The one form of a certificate in evidence (`over-asking.md`, section 3): hardly a text in it that is not the organisation's.
//!
//! Read by hand, as the JSON is: what validators take must not change with a library's version.

use crate::organisation::Organisation;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `version`, `extensions`, and a key identifier's first member.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const KEY_ID: u8 = 0x80;
const DNS_NAME: u8 = 0x82;
const URI: u8 = 0x86;

/// `AlgorithmIdentifier`s: ECDSA with SHA-256 and SHA-384, and Ed25519.
const ECDSA: [&[u8]; 2] = [
    b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02",
    b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03",
];
const ED25519: &[u8] = b"\x30\x05\x06\x03\x2b\x65\x70";
/// Longest number of an ECDSA signature in bytes, with a key on P-384.
const SIGNATURE_NUMBER_MAX: usize = 49;
/// RFC 5280's bounds: a serial number in bytes, a name's part in characters.
const SERIAL_MAX: usize = 20;
const NAME_MAX: usize = 64;
/// Longest digest that is a key's identifier, in bytes.
const KEY_ID_MAX: usize = 32;

/// A certificate of the one form. Nobody has checked who signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    issuer: Vec<String>,
    subject: Vec<String>,
    dns_names: Vec<String>,
    uris: Vec<String>,
    /// `SubjectPublicKeyInfo`.
    pub(super) public_key: Vec<u8>,
}

impl Certificate {
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let mut whole = Der(der);
        let mut outer = Der(whole.value(SEQUENCE)?);
        whole.end()?;
        let mut body = Der(outer.value(SEQUENCE)?);
        let algorithm = outer.element(SEQUENCE)?;
        signature(algorithm, outer.value(BIT_STRING)?)?;
        outer.end()?;

        (body.value(VERSION)? == [INTEGER, 1, 2]).then_some(())?;
        body.positive(SERIAL_MAX)?;
        (body.element(SEQUENCE)? == algorithm).then_some(())?;
        let issuer = name(body.value(SEQUENCE)?)?;
        issuer.iter().all(|text| is_plain(text)).then_some(())?;
        let mut validity = Der(body.value(SEQUENCE)?);
        validity.time()?;
        validity.time()?;
        validity.end()?;
        let mut certificate = Self {
            issuer,
            subject: name(body.value(SEQUENCE)?)?,
            dns_names: Vec::new(),
            uris: Vec::new(),
            public_key: body.element(SEQUENCE)?.to_vec(),
        };
        if !body.0.is_empty() {
            let mut extensions = Der(body.value(EXTENSIONS)?);
            certificate.extensions(extensions.value(SEQUENCE)?)?;
            extensions.end()?;
        }
        body.end()?;
        Some(certificate)
    }

    /// Each of the known ones at most once, and at least one.
    fn extensions(&mut self, der: &[u8]) -> Option<()> {
        (!der.is_empty()).then_some(())?;
        let (mut rest, mut seen) = (Der(der), Vec::new());
        while !rest.0.is_empty() {
            let mut extension = Der(rest.value(SEQUENCE)?);
            // id-ce is 2.5.29.
            let [0x55, 0x1d, kind] = *extension.value(OBJECT)? else {
                return None;
            };
            if extension.0.first() == Some(&BOOLEAN) {
                (extension.value(BOOLEAN)? == [0xff]).then_some(())?;
            }
            let mut value = Der(extension.value(OCTET_STRING)?);
            extension.end()?;
            (!seen.contains(&kind)).then_some(())?;
            seen.push(kind);
            match kind {
                // subjectKeyIdentifier
                14 => (value.value(OCTET_STRING)?.len() <= KEY_ID_MAX).then_some(())?,
                15 => key_usage(value.value(BIT_STRING)?)?,
                // subjectAltName
                17 => self.alternative_names(value.value(SEQUENCE)?)?,
                // basicConstraints, of one that signs no others
                19 => value.value(SEQUENCE)?.is_empty().then_some(())?,
                // authorityKeyIdentifier, by the key alone
                35 => {
                    let mut id = Der(value.value(SEQUENCE)?);
                    (id.value(KEY_ID)?.len() <= KEY_ID_MAX).then_some(())?;
                    id.end()?;
                }
                _ => return None,
            }
            value.end()?;
        }
        Some(())
    }

    fn alternative_names(&mut self, der: &[u8]) -> Option<()> {
        (!der.is_empty()).then_some(())?;
        let mut rest = Der(der);
        while let Some(tag) = rest.0.first().copied() {
            let text = str::from_utf8(rest.value(tag)?).ok()?.to_owned();
            match tag {
                DNS_NAME => self.dns_names.push(text),
                URI => self.uris.push(text),
                _ => return None,
            }
        }
        Some(())
    }

    /// The issuer's name: the one text that the registry does not have.
    pub(super) fn issuer(&self) -> &[String] {
        &self.issuer
    }

    /// Whether every name in it, but the issuer's, is one that the registry has of this organisation.
    pub(super) fn names_only(&self, organisation: &Organisation) -> bool {
        let name = &organisation.name;
        let urls = || organisation.services.iter().map(|service| &service.url);
        let web = organisation.did.strip_prefix("did:web:");
        let host = |text: &String| {
            let hosts = urls().filter_map(|url| url.split("://").nth(1)).chain(web);
            hosts
                .filter_map(|rest| rest.split(['/', ':', '%']).next())
                .any(|host| !host.is_empty() && host == text)
        };
        let own = |text: &String| [&name.ja, &name.en].contains(&text) || host(text);
        self.subject.iter().all(own)
            && self.dns_names.iter().all(host)
            && self.uris.iter().all(|uri| urls().any(|url| url == uri))
    }
}

/// Elements of DER, one after the other.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element, which has this tag, with tag and length.
    fn element(&mut self, tag: u8) -> Option<&'a [u8]> {
        let whole = self.0;
        let value = self.value(tag)?;
        let head = whole.len() - self.0.len() - value.len();
        whole.get(..head + value.len())
    }

    /// The value of the next element, which has this tag. Lengths have their shortest form, of at most two bytes more.
    fn value(&mut self, tag: u8) -> Option<&'a [u8]> {
        let rest = self.0.strip_prefix(&[tag])?;
        let (length, rest) = match *rest {
            [length, ref rest @ ..] if length < 0x80 => (usize::from(length), rest),
            [0x81, length, ref rest @ ..] if length >= 0x80 => (usize::from(length), rest),
            [0x82, high, low, ref rest @ ..] if high > 0 => {
                (usize::from(high) << 8 | usize::from(low), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(value)
    }

    /// A number above zero, in its shortest form, of at most so many bytes.
    fn positive(&mut self, most: usize) -> Option<()> {
        let number = self.value(INTEGER)?;
        let is_shortest = match *number {
            [0, next, ..] => next >= 0x80,
            [first, ..] => (1..0x80).contains(&first),
            [] => false,
        };
        (is_shortest && number.len() <= most).then_some(())
    }

    fn time(&mut self) -> Option<()> {
        let (text, length) = match self.0.first() {
            Some(&UTC_TIME) => (self.value(UTC_TIME)?, 13),
            _ => (self.value(GENERALIZED_TIME)?, 15),
        };
        let (end, digits) = text.split_last()?;
        let is_time = text.len() == length && *end == b'Z' && digits.iter().all(u8::is_ascii_digit);
        is_time.then_some(())
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// Organisation and common name, each at most once; and the country likewise, which is left out here: it is two letters.
fn name(der: &[u8]) -> Option<Vec<String>> {
    let (mut rest, mut kinds, mut texts) = (Der(der), Vec::new(), Vec::new());
    while !rest.0.is_empty() {
        let mut set = Der(rest.value(SET)?);
        let mut part = Der(set.value(SEQUENCE)?);
        set.end()?;
        // id-at is 2.5.4; 3 is the common name, 6 the country, 10 the organisation.
        let [0x55, 0x04, kind @ (3 | 6 | 10)] = *part.value(OBJECT)? else {
            return None;
        };
        (!kinds.contains(&kind)).then_some(())?;
        kinds.push(kind);
        let text = match part.0.first() {
            Some(&UTF8_STRING) => part.value(UTF8_STRING)?,
            _ => part.value(PRINTABLE_STRING)?,
        };
        part.end()?;
        let text = str::from_utf8(text).ok()?;
        if kind == 6 {
            is_country(text).then_some(())?;
        } else {
            texts.push(text.to_owned());
        }
    }
    Some(texts)
}

/// Whether it may be an authority's name.
fn is_plain(text: &str) -> bool {
    (1..=NAME_MAX).contains(&text.chars().count())
        && !text.chars().any(|c| c.is_control() || c == '@')
}

fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// At least one of nine bits, and after the last that is set nothing (X.690, section 11.2).
fn key_usage(bits: &[u8]) -> Option<()> {
    let (unused, used) = bits.split_first()?;
    let (unused, last) = (u32::from(*unused), used.last()?);
    let is_last_set = *last != 0 && last.trailing_zeros() == unused;
    (is_last_set && 8 * used.len() <= 9 + unused as usize).then_some(())
}

/// Has the form of one by this algorithm. That it holds is not asked: whose key it would be is not on the ledger.
fn signature(algorithm: &[u8], bits: &[u8]) -> Option<()> {
    let (0, signature) = bits.split_first()? else {
        return None;
    };
    if algorithm == ED25519 {
        return (signature.len() == 64).then_some(());
    }
    ECDSA.contains(&algorithm).then_some(())?;
    let mut whole = Der(signature);
    let mut numbers = Der(whole.value(SEQUENCE)?);
    whole.end()?;
    numbers.positive(SIGNATURE_NUMBER_MAX)?;
    numbers.positive(SIGNATURE_NUMBER_MAX)?;
    numbers.end()
}
