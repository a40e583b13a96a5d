//! The tasks of every caller, in memory and bounded. A task of another caller is not there.
//!
//! What must outlive the process is in the runs' journals (caller and context are labels of the run); a task that is not here
//! but whose run the engine knows is made anew from it, see `query`.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::task::{Bounds, Kind, NewTask, Task};
use crate::ids::RunId;

/// So many tasks are a crowd: those of runs that have ended leave as others come, where they may.
const CROWD: usize = 500;
/// How many are looked at for each that comes to a crowd: more than come, so that the crowd gets smaller.
const LOOKS: usize = 4;

/// Every task.
pub(in crate::server) struct Store {
    tasks: Mutex<Tasks>,
    tasks_max: usize,
    bounds: Bounds,
    /// Whether tasks to which nothing happens may leave: they are made anew when somebody asks for them.
    may_leave: bool,
}

#[derive(Default)]
struct Tasks {
    by_id: HashMap<String, Arc<Task>>,
    /// In the order in which they came or were looked at.
    line: VecDeque<Weak<Task>>,
}

impl Store {
    pub(in crate::server) fn new(tasks_max: usize, bounds: Bounds, may_leave: bool) -> Self {
        Self { tasks: Mutex::default(), tasks_max: tasks_max.max(1), bounds, may_leave }
    }

    /// Adds a task, unless there is one with its id: then that one, and false.
    pub(in crate::server) fn add(&self, new: NewTask) -> (Arc<Task>, bool) {
        let mut tasks = self.tasks();
        if let Some(known) = tasks.by_id.get(&new.id) {
            return (Arc::clone(known), false);
        }
        let left = tasks.make_room(self.tasks_max, self.may_leave);
        let task = Arc::new(Task::new(new, self.bounds));
        tasks.by_id.insert(task.id.clone(), Arc::clone(&task));
        tasks.line.push_back(Arc::downgrade(&task));
        // What has left is dropped when the lock is free again.
        drop(tasks);
        drop(left);
        (task, true)
    }

    /// A task within the same bounds that is in no list, and gone when it is dropped.
    pub(in crate::server) fn unlisted(&self, new: NewTask) -> Arc<Task> {
        Arc::new(Task::new(new, self.bounds))
    }

    /// The caller's task.
    pub(in crate::server) fn get(&self, caller: &str, id: &str) -> Option<Arc<Task>> {
        self.tasks().by_id.get(id).filter(|task| &*task.caller == caller).cloned()
    }

    /// Forgets a task, unless another has taken its place.
    pub(in crate::server) fn remove(&self, task: &Arc<Task>) {
        let mut tasks = self.tasks();
        if is_listed(&tasks.by_id, task) {
            tasks.by_id.remove(&task.id);
        }
    }

    /// Every task of the caller.
    pub(in crate::server) fn of(&self, caller: &str) -> Vec<Arc<Task>> {
        self.tasks().by_id.values().filter(|task| &*task.caller == caller).cloned().collect()
    }

    /// How many tasks there are.
    pub(in crate::server) fn len(&self) -> usize {
        self.tasks().by_id.len()
    }

    /// Every task.
    pub(in crate::server) fn all(&self) -> Vec<Arc<Task>> {
        self.tasks().by_id.values().cloned().collect()
    }

    /// Forgets the tasks to which nothing has happened for so long, or whose run rests, and that nobody holds.
    pub(in crate::server) fn leave(&self, after: Duration, now: Instant, rests: impl Fn(&RunId) -> bool) -> Vec<Arc<Task>> {
        let Tasks { by_id, line, .. } = &mut *self.tasks();
        let may_leave = |task: &Arc<Task>| Arc::strong_count(task) == 1 && task.may_leave(after, now, &rests);
        let left: Vec<_> = by_id.extract_if(|_, task| may_leave(task)).map(|(_, task)| task).collect();
        if by_id.len() < by_id.capacity() / 4 {
            by_id.shrink_to_fit();
        }
        line.retain(|task| task.upgrade().is_some_and(|task| is_listed(by_id, &task)));
        if line.len() < line.capacity() / 4 {
            line.shrink_to_fit();
        }
        left
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tasks {
    /// Looks at some of the tasks at the beginning of the line, for one that is about to come. When there are too many, those that have
    /// ended are forgotten, first those that came or were looked at first; in a crowd those leave that may and that nobody holds. The others
    /// stand in line again: tasks under way stay, and the engine bounds them.
    fn make_room(&mut self, tasks_max: usize, may_leave: bool) -> Vec<Arc<Task>> {
        let mut left = Vec::new();
        for _ in 0..LOOKS {
            let (is_full, is_crowd) = (self.by_id.len() >= tasks_max, may_leave && self.line.len() > CROWD);
            if !is_full && !is_crowd {
                break;
            }
            let Some(first) = self.line.pop_front() else { break };
            let Some(task) = first.upgrade().filter(|task| is_listed(&self.by_id, task)) else { continue };
            // One is ours, one is the list's.
            let leaves = || {
                let is_held = Arc::strong_count(&task) > 2;
                matches!(task.kind(), Kind::Run(_)) && !is_held && task.may_leave(Duration::ZERO, Instant::now(), |_| false)
            };
            if (is_full && task.state().0.is_terminal()) || (is_crowd && leaves()) {
                left.extend(self.by_id.remove(&task.id));
            } else {
                self.line.push_back(first);
            }
        }
        left
    }
}

/// Whether just this task is there: another can have taken its place.
fn is_listed(by_id: &HashMap<String, Arc<Task>>, task: &Arc<Task>) -> bool {
    by_id.get(&task.id).is_some_and(|known| Arc::ptr_eq(known, task))
}

#[cfg(test)]
mod tests {
    use super::super::task::now;
    use super::*;
    use crate::a2a::TaskState;
    use futures_util::FutureExt as _;
    use serde_json::Map;

    fn store() -> Store {
        Store::new(10_000, Bounds { history_max: 1, stream_bytes_max: 1024, stream_age_max: Duration::from_secs(1) }, true)
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
            is_remade: false,
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
        drop(add(&store, "rests", run("rests"), TaskState::Working));
        drop(add(&store, "asks", run("asks"), TaskState::InputRequired));
        drop(add(&store, "asks-back", Kind::Dialogue(Box::default()), TaskState::InputRequired));
        drop(add(&store, "script", Kind::Script, TaskState::Completed));
        drop(add(&store, "renamed", run("another"), TaskState::Completed));
        let held = add(&store, "held", run("held"), TaskState::Completed);
        let watched = add(&store, "watched", run("watched"), TaskState::Working);
        let asks_and_is_watched = add(&store, "asks-watched", run("asks-watched"), TaskState::AuthRequired);
        let (readers, signals) = ([watched.subscribe().1, asks_and_is_watched.subscribe().1], asks_and_is_watched.signals());
        drop((watched, asks_and_is_watched));
        let leave = |after: Duration| {
            let left = store.leave(after, Instant::now(), |run| run.as_str() == "rests");
            left.iter().map(|task| task.id.clone()).collect::<std::collections::BTreeSet<_>>()
        };
        let set = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        assert_eq!(leave(Duration::from_secs(60)), set(&["rests"]), "a run rests when it has waited long enough");
        assert_eq!(leave(Duration::ZERO), set(&["ended", "asks"]));
        drop((held, readers));
        assert_eq!(leave(Duration::ZERO), set(&["held", "asks-watched"]), "whoever follows its run holds no task");
        assert_eq!(signals.clone().wanted().now_or_never(), Some(true), "it was wanted");
        assert_eq!(signals.clone().doubted().now_or_never(), Some(false), "and whoever follows it is told that it has left");
        assert_eq!((store.all().len(), store.len()), (5, 5));
    }

    #[test]
    fn in_a_crowd_those_that_have_ended_leave_as_others_come() {
        let store = store();
        let run = |id: &str| Kind::Run(RunId::parse(id).unwrap());
        let stays: Vec<_> = (0..CROWD)
            .map(|at| match at % 3 {
                0 => add(&store, &format!("held-{at}"), run(&format!("held-{at}")), TaskState::Completed),
                1 => add(&store, &format!("works-{at}"), run(&format!("works-{at}")), TaskState::Working),
                _ => add(&store, &format!("script-{at}"), Kind::Script, TaskState::Completed),
            })
            .collect();
        let come = |from: usize, to: usize| {
            (from..to).for_each(|at| drop(add(&store, &format!("t-{at}"), run(&format!("t-{at}")), TaskState::Completed)));
        };
        come(0, 5 * CROWD);
        let there = store.all().len();
        assert!(there < CROWD + CROWD / 2, "{there} of {} are there", 6 * CROWD);
        assert!(stays.iter().all(|task| store.get("c", &task.id).is_some()), "who is held, at work or nowhere else stays");
        assert!(store.get("c", &format!("t-{}", 5 * CROWD - 1)).is_some(), "who came last is there");
        // When they are let go they leave as well.
        drop(stays);
        come(5 * CROWD, 10 * CROWD);
        assert!(store.all().iter().all(|task| !task.id.starts_with("held")), "those that were held have left");
        // Nothing of them is left.
        store.leave(Duration::ZERO, Instant::now(), |_| false);
        let in_line = store.tasks().line.len();
        assert_eq!(in_line, store.len());
    }

    #[test]
    fn when_there_are_too_many_those_that_have_ended_are_forgotten_the_oldest_first() {
        const MAX: usize = 100;
        let bounds = Bounds { history_max: 1, stream_bytes_max: 1024, stream_age_max: Duration::from_secs(1) };
        for may_leave in [true, false] {
            let store = Store::new(MAX, bounds, may_leave);
            for at in 0..2 * MAX {
                drop(add(&store, &format!("works-{at}"), Kind::Script, TaskState::Working));
            }
            assert_eq!(store.len(), 2 * MAX, "none of them can go");
            for at in 0..20 * MAX {
                drop(add(&store, &format!("done-{at:05}"), Kind::Script, TaskState::Completed));
            }
            assert!(store.get("c", &format!("done-{:05}", 20 * MAX - 1)).is_some());
            let works = store.all().iter().filter(|task| !task.state().0.is_terminal()).count();
            assert_eq!(works, 2 * MAX, "who is at work stays");
            assert!(store.len() < 3 * MAX, "{} tasks", store.len());

            let store = Store::new(MAX, bounds, may_leave);
            for at in 0..20 * MAX {
                drop(add(&store, &format!("done-{at:05}"), Kind::Script, TaskState::Completed));
                assert!(store.len() <= MAX, "{} tasks", store.len());
            }
            let kept = (19 * MAX..20 * MAX).all(|at| store.get("c", &format!("done-{at:05}")).is_some());
            assert!(kept, "who came last is there");
            let in_line = store.tasks().line.len();
            assert_eq!(in_line, store.len(), "nothing of the others is left");
        }
    }

    #[test]
    fn where_they_are_nowhere_else_they_stay() {
        let bounds = Bounds { history_max: 1, stream_bytes_max: 1024, stream_age_max: Duration::from_secs(1) };
        let store = Store::new(10_000, bounds, false);
        for at in 0..2 * CROWD {
            drop(add(&store, &format!("t-{at}"), Kind::Run(RunId::parse(&format!("t-{at}")).unwrap()), TaskState::Completed));
        }
        assert_eq!(store.all().len(), 2 * CROWD);
    }
}
