//! The tasks of every caller, in memory and bounded. A task of another caller is not there.
//!
//! What must outlive the process is in the runs' journals (caller and context are labels of the run); a task that is not here
//! but whose run the engine knows is made anew from it, see `query`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::task::{Bounds, NewTask, Task};

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

    /// Every task of the caller.
    pub(in crate::server) fn of(&self, caller: &str) -> Vec<Arc<Task>> {
        self.tasks().values().filter(|task| &*task.caller == caller).cloned().collect()
    }

    /// Every task.
    pub(in crate::server) fn all(&self) -> Vec<Arc<Task>> {
        self.tasks().values().cloned().collect()
    }

    /// Forgets the tasks that ended so long ago and that nobody holds. They are made anew when somebody asks for them.
    pub(in crate::server) fn leave(&self, after: Duration) -> Vec<Arc<Task>> {
        let mut tasks = self.tasks();
        let left: Vec<_> =
            tasks.extract_if(|_, task| Arc::strong_count(task) == 1 && task.may_leave(after)).map(|(_, task)| task).collect();
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
