//! Whom limits are counted for: addresses, and networks where one caller has many; behind proxies, who came to them.
//!
//! Architecture invariant: what a header says of an address counts only as far as proxies of the configuration wrote it.
//! Whoever else writes such a header is counted by the connection.

use crate::config::{ForwardedHeader, HttpConfig};
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use serde::Deserialize;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

/// Most entries of a header that are read, from the last one: proxies before proxies.
const HOPS_MAX: usize = 16;

/// Extractor: where a request comes from, as limits count it; `None` for this machine itself and for trusted proxies that do
/// not say: these stand for all callers, and have limits of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(pub Option<IpAddr>);

impl Address {
    /// Of a connection. Of IPv6 the first 64 bits count: whoever has one address has the others, too.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            own if own.is_loopback() => None,
            IpAddr::V4(address) => Some(address.into()),
            IpAddr::V6(address) => {
                let network = address.to_bits() >> 64 << 64;
                Some(Ipv6Addr::from_bits(network).into())
            }
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Address {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let Some(ConnectInfo(from)) = parts.extensions.get::<ConnectInfo<SocketAddr>>() else {
            return Ok(Self(None));
        };
        Ok(match parts.extensions.get::<Proxies>() {
            Some(proxies) => proxies.request(from.ip(), &parts.headers),
            None => Self::of(from.ip()),
        })
    }
}

/// A network in CIDR notation, such as `10.0.0.0/8` or `2001:db8::/32`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    /// IPv4 as IPv6 (`::ffff:0:0/96`).
    base: Ipv6Addr,
    prefix_bits: u32,
}

/// Why a text is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The part before the slash.
    #[error("a network begins with an IP address, such as 10.0.0.0/8")]
    Address,
    /// The part behind it.
    #[error("behind the slash of a network is a number of bits that its address has")]
    Prefix,
    /// Likely another network was meant.
    #[error("the address of a network has bits beyond its prefix")]
    HostBits,
}

impl FromStr for Network {
    type Err = NetworkError;
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Address)?;
        let own_bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix: u32 = match prefix {
            None => own_bits,
            Some(prefix) => prefix.parse().map_err(|_| NetworkError::Prefix)?,
        };
        if prefix > own_bits {
            return Err(NetworkError::Prefix);
        }
        let network = Self {
            base: mapped(address),
            prefix_bits: 128 - own_bits + prefix,
        };
        let is_base = network.base.to_bits() & network.host_mask() == 0;
        is_base.then_some(network).ok_or(NetworkError::HostBits)
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;
    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl Network {
    /// Whether an address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        (mapped(address).to_bits() ^ self.base.to_bits()) & !self.host_mask() == 0
    }

    fn host_mask(&self) -> u128 {
        u128::MAX.checked_shr(self.prefix_bits).unwrap_or(0)
    }
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// Whose word is taken for where a request comes from.
#[derive(Debug, Clone)]
pub(super) struct Proxies {
    trusted: Arc<[Network]>,
    header: ForwardedHeader,
}

impl Proxies {
    pub(super) fn new(config: &HttpConfig) -> Self {
        Self {
            trusted: config.trusted_proxies.clone().into(),
            header: config.forwarded_header,
        }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// Where a connection comes from.
    pub(super) fn connection(&self, from: IpAddr) -> Address {
        if self.trusts(from) {
            return Address(None);
        }
        Address::of(from)
    }

    /// Where a request comes from: over a trusted proxy, the last one in the header that is none.
    fn request(&self, from: IpAddr, headers: &HeaderMap) -> Address {
        if !self.trusts(from) {
            return Address::of(from);
        }
        let lines = headers.get_all(self.header.name()).iter().rev();
        let entries = lines.flat_map(|line| self.header.entries(line.as_bytes()));
        for entry in entries.take(HOPS_MAX) {
            match entry.map_or(Said::Malformed, |entry| self.header.read(entry)) {
                Said::Address(hop) if self.trusts(hop) => {}
                Said::Address(caller) => return Address::of(caller),
                Said::Nobody => break,
                Said::Malformed => return Address::of(from),
            }
        }
        Address(None)
    }
}

/// What an entry of a header says.
enum Said {
    Address(IpAddr),
    /// A proxy that does not tell.
    Nobody,
    /// No proxy writes that; if a caller got one to, he is counted all the same.
    Malformed,
}

impl ForwardedHeader {
    const fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }

    /// The entries of a header line.
    fn entries(self, line: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
        from_the_end(line, b',', self == Self::Forwarded)
    }

    fn read(self, entry: &[u8]) -> Said {
        match self {
            Self::XForwardedFor => node(entry),
            Self::Forwarded => forwarded(entry).unwrap_or(Said::Malformed),
        }
    }
}

/// An entry of `Forwarded` (RFC 7239 section 4): pairs, each name once. `None` where it is malformed.
fn forwarded(entry: &[u8]) -> Option<Said> {
    let mut found = None;
    for pair in from_the_end(entry, b';', true) {
        let pair = pair?.trim_ascii();
        if pair.is_empty() {
            continue;
        }
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (&pair[..at], &pair[at + 1..]);
        let quoted = value
            .strip_prefix(b"\"")
            .and_then(|rest| rest.strip_suffix(b"\""));
        if quoted.is_none() && value.contains(&b'"') {
            return None;
        }
        if name.eq_ignore_ascii_case(b"for") && found.replace(quoted.unwrap_or(value)).is_some() {
            return None;
        }
    }
    Some(found.map_or(Said::Nobody, node))
}

/// Splits at `separator`, the last part first; with `quotes`, not inside of quoted strings (RFC 9110 section 5.6.4). `None`,
/// and nothing more, where a quoted string does not begin.
///
/// From the end, and as bytes: what a caller wrote before it must not hide or change what the proxy added.
fn from_the_end(text: &[u8], separator: u8, quotes: bool) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let mut end = text.len();
        while let Some(at) = text[..end]
            .iter()
            .rposition(|byte| *byte == separator || quotes && *byte == b'"')
        {
            if text[at] == separator {
                rest = Some(&text[..at]);
                return Some(Some(&text[at + 1..]));
            }
            match opening_quote(&text[..at]) {
                Some(opening) => end = opening,
                None => return Some(None),
            }
        }
        Some(Some(text))
    })
}

/// Where the quoted string begins of which this is the end.
fn opening_quote(text: &[u8]) -> Option<usize> {
    let mut end = text.len();
    loop {
        end = text[..end].iter().rposition(|byte| *byte == b'"')?;
        let before = text[..end].iter().rev();
        if before.take_while(|byte| **byte == b'\\').count() % 2 == 0 {
            return Some(end);
        }
    }
}

/// An address with or without port; IPv6 with or without brackets.
fn node(text: &[u8]) -> Said {
    let address = || {
        let text = std::str::from_utf8(text).ok()?.trim();
        let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
        let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
        text.parse().ok().or_else(bare).or_else(with_port)
    };
    address().map_or(Said::Nobody, Said::Address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn networks_count_as_one_and_this_machine_not_at_all() {
        let of = |text: &str| {
            Address::of(text.parse().unwrap())
                .0
                .map(|ip| ip.to_string())
        };
        assert_eq!(of("192.0.2.7").as_deref(), Some("192.0.2.7"));
        assert_eq!(of("::ffff:192.0.2.7").as_deref(), Some("192.0.2.7"));
        assert_eq!(
            of("2001:db8:1:2:3:4:5:6").as_deref(),
            Some("2001:db8:1:2::")
        );
        for own in ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(of(own), None, "{own}");
        }
    }

    #[test]
    fn networks_are_read_and_contain_what_they_say() {
        let network = |text: &str| text.parse::<Network>();
        let contains = |text: &str, address: &str| {
            network(text)
                .unwrap()
                .contains(address.parse::<IpAddr>().unwrap())
        };
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.0.0.1", "::a00:1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.6/31", "192.0.2.7", "192.0.2.8"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1", "::1", "127.0.0.1"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
        ] {
            assert!(contains(text, inside), "{text} {inside}");
            assert!(!contains(text, outside), "{text} {outside}");
        }
        assert!(contains("::/0", "2001:db8::1"));
        for (text, fault) in [
            ("proxy.example", NetworkError::Address),
            ("", NetworkError::Address),
            ("10.0.0.0/33", NetworkError::Prefix),
            ("10.0.0.0/", NetworkError::Prefix),
            ("10.0.0.0/-1", NetworkError::Prefix),
            ("2001:db8::/129", NetworkError::Prefix),
            ("10.0.0.1/8", NetworkError::HostBits),
        ] {
            assert_eq!(network(text), Err(fault), "{text}");
        }
    }

    fn proxies(trusted: &[&str], header: ForwardedHeader) -> Proxies {
        Proxies {
            trusted: trusted.iter().map(|text| text.parse().unwrap()).collect(),
            header,
        }
    }

    fn from(proxies: &Proxies, peer: &str, lines: &[&[u8]]) -> Option<String> {
        let name = proxies.header.name();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_bytes(line).unwrap());
        }
        let Address(found) = proxies.request(peer.parse().unwrap(), &headers);
        found.map(|found| found.to_string())
    }

    #[test]
    fn the_last_address_that_is_no_proxy_counts() {
        let proxies = proxies(
            &["127.0.0.0/8", "10.0.0.0/8"],
            ForwardedHeader::XForwardedFor,
        );
        let caller = Some("192.0.2.7".to_owned());
        let cases: [&[&[u8]]; 8] = [
            &[b"192.0.2.7"],
            &[b"192.0.2.7:4711"],
            &[b"198.51.100.1, 192.0.2.7"],
            &[b"198.51.100.1", b"192.0.2.7 , 10.1.2.3"],
            &[b"192.0.2.7, 10.1.2.3", b"127.0.0.1"],
            &[b"\x80, 192.0.2.7"],
            &[b"\"for=, 192.0.2.7"],
            &[b"unknown,192.0.2.7"],
        ];
        for lines in cases {
            assert_eq!(from(&proxies, "127.0.0.1", lines), caller, "{lines:?}");
        }
        assert_eq!(
            from(&proxies, "::ffff:10.0.0.9", &[b"[2001:db8:1:2:3::4]:443"]).as_deref(),
            Some("2001:db8:1:2::")
        );
        // Nobody said, or not what: a proxy is nobody.
        let cases: [&[&[u8]]; 5] = [
            &[],
            &[b""],
            &[b"unknown"],
            &[b"192.0.2.7, _hidden"],
            &[b"10.0.0.1"],
        ];
        for lines in cases {
            assert_eq!(from(&proxies, "127.0.0.1", lines), None, "{lines:?}");
        }
        let long = ["192.0.2.7", &", 10.0.0.1".repeat(HOPS_MAX)].concat();
        assert_eq!(from(&proxies, "127.0.0.1", &[long.as_bytes()]), None);
    }

    #[test]
    fn a_header_counts_only_from_a_proxy() {
        let proxies = proxies(&["10.0.0.0/8"], ForwardedHeader::XForwardedFor);
        let stranger = Some("203.0.113.9".to_owned());
        assert_eq!(from(&proxies, "203.0.113.9", &[b"192.0.2.7"]), stranger);
        assert_eq!(from(&proxies, "203.0.113.9", &[b"10.0.0.1"]), stranger);
        assert_eq!(from(&proxies, "127.0.0.1", &[b"192.0.2.7"]), None);
        assert_eq!(
            proxies.connection("203.0.113.9".parse().unwrap()).0,
            Some("203.0.113.9".parse().unwrap())
        );
        assert_eq!(proxies.connection("10.0.0.9".parse().unwrap()).0, None);
    }

    #[test]
    fn the_standard_header_where_the_configuration_says_so() {
        let proxies = proxies(&["10.0.0.0/8"], ForwardedHeader::Forwarded);
        for (line, found) in [
            ("for=192.0.2.7", Some("192.0.2.7")),
            ("proto=https; For=192.0.2.7 ;by=10.0.0.1", Some("192.0.2.7")),
            ("for=198.51.100.1, for=\"192.0.2.7:47\"", Some("192.0.2.7")),
            ("for=\"[2001:db8::7]:47\"", Some("2001:db8::")),
            ("for=\"[2001:db8::7]\"", Some("2001:db8::")),
            ("for=192.0.2.7, for=10.0.0.2", Some("192.0.2.7")),
            ("for=_gazonk", None),
            ("for=\"unknown\"", None),
            ("by=10.0.0.1", None),
            ("", None),
            // What a caller wrote stays where the proxy put it.
            ("for=192.0.2.7;host=\"x;for=1\"", Some("192.0.2.7")),
            ("for=192.0.2.7;host=\"x,for=9.9.9.1;a=\"", Some("192.0.2.7")),
            (
                r#"for=192.0.2.7;host="x\",for=9.9.9.1;a=\"""#,
                Some("192.0.2.7"),
            ),
            (r#"for=192.0.2.7;host="x\\""#, Some("192.0.2.7")),
            ("for=\"9.9.9.1, for=192.0.2.7;host=\"x\"", Some("192.0.2.7")),
            ("host=\"\", for=192.0.2.7", Some("192.0.2.7")),
            // Malformed: the proxy itself is counted, where it is not this machine.
            ("for=192.0.2.7;for=192.0.2.8", Some("10.0.0.9")),
            ("192.0.2.7", Some("10.0.0.9")),
            ("for=192.0.2.7;host=x\"", Some("10.0.0.9")),
            ("for=192.0.2.7;host=\"x\"y\"", Some("10.0.0.9")),
            ("for=9.9.9.1, host=\"x\";a", Some("10.0.0.9")),
        ] {
            let said = from(&proxies, "10.0.0.9", &[line.as_bytes()]);
            assert_eq!(said.as_deref(), found, "{line}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_static("192.0.2.7"));
        let other = proxies.request("10.0.0.9".parse().unwrap(), &headers);
        assert_eq!(other.0, None, "the other header is whoever's");
    }
}
