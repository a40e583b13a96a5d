//! What the labels and notes of a run keep of its task, so that the task can be made anew from the journal: after a restart, and when it
//! has left memory.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::auth::Caller;
use super::tasks::{Kind, NewTask, RUN_EXTENSION, belonging};
use crate::a2a::{self, Message, TaskState, TaskStatus};
use crate::engine::RunSummary;
use crate::interpreter::RunStatus;

/// Whose task it is.
pub(super) const CALLER: &str = "a2a.caller";
/// Its context.
pub(super) const CONTEXT: &str = "a2a.context";
/// Its id, where that is not the run's: as earlier versions made it for a request that was asked back.
pub(super) const TASK: &str = "a2a.task";
/// Largest text of what was said that is kept with a run. What is larger is most likely the run's input, which is in the journal already.
const ORIGIN_BYTES_MAX: usize = 4 * 1024;

#[derive(Serialize)]
struct Origin<'a> {
    history: &'a [Message],
    choice: &'a str,
    metadata: &'a Map<String, Value>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Kept {
    history: Vec<Message>,
    choice: Option<String>,
    metadata: Map<String, Value>,
}

/// The labels of a run that begins as a task.
pub(super) fn labels(caller: &Caller, context_id: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(CALLER.to_owned(), caller.to_string()), (CONTEXT.to_owned(), context_id.to_owned())])
}

/// The note of a run that begins as a task: what was said before it, and what the task's metadata says beside it.
pub(super) fn note(history: &[Message], choice: &str, metadata: &Map<String, Value>) -> Option<String> {
    let within = |history| written(&Origin { history, choice, metadata }, ORIGIN_BYTES_MAX);
    within(history).or_else(|| within(&[]))
}

/// The note of an answer: what was said up to it and is in no other note. What is too large is left out, the answer first.
pub(super) fn said(messages: &[Message]) -> Option<Arc<str>> {
    let without_answer = messages.split_last().map_or(messages, |(_, before)| before);
    written(&messages, ORIGIN_BYTES_MAX).or_else(|| written(&without_answer, ORIGIN_BYTES_MAX)).map(Arc::from)
}

/// As JSON. None when it is too large. A large value is not written only to find that out.
pub(super) fn written(value: &impl Serialize, bytes_max: usize) -> Option<String> {
    struct Bounded(Vec<u8>, usize);
    impl Write for Bounded {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0.len() + bytes.len() > self.1 {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            self.0.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut text = Bounded(Vec::with_capacity(512), bytes_max);
    serde_json::to_writer(&mut text, value).ok()?;
    String::from_utf8(text.0).ok()
}

/// The id of the task of a run; none for a run that is nobody's task.
pub(super) fn task_id(summary: &RunSummary) -> Option<String> {
    summary.labels.contains_key(CALLER).then(|| summary.labels.get(TASK).cloned().unwrap_or_else(|| summary.run.to_string()))
}

/// The task of a run; none for a run that is nobody's task.
pub(super) fn task(summary: &RunSummary) -> Option<NewTask> {
    let label = |name: &str| summary.labels.get(name);
    let about = json!({ "run": summary.run, "workflow": summary.workflow, "version": summary.version, "digest": summary.digest });
    let mut metadata = Map::from_iter([(RUN_EXTENSION.to_owned(), about)]);
    // Written by gantry; what an earlier or later version wrote differently is left out.
    let kept: Kept = summary.note.as_ref().and_then(|note| serde_json::from_str(note).ok()).unwrap_or_default();
    if let Some(choice) = kept.choice {
        metadata[RUN_EXTENSION]["choice"] = Value::from(choice);
    }
    metadata.extend(kept.metadata);
    Some(NewTask {
        id: task_id(summary)?,
        context_id: label(CONTEXT).cloned().unwrap_or_default(),
        caller: Caller::from(label(CALLER)?.as_str()),
        kind: Kind::Run(summary.run.clone()),
        history: kept.history,
        about: None,
        metadata,
        since: summary.started_at,
        is_remade: true,
    })
}

/// The state that a run's line says, as far as it says it.
pub(super) fn state(run: &RunSummary) -> TaskState {
    match run.status {
        RunStatus::Running => TaskState::Working,
        RunStatus::InputRequired if run.asks_access => TaskState::AuthRequired,
        RunStatus::InputRequired => TaskState::InputRequired,
        RunStatus::Completed => TaskState::Completed,
        RunStatus::Failed => TaskState::Failed,
        RunStatus::Canceled => TaskState::Canceled,
    }
}

/// The record of the task of a run, as far as it can be told without the run's events: without artifacts, and without what was said last.
pub(super) fn record(summary: &RunSummary) -> Option<a2a::Task> {
    let NewTask { id, context_id, history, metadata, .. } = task(summary)?;
    let history = history.into_iter().map(|message| belonging(message, &id, &context_id)).collect();
    let status = TaskStatus { state: state(summary), message: None, timestamp: Some(summary.changed_at.to_string()) };
    Some(a2a::Task { id, context_id, status, artifacts: Vec::new(), history, metadata })
}
