//! What happened in a run, when, and who did it: derived from its events, so that it can be told as long as they are kept.
//!
//! Of a run with very many steps the first and the last are told. The others are counted, and leave memory when they are over.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::{Export, payload};
use crate::ids::{RunId, SkillId};
use crate::interpreter::{
    AgentUsed, Change, Command, Event, Invocation, Mismatch, Outcome, Payload, Question, Run, RunStatus, StepError, StepStatus,
};
use crate::limits::HISTORY_ENTRIES_MAX;
use crate::plan::{Path, Plan};
use crate::time::Timestamp;

/// Entries that are told from the beginning, and from the end.
const TOLD_FROM_EACH_END: u64 = HISTORY_ENTRIES_MAX / 2;

/// The history of one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timeline {
    /// The run.
    pub run: RunId,
    /// `metadata.id`.
    pub workflow: String,
    /// `metadata.version`.
    pub version: String,
    /// What the run is pinned to.
    pub digest: String,
    /// As given at the start.
    pub labels: BTreeMap<String, String>,
    /// Where it is.
    pub status: RunStatus,
    /// When it was accepted.
    pub started_at: Timestamp,
    /// When other processes took it up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resumed_at: Vec<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// When its last event happened.
    pub changed_at: Timestamp,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Its input, by digest and size.
    pub input: Option<Payload>,
    /// Every attempt and every step that is no call, in the order they began. Of very many the first and the last, and what is not over.
    pub entries: Vec<Entry>,
    /// Those in between that are over, and are not told.
    pub left_out: u64,
}

/// One attempt of a call, or one step of another kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Where the step stands.
    pub path: Path,
    /// Its id.
    pub step: String,
    /// How deep it stands in other steps.
    pub depth: usize,
    /// The skill, for a call.
    pub skill: Option<SkillId>,
    /// Which attempt, from 1; 0 for a step that calls nobody.
    pub attempt: u32,
    /// How it ended, or where it is.
    pub status: EntryStatus,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Who was asked, and why this agent.
    pub agent: Option<Arc<AgentUsed>>,
    /// What it was asked with.
    pub inputs: Option<Payload>,
    /// What came back.
    pub value: Option<Payload>,
    /// Why it failed.
    pub error: Option<StepError>,
    /// What it asks, while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<Question>,
}

/// Where an attempt or step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryStatus {
    /// Under way.
    Running,
    /// Waits for an answer.
    Waiting,
    /// Ended well.
    Completed,
    /// Taken from the run that this one is a retry of: an item of a map that had completed there.
    Kept,
    /// Failed.
    Failed,
    /// Passed over.
    Skipped,
    /// Canceled.
    Canceled,
}

impl Timeline {
    /// Replays a run's events. They must fit the plan.
    pub fn new(export: &Export, plan: Arc<Plan>) -> Result<Self, Mismatch> {
        let mut run = Run::new(plan);
        let mut input = None;
        let mut history = History::default();
        for event in &export.events {
            if let Event::Started { input: given, .. } = event {
                input = Some(payload::of(given));
            }
            history.at = history.at.max(event.at());
            history.event(event);
            run.apply_in_parts(event.clone(), |part| {
                part.changes.into_iter().for_each(|change| history.change(change));
                part.commands.into_iter().for_each(|command| history.command(command));
            })?;
        }
        let header = &export.header;
        Ok(Self {
            run: header.run.clone(),
            workflow: header.workflow.clone(),
            version: header.version.clone(),
            digest: header.digest.to_string(),
            labels: header.labels.clone(),
            status: run.status(),
            started_at: header.started_at,
            resumed_at: export.events.iter().filter(|event| matches!(event, Event::Resumed { .. })).map(Event::at).collect(),
            finished_at: run.outcome().map(|_| history.at),
            changed_at: history.at,
            outcome: run.outcome().cloned(),
            input,
            left_out: history.begun - history.entries.len() as u64,
            entries: history.entries.into_values().collect(),
        })
    }
}

#[derive(Default)]
struct History {
    at: Timestamp,
    /// Those that are told, by their place in the order.
    entries: BTreeMap<u64, Entry>,
    /// How many began.
    begun: u64,
    /// The entry of a step that is not over, by path.
    open: HashMap<Path, u64>,
    /// What items of maps that have not begun come with.
    kept: HashMap<Path, Vec<(usize, Arc<Value>)>>,
    /// The first item, or repetition, that has not begun, by the path of the step that is under way.
    next_items: HashMap<String, usize>,
}

impl History {
    /// What came of an attempt.
    fn event(&mut self, event: &Event) {
        let (path, attempt, by, inputs, status, value, error) = match event {
            Event::Replied { path, attempt, value, by, inputs, .. } => {
                (path, attempt, by, inputs, EntryStatus::Completed, Some(payload::of(value)), None)
            }
            Event::Failed { path, attempt, error, by, inputs, .. } => {
                (path, attempt, by, inputs, EntryStatus::Failed, None, Some(error.clone()))
            }
            Event::Asked { path, attempt, question, by, inputs, .. } => {
                (path, attempt, by, inputs, EntryStatus::Waiting, Some(payload::of(&question.prompt)), None)
            }
            // What it was given up for comes next.
            Event::Called { path, attempt, by, .. } => {
                if let Some(entry) = self.under_way(path).filter(|entry| entry.attempt == *attempt) {
                    entry.agent = Some(Arc::clone(by));
                }
                return;
            }
            Event::Kept { path, index, value, .. } => {
                // An item that is under way already goes on, whatever was kept of it.
                if self.next_items.get(path.as_str()).is_none_or(|next| index >= next) {
                    self.kept.entry(path.clone()).or_default().push((*index, Arc::clone(value)));
                }
                if self.open.contains_key(path) {
                    self.begin_kept(path);
                }
                return;
            }
            Event::Started { .. }
            | Event::Answered { .. }
            | Event::TimerFired { .. }
            | Event::Exhausted { .. }
            | Event::CancelRequested { .. }
            | Event::Continued { .. }
            | Event::Resumed { .. } => return,
        };
        let at = self.at;
        let Some(entry) = self.under_way(path).filter(|entry| entry.attempt == *attempt) else {
            // Late: the attempt was over.
            return;
        };
        entry.status = status;
        entry.agent.clone_from(by);
        if inputs.is_some() {
            // What was asked with, whatever it would be today.
            entry.inputs.clone_from(inputs);
        }
        entry.value = value;
        entry.error = error;
        if status != EntryStatus::Waiting {
            entry.finished_at = Some(at);
            if let Some(place) = self.open.remove(path) {
                self.over(place);
            }
        }
    }

    fn command(&mut self, command: Command) {
        let Command::Call(Invocation { path, step, attempt, skill, inputs, .. }) = command else { return };
        // Its question was answered just now, and the answer is on its way to the agent that asked: that is the next attempt.
        let asked = self.open.remove(&path);
        let agent = asked.and_then(|place| {
            let asked = self.entries.get_mut(&place)?;
            (asked.status, asked.finished_at, asked.question) = (EntryStatus::Completed, Some(self.at), None);
            let agent = asked.agent.clone();
            self.over(place);
            agent
        });
        let inputs = Some(payload::of(&inputs));
        let entry = Entry { skill: Some(skill), attempt, agent, inputs, ..self.entry(path, step.to_string()) };
        self.begin(entry);
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::StepStarted { path, step, skill: None, .. } => {
                let entry = self.entry(path.clone(), step.to_string());
                self.begin(entry);
                self.begin_kept(&path);
            }
            // A call begins with its command, which knows the inputs.
            Change::StepStarted { skill: Some(_), .. } | Change::RunStarted | Change::RunFinished { .. } | Change::StepRetrying { .. } => {}
            Change::StepWaiting { path, step, question } => {
                if !self.open.contains_key(&path) {
                    let entry = self.entry(path.clone(), step.to_string());
                    self.begin(entry);
                }
                if let Some(entry) = self.under_way(&path) {
                    (entry.status, entry.question) = (EntryStatus::Waiting, Some(question));
                }
            }
            Change::StepFinished { path, step, status, outputs, error, attempts, .. } => {
                let status = entry_status(status);
                self.next_items.remove(path.as_str());
                // Of a call without an entry the last attempt said so already.
                if attempts == 0 && !self.open.contains_key(&path) {
                    let entry = self.entry(path.clone(), step.to_string());
                    self.begin(entry);
                }
                let Some(place) = self.open.remove(&path) else { return };
                if let Some(entry) = self.entries.get_mut(&place) {
                    entry.status = status;
                    entry.finished_at = Some(self.at);
                    entry.error = error;
                    entry.question = None;
                    entry.value = (status == EntryStatus::Completed).then(|| payload::of(&outputs));
                }
                self.over(place);
            }
        }
    }

    /// The items of a map that begin with what they came to in another run.
    fn begin_kept(&mut self, map: &Path) {
        for (index, value) in self.kept.remove(map).into_iter().flatten() {
            let path = Path::new(format!("{map}[{index}]"));
            let entry = self.entry(path.clone(), map.step().to_owned());
            let (depth, finished_at, value) = (entry.depth + 1, Some(self.at), Some(payload::of(&value)));
            self.begin(Entry { depth, status: EntryStatus::Kept, finished_at, value, ..entry });
            if let Some(place) = self.open.remove(&path) {
                self.over(place);
            }
        }
    }

    fn entry(&self, path: Path, step: String) -> Entry {
        Entry {
            depth: path.as_str().matches('/').count().saturating_sub(1),
            path,
            step,
            skill: None,
            attempt: 0,
            status: EntryStatus::Running,
            started_at: self.at,
            finished_at: None,
            agent: None,
            inputs: None,
            value: None,
            error: None,
            question: None,
        }
    }

    fn under_way(&mut self, path: &Path) -> Option<&mut Entry> {
        self.entries.get_mut(self.open.get(path)?)
    }

    fn begin(&mut self, entry: Entry) {
        if let Some((around, index)) = item_of(&entry.path) {
            match self.next_items.get_mut(around) {
                Some(next) => *next = (*next).max(index + 1),
                None => _ = self.next_items.insert(around.to_owned(), index + 1),
            }
        }
        self.open.insert(entry.path.clone(), self.begun);
        self.entries.insert(self.begun, entry);
        self.begun += 1;
        // One is no longer among the last.
        if let Some(place) = self.begun.checked_sub(TOLD_FROM_EACH_END + 1)
            && self.entries.get(&place).is_some_and(|entry| entry.finished_at.is_some())
        {
            self.over(place);
        }
    }

    /// What is over is told when it is among the first or the last.
    fn over(&mut self, place: u64) {
        if place >= TOLD_FROM_EACH_END && place + TOLD_FROM_EACH_END < self.begun {
            self.entries.remove(&place);
        }
    }
}

/// The map or loop that a step stands in, and in which item.
fn item_of(path: &Path) -> Option<(&str, usize)> {
    let (around, _) = path.as_str().rsplit_once('/')?;
    let (around, index) = around.strip_suffix(']')?.rsplit_once('[')?;
    Some((around, index.parse().ok()?))
}

fn entry_status(status: StepStatus) -> EntryStatus {
    match status {
        StepStatus::Pending | StepStatus::Running => EntryStatus::Running,
        StepStatus::Waiting => EntryStatus::Waiting,
        StepStatus::Completed => EntryStatus::Completed,
        StepStatus::Failed => EntryStatus::Failed,
        StepStatus::Skipped => EntryStatus::Skipped,
        StepStatus::Canceled => EntryStatus::Canceled,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::export::ExportHeader;
    use crate::ids::Digest;
    use crate::interpreter::{RemoteTask, SEMANTICS};

    /// The history of a run of this workflow to which this happened after its start.
    fn told(text: &str, events: impl FnOnce(Timestamp) -> Vec<Event>) -> Timeline {
        let digest = Digest::parse(&format!("sha256:{}", "0".repeat(64))).unwrap();
        let plan = Plan::new(crate::workflow::parse(text).workflow.unwrap(), text, digest.clone());
        let (run, at, input) = (RunId::parse("r").unwrap(), Timestamp::default(), Arc::new(json!({})));
        let started =
            Event::Started { run: run.clone(), workflow: digest.clone(), semantics: SEMANTICS, input, ancestry: vec![], work: None, at };
        let (workflow, version) = ("w".to_owned(), "1.0.0".to_owned());
        let header = ExportHeader { run, workflow, version, digest, labels: Default::default(), started_at: at };
        let (gantry, source) = (String::new(), Arc::from(text));
        let events = std::iter::once(started).chain(events(at)).collect();
        let export = Export { format: Export::FORMAT, gantry, header, status: RunStatus::Running, changed_at: at, source, events };
        Timeline::new(&export, Arc::new(plan)).unwrap()
    }

    #[test]
    fn an_answer_that_is_on_its_way_is_shown_with_the_agent_that_asked() {
        let told = told("metadata: {id: w, name: W, version: 1.0.0}\nsteps: [{id: a, skill: one}]\n", |at| {
            let path = Path::new("/0:a");
            let by = Arc::new(AgentUsed { name: "asker".into(), card: None, reason: "only one".into() });
            let remote = Some(RemoteTask { task_id: "t".into(), context_id: "c".into() });
            let question = Question { remote, schema: None, auth: false, prompt: Arc::new(json!("which?")) };
            vec![
                Event::Asked { path: path.clone(), attempt: 1, question, by: Some(by), inputs: None, at },
                Event::Answered { path, answer: Arc::new(json!({})), note: None, at },
            ]
        });
        let shown: Vec<_> = told.entries.iter().map(|entry| (entry.status, entry.agent.as_ref().map(|by| by.name.as_str()))).collect();
        assert_eq!(shown, [(EntryStatus::Completed, Some("asker")), (EntryStatus::Running, Some("asker"))]);
        assert_eq!(told.left_out, 0);
    }

    /// One map that begins after what was kept of it is known, and one that is under way by then with its first item.
    #[test]
    fn what_a_retry_kept_of_a_map_has_its_lines() {
        let map = "{id: many, step_type: map, items: [a, b, c, d], max_concurrency: 1, steps: [{id: one, skill: one}]}";
        let kept = |path: &str, at: Timestamp| {
            let event = |index: usize| Event::Kept { path: Path::new(path), index, value: Arc::new(json!(index)), at };
            [event(0), event(1), event(3)]
        };
        let replied = |path: &str, at: Timestamp| {
            let (path, value) = (Path::new(path), Arc::new(json!("done")));
            Event::Replied { path, attempt: 1, value, by: None, inputs: None, at }
        };
        let head = "metadata: {id: w, name: W, version: 1.0.0}\nsteps:\n";
        let later = told(&format!("{head}- {{id: a, skill: one}}\n- {map}\n"), |at| {
            kept("/1:many", at).into_iter().chain([replied("/0:a", at), replied("/1:many[2]/0:one", at)]).collect()
        });
        let first = told(&format!("{head}- {map}\n"), |at| {
            let mut events = kept("/0:many", at).to_vec();
            events.extend([replied("/0:many[0]/0:one", at), replied("/0:many[2]/0:one", at)]);
            events
        });
        let lines = |told: &Timeline| -> Vec<String> {
            let line = |entry: &Entry| format!("{} {:?} {}", entry.path, entry.status, entry.depth);
            told.entries.iter().map(line).collect()
        };
        assert_eq!(
            lines(&later),
            [
                "/0:a Completed 0",
                "/1:many Completed 0",
                "/1:many[0] Kept 1",
                "/1:many[1] Kept 1",
                "/1:many[3] Kept 1",
                "/1:many[2]/0:one Completed 1"
            ]
        );
        assert_eq!(
            lines(&first),
            [
                "/0:many Completed 0",
                "/0:many[0]/0:one Completed 1",
                "/0:many[1] Kept 1",
                "/0:many[3] Kept 1",
                "/0:many[2]/0:one Completed 1"
            ]
        );
        assert_eq!(later.entries[2].value, Some(payload::of(&json!(0))));
        assert!(later.entries.iter().all(|entry| entry.finished_at.is_some()));
    }

    /// What was kept of very many items is told like very many steps.
    #[test]
    fn of_very_many_items_that_were_kept_the_first_and_the_last_are_told() {
        let text = "metadata: {id: w, name: W, version: 1.0.0}
steps:
  - {id: a, skill: one}
  - {id: many, step_type: map, items: \"{{ steps.a.outputs }}\", max_concurrency: 1, steps: [{id: one, skill: one}]}
";
        let (count, path) = (12_000, Path::new("/1:many"));
        let told = told(text, |at| {
            let kept = (0..count).map(|index| Event::Kept { path: path.clone(), index, value: Arc::new(json!(1)), at });
            let value = Arc::new(json!(vec![0; count]));
            let replied = Event::Replied { path: Path::new("/0:a"), attempt: 1, value, by: None, inputs: None, at };
            kept.chain([replied]).collect()
        });
        assert_eq!(told.entries.len() as u64, HISTORY_ENTRIES_MAX);
        assert_eq!(told.left_out, count as u64 + 2 - HISTORY_ENTRIES_MAX);
    }

    /// A loop, a question that is asked in the middle of it, and the loop again.
    #[test]
    fn of_very_many_steps_the_first_the_last_and_what_is_not_over_are_told() {
        let text = "metadata: {id: w, name: W, version: 1.0.0}
steps:
  - {id: many, step_type: loop, max_iterations: 9000, until: \"{{ iteration == 8999 }}\", steps: [{id: one, step_type: set, value: 1}]}
  - id: both
    step_type: parallel
    branches:
      asks: [{id: ask, step_type: input, prompt: well?}]
      goes_on: [{id: more, step_type: loop, max_iterations: 9000, until: \"{{ iteration == 8999 }}\", steps: [{id: two, step_type: set, value: 2}]}]
";
        let told = told(text, |_| Vec::new());
        // Two loops, a group and a question beside the repetitions.
        let begun = 2 * 9_000 + 4;
        let ask = told.entries.iter().position(|entry| entry.step == "ask").expect("the question is told");
        assert_eq!(told.entries[ask].status, EntryStatus::Waiting);
        assert_eq!(told.entries.len() as u64 + told.left_out, begun);
        // The group and the question are not over, and stand in the middle.
        assert_eq!(told.entries.len() as u64, HISTORY_ENTRIES_MAX + 2);
        let half = HISTORY_ENTRIES_MAX as usize / 2;
        assert_eq!(told.entries[half - 1].path.as_str(), "/0:many[4998]/0:one", "the first are there");
        assert_eq!(told.entries[half + 2].path.as_str(), "/1:both[1]/0:more[4000]/0:two", "and the last");
        assert_eq!(told.entries.last().unwrap().path.as_str(), "/1:both[1]/0:more[8999]/0:two");
        assert!(told.entries.iter().filter(|entry| entry.step == "two").all(|entry| entry.value.is_some()));
        let shown: Value = serde_json::to_value(&told).unwrap();
        assert_eq!(shown["left_out"], told.left_out);
    }
}
