//! Blocks that were proposed and are not decided: what this validator thinks of each, and keeps on disk.

use super::ConsensusError;
use super::context::Announcement;
use crate::block::{self, BlockError, ExecutedBlock};
use crate::shared::Shared;
use crate::store::Undecided;
use arc_malachitebft_app_channel::app::types::core::Validity;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;
use tegata_consent::ids::{Address, Hash};

/// How far a fresh block's time may lie from this node's clock.
const CLOCK_DIFFERENCE_MAX_MS: u64 = 2_000;
/// Most candidates of one height that one validator may stream.
const PER_STREAMER_MAX: usize = 8;

/// A proposed block that is not decided.
pub(super) struct Candidate {
    pub(super) height: u64,
    pub(super) round: u32,
    pub(super) valid_round: Option<u32>,
    pub(super) bytes: Bytes,
    /// Who streamed it first; `None`: this node made it, synced it or had kept it.
    streamer: Option<Address>,
    own: bool,
    judgement: Judgement,
}

enum Judgement {
    /// Of a height that has not come.
    Early {
        /// When it came, in milliseconds since 1970.
        arrived_ms: u64,
    },
    /// No validator may vote for it.
    Bad(String),
    /// It follows, but its time was too far from this node's clock when it was proposed afresh.
    Untimely(Arc<ExecutedBlock>),
    /// It follows, and is on disk.
    Good(Arc<ExecutedBlock>),
}

impl Candidate {
    /// `None` as long as its height has not come.
    pub(super) const fn validity(&self) -> Option<Validity> {
        match self.judgement {
            Judgement::Good(_) => Some(Validity::Valid),
            Judgement::Bad(_) | Judgement::Untimely(_) => Some(Validity::Invalid),
            Judgement::Early { .. } => None,
        }
    }
}

/// All candidates, by the hashes of their headers.
pub(super) struct Candidates {
    shared: Arc<Shared>,
    by_hash: HashMap<Hash, Candidate>,
}

impl Candidates {
    /// What this node kept before it was stopped. It had judged each good and in time, so only their effect is computed.
    pub(super) fn load(shared: Arc<Shared>, next: u64) -> Result<Self, ConsensusError> {
        let kept = shared.store.undecided()?;
        let mut candidates = Self {
            shared,
            by_hash: HashMap::new(),
        };
        for (hash, undecided) in kept
            .into_iter()
            .filter(|(_, undecided)| undecided.height == next)
        {
            let Undecided {
                height,
                round,
                valid_round,
                own,
                block,
            } = undecided;
            let bytes = Bytes::from(Vec::from(block));
            let judgement = match candidates.execute(bytes.clone())? {
                Ok(block) => Judgement::Good(Arc::new(block)),
                Err(error) => Judgement::Bad(error.to_string()),
            };
            let candidate = Candidate {
                height,
                round,
                valid_round,
                bytes,
                streamer: None,
                own,
                judgement,
            };
            candidates.by_hash.insert(hash, candidate);
        }
        Ok(candidates)
    }

    pub(super) fn get(&self, hash: &Hash) -> Option<&Candidate> {
        self.by_hash.get(hash)
    }

    /// The candidates of a height.
    pub(super) fn of_height(&self, height: u64) -> impl Iterator<Item = (&Hash, &Candidate)> {
        self.by_hash
            .iter()
            .filter(move |(_, candidate)| candidate.height == height)
    }

    /// This node's own block for a round.
    pub(super) fn own(&self, height: u64, round: u32) -> Option<Hash> {
        let own = self
            .of_height(height)
            .find(|(_, candidate)| candidate.own && candidate.round == round);
        own.map(|(hash, _)| *hash)
    }

    /// Takes a block that this node built, or that others have decided. When this returns, it is on disk.
    pub(super) fn add_executed(
        &mut self,
        block: ExecutedBlock,
        round: u32,
        own: bool,
    ) -> Result<Hash, ConsensusError> {
        let (hash, height, bytes) = (block.hash, block.header.height, block.bytes.clone());
        let judgement = Judgement::Good(Arc::new(block));
        let candidate = Candidate {
            height,
            round,
            valid_round: None,
            bytes,
            streamer: None,
            own,
            judgement,
        };
        self.keep(&hash, &candidate)?;
        self.by_hash.insert(hash, candidate);
        Ok(hash)
    }

    /// Takes a block that somebody streamed, unjudged. Says whether it is here now.
    pub(super) fn offer(
        &mut self,
        announcement: &Announcement,
        bytes: Bytes,
        arrived_ms: u64,
    ) -> bool {
        let (hash, height) = (announcement.value.0, announcement.height.0);
        if self.by_hash.contains_key(&hash) {
            return true;
        }
        let streamer = Some(announcement.streamer.0);
        if self
            .of_height(height)
            .filter(|(_, candidate)| candidate.streamer == streamer)
            .count()
            >= PER_STREAMER_MAX
        {
            return false;
        }
        let Announcement {
            round, valid_round, ..
        } = *announcement;
        let judgement = Judgement::Early { arrived_ms };
        self.by_hash.insert(
            hash,
            Candidate {
                height,
                round,
                valid_round,
                bytes,
                streamer,
                own: false,
                judgement,
            },
        );
        true
    }

    /// Judges a candidate of the next height as proposed at `proposed_ms`, and keeps it on disk if one may vote for it now.
    pub(super) fn judge(
        &mut self,
        hash: Hash,
        valid_round: Option<u32>,
        proposed_ms: u64,
    ) -> Result<(), ConsensusError> {
        let Some(candidate) = self.by_hash.get(&hash) else {
            return Ok(());
        };
        let judged = match &candidate.judgement {
            Judgement::Good(_) | Judgement::Bad(_) => return Ok(()),
            Judgement::Untimely(block) => Ok(block.clone()),
            Judgement::Early { .. } => {
                let started = Instant::now();
                let executed = self.execute(candidate.bytes.clone())?.map(Arc::new);
                metrics::histogram!("ledger_check_seconds").record(started.elapsed());
                executed
            }
        };
        let judgement = match judged {
            Err(error) => {
                tracing::warn!(height = candidate.height, %hash, %error, "bad block");
                Judgement::Bad(error.to_string())
            }
            Ok(block) if timely(block.header.time_ms, valid_round, proposed_ms) => {
                self.keep(&hash, candidate)?;
                Judgement::Good(block)
            }
            Ok(block) => {
                let block_ms = block.header.time_ms;
                tracing::warn!(
                    height = candidate.height,
                    block_ms,
                    proposed_ms,
                    "the block's time is off"
                );
                Judgement::Untimely(block)
            }
        };
        if let Some(candidate) = self.by_hash.get_mut(&hash) {
            candidate.judgement = judgement;
        }
        Ok(())
    }

    /// Judges what came before its height did, by the time at which it came.
    pub(super) fn judge_early(&mut self, next: u64) -> Result<(), ConsensusError> {
        let early = |(hash, candidate): (&Hash, &Candidate)| match candidate.judgement {
            Judgement::Early { arrived_ms } => Some((*hash, candidate.valid_round, arrived_ms)),
            _ => None,
        };
        let waiting: Vec<_> = self.of_height(next).filter_map(early).collect();
        waiting
            .into_iter()
            .try_for_each(|(hash, valid_round, arrived_ms)| {
                self.judge(hash, valid_round, arrived_ms)
            })
    }

    /// The effect of a block that was decided, or why this node has none.
    pub(super) fn decided(&self, hash: &Hash) -> Result<Arc<ExecutedBlock>, String> {
        match self.by_hash.get(hash).map(|candidate| &candidate.judgement) {
            Some(Judgement::Good(block) | Judgement::Untimely(block)) => Ok(block.clone()),
            Some(Judgement::Bad(why)) => Err(why.clone()),
            Some(Judgement::Early { .. }) => Err("blocks before it are missing".to_owned()),
            None => Err("its body is missing".to_owned()),
        }
    }

    /// Heights and hashes of what is of no more use once a height is decided.
    pub(super) fn until(&self, height: u64) -> Vec<(u64, Hash)> {
        let past = self
            .by_hash
            .iter()
            .filter(|(_, candidate)| candidate.height <= height);
        past.map(|(hash, candidate)| (candidate.height, *hash))
            .collect()
    }

    /// Forgets them.
    pub(super) fn forget_until(&mut self, height: u64) {
        self.by_hash
            .retain(|_, candidate| candidate.height > height);
    }

    /// The outer error is this node's, the inner one the block's.
    pub(super) fn execute(
        &self,
        bytes: Bytes,
    ) -> Result<Result<ExecutedBlock, BlockError>, ConsensusError> {
        let view = self.shared.store.view()?;
        let known = |bytes: &[u8]| self.shared.mempool.verified(bytes);
        match block::check(&view, &self.shared.chain, bytes, known) {
            Err(error) if !error.blames_block() => Err(ConsensusError::Execution(error)),
            judged => Ok(judged),
        }
    }

    fn keep(&self, hash: &Hash, candidate: &Candidate) -> Result<(), ConsensusError> {
        let Candidate {
            height,
            round,
            valid_round,
            own,
            ..
        } = *candidate;
        let block = candidate.bytes.to_vec().into();
        Ok(self.shared.store.keep_undecided(
            hash,
            &Undecided {
                height,
                round,
                valid_round,
                own,
                block,
            },
        )?)
    }
}

/// Whether a block's time is close enough to the clock. It may never lie ahead; one that is proposed again, because it got
/// its prevotes in an earlier round, may lie behind.
const fn timely(time_ms: u64, valid_round: Option<u32>, proposed_ms: u64) -> bool {
    let ahead = time_ms > proposed_ms + CLOCK_DIFFERENCE_MAX_MS;
    let behind = time_ms + CLOCK_DIFFERENCE_MAX_MS < proposed_ms;
    !ahead && (valid_round.is_some() || !behind)
}

#[cfg(test)]
mod tests {
    use super::super::context::{BlockHeight, HeaderHash, ValidatorAddress};
    use super::*;
    use crate::feed::Feed;
    use crate::mempool::Mempool;
    use crate::store::Store;
    use ed25519_dalek::SigningKey;
    use tegata_consent::cose::public_key;
    use tegata_consent::genesis::Genesis;
    use tegata_consent::header::Validator;
    use tegata_consent::ids::Nonce;
    use tegata_consent::state::Parameters;

    const TIME_MS: u64 = 1_000_000;

    struct World {
        _folder: tempfile::TempDir,
        shared: Arc<Shared>,
        proposer: Address,
    }

    fn world() -> World {
        let validator = public_key(&SigningKey::from_bytes(&[1; 32]));
        let genesis = Genesis {
            name: "Test".into(),
            time_ms: 1,
            nonce: Nonce([1; 16]),
            validators: vec![Validator {
                key: validator,
                power: 1,
            }],
            operators: vec![validator],
            parameters: Parameters {
                sponsor_entries_per_hour: 1,
            },
        };
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &genesis).unwrap();
        let (chain, mempool, feed) = (genesis.chain_id(), Mempool::default(), Feed::new(0));
        let shared = Arc::new(Shared {
            genesis,
            chain,
            store,
            mempool,
            feed,
        });
        World {
            _folder: folder,
            shared,
            proposer: Address::of(&validator),
        }
    }

    fn block(world: &World, time_ms: u64) -> ExecutedBlock {
        let view = world.shared.store.view().unwrap();
        block::build(&view, &world.shared.chain, world.proposer, time_ms, vec![])
            .unwrap()
            .block
    }

    fn announcement(hash: Hash, height: u64, streamer: u8) -> Announcement {
        let (streamer, value) = (ValidatorAddress(Address([streamer; 20])), HeaderHash(hash));
        Announcement {
            height: BlockHeight(height),
            round: 0,
            valid_round: None,
            streamer,
            value,
            length: 0,
        }
    }

    #[test]
    fn a_fresh_blocks_time_is_within_two_seconds_of_the_clock() {
        for (time_ms, valid_round, expected) in [
            (10_000, None, true),
            (8_000, None, true),
            (12_000, None, true),
            (7_999, None, false),
            (12_001, None, false),
            (1, Some(0), true),
            (12_001, Some(0), false),
        ] {
            assert_eq!(
                timely(time_ms, valid_round, 10_000),
                expected,
                "{time_ms} {valid_round:?}"
            );
        }
    }

    #[test]
    fn only_good_blocks_are_kept_and_a_late_one_is_good_once_proposed_again() {
        let world = world();
        let mut candidates = Candidates::load(world.shared.clone(), 1).unwrap();
        let block = block(&world, TIME_MS);
        let hash = block.hash;
        assert!(candidates.offer(
            &announcement(hash, 1, 7),
            block.bytes.clone(),
            TIME_MS + 5_000
        ));
        assert_eq!(candidates.get(&hash).unwrap().validity(), None);
        candidates.judge_early(1).unwrap();
        assert_eq!(
            candidates.get(&hash).unwrap().validity(),
            Some(Validity::Invalid)
        );
        assert!(world.shared.store.undecided().unwrap().is_empty());
        assert!(
            candidates.decided(&hash).is_ok(),
            "others may have found it in time"
        );
        candidates.judge(hash, Some(0), TIME_MS + 6_000).unwrap();
        assert_eq!(
            candidates.get(&hash).unwrap().validity(),
            Some(Validity::Valid)
        );
        let kept = world.shared.store.undecided().unwrap();
        assert!(matches!(&kept[..], [(kept, _)] if *kept == hash));
        // After a restart it still is.
        let again = Candidates::load(world.shared.clone(), 1).unwrap();
        assert_eq!(again.get(&hash).unwrap().validity(), Some(Validity::Valid));
        assert!(
            Candidates::load(world.shared, 2)
                .unwrap()
                .by_hash
                .is_empty()
        );
    }

    #[test]
    fn bad_blocks_are_neither_kept_nor_committed() {
        let world = world();
        let mut candidates = Candidates::load(world.shared.clone(), 1).unwrap();
        let mut other =
            tegata_consent::cbor::decode::<block::Block>(&block(&world, TIME_MS).bytes, 10_000)
                .unwrap();
        other.header.state_root = Hash([9; 32]);
        let hash = other.header.hash();
        let bytes = tegata_consent::cbor::encode(&other).into();
        assert!(candidates.offer(&announcement(hash, 1, 7), bytes, TIME_MS));
        candidates.judge(hash, None, TIME_MS).unwrap();
        assert_eq!(
            candidates.get(&hash).unwrap().validity(),
            Some(Validity::Invalid)
        );
        assert!(
            candidates
                .decided(&hash)
                .unwrap_err()
                .contains("state root")
        );
        assert!(world.shared.store.undecided().unwrap().is_empty());
        assert!(candidates.decided(&Hash([1; 32])).is_err());
    }

    #[test]
    fn one_validator_cannot_fill_the_memory() {
        let world = world();
        let mut candidates = Candidates::load(world.shared, 1).unwrap();
        let offer = |candidates: &mut Candidates, number: u8, height, streamer| {
            candidates.offer(
                &announcement(Hash([number; 32]), height, streamer),
                Bytes::new(),
                0,
            )
        };
        let taken = (0..20)
            .filter(|number| offer(&mut candidates, *number, 1, 7))
            .count();
        assert_eq!(taken, PER_STREAMER_MAX);
        assert!(offer(&mut candidates, 0, 1, 7), "what is here stays here");
        assert!(offer(&mut candidates, 100, 1, 8), "others are not kept out");
        assert!(offer(&mut candidates, 101, 2, 7));
        candidates.forget_until(1);
        assert_eq!(candidates.by_hash.len(), 1);
    }
}
