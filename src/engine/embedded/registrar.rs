//! Which runs are under way, and how to reach them; which of them rest, and until when.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use super::drive::Control;
use super::rest::Resting;
use crate::ids::{Digest, RunId};
use crate::interpreter::Snapshot;
use crate::plan::Plan;

/// Plans that are remembered before those that no run has any more are forgotten.
const PLANS_SWEPT_AT: usize = 256;

/// A run that is under way.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) control: mpsc::Sender<Control>,
    /// Set when the run has an outcome.
    pub(super) ended: AtomicBool,
}

impl Running {
    pub(super) fn new(control: mpsc::Sender<Control>) -> Arc<Self> {
        Arc::new(Self { control, ended: AtomicBool::new(false) })
    }
}

/// Where a run that was asked for is.
#[derive(Debug)]
pub(super) enum Reached {
    Running(Arc<Running>),
    /// It rested until now, and counts as running from now on: whoever asked has to load it.
    Woken(Arc<Running>, Resting),
}

/// Locked for single map operations only, never across an await.
#[derive(Debug, Default)]
pub(super) struct Registrar {
    runs: RwLock<Runs>,
    /// Told when the next run is due earlier than before, and when there is room for another one.
    pub(super) changed: Notify,
}

/// A run is in one of the two maps, or in none.
#[derive(Debug, Default)]
struct Runs {
    running: HashMap<RunId, Arc<Running>>,
    resting: HashMap<RunId, Resting>,
    due: BTreeSet<(Instant, RunId)>,
    plans: HashMap<Digest, Weak<Plan>>,
}

/// Runs that there is always room for.
const ROOM_KEPT: usize = 1024;

impl Registrar {
    /// False when there is a run of this id: then that one stays what it is.
    #[must_use]
    pub(super) fn insert(&self, run: RunId, running: Arc<Running>) -> bool {
        let mut runs = self.write();
        if runs.resting.contains_key(&run) {
            return false;
        }
        match runs.running.entry(run) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(running);
                true
            }
        }
    }

    /// Forgets a run, and only just this one.
    pub(super) fn remove(&self, run: &RunId, running: &Arc<Running>) {
        let mut runs = self.write();
        if runs.running.get(run).is_some_and(|known| Arc::ptr_eq(known, running)) {
            runs.running.remove(run);
        }
        // What many runs at once took is given back.
        if runs.running.capacity() > ROOM_KEPT && runs.running.len() < runs.running.capacity() / 8 {
            runs.running.shrink_to(ROOM_KEPT);
        }
        drop(runs);
        self.changed.notify_one();
    }

    pub(super) fn get(&self, run: &RunId) -> Option<Arc<Running>> {
        self.read().running.get(run).cloned()
    }

    /// The run, wherever it is. One that rests is running from now on, behind `control`.
    pub(super) fn reach(&self, run: &RunId, control: impl FnOnce() -> mpsc::Sender<Control>) -> Option<Reached> {
        let mut runs = self.write();
        if let Some(running) = runs.running.get(run) {
            return Some(Reached::Running(Arc::clone(running)));
        }
        let resting = runs.resting.remove(run)?;
        if let Some((_, due)) = resting.due {
            runs.due.remove(&(due, run.clone()));
        }
        let running = Running::new(control());
        runs.running.insert(run.clone(), Arc::clone(&running));
        Some(Reached::Woken(running, resting))
    }

    /// The run is not running any more, but can be reached.
    pub(super) fn rest(&self, run: RunId, resting: Resting) {
        let mut runs = self.write();
        runs.running.remove(&run);
        if let Some((_, due)) = resting.due {
            runs.due.insert((due, run.clone()));
        }
        runs.resting.insert(run, resting);
        drop(runs);
        self.changed.notify_one();
    }

    /// The run that is due first, and when.
    pub(super) fn first_due(&self) -> Option<(Instant, RunId)> {
        self.read().due.first().cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Running>> {
        self.read().running.values().cloned().collect()
    }

    pub(super) fn all_resting(&self) -> Vec<RunId> {
        self.read().resting.keys().cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.read().running.len()
    }

    pub(super) fn resting_len(&self) -> usize {
        self.read().resting.len()
    }

    /// Whether it runs or rests.
    pub(super) fn is_within_reach(&self, run: &RunId) -> bool {
        let runs = self.read();
        runs.running.contains_key(run) || runs.resting.contains_key(run)
    }

    pub(super) fn is_resting(&self, run: &RunId) -> bool {
        self.read().resting.contains_key(run)
    }

    /// Gives back what is kept for those who watched a run at rest, or waited for it, and have gone.
    pub(super) fn forget_gone(&self, run: &RunId) {
        if let Some(resting) = self.write().resting.get_mut(run) {
            resting.watchers.forget_gone();
            resting.waiters.retain(|waiter| !waiter.is_closed());
            resting.waiters.shrink_to_fit();
        }
    }

    /// Keeps somebody who waits for the end of a run with the run while it rests. False when it does not rest.
    pub(super) fn wait_at_rest(&self, run: &RunId, reply: oneshot::Sender<Snapshot>) -> bool {
        let mut runs = self.write();
        let Some(resting) = runs.resting.get_mut(run) else { return false };
        resting.waiters.retain(|waiter| !waiter.is_closed());
        resting.waiters.push(reply);
        true
    }

    /// A plan that some run under way is pinned to.
    pub(super) fn plan(&self, digest: &Digest) -> Option<Arc<Plan>> {
        self.read().plans.get(digest).and_then(Weak::upgrade)
    }

    /// Remembers a plan as long as some run has it.
    pub(super) fn remember(&self, plan: &Arc<Plan>) {
        if self.read().plans.get(plan.digest()).is_some_and(|known| known.strong_count() > 0) {
            return;
        }
        let mut runs = self.write();
        if runs.plans.len() >= PLANS_SWEPT_AT {
            runs.plans.retain(|_, known| known.strong_count() > 0);
        }
        runs.plans.insert(plan.digest().clone(), Arc::downgrade(plan));
    }

    // A panic while the lock is held leaves maps that are whole: nothing in between can panic.
    fn read(&self) -> RwLockReadGuard<'_, Runs> {
        self.runs.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Runs> {
        self.runs.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(n: usize) -> Arc<Plan> {
        let text = "metadata: {id: w, name: W, version: 1.0.0}\nsteps: []";
        let workflow = crate::workflow::parse(text).workflow.unwrap();
        Arc::new(Plan::new(workflow, text, Digest::parse(&format!("sha256:{n:064x}")).unwrap()))
    }

    #[test]
    fn plans_that_no_run_has_any_more_are_forgotten_when_there_are_many() {
        let (registrar, many) = (Registrar::default(), PLANS_SWEPT_AT);
        let remembered = || registrar.read().plans.len();
        let kept: Vec<_> = (0..2).map(plan).collect();
        kept.iter().for_each(|plan| registrar.remember(plan));
        (2..many).for_each(|n| registrar.remember(&plan(n)));
        assert_eq!(remembered(), 256, "there are not many yet");
        registrar.remember(&plan(many));
        assert_eq!(remembered(), kept.len() + 1);
        for known in &kept {
            assert!(registrar.plan(known.digest()).is_some_and(|plan| Arc::ptr_eq(&plan, known)));
        }
        assert!(registrar.plan(plan(many).digest()).is_none(), "it is remembered as long as some run has it");
        // However many are in use, all are known.
        let used: Vec<_> = (0..2 * many).map(plan).collect();
        used.iter().for_each(|plan| registrar.remember(plan));
        assert!(used.iter().all(|plan| registrar.plan(plan.digest()).is_some()));
    }

    #[test]
    fn what_many_runs_at_once_took_is_given_back_when_they_have_gone() {
        let registrar = Registrar::default();
        let (control, _inbox) = mpsc::channel(1);
        let runs: Vec<_> =
            (0..ROOM_KEPT * 20).map(|n| (RunId::parse(&format!("run-{n}")).unwrap(), Running::new(control.clone()))).collect();
        for (run, running) in &runs {
            assert!(registrar.insert(run.clone(), Arc::clone(running)));
        }
        let room = || registrar.read().running.capacity();
        let most = room();
        assert!(most >= runs.len(), "{most}");
        for (index, (run, running)) in runs.iter().enumerate() {
            registrar.remove(run, running);
            let left = runs.len() - index - 1;
            assert!(room() < ((left + 1) * 8).max(ROOM_KEPT * 2), "room for {}, and {left} are left", room());
        }
        assert!((ROOM_KEPT..ROOM_KEPT * 2).contains(&room()), "{}", room());
    }
}
