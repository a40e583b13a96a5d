//! A message on its way, until the answer names the task that it made. A call may be given up in between: then the agent has work
//! whose name nobody knows yet. It is waited for a little longer in the background, so that the task is canceled and not left
//! behind.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::debug;

use super::endpoint::{Endpoint, Opened};
use super::error::Failure;
use super::follow::is;
use crate::a2a::{ErrorCode, SendMessageParams, SendMessageResponse, StreamResponse};

/// How long the answer to a message that nobody wants any more is waited for. Agents name their task at once or not at all.
const LATE_ANSWER_MAX: Duration = Duration::from_secs(5);

/// So many may be waited for at once, over all agents: one that answers nobody must not gather connections of calls long given up.
const LATE_ANSWERS: usize = 1_000;

type Answer = Pin<Box<dyn Future<Output = Result<Opened, Failure>> + Send>>;

/// Dropped before its end, it cancels the task that the message will have made.
pub(super) struct Opening {
    endpoint: Arc<Endpoint>,
    /// None once it is answered.
    answer: Option<Answer>,
}

impl Opening {
    /// Sends a message and waits for the first that comes of it. One that goes on with a task makes none: whoever gives that call up
    /// knows what to cancel.
    pub(super) async fn send(endpoint: &Arc<Endpoint>, params: SendMessageParams, streaming: bool) -> Result<Opened, Failure> {
        if params.message.task_id.is_some() {
            return open(Arc::clone(endpoint), params, streaming).await;
        }
        let mut opening = Self::begin(endpoint, params, streaming);
        let opened = opening.answer.as_mut().expect("it was just put there").await;
        opening.answer = None;
        opened
    }

    /// Sends a message whose task is not wanted.
    pub(super) fn give_up(endpoint: &Arc<Endpoint>, params: SendMessageParams, streaming: bool) {
        drop(Self::begin(endpoint, params, streaming));
    }

    fn begin(endpoint: &Arc<Endpoint>, params: SendMessageParams, streaming: bool) -> Self {
        let answer: Answer = Box::pin(open(Arc::clone(endpoint), params, streaming));
        Self { endpoint: Arc::clone(endpoint), answer: Some(answer) }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let Some(answer) = self.answer.take() else { return };
        let http = &self.endpoint.http;
        if http.leaves_tasks.load(Ordering::Acquire) || http.tasks.len() >= LATE_ANSWERS {
            return;
        }
        // Dropped outside a runtime there is nobody left to wait.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let endpoint = Arc::clone(&self.endpoint);
        let late = async move {
            let task_id = match tokio::time::timeout(LATE_ANSWER_MAX, answer).await {
                Ok(Ok(opened)) => unsettled(&endpoint, opened).await,
                Ok(Err(_)) | Err(_) => None,
            };
            match task_id {
                Some(task_id) => endpoint.cancel_later(task_id),
                None => debug!("a call that was given up left no task behind that could be canceled"),
            }
        };
        self.endpoint.http.tasks.spawn_on(late, &runtime);
    }
}

/// Sends the message, streaming where the agent can. An agent whose card promises more than it does is asked again without. A stream
/// counts as opened once it has said something: its first event is what names the task.
async fn open(endpoint: Arc<Endpoint>, params: SendMessageParams, streaming: bool) -> Result<Opened, Failure> {
    let opened = match endpoint.send(&params, streaming).await {
        Err(failure) if streaming && is(&failure, &[ErrorCode::UnsupportedOperation, ErrorCode::MethodNotFound]) => {
            endpoint.send(&params, false).await
        }
        opened => opened,
    };
    match opened? {
        Opened::Stream(mut events, id) => {
            events.look_ahead().await;
            Ok(Opened::Stream(events, id))
        }
        reply @ Opened::Reply(_) => Ok(reply),
    }
}

/// The task that still has work to do, if that is what the answer says.
async fn unsettled(endpoint: &Endpoint, opened: Opened) -> Option<String> {
    let (id, state) = match opened {
        Opened::Reply(SendMessageResponse::Task(task)) => (task.id, Some(task.status.state)),
        Opened::Reply(SendMessageResponse::Message(_)) => return None,
        Opened::Stream(mut events, id) => {
            // It was read already, so that this waits for nothing.
            let data = events.next().await.ok()??;
            match endpoint.event(&data, &id).ok()? {
                StreamResponse::Task(task) => (task.id, Some(task.status.state)),
                StreamResponse::StatusUpdate(update) => (update.task_id, Some(update.status.state)),
                StreamResponse::ArtifactUpdate(update) => (update.task_id, None),
                StreamResponse::Message(_) => return None,
            }
        }
    };
    (!id.is_empty() && !state.is_some_and(|state| state.is_terminal())).then_some(id)
}
