//! The node's API. Bodies are deterministic CBOR where somebody verifies them, JSON where people read them; errors are
//! problem details (RFC 9457).

mod entries;
mod events;
mod headers;
mod history;
mod operation;
mod state;

use crate::gossip::Gossip;
use crate::shared::Shared;
use crate::store::StoreError;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use std::str::FromStr;
use std::sync::Arc;
use tegata_service::http::{Address, Place, Places};
use tegata_service::problem::Problem;
use utoipa::OpenApi;

/// How many may listen at once, to events or for the next header: half of the places that a service has by default, so
/// that those who only listen leave room for those who ask and write.
const LISTENERS_MAX: usize = 256;
/// How many of them from one address: the services of an organisation, not a crowd's worth.
const LISTENERS_PER_ADDRESS_MAX: usize = 16;

/// What handlers need.
#[derive(Debug, Clone)]
pub struct Api(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    shared: Arc<Shared>,
    gossip: Gossip,
    listeners: Places,
}

impl Api {
    /// Over a node's parts.
    #[must_use]
    pub fn new(shared: Arc<Shared>, gossip: Gossip) -> Self {
        Self(Arc::new(Parts {
            shared,
            gossip,
            listeners: Places::new(
                "tegata_ledger_listeners",
                LISTENERS_MAX,
                LISTENERS_PER_ADDRESS_MAX,
            ),
        }))
    }

    /// A listener's place, given back when it is dropped.
    fn listener(&self, from: Address) -> Result<Place, Problem> {
        let place = self.0.listeners.take(from);
        place.ok_or_else(|| {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "Too many listen already",
            )
        })
    }

    fn shared(&self) -> &Shared {
        &self.0.shared
    }
}

/// All routes.
pub fn router(api: Api) -> Router {
    Router::new()
        .route("/v1/entries", axum::routing::post(entries::submit))
        .route("/v1/entries/{id}", get(entries::receipt))
        .route("/v1/log", get(history::log))
        .route("/v1/log/consistency", get(history::consistency))
        .route("/v1/grants/{id}/accesses", get(history::accesses))
        .route("/v1/state/organisations", get(state::organisations))
        .route("/v1/state/organisations/{id}", get(state::organisation))
        .route("/v1/state/grants/{id}", get(state::grant))
        .route(
            "/v1/state/status-lists/{issuer}/{list}",
            get(state::status_list),
        )
        .route("/v1/state/over-askings/{request}", get(state::over_asking))
        .route(
            "/v1/state/erasures/{recipient}/{commitment}",
            get(state::erasure),
        )
        .route("/v1/headers", get(headers::list))
        .route("/v1/headers/newest", get(headers::newest))
        .route("/v1/headers/{height}", get(headers::one))
        .route("/v1/genesis", get(headers::genesis))
        .route("/v1/events", get(events::stream))
        .route("/healthz", get(operation::live))
        .route("/readyz", get(operation::ready))
        .route("/metrics", get(operation::metrics))
        .route("/openapi.json", get(operation::openapi))
        .with_state(api)
}

/// The API's description.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tegata ledger node",
        description = "Submit entries; read receipts, proofs, headers and the log. CBOR is deterministic (RFC 8949 section 4.2.1); errors are problem details (RFC 9457)."
    ),
    paths(
        entries::submit,
        entries::receipt,
        history::log,
        history::consistency,
        history::accesses,
        state::organisations,
        state::organisation,
        state::grant,
        state::status_list,
        state::over_asking,
        state::erasure,
        headers::list,
        headers::newest,
        headers::one,
        headers::genesis,
        events::stream,
        operation::live,
        operation::ready,
        operation::metrics
    ),
    components(schemas(crate::feed::FinalBlock, crate::feed::FinalEntry))
)]
struct Description;

/// Reads an identifier of a path: lower-case hexadecimal, and in no other way.
fn identifier<T: FromStr>(text: &str) -> Result<T, Problem>
where
    T::Err: std::fmt::Display,
{
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(Problem::malformed("identifiers are written in lower case"));
    }
    text.parse()
        .map_err(|error: T::Err| Problem::malformed(error.to_string()))
}

fn failed(error: StoreError) -> Problem {
    Problem::internal(&error)
}

/// A CBOR array of items that are encoded already.
fn array(items: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(9 + items.iter().map(Vec::len).sum::<usize>());
    minicbor::Encoder::new(&mut bytes)
        .array(items.len() as u64)
        .expect("writing CBOR to memory cannot fail");
    items.iter().for_each(|item| bytes.extend_from_slice(item));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use tegata_consent::ids::GrantId;

    #[test]
    fn identifiers_have_one_spelling() {
        assert_eq!(
            identifier::<GrantId>(&"ab".repeat(32)).unwrap(),
            GrantId([0xab; 32])
        );
        for wrong in [
            "AB".repeat(32),
            "aB".repeat(32),
            "ab".repeat(31),
            "xy".repeat(32),
        ] {
            let problem = identifier::<GrantId>(&wrong).unwrap_err();
            assert_eq!(
                (problem.status().as_u16(), problem.code()),
                (400, "malformed")
            );
        }
    }
}
