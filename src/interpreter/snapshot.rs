//! The run as it stands, for those who look.

use std::sync::Arc;

use serde_json::Value;

use super::state::{CallPhase, FrameIndex, LoopState, MapState, Place, State};
use super::{Run, Snapshot, StepReport, StepStatus};
use crate::plan::{Node, NodeKind};

impl Run {
    /// The run as it stands. Payloads are shared, not copied.
    ///
    /// # Panics
    /// When the run has not started.
    pub fn snapshot(&self) -> Snapshot {
        let frame = FrameIndex(0);
        let mut steps: Vec<_> = self.plan.nodes().map(|(node, plan_node)| self.report(Place { frame, node }, plan_node)).collect();
        // Of repetitions only what is under way is shown: what they yielded is in the outputs of their step.
        let open = |place: &&Place| place.frame != frame && !matches!(self.state(**place), Some(State::Settled(_)) | None);
        steps.extend(self.places.values().filter(open).map(|place| self.report(*place, self.plan.node(place.node))));
        Snapshot {
            run: self.id.clone().expect("a snapshot is taken of a run that has started"),
            status: self.status(),
            outcome: self.outcome().cloned(),
            started_at: self.started_at,
            finished_at: self.finished_at,
            changed_at: self.told_at,
            notes: self.notes.iter().cloned().collect(),
            steps,
        }
    }

    fn report(&self, place: Place, node: &Node) -> StepReport {
        let mut report = StepReport {
            path: self.path(place),
            id: node.id.clone(),
            kind: node.kind.name(),
            skill: if let NodeKind::Call(call) = &node.kind { Some(call.skill.clone()) } else { None },
            status: StepStatus::Pending,
            outputs: Arc::new(Value::Null),
            error: None,
            question: None,
            attempts: 0,
            agent: None,
            started_at: None,
            finished_at: None,
        };
        match self.state(place) {
            None => {}
            Some(State::Call(call)) => {
                report.status = StepStatus::Running;
                report.attempts = call.attempt;
                report.agent = call.by.clone();
                report.started_at = Some(call.started_at);
                if let CallPhase::Waiting(question) = &call.phase {
                    report.status = StepStatus::Waiting;
                    report.question = Some(question.clone());
                }
            }
            Some(State::Group(group)) => {
                report.status = StepStatus::Running;
                report.started_at = Some(group.started_at);
            }
            Some(State::Map(MapState { started_at, .. }) | State::Loop(LoopState { started_at, .. }) | State::Wait { started_at }) => {
                report.status = StepStatus::Running;
                report.started_at = Some(*started_at);
            }
            Some(State::Input { started_at, question }) => {
                report.status = StepStatus::Waiting;
                report.started_at = Some(*started_at);
                report.question = Some(question.clone());
            }
            Some(State::Body { started_at }) => {
                report.status = StepStatus::Running;
                report.started_at = Some(*started_at);
            }
            Some(State::Over { started_at }) => {
                report.status = StepStatus::Running;
                report.started_at = *started_at;
            }
            Some(State::Catching(record)) => {
                report.status = StepStatus::Running;
                report.attempts = record.attempts;
                report.error = record.error.clone();
                report.agent = record.by.clone();
                report.started_at = record.started_at;
            }
            Some(State::Settled(record)) => {
                report.status = record.status;
                report.outputs = Arc::clone(&record.outputs);
                report.error = record.error.clone();
                report.attempts = record.attempts;
                report.agent = record.by.clone();
                report.started_at = record.started_at;
                report.finished_at = record.started_at.and(self.ended.get(&place).copied());
            }
        }
        report
    }
}
