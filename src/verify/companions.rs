//! What people, hosts and recipients sign to one another: invitations, orders, tickets, consent requests.

use super::finding::Finding;
use super::trust::Trust;
use crate::time::moment;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use tegata_consent::cose::Signed;
use tegata_consent::ids::{ChainId, GrantId, PublicKey};
use tegata_consent::invitation::Invitation;
use tegata_consent::order::{Order, OrderError};
use tegata_consent::request::ConsentRequest;
use tegata_consent::ticket::{Ticket, TicketError};

const NO_GRANT: &str = "the ledger proves that there is no such grant";
const NO_GENESIS: &str = "give --genesis FILE: the ledger's id is part of what was signed";

/// Opens a signed format, or notes why not.
pub(super) fn open<T: Signed>(
    finding: &mut Finding,
    bytes: &[u8],
    trust: &Trust,
) -> Option<(T, PublicKey, ChainId)> {
    let Some((chain, _)) = &trust.chain else {
        finding.unknown("signature", NO_GENESIS);
        return None;
    };
    match T::open(bytes, chain) {
        Ok((value, signer)) => {
            finding.fact("signed by", signer);
            finding.check("signature", Ok::<_, String>("holds"));
            Some((value, signer, *chain))
        }
        Err(error) => {
            finding.fail("signature", error);
            None
        }
    }
}

pub(super) fn invitation(bytes: &[u8], trust: &Trust) -> Finding {
    let mut finding = Finding::new("A deposit invitation: a vault's permission for one depositor");
    let Some((invitation, signer, chain)) = open::<Invitation>(&mut finding, bytes, trust) else {
        return finding;
    };
    finding.fact("vault", signer);
    finding.fact("host", trust.name(&invitation.host));
    finding.fact("depositor", trust.name(&invitation.depositor));
    for drawer in &invitation.drawers {
        finding.fact(
            "drawer",
            format!("{} {} (epoch {})", drawer.id, drawer.category, drawer.epoch),
        );
    }
    finding.fact("record types", invitation.record_types.join(", "));
    finding.fact("expires", moment(invitation.expires_ms));
    let shape = Invitation::verify(bytes, &chain, &invitation.depositor);
    finding.check(
        "shape",
        shape.map(|_| "suite, drawers and record types are as they should be"),
    );
    let open = trust.at_ms < invitation.expires_ms;
    finding.check(
        "not expired",
        if open {
            Ok("still open")
        } else {
            Err("its time is over")
        },
    );
    finding
}

pub(super) async fn order(bytes: &[u8], trust: &Trust) -> Finding {
    let mut finding = Finding::new("An order: which drawers a grant opens, for the host");
    let Some((order, signer, chain)) = open::<Order>(&mut finding, bytes, trust) else {
        return finding;
    };
    finding.fact("grant", order.grant);
    finding.fact("host", trust.name(&order.host));
    finding.fact(
        "drawers",
        order
            .scope
            .drawers
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", "),
    );
    if let Some(records) = &order.scope.records {
        finding.fact(
            "only records",
            records
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", "),
        );
    }
    let own = signer == order.grant.key();
    finding.check(
        "signer",
        if own {
            Ok("the grant's own key")
        } else {
            Err("another key than the grant's")
        },
    );
    match trust.grant(&order.grant).await {
        None => finding.unknown(
            "commitment",
            "give --ledger URL: the ledger has the commitment that the order opens",
        ),
        Some(Err(error)) => finding.unknown("commitment", error.to_string()),
        Some(Ok(proven)) => match proven.value {
            None => finding.check("commitment", Err::<&str, _>(NO_GRANT)),
            Some(state) => {
                let verified =
                    Order::verify(bytes, &chain, &order.grant, &state.grant, &order.host);
                finding.check(
                    "commitment",
                    verified.map(|_| "the order opens what the grant committed to"),
                );
                let now_ms = proven.header.header().time_ms.max(trust.at_ms);
                finding.check(
                    "in force",
                    state
                        .standing(now_ms)
                        .map(|()| format!("the grant stood at {}", moment(now_ms))),
                );
            }
        },
    }
    finding
}

/// A ticket as it comes into a recipient's inbox (`{"kind":"ticket","grant","ticket"}`); absent where it is none.
pub(super) async fn ticket(message: &Value, trust: &Trust) -> Option<Finding> {
    let said = |name: &str| message.get(name).and_then(Value::as_str);
    let sealed = said("ticket").filter(|_| said("kind") == Some("ticket"))?;
    let mut finding =
        Finding::new("A ticket: what a recipient needs to read under a grant, sealed to it");
    let id: GrantId = match said("grant").unwrap_or_default().parse() {
        Ok(id) => id,
        Err(error) => {
            finding.fail("form", format!("the grant: {error}"));
            return Some(finding);
        }
    };
    let Ok(sealed) = URL_SAFE_NO_PAD.decode(sealed) else {
        finding.fail("form", "the ticket is not base64url");
        return Some(finding);
    };
    finding.fact("grant", id);
    let (Some((chain, _)), Some(own)) = (&trust.chain, &trust.own) else {
        finding.unknown(
            "sealed",
            "only its recipient can open it: give --keys FILE with the recipient's keys.json, and --genesis and --ledger",
        );
        return Some(finding);
    };
    let state = match trust.grant(&id).await {
        None => {
            finding.unknown("commitment", "give --ledger URL: the ledger has the grant");
            return Some(finding);
        }
        Some(Err(error)) => {
            finding.unknown("commitment", error.to_string());
            return Some(finding);
        }
        Some(Ok(proven)) => match proven.value {
            None => {
                finding.fail("commitment", NO_GRANT);
                return Some(finding);
            }
            Some(state) => (state, proven.header.header().time_ms.max(trust.at_ms)),
        },
    };
    let (state, now_ms) = state;
    let opened = Ticket::open_sealed(
        &sealed,
        &own.seal,
        &own.organisation_id(),
        chain,
        &id,
        &state.grant,
    );
    match opened {
        Err(error) => {
            let name = match &error {
                TicketError::Seal(_) => "sealed",
                TicketError::Order(OrderError::Cose(_)) => "signature",
                TicketError::Order(_) | TicketError::Drawers => "commitment",
            };
            finding.fail(name, error);
        }
        Ok(ticket) => {
            finding.fact("host", trust.name(&ticket.host));
            finding.fact("vault", ticket.vault);
            for drawer in &ticket.drawers {
                finding.fact("drawer", format!("{} {}", drawer.id, drawer.category));
            }
            finding.fact("reference", &ticket.reference);
            finding.hold("sealed", "to this organisation");
            finding.hold("signature", "by the grant's own key");
            finding.hold("commitment", "it opens what the grant committed to");
            let standing = state.standing(now_ms);
            let when = moment(now_ms);
            finding.check(
                "in force",
                standing.map(|()| format!("the grant stood at {when}")),
            );
        }
    }
    Some(finding)
}

pub(super) fn request(bytes: &[u8], trust: &Trust) -> Finding {
    let mut finding = Finding::new("A consent request: a recipient's question");
    let Some((request, signer, _)) = open::<ConsentRequest>(&mut finding, bytes, trust) else {
        return finding;
    };
    finding.fact("recipient", trust.name(&request.recipient));
    finding.fact("categories", request.categories.join(", "));
    finding.fact("purpose", &request.purpose);
    finding.fact("legal basis", &request.legal_basis);
    finding.fact("retention", format!("{} days", request.retention_days));
    finding.fact("until", moment(request.until_ms));
    if let Some(most) = request.uses_max {
        finding.fact("accesses", format!("at most {most}"));
    }
    finding.fact("reference", &request.reference);
    finding.check(
        "content",
        request
            .check()
            .map(|()| "nothing in it can be about a person"),
    );
    match (
        trust.signs_for(&signer, &request.recipient, trust.at_ms),
        trust.organisation(&request.recipient),
    ) {
        (Some(signs), Some(recipient)) => {
            finding.check("signer", signs);
            let asks = recipient.may_ask(
                &request.purpose,
                &request.categories,
                request.retention_days,
            );
            let why = "not accredited to ask for these categories, purpose and retention";
            finding.check(
                "accredited",
                if asks {
                    Ok("accredited to ask for this")
                } else {
                    Err(why)
                },
            );
            let suspended = recipient.suspended_at(trust.at_ms);
            finding.check(
                "not suspended",
                if suspended {
                    Err("suspended")
                } else {
                    Ok("in good standing")
                },
            );
        }
        _ => finding.unknown(
            "signer",
            "the recipient is not known: give --ledger URL, or --trust with a proof of it",
        ),
    }
    let open = trust.at_ms < request.expires_ms;
    finding.check(
        "not expired",
        if open {
            Ok("may still be answered")
        } else {
            Err("its time is over")
        },
    );
    finding
}
