//! What expressions refer to: names that exist, steps that have run by then, outputs that a step has.
//!
//! A step's place is the path of lists around it. Two paths part somewhere; where they part says which of the two runs first.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::Checker;
use crate::expression::{Reference, Subtraction};
use crate::workflow::codes;
use crate::workflow::node::{Kind, Node};
use crate::workflow::report::listed;

/// One list of steps on the way to a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crumb {
    /// The step that holds the list; none for lists of the document.
    pub(super) owner: Option<usize>,
    /// Which of its lists.
    pub(super) arm: Arm,
    /// Place in the list.
    pub(super) index: usize,
}

/// Which list of a step or of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arm {
    /// The document's `steps`.
    Main,
    /// A handler that runs by outcome: at most one of them does.
    Handler(u8),
    /// The handler that runs last.
    Always,
    /// `on_error.steps`.
    Catch,
    /// A branch of a `parallel` step by number; in the list form, where every step is a branch, none.
    Concurrent(Option<u32>),
    /// A branch of a `conditional` or `switch` step, of which one runs.
    Either(u32),
}

/// What is known of a step when all are read.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Empty when the author gave none that is usable.
    pub(super) id: String,
    /// Where the id stands.
    pub(super) at: usize,
    /// The lists around it, itself last.
    pub(super) path: Vec<Crumb>,
    /// The name of its outputs.
    pub(super) outputs: Option<String>,
    /// The names of a parallel step's branches.
    pub(super) branch_names: Option<Vec<String>>,
    /// It has a guard, or goes on after a failure: its outputs can be null.
    pub(super) may_be_null: bool,
    /// A catch branch can stand for its result.
    pub(super) catches: bool,
    /// Its type could not be read, so nothing is known of its outputs.
    pub(super) opaque: bool,
}

/// The references of one text.
#[derive(Debug)]
pub(super) struct Use {
    /// The step whose key it is; none for the document's `output`.
    pub(super) step: Option<usize>,
    /// It is a `when`.
    pub(super) is_guard: bool,
    pub(super) scalar: Range<usize>,
    pub(super) text: String,
    pub(super) references: Vec<Reference>,
    pub(super) subtractions: Vec<Subtraction>,
}

/// The ids that the `when` of a step asks about, by step.
type Guards = BTreeMap<usize, BTreeSet<String>>;

fn guards(uses: &[Use]) -> Guards {
    let mut guards = Guards::new();
    for one in uses.iter().filter(|one| one.is_guard) {
        let asked = one.references.iter().filter_map(|reference| match reference.path.as_slice() {
            [root, id, ..] if root == "steps" => Some(id.clone()),
            _ => None,
        });
        if let Some(step) = one.step {
            guards.entry(step).or_default().extend(asked);
        }
    }
    guards
}

/// Names that an expression can begin with, and what they have. `steps` is looked up.
const ROOTS: &[(&str, &[&str])] =
    &[("workflow", &["input", "id", "name", "version"]), ("steps", &[]), ("run", &["id", "started_at", "status", "error"])];
/// Names that exist only inside the bodies of `map` and `loop` steps.
const BODY_NAMES: &[(&str, &str)] = &[("item", "map"), ("index", "map"), ("iteration", "loop")];
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
            name => {
                let span = self.place(one, &reference.span);
                if let Some((_, owner)) = BODY_NAMES.iter().find(|(known, _)| *known == name) {
                    let message = format!("`{name}` exists only inside the body of a `{owner}` step");
                    self.add(&codes::UNKNOWN_NAME, &span, message, "read `workflow.input`, `steps.<id>.outputs` or `run` here");
                    return;
                }
                let hint = match self.by_id.contains_key(name) {
                    true => format!("did you mean `{}`?", step_path(name, &["outputs"])),
                    false => match self.report.did_you_mean(name, ROOTS.iter().map(|(name, _)| *name)) {
                        empty if empty.is_empty() => format!("an expression can read {}", listed(ROOTS.iter().map(|(name, _)| *name))),
                        hint => hint,
                    },
                };
                self.add(&codes::UNKNOWN_NAME, &span, format!("unknown name `{name}`"), hint);
            }
        }
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
        if let Some((why, hint)) = self.not_run(one, target) {
            let span = self.place(one, &reference.span);
            self.add(&codes::STEP_NOT_RUN, &span, format!("the step `{id}` {why}"), hint);
            return;
        }
        if self.step_parts(one, reference, target, parts) {
            self.may_not_have_run(one, reference, target, parts, guards);
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

    /// Why the target cannot have run when the use is evaluated, with a hint.
    fn not_run(&self, one: &Use, target: usize) -> Option<(&'static str, &'static str)> {
        const LATER: (&str, &str) = ("runs later", "move it before this step, or read another step");
        let to = &self.steps[target].path;
        let Some(from) = one.step else {
            // The document's output is computed when `steps` are done, before any handler.
            return match to.first().map(|crumb| crumb.arm) {
                Some(Arm::Handler(_) | Arm::Always) => Some(("runs after the output is computed", "read a step of `steps`")),
                _ => None,
            };
        };
        if from == target {
            return Some(("is this step itself", "a step cannot read its own result"));
        }
        let from = &self.steps[from].path;
        let shared = from.iter().zip(to).take_while(|(a, b)| a == b).count();
        match (from.get(shared), to.get(shared)) {
            (Some(a), Some(b)) => parted(a, b, LATER),
            // The target is around this step: it is still running, unless this is what runs after it failed.
            (Some(next), None) if next.arm == Arm::Catch => None,
            (Some(_), None) => Some(("is around this one and has not finished", "read a step before it, or one beside this step")),
            // The target is inside this step.
            (None, Some(_)) => Some(("is inside this one and runs later", "read a step before this one")),
            (None, None) => Some(LATER),
        }
    }

    /// Warns of outputs that are null, or not there, in some runs, when something below them is read.
    fn may_not_have_run(&mut self, one: &Use, reference: &Reference, target: usize, parts: &[&str], guards: &Guards) {
        let (["outputs", _, ..], false) = (parts, reference.optional) else { return };
        let step = &self.steps[target];
        let from: &[Crumb] = one.step.map_or(&[], |from| &self.steps[from].path);
        if from.first().is_some_and(|crumb| matches!(crumb.arm, Arm::Handler(_) | Arm::Always)) {
            return;
        }
        let shared = from.iter().zip(&step.path).take_while(|(a, b)| (a.owner, a.arm) == (b.owner, b.arm)).count();
        let is_chosen = step.path[shared..].iter().any(|crumb| matches!(crumb.arm, Arm::Either(_) | Arm::Catch));
        if !(step.may_be_null || is_chosen) || self.is_guarded(one, &step.id, guards) {
            return;
        }
        let message = match is_chosen {
            true => format!("the step `{}` is in a branch that is not taken in every run", step.id),
            false => format!("the step `{}` can be skipped or fail, and its outputs are null then", step.id),
        };
        let span = self.place(one, &reference.span);
        self.add(&codes::MAY_NOT_HAVE_RUN, &span, message, "add `| default(…)`, or a `when` that asks for its status");
    }

    /// Whether the reader, or a step around it, asks about the step before it runs.
    fn is_guarded(&self, one: &Use, id: &str, guards: &Guards) -> bool {
        let Some(from) = one.step else { return false };
        let owners = self.steps[from].path.iter().filter_map(|crumb| crumb.owner);
        owners.chain([from]).any(|step| guards.get(&step).is_some_and(|ids| ids.contains(id)))
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

/// Two steps in different places of the same list, or in different lists of the same owner.
fn parted(from: &Crumb, to: &Crumb, later: (&'static str, &'static str)) -> Option<(&'static str, &'static str)> {
    const BESIDE: (&str, &str) = ("runs at the same time as this one", "read it after the parallel step");
    const OTHER: (&str, &str) = ("is in another branch, which does not run when this one does", "read a step that runs in both cases");
    if from.arm == to.arm {
        return match from.arm {
            Arm::Concurrent(None) => Some(BESIDE),
            _ if to.index < from.index => None,
            _ => Some(later),
        };
    }
    match (from.arm, to.arm) {
        (Arm::Catch, _) | (Arm::Always, _) | (Arm::Handler(_), Arm::Main) => None,
        (Arm::Handler(_), Arm::Handler(_)) => Some(("is in a handler that does not run when this one does", "read a step of `steps`")),
        (Arm::Concurrent(_), Arm::Concurrent(_)) => Some(BESIDE),
        (Arm::Either(_), Arm::Either(_)) => Some(OTHER),
        (Arm::Main | Arm::Handler(_) | Arm::Concurrent(_) | Arm::Either(_), _) => Some(later),
    }
}

/// `steps.plan.outputs`, or `steps["my-plan"].outputs` where a hyphen would be a subtraction.
fn step_path(id: &str, rest: &[&str]) -> String {
    let id = match id.contains('-') {
        true => format!("steps[\"{id}\"]"),
        false => format!("steps.{id}"),
    };
    rest.iter().fold(id, |path, part| format!("{path}.{part}"))
}
