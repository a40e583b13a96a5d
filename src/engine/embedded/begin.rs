//! Accepting runs: what is checked before one begins, and the moment in which it comes to be. It can be reached before it is in the
//! journal, and begins as soon as it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc;
use tracing::debug;

use super::drive::Driver;
use super::registrar::Running;
use super::tree::{self, Usage};
use super::{Embedded, journal_error, now};
use crate::engine::retry::{Seed, seed};
use crate::engine::{Error, RETRY_OF_LABEL, Start, Started, Subscription, check_input};
use crate::ids::{Digest, RunId};
use crate::interpreter::{Event, Run, RunStatus, SEMANTICS};
use crate::journal::{self, Created, Header};
use crate::limits;
use crate::plan::Plan;

impl Embedded {
    /// Starts a run. `watched`: told to the caller from its first update; not when the run was there before.
    pub(super) async fn accept(
        &self,
        start: Start,
        watched: bool,
        above: Option<&Arc<Usage>>,
    ) -> Result<(Started, Option<Subscription>), Error> {
        self.check(&start)?;
        if !start.plan.references().is_empty() {
            // Boxed: most workflows need none of this.
            Box::pin(self.follow_references(&start)).await?;
        }
        let metadata = &start.plan.workflow().metadata;
        let (run, at) = (start.run.unwrap_or_else(new_run_id), now());
        let header = Header {
            run: run.clone(),
            workflow: metadata.id.to_string(),
            version: metadata.version.to_string(),
            digest: start.plan.digest().clone(),
            source: Arc::clone(start.plan.source()),
            idempotency_key: start.idempotency_key,
            labels: start.labels,
            note: start.note,
            started_at: at,
        };
        let workflow = start.plan.digest().clone();
        let same = (workflow.clone(), header.idempotency_key.clone(), Arc::clone(&start.input));
        let first = Event::Started {
            run: run.clone(),
            workflow,
            semantics: SEMANTICS,
            input: start.input,
            ancestry: start.ancestry,
            work: Some(self.inner.options.event_work),
            at,
        };
        let history = vec![first.clone()];
        let (digest, key, input) = same;
        let usage = self.inner.trees.begin(&run, &start.plan, above);
        let mut driver = match self.driver(start.plan, &run, usage) {
            Ok(driver) => driver,
            Err(taken) => return Ok((Box::pin(self.again(taken, &digest, key, &input)).await?, None)),
        };
        let updates = watched.then(|| driver.watch());
        let Some(record) = self.begin(driver, &run, history, self.inner.journal.create(header, first)).await? else {
            let subscription = updates.map(|updates| Subscription::to_new(run.clone(), at, updates));
            return Ok((Started { run, new: true }, subscription));
        };
        Ok((Box::pin(self.started_before(*record, &digest, key, &input)).await?, None))
    }

    /// Accepts a run that a step of another starts: what it uses counts for that one, too.
    pub(super) async fn start_below(&self, start: Start, above: &Arc<Usage>) -> Result<Started, Error> {
        let steps_max = self.inner.options.steps_max;
        if above.steps() >= steps_max {
            return Err(Error::Limit(tree::too_many_steps(steps_max)));
        }
        Ok(self.accept(start, false, Some(above)).await?.0)
    }

    /// Starts a run that begins with what another one came to.
    pub(super) async fn accept_retry(&self, old: &RunId, mut labels: BTreeMap<String, String>) -> Result<Started, Error> {
        self.has_room()?;
        let record = self.inner.journal.record(old).await.map_err(|error| journal_error(old, error))?;
        if !record.status.is_terminal() {
            return Err(Error::NotRetryable { run: old.clone(), why: format!("it has not ended ({})", record.status.as_str()) });
        }
        let (plan, events) = self.load(&record).await?;
        let (run, at) = (new_run_id(), now());
        let Seed { history, status } = {
            let (plan, old, run) = (Arc::clone(&plan), old.clone(), run.clone());
            // It does again what the old run did, and other callers have their turn.
            let seed = move || seed(&plan, &old, &events, &run, at);
            tokio::task::spawn_blocking(seed).await.map_err(|error| Error::Journal(error.to_string()))??
        };
        labels.insert(RETRY_OF_LABEL.to_owned(), old.to_string());
        let header =
            Header { run: run.clone(), idempotency_key: Some(format!("retry\u{1f}{old}")), labels, started_at: at, ..record.header };
        let stored = self.inner.journal.create_from(header, history.clone(), status);
        let usage = self.inner.trees.begin(&run, &plan, None);
        Ok(match self.begin(self.driver(plan, &run, usage)?, &run, history, stored).await? {
            None => Started { run, new: true },
            Some(record) => Started { run: record.header.run, new: false },
        })
    }

    fn check(&self, start: &Start) -> Result<(), Error> {
        self.has_room()?;
        if start.ancestry.len() >= self.inner.options.depth_max as usize {
            let chain: Vec<_> = start.ancestry.iter().map(|above| above.workflow.as_str()).collect();
            let depth_max = self.inner.options.depth_max;
            return Err(Error::Limit(format!(
                "runs nest deeper than {depth_max}: {} → {}",
                chain.join(" → "),
                start.plan.workflow().metadata.id
            )));
        }
        if let Some(at) = start.ancestry.iter().position(|above| above.digest == *start.plan.digest()) {
            let mut chain: Vec<_> = start.ancestry[at..].iter().map(|above| above.workflow.clone()).collect();
            chain.push(start.plan.workflow().metadata.id.to_string());
            return Err(Error::Cycle(chain));
        }
        check_input(&start.plan, &start.input)
    }

    fn has_room(&self) -> Result<(), Error> {
        if self.inner.stopping.is_cancelled() {
            return Err(Error::ShuttingDown);
        }
        if self.inner.runs.len() >= self.inner.options.runs_max {
            return Err(Error::Busy(format!("{} runs are under way, which is the limit; try again later", self.inner.options.runs_max)));
        }
        if self.inner.runs.resting_len() >= self.inner.options.runs_resting_max {
            let runs_max = self.inner.options.runs_resting_max;
            return Err(Error::Busy(format!("{runs_max} runs wait for people or timers, which is the limit; answer or cancel some")));
        }
        Ok(())
    }

    /// Lets a run begin once it is stored. The run that has its key already, when there is one: then it does not.
    async fn begin(
        &self,
        driver: Box<Driver>,
        run: &RunId,
        history: Vec<Event>,
        stored: impl Future<Output = Result<Created, journal::Error>>,
    ) -> Result<Option<Box<journal::Record>>, Error> {
        let beginning = Beginning::new(self, driver, history);
        match stored.await {
            Ok(Created::New) => {
                self.inner.space.found();
                beginning.go();
                Ok(None)
            }
            Ok(Created::Existing(record)) => {
                beginning.forget();
                Ok(Some(record))
            }
            Err(error) => {
                if matches!(error, journal::Error::Full(_)) {
                    self.inner.space.missed();
                }
                beginning.forget();
                Err(journal_error(run, error))
            }
        }
    }

    /// A run that can be reached, but has not begun. Refused when there is one of its id already: that one must stay within reach.
    pub(super) fn driver(&self, plan: Arc<Plan>, run: &RunId, usage: Arc<Usage>) -> Result<Box<Driver>, Error> {
        let (control, inbox) = mpsc::channel(limits::RUN_CONTROL_QUEUE);
        let running = Running::new(control);
        self.inner.runs.remember(&plan);
        if !self.inner.runs.insert(run.clone(), Arc::clone(&running)) {
            return Err(Error::Journal(format!("there is a run `{run}` already")));
        }
        Ok(Driver::new(self.clone(), run.clone(), Run::new(plan), running, inbox, usage))
    }

    /// A start whose id is taken: the repeat of an earlier one when its key says so, a mistake otherwise.
    async fn again(&self, taken: Error, digest: &Digest, key: Option<String>, input: &Arc<Value>) -> Result<Started, Error> {
        let failed = |error: journal::Error| Error::Journal(error.to_string());
        let found = match &key {
            Some(key) => self.inner.journal.find(key).await.map_err(failed)?,
            None => None,
        };
        let record = self.inner.journal.record(&found.ok_or(taken)?).await.map_err(failed)?;
        self.started_before(record, digest, key, input).await
    }

    /// The run that has the key already, if it was started with the same.
    async fn started_before(
        &self,
        record: journal::Record,
        digest: &Digest,
        key: Option<String>,
        input: &Arc<Value>,
    ) -> Result<Started, Error> {
        let run = record.header.run;
        let before = self.inner.journal.first(&run).await.map_err(|error| journal_error(&run, error))?;
        let same_input = matches!(before, Event::Started { input: before, .. } if before == *input);
        if same_input && record.header.digest == *digest {
            Ok(Started { run, new: false })
        } else {
            Err(Error::KeyReused(key.unwrap_or_default()))
        }
    }
}

/// 122 random bits: an id cannot be guessed.
fn new_run_id() -> RunId {
    RunId::parse(&uuid::Uuid::new_v4().to_string()).expect("a UUID has the form of a run id")
}

/// A run on its way into the journal. Whoever finds it there by its key can reach it already, and waits until it begins. Dropped in the
/// middle, because its starter has gone, it finds out in the background whether it is in the journal, and then begins all the same: what
/// was accepted must not lie there with nobody to drive it.
pub(super) struct Beginning {
    engine: Embedded,
    driver: Option<(Box<Driver>, Vec<Event>)>,
}

impl Beginning {
    pub(super) fn new(engine: &Embedded, driver: Box<Driver>, history: Vec<Event>) -> Self {
        Self { engine: engine.clone(), driver: Some((driver, history)) }
    }

    /// It is in the journal.
    pub(super) fn go(mut self) {
        if let Some((driver, history)) = self.driver.take() {
            self.engine.drive(driver, history);
        }
    }

    /// It is not, and will not be.
    pub(super) fn forget(mut self) {
        if let Some((driver, _)) = self.driver.take() {
            driver.forget();
        }
    }
}

impl Drop for Beginning {
    fn drop(&mut self) {
        let Some((driver, history)) = self.driver.take() else { return };
        // Without a runtime the process is at its end, and the next one finds the run.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let engine = self.engine.clone();
        let tasks = engine.inner.tasks.clone();
        tasks.spawn_on(
            async move {
                // The journal writes in order: this comes after what the starter asked for.
                match engine.inner.journal.append(driver.run_id(), &[], RunStatus::Running).await {
                    Ok(()) => Box::pin(driver.drive(history)).await,
                    Err(error) => {
                        debug!(run_id = %driver.run_id(), %error, "a run whose starter has gone was not accepted");
                        driver.forget();
                    }
                }
            },
            &runtime,
        );
    }
}
