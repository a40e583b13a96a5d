//! One run, as a state machine.
use super::{Event, Mismatch, RunStatus, Snapshot, Transition};
use crate::plan::Plan;
use std::sync::Arc;

/// One run. Feed it events, carry out its commands.
#[derive(Debug)]
pub struct Run {}

impl Run {
    /// A run that has not started: its first event must be `Started`.
    pub fn new(_plan: Arc<Plan>) -> Self {
        Self {}
    }
    /// The one transition.
    pub fn apply(&mut self, _event: Event) -> Result<Transition, Mismatch> {
        Err(Mismatch::Start)
    }
    /// Where the run is.
    pub fn status(&self) -> RunStatus {
        RunStatus::Running
    }
    /// The run as it stands.
    pub fn snapshot(&self) -> Snapshot {
        unreachable!()
    }
}
