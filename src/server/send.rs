//! `SendMessage` and `SendStreamingMessage`: a message becomes a task, goes on with one, or is answered directly.

use std::sync::Arc;

use serde_json::Map;

use super::answer::answer;
use super::ask::{self, Ask};
use super::auth::Caller;
use super::error::Failure;
use super::query;
use super::routing::{asked_back, converse, decide, route_metadata, routed};
use super::seen::Remembered;
use super::start::{self, Key, Opened, Origin};
use super::state::{Accepted, App};
use super::tasks::{Dialogue, Kind, Task, now, play};
use crate::a2a::{self, ErrorCode, FieldViolation, Message, Part, SendMessageParams, TaskState};
use crate::engine;
use crate::limits::MESSAGE_ID_BYTES_MAX;
use crate::router::{Act, Decision};

/// Longest id of a context or task that a client may name.
const ID_BYTES_MAX: usize = 512;

/// What a message led to, and the stream of it when one was asked for.
pub(super) struct Sent {
    pub(super) accepted: Accepted,
    pub(super) opened: Option<Opened>,
}

/// Takes a message. What it starts goes on when the caller goes away.
pub(super) async fn send(app: &Arc<App>, caller: &Caller, params: SendMessageParams, streaming: bool) -> Result<Sent, Failure> {
    if app.stopping.is_cancelled() {
        return Err(engine::Error::ShuttingDown.into());
    }
    check(app, &params)?;
    let webhook = params.configuration.and_then(|configuration| configuration.task_push_notification_config);
    if let Some(webhook) = &webhook {
        query::check_webhook(app, webhook).await?;
    }
    let (app, caller) = (Arc::clone(app), Arc::clone(caller));
    let work = Arc::clone(&app);
    // On a task of its own: the caller may hang up at any moment, but not in the middle of this.
    let accepted = work.work.spawn(async move { accept(&app, &caller, params.message, webhook, streaming).await });
    accepted.await.unwrap_or_else(|error| {
        tracing::error!(%error, "accepting a message panicked");
        Err(Failure::new(ErrorCode::InternalError, "the message could not be accepted; the cause is in gantry's log"))
    })
}

/// Waits until a blocking call may answer.
pub(super) async fn settle(app: &App, task: &Task) {
    tokio::select! {
        () = task.settled() => {}
        () = app.stopping.cancelled() => {}
    }
}

fn check(app: &App, params: &SendMessageParams) -> Result<(), Failure> {
    let message = &params.message;
    let mut violations = Vec::new();
    let mut violation = |field: &str, description: &str| {
        violations.push(FieldViolation { field: field.to_owned(), description: description.to_owned() });
    };
    if message.message_id.is_empty() {
        violation("message.messageId", "is missing");
    }
    if message.parts.is_empty() {
        violation("message.parts", "must hold at least one part");
    }
    if message.role == a2a::Role::Agent {
        violation("message.role", "a caller's role is ROLE_USER");
    }
    for (field, id, bytes_max) in [
        ("message.messageId", Some(&message.message_id), MESSAGE_ID_BYTES_MAX),
        ("message.contextId", message.context_id.as_ref(), ID_BYTES_MAX),
        ("message.taskId", message.task_id.as_ref(), ID_BYTES_MAX),
    ] {
        if id.is_some_and(|id| id.len() > bytes_max) {
            violation(field, &format!("is longer than {bytes_max} bytes"));
        }
    }
    if !violations.is_empty() {
        return Err(Failure::fields(violations));
    }
    for part in &message.parts {
        if let Some(media_type) = &part.media_type
            && !app.cards.takes(media_type)
        {
            return Err(Failure::new(ErrorCode::ContentTypeNotSupported, format!("the media type `{media_type}` is not taken")));
        }
    }
    Ok(())
}

async fn accept(
    app: &Arc<App>,
    caller: &Caller,
    message: Message,
    webhook: Option<a2a::TaskPushNotificationConfig>,
    streaming: bool,
) -> Result<Sent, Failure> {
    if !app.options.deduplicate {
        return accept_once(app, caller, message, webhook, streaming).await;
    }
    let (task_id, message_id) = (message.task_id.clone(), message.message_id.clone());
    let mut first = None;
    // Boxed: it is large, and would be copied at every place that it is handed on through.
    let sending = Box::pin(async {
        let sent = accept_once(app, caller, message, webhook, streaming).await?;
        let remembered = match &sent.accepted {
            Accepted::Task(task) => Remembered::Task(task.id.clone()),
            Accepted::Message(message) => Remembered::Message(message.clone()),
        };
        first = Some(sent);
        Ok::<_, Failure>(remembered)
    });
    let remembered = app.seen.once(caller, task_id.as_deref(), &message_id, sending).await?;
    if let Some(first) = first {
        return Ok(first);
    }
    let task = match remembered {
        Remembered::Message(message) => return Ok(Sent { accepted: Accepted::Message(message), opened: None }),
        Remembered::Task(id) => match app.store.get(caller, &id) {
            Some(task) => task,
            None => query::find(app, caller, &id).await?,
        },
    };
    let opened = streaming.then(|| task.subscribe());
    Ok(Sent { accepted: Accepted::Task(task), opened })
}

async fn accept_once(
    app: &Arc<App>,
    caller: &Caller,
    message: Message,
    webhook: Option<a2a::TaskPushNotificationConfig>,
    streaming: bool,
) -> Result<Sent, Failure> {
    let ancestry = ask::ancestry(&message, app.options.limits.depth_runs_max)?;
    // What the task keeps of it does not share its memory with the run when there is much.
    let said = message.clone().compact();
    let origin = |context_id: String| Origin {
        caller,
        context_id,
        message: Some(said.clone()),
        ancestry: ancestry.clone(),
        idempotency_key: app.options.deduplicate.then(|| Key::Message(said.message_id.clone())),
        webhook: webhook.clone(),
        streaming,
    };
    if let Some(id) = &message.task_id {
        let task = query::find(app, caller, id).await?;
        if message.context_id.as_ref().is_some_and(|context| *context != task.context_id) {
            return Err(Failure::field("message.contextId", format!("task `{id}` belongs to another context")));
        }
        let context_id = task.context_id.clone();
        return go_on(app, task, &message, origin(context_id)).await;
    }
    let context_id = message.context_id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    begin(app, message, &said, origin(context_id)).await
}

/// A new task, or a direct answer. `said`: the message once more, in little memory.
async fn begin(app: &Arc<App>, message: Message, said: &Message, mut origin: Origin<'_>) -> Result<Sent, Failure> {
    let task = |(task, opened)| Sent { accepted: Accepted::Task(task), opened };
    match Ask::of(message)? {
        Ask::Execute(execute) => {
            let found = app.discovery.workflow(&execute.reference()).await?;
            if let Some(key) = execute.idempotency_key {
                origin.idempotency_key = Some(Key::Given(key));
            }
            start::run(app, origin, found, execute.input, Map::new()).await.map(task)
        }
        Ask::Workflow { id, text, data } => {
            let found = app.discovery.workflow(&id).await?;
            let input = ask::fitted_input(&text, data, found.plan.workflow().input.as_deref());
            start::run(app, origin, found, input, Map::new()).await.map(task)
        }
        Ask::Route { text, data } => match decide(app, &text, said).await? {
            Decision::Run { run, reason } => {
                let (found, input) = routed(app, &run, &text, data).await?;
                let about = route_metadata(&reason, Some(&run.workflow));
                start::run(app, origin, found, input, about).await.map(task)
            }
            Decision::Respond { acts, reason } => {
                if let [Act::Message(said)] = acts.as_slice() {
                    let message = Message {
                        message_id: uuid::Uuid::new_v4().to_string(),
                        context_id: Some(origin.context_id),
                        role: a2a::Role::Agent,
                        parts: said.parts(),
                        ..Message::default()
                    };
                    return Ok(Sent { accepted: Accepted::Message(Box::new(message)), opened: None });
                }
                let (made, opened) = start::bare(app, origin, Kind::Script, route_metadata(&reason, None))?;
                app.spawn(play(Arc::clone(&made), acts));
                Ok(task((made, opened)))
            }
            Decision::Reject { message, reason } => {
                let (made, opened) = start::bare(app, origin, Kind::Script, route_metadata(&reason, None))?;
                made.set_status(TaskState::Rejected, vec![Part::text(message)], now(), Map::new());
                Ok(task((made, opened)))
            }
            Decision::Ask { candidates, reason } => {
                let offered = candidates.iter().map(|candidate| candidate.id.clone()).collect();
                let kind = Kind::Dialogue(Box::new(Dialogue { text, data, offered }));
                let (made, opened) = start::bare(app, origin, kind, route_metadata(&reason, None))?;
                made.set_status(TaskState::InputRequired, asked_back(&candidates, &reason), now(), Map::new());
                Ok(task((made, opened)))
            }
        },
    }
}

/// The next message on a task.
async fn go_on(app: &Arc<App>, task: Arc<Task>, message: &Message, origin: Origin<'_>) -> Result<Sent, Failure> {
    // One after the other: two at once would both begin the run of a dialogue, or answer the same question.
    let turn = task.turn().await;
    let (state, _) = task.state();
    if state.is_terminal() {
        return Err(Failure::new(ErrorCode::UnsupportedOperation, format!("task `{}` has ended; begin a new one in its context", task.id)));
    }
    let streaming = origin.streaming;
    if let Some(config) = &origin.webhook {
        start::add_webhook(app, &task, config.clone())?;
    }
    let opened = match task.kind() {
        Kind::Run(run) => answer(app, &task, &run, message, streaming).await?,
        Kind::Script => play_on(app, &task, message, streaming).await?,
        Kind::Dialogue(dialogue) => converse(app, &task, message, origin, *dialogue).await?,
    };
    drop(turn);
    Ok(Sent { accepted: Accepted::Task(task), opened })
}

/// A script that waits takes the next message by the same rules.
async fn play_on(app: &Arc<App>, task: &Arc<Task>, message: &Message, streaming: bool) -> Result<Option<Opened>, Failure> {
    if !task.state().0.is_interrupted() {
        return Err(Failure::new(ErrorCode::UnsupportedOperation, format!("task `{}` is at work and waits for no message", task.id)));
    }
    let Decision::Respond { acts, .. } = decide(app, &ask::words(message), message).await? else {
        return Err(Failure::new(ErrorCode::UnsupportedOperation, format!("no rule goes on with task `{}` from this message", task.id)));
    };
    task.hear(message.clone());
    task.set_status(TaskState::Working, Vec::new(), now(), Map::new());
    let opened = streaming.then(|| task.subscribe());
    if let [Act::Message(said)] = acts.as_slice() {
        task.set_status(TaskState::Completed, said.parts(), now(), Map::new());
    } else {
        app.spawn(play(Arc::clone(task), acts));
    }
    Ok(opened)
}
