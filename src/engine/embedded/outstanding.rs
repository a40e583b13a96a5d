//! What a run waits for: rebuilt after a restart, so that only what was in flight is asked for again.

use std::collections::BTreeMap;

use crate::interpreter::{Command, Event, Invocation, Timer};
use crate::plan::Path;
use crate::time::Timestamp;

/// Calls without an outcome and timers that have not fired; and what was given up at last, which its agents may not know yet.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    /// With the number of the event that each followed from.
    calls: BTreeMap<Path, (Invocation, usize)>,
    timers: BTreeMap<(Path, Timer), Timestamp>,
    given_up: Vec<(GivenUp, usize)>,
    events: usize,
}

/// Work at an agent that nobody waits for any more.
#[derive(Debug)]
pub(super) enum GivenUp {
    /// A call that was in flight. Its task, if it made one, is not in the journal.
    Call(Invocation),
    /// A task that asked: what cancels it.
    Task(Command),
}

impl Outstanding {
    /// Takes note of one event.
    pub(super) fn note(&mut self, event: &Event) {
        self.events += 1;
        match event {
            Event::Replied { path, attempt, .. } | Event::Failed { path, attempt, .. } | Event::Asked { path, attempt, .. } => {
                if self.calls.get(path).is_some_and(|(call, _)| call.attempt == *attempt)
                    && let Some((_, followed_from)) = self.calls.remove(path)
                {
                    // That call was made, so all that was to be done before it was done, too.
                    self.given_up.retain(|(_, since)| *since > followed_from);
                }
            }
            Event::TimerFired { path, timer, .. } => _ = self.timers.remove(&(path.clone(), *timer)),
            Event::Started { .. } | Event::Answered { .. } | Event::Exhausted { .. } | Event::CancelRequested { .. } => {}
        }
    }

    /// Takes note of the commands that followed from it.
    pub(super) fn add(&mut self, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Call(invocation) => _ = self.calls.insert(invocation.path.clone(), (invocation, self.events)),
                Command::CancelCall { path } => {
                    let call = self.calls.remove(&path);
                    self.given_up.extend(call.map(|(call, _)| (GivenUp::Call(call), self.events)));
                }
                command @ Command::CancelTask { .. } => self.given_up.push((GivenUp::Task(command), self.events)),
                Command::StartTimer { path, timer, due } => _ = self.timers.insert((path, timer), due),
                Command::CancelTimer { path, timer } => _ = self.timers.remove(&(path, timer)),
            }
        }
    }

    /// What the process may have died before it told anybody.
    pub(super) fn take_given_up(&mut self) -> Vec<GivenUp> {
        std::mem::take(&mut self.given_up).into_iter().map(|(given_up, _)| given_up).collect()
    }

    /// The commands that have to be carried out again. A call keeps its attempt, and with it its idempotency key.
    pub(super) fn commands(self) -> Vec<Command> {
        let timers = self.timers.into_iter().map(|((path, timer), due)| Command::StartTimer { path, timer, due });
        timers.chain(self.calls.into_values().map(|(call, _)| Command::Call(call))).collect()
    }
}
