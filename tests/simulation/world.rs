//! The outside of one run: agents, people and a clock, all of them decided by a seed.
//!
//! Carries out commands as the engine does, and does to the run whatever may be done to it: outcomes in any order, late ones,
//! repeated ones, questions, answers, timers, wishes to cancel, and crashes.

use std::num::NonZeroU32;
use std::sync::Arc;

use gantry::ids::{Digest, RunId};
use gantry::interpreter::{
    AgentUsed, ErrorClass, Event, Question, RemoteTask, Run, RunStatus, SEMANTICS, Snapshot, StepError, Timer, Transition,
};
use gantry::plan::{Path, Plan};
use gantry::time::Timestamp;
use serde_json::{Value, json};

use super::generate;
use super::ledger::{Ledger, Stale};
use super::random::Random;

/// More events than any generated run has. One that has more never ends.
const EVENTS_MAX: usize = 20_000;

/// The digest that every plan of the simulation is pinned to.
pub(super) fn digest() -> Digest {
    Digest::parse(&format!("sha256:{}", "0".repeat(64))).unwrap()
}

pub(super) fn plan(text: &str) -> Arc<Plan> {
    let parsed = gantry::workflow::parse(text);
    let workflow = parsed.workflow.unwrap_or_else(|| panic!("the workflow is not valid: {:#?}", parsed.diagnostics));
    Arc::new(Plan::new(workflow, text, digest()))
}

/// What happened to a run that has ended.
#[derive(Debug)]
pub(super) struct History {
    pub(super) events: Vec<Event>,
    pub(super) transitions: Vec<Transition>,
    pub(super) snapshot: Snapshot,
    pub(super) steps: usize,
    pub(super) high_water: usize,
}

/// How often the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crashes {
    Never,
    AfterEveryEvent,
}

pub(super) struct World<'a> {
    plan: &'a Arc<Plan>,
    random: Random,
    run: Run,
    /// How much is done for one event.
    work: Option<NonZeroU32>,
    ledger: Ledger,
    now: i64,
    events: Vec<Event>,
    transitions: Vec<Transition>,
    crashes: Crashes,
    /// A single seed is told step by step.
    verbose: bool,
    /// How likely things are in this world, of a hundred.
    failures: usize,
    questions: usize,
    noise: usize,
    cancels: usize,
    early: usize,
}

impl<'a> World<'a> {
    /// Runs a plan to its end.
    pub(super) fn run(plan: &'a Arc<Plan>, seed: u64, crashes: Crashes) -> History {
        let mut random = Random::new(seed);
        let input = generate::input(&mut random);
        let mut world = World {
            plan,
            run: Run::new(Arc::clone(plan)),
            work: None,
            ledger: Ledger::new(plan),
            now: 0,
            events: Vec::new(),
            transitions: Vec::new(),
            crashes,
            verbose: std::env::var_os("GANTRY_SEED").is_some(),
            failures: *random.pick(&[0, 3, 10, 40]),
            questions: *random.pick(&[0, 0, 10, 20]),
            noise: *random.pick(&[0, 10, 30]),
            cancels: *random.pick(&[0, 0, 0, 20, 100]),
            early: *random.pick(&[0, 0, 10, 30]),
            random,
        };
        world.work = NonZeroU32::new(*world.random.pick(&[0, 0, 1, 3, 20]));
        world.live(input);
        let World { run, ledger, events, transitions, .. } = world;
        History { events, transitions, snapshot: run.snapshot(), steps: ledger.finished, high_water: ledger.high_water }
    }

    fn live(&mut self, input: Value) {
        let run = RunId::parse("run").unwrap();
        let (workflow, input) = (self.plan.digest().clone(), Arc::new(input));
        self.apply(Event::Started { run, workflow, semantics: SEMANTICS, input, ancestry: Vec::new(), work: self.work, at: self.at() });
        while self.run.outcome().is_none() {
            assert!(self.events.len() < EVENTS_MAX, "the run does not end");
            self.now += self.random.below(400) as i64;
            if self.random.percent(self.noise) {
                self.make_noise();
            }
            let event = self.early_answer().unwrap_or_else(|| self.something());
            self.apply(event);
        }
        // The last calls to answer may come after the end.
        for _ in 0..2 {
            self.make_noise();
        }
    }

    fn at(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.now)
    }

    /// Applies an event, and checks everything.
    fn apply(&mut self, event: Event) {
        let transition = self.run.apply(event.clone()).unwrap_or_else(|mismatch| panic!("{event:?}: {mismatch}"));
        if self.verbose {
            eprintln!("{event:?}\n    {:?}\n    {:?}", transition.commands, transition.changes);
        }
        self.ledger.note(&event, &transition);
        match &event {
            Event::Started { .. } => assert!(self.run.apply(event.clone()).is_err(), "a run starts once"),
            // A second wish to cancel is one of its own: it ends the handlers. And more can be more than once.
            Event::CancelRequested { .. } | Event::Continued { .. } => {}
            Event::Kept { .. }
            | Event::Replied { .. }
            | Event::Failed { .. }
            | Event::Asked { .. }
            | Event::Answered { .. }
            | Event::TimerFired { .. }
            | Event::Exhausted { .. }
            | Event::Called { .. }
            | Event::Resumed { .. } => {
                assert_eq!(self.run.apply(event.clone()), Ok(Transition::default()), "{event:?} again");
            }
        }
        self.events.push(event);
        self.transitions.push(transition);
        self.check_status();
        if self.crashes == Crashes::AfterEveryEvent {
            self.crash();
        }
    }

    /// What the run says of itself is what its transitions said.
    fn check_status(&self) {
        let expected = match &self.ledger.outcome {
            Some(outcome) => outcome.status(),
            None if !self.ledger.waiting.is_empty() && !self.run.is_cut() => RunStatus::InputRequired,
            None => RunStatus::Running,
        };
        assert_eq!(self.run.status(), expected);
        assert!(self.run.waiting().iter().eq(&self.ledger.waiting), "{:?} wait", self.ledger.waiting);
    }

    /// The process ends, and another one goes on from what was written.
    fn crash(&mut self) {
        let written: Vec<_> = self.events.iter().map(|event| serde_json::to_string(event).unwrap()).collect();
        let (mut run, mut ledger) = (Run::new(Arc::clone(self.plan)), Ledger::new(self.plan));
        for (text, expected) in written.iter().zip(&self.transitions) {
            let event: Event = serde_json::from_str(text).unwrap();
            let transition = run.apply(event.clone()).unwrap();
            assert_eq!(transition, *expected, "{event:?} after a crash");
            ledger.note(&event, &transition);
        }
        assert_eq!(run.snapshot(), self.run.snapshot(), "after a crash");
        let open = |ledger: &Ledger| (ledger.calls.clone(), ledger.timers.clone(), ledger.waiting.clone());
        assert_eq!(open(&ledger), open(&self.ledger), "what is asked for again is what was open");
        self.run = run;
    }

    /// An answer to a step that has not asked yet.
    fn early_answer(&mut self) -> Option<Event> {
        if !self.random.percent(self.early) {
            return None;
        }
        let unasked = self.plan.nodes().filter_map(|(_, node)| self.run.unasked(node.path.as_str())).map(|(path, _)| path.clone());
        let unasked: Vec<Path> = unasked.collect();
        let path = (!unasked.is_empty()).then(|| self.random.pick(&unasked).clone())?;
        Some(Event::Answered { path, answer: Arc::new(generate::small(&mut self.random)), note: None, at: self.at() })
    }

    /// Something that has to be possible now.
    fn something(&mut self) -> Event {
        if self.random.below(1000) < self.cancels {
            let (reason, at) = ("enough".to_owned(), self.at());
            return if self.random.percent(25) { Event::Exhausted { reason, at } } else { Event::CancelRequested { reason, at } };
        }
        let (calls, waiting) = (self.ledger.calls.len(), self.ledger.waiting.len());
        let timers = usize::from(!self.ledger.timers.is_empty());
        if self.run.is_cut() && (calls + waiting + timers == 0 || self.random.percent(70)) {
            return Event::Continued { work: NonZeroU32::new(1 + self.random.below(30) as u32).unwrap(), at: self.at() };
        }
        assert!(calls + waiting + timers > 0, "the run is stuck: it waits for nothing and has not ended");
        let chosen = self.random.below(calls + waiting + timers);
        if chosen < calls {
            let (path, attempt) = self.ledger.calls.iter().nth(chosen).map(|(path, attempt)| (path.clone(), *attempt)).unwrap();
            return self.outcome_of(path, attempt);
        }
        match self.ledger.waiting.iter().nth(chosen - calls).cloned() {
            Some(path) => Event::Answered { path, answer: Arc::new(generate::small(&mut self.random)), note: None, at: self.at() },
            None => self.next_timer(),
        }
    }

    /// Time passes until the first timer is due; of several the seed chooses one.
    fn next_timer(&mut self) -> Event {
        let due = *self.ledger.timers.values().min().unwrap();
        let first: Vec<_> = self.ledger.timers.iter().filter(|(_, at)| **at <= due).map(|(key, _)| key.clone()).collect();
        let (path, timer) = self.random.pick(&first).clone();
        self.now = self.now.max(due.unix_ms());
        Event::TimerFired { path, timer, at: self.at() }
    }

    fn outcome_of(&mut self, path: Path, attempt: u32) -> Event {
        let at = self.at();
        let used = || Arc::new(AgentUsed { name: "agent".to_owned(), card: None, reason: "the only one".to_owned() });
        let by = self.random.percent(50).then(used);
        if self.random.percent(self.failures) {
            let (error, entropy) = (self.error(), self.random.next() as u32);
            return Event::Failed { path, attempt, error, by, inputs: None, entropy, at };
        }
        if self.random.percent(self.questions) {
            let remote = RemoteTask { task_id: format!("task-{}", self.events.len()), context_id: "context".to_owned() };
            let (schema, prompt) = (None, Arc::new(generate::small(&mut self.random)));
            let question = Question { remote: Some(remote), schema, auth: self.random.percent(10), prompt };
            return Event::Asked { path, attempt, question, by, inputs: None, at };
        }
        Event::Replied { path, attempt, value: Arc::new(generate::small(&mut self.random)), by, inputs: None, at }
    }

    fn error(&mut self) -> StepError {
        use ErrorClass::{AgentError, InvalidReply, NoAgent, RateLimited, Rejected, Timeout, TooLarge, Unavailable};
        let classes = [Timeout, Unavailable, Unavailable, RateLimited, AgentError, AgentError, Rejected, InvalidReply, TooLarge, NoAgent];
        let retry_after_ms = self.random.percent(10).then(|| self.random.below(100_000) as u64);
        StepError::new(*self.random.pick(&classes), "it went wrong").with(|error| error.retry_after_ms = retry_after_ms)
    }

    /// Something that comes too late: nothing may follow from it.
    fn make_noise(&mut self) {
        if self.ledger.stale.is_empty() {
            return;
        }
        let event = match self.random.pick(&self.ledger.stale).clone() {
            Stale::Attempt(path, attempt) => self.outcome_of(path, attempt),
            // The next wait for a retry, and the next question, of the same step would be meant.
            Stale::Timer(path, Timer::Retry) | Stale::Question(path) if !self.ledger.is_over(&path) => return,
            Stale::Timer(path, timer) => Event::TimerFired { path, timer, at: self.at() },
            Stale::Question(path) => Event::Answered { path, answer: Arc::new(json!("late")), note: None, at: self.at() },
        };
        assert_eq!(self.run.apply(event.clone()), Ok(Transition::default()), "{event:?} came late");
    }
}
