//! A journal that lives as long as the process: for single runs at a terminal, and for tests.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use async_trait::async_trait;

use super::{Created, Error, Header, Journal, Progress, Record};
use crate::ids::RunId;
use crate::interpreter::{Event, RunStatus};
use crate::limits;

/// Events that a run has room for from the first.
const EVENTS: usize = 7;

/// Keeps the events of unfinished runs and of the last [`limits::MEMORY_RUNS_KEPT`] finished ones. Payloads are shared, not copied.
#[derive(Debug, Default)]
pub struct Memory {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    runs: HashMap<RunId, (Record, Vec<Event>)>,
    keys: HashMap<String, RunId>,
    finished: VecDeque<RunId>,
}

impl Memory {
    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        // A panic while the lock is held leaves maps that are whole: every change is a single insert or push.
        act(&mut self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn insert(&self, header: Header, mut history: Vec<Event>, status: RunStatus) -> Result<Created, Error> {
        self.with(|inner| {
            if let Some(key) = &header.idempotency_key
                && let Some((record, _)) = inner.keys.get(key).and_then(|run| inner.runs.get(run))
            {
                return Ok(Created::Existing(Box::new(record.clone())));
            }
            if inner.runs.contains_key(&header.run) {
                return Err(Error::Failed(format!("there is a run `{}` already", header.run)));
            }
            if let Some(key) = &header.idempotency_key {
                inner.keys.insert(key.clone(), header.run.clone());
            }
            let record = Record { changed_at: header.started_at, status, header, rests: false, asks_access: false };
            // Room for those of a short run at once.
            history.reserve(EVENTS);
            inner.runs.insert(record.header.run.clone(), (record, history));
            Ok(Created::New)
        })
    }

    fn extend(&self, run: &RunId, events: &[Event], progress: Progress) -> Result<(), Error> {
        let status = progress.status;
        // Freed when the lock is no longer held: others need not wait for that.
        let _forgotten = self.with(|inner| {
            let (record, stored) = inner.runs.get_mut(run).ok_or_else(|| Error::NotFound(run.clone()))?;
            record.changed_at = events.iter().map(Event::at).fold(record.changed_at, Ord::max);
            let ended = status.is_terminal() && !record.status.is_terminal();
            record.status = status;
            record.rests = progress.rests.is_some();
            record.asks_access = record.rests && progress.asks_access;
            stored.extend_from_slice(events);
            if ended {
                inner.finished.push_back(run.clone());
            }
            let mut forgotten = Vec::new();
            while inner.finished.len() > limits::MEMORY_RUNS_KEPT {
                let Some(oldest) = inner.finished.pop_front() else { break };
                if let Some((record, events)) = inner.runs.remove(&oldest) {
                    record.header.idempotency_key.as_ref().map(|key| inner.keys.remove(key));
                    forgotten.push((record, events));
                }
            }
            Ok(forgotten)
        })?;
        Ok(())
    }
}

#[async_trait]
impl Journal for Memory {
    fn is_durable(&self) -> bool {
        false
    }

    async fn create(&self, header: Header, first: Event) -> Result<Created, Error> {
        self.insert(header, vec![first], RunStatus::Running)
    }

    async fn create_from(&self, header: Header, history: Vec<Event>, status: RunStatus) -> Result<Created, Error> {
        self.insert(header, history, status)
    }

    async fn advance(&self, run: &RunId, events: &[Event], progress: Progress) -> Result<(), Error> {
        self.extend(run, events, progress)
    }

    async fn record(&self, run: &RunId) -> Result<Record, Error> {
        self.with(|inner| inner.runs.get(run).map(|(record, _)| record.clone()).ok_or_else(|| Error::NotFound(run.clone())))
    }

    async fn first(&self, run: &RunId) -> Result<Event, Error> {
        self.with(|inner| inner.runs.get(run).and_then(|(_, events)| events.first().cloned()).ok_or_else(|| Error::NotFound(run.clone())))
    }

    async fn find(&self, key: &str) -> Result<Option<RunId>, Error> {
        Ok(self.with(|inner| inner.keys.get(key).cloned()))
    }

    async fn events(&self, run: &RunId) -> Result<Vec<Event>, Error> {
        self.with(|inner| inner.runs.get(run).map(|(_, events)| events.clone()).ok_or_else(|| Error::NotFound(run.clone())))
    }

    async fn list(&self) -> Result<Vec<Record>, Error> {
        let mut records: Vec<_> = self.with(|inner| inner.runs.values().map(|(record, _)| record.clone()).collect());
        records.sort_by(|a, b| (b.changed_at, &b.header.run).cmp(&(a.changed_at, &a.header.run)));
        Ok(records)
    }

    async fn unfinished(&self) -> Result<Vec<Record>, Error> {
        let mut records: Vec<_> = self
            .with(|inner| inner.runs.values().map(|(record, _)| record).filter(|record| !record.status.is_terminal()).cloned().collect());
        records.sort_by(|a, b| (a.header.started_at, &a.header.run).cmp(&(b.header.started_at, &b.header.run)));
        Ok(records)
    }
}
