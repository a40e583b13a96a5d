//! Requests in, decisions out.

use serde_json::json;

use super::*;
use crate::router::ScriptState;

struct Workflow {
    id: &'static str,
    description: &'static str,
    tags: Vec<String>,
    examples: Vec<String>,
}

fn workflows() -> Vec<Workflow> {
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    vec![
        Workflow {
            id: "code-generation-v1",
            description: "Plans, generates and reviews code",
            tags: owned(&["code", "programming"]),
            examples: owned(&["Create a function to calculate prime numbers"]),
        },
        Workflow { id: "data-analysis", description: "Statistics of a CSV table", tags: owned(&["data", "csv"]), examples: vec![] },
        Workflow { id: "content-creation", description: "Writes articles and posts", tags: owned(&["content"]), examples: vec![] },
    ]
}

fn decide(options: Options, text: &str, message: Value) -> Decision {
    let workflows = workflows();
    let entries: Vec<Entry<'_>> = workflows
        .iter()
        .map(|w| Entry { id: w.id, name: w.id, description: w.description, tags: &w.tags, examples: &w.examples })
        .collect();
    let router = Router::new(options).unwrap();
    let request = Request { text, message: &message };
    router.by_rule(&request).unwrap_or_else(|| router.by_words(&request, &entries))
}

#[test]
fn words_find_the_workflow_or_ask() {
    for (text, expected) in [
        ("write a function that sorts numbers, generate code", Some("code-generation-v1")),
        ("analyze this csv data", Some("data-analysis")),
        ("write an article", Some("content-creation")),
        ("book me a flight to Lisbon", None),
        ("", None),
        ("the and of", None),
        ("data content", None),
    ] {
        let found = match decide(Options::default(), text, json!({})) {
            Decision::Run { run, .. } => Some(run.workflow),
            Decision::Ask { candidates, reason } => {
                assert!(!reason.is_empty() && candidates.len() <= 5, "{text}");
                None
            }
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(found.as_deref(), expected, "{text}");
    }
}

#[test]
fn a_question_names_what_could_be_meant() {
    let Decision::Ask { candidates, .. } = decide(Options::default(), "data content", json!({})) else { panic!("decided") };
    let ids: Vec<&str> = candidates.iter().map(|candidate| candidate.id.as_str()).collect();
    assert_eq!(ids.len(), 2);
    assert!(ids.contains(&"data-analysis") && ids.contains(&"content-creation"));
    let Decision::Ask { candidates, .. } = decide(Options::default(), "flight", json!({})) else { panic!("decided") };
    assert_eq!(candidates.len(), 3, "without a common word every workflow is offered");
}

#[test]
fn rules_go_before_words_and_match_message_fields() {
    let rules = json!([
        {"name": "vip", "when": {"metadata.customer.tier": "^gold$"}, "run": {"workflow": "data-analysis:v2", "text_as": "request"}},
        {"name": "script", "when": {"messageId": "^tck-complete-task"}, "respond": [{"status": "completed", "message": "Hello"}]},
        {"name": "uri", "when": {"metadata.https://x.example/k": "yes"}, "reject": "not here"},
        {"name": "text", "when": {"text": "(?i)refund"}, "reject": "ask a person"},
    ]);
    let options = || Options { rules: serde_json::from_value(rules.clone()).unwrap(), ..Options::default() };
    let reason = |decision: &Decision| match decision {
        Decision::Run { reason, .. }
        | Decision::Respond { reason, .. }
        | Decision::Reject { reason, .. }
        | Decision::Ask { reason, .. } => reason.clone(),
    };
    for (text, message, expected) in [
        ("csv", json!({"metadata": {"customer": {"tier": "gold"}}}), "rule `vip`"),
        ("csv", json!({"messageId": "tck-complete-task-1"}), "rule `script`"),
        ("csv", json!({"metadata": {"https://x.example/k": "yes"}}), "rule `uri`"),
        ("a REFUND please", json!({}), "rule `text`"),
    ] {
        assert_eq!(reason(&decide(options(), text, message.clone())), expected, "{message}");
    }
    let decision = decide(options(), "csv data", json!({"metadata": {"customer": {"tier": "silver"}}}));
    assert!(matches!(decision, Decision::Run { run, .. } if run.workflow == "data-analysis"));
}

#[test]
fn a_fallback_runs_instead_of_a_question() {
    let options = Options { fallback: Some("content-creation".to_owned()), ..Options::default() };
    let decision = decide(options, "flight to Lisbon", json!({}));
    assert!(matches!(decision, Decision::Run { run, reason } if run.workflow == "content-creation" && reason.starts_with("fallback")));
}

#[test]
fn below_the_threshold_or_within_the_margin_the_caller_is_asked() {
    let asked = |threshold: f64, margin: f64, text: &str| {
        let decision = decide(Options { threshold, margin, ..Options::default() }, text, json!({}));
        match decision {
            Decision::Ask { reason, .. } => Some(reason),
            Decision::Run { .. } => None,
            Decision::Respond { .. } | Decision::Reject { .. } => panic!("{decision:?}"),
        }
    };
    let sparse = "csv and then fly to Lisbon by balloon with friends";
    assert_eq!(asked(0.0, 1.0, sparse), None);
    assert!(asked(0.25, 1.0, sparse).unwrap().contains("covers only"), "a rare word in common is not enough");
    assert_eq!(asked(1.0, 1.0, "csv data"), None, "all of it is covered");
    assert!(asked(0.25, 1.1, "data content").unwrap().contains("about equally"));
    assert_eq!(asked(0.25, 1.0, "data content csv"), None);
    assert!(asked(0.25, 1_000.0, "data content csv").unwrap().contains("about equally"));
}

#[test]
fn bounds_that_make_no_sense_are_refused() {
    for (threshold, margin, told) in [
        (-0.1, 1.1, "threshold"),
        (1.1, 1.1, "threshold"),
        (f64::NAN, 1.1, "threshold"),
        (0.5, 0.9, "margin"),
        (0.5, f64::NAN, "margin"),
        (0.5, f64::INFINITY, "margin"),
    ] {
        let error = Router::new(Options { threshold, margin, ..Options::default() }).unwrap_err().to_string();
        assert!(error.contains(told), "{threshold} {margin}: {error}");
    }
}

#[test]
fn faulty_rules_are_named() {
    for (rule, expected) in [
        (json!({"name": "a", "when": {"text": "("}, "reject": "x"}), "rule `a`: `when.text` is not a regular expression"),
        (json!({"name": "b"}), "rule `b` must have exactly one of"),
        (json!({"name": "c", "reject": "x", "respond": [{"status": "failed"}]}), "rule `c` must have exactly one of"),
        (json!({"name": "d", "respond": []}), "rule `d`: `respond` is empty"),
        (json!({"name": "e", "respond": [{"status": "working"}]}), "rule `e`: `respond` must end"),
        (json!({"name": "f", "respond": [{"message": "x"}, {"status": "completed"}]}), "rule `f`: a `message` without"),
        (json!({"name": "g", "respond": [{"status": "completed"}, {"status": "failed"}]}), "rule `g`: `respond` must end"),
    ] {
        let options = Options { rules: vec![serde_json::from_value(rule.clone()).unwrap()], ..Options::default() };
        let error = Router::new(options).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    for act in [json!({"delay": "soon"}), json!({"status": "done"}), json!({"delay": "1s", "status": "failed"}), json!({"x": 1}), json!({})]
    {
        assert!(serde_json::from_value::<Act>(act.clone()).is_err(), "{act}");
    }
}

#[test]
fn acts_read_as_they_are_written() {
    let acts: Vec<Act> = serde_json::from_value(json!([
        {"status": "working"}, {"delay": "4s"}, {"artifact": {"parts": [{"text": "a"}], "append": true}}, {"status": "input_required", "message": "More?"},
    ]))
    .unwrap();
    assert_eq!(acts[1], Act::Delay(std::time::Duration::from_secs(4)));
    assert!(matches!(&acts[2], Act::Artifact(artifact) if artifact.append && artifact.id == "output"));
    assert!(matches!(&acts[3], Act::Status { state: ScriptState::InputRequired, message: Some(said) } if said.parts().len() == 1));
}
