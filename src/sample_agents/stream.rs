//! A task as server-sent events: a snapshot, then its result and its end (A2A 1.0 §3.1.2).
//!
//! Closing a stream harms neither the task nor other streams of it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::protocol::Wire;
use super::tasks::Entry;
use crate::a2a::{StreamResponse, Task, TaskArtifactUpdate, TaskStatusUpdate};

/// Proxies cut streams that stay silent for longer.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

struct Events {
    watched: watch::Receiver<Arc<Task>>,
    ready: VecDeque<StreamResponse>,
    is_done: bool,
}

/// The stream of a task.
pub(super) fn response(entry: &Entry, wire: Wire, id: Value) -> Response {
    let mut watched = entry.watch();
    let task = Task::clone(&watched.borrow_and_update());
    let is_done = task.status.state.is_terminal();
    let events = Events { watched, ready: VecDeque::from([StreamResponse::Task(task)]), is_done };
    let frames = stream::unfold(events, move |mut events| {
        let id = id.clone();
        async move {
            let frame = match events.next().await? {
                Some(event) => format!("data: {}\n\n", json!({ "jsonrpc": "2.0", "result": wire.event(&event), "id": id })),
                None => ": keep-alive\n\n".to_owned(),
            };
            Some((Ok::<_, Infallible>(Bytes::from(frame)), events))
        }
    });
    let mut response = Response::new(Body::from_stream(frames));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

impl Events {
    /// The next event; `Some(None)` for a sign of life, `None` at the end.
    async fn next(&mut self) -> Option<Option<StreamResponse>> {
        if let Some(event) = self.ready.pop_front() {
            return Some(Some(event));
        }
        if self.is_done {
            return None;
        }
        match tokio::time::timeout(KEEP_ALIVE, self.watched.changed()).await {
            Err(_) => Some(None),
            Ok(Err(_)) => None,
            Ok(Ok(())) => {
                let task = Arc::clone(&self.watched.borrow_and_update());
                self.is_done = task.status.state.is_terminal();
                self.ready.extend(changes(&task));
                Some(self.ready.pop_front())
            }
        }
    }
}

fn changes(task: &Task) -> Vec<StreamResponse> {
    let artifacts = task.artifacts.iter().map(|artifact| {
        StreamResponse::ArtifactUpdate(TaskArtifactUpdate {
            task_id: task.id.clone(),
            context_id: task.context_id.clone(),
            artifact: artifact.clone(),
            last_chunk: true,
            ..TaskArtifactUpdate::default()
        })
    });
    let status = StreamResponse::StatusUpdate(TaskStatusUpdate {
        task_id: task.id.clone(),
        context_id: task.context_id.clone(),
        status: task.status.clone(),
        ..TaskStatusUpdate::default()
    });
    artifacts.chain([status]).collect()
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;

    use super::super::tasks::{Begun, Tasks};
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_shows_every_fifteen_seconds_that_it_is_there() {
        let tasks = Tasks::new(TaskTracker::new(), CancellationToken::new());
        let Some(Begun::New(entry)) = tasks.begin("m", None, 1) else { panic!("there is room") };
        let mut frames = response(&entry, Wire::V1, json!(7)).into_body().into_data_stream();
        let begun = Instant::now();
        let happens = async {
            tokio::time::sleep(Duration::from_secs(37)).await;
            entry.cancel();
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
        assert_eq!(seen, [(0, false), (15_000, true), (30_000, true), (37_000, false)]);
    }
}
