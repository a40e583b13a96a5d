//! A journal in memory that outlives the processes over it, and fails when it is told to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use gantry::ids::{Digest, RunId};
use gantry::interpreter::Event;
use gantry::journal::{Created, Error, Header, Journal, Memory, Progress, Record};
use gantry::plan::Plan;
use tokio::sync::Notify;

use super::random::Random;

/// What befalls a write.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The process ends, with the write stored or not.
    Death { stored: bool },
    /// The write is refused, and the process is ended for that.
    Failure,
    /// There is no room for this and as many more.
    Full(u32),
}

#[derive(Debug, Default)]
pub(super) struct Faulty {
    memory: Memory,
    /// The fault to come, after so many writes.
    fault: Mutex<Option<(usize, Fault)>>,
    plans: Mutex<BTreeMap<Digest, Arc<Plan>>>,
    /// Tells that the process is to end.
    pub(super) dead: Notify,
}

impl Faulty {
    /// Chooses what becomes of the next process, or nothing.
    pub(super) fn arm(&self, random: Option<&mut Random>) {
        *self.fault.lock().unwrap() = random.map(|random| {
            let fault = match random.below(10) {
                0..=2 => Fault::Death { stored: false },
                3..=6 => Fault::Death { stored: true },
                7 | 8 => Fault::Failure,
                _ => Fault::Full(random.between(1, 5) as u32),
            };
            (random.below(12), fault)
        });
    }

    /// The plan of a run.
    pub(super) async fn plan(&self, run: &RunId) -> Arc<Plan> {
        let header = self.memory.record(run).await.unwrap().header;
        let make = || {
            let workflow = gantry::workflow::parse(&header.source).workflow.unwrap();
            Arc::new(Plan::new(workflow, &*header.source, header.digest.clone()))
        };
        Arc::clone(self.plans.lock().unwrap().entry(header.digest.clone()).or_insert_with(make))
    }

    /// The fault of this write.
    fn strike(&self) -> Option<Fault> {
        let mut fault = self.fault.lock().unwrap();
        let (left, found) = fault.as_mut()?;
        if *left > 0 {
            *left -= 1;
            return None;
        }
        match found {
            Fault::Full(0) => {
                *fault = None;
                None
            }
            Fault::Full(more) => {
                *more -= 1;
                Some(Fault::Full(*more))
            }
            // Nothing that a dead process still writes is stored.
            Fault::Death { .. } | Fault::Failure => Some(std::mem::replace(found, Fault::Death { stored: false })),
        }
    }

    async fn write<T>(&self, store: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        match self.strike() {
            None => store.await,
            Some(Fault::Full(_)) => Err(Error::Full("no room".to_owned())),
            Some(Fault::Failure) => {
                self.dead.notify_one();
                Err(Error::Failed("it broke".to_owned()))
            }
            Some(Fault::Death { stored }) => {
                if stored {
                    store.await?;
                }
                self.dead.notify_one();
                std::future::pending().await
            }
        }
    }
}

#[async_trait]
impl Journal for Faulty {
    /// As long as the test.
    fn is_durable(&self) -> bool {
        true
    }

    async fn create(&self, header: Header, first: Event) -> Result<Created, Error> {
        self.memory.create(header, first).await
    }

    async fn advance(&self, run: &RunId, events: &[Event], progress: Progress) -> Result<(), Error> {
        self.write(self.memory.advance(run, events, progress)).await
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
        self.memory.events(run).await
    }

    async fn list(&self) -> Result<Vec<Record>, Error> {
        self.memory.list().await
    }

    async fn unfinished(&self) -> Result<Vec<Record>, Error> {
        self.memory.unfinished().await
    }
}
