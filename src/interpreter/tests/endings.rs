//! How a run ends: its handlers, its deadline, and what it may use alone or with the runs of its tree.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Do::{Cancel, Fail, Fire, Reply, RunDeadline};
use super::{check, plan, started};
use crate::interpreter::{Command, ErrorClass, Event, Mismatch, Outcome, Run, Timer, Transition};
use crate::plan::Path;
use crate::time::Timestamp;

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
fn a_run_whose_tree_has_used_too_much_fails_whatever_its_steps_cope_with_and_its_handlers_run() {
    let at = Timestamp::from_unix_ms(9);
    let end = || Event::Exhausted { reason: "together too much".to_owned(), at };
    let yaml = "
steps: [{id: both, step_type: parallel, on_error: continue, branches: {steps: [{id: a, skill: s, on_error: continue}, {id: b, skill: s}]}}]
error_handling: {on_error: [{id: say, skill: tell, inputs: {why: \"{{ run.error.message }}\"}}]}
";
    let mut run = Run::new(plan(yaml));
    assert_eq!(run.apply(end()).unwrap_err(), Mismatch::Start);
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
    run.apply(Event::Replied { path, attempt: 1, value: Arc::new(json!(1)), by: None, inputs: None, at }).unwrap();
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

#[test]
fn an_answer_is_read_with_a_note_and_without_as_it_was_written_before_there_were_any() {
    let (path, answer, at) = (Path::new("/0:a"), Arc::new(json!("yes")), Timestamp::from_unix_ms(5));
    for (note, text) in [
        (None, r#"{"event":"answered","path":"/0:a","answer":"yes","at":"1970-01-01T00:00:00.005Z"}"#),
        (Some(Arc::from("[1]")), r#"{"event":"answered","path":"/0:a","answer":"yes","note":"[1]","at":"1970-01-01T00:00:00.005Z"}"#),
    ] {
        let event = Event::Answered { path: path.clone(), answer: Arc::clone(&answer), note, at };
        assert_eq!(serde_json::from_str::<Event>(text).unwrap(), event);
        assert_eq!(serde_json::to_value(&event).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }
}

#[test]
fn a_run_has_the_last_notes_of_its_answers_at_hand() {
    let asks = (0..3).map(|n| format!("  - {{id: a{n}, step_type: input, prompt: x}}\n")).collect::<String>();
    let mut run = Run::new(plan(&format!("steps:\n{asks}")));
    run.apply(started(json!({}))).unwrap();
    let at = Timestamp::from_unix_ms(7);
    for (n, note) in [(0, Some("first")), (1, None), (2, Some("last"))] {
        let path = Path::new(format!("/{n}:a{n}"));
        run.apply(Event::Answered { path, answer: Arc::new(json!(n)), note: note.map(Arc::from), at }).unwrap();
    }
    let snapshot = run.snapshot();
    assert_eq!(snapshot.notes, [Arc::from("first"), Arc::from("last")]);
    assert_eq!((snapshot.changed_at, snapshot.finished_at), (at, Some(at)));
    // What comes late changes nothing that can be seen.
    run.apply(Event::CancelRequested { reason: "late".to_owned(), at: Timestamp::from_unix_ms(9) }).unwrap();
    assert_eq!(run.snapshot().changed_at, at);
}
