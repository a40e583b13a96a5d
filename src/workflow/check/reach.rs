//! Where steps stand, and whether one has run by the time another reads it.
//!
//! A step's place is the path of lists around it. Two paths part somewhere; where they part says which of the two runs first.

use super::Checker;
use super::references::{Use, step_path};
use super::template::Role;

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
    /// A branch of a `race` step, numbered in the same way. All start, one wins.
    Racing(Option<u32>),
    /// A branch of a `conditional` or `switch` step, of which one runs.
    Either(u32),
    /// The body of a `map` step.
    Item,
    /// `reduce.steps` of a `map` step.
    Reduce,
    /// The body of a `loop` step.
    Iteration,
}

impl Arm {
    /// The list runs many times, so that its steps have no one result for the steps outside.
    fn is_repeated(self) -> bool {
        match self {
            Self::Item | Self::Reduce | Self::Iteration => true,
            Self::Main | Self::Handler(_) | Self::Always | Self::Catch | Self::Concurrent(_) | Self::Racing(_) | Self::Either(_) => false,
        }
    }
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
    /// Without a name of its own for them, its outputs are a list.
    pub(super) yields_list: bool,
    /// It has a guard, or goes on after a failure: its outputs can be null.
    pub(super) may_be_null: bool,
    /// A catch branch can stand for its result.
    pub(super) catches: bool,
    /// Its type could not be read, so nothing is known of its outputs.
    pub(super) opaque: bool,
    /// The author did not write it: it is the call that a `map` step with `skill` makes.
    pub(super) is_implied: bool,
}

/// Whether a step has run where it is read.
#[derive(Debug)]
pub(super) enum Reach {
    /// It has, as far as the places tell.
    Run,
    /// It has in the iteration before, and in the first iteration not at all.
    Previous,
    /// It cannot have; why, and what to do instead.
    Not(String, String),
}

impl Reach {
    fn not((why, hint): (&str, &str)) -> Self {
        Self::Not(why.to_owned(), hint.to_owned())
    }
}

/// How many lists two places share, the last one perhaps at different steps of it.
pub(super) fn shared_lists(from: &[Crumb], to: &[Crumb]) -> usize {
    from.iter().zip(to).take_while(|(a, b)| (a.owner, a.arm) == (b.owner, b.arm)).count()
}

const LATER: (&str, &str) = ("runs later", "move it before this step, or read another step");

impl Checker<'_, '_> {
    /// Whether the target has run when the use is evaluated.
    pub(super) fn reach(&self, one: &Use, target: usize) -> Reach {
        let to = &self.steps[target].path;
        let from: &[Crumb] = one.step.map_or(&[], |from| &self.steps[from].path);
        let (around, inside) = to.split_at(shared_lists(from, to));
        if let Some(first) = inside.iter().position(|crumb| crumb.arm.is_repeated()) {
            return self.reach_into_body(one, &inside[first..]);
        }
        let Some(step) = one.step else {
            // The document's output is computed when `steps` are done, before any handler.
            return match to.first().map(|crumb| crumb.arm) {
                Some(Arm::Handler(_) | Arm::Always) => Reach::not(("runs after the output is computed", "read a step of `steps`")),
                _ => Reach::Run,
            };
        };
        // In the body of a loop, what has not run in this iteration has in the one before.
        let innermost = around.iter().rev().find(|crumb| crumb.arm.is_repeated());
        let or_previous = |why| match innermost.map(|crumb| crumb.arm) {
            Some(Arm::Iteration) => Reach::Previous,
            _ => Reach::not(why),
        };
        if step == target {
            return or_previous(("is this step itself", "a step cannot read its own result"));
        }
        let shared = from.iter().zip(to).take_while(|(a, b)| a == b).count();
        match (from.get(shared), to.get(shared)) {
            (Some(a), Some(b)) => match parted(a, b) {
                None => Reach::Run,
                Some(LATER) if a.arm == b.arm => or_previous(LATER),
                Some(why) => Reach::not(why),
            },
            // The target is around this step: it is still running, unless this is what runs after it failed.
            (Some(next), None) if next.arm == Arm::Catch => Reach::Run,
            (Some(_), None) => or_previous(("is around this one and has not finished", "read a step before it, or one beside this step")),
            (None, Some(_)) => or_previous(("is inside this one and runs later", "read a step before this one")),
            (None, None) => Reach::not(LATER),
        }
    }

    /// The target is in a body that the reader is not in. Only the test of a loop sees the steps of its own body.
    fn reach_into_body(&self, one: &Use, bodies: &[Crumb]) -> Reach {
        let is_own = |crumb: &Crumb| crumb.arm == Arm::Iteration && crumb.owner == one.step;
        let hides = match one.role {
            Role::While | Role::Until => bodies.iter().find(|crumb| crumb.arm.is_repeated() && !is_own(crumb)),
            Role::Guard | Role::Choice | Role::Value | Role::Reduction | Role::Data => bodies.first(),
        };
        let Some(Crumb { owner: Some(owner), arm, .. }) = hides else {
            return if one.role == Role::While { Reach::Previous } else { Reach::Run };
        };
        let id = &self.steps[*owner].id;
        let (list, of) = match arm {
            Arm::Iteration => ("body", "loop"),
            Arm::Reduce => ("`reduce`", "map"),
            _ => ("body", "map"),
        };
        let why = format!("is inside the {list} of the `{of}` step `{id}`, which runs many times");
        let is_reduced = *arm == Arm::Item && (one.role == Role::Reduction || self.is_in_reduce(one, *owner));
        let hint = match is_reduced {
            true => "read `item` here: one result of the body".to_owned(),
            false => format!("outside of it only the outputs of `{id}` can be read: `{}`", step_path(id, &["outputs"])),
        };
        Reach::Not(why, hint)
    }

    fn is_in_reduce(&self, one: &Use, owner: usize) -> bool {
        let path = one.step.map_or(&[][..], |step| &self.steps[step].path);
        path.iter().any(|crumb| crumb.owner == Some(owner) && crumb.arm == Arm::Reduce)
    }
}

/// Two steps in different places of the same list, or in different lists of the same owner.
fn parted(from: &Crumb, to: &Crumb) -> Option<(&'static str, &'static str)> {
    const BESIDE: (&str, &str) = ("runs at the same time as this one", "read it after the parallel step");
    const AGAINST: (&str, &str) = ("runs at the same time as this one", "read it after the race");
    const OTHER: (&str, &str) = ("is in another branch, which does not run when this one does", "read a step that runs in both cases");
    if from.arm == to.arm {
        return match from.arm {
            Arm::Concurrent(None) => Some(BESIDE),
            Arm::Racing(None) => Some(AGAINST),
            _ if to.index < from.index => None,
            _ => Some(LATER),
        };
    }
    match (from.arm, to.arm) {
        (Arm::Catch, _) | (Arm::Always, _) | (Arm::Handler(_), Arm::Main) => None,
        (Arm::Handler(_), Arm::Handler(_)) => Some(("is in a handler that does not run when this one does", "read a step of `steps`")),
        (Arm::Concurrent(_), Arm::Concurrent(_)) => Some(BESIDE),
        (Arm::Racing(_), Arm::Racing(_)) => Some(AGAINST),
        (Arm::Either(_), Arm::Either(_)) => Some(OTHER),
        (
            Arm::Main | Arm::Handler(_) | Arm::Concurrent(_) | Arm::Racing(_) | Arm::Either(_) | Arm::Item | Arm::Reduce | Arm::Iteration,
            _,
        ) => Some(LATER),
    }
}
