//! Damage on purpose, for drills of `fsck` and of audits.
//!
//! A node never calls this. It writes through the store's own API, so that the database's checksums stay valid and only
//! the ledger's own proofs can tell. Stop the node first; open its store; alter; start it again.

use super::{HEADERS, LEAVES, Store, StoreError, WriteBatch};
use tegata_consent::cbor;
use tegata_consent::header::CertifiedHeader;
use tegata_consent::log::LogLeaf;

impl Store {
    /// Alters the leaf at an index: its height, time, entry or outcome.
    ///
    /// # Errors
    /// [`StoreError`], also where there is no such leaf.
    pub fn alter_leaf(
        &self,
        index: u64,
        alter: impl FnOnce(&mut LogLeaf),
    ) -> Result<(), StoreError> {
        let mut leaf = self.view()?.leaf(index)?;
        alter(&mut leaf);
        let mut batch = WriteBatch::default();
        batch.put_cf(
            self.family(LEAVES),
            index.to_be_bytes(),
            cbor::encode(&leaf),
        );
        self.write(batch)
    }

    /// Alters the header or the certificate of a height.
    ///
    /// # Errors
    /// [`StoreError`], also where there is no such block.
    pub fn alter_header(
        &self,
        height: u64,
        alter: impl FnOnce(&mut CertifiedHeader),
    ) -> Result<(), StoreError> {
        let mut certified = self.view()?.certified_header(height)?;
        alter(&mut certified);
        let mut batch = WriteBatch::default();
        batch.put_cf(
            self.family(HEADERS),
            height.to_be_bytes(),
            cbor::encode(&certified),
        );
        self.write(batch)
    }
}
