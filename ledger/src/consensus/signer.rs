//! Signs and verifies what consensus sends (`specs/consent/ledger.md`, section 3).

use super::context::{ConsensusKey, Ledger, Proposal, Vote, VoteSignature, sign};
use arc_malachitebft_app_channel::app::types::core::{
    SignedMessage, ValidatorProof, VoteExtensionScope,
};
use arc_malachitebft_app_channel::{Signer, Verifier};
use arc_malachitebft_signing::{Error, VerificationResult};
use async_trait::async_trait;
use ed25519_dalek::SigningKey;
use tegata_consent::ids::ChainId;

/// Holds this validator's consensus key.
#[derive(Clone)]
pub(super) struct ConsensusSigner {
    pub(super) chain: ChainId,
    pub(super) key: SigningKey,
}

/// Checks other validators' signatures.
#[derive(Clone)]
pub(super) struct ConsensusVerifier {
    pub(super) chain: ChainId,
}

#[async_trait]
impl Verifier<Ledger> for ConsensusVerifier {
    async fn verify_signed_vote(
        &self,
        vote: &Vote,
        signature: &VoteSignature,
        key: &ConsensusKey,
    ) -> Result<VerificationResult, Error> {
        Ok(VerificationResult::from_bool(
            key.verifies(&vote.signed_bytes(&self.chain), signature),
        ))
    }
    async fn verify_signed_proposal(
        &self,
        proposal: &Proposal,
        signature: &VoteSignature,
        key: &ConsensusKey,
    ) -> Result<VerificationResult, Error> {
        Ok(VerificationResult::from_bool(
            key.verifies(&proposal.signed_bytes(&self.chain), signature),
        ))
    }
    async fn verify_signed_vote_extension(
        &self,
        _: &VoteExtensionScope<Ledger>,
        (): &(),
        _: &VoteSignature,
        _: &ConsensusKey,
    ) -> Result<VerificationResult, Error> {
        Ok(VerificationResult::Invalid)
    }
    async fn verify_validator_proof(
        &self,
        proof: &ValidatorProof<Ledger>,
    ) -> Result<VerificationResult, Error> {
        let key = proof.decoded_public_key().map_err(Error::from_source)?;
        Ok(VerificationResult::from_bool(
            key.verifies(&proof.preimage(), &proof.signature),
        ))
    }
}

#[async_trait]
impl Signer<Ledger> for ConsensusSigner {
    async fn sign_vote(&self, vote: Vote) -> Result<SignedMessage<Ledger, Vote>, Error> {
        let signature = sign(&self.key, &vote.signed_bytes(&self.chain));
        Ok(SignedMessage::new(vote, signature))
    }
    async fn sign_proposal(
        &self,
        proposal: Proposal,
    ) -> Result<SignedMessage<Ledger, Proposal>, Error> {
        let signature = sign(&self.key, &proposal.signed_bytes(&self.chain));
        Ok(SignedMessage::new(proposal, signature))
    }
    async fn sign_vote_extension(
        &self,
        _: VoteExtensionScope<Ledger>,
        (): (),
    ) -> Result<SignedMessage<Ledger, ()>, Error> {
        Err(Error::from_source("this ledger has no vote extensions"))
    }
    async fn sign_validator_proof(
        &self,
        public_key: Vec<u8>,
        peer_id: Vec<u8>,
    ) -> Result<ValidatorProof<Ledger>, Error> {
        let signature = sign(
            &self.key,
            &ValidatorProof::<Ledger>::signing_bytes(&public_key, &peer_id),
        );
        Ok(ValidatorProof::new(public_key, peer_id, signature))
    }
}
