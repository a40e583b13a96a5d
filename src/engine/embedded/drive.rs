//! One run's task: what happens → event → interpreter → journal → commands, in a loop.

mod bounds;
mod carry_out;
mod children;
mod control;
mod more;
mod near;
mod record;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tracing::{Instrument, debug, error, info, info_span};

pub(super) use self::control::{Answer, Control};
use self::near::Near;
use super::invoke::{Lineage, Ties};
use super::outstanding::{GivenUp, Outstanding};
use super::registrar::Running;
use super::rest::Resting;
use super::timers::Timers;
use super::tree::{Exceeded, Usage};
use super::turns::Turns;
use super::{Embedded, now};
use crate::agent::Hold;
use crate::engine::watchers::{Updates, Watchers};
use crate::engine::{Error, Subscription};
use crate::ids::RunId;
use crate::interpreter::{Event, Mismatch, Run, RunStatus, Snapshot, Transition};
use crate::journal::Used;
use crate::limits;
use crate::plan::Path;
use crate::time::Timestamp;

/// Something that happened, before it is an event.
enum Happened {
    Control(Control),
    Called(Event),
    Fired(Event),
    /// There is more to do of what followed before.
    Nothing,
    /// A call has ended without an outcome that anybody waits for: it was cancelled.
    Silence,
}

impl Happened {
    /// What came of a call with a task of its own.
    fn joined(joined: Result<Option<Event>, JoinError>) -> Self {
        match joined {
            Ok(Some(event)) => Self::Called(event),
            Ok(None) => Self::Silence,
            Err(failure) => {
                error!(%failure, "a call's task failed");
                Self::Silence
            }
        }
    }
}

pub(super) struct Driver {
    engine: Embedded,
    id: RunId,
    run: Run,
    running: Arc<Running>,
    inbox: mpsc::Receiver<Control>,
    /// What was asked for during a long transition and changes the run: it has its turn after it.
    deferred: VecDeque<Control>,
    /// The last thing that happened in the middle of a long transition was that somebody wanted something.
    was_asked: bool,
    watchers: Watchers,
    seq: u64,
    at: Timestamp,
    near: Near,
    /// What came of it while the run waited for the journal.
    heard: Option<Event>,
    /// Calls made at the same time as that one.
    calls: JoinSet<Option<Event>>,
    /// How the calls under way are given up.
    ties: HashMap<Path, Ties>,
    /// Those of calls that have ended: released once that is stored.
    holds: Vec<Hold>,
    /// The questions that the run above this one may pass on: which step asks, and which attempt.
    asked: Vec<(Path, u32)>,
    timers: Timers,
    lineage: Arc<Lineage>,
    /// What of the run's own use is in the count of its tree.
    counted: Used,
    /// Calls that may still be made of those that were counted last, and why not more.
    granted: Option<(u64, Exceeded)>,
    parking: bool,
    /// What counted as now when the run came back to memory.
    woken: Option<Timestamp>,
    /// Where the run is as the journal has it.
    told: RunStatus,
    /// Another process had the run last.
    recovered: bool,
    /// When this process took the run up, until it is in the journal: that is written with the next event, since a start has no time to
    /// write it for each of many runs.
    resumed: Option<Timestamp>,
    /// What that process gave up at last.
    given_up: Vec<GivenUp>,
    /// The journal knows that the run waits for nothing but people and timers.
    is_known_to_rest: bool,
    /// It leaves memory.
    resting: bool,
    waiters: Vec<oneshot::Sender<Snapshot>>,
}

impl Driver {
    pub(super) fn new(
        engine: Embedded,
        id: RunId,
        run: Run,
        running: Arc<Running>,
        inbox: mpsc::Receiver<Control>,
        usage: Arc<Usage>,
    ) -> Box<Self> {
        Box::new(Self {
            engine,
            id,
            run,
            running,
            inbox,
            deferred: VecDeque::new(),
            was_asked: false,
            watchers: Watchers::default(),
            seq: 0,
            at: Timestamp::default(),
            near: Near::default(),
            heard: None,
            calls: JoinSet::new(),
            ties: HashMap::new(),
            holds: Vec::new(),
            asked: Vec::new(),
            timers: Timers::default(),
            lineage: Arc::new(Lineage::new(Vec::new(), usage)),
            counted: Used::default(),
            granted: None,
            parking: false,
            woken: None,
            told: RunStatus::Running,
            recovered: false,
            resumed: None,
            given_up: Vec::new(),
            is_known_to_rest: false,
            resting: false,
            waiters: Vec::new(),
        })
    }

    pub(super) fn run_id(&self) -> &RunId {
        &self.id
    }

    /// The run does not begin.
    pub(super) fn forget(self: Box<Self>) {
        self.engine.inner.runs.remove(&self.id, &self.running);
    }

    /// The run goes on, and this much of it was counted before.
    pub(super) fn resumes_at(&mut self, counted: Used) {
        self.counted = counted;
    }

    /// Everything that is told of it, from the first.
    pub(super) fn watch(&mut self) -> Updates {
        self.watchers.add()
    }

    /// The run is one of an earlier process.
    pub(super) fn recovered(&mut self) {
        self.recovered = true;
    }

    /// The run has rested until now.
    pub(super) fn woken(&mut self, rested: Resting) {
        self.woken = Some(rested.now());
        self.is_known_to_rest = rested.is_known;
        self.recovered = rested.recovered;
        self.resumed = rested.resumed;
        self.watchers = rested.watchers;
        self.waiters = rested.waiters;
    }

    /// Drives the run from the events that are in the journal already to its end: from `Started` alone for a new run, from
    /// all of them after a restart. What had an outcome is not asked for again.
    pub(super) fn drive(mut self: Box<Self>, events: Vec<Event>) -> impl Future<Output = ()> {
        // Nobody's span is around it, whoever starts it: it goes on without them.
        let span = info_span!(parent: None, "run", run_id = %self.id, workflow = %self.run.plan().workflow().metadata.id);
        async move {
            let outcome = match self.replay(events).await {
                Ok(transition) => {
                    let digest = self.run.plan().digest();
                    if self.recovered {
                        self.resumed.get_or_insert(self.at);
                    }
                    // Of a run of which nothing but the start is known, everything is told once more.
                    let seq = self.seq + transition.changes.len() as u64;
                    match (&self.woken, self.recovered) {
                        (Some(_), _) => debug!(seq, "run woken"),
                        (None, true) => info!(%digest, seq, "run resumed"),
                        (None, false) => info!(%digest, seq = self.seq, "run started"),
                    }
                    match self.begin(transition).await {
                        Ok(()) => self.work().await,
                        failed => failed,
                    }
                }
                Err(mismatch) => Err(Error::Mismatch(mismatch)),
            };
            let faithful = outcome.is_ok();
            if self.resting && faithful {
                // Boxed, like all that few runs need: a run at work is small.
                return Box::pin(self.rest()).await;
            }
            match outcome {
                Err(error) => error!(%error, "run stopped"),
                Ok(()) if self.run.outcome().is_none() => info!("run parked"),
                Ok(()) => info!(status = self.run.status().as_str(), "run finished"),
            }
            self.close(faithful).await;
        }
        .instrument(span)
    }

    /// What follows from the events that has not been seen to yet: of a new run's only event the first part.
    async fn replay(&mut self, mut events: Vec<Event>) -> Result<Transition, Mismatch> {
        let transition = match events.pop() {
            Some(first) if events.is_empty() && self.woken.is_none() => {
                self.at = self.at.max(first.at());
                self.run.enter(first)?
            }
            // Boxed: a new run needs none of this.
            last => Box::pin(self.rebuild(events.into_iter().chain(last))).await?,
        };
        self.set_lineage();
        // What is left of a timer counts from here.
        self.at = self.at.max(self.woken.unwrap_or_else(now));
        Ok(transition)
    }

    /// What is outstanding after all of these events.
    async fn rebuild(&mut self, events: impl Iterator<Item = Event> + Send) -> Result<Transition, Mismatch> {
        let (mut outstanding, mut turns) = (Outstanding::default(), Turns::new());
        for event in events {
            self.at = self.at.max(event.at());
            outstanding.note(&event);
            let note = |part: Transition| {
                // Told before the restart; only their count goes on.
                self.seq += part.changes.len() as u64;
                outstanding.add(part.commands);
                true
            };
            turns.apply(&mut self.run, event, note).await?;
        }
        if self.recovered {
            self.given_up = outstanding.take_given_up(now());
        }
        Ok(Transition { commands: outstanding.commands(), ..Transition::default() })
    }

    /// Sees to what follows from the events that are in the journal.
    async fn begin(&mut self, transition: Transition) -> Result<(), Error> {
        let (at, mut transitions) = (self.at, vec![transition]);
        let resumed = self.seq > 0;
        self.count();
        if resumed {
            self.note_questions();
            if self.run.plan().may_start_runs() {
                Box::pin(self.look_after_children(&transitions[0])).await;
            }
            // Their number was looked at before they were made for the first time.
            self.granted = None;
        }
        match self.exhausted() {
            None => self.settle_status(&transitions[0]).await?,
            Some(event) => {
                self.stop(event.clone(), &mut transitions)?;
                let status = self.run.status();
                self.append(&[event], status, self.rests_until(status, &transitions)).await?;
            }
        }
        self.take_back();
        for transition in transitions {
            self.carry_out(at, transition);
        }
        if self.run.is_busy() {
            Box::pin(self.go_on(at)).await?;
        }
        self.record(Vec::new()).await
    }

    async fn work(&mut self) -> Result<(), Error> {
        let abandon = self.engine.inner.abandon.clone();
        let mut abandoned = std::pin::pin!(abandon.cancelled());
        while self.run.outcome().is_none() && !(self.parking && self.is_idle()) {
            let rest_after = self.may_rest().then(|| self.engine.rest_after());
            let happened = tokio::select! {
                happened = self.next() => happened,
                () = async { tokio::time::sleep(rest_after.unwrap_or_default()).await }, if rest_after.is_some() => {
                    self.resting = true;
                    return Ok(());
                }
                () = &mut abandoned => {
                    self.leave_calls();
                    return Ok(());
                }
            };
            let (events, change) = match happened {
                Happened::Called(event) => (self.with_others(event), None),
                Happened::Fired(event) => (vec![event], None),
                Happened::Nothing => {
                    Box::pin(self.do_more()).await?;
                    continue;
                }
                Happened::Control(control) => (Vec::new(), self.look(control)),
                Happened::Silence => continue,
            };
            if let Some(change) = change {
                Box::pin(self.change(change)).await?;
            } else if !events.is_empty() {
                self.record(events).await?;
            }
        }
        Ok(())
    }

    /// Forgets the calls under way and cancels nothing: after the restart they are made again, with the same keys.
    fn leave_calls(&mut self) {
        self.ties.values().for_each(|ties| ties.hold.keep());
        self.near.leave();
        self.heard = None;
        self.calls.abort_all();
        self.ties.clear();
        self.holds.clear();
    }

    /// Nothing is under way, and no timer is due soon.
    fn may_rest(&self) -> bool {
        let soon = || Instant::now() + self.engine.inner.options.rest_after * 2;
        self.is_idle() && !self.parking && !self.run.is_cut() && self.timers.first().is_none_or(|(_, due)| due > soon())
    }

    /// No call is under way.
    fn is_idle(&self) -> bool {
        !self.near.is_under_way() && self.heard.is_none() && self.calls.is_empty()
    }

    /// Leaves memory.
    async fn rest(self) {
        let (mut watchers, mut waiters) = (self.watchers, self.waiters);
        watchers.forget_gone();
        waiters.retain(|waiter| !waiter.is_closed());
        let tree = self.engine.inner.trees.kept(Arc::clone(&self.lineage.usage), self.counted);
        let due = self.timers.first();
        let resting = Resting { due, is_known: self.is_known_to_rest, recovered: false, resumed: self.resumed, watchers, waiters, tree };
        self.engine.put_to_rest(self.id, resting, self.inbox).await;
    }

    /// Waits for the next thing. Every branch is safe to drop: nothing is taken before it is returned.
    async fn next(&mut self) -> Happened {
        // What was heard first: there is room for one.
        if let Some(event) = self.heard.take() {
            return Happened::Called(event);
        }
        if let Some(control) = self.deferred.pop_front() {
            return Happened::Control(control);
        }
        if self.run.is_cut() && !self.parking {
            return self.meanwhile().await;
        }
        tokio::select! {
            event = self.near.outcome() => event.map_or(Happened::Silence, Happened::Called),
            Some(joined) = self.calls.join_next(), if !self.calls.is_empty() => Happened::joined(joined),
            Some(control) = self.inbox.recv() => Happened::Control(control),
            (path, timer) = self.timers.next() => Happened::Fired(Event::TimerFired { path, timer, at: self.now() }),
        }
    }

    /// What has happened by now, if anything has.
    async fn meanwhile(&mut self) -> Happened {
        self.let_others().await;
        if let Some(event) = self.heard.take() {
            return Happened::Called(event);
        }
        // Whoever asks without end is not to keep the run from its work.
        if !std::mem::take(&mut self.was_asked) {
            for _ in 0..limits::RUN_CONTROL_QUEUE {
                let Ok(control) = self.inbox.try_recv() else { break };
                if let Some(change) = self.look(control) {
                    self.was_asked = true;
                    return Happened::Control(change);
                }
            }
        }
        if let Some((path, timer)) = self.timers.take_due() {
            return Happened::Fired(Event::TimerFired { path, timer, at: self.now() });
        }
        self.calls.try_join_next().map_or(Happened::Nothing, Happened::joined)
    }

    /// Within a run timestamps never go backwards, whatever the wall clock does.
    fn now(&mut self) -> Timestamp {
        self.at = self.at.max(now());
        self.at
    }

    /// `faithful`: what the run holds is what the journal holds. Otherwise the journal alone is asked from now on.
    async fn close(&mut self, faithful: bool) {
        if faithful {
            for Ties { cancel, hold, .. } in self.ties.values() {
                cancel.cancel();
                hold.release();
            }
        } else {
            self.leave_calls();
        }
        // The run is out of reach first, so that whoever asks from now on reads the journal; then what was asked before is answered.
        self.running.ended.store(faithful && self.run.outcome().is_some(), Ordering::Relaxed);
        self.engine.inner.runs.remove(&self.id, &self.running);
        self.inbox.close();
        self.deferred.clear();
        while let Some(control) = self.inbox.recv().await {
            match control {
                Control::Snapshot(reply) | Control::Wait(reply) if faithful => drop(reply.send(self.run.snapshot())),
                Control::Subscribe(reply) if faithful => {
                    drop(reply.send(Subscription { snapshot: self.run.snapshot(), seq: self.seq, updates: None }));
                }
                Control::Snapshot(_)
                | Control::Wait(_)
                | Control::Subscribe(_)
                | Control::Cancel(..)
                | Control::Unwanted(..)
                | Control::Answer(..)
                | Control::Settled(_)
                | Control::Stop(_)
                | Control::Park => {}
            }
        }
        // Cancelled calls end by themselves within the bound of the agent client.
        let mut late: Vec<Event> = self.heard.take().into_iter().collect();
        if self.near.is_under_way() {
            late.extend(self.near.outcome().await);
        }
        while let Some(joined) = self.calls.join_next().await {
            late.extend(joined.ok().flatten());
        }
        late.iter().filter(|_| faithful).for_each(|event| self.unheard(event));
    }
}
