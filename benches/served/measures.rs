//! What is measured, in which order, and how it is shown.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::process::{Process, gantry};
use super::{Failure, stub};

/// Rounds of which the median counts.
const ROUNDS: usize = 5;
/// Runs at the same time, where many are.
const MANY: usize = 64;
/// After so long memory must be back.
const SETTLE: Duration = Duration::from_secs(60);
/// By then a server that has just started has nothing more to do.
const STARTED: Duration = Duration::from_secs(10);
/// The value that the steps of a heavy run pass on.
const HEAVY_BYTES: usize = 1_000_000;

/// What the command line asks for.
pub(super) struct Wish {
    pub(super) quick: bool,
    pub(super) json: bool,
    pub(super) only: Option<String>,
    /// Runs in a round of many chains at once, when it is said.
    pub(super) runs: Option<usize>,
}

/// One kind of run: what a raw server is told, and gantry.
pub(super) struct Shape {
    name: &'static str,
    raw: Value,
    workflow: String,
    value: Value,
    steps: usize,
}

impl Shape {
    fn chain(name: &'static str, steps: usize, value: Value) -> Self {
        let mut text = format!("metadata: {{id: {name}, name: Bench, version: 1.0.0}}\nsteps:\n");
        for n in 0..steps {
            let from = if n == 0 { "workflow.input.value".to_owned() } else { format!("steps.s{}.outputs.value", n - 1) };
            text.push_str(&format!("  - {{id: s{n}, skill: echo, inputs: {{value: \"{{{{ {from} }}}}\"}}}}\n"));
        }
        text.push_str(&format!("output: {{value: \"{{{{ steps.s{}.outputs.value }}}}\"}}\n", steps - 1));
        Self { name, raw: json!({"chain": steps, "value": value}), workflow: text, value, steps }
    }

    fn map(name: &'static str, items: usize, width: usize) -> Self {
        let workflow = format!(
            "metadata: {{id: {name}, name: Bench, version: 1.0.0}}\nsteps:\n  - {{id: each, step_type: map, items: \"{{{{ workflow.input.value }}}}\", \
             max_concurrency: {width}, skill: echo, inputs: {{value: \"{{{{ item }}}}\"}}}}\noutput: {{value: \"{{{{ steps.each.outputs }}}}\"}}\n"
        );
        let value = json!((0..items).collect::<Vec<_>>());
        Self { name, raw: json!({"map": items, "width": width, "value": null}), workflow, value, steps: items }
    }

    pub(super) fn request(&self, of: Kind) -> Value {
        self.request_with(of, &self.value)
    }

    fn request_with(&self, of: Kind, value: &Value) -> Value {
        let (method, params) = match of {
            Kind::Raw => ("run", self.raw.clone()),
            Kind::Gantry => ("execute_workflow", json!({"workflow_id": self.name, "input": {"value": value}})),
        };
        json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    }
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Raw,
    Gantry,
}

/// A server that is measured.
pub(super) struct Subject {
    name: &'static str,
    pub(super) kind: Kind,
    pub(super) process: Process,
    /// Where it keeps its journal.
    data: Option<PathBuf>,
}

/// Everything that runs beside each other.
pub(super) struct Bench<'a> {
    pub(super) wish: &'a Wish,
    home: tempfile::TempDir,
    http: reqwest::Client,
    stub: Process,
    registry: Process,
    figures: Map<String, Value>,
}

pub(super) async fn all(wish: &Wish) -> Result<(), Failure> {
    rustls::crypto::ring::default_provider().install_default().ok();
    let home = tempfile::tempdir()?;
    let stub = Process::own(&["--stub"])?;
    let registry = Process::gantry(home.path(), &["registry", "serve", "--port", "0", "--ephemeral"], "registry")?;
    let mut bench = Bench { wish, home, http: callers()?, stub, registry, figures: Map::new() };
    bench.publish(&shapes())?;
    bench.throughput().await?;
    bench.lengths().await?;
    bench.heavy().await?;
    bench.start().await?;
    bench.memory().await?;
    bench.overload().await?;
    if wish.json {
        say(&serde_json::to_string_pretty(&bench.figures)?);
    }
    Ok(())
}

/// Those who call the servers, with room for the connections of all at once.
pub(super) fn callers() -> Result<reqwest::Client, Failure> {
    Ok(patient().pool_max_idle_per_host(20_000).build()?)
}

/// A client that waits for as long as it takes: the system's questions whether a peer is still there get lost when thousands are asked at
/// the same moment, and would end half of the calls.
pub(super) fn patient() -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder().no_proxy().tcp_nodelay(true).tcp_keepalive(None);
    #[cfg(target_os = "linux")]
    let builder = builder.tcp_user_timeout(None);
    builder
}

fn shapes() -> Vec<Shape> {
    vec![
        Shape::chain("chain-3", 3, json!("hello")),
        Shape::chain("chain-10", 10, json!("hello")),
        Shape::chain("chain-100", 100, json!("hello")),
        Shape::chain("chain-1000", 1000, json!("hello")),
        Shape::chain("heavy-10", 10, Value::Null),
        changed(),
        Shape::map("map-1000", 1000, MANY),
        slow("slow-3", 2_000),
        slow("patient-3", 10_000),
    ]
}

/// Three calls that take so long each, for many runs in flight.
fn slow(name: &'static str, pause_ms: u64) -> Shape {
    let mut shape = Shape::chain(name, 3, json!("hello"));
    shape.workflow = shape.workflow.replace("inputs: {value:", &format!("inputs: {{pause_ms: {pause_ms}, value:"));
    shape.raw["pause_ms"] = json!(pause_ms);
    shape
}

/// Like `heavy-10`, but every step's reply is another value.
fn changed() -> Shape {
    let mut shape = Shape::chain("changed-10", 10, Value::Null);
    shape.workflow = shape.workflow.replace("inputs: {value:", "inputs: {change: true, value:");
    shape.raw["change"] = json!(true);
    shape
}

pub(super) fn shape(name: &str) -> Shape {
    shapes().into_iter().find(|shape| shape.name == name).expect("a shape is asked for by its name")
}

impl Bench<'_> {
    fn publish(&self, shapes: &[Shape]) -> Result<(), Failure> {
        let home = self.home.path();
        let card = home.join("stub.json");
        std::fs::write(&card, stub::card(&self.stub.url).to_string())?;
        let push = |kind: &str, file: &Path| -> Result<(), Failure> {
            let status = gantry(home).args([kind, "push", "--registry", &self.registry.url]).arg(file).status()?;
            if status.success() { Ok(()) } else { Err(format!("{kind} push: {status}").into()) }
        };
        push("agent", &card)?;
        for shape in shapes {
            let file = home.join(format!("{}.yaml", shape.name));
            std::fs::write(&file, &shape.workflow)?;
            push("workflow", &file)?;
        }
        Ok(())
    }

    /// `data`: the journal's directory; without one everything is in memory.
    fn raw(&self, data: Option<&str>) -> Result<Subject, Failure> {
        let data = data.map(|name| self.directory(name)).transpose()?;
        let mut arguments = vec!["--raw", &self.stub.url];
        if let Some(data) = &data {
            arguments.extend(["--journal", data.to_str().ok_or("no text")?]);
        }
        let process = Process::own(&arguments)?;
        Ok(Subject { name: if data.is_some() { "raw + SQLite" } else { "raw" }, kind: Kind::Raw, process, data })
    }

    /// One that leaves the registry as it is: several are measured beside each other.
    pub(super) fn gantry(&self, data: Option<&str>) -> Result<Subject, Failure> {
        let data = data.map(|name| self.directory(name)).transpose()?;
        let mut arguments = vec!["serve", "--port", "0", "--no-publish", "--registry", &self.registry.url];
        match &data {
            Some(data) => arguments.extend(["--data-dir", data.to_str().ok_or("no text")?]),
            None => arguments.push("--ephemeral"),
        }
        let process = Process::gantry(self.home.path(), &arguments, "url")?;
        Ok(Subject { name: if data.is_some() { "gantry durable" } else { "gantry" }, kind: Kind::Gantry, process, data })
    }

    fn directory(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.home.path().join(format!("{name}-{}", fastrand::u32(..)));
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Time for `runs` runs, `concurrency` at once.
    async fn load(&self, subject: &Subject, shape: &Shape, concurrency: usize, runs: usize) -> Result<Duration, Failure> {
        let body = bytes::Bytes::from(serde_json::to_vec(&shape.request(subject.kind))?);
        let start = Instant::now();
        let mut open = tokio::task::JoinSet::new();
        for lane in 0..concurrency {
            let (http, url, body) = (self.http.clone(), subject.process.url.clone(), body.clone());
            let turns = runs / concurrency + usize::from(lane < runs % concurrency);
            open.spawn(async move {
                for _ in 0..turns {
                    ask(&http, &url, body.clone()).await?;
                }
                Ok::<_, Failure>(())
            });
        }
        while let Some(joined) = open.join_next().await {
            joined??;
        }
        Ok(start.elapsed())
    }

    pub(super) fn wanted(&self, name: &str) -> bool {
        self.wish.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }

    fn rounds(&self) -> usize {
        if self.wish.quick { 1 } else { ROUNDS }
    }

    pub(super) fn heading(&self, text: &str) {
        if !self.wish.json {
            say(&format!("\n{text}"));
        }
    }

    pub(super) fn line(&mut self, group: &str, key: &str, value: Value, text: &str) {
        if !self.wish.json {
            say(&format!("  {text}"));
        }
        let group = self.figures.entry(group).or_insert_with(|| json!({}));
        group[key] = value;
    }

    /// A bar and what was measured against it.
    pub(super) fn bar(&mut self, group: &str, key: &str, measured: f64, bar: f64, at_least: bool) {
        let met = if at_least { measured >= bar } else { measured <= bar };
        let (sign, word) = (if at_least { "≥" } else { "≤" }, if met { "met" } else { "MISSED" });
        let text = format!("{key:<46} {measured:>9.2}   bar {sign} {bar:<6} {word}");
        self.line(group, key, json!({"measured": measured, "bar": bar, "met": met}), &text);
    }

    /// Chains of three, alone and many at once, and a map: all four servers in turn.
    async fn throughput(&mut self) -> Result<(), Failure> {
        // Rounds of seconds: processor time is told in hundredths of one.
        let kinds = [("chain-3", MANY, 40_000), ("chain-3", 1, 2_000), ("map-1000", 1, 80)];
        let kinds: Vec<_> = kinds.into_iter().filter(|(name, at_once, _)| self.wanted(&format!("throughput {name} {at_once}"))).collect();
        if kinds.is_empty() {
            return Ok(());
        }
        let subjects = [self.raw(None)?, self.gantry(None)?, self.raw(Some("raw"))?, self.gantry(Some("gantry"))?];
        for (name, at_once, runs) in kinds {
            let shape = shape(name);
            let runs = if self.wish.quick { at_once } else { self.wish.runs.filter(|_| at_once == MANY).unwrap_or(runs) };
            let group = format!("{name}, {at_once} at a time");
            self.heading(&group);
            for subject in &subjects {
                // Connections, caches and plans are there before it counts.
                self.load(subject, &shape, at_once, at_once * 2).await?;
            }
            let mut times: Vec<Vec<Duration>> = vec![Vec::new(); subjects.len()];
            let mut cpu: Vec<Vec<Duration>> = vec![Vec::new(); subjects.len()];
            for _ in 0..self.rounds() {
                for (at, subject) in subjects.iter().enumerate() {
                    let before = subject.process.cpu()?;
                    times[at].push(self.load(subject, &shape, at_once, runs).await?);
                    cpu[at].push(subject.process.cpu()?.saturating_sub(before));
                }
            }
            let steps = (runs * shape.steps) as f64;
            let seconds: Vec<_> = times.into_iter().map(|times| median(times).as_secs_f64()).collect();
            let micros: Vec<_> = cpu.into_iter().map(|cpu| median(cpu).as_secs_f64() * 1e6 / steps).collect();
            for (at, subject) in subjects.iter().enumerate() {
                let (rate, each, cost) = (steps / seconds[at], seconds[at] * 1000.0 * at_once as f64 / runs as f64, micros[at]);
                let value = json!({"steps_per_second": rate, "ms_per_run": each, "cpu_us_per_step": cost});
                let text = format!("{:<16} {rate:>9.0} steps/s {each:>9.2} ms/run {cost:>8.1} µs CPU/step", subject.name);
                self.line(&group, subject.name, value, &text);
            }
            match (name, at_once) {
                ("chain-3", MANY) => {
                    self.bar(&group, "runs/s in memory, of raw", seconds[0] / seconds[1], 0.6, true);
                    self.bar(&group, "CPU per step in memory, times raw", micros[1] / micros[0], 2.0, false);
                    self.bar(&group, "runs/s durable, of raw + SQLite", seconds[2] / seconds[3], 0.5, true);
                }
                ("chain-3", _) => self.bar(&group, "time durable, times raw + SQLite", seconds[3] / seconds[2], 1.5, false),
                _ => self.bar(&group, "time durable, times raw + SQLite", seconds[3] / seconds[2], 2.0, false),
            }
        }
        Ok(())
    }

    /// What a step costs in short and long runs, and what it writes.
    async fn lengths(&mut self) -> Result<(), Failure> {
        if !self.wanted("lengths") {
            return Ok(());
        }
        let group = "steps in a run";
        self.heading(group);
        for durable in [false, true] {
            let (mut costs, mut sizes) = (Vec::new(), Vec::new());
            for (name, runs) in [("chain-10", 1_000), ("chain-100", 100), ("chain-1000", 10)] {
                let shape = shape(name);
                let subject = self.gantry(durable.then_some("lengths"))?;
                self.load(&subject, &shape, 1, 1).await?;
                let before = subject.data.as_deref().map(size).transpose()?.unwrap_or(0);
                let mut times = Vec::new();
                let runs = if self.wish.quick { 1 } else { runs };
                for _ in 0..self.rounds() {
                    times.push(self.load(&subject, &shape, 1, runs).await?);
                }
                let each = median(times).as_secs_f64() * 1e6 / (runs * shape.steps) as f64;
                costs.push(each);
                let written = subject.data.as_deref().map(size).transpose()?.unwrap_or(0).saturating_sub(before);
                let bytes = written as f64 / (runs * self.rounds() * shape.steps) as f64;
                let text = format!("{:<16} {:<11} {each:>9.1} µs/step {bytes:>9.0} bytes/step in the data directory", subject.name, name);
                let key = format!("{} {name}", subject.name);
                self.line(group, &key, json!({"us_per_step": each, "bytes_per_step": bytes}), &text);
                sizes.push(bytes);
            }
            let place = if durable { "durable" } else { "in memory" };
            self.bar(group, &format!("{place}: a step of 1000, times one of 10"), costs[2] / costs[0], 1.2, false);
            // A run of ten has its start and end to carry, which would hide what grows.
            self.bar(group, &format!("{place}: a step of 1000, times one of 100"), costs[2] / costs[1], 1.2, false);
            if durable {
                self.bar(group, "bytes a step of 1000, times one of 100", sizes[2] / sizes[1], 1.2, false);
            }
        }
        Ok(())
    }

    /// Ten steps that pass a megabyte on: as it is, and changed by each of them.
    async fn heavy(&mut self) -> Result<(), Failure> {
        if !self.wanted("heavy") {
            return Ok(());
        }
        // Input and replies: eleven values, of which those that are alike are stored once.
        for (name, group, values) in
            [("heavy-10", "10 steps passing 1 MB on", 1), ("changed-10", "10 steps passing 1 MB, each changing it", 11)]
        {
            self.heading(group);
            let (shape, subject, runs) = (shape(name), self.gantry(Some(name))?, if self.wish.quick { 1 } else { 10 });
            self.passing(&subject, &shape, 1).await?;
            let before = size(subject.data.as_deref().ok_or("no directory")?)?;
            let (mut own, mut bare) = (Vec::new(), Vec::new());
            for _ in 0..self.rounds() {
                bare.push(self.bare(&shape, runs).await?);
                own.push(self.passing(&subject, &shape, runs).await?);
            }
            let written = size(subject.data.as_deref().ok_or("no directory")?)?.saturating_sub(before);
            let (own, bare) = (median(own).as_secs_f64(), median(bare).as_secs_f64());
            let payload = (HEAVY_BYTES * values * runs * self.rounds()) as f64;
            let text =
                format!("gantry durable {:.1} ms/run, a bare loop {:.1} ms", own * 1000.0 / runs as f64, bare * 1000.0 / runs as f64);
            self.line(group, "ms_per_run", json!({"gantry": own * 1000.0 / runs as f64, "bare": bare * 1000.0 / runs as f64}), &text);
            self.bar(group, "time durable, times a bare loop", own / bare, 4.0, false);
            self.bar(group, "data directory, times the values that differ", written as f64 / payload, 1.1, false);
        }
        Ok(())
    }

    /// Runs one after the other, each with a value of its own.
    async fn passing(&self, subject: &Subject, shape: &Shape, runs: usize) -> Result<Duration, Failure> {
        let mut took = Duration::ZERO;
        for _ in 0..runs {
            let body = bytes::Bytes::from(serde_json::to_vec(&shape.request_with(subject.kind, &fresh_value()))?);
            let start = Instant::now();
            ask(&self.http, &subject.process.url, body).await?;
            took += start.elapsed();
        }
        Ok(took)
    }

    /// The calls of a chain without any server.
    async fn bare(&self, shape: &Shape, runs: usize) -> Result<Duration, Failure> {
        let mut took = Duration::ZERO;
        for _ in 0..runs {
            let mut value = fresh_value();
            let start = Instant::now();
            for _ in 0..shape.steps {
                let params = json!({"value": value, "change": shape.raw["change"]});
                let body = json!({"jsonrpc": "2.0", "id": "1", "method": "echo", "params": params});
                let request = self.http.post(format!("{}/execute", self.stub.url)).json(&body);
                let mut reply: Value = request.send().await?.error_for_status()?.json().await?;
                value = reply["result"]["value"].take();
            }
            took += start.elapsed();
        }
        Ok(took)
    }

    /// From the start of the process to the end of its first run.
    async fn start(&mut self) -> Result<(), Failure> {
        if !self.wanted("start") {
            return Ok(());
        }
        let group = "process start";
        self.heading(group);
        let shape = shape("chain-3");
        let mut times = Vec::new();
        for _ in 0..self.rounds() * 3 {
            let start = Instant::now();
            let subject = self.gantry(Some("start"))?;
            self.load(&subject, &shape, 1, 1).await?;
            times.push(start.elapsed());
        }
        self.bar(group, "ms to the first finished run, durable", median(times).as_secs_f64() * 1000.0, 50.0, false);
        Ok(())
    }

    /// Memory of a process that has just started, as everybody starts it: its card is pushed to a registry, which has nothing else yet.
    async fn idle(&self) -> Result<u64, Failure> {
        let registry = Process::gantry(self.home.path(), &["registry", "serve", "--port", "0", "--ephemeral"], "registry")?;
        let data = self.directory("idle")?;
        let data = data.to_str().ok_or("no text")?;
        let serve = ["serve", "--port", "0", "--registry", &registry.url, "--data-dir", data];
        let process = Process::gantry(self.home.path(), &serve, "url")?;
        if !self.wish.quick {
            // The card is pushed, and looked at again.
            tokio::time::sleep(STARTED).await;
        }
        process.memory("VmRSS")
    }

    /// Memory of an idle process, with many runs, and with ten thousand in flight.
    async fn memory(&mut self) -> Result<(), Failure> {
        if !self.wanted("memory") {
            return Ok(());
        }
        let group = "memory, durable";
        self.heading(group);
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        let idle = self.idle().await?;
        self.bar(group, "MB idle", megabytes(idle), 15.0, false);
        let subject = self.gantry(Some("memory"))?;
        self.load(&subject, &shape("chain-3"), MANY, MANY * 20).await?;
        self.bar(group, "MB at the peak of 64 at a time", megabytes(subject.process.memory("VmHWM")?), 40.0, false);
        if !self.wish.quick {
            tokio::time::sleep(SETTLE).await;
        }
        let used = subject.process.memory("VmRSS")?;
        let text = format!("{:.1} MB idle again", megabytes(used));
        self.line(group, "MB idle again", json!(megabytes(used)), &text);
        let runs = if self.wish.quick { 100 } else { 9_000 };
        let slow = shape("slow-3");
        let before = subject.process.memory("VmRSS")?;
        self.load(&subject, &slow, runs, runs).await?;
        let peak = subject.process.memory("VmHWM")?;
        let each = peak.saturating_sub(before) as f64 / runs as f64 / 1000.0;
        let key = format!("KB a run, {runs} in flight (with its connections)");
        self.bar(group, &key, each, 80.0, false);
        let text = format!("{:.0} MB at their peak", megabytes(peak));
        self.line(group, "MB at their peak", json!(megabytes(peak)), &text);
        let raw = self.raw(Some("memory-raw"))?;
        let before = raw.process.memory("VmRSS")?;
        self.load(&raw, &slow, runs, runs).await?;
        let raw_each = raw.process.memory("VmHWM")?.saturating_sub(before) as f64 / runs as f64 / 1000.0;
        self.bar(group, "KB a run, times raw + SQLite", each / raw_each, 2.0, false);
        if !self.wish.quick {
            // Its callers hang up.
            self.http = callers()?;
            tokio::time::sleep(SETTLE).await;
            let after = subject.process.memory("VmRSS")?;
            let text = format!("{:.1} MB a minute later, {:.2} times idle at first", megabytes(after), after as f64 / idle as f64);
            self.line(group, "MB a minute later", json!(megabytes(after)), &text);
            self.bar(group, "a minute later, times idle before", after as f64 / used as f64, 1.2, false);
        }
        Ok(())
    }
}

/// One run, to its end.
async fn ask(http: &reqwest::Client, url: &str, body: bytes::Bytes) -> Result<(), Failure> {
    let request = http.post(url).header("Content-Type", "application/json").body(body);
    let answer: Value = request.send().await?.error_for_status()?.json().await?;
    if answer["result"].is_null() {
        return Err(format!("{url} answered {answer}").into());
    }
    Ok(())
}

/// A value that no run had before.
fn fresh_value() -> Value {
    let mut text = format!("{:016x}", fastrand::u64(..)).repeat(HEAVY_BYTES / 16);
    text.truncate(HEAVY_BYTES);
    json!(text)
}

/// Bytes of all files below a directory.
fn size(directory: &Path) -> Result<u64, Failure> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { size(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn say(line: &str) {
    println!("{line}");
}
