//! What has changed between versions of the semantics: a run goes by those that it began with, for ever.

use serde_json::{Value, json};

use super::Do::{self, Answer, Ask, Cancel, Fail, Fire, Reply};
use super::{Case, check_as};
use crate::interpreter::{ErrorClass, SEMANTICS, Timer};

/// The same script under the first semantics and under those of today.
fn check_both(yaml: &str, input: &Value, script: &[Do], first: &str, today: &str) {
    check_as(1, yaml, input.clone(), script, first);
    check_as(SEMANTICS, yaml, input.clone(), script, today);
}

#[test]
fn an_answer_is_passed_on_again_when_it_did_not_arrive() {
    let yaml = "steps: [{id: a, skill: s, inputs: {n: 1}, retry: {max_attempts: 2, jitter: false, on: [unavailable, agent_error]}}]";
    let script = [Ask("a"), Answer("a", json!("red")), Fail("a", ErrorClass::Unavailable), Fire("a", Timer::Retry), Reply("a", json!(1))];
    check_both(
        yaml,
        &json!({}),
        &script,
        // Two attempts were all there were.
        r#"
        call a#1 {"n":1}
        a waiting
        call a#2 to task-a "red"
        a failed unavailable
        failed step `a`: boom (unavailable)
        "#,
        r#"
        call a#1 {"n":1}
        a waiting
        call a#2 to task-a "red"
        timer a Retry 1003
        call a#3 to task-a "red"
        a completed
        completed 1
        "#,
    );
    let three = yaml.replace("max_attempts: 2", "max_attempts: 3");
    check_as(
        1,
        &three,
        json!({}),
        &script,
        r#"
        call a#1 {"n":1}
        a waiting
        call a#2 to task-a "red"
        timer a Retry 2003
        call a#3 {"n":1}
        a completed
        completed 1
        "#,
    );
    // A task that has failed takes no answer: the step begins anew.
    check_as(
        SEMANTICS,
        yaml,
        json!({}),
        &[Ask("a"), Answer("a", json!("red")), Fail("a", ErrorClass::AgentError), Fire("a", Timer::Retry), Reply("a", json!(1))],
        r#"
        call a#1 {"n":1}
        a waiting
        call a#2 to task-a "red"
        timer a Retry 1003
        call a#3 {"n":1}
        a completed
        completed 1
        "#,
    );
}

#[test]
fn a_call_that_goes_on_with_a_task_begins_anew_when_the_task_is_given_up() {
    // The agent may not have heard of a deadline that passed before it was asked.
    check_as(
        SEMANTICS,
        "steps: [{id: a, skill: s, retry: {max_attempts: 2, jitter: false}}]",
        json!({}),
        &[Ask("a"), Answer("a", json!("red")), Fail("a", ErrorClass::Timeout), Fire("a", Timer::Retry)],
        r#"
        call a#1 {}
        a waiting
        call a#2 to task-a "red"
        cancel a at task-a
        timer a Retry 1003
        call a#3 {}
        "#,
    );
}

#[test]
fn a_task_that_waits_for_an_answer_is_canceled_when_the_step_gives_it_up() {
    let script = |last: &[fn() -> Do]| {
        let mut script = vec![Ask("a"), Answer("a", json!("red")), Fail("a", ErrorClass::Unavailable)];
        script.extend(last.iter().map(|act| act()));
        script
    };
    check_both(
        "steps: [{id: a, skill: s}]",
        &json!({}),
        &script(&[]),
        r#"
        call a#1 {}
        a waiting
        call a#2 to task-a "red"
        a failed unavailable
        failed step `a`: boom (unavailable)
        "#,
        r#"
        call a#1 {}
        a waiting
        call a#2 to task-a "red"
        cancel a at task-a
        a failed unavailable
        failed step `a`: boom (unavailable)
        "#,
    );
    check_both(
        "steps: [{id: a, skill: s, retry: {max_attempts: 3, jitter: false}}]",
        &json!({}),
        &script(&[|| Cancel]),
        r#"
        call a#1 {}
        a waiting
        call a#2 to task-a "red"
        timer a Retry 2003
        untimer a Retry
        a canceled canceled
        canceled enough
        "#,
        r#"
        call a#1 {}
        a waiting
        call a#2 to task-a "red"
        timer a Retry 1003
        untimer a Retry
        cancel a at task-a
        a canceled canceled
        canceled enough
        "#,
    );
}

#[test]
fn answers_use_up_no_attempts() {
    check_both(
        "steps: [{id: a, skill: s, retry: {max_attempts: 2, jitter: false, on: [agent_error]}}]",
        &json!({}),
        &[
            Ask("a"),
            Answer("a", json!(1)),
            Ask("a"),
            Answer("a", json!(2)),
            Fail("a", ErrorClass::AgentError),
            Fire("a", Timer::Retry),
            Fail("a", ErrorClass::AgentError),
        ],
        r#"
        call a#1 {}
        a waiting
        call a#2 to task-a 1
        a waiting
        call a#3 to task-a 2
        a failed agent_error
        failed step `a`: boom (agent_error)
        "#,
        r#"
        call a#1 {}
        a waiting
        call a#2 to task-a 1
        a waiting
        call a#3 to task-a 2
        timer a Retry 1005
        call a#4 {}
        a failed agent_error
        failed step `a`: boom (agent_error)
        "#,
    );
}

#[test]
fn always_sees_what_the_run_ends_as() {
    let yaml = r#"
steps: []
error_handling:
  on_success: [{id: ok, skill: s}]
  always: [{id: last, skill: s, inputs: {s: "{{ run.status }}", e: "{{ run.error }}"}}]
"#;
    let trace = |seen: &str| {
        format!("call ok#1 {{}}\ncall last#1 {seen}\nok failed rejected\nlast completed\nfailed step `ok`: on_success: boom (rejected)")
    };
    let error = r#"{"code":"rejected","message":"on_success: boom","step":"ok","line":5}"#;
    check_both(
        yaml,
        &json!({}),
        &[Fail("ok", ErrorClass::Rejected), Reply("last", json!(1))],
        &trace(r#"{"s":"completed","e":null}"#),
        &trace(&format!(r#"{{"s":"failed","e":{error}}}"#)),
    );
}

#[test]
fn a_part_of_the_items_is_reckoned_exactly() {
    for (percent, items, tolerated) in
        [("29%", 100, 29), ("57%", 100, 57), ("0.7%", 1000, 7), ("100%", 7, 7), ("33.4%", 3, 1), ("0%", 9, 0)]
    {
        let yaml = |failing: usize| {
            format!(
                "steps:
- id: m
  step_type: map
  items: \"{{{{ workflow.input }}}}\"
  tolerate_failures: \"{percent}\"
  steps: [{{id: f, step_type: fail, when: \"{{{{ index < {failing} }}}}\", error: {{code: no, message: no}}}}]"
            )
        };
        let completes = |failing| {
            let case = Case::new(&yaml(failing), json!(vec![0; items]));
            case.trace.last().unwrap().starts_with("completed")
        };
        assert!(completes(tolerated), "{tolerated} of {items} are {percent}");
        assert!(tolerated == items || !completes(tolerated + 1), "{percent} of {items}");
    }
    let yaml = "steps: [{id: m, step_type: map, items: \"{{ workflow.input }}\", tolerate_failures: 29%, steps: [{id: f, step_type: fail, when: \"{{ index < 29 }}\", error: {code: no, message: no}}]}]";
    let first = Case::of(1, yaml, json!(vec![0; 100]));
    assert!(first.trace.last().unwrap().starts_with("failed"), "a run that began so ends so");
}

const HANDLERS: &str = r#"
steps: [{id: a, skill: s}]
error_handling:
  on_success: [{id: ok, skill: s}]
  always: [{id: last, skill: s, inputs: {s: "{{ run.status }}"}}]
"#;

#[test]
fn a_wish_to_cancel_ends_the_handler_under_way_and_always_still_runs() {
    check_as(
        1,
        HANDLERS,
        json!({}),
        &[Reply("a", json!(1)), Cancel],
        "call a#1 {}\ncall ok#1 {}\na completed\ncancel ok\nok canceled canceled\ncompleted 1",
    );
    check_as(
        SEMANTICS,
        HANDLERS,
        json!({}),
        &[Reply("a", json!(1)), Cancel, Reply("last", json!(2))],
        r#"
        call a#1 {}
        call ok#1 {}
        a completed
        cancel ok
        call last#1 {"s":"completed"}
        ok canceled canceled
        last completed
        completed 1
        "#,
    );
    // While `always` itself runs nothing is left that could still run.
    check_as(
        SEMANTICS,
        HANDLERS,
        json!({}),
        &[Cancel, Cancel],
        "call a#1 {}\ncancel a\ncall last#1 {\"s\":\"canceled\"}\na canceled canceled\ncancel last\nlast canceled canceled\ncanceled enough",
    );
}

#[test]
fn a_handler_that_goes_round_in_circles_has_failed() {
    let yaml = r#"
steps: [{id: a, skill: s}]
error_handling:
  on_success: [{id: round, step_type: loop, while: "true", max_iterations: 1000, steps: [{id: v, step_type: set, value: 1}]}]
  always: [{id: last, skill: s, inputs: {s: "{{ run.status }}"}}]
"#;
    let ends = |semantics| {
        let mut case = Case::of(semantics, yaml, json!({}));
        case.run.steps_max = 20;
        case.perform(&Reply("a", json!(1)));
        if semantics > 1 {
            case.perform(&Reply("last", json!(2)));
        }
        case.trace
    };
    let first = ends(1);
    assert_eq!(first.last().unwrap(), "completed 1", "{first:#?}");
    let today = ends(SEMANTICS);
    assert!(today.contains(&r#"call last#1 {"s":"failed"}"#.to_owned()), "{today:#?}");
    let end = today.last().unwrap();
    assert!(end.starts_with("failed") && end.contains("on_success: the run executed 20 steps") && end.ends_with("(limit)"), "{end}");
}

#[test]
fn a_fail_step_ends_the_run_whatever_the_others_do() {
    let yaml = |more: &str| {
        format!(
            "error_handling: {{on_failure: continue}}\nsteps: [{{id: f, step_type: fail, error: {{code: no, message: stop}}{more}}}, {{id: b, skill: s}}]"
        )
    };
    check_both(&yaml(""), &json!({}), &[], "call b#1 {}\nf failed author", "f failed author\nfailed step `f`: stop (no)");
    // Unless its author says otherwise there.
    check_both(&yaml(", on_error: continue"), &json!({}), &[], "call b#1 {}\nf failed author", "call b#1 {}\nf failed author");
    check_both(
        &yaml(", on_error: fail"),
        &json!({}),
        &[],
        "f failed author\nfailed step `f`: stop (no)",
        "f failed author\nfailed step `f`: stop (no)",
    );
}

#[test]
fn an_error_that_is_passed_on_keeps_its_authors_code() {
    let yaml = "steps:
- {id: f, step_type: fail, error: {code: boom, message: no}, on_error: continue}
- {id: g, step_type: fail, error: \"{{ steps.f.error }}\"}";
    let told = |code: &str| {
        format!(
            r"
            f failed author
            g failed author
            failed step `g`: no ({code})
            "
        )
    };
    for (semantics, code) in [(1, "author"), (2, "author"), (SEMANTICS, "boom")] {
        check_as(semantics, yaml, json!({}), &[], &told(code));
    }
}
