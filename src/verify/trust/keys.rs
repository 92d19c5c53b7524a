//! Who is who by what is believed: whose keys counted when, and what somebody may sign.

use super::Trust;
use crate::time::{moment, seconds};
use crate::verify::finding::Coded;
use tegata_consent::ids::{OrganisationId, PublicKey};
use tegata_consent::organisation::{KeyUse, OrganisationState, Role};
use tegata_credential::keys::{Algorithm, PublicKey as CredentialKey};
use tegata_credential::trust_list::{TrustList, TrustedKey};
use tegata_credential::x509::Certificate;

impl Trust {
    /// The height at which an organisation was proven, as words for a check.
    pub(in crate::verify) fn as_of(&self, state: &OrganisationState) -> String {
        match self.heights.get(&state.id) {
            Some(height) if *height > 0 => format!(", as of height {height}"),
            _ => String::new(),
        }
    }

    /// Whether the registry has an organisation as one in good standing, for which its key signed at a time. Whoever is
    /// suspended could write any earlier time.
    pub(in crate::verify) fn standing(
        &self,
        state: &OrganisationState,
        signed_ms: u64,
    ) -> Result<String, Coded> {
        let name = &state.organisation.name.en;
        if state.suspended_at(self.at_ms) || state.suspended_at(signed_ms) {
            let words = format!("{name} is suspended, or was when it signed");
            return Err(Coded("issuer-suspended", words));
        }
        Ok(format!("{name} is in good standing{}", self.as_of(state)))
    }

    /// Whether an organisation in good standing was accredited for a record type when it signed.
    pub(in crate::verify) fn accredited(
        &self,
        state: &OrganisationState,
        record_type: &str,
        signed_ms: u64,
    ) -> Result<String, Coded> {
        self.standing(state, signed_ms)?;
        let name = &state.organisation.name.en;
        if !state.may_issue(record_type, signed_ms) {
            let words = format!("{name} was not accredited for {record_type}");
            return Err(Coded("issuer-not-accredited", words));
        }
        let as_of = self.as_of(state);
        Ok(format!("{name} was accredited for {record_type}{as_of}"))
    }

    /// Whether keys count for an issuer in some times only.
    pub(in crate::verify) fn has_times(&self, issuer: Option<&str>) -> bool {
        let of = |key: &&TrustedKey| issuer.is_none_or(|issuer| key.signs_for(issuer));
        self.chain.is_some()
            || !self.organisations.is_empty()
            || self
                .list
                .keys()
                .iter()
                .filter(of)
                .any(TrustedKey::has_times)
    }

    /// The organisation with an id.
    pub(in crate::verify) fn organisation(
        &self,
        id: &OrganisationId,
    ) -> Option<&OrganisationState> {
        self.organisations
            .iter()
            .find(|organisation| organisation.id == *id)
    }

    /// The organisation with a DID, or whose issuing service is at a URL.
    pub(in crate::verify) fn issuer(&self, name: &str) -> Option<&OrganisationState> {
        self.organisations
            .iter()
            .find(|state| is_called(state, name))
    }

    /// Whether it is known whose keys an issuer's are, whether or not one counts now.
    pub(in crate::verify) fn knows(&self, issuer: Option<&str>) -> bool {
        let signs = |key: &TrustedKey| {
            key.names_issuers() && issuer.is_some_and(|issuer| key.signs_for(issuer))
        };
        issuer.is_some_and(|issuer| self.issuer(issuer).is_some())
            || self.list.keys().iter().any(signs)
    }

    /// Whether something signed means a key by this `kid`: its thumbprint, an id that a list gives it, or the DID URL of
    /// either.
    pub(in crate::verify) fn is_meant(&self, key: &CredentialKey, kid: Option<&str>) -> bool {
        let Some(kid) = kid else { return false };
        let id = key.key_id();
        let mut listed = self.list.by_id(kid.as_bytes());
        kid == id
            || kid.starts_with("did:") && kid.rsplit_once('#').is_some_and(|(_, own)| own == id)
            || listed.any(|listed| listed.key().own() == Some(key))
    }

    /// The organisation whose credential key this is or was: what it signed is the organisation's, whatever name it gives.
    pub(in crate::verify) fn holder_of(&self, key: &CredentialKey) -> Option<&OrganisationState> {
        self.organisations.iter().find(|state| {
            let mut keys = state.organisation.keys.iter();
            keys.any(|own| {
                let algorithm = match own.key_use {
                    KeyUse::CredentialEdDsa => Algorithm::EdDsa,
                    KeyUse::CredentialEs256 => Algorithm::Es256,
                    KeyUse::Sign | KeyUse::Seal => return false,
                };
                CredentialKey::from_bytes(algorithm, &own.public).is_ok_and(|own| own == *key)
            })
        })
    }

    /// The keys for SMART Health Cards of a time: those that the registry has for the issuer's URL, or those named.
    pub(in crate::verify) fn card_keys(&self, issuer: Option<&str>, at_ms: u64) -> TrustList {
        let Some(state) = issuer.and_then(|url| self.issuer(url)) else {
            let keys = self.list.keys().iter();
            return keys
                .filter(|key| key.purposes().is_empty())
                .cloned()
                .collect();
        };
        let keys = state.keys_at(KeyUse::CredentialEs256, at_ms);
        let keys =
            keys.filter_map(|key| CredentialKey::from_bytes(Algorithm::Es256, &key.public).ok());
        keys.map(|key| TrustedKey::new(key, issuer)).collect()
    }

    /// Certificates that chains may lead to.
    pub(in crate::verify) fn anchors(&self) -> Vec<Certificate> {
        let keys = self.list.keys().iter();
        keys.filter_map(|key| key.certificate().cloned()).collect()
    }

    /// How an organisation is shown.
    pub(in crate::verify) fn name(&self, id: &OrganisationId) -> String {
        match self.organisation(id) {
            Some(state) => format!(
                "{} / {} ({id})",
                state.organisation.name.en, state.organisation.name.ja
            ),
            None => id.to_string(),
        }
    }

    /// Whether a key signed for an organisation at a time; absent where the organisation is not known.
    pub(in crate::verify) fn signs_for(
        &self,
        key: &PublicKey,
        id: &OrganisationId,
        at_ms: u64,
    ) -> Option<Result<String, String>> {
        let state = self.organisation(id)?;
        Some(if state.signs_with(key, at_ms) {
            Ok(format!(
                "a signing key of {} at that time",
                state.organisation.name.en
            ))
        } else {
            Err(format!(
                "{} had no signing key {key} at {}",
                state.organisation.name.en,
                moment(at_ms)
            ))
        })
    }

    /// Credential keys of an issuer that counted at a time, with whose they are. For whom the registry knows, no other list
    /// counts: there a key would have no end, and a suspension would mean nothing.
    pub(in crate::verify) fn credential_keys(
        &self,
        issuer: Option<&str>,
        at_ms: u64,
    ) -> Vec<(String, CredentialKey)> {
        let (issued_at, at) = (seconds(at_ms), seconds(self.at_ms));
        let registered = issuer.is_some_and(|issuer| self.issuer(issuer).is_some());
        let listed = self.list.keys().iter().filter(|key| {
            !registered
                && key.may_sign()
                && key.purposes().is_empty()
                && issuer.is_none_or(|issuer| key.signs_for(issuer))
                && key.check_time(issued_at, at).is_ok()
        });
        let listed = listed.filter_map(|key| Some((key.name().to_owned(), *key.key().own()?)));
        let mut found: Vec<_> = listed.collect();
        for state in self
            .organisations
            .iter()
            .filter(|state| issuer.is_none_or(|issuer| is_called(state, issuer)))
        {
            for (key_use, algorithm) in [
                (KeyUse::CredentialEdDsa, Algorithm::EdDsa),
                (KeyUse::CredentialEs256, Algorithm::Es256),
            ] {
                let keys = state
                    .keys_at(key_use, at_ms)
                    .filter_map(|key| CredentialKey::from_bytes(algorithm, &key.public).ok());
                found.extend(keys.map(|key| (state.organisation.name.en.clone(), key)));
            }
        }
        found
    }
}

/// Whether an `iss` means this organisation: its DID, or the URL of its issuing service.
fn is_called(state: &OrganisationState, name: &str) -> bool {
    let organisation = &state.organisation;
    let served = |url: &str| url.trim_end_matches('/') == name.trim_end_matches('/');
    organisation.did == name
        || organisation
            .services
            .iter()
            .any(|service| service.role == Role::Issuer && served(&service.url))
}
