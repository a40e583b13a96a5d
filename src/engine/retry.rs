//! What a run that failed or was canceled knew before it went wrong: the history that a retry of it begins with.
//!
//! Pure. The interpreter decides what of the old history fits: an event counts only where the step it is about is under way,
//! and because everything before it is the same, so are the inputs it was an answer to.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;

use super::Error;
use crate::ids::RunId;
use crate::interpreter::{Change, Event, Outcome, Run, RunStatus, StepStatus, Transition};
use crate::plan::{CatchOrNot, Path, Plan};
use crate::time::Timestamp;

/// A new run's first events, and where it is after them.
#[derive(Debug)]
pub(super) struct Seed {
    pub(super) history: Vec<Event>,
    pub(super) status: RunStatus,
}

/// The history of `old` without what made it end badly, for the run `new` that begins at `at`.
///
/// Kept: what completed steps were told, answers of people, failures that the workflow coped with, and of a map that failed what its items
/// came to that completed: the failed ones begin anew, each in its turn, and no other. Left out: every event of the
/// steps whose failure became the run's and of those that were canceled in the middle, the wish to cancel, deadlines that passed, and
/// whatever followed from those (handlers, catch branches). A step that had its reply or its answer when it was
/// canceled keeps it. Times are those of the retry, so that timers count anew.
pub(super) fn seed(plan: &Arc<Plan>, old: &RunId, events: &[Event], new: &RunId, at: Timestamp) -> Result<Seed, Error> {
    let refused = |why: &str| Error::NotRetryable { run: old.clone(), why: why.to_owned() };
    let Blame { steps: blamed, kept, events, worked } =
        blame(plan, events)?.ok_or_else(|| refused("it has not failed and was not canceled"))?;
    let mut run = Run::new(Arc::clone(plan));
    let mut history = Vec::new();
    let (started, later) = events.split_at(events.len().min(1));
    let most = if let [Event::Started { work, .. }] = started { *work } else { None };
    // As much as was done in the old run, and no more: what comes after need not have a place in this one.
    let left = |run: &Run| NonZeroU32::new(u32::try_from(worked.saturating_sub(run.worked())).unwrap_or(u32::MAX));
    for event in started.iter().chain(&kept).chain(later) {
        let event = event.clone().stamped(at);
        let event = match event {
            Event::Started { workflow, semantics, input, ancestry, work, at, .. } => {
                Event::Started { run: new.clone(), workflow, semantics, input, ancestry, work, at }
            }
            event @ Event::Kept { .. } if history.len() <= kept.len() => event,
            Event::Continued { work, at } => match left(&run) {
                Some(left) => Event::Continued { work: work.min(left), at },
                None => continue,
            },
            event if is_left_out(&event, &blamed) => continue,
            event => event,
        };
        let is_early = matches!(&event, Event::Answered { path, .. } if run.unasked(path.as_str()).is_some());
        let mut applied = run.apply(event.clone());
        // Its step may have begun later in the old history, of which something is left out here.
        while applied.is_err()
            && run.is_cut()
            && let Some(left) = left(&run)
        {
            let event_before = Event::Continued { work: most.map_or(left, |most| most.min(left)), at };
            run.apply(event_before.clone())?;
            history.push(event_before);
            applied = run.apply(event.clone());
        }
        match applied {
            // Nothing follows from it before its step asks, or its map begins.
            Ok(_) if is_early || matches!(event, Event::Kept { .. }) => history.push(event),
            // Late then and now, or about a step that this history does not lead to.
            Ok(transition) if transition == Transition::default() => {}
            Err(_) if !history.is_empty() => {}
            Ok(_) => history.push(event),
            Err(mismatch) => return Err(mismatch.into()),
        }
    }
    match run.fate() {
        Some(Outcome::Failed { error }) => Err(refused(&format!("it would fail in the same way again: {error}"))),
        Some(Outcome::Canceled { .. }) => Err(refused("its end does not depend on what agents or people say")),
        // A run whose handler failed after its steps had completed goes on with that handler.
        Some(Outcome::Completed { .. }) | None => Ok(Seed { history, status: run.status() }),
    }
}

fn is_left_out(event: &Event, blamed: &BTreeSet<Path>) -> bool {
    matches!(event, Event::CancelRequested { .. } | Event::Exhausted { .. })
        || event.path().is_some_and(|path| *path == Path::run() || blamed.contains(path))
}

/// What made a run end badly.
struct Blame<'a> {
    /// The steps whose failure became the run's, and those that were canceled.
    steps: BTreeSet<Path>,
    /// What the items came to that the maps among them had completed.
    kept: Vec<Event>,
    /// Those up to the one that made it.
    events: &'a [Event],
    /// How much was done for these.
    worked: u64,
}

/// None when the run has not ended badly.
fn blame<'a>(plan: &Arc<Plan>, events: &'a [Event]) -> Result<Option<Blame<'a>>, Error> {
    let mut run = Run::remembering_items(Arc::clone(plan));
    let (mut failed, mut canceled, mut over) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
    for (index, event) in events.iter().enumerate() {
        match event {
            Event::Replied { path, attempt, .. } => _ = over.insert(path, *attempt),
            Event::Answered { path, .. } => _ = over.insert(path, 0),
            _ => {}
        }
        let mut note = |change| match change {
            Change::StepFinished { path, step, status: StepStatus::Failed, .. } => _ = failed.insert(path, step),
            // It had its reply, or its answer, and only what follows from that was not done.
            Change::StepFinished { path, status: StepStatus::Canceled, attempts, .. } if over.get(&path) == Some(&attempts) => {}
            // What it had begun at its agent was canceled with it, so that it begins anew.
            Change::StepFinished { path, status: StepStatus::Canceled, .. } => _ = canceled.insert(path),
            Change::RunStarted
            | Change::StepStarted { .. }
            | Change::StepRetrying { .. }
            | Change::StepWaiting { .. }
            | Change::StepFinished { .. }
            | Change::RunFinished { .. } => {}
        };
        run.apply_in_parts(event.clone(), |part| part.changes.into_iter().for_each(&mut note))?;
        if matches!(run.fate(), Some(Outcome::Failed { .. } | Outcome::Canceled { .. })) {
            let fatal = |path: &Path| failed.get(path).is_some_and(|step| is_fatal(plan, path, step.as_str(), &failed));
            let blamed: BTreeSet<Path> = failed.keys().filter(|path| fatal(path) && above(path).iter().all(fatal)).cloned().collect();
            let worked = run.worked();
            let kept = run.yielded().into_iter().filter(|(map, ..)| blamed.contains(map));
            let kept = kept.map(|(path, index, value)| Event::Kept { path, index, value, at: Timestamp::default() }).collect();
            let (steps, events) = (blamed.into_iter().chain(canceled).collect(), &events[..=index]);
            return Ok(Some(Blame { steps, kept, events, worked }));
        }
    }
    Ok(None)
}

/// Whether the failure of a step was one of the steps around it, too.
fn is_fatal<T>(plan: &Plan, path: &Path, step: &str, failed: &BTreeMap<Path, T>) -> bool {
    match plan.find(step).map(|node| plan.node(node).on_error) {
        Some(CatchOrNot::Fail) => true,
        Some(CatchOrNot::Continue) | None => false,
        // Caught, unless the catch branch failed as well.
        Some(CatchOrNot::Catch(sequence)) => {
            let inside = format!("{path}!");
            let direct = |found: &Path| {
                let rest = found.as_str().strip_prefix(&inside)?;
                plan.find(found.step()).filter(|node| plan.node(*node).sequence == sequence && rest.matches('/').count() == 1)
            };
            failed.keys().any(|found| direct(found).is_some_and(|node| !matches!(plan.node(node).on_error, CatchOrNot::Continue)))
        }
    }
}

/// The steps that a step stands in, outermost first.
fn above(path: &Path) -> Vec<Path> {
    let text = path.as_str();
    // A prefix without a step is a handler's.
    text.match_indices('/')
        .skip(1)
        .map(|(at, _)| without_marks(&text[..at]))
        .filter(|text| text.rsplit('/').next().is_some_and(|last| last.contains(':')))
        .map(Path::new)
        .collect()
}

/// `/2:par[0]` and `/3:list~[1]` stand for the steps `/2:par` and `/3:list`.
fn without_marks(text: &str) -> &str {
    let start = text.rfind('/').map_or(0, |at| at + 1);
    let end = text[start..].find(['[', '!', '~']).map_or(text.len(), |at| start + at);
    &text[..end]
}

#[cfg(test)]
mod tests;
