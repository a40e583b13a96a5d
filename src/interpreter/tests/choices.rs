//! Steps that are taken or left: `conditional`, `switch`, `when`, and these in one another.

use serde_json::json;

use super::Do::{Cancel, Reply};
use super::{Case, check, check_input, plan};
use crate::interpreter::{ErrorClass, Outcome, RunStatus};

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
