//! Events out of their order: questions and answers, events that cannot be, and many transitions at once.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Do::{Answer, Ask, Cancel, Reply};
use super::{Case, check, digest, plan, started};
use crate::ids::Digest;
use crate::interpreter::{Event, Mismatch, Outcome, Run, RunStatus, SEMANTICS, StepStatus, Timer};
use crate::plan::Path;
use crate::time::Timestamp;

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
fn impossible_events_are_mismatches_and_change_nothing() {
    let plan = plan("steps: [{id: a, skill: s}, {id: b, skill: s}]");
    let at = Timestamp::from_unix_ms(1);
    let reply =
        |path: &str, attempt| Event::Replied { path: Path::new(path), attempt, value: Arc::new(json!(1)), by: None, inputs: None, at };
    let mut run = Run::new(Arc::clone(&plan));
    assert_eq!(run.apply(reply("/0:a", 1)), Err(Mismatch::Start));
    let Event::Started { run: id, input, .. } = started(json!({})) else { unreachable!() };
    let with = |workflow: Digest, semantics| Event::Started {
        run: id.clone(),
        workflow,
        semantics,
        input: Arc::clone(&input),
        ancestry: vec![],
        work: None,
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
        (Event::Answered { path: Path::new("/1:b"), answer: Arc::new(json!(1)), note: None, at }, Mismatch::Path(Path::new("/1:b"))),
        (Event::TimerFired { path: Path::new("/1:b"), timer: Timer::Retry, at }, Mismatch::Path(Path::new("/1:b"))),
    ] {
        assert_eq!(run.apply(event), Err(mismatch));
    }
    assert!(!run.apply(reply("/0:a", 1)).unwrap().commands.is_empty());
}

#[test]
fn thousands_of_skipped_steps_do_not_use_the_stack() {
    let steps: String = (0..6_000).map(|n| format!("  - {{id: s{n}, skill: s, when: 1 > 2}}\n")).collect();
    let case = Case::new(&format!("steps:\n{steps}"), json!({}));
    assert_eq!(case.run.outcome(), Some(&Outcome::Completed { output: Arc::new(Value::Null) }));
}

#[test]
fn a_run_in_the_middle_of_a_transition_is_at_work_whatever_waits() {
    let yaml = r#"
steps:
  - id: both
    step_type: parallel
    branches:
      asks: [{id: ask, step_type: input, prompt: "well?"}]
      works: [{id: many, step_type: map, items: "{{ workflow.input }}", steps: [{id: one, step_type: set, value: "{{ item }}"}]}]
  - {id: last, step_type: input, prompt: "and now?"}
"#;
    let mut run = Run::new(plan(yaml));
    let items: Vec<usize> = (0..crate::limits::TRANSITION_PART).collect();
    run.enter(started(json!(items))).unwrap();
    let mut busy_while_asked = 0;
    while run.is_busy() {
        busy_while_asked += usize::from(!run.waiting().is_empty());
        assert_eq!((run.status(), run.snapshot().status), (RunStatus::Running, RunStatus::Running));
        run.proceed();
    }
    assert!(busy_while_asked > 1, "the question came in the first of several parts");
    assert_eq!((run.status(), run.snapshot().status), (RunStatus::InputRequired, RunStatus::InputRequired));
}

/// Journals hold JSON, and what is read must be what was written to the last bit: a reply, and whatever was decided from it.
#[test]
fn numbers_with_a_fraction_are_read_as_they_were_written() {
    let mut bits = 1_u64;
    let mut next = || {
        // Knuth's multiplicative generator: any bits will do, the same ones each time.
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from_bits(bits)
    };
    let numbers: Vec<f64> = std::iter::repeat_with(&mut next).filter(|number| number.is_finite()).take(10_000).collect();
    let path = serde_json::from_value::<Path>(json!("/0:a")).unwrap();
    let event = Event::Replied { path, attempt: 1, value: Arc::new(json!(numbers)), by: None, inputs: None, at: Timestamp::default() };
    let read: Event = serde_json::from_str(&serde_json::to_string(&event).unwrap()).unwrap();
    assert!(read == event, "some of them are others now");
}

/// From then on nothing takes another one.
#[test]
fn an_early_answer_is_taken_once() {
    let yaml =
        "steps: [{id: v, step_type: set, value: 1}, {id: ask, step_type: input, prompt: \"well?\"}, {id: w, step_type: set, value: 2}]";
    let Event::Started { run: id, workflow, semantics, input, ancestry, at, .. } = started(json!({})) else { unreachable!() };
    let work = std::num::NonZeroU32::new(1);
    let mut run = Run::new(plan(yaml));
    run.apply(Event::Started { run: id, workflow, semantics, input, ancestry, work, at }).unwrap();
    let (path, _) = run.unasked("ask").unwrap();
    let answered = Event::Answered { path: path.clone(), answer: json!("yes").into(), note: None, at };
    run.apply(answered).unwrap();
    let mut taken_and_not_over = 0;
    while run.is_cut() {
        run.apply(Event::Continued { work: work.unwrap(), at }).unwrap();
        assert_eq!(run.unasked("ask").is_some(), !run.early.is_empty());
        let is_over = run.snapshot().steps.iter().any(|step| step.id.as_str() == "ask" && step.status == StepStatus::Completed);
        taken_and_not_over += usize::from(run.early.is_empty() && !is_over);
    }
    assert_eq!((taken_and_not_over, run.status()), (1, RunStatus::Completed));
}
