//! What a vault host keeps: deposits, its chain of receipts for them, sealed records.

use super::companions::open;
use super::finding::{self, Coded, Finding};
use super::trust::Trust;
use crate::time::moment;
use minicbor::bytes::ByteVec;
use std::collections::BTreeSet;
use tegata_consent::cose::Signed;
use tegata_consent::deposit::{
    Deposit, DepositReceipt, DrawerList, EMPTY_HEAD, SealedRecord, deposit_digest,
    verify_receipt_chain,
};
use tegata_consent::ids::{OrganisationId, PublicKey};
use tegata_consent::invitation::{Invitation, invitation_digest};
use tegata_consent::lock::Lock;
use tegata_consent::organisation::KeyUse;

const UNKNOWN_HOST: &str =
    "the host is not known: give --ledger URL, or --trust with a proof of it";
const UNKNOWN_DEPOSITOR: &str =
    "the depositor is not known: give --ledger URL, or --trust with a proof of it";

pub(super) fn deposit(bytes: &[u8], trust: &Trust) -> Finding {
    let mut finding = Finding::new("A deposit: a depositor's statement over a sealed record");
    let Some((deposit, signer, _)) = open::<Deposit>(&mut finding, bytes, trust) else {
        return finding;
    };
    deposit_facts(&mut finding, &deposit, trust);
    match trust.signs_for(&signer, &deposit.depositor, trust.at_ms) {
        Some(signs) => finding.check("signer", signs),
        None => finding.unknown("signer", UNKNOWN_DEPOSITOR),
    }
    finding
}

fn deposit_facts(finding: &mut Finding, deposit: &Deposit, trust: &Trust) {
    finding.fact("depositor", trust.name(&deposit.depositor));
    finding.fact("drawer", deposit.drawer);
    finding.fact("record", deposit.record);
    finding.fact("date", moment(deposit.date_ms));
    finding.fact("length", format!("{} bytes", deposit.length));
}

pub(super) fn deposit_receipt(bytes: &[u8], trust: &Trust) -> Finding {
    let mut finding = Finding::new("A host's receipt for one deposit");
    let Some((receipt, signer, _)) = open::<DepositReceipt>(&mut finding, bytes, trust) else {
        return finding;
    };
    finding.fact("host", trust.name(&receipt.host));
    finding.fact("drawer", receipt.drawer);
    finding.fact("number", receipt.sequence);
    finding.fact("deposit", receipt.deposit);
    finding.fact("received", moment(receipt.received_ms));
    match trust.signs_for(&signer, &receipt.host, receipt.received_ms) {
        Some(signs) => finding.check("signer", signs),
        None => finding.unknown("signer", UNKNOWN_HOST),
    }
    finding
}

pub(super) fn drawer_list(list: &DrawerList, trust: &Trust) -> Finding {
    let mut finding =
        Finding::new("The papers of a drawer: deposits, and the host's chain of receipts for them");
    finding.fact("drawer", list.drawer);
    finding.fact("deposits", list.deposits.len());
    examine_list(&mut finding, list, trust);
    finding
}

/// Checks a drawer's chain of receipts, and that it is about these deposits.
pub(super) fn examine_list(finding: &mut Finding, list: &DrawerList, trust: &Trust) {
    let Some((chain, _)) = &trust.chain else {
        finding.unknown(
            "receipt chain",
            "give --genesis FILE: the ledger's id is part of what was signed",
        );
        return;
    };
    let hosts: BTreeSet<OrganisationId> = list
        .receipts
        .iter()
        .filter_map(|receipt| DepositReceipt::open(receipt, chain).ok())
        .map(|(receipt, _)| receipt.host)
        .collect();
    let mut keys = Vec::new();
    for host in &hosts {
        finding.fact("host", trust.name(host));
        let Some(state) = trust.organisation(host) else {
            finding.unknown("receipt chain", UNKNOWN_HOST);
            return;
        };
        let signing = state
            .organisation
            .keys
            .iter()
            .filter(|key| key.key_use == KeyUse::Sign);
        keys.extend(signing.filter_map(|key| PublicKey::try_from(key.public.as_slice()).ok()));
    }
    if list.receipts.is_empty() && list.deposits.is_empty() {
        finding.unknown(
            "receipt chain",
            "it has no receipt, so no host vouches for it: anybody could have written it",
        );
        return;
    }
    if hosts.len() > 1 {
        finding.check("receipt chain", Err::<&str, _>("receipts of several hosts"));
        return;
    }
    let receipts =
        match verify_receipt_chain(chain, &keys, &list.drawer, &list.receipts, (0, EMPTY_HEAD)) {
            Ok((receipts, head)) => {
                finding.fact("head", head);
                // The chain is by keys of the host; each must also have counted when it signed.
                let signed = |bytes: &ByteVec| DepositReceipt::open(bytes, chain).ok();
                let signed = list.receipts.iter().filter_map(signed);
                let late = signed.filter_map(|(receipt, signer)| {
                    trust
                        .signs_for(&signer, &receipt.host, receipt.received_ms)?
                        .err()
                });
                let words = format!(
                    "{} receipts, each following on the one before",
                    receipts.len()
                );
                finding.check("receipt chain", late.last().map_or(Ok(words), Err));
                receipts
            }
            Err(error) => {
                finding.fail("receipt chain", error);
                return;
            }
        };
    let mut unknown = BTreeSet::new();
    let mut wrong = None;
    if receipts.len() != list.deposits.len() {
        wrong = Some(format!(
            "{} deposits, but {} receipts",
            list.deposits.len(),
            receipts.len()
        ));
    }
    for (number, (bytes, receipt)) in list.deposits.iter().zip(&receipts).enumerate() {
        let found = deposit_fits(bytes, receipt, list, trust, &mut unknown);
        if let (Err(why), None) = (found, &wrong) {
            wrong = Some(format!("deposit {}: {why}", number + 1));
        }
    }
    match wrong {
        Some(why) => finding.check("deposits", Err::<&str, _>(why)),
        None if unknown.is_empty() => {
            finding.check(
                "deposits",
                Ok::<_, String>("each is the one that its receipt names, signed by its depositor"),
            );
        }
        None => finding.unknown("deposits", UNKNOWN_DEPOSITOR),
    }
}

fn deposit_fits(
    bytes: &[u8],
    receipt: &DepositReceipt,
    list: &DrawerList,
    trust: &Trust,
    unknown: &mut BTreeSet<OrganisationId>,
) -> Result<(), String> {
    let (chain, _) = trust.chain.as_ref().ok_or("no genesis")?;
    let (deposit, signer) = Deposit::open(bytes, chain).map_err(|error| error.to_string())?;
    if deposit.drawer != list.drawer {
        return Err("it is for another drawer".into());
    }
    if deposit_digest(bytes) != receipt.deposit {
        return Err("it is another one than its receipt names".into());
    }
    match trust.signs_for(&signer, &deposit.depositor, receipt.received_ms) {
        Some(signs) => signs.map(drop),
        None => {
            unknown.insert(deposit.depositor);
            Ok(())
        }
    }
}

pub(super) fn sealed_record(record: &SealedRecord, trust: &Trust) -> Finding {
    let mut finding = Finding::new("A sealed record with its papers");
    finding.fact("file", format!("{} bytes of ciphertext", record.file.len()));
    examine_record(&mut finding, record, trust);
    finding
}

/// Checks everything about a sealed record that can be seen without opening it.
pub(super) fn examine_record(finding: &mut Finding, record: &SealedRecord, trust: &Trust) {
    let Some((chain, _)) = &trust.chain else {
        finding.unknown(
            "deposit",
            "give --genesis FILE: the ledger's id is part of what was signed",
        );
        return;
    };
    let lock = match Lock::parse(&record.lock) {
        Ok(lock) => lock,
        Err(error) => {
            finding.fail("lock", error);
            return;
        }
    };
    let verified = match Deposit::verify(&record.deposit, chain, &record.file, &lock) {
        Ok(verified) => verified,
        Err(error) => {
            finding.fail("deposit", error);
            return;
        }
    };
    finding.check(
        "deposit",
        Ok::<_, String>("the signed file and lock are these"),
    );
    let deposit = &verified.deposit;
    deposit_facts(finding, deposit, trust);
    let invited = Invitation::verify(&record.invitation, chain, &deposit.depositor);
    let invited = invited
        .map_err(|error| finding::of(&error))
        .and_then(|invited| {
            let refused = |words: &str| Err(Coded("invitation-other", words.to_owned()));
            let mut drawers = invited.invitation.drawers.iter();
            if invitation_digest(&record.invitation) != deposit.invitation {
                refused("it is another one than the deposit names")
            } else if drawers.any(|drawer| drawer.id == deposit.drawer) {
                Ok(format!(
                    "signed by vault {}, for this depositor and drawer",
                    invited.vault
                ))
            } else {
                refused("it does not name this drawer")
            }
        });
    finding.check("invitation", invited);
    let mut received_ms = trust.at_ms;
    match record
        .receipt
        .as_ref()
        .map(|bytes| DepositReceipt::open(bytes, chain))
    {
        None => finding.unknown(
            "receipt",
            "there is none: this is how records go in, not how hosts give them out",
        ),
        Some(Err(error)) => finding.fail("receipt", error),
        Some(Ok((receipt, signer))) => {
            received_ms = receipt.received_ms;
            if (receipt.deposit, receipt.drawer) != (verified.digest, deposit.drawer) {
                finding.check("receipt", Err::<&str, _>("it is for another deposit"));
            } else {
                match trust.signs_for(&signer, &receipt.host, received_ms) {
                    Some(signs) => finding.check("receipt", signs),
                    None => finding.unknown("receipt", UNKNOWN_HOST),
                }
            }
        }
    }
    match trust.signs_for(&verified.signer, &deposit.depositor, received_ms) {
        Some(signs) => finding.check("depositor", signs),
        None => finding.unknown("depositor", UNKNOWN_DEPOSITOR),
    }
}
