//! The tasks of one sample agent: made by a message, run to an end, kept for a while.
//!
//! Bounded in number and in bytes; the oldest ended ones are forgotten first. A client that goes away does not stop its task.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::skill::SkillError;
use crate::a2a::{Artifact, Message, Part, Task, TaskState, TaskStatus};
use crate::limits;
use crate::time::Timestamp;

/// One task and whoever watches it.
pub(super) struct Entry {
    message_id: String,
    size_bytes: usize,
    cancel: CancellationToken,
    task: watch::Sender<Arc<Task>>,
}

impl Entry {
    /// The task as it is now.
    pub(super) fn task(&self) -> Arc<Task> {
        self.task.borrow().clone()
    }

    /// The task now and after each change.
    pub(super) fn watch(&self) -> watch::Receiver<Arc<Task>> {
        self.task.subscribe()
    }

    /// The task once nothing more will happen to it.
    pub(super) async fn ended(&self) -> Arc<Task> {
        let mut watched = self.watch();
        let ended = watched.wait_for(|task| task.status.state.is_terminal()).await.map(|task| task.clone());
        ended.unwrap_or_else(|_| self.task())
    }

    /// Ends the task, unless it has ended. Whether this call did it.
    pub(super) fn end(&self, state: TaskState, text: Option<String>, result: Option<Value>) -> bool {
        self.task.send_if_modified(|task| {
            if task.status.state.is_terminal() {
                return false;
            }
            let mut ended = Task::clone(task);
            let message = text.map(|text| Message {
                task_id: Some(ended.id.clone()),
                context_id: Some(ended.context_id.clone()),
                ..Message::agent_text(format!("{}-end", ended.id), text)
            });
            ended.status = TaskStatus { state, message, timestamp: Some(now()) };
            ended.artifacts = result
                .map(|value| Artifact {
                    artifact_id: "result".to_owned(),
                    name: Some("result".to_owned()),
                    parts: vec![Part::data(value)],
                    ..Artifact::default()
                })
                .into_iter()
                .collect();
            *task = Arc::new(ended);
            true
        })
    }

    /// Stops the work and ends the task as canceled. Whether it was still running.
    pub(super) fn cancel(&self) -> bool {
        let canceled = self.end(TaskState::Canceled, Some("canceled by the caller".to_owned()), None);
        self.cancel.cancel();
        canceled
    }
}

/// What a message led to.
pub(super) enum Begun {
    /// A new task, whose work is to be started.
    New(Arc<Entry>),
    /// The task that the same message made before.
    Known(Arc<Entry>),
}

#[derive(Default)]
struct Kept {
    by_id: HashMap<String, Arc<Entry>>,
    by_message: HashMap<String, String>,
    order: VecDeque<String>,
    size_bytes: usize,
}

/// The tasks of one agent.
pub(super) struct Tasks {
    kept: Mutex<Kept>,
    running: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// No tasks yet. Work is tracked by `running` and stopped by `stop`.
    pub(super) fn new(running: TaskTracker, stop: CancellationToken) -> Self {
        Self { kept: Mutex::default(), running, stop }
    }

    /// The task for a message: the same `message_id` always gets the same task, as long as that is remembered.
    /// `None` if there is no room because too many tasks are running.
    pub(super) fn begin(&self, message_id: &str, context_id: Option<String>, size_bytes: usize) -> Option<Begun> {
        let mut kept = self.lock();
        if let Some(known) = kept.by_message.get(message_id).and_then(|id| kept.by_id.get(id)) {
            return Some(Begun::Known(known.clone()));
        }
        while kept.order.len() >= limits::SAMPLE_TASKS_KEPT || kept.size_bytes + size_bytes > limits::SAMPLE_TASKS_BYTES_KEPT {
            kept.forget_oldest_ended()?;
        }
        let id = uuid::Uuid::now_v7().to_string();
        let task = Task {
            id: id.clone(),
            context_id: context_id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string()),
            status: TaskStatus { state: TaskState::Working, message: None, timestamp: Some(now()) },
            ..Task::default()
        };
        let entry = Arc::new(Entry {
            message_id: message_id.to_owned(),
            size_bytes,
            cancel: self.stop.child_token(),
            task: watch::Sender::new(Arc::new(task)),
        });
        kept.by_message.insert(message_id.to_owned(), id.clone());
        kept.order.push_back(id.clone());
        kept.size_bytes += size_bytes;
        kept.by_id.insert(id, entry.clone());
        Some(Begun::New(entry))
    }

    /// Starts the work of a new task. Its future is dropped on cancel.
    pub(super) fn work(&self, entry: Arc<Entry>, work: impl Future<Output = Result<Value, SkillError>> + Send + 'static) {
        self.running.spawn(async move {
            tokio::select! {
                () = entry.cancel.cancelled() => entry.end(TaskState::Canceled, Some("the agent shuts down".to_owned()), None),
                outcome = work => match outcome {
                    Ok(result) => entry.end(TaskState::Completed, None, Some(result)),
                    Err(error) => entry.end(TaskState::Failed, Some(error.to_string()), None),
                },
            }
        });
    }

    /// The task with this id.
    pub(super) fn find(&self, id: &str) -> Option<Arc<Entry>> {
        self.lock().by_id.get(id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Nothing panics while it is held; should that change, the maps are still whole enough to go on.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn forget_oldest_ended(&mut self) -> Option<()> {
        let has_ended = |id: &String| self.by_id.get(id).is_none_or(|entry| entry.task.borrow().status.state.is_terminal());
        let place = self.order.iter().position(has_ended)?;
        let id = self.order.remove(place)?;
        if let Some(entry) = self.by_id.remove(&id) {
            self.by_message.remove(&entry.message_id);
            self.size_bytes -= entry.size_bytes;
        }
        Some(())
    }
}

fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks() -> Tasks {
        Tasks::new(TaskTracker::new(), CancellationToken::new())
    }

    fn begin(tasks: &Tasks, message_id: &str, size_bytes: usize) -> Option<(Arc<Entry>, bool)> {
        Some(match tasks.begin(message_id, None, size_bytes)? {
            Begun::New(entry) => (entry, true),
            Begun::Known(entry) => (entry, false),
        })
    }

    #[test]
    fn a_repeated_message_gets_its_task_and_another_one_a_new_task() {
        let tasks = tasks();
        let (first, new) = begin(&tasks, "m1", 1).unwrap();
        assert!(new);
        let (again, new) = begin(&tasks, "m1", 1).unwrap();
        assert!(!new && again.task().id == first.task().id);
        assert_ne!(begin(&tasks, "m2", 1).unwrap().0.task().id, first.task().id);
    }

    #[test]
    fn ended_tasks_make_room_and_running_ones_do_not() {
        let tasks = tasks();
        let entries: Vec<_> = (0..limits::SAMPLE_TASKS_KEPT).map(|n| begin(&tasks, &format!("m{n}"), 1).unwrap().0).collect();
        assert!(tasks.begin("more", None, 1).is_none());
        let ended = entries[7].task().id.clone();
        assert!(entries[7].end(TaskState::Completed, None, None));
        assert!(begin(&tasks, "more", 1).unwrap().1);
        assert!(tasks.find(&ended).is_none());
        // Its message is forgotten with it.
        entries[0].cancel();
        assert!(begin(&tasks, "m7", 1).unwrap().1);
    }

    #[test]
    fn tasks_are_bounded_in_bytes() {
        let tasks = tasks();
        let half = limits::SAMPLE_TASKS_BYTES_KEPT / 2;
        let (first, _) = begin(&tasks, "m1", half).unwrap();
        begin(&tasks, "m2", half).unwrap();
        assert!(tasks.begin("m3", None, 1).is_none());
        first.cancel();
        assert!(begin(&tasks, "m3", 1).unwrap().1);
    }

    #[test]
    fn a_task_ends_once() {
        let (entry, _) = begin(&tasks(), "m", 1).unwrap();
        assert!(entry.end(TaskState::Completed, None, Some(Value::Bool(true))));
        assert!(!entry.cancel() && !entry.end(TaskState::Failed, None, None));
        assert_eq!((entry.task().status.state, entry.task().artifacts.len()), (TaskState::Completed, 1));
    }
}
