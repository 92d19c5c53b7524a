//! The trust registry: organisations, their keys, and what each is accredited to do (`entries.md`, section 3).

use crate::codes;
use crate::ids::{OrganisationId, PublicKey, hash};
use minicbor::{Decode, Encode};

/// What an organisation does. One organisation may have several roles.
#[derive(Encode, Decode, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cbor(index_only)]
pub enum Role {
    /// Signs records and deposits them.
    #[n(1)]
    Issuer,
    /// Asks for records and reads them.
    #[n(2)]
    Verifier,
    /// Keeps vaults, and sponsors citizens' entries.
    #[n(3)]
    Host,
    /// Runs a node of the ledger.
    #[n(4)]
    Validator,
    /// Checks the ledger.
    #[n(5)]
    Auditor,
}

/// What a key is for.
#[derive(Encode, Decode, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cbor(index_only)]
pub enum KeyUse {
    /// Ed25519: entries, deposits, receipts, requests.
    #[n(1)]
    Sign,
    /// X25519: tickets are sealed to it.
    #[n(2)]
    Seal,
    /// Ed25519: credentials, `alg` EdDSA.
    #[n(3)]
    CredentialEdDsa,
    /// P-256, compressed SEC1 point of 33 bytes: credentials, `alg` ES256.
    #[n(4)]
    CredentialEs256,
}

/// A public key with the time in which it counts.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct OrganisationKey {
    /// What it is for.
    #[n(1)]
    pub key_use: KeyUse,
    /// The public key: 32 bytes, or 33 for [`KeyUse::CredentialEs256`].
    #[cbor(n(2), with = "minicbor::bytes")]
    pub public: Vec<u8>,
    /// Counts from this time on, in milliseconds since 1970.
    #[n(3)]
    pub from_ms: u64,
    /// Counts until before this time, in milliseconds since 1970.
    #[n(4)]
    pub until_ms: Option<u64>,
}

/// Accreditation to issue one record type, with the time in which it counts.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct Issues {
    /// Id of the record type in the catalogue (`specs/records`).
    #[n(1)]
    pub record_type: String,
    /// From this time on, in milliseconds since 1970.
    #[n(2)]
    pub from_ms: u64,
    /// Until before this time, in milliseconds since 1970.
    #[n(3)]
    pub until_ms: Option<u64>,
}

/// Accreditation to ask for certain categories for one purpose.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct Asks {
    /// Purpose code (`specs/records`).
    #[n(1)]
    pub purpose: String,
    /// Category codes (`specs/records`).
    #[n(2)]
    pub categories: Vec<String>,
    /// Longest retention that may be asked for, in days.
    #[n(3)]
    pub retention_max_days: u32,
}

/// A name in the two languages of the screens.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct Name {
    /// Japanese.
    #[n(1)]
    pub ja: String,
    /// English.
    #[n(2)]
    pub en: String,
}

/// Where an organisation answers in one of its roles.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct Service {
    /// The role.
    #[n(1)]
    pub role: Role,
    /// Base URL, without a slash at the end.
    #[n(2)]
    pub url: String,
}

/// A time without accreditation.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct Suspension {
    /// From the time of the block that suspended, in milliseconds since 1970.
    #[n(1)]
    pub from_ms: u64,
    /// Until the time of the block that lifted it, in milliseconds since 1970.
    #[n(2)]
    pub until_ms: Option<u64>,
}

/// What a quorum of operators puts into the registry.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct Organisation {
    /// Name.
    #[n(1)]
    pub name: Name,
    /// Roles, sorted, at least one.
    #[n(2)]
    pub roles: Vec<Role>,
    /// Where its services answer, at most one for each role.
    #[n(3)]
    pub services: Vec<Service>,
    /// Its DID: the `iss` of its credentials.
    #[n(4)]
    pub did: String,
    /// Keys, old ones included: what was signed in a key's time still verifies.
    #[n(5)]
    pub keys: Vec<OrganisationKey>,
    /// What it may issue.
    #[n(6)]
    pub issues: Vec<Issues>,
    /// What it may ask for, and why.
    #[n(7)]
    pub asks: Vec<Asks>,
}

/// An organisation as it stands on the ledger.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct OrganisationState {
    /// Its id.
    #[n(1)]
    pub id: OrganisationId,
    /// What the operators registered, as last changed.
    #[n(2)]
    pub organisation: Organisation,
    /// How often it was changed or suspended; the next such entry carries this number plus one.
    #[n(3)]
    pub sequence: u32,
    /// Time of its registration, in milliseconds since 1970.
    #[n(4)]
    pub registered_ms: u64,
    /// When it was suspended, oldest first.
    #[n(5)]
    pub suspensions: Vec<Suspension>,
}

/// The id of an organisation: `SHA-256("tegata/v1/organisation" ‖ 0 ‖ first signing key)`. It stays through every rotation.
#[must_use]
pub fn organisation_id(first_signing_key: &PublicKey) -> OrganisationId {
    OrganisationId(hash("tegata/v1/organisation", &[&first_signing_key.0]))
}

/// Why a registration is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("organisation: {0}")]
pub struct OrganisationError(pub &'static str);

const TEXT_MAX: usize = 300;
const LIST_MAX: usize = 64;

impl Organisation {
    /// The id this registration would get: from its first [`KeyUse::Sign`] key.
    #[must_use]
    pub fn id(&self) -> Option<OrganisationId> {
        let first = self.keys.iter().find(|key| key.key_use == KeyUse::Sign)?;
        Some(organisation_id(
            &PublicKey::try_from(first.public.as_slice()).ok()?,
        ))
    }

    /// The base URL of its service in a role, without a slash at the end.
    #[must_use]
    pub fn url(&self, role: Role) -> Option<&str> {
        let service = self.services.iter().find(|service| service.role == role)?;
        Some(&service.url)
    }

    /// Checks sizes, order and that roles have what they need.
    ///
    /// # Errors
    /// [`OrganisationError`], naming the part.
    pub fn check(&self) -> Result<(), OrganisationError> {
        let texts = [&self.name.ja, &self.name.en, &self.did];
        if texts
            .iter()
            .any(|text| text.is_empty() || text.len() > TEXT_MAX)
        {
            return Err(OrganisationError("name and did have 1 to 300 bytes"));
        }
        if texts[..2].iter().any(|name| !is_name(name)) || !is_did(&self.did) {
            return Err(OrganisationError(
                "names have neither control characters nor @, and the did is one",
            ));
        }
        if !self.services.is_sorted_by(|a, b| a.role < b.role)
            || self
                .services
                .iter()
                .any(|service| !self.roles.contains(&service.role) || !is_base_url(&service.url))
        {
            return Err(OrganisationError(
                "services are sorted by role, one for each of its roles at most, and their url starts with http:// or https://, has neither user, query nor fragment and does not end with a slash",
            ));
        }
        if self.roles.is_empty() || !self.roles.is_sorted_by(|a, b| a < b) {
            return Err(OrganisationError(
                "roles are sorted, different, and at least one",
            ));
        }
        if self.keys.len() > LIST_MAX || self.issues.len() > LIST_MAX || self.asks.len() > LIST_MAX
        {
            return Err(OrganisationError(
                "at most 64 keys, accreditations to issue, and to ask",
            ));
        }
        let length = |key: &OrganisationKey| {
            if key.key_use == KeyUse::CredentialEs256 {
                33
            } else {
                32
            }
        };
        if self.keys.iter().any(|key| key.public.len() != length(key)) {
            return Err(OrganisationError("keys have 32 bytes, P-256 keys 33"));
        }
        if self
            .keys
            .iter()
            .any(|key| key.until_ms.is_some_and(|until| until <= key.from_ms))
        {
            return Err(OrganisationError("a key's end is after its start"));
        }
        if !self.keys.iter().any(|key| key.key_use == KeyUse::Sign) {
            return Err(OrganisationError("a key to sign is needed"));
        }
        if self.roles.contains(&Role::Verifier)
            && !self.keys.iter().any(|key| key.key_use == KeyUse::Seal)
        {
            return Err(OrganisationError(
                "a verifier needs a key to seal tickets to",
            ));
        }
        if !self.issues.is_empty() && !self.roles.contains(&Role::Issuer) {
            return Err(OrganisationError("only an issuer is accredited to issue"));
        }
        if !self.asks.is_empty() && !self.roles.contains(&Role::Verifier) {
            return Err(OrganisationError("only a verifier is accredited to ask"));
        }
        if self
            .issues
            .iter()
            .any(|issues| issues.until_ms.is_some_and(|until| until <= issues.from_ms))
        {
            return Err(OrganisationError(
                "an accreditation's end is after its start",
            ));
        }
        if self
            .asks
            .iter()
            .any(|asks| asks.categories.len() > LIST_MAX || asks.categories.is_empty())
        {
            return Err(OrganisationError("a purpose has 1 to 64 categories"));
        }
        let known = |asks: &Asks| {
            codes::is_purpose(&asks.purpose)
                && asks.categories.iter().all(|code| codes::is_category(code))
        };
        if !self.asks.iter().all(known) {
            return Err(OrganisationError(
                "purposes and categories are those of the lists",
            ));
        }
        if !self
            .issues
            .iter()
            .all(|issues| is_type_id(&issues.record_type))
        {
            return Err(OrganisationError(
                "a record type is 1 to 64 lower-case letters, digits and _",
            ));
        }
        Ok(())
    }
}

impl OrganisationState {
    /// Whether it is suspended at a time.
    #[must_use]
    pub fn suspended_at(&self, at_ms: u64) -> bool {
        self.suspensions
            .iter()
            .any(|time| counts(time.from_ms, time.until_ms, at_ms))
    }

    /// Whether it has a role.
    #[must_use]
    pub fn has_role(&self, role: Role) -> bool {
        self.organisation.roles.contains(&role)
    }

    /// The keys of one use that count at a time.
    pub fn keys_at(&self, key_use: KeyUse, at_ms: u64) -> impl Iterator<Item = &OrganisationKey> {
        let fits = move |key: &&OrganisationKey| {
            key.key_use == key_use && counts(key.from_ms, key.until_ms, at_ms)
        };
        self.organisation.keys.iter().filter(fits)
    }

    /// Whether a key signs for it at a time.
    #[must_use]
    pub fn signs_with(&self, key: &PublicKey, at_ms: u64) -> bool {
        self.keys_at(KeyUse::Sign, at_ms)
            .any(|own| own.public == key.0)
    }

    /// Whether it is accredited, and not suspended, to issue a record type at a time.
    #[must_use]
    pub fn may_issue(&self, record_type: &str, at_ms: u64) -> bool {
        let fits = |issues: &Issues| {
            issues.record_type == record_type && counts(issues.from_ms, issues.until_ms, at_ms)
        };
        self.has_role(Role::Issuer)
            && !self.suspended_at(at_ms)
            && self.organisation.issues.iter().any(fits)
    }

    /// Whether it is accredited to ask for all these categories, for this purpose and retention. Suspension is another
    /// question ([`Self::suspended_at`]).
    #[must_use]
    pub fn may_ask(&self, purpose: &str, categories: &[String], retention_days: u32) -> bool {
        let fits = |asks: &Asks| {
            asks.purpose == purpose
                && retention_days <= asks.retention_max_days
                && categories
                    .iter()
                    .all(|category| asks.categories.contains(category))
        };
        self.has_role(Role::Verifier) && self.organisation.asks.iter().any(fits)
    }
}

fn is_name(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() || c == '@')
}

fn is_did(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":.-_%".contains(&byte);
    text.starts_with("did:") && text.bytes().all(plain)
}

fn is_type_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

fn is_base_url(url: &str) -> bool {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    url.len() <= TEXT_MAX
        && !url.ends_with('/')
        && rest.is_some_and(|rest| {
            let plain = |byte: u8| byte.is_ascii_graphic() && !b"@?#".contains(&byte);
            !rest.is_empty() && rest.bytes().all(plain)
        })
}

fn counts(from_ms: u64, until_ms: Option<u64>, at_ms: u64) -> bool {
    at_ms >= from_ms && until_ms.is_none_or(|until| at_ms < until)
}
