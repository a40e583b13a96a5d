//! Starting runs: keys that make a repeat harmless, inputs that do not fit, lists, and an engine that is full or stopping.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gantry::agent::Client;
use gantry::engine::embedded::{Embedded, Options};
use gantry::engine::{Engine, Error, Filter, Start};
use gantry::ids::RunId;
use gantry::interpreter::{ErrorClass, Event, RunStatus};
use gantry::journal::{self, Created, Header, Journal, Memory, Progress, Record, Sqlite};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::agent::{Act, Agent, Gate, Speaks};
use super::world::{World, client_options, failure, output};

const ECHO: &str = "steps:\n  - {id: only, skill: echo, inputs: {n: \"{{ workflow.input.n }}\"}}";

fn keyed(world: &World, yaml: &str, input: Value, key: &str) -> Start {
    Start { idempotency_key: Some(key.to_owned()), ..Start::new(world.plan(yaml), Arc::new(input)) }
}

fn journals() -> [(Arc<dyn Journal>, Option<tempfile::TempDir>); 2] {
    let dir = tempfile::tempdir().unwrap();
    let sqlite = Arc::new(Sqlite::open(dir.path()).unwrap());
    [(Arc::new(Memory::default()), None), (sqlite, Some(dir))]
}

#[tokio::test]
async fn the_same_key_gives_the_same_run() {
    let agent = Agent::plain("echo", &["echo"], |call| call.inputs.clone()).await;
    for (journal, _dir) in journals() {
        let world = World::with(journal);
        world.meet(&[&agent]);
        let before = agent.look(|seen| seen.calls.len());
        let first = world.engine.start(keyed(&world, ECHO, json!({"n": 1}), "k")).await.unwrap();
        let again = world.engine.start(keyed(&world, ECHO, json!({"n": 1}), "k")).await.unwrap();
        assert_eq!((first.new, again.new, &again.run), (true, false, &first.run));
        world.end(&first.run).await;
        let after_its_end = world.engine.start(keyed(&world, ECHO, json!({"n": 1}), "k")).await.unwrap();
        assert_eq!((after_its_end.new, &after_its_end.run), (false, &first.run));
        assert_eq!(agent.look(|seen| seen.calls.len()) - before, 1);
        for (what, other) in [
            ("another workflow", keyed(&world, "steps: []", json!({"n": 1}), "k")),
            ("another input", keyed(&world, ECHO, json!({"n": 2}), "k")),
        ] {
            let error = world.engine.start(other).await.unwrap_err();
            assert!(matches!(&error, Error::KeyReused(key) if key == "k"), "{what}: {error}");
        }
        let other_key = world.engine.start(keyed(&world, ECHO, json!({"n": 1}), "k2")).await.unwrap();
        assert!(other_key.new);
        world.end(&other_key.run).await;
    }
}

/// A caller that hangs up drops the start in the middle: the run is accepted and driven to its end, or was never there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_is_given_up_leaves_no_run_that_nobody_drives() {
    let agent = Agent::plain("echo", &["echo"], |call| call.inputs.clone()).await;
    for (journal, _dir) in journals() {
        let world = World::with(journal);
        world.meet(&[&agent]);
        for n in 0..100_u64 {
            let (engine, start) = (world.engine.clone(), keyed(&world, ECHO, json!({"n": n}), &format!("k{n}")));
            let starting = tokio::spawn(async move { engine.start(start).await.map(drop) });
            // From before it is asked for to after it is stored.
            tokio::time::sleep(Duration::from_micros(n * 20)).await;
            starting.abort();
            let _ = starting.await;
        }
        let all_ended = async {
            while world.engine.list(&Filter::default()).await.unwrap().iter().any(|run| !run.status.is_terminal()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(super::agent::PATIENCE, all_ended).await.expect("every run that was accepted ends");
    }
}

/// Says that a run is stored when the test lets it, and not before.
#[derive(Debug)]
struct Late {
    memory: Memory,
    stored: Arc<tokio::sync::Notify>,
    gate: Gate,
}

#[async_trait::async_trait]
impl Journal for Late {
    fn is_durable(&self) -> bool {
        true
    }

    async fn create(&self, header: Header, first: Event) -> Result<Created, journal::Error> {
        let created = self.memory.create(header, first).await;
        self.stored.notify_one();
        self.gate.pass().await;
        created
    }

    async fn advance(&self, run: &RunId, events: &[Event], progress: Progress) -> Result<(), journal::Error> {
        self.memory.advance(run, events, progress).await
    }

    async fn record(&self, run: &RunId) -> Result<Record, journal::Error> {
        self.memory.record(run).await
    }

    async fn first(&self, run: &RunId) -> Result<Event, journal::Error> {
        self.memory.first(run).await
    }

    async fn find(&self, key: &str) -> Result<Option<RunId>, journal::Error> {
        self.memory.find(key).await
    }

    async fn events(&self, run: &RunId) -> Result<Vec<Event>, journal::Error> {
        self.memory.events(run).await
    }

    async fn list(&self) -> Result<Vec<Record>, journal::Error> {
        self.memory.list().await
    }

    async fn unfinished(&self) -> Result<Vec<Record>, journal::Error> {
        self.memory.unfinished().await
    }
}

#[tokio::test]
async fn of_two_starts_with_one_key_the_second_has_the_run_whose_first_starter_hung_up() {
    for hangs_up in [true, false] {
        let agent = Agent::plain("echo", &["echo"], |call| call.inputs.clone()).await;
        let (stored, gate) = (Arc::new(tokio::sync::Notify::new()), Gate::new());
        let world = World::with(Arc::new(Late { memory: Memory::default(), stored: Arc::clone(&stored), gate: gate.clone() }));
        world.meet(&[&agent]);
        let start = || {
            let (engine, start) = (world.engine.clone(), keyed(&world, ECHO, json!({"n": 1}), "k"));
            tokio::spawn(async move { engine.start(start).await.unwrap() })
        };
        let first = start();
        stored.notified().await;
        let second = start();
        stored.notified().await;
        if hangs_up {
            // In the middle: the run is in the journal, and its starter does not know.
            first.abort();
            assert!(first.await.unwrap_err().is_cancelled());
            gate.open();
        } else {
            gate.open();
            let first = first.await.unwrap();
            assert!(first.new);
        }
        let second = second.await.unwrap();
        assert!(!second.new);
        assert_eq!(output(&world.end(&second.run).await), &json!({"n": 1}), "it is driven, whoever started it");
        assert_eq!(world.engine.list(&Filter::default()).await.unwrap().len(), 1);
        assert_eq!(agent.look(|seen| seen.calls.len()), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_starts_at_once_with_one_key_are_one_run() {
    let agent = Agent::plain("echo", &["echo"], |call| call.inputs.clone()).await;
    for (journal, _dir) in journals() {
        let world = World::with(journal);
        world.meet(&[&agent]);
        let before = agent.look(|seen| seen.calls.len());
        let mut starts = JoinSet::new();
        for _ in 0..64 {
            let (engine, start) = (world.engine.clone(), keyed(&world, ECHO, json!({"n": 1}), "k"));
            starts.spawn(async move { engine.start(start).await.unwrap() });
        }
        let started = starts.join_all().await;
        assert_eq!(started.iter().filter(|started| started.new).count(), 1);
        assert!(started.iter().all(|one| one.run == started[0].run));
        assert_eq!(output(&world.end(&started[0].run).await), &json!({"n": 1}));
        assert_eq!(world.engine.list(&Filter::default()).await.unwrap().len(), 1);
        assert_eq!(agent.look(|seen| seen.calls.len()) - before, 1);
    }
}

#[tokio::test]
async fn an_input_that_does_not_fit_is_refused_with_every_problem_and_no_run() {
    let world = World::new();
    let yaml = "input: {type: object, required: [name], properties: {age: {type: integer}}}\nsteps: []";
    let error = world.try_start(yaml, json!({"age": "x"})).await.unwrap_err();
    let Error::InvalidInput(problems) = &error else { panic!("{error}") };
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(error.to_string().contains("name") && error.to_string().contains("input.age"), "{error}");
    assert!(world.engine.list(&Filter::default()).await.unwrap().is_empty());
    assert!(world.try_start(yaml, json!({"name": "n", "age": 3})).await.is_ok());
}

#[tokio::test]
async fn an_engine_that_is_full_says_so_and_takes_runs_again() {
    let gate = Gate::new();
    let closed = gate.clone();
    let agent = Agent::start("gated", &["echo"], Speaks::Plain, move |_| Act::Reply(json!(1)).behind(&closed)).await;
    let world = World::knowing(&[&agent]);
    let options = Options { runs_max: 2, ..Options::default() };
    let engine = Embedded::new(options, Arc::clone(&world.discovery), Client::new(client_options()), Arc::new(Memory::default()));
    let start = || engine.start(Start::new(world.plan(ECHO), Arc::new(json!({"n": 1}))));
    let (first, second) = (start().await.unwrap().run, start().await.unwrap().run);
    let full = start().await.unwrap_err();
    assert!(matches!(&full, Error::Busy(said) if said.contains("2 runs")), "{full}");
    gate.open();
    super::world::end(&engine, &first).await;
    super::world::end(&engine, &second).await;
    assert!(start().await.is_ok());
}

#[tokio::test]
async fn lists_filter_by_workflow_status_label_and_time() {
    let agent = Agent::start("echo", &["echo"], Speaks::Plain, |_| Act::Fail("no".to_owned())).await;
    let world = World::knowing(&[&agent]);
    let good = Start { labels: [("who".to_owned(), "ada".to_owned())].into(), ..Start::new(world.plan("steps: []"), Arc::new(json!({}))) };
    let good = world.engine.start(good).await.unwrap().run;
    let other = "metadata: {id: other, name: O, version: 2.0.0}\n";
    let bad = world.start(&format!("{other}{ECHO}"), json!({"n": 1})).await;
    world.end(&good).await;
    world.end(&bad).await;
    let list =
        async |filter: Filter| world.engine.list(&filter).await.unwrap().into_iter().map(|line| line.run.to_string()).collect::<Vec<_>>();
    assert_eq!(list(Filter { workflow: Some("other".to_owned()), ..Filter::default() }).await, [bad.as_str()]);
    assert_eq!(list(Filter { status: Some(RunStatus::Completed), ..Filter::default() }).await, [good.as_str()]);
    assert_eq!(list(Filter { status: Some(RunStatus::Canceled), ..Filter::default() }).await, Vec::<String>::new());
    assert_eq!(list(Filter { labels: [("who".to_owned(), "ada".to_owned())].into(), ..Filter::default() }).await, [good.as_str()]);
    assert_eq!(list(Filter { labels: [("who".to_owned(), "eve".to_owned())].into(), ..Filter::default() }).await, Vec::<String>::new());
    let newest = world.engine.list(&Filter::default()).await.unwrap()[0].changed_at;
    assert_eq!(list(Filter { changed_after: Some(newest), ..Filter::default() }).await, Vec::<String>::new());
    let unknown = gantry::ids::RunId::parse("nobody").unwrap();
    for error in [
        world.engine.snapshot(&unknown).await.unwrap_err(),
        world.engine.subscribe(&unknown).await.unwrap_err(),
        world.engine.summary(&unknown).await.unwrap_err(),
        world.engine.cancel(&unknown, "x").await.unwrap_err(),
        world.engine.answer(&unknown, None, Arc::new(json!(1))).await.unwrap_err(),
    ] {
        assert!(matches!(&error, Error::NotFound(run) if *run == unknown), "{error}");
    }
}

#[tokio::test]
async fn shutdown_with_a_journal_in_memory_cancels_runs_and_tells_agents() {
    let v1 = Agent::start("v1", &["v1_work"], Speaks::A2a1, |_| Act::Hang).await;
    let plain = Agent::start("plain", &["plain_work"], Speaks::Plain, |_| Act::Hang).await;
    let tells = Agent::plain("tells", &["tell"], |call| call.inputs.clone()).await;
    let world = World::knowing(&[&v1, &plain, &tells]);
    let handlers = "error_handling: {on_cancel: [{id: say, skill: tell, inputs: {why: \"{{ run.error.message }}\"}}]}";
    let one = world.start(&format!("steps:\n  - {{id: only, skill: v1_work}}\n{handlers}"), json!({})).await;
    let two = world.start("steps:\n  - {id: only, skill: plain_work}", json!({})).await;
    v1.until("its call", |seen| seen.calls.len() == 1).await;
    plain.until("its call", |seen| seen.calls.len() == 1).await;
    assert_eq!(world.engine.shutdown(Duration::from_secs(10)).await, 0);
    // Told before shutdown returned, not at some time after it.
    assert_eq!(v1.look(|seen| seen.canceled.clone()), ["task-1"]);
    plain.until("its caller hang up", |seen| seen.hung_up == 1).await;
    for run in [&one, &two] {
        assert_eq!(world.engine.snapshot(run).await.unwrap().status, RunStatus::Canceled);
    }
    assert_eq!(tells.look(|seen| seen.inputs("tell")), [json!({"why": "gantry is shutting down"})]);
    let refused = world.try_start("steps: []", json!({})).await.unwrap_err();
    assert!(matches!(refused, Error::ShuttingDown), "{refused}");
}

/// Every way to start a run, and every answer: the bound is the engine's own.
#[tokio::test]
async fn inputs_and_answers_over_the_bound_are_refused_with_its_name() {
    const NAME: &str = "RUN_INPUT_BYTES_MAX";
    let text = |bytes: usize| json!("x".repeat(bytes - 2));
    let max = gantry::limits::RUN_INPUT_BYTES_MAX;
    let agent = Agent::plain("large", &["large"], |_| json!("x".repeat(2_500_000))).await;
    let world = World::knowing(&[&agent]);
    let refused = world.try_start("steps: []", text(max + 1)).await.unwrap_err();
    assert!(
        matches!(&refused, Error::InvalidInput(problems) if problems[0].starts_with("input: ") && problems[0].contains(NAME)),
        "{refused}"
    );
    world.end(&world.start("steps: []", text(max)).await).await;
    assert_eq!(world.engine.list(&Filter::default()).await.unwrap().len(), 1, "what is refused was never there");

    world.push_workflow("metadata: {id: below, name: B, version: 1.0.0}\nsteps: []").await;
    let inputs = "{a: \"{{ steps.a.outputs }}\", b: \"{{ steps.a.outputs }}\"}";
    for step in [
        format!("{{id: sub, step_type: workflow, workflow: below, inputs: {inputs}}}"),
        format!("{{id: sub, skill: execute_workflow, inputs: {{workflow_id: below, input: {inputs}}}}}"),
    ] {
        let ended = world.run(&format!("steps:\n  - {{id: a, skill: large}}\n  - {step}"), json!({})).await;
        let error = failure(&ended);
        assert_eq!((error.code, error.message.contains(NAME)), (ErrorClass::InvalidInput, true), "{error}");
    }

    let asks = "steps:\n  - {id: first, step_type: input, prompt: one}\n  - {id: second, step_type: input, prompt: two}";
    let run = world.start(asks, json!({})).await;
    world.until(&run, "the question", |snapshot| snapshot.status == RunStatus::InputRequired).await;
    for step in [None, Some("first"), Some("second")] {
        let refused = world.engine.answer(&run, step, Arc::new(text(max + 1))).await.unwrap_err();
        assert!(
            matches!(&refused, Error::InvalidInput(problems) if problems[0].starts_with("answer: ") && problems[0].contains(NAME)),
            "{refused}"
        );
    }
    world.engine.answer(&run, Some("second"), Arc::new(json!("early"))).await.unwrap();
    world.engine.answer(&run, None, Arc::new(text(max))).await.unwrap();
    assert_eq!(output(&world.end(&run).await), "early");
}

/// An id that a run has is no other run's: the first goes on, can be reached, and is the only one.
#[tokio::test]
async fn an_id_that_a_run_has_is_not_given_to_another() {
    let gate = Gate::new();
    let closed = gate.clone();
    let agent = Agent::start("echo", &["echo"], Speaks::Plain, move |call| Act::Reply(call.inputs.clone()).behind(&closed)).await;
    for (journal, _dir) in journals() {
        let world = World::with(Arc::clone(&journal));
        world.meet(&[&agent]);
        let before = agent.look(|seen| seen.calls.len());
        let id = RunId::parse("given").unwrap();
        let given = |n: u64, key: Option<&str>| Start {
            run: Some(id.clone()),
            idempotency_key: key.map(str::to_owned),
            ..Start::new(world.plan(ECHO), Arc::new(json!({"n": n})))
        };
        assert!(world.engine.start(given(1, Some("k"))).await.unwrap().new);
        agent.until("the first call", |seen| seen.calls.len() == before + 1).await;
        let refused = world.engine.start(given(2, None)).await.unwrap_err();
        assert!(refused.to_string().contains("`given`"), "{refused}");
        let again = world.engine.start(given(1, Some("k"))).await.unwrap();
        assert_eq!((again.new, &again.run), (false, &id), "its own key still finds it");
        assert_eq!(world.engine.counts().awake, 1);
        world.engine.cancel(&id, "it can be reached").await.unwrap();
        assert_eq!(world.end(&id).await.status, RunStatus::Canceled);
        let ended = world.engine.start(given(3, None)).await.unwrap_err();
        assert!(matches!(&ended, Error::Journal(_)), "{ended}");
        let events = journal.events(&id).await.unwrap();
        assert!(matches!(&events[0], Event::Started { input, .. } if **input == json!({"n": 1})), "{events:?}");
        assert_eq!((agent.look(|seen| seen.calls.len()) - before, world.engine.counts().awake), (1, 0));
    }
    gate.open();
}

/// A retry is a start, too: what has not ended is not tried again, and what keeps others out keeps it out.
#[tokio::test]
async fn a_retry_is_refused_while_its_run_goes_on_and_when_there_is_no_place_for_it() {
    let gate = Gate::new();
    let closed = gate.clone();
    let agent = Agent::start("gated", &["echo"], Speaks::Plain, move |_| Act::Reply(json!(1)).behind(&closed)).await;
    for (journal, _dir) in journals() {
        let world = World::knowing(&[&agent]);
        let options = Options { runs_max: 1, ..Options::default() };
        let engine = Embedded::new(options, Arc::clone(&world.discovery), Client::new(client_options()), journal);
        let start = async || engine.start(Start::new(world.plan(ECHO), Arc::new(json!({"n": 1})))).await.unwrap().run;
        let retry = async |run: &RunId| engine.retry(run, BTreeMap::new()).await;

        let first = start().await;
        let busy = retry(&first).await.unwrap_err();
        assert!(matches!(&busy, Error::Busy(said) if said == "1 runs are under way, which is the limit; try again later"), "{busy}");
        engine.cancel(&first, "enough").await.unwrap();
        super::world::end(&engine, &first).await;
        let second = start().await;
        assert!(matches!(retry(&first).await, Err(Error::Busy(_))), "the only place is taken");
        engine.cancel(&second, "enough").await.unwrap();
        super::world::end(&engine, &second).await;
        assert_eq!(engine.list(&Filter::default()).await.unwrap().len(), 2, "what was refused was never there");

        let again = retry(&first).await.unwrap();
        assert!(again.new);
        engine.cancel(&again.run, "enough").await.unwrap();
        super::world::end(&engine, &again.run).await;
        assert_eq!(engine.shutdown(Duration::from_secs(10)).await, 0);
        for run in [&first, &again.run, &RunId::parse("nobody").unwrap()] {
            let refused = retry(run).await.unwrap_err();
            assert!(matches!(refused, Error::ShuttingDown), "{refused}");
        }
    }
    gate.open();
}

#[tokio::test]
async fn a_run_that_has_not_ended_is_not_retried_whether_it_works_or_waits() {
    let gate = Gate::new();
    let closed = gate.clone();
    let agent = Agent::start("gated", &["echo"], Speaks::Plain, move |_| Act::Reply(json!(1)).behind(&closed)).await;
    for (journal, _dir) in journals() {
        let world = World::with(journal);
        world.meet(&[&agent]);
        for (yaml, status, named) in [
            (ECHO, RunStatus::Running, "running"),
            ("steps:\n  - {id: ask, step_type: input, prompt: yes?}", RunStatus::InputRequired, "input_required"),
        ] {
            let run = world.start(yaml, json!({"n": 1})).await;
            world.until(&run, named, |now| now.status == status).await;
            let refused = world.engine.retry(&run, BTreeMap::new()).await.unwrap_err();
            assert!(matches!(refused, Error::NotRetryable { .. }), "{refused}");
            assert_eq!(refused.to_string(), format!("run `{run}` cannot be retried: it has not ended ({named})"));
            assert_eq!(world.engine.snapshot(&run).await.unwrap().status, status, "it goes on");
            world.engine.cancel(&run, "enough").await.unwrap();
            world.end(&run).await;
            assert!(world.engine.retry(&run, BTreeMap::new()).await.unwrap().new);
        }
    }
    gate.open();
}
