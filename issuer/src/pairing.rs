//! Pairing: a one-time code, given at the counter after checking identity, binds a person's vault to the organisation's own
//! number for that person.

use crate::issuer::{Issuer, blocking, rng};
use crate::model::{Invited, Pairing, Status};
use crate::store::StoreError;
use rand::Rng;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tegata_consent::cose::CoseError;
use tegata_consent::ids::{Hash, OrganisationId};
use tegata_consent::invitation::{Invitation, InvitationError, VerifiedInvitation, pairing_hash};
use tegata_consent::keys::Secret;
use tegata_consent::lock::{Lock, LockLabel};
use tegata_consent::organisation::Role;
use tegata_credential::keys::{Algorithm, PublicKey};
use tegata_records::catalogue;
use tegata_service::http::Address;
use tegata_service::ledger::LedgerError;

/// Crockford's base 32: no I, L, O and U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters of a code: 80 random bits.
const CODE_LENGTH: usize = 16;
/// Characters between hyphens.
const GROUP_LENGTH: usize = 4;

/// A new pairing code in groups: `7KQ2-XM4D-0R9V-HB3T`. 80 random bits.
pub(crate) fn new_code(rng: &mut impl Rng) -> String {
    let mut code = String::with_capacity(CODE_LENGTH + CODE_LENGTH / GROUP_LENGTH);
    let mut bytes = [0; CODE_LENGTH];
    rng.fill_bytes(&mut bytes);
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 && index % GROUP_LENGTH == 0 {
            code.push('-');
        }
        code.push(char::from(ALPHABET[usize::from(byte % 32)]));
    }
    code
}

/// A code as somebody typed it, without hyphens: case does not matter, I and L are 1, O is 0.
pub(crate) fn plain_code(typed: &str) -> Option<String> {
    let mut code = String::with_capacity(CODE_LENGTH);
    for typed in typed
        .chars()
        .filter(|typed| !typed.is_whitespace() && *typed != '-')
        .take(CODE_LENGTH + 1)
    {
        let meant = match typed.to_ascii_uppercase() {
            'I' | 'L' => '1',
            'O' => '0',
            other => other,
        };
        if !meant.is_ascii() || !ALPHABET.contains(&(meant as u8)) {
            return None;
        }
        code.push(meant);
    }
    (code.len() == CODE_LENGTH).then_some(code)
}

/// A pairing that was begun.
pub(crate) struct Begun {
    pub(crate) code: String,
    pub(crate) link: String,
    pub(crate) expires_ms: u64,
}

/// Gives out a code for a person. The code itself is not kept, only its hashes.
pub(crate) async fn begin(
    issuer: &Arc<Issuer>,
    subject: String,
    system: String,
    now_ms: u64,
) -> Result<Begun, StoreError> {
    let code = new_code(&mut rng());
    let expires_ms = now_ms + issuer.config.pairing_ttl_s * 1000;
    let link = format!(
        "{}/#/pair?issuer={}&code={code}",
        issuer.config.wallet_url.trim_end_matches('/'),
        issuer.id
    );
    let key = pairing_hash(&issuer.id, &code.replace('-', ""));
    let grouped = pairing_hash(&issuer.id, &code);
    let pairing = Pairing {
        subject,
        system,
        expires_ms,
        answered: None,
        grouped,
    };
    blocking(issuer, move |issuer| {
        let mut change = issuer.store.change();
        change.put_pairing(&key, &pairing);
        change.commit()
    })
    .await?;
    Ok(Begun {
        code,
        link,
        expires_ms,
    })
}

/// Why an answer is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error("no such code was given out")]
    UnknownCode,
    #[error("the code expired")]
    Expired,
    #[error("the code was used already")]
    Used,
    #[error(transparent)]
    Invitation(#[from] InvitationError),
    #[error("host {0} is not registered as a vault host")]
    UnknownHost(OrganisationId),
    #[error("host {0} is suspended")]
    SuspendedHost(OrganisationId),
    #[error("this organisation is not accredited to issue {0:?}")]
    NotAccredited(String),
    #[error("there is no drawer for the category of {0:?}")]
    NoDrawer(String),
    #[error("a key of a drawer is not usable")]
    DrawerKey,
    #[error("the holder key is not usable")]
    HolderKey,
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an answer opened.
#[derive(Debug)]
pub(crate) struct Paired {
    pub(crate) record_types: Vec<String>,
    /// Records that waited and are queued now.
    pub(crate) released: usize,
}

/// Takes a wallet's answer: checks the invitation, uses the code up, replaces the person's invitation, and queues what
/// waited for it, all in one synced write. The same answer again is the same pairing.
pub(crate) async fn answer(
    issuer: &Arc<Issuer>,
    code: &str,
    bytes: Vec<u8>,
    now_ms: u64,
) -> Result<Paired, AnswerError> {
    let code = plain_code(code).ok_or(AnswerError::UnknownCode)?;
    let key = pairing_hash(&issuer.id, &code);
    let pairing = blocking(issuer, move |issuer| issuer.store.pairing(&key))
        .await?
        .ok_or(AnswerError::UnknownCode)?;
    let invited = Invitation::verify(&bytes, &issuer.chain, &issuer.id);
    match (&pairing.answered, &invited) {
        (Some(known), Ok(invited)) if *known == invited.digest => {
            return Ok(Paired {
                record_types: invited.invitation.record_types.clone(),
                released: 0,
            });
        }
        (Some(_), _) => return Err(AnswerError::Used),
        (None, _) if now_ms >= pairing.expires_ms => return Err(AnswerError::Expired),
        (None, _) => {}
    }
    let invited = invited?;
    if invited.check_open(&key, now_ms).is_err() {
        // A wallet may take the code with its hyphens, as it was shown.
        invited.check_open(&pairing.grouped, now_ms)?;
    }
    check_against_registry(issuer, &invited, now_ms).await?;
    let checked = invited.clone();
    blocking(issuer, move |issuer| check_keys(issuer, &checked)).await?;
    blocking(issuer, move |issuer| {
        store_answer(issuer, &key, &invited, bytes, now_ms)
    })
    .await
}

/// What the registry must say of an invitation, now and again whenever something goes out under it.
pub(crate) async fn check_against_registry(
    issuer: &Issuer,
    invited: &VerifiedInvitation,
    now_ms: u64,
) -> Result<(), AnswerError> {
    let host = invited.invitation.host;
    let state = issuer.registry.organisation(&host).await?;
    let state = state
        .filter(|state| state.has_role(Role::Host))
        .ok_or(AnswerError::UnknownHost(host))?;
    if state.organisation.url(Role::Host).is_none() {
        return Err(AnswerError::UnknownHost(host));
    }
    if state.suspended_at(now_ms) {
        return Err(AnswerError::SuspendedHost(host));
    }
    let own = issuer.own().await?;
    for record_type in &invited.invitation.record_types {
        let known = catalogue().by_id(record_type);
        let may = own
            .as_ref()
            .is_some_and(|own| own.may_issue(record_type, now_ms));
        let known = known
            .filter(|_| may)
            .ok_or_else(|| AnswerError::NotAccredited(record_type.clone()))?;
        if invited.drawer(known.category().code()).is_none() {
            return Err(AnswerError::NoDrawer(record_type.clone()));
        }
    }
    Ok(())
}

/// Tries every key once, so that no record gets stuck on one later.
fn check_keys(issuer: &Issuer, invited: &VerifiedInvitation) -> Result<(), AnswerError> {
    PublicKey::from_bytes(Algorithm::EdDsa, &invited.invitation.holder.0)
        .map_err(|_| AnswerError::HolderKey)?;
    for drawer in &invited.invitation.drawers {
        let label = LockLabel::new(issuer.chain, drawer.id, crate::issuer::random_id(), 0);
        let trial = Secret::new(rand::random());
        Lock::make(&trial, &drawer.reader_key, &label, &mut rng())
            .map_err(|_| AnswerError::DrawerKey)?;
        Lock::make(&trial, &drawer.drawer_key, &label, &mut rng())
            .map_err(|_| AnswerError::DrawerKey)?;
    }
    Ok(())
}

fn store_answer(
    issuer: &Issuer,
    key: &Hash,
    invited: &VerifiedInvitation,
    bytes: Vec<u8>,
    now_ms: u64,
) -> Result<Paired, AnswerError> {
    let mut change = issuer.store.change();
    let mut pairing = change.pairing(key)?.ok_or(AnswerError::UnknownCode)?;
    match pairing.answered {
        Some(known) if known != invited.digest => return Err(AnswerError::Used),
        _ => pairing.answered = Some(invited.digest),
    }
    change.put_pairing(key, &pairing);
    change.put_invited(
        &pairing.subject,
        &Invited {
            invitation: bytes.into(),
            accepted_ms: now_ms,
        },
    );
    let mut released = 0;
    for mut record in change.by_subject(&pairing.subject)? {
        if record.status == Status::Waiting {
            record.status = Status::Queued;
            (record.reason, record.due_ms) = (None, now_ms);
            change.put_record(&record)?;
            released += 1;
        }
    }
    change.commit()?;
    issuer.show_counts();
    issuer.queue_wake.notify_one();
    metrics::counter!("tegata_issuer_pairings_total").increment(1);
    Ok(Paired {
        record_types: invited.invitation.record_types.clone(),
        released,
    })
}

impl AnswerError {
    /// The stable code.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::UnknownCode => "pairing-unknown",
            Self::Expired => "pairing-expired",
            Self::Used => "pairing-used",
            Self::Invitation(error) => match error {
                InvitationError::Cose(CoseError::Signature(_) | CoseError::Key(_)) => {
                    "invitation-signature"
                }
                InvitationError::Cose(_) => "invitation-malformed",
                InvitationError::OtherDepositor(_) => "other-depositor",
                InvitationError::OtherHost(_) => "other-host",
                InvitationError::Expired(_) => "invitation-expired",
                InvitationError::OtherPairing => "other-pairing",
                InvitationError::Size => "invitation-size",
                InvitationError::Suite(_) => "suite-unknown",
                #[allow(unreachable_patterns)]
                _ => "invitation-refused",
            },
            Self::UnknownHost(_) => "host-unknown",
            Self::SuspendedHost(_) => "host-suspended",
            Self::NotAccredited(_) => "not-accredited",
            Self::NoDrawer(_) => "no-drawer",
            Self::DrawerKey => "drawer-key",
            Self::HolderKey => "holder-key",
            Self::Ledger(_) => "ledger",
            Self::Store(_) => "internal",
        }
    }
}

/// Wrong codes a minute from one address.
const WRONG_MAX: u32 = 10;
const WINDOW_MS: u64 = 60_000;
/// Most addresses that are remembered.
const ADDRESSES_MAX: usize = 10_000;

/// Counts wrong codes by address. Those whose address is not known (behind a proxy that the configuration does not name)
/// are not counted: one of them would keep all others out.
pub(crate) struct Attempts {
    max: u32,
    counts: Mutex<HashMap<IpAddr, (u64, u32)>>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self::limited(WRONG_MAX)
    }
}

impl Attempts {
    /// Up to `max` a minute from one address.
    pub(crate) fn limited(max: u32) -> Self {
        Self {
            max,
            counts: Mutex::default(),
        }
    }

    /// Whether an address may try: else, in how many seconds.
    pub(crate) fn check(&self, Address(address): Address, now_ms: u64) -> Result<(), u64> {
        let attempts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match address.and_then(|address| attempts.get(&address)) {
            Some((since_ms, wrong)) if *wrong >= self.max && now_ms < since_ms + WINDOW_MS => {
                Err((since_ms + WINDOW_MS - now_ms).div_ceil(1000))
            }
            _ => Ok(()),
        }
    }

    /// Counts a wrong code.
    pub(crate) fn wrong(&self, Address(address): Address, now_ms: u64) {
        let Some(address) = address else { return };
        let mut attempts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if attempts.len() >= ADDRESSES_MAX {
            attempts.retain(|_, (since_ms, _)| now_ms < *since_ms + WINDOW_MS);
        }
        if attempts.len() >= ADDRESSES_MAX {
            attempts.clear(); // 80 random bits do not need the limit; memory does
        }
        let (since_ms, wrong) = attempts.entry(address).or_insert((now_ms, 0));
        if now_ms >= *since_ms + WINDOW_MS {
            (*since_ms, *wrong) = (now_ms, 0);
        }
        *wrong += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_eighty_bits_and_are_read_as_people_write_them() {
        let code = new_code(&mut rng());
        assert_eq!(code.len(), 19);
        assert_ne!(code, new_code(&mut rng()));
        assert_eq!(plain_code(&code).unwrap(), code.replace('-', ""));
        assert_eq!(
            plain_code(" 7kq2 xm4d-oriv lb3t ").unwrap(),
            "7KQ2XM4D0R1V1B3T"
        );
        for wrong in [
            "",
            "7KQ2-XM4D-0R9V-HB3",
            "7KQ2-XM4D-0R9V-HB3TT",
            "7KQ2-XM4D-0R9V-HB3U",
            "７KQ2-XM4D-0R9V-HB3T",
        ] {
            assert_eq!(plain_code(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn ten_wrong_codes_a_minute() {
        let attempts = Attempts::default();
        let of = |text: &str| Address::of(text.parse().unwrap());
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(of);
        for _ in 0..10 {
            assert_eq!(attempts.check(one, 1_000), Ok(()));
            attempts.wrong(one, 1_000);
        }
        assert_eq!(attempts.check(one, 11_000), Err(50));
        assert_eq!(attempts.check(of("::ffff:192.0.2.1"), 11_000), Err(50));
        assert_eq!(attempts.check(other, 11_000), Ok(()));
        assert_eq!(attempts.check(one, 61_000), Ok(()));
        attempts.wrong(one, 61_000);
        assert_eq!(attempts.check(one, 61_000), Ok(()));
        let [a, b] = ["2001:db8::1", "2001:db8::2"].map(of);
        (0..10).for_each(|_| attempts.wrong(a, 0));
        assert!(attempts.check(b, 0).is_err());
        (0..10).for_each(|_| attempts.wrong(of("127.0.0.1"), 0));
        assert_eq!(attempts.check(of("127.0.0.1"), 0), Ok(()));
    }
}
