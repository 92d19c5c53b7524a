//! Token Status Lists: by themselves, and what they say about a credential.
//!
//! The ledger says which list of an issuer is the newest (`specs/consent/status.md`). Where a node can be asked, or the
//! presentation brings the proof, no other list counts; where not, a list counts by its own times.

use super::credential::GIVE_TRUST;
use super::finding::{Coded, Finding};
use super::trust::{SavedStatus, Trust};
use crate::time::{milliseconds, moment, seconds};
use tegata_consent::ids::Hash;
use tegata_consent::organisation::OrganisationState;
use tegata_consent::status::{
    StatusListRefused, check_status_list, status_list_cwt_id, status_list_id,
};
use tegata_credential::keys::PublicKey;
use tegata_credential::sd_jwt::VerifiedSdJwt;
use tegata_credential::status_list::{
    RECALLED, Status, StatusListCwt, StatusListError, StatusListToken, VerifiedStatusList,
};

/// Whether the issuer's list has a credential as valid. `chained` is the issuer's key where a chain of certificates led to it.
pub(super) async fn not_revoked(
    finding: &mut Finding,
    verified: &VerifiedSdJwt,
    chained: Option<&PublicKey>,
    trust: &Trust,
) {
    const NAME: &str = "not revoked";
    let Some(reference) = verified.status() else {
        return finding.unknown(
            NAME,
            "the credential names no status list, so nobody can say",
        );
    };
    let uri = reference.uri.as_str();
    let saved = trust.statuses.iter().filter_map(Token::parse).flatten();
    let mut tokens: Vec<Token> = saved.filter(|token| token.uri() == Some(uri)).collect();
    let is_saved = !tokens.is_empty();
    if !is_saved {
        match trust
            .fetch_status_list(uri)
            .await
            .map(|text| Token::of_jwt(&text))
        {
            Err(error) => return finding.unknown(NAME, error),
            Ok(Err(error)) => return finding.fail(NAME, error),
            Ok(Ok(token)) => tokens.push(token),
        }
    }
    let state = match verified.issuer() {
        Some(issuer) => trust.issuer(issuer),
        None => trust.holder_of(verified.issuer_key()),
    };
    let keys = list_keys(verified, chained, state, trust);
    let lists = tokens
        .into_iter()
        .map(|token| list(&token, &keys, uri, trust).map(|list| (token, list)));
    let (token, list) = match newest_of(lists, |(_, list)| Some(list.issued_at())) {
        Some(Ok(newest)) => newest,
        Some(Err(coded)) => return finding.fail(NAME, coded),
        None => return,
    };
    let seen = match newest(&token, &list, state, trust).await {
        Newest::Unasked if is_saved && is_old(&list, trust) => {
            let when = moment(milliseconds(list.issued_at()));
            let words = format!(
                "the list is of {when}, older than its issuer lets copies count (`ttl`): give a newer one"
            );
            return finding.unknown(NAME, words);
        }
        Newest::Unasked => String::new(),
        Newest::Unknown(reason) => return finding.unknown(NAME, reason),
        Newest::Refused(refused) => return finding.fail(NAME, refused),
        Newest::InForce(seen) => format!(", the newest {seen}"),
    };
    let result = match list.status_at(reference.index) {
        Ok(Status::Valid) => Ok(format!(
            "valid in the status list of {}{seen}",
            moment(milliseconds(list.issued_at()))
        )),
        Ok(Status::Invalid) => Err(coded("revoked", "the issuer has revoked it")),
        Ok(Status::Suspended) => Err(coded("suspended", "the issuer has suspended it")),
        Ok(RECALLED) => Err(coded(
            "recalled",
            "the issuer has recalled it: it was bound to the wrong person",
        )),
        Ok(Status::Other(value)) => Err(coded(
            "status_unknown",
            &format!("the issuer's list has status {value}"),
        )),
        Err(error) => Err(Coded(error.code(), error.to_string())),
    };
    finding.check(NAME, result);
}

/// Of several lists the newest counts, by its own time; where none holds, why the last does not. Absent where there is none.
pub(super) fn newest_of<L, E>(
    lists: impl IntoIterator<Item = Result<L, E>>,
    time: impl Fn(&L) -> Option<i64>,
) -> Option<Result<L, E>> {
    let (mut newest, mut refused) = (None::<L>, None);
    for list in lists {
        match list {
            Err(error) => refused = Some(error),
            Ok(list) => {
                if newest
                    .as_ref()
                    .is_none_or(|known| time(known) < time(&list))
                {
                    newest = Some(list);
                }
            }
        }
    }
    newest.map(Ok).or(refused.map(Err))
}

/// Whether only its `ttl` bounds a list, and that is over.
fn is_old(list: &VerifiedStatusList, trust: &Trust) -> bool {
    let until = list.usable_until(list.issued_at());
    list.expires_at().is_none() && until.is_some_and(|until| until <= seconds(trust.at_ms))
}

/// The keys that sign a credential's list: its issuer's. Where it names no issuer, those of whoever signed it.
fn list_keys(
    verified: &VerifiedSdJwt,
    chained: Option<&PublicKey>,
    state: Option<&OrganisationState>,
    trust: &Trust,
) -> Vec<(String, PublicKey)> {
    let issuer = verified
        .issuer()
        .or(state.map(|state| state.organisation.did.as_str()));
    let mut keys = trust.credential_keys(issuer, trust.at_ms);
    if issuer.is_none() {
        keys.retain(|(_, key)| key == verified.issuer_key());
    }
    keys.extend(chained.map(|key| ("the certificate's subject".to_owned(), *key)));
    keys
}

fn coded(code: &'static str, words: &str) -> Coded {
    Coded(code, words.to_owned())
}

/// A status list token in either form, with its bytes.
enum Token {
    Jwt(Box<StatusListToken>, String),
    Cwt(Box<StatusListCwt>, Vec<u8>),
}

impl Token {
    /// Absent where the saved status is of another kind.
    fn parse(saved: &SavedStatus) -> Option<Result<Self, StatusListError>> {
        match saved {
            SavedStatus::Jwt(text) => Some(Self::of_jwt(text)),
            SavedStatus::Cwt(bytes) => Some(Self::of_cwt(bytes)),
            SavedStatus::Cards { .. } | SavedStatus::W3c(_) => None,
        }
    }

    fn of_jwt(text: &str) -> Result<Self, StatusListError> {
        StatusListToken::parse(text).map(|token| Self::Jwt(Box::new(token), text.to_owned()))
    }

    fn of_cwt(bytes: &[u8]) -> Result<Self, StatusListError> {
        StatusListCwt::parse(bytes).map(|token| Self::Cwt(Box::new(token), bytes.to_vec()))
    }

    fn uri(&self) -> Option<&str> {
        match self {
            Self::Jwt(token, _) => token.uri(),
            Self::Cwt(token, _) => token.uri(),
        }
    }

    /// What the ledger calls the list with this URI in this form, and the bytes whose digest it has.
    fn on_ledger(&self, uri: &str) -> (Hash, &[u8]) {
        match self {
            Self::Jwt(_, text) => (status_list_id(uri), text.as_bytes()),
            Self::Cwt(_, bytes) => (status_list_cwt_id(uri), bytes),
        }
    }

    fn key_id(&self) -> Option<&str> {
        match self {
            Self::Jwt(token, _) => token.key_id(),
            Self::Cwt(token, _) => token.key_id().and_then(|id| std::str::from_utf8(id).ok()),
        }
    }

    fn verify(
        &self,
        key: &PublicKey,
        uri: &str,
        at: i64,
    ) -> Result<VerifiedStatusList, StatusListError> {
        match self {
            Self::Jwt(token, _) => token.verify(key, uri, at),
            Self::Cwt(token, _) => token.verify(key, uri, at),
        }
    }
}

/// Verifies a status list by the one of the keys that it means.
fn list(
    token: &Token,
    keys: &[(String, PublicKey)],
    uri: &str,
    trust: &Trust,
) -> Result<VerifiedStatusList, Coded> {
    let unknown = "the status list is not signed with a key that is known and counts";
    let (_, key) =
        named(token, keys, trust).ok_or_else(|| coded("status_list_key_unknown", unknown))?;
    token
        .verify(key, uri, seconds(trust.at_ms))
        .map_err(|error| Coded(error.code(), error.to_string()))
}

/// The key that a status list means, with whose it is.
fn named<'a>(
    token: &Token,
    keys: &'a [(String, PublicKey)],
    trust: &Trust,
) -> Option<&'a (String, PublicKey)> {
    keys.iter()
        .find(|(_, key)| trust.is_meant(key, token.key_id()))
}

/// Whether a list is the newest that its issuer put on the ledger.
enum Newest {
    /// Nobody was asked, or the issuer is not in the registry.
    Unasked,
    Unknown(String),
    Refused(StatusListRefused),
    /// It is; where that was seen.
    InForce(String),
}

async fn newest(
    token: &Token,
    list: &VerifiedStatusList,
    state: Option<&OrganisationState>,
    trust: &Trust,
) -> Newest {
    let Some(state) = state else {
        return Newest::Unasked;
    };
    let (id, signed) = token.on_ledger(list.uri());
    let (known, seen) = match trust.newest_list(&state.id, &id).await {
        None => return Newest::Unasked,
        Some(Err(error)) => return Newest::Unknown(error.to_string()),
        Some(Ok(found)) => found,
    };
    let issued_ms = milliseconds(list.issued_at());
    match check_status_list(known.as_ref(), signed, issued_ms) {
        Ok(()) => Newest::InForce(seen),
        Err(refused) => Newest::Refused(refused),
    }
}

pub(super) async fn of_jwt(text: &str, trust: &Trust) -> Finding {
    let finding = Finding::new("A status list (Token Status List)");
    examine(finding, Token::of_jwt(text), trust).await
}

pub(super) async fn of_cwt(bytes: &[u8], trust: &Trust) -> Finding {
    let finding = Finding::new("A status list (Token Status List, CWT)");
    examine(finding, Token::of_cwt(bytes), trust).await
}

async fn examine(
    mut finding: Finding,
    token: Result<Token, StatusListError>,
    trust: &Trust,
) -> Finding {
    let token = match token {
        Ok(token) => token,
        Err(error) => {
            finding.fail("form", error);
            return finding;
        }
    };
    finding.fact("of", token.uri().unwrap_or("none"));
    let keys = trust.credential_keys(None, trust.at_ms);
    let Some((name, key)) = named(&token, &keys, trust) else {
        let kid = token.key_id().unwrap_or("none");
        finding.unknown(
            "signature",
            format!("key {kid} is of nobody known: {GIVE_TRUST}"),
        );
        return finding;
    };
    let verified = match list(&token, &keys, token.uri().unwrap_or_default(), trust) {
        Ok(verified) => verified,
        Err(coded) => {
            finding.fail("signature", coded);
            return finding;
        }
    };
    finding.fact("issued", moment(milliseconds(verified.issued_at())));
    if let Some(expires_at) = verified.expires_at() {
        finding.fact("expires", moment(milliseconds(expires_at)));
    }
    let count = |wanted: Status| {
        let is = |index: &u64| verified.status_at(*index) == Ok(wanted);
        (0..verified.list().len()).filter(is).count()
    };
    finding.fact("entries", verified.list().len());
    finding.fact("revoked", count(Status::Invalid));
    finding.fact("suspended", count(Status::Suspended));
    finding.fact("recalled", count(RECALLED));
    finding.hold("signature", format!("by {name}; times hold"));
    // It is asked for by whose key signed it; every organisation publishes under its own address.
    let state = trust.holder_of(key);
    if let Some(state) = state {
        let signed_ms = milliseconds(verified.issued_at());
        finding.check("issuer standing", trust.standing(state, signed_ms));
    }
    match newest(&token, &verified, state, trust).await {
        Newest::Unasked if is_old(&verified, trust) => finding.unknown(
            "newest",
            "older than its issuer lets copies count (`ttl`), and nobody says that there is no newer one",
        ),
        Newest::Unasked => {}
        Newest::Unknown(reason) => finding.unknown("newest", reason),
        Newest::Refused(refused) => finding.fail("newest", refused),
        Newest::InForce(seen) => finding.hold("newest", format!("its issuer's newest {seen}")),
    }
    finding
}
