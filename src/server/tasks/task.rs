//! One task: its record, and the one place where it changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::watch;

use super::follow::AboutRun;
use super::queue::Queue;
use super::signals::{Attention, Signals, Signs};
use super::talk::{belonging, said_by_us};
use super::trouble::Trouble;
use super::unread::Unread;
use crate::a2a::{
    self, Artifact, Message, StreamResponse, TaskArtifactUpdate, TaskPushNotificationConfig, TaskState, TaskStatus, TaskStatusUpdate,
};
use crate::ids::RunId;
use crate::interpreter::{Outcome, Question, Snapshot};
use crate::server::push::Webhooks;
use crate::time::Timestamp;

/// What a new task begins with.
pub(in crate::server) struct NewTask {
    pub(in crate::server) id: String,
    pub(in crate::server) context_id: String,
    pub(in crate::server) caller: Arc<str>,
    pub(in crate::server) kind: Kind,
    pub(in crate::server) history: Vec<Message>,
    /// Of a new run: what its metadata begins with.
    pub(in crate::server) about: Option<AboutRun>,
    pub(in crate::server) metadata: Map<String, Value>,
    /// Since when it is as it is.
    pub(in crate::server) since: Timestamp,
    /// Made anew of what the journal has: what was said since the run began comes with its first snapshot.
    pub(in crate::server) is_remade: bool,
}

/// What drives a task.
#[derive(Debug, Clone)]
pub(in crate::server) enum Kind {
    /// A run.
    Run(RunId),
    /// A script.
    Script,
    /// A question about what is wanted: the request so far.
    Dialogue(Box<Dialogue>),
}

/// A request of which it is not clear yet what it means.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::server) struct Dialogue {
    /// All text said so far.
    pub(in crate::server) text: String,
    /// The data that came along, and the context.
    pub(in crate::server) data: Map<String, Value>,
    /// The ids that were offered, in order.
    pub(in crate::server) offered: Vec<String>,
}

/// A step that waits for an answer.
#[derive(Debug, Clone)]
pub(in crate::server) struct Waiting {
    /// The author's id.
    pub(in crate::server) step: String,
    /// What it asks.
    pub(in crate::server) question: Question,
}

/// Bounds of a task.
#[derive(Debug, Clone, Copy)]
pub(in crate::server) struct Bounds {
    pub(in crate::server) history_max: usize,
    pub(in crate::server) stream_bytes_max: usize,
    pub(in crate::server) stream_age_max: Duration,
}

/// One task. Shared; every change goes through its lock, none across an await.
pub(in crate::server) struct Task {
    pub(in crate::server) id: String,
    pub(in crate::server) context_id: String,
    pub(in crate::server) caller: Arc<str>,
    live: Mutex<Live>,
    /// What others wait for.
    signs: watch::Sender<Signs>,
    pub(super) bounds: Bounds,
    /// Held by the message that the task goes on with.
    turn: tokio::sync::Mutex<()>,
}

pub(super) struct Live {
    pub(super) state: TaskState,
    /// What was said with the state.
    said: Option<Box<Message>>,
    artifacts: Vec<Artifact>,
    pub(super) history: Vec<Message>,
    /// Not yet among the metadata.
    about: Option<AboutRun>,
    metadata: Map<String, Value>,
    /// What its run came to, when nobody watched it: in place of the artifacts.
    unread: Option<Unread>,
    kind: Kind,
    changed_at: Timestamp,
    /// When the newest event of its run happened of which nothing is missing here, where it is known.
    known_upto: Option<Timestamp>,
    /// Messages of the history that are gantry's own, those that it has no more included.
    pub(super) messages_said: u64,
    /// How many messages at the end of the history are in no note of the run.
    pub(super) unkept: usize,
    /// Messages that only those who watched have seen.
    progress_told: u64,
    /// The questions that the state stands for.
    pub(super) asked: Option<Box<Map<String, Value>>>,
    pub(super) is_remade: bool,
    pub(super) waiting: BTreeMap<String, Waiting>,
    /// How its run ended.
    outcome: Option<Outcome>,
    readers: Vec<Arc<Queue>>,
    webhooks: Webhooks,
    /// Since when nothing happens to it: it has ended, or waits for its caller.
    still_since: Option<Instant>,
}

impl Task {
    pub(in crate::server) fn new(new: NewTask, bounds: Bounds) -> Self {
        let NewTask { id, context_id, caller, kind, history, about, metadata, since, is_remade } = new;
        let state = TaskState::Submitted;
        let live = Live {
            state,
            said: None,
            artifacts: Vec::new(),
            messages_said: said_by_us(&history),
            history: history.into_iter().map(|message| belonging(message, &id, &context_id)).collect(),
            about,
            metadata,
            unread: None,
            kind,
            changed_at: since,
            known_upto: None,
            unkept: 0,
            progress_told: 0,
            asked: None,
            is_remade,
            waiting: BTreeMap::new(),
            outcome: None,
            readers: Vec::new(),
            webhooks: Webhooks::default(),
            still_since: None,
        };
        let (signs, _) = watch::channel(Signs { state, attention: Attention::End, is_given_up: false, trouble: None, is_doubted: false });
        Self { id, context_id, caller, live: Mutex::new(live), signs, bounds, turn: tokio::sync::Mutex::default() }
    }

    /// The task as it stands.
    pub(in crate::server) fn record(&self) -> a2a::Task {
        self.read(&mut self.live())
    }

    /// The task without artifacts, its state and when it last changed: what a list sorts by.
    pub(in crate::server) fn state(&self) -> (TaskState, Timestamp) {
        let live = self.live();
        (live.state, live.changed_at)
    }

    /// Whether nothing is missing of what its run's events say up to the one of this moment.
    pub(in crate::server) fn has_all_of(&self, newest: Timestamp) -> bool {
        self.live().known_upto == Some(newest)
    }

    /// Up to the event of this moment nothing of the run is missing.
    pub(in crate::server) fn knows(&self, newest: Timestamp) {
        self.live().known_upto = Some(newest);
    }

    /// Whether anybody sees what happens to it when it happens.
    pub(in crate::server) fn is_watched(&self) -> bool {
        self.live().is_watched()
    }

    pub(in crate::server) fn kind(&self) -> Kind {
        self.live().kind.clone()
    }

    /// The dialogue has found its run, or asks again.
    pub(in crate::server) fn becomes(&self, kind: Kind, metadata: Map<String, Value>) {
        let mut live = self.live();
        if matches!(kind, Kind::Run(_)) {
            // What was said before a run is in the note that it began with.
            live.unkept = 0;
        }
        live.kind = kind;
        live.metadata.extend(metadata);
    }

    /// Waits until no other message is being taken: what one leads to must be seen by the next. It protects no data, so that it may be
    /// held while the engine is asked.
    pub(in crate::server) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Moves to a state. What is said with it is built only when somebody can see it: progress of a run nobody watches
    /// costs nothing. A task that has ended does not move.
    pub(in crate::server) fn progress(&self, at: Timestamp, said: impl FnOnce() -> (String, Map<String, Value>)) {
        let mut live = self.live();
        if live.state.is_terminal() {
            return;
        }
        if !live.is_watched() {
            self.move_to(&mut live, TaskState::Working, None, at);
            return;
        }
        let (text, metadata) = said();
        live.progress_told += 1;
        let message = self.message(format!("{}-p{}", self.id, live.progress_told), vec![a2a::Part::text(text)]);
        self.move_to(&mut live, TaskState::Working, Some(message), at);
        self.tell_status(&mut live, metadata);
    }

    /// Moves to a state, with what is said about it. A task that has ended does not move; false then.
    pub(in crate::server) fn set_status(
        &self,
        state: TaskState,
        parts: Vec<a2a::Part>,
        at: Timestamp,
        metadata: Map<String, Value>,
    ) -> bool {
        self.say(state, parts, Map::new(), at, metadata)
    }

    /// The same, with metadata of the message itself, which stays in the history.
    pub(super) fn say(
        &self,
        state: TaskState,
        parts: Vec<a2a::Part>,
        about: Map<String, Value>,
        at: Timestamp,
        metadata: Map<String, Value>,
    ) -> bool {
        let mut live = self.live();
        if live.state.is_terminal() {
            return false;
        }
        let message = (!parts.is_empty()).then(|| {
            live.messages_said += 1;
            Message { metadata: about, ..self.message(format!("{}-{}", self.id, live.messages_said), parts) }
        });
        if let Some(message) = &message {
            live.remember(message.clone(), self.bounds.history_max);
        }
        self.tell_state(&mut live, state, message, at, metadata);
        true
    }

    pub(super) fn tell_state(
        &self,
        live: &mut Live,
        state: TaskState,
        message: Option<Message>,
        at: Timestamp,
        metadata: Map<String, Value>,
    ) {
        if state.is_terminal() {
            live.waiting.clear();
        }
        self.move_to(live, state, message, at);
        self.tell_status(live, metadata);
        if state.is_terminal() {
            live.readers.drain(..).for_each(|reader| reader.end());
            live.webhooks.finish();
        }
    }

    /// Adds a result, or a piece of one. One that is there already as a whole is not sent again; false then, as for a task that has
    /// ended.
    pub(in crate::server) fn add_artifact(&self, artifact: Artifact, append: bool, last_chunk: bool) -> bool {
        let mut live = self.live();
        if live.state.is_terminal() {
            return false;
        }
        let is_watched = live.is_watched();
        match live.artifacts.iter_mut().find(|known| known.artifact_id == artifact.artifact_id) {
            Some(known) if append => known.parts.extend(artifact.parts.iter().cloned()),
            Some(_) => return false,
            None if !is_watched => {
                live.artifacts.push(artifact);
                return true;
            }
            None => live.artifacts.push(artifact.clone()),
        }
        let update = TaskArtifactUpdate {
            task_id: self.id.clone(),
            context_id: self.context_id.clone(),
            artifact,
            append,
            last_chunk,
            metadata: Map::new(),
        };
        live.tell(StreamResponse::ArtifactUpdate(update));
        true
    }

    /// Somebody wants to see what happens to the run.
    pub(in crate::server) fn want(&self) {
        self.attend(|attention| attention.max(Attention::Wanted));
    }

    /// What others wait for, without keeping the task in memory.
    pub(in crate::server) fn signals(&self) -> Signals {
        Signals(self.signs.subscribe())
    }

    /// The record has everything that has happened, and is kept so.
    pub(in crate::server) fn is_followed(&self) {
        self.attend(|_| Attention::Followed);
    }

    fn attend(&self, closer: impl FnOnce(Attention) -> Attention) {
        self.signs.send_if_modified(|signs| {
            let before = signs.attention;
            signs.attention = closer(before);
            signs.attention != before
        });
    }

    /// Waits until the record has everything that has happened to the run.
    pub(in crate::server) async fn up_to_date(&self) {
        let has_run = matches!(self.live().kind, Kind::Run(_));
        if !has_run || self.state().0.is_terminal() {
            return;
        }
        self.want();
        self.until(|signs| signs.attention == Attention::Followed || signs.state.is_terminal() || signs.trouble.is_some()).await;
    }

    /// Whether the record is kept up with the run.
    pub(in crate::server) fn is_kept_up(&self) -> bool {
        let signs = self.signs.borrow();
        signs.attention == Attention::Followed || signs.state.is_terminal()
    }

    /// How the run ended. None while it has not, or where only the engine knows.
    pub(in crate::server) fn outcome(&self) -> Option<Outcome> {
        let live = self.live();
        let output = || live.unread.as_ref()?.output();
        live.outcome.clone().or_else(|| output().map(|output| Outcome::Completed { output }))
    }

    /// Keeps what an ended run came to until somebody reads it. False when somebody watches, and must be told.
    pub(in crate::server) fn keep_unread(&self, snapshot: &Arc<Snapshot>, step_artifacts_max: usize) -> bool {
        let mut live = self.live();
        let may_wait = !live.is_watched() && live.artifacts.is_empty() && !live.state.is_terminal();
        if may_wait {
            live.unread = Some(Unread::new(Arc::clone(snapshot), step_artifacts_max));
        }
        may_wait
    }

    /// Whoever waited for the end has been told: what the run came to is kept in less memory from now on.
    pub(in crate::server) fn pack(&self) {
        self.live().pack();
    }

    pub(in crate::server) fn set_outcome(&self, outcome: Outcome) {
        self.live().outcome = Some(outcome);
    }

    /// The task as it stands, and a queue of everything after.
    pub(in crate::server) fn subscribe(&self) -> Box<(a2a::Task, Arc<Queue>)> {
        self.want();
        let mut live = self.live();
        let queue = Arc::new(Queue::new(self.bounds.stream_bytes_max, self.bounds.stream_age_max));
        if live.state.is_terminal() {
            queue.end();
        } else if let Some(trouble) = self.trouble() {
            queue.stop(trouble.told());
        } else {
            // Those whose readers have gone are kept by nobody else.
            live.readers.retain(|reader| Arc::strong_count(reader) > 1);
            live.readers.push(Arc::clone(&queue));
        }
        Box::new((self.read(&mut live), queue))
    }

    /// Nothing more is heard of its run.
    pub(in crate::server) fn lose(&self, trouble: Trouble) {
        self.signs.send_modify(|signs| signs.trouble = Some(trouble));
        self.stop_streams(trouble.told());
    }

    pub(in crate::server) fn trouble(&self) -> Option<Trouble> {
        self.signs.borrow().trouble
    }

    /// The run may stand otherwise than the record says: whoever follows it is to look again.
    pub(in crate::server) fn doubt(&self) {
        self.signs.send_modify(|signs| signs.is_doubted = true);
    }

    /// Whoever follows the run looks again.
    pub(in crate::server) fn believe(&self) {
        self.signs.send_modify(|signs| signs.is_doubted = false);
    }

    /// Ends a script or dialogue.
    pub(in crate::server) fn give_up(&self) {
        self.signs.send_modify(|signs| signs.is_given_up = true);
    }

    pub(in crate::server) fn is_given_up(&self) -> bool {
        self.signs.borrow().is_given_up
    }

    /// Waits until a script or dialogue is to end.
    pub(in crate::server) async fn given_up(&self) {
        self.until(|signs| signs.is_given_up).await;
    }

    /// Ends every stream of the task before the task does.
    pub(in crate::server) fn stop_streams(&self, why: &'static str) {
        self.live().readers.drain(..).for_each(|reader| reader.stop(why));
    }

    /// Waits until the task has ended or waits for its caller.
    pub(in crate::server) async fn settled(&self) {
        self.until(|signs| signs.state.is_terminal() || signs.state.is_interrupted() || signs.trouble.is_some()).await;
    }

    /// Waits until the task has ended.
    pub(in crate::server) async fn ended(&self) {
        self.until(|signs| signs.state.is_terminal()).await;
    }

    async fn until(&self, holds: impl FnMut(&Signs) -> bool) {
        // The sender lives in `self`, so that it cannot be gone.
        let _ = self.signs.subscribe().wait_for(holds).await;
    }

    /// Whether nothing has happened to it for so long that it may leave memory: all of it is in the journal of its run, which has the
    /// same id. `rests`: whether a run waits for people or timers alone.
    pub(in crate::server) fn may_leave(&self, after: Duration, now: Instant, rests: impl FnOnce(&RunId) -> bool) -> bool {
        let mut live = self.live();
        // Those whose readers have gone are kept by nobody else.
        live.readers.retain(|reader| Arc::strong_count(reader) > 1);
        let Kind::Run(run) = &live.kind else { return false };
        if run.as_str() != self.id || live.is_watched() {
            return false;
        }
        match live.still_since {
            Some(since) => now.saturating_duration_since(since) >= after,
            // A run rests when it has waited for a while.
            None => rests(run),
        }
    }

    /// Works on the webhooks of the task.
    pub(in crate::server) fn with_webhooks<T>(&self, work: impl FnOnce(&mut Webhooks) -> T) -> T {
        work(&mut self.live().webhooks)
    }

    /// The webhooks, for reading.
    pub(in crate::server) fn push_configs(&self) -> Vec<TaskPushNotificationConfig> {
        self.live().webhooks.configs()
    }

    fn message(&self, message_id: String, parts: Vec<a2a::Part>) -> Message {
        Message {
            message_id,
            context_id: Some(self.context_id.clone()),
            task_id: Some(self.id.clone()),
            role: a2a::Role::Agent,
            parts,
            ..Message::default()
        }
    }

    fn move_to(&self, live: &mut Live, state: TaskState, message: Option<Message>, at: Timestamp) {
        // Timestamps never go backwards within a task, whatever the clock does.
        live.changed_at = live.changed_at.max(at);
        (live.state, live.said) = (state, message.map(Box::new));
        live.asked = None;
        live.still_since = (state.is_terminal() || state.is_interrupted()).then(Instant::now);
        self.signs.send_if_modified(|signs| std::mem::replace(&mut signs.state, state) != state);
    }

    fn tell_status(&self, live: &mut Live, metadata: Map<String, Value>) {
        if !live.is_watched() {
            return;
        }
        let update = TaskStatusUpdate { task_id: self.id.clone(), context_id: self.context_id.clone(), status: live.status(), metadata };
        live.tell(StreamResponse::StatusUpdate(update));
    }

    /// The record, with everything in it.
    fn read(&self, live: &mut Live) -> a2a::Task {
        if let Some(about) = live.about.take() {
            let later = std::mem::replace(&mut live.metadata, about.metadata());
            live.metadata.extend(later);
        }
        a2a::Task {
            id: self.id.clone(),
            context_id: self.context_id.clone(),
            status: live.status(),
            artifacts: live.artifacts(),
            history: live.history.clone(),
            metadata: live.metadata.clone(),
        }
    }

    pub(super) fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    fn pack(&mut self) {
        if let Some(packed) = self.unread.as_ref().and_then(Unread::packed) {
            (self.unread, self.outcome) = (Some(packed), None);
        }
    }

    /// The artifacts, which somebody reads. What cannot be packed is kept as these from now on, and no longer as what the engine said.
    fn artifacts(&mut self) -> Vec<Artifact> {
        let Some(unread) = &self.unread else { return self.artifacts.clone() };
        let artifacts = unread.artifacts();
        self.pack();
        if self.unread.as_ref().is_some_and(|unread| !unread.is_packed()) {
            (self.artifacts, self.unread) = (artifacts.clone(), None);
        }
        artifacts
    }

    fn status(&self) -> TaskStatus {
        TaskStatus { state: self.state, message: self.said.as_deref().cloned(), timestamp: Some(self.changed_at.to_string()) }
    }

    fn is_watched(&self) -> bool {
        !self.readers.is_empty() || !self.webhooks.is_empty()
    }

    fn tell(&mut self, event: StreamResponse) {
        if !self.is_watched() {
            return;
        }
        let bytes = serde_json::to_vec(&event).map_or(0, |json| json.len());
        let event = Arc::new(event);
        self.readers.retain(|reader| reader.push(&event, bytes));
        self.webhooks.notify(&event);
    }
}

/// The wall clock. Timers never use it.
pub(in crate::server) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
