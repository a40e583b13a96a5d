//! Many runs at once in one real process, measured from outside: what they cost while they wait, how it stops in the middle of them,
//! and what it does when it is asked for more than it can do.
//!
//! The counts are small enough for every run of the tests; with `GANTRY_SCALE=full` in the environment they are the ones that are
//! promised, and `GANTRY_BIN` names an optimised gantry to measure. What was measured is printed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use crate::gantries::{Gantry, Site, wait_for};

const MB: u64 = 1_000_000;

/// How many: the first by default, the second when the full scale is asked for.
fn count(moderate: usize, full: usize) -> usize {
    if std::env::var("GANTRY_SCALE").as_deref() == Ok("full") { full } else { moderate }
}

/// One finding, for whoever reads the test's output.
#[expect(clippy::print_stderr, reason = "figures are there to be read")]
fn tell(what: &str, figures: impl std::fmt::Display) {
    eprintln!("{what}: {figures}");
}

/// An agent on a thread of its own that answers each call after a pause, and counts.
struct Slow {
    url: String,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    calls: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Slow {
    fn start(pause: Duration) -> Self {
        let seen = Arc::<Seen>::default();
        let app = Router::new().route("/execute", post(answer)).with_state((Arc::clone(&seen), pause));
        let (tell, told) = std::sync::mpsc::channel();
        // Ends with the test's process.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
                let listener = socket.listen(1024).unwrap();
                tell.send(format!("http://{}", listener.local_addr().unwrap())).unwrap();
                axum::serve(listener, app).await.unwrap();
            });
        });
        Self { url: told.recv().unwrap(), seen }
    }

    fn calls(&self) -> usize {
        self.seen.calls.load(Ordering::SeqCst)
    }

    fn in_flight(&self) -> usize {
        self.seen.now.load(Ordering::SeqCst)
    }

    fn most_in_flight(&self) -> usize {
        self.seen.most.load(Ordering::SeqCst)
    }
}

/// Counts down when the caller goes away, too.
struct Leaving(Arc<Seen>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn answer(State((seen, pause)): State<(Arc<Seen>, Duration)>, Json(call): Json<Value>) -> Json<Value> {
    seen.calls.fetch_add(1, Ordering::SeqCst);
    let now = seen.now.fetch_add(1, Ordering::SeqCst) + 1;
    seen.most.fetch_max(now, Ordering::SeqCst);
    let _leaving = Leaving(Arc::clone(&seen));
    let pause = call["params"]["pause_ms"].as_u64().map_or(pause, Duration::from_millis);
    tokio::time::sleep(pause).await;
    let said = format!("{}.", call["params"]["said"].as_str().unwrap_or_default());
    Json(json!({ "jsonrpc": "2.0", "id": call["id"], "result": { "said": said } }))
}

const CHAIN: &str = "steps:
- {id: a, skill: work, inputs: {said: \"{{ workflow.input.said }}\"}}
- {id: b, skill: work, inputs: {said: \"{{ steps.a.outputs.said }}\"}}
- {id: c, skill: work, inputs: {said: \"{{ steps.b.outputs.said }}\"}}
output: {said: \"{{ steps.c.outputs.said }}\"}
";

async fn site(agent: &Slow) -> Site {
    let site = Site::new().await;
    site.push_plain("slow", &agent.url, &["work"]).await;
    site.push_steps("chain", CHAIN).await;
    site
}

/// How many tasks are in each state.
async fn states(gantry: &Gantry) -> BTreeMap<String, usize> {
    let mut states = BTreeMap::new();
    for state in ["SUBMITTED", "WORKING", "COMPLETED", "FAILED", "CANCELED", "REJECTED"] {
        let asked = json!({ "status": format!("TASK_STATE_{state}"), "pageSize": 1 });
        let total = gantry.call("ListTasks", asked).await["totalSize"].as_u64().unwrap();
        if total > 0 {
            states.insert(state.to_owned(), usize::try_from(total).unwrap());
        }
    }
    states
}

/// Begins runs of the chain, 64 at a time, and waits for none. Their tasks.
async fn begin(gantry: &Gantry, runs: usize) -> Vec<Value> {
    let begun = stream::iter(0..runs).map(|n| gantry.begin("chain", json!({ "said": format!("{n}:") })));
    begun.buffer_unordered(64).map(|task| task["id"].clone()).collect().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_runs_wait_for_a_slow_agent_and_all_end_right() {
    let agent = Slow::start(Duration::from_secs(2));
    let site = site(&agent).await;
    let gantry = site.serve("gantry", &std::env::var("ROWS_CONFIG").unwrap_or_default()).await;
    // Connections, caches and plans are there before it counts.
    gantry.execute("chain", json!({ "said": "0:" })).await;
    let runs = count(300, 10_000);
    let idle = gantry.resident();
    let started = Instant::now();
    let tasks = begin(&gantry, runs).await;
    let begun = started.elapsed();
    wait_for("the end of all runs", || async {
        let states = states(&gantry).await;
        (!states.contains_key("WORKING") && !states.contains_key("SUBMITTED")).then_some(())
    })
    .await;
    let took = started.elapsed();
    let peak = gantry.peak();
    if std::env::var("ROWS_CONFIG").is_err() {
        assert_eq!(states(&gantry).await, BTreeMap::from([("COMPLETED".to_owned(), runs + 1)]));
    }
    assert_eq!(agent.calls(), 3 * (runs + 1), "each step was called once");
    for task in tasks.iter().step_by(97) {
        let task = gantry.task(task).await;
        let said = task["artifacts"].to_string();
        assert!(said.contains(":...\""), "{said}");
    }
    let what = format!("{runs} runs, {} calls in flight at most", agent.most_in_flight());
    let after = settled(&gantry, idle).await;
    let figures =
        format!("begun in {begun:.1?}, ended in {took:.1?}; {} MB idle, {} MB at the peak, {} MB after", idle / MB, peak / MB, after / MB);
    tell(&what, figures);
    assert!(peak < 800 * MB, "{} MB", peak / MB);
}

/// What it has a while after the work: memory is given back within a minute.
async fn settled(gantry: &Gantry, idle: u64) -> u64 {
    let started = Instant::now();
    loop {
        let resident = gantry.resident();
        if resident * 10 < idle * 12 || started.elapsed() > Duration::from_secs(count(1, 60) as u64) {
            return resident;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_at_once_each_get_their_answer() {
    let agent = Slow::start(Duration::from_secs(2));
    let site = site(&agent).await;
    let gantry = site.serve("gantry", &std::env::var("ROWS_CONFIG").unwrap_or_default()).await;
    gantry.execute("chain", json!({ "said": "0:" })).await;
    // One connection for each caller, and one for each call.
    let runs = count(300, 9_000);
    let started = Instant::now();
    let callers = (0..runs).map(|n| {
        let gantry = &gantry;
        async move {
            let task = gantry.execute("chain", json!({ "said": format!("{n}:") })).await;
            assert_eq!(task["status"]["state"], "TASK_STATE_COMPLETED", "{task}");
            assert!(task["artifacts"].to_string().contains(&format!("{n}:...\"")), "{task}");
        }
    });
    futures_util::future::join_all(callers).await;
    let what = format!("{runs} callers that wait, {} calls in flight at most", agent.most_in_flight());
    tell(&what, format_args!("answered in {:.1?}; {} MB at the peak", started.elapsed(), gantry.peak() / MB));
    assert!(gantry.peak() < 800 * MB);
}
