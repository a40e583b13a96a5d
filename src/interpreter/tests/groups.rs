//! Steps side by side: their window, what becomes of the others when one fails, a group's timeout.

use serde_json::json;

use super::Do::{Fail, Fire, Reply};
use super::check;
use crate::interpreter::{ErrorClass, Timer};

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
