//! What must hold after every transition of every run, and what is open outside: calls, timers, questions.
//!
//! Knows of a run only what its transitions say, as an engine does.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use gantry::interpreter::{Change, Command, Event, Outcome, RemoteTask, StepStatus, Timer, Transition};
use gantry::plan::{Handler, NodeKind, Path, Plan};
use gantry::time::Timestamp;

/// Where a step is, as far as it was told.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Told {
    Started { attempt: u32 },
    Finished(StepStatus),
}

/// Something that came, or could have come, and means nothing any more.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stale {
    /// An attempt that has an outcome or was cancelled.
    Attempt(Path, u32),
    /// A timer of a step that is over.
    Timer(Path, Timer),
    /// A question of a step that is over.
    Question(Path),
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    steps: HashMap<Path, Told>,
    /// Calls in flight, with their attempt.
    pub(super) calls: BTreeMap<Path, u32>,
    pub(super) timers: BTreeMap<(Path, Timer), Timestamp>,
    pub(super) waiting: BTreeSet<Path>,
    /// The tasks that asked and have neither an answer nor an end, by step.
    asked: HashMap<Path, RemoteTask>,
    /// The tasks that were given an answer which may not have arrived, by step.
    told: HashMap<Path, RemoteTask>,
    pub(super) stale: Vec<Stale>,
    pub(super) outcome: Option<Outcome>,
    /// Groups and maps, and how many of their branches or items may run at once.
    windows: HashMap<String, usize>,
    handlers: Vec<(Handler, Path)>,
    cancels: usize,
    pub(super) finished: usize,
    pub(super) high_water: usize,
}

impl Ledger {
    pub(super) fn new(plan: &Plan) -> Self {
        let window = |kind: &NodeKind| match kind {
            NodeKind::Parallel { window, .. } | NodeKind::Map { window, .. } => Some(window.get() as usize),
            NodeKind::Call(_)
            | NodeKind::Conditional { .. }
            | NodeKind::Switch { .. }
            | NodeKind::Loop { .. }
            | NodeKind::Race { .. }
            | NodeKind::Workflow { .. }
            | NodeKind::Wait(_)
            | NodeKind::Input { .. }
            | NodeKind::Set(_)
            | NodeKind::Fail(_) => None,
        };
        let windows = plan.nodes().filter_map(|(_, node)| Some((node.id.to_string(), window(&node.kind)?))).collect();
        let first = |handler| {
            let sequence = plan.sequence(plan.handler(handler)?);
            Some((handler, plan.node(*sequence.steps.first()?).path.clone()))
        };
        let handlers = [Handler::OnSuccess, Handler::OnError, Handler::OnCancel, Handler::Always].into_iter().filter_map(first).collect();
        Self { windows, handlers, ..Self::default() }
    }

    /// Whether a step has ended.
    pub(super) fn is_over(&self, path: &Path) -> bool {
        self.outcome.is_some() || matches!(self.steps.get(path), Some(Told::Finished(_)))
    }

    /// Takes note of an event and of what followed from it.
    pub(super) fn note(&mut self, event: &Event, transition: &Transition) {
        if self.outcome.is_some() {
            assert_eq!(*transition, Transition::default(), "something follows after the end");
            return;
        }
        self.take(event);
        for change in &transition.changes {
            self.change(change);
        }
        for command in &transition.commands {
            self.command(command, transition);
        }
        let begins = |command: &Command| matches!(command, Command::Call(_) | Command::StartTimer { .. });
        let asks = |change: &Change| matches!(change, Change::StepWaiting { .. });
        if transition.commands.iter().any(begins) || transition.changes.iter().any(asks) {
            self.check_windows();
        }
        for change in &transition.changes {
            self.check_settled(change);
        }
        if self.outcome.is_some() {
            self.check_end();
        }
    }

    /// An outcome closes what it is an outcome of.
    fn take(&mut self, event: &Event) {
        match event {
            Event::Replied { path, attempt, .. } | Event::Failed { path, attempt, .. } | Event::Asked { path, attempt, .. } => {
                if self.calls.get(path) == Some(attempt) {
                    self.calls.remove(path);
                    self.stale.push(Stale::Attempt(path.clone(), *attempt));
                }
            }
            Event::Answered { path, .. } => {
                if self.waiting.remove(path) {
                    self.stale.push(Stale::Question(path.clone()));
                }
            }
            Event::TimerFired { path, timer, .. } => {
                // Nobody is asked any more, although a catch branch may keep the step open.
                if *timer == Timer::Deadline && self.waiting.remove(path) {
                    self.stale.push(Stale::Question(path.clone()));
                }
                self.forget_timer(path, *timer);
            }
            Event::CancelRequested { .. } => self.cancels += 1,
            Event::Started { .. }
            | Event::Kept { .. }
            | Event::Exhausted { .. }
            | Event::Called { .. }
            | Event::Continued { .. }
            | Event::Resumed { .. } => {}
        }
    }

    fn forget_timer(&mut self, path: &Path, timer: Timer) {
        if self.timers.remove(&(path.clone(), timer)).is_some() {
            self.stale.push(Stale::Timer(path.clone(), timer));
        }
    }

    fn change(&mut self, change: &Change) {
        assert!(self.outcome.is_none(), "{change:?} after the run's end");
        match change {
            Change::RunStarted => assert!(self.steps.is_empty(), "a run starts once"),
            Change::StepStarted { path, skill, attempt, .. } => self.started(path, skill.is_some(), *attempt),
            Change::StepRetrying { path, attempt, .. } => {
                let told = self.steps.get(path);
                assert_eq!(told, Some(&Told::Started { attempt: attempt - 1 }), "{path} is to be retried as attempt {attempt}");
            }
            Change::StepWaiting { path, question, .. } => {
                assert!(!matches!(self.steps.get(path), Some(Told::Finished(_))), "{path} waits after its end");
                assert!(self.waiting.insert(path.clone()), "{path} asks twice at once");
                self.told.remove(path);
                if let Some(remote) = &question.remote {
                    self.asked.insert(path.clone(), remote.clone());
                }
            }
            Change::StepFinished { path, status, error, attempts, .. } => {
                let made = matches!(self.steps.get(path), Some(Told::Started { attempt }) if attempt == attempts);
                assert!(made || *attempts == 0, "{path} says {attempts} attempts; {:?}", self.steps.get(path));
                self.settled(path, *status, error.is_some());
            }
            Change::RunFinished { outcome } => self.outcome = Some(outcome.clone()),
        }
    }

    fn started(&mut self, path: &Path, is_call: bool, attempt: u32) {
        match self.steps.insert(path.clone(), Told::Started { attempt }) {
            None => assert_eq!(attempt, 1, "the first attempt of {path}"),
            Some(Told::Started { attempt: before }) => {
                assert!(is_call, "{path} begins twice");
                assert_eq!(attempt, before + 1, "attempts of {path} are consecutive");
            }
            Some(Told::Finished(status)) => panic!("{path} begins after its end as {status:?}"),
        }
    }

    fn settled(&mut self, path: &Path, status: StepStatus, has_error: bool) {
        use StepStatus::{Canceled, Completed, Failed, Pending, Running, Skipped, Waiting};
        let asked = self.waiting.remove(path);
        if asked {
            self.stale.push(Stale::Question(path.clone()));
        }
        let before = self.steps.insert(path.clone(), Told::Finished(status));
        match (before, status) {
            (Some(Told::Finished(first)), _) => panic!("{path} ends twice, as {first:?} and {status:?}"),
            (_, Pending | Running | Waiting) => panic!("{path} ends as {status:?}"),
            (Some(Told::Started { .. }), Skipped) => panic!("{path} was started, and then skipped"),
            (_, Failed | Canceled) => assert!(has_error, "{path} ends as {status:?} without a reason"),
            (_, Completed | Skipped) => {}
        }
        self.finished += 1;
    }

    fn command(&mut self, command: &Command, transition: &Transition) {
        match command {
            Command::Call(call) => {
                let is_it = |change: &Change| matches!(change, Change::StepStarted { path, attempt, .. } if *path == call.path && *attempt == call.attempt);
                assert!(transition.changes.iter().any(is_it), "{} is called, and nobody was told", call.path);
                let before = self.calls.insert(call.path.clone(), call.attempt);
                assert_eq!(before, None, "two calls of {} at once", call.path);
                let told = self.told.remove(&call.path);
                if let Some(remote) = &call.resume {
                    let asked = self.asked.remove(&call.path).or(told);
                    assert_eq!(asked.as_ref(), Some(remote), "the answer goes to the task that asked");
                    self.told.insert(call.path.clone(), remote.clone());
                }
            }
            Command::CancelCall { path } => {
                let attempt = self.calls.remove(path);
                self.stale.push(Stale::Attempt(path.clone(), attempt.unwrap_or_else(|| panic!("{path} is not in flight"))));
            }
            Command::CancelTask { path, remote, .. } => {
                let asked = self.asked.remove(path).or_else(|| self.told.remove(path));
                assert_eq!(asked.as_ref(), Some(remote), "the task of {path} is the one that asked");
            }
            Command::StartTimer { path, timer, due } => {
                let before = self.timers.insert((path.clone(), *timer), *due);
                assert_eq!(before, None, "two {timer:?} timers of {path}");
            }
            Command::CancelTimer { path, timer } => self.forget_timer(path, *timer),
        }
    }

    /// What is over has nothing open, and neither has anything inside it.
    fn check_settled(&self, change: &Change) {
        let Change::StepFinished { path, .. } = change else { return };
        let is_inside = |other: &Path| {
            let rest = other.as_str().strip_prefix(path.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', '~', '!']))
        };
        let call = self.calls.keys().find(|other| is_inside(other));
        let timer = self.timers.keys().find(|(other, _)| is_inside(other));
        let question = self.waiting.iter().find(|other| is_inside(other));
        assert_eq!((call, timer, question), (None, None, None), "{path} is over");
        assert!(!self.asked.contains_key(path), "{path} is over, and the task that asked waits in vain");
    }

    /// Of each instance of a group no more branches are under way than its window lets through: with calls in flight, with questions, or
    /// with timers, which those have that wait, are to be retried or may not take too long.
    fn check_windows(&mut self) {
        let mut running: BTreeSet<(&str, &str)> = BTreeSet::new();
        for path in self.calls.keys().chain(&self.waiting).chain(self.timers.keys().map(|(path, _)| path)) {
            let text = path.as_str();
            for (at, _) in text.match_indices('[') {
                let index = text[at + 1..].split(']').next().unwrap_or_default();
                running.insert((&text[..at], index));
            }
        }
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (group, _) in running {
            *counts.entry(group).or_default() += 1;
        }
        for (group, count) in counts {
            let id = group.rsplit(':').next().unwrap_or_default();
            if let Some(window) = self.windows.get(id) {
                assert!(count <= *window, "{group} has {count} branches under way, {window} are allowed");
                self.high_water = self.high_water.max(count);
            }
        }
    }

    fn check_end(&self) {
        assert!(self.calls.is_empty(), "calls in flight at the end: {:?}", self.calls);
        assert!(self.timers.is_empty(), "timers at the end: {:?}", self.timers);
        assert!(self.waiting.is_empty(), "questions at the end: {:?}", self.waiting);
        for (path, told) in &self.steps {
            assert!(matches!(told, Told::Finished(_)), "{path} has not ended with the run");
        }
        self.check_handlers();
    }

    /// Which handlers ran is a matter of the outcome; `always` ran, whatever ended the handler before it.
    fn check_handlers(&self) {
        let ran = |path: &Path| matches!(self.steps.get(path), Some(Told::Finished(_)));
        let outcome = self.outcome.as_ref().expect("the run has ended");
        let by_outcome = self.handlers.iter().filter(|(handler, path)| *handler != Handler::Always && ran(path));
        assert!(by_outcome.clone().count() <= 1, "handlers of two outcomes ran");
        let (_, reason) = match outcome {
            Outcome::Completed { .. } => (Handler::OnSuccess, None),
            Outcome::Failed { error } => (Handler::OnError, Some(error.message.as_str())),
            Outcome::Canceled { .. } => (Handler::OnCancel, None),
        };
        for (handler, path) in &self.handlers {
            let failed_as = |name: &str| reason.is_some_and(|reason| reason.starts_with(name));
            let expected = match (handler, outcome) {
                (Handler::OnSuccess, Outcome::Completed { .. }) => true,
                // A handler that fails turns success into failure; there are no handlers for handlers.
                (Handler::OnSuccess, Outcome::Failed { .. }) => failed_as("on_success: ") || failed_as("always: "),
                (Handler::OnError, Outcome::Failed { .. }) => !(failed_as("on_success: ") || failed_as("always: ")),
                (Handler::OnCancel, Outcome::Canceled { .. }) => true,
                (Handler::OnSuccess | Handler::OnError | Handler::OnCancel, _) => false,
                (Handler::Always, _) => true,
            };
            // One that was canceled before it had begun.
            let is_canceled = self.cancels > usize::from(matches!(outcome, Outcome::Canceled { .. }));
            if expected && is_canceled && *handler != Handler::Always {
                continue;
            }
            assert_eq!(ran(path), expected, "{handler:?} of a run that ended as {outcome:?}");
        }
    }
}
