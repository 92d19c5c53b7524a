//! Every text that stands on the ledger, and whether it could be about a person.
//!
//! Entries hold numbers, keys, digests and texts. Texts of citizens' entries must be codes of closed lists. Organisations
//! say who they are; operators signed that, and only its form can be checked here: whoever audits reads the list.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tegata_consent::cbor;
use tegata_consent::cose::{Sign1, Signed};
use tegata_consent::entry::{Body, Grant};
use tegata_consent::organisation::Organisation;
use tegata_consent::over_asking::{RequestObject, is_request_object};
use tegata_consent::request::{ConsentRequest, REFERENCE_LEN};
use tegata_consent::state::is_code;
use tegata_credential::jws::Jws;
use tegata_credential::x509::Certificate;
use tegata_records::{Category, LegalBasis, Purpose, catalogue};

/// By field: each different text, with the height at which it first stood there.
#[derive(Debug, Default)]
pub(super) struct Texts(BTreeMap<&'static str, BTreeMap<String, u64>>);

impl Texts {
    pub(super) fn of_entry(&mut self, height: u64, body: &Body) {
        match body {
            Body::OrganisationRegistered(organisation) => {
                self.of_organisation(height, organisation)
            }
            Body::OrganisationChanged(change) => self.of_organisation(height, &change.organisation),
            Body::Grant(grant) => self.of_grant(height, grant),
            Body::OverAsking(report) => self.of_request(height, &report.request),
            Body::OrganisationSuspended(_)
            | Body::Revocation(_)
            | Body::Access(_)
            | Body::StatusListPublished(_)
            | Body::ErasureConfirmed(_) => {} // numbers, keys and digests
        }
    }

    fn of_grant(&mut self, height: u64, grant: &Grant) {
        for category in &grant.categories {
            self.add(height, "grant.categories", category);
        }
        self.add(height, "grant.purpose", &grant.purpose);
        self.add(height, "grant.legal_basis", &grant.legal_basis);
    }

    /// The request that an over-asking embeds. It may ask for what no catalogue knows: its texts are codes, and the reference is
    /// a random number. Of a request object what else is text has one form (`specs/consent/over-asking.md`), but certificates.
    fn of_request(&mut self, height: u64, request: &[u8]) {
        if is_request_object(request) {
            return self.of_request_object(height, request);
        }
        let envelope = Sign1::parse(request, ConsentRequest::LIMIT, ConsentRequest::TYPE).ok();
        let request = envelope.and_then(|envelope| {
            cbor::decode::<ConsentRequest>(envelope.payload(), ConsentRequest::LIMIT).ok()
        });
        let Some(request) = request else {
            return self.add(height, "over_asking.request", "unreadable");
        };
        for category in &request.categories {
            self.add(height, "over_asking.categories", category);
        }
        self.add(height, "over_asking.purpose", &request.purpose);
        self.add(height, "over_asking.legal_basis", &request.legal_basis);
        self.add(height, "over_asking.reference", &request.reference);
    }

    fn of_request_object(&mut self, height: u64, request: &[u8]) {
        let parsed = RequestObject::parse(request).ok();
        let jws = std::str::from_utf8(request).ok();
        let jws = jws.and_then(|text| Jws::parse(text).ok());
        let (Some(parsed), Some(jws)) = (parsed, jws) else {
            return self.add(height, "over_asking.request", "unreadable");
        };
        for asked in parsed.asked_for() {
            for category in &asked.categories {
                self.add(height, "over_asking.categories", category);
            }
            self.add(height, "over_asking.purpose", &asked.purpose);
            self.add(height, "over_asking.legal_basis", &asked.legal_basis);
        }
        let chain = jws.header().get("x5c").and_then(Value::as_array);
        for certificate in chain.into_iter().flatten().filter_map(Value::as_str) {
            let subject = Certificate::from_base64(certificate);
            let subject = subject.map_or("unreadable".to_owned(), |read| read.subject());
            self.add(height, "over_asking.certificate", &subject);
        }
    }

    fn of_organisation(&mut self, height: u64, organisation: &Organisation) {
        self.add(height, "organisation.name.ja", &organisation.name.ja);
        self.add(height, "organisation.name.en", &organisation.name.en);
        self.add(height, "organisation.did", &organisation.did);
        for service in &organisation.services {
            self.add(height, "organisation.services.url", &service.url);
        }
        for issues in &organisation.issues {
            self.add(
                height,
                "organisation.issues.record_type",
                &issues.record_type,
            );
        }
        for asks in &organisation.asks {
            self.add(height, "organisation.asks.purpose", &asks.purpose);
            for category in &asks.categories {
                self.add(height, "organisation.asks.categories", category);
            }
        }
    }

    fn add(&mut self, height: u64, field: &'static str, text: &str) {
        let texts = self.0.entry(field).or_default();
        if !texts.contains_key(text) {
            texts.insert(text.to_owned(), height);
        }
    }

    /// The list, if every text is what its field may hold; else height, field and the first text that is not.
    pub(super) fn check(&self) -> Result<Listed, (u64, String, String)> {
        for (field, texts) in &self.0 {
            for (text, height) in texts {
                if let Err(why) = allowed(field, text) {
                    let shown: String = text.chars().take(100).collect();
                    return Err((
                        *height,
                        format!("text in {field}"),
                        format!("{shown:?} {why}"),
                    ));
                }
            }
        }
        let names = |texts: &BTreeMap<String, u64>| texts.keys().cloned().collect();
        Ok(Listed(
            self.0
                .iter()
                .map(|(field, texts)| (*field, names(texts)))
                .collect(),
        ))
    }
}

fn allowed(field: &str, text: &str) -> Result<(), &'static str> {
    let within = |known: bool, why| if known { Ok(()) } else { Err(why) };
    match field {
        "grant.categories" | "organisation.asks.categories" => {
            within(Category::from_code(text).is_some(), "is no category")
        }
        "grant.purpose" | "organisation.asks.purpose" => {
            within(Purpose::from_code(text).is_some(), "is no purpose")
        }
        "over_asking.categories" | "over_asking.purpose" | "over_asking.legal_basis" => {
            within(is_code(text), "is no code")
        }
        "over_asking.reference" => within(
            text.len() == REFERENCE_LEN && text.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "is no random number",
        ),
        "grant.legal_basis" => within(LegalBasis::from_code(text).is_some(), "is no legal basis"),
        "organisation.issues.record_type" => within(
            catalogue().by_id(text).is_some(),
            "is no record type of the catalogue",
        ),
        "organisation.did" => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":.-_%".contains(&byte);
            within(
                text.starts_with("did:") && text.bytes().all(plain),
                "is no DID",
            )
        }
        "organisation.services.url" => {
            let url = reqwest::Url::parse(text).map_err(|_| "is no URL")?;
            let bare = url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none();
            within(bare, "carries more than an address")
        }
        "organisation.name.ja" | "organisation.name.en" | "over_asking.certificate" => within(
            !text.chars().any(char::is_control) && !text.contains('@'),
            "is not an organisation's name",
        ),
        _ => Err("stands in a field that nobody knows"),
    }
}

/// Every text on the ledger, by field.
#[derive(Debug)]
pub(super) struct Listed(BTreeMap<&'static str, BTreeSet<String>>);

impl Listed {
    pub(super) fn total(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    pub(super) fn to_json(&self) -> Value {
        json!(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_and_addresses_pass() {
        for (field, good, bad) in [
            ("grant.categories", "vaccination", "vaccination of Sakura"),
            ("grant.purpose", "care", "treatment of 090-1234-5678"),
            ("grant.legal_basis", "consent", "her mother said so"),
            ("organisation.issues.record_type", "vaccination", "x"),
            ("organisation.did", "did:web:clinic.example", "Sakura"),
            (
                "over_asking.reference",
                "00112233445566778899aabbccddeeff",
                "patient 42",
            ),
            ("over_asking.categories", "everything", "all of Sakura"),
            (
                "organisation.services.url",
                "https://clinic.example/api",
                "https://clinic.example/?patient=7",
            ),
            (
                "organisation.services.url",
                "http://localhost:4000",
                "https://sakura@clinic.example",
            ),
            (
                "organisation.name.en",
                "Sakura Clinic",
                "sakura@clinic.example",
            ),
        ] {
            let mut texts = Texts::default();
            texts.add(3, field, good);
            assert_eq!(texts.check().unwrap().total(), 1, "{field}");
            texts.add(7, field, bad);
            let (height, part, detail) = texts.check().unwrap_err();
            assert_eq!((height, part), (7, format!("text in {field}")), "{detail}");
        }
    }
}
