//! Status lists: what is revoked, suspended or recalled, signed anew whenever it changed or a copy grows old (Token Status
//! List, as JWT and as CWT; where W3C credentials are issued, Bitstring Status Lists with the same places), and put on the
//! ledger before it is served (`specs/consent/status.md`).

use crate::intake::is_w3c;
use crate::issuer::{Issuer, blocking};
use crate::model::Record;
use crate::store::{STATUS_LIST_SIZE, StoreError};
use bytes::Bytes;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tegata_consent::entry::{Body, Entry, StatusListPublished};
use tegata_consent::ids::Hash;
use tegata_consent::status::{
    STATUS_LIST_AHEAD_MAX_MS, status_list_cwt_id, status_list_id, token_digest,
};
use tegata_credential::bitstring::{
    Bitstring, BitstringError, BitstringIssuance, StatusPurpose, list_credential,
};
use tegata_credential::data_integrity::{DataIntegrityError, ProofOptions, sign_credential};
use tegata_credential::keys::{KeyError, SigningKey};
use tegata_credential::status_list::{
    RECALLED, Status, StatusList, StatusListError, StatusListIssuance, sign, sign_cwt,
};
use tegata_service::clock::{now_ms, now_s};
use tegata_service::ledger::LedgerError;
use tokio::sync::watch;

/// Between two looks at whether a list must be signed anew.
const LOOK: Duration = Duration::from_secs(5);
/// After a change, until the forms that nobody waits for are published: what changes meanwhile is published with it, since
/// each costs an entry, and the ledger takes only so many of an organisation in an hour.
const TOGETHER: Duration = Duration::from_secs(1);
/// How long the ledger has for a list's entry, in milliseconds.
const NOT_AFTER_MS: u64 = 120_000;
/// Bits for each record: valid, revoked, suspended, recalled.
const BITS: u8 = 2;

/// In which form a list is published. Each is signed, put on the ledger and served by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// Token Status List, as JWT.
    Jwt,
    /// Token Status List, as CWT; under the same URL.
    Cwt,
    /// Bitstring Status List: what is revoked, recalled or corrected.
    Revocation,
    /// Bitstring Status List: what is suspended.
    Suspension,
}

impl Form {
    /// The forms that an issuer publishes.
    fn of(issuer: &Issuer) -> &'static [Self] {
        match issuer.config.vc_api {
            Some(_) => &[Self::Jwt, Self::Cwt, Self::Revocation, Self::Suspension],
            None => &[Self::Jwt, Self::Cwt],
        }
    }

    fn uri(self, issuer: &Issuer, number: u32) -> String {
        match self {
            Self::Jwt | Self::Cwt => issuer.status_list_uri(number),
            Self::Revocation => issuer.bitstring_uri(number, StatusPurpose::Revocation),
            Self::Suspension => issuer.bitstring_uri(number, StatusPurpose::Suspension),
        }
    }

    /// What the ledger calls the list.
    fn list_id(self, uri: &str) -> Hash {
        match self {
            Self::Cwt => status_list_cwt_id(uri),
            Self::Jwt | Self::Revocation | Self::Suspension => status_list_id(uri),
        }
    }

    /// For what a bit of the list stands; absent of a list of values.
    fn purpose(self) -> Option<StatusPurpose> {
        match self {
            Self::Jwt | Self::Cwt => None,
            Self::Revocation => Some(StatusPurpose::Revocation),
            Self::Suspension => Some(StatusPurpose::Suspension),
        }
    }
}

/// Why a list is not published.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    #[error("there is no status list {0}")]
    NoSuchList(u32),
    /// W3C lists name it, and are signed with it.
    #[error("the registry does not have this organisation, or not its credential key")]
    NotRegistered,
    /// Neither this list nor one before it that still counts.
    #[error("the ledger: {0}")]
    Ledger(#[from] LedgerError),
    /// The ledger has a list of a time to come.
    #[error("the ledger has a list of this issuer that was signed ahead of its clock")]
    Ahead,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    List(#[from] StatusListError),
    #[error(transparent)]
    Bitstring(#[from] BitstringError),
    #[error(transparent)]
    DataIntegrity(#[from] DataIntegrityError),
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The places that a list says something of, in rising order, with their values.
type Said = Arc<[(u32, u8)]>;

/// A list as it is served.
#[derive(Clone)]
struct Signed {
    token: Bytes,
    /// The store's count of changes when it was made.
    version: u64,
    /// What it says.
    says: Said,
    issued_s: i64,
    /// To be signed again from this time on, in seconds since 1970.
    renew_s: i64,
    /// Says nothing any more from this time on, in seconds since 1970.
    expires_s: i64,
    recalled: u32,
}

/// A list on its way.
#[derive(Default)]
struct Slot {
    /// The newest that is known to be on the ledger.
    served: Option<Signed>,
    /// Sent to the ledger, which has not answered. It may be there.
    sent: Option<Signed>,
}

/// Lists that are signed already. Whoever signs a list holds its slot, so that there is one newest.
#[derive(Default)]
pub(crate) struct StatusLists(Mutex<HashMap<(u32, Form), SharedSlot>>);

type SharedSlot = Arc<tokio::sync::Mutex<Slot>>;

impl StatusLists {
    fn slot(&self, number: u32, form: Form) -> SharedSlot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry((number, form)).or_default())
    }
}

/// The signed list with a number: the one whose digest is the newest on the ledger. Signs and publishes one where there is
/// none, or what it says has changed, or it grows old. While the ledger does not answer, the list before is served for as
/// long as it says.
///
/// # Errors
/// [`PublishError`].
pub(crate) async fn current(
    issuer: &Arc<Issuer>,
    number: u32,
    form: Form,
    now_s: i64,
) -> Result<Bytes, PublishError> {
    let (signed, published) = look(issuer, number, form, now_s).await?;
    match (signed, published) {
        (Some(signed), _) => Ok(signed.token),
        (None, Err(error)) => Err(error),
        (None, Ok(())) => Err(PublishError::NoSuchList(number)),
    }
}

/// Publishes what has changed of a record in its list, in the forms that its credential names. The others follow
/// ([`run`]), and whoever asks for one has it made at once ([`current`]).
///
/// # Errors
/// [`PublishError`]: the ledger does not have it yet. It is tried again.
pub(crate) async fn publish_of(issuer: &Arc<Issuer>, record: &Record) -> Result<(), PublishError> {
    let Some(place) = record.place else {
        return Ok(());
    };
    let forms = Form::of(issuer)
        .iter()
        .filter(|form| **form == Form::Jwt || form.purpose().is_some() && is_w3c(record));
    for form in forms {
        look(issuer, place.list, *form, now_s()).await?.1?;
    }
    Ok(())
}

/// Publishes what has changed in a list, in all its forms.
///
/// # Errors
/// As [`publish_of`].
async fn publish(issuer: &Arc<Issuer>, number: u32) -> Result<(), PublishError> {
    for form in Form::of(issuer) {
        look(issuer, number, *form, now_s()).await?.1?;
    }
    Ok(())
}

/// Publishes where it must, and gives what may be served.
async fn look(
    issuer: &Arc<Issuer>,
    number: u32,
    form: Form,
    now_s: i64,
) -> Result<(Option<Signed>, Result<(), PublishError>), PublishError> {
    if number == 0 || number > issuer.store.open_list() {
        return Err(PublishError::NoSuchList(number));
    }
    let slot = issuer.statuses.slot(number, form);
    let mut slot = slot.lock().await;
    let version = issuer.store.status_changes();
    let fresh = |signed: &&Signed| signed.version == version && now_s < signed.renew_s;
    if let Some(signed) = slot.served.as_ref().filter(fresh) {
        return Ok((Some(signed.clone()), Ok(())));
    }
    let published = sign_and_publish(issuer, number, form, now_s, &mut slot).await;
    let counts = |signed: &&Signed| now_s < signed.expires_s;
    Ok((slot.served.as_ref().filter(counts).cloned(), published))
}

async fn sign_and_publish(
    issuer: &Arc<Issuer>,
    number: u32,
    form: Form,
    now_s: i64,
    slot: &mut Slot,
) -> Result<(), PublishError> {
    let list = form.list_id(&form.uri(issuer, number));
    let says = blocking(issuer, move |issuer| says(issuer, number, form));
    let (says, version) = says.await?;
    if slot.sent.is_none()
        && let Some(served) = &mut slot.served
        && served.says == says
        && now_s < served.renew_s
    {
        served.version = version; // another list changed
        return Ok(());
    }
    let mut after_s = slot
        .served
        .as_ref()
        .map_or(i64::MIN, |signed| signed.issued_s);
    if slot.served.is_none() || slot.sent.is_some() {
        // After a start, or an answer that did not come: what does the ledger have?
        let newest = issuer.registry.status_list(&issuer.id, &list).await?;
        if let Some(newest) = newest {
            let newest_s = i64::try_from(newest.issued_ms / 1000).unwrap_or(i64::MAX);
            after_s = after_s.max(newest_s);
            let is_newest = |sent: &mut Signed| token_digest(&sent.token) == newest.token;
            if let Some(sent) = slot.sent.take_if(is_newest) {
                let fresh = sent.version == issuer.store.status_changes() && now_s < sent.renew_s;
                slot.served = Some(sent);
                if fresh {
                    return Ok(());
                }
            }
        }
    }
    let may_be_sent_again =
        |sent: &&Signed| sent.says == says && now_s < sent.renew_s && sent.issued_s >= after_s;
    let signed = match slot.sent.as_ref().filter(may_be_sent_again) {
        Some(sent) => Signed {
            version,
            ..sent.clone()
        },
        None => {
            // One that was sent may still become final, and must not take the place of this one then.
            if let Some(sent) = &slot.sent {
                after_s = after_s.max(sent.issued_s + 1);
            }
            let issued_s = now_s.max(after_s);
            if issued_s.saturating_sub(now_s) > (STATUS_LIST_AHEAD_MAX_MS / 1000) as i64 {
                return Err(PublishError::Ahead);
            }
            sign_list(issuer, number, form, (says, version), issued_s).await?
        }
    };
    let body = Body::StatusListPublished(StatusListPublished {
        issuer: issuer.id,
        list,
        token: token_digest(&signed.token),
        issued_ms: u64::try_from(signed.issued_s).unwrap_or(0) * 1000,
        recalled: signed.recalled,
    });
    let not_after_ms = now_ms() + NOT_AFTER_MS;
    let entry = Entry::sign(&issuer.keys.sign, &issuer.chain, not_after_ms, body);
    slot.sent = Some(signed.clone());
    issuer.registry.submit(&entry.to_bytes()).await?;
    (slot.served, slot.sent) = (Some(signed), None);
    metrics::counter!("tegata_issuer_status_lists_published_total").increment(1);
    Ok(())
}

/// Signs a list in one of its forms.
async fn sign_list(
    issuer: &Arc<Issuer>,
    number: u32,
    form: Form,
    (says, version): (Said, u64),
    issued_s: i64,
) -> Result<Signed, PublishError> {
    let uri = form.uri(issuer, number);
    let signer = match form.purpose() {
        None => None,
        Some(purpose) => {
            let own = issuer.own().await?.ok_or(PublishError::NotRegistered)?;
            let key = issuer.w3c_key(&own, now_ms())?;
            Some((
                own.organisation.did,
                key.ok_or(PublishError::NotRegistered)?,
                purpose,
            ))
        }
    };
    blocking(issuer, move |issuer| {
        let lifetime_s = i64::try_from(issuer.config.status_list.lifetime_s)
            .unwrap_or(i64::MAX / 2)
            .max(2);
        let expires_s = issued_s + lifetime_s;
        let token = match &signer {
            None => sign_token(issuer, form, &uri, &says, issued_s, expires_s)?,
            Some((did, (key, method), purpose)) => {
                let issuance = BitstringIssuance {
                    uri: &uri,
                    issuer: did,
                    purpose: *purpose,
                    valid_from: issued_s,
                    valid_until: Some(expires_s),
                };
                sign_bitstring(issuer, &issuance, &says, key, method)?
            }
        };
        // Counted once for each list, not for each of its forms.
        let recalled = says
            .iter()
            .filter(|(_, value)| form == Form::Jwt && *value == RECALLED.value());
        Ok(Signed {
            token,
            version,
            recalled: u32::try_from(recalled.count()).unwrap_or(u32::MAX),
            says,
            issued_s,
            renew_s: issued_s + lifetime_s / 2,
            expires_s,
        })
    })
    .await
}

/// What a list says, by place, in rising order, and the store's count of changes.
fn says(issuer: &Issuer, number: u32, form: Form) -> Result<(Said, u64), StoreError> {
    let (mut statuses, version) = issuer.store.statuses(number)?;
    if let Some(purpose) = form.purpose() {
        // A bit says that a credential is gone for good, or for now, not why.
        let suspended = purpose == StatusPurpose::Suspension;
        statuses.retain(|(_, value)| (*value == Status::Suspended.value()) == suspended);
        statuses
            .iter_mut()
            .for_each(|(_, value)| *value = Status::Invalid.value());
    }
    Ok((statuses.into(), version))
}

/// The Token Status List of what is said.
fn sign_token(
    issuer: &Issuer,
    form: Form,
    uri: &str,
    says: &[(u32, u8)],
    issued_s: i64,
    expires_s: i64,
) -> Result<Bytes, PublishError> {
    let entries = says
        .iter()
        .map(|(index, value)| (u64::from(*index), Status::from(*value)));
    let list = StatusList::from_entries(BITS, u64::from(STATUS_LIST_SIZE), entries)?;
    let issuance = StatusListIssuance {
        uri,
        issuer: None,
        issued_at: issued_s,
        expires_at: Some(expires_s),
        ttl_s: Some(issuer.config.status_list.ttl_s.max(1)),
    };
    let key = &issuer.credential_key;
    Ok(match form {
        Form::Cwt => Bytes::from(sign_cwt(&list, &issuance, key)),
        _ => Bytes::from(sign(&list, &issuance, key)),
    })
}

/// The Bitstring Status List of what is revoked, or suspended.
fn sign_bitstring(
    issuer: &Issuer,
    issuance: &BitstringIssuance<'_>,
    says: &[(u32, u8)],
    key: &SigningKey,
    method: &str,
) -> Result<Bytes, PublishError> {
    let set = says.iter().map(|(index, _)| u64::from(*index));
    let list = Bitstring::from_indexes(u64::from(STATUS_LIST_SIZE), set)?;
    let config = issuer.config.vc_api.clone().unwrap_or_default();
    let (suite, contexts) = (config.cryptosuite.suite(), tegata_w3c::contexts());
    let options = ProofOptions::new(method, issuance.valid_from);
    let unsigned = list_credential(&list, issuance);
    let signed = sign_credential(unsigned, suite, contexts, &options, key)?;
    Ok(Bytes::from(Value::Object(signed).to_string()))
}

/// Publishes every list when it changed or grows old, until `stop` says so. A list that the ledger did not take is tried
/// again.
pub(crate) async fn run(issuer: Arc<Issuer>, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        for number in 1..=issuer.store.open_list() {
            if let Err(error) = publish(&issuer, number).await {
                tracing::warn!(number, %error, "a status list waits for the ledger");
                if matches!(error, PublishError::Ledger(_)) {
                    break;
                }
            }
        }
        let changed = async {
            issuer.status_wake.notified().await;
            tokio::time::sleep(TOGETHER).await;
        };
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = changed => {}
            _ = stop.changed() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::world::{World, credential_key};
    use tegata_consent::organisation::KeyUse;
    use tegata_credential::status_list::{StatusListCwt, StatusListToken};

    const NOW_S: i64 = 1_000_000;

    fn open(world: &World) -> Arc<Issuer> {
        let registry = Arc::clone(&world.registry) as Arc<dyn crate::registry::Registry>;
        let config = world.config("127.0.0.1:1".parse().unwrap());
        Issuer::open(config, registry).unwrap()
    }

    fn set(issuer: &Issuer, index: u32, status: Status) {
        let mut change = issuer.store.change();
        change.set_place(crate::model::StatusPlace { list: 1, index }, status);
        change.commit().unwrap();
    }

    #[tokio::test]
    async fn a_list_is_signed_again_when_it_changed_or_grows_old_and_is_on_the_ledger_before_it_is_served()
     {
        let world = World::new().await;
        let issuer = open(&world);
        let uri = issuer.status_list_uri(1);
        let token = async |now_s| current(&issuer, 1, Form::Jwt, now_s).await.unwrap();
        let status_at = |token: &Bytes, index, now_s| {
            let token = StatusListToken::parse(std::str::from_utf8(token).unwrap()).unwrap();
            let list = token.verify(&credential_key(&world), &uri, now_s).unwrap();
            list.status_at(index).unwrap()
        };
        let on_ledger = || world.registry.list(&uri).unwrap();
        let first = token(1_000_000).await;
        assert_eq!(on_ledger().token, token_digest(&first));
        assert_eq!(first, token(1_001_799).await);
        assert_eq!(on_ledger().count, 1, "asked again, not published again");
        let renewed = token(1_001_800).await;
        assert_ne!(first, renewed, "half of its life is over");
        assert_eq!(on_ledger().token, token_digest(&renewed));
        assert_eq!(status_at(&renewed, 7, 1_005_000), Status::Valid);
        let set = |index, status| set(&issuer, index, status);
        set(7, Status::Invalid);
        set(8, Status::Suspended);
        set(9, RECALLED);
        // Nothing that the ledger does not have is served.
        world.registry.set_stale(true);
        assert_eq!(token(1_001_801).await, renewed);
        assert!(matches!(
            current(&issuer, 1, Form::Jwt, 1_005_400).await,
            Err(PublishError::Ledger(LedgerError::Stale { .. }))
        ));
        world.registry.set_stale(false);
        let changed = token(1_001_801).await;
        for (index, status) in [
            (6, Status::Valid),
            (7, Status::Invalid),
            (8, Status::Suspended),
            (9, RECALLED),
        ] {
            assert_eq!(status_at(&changed, index, 1_001_801), status);
        }
        assert_eq!(
            (on_ledger().token, on_ledger().recalled),
            (token_digest(&changed), 1)
        );
        let cwt = current(&issuer, 1, Form::Cwt, 1_001_801).await.unwrap();
        let newest = world.registry.published(&status_list_cwt_id(&uri)).unwrap();
        assert_eq!(
            (newest.token, newest.recalled),
            (token_digest(&cwt), 0),
            "what is recalled is counted once"
        );
        assert_eq!(
            on_ledger().token,
            token_digest(&changed),
            "each form counts by itself"
        );
        set(8, Status::Valid);
        let lifted = token(1_001_801).await;
        assert_eq!(status_at(&lifted, 8, 1_001_801), Status::Valid);
        // An answer that does not come: the list may be on the ledger, and then it is the one that is served.
        set(8, Status::Suspended);
        world.registry.swallow(1);
        assert_eq!(token(1_001_802).await, lifted);
        let found = on_ledger().token;
        assert_ne!(found, token_digest(&lifted));
        let next = token(1_001_803).await;
        assert_eq!((on_ledger().token, token_digest(&next)), (found, found));
        assert_eq!(status_at(&next, 8, 1_001_803), Status::Suspended);
        for number in [0, 2, u32::MAX] {
            assert!(matches!(
                current(&issuer, number, Form::Jwt, 1).await,
                Err(PublishError::NoSuchList(_))
            ));
        }
    }

    #[tokio::test]
    async fn a_list_that_becomes_final_late_does_not_take_the_place_of_a_newer_one() {
        let mut world = World::new().await;
        world.vc_api = Some(crate::http::VcApiConfig::default());
        let mut own = None;
        world.registry.change(&world.id(), |state| {
            state.organisation.did = "did:web:issuer.example".into();
            own = Some(state.clone());
        });
        let issuer = open(&world);
        let uri = issuer.bitstring_uri(1, StatusPurpose::Suspension);
        let served = async || current(&issuer, 1, Form::Suspension, NOW_S).await.unwrap();
        let first = served().await;
        set(&issuer, 8, Status::Suspended);
        world.registry.hold(1);
        assert_eq!(served().await, first, "the ledger has not answered");
        // It says something else by now, and for a while nothing can be signed.
        set(&issuer, 9, Status::Suspended);
        world.registry.change(&world.id(), |own| {
            let keys = &mut own.organisation.keys;
            keys.retain(|key| key.key_use != KeyUse::CredentialEdDsa);
        });
        assert_eq!(served().await, first);
        world.registry.put(own.unwrap());
        // Lifted: it says what the one that is served says, but that one may not be the newest for long.
        set(&issuer, 8, Status::Valid);
        set(&issuer, 9, Status::Valid);
        let lifted = served().await;
        assert_eq!(world.registry.release(), 0, "what came late is older");
        let newest = world.registry.list(&uri).unwrap();
        assert_eq!(newest.token, token_digest(&lifted));
        assert_eq!(served().await, lifted);
    }

    #[tokio::test]
    async fn a_list_that_got_no_answer_is_sent_again_as_it_is() {
        let world = World::new().await;
        let issuer = open(&world);
        let uri = issuer.status_list_uri(1);
        let served = async || current(&issuer, 1, Form::Jwt, NOW_S).await.unwrap();
        let first = served().await;
        set(&issuer, 8, Status::Suspended);
        world.registry.hold(3);
        for _ in 0..3 {
            assert_eq!(served().await, first);
        }
        let sent = served().await;
        let newest = || world.registry.list(&uri).unwrap();
        assert_eq!(newest().token, token_digest(&sent));
        assert_eq!(
            newest().issued_ms,
            u64::try_from(NOW_S).unwrap() * 1000,
            "the clock of the list does not run ahead"
        );
        world.registry.release();
        assert_eq!(newest().token, token_digest(&sent), "they are the same");
    }

    /// Slots live in memory only, so that dropping the issuer is as good as a kill.
    #[tokio::test]
    async fn a_kill_between_two_forms_of_a_list_heals() {
        let world = World::new().await;
        let issuer = open(&world);
        let uri = issuer.status_list_uri(1);
        let newest = |id| world.registry.published(&id).unwrap();
        publish(&issuer, 1).await.unwrap();
        let (jwt, cwt) = (
            newest(status_list_id(&uri)),
            newest(status_list_cwt_id(&uri)),
        );
        set(&issuer, 7, Status::Invalid);
        world.registry.swallow(1);
        assert!(publish(&issuer, 1).await.is_err());
        let between = newest(status_list_id(&uri));
        assert_eq!(between.count, jwt.count + 1);
        assert_eq!(newest(status_list_cwt_id(&uri)), cwt, "one form is there");
        drop(issuer); // the last one: RocksDB's lock goes with it
        let issuer = open(&world);
        let key = credential_key(&world);
        for (form, id, before) in [
            (Form::Cwt, status_list_cwt_id(&uri), cwt),
            (Form::Jwt, status_list_id(&uri), between),
        ] {
            let served = current(&issuer, 1, form, now_s()).await.unwrap();
            let now = newest(id);
            assert_eq!(now.token, token_digest(&served));
            assert!(now.issued_ms >= before.issued_ms && now.count == before.count + 1);
            let list = match form {
                Form::Cwt => StatusListCwt::parse(&served)
                    .unwrap()
                    .verify(&key, &uri, now_s()),
                _ => StatusListToken::parse(std::str::from_utf8(&served).unwrap())
                    .unwrap()
                    .verify(&key, &uri, now_s()),
            };
            assert_eq!(list.unwrap().status_at(7), Ok(Status::Invalid));
        }
    }
}
