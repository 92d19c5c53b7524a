//! What happens, as it happens, for the organisation's own systems. Events are a convenience: everything they tell can be
//! asked for as well, and is on disk before the event is sent.

use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use futures::{Stream, StreamExt};
use serde::Serialize;
use std::convert::Infallible;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

/// One event: a name and its JSON.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    kind: &'static str,
    json: String,
}

impl Event {
    pub(crate) fn new(kind: &'static str, body: &impl Serialize) -> Self {
        let json =
            serde_json::to_string(body).expect("events are plain structs, which are always JSON");
        Self { kind, json }
    }
}

/// The stream of all events from now on. A listener that falls behind gets an event `lagged` with how many it missed.
pub(crate) fn stream(
    events: broadcast::Receiver<Event>,
) -> Sse<impl Stream<Item = Result<SseEvent, Infallible>>> {
    let stream = BroadcastStream::new(events).map(|event| {
        Ok(match event {
            Ok(event) => SseEvent::default().event(event.kind).data(event.json),
            Err(tokio_stream::wrappers::errors::BroadcastStreamRecvError::Lagged(missed)) => {
                SseEvent::default().event("lagged").data(missed.to_string())
            }
        })
    });
    Sse::new(stream).keep_alive(KeepAlive::default())
}
