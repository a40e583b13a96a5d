//! Updates on their way from a run's task to those who watch it. Each watcher has a bounded queue of its own: one that is too slow is
//! told so and is forgotten, instead of holding up the run, the others, or memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;

use super::{Next, Update};
use crate::limits;

/// The watcher's end.
#[derive(Debug)]
pub(super) struct Updates {
    receiver: mpsc::Receiver<Arc<Update>>,
    lagged: Arc<AtomicBool>,
}

impl Updates {
    /// The next update, in order. Safe to drop while waiting.
    pub(super) async fn next(&mut self) -> Next {
        let update = self.receiver.recv().await;
        // What is left in the queue is in the snapshot that it takes next.
        if self.lagged.load(Ordering::Acquire) {
            return Next::Lagged;
        }
        update.map_or(Next::End, Next::Update)
    }
}

/// The run's end.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    watchers: Vec<(mpsc::Sender<Arc<Update>>, Arc<AtomicBool>)>,
}

impl Watchers {
    /// Everything that is told from now on.
    pub(super) fn add(&mut self) -> Updates {
        self.forget_gone();
        let (sender, receiver) = mpsc::channel(limits::SUBSCRIBER_UPDATES_MAX);
        let lagged = Arc::new(AtomicBool::new(false));
        self.watchers.push((sender, Arc::clone(&lagged)));
        Updates { receiver, lagged }
    }

    /// A run that waits for weeks tells nothing, and would never notice that they have gone.
    pub(super) fn forget_gone(&mut self) {
        self.watchers.retain(|(sender, _)| !sender.is_closed());
        self.watchers.shrink_to_fit();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.watchers.is_empty()
    }

    /// Whether every queue is at most half full.
    pub(super) fn have_room(&self) -> bool {
        self.watchers.iter().all(|(sender, _)| sender.capacity() * 2 >= sender.max_capacity())
    }

    pub(super) fn tell(&mut self, update: &Arc<Update>) {
        self.watchers.retain(|(sender, lagged)| match sender.try_send(Arc::clone(update)) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                lagged.store(true, Ordering::Release);
                false
            }
            // It has gone; nobody needs to know.
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        });
    }
}

#[cfg(test)]
mod tests;
