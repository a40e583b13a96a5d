//! The bounds on a single step, each at the last value that is allowed and at the first that is not.

use serde_json::{Value, json};

use super::{Case, plan, started};
use crate::interpreter::{Command, ErrorClass, Event, Outcome, Run, StepError};
use crate::limits::{DURATION_MAX, MAP_ITEMS_MAX, RUN_NOTES_MAX, STEP_TIMEOUT};
use crate::time::Timestamp;

#[test]
fn a_wait_ends_within_a_leap_year() {
    let yaml = "steps: [{id: w, step_type: wait, until: \"{{ workflow.input }}\"}]";
    let (begins, longest) = (Timestamp::from_unix_ms(0), Timestamp::from_unix_ms(0).plus(DURATION_MAX));
    let late = Timestamp::from_unix_ms(longest.unix_ms() + 1);
    for (until, due) in [
        (json!(longest.to_string()), Some(longest)),
        (json!(longest.unix_ms() / 1000), Some(longest)),
        (json!(late.to_string()), None),
        (json!(longest.unix_ms() / 1000 + 1), None),
        // What has passed is over at once.
        (json!(-1), Some(Timestamp::from_unix_ms(-1000))),
    ] {
        let case = Case::new(yaml, until.clone());
        match due {
            Some(due) => assert_eq!(case.trace, [format!("timer w Wait {}", due.unix_ms())], "{until}"),
            None => {
                let error = failure(&case.run);
                assert_eq!(error.code, ErrorClass::Limit, "{until}");
                assert!(error.message.starts_with("until: 1971-01-02T00:00:0"), "{}", error.message);
                assert!(error.message.ends_with("is more than 366 days away"), "{}", error.message);
            }
        }
        case.replay();
    }
    assert_eq!(longest.since_ms(begins), 366 * 24 * 3_600_000);
}

#[test]
fn a_map_has_a_most_of_items_and_says_so() {
    let yaml = "steps: [{id: m, step_type: map, max_concurrency: 1, items: \"{{ workflow.input }}\", steps: [{id: c, skill: s}]}]";
    let begin = |items: usize| {
        let mut run = Run::new(plan(yaml));
        let transition = run.apply(started(Value::Array(vec![Value::Null; items]))).unwrap();
        (run, transition.commands.len())
    };
    let (run, calls) = begin(MAP_ITEMS_MAX);
    assert_eq!((run.outcome(), calls), (None, 1));
    let (run, calls) = begin(MAP_ITEMS_MAX + 1);
    let error = failure(&run);
    assert_eq!((error.code, calls), (ErrorClass::Limit, 0));
    assert_eq!(error.message, "items: the list has 1000001, more than the 1000000 items that one map may have");
    assert!(error.hint.is_some());
}

#[test]
fn a_call_has_a_deadline_also_when_its_author_says_nothing() {
    let timeout = |step: &str| {
        let event = started(json!({}));
        let transition = Run::new(plan(&format!("steps: [{step}]"))).apply(event).unwrap();
        let [Command::Call(call)] = &transition.commands[..] else { panic!("{:?}", transition.commands) };
        call.timeout
    };
    assert_eq!(timeout("{id: a, skill: s}"), STEP_TIMEOUT);
    assert_eq!(timeout("{id: a, skill: s, timeout: 366d}"), DURATION_MAX);
    // A sub-workflow is a run of its own, and may take as long as runs do.
    assert_eq!(timeout("{id: a, step_type: workflow, workflow: b}"), DURATION_MAX);
}

/// Who answers often, early for one, makes a run no larger than as many notes as a task shows.
#[test]
fn of_the_notes_of_answers_the_last_are_at_hand() {
    let more = 3;
    let mut case = Case::new("steps: [{id: c, skill: s}, {id: ask, step_type: input, prompt: well}]", json!({}));
    let path = case.plan.node(case.plan.find("ask").unwrap()).path.clone();
    for n in 0..RUN_NOTES_MAX + more {
        let notes = case.run.snapshot().notes;
        assert_eq!(notes.len(), n.min(RUN_NOTES_MAX));
        let note = Some(format!("note {n}").into());
        case.apply(Event::Answered { path: path.clone(), answer: json!(n).into(), note, at: Timestamp::from_unix_ms(n as i64) });
    }
    let notes = case.run.snapshot().notes;
    let expected: Vec<_> = (more..RUN_NOTES_MAX + more).map(|n| format!("note {n}")).collect();
    assert_eq!(notes.iter().map(|note| note.to_string()).collect::<Vec<_>>(), expected, "the last ones, in their order");
    // An answer without a note is none.
    case.apply(Event::Answered { path, answer: json!("last").into(), note: None, at: Timestamp::from_unix_ms(9_999) });
    assert_eq!(case.run.snapshot().notes, notes);
}

fn failure(run: &Run) -> &StepError {
    match run.outcome() {
        Some(Outcome::Failed { error }) => error,
        other => panic!("it did not fail: {other:?}"),
    }
}
