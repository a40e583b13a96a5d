//! The tasks of every caller, in memory and bounded. A task of another caller is not there.
//!
//! What must outlive the process is in the runs' journals (caller and context are labels of the run); a task that is not here
//! but whose run the engine knows is made anew from it, see `query`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::task::{Bounds, NewTask, Task};

/// So many tasks are a crowd.
const CROWD: usize = 2_000;
/// How long an ended task stays in a crowd.
pub(in crate::server) const CROWDED_STAY: Duration = Duration::from_secs(1);

/// Every task.
pub(in crate::server) struct Store {
    tasks: Mutex<HashMap<String, Arc<Task>>>,
    tasks_max: usize,
    bounds: Bounds,
}

impl Store {
    pub(in crate::server) fn new(tasks_max: usize, bounds: Bounds) -> Self {
        Self { tasks: Mutex::default(), tasks_max: tasks_max.max(1), bounds }
    }

    /// Adds a task, unless there is one with its id: then that one, and false.
    pub(in crate::server) fn add(&self, new: NewTask) -> (Arc<Task>, bool) {
        let mut tasks = self.tasks();
        if let Some(known) = tasks.get(&new.id) {
            return (Arc::clone(known), false);
        }
        if tasks.len() >= self.tasks_max {
            make_room(&mut tasks, self.tasks_max);
        }
        let task = Arc::new(Task::new(new, self.bounds));
        tasks.insert(task.id.clone(), Arc::clone(&task));
        (task, true)
    }

    /// A task within the same bounds that is in no list, and gone when it is dropped.
    pub(in crate::server) fn unlisted(&self, new: NewTask) -> Arc<Task> {
        Arc::new(Task::new(new, self.bounds))
    }

    /// The caller's task.
    pub(in crate::server) fn get(&self, caller: &str, id: &str) -> Option<Arc<Task>> {
        self.tasks().get(id).filter(|task| &*task.caller == caller).cloned()
    }

    /// Forgets a task, unless another has taken its place.
    pub(in crate::server) fn remove(&self, task: &Arc<Task>) {
        let mut tasks = self.tasks();
        if tasks.get(&task.id).is_some_and(|known| Arc::ptr_eq(known, task)) {
            tasks.remove(&task.id);
        }
    }

    /// Every task of the caller.
    pub(in crate::server) fn of(&self, caller: &str) -> Vec<Arc<Task>> {
        self.tasks().values().filter(|task| &*task.caller == caller).cloned().collect()
    }

    /// Every task.
    pub(in crate::server) fn all(&self) -> Vec<Arc<Task>> {
        self.tasks().values().cloned().collect()
    }

    /// Forgets the tasks that ended so long ago and that nobody holds, in a crowd sooner. They are made anew when somebody asks for them.
    pub(in crate::server) fn leave(&self, after: Duration, now: Instant) -> Vec<Arc<Task>> {
        let mut tasks = self.tasks();
        let after = if tasks.len() > CROWD { after.min(CROWDED_STAY) } else { after };
        let left: Vec<_> =
            tasks.extract_if(|_, task| Arc::strong_count(task) == 1 && task.may_leave(after, now)).map(|(_, task)| task).collect();
        if tasks.len() < tasks.capacity() / 4 {
            tasks.shrink_to_fit();
        }
        left
    }

    fn tasks(&self) -> MutexGuard<'_, HashMap<String, Arc<Task>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets the oldest tenth of those that have ended. Tasks under way stay: the engine bounds them.
fn make_room(tasks: &mut HashMap<String, Arc<Task>>, tasks_max: usize) {
    let mut ended: Vec<_> =
        tasks.values().map(|task| (task.state(), task.id.clone())).filter(|((state, _), _)| state.is_terminal()).collect();
    ended.sort_by_key(|((_, changed_at), _)| *changed_at);
    for (_, id) in ended.into_iter().take(tasks_max.div_ceil(10)) {
        tasks.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::super::task::{Kind, now};
    use super::*;
    use crate::a2a::TaskState;
    use crate::ids::RunId;
    use serde_json::Map;

    fn store() -> Store {
        Store::new(10_000, Bounds { history_max: 1, stream_bytes_max: 1024, stream_age_max: Duration::from_secs(1) })
    }

    fn add(store: &Store, id: &str, kind: Kind, state: TaskState) -> Arc<Task> {
        let new = NewTask {
            id: id.to_owned(),
            context_id: String::new(),
            caller: Arc::from("c"),
            kind,
            history: Vec::new(),
            about: None,
            metadata: Map::new(),
            since: now(),
        };
        let (task, _) = store.add(new);
        task.set_status(state, Vec::new(), now(), Map::new());
        task
    }

    #[test]
    fn what_the_journal_has_and_nobody_holds_leaves_when_its_time_has_come() {
        let store = store();
        let run = |id: &str| Kind::Run(RunId::parse(id).unwrap());
        drop(add(&store, "ended", run("ended"), TaskState::Failed));
        drop(add(&store, "at-work", run("at-work"), TaskState::Working));
        drop(add(&store, "asks", run("asks"), TaskState::InputRequired));
        drop(add(&store, "script", Kind::Script, TaskState::Completed));
        drop(add(&store, "renamed", run("another"), TaskState::Completed));
        let held = add(&store, "held", run("held"), TaskState::Completed);
        let watched = add(&store, "watched", run("watched"), TaskState::Working);
        let (_, reader) = watched.subscribe();
        drop(watched);
        assert!(store.leave(Duration::from_secs(60), Instant::now()).is_empty());
        let left = |store: &Store| store.leave(Duration::ZERO, Instant::now()).iter().map(|task| task.id.clone()).collect::<Vec<_>>();
        assert_eq!(left(&store), ["ended"]);
        drop((held, reader));
        assert_eq!(left(&store), ["held"]);
        assert_eq!(store.all().len(), 5);
    }

    #[test]
    fn in_a_crowd_they_leave_sooner() {
        let store = store();
        for at in 0..CROWD {
            drop(add(&store, &format!("t-{at}"), Kind::Run(RunId::parse(&format!("t-{at}")).unwrap()), TaskState::Completed));
        }
        let soon = Instant::now() + CROWDED_STAY;
        assert!(store.leave(Duration::from_secs(60), soon).is_empty());
        drop(add(&store, "one-more", Kind::Script, TaskState::Working));
        assert!(store.leave(Duration::from_secs(60), Instant::now()).is_empty());
        assert_eq!(store.leave(Duration::from_secs(60), soon).len(), CROWD);
    }
}
