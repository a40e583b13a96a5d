//! A run as it happens, on standard error: spinners on a terminal, one line for each change elsewhere, nothing when quiet.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use owo_colors::OwoColorize;

use super::super::terminal::{Terminal, one_line, say, with_code};
use crate::interpreter::{AgentUsed, Change, Outcome, Snapshot, StepError, StepReport, StepStatus};
use crate::limits;
use crate::plan::{EXECUTE_WORKFLOW, Path};
use crate::time::humanize;

/// Spinners drawn at once; a wider group would scroll its own terminal away. The rest get their lines when they end.
const SPINNERS_MAX: usize = 16;

/// As much of a reason as is shown while the run goes on.
const REASON_CHARACTERS_MAX: usize = 400;

/// Shows the changes of one run.
#[derive(Debug)]
pub(super) struct Progress {
    display: Display,
    color: bool,
    started: BTreeMap<Path, Begun>,
    settled: BTreeSet<Path>,
    /// Failures whose reason was not told yet: of those that end the run, the report at its end tells it.
    untold: Vec<(String, StepError)>,
    /// Lines that each step of the workflow had.
    lines: BTreeMap<String, u64>,
}

#[derive(Debug)]
enum Display {
    Quiet,
    Lines,
    Live(MultiProgress),
}

#[derive(Debug)]
struct Begun {
    at: Instant,
    skill: Option<String>,
    spinner: Option<ProgressBar>,
}

/// How a step ended.
struct Told<'a> {
    status: StepStatus,
    error: Option<&'a StepError>,
    attempts: u32,
    by: Option<&'a AgentUsed>,
    took: Option<Duration>,
}

impl Progress {
    /// Live on a terminal, lines elsewhere.
    pub(super) fn new(quiet: bool, terminal: Terminal) -> Self {
        let display = match (quiet, terminal.live) {
            (true, _) => Display::Quiet,
            (false, true) => Display::Live(MultiProgress::new()),
            (false, false) => Display::Lines,
        };
        Self {
            display,
            color: terminal.color_err,
            started: BTreeMap::new(),
            settled: BTreeSet::new(),
            untold: Vec::new(),
            lines: BTreeMap::new(),
        }
    }

    /// Shows what happened before the watch began, or while updates were lost.
    pub(super) fn catch_up(&mut self, snapshot: &Snapshot) {
        if matches!(self.display, Display::Quiet) {
            return;
        }
        for step in &snapshot.steps {
            let skill = skill_of(step);
            match step.status {
                StepStatus::Pending => {}
                StepStatus::Waiting => {
                    if let Some(question) = &step.question {
                        self.line(&format!("? {} asks: {}", step.id, one_line(&question.text(), 200)));
                    }
                }
                StepStatus::Running if self.started.contains_key(&step.path) => {}
                StepStatus::Running => self.begin(&step.path, step.id.as_str(), skill, step.attempts.max(1)),
                StepStatus::Completed | StepStatus::Failed | StepStatus::Skipped | StepStatus::Canceled => {
                    let seen = self.started.contains_key(&step.path);
                    // What was skipped or canceled without having begun is no news: most of a switch is that. Steps that call nobody are never tried.
                    let has_happened = matches!(step.status, StepStatus::Completed | StepStatus::Failed);
                    if !self.settled.contains(&step.path) && (seen || has_happened || step.attempts > 0) {
                        let took = step.started_at.zip(step.finished_at).map(|(begun, ended)| Duration::from_millis(ended.since_ms(begun)));
                        let told = Told {
                            status: step.status,
                            error: step.error.as_ref(),
                            attempts: step.attempts,
                            by: step.agent.as_deref(),
                            took,
                        };
                        self.finish(&step.path, step.id.as_str(), skill, &told);
                    }
                }
            }
        }
    }

    /// Shows one change.
    pub(super) fn show(&mut self, change: &Change) {
        if matches!(self.display, Display::Quiet) {
            return;
        }
        self.reasons(change);
        match change {
            Change::StepStarted { path, step, skill, attempt } => {
                self.begin(path, step.as_str(), skill.as_ref().map(|skill| one_line(skill.as_str(), 60)), *attempt);
            }
            Change::StepRetrying { path, step, attempt, error, .. } => {
                let mark = self.paint("↻", StepStatus::Waiting);
                self.line_of(step.as_str(), &format!("{mark} {step} {}; attempt {attempt} follows", brief(error)));
                if let Some(Begun { spinner: Some(spinner), .. }) = self.started.get(path) {
                    spinner.set_message(format!("{step} waits for attempt {attempt}"));
                }
            }
            Change::StepWaiting { step, question, .. } => {
                self.line(&format!("? {step} asks: {}", one_line(&question.text(), 200)));
            }
            Change::StepFinished { path, step, status, error, attempts, by, .. } => {
                let told = Told { status: *status, error: error.as_ref(), attempts: *attempts, by: by.as_deref(), took: None };
                self.finish(path, step.as_str(), None, &told);
            }
            Change::RunStarted | Change::RunFinished { .. } => {}
        }
    }

    /// Tells why steps failed, once it is known whether the run goes on all the same.
    fn reasons(&mut self, change: &Change) {
        match change {
            // What falls with a step that failed; the steps around it fail for the same reason.
            Change::StepFinished { status: StepStatus::Failed | StepStatus::Canceled | StepStatus::Skipped, .. } => {}
            // What is left is told at the end.
            Change::RunFinished { .. } => {}
            // The run has failed when its handlers run: for the reason of the step that failed last.
            Change::StepStarted { path, .. }
            | Change::StepRetrying { path, .. }
            | Change::StepWaiting { path, .. }
            | Change::StepFinished { path, .. }
                if is_of_handler(path) =>
            {
                self.tell(self.untold.last().map(|(_, error)| error.message.clone()))
            }
            Change::RunStarted
            | Change::StepStarted { .. }
            | Change::StepRetrying { .. }
            | Change::StepWaiting { .. }
            | Change::StepFinished { .. } => self.tell(None),
        }
    }

    /// Tells each reason once, but for the one that the report tells.
    fn tell(&mut self, told_later: Option<String>) {
        let mut told: BTreeSet<String> = told_later.into_iter().collect();
        for (step, error) in std::mem::take(&mut self.untold) {
            if told.insert(error.message.clone()) {
                self.line(&format!("  {step}: {}", one_line(&error.message, REASON_CHARACTERS_MAX)));
            }
        }
    }

    /// Says something of a step, unless it is repeated so often that it had enough lines. False when it is left out.
    fn line_of(&mut self, step: &str, text: &str) -> bool {
        let lines = match self.lines.get_mut(step) {
            Some(lines) => lines,
            None => self.lines.entry(step.to_owned()).or_default(),
        };
        *lines += 1;
        let is_shown = *lines <= limits::PROGRESS_LINES_PER_STEP;
        if is_shown {
            self.line(text);
        }
        is_shown
    }

    /// Says something between the changes.
    pub(super) fn line(&self, text: &str) {
        match &self.display {
            Display::Quiet => {}
            Display::Lines => say(text),
            Display::Live(bars) => {
                // A terminal that is gone is nobody's problem; the run goes on.
                let _gone = bars.println(text);
            }
        }
    }

    /// Takes the spinners away, and tells what the report of the run will not.
    pub(super) fn end(&mut self, outcome: Option<&Outcome>) {
        self.tell(match outcome {
            Some(Outcome::Failed { error }) => Some(error.message.clone()),
            Some(Outcome::Completed { .. } | Outcome::Canceled { .. }) | None => None,
        });
        for (step, lines) in std::mem::take(&mut self.lines) {
            let more = lines.saturating_sub(limits::PROGRESS_LINES_PER_STEP);
            if more > 0 {
                self.line(&format!("  {step}: … {more} more lines left out"));
            }
        }
        for begun in std::mem::take(&mut self.started).into_values() {
            if let Some(spinner) = begun.spinner {
                spinner.finish_and_clear();
            }
        }
    }

    fn begin(&mut self, path: &Path, step: &str, skill: Option<String>, attempt: u32) {
        let at = self.started.get(path).map_or_else(Instant::now, |begun| begun.at);
        let message = describe(step, skill.as_deref(), attempt);
        let spinner = match &self.display {
            Display::Live(bars) => match self.started.remove(path).and_then(|begun| begun.spinner) {
                Some(spinner) => Some(spinner),
                None if self.started.values().filter(|begun| begun.spinner.is_some()).count() < SPINNERS_MAX => Some(bars.add(spinner())),
                None => None,
            },
            Display::Lines | Display::Quiet => {
                // The line of the first attempt says it; a retry has said its own.
                if attempt == 1 && skill.is_some() {
                    self.line_of(step, &format!("  {message} …"));
                }
                None
            }
        };
        if let Some(spinner) = &spinner {
            spinner.set_message(message);
        }
        self.started.insert(path.clone(), Begun { at, skill, spinner });
    }

    fn finish(&mut self, path: &Path, step: &str, skill: Option<String>, told: &Told<'_>) {
        let begun = self.started.remove(path);
        if let Some(spinner) = begun.as_ref().and_then(|begun| begun.spinner.as_ref()) {
            spinner.finish_and_clear();
        }
        let mark = match told.status {
            StepStatus::Completed => "✓",
            StepStatus::Failed => "✗",
            StepStatus::Skipped => "○",
            StepStatus::Canceled => "⊘",
            StepStatus::Pending | StepStatus::Running | StepStatus::Waiting => "·",
        };
        let took = told.took.or_else(|| begun.as_ref().map(|begun| begun.at.elapsed()));
        let skill = skill.or_else(|| begun.and_then(|begun| begun.skill));
        let mut text = format!("{} {}", self.paint(mark, told.status), describe(step, skill.as_deref(), told.attempts));
        if let Some(by) = told.by {
            text.push_str(&format!(" · {}", one_line(&by.name, 60)));
        }
        match (told.status, took) {
            (StepStatus::Completed | StepStatus::Failed, Some(took)) => text.push_str(&format!(" · {}", humanize(took))),
            (StepStatus::Completed | StepStatus::Failed, None) => {}
            (other, _) => text.push_str(&format!(" · {}", other.as_str())),
        }
        match (told.status, told.error) {
            (StepStatus::Failed, Some(error)) => text.push_str(&format!(" · {}", one_line(error.shown_code(), 60))),
            (_, Some(error)) => text.push_str(&format!(" · {}", one_line(&error.message, 160))),
            (_, None) => {}
        }
        if !self.line_of(step, &text) {
            return;
        }
        self.settled.insert(path.clone());
        if let (StepStatus::Failed, Some(error)) = (told.status, told.error) {
            self.untold.push((step.to_owned(), error.clone()));
        }
    }

    fn paint(&self, mark: &str, status: StepStatus) -> String {
        match (self.color, status) {
            (false, _) => mark.to_owned(),
            (true, StepStatus::Completed) => mark.green().to_string(),
            (true, StepStatus::Failed | StepStatus::Canceled) => mark.red().to_string(),
            (true, StepStatus::Waiting) => mark.yellow().to_string(),
            (true, StepStatus::Pending | StepStatus::Running | StepStatus::Skipped) => mark.dimmed().to_string(),
        }
    }
}

/// The skill as a step's updates name it: a `workflow` step calls one as well, which the snapshot does not say.
fn skill_of(step: &StepReport) -> Option<String> {
    match &step.skill {
        Some(skill) => Some(one_line(skill.as_str(), 60)),
        None => (step.kind == "workflow").then(|| EXECUTE_WORKFLOW.to_owned()),
    }
}

/// `/on_error/0:tell` and the like; the paths of the workflow's own steps begin with a number and an id.
fn is_of_handler(path: &Path) -> bool {
    path.as_str().split('/').nth(1).is_some_and(|first| !first.contains(':'))
}

fn describe(step: &str, skill: Option<&str>, attempt: u32) -> String {
    let mut text = step.to_owned();
    if let Some(skill) = skill {
        text.push_str(&format!(" · {skill}"));
    }
    if attempt > 1 {
        text.push_str(&format!(" · attempt {attempt}"));
    }
    text
}

fn brief(error: &StepError) -> String {
    with_code(&one_line(&error.message, 160), error)
}

fn spinner() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg} · {elapsed}").expect("the template is valid");
    let spinner = ProgressBar::new_spinner().with_style(style);
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::ids::{Digest, RunId};
    use crate::interpreter::{Event, Run, SEMANTICS};
    use crate::plan::Plan;
    use crate::time::Timestamp;

    /// A run, and the event that starts it.
    fn begun(text: &str) -> (Run, Event) {
        let workflow = crate::workflow::parse(text).workflow.unwrap();
        let digest = Digest::parse(&format!("sha256:{}", "0".repeat(64))).unwrap();
        let run = Run::new(Arc::new(Plan::new(workflow, text, digest.clone())));
        let (input, at, ancestry) = (Arc::new(json!({})), Timestamp::default(), Vec::new());
        let started =
            Event::Started { run: RunId::parse("r").unwrap(), workflow: digest, semantics: SEMANTICS, input, ancestry, work: None, at };
        (run, started)
    }

    #[test]
    fn what_has_happened_meanwhile_is_told_also_of_steps_that_call_nobody() {
        let (mut run, started) = begun(
            "metadata: {id: w, name: W, version: 1.0.0}
steps:
  - {id: value, step_type: set, value: 1}
  - {id: never, step_type: set, value: 1, when: \"{{ false }}\"}
  - {id: broken, step_type: fail, error: {code: enough, message: it is}, on_error: continue}
  - {id: call, skill: one}
  - {id: later, step_type: set, value: 1}
",
        );
        run.apply(started).unwrap();
        let mut progress = Progress::new(false, Terminal::detect(true));
        progress.catch_up(&run.snapshot());
        let of =
            |step: &StepReport| (step.id.to_string(), progress.settled.contains(&step.path), progress.started.contains_key(&step.path));
        let told: Vec<_> = run.snapshot().steps.iter().map(of).collect();
        let expected =
            [("value", true, false), ("never", false, false), ("broken", true, false), ("call", false, true), ("later", false, false)];
        assert_eq!(told, expected.map(|(step, ended, begun)| (step.to_owned(), ended, begun)));
    }

    #[test]
    fn a_step_is_named_the_same_by_its_updates_and_by_a_snapshot() {
        let text = "metadata: {id: w, name: W, version: 1.0.0}
steps:
  - {id: p, step_type: parallel, branches: {a: [{id: sub, step_type: workflow, workflow: other}], b: [{id: call, skill: one}]}}
";
        let (mut run, started) = begun(text);
        let told: BTreeMap<Path, Option<String>> = run
            .apply(started)
            .unwrap()
            .changes
            .into_iter()
            .filter_map(|change| match change {
                Change::StepStarted { path, skill, .. } => Some((path, skill.map(|skill| skill.to_string()))),
                _ => None,
            })
            .collect();
        let seen: BTreeMap<Path, Option<String>> = run.snapshot().steps.iter().map(|step| (step.path.clone(), skill_of(step))).collect();
        assert_eq!((told.len(), &told), (3, &seen));
    }
}
