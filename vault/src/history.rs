//! Who read what and when under a grant, for the wallet to check.

use crate::host::Host;
use crate::store::StoreError;
use std::sync::Arc;
use tegata_consent::fetch::GrantHistory;
use tegata_consent::history::{HistoryError, verify_history};
use tegata_consent::ids::GrantId;
use tegata_service::ledger::LedgerError;

/// Why there is no history now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HistoryFailed {
    /// The ledger does not have the grant.
    #[error("grant {0} is not on the ledger")]
    NoGrant(GrantId),
    /// What the node gave is not what it proved.
    #[error("the ledger node's list of accesses: {0}")]
    Accesses(#[from] HistoryError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Consent proof, all accesses, and their openings as far as they came here. Checked here, so that a node's mistake is not
/// taken for the host's; the wallet checks again.
pub(crate) async fn history(
    host: &Arc<Host>,
    grant: GrantId,
) -> Result<GrantHistory, HistoryFailed> {
    host.ledger.newest()?;
    let (proof, proven) = host.ledger.grant(&grant).await?;
    let state = proven.value.ok_or(HistoryFailed::NoGrant(grant))?;
    let mut accesses = host.ledger.accesses(&grant).await?;
    // Accesses after the proof's height are of the next look.
    accesses.truncate(usize::try_from(state.accesses).unwrap_or(usize::MAX));
    let chain = host.chain;
    host.block(move |host| {
        let readings = verify_history(&chain, &grant, &state, &accesses)?;
        let mut openings = host.store.openings(&grant)?;
        openings.retain(|opening| readings.iter().any(|reading| reading.id == opening.access));
        Ok(GrantHistory {
            proof: proof.into(),
            accesses,
            openings,
        })
    })
    .await
}
