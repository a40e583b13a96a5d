//! A data directory of an earlier gantry: its runs are there, are as they were, and go on. One of a later gantry is let be.
//!
//! `tests/fixtures/journals/format-2/journal.sql` is what a gantry of that format left when it was stopped, `format-3/journal.sqlite3` and
//! `format-4/journal.sqlite3` what ones left when they were killed; `runs.json` is what that gantry itself said of the runs. None of them is ever
//! written again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gantry::engine::embedded::{Counts, Recovered};
use gantry::engine::{Engine, Filter};
use gantry::ids::RunId;
use gantry::interpreter::{Event, Outcome, RunStatus};
use gantry::journal::Sqlite;
use gantry::limits::PAYLOAD_INLINE_BYTES_MAX;
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::{Value, json};

use super::agent::{Act, Agent, Call, Speaks};
use super::world::{World, output, step};

/// A run as the gantry that wrote it showed it.
#[derive(Deserialize)]
struct Recorded {
    run: RunId,
    workflow: String,
    status: String,
    events: usize,
    outcome: Option<Outcome>,
    /// By path, as far as they had begun.
    steps: BTreeMap<String, String>,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journals").join(name)
}

/// The newest change first.
fn recorded(format: &str) -> Vec<Recorded> {
    serde_json::from_slice(&std::fs::read(fixture(format).join("runs.json")).unwrap()).unwrap()
}

/// Makes the journal of format 2 anew.
fn journal_of_format_2(dir: &Path) -> PathBuf {
    let path = dir.join("journal.sqlite3");
    let db = Connection::open(&path).unwrap();
    db.execute_batch(&std::fs::read_to_string(fixture("format-2/journal.sql")).unwrap()).unwrap();
    assert_eq!(format_of(&path), 2);
    path
}

fn format_of(path: &Path) -> i64 {
    Connection::open(path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

/// The format that this gantry writes.
fn current_format() -> i64 {
    let dir = tempfile::tempdir().unwrap();
    let journal = Sqlite::open(dir.path()).unwrap();
    format_of(journal.path())
}

async fn is_as_recorded(world: &World, recorded: &[Recorded]) {
    let listed = world.engine.list(&Filter::default()).await.unwrap();
    let line = |run: &RunId, workflow: &str, status: &str| format!("{run} {workflow} {status}");
    let listed: Vec<_> = listed.iter().map(|run| line(&run.run, &run.workflow, run.status.as_str())).collect();
    let expected: Vec<_> = recorded.iter().map(|run| line(&run.run, &run.workflow, &run.status)).collect();
    assert_eq!(listed, expected);
    for Recorded { run, workflow, status, events, outcome, steps } in recorded {
        assert_eq!(world.journal.events(run).await.unwrap().len(), *events, "{workflow}");
        let snapshot = world.engine.snapshot(run).await.unwrap();
        assert_eq!((snapshot.status.as_str(), &snapshot.outcome), (status.as_str(), outcome), "{workflow}");
        let replayed = snapshot.steps.iter().map(|step| (step.path.to_string(), step.status.as_str().to_owned()));
        let replayed: BTreeMap<_, _> = replayed.filter(|(path, _)| steps.contains_key(path)).collect();
        assert_eq!(&replayed, steps, "{workflow}");
    }
}

#[tokio::test]
async fn the_runs_of_format_2_are_there_as_they_were_and_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = journal_of_format_2(dir.path());
    let onlooker = Sqlite::open_to_read(dir.path()).unwrap_err().to_string();
    assert!(onlooker.contains("format 2") && onlooker.contains("gantry serve"), "{onlooker}");

    let world = World::with(Arc::new(Sqlite::open(dir.path()).unwrap()));
    assert_eq!(format_of(&path), current_format());
    let recorded = recorded("format-2");
    is_as_recorded(&world, &recorded).await;

    // Nothing is brought back by the start, and what waits goes on from its answer: a run alone, and one through the run below it.
    assert_eq!(world.engine.recover().await.unwrap().resumed, 3);
    assert_eq!(world.engine.counts(), Counts { awake: 0, resting: 3 });
    let waits = |workflow: &'static str| recorded.iter().filter(move |run| run.status == "input_required" && run.workflow == workflow);
    let above = &waits("editorial").next().unwrap().run;
    let records = world.engine.list(&Filter { labelled: Some("parent".to_owned()), ..Filter::default() }).await.unwrap();
    let [below] = &records[..] else { panic!("{records:#?}") };
    assert_eq!(below.labels["parent"], above.as_str());
    let alone = &waits("approval").find(|run| run.run != below.run).unwrap().run;

    let refused = world.engine.answer(alone, Some("approve"), Arc::new(json!({"publish": "perhaps"}))).await.unwrap_err().to_string();
    assert!(refused.contains("publish"), "the question is the one that was asked: {refused}");
    let said = |draft: &str| json!({"answer": {"publish": true}, "draft": draft});
    let expected: [(&RunId, &str, Value); 2] =
        [(alone, "approve", said("Say yes")), (above, "inner", json!({"inner": said("Say it below"), "numbers": [1, 2, 3]}))];
    for (run, step, expected) in expected {
        world.engine.answer(run, Some(step), Arc::new(json!({"publish": true}))).await.unwrap();
        assert_eq!(output(&world.end(run).await), &expected);
    }
    assert_eq!(world.engine.snapshot(&below.run).await.unwrap().status, RunStatus::Completed);

    // It is a journal like any other from then on; what had ended is still as it was.
    world.engine.shutdown(std::time::Duration::from_secs(5)).await;
    drop(world);
    let again = World::with(Arc::new(Sqlite::open(dir.path()).unwrap()));
    assert_eq!(again.engine.recover().await.unwrap().resumed, 0);
    let completed = again.engine.list(&Filter { status: Some(RunStatus::Completed), ..Filter::default() }).await.unwrap();
    assert_eq!(completed.len(), 2 + 3);
    for ended in recorded.iter().filter(|run| run.outcome.is_some()) {
        assert_eq!(again.engine.snapshot(&ended.run).await.unwrap().outcome, ended.outcome);
    }
}

/// What the agents of the journal's gantry say, as far as it is still to be said.
fn says(call: &Call) -> Act {
    match call.skill.as_str() {
        "hang" | "endless" => Act::Hang,
        "asks" if call.task_id.is_none() => Act::Ask(json!("go on?")),
        skill => Act::Reply(json!({"did": format!("{skill} of {}", call.inputs["of"].as_str().unwrap_or("an answer"))})),
    }
}

#[tokio::test]
async fn the_runs_of_format_3_are_there_as_they_were_and_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.sqlite3");
    std::fs::copy(fixture("format-3/journal.sqlite3"), &path).unwrap();
    assert_eq!(format_of(&path), 3);
    let world = World::with(Arc::new(Sqlite::open(dir.path()).unwrap()));
    assert_eq!(format_of(&path), current_format());
    let recorded = recorded("format-3");
    is_as_recorded(&world, &recorded).await;
    let large = recorded.iter().find(|run| run.workflow == "tasks" && run.outcome.is_some()).unwrap();
    let snapshot = world.engine.snapshot(&large.run).await.unwrap();
    assert!(step(&snapshot, "big").outputs.to_string().len() > PAYLOAD_INLINE_BYTES_MAX, "what is kept by its digest is there");

    // What was under way goes on: a chain by itself, a question of the workflow's own and one of an agent by their answers, and a run whose
    // agents are at work by the wish to end it.
    let counting = Agent::start("counting", &["work", "moody", "hang"], Speaks::Plain, says).await;
    let clerk = Agent::start("clerk", &["slowly", "asks", "endless"], Speaks::A2a1, says).await;
    world.meet(&[&counting, &clerk]);
    let open = |workflow: &str| &recorded.iter().find(|run| run.workflow == workflow && run.outcome.is_none()).unwrap().run;
    let unfinished = recorded.iter().filter(|run| run.outcome.is_none()).count();
    assert_eq!(world.engine.recover().await.unwrap(), Recovered { resumed: unfinished, stuck: Vec::new() });
    for workflow in ["people", "tasks"] {
        world.engine.answer(open(workflow), Some("ask"), Arc::new(json!({"said": "yes"}))).await.unwrap();
    }
    world.engine.cancel(open("canceled"), "enough").await.unwrap();
    assert_eq!(output(&world.end(open("people")).await), &json!({"b": "work of yes and nothing"}));
    assert_eq!(output(&world.end(open("tasks")).await), &json!({"b": "slowly of asks of an answer", "fast": "failed"}));
    assert!(matches!(world.end(open("canceled")).await.outcome, Some(Outcome::Canceled { .. })));
    assert_eq!(world.end(open("long")).await.status, RunStatus::Completed);
    let calls = counting.look(|seen| seen.calls.iter().filter(|call| call.message_id.starts_with(open("long").as_str())).count());
    let before = recorded.iter().find(|run| run.workflow == "long").unwrap().events - 1;
    assert_eq!(calls, 100 - before, "what had an answer is not asked again");
}

#[tokio::test]
async fn the_runs_of_format_4_are_there_as_they_were_and_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.sqlite3");
    std::fs::copy(fixture("format-4/journal.sqlite3"), &path).unwrap();
    assert_eq!(format_of(&path), 4);
    let world = World::with(Arc::new(Sqlite::open(dir.path()).unwrap()));
    assert_eq!(format_of(&path), current_format());
    let recorded = recorded("format-4");
    is_as_recorded(&world, &recorded).await;
    assert_eq!(world.engine.recover().await.unwrap(), Recovered { resumed: 2, stuck: Vec::new() });
    // Of one of them more followed from its start than would be done for one event today.
    for (workflow, expected) in [("asks", json!({"n": 1, "said": "yes"})), ("counts", json!({"counted": 300, "said": "yes"}))] {
        let run = &recorded.iter().find(|run| run.workflow == workflow && run.outcome.is_none()).unwrap().run;
        world.engine.answer(run, Some("ask"), Arc::new(json!("yes"))).await.unwrap();
        assert_eq!(output(&world.end(run).await), &expected);
        let events = world.journal.events(run).await.unwrap();
        assert!(!events.iter().any(|event| matches!(event, Event::Continued { .. })), "it goes by what it began with: {events:?}");
    }
}

#[test]
fn a_journal_of_the_next_format_is_refused_and_nothing_is_changed() {
    let dir = tempfile::tempdir().unwrap();
    let path = journal_of_format_2(dir.path());
    let next = current_format() + 1;
    Connection::open(&path).unwrap().pragma_update(None, "user_version", next).unwrap();
    let content = || {
        let entries = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect::<BTreeMap<_, _>>()
    };
    let before = content();
    for refused in [Sqlite::open(dir.path()).unwrap_err(), Sqlite::open_to_read(dir.path()).unwrap_err()] {
        let refused = refused.to_string();
        for part in [path.to_str().unwrap(), &format!("format {next}"), "use a newer gantry", "Nothing was changed"] {
            assert!(refused.contains(part), "{part}: {refused}");
        }
    }
    assert!(before == content(), "a file was made, changed or taken away");
}

/// The journal's format is known, but a run in it was begun by a gantry that makes something else of the same events.
#[tokio::test]
async fn a_run_of_newer_semantics_is_refused_and_left_as_it_is_and_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let asks = "steps: [{id: ask, step_type: input, prompt: well}]";
    let world = World::with(Arc::new(Sqlite::open(dir.path()).unwrap()));
    let [newer, other] = [world.start(asks, json!({"n": 1})).await, world.start(asks, json!({"n": 2})).await];
    for run in [&newer, &other] {
        world.until(run, "the question", |snapshot| snapshot.status == RunStatus::InputRequired).await;
    }
    world.engine.shutdown(std::time::Duration::from_secs(5)).await;
    drop(world);

    let db = Connection::open(dir.path().join("journal.sqlite3")).unwrap();
    let next = gantry::interpreter::SEMANTICS + 1;
    let changed = db.execute(
        "UPDATE events SET body = CAST(replace(CAST(body AS TEXT), ?1, ?2) AS BLOB) \
         WHERE id = (SELECT id FROM runs WHERE run = ?3) AND instr(CAST(body AS TEXT), ?1) > 0",
        [format!("\"semantics\":{}", next - 1), format!("\"semantics\":{next}"), newer.to_string()],
    );
    assert_eq!(changed.unwrap(), 1);
    let content = || {
        let mut rows = db.prepare("SELECT seq, body FROM events WHERE id = (SELECT id FROM runs WHERE run = ?1) ORDER BY seq").unwrap();
        let rows = rows.query_map([newer.as_str()], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let events: Vec<(i64, Vec<u8>)> = rows.map(Result::unwrap).collect();
        let status: String = db.query_row("SELECT status FROM runs WHERE run = ?1", [newer.as_str()], |row| row.get(0)).unwrap();
        (events, status)
    };
    let before = content();

    let world = World::with(Arc::new(Sqlite::open(dir.path()).unwrap()));
    world.engine.recover().await.unwrap();
    let refusal = format!("interpreter semantics {next}, newer than this version's");
    let said = |error: gantry::engine::Error| error.to_string();
    assert!(said(world.engine.snapshot(&newer).await.unwrap_err()).contains(&refusal));
    // Whoever wants to change it is refused, and so is the next one.
    for _ in 0..2 {
        let answered = world.engine.answer(&newer, None, Arc::new(json!("yes"))).await.unwrap_err();
        assert!(said(answered).contains(newer.as_str()));
        world.engine.cancel(&newer, "no").await.unwrap_err();
        assert!(said(world.engine.retry(&newer, BTreeMap::new()).await.unwrap_err()).contains(newer.as_str()));
    }
    world.engine.answer(&other, None, Arc::new(json!("yes"))).await.unwrap();
    assert_eq!(output(&world.end(&other).await), "yes");
    let listed = world.engine.list(&Filter { unfinished: true, ..Filter::default() }).await.unwrap();
    assert_eq!(listed.iter().map(|run| &run.run).collect::<Vec<_>>(), [&newer], "it is still there to be seen");
    world.engine.shutdown(std::time::Duration::from_secs(5)).await;
    assert!(content() == before, "not one event was added or changed, and its status is what it was");
}
