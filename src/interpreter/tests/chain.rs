//! Steps one after the other: what a step gives to the next, what the run gives in the end, what an agent says being data.

use serde_json::json;

use super::Do::Reply;
use super::{Case, check};
use crate::interpreter::{ErrorClass, Outcome};

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
