//! Who read what and when.

use super::{Result, Wallet, WalletError, wrong};
use std::time::{Duration, Instant};
use tegata_consent::cbor;
use tegata_consent::fetch::{GrantHistory, HandedOut};
use tegata_consent::history::{HistoryReader, Reading};
use tegata_consent::ids::{GrantId, Hash};
use tegata_consent::proof::StateProof;
use tegata_consent::state::GrantState;
use tegata_consent::status::erasure_commitment;

/// How far a host may be behind.
const BEHIND: Duration = Duration::from_secs(30);
/// Between two looks at a host that is behind.
const PAUSE: Duration = Duration::from_millis(50);

/// One line of "who read what and when".
#[derive(Debug, Clone)]
pub struct Read {
    /// The proven access.
    pub reading: Reading,
    /// What the host handed out under it.
    pub records: Vec<HandedOut>,
    /// Under what the ledger would have the recipient's confirmation that it dropped each of them, were it recalled.
    pub erasures: Vec<Hash>,
}

impl Wallet {
    /// Who read what and when under a grant, complete by proof.
    pub async fn history(&self, grant: &GrantId) -> Result<(GrantState, Vec<Read>)> {
        let mut reader = HistoryReader::new(self.ledger.chain(), *grant);
        let mut reads = Vec::new();
        loop {
            let (state, page) = self.history_page(grant, &mut reader).await?;
            reads.extend(page);
            if reader.finish(&state).is_ok() {
                return Ok((state, reads));
            }
        }
    }

    /// As [`Self::history`], once at least `least` accesses are in it: a host may be a block behind the node that answered the
    /// recipient. What there is, where they do not come within 30 s.
    pub async fn history_of(
        &self,
        grant: &GrantId,
        least: usize,
    ) -> Result<(GrantState, Vec<Read>)> {
        let began = Instant::now();
        loop {
            let (state, reads) = self.history(grant).await?;
            if reads.len() >= least || began.elapsed() > BEHIND {
                return Ok((state, reads));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The next page of a history.
    async fn history_page(
        &self,
        grant: &GrantId,
        reader: &mut HistoryReader,
    ) -> Result<(GrantState, Vec<Read>)> {
        let url = format!(
            "{}/v1/vaults/{}/grants/{grant}?from={}",
            self.host_url,
            self.secret.vault_id(),
            reader.count()
        );
        let bytes = self
            .call(reqwest::Method::GET, &url, None, Vec::new())
            .await?;
        let history: GrantHistory =
            cbor::decode(&bytes, GrantHistory::LIMIT).map_err(|e| wrong("history")(&e))?;
        let (chain, validators) = (self.ledger.chain(), self.ledger.validators());
        let proof = StateProof::parse(&history.proof).map_err(|e| wrong("consent proof")(&e))?;
        let proven = proof
            .verify_grant(&chain, &validators, grant)
            .map_err(|e| wrong("consent proof")(&e))?;
        let newest = self.ledger.newest().map_err(|e| wrong("ledger")(&e))?;
        if proven.header.header().time_ms + 15_000 < newest.header().time_ms {
            return Err(WalletError(
                "the host shows an old state of the grant".into(),
            ));
        }
        let state = proven
            .value
            .ok_or_else(|| WalletError("the ledger has no such grant".into()))?;
        let readings = reader
            .page(&state, history.first.unwrap_or(0), &history.accesses)
            .map_err(|e| wrong("history")(&e))?;
        let mut reads = Vec::with_capacity(readings.len());
        for reading in readings {
            let opening = history
                .openings
                .iter()
                .find(|opening| opening.access == reading.id);
            if let Some(opening) = opening
                && opening.scope.commitment(&opening.salt) != reading.access.commitment
            {
                return Err(WalletError(
                    "the host shows another opening than the access committed to".into(),
                ));
            }
            let erasures = opening.map(|opening| {
                let records = opening.records.iter();
                let commitment = |handed: &HandedOut| {
                    erasure_commitment(&opening.salt, &opening.access, &handed.record)
                };
                records.map(commitment).collect()
            });
            reads.push(Read {
                erasures: erasures.unwrap_or_default(),
                reading,
                records: opening
                    .map(|opening| opening.records.clone())
                    .unwrap_or_default(),
            });
        }
        Ok((state, reads))
    }
}
