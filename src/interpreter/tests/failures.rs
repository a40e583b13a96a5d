//! Steps that fail: what goes on after them, what stands for them, how often they are tried again.

use serde_json::json;

use super::Do::{Again, Fail, FailAfter, Fire, Reply};
use super::check;
use crate::interpreter::{ErrorClass, Timer};

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

/// What docs/WORKFLOW_ENGINE.md says is retried, and nothing else.
#[test]
fn a_retry_that_says_nothing_tries_three_times_and_doubles_its_delay() {
    use ErrorClass::{
        AgentError, Author, Canceled, Internal, InvalidInput, InvalidReply, Limit, NoAgent, NoMatch, RateLimited, Refused, Rejected,
        Template, Timeout, TooLarge, Unavailable,
    };
    const PLAIN: &str = "steps: [{id: a, skill: s, retry: {jitter: false}}]";
    for class in [Timeout, Unavailable, RateLimited, AgentError] {
        let code = class.code();
        check(
            PLAIN,
            &[Fail("a", class), Fire("a", Timer::Retry), Fail("a", class), Fire("a", Timer::Retry), Fail("a", class)],
            &format!(
                "call a#1 {{}}\ntimer a Retry 1001\ncall a#2 {{}}\ntimer a Retry 2003\ncall a#3 {{}}\na failed {code}\nfailed step `a`: boom ({code})"
            ),
        );
    }
    for class in [Rejected, InvalidReply, TooLarge, Refused, NoAgent, Template, InvalidInput, NoMatch, Author, Canceled, Limit, Internal] {
        let code = class.code();
        check(PLAIN, &[Fail("a", class)], &format!("call a#1 {{}}\na failed {code}\nfailed step `a`: boom ({code})"));
    }
    let once = "call a#1 {}\na failed timeout\nfailed step `a`: boom (timeout)";
    check("steps: [{id: a, skill: s}]", &[Fail("a", Timeout)], once);
}

/// Without random bits the delay is the shortest that is drawn: half of the whole, which is at most 30 s.
#[test]
fn a_retry_that_says_nothing_of_jitter_has_some_and_waits_no_longer_than_half_a_minute() {
    check(
        "steps: [{id: a, skill: s, retry: {factor: 100}}]",
        &[
            Fail("a", ErrorClass::Timeout),
            Fire("a", Timer::Retry),
            Fail("a", ErrorClass::Timeout),
            Fire("a", Timer::Retry),
            Reply("a", json!(1)),
        ],
        "call a#1 {}\ntimer a Retry 501\ncall a#2 {}\ntimer a Retry 15003\ncall a#3 {}\na completed\ncompleted 1",
    );
}
