//! A journal that refuses what a test says, and keeps the rest in memory as if that were durable: it outlives the engines on it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use gantry::ids::RunId;
use gantry::interpreter::Event;
use gantry::journal::{Created, Error, Header, Journal, Memory, Progress, Record, Resting};
use gantry::time::Timestamp;

/// What a journal is asked to do, and for a run of which workflow.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked<'a> {
    Create(&'a str),
    Append(&'a str, &'a [Event]),
    Read(&'a str),
}

type Fault = Box<dyn Fn(Asked<'_>) -> Option<Error> + Send>;

#[derive(Default)]
pub(crate) struct Faulty {
    memory: Memory,
    fault: Mutex<Option<Fault>>,
    workflows: Mutex<HashMap<RunId, String>>,
    /// Those that rest, and until when.
    resting: Mutex<HashMap<RunId, Option<Timestamp>>>,
    refused: AtomicUsize,
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").finish_non_exhaustive()
    }
}

/// There is no space.
pub(crate) fn full() -> Error {
    Error::Full("the disk is full".to_owned())
}

/// The disk does not do what it should.
pub(crate) fn broken() -> Error {
    Error::Failed("disk I/O error at /secret/place".to_owned())
}

impl Faulty {
    /// From now on this decides; what has no error is done.
    pub(crate) fn refuse(&self, fault: impl Fn(Asked<'_>) -> Option<Error> + Send + 'static) {
        *self.fault.lock().unwrap() = Some(Box::new(fault));
    }

    /// Nothing is refused any more.
    pub(crate) fn heal(&self) {
        *self.fault.lock().unwrap() = None;
    }

    /// How much was refused so far.
    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }

    fn check(&self, asked: Asked<'_>) -> Result<(), Error> {
        match self.fault.lock().unwrap().as_ref().and_then(|fault| fault(asked)) {
            None => Ok(()),
            Some(error) => {
                self.refused.fetch_add(1, Ordering::SeqCst);
                Err(error)
            }
        }
    }

    fn workflow(&self, run: &RunId) -> String {
        self.workflows.lock().unwrap().get(run).cloned().unwrap_or_default()
    }
}

#[async_trait]
impl Journal for Faulty {
    fn is_durable(&self) -> bool {
        true
    }

    async fn create(&self, header: Header, first: Event) -> Result<Created, Error> {
        self.check(Asked::Create(&header.workflow))?;
        self.workflows.lock().unwrap().insert(header.run.clone(), header.workflow.clone());
        self.memory.create(header, first).await
    }

    async fn advance(&self, run: &RunId, events: &[Event], progress: Progress) -> Result<(), Error> {
        self.check(Asked::Append(&self.workflow(run), events))?;
        match progress.rests {
            Some(until) => _ = self.resting.lock().unwrap().insert(run.clone(), until),
            None => _ = self.resting.lock().unwrap().remove(run),
        }
        self.memory.advance(run, events, progress).await
    }

    async fn record(&self, run: &RunId) -> Result<Record, Error> {
        self.memory.record(run).await
    }

    async fn first(&self, run: &RunId) -> Result<Event, Error> {
        self.memory.first(run).await
    }

    async fn find(&self, key: &str) -> Result<Option<RunId>, Error> {
        self.memory.find(key).await
    }

    async fn events(&self, run: &RunId) -> Result<Vec<Event>, Error> {
        self.check(Asked::Read(&self.workflow(run)))?;
        self.memory.events(run).await
    }

    async fn list(&self) -> Result<Vec<Record>, Error> {
        self.memory.list().await
    }

    async fn unfinished(&self) -> Result<Vec<Record>, Error> {
        let mut unfinished = self.memory.unfinished().await?;
        unfinished.retain(|record| !record.rests);
        Ok(unfinished)
    }

    async fn resting(&self) -> Result<Vec<Resting>, Error> {
        let unfinished = self.memory.unfinished().await?;
        let resting = self.resting.lock().unwrap();
        let rest = |record: Record| {
            let until = *resting.get(&record.header.run)?;
            Some(Resting { run: record.header.run, until, since: record.changed_at })
        };
        Ok(unfinished.into_iter().filter_map(rest).collect())
    }
}
