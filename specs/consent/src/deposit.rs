//! Deposits, and the host's chain of receipts for them (`vault.md`, sections 3 and 4).

use crate::cbor;
use crate::cose::{CoseError, Signed};
use crate::ids::{ChainId, DrawerId, Hash, OrganisationId, PublicKey, RecordId, hash};
use crate::lock::Lock;
use crate::sealing::file_digest;
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

/// A depositor's statement over what it deposits, since age does not authenticate the sender. Signed by a
/// [`crate::organisation::KeyUse::Sign`] key of the depositor.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct Deposit {
    /// Who deposits.
    #[n(1)]
    pub depositor: OrganisationId,
    /// Into which drawer.
    #[n(2)]
    pub drawer: DrawerId,
    /// The record's id, random.
    #[n(3)]
    pub record: RecordId,
    /// The record's date, in milliseconds since 1970.
    #[n(4)]
    pub date_ms: u64,
    /// SHA-256 of the sealed file.
    #[n(5)]
    pub file: Hash,
    /// Length of the sealed file in bytes.
    #[n(6)]
    pub length: u64,
    /// [`Lock::digest`].
    #[n(7)]
    pub lock: Hash,
    /// [`crate::invitation::invitation_digest`].
    #[n(8)]
    pub invitation: Hash,
}

impl Signed for Deposit {
    const TYPE: &'static str = "application/tegata-deposit+cbor";
    const LIMIT: usize = 2048;
}

/// Why a deposit is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DepositError {
    /// The envelope or its signature.
    #[error(transparent)]
    Cose(#[from] CoseError),
    /// The file is not the signed one.
    #[error("the sealed file is not the one that the depositor signed")]
    File,
    /// The lock is not the signed one.
    #[error("the lock is not the one that the depositor signed")]
    Lock,
}

impl DepositError {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Cose(error) => error.code(),
            Self::File => "deposit-file",
            Self::Lock => "deposit-lock",
        }
    }
}

/// A deposit whose signature holds and whose file and lock are the signed ones. Whether the signer's key belongs to the
/// depositor is asked of the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedDeposit {
    /// What was signed.
    pub deposit: Deposit,
    /// By which key.
    pub signer: PublicKey,
    /// [`deposit_digest`].
    pub digest: Hash,
}

/// Digest of an encoded deposit, as receipts name it.
#[must_use]
pub fn deposit_digest(bytes: &[u8]) -> Hash {
    Hash(hash("tegata/v1/deposit", &[bytes]))
}

impl Deposit {
    /// Reads a deposit and checks signature, file and lock.
    ///
    /// # Errors
    /// [`DepositError`].
    pub fn verify(
        bytes: &[u8],
        chain: &ChainId,
        file: &[u8],
        lock: &Lock,
    ) -> Result<VerifiedDeposit, DepositError> {
        let (deposit, signer) = Self::open(bytes, chain)?;
        if deposit.length != file.len() as u64 || deposit.file != file_digest(file) {
            return Err(DepositError::File);
        }
        if deposit.lock != lock.digest() {
            return Err(DepositError::Lock);
        }
        Ok(VerifiedDeposit {
            deposit,
            signer,
            digest: deposit_digest(bytes),
        })
    }
}

/// What a depositor sends, what a host keeps, and what readers fetch: ciphertext with its papers.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct SealedRecord {
    /// The signed [`Deposit`].
    #[n(1)]
    pub deposit: ByteVec,
    /// The signed [`crate::invitation::Invitation`] under which it came.
    #[n(2)]
    pub invitation: ByteVec,
    /// The encoded [`Lock`].
    #[n(3)]
    pub lock: ByteVec,
    /// The age file.
    #[n(4)]
    pub file: ByteVec,
    /// The host's signed [`DepositReceipt`]; absent on the way in.
    #[n(5)]
    pub receipt: Option<ByteVec>,
}

impl SealedRecord {
    /// Longest encoding in bytes.
    pub const LIMIT: usize = 64 * 1024 * 1024;
}

/// A host's receipt for one deposit, chained to the one before it in the drawer. Signed by a key of the host.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct DepositReceipt {
    /// Which host.
    #[n(1)]
    pub host: OrganisationId,
    /// Which drawer.
    #[n(2)]
    pub drawer: DrawerId,
    /// 1 for the drawer's first deposit, then counting up.
    #[n(3)]
    pub sequence: u64,
    /// [`receipt_head`] of the receipt before; zeros for the first.
    #[n(4)]
    pub previous: Hash,
    /// [`deposit_digest`].
    #[n(5)]
    pub deposit: Hash,
    /// When it arrived, in milliseconds since 1970.
    #[n(6)]
    pub received_ms: u64,
}

impl Signed for DepositReceipt {
    const TYPE: &'static str = "application/tegata-deposit-receipt+cbor";
    const LIMIT: usize = 2048;
}

/// Head of a drawer without deposits.
pub const EMPTY_HEAD: Hash = Hash([0; 32]);

/// `SHA-256("tegata/v1/deposit-receipt" ‖ 0 ‖ receipt)`: the head of the chain after this receipt.
#[must_use]
pub fn receipt_head(bytes: &[u8]) -> Hash {
    Hash(hash("tegata/v1/deposit-receipt", &[bytes]))
}

/// Why a chain of receipts is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptChainError {
    /// The envelope, its signature, or another signer than the host.
    #[error("receipt {0}: {1}")]
    Cose(usize, CoseError),
    /// One is missing, doubled, of another drawer, or does not follow on the one before.
    #[error(
        "receipt {0} does not follow on the one before it: something was dropped, swapped or altered"
    )]
    Broken(usize),
    /// Shorter than what was seen before.
    #[error(
        "the chain no longer holds what was seen before: {seen} receipts were seen, {found} are here"
    )]
    Shortened {
        /// Seen before.
        seen: u64,
        /// Now.
        found: u64,
    },
}

impl ReceiptChainError {
    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Cose(_, error) => error.code(),
            Self::Broken(_) => "receipt-chain-broken",
            Self::Shortened { .. } => "receipt-chain-shortened",
        }
    }
}

/// Checks a drawer's whole chain of receipts, oldest first, and that it continues what was seen before (`seen`: number of
/// receipts and head; `(0, EMPTY_HEAD)` for a first look).
///
/// # Errors
/// [`ReceiptChainError`], naming the index.
pub fn verify_receipt_chain(
    chain: &ChainId,
    host_keys: &[PublicKey],
    drawer: &DrawerId,
    receipts: &[ByteVec],
    seen: (u64, Hash),
) -> Result<(Vec<DepositReceipt>, Hash), ReceiptChainError> {
    let mut head = EMPTY_HEAD;
    let mut all = Vec::with_capacity(receipts.len());
    let mut seen_found = seen.0 == 0;
    for (index, bytes) in receipts.iter().enumerate() {
        let (receipt, signer) = DepositReceipt::open(bytes, chain)
            .map_err(|error| ReceiptChainError::Cose(index, error))?;
        if !host_keys.contains(&signer) {
            let expected = host_keys.first().copied().unwrap_or(PublicKey([0; 32]));
            return Err(ReceiptChainError::Cose(
                index,
                CoseError::Signer {
                    found: signer,
                    expected,
                },
            ));
        }
        if receipt.drawer != *drawer
            || receipt.sequence != index as u64 + 1
            || receipt.previous != head
        {
            return Err(ReceiptChainError::Broken(index));
        }
        head = receipt_head(bytes);
        seen_found |= receipt.sequence == seen.0 && head == seen.1;
        all.push(receipt);
    }
    if !seen_found {
        return Err(ReceiptChainError::Shortened {
            seen: seen.0,
            found: all.len() as u64,
        });
    }
    Ok((all, head))
}

/// What a host answers about a drawer: papers of every deposit, oldest first, without the files.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct DrawerList {
    /// Which drawer.
    #[n(1)]
    pub drawer: DrawerId,
    /// Signed deposits, oldest first.
    #[n(2)]
    pub deposits: Vec<ByteVec>,
    /// Signed receipts, in the same order.
    #[n(3)]
    pub receipts: Vec<ByteVec>,
}

impl DrawerList {
    /// Longest encoding in bytes.
    pub const LIMIT: usize = 16 * 1024 * 1024;

    /// The encoding.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }
}
