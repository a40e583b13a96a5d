//! What `ListTasks` costs and shows: tasks that have left memory are listed from their runs' rows, and a task that is in memory and in the
//! journal is one task, on whatever page.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use gantry::ids::RunId;
use gantry::interpreter::{Event, RunStatus};
use gantry::journal::{Created, Error, Found, Header, Journal, Member, Progress, Query, Record, Resting, Retention, Sqlite, Used};
use gantry::registry::Layout;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::runs::execute;
use super::world::{PATIENCE, World, broken, echo, message};

/// A journal that counts how often the events of a run are read, and can keep lists waiting.
#[derive(Debug)]
struct Overseen {
    sqlite: Sqlite,
    runs_read: AtomicUsize,
    lists_wait: AtomicBool,
    /// Told when a list begins to wait, and when it may go on.
    waits: Notify,
    goes_on: Notify,
}

impl Overseen {
    fn open(folder: &tempfile::TempDir) -> Arc<Self> {
        let (runs_read, lists_wait) = (AtomicUsize::new(0), AtomicBool::new(false));
        let sqlite = Sqlite::open(folder.path()).unwrap();
        Arc::new(Self { sqlite, runs_read, lists_wait, waits: Notify::new(), goes_on: Notify::new() })
    }

    /// How often since this was asked last.
    fn runs_read(&self) -> usize {
        self.runs_read.swap(0, Ordering::SeqCst)
    }
}

#[async_trait]
impl Journal for Overseen {
    fn is_durable(&self) -> bool {
        true
    }

    async fn create(&self, header: Header, first: Event) -> Result<Created, Error> {
        self.sqlite.create(header, first).await
    }

    async fn create_from(&self, header: Header, history: Vec<Event>, status: RunStatus) -> Result<Created, Error> {
        self.sqlite.create_from(header, history, status).await
    }

    async fn prune(&self, retention: Retention) -> Result<usize, Error> {
        self.sqlite.prune(retention).await
    }

    async fn advance(&self, run: &RunId, events: &[Event], progress: Progress) -> Result<(), Error> {
        self.sqlite.advance(run, events, progress).await
    }

    async fn used(&self, run: &RunId) -> Result<Used, Error> {
        self.sqlite.used(run).await
    }

    async fn members(&self, root: &RunId) -> Result<Vec<Member>, Error> {
        self.sqlite.members(root).await
    }

    async fn record(&self, run: &RunId) -> Result<Record, Error> {
        self.sqlite.record(run).await
    }

    async fn first(&self, run: &RunId) -> Result<Event, Error> {
        self.runs_read.fetch_add(1, Ordering::SeqCst);
        self.sqlite.first(run).await
    }

    async fn find(&self, key: &str) -> Result<Option<RunId>, Error> {
        self.sqlite.find(key).await
    }

    async fn events(&self, run: &RunId) -> Result<Vec<Event>, Error> {
        self.runs_read.fetch_add(1, Ordering::SeqCst);
        self.sqlite.events(run).await
    }

    async fn list(&self) -> Result<Vec<Record>, Error> {
        self.sqlite.list().await
    }

    async fn select(&self, query: &Query) -> Result<Found, Error> {
        if self.lists_wait.swap(false, Ordering::SeqCst) {
            self.waits.notify_one();
            self.goes_on.notified().await;
        }
        self.sqlite.select(query).await
    }

    async fn unfinished(&self) -> Result<Vec<Record>, Error> {
        self.sqlite.unfinished().await
    }

    async fn resting(&self) -> Result<Vec<Resting>, Error> {
        self.sqlite.resting().await
    }
}

/// Every task by pages of a size, and the totals that the pages told.
async fn pages(world: &World, mut filter: Value, page_size: usize) -> (Vec<Value>, BTreeSet<u64>) {
    let (mut tasks, mut totals) = (Vec::new(), BTreeSet::new());
    filter["pageSize"] = json!(page_size);
    loop {
        let page = world.call("ListTasks", filter.clone()).await.result().clone();
        tasks.extend(page["tasks"].as_array().unwrap().clone());
        totals.insert(page["totalSize"].as_u64().unwrap());
        assert!(tasks.len() < 1_000, "pages without end");
        match page["nextPageToken"].as_str().unwrap() {
            "" => return (tasks, totals),
            token => filter["pageToken"] = json!(token),
        }
    }
}

fn ids(tasks: &[Value]) -> Vec<&str> {
    tasks.iter().map(|task| task["id"].as_str().unwrap()).collect()
}

fn states(tasks: &[Value]) -> Vec<&str> {
    tasks.iter().map(|task| task["status"]["state"].as_str().unwrap().trim_start_matches("TASK_STATE_")).collect()
}

/// Sends a message and answers with the task's id.
async fn send(world: &World, message: Value, at_once: bool) -> String {
    let params = json!({ "message": message, "configuration": { "returnImmediately": at_once } });
    world.call("SendMessage", params).await.result()["task"]["id"].as_str().unwrap().to_owned()
}

const ASKS: &str = "  - {id: ask, step_type: input, prompt: \"Go on?\"}\n";

#[tokio::test]
async fn a_list_reads_the_events_of_no_run_whose_task_has_left_memory() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Arc::new(Layout::ephemeral().unwrap());
    let mut before = World::over(Overseen::open(&folder), Arc::clone(&layout), |_| {}).await;
    let _agents = (before.agent(&["work"], echo).await, before.agent(&["fails"], broken).await);
    before.workflow("good", "  - {id: one, skill: work}\n").await;
    before.workflow("bad", "  - {id: one, skill: fails, retry: {max_attempts: 1}}\n").await;
    before.workflow("asks", ASKS).await;
    for (n, workflow) in ["good", "bad", "good", "asks", "good"].into_iter().enumerate() {
        send(&before, execute(&format!("m-{n}"), workflow, json!({})), false).await;
    }
    before.shutdown().await;
    before.engine.shutdown(Duration::from_secs(1)).await;
    drop(before);

    let journal = Overseen::open(&folder);
    let stay = Duration::from_millis(40);
    let world = World::over(Arc::clone(&journal) as Arc<dyn Journal>, layout, |options| options.limits.ended_tasks_stay = stay).await;
    assert_eq!(journal.runs_read(), 0, "nor does a start");
    let expected = ["COMPLETED", "INPUT_REQUIRED", "COMPLETED", "FAILED", "COMPLETED"];
    let mut all = Vec::new();
    for page_size in [1, 2, 100] {
        let totals;
        (all, totals) = pages(&world, json!({ "historyLength": 1 }), page_size).await;
        assert_eq!((states(&all), totals), (expected.to_vec(), BTreeSet::from([5])));
        assert!(all.iter().all(|task| task["history"][0]["taskId"] == task["id"]), "{all:#?}");
    }
    for (wanted, count) in [("COMPLETED", 3), ("FAILED", 1), ("CANCELED", 0), ("INPUT_REQUIRED", 1), ("WORKING", 0)] {
        let (some, totals) = pages(&world, json!({ "status": format!("TASK_STATE_{wanted}") }), 2).await;
        assert_eq!((states(&some), totals), (vec![wanted; count], BTreeSet::from([count as u64])));
    }
    assert_eq!(journal.runs_read(), 0);
    let counts = world.engine.counts();
    assert_eq!((counts.awake, counts.resting), (0, 1));

    // What needs the events reads them, of each run once: of all when artifacts are wanted, of one when it is asked for.
    let whole = pages(&world, json!({ "includeArtifacts": true, "status": "TASK_STATE_COMPLETED" }), 2).await.0;
    assert!(whole.iter().all(|task| task["artifacts"][0]["artifactId"].is_string()), "{whole:#?}");
    assert_eq!(journal.runs_read(), 3);
    let failed = all.iter().find(|task| states(std::slice::from_ref(task)) == ["FAILED"]).unwrap();
    let read = world.call("GetTask", json!({ "id": failed["id"] })).await.result().clone();
    assert!(read["status"]["message"].is_object() && journal.runs_read() == 1, "{read:#}");

    // They leave again, and are listed as before.
    tokio::time::sleep(stay * 5).await;
    let (again, _) = pages(&world, json!({ "historyLength": 1 }), 2).await;
    assert_eq!((ids(&again), states(&again), journal.runs_read()), (ids(&all), expected.to_vec(), 0));
}

#[tokio::test]
async fn a_task_in_memory_and_in_the_journal_is_listed_once_on_whatever_pages() {
    let folder = tempfile::tempdir().unwrap();
    let stay = Duration::from_millis(250);
    let layout = Arc::new(Layout::ephemeral().unwrap());
    let world = World::over(Overseen::open(&folder), layout, |options| options.limits.ended_tasks_stay = stay).await;
    let slow = |request: &wiremock::Request| echo(request).set_delay(PATIENCE);
    let _agents = (world.agent(&["work"], echo).await, world.agent(&["fails"], broken).await, world.agent(&["slow"], slow).await);
    world.workflow("good", "  - {id: one, skill: work}\n").await;
    world.workflow("bad", "  - {id: one, skill: fails, retry: {max_attempts: 1}}\n").await;
    world.workflow("slow", "  - {id: one, skill: slow}\n").await;
    world.workflow("asks", ASKS).await;
    let mut sent = BTreeSet::new();
    // Runs at work and at rest, a script, a request that is asked back; and many at once, so that some share a moment.
    sent.insert(send(&world, execute("m-slow", "slow", json!({})), true).await);
    sent.insert(send(&world, execute("m-asks", "asks", json!({})), false).await);
    sent.insert(send(&world, message("done-1"), false).await);
    sent.insert(send(&world, message("words"), false).await);
    let workflow = |n: usize| if n.is_multiple_of(3) { "bad" } else { "good" };
    let many = (0..16).map(|n| send(&world, execute(&format!("m-{n}"), workflow(n), json!({})), false));
    sent.extend(join_all(many).await);
    sent.insert(send(&world, message("done-2"), false).await);
    let waiting = pages(&world, json!({ "status": "TASK_STATE_INPUT_REQUIRED" }), 1).await;
    assert_eq!((waiting.0.len(), waiting.1), (2, BTreeSet::from([2])), "the run that asks, and the request that is asked back");

    for has_left in [false, true] {
        if has_left {
            tokio::time::sleep(stay * 3).await;
        }
        let mut order = None;
        for (page_size, with_artifacts) in [(1, false), (2, true), (3, false), (7, false), (100, true)] {
            let (tasks, totals) = pages(&world, json!({ "includeArtifacts": with_artifacts }), page_size).await;
            let listed = ids(&tasks);
            let distinct: BTreeSet<_> = listed.iter().map(|id| (*id).to_owned()).collect();
            assert_eq!((listed.len(), &distinct), (sent.len(), &sent), "pages of {page_size}, have left: {has_left}");
            assert_eq!(totals, BTreeSet::from([sent.len() as u64]));
            let listed: Vec<_> = listed.into_iter().map(str::to_owned).collect();
            assert_eq!(order.get_or_insert_with(|| listed.clone()), &listed, "the order is the same by whatever pages");
        }
    }
}

#[tokio::test]
async fn a_request_that_finds_its_workflow_while_it_is_listed_is_listed_once() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Overseen::open(&folder);
    let world = World::over(Arc::clone(&journal) as Arc<dyn Journal>, Arc::new(Layout::ephemeral().unwrap()), |_| {}).await;
    let _agent = world.agent(&["work"], echo).await;
    for id in ["alpha", "beta"] {
        world.workflow(id, "  - id: one\n    skill: work\n    inputs: { said: \"{{ workflow.input.request }}\" }\n").await;
    }
    let mut request = message("m-1");
    request["parts"] = json!([{ "text": "fly me to the moon" }]);
    let asked = send(&world, request, false).await;
    journal.lists_wait.store(true, Ordering::SeqCst);
    // The list has seen the task, and not yet the runs; then the task becomes one.
    let list = pages(&world, json!({}), 100);
    let answer = async {
        tokio::time::timeout(PATIENCE, journal.waits.notified()).await.unwrap();
        let chosen = json!({ "messageId": "m-2", "role": "ROLE_USER", "taskId": asked, "parts": [{ "text": "1" }] });
        let done = world.call("SendMessage", json!({ "message": chosen })).await.result()["task"].clone();
        journal.goes_on.notify_one();
        done
    };
    let ((tasks, totals), done) = tokio::join!(list, answer);
    assert_eq!(totals, BTreeSet::from([1]));
    assert_eq!(done["status"]["state"], "TASK_STATE_COMPLETED", "{done:#}");
    assert_eq!((ids(&tasks), states(&tasks)), (vec![asked.as_str()], vec!["COMPLETED"]));
    assert_eq!(pages(&world, json!({}), 1).await, (tasks, BTreeSet::from([1])));
}
