//! What is known of a remote task while a call waits for it.

use super::call::{Progress, Remote};
use super::endpoint::Endpoint;
use super::error::{ErrorKind, Failure, clip};
use crate::a2a::{Artifact, Message, Part, PartContent, StreamResponse, Task, TaskArtifactUpdate, TaskStatus};

/// Most artifacts of one task. Real ones have a few.
const ARTIFACTS_MAX: usize = 1_000;

/// The task as far as it is known. Dropped before the task has settled, it tells the agent to cancel it.
pub(super) struct Watch<'a> {
    endpoint: &'a Endpoint,
    on_progress: &'a mut (dyn FnMut(Progress) + Send),
    task: Option<Task>,
    /// The size of each artifact on the wire, in the order of the task's.
    sizes: Vec<usize>,
    /// Everything the task has was seen: all events since its start, or all since a snapshot.
    complete: bool,
    streamed: bool,
    armed: bool,
    last_said: String,
}

impl<'a> Watch<'a> {
    /// A call that answers a question knows its task from the start.
    pub(super) fn new(endpoint: &'a Endpoint, resume: Option<&Remote>, on_progress: &'a mut (dyn FnMut(Progress) + Send)) -> Self {
        let task = resume.map(|remote| Task { id: remote.task_id.clone(), context_id: remote.context_id.clone(), ..Task::default() });
        Self { endpoint, on_progress, task, sizes: Vec::new(), complete: true, streamed: false, armed: true, last_said: String::new() }
    }

    pub(super) fn task_id(&self) -> Option<&str> {
        self.task.as_ref().map(|task| task.id.as_str()).filter(|id| !id.is_empty())
    }

    pub(super) fn is_settled(&self) -> bool {
        self.task.as_ref().is_some_and(|task| task.status.state.is_terminal() || task.status.state.is_interrupted())
    }

    /// Whether the task's results are all here. A stream that ends well without any may have lost them on the way.
    pub(super) fn is_complete(&self) -> bool {
        let is_empty = |task: &Task| task.artifacts.is_empty() && task.status.message.is_none();
        self.complete && !(self.streamed && self.task.as_ref().is_some_and(is_empty))
    }

    /// A stream begins: with the task itself, or in the middle of it.
    pub(super) fn begin_stream(&mut self, at_start: bool) {
        self.complete = at_start;
        self.streamed = true;
    }

    /// The call has its answer, or must leave the task alone.
    pub(super) fn disarm(&mut self) {
        self.armed = false;
    }

    /// The task, once settled.
    pub(super) fn take(&mut self) -> Task {
        self.armed = false;
        self.task.take().unwrap_or_default()
    }

    /// The whole task, as it is now. `bytes` is its size on the wire.
    pub(super) fn snapshot(&mut self, task: Task, bytes: usize) -> Result<(), Failure> {
        self.expect(&task.id)?;
        if task.artifacts.len() > ARTIFACTS_MAX {
            return Err(too_many());
        }
        self.sizes = vec![0; task.artifacts.len()];
        if let Some(first) = self.sizes.first_mut() {
            *first = bytes;
        }
        self.complete = true;
        self.news(&task.id, &task.context_id, &task.status);
        self.task = Some(task);
        Ok(())
    }

    /// One event of a stream. A message is the answer itself.
    pub(super) fn apply(&mut self, event: StreamResponse, bytes: usize) -> Result<Option<Message>, Failure> {
        match event {
            StreamResponse::Message(message) => return Ok(Some(message)),
            StreamResponse::Task(task) => self.snapshot(task, bytes)?,
            StreamResponse::StatusUpdate(update) => {
                self.expect(&update.task_id)?;
                self.news(&update.task_id, &update.context_id, &update.status);
                self.known(update.task_id, update.context_id).status = update.status;
            }
            StreamResponse::ArtifactUpdate(update) => {
                self.expect(&update.task_id)?;
                self.news(&update.task_id, &update.context_id, &TaskStatus::default());
                self.artifact(update, bytes)?;
            }
        }
        Ok(None)
    }

    fn artifact(&mut self, update: TaskArtifactUpdate, bytes: usize) -> Result<(), Failure> {
        let bytes_max = self.endpoint.http.reply_bytes_max;
        let TaskArtifactUpdate { task_id, context_id, artifact, append, .. } = update;
        let artifacts = &mut self.known(task_id, context_id).artifacts;
        let at = artifacts.iter().position(|known| known.artifact_id == artifact.artifact_id);
        match at {
            Some(at) if append => extend(&mut artifacts[at], artifact),
            Some(at) => artifacts[at] = artifact,
            None if artifacts.len() >= ARTIFACTS_MAX => return Err(too_many()),
            None => artifacts.push(artifact),
        }
        match at {
            Some(at) if append => self.sizes[at] += bytes,
            Some(at) => self.sizes[at] = bytes,
            None => self.sizes.push(bytes),
        }
        if self.sizes.iter().sum::<usize>() > bytes_max {
            return Err(Failure::new(ErrorKind::TooLarge, format!("its artifacts are larger than {bytes_max} bytes")));
        }
        Ok(())
    }

    fn known(&mut self, task_id: String, context_id: String) -> &mut Task {
        self.task.get_or_insert_with(|| Task { id: task_id, context_id, ..Task::default() })
    }

    /// Refuses news of another task.
    fn expect(&self, task_id: &str) -> Result<(), Failure> {
        match &self.task {
            Some(task) if task.id != task_id => Err(Failure::invalid("the answer is about another task")),
            None if task_id.is_empty() => Err(Failure::invalid("the answer is a task without an id")),
            Some(_) | None => Ok(()),
        }
    }

    fn news(&mut self, task_id: &str, context_id: &str, status: &TaskStatus) {
        if self.task.is_none() {
            let remote = Remote { task_id: task_id.to_owned(), context_id: context_id.to_owned() };
            (self.on_progress)(Progress::Task(remote));
        }
        let said = status.message.as_ref().map(|message| clip(&self.endpoint.hide(message.text().trim()))).unwrap_or_default();
        if !said.is_empty() && !status.state.is_terminal() && said != self.last_said {
            (self.on_progress)(Progress::Status(said.clone()));
            self.last_said = said;
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if self.armed
            && !self.is_settled()
            && let Some(task_id) = self.task_id().map(str::to_owned)
        {
            self.endpoint.cancel_later(task_id);
        }
    }
}

/// More parts for an artifact. Text that goes on where text ended is one text.
fn extend(artifact: &mut Artifact, more: Artifact) {
    let mut parts = more.parts.into_iter();
    if let Some(Part { content: PartContent::Text(text), .. }) = artifact.parts.last_mut() {
        match parts.next() {
            Some(Part { content: PartContent::Text(next), filename: None, metadata, .. }) if metadata.is_empty() => text.push_str(&next),
            next => artifact.parts.extend(next),
        }
    }
    artifact.parts.extend(parts);
}

fn too_many() -> Failure {
    Failure::new(ErrorKind::TooLarge, format!("its task has more than {ARTIFACTS_MAX} artifacts"))
}
