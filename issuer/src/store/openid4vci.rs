//! What OpenID4VCI leaves on disk: offers, requests, codes, tokens and used nonces, each until it expires, and the places
//! of copies in status lists, which stay.
//!
//! A secret is not kept: a row's key is a hash of it.

use super::keys::{place_key, place_of};
use super::{Change, Store, StoreError, Table};
use crate::model::StatusPlace;
use minicbor::{Decode, Encode};
use std::sync::atomic::Ordering;
use tegata_consent::cbor;
use tegata_consent::ids::{Hash, RecordId, hash};

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A credential offer, by its code or issuer state.
    Offer = 1,
    /// A pushed authorisation request, by its `request_uri`.
    Pushed = 2,
    /// An authorisation code.
    Code = 3,
    /// An access token.
    Token = 4,
    /// A `c_nonce` that was used.
    Nonce = 5,
    /// The `jti` of a DPoP proof that was used.
    Proof = 6,
    /// Content of a deposited record that was sent once more for an offer, by the record's id.
    Content = 7,
}

/// Prefix of the issuer's own secrets.
const OWN: u8 = 0xfe;
/// Prefix of the list of rows by the time they expire.
const EXPIRES: u8 = 0xff;
/// Most rows that are erased at once.
pub(crate) const SWEEP_MAX: usize = 1000;

/// Where a row lies: its kind, and a hash of what whoever asks for it must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(Kind, [u8; 32]);

impl Slot {
    /// The place of what is known by `secret`. How long a search takes tells nothing about a secret of 128 random bits of
    /// which only a hash is compared.
    pub(crate) fn new(kind: Kind, secret: &str) -> Self {
        let key = hash(
            "tegata/v1/issuer/openid4vci",
            &[&[kind as u8], secret.as_bytes()],
        );
        Self(kind, key)
    }

    /// The place of a record's content, which is no secret.
    pub(crate) fn content(record: &RecordId) -> Self {
        Self::new(Kind::Content, &record.to_string())
    }

    /// The hash, to be kept in another row.
    pub(crate) const fn key(&self) -> Hash {
        Hash(self.1)
    }

    /// A place by the hash that was kept.
    pub(crate) const fn of(kind: Kind, key: Hash) -> Self {
        Self(kind, key.0)
    }

    fn row(&self) -> Vec<u8> {
        [[self.0 as u8].as_slice(), &self.1].concat()
    }

    fn expiry(&self, expires_ms: u64) -> Vec<u8> {
        [[EXPIRES].as_slice(), &expires_ms.to_be_bytes(), &self.row()].concat()
    }
}

impl Store {
    /// A row, expired or not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn openid4vci<T: for<'b> Decode<'b, ()>>(
        &self,
        slot: &Slot,
    ) -> Result<Option<T>, StoreError> {
        self.value(Table::OpenId4Vci, &slot.row())
    }

    /// Counts the pushed requests once, at the start; [`Change::commit`] keeps the number from then on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) fn load_pushed(&self) -> Result<(), StoreError> {
        let rows = self.keys(Table::OpenId4Vci, &[Kind::Pushed as u8])?.len();
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        self.pushed.store(rows, Ordering::Relaxed);
        Ok(())
    }

    /// A secret of the issuer's own, made at first use.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn own_secret(
        &self,
        name: &str,
        fresh: impl FnOnce() -> [u8; 32],
    ) -> Result<[u8; 32], StoreError> {
        let key = [[OWN].as_slice(), name.as_bytes()].concat();
        let mut change = self.change();
        if let Some(known) = change.get(Table::OpenId4Vci, &key)? {
            return known
                .try_into()
                .map_err(|_| StoreError::Damaged("openid4vci"));
        }
        let secret = fresh();
        change.put(Table::OpenId4Vci, key, secret.to_vec());
        change.commit()?;
        Ok(secret)
    }

    /// Places of a record's copies in status lists.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn copies(&self, record: &RecordId) -> Result<Vec<StatusPlace>, StoreError> {
        let keys = self.keys(Table::Copies, &record.0)?;
        let place = |key: &[u8]| {
            let place = key.get(16..).ok_or(StoreError::Damaged("copies"))?;
            place_of(place)
        };
        keys.iter().map(|key| place(key)).collect()
    }
}

impl Change<'_> {
    /// A row as this change leaves it, expired or not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn openid4vci<T: for<'b> Decode<'b, ()>>(
        &self,
        slot: &Slot,
    ) -> Result<Option<T>, StoreError> {
        self.value(Table::OpenId4Vci, &slot.row())
    }

    /// Stores a row, to be erased some time after it expires. A row keeps the expiry that it was stored with first.
    pub(crate) fn put_openid4vci(&mut self, slot: &Slot, row: &impl Encode<()>, expires_ms: u64) {
        self.put(Table::OpenId4Vci, slot.row(), cbor::encode(row));
        self.put(Table::OpenId4Vci, slot.expiry(expires_ms), Vec::new());
    }

    /// Has a row that was stored with one expiry be erased after another.
    pub(crate) fn extend_openid4vci(&mut self, slot: &Slot, expires_ms: u64, to_ms: u64) {
        self.delete(Table::OpenId4Vci, slot.expiry(expires_ms));
        self.put(Table::OpenId4Vci, slot.expiry(to_ms), Vec::new());
    }

    /// Erases a row before it expires.
    pub(crate) fn delete_openid4vci(&mut self, slot: &Slot) {
        self.delete(Table::OpenId4Vci, slot.row());
    }

    /// How many pushed requests there are, as this change leaves it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn pushed(&self) -> Result<usize, StoreError> {
        let count = self.store.pushed.load(Ordering::Relaxed) + self.pushed_delta()?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// By how many pushed requests there are more after this change.
    pub(super) fn pushed_delta(&self) -> Result<i64, StoreError> {
        let first = (Table::OpenId4Vci, vec![Kind::Pushed as u8]);
        let end = (Table::OpenId4Vci, vec![Kind::Pushed as u8 + 1]);
        let mut delta = 0;
        for ((table, key), value) in self.changes.range(first..end) {
            let was = self.store.get(*table, key)?.is_some();
            delta += i64::from(value.is_some()) - i64::from(was);
        }
        Ok(delta)
    }

    /// Erases rows that expired, at most [`SWEEP_MAX`]; gives how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn sweep_openid4vci(&mut self, now_ms: u64) -> Result<usize, StoreError> {
        let mut expired = Vec::new();
        let from = rocksdb::IteratorMode::From(&[EXPIRES], rocksdb::Direction::Forward);
        let family = self.store.family(Table::OpenId4Vci);
        for item in self.store.db.iterator_cf(family, from).take(SWEEP_MAX) {
            let (key, _) = item.map_err(|error| self.store.error(error))?;
            let damaged = StoreError::Damaged("openid4vci");
            let (expires_ms, _) = key[1..].split_first_chunk::<8>().ok_or(damaged)?;
            if u64::from_be_bytes(*expires_ms) >= now_ms {
                break;
            }
            expired.push(key);
        }
        let count = expired.len();
        for key in expired {
            self.delete(Table::OpenId4Vci, key[9..].to_vec());
            self.delete(Table::OpenId4Vci, key.into_vec());
        }
        Ok(count)
    }

    /// Places of a record's copies, as they were before this change.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn copies(&self, record: &RecordId) -> Result<Vec<StatusPlace>, StoreError> {
        self.store.copies(record)
    }

    /// Keeps a reserved place in a status list for a copy of a record.
    pub(crate) fn put_copy(&mut self, record: &RecordId, place: StatusPlace) {
        self.put_place(place, record);
        let key = [record.0.as_slice(), &place_key(place)].concat();
        self.put(Table::Copies, key, Vec::new());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(store: &Store, kind: Kind) -> usize {
        store.keys(Table::OpenId4Vci, &[kind as u8]).unwrap().len()
    }

    #[test]
    fn pushed_requests_are_counted_as_they_come_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let slot = |name| Slot::new(Kind::Pushed, name);
        let change = |store: &Store, work: &dyn Fn(&mut Change<'_>), inside, after| {
            let mut change = store.change();
            work(&mut change);
            assert_eq!(change.pushed().unwrap(), inside);
            change.commit().unwrap();
            assert_eq!(store.change().pushed().unwrap(), after);
            assert_eq!(rows(store, Kind::Pushed), after);
        };
        let two = |change: &mut Change<'_>| {
            change.put_openid4vci(&slot("a"), &1u32, 1_000);
            change.put_openid4vci(&slot("b"), &1u32, 2_000);
            change.put_openid4vci(&Slot::new(Kind::Token, "c"), &1u32, 1_000);
        };
        change(&store, &two, 2, 2);
        // Written again, and a row that is not there: neither counts.
        let again = |change: &mut Change<'_>| {
            change.put_openid4vci(&slot("a"), &2u32, 1_000);
            change.delete_openid4vci(&slot("d"));
        };
        change(&store, &again, 2, 2);
        let dropped = {
            let mut change = store.change();
            change.put_openid4vci(&slot("e"), &1u32, 1_000);
            change.pushed().unwrap()
        };
        assert_eq!((dropped, store.change().pushed().unwrap()), (3, 2));
        drop(store);
        store = Store::open(folder.path()).unwrap();
        assert_eq!(store.change().pushed().unwrap(), 2, "after a start");
        let swept = |change: &mut Change<'_>| {
            change.put_openid4vci(&slot("f"), &1u32, 3_000);
            assert_eq!(change.sweep_openid4vci(1_500).unwrap(), 2);
        };
        change(&store, &swept, 2, 2);
    }

    #[test]
    fn rows_are_found_by_their_secret_and_erased_after_they_expire() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let slot = Slot::new(Kind::Code, "secret");
        assert_ne!(slot, Slot::new(Kind::Token, "secret"));
        let mut change = store.change();
        change.put_openid4vci(&slot, &7u32, 1_000);
        change.put_openid4vci(&Slot::new(Kind::Code, "later"), &8u32, 2_000);
        change.commit().unwrap();
        assert_eq!(rows(&store, Kind::Code), 2);
        assert_eq!(rows(&store, Kind::Token), 0);
        for (now_ms, left) in [(1_000, 2), (1_001, 1), (3_000, 0)] {
            let mut change = store.change();
            change.sweep_openid4vci(now_ms).unwrap();
            change.commit().unwrap();
            assert_eq!(rows(&store, Kind::Code), left);
        }
        assert_eq!(store.openid4vci::<u32>(&slot).unwrap(), None);
    }

    #[test]
    fn an_extended_row_stays_until_then() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let slot = Slot::content(&RecordId([1; 16]));
        let mut change = store.change();
        change.put_openid4vci(&slot, &7u32, 1_000);
        change.commit().unwrap();
        let mut change = store.change();
        change.extend_openid4vci(&slot, 1_000, 5_000);
        change.commit().unwrap();
        for (now_ms, left) in [(2_000, 1), (5_001, 0)] {
            let mut change = store.change();
            change.sweep_openid4vci(now_ms).unwrap();
            change.commit().unwrap();
            assert_eq!(rows(&store, Kind::Content), left);
        }
    }

    #[test]
    fn own_secrets_stay_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let read = |fresh| {
            let store = Store::open(folder.path()).unwrap();
            let other = store.own_secret("other", || [9; 32]).unwrap();
            assert_eq!(other, [9; 32]);
            store.own_secret("nonces", || [fresh; 32]).unwrap()
        };
        assert_eq!(read(1), [1; 32]);
        assert_eq!(read(2), [1; 32]);
    }

    #[test]
    fn copies_are_revoked_with_their_record() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (record, other) = (RecordId([1; 16]), RecordId([2; 16]));
        let places = [3, 1, 2].map(|index| StatusPlace { list: 1, index });
        let mut change = store.change();
        change.put_copy(&record, places[0]);
        change.put_copy(&record, places[1]);
        change.put_copy(&other, places[2]);
        change.commit().unwrap();
        assert_eq!(store.copies(&record).unwrap(), [places[1], places[0]]);
        assert_eq!(store.copies(&other).unwrap(), [places[2]]);
    }
}
