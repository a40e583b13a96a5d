//! Whether the journal had space for the last run that was to begin, for those who look after the machine.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::limits;

#[derive(Debug, Default)]
pub(super) struct Space {
    /// Read first: almost every run finds space, and takes no lock for it.
    was_missing: AtomicBool,
    refused_at: Mutex<Option<Instant>>,
}

impl Space {
    /// A run was refused because there is none.
    pub(super) fn missed(&self) {
        *self.refused_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.was_missing.store(true, Ordering::Release);
    }

    /// A run was stored.
    pub(super) fn found(&self) {
        if self.was_missing.load(Ordering::Relaxed) {
            self.was_missing.store(false, Ordering::Release);
        }
    }

    /// Whether the last one was refused, and not long ago: when nobody asks for a run nobody knows.
    pub(super) fn is_missing(&self) -> bool {
        let refused_at = || *self.refused_at.lock().unwrap_or_else(PoisonError::into_inner);
        self.was_missing.load(Ordering::Acquire) && refused_at().is_some_and(|at| at.elapsed() < limits::JOURNAL_FULL_TOLD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn that_space_is_missing_is_told_until_there_is_some_or_nobody_has_asked_for_a_while() {
        let space = Space::default();
        assert!(!space.is_missing());
        space.missed();
        assert!(space.is_missing());
        space.found();
        assert!(!space.is_missing());
        space.missed();
        tokio::time::advance(limits::JOURNAL_FULL_TOLD).await;
        assert!(!space.is_missing());
    }
}
