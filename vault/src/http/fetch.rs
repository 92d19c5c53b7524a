//! Recipients' call.

use super::Shared;
use crate::error::Failed;
use crate::fetch::{Asker, FetchRefused, judge_access, judge_grant, judge_order};
use crate::host::Host;
use crate::rows::{OpeningRow, Position};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use tegata_consent::fetch::{FetchAnswer, FetchRequest};
use tegata_consent::ids::{GrantId, Hash, OrganisationId, hash};
use tegata_consent::organisation::OrganisationState;
use tegata_service::http::Cbor;
use tegata_service::problem::Problem;
use tegata_service::signature::{KeyId, SignatureError};

/// Hands out sealed records under an access that the ledger allowed.
#[utoipa::path(
    post,
    path = "/v1/fetch",
    request_body(content = Vec<u8>, content_type = "application/cbor", description = "FetchRequest; signed by the recipient"),
    responses(
        (status = 200, content_type = "application/cbor", body = Vec<u8>, description = "FetchAnswer"),
        (status = 401, description = "The request's signature"),
        (status = 403, description = "`access-unknown`, `access-refused`, `access-old`, `not-recipient`, `opening`, `no-order`, \
                                      `beyond-order`, `grant-revoked`, `grant-expired`, `grant-not-started`, `replayed`"),
        (status = 503, description = "`stale`"),
    )
)]
pub(super) async fn fetch(
    State(shared): State<Shared>,
    request: Request,
) -> Result<Response, Problem> {
    let result = answer(&shared, request).await;
    let outcome = match &result {
        Ok(_) => "served",
        Err(Failed::Fetch(refused)) => refused.code(),
        Err(_) => "failed",
    };
    metrics::counter!("tegata_vault_fetches_total", "outcome" => outcome).increment(1);
    let answer = result?;
    metrics::counter!("tegata_vault_records_handed_out_total")
        .increment(answer.records.len() as u64);
    Ok(Cbor(answer).into_response())
}

async fn answer(shared: &Shared, request: Request) -> Result<FetchAnswer, Failed> {
    let host = &shared.host;
    let (parts, body, unseen) = shared.verifier.read(request, FetchRequest::LIMIT).await?;
    let signature = parts
        .headers
        .get("signature")
        .map(|value| value.as_bytes())
        .unwrap_or_default();
    let digest = Hash(hash("tegata/v1/served", &[signature]));

    let newest = host.ledger.newest()?;
    let (organisation, state) = authenticate(host, unseen.key()).await?;
    shared.verifier.remember(&unseen).map_err(Problem::from)?;
    let Cbor(request) = Cbor::<FetchRequest>::parse(&body)?;
    let after = request
        .after
        .as_ref()
        .map(|bytes| Position::parse(bytes).ok_or(FetchRefused::After))
        .transpose()?;
    let asker = Asker {
        organisation: &organisation,
        state: &state,
    };
    let receipt = host.ledger.receipt(&request.access).await?;
    let now_ms = host.now_ms().max(newest.header().time_ms);
    let access = judge_access(
        &request,
        &asker,
        receipt.as_ref().map(|(_, receipt)| receipt),
        now_ms,
    )?;
    let grant = access.grant;
    let order = host
        .block(move |host| host.store.order(&grant))
        .await?
        .ok_or(FetchRefused::NoOrder(grant))?;
    judge_order(&request, &order.scope)?;
    let (_, proven) = host.ledger.grant(&grant).await?;
    judge_grant(&asker, &proven, now_ms.max(proven.header.header().time_ms))?;
    // The header may have grown stale while nodes were asked.
    host.ledger.newest()?;
    host.block(move |host| hand_out(host, &digest, &grant, request, after))
        .await
}

/// Who signed, as the registry has it: a key that counts now.
async fn authenticate(
    host: &Host,
    key: KeyId,
) -> Result<(OrganisationId, OrganisationState), Failed> {
    let KeyId::Organisation(id, key) = key else {
        return Err(Problem::from(SignatureError::OtherKind("organisations")).into());
    };
    let proven = host.ledger.organisation(&id).await?;
    let now_ms = host.now_ms().max(proven.header.header().time_ms);
    let state = proven
        .value
        .ok_or_else(|| Problem::from(SignatureError::NotRegistered(id)))?;
    if !state.signs_with(&key, now_ms) {
        return Err(Problem::from(SignatureError::NotItsKey(id)).into());
    }
    Ok((id, state))
}

/// Notes what goes out, and only then lets it go.
fn hand_out(
    host: &Host,
    digest: &Hash,
    grant: &GrantId,
    request: FetchRequest,
    after: Option<Position>,
) -> Result<FetchAnswer, Failed> {
    let page = host
        .store
        .page(&request.scope, after, host.limits.page_bytes)?;
    let ids: Vec<_> = page
        .records
        .iter()
        .map(|(position, record, _)| (*position, *record))
        .collect();
    let opening = OpeningRow {
        salt: request.salt,
        scope: request.scope,
    };
    if !host.store.hand_out(
        digest,
        (grant, &request.access),
        &opening,
        &ids,
        host.now_ms(),
    )? {
        return Err(FetchRefused::Replayed.into());
    }
    let next = page
        .more
        .then(|| ids.last().map(|(position, _)| position.to_bytes().into()))
        .flatten();
    Ok(FetchAnswer {
        records: page
            .records
            .into_iter()
            .map(|(_, _, sealed)| sealed)
            .collect(),
        next,
    })
}
