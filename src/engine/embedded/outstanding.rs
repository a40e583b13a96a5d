//! What a run waits for: rebuilt after a restart, so that only what was in flight is asked for again.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::interpreter::{Command, Event, Invocation, Timer};
use crate::limits;
use crate::plan::Path;
use crate::time::Timestamp;

/// Calls without an outcome and timers that have not fired; and what was given up at last, which its agents may not know yet.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    /// With the number of the event that each followed from.
    calls: BTreeMap<Path, (Invocation, usize)>,
    timers: BTreeMap<(Path, Timer), Timestamp>,
    given_up: Vec<(GivenUp, usize)>,
    /// When the last event was.
    at: Timestamp,
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
        self.at = event.at();
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
            Event::Started { .. }
            | Event::Kept { .. }
            | Event::Answered { .. }
            | Event::Exhausted { .. }
            | Event::CancelRequested { .. }
            | Event::Called { .. }
            | Event::Continued { .. }
            | Event::Resumed { .. } => {}
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

    /// What the process may have died before it told anybody. Nothing when it is long ago: agents do not remember for ever what they were
    /// asked, and would begin it anew.
    pub(super) fn take_given_up(&mut self, now: Timestamp) -> Vec<GivenUp> {
        if Duration::from_millis(now.since_ms(self.at)) > limits::TAKE_BACK_AGE_MAX {
            self.given_up.clear();
        }
        std::mem::take(&mut self.given_up).into_iter().map(|(given_up, _)| given_up).collect()
    }

    /// The commands that have to be carried out again. A call keeps its attempt, and with it its idempotency key.
    pub(super) fn commands(self) -> Vec<Command> {
        let timers = self.timers.into_iter().map(|((path, timer), due)| Command::StartTimer { path, timer, due });
        timers.chain(self.calls.into_values().map(|(call, _)| Command::Call(call))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::ids::{Digest, RunId};
    use crate::interpreter::{Question, RemoteTask, Run, SEMANTICS};
    use crate::plan::Plan;

    const RACE: &str = "metadata: {id: w, name: W, version: 1.0.0}
steps:
  - id: r
    step_type: race
    branches: {a: [{id: a, skill: work}], b: [{id: b, skill: work}], c: [{id: c, skill: work}]}
  - {id: d, skill: work}
  - {id: e, skill: work}
";

    /// What is given up after these events, by step.
    fn given_up(events: &[Event]) -> Vec<String> {
        given_up_by(Timestamp::from_unix_ms(0), events)
    }

    fn given_up_by(now: Timestamp, events: &[Event]) -> Vec<String> {
        let digest = Digest::parse(&format!("sha256:{}", "0".repeat(64))).unwrap();
        let plan = Plan::new(crate::workflow::parse(RACE).workflow.unwrap(), RACE, digest.clone());
        let mut run = Run::new(Arc::new(plan));
        let id = RunId::parse("run").unwrap();
        let at = Timestamp::from_unix_ms(0);
        let first =
            Event::Started { run: id, workflow: digest, semantics: SEMANTICS, input: Arc::default(), ancestry: vec![], work: None, at };
        let mut outstanding = Outstanding::default();
        for event in std::iter::once(&first).chain(events) {
            outstanding.note(event);
            outstanding.add(run.apply(event.clone()).unwrap().commands);
        }
        let told = outstanding.take_given_up(now).into_iter().map(|given_up| match given_up {
            GivenUp::Call(call) => format!("call {}", call.path.step()),
            GivenUp::Task(Command::CancelTask { path, .. }) => format!("task {}", path.step()),
            GivenUp::Task(command) => panic!("{command:?}"),
        });
        told.collect()
    }

    fn replied(path: &str) -> Event {
        let (path, value, at) = (Path::new(path), Arc::new(json!(1)), Timestamp::from_unix_ms(0));
        Event::Replied { path, attempt: 1, value, by: None, inputs: None, at }
    }

    #[test]
    fn what_the_last_event_gave_up_is_known_until_something_that_came_after_it_has_an_outcome() {
        let remote = Some(RemoteTask { task_id: "t".into(), context_id: "c".into() });
        let question = Question { remote, schema: None, auth: false, prompt: Arc::new(json!("?")) };
        let asked =
            Event::Asked { path: Path::new("/0:r[1]/0:b"), attempt: 1, question, by: None, inputs: None, at: Timestamp::from_unix_ms(0) };
        let won = replied("/0:r[2]/0:c");
        assert_eq!(given_up(std::slice::from_ref(&asked)), [""; 0]);
        let mut both = given_up(&[asked.clone(), won.clone()]);
        both.sort();
        assert_eq!(both, ["call a", "task b"]);
        // Agents are not asked about what they may have forgotten.
        let bound = i64::try_from(limits::TAKE_BACK_AGE_MAX.as_millis()).unwrap();
        let after = |ms| given_up_by(Timestamp::from_unix_ms(ms), &[asked.clone(), won.clone()]).len();
        assert_eq!((after(bound), after(bound + 1)), (2, 0));
        // The call of the next step was made after its agents were told.
        assert_eq!(given_up(&[asked, won, replied("/1:d")]), [""; 0]);
    }
}
