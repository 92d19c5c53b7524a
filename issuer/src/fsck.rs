//! Checks everything that an issuer has on disk. Reads only; also beside a running issuer, as of the moment it begins.

use crate::import::run::leftovers;
use crate::model::{Record, Status};
use crate::store::{Store, StoreError};
use std::path::Path;
use tegata_consent::cbor;
use tegata_consent::cose::Signed;
use tegata_consent::deposit::{Deposit, DepositReceipt, SealedRecord};
use tegata_consent::ids::{ChainId, OrganisationId};
use tegata_consent::invitation::Invitation;
use tegata_consent::lock::Lock;

/// What was checked, and what is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Records.
    pub records: u64,
    /// Of them, signed and sealed ones on their way, whose papers and file were checked.
    pub sealed: u64,
    /// Of them, deposited ones, whose receipts were checked.
    pub deposited: u64,
    /// Files of uploads that belong to no import. Beside a running issuer it may be one that is coming in; otherwise a crash
    /// left it, and the next start erases it.
    pub leftovers: Vec<String>,
    /// What is wrong, each naming its culprit.
    pub faults: Vec<String>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Checks the store in an issuer's data folder ([`crate::IssuerConfig::data`]).
///
/// # Errors
/// [`StoreError`] where it cannot be read at all; everything else is a fault in the report. `progress` hears how many
/// records were checked.
pub fn fsck(data: &Path, mut progress: impl FnMut(u64)) -> Result<Report, StoreError> {
    let store = Store::open_read_only(data.join("store"))?;
    let (organisation, chain) = store.identity()?;
    let mut report = Report::default();
    match leftovers(&store, &data.join("imports")) {
        Ok(paths) => {
            let names = paths.iter().map(|path| path.display().to_string());
            report.leftovers = names.collect();
        }
        Err(error) => report.faults.push(error.to_string()),
    }
    for record in store.all_records() {
        let record = record?;
        report.records += 1;
        progress(report.records);
        let mut faults: Vec<String> = store
            .index_faults(&record)?
            .into_iter()
            .map(str::to_owned)
            .collect();
        let content = matches!(
            record.status,
            Status::Waiting | Status::Queued | Status::Sealed | Status::Refused
        );
        if record.claims.is_some() != content {
            faults.push("keeps its content, or does not, against its status".to_owned());
        }
        match record.status {
            Status::Sealed => {
                report.sealed += 1;
                faults.extend(sealed_fault(&store, &record, &organisation, &chain)?);
            }
            Status::Deposited => {
                report.deposited += 1;
                faults.extend(receipt_fault(&record, &chain));
            }
            _ => {}
        }
        report.faults.extend(
            faults
                .into_iter()
                .map(|fault| format!("record {}: {fault}", record.id)),
        );
    }
    report.faults.extend(
        store
            .strays()?
            .into_iter()
            .map(|table| format!("table {table}: an entry whose record is not there")),
    );
    Ok(report)
}

/// What is wrong with sealed bytes.
fn sealed_fault(
    store: &Store,
    record: &Record,
    organisation: &OrganisationId,
    chain: &ChainId,
) -> Result<Option<String>, StoreError> {
    let Some(bytes) = store.sealed(&record.id)? else {
        return Ok(None);
    }; // a fault of the tables, named there
    let check = || -> Result<(), String> {
        let text = |error: &dyn std::fmt::Display| format!("sealed bytes: {error}");
        let sealed: SealedRecord =
            cbor::decode(&bytes, SealedRecord::LIMIT).map_err(|error| text(&error))?;
        let lock = Lock::parse(&sealed.lock).map_err(|error| text(&error))?;
        let deposit = Deposit::verify(&sealed.deposit, chain, &sealed.file, &lock)
            .map_err(|error| text(&error))?;
        let invited = Invitation::verify(&sealed.invitation, chain, organisation)
            .map_err(|error| text(&error))?;
        let known = record
            .sealing
            .as_ref()
            .ok_or("sealed, but nobody knows for whom")?;
        let agrees = deposit.digest == known.deposit
            && deposit.deposit.record == record.id
            && deposit.deposit.drawer == known.drawer
            && deposit.deposit.depositor == *organisation
            && deposit.deposit.invitation == invited.digest
            && known.invitation == invited.digest;
        if agrees {
            Ok(())
        } else {
            Err("its sealed bytes are another record's".to_owned())
        }
    };
    Ok(check().err())
}

/// What is wrong with a receipt. Whether its signer is the host is in the registry, and was asked when it came.
fn receipt_fault(record: &Record, chain: &ChainId) -> Option<String> {
    let Some((receipt, sealing)) = record.receipt.as_ref().zip(record.sealing.as_ref()) else {
        return Some("is deposited without a receipt".to_owned());
    };
    match DepositReceipt::open(receipt, chain) {
        Err(error) => Some(format!("receipt: {error}")),
        Ok((receipt, _)) => {
            let agrees = receipt.deposit == sealing.deposit
                && receipt.drawer == sealing.drawer
                && receipt.host == sealing.host;
            (!agrees).then(|| "its receipt is another deposit's".to_owned())
        }
    }
}
