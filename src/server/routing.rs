//! Requests in words: which workflow is meant, and the talk with a caller about it.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::ask;
use super::error::Failure;
use super::start::{self, Opened, Origin};
use super::state::App;
use super::tasks::{Dialogue, Kind, Task, now, play};
use crate::a2a::{Message, Part, PartContent, TaskState};
use crate::discovery::FoundWorkflow;
use crate::router::{Candidate, Decision, Entry, Request, RunRule};

/// What routing decided, in a task's metadata.
const ROUTE_EXTENSION: &str = "urn:gantry:a2a:route:v1";

/// The caller says which workflow is meant, or says more.
pub(super) async fn converse(
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
pub(super) async fn routed(app: &App, run: &RunRule, text: &str, data: Map<String, Value>) -> Result<(FoundWorkflow, Value), Failure> {
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
pub(super) fn asked_back(candidates: &[Candidate], reason: &str) -> Vec<Part> {
    let text = question(candidates);
    let list: Vec<Value> = candidates
        .iter()
        .map(|c| json!({ "workflow_id": c.id, "name": c.name, "description": c.description, "confidence": c.confidence }))
        .collect();
    vec![Part::text(text), Part::data(json!({ "candidates": list, "reason": reason }))]
}

/// What the caller is asked when it is not clear which workflow is meant.
pub(super) fn question(candidates: &[Candidate]) -> String {
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
