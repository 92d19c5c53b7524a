//! The application's side of consensus: builds, judges and commits blocks as the engine asks.

use super::ConsensusError;
use super::candidates::Candidates;
use super::codec::decided_value;
use super::context::{
    Announcement, BlockHeight, HeaderHash, Ledger, Part, ValidatorAddress, Validators,
    VoteSignature, sign,
};
use super::network::Others;
use super::streams::{Arrived, Streams, cut};
use crate::block::{self, BLOCK_TARGET_BYTES, Built, ExecutedBlock};
use crate::events;
use crate::shared::Shared;
use arc_malachitebft_app_channel::app::engine::host::{HeightParams, Next, SyncedValueOutcome};
use arc_malachitebft_app_channel::app::streaming::{StreamId, StreamMessage};
use arc_malachitebft_app_channel::app::types::core::{
    CommitCertificate, CommitSignature, LinearTimeouts, Round, ValidatorSet as _,
};
use arc_malachitebft_app_channel::app::types::sync::RawDecidedValue;
use arc_malachitebft_app_channel::app::types::{LocallyProposedValue, PeerId, ProposedValue};
use arc_malachitebft_app_channel::{AppMsg, NetworkMsg, Reply};
use bytes::Bytes;
use ed25519_dalek::SigningKey;
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
    candidates: Candidates,
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
        let candidates = Candidates::load(shared.clone(), height + 1)?;
        let address = ValidatorAddress(Address::of(&public_key(&key)));
        tracing::info!(height, %address, "ledger loaded");
        Ok(Self {
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
        })
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
        let elsewhere =
            || self.others.borrow().tip >= next || self.candidates.of_height(next).next().is_some();
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
        let made = self.candidates.own(height.0, number);
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
        let hash = self.candidates.add_executed(block, round, true)?;
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
        if !self.is_announced(&announcement, &block) {
            tracing::warn!(%from, height, "block is not the announced one, or not by this round's proposer");
            return Ok(None);
        }
        let arrived_ms = now_ms();
        if !self.candidates.offer(&announcement, block, arrived_ms) || height > self.height + 1 {
            return Ok(None);
        }
        let Announcement {
            round, valid_round, ..
        } = announcement;
        tokio::task::block_in_place(|| self.candidates.judge(hash, valid_round, arrived_ms))?;
        Ok(self.proposed_value(&hash, round, valid_round))
    }

    /// Whether the bytes are the block that was announced, and one that is proposed afresh is by the round's proposer.
    fn is_announced(&self, announcement: &Announcement, block: &[u8]) -> bool {
        let Announcement {
            height,
            round,
            valid_round,
            value,
            ..
        } = *announcement;
        let Some(header) = block::header_of(block) else {
            return false;
        };
        let proposer = self.validators.proposer(height, Round::new(round)).address;
        let fresh = valid_round.is_none();
        header.height == height.0
            && header.hash() == value.0
            && (!fresh || header.proposer == proposer.0)
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

    /// All candidates of the next height.
    fn proposed_values(&mut self) -> Result<Vec<ProposedValue<Ledger>>, ConsensusError> {
        let next = self.height + 1;
        tokio::task::block_in_place(|| self.candidates.judge_early(next))?;
        let values = self
            .candidates
            .of_height(next)
            .filter_map(|(hash, candidate)| {
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
        let validity = candidate.validity()?;
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
        let block = match tokio::task::block_in_place(|| self.candidates.execute(bytes))? {
            Ok(block) => block,
            Err(error) => {
                tracing::error!(%height, %error, "a decided block from a peer does not hold");
                return Ok(SyncedValueOutcome::PeerFault);
            }
        };
        let hash = self.candidates.add_executed(block, round, false)?;
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
        let undecidable = |why| ConsensusError::Undecidable { height, hash, why };
        let block = self.candidates.decided(&hash).map_err(undecidable)?;
        let started = Instant::now();
        let certified = CertifiedHeader {
            header: block.header.clone(),
            certificate: certificate_of(decided),
        };
        let forget = self.candidates.until(height);
        tokio::task::block_in_place(|| {
            self.shared.store.commit(&block.write(&certified, &forget))
        })?;
        metrics::histogram!("ledger_commit_seconds").record(started.elapsed());
        self.height = height;
        self.time_ms = block.header.time_ms;
        self.candidates.forget_until(height);
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
