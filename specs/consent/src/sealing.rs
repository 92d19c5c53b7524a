//! Sealed records: an age file around manifest, parts and padding (`sealing.md`, sections 2 and 3).
//!
//! ```text
//! plaintext = manifest length (4 bytes, big-endian) ‖ manifest (CBOR) ‖ parts ‖ zeros up to the size bucket
//! file      = age v1 to two X25519 recipients: the drawer key and the record key
//! ```

use crate::SUITE_X25519;
use crate::cbor::{self, CborError};
use crate::ids::{DrawerId, Hash, OrganisationId, RecordId};
use minicbor::{Decode, Encode};
use sha2::{Digest, Sha256};

/// Longest manifest in bytes.
pub const MANIFEST_LIMIT: usize = 64 * 1024;
/// Most parts of a record.
pub const PARTS_MAX: usize = 4096;
/// Smallest size bucket in bytes.
pub const BUCKET_MIN: usize = 2048;

/// A part of a record: the credential first, then attachments.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct Part {
    /// Media type; of the credential `application/dc+sd-jwt`.
    #[n(1)]
    pub media_type: String,
    /// Length in bytes.
    #[n(2)]
    pub length: u64,
    /// File name, of attachments.
    #[n(3)]
    pub name: Option<String>,
}

/// What a sealed record says of itself; it must agree with the deposit around it.
#[derive(Encode, Decode, Debug, Clone, PartialEq, Eq)]
#[cbor(map)]
pub struct Manifest {
    /// Sealing suite.
    #[n(1)]
    pub suite: u8,
    /// The drawer.
    #[n(2)]
    pub drawer: DrawerId,
    /// The record.
    #[n(3)]
    pub record: RecordId,
    /// The record's date, in milliseconds since 1970.
    #[n(4)]
    pub date_ms: u64,
    /// Who deposits.
    #[n(5)]
    pub depositor: OrganisationId,
    /// Record type in the catalogue.
    #[n(6)]
    pub record_type: String,
    /// The parts, in order.
    #[n(7)]
    pub parts: Vec<Part>,
    /// The record that this one corrects.
    #[n(8)]
    pub replaces: Option<RecordId>,
}

/// Why a record does not seal or open.
#[derive(Debug, thiserror::Error)]
pub enum SealingError {
    /// The manifest.
    #[error("manifest: {0}")]
    Manifest(CborError),
    /// A suite that this version does not know.
    #[error("sealing suite {0} is not known")]
    Suite(u8),
    /// Lengths that do not add up, or padding that is not zero.
    #[error("the record's {0}")]
    Framing(&'static str),
    /// The manifest names other ids than the deposit.
    #[error("the manifest's {0} is another than the deposit's")]
    Mismatch(&'static str),
    /// age refused.
    #[error("age: {0}")]
    Age(String),
}

/// The size bucket of a plaintext: powers of two from 2 KiB to 1 MiB, then multiples of 1 MiB. In bytes.
#[must_use]
pub const fn bucket(length: usize) -> usize {
    const MIB: usize = 1 << 20;
    if length <= BUCKET_MIN {
        BUCKET_MIN
    } else if length <= MIB {
        length.next_power_of_two()
    } else {
        length.div_ceil(MIB) * MIB
    }
}

/// SHA-256 of a sealed file, as it stands in the deposit.
#[must_use]
pub fn file_digest(file: &[u8]) -> Hash {
    Hash(Sha256::digest(file).into())
}

/// Frames a record. `parts` are media type, name and content.
///
/// # Errors
/// [`SealingError::Framing`] for none or too many parts, [`SealingError::Manifest`] for an overlong manifest.
pub fn frame(mut manifest: Manifest, parts: &[&[u8]]) -> Result<Vec<u8>, SealingError> {
    if parts.is_empty() || parts.len() > PARTS_MAX || parts.len() != manifest.parts.len() {
        return Err(SealingError::Framing(
            "parts are none, too many, or not those of the manifest",
        ));
    }
    manifest.suite = SUITE_X25519;
    for (part, content) in manifest.parts.iter_mut().zip(parts) {
        part.length = content.len() as u64;
    }
    let head = cbor::encode(&manifest);
    if head.len() > MANIFEST_LIMIT {
        return Err(SealingError::Manifest(CborError::TooLong {
            length: head.len(),
            limit: MANIFEST_LIMIT,
        }));
    }
    let length = 4 + head.len() + parts.iter().map(|part| part.len()).sum::<usize>();
    let mut bytes = Vec::with_capacity(bucket(length));
    bytes.extend_from_slice(
        &u32::try_from(head.len())
            .expect("below MANIFEST_LIMIT")
            .to_be_bytes(),
    );
    bytes.extend_from_slice(&head);
    for part in parts {
        bytes.extend_from_slice(part);
    }
    bytes.resize(bucket(length), 0);
    Ok(bytes)
}

/// Reads what [`frame`] wrote: the manifest and its parts.
///
/// # Errors
/// [`SealingError`], naming the part.
pub fn unframe(plaintext: &[u8]) -> Result<(Manifest, Vec<&[u8]>), SealingError> {
    let (head, rest) = plaintext
        .split_first_chunk::<4>()
        .ok_or(SealingError::Framing("length is missing"))?;
    let head = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
    let (manifest, mut rest) = rest
        .split_at_checked(head)
        .ok_or(SealingError::Framing("manifest is cut off"))?;
    let manifest: Manifest =
        cbor::decode(manifest, MANIFEST_LIMIT).map_err(SealingError::Manifest)?;
    if manifest.suite != SUITE_X25519 {
        return Err(SealingError::Suite(manifest.suite));
    }
    if manifest.parts.is_empty() || manifest.parts.len() > PARTS_MAX {
        return Err(SealingError::Framing("parts are none or too many"));
    }
    let mut parts = Vec::with_capacity(manifest.parts.len());
    for part in &manifest.parts {
        let length = usize::try_from(part.length).unwrap_or(usize::MAX);
        let (content, after) = rest
            .split_at_checked(length)
            .ok_or(SealingError::Framing("part is cut off"))?;
        parts.push(content);
        rest = after;
    }
    if rest.iter().any(|byte| *byte != 0) {
        return Err(SealingError::Framing("padding is not zero"));
    }
    if plaintext.len() != bucket(plaintext.len() - rest.len()) {
        return Err(SealingError::Framing("size is not its bucket's"));
    }
    Ok((manifest, parts))
}

#[cfg(feature = "seal")]
mod files {
    use super::SealingError;
    use crate::ids::SealKey;
    use crate::keys::Secret;
    use bech32::{Bech32, Hrp};
    use std::io::{Read, Write};
    use std::str::FromStr;
    use zeroize::Zeroizing;

    /// An X25519 public key as an age recipient (`age1…`).
    #[must_use]
    pub fn recipient_text(key: &SealKey) -> String {
        let hrp = Hrp::parse_unchecked("age");
        bech32::encode::<Bech32>(hrp, &key.0).expect("32 bytes fit into Bech32")
    }

    fn recipient(key: &SealKey) -> Result<age::x25519::Recipient, SealingError> {
        age::x25519::Recipient::from_str(&recipient_text(key))
            .map_err(|error| SealingError::Age(error.to_owned()))
    }

    fn identity(secret: &Secret) -> Result<age::x25519::Identity, SealingError> {
        let hrp = Hrp::parse_unchecked("age-secret-key-");
        let text =
            bech32::encode_upper::<Bech32>(hrp, secret.expose()).expect("32 bytes fit into Bech32");
        let text = Zeroizing::new(text);
        age::x25519::Identity::from_str(&text).map_err(|error| SealingError::Age(error.to_owned()))
    }

    /// Seals a framed record to the drawer key and the record key. age draws its own randomness from the system.
    ///
    /// # Errors
    /// [`SealingError::Age`].
    pub fn seal(
        plaintext: &[u8],
        drawer: &SealKey,
        record: &SealKey,
    ) -> Result<Vec<u8>, SealingError> {
        let recipients = [recipient(drawer)?, recipient(record)?];
        let error = |error: &dyn std::fmt::Display| SealingError::Age(error.to_string());
        let encryptor =
            age::Encryptor::with_recipients(recipients.iter().map(|to| to as &dyn age::Recipient))
                .map_err(|e| error(&e))?;
        let mut file = Vec::with_capacity(plaintext.len() + 1024);
        let mut writer = encryptor.wrap_output(&mut file).map_err(|e| error(&e))?;
        writer.write_all(plaintext).map_err(|e| error(&e))?;
        writer.finish().map_err(|e| error(&e))?;
        Ok(file)
    }

    /// Opens a sealed record with the drawer's or the record's secret.
    ///
    /// # Errors
    /// [`SealingError::Age`] where the key is wrong or the file altered or cut off.
    pub fn open(file: &[u8], secret: &Secret) -> Result<Zeroizing<Vec<u8>>, SealingError> {
        let error = |error: &dyn std::fmt::Display| SealingError::Age(error.to_string());
        let decryptor = age::Decryptor::new_buffered(file).map_err(|e| error(&e))?;
        let identity = identity(secret)?;
        let mut reader = decryptor
            .decrypt(std::iter::once(&identity as &dyn age::Identity))
            .map_err(|e| error(&e))?;
        let mut plaintext = Zeroizing::new(Vec::with_capacity(file.len()));
        reader.read_to_end(&mut plaintext).map_err(|e| error(&e))?;
        Ok(plaintext)
    }
}

#[cfg(feature = "seal")]
pub use files::{open, recipient_text, seal};
