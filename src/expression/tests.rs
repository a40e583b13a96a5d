//! Templates and conditions in, values and errors out. Ordered like the points of the language's design.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Condition, Error, Scope, StepView, SyntaxError, Template, Tree, text_of};
use crate::ids::StepId;
use crate::limits::{EXPRESSION_OUTPUT_BYTES_MAX, TEMPLATE_BYTES_MAX, TEMPLATE_EXPRESSIONS_MAX, TEMPLATE_TEXT_BYTES_MAX, VALUE_DEPTH_MAX};

/// A bomb must be refused within this time. Debug builds on a busy machine get the benefit of the best of several tries.
const REFUSED_WITHIN: Duration = Duration::from_millis(20);

struct World {
    values: BTreeMap<Arc<str>, Arc<Value>>,
    steps: BTreeMap<StepId, StepView>,
}

impl World {
    fn new() -> Self {
        let mut world = Self { values: BTreeMap::new(), steps: BTreeMap::new() };
        world.value("workflow", json!({"id": "demo", "input": {"text": "hi", "n": 3, "key": "result", "my-key": 5}}));
        world.value("run", json!({"id": "run-1", "status": "running"}));
        world.step(
            "plan",
            json!({
                "result": "yes", "ok": true, "n": 42.0, "half": 0.5, "big": u64::MAX, "small": i64::MIN, "nothing": null, "empty": [],
                "list": [3, 1, 2], "words": ["b", "a", "b"], "deep": {"z": 1, "a": {"m": [10, {"x": "y"}]}}, "no": "false", "quote": "x' != 'y' or 'z",
                "people": [{"name": "Ann", "age": 30}, {"name": "Bo", "age": 20}], "inject": "{{ workflow.input.text }}"
            }),
        );
        world.step("my-step", json!({"x": 7}));
        let failed = StepView {
            outputs: Arc::new(Value::Null),
            status: "failed",
            error: Some(Arc::new(json!({"code": "timeout", "message": "late"}))),
        };
        world.steps.insert(id("broken"), failed);
        world
    }

    fn value(&mut self, name: &str, value: Value) {
        self.values.insert(Arc::from(name), Arc::new(value));
    }

    fn step(&mut self, name: &str, outputs: Value) {
        self.steps.insert(id(name), StepView { outputs: Arc::new(outputs), status: "completed", error: None });
    }

    fn scope(&self) -> Scope<'_> {
        Scope { parent: None, values: &self.values, steps: &self.steps }
    }

    fn template(&self, source: &str) -> Result<Value, Error> {
        Template::parse(source).unwrap_or_else(|error| panic!("{source}: {error:?}")).evaluate(&self.scope()).map(|value| (*value).clone())
    }

    fn holds(&self, source: &str) -> Result<bool, Error> {
        Condition::parse(source).unwrap_or_else(|error| panic!("{source}: {error:?}")).holds(&self.scope())
    }
}

fn id(name: &str) -> StepId {
    StepId::parse(name).expect("a step id")
}

fn yields(cases: &[(&str, Value)]) {
    let world = World::new();
    for (source, expected) in cases {
        let value = world.template(source).unwrap_or_else(|error| panic!("{source}: {error:?}"));
        assert_eq!(value, *expected, "{source}");
        assert_eq!(value.to_string(), expected.to_string(), "{source}: same text, so same key order");
    }
}

/// Source, what the message has in it, what the hint has in it.
fn fails(cases: &[(&str, &str, &str)]) {
    let world = World::new();
    for (source, message, hint) in cases {
        let error = world.template(source).expect_err(source);
        assert!(error.message.contains(message), "{source}: {error:?}");
        assert!(error.hint.as_deref().unwrap_or_default().contains(hint), "{source}: {error:?}");
        assert!(error.expression.chars().count() <= 121, "{source}: {error:?}");
    }
}

/// Source, what the message has in it, what the hint has in it, what the span covers.
fn refuses(parse: impl Fn(&str) -> Option<SyntaxError>, cases: &[(&str, &str, &str, &str)]) {
    for (source, message, hint, place) in cases {
        let error = parse(source).unwrap_or_else(|| panic!("{source} was accepted"));
        assert!(error.message.contains(message), "{source}: {error:?}");
        assert!(error.hint.as_deref().unwrap_or_default().contains(hint), "{source}: {error:?}");
        assert_eq!(source.get(error.span.clone()), Some(*place), "{source}: {error:?}");
    }
}

fn refuses_template(cases: &[(&str, &str, &str, &str)]) {
    refuses(|source| Template::parse(source).err(), cases);
}

// Point 1: a scanner of our own.

#[test]
fn point_1_scanner_respects_quotes_and_braces() {
    yields(&[
        ("no expression", json!("no expression")),
        ("", json!("")),
        ("{ \"a\": { } } }}", json!("{ \"a\": { } } }}")),
        ("{{ {'a': {'b': 1}} }}", json!({"a": {"b": 1}})),
        ("{{ {'a': {'b': 1}}}}", json!({"a": {"b": 1}})),
        ("{{ '}}' }}", json!("}}")),
        ("{{ \"it's }} here\" }}", json!("it's }} here")),
        (r"{{ 'it\'s }}' }}", json!("it's }}")),
        ("{{ '{{' }}", json!("{{")),
        ("{{ '{%' }}", json!("{%")),
        ("{{workflow.input.text}}", json!("hi")),
        ("a {{workflow.input.text}} b {{ workflow.input.n }}", json!("a hi b 3")),
        ("{{ workflow.input.n }}{{ workflow.input.n }}", json!("33")),
        ("ünï {{ workflow.input.text }} ü", json!("ünï hi ü")),
        ("{{ 'ü' ~ workflow.input.text }}", json!("ühi")),
    ]);
}

#[test]
fn point_1_refused_with_a_span() {
    refuses_template(&[
        ("a {% if x %}", "statements", "conditional", "{%"),
        ("a {# x #}", "comments", "YAML comment", "{#"),
        ("a {{ b", "never closed", "}}", "{{"),
        ("a {{ 'b }}", "never closed", "quote", "{{"),
        ("a {{ }}", "missing", "workflow.input", "{{ }}"),
        ("{{}}", "missing", "workflow.input", "{{}}"),
        ("ü {{ a b }}", "cannot be understood", "", "b"),
        ("{{ a + }}", "end of input", "", "+"),
        ("{{ (a }}", "never closed", "", "("),
        ("{{ a) }}", "closes nothing", "", ")"),
        ("{{ a && b }}", "unexpected character `&`", "write `and`", "&"),
        ("{{ a || b }}", "cannot be understood", "", "|"),
        ("{{ grün }}", "unexpected character `ü`", "[\"…\"]", "ü"),
        ("{{ a $ b }}", "unexpected character `$`", "", "$"),
        ("{{ {{ a }} }}", "cannot be understood", "", "}"),
    ]);
}

#[test]
fn point_1_types_are_kept_and_text_is_written() {
    yields(&[
        ("{{ steps.plan.outputs.ok }}", json!(true)),
        ("  {{ steps.plan.outputs.list }}\n", json!([3, 1, 2])),
        ("{{ steps.plan.outputs.nothing }}", json!(null)),
        ("is {{ steps.plan.outputs.nothing }}", json!("is null")),
        ("is {{ steps.plan.outputs.ok }}", json!("is true")),
        ("is {{ steps.plan.outputs.n }}", json!("is 42")),
        ("is {{ steps.plan.outputs.half }}", json!("is 0.5")),
        ("is {{ steps.plan.outputs.people }}", json!(r#"is [{"name":"Ann","age":30},{"name":"Bo","age":20}]"#)),
        ("is {{ steps.plan.outputs.people | map(attribute='name') }}", json!(r#"is ["Ann","Bo"]"#)),
        ("{{ steps.broken.status }}: {{ steps.broken.error.code }}", json!("failed: timeout")),
        ("{{ steps.plan.error }}", json!(null)),
        ("{{ steps.broken.error }}", json!({"code": "timeout", "message": "late"})),
        ("{{ steps['my-step'] }}", json!({"outputs": {"x": 7}, "status": "completed", "error": null})),
    ]);
    fails(&[("is {{ steps.plan.outputs.nope }}", "`steps.plan.outputs.nope` does not exist", "it has")]);
}

// Point 2: an allow-list.

#[test]
fn point_2_filters_and_tests() {
    yields(&[
        ("{{ steps.plan.outputs.list | length }}", json!(3)),
        ("{{ steps.plan.outputs.deep | length }}", json!(2)),
        ("{{ 'äb' | length }}", json!(2)),
        ("{{ steps.plan.outputs.list | join(', ') }}", json!("3, 1, 2")),
        ("{{ [1.0, none, true, 'x', {'a': 1}] | join('-') }}", json!(r#"1-null-true-x-{"a":1}"#)),
        ("{{ steps.plan.outputs.deep | tojson }}", json!(r#"{"z":1,"a":{"m":[10,{"x":"y"}]}}"#)),
        ("{{ 'a\"b' | tojson }}", json!(r#""a\"b""#)),
        ("{{ [1] | tojson(indent=true) }}", json!("[\n  1\n]")),
        ("{{ ' Ab ' | trim | upper ~ ('Ab' | lower) }}", json!(" AB ab".trim_start().replace(' ', ""))),
        ("{{ 'a-b' | replace('-', '+') }}", json!("a+b")),
        ("{{ 'a,b' | split(',') }}", json!(["a", "b"])),
        ("{{ steps.plan.outputs.list | first }}{{ steps.plan.outputs.list | last }}", json!("32")),
        ("{{ steps.plan.outputs.list | sort }}", json!([1, 2, 3])),
        ("{{ steps.plan.outputs.words | unique }}", json!(["b", "a"])),
        ("{{ steps.plan.outputs.people | sort(attribute='age') | map(attribute='name') }}", json!(["Bo", "Ann"])),
        ("{{ steps.plan.outputs.words | map('upper') }}", json!(["B", "A", "B"])),
        ("{{ steps.plan.outputs.list | select('gt', 1) }}", json!([3, 2])),
        ("{{ steps.plan.outputs.list | reject('eq', 1) }}", json!([3, 2])),
        ("{{ steps.plan.outputs.people | selectattr('age', '>', 25) | map(attribute='name') | first }}", json!("Ann")),
        ("{{ '7' | int + 1 }}", json!(8)),
        ("{{ '7.5' | float }}", json!(7.5)),
        ("{{ 42.0 | string }}", json!("42")),
        ("{{ steps.plan.outputs.deep | string }}", json!(r#"{"z":1,"a":{"m":[10,{"x":"y"}]}}"#)),
        ("{{ 3.7 | round }}", json!(4)),
        ("{{ 3.14159 | round(2) }}", json!(3.14)),
        ("{{ [steps.plan.outputs.list | min, steps.plan.outputs.list | max, steps.plan.outputs.list | sum] }}", json!([1, 3, 6])),
        ("{{ steps.plan.outputs.deep | keys }}", json!(["z", "a"])),
        ("{{ {'b': 1, 'a': [2]} | values }}", json!([1, [2]])),
        ("{{ 1 is number and 'a' is string and [] is sequence and {} is mapping and none is none and 1 in [1] }}", json!(true)),
        ("{{ 'es' in steps.plan.outputs.result and 'result' in steps.plan.outputs and 3 in steps.plan.outputs.list }}", json!(true)),
        ("{{ 'a' if workflow.input.n == 3 else 'b' }}", json!("a")),
        ("{{ steps.plan.outputs.list[1:] }}", json!([1, 2])),
        ("{{ steps.plan.outputs.deep.a.m[-1].x }}", json!("y")),
        ("{{ (steps.plan.outputs.people | first).name }}", json!("Ann")),
        ("{{ steps[workflow.input.text ~ ''] | default('none') }}", json!("none")),
        ("{{ steps['pl' ~ 'an'].outputs[workflow.input.key] }}", json!("yes")),
        ("{{ steps.plan[\"outputs\"]['re' ~ 'sult'] }}", json!("yes")),
    ]);
}

#[test]
fn point_2_everything_else_is_refused() {
    refuses_template(&[
        ("{{ range(10) }}", "`range(…)` is a call", "no functions", "range"),
        ("{{ dict(a=1) }}", "is a call", "filters", "dict"),
        ("{{ namespace() }}", "is a call", "filters", "namespace"),
        ("{{ debug() }}", "is a call", "filters", "debug"),
        ("{{ super() }}", "is a call", "filters", "super"),
        ("{{ self.body() }}", "no methods", "filters", "body"),
        ("{{ 'a'.upper() }}", "no methods", "`… | upper`", "upper"),
        ("{{ steps.plan.outputs.result.upper() }}", "no methods", "`… | upper`", "upper"),
        ("{{ ('a')() }}", "cannot be called", "", "("),
        ("{{ 'a'() }}", "cannot be called", "", "("),
        ("{{ a | uper }}", "no filter `uper`", "did you mean `upper`", "uper"),
        ("{{ a | attr('x') }}", "no filter `attr`", "there are:", "attr"),
        ("{{ a | safe }}", "no filter", "", "safe"),
        ("{{ a is divisibleby(3) }}", "no test", "there are:", "divisibleby"),
        ("{{ a is not defned }}", "no test", "did you mean `defined`", "defned"),
        ("{{ a | first.b }}", "cannot follow", "(… | first).key", "."),
    ]);
    fails(&[
        ("{{ [1] | map('attr', 'x') }}", "filter", ""),
        ("{{ [1] | select('odd') }}", "test", ""),
        ("{{ 1 | join(',') }}", "`join` needs a list", ""),
        ("{{ 1 | keys }}", "`keys` needs an object", ""),
        ("{{ 1 + 'a' }}", "+", ""),
    ]);
}

/// Lists that test template engines for access to anything but the data. Each is refused, fails, or is plain text; none reaches anything.
#[test]
fn point_2_template_injection_lists() {
    let world = World::new();
    for source in [
        "{{ ''.__class__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ self }}",
        "{{ self.__init__.__globals__ }}",
        "{{ cycler }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ config }}",
        "{{ config.items() }}",
        "{{ request.application }}",
        "{{ lipsum.__globals__ }}",
        "{{ joiner }}",
        "{{ namespace }}",
        "{{ env }}",
        "{{ environ.PATH }}",
        "{{ loop }}",
        "{{ caller }}",
        "{{ _context }}",
        "{{ workflow.__class__ }}",
        "{{ workflow['__class__'] }}",
        "{{ (workflow | first).__class__ }}",
        "{{ [].append(1) }}",
        "{{ r0 }}",
        "{{ r1 + 1 }}",
        "{{ constructor.constructor('return 1')() }}",
        "{{ steps.__proto__ }}",
        "{{ [workflow] | map(attribute='__class__') }}",
    ] {
        let outcome = Template::parse(source).map(|template| template.evaluate(&world.scope()));
        assert!(matches!(outcome, Err(_) | Ok(Err(_))), "{source}: {outcome:?}");
    }
    for source in ["${7*7}", "<%= 7*7 %>", "#{7*7}", "*{7*7}", "@(7*7)", "$(id)", "`id`", "[[7*7]]", "{7*7}", "%{7*7}"] {
        assert_eq!(world.template(source).expect(source), json!(source));
    }
    assert_eq!(world.template("{{7*7}}").expect("arithmetic"), json!(49));
}

// Point 3: nothing missing passes.

#[test]
fn point_3_missing_paths_are_named() {
    fails(&[
        (
            "{{ steps.plan.outputs.resul }}",
            "`steps.plan.outputs.resul` does not exist: `steps.plan.outputs` has no `resul`",
            "did you mean `result`?",
        ),
        ("{{ steps.plan.outputs.qqqqqq }}", "has no `qqqqqq`", "more"),
        ("{{ steps.plan.outputs.deep.x.y }}", "`steps.plan.outputs.deep` has no `x`", "it has: `z`, `a`"),
        ("{{ steps.plam.outputs }}", "no step `plam` has run", "did you mean `plan`?"),
        ("{{ steps.plan.output }}", "a step has no `output`", "did you mean `outputs`?"),
        ("{{ steps.plan.outputs.list[3] }}", "has 3 items, none at [3]", "[-1]"),
        ("{{ steps.plan.outputs.list.length }}", "is a list", "| length"),
        ("{{ steps.plan.outputs.deep[0] }}", "is an object", "it has"),
        ("{{ steps.plan.outputs.result.x }}", "`steps.plan.outputs.result` is a text", ""),
        ("{{ steps.broken.outputs.result }}", "`steps.broken.outputs` is null", "step `broken` is failed"),
        ("{{ steps.plan.error.code }}", "`steps.plan.error` is null", ""),
        ("{{ worflow.input }}", "there is no `worflow` here", "did you mean `workflow`?"),
        ("{{ item }}", "there is no `item` here", "names here: `run`, `steps`, `workflow`"),
        ("{{ steps.plan.outputs.nope + 1 }}", "`steps.plan.outputs.nope` does not exist", ""),
        ("{{ steps.plan.outputs.nope | upper }}", "`steps.plan.outputs.nope` does not exist", ""),
        ("{{ steps.plan.outputs.nope | join }}", "`steps.plan.outputs.nope` does not exist", ""),
        ("{{ steps.plan.outputs.nope and true }}", "`steps.plan.outputs.nope` does not exist", ""),
        ("{{ steps.plan.outputs.nope == 1 and true }}", "`steps.plan.outputs.nope` does not exist", ""),
        ("{{ steps.plan.outputs[workflow.input.text] }}", "`steps.plan.outputs.hi` does not exist", "default"),
        ("{{ (steps.plan.outputs.people | first).nam }}", "`steps.plan.outputs.people[0].nam` does not exist", "default"),
        ("{{ steps['no' ~ 'pe'].outputs }}", "`steps[\"nope\"]` does not exist", "default"),
        ("{{ steps.plan.outputs.empty | first }}", "does not exist", "default"),
    ]);
}

/// Strict mode of the engine lets these through with a hole in them.
#[test]
fn point_3_missing_values_inside_values() {
    fails(&[
        ("{{ [steps.plan.outputs.nope] }}", "`steps.plan.outputs.nope` does not exist", "it has"),
        ("{{ {'a': steps.plan.outputs.nope} }}", "`steps.plan.outputs.nope` does not exist", "it has"),
        ("{{ {'a': [1, {'b': steps.nope.outputs}]} }}", "`steps.nope.outputs` does not exist", "steps that have run"),
        ("{{ [steps.plan.outputs.a | default(1), steps.plan.outputs.b] }}", "`steps.plan.outputs.b` does not exist", ""),
        ("{{ steps.plan.outputs.people | map(attribute='nope') }}", "does not exist", "default"),
        ("{{ [steps.plan.outputs.nope] | tojson }}", "`steps.plan.outputs.nope` does not exist", ""),
        ("{{ [steps.plan.outputs.nope] | join(',') }}", "`steps.plan.outputs.nope` does not exist", ""),
        ("{{ {'a': 1}.b }}", "does not exist", ""),
    ]);
}

#[test]
fn point_3_defaults() {
    yields(&[
        ("{{ steps.plan.outputs.x.y | default('z') }}", json!("z")),
        ("{{ (steps.plan.outputs.x.y) | default('z') }}", json!("z")),
        ("{{ steps.never.outputs.result | default('z') }}", json!("z")),
        ("{{ nobody.knows | default('z') }}", json!("z")),
        ("{{ steps.broken.outputs.result | default('z') }}", json!("z")),
        ("{{ steps.plan.outputs.nothing | default('z') }}", json!(null)),
        ("{{ steps.plan.outputs.nothing | default('z', true) }}", json!("z")),
        ("{{ steps.plan.outputs.result | default('z') }}", json!("yes")),
        ("{{ steps.plan.outputs | default({}) == steps.plan.outputs }}", json!(true)),
        ("{{ steps.never.outputs.x is defined }}", json!(false)),
        ("{{ steps.never.outputs.x is undefined }}", json!(true)),
        ("{{ steps.plan.outputs.nothing is defined and steps.plan.outputs.nothing is none }}", json!(true)),
        ("{{ steps.never.outputs.x if steps.never.outputs.x is defined else 'no' }}", json!("no")),
        ("{{ steps.plan.outputs.people | map(attribute='nope', default=0) }}", json!([0, 0])),
        ("{{ steps.plan.outputs[workflow.input.text] | default('z') }}", json!("z")),
    ]);
}

// Point 4: bounds.

/// Refused, quickly: the best of several tries, because the machine is shared.
fn refused_quickly(name: &str, attempt: impl Fn() -> bool) {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let started = Instant::now();
        assert!(attempt(), "{name} was not refused");
        best = best.min(started.elapsed());
        if best < REFUSED_WITHIN {
            return;
        }
    }
    panic!("{name} took {best:?}");
}

#[test]
fn point_4_bombs() {
    let world = World::new();
    let nested = |open: &str, close: &str, count: usize| format!("{{{{ {}1{} }}}}", open.repeat(count), close.repeat(count));
    let mut bombs = vec![
        "{{ 'x' * 10**9 }}".to_owned(),
        "{{ 'x' * 99999999 }}".to_owned(),
        "{{ ('x' * 1000000) * 1000000 }}".to_owned(),
        "{{ [1] * 99999999 }}".to_owned(),
        "{{ ([1] * 99999999) | last }}".to_owned(),
        "{{ ([1] * 99999999) | sum }}".to_owned(),
        "{{ ([1] * 99999999) | join('') }}".to_owned(),
        "{{ ([1] * 99999999) | sort | length }}".to_owned(),
        "{{ ([1] * 99999999) | map('string') | length }}".to_owned(),
        "{{ ([1] * 99999999) | unique }}".to_owned(),
        "{{ 2 in ([1] * 99999999) }}".to_owned(),
        "{{ ([1] * 99999999) == ([1] * 99999999) }}".to_owned(),
        "{{ ([1] * 99999999)[::-1] | length }}".to_owned(),
        "{{ ([1] * 99999999) | string }}".to_owned(),
        "{{ ([1] * 99999999) ~ '' }}".to_owned(),
        "{{ ('x' * 100000) | replace('x', 'y' * 100000) }}".to_owned(),
        "{{ ('x' * 100000) | replace('', 'y' * 100000) }}".to_owned(),
        "{{ (['x'] * 10000) | join('y' * 100000) }}".to_owned(),
        "{{ ('x' * 1000000) | split('') | join('yyyyyyyy') | replace('y', 'zzzzzzzz') }}".to_owned(),
        format!("{{{{ 'x' {} }}}}", "| replace('x', 'xxxxxxxxxx')".repeat(20)),
        format!("{{{{ [1] {} }}}}", "* 10 ".repeat(20)),
        format!("{{{{ 9 {} }}}}", "** 9 ".repeat(20)),
        nested("(", ")", 4000),
        nested("[", "]", 4000),
        nested("[", "]", 100),
        nested("{'a':", "}", 1000),
        format!("{{{{ {}1 }}}}", "not ".repeat(2000)),
        format!("{{{{ {}1 }}}}", "-".repeat(8000)),
        format!("{{{{ 1{} }}}}", "+1".repeat(4000)),
        format!("{{{{ x{} }}}}", "[0]".repeat(2600)),
        format!("{{{{ (x){} }}}}", ".a".repeat(4000)),
        format!("{{{{ x{} }}}}", "|first".repeat(1000)),
        format!("{{{{ x{} }}}}", " if x else x".repeat(600)),
        format!("{{{{ {} }}}}", "x".repeat(TEMPLATE_BYTES_MAX + 1)),
        format!("{{{{ x }}}}{}", "y".repeat(TEMPLATE_TEXT_BYTES_MAX)),
        "{{ 1 }}".repeat(TEMPLATE_EXPRESSIONS_MAX + 1),
        "{{ ".repeat(300_000),
        "{{ '".repeat(300_000),
        format!("{{{{ {} }}}}", "{".repeat(1_000_000)),
    ];
    bombs.push(format!("{{{{ [{}] }}}}", "'x' * 1000000,".repeat(500)));
    bombs.push(format!("{{{{ [{}] | tojson }}}}", "steps.plan.outputs,".repeat(400) + &"'x' * 40000,".repeat(30)));
    for bomb in &bombs {
        let name = &bomb[..bomb.len().min(60)];
        refused_quickly(name, || Template::parse(bomb).map_or(true, |template| template.evaluate(&world.scope()).is_err()));
    }
}

#[test]
fn point_4_a_long_chain_within_the_limits_fits_the_stack() {
    let world = World::new();
    let sum = format!("{{{{ {} }}}}", vec!["workflow.input.n"; 100].join(" + "));
    assert_eq!(world.template(&sum).expect("a sum"), json!(300));
    let chain = format!("{{{{ 1{} }}}}", "+1".repeat(299));
    assert_eq!(world.template(&chain).expect("a chain"), json!(300));
    let nested = format!("{{{{ {}1{} }}}}", "[".repeat(32), "]".repeat(32));
    assert!(world.template(&nested).is_ok());
}

#[test]
fn point_4_sizes_of_what_comes_out() {
    let mut world = World::new();
    let almost = "x".repeat(EXPRESSION_OUTPUT_BYTES_MAX);
    world.value("long", json!(almost));
    let mut deep = json!(1);
    for _ in 0..VALUE_DEPTH_MAX {
        deep = json!([deep]);
    }
    world.value("deep", deep);
    world.value("reply", json!(vec!["y".repeat(1000); 3000]));

    assert!(world.template("{{ long }}").is_ok());
    assert!(world.template("{{ deep }}").is_ok());
    assert!(world.template("{{ [reply, reply] }}").is_ok(), "6 MB");
    for (source, message) in [
        ("{{ long }}!", "1048576"),
        ("{{ long ~ '!' }}", ""),
        ("{{ [long] | tojson }}", "1048576"),
        ("{{ [deep] }}", "deep"),
        ("{{ [reply, reply, reply, reply, reply, reply] }}", "16777216"),
    ] {
        let error = world.template(source).expect_err(source);
        assert!(error.message.contains(message), "{source}: {error:?}");
    }
    let item = Tree::Template(Template::parse("{{ reply }}").expect("a path"));
    let error = Tree::List(vec![item; 6]).evaluate(&world.scope()).expect_err("18 MB");
    assert!(error.message.contains("16777216"), "{error:?}");
    let mut tree = Tree::Template(Template::parse("{{ workflow.input.n }}").expect("a path"));
    for _ in 0..=VALUE_DEPTH_MAX {
        tree = Tree::List(vec![tree]);
    }
    assert!(tree.evaluate(&world.scope()).expect_err("too deep").message.contains("deep"));
}

// Point 5: order, integers, sharing.

#[test]
fn point_5_order_and_integers() {
    yields(&[
        ("{{ steps.plan.outputs.big }}", json!(u64::MAX)),
        ("{{ [steps.plan.outputs.big, steps.plan.outputs.small] }}", json!([u64::MAX, i64::MIN])),
        ("{{ steps.plan.outputs.big - 1 }}", json!(u64::MAX - 1)),
        ("{{ steps.plan.outputs.big | string }}", json!(u64::MAX.to_string())),
        ("{{ steps.plan.outputs.big == 18446744073709551615 }}", json!(true)),
        ("{{ steps.plan.outputs.n == 42 and 42 in [steps.plan.outputs.n] }}", json!(true)),
        ("{{ steps.plan.outputs.n ~ '' }}", json!("42")),
        ("{{ 6 / 2 }}", json!(3)),
        ("{{ {'z': 1, 'a': steps.plan.outputs.deep} }}", json!({"z": 1, "a": {"z": 1, "a": {"m": [10, {"x": "y"}]}}})),
        ("{{ steps.plan.outputs.deep }}", json!({"z": 1, "a": {"m": [10, {"x": "y"}]}})),
    ]);
    fails(&[("{{ steps.plan.outputs.big + 1 }}", "64 bits", ""), ("{{ 1.0 / 0.0 }}", "", "")]);
}

#[test]
fn point_5_what_is_shared_stays_shared() {
    let world = World::new();
    let outputs = &world.steps[&id("plan")].outputs;
    for source in [
        "{{ steps.plan.outputs }}",
        "{{ steps['plan'].outputs }}\n",
        "{{ steps.plan.outputs | default({}) }}",
        "{{ steps['pl' ~ 'an'].outputs }}",
    ] {
        let value = Template::parse(source).expect(source).evaluate(&world.scope()).expect(source);
        assert!(Arc::ptr_eq(&value, outputs), "{source}");
    }
    let tree = Tree::Template(Template::parse("{{ workflow }}").expect("a path"));
    assert!(Arc::ptr_eq(&tree.evaluate(&world.scope()).expect("workflow"), &world.values["workflow"]));
}

#[test]
fn point_5_inner_scopes_see_outer_ones() {
    let outer = World::new();
    let mut inner = World { values: BTreeMap::new(), steps: BTreeMap::new() };
    inner.value("item", json!({"name": "Cy"}));
    inner.value("run", json!("hidden"));
    inner.step("sub", json!(1));
    let (outer_scope, values, steps) = (outer.scope(), &inner.values, &inner.steps);
    let scope = Scope { parent: Some(&outer_scope), values, steps };
    for (source, expected) in [
        (
            "{{ item.name }} {{ workflow.input.text }} {{ run }} {{ steps.sub.outputs }} {{ steps.plan.outputs.result }}",
            json!("Cy hi hidden 1 yes"),
        ),
        ("{{ steps['s' ~ 'ub'].outputs + steps['my' ~ '-step'].outputs.x }}", json!(8)),
        ("{{ steps | keys | sort }}", json!(["broken", "my-step", "plan", "sub"])),
    ] {
        assert_eq!(*Template::parse(source).expect(source).evaluate(&scope).expect(source), expected, "{source}");
    }
    let all = Template::parse("{{ steps }}").expect("steps").evaluate(&scope).expect("steps");
    assert_eq!((&all["sub"]["outputs"], &all["broken"]["status"]), (&json!(1), &json!("failed")));
}

// Point 6: a minus is a minus.

#[test]
fn point_6_subtractions_are_found() {
    let check = |source: &str, expected: &[(&str, &str, &str)]| {
        let template = Template::parse(source).expect(source);
        let found: Vec<_> =
            template.subtractions().iter().map(|found| (&*found.name, &*found.instead, &source[found.span.clone()])).collect();
        assert_eq!(found, expected, "{source}");
    };
    check("{{ steps.my-step.x }}", &[("my-step", r#"steps["my-step"].x"#, "steps.my-step.x")]);
    check("a {{ steps.my-step.outputs.x | upper }}", &[("my-step", r#"steps["my-step"].outputs.x"#, "steps.my-step.outputs.x")]);
    check("{{ steps.my-own-step.x + 1 }}", &[("my-own-step", r#"steps["my-own-step"].x"#, "steps.my-own-step.x")]);
    check("{{ workflow.input.my-key }}", &[("my-key", r#"workflow.input["my-key"]"#, "workflow.input.my-key")]);
    check("{{ steps.step-1 }}", &[("step-1", r#"steps["step-1"]"#, "steps.step-1")]);
    check("{{ steps.a.outputs.x - steps.b.outputs.y }}", &[]);
    check("{{ steps['my-step'].x }}", &[]);
    check("{{ a-b }}", &[]);
}

#[test]
fn point_6_errors_hint_at_the_minus() {
    fails(&[
        (
            "{{ steps.my-step.outputs.x }}",
            "`steps.my` does not exist",
            r#"`-` subtracts; if `my-step` is one name, write `steps["my-step"].outputs.x`"#,
        ),
        ("{{ workflow.input.my-key }}", "does not exist", r#"workflow.input["my-key"]"#),
    ]);
    refuses_template(&[("{{ steps.step-1.outputs }}", "cannot be understood", r#"steps["step-1"]"#, ".")]);
    yields(&[("{{ steps['my-step'].outputs.x - 1 }}", json!(6)), ("{{ workflow.input[\"my-key\"] }}", json!(5))]);
}

// Point 7: conditions are judged on values.

#[test]
fn point_7_conditions() {
    let world = World::new();
    for (source, expected) in [
        ("steps.plan.outputs.ok", true),
        ("steps.plan.outputs.ok == true", true),
        ("{{ steps.plan.outputs.ok }}", true),
        ("  {{ steps.plan.outputs.ok }}\n", true),
        ("not steps.plan.outputs.ok", false),
        ("{{ steps.plan.outputs.result }} == 'yes'", true),
        ("{{ steps.plan.outputs.result }} == \"no\"", false),
        ("'{{ steps.plan.outputs.result }}' == 'yes'", true),
        ("\"{{ steps.plan.outputs.result }}\" == 'yes'", true),
        ("'{{ steps.plan.outputs['result'] }}' == 'yes'", true),
        ("'is {{ steps.plan.outputs.result }}!' == 'is yes!'", true),
        ("'{{ steps.plan.outputs.result }}-{{ workflow.input.n }}' == 'yes-3'", true),
        ("'{{ steps.plan.outputs.n }}' == '42'", true),
        ("'{{ steps.plan.outputs.ok }}' == 'true'", true),
        ("{{ steps.plan.outputs.n }} > 41 and {{ workflow.input.n }} < 4", true),
        ("{{ 1 + 1 }} * 2 == 4", true),
        ("{{ workflow.input.text or 'x' }} == 'hi'", true),
        ("{'a': {'b': 1}}.a.b == 1", true),
        ("steps.never.status is defined", false),
        ("steps.plan.outputs.no", false),
        ("' False '", false),
        ("'no'", true),
        ("'0'", true),
        ("' '", false),
        ("0", false),
        ("0.0", false),
        ("[]", false),
        ("{}", false),
        ("[0]", true),
        ("none", false),
        ("steps.plan.outputs.empty", false),
        ("steps.plan.outputs.deep", true),
        ("true", true),
        ("false", false),
    ] {
        assert_eq!(world.holds(source), Ok(expected), "{source}");
    }
    for (value, expected) in
        [(json!(true), true), (json!(false), false), (json!(1), true), (json!(0), false), (json!(0.0), false), (json!(null), false)]
    {
        let condition = Condition::constant(value.clone());
        assert_eq!(condition.holds(&world.scope()), Ok(expected));
        assert_eq!(condition.value(&world.scope()).map(|value| (*value).clone()), Ok(value));
    }
    assert!(world.holds("steps.nope.outputs.ok").is_err());
    assert!(world.holds("{{ steps.plan.outputs.result }} == yes").is_err(), "`yes` is a name");
}

#[test]
fn point_7_an_agent_cannot_turn_a_condition_true() {
    let conditions = [
        "{{ steps.evil.outputs.result }} == 'y'",
        "'{{ steps.evil.outputs.result }}' == 'y'",
        "\"{{ steps.evil.outputs.result }}\" == 'y'",
        "{{ steps.evil.outputs.result == 'y' }}",
        "steps.evil.outputs.result == 'y'",
        "'a{{ steps.evil.outputs.result }}' == 'ay'",
        "'{{ steps.evil.outputs.result }}' in ['y']",
    ];
    for answer in [
        "x' != 'y' or 'z",
        "y' or '1' == '1",
        "y\" or \"1\" == \"1",
        "'y'",
        "y') or ('1",
        "y }} or {{ true",
        "{{ 'y' }}",
        "{% if true %}y{% endif %}",
        "y\\",
        "\\' or true or \\'",
        "y|string",
        "' ~ 'y",
        "y\n",
    ] {
        let mut world = World::new();
        world.step("evil", json!({"result": answer}));
        for condition in conditions {
            assert_eq!(world.holds(condition), Ok(false), "{condition} with {answer}");
        }
        assert_eq!(world.template("{{ steps.evil.outputs.result }}"), Ok(json!(answer)));
    }
    let mut world = World::new();
    world.step("evil", json!({"result": "y"}));
    for condition in conditions {
        assert_eq!(world.holds(condition), Ok(true), "{condition}: the honest answer");
    }
}

#[test]
fn point_7_refused_conditions() {
    refuses(
        |source| Condition::parse(source).err(),
        &[
            ("", "missing", "such as", ""),
            ("  ", "missing", "such as", "  "),
            ("{{ }} == 1", "missing", "such as", "{{ }}"),
            ("{{ a == 1", "never closed", "", "{{"),
            ("'{{ a }} == 1", "a quote is never closed", "", "'"),
            ("{% if a %}", "statements", "", "{%"),
            ("{{ a) or (b }} == 1", "closes nothing", "", ")"),
            ("{{ a }} == {{ b | nope }}", "no filter `nope`", "", "nope"),
            ("{{ a }} = 1", "cannot be understood", "", "="),
            ("'{{ a b }}' == 1", "cannot be understood", "", "b"),
            ("ü == 1", "unexpected character", "", "ü"),
            ("a ==", "end of input", "", "=="),
        ],
    );
}

#[test]
fn point_7_values_for_switch() {
    let world = World::new();
    for (source, expected) in [
        ("steps.plan.outputs.result", json!("yes")),
        ("{{ steps.plan.outputs.result }}", json!("yes")),
        ("{{ steps.plan.outputs.n }}\n", json!(42.0)),
        ("{{ steps.plan.outputs.result }}-{{ workflow.input.n }}", json!("yes-3")),
        ("case {{ workflow.input.n }}", json!("case 3")),
    ] {
        let condition = Condition::parse_value(source).expect(source);
        assert_eq!(condition.value(&world.scope()).map(|value| (*value).clone()), Ok(expected), "{source}");
        assert_eq!(condition.source(), source);
        assert!(!condition.references().is_empty(), "{source}");
    }
    for (value, text) in [
        (json!("a"), "a"),
        (json!(42.0), "42"),
        (json!(-1.5), "-1.5"),
        (json!(true), "true"),
        (json!(null), "null"),
        (json!([1.0, "a"]), r#"[1,"a"]"#),
    ] {
        assert_eq!(text_of(&value), text);
    }
}

// Static analysis.

#[test]
fn references_name_path_place_and_guard() {
    let check = |source: &str, references: &[super::Reference], expected: &[(&str, &str, bool)]| {
        let found: Vec<_> =
            references.iter().map(|found| (found.path.join("/"), source[found.span.clone()].to_owned(), found.optional)).collect();
        let expected: Vec<_> =
            expected.iter().map(|(path, place, optional)| ((*path).to_owned(), (*place).to_owned(), *optional)).collect();
        assert_eq!(found, expected, "{source}");
    };
    for (source, expected) in [
        ("plain", &[][..]),
        ("ü {{ steps.plan.outputs.result }}", &[("steps/plan/outputs/result", "steps.plan.outputs.result", false)]),
        ("{{ a.b }} {{ c['d'] }}", &[("a/b", "a.b", false), ("c/d", "c['d']", false)]),
        ("{{ steps[\"my-step\"].outputs[0].y }}", &[("steps/my-step/outputs/0/y", "steps[\"my-step\"].outputs[0].y", false)]),
        ("{{ a.b | default(c.d) }}", &[("a/b", "a.b", true), ("c/d", "c.d", false)]),
        ("{{ ((a.b)) | default(1) }}", &[("a/b", "a.b", true)]),
        ("{{ a | upper | default(1) }}", &[("a", "a", false)]),
        ("{{ a.b is not defined }}", &[("a/b", "a.b", true)]),
        ("{{ a.b.c if a.b is defined else x }}", &[("a/b/c", "a.b.c", true), ("a/b", "a.b", true), ("x", "x", false)]),
        ("{{ a is string }}", &[("a", "a", false)]),
        ("{{ l | map(attribute='x') | join(s) }}", &[("l", "l", false), ("s", "s", false)]),
        ("{{ l | map(attribute=k) }}", &[("l", "l", false), ("k", "k", false)]),
        ("{{ a[b.c].d }}", &[("a", "a", false), ("b/c", "b.c", false)]),
        ("{{ a.x[1:n] }}", &[("a/x", "a.x", false), ("n", "n", false)]),
        ("{{ {'k': v, \"w\": [u]} }}", &[("v", "v", false), ("u", "u", false)]),
        ("{{ 'steps.a' ~ true and not none or 1 in x }}", &[("x", "x", false)]),
        ("{{ (f | first).g }}", &[("f", "f", false)]),
        ("{{ a . b [ 'c' ] }}", &[("a/b/c", "a . b [ 'c' ]", false)]),
    ] {
        let template = Template::parse(source).expect(source);
        check(source, template.references(), expected);
    }
    for (source, expected) in [
        ("steps.a.outputs.ok == true", &[("steps/a/outputs/ok", "steps.a.outputs.ok", false)][..]),
        ("  {{ steps.a.ok }} ", &[("steps/a/ok", "steps.a.ok", false)]),
        ("{{ a.b }} == 'y' and {{c}}", &[("a/b", "a.b", false), ("c", "c", false)]),
        ("'ü{{ a.b }}-{{ c }}!' == d.e", &[("a/b", "a.b", false), ("c", "c", false), ("d/e", "d.e", false)]),
    ] {
        let condition = Condition::parse(source).expect(source);
        check(source, condition.references(), expected);
    }
}

#[test]
fn literals_and_sources() {
    let text = Template::parse("just text").expect("text");
    assert_eq!((text.literal(), text.source()), (Some("just text"), "just text"));
    let expression = Template::parse("{{ a }}").expect("a");
    assert_eq!((expression.literal(), expression.source()), (None, "{{ a }}"));
    let long = "x".repeat(TEMPLATE_TEXT_BYTES_MAX + 1);
    assert_eq!(Template::parse(&long).expect("text without expressions has no limit of ours").literal(), Some(&*long));
}

#[test]
fn trees_keep_shape_and_order() {
    let world = World::new();
    let template = |source: &str| Tree::Template(Template::parse(source).expect(source));
    let tree = Tree::Object(vec![
        ("z".to_owned(), template("{{ workflow.input.n }}")),
        ("{{ key }}".to_owned(), Tree::Literal(Arc::new(json!([1, 2])))),
        ("a".to_owned(), Tree::List(vec![template("n is {{ workflow.input.n }}"), template("{{ steps.plan.outputs.list }}")])),
    ]);
    let value = tree.evaluate(&world.scope()).expect("a tree");
    assert_eq!(value.to_string(), r#"{"z":3,"{{ key }}":[1,2],"a":["n is 3",[3,1,2]]}"#);
    assert_eq!(tree.templates().iter().map(|template| template.source()).collect::<Vec<_>>().len(), 3);
    let failing = Tree::List(vec![template("{{ workflow.input.n }}"), template("{{ steps.plan.outputs.nope }}")]);
    assert!(failing.evaluate(&world.scope()).expect_err("missing").message.contains("steps.plan.outputs.nope"));
}

// What agents return is data for ever.

fn passes_as_data(text: &str) {
    let mut world = World::new();
    world.step("agent", json!({ "reply": text, "map": {text: text} }));
    for (source, expected) in [
        ("{{ steps.agent.outputs.reply }}", json!(text)),
        ("{{ steps.agent.outputs.reply | default('x') }}", json!(text)),
        ("{{ [steps.agent.outputs.reply] }}", json!([text])),
        ("<{{ steps.agent.outputs.reply }}>", json!(format!("<{text}>"))),
        ("{{ steps.agent.outputs.map | default({}) }}", json!({ text: text })),
        ("{{ steps.agent.outputs.map | values | first }}", json!(text)),
    ] {
        assert_eq!(world.template(source).expect(source), expected, "{source} with {text:?}");
    }
    assert_eq!(world.holds("{{ steps.agent.outputs.reply }} == steps.agent.outputs.map | keys | first"), Ok(true), "{text:?}");
    // As a template: any outcome but a panic, and text without delimiters stands for itself.
    let parsed = Template::parse(text);
    let _ = parsed.as_ref().map(|template| template.evaluate(&world.scope()));
    let _ = Condition::parse(text).map(|condition| condition.holds(&world.scope()));
    let _ = Condition::parse_value(text).map(|condition| condition.value(&world.scope()));
    if !["{{", "{%", "{#"].iter().any(|sign| text.contains(sign)) {
        assert_eq!(parsed.expect("plain text").literal(), Some(text));
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "says that the list is not there")]
fn naughty_strings_are_data() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/naughty-strings/blns.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        println!("skipped: the list of naughty strings is not there");
        return;
    };
    let strings: Vec<String> = serde_json::from_str(&text).expect("a list of strings");
    assert!(strings.len() > 400);
    for string in &strings {
        passes_as_data(string);
        passes_as_data(&format!("{{{{ {string} }}}}"));
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e12f64..1e12).prop_filter("an integer by another type", |number| number.fract() != 0.0).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((".{0,6}", inner), 0..5).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Text that is likely to get far into the parsers.
fn hostile_text() -> impl Strategy<Value = String> {
    let words = [
        "{{", "}}", "{%", "{#", "{", "}", "(", ")", "[", "]", "'", "\"", "\\", ".", "-", "|", "is", "not", "defined", "default", "steps",
        "plan", "a", "0", "1.5", " ", ",", ":", "=", "==", "~", "*", "in", "if", "else", "\n", "ü", "string", "$",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()).prop_map(str::to_owned), 0..30).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_a_parser_panic(text in prop_oneof![hostile_text(), ".{0,80}"]) {
        passes_as_data(&text);
        passes_as_data(&format!("{{{{ {text} }}}}"));
    }

    #[test]
    fn spans_are_within_the_text(text in hostile_text()) {
        for error in [Template::parse(&text).err(), Condition::parse(&text).err(), Condition::parse_value(&text).err()].into_iter().flatten() {
            prop_assert!(text.get(error.span.clone()).is_some(), "{error:?}");
        }
        for template in Template::parse(&text) {
            for reference in template.references() {
                prop_assert!(text.get(reference.span.clone()).is_some_and(|place| place.starts_with(&*reference.path[0])), "{reference:?}");
            }
        }
        for condition in Condition::parse(&text) {
            for reference in condition.references() {
                prop_assert!(text.get(reference.span.clone()).is_some_and(|place| place.starts_with(&*reference.path[0])), "{reference:?}");
            }
        }
    }

    #[test]
    fn values_survive(value in json_value()) {
        let mut world = World::new();
        world.value("item", json!({ "v": value }));
        for (source, expected) in [
            ("{{ item.v }}", value.clone()),
            ("{{ item.v | default(1) }}", value.clone()),
            ("{{ [item.v, 1] | first }}", value.clone()),
            ("{{ {'k': [item.v]} }}", json!({"k": [value]})),
            ("{{ item['v' ~ ''] }}", value.clone()),
        ] {
            let got = world.template(source);
            prop_assert_eq!(got.as_ref().map(Value::to_string).ok(), Some(expected.to_string()), "{}: {:?}", source, got);
        }
        prop_assert_eq!(world.template("{{ item.v | tojson }}"), Ok(json!(value.to_string())));
        prop_assert_eq!(world.holds("item.v == item.v"), Ok(true));
    }
}
