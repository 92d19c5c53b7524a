//! A whole vault as one file: a CBOR sequence (RFC 8742), written as it is read.
//!
//! ```text
//! [0, {1: "tegata-export", 2: 1, 3: chain, 4: host, 5: vault, 6: time}]
//! [1, index]            sealed by the wallet; absent where there is none
//! [2, drawer]           each drawer, by id
//! [3, drawer list]      deposits and receipts, in the order of the drawers
//! [4, sealed record]    in order of drawer, then deposit
//! [5, order]            signed; of each final grant, by id
//! [6, count]            of all items before it: a file that ends without it is cut off
//! ```

use crate::host::Host;
use crate::store::StoreError;
use bytes::Bytes;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use tegata_consent::cbor;
use tegata_consent::deposit::{DrawerList, SealedRecord};
use tegata_consent::ids::{ChainId, OrganisationId, VaultId};
use tegata_consent::invitation::Drawer;
use tokio::sync::mpsc::Sender;

/// First item of an export.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct ExportHead {
    /// `tegata-export`.
    #[n(1)]
    pub format: String,
    /// 1.
    #[n(2)]
    pub version: u8,
    /// Which ledger.
    #[n(3)]
    pub chain: ChainId,
    /// Which host.
    #[n(4)]
    pub host: OrganisationId,
    /// Which vault.
    #[n(5)]
    pub vault: VaultId,
    /// When, in milliseconds since 1970.
    #[n(6)]
    pub time_ms: u64,
}

/// One item of an export.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(flat)]
pub enum ExportItem {
    /// Comes first.
    #[n(0)]
    Head(#[n(0)] ExportHead),
    /// The wallet's sealed index.
    #[n(1)]
    Index(#[n(0)] ByteVec),
    /// A drawer.
    #[n(2)]
    Drawer(#[n(0)] Drawer),
    /// Its papers.
    #[n(3)]
    List(#[n(0)] DrawerList),
    /// A record.
    #[n(4)]
    Record(#[n(0)] SealedRecord),
    /// A signed order.
    #[n(5)]
    Order(#[n(0)] ByteVec),
    /// Comes last: the number of items before it.
    #[n(6)]
    End(#[n(0)] u64),
}

/// Nobody listens any more, or the store failed. The file has no end item then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportFailed {
    #[error("the receiver went away")]
    Gone,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Writes a vault's export item by item. Blocks.
pub(crate) fn export(
    host: &Host,
    vault: &VaultId,
    out: &Sender<Bytes>,
) -> Result<(), ExportFailed> {
    let mut out = Out { out, count: 0 };
    out.send(ExportItem::Head(ExportHead {
        format: "tegata-export".into(),
        version: 1,
        chain: host.chain,
        host: host.id,
        vault: *vault,
        time_ms: host.now_ms(),
    }))?;
    if let Some((_, bytes)) = host.store.index(vault)? {
        out.send(ExportItem::Index(bytes.into()))?;
    }
    let drawers = host.store.drawers(vault)?;
    for drawer in &drawers {
        out.send(ExportItem::Drawer(drawer.clone()))?;
    }
    for drawer in &drawers {
        out.send(ExportItem::List(host.store.list(&drawer.id)?))?;
    }
    for drawer in &drawers {
        for row in host.store.papers_after(&drawer.id, 0) {
            out.send(ExportItem::Record(host.store.sealed(row?.1)?))?;
        }
    }
    for (grant, _) in host.store.grants(vault)? {
        if let Some(row) = host.store.submission(&grant)? {
            out.send(ExportItem::Order(row.order))?;
        }
    }
    out.send(ExportItem::End(out.count))
}

struct Out<'a> {
    out: &'a Sender<Bytes>,
    count: u64,
}

impl Out<'_> {
    fn send(&mut self, item: ExportItem) -> Result<(), ExportFailed> {
        self.count += 1;
        self.out
            .blocking_send(cbor::encode(&item).into())
            .map_err(|_| ExportFailed::Gone)
    }
}
