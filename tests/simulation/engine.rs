//! Generated runs in the real engine: a clock that is turned on, an agent inside the process whose answers and delays are decided by a
//! seed, people who answer and cancel, and a journal that ends the process at any write, refuses one or has no room for a while.
//!
//! The agent is one of the engine's own, so that no socket is waited for while the clock is turned on. A failure prints its seed.
//! `GANTRY_SEEDS` says how many runs there are, one for every hundred of the pure core; `GANTRY_SEED` runs a single one.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use gantry::a2a::Card;
use gantry::agent::{Call, Client, Options as ClientOptions};
use gantry::discovery::{self, Discovery};
use gantry::engine::embedded::{Embedded, Options};
use gantry::engine::{Engine, Next, OwnReply, OwnSkills, Start};
use gantry::ids::RunId;
use gantry::interpreter::{Command, ErrorClass, Event, Run, RunStatus, StepError, StepStatus};
use gantry::journal::Journal;
use gantry::registry::Layout;
use serde_json::{Value, json};

use super::faulty::Faulty;
use super::generate;
use super::ledger::Ledger;
use super::random::Random;
use super::seeds::number;

/// Runs when nobody says how many.
const SEEDS: u64 = 300;
/// So many runs of the pure core are asked for each of these.
const SHARE: u64 = 100;
/// Lives that end before their run does.
const DEATHS_MAX: usize = 4;
/// Longer than any run takes that ends: with the clock turned on, waiting costs nothing.
const FOR_EVER: Duration = Duration::from_secs(1_000_000_000);
const URL: &str = "http://own.invalid";

/// What a step of the generated workflows calls by reference.
const OTHER: &str = "metadata: {id: other, name: Other, version: 1.0.0}
steps:
  - {id: c1, skill: quiet}
  - {id: c2, step_type: wait, for: 5s}
  - {id: c3, skill: quiet, retry: {max_attempts: 2}}
";

/// The agent.
#[derive(Debug)]
struct Outside {
    seed: u64,
    /// How likely things are in this world, of a hundred.
    failures: usize,
    questions: usize,
    journal: Arc<Faulty>,
    calls: Mutex<BTreeMap<String, usize>>,
    /// What must not be. The engine copes with a panic of its own skills, so it is kept for later.
    wrong: Mutex<Vec<String>>,
}

fn seeded(seed: u64, text: &str) -> Random {
    Random::new(text.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
}

/// What a key says beside the run.
fn attempt(key: &str) -> &str {
    &key[key.find('/').unwrap()..]
}

impl Outside {
    fn new(seed: u64, random: &mut Random, journal: Arc<Faulty>) -> Self {
        let (failures, questions) = (*random.pick(&[0, 5, 30]), *random.pick(&[0, 0, 15]));
        Self { seed, failures, questions, journal, calls: Mutex::default(), wrong: Mutex::default() }
    }

    /// A call follows from what is in the journal, and has no outcome there.
    async fn check(&self, key: &str) {
        let run = RunId::parse(&key[..key.find('/').unwrap()]).unwrap();
        let (mut commanded, mut settled) = (BTreeSet::new(), BTreeSet::new());
        let mut interpreter = Run::new(self.journal.plan(&run).await);
        for event in self.journal.events(&run).await.unwrap() {
            if let Event::Replied { path, attempt, .. } | Event::Failed { path, attempt, .. } | Event::Asked { path, attempt, .. } = &event
            {
                settled.insert(format!("{run}{path}#{attempt}"));
            }
            for command in interpreter.apply(event).unwrap().commands {
                if let Command::Call(call) = command {
                    commanded.insert(format!("{run}{}#{}", call.path, call.attempt));
                }
            }
        }
        if !commanded.contains(key) || settled.contains(key) {
            let why = if settled.contains(key) { "it has an outcome" } else { "nothing in the journal asks for it" };
            self.wrong.lock().unwrap().push(format!("{key} was called, and {why}"));
        }
    }
}

#[async_trait]
impl OwnSkills for Outside {
    async fn call(&self, call: Call) -> Result<OwnReply, StepError> {
        self.check(&call.message_id).await;
        *self.calls.lock().unwrap().entry(call.message_id.clone()).or_default() += 1;
        // The call alone decides, so that one that is made again gets the same answer.
        let mut random = seeded(self.seed, attempt(&call.message_id));
        tokio::time::sleep(Duration::from_millis(random.below(20_000) as u64)).await;
        if random.percent(self.failures) {
            use ErrorClass::{AgentError, InvalidReply, RateLimited, Rejected, Timeout, Unavailable};
            let classes = [Timeout, Unavailable, Unavailable, RateLimited, AgentError, Rejected, InvalidReply];
            return Err(StepError::new(*random.pick(&classes), "it went wrong"));
        }
        if random.percent(2) {
            return std::future::pending().await;
        }
        if call.skill != "quiet" && call.resume.is_none() && random.percent(self.questions) {
            return Ok(OwnReply::Question { prompt: generate::small(&mut random), auth: random.percent(10), state: "asked".to_owned() });
        }
        Ok(OwnReply::Value(generate::small(&mut random)))
    }
}

/// What was seen, in all runs together.
#[derive(Debug, Default)]
struct Figures {
    runs: usize,
    below: usize,
    events: usize,
    lives: usize,
    calls: usize,
    repeated: usize,
    ended: BTreeMap<&'static str, usize>,
}

impl Figures {
    fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.below += other.below;
        self.events += other.events;
        self.lives += other.lives;
        self.calls += other.calls;
        self.repeated += other.repeated;
        for (status, count) in other.ended {
            *self.ended.entry(status).or_default() += count;
        }
    }
}

/// Answers what is asked, after a while, until the run ends. For ever when the engine does not know the run any more.
async fn attend(engine: &Embedded, run: &RunId, seed: u64) {
    while let Ok(mut watched) = engine.subscribe(run).await {
        loop {
            let Ok(snapshot) = engine.snapshot(run).await else { break };
            if snapshot.outcome.is_some() {
                return;
            }
            let waiting = snapshot.steps.iter().find(|step| step.status == StepStatus::Waiting);
            if let Some(step) = waiting {
                let mut random = seeded(seed, step.path.as_str());
                tokio::time::sleep(Duration::from_millis(random.below(40_000) as u64)).await;
                // It may not be wanted any more.
                let answered = engine.answer(run, Some(step.path.as_str()), Arc::new(generate::small(&mut random))).await;
                if answered.is_ok() {
                    continue;
                }
            }
            if !matches!(watched.next().await, Next::Update(_)) {
                break;
            }
        }
        // A run that stopped is looked at again, but not without a pause in which its process may end.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    std::future::pending().await
}

struct Seeded<'a> {
    seed: u64,
    text: String,
    input: Arc<Value>,
    store: &'a Arc<Layout>,
    journal: Arc<Faulty>,
    outside: Arc<Outside>,
    run: Option<RunId>,
}

impl Seeded<'_> {
    /// One life of a process. Whether the run and all below it have ended.
    async fn live(&mut self, cancels_after: Option<Duration>) -> bool {
        let discovery = Arc::new(Discovery::new(Arc::clone(self.store) as Arc<_>, discovery::Options::default()));
        let skill = |id: &str| json!({"id": id, "name": id, "description": id, "tags": []});
        let skills = ["work", "think", "quiet"].map(skill);
        let card = json!({"name": "outside", "url": URL, "skills": skills});
        discovery.add_card(Card::parse(card.to_string().as_bytes()).unwrap());
        let options = Options { rest_after: Duration::from_secs(2), ..Options::default() };
        let journal = Arc::clone(&self.journal) as Arc<dyn Journal>;
        let engine = Embedded::new(options, Arc::clone(&discovery), Client::new(ClientOptions::default()), journal);
        engine.serve_as(URL, Arc::clone(&self.outside) as Arc<dyn OwnSkills>);
        let run = match &self.run {
            Some(run) => {
                assert_eq!(engine.recover().await.unwrap().stuck, []);
                run.clone()
            }
            None => {
                let plan = discovery.plan_from_text("generated", self.text.as_bytes()).unwrap();
                let run = engine.start(Start::new(plan, Arc::clone(&self.input))).await.unwrap().run;
                self.run.insert(run).clone()
            }
        };
        let cancels = async {
            if let Some(after) = cancels_after {
                tokio::time::sleep(after).await;
                // It may have ended.
                let _ = engine.cancel(&run, "enough").await;
            }
            std::future::pending::<()>().await;
        };
        let ends = async {
            attend(&engine, &run, self.seed).await;
            // Runs below it are told to end, or end by themselves.
            while self.journal.list().await.unwrap().iter().any(|record| !record.status.is_terminal()) {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        tokio::select! {
            () = self.journal.dead.notified() => false,
            () = ends => {
                let snapshot = engine.snapshot(&run).await.unwrap();
                let mut replayed = Run::new(self.journal.plan(&run).await);
                for event in self.journal.events(&run).await.unwrap() {
                    replayed.apply(event).unwrap();
                }
                assert_eq!(snapshot, replayed.snapshot(), "what the engine shows is what the journal says");
                true
            }
            () = cancels => unreachable!("it waits for ever"),
            () = tokio::time::sleep(FOR_EVER) => panic!("the run never ends: {:#?}", engine.snapshot(&run).await),
        }
    }

    /// Checks what is in the journal when all has ended, and says what it was.
    async fn check(&self, lives: usize, figures: &mut Figures) -> String {
        let mut trace = String::new();
        for record in self.journal.list().await.unwrap() {
            let (run, plan) = (&record.header.run, self.journal.plan(&record.header.run).await);
            let (mut replayed, mut ledger) = (Run::new(Arc::clone(&plan)), Ledger::new(&plan));
            let events = self.journal.events(run).await.unwrap();
            for event in &events {
                let transition = replayed.apply(event.clone()).unwrap();
                ledger.note(event, &transition);
            }
            assert_eq!(replayed.status(), record.status);
            if Some(run) == self.run.as_ref() {
                *figures.ended.entry(status(record.status)).or_default() += 1;
                trace = told(run, &events);
            }
            figures.events += events.len();
        }
        figures.below += self.journal.list().await.unwrap().len() - 1;
        let (calls, wrong) = (self.outside.calls.lock().unwrap(), self.outside.wrong.lock().unwrap());
        assert!(wrong.is_empty(), "{wrong:#?}");
        for (key, count) in &*calls {
            assert!(*count <= lives, "{key} was called {count} times in {lives} lives");
        }
        figures.runs += 1;
        figures.lives += lives;
        figures.calls += calls.len();
        figures.repeated += calls.values().map(|count| count - 1).sum::<usize>();
        trace
    }
}

fn status(status: RunStatus) -> &'static str {
    status.as_str()
}

/// The events of a run without its id, times and random bits.
fn told(run: &RunId, events: &[Event]) -> String {
    let tell = |event: &Event| {
        let mut event = json!(event);
        let fields = event.as_object_mut().unwrap();
        fields.retain(|name, _| name != "at" && name != "entropy");
        event.to_string().replace(run.as_str(), "run")
    };
    events.iter().map(tell).collect::<Vec<_>>().join("\n")
}

/// Runs a seed to its end. Returns what happened.
fn one(seed: u64, store: &Arc<Layout>, figures: &mut Figures) -> String {
    let mut random = Random::new(seed);
    // The engine takes the bits for its jitter from here.
    fastrand::seed(seed);
    let (text, input) = (generate::workflow(&mut random), Arc::new(generate::input(&mut random)));
    let journal = Arc::new(Faulty::default());
    let outside = Arc::new(Outside::new(seed, &mut random, Arc::clone(&journal)));
    let mut seeded = Seeded { seed, text, input, store, journal, outside, run: None };
    let deaths = random.below(DEATHS_MAX + 1);
    for life in 0.. {
        let is_last = life >= deaths;
        seeded.journal.arm((!is_last).then_some(&mut random));
        let cancels_after = random.percent(10).then(|| Duration::from_millis(random.below(60_000) as u64));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        if runtime.block_on(seeded.live(cancels_after)) {
            return runtime.block_on(seeded.check(life + 1, figures));
        }
        // What the process had under way ends with it.
        drop(runtime);
    }
    unreachable!("the last life ends with its run")
}

fn with_seed<T>(seed: u64, act: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|cause| {
        let cause = cause.downcast_ref::<String>().map(String::as_str).or(cause.downcast_ref::<&str>().copied()).unwrap_or("?");
        let text = generate::workflow(&mut Random::new(seed));
        panic!("seed {seed}: {cause}\nagain: GANTRY_SEED={seed} cargo test --test simulation engine\n\n{text}");
    })
}

fn store() -> Arc<Layout> {
    let store = Arc::new(Layout::ephemeral().unwrap());
    let discovery = Discovery::new(Arc::clone(&store) as Arc<_>, discovery::Options::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(discovery.push_workflow("other.yaml", Bytes::from_static(OTHER.as_bytes()), None, &[])).unwrap();
    store
}

/// Runs every seed, shared among threads. Returns the traces in order.
fn every(seeds: std::ops::Range<u64>) -> (Figures, Vec<String>) {
    let store = store();
    let next = Mutex::new(seeds);
    let share = || {
        let (mut figures, mut traces) = (Figures::default(), Vec::new());
        loop {
            let Some(seed) = next.lock().unwrap().next() else { return (figures, traces) };
            traces.push((seed, with_seed(seed, || one(seed, &store, &mut figures))));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(share)).collect();
        let (mut all, mut traces) = (Figures::default(), BTreeMap::new());
        for thread in running {
            match thread.join() {
                Ok((figures, some)) => {
                    all.add(figures);
                    traces.extend(some);
                }
                Err(cause) => std::panic::resume_unwind(cause),
            }
        }
        (all, traces.into_values().collect())
    })
}

#[test]
fn the_engine_keeps_every_promise_through_generated_lives() {
    if let Some(seed) = number("GANTRY_SEED") {
        eprintln!("{}", with_seed(seed, || one(seed, &store(), &mut Figures::default())));
        return;
    }
    let seeds = number("GANTRY_SEEDS").map_or(SEEDS, |seeds| (seeds / SHARE).max(1));
    let (figures, _) = every(0..seeds);
    eprintln!("{figures:?}");
    assert!(figures.lives > figures.runs && figures.repeated > 0 && figures.below > 0, "the worlds are too much alike: {figures:?}");
    assert_eq!(figures.ended.len(), 3, "{figures:?}");
}

/// Which of two things that are ready at once is taken first is up to the runtime, and the wall clock is not turned on with the other: a few
/// runs differ.
#[test]
fn almost_every_seed_leaves_the_same_trace_in_the_engine() {
    let ((_, first), (_, second)) = (every(0..100), every(0..100));
    let same = first.iter().zip(&second).filter(|(first, second)| first == second).count();
    eprintln!("{same} of {} traces are the same", first.len());
    assert!(same * 10 > first.len() * 8, "{same} of {} traces are the same", first.len());
    let distinct: BTreeSet<_> = first.iter().collect();
    assert!(distinct.len() * 10 > first.len() * 9, "the trace tells runs apart");
}
