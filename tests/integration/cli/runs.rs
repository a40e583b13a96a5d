//! Runs that survive their process, and `gantry runs` on a data directory with and without a gantry that holds it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use serde_json::{Value, json};

use super::{Machine, PATIENCE, Ran, Running, wait_for};

/// One call that the agent took.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) skill: String,
    pub(super) key: String,
    pub(super) inputs: Value,
}

type Script = dyn Fn(&Call, usize) -> (Duration, Result<Value, String>) + Send + Sync;

/// An agent on a runtime of its own that keeps what it was asked, beyond the life of the process that asks.
pub(super) struct Counting {
    pub(super) url: String,
    calls: Arc<Mutex<Vec<Call>>>,
    pub(super) runtime: tokio::runtime::Runtime,
}

impl Counting {
    /// `script` gets the call and how many of the same skill came before.
    pub(super) fn start(script: impl Fn(&Call, usize) -> (Duration, Result<Value, String>) + Send + Sync + 'static) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = (Arc::clone(&calls), Arc::new(script) as Arc<Script>);
        let app = Router::new().route("/execute", post(execute)).with_state(state);
        runtime.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, calls, runtime }
    }

    pub(super) fn card(&self, skills: &[&str]) -> Value {
        let skills: Vec<Value> = skills.iter().map(|id| json!({ "id": id, "name": id, "description": id })).collect();
        json!({ "name": "counting", "url": self.url, "skills": skills })
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    fn of(&self, skill: &str) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.skill == skill).collect()
    }
}

type Shared = State<(Arc<Mutex<Vec<Call>>>, Arc<Script>)>;

async fn execute(State((calls, script)): Shared, headers: HeaderMap, body: String) -> axum::Json<Value> {
    let envelope: Value = serde_json::from_str(&body).unwrap();
    let key = headers.get("idempotency-key").map(|key| key.to_str().unwrap().to_owned()).unwrap_or_default();
    let call = Call { skill: envelope["method"].as_str().unwrap().to_owned(), key, inputs: envelope["params"].clone() };
    let before = {
        let mut calls = calls.lock().unwrap();
        let before = calls.iter().filter(|known| known.skill == call.skill).count();
        calls.push(call.clone());
        before
    };
    let (delay, outcome) = script(&call, before);
    tokio::time::sleep(delay).await;
    match outcome {
        Ok(value) => json!({ "jsonrpc": "2.0", "id": envelope["id"], "result": value }).into(),
        Err(message) => json!({ "jsonrpc": "2.0", "id": envelope["id"], "error": { "code": -1, "message": message } }).into(),
    }
}

/// A registry with an agent and a workflow, and a data directory that outlives the gantries on it.
pub(super) struct World {
    pub(super) machine: Machine,
    pub(super) registry: String,
    _registry: Running,
    pub(super) agent: Counting,
    pub(super) http: reqwest::Client,
}

/// A gantry on the data directory.
pub(super) struct Gantry {
    pub(super) running: Running,
    pub(super) url: String,
}

impl World {
    pub(super) fn new(steps: &str, agent: Counting) -> Self {
        let text = format!("metadata: {{id: chain, name: Chain, version: 1.0.0}}\n{steps}");
        Self::of(&["one", "two", "three"], &[text], agent)
    }

    /// With an agent for these skills, and these workflows.
    pub(super) fn of(skills: &[&str], workflows: &[String], agent: Counting) -> Self {
        Self::knowing(&[agent.card(skills)], workflows, agent)
    }

    /// With the agents of these cards, and these workflows.
    pub(super) fn knowing(cards: &[Value], workflows: &[String], agent: Counting) -> Self {
        let machine = Machine::new();
        let ready = machine.path("registry.json");
        let serve = machine.command(&["registry", "serve", "--port", "0", "--ephemeral", "--ready-file", ready.to_str().unwrap()]);
        let (running, addresses) = Running::ready(serve, &ready);
        let registry = addresses["registry"].as_str().unwrap().to_owned();
        for card in cards {
            machine.write("card.json", &card.to_string());
            machine.run(&["agent", "push", "card.json", "--registry", &registry]).expect(0);
        }
        for workflow in workflows {
            machine.write("w.yaml", workflow);
            machine.run(&["workflow", "push", "w.yaml", "--registry", &registry]).expect(0);
        }
        // Another test may have installed the provider already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
        Self { machine, registry, _registry: running, agent, http }
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        self.machine.path("data")
    }

    pub(super) fn command(&self, more: &[&str]) -> std::process::Command {
        let data = self.data_dir();
        let mut arguments =
            vec!["serve", "--port", "0", "--no-publish", "--registry", &self.registry, "--data-dir", data.to_str().unwrap()];
        arguments.extend(more);
        self.machine.command(&arguments)
    }

    pub(super) fn serve(&self, more: &[&str]) -> Gantry {
        let ready = self.machine.path("serve.json");
        let _old = std::fs::remove_file(&ready);
        let mut command = self.command(more);
        command.args(["--ready-file", ready.to_str().unwrap()]);
        let (running, addresses) = Running::ready(command, &ready);
        let url = format!("http://{}", addresses["address"].as_str().unwrap());
        Gantry { running, url }
    }

    /// Starts a run and does not wait for it. None when the gantry has gone.
    pub(super) fn start(&self, gantry: &Gantry, n: usize) -> Option<String> {
        let data = json!({ "workflow_id": "chain", "input": { "n": n } });
        self.send(gantry, json!({ "messageId": format!("m-{n}"), "parts": [{ "data": data }] }))
    }

    /// Sends a message and does not wait for what comes of it: its task. None when the gantry has gone.
    pub(super) fn send(&self, gantry: &Gantry, message: Value) -> Option<String> {
        let answer = self.try_send(gantry, message)?;
        Some(answer["result"]["task"]["id"].as_str().unwrap_or_else(|| panic!("{answer:#}")).to_owned())
    }

    /// The whole answer to such a message.
    pub(super) fn try_send(&self, gantry: &Gantry, mut message: Value) -> Option<Value> {
        message["role"] = json!("ROLE_USER");
        self.ask(gantry, "SendMessage", &json!({ "message": message, "configuration": { "returnImmediately": true } }))
    }

    /// The whole answer to a request. None when the gantry has gone.
    pub(super) fn ask(&self, gantry: &Gantry, method: &str, params: &Value) -> Option<Value> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let request = self.http.post(&gantry.url).header("content-type", "application/json").header("A2A-Version", "1.0").body(body);
        let answer = self.agent.runtime.block_on(async { request.send().await?.text().await }).ok()?;
        serde_json::from_str(&answer).ok()
    }

    pub(super) fn runs(&self, arguments: &[&str]) -> Ran {
        let data = self.data_dir();
        let mut all = vec!["runs"];
        all.extend(arguments);
        all.extend(["--data-dir", data.to_str().unwrap()]);
        self.machine.run(&all)
    }

    pub(super) fn list(&self) -> Vec<Value> {
        self.runs(&["list", "--json", "--limit", "100000"]).expect(0).json().as_array().unwrap().clone()
    }

    pub(super) fn until(&self, run: &str, status: &str) -> Value {
        let ended = |line: &Value| ["completed", "failed", "canceled"].iter().any(|ended| line["status"] == *ended);
        wait_for(status, || {
            let line = self.list().into_iter().find(|line| line["run"] == run)?;
            if line["status"] != status && ended(&line) {
                panic!("{line:#}\n{}", self.runs(&["show", run]).stdout);
            }
            (line["status"] == status).then_some(line)
        })
    }
}

const CHAIN: &str = "steps:
- {id: a, skill: one, inputs: {n: \"{{ workflow.input.n }}\"}}
- {id: b, skill: two, inputs: {n: \"{{ workflow.input.n }}\", before: \"{{ steps.a.outputs.said }}\"}}
- {id: c, skill: three, inputs: {n: \"{{ workflow.input.n }}\", before: \"{{ steps.b.outputs.said }}\"}}
output: {said: \"{{ steps.c.outputs.said }}\"}
";

/// What the chain says at its end, undisturbed.
fn said(n: u64) -> Value {
    json!({ "said": format!("three of {n} after two of {n} after one of {n}") })
}

fn reply(call: &Call) -> Value {
    let n = &call.inputs["n"];
    let after = call.inputs["before"].as_str().map(|before| format!(" after {before}")).unwrap_or_default();
    json!({ "said": format!("{} of {n}{after}", call.skill) })
}

/// Kills the real process at random moments, `GANTRY_KILLS` times, while runs are under way; the agent outlives them all.
#[test]
#[expect(clippy::print_stdout, reason = "the figures are for whoever runs it with more kills")]
fn killed_at_random_moments_nothing_is_lost_and_nothing_completed_is_called_again() {
    let kills: usize = std::env::var("GANTRY_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(20);
    let agent = Counting::start(|call, _| (Duration::from_millis(fastrand::u64(0..40)), Ok(reply(call))));
    let world = World::new(CHAIN, agent);
    let mut accepted = BTreeSet::new();
    let mut n = 0;
    for _ in 0..kills {
        let mut gantry = world.serve(&[]);
        for _ in 0..4 {
            accepted.extend(world.start(&gantry, n));
            n += 1;
        }
        std::thread::sleep(Duration::from_millis(fastrand::u64(0..100)));
        gantry.running.child.kill().unwrap();
        gantry.running.child.wait().unwrap();
    }
    let resumed = world.list().iter().filter(|run| run["status"] == "running").count();
    let gantry = world.serve(&[]);
    let runs = wait_for("the end of every run", || {
        let runs = world.list();
        let bad = runs.iter().find(|run| run["status"] == "failed" || run["status"] == "canceled");
        assert!(bad.is_none(), "{}", world.runs(&["show", bad.unwrap()["run"].as_str().unwrap()]).stdout);
        runs.iter().all(|run| run["status"] == "completed").then_some(runs)
    });
    let known: BTreeSet<String> = runs.iter().map(|run| run["run"].as_str().unwrap().to_owned()).collect();
    assert!(accepted.is_subset(&known), "a run that was accepted is gone");
    check_calls(&world.agent.calls(), &known);
    for run in known.iter().take(10) {
        let export = world.runs(&["export", run]).expect(0).json();
        let n = export["events"][0]["input"]["n"].as_u64().unwrap();
        let replies = export["events"].as_array().unwrap().iter().filter(|event| event["event"] == "replied").count();
        assert_eq!(replies, 3, "each step has one outcome");
        let shown = world.runs(&["show", run, "--json"]).expect(0).json();
        assert_eq!(shown["outcome"]["output"], said(n));
    }
    let again = world.agent.calls().len() - 3 * known.len();
    println!("{kills} kills, {} runs, {resumed} under way at the last start, {again} calls repeated with their key", known.len());
    gantry.running.signal("TERM");
    gantry.running.end().expect(0);
}

/// A step that was called proves that the one before it had completed: that one must never be called again.
fn check_calls(calls: &[Call], runs: &BTreeSet<String>) {
    let order = ["one", "two", "three"];
    let mut furthest: BTreeMap<String, usize> = BTreeMap::new();
    let mut keys: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for call in calls {
        let n = call.inputs["n"].to_string();
        let at = order.iter().position(|skill| *skill == call.skill).unwrap();
        let before = furthest.entry(n.clone()).or_default();
        assert!(at >= *before, "step {} of run {n} was called again after step {}", call.skill, order[*before]);
        *before = at;
        assert!(!call.key.is_empty());
        keys.entry((n, call.skill.clone())).or_default().insert(call.key.clone());
    }
    assert!(keys.values().all(|keys| keys.len() == 1), "a call that is repeated keeps its key: {keys:#?}");
    assert_eq!(keys.len(), 3 * runs.len(), "every step of every run was called");
}

#[test]
fn a_second_process_is_refused_and_told_who_holds_the_directory() {
    let world = World::new(CHAIN, Counting::start(|call, _| (Duration::ZERO, Ok(reply(call)))));
    let gantry = world.serve(&[]);
    let refused = Ran::from(world.command(&[]).output().unwrap()).expect(3);
    let holder = format!("process {}", gantry.running.child.id());
    assert!(refused.stderr.contains(&holder) && refused.stderr.contains("--data-dir"), "{}", refused.stderr);
    gantry.running.signal("TERM");
    gantry.running.end().expect(0);
    world.serve(&[]).running.signal("TERM");
}

#[test]
fn a_newer_or_damaged_journal_is_refused_and_left_as_it_is() {
    let world = World::new(CHAIN, Counting::start(|call, _| (Duration::ZERO, Ok(reply(call)))));
    let path = world.data_dir().join("runs/journal.sqlite3");
    let newer = {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let db = rusqlite::Connection::open(&path).unwrap();
        db.execute_batch("CREATE TABLE runs (x); PRAGMA application_id = 1735292018; PRAGMA user_version = 99").unwrap();
        db.close().unwrap();
        std::fs::read(&path).unwrap()
    };
    let damaged = b"SQLite format 3\0 and then something else ".repeat(50);
    for (content, expected, code) in [(newer, "format 99", 3), (damaged, "cannot open the journal", 4)] {
        std::fs::write(&path, &content).unwrap();
        let refused = Ran::from(world.command(&[]).output().unwrap()).expect(code);
        assert!(refused.stderr.contains(expected) && refused.stderr.contains("Nothing was changed"), "{}", refused.stderr);
        let looked = world.runs(&["list"]).expect(code);
        assert!(looked.stderr.contains("cannot open the journal"), "{}", looked.stderr);
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
}

#[test]
fn a_retry_keeps_completed_steps_and_its_export_replays() {
    let world = World::new(
        CHAIN,
        // The second step fails once.
        Counting::start(|call, before| {
            let fails = call.skill == "two" && before == 0;
            (Duration::ZERO, if fails { Err("out of order".to_owned()) } else { Ok(reply(call)) })
        }),
    );
    let gantry = world.serve(&[]);
    let old = world.start(&gantry, 7).unwrap();
    world.until(&old, "failed");
    let shown = world.runs(&["show", &old[..8]]).expect(0).stdout;
    assert!(shown.contains("out of order") && shown.contains("counting") && shown.contains('█'), "{shown}");

    let retried = world.runs(&["retry", &old, "--json"]).expect(0).json();
    let new = retried["run"].as_str().unwrap();
    assert_eq!(retried["new"], true);
    assert_eq!(world.runs(&["retry", &old, "--json"]).expect(0).json()["run"], *new, "one retry of a run is one run");
    let data = world.data_dir();
    let again = world.machine.run(&["run", "retry", &old, "--json", "--data-dir", data.to_str().unwrap()]).expect(0).json();
    assert_eq!(again["run"], *new, "`gantry run retry` is the same");
    let followed = world.runs(&["follow", new]).expect(0);
    assert!(followed.stdout.contains("completed"), "{}", followed.stdout);
    let line = world.until(new, "completed");
    assert_eq!(line["labels"]["retry_of"], *old);
    let shown = world.runs(&["show", new, "--json"]).expect(0).json();
    assert_eq!(shown["outcome"]["output"], said(7));
    let counts: Vec<usize> = ["one", "two", "three"].iter().map(|skill| world.agent.of(skill).len()).collect();
    assert_eq!(counts, [1, 2, 1], "the first step was not called again");
    let two = world.agent.of("two");
    assert_ne!(two[0].key, two[1].key, "an agent that remembers must not repeat its failure");
    let refused = world.runs(&["retry", new]).expect(1);
    assert!(refused.stderr.contains("has not failed"), "{}", refused.stderr);

    world.runs(&["export", new, "--out", world.machine.path("run.json").to_str().unwrap()]).expect(0);
    let replayed = world.machine.run(&["replay", "run.json"]).expect(0);
    assert!(replayed.stderr.contains("goes the same way"), "{}", replayed.stderr);
    let text = std::fs::read_to_string(world.machine.path("w.yaml")).unwrap();
    world.machine.write("changed.yaml", &text.replace("before: \"{{ steps.b", "earlier: \"{{ steps.b"));
    let diverged = world.machine.run(&["replay", "run.json", "--workflow", "changed.yaml"]).expect(1);
    for part in ["step `c`", "the reply to `b`", "inputs.before is", "absent"] {
        assert!(diverged.stdout.contains(part), "{part} in {}", diverged.stdout);
    }
    world.machine.write("bad.json", "{\"format\": 99}");
    assert!(world.machine.run(&["replay", "bad.json"]).expect(2).stderr.contains("format 99"));
    assert_eq!(world.agent.calls().len(), 4, "a replay calls nobody");
    gantry.running.signal("TERM");
    gantry.running.end().expect(0);
}

#[test]
fn people_answer_cancel_and_forget_runs() {
    let steps = "steps:
- {id: publish, step_type: input, prompt: \"publish?\", schema: {type: object, required: [yes]}}
- {id: a, skill: one, inputs: {n: \"{{ workflow.input.n }}\"}}
output: {said: \"{{ steps.publish.outputs.yes }}\"}
";
    let world = World::new(steps, Counting::start(|call, _| (Duration::ZERO, Ok(reply(call)))));
    let gantry = world.serve(&[]);
    let [first, second] = [1, 2].map(|n| world.start(&gantry, n).unwrap());
    world.until(&first, "input_required");
    world.until(&second, "input_required");
    let lasted = world.runs(&["list"]).expect(0).stdout;
    let lasts = |line: &str| line.split_whitespace().any(|word| word.ends_with('…') && word != "0ms…");
    assert!(lasted.lines().skip(1).all(lasts), "what has not ended lasts until now: {lasted}");
    gantry.running.signal("TERM");
    let ended = gantry.running.end().expect(0);
    assert!(ended.stderr.contains(&format!("parked for the next start: run {first}")), "{}", ended.stderr);

    // Nobody holds the directory: looking works, changing says what to do.
    let nobody = world.runs(&["answer", &first, "{}"]).expect(3);
    let start = format!("start `gantry serve --registry {} --data-dir {}`", world.registry, world.data_dir().display());
    assert!(nobody.stderr.contains("no gantry is running") && nobody.stderr.contains(&start), "{}", nobody.stderr);
    assert!(world.runs(&["show", &first]).expect(0).stdout.contains("waiting"));
    assert!(world.runs(&["show", &first[..3]]).expect(3).stderr.contains("at least 4 characters"));

    let gantry = world.serve(&[]);
    let waits = world.machine.run(&["task", "get", &gantry.url, &first]).expect(0).stderr;
    assert!(waits.contains(&format!("gantry send {} --task {first} --data '{{\"yes\": …}}'", gantry.url)), "{waits}");
    assert!(world.runs(&["answer", &first, "{\"no\": 1}"]).expect(2).stderr.contains("yes"), "the schema counts");
    let nobody = world.runs(&["answer", &first, "{\"yes\": true}", "--step", "zzz"]).expect(2).stderr;
    assert!(nobody.contains("no step `zzz`") && nobody.contains("those that do: publish"), "{nobody}");
    assert!(!nobody.contains("did you mean"), "nothing is like it: {nobody}");
    let misspelt = world.runs(&["answer", &first, "{\"yes\": true}", "--step", "publsh"]).expect(2).stderr;
    assert!(misspelt.contains("the workflow has no step `publsh`; did you mean `publish`?"), "{misspelt}");
    world.runs(&["answer", &first, "{\"yes\": true}", "--step", "publish"]).expect(0);
    world.until(&first, "completed");
    world.runs(&["cancel", &second, "--reason", "changed my mind"]).expect(0);
    world.until(&second, "canceled");
    assert!(world.runs(&["show", &second]).expect(0).stdout.contains("changed my mind"));
    assert_eq!(world.runs(&["follow", &second]).expect(1).code, Some(1), "a run that did not complete");
    assert!(world.runs(&["cancel", &second]).expect(1).stderr.contains("has ended"));
    let absent = world.runs(&["show", "nothing-like-it"]).expect(3).stderr;
    assert!(absent.contains("there is no run") && absent.contains("`gantry runs list --data-dir "), "{absent}");

    let listed = |arguments: &[&str]| world.runs(arguments).expect(0).json().as_array().unwrap().len();
    assert_eq!(listed(&["list", "--json", "--status", "completed"]), 1);
    assert_eq!(listed(&["list", "--json", "--status", "canceled", "--workflow", "chain", "--since", "1h"]), 1);
    assert_eq!(listed(&["list", "--json", "--workflow", "other"]), 0);
    assert_eq!((listed(&["list", "--json", "--until", "1h"]), listed(&["list", "--json", "--until", "0", "--since", "1h"])), (0, 2));
    assert!(world.runs(&["list", "--until", "1h"]).expect(0).stderr.starts_with("0 runs in "));
    let bounded = world.runs(&["list", "--until", "0", "--limit", "2"]).expect(0).stderr;
    assert_eq!(bounded, format!("2 runs in {}, or more; --limit shows more\n", world.data_dir().display()));
    for until in ["1h", "2h"] {
        let empty = world.runs(&["list", "--since", "1h", "--until", until]).expect(2).stderr;
        assert!(empty.contains("--since 1h") && empty.contains("no time between them"), "{empty}");
    }
    assert!(world.runs(&["list", "--status", "lost"]).expect(2).stderr.contains("input_required"));
    assert!(world.runs(&["prune"]).expect(2).stderr.contains("--older-than"));
    // Through the gantry that holds it, then without one.
    assert!(world.runs(&["prune", "--keep", "1"]).expect(0).stderr.contains("1 ended run was forgotten"));
    gantry.running.signal("TERM");
    gantry.running.end().expect(0);
    assert_eq!(world.list().len(), 1);
    assert!(world.runs(&["prune", "--older-than", "0"]).expect(0).stderr.contains("1 ended run was forgotten"));
    assert_eq!(world.list().len(), 0);
}

/// An agent that is away, as its caller's operator sees it.
#[test]
fn circuits_show_in_readyz_in_the_list_of_agents_and_in_the_timeline() {
    let world = World::new(
        "steps:\n  - {id: first, skill: one}\n  - {id: second, skill: zero}\n",
        Counting::start(|_, _| (Duration::ZERO, Ok(json!(1)))),
    );
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let skills = json!([{ "id": "zero", "name": "zero", "description": "zero" }]);
    world.machine.write("away.json", &json!({ "name": "away", "url": nowhere, "skills": skills }).to_string());
    world.machine.run(&["agent", "push", "away.json", "--registry", &world.registry]).expect(0);
    let data = world.data_dir();
    let list = |more: &[&str]| {
        let mut arguments = vec!["agent", "list", "--registry", &world.registry, "--data-dir", data.to_str().unwrap()];
        arguments.extend(more);
        world.machine.run(&arguments).expect(0)
    };
    assert!(!list(&[]).stdout.contains("CIRCUIT"), "no gantry runs");
    let gantry = world.serve(&[]);
    let mut failed = Vec::new();
    wait_for("an open circuit", || {
        let run = world.start(&gantry, failed.len() + 1)?;
        wait_for("its end", || world.list().into_iter().find(|line| line["run"] == run && line["status"] != "running").map(|_| ()));
        failed.push(run);
        let asked = async { world.http.get(format!("{}/readyz", gantry.url)).send().await?.json::<Value>().await };
        let ready = world.agent.runtime.block_on(asked).ok()?;
        assert_eq!((&ready["status"], &ready["calls"]["in_flight"]), (&json!("ready"), &json!(0)), "{ready}");
        assert!(!ready.to_string().contains("away") && !ready.to_string().contains("127.0.0.1"), "numbers only: {ready}");
        let open = ready["circuits"]["open"].as_u64()? + ready["circuits"]["half_open"].as_u64()?;
        (open == 1 && ready["circuits"]["closed"] == 1).then_some(())
    });
    let listed = list(&[]);
    for part in ["CIRCUIT", "CALLS", "closed", "open"] {
        assert!(listed.stdout.contains(part), "{}", listed.stdout);
    }
    assert!(listed.stderr.contains("away is left alone after 5 failures in a row; the last: cannot connect"), "{}", listed.stderr);
    let lines: Value = serde_json::from_str(&list(&["--json"]).stdout).unwrap();
    let of = |name: &str| lines.as_array().unwrap().iter().find(|line| line["card"]["name"] == name).unwrap()["calls"].clone();
    assert_eq!((&of("counting")["circuit"], &of("counting")["failures_in_a_row"]), (&json!("closed"), &json!(0)));
    assert_eq!(of("away")["failures_in_a_row"], 5);
    // The next run is refused a call, and its timeline says why.
    let refused = wait_for("a run while the circuit is open", || {
        let run = world.start(&gantry, failed.len() + 1)?;
        wait_for("its end", || world.list().into_iter().find(|line| line["run"] == run && line["status"] == "failed").map(|_| ()));
        failed.push(run.clone());
        let shown = world.runs(&["show", &run]).expect(0).stdout;
        shown.contains("it is not called before").then_some(shown)
    });
    assert!(refused.contains("second try 1: agent `away` failed at skill `zero`") && refused.contains("(unavailable)"), "{refused}");
    gantry.running.signal("TERM");
    gantry.running.end().expect(0);
}

/// An answer without a step, to a run that is at work: it waits for none.
#[test]
fn an_answer_that_nobody_waits_for_says_so() {
    let steps = "steps:\n- {id: a, skill: one}\n- {id: q, step_type: input, prompt: \"publish?\"}\n";
    let slow = |call: &Call| Duration::from_millis(if call.skill == "one" { 60_000 } else { 0 });
    let world = World::new(steps, Counting::start(move |call, _| (slow(call), Ok(reply(call)))));
    let gantry = world.serve(&["--grace", "0s"]);
    let run = world.start(&gantry, 1).unwrap();
    wait_for("the first call", || (!world.agent.calls().is_empty()).then_some(()));
    let refused = world.runs(&["answer", &run, "yes"]).expect(1).stderr;
    assert!(refused.contains(&format!("run `{run}` waits for no answer now")) && refused.contains("--step"), "{refused}");
    world.runs(&["answer", &run, "yes", "--step", "q"]).expect(0);
    world.runs(&["cancel", &run]).expect(0);
    world.until(&run, "canceled");
    for shown in [world.runs(&["show", &run]).expect(0), world.runs(&["follow", &run]).expect(1)] {
        assert!(shown.stdout.contains("\ncanceled: at the command line\n"), "said once: {}", shown.stdout);
        assert!(!shown.stdout.contains("canceled (canceled)"), "{}", shown.stdout);
    }
    gantry.running.signal("TERM");
    gantry.running.end().expect(0);
}

#[test]
fn the_end_counts_the_runs_that_it_does_not_name() {
    let slow = Counting::start(|call, _| (Duration::from_secs(60), Ok(reply(call))));
    let world = World::new(CHAIN, slow);
    let gantry = world.serve(&["--grace", "0s"]);
    let started: Vec<String> = (0..12).map(|n| world.start(&gantry, n).unwrap()).collect();
    gantry.running.signal("TERM");
    let ended = gantry.running.end().expect(0).stderr;
    assert_eq!(ended.matches("parked for the next start: run ").count(), 10, "{ended}");
    assert!(ended.contains("… and 2 more: 12 runs are parked in all"), "{} started: {ended}", started.len());
}

#[test]
fn a_second_signal_ends_it_at_once_and_loses_nothing() {
    let slow_once = Counting::start(|call, before| {
        let is_first = call.skill == "one" && before == 0;
        (Duration::from_secs(if is_first { 60 } else { 0 }), Ok(reply(call)))
    });
    let world = World::new(CHAIN, slow_once);
    let gantry = world.serve(&["--grace", "50s"]);
    let run = world.start(&gantry, 1).unwrap();
    wait_for("the first call", || (!world.agent.calls().is_empty()).then_some(()));
    gantry.running.signal("TERM");
    wait_for("the end to begin", || {
        let told = world.try_send(&gantry, json!({ "messageId": "late", "parts": [{ "data": { "workflow_id": "chain" } }] }))?;
        (told["error"]["code"] == -32051).then_some(())
    });
    let begun = Instant::now();
    gantry.running.signal("TERM");
    gantry.running.end().expect(130);
    assert!(begun.elapsed() < Duration::from_secs(45), "it did not wait for the grace to pass");
    let _gantry = world.serve(&[]);
    world.until(&run, "completed");
    let calls = world.agent.calls();
    assert_eq!(calls.len(), 4, "what was in flight was called again: {calls:?}");
    assert_eq!(calls[0].key, calls[1].key, "with its key");
}

#[test]
fn a_directory_without_runs_is_an_error_and_stays_as_it_is() {
    let machine = Machine::new();
    machine.write("empty/other.txt", "x");
    for (directory, expected) in [("typo", "there is no data directory in typo"), ("empty", "there are no runs in empty")] {
        for command in [&["list"][..], &["list", "--json"], &["show", "abcdef"], &["prune", "--keep", "1"]] {
            let ran = machine.run(&[&["runs"], command, &["--data-dir", directory]].concat()).expect(3);
            assert!(ran.stderr.contains(expected) && ran.stderr.contains("--data-dir"), "{command:?}: {}", ran.stderr);
            assert_eq!(ran.stdout, "");
        }
    }
    machine.write("inside/runs", "x");
    for (file, named) in [("empty/other.txt", "empty/other.txt"), ("inside", "inside/runs")] {
        for command in [&["list"][..], &["show", "abcdef"], &["prune", "--keep", "1"], &["cancel", "abcdef"]] {
            let told = machine.run(&[&["runs"], command, &["--data-dir", file]].concat()).expect(3).stderr;
            assert!(told.starts_with(&format!("error: {named} is no directory\n")) && told.contains("--data-dir"), "{command:?}: {told}");
        }
    }
    assert!(!machine.path("typo").exists() && !machine.path("empty/runs").exists(), "looking creates nothing");
    assert!(machine.run(&["runs", "list"]).expect(0).stderr.contains("0 runs in "), "a new machine has none yet");
}

#[test]
fn the_end_says_not_ready_at_once_and_lets_what_is_in_flight_finish() {
    let world =
        World::new(CHAIN, Counting::start(|call, _| (Duration::from_millis(if call.skill == "one" { 700 } else { 0 }), Ok(reply(call)))));
    let gantry = world.serve(&["--grace", "20s"]);
    let run = world.start(&gantry, 1).unwrap();
    wait_for("the first call", || (!world.agent.calls().is_empty()).then_some(()));
    gantry.running.signal("TERM");
    let begun = Instant::now();
    let status = wait_for("not ready", || {
        let asked = async { world.http.get(format!("{}/readyz", gantry.url)).send().await };
        let status = world.agent.runtime.block_on(asked).ok()?.status().as_u16();
        (status != 200).then_some(status)
    });
    assert_eq!(status, 503);
    assert!(begun.elapsed() < Duration::from_millis(600), "before the step in flight had ended");
    let refused = world.try_send(&gantry, json!({ "messageId": "late", "parts": [{ "data": { "workflow_id": "chain" } }] })).unwrap();
    assert_eq!(refused["error"]["code"], -32051, "{refused:#}");
    let seen = world.ask(&gantry, "GetTask", &json!({ "id": run })).unwrap();
    assert_eq!(seen["result"]["id"], run, "what is there can be read: {seen:#}");
    let ended = gantry.running.end().expect(0);
    assert!(begun.elapsed() < PATIENCE && ended.stderr.contains("parked for the next start"), "{}", ended.stderr);
    assert_eq!(world.agent.calls().len(), 1, "nothing new was begun");
    let gantry = world.serve(&["--log", "gantry=info"]);
    world.until(&run, "completed");
    assert_eq!(world.agent.calls().len(), 3, "the step that had ended in time was not called again");
    gantry.running.signal("TERM");
    let again = gantry.running.end().expect(0);
    assert!(again.stderr.contains("1 run that had not ended goes on"), "{}", again.stderr);
    let resumed = again.stderr.lines().find(|line| line.contains("run resumed")).unwrap_or_else(|| panic!("{}", again.stderr));
    assert!(resumed.contains("seq=") && !resumed.contains("seq=0"), "{resumed}");
    assert!(!again.stderr.contains("run started"), "{}", again.stderr);
}

#[test]
fn a_damaged_page_is_told_with_the_file_it_is_in() {
    let machine = Machine::new();
    machine.write("w.yaml", "metadata: {id: w, name: W, version: 1.0.0}\nsteps: [{id: v, step_type: set, value: 1}]");
    machine.run(&["run", "-w", "w.yaml", "--embedded", "--data-dir", "data", "--no-save"]).expect(0);
    let path = machine.path("data/runs/journal.sqlite3");
    let db = rusqlite::Connection::open(&path).unwrap();
    let page: i64 = db.query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'runs_ended'", [], |row| row.get(0)).unwrap();
    let run: String = db.query_row("SELECT run FROM runs", [], |row| row.get(0)).unwrap();
    db.close().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[(page as usize - 1) * 4096..][..4096].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let told = machine.run(&["runs", "list", "--data-dir", "data"]).expect(4).stderr;
    for part in ["runs/journal.sqlite3 is damaged: ", "bring back a copy of it"] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
    for command in ["show", "export"] {
        machine.run(&["runs", command, &run, "--data-dir", "data"]).expect(0);
    }
}

/// An answer is what the step wants, as over A2A: a text that looks like a number, or a number.
#[test]
fn an_answer_is_read_as_the_step_wants_it() {
    let steps = "steps:
- {id: a, step_type: input, prompt: which?, schema: {type: string}}
- {id: b, step_type: input, prompt: how many?, schema: {type: number}}
- {id: c, step_type: input, prompt: well?}
- {id: d, step_type: input, prompt: whether?, schema: {type: boolean}}
output: [\"{{ steps.a.outputs }}\", \"{{ steps.b.outputs }}\", \"{{ steps.c.outputs }}\", \"{{ steps.d.outputs }}\"]
";
    let world = World::new(steps, Counting::start(|_, _| (Duration::ZERO, Ok(json!(1)))));
    let gantry = world.serve(&[]);
    let run = world.start(&gantry, 1).unwrap();
    // What ends a file is no part of a text.
    let file = world.machine.write("answer.txt", "5\r\n");
    world.runs(&["answer", &run, "--file", file.to_str().unwrap(), "--step", "a"]).expect(0);
    for step in ["b", "c"] {
        world.runs(&["answer", &run, "5", "--step", step]).expect(0);
    }
    let refused = world.runs(&["answer", &run, "5", "--step", "d"]).expect(2).stderr;
    assert!(refused.contains("boolean") && refused.contains('5'), "{refused}");
    world.runs(&["answer", &run, "true", "--step", "d"]).expect(0);
    world.until(&run, "completed");
    let shown = world.runs(&["show", &run, "--json"]).expect(0).json();
    assert_eq!(shown["outcome"]["output"], json!(["5", 5, 5, true]));
}
