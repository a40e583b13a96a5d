//! The history of a run as a picture: a line for every attempt, with a bar that says when.

use std::time::Duration;

use super::super::terminal::{one_line, place, printable, table, with_code};
use super::show::Told;
use crate::engine::{Entry, EntryStatus, RETRY_OF_LABEL};
use crate::ids::Digest;
use crate::interpreter::{Outcome, Payload};
use crate::plan::Path;
use crate::time::{Timestamp, humanize};

/// Characters of the whole time.
const BAR_CHARACTERS: u64 = 30;
/// Lines that are drawn; `--json` has more.
const LINES_MAX: usize = 300;

/// The run, its steps, its end. What is not over lasts until `now`.
pub(super) fn render(told: &Told, now: Timestamp) -> String {
    let Told { timeline: told, children, .. } = told;
    let until = if told.outcome.is_some() { told.changed_at } else { now.max(told.changed_at) };
    let lasted = Duration::from_millis(until.since_ms(told.started_at));
    let lasted = if told.outcome.is_some() { format!("lasted {}", humanize(lasted)) } else { format!("lasts {}…", humanize(lasted)) };
    let mut text = format!("run          {} ({})\n", told.run, told.status.as_str());
    let mut field = |name: &str, value: &str| text.push_str(&format!("{name:<12} {value}\n"));
    field("workflow", &format!("{} {}  {}", told.workflow, told.version, short(&told.digest)));
    field("started", &format!("{}, {lasted}", told.started_at));
    if let Some(last) = told.resumed_at.last() {
        let times = match told.resumed_at.len() {
            1 => String::new(),
            times => format!(", {times} times in all"),
        };
        field("resumed", &format!("{last}{times}"));
    }
    if let Some(input) = &told.input {
        field("input", &payload(input));
    }
    for (label, value) in &told.labels {
        let name = if label == RETRY_OF_LABEL { "retry of" } else { label };
        field(&one_line(name, 40), &one_line(value, 120));
    }
    text.push('\n');
    let rows: Vec<Vec<String>> = told.entries.iter().take(LINES_MAX).map(|entry| row(entry, told.started_at, until)).collect();
    text.push_str(&table(&["STEP", "TRY", "STATUS", "WHEN", "TOOK", "AGENT", "INPUTS", "VALUE"], &rows));
    let more = told.entries.len().saturating_sub(LINES_MAX);
    match told.left_out {
        0 if more == 0 => {}
        0 => text.push_str(&format!("… {more} more; --json has them all\n")),
        left_out => text.push_str(&format!(
            "… {} more; --json has {more} of them: the first and the last, and what is not over\n",
            more as u64 + left_out
        )),
    }
    for entry in told.entries.iter().take(LINES_MAX) {
        if let Some(error) = &entry.error {
            let mut place = if entry.attempt > 0 { format!("{} try {}", entry.step, entry.attempt) } else { entry.step.clone() };
            if let Some(line) = error.line {
                place.push_str(&format!(" (line {line})"));
            }
            let message = one_line(&error.message, 200);
            text.push_str(&match entry.status {
                EntryStatus::Canceled => format!("  {place}: canceled: {message}\n"),
                _ => format!("  {place}: {}\n", with_code(&message, error)),
            });
            if let Some(hint) = &error.hint {
                text.push_str(&format!("    hint: {}\n", one_line(hint, 200)));
            }
        }
    }
    for entry in &told.entries {
        if let Some(question) = &entry.question {
            // In a map or loop the id alone does not say which.
            let name = if entry.path.as_str().contains('[') { entry.path.as_str() } else { &entry.step };
            text.push_str(&format!("  {name} asks: {}\n", one_line(&question.text(), 400)));
            if let Some(schema) = &question.schema {
                text.push_str(&format!("  an answer must fit: {}\n", one_line(&schema.to_string(), 400)));
            }
        }
    }
    for child in children.iter().take(LINES_MAX) {
        let path = Path::new(child.step.as_str());
        // In a map or loop the id alone does not say which.
        let name = one_line(if child.step.contains('[') { path.as_str() } else { path.step() }, 80);
        let workflow = one_line(&child.workflow, 60);
        text.push_str(&format!("  {name} started run {} of {workflow} ({})\n", child.run, child.status.as_str()));
    }
    if children.len() > LINES_MAX {
        text.push_str(&format!("  … {} more runs; --json has them\n", children.len() - LINES_MAX));
    }
    match &told.outcome {
        Some(Outcome::Completed { output }) => text.push_str(&format!("\noutput: {}\n", one_line(&output.to_string(), 400))),
        Some(Outcome::Failed { error }) => {
            let message = with_code(&printable(&error.message), error);
            text.push_str(&format!("\nfailed: {}{message}\n", place(error, None)));
            if let Some(hint) = &error.hint {
                text.push_str(&format!("  hint: {}\n", printable(hint)));
            }
        }
        Some(Outcome::Canceled { reason }) => text.push_str(&format!("\ncanceled: {}\n", one_line(reason, 200))),
        None => {}
    }
    text
}

fn row(entry: &Entry, from: Timestamp, until: Timestamp) -> Vec<String> {
    let end = entry.finished_at.unwrap_or(until);
    let took = humanize(Duration::from_millis(end.since_ms(entry.started_at)));
    let took = match entry.status {
        EntryStatus::Skipped | EntryStatus::Kept => String::new(),
        EntryStatus::Running | EntryStatus::Waiting => format!("{took}…"),
        EntryStatus::Completed | EntryStatus::Failed | EntryStatus::Canceled => took,
    };
    vec![
        format!("{}{}", "  ".repeat(entry.depth.min(10)), one_line(&name(entry), 40)),
        if entry.attempt > 0 { entry.attempt.to_string() } else { String::new() },
        status(entry.status).to_owned(),
        bar(from, until, entry.started_at, end, entry.status),
        took,
        agent(entry),
        entry.inputs.as_ref().map(payload).unwrap_or_default(),
        entry.value.as_ref().map(payload).unwrap_or_default(),
    ]
}

/// Who is or was asked. The journal says so when the attempt is over; until then the skill stands there.
fn agent(entry: &Entry) -> String {
    match (&entry.agent, &entry.skill) {
        (Some(agent), _) => {
            let card = agent.card.as_ref().map_or(String::new(), |card| format!(" {}", card.short()));
            format!("{}{card}", one_line(&agent.name, 30))
        }
        (None, Some(skill)) if entry.status == EntryStatus::Running => format!("({}…)", one_line(skill.as_str(), 30)),
        (None, _) => String::new(),
    }
}

/// The id, with the number of the repetition it is part of.
fn name(entry: &Entry) -> String {
    let text = entry.path.as_str();
    // What was kept of an item stands for all of its steps.
    let around = if entry.status == EntryStatus::Kept { text } else { text.rsplit_once('/').map_or("", |(around, _)| around) };
    match around.rsplit_once('[') {
        Some((_, index)) if around.ends_with(']') => format!("[{index} {}", entry.step),
        _ => entry.step.clone(),
    }
}

/// Where an entry stands in the time of its run. What has any length at all can be seen.
fn bar(from: Timestamp, to: Timestamp, start: Timestamp, end: Timestamp, status: EntryStatus) -> String {
    let whole = to.since_ms(from).max(1);
    let place = |at: Timestamp| (u128::from(at.since_ms(from)) * u128::from(BAR_CHARACTERS) / u128::from(whole)) as u64;
    let first = place(start).min(BAR_CHARACTERS - 1);
    let last = place(end).clamp(first + 1, BAR_CHARACTERS);
    let mark = match status {
        EntryStatus::Completed => '█',
        EntryStatus::Failed => '▒',
        EntryStatus::Running | EntryStatus::Waiting => '░',
        EntryStatus::Canceled | EntryStatus::Skipped | EntryStatus::Kept => '·',
    };
    (0..BAR_CHARACTERS).map(|at| if at >= first && at < last { mark } else { ' ' }).chain(['|']).collect()
}

fn status(status: EntryStatus) -> &'static str {
    match status {
        EntryStatus::Running => "running",
        EntryStatus::Waiting => "waiting",
        EntryStatus::Completed => "completed",
        EntryStatus::Kept => "kept",
        EntryStatus::Failed => "failed",
        EntryStatus::Skipped => "skipped",
        EntryStatus::Canceled => "canceled",
    }
}

fn payload(payload: &Payload) -> String {
    let size = match payload.bytes {
        bytes @ 0..10_000 => format!("{bytes} B"),
        bytes => format!("{} kB", bytes / 1000),
    };
    format!("{size} {}", payload.digest.short())
}

fn short(digest: &str) -> String {
    Digest::parse(digest).map_or_else(|_| one_line(digest, 12), |digest| digest.short().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_show_when() {
        let at = Timestamp::from_unix_ms;
        let draw = |start, end, status| bar(at(0), at(300), at(start), at(end), status);
        assert_eq!(draw(0, 300, EntryStatus::Completed), format!("{}|", "█".repeat(30)));
        assert_eq!(draw(100, 200, EntryStatus::Failed), format!("{}{}{}|", " ".repeat(10), "▒".repeat(10), " ".repeat(10)));
        assert_eq!(draw(300, 300, EntryStatus::Completed), format!("{}█|", " ".repeat(29)), "no length, but seen");
        assert_eq!(bar(at(5), at(5), at(5), at(5), EntryStatus::Waiting).chars().count(), 31, "a run of no length");
    }
}
