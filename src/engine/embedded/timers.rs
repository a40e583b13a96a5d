//! The timers of one run, on the monotonic clock: a jump of the wall clock fires nothing early or late.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use crate::interpreter::Timer;
use crate::plan::Path;
use crate::time::Timestamp;

/// At most one of each kind for a path.
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_due: BTreeSet<(Instant, Path, Timer)>,
    by_key: BTreeMap<(Path, Timer), (Instant, Timestamp)>,
}

impl Timers {
    /// `due` is when it fires; `at` is the same moment as the run has it.
    pub(super) fn start(&mut self, path: Path, timer: Timer, due: Instant, at: Timestamp) {
        self.cancel(&path, timer);
        self.by_key.insert((path.clone(), timer), (due, at));
        self.by_due.insert((due, path, timer));
    }

    pub(super) fn cancel(&mut self, path: &Path, timer: Timer) {
        let key = (path.clone(), timer);
        if let Some((due, _)) = self.by_key.remove(&key) {
            self.by_due.remove(&(due, key.0, key.1));
        }
    }

    /// When the next one is due, as the run has it and when it fires.
    pub(super) fn first(&self) -> Option<(Timestamp, Instant)> {
        let (_, path, timer) = self.by_due.first()?;
        self.by_key.get(&(path.clone(), *timer)).map(|(due, at)| (*at, *due))
    }

    /// Every one, and when it is due as the run has it.
    pub(super) fn all(&self) -> impl Iterator<Item = ((&Path, Timer), Timestamp)> {
        self.by_key.iter().map(|((path, timer), (_, at))| ((path, *timer), *at))
    }

    /// Waits until the next timer is due and takes it; for ever when there is none. Safe to drop while waiting.
    pub(super) async fn next(&mut self) -> (Path, Timer) {
        let Some((due, _, _)) = self.by_due.first() else { return std::future::pending().await };
        tokio::time::sleep_until(*due).await;
        self.take_first().expect("nothing was taken since it was seen")
    }

    /// Whether the next timer is due.
    pub(super) fn is_due(&self) -> bool {
        self.by_due.first().is_some_and(|(due, _, _)| *due <= Instant::now())
    }

    /// Takes the next timer if it is due.
    pub(super) fn take_due(&mut self) -> Option<(Path, Timer)> {
        if self.is_due() { self.take_first() } else { None }
    }

    fn take_first(&mut self) -> Option<(Path, Timer)> {
        let (_, path, timer) = self.by_due.pop_first()?;
        self.by_key.remove(&(path.clone(), timer));
        Some((path, timer))
    }
}
