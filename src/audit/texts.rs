//! Every text that stands on the ledger, for people to read.
//!
//! Entries hold numbers, keys, digests and texts. The state machine, which the audit executes again, takes texts of closed
//! lists from citizens, and in evidence. Organisations say who they are: operators signed that. What no list and no registry
//! bounds is who issued the certificate of a request in evidence.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tegata_consent::cbor;
use tegata_consent::cose::{Sign1, Signed};
use tegata_consent::entry::{Body, Grant};
use tegata_consent::organisation::Organisation;
use tegata_consent::over_asking::{RequestObject, is_request_object};
use tegata_consent::request::ConsentRequest;

/// The texts that no list and no registry bounds.
const UNBOUNDED: &str = "over_asking.certificate.issuer";

/// Each different text, by field.
#[derive(Debug, Default)]
pub(super) struct Texts(BTreeMap<&'static str, BTreeSet<String>>);

impl Texts {
    pub(super) fn of_entry(&mut self, body: &Body) {
        match body {
            Body::OrganisationRegistered(organisation) => self.of_organisation(organisation),
            Body::OrganisationChanged(change) => self.of_organisation(&change.organisation),
            Body::Grant(grant) => self.of_grant(grant),
            Body::OverAsking(report) => self.of_request(&report.request),
            Body::OrganisationSuspended(_)
            | Body::Revocation(_)
            | Body::Access(_)
            | Body::StatusListPublished(_)
            | Body::ErasureConfirmed(_) => {} // numbers, keys and digests
        }
    }

    fn of_grant(&mut self, grant: &Grant) {
        for category in &grant.categories {
            self.add("grant.categories", category);
        }
        self.add("grant.purpose", &grant.purpose);
        self.add("grant.legal_basis", &grant.legal_basis);
    }

    /// The request that an over-asking embeds.
    fn of_request(&mut self, request: &[u8]) {
        if is_request_object(request) {
            return self.of_request_object(request);
        }
        let envelope = Sign1::parse(request, ConsentRequest::LIMIT, ConsentRequest::TYPE).ok();
        let request = envelope.and_then(|envelope| {
            cbor::decode::<ConsentRequest>(envelope.payload(), ConsentRequest::LIMIT).ok()
        });
        let Some(request) = request else { return };
        for category in &request.categories {
            self.add("over_asking.categories", category);
        }
        self.add("over_asking.purpose", &request.purpose);
        self.add("over_asking.legal_basis", &request.legal_basis);
        self.add("over_asking.reference", &request.reference);
    }

    fn of_request_object(&mut self, request: &[u8]) {
        let Ok(request) = RequestObject::parse(request) else {
            return;
        };
        for asked in request.asked_for() {
            for category in &asked.categories {
                self.add("over_asking.categories", category);
            }
            self.add("over_asking.purpose", &asked.purpose);
            self.add("over_asking.legal_basis", &asked.legal_basis);
        }
        for text in request.certificate_issuer() {
            self.add(UNBOUNDED, text);
        }
    }

    fn of_organisation(&mut self, organisation: &Organisation) {
        self.add("organisation.name.ja", &organisation.name.ja);
        self.add("organisation.name.en", &organisation.name.en);
        self.add("organisation.did", &organisation.did);
        for service in &organisation.services {
            self.add("organisation.services.url", &service.url);
        }
        for issues in &organisation.issues {
            self.add("organisation.issues.record_type", &issues.record_type);
        }
        for asks in &organisation.asks {
            self.add("organisation.asks.purpose", &asks.purpose);
            for category in &asks.categories {
                self.add("organisation.asks.categories", category);
            }
        }
    }

    fn add(&mut self, field: &'static str, text: &str) {
        self.0.entry(field).or_default().insert(text.to_owned());
    }

    /// What the audit can say of them. What no list bounds could name a person: that people read.
    pub(super) fn summary(&self) -> String {
        let total: usize = self.0.values().map(BTreeSet::len).sum();
        match self.0.contains_key(UNBOUNDED) {
            false => format!(
                "no person's data: {total} texts stand on the ledger, of closed lists or of organisations about themselves"
            ),
            true => format!(
                "{total} texts stand on the ledger: of closed lists, of organisations about themselves, and who issued the certificates in evidence; read them below"
            ),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        json!(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_list_bounds_is_not_called_nobodys() {
        let mut texts = Texts::default();
        texts.add("grant.purpose", "care");
        assert!(texts.summary().starts_with("no person's data: 1 texts"));
        texts.add(UNBOUNDED, "CN=Hanako Wakaba");
        let said = texts.summary();
        assert!(
            said.starts_with("2 texts") && said.ends_with("read them below"),
            "{said}"
        );
        assert!(!said.contains("no person's data"), "{said}");
    }
}
