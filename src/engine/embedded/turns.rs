//! Turns for others during what may take long.

use std::time::{Duration, Instant};

use crate::interpreter::{Event, Mismatch, Run, Transition};

/// How long one has the thread before others are let to it.
const TURN: Duration = Duration::from_millis(2);

/// Counts how long it is since others had their turn.
#[derive(Debug)]
pub(super) struct Turns(Instant);

impl Turns {
    pub(super) fn new() -> Self {
        Self(Instant::now())
    }

    /// Applies an event in parts, as long as these are wanted: others have their turn between two when it is time, however much each is.
    pub(super) async fn apply(&mut self, run: &mut Run, event: Event, mut take: impl FnMut(Transition) -> bool) -> Result<(), Mismatch> {
        let mut part = run.enter(event)?;
        loop {
            let is_enough = !take(part);
            if self.0.elapsed() >= TURN {
                tokio::task::yield_now().await;
                self.0 = Instant::now();
            }
            if is_enough || !run.is_busy() {
                return Ok(());
            }
            part = run.proceed();
        }
    }
}
