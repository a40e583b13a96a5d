//! The bounds of the engine, by a clock that stands still while anybody has something to do. What a bound is by default is met here; what
//! can be set is met elsewhere, and here it is told that the default is the bound.

mod references;

use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::*;
use crate::discovery;
use crate::engine::{Next, OwnReply};
use crate::ids::{Digest, SkillId, StepId};
use crate::interpreter::{ErrorClass, Invocation, Outcome, SEMANTICS, StepError, StepStatus};
use crate::journal::{Created, Memory, Progress, Record};
use crate::plan::Path;
use crate::registry::{Layout, Store};

const ASK: &str = "steps: [{id: ask, step_type: input, prompt: yes?}]";

/// A journal that keeps everything in memory, when it wants to, and notes what it was asked for.
#[derive(Debug)]
struct Odd {
    memory: Memory,
    mood: watch::Sender<Mood>,
    /// When something was to be appended.
    appended: Mutex<Vec<Instant>>,
    reading: AtomicUsize,
    reading_most: AtomicUsize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Good,
    Full,
    /// Says nothing until the mood is better.
    Silent,
}

impl Odd {
    fn new(mood: Mood) -> Arc<Self> {
        Arc::new(Self {
            memory: Memory::default(),
            mood: watch::Sender::new(mood),
            appended: Mutex::default(),
            reading: AtomicUsize::new(0),
            reading_most: AtomicUsize::new(0),
        })
    }

    fn appended(&self) -> Vec<Instant> {
        self.appended.lock().unwrap().clone()
    }
}

#[async_trait]
impl Journal for Odd {
    fn is_durable(&self) -> bool {
        true
    }

    async fn create(&self, header: Header, first: Event) -> Result<Created, journal::Error> {
        self.memory.create(header, first).await
    }

    async fn advance(&self, run: &RunId, events: &[Event], progress: Progress) -> Result<(), journal::Error> {
        self.appended.lock().unwrap().push(Instant::now());
        let mood = *self.mood.subscribe().wait_for(|mood| *mood != Mood::Silent).await.unwrap();
        if mood == Mood::Full {
            return Err(journal::Error::Full("no space".to_owned()));
        }
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

    /// Takes a while, so that others want to read meanwhile.
    async fn events(&self, run: &RunId) -> Result<Vec<Event>, journal::Error> {
        let reading = self.reading.fetch_add(1, Ordering::SeqCst) + 1;
        self.reading_most.fetch_max(reading, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(10)).await;
        self.reading.fetch_sub(1, Ordering::SeqCst);
        self.memory.events(run).await
    }

    async fn list(&self) -> Result<Vec<Record>, journal::Error> {
        self.memory.list().await
    }

    async fn unfinished(&self) -> Result<Vec<Record>, journal::Error> {
        self.memory.unfinished().await
    }
}

fn engine(options: Options, journal: Arc<dyn Journal>) -> Embedded {
    over(Arc::new(Layout::ephemeral().unwrap()), options, journal)
}

fn over(store: Arc<dyn Store>, options: Options, journal: Arc<dyn Journal>) -> Embedded {
    let discovery = Arc::new(Discovery::new(store, discovery::Options::default()));
    Embedded::new(options, discovery, agent::Client::new(agent::Options::default()), journal)
}

fn plan(engine: &Embedded, id: &str, steps: &str) -> Arc<Plan> {
    let text = format!("metadata: {{id: {id}, name: W, version: 1.0.0}}\n{steps}");
    engine.inner.discovery.plan_from_text("w.yaml", text.as_bytes()).unwrap_or_else(|error| panic!("{error:#?}"))
}

async fn start(engine: &Embedded, steps: &str) -> Result<RunId, Error> {
    Ok(engine.start(Start::new(plan(engine, "w", steps), Arc::new(json!({})))).await?.run)
}

/// Lets time pass until it holds.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(600), wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[test]
fn what_nobody_sets_is_the_bound() {
    let Options { runs_max, runs_resting_max, depth_max, steps_max, event_work, rest_after, calls } = Options::default();
    assert_eq!((runs_max, runs_resting_max), (limits::RUNS_MAX, limits::RUNS_RESTING_MAX));
    assert_eq!((depth_max, steps_max, event_work), (limits::RUN_DEPTH_MAX, limits::RUN_STEPS_MAX, limits::EVENT_WORK));
    assert_eq!(rest_after, limits::RUN_REST_AFTER);
    let gates = calls.gates;
    assert_eq!((gates.calls_per_agent_max.get(), gates.calls_max.get()), (limits::CALLS_PER_AGENT_MAX, limits::CALLS_MAX));
}

#[tokio::test(start_paused = true)]
async fn a_run_offers_its_event_to_a_full_journal_at_growing_distances_up_to_the_longest() {
    let journal = Odd::new(Mood::Full);
    let engine = engine(Options::default(), Arc::clone(&journal) as Arc<dyn Journal>);
    let run = start(&engine, ASK).await.unwrap();
    until("nine offers", || journal.appended().len() == 9).await;
    let offers = journal.appended();
    let rests: Vec<_> = offers.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let mut expected = vec![limits::JOURNAL_FULL_REST];
    while expected.len() < rests.len() {
        expected.push((expected[expected.len() - 1] * 2).min(limits::JOURNAL_FULL_REST_MAX));
    }
    assert_eq!(rests, expected);
    assert_eq!((rests[0], rests[7]), (Duration::from_millis(200), Duration::from_secs(5)));
    journal.mood.send_replace(Mood::Good);
    assert_eq!(engine.wait(&run).await.unwrap().status, RunStatus::InputRequired, "it goes on by itself");
    assert!(offers[8].elapsed() <= limits::JOURNAL_FULL_REST_MAX);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_stop_within_the_grace_period_is_cut_off() {
    let journal = Odd::new(Mood::Silent);
    let engine = engine(Options::default(), Arc::clone(&journal) as Arc<dyn Journal>);
    start(&engine, ASK).await.unwrap();
    until("the run waits for the journal", || journal.appended().len() == 1).await;
    let (begun, grace) = (Instant::now(), Duration::from_secs(3));
    assert_eq!(engine.shutdown(grace).await, 1);
    assert_eq!(begun.elapsed(), grace + limits::ABANDON_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn whoever_has_something_to_say_to_a_busy_run_waits_and_is_heard() {
    let journal = Odd::new(Mood::Silent);
    let engine = engine(Options::default(), Arc::clone(&journal) as Arc<dyn Journal>);
    let run = start(&engine, ASK).await.unwrap();
    until("the run waits for the journal", || journal.appended().len() == 1).await;
    let control = engine.inner.runs.get(&run).unwrap().control.clone();
    assert_eq!((control.max_capacity(), control.capacity()), (limits::RUN_CONTROL_QUEUE, limits::RUN_CONTROL_QUEUE));
    let mut looks = JoinSet::new();
    for _ in 0..limits::RUN_CONTROL_QUEUE * 2 {
        let (engine, run) = (engine.clone(), run.clone());
        looks.spawn(async move { engine.snapshot(&run).await.unwrap().status });
    }
    until("the queue is full", || control.capacity() == 0).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(looks.try_join_next().is_none(), "the run is busy");
    journal.mood.send_replace(Mood::Good);
    let seen = looks.join_all().await;
    assert_eq!(seen, vec![RunStatus::InputRequired; limits::RUN_CONTROL_QUEUE * 2]);
}

#[tokio::test(start_paused = true)]
async fn few_runs_are_read_at_once_however_many_are_wanted() {
    let journal = Odd::new(Mood::Good);
    let engine = engine(Options::default(), Arc::clone(&journal) as Arc<dyn Journal>);
    let mut runs = Vec::new();
    for _ in 0..limits::JOURNAL_READERS * 5 {
        runs.push(start(&engine, ASK).await.unwrap());
    }
    until("all rest", || engine.counts() == Counts { awake: 0, resting: runs.len() }).await;
    let mut canceled = JoinSet::new();
    for run in runs {
        let engine = engine.clone();
        canceled.spawn(async move { engine.cancel(&run, "enough").await });
    }
    assert!(canceled.join_all().await.iter().all(Result::is_ok));
    assert_eq!(journal.reading_most.load(Ordering::SeqCst), limits::JOURNAL_READERS);
}

#[tokio::test(start_paused = true)]
async fn a_start_loads_the_first_runs_and_the_others_while_it_serves() {
    let journal = Arc::new(Memory::default());
    let engine = engine(Options::default(), Arc::clone(&journal) as Arc<dyn Journal>);
    let (plan, more) = (plan(&engine, "w", ASK), 7);
    for n in 0..limits::RECOVER_AT_ONCE + more {
        let (run, at) = (RunId::parse(&format!("run-{n}")).unwrap(), Timestamp::from_unix_ms(n as i64));
        let header = Header {
            run: run.clone(),
            workflow: "w".to_owned(),
            version: "1.0.0".to_owned(),
            digest: plan.digest().clone(),
            source: Arc::clone(plan.source()),
            idempotency_key: None,
            labels: BTreeMap::new(),
            note: None,
            started_at: at,
        };
        let (workflow, input) = (plan.digest().clone(), Arc::new(json!({})));
        let first = Event::Started { run, workflow, semantics: SEMANTICS, input, ancestry: Vec::new(), work: None, at };
        journal.create(header, first).await.unwrap();
    }
    assert_eq!(engine.recover().await.unwrap(), Recovered { resumed: limits::RECOVER_AT_ONCE + more, stuck: Vec::new() });
    assert_eq!(engine.counts(), Counts { awake: limits::RECOVER_AT_ONCE, resting: more }, "nothing else has had its turn yet");
    let asked = async || {
        let runs = engine.list(&Filter::default()).await.unwrap();
        runs.iter().filter(|run| run.status == RunStatus::InputRequired).count()
    };
    while asked().await < limits::RECOVER_AT_ONCE + more {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_with_as_many_runs_at_rest_as_may_be_takes_no_more_until_one_ends() {
    let options = Options { runs_resting_max: 3, ..Options::default() };
    let engine = engine(options, Arc::new(Memory::default()));
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(start(&engine, ASK).await.unwrap());
    }
    until("all rest", || engine.counts().resting == 3).await;
    let full = start(&engine, ASK).await.unwrap_err();
    let Error::Busy(said) = &full else { panic!("{full}") };
    assert_eq!(said, "3 runs wait for people or timers, which is the limit; answer or cancel some");
    engine.cancel(&runs[0], "enough").await.unwrap();
    start(&engine, ASK).await.unwrap();
}

/// With a watcher the run rests between the parts of a long transition, so that nothing that is told is lost; without one it does not.
#[tokio::test(start_paused = true)]
async fn a_run_that_does_much_at_once_rests_for_its_watchers_alone() {
    let engine = engine(Options::default(), Arc::new(Memory::default()));
    let items = limits::TRANSITION_PART * 32;
    let steps = r#"steps: [{id: m, step_type: map, items: "{{ workflow.input }}", steps: [{id: v, step_type: set, value: 1}]}]"#;
    let begin = || Start::new(plan(&engine, "w", steps), Arc::new(json!(vec![0; items])));
    let begun = Instant::now();
    let unwatched = engine.start(begin()).await.unwrap().run;
    assert_eq!(engine.wait(&unwatched).await.unwrap().status, RunStatus::Completed);
    assert_eq!(begun.elapsed(), Duration::ZERO);

    let (_, subscription) = engine.start_watched(begin()).await.unwrap();
    let (mut watched, mut seen) = (subscription.unwrap(), 0);
    loop {
        match watched.next().await {
            Next::Update(_) => {
                seen += 1;
                // It is not as quick as the run.
                if seen % 200 == 0 {
                    tokio::time::sleep(limits::WATCHER_REST).await;
                }
            }
            Next::Lagged => panic!("something was lost"),
            Next::End => break,
        }
    }
    assert_eq!(seen, items + 4);
    let rested = begun.elapsed();
    assert!(rested >= limits::WATCHER_REST && rested.as_millis().is_multiple_of(limits::WATCHER_REST.as_millis()), "{rested:?}");
    assert!(rested <= limits::WATCHER_REST * (items as u32), "{rested:?}");
}

/// Its task and this one take turns, and time passes in this one's alone.
#[tokio::test(start_paused = true)]
async fn a_run_that_computes_has_an_event_every_twentieth_of_a_second() {
    let journal = Arc::new(Memory::default());
    let engine = engine(Options::default(), Arc::clone(&journal) as Arc<dyn Journal>);
    let endless =
        r#"steps: [{id: l, step_type: loop, while: "true", max_iterations: 2000000, steps: [{id: v, step_type: set, value: 1}]}]"#;
    let run = start(&engine, endless).await.unwrap();
    for _ in 0..1_000 {
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    let events = journal.events(&run).await.unwrap();
    let more = events.iter().filter(|event| matches!(event, Event::Continued { .. })).count();
    // What is told of each takes a few turns more.
    assert!((16..=19).contains(&more), "{more} events in a second");
    engine.cancel(&run, "enough").await.unwrap();
    assert_eq!(engine.wait(&run).await.unwrap().status, RunStatus::Canceled);
}

/// Its work goes on for a moment whoever asks, so that it has no event for each question.
#[tokio::test]
async fn who_asks_again_and_again_how_a_run_stands_makes_few_events() {
    let journal = Arc::new(Memory::default());
    let engine = engine(Options::default(), Arc::clone(&journal) as Arc<dyn Journal>);
    let endless =
        r#"steps: [{id: l, step_type: loop, while: "true", max_iterations: 2000000, steps: [{id: v, step_type: set, value: 1}]}]"#;
    let begun = Instant::now();
    let run = start(&engine, endless).await.unwrap();
    while begun.elapsed() < Duration::from_millis(200) {
        engine.snapshot(&run).await.unwrap();
    }
    let events = journal.events(&run).await.unwrap();
    let most = begun.elapsed().as_millis() / 5;
    let more = events.iter().filter(|event| matches!(event, Event::Continued { .. })).count();
    assert!((1..=most + 1).contains(&(more as u128)), "{more} events in {:?}", begun.elapsed());
    engine.cancel(&run, "enough").await.unwrap();
}

/// A piece may evaluate hundreds of templates: what is done at a time is less the dearer it is.
#[tokio::test]
async fn dear_pieces_of_work_are_done_one_by_one() {
    let journal = Arc::new(Memory::default());
    let engine = engine(Options::default(), Arc::clone(&journal) as Arc<dyn Journal>);
    let dear = "{{ workflow.input | map('string') | length }}".repeat(limits::TEMPLATE_EXPRESSIONS_MAX);
    let endless = format!(
        "steps: [{{id: l, step_type: loop, while: \"true\", max_iterations: 20000, steps: [{{id: v, step_type: set, value: \"{dear}\"}}]}}]"
    );
    let run = engine.start(Start::new(plan(&engine, "w", &endless), Arc::new(json!(vec![7; 400])))).await.unwrap().run;
    let continued = || async {
        let events = journal.events(&run).await.unwrap().into_iter();
        events.filter_map(|event| if let Event::Continued { work, .. } = event { Some(work.get()) } else { None }).collect::<Vec<_>>()
    };
    while continued().await.len() < 3 {
        tokio::task::yield_now().await;
    }
    engine.cancel(&run, "enough").await.unwrap();
    let work = continued().await;
    assert!(work.iter().all(|work| *work < 60), "{work:?}");

    // Whoever reads it later does all of it again, and others have their turn meanwhile.
    let ended = || engine.counts().awake == 0;
    until("it has ended", ended).await;
    let turns = Arc::new(AtomicUsize::new(0));
    let other = Arc::clone(&turns);
    let others = tokio::spawn(async move {
        loop {
            other.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    let snapshot = engine.snapshot(&run).await.unwrap();
    others.abort();
    assert_eq!(snapshot.status, RunStatus::Canceled);
    assert!(turns.load(Ordering::Relaxed) > work.len(), "{} turns for the others, {} events", turns.load(Ordering::Relaxed), work.len());
}

#[tokio::test(start_paused = true)]
async fn of_many_agents_the_first_by_name_are_compared() {
    let calls = CallOptions { choice: Choice::RoundRobin, ..CallOptions::default() };
    let engine = engine(Options { calls, ..Options::default() }, Arc::new(Memory::default()));
    for n in 0..limits::CHOICE_AGENTS_MAX + 5 {
        let card = json!({ "name": format!("agent-{n:03}"), "url": format!("http://127.0.0.1:1/{n}"), "skills": [{ "id": "s", "description": "s" }] });
        engine.inner.discovery.add_card(Card::parse(card.to_string().as_bytes()).unwrap());
    }
    let invocation = Invocation {
        path: Path::new("/0:a"),
        step: StepId::parse("a").unwrap(),
        attempt: 1,
        skill: SkillId::parse("s").unwrap(),
        own: false,
        agent: None,
        inputs: Arc::new(json!({})),
        timeout: limits::STEP_TIMEOUT,
        reply_bytes_max: None,
        resume: None,
        after: None,
    };
    let mut chosen = Vec::new();
    for _ in 0..=limits::CHOICE_AGENTS_MAX {
        chosen.push(engine.choose(&invocation).await.unwrap().found.card.name.clone());
    }
    let names: Vec<_> = (0..limits::CHOICE_AGENTS_MAX).map(|n| format!("agent-{n:03}")).collect();
    assert_eq!(chosen[..names.len()], names[..], "each in its turn");
    assert_eq!(chosen[names.len()], names[0], "and then the first again, not the next by name");
}

/// Skills that break when they are called.
#[derive(Debug)]
struct Broken;

#[async_trait]
impl OwnSkills for Broken {
    async fn call(&self, call: agent::Call) -> Result<OwnReply, StepError> {
        panic!("`{}` is broken", call.skill);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_breaks_gantry_fails_its_step_and_nothing_else() {
    const URL: &str = "http://127.0.0.1:1/self";
    let engine = engine(Options::default(), Arc::new(Memory::default()));
    engine.serve_as(URL, Arc::new(Broken));
    let card = json!({ "name": "self", "url": URL, "skills": [{ "id": "break", "description": "breaks" }] });
    engine.inner.discovery.add_card(Card::parse(card.to_string().as_bytes()).unwrap());
    let other = start(&engine, ASK).await.unwrap();
    for (on_error, is_survived) in [("fail", false), ("continue", true)] {
        let steps = format!(
            "steps:\n  - {{id: a, skill: break, retry: {{max_attempts: 3}}, on_error: {on_error}}}\n  - {{id: b, step_type: set, value: 1}}"
        );
        let run = start(&engine, &steps).await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(600), engine.wait(&run)).await.expect("the run ends").unwrap();
        let (a, b) = (&ended.steps[0], &ended.steps[1]);
        let error = a.error.as_ref().unwrap();
        assert_eq!((a.status, a.attempts, error.code), (StepStatus::Failed, 1, ErrorClass::Internal), "{on_error}");
        assert_eq!(error.message, "gantry broke while it made this call");
        assert_eq!(b.status == StepStatus::Completed, is_survived, "{on_error}");
        match ended.outcome {
            Some(Outcome::Completed { output }) if is_survived => assert_eq!(*output, json!(1)),
            Some(Outcome::Failed { error }) if !is_survived => assert_eq!(error.code, ErrorClass::Internal),
            outcome => panic!("{on_error}: {outcome:?}"),
        }
    }
    assert_eq!(engine.wait(&other).await.unwrap().status, RunStatus::InputRequired);
    engine.answer(&other, None, Arc::new(json!("yes"))).await.unwrap();
    assert_eq!(engine.wait(&other).await.unwrap().status, RunStatus::Completed, "others go on");
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_takes_new_runs_only_refuses_a_retry_and_nothing_of_it_is_left() {
    let engine = engine(Options::default(), Odd::new(Mood::Good));
    let run = start(&engine, ASK).await.unwrap();
    engine.cancel(&run, "enough").await.unwrap();
    assert_eq!(engine.wait(&run).await.unwrap().status, RunStatus::Canceled);
    until("it is over", || engine.counts() == Counts { awake: 0, resting: 0 }).await;
    let refused = engine.retry(&run, BTreeMap::new()).await.unwrap_err();
    let Error::Journal(said) = &refused else { panic!("{refused}") };
    assert!(said.starts_with("run `") && said.ends_with("` has a history, and this journal takes new runs only"), "{said}");
    assert_eq!(engine.counts(), Counts { awake: 0, resting: 0 });
    assert_eq!(engine.list(&Filter::default()).await.unwrap().len(), 1);
}
