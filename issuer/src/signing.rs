//! From claims to a sealed, locked and signed deposit. No network, no store.

use crate::model::{Record, Sealing};
use rand::CryptoRng;
use serde_json::Value;
use tegata_consent::SUITE_X25519;
use tegata_consent::cbor;
use tegata_consent::cose::Signed;
use tegata_consent::deposit::{Deposit, SealedRecord, deposit_digest};
use tegata_consent::ids::{ChainId, OrganisationId};
use tegata_consent::invitation::VerifiedInvitation;
use tegata_consent::keys::Secret;
use tegata_consent::lock::{Lock, LockLabel, SealError};
use tegata_consent::sealing::{Manifest, Part, SealingError, file_digest, frame, seal};
use tegata_credential::keys::{Algorithm, PublicKey, SigningKey};
use tegata_credential::sd_jwt::{Issuance, IssueError, MEDIA_TYPE, Path, StatusReference, issue};
use tegata_records::{SchemaError, catalogue};
use zeroize::Zeroizing;

/// Who signs.
pub(crate) struct Signer<'a> {
    pub(crate) chain: ChainId,
    pub(crate) depositor: OrganisationId,
    /// `iss`.
    pub(crate) did: &'a str,
    pub(crate) deposit_key: &'a ed25519_dalek::SigningKey,
    pub(crate) credential_key: &'a SigningKey,
}

/// An invitation under which something may go out now.
pub(crate) struct OpenInvitation {
    pub(crate) verified: VerifiedInvitation,
    /// The signed bytes.
    pub(crate) bytes: Vec<u8>,
}

/// Why a record is not signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignError {
    #[error("the catalogue has no record type {0:?}")]
    UnknownType(String),
    #[error("the person has not invited {0:?}")]
    NotInvited(String),
    #[error("the record has no claims")]
    NoClaims,
    #[error("the claims do not fit the record type: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Claims(Vec<SchemaError>),
    #[error("the holder key is not usable")]
    HolderKey,
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error(transparent)]
    Sealing(#[from] SealingError),
    #[error(transparent)]
    Lock(#[from] SealError),
}

impl SignError {
    /// The stable reason.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::UnknownType(_) => "record-type-unknown",
            Self::NotInvited(_) => "not-invited",
            Self::NoClaims => "no-claims",
            Self::Claims(_) => "schema",
            Self::HolderKey => "holder-key",
            Self::Issue(_) => "credential",
            Self::Sealing(_) => "sealing",
            Self::Lock(_) => "drawer-key",
        }
    }
}

impl Signer<'_> {
    /// Signs a record's claims as SD-JWT VC bound to the invitation's holder key, seals it to the drawer key and a fresh
    /// record key, locks the record key, and signs the deposit.
    pub(crate) fn seal(
        &self,
        record: &Record,
        status: StatusReference,
        open: &OpenInvitation,
        now_s: i64,
        rng: &mut impl CryptoRng,
    ) -> Result<(Vec<u8>, Sealing), SignError> {
        let invited = &open.verified;
        let unknown = || SignError::UnknownType(record.record_type.clone());
        let record_type = catalogue().by_id(&record.record_type).ok_or_else(unknown)?;
        let drawer = invited
            .drawer(record_type.category().code())
            .filter(|_| {
                invited
                    .invitation
                    .record_types
                    .contains(&record.record_type)
            })
            .ok_or_else(|| SignError::NotInvited(record.record_type.clone()))?;
        let claims: Value = record
            .claims
            .as_ref()
            .and_then(|claims| serde_json::from_slice(claims).ok())
            .ok_or(SignError::NoClaims)?;
        record_type.validate(&claims).map_err(SignError::Claims)?;

        let holder = PublicKey::from_bytes(Algorithm::EdDsa, &invited.invitation.holder.0)
            .map_err(|_| SignError::HolderKey)?;
        let disclosable: Vec<Path> = record_type
            .disclosable(&claims)
            .into_iter()
            .map(Path::new)
            .collect();
        let issuance = Issuance {
            vct_integrity: Some(record_type.integrity()),
            disclosable: &disclosable,
            holder: Some(&holder),
            status: Some(status),
            ..Issuance::new(self.did, record_type.vct(), now_s, &claims)
        };
        let credential = Zeroizing::new(issue(&issuance, self.credential_key, rng)?);

        let manifest = Manifest {
            suite: SUITE_X25519,
            drawer: drawer.id,
            record: record.id,
            date_ms: record.date_ms,
            depositor: self.depositor,
            record_type: record.record_type.clone(),
            parts: vec![Part {
                media_type: MEDIA_TYPE.to_owned(),
                length: 0,
                name: None,
            }],
            replaces: record.replaces,
        };
        let plaintext = Zeroizing::new(frame(manifest, &[credential.as_bytes()])?);
        let mut record_key = Zeroizing::new([0; 32]);
        rng.fill_bytes(record_key.as_mut_slice());
        let record_key = Secret::new(*record_key);
        let file = seal(&plaintext, &drawer.drawer_key, &record_key.seal_key())?;
        let label = LockLabel::new(self.chain, drawer.id, record.id, record.date_ms);
        let lock = Lock::make(&record_key, &drawer.reader_key, &label, rng)?;
        let deposit = Deposit {
            depositor: self.depositor,
            drawer: drawer.id,
            record: record.id,
            date_ms: record.date_ms,
            file: file_digest(&file),
            length: file.len() as u64,
            lock: lock.digest(),
            invitation: invited.digest,
        };
        let deposit = deposit.sign(self.deposit_key, &self.chain).to_bytes();
        let sealing = Sealing {
            host: invited.invitation.host,
            drawer: drawer.id,
            invitation: invited.digest,
            deposit: deposit_digest(&deposit),
        };
        let sealed = SealedRecord {
            deposit: deposit.into(),
            invitation: open.bytes.clone().into(),
            lock: lock.to_bytes().into(),
            file: file.into(),
            receipt: None,
        };
        Ok((cbor::encode(&sealed), sealing))
    }
}
