//! Blocks on their way: cut into parts, and put together again within bounds.

use super::context::{Announcement, Part, VoteSignature};
use crate::block::BLOCK_LIMIT;
use arc_malachitebft_app_channel::app::streaming::{StreamContent, StreamId, StreamMessage};
use arc_malachitebft_app_channel::app::types::PeerId;
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// Longest part in bytes.
const PART_BYTES: usize = 128 * 1024;
/// Most streams of one peer that may be incomplete at a time.
const STREAMS_PER_PEER_MAX: usize = 8;
/// Highest sequence number of a part.
const SEQUENCE_MAX: u64 = (BLOCK_LIMIT / PART_BYTES) as u64;
/// An incomplete stream this old is dropped.
const STREAM_AGE_MAX: Duration = Duration::from_secs(30);

/// Cuts a block into parts. The first carries the announcement, and there is no other end than the announced length: most
/// blocks are one message. `id` must be new for this publisher.
pub(super) fn cut(
    id: &StreamId,
    announcement: Announcement,
    signature: VoteSignature,
    block: &Bytes,
) -> Vec<StreamMessage<Part>> {
    let end = |start: usize| block.len().min(start + PART_BYTES);
    let first = Part::Init(announcement, signature, block.slice(..end(0)));
    let starts = (0..block.len()).step_by(PART_BYTES).skip(1);
    let others = starts.map(|start| Part::Data(block.slice(start..end(start))));
    (0..)
        .zip(std::iter::once(first).chain(others))
        .map(|(number, part)| StreamMessage::new(id.clone(), number, StreamContent::Data(part)))
        .collect()
}

/// A block that arrived whole. Whether the announcement is signed, and the bytes are that block, is not checked yet.
pub(super) struct Arrived {
    pub(super) announcement: Announcement,
    pub(super) signature: VoteSignature,
    pub(super) block: Bytes,
}

/// Streams that are not complete yet.
#[derive(Default)]
pub(super) struct Streams(HashMap<(PeerId, Bytes), Partial>);

struct Partial {
    init: Option<(Announcement, VoteSignature)>,
    data: BTreeMap<u64, Bytes>,
    began: Instant,
}

impl Streams {
    /// Takes a part; gives the block when it was the last one missing. Parts that break a bound are dropped.
    pub(super) fn take(&mut self, from: PeerId, message: StreamMessage<Part>) -> Option<Arrived> {
        if message.sequence > SEQUENCE_MAX {
            return None;
        }
        let key = (from, message.stream_id.to_bytes());
        if !self.0.contains_key(&key) {
            self.make_room(&from);
        }
        let partial = self.0.entry(key.clone()).or_insert_with(Partial::new);
        let StreamContent::Data(part) = message.content else {
            return None;
        };
        let data = match part {
            Part::Init(announcement, signature, data) => {
                partial.init = Some((announcement, signature));
                data
            }
            Part::Data(data) => data,
        };
        if data.len() > PART_BYTES {
            return None;
        }
        partial.data.insert(message.sequence, data);
        if !partial.is_whole() {
            return None;
        }
        self.0.remove(&key)?.whole()
    }

    fn make_room(&mut self, from: &PeerId) {
        self.0
            .retain(|_, partial| partial.began.elapsed() < STREAM_AGE_MAX);
        let of_peer = self.0.iter().filter(|((peer, _), _)| peer == from);
        let oldest = of_peer
            .clone()
            .min_by_key(|(_, partial)| partial.began)
            .map(|(key, _)| key.clone());
        if of_peer.count() >= STREAMS_PER_PEER_MAX
            && let Some(oldest) = oldest
        {
            self.0.remove(&oldest);
        }
    }
}

impl Partial {
    fn new() -> Self {
        Self {
            init: None,
            data: BTreeMap::new(),
            began: Instant::now(),
        }
    }

    fn is_whole(&self) -> bool {
        let length = self.data.values().map(Bytes::len).sum::<usize>();
        let announced = self
            .init
            .as_ref()
            .map(|(announcement, _)| announcement.length);
        announced.is_some_and(|announced| usize::try_from(announced) == Ok(length))
            && length <= BLOCK_LIMIT
    }

    fn whole(self) -> Option<Arrived> {
        let (announcement, signature) = self.init?;
        let mut parts = self.data.into_values();
        let first = parts.next()?;
        let mut block = match parts.len() {
            0 => {
                return Some(Arrived {
                    announcement,
                    signature,
                    block: first,
                });
            }
            others => BytesMut::with_capacity((1 + others) * PART_BYTES),
        };
        block.extend_from_slice(&first);
        parts.for_each(|data| block.extend_from_slice(&data));
        let block = block.freeze();
        Some(Arrived {
            announcement,
            signature,
            block,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::context::{BlockHeight, HeaderHash, ValidatorAddress};
    use super::*;
    use tegata_consent::ids::{Address, Hash};

    fn announcement(length: usize) -> Announcement {
        let (streamer, value) = (
            ValidatorAddress(Address([1; 20])),
            HeaderHash(Hash([2; 32])),
        );
        let length = u32::try_from(length).unwrap();
        Announcement {
            height: BlockHeight(1),
            round: 0,
            valid_round: None,
            streamer,
            value,
            length,
        }
    }

    fn parts(number: u8, announced: usize, length: usize) -> (Vec<StreamMessage<Part>>, Bytes) {
        let block: Bytes = (0..length).map(|at| (at % 251) as u8).collect();
        let id = StreamId::new(Bytes::copy_from_slice(&[number]));
        (
            cut(&id, announcement(announced), VoteSignature([0; 64]), &block),
            block,
        )
    }

    fn peer() -> PeerId {
        PeerId::from_bytes(&libp2p::PeerId::random().to_bytes()).unwrap()
    }

    fn take_all(
        streams: &mut Streams,
        from: PeerId,
        parts: Vec<StreamMessage<Part>>,
    ) -> Option<Bytes> {
        let mut whole = parts
            .into_iter()
            .filter_map(|part| streams.take(from, part))
            .map(|arrived| arrived.block);
        let first = whole.next();
        assert!(whole.next().is_none());
        first
    }

    #[test]
    fn a_block_comes_out_whole_in_any_order_of_parts() {
        for length in [1, PART_BYTES, PART_BYTES + 1, BLOCK_LIMIT] {
            let (mut parts, block) = parts(1, length, length);
            assert_eq!(parts.len(), length.div_ceil(PART_BYTES));
            assert_eq!(
                take_all(&mut Streams::default(), peer(), parts.clone()).as_ref(),
                Some(&block)
            );
            parts.reverse();
            assert_eq!(
                take_all(&mut Streams::default(), peer(), parts).as_ref(),
                Some(&block)
            );
        }
    }

    #[test]
    fn broken_streams_give_nothing() {
        let mut streams = Streams::default();
        assert!(
            take_all(&mut streams, peer(), parts(1, 10, 11).0).is_none(),
            "longer than announced"
        );
        assert!(
            take_all(
                &mut streams,
                peer(),
                parts(2, BLOCK_LIMIT + 1, BLOCK_LIMIT + 1).0
            )
            .is_none(),
            "too long"
        );
        let mut missing = parts(3, 2 * PART_BYTES, 2 * PART_BYTES).0;
        missing.remove(1);
        assert!(
            take_all(&mut streams, peer(), missing).is_none(),
            "a part is missing"
        );
        let (mixed, from) = (parts(4, PART_BYTES + 1, PART_BYTES + 1).0, peer());
        assert!(streams.take(from, mixed[0].clone()).is_none());
        assert!(
            take_all(&mut streams, peer(), mixed[1..].to_vec()).is_none(),
            "two peers do not share a stream"
        );
        let far = StreamMessage::new(
            StreamId::new(Bytes::from_static(b"far")),
            SEQUENCE_MAX + 1,
            StreamContent::Fin,
        );
        assert!(streams.take(peer(), far).is_none());
    }

    #[test]
    fn a_peer_that_begins_streams_and_never_ends_them_pushes_out_only_its_own() {
        let (mut streams, honest, other) = (Streams::default(), peer(), peer());
        let (good, block) = parts(0, PART_BYTES + 1, PART_BYTES + 1);
        assert!(streams.take(honest, good[0].clone()).is_none());
        for number in 0..=200 {
            assert!(
                streams
                    .take(
                        other,
                        parts(number, PART_BYTES + 1, PART_BYTES + 1).0[0].clone()
                    )
                    .is_none()
            );
        }
        assert_eq!(streams.0.len(), 1 + STREAMS_PER_PEER_MAX);
        assert_eq!(
            take_all(&mut streams, honest, good[1..].to_vec()),
            Some(block)
        );
    }
}
