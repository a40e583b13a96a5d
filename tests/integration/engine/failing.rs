//! A journal whose writes fail, though there is space: what was not stored has not happened. The run stops, nobody is told that it has
//! come to something, and the next start goes on with it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gantry::agent::Client;
use gantry::engine::embedded::{Embedded, Options, Recovered};
use gantry::engine::{Engine, Error, Next};
use gantry::ids::RunId;
use gantry::interpreter::{Event, RunStatus};
use gantry::journal::{self, Journal};
use gantry::limits;
use serde_json::json;
use tokio::time::Instant;

use super::agent::{Agent, PATIENCE};
use super::world::{World, client_options, end, output};
use crate::faulty::{Asked, Faulty, broken};

const TWO: &str = "metadata: {id: two, name: T, version: 1.0.0}\nsteps: [{id: a, skill: s}, {id: b, skill: s}]";

/// Replies cannot be stored.
fn stores_no_reply(asked: Asked<'_>) -> Option<journal::Error> {
    match asked {
        Asked::Append(_, events) if events.iter().any(|event| matches!(event, Event::Replied { .. })) => Some(broken()),
        Asked::Append(..) | Asked::Create(_) | Asked::Read(_) => None,
    }
}

fn world(journal: &Arc<Faulty>, agents: &[&Agent]) -> World {
    let world = World::with(Arc::clone(journal) as Arc<dyn Journal>);
    world.meet(agents);
    world
}

/// Another engine on the same journal, as after a restart.
fn next_start(world: &World) -> Embedded {
    Embedded::new(Options::default(), Arc::clone(&world.discovery), Client::new(client_options()), Arc::clone(&world.journal))
}

/// Waits until the engine has let go of every run.
async fn idle(engine: &Embedded) {
    let wait = async {
        while engine.counts().awake > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("the runs stop");
}

#[tokio::test]
async fn a_run_that_is_not_stored_is_not_accepted() {
    let agent = Agent::plain("a", &["s"], |call| json!(call.before)).await;
    let journal = Arc::new(Faulty::default());
    let world = world(&journal, &[&agent]);
    journal.refuse(|asked| matches!(asked, Asked::Create(_)).then(broken));
    let error = world.try_start(TWO, json!({})).await.unwrap_err();
    assert!(matches!(&error, Error::Journal(why) if why.contains("disk I/O error")), "{error}");
    assert_eq!(world.engine.counts().awake, 0, "nothing is left of it");
    journal.heal();
    assert_eq!(output(&world.run(TWO, json!({})).await), &json!(1));
    assert_eq!(agent.look(|seen| seen.calls.len()), 2, "the other one called nobody");
}

#[tokio::test]
async fn a_run_whose_event_is_not_stored_stops_and_goes_on_at_the_next_start() {
    let agent = Agent::plain("a", &["s"], |call| json!(call.before)).await;
    let journal = Arc::new(Faulty::default());
    let world = world(&journal, &[&agent]);
    journal.refuse(stores_no_reply);
    let run = world.start(TWO, json!({})).await;
    let waited = tokio::time::timeout(PATIENCE, world.engine.wait(&run)).await.expect("nobody waits for ever");
    if let Ok(snapshot) = waited {
        assert_eq!((snapshot.status, snapshot.outcome), (RunStatus::Running, None), "it has come to nothing");
    }
    idle(&world.engine).await;
    let mut watched = world.engine.subscribe(&run).await.unwrap();
    assert!(matches!(watched.next().await, Next::End) && watched.snapshot.outcome.is_none());
    let error = world.engine.cancel(&run, "x").await.unwrap_err();
    assert!(matches!(&error, Error::Journal(why) if why.contains("stopped before its end")), "{error}");
    assert_eq!(agent.look(|seen| seen.calls.len()), 1, "nothing follows from what is not stored");

    journal.heal();
    let next = next_start(&world);
    assert_eq!(next.recover().await.unwrap(), Recovered { resumed: 1, stuck: Vec::new() });
    assert_eq!(output(&end(&next, &run).await), &json!(2));
    let ids = agent.look(|seen| seen.message_ids("s"));
    assert!(ids.len() == 3 && ids[0] == ids[1] && ids[1] != ids[2], "the call that had no reply is the one that is made again: {ids:?}");
}

#[tokio::test]
async fn a_run_whose_child_stopped_stops_with_it_and_both_go_on() {
    let agent = Agent::plain("a", &["s"], |call| json!(call.before)).await;
    let journal = Arc::new(Faulty::default());
    let world = world(&journal, &[&agent]);
    world.push_workflow(TWO).await;
    // The parent could store that its step failed, and a repetition of it would be another child.
    journal.refuse(|asked| if matches!(asked, Asked::Append("two", _)) { stores_no_reply(asked) } else { None });
    let retry = "retry: {max_attempts: 3, initial: 1ms, factor: 1, max: 1ms, jitter: false, on: [unavailable]}";
    let parent = format!("steps: [{{id: sub, step_type: workflow, workflow: two, inputs: {{}}, {retry}}}]");
    let run = world.start(&parent, json!({})).await;
    idle(&world.engine).await;
    assert_eq!(journal.record(&run).await.unwrap().status, RunStatus::Running, "it has not failed");
    assert_eq!(journal.list().await.unwrap().len(), 2, "there is no second child");

    journal.heal();
    let next = next_start(&world);
    assert_eq!(next.recover().await.unwrap(), Recovered { resumed: 2, stuck: Vec::new() });
    assert_eq!(output(&end(&next, &run).await), &json!(2));
    assert_eq!(journal.list().await.unwrap().len(), 2);
    assert_eq!(agent.look(|seen| seen.calls.len()), 3, "one call was made again");
}

#[tokio::test]
async fn a_run_that_cannot_be_read_at_a_start_is_told_and_keeps_no_other_from_going_on() {
    let agent = Agent::plain("a", &["s"], |call| json!(call.before)).await;
    let journal = Arc::new(Faulty::default());
    let world = world(&journal, &[&agent]);
    journal.refuse(stores_no_reply);
    let good = world.start(TWO, json!({})).await;
    let bad = world.start(&TWO.replace("id: two", "id: bad"), json!({})).await;
    idle(&world.engine).await;
    let damaged = journal::Error::Damaged { run: bad.clone(), what: "event 1 cannot be read".to_owned() };
    journal.refuse(move |asked| matches!(asked, Asked::Read("bad")).then(|| damaged.clone()));
    let next = next_start(&world);
    assert_eq!(next.recover().await.unwrap(), Recovered { resumed: 1, stuck: vec![bad.clone()] });
    assert_eq!(end(&next, &good).await.status, RunStatus::Completed);
    let error = next.snapshot(&bad).await.unwrap_err();
    assert!(error.to_string().contains("event 1 cannot be read"), "{error}");
    assert_eq!(journal.record(&bad).await.unwrap().status, RunStatus::Running, "it is let be");
}

/// The first so many reads of runs of a workflow fail with this.
fn reads_later(journal: &Faulty, workflow: &'static str, reads: usize, error: journal::Error) {
    let read = AtomicUsize::new(0);
    let fails = move || read.fetch_add(1, Ordering::SeqCst) < reads;
    journal.refuse(move |asked| (matches!(asked, Asked::Read(of) if of == workflow) && fails()).then(|| error.clone()));
}

/// A run whose step started another, which rests for an hour, when gantry has stopped.
async fn stopped_above_one_that_rests(journal: &Arc<Faulty>) -> (World, RunId, RunId) {
    let mut world = world(journal, &[]);
    world.engine = resting_soon(&world);
    world.push_workflow("metadata: {id: long, name: L, version: 1.0.0}\nsteps: [{id: wait, step_type: wait, for: 1h}]").await;
    let run = world.start("steps: [{id: sub, step_type: workflow, workflow: long, inputs: {}}]", json!({})).await;
    until(&world.engine, 1, 1).await;
    let child = journal.list().await.unwrap().into_iter().map(|record| record.header.run).find(|child| *child != run).unwrap();
    world.engine.shutdown(Duration::from_secs(1)).await;
    world.engine = resting_soon(&world);
    (world, run, child)
}

fn resting_soon(world: &World) -> Embedded {
    let options = Options { rest_after: Duration::from_millis(20), ..Options::default() };
    Embedded::new(options, Arc::clone(&world.discovery), Client::new(client_options()), Arc::clone(&world.journal))
}

async fn until(engine: &Embedded, awake: usize, resting: usize) {
    let wait = async {
        while (engine.counts().awake, engine.counts().resting) != (awake, resting) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.unwrap_or_else(|_| panic!("never {awake} awake and {resting} at rest, but {:?}", engine.counts()));
}

#[tokio::test]
async fn a_run_below_that_cannot_be_read_for_a_moment_is_waited_for() {
    for reads in [1, 2, 5] {
        let journal = Arc::new(Faulty::default());
        let (world, run, child) = stopped_above_one_that_rests(&journal).await;
        reads_later(&journal, "long", reads, broken());
        let before = journal.refused();
        assert_eq!(world.engine.recover().await.unwrap(), Recovered { resumed: 2, stuck: Vec::new() });
        let all_failed = async {
            while journal.refused() < before + reads {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, all_failed).await.expect("it is read again");
        // Neither has stopped, nor failed.
        until(&world.engine, 1, 1).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        world.engine.cancel(&run, "enough").await.unwrap();
        for run in [&run, &child] {
            assert_eq!(end(&world.engine, run).await.status, RunStatus::Canceled, "{reads} reads");
        }
        assert_eq!(journal.list().await.unwrap().len(), 2, "there is no second child");
    }
}

#[tokio::test]
async fn a_run_below_that_is_damaged_stops_the_run_above_until_it_can_be_read() {
    let journal = Arc::new(Faulty::default());
    let (world, run, child) = stopped_above_one_that_rests(&journal).await;
    let damaged = journal::Error::Damaged { run: child.clone(), what: "event 1 cannot be read".to_owned() };
    reads_later(&journal, "long", usize::MAX, damaged);
    world.engine.recover().await.unwrap();
    idle(&world.engine).await;
    assert_eq!(journal.record(&run).await.unwrap().status, RunStatus::Running, "it has not failed");

    journal.heal();
    let next = next_start(&world);
    assert_eq!(next.recover().await.unwrap(), Recovered { resumed: 2, stuck: Vec::new() });
    next.cancel(&run, "enough").await.unwrap();
    assert_eq!(end(&next, &child).await.status, RunStatus::Canceled);
}

/// A run that waits for one below it, which asks. Both rest.
async fn above_one_that_asks(journal: &Arc<Faulty>) -> (World, RunId) {
    let mut world = world(journal, &[]);
    world.engine = resting_soon(&world);
    world.push_workflow("metadata: {id: asks, name: A, version: 1.0.0}\nsteps: [{id: ask, step_type: input, prompt: x}]").await;
    let run = world.start("steps: [{id: sub, step_type: workflow, workflow: asks, inputs: {}}]", json!({})).await;
    until(&world.engine, 0, 2).await;
    (world, run)
}

#[tokio::test]
async fn an_answer_to_a_run_below_waits_until_that_can_be_read() {
    let journal = Arc::new(Faulty::default());
    let (world, run) = above_one_that_asks(&journal).await;
    reads_later(&journal, "asks", 3, broken());
    world.engine.answer(&run, None, Arc::new(json!("yes"))).await.unwrap();
    let ended = end(&world.engine, &run).await;
    assert_eq!((ended.status, journal.refused()), (RunStatus::Completed, 3));
}

/// Looks in vain at a run below that meet both bounds on the rests between them.
const LOOKS: usize = 10;

/// Runs of a workflow cannot be read for so many looks, each of which may read more than once. Gives the moments of the looks.
fn read_in_vain(journal: &Faulty, workflow: &'static str) -> Arc<Mutex<Vec<Instant>>> {
    let seen: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let noted = Arc::clone(&seen);
    journal.refuse(move |asked| {
        if !matches!(asked, Asked::Read(of) if of == workflow) {
            return None;
        }
        let (mut noted, now) = (noted.lock().unwrap(), Instant::now());
        let is_same_look = noted.last() == Some(&now);
        if !is_same_look && noted.len() < LOOKS {
            noted.push(now);
        }
        (noted.last() == Some(&now)).then(broken)
    });
    seen
}

/// Between one look in vain and the next the rests double, up to the longest.
fn rests_grow(seen: &[Instant]) {
    assert_eq!(seen.len(), LOOKS);
    let mut expected = vec![limits::RUN_READ_REST];
    while expected.len() < seen.len() - 1 {
        expected.push((expected[expected.len() - 1] * 2).min(limits::RUN_READ_REST_MAX));
    }
    assert_eq!(expected[expected.len() - 2..], [limits::RUN_READ_REST_MAX; 2], "the longest is met");
    let rests: Vec<_> = seen.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // The clock stands still but for timers, which count whole milliseconds.
    let differ = |(rest, expected): (&Duration, &Duration)| rest.abs_diff(*expected) > Duration::from_millis(5);
    assert!(!rests.iter().zip(&expected).any(differ), "{rests:?} and not {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_below_that_cannot_be_read_is_looked_at_less_and_less_often() {
    let journal = Arc::new(Faulty::default());
    let (world, run, _) = stopped_above_one_that_rests(&journal).await;
    let seen = read_in_vain(&journal, "long");
    world.engine.recover().await.unwrap();
    until(&world.engine, 1, 1).await;
    let all = async {
        while seen.lock().unwrap().len() < LOOKS {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("it is read again");
    rests_grow(&seen.lock().unwrap());
    world.engine.cancel(&run, "enough").await.unwrap();
    assert_eq!(end(&world.engine, &run).await.status, RunStatus::Canceled);
}

#[tokio::test(start_paused = true)]
async fn an_answer_looks_for_the_run_that_it_is_for_less_and_less_often() {
    let journal = Arc::new(Faulty::default());
    let (world, run) = above_one_that_asks(&journal).await;
    let seen = read_in_vain(&journal, "asks");
    world.engine.answer(&run, None, Arc::new(json!("yes"))).await.unwrap();
    let ends = async {
        while !world.engine.snapshot(&run).await.unwrap().status.is_terminal() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ends).await.expect("it is given");
    assert_eq!(output(&world.engine.snapshot(&run).await.unwrap()), &json!("yes"));
    rests_grow(&seen.lock().unwrap());
}

#[tokio::test]
async fn a_run_that_cannot_be_read_for_a_moment_at_a_start_goes_on_by_itself() {
    let agent = Agent::plain("a", &["s"], |call| json!(call.before)).await;
    let journal = Arc::new(Faulty::default());
    let world = world(&journal, &[&agent]);
    journal.refuse(stores_no_reply);
    let run = world.start(TWO, json!({})).await;
    idle(&world.engine).await;
    reads_later(&journal, "two", 1, broken());
    let next = next_start(&world);
    assert_eq!(next.recover().await.unwrap(), Recovered { resumed: 1, stuck: Vec::new() });
    assert_eq!(output(&end(&next, &run).await), &json!(2));
}
