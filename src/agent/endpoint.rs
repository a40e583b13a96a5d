//! An A2A interface of an agent: the few methods a caller needs, in the dialect the interface speaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::Response;
use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
use tracing::debug;
use url::Url;

use super::body::{self, Content};
use super::error::{ErrorKind, Failure};
use super::hold::Hold;
use super::http::Http;
use super::stream::Events;
use super::{v1, v03};
use crate::a2a::{
    CancelTaskParams, GetTaskParams, Interface, ListTasksParams, ListTasksResult, Method, SKILL_EXTENSION, SendMessageParams,
    SendMessageResponse, StreamResponse, SubscribeToTaskParams, Task,
};

const VERSION: HeaderName = HeaderName::from_static("a2a-version");
const EXTENSIONS: HeaderName = HeaderName::from_static("a2a-extensions");
/// How long telling an agent that a task is no longer wanted may take.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);
/// As much of the answer to it is read.
const CANCEL_REPLY_BYTES_MAX: usize = 64 * 1024;

/// Which words are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    V1,
    V03,
}

/// Where and how an agent is spoken to, for one call.
pub(super) struct Endpoint {
    pub(super) http: Arc<Http>,
    wire: Wire,
    url: Arc<Url>,
    tenant: Option<String>,
    message_id: String,
    requests: AtomicU32,
    /// When the agent may be told that a task is no longer wanted.
    pub(super) hold: Hold,
}

/// What a request that may stream was answered with.
pub(super) enum Opened {
    /// A stream; the id its events must carry.
    Stream(Events, String),
    /// One answer.
    Reply(SendMessageResponse),
}

impl Endpoint {
    pub(super) fn new(http: Arc<Http>, wire: Wire, interface: &Interface, message_id: &str) -> Result<Self, Failure> {
        let url = http.url(&interface.url)?;
        let (tenant, message_id) = (interface.tenant.clone(), message_id.to_owned());
        Ok(Self { http, wire, url, tenant, message_id, requests: AtomicU32::new(0), hold: Hold::default() })
    }

    /// The same, for a call that somebody holds.
    pub(super) fn held(self, hold: Hold) -> Self {
        Self { hold, ..self }
    }

    pub(super) fn tenant(&self) -> Option<String> {
        self.tenant.clone()
    }

    /// `SendMessage`, or `SendStreamingMessage` if the agent streams.
    pub(super) async fn send(&self, params: &SendMessageParams, streaming: bool) -> Result<Opened, Failure> {
        let id = self.next_id();
        let method = if streaming { Method::SendStreamingMessage } else { Method::SendMessage };
        let request = match self.wire {
            Wire::V1 => v1::send(&id, method, params),
            Wire::V03 => v03::send(&id, method, params),
        };
        let response = self.post(request, streaming).await?;
        match Content::of(response.headers()) {
            Content::EventStream if streaming => Ok(Opened::Stream(Events::new(response, self.http.reply_bytes_max), id)),
            Content::Json => {
                let bytes = body::read(response, self.http.reply_bytes_max).await?;
                let reply = match self.wire {
                    Wire::V1 => v1::sent(&bytes, &id),
                    Wire::V03 => v03::sent(&bytes, &id),
                };
                reply?.map(Opened::Reply).ok_or_else(null_result)
            }
            other => Err(other.refused(if streaming { "an event stream" } else { "JSON" })),
        }
    }

    /// `SubscribeToTask`.
    pub(super) async fn subscribe(&self, task_id: &str) -> Result<(Events, String), Failure> {
        let id = self.next_id();
        let params = SubscribeToTaskParams { tenant: self.tenant(), id: task_id.to_owned() };
        let request = match self.wire {
            Wire::V1 => v1::subscribe(&id, &params),
            Wire::V03 => v03::subscribe(&id, &params),
        };
        let response = self.post(request, true).await?;
        match Content::of(response.headers()) {
            Content::EventStream => Ok((Events::new(response, self.http.reply_bytes_max), id)),
            Content::Json => {
                let bytes = body::read(response, self.http.reply_bytes_max).await?;
                self.event(&bytes, &id)?;
                Err(Failure::invalid("one event instead of a stream of them"))
            }
            other => Err(other.refused("an event stream")),
        }
    }

    /// A text of the agent without what is secret of it.
    pub(super) fn hide(&self, text: &str) -> String {
        self.http.hide(text, &self.url)
    }

    /// One event of a stream.
    pub(super) fn event(&self, data: &[u8], id: &str) -> Result<StreamResponse, Failure> {
        let event = match self.wire {
            Wire::V1 => v1::event(data, id),
            Wire::V03 => v03::event(data, id),
        };
        event?.ok_or_else(null_result)
    }

    /// `GetTask`, without history. The number is the size of the answer.
    pub(super) async fn task(&self, task_id: &str) -> Result<(Task, usize), Failure> {
        self.task_with(task_id, Some(0)).await
    }

    /// `GetTask` with as much history as is asked for; unset is what the agent likes.
    pub(super) async fn task_with(&self, task_id: &str, history_length: Option<u32>) -> Result<(Task, usize), Failure> {
        let id = self.next_id();
        let params = GetTaskParams { tenant: self.tenant(), id: task_id.to_owned(), history_length };
        let request = match self.wire {
            Wire::V1 => v1::get(&id, &params),
            Wire::V03 => v03::get(&id, &params),
        };
        self.task_of(request, &id).await
    }

    /// `CancelTask`, and what the agent says to it.
    pub(super) async fn cancel(&self, task_id: &str) -> Result<Task, Failure> {
        let id = self.next_id();
        let request = self.cancel_request(&id, task_id);
        Ok(self.task_of(request, &id).await?.0)
    }

    /// `ListTasks`; 0.3 has no such method.
    pub(super) async fn list(&self, params: &ListTasksParams) -> Result<ListTasksResult, Failure> {
        if self.wire == Wire::V03 {
            return Err(Failure::new(ErrorKind::Refused, "A2A 0.3 has no list of tasks; only 1.0 has"));
        }
        let id = self.next_id();
        let bytes = self.json(v1::list(&id, params)).await?;
        v1::listed(&bytes, &id)?.ok_or_else(null_result)
    }

    /// A request that is answered with a task; the number is the size of the answer.
    async fn task_of(&self, request: Vec<u8>, id: &str) -> Result<(Task, usize), Failure> {
        let bytes = self.json(request).await?;
        let task = match self.wire {
            Wire::V1 => v1::task(&bytes, id),
            Wire::V03 => v03::task(&bytes, id),
        };
        Ok((task?.ok_or_else(null_result)?, bytes.len()))
    }

    /// A request that is answered with JSON.
    async fn json(&self, request: Vec<u8>) -> Result<Bytes, Failure> {
        let response = self.post(request, false).await?;
        match Content::of(response.headers()) {
            Content::Json => body::read(response, self.http.reply_bytes_max).await,
            other => Err(other.refused("JSON")),
        }
    }

    fn cancel_request(&self, id: &str, task_id: &str) -> Vec<u8> {
        let params = CancelTaskParams { tenant: self.tenant(), id: task_id.to_owned(), metadata: serde_json::Map::new() };
        match self.wire {
            Wire::V1 => v1::cancel(id, &params),
            Wire::V03 => v03::cancel(id, &params),
        }
    }

    /// Tells the agent, in the background and bounded, that a task is no longer wanted, as soon as it may be told. Whether it listens changes
    /// nothing.
    pub(super) fn cancel_later(&self, task_id: String) {
        if self.http.leaves_tasks.load(Ordering::Acquire) {
            return;
        }
        // Dropped outside a runtime there is nobody left to tell with.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let id = self.next_id();
        let request = self.cancel_request(&id, &task_id);
        let (http, url, headers) = (Arc::clone(&self.http), Arc::clone(&self.url), self.headers(false));
        let verdict = self.hold.verdict();
        let work = async move {
            if !verdict.await {
                debug!(task = %task_id, "remote task left alone: its call is made again");
                return;
            }
            let told = tokio::time::timeout(CANCEL_TIMEOUT, async {
                hear_out(http.post(&url, headers, request).await?).await;
                Ok::<_, Failure>(())
            });
            match told.await {
                Ok(Ok(())) => debug!(task = %task_id, "remote task canceled"),
                Ok(Err(failure)) => {
                    debug!(task = %task_id, code = failure.kind.code(), http_status = failure.status, "remote task not canceled");
                }
                Err(_) => debug!(task = %task_id, "remote task not canceled in time"),
            }
        };
        self.http.tasks.spawn_on(work, &runtime);
    }

    async fn post(&self, request: Vec<u8>, streaming: bool) -> Result<Response, Failure> {
        self.http.post(&self.url, self.headers(streaming), request).await
    }

    fn headers(&self, streaming: bool) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(4);
        let accept = if streaming { "text/event-stream, application/json" } else { "application/json" };
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        let version = match self.wire {
            Wire::V1 => v1::VERSION,
            Wire::V03 => v03::VERSION,
        };
        headers.insert(VERSION, HeaderValue::from_static(version));
        headers.insert(EXTENSIONS, HeaderValue::from_static(SKILL_EXTENSION));
        headers
    }

    /// The first request's id is the message's, so that logs on both sides meet; those after it are numbered.
    fn next_id(&self) -> String {
        match self.requests.fetch_add(1, Ordering::Relaxed) {
            0 => self.message_id.clone(),
            count => format!("{}#{count}", self.message_id),
        }
    }
}

/// Reads what is answered to a cancellation, so that the connection can be used again, and believes nothing of it.
async fn hear_out(response: Response) {
    body::read_some(response, CANCEL_REPLY_BYTES_MAX).await;
}

fn null_result() -> Failure {
    Failure::new(ErrorKind::InvalidReply, "the answer's result is null")
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[tokio::test]
    async fn so_much_of_the_answer_to_a_cancellation_is_read_and_no_more() {
        for (bytes, expected) in [(65_535, 65_535), (65_536, 65_536), (65_537, 65_536), (100_000, 65_536)] {
            let read = Arc::new(AtomicUsize::new(0));
            let counter = Arc::clone(&read);
            let piece = move |_| {
                counter.fetch_add(1, Ordering::SeqCst);
                Ok::<_, Infallible>(Bytes::from_static(b"x"))
            };
            let body = reqwest::Body::wrap_stream(futures_util::stream::iter((0..bytes).map(piece)));
            hear_out(axum::http::Response::new(body).into()).await;
            assert_eq!(read.load(Ordering::SeqCst), expected, "of {bytes}");
        }
    }
}
