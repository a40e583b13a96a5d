//! A run, what it was told, and what a retry of it still knows and asks for.

use std::num::NonZeroU32;

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
    record_with(plan, script, None)
}

/// `work`: how much is done for one event.
fn record_with(plan: &Arc<Plan>, script: &str, work: Option<NonZeroU32>) -> Vec<Event> {
    let mut run = Run::new(Arc::clone(plan));
    let (at, input) = (Timestamp::from_unix_ms(0), Arc::new(json!({"items": ["a", "b", "c"]})));
    let mut events = vec![Event::Started { run: id("old"), workflow: digest(), semantics: SEMANTICS, input, ancestry: vec![], work, at }];
    let mut calls = BTreeMap::new();
    let note = |transition: Transition, calls: &mut BTreeMap<String, (Path, u32)>| {
        for command in transition.commands {
            if let Command::Call(call) = command {
                calls.insert(called(&call.path), (call.path, call.attempt));
            }
        }
    };
    note(run.apply(events[0].clone()).unwrap(), &mut calls);
    for word in script.split_whitespace().map(Some).chain([None]) {
        while run.is_cut() {
            let more = Event::Continued { work: work.unwrap(), at };
            note(run.apply(more.clone()).unwrap(), &mut calls);
            events.push(more);
        }
        let Some(word) = word else { break };
        let event = event(&run, &calls, word);
        note(run.apply(event.clone()).unwrap(), &mut calls);
        events.push(event);
    }
    events
}

/// What a retry asks for at once, or why there is none.
fn retried(steps: &str, script: &str) -> Result<String, String> {
    let whole = retried_with(steps, script, None);
    for work in [1, 2, 7] {
        assert_eq!(retried_with(steps, script, NonZeroU32::new(work)), whole, "{steps}\nafter: {script}, {work} at a time");
    }
    whole
}

fn retried_with(steps: &str, script: &str, work: Option<NonZeroU32>) -> Result<String, String> {
    let plan = plan(steps);
    let events = record_with(&plan, script, work);
    let at = Timestamp::from_unix_ms(5000);
    let Seed { history, status } = seed(&plan, &id("old"), &events, &id("new"), at).map_err(|error| error.to_string())?;
    assert!(history.iter().all(|event| event.at() == at), "timers count from the retry");
    // What follows from the history is what the engine would carry out.
    let mut run = Run::new(plan);
    let mut open: BTreeMap<Path, String> = BTreeMap::new();
    let mut history = history.into_iter();
    loop {
        let event = match history.next() {
            Some(event) => event,
            None if run.is_cut() => Event::Continued { work: NonZeroU32::MIN, at },
            None => break,
        };
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
    if work.is_none() {
        assert_eq!(run.status(), status);
    }
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

/// What a retry calls until its end or the first failure, one call after the other; and its events.
fn goes_on(plan: &Arc<Plan>, events: &[Event], fails: Option<&str>) -> (String, Vec<Event>, Run) {
    let at = Timestamp::from_unix_ms(5000);
    let Seed { history, .. } = seed(plan, &id("old"), events, &id("new"), at).unwrap();
    let (mut run, mut open, mut made) = (Run::new(Arc::clone(plan)), BTreeMap::new(), Vec::new());
    let mut events = Vec::new();
    let mut coming = std::collections::VecDeque::from(history);
    while let Some(event) = coming.pop_front() {
        let is_history = !coming.is_empty();
        if let Some(path) = event.path() {
            open.remove(path);
        }
        for command in run.apply(event.clone()).unwrap().commands {
            match command {
                Command::Call(call) => _ = open.insert(call.path.clone(), call.attempt),
                Command::CancelCall { path } => _ = open.remove(&path),
                Command::CancelTask { .. } | Command::StartTimer { .. } | Command::CancelTimer { .. } => {}
            }
        }
        events.push(event);
        if !is_history && let Some((path, attempt)) = open.first_key_value().map(|(path, attempt)| (path.clone(), *attempt)) {
            let name = called(&path);
            coming.push_back(if fails == Some(name.as_str()) {
                Event::Failed { path, attempt, error: StepError::new(ErrorClass::AgentError, "no"), by: None, inputs: None, entropy: 0, at }
            } else {
                Event::Replied { path, attempt, value: Arc::new(json!(name)), by: None, inputs: None, at }
            });
            made.push(name);
        }
    }
    (made.join(" "), events, run)
}

#[test]
fn of_a_map_that_failed_every_failed_item_begins_anew_and_no_other() {
    let map = |items: usize, more: &str| {
        let items = (0..items).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        format!("steps: [{{id: list, step_type: map, items: \"{{{{ [{items}] }}}}\", {more}, steps: [{}]}}, {}]", step("a"), step("b"))
    };
    for (items, more, script, expected, output) in [
        // One after the other: a failed item holds the only place, and the completed one after it needs none.
        (3, "max_concurrency: 1, tolerate_failures: 1", "!a0 a1 !a2", "a0 a2 b", json!(["a0", "a1", "a2"])),
        (4, "max_concurrency: 2, tolerate_failures: 1", "!a0 a1 a2 !a3", "a0 a3 b", json!(["a0", "a1", "a2", "a3"])),
        // Items that had not begun are no others: they were never called.
        (4, "max_concurrency: 1", "a0 !a1", "a1 a2 a3 b", json!(["a0", "a1", "a2", "a3"])),
        (
            3,
            "max_concurrency: 1, tolerate_failures: 1, reduce: {initial: \"\", expression: \"{{ accumulator ~ item }}\"}",
            "!a0 a1 !a2",
            "a0 a2 b",
            json!("a0a1a2"),
        ),
    ] {
        let plan = plan(&map(items, more));
        let (made, _, run) = goes_on(&plan, &record(&plan, script), None);
        assert_eq!(made, expected, "{more} after {script}");
        let snapshot = run.snapshot();
        assert_eq!(*snapshot.steps[0].outputs, output, "{more} after {script}");
        assert!(matches!(run.outcome(), Some(Outcome::Completed { .. })), "{:?}", run.outcome());
    }
    // What a retry kept is kept by the retry of the retry.
    let plan = plan(&map(4, "max_concurrency: 1"));
    let (made, again, run) = goes_on(&plan, &record(&plan, "a0 a1 !a2"), Some("a3"));
    assert_eq!((made.as_str(), run.status()), ("a2 a3", RunStatus::Failed));
    let (made, _, run) = goes_on(&plan, &again, None);
    assert_eq!((made.as_str(), run.status()), ("a3 b", RunStatus::Completed));
    assert_eq!(*run.snapshot().steps[0].outputs, json!(["a0", "a1", "a2", "a3"]));
}

#[test]
fn what_is_kept_of_a_map_is_read_as_it_was_written() {
    let text = r#"{"event":"kept","path":"/0:list","index":3,"value":{"n":1},"at":"1970-01-01T00:00:00.005Z"}"#;
    let (path, value, at) = (Path::new("/0:list"), Arc::new(json!({"n": 1})), Timestamp::from_unix_ms(5));
    let event = Event::Kept { path, index: 3, value, at };
    assert_eq!(serde_json::from_str::<Event>(text).unwrap(), event);
    assert_eq!(serde_json::to_value(&event).unwrap(), serde_json::from_str::<serde_json::Value>(text).unwrap());
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

#[test]
fn a_retry_does_no_more_than_the_run_had_done() {
    let endless = "{id: l, step_type: loop, while: \"true\", max_iterations: 2000000, steps: [{id: v, step_type: set, value: 1}]}";
    let plan = plan(&format!("steps: [{endless}]\nerror_handling: {{on_cancel: [{}]}}", step("h")));
    let (work, at) = (NonZeroU32::new(8).unwrap(), Timestamp::from_unix_ms(0));
    let (digest, input) = (digest(), Arc::new(json!({})));
    let more = || Event::Continued { work, at };
    let reply = Event::Replied { path: Path::new("/on_cancel/0:h"), attempt: 1, value: Arc::new(json!(1)), by: None, inputs: None, at };
    let events = [
        Event::Started { run: id("old"), workflow: digest, semantics: SEMANTICS, input, ancestry: vec![], work: Some(work), at },
        more(),
        more(),
        Event::CancelRequested { reason: "enough".into(), at },
        more(),
        reply,
    ];
    let Seed { history, status } = seed(&plan, &id("old"), &events, &id("new"), at).unwrap();
    assert_eq!(status, RunStatus::Running);
    let mut run = Run::new(plan);
    for event in history {
        run.apply(event).unwrap();
    }
    assert_eq!(run.worked(), 3 * 8, "what was done before it was canceled");
}

/// Items that are kept are done at once when their map begins, and before what is beside them.
#[test]
fn a_step_beside_a_map_of_which_much_is_kept_has_its_reply_again() {
    let many = (0..40).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let list = format!("{{id: list, step_type: map, items: \"{{{{ [{many}] }}}}\", max_concurrency: 40, steps: [{}]}}", step("a"));
    let sets = (0..10).map(|n| format!("{{id: v{n}, step_type: set, value: 1}}")).collect::<Vec<_>>().join(", ");
    let plan = plan(&format!("steps: [{{id: p, step_type: parallel, branches: {{x: [{list}], y: [{sets}, {}]}}}}]", step("c")));
    let (work, at, input) = (NonZeroU32::new(8).unwrap(), Timestamp::from_unix_ms(0), Arc::new(json!({})));
    let mut events =
        vec![Event::Started { run: id("old"), workflow: digest(), semantics: SEMANTICS, input, ancestry: vec![], work: Some(work), at }];
    let mut run = Run::new(Arc::clone(&plan));
    let mut called = run.apply(events[0].clone()).unwrap().commands;
    let mut add = |events: &mut Vec<Event>, called: &mut Vec<Command>, event: Event| {
        called.extend(run.apply(event.clone()).unwrap().commands);
        events.push(event);
        while run.is_cut() {
            let more = Event::Continued { work, at };
            called.extend(run.apply(more.clone()).unwrap().commands);
            events.push(more);
        }
    };
    add(&mut events, &mut called, Event::Continued { work, at });
    let calls: Vec<Path> =
        called.iter().filter_map(|command| if let Command::Call(call) = command { Some(call.path.clone()) } else { None }).collect();
    let (items, besides): (Vec<Path>, Vec<Path>) = calls.into_iter().partition(|path| path.as_str().contains("list"));
    assert_eq!((items.len(), besides.len()), (40, 1));
    let reply = |path: &Path| Event::Replied { path: path.clone(), attempt: 1, value: Arc::new(json!(1)), by: None, inputs: None, at };
    add(&mut events, &mut Vec::new(), reply(&besides[0]));
    for path in &items[..39] {
        add(&mut events, &mut Vec::new(), reply(path));
    }
    let error = StepError::new(ErrorClass::AgentError, "no");
    add(&mut events, &mut Vec::new(), Event::Failed { path: items[39].clone(), attempt: 1, error, by: None, inputs: None, entropy: 0, at });
    let done = run.worked();
    let Seed { history, .. } = seed(&plan, &id("old"), &events, &id("new"), at).unwrap();
    let is_kept = |event: &Event| matches!(event, Event::Replied { path, .. } if *path == besides[0]);
    assert!(history.iter().any(is_kept), "{history:?}");
    let mut run = Run::new(plan);
    for event in history {
        run.apply(event).unwrap();
    }
    assert!(run.worked() <= done, "{} pieces, and {done} before", run.worked());
}

/// What came in the middle of what is done waits its turn, and may be given up before anything has followed from it.
#[test]
fn a_step_that_had_its_reply_when_it_was_canceled_is_not_called_again() {
    let endless = "{id: l, step_type: loop, while: \"true\", max_iterations: 2000000, steps: [{id: v, step_type: set, value: 1}]}";
    let asks = "{id: ask, step_type: input, prompt: well?}";
    let (c, d) = (step("c"), step("d"));
    let plan = plan(&format!("steps: [{{id: p, step_type: parallel, branches: {{w: [{endless}], x: [{c}], y: [{asks}], z: [{d}]}}}}]"));
    let at = Timestamp::from_unix_ms(0);
    let more = |work| Event::Continued { work: NonZeroU32::new(work).unwrap(), at };
    let (work, input) = (NonZeroU32::new(60), Arc::new(json!({})));
    let started = Event::Started { run: id("old"), workflow: digest(), semantics: SEMANTICS, input, ancestry: vec![], work, at };
    let [call, asked, failed] = ["/0:p[1]/0:c", "/0:p[2]/0:ask", "/0:p[3]/0:d"].map(Path::new);
    let error = StepError::new(ErrorClass::AgentError, "no");
    let failed = Event::Failed { path: failed, attempt: 1, error, by: None, inputs: None, entropy: 0, at };
    let replied = Event::Replied { path: call.clone(), attempt: 1, value: Arc::new(json!(1)), by: None, inputs: None, at };
    let answered = Event::Answered { path: asked.clone(), answer: Arc::new(json!("yes")), note: None, at };
    let mut given_up = BTreeSet::new();
    for between in 1..12 {
        let events = [started.clone(), failed.clone(), more(between), replied.clone(), answered.clone(), more(60)];
        let (mut run, mut canceled) = (Run::new(Arc::clone(&plan)), BTreeSet::new());
        for event in &events {
            for change in run.apply(event.clone()).unwrap().changes {
                match change {
                    Change::StepFinished { path, status: StepStatus::Canceled, .. } if *event == events[5] => _ = canceled.insert(path),
                    _ => {}
                }
            }
        }
        assert!(matches!(run.outcome(), Some(Outcome::Failed { .. })), "{:?}", run.outcome());
        if canceled.contains(&call) {
            let Seed { history, .. } = seed(&plan, &id("old"), &events, &id("new"), at).unwrap();
            assert!(history.contains(&replied) && history.contains(&answered), "{between}: {history:?}");
        }
        given_up.append(&mut canceled);
    }
    assert!(given_up.contains(&call) && given_up.contains(&asked), "{given_up:?}");
}

#[test]
fn what_failed_just_before_the_run_was_canceled_begins_anew() {
    let endless = "{id: l, step_type: loop, while: \"true\", max_iterations: 2000000, steps: [{id: v, step_type: set, value: 1}]}";
    let plan = plan(&format!("steps: [{{id: p, step_type: parallel, branches: {{x: [{}], y: [{endless}]}}}}]", step("c")));
    let (work, at, input) = (NonZeroU32::new(40).unwrap(), Timestamp::from_unix_ms(0), Arc::new(json!({})));
    let started =
        Event::Started { run: id("old"), workflow: digest(), semantics: SEMANTICS, input, ancestry: vec![], work: Some(work), at };
    let mut run = Run::new(Arc::clone(&plan));
    let called = run.apply(started.clone()).unwrap().commands.into_iter().find_map(|command| match command {
        Command::Call(call) => Some((call.path, call.attempt)),
        _ => None,
    });
    let (path, attempt) = called.expect("it is called");
    let error = StepError::new(ErrorClass::AgentError, "no");
    let failed = Event::Failed { path: path.clone(), attempt, error, by: None, inputs: None, entropy: 0, at };
    let canceled = Event::CancelRequested { reason: "enough".into(), at };
    run.apply(failed.clone()).unwrap();
    let last = run.apply(canceled.clone()).unwrap();
    let told = last.changes.iter().filter(|change| matches!(change, Change::StepFinished { path: told, .. } if *told == path));
    assert!(
        told.clone().count() == 1 && told.clone().all(|change| matches!(change, Change::StepFinished { status: StepStatus::Canceled, .. }))
    );
    let Seed { history, .. } = seed(&plan, &id("old"), &[started, failed, canceled], &id("new"), at).unwrap();
    assert!(!history.iter().any(|event| matches!(event, Event::Failed { .. })), "{history:?}");
}
