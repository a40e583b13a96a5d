//! What a run does is counted for its tree, and what is too much is kept back.

use super::Driver;
use crate::engine::embedded::tree::too_many_steps;
use crate::interpreter::{Command, ErrorClass, Event, Invocation, Mismatch, StepError, Transition};
use crate::journal::Used;
use crate::plan::Path;

impl Driver {
    /// Counts what the run has done since it was counted last.
    pub(super) fn count(&mut self) {
        let used = Used { steps: self.run.executed(), calls: self.run.agent_calls() };
        let (steps, calls) = (used.steps.saturating_sub(self.counted.steps), used.calls.saturating_sub(self.counted.calls));
        // After a restart the run can be behind what it was counted with: the rest of a long transition is still to come.
        self.counted = Used { steps: used.steps.max(self.counted.steps), calls: used.calls.max(self.counted.calls) };
        let usage = &self.lineage.usage;
        self.granted = if calls > 0 { usage.add_calls(calls).err() } else { None };
        usage.add_steps(steps);
    }

    /// The event that ends the run, when its tree has done too much and its steps are not over. Not in the middle of a transition, where no
    /// event can come.
    pub(super) fn exhausted(&mut self) -> Option<Event> {
        let steps_max = self.engine.inner.options.steps_max;
        let is_too_much = self.lineage.usage.steps() > steps_max && self.run.fate().is_none() && !self.run.is_busy();
        is_too_much.then(|| Event::Exhausted { reason: too_many_steps(steps_max), at: self.now() })
    }

    /// Applies an event that ends the run. What is stopped is not begun.
    pub(super) fn stop(&mut self, event: Event, transitions: &mut Vec<Transition>) -> Result<(), Mismatch> {
        let last = self.run.enter(event)?;
        let is_stopped =
            |path: &Path| last.commands.iter().any(|command| matches!(command, Command::CancelCall { path: stopped } if stopped == path));
        for transition in transitions.iter_mut() {
            transition.commands.retain(|command| !matches!(command, Command::Call(invocation) if is_stopped(&invocation.path)));
        }
        transitions.push(last);
        // What its handlers do counts as well; they are bounded by the run's own limits.
        self.count();
        Ok(())
    }

    /// What becomes of a call that an author's bound keeps back; none when it may be made.
    pub(super) fn refusal(&mut self, invocation: &Invocation) -> Option<Event> {
        let (granted, exceeded) = self.granted.as_mut()?;
        if *granted > 0 {
            *granted -= 1;
            return None;
        }
        let error = StepError::new(ErrorClass::Limit, exceeded.to_string()).with(|error| error.skill = Some(invocation.skill.to_string()));
        let (path, attempt) = (invocation.path.clone(), invocation.attempt);
        Some(Event::Failed { path, attempt, error, by: None, inputs: None, entropy: fastrand::u32(..), at: self.now() })
    }
}
