//! What is said on a task, by its caller and by the steps that ask, and which steps wait for an answer.
//!
//! The history is kept in the journal in pieces: what was said before a run with its start, all later messages with the answer that they
//! lead to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::task::{Live, Task, Waiting};
use crate::a2a::{self, Message, TaskState, TaskStatus};
use crate::time::Timestamp;

impl Task {
    /// The steps that wait for an answer, by path.
    pub(in crate::server) fn waiting(&self) -> BTreeMap<String, Waiting> {
        self.live().waiting.clone()
    }

    /// A step waits, or no longer does. Returns whether any waits afterwards.
    pub(in crate::server) fn set_waiting(&self, path: &str, waiting: Option<Waiting>) -> bool {
        let mut live = self.live();
        match waiting {
            Some(waiting) => live.waiting.insert(path.to_owned(), waiting),
            None => live.waiting.remove(path),
        };
        !live.waiting.is_empty()
    }

    /// Of the steps that waited, only these still do.
    pub(in crate::server) fn wait_only_for(&self, paths: &BTreeSet<&str>) {
        self.live().waiting.retain(|path, _| paths.contains(path.as_str()));
    }

    /// Keeps a message of the caller.
    pub(in crate::server) fn hear(&self, message: Message) {
        let message = belonging(message, &self.id, &self.context_id);
        self.live().remember(message, self.bounds.history_max);
    }

    /// What was said since the run began, as the notes of its answers have it: in a task that was made anew, once. Nobody has said
    /// anything to that before.
    pub(in crate::server) fn recall(&self, notes: &[Arc<str>]) {
        let mut live = self.live();
        if !std::mem::take(&mut live.is_remade) {
            return;
        }
        // Written by gantry; what an earlier or later version wrote differently is left out.
        for message in notes.iter().flat_map(|note| serde_json::from_str::<Vec<Message>>(note).unwrap_or_default()) {
            live.messages_said += u64::from(message.role == a2a::Role::Agent);
            live.remember(belonging(message, &self.id, &self.context_id), self.bounds.history_max);
        }
        live.unkept = 0;
    }

    /// Keeps a message of the caller that answers a step, and gives all that was said and is in no note of the run yet.
    pub(in crate::server) fn hear_answer(&self, message: Message) -> Vec<Message> {
        let message = belonging(message, &self.id, &self.context_id);
        let mut live = self.live();
        live.remember(message, self.bounds.history_max);
        let from = live.history.len().saturating_sub(std::mem::take(&mut live.unkept));
        live.history[from..].to_vec()
    }

    /// The answer was refused: it has not been said. `said`: what [`hear_answer`](Self::hear_answer) gave.
    pub(in crate::server) fn take_back(&self, said: &[Message]) {
        let mut live = self.live();
        let Some((refused, before)) = said.split_last() else { return };
        if let Some(at) = live.history.iter().rposition(|message| message == refused) {
            live.history.remove(at);
        }
        live.unkept = before.len();
    }

    /// Steps of the run ask. What they ask already is not said again. `about`: metadata of the message.
    pub(in crate::server) fn ask(
        &self,
        state: TaskState,
        parts: Vec<a2a::Part>,
        about: Map<String, Value>,
        at: Timestamp,
        metadata: Map<String, Value>,
    ) {
        let is_asked = {
            let live = self.live();
            live.state == state && live.asked.as_deref() == Some(&metadata)
        };
        if !is_asked && self.say(state, parts, about, at, metadata.clone()) {
            self.live().asked = Some(Box::new(metadata));
        }
    }

    /// Back to what the task asked, as it asked it: an answer was refused.
    pub(in crate::server) fn ask_again(&self, status: TaskStatus, at: Timestamp) {
        let mut live = self.live();
        if !live.state.is_terminal() {
            self.tell_state(&mut live, status.state, status.message, at, Map::new());
        }
    }
}

impl Live {
    pub(super) fn remember(&mut self, message: Message, history_max: usize) {
        let history = &mut self.history;
        if history.len() >= history_max {
            history.remove(0);
        }
        history.push(message.compact());
        self.unkept = (self.unkept + 1).min(history_max);
    }
}

/// How many of the messages are ours.
pub(super) fn said_by_us(history: &[Message]) -> u64 {
    history.iter().filter(|message| message.role == a2a::Role::Agent).count() as u64
}

/// A message as a part of a task.
pub(in crate::server) fn belonging(mut message: Message, task_id: &str, context_id: &str) -> Message {
    message.task_id = Some(task_id.to_owned());
    message.context_id = Some(context_id.to_owned());
    message
}
