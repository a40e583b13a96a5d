//! What happened becomes part of the run: event → interpreter → journal, and only then what follows from it.

use tracing::{debug, error, warn};

use super::Driver;
use super::near::Near;
use crate::engine::Error;
use crate::engine::embedded::rest::rests_until;
use crate::interpreter::{Command, Event, RunStatus, Transition};
use crate::journal::Progress;
use crate::limits;
use crate::time::Timestamp;

impl Driver {
    /// A call's event, and those of the calls that have ended meanwhile: they share one write.
    pub(super) fn with_others(&mut self, first: Event) -> Vec<Event> {
        let mut events = vec![first];
        while events.len() < limits::JOURNAL_BATCH
            && let Some(joined) = self.calls.try_join_next()
        {
            match joined {
                Ok(event) => events.extend(event),
                Err(failure) => error!(%failure, "a call's task failed"),
            }
        }
        // Before the events are acted on: what follows may be the next attempt, which has ties of its own.
        for path in events.iter().filter_map(Event::path) {
            self.holds.extend(self.ties.remove(path).map(|ties| ties.hold));
        }
        events
    }

    /// The transitions are pure and come first; nothing acts on them before their events are in the journal.
    pub(super) async fn record(&mut self, events: Vec<Event>) -> Result<(), Error> {
        let mut events = events.into_iter();
        let mut late = Vec::new();
        loop {
            let (mut kept, mut transitions) = (Vec::with_capacity(events.len()), Vec::with_capacity(events.len()));
            let mut times = Vec::with_capacity(events.len());
            {
                // First, when a run below has used the last of it: how that run ended is not to be coped with.
                let mut end = self.exhausted();
                while !self.run.is_busy()
                    && let Some(event) = end.take().or_else(|| events.next())
                {
                    // After the end there is nothing that an event could change.
                    if self.run.outcome().is_some() {
                        late.push(event);
                        continue;
                    }
                    let event = self.in_order(event);
                    let transition = self.run.enter(event.clone())?;
                    if transition == Transition::default() && !self.run.is_busy() && self.run.outcome().is_none() {
                        debug!("late event ignored");
                        late.push(event);
                        continue;
                    }
                    times.push(self.at);
                    kept.push(event);
                    transitions.push(transition);
                }
            }
            if !kept.is_empty() {
                self.count();
                if let Some(event) = self.exhausted() {
                    self.stop(event.clone(), &mut transitions)?;
                    times.push(self.at);
                    kept.push(event);
                }
                let status = self.run.status();
                let given_up = self.given_up_by(&transitions, times[0]);
                kept.splice(0..0, given_up);
                self.append(&kept, status, self.rests_until(status, &transitions)).await?;
                for (at, transition) in times.into_iter().zip(transitions) {
                    self.carry_out(at, transition);
                }
                if self.run.is_busy() {
                    Box::pin(self.go_on(self.at)).await?;
                }
            }
            if events.len() == 0 && self.exhausted().is_none() {
                late.iter().for_each(|event| self.unheard(event));
                self.holds.drain(..).for_each(|hold| hold.release());
                return Ok(());
            }
        }
    }

    /// Who has the calls that these transitions give up: no outcome of theirs will say it.
    pub(super) fn given_up_by(&self, transitions: &[Transition], at: Timestamp) -> Vec<Event> {
        let commands = transitions.iter().flat_map(|transition| &transition.commands);
        let given_up = commands.filter_map(|command| if let Command::CancelCall { path } = command { Some(path) } else { None });
        let asked = given_up.filter_map(|path| {
            let ties = self.ties.get(path)?;
            Some(Event::Called { path: path.clone(), attempt: ties.attempt, by: ties.asked()?, at })
        });
        asked.collect()
    }

    /// An event no earlier than the one before it.
    pub(super) fn in_order(&mut self, event: Event) -> Event {
        self.at = self.at.max(event.at());
        event.stamped(self.at)
    }

    /// Makes what is left of a long transition part by part, so that others have their turn in between and watchers can take in what
    /// they are told. `at`: when its event happened.
    pub(super) async fn go_on(&mut self, at: Timestamp) -> Result<(), Error> {
        while self.run.is_busy() {
            self.let_others().await;
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

    /// Between two parts: others have their turn, the call that the run's task makes itself among them, and watchers take what they are told.
    pub(super) async fn let_others(&mut self) {
        if self.watchers.have_room() {
            self.others_turn().await;
        } else {
            // Once for each part, so that one who takes nothing does not hold up the run.
            beside(tokio::time::sleep(limits::WATCHER_REST), &mut self.near, &mut self.heard).await;
        }
    }

    pub(super) async fn others_turn(&mut self) {
        beside(tokio::task::yield_now(), &mut self.near, &mut self.heard).await;
    }

    /// A run may end, or wait, by its first event alone, or by a late part of a transition; the journal has it as it was before.
    pub(super) async fn settle_status(&mut self, transition: &Transition) -> Result<(), Error> {
        if self.run.is_busy() || self.run.is_cut() {
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
    pub(super) fn rests_until(&self, status: RunStatus, transitions: &[Transition]) -> Option<Option<Timestamp>> {
        if self.parking || self.run.is_busy() || self.run.is_cut() {
            None
        } else {
            rests_until(status, transitions, &self.ties, &self.timers)
        }
    }

    /// Waits while the journal is full, so that the run goes on by itself when there is space again. A shutdown ends the wait:
    /// what could not be stored then has not happened, and is asked for again after the restart.
    pub(super) async fn append(&mut self, events: &[Event], status: RunStatus, rests: Option<Option<Timestamp>>) -> Result<(), Error> {
        // Of a run that stands alone nobody else has to know.
        let asks_access = rests.is_some() && self.run.asks_access();
        let resumed = self.resumed.filter(|_| !events.is_empty());
        let with_resumption: Vec<Event>;
        let events = match resumed {
            None => events,
            Some(at) => {
                with_resumption = std::iter::once(Event::Resumed { at }).chain(events.iter().cloned()).collect();
                &with_resumption
            }
        };
        let is_in_a_tree = self.run.plan().may_start_runs() || !self.run.ancestry().is_empty();
        let Self { engine, id, counted, near: call, heard, .. } = self;
        let inner = &engine.inner;
        let progress = Progress { status, rests, asks_access, used: is_in_a_tree.then_some(*counted) };
        let mut rest = limits::JOURNAL_FULL_REST;
        loop {
            let appended = beside(inner.journal.advance(id, events, progress), call, heard).await;
            match appended {
                Err(error) if error.is_transient() && !inner.stopping.is_cancelled() => {
                    warn!(run_id = %id, %error, "run waits for the journal");
                    let wait = async {
                        tokio::select! {
                            () = tokio::time::sleep(rest) => {}
                            () = inner.stopping.cancelled() => {}
                        }
                    };
                    // Boxed: most journals are never full.
                    Box::pin(beside(wait, call, heard)).await;
                    rest = (rest * 2).min(limits::JOURNAL_FULL_REST_MAX);
                }
                outcome => {
                    self.is_known_to_rest = rests.is_some();
                    self.told = status;
                    if resumed.is_some() && outcome.is_ok() {
                        self.resumed = None;
                    }
                    return outcome.map_err(|error| Error::Journal(error.to_string()));
                }
            }
        }
    }
}

/// Waits for something, and lets the call that the run's task makes itself go on meanwhile: its answer must be read when it comes, not when
/// the journal has room. Costs nothing when there is no such call.
async fn beside<T>(wait: impl Future<Output = T>, call: &mut Near, heard: &mut Option<Event>) -> T {
    let mut wait = std::pin::pin!(wait);
    while call.is_under_way() && heard.is_none() {
        tokio::select! {
            biased;
            done = &mut wait => return done,
            event = call.outcome() => *heard = event,
        }
    }
    wait.await
}
