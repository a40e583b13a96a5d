//! A process of gantry: the engine on a runtime of its own, over a journal that can stop at any write.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use gantry::a2a::Card;
use gantry::agent::{Client, Options as ClientOptions};
use gantry::discovery::{self, Discovery};
use gantry::engine::embedded::{Embedded, Options};
use gantry::engine::{Engine, Next, Start};
use gantry::ids::RunId;
use gantry::interpreter::{Event, RunStatus, Snapshot, StepStatus};
use gantry::journal::{Created, Error, Header, Journal, Progress, Record, Resting, Sqlite};
use gantry::registry::Layout;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::agent::Agent;
use super::tasks::TaskAgent;

/// Longer than anything here takes; a test that waits in vain says so instead of hanging.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// The steps of the corpus that a person answers. Other questions run into their timeout.
const ASKED: &str = "ask";
/// The steps at whose question the person wants no more of the run.
const IN_VAIN: &str = "in_vain";
/// The steps at whose failure the person has the run tried again.
const TRIED_AGAIN: &str = "tried_again";
/// Steps that a run may execute: more than any workflow of the corpus needs, but the one that goes on for ever.
const STEPS_MAX: u64 = 40;
/// Less than the longest workflow of the corpus does at once, and more than half of it: how many events that makes is no matter of time.
const EVENT_WORK: NonZeroU32 = NonZeroU32::new(100).unwrap();

pub(super) fn corpus() -> Vec<PathBuf> {
    yaml_files("tests/fixtures/corpus")
}

fn yaml_files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// Stores what it is given until the n-th write, and then never answers again: just before that is stored, or just after.
#[derive(Debug)]
pub(super) struct Deadly {
    sqlite: Sqlite,
    writes: AtomicUsize,
    last: usize,
    stores_the_last: bool,
    /// The kinds of the events that the last write holds, once it was asked for.
    at: Mutex<Vec<&'static str>>,
    dead: Notify,
}

/// What an event is called in the journal.
pub(super) fn kind(event: &Event) -> &'static str {
    match event {
        Event::Started { .. } => "started",
        Event::Replied { .. } => "replied",
        Event::Failed { .. } => "failed",
        Event::Asked { .. } => "asked",
        Event::Answered { .. } => "answered",
        Event::TimerFired { .. } => "timer_fired",
        Event::Exhausted { .. } => "exhausted",
        Event::Kept { .. } => "kept",
        Event::CancelRequested { .. } => "cancel_requested",
        Event::Called { .. } => "called",
        Event::Resumed { .. } => "resumed",
        Event::Continued { .. } => "continued",
    }
}

/// Every kind that there is.
pub(super) const KINDS: [&str; 12] = [
    "answered",
    "asked",
    "called",
    "cancel_requested",
    "continued",
    "exhausted",
    "failed",
    "kept",
    "replied",
    "resumed",
    "started",
    "timer_fired",
];

impl Deadly {
    pub(super) fn open(dir: &Path, last: usize, stores_the_last: bool) -> Arc<Self> {
        let sqlite = Sqlite::open(dir).unwrap();
        Arc::new(Self { sqlite, writes: AtomicUsize::new(0), last, stores_the_last, at: Mutex::default(), dead: Notify::new() })
    }

    /// One that lives.
    pub(super) fn immortal(dir: &Path) -> Arc<Self> {
        Self::open(dir, usize::MAX, true)
    }

    pub(super) fn writes(&self) -> usize {
        self.writes.load(Ordering::SeqCst)
    }

    pub(super) async fn death(&self) {
        tokio::time::timeout(PATIENCE, self.dead.notified()).await.expect("the journal dies");
    }

    /// The kinds of the events at which it died.
    pub(super) fn died_at(&self) -> Vec<&'static str> {
        self.at.lock().unwrap().clone()
    }

    async fn write<T>(&self, events: &[Event], store: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let count = self.writes.fetch_add(1, Ordering::SeqCst) + 1;
        if count < self.last {
            return store.await;
        }
        if count == self.last {
            if self.stores_the_last {
                store.await?;
            }
            *self.at.lock().unwrap() = events.iter().map(kind).collect();
            self.dead.notify_one();
        }
        std::future::pending().await
    }
}

#[async_trait]
impl Journal for Deadly {
    fn is_durable(&self) -> bool {
        true
    }

    async fn create(&self, header: Header, first: Event) -> Result<Created, Error> {
        if header.labels.is_empty() {
            // Before the run that the test starts is stored there is nothing that could be lost.
            return self.sqlite.create(header, first).await;
        }
        self.write(std::slice::from_ref(&first), self.sqlite.create(header, first.clone())).await
    }

    async fn create_from(&self, header: Header, history: Vec<Event>, status: RunStatus) -> Result<Created, Error> {
        self.write(&history, self.sqlite.create_from(header, history.clone(), status)).await
    }

    async fn advance(&self, run: &RunId, events: &[Event], progress: Progress) -> Result<(), Error> {
        // Events that share a write may as well have come one by one, and a crash may come after each. Where the run is said to be, it is
        // after the last of them only.
        let (before, last) = events.split_at(events.len().saturating_sub(1));
        for event in before {
            let event = std::slice::from_ref(event);
            self.write(event, self.sqlite.append(run, event, RunStatus::Running)).await?;
        }
        self.write(last, self.sqlite.advance(run, last, progress)).await
    }

    async fn resting(&self) -> Result<Vec<Resting>, Error> {
        self.sqlite.resting().await
    }

    async fn record(&self, run: &RunId) -> Result<Record, Error> {
        self.sqlite.record(run).await
    }

    async fn first(&self, run: &RunId) -> Result<Event, Error> {
        self.sqlite.first(run).await
    }

    async fn find(&self, key: &str) -> Result<Option<RunId>, Error> {
        self.sqlite.find(key).await
    }

    async fn events(&self, run: &RunId) -> Result<Vec<Event>, Error> {
        self.sqlite.events(run).await
    }

    async fn list(&self) -> Result<Vec<Record>, Error> {
        self.sqlite.list().await
    }

    async fn unfinished(&self) -> Result<Vec<Record>, Error> {
        self.sqlite.unfinished().await
    }
}

pub(super) struct Process {
    runtime: Option<Runtime>,
    engine: Option<Embedded>,
    discovery: Arc<Discovery>,
    /// Who attends to the run.
    person: Option<JoinHandle<Option<Snapshot>>>,
}

impl Process {
    pub(super) async fn start(journal: Arc<dyn Journal>, agent: &Agent, clerk: &TaskAgent) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (discovery, engine) = {
            let _inside = runtime.enter();
            let store = Arc::new(Layout::ephemeral().unwrap());
            let discovery = Arc::new(Discovery::new(store, discovery::Options::default()));
            // At rest as soon as possible, so that crashes and answers meet runs on their way out of memory and back.
            let options =
                Options { rest_after: Duration::from_millis(1), steps_max: STEPS_MAX, event_work: EVENT_WORK, ..Options::default() };
            let client = Client::new(ClientOptions { allow_private_addresses: true, ..ClientOptions::default() });
            (Arc::clone(&discovery), Embedded::new(options, discovery, client, journal))
        };
        discovery.add_card(agent.card());
        discovery.add_card(Card::parse(clerk.card().to_string().as_bytes()).unwrap());
        let process = Self { runtime: Some(runtime), engine: Some(engine), discovery, person: None };
        for child in yaml_files("tests/fixtures/corpus/children") {
            let (text, discovery) = (Bytes::from(std::fs::read(child).unwrap()), Arc::clone(&process.discovery));
            process.inside(async move { discovery.push_workflow("child.yaml", text, None, &[]).await.unwrap() }).await;
        }
        process
    }

    fn engine(&self) -> Embedded {
        self.engine.clone().unwrap()
    }

    /// Runs something inside the process, while the agent outside goes on.
    async fn inside<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        let done = self.runtime.as_ref().unwrap().spawn(work);
        tokio::time::timeout(PATIENCE, done).await.expect("it takes no longer").unwrap()
    }

    /// Starts a run of the workflow, and a person who attends to it.
    pub(super) async fn start_run(&mut self, yaml: &str) -> RunId {
        let plan = self.discovery.plan_from_text("corpus", yaml.as_bytes()).unwrap_or_else(|error| panic!("{error:#?}"));
        let (engine, start) = (self.engine(), Start::new(plan, Arc::new(json!({"of": "start"}))));
        let run = self.inside(async move { engine.start(start).await.unwrap().run }).await;
        self.attend(&run);
        run
    }

    fn attend(&mut self, run: &RunId) {
        let (engine, run) = (self.engine(), run.clone());
        self.person = Some(self.runtime.as_ref().unwrap().spawn(async move {
            let end = attend_to(&engine, &run).await?;
            if !end.steps.iter().any(|step| step.id.as_str() == TRIED_AGAIN && step.status == StepStatus::Failed) {
                return Some(end);
            }
            // Whoever asks again, after a crash, gets the same run.
            let again = engine.retry(&run, BTreeMap::new()).await.ok()?.run;
            attend_to(&engine, &again).await
        }));
    }

    /// Goes on with the runs that have not ended.
    pub(super) async fn recover(&mut self, run: &RunId) {
        let engine = self.engine();
        let recovered = self.inside(async move { engine.recover().await.unwrap() }).await;
        assert_eq!(recovered.stuck, []);
        self.attend(run);
    }

    /// What the person saw the run come to, or its retry.
    pub(super) async fn end(&mut self) -> Snapshot {
        let person = self.person.take().expect("a run was started, or gone on with");
        self.inside(person).await.unwrap().expect("the process lives")
    }

    /// The power goes.
    pub(super) fn crash(mut self) {
        self.end_at_once();
    }

    fn end_at_once(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        self.engine.take();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end_at_once();
    }
}

/// What the person does while the run goes on. How it ended; none when the process ends first.
async fn attend_to(engine: &Embedded, run: &RunId) -> Option<Snapshot> {
    let mut watched = engine.subscribe(run).await.ok()?;
    loop {
        let snapshot = engine.snapshot(run).await.ok()?;
        let waits = |id| snapshot.steps.iter().any(|step| step.id.as_str() == id && step.status == StepStatus::Waiting);
        // Once it is answered, or the run has ended, there is nothing to answer or to cancel.
        if waits(ASKED) {
            let _ = engine.answer(run, Some(ASKED), Arc::new(json!({"said": "yes"}))).await;
        }
        if waits(IN_VAIN) {
            let _ = engine.cancel(run, "enough").await;
        }
        if let Next::End = watched.next().await {
            return engine.snapshot(run).await.ok();
        }
    }
}
