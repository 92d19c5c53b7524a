//! Vaults, their indexes and drawers.

use super::{Batch, LOCKS, Store, StoreError, Table, id};
use crate::rows::{DrawerRow, HeadRow, IndexRow, VaultRow};
use std::sync::MutexGuard;
use tegata_consent::deposit::EMPTY_HEAD;
use tegata_consent::ids::{DrawerId, VaultId};
use tegata_consent::invitation::Drawer;

/// The wallet's index changed meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexChanged {
    /// Its version now; 0 where there is none.
    pub(crate) version: u64,
}

/// What became of a drawer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DrawerOpened {
    New,
    Same,
    /// The id is another drawer's.
    Taken,
    /// The vault has as many as it may.
    Full,
}

impl Store {
    /// Opens a vault; `false` where it is open already.
    pub(crate) fn open_vault(&self, vault: &VaultId, now_ms: u64) -> Result<bool, StoreError> {
        let _guard = self.lock(&vault.0);
        if self.has_vault(vault)? {
            return Ok(false);
        }
        let mut batch = Batch::default();
        batch.row(Table::Vault, &[&vault.0], &VaultRow { opened_ms: now_ms });
        self.write(batch)?;
        Ok(true)
    }

    pub(crate) fn has_vault(&self, vault: &VaultId) -> Result<bool, StoreError> {
        Ok(self.row::<VaultRow>(Table::Vault, &[&vault.0])?.is_some())
    }

    /// How many vaults there are. Reads all of their keys.
    pub(crate) fn vaults_count(&self) -> Result<u64, StoreError> {
        self.scan(Table::Vault, &[], &[])
            .try_fold(0, |count, row| row.map(|_| count + 1))
    }

    /// Version and bytes of the index.
    pub(crate) fn index(&self, vault: &VaultId) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let row: Option<IndexRow> = self.row(Table::Index, &[&vault.0])?;
        Ok(row.map(|row| (row.version, row.bytes.into())))
    }

    /// Replaces the index where its version is still `expected` (0: there is none yet). Gives the new version.
    pub(crate) fn put_index(
        &self,
        vault: &VaultId,
        expected: u64,
        bytes: Vec<u8>,
    ) -> Result<Result<u64, IndexChanged>, StoreError> {
        let _guard = self.lock(&vault.0);
        let version = self.index(vault)?.map_or(0, |(version, _)| version);
        if version != expected {
            return Ok(Err(IndexChanged { version }));
        }
        let mut batch = Batch::default();
        batch.row(
            Table::Index,
            &[&vault.0],
            &IndexRow {
                version: version + 1,
                bytes: bytes.into(),
            },
        );
        self.write(batch)?;
        Ok(Ok(version + 1))
    }

    /// Opens a drawer.
    pub(crate) fn open_drawer(
        &self,
        vault: &VaultId,
        drawer: &Drawer,
        drawers_max: usize,
    ) -> Result<DrawerOpened, StoreError> {
        let _guards = self.two_locks(&vault.0, &drawer.id.0);
        let row = DrawerRow {
            vault: *vault,
            drawer: drawer.clone(),
        };
        if let Some(found) = self.drawer(&drawer.id)? {
            return Ok(if found == row {
                DrawerOpened::Same
            } else {
                DrawerOpened::Taken
            });
        }
        if self
            .scan(Table::DrawerOf, &[&vault.0], &[])
            .take(drawers_max)
            .count()
            >= drawers_max
        {
            return Ok(DrawerOpened::Full);
        }
        let mut batch = Batch::default();
        batch.row(Table::Drawer, &[&drawer.id.0], &row);
        batch.put(Table::DrawerOf, &[&vault.0, &drawer.id.0], &[]);
        batch.row(
            Table::Head,
            &[&drawer.id.0],
            &HeadRow {
                count: 0,
                head: EMPTY_HEAD,
            },
        );
        self.write(batch)?;
        Ok(DrawerOpened::New)
    }

    /// Two locks, always in the same order; one where both ids share it.
    fn two_locks(&self, a: &[u8], b: &[u8]) -> (MutexGuard<'_, ()>, Option<MutexGuard<'_, ()>>) {
        let place = |id: &[u8]| {
            id.iter().fold(0_usize, |sum, byte| {
                sum.wrapping_mul(31).wrapping_add(usize::from(*byte))
            }) % LOCKS
        };
        let (first, second) = if place(a) <= place(b) { (a, b) } else { (b, a) };
        let guard = self.lock(first);
        (guard, (place(a) != place(b)).then(|| self.lock(second)))
    }

    pub(crate) fn drawer(&self, drawer: &DrawerId) -> Result<Option<DrawerRow>, StoreError> {
        self.row(Table::Drawer, &[&drawer.0])
    }

    /// A vault's drawers, by id.
    pub(crate) fn drawers(&self, vault: &VaultId) -> Result<Vec<Drawer>, StoreError> {
        let ids = self.scan(Table::DrawerOf, &[&vault.0], &[]);
        ids.map(|row| {
            let drawer: DrawerId = id(&row?.0, VaultId::LEN, DrawerId::LEN)?;
            Ok(self.must::<DrawerRow>(Table::Drawer, &[&drawer.0])?.drawer)
        })
        .collect()
    }

    /// Number of deposits and head of the receipts.
    pub(crate) fn head(&self, drawer: &DrawerId) -> Result<HeadRow, StoreError> {
        self.must(Table::Head, &[&drawer.0])
    }
}
