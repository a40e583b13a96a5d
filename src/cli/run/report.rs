//! A finished run as one object: what `--json` prints, and what is shown and saved.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::interpreter::{AgentUsed, Outcome, RunStatus, Snapshot, StepError, StepStatus};
use crate::plan::Plan;
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
    pub(super) steps: Vec<StepReport>,
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
}

impl Report {
    /// Puts together what is known of a run.
    pub(super) fn new(plan: &Plan, origin: &Origin, input: Arc<Value>, snapshot: &Snapshot) -> Self {
        let metadata = &plan.workflow().metadata;
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
            steps: snapshot.steps.iter().map(StepReport::new).collect(),
            started_at: snapshot.started_at,
            finished_at: snapshot.finished_at,
            duration_ms: snapshot.finished_at.map(|finished| finished.since_ms(snapshot.started_at)),
        }
    }

    /// The skill calls that have a value, in the author's order: what there is to show and to save.
    pub(super) fn results(&self) -> impl Iterator<Item = &StepReport> {
        self.steps.iter().filter(|step| step.is_call() && step.status == StepStatus::Completed)
    }
}

impl StepReport {
    fn new(step: &crate::interpreter::StepReport) -> Self {
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
