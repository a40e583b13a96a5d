//! A recorded run against workflows that are the same, or are not.

use serde_json::json;

use super::*;
use crate::ids::{Digest, RunId};
use crate::interpreter::{RunStatus, SEMANTICS};
use crate::journal::{Header, Record};
use crate::time::Timestamp;

const RECORDED: &str = "metadata: {id: w, name: W, version: 1.0.0}
steps:
  - {id: a, skill: first, inputs: {n: 1}}
  - {id: b, skill: second, inputs: {deep: {value: \"{{ steps.a.outputs.x }}\"}}}
output: {sum: \"{{ steps.b.outputs.y }}\"}
";

fn plan(text: &str, digit: &str) -> Arc<Plan> {
    let workflow = crate::workflow::parse(text).workflow.unwrap();
    Arc::new(Plan::new(workflow, text, Digest::parse(&format!("sha256:{}", digit.repeat(64))).unwrap()))
}

fn recorded() -> Export {
    let (run, at) = (RunId::parse("r").unwrap(), Timestamp::from_unix_ms(1));
    let digest = plan(RECORDED, "0").digest().clone();
    let reply = |path: &str, value| Event::Replied { path: Path::new(path), attempt: 1, value: Arc::new(value), by: None, at };
    let events = vec![
        Event::Started {
            run: run.clone(),
            workflow: digest.clone(),
            semantics: SEMANTICS,
            input: Arc::new(json!({})),
            ancestry: vec![],
            at,
        },
        reply("/0:a", json!({"x": 5})),
        reply("/1:b", json!({"y": 6})),
    ];
    let header = Header {
        run,
        workflow: "w".into(),
        version: "1.0.0".into(),
        digest,
        source: RECORDED.into(),
        idempotency_key: Some("secret".into()),
        labels: BTreeMap::new(),
        note: None,
        started_at: at,
    };
    Export::new(Record { header, status: RunStatus::Completed, changed_at: at, rests: false, asks_access: false }, events)
}

fn against(text: &str) -> Replayed {
    // As it comes from a file.
    let export = serde_json::from_str(&serde_json::to_string(&recorded()).unwrap()).unwrap();
    replay(&export, plan(RECORDED, "0"), plan(text, "1")).unwrap()
}

#[test]
fn the_same_workflow_goes_the_same_way() {
    let replayed = against(RECORDED);
    assert_eq!((replayed.events, &replayed.divergence), (3, &None));
    assert_eq!(replayed.outcome, Some(Outcome::Completed { output: Arc::new(json!({"sum": 6})) }));
    assert!(!serde_json::to_string(&recorded()).unwrap().contains("secret"), "keys are not exported");
}

#[test]
fn the_first_difference_is_told() {
    for (from, to, event, step, recorded, now) in [
        ("{n: 1}", "{n: 2}", 1, Some("a"), "inputs.n is 1", "inputs.n is 2"),
        ("skill: first", "skill: other", 1, Some("a"), "it calls `first`, attempt 1", "it calls `other`, attempt 1"),
        ("{deep: {value:", "{deep: {other:", 2, Some("b"), "inputs.deep.value is 5", "inputs.deep.value is absent"),
        (
            "  - {id: b",
            "  - {id: z, skill: more}\n  - {id: b",
            2,
            Some("b"),
            "it calls `second`, attempt 1",
            "instead `z` calls `more`, attempt 1",
        ),
        ("output: {sum:", "output: {total:", 3, None, "the run's output.sum is 6", "the run's output.sum is absent"),
        ("steps.b.outputs.y", "steps.b.outputs.q", 3, None, "the run ends (completed)", "the run ends (failed)"),
        ("inputs: {n: 1}}", "inputs: {n: 1}, timeout: 9s}", 0, None, "", ""),
    ] {
        let text = RECORDED.replacen(from, to, 1);
        assert_ne!(text, RECORDED, "{from}");
        let found = against(&text).divergence;
        if event == 0 {
            assert_eq!(found, None, "{to}");
            continue;
        }
        let found = found.unwrap_or_else(|| panic!("{to} is a difference"));
        let step_found = found.step.as_ref().map(Path::step);
        assert_eq!((found.event, step_found, found.recorded.as_str(), found.now.as_str()), (event, step, recorded, now), "{to}");
    }
}

#[test]
fn a_record_that_does_not_fit_itself_is_refused() {
    let mut export = recorded();
    export.events.remove(1);
    assert!(replay(&export, plan(RECORDED, "0"), plan(RECORDED, "0")).is_err());
}
