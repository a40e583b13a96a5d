//! One run as a state machine: the transition, and what can be read of it.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;

use serde_json::{Value, json};

use super::state::{CallPhase, CallState, Frame, FrameIndex, Phase, Place, State, Work};
use super::{Ancestor, Change, Command, Event, Mismatch, Outcome, Question, RemoteTask, RunStatus, SEMANTICS, Timer, Transition};
use crate::expression::Scope;
use crate::ids::RunId;
use crate::limits;
use crate::plan::{Path, Plan};
use crate::time::Timestamp;

/// An item of a map that completed: of which map, which item, and with what.
pub type Yielded = (Path, usize, Arc<Value>);

/// One run. Feed it events, carry out its commands.
#[derive(Debug)]
pub struct Run {
    pub(super) plan: Arc<Plan>,
    pub(super) id: Option<RunId>,
    /// Of the gantry that began it.
    pub(super) semantics: u32,
    pub(super) ancestry: Vec<Ancestor>,
    pub(super) started_at: Timestamp,
    pub(super) finished_at: Option<Timestamp>,
    /// The time of the newest event: what counts as now.
    pub(super) now: Timestamp,
    /// The time of the newest event that changed something that can be seen.
    pub(super) told_at: Timestamp,
    pub(super) phase: Phase,
    pub(super) frames: Vec<Frame>,
    /// Frames of repetitions that are over, to be used again.
    pub(super) free: Vec<FrameIndex>,
    /// Every step that was started, by path.
    pub(super) places: BTreeMap<Path, Place>,
    /// Steps that wait for an answer.
    pub(super) waiting: usize,
    /// Answers to steps that have not begun.
    pub(super) early: BTreeMap<Path, Arc<Value>>,
    /// What came with the answers, the last of it. Nothing here reads it.
    pub(super) notes: VecDeque<Arc<str>>,
    /// What items of maps that have not begun came to in the run that this one is a retry of.
    pub(super) kept: BTreeMap<Path, BTreeMap<usize, Arc<Value>>>,
    /// What items came to, for who wants to know: none unless it was asked for.
    pub(super) yielded: Option<Vec<Yielded>>,
    pub(super) agent_calls: u64,
    /// Steps begun, repetitions included; of the handlers' once these run.
    pub(super) steps: u64,
    pub(super) steps_max: u64,
    /// The same without a new count for the handlers.
    pub(super) executed: u64,
    /// Pieces of work done so far.
    pub(super) worked: u64,
    /// When each settled step was over. Kept beside the records, which expressions never see.
    pub(super) ended: BTreeMap<Place, Timestamp>,
    /// Pieces of work that are done for one event, if not all.
    pub(super) work_max: Option<NonZeroU32>,
    /// Those that may still be done for the last one.
    pub(super) work_left: u64,
    pub(super) work: VecDeque<Work>,
    /// What waits behind an event that came in the middle of a long transition, while it is looked at.
    pub(super) held: VecDeque<Work>,
    pub(super) out: Transition,
}

impl Run {
    /// A run that has not started: its first event must be `Started`.
    pub fn new(plan: Arc<Plan>) -> Self {
        Self {
            plan,
            id: None,
            semantics: SEMANTICS,
            ancestry: Vec::new(),
            started_at: Timestamp::default(),
            finished_at: None,
            now: Timestamp::default(),
            told_at: Timestamp::default(),
            phase: Phase::New,
            frames: Vec::new(),
            free: Vec::new(),
            places: BTreeMap::new(),
            waiting: 0,
            early: BTreeMap::new(),
            notes: VecDeque::new(),
            kept: BTreeMap::new(),
            yielded: None,
            agent_calls: 0,
            steps: 0,
            steps_max: limits::RUN_STEPS_MAX,
            executed: 0,
            worked: 0,
            ended: BTreeMap::new(),
            work_max: None,
            work_left: 0,
            work: VecDeque::new(),
            held: VecDeque::new(),
            out: Transition::default(),
        }
    }

    /// A run that has not started, and remembers what the items of its maps come to: see [`yielded`](Self::yielded).
    pub fn remembering_items(plan: Arc<Plan>) -> Self {
        Self { yielded: Some(Vec::new()), ..Self::new(plan) }
    }

    /// What the items of its maps came to, if they were to be remembered.
    pub fn yielded(self) -> Vec<Yielded> {
        self.yielded.unwrap_or_default()
    }

    /// The one transition. The same events always give the same transitions.
    ///
    /// Where [`Started`](Event::Started) bounds the work for one event, the rest is done for [`Continued`](Event::Continued) ones.
    ///
    /// An event for a step that is over changes nothing. An event that cannot be is a [`Mismatch`], and nothing has changed.
    pub fn apply(&mut self, event: Event) -> Result<Transition, Mismatch> {
        let mut whole = Transition::default();
        self.apply_in_parts(event, |part| whole.extend(part))?;
        Ok(whole)
    }

    /// As [`apply`](Self::apply), for those who need not hold the transition as a whole.
    pub fn apply_in_parts(&mut self, event: Event, mut take: impl FnMut(Transition)) -> Result<(), Mismatch> {
        take(self.enter(event)?);
        while self.is_busy() {
            take(self.proceed());
        }
        Ok(())
    }

    /// The first part of the transition that [`apply`](Self::apply) makes as a whole, which a map over a million items that calls
    /// nobody makes long; [`proceed`](Self::proceed) makes the next. The parts together are the transition.
    pub fn enter(&mut self, event: Event) -> Result<Transition, Mismatch> {
        debug_assert!(!self.is_busy(), "an event comes after the whole transition of the one before");
        self.check(&event)?;
        self.now = self.now.max(event.at());
        if let Phase::Ended(_) = self.phase {
            return Ok(Transition::default());
        }
        let is_cut = self.is_cut();
        if is_cut {
            self.held = std::mem::take(&mut self.work);
        }
        match event {
            Event::Started { run, semantics, input, ancestry, work, .. } => {
                self.semantics = semantics;
                self.work_max = work;
                self.start(run, input, ancestry);
            }
            Event::Continued { work, .. } if is_cut => {
                self.work = std::mem::take(&mut self.held);
                self.work_left = u64::from(work.get());
                return Ok(Transition { follows: true, ..self.proceed() });
            }
            Event::Continued { .. } => {}
            Event::Kept { path, index, value, .. } => _ = self.kept.entry(path).or_default().insert(index, value),
            Event::Replied { path, attempt, value, by, .. } => self.replied(&path, attempt, value, by),
            Event::Failed { path, attempt, error, by, entropy, .. } => self.failed(&path, attempt, error, by, entropy),
            Event::Asked { path, attempt, question, by, .. } => self.asked(&path, attempt, question, by),
            Event::Answered { path, answer, note, .. } => {
                self.keep(note);
                self.answered(&path, answer);
            }
            Event::TimerFired { path, timer, .. } => self.timer_fired(&path, timer),
            Event::Exhausted { reason, .. } => self.exhausted(reason),
            Event::CancelRequested { reason, .. } => self.cancel(reason),
            Event::Called { .. } | Event::Resumed { .. } => {}
        }
        if is_cut {
            // What follows from it comes after what waits, and is done with that.
            let follows = !self.work.is_empty();
            self.held.append(&mut self.work);
            self.work = std::mem::take(&mut self.held);
            self.work_left = 0;
            return Ok(Transition { follows, ..self.proceed() });
        }
        self.work_left = self.work_max.map_or(u64::MAX, |most| u64::from(most.get()));
        Ok(self.proceed())
    }

    /// Whether the transition of the last event has more parts.
    pub fn is_busy(&self) -> bool {
        !self.work.is_empty() && self.work_left > 0
    }

    /// Whether there is more to do than is done for one event: [`Event::Continued`] does more, and other events may come before it.
    pub fn is_cut(&self) -> bool {
        !self.work.is_empty() && self.work_left == 0
    }

    /// Does more of a transition that is cut, up to so many pieces: what [`Event::Continued`] with all of them together does. Returns how many
    /// they were.
    pub fn do_more(&mut self, most: u32, at: Timestamp) -> (Transition, u32) {
        self.now = self.now.max(at);
        self.work_left = u64::from(most);
        let mut part = Transition { follows: true, ..Transition::default() };
        while self.is_busy() {
            part.extend(self.proceed());
        }
        let done = most - u32::try_from(self.work_left).unwrap_or(0);
        self.work_left = 0;
        (part, done)
    }

    /// The next part of a transition.
    pub fn proceed(&mut self) -> Transition {
        self.drain(limits::TRANSITION_PART);
        if !self.out.changes.is_empty() {
            self.told_at = self.now;
        }
        Transition { follows: self.is_cut(), ..std::mem::take(&mut self.out) }
    }

    fn keep(&mut self, note: Option<Arc<str>>) {
        self.notes.extend(note);
        if self.notes.len() > limits::RUN_NOTES_MAX {
            self.notes.pop_front();
        }
    }

    /// Where the run is. In the middle of a transition it is at work, whatever waits by then.
    pub fn status(&self) -> RunStatus {
        match &self.phase {
            Phase::New | Phase::Steps | Phase::Handlers { .. } if self.waiting > 0 && self.work.is_empty() => RunStatus::InputRequired,
            Phase::New | Phase::Steps | Phase::Handlers { .. } => RunStatus::Running,
            Phase::Ended(outcome) => outcome.status(),
        }
    }

    /// When its newest event happened.
    pub fn changed_at(&self) -> Timestamp {
        self.now
    }

    /// How it ended.
    pub fn outcome(&self) -> Option<&Outcome> {
        if let Phase::Ended(outcome) = &self.phase { Some(outcome) } else { None }
    }

    /// What it will end as, or has: known once its steps are over, while handlers may still run.
    pub fn fate(&self) -> Option<&Outcome> {
        match &self.phase {
            Phase::New | Phase::Steps => None,
            Phase::Handlers { outcome, .. } | Phase::Ended(outcome) => Some(outcome),
        }
    }

    /// The runs above this one, outermost first.
    pub fn ancestry(&self) -> &[Ancestor] {
        &self.ancestry
    }

    /// Steps begun so far, repetitions included.
    pub fn executed(&self) -> u64 {
        self.executed
    }

    /// Pieces of work done so far, which is what [`Event::Continued`] counts.
    pub fn worked(&self) -> u64 {
        self.worked
    }

    /// Attempts at calls so far, answers to agents included.
    pub fn agent_calls(&self) -> u64 {
        self.agent_calls
    }

    /// Its plan.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Paths of the steps that wait for an answer, in order.
    pub fn waiting(&self) -> Vec<Path> {
        let waits = |place: &Place| match self.state(*place) {
            Some(State::Call(call)) => matches!(call.phase, CallPhase::Waiting(_)),
            Some(State::Input { .. }) => true,
            Some(
                State::Group(_)
                | State::Body { .. }
                | State::Map(_)
                | State::Loop(_)
                | State::Wait { .. }
                | State::Over { .. }
                | State::Catching(_)
                | State::Settled(_),
            )
            | None => false,
        };
        self.places.iter().filter(|(_, place)| waits(place)).map(|(path, _)| path.clone()).collect()
    }

    /// Whether a step that waits asks for access, not for data.
    pub fn asks_access(&self) -> bool {
        self.waiting > 0 && self.waiting().iter().any(|path| self.question(path).is_some_and(|question| question.auth))
    }

    /// Which attempt of the step of this path asks, while it waits; 0 for a question of the workflow's own.
    pub fn asking(&self, path: &Path) -> Option<u32> {
        self.open_question(path).map(|(_, attempt)| attempt)
    }

    /// What the step of this path asks, while it waits.
    pub fn question(&self, path: &Path) -> Option<&Question> {
        self.open_question(path).map(|(question, _)| question)
    }

    fn open_question(&self, path: &Path) -> Option<(&Question, u32)> {
        match self.state(*self.places.get(path)?)? {
            State::Call(CallState { phase: CallPhase::Waiting(question), attempt, .. }) => Some((question, *attempt)),
            State::Input { question, .. } => Some((question, 0)),
            State::Call(_)
            | State::Group(_)
            | State::Body { .. }
            | State::Map(_)
            | State::Loop(_)
            | State::Wait { .. }
            | State::Over { .. }
            | State::Catching(_)
            | State::Settled(_) => None,
        }
    }

    /// The tasks at others that its steps go on with or wait to go on with.
    pub fn remote_tasks(&self) -> Vec<RemoteTask> {
        let of = |place: &Place| match self.state(*place) {
            Some(State::Call(CallState { phase: CallPhase::Waiting(question), .. })) => question.remote.clone(),
            Some(State::Call(CallState { resume: Some((remote, _)), .. })) => Some(remote.clone()),
            Some(_) | None => None,
        };
        self.places.values().filter_map(of).collect()
    }

    fn check(&self, event: &Event) -> Result<(), Mismatch> {
        match event {
            Event::Started { workflow, semantics, .. } => {
                if !matches!(self.phase, Phase::New) {
                    return Err(Mismatch::Start);
                }
                if *semantics > SEMANTICS {
                    return Err(Mismatch::Semantics(*semantics));
                }
                if workflow != self.plan.digest() {
                    return Err(Mismatch::Plan { expected: workflow.to_string(), found: self.plan.digest().to_string() });
                }
                Ok(())
            }
            _ if matches!(self.phase, Phase::New) => Err(Mismatch::Start),
            Event::Replied { path, attempt, .. } | Event::Failed { path, attempt, .. } | Event::Asked { path, attempt, .. } => {
                let Some(place) = self.known(path)? else { return Ok(()) };
                match self.state(place) {
                    Some(State::Call(call)) if *attempt > call.attempt || *attempt == 0 => {
                        Err(Mismatch::Attempt { path: path.clone(), attempt: *attempt })
                    }
                    Some(State::Call(_) | State::Over { .. } | State::Catching(_) | State::Settled(_)) => Ok(()),
                    Some(
                        State::Group(_) | State::Body { .. } | State::Map(_) | State::Loop(_) | State::Wait { .. } | State::Input { .. },
                    )
                    | None => Err(Mismatch::Path(path.clone())),
                }
            }
            // It is looked at when the map begins.
            Event::Kept { .. } => Ok(()),
            Event::TimerFired { path, .. } if *path == Path::run() => Ok(()),
            Event::Answered { path, .. } if self.is_unasked(path) => Ok(()),
            Event::Answered { path, .. } | Event::TimerFired { path, .. } | Event::Called { path, .. } => self.known(path).map(|_| ()),
            Event::Continued { .. } | Event::Exhausted { .. } | Event::CancelRequested { .. } | Event::Resumed { .. } => Ok(()),
        }
    }

    /// The step of a path; none when it was part of a repetition that is over, and a mismatch when it never began.
    fn known(&self, path: &Path) -> Result<Option<Place>, Mismatch> {
        if let Some(place) = self.places.get(path) {
            return Ok(Some(*place));
        }
        let text = path.as_str();
        let over = text.rmatch_indices('[').any(|(at, _)| {
            let container = text[..at].trim_end_matches('~');
            let in_reduce = container.len() < at;
            let index = text[at + 1..].split(']').next().and_then(|index| index.parse::<usize>().ok());
            match (self.places.get(&Path::new(container)).and_then(|place| self.state(*place)), index) {
                // A catch branch runs when everything in the container that failed is over.
                (Some(State::Settled(_) | State::Catching(_) | State::Over { .. }), _) => true,
                (Some(State::Map(map)), Some(index)) => match (map.reducing, in_reduce) {
                    (false, false) => index < map.next && !map.frames.contains_key(&index),
                    (false, true) => false,
                    (true, false) => index < map.next,
                    (true, true) => map.frames.keys().any(|reduced| index < *reduced),
                },
                (Some(State::Loop(repeated)), Some(index)) => index < repeated.iteration as usize,
                _ => false,
            }
        });
        if over { Ok(None) } else { Err(Mismatch::Path(path.clone())) }
    }

    /// Where a step stands, repetitions included.
    pub(super) fn path(&self, place: Place) -> Path {
        let (frame, node) = (self.frame(place.frame), self.plan.node(place.node));
        if frame.strip == 0 { node.path.clone() } else { Path::new(format!("{}{}", frame.prefix, &node.path.as_str()[frame.strip..])) }
    }

    fn start(&mut self, run: RunId, input: Arc<Value>, ancestry: Vec<Ancestor>) {
        self.started_at = self.now;
        self.ancestry = ancestry;
        let plan = Arc::clone(&self.plan);
        self.id = Some(run);
        let values = BTreeMap::from([(Arc::from("workflow"), Arc::clone(plan.identity())), (Arc::from("workflow.input"), input)]);
        self.frames.push(Frame {
            home: None,
            prefix: Arc::from(""),
            strip: 0,
            values,
            views: BTreeMap::new(),
            states: BTreeMap::new(),
            last: BTreeMap::new(),
        });
        self.phase = Phase::Steps;
        self.set_run_value(RunStatus::Running, None);
        self.out.changes.push(Change::RunStarted);
        if let Some(max) = plan.workflow().limits.max_duration {
            self.out.commands.push(Command::StartTimer { path: Path::run(), timer: Timer::Deadline, due: self.now.plus(max) });
        }
        self.work.push_back(Work::Begin(FrameIndex(0), plan.root()));
    }

    /// `run.*` as expressions see it.
    pub(super) fn set_run_value(&mut self, status: RunStatus, error: Option<Value>) {
        let id = self.id.as_ref().map(ToString::to_string);
        let value = json!({"id": id, "started_at": self.started_at.to_string(), "status": status.as_str(), "error": error});
        self.frames[0].values.insert(Arc::from("run"), Arc::new(value));
    }

    fn drain(&mut self, most: usize) {
        for _ in 0..self.work_left.min(most as u64) {
            let Some(work) = self.work.pop_front() else { return };
            self.work_left -= 1;
            self.worked += 1;
            match work {
                Work::Begin(frame, sequence) => self.begin(frame, sequence),
                Work::Step(place) => self.step(place),
                Work::Settle(place, record) => self.settle(place, record),
                Work::Reduce(place, index, accumulator) => self.reduce_result(place, index, accumulator),
                Work::End(frame, sequence, end) => self.end(frame, sequence, end),
            }
        }
    }

    pub(super) fn frame(&self, index: FrameIndex) -> &Frame {
        &self.frames[index.0 as usize]
    }

    pub(super) fn frame_mut(&mut self, index: FrameIndex) -> &mut Frame {
        &mut self.frames[index.0 as usize]
    }

    pub(super) fn state(&self, place: Place) -> Option<&State> {
        self.frame(place.frame).states.get(&place.node).map(|state| &**state)
    }

    pub(super) fn state_mut(&mut self, place: Place) -> Option<&mut State> {
        self.frame_mut(place.frame).states.get_mut(&place.node).map(|state| &mut **state)
    }

    pub(super) fn set_state(&mut self, place: Place, state: State) {
        self.frame_mut(place.frame).states.insert(place.node, Box::new(state));
    }

    /// Evaluates something with the names that a frame sees.
    pub(super) fn with_scope<T>(&self, frame: FrameIndex, evaluate: impl FnOnce(&Scope<'_>) -> T) -> T {
        // Frames nest as deep as steps do, which is bounded; the recursion builds the chain of scopes on the stack.
        fn chain<T>(run: &Run, open: &mut Vec<FrameIndex>, parent: Option<&Scope<'_>>, evaluate: impl FnOnce(&Scope<'_>) -> T) -> T {
            let frame = run.frame(open.pop().expect("the innermost frame is reached before the list is empty"));
            let scope = Scope { parent, values: &frame.values, steps: &frame.views };
            if open.is_empty() { evaluate(&scope) } else { chain(run, open, Some(&scope), evaluate) }
        }
        let mut open = vec![frame];
        while let Some(home) = self.frame(open[open.len() - 1]).home {
            open.push(home.place.frame);
        }
        chain(self, &mut open, None, evaluate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Digest;

    fn plan(steps: &str) -> Arc<Plan> {
        let text = format!("metadata: {{id: w, name: W, version: 1.0.0}}\nsteps:\n{steps}");
        let workflow = crate::workflow::parse(&text).workflow.unwrap();
        Arc::new(Plan::new(workflow, text, Digest::parse(&format!("sha256:{}", "0".repeat(64))).unwrap()))
    }

    fn started(plan: &Plan, input: Value) -> Event {
        let (run, at) = (RunId::parse("run").unwrap(), Timestamp::from_unix_ms(0));
        Event::Started {
            run,
            workflow: plan.digest().clone(),
            semantics: SEMANTICS,
            input: Arc::new(input),
            ancestry: Vec::new(),
            work: None,
            at,
        }
    }

    #[test]
    fn a_reduction_over_many_results_comes_in_parts() {
        let parts = |reduce: &str| {
            let steps = format!(
                "- {{id: m, step_type: map, items: \"{{{{ workflow.input.items }}}}\", steps: [{{id: v, step_type: set, value: 1}}]{reduce}}}"
            );
            let plan = plan(&steps);
            let event = started(&plan, json!({ "items": (0..9000).collect::<Vec<_>>() }));
            let mut run = Run::new(plan);
            let mut parts = 0;
            run.apply_in_parts(event, |_| parts += 1).unwrap();
            (parts, run.outcome().cloned())
        };
        let (without, _) = parts("");
        let (with, outcome) = parts(", reduce: {initial: 0, expression: \"{{ accumulator + item }}\"}");
        assert_eq!(outcome, Some(Outcome::Completed { output: Arc::new(json!(9000)) }));
        assert!(with >= without + 9000 / limits::TRANSITION_PART, "{with} parts, {without} without a reduction");
    }

    #[test]
    fn a_long_transition_comes_in_parts_that_are_the_whole_together() {
        for steps in [
            "- {id: m, step_type: map, items: \"{{ workflow.input.items }}\", steps: [{id: v, step_type: set, value: \"{{ item }}\"}]}",
            "- {id: l, step_type: loop, while: \"{{ iteration < 9000 }}\", max_iterations: 9000, steps: [{id: v, step_type: set, value: 1}]}",
            "- {id: m, step_type: map, items: \"{{ workflow.input.items }}\", steps: [{id: f, step_type: fail, error: {code: x, message: no}}], tolerate_failures: 9000}",
        ] {
            let plan = plan(steps);
            let event = started(&plan, json!({ "items": (0..9000).collect::<Vec<_>>() }));
            let mut at_once = Run::new(Arc::clone(&plan));
            let whole = at_once.apply(event.clone()).unwrap();
            let mut in_parts = Run::new(plan);
            let mut parts = vec![in_parts.enter(event).unwrap()];
            while in_parts.is_busy() {
                assert_eq!(in_parts.status(), RunStatus::Running);
                parts.push(in_parts.proceed());
            }
            assert!(parts.len() > 3, "{} parts of {steps}", parts.len());
            assert!(parts.iter().all(|part| part.changes.len() <= 2 * limits::TRANSITION_PART), "{steps}");
            let changes: Vec<_> = parts.into_iter().flat_map(|part| part.changes).collect();
            assert_eq!((changes.len(), &changes), (whole.changes.len(), &whole.changes), "{steps}");
            assert_eq!(in_parts.snapshot(), at_once.snapshot(), "{steps}");
            assert_eq!(in_parts.status(), RunStatus::Completed);
        }
    }

    #[test]
    fn what_is_more_than_is_done_for_one_event_is_done_for_the_next() {
        let plan = plan(
            "- {id: l, step_type: loop, while: \"{{ iteration < 90 }}\", max_iterations: 90, steps: [{id: v, step_type: set, value: 1}]}",
        );
        let mut event = started(&plan, json!({}));
        let whole = Run::new(Arc::clone(&plan)).apply(event.clone()).unwrap();
        let most = NonZeroU32::new(16).unwrap();
        let Event::Started { work, .. } = &mut event else { unreachable!() };
        *work = Some(most);
        let (mut run, mut changes, mut events) = (Run::new(plan), Vec::new(), 0);
        changes.extend(run.apply(event).unwrap().changes);
        while run.is_cut() {
            assert!(!run.is_busy() && run.status() == RunStatus::Running && run.outcome().is_none());
            let at = Timestamp::from_unix_ms(1000 + events);
            let more = run.apply(Event::Continued { work: most, at }).unwrap();
            assert!(more.follows && more.changes.len() <= 16, "{more:?}");
            assert_eq!(run.changed_at(), at);
            changes.extend(more.changes);
            events += 1;
        }
        assert_eq!((changes, events > 10), (whole.changes, true), "{events} events");
        assert_eq!(run.status(), RunStatus::Completed);
        let finished = run.snapshot().finished_at.unwrap();
        assert_eq!(finished.unix_ms(), 1000 + events - 1, "it ended when the last of it was done");
        assert_eq!(run.apply(Event::Continued { work: most, at: finished }), Ok(Transition::default()), "there is no more");
    }
}
