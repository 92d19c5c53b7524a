//! A vault's export: a CBOR sequence (RFC 8742), each item checked on its own and all of them against one another.

use super::finding::Finding;
use super::trust::{Trust, moment};
use super::vault::{examine_list, examine_record};
use std::collections::{BTreeMap, BTreeSet};
use tegata_consent::cbor;
use tegata_consent::cose::Signed;
use tegata_consent::deposit::{Deposit, DepositReceipt, SealedRecord, deposit_digest};
use tegata_consent::ids::{ChainId, DrawerId, Hash, OrganisationId, VaultId};
use tegata_consent::invitation::{Drawer, Invitation};
use tegata_consent::order::Order;
use tegata_vault::{ExportHead, ExportItem};

/// What was read so far. `listed` are deposits in drawers' papers whose records have not come yet.
#[derive(Default)]
struct Seen {
    drawers: BTreeMap<DrawerId, Drawer>,
    hosts: BTreeSet<OrganisationId>,
    vaults: BTreeSet<VaultId>,
    /// Drawers that are not as the vault's own invitations have them.
    other_drawers: BTreeSet<DrawerId>,
    listed: BTreeMap<Hash, DrawerId>,
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
        let (next, after) = match next {
            Ok(next) => next,
            Err(error) => {
                finding.check("form", Err::<&str, _>(format!("item {count}: {error}")));
                return Some(finding);
            }
        };
        rest = after;
        if let ExportItem::End(said) = next {
            ended = Some(said);
            break;
        }
        examine_item(&mut finding, &next, &mut seen, trust, &head.chain);
        count += 1;
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
        Ok("every deposit that the host receipted is there")
    } else {
        Err(format!("{lacking} receipted records are missing"))
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

fn examine_item(
    finding: &mut Finding,
    item: &ExportItem,
    seen: &mut Seen,
    trust: &Trust,
    chain: &ChainId,
) {
    match item {
        ExportItem::Head(_) => finding.check("form", Err::<&str, _>("a second head")),
        ExportItem::Index(index) => finding.fact(
            "index",
            format!("{} bytes, sealed by the wallet", index.len()),
        ),
        ExportItem::Drawer(drawer) => {
            finding.fact(
                "drawer",
                format!("{} {} (epoch {})", drawer.id, drawer.category, drawer.epoch),
            );
            seen.drawers.insert(drawer.id, drawer.clone());
        }
        ExportItem::List(list) => {
            if !seen.drawers.contains_key(&list.drawer) {
                finding.check(
                    "form",
                    Err::<&str, _>(format!(
                        "papers of drawer {}, which is not in the file",
                        list.drawer
                    )),
                );
            }
            let opened = list.receipts.iter();
            let opened = opened.filter_map(|receipt| DepositReceipt::open(receipt, chain).ok());
            seen.hosts.extend(opened.map(|(receipt, _)| receipt.host));
            seen.listed.extend(
                list.deposits
                    .iter()
                    .map(|deposit| (deposit_digest(deposit), list.drawer)),
            );
            // A drawer in which nothing lies yet has nothing to check.
            if !list.receipts.is_empty() || !list.deposits.is_empty() {
                gather(
                    finding,
                    trust,
                    |part, trust| examine_list(part, list, trust),
                    || format!("drawer {}", list.drawer),
                );
            }
        }
        ExportItem::Record(record) => {
            seen.records += 1;
            seen.bytes += record.file.len() as u64;
            if seen
                .listed
                .remove(&deposit_digest(&record.deposit))
                .is_none()
            {
                finding.check(
                    "form",
                    Err::<&str, _>(format!(
                        "record {} is in no drawer's papers, or twice",
                        seen.records
                    )),
                );
            }
            if let Ok((invitation, vault)) = Invitation::open(&record.invitation, chain) {
                seen.vaults.insert(VaultId(vault.0));
                let differs = |drawer: &&Drawer| match seen.drawers.get(&drawer.id) {
                    Some(listed) => listed != *drawer,
                    None => false,
                };
                let other: Vec<_> = invitation
                    .drawers
                    .iter()
                    .filter(differs)
                    .map(|drawer| drawer.id)
                    .collect();
                seen.other_drawers.extend(other);
            }
            let name = || match Deposit::open(&record.deposit, chain) {
                Ok((deposit, _)) => format!("record {}", deposit.record),
                Err(_) => format!("record number {}", seen.records),
            };
            gather(
                finding,
                trust,
                |part, trust| examine_record(part, record, trust),
                name,
            );
        }
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
                    finding.fail("order", error);
                }
            }
        }
        ExportItem::End(_) => {}
    }
}

/// Makes the checks of a part; those that hold are summed up in one line, the others stand with the part's name.
fn gather(
    finding: &mut Finding,
    trust: &Trust,
    examine: impl Fn(&mut Finding, &Trust),
    name: impl Fn() -> String,
) {
    let mut part = Finding::default();
    examine(&mut part, trust);
    let mut held = 0;
    for mut check in part.checks {
        if check.holds == Some(true) {
            held += 1;
        } else {
            check.reason = format!("{}: {}", name(), check.reason);
            finding.checks.push(check);
        }
    }
    if held > 0 {
        match finding
            .checks
            .iter_mut()
            .find(|check| check.name == "papers" && check.holds == Some(true))
        {
            Some(sum) => {
                let before: usize = sum
                    .reason
                    .split(' ')
                    .next()
                    .and_then(|number| number.parse().ok())
                    .unwrap_or(0);
                sum.reason = papers(before + held);
            }
            None => finding.check("papers", Ok::<_, String>(papers(held))),
        }
    }
}

fn papers(count: usize) -> String {
    format!("{count} checks of drawers' and records' papers hold")
}
