//! Point 7: conditions are judged on values.

use serde_json::json;

use super::{World, refuses};
use crate::expression::{Condition, text_of};

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
