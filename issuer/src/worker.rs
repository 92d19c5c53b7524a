//! The queue: signs and seals, then deposits, in small steps that each end on disk.
//!
//! ```text
//! waiting ──pairing──▶ queued ──▶ sealed (bytes on disk) ──▶ deposited (receipt on disk)
//! ```
//! A crash after any step repeats that step at most: the same bytes under the same record id go out again, and the host
//! answers with the receipt that it gave before.

use crate::deposit::{Answer, check_chain, send};
use crate::issuer::{Issuer, blocking, rng};
use crate::model::{Invited, Record, Sealing, Status, StatusPlace};
use crate::pairing::{AnswerError, check_against_registry};
use crate::signing::{OpenInvitation, SignError, Signer};
use crate::store::StoreError;
use bytes::Bytes;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tegata_consent::cose::public_key;
use tegata_consent::ids::{Hash, OrganisationId, RecordId};
use tegata_consent::invitation::{Invitation, invitation_digest};
use tegata_consent::organisation::{KeyUse, OrganisationState};
use tegata_credential::sd_jwt::StatusReference;
use tegata_credential::status_list::Status as ListStatus;
use tegata_service::clock::{now_ms, now_s};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Most records that are signed and sealed in one step.
const SEAL_BATCH: usize = 64;
/// Before the registry is asked again when it gives no answer.
const LEDGER_PAUSE: Duration = Duration::from_secs(1);
/// Before the disk is tried again.
const STORE_PAUSE: Duration = Duration::from_secs(5);
/// Before a record that needs an accreditation is tried again, in milliseconds.
const UNREGISTERED_PAUSE_MS: u64 = 5_000;

/// Works on the queue until `stop` says so; then deposits under way are awaited and settled.
pub(crate) async fn run(issuer: Arc<Issuer>, mut stop: watch::Receiver<bool>) {
    let mut worker = Worker {
        issuer,
        in_flight: HashSet::new(),
        sending: JoinSet::new(),
        hosts: HashMap::new(),
    };
    while !*stop.borrow() {
        let next = match worker.step().await {
            Ok(next) => next,
            Err(error) => {
                tracing::error!(%error, "the queue cannot go on; it tries again");
                Some(Instant::now() + STORE_PAUSE)
            }
        };
        let pause = async {
            match next {
                Some(next) => tokio::time::sleep_until(next.into()).await,
                None => std::future::pending().await,
            }
        };
        let answered = tokio::select! {
            () = pause => None,
            () = worker.issuer.queue_wake.notified() => None,
            _ = stop.changed() => None,
            Some(answered) = worker.sending.join_next() => Some(answered),
        };
        worker.settle_answered(answered).await;
    }
    while let Some(answered) = worker.sending.join_next().await {
        worker.settle_answered(Some(answered)).await;
    }
}

type Answered = (RecordId, OrganisationId, Answer);

struct Worker {
    issuer: Arc<Issuer>,
    in_flight: HashSet<RecordId>,
    sending: JoinSet<Answered>,
    /// Hosts that do not answer: how often they failed, and until when they are left alone.
    hosts: HashMap<OrganisationId, (u32, u64)>,
}

impl Worker {
    /// Seals what is queued and sends what is sealed, as far as there is room. Gives when to look again.
    async fn step(&mut self) -> Result<Option<Instant>, StoreError> {
        let room = self
            .issuer
            .config
            .deposits
            .concurrency
            .max(1)
            .saturating_sub(self.in_flight.len());
        if room == 0 {
            return Ok(None); // the next answer makes room
        }
        let skip = self.in_flight.clone();
        let limit = room.max(SEAL_BATCH);
        let now = now_ms();
        let (due, next_ms) = blocking(&self.issuer, move |issuer| {
            issuer.store.due(now, limit, |id| skip.contains(id))
        })
        .await?;
        if due.is_empty() {
            let until_ms = next_ms.map(|next_ms| next_ms.saturating_sub(now_ms()));
            return Ok(until_ms.map(|until_ms| Instant::now() + Duration::from_millis(until_ms)));
        }
        let (queued, mut sealed): (Vec<Record>, Vec<Record>) = due
            .into_iter()
            .partition(|record| record.status == Status::Queued);
        if !queued.is_empty() {
            match self.issuer.own().await {
                Ok(own) => sealed.extend(seal(&self.issuer, queued, own).await?),
                Err(error) => {
                    tracing::debug!(%error, "the registry gives no answer; the queue waits");
                    return Ok(Some(Instant::now() + LEDGER_PAUSE));
                }
            }
        }
        self.send(sealed.into_iter().take(room).collect()).await?;
        // Each of them is under way now, or due later, or waits: there may be others.
        Ok(Some(Instant::now()))
    }

    async fn send(&mut self, records: Vec<Record>) -> Result<(), StoreError> {
        let now = now_ms();
        let (mut postponed, mut lost) = (Vec::new(), Vec::new());
        for record in records {
            let Some(sealing) = record.sealing.clone() else {
                lost.push(record.id);
                continue;
            };
            if let Some((_, until_ms)) = self.hosts.get(&sealing.host)
                && *until_ms > now
            {
                postponed.push((record.id, *until_ms));
                continue;
            }
            let id = record.id;
            let Some(bytes) =
                blocking(&self.issuer, move |issuer| issuer.store.sealed(&id)).await?
            else {
                lost.push(id);
                continue;
            };
            self.in_flight.insert(id);
            let issuer = Arc::clone(&self.issuer);
            self.sending.spawn(async move {
                let started = Instant::now();
                let answer = send(&issuer, &record, &sealing, Bytes::from(bytes)).await;
                metrics::histogram!("tegata_issuer_deposit_seconds")
                    .record(started.elapsed().as_secs_f64());
                (id, sealing.host, answer)
            });
        }
        if postponed.is_empty() && lost.is_empty() {
            return Ok(());
        }
        blocking(&self.issuer, move |issuer| {
            postpone(issuer, &postponed, &lost)
        })
        .await
    }

    /// Settles an answer, and those that came with it, in one write. Where the disk refuses, the records stay sealed and
    /// are sent again.
    async fn settle_answered(
        &mut self,
        answered: Option<Result<Answered, tokio::task::JoinError>>,
    ) {
        let mut all = Vec::new();
        let mut next = answered;
        while let Some(answered) = next {
            match answered {
                Ok(answered) => all.push(answered),
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
            next = self.sending.try_join_next();
        }
        if all.is_empty() {
            return;
        }
        for (id, host, answer) in &all {
            self.in_flight.remove(id);
            self.note_host(*host, answer);
        }
        let settled = blocking(&self.issuer, move |issuer| settle(issuer, all, now_ms())).await;
        if let Err(error) = settled {
            tracing::error!(%error, "receipts could not be stored; the deposits will be sent again");
            tokio::time::sleep(STORE_PAUSE).await;
        }
    }

    fn note_host(&mut self, host: OrganisationId, answer: &Answer) {
        if let Answer::Later {
            host_down: true, ..
        } = answer
        {
            let now = now_ms();
            let (failures, until_ms) = self.hosts.entry(host).or_default();
            if *until_ms <= now {
                *until_ms = now + pause_ms(&self.issuer, *failures);
                *failures += 1;
            }
        } else {
            self.hosts.remove(&host);
        }
    }
}

/// What became of signing and sealing a record.
enum Made {
    Sealed {
        id: RecordId,
        place: StatusPlace,
        sealing: Sealing,
        bytes: Vec<u8>,
    },
    Waiting {
        id: RecordId,
        reason: &'static str,
        /// Digest of the invitation that was looked at.
        seen: Option<Hash>,
    },
    Refused {
        id: RecordId,
        reason: &'static str,
    },
    Later {
        id: RecordId,
        reason: &'static str,
    },
}

/// Signs and seals records on all processors, stores the bytes in one synced write, and gives those that are sealed now.
pub(crate) async fn seal(
    issuer: &Arc<Issuer>,
    records: Vec<Record>,
    own: Option<OrganisationState>,
) -> Result<Vec<Record>, StoreError> {
    let Some(own) = own.filter(|own| keys_count(issuer, own)) else {
        let later = records
            .into_iter()
            .map(|record| Made::Later {
                id: record.id,
                reason: "not-registered",
            })
            .collect();
        return blocking(issuer, move |issuer| store_made(issuer, later)).await;
    };
    let subjects: HashSet<String> = records
        .iter()
        .map(|record| record.subject.clone())
        .collect();
    let invitations = open_invitations(issuer, subjects).await?;
    let shared = Arc::new((own, invitations));
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let chunk = records.len().div_ceil(workers).max(1);
    let mut sealing = Vec::new();
    let mut records = records.into_iter().peekable();
    while records.peek().is_some() {
        let part: Vec<Record> = records.by_ref().take(chunk).collect();
        let shared = Arc::clone(&shared);
        sealing.push(blocking(issuer, move |issuer| {
            part.into_iter()
                .map(|record| make(issuer, &shared.0, &shared.1, record))
                .collect::<Vec<_>>()
        }));
    }
    let made = futures::future::join_all(sealing)
        .await
        .into_iter()
        .flatten()
        .collect();
    blocking(issuer, move |issuer| store_made(issuer, made)).await
}

/// Whether the keys that this service signs with are registered and count now.
fn keys_count(issuer: &Issuer, own: &OrganisationState) -> bool {
    let now = now_ms();
    let public = issuer.credential_key.public_key();
    let key_use = match public.algorithm() {
        tegata_credential::keys::Algorithm::EdDsa => KeyUse::CredentialEdDsa,
        tegata_credential::keys::Algorithm::Es256 => KeyUse::CredentialEs256,
    };
    own.signs_with(&public_key(&issuer.keys.sign), now)
        && own
            .keys_at(key_use, now)
            .any(|key| key.public == public.to_bytes())
}

/// Why nothing goes out under a person's invitation now.
#[derive(Clone, Copy)]
enum Closed {
    /// Until the person pairs again.
    Waiting(&'static str),
    /// For a while.
    Later(&'static str),
}

/// What was found of a person's invitation.
struct LookedUp {
    /// Digest of the newest invitation; `None` where there is none.
    seen: Option<Hash>,
    opened: Result<OpenInvitation, Closed>,
}

async fn open_invitations(
    issuer: &Arc<Issuer>,
    subjects: HashSet<String>,
) -> Result<HashMap<String, LookedUp>, StoreError> {
    let read = blocking(issuer, move |issuer| {
        let read = |subject: String| {
            issuer
                .store
                .invited(&subject)
                .map(|invited| (subject, invited))
        };
        subjects
            .into_iter()
            .map(read)
            .collect::<Result<Vec<_>, _>>()
    })
    .await?;
    let mut looked_up = HashMap::new();
    for (subject, invited) in read {
        let seen = invited
            .as_ref()
            .map(|invited| invitation_digest(&invited.invitation));
        let opened = match invited {
            None => Err(Closed::Waiting("no-vault")),
            Some(invited) => open_invitation(issuer, invited).await,
        };
        looked_up.insert(subject, LookedUp { seen, opened });
    }
    Ok(looked_up)
}

async fn open_invitation(issuer: &Issuer, invited: Invited) -> Result<OpenInvitation, Closed> {
    let verified = Invitation::verify(&invited.invitation, &issuer.chain, &issuer.id)
        .map_err(|_| Closed::Waiting("invitation"))?;
    if now_ms() >= verified.invitation.expires_ms {
        return Err(Closed::Waiting("invitation-expired"));
    }
    match check_against_registry(issuer, &verified, now_ms()).await {
        // What this organisation may issue is asked for each record.
        Ok(()) | Err(AnswerError::NotAccredited(_)) => Ok(OpenInvitation {
            verified,
            bytes: invited.invitation.to_vec(),
        }),
        Err(AnswerError::UnknownHost(_)) => Err(Closed::Waiting("host-unknown")),
        Err(AnswerError::SuspendedHost(_)) => Err(Closed::Later("host-suspended")),
        Err(AnswerError::NoDrawer(_)) => Err(Closed::Waiting("no-drawer")),
        Err(_) => Err(Closed::Later("ledger")),
    }
}

fn make(
    issuer: &Issuer,
    own: &OrganisationState,
    invitations: &HashMap<String, LookedUp>,
    record: Record,
) -> Made {
    let id = record.id;
    let Some(LookedUp { seen, opened }) = invitations.get(&record.subject) else {
        return Made::Later {
            id,
            reason: "ledger",
        };
    };
    let seen = *seen;
    let open = match opened {
        Ok(open) => open,
        Err(Closed::Later(reason)) => return Made::Later { id, reason },
        Err(Closed::Waiting(reason)) => return Made::Waiting { id, reason, seen },
    };
    if !own.may_issue(&record.record_type, now_ms()) {
        return Made::Refused {
            id,
            reason: "not-accredited",
        };
    }
    let signer = Signer {
        chain: issuer.chain,
        depositor: issuer.id,
        did: &own.organisation.did,
        deposit_key: &issuer.keys.sign,
        credential_key: &issuer.credential_key,
    };
    let place = record
        .place
        .unwrap_or_else(|| issuer.store.reserve_place(rand::random));
    let give_back = || {
        if record.place.is_none() {
            issuer.store.give_back(place);
        }
    };
    let uri = issuer.status_list_uri(place.list);
    let status = StatusReference {
        uri,
        index: u64::from(place.index),
    };
    match signer.seal(&record, status, open, now_s(), &mut rng()) {
        Ok((bytes, sealing)) => Made::Sealed {
            id,
            place,
            sealing,
            bytes,
        },
        Err(error @ SignError::NotInvited(_)) => {
            give_back();
            Made::Waiting {
                id,
                reason: error.code(),
                seen,
            }
        }
        Err(error) => {
            give_back();
            // Only the code: an error of the schema names claims.
            tracing::warn!(record = %id, reason = error.code(), "a record cannot be signed");
            Made::Refused {
                id,
                reason: error.code(),
            }
        }
    }
}

fn store_made(issuer: &Issuer, made: Vec<Made>) -> Result<Vec<Record>, StoreError> {
    let now = now_ms();
    let mut change = issuer.store.change();
    let mut sealed = Vec::new();
    let mut unused = Vec::new();
    let mut any_suspended = false;
    for made in made {
        let id = match &made {
            Made::Sealed { id, .. }
            | Made::Waiting { id, .. }
            | Made::Refused { id, .. }
            | Made::Later { id, .. } => *id,
        };
        let Some(mut record) = change.record(&id)? else {
            continue;
        };
        if record.status != Status::Queued {
            // It was taken back meanwhile.
            if let Made::Sealed { place, .. } = made
                && record.place != Some(place)
            {
                unused.push(place);
            }
            continue;
        }
        match made {
            Made::Sealed {
                place,
                sealing,
                bytes,
                ..
            } => {
                change.put_place(place, &id);
                change.put_sealed(&id, bytes);
                record.status = Status::Sealed;
                (record.place, record.sealing, record.attempts, record.reason) =
                    (Some(place), Some(sealing), 0, None);
                // It may have been suspended while there were only copies of it.
                if record.list_status() != ListStatus::Valid {
                    change.set_place(place, record.list_status());
                    any_suspended = true;
                }
                change.put_record(&record)?;
                sealed.push(record);
            }
            Made::Waiting { reason, seen, .. } => {
                let newest = change.invited(&record.subject)?;
                // The person paired meanwhile: the record stays queued, and is looked at again.
                if newest.map(|invited| invitation_digest(&invited.invitation)) == seen {
                    (record.status, record.reason) = (Status::Waiting, Some(reason.to_owned()));
                    change.put_record(&record)?;
                }
            }
            Made::Refused { reason, .. } => {
                (record.status, record.reason) = (Status::Refused, Some(reason.to_owned()));
                change.put_record(&record)?;
            }
            Made::Later { reason, .. } => {
                (record.due_ms, record.reason) =
                    (now + UNREGISTERED_PAUSE_MS, Some(reason.to_owned()));
                change.put_record(&record)?;
            }
        }
    }
    let committed = change.commit();
    unused
        .into_iter()
        .for_each(|place| issuer.store.give_back(place));
    committed?;
    if any_suspended {
        issuer.status_wake.notify_one();
    }
    issuer.show_counts();
    Ok(sealed)
}

/// Stores what hosts answered, in one synced write.
pub(crate) fn settle(
    issuer: &Issuer,
    answered: Vec<Answered>,
    now_ms: u64,
) -> Result<(), StoreError> {
    let mut change = issuer.store.change();
    let mut deposited = Vec::new();
    for (id, _, answer) in answered {
        let Some(mut record) = change.record(&id)? else {
            continue;
        };
        match answer {
            Answer::Taken { bytes, receipt } => {
                if !check_chain(&mut change, &receipt, &bytes)? {
                    metrics::counter!("tegata_issuer_bad_receipts_total").increment(1);
                    tracing::warn!(host = %receipt.host, "a host's receipt contradicts one that it gave before");
                    postpone_record(issuer, &mut record, "receipt-chain".to_owned(), now_ms);
                } else {
                    record.receipt = Some(bytes.into());
                    record.deposited_ms = Some(now_ms);
                    // Taken back while it was on its way: it stays so, and its bit is set.
                    if record.status == Status::Sealed {
                        record.status = Status::Deposited;
                        (record.claims, record.reason) = (None, None);
                        change.delete_sealed(&id);
                        deposited.push(record.record_type.clone());
                    }
                }
            }
            _ if record.status != Status::Sealed => continue,
            Answer::Refused(reason) => {
                change.delete_sealed(&id);
                let invited = change.invited(&record.subject)?;
                let current = invited.map(|invited| invitation_digest(&invited.invitation));
                let newer = current != record.sealing.as_ref().map(|sealing| sealing.invitation);
                // Under a newer invitation it is sealed anew; one that is over makes it wait; else nothing would change.
                let over = reason.ends_with("-invitation-expired");
                record.status = if newer || over {
                    Status::Queued
                } else {
                    Status::Refused
                };
                if over {
                    record.due_ms = now_ms + pause_ms(issuer, 0);
                }
                (record.sealing, record.reason) = (None, Some(reason));
            }
            Answer::Later { reason, .. } => postpone_record(issuer, &mut record, reason, now_ms),
        }
        change.put_record(&record)?;
    }
    change.commit()?;
    for record_type in deposited {
        metrics::counter!("tegata_issuer_deposited_total", "record_type" => record_type)
            .increment(1);
    }
    issuer.show_counts();
    Ok(())
}

fn postpone_record(issuer: &Issuer, record: &mut Record, reason: String, now_ms: u64) {
    record.due_ms = now_ms + pause_ms(issuer, record.attempts);
    record.attempts += 1;
    record.reason = Some(reason);
}

/// Leaves records of a host alone for a while, and has those sealed again whose bytes are not there. Records that were
/// taken back meanwhile stay so.
fn postpone(
    issuer: &Issuer,
    records: &[(RecordId, u64)],
    lost: &[RecordId],
) -> Result<(), StoreError> {
    let mut change = issuer.store.change();
    for id in lost {
        if let Some(mut record) = change
            .record(id)?
            .filter(|record| record.status == Status::Sealed)
        {
            tracing::error!(record = %id, "the sealed bytes of a record are gone; it is sealed again");
            (record.status, record.sealing) = (Status::Queued, None);
            change.put_record(&record)?;
        }
    }
    for (id, until_ms) in records {
        if let Some(mut record) = change
            .record(id)?
            .filter(|record| record.status == Status::Sealed)
        {
            record.due_ms = *until_ms;
            change.put_record(&record)?;
        }
    }
    change.commit()
}

/// Doubles with every failure up to the longest pause, half of it by chance, so that not all come back at once.
fn pause_ms(issuer: &Issuer, failures: u32) -> u64 {
    let config = &issuer.config.deposits;
    let whole = config
        .pause_ms
        .saturating_mul(1 << failures.min(20))
        .clamp(1, config.pause_max_ms.max(1));
    whole / 2 + rand::random::<u64>() % (whole / 2 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::world::{CHAIN, Wallet, World, config, immunization};
    use tegata_consent::cose::Signed;

    /// An issuer that has taken one record in, whose person nobody has paired with.
    async fn with_a_record() -> (World, Arc<Issuer>, Record) {
        let world = World::new().await;
        let registry = Arc::clone(&world.registry) as Arc<dyn crate::registry::Registry>;
        let config = config(world.folder.path(), "127.0.0.1:1".parse().unwrap());
        let issuer = Issuer::open(config, registry).unwrap();
        let resource = immunization("0012", "imm-1", "A").to_string();
        let taken = crate::fhir::post(&issuer, resource.as_bytes(), "Immunization", "emr");
        let (record, _) = taken.await.unwrap();
        (world, issuer, record)
    }

    #[tokio::test]
    async fn who_pairs_meanwhile_is_not_missed() {
        let (_world, issuer, mut record) = with_a_record().await;
        let invited = Invited {
            invitation: b"newer".to_vec().into(),
            accepted_ms: 1,
        };
        let newest = Some(invitation_digest(&invited.invitation));
        record.status = Status::Queued;
        let mut change = issuer.store.change();
        change.put_record(&record).unwrap();
        change.put_invited("0012", &invited);
        change.commit().unwrap();
        for (seen, status) in [(None, Status::Queued), (newest, Status::Waiting)] {
            let made = Made::Waiting {
                id: record.id,
                reason: "no-vault",
                seen,
            };
            assert!(store_made(&issuer, vec![made]).unwrap().is_empty());
            assert_eq!(
                issuer.store.record(&record.id).unwrap().unwrap().status,
                status
            );
        }
    }

    #[tokio::test]
    async fn a_place_of_what_was_not_sealed_is_given_back() {
        let (world, issuer, mut record) = with_a_record().await;
        let id = record.id;
        let wallet = Wallet::new();
        let mut invitation = wallet.invitation(&world.host_id(), &world.id(), "code");
        let mut queue = |record_types: &[&str], claims: Option<&[u8]>| {
            invitation.record_types = record_types.iter().map(|one| (*one).to_owned()).collect();
            let signed = invitation.sign(&wallet.secret.vault_key(), &CHAIN);
            let invited = Invited {
                invitation: signed.to_bytes().into(),
                accepted_ms: 1,
            };
            record.status = Status::Queued;
            if let Some(claims) = claims {
                record.claims = Some(claims.to_vec().into());
            }
            let mut change = issuer.store.change();
            change.put_record(&record).unwrap();
            change.put_invited("0012", &invited);
            change.commit().unwrap();
            record.clone()
        };
        let own = async || issuer.own().await.unwrap();
        let now = || issuer.store.record(&id).unwrap().unwrap();

        let not_invited = queue(&["laboratory_result"], None);
        assert!(
            seal(&issuer, vec![not_invited], own().await)
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(now().reason.as_deref(), Some("not-invited"));
        assert_eq!(issuer.store.places_taken(), 0);

        // Taken back while it was sealed.
        queue(&["vaccination"], None);
        let place = issuer.store.reserve_place(|| 7);
        let sealed = Made::Sealed {
            id,
            place,
            sealing: Sealing {
                host: world.host_id(),
                drawer: wallet.drawer("vaccination"),
                invitation: Hash([1; 32]),
                deposit: Hash([2; 32]),
            },
            bytes: Vec::new(),
        };
        let mut change = issuer.store.change();
        crate::intake::revoke(&mut change, &id, "wrong", now_ms()).unwrap();
        change.commit().unwrap();
        assert!(store_made(&issuer, vec![sealed]).unwrap().is_empty());
        assert_eq!(issuer.store.places_taken(), 0);

        let wrong = queue(&["vaccination"], Some(b"{}"));
        assert!(
            seal(&issuer, vec![wrong], own().await)
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(now().status, Status::Refused);
        assert_eq!(issuer.store.places_taken(), 0);
    }
}
