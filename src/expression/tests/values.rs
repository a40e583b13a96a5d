//! Points 1, 2, 3 and 5: how text is cut, what an expression may do, what is missing, and what comes out.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::{World, fails, id, refuses_template, yields};
use crate::expression::{Scope, Template, Tree};
use crate::limits::TEMPLATE_TEXT_BYTES_MAX;

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
        ("{{ a || b }}", "unexpected character `|`", "write `or`", "|"),
        ("{{- a -}}", "space", "YAML", "{{-"),
        ("{{ a -}}", "space", "YAML", "-}}"),
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
        ("{{ 2.34567 | round(2) }}", json!(2.35)),
        ("{{ [steps.plan.outputs.list | min, steps.plan.outputs.list | max, steps.plan.outputs.list | sum] }}", json!([1, 3, 6])),
        ("{{ steps.plan.outputs.deep | keys }}", json!(["z", "a"])),
        ("{{ {'b': 1, 'a': [2]} | values }}", json!([1, [2]])),
        ("{{ 1 is number and 'a' is string and [] is sequence and {} is mapping and none is none and 1 in [1] }}", json!(true)),
        ("{{ 'es' in steps.plan.outputs.result and 'result' in steps.plan.outputs and 3 in steps.plan.outputs.list }}", json!(true)),
        ("{{ 2 * 3 + 4 * -2 ** 2 - 10 / 4 }}", json!(19.5)),
        ("{{ -workflow.input.n * 2 ~ 'x' }}", json!("-6x")),
        ("{{ 2 * steps.plan.outputs.nope | default(5) * workflow.input.n }}", json!(30)),
        ("{{ (1 + 2) * [4, 5][1] * {'a': 2}.a }}", json!(30)),
        ("{{ 1 ~ none ~ [1.0, none] ~ steps.plan.outputs.deep.a ~ true }}", json!(r#"1null[1,null]{"m":[10,{"x":"y"}]}true"#)),
        ("{{ 'a' 'b' ~ 'c' 'd' | upper }}", json!("abCD")),
        ("{{ steps.plan.outputs.list + [4] }}", json!([3, 1, 2, 4])),
        ("{{ 'a' + 'b' }}", json!("ab")),
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
        ("{{ a | join(*b) }}", "spread", "", "*"),
        ("{{ a | join(b, **c) }}", "spread", "", "**"),
        ("{{ a | __number }}", "no filter `__number`", "", "__number"),
        ("{{ a | first.b }}", "cannot follow", "(… | first).key", "."),
    ]);
    fails(&[
        ("{{ [1] | map('attr', 'x') }}", "filter", ""),
        ("{{ [1] | select('odd') }}", "test", ""),
        ("{{ 1 | join(',') }}", "`join` needs a list", ""),
        ("{{ 1 | keys }}", "`keys` needs an object", ""),
        ("{{ 1 + 'a' }}", "+", ""),
        ("{{ 'a' * 3 }}", "`*` needs numbers, not string", ""),
        ("{{ 3 * steps.plan.outputs.list }}", "`*` needs numbers, not sequence", ""),
        ("{{ 3 * steps.plan.outputs.nope }}", "`steps.plan.outputs.nope` does not exist", "it has"),
    ]);
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
    let tree = Tree::Template(Template::parse("{{ workflow.input }}").expect("a path"));
    assert!(Arc::ptr_eq(&tree.evaluate(&world.scope()).expect("the input"), &world.values["workflow.input"]));
    for (source, value) in [
        ("{{ steps.plan.outputs.deep.a.m }}", &world.steps[&id("plan")].outputs["deep"]["a"]["m"]),
        ("{{ workflow.input.key }}", &world.values["workflow.input"]["key"]),
        ("{{ steps.plan.outputs }}", &**outputs),
    ] {
        let shared = Template::parse(source).expect(source).evaluate_shared(&world.scope()).expect(source);
        assert!(std::ptr::eq(shared.get(), value), "{source} is copied");
    }
    let made = Template::parse("{{ steps.plan.outputs.list | sort }}").expect("a list").evaluate_shared(&world.scope()).expect("a list");
    assert_eq!(*made.get(), json!([1, 2, 3]));
    assert!(Template::parse("{{ steps.plan.outputs.lost }}").expect("a path").evaluate_shared(&world.scope()).is_err());
}

#[test]
fn the_input_is_a_member_of_the_workflow() {
    let input = json!({"text": "hi", "n": 3, "key": "result", "my-key": 5});
    let whole = json!({"id": "demo", "input": input});
    yields(&[
        ("{{ workflow }}", whole.clone()),
        ("{{ workflow.input }}", input.clone()),
        ("{{ workflow['in' ~ 'put'].n }}", json!(3)),
        ("{{ workflow | length }}", json!(2)),
        ("{{ [workflow, workflow.input] }}", json!([whole, input])),
        ("{{ workflow.input is defined and workflow.inputs is not defined }}", json!(true)),
        ("{{ workflow.input.n + 1 }}", json!(4)),
        ("x {{ workflow.id }} {{ workflow.input.n }}", json!("x demo 3")),
    ]);
    let world = World::new();
    let error = world.template("{{ workflow.inputs }}").expect_err("no such member");
    assert!(error.hint.as_deref().unwrap_or_default().contains("input"), "{error:?}");
    let error = world.template("{{ workflo }}").expect_err("no such name");
    assert!(!error.hint.as_deref().unwrap_or_default().contains("workflow.input"), "{error:?}");
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
