//! Answers that come before their step asks: kept, and taken when it does.

use std::sync::Arc;

use serde_json::Value;

use super::Run;
use super::state::{FrameIndex, Phase, Place};
use crate::plan::{Node, NodeKind, Owner, Path};

impl Run {
    /// The `input` step of this path or id when it has not begun: where it stands, and what its answer must be. An answer to it is kept.
    /// A step of a repetition has no place before its repetition begins, so that it is none of these.
    pub fn unasked(&self, step: &str) -> Option<(&Path, Option<&Arc<Value>>)> {
        if !matches!(self.phase, Phase::Steps | Phase::Handlers { .. }) {
            return None;
        }
        let index = self.plan.find(step).or_else(|| self.plan.find(Path::new(step).step()))?;
        let node = self.plan.node(index);
        let NodeKind::Input { schema, .. } = &node.kind else { return None };
        let is_meant = node.id.as_str() == step || node.path.as_str() == step;
        let place = Place { frame: FrameIndex(0), node: index };
        // A step that had its answer before it began has no state until it is settled.
        let has_begun = self.state(place).is_some() || self.places.contains_key(&node.path);
        (is_meant && !has_begun && !self.is_repeated(node)).then_some((&node.path, schema.as_ref()))
    }

    pub(super) fn is_unasked(&self, path: &Path) -> bool {
        self.unasked(path.as_str()).is_some_and(|(found, _)| found == path)
    }

    /// Of several the last one counts.
    pub(super) fn keep_answer(&mut self, path: &Path, answer: Arc<Value>) {
        self.early.insert(path.clone(), answer);
    }

    fn is_repeated(&self, node: &Node) -> bool {
        let mut sequence = node.sequence;
        loop {
            match self.plan.sequence(sequence).owner {
                Owner::Root | Owner::Handler(_) => return false,
                Owner::Branch { node, .. } => {
                    let around = self.plan.node(node);
                    if matches!(around.kind, NodeKind::Map { .. } | NodeKind::Loop { .. }) {
                        return true;
                    }
                    sequence = around.sequence;
                }
                Owner::Catch { node } => sequence = self.plan.node(node).sequence,
            }
        }
    }
}
