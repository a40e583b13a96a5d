//! Server-sent events: the frames of a stream, each a JSON-RPC response with the id of the request.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use serde_json::Value;

use super::error::Failure;
use super::methods::{Dialect, Stream, stream_json};
use super::tasks::{Queue, Taken};
use crate::a2a::{ErrorCode, StreamResponse};

/// Proxies cut streams that are silent for longer.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The response that streams.
pub(super) fn respond(id: &Value, stream: Stream) -> Response {
    let id = id.to_string();
    let body = match stream {
        Stream::Message { message, dialect } => Body::from(frame(&id, &stream_json(dialect, &StreamResponse::Message(*message)))),
        Stream::Task { opened, dialect, until_settled } => {
            let (record, queue) = *opened;
            // A task that waits is worth a stream only to those who stay until it goes on.
            let over = record.status.state.is_terminal() || (until_settled && record.status.state.is_interrupted());
            let first = frame(&id, &stream_json(dialect, &StreamResponse::Task(record)));
            let reader = Reader { id, dialect, until_settled, queue: Guard(queue), first: Some(first), over };
            Body::from_stream(stream::unfold(reader, |mut reader| async move {
                let frame = reader.next().await?;
                Some((Ok::<_, Infallible>(Bytes::from(frame)), reader))
            }))
        }
    };
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-cache"), (HeaderName::from_static("x-accel-buffering"), "no")];
    (headers, body).into_response()
}

fn frame(id: &str, result: &str) -> String {
    format!("data: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}\n\n")
}

struct Reader {
    id: String,
    dialect: Dialect,
    until_settled: bool,
    queue: Guard,
    first: Option<String>,
    over: bool,
}

/// Tells the task that its reader has gone.
struct Guard(Arc<Queue>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Reader {
    async fn next(&mut self) -> Option<String> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        if self.over {
            return None;
        }
        let taken = tokio::select! {
            taken = self.queue.0.take() => taken,
            () = tokio::time::sleep(KEEP_ALIVE) => return Some(": keep-alive\n\n".to_owned()),
        };
        match taken {
            Taken::Event(event) => {
                self.over = self.ends(&event);
                Some(frame(&self.id, &stream_json(self.dialect, &event)))
            }
            Taken::End => None,
            Taken::Cut => Some(self.last("this reader was too slow and has missed events; subscribe again")),
            Taken::Stopped(why) => Some(self.last(why)),
        }
    }

    fn ends(&self, event: &StreamResponse) -> bool {
        match event {
            StreamResponse::StatusUpdate(update) => {
                let state = update.status.state;
                state.is_terminal() || (self.until_settled && state.is_interrupted())
            }
            StreamResponse::Message(_) => true,
            StreamResponse::Task(_) | StreamResponse::ArtifactUpdate(_) => false,
        }
    }

    /// The stream ends before the task does, and says so.
    fn last(&mut self, why: &str) -> String {
        self.over = true;
        let error = serde_json::json!(Failure::new(ErrorCode::InternalError, why).error);
        format!("data: {{\"jsonrpc\":\"2.0\",\"id\":{},\"error\":{error}}}\n\n", self.id)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use serde_json::{Map, json};
    use tokio::time::Instant;

    use super::*;
    use crate::a2a::TaskState;
    use crate::server::tasks::{Bounds, Kind, NewTask, Store, now};

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_shows_every_fifteen_seconds_that_it_is_there() {
        let bounds = Bounds { history_max: 9, stream_bytes_max: 64 * 1024, stream_age_max: Duration::from_secs(60) };
        let task = Store::new(9, bounds, false).unlisted(NewTask {
            id: "t".to_owned(),
            context_id: String::new(),
            caller: Arc::from("c"),
            kind: Kind::Script,
            history: Vec::new(),
            about: None,
            metadata: Map::new(),
            since: now(),
            is_remade: false,
        });
        let opened = Stream::Task { opened: task.subscribe(), dialect: Dialect::V1, until_settled: false };
        let mut frames = respond(&json!(7), opened).into_body().into_data_stream();
        let begun = Instant::now();
        let happens = async {
            tokio::time::sleep(Duration::from_secs(37)).await;
            task.set_status(TaskState::Working, Vec::new(), now(), Map::new());
            tokio::time::sleep(Duration::from_secs(20)).await;
            task.set_status(TaskState::Completed, Vec::new(), now(), Map::new());
        };
        let reads = async {
            let mut seen = Vec::new();
            while let Some(frame) = frames.next().await {
                let frame = String::from_utf8(frame.unwrap().to_vec()).unwrap();
                seen.push((begun.elapsed().as_millis(), frame == ": keep-alive\n\n"));
            }
            seen
        };
        let ((), seen) = tokio::join!(happens, reads);
        assert_eq!(seen, [(0, false), (15_000, true), (30_000, true), (37_000, false), (52_000, true), (57_000, false)]);
    }
}
