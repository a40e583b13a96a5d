//! The real process, killed at random moments while runs of every step kind are under way.
//!
//! `GANTRY_KILLS` in the environment says how often, and `GANTRY_BIN` may name an optimised gantry. The figures are printed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use gantry::ids::RunId;
use gantry::interpreter::Event;
use gantry::journal::{Journal as _, Sqlite};
use serde_json::{Value, json};

use super::runs::{Call, Counting, Gantry, World};
use super::{PATIENCE, Running, wait_for};

/// A skill that never answers: its calls are given up, some of them before they arrive, so that they are not counted.
const HANG: &str = "hang";
/// Calls one after the other, in the longest workflow.
const LONG_STEPS: usize = 100;
/// Runs of it under way at once.
const LONG_RUNS: usize = 20;

/// The corpus, its sub-workflows, and a chain of a hundred steps, by name.
fn workflows() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for folder in ["tests/fixtures/corpus", "tests/fixtures/corpus/children"] {
        for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                found.insert(path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut long = "metadata: {id: long, name: long, version: 1.0.0}\nsteps:\n".to_owned();
    for n in 0..LONG_STEPS {
        let of = if n == 0 { "workflow.input.of".to_owned() } else { format!("steps.s{}.outputs.did[-20:]", n - 1) };
        long.push_str(&format!("  - {{id: s{n}, skill: work, inputs: {{of: \"{{{{ {of} }}}}\"}}}}\n"));
    }
    long.push_str(&format!("output: {{last: \"{{{{ steps.s{}.outputs.did }}}}\"}}\n", LONG_STEPS - 1));
    found.insert("long".to_owned(), long);
    found
}

/// What the agent says depends on the call alone, so that a call that is made again gets the same answer.
fn answer(call: &Call) -> Result<Value, String> {
    let of = match &call.inputs["of"] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match call.skill.as_str() {
        "broken" => Err("always".to_owned()),
        "moody" if call.key.ends_with("#1") => Err("not in the mood".to_owned()),
        "picky" if of == "bad" => Err("not this one".to_owned()),
        skill => Ok(json!({ "did": format!("{skill} of {of}") })),
    }
}

fn world(workflows: &BTreeMap<String, String>) -> World {
    let agent = Counting::start(|call, _| match call.skill.as_str() {
        HANG => (PATIENCE * 10, Err("nobody waits so long".to_owned())),
        _ => (Duration::from_millis(fastrand::u64(0..8)), answer(call)),
    });
    // A sub-workflow must be there before its parent can be checked.
    let mut texts: Vec<String> = workflows.values().cloned().collect();
    texts.sort_by_key(|text| text.contains("step_type: workflow"));
    World::of(&["work", "moody", "picky", "broken", HANG], &texts, agent)
}

/// What the journal of a process that is dead holds. It is read from a copy, so that the next process finds what this one left.
#[derive(Default)]
struct Left {
    /// The workflow of each run.
    runs: BTreeMap<RunId, String>,
    /// The runs that have not ended.
    unfinished: usize,
    /// The keys of the attempts that have an outcome.
    settled: BTreeSet<String>,
}

fn left(world: &World) -> Left {
    let copy = tempfile::tempdir().unwrap();
    let Ok(files) = std::fs::read_dir(world.data_dir().join("runs")) else { return Left::default() };
    for file in files.map(|file| file.unwrap().path()) {
        let name = file.file_name().unwrap();
        if name.to_str().unwrap().starts_with("journal.sqlite3") && !name.to_str().unwrap().ends_with("-shm") {
            std::fs::copy(&file, copy.path().join(name)).unwrap();
        }
    }
    let journal = Sqlite::open(copy.path()).unwrap();
    world.agent.runtime.block_on(async {
        let mut left = Left::default();
        for record in journal.list().await.unwrap() {
            let run = record.header.run;
            for event in journal.events(&run).await.unwrap() {
                if let Event::Replied { path, attempt, .. } | Event::Failed { path, attempt, .. } = event {
                    left.settled.insert(format!("{run}{path}#{attempt}"));
                }
            }
            left.unfinished += usize::from(!record.status.is_terminal());
            left.runs.insert(run, record.header.workflow);
        }
        left
    })
}

/// How a run ended, and what each of its steps came to.
fn outcome(world: &World, run: &str) -> Value {
    let shown = world.runs(&["show", run, "--json"]).expect(0).json();
    let steps = shown["entries"].as_array().unwrap_or_else(|| panic!("{shown:#}"));
    let mut steps: Vec<_> = steps.iter().map(|step| [&step["path"], &step["attempt"], &step["status"]].map(Value::to_string)).collect();
    // Which of two branches is first may change.
    steps.sort();
    json!([shown["outcome"], steps])
}

/// How every workflow ends when nobody disturbs it, and the keys its calls have, without the run.
fn undisturbed(workflows: &BTreeMap<String, String>) -> BTreeMap<String, (Value, BTreeSet<String>)> {
    let world = world(workflows);
    let mut gantry = world.serve(&[]);
    for (n, name) in workflows.keys().filter(|name| *name != "child").enumerate() {
        let run = world.send(&gantry, first(name, n)).unwrap();
        if name == "people" {
            assert!(say(&world, &gantry, &run));
        }
    }
    until_ended(&world);
    gantry.running.child.kill().unwrap();
    gantry.running.child.wait().unwrap();
    let keys = keys(&world.agent.calls());
    let of = |(run, workflow): (RunId, String)| {
        let keys = keys.get(run.as_str()).cloned().unwrap_or_default().into_keys().collect();
        (workflow, (outcome(&world, run.as_str()), keys))
    };
    left(&world).runs.into_iter().map(of).collect()
}

fn first(workflow: &str, n: usize) -> Value {
    let data = json!({ "workflow_id": workflow, "input": { "of": "start" } });
    json!({ "messageId": format!("m-{n}"), "parts": [{ "data": data }] })
}

/// Answers a question that may not have been asked yet. Whether it was taken: who asks again after that is told that it was.
fn say(world: &World, gantry: &Gantry, run: &str) -> bool {
    let message = json!({ "messageId": format!("answer-{run}"), "taskId": run, "metadata": { "step": "ask" }, "parts": [{ "data": { "said": "yes" } }] });
    world.try_send(gantry, message).is_some_and(|answer| answer["error"].is_null())
}

fn until_ended(world: &World) {
    wait_for("the end of every run", || {
        let ended = |run: &Value| ["completed", "failed", "canceled"].iter().any(|status| run["status"] == *status);
        world.list().iter().all(ended).then_some(())
    });
}

/// How often each call was made: by run, then by what else its key says.
fn keys(calls: &[Call]) -> BTreeMap<String, BTreeMap<String, usize>> {
    let mut keys = BTreeMap::<String, BTreeMap<String, usize>>::new();
    for call in calls.iter().filter(|call| call.skill != HANG) {
        let (run, attempt) = call.key.split_at(call.key.find('/').unwrap_or_else(|| panic!("the key of {call:?}")));
        *keys.entry(run.to_owned()).or_default().entry(attempt.to_owned()).or_default() += 1;
    }
    keys
}

/// What was seen of all kills.
#[derive(Default)]
struct Seen {
    accepted: BTreeSet<String>,
    unanswered: BTreeSet<String>,
    messages: usize,
    in_flight: usize,
    again: Vec<String>,
    killed_in_start: usize,
}

/// One life of a gantry, from its start to its death at a random moment. `left` is what the one before it left.
fn live(world: &World, names: &[&String], before: &Left, seen: &mut Seen) {
    let mut gantry = if fastrand::u8(0..5) == 0 {
        // Dead before it serves, perhaps before it has opened the journal.
        seen.killed_in_start += 1;
        Running::spawn(world.command(&[]))
    } else {
        let gantry = world.serve(&[]);
        seen.unanswered.retain(|run| !say(world, &gantry, run));
        let long = before.runs.values().filter(|workflow| *workflow == "long").count();
        let topping = if before.unfinished < LONG_RUNS * 2 { LONG_RUNS.min(LONG_RUNS * 10 - long.min(LONG_RUNS * 10)) } else { 0 };
        let others = names.iter().filter(|_| before.unfinished < LONG_RUNS * 3).map(|name| name.as_str());
        for name in std::iter::repeat_n("long", topping.min(LONG_RUNS)).chain(others) {
            seen.messages += 1;
            let Some(run) = world.send(&gantry, first(name, seen.messages)) else { continue };
            if name == "people" && !say(world, &gantry, &run) {
                seen.unanswered.insert(run.clone());
            }
            seen.accepted.insert(run);
        }
        gantry.running
    };
    std::thread::sleep(Duration::from_millis(fastrand::u64(0..200)));
    gantry.child.kill().unwrap();
    gantry.child.wait().unwrap();
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures are for whoever runs it with more kills")]
fn runs_of_every_step_kind_survive_kills_at_random_moments() {
    let kills: usize = std::env::var("GANTRY_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(10);
    let workflows = workflows();
    let expected = undisturbed(&workflows);
    let world = world(&workflows);
    let names: Vec<&String> = workflows.keys().filter(|name| *name != "child" && *name != "long").collect();
    let mut seen = Seen::default();
    let mut before = Left::default();
    let mut from = 0;
    for _ in 0..kills {
        live(&world, &names, &before, &mut seen);
        let calls = world.agent.calls_at_rest();
        seen.again.extend(calls[from..].iter().filter(|call| before.settled.contains(&call.key)).map(|call| call.key.clone()));
        // What the dead process had sent may still arrive; a reply to it is in no journal.
        from = calls.len();
        before = left(&world);
        let open = |call: &&Call| call.skill != HANG && !before.settled.contains(&call.key);
        seen.in_flight += calls.iter().filter(open).map(|call| &call.key).collect::<BTreeSet<_>>().len();
    }
    let gantry = world.serve(&[]);
    seen.unanswered.retain(|run| !say(&world, &gantry, run));
    until_ended(&world);
    gantry.running.signal("TERM");
    gantry.running.end().expect(0);
    let calls = world.agent.calls();
    seen.again.extend(calls[from..].iter().filter(|call| before.settled.contains(&call.key)).map(|call| call.key.clone()));

    let end = left(&world);
    assert_eq!(end.unfinished, 0);
    let lost: Vec<_> = seen.accepted.iter().filter(|run| !end.runs.contains_key(&RunId::parse(run).unwrap())).collect();
    assert!(lost.is_empty(), "accepted and lost: {lost:?}");
    assert!(seen.again.is_empty(), "had a result and were called again: {:?}", seen.again);
    let keys = keys(&calls);
    let (mut distinct, mut made) = (0, 0);
    for (run, workflow) in &end.runs {
        let (result, undisturbed) = &expected[workflow];
        let called = keys.get(run.as_str()).cloned().unwrap_or_default();
        assert!(called.keys().eq(undisturbed), "{workflow}: {called:?} instead of {undisturbed:?}");
        assert_eq!(&outcome(&world, run.as_str()), result, "{workflow}");
        distinct += called.len();
        made += called.values().sum::<usize>();
    }
    let repeated = made - distinct;
    assert!(repeated <= seen.in_flight, "{repeated} calls were repeated, and {} were in flight at kills", seen.in_flight);
    println!(
        "{kills} kills, {} of them before it served; {} runs, {} accepted, none lost; {distinct} calls, {} settled, none of these called again; \
         {repeated} repeated with the same key, of {} in flight at kills; every run ended as undisturbed",
        seen.killed_in_start,
        end.runs.len(),
        seen.accepted.len(),
        end.settled.len(),
        seen.in_flight
    );
}
