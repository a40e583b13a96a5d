//! What a run came to, until somebody reads it as its task: most never are read, and thousands of them are kept.

use std::sync::Arc;

use serde_json::Value;

use super::follow::{has_own_output, of_output, of_step};
use crate::a2a::Artifact;
use crate::interpreter::{Outcome, Snapshot, StepStatus};
use crate::json;
use crate::server::kept::written;

/// Larger results stay as they are: there they are shared with the run, and a text would be a copy.
const PACKED_BYTES_MAX: usize = 4 * 1024;

/// Objects and lists in what is packed, and so its depth.
const PACKED_GROUPS_MAX: usize = 100;

/// What an ended run came to. Its artifacts are made when they are read.
pub(super) struct Unread {
    came_to: CameTo,
    /// So many steps are artifacts.
    steps_max: usize,
}

enum CameTo {
    /// As the engine says it: dozens of small pieces of memory.
    Snapshot(Arc<Snapshot>),
    /// The outputs of its steps and its own, as JSON: one piece.
    Text(Box<str>),
}

/// What is packed of a step: its path, its id, its outputs.
type Step<T, V> = (T, T, V);

impl Unread {
    pub(super) fn new(snapshot: Arc<Snapshot>, steps_max: usize) -> Self {
        Self { came_to: CameTo::Snapshot(snapshot), steps_max }
    }

    /// The same in little memory. None when it is already, is large, or is no result.
    pub(super) fn packed(&self) -> Option<Self> {
        let CameTo::Snapshot(snapshot) = &self.came_to else { return None };
        let Some(Outcome::Completed { output }) = &snapshot.outcome else { return None };
        let steps: Vec<Step<&str, &Value>> = steps(snapshot).map(|(path, id, outputs)| (path, id, &**outputs)).collect();
        let text = written(&(steps, &**output), PACKED_BYTES_MAX).filter(|text| reads_back(text))?;
        Some(Self { came_to: CameTo::Text(text.into_boxed_str()), steps_max: self.steps_max })
    }

    pub(super) fn is_packed(&self) -> bool {
        matches!(self.came_to, CameTo::Text(_))
    }

    /// The artifacts: of its steps, at most so many, and of its output.
    pub(super) fn artifacts(&self) -> Vec<Artifact> {
        match &self.came_to {
            CameTo::Snapshot(snapshot) => {
                let of_steps = steps(snapshot).filter_map(|(path, id, outputs)| of_step(path, id, outputs)).take(self.steps_max);
                let output = match &snapshot.outcome {
                    Some(Outcome::Completed { output }) => Some(of_output(output)),
                    _ => None,
                };
                of_steps.chain(output).collect()
            }
            CameTo::Text(text) => {
                let (steps, output) = unpacked(text);
                let of_steps = steps.into_iter().filter_map(|(path, id, outputs)| of_step(&path, &id, &Arc::new(outputs)));
                of_steps.take(self.steps_max).chain([of_output(&Arc::new(output))]).collect()
            }
        }
    }

    /// The run's output, where only this has it.
    pub(super) fn output(&self) -> Option<Arc<Value>> {
        match &self.came_to {
            CameTo::Snapshot(_) => None,
            CameTo::Text(text) => Some(Arc::new(unpacked(text).1)),
        }
    }
}

/// The steps that yielded something of their own, in a run that repeated nothing.
fn steps(snapshot: &Snapshot) -> impl Iterator<Item = Step<&str, &Arc<Value>>> {
    let finished = snapshot.steps.iter().filter(|step| step.status == StepStatus::Completed && has_own_output(step.kind));
    finished.map(|step| (step.path.as_str(), step.id.as_str(), &step.outputs))
}

/// Whether the reader of JSON surely yields what was written.
fn reads_back(text: &str) -> bool {
    let groups = text.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count();
    groups < PACKED_GROUPS_MAX && json::reads_back(text)
}

fn unpacked(text: &str) -> (Vec<Step<String, Value>>, Value) {
    serde_json::from_str(text).expect("it was written here")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ids::{RunId, StepId};
    use crate::interpreter::{RunStatus, StepReport};
    use crate::plan::Path;
    use crate::time::Timestamp;

    fn step(id: &str, kind: &'static str, status: StepStatus, outputs: Value) -> StepReport {
        StepReport {
            path: Path::new(id),
            id: StepId::parse(id).unwrap(),
            kind,
            skill: None,
            status,
            outputs: Arc::new(outputs),
            error: None,
            question: None,
            attempts: 1,
            agent: None,
            started_at: None,
            finished_at: None,
        }
    }

    fn unread(output: &Value, steps_max: usize) -> Unread {
        let steps = vec![
            step("text", "call", StepStatus::Completed, json!("a\n\"é")),
            step(
                "number",
                "call",
                StepStatus::Completed,
                json!({"third": 0.333_333_333_333_333_3, "tiny": 5e-324, "large": u64::MAX, "z": 1, "a": -1}),
            ),
            step("nothing", "call", StepStatus::Completed, Value::Null),
            step("failed", "call", StepStatus::Failed, Value::Null),
            step("both", "parallel", StepStatus::Completed, json!({"a": 1})),
            step("file", "call", StepStatus::Completed, json!([{"file": {"url": "https://a.example/f"}}])),
        ];
        let (started_at, outcome) = (Timestamp::default(), Some(Outcome::Completed { output: Arc::new(output.clone()) }));
        let (run, status, notes) = (RunId::parse("run").unwrap(), RunStatus::Completed, Vec::new());
        let snapshot = Snapshot { run, status, outcome, started_at, finished_at: None, changed_at: started_at, notes, steps };
        Unread::new(Arc::new(snapshot), steps_max)
    }

    #[test]
    fn what_is_packed_is_read_as_it_was() {
        for output in [json!(null), json!({}), json!([]), json!("text"), json!({"a": [1, 2.5, null, {"b": "c"}]})] {
            for steps_max in [0, 2, 500] {
                let loose = unread(&output, steps_max);
                let packed = loose.packed().expect("it is small");
                assert_eq!(packed.artifacts(), loose.artifacts(), "{output}");
                assert_eq!(packed.output().as_deref(), Some(&output));
                assert!(packed.packed().is_none() && loose.output().is_none(), "{output}");
            }
        }
        assert_eq!(unread(&json!(1), 500).artifacts().len(), 4, "three steps yielded something, and the run");
    }

    #[test]
    fn what_would_not_be_read_back_is_not_packed() {
        let deep = |depth: usize| (0..depth).fold(json!(1), |value, _| json!([value]));
        for (output, is_packed) in
            [(json!({"$serde_json::private::RawValue": "1"}), false), (deep(PACKED_GROUPS_MAX), false), (deep(PACKED_GROUPS_MAX / 2), true)]
        {
            let packed = unread(&output, 500).packed();
            assert_eq!(packed.is_some(), is_packed, "{output}");
            assert!(packed.is_none_or(|packed| packed.output().as_deref() == Some(&output)));
        }
    }

    #[test]
    fn what_is_large_is_not_copied() {
        let bytes = |text: &Unread| match &text.came_to {
            CameTo::Text(text) => text.len(),
            CameTo::Snapshot(_) => 0,
        };
        let without = bytes(&unread(&json!(""), 0).packed().unwrap());
        let fits = unread(&json!("x".repeat(PACKED_BYTES_MAX - without)), 0);
        assert_eq!(fits.packed().map(|packed| bytes(&packed)), Some(PACKED_BYTES_MAX));
        assert!(unread(&json!("x".repeat(PACKED_BYTES_MAX - without + 1)), 0).packed().is_none());
    }
}
