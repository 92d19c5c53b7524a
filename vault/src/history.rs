//! Who read what and when under a grant, for the wallet to check.

use crate::host::Host;
use crate::store::StoreError;
use std::sync::Arc;
use tegata_consent::cbor;
use tegata_consent::fetch::{GrantHistory, Opening};
use tegata_consent::history::{HistoryError, HistoryReader, Reading, verify_history};
use tegata_consent::ids::GrantId;
use tegata_consent::log::LogLeaf;
use tegata_consent::state::GrantState;
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

/// A page is cut where its openings have this many bytes together, but never to nothing.
const OPENINGS_BYTES: usize = GrantHistory::LIMIT / 2;

/// A page: consent proof, accesses from the `first`-th on, and their openings as far as they came here. A page that holds the
/// whole history is checked here, so that a node's mistake is not taken for the host's; the wallet checks all of them.
pub(crate) async fn history(
    host: &Arc<Host>,
    grant: GrantId,
    first: u64,
) -> Result<GrantHistory, HistoryFailed> {
    host.ledger.newest()?;
    let (proof, proven) = host.ledger.grant(&grant).await?;
    let state = proven.value.ok_or(HistoryFailed::NoGrant(grant))?;
    let limit = GrantHistory::ACCESSES_MAX;
    let mut accesses = host.ledger.accesses(&grant, first, limit).await?;
    // Accesses after the proof's height are of the next look.
    let left = state.accesses.saturating_sub(first);
    accesses.truncate(usize::try_from(left).unwrap_or(limit).min(limit));
    host.block(move |host| page(host, grant, &state, first, accesses, proof))
        .await
}

fn page(
    host: &Host,
    grant: GrantId,
    state: &GrantState,
    first: u64,
    mut accesses: Vec<LogLeaf>,
    proof: Vec<u8>,
) -> Result<GrantHistory, HistoryFailed> {
    let readings = if accesses.len() as u64 == state.accesses {
        verify_history(&host.chain, &grant, state, &accesses)?
    } else {
        let reader = HistoryReader::new(host.chain, grant);
        reader.readings(first, &accesses)?
    };
    let (openings, kept) = openings(host, &grant, &readings)?;
    accesses.truncate(kept);
    if accesses.is_empty() && first < state.accesses {
        return Err(HistoryFailed::Accesses(HistoryError::Count {
            found: first,
            expected: state.accesses,
        }));
    }
    Ok(GrantHistory {
        proof: proof.into(),
        accesses,
        openings,
        first: (first > 0).then_some(first),
    })
}

/// The openings of as many accesses as fit, and how many accesses these are.
fn openings(
    host: &Host,
    grant: &GrantId,
    readings: &[Reading],
) -> Result<(Vec<Opening>, usize), StoreError> {
    let (mut openings, mut bytes) = (Vec::new(), 0);
    for (number, reading) in readings.iter().enumerate() {
        let Some(opening) = host.store.opening(grant, &reading.id)? else {
            continue;
        };
        bytes += cbor::encode(&opening).len();
        if bytes > OPENINGS_BYTES && number > 0 {
            return Ok((openings, number));
        }
        openings.push(opening);
    }
    Ok((openings, readings.len()))
}
