//! Events in, commands out. A case is a workflow, a script of events, and the trace it must leave.
//!
//! Every case is also replayed from its events, whole and after every single one: the same events must always give the same transitions.

mod repeated;

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    Change, Command, ErrorClass, Event, Mismatch, Outcome, Question, RemoteTask, Run, RunStatus, SEMANTICS, StepError, Timer, Transition,
};
use crate::ids::{Digest, RunId};
use crate::plan::{Path, Plan};
use crate::time::Timestamp;

/// One thing that happens to a run, written by step id.
enum Do {
    Reply(&'static str, Value),
    Fail(&'static str, ErrorClass),
    FailAfter(&'static str, u64),
    Ask(&'static str),
    Answer(&'static str, Value),
    Fire(&'static str, Timer),
    RunDeadline,
    Cancel,
    /// An outcome of a step in a repetition, by path.
    ReplyAt(&'static str, Value),
    FailAt(&'static str, ErrorClass),
    /// The same event once more.
    Again,
}
use Do::{Again, Answer, Ask, Cancel, Fail, FailAfter, FailAt, Fire, Reply, ReplyAt, RunDeadline};

fn plan(yaml: &str) -> Arc<Plan> {
    let header = if yaml.contains("metadata:") { "" } else { "metadata: {id: w, name: W, version: 1.0.0}\n" };
    let text = format!("{header}{yaml}");
    let parsed = crate::workflow::parse(&text);
    let workflow = parsed.workflow.unwrap_or_else(|| panic!("{text}\n{:#?}", parsed.diagnostics));
    Arc::new(Plan::new(workflow, text, digest()))
}

fn digest() -> Digest {
    Digest::parse(&format!("sha256:{}", "0".repeat(64))).unwrap()
}

fn started(input: Value) -> Event {
    let run = RunId::parse("run").unwrap();
    Event::Started {
        run,
        workflow: digest(),
        semantics: SEMANTICS,
        input: Arc::new(input),
        ancestry: Vec::new(),
        at: Timestamp::from_unix_ms(0),
    }
}

struct Case {
    plan: Arc<Plan>,
    run: Run,
    events: Vec<Event>,
    transitions: Vec<String>,
    attempts: std::collections::BTreeMap<Path, u32>,
    trace: Vec<String>,
}

impl Case {
    fn new(yaml: &str, input: Value) -> Self {
        let plan = plan(yaml);
        let run = Run::new(Arc::clone(&plan));
        let mut case = Self { plan, run, events: Vec::new(), transitions: Vec::new(), attempts: Default::default(), trace: Vec::new() };
        case.apply(started(input));
        case
    }

    fn apply(&mut self, event: Event) {
        let transition = self.run.apply(event.clone()).unwrap_or_else(|mismatch| panic!("{event:?}: {mismatch}"));
        self.events.push(event);
        self.transitions.push(format!("{transition:?}"));
        self.note(&transition);
    }

    fn note(&mut self, transition: &Transition) {
        for command in &transition.commands {
            self.trace.push(match command {
                Command::Call(call) => {
                    self.attempts.insert(call.path.clone(), call.attempt);
                    let resume = call.resume.as_ref().map(|remote| format!(" to {}", remote.task_id)).unwrap_or_default();
                    format!("call {}#{}{resume} {}", call.step, call.attempt, call.inputs)
                }
                Command::CancelCall { path } => format!("cancel {}", path.step()),
                Command::CancelTask { path, remote, .. } => format!("cancel {} at {}", path.step(), remote.task_id),
                Command::StartTimer { path, timer, due } => format!("timer {} {timer:?} {}", path.step(), due.unix_ms()),
                Command::CancelTimer { path, timer } => format!("untimer {} {timer:?}", path.step()),
            });
        }
        for change in &transition.changes {
            match change {
                Change::StepFinished { step, status, error, .. } => {
                    let error = error.as_ref().map(|error| format!(" {}", error.code.code())).unwrap_or_default();
                    self.trace.push(format!("{step} {}{error}", status.as_str()));
                }
                Change::RunFinished { outcome } => self.trace.push(match outcome {
                    Outcome::Completed { output } => format!("completed {output}"),
                    Outcome::Failed { error } => format!("failed {error}"),
                    Outcome::Canceled { reason } => format!("canceled {reason}"),
                }),
                Change::StepWaiting { step, .. } => self.trace.push(format!("{step} waiting")),
                Change::RunStarted | Change::StepStarted { .. } | Change::StepRetrying { .. } => {}
            }
        }
    }

    fn perform(&mut self, act: &Do) {
        let path = |id: &str| self.plan.node(self.plan.find(id).unwrap_or_else(|| panic!("no step {id}"))).path.clone();
        let attempt = |id: &str| self.attempts.get(&path(id)).copied().unwrap_or(1);
        let at = Timestamp::from_unix_ms(self.events.len() as i64);
        let fail = |id: &str, error| Event::Failed { path: path(id), attempt: attempt(id), error, by: None, entropy: 0, at };
        let event = match act {
            Reply(id, value) => Event::Replied { path: path(id), attempt: attempt(id), value: Arc::new(value.clone()), by: None, at },
            Fail(id, class) => fail(id, StepError::new(*class, "boom")),
            FailAfter(id, ms) => fail(id, StepError { retry_after_ms: Some(*ms), ..StepError::new(ErrorClass::RateLimited, "busy") }),
            Ask(id) => {
                let remote = RemoteTask { task_id: format!("task-{id}"), context_id: "c".into() };
                let question = Question { remote: Some(remote), schema: None, auth: false, prompt: Arc::new(json!({"text": "which?"})) };
                Event::Asked { path: path(id), attempt: attempt(id), question, by: None, at }
            }
            Answer(id, value) => Event::Answered { path: path(id), answer: Arc::new(value.clone()), at },
            Fire(id, timer) => Event::TimerFired { path: path(id), timer: *timer, at },
            RunDeadline => Event::TimerFired { path: Path::run(), timer: Timer::Deadline, at },
            Cancel => Event::CancelRequested { reason: "enough".into(), at },
            ReplyAt(path, value) => Event::Replied { path: Path::new(*path), attempt: 1, value: Arc::new(value.clone()), by: None, at },
            FailAt(path, class) => {
                let error = StepError::new(*class, "boom");
                Event::Failed { path: Path::new(*path), attempt: 1, error, by: None, entropy: 0, at }
            }
            Again => self.events.last().cloned().unwrap(),
        };
        self.apply(event);
    }

    /// Replays the events after a crash behind every single one: nothing may differ.
    fn replay(&self) {
        for crash in 0..=self.events.len() {
            let mut run = Run::new(Arc::clone(&self.plan));
            for event in &self.events[..crash] {
                run.apply(event.clone()).unwrap();
            }
            // Events survive being written and read.
            for (event, expected) in self.events.iter().zip(&self.transitions).skip(crash) {
                let read: Event = serde_json::from_str(&serde_json::to_string(event).unwrap()).unwrap();
                assert_eq!(&format!("{:?}", run.apply(read).unwrap()), expected, "after a crash behind event {crash}");
            }
            if !self.events.is_empty() {
                assert_eq!(run.snapshot(), self.run.snapshot());
            }
        }
    }
}

fn check(yaml: &str, script: &[Do], expected: &str) {
    check_input(yaml, json!({"n": 2}), script, expected);
}

fn check_input(yaml: &str, input: Value, script: &[Do], expected: &str) {
    let mut case = Case::new(yaml, input);
    for act in script {
        case.perform(act);
    }
    let expected: Vec<_> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(case.trace, expected, "\n{yaml}\ngot:\n{}\n", case.trace.join("\n"));
    case.replay();
}

#[test]
fn a_chain_passes_outputs_on() {
    check(
        r#"
steps:
  - {id: plan, skill: p, inputs: {n: "{{ workflow.input.n }}"}, outputs: result}
  - {id: build, skill: b, inputs: {plan: "{{ steps.plan.outputs.result }}", note: "{{ workflow.id }} {{ steps.plan.status }}"}}
"#,
        &[Reply("plan", json!({"a": [1, 2]})), Reply("build", json!("done"))],
        r#"
        call plan#1 {"n":2}
        call build#1 {"plan":{"a":[1,2]},"note":"w completed"}
        plan completed
        build completed
        completed "done"
        "#,
    );
}

#[test]
fn an_empty_workflow_completes_at_once() {
    check("steps: []", &[], "completed null");
}

#[test]
fn output_is_evaluated_at_the_end() {
    let yaml = r#"
output: {v: "{{ steps.a.outputs.v }}", id: "{{ run.id }}"}
steps: [{id: a, skill: s}]
"#;
    check(yaml, &[Reply("a", json!({"v": 7}))], "call a#1 {}\na completed\ncompleted {\"v\":7,\"id\":\"run\"}");
    let mut case = Case::new(yaml, json!({}));
    case.perform(&Reply("a", json!({"w": 7})));
    let Some(Outcome::Failed { error }) = case.run.outcome() else { panic!("{:?}", case.run.outcome()) };
    assert_eq!(error.code, ErrorClass::Template);
    assert!(error.message.contains("steps.a.outputs.v"), "{}", error.message);
}

const PARALLEL: &str = r#"
steps:
  - id: par
    step_type: parallel
    branches: {steps: [{id: a, skill: s}, {id: b, skill: s}, {id: c, skill: s}]}
  - {id: end, skill: s, inputs: {all: "{{ steps.par.outputs }}", b: "{{ steps.b.outputs.v }}"}}
"#;

#[test]
fn parallel_starts_all_at_once_and_merges_in_order() {
    check(
        PARALLEL,
        &[Reply("c", json!({"v": 3})), Reply("a", json!({"v": 1})), Reply("b", json!({"v": 2})), Reply("end", json!(0))],
        r#"
        call a#1 {}
        call b#1 {}
        call c#1 {}
        c completed
        a completed
        call end#1 {"all":{"a":{"v":1},"b":{"v":2},"c":{"v":3}},"b":2}
        b completed
        par completed
        end completed
        completed 0
        "#,
    );
}

#[test]
fn parallel_named_branches_run_their_steps_in_order() {
    check(
        r#"
steps:
  - id: par
    step_type: parallel
    outputs: both
    branches:
      left: [{id: l1, skill: s}, {id: l2, skill: s, inputs: {x: "{{ steps.l1.outputs }}"}}]
      right: [{id: r1, skill: s}]
output: "{{ steps.par.outputs.both }}"
"#,
        &[Reply("l1", json!(1)), Reply("r1", json!(9)), Reply("l2", json!(2))],
        r#"
        call l1#1 {}
        call r1#1 {}
        call l2#1 {"x":1}
        l1 completed
        r1 completed
        l2 completed
        par completed
        completed {"left":2,"right":9}
        "#,
    );
}

#[test]
fn parallel_goes_through_a_window() {
    check(
        r#"
steps:
  - {id: par, step_type: parallel, max_concurrency: 2, branches: {steps: [{id: a, skill: s}, {id: b, skill: s}, {id: c, skill: s}]}}
"#,
        &[Reply("b", json!(2)), Reply("a", json!(1)), Reply("c", json!(3))],
        r#"
        call a#1 {}
        call b#1 {}
        call c#1 {}
        b completed
        a completed
        c completed
        par completed
        completed {"a":1,"b":2,"c":3}
        "#,
    );
}

#[test]
fn fail_fast_cancels_the_rest() {
    check(
        PARALLEL,
        &[Reply("a", json!(1)), Fail("b", ErrorClass::AgentError), Reply("c", json!(3))],
        r#"
        call a#1 {}
        call b#1 {}
        call c#1 {}
        a completed
        cancel c
        b failed agent_error
        c canceled canceled
        par failed agent_error
        failed step `b`: boom (agent_error)
        "#,
    );
}

#[test]
fn without_fail_fast_partial_results_stay() {
    let yaml = r#"
steps:
  - {id: par, step_type: parallel, fail_fast: false, branches: {steps: [{id: a, skill: s}, {id: b, skill: s}]}}
output: ["{{ steps.par.outputs }}", "{{ steps.par.error.message }}"]
"#;
    check(
        yaml,
        &[Fail("a", ErrorClass::AgentError), Reply("b", json!(2))],
        r#"
        call a#1 {}
        call b#1 {}
        a failed agent_error
        b completed
        par completed agent_error
        completed [{"a":null,"b":2},"1 of 2 branches failed: `a`: boom"]
        "#,
    );
    check(
        yaml,
        &[Fail("a", ErrorClass::AgentError), Fail("b", ErrorClass::Timeout)],
        r#"
        call a#1 {}
        call b#1 {}
        a failed agent_error
        b failed timeout
        par failed agent_error
        failed step `par`: 2 of 2 branches failed: `a`: boom; `b`: boom (agent_error)
        "#,
    );
}

#[test]
fn fail_fast_reaches_into_nested_groups_and_backoffs() {
    check(
        r#"
steps:
  - id: outer
    step_type: parallel
    branches:
      x:
        - id: inner
          step_type: parallel
          timeout: 9
          branches: {steps: [{id: a, skill: s, retry: {max_attempts: 2, jitter: false}}, {id: b, skill: s}]}
      y: [{id: c, skill: s}]
"#,
        &[Fail("a", ErrorClass::Timeout), Fail("c", ErrorClass::Rejected), Fire("a", Timer::Retry), Reply("b", json!(1))],
        r#"
        timer inner Deadline 9000
        call c#1 {}
        call a#1 {}
        call b#1 {}
        timer a Retry 1001
        untimer inner Deadline
        untimer a Retry
        cancel b
        c failed rejected
        inner canceled canceled
        a canceled canceled
        b canceled canceled
        outer failed rejected
        failed step `c`: boom (rejected)
        "#,
    );
}

const CONDITIONAL: &str = r#"
steps:
  - id: c
    step_type: conditional
    condition: "{{ workflow.input.n > 1 }}"
    branches: {if_true: [{id: yes, skill: s}], if_false: [{id: no, skill: s}]}
output: ["{{ steps.c.outputs }}", "{{ steps.no.status }}", "{{ steps.yes.status }}"]
"#;

#[test]
fn conditional_takes_either_branch() {
    check(CONDITIONAL, &[Reply("yes", json!(1))], "call yes#1 {}\nyes completed\nc completed\ncompleted [1,\"skipped\",\"completed\"]");
    let expected = "call no#1 {}\nno completed\nc completed\ncompleted [0,\"completed\",\"skipped\"]";
    check_input(CONDITIONAL, json!({"n": 1}), &[Reply("no", json!(0))], expected);
    let missing = r#"
steps:
  - {id: c, step_type: conditional, condition: "workflow.input.n == 2", branches: {if_false: [{id: no, skill: s}]}}
"#;
    check(missing, &[], "c completed\ncompleted null");
}

#[test]
fn a_condition_without_value_fails_the_step() {
    let mut case = Case::new(CONDITIONAL, json!({}));
    case.replay();
    let Some(Outcome::Failed { error }) = case.run.outcome() else { panic!() };
    assert_eq!((error.code, error.step.as_deref(), error.line), (ErrorClass::Template, Some("c"), Some(4)));
    // An ended run takes nothing more.
    case.perform(&Cancel);
    assert_eq!(case.run.status(), RunStatus::Failed);
}

const SWITCH: &str = r#"
steps:
  - id: sw
    step_type: switch
    condition: "{{ workflow.input.kind }}"
    branches: {code: [{id: a, skill: s}], 2: [{id: b, skill: s}], true: [{id: t, skill: s}], null: [{id: n, skill: s}], default: [{id: d, skill: s}]}
"#;

#[test]
fn switch_compares_as_text() {
    for (kind, step) in [
        (json!("code"), "a"),
        (json!(2), "b"),
        (json!(2.0), "b"),
        (json!("2"), "b"),
        (json!(true), "t"),
        (json!(null), "n"),
        (json!("x"), "d"),
        (json!([]), "d"),
    ] {
        let case = Case::new(SWITCH, json!({"kind": kind}));
        assert_eq!(case.trace, [format!("call {step}#1 {{}}")], "{kind}");
    }
}

#[test]
fn switch_without_a_match_fails_or_skips() {
    let yaml = "steps: [{id: sw, step_type: switch, condition: workflow.input.n, branches: {one: [{id: a, skill: s}]}}]";
    check(yaml, &[], "sw failed no_match\nfailed step `sw`: no case for `2` (no_match)");
    let yaml = "steps: [{id: sw, step_type: switch, condition: workflow.input.n, on_no_match: skip, branches: {one: [{id: a, skill: s}]}}]";
    check(yaml, &[], "sw skipped\ncompleted null");
}

#[test]
fn when_guards_a_step() {
    check(
        r#"
steps:
  - {id: a, skill: s}
  - {id: b, skill: s, when: "steps.a.outputs.go"}
  - {id: c, skill: s, inputs: {b: "{{ steps.b.outputs }}", s: "{{ steps.b.status }}"}}
"#,
        &[Reply("a", json!({"go": false})), Reply("c", json!(3))],
        r#"
        call a#1 {}
        call c#1 {"b":null,"s":"skipped"}
        a completed
        b skipped
        c completed
        completed 3
        "#,
    );
}

#[test]
fn on_error_continue_shows_the_error() {
    check(
        r#"
steps:
  - {id: a, skill: s, on_error: continue}
  - {id: b, skill: s, inputs: {o: "{{ steps.a.outputs }}", e: "{{ steps.a.error.code }}", st: "{{ steps.a.status }}"}}
"#,
        &[Fail("a", ErrorClass::AgentError), Reply("b", json!(1))],
        r#"
        call a#1 {}
        call b#1 {"o":null,"e":"agent_error","st":"failed"}
        a failed agent_error
        b completed
        completed 1
        "#,
    );
}

#[test]
fn on_failure_continue_is_the_default_of_every_step() {
    let yaml = "error_handling: {on_failure: continue}\nsteps: [{id: a, skill: s}, {id: b, skill: s}]";
    check(
        yaml,
        &[Fail("a", ErrorClass::Timeout), Reply("b", json!(1))],
        "call a#1 {}\ncall b#1 {}\na failed timeout\nb completed\ncompleted 1",
    );
}

const CATCH: &str = r#"
steps:
  - id: a
    skill: s
    on_error: {steps: [{id: rescue, skill: s, inputs: {why: "{{ steps.a.error.message }}"}}]}
  - {id: b, skill: s, inputs: {a: "{{ steps.a.outputs }}", r: "{{ steps.rescue.status }}"}}
"#;

#[test]
fn a_catch_branch_stands_for_its_step() {
    check(
        CATCH,
        &[Fail("a", ErrorClass::Rejected), Reply("rescue", json!("ok")), Reply("b", json!(1))],
        r#"
        call a#1 {}
        call rescue#1 {"why":"boom"}
        call b#1 {"a":"ok","r":"completed"}
        rescue completed
        a failed rejected
        b completed
        completed 1
        "#,
    );
    check(
        CATCH,
        &[Reply("a", json!("fine")), Reply("b", json!(1))],
        "call a#1 {}\ncall b#1 {\"a\":\"fine\",\"r\":\"skipped\"}\na completed\nb completed\ncompleted 1",
    );
    check(
        CATCH,
        &[Fail("a", ErrorClass::Rejected), Fail("rescue", ErrorClass::Timeout)],
        r#"
        call a#1 {}
        call rescue#1 {"why":"boom"}
        rescue failed timeout
        a failed timeout
        failed step `rescue`: boom (timeout)
        "#,
    );
}

const RETRY: &str = "steps: [{id: a, skill: s, retry: {max_attempts: 3, initial: 1s, factor: 3, jitter: false}}]";

#[test]
fn retries_back_off_and_give_up() {
    check(
        RETRY,
        &[
            Fail("a", ErrorClass::Timeout),
            Fire("a", Timer::Retry),
            Fail("a", ErrorClass::Unavailable),
            Fire("a", Timer::Retry),
            Fail("a", ErrorClass::AgentError),
        ],
        r#"
        call a#1 {}
        timer a Retry 1001
        call a#2 {}
        timer a Retry 3003
        call a#3 {}
        a failed agent_error
        failed step `a`: boom (agent_error)
        "#,
    );
    check(RETRY, &[Fail("a", ErrorClass::Rejected)], "call a#1 {}\na failed rejected\nfailed step `a`: boom (rejected)");
    check(
        RETRY,
        &[FailAfter("a", 20_000), Fire("a", Timer::Retry), Reply("a", json!(1))],
        "call a#1 {}\ntimer a Retry 20001\ncall a#2 {}\na completed\ncompleted 1",
    );
}

#[test]
fn the_workflows_retry_is_every_steps_default() {
    let yaml = "error_handling: {retry: {max_attempts: 2, jitter: false}}\nsteps: [{id: a, skill: s}]";
    check(
        yaml,
        &[Fail("a", ErrorClass::Timeout), Fire("a", Timer::Retry), Reply("a", json!(1))],
        "call a#1 {}\ntimer a Retry 1001\ncall a#2 {}\na completed\ncompleted 1",
    );
}

#[test]
fn late_and_repeated_events_change_nothing() {
    check(
        RETRY,
        &[
            Fail("a", ErrorClass::Timeout),
            Again,
            Fire("a", Timer::Retry),
            Again,
            Reply("a", json!(1)),
            Again,
            Fail("a", ErrorClass::Timeout),
            Fire("a", Timer::Retry),
        ],
        "call a#1 {}\ntimer a Retry 1001\ncall a#2 {}\na completed\ncompleted 1",
    );
}

#[test]
fn a_group_ends_at_its_timeout() {
    check(
        r#"
steps:
  - {id: par, step_type: parallel, timeout: 5, on_error: continue, branches: {steps: [{id: a, skill: s}, {id: b, skill: s}]}}
  - {id: c, skill: s, inputs: {a: "{{ steps.a.outputs }}", e: "{{ steps.par.error.code }}"}}
"#,
        &[Reply("a", json!(1)), Fire("par", Timer::Deadline), Reply("b", json!(2)), Reply("c", json!(3))],
        r#"
        timer par Deadline 5000
        call a#1 {}
        call b#1 {}
        a completed
        cancel b
        call c#1 {"a":1,"e":"timeout"}
        b canceled canceled
        par failed timeout
        c completed
        completed 3
        "#,
    );
}

#[test]
fn a_group_that_ends_in_time_forgets_its_timer() {
    let yaml = "steps: [{id: par, step_type: parallel, timeout: 5, branches: {steps: [{id: a, skill: s}]}}]";
    check(
        yaml,
        &[Reply("a", json!(1)), Fire("par", Timer::Deadline)],
        "timer par Deadline 5000\ncall a#1 {}\nuntimer par Deadline\na completed\npar completed\ncompleted {\"a\":1}",
    );
}

const HANDLERS: &str = r#"
limits: {max_duration: 1m}
steps: [{id: a, skill: s}]
error_handling:
  on_success: [{id: ok, skill: s, inputs: {s: "{{ run.status }}"}}]
  on_error: [{id: bad, skill: s, inputs: {s: "{{ run.status }}", e: "{{ run.error.message }}"}}]
  on_cancel: [{id: gone, skill: s}]
  always: [{id: last, skill: s, inputs: {s: "{{ run.status }}"}}]
"#;

#[test]
fn handlers_run_by_outcome_and_always_last() {
    check(
        HANDLERS,
        &[Reply("a", json!(1)), Reply("ok", json!(2)), Reply("last", json!(3))],
        r#"
        timer  Deadline 60000
        call a#1 {}
        call ok#1 {"s":"completed"}
        a completed
        call last#1 {"s":"completed"}
        ok completed
        untimer  Deadline
        last completed
        completed 1
        "#,
    );
    check(
        HANDLERS,
        &[Fail("a", ErrorClass::AgentError), Fail("bad", ErrorClass::Timeout), Reply("last", json!(3))],
        r#"
        timer  Deadline 60000
        call a#1 {}
        call bad#1 {"s":"failed","e":"boom"}
        a failed agent_error
        call last#1 {"s":"failed"}
        bad failed timeout
        untimer  Deadline
        last completed
        failed step `a`: boom (agent_error)
        "#,
    );
    check(
        HANDLERS,
        &[Cancel, Reply("gone", json!(2)), Cancel],
        r#"
        timer  Deadline 60000
        call a#1 {}
        cancel a
        call gone#1 {}
        a canceled canceled
        call last#1 {"s":"canceled"}
        gone completed
        cancel last
        untimer  Deadline
        last canceled canceled
        canceled enough
        "#,
    );
}

#[test]
fn a_failed_handler_fails_a_completed_run() {
    let yaml = "steps: []\nerror_handling: {on_success: [{id: h, skill: s}]}";
    check(yaml, &[Fail("h", ErrorClass::AgentError)], "call h#1 {}\nh failed agent_error\nfailed step `h`: on_success: boom (agent_error)");
}

#[test]
fn the_runs_deadline_ends_everything() {
    check(
        "limits: {max_duration: 2s}\nsteps: [{id: a, skill: s, retry: {jitter: false}}]",
        &[Fail("a", ErrorClass::Timeout), RunDeadline, Fire("a", Timer::Retry)],
        r#"
        timer  Deadline 2000
        call a#1 {}
        timer a Retry 1001
        untimer a Retry
        untimer  Deadline
        a canceled canceled
        failed the run took longer than its limit of 2.0s (timeout)
        "#,
    );
}

#[test]
fn calls_to_agents_are_budgeted() {
    check(
        "limits: {max_agent_calls: 1}\nsteps: [{id: a, skill: s}, {id: b, skill: s}]",
        &[Reply("a", json!(1))],
        r#"
        call a#1 {}
        a completed
        b failed limit
        failed step `b`: the run may make at most 1 calls to agents (`limits.max_agent_calls`) (limit)
        "#,
    );
}

#[test]
fn a_question_waits_and_its_answer_goes_to_the_same_task() {
    let yaml = "steps: [{id: a, skill: s}, {id: b, skill: s}]";
    check(
        yaml,
        &[
            Ask("a"),
            Answer("a", json!({"colour": "red"})),
            Ask("a"),
            Answer("a", json!("blue")),
            Answer("a", json!("late")),
            Reply("a", json!(1)),
            Reply("b", json!(2)),
        ],
        r#"
        call a#1 {}
        a waiting
        call a#2 to task-a {"colour":"red"}
        a waiting
        call a#3 to task-a "blue"
        call b#1 {}
        a completed
        b completed
        completed 2
        "#,
    );
    let mut case = Case::new(yaml, json!({}));
    case.perform(&Ask("a"));
    assert_eq!(case.run.status(), RunStatus::InputRequired);
    assert_eq!(case.run.waiting().iter().map(Path::step).collect::<Vec<_>>(), ["a"]);
    case.perform(&Cancel);
    assert_eq!(case.run.status(), RunStatus::Canceled);
    assert_eq!(case.trace.last().unwrap(), "canceled enough");
}

#[test]
fn what_an_agent_says_is_data() {
    // The injection case: an answer that looks like the end of a string and another operand.
    let yaml = r#"
steps:
  - {id: a, skill: s, outputs: result}
  - id: c
    step_type: conditional
    condition: "'{{ steps.a.outputs.result }}' == 'y'"
    branches: {if_true: [{id: yes, skill: s}], if_false: [{id: no, skill: s, inputs: {said: "{{ steps.a.outputs.result }}"}}]}
"#;
    check(
        yaml,
        &[Reply("a", json!("x' != 'y' or 'z")), Reply("no", json!("{{ workflow.input.n }}"))],
        r#"
        call a#1 {}
        call no#1 {"said":"x' != 'y' or 'z"}
        a completed
        no completed
        c completed
        completed "{{ workflow.input.n }}"
        "#,
    );
}

#[test]
fn impossible_events_are_mismatches_and_change_nothing() {
    let plan = plan("steps: [{id: a, skill: s}, {id: b, skill: s}]");
    let at = Timestamp::from_unix_ms(1);
    let reply = |path: &str, attempt| Event::Replied { path: Path::new(path), attempt, value: Arc::new(json!(1)), by: None, at };
    let mut run = Run::new(Arc::clone(&plan));
    assert_eq!(run.apply(reply("/0:a", 1)), Err(Mismatch::Start));
    let Event::Started { run: id, input, .. } = started(json!({})) else { unreachable!() };
    let with = |workflow: Digest, semantics| Event::Started {
        run: id.clone(),
        workflow,
        semantics,
        input: Arc::clone(&input),
        ancestry: vec![],
        at,
    };
    let other = Digest::parse(&format!("sha256:{}", "1".repeat(64))).unwrap();
    assert!(matches!(run.apply(with(other, SEMANTICS)), Err(Mismatch::Plan { .. })));
    assert_eq!(run.apply(with(digest(), SEMANTICS + 1)), Err(Mismatch::Semantics(SEMANTICS + 1)));
    run.apply(started(json!({}))).unwrap();
    assert_eq!(run.apply(started(json!({}))), Err(Mismatch::Start));
    for (event, mismatch) in [
        (reply("/1:b", 1), Mismatch::Path(Path::new("/1:b"))),
        (reply("/9:x", 1), Mismatch::Path(Path::new("/9:x"))),
        (reply("/0:a", 2), Mismatch::Attempt { path: Path::new("/0:a"), attempt: 2 }),
        (reply("/0:a", 0), Mismatch::Attempt { path: Path::new("/0:a"), attempt: 0 }),
        (Event::Answered { path: Path::new("/1:b"), answer: Arc::new(json!(1)), at }, Mismatch::Path(Path::new("/1:b"))),
        (Event::TimerFired { path: Path::new("/1:b"), timer: Timer::Retry, at }, Mismatch::Path(Path::new("/1:b"))),
    ] {
        assert_eq!(run.apply(event), Err(mismatch));
    }
    assert!(!run.apply(reply("/0:a", 1)).unwrap().commands.is_empty());
}

#[test]
fn steps_nest_to_any_depth() {
    let yaml = r#"
steps:
  - id: o
    step_type: conditional
    condition: "true"
    branches:
      if_true:
        - id: sw
          step_type: switch
          condition: "'x'"
          branches:
            x:
              - id: par
                step_type: parallel
                branches: {p: [{id: in, step_type: conditional, condition: "1 == 1", branches: {if_true: [{id: leaf, skill: s}]}}], q: [{id: leaf2, skill: s}]}
"#;
    check(
        yaml,
        &[Reply("leaf", json!(1)), Reply("leaf2", json!(2))],
        r#"
        call leaf2#1 {}
        call leaf#1 {}
        leaf completed
        in completed
        leaf2 completed
        par completed
        sw completed
        o completed
        completed {"p":1,"q":2}
        "#,
    );
    let plan = plan(yaml);
    assert_eq!(plan.node(plan.find("leaf").unwrap()).path.as_str(), "/0:o[0]/0:sw[0]/0:par[0]/0:in[0]/0:leaf");
}

#[test]
fn thousands_of_skipped_steps_do_not_use_the_stack() {
    let steps: String = (0..6_000).map(|n| format!("  - {{id: s{n}, skill: s, when: 1 > 2}}\n")).collect();
    let case = Case::new(&format!("steps:\n{steps}"), json!({}));
    assert_eq!(case.run.outcome(), Some(&Outcome::Completed { output: Arc::new(Value::Null) }));
}

#[test]
fn a_run_whose_tree_has_used_too_much_fails_whatever_its_steps_cope_with_and_its_handlers_run() {
    let at = Timestamp::from_unix_ms(9);
    let end = || Event::Exhausted { reason: "together too much".to_owned(), at };
    let yaml = "
steps: [{id: both, step_type: parallel, on_error: continue, branches: {steps: [{id: a, skill: s, on_error: continue}, {id: b, skill: s}]}}]
error_handling: {on_error: [{id: say, skill: tell, inputs: {why: \"{{ run.error.message }}\"}}]}
";
    let mut run = Run::new(plan(yaml));
    assert_eq!(run.apply(end()).unwrap_err(), super::Mismatch::Start);
    run.apply(started(json!({}))).unwrap();
    assert_eq!((run.executed(), run.agent_calls()), (3, 2));
    let stopped = run.apply(end()).unwrap();
    let canceled = stopped.commands.iter().filter(|command| matches!(command, Command::CancelCall { .. })).count();
    assert_eq!(canceled, 2);
    let told = stopped.commands.iter().find_map(|command| if let Command::Call(call) = command { Some(&call.inputs) } else { None });
    assert_eq!(told.map(|inputs| &inputs["why"]), Some(&json!("together too much")));
    assert_eq!(run.apply(end()).unwrap(), Transition::default(), "its handlers are let be");
    let path = Path::new("on_error/0:say");
    let path = run.snapshot().steps.iter().find(|step| step.id.as_str() == "say").map_or(path, |step| step.path.clone());
    run.apply(Event::Replied { path, attempt: 1, value: Arc::new(json!(1)), by: None, at }).unwrap();
    let Some(Outcome::Failed { error }) = run.outcome() else { panic!("{:?}", run.outcome()) };
    assert_eq!((error.code, error.message.as_str()), (ErrorClass::Limit, "together too much"));
    assert_eq!(run.apply(end()).unwrap(), Transition::default());
    assert_eq!((run.executed(), run.agent_calls()), (4, 3));
}

#[test]
fn the_event_of_a_tree_that_has_used_too_much_is_read_as_it_was_written() {
    let text = r#"{"event":"exhausted","reason":"r","at":"1970-01-01T00:00:00.005Z"}"#;
    let event = Event::Exhausted { reason: "r".to_owned(), at: Timestamp::from_unix_ms(5) };
    assert_eq!(serde_json::from_str::<Event>(text).unwrap(), event);
    assert_eq!(serde_json::to_value(&event).unwrap(), serde_json::from_str::<Value>(text).unwrap());
}
