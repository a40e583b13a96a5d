//! Messages that answer a step which waits, or is to wait.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::error::Failure;
use super::kept;
use super::start::Opened;
use super::state::App;
use super::tasks::{RUN_EXTENSION, Task, now};
use crate::a2a::{self, ErrorCode, Message, Part, PartContent, TaskState};
use crate::engine;
use crate::ids::RunId;
use crate::plan::Path;

/// Hands the message to the step that waits.
pub(super) async fn answer(
    app: &Arc<App>,
    task: &Arc<Task>,
    run: &RunId,
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
async fn give(app: &App, run: &RunId, step: &str, answer: &Value, message: &Message, said: &[Message]) -> Result<(), engine::Error> {
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
async fn answer_early(app: &Arc<App>, task: &Task, run: &RunId, step: &str, answer: &Value, message: &Message) -> Result<bool, Failure> {
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
    let mut named =
        text(message.metadata.get("step")).or_else(|| text(message.metadata.get(RUN_EXTENSION).and_then(|about| about.get("step"))));
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
