//! One step: its id, what it does, and what all steps share.

use std::rc::Rc;

use super::Checker;
use super::document::flatten;
use super::fields::find;
use super::reach::{Arm, Crumb, Known};
use super::step_type::StepType;
use super::template::Role;
use crate::ids::StepId;
use crate::limits;
use crate::workflow::codes;
use crate::workflow::node::{Entry, Kind, Node};
use crate::workflow::{OnError, Step, StepKind};

impl Checker<'_, '_> {
    /// A list of steps that stands in `arm` of the step `owner`, or of the document.
    pub(super) fn steps(&mut self, node: &Node, owner: Option<usize>, arm: Arm, what: &str) -> Option<Vec<Step>> {
        let items = self.list(node, what, "write a list: each step begins with `- id: …`")?;
        if self.is_too_deep(node) {
            self.shadow(node);
            return None;
        }
        let outer = self.in_step;
        self.path.push(Crumb { owner, arm, index: 0 });
        let mut steps = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            if let Some(crumb) = self.path.last_mut() {
                crumb.index = index;
            }
            steps.push(self.step(item));
        }
        self.path.pop();
        self.in_step = outer;
        steps.into_iter().collect()
    }

    fn step(&mut self, node: &Node) -> Option<Step> {
        if !self.count_step(node) {
            self.shadow(node);
            return None;
        }
        let Kind::Map(entries) = &node.kind else {
            return self.wrong(node, "a step", "a map", "each step begins with `- id: …`");
        };
        let index = self.steps.len();
        self.steps.push(Known { path: self.path.clone(), ..Known::default() });
        self.in_step = Some(index);
        let id = self.step_id(node, entries, index);
        let Some(step_type) = self.step_type(entries) else {
            self.steps[index].opaque = true;
            self.shadow(node);
            return None;
        };
        let lacks_type = self.step_keys(node, entries, step_type);
        let outputs = find(entries, "outputs").map(|node| self.outputs(node, index));
        let when = find(entries, "when").map(|node| self.condition(node, "`when`", Role::Guard));
        let timeout = find(entries, "timeout").map(|node| self.positive_duration(node, "`timeout`"));
        let retry = find(entries, "retry").map(|node| self.retry(node));
        self.steps[index].may_be_null |= when.is_some();
        let kind = match step_type {
            StepType::Sequential => self.call(node, entries, lacks_type).map(StepKind::Call),
            StepType::Parallel => self.parallel(node, entries, index).map(StepKind::Parallel),
            StepType::Conditional => self.conditional(node, entries, index).map(StepKind::Conditional),
            StepType::Switch => self.switch(node, entries, index).map(StepKind::Switch),
            StepType::Map => self.map_step(node, entries, index).map(StepKind::Map),
            StepType::Loop => self.loop_step(node, entries, index).map(StepKind::Loop),
            StepType::Race => self.race(node, entries, index).map(StepKind::Race),
            StepType::Workflow => self.sub_workflow(node, entries).map(StepKind::Workflow),
            StepType::Wait => self.wait(node, entries).map(StepKind::Wait),
            StepType::Input => self.ask(node, entries).map(StepKind::Input),
            StepType::Set => self.set(node, entries).map(StepKind::Set),
            StepType::Fail => self.fail(node, entries).map(StepKind::Fail),
        };
        let on_error = find(entries, "on_error").map(|node| self.on_error(node, Some(index)));
        self.steps[index].may_be_null |= matches!(on_error, Some(Some(OnError::Continue)));
        self.steps[index].catches = matches!(on_error, Some(Some(OnError::Catch(_))));
        let line = self.report.source().line(node.span.start);
        Some(Step {
            id: id?,
            span: node.span.clone(),
            line,
            kind: kind?,
            outputs: flatten(outputs)?,
            when: flatten(when)?,
            timeout: flatten(timeout)?,
            retry: flatten(retry)?,
            on_error: flatten(on_error)?,
        })
    }

    /// Whether another list of steps would be nested too deep; reports it.
    pub(super) fn is_too_deep(&mut self, node: &Node) -> bool {
        let is_too_deep = self.path.len() == limits::STEP_DEPTH_MAX;
        if is_too_deep {
            let message = format!("steps are nested more than {} deep", limits::STEP_DEPTH_MAX);
            self.add(&codes::TOO_MANY_STEPS, &node.span, message, "move the inner steps into a workflow of their own");
        }
        is_too_deep
    }

    /// Counts a step; false when there are too many.
    pub(super) fn count_step(&mut self, node: &Node) -> bool {
        self.step_count += 1;
        if self.step_count == limits::WORKFLOW_STEPS_MAX + 1 {
            let message = format!("the workflow has more than {} steps", limits::WORKFLOW_STEPS_MAX);
            self.add(&codes::TOO_MANY_STEPS, &node.span, message, "split it into several workflows");
        }
        self.step_count <= limits::WORKFLOW_STEPS_MAX
    }

    /// Reads something in which expressions can read more names.
    pub(super) fn with_names<T>(&mut self, names: &[&str], read: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.names.clone();
        self.names = outer.iter().cloned().chain(names.iter().map(|name| Rc::from(*name))).collect();
        let result = read(self);
        self.names = outer;
        result
    }

    fn step_id(&mut self, node: &Node, entries: &[Entry], index: usize) -> Option<StepId> {
        let Some(id_node) = find(entries, "id") else {
            self.missing(node, "id", "the step", "add `id:` with a name that no other step has");
            return None;
        };
        let text = self.filled_text(id_node, "`id`")?;
        let id = match StepId::parse(text) {
            Ok(id) => id,
            Err(error) => {
                self.add(&codes::INVALID_ID, &id_node.span, error.to_string(), "use letters, digits, `_` and `-`, beginning with a letter");
                self.shadowed.insert(text.to_owned());
                return None;
            }
        };
        self.steps[index].id = id.as_str().to_owned();
        if let Some(first) = self.by_id.get(id.as_str()) {
            let line = self.report.source().line(self.steps[*first].at);
            let message = format!("the step id `{id}` is used twice");
            let hint = match self.steps[*first].is_implied {
                true => format!("the call of the `map` step on line {line} has it; rename this step"),
                false => format!("it is first used on line {line}; ids are unique in the workflow, nested steps included"),
            };
            self.add(&codes::DUPLICATE_STEP, &id_node.span, message, hint);
            return None;
        }
        self.steps[index].at = id_node.span.start;
        self.by_id.insert(id.as_str().to_owned(), index);
        Some(id)
    }

    fn outputs(&mut self, node: &Node, index: usize) -> Option<String> {
        let name = self.filled_text(node, "`outputs`")?;
        if StepId::parse(name).is_err() {
            let message = format!("`{}` is not a name for outputs", super::fields::shorten(name));
            self.add(&codes::INVALID_ID, &node.span, message, "use letters, digits, `_` and `-`, beginning with a letter");
            return None;
        }
        self.steps[index].outputs = Some(name.to_owned());
        Some(name.to_owned())
    }
}
