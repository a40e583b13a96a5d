//! Random workflows over every step kind, valid by construction: what does not parse is a fault of this file.
//!
//! Expressions read only what may be read where they stand; that they often fail when they run is meant.

use serde_json::{Map, Value, json};

use super::random::Random;
use super::yaml;

const DEPTH_MAX: usize = 4;
/// Most steps of one workflow. Repetitions multiply them.
const STEPS_MAX: usize = 24;

/// The text of a workflow.
pub(super) fn workflow(random: &mut Random) -> String {
    let mut generator = Generator { random, steps_left: 0, count: 0 };
    yaml::render(&generator.document())
}

/// What the workflow may be given: it reads `n`, `items`, `rows` and `moment`.
pub(super) fn input(random: &mut Random) -> Value {
    let items: Vec<_> = (0..random.below(7)).map(|_| small(random)).collect();
    let rows: Vec<_> = (0..random.below(4)).map(|_| (0..random.below(4)).map(|_| small(random)).collect::<Vec<_>>()).collect();
    json!({"n": random.below(5), "items": items, "rows": rows, "moment": random.below(100)})
}

/// A small value of any type, the way agents give them.
pub(super) fn small(random: &mut Random) -> Value {
    match random.below(8) {
        0 => Value::Null,
        1 => json!(random.percent(50)),
        2 => json!("{{ run.id }}"),
        3 => json!({"ok": random.percent(50), "n": random.below(4)}),
        4 => json!([1, "two", null]),
        _ => json!(random.below(4)),
    }
}

struct Generator<'a> {
    random: &'a mut Random,
    steps_left: usize,
    count: usize,
}

/// What can be read at one place.
#[derive(Debug, Clone, Default)]
struct Sight {
    /// Steps that have run, or might have, and the name of their outputs.
    steps: Vec<(String, Option<String>)>,
    /// `item`, `index`, `iteration`, `accumulator` and the names of `as`.
    names: Vec<String>,
    depth: usize,
}

impl Generator<'_> {
    fn document(&mut self) -> Value {
        self.steps_left = self.random.between(4, STEPS_MAX);
        let mut sight = Sight::default();
        let mut document = Map::new();
        document.insert("metadata".into(), json!({"id": "generated", "name": "Generated", "version": "1.0.0"}));
        let most = self.random.between(3, 8);
        let steps = self.steps(&mut sight, most);
        document.insert("steps".into(), steps);
        if self.random.percent(40) {
            document.insert("output".into(), json!({"all": self.template(&sight)}));
        }
        if self.random.percent(60) {
            let handling = self.error_handling(&sight);
            document.insert("error_handling".into(), handling);
        }
        let mut limits = Map::new();
        if self.random.percent(20) {
            limits.insert("max_duration".into(), json!(self.random.between(1, 60)));
        }
        if self.random.percent(10) {
            limits.insert("max_agent_calls".into(), json!(self.random.between(1, 12)));
        }
        document.insert("limits".into(), Value::Object(limits));
        Value::Object(document)
    }

    fn error_handling(&mut self, sight: &Sight) -> Value {
        let mut handling = Map::new();
        if self.random.percent(30) {
            handling.insert("retry".into(), self.retry());
        }
        if self.random.percent(20) {
            handling.insert("on_failure".into(), json!(*self.random.pick(&["fail", "continue"])));
        }
        let mut always = sight.clone();
        for handler in ["on_success", "on_error", "on_cancel"] {
            if self.random.percent(35) {
                self.steps_left = self.random.between(1, 3);
                let steps = self.steps(&mut sight.clone(), 2);
                handling.insert(handler.into(), steps);
            }
        }
        if self.random.percent(40) {
            self.steps_left = self.random.between(1, 3);
            let steps = self.steps(&mut always, 2);
            handling.insert("always".into(), steps);
        }
        Value::Object(handling)
    }

    /// A list of steps, at least one. What they add to the sight stays in it.
    fn steps(&mut self, sight: &mut Sight, most: usize) -> Value {
        let count = self.random.between(1, most);
        Value::Array((0..count).map(|_| self.step(sight)).collect())
    }

    fn step(&mut self, sight: &mut Sight) -> Value {
        self.steps_left = self.steps_left.saturating_sub(1);
        let id = format!("s{}", self.count);
        self.count += 1;
        let mut step = Map::from_iter([("id".to_owned(), json!(id))]);
        if self.random.percent(15) {
            step.insert("when".into(), json!(self.condition(sight)));
        }
        let may_nest = sight.depth < DEPTH_MAX && self.steps_left > 0;
        let before = sight.clone();
        let kind = if may_nest && self.random.percent(55) { self.random.below(6) } else { 6 + self.random.below(10) };
        match kind {
            0 => self.branches_at_once(&mut step, sight, "parallel"),
            1 => self.branches_at_once(&mut step, sight, "race"),
            2 => self.conditional(&mut step, sight),
            3 => self.switch(&mut step, sight),
            4 => self.map(&id, &mut step, sight),
            5 => self.repeat(&mut step, sight),
            6 => self.sub_workflow(&mut step, sight),
            7 => self.wait(&mut step),
            8 => self.input(&mut step, sight),
            9 => self.set(&mut step, sight),
            10 if self.random.percent(25) => self.fail(&mut step, sight),
            _ => self.call(&mut step, sight),
        }
        let has_outputs = !matches!(step.get("step_type").and_then(Value::as_str), Some("fail"));
        let outputs = (has_outputs && self.random.percent(25)).then(|| "result".to_owned());
        if let Some(name) = &outputs {
            step.insert("outputs".into(), json!(name));
        }
        if self.random.percent(40) {
            let on_error = self.on_error(&id, outputs.as_ref(), before);
            step.insert("on_error".into(), on_error);
        }
        sight.steps.push((id, outputs));
        Value::Object(step)
    }

    fn on_error(&mut self, id: &str, outputs: Option<&String>, mut sight: Sight) -> Value {
        match self.random.below(4) {
            0 => json!("fail"),
            1 => json!("continue"),
            _ => {
                sight.depth += 1;
                sight.steps.push((id.to_owned(), outputs.cloned()));
                json!({"steps": self.steps(&mut sight, 2)})
            }
        }
    }

    fn call(&mut self, step: &mut Map<String, Value>, sight: &Sight) {
        step.insert("skill".into(), json!(*self.random.pick(&["work", "think", "execute_workflow"])));
        if self.random.percent(60) {
            step.insert("inputs".into(), json!({"a": self.template(sight), "b": 1}));
        }
        if self.random.percent(30) {
            step.insert("timeout".into(), json!(self.random.between(1, 20)));
        }
        if self.random.percent(35) {
            let retry = self.retry();
            step.insert("retry".into(), retry);
        }
    }

    fn retry(&mut self) -> Value {
        let mut retry = json!({"max_attempts": self.random.between(1, 4), "initial": "1s", "jitter": self.random.percent(50)});
        if self.random.percent(30) {
            retry["on"] = json!(["timeout", "unavailable"]);
        }
        retry
    }

    fn sub_workflow(&mut self, step: &mut Map<String, Value>, sight: &Sight) {
        step.insert("step_type".into(), json!("workflow"));
        step.insert("workflow".into(), json!("other:1.0.0"));
        if self.random.percent(50) {
            step.insert("inputs".into(), json!({"a": self.template(sight)}));
        }
        if self.random.percent(30) {
            let retry = self.retry();
            step.insert("retry".into(), retry);
        }
    }

    fn wait(&mut self, step: &mut Map<String, Value>) {
        step.insert("step_type".into(), json!("wait"));
        match self.random.below(12) {
            0..=2 => step.insert("until".into(), json!("{{ workflow.input.moment }}")),
            3..=5 => step.insert("until".into(), json!("1970-01-01T00:00:20Z")),
            6 => step.insert("until".into(), json!("{{ workflow.input.items }}")),
            _ => step.insert("for".into(), json!(self.random.below(30))),
        };
    }

    fn input(&mut self, step: &mut Map<String, Value>, sight: &Sight) {
        step.insert("step_type".into(), json!("input"));
        step.insert("prompt".into(), json!(self.template(sight)));
        if self.random.percent(60) {
            step.insert("timeout".into(), json!(self.random.between(1, 30)));
            if self.random.percent(50) {
                step.insert("default".into(), json!(self.template(sight)));
            }
        }
    }

    fn set(&mut self, step: &mut Map<String, Value>, sight: &Sight) {
        step.insert("step_type".into(), json!("set"));
        step.insert("value".into(), json!([self.template(sight), 1]));
    }

    fn fail(&mut self, step: &mut Map<String, Value>, sight: &Sight) {
        step.insert("step_type".into(), json!("fail"));
        step.insert("error".into(), json!({"code": "enough", "message": format!("because of {}", self.template(sight))}));
    }

    /// `parallel` and `race`, in the form of a list and with names.
    fn branches_at_once(&mut self, step: &mut Map<String, Value>, sight: &mut Sight, step_type: &str) {
        step.insert("step_type".into(), json!(step_type));
        let count = self.random.between(1, 4);
        let (mut seen, mut lists) = (Vec::new(), Vec::new());
        let is_list = self.random.percent(40);
        for _ in 0..count {
            let mut inner = Sight { depth: sight.depth + 1, ..sight.clone() };
            let steps = self.steps(&mut inner, if is_list { 1 } else { 3 });
            seen.extend(inner.steps.drain(sight.steps.len()..));
            lists.push(steps);
        }
        let branches = match is_list {
            true => json!({"steps": lists.iter().map(|list| list[0].clone()).collect::<Vec<_>>()}),
            false => lists.into_iter().enumerate().map(|(index, list)| (format!("b{index}"), list)).collect::<Map<_, _>>().into(),
        };
        step.insert("branches".into(), branches);
        if step_type == "parallel" {
            if self.random.percent(50) {
                step.insert("fail_fast".into(), json!(self.random.percent(40)));
            }
            if self.random.percent(40) {
                step.insert("max_concurrency".into(), json!(self.random.between(1, 3)));
            }
        }
        self.group_timeout(step);
        sight.steps.extend(seen);
    }

    fn group_timeout(&mut self, step: &mut Map<String, Value>) {
        if self.random.percent(25) {
            step.insert("timeout".into(), json!(self.random.between(1, 30)));
        }
    }

    fn conditional(&mut self, step: &mut Map<String, Value>, sight: &mut Sight) {
        step.insert("step_type".into(), json!("conditional"));
        step.insert("condition".into(), json!(self.condition(sight)));
        let both = self.random.percent(50);
        let first = *self.random.pick(&["if_true", "if_false"]);
        let mut branches = Map::from_iter([(first.to_owned(), self.branch(sight))]);
        if both {
            let other = if first == "if_true" { "if_false" } else { "if_true" };
            branches.insert(other.to_owned(), self.branch(sight));
        }
        step.insert("branches".into(), Value::Object(branches));
        self.group_timeout(step);
    }

    /// A branch of which the steps around it see nothing: another one may be taken.
    fn branch(&mut self, sight: &Sight) -> Value {
        if self.random.percent(8) {
            return json!([]);
        }
        self.steps(&mut Sight { depth: sight.depth + 1, ..sight.clone() }, 3)
    }

    fn switch(&mut self, step: &mut Map<String, Value>, sight: &mut Sight) {
        step.insert("step_type".into(), json!("switch"));
        step.insert("condition".into(), json!(self.template(sight)));
        let mut branches = Map::new();
        for case in ["1", "completed", "true"].into_iter().take(self.random.between(1, 3)) {
            branches.insert(case.to_owned(), self.branch(sight));
        }
        if self.random.percent(60) {
            branches.insert("default".into(), self.branch(sight));
        } else {
            step.insert("on_no_match".into(), json!(*self.random.pick(&["fail", "skip"])));
        }
        step.insert("branches".into(), Value::Object(branches));
        self.group_timeout(step);
    }

    fn map(&mut self, id: &str, step: &mut Map<String, Value>, sight: &Sight) {
        step.insert("step_type".into(), json!("map"));
        let items = match self.random.below(10) {
            0 if self.random.percent(40) => json!(self.template(sight)),
            0..=3 => json!("{{ workflow.input.items }}"),
            4 => json!("{{ workflow.input.rows }}"),
            5 if sight.names.iter().any(|name| name == "item") => json!("{{ item }}"),
            _ => (0..self.random.below(7)).map(|_| small(self.random)).filter(|value| !value.is_string()).collect(),
        };
        step.insert("items".into(), items);
        let mut inner = Sight { depth: sight.depth + 1, ..sight.clone() };
        inner.names.extend(["item".to_owned(), "index".to_owned()]);
        if self.random.percent(30) {
            let name = format!("as_{id}");
            step.insert("as".into(), json!(name));
            inner.names.push(name);
        }
        if self.random.percent(30) {
            step.insert("skill".into(), json!("work"));
            step.insert("inputs".into(), json!({"i": self.template(&inner)}));
        } else {
            let steps = self.steps(&mut inner, 3);
            step.insert("steps".into(), steps);
        }
        if self.random.percent(60) {
            step.insert("max_concurrency".into(), json!(self.random.between(1, 3)));
        }
        if self.random.percent(50) {
            let tolerance = [json!(0), json!(1), json!(2), json!("50%"), json!("100%")];
            step.insert("tolerate_failures".into(), self.random.pick(&tolerance).clone());
        }
        if self.random.percent(35) {
            let reduce = self.reduce(sight);
            step.insert("reduce".into(), reduce);
        }
        self.group_timeout(step);
    }

    fn reduce(&mut self, sight: &Sight) -> Value {
        let mut inner = Sight { depth: sight.depth + 1, ..sight.clone() };
        inner.names.extend(["item".to_owned(), "index".to_owned(), "accumulator".to_owned()]);
        match self.random.percent(50) {
            true => {
                json!({"initial": [], "expression": *self.random.pick(&["{{ [accumulator, item] }}", "{{ index }}", "{{ accumulator + item }}"])})
            }
            false => json!({"initial": 0, "steps": self.steps(&mut inner, 2)}),
        }
    }

    fn repeat(&mut self, step: &mut Map<String, Value>, sight: &Sight) {
        step.insert("step_type".into(), json!("loop"));
        step.insert("max_iterations".into(), json!(self.random.between(1, 4)));
        let mut inner = Sight { depth: sight.depth + 1, ..sight.clone() };
        inner.names.push("iteration".to_owned());
        if self.random.percent(50) {
            step.insert("while".into(), json!(format!("iteration < {}", self.random.below(5))));
            let steps = self.steps(&mut inner, 3);
            step.insert("steps".into(), steps);
        } else {
            let steps = self.steps(&mut inner, 3);
            step.insert("steps".into(), steps);
            step.insert("until".into(), json!(self.condition(&inner)));
        }
        self.group_timeout(step);
    }

    /// An expression that yields a value, in braces.
    fn template(&mut self, sight: &Sight) -> String {
        let expression = self.expression(sight);
        format!("{{{{ {expression} }}}}")
    }

    fn expression(&mut self, sight: &Sight) -> String {
        if !sight.names.is_empty() && self.random.percent(35) {
            return self.random.pick(&sight.names).clone();
        }
        if sight.steps.is_empty() || self.random.percent(20) {
            return (*self.random.pick(&["workflow.input.n", "run.status", "workflow.id", "[1, 2]"])).to_owned();
        }
        let (id, outputs) = self.random.pick(&sight.steps).clone();
        match (self.random.below(10), outputs) {
            (0..=2, _) => format!("steps.{id}.status"),
            (3, _) => format!("steps.{id}.error"),
            // Null when the step did not complete: fails then.
            (4, Some(name)) if self.random.percent(40) => format!("steps.{id}.outputs.{name}"),
            _ => format!("steps.{id}.outputs"),
        }
    }

    fn condition(&mut self, sight: &Sight) -> String {
        let expression = self.expression(sight);
        match self.random.below(6) {
            0 => format!("{expression} == 'completed'"),
            1 => format!("{expression} == 1"),
            2 => format!("{expression} != workflow.input.n"),
            3 => "workflow.input.n > 2".to_owned(),
            4 => format!("{{{{ {expression} != null }}}}").replace("null", "none"),
            _ => "true".to_owned(),
        }
    }
}
