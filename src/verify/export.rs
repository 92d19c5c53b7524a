//! A vault's export: a CBOR sequence (RFC 8742), each item checked on its own and all of them against one another.

use super::finding::Finding;
use super::trust::Trust;
use super::vault::{examine_list, examine_record};
use crate::time::moment;
use std::collections::{BTreeMap, BTreeSet};
use tegata_consent::cbor;
use tegata_consent::cose::Signed;
use tegata_consent::deposit::{Deposit, DepositReceipt, DrawerList, SealedRecord, deposit_digest};
use tegata_consent::ids::{ChainId, DrawerId, Hash, OrganisationId, VaultId};
use tegata_consent::invitation::{Drawer, Invitation};
use tegata_consent::order::Order;
use tegata_vault::{ExportHead, ExportItem};

/// Most checks of papers that are shown of those that do not hold.
const FAILING_MAX: usize = 100;

/// What was read so far.
#[derive(Default)]
struct Seen {
    drawers: BTreeMap<DrawerId, Drawer>,
    hosts: BTreeSet<OrganisationId>,
    vaults: BTreeSet<VaultId>,
    /// Drawers that are not as the vault's own invitations have them.
    other_drawers: BTreeSet<DrawerId>,
    /// Deposits in drawers' papers whose records have not come yet.
    listed: BTreeSet<Hash>,
    has_index: bool,
    /// Checks of papers that hold, and others.
    held: usize,
    failing: usize,
    records: u64,
    orders: u64,
    presentations: u64,
    bytes: u64,
}

/// Examines an export; absent where the file does not begin like one.
pub(super) fn export(bytes: &[u8], trust: &Trust) -> Option<Finding> {
    let (first, mut rest) = item(bytes)?.ok()?;
    let ExportItem::Head(head) = first else {
        return None;
    };
    if head.format != "tegata-export" {
        return None;
    }
    let mut finding = Finding::new("The export of a whole vault");
    finding.fact("vault", head.vault);
    finding.fact("host", trust.name(&head.host));
    finding.fact("time", moment(head.time_ms));
    let known = if head.version == 1 {
        Ok("version 1")
    } else {
        Err(format!("version {} is not known", head.version))
    };
    finding.check("format", known);
    match &trust.chain {
        Some((chain, _)) if *chain != head.chain => {
            finding.check(
                "ledger",
                Err::<&str, _>(format!("it belongs to ledger {}", head.chain)),
            );
        }
        Some(_) => finding.check("ledger", Ok::<_, String>("that of --genesis")),
        None => finding.unknown("ledger", "give --genesis FILE"),
    }
    let (mut seen, mut count, mut ended) = (Seen::default(), 1_u64, None);
    while let Some(next) = item(rest) {
        let examined = next.and_then(|(next, after)| {
            rest = after;
            examine_item(&mut finding, &next, &mut seen, trust, &head.chain)?;
            Ok(next)
        });
        match examined {
            // What follows would be judged by what is not there.
            Err(error) => {
                finding.fail("form", format!("item {count}: {error}"));
                return Some(finding);
            }
            Ok(ExportItem::End(said)) => {
                ended = Some(said);
                break;
            }
            Ok(_) => count += 1,
        }
    }
    if seen.held > 0 {
        let words = format!("{} checks of drawers' and records' papers hold", seen.held);
        finding.hold("papers", words);
    }
    if seen.failing > FAILING_MAX {
        let more = seen.failing - FAILING_MAX;
        finding.fact(
            "not shown",
            format!("{more} more checks of papers that do not hold"),
        );
    }
    let complete = match ended {
        None => Err("it ends without its last item: the file is cut off".to_owned()),
        Some(said) if said != count => Err(format!("it says {said} items, but has {count}")),
        Some(_) if !rest.is_empty() => Err("something follows after its last item".to_owned()),
        Some(_) => Ok(format!("all {count} items are there")),
    };
    finding.check("complete", complete);
    let lacking = seen.listed.len();
    let whole = if lacking == 0 {
        Ok("every deposit in the drawers' papers is there")
    } else {
        Err(format!(
            "{lacking} records of the drawers' papers are missing"
        ))
    };
    finding.check("records", whole);
    of_one_vault(&mut finding, &seen, &head);
    finding.fact("drawers", seen.drawers.len());
    finding.fact(
        "records",
        format!("{} ({} bytes of ciphertext)", seen.records, seen.bytes),
    );
    finding.fact("orders", seen.orders);
    finding.fact("grants for one presentation", seen.presentations);
    Some(finding)
}

/// Nobody signs the first item and the drawers: receipts and the vault's own invitations must agree with them.
fn of_one_vault(finding: &mut Finding, seen: &Seen, head: &ExportHead) {
    if seen.hosts.is_empty() && seen.vaults.is_empty() {
        finding.unknown(
            "vault",
            "there is no receipt or invitation in it, so neither host nor vault vouches for it: anybody could have written it",
        );
    }
    if let Some(other) = seen.hosts.iter().find(|host| **host != head.host) {
        finding.fail(
            "host",
            format!(
                "it is said to be of host {}, and has receipts of {other}",
                head.host
            ),
        );
    }
    if let Some(other) = seen.vaults.iter().find(|vault| **vault != head.vault) {
        finding.fail(
            "vault",
            format!(
                "it is said to be of vault {}, and has an invitation of {other}",
                head.vault
            ),
        );
    }
    if let Some(drawer) = seen.other_drawers.first() {
        finding.fail(
            "drawers",
            format!("drawer {drawer} is not as the vault's invitation has it"),
        );
    }
}

/// The next item, strictly read, and what follows it; absent at the end.
fn item(bytes: &[u8]) -> Option<Result<(ExportItem, &[u8]), String>> {
    if bytes.is_empty() {
        return None;
    }
    let mut decoder = minicbor::Decoder::new(bytes);
    Some(match decoder.skip() {
        Err(error) => Err(error.to_string()),
        Ok(()) => {
            let (this, after) = bytes.split_at(decoder.position());
            cbor::decode(this, SealedRecord::LIMIT + 1024)
                .map(|item| (item, after))
                .map_err(|error| error.to_string())
        }
    })
}

/// Examines an item; an error where it cannot stand at this place.
fn examine_item(
    finding: &mut Finding,
    item: &ExportItem,
    seen: &mut Seen,
    trust: &Trust,
    chain: &ChainId,
) -> Result<(), String> {
    match item {
        ExportItem::Head(_) => return Err("a second head".into()),
        ExportItem::Index(_) if seen.has_index => return Err("a second index".into()),
        ExportItem::Index(index) => {
            seen.has_index = true;
            let words = format!("{} bytes, sealed by the wallet", index.len());
            finding.fact("index", words);
        }
        ExportItem::Drawer(drawer) => {
            seen.drawers.insert(drawer.id, drawer.clone());
        }
        ExportItem::List(list) => examine_papers(finding, list, seen, trust, chain)?,
        ExportItem::Record(record) => examine_sealed(finding, record, seen, trust, chain)?,
        // The one-time grant of a presentation opens no drawer, so there is no order under it.
        ExportItem::Order(order) if order.is_empty() => seen.presentations += 1,
        ExportItem::Order(order) => {
            seen.orders += 1;
            if trust.chain.is_some() {
                let own = Order::open(order, chain)
                    .map_err(|error| error.to_string())
                    .and_then(|(order, signer)| {
                        if signer == order.grant.key() {
                            Ok(())
                        } else {
                            Err(format!("not signed by grant {}", order.grant))
                        }
                    });
                if let Err(error) = own {
                    seen.failing += 1;
                    if seen.failing <= FAILING_MAX {
                        finding.fail("order", error);
                    }
                }
            }
        }
        ExportItem::End(_) => {}
    }
    Ok(())
}

/// The papers of one drawer.
fn examine_papers(
    finding: &mut Finding,
    list: &DrawerList,
    seen: &mut Seen,
    trust: &Trust,
    chain: &ChainId,
) -> Result<(), String> {
    if !seen.drawers.contains_key(&list.drawer) {
        return Err(format!(
            "papers of drawer {}, which is not in the file",
            list.drawer
        ));
    }
    let opened = list.receipts.iter();
    let opened = opened.filter_map(|receipt| DepositReceipt::open(receipt, chain).ok());
    seen.hosts.extend(opened.map(|(receipt, _)| receipt.host));
    let deposits = list.deposits.iter();
    seen.listed
        .extend(deposits.map(|deposit| deposit_digest(deposit)));
    // A drawer in which nothing lies yet has nothing to check.
    if !list.receipts.is_empty() || !list.deposits.is_empty() {
        let mut part = Finding::default();
        examine_list(&mut part, list, trust);
        gather(finding, seen, part, &format!("drawer {}", list.drawer));
    }
    Ok(())
}

/// One record with its papers.
fn examine_sealed(
    finding: &mut Finding,
    record: &SealedRecord,
    seen: &mut Seen,
    trust: &Trust,
    chain: &ChainId,
) -> Result<(), String> {
    seen.records += 1;
    seen.bytes += record.file.len() as u64;
    if !seen.listed.remove(&deposit_digest(&record.deposit)) {
        return Err(format!(
            "record {} is in no drawer's papers, or twice",
            seen.records
        ));
    }
    if let Ok((invitation, vault)) = Invitation::open(&record.invitation, chain) {
        seen.vaults.insert(VaultId(vault.0));
        let differs = |drawer: &&Drawer| match seen.drawers.get(&drawer.id) {
            Some(listed) => listed != *drawer,
            None => false,
        };
        let drawers = invitation.drawers.iter();
        let other: Vec<_> = drawers.filter(differs).map(|drawer| drawer.id).collect();
        seen.other_drawers.extend(other);
    }
    let name = match Deposit::open(&record.deposit, chain) {
        Ok((deposit, _)) => format!("record {}", deposit.record),
        Err(_) => format!("record number {}", seen.records),
    };
    let mut part = Finding::default();
    examine_record(&mut part, record, trust);
    gather(finding, seen, part, &name);
    Ok(())
}

/// The checks of a part: those that hold are counted; of the others the first stand with the part's name.
fn gather(finding: &mut Finding, seen: &mut Seen, part: Finding, name: &str) {
    for mut check in part.checks {
        if check.holds == Some(true) {
            seen.held += 1;
            continue;
        }
        seen.failing += 1;
        if seen.failing <= FAILING_MAX {
            check.reason = format!("{name}: {}", check.reason);
            finding.checks.push(check);
        }
    }
}
