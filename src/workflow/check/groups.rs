//! Steps with branches: `parallel`, `race`, `conditional`, `switch`.

use super::Checker;
use super::document::flatten;
use super::fields::find;
use super::reach::Arm;
use super::template::Role;
use crate::expression::Condition;
use crate::workflow::codes;
use crate::workflow::node::{Entry, Kind, Node};
use crate::workflow::{Branch, Conditional, NoMatch, Parallel, Race, Switch};

const CONDITIONAL_BRANCHES: &[&str] = &["if_true", "if_false"];
const PARALLEL_RULE: &str = "write `branches:` with `steps:` and a list of steps, or with one `name: [steps]` a branch";
const SWITCH_RULE: &str = "write `branches:` with one `value: [steps]` a case, and `default: [steps]`";

impl Checker<'_, '_> {
    pub(super) fn parallel(&mut self, node: &Node, entries: &[Entry], index: usize) -> Option<Parallel> {
        let branches = self.branches_node(node, entries, "parallel", PARALLEL_RULE);
        if let Some(branches) = branches.filter(|branches| matches!(&branches.kind, Kind::Map(entries) if entries.is_empty())) {
            let hint = "it completes at once; add a branch if that is not meant";
            self.add(&codes::EMPTY_STEPS, &branches.span, "the `parallel` step has no branches".to_owned(), hint);
        }
        let branches = branches.and_then(|node| self.branches_at_once(node, index, Arm::Concurrent));
        let fail_fast = find(entries, "fail_fast").map(|node| self.boolean(node, "`fail_fast`"));
        let max_concurrency = find(entries, "max_concurrency").map(|node| self.max_concurrency(node));
        let branches = branches?;
        self.steps[index].branch_names = Some(branches.iter().map(|branch| branch.name.clone()).collect());
        Some(Parallel { branches, fail_fast: flatten(fail_fast)?.unwrap_or(true), max_concurrency: flatten(max_concurrency)? })
    }

    pub(super) fn race(&mut self, node: &Node, entries: &[Entry], index: usize) -> Option<Race> {
        let node = self.branches_node(node, entries, "race", PARALLEL_RULE)?;
        let branches = self.branches_at_once(node, index, Arm::Racing)?;
        if branches.is_empty() {
            let message = "the `race` step has no branches, so that none can win".to_owned();
            self.add(&codes::INVALID_VALUE, &node.span, message, "add a branch, or remove the step");
            return None;
        }
        Some(Race { branches })
    }

    /// The branches of a `parallel` or `race` step, in the form of a list or with names.
    fn branches_at_once(&mut self, node: &Node, index: usize, arm: fn(Option<u32>) -> Arm) -> Option<Vec<Branch>> {
        let entries = match &node.kind {
            Kind::List(_) => {
                self.shadow(node);
                return self.wrong(node, "`branches`", "a map", PARALLEL_RULE);
            }
            _ => self.map(node, "`branches`")?,
        };
        // `steps` alone is the list form: every step of it is a branch.
        if let [Entry { key, value, .. }] = entries
            && key == "steps"
        {
            let steps = self.steps(value, Some(index), arm(None), "`branches.steps`")?;
            if steps.is_empty() {
                self.empty_branch(value, "`branches.steps`");
            }
            return Some(steps.into_iter().map(|step| Branch { name: step.id.as_str().to_owned(), steps: vec![step] }).collect());
        }
        let branches: Vec<_> = entries.iter().zip(0..).map(|(entry, number)| self.branch(entry, index, arm(Some(number)))).collect();
        branches.into_iter().collect()
    }

    pub(super) fn conditional(&mut self, node: &Node, entries: &[Entry], index: usize) -> Option<Conditional> {
        const RULE: &str = "write `branches:` with `if_true: [steps]`, `if_false: [steps]` or both";
        let condition = self.required_condition(node, entries, "conditional", Role::Choice);
        let branches = self.branches_node(node, entries, "conditional", RULE);
        let branches = branches.and_then(|node| Some((node, self.known_map(node, "`branches`", CONDITIONAL_BRANCHES)?)));
        let (node, entries) = branches?;
        let mut branch = |key: &str, number: u32| match find(entries, key) {
            Some(node) => self.steps(node, Some(index), Arm::Either(number), &format!("`{key}`")),
            None => Some(Vec::new()),
        };
        let (if_true, if_false) = (branch("if_true", 0), branch("if_false", 1));
        if entries.iter().all(|entry| !CONDITIONAL_BRANCHES.contains(&entry.key.as_str())) {
            self.missing(node, "if_true", "`branches`", RULE);
            return None;
        }
        Some(Conditional { condition: condition?, if_true: if_true?, if_false: if_false? })
    }

    pub(super) fn switch(&mut self, node: &Node, entries: &[Entry], index: usize) -> Option<Switch> {
        let condition = self.required_condition(node, entries, "switch", Role::Value);
        let words = [("fail", NoMatch::Fail), ("skip", NoMatch::Skip)];
        let on_no_match = find(entries, "on_no_match").map(|node| self.word(node, "`on_no_match`", &words));
        let node = self.branches_node(node, entries, "switch", SWITCH_RULE)?;
        let entries = self.map(node, "`branches`")?;
        if entries.is_empty() {
            self.add(&codes::MISSING_KEY, &node.span, "the `switch` step has no branches".to_owned(), SWITCH_RULE);
            return None;
        }
        let (mut cases, mut default) = (Vec::new(), None);
        for (entry, number) in entries.iter().zip(0..) {
            let branch = self.branch(entry, index, Arm::Either(number));
            match entry.key.as_str() {
                "default" => default = Some(branch.map(|branch| branch.steps)),
                _ => cases.push(branch),
            }
        }
        let cases: Option<Vec<Branch>> = cases.into_iter().collect();
        Some(Switch {
            condition: condition?,
            cases: cases?,
            default: flatten(default)?,
            on_no_match: flatten(on_no_match)?.unwrap_or_default(),
        })
    }

    fn branch(&mut self, entry: &Entry, index: usize, arm: Arm) -> Option<Branch> {
        let what = format!("the branch `{}`", super::fields::shorten(&entry.key));
        let steps = self.steps(&entry.value, Some(index), arm, &what)?;
        if steps.is_empty() && entry.key != "default" {
            self.empty_branch(&entry.value, &what);
        }
        Some(Branch { name: entry.key.clone(), steps })
    }

    fn empty_branch(&mut self, node: &Node, what: &str) {
        let hint = "it completes at once with a null result; write `[]` with a comment if that is meant".to_owned();
        // An explicit `[]` says that it is meant.
        if node.kind == Kind::Null {
            self.add(&codes::EMPTY_STEPS, &node.span, format!("{what} has no steps"), hint);
        }
    }

    fn branches_node<'n>(&mut self, node: &Node, entries: &'n [Entry], step_type: &str, hint: &str) -> Option<&'n Node> {
        let found = find(entries, "branches");
        if found.is_none() {
            self.missing(node, "branches", &format!("the `{step_type}` step"), hint);
        }
        found
    }

    fn required_condition(&mut self, node: &Node, entries: &[Entry], step_type: &str, role: Role) -> Option<Condition> {
        match find(entries, "condition") {
            Some(condition) => self.condition(condition, "`condition`", role),
            None => {
                let hint = "add `condition:` with an expression, such as `steps.a.outputs.ok`";
                self.missing(node, "condition", &format!("the `{step_type}` step"), hint);
                None
            }
        }
    }
}
