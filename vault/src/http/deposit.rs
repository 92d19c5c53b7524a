//! Depositors' call.

use super::{Shared, id};
use crate::deposits::{self, DepositRefused, Surroundings};
use crate::error::Failed;
use crate::host::Host;
use crate::store::{Appended, NewDeposit};
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use tegata_consent::cose::Signed;
use tegata_consent::deposit::{DepositReceipt, SealedRecord};
use tegata_consent::ids::DrawerId;
use tegata_consent::organisation::OrganisationState;
use tegata_service::http::{Cbor, Cose, read_body};
use tegata_service::problem::Problem;

/// What a sealed record has beside its file, at most, in bytes.
const PAPERS_MAX: u64 = 32 * 1024;

/// Deposits a sealed record into a drawer. The deposit inside is signed, so the request is not.
#[utoipa::path(
    post,
    path = "/v1/drawers/{drawer}/records",
    params(("drawer" = String, Path, description = "Drawer id, hexadecimal")),
    request_body(content = Vec<u8>, content_type = "application/cbor", description = "SealedRecord without a receipt"),
    responses(
        (status = 201, content_type = "application/cose", body = Vec<u8>, description = "The host's signed receipt"),
        (status = 200, content_type = "application/cose", body = Vec<u8>, description = "The same deposit again: the same receipt"),
        (status = 403, description = "The depositor or its invitation: `depositor-…`, `deposit-signature`, `invitation-…`"),
        (status = 404, description = "`drawer-unknown`"),
        (status = 409, description = "`record-exists`, `drawer-full`"),
        (status = 413, description = "`deposit-size`"),
        (status = 422, description = "`deposit-signature`, `deposit-file`, `deposit-lock`, `deposit-drawer`, `deposit-date`"),
        (status = 503, description = "`stale`"),
    )
)]
pub(super) async fn deposit(
    State(shared): State<Shared>,
    Path(drawer): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let drawer: DrawerId = id(&drawer)?;
    let result = receive(&shared.host, drawer, request).await;
    let outcome = match &result {
        Ok((_, true)) => "accepted",
        Ok((_, false)) => "again",
        Err(Failed::Deposit(refused)) => refused.code(),
        Err(_) => "failed",
    };
    metrics::counter!("tegata_vault_deposits_total", "outcome" => outcome).increment(1);
    let (receipt, new) = result?;
    let status = if new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Cose(receipt)).into_response())
}

/// Gives the receipt, and whether it is new.
async fn receive(
    host: &Arc<Host>,
    drawer: DrawerId,
    request: Request,
) -> Result<(Vec<u8>, bool), Failed> {
    // whoever names no drawer is not listened to any longer
    host.block(move |host| {
        let drawer = host
            .store
            .drawer(&drawer)?
            .ok_or(DepositRefused::NoDrawer(drawer));
        Ok::<_, Failed>(drawer.map(drop)?)
    })
    .await?;
    let limit = usize::try_from(host.limits.file_bytes_max + PAPERS_MAX).unwrap_or(usize::MAX);
    let body = read_body(request.into_body(), limit).await?;
    let read = host
        .block(move |host| {
            host.store
                .drawer(&drawer)?
                .ok_or(DepositRefused::NoDrawer(drawer))?;
            let Cbor(sealed) = Cbor::<SealedRecord>::parse(&body)?;
            Ok::<_, Failed>(deposits::read(sealed, &drawer, &host.chain, &host.limits)?)
        })
        .await?;
    let newest = host.ledger.newest()?;
    let depositor = host
        .ledger
        .organisation(&read.verified.deposit.depositor)
        .await?;
    // A clock here that lags behind the validators' must not bring back what ended.
    let least_ms = newest
        .header()
        .time_ms
        .max(depositor.header.header().time_ms);
    let appended = host
        .block(move |host| accept(host, &read, depositor.value.as_ref(), least_ms))
        .await?;
    match appended {
        Appended::New(receipt) => {
            host.outbox_bell.notify_one();
            Ok((receipt, true))
        }
        Appended::Same(receipt) => Ok((receipt, false)),
        Appended::Other => Err(DepositRefused::RecordExists.into()),
        Appended::Full => Err(DepositRefused::Full(host.limits.records_max).into()),
    }
}

/// Judges a deposit against what stands now, and keeps it. What was accepted before needs no second judgement.
fn accept(
    host: &Host,
    read: &deposits::ReadDeposit,
    depositor: Option<&OrganisationState>,
    least_ms: u64,
) -> Result<Appended, Failed> {
    let deposit = &read.verified.deposit;
    if let Some(kept) = host.store.kept(&deposit.drawer, &deposit.record)? {
        return Ok(if *kept.deposit == *read.sealed.deposit {
            Appended::Same(kept.receipt.into())
        } else {
            Appended::Other
        });
    }
    let row = host
        .store
        .drawer(&deposit.drawer)?
        .ok_or(DepositRefused::NoDrawer(deposit.drawer))?;
    let now_ms = host.now_ms().max(least_ms);
    let around = Surroundings {
        chain: &host.chain,
        host: &host.id,
        row: &row,
        depositor,
        now_ms,
    };
    let invitation = deposits::admit(read, &around)?;
    let new = NewDeposit {
        drawer: deposit.drawer,
        record: deposit.record,
        date_ms: deposit.date_ms,
        deposit: &read.sealed.deposit,
        invitation: (invitation.digest, &read.sealed.invitation),
        lock: &read.sealed.lock,
        file: (deposit.file, &read.sealed.file),
        now_ms,
        records_max: host.limits.records_max,
    };
    let receipt = |sequence, previous| {
        let (host_id, drawer, deposit) = (host.id, deposit.drawer, read.verified.digest);
        let receipt = DepositReceipt {
            host: host_id,
            drawer,
            sequence,
            previous,
            deposit,
            received_ms: now_ms,
        };
        receipt.sign(&host.keys.sign, &host.chain).to_bytes()
    };
    Ok(host.store.append(&new, receipt)?)
}
