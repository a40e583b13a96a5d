//! Steps that run their body many times: `map`, with its `reduce`, and `loop`.

use std::num::NonZeroU32;

use super::Checker;
use super::document::flatten;
use super::fields::{find, shorten};
use super::reach::{Arm, Crumb, Known};
use super::template::Role;
use crate::expression::Tree;
use crate::ids::StepId;
use crate::limits;
use crate::workflow::codes;
use crate::workflow::node::{Entry, Kind, Node};
use crate::workflow::{Loop, LoopTest, Map, OnError, Reduce, ReduceBy, Step, StepKind, Tolerance};

const REDUCE_KEYS: &[&str] = &["initial", "expression", "steps"];
/// Names that `as:` cannot take: those that mean something else, and the words of expressions.
pub(in crate::workflow) const RESERVED_NAMES: &[&str] = &[
    "workflow",
    "steps",
    "run",
    "index",
    "iteration",
    "accumulator",
    "and",
    "or",
    "not",
    "in",
    "is",
    "if",
    "else",
    "true",
    "True",
    "false",
    "False",
    "none",
    "None",
];

impl Checker<'_, '_> {
    pub(super) fn map_step(&mut self, node: &Node, entries: &[Entry], index: usize) -> Option<Map> {
        let items = match find(entries, "items") {
            Some(items) => self.items(items),
            None => {
                self.missing(node, "items", "the `map` step", "add `items:` with a list, or an expression that yields one");
                None
            }
        };
        let binding = find(entries, "as").map(|node| self.binding(node, index));
        let max_concurrency = find(entries, "max_concurrency").map(|node| self.max_concurrency(node));
        let tolerance = find(entries, "tolerate_failures").map(|node| self.tolerance(node));
        let mut names = vec!["item", "index"];
        if let Some(Some(name)) = &binding {
            names.push(name);
        }
        let body = self.with_names(&names, |checker| checker.map_body(node, entries, index));
        let reduce = find(entries, "reduce").map(|node| self.reduce(node, index));
        self.steps[index].yields_list = reduce.is_none();
        Some(Map {
            items: items?,
            binding: flatten(binding)?,
            body: body?,
            max_concurrency: flatten(max_concurrency)?,
            tolerate_failures: flatten(tolerance)?.unwrap_or_default(),
            reduce: flatten(reduce)?,
        })
    }

    /// `items:`: a list, or one expression that yields it.
    fn items(&mut self, node: &Node) -> Option<Tree> {
        match &node.kind {
            Kind::List(_) => self.tree(node),
            Kind::Text(text) if text.contains("{{") => self.tree(node),
            _ => self.wrong(node, "`items`", "a list", "write `[…]`, or an expression that yields a list: `\"{{ … }}\"`"),
        }
    }

    fn binding(&mut self, node: &Node, index: usize) -> Option<String> {
        let name = self.filled_text(node, "`as`")?;
        let is_word = StepId::parse(name).is_ok() && !name.contains('-');
        let refusal = match name {
            _ if !is_word => Some("use letters, digits and `_`, beginning with a letter"),
            _ if RESERVED_NAMES.contains(&name) => Some("it means something else in expressions: take another name"),
            "item" => None,
            _ if self.names.iter().any(|known| **known == *name) => Some("a `map` step around this one has it: take another name"),
            _ => None,
        };
        if let Some(hint) = refusal {
            self.add(&codes::INVALID_ID, &node.span, format!("`{}` cannot be the name of an item", shorten(name)), hint);
            return None;
        }
        if name != "item" {
            self.bindings.entry(name.to_owned()).or_insert(index);
        }
        Some(name.to_owned())
    }

    /// `tolerate_failures:`: a number of items, or a share of them such as `10%`.
    fn tolerance(&mut self, node: &Node) -> Option<Tolerance> {
        const RULE: &str = "write how many items may fail (3), or how many of a hundred (\"10%\")";
        let read = match &node.kind {
            Kind::Number(number) => number.as_u64().and_then(|count| u32::try_from(count).ok()).map(Tolerance::Count),
            Kind::Text(text) => parse_percent(text).map(Tolerance::Percent),
            _ => return self.wrong(node, "`tolerate_failures`", "a number or a share", RULE),
        };
        if read.is_none() {
            let written = shorten(self.report.source().slice(&node.span));
            self.add(&codes::INVALID_VALUE, &node.span, format!("`tolerate_failures` cannot be {written}"), RULE);
        }
        read
    }

    /// The body: `steps`, or one call written on the map itself.
    fn map_body(&mut self, node: &Node, entries: &[Entry], index: usize) -> Option<Vec<Step>> {
        const RULE: &str = "add `steps:` with the steps of one item, or `skill:` and `inputs:` when one call is enough";
        match (find(entries, "steps"), find(entries, "skill")) {
            (Some(steps), None) => {
                for entry in entries.iter().filter(|entry| matches!(entry.key.as_str(), "agent" | "inputs")) {
                    let message = format!("`{}` does not belong beside `steps`", entry.key);
                    self.add(&codes::MISPLACED_KEY, &entry.key_span, message, "put it on a step of the body");
                }
                self.body(steps, index, Arm::Item)
            }
            (None, Some(_)) => self.implied_call(node, entries, index).map(|step| vec![step]),
            (Some(steps), Some(skill)) => {
                let message = "the `map` step has both `steps` and `skill`".to_owned();
                self.add(&codes::MISPLACED_KEY, &skill.span, message, "keep one: `skill` is short for a body of one call");
                self.shadow(steps);
                None
            }
            (None, None) => {
                self.missing(node, "steps", "the `map` step", RULE);
                None
            }
        }
    }

    /// The call that stands on the map itself, as the only step of its body.
    fn implied_call(&mut self, node: &Node, entries: &[Entry], map: usize) -> Option<Step> {
        if !self.count_step(node) || self.is_too_deep(node) {
            return None;
        }
        let span = find(entries, "id").map_or_else(|| node.span.clone(), |id| id.span.clone());
        let id = self.implied_id(&span, map);
        let index = self.steps.len();
        self.path.push(Crumb { owner: Some(map), arm: Arm::Item, index: 0 });
        self.steps.push(Known { at: span.start, path: self.path.clone(), is_implied: true, ..Known::default() });
        if let Some(id) = &id {
            self.steps[index].id = id.as_str().to_owned();
            self.by_id.insert(id.as_str().to_owned(), index);
        }
        let outer = self.in_step.replace(index);
        let call = self.call(node, entries, false);
        self.in_step = outer;
        self.path.pop();
        let line = self.report.source().line(node.span.start);
        Some(Step {
            id: id?,
            span: node.span.clone(),
            line,
            kind: StepKind::Call(call?),
            outputs: None,
            when: None,
            timeout: None,
            retry: None,
            // Whether a failed item counts is said by the map, not by the workflow's `on_failure`.
            on_error: Some(OnError::Fail),
        })
    }

    fn implied_id(&mut self, span: &std::ops::Range<usize>, map: usize) -> Option<StepId> {
        let owner = self.steps[map].id.clone();
        // A map without a usable id has been reported.
        if owner.is_empty() {
            return None;
        }
        let text = format!("{owner}_item");
        let taken = self.by_id.get(&text).map(|first| self.report.source().line(self.steps[*first].at));
        match (StepId::parse(&text), taken) {
            (Ok(id), None) => Some(id),
            (Ok(_), Some(line)) => {
                let message = format!("the call of the `map` step `{owner}` would have the id `{text}`, which is taken");
                self.add(&codes::DUPLICATE_STEP, span, message, format!("rename the step on line {line}, or this one"));
                None
            }
            (Err(_), _) => {
                let message = format!("the call of the `map` step would have the id `{}`, which is too long", shorten(&text));
                self.add(&codes::INVALID_ID, span, message, "shorten the id of the map, or write its body as `steps:`");
                None
            }
        }
    }

    fn reduce(&mut self, node: &Node, index: usize) -> Option<Reduce> {
        const RULE: &str = "write `reduce: {initial: 0, expression: \"{{ accumulator + item }}\"}`, or `steps:` instead of the expression";
        const NAMES: &[&str] = &["accumulator", "item", "index"];
        let Some(entries) = self.known_map(node, "`reduce`", REDUCE_KEYS) else {
            self.shadow(node);
            return None;
        };
        let initial = match find(entries, "initial") {
            Some(initial) => self.tree(initial),
            None => {
                self.missing(node, "initial", "`reduce`", "add `initial:` with the first value of `accumulator`");
                None
            }
        };
        let keys = ("expression", "steps");
        let by = self.one_of(node, entries, keys, ("`reduce`", RULE), |checker, key, node| match key {
            "steps" => checker.with_names(NAMES, |checker| checker.body(node, index, Arm::Reduce)).map(ReduceBy::Steps),
            _ => match checker.with_names(NAMES, |checker| checker.tree_for(node, Role::Reduction)) {
                Some(Tree::Literal(_)) => {
                    let message = "`reduce.expression` computes nothing".to_owned();
                    checker.add(&codes::INVALID_VALUE, &node.span, message, "write it as a template: `\"{{ accumulator + item }}\"`");
                    None
                }
                tree => tree.map(ReduceBy::Expression),
            },
        });
        Some(Reduce { initial: initial?, by: by? })
    }

    pub(super) fn loop_step(&mut self, node: &Node, entries: &[Entry], index: usize) -> Option<Loop> {
        const RULE: &str = "add `while:` or `until:` with a condition";
        const MOST: &str = "add `max_iterations:`, so that the loop ends whatever its condition says";
        const RANGE: &str = "take the most that makes sense: a loop that is not done by then fails";
        const NAMES: &[&str] = &["iteration"];
        let test = self.one_of(node, entries, ("while", "until"), ("the `loop` step", RULE), |checker, key, node| match key {
            "while" => checker.with_names(NAMES, |checker| checker.condition(node, "`while`", Role::While)).map(LoopTest::While),
            _ => checker.with_names(NAMES, |checker| checker.condition(node, "`until`", Role::Until)).map(LoopTest::Until),
        });
        let max_iterations = match find(entries, "max_iterations") {
            Some(node) => self.integer_or(node, "`max_iterations`", (1, limits::LOOP_ITERATIONS_MAX), RANGE),
            None => {
                self.missing(node, "max_iterations", "the `loop` step", MOST);
                None
            }
        };
        let body = match find(entries, "steps") {
            Some(steps) => self.with_names(NAMES, |checker| checker.body(steps, index, Arm::Iteration)),
            None => {
                self.missing(node, "steps", "the `loop` step", "add `steps:` with the steps of one iteration");
                None
            }
        };
        let max_iterations = NonZeroU32::new(u32::try_from(max_iterations?).ok()?)?;
        Some(Loop { test: test?, max_iterations, body: body? })
    }

    /// A body. An empty one is surely not meant.
    fn body(&mut self, node: &Node, owner: usize, arm: Arm) -> Option<Vec<Step>> {
        let what = if arm == Arm::Reduce { "`reduce.steps`" } else { "`steps`" };
        let steps = self.steps(node, Some(owner), arm, what)?;
        if steps.is_empty() {
            self.add(&codes::EMPTY_STEPS, &node.span, format!("{what} has no steps"), "nothing is done, again and again; add a step");
        }
        Some(steps)
    }
}

/// `10%`, `12.5 %`: from 0 to 100.
fn parse_percent(text: &str) -> Option<f64> {
    let number = text.trim().strip_suffix('%')?.trim_end();
    if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    number.parse().ok().filter(|percent| (0.0..=100.0).contains(percent))
}

#[cfg(test)]
mod tests {
    use super::parse_percent;

    #[test]
    fn shares_as_authors_write_them() {
        for (text, percent) in [
            ("10%", Some(10.0)),
            (" 12.5 % ", Some(12.5)),
            ("0%", Some(0.0)),
            ("100%", Some(100.0)),
            ("101%", None),
            ("-1%", None),
            ("%", None),
            ("10", None),
            ("nan%", None),
            ("1e1%", None),
            ("ten%", None),
        ] {
            assert_eq!(parse_percent(text), percent, "{text}");
        }
    }
}
