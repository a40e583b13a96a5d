//! Turns for others during what may take long.

use std::time::{Duration, Instant};

/// How long one has the thread before others are let to it.
const TURN: Duration = Duration::from_millis(2);

/// Counts how long it is since others had their turn.
#[derive(Debug)]
pub(super) struct Turns(Instant);

impl Turns {
    pub(super) fn new() -> Self {
        Self(Instant::now())
    }

    /// Between two pieces, however much each of them is: others have their turn when it is time.
    pub(super) async fn next(&mut self) {
        if self.0.elapsed() >= TURN {
            tokio::task::yield_now().await;
            self.0 = Instant::now();
        }
    }
}
