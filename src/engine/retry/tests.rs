//! A run, what it was told, and what a retry of it still knows and asks for.

use serde_json::json;

use super::*;
use crate::ids::Digest;
use crate::interpreter::{Command, ErrorClass, SEMANTICS, StepError, Timer};

const STEP: &str = "{id: NAME, skill: s, inputs: {n: \"NAME\"}}";

fn plan(steps: &str) -> Arc<Plan> {
    let text = format!("metadata: {{id: w, name: W, version: 1.0.0}}\n{steps}");
    let parsed = crate::workflow::parse(&text);
    let workflow = parsed.workflow.unwrap_or_else(|| panic!("{text}\n{:#?}", parsed.diagnostics));
    Arc::new(Plan::new(workflow, text, digest()))
}

fn digest() -> Digest {
    Digest::parse(&format!("sha256:{}", "0".repeat(64))).unwrap()
}

fn id(text: &str) -> RunId {
    RunId::parse(text).unwrap()
}

/// `name` replies, `!name` fails, `?name` asks, `>name` is answered, `@name` passes its deadline, `cancel`, `late` passes the run's.
fn event(run: &Run, calls: &BTreeMap<String, (Path, u32)>, word: &str) -> Event {
    let at = Timestamp::from_unix_ms(1000);
    let (mark, name) = if word.starts_with(['!', '?', '>', '@']) { word.split_at(1) } else { ("", word) };
    let called = || calls.get(name).cloned().unwrap_or_else(|| panic!("{name} was not called, of {calls:?}"));
    match (mark, name) {
        ("", "cancel") => Event::CancelRequested { reason: "enough".into(), at },
        ("", "late") => Event::TimerFired { path: Path::run(), timer: Timer::Deadline, at },
        ("!", _) => {
            let (path, attempt) = called();
            Event::Failed { path, attempt, error: StepError::new(ErrorClass::AgentError, "no"), by: None, inputs: None, entropy: 0, at }
        }
        ("?", _) => {
            let (path, attempt) = called();
            let question = crate::interpreter::Question { remote: None, schema: None, auth: false, prompt: Arc::new(json!("well?")) };
            Event::Asked { path, attempt, question, by: None, inputs: None, at }
        }
        (">", _) => {
            let waiting = run.waiting().into_iter().find(|path| path.step() == name);
            let path = waiting.unwrap_or_else(|| run.unasked(name).unwrap().0.clone());
            Event::Answered { path, answer: Arc::new(json!("yes")), note: None, at }
        }
        ("@", _) => {
            let path = run.snapshot().steps.iter().find(|step| step.id.as_str() == name).unwrap().path.clone();
            Event::TimerFired { path, timer: Timer::Deadline, at }
        }
        _ => {
            let (path, attempt) = called();
            Event::Replied { path, attempt, value: Arc::new(json!(name)), by: None, inputs: None, at }
        }
    }
}

/// Names of calls: the step, with the number of the repetition it is in.
fn called(path: &Path) -> String {
    let index = path.as_str().rsplit_once(']').and_then(|(before, _)| before.rsplit_once('[')).map(|(_, index)| index);
    match index {
        Some(index) if path.as_str().contains("list") => format!("{}{index}", path.step()),
        _ => path.step().to_owned(),
    }
}

fn record(plan: &Arc<Plan>, script: &str) -> Vec<Event> {
    let mut run = Run::new(Arc::clone(plan));
    let (at, input) = (Timestamp::from_unix_ms(0), Arc::new(json!({"items": ["a", "b", "c"]})));
    let mut events = vec![Event::Started { run: id("old"), workflow: digest(), semantics: SEMANTICS, input, ancestry: vec![], at }];
    let mut calls = BTreeMap::new();
    let note = |transition: Transition, calls: &mut BTreeMap<String, (Path, u32)>| {
        for command in transition.commands {
            if let Command::Call(call) = command {
                calls.insert(called(&call.path), (call.path, call.attempt));
            }
        }
    };
    note(run.apply(events[0].clone()).unwrap(), &mut calls);
    for word in script.split_whitespace() {
        let event = event(&run, &calls, word);
        note(run.apply(event.clone()).unwrap(), &mut calls);
        events.push(event);
    }
    events
}

/// What a retry asks for at once, or why there is none.
fn retried(steps: &str, script: &str) -> Result<String, String> {
    let plan = plan(steps);
    let events = record(&plan, script);
    let at = Timestamp::from_unix_ms(5000);
    let Seed { history, status } = seed(&plan, &id("old"), &events, &id("new"), at).map_err(|error| error.to_string())?;
    assert!(history.iter().all(|event| event.at() == at), "timers count from the retry");
    // What follows from the history is what the engine would carry out.
    let mut run = Run::new(plan);
    let mut open: BTreeMap<Path, String> = BTreeMap::new();
    for event in history {
        if let Some(path) = event.path() {
            open.remove(path);
        }
        for command in run.apply(event).unwrap().commands {
            match command {
                Command::Call(call) => _ = open.insert(call.path.clone(), format!("{}#{}", called(&call.path), call.attempt)),
                Command::CancelCall { path } => _ = open.remove(&path),
                Command::CancelTask { .. } | Command::StartTimer { .. } | Command::CancelTimer { .. } => {}
            }
        }
    }
    assert_eq!(run.status(), status);
    let waiting = run.waiting().into_iter().map(|path| format!("{}?", path.step()));
    Ok(open.into_values().chain(waiting).collect::<Vec<_>>().join(" "))
}

fn step(name: &str) -> String {
    STEP.replace("NAME", name)
}

#[test]
fn a_retry_asks_only_for_what_went_wrong() {
    let (a, b, c) = (step("a"), step("b"), step("c"));
    let with = |name: &str, more: &str| step(name).replace('}', "") + &format!("}}, {more}}}");
    let chain = format!("steps: [{a}, {b}, {c}]");
    let together = |more: &str| format!("steps:\n- {a}\n- id: p\n  step_type: parallel\n{more}  branches: {{x: [{b}], y: [{c}]}}\n",);
    let list = format!(
        "steps:\n- id: list\n  step_type: map\n  items: \"{{{{ workflow.input.items }}}}\"\n  tolerate_failures: 1\n  steps: [{a}]\n- {b}\n"
    );
    let cases: Vec<(String, &str, &str)> = vec![
        (chain.clone(), "!a", "a#1"),
        (chain.clone(), "a !b", "b#1"),
        (chain.clone(), "a b !c", "c#1"),
        (chain.clone(), "a cancel", "b#1"),
        // A question of an agent died with the run; the step begins anew.
        (chain.clone(), "a ?b cancel", "b#1"),
        // An attempt that failed before one that did not is history, too.
        (format!("steps: [{}, {b}]", with("a", "retry: {max_attempts: 2, on: [agent_error]}")), "a !b", "b#1"),
        // The sibling that was canceled begins anew, the one that completed is kept.
        (together("  fail_fast: true\n"), "a !b", "b#1 c#1"),
        (together("  fail_fast: true\n"), "a c !b", "b#1"),
        (together("  fail_fast: false\n"), "a !b !c", "b#1 c#1"),
        // More items failed than may: each of them begins anew, also those that would have been tolerated.
        (list.clone(), "a1 !a0 !a2", "a0#1 a2#1"),
        // Tolerated failures stay.
        (list.clone(), "a1 !a0 a2 !b", "b#1"),
        // A failure that was coped with stays as it is.
        (format!("steps: [{}, {b}]", with("a", "on_error: continue")), "!a !b", "b#1"),
        (format!("steps: [{}, {b}]", with("a", &format!("on_error: {{steps: [{c}]}}"))), "!a c !b", "b#1"),
        // Its branch failed as well: the step itself begins anew, and the branch with it.
        (format!("steps: [{}, {b}]", with("a", &format!("on_error: {{steps: [{c}]}}"))), "!a !c", "a#1"),
        // Handlers ran for an end that is no more.
        (format!("{chain}\nerror_handling: {{on_error: [{}]}}", step("h")), "a !b h", "b#1"),
        (format!("{chain}\nerror_handling: {{on_success: [{}]}}", step("h")), "a b c !h", "h#1"),
        // A deadline of the whole run, or of a group.
        (format!("{chain}\nlimits: {{max_duration: 5s}}"), "a late", "b#1"),
        (together("  timeout: 5s\n"), "a b @p", "c#1"),
        // What a person said is kept.
        (format!("steps: [{{id: q, step_type: input, prompt: hm}}, {b}]"), ">q !b", "b#1"),
        (format!("steps: [{a}, {{id: q, step_type: input, prompt: hm}}]"), "a cancel", "q?"),
        // Also before it was asked.
        (format!("steps: [{a}, {{id: q, step_type: input, prompt: hm}}, {b}]"), ">q !a", "a#1"),
        (format!("steps: [{a}, {{id: q, step_type: input, prompt: hm}}, {b}]"), ">q a !b", "b#1"),
    ];
    for (steps, script, expected) in cases {
        assert_eq!(retried(&steps, script).as_deref(), Ok(expected), "{steps}\nafter: {script}");
    }
}

#[test]
fn what_cannot_be_retried_is_refused() {
    let (a, b) = (step("a"), step("b"));
    for (steps, script, expected) in [
        (format!("steps: [{a}, {b}]"), "a b", "it has not failed"),
        (format!("steps: [{a}, {b}]"), "a", "it has not failed"),
        (
            format!("steps: [{a}, {{id: f, step_type: fail, error: {{code: no, message: stop}}}}]"),
            "a",
            "fail in the same way again: step `f`: stop",
        ),
        (format!("steps: [{a}]\noutput: {{x: \"{{{{ steps.a.outputs.nothing.there }}}}\"}}"), "a", "in the same way again"),
    ] {
        let refused = retried(&steps, script).unwrap_err();
        assert!(refused.contains(expected), "{refused}");
    }
}
