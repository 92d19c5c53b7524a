//! How consensus messages stand on the wire and in the write-ahead log: mirror structures in Borsh.
//!
//! Only validators of one ledger, running one version, exchange these; nothing else reads them.

use super::context::{
    Announcement, BlockHeight, HeaderHash, Ledger, Part, Proposal, ValidatorAddress, Vote,
    VoteSignature,
};
use arc_malachitebft_app_channel::app::consensus::{
    LivenessMsg, ProposedValue, SignedConsensusMsg,
};
use arc_malachitebft_app_channel::app::streaming::{StreamContent, StreamId, StreamMessage};
use arc_malachitebft_app_channel::app::types::PeerId;
use arc_malachitebft_app_channel::app::types::codec::{Codec, HasEncodedLen};
use arc_malachitebft_app_channel::app::types::core::{
    CommitCertificate, CommitSignature, ExtendedCommitCertificate, NilOrVal, PolkaCertificate,
    PolkaSignature, Round, RoundCertificate, RoundCertificateType, RoundSignature, SignedProposal,
    SignedVote, ValidatorProof, Validity, VoteExtensions, VoteType,
};
use arc_malachitebft_app_channel::app::types::sync;
use arc_malachitebft_sync::{ValueRequest, ValueResponse};
use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use std::io::{Error, ErrorKind};
use tegata_consent::ids::{Address, Hash};

/// The one codec.
#[derive(Clone, Copy, Debug)]
pub(super) struct WireCodec;

type WireAddress = [u8; 20];
type WireHash = [u8; 32];
type WireSignature = [u8; 64];

#[derive(BorshSerialize, BorshDeserialize)]
struct WireVote {
    precommit: bool,
    height: u64,
    round: i64,
    value: Option<WireHash>,
    address: WireAddress,
    signature: WireSignature,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct WireProposal {
    height: u64,
    round: i64,
    value: WireHash,
    pol_round: i64,
    address: WireAddress,
    signature: WireSignature,
}

#[derive(BorshSerialize, BorshDeserialize)]
enum WireConsensus {
    Vote(WireVote),
    Proposal(WireProposal),
}

#[derive(BorshSerialize, BorshDeserialize)]
struct WireCertificate {
    height: u64,
    round: i64,
    value: WireHash,
    signatures: Vec<(WireAddress, WireSignature)>,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct WireRoundSignature {
    precommit: bool,
    value: Option<WireHash>,
    address: WireAddress,
    signature: WireSignature,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct WireRoundCertificate {
    height: u64,
    round: i64,
    precommit: bool,
    signatures: Vec<WireRoundSignature>,
}

#[derive(BorshSerialize, BorshDeserialize)]
enum WireLiveness {
    Vote(WireVote),
    Polka(WireCertificate),
    Round(WireRoundCertificate),
}

#[derive(BorshSerialize, BorshDeserialize)]
enum WirePart {
    Init {
        height: u64,
        round: u32,
        valid_round: Option<u32>,
        streamer: WireAddress,
        value: WireHash,
        length: u32,
        signature: WireSignature,
        data: Vec<u8>,
    },
    Data(Vec<u8>),
}

#[derive(BorshSerialize, BorshDeserialize)]
struct WireStream {
    id: Vec<u8>,
    sequence: u64,
    part: Option<WirePart>,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct WireProof {
    public_key: Vec<u8>,
    peer: Vec<u8>,
    signature: WireSignature,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct WireProposedValue {
    height: u64,
    round: i64,
    valid_round: i64,
    proposer: WireAddress,
    value: WireHash,
    valid: bool,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct WireStatus {
    peer: Vec<u8>,
    tip: u64,
    first: u64,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct WireRequest {
    from: u64,
    to: u64,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct WireDecided {
    block: Vec<u8>,
    certificate: WireCertificate,
}

#[derive(BorshSerialize, BorshDeserialize)]
struct WireResponse {
    from: u64,
    values: Vec<WireDecided>,
}

fn malformed(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("consensus message: {what}"))
}

fn read_round(round: i64) -> Result<Round, Error> {
    if round == -1 {
        return Ok(Round::Nil);
    }
    u32::try_from(round)
        .map(Round::new)
        .map_err(|_| malformed("round"))
}

fn read_value(value: Option<WireHash>) -> NilOrVal<HeaderHash> {
    value.map_or(NilOrVal::Nil, |value| {
        NilOrVal::Val(HeaderHash(Hash(value)))
    })
}

fn write_value(value: &NilOrVal<HeaderHash>) -> Option<WireHash> {
    match value {
        NilOrVal::Nil => None,
        NilOrVal::Val(value) => Some(value.0.0),
    }
}

const fn read_step(precommit: bool) -> VoteType {
    if precommit {
        VoteType::Precommit
    } else {
        VoteType::Prevote
    }
}

const fn read_address(address: WireAddress) -> ValidatorAddress {
    ValidatorAddress(Address(address))
}

fn write_vote(signed: &SignedVote<Ledger>) -> WireVote {
    let vote = &signed.message;
    WireVote {
        precommit: vote.step == VoteType::Precommit,
        height: vote.height.0,
        round: vote.round.as_i64(),
        value: write_value(&vote.value),
        address: vote.address.0.0,
        signature: signed.signature.0,
    }
}

fn read_vote(wire: WireVote) -> Result<SignedVote<Ledger>, Error> {
    let vote = Vote {
        step: read_step(wire.precommit),
        height: BlockHeight(wire.height),
        round: read_round(wire.round)?,
        value: read_value(wire.value),
        address: read_address(wire.address),
    };
    Ok(SignedVote::new(vote, VoteSignature(wire.signature)))
}

fn write_polka(polka: &PolkaCertificate<Ledger>) -> WireCertificate {
    WireCertificate {
        height: polka.height.0,
        round: polka.round.as_i64(),
        value: polka.value_id.0.0,
        signatures: polka
            .polka_signatures
            .iter()
            .map(|one| (one.address.0.0, one.signature.0))
            .collect(),
    }
}

fn read_polka(wire: WireCertificate) -> Result<PolkaCertificate<Ledger>, Error> {
    let one =
        |(address, signature)| PolkaSignature::new(read_address(address), VoteSignature(signature));
    Ok(PolkaCertificate {
        height: BlockHeight(wire.height),
        round: read_round(wire.round)?,
        value_id: HeaderHash(Hash(wire.value)),
        polka_signatures: wire.signatures.into_iter().map(one).collect(),
    })
}

fn write_commit(commit: &CommitCertificate<Ledger>) -> WireCertificate {
    WireCertificate {
        height: commit.height.0,
        round: commit.round.as_i64(),
        value: commit.value_id.0.0,
        signatures: commit
            .commit_signatures
            .iter()
            .map(|one| (one.address.0.0, one.signature.0))
            .collect(),
    }
}

fn read_commit(wire: WireCertificate) -> Result<CommitCertificate<Ledger>, Error> {
    let one = |(address, signature)| {
        CommitSignature::new(read_address(address), VoteSignature(signature))
    };
    Ok(CommitCertificate {
        height: BlockHeight(wire.height),
        round: read_round(wire.round)?,
        value_id: HeaderHash(Hash(wire.value)),
        commit_signatures: wire.signatures.into_iter().map(one).collect(),
    })
}

fn write_round(certificate: &RoundCertificate<Ledger>) -> WireRoundCertificate {
    let one = |one: &RoundSignature<Ledger>| WireRoundSignature {
        precommit: one.vote_type == VoteType::Precommit,
        value: write_value(&one.value_id),
        address: one.address.0.0,
        signature: one.signature.0,
    };
    WireRoundCertificate {
        height: certificate.height.0,
        round: certificate.round.as_i64(),
        precommit: matches!(certificate.cert_type, RoundCertificateType::Precommit),
        signatures: certificate.round_signatures.iter().map(one).collect(),
    }
}

fn read_round_certificate(wire: WireRoundCertificate) -> Result<RoundCertificate<Ledger>, Error> {
    let one = |one: WireRoundSignature| {
        let (step, value) = (read_step(one.precommit), read_value(one.value));
        RoundSignature::new(
            step,
            value,
            read_address(one.address),
            VoteSignature(one.signature),
        )
    };
    Ok(RoundCertificate {
        height: BlockHeight(wire.height),
        round: read_round(wire.round)?,
        cert_type: if wire.precommit {
            RoundCertificateType::Precommit
        } else {
            RoundCertificateType::Skip
        },
        round_signatures: wire.signatures.into_iter().map(one).collect(),
    })
}

fn write_part(part: &Part) -> WirePart {
    match part {
        Part::Init(announcement, signature, data) => WirePart::Init {
            height: announcement.height.0,
            round: announcement.round,
            valid_round: announcement.valid_round,
            streamer: announcement.streamer.0.0,
            value: announcement.value.0.0,
            length: announcement.length,
            signature: signature.0,
            data: data.to_vec(),
        },
        Part::Data(bytes) => WirePart::Data(bytes.to_vec()),
    }
}

fn read_part(wire: WirePart) -> Part {
    match wire {
        WirePart::Init {
            height,
            round,
            valid_round,
            streamer,
            value,
            length,
            signature,
            data,
        } => Part::Init(
            Announcement {
                height: BlockHeight(height),
                round,
                valid_round,
                streamer: read_address(streamer),
                value: HeaderHash(Hash(value)),
                length,
            },
            VoteSignature(signature),
            data.into(),
        ),
        WirePart::Data(bytes) => Part::Data(bytes.into()),
    }
}

fn write_decided(value: &sync::RawDecidedValue<Ledger>) -> WireDecided {
    WireDecided {
        block: value.value_bytes.to_vec(),
        certificate: write_commit(&value.certificate.trim_vote_extensions()),
    }
}

/// A decided block as sync exchanges it.
pub(super) fn decided_value(
    block: Bytes,
    commit: CommitCertificate<Ledger>,
) -> sync::RawDecidedValue<Ledger> {
    let certificate = ExtendedCommitCertificate::from_commit_certificate_and_extensions(
        commit,
        VoteExtensions::default(),
    );
    sync::RawDecidedValue::new(block, certificate)
}

macro_rules! codec {
    ($type:ty, $wire:ty, $write:expr, $read:expr) => {
        impl Codec<$type> for WireCodec {
            type Error = Error;
            fn decode(&self, bytes: Bytes) -> Result<$type, Error> {
                let read: fn($wire) -> Result<$type, Error> = $read;
                read(borsh::from_slice::<$wire>(&bytes)?)
            }
            fn encode(&self, message: &$type) -> Result<Bytes, Error> {
                let write: fn(&$type) -> $wire = $write;
                Ok(borsh::to_vec(&write(message))?.into())
            }
        }
    };
}

codec!(Part, WirePart, write_part, |wire| Ok(read_part(wire)));
codec!(
    SignedConsensusMsg<Ledger>,
    WireConsensus,
    |message| match message {
        SignedConsensusMsg::Vote(vote) => WireConsensus::Vote(write_vote(vote)),
        SignedConsensusMsg::Proposal(signed) => WireConsensus::Proposal(WireProposal {
            height: signed.message.height.0,
            round: signed.message.round.as_i64(),
            value: signed.message.value.0.0,
            pol_round: signed.message.pol_round.as_i64(),
            address: signed.message.address.0.0,
            signature: signed.signature.0,
        }),
    },
    |wire| Ok(match wire {
        WireConsensus::Vote(vote) => SignedConsensusMsg::Vote(read_vote(vote)?),
        WireConsensus::Proposal(wire) => {
            let proposal = Proposal {
                height: BlockHeight(wire.height),
                round: read_round(wire.round)?,
                value: HeaderHash(Hash(wire.value)),
                pol_round: read_round(wire.pol_round)?,
                address: read_address(wire.address),
            };
            SignedConsensusMsg::Proposal(SignedProposal::new(
                proposal,
                VoteSignature(wire.signature),
            ))
        }
    })
);
codec!(
    LivenessMsg<Ledger>,
    WireLiveness,
    |message| match message {
        LivenessMsg::Vote(vote) => WireLiveness::Vote(write_vote(vote)),
        LivenessMsg::PolkaCertificate(polka) => WireLiveness::Polka(write_polka(polka)),
        LivenessMsg::SkipRoundCertificate(round) => WireLiveness::Round(write_round(round)),
    },
    |wire| Ok(match wire {
        WireLiveness::Vote(vote) => LivenessMsg::Vote(read_vote(vote)?),
        WireLiveness::Polka(polka) => LivenessMsg::PolkaCertificate(read_polka(polka)?),
        WireLiveness::Round(round) =>
            LivenessMsg::SkipRoundCertificate(read_round_certificate(round)?),
    })
);
codec!(
    StreamMessage<Part>,
    WireStream,
    |message| WireStream {
        id: message.stream_id.to_bytes().to_vec(),
        sequence: message.sequence,
        part: message.content.as_data().map(write_part),
    },
    |wire| {
        let content = wire.part.map_or(StreamContent::Fin, |part| {
            StreamContent::Data(read_part(part))
        });
        Ok(StreamMessage::new(
            StreamId::new(wire.id.into()),
            wire.sequence,
            content,
        ))
    }
);
codec!(
    ValidatorProof<Ledger>,
    WireProof,
    |proof| WireProof {
        public_key: proof.public_key.clone(),
        peer: proof.peer_id.clone(),
        signature: proof.signature.0
    },
    |wire| Ok(ValidatorProof::new(
        wire.public_key,
        wire.peer,
        VoteSignature(wire.signature)
    ))
);
codec!(
    ProposedValue<Ledger>,
    WireProposedValue,
    |proposed| WireProposedValue {
        height: proposed.height.0,
        round: proposed.round.as_i64(),
        valid_round: proposed.valid_round.as_i64(),
        proposer: proposed.proposer.0.0,
        value: proposed.value.0.0,
        valid: proposed.validity.is_valid(),
    },
    |wire| Ok(ProposedValue {
        height: BlockHeight(wire.height),
        round: read_round(wire.round)?,
        valid_round: read_round(wire.valid_round)?,
        proposer: read_address(wire.proposer),
        value: HeaderHash(Hash(wire.value)),
        validity: Validity::from_bool(wire.valid),
    })
);
codec!(
    PolkaCertificate<Ledger>,
    WireCertificate,
    write_polka,
    read_polka
);
codec!(
    sync::Status<Ledger>,
    WireStatus,
    |status| WireStatus {
        peer: status.peer_id.to_bytes(),
        tip: status.tip_height.0,
        first: status.history_min_height.0
    },
    |wire| Ok(sync::Status {
        peer_id: PeerId::from_bytes(&wire.peer).map_err(|_| malformed("peer"))?,
        tip_height: BlockHeight(wire.tip),
        history_min_height: BlockHeight(wire.first),
    })
);
codec!(
    sync::Request<Ledger>,
    WireRequest,
    |request| match request {
        sync::Request::ValueRequest(request) => {
            WireRequest {
                from: request.range.start().0,
                to: request.range.end().0,
            }
        }
    },
    |wire| Ok(sync::Request::ValueRequest(ValueRequest::new(
        BlockHeight(wire.from)..=BlockHeight(wire.to)
    )))
);
codec!(
    sync::Response<Ledger>,
    WireResponse,
    |response| match response {
        sync::Response::ValueResponse(response) => WireResponse {
            from: response.start_height.0,
            values: response.values.iter().map(write_decided).collect(),
        },
    },
    |wire| {
        let value = |value: WireDecided| {
            Ok(decided_value(
                value.block.into(),
                read_commit(value.certificate)?,
            ))
        };
        let values = wire
            .values
            .into_iter()
            .map(value)
            .collect::<Result<_, Error>>()?;
        Ok(sync::Response::ValueResponse(ValueResponse::new(
            BlockHeight(wire.from),
            values,
        )))
    }
);

impl HasEncodedLen<sync::Response<Ledger>> for WireCodec {
    fn encoded_len(&self, response: &sync::Response<Ledger>) -> Result<usize, Error> {
        Codec::<sync::Response<Ledger>>::encode(self, response).map(|bytes| bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Debug;

    fn same<T: Debug>(message: &T)
    where
        WireCodec: Codec<T, Error = Error>,
    {
        let bytes = WireCodec.encode(message).unwrap();
        let read: T = WireCodec.decode(bytes.clone()).unwrap();
        assert_eq!(format!("{read:?}"), format!("{message:?}"));
        assert!(
            Codec::<T>::decode(&WireCodec, bytes.slice(..bytes.len() - 1)).is_err(),
            "cut short"
        );
        let longer = Bytes::from([&bytes[..], &[0]].concat());
        assert!(
            Codec::<T>::decode(&WireCodec, longer).is_err(),
            "a byte too many"
        );
    }

    #[test]
    fn every_message_is_read_as_it_was_written() {
        let (address, signature) = (ValidatorAddress(Address([3; 20])), VoteSignature([4; 64]));
        let (height, round, value) = (BlockHeight(7), Round::new(2), HeaderHash(Hash([5; 32])));
        for vote_value in [NilOrVal::Nil, NilOrVal::Val(value)] {
            for step in [VoteType::Prevote, VoteType::Precommit] {
                let vote = SignedVote::new(
                    Vote {
                        step,
                        height,
                        round,
                        value: vote_value,
                        address,
                    },
                    signature,
                );
                same(&SignedConsensusMsg::Vote(vote.clone()));
                same(&LivenessMsg::Vote(vote));
                let one = RoundSignature::new(step, vote_value, address, signature);
                let cert_type = RoundCertificateType::Precommit;
                let certificate = RoundCertificate {
                    height,
                    round,
                    cert_type,
                    round_signatures: vec![one],
                };
                same(&LivenessMsg::SkipRoundCertificate(certificate));
            }
        }
        let proposal = Proposal {
            height,
            round,
            value,
            pol_round: Round::Nil,
            address,
        };
        same(&SignedConsensusMsg::Proposal(SignedProposal::new(
            proposal, signature,
        )));
        let polka_signatures = vec![PolkaSignature::new(address, signature)];
        let polka = PolkaCertificate {
            height,
            round,
            value_id: value,
            polka_signatures,
        };
        same(&polka);
        same(&LivenessMsg::PolkaCertificate(polka));
        let announcement = Announcement {
            height,
            round: 2,
            valid_round: Some(1),
            streamer: address,
            value,
            length: 3,
        };
        for content in [
            StreamContent::Data(Part::Init(
                announcement,
                signature,
                Bytes::from_static(b"ab"),
            )),
            StreamContent::Data(Part::Data(Bytes::from_static(b"abc"))),
            StreamContent::Fin,
        ] {
            same(&StreamMessage::new(
                StreamId::new(Bytes::from_static(b"id")),
                9,
                content,
            ));
        }
        for validity in [Validity::Valid, Validity::Invalid] {
            let valid_round = Round::new(1);
            same(&ProposedValue {
                height,
                round,
                valid_round,
                proposer: address,
                value,
                validity,
            });
        }
        let peer_id = PeerId::from_bytes(&libp2p::PeerId::random().to_bytes()).unwrap();
        same(&sync::Status::<Ledger> {
            peer_id,
            tip_height: height,
            history_min_height: BlockHeight(1),
        });
        same(&sync::Request::<Ledger>::ValueRequest(ValueRequest::new(
            BlockHeight(1)..=height,
        )));
        let commit_signatures = vec![CommitSignature::new(address, signature)];
        let commit = CommitCertificate {
            height,
            round,
            value_id: value,
            commit_signatures,
        };
        let values = vec![decided_value(Bytes::from_static(b"block"), commit)];
        same(&sync::Response::<Ledger>::ValueResponse(
            ValueResponse::new(height, values),
        ));
        same(&ValidatorProof::<Ledger>::new(vec![1], vec![2], signature));
    }
}
