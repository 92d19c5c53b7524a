//! Final blocks as they come (server-sent events).

use super::Api;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{Stream, StreamExt};
use std::convert::Infallible;
use tegata_service::http::Address;
use tegata_service::problem::Problem;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;

/// Final blocks as they come: event `block`, its data [`crate::feed::FinalBlock`]; event `lagged` where the reader was too
/// slow and lost some (read `/v1/headers` and `/v1/log` instead).
#[utoipa::path(get, path = "/v1/events",
    responses(
        (status = 200, description = "Server-sent events", content_type = "text/event-stream", body = crate::feed::FinalBlock),
        (status = 503, description = "`busy`: too many listen already"),
    ))]
pub(super) async fn stream(
    State(api): State<Api>,
    from: Address,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let listener = api.listener(from)?;
    let events = BroadcastStream::new(api.shared().feed.blocks()).map(move |block| {
        let _held = &listener;
        Ok(match block {
            Ok(block) => {
                let data =
                    serde_json::to_string(&*block).expect("strings and numbers are always JSON");
                Event::default()
                    .event("block")
                    .id(block.height.to_string())
                    .data(data)
            }
            Err(BroadcastStreamRecvError::Lagged(lost)) => {
                Event::default().event("lagged").data(lost.to_string())
            }
        })
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}
