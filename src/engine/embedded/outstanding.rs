//! What a run waits for: rebuilt after a restart, so that only what was in flight is asked for again.

use std::collections::BTreeMap;

use crate::interpreter::{Command, Event, Invocation, Timer};
use crate::plan::Path;
use crate::time::Timestamp;

/// Calls without an outcome and timers that have not fired.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    calls: BTreeMap<Path, Invocation>,
    timers: BTreeMap<(Path, Timer), Timestamp>,
}

impl Outstanding {
    /// Takes note of one event.
    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::Replied { path, attempt, .. } | Event::Failed { path, attempt, .. } | Event::Asked { path, attempt, .. } => {
                if self.calls.get(path).is_some_and(|call| call.attempt == *attempt) {
                    self.calls.remove(path);
                }
            }
            Event::TimerFired { path, timer, .. } => _ = self.timers.remove(&(path.clone(), *timer)),
            Event::Started { .. }
            | Event::Kept { .. }
            | Event::Answered { .. }
            | Event::Exhausted { .. }
            | Event::CancelRequested { .. } => {}
        }
    }

    /// Takes note of the commands that followed from it.
    pub(super) fn add(&mut self, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Call(invocation) => _ = self.calls.insert(invocation.path.clone(), invocation),
                Command::CancelCall { path } => _ = self.calls.remove(&path),
                // Told before the restart, as far as it could be.
                Command::CancelTask { .. } => {}
                Command::StartTimer { path, timer, due } => _ = self.timers.insert((path, timer), due),
                Command::CancelTimer { path, timer } => _ = self.timers.remove(&(path, timer)),
            }
        }
    }

    /// The commands that have to be carried out again. A call keeps its attempt, and with it its idempotency key.
    pub(super) fn commands(self) -> Vec<Command> {
        let timers = self.timers.into_iter().map(|((path, timer), due)| Command::StartTimer { path, timer, due });
        timers.chain(self.calls.into_values().map(Command::Call)).collect()
    }
}
