//! What expressions refer to: names that exist, steps that have run by then (`reach` knows), outputs that a step has.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

use super::Checker;
use super::reach::{Arm, Crumb, Reach, shared_lists};
use super::template::Role;
use crate::expression::{Reference, Subtraction};
use crate::workflow::codes;
use crate::workflow::node::{Kind, Node};
use crate::workflow::report::listed;

/// The references of one text.
#[derive(Debug)]
pub(super) struct Use {
    /// The step whose key it is; none for the document's `output`.
    pub(super) step: Option<usize>,
    pub(super) role: Role,
    /// Names of the bodies around it.
    pub(super) names: Rc<[Rc<str>]>,
    pub(super) scalar: Range<usize>,
    pub(super) text: String,
    pub(super) references: Vec<Reference>,
    pub(super) subtractions: Vec<Subtraction>,
}

/// What the `when` of a step asks about.
#[derive(Debug, Default)]
struct Guard {
    steps: BTreeSet<String>,
    asks_iteration: bool,
}

/// The guards by step.
type Guards = BTreeMap<usize, Guard>;

fn guards(uses: &[Use]) -> Guards {
    let mut guards = Guards::new();
    for one in uses.iter().filter(|one| one.role == Role::Guard) {
        let Some(step) = one.step else { continue };
        let guard = guards.entry(step).or_default();
        guard.asks_iteration |= one.asks_iteration();
        guard.steps.extend(one.references.iter().filter_map(|reference| match reference.path.as_slice() {
            [root, id, ..] if root == "steps" => Some(id.clone()),
            _ => None,
        }));
    }
    guards
}

impl Use {
    /// Reads `iteration`, and so can tell the first one from the others.
    fn asks_iteration(&self) -> bool {
        self.references.iter().any(|reference| reference.path.first().is_some_and(|root| root == "iteration"))
    }
}

/// Names that an expression can begin with, and what they have. `steps` is looked up.
const ROOTS: &[(&str, &[&str])] =
    &[("workflow", &["input", "id", "name", "version"]), ("steps", &[]), ("run", &["id", "started_at", "status", "error"])];
/// Names that exist only in some places, and where.
const BODY_NAMES: &[(&str, &str)] = &[
    ("item", "the body or `reduce` of a `map` step"),
    ("index", "the body or `reduce` of a `map` step"),
    ("accumulator", "the `reduce` of a `map` step"),
    ("iteration", "a `loop` step"),
];
const STEP_PARTS: &[&str] = &["outputs", "status", "error"];

impl Checker<'_, '_> {
    /// Looks up every reference that was noted.
    pub(super) fn references(&mut self, input: Option<&Node>) {
        let uses = std::mem::take(&mut self.uses);
        let guards = guards(&uses);
        for one in &uses {
            let misread: Vec<&Subtraction> = one.subtractions.iter().filter(|sub| self.is_name(&sub.parent, &sub.name, input)).collect();
            for subtraction in &misread {
                let span = self.place(one, &subtraction.span);
                let message = format!("`{}` is read as a subtraction because of its `-`", subtraction.name);
                self.add(&codes::HYPHEN_IN_PATH, &span, message, format!("write `{}`", subtraction.instead));
            }
            let is_misread = |span: &Range<usize>| misread.iter().any(|sub| sub.span.start <= span.start && span.end <= sub.span.end);
            for reference in one.references.iter().filter(|reference| !is_misread(&reference.span)) {
                self.reference(one, reference, input, &guards);
            }
        }
    }

    /// Whether there is such a step, output or input.
    fn is_name(&self, parent: &[String], name: &str, input: Option<&Node>) -> bool {
        let parent: Vec<&str> = parent.iter().map(String::as_str).collect();
        match parent.as_slice() {
            ["steps"] => self.by_id.contains_key(name) || self.shadowed.contains(name),
            ["steps", id, "outputs"] => self.by_id.get(*id).is_some_and(|index| {
                let step = &self.steps[*index];
                step.outputs.as_deref() == Some(name)
                    || step.branch_names.as_ref().is_some_and(|names| names.iter().any(|known| known == name))
            }),
            ["workflow", "input"] => {
                input.and_then(|input| input.get("properties")).is_some_and(|properties| properties.get(name).is_some())
            }
            _ => false,
        }
    }

    fn reference(&mut self, one: &Use, reference: &Reference, input: Option<&Node>, guards: &Guards) {
        let path: Vec<&str> = reference.path.iter().map(String::as_str).collect();
        let Some((root, rest)) = path.split_first() else { return };
        match *root {
            "steps" => {
                if let [id, parts @ ..] = rest {
                    self.step_reference(one, reference, id, parts, guards);
                }
            }
            "workflow" | "run" => {
                let has = ROOTS.iter().find(|(name, _)| name == root).map_or(&[][..], |(_, has)| *has);
                match rest {
                    [part, ..] if !has.contains(part) => {
                        let mut hint = self.report.did_you_mean(part, has.iter().copied());
                        if hint.is_empty() {
                            hint = format!("it has {}", listed(has.iter().copied()));
                        }
                        let span = self.place(one, &reference.span);
                        self.add(&codes::UNKNOWN_PATH, &span, format!("`{root}` has no `{part}`"), hint);
                    }
                    ["input", name, ..] if *root == "workflow" => self.input_reference(one, reference, name, input),
                    _ => {}
                }
            }
            name if one.names.iter().any(|known| **known == *name) => {}
            name => self.unknown_name(one, reference, name),
        }
    }

    fn unknown_name(&mut self, one: &Use, reference: &Reference, name: &str) {
        const INSTEAD: &str = "read `workflow.input`, `steps.<id>.outputs` or `run` here";
        let span = self.place(one, &reference.span);
        if let Some((_, place)) = BODY_NAMES.iter().find(|(known, _)| *known == name) {
            self.add(&codes::UNKNOWN_NAME, &span, format!("`{name}` exists only inside {place}"), INSTEAD);
            return;
        }
        if let Some(map) = self.bindings.get(name) {
            let message = format!("`{name}` exists only inside the body of the `map` step `{}`", self.steps[*map].id);
            self.add(&codes::UNKNOWN_NAME, &span, message, INSTEAD);
            return;
        }
        let names: Vec<&str> = ROOTS.iter().map(|(name, _)| *name).chain(one.names.iter().map(|name| &**name)).collect();
        let hint = match self.by_id.contains_key(name) {
            true => format!("did you mean `{}`?", step_path(name, &["outputs"])),
            false => match self.report.did_you_mean(name, names.iter().copied()) {
                empty if empty.is_empty() => format!("an expression can read {}", listed(names)),
                hint => hint,
            },
        };
        self.add(&codes::UNKNOWN_NAME, &span, format!("unknown name `{name}`"), hint);
    }

    fn step_reference(&mut self, one: &Use, reference: &Reference, id: &str, parts: &[&str], guards: &Guards) {
        let Some(target) = self.by_id.get(id).copied() else {
            if !self.shadowed.contains(id) {
                let mut hint = self.report.did_you_mean(id, self.by_id.keys().map(String::as_str));
                if hint.is_empty() {
                    hint = format!("the steps are {}", listed(self.steps.iter().map(|step| step.id.as_str()).filter(|id| !id.is_empty())));
                }
                let span = self.place(one, &reference.span);
                self.add(&codes::UNDEFINED_STEP, &span, format!("there is no step `{id}`"), hint);
            }
            return;
        };
        match self.reach(one, target) {
            Reach::Not(why, hint) => {
                let span = self.place(one, &reference.span);
                self.add(&codes::STEP_NOT_RUN, &span, format!("the step `{id}` {why}"), hint);
            }
            Reach::Run => {
                if self.step_parts(one, reference, target, parts) {
                    self.may_not_have_run(one, reference, target, parts, guards);
                }
            }
            Reach::Previous => {
                if self.step_parts(one, reference, target, parts) {
                    self.not_in_the_first(one, reference, target, guards);
                }
            }
        }
    }

    /// Checks what is read of a step: `outputs`, `status` or `error`, and the name of its outputs.
    fn step_parts(&mut self, one: &Use, reference: &Reference, target: usize, parts: &[&str]) -> bool {
        let step = &self.steps[target];
        let (message, hint, code) = match parts {
            [part, ..] if !STEP_PARTS.contains(part) => {
                let hint = match self.report.did_you_mean(part, STEP_PARTS.iter().copied()) {
                    empty if empty.is_empty() => format!("did you mean `{}`?", step_path(&step.id, &["outputs", part])),
                    hint => hint,
                };
                (format!("a step has {}, not `{part}`", listed(STEP_PARTS.iter().copied())), hint, &codes::UNKNOWN_PATH)
            }
            ["outputs", name, ..] if step.yields_list && step.outputs.is_none() && !step.catches => {
                if name.parse::<i64>().is_ok() || reference.optional {
                    return true;
                }
                let hint =
                    format!("read one as `{}[0]`, or `{0} | map(attribute='{name}')` for that of each", step_path(&step.id, &["outputs"]));
                (format!("the outputs of the `map` step `{}` are a list, which has no `{name}`", step.id), hint, &codes::UNDEFINED_OUTPUT)
            }
            ["outputs", name, ..] if !step.opaque && !step.catches => {
                let names: Vec<&str> = match (&step.outputs, &step.branch_names) {
                    (Some(outputs), _) => vec![outputs],
                    (None, Some(branches)) => branches.iter().map(String::as_str).collect(),
                    (None, None) => return true,
                };
                if names.contains(name) || reference.optional {
                    return true;
                }
                let hint = match names.as_slice() {
                    [only] => format!("did you mean `{}`?", step_path(&step.id, &["outputs", only])),
                    _ => match self.report.did_you_mean(name, names.iter().copied()) {
                        empty if empty.is_empty() => format!("it has {}", listed(names)),
                        hint => hint,
                    },
                };
                (format!("the step `{}` has no output `{name}`", step.id), hint, &codes::UNDEFINED_OUTPUT)
            }
            _ => return true,
        };
        let span = self.place(one, &reference.span);
        self.add(code, &span, message, hint);
        false
    }

    /// Warns of what is read of the iteration before when it does not have to be there.
    fn not_in_the_first(&mut self, one: &Use, reference: &Reference, target: usize, guards: &Guards) {
        let id = &self.steps[target].id;
        let is_asked = |guard: &Guard| guard.asks_iteration || guard.steps.contains(id);
        if reference.optional || one.asks_iteration() || (one.role != Role::Guard && self.is_guarded(one, guards, is_asked)) {
            return;
        }
        let span = self.place(one, &reference.span);
        let message = format!("the step `{id}` is read from the iteration before, and the first iteration has none");
        self.add(&codes::MAY_NOT_HAVE_RUN, &span, message, "add `| default(…)`, or ask for `iteration > 0` first");
    }

    /// Warns of outputs that are null, or not there, in some runs, when something below them is read.
    fn may_not_have_run(&mut self, one: &Use, reference: &Reference, target: usize, parts: &[&str], guards: &Guards) {
        let (["outputs", _, ..], false) = (parts, reference.optional) else { return };
        let step = &self.steps[target];
        let from: &[Crumb] = one.step.map_or(&[], |from| &self.steps[from].path);
        if from.first().is_some_and(|crumb| matches!(crumb.arm, Arm::Handler(_) | Arm::Always)) {
            return;
        }
        let inside = &step.path[shared_lists(from, &step.path)..];
        let is_chosen = inside.iter().any(|crumb| matches!(crumb.arm, Arm::Either(_) | Arm::Catch));
        let is_raced = inside.iter().any(|crumb| matches!(crumb.arm, Arm::Racing(_)));
        if !(step.may_be_null || is_chosen || is_raced) || self.is_guarded(one, guards, |guard| guard.steps.contains(&step.id)) {
            return;
        }
        let message = match (is_chosen, is_raced) {
            (true, _) => format!("the step `{}` is in a branch that is not taken in every run", step.id),
            (false, true) => format!("the step `{}` is in a branch of a race that another may win", step.id),
            (false, false) => format!("the step `{}` can be skipped or fail, and its outputs are null then", step.id),
        };
        let span = self.place(one, &reference.span);
        self.add(&codes::MAY_NOT_HAVE_RUN, &span, message, "add `| default(…)`, or a `when` that asks for its status");
    }

    /// Whether the `when` of the reader, or of a step around it, asks what it should.
    fn is_guarded(&self, one: &Use, guards: &Guards, asks: impl Fn(&Guard) -> bool) -> bool {
        let Some(from) = one.step else { return false };
        let owners = self.steps[from].path.iter().filter_map(|crumb| crumb.owner);
        owners.chain([from]).any(|step| guards.get(&step).is_some_and(&asks))
    }

    fn input_reference(&mut self, one: &Use, reference: &Reference, name: &str, input: Option<&Node>) {
        let Some(Kind::Map(properties)) = input.and_then(|input| input.get("properties")).map(|node| &node.kind) else { return };
        // A schema that composes others may get its properties from them.
        let composed = ["allOf", "anyOf", "oneOf", "$ref", "if", "patternProperties"];
        let is_open = composed.iter().any(|key| input.is_some_and(|input| input.get(key).is_some()));
        if is_open || reference.optional || properties.iter().any(|entry| entry.key == name) {
            return;
        }
        let known = || properties.iter().map(|entry| entry.key.as_str());
        let mut hint = self.report.did_you_mean(name, known());
        if hint.is_empty() {
            hint = format!("the schema has {}; add it there, or use `| default(…)`", listed(known()));
        }
        let span = self.place(one, &reference.span);
        self.add(&codes::UNKNOWN_INPUT, &span, format!("the input schema has no property `{name}`"), hint);
    }
}

/// `steps.plan.outputs`, or `steps["my-plan"].outputs` where a hyphen would be a subtraction.
pub(super) fn step_path(id: &str, rest: &[&str]) -> String {
    let id = match id.contains('-') {
        true => format!("steps[\"{id}\"]"),
        false => format!("steps.{id}"),
    };
    rest.iter().fold(id, |path, part| format!("{path}.{part}"))
}
