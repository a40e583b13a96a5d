//! Runs a recorded run again against its recorded answers, with the same workflow or a changed one, and says where they part.
//!
//! Pure: no agent is called and no time passes. Both workflows get the same events, side by side. What the record says of the run itself,
//! the digests of what its calls were made with and how it ended, counts for more than what today's interpreter makes of its workflow.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::{Export, payload};
use crate::interpreter::{Change, Command, Event, Invocation, Mismatch, Outcome, Payload, Run, Transition};
use crate::limits;
use crate::plan::{Path, Plan};

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Replayed {
    /// Recorded events that both took in the same way.
    pub events: usize,
    /// Where they parted first, if they did.
    pub divergence: Option<Divergence>,
    /// How the replay ended; none when it diverged or the recorded run had not ended.
    pub outcome: Option<Outcome>,
}

/// The first difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Divergence {
    /// Number of the event after which they differ, from 1.
    pub event: usize,
    /// What that event was.
    pub after: String,
    /// The step they differ about.
    pub step: Option<Path>,
    /// What was recorded.
    pub recorded: String,
    /// What happens now.
    pub now: String,
}

/// Replays with `plan` what `recorded` is the plan of. The recorded side must fit its own events: otherwise the file is damaged.
pub fn replay(export: &Export, recorded: Arc<Plan>, plan: Arc<Plan>) -> Result<Replayed, Mismatch> {
    if export.events.is_empty() {
        return Err(Mismatch::Start);
    }
    let digest = plan.digest().clone();
    let asked_with = asked_with(&export.events);
    let (mut then, mut now) = (Run::new(recorded), Run::new(plan));
    let mut since = [Transition::default(), Transition::default()];
    let mut held_max = limits::REPLAY_CHANGES_HELD;
    for (index, event) in export.events.iter().enumerate() {
        let diverged = |(step, recorded, now)| Replayed {
            events: index,
            divergence: Some(Divergence { event: index + 1, after: name(event), step, recorded, now }),
            outcome: None,
        };
        since[0].extend(then.enter(event.clone())?);
        let taken = match event.clone() {
            Event::Started { run, semantics, input, ancestry, work, at, .. } => {
                now.enter(Event::Started { run, workflow: digest.clone(), semantics, input, ancestry, work, at })
            }
            event => go_on_until(&mut now, &mut since[1], |now| now.enter(event.clone())),
        };
        match taken {
            Err(mismatch) => return Ok(diverged((event.path().cloned(), "this event was taken".to_owned(), mismatch.to_string()))),
            Ok(transition) => since[1].extend(transition),
        }
        let [recorded, transition] = &mut since;
        while then.is_busy() || now.is_busy() {
            // Who has told less goes on, so that both are about equally far.
            let then_is_next = then.is_busy() && (recorded.changes.len() <= transition.changes.len() || !now.is_busy());
            let (side, told) = if then_is_next { (&mut then, &mut *recorded) } else { (&mut now, &mut *transition) };
            told.extend(side.proceed());
            if recorded.changes.len().min(transition.changes.len()) >= held_max {
                if let Some(difference) = let_go(recorded, transition) {
                    return Ok(diverged(difference));
                }
                // What one side alone has done, so far, is looked through again when there is as much once more.
                held_max = limits::REPLAY_CHANGES_HELD.max(2 * recorded.changes.len().max(transition.changes.len()));
            }
        }
        // In the middle of a long transition the two need not be at the same place: what both have done is compared.
        if then.is_cut() {
            let is_last = index + 1 == export.events.len();
            if (is_last || recorded.changes.len().min(transition.changes.len()) >= held_max)
                && let Some(difference) = let_go(recorded, transition)
            {
                return Ok(diverged(difference));
            }
            continue;
        }
        go_on(&mut now, transition)?;
        let [recorded, transition] = std::mem::take(&mut since);
        held_max = limits::REPLAY_CHANGES_HELD;
        if let Some(difference) = difference(&recorded, &transition, &asked_with) {
            return Ok(diverged(difference));
        }
    }
    let events = export.events.len();
    if let (true, Some(last)) = (export.status.is_terminal() && now.status() != export.status, export.events.last()) {
        let recorded = format!("the run ends ({})", export.status.as_str());
        let now = now.outcome().map_or("the run goes on".to_owned(), |outcome| format!("the run ends ({})", outcome.status().as_str()));
        let divergence = Some(Divergence { event: events, after: name(last), step: None, recorded, now });
        return Ok(Replayed { events: events - 1, divergence, outcome: None });
    }
    Ok(Replayed { events, divergence: None, outcome: now.outcome().cloned() })
}

/// Takes an event, when need be after more of what its workflow does before: a changed one does so at another time.
fn go_on_until(
    run: &mut Run,
    since: &mut Transition,
    take: impl Fn(&mut Run) -> Result<Transition, Mismatch>,
) -> Result<Transition, Mismatch> {
    let taken = take(run);
    if taken.is_ok() || !run.is_cut() {
        return taken;
    }
    go_on(run, since)?;
    take(run)
}

/// Makes the whole of a long transition.
fn go_on(run: &mut Run, since: &mut Transition) -> Result<(), Mismatch> {
    while run.is_cut() {
        since.extend(run.apply(Event::Continued { work: NonZeroU32::MAX, at: run.changed_at() })?);
    }
    Ok(())
}

/// What each attempt was made with, as far as the record says so.
type AskedWith<'a> = BTreeMap<(&'a Path, u32), &'a Payload>;

fn asked_with(events: &[Event]) -> AskedWith<'_> {
    let mut found = BTreeMap::new();
    for event in events {
        if let Event::Replied { path, attempt, inputs: Some(inputs), .. }
        | Event::Failed { path, attempt, inputs: Some(inputs), .. }
        | Event::Asked { path, attempt, inputs: Some(inputs), .. } = event
        {
            // Of several the first: a later one came too late and changed nothing.
            found.entry((path, *attempt)).or_insert(inputs);
        }
    }
    found
}

type Difference = (Option<Path>, String, String);

/// Forgets what both sides did alike: of a loop with millions of repetitions they would hold everything. A step that came to something
/// else is told at once.
fn let_go(recorded: &mut Transition, now: &mut Transition) -> Option<Difference> {
    let (then, after) = (settlements(recorded), settlements(now));
    let both = || then.iter().filter_map(|(path, then)| Some((*path, then, after.get(path)?)));
    if let Some(difference) = both().find_map(|(path, then, now)| otherwise(path, then, now)) {
        return Some(difference);
    }
    let same: BTreeSet<Path> = both().map(|(path, ..)| path.clone()).collect();
    for side in [recorded, now] {
        side.changes.retain(|change| match change {
            Change::StepFinished { path, .. } => !same.contains(path),
            Change::StepWaiting { .. } | Change::RunFinished { .. } => true,
            // No difference, whatever they say.
            Change::RunStarted | Change::StepStarted { .. } | Change::StepRetrying { .. } => false,
        });
    }
    None
}

/// The first difference that matters: what is called with what, what is asked, what steps and the run end as. Not: timeouts, lines.
fn difference(recorded: &Transition, now: &Transition, asked_with: &AskedWith<'_>) -> Option<Difference> {
    settled(recorded, now).or_else(|| asked(recorded, now)).or_else(|| called(recorded, now, asked_with)).or_else(|| ended(recorded, now))
}

/// Steps that are over on one side: how, with what.
fn settled(recorded: &Transition, now: &Transition) -> Option<Difference> {
    let (transition_then, transition_now) = (recorded, now);
    let (then, now) = (settlements(recorded), settlements(now));
    for (path, settled) in &then {
        let Some(settled_now) = now.get(path) else {
            let (status, _, error) = settled;
            let now = not(path, "over", transition_now);
            return Some((Some((*path).clone()), format!("it is over ({})", describe(status, error.as_deref())), now));
        };
        if let found @ Some(_) = otherwise(path, settled, settled_now) {
            return found;
        }
    }
    let (path, (status, _, error)) = now.iter().find(|(path, _)| !then.contains_key(*path))?;
    let then = not(path, "over", transition_then);
    Some((Some((*path).clone()), then, format!("it is over ({})", describe(status, error.as_deref()))))
}

/// What is different about a step that is over on both sides.
fn otherwise(path: &Path, then: &Settlement<'_>, now: &Settlement<'_>) -> Option<Difference> {
    let ((status, outputs, error), (status_now, outputs_now, error_now)) = (then, now);
    let step = Some(path.clone());
    if (status, error) != (status_now, error_now) {
        return Some((step, describe(status, error.as_deref()), describe(status_now, error_now.as_deref())));
    }
    let (place, before, after) = first_difference(outputs, outputs_now, "outputs")?;
    Some((step, format!("{place} is {before}"), format!("{place} is {after}")))
}

fn describe(status: &str, error: Option<&str>) -> String {
    error.map_or(status.to_owned(), |error| format!("{status}: {error}"))
}

/// That something does not happen to a step on one side, and why when that side shows it: what the step stands in, or the run, ends
/// without it.
fn not(path: &Path, what: &str, transition: &Transition) -> String {
    let text = path.as_str();
    let is_around = |around: &Path| text.strip_prefix(around.as_str()).is_some_and(|rest| rest.starts_with(['[', '!', '~', '/']));
    let settlements = settlements(transition);
    let innermost = settlements.iter().filter(|(around, _)| is_around(around)).max_by_key(|(around, _)| around.as_str().len());
    match (innermost, outcome(transition)) {
        (Some((around, (status, _, error))), _) => {
            format!("it is not {what}: `{}` ends without it ({})", around.step(), describe(status, error.as_deref()))
        }
        (None, Some(outcome)) => format!("it is not {what}: the run ends without it ({})", describe_end(outcome)),
        (None, None) => format!("it is not {what}"),
    }
}

fn describe_end(outcome: &Outcome) -> String {
    let status = outcome.status();
    match outcome {
        Outcome::Failed { error } => describe(status.as_str(), Some(&error.to_string())),
        Outcome::Canceled { reason } => describe(status.as_str(), Some(reason)),
        Outcome::Completed { .. } => status.as_str().to_owned(),
    }
}

type Settlement<'a> = (&'static str, &'a Value, Option<String>);

fn settlements(transition: &Transition) -> BTreeMap<&Path, Settlement<'_>> {
    let mut found = BTreeMap::new();
    for change in &transition.changes {
        if let Change::StepFinished { path, status, outputs, error, .. } = change {
            // The step and line of an error move with the text; what it says counts.
            let error = error.as_ref().map(|error| error.clone().with(|error| error.step = None).to_string());
            found.insert(path, (status.as_str(), &**outputs, error));
        }
    }
    found
}

fn asked(recorded: &Transition, now: &Transition) -> Option<Difference> {
    let (then, now) = (questions(recorded), questions(now));
    for (path, prompt) in &then {
        let Some(prompt_now) = now.get(path) else {
            return Some((Some((*path).clone()), format!("it asks {}", short(prompt)), "it asks nothing".to_owned()));
        };
        if let Some((place, before, after)) = first_difference(prompt, prompt_now, "prompt") {
            return Some((Some((*path).clone()), format!("{place} is {before}"), format!("{place} is {after}")));
        }
    }
    let (path, prompt) = now.iter().find(|(path, _)| !then.contains_key(*path))?;
    Some((Some((*path).clone()), "it asks nothing".to_owned(), format!("it asks {}", short(prompt))))
}

fn questions(transition: &Transition) -> BTreeMap<&Path, &Value> {
    let mut found = BTreeMap::new();
    for change in &transition.changes {
        if let Change::StepWaiting { path, question, .. } = change {
            found.insert(path, &*question.prompt);
        }
    }
    found
}

fn called(recorded: &Transition, now: &Transition, asked_with: &AskedWith<'_>) -> Option<Difference> {
    let (transition_then, transition_now) = (recorded, now);
    let (then, now) = (calls(recorded), calls(now));
    for (path, before) in &then {
        let step = Some((*path).clone());
        let Some(after) = now.get(path) else {
            let instead = now.values().find(|call| !then.contains_key(&call.path));
            let instead = instead
                .map_or_else(|| not(path, "called", transition_now), |call| format!("instead `{}` calls {}", call.step, target(call)));
            return Some((step, format!("it calls {}", target(before)), instead));
        };
        if target(before) != target(after) {
            return Some((step, format!("it calls {}", target(before)), format!("it calls {}", target(after))));
        }
        if let Some((recorded, now)) = other_inputs(before, after, asked_with.get(&(&before.path, before.attempt)).copied()) {
            return Some((step, recorded, now));
        }
    }
    let more = now.values().find(|call| !then.contains_key(&call.path))?;
    Some((Some(more.path.clone()), not(&more.path, "called", transition_then), format!("it calls {}", target(more))))
}

/// Other inputs than the recorded ones. Where the recorded workflow still resolves to what was recorded, the place is known.
fn other_inputs(before: &Invocation, after: &Invocation, recorded: Option<&Payload>) -> Option<(String, String)> {
    match recorded {
        Some(recorded) if payload::of(&before.inputs) != *recorded => {
            let now = payload::of(&after.inputs);
            (now != *recorded).then(|| (by_digest(recorded), format!("{}: {}", by_digest(&now), short(&after.inputs))))
        }
        Some(_) | None => {
            let (place, before, after) = first_difference(&before.inputs, &after.inputs, "inputs")?;
            Some((format!("{place} is {before}"), format!("{place} is {after}")))
        }
    }
}

fn by_digest(payload: &Payload) -> String {
    format!("inputs of {} bytes with the digest {}", payload.bytes, payload.digest)
}

fn calls(transition: &Transition) -> BTreeMap<&Path, &Invocation> {
    let mut found = BTreeMap::new();
    for command in &transition.commands {
        if let Command::Call(invocation) = command {
            found.insert(&invocation.path, invocation);
        }
    }
    found
}

fn target(call: &Invocation) -> String {
    let agent = call.agent.as_ref().map_or(String::new(), |agent| format!(" at `{agent}`"));
    format!("`{}`{agent}, attempt {}", call.skill, call.attempt)
}

fn ended(recorded: &Transition, now: &Transition) -> Option<Difference> {
    let (then, now) = (outcome(recorded), outcome(now));
    match (then, now) {
        (None, None) => None,
        (Some(Outcome::Completed { output: then }), Some(Outcome::Completed { output: now })) => {
            let (place, before, after) = first_difference(then, now, "output")?;
            Some((None, format!("the run's {place} is {before}"), format!("the run's {place} is {after}")))
        }
        (then, now) if then.map(Outcome::status) == now.map(Outcome::status) => None,
        (then, now) => {
            let name =
                |outcome: Option<&Outcome>| outcome.map_or("goes on".to_owned(), |outcome| format!("ends ({})", describe_end(outcome)));
            Some((None, format!("the run {}", name(then)), format!("the run {}", name(now))))
        }
    }
}

fn outcome(transition: &Transition) -> Option<&Outcome> {
    transition.changes.iter().find_map(|change| if let Change::RunFinished { outcome } = change { Some(outcome) } else { None })
}

/// The first place where two values differ, and what stands there, for people.
fn first_difference(then: &Value, now: &Value, place: &str) -> Option<(String, String, String)> {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => {
            let absent = "absent".to_owned();
            for (key, value) in then {
                match now.get(key) {
                    None => return Some((format!("{place}.{key}"), short(value), absent)),
                    Some(value_now) => {
                        if let found @ Some(_) = first_difference(value, value_now, &format!("{place}.{key}")) {
                            return found;
                        }
                    }
                }
            }
            let (key, value) = now.iter().find(|(key, _)| !then.contains_key(*key))?;
            Some((format!("{place}.{key}"), absent, short(value)))
        }
        (Value::Array(then), Value::Array(now)) if then.len() == now.len() => {
            then.iter().zip(now).enumerate().find_map(|(index, (then, now))| first_difference(then, now, &format!("{place}[{index}]")))
        }
        (then, now) => (then != now).then(|| (place.to_owned(), short(then), short(now))),
    }
}

/// Characters of a value that a difference shows.
const VALUE_CHARACTERS_MAX: usize = 120;

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(VALUE_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn name(event: &Event) -> String {
    let about = |what: &str, path: &Path| format!("{what} `{}`", path.step());
    match event {
        Event::Started { .. } => "the start".to_owned(),
        Event::Continued { .. } => "more of what followed".to_owned(),
        Event::Kept { path, .. } => about("what was kept of", path),
        Event::Replied { path, .. } => about("the reply to", path),
        Event::Failed { path, .. } => about("a failure of", path),
        Event::Asked { path, .. } => about("a question to", path),
        Event::Answered { path, .. } => about("the answer to", path),
        Event::TimerFired { path, .. } if *path == Path::run() => "the run's deadline".to_owned(),
        Event::TimerFired { path, .. } => about("a timer of", path),
        Event::Exhausted { .. } => "the end of what the run may use".to_owned(),
        Event::CancelRequested { .. } => "the wish to cancel".to_owned(),
        Event::Called { path, .. } => about("a call that was given up of", path),
        Event::Resumed { .. } => "a restart".to_owned(),
    }
}

#[cfg(test)]
mod tests;
