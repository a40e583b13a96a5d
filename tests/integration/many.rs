//! Many runs at once in one real process, measured from outside: what they cost while they wait, how it stops in the middle of them,
//! and what it does when it is asked for more than it can do.
//!
//! The counts are small enough for every run of the tests; with `GANTRY_SCALE=full` in the environment they are the ones that are
//! promised, and `GANTRY_BIN` names an optimised gantry to measure. What was measured is printed.

use std::collections::{BTreeMap, BTreeSet};
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
    if is_full() { full } else { moderate }
}

/// Whether figures are asserted that an optimised gantry is held to, on a machine that has nothing else to do.
fn is_full() -> bool {
    std::env::var("GANTRY_SCALE").as_deref() == Ok("full")
}

/// What so many runs in flight may take beside an idle process: 80 KB each, and some room for the crowd of their beginning.
fn room_for(runs: usize) -> u64 {
    runs as u64 * 80_000 + 20 * MB
}

/// One finding, for whoever reads the test's output.
#[expect(clippy::print_stderr, reason = "figures are there to be read")]
fn tell(what: &str, figures: impl std::fmt::Display) {
    eprintln!("{what}: {figures}");
}

/// An agent on a thread of its own that answers each call after a pause, and counts.
pub(crate) struct Slow {
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
    pub(crate) fn start(pause: Duration) -> Self {
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

    pub(crate) fn calls(&self) -> usize {
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
    tokio::time::sleep(pause).await;
    let mut said = format!("{}.", call["params"]["said"].as_str().unwrap_or_default());
    if let Some(bytes) = call["params"]["bytes"].as_u64() {
        said = "x".repeat(usize::try_from(bytes).unwrap());
    }
    Json(json!({ "jsonrpc": "2.0", "id": call["id"], "result": { "said": said } }))
}

const CHAIN: &str = "steps:
- {id: a, skill: work, inputs: {said: \"{{ workflow.input.said }}\"}}
- {id: b, skill: work, inputs: {said: \"{{ steps.a.outputs.said }}\"}}
- {id: c, skill: work, inputs: {said: \"{{ steps.b.outputs.said }}\"}}
output: {said: \"{{ steps.c.outputs.said }}\"}
";

pub(crate) async fn site(agent: &Slow) -> Site {
    let site = Site::new().await;
    site.push_plain("slow", &agent.url, &["work"]).await;
    site.push_steps("chain", CHAIN).await;
    site
}

/// How many tasks are in each state.
pub(crate) async fn states(gantry: &Gantry) -> BTreeMap<String, usize> {
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
    let gantry = site.serve("gantry", "").await;
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
    assert_eq!(states(&gantry).await, BTreeMap::from([("COMPLETED".to_owned(), runs + 1)]));
    assert_eq!(agent.calls(), 3 * (runs + 1), "each step was called once");
    let mut said = BTreeSet::new();
    for task in &tasks {
        let task = gantry.task(task).await;
        said.insert(task["artifacts"][0]["parts"][0].to_string());
        assert!(task["artifacts"].to_string().contains(":...\""), "{task}");
    }
    assert_eq!(said.len(), runs, "each run has the result of its own input");
    let what = format!("{runs} runs, {} calls in flight at most", agent.most_in_flight());
    let figures = format!(
        "begun in {begun:.1?}, ended in {took:.1?}; {} MB idle, {} MB at the peak, {} MB at once after",
        idle / MB,
        peak / MB,
        gantry.resident() / MB
    );
    tell(&what, figures);
    let room = room_for(runs);
    assert!(peak - idle < room, "{} MB beside the {} MB of an idle one, {} MB allowed", (peak - idle) / MB, idle / MB, room / MB);
    if runs == 10_000 {
        assert!(peak < 800 * MB, "{} MB", peak / MB);
        assert!(agent.most_in_flight() > runs * 9 / 10, "{} at once", agent.most_in_flight());
    }
}

/// While nothing comes from an agent the system asks whether it is still there, of thousands of calls at the same moment. What of that gets
/// lost must not end a call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn none_of_many_calls_that_take_long_is_taken_for_dead() {
    let (items, pause) = (count(100, 4_000), Duration::from_secs(count(1, 65) as u64));
    let agent = Slow::start(pause);
    let site = site(&agent).await;
    // In one map, so that they begin together.
    let map = format!(
        "{{id: a, step_type: map, items: \"{{{{ workflow.input.items }}}}\", max_concurrency: {items}, skill: work, inputs: {{said: x}}}}"
    );
    site.push_steps("wide", &format!("steps: [{map}]\noutput: {{all: \"{{{{ steps.a.outputs }}}}\"}}\n")).await;
    let gantry = site.serve("gantry", "").await;
    let task = gantry.begin("wide", json!({ "items": (0..items).collect::<Vec<_>>() })).await;
    tokio::time::sleep(pause).await;
    let ended = wait_for("the end of the run", || async {
        let status = gantry.task(&task["id"]).await["status"].clone();
        (!matches!(status["state"].as_str(), Some("TASK_STATE_SUBMITTED" | "TASK_STATE_WORKING"))).then_some(status)
    })
    .await;
    assert_eq!(ended["state"], "TASK_STATE_COMPLETED", "{ended}");
    assert_eq!(agent.calls(), items);
    tell(&format!("{items} calls of {pause:?} at the same time"), "none was taken for dead");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_at_once_each_get_their_answer() {
    let agent = Slow::start(Duration::from_secs(2));
    let site = site(&agent).await;
    let gantry = site.serve("gantry", "").await;
    gantry.execute("chain", json!({ "said": "0:" })).await;
    // One connection for each caller, and one for each call.
    let runs = count(300, 9_000);
    let idle = gantry.resident();
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
    let (grown, room) = (gantry.peak() - idle, room_for(runs));
    tell(&what, format_args!("answered in {:.1?}; {} MB idle, {} MB more at the peak", started.elapsed(), idle / MB, grown / MB));
    assert!(grown < room, "{} MB beside the {} MB of an idle one, {} MB allowed", grown / MB, idle / MB, room / MB);
}

// ------------------------------------------------------------------------------------------------------- many that wait

/// What a run that waits for its caller may take: its line in the engine's index, and the message that began it, so that it is not begun
/// twice; and what an allocator makes of so many small things.
const WAITING_BYTES_MAX: u64 = 1_000;

/// How many tasks are in memory, and how many runs are followed for them.
async fn in_memory(gantry: &Gantry) -> (u64, u64) {
    let tasks = gantry.ready().await["tasks"].clone();
    (tasks["in_memory"].as_u64().unwrap(), tasks["followed"].as_u64().unwrap())
}

/// Longer than a run waits until it rests, and a process that was busy until it gives memory back.
const QUIET: Duration = Duration::from_secs(80);

/// Waits until no task is in memory, and at full scale until no run is.
async fn has_left(gantry: &Gantry) {
    wait_for("all tasks to leave memory", || async { (in_memory(gantry).await == (0, 0)).then_some(()) }).await;
    tokio::time::sleep(if count(0, 1) == 1 { QUIET } else { Duration::ZERO }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_that_wait_for_their_callers_cost_a_line_in_an_index_each_and_go_on_after_a_kill() {
    let site = Site::new().await;
    site.push_steps("asks", "steps:\n- {id: ask, step_type: input, prompt: \"Go on?\"}\n").await;
    let limits = "[server.limits]\nended_tasks_stay = \"200ms\"\n";
    let gantry = site.serve("gantry", limits).await;
    // Connections, caches and plans are there before it counts, and what a burst takes has been taken once.
    let runs = count(200, 100_000);
    let mut tasks = ask(&gantry, runs / 20).await;
    has_left(&gantry).await;
    let before = gantry.resident();
    let started = Instant::now();
    let more = ask(&gantry, runs).await;
    let begun = started.elapsed();
    has_left(&gantry).await;
    let (after, peak) = (gantry.resident(), gantry.peak());
    let each = after.saturating_sub(before) / runs as u64;
    tell(
        &format!("{runs} runs that wait for their callers"),
        format_args!(
            "begun in {begun:.1?}, {} MB before, {} MB at the peak, {} MB when they rest: {each} bytes each",
            before / MB,
            peak / MB,
            after / MB
        ),
    );
    if runs >= 100_000 {
        assert!(each < WAITING_BYTES_MAX, "{each} bytes for each");
    }
    tasks.extend(more);
    let waiting = json!({ "status": "TASK_STATE_INPUT_REQUIRED", "pageSize": 1 });
    let looked = Instant::now();
    assert_eq!(gantry.call("ListTasks", waiting.clone()).await["totalSize"], tasks.len());
    let listed = looked.elapsed();
    let some = &tasks[tasks.len() / 2];
    assert_eq!(gantry.task(some).await["status"]["message"]["parts"][0]["text"], "Go on?");
    gantry.signal("KILL");
    assert!(!gantry.ended().await.success());

    let gantry = site.serve("gantry", limits).await;
    assert_eq!(in_memory(&gantry).await, (0, 0), "a start brings nothing back");
    let looked = Instant::now();
    assert_eq!(gantry.call("ListTasks", waiting.clone()).await["totalSize"], tasks.len());
    let started = Instant::now();
    let answered = stream::iter(&tasks).map(|id| reply(&gantry, id));
    let answered = answered.buffer_unordered(64).filter(|task| std::future::ready(task["status"]["state"] == "TASK_STATE_COMPLETED"));
    assert_eq!(answered.count().await, tasks.len());
    let took = started.elapsed();
    assert_eq!(gantry.call("ListTasks", waiting).await["totalSize"], 0);
    has_left(&gantry).await;
    tell(
        &format!("{} of them answered after a kill", tasks.len()),
        format_args!(
            "{took:.1?}, {:.0} a second; {} MB; the list of those that wait took {listed:.0?}, and {:.0?} in the new process",
            tasks.len() as f64 / took.as_secs_f64(),
            gantry.resident() / MB,
            started.duration_since(looked)
        ),
    );
}

/// Begins runs that ask, 64 at a time, and waits for none. Their tasks.
async fn ask(gantry: &Gantry, runs: usize) -> Vec<Value> {
    let begun = stream::iter(0..runs).map(|_| gantry.begin("asks", json!({ "text": "x".repeat(100) })));
    begun.buffer_unordered(64).map(|task| task["id"].clone()).collect().await
}

async fn reply(gantry: &Gantry, id: &Value) -> Value {
    gantry.reply(&json!({ "id": id }), json!({ "yes": true })).await
}

// ------------------------------------------------------------------------------------------------------------ the end

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_to_stop_in_the_middle_of_many_runs_loses_none() {
    let agent = Slow::start(Duration::from_secs(2));
    let site = site(&agent).await;
    let runs = count(100, 1000);
    let gantry = site.serve("gantry", "").await;
    let tasks = begin(&gantry, runs).await;
    let mut streams = Vec::new();
    for id in tasks.iter().take(20) {
        streams.push(gantry.stream("SubscribeToTask", json!({ "id": id })).await);
    }
    wait_for("calls in flight", || async { (agent.in_flight() >= runs).then_some(()) }).await;
    let begun = Instant::now();
    gantry.signal("TERM");
    let status = wait_for("the end of readiness", || async {
        let status = gantry.get("/readyz").await?;
        (status != 200).then_some(status)
    });
    assert_eq!(status.await, 503);
    let unready = begun.elapsed();
    let mut last = Vec::new();
    for stream in streams {
        // To its very end, which is none if the connection was cut.
        let text = stream.text().await.expect("a stream ends as streams do");
        assert!(!text.contains("TASK_STATE_FAILED"), "a run that is parked has not failed: {text}");
        last.push(text.rsplit("data: ").next().unwrap_or_default().trim().to_owned());
    }
    assert!(gantry.ended().await.success());
    let stopped = begun.elapsed();
    tell(
        &format!("SIGTERM with {runs} runs in flight, calls of 2 s"),
        format_args!("/readyz says 503 after {unready:?}, ended after {stopped:.1?}; the streams' last event: {}", last[0]),
    );
    // The calls in flight end by themselves; the grace period is 30 s.
    assert!(stopped < Duration::from_secs(15), "{stopped:?}");
    assert!(unready < Duration::from_secs(1), "{unready:?}");
    assert!(last.iter().all(|event| event.contains("gantry is shutting down; subscribe again")), "{last:?}");

    let gantry = site.serve("gantry", "").await;
    wait_for("the end of all runs", || async {
        let states = states(&gantry).await;
        (states == BTreeMap::from([("COMPLETED".to_owned(), runs)])).then_some(())
    })
    .await;
    assert_eq!(agent.calls(), 3 * runs, "what had ended in time was not called again");
    let begun = Instant::now();
    gantry.signal("TERM");
    assert!(gantry.ended().await.success());
    tell("SIGTERM with nothing in flight", format_args!("ended after {:?}", begun.elapsed()));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

// ----------------------------------------------------------------------------------------------------------- overload

/// The answers to one kind of load.
#[derive(Default)]
struct Answers {
    good: usize,
    refused: Vec<Duration>,
    /// Connections on which the request came too late: the test is not as fast as what it tests.
    cut: usize,
}

/// Sends a request every `every`, whatever becomes of those before, for a while.
async fn offer(gantry: &Arc<Gantry>, every: Duration, during: Duration) -> Answers {
    let mut open = tokio::task::JoinSet::new();
    let mut ticks = tokio::time::interval(every);
    let begun = Instant::now();
    while begun.elapsed() < during {
        ticks.tick().await;
        let gantry = Arc::clone(gantry);
        open.spawn(async move {
            let asked = Instant::now();
            let (status, retry_after, task) = gantry.try_execute("chain", json!({ "said": "1:" })).await?;
            match status {
                200 => assert_eq!(task["result"]["task"]["status"]["state"], "TASK_STATE_COMPLETED", "{task}"),
                503 | 429 => assert!(retry_after.is_some(), "{task}"),
                other => panic!("{other}: {task}"),
            }
            Some((status == 200, asked.elapsed()))
        });
    }
    let mut answers = Answers::default();
    while let Some(done) = open.join_next().await {
        match done.unwrap() {
            Some((true, _)) => answers.good += 1,
            Some((false, took)) => answers.refused.push(took),
            None => answers.cut += 1,
        }
    }
    answers
}

/// What `lanes` callers get, each with its next request when it has its answer: runs a second.
async fn bear(gantry: &Gantry, lanes: usize, during: Duration) -> f64 {
    let begun = Instant::now();
    let lanes = (0..lanes).map(|_| async {
        let mut good = 0;
        while begun.elapsed() < during {
            gantry.execute("chain", json!({ "said": "1:" })).await;
            good += 1;
        }
        good
    });
    let good: usize = futures_util::future::join_all(lanes).await.into_iter().sum();
    good as f64 / begun.elapsed().as_secs_f64()
}

/// Requests under way at once. With as many as there are by default it is the machine that is busy with asking: `cargo bench --bench served
/// overload` measures that, with an agent and callers that are optimised.
const PLACES: usize = 32;

/// Offers ten times of what it bears, which as many callers as there are places find out before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_times_the_load_that_it_bears_does_not_make_it_slower() {
    let pause = Duration::from_millis(100);
    let agent = Slow::start(pause);
    let site = site(&agent).await;
    let gantry = Arc::new(site.serve("gantry", &format!("[server.limits]\nrequests_max = {PLACES}\n")).await);
    gantry.execute("chain", json!({ "said": "0:" })).await;
    let during = Duration::from_secs(count(2, 60) as u64);
    let peak = bear(&gantry, PLACES, during).await;
    let begun = Instant::now();
    let mut answers = offer(&gantry, Duration::from_secs_f64(1.0 / (peak * 10.0)), during).await;
    let goodput = answers.good as f64 / begun.elapsed().as_secs_f64();
    answers.refused.sort_unstable();
    let refused = answers.refused.len();
    let at = |percent: usize| answers.refused.get(refused * percent / 100).copied().unwrap_or_default();
    let (median, p99) = (at(50), at(99));
    let begun = Instant::now();
    gantry.execute("chain", json!({ "said": "0:" })).await;
    let recovered = begun.elapsed().saturating_sub(pause * 3);
    tell(
        &format!("ten times the load with {PLACES} places"),
        format_args!(
            "{peak:.0} runs/s at the peak, {goodput:.0} under it ({:.0} %); {refused} of {} refused with Retry-After, median {median:?}, \
             p99 {p99:?}; {} cut; then answered in {recovered:?} beside the agent's time",
            goodput / peak * 100.0,
            refused + answers.good,
            answers.cut,
        ),
    );
    assert!(recovered < Duration::from_secs(1), "it recovers: {recovered:?}");
    assert_eq!(answers.cut, 0, "connections were cut");
    // In the small the test and what it tests share the machine with other tests: what is asserted is that it is not far worse.
    let share = if is_full() { 0.9 } else { 0.5 };
    assert!(goodput > share * peak, "{goodput:.0} of {peak:.0} runs/s");
    if is_full() {
        assert!(median < Duration::from_millis(10), "refused after {median:?}");
    }
    assert!(refused > answers.good, "{refused} refused, {} answered", answers.good);
}

// ------------------------------------------------------------------------------------------------------ a storm of retries

/// An agent that is away: it says 503 to each call, after a pause, and counts.
async fn away(pause: Duration) -> (String, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let app = Router::new().route(
        "/execute",
        post(move || async move {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(pause).await;
            axum::http::StatusCode::SERVICE_UNAVAILABLE
        }),
    );
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1024).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (url, calls)
}

/// Many runs want an agent that is away, each with a policy of its own to try it again and again. What they may call together is one
/// call for each of them, as long as nobody knows that the agent is away, and then one for each pause of its circuit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_runs_that_try_again_call_an_agent_that_is_away_no_more_often_than_its_circuit_lets_them() {
    let runs = count(200, 1_000);
    let attempts = count(3, 6);
    for pause in [Duration::ZERO, Duration::from_millis(500)] {
        let (url, calls) = away(pause).await;
        let site = Site::new().await;
        site.push_plain("away", &url, &["work"]).await;
        let steps = format!("steps: [{{id: a, skill: work, retry: {{max_attempts: {attempts}, initial: 100ms, on: [unavailable]}}}}]\n");
        site.push_steps("chain", &steps).await;
        let gantry = site.serve("gantry", "").await;
        let begun = Instant::now();
        begin(&gantry, runs).await;
        let all_begun = begun.elapsed();
        wait_for("the end of all runs", || async {
            let states = states(&gantry).await;
            (states == BTreeMap::from([("FAILED".to_owned(), runs)])).then_some(())
        })
        .await;
        let (took, calls) = (begun.elapsed(), calls.load(Ordering::SeqCst));
        // Each pause is at least a second, and ends with one call.
        let probes = usize::try_from(took.as_secs()).unwrap() + 1;
        tell(
            &format!("{runs} runs of {attempts} attempts at an agent that says 503 after {pause:?}"),
            format_args!("begun in {all_begun:.1?}, ended in {took:.1?}: {calls} calls, {} without a circuit", runs * attempts),
        );
        assert!(calls <= runs + 2 * probes, "{calls} calls of {runs} runs in {took:?}");
        assert!(calls >= 5, "{calls}");
    }
}

// -------------------------------------------------------------------------------------------------------------- giants

async fn took(gantry: &Gantry, workflow: &str, input: Value) -> (Duration, Value) {
    let begun = Instant::now();
    let task = gantry.begin(workflow, input).await;
    let ended = wait_for("the end of a giant", || async {
        let task = gantry.task(&task["id"]).await;
        let state = task["status"]["state"].as_str().unwrap();
        (state != "TASK_STATE_WORKING" && state != "TASK_STATE_SUBMITTED").then_some(task)
    })
    .await;
    (begun.elapsed(), ended)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn giant_runs_cost_no_more_for_each_step_and_stay_within_their_memory() {
    let agent = Slow::start(Duration::ZERO);
    let site = site(&agent).await;
    // A name of one letter: the longest workflow fits into the largest file.
    site.push_plain("brief", &agent.url, &["w"]).await;
    let chain = |steps: usize| (0..steps).map(|n| format!("- {{id: s{n}, skill: w}}\n")).collect::<String>();
    let (most, items, replies) = (count(1_000, 10_000), count(20_000, 1_000_000), count(3, 30));
    site.push_steps("short", &format!("steps:\n{}", chain(10))).await;
    site.push_steps("long", &format!("steps:\n{}", chain(most))).await;
    let each = "items: \"{{ workflow.input.items }}\"";
    site.push_steps("map-set", &format!("steps:\n- {{id: m, step_type: map, {each}, steps: [{{id: v, step_type: set, value: 1}}]}}\n"))
        .await;
    site.push_steps("map-calls", &format!("steps:\n- {{id: m, step_type: map, {each}, skill: work}}\n")).await;
    let heavy = |n| format!("- {{id: s{n}, skill: work, inputs: {{bytes: 3500000}}}}\n");
    site.push_steps("heavy", &format!("steps:\n{}output: done\n", (0..replies).map(heavy).collect::<String>())).await;

    let gantry = site.serve("gantry", "").await;
    took(&gantry, "short", json!({})).await;
    let begun = Instant::now();
    for _ in 0..most / 10 {
        assert_eq!(gantry.execute("short", json!({})).await["status"]["state"], "TASK_STATE_COMPLETED");
    }
    let short = begun.elapsed();
    let (long, ended) = took(&gantry, "long", json!({})).await;
    assert_eq!(ended["status"]["state"], "TASK_STATE_COMPLETED", "{}", ended["status"]);
    let ratio = long.as_secs_f64() / short.as_secs_f64();
    tell(&format!("{most} steps in one run"), format_args!("{long:.2?}, in runs of ten {short:.2?}: {ratio:.2} times for each step"));
    // A clock tells only where nothing else runs.
    if is_full() {
        assert!(ratio < 1.3, "{ratio:.2}");
    }

    for (workflow, items) in [("map-set", items), ("map-calls", items / 10)] {
        gantry.forget_peak();
        let (time, ended) = took(&gantry, workflow, json!({ "items": vec![0; items] })).await;
        tell(&format!("{workflow} over {items} items, durable"), format_args!("{time:.2?}, {} MB at the peak", gantry.peak() / MB));
        assert_eq!(ended["status"]["state"], "TASK_STATE_COMPLETED", "{}", ended["status"]);
        // What is promised is of items; calls are as fast as the agent, which is of this test.
        if is_full() && workflow == "map-set" {
            assert!(time < Duration::from_secs(60), "{workflow}: {time:?}");
            assert!(gantry.peak() < 300 * MB, "{workflow}: {} MB", gantry.peak() / MB);
        }
    }
    let (_, ended) = took(&gantry, "map-set", json!({ "items": vec![0; 1_000_001] })).await;
    let status = ended["status"].to_string();
    assert!(status.contains("TASK_STATE_FAILED") && status.contains("1000000 items that one map may have"), "{status}");

    gantry.forget_peak();
    let (time, ended) = took(&gantry, "heavy", json!({})).await;
    tell(&format!("{replies} replies of 3.5 MB"), format_args!("{time:.2?}, {} MB at the peak", gantry.peak() / MB));
    assert_eq!(ended["status"]["state"], "TASK_STATE_COMPLETED", "{}", ended["status"]);
}
