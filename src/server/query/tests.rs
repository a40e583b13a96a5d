//! How long tasks are waited for, and how many are made anew, by a clock that stands still while anybody has something to do.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::*;
use crate::agent::{self, GateStatus};
use crate::discovery::{self, Discovery};
use crate::engine::embedded::Embedded;
use crate::engine::{Engine, Error, Filter, Page, RunSummary, Start, Started, Subscription, Update};
use crate::interpreter::{Outcome, Snapshot};
use crate::journal::Memory;
use crate::registry::Layout;
use crate::router::Router;
use crate::server::auth::Auth;
use crate::server::card::Cards;
use crate::server::options::Options;

const SECOND: Duration = Duration::from_secs(1);

fn discovery() -> Arc<Discovery> {
    Arc::new(Discovery::new(Arc::new(Layout::ephemeral().unwrap()), discovery::Options::default()))
}

/// A server without a connection.
fn app(engine: Arc<dyn Engine>, options: Options) -> Arc<App> {
    let auth = Auth::new(&options.auth, options.bind).unwrap();
    let cards = Cards::new(&options, "http://localhost", false).unwrap();
    let router = Router::new(options.router.clone()).unwrap();
    Arc::new(App::new(options, engine, discovery(), router, auth, cards))
}

fn caller() -> Caller {
    Caller::from("c")
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_canceled_has_five_seconds_to_end() {
    for (handler, state) in [("4s", TaskState::Canceled), ("1h", TaskState::Working)] {
        let agents = agent::Client::new(agent::Options::default());
        let engine = Embedded::new(Default::default(), discovery(), agents, Arc::new(Memory::default()));
        let text = format!(
            "metadata: {{id: w, name: W, version: 1.0.0}}\nsteps: [{{id: work, step_type: wait, for: 1h}}]\n\
             error_handling: {{on_cancel: [{{id: undo, step_type: wait, for: {handler}}}]}}"
        );
        let plan = discovery().plan_from_text("w.yaml", text.as_bytes()).unwrap();
        let start = Start { labels: kept::labels(&caller(), "x"), ..Start::new(plan, Arc::new(json!({}))) };
        let run = engine.start(start).await.unwrap().run;
        let app = app(Arc::new(engine), Options::default());
        let begun = Instant::now();
        let params = CancelTaskParams { tenant: None, id: run.to_string(), metadata: Map::new() };
        let task = cancel(&app, &caller(), params).await.unwrap();
        assert_eq!(task.status.state, state, "{handler}");
        match state {
            TaskState::Working => assert_eq!(begun.elapsed(), SECOND * 5),
            _ => assert!(begun.elapsed() < SECOND * 5, "as soon as it has ended: {:?}", begun.elapsed()),
        }
    }
}

/// An engine with runs in this status that takes so long to read one. Nobody can watch them.
struct Slow {
    status: RunStatus,
    reads: Option<Duration>,
    runs: usize,
    listed: Mutex<Vec<Filter>>,
}

impl Slow {
    fn new(status: RunStatus, reads: Option<Duration>) -> Self {
        Self { status, reads, runs: 0, listed: Mutex::default() }
    }

    fn summary_of(&self, run: RunId, labels: BTreeMap<String, String>) -> RunSummary {
        RunSummary {
            run,
            workflow: "w".to_owned(),
            version: "1.0.0".to_owned(),
            digest: String::new(),
            status: self.status,
            asks_access: false,
            started_at: Timestamp::default(),
            changed_at: Timestamp::default(),
            labels,
            note: None,
        }
    }
}

#[async_trait]
impl Engine for Slow {
    fn is_durable(&self) -> bool {
        true
    }

    async fn start(&self, _: Start) -> Result<Started, Error> {
        unreachable!()
    }

    async fn cancel(&self, _: &RunId, _: &str) -> Result<(), Error> {
        unreachable!()
    }

    async fn answer_noted(&self, _: &RunId, _: Option<&str>, _: Arc<Value>, _: Option<Arc<str>>) -> Result<(), Error> {
        unreachable!()
    }

    async fn retry(&self, _: &RunId, _: BTreeMap<String, String>) -> Result<Started, Error> {
        unreachable!()
    }

    async fn snapshot(&self, _: &RunId) -> Result<Snapshot, Error> {
        unreachable!()
    }

    async fn wait(&self, run: &RunId) -> Result<Snapshot, Error> {
        let Some(reads) = self.reads else { return std::future::pending().await };
        tokio::time::sleep(reads).await;
        let (run, status, at) = (run.clone(), self.status, Timestamp::default());
        let outcome = Some(Outcome::Completed { output: Arc::default() });
        Ok(Snapshot { run, status, outcome, started_at: at, changed_at: at, finished_at: None, steps: Vec::new(), notes: Vec::new() })
    }

    async fn subscribe(&self, _: &RunId) -> Result<Subscription, Error> {
        std::future::pending().await
    }

    async fn updates(&self, _: &RunId, _: u64, _: u64) -> Result<Vec<Update>, Error> {
        unreachable!()
    }

    /// Renamed runs, the latest first.
    async fn page(&self, filter: &Filter) -> Result<Page, Error> {
        self.listed.lock().unwrap().push(filter.clone());
        let renamed = |n: usize| {
            let labels = BTreeMap::from([(kept::CALLER.to_owned(), caller().to_string()), (kept::TASK.to_owned(), format!("t-{n}"))]);
            self.summary_of(RunId::parse(&format!("r-{n}")).unwrap(), labels)
        };
        let runs = (0..self.runs).take(filter.runs_max.unwrap_or(usize::MAX)).map(renamed).collect();
        Ok(Page { runs, total: self.runs })
    }

    fn agents(&self) -> Vec<GateStatus> {
        unreachable!()
    }

    async fn summary(&self, run: &RunId) -> Result<RunSummary, Error> {
        Ok(self.summary_of(run.clone(), kept::labels(&caller(), "x")))
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_is_read_from_the_journal_within_five_seconds_or_refused_when_it_has_ended() {
    use RunStatus::{Canceled, Completed, Failed, InputRequired, Running};
    let refused = Err((-32051, "task `r` is still being read from the journal; try again".to_owned()));
    for (status, reads, waited, expected) in [
        (Completed, Some(4), 4, Ok(TaskState::Completed)),
        (Completed, Some(6), 5, refused.clone()),
        (Completed, None, 5, refused.clone()),
        (Failed, None, 5, refused.clone()),
        (Canceled, None, 5, refused),
        // It can be at work: it is waited for until it says what it asks, and until it can be watched.
        (InputRequired, None, 10, Ok(TaskState::Submitted)),
        (Running, None, 5, Ok(TaskState::Submitted)),
    ] {
        let app = app(Arc::new(Slow::new(status, reads.map(Duration::from_secs))), Options::default());
        let begun = Instant::now();
        let got = get(&app, &caller(), GetTaskParams { tenant: None, id: "r".to_owned(), history_length: None }).await;
        let got = got.map(|task| task.status.state).map_err(|failure| (failure.error.code, failure.error.message));
        assert_eq!((got, begun.elapsed()), (expected, SECOND * waited), "{status:?} {reads:?}");
    }
}

#[tokio::test]
async fn so_many_renamed_tasks_are_made_anew_at_a_start_and_no_more() {
    for (runs, tasks_max, made) in [(900, 20_000, 900), (1_200, 20_000, 1_000), (1_200, 1_001, 1_000), (1_200, 999, 999), (1_200, 3, 3)] {
        let mut options = Options::default();
        options.limits.tasks_max = tasks_max;
        let engine = Arc::new(Slow { runs, ..Slow::new(RunStatus::Running, None) });
        let app = app(Arc::clone(&engine) as Arc<dyn Engine>, options);
        revive_renamed(&app).await;
        assert_eq!(app.store.len(), made, "{runs} runs, {tasks_max} tasks");
        assert!((0..made).all(|n| app.store.get("c", &format!("t-{n}")).is_some()), "the latest of {runs}");
        let listed: Vec<_> = engine.listed.lock().unwrap().iter().map(|filter| filter.labelled.clone()).collect();
        assert_eq!(listed, [Some("a2a.task".to_owned())]);
    }
}
