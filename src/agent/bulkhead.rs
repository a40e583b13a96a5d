//! How many calls may be in flight at once, to one agent and in all. Who must wait is served in the order of coming.
//!
//! Used by `gate`. A place at the agent is taken before one of all: who waits for a slow agent holds none of those that calls to
//! others need. Nobody who holds a place of all ever waits for one at an agent, so that the two cannot wait for each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

/// The places at one agent, and its view of those of all.
#[derive(Debug)]
pub(super) struct Bulkhead {
    here: Semaphore,
    here_max: usize,
    all: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Bulkhead {
    pub(super) fn new(here_max: usize, all: Arc<Semaphore>) -> Self {
        let here_max = here_max.min(Semaphore::MAX_PERMITS);
        Self { here: Semaphore::new(here_max), here_max, all, waiting: AtomicUsize::new(0) }
    }

    /// Takes both places if nobody need wait; to be given back with [`Self::leave`].
    pub(super) fn try_enter(&self) -> bool {
        match (self.here.try_acquire(), self.all.try_acquire()) {
            (Ok(here), Ok(all)) => {
                keep(here, all);
                true
            }
            _ => false,
        }
    }

    /// Takes a place at the agent and one of all; to be given back with [`Self::leave`]. Safe to drop while waiting: what was taken
    /// is given back, and the place in the queue is lost.
    pub(super) async fn enter(&self) {
        let _counted = Counted::begin(&self.waiting);
        let here = self.here.acquire().await.expect("nobody closes it");
        let all = self.all.acquire().await.expect("nobody closes it");
        keep(here, all);
    }

    /// Gives both places back.
    pub(super) fn leave(&self) {
        self.all.add_permits(1);
        self.here.add_permits(1);
    }

    pub(super) fn in_flight(&self) -> usize {
        self.here_max - self.here.available_permits().min(self.here_max)
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

fn keep(here: SemaphorePermit<'_>, all: SemaphorePermit<'_>) {
    here.forget();
    all.forget();
}

/// One that waits.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
