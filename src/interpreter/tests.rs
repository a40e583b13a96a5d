//! Events in, commands out. A case is a workflow, a script of events, and the trace it must leave.
//!
//! Every case is also replayed from its events, whole and after every single one: the same events must always give the same transitions.

mod bounds;
mod chain;
mod choices;
mod endings;
mod events;
mod failures;
mod groups;
mod repeated;
mod semantics;

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Change, Command, ErrorClass, Event, Outcome, Question, RemoteTask, Run, SEMANTICS, StepError, Timer, Transition};
use crate::ids::{Digest, RunId};
use crate::plan::{Path, Plan};
use crate::time::Timestamp;

/// One thing that happens to a run, written by step id.
enum Do {
    Reply(&'static str, Value),
    Fail(&'static str, ErrorClass),
    FailAfter(&'static str, u64),
    Ask(&'static str),
    Answer(&'static str, Value),
    Fire(&'static str, Timer),
    RunDeadline,
    Cancel,
    /// An outcome of a step in a repetition, by path.
    ReplyAt(&'static str, Value),
    FailAt(&'static str, ErrorClass),
    /// The same event once more.
    Again,
}
use Do::{Again, Answer, Ask, Cancel, Fail, FailAfter, FailAt, Fire, Reply, ReplyAt, RunDeadline};

fn plan(yaml: &str) -> Arc<Plan> {
    let header = if yaml.contains("metadata:") { "" } else { "metadata: {id: w, name: W, version: 1.0.0}\n" };
    let text = format!("{header}{yaml}");
    let parsed = crate::workflow::parse(&text);
    let workflow = parsed.workflow.unwrap_or_else(|| panic!("{text}\n{:#?}", parsed.diagnostics));
    Arc::new(Plan::new(workflow, text, digest()))
}

fn digest() -> Digest {
    Digest::parse(&format!("sha256:{}", "0".repeat(64))).unwrap()
}

fn started(input: Value) -> Event {
    started_as(SEMANTICS, input)
}

/// The start of a run that an earlier gantry may have begun.
fn started_as(semantics: u32, input: Value) -> Event {
    let run = RunId::parse("run").unwrap();
    Event::Started {
        run,
        workflow: digest(),
        semantics,
        input: Arc::new(input),
        ancestry: Vec::new(),
        work: None,
        at: Timestamp::from_unix_ms(0),
    }
}

struct Case {
    plan: Arc<Plan>,
    run: Run,
    events: Vec<Event>,
    transitions: Vec<String>,
    attempts: std::collections::BTreeMap<Path, u32>,
    trace: Vec<String>,
}

impl Case {
    fn new(yaml: &str, input: Value) -> Self {
        Self::of(SEMANTICS, yaml, input)
    }

    fn of(semantics: u32, yaml: &str, input: Value) -> Self {
        let plan = plan(yaml);
        let run = Run::new(Arc::clone(&plan));
        let mut case = Self { plan, run, events: Vec::new(), transitions: Vec::new(), attempts: Default::default(), trace: Vec::new() };
        case.apply(started_as(semantics, input));
        case
    }

    fn apply(&mut self, event: Event) {
        let transition = self.run.apply(event.clone()).unwrap_or_else(|mismatch| panic!("{event:?}: {mismatch}"));
        self.events.push(event);
        self.transitions.push(format!("{transition:?}"));
        self.note(&transition);
    }

    fn note(&mut self, transition: &Transition) {
        for command in &transition.commands {
            self.trace.push(match command {
                Command::Call(call) => {
                    self.attempts.insert(call.path.clone(), call.attempt);
                    let resume = call.resume.as_ref().map(|remote| format!(" to {}", remote.task_id)).unwrap_or_default();
                    format!("call {}#{}{resume} {}", call.step, call.attempt, call.inputs)
                }
                Command::CancelCall { path } => format!("cancel {}", path.step()),
                Command::CancelTask { path, remote, .. } => format!("cancel {} at {}", path.step(), remote.task_id),
                Command::StartTimer { path, timer, due } => format!("timer {} {timer:?} {}", path.step(), due.unix_ms()),
                Command::CancelTimer { path, timer } => format!("untimer {} {timer:?}", path.step()),
            });
        }
        for change in &transition.changes {
            match change {
                Change::StepFinished { step, status, error, .. } => {
                    let error = error.as_ref().map(|error| format!(" {}", error.code.code())).unwrap_or_default();
                    self.trace.push(format!("{step} {}{error}", status.as_str()));
                }
                Change::RunFinished { outcome } => self.trace.push(match outcome {
                    Outcome::Completed { output } => format!("completed {output}"),
                    Outcome::Failed { error } => format!("failed {error}"),
                    Outcome::Canceled { reason } => format!("canceled {reason}"),
                }),
                Change::StepWaiting { step, .. } => self.trace.push(format!("{step} waiting")),
                Change::RunStarted | Change::StepStarted { .. } | Change::StepRetrying { .. } => {}
            }
        }
    }

    fn perform(&mut self, act: &Do) {
        let path = |id: &str| self.plan.node(self.plan.find(id).unwrap_or_else(|| panic!("no step {id}"))).path.clone();
        let attempt = |id: &str| self.attempts.get(&path(id)).copied().unwrap_or(1);
        let at = Timestamp::from_unix_ms(self.events.len() as i64);
        let fail = |id: &str, error| Event::Failed { path: path(id), attempt: attempt(id), error, by: None, inputs: None, entropy: 0, at };
        let event = match act {
            Reply(id, value) => {
                Event::Replied { path: path(id), attempt: attempt(id), value: Arc::new(value.clone()), by: None, inputs: None, at }
            }
            Fail(id, class) => fail(id, StepError::new(*class, "boom")),
            FailAfter(id, ms) => fail(id, StepError::new(ErrorClass::RateLimited, "busy").with(|error| error.retry_after_ms = Some(*ms))),
            Ask(id) => {
                let remote = RemoteTask { task_id: format!("task-{id}"), context_id: "c".into() };
                let question = Question { remote: Some(remote), schema: None, auth: false, prompt: Arc::new(json!({"text": "which?"})) };
                Event::Asked { path: path(id), attempt: attempt(id), question, by: None, inputs: None, at }
            }
            Answer(id, value) => Event::Answered { path: path(id), answer: Arc::new(value.clone()), note: None, at },
            Fire(id, timer) => Event::TimerFired { path: path(id), timer: *timer, at },
            RunDeadline => Event::TimerFired { path: Path::run(), timer: Timer::Deadline, at },
            Cancel => Event::CancelRequested { reason: "enough".into(), at },
            ReplyAt(path, value) => {
                Event::Replied { path: Path::new(*path), attempt: 1, value: Arc::new(value.clone()), by: None, inputs: None, at }
            }
            FailAt(path, class) => {
                let error = StepError::new(*class, "boom");
                Event::Failed { path: Path::new(*path), attempt: 1, error, by: None, inputs: None, entropy: 0, at }
            }
            Again => self.events.last().cloned().unwrap(),
        };
        self.apply(event);
    }

    /// Replays the events after a crash behind every single one: nothing may differ.
    fn replay(&self) {
        for crash in 0..=self.events.len() {
            let mut run = Run::new(Arc::clone(&self.plan));
            for event in &self.events[..crash] {
                run.apply(event.clone()).unwrap();
            }
            // Events survive being written and read.
            for (event, expected) in self.events.iter().zip(&self.transitions).skip(crash) {
                let read: Event = serde_json::from_str(&serde_json::to_string(event).unwrap()).unwrap();
                assert_eq!(&format!("{:?}", run.apply(read).unwrap()), expected, "after a crash behind event {crash}");
            }
            if !self.events.is_empty() {
                assert_eq!(run.snapshot(), self.run.snapshot());
            }
        }
    }
}

fn check(yaml: &str, script: &[Do], expected: &str) {
    check_input(yaml, json!({"n": 2}), script, expected);
}

fn check_input(yaml: &str, input: Value, script: &[Do], expected: &str) {
    check_as(SEMANTICS, yaml, input, script, expected);
}

fn check_as(semantics: u32, yaml: &str, input: Value, script: &[Do], expected: &str) {
    let mut case = Case::of(semantics, yaml, input);
    for act in script {
        case.perform(act);
    }
    let expected: Vec<_> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(case.trace, expected, "\n{yaml}\ngot:\n{}\n", case.trace.join("\n"));
    case.replay();
}
