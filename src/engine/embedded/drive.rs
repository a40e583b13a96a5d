//! One run's task: what happens → event → interpreter → journal → commands, in a loop.

mod bounds;
mod control;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error, info, info_span, warn};

pub(super) use self::control::Control;
use super::invoke::Lineage;
use super::outstanding::Outstanding;
use super::registrar::Running;
use super::rest::{Resting, rests_until};
use super::timers::Timers;
use super::tree::{Exceeded, Usage};
use super::{Embedded, now};
use crate::engine::watchers::{Updates, Watchers};
use crate::engine::{Error, Subscription, Update};
use crate::ids::RunId;
use crate::interpreter::{Ancestor, Change, Command, Event, Mismatch, Run, RunStatus, Snapshot, Transition};
use crate::journal::{self, Progress, Used};
use crate::limits;
use crate::plan::Path;
use crate::time::Timestamp;

/// Something that happened, before it is an event.
enum Happened {
    Control(Control),
    Called(Event),
    Fired(Event),
    /// A call has ended without an outcome that anybody waits for: it was cancelled.
    Silence,
}

pub(super) struct Driver {
    engine: Embedded,
    id: RunId,
    run: Run,
    running: Arc<Running>,
    inbox: mpsc::Receiver<Control>,
    /// What was asked for during a long transition and changes the run: it has its turn after it.
    deferred: VecDeque<Control>,
    watchers: Watchers,
    seq: u64,
    at: Timestamp,
    /// The one call that this task makes itself: most runs have one at a time, and it needs no task of its own.
    near: Option<BoxFuture<'static, Option<Event>>>,
    /// What came of it while the run waited for the journal.
    heard: Option<Event>,
    /// Calls made at the same time as that one.
    calls: JoinSet<Option<Event>>,
    tokens: HashMap<Path, CancellationToken>,
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
    /// Another process began the run.
    recovered: bool,
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
            watchers: Watchers::default(),
            seq: 0,
            at: Timestamp::default(),
            near: None,
            heard: None,
            calls: JoinSet::new(),
            tokens: HashMap::new(),
            timers: Timers::default(),
            lineage: Arc::new(Lineage::new(Vec::new(), usage)),
            counted: Used::default(),
            granted: None,
            parking: false,
            woken: None,
            told: RunStatus::Running,
            recovered: false,
            is_known_to_rest: false,
            resting: false,
            waiters: Vec::new(),
        })
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
        self.watchers = rested.watchers;
        self.waiters = rested.waiters;
    }

    /// Drives the run from the events that are in the journal already to its end: from `Started` alone for a new run, from
    /// all of them after a restart. What had an outcome is not asked for again.
    pub(super) fn drive(mut self: Box<Self>, events: Vec<Event>) -> impl Future<Output = ()> {
        let span = info_span!("run", run_id = %self.id, workflow = %self.run.plan().workflow().metadata.id);
        async move {
            let outcome = match self.replay(events) {
                Ok(transition) => {
                    let digest = self.run.plan().digest();
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
    fn replay(&mut self, mut events: Vec<Event>) -> Result<Transition, Mismatch> {
        let transition = match events.pop() {
            Some(first) if events.is_empty() && self.woken.is_none() => {
                self.at = self.at.max(first.at());
                self.run.enter(first)?
            }
            last => self.rebuild(events.into_iter().chain(last))?,
        };
        self.set_lineage();
        // What is left of a timer counts from here.
        self.at = self.at.max(self.woken.unwrap_or_else(now));
        Ok(transition)
    }

    /// What is outstanding after all of these events.
    fn rebuild(&mut self, events: impl Iterator<Item = Event>) -> Result<Transition, Mismatch> {
        let mut outstanding = Outstanding::default();
        for event in events {
            self.at = self.at.max(event.at());
            outstanding.note(&event);
            let mut part = self.run.enter(event)?;
            loop {
                // Told before the restart; only their count goes on.
                self.seq += part.changes.len() as u64;
                outstanding.add(part.commands);
                if !self.run.is_busy() {
                    break;
                }
                part = self.run.proceed();
            }
        }
        Ok(Transition { commands: outstanding.commands(), changes: Vec::new() })
    }

    /// Sees to what follows from the events that are in the journal.
    async fn begin(&mut self, transition: Transition) -> Result<(), Error> {
        let (at, mut transitions) = (self.at, vec![transition]);
        let resumed = self.seq > 0;
        self.count();
        if resumed {
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
        for transition in transitions {
            self.carry_out(at, transition);
        }
        if self.run.is_busy() {
            Box::pin(self.go_on(at)).await?;
        }
        self.record(Vec::new()).await
    }

    /// Makes what is left of a long transition part by part, so that others have their turn in between and watchers can take in what
    /// they are told. `at`: when its event happened.
    async fn go_on(&mut self, at: Timestamp) -> Result<(), Error> {
        while self.run.is_busy() {
            if self.watchers.have_room() {
                tokio::task::yield_now().await;
            } else {
                // Once for each part, so that one who takes nothing does not hold up the run.
                tokio::time::sleep(limits::WATCHER_REST).await;
            }
            while let Ok(control) = self.inbox.try_recv() {
                match self.look(control) {
                    None => {}
                    Some(control) => self.deferred.push_back(control),
                }
            }
            let part = self.run.proceed();
            self.count();
            self.settle_status(&part).await?;
            self.carry_out(at, part);
        }
        Ok(())
    }

    /// A run may end, or wait, by its first event alone, or by a late part of a transition; the journal has it as it was before.
    async fn settle_status(&mut self, transition: &Transition) -> Result<(), Error> {
        if self.run.is_busy() {
            return Ok(());
        }
        let status = self.run.status();
        let rests = self.rests_until(status, std::slice::from_ref(transition));
        // What the journal knows need not be said again, and a short wait is not worth a write of its own.
        let is_long = rests.is_some_and(|due| due.is_none_or(|due| due > self.at.plus(self.engine.inner.options.rest_after)));
        if self.is_known_to_rest || (status == self.told && !is_long) {
            return Ok(());
        }
        self.append(&[], status, rests).await
    }

    /// Whether the run will wait for nothing but people and timers, and until when. What was kept back while parking is not known here.
    fn rests_until(&self, status: RunStatus, transitions: &[Transition]) -> Option<Option<Timestamp>> {
        if self.parking || self.run.is_busy() { None } else { rests_until(status, transitions, &self.tokens, &self.timers) }
    }

    /// Waits while the journal is full, so that the run goes on by itself when there is space again. A shutdown ends the wait:
    /// what could not be stored then has not happened, and is asked for again after the restart.
    async fn append(&mut self, events: &[Event], status: RunStatus, rests: Option<Option<Timestamp>>) -> Result<(), Error> {
        // Of a run that stands alone nobody else has to know.
        let is_in_a_tree = self.run.plan().may_start_runs() || !self.run.ancestry().is_empty();
        let Self { engine, id, counted, near: call, heard, .. } = self;
        let inner = &engine.inner;
        let progress = Progress { status, rests, used: is_in_a_tree.then_some(*counted) };
        let mut rest = limits::JOURNAL_FULL_REST;
        loop {
            let appended = beside(inner.journal.advance(id, events, progress), call, heard).await;
            match appended {
                Err(journal::Error::Full(why)) if !inner.stopping.is_cancelled() => {
                    warn!(%why, "run waits for the journal");
                    let wait = async {
                        tokio::select! {
                            () = tokio::time::sleep(rest) => {}
                            () = inner.stopping.cancelled() => {}
                        }
                    };
                    beside(wait, call, heard).await;
                    rest = (rest * 2).min(limits::JOURNAL_FULL_REST_MAX);
                }
                outcome => {
                    self.is_known_to_rest = rests.is_some();
                    self.told = status;
                    return outcome.map_err(|error| Error::Journal(error.to_string()));
                }
            }
        }
    }

    async fn work(&mut self) -> Result<(), Error> {
        let abandon = self.engine.inner.abandon.clone();
        let mut abandoned = std::pin::pin!(abandon.cancelled());
        while self.run.outcome().is_none() && !(self.parking && self.is_idle()) {
            let (may_rest, rest_after) = (self.may_rest(), self.engine.inner.options.rest_after);
            let happened = tokio::select! {
                happened = self.next() => happened,
                () = async { tokio::time::sleep(rest_after).await }, if may_rest => {
                    self.resting = true;
                    return Ok(());
                }
                () = &mut abandoned => {
                    // After the restart they are asked for again, with the same keys.
                    (self.near, self.heard) = (None, None);
                    self.calls.abort_all();
                    self.tokens.clear();
                    return Ok(());
                }
            };
            match happened {
                Happened::Called(event) => {
                    let events = self.with_others(event);
                    self.record(events).await?;
                }
                Happened::Fired(event) => self.record(vec![event]).await?,
                Happened::Control(control) => {
                    if let Some(change) = self.look(control) {
                        Box::pin(self.change(change)).await?;
                    }
                }
                Happened::Silence => {}
            }
        }
        Ok(())
    }

    /// Nothing is under way, and no timer is due soon.
    fn may_rest(&self) -> bool {
        let soon = || Instant::now() + self.engine.inner.options.rest_after * 2;
        self.is_idle() && !self.parking && self.timers.first().is_none_or(|(_, due)| due > soon())
    }

    /// No call is under way.
    fn is_idle(&self) -> bool {
        self.near.is_none() && self.heard.is_none() && self.calls.is_empty()
    }

    /// Leaves memory.
    async fn rest(self) {
        let (watchers, waiters) = (self.watchers, self.waiters);
        let tree = self.engine.inner.trees.kept(Arc::clone(&self.lineage.usage), self.counted);
        let resting = Resting { due: self.timers.first(), is_known: self.is_known_to_rest, watchers, waiters, tree };
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
        tokio::select! {
            event = near(&mut self.near) => event.map_or(Happened::Silence, Happened::Called),
            Some(joined) = self.calls.join_next(), if !self.calls.is_empty() => match joined {
                Ok(Some(event)) => Happened::Called(event),
                Ok(None) => Happened::Silence,
                Err(failure) => {
                    error!(%failure, "a call's task failed");
                    Happened::Silence
                }
            },
            Some(control) = self.inbox.recv() => Happened::Control(control),
            (path, timer) = self.timers.next() => Happened::Fired(Event::TimerFired { path, timer, at: self.now() }),
        }
    }

    /// A call's event, and those of the calls that have ended meanwhile: they share one write.
    fn with_others(&mut self, first: Event) -> Vec<Event> {
        let mut events = vec![first];
        while events.len() < limits::JOURNAL_BATCH
            && let Some(joined) = self.calls.try_join_next()
        {
            match joined {
                Ok(event) => events.extend(event),
                Err(failure) => error!(%failure, "a call's task failed"),
            }
        }
        // Before the events are acted on: what follows may be the next attempt, which has a token of its own.
        for path in events.iter().filter_map(Event::path) {
            self.tokens.remove(path);
        }
        events
    }

    /// The transitions are pure and come first; nothing acts on them before their events are in the journal.
    async fn record(&mut self, events: Vec<Event>) -> Result<(), Error> {
        let mut events = events.into_iter();
        loop {
            let (mut kept, mut transitions) = (Vec::with_capacity(events.len()), Vec::with_capacity(events.len()));
            let mut times = Vec::with_capacity(events.len());
            // First, when a run below has used the last of it: how that run ended is not to be coped with.
            let mut end = self.exhausted();
            while !self.run.is_busy()
                && let Some(event) = end.take().or_else(|| events.next())
            {
                // After the end there is nothing that an event could change.
                if self.run.outcome().is_some() {
                    break;
                }
                let event = self.in_order(event);
                let transition = self.run.enter(event.clone())?;
                if transition == Transition::default() && !self.run.is_busy() && self.run.outcome().is_none() {
                    debug!("late event ignored");
                    continue;
                }
                times.push(self.at);
                kept.push(event);
                transitions.push(transition);
            }
            if !kept.is_empty() {
                self.count();
                if let Some(event) = self.exhausted() {
                    self.stop(event.clone(), &mut transitions)?;
                    times.push(self.at);
                    kept.push(event);
                }
                let status = self.run.status();
                self.append(&kept, status, self.rests_until(status, &transitions)).await?;
                for (at, transition) in times.into_iter().zip(transitions) {
                    self.carry_out(at, transition);
                }
                if self.run.is_busy() {
                    Box::pin(self.go_on(self.at)).await?;
                }
            }
            if events.len() == 0 && self.exhausted().is_none() {
                return Ok(());
            }
        }
    }

    /// An event no earlier than the one before it.
    fn in_order(&mut self, event: Event) -> Event {
        self.at = self.at.max(event.at());
        event.stamped(self.at)
    }

    /// `at`: when what the transition follows from happened, as the run has it. Its timers count from there.
    fn carry_out(&mut self, at: Timestamp, transition: Transition) {
        if self.run.status() != RunStatus::Running {
            for waiter in std::mem::take(&mut self.waiters) {
                // Who waited may have gone.
                drop(waiter.send(self.run.snapshot()));
            }
        }
        for change in transition.changes {
            self.publish(change);
        }
        for command in transition.commands {
            match command {
                // Stays outstanding in the journal, and is asked for after the restart.
                Command::Call(_) if self.parking => {}
                Command::Call(invocation) => {
                    let token = CancellationToken::new();
                    self.tokens.insert(invocation.path.clone(), token.clone());
                    if let Some(refused) = self.refusal(&invocation) {
                        self.calls.spawn(async move { (!token.is_cancelled()).then_some(refused) });
                        continue;
                    }
                    let call = self.engine.clone().invoke(self.id.clone(), invocation, Arc::clone(&self.lineage), token);
                    if self.near.is_none() {
                        self.near = Some(call.boxed());
                    } else {
                        self.calls.spawn(call.in_current_span());
                    }
                }
                Command::CancelCall { path } => {
                    if let Some(token) = self.tokens.remove(&path) {
                        token.cancel();
                    }
                }
                Command::CancelTask { path, skill, own, agent, remote } => {
                    debug!(step = path.step(), task = %remote.task_id, "task that waits for an answer is canceled");
                    let told = self.engine.clone().give_up(skill, own, agent, remote);
                    self.calls.spawn(async move {
                        told.await;
                        None
                    });
                }
                Command::StartTimer { path, timer, due } => {
                    let wait = Duration::from_millis(due.since_ms(at));
                    self.timers.start(path, timer, Instant::now() + wait, due);
                }
                Command::CancelTimer { path, timer } => self.timers.cancel(&path, timer),
            }
        }
    }

    fn publish(&mut self, change: Change) {
        self.seq += 1;
        if let Change::StepFinished { step, status, attempts, error, .. } = &change {
            info!(%step, status = status.as_str(), attempts, error = error.as_ref().map(|error| error.code.code()), "step finished");
        }
        if !self.watchers.is_empty() {
            self.watchers.tell(&Arc::new(Update { seq: self.seq, at: self.run.changed_at(), change }));
        }
    }

    /// The chain that runs started by this one carry on.
    fn set_lineage(&mut self) {
        let plan = self.run.plan();
        let own = Ancestor { digest: plan.digest().clone(), workflow: plan.workflow().metadata.id.to_string() };
        self.lineage = {
            let runs = self.run.ancestry().iter().cloned().chain([own]).collect();
            Arc::new(Lineage::new(runs, Arc::clone(&self.lineage.usage)))
        };
    }

    /// Within a run timestamps never go backwards, whatever the wall clock does.
    fn now(&mut self) -> Timestamp {
        self.at = self.at.max(now());
        self.at
    }

    /// `faithful`: what the run holds is what the journal holds. Otherwise the journal alone is asked from now on.
    async fn close(&mut self, faithful: bool) {
        for token in self.tokens.values() {
            token.cancel();
        }
        // The run is out of reach first, so that whoever asks from now on reads the journal; then what was asked before is answered.
        self.running.ended.store(faithful && self.run.outcome().is_some(), Ordering::Relaxed);
        self.engine.inner.runs.remove(&self.id);
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
                | Control::Answer(..)
                | Control::Park => {}
            }
        }
        // Cancelled calls end by themselves within the bound of the agent client.
        if let Some(near) = self.near.take() {
            near.await;
        }
        while self.calls.join_next().await.is_some() {}
    }
}

/// Waits for something, and lets the call that the run's task makes itself go on meanwhile: its answer must be read when it comes, not when
/// the journal has room. Costs nothing when there is no such call.
async fn beside<T>(wait: impl Future<Output = T>, call: &mut Option<BoxFuture<'static, Option<Event>>>, heard: &mut Option<Event>) -> T {
    let mut wait = std::pin::pin!(wait);
    while call.is_some() && heard.is_none() {
        tokio::select! {
            biased;
            done = &mut wait => return done,
            event = near(call) => *heard = event,
        }
    }
    wait.await
}

/// Waits for the call that the run's task makes itself, and takes its place away; for ever when there is none. Safe to drop.
async fn near(call: &mut Option<BoxFuture<'static, Option<Event>>>) -> Option<Event> {
    let Some(future) = call else { return std::future::pending().await };
    let event = future.await;
    *call = None;
    event
}
