//! What a step does: one type for each `step_type`.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::document::Step;
use crate::expression::{Condition, Tree};
use crate::ids::SkillId;

/// What a step does. Matched without a `_` arm everywhere, so that a new kind must be thought through.
#[derive(Debug, Clone)]
pub enum StepKind {
    /// `sequential`, the default: one skill call.
    Call(Call),
    /// `parallel`.
    Parallel(Parallel),
    /// `conditional`.
    Conditional(Conditional),
    /// `switch`.
    Switch(Switch),
    /// `map`.
    Map(Map),
    /// `loop`.
    Loop(Loop),
    /// `race`.
    Race(Race),
    /// `workflow`.
    Workflow(SubWorkflow),
    /// `wait`.
    Wait(Wait),
    /// `input`.
    Input(Input),
    /// `set`.
    Set(Set),
    /// `fail`.
    Fail(Fail),
}

/// One skill call.
#[derive(Debug, Clone)]
pub struct Call {
    /// The skill.
    pub skill: SkillId,
    /// Only this agent: `name`, `name:tag` or `name@sha256:…`.
    pub agent: Option<String>,
    /// The inputs; an empty object when the author gave none.
    pub inputs: Tree,
}

/// A named list of steps.
#[derive(Debug, Clone)]
pub struct Branch {
    /// The branch's name; in the `branches: {steps: […]}` form, the id of its only step.
    pub name: String,
    /// Its steps, in order.
    pub steps: Vec<Step>,
}

/// Branches at once.
#[derive(Debug, Clone)]
pub struct Parallel {
    /// The branches. `branches: {steps: [a, b]}` gives one branch for each step.
    pub branches: Vec<Branch>,
    /// The first failure cancels the rest.
    pub fail_fast: bool,
    /// How many at once.
    pub max_concurrency: Option<NonZeroU32>,
}

/// Either branch, by a condition.
#[derive(Debug, Clone)]
pub struct Conditional {
    /// The condition.
    pub condition: Condition,
    /// Steps when it holds.
    pub if_true: Vec<Step>,
    /// Steps when it does not.
    pub if_false: Vec<Step>,
}

/// One branch, by a value.
#[derive(Debug, Clone)]
pub struct Switch {
    /// Its value is compared as a string; numbers, booleans and null by their JSON text.
    pub condition: Condition,
    /// The cases, in order.
    pub cases: Vec<Branch>,
    /// Steps when no case fits.
    pub default: Option<Vec<Step>>,
    /// What happens when no case fits and there is no default.
    pub on_no_match: NoMatch,
}

/// `on_no_match` of a switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NoMatch {
    /// The step fails.
    #[default]
    Fail,
    /// The step is skipped.
    Skip,
}

/// One run of the body for each item.
#[derive(Debug, Clone)]
pub struct Map {
    /// Yields the items: a list.
    pub items: Tree,
    /// `as:`, a name for the item beside `item`.
    pub binding: Option<String>,
    /// The steps of one item. The form with `skill` gives one call, whose id is that of the map and `_item`.
    pub body: Vec<Step>,
    /// How many items at once.
    pub max_concurrency: Option<NonZeroU32>,
    /// How many items may fail before the step does.
    pub tolerate_failures: Tolerance,
    /// Turns the results into one value; without it, they are a list in the order of the items.
    pub reduce: Option<Reduce>,
}

/// `tolerate_failures` of a map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    /// So many items.
    Count(u32),
    /// So many of a hundred items, from 0 to 100.
    Percent(f64),
}

impl Default for Tolerance {
    fn default() -> Self {
        Self::Count(0)
    }
}

/// `reduce` of a map: folds the results in the order of the items.
#[derive(Debug, Clone)]
pub struct Reduce {
    /// The first value of `accumulator`.
    pub initial: Tree,
    /// What yields the next `accumulator`, from `accumulator`, `item` (one result) and `index`.
    pub by: ReduceBy,
}

/// How a result is folded into the accumulator.
#[derive(Debug, Clone)]
pub enum ReduceBy {
    /// By computing a value.
    Expression(Tree),
    /// By running steps: the result of the last one is the value.
    Steps(Vec<Step>),
}

/// The body again and again.
#[derive(Debug, Clone)]
pub struct Loop {
    /// Whether it goes on.
    pub test: LoopTest,
    /// Most iterations. A loop that is not done by then fails.
    pub max_iterations: NonZeroU32,
    /// The steps of one iteration.
    pub body: Vec<Step>,
}

/// When a loop ends.
#[derive(Debug, Clone)]
pub enum LoopTest {
    /// Asked before each iteration; the loop ends when it does not hold.
    While(Condition),
    /// Asked after each iteration; the loop ends when it holds.
    Until(Condition),
}

/// Branches at once, of which the first to succeed wins; the others are canceled.
#[derive(Debug, Clone)]
pub struct Race {
    /// The branches, in the forms that [`Parallel`] has.
    pub branches: Vec<Branch>,
}

/// Another workflow, as a run of its own.
#[derive(Debug, Clone)]
pub struct SubWorkflow {
    /// `id`, `id:tag` or `id@sha256:…`.
    pub reference: String,
    /// Its input; an empty object when the author gave none.
    pub inputs: Tree,
}

/// A durable timer.
#[derive(Debug, Clone)]
pub struct Wait {
    /// When it ends.
    pub until: WaitUntil,
}

/// When a wait ends.
#[derive(Debug, Clone)]
pub enum WaitUntil {
    /// After this time.
    For(Duration),
    /// At this moment: a timestamp in RFC 3339.
    Until(Tree),
}

/// A question to a person or to the caller.
#[derive(Debug, Clone)]
pub struct Input {
    /// The question.
    pub prompt: Tree,
    /// JSON Schema of the answer; without it any answer will do.
    pub schema: Option<Arc<Value>>,
    /// The answer when nobody gave one within the step's timeout.
    pub default: Option<Tree>,
}

/// A value, computed without calling anybody.
#[derive(Debug, Clone)]
pub struct Set {
    /// The value.
    pub value: Tree,
}

/// The end of the run, as failed.
#[derive(Debug, Clone)]
pub struct Fail {
    /// Why: an object with `code` and `message`.
    pub error: Tree,
}
