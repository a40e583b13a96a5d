//! A finished run as one object: what `--json` prints, and what is shown and saved.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::engine::Update;
use crate::ids::StepId;
use crate::interpreter::{AgentUsed, Change, Outcome, RunStatus, Snapshot, StepError, StepStatus};
use crate::plan::{NodeKind, Plan, ReduceBy};
use crate::time::Timestamp;

/// Where a workflow came from and why this version.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    /// `workflows/code-generation-v1:1.0.0`, or the file.
    pub(super) reference: String,
    /// "highest of 3 versions", "the file as given".
    pub(super) choice: String,
}

/// A run that has ended.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) run_id: String,
    pub(super) status: RunStatus,
    pub(super) workflow: WorkflowReport,
    pub(super) input: Arc<Value>,
    /// Null unless the run completed.
    pub(super) output: Option<Arc<Value>>,
    pub(super) error: Option<StepError>,
    /// In the author's order; a step in a map or loop as often as its turn came, in the order of their ends, each time with its own path.
    pub(super) steps: Vec<StepReport>,
    /// True when there is more of steps in maps and loops than is listed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) has_more_steps: bool,
    pub(super) started_at: Timestamp,
    pub(super) finished_at: Option<Timestamp>,
    pub(super) duration_ms: Option<u64>,
}

/// The workflow that ran.
#[derive(Debug, Serialize)]
pub(super) struct WorkflowReport {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) digest: String,
    pub(super) reference: String,
    pub(super) choice: String,
}

/// One step of it.
#[derive(Debug, Serialize)]
pub(super) struct StepReport {
    pub(super) id: String,
    pub(super) path: String,
    pub(super) kind: &'static str,
    pub(super) skill: Option<String>,
    pub(super) status: StepStatus,
    pub(super) outputs: Arc<Value>,
    pub(super) error: Option<StepError>,
    pub(super) attempts: u32,
    pub(super) agent: Option<std::sync::Arc<AgentUsed>>,
    pub(super) started_at: Option<Timestamp>,
    pub(super) finished_at: Option<Timestamp>,
    pub(super) duration_ms: Option<u64>,
    /// It is in a map or loop: what it comes to is part of what that comes to.
    #[serde(skip)]
    pub(super) is_repeated: bool,
}

impl Report {
    /// Puts together what is known of a run.
    pub(super) fn new(plan: &Plan, origin: &Origin, input: Arc<Value>, snapshot: &Snapshot) -> Self {
        let (metadata, repeated) = (&plan.workflow().metadata, repeated(plan));
        let (output, error) = match &snapshot.outcome {
            Some(Outcome::Completed { output }) => (Some(output.clone()), None),
            Some(Outcome::Failed { error }) => (None, Some(error.clone())),
            Some(Outcome::Canceled { reason }) => (None, Some(StepError::new(crate::interpreter::ErrorClass::Canceled, reason))),
            None => (None, None),
        };
        Self {
            run_id: snapshot.run.to_string(),
            status: snapshot.status,
            workflow: WorkflowReport {
                id: metadata.id.to_string(),
                name: metadata.name.clone(),
                version: metadata.version.to_string(),
                digest: plan.digest().to_string(),
                reference: origin.reference.clone(),
                choice: origin.choice.clone(),
            },
            input,
            output,
            error,
            steps: snapshot.steps.iter().map(|step| StepReport::new(step, repeated.contains(&step.id))).collect(),
            has_more_steps: false,
            started_at: snapshot.started_at,
            finished_at: snapshot.finished_at,
            duration_ms: snapshot.finished_at.map(|finished| finished.since_ms(snapshot.started_at)),
        }
    }

    /// Puts what steps in maps and loops came to each time in the place where a snapshot has them as if their turn had not come: it
    /// knows only those of them that are under way. `updates` from the first one on, `updates_max` of them at most.
    pub(super) fn add_repetitions(&mut self, plan: &Plan, updates: Vec<Update>, updates_max: u64) {
        let has_ended = updates.last().is_some_and(|last| matches!(last.change, Change::RunFinished { .. }));
        self.has_more_steps = !has_ended && updates.len() as u64 >= updates_max;
        let (repeated, mut begun) = (repeated(plan), BTreeMap::new());
        let mut times: BTreeMap<String, Vec<StepReport>> = BTreeMap::new();
        for Update { at, change, .. } in updates {
            match change {
                // A step that asks waits from its beginning.
                Change::StepStarted { path, .. } | Change::StepWaiting { path, .. } => _ = begun.entry(path).or_insert(at),
                Change::StepFinished { path, step, kind, status, outputs, error, attempts, by } => {
                    let Some(node) = plan.find(step.as_str()).map(|node| plan.node(node)).filter(|_| repeated.contains(&step)) else {
                        continue;
                    };
                    // What is over at once is not said to begin.
                    let is_over_at_once = matches!(status, StepStatus::Completed | StepStatus::Failed);
                    let started_at = begun.remove(&path).or_else(|| is_over_at_once.then_some(at));
                    times.entry(step.to_string()).or_default().push(StepReport {
                        id: step.to_string(),
                        path: path.to_string(),
                        kind,
                        skill: if let NodeKind::Call(call) = &node.kind { Some(call.skill.to_string()) } else { None },
                        status,
                        outputs,
                        error,
                        attempts,
                        agent: by,
                        started_at,
                        finished_at: started_at.map(|_| at),
                        duration_ms: started_at.map(|started| at.since_ms(started)),
                        is_repeated: true,
                    });
                }
                Change::RunStarted | Change::StepRetrying { .. } | Change::RunFinished { .. } => {}
            }
        }
        for step in std::mem::take(&mut self.steps) {
            match times.remove(&step.id) {
                Some(times) => self.steps.extend(times),
                None => self.steps.push(step),
            }
        }
    }

    /// The skill calls that have a value, in the author's order: what there is to show and to save.
    pub(super) fn results(&self) -> impl Iterator<Item = &StepReport> {
        self.steps.iter().filter(|step| step.is_call() && !step.is_repeated && step.status == StepStatus::Completed)
    }
}

impl StepReport {
    fn new(step: &crate::interpreter::StepReport, is_repeated: bool) -> Self {
        Self {
            id: step.id.to_string(),
            path: step.path.to_string(),
            kind: step.kind,
            skill: step.skill.as_ref().map(ToString::to_string),
            status: step.status,
            outputs: step.outputs.clone(),
            error: step.error.clone(),
            attempts: step.attempts,
            agent: step.agent.clone(),
            started_at: step.started_at,
            finished_at: step.finished_at,
            duration_ms: step.started_at.zip(step.finished_at).map(|(started, finished)| finished.since_ms(started)),
            is_repeated,
        }
    }

    /// Whether it calls a skill; the others only hold steps.
    pub(super) fn is_call(&self) -> bool {
        self.skill.is_some()
    }

    /// The agent's name.
    pub(super) fn agent_name(&self) -> Option<&str> {
        self.agent.as_ref().map(|agent| agent.name.as_str())
    }
}

/// The steps in maps and loops. What catches the failure of a map or loop itself runs once.
fn repeated(plan: &Plan) -> BTreeSet<&StepId> {
    let bodies = plan.nodes().flat_map(|(_, node)| match &node.kind {
        NodeKind::Map { body, reduce: Some((_, ReduceBy::Steps(steps))), .. } => vec![*body, *steps],
        NodeKind::Map { body, .. } | NodeKind::Loop { body, .. } => vec![*body],
        _ => Vec::new(),
    });
    let steps = bodies.flat_map(|body| &plan.sequence(body).steps);
    let below = |step| plan.sequences_below(step).into_iter().flat_map(|sequence| plan.sequence(sequence).steps.iter().copied());
    steps.flat_map(|step| std::iter::once(*step).chain(below(*step))).map(|step| &plan.node(step).id).collect()
}
