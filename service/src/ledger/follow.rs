//! The header follower: asks one node for the next header as soon as there is one; when it fails, the next node.

use super::ask::NEWEST_WAIT_MS;
use super::{Core, LedgerError};
use std::sync::Arc;
use std::time::Duration;
use tegata_consent::cbor;
use tegata_consent::header::CertifiedHeader;

/// Pause after all nodes have failed, doubled up to the most.
const PAUSE_LEAST: Duration = Duration::from_millis(50);
const PAUSE_MOST: Duration = Duration::from_secs(2);

pub(super) async fn follow(core: Arc<Core>) {
    let (mut failed, mut pause) = (0, PAUSE_LEAST);
    loop {
        let node = core.nodes.preferred();
        match next(&core, node).await {
            Ok(()) => (failed, pause) = (0, PAUSE_LEAST),
            Err(error) => {
                tracing::debug!(node = core.nodes.urls()[node], %error, "header follower goes to another node");
                metrics::counter!("tegata_ledger_failovers_total").increment(1);
                core.nodes.give_up(node);
                failed += 1;
                if failed % core.nodes.urls().len() == 0 {
                    if failed == core.nodes.urls().len() {
                        tracing::warn!(%error, "no ledger node gives newer headers");
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MOST);
                }
            }
        }
    }
}

/// Waits for one newer header of a node. An idle ledger makes one every 5 s, so none in 7 s is a failure.
async fn next(core: &Core, node: usize) -> Result<(), LedgerError> {
    let path = format!(
        "/v1/headers/newest?after={}&wait_ms={NEWEST_WAIT_MS}",
        core.height()
    );
    let bytes = core.nodes.newest(node, &path).await?;
    let certified: CertifiedHeader = cbor::decode(&bytes, CertifiedHeader::LIMIT)
        .map_err(|error| LedgerError::proof("header", &error))?;
    let height = certified.header.height;
    if !core.take(certified)? && core.height() < height {
        return Err(LedgerError::proof(
            "header",
            &format!("height {height} is not newer"),
        ));
    }
    Ok(())
}
