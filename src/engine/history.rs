//! What happened in a run, when, and who did it: derived from its events, so that it can be told as long as they are kept.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use super::{Export, payload};
use crate::ids::{RunId, SkillId};
use crate::interpreter::{
    AgentUsed, Change, Command, Event, Invocation, Mismatch, Outcome, Payload, Question, Run, RunStatus, StepError, StepStatus,
};
use crate::plan::{Path, Plan};
use crate::time::Timestamp;

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
    pub labels: std::collections::BTreeMap<String, String>,
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
    /// Every attempt and every step that is no call, in the order they began.
    pub entries: Vec<Entry>,
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
            entries: history.entries,
        })
    }
}

#[derive(Default)]
struct History {
    at: Timestamp,
    entries: Vec<Entry>,
    /// The entry of a step that is not over, by path.
    open: HashMap<Path, usize>,
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
                let entry = self.open.get(path).map(|index| &mut self.entries[*index]).filter(|entry| entry.attempt == *attempt);
                if let Some(entry) = entry {
                    entry.agent = Some(Arc::clone(by));
                }
                return;
            }
            Event::Started { .. }
            | Event::Kept { .. }
            | Event::Answered { .. }
            | Event::TimerFired { .. }
            | Event::Exhausted { .. }
            | Event::CancelRequested { .. }
            | Event::Continued { .. }
            | Event::Resumed { .. } => return,
        };
        let Some(entry) = self.open.get(path).map(|index| &mut self.entries[*index]).filter(|entry| entry.attempt == *attempt) else {
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
            entry.finished_at = Some(self.at);
            self.open.remove(path);
        }
    }

    fn command(&mut self, command: Command) {
        let Command::Call(Invocation { path, step, attempt, skill, inputs, .. }) = command else { return };
        // Its question was answered just now, and the answer is on its way to the agent that asked: that is the next attempt.
        let agent = self.open.get(&path).map(|index| &mut self.entries[*index]).and_then(|asked| {
            (asked.status, asked.finished_at, asked.question) = (EntryStatus::Completed, Some(self.at), None);
            asked.agent.clone()
        });
        let inputs = Some(payload::of(&inputs));
        let entry = Entry { skill: Some(skill), attempt, agent, inputs, ..self.entry(path, step.to_string()) };
        self.begin(entry);
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::StepStarted { path, step, skill: None, .. } => {
                let entry = self.entry(path, step.to_string());
                self.begin(entry);
            }
            // A call begins with its command, which knows the inputs.
            Change::StepStarted { skill: Some(_), .. } | Change::RunStarted | Change::RunFinished { .. } | Change::StepRetrying { .. } => {}
            Change::StepWaiting { path, step, question } => {
                if !self.open.contains_key(&path) {
                    let entry = self.entry(path.clone(), step.to_string());
                    self.begin(entry);
                }
                if let Some(index) = self.open.get(&path) {
                    let entry = &mut self.entries[*index];
                    (entry.status, entry.question) = (EntryStatus::Waiting, Some(question));
                }
            }
            Change::StepFinished { path, step, status, outputs, error, attempts, .. } => {
                let status = entry_status(status);
                let index = match self.open.remove(&path) {
                    Some(index) => index,
                    // Its last attempt said so already.
                    None if attempts > 0 => return,
                    None => {
                        let entry = self.entry(path, step.to_string());
                        self.entries.push(entry);
                        self.entries.len() - 1
                    }
                };
                let entry = &mut self.entries[index];
                entry.status = status;
                entry.finished_at = Some(self.at);
                entry.error = error;
                entry.question = None;
                entry.value = (status == EntryStatus::Completed).then(|| payload::of(&outputs));
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

    fn begin(&mut self, entry: Entry) {
        self.open.insert(entry.path.clone(), self.entries.len());
        self.entries.push(entry);
    }
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

    #[test]
    fn an_answer_that_is_on_its_way_is_shown_with_the_agent_that_asked() {
        let text = "metadata: {id: w, name: W, version: 1.0.0}\nsteps: [{id: a, skill: one}]\n";
        let digest = Digest::parse(&format!("sha256:{}", "0".repeat(64))).unwrap();
        let plan = Plan::new(crate::workflow::parse(text).workflow.unwrap(), text, digest.clone());
        let (run, path, at) = (RunId::parse("r").unwrap(), Path::new("/0:a"), Timestamp::default());
        let by = Arc::new(AgentUsed { name: "asker".into(), card: None, reason: "only one".into() });
        let remote = Some(RemoteTask { task_id: "t".into(), context_id: "c".into() });
        let question = Question { remote, schema: None, auth: false, prompt: Arc::new(json!("which?")) };
        let value = Arc::new(json!({}));
        let events = vec![
            Event::Started {
                run: run.clone(),
                workflow: digest.clone(),
                semantics: SEMANTICS,
                input: value.clone(),
                ancestry: vec![],
                work: None,
                at,
            },
            Event::Asked { path: path.clone(), attempt: 1, question, by: Some(by), inputs: None, at },
            Event::Answered { path, answer: value, note: None, at },
        ];
        let (workflow, version) = ("w".to_owned(), "1.0.0".to_owned());
        let header = ExportHeader { run, workflow, version, digest, labels: Default::default(), started_at: at };
        let (gantry, source) = (String::new(), Arc::from(text));
        let export = Export { format: Export::FORMAT, gantry, header, status: RunStatus::Running, changed_at: at, source, events };
        let told = Timeline::new(&export, Arc::new(plan)).unwrap();
        let shown: Vec<_> = told.entries.iter().map(|entry| (entry.status, entry.agent.as_ref().map(|by| by.name.as_str()))).collect();
        assert_eq!(shown, [(EntryStatus::Completed, Some("asker")), (EntryStatus::Running, Some("asker"))]);
    }
}
