//! Registry, discovery, agent client, journal and engine as gantry itself puts them together, and short ways to run things in them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gantry::agent::{Client, Options as ClientOptions};
use gantry::discovery::{self, Discovery};
use gantry::engine::embedded::{CallOptions, Embedded, Options};
use gantry::engine::{Engine, Error, Next, Start, Update};
use gantry::ids::RunId;
use gantry::interpreter::{Outcome, Snapshot, StepError, StepReport, StepStatus};
use gantry::journal::{Journal, Memory};
use gantry::plan::Plan;
use gantry::registry::{Layout, Store};
use serde_json::Value;

use super::agent::{Agent, PATIENCE};

pub(super) struct World {
    pub(super) discovery: Arc<Discovery>,
    pub(super) engine: Embedded,
    pub(super) journal: Arc<dyn Journal>,
}

impl World {
    /// An empty registry and a journal in memory.
    pub(super) fn new() -> Self {
        Self::with(Arc::new(Memory::default()))
    }

    pub(super) fn with(journal: Arc<dyn Journal>) -> Self {
        Self::over(Arc::new(Layout::ephemeral().unwrap()), journal, client_options())
    }

    pub(super) fn over(store: Arc<dyn Store>, journal: Arc<dyn Journal>, client: ClientOptions) -> Self {
        let discovery = Arc::new(Discovery::new(store, discovery::Options::default()));
        let engine = Embedded::new(Options::default(), Arc::clone(&discovery), Client::new(client), Arc::clone(&journal));
        Self { discovery, engine, journal }
    }

    /// A world that calls agents in another way, and knows these.
    pub(super) fn calling(calls: CallOptions, agents: &[&Agent]) -> Self {
        let mut world = Self::new();
        let options = Options { calls, ..Options::default() };
        world.engine = Embedded::new(options, Arc::clone(&world.discovery), Client::new(client_options()), Arc::clone(&world.journal));
        world.meet(agents);
        world
    }

    /// A world that knows these agents.
    pub(super) fn knowing(agents: &[&Agent]) -> Self {
        let world = Self::new();
        world.meet(agents);
        world
    }

    pub(super) fn meet(&self, agents: &[&Agent]) {
        agents.iter().for_each(|agent| self.discovery.add_card(agent.card()));
    }

    pub(super) async fn push_workflow(&self, yaml: &str) {
        let text = with_header(yaml);
        self.discovery.push_workflow("workflow.yaml", Bytes::from(text), None, &[]).await.unwrap();
    }

    pub(super) fn plan(&self, yaml: &str) -> Arc<Plan> {
        self.discovery.plan_from_text("test.yaml", with_header(yaml).as_bytes()).unwrap_or_else(|error| panic!("{error:#?}"))
    }

    pub(super) async fn start(&self, yaml: &str, input: Value) -> RunId {
        self.try_start(yaml, input).await.unwrap()
    }

    pub(super) async fn try_start(&self, yaml: &str, input: Value) -> Result<RunId, Error> {
        Ok(self.engine.start(Start::new(self.plan(yaml), Arc::new(input))).await?.run)
    }

    pub(super) async fn run(&self, yaml: &str, input: Value) -> Snapshot {
        let run = self.start(yaml, input).await;
        self.end(&run).await
    }

    /// Waits for the run's end.
    pub(super) async fn end(&self, run: &RunId) -> Snapshot {
        end(&self.engine, run).await
    }

    /// Waits for an update of the run that has not been shown yet; the snapshot tells what was.
    pub(super) async fn until(&self, run: &RunId, what: &str, holds: impl Fn(&Snapshot) -> bool) -> Snapshot {
        let wait = async {
            let mut watched = self.engine.subscribe(run).await.unwrap();
            let mut snapshot = watched.snapshot.clone();
            while !holds(&snapshot) {
                assert!(!matches!(watched.next().await, Next::End), "the run ended before: {what}; {snapshot:#?}");
                snapshot = self.engine.snapshot(run).await.unwrap();
            }
            snapshot
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"))
    }
}

pub(super) fn client_options() -> ClientOptions {
    ClientOptions { allow_private_addresses: true, ..ClientOptions::default() }
}

pub(super) async fn end(engine: &Embedded, run: &RunId) -> Snapshot {
    let wait = async {
        let mut watched = engine.subscribe(run).await.unwrap();
        while !matches!(watched.next().await, Next::End) {}
        engine.snapshot(run).await.unwrap()
    };
    match tokio::time::timeout(PATIENCE + Duration::from_secs(10), wait).await {
        Ok(snapshot) => snapshot,
        Err(_) => panic!("the run never ended: {:#?}", engine.snapshot(run).await),
    }
}

/// Every update to the run's end.
pub(super) async fn updates(watched: &mut gantry::engine::Subscription) -> Vec<Arc<Update>> {
    let wait = async {
        let mut updates = Vec::new();
        loop {
            match watched.next().await {
                Next::Update(update) => updates.push(update),
                Next::Lagged => panic!("the subscriber was too slow"),
                Next::End => return updates,
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the run ends")
}

fn with_header(yaml: &str) -> String {
    let header = if yaml.contains("metadata:") { "" } else { "metadata: {id: w, name: W, version: 1.0.0}\n" };
    format!("{header}{yaml}")
}

/// The output of a run that completed.
pub(super) fn output(snapshot: &Snapshot) -> &Value {
    match &snapshot.outcome {
        Some(Outcome::Completed { output }) => output,
        _ => panic!("the run has no output: {snapshot:#?}"),
    }
}

/// The error of a run that failed.
pub(super) fn failure(snapshot: &Snapshot) -> &StepError {
    match &snapshot.outcome {
        Some(Outcome::Failed { error }) => error,
        _ => panic!("the run did not fail: {snapshot:#?}"),
    }
}

pub(super) fn step<'a>(snapshot: &'a Snapshot, id: &str) -> &'a StepReport {
    snapshot.steps.iter().find(|step| step.id.as_str() == id).unwrap_or_else(|| panic!("no step {id}"))
}

pub(super) fn status(snapshot: &Snapshot, id: &str) -> StepStatus {
    step(snapshot, id).status
}
