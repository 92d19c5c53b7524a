//! The application's side of consensus: builds, judges and commits blocks as the engine asks.

use super::ConsensusError;
use super::codec::decided_value;
use super::context::{
    Announcement, BlockHeight, HeaderHash, Ledger, Part, ValidatorAddress, Validators,
    VoteSignature, sign,
};
use super::network::Others;
use super::streams::{Arrived, Streams, cut};
use crate::block::{self, BLOCK_TARGET_BYTES, BlockError, Built, ExecutedBlock};
use crate::events;
use crate::shared::Shared;
use crate::store::Undecided;
use arc_malachitebft_app_channel::app::engine::host::{HeightParams, Next, SyncedValueOutcome};
use arc_malachitebft_app_channel::app::streaming::{StreamId, StreamMessage};
use arc_malachitebft_app_channel::app::types::core::{
    CommitCertificate, CommitSignature, LinearTimeouts, Round, ValidatorSet as _, Validity,
};
use arc_malachitebft_app_channel::app::types::sync::RawDecidedValue;
use arc_malachitebft_app_channel::app::types::{LocallyProposedValue, PeerId, ProposedValue};
use arc_malachitebft_app_channel::{AppMsg, NetworkMsg, Reply};
use bytes::Bytes;
use ed25519_dalek::SigningKey;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tegata_consent::cose::public_key;
use tegata_consent::header::{Certificate, CertifiedHeader};
use tegata_consent::ids::{Address, Hash};
use tegata_consent::state::Inadmissible;
use tegata_service::clock::now_ms;
use tokio::sync::{mpsc, watch};

/// An idle ledger makes a block this often.
const HEARTBEAT_MS: u64 = 5_000;
/// How far a fresh block's time may lie from this node's clock.
const CLOCK_DIFFERENCE_MAX_MS: u64 = 2_000;
/// How long a starting node waits for a quorum of the others.
const QUORUM_WAIT: Duration = Duration::from_secs(1);
/// Bodies of this many heights ahead are kept.
const HEIGHTS_AHEAD_MAX: u64 = 2;
/// Most bytes of one answer to a peer that catches up.
const SYNC_BYTES_MAX: usize = 4 << 20;

const TIMEOUTS: LinearTimeouts = LinearTimeouts {
    propose: Duration::from_millis(1_000),
    propose_delta: Duration::from_millis(300),
    prevote: Duration::from_millis(400),
    prevote_delta: Duration::from_millis(200),
    precommit: Duration::from_millis(400),
    precommit_delta: Duration::from_millis(200),
    rebroadcast: Duration::from_millis(1_500),
    max_timeout: Duration::from_secs(10),
};

/// A proposed block that is not decided.
struct Candidate {
    height: u64,
    round: u32,
    valid_round: Option<u32>,
    own: bool,
    bytes: Bytes,
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

/// The next height, held back while there is nothing to order.
struct Held {
    reply: Reply<Next<Ledger>>,
    next: Next<Ledger>,
    /// When the heartbeat is due, in milliseconds since 1970.
    until_ms: u64,
}

/// Answers the engine.
pub(super) struct Driver {
    shared: Arc<Shared>,
    key: SigningKey,
    address: ValidatorAddress,
    /// Of the next block.
    validators: Validators,
    /// Of the newest block.
    height: u64,
    candidates: HashMap<Hash, Candidate>,
    streams: Streams,
    streams_begun: u64,
    network: mpsc::Sender<NetworkMsg<Ledger>>,
    others: watch::Receiver<Others>,
    held: Option<Held>,
    /// Time of the newest block, in milliseconds since 1970.
    time_ms: u64,
    height_began: Instant,
}

impl Driver {
    pub(super) fn new(
        shared: Arc<Shared>,
        key: SigningKey,
        network: mpsc::Sender<NetworkMsg<Ledger>>,
        others: watch::Receiver<Others>,
    ) -> Result<Self, ConsensusError> {
        let view = shared.store.view()?;
        let (height, time_ms) = (view.tip().height, view.tip().time_ms);
        let validators =
            Validators::new(&view.validators()?).map_err(ConsensusError::Validators)?;
        drop(view);
        let candidate = |(hash, undecided): (Hash, Undecided)| {
            let Undecided {
                height,
                round,
                valid_round,
                own,
                block,
            } = undecided;
            let bytes = Bytes::from(Vec::from(block));
            (
                hash,
                Candidate {
                    height,
                    round,
                    valid_round,
                    own,
                    bytes,
                    judgement: Judgement::Early { arrived_ms: 0 },
                },
            )
        };
        let candidates = shared
            .store
            .undecided()?
            .into_iter()
            .map(candidate)
            .collect::<HashMap<_, _>>();
        let address = ValidatorAddress(Address::of(&public_key(&key)));
        tracing::info!(height, undecided = candidates.len(), %address, "ledger loaded");
        let mut driver = Self {
            shared,
            key,
            address,
            validators,
            height,
            candidates,
            streams: Streams::default(),
            streams_begun: now_ms() << 20,
            network,
            others,
            held: None,
            time_ms,
            height_began: Instant::now(),
        };
        driver.judge_kept()?;
        Ok(driver)
    }

    /// Answers until the engine ends or something fails.
    pub(super) async fn run(
        mut self,
        mut messages: mpsc::Receiver<AppMsg<Ledger>>,
    ) -> Result<(), ConsensusError> {
        let shared = self.shared.clone();
        let mut others = self.others.clone();
        loop {
            let until_ms = self.held.as_ref().map_or(0, |held| held.until_ms);
            let until = Duration::from_millis(until_ms.saturating_sub(now_ms()).min(HEARTBEAT_MS));
            tokio::select! {
                message = messages.recv() => match message {
                    None => return Err(ConsensusError::Engine("its channel closed".to_owned())),
                    Some(message) => self.answer(message).await?,
                },
                () = shared.mempool.arrived.notified(), if self.held.is_some() => {}
                changed = others.changed(), if self.held.is_some() => {
                    changed.map_err(|_| ConsensusError::Network("it ended".to_owned()))?;
                }
                () = tokio::time::sleep(until), if self.held.is_some() => {}
            }
            self.release();
        }
    }

    async fn answer(&mut self, message: AppMsg<Ledger>) -> Result<(), ConsensusError> {
        // A reply that nobody takes belongs to an engine that is ending; its end is noticed elsewhere.
        match message {
            AppMsg::ConsensusReady { reply } => {
                self.quorum_here().await;
                let _ = reply.send((self.next(), self.params()));
            }
            AppMsg::StartedRound {
                height,
                round,
                proposer,
                role,
                reply_value,
            } => {
                tracing::debug!(%height, %round, %proposer, ?role, "round");
                if round == Round::new(0) {
                    self.height_began = Instant::now();
                }
                if round.as_i64() > 0 {
                    metrics::counter!("ledger_rounds_extra_total").increment(1);
                }
                let _ = reply_value.send(self.proposed_values()?);
            }
            AppMsg::GetValue {
                height,
                round,
                reply,
                ..
            } => self.propose(height, round, reply).await?,
            AppMsg::RestreamProposal {
                height,
                round,
                valid_round,
                value_id,
                ..
            } => {
                self.stream(
                    height,
                    round.as_u32().unwrap_or(0),
                    valid_round.as_u32(),
                    value_id,
                )
                .await?;
            }
            AppMsg::ReceivedProposalPart {
                from,
                published_by,
                part,
                reply,
            } => {
                let _ = reply.send(self.receive(published_by.unwrap_or(from), part)?);
            }
            AppMsg::Decided {
                certificate, reply, ..
            } => {
                self.commit(&certificate)?;
                let _ = reply.send(());
            }
            AppMsg::Finalized {
                certificate,
                evidence,
                reply,
                ..
            } => {
                if !evidence.is_empty() {
                    tracing::error!(?evidence, "a validator signed twice");
                }
                self.commit(&certificate)?;
                self.keep_certificate(&certificate)?;
                let next = Next::Start(self.next(), self.params());
                self.held = Some(Held {
                    reply,
                    next,
                    until_ms: self.time_ms + HEARTBEAT_MS,
                });
            }
            AppMsg::ProcessSyncedValue {
                height,
                round,
                value_bytes,
                reply,
                ..
            } => {
                let _ = reply.send(self.take_synced(height, round, value_bytes)?);
            }
            AppMsg::GetDecidedValues { range, reply } => {
                let _ = reply.send(self.decided_values(range)?);
            }
            AppMsg::GetHistoryMinHeight { reply } => {
                let _ = reply.send(BlockHeight(1));
            }
            AppMsg::ExtendVote { reply, .. } => {
                let _ = reply.send(None);
            }
            AppMsg::VerifyVoteExtensions {
                extensions, reply, ..
            } => {
                let _ = reply.send(
                    extensions
                        .into_iter()
                        .map(|(address, ())| (address, Ok(())))
                        .collect(),
                );
            }
        }
        Ok(())
    }

    /// A proposal that nobody hears costs a round: waits a little until a quorum listens.
    async fn quorum_here(&self) {
        let validators = self.validators.count();
        let mut others = self.others.clone();
        let quorum = others.wait_for(|others| (others.here + 1) * 3 > validators * 2);
        // Without one, consensus starts as well, and waits by its own rules.
        let _ = tokio::time::timeout(QUORUM_WAIT, quorum).await;
    }

    /// Starts the next height once there is something to order, somebody proposes or has it already, or the heartbeat is due.
    fn release(&mut self) {
        let next = self.height + 1;
        let due = |held: &Held| held.until_ms <= now_ms();
        let elsewhere = || {
            self.others.borrow().tip >= next
                || self.candidates.values().any(|one| one.height == next)
        };
        if self
            .held
            .as_ref()
            .is_some_and(|held| due(held) || !self.shared.mempool.is_empty() || elsewhere())
            && let Some(Held { reply, next, .. }) = self.held.take()
        {
            let _ = reply.send(next);
        }
    }

    fn next(&self) -> BlockHeight {
        BlockHeight(self.height + 1)
    }

    fn params(&self) -> HeightParams<Ledger> {
        HeightParams::new(self.validators.clone(), TIMEOUTS, None)
    }

    /// Offers this node's block for a round: the one it made before, if it did.
    async fn propose(
        &mut self,
        height: BlockHeight,
        round: Round,
        reply: Reply<LocallyProposedValue<Ledger>>,
    ) -> Result<(), ConsensusError> {
        let number = round.as_u32().unwrap_or(0);
        let mine = |candidate: &Candidate| {
            candidate.own && candidate.height == height.0 && candidate.round == number
        };
        let made = self
            .candidates
            .iter()
            .find(|(_, candidate)| mine(candidate))
            .map(|(hash, _)| *hash);
        let hash = match made {
            Some(hash) => hash,
            None => tokio::task::block_in_place(|| self.build(number))?,
        };
        let value = HeaderHash(hash);
        let _ = reply.send(LocallyProposedValue::new(height, round, value));
        self.stream(height, number, None, value).await
    }

    fn build(&mut self, round: u32) -> Result<Hash, ConsensusError> {
        let started = Instant::now();
        let view = self.shared.store.view()?;
        let time_ms = now_ms().max(view.tip().time_ms + 1);
        let candidates = self.shared.mempool.oldest(BLOCK_TARGET_BYTES);
        let built = block::build(
            &view,
            &self.shared.chain,
            self.address.0,
            time_ms,
            candidates,
        );
        let Built { block, refused } = built.map_err(ConsensusError::Execution)?;
        drop(view);
        for (id, why) in refused {
            // Its time may still come.
            if !matches!(why, Inadmissible::TooFarAhead { .. }) {
                self.shared.mempool.remove([&id]);
                self.shared.feed.tell_refused(&id, why);
            }
        }
        let (hash, bytes) = (block.hash, block.bytes.clone());
        let candidate = Candidate {
            height: block.header.height,
            round,
            valid_round: None,
            own: true,
            bytes,
            judgement: Judgement::Good(Arc::new(block)),
        };
        self.keep(&hash, &candidate)?;
        self.candidates.insert(hash, candidate);
        metrics::histogram!("ledger_build_seconds").record(started.elapsed());
        Ok(hash)
    }

    /// Streams a block to everybody.
    async fn stream(
        &mut self,
        height: BlockHeight,
        round: u32,
        valid_round: Option<u32>,
        value: HeaderHash,
    ) -> Result<(), ConsensusError> {
        let Some(candidate) = self
            .candidates
            .get(&value.0)
            .filter(|candidate| candidate.height == height.0)
        else {
            return Ok(());
        };
        let length = u32::try_from(candidate.bytes.len())
            .expect("a block is at most BLOCK_LIMIT bytes long");
        let announcement = Announcement {
            height,
            round,
            valid_round,
            streamer: self.address,
            value,
            length,
        };
        let signature = sign(&self.key, &announcement.signed_bytes(&self.shared.chain));
        self.streams_begun += 1;
        let id = StreamId::new(Bytes::copy_from_slice(&self.streams_begun.to_be_bytes()));
        for part in cut(&id, announcement, signature, &candidate.bytes) {
            let sent = self
                .network
                .send(NetworkMsg::PublishProposalPart(part))
                .await;
            sent.map_err(|_| ConsensusError::Network("its channel closed".to_owned()))?;
        }
        Ok(())
    }

    /// Takes a part of a proposed block; the last one gives this validator's judgement.
    fn receive(
        &mut self,
        from: PeerId,
        part: StreamMessage<Part>,
    ) -> Result<Option<ProposedValue<Ledger>>, ConsensusError> {
        let Some(Arrived {
            announcement,
            signature,
            block,
        }) = self.streams.take(from, part)
        else {
            return Ok(None);
        };
        if !self.announced_by_validator(&announcement, &signature) {
            tracing::warn!(%from, height = %announcement.height, "block announced by nobody");
            return Ok(None);
        }
        let (height, hash) = (announcement.height.0, announcement.value.0);
        if height <= self.height || height > self.height + HEIGHTS_AHEAD_MAX {
            return Ok(None);
        }
        let arrived_ms = now_ms();
        let known = self.candidates.contains_key(&hash);
        if !known
            && block::header_of(&block)
                .is_none_or(|header| header.height != height || header.hash() != hash)
        {
            tracing::warn!(%from, height, "block is not the announced one");
            return Ok(None);
        }
        self.candidates.entry(hash).or_insert_with(|| Candidate {
            height,
            round: announcement.round,
            valid_round: announcement.valid_round,
            own: false,
            bytes: block,
            judgement: Judgement::Early { arrived_ms },
        });
        if height > self.height + 1 {
            return Ok(None);
        }
        tokio::task::block_in_place(|| self.judge(hash, announcement.valid_round, arrived_ms))?;
        Ok(self.proposed_value(&hash, announcement.round, announcement.valid_round))
    }

    fn announced_by_validator(
        &self,
        announcement: &Announcement,
        signature: &VoteSignature,
    ) -> bool {
        let streamer = self.validators.get(&announcement.streamer);
        streamer.is_some_and(|streamer| {
            streamer
                .key
                .verifies(&announcement.signed_bytes(&self.shared.chain), signature)
        })
    }

    /// Executes a candidate of the next height, if that was not done yet, and keeps it on disk if one may vote for it.
    fn judge(
        &mut self,
        hash: Hash,
        valid_round: Option<u32>,
        proposed_ms: u64,
    ) -> Result<(), ConsensusError> {
        let Some(mut candidate) = self.candidates.remove(&hash) else {
            return Ok(());
        };
        candidate.judgement = match candidate.judgement {
            Judgement::Early { .. } => {
                let started = Instant::now();
                let judgement = match self.execute(candidate.bytes.clone())? {
                    Ok(block) if timely(block.header.time_ms, valid_round, proposed_ms) => {
                        Judgement::Good(Arc::new(block))
                    }
                    Ok(block) => Judgement::Untimely(Arc::new(block)),
                    Err(error) => Judgement::Bad(error.to_string()),
                };
                metrics::histogram!("ledger_check_seconds").record(started.elapsed());
                judgement
            }
            Judgement::Untimely(block)
                if timely(block.header.time_ms, valid_round, proposed_ms) =>
            {
                Judgement::Good(block)
            }
            judged => judged,
        };
        match &candidate.judgement {
            Judgement::Good(_) => self.keep(&hash, &candidate)?,
            Judgement::Untimely(block) => {
                tracing::warn!(
                    height = candidate.height,
                    block_ms = block.header.time_ms,
                    proposed_ms,
                    "block's time is off"
                );
            }
            Judgement::Bad(why) => {
                tracing::warn!(height = candidate.height, %hash, why, "bad block")
            }
            Judgement::Early { .. } => {}
        }
        self.candidates.insert(hash, candidate);
        Ok(())
    }

    /// What this node kept before it was stopped: judged again, in time or not, since it had judged it before.
    fn judge_kept(&mut self) -> Result<(), ConsensusError> {
        let next = self.height + 1;
        self.candidates
            .retain(|_, candidate| candidate.height >= next);
        let hashes: Vec<_> = self
            .candidates
            .iter()
            .filter(|(_, one)| one.height == next)
            .map(|(hash, _)| *hash)
            .collect();
        for hash in hashes {
            let Some(candidate) = self.candidates.get_mut(&hash) else {
                continue;
            };
            let bytes = candidate.bytes.clone();
            let judgement = match self.execute(bytes)? {
                Ok(block) => Judgement::Good(Arc::new(block)),
                Err(error) => Judgement::Bad(error.to_string()),
            };
            if let Some(candidate) = self.candidates.get_mut(&hash) {
                candidate.judgement = judgement;
            }
        }
        Ok(())
    }

    /// The outer error is this node's, the inner one the block's.
    fn execute(&self, bytes: Bytes) -> Result<Result<ExecutedBlock, BlockError>, ConsensusError> {
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
            bytes,
            ..
        } = candidate;
        let block = bytes.to_vec().into();
        let undecided = Undecided {
            height: *height,
            round: *round,
            valid_round: *valid_round,
            own: *own,
            block,
        };
        Ok(self.shared.store.keep_undecided(hash, &undecided)?)
    }

    /// All candidates of the next height; those that came early are judged now, by the time at which they came.
    fn proposed_values(&mut self) -> Result<Vec<ProposedValue<Ledger>>, ConsensusError> {
        let next = self.height + 1;
        let early = |(hash, candidate): (&Hash, &Candidate)| match candidate.judgement {
            Judgement::Early { arrived_ms } if candidate.height == next => {
                Some((*hash, candidate.valid_round, arrived_ms))
            }
            _ => None,
        };
        let waiting: Vec<_> = self.candidates.iter().filter_map(early).collect();
        for (hash, valid_round, arrived_ms) in waiting {
            tokio::task::block_in_place(|| self.judge(hash, valid_round, arrived_ms))?;
        }
        let of_next = self
            .candidates
            .iter()
            .filter(|(_, candidate)| candidate.height == next);
        let values = of_next.filter_map(|(hash, candidate)| {
            self.proposed_value(hash, candidate.round, candidate.valid_round)
        });
        Ok(values.collect())
    }

    fn proposed_value(
        &self,
        hash: &Hash,
        round: u32,
        valid_round: Option<u32>,
    ) -> Option<ProposedValue<Ledger>> {
        let candidate = self.candidates.get(hash)?;
        let validity = match candidate.judgement {
            Judgement::Good(_) => Validity::Valid,
            Judgement::Bad(_) | Judgement::Untimely(_) => Validity::Invalid,
            Judgement::Early { .. } => return None,
        };
        let (height, round) = (BlockHeight(candidate.height), Round::new(round));
        let proposer = self.validators.proposer(height, round).address;
        let valid_round = valid_round.map_or(Round::Nil, Round::new);
        Some(ProposedValue {
            height,
            round,
            valid_round,
            proposer,
            value: HeaderHash(*hash),
            validity,
        })
    }

    /// Takes a block that others have decided.
    fn take_synced(
        &mut self,
        height: BlockHeight,
        round: Round,
        bytes: Bytes,
    ) -> Result<SyncedValueOutcome<Ledger>, ConsensusError> {
        if height != self.next() {
            return Ok(SyncedValueOutcome::LocalTransientError);
        }
        let round = round.as_u32().unwrap_or(0);
        let block = match tokio::task::block_in_place(|| self.execute(bytes.clone()))? {
            Ok(block) => block,
            Err(error) => {
                tracing::error!(%height, %error, "a decided block from a peer does not hold");
                return Ok(SyncedValueOutcome::PeerFault);
            }
        };
        let (hash, judgement) = (block.hash, Judgement::Good(Arc::new(block)));
        let candidate = Candidate {
            height: height.0,
            round,
            valid_round: None,
            own: false,
            bytes,
            judgement,
        };
        self.keep(&hash, &candidate)?;
        self.candidates.insert(hash, candidate);
        metrics::counter!("ledger_blocks_synced_total").increment(1);
        let value = self.proposed_value(&hash, round, None);
        Ok(value.map_or(
            SyncedValueOutcome::LocalTransientError,
            SyncedValueOutcome::Verdict,
        ))
    }

    /// Commits a decided block, once.
    fn commit(&mut self, decided: &CommitCertificate<Ledger>) -> Result<(), ConsensusError> {
        let (height, hash) = (decided.height.0, decided.value_id.0);
        if height <= self.height {
            return Ok(());
        }
        let undecidable = |why: &str| ConsensusError::Undecidable {
            height,
            hash,
            why: why.to_owned(),
        };
        let candidate = self
            .candidates
            .get(&hash)
            .ok_or_else(|| undecidable("its body is missing"))?;
        let block = match &candidate.judgement {
            Judgement::Good(block) | Judgement::Untimely(block) => block.clone(),
            Judgement::Bad(why) => return Err(undecidable(why)),
            Judgement::Early { .. } => return Err(undecidable("blocks before it are missing")),
        };
        let started = Instant::now();
        let certified = CertifiedHeader {
            header: block.header.clone(),
            certificate: certificate_of(decided),
        };
        let past = self
            .candidates
            .iter()
            .filter(|(_, candidate)| candidate.height <= height);
        let forget: Vec<_> = past
            .map(|(hash, candidate)| (candidate.height, *hash))
            .collect();
        tokio::task::block_in_place(|| {
            self.shared.store.commit(&block.write(&certified, &forget))
        })?;
        metrics::histogram!("ledger_commit_seconds").record(started.elapsed());
        self.height = height;
        self.time_ms = block.header.time_ms;
        self.candidates
            .retain(|_, candidate| candidate.height > height);
        if block.header.next_validators != block.header.validators {
            let set = self.shared.store.view()?.validators()?;
            self.validators = Validators::new(&set).map_err(ConsensusError::Validators)?;
        }
        self.tell(&block);
        Ok(())
    }

    fn tell(&self, block: &ExecutedBlock) {
        let Shared { mempool, feed, .. } = &*self.shared;
        mempool.remove(block.leaves.iter().map(|(id, _)| id));
        for expired in mempool.expire(block.header.time_ms) {
            let (not_after_ms, time_ms) = (expired.entry().not_after_ms(), block.header.time_ms);
            feed.tell_refused(
                &expired.id(),
                Inadmissible::Late {
                    not_after_ms,
                    time_ms,
                },
            );
        }
        let first = block.header.log_size - block.leaves.len() as u64;
        feed.tell_final(
            events::of_block(block, first),
            (first..)
                .zip(&block.leaves)
                .map(|(index, (id, _))| (*id, index)),
        );
        metrics::counter!("ledger_entries_total").increment(block.leaves.len() as u64);
        metrics::gauge!("ledger_height").set(block.header.height as f64);
        metrics::gauge!("ledger_mempool_entries").set(mempool.size().0 as f64);
        metrics::histogram!("ledger_height_seconds").record(self.height_began.elapsed());
    }

    /// The engine waits a little for more precommits; the fuller certificate replaces the first.
    fn keep_certificate(&self, decided: &CommitCertificate<Ledger>) -> Result<(), ConsensusError> {
        let certificate = certificate_of(decided);
        let stored = self
            .shared
            .store
            .view()?
            .certified_header(certificate.height)?
            .certificate;
        if certificate.signatures.len() > stored.signatures.len() {
            self.shared.store.replace_certificate(certificate)?;
        }
        Ok(())
    }

    fn decided_values(
        &self,
        range: RangeInclusive<BlockHeight>,
    ) -> Result<Vec<RawDecidedValue<Ledger>>, ConsensusError> {
        let view = self.shared.store.view()?;
        let (mut values, mut bytes) = (Vec::new(), 0);
        for height in range.start().0..=range.end().0.min(self.height) {
            let (block, certificate) = block::stored(&view, height)?;
            bytes += block.len();
            if bytes > SYNC_BYTES_MAX && !values.is_empty() {
                break;
            }
            values.push(decided_value(block, commit_of(&certificate)));
        }
        Ok(values)
    }
}

/// Whether a block's time is close enough to the clock. It may never lie ahead; one that is proposed again, because it got
/// its prevotes in an earlier round, may lie behind.
const fn timely(time_ms: u64, valid_round: Option<u32>, proposed_ms: u64) -> bool {
    let ahead = time_ms > proposed_ms + CLOCK_DIFFERENCE_MAX_MS;
    let behind = time_ms + CLOCK_DIFFERENCE_MAX_MS < proposed_ms;
    !ahead && (valid_round.is_some() || !behind)
}

fn certificate_of(decided: &CommitCertificate<Ledger>) -> Certificate {
    let signature = |one: &CommitSignature<Ledger>| tegata_consent::header::CommitSignature {
        address: one.address.0,
        signature: one.signature.0.into(),
    };
    Certificate {
        height: decided.height.0,
        round: decided.round.as_u32().unwrap_or(0),
        header: decided.value_id.0,
        signatures: decided.commit_signatures.iter().map(signature).collect(),
    }
}

fn commit_of(certificate: &Certificate) -> CommitCertificate<Ledger> {
    let signature = |one: &tegata_consent::header::CommitSignature| {
        CommitSignature::new(ValidatorAddress(one.address), VoteSignature(*one.signature))
    };
    CommitCertificate {
        height: BlockHeight(certificate.height),
        round: Round::new(certificate.round),
        value_id: HeaderHash(certificate.header),
        commit_signatures: certificate.signatures.iter().map(signature).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
