//! Steps that hold steps many times or in competition, steps that wait, and the bounds on all of them: maps, loops, races, sub-workflows,
//! waits, questions, budgets.

use std::sync::Arc;

use serde_json::json;

use super::Do::{Answer, Ask, Cancel, Fail, FailAt, Fire, Reply, ReplyAt};
use super::{Case, check, check_input, plan, started};
use crate::interpreter::{AgentUsed, Command, ErrorClass, Event, Outcome, Run, RunStatus, StepError, StepStatus, Timer, Transition};
use crate::plan::Path;
use crate::time::Timestamp;

const MAP: &str = r#"
steps:
  - id: m
    step_type: map
    items: "{{ workflow.input.items }}"
    as: word
    max_concurrency: 2
    tolerate_failures: 1
    steps:
      - {id: a, skill: s, inputs: {w: "{{ word }}", same: "{{ item == word }}", n: "{{ index }}"}}
      - {id: b, skill: s, inputs: {a: "{{ steps.a.outputs }}"}}
output: "{{ steps.m.outputs }}"
"#;

#[test]
fn map_runs_its_body_for_each_item_through_a_window() {
    check_input(
        MAP,
        json!({"items": ["x", "y", "z"]}),
        &[
            ReplyAt("/0:m[1]/0:a", json!(10)),
            ReplyAt("/0:m[0]/0:a", json!(20)),
            ReplyAt("/0:m[1]/1:b", json!("Y")),
            ReplyAt("/0:m[1]/1:b", json!("late")),
            ReplyAt("/0:m[2]/0:a", json!(30)),
            ReplyAt("/0:m[2]/1:b", json!("Z")),
            ReplyAt("/0:m[0]/1:b", json!("X")),
        ],
        r#"
        call a#1 {"w":"x","same":true,"n":0}
        call a#1 {"w":"y","same":true,"n":1}
        call b#1 {"a":10}
        a completed
        call b#1 {"a":20}
        a completed
        call a#1 {"w":"z","same":true,"n":2}
        b completed
        call b#1 {"a":30}
        a completed
        b completed
        b completed
        m completed
        completed ["X","Y","Z"]
        "#,
    );
}

#[test]
fn map_tolerates_as_many_failures_as_allowed() {
    check_input(
        MAP,
        json!({"items": ["x", "y"]}),
        &[FailAt("/0:m[0]/0:a", ErrorClass::AgentError), ReplyAt("/0:m[1]/0:a", json!(1)), ReplyAt("/0:m[1]/1:b", json!(2))],
        r#"
        call a#1 {"w":"x","same":true,"n":0}
        call a#1 {"w":"y","same":true,"n":1}
        a failed agent_error
        call b#1 {"a":1}
        a completed
        b completed
        m completed agent_error
        completed [null,2]
        "#,
    );
    check_input(
        MAP,
        json!({"items": ["x", "y", "z"]}),
        &[FailAt("/0:m[0]/0:a", ErrorClass::AgentError), FailAt("/0:m[1]/0:a", ErrorClass::Timeout), ReplyAt("/0:m[2]/0:a", json!(1))],
        r#"
        call a#1 {"w":"x","same":true,"n":0}
        call a#1 {"w":"y","same":true,"n":1}
        call a#1 {"w":"z","same":true,"n":2}
        a failed agent_error
        cancel a
        a failed timeout
        a canceled canceled
        m failed agent_error
        failed step `m`: 2 of 3 items failed: item 0: boom; item 1: boom (agent_error)
        "#,
    );
}

#[test]
fn map_of_nothing_and_of_no_list() {
    check_input(MAP, json!({"items": []}), &[], "m completed\ncompleted []");
    check_input(
        MAP,
        json!({"items": "x"}),
        &[],
        "m failed template\nfailed step `m`: items: a list is needed, but this is a text (template)",
    );
}

#[test]
fn map_reduces_by_expression_and_by_steps() {
    let by = |reduce: &str| {
        format!(
            "steps:\n  - {{id: m, step_type: map, items: [1, 2, 3], skill: s, inputs: {{n: \"{{{{ item }}}}\"}}, reduce: {{initial: 0, {reduce}}}}}\n"
        )
    };
    let replies = [ReplyAt("/0:m[0]/0:m_item", json!(10)), ReplyAt("/0:m[1]/0:m_item", json!(20)), ReplyAt("/0:m[2]/0:m_item", json!(30))];
    let calls = "call m_item#1 {\"n\":1}\ncall m_item#1 {\"n\":2}\ncall m_item#1 {\"n\":3}\n";
    check(
        &by("expression: \"{{ accumulator + item }}\""),
        &replies,
        &format!("{calls}m_item completed\nm_item completed\nm_item completed\nm completed\ncompleted 60"),
    );
    check(
        &by("steps: [{id: add, step_type: set, value: \"{{ accumulator * 2 + item + index }}\"}]"),
        &replies,
        &format!(
            "{calls}m_item completed\nm_item completed\nm_item completed\nadd completed\nadd completed\nadd completed\nm completed\ncompleted 114"
        ),
    );
}

#[test]
fn maps_nest() {
    check_input(
        r#"
steps:
  - id: rows
    step_type: map
    items: "{{ workflow.input }}"
    as: row
    steps:
      - {id: cells, step_type: map, items: "{{ row }}", steps: [{id: c, step_type: set, value: ["{{ row | length }}", "{{ item }}", "{{ index }}"]}]}
"#,
        json!([[1, 2], [3]]),
        &[],
        r#"
        c completed
        c completed
        c completed
        cells completed
        cells completed
        rows completed
        completed [[[2,1,0],[2,2,1]],[[1,3,0]]]
        "#,
    );
}

#[test]
fn loops_repeat_while_or_until() {
    check(
        r#"
steps:
  - {id: l, step_type: loop, until: "{{ steps.t.outputs.done }}", max_iterations: 5, steps: [{id: t, skill: s, inputs: {i: "{{ iteration }}"}}]}
"#,
        &[
            ReplyAt("/0:l[0]/0:t", json!({"done": false})),
            ReplyAt("/0:l[0]/0:t", json!("late")),
            ReplyAt("/0:l[1]/0:t", json!({"done": true})),
        ],
        r#"
        call t#1 {"i":0}
        call t#1 {"i":1}
        t completed
        t completed
        l completed
        completed {"done":true}
        "#,
    );
    check(
        "steps: [{id: l, step_type: loop, while: \"{{ iteration < workflow.input.n }}\", max_iterations: 5, steps: [{id: t, step_type: set, value: \"{{ iteration * 10 }}\"}]}]",
        &[],
        "t completed\nt completed\nl completed\ncompleted 10",
    );
    check(
        "steps: [{id: l, step_type: loop, while: \"true\", max_iterations: 2, steps: [{id: t, step_type: set, value: 1}]}]",
        &[],
        "t completed\nt completed\nl failed limit\nfailed step `l`: the loop did not end within its 2 iterations (`max_iterations`) (limit)",
    );
}

const RACE: &str = "steps: [{id: r, step_type: race, branches: {fast: [{id: a, skill: s}], sure: [{id: b, skill: s}, {id: c, skill: s}]}}]";

#[test]
fn race_takes_the_first_success() {
    check(
        RACE,
        &[FailAt("/0:r[0]/0:a", ErrorClass::Timeout), Reply("b", json!(1)), Reply("c", json!("won"))],
        "call a#1 {}\ncall b#1 {}\na failed timeout\ncall c#1 {}\nb completed\nc completed\nr completed\ncompleted \"won\"",
    );
    check(
        RACE,
        &[Reply("a", json!(7)), Reply("b", json!(1))],
        "call a#1 {}\ncall b#1 {}\ncancel b\na completed\nb canceled canceled\nr completed\ncompleted 7",
    );
    check(
        RACE,
        &[Fail("b", ErrorClass::Rejected), Fail("a", ErrorClass::Timeout)],
        r#"
        call a#1 {}
        call b#1 {}
        b failed rejected
        a failed timeout
        r failed rejected
        failed step `r`: no branch succeeded: `sure`: boom; `fast`: boom (rejected)
        "#,
    );
}

#[test]
fn a_sub_workflow_is_a_call_of_our_own() {
    let yaml = "steps: [{id: w, step_type: workflow, workflow: \"other:1.0.0\", inputs: {a: \"{{ workflow.input.n }}\"}}]";
    let case = Case::new(yaml, json!({"n": 2}));
    assert_eq!(case.trace, ["call w#1 {\"workflow_id\":\"other:1.0.0\",\"input\":{\"a\":2}}"]);
    check(yaml, &[Reply("w", json!(3))], "call w#1 {\"workflow_id\":\"other:1.0.0\",\"input\":{\"a\":2}}\nw completed\ncompleted 3");
}

#[test]
fn waits_are_timers() {
    check(
        "steps: [{id: w, step_type: wait, for: 30s}, {id: u, step_type: wait, until: \"1970-01-01T00:01:00Z\"}]",
        &[Fire("w", Timer::Wait), Fire("w", Timer::Wait), Fire("u", Timer::Wait)],
        "timer w Wait 30000\ntimer u Wait 60000\nw completed\nu completed\ncompleted null",
    );
    check(
        "steps: [{id: w, step_type: wait, for: 30s}]",
        &[Cancel],
        "timer w Wait 30000\nuntimer w Wait\nw canceled canceled\ncanceled enough",
    );
}

#[test]
fn input_waits_for_an_answer_or_takes_its_default() {
    let yaml = "steps: [{id: q, step_type: input, prompt: \"ok, {{ workflow.input.n }}?\", timeout: 60, default: never, outputs: answer}]";
    check(
        yaml,
        &[Answer("q", json!(true))],
        "timer q Deadline 60000\nq waiting\nuntimer q Deadline\nq completed\ncompleted {\"answer\":true}",
    );
    check(
        yaml,
        &[Fire("q", Timer::Deadline), Answer("q", json!(1))],
        "timer q Deadline 60000\nq waiting\nq completed\ncompleted {\"answer\":\"never\"}",
    );
    let yaml = "steps: [{id: q, step_type: input, prompt: hm, timeout: 60}]";
    check(
        yaml,
        &[Fire("q", Timer::Deadline)],
        "timer q Deadline 60000\nq waiting\nq failed timeout\nfailed step `q`: no answer came within 1m00s (timeout)",
    );
    let mut case = Case::new("steps: [{id: q, step_type: input, prompt: hm}]", json!({}));
    assert_eq!(case.run.status(), RunStatus::InputRequired);
    case.perform(&Cancel);
    assert_eq!(case.run.status(), RunStatus::Canceled);
}

#[test]
fn an_answer_that_comes_before_its_question_is_kept() {
    let yaml = "steps:
- {id: a, skill: s}
- {id: q, step_type: input, prompt: \"{{ steps.a.outputs }}\", timeout: 60, outputs: answer}
- {id: r, step_type: input, prompt: r}
output: [\"{{ steps.q.outputs.answer }}\", \"{{ steps.r.outputs }}\"]";
    // Of several the last one counts, and one that comes after its step asked answers it as ever.
    check(
        yaml,
        &[Answer("q", json!(1)), Answer("q", json!(2)), Reply("a", json!("a")), Answer("q", json!(3)), Answer("r", json!(4))],
        "call a#1 {}\na completed\nq completed\nr waiting\nr completed\ncompleted [2,4]",
    );
    check(yaml, &[Answer("r", json!(4)), Cancel], "call a#1 {}\ncancel a\na canceled canceled\ncanceled enough");
    // A question that cannot be put is an error, answered or not.
    let broken = "steps: [{id: a, skill: s}, {id: q, step_type: input, prompt: \"{{ steps.a.outputs.x }}\"}]";
    let mut case = Case::new(broken, json!({}));
    case.perform(&Answer("q", json!(1)));
    case.perform(&Reply("a", json!({})));
    assert_eq!(case.run.status(), RunStatus::Failed);
    // A step that was passed over, one that is over, one of a repetition, and one that is no question.
    let yaml = "steps:
- {id: over, step_type: input, prompt: x}
- {id: skipped, step_type: conditional, condition: \"{{ false }}\", branches: {if_true: [{id: never, step_type: input, prompt: x}]}}
- {id: a, skill: s}
- {id: m, step_type: map, items: [1], steps: [{id: inside, step_type: input, prompt: x}]}
- {id: last, step_type: input, prompt: x}";
    let mut case = Case::new(yaml, json!({}));
    case.perform(&Answer("over", json!(1)));
    let unasked = ["over", "never", "a", "inside", "last", "/4:last", "nobody"].map(|step| case.run.unasked(step).is_some());
    assert_eq!(unasked, [false, false, false, false, true, true, false]);
}

#[test]
fn fail_ends_the_run_with_the_authors_words() {
    let yaml = "steps: [{id: f, step_type: fail, error: {code: too_big, message: \"{{ workflow.input.n }} is too big\"}}]";
    check(yaml, &[], "f failed author\nfailed step `f`: 2 is too big (too_big)");
    let case = Case::new(yaml, json!({"n": 3}));
    let Some(Outcome::Failed { error }) = case.run.outcome() else { panic!() };
    assert_eq!(error.reason.as_deref(), Some("too_big"));
}

#[test]
fn ten_thousand_items_leave_nothing_behind() {
    let items: Vec<u32> = (0..10_000).collect();
    let yaml = "steps: [{id: m, step_type: map, items: \"{{ workflow.input }}\", steps: [{id: x, step_type: set, value: \"{{ item }}\"}]}]";
    let case = Case::new(yaml, json!(items));
    assert_eq!(case.run.outcome(), Some(&Outcome::Completed { output: Arc::new(json!(items)) }));
    assert!(case.run.frames.len() <= 2 + crate::limits::GROUP_CONCURRENCY as usize, "{} frames", case.run.frames.len());
    assert_eq!(case.run.places.len(), 1);
}

/// Bodies that are stopped, by a race or a deadline, leave as little behind as those that end.
#[test]
fn stopped_repetitions_leave_nothing_behind() {
    let items: Vec<u32> = (0..1_000).collect();
    let yaml = "
steps:
  - id: m
    step_type: map
    items: \"{{ workflow.input }}\"
    steps:
      - id: r
        step_type: race
        branches:
          first: [{id: a, step_type: set, value: 1}, {id: b, step_type: set, value: 2}]
          second: [{id: l, step_type: loop, max_iterations: 2, while: \"true\", steps: [{id: n, step_type: map, items: [1], steps: [{id: c, skill: s}]}]}]
";
    let case = Case::new(yaml, json!(items));
    assert!(matches!(case.run.outcome(), Some(Outcome::Completed { .. })));
    assert!(case.run.frames.len() <= 2 + 3 * crate::limits::GROUP_CONCURRENCY as usize, "{} frames", case.run.frames.len());
    assert_eq!((case.run.places.len(), case.run.free.len()), (1, case.run.frames.len() - 1));

    let yaml = "
steps:
  - {id: l, step_type: loop, timeout: 1, max_iterations: 9, while: \"true\", on_error: continue, steps: [{id: n, step_type: map, items: [1], steps: [{id: c, skill: s}]}]}
";
    let mut case = Case::new(yaml, json!({}));
    case.perform(&Fire("l", Timer::Deadline));
    case.perform(&ReplyAt("/0:l[0]/0:n[0]/0:c", json!("late")));
    assert_eq!(case.trace.last().unwrap(), "completed null");
    assert_eq!((case.run.places.len(), case.run.free.len()), (1, case.run.frames.len() - 1));
    case.replay();
}

/// Late outcomes of items are late, whatever their map does by then: it is reduced, it is caught.
#[test]
fn outcomes_of_items_come_late_to_a_map_that_goes_on() {
    let race = "{id: r, step_type: race, branches: {f: [{id: a, skill: s}], s: [{id: b, skill: s}]}}";
    let reduced =
        format!("steps: [{{id: m, step_type: map, items: [1], steps: [{race}], reduce: {{initial: 0, steps: [{{id: x, skill: s}}]}}}}]");
    check(
        &reduced,
        &[ReplyAt("/0:m[0]/0:r[0]/0:a", json!(1)), ReplyAt("/0:m[0]/0:r[1]/0:b", json!("late")), ReplyAt("/0:m~[0]/0:x", json!(3))],
        "call a#1 {}\ncall b#1 {}\ncancel b\ncall x#1 {}\na completed\nb canceled canceled\nr completed\nx completed\nm completed\ncompleted 3",
    );
    let caught = "steps: [{id: m, step_type: map, items: [1, 2], steps: [{id: a, skill: s}], on_error: {steps: [{id: c, skill: s}]}}]";
    check(
        caught,
        &[FailAt("/0:m[0]/0:a", ErrorClass::Rejected), ReplyAt("/0:m[1]/0:a", json!("late")), Reply("c", json!(4))],
        "call a#1 {}\ncall a#1 {}\ncancel a\ncall c#1 {}\na failed rejected\na canceled canceled\nc completed\nm failed rejected\ncompleted 4",
    );
}

#[test]
fn windows_of_billions_cost_nothing() {
    check(
        "steps: [{id: p, step_type: parallel, max_concurrency: 4294967295, branches: {steps: [{id: a, step_type: set, value: 1}]}}]",
        &[],
        "a completed\np completed\ncompleted {\"a\":1}",
    );
}

#[test]
fn a_call_beyond_the_budget_was_never_made() {
    let yaml = "limits: {max_agent_calls: 1}\nsteps: [{id: a, skill: s, retry: {max_attempts: 2, initial: 1s, jitter: false}}]";
    let mut case = Case::new(yaml, json!({}));
    case.perform(&Fail("a", ErrorClass::Timeout));
    case.perform(&Fire("a", Timer::Retry));
    assert_eq!(case.run.snapshot().steps[0].attempts, 1);

    // The task that asked is told that no answer will come.
    let mut case = Case::new("limits: {max_agent_calls: 1}\nsteps: [{id: a, skill: s}]", json!({}));
    case.perform(&Ask("a"));
    case.perform(&Answer("a", json!("blue")));
    assert!(case.trace.iter().any(|line| line.contains("task-a")), "{:?}", case.trace);
}

/// A run that may execute so many steps, and what it says in the end.
fn bounded(steps_max: u64, yaml: &str) -> (Run, Vec<String>) {
    let mut run = Run::new(plan(yaml));
    run.steps_max = steps_max;
    let transition = run.apply(started(json!({}))).unwrap();
    let mut case =
        Case { plan: plan(yaml), run, events: Vec::new(), transitions: Vec::new(), attempts: Default::default(), trace: Vec::new() };
    case.note(&transition);
    (case.run, case.trace)
}

#[test]
fn steps_are_counted_over_all_repetitions_and_the_most_is_never_passed() {
    let nested = "
steps:
  - id: outer
    step_type: loop
    while: \"true\"
    max_iterations: 1000
    on_error: continue
    steps:
      - id: inner
        step_type: loop
        while: \"true\"
        max_iterations: 1000
        on_error: continue
        steps: [{id: v, step_type: set, value: 1, on_error: continue}]
  - {id: after, skill: s}
";
    let (run, trace) = bounded(5_000, nested);
    let Some(Outcome::Failed { error }) = run.outcome() else { panic!("{:?}", run.outcome()) };
    assert_eq!(error.code, ErrorClass::Limit);
    assert_eq!(error.message, "the run executed 5000 steps, repetitions included, which is the most it may");
    assert!(trace.len() < 5_100 && !trace.iter().any(|line| line.starts_with("call")), "nothing follows");
    assert!(run.snapshot().steps.iter().all(|step| step.status != StepStatus::Running), "{:?}", run.snapshot());

    // As many as allowed are fine, one more is not; a step that is skipped counts as well.
    let flat = |count: usize| {
        format!(
            "steps:\n{}",
            (0..count).map(|n| format!("  - {{id: s{n}, step_type: set, value: 1, when: \"{}\"}}\n", n % 2 == 0)).collect::<String>()
        )
    };
    assert!(matches!(bounded(10, &flat(10)).0.outcome(), Some(Outcome::Completed { .. })));
    assert!(matches!(bounded(10, &flat(11)).0.outcome(), Some(Outcome::Failed { .. })));
}

#[test]
fn handlers_run_after_too_many_steps_and_are_bounded_themselves() {
    let spin = |id: &str| {
        format!("{{id: {id}, step_type: loop, while: \"true\", max_iterations: 1000, steps: [{{id: {id}_v, step_type: set, value: 1}}]}}")
    };
    let yaml =
        format!("steps: [{}]\nerror_handling: {{on_error: [{{id: say, step_type: set, value: \"{{{{ run.error.code }}}}\"}}]}}", spin("a"));
    let (run, trace) = bounded(100, &yaml);
    assert!(trace.contains(&"say completed".to_owned()), "{trace:?}");
    assert!(matches!(run.outcome(), Some(Outcome::Failed { error }) if error.code == ErrorClass::Limit));
    let yaml = format!("steps: [{}]\nerror_handling: {{always: [{}]}}", spin("a"), spin("b"));
    let (run, trace) = bounded(100, &yaml);
    assert!(matches!(run.outcome(), Some(Outcome::Failed { error }) if error.code == ErrorClass::Limit));
    assert!(trace.len() < 250, "{}", trace.len());
}

#[test]
fn too_many_steps_cancel_what_is_in_flight() {
    let yaml = "
steps:
  - id: both
    step_type: parallel
    branches:
      slow: [{id: a, skill: s}]
      spins: [{id: b, step_type: loop, while: \"true\", max_iterations: 1000, steps: [{id: v, step_type: set, value: 1}]}]
";
    let (run, trace) = bounded(50, yaml);
    assert!(run.outcome().is_some());
    assert!(trace.contains(&"cancel a".to_owned()) && trace.contains(&"a canceled canceled".to_owned()), "{trace:?}");
}

#[test]
fn the_attempt_after_an_outage_names_who_was_away() {
    let used = |name: &str| Arc::new(AgentUsed { name: name.into(), card: None, reason: "x".into() });
    for (class, after) in [
        (ErrorClass::Unavailable, Some("a")),
        (ErrorClass::RateLimited, Some("a")),
        (ErrorClass::Timeout, Some("a")),
        (ErrorClass::AgentError, None),
    ] {
        let mut run = Run::new(plan("steps: [{id: a, skill: s, retry: {max_attempts: 3, jitter: false}}]"));
        let first = run.apply(started(json!({}))).unwrap();
        let at = Timestamp::from_unix_ms(1);
        let path = Path::new("/0:a");
        let of = |transition: Transition| {
            transition.commands.into_iter().find_map(|command| match command {
                Command::Call(call) => Some(call.after.map(|by| by.name.clone())),
                _ => None,
            })
        };
        assert_eq!(of(first), Some(None));
        let by = Some(used("a"));
        run.apply(Event::Failed { path: path.clone(), attempt: 1, error: StepError::new(class, "x"), by, inputs: None, entropy: 0, at })
            .unwrap();
        let second = run.apply(Event::TimerFired { path: path.clone(), timer: Timer::Retry, at }).unwrap();
        assert_eq!(of(second), Some(after.map(str::to_owned)), "{class:?}");
    }
}

#[test]
fn a_map_that_fails_names_the_first_failures_and_says_that_there_are_more() {
    const ITEMS: [&str; 7] = ["/0:m[0]/0:a", "/0:m[1]/0:a", "/0:m[2]/0:a", "/0:m[3]/0:a", "/0:m[4]/0:a", "/0:m[5]/0:a", "/0:m[6]/0:a"];
    for (failures, more) in [(5, ""), (6, "; …"), (7, "; …")] {
        let yaml = format!(
            r#"steps: [{{id: m, step_type: map, items: "{{{{ workflow.input }}}}", tolerate_failures: {}, steps: [{{id: a, skill: s}}]}}]"#,
            failures - 1
        );
        let mut case = Case::new(&yaml, json!(ITEMS));
        for item in &ITEMS[..failures] {
            case.perform(&FailAt(item, ErrorClass::AgentError));
        }
        let listed = "item 0: boom; item 1: boom; item 2: boom; item 3: boom; item 4: boom";
        let expected = format!("failed step `m`: {failures} of 7 items failed: {listed}{more} (agent_error)");
        assert_eq!(case.trace.last(), Some(&expected));
        case.replay();
    }
}
