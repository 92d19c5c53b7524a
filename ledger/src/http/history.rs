//! The log: leaves, consistency, and the accesses under a grant.

use super::{Api, array, failed, identifier};
use crate::store::View;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tegata_consent::ids::GrantId;
use tegata_service::http::{Cbor, Encoded};
use tegata_service::problem::Problem;
use utoipa::IntoParams;

const LEAVES_MAX: u64 = 1_000;
const BYTES_MAX: usize = 4 << 20;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Range {
    /// First number, from 0.
    from: Option<u64>,
    /// Most leaves; at most 1,000. An answer has at most 4 MiB and may hold fewer.
    limit: Option<u64>,
}

impl Range {
    fn limit(&self) -> u64 {
        self.limit.unwrap_or(LEAVES_MAX).min(LEAVES_MAX)
    }
}

/// Leaves of the log.
#[utoipa::path(get, path = "/v1/log", params(Range),
    responses((status = 200, description = "Array of LogLeaf", content_type = "application/cbor", body = Vec<u8>)))]
pub(super) async fn log(
    State(api): State<Api>,
    Query(range): Query<Range>,
) -> Result<Response, Problem> {
    let view = api.shared().store.view().map_err(failed)?;
    let from = range.from.unwrap_or(0);
    let end = from
        .saturating_add(range.limit())
        .min(view.tip().frontier.size());
    leaves(&view, from..end)
}

/// Accesses under a grant, refused ones included, oldest first. With the grant's state proof they are complete.
#[utoipa::path(get, path = "/v1/grants/{id}/accesses", params(("id" = String, Path, description = "Grant id, hexadecimal"), Range),
    responses((status = 200, description = "Array of LogLeaf", content_type = "application/cbor", body = Vec<u8>)))]
pub(super) async fn accesses(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(range): Query<Range>,
) -> Result<Response, Problem> {
    let grant: GrantId = identifier(&id)?;
    let view = api.shared().store.view().map_err(failed)?;
    let limit = usize::try_from(range.limit()).unwrap_or(usize::MAX);
    leaves(
        &view,
        view.accesses(&grant, range.from.unwrap_or(0), limit)
            .map_err(failed)?,
    )
}

fn leaves(view: &View<'_>, indexes: impl IntoIterator<Item = u64>) -> Result<Response, Problem> {
    let (mut leaves, mut bytes) = (Vec::new(), 0);
    for index in indexes {
        let leaf = view.leaf_bytes(index).map_err(failed)?;
        bytes += leaf.len();
        if bytes > BYTES_MAX && !leaves.is_empty() {
            break;
        }
        leaves.push(leaf);
    }
    Ok(Encoded(array(&leaves)).into_response())
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Sizes {
    /// The smaller log's size.
    from: u64,
    /// The larger log's size.
    to: u64,
}

/// That one log begins with another (RFC 9162 section 2.1.4).
#[utoipa::path(get, path = "/v1/log/consistency", params(Sizes),
    responses(
        (status = 200, description = "Array of hashes", content_type = "application/cbor", body = Vec<u8>),
        (status = 400, description = "Sizes out of order, or beyond the log"),
    ))]
pub(super) async fn consistency(
    State(api): State<Api>,
    Query(sizes): Query<Sizes>,
) -> Result<Response, Problem> {
    let view = api.shared().store.view().map_err(failed)?;
    let Sizes { from, to } = sizes;
    if from > to || to > view.tip().frontier.size() {
        return Err(Problem::malformed(format!(
            "from {from} to {to} is not within a log of {}",
            view.tip().frontier.size()
        )));
    }
    let proof = if from == 0 {
        Vec::new()
    } else {
        tegata_consent::log::consistency_proof(&view, from, to).map_err(failed)?
    };
    Ok(Cbor(proof).into_response())
}
