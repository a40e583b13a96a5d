//! Which runs are under way, and how to reach them.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, RwLock};

use tokio::sync::mpsc;

use super::drive::Control;
use crate::ids::{Digest, RunId};
use crate::plan::Plan;

/// A run that is under way.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) control: mpsc::Sender<Control>,
    pub(super) plan: Arc<Plan>,
    /// Set when the run has an outcome.
    pub(super) ended: AtomicBool,
}

/// Locked for single map operations only, never across an await.
#[derive(Debug, Default)]
pub(super) struct Registrar {
    runs: RwLock<HashMap<RunId, Arc<Running>>>,
}

impl Registrar {
    pub(super) fn insert(&self, run: RunId, running: Arc<Running>) {
        self.runs.write().unwrap_or_else(std::sync::PoisonError::into_inner).insert(run, running);
    }

    pub(super) fn remove(&self, run: &RunId) {
        self.runs.write().unwrap_or_else(std::sync::PoisonError::into_inner).remove(run);
    }

    pub(super) fn get(&self, run: &RunId) -> Option<Arc<Running>> {
        self.read().get(run).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Running>> {
        self.read().values().cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.read().len()
    }

    /// A plan that some run under way is pinned to.
    pub(super) fn plan(&self, digest: &Digest) -> Option<Arc<Plan>> {
        self.read().values().find(|running| running.plan.digest() == digest).map(|running| Arc::clone(&running.plan))
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<RunId, Arc<Running>>> {
        self.runs.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
