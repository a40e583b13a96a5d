//! A recorded run against workflows that are the same, or are not.

use serde_json::json;

use super::*;
use crate::ids::{Digest, RunId, StepId};
use crate::interpreter::{ErrorClass, RunStatus, SEMANTICS, StepError, StepStatus};
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

const AT: Timestamp = Timestamp::from_unix_ms(1);

/// A reply, with what was asked with, if that is recorded.
fn reply(path: &str, value: Value, asked_with: Option<Value>) -> Event {
    let (path, value, inputs) = (Path::new(path), Arc::new(value), asked_with.map(|inputs| payload::of(&inputs)));
    Event::Replied { path, attempt: 1, value, by: None, inputs, at: AT }
}

fn recorded() -> Export {
    export(RECORDED, vec![reply("/0:a", json!({"x": 5}), None), reply("/1:b", json!({"y": 6}), None)])
}

/// A run that completed after these events.
fn export(text: &str, mut events: Vec<Event>) -> Export {
    let (run, at) = (RunId::parse("r").unwrap(), AT);
    let digest = plan(text, "0").digest().clone();
    let (workflow, input) = (digest.clone(), Arc::new(json!({})));
    events.insert(0, Event::Started { run: run.clone(), workflow, semantics: SEMANTICS, input, ancestry: vec![], work: None, at });
    let header = Header {
        run,
        workflow: "w".into(),
        version: "1.0.0".into(),
        digest,
        source: text.into(),
        idempotency_key: Some("secret".into()),
        labels: BTreeMap::new(),
        note: None,
        started_at: at,
    };
    Export::new(Record { header, status: RunStatus::Completed, changed_at: at, rests: false, asks_access: false }, events)
}

/// Events of a run whose first step failed, with `on_error` of that step and what else it stands in.
const COPED: &str = "metadata: {id: w, name: W, version: 1.0.0}
steps:
  - {id: a, skill: first, on_error: continue}
  - {id: b, skill: second}
";

fn failure(path: &str) -> Event {
    let error = StepError::new(ErrorClass::AgentError, "no");
    Event::Failed { path: Path::new(path), attempt: 1, error, by: None, inputs: None, entropy: 0, at: AT }
}

#[test]
fn a_failure_that_is_no_longer_coped_with_is_told_by_what_ends() {
    let difference = |export: &Export, text: &str| {
        let Divergence { step, recorded, now, .. } = replayed(export, text).divergence.expect("they differ");
        (step.map(|path| path.to_string()).unwrap_or_default(), recorded, now)
    };
    let told = |step: &str, recorded: &str, now: &str| (step.to_owned(), recorded.to_owned(), now.to_owned());
    let coped = export(COPED, vec![failure("/0:a"), reply("/1:b", json!({}), None)]);
    assert_eq!(
        difference(&coped, &COPED.replace(", on_error: continue", "")),
        told("/1:b", "it calls `second`, attempt 1", "it is not called: the run ends without it (failed: step `a`: no (agent_error))")
    );
    // A step that is over at once, instead of a call.
    let value = COPED.replace("skill: second", "step_type: set, value: 1");
    assert_eq!(
        difference(&export(&value, vec![failure("/0:a")]), &value.replace(", on_error: continue", "")),
        told("/1:b", "it is over (completed)", "it is not over: the run ends without it (failed: step `a`: no (agent_error))")
    );
    // Inside a group that ends, and not the run.
    let grouped = "metadata: {id: w, name: W, version: 1.0.0}
steps:
  - id: g
    step_type: parallel
    on_error: continue
    branches: {one: [{id: a, skill: first, on_error: continue}, {id: b, skill: second}]}
  - {id: c, skill: third}
";
    let inside = export(grouped, vec![failure("/0:g[0]/0:a"), reply("/0:g[0]/1:b", json!({}), None), reply("/1:c", json!({}), None)]);
    assert_eq!(
        difference(&inside, &grouped.replace("first, on_error: continue", "first")),
        told("/0:g", "it is not over", "it is over (failed: no (agent_error))")
    );
    // The other way round: it is coped with now, and was not.
    let mut fatal = export(&value.replace(", on_error: continue", ""), vec![failure("/0:a")]);
    fatal.status = RunStatus::Failed;
    assert_eq!(
        difference(&fatal, &value),
        told("/1:b", "it is not over: the run ends without it (failed: step `a`: no (agent_error))", "it is over (completed)")
    );
}

fn against(text: &str) -> Replayed {
    replayed(&recorded(), text)
}

fn replayed(export: &Export, text: &str) -> Replayed {
    // As it comes from a file.
    let export: Export = serde_json::from_str(&serde_json::to_string(export).unwrap()).unwrap();
    replay(&export, plan(&export.source, "0"), plan(text, "1")).unwrap()
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
        (
            "steps.b.outputs.y",
            "steps.b.outputs.q",
            3,
            None,
            "the run ends (completed)",
            "the run ends (failed: output: `steps.b.outputs.q` does not exist: `steps.b.outputs` has no `q` in `steps.b.outputs.q` (template))",
        ),
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

const ASKS: &str = "metadata: {id: w, name: W, version: 1.0.0}
steps:
  - {id: q, step_type: input, prompt: \"go on?\"}
  - {id: s, step_type: set, value: {said: \"{{ steps.q.outputs }}\"}}
  - {id: c, skill: first, on_error: continue}
output: done
";

#[test]
fn other_questions_outcomes_and_agents_are_differences() {
    let error = StepError::new(ErrorClass::AgentError, "broken");
    let failed = Event::Failed { path: Path::new("/2:c"), attempt: 1, error, by: None, inputs: None, entropy: 0, at: AT };
    let answered = Event::Answered { path: Path::new("/0:q"), answer: Arc::new(json!("yes")), note: None, at: AT };
    let export = export(ASKS, vec![answered, failed]);
    assert_eq!(replayed(&export, ASKS).divergence, None);
    for (from, to, event, step, recorded, now) in [
        ("go on?", "stop?", 1, Some("q"), "go on?", "stop?"),
        (
            "step_type: input, prompt: \"go on?\"",
            "step_type: set, value: \"yes\"",
            1,
            Some("q"),
            "it is not over",
            "it is over (completed)",
        ),
        ("{said:", "{heard:", 2, Some("s"), "outputs.said is \"yes\"", "outputs.said is absent"),
        (
            "step_type: set, value: {said: \"{{ steps.q.outputs }}\"}",
            "step_type: fail, error: {code: x, message: no}",
            2,
            Some("s"),
            "completed",
            "failed: no (x)",
        ),
        ("skill: first", "skill: first, agent: z", 2, Some("c"), "it calls `first`, attempt 1", "it calls `first` at `z`, attempt 1"),
        (
            "skill: first",
            "skill: first, retry: {max_attempts: 2}",
            3,
            Some("c"),
            "it is over (failed: broken (agent_error))",
            "it is not over",
        ),
        (", on_error: continue", "", 3, None, "the run ends (completed)", "the run ends (failed: step `c`: broken (agent_error))"),
    ] {
        let text = ASKS.replacen(from, to, 1);
        assert_ne!(text, ASKS, "{from}");
        let found = replayed(&export, &text).divergence.unwrap_or_else(|| panic!("{to} is a difference"));
        assert_eq!((found.event, found.step.as_ref().map(Path::step)), (event, step), "{to}: {found:?}");
        assert!(found.recorded.contains(recorded) && found.now.contains(now), "{to}: {found:?}");
    }
}

/// The workflow is the same; what is made of it is not what was made of it then.
#[test]
fn what_the_record_says_of_inputs_and_of_the_end_counts_more_than_what_is_made_of_its_workflow_today() {
    let with =
        |a: Value, b: Value| export(RECORDED, vec![reply("/0:a", json!({"x": 5}), Some(a)), reply("/1:b", json!({"y": 6}), Some(b))]);
    let (a, b) = (json!({"n": 1}), json!({"deep": {"value": 5}}));
    let digest = |value: &Value| payload::of(value).digest.to_string();
    assert_eq!(replayed(&with(a.clone(), b.clone()), RECORDED).divergence, None);

    let found = replayed(&with(json!({"n": 2}), b.clone()), RECORDED).divergence.expect("other inputs at the start");
    assert_eq!((found.event, found.step.as_ref().map(Path::step)), (1, Some("a")));
    assert!(found.recorded.contains(&digest(&json!({"n": 2}))), "{found:?}");
    assert!(found.now.contains(&digest(&a)) && found.now.ends_with("{\"n\":1}"), "{found:?}");
    let found = replayed(&with(a.clone(), json!({"deep": {"value": "5"}})), RECORDED).divergence.expect("other inputs later");
    assert_eq!((found.event, found.step.as_ref().map(Path::step)), (2, Some("b")), "the first divergence is told");

    // A workflow that says what was recorded agrees, whatever the recorded one says by now; and one that does not is shown the place.
    let changed = RECORDED.replacen("{n: 1}", "{n: 2}", 1);
    assert_eq!(replayed(&with(json!({"n": 2}), b.clone()), &changed).divergence, None);
    let found = replayed(&with(a.clone(), b.clone()), &changed).divergence.expect("a change");
    assert_eq!((found.recorded.as_str(), found.now.as_str()), ("inputs.n is 1", "inputs.n is 2"));

    let ended = Export { status: RunStatus::Failed, ..with(a, b) };
    let found = replayed(&ended, RECORDED);
    let divergence = found.divergence.expect("another end");
    assert_eq!((found.events, divergence.event, divergence.after.as_str()), (2, 3, "the reply to `b`"));
    assert_eq!((divergence.recorded.as_str(), divergence.now.as_str()), ("the run ends (failed)", "the run ends (completed)"));
}

#[test]
fn a_record_of_an_older_gantry_has_no_inputs_and_replays() {
    let text = serde_json::to_string(&recorded()).unwrap();
    assert!(!text.contains("\"inputs\""), "nothing is written where nothing is known: {text}");
    assert_eq!(against(RECORDED).divergence, None);
    let newer = reply("/0:a", json!(1), Some(json!({"n": 1})));
    let text = serde_json::to_string(&newer).unwrap();
    assert!(text.contains("\"inputs\":{\"digest\":\"sha256:") && text.contains("\"bytes\":7}"), "{text}");
    assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), newer);
}

#[test]
fn a_record_that_does_not_fit_itself_is_refused() {
    let mut export = recorded();
    export.events.remove(1);
    assert!(replay(&export, plan(RECORDED, "0"), plan(RECORDED, "0")).is_err());
    export.events.clear();
    assert_eq!(replay(&export, plan(RECORDED, "0"), plan(RECORDED, "0")), Err(Mismatch::Start), "without events it has not begun");
}

/// A loop in pieces, whose deadline passes in the middle.
const LONG: &str = "metadata: {id: w, name: W, version: 1.0.0}
steps:
  - {id: l, step_type: loop, while: \"{{ iteration < 40 }}\", max_iterations: 50, timeout: 5s, on_error: continue, steps: [{id: v, step_type: set, value: \"{{ iteration }}\"}]}
  - {id: a, skill: first, inputs: {n: \"{{ steps.l.status }}\"}}
";

#[test]
fn what_came_in_the_middle_of_a_long_transition_comes_there_again() {
    let work = NonZeroU32::new(8).unwrap();
    let more = || Event::Continued { work, at: AT };
    let late = || Event::TimerFired { path: Path::new("/0:l"), timer: crate::interpreter::Timer::Deadline, at: AT };
    let recorded = |middle: Vec<Event>| {
        let mut export = export(LONG, [middle, vec![reply("/1:a", json!({}), None)]].concat());
        let Event::Started { work: bound, .. } = &mut export.events[0] else { unreachable!() };
        *bound = Some(work);
        export
    };
    let whole = recorded((0..20).map(|_| more()).collect());
    let ended = recorded(vec![more(), late(), more()]);
    for export in [&whole, &ended] {
        assert_eq!(replayed(export, LONG).divergence, None);
        let other = replayed(export, &LONG.replace("{n: ", "{m: ")).divergence.expect("it is called with something else");
        assert_eq!((other.step, other.recorded.starts_with("inputs.n is ")), (Some(Path::new("/1:a")), true));
        // One that does less before is not at another place: what each step came to counts.
        assert_eq!(replayed(export, &LONG.replace("value: \"{{ iteration }}\"", "value: \"{{ iteration + 0 }}\"")).divergence, None);
    }
    let shorter = replayed(&whole, &LONG.replace("iteration < 40", "iteration < 30")).divergence.expect("it has fewer repetitions");
    assert_eq!((shorter.recorded.as_str(), shorter.now.as_str()), ("outputs is 39", "outputs is 29"));
    // One that is still in the middle.
    let mut unfinished = recorded(vec![more(), more()]);
    (unfinished.status, _) = (RunStatus::Running, unfinished.events.pop());
    assert_eq!(replayed(&unfinished, LONG).divergence, None);
    let other =
        replayed(&unfinished, &LONG.replace("value: \"{{ iteration }}\"", "value: 5")).divergence.expect("it yields something else");
    assert_eq!(other.step, Some(Path::new("/0:l[0]/0:v")));
}

/// A loop that calls nobody does everything after one event: more than both sides hold.
#[test]
fn long_loops_agree_and_differ_like_short_ones() {
    let counting = |iterations: usize, odd: usize| {
        format!(
            "metadata: {{id: w, name: W, version: 1.0.0}}
steps:
  - id: many
    step_type: loop
    max_iterations: {iterations}
    until: \"{{{{ iteration == {iterations} - 1 }}}}\"
    steps: [{{id: one, step_type: set, value: \"{{{{ 2 if iteration == {odd} else 1 }}}}\"}}]
"
        )
    };
    let many = 2 * limits::REPLAY_CHANGES_HELD + 17;
    let text = counting(many, many);
    let recorded = export(&text, Vec::new());
    assert_eq!(replayed(&recorded, &text).divergence, None);
    for odd in [17, many - 2] {
        let Divergence { step, recorded, now, .. } = replayed(&recorded, &counting(many, odd)).divergence.expect("they differ");
        assert_eq!(step.unwrap().to_string(), format!("/0:many[{odd}]/0:one"));
        assert_eq!((recorded.as_str(), now.as_str()), ("outputs is 1", "outputs is 2"));
    }
    let fewer = replayed(&recorded, &counting(many - 1, many)).divergence.unwrap();
    assert_eq!(fewer.step.unwrap().to_string(), format!("/0:many[{}]/0:one", many - 1));
    assert_eq!(fewer.now, "it is not over: `many` ends without it (completed)");
}

#[test]
fn what_both_sides_did_alike_is_let_go() {
    let finished = |step: &str, outputs: Value| Change::StepFinished {
        path: Path::new(format!("/0:{step}")),
        step: StepId::parse(step).unwrap(),
        kind: "set",
        status: StepStatus::Completed,
        outputs: Arc::new(outputs),
        error: None,
        attempts: 0,
        by: None,
    };
    let side = |changes: Vec<Change>| Transition { changes, ..Transition::default() };
    let mut then = side(vec![Change::RunStarted, finished("a", json!(1)), finished("b", json!(2))]);
    let mut now = side(vec![Change::RunStarted, finished("a", json!(1))]);
    assert_eq!(let_go(&mut then, &mut now), None);
    assert_eq!((then.changes, now.changes), (vec![finished("b", json!(2))], vec![]), "one side is ahead");
    let (mut then, mut now) = (side(vec![finished("a", json!(1))]), side(vec![finished("a", json!(2))]));
    assert!(let_go(&mut then, &mut now).is_some(), "it is told at once");
}
