//! `SendMessage` and `SendStreamingMessage`: a message becomes a task, goes on with one, or is answered directly.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::ask::{self, Ask};
use super::auth::Caller;
use super::error::Failure;
use super::seen::Remembered;
use super::start::{self, Key, Opened, Origin};
use super::state::{Accepted, App};
use super::tasks::{Dialogue, Kind, Task, now, play};
use super::{kept, query};
use crate::a2a::{self, ErrorCode, FieldViolation, Message, Part, PartContent, SendMessageParams, TaskState};
use crate::engine;
use crate::limits::MESSAGE_ID_BYTES_MAX;
use crate::plan::Path;
use crate::router::{Act, Decision, Entry, Request, RunRule};

/// Longest id of a context or task that a client may name.
const ID_BYTES_MAX: usize = 512;
/// What routing decided, in a task's metadata.
const ROUTE_EXTENSION: &str = "urn:gantry:a2a:route:v1";

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

/// Hands the message to the step that waits.
async fn answer(
    app: &Arc<App>,
    task: &Arc<Task>,
    run: &crate::ids::RunId,
    message: &Message,
    streaming: bool,
) -> Result<Option<Opened>, Failure> {
    let waiting = task.waiting();
    let (named, answer) = answer_of(message);
    let paths: Vec<Path> = waiting.keys().map(|path| Path::new(path.as_str())).collect();
    let found = engine::waiting_step(&paths, named.as_deref()).and_then(|path| waiting.get_key_value(path.as_str()));
    let Some((path, asked)) = found.map(|(path, asked)| (path.clone(), asked.clone())) else {
        if let Some(name) = &named
            && answer_early(app, task, run, name, &answer, message).await?
        {
            return Ok(streaming.then(|| task.subscribe()));
        }
        if waiting.is_empty() {
            return Err(Failure::new(ErrorCode::UnsupportedOperation, format!("task `{}` is at work and waits for no message", task.id)));
        }
        let names = engine::called(&paths, named.as_deref()).join(", ");
        return Err(Failure::field("message.metadata.step", format!("name the step that this answers, one of: {names}")));
    };
    // The state moves before the answer is given: what follows from the answer must come after it.
    let before = task.record().status;
    task.set_waiting(&path, None);
    let said = task.hear_answer(message.clone());
    task.set_status(TaskState::Working, Vec::new(), now(), Map::new());
    let opened = streaming.then(|| task.subscribe());
    match give(app, run, &path, &answer, message, &said).await {
        Ok(()) => Ok(opened),
        // It was looked at by the step, which waits for another one.
        Err(error @ engine::Error::InvalidInput(_)) => {
            task.set_waiting(&path, Some(asked));
            task.take_back(&said);
            task.ask_again(before, now());
            Err(error.into())
        }
        // Somebody else may have answered, and the run may have gone on: what it waits for now is not known here.
        Err(error) => {
            task.take_back(&said);
            task.doubt();
            Err(error.into())
        }
    }
}

/// The text of a message that is nothing else.
fn only_text(message: &Message) -> Option<&str> {
    match message.parts.as_slice() {
        [Part { content: PartContent::Text(text), .. }] => Some(text),
        _ => None,
    }
}

/// What else a text can be than an object with a text.
fn read_as(text: &str) -> impl Iterator<Item = Value> {
    [Some(Value::String(text.to_owned())), serde_json::from_str(text).ok()].into_iter().flatten()
}

/// Only a task that can leave memory has to be found again.
fn note(app: &App, said: &[Message]) -> Option<Arc<str>> {
    app.engine.is_durable().then(|| kept::said(said)).flatten()
}

/// Gives an answer to a step. A text is an object with a text, unless the step wants something else, which only the engine knows: then
/// it is the text itself, or the JSON that it spells.
async fn give(
    app: &App,
    run: &crate::ids::RunId,
    step: &str,
    answer: &Value,
    message: &Message,
    said: &[Message],
) -> Result<(), engine::Error> {
    let given = |answer: Value| app.engine.answer_noted(run, Some(step), Arc::new(answer), note(app, said));
    let mut outcome = given(answer.clone()).await;
    for other in only_text(message).into_iter().flat_map(read_as) {
        if !matches!(outcome, Err(engine::Error::InvalidInput(_))) {
            break;
        }
        let again = given(other).await;
        // Of several refusals the first is told.
        if !matches!(again, Err(engine::Error::InvalidInput(_))) {
            outcome = again;
        }
    }
    outcome
}

/// Gives an answer to a step that has not asked yet. False when no such step is to come.
async fn answer_early(
    app: &Arc<App>,
    task: &Task,
    run: &crate::ids::RunId,
    step: &str,
    answer: &Value,
    message: &Message,
) -> Result<bool, Failure> {
    let said = task.hear_answer(message.clone());
    let Err(error) = give(app, run, step, answer, message, &said).await else { return Ok(true) };
    task.take_back(&said);
    match error {
        engine::Error::NotWaiting { .. } => Ok(false),
        error => Err(error.into()),
    }
}

/// The step that a message names, and its answer as a value.
fn answer_of(message: &Message) -> (Option<String>, Value) {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let mut named = text(message.metadata.get("step"))
        .or_else(|| text(message.metadata.get(super::tasks::RUN_EXTENSION).and_then(|about| about.get("step"))));
    let mut parts = message.parts.clone();
    if let [Part { content: PartContent::Data(data), .. }] = parts.as_mut_slice()
        && named.is_none()
        && let Some(step) = text(data.get("step"))
    {
        named = Some(step);
        let members = Arc::make_mut(data);
        if let Some(answer) = members.get("answer").or_else(|| members.get("input")).cloned() {
            *members = answer;
        } else if let Value::Object(members) = members {
            members.remove("step");
        }
    }
    let mut answer = a2a::parts_value(parts, a2a::Shape::Any).unwrap_or_else(|| Value::Object(Map::new()));
    a2a::normalize_numbers(&mut answer);
    (named, answer)
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

/// The caller says which workflow is meant, or says more.
async fn converse(
    app: &Arc<App>,
    task: &Arc<Task>,
    message: &Message,
    origin: Origin<'_>,
    dialogue: Dialogue,
) -> Result<Option<Opened>, Failure> {
    let (decision, mut dialogue) = reconsider(app, dialogue, message).await?;
    // What can be refused is, before the task moves.
    let found = match &decision {
        Decision::Run { run, .. } => Some(routed(app, run, &dialogue.text, std::mem::take(&mut dialogue.data)).await?),
        Decision::Respond { .. } | Decision::Reject { .. } | Decision::Ask { .. } => None,
    };
    task.hear(message.clone());
    task.set_status(TaskState::Working, Vec::new(), now(), Map::new());
    let opened = origin.streaming.then(|| task.subscribe());
    match decision {
        Decision::Run { run, reason } => {
            let Some((found, input)) = found else { return Ok(opened) };
            let about = route_metadata(&reason, Some(&run.workflow));
            if let Err(failure) = start::run_on(app, task, origin, found, input, about).await {
                task.set_status(TaskState::InputRequired, vec![Part::text(failure.error.message.clone())], now(), Map::new());
                return Err(failure);
            }
        }
        Decision::Respond { acts, .. } => {
            task.becomes(Kind::Script, Map::new());
            app.spawn(play(Arc::clone(task), acts));
        }
        Decision::Reject { message: refusal, .. } => {
            task.set_status(TaskState::Rejected, vec![Part::text(refusal)], now(), Map::new());
        }
        Decision::Ask { candidates, reason } => {
            dialogue.offered = candidates.iter().map(|candidate| candidate.id.clone()).collect();
            task.becomes(Kind::Dialogue(Box::new(dialogue)), route_metadata(&reason, None));
            task.set_status(TaskState::InputRequired, asked_back(&candidates, &reason), now(), Map::new());
        }
    }
    Ok(opened)
}

/// What was meant, now that more is known: a choice among what was offered, or more words.
pub(super) async fn reconsider(app: &App, mut dialogue: Dialogue, message: &Message) -> Result<(Decision, Dialogue), Failure> {
    let said = ask::words(message);
    if let Some(workflow) = chosen(message, &said, &dialogue.offered) {
        // A choice says nothing about the work itself, so that the request stays what it was.
        let run = RunRule { workflow, input: Map::new(), text_as: None };
        return Ok((Decision::Run { run, reason: "chosen by the caller".to_owned() }, dialogue));
    }
    if dialogue.text.len() + said.len() > app.options.limits.body_bytes_max {
        return Err(Failure::field("message.parts", "with this the request is larger than one may be; choose a workflow by its id"));
    }
    dialogue.text = format!("{}\n{said}", dialogue.text);
    Ok((decide(app, &dialogue.text, message).await?, dialogue))
}

/// A workflow named in a data part, by its id, or by its place in the list that was offered.
fn chosen(message: &Message, said: &str, offered: &[String]) -> Option<String> {
    for part in &message.parts {
        if let PartContent::Data(data) = &part.content
            && let Some(id) = data.get("workflow_id").and_then(Value::as_str)
        {
            return Some(id.to_owned());
        }
    }
    let said = said.trim();
    if let Ok(place) = said.parse::<usize>() {
        return offered.get(place.checked_sub(1)?).cloned();
    }
    offered.iter().find(|id| id.eq_ignore_ascii_case(said)).cloned()
}

pub(super) async fn decide(app: &App, text: &str, message: &Message) -> Result<Decision, Failure> {
    let message = serde_json::to_value(message).unwrap_or_default();
    let request = Request { text, message: &message };
    if let Some(decision) = app.router.by_rule(&request) {
        return Ok(decision);
    }
    let workflows = app.discovery.workflows().await?;
    let entries: Vec<Entry<'_>> = workflows
        .iter()
        .map(|w| Entry { id: &w.id, name: &w.name, description: &w.description, tags: &w.tags, examples: &w.examples })
        .collect();
    let decision = app.router.by_words(&request, &entries);
    tracing::debug!(?decision, "request routed");
    Ok(decision)
}

/// The workflow that a rule or the words chose, and its input.
pub(super) async fn routed(
    app: &App,
    run: &RunRule,
    text: &str,
    data: Map<String, Value>,
) -> Result<(crate::discovery::FoundWorkflow, Value), Failure> {
    let found = app.discovery.workflow(&run.workflow).await?;
    let mut members = data;
    members.extend(run.input.iter().map(|(name, value)| (name.clone(), value.clone())));
    let input = match &run.text_as {
        Some(name) => {
            members.insert(name.clone(), Value::String(text.to_owned()));
            Value::Object(members)
        }
        None => ask::fitted_input(text, members, found.plan.workflow().input.as_deref()),
    };
    Ok((found, input))
}

pub(super) fn route_metadata(reason: &str, workflow: Option<&str>) -> Map<String, Value> {
    Map::from_iter([(ROUTE_EXTENSION.to_owned(), json!({ "reason": reason, "workflow": workflow }))])
}

/// The question as it is sent: for people, and for programs.
pub(super) fn asked_back(candidates: &[crate::router::Candidate], reason: &str) -> Vec<Part> {
    let text = question(candidates);
    let list: Vec<Value> = candidates
        .iter()
        .map(|c| json!({ "workflow_id": c.id, "name": c.name, "description": c.description, "confidence": c.confidence }))
        .collect();
    vec![Part::text(text), Part::data(json!({ "candidates": list, "reason": reason }))]
}

/// What the caller is asked when it is not clear which workflow is meant.
pub(super) fn question(candidates: &[crate::router::Candidate]) -> String {
    if candidates.is_empty() {
        return "There is no workflow here yet that could do this. Push one, or say what else is wanted.".to_owned();
    }
    let mut text = "Which of these do you mean? Answer with its number or id, or say more about what you want.".to_owned();
    for (place, candidate) in candidates.iter().enumerate() {
        text.push_str(&format!("\n{}. {}", place + 1, candidate.id));
        // Without a description the name may say a little more than the id.
        let about =
            [candidate.description.trim(), candidate.name.trim()].into_iter().find(|about| !about.is_empty() && *about != candidate.id);
        if let Some(about) = about {
            text.push_str(&format!(": {about}"));
        }
    }
    text
}
