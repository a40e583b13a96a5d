//! Runs that wait for nothing but people and timers. After a while they leave memory, but for a line in an index; whoever wants
//! something of them, or the first of their timers, brings them back from the journal.
//!
//! The journal knows which runs rest, so that a start has to read none of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::drive::{Control, Driver};
use super::invoke::Ties;
use super::registrar::{Reached, Running};
use super::timers::Timers;
use super::tree::{Tree, Usage};
use super::{Embedded, journal_error, now};
use crate::engine::Error;
use crate::engine::watchers::Watchers;
use crate::ids::RunId;
use crate::interpreter::{Command, Event, Run, RunStatus, Snapshot, Timer, Transition};
use crate::journal::{self, Used};
use crate::limits;
use crate::plan::{Path, Plan};
use crate::threads;
use crate::time::Timestamp;

/// What is kept of a run that rests.
#[derive(Debug)]
pub(super) struct Resting {
    /// When the first of its timers is due, as the run has it and on the monotonic clock: while a run rests only the latter counts.
    pub(super) due: Option<(Timestamp, Instant)>,
    /// Whether the journal knows that it rests.
    pub(super) is_known: bool,
    /// Another process had it in memory last.
    pub(super) recovered: bool,
    /// When this process took it up, while the journal does not say so.
    pub(super) resumed: Option<Timestamp>,
    /// For those who watch it: they see no difference.
    pub(super) watchers: Watchers,
    /// For those who wait for its end.
    pub(super) waiters: Vec<oneshot::Sender<Snapshot>>,
    /// What it and the runs below it have used.
    pub(super) tree: Tree,
}

/// A run that was read from the journal.
struct Loaded {
    plan: Arc<Plan>,
    events: Vec<Event>,
    usage: Arc<Usage>,
    counted: Used,
}

impl Resting {
    /// As the journal of an earlier process has it, which heard of it last at `since`. What is left of its timers is reckoned by the wall
    /// clock, once; that may have been set back meanwhile, so that it is never more than was left then.
    pub(super) fn until(until: Option<Timestamp>, since: Timestamp) -> Self {
        let left = |until: Timestamp| Duration::from_millis(until.since_ms(now()).min(until.since_ms(since)));
        let due = until.map(|until| (until, Instant::now() + left(until)));
        Self {
            due,
            is_known: true,
            recovered: true,
            resumed: None,
            watchers: Watchers::default(),
            waiters: Vec::new(),
            tree: Tree::Unknown,
        }
    }

    /// As the journal of an earlier process has it, but loaded as soon as there is room.
    pub(super) fn roused() -> Self {
        Self { is_known: true, ..Self::queued() }
    }

    /// Not loaded yet: its turn comes when there is room.
    pub(super) fn queued() -> Self {
        let due = Some((now(), Instant::now()));
        Self {
            due,
            is_known: false,
            recovered: true,
            resumed: None,
            watchers: Watchers::default(),
            waiters: Vec::new(),
            tree: Tree::Unknown,
        }
    }

    /// What counts as now for the run: a jump of the wall clock while it rested makes no timer early or late.
    pub(super) fn now(&self) -> Timestamp {
        let Some((due, instant)) = self.due else { return now() };
        let (left, over) = (instant.saturating_duration_since(Instant::now()), Instant::now().saturating_duration_since(instant));
        let left_ms = i64::try_from(left.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_unix_ms(due.unix_ms().saturating_sub(left_ms)).plus(over)
    }
}

/// Whether a run waits for nothing but people and timers once these transitions have been carried out, and when the first timer is due.
pub(super) fn rests_until(
    status: RunStatus,
    transitions: &[Transition],
    calls: &HashMap<Path, Ties>,
    timers: &Timers,
) -> Option<Option<Timestamp>> {
    let commands = || transitions.iter().flat_map(|transition| &transition.commands);
    let is_cancelling = commands().any(|command| matches!(command, Command::CancelCall { .. }));
    let is_calling = !calls.is_empty() || commands().any(|command| matches!(command, Command::Call(_)));
    // Almost every transition ends here.
    if status.is_terminal() || (is_calling && !is_cancelling) {
        return None;
    }
    let mut open: BTreeSet<&Path> = calls.keys().collect();
    let mut due: BTreeMap<(&Path, Timer), Timestamp> = timers.all().collect();
    for command in commands() {
        match command {
            Command::Call(invocation) => _ = open.insert(&invocation.path),
            Command::CancelCall { path } => _ = open.remove(path),
            Command::CancelTask { .. } => {}
            Command::StartTimer { path, timer, due: at } => _ = due.insert((path, *timer), *at),
            Command::CancelTimer { path, timer } => _ = due.remove(&(path, *timer)),
        }
    }
    open.is_empty().then(|| due.into_values().min())
}

impl Embedded {
    /// The run's task, brought back to memory when it rests. `None` when the run is not under way.
    pub(super) fn reach(&self, run: &RunId) -> Option<Arc<Running>> {
        if let Some(running) = self.inner.runs.get(run) {
            return Some(running);
        }
        if self.inner.stopping.is_cancelled() && self.inner.journal.is_durable() {
            return None;
        }
        self.wake(run)
    }

    /// Goes on with one run of an earlier process, and with those that its steps started; those of them that nobody waits for any more are
    /// canceled before this returns. What else the journal has stays as it is.
    pub async fn go_on_with(&self, run: &RunId) -> Result<(), Error> {
        let failed = |error: journal::Error| journal_error(run, error);
        let mut unwanted = self.inner.journal.orphans().await.map_err(failed)?;
        let below: BTreeSet<RunId> = self.inner.journal.members(run).await.map_err(failed)?.into_iter().map(|member| member.run).collect();
        unwanted.retain(|orphan| below.contains(orphan));
        for run in below.into_iter().filter(|member| member != run).chain([run.clone()]) {
            let record = self.inner.journal.record(&run).await.map_err(failed)?;
            if !record.status.is_terminal() && !self.inner.runs.is_within_reach(&run) {
                self.inner.runs.rest(run, if record.rests { Resting::roused() } else { Resting::queued() });
            }
        }
        self.end_orphans(unwanted).await;
        self.watch_the_clock();
        Ok(())
    }

    fn wake(&self, run: &RunId) -> Option<Arc<Running>> {
        let mut inbox = None;
        let control = || {
            let (control, receiver) = mpsc::channel(limits::RUN_CONTROL_QUEUE);
            inbox = Some(receiver);
            control
        };
        match (self.inner.runs.reach(run, control)?, inbox) {
            (Reached::Woken(running, resting), Some(inbox)) => {
                let resume = self.clone().resume(run.clone(), Arc::clone(&running), inbox, resting);
                self.inner.tasks.spawn_on(resume, &threads::place());
                Some(running)
            }
            (Reached::Running(running) | Reached::Woken(running, _), _) => Some(running),
        }
    }

    /// How long a run waits before it leaves memory: not at all when half of the places are taken by others, so that those who wait do not
    /// keep out those who work.
    pub(super) fn rest_after(&self) -> Duration {
        let is_crowded = self.inner.runs.len() > self.inner.options.runs_max / 2;
        if is_crowded { Duration::ZERO } else { self.inner.options.rest_after }
    }

    /// Says something to a run's task. `None` when the run is not under way.
    pub(super) async fn tell(&self, run: &RunId, mut control: Control) -> Option<()> {
        let mut before: Option<Arc<Running>> = None;
        loop {
            let running = self.reach(run)?;
            if before.is_some_and(|before| Arc::ptr_eq(&before, &running)) {
                return None;
            }
            match running.control.send(control).await {
                Ok(()) => return Some(()),
                // It has just gone to rest, or has ended: it is somewhere else, or nowhere.
                Err(mpsc::error::SendError(unsaid)) => control = unsaid,
            }
            before = Some(running);
        }
    }

    /// Asks a run's task, and waits for the answer.
    pub(super) async fn ask<T>(&self, run: &RunId, question: impl FnOnce(oneshot::Sender<T>) -> Control) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.tell(run, question(reply)).await?;
        answer.await.ok()
    }

    /// The same, of a run that is in memory: one that rests stays where it is.
    pub(super) async fn ask_awake<T>(&self, run: &RunId, question: impl FnOnce(oneshot::Sender<T>) -> Control) -> Option<T> {
        let running = self.inner.runs.get(run)?;
        let (reply, answer) = oneshot::channel();
        running.control.send(question(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Takes a run out of memory. What was said to it before it was out of reach is said again.
    pub(super) async fn put_to_rest(&self, run: RunId, resting: Resting, mut inbox: mpsc::Receiver<Control>) {
        debug!(run_id = %run, "run rests");
        self.inner.runs.rest(run.clone(), resting);
        self.watch_the_clock();
        inbox.close();
        while let Some(control) = inbox.recv().await {
            // Whoever is not answered asks the journal.
            let _ = self.tell(&run, control).await;
        }
    }

    /// Loads a run that rested, and drives it.
    async fn resume(self, run: RunId, running: Arc<Running>, mut inbox: mpsc::Receiver<Control>, mut resting: Resting) {
        match self.read(&run, &mut resting.tree).await {
            Ok(Loaded { plan, events, usage, counted }) => {
                let mut driver = Driver::new(self.clone(), run, Run::new(plan), running, inbox, usage);
                driver.resumes_at(counted);
                driver.woken(resting);
                driver.drive(events).await;
            }
            Err(
                error @ (journal::Error::DamagedFile(_) | journal::Error::Failed(_) | journal::Error::Busy(_) | journal::Error::Full(_)),
            ) => {
                warn!(run_id = %run, %error, "run cannot be read now");
                let later = limits::JOURNAL_FULL_REST_MAX;
                let due = resting.due.map(|(due, instant)| (due, instant.max(Instant::now() + later)));
                self.inner.runs.rest(run, Resting { due, ..resting });
                inbox.close();
            }
            Err(error @ (journal::Error::NotFound(_) | journal::Error::Damaged { .. })) => {
                error!(run_id = %run, %error, "run cannot go on");
                self.inner.runs.remove(&run, &running);
                inbox.close();
            }
        }
    }

    /// Few at once: what waits is a line in the index, what is being read takes memory.
    async fn read(&self, run: &RunId, tree: &mut Tree) -> Result<Loaded, journal::Error> {
        let _place = self.inner.readers.acquire().await;
        let (record, events) = self.inner.journal.whole(run).await?;
        let plan = self.plan_of(&record).map_err(|error| journal::Error::Damaged { run: run.clone(), what: error.to_string() })?;
        let (usage, counted) = self.resume_count(&record, &plan, std::mem::replace(tree, Tree::Unknown)).await?;
        Ok(Loaded { plan, events, usage, counted })
    }

    /// Starts the one task that wakes runs whose timers are due, once.
    pub(super) fn watch_the_clock(&self) {
        if !self.inner.clock_is_watched.swap(true, Ordering::Relaxed) {
            self.inner.tasks.spawn(self.clone().wake_when_due());
        }
    }

    async fn wake_when_due(self) {
        let inner = &self.inner;
        loop {
            let has_room = inner.runs.len() < inner.options.runs_max;
            let first = inner.runs.first_due().filter(|_| has_room);
            let due = async {
                match &first {
                    Some((due, _)) => tokio::time::sleep_until(*due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = inner.stopping.cancelled() => return,
                () = inner.runs.changed.notified() => {}
                () = due => {
                    if let Some((_, run)) = &first {
                        // One that somebody else has woken meanwhile is running.
                        let _ = self.wake(run);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_time_of_a_run_that_rests_is_that_of_the_clock_that_does_not_jump() {
        let due = Timestamp::from_unix_ms(100_000);
        let resting = Resting {
            due: Some((due, Instant::now() + Duration::from_secs(60))),
            is_known: true,
            recovered: false,
            resumed: None,
            watchers: Watchers::default(),
            waiters: Vec::new(),
            tree: Tree::Alone,
        };
        assert_eq!(resting.now().unix_ms(), 40_000);
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(resting.now().unix_ms(), 99_000);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(resting.now().unix_ms(), 101_000, "what is due has passed");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_due_while_no_process_was_there_is_due_at_once() {
        let (_, instant) = Resting::until(Some(Timestamp::from_unix_ms(1)), Timestamp::from_unix_ms(0)).due.unwrap();
        assert_eq!(instant, Instant::now());
        assert!(Resting::until(None, Timestamp::from_unix_ms(0)).due.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_set_back_while_no_process_was_there_makes_no_timer_longer_than_it_was() {
        let hour = 3_600_000;
        let (since, began) = (Timestamp::from_unix_ms(now().unix_ms() + 10 * hour), Instant::now());
        let (until, instant) = Resting::until(Some(since.plus(Duration::from_secs(60))), since).due.unwrap();
        assert_eq!((until, instant - began), (since.plus(Duration::from_secs(60)), Duration::from_secs(60)));
        let past = Timestamp::from_unix_ms(now().unix_ms() - hour);
        let (_, instant) = Resting::until(Some(past.plus(Duration::from_secs(7_200))), past).due.unwrap();
        let left = (instant - began).as_secs();
        assert!((3_595..=3_601).contains(&left), "time that has passed is not waited for again: {left} s");
    }
}
