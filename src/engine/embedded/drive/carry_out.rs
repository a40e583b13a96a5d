//! What follows from an event that is in the journal: commands are carried out, watchers are told.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{Instrument, debug, info};

use super::Driver;
use crate::engine::Update;
use crate::engine::embedded::invoke::{Lineage, Ties};
use crate::engine::embedded::outstanding::GivenUp;
use crate::interpreter::{Ancestor, Change, Command, RunStatus, Transition};
use crate::threads;
use crate::time::Timestamp;

impl Driver {
    /// `at`: when what the transition follows from happened, as the run has it. Its timers count from there.
    pub(super) fn carry_out(&mut self, at: Timestamp, transition: Transition) {
        if self.run.status() != RunStatus::Running {
            for waiter in std::mem::take(&mut self.waiters) {
                // Who waited may have gone.
                drop(waiter.send(self.run.snapshot()));
            }
        }
        for change in transition.changes {
            if let Change::StepWaiting { path, .. } = &change {
                self.look_below(path);
                if let (Some(_), Some(attempt)) = (self.lineage.usage.above(), self.run.asking(path)) {
                    self.asked.push((path.clone(), attempt));
                }
            }
            self.publish(change);
        }
        for command in transition.commands {
            match command {
                // Stays outstanding in the journal, and is asked for after the restart.
                Command::Call(_) if self.parking => {}
                Command::Call(invocation) => {
                    let ties = Ties::of(invocation.attempt);
                    self.ties.insert(invocation.path.clone(), ties.clone());
                    if let Some(refused) = self.refusal(&invocation) {
                        self.calls.spawn(async move { (!ties.cancel.is_cancelled()).then_some(refused) });
                        continue;
                    }
                    let call = self.engine.clone().invoke(self.id.clone(), invocation, Arc::clone(&self.lineage), ties);
                    if self.near.is_under_way() {
                        self.calls.spawn_on(call.in_current_span(), &threads::place());
                    } else {
                        self.near.start(call);
                    }
                }
                Command::CancelCall { path } => {
                    if let Some(Ties { cancel, hold, .. }) = self.ties.remove(&path) {
                        cancel.cancel();
                        hold.release();
                    }
                }
                Command::CancelTask { path, skill, own, agent, remote } => {
                    debug!(step = path.step(), task = %remote.task_id, "task that waits for an answer is canceled");
                    self.beside_calls(self.engine.clone().give_up(skill, own, agent, remote));
                }
                Command::StartTimer { path, timer, due } => {
                    let wait = Duration::from_millis(due.since_ms(at));
                    self.timers.start(path, timer, Instant::now() + wait, due);
                }
                Command::CancelTimer { path, timer } => self.timers.cancel(&path, timer),
            }
        }
        if !self.asked.is_empty() {
            self.tell_above();
        }
    }

    /// Tells agents what an earlier process gave up and may not have told them. Once more changes nothing for them.
    pub(super) fn take_back(&mut self) {
        for given_up in std::mem::take(&mut self.given_up) {
            match given_up {
                GivenUp::Call(invocation) => {
                    debug!(step = %invocation.step, attempt = invocation.attempt, "call that was given up before the restart is taken back");
                    self.beside_calls(self.engine.clone().take_back(self.id.clone(), invocation, Arc::clone(&self.lineage)));
                }
                GivenUp::Task(command) => self.carry_out(self.at, Transition { commands: vec![command], ..Transition::default() }),
            }
        }
    }

    /// Does something beside the calls of which no outcome is expected.
    fn beside_calls(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        self.calls.spawn(async move {
            work.await;
            None
        });
    }

    pub(super) fn publish(&mut self, change: Change) {
        self.seq += 1;
        if let Change::StepFinished { step, status, attempts, error, .. } = &change {
            info!(%step, status = status.as_str(), attempts, error = error.as_ref().map(|error| error.code.code()), "step finished");
        }
        if !self.watchers.is_empty() {
            self.watchers.tell(&Arc::new(Update { seq: self.seq, at: self.run.changed_at(), change }));
        }
    }

    /// The chain that runs started by this one carry on.
    pub(super) fn set_lineage(&mut self) {
        let plan = self.run.plan();
        let own = Ancestor { digest: plan.digest().clone(), workflow: plan.workflow().metadata.id.to_string() };
        self.lineage = {
            let runs = self.run.ancestry().iter().cloned().chain([own]).collect();
            Arc::new(Lineage::new(runs, Arc::clone(&self.lineage.usage)))
        };
    }
}
