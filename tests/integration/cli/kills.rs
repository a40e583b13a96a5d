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
use crate::tasks::{ENDLESS, Message, TaskAgent};

/// A skill that never answers: its calls are given up, some of them before they arrive, so that they are not counted. Those of a task
/// that never ends are not counted either.
const HANG: &str = "hang";
/// Calls one after the other, in the longest workflow.
const LONG_STEPS: usize = 100;
/// Runs of it under way at every kill.
const LONG_RUNS: usize = 20;
/// A run of it that has made fewer calls does not end in the life in which it is seen.
const LONG_YOUNG: usize = 25;

/// The corpus, its sub-workflows, and a chain of a hundred steps, by name. How many steps a run may execute cannot be told to the binary,
/// so the workflow that executes too many is left out.
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
    found.remove("exhausted").expect("it is one of the corpus");
    let mut long = "metadata: {id: long, name: long, version: 1.0.0}\nsteps:\n".to_owned();
    for n in 0..LONG_STEPS {
        let of = if n == 0 { "workflow.input.of".to_owned() } else { format!("steps.s{}.outputs.did[-20:]", n - 1) };
        let mark = "{{ workflow.input.mark }}";
        long.push_str(&format!("  - {{id: s{n}, skill: work, inputs: {{of: \"{{{{ {of} }}}}\", mark: \"{mark}\", step: {n}}}}}\n"));
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

/// A world with two agents, one that answers calls and one that makes tasks.
struct Scene {
    world: World,
    clerk: TaskAgent,
}

impl Scene {
    fn new(workflows: &BTreeMap<String, String>) -> Self {
        let agent = Counting::start(|call, _| match call.skill.as_str() {
            HANG => (PATIENCE * 10, Err("nobody waits so long".to_owned())),
            _ => (Duration::from_millis(fastrand::u64(0..8)), answer(call)),
        });
        let clerk = agent.runtime.block_on(TaskAgent::start());
        // A sub-workflow must be there before its parent can be checked.
        let mut texts: Vec<String> = workflows.values().cloned().collect();
        texts.sort_by_key(|text| text.contains("step_type: workflow"));
        let cards = [agent.card(&["work", "moody", "picky", "broken", HANG]), clerk.card()];
        Self { world: World::knowing(&cards, &texts, agent), clerk }
    }

    /// Every call so far, but those that nobody may have waited for.
    fn calls(&self) -> Vec<Call> {
        let messages = self.clerk.messages().into_iter();
        let messages = messages.map(|Message { skill, id, inputs }| Call { skill, key: id, inputs });
        let is_counted = |call: &Call| call.skill != HANG && call.skill != ENDLESS;
        self.world.agent.calls().into_iter().chain(messages).filter(is_counted).collect()
    }

    /// The same, when no more come: what a process had sent before it was killed is still on its way for a moment.
    fn calls_at_rest(&self) -> Vec<Call> {
        let mut before = self.calls().len();
        loop {
            std::thread::sleep(Duration::from_millis(20));
            let calls = self.calls();
            if calls.len() == before {
                return calls;
            }
            before = calls.len();
        }
    }

    /// Does what the people around a run do: answers, or wants no more of it. Whether that is done.
    fn attend(&self, gantry: &Gantry, run: &str, workflow: &str) -> bool {
        let state = || {
            let task = self.world.ask(gantry, "GetTask", &json!({ "id": run }))?;
            Some(task["result"]["status"]["state"].as_str().unwrap_or_else(|| panic!("{task:#}")).to_owned())
        };
        let answered = || {
            // Who says it again after it was taken is told that it was.
            let message = json!({ "messageId": format!("answer-{run}"), "taskId": run, "metadata": { "step": "ask" }, "parts": [{ "data": { "said": "yes" } }] });
            let answer = self.world.try_send(gantry, message);
            answer.is_some_and(|answer| answer["error"].is_null())
        };
        match workflow {
            // A question of the workflow's own may be answered before it is asked.
            "people" => answered(),
            "tasks" => state().is_some_and(|state| match state.as_str() {
                "TASK_STATE_INPUT_REQUIRED" => answered(),
                state => state == "TASK_STATE_COMPLETED",
            }),
            // Once, when its agent has asked: a second wish would end its handlers. The task itself is at work all the while.
            "canceled" => {
                let has_asked = self.clerk.open().iter().any(|task| task.starts_with(run) && task.contains(":in_vain"));
                has_asked && self.world.ask(gantry, "CancelTask", &json!({ "id": run })).is_some_and(|answer| answer["error"].is_null())
            }
            _ => true,
        }
    }
}

/// What the journal of a process that is dead holds. It is read from a copy, so that the next process finds what this one left.
#[derive(Default)]
struct Left {
    /// The workflow of each run.
    runs: BTreeMap<RunId, String>,
    /// The runs that have not ended, by workflow.
    unfinished: BTreeMap<String, usize>,
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
                if let Event::Replied { path, attempt, .. } | Event::Failed { path, attempt, .. } | Event::Asked { path, attempt, .. } =
                    event
                {
                    left.settled.insert(format!("{run}{path}#{attempt}"));
                }
            }
            if !record.status.is_terminal() {
                *left.unfinished.entry(record.header.workflow.clone()).or_default() += 1;
            }
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
    let scene = Scene::new(workflows);
    let mut gantry = scene.world.serve(&[]);
    let mut seen = Seen::default();
    for name in workflows.keys().filter(|name| *name != "child") {
        seen.start(&scene, &gantry, name);
    }
    seen.until_ended(&scene, &gantry);
    gantry.running.child.kill().unwrap();
    gantry.running.child.wait().unwrap();
    let keys = by_run(&counts(&scene.calls()));
    let of = |(run, workflow): (RunId, String)| {
        let keys = keys.get(run.as_str()).cloned().unwrap_or_default().into_keys().collect();
        (workflow, (outcome(&scene.world, run.as_str()), keys))
    };
    left(&scene.world).runs.into_iter().map(of).collect()
}

/// How often each call was made, by its key. A call that is made again is the same call: its key stands for one skill and its inputs, and
/// in a run of the longest workflow a step has one key.
fn counts(calls: &[Call]) -> BTreeMap<String, usize> {
    let (mut counts, mut meanings, mut marked) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for call in calls {
        *counts.entry(call.key.clone()).or_default() += 1;
        let meaning = (&call.skill, &call.inputs);
        assert_eq!(*meanings.entry(&call.key).or_insert(meaning), meaning, "two calls with the key {}", call.key);
        if let Some(mark) = call.inputs["mark"].as_u64() {
            let key = *marked.entry((mark, call.inputs["step"].as_u64())).or_insert(&call.key);
            assert_eq!(key, &call.key, "step {} of {mark} was called with another key", call.inputs["step"]);
        }
    }
    counts
}

/// The same, by run, and then by what else the key says.
fn by_run(counts: &BTreeMap<String, usize>) -> BTreeMap<String, BTreeMap<String, usize>> {
    let mut runs = BTreeMap::<String, BTreeMap<String, usize>>::new();
    for (key, count) in counts {
        let (run, attempt) = key.split_at(key.find('/').unwrap_or_else(|| panic!("the key {key}")));
        runs.entry(run.to_owned()).or_default().insert(attempt.to_owned(), *count);
    }
    runs
}

/// What was seen of all lives.
#[derive(Default)]
struct Seen {
    accepted: BTreeSet<String>,
    /// Runs that people still have to do with, and their workflow.
    unattended: BTreeMap<String, String>,
    long: BTreeSet<String>,
    messages: usize,
    killed_in_start: usize,
    /// The calls that were made when the last life ended, and those of them that had no outcome.
    counts: BTreeMap<String, usize>,
    in_flight: usize,
    in_flight_total: usize,
    repeated_total: usize,
}

impl Seen {
    fn start(&mut self, scene: &Scene, gantry: &Gantry, workflow: &str) {
        self.messages += 1;
        let data = json!({ "workflow_id": workflow, "input": { "of": "start", "mark": self.messages } });
        let message = json!({ "messageId": format!("m-{}", self.messages), "parts": [{ "data": data }] });
        let Some(run) = scene.world.send(gantry, message) else { return };
        if workflow == "long" {
            self.long.insert(run.clone());
        }
        if !scene.attend(gantry, &run, workflow) {
            self.unattended.insert(run.clone(), workflow.to_owned());
        }
        self.accepted.insert(run);
    }

    fn attend(&mut self, scene: &Scene, gantry: &Gantry) {
        self.unattended.retain(|run, workflow| !scene.attend(gantry, run, workflow));
    }

    /// Long runs that have most of their steps before them.
    fn young(&self, calls: &[Call]) -> usize {
        let made = by_run(&counts(calls));
        self.long.iter().filter(|run| made.get(*run).is_none_or(|calls| calls.len() < LONG_YOUNG)).count()
    }

    fn until_ended(&mut self, scene: &Scene, gantry: &Gantry) {
        wait_for("the people around the runs", || {
            self.attend(scene, gantry);
            self.unattended.is_empty().then_some(())
        });
        wait_for("the end of every run", || {
            let ended = |run: &Value| ["completed", "failed", "canceled"].iter().any(|status| run["status"] == *status);
            scene.world.list().iter().all(ended).then_some(())
        });
        // A task is canceled by a call of its own, which nobody waits for.
        wait_for("the end of every task", || scene.clerk.open().is_empty().then_some(()));
    }

    /// Looks at what a life did. `before` is what the one before it left.
    fn check_life(&mut self, before: &Left, calls: &[Call]) {
        let counts = counts(calls);
        let mut repeated = 0;
        for (key, count) in &counts {
            let earlier = self.counts.get(key).copied().unwrap_or_default();
            assert!(count - earlier <= 1, "{key} was called {} times in one life", count - earlier);
            assert!(*count == earlier || !before.settled.contains(key), "{key} had a result and was called again");
            repeated += usize::from(earlier > 0 && *count > earlier);
        }
        assert!(repeated <= self.in_flight, "{repeated} calls were repeated after a kill with {} in flight", self.in_flight);
        self.repeated_total += repeated;
        self.counts = counts;
    }

    /// Looks at what a life left.
    fn check_death(&mut self, left: &Left) {
        self.in_flight = self.counts.keys().filter(|key| !left.settled.contains(*key)).count();
        self.in_flight_total += self.in_flight;
        let long = left.unfinished.get("long").copied().unwrap_or_default();
        assert!(long >= LONG_RUNS, "{long} runs of {LONG_STEPS} steps were under way at a kill");
    }
}

/// One life of a gantry, from its start to its death at a random moment. `left` is what the one before it left.
fn live(scene: &Scene, names: &[&String], before: &Left, seen: &mut Seen) {
    let mut gantry = if !seen.long.is_empty() && fastrand::u8(0..5) == 0 {
        // Dead before it serves, perhaps before it has opened the journal.
        seen.killed_in_start += 1;
        Running::spawn(scene.world.command(&[]))
    } else {
        let gantry = scene.world.serve(&[]);
        seen.attend(scene, &gantry);
        if before.unfinished.values().sum::<usize>() < LONG_RUNS * 4 {
            names.iter().for_each(|name| seen.start(scene, &gantry, name));
        }
        for _ in seen.young(&scene.calls())..LONG_RUNS {
            seen.start(scene, &gantry, "long");
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
    let scene = Scene::new(&workflows);
    let names: Vec<&String> = workflows.keys().filter(|name| *name != "child" && *name != "long").collect();
    let (mut seen, mut before) = (Seen::default(), Left::default());
    for _ in 0..kills {
        live(&scene, &names, &before, &mut seen);
        seen.check_life(&before, &scene.calls_at_rest());
        // What the dead process had sent may have arrived since; a reply to it is in no journal.
        before = left(&scene.world);
        seen.check_death(&before);
    }
    let gantry = scene.world.serve(&[]);
    seen.until_ended(&scene, &gantry);
    gantry.running.signal("TERM");
    gantry.running.end().expect(0);
    seen.check_life(&before, &scene.calls());

    let end = left(&scene.world);
    assert_eq!(end.unfinished, BTreeMap::new());
    let lost: Vec<_> = seen.accepted.iter().filter(|run| !end.runs.contains_key(&RunId::parse(run).unwrap())).collect();
    assert!(lost.is_empty(), "accepted and lost: {lost:?}");
    let mut keys = by_run(&seen.counts);
    for (run, workflow) in &end.runs {
        let (result, undisturbed) = &expected[workflow];
        let called = keys.remove(run.as_str()).unwrap_or_default();
        assert!(called.keys().eq(undisturbed), "{workflow}: {called:?} instead of {undisturbed:?}");
        assert_eq!(&outcome(&scene.world, run.as_str()), result, "{workflow}");
    }
    assert!(keys.is_empty(), "calls of no run that there is: {keys:?}");
    println!(
        "{kills} kills, {} of them before it served, each with {LONG_RUNS} runs of {LONG_STEPS} steps under way at least; {} runs, {} accepted, none \
         lost; {} calls, {} with an outcome, none of these called again; {} repeated with the same key, at no kill more than were in flight, of {} \
         in flight in all; every run ended as undisturbed, and no task is left at its agent",
        seen.killed_in_start,
        end.runs.len(),
        seen.accepted.len(),
        seen.counts.len(),
        end.settled.len(),
        seen.repeated_total,
        seen.in_flight_total
    );
}
