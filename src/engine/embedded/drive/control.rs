//! What others ask of a run: to look at it, to answer it, to end it.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::oneshot;

use super::Driver;
use crate::engine::embedded::delegate::meant;
use crate::engine::{Error, Subscription, called, input, waiting_step};
use crate::ids::RunId;
use crate::interpreter::{Event, RemoteTask, RunStatus, Snapshot};
use crate::plan::Path;

/// What others ask of a run's task.
#[derive(Debug)]
pub(in crate::engine::embedded) enum Control {
    Cancel(String, Option<oneshot::Sender<()>>),
    /// Nobody waits for the run any more. One whose end is known already goes on with its handlers: it has been told.
    Unwanted(String, oneshot::Sender<()>),
    Answer(Answer, oneshot::Sender<Result<(), Error>>),
    /// A run below no longer asks this, whatever became of it.
    Settled(RemoteTask),
    /// Finish what is in flight, begin nothing, and end: the journal has the rest.
    Park,
    /// A run below it has stopped without an end, for a reason that is in the log. It cannot know how that one would end, and stops too: the
    /// next start goes on with both.
    Stop(RunId),
    Snapshot(oneshot::Sender<Snapshot>),
    /// Answered when the run ends or waits for an answer.
    Wait(oneshot::Sender<Snapshot>),
    Subscribe(oneshot::Sender<Subscription>),
}

/// What somebody answers.
#[derive(Debug)]
pub(in crate::engine::embedded) struct Answer {
    /// By id or path; none for the only one that waits.
    pub(in crate::engine::embedded) step: Option<String>,
    pub(in crate::engine::embedded) value: Arc<Value>,
    /// What is kept with it.
    pub(in crate::engine::embedded) note: Option<Arc<str>>,
}

impl Driver {
    /// Answers those who only look at the run. What changes it comes back.
    pub(super) fn look(&mut self, control: Control) -> Option<Control> {
        match control {
            Control::Snapshot(reply) => drop(reply.send(self.run.snapshot())),
            Control::Wait(reply) if self.run.status() == RunStatus::Running => {
                self.waiters.retain(|waiter| !waiter.is_closed());
                self.waiters.push(reply);
            }
            Control::Wait(reply) => drop(reply.send(self.run.snapshot())),
            Control::Subscribe(reply) => {
                let updates = self.watchers.add();
                drop(reply.send(Subscription { snapshot: self.run.snapshot(), seq: self.seq, updates: Some(updates) }));
            }
            change @ (Control::Cancel(..)
            | Control::Unwanted(..)
            | Control::Answer(..)
            | Control::Settled(_)
            | Control::Park
            | Control::Stop(_)) => {
                return Some(change);
            }
        }
        None
    }

    /// Carries out what changes the run.
    pub(super) async fn change(&mut self, change: Control) -> Result<(), Error> {
        match change {
            Control::Cancel(reason, reply) => {
                let at = self.now();
                self.record(vec![Event::CancelRequested { reason, at }]).await?;
                if let Some(reply) = reply {
                    // Who asked may have gone; the wish stands.
                    let _ = reply.send(());
                }
            }
            Control::Answer(Answer { step, value: answer, note }, reply) => {
                let result = match self.addressed(step.as_deref(), &answer) {
                    Ok((path, is_early)) => {
                        let event = Event::Answered { path, answer, note, at: self.now() };
                        if is_early {
                            self.keep(event).await?
                        } else {
                            self.record(vec![event]).await?
                        }
                        Ok(())
                    }
                    Err(error) => Err(error),
                };
                let _ = reply.send(result);
            }
            Control::Unwanted(reason, reply) => {
                if self.run.fate().is_none() {
                    let at = self.now();
                    self.record(vec![Event::CancelRequested { reason, at }]).await?;
                }
                // Who asked may have gone.
                let _ = reply.send(());
            }
            Control::Settled(remote) => self.question_settled(&remote).await?,
            Control::Park => self.parking = true,
            Control::Stop(below) => return Err(Error::Journal(format!("run `{below}`, which it waits for, has stopped before its end"))),
            // Only looks: see above.
            Control::Snapshot(_) | Control::Wait(_) | Control::Subscribe(_) => {}
        }
        Ok(())
    }

    /// The step that an answer is for, and whether it has not asked yet. The answer must be what it asks for.
    fn addressed(&self, step: Option<&str>, answer: &Value) -> Result<(Path, bool), Error> {
        let (path, schema, is_early) = match (self.waiting_step(step), step.and_then(|step| self.run.unasked(step))) {
            (Ok(path), _) => {
                let schema = self.run.question(&path).and_then(|question| question.schema.clone());
                (path, schema, false)
            }
            (Err(_), Some((path, schema))) => (path.clone(), schema.cloned(), true),
            (Err(error), None) => return Err(error),
        };
        input::check_size("answer", answer)?;
        if let Some(schema) = schema {
            input::check_answer(&schema, answer)?;
        }
        Ok((path, is_early))
    }

    fn waiting_step(&self, step: Option<&str>) -> Result<Path, Error> {
        let waiting = self.run.waiting();
        let (name, attempt) = step.map(meant).unzip();
        let found =
            waiting_step(&waiting, name).filter(|path| attempt.flatten().is_none_or(|attempt| self.run.asking(path) == Some(attempt)));
        found.cloned().ok_or_else(|| {
            let waiting = called(&waiting, name);
            Error::NotWaiting { run: self.id.clone(), step: step.map(str::to_owned), waiting }
        })
    }

    /// An answer that came early: nothing follows from it yet, and it must be there when its step asks.
    async fn keep(&mut self, event: Event) -> Result<(), Error> {
        let event = self.in_order(event);
        self.run.apply(event.clone())?;
        let status = self.run.status();
        self.append(&[event], status, self.rests_until(status, &[])).await
    }
}
