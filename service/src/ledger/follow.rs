//! The header follower: asks one node for the next header as soon as there is one; when it fails, the next node.

use super::{Core, LedgerError};
use std::sync::Arc;
use std::time::Duration;
use tegata_consent::cbor;
use tegata_consent::header::CertifiedHeader;

/// Pause after all nodes have failed, doubled up to the most.
const PAUSE_LEAST: Duration = Duration::from_millis(50);
const PAUSE_MOST: Duration = Duration::from_secs(2);
/// How long a node may wait for a newer header: a little more than an idle ledger's 5 s between two blocks.
const WAIT_MS: u64 = 6_000;
/// The same, for nodes asked because another failed: the ledger may have gone on meanwhile, and then they answer at once.
/// So with three of four nodes silent, the fourth is asked before the newest header is 15 s old.
const WAIT_AFTER_FAILURE_MS: u64 = 1_000;

pub(super) async fn follow(core: Arc<Core>) {
    let (mut failed, mut pause) = (0, PAUSE_LEAST);
    loop {
        let node = core.nodes.preferred();
        match next(
            &core,
            node,
            if failed == 0 {
                WAIT_MS
            } else {
                WAIT_AFTER_FAILURE_MS
            },
        )
        .await
        {
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

/// Waits for one newer header of a node. None in time is a failure.
async fn next(core: &Core, node: usize, wait_ms: u64) -> Result<(), LedgerError> {
    let path = format!(
        "/v1/headers/newest?after={}&wait_ms={wait_ms}",
        core.height()
    );
    let bytes = core
        .nodes
        .newest(node, &path, Duration::from_millis(wait_ms + 1_000))
        .await?;
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
