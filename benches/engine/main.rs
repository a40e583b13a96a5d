//! What the engine costs beside a bare reqwest loop that makes the same calls: `cargo bench --bench engine`.
//!
//! The stub agent is a process of its own (this program again, with `--stub`), so that neither side pays for it. Each shape runs
//! with 1 and with 64 runs at once, bare loop and engine in turn, several rounds; medians are printed, and their ratio. `calls`, `park`,
//! `start` or `serving` as argument measures only that.

mod park;
mod serving;
mod start;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Json;
use axum::routing::{get, post};
use gantry::a2a::Card;
use gantry::agent;
use gantry::discovery::{self, Discovery};
use gantry::engine::embedded::{Embedded, Options};
use gantry::engine::{Engine, Start};
use gantry::interpreter::Outcome;
use gantry::journal::Memory;
use gantry::plan::Plan;
use gantry::registry::Layout;
use serde_json::{Value, json};

/// As the gantry binary has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Rounds of which the median counts.
const ROUNDS: usize = 5;

fn main() -> Result<(), Failure> {
    let arguments: Vec<_> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if arguments.iter().any(|argument| argument == "--stub") {
        return runtime.block_on(stub());
    }
    if runtime.block_on(start::part(&arguments))? || runtime.block_on(park::part(&arguments))? {
        return Ok(());
    }
    // `cargo test --benches` runs this too: one quick round proves that it works.
    let quick = !arguments.iter().any(|argument| argument == "--bench");
    let only = arguments.iter().skip(1).find(|argument| !argument.starts_with("--"));
    let wanted = |name: &str| only.is_none_or(|only| name.contains(only.as_str()));
    if wanted("calls") {
        let stub = Stub::start()?;
        runtime.block_on(measure(&stub.url, quick))?;
    }
    if wanted("park") {
        let stub = Stub::start()?;
        report("\n10000 runs that wait for an agent");
        park::measure(&stub.url, quick)?;
    }
    if wanted("start") {
        report("\nstart with 100000 unfinished runs: those that wait for people, and those of which nobody knows yet that they do");
        runtime.block_on(start::measure(quick))?;
    }
    if wanted("serving") {
        report("\ngantry serve, started on a journal of unfinished runs");
        runtime.block_on(serving::measure(quick))?;
    }
    Ok(())
}

/// An agent that answers at once, in the plain dialect, and says how often it did.
async fn stub() -> Result<(), Failure> {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let execute = post(|Json(call): Json<Value>| async move {
        CALLS.fetch_add(1, Ordering::Relaxed);
        if let Some(pause) = call["params"]["pause_ms"].as_u64() {
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        Json(json!({"jsonrpc": "2.0", "id": call["id"], "result": {"value": call["params"]["value"]}}))
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    #[expect(clippy::print_stdout, reason = "the parent process reads the address here")]
    {
        println!("http://{}", listener.local_addr()?);
    }
    let calls = get(|| async { CALLS.load(Ordering::Relaxed).to_string() });
    let app = axum::Router::new().route("/execute", execute).route("/calls", calls);
    axum::serve(axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true))), app).await?;
    Ok(())
}

struct Stub {
    child: Child,
    url: String,
}

impl Stub {
    fn start() -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?).arg("--stub").stdout(Stdio::piped()).spawn()?;
        let mut url = String::new();
        BufReader::new(child.stdout.take().ok_or("the stub has no output")?).read_line(&mut url)?;
        Ok(Self { child, url: url.trim().to_owned() })
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A workflow shape, and the calls its bare twin makes.
struct Shape {
    name: &'static str,
    plan: Arc<Plan>,
    /// Waves of calls: those of one wave are made at once.
    waves: Vec<usize>,
}

async fn measure(url: &str, quick: bool) -> Result<(), Failure> {
    let discovery = Arc::new(Discovery::new(Arc::new(Layout::ephemeral()?), discovery::Options::default()));
    let card = json!({"name": "stub", "url": url, "skills": [{"id": "echo", "description": "gives back its value"}]});
    discovery.add_card(Card::parse(&serde_json::to_vec(&card)?)?);
    let client = agent::Client::new(agent::Options { allow_private_addresses: true, ..agent::Options::default() });
    let engine = Embedded::new(Options::default(), Arc::clone(&discovery), client, Arc::new(Memory::default()));
    rustls::crypto::ring::default_provider().install_default().ok();
    let bare = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build()?;
    report(&format!(
        "{:<14} {:>5} {:>14} {:>14} {:>7} {:>16}",
        "shape", "runs", "bare steps/s", "gantry steps/s", "ratio", "added ms/step"
    ));
    for shape in shapes(&discovery)? {
        for concurrency in [1, 64] {
            let steps: usize = shape.waves.iter().sum();
            let rounds = if quick { 1 } else { ROUNDS };
            let runs = if quick { concurrency } else { (if concurrency == 1 { 6_000 } else { 48_000 }) / steps };
            let (mut bare_times, mut engine_times) = (Vec::new(), Vec::new());
            for _ in 0..rounds {
                bare_times
                    .push(load(concurrency, runs, |_| bare_run(bare.clone(), format!("{url}/execute"), shape.waves.clone(), 0)).await?);
                engine_times.push(load(concurrency, runs, |_| engine_run(engine.clone(), Arc::clone(&shape.plan))).await?);
            }
            let (bare_time, engine_time) = (median(bare_times), median(engine_times));
            let rate = |time: Duration| (runs * steps) as f64 / time.as_secs_f64();
            let added = (engine_time.as_secs_f64() - bare_time.as_secs_f64()) * 1000.0 * concurrency as f64 / (runs * steps) as f64;
            let ratio = rate(engine_time) / rate(bare_time);
            report(&format!(
                "{:<14} {concurrency:>5} {:>14.0} {:>14.0} {ratio:>7.2} {added:>16.3}",
                shape.name,
                rate(bare_time),
                rate(engine_time)
            ));
        }
    }
    engine.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

fn shapes(discovery: &Discovery) -> Result<Vec<Shape>, Failure> {
    let chain = |count: usize| -> String {
        let step = |n: usize| {
            let value = if n == 0 { "workflow.input.value".to_owned() } else { format!("steps.s{}.outputs.value", n - 1) };
            format!("  - {{id: s{n}, skill: echo, inputs: {{value: \"{{{{ {value} }}}}\"}}}}\n")
        };
        (0..count).map(step).collect()
    };
    let step = |n: usize| format!("{{id: s{n}, skill: echo, inputs: {{value: \"{{{{ workflow.input.value }}}}\"}}}}");
    let parallel = format!("  - {{id: par, step_type: parallel, branches: {{steps: [{}, {}, {}]}}}}\n", step(0), step(1), step(2));
    let shape = |name, steps: String, waves| -> Result<Shape, Failure> {
        let text = format!("metadata: {{id: bench, name: Bench, version: 1.0.0}}\nsteps:\n{steps}");
        Ok(Shape { name, plan: discovery.plan_from_text(name, text.as_bytes())?, waves })
    };
    Ok(vec![
        shape("chain of 3", chain(3), vec![1; 3])?,
        shape("3 in parallel", parallel, vec![3])?,
        shape("chain of 100", chain(100), vec![1; 100])?,
    ])
}

/// Time for `runs` runs, `concurrency` at once.
async fn load<F>(concurrency: usize, runs: usize, run: impl Fn(usize) -> F) -> Result<Duration, Failure>
where
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let start = Instant::now();
    let mut open = tokio::task::JoinSet::new();
    for n in 0..runs {
        if open.len() >= concurrency {
            open.join_next().await.ok_or("nothing to join")???;
        }
        open.spawn(run(n));
    }
    while let Some(joined) = open.join_next().await {
        joined??;
    }
    Ok(start.elapsed())
}

async fn bare_run(client: reqwest::Client, url: String, waves: Vec<usize>, pause_ms: u64) -> Result<(), Failure> {
    let mut value = json!("hello");
    for wave in waves {
        let calls = (0..wave).map(|_| {
            let mut body = json!({"jsonrpc": "2.0", "id": "1", "method": "echo", "params": {"value": value}});
            if pause_ms > 0 {
                body["params"]["pause_ms"] = json!(pause_ms);
            }
            let request = client.post(&url).json(&body).send();
            async move { request.await?.error_for_status()?.json::<Value>().await }
        });
        let replies = futures_util::future::try_join_all(calls).await?;
        value = replies[0]["result"]["value"].clone();
    }
    if value == "hello" { Ok(()) } else { Err(format!("unexpected {value}").into()) }
}

async fn engine_run(engine: Embedded, plan: Arc<Plan>) -> Result<(), Failure> {
    let started = engine.start(Start { labels: BTreeMap::new(), ..Start::new(plan, Arc::new(json!({"value": "hello"}))) }).await?;
    match engine.wait(&started.run).await?.outcome {
        Some(Outcome::Completed { .. }) => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn report(line: &str) {
    #[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
    {
        println!("{line}");
    }
}
